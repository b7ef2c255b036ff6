/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What moving bytes and launching cost through OpenCL, for every device the opencl backend finds:
 *
 *   rates      to and from the device by size: from pageable memory, from pinned memory
 *              (CL_MEM_ALLOC_HOST_PTR, mapped once), by mapping the buffer itself, and by the
 *              backend's own buffer_write and buffer_read
 *   overlap    a copy up, a copy down and a kernel of about the same time, one after the
 *              other and then each in a queue of its own
 *   launches   an empty kernel: enqueued, enqueued with an event, with profiling, and recorded in
 *              a command buffer where there are any
 *
 * Medians of the repetitions. OpenCL is called as the backend calls it, through its table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../backends/opencl/opencl.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/device.h"

#define MIB ((size_t)1 << 20)
#define LARGEST (256 * MIB)
#define OVERLAP_BYTES (64 * MIB)
#define LAUNCHES 500
#define REPETITIONS_MAX 31

static const struct opencl_api *cl;

struct bench {
    const struct opencl_found *found;
    cl_platform_id platform;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue, up, down;
    cl_mem mem, pinned_mem;
    char *pageable, *pinned;
    size_t most; /* bytes of each */
    struct he_device *ours;
    void *our_buffer;
};

static void die(const char *what, cl_int error)
{
    fprintf(stderr, "transfers: %s: %s\n", what,
            error ? opencl_error_name(error) : he_error_message());
    exit(EXIT_FAILURE);
}

static void need(cl_int error, const char *what)
{
    if (error != CL_SUCCESS)
        die(what, error);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Median seconds of @act. */
static double median(struct bench *b, void (*act)(struct bench *, size_t), size_t bytes)
{
    int repetitions = bytes > 16 * MIB ? 5 : REPETITIONS_MAX;
    double seconds[REPETITIONS_MAX];

    act(b, bytes);
    for (int k = 0; k < repetitions; k++) {
        uint64_t start_ns = he_now_ns();

        act(b, bytes);
        seconds[k] = (double)(he_now_ns() - start_ns) * 1e-9;
    }
    qsort(seconds, (size_t)repetitions, sizeof *seconds, by_value);
    return seconds[repetitions / 2];
}

/* --- Rates --- */

static void write_pageable(struct bench *b, size_t bytes)
{
    need(cl->clEnqueueWriteBuffer(b->queue, b->mem, CL_TRUE, 0, bytes, b->pageable, 0, NULL, NULL),
         "write");
}

static void read_pageable(struct bench *b, size_t bytes)
{
    need(cl->clEnqueueReadBuffer(b->queue, b->mem, CL_TRUE, 0, bytes, b->pageable, 0, NULL, NULL),
         "read");
}

static void write_pinned(struct bench *b, size_t bytes)
{
    need(cl->clEnqueueWriteBuffer(b->queue, b->mem, CL_TRUE, 0, bytes, b->pinned, 0, NULL, NULL),
         "write");
}

static void read_pinned(struct bench *b, size_t bytes)
{
    need(cl->clEnqueueReadBuffer(b->queue, b->mem, CL_TRUE, 0, bytes, b->pinned, 0, NULL, NULL),
         "read");
}

static void copy_mapped(struct bench *b, size_t bytes, cl_map_flags flags)
{
    cl_int error;
    void *at = cl->clEnqueueMapBuffer(b->queue, b->mem, CL_TRUE, flags, 0, bytes, 0, NULL, NULL,
                                      &error);

    need(error, "map");
    if (flags == CL_MAP_READ)
        memcpy(b->pageable, at, bytes);
    else
        memcpy(at, b->pageable, bytes);
    need(cl->clEnqueueUnmapMemObject(b->queue, b->mem, at, 0, NULL, NULL), "unmap");
    need(cl->clFinish(b->queue), "finish");
}

static void write_mapped(struct bench *b, size_t bytes)
{
    copy_mapped(b, bytes, CL_MAP_WRITE_INVALIDATE_REGION);
}

static void read_mapped(struct bench *b, size_t bytes)
{
    copy_mapped(b, bytes, CL_MAP_READ);
}

static void write_ours(struct bench *b, size_t bytes)
{
    if (he_device_buffer_write(b->ours, b->our_buffer, 0, b->pageable, bytes) != HE_OK)
        die("buffer_write", 0);
}

static void read_ours(struct bench *b, size_t bytes)
{
    if (he_device_buffer_read(b->ours, b->our_buffer, 0, b->pageable, bytes) != HE_OK)
        die("buffer_read", 0);
}

static void copy_host(struct bench *b, size_t bytes)
{
    memcpy(b->pinned, b->pageable, bytes);
}

static void print_rates(struct bench *b)
{
    void (*const acts[])(struct bench *, size_t) = { write_pageable, write_pinned, write_mapped,
                                                     write_ours, read_pageable, read_pinned,
                                                     read_mapped, read_ours, copy_host };

    printf("  GB/s        ---------- to the device ----------  --------- from the device --------- "
           "memcpy to\n"
           "  bytes       pageable   pinned   mapped     ours  pageable   pinned   mapped     ours "
           "   pinned\n");
    for (size_t bytes = 4096; bytes <= b->most; bytes *= 4) {
        printf("  %-10zu", bytes);
        for (size_t k = 0; k < sizeof acts / sizeof acts[0]; k++)
            printf("%s%9.2f", k == 4 ? " " : "", (double)bytes / median(b, acts[k], bytes) * 1e-9);
        printf("\n");
        fflush(stdout);
    }
    write_pageable(b, 4096);
    printf("  one blocking write of 4 KiB %.1f us, read %.1f us; ours %.1f and %.1f us\n",
           median(b, write_pageable, 4096) * 1e6, median(b, read_pageable, 4096) * 1e6,
           median(b, write_ours, 4096) * 1e6, median(b, read_ours, 4096) * 1e6);
}

/* --- Overlap --- */

static const char source[] =
    "__kernel void spin(__global float *x, int rounds) {\n"
    "    float v = x[get_global_id(0)];\n"
    "    for (int k = 0; k < rounds; k++) v = v * 0.999f + 0.001f;\n"
    "    x[get_global_id(0)] = v;\n"
    "}\n"
    "__kernel void nothing(__global float *x, int rounds) { }\n";

struct spinner {
    cl_kernel kernel;
    cl_mem mem;
    size_t items;
};

static struct spinner spinner, nothing;
static bool has_up, has_down, has_kernel, is_spread, is_pinned;

/* The parts that are asked for, each in its own queue or all in one. */
static void run_parts(struct bench *b, size_t bytes)
{
    cl_command_queue up = is_spread ? b->up : b->queue, down = is_spread ? b->down : b->queue;
    char *memory = is_pinned ? b->pinned : b->pageable;

    if (has_kernel) {
        need(cl->clEnqueueNDRangeKernel(b->queue, spinner.kernel, 1, NULL, &spinner.items, NULL, 0,
                                        NULL, NULL), "kernel");
        need(cl->clFlush(b->queue), "flush");
    }
    if (has_up) {
        need(cl->clEnqueueWriteBuffer(up, b->mem, CL_FALSE, 0, bytes, memory, 0, NULL, NULL),
             "write");
        need(cl->clFlush(up), "flush");
    }
    if (has_down) {
        need(cl->clEnqueueReadBuffer(down, b->mem, CL_FALSE, bytes, bytes, memory + bytes, 0, NULL,
                                     NULL), "read");
        need(cl->clFlush(down), "flush");
    }
    need(cl->clFinish(b->queue), "finish");
    need(cl->clFinish(b->up), "finish");
    need(cl->clFinish(b->down), "finish");
}

static double time_parts(struct bench *b, size_t bytes, const char *parts, bool spread)
{
    has_up = strchr(parts, 'u') != NULL;
    has_down = strchr(parts, 'd') != NULL;
    has_kernel = strchr(parts, 'k') != NULL;
    is_spread = spread;
    return median(b, run_parts, bytes) * 1e3;
}

static void set_rounds(cl_int rounds)
{
    need(cl->clSetKernelArg(spinner.kernel, 1, sizeof rounds, &rounds), "argument");
}

static void print_overlap(struct bench *b)
{
    size_t bytes = b->most / 2 < OVERLAP_BYTES ? b->most / 2 : OVERLAP_BYTES;
    static const char *const parts[] = { "uk", "dk", "ud", "udk" };
    cl_int rounds = 64;

    printf("  overlap of %zu MiB, ms     up  down  kernel | in one queue / in queues of their own\n"
           "                                           |  up+kernel   down+kernel      up+down  all "
           "three\n", bytes / MIB);
    for (int pinned = 0; pinned < 2; pinned++) {
        double up, down, kernel;

        is_pinned = pinned;
        up = time_parts(b, bytes, "u", false);
        down = time_parts(b, bytes, "d", false);
        for (;;) { /* a kernel of about a copy's time */
            set_rounds(rounds);
            kernel = time_parts(b, bytes, "k", false);
            if (kernel >= up * 0.7 || rounds > (1 << 26))
                break;
            rounds = kernel < up * 0.1 ? rounds * 6 : rounds * 3 / 2;
        }
        printf("  %-10s %16.2f %6.2f %6.2f  |", pinned ? "pinned" : "pageable", up, down, kernel);
        for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++)
            printf(" %6.2f/%-6.2f", time_parts(b, bytes, parts[k], false),
                   time_parts(b, bytes, parts[k], true));
        printf("\n");
        fflush(stdout);
    }
}

/* --- Launches --- */

/* cl_khr_command_buffer as of version 0.9.0, which PoCL 3.1 has. */
struct recorder {
    void *(CL_API_CALL *create)(cl_uint, const cl_command_queue *, const cl_ulong *, cl_int *);
    cl_int(CL_API_CALL *record)(void *, cl_command_queue, const cl_ulong *, cl_kernel, cl_uint,
                                const size_t *, const size_t *, const size_t *, cl_uint,
                                const cl_uint *, cl_uint *, void *);
    cl_int(CL_API_CALL *finalize)(void *);
    cl_int(CL_API_CALL *enqueue)(cl_uint, cl_command_queue *, void *, cl_uint, const cl_event *,
                                 cl_event *);
    cl_int(CL_API_CALL *release)(void *);
};

static bool find_recorder(const struct bench *b, struct recorder *out)
{
    const char *const names[] = { "clCreateCommandBufferKHR", "clCommandNDRangeKernelKHR",
                                  "clFinalizeCommandBufferKHR", "clEnqueueCommandBufferKHR",
                                  "clReleaseCommandBufferKHR" };
    void *found[5];
    char *extensions;
    size_t size = 0;

    if (cl->clGetDeviceInfo(b->device, CL_DEVICE_EXTENSIONS, 0, NULL, &size) || !size)
        return false;
    extensions = calloc(size + 1, 1);
    if (!extensions)
        die("memory", CL_OUT_OF_HOST_MEMORY);
    cl->clGetDeviceInfo(b->device, CL_DEVICE_EXTENSIONS, size, extensions, NULL);
    if (!strstr(extensions, "cl_khr_command_buffer")) {
        free(extensions);
        return false;
    }
    free(extensions);
    for (size_t k = 0; k < 5; k++) {
        found[k] = cl->clGetExtensionFunctionAddressForPlatform(b->platform, names[k]);
        if (!found[k])
            return false;
    }
    memcpy(out, found, sizeof found);
    return true;
}

struct launch_times {
    double enqueue_us, done_us;
};

static struct launch_times time_launches(struct bench *b, cl_command_queue queue, size_t items,
                                         bool with_events)
{
    double enqueue[REPETITIONS_MAX], done[REPETITIONS_MAX];
    static cl_event events[LAUNCHES];
    size_t group = 1;

    (void)b;
    for (int r = -2; r < REPETITIONS_MAX; r++) {
        uint64_t start_ns = he_now_ns(), enqueued_ns;

        for (int k = 0; k < LAUNCHES; k++)
            need(cl->clEnqueueNDRangeKernel(queue, nothing.kernel, 1, NULL, &items, &group, 0, NULL,
                                            with_events ? &events[k] : NULL), "kernel");
        enqueued_ns = he_now_ns();
        need(cl->clFinish(queue), "finish");
        if (r >= 0) {
            enqueue[r] = (double)(enqueued_ns - start_ns) * 1e-3 / LAUNCHES;
            done[r] = (double)(he_now_ns() - start_ns) * 1e-3 / LAUNCHES;
        }
        for (int k = 0; with_events && k < LAUNCHES; k++)
            cl->clReleaseEvent(events[k]);
    }
    qsort(enqueue, REPETITIONS_MAX, sizeof *enqueue, by_value);
    qsort(done, REPETITIONS_MAX, sizeof *done, by_value);
    return (struct launch_times){ enqueue[REPETITIONS_MAX / 2], done[REPETITIONS_MAX / 2] };
}

static void print_recorded(struct bench *b)
{
    size_t items = 1, group = 1;
    double times[REPETITIONS_MAX];
    struct recorder recorder;
    void *commands;
    cl_int error;

    if (!find_recorder(b, &recorder)) {
        printf("  no command buffers\n");
        return;
    }
    commands = recorder.create(1, &b->queue, NULL, &error);
    if (!commands) {
        printf("  clCreateCommandBufferKHR: %s\n", opencl_error_name(error));
        return;
    }
    for (int k = 0; k < LAUNCHES; k++)
        need(recorder.record(commands, NULL, NULL, nothing.kernel, 1, NULL, &items, &group, 0, NULL,
                             NULL, NULL), "clCommandNDRangeKernelKHR");
    need(recorder.finalize(commands), "clFinalizeCommandBufferKHR");
    for (int r = -2; r < REPETITIONS_MAX; r++) {
        uint64_t start_ns = he_now_ns();

        need(recorder.enqueue(0, NULL, commands, 0, NULL, NULL), "clEnqueueCommandBufferKHR");
        need(cl->clFinish(b->queue), "finish");
        if (r >= 0)
            times[r] = (double)(he_now_ns() - start_ns) * 1e-3 / LAUNCHES;
    }
    qsort(times, REPETITIONS_MAX, sizeof *times, by_value);
    printf("  from a command buffer of %d: %.2f us done\n", LAUNCHES, times[REPETITIONS_MAX / 2]);
    recorder.release(commands);
}

static void print_launches(struct bench *b)
{
    struct launch_times plain = time_launches(b, b->queue, 1, false);
    struct launch_times events = time_launches(b, b->queue, 1, true), profiled;
    cl_command_queue queue;
    cl_int error;

    queue = cl->clCreateCommandQueue(b->context, b->device, CL_QUEUE_PROFILING_ENABLE, &error);
    need(error, "profiling queue");
    profiled = time_launches(b, queue, 1, true);
    cl->clReleaseCommandQueue(queue);
    printf("  an empty launch, us enqueued / done: plain %.2f / %.2f, with an event %.2f / %.2f, "
           "profiled %.2f / %.2f\n", plain.enqueue_us, plain.done_us, events.enqueue_us,
           events.done_us, profiled.enqueue_us, profiled.done_us);
    queue = cl->clCreateCommandQueue(b->context, b->device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE,
                                     &error);
    if (error == CL_SUCCESS) {
        struct launch_times loose = time_launches(b, queue, 1, false);

        printf("  out of order %.2f / %.2f\n", loose.enqueue_us, loose.done_us);
        cl->clReleaseCommandQueue(queue);
    }
    print_recorded(b);
}

/* --- Devices --- */

static void print_host_memory(struct bench *b)
{
    cl_int error;
    char *host = aligned_alloc(4096, MIB), *at;
    cl_mem mem = cl->clCreateBuffer(b->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, MIB, host,
                                    &error);

    need(error, "clCreateBuffer");
    at = cl->clEnqueueMapBuffer(b->queue, mem, CL_TRUE, CL_MAP_WRITE, 0, MIB, 0, NULL, NULL, &error);
    need(error, "map");
    printf("  the host's memory used in place maps to %s\n",
           at == host ? "the same address" : "another address");
    cl->clEnqueueUnmapMemObject(b->queue, mem, at, 0, NULL, NULL);
    cl->clFinish(b->queue);
    cl->clReleaseMemObject(mem);
    free(host);
}

static void open_kernels(struct bench *b)
{
    const char *text = source;
    size_t size = sizeof source - 1;
    cl_int error, rounds = 1;
    cl_program program = cl->clCreateProgramWithSource(b->context, 1, &text, &size, &error);

    need(error, "program");
    need(cl->clBuildProgram(program, 1, &b->device, "-cl-std=CL1.2", NULL, NULL), "build");
    spinner.items = (size_t)b->found->units * (b->found->is_cpu ? 64 : 2048);
    spinner.mem = cl->clCreateBuffer(b->context, CL_MEM_READ_WRITE, spinner.items * sizeof(float),
                                     NULL, &error);
    need(error, "buffer");
    spinner.kernel = cl->clCreateKernel(program, "spin", &error);
    need(error, "kernel");
    nothing.kernel = cl->clCreateKernel(program, "nothing", &error);
    need(error, "kernel");
    need(cl->clSetKernelArg(spinner.kernel, 0, sizeof spinner.mem, &spinner.mem), "argument");
    need(cl->clSetKernelArg(nothing.kernel, 0, sizeof spinner.mem, &spinner.mem), "argument");
    need(cl->clSetKernelArg(nothing.kernel, 1, sizeof rounds, &rounds), "argument");
    cl->clReleaseProgram(program);
}

static void open_bench(struct bench *b, size_t index)
{
    struct he_device_config config = { .struct_size = sizeof config,
                                       .allocator = he_allocator_default };
    cl_int error;

    b->most = LARGEST;
    while (b->most > b->found->largest_buffer || b->most > b->found->memory_bytes / 8)
        b->most /= 4;
    if (he_device_open(he_backend_find("opencl"), index, &config, &he_allocator_default,
                       &b->ours) != HE_OK ||
        he_device_buffer_alloc(b->ours, b->most, &b->our_buffer) != HE_OK ||
        opencl_find_handles(cl, b->found, &b->platform, &b->device) != HE_OK)
        die(b->found->name, 0);
    b->context = cl->clCreateContext(NULL, 1, &b->device, NULL, NULL, &error);
    need(error, "context");
    b->queue = cl->clCreateCommandQueue(b->context, b->device, 0, &error);
    need(error, "queue");
    b->up = cl->clCreateCommandQueue(b->context, b->device, 0, &error);
    need(error, "queue");
    b->down = cl->clCreateCommandQueue(b->context, b->device, 0, &error);
    need(error, "queue");
    b->mem = cl->clCreateBuffer(b->context, CL_MEM_READ_WRITE, b->most, NULL, &error);
    need(error, "buffer");
    b->pinned_mem = cl->clCreateBuffer(b->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR,
                                       b->most, NULL, &error);
    need(error, "pinned buffer");
    b->pinned = cl->clEnqueueMapBuffer(b->queue, b->pinned_mem, CL_TRUE,
                                       CL_MAP_READ | CL_MAP_WRITE, 0, b->most, 0, NULL, NULL,
                                       &error);
    need(error, "map");
    b->pageable = aligned_alloc(4096, b->most);
    if (!b->pageable)
        die("memory", CL_OUT_OF_HOST_MEMORY);
    memset(b->pageable, 1, b->most);
    memset(b->pinned, 1, b->most);
    open_kernels(b);
}

static void close_bench(struct bench *b)
{
    cl->clReleaseKernel(spinner.kernel);
    cl->clReleaseKernel(nothing.kernel);
    cl->clReleaseMemObject(spinner.mem);
    cl->clEnqueueUnmapMemObject(b->queue, b->pinned_mem, b->pinned, 0, NULL, NULL);
    cl->clFinish(b->queue);
    cl->clReleaseMemObject(b->pinned_mem);
    cl->clReleaseMemObject(b->mem);
    cl->clReleaseCommandQueue(b->queue);
    cl->clReleaseCommandQueue(b->up);
    cl->clReleaseCommandQueue(b->down);
    cl->clReleaseContext(b->context);
    he_device_buffer_free(b->ours, b->our_buffer);
    he_device_close(b->ours);
    free(b->pageable);
}

int main(int argc, char **argv)
{
    const struct opencl_found *found;
    const char *reason;
    size_t count = opencl_find(&found, &reason);

    cl = count ? opencl_api_open(&reason) : NULL;
    if (!cl) {
        printf("no OpenCL device: %s\n", reason);
        return 77;
    }
    for (size_t k = 0; k < count; k++) {
        struct bench b = { .found = &found[k] };

        if (argc > 1 && strtoul(argv[1], NULL, 10) != k)
            continue;
        printf("%s, %s\n", found[k].name, found[k].driver);
        open_bench(&b, k);
        print_host_memory(&b);
        print_launches(&b);
        print_rates(&b);
        print_overlap(&b);
        close_bench(&b);
    }
    return 0;
}
