/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OpenCL driver that only answers who it is, for tests of finding and checking. What it is like
 * stands in the name of the file it was loaded from, so that one folder can have several:
 *
 *     stub-gpu.so, stub-fpga.so, stub-accelerator.so, stub-dsp.so, stub-custom.so,
 *     stub-nocompiler.so   one such device
 *     stub-none.so         a platform without devices
 *     stub-noplatform.so   no platform
 *     stub-crash.so        dies when asked for platforms
 *     stub-hang.so         never answers
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <CL/cl_icd.h>

/* Loaders find the table through the first pointer of every handle. */
struct _cl_platform_id {
    const cl_icd_dispatch *dispatch;
};
struct _cl_device_id {
    const cl_icd_dispatch *dispatch;
};

static cl_icd_dispatch table;
static struct _cl_platform_id platform = { &table };
static struct _cl_device_id device = { &table };

static const char *role(void)
{
    static char name[32];
    const char *start;
    Dl_info info;

    if (!dladdr((void *)&table, &info) || !(start = strstr(info.dli_fname, "stub-")))
        return "gpu";
    strncpy(name, start + 5, sizeof name - 1);
    name[strcspn(name, ".")] = '\0';
    return name;
}

static bool is(const char *what)
{
    return strcmp(role(), what) == 0;
}

static cl_int give(const void *value, size_t bytes, size_t room, void *out, size_t *needed)
{
    if (needed)
        *needed = bytes;
    if (out && room < bytes)
        return CL_INVALID_VALUE;
    if (out)
        memcpy(out, value, bytes);
    return CL_SUCCESS;
}

static cl_int give_text(const char *text, size_t room, void *out, size_t *needed)
{
    return give(text, strlen(text) + 1, room, out, needed);
}

static cl_int CL_API_CALL platform_info(cl_platform_id self, cl_platform_info what, size_t room,
                                        void *out, size_t *needed)
{
    (void)self;
    switch (what) {
    case CL_PLATFORM_NAME:
        return give_text(is("fpga") ? "Xilinx" : "Stub Platform", room, out, needed);
    case CL_PLATFORM_VENDOR:
        return give_text("nobody", room, out, needed);
    case CL_PLATFORM_VERSION:
        return give_text("OpenCL 1.2 stub", room, out, needed);
    case CL_PLATFORM_PROFILE:
        return give_text("FULL_PROFILE", room, out, needed);
    case CL_PLATFORM_EXTENSIONS:
        return give_text("cl_khr_icd", room, out, needed);
    case CL_PLATFORM_ICD_SUFFIX_KHR:
        return give_text("STUB", room, out, needed);
    default:
        return CL_INVALID_VALUE;
    }
}

static cl_int CL_API_CALL device_ids(cl_platform_id self, cl_device_type type, cl_uint room,
                                     cl_device_id *out, cl_uint *count)
{
    (void)self;
    (void)type;
    if (is("none"))
        return CL_DEVICE_NOT_FOUND;
    if (out && room)
        out[0] = &device;
    if (count)
        *count = 1;
    return CL_SUCCESS;
}

static cl_device_type type(void)
{
    if (is("gpu"))
        return CL_DEVICE_TYPE_GPU;
    return is("custom") ? CL_DEVICE_TYPE_CUSTOM : CL_DEVICE_TYPE_ACCELERATOR;
}

static cl_int CL_API_CALL device_info(cl_device_id self, cl_device_info what, size_t room,
                                      void *out, size_t *needed)
{
    cl_ulong memory = (cl_ulong)1 << 30, none = 0;
    cl_device_type kind = type();
    size_t group = 256;
    cl_uint number;

    (void)self;
    switch (what) {
    case CL_DEVICE_TYPE:
        return give(&kind, sizeof kind, room, out, needed);
    case CL_DEVICE_NAME:
        return give_text(is("dsp") ? "Stub DSP core" : "Stub Device", room, out, needed);
    case CL_DEVICE_VENDOR:
        return give_text("nobody", room, out, needed);
    case CL_DEVICE_VERSION:
        return give_text("OpenCL 1.2 stub", room, out, needed);
    case CL_DRIVER_VERSION:
        return give_text("7.0", room, out, needed);
    case CL_DEVICE_BUILT_IN_KERNELS:
        return give_text(is("custom") ? "stub.decode;stub.encode" : "", room, out, needed);
    case CL_DEVICE_EXTENSIONS:
        return give_text("", room, out, needed);
    case CL_DEVICE_AVAILABLE:
    case CL_DEVICE_ENDIAN_LITTLE:
        number = CL_TRUE;
        return give(&number, sizeof number, room, out, needed);
    case CL_DEVICE_COMPILER_AVAILABLE:
        number = !is("custom") && !is("nocompiler") && !is("fpga");
        return give(&number, sizeof number, room, out, needed);
    case CL_DEVICE_MAX_COMPUTE_UNITS:
        number = 4;
        return give(&number, sizeof number, room, out, needed);
    case CL_DEVICE_MAX_CLOCK_FREQUENCY:
        number = 300;
        return give(&number, sizeof number, room, out, needed);
    case CL_DEVICE_VENDOR_ID:
        number = 0x1234;
        return give(&number, sizeof number, room, out, needed);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
        return give(&group, sizeof group, room, out, needed);
    case CL_DEVICE_GLOBAL_MEM_SIZE:
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
    case CL_DEVICE_LOCAL_MEM_SIZE:
        return give(&memory, sizeof memory, room, out, needed);
    case CL_DEVICE_DOUBLE_FP_CONFIG:
        return give(&none, sizeof none, room, out, needed);
    default:
        return CL_INVALID_VALUE;
    }
}

/* It only says who it is. */
static cl_context CL_API_CALL no_context(const cl_context_properties *properties, cl_uint count,
                                         const cl_device_id *devices,
                                         void(CL_CALLBACK *notify)(const char *, const void *,
                                                                   size_t, void *),
                                         void *data, cl_int *error)
{
    (void)properties;
    (void)count;
    (void)devices;
    (void)notify;
    (void)data;
    if (error)
        *error = CL_DEVICE_NOT_AVAILABLE;
    return NULL;
}

static cl_int CL_API_CALL platform_ids(cl_uint room, cl_platform_id *out, cl_uint *count)
{
    if (is("crash"))
        abort();
    while (is("hang"))
        sleep(1000);
    if (is("noplatform"))
        return CL_PLATFORM_NOT_FOUND_KHR;
    table.clGetPlatformIDs = platform_ids;
    table.clGetPlatformInfo = platform_info;
    table.clGetDeviceIDs = device_ids;
    table.clGetDeviceInfo = device_info;
    table.clCreateContext = no_context;
    if (out && room)
        out[0] = &platform;
    if (count)
        *count = 1;
    return CL_SUCCESS;
}

__attribute__((visibility("default"))) void *CL_API_CALL
clGetExtensionFunctionAddress(const char *name)
{
    if (strcmp(name, "clIcdGetPlatformIDsKHR") == 0)
        return (void *)platform_ids;
    if (strcmp(name, "clGetPlatformInfo") == 0)
        return (void *)platform_info;
    return NULL;
}

__attribute__((visibility("default"))) cl_int CL_API_CALL
clGetPlatformInfo(cl_platform_id self, cl_platform_info what, size_t room, void *out,
                  size_t *needed)
{
    return platform_info(self, what, room, out, needed);
}

__attribute__((visibility("default"))) cl_int CL_API_CALL
clIcdGetPlatformIDsKHR(cl_uint room, cl_platform_id *out, cl_uint *count)
{
    return platform_ids(room, out, count);
}
