/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes OpenCL calls fail, so that tests reach every error path and the loss of a device
 * without a broken driver. A stand-in for each function of the table counts its calls; the one
 * that is asked to fails without being made. Nothing stands in between until
 * something is armed. What is armed is described in api.h.
 */
#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <heteroengine/status.h>

#include "api.h"

#define RULES_MAX 8
#define NAME_MAX_BYTES 48

struct rule {
    char name[NAME_MAX_BYTES]; /* "*": any */
    _Atomic long left;         /* calls until it fails; 1: the next one */
    bool lasts;                /* it goes on failing */
    cl_int code;
};

static struct opencl_api real;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct rule rules[RULES_MAX];
static unsigned rule_count;
static _Atomic unsigned long delivered;

/* CL_SUCCESS, or what the call is to fail with. */
static cl_int verdict(const char *name)
{
    cl_int code = CL_SUCCESS;

    for (unsigned k = 0; k < rule_count; k++) {
        struct rule *rule = &rules[k];
        long left;

        if (strcmp(rule->name, "*") != 0 && strcmp(rule->name, name) != 0)
            continue;
        left = atomic_fetch_sub(&rule->left, 1);
        if (left == 1 || (left < 1 && rule->lasts))
            code = rule->code;
    }
    if (code != CL_SUCCESS)
        atomic_fetch_add(&delivered, 1);
    return code;
}

/* A function that returns its error. */
#define STATUS(name, params, args)               \
    static cl_int CL_API_CALL fail_##name params \
    {                                            \
        cl_int code = verdict(#name);            \
                                                 \
        return code ? code : real.name args;     \
    }
/* A function that returns an object, and its error through the last argument. */
#define OBJECT(name, type, params, args)       \
    static type CL_API_CALL fail_##name params \
    {                                          \
        cl_int code = verdict(#name);          \
                                               \
        if (!code)                             \
            return real.name args;             \
        if (error)                             \
            *error = code;                     \
        return NULL;                           \
    }

#define WAITS cl_uint wait_count, const cl_event *waits, cl_event *event

STATUS(clGetPlatformIDs, (cl_uint capacity, cl_platform_id *out, cl_uint *count),
       (capacity, out, count))
STATUS(clGetPlatformInfo,
       (cl_platform_id platform, cl_platform_info what, size_t size, void *out, size_t *out_size),
       (platform, what, size, out, out_size))
STATUS(clGetDeviceIDs,
       (cl_platform_id platform, cl_device_type type, cl_uint capacity, cl_device_id *out,
        cl_uint *count),
       (platform, type, capacity, out, count))
STATUS(clGetDeviceInfo,
       (cl_device_id device, cl_device_info what, size_t size, void *out, size_t *out_size),
       (device, what, size, out, out_size))
OBJECT(clCreateContext, cl_context,
       (const cl_context_properties *properties, cl_uint count, const cl_device_id *devices,
        void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *self,
        cl_int *error),
       (properties, count, devices, notify, self, error))
STATUS(clReleaseContext, (cl_context context), (context))
OBJECT(clCreateCommandQueue, cl_command_queue,
       (cl_context context, cl_device_id device, cl_command_queue_properties properties,
        cl_int *error),
       (context, device, properties, error))
STATUS(clReleaseCommandQueue, (cl_command_queue queue), (queue))
OBJECT(clCreateBuffer, cl_mem,
       (cl_context context, cl_mem_flags flags, size_t bytes, void *host, cl_int *error),
       (context, flags, bytes, host, error))
STATUS(clReleaseMemObject, (cl_mem mem), (mem))
STATUS(clEnqueueReadBuffer,
       (cl_command_queue queue, cl_mem mem, cl_bool blocks, size_t offset, size_t bytes, void *to,
        WAITS),
       (queue, mem, blocks, offset, bytes, to, wait_count, waits, event))
STATUS(clEnqueueWriteBuffer,
       (cl_command_queue queue, cl_mem mem, cl_bool blocks, size_t offset, size_t bytes,
        const void *from, WAITS),
       (queue, mem, blocks, offset, bytes, from, wait_count, waits, event))
STATUS(clEnqueueCopyBuffer,
       (cl_command_queue queue, cl_mem from, cl_mem to, size_t from_offset, size_t to_offset,
        size_t bytes, WAITS),
       (queue, from, to, from_offset, to_offset, bytes, wait_count, waits, event))
OBJECT(clEnqueueMapBuffer, void *,
       (cl_command_queue queue, cl_mem mem, cl_bool blocks, cl_map_flags flags, size_t offset,
        size_t bytes, WAITS, cl_int *error),
       (queue, mem, blocks, flags, offset, bytes, wait_count, waits, event, error))
STATUS(clEnqueueUnmapMemObject, (cl_command_queue queue, cl_mem mem, void *mapped, WAITS),
       (queue, mem, mapped, wait_count, waits, event))
STATUS(clEnqueueNDRangeKernel,
       (cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *first,
        const size_t *global, const size_t *local, WAITS),
       (queue, kernel, dimensions, first, global, local, wait_count, waits, event))
STATUS(clEnqueueBarrierWithWaitList, (cl_command_queue queue, WAITS),
       (queue, wait_count, waits, event))
STATUS(clEnqueueMarkerWithWaitList, (cl_command_queue queue, WAITS),
       (queue, wait_count, waits, event))
STATUS(clWaitForEvents, (cl_uint count, const cl_event *events), (count, events))
STATUS(clGetEventInfo,
       (cl_event event, cl_event_info what, size_t size, void *out, size_t *out_size),
       (event, what, size, out, out_size))
STATUS(clGetEventProfilingInfo,
       (cl_event event, cl_profiling_info what, size_t size, void *out, size_t *out_size),
       (event, what, size, out, out_size))
STATUS(clRetainEvent, (cl_event event), (event))
STATUS(clReleaseEvent, (cl_event event), (event))
STATUS(clFlush, (cl_command_queue queue), (queue))
STATUS(clFinish, (cl_command_queue queue), (queue))
OBJECT(clCreateProgramWithSource, cl_program,
       (cl_context context, cl_uint count, const char **texts, const size_t *sizes, cl_int *error),
       (context, count, texts, sizes, error))
OBJECT(clCreateProgramWithBinary, cl_program,
       (cl_context context, cl_uint count, const cl_device_id *devices, const size_t *sizes,
        const unsigned char **binaries, cl_int *states, cl_int *error),
       (context, count, devices, sizes, binaries, states, error))
STATUS(clBuildProgram,
       (cl_program program, cl_uint count, const cl_device_id *devices, const char *options,
        void(CL_CALLBACK *notify)(cl_program, void *), void *self),
       (program, count, devices, options, notify, self))
STATUS(clGetProgramInfo,
       (cl_program program, cl_program_info what, size_t size, void *out, size_t *out_size),
       (program, what, size, out, out_size))
STATUS(clGetProgramBuildInfo,
       (cl_program program, cl_device_id device, cl_program_build_info what, size_t size,
        void *out, size_t *out_size),
       (program, device, what, size, out, out_size))
STATUS(clReleaseProgram, (cl_program program), (program))
OBJECT(clCreateKernel, cl_kernel, (cl_program program, const char *name, cl_int *error),
       (program, name, error))
STATUS(clReleaseKernel, (cl_kernel kernel), (kernel))
STATUS(clSetKernelArg, (cl_kernel kernel, cl_uint index, size_t size, const void *value),
       (kernel, index, size, value))

static void *fail_clGetExtensionFunctionAddressForPlatform(cl_platform_id platform,
                                                           const char *name)
{
    return verdict("clGetExtensionFunctionAddressForPlatform")
               ? NULL
               : real.clGetExtensionFunctionAddressForPlatform(platform, name);
}

static struct opencl_api *table;

/* Puts the stand-ins into the table; a function without one does not compile. */
static void stand_in(void)
{
    real = *table;
#define X(name) table->name = fail_##name;
    OPENCL_FUNCTIONS(X)
#undef X
}

static bool is_function(const char *name)
{
#define X(function)                  \
    if (strcmp(name, #function) == 0) \
        return true;
    OPENCL_FUNCTIONS(X)
#undef X
    return strcmp(name, "*") == 0;
}

/* One "name:count[+][:code]"; gives what comes after it, NULL when it is none. */
static const char *read_rule(const char *at, struct rule *rule)
{
    size_t length = strcspn(at, ":,");
    char *end;

    if (at[length] != ':' || length >= NAME_MAX_BYTES)
        return NULL;
    memset(rule->name, 0, sizeof rule->name);
    memcpy(rule->name, at, length);
    if (!is_function(rule->name) || !isdigit((unsigned char)at[length + 1]))
        return NULL;
    atomic_store(&rule->left, strtol(at + length + 1, &end, 10));
    rule->lasts = *end == '+';
    rule->code = CL_OUT_OF_RESOURCES;
    end += rule->lasts;
    if (*end == ':') {
        at = end + 1;
        rule->code = (cl_int)strtol(at, &end, 10);
        if (end == at || rule->code == CL_SUCCESS)
            return NULL;
    }
    return *end == ',' || *end == '\0' ? end : NULL;
}

he_status opencl_fail_arm_table(struct opencl_api *api, const char *what)
{
    rule_count = 0;
    atomic_store(&delivered, 0);
    while (*what) {
        const char *end = rule_count < RULES_MAX ? read_rule(what, &rules[rule_count]) : NULL;

        if (!end) {
            rule_count = 0;
            return he_error_set(HE_ERR_INVALID,
                                "OpenCL failures are 'function:call[+][:code],...', not '%s'", what);
        }
        rule_count++;
        what = end + (*end == ',');
    }
    if (rule_count) {
        table = api;
        pthread_once(&once, stand_in);
    }
    return HE_OK;
}

unsigned long opencl_fail_count(void)
{
    return atomic_load(&delivered);
}
