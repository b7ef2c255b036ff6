/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which OpenCL devices there are. Asking means loading every vendor's library, which takes
 * memory (PoCL brings a compiler of 100 MB), may crash, may hang, and may start threads
 * that a later fork() loses. So a child process asks, with a time limit, and sends plain
 * figures through a pipe; this process loads nothing until a device is really used.
 *
 * Where the process holds an OpenCL or CUDA library already the child would see it in
 * the state of a fork, which vendors do not support: then we ask here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "opencl.h"

#define PLATFORMS_MAX 16
#define PROBE_SECONDS 15
/* cl_nv_device_attribute_query */
#define COMPUTE_CAPABILITY_MAJOR_NV 0x4000
#define COMPUTE_CAPABILITY_MINOR_NV 0x4001

/* What the child sends. */
struct report {
    uint32_t count;
    char reason[256];
    struct opencl_found found[OPENCL_DEVICES_MAX];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct report known; /* set by find(), then read freely */

/* --- Asking OpenCL --- */

static void text_of(const struct opencl_api *cl, cl_device_id device, cl_device_info what,
                    char *out, size_t size)
{
    out[0] = '\0';
    if (cl->clGetDeviceInfo(device, what, size - 1, out, NULL) != CL_SUCCESS)
        snprintf(out, size, "unknown");
    out[size - 1] = '\0';
}

static uint64_t number_of(const struct opencl_api *cl, cl_device_id device, cl_device_info what,
                          size_t size)
{
    cl_ulong wide = 0;
    cl_uint narrow = 0;

    if (size == sizeof wide)
        return cl->clGetDeviceInfo(device, what, sizeof wide, &wide, NULL) == CL_SUCCESS ? wide : 0;
    return cl->clGetDeviceInfo(device, what, sizeof narrow, &narrow, NULL) == CL_SUCCESS ? narrow
                                                                                         : 0;
}

static bool names_one_of(const char *text, const char *const *words)
{
    for (size_t k = 0; words[k]; k++)
        if (strcasestr(text, words[k]))
            return true;
    return false;
}

/*
 * A processor stands in for a GPU where there is none: its name says what it is. An
 * accelerator is an FPGA or a DSP where the vendor's names say so, else a chip of its own:
 * ASIC, as are custom devices, whose functions are fixed.
 */
static enum he_device_kind kind_of(uint64_t type, const char *name, const char *platform_name)
{
    static const char *const fpga[] = { "fpga", "xilinx", "alveo", "altera", "versal", NULL };
    static const char *const dsp[] = { "dsp", "hexagon", NULL };

    if (type & (CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_CPU))
        return HE_KIND_GPU;
    if (names_one_of(name, fpga) || names_one_of(platform_name, fpga))
        return HE_KIND_FPGA;
    if (names_one_of(name, dsp))
        return HE_KIND_DSP;
    return type & (CL_DEVICE_TYPE_ACCELERATOR | CL_DEVICE_TYPE_CUSTOM) ? HE_KIND_ASIC
                                                                      : HE_KIND_OTHER;
}

/* For tests: devices are taken for such that run only what was built elsewhere. */
static bool hides_compilers(void)
{
    const char *told = getenv("HETEROENGINE_OPENCL_COMPILER");

    return told && strcmp(told, "off") == 0;
}

/* False for a device we cannot use. */
static bool describe(const struct opencl_api *cl, cl_device_id device, const char *platform_name,
                     struct opencl_found *out)
{
    uint64_t type = number_of(cl, device, CL_DEVICE_TYPE, sizeof(cl_ulong));
    char name[96], version[64];

    if (!number_of(cl, device, CL_DEVICE_AVAILABLE, sizeof(cl_uint)))
        return false;
    /* Our kernels and buffers are those of a little-endian machine. */
    if (!number_of(cl, device, CL_DEVICE_ENDIAN_LITTLE, sizeof(cl_uint)))
        return false;
    text_of(cl, device, CL_DEVICE_NAME, name, sizeof name);
    text_of(cl, device, CL_DRIVER_VERSION, version, sizeof version);
    out->is_cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
    out->kind = kind_of(type, name, platform_name);
    out->has_compiler =
        number_of(cl, device, CL_DEVICE_COMPILER_AVAILABLE, sizeof(cl_uint)) && !hides_compilers();
    if (!out->has_compiler)
        text_of(cl, device, CL_DEVICE_BUILT_IN_KERNELS, out->built_in, sizeof out->built_in);
    snprintf(out->name, sizeof out->name, "%s%s%s", out->is_cpu ? platform_name : "",
             out->is_cpu ? ": " : "", name);
    if (strstr(platform_name, "Portable Computing Language"))
        snprintf(out->name, sizeof out->name, "PoCL on %s", name);
    snprintf(out->driver, sizeof out->driver, "%.80s %s", platform_name, version);
    out->units = (uint32_t)number_of(cl, device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint));
    out->mhz = (uint32_t)number_of(cl, device, CL_DEVICE_MAX_CLOCK_FREQUENCY, sizeof(cl_uint));
    out->group_items =
        (uint32_t)number_of(cl, device, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t));
    out->local_bytes = number_of(cl, device, CL_DEVICE_LOCAL_MEM_SIZE, sizeof(cl_ulong));
    out->vendor = number_of(cl, device, CL_DEVICE_VENDOR_ID, sizeof(cl_uint));
    if (out->vendor == OPENCL_VENDOR_NVIDIA)
        out->capability =
            (uint32_t)(10 * number_of(cl, device, COMPUTE_CAPABILITY_MAJOR_NV, sizeof(cl_uint)) +
                       number_of(cl, device, COMPUTE_CAPABILITY_MINOR_NV, sizeof(cl_uint)));
    out->memory_bytes = number_of(cl, device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(cl_ulong));
    out->largest_buffer = number_of(cl, device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(cl_ulong));
    out->has_fp64 = number_of(cl, device, CL_DEVICE_DOUBLE_FP_CONFIG, sizeof(cl_ulong)) != 0;
    return true;
}

/* A platform's devices; those of type CUSTOM are none of ALL's. */
static cl_uint list_devices(const struct opencl_api *cl, cl_platform_id platform,
                            cl_device_id out[OPENCL_DEVICES_MAX])
{
    cl_device_id custom[OPENCL_DEVICES_MAX];
    cl_uint count = 0, custom_count = 0;

    if (cl->clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, OPENCL_DEVICES_MAX, out, &count) !=
        CL_SUCCESS)
        count = 0;
    if (cl->clGetDeviceIDs(platform, CL_DEVICE_TYPE_CUSTOM, OPENCL_DEVICES_MAX, custom,
                           &custom_count) != CL_SUCCESS)
        custom_count = 0;
    count = count < OPENCL_DEVICES_MAX ? count : OPENCL_DEVICES_MAX;
    custom_count = custom_count < OPENCL_DEVICES_MAX ? custom_count : OPENCL_DEVICES_MAX;
    for (cl_uint c = 0; c < custom_count && count < OPENCL_DEVICES_MAX; c++) {
        cl_uint d = 0;

        while (d < count && out[d] != custom[c])
            d++;
        if (d == count)
            out[count++] = custom[c];
    }
    return count;
}

/* The devices of a platform that stand on the host's cores, or all the others. */
static void ask_platform(const struct opencl_api *cl, cl_platform_id platform, uint32_t index,
                         bool wants_cpus, uint32_t *ordinals, struct report *out)
{
    cl_device_id devices[OPENCL_DEVICES_MAX];
    cl_uint device_count;
    char name[128] = "";

    if (cl->clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof name - 1, name, NULL) !=
        CL_SUCCESS)
        return;
    device_count = list_devices(cl, platform, devices);
    for (cl_uint d = 0; d < device_count && out->count < OPENCL_DEVICES_MAX; d++) {
        struct opencl_found *found = &out->found[out->count];

        *found = (struct opencl_found){ .platform = index, .device = d };
        if (!describe(cl, devices[d], name, found) || found->is_cpu != wants_cpus)
            continue;
        found->index = ordinals[found->kind]++;
        out->count++;
    }
}

static void ask(struct report *out)
{
    uint32_t ordinals[HE_KIND_COUNT] = { 0 };
    cl_platform_id platforms[PLATFORMS_MAX];
    const struct opencl_api *cl;
    cl_uint platform_count = 0;
    const char *reason;
    cl_int error;

    memset(out, 0, sizeof *out);
    cl = opencl_api_open(&reason);
    if (!cl) {
        snprintf(out->reason, sizeof out->reason, "%s", reason);
        return;
    }
    error = cl->clGetPlatformIDs(PLATFORMS_MAX, platforms, &platform_count);
    if (error != CL_SUCCESS)
        platform_count = 0;
    if (platform_count > PLATFORMS_MAX)
        platform_count = PLATFORMS_MAX;
    /* GPU:0 is a card where there is one; processors that stand in for one come last. */
    for (cl_uint p = 0; p < platform_count; p++)
        ask_platform(cl, platforms[p], p, false, ordinals, out);
    for (cl_uint p = 0; p < platform_count; p++)
        ask_platform(cl, platforms[p], p, true, ordinals, out);
    if (!out->count)
        snprintf(out->reason, sizeof out->reason,
                 platform_count ? "%u OpenCL platforms, none with a device we can use"
                                : "no OpenCL platform is installed",
                 platform_count);
}

/* --- The child --- */

/* HETEROENGINE_OPENCL_PROBE_SECONDS: how long drivers may take to say what they have. */
static unsigned probe_seconds(void)
{
    const char *told = getenv("HETEROENGINE_OPENCL_PROBE_SECONDS");
    unsigned long seconds = told ? strtoul(told, NULL, 10) : 0;

    return seconds > 0 && seconds < 3600 ? (unsigned)seconds : PROBE_SECONDS;
}

static void ask_as_child(int to)
{
    struct report report;
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

    /* What a driver has to say is of no interest here. */
    if (nowhere >= 0) {
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
    }
    signal(SIGALRM, SIG_DFL);
    alarm(probe_seconds() + 1); /* should the parent be gone */
    ask(&report);
    if (write(to, &report, sizeof report) < 0)
        _exit(1);
    _exit(0);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* True when a whole report came in time. */
static bool receive(int from, struct report *out)
{
    int64_t deadline = now_ms() + (int64_t)probe_seconds() * 1000;
    size_t got = 0;

    while (got < sizeof *out) {
        struct pollfd wait = { .fd = from, .events = POLLIN };
        int64_t left = deadline - now_ms();
        ssize_t size;

        if (left <= 0)
            return false;
        if (poll(&wait, 1, (int)left) < 0 && errno != EINTR)
            return false;
        if (!wait.revents)
            continue;
        size = read(from, (char *)out + got, sizeof *out - got);
        if (size == 0 || (size < 0 && errno != EINTR))
            return false;
        got += size > 0 ? (size_t)size : 0;
    }
    return out->count <= OPENCL_DEVICES_MAX;
}

static void find(void)
{
    int ends[2], status = 0;
    pid_t child;
    bool is_there;

    if (opencl_api_is_loaded() || pipe2(ends, O_CLOEXEC) != 0) {
        ask(&known);
        return;
    }
    child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        ask(&known);
        return;
    }
    if (child == 0)
        ask_as_child(ends[1]);
    close(ends[1]);
    is_there = receive(ends[0], &known);
    close(ends[0]);
    kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    known.reason[sizeof known.reason - 1] = '\0';
    if (is_there)
        return;
    memset(&known, 0, sizeof known);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        snprintf(known.reason, sizeof known.reason,
                 "an OpenCL driver crashed (signal %d) when asked for its devices; "
                 "hetero check --compatibility says which", WTERMSIG(status));
    else
        snprintf(known.reason, sizeof known.reason,
                 "the OpenCL drivers gave no answer within %u seconds; "
                 "hetero check --compatibility says which", probe_seconds());
}

size_t opencl_find(const struct opencl_found **out, const char **reason)
{
    pthread_once(&once, find);
    *out = known.found;
    *reason = known.reason;
    return known.count;
}

he_status opencl_find_handles(const struct opencl_api *cl, const struct opencl_found *found,
                              cl_platform_id *platform, cl_device_id *device)
{
    cl_device_id devices[OPENCL_DEVICES_MAX];
    cl_platform_id platforms[PLATFORMS_MAX];
    cl_uint platform_count = 0;
    cl_int error = cl->clGetPlatformIDs(PLATFORMS_MAX, platforms, &platform_count);

    if (error == CL_SUCCESS && found->platform < platform_count) {
        if (found->device < list_devices(cl, platforms[found->platform], devices)) {
            *platform = platforms[found->platform];
            *device = devices[found->device];
            return HE_OK;
        }
    }
    return he_error_set(HE_ERR_NO_DEVICE, "the OpenCL device '%s' is gone (%s)", found->name,
                        opencl_error_name(error));
}
