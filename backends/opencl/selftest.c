/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device does in truth, measured in a fraction of a second: multiply-adds in registers,
 * a copy within its memory, an empty launch, and whether it works in the host's memory.
 *
 * Work is doubled until it takes long enough to be timed, so that a simulator and a large card
 * both answer soon. The queue is the test's own: it disturbs nothing but by being busy.
 *
 * Whether memory is shared cannot be asked. A pointer that stays the same after mapping proves
 * nothing: NVIDIA's driver gives the host's pointer back and copies behind it, once on
 * launching and once on mapping. So three things must hold: the same pointer, what the
 * kernel wrote seen through it, and a cost that does not grow with the buffer's size.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "opencl.h"

#define LONG_ENOUGH_NS 2000000u
#define SHORT_BYTES ((size_t)4 << 10)
#define LONG_BYTES ((size_t)64 << 20)
#define LARGEST_COPY ((size_t)256 << 20)
#define LARGEST_ROUNDS (1 << 16)
#define GROUP 64
#define LAUNCHES 32
#define CYCLES 6
#define TRIES 3
/* No link to another memory is as fast: a slope beyond it is no copy. */
#define COPY_RATE_LIMIT 1e12

static const char source[] =
    "#define STEP(x) x = x * a + b; y##x = y##x * a + b;\n"
    "__kernel __attribute__((reqd_work_group_size(64, 1, 1)))\n"
    "void multiply(__global float *out, int rounds, float a, float b)\n"
    "{\n"
    "    float4 p = (float4)(get_global_id(0)), q = p + 1.0f, r = p + 2.0f, s = p + 3.0f;\n"
    "    float4 yp = p + 4.0f, yq = p + 5.0f, yr = p + 6.0f, ys = p + 7.0f;\n"
    "    for (int k = 0; k < rounds; k++) {\n"
    "        STEP(p) STEP(q) STEP(r) STEP(s) STEP(p) STEP(q) STEP(r) STEP(s)\n"
    "    }\n"
    "    p += q + r + s + yp + yq + yr + ys;\n"
    "    out[get_global_id(0)] = p.x + p.y + p.z + p.w;\n"
    "}\n"
    "__kernel __attribute__((reqd_work_group_size(64, 1, 1)))\n"
    "void copy(__global float4 *to, __global const float4 *from)\n"
    "{\n"
    "    to[get_global_id(0)] = from[get_global_id(0)];\n"
    "}\n"
    "__kernel void nothing(__global float *out) { }\n"
    "__kernel void touch(__global int *at, ulong where, int by)\n"
    "{\n"
    "    at[where] += by;\n"
    "}\n";
#define FLOPS_PER_ROUND (2.0 * 8 * 4 * 2) /* 16 steps of 4 lanes, two operations each */

enum { MULTIPLY, COPY, NOTHING, TOUCH, KERNELS };
static const char *const names[KERNELS] = { "multiply", "copy", "nothing", "touch" };

struct test {
    const struct opencl_api *cl;
    struct opencl_device *dev;
    cl_command_queue queue;
    cl_program program;
    cl_kernel kernels[KERNELS];
    double launch_ns;
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static he_status finish(struct test *t)
{
    cl_int error = t->cl->clFinish(t->queue);

    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clFinish");
}

static he_status launch(struct test *t, int kernel, size_t items, size_t group)
{
    cl_int error = t->cl->clEnqueueNDRangeKernel(t->queue, t->kernels[kernel], 1, NULL, &items,
                                                 group ? &group : NULL, 0, NULL, NULL);

    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clEnqueueNDRangeKernel");
}

static he_status set(struct test *t, int kernel, cl_uint argument, size_t bytes, const void *value)
{
    cl_int error = t->cl->clSetKernelArg(t->kernels[kernel], argument, bytes, value);

    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clSetKernelArg");
}

static he_status make_buffer(struct test *t, cl_mem_flags flags, size_t bytes, void *host,
                             cl_mem *out)
{
    cl_int error;

    *out = t->cl->clCreateBuffer(t->dev->context, CL_MEM_READ_WRITE | flags, bytes, host, &error);
    return *out ? HE_OK : opencl_failed(error, "clCreateBuffer");
}

static void free_buffer(struct test *t, cl_mem mem)
{
    if (mem)
        t->cl->clReleaseMemObject(mem);
}

/* What one buffer of the test may take. */
static size_t room_for(const struct test *t, size_t wanted)
{
    uint64_t room = (t->dev->memory_cap ? t->dev->memory_cap : t->dev->found->memory_bytes) / 16;
    size_t bytes = wanted;

    if (t->dev->found->largest_buffer && room > t->dev->found->largest_buffer)
        room = t->dev->found->largest_buffer;
    while (bytes > SHORT_BYTES && bytes > room)
        bytes /= 2;
    return bytes;
}

/* @count launches, one after the other, by the clock: ns of each. */
static he_status time_launches(struct test *t, int kernel, size_t items, size_t group, int count,
                               double *out)
{
    uint64_t start;
    he_status status = finish(t);

    start = now_ns();
    for (int k = 0; k < count && status == HE_OK; k++)
        status = launch(t, kernel, items, group);
    if (status == HE_OK)
        status = finish(t);
    *out = (double)(now_ns() - start) / count;
    return status;
}

/* The shortest of some: what else the machine does makes none shorter. */
static he_status time_best(struct test *t, int kernel, size_t items, int count, double *out)
{
    he_status status = HE_OK;
    double ns;

    for (int k = 0; k < TRIES && status == HE_OK; k++) {
        status = time_launches(t, kernel, items, GROUP, count, &ns);
        if (k == 0 || ns < *out)
            *out = ns;
    }
    return status;
}

/* A launch's cost is in what was measured, and is no part of the work. */
static double rate(const struct test *t, double work, double ns)
{
    return work / (ns > 2 * t->launch_ns ? ns - t->launch_ns : ns) * 1e9;
}

static he_status measure_launch(struct test *t, cl_mem mem)
{
    he_status status = set(t, NOTHING, 0, sizeof mem, &mem);
    double first;

    if (status == HE_OK)
        status = time_launches(t, NOTHING, 1, 0, 1, &first); /* PoCL compiles now */
    if (status == HE_OK)
        status = time_launches(t, NOTHING, 1, 0, LAUNCHES, &t->launch_ns);
    return status;
}

/* First more items, until every unit has plenty; then longer ones. */
static he_status measure_multiply(struct test *t, cl_mem mem, size_t mem_bytes, double *flops)
{
    size_t items = GROUP, most = (size_t)t->dev->found->units * 2048;
    float a = 0.999f, b = 0.001f;
    cl_int rounds = 1;
    he_status status = set(t, MULTIPLY, 0, sizeof mem, &mem);
    double ns = 0;

    if (most > mem_bytes / sizeof(float))
        most = mem_bytes / sizeof(float);
    if (status == HE_OK)
        status = set(t, MULTIPLY, 2, sizeof a, &a);
    if (status == HE_OK)
        status = set(t, MULTIPLY, 3, sizeof b, &b);
    for (bool is_first = true; status == HE_OK; is_first = false) {
        status = set(t, MULTIPLY, 1, sizeof rounds, &rounds);
        if (status == HE_OK)
            status = time_launches(t, MULTIPLY, items, GROUP, 1, &ns);
        if (is_first) /* PoCL compiles now */
            continue;
        if (status == HE_OK && (ns >= LONG_ENOUGH_NS || rounds >= LARGEST_ROUNDS))
            status = time_best(t, MULTIPLY, items, 1, &ns);
        if (status != HE_OK || ns >= LONG_ENOUGH_NS / 2 || rounds >= LARGEST_ROUNDS)
            break; /* long, and not by what else the machine did */
        if (items * 2 <= most)
            items *= 2;
        else
            rounds *= 2;
    }
    *flops = rate(t, FLOPS_PER_ROUND * rounds * (double)items, ns);
    return status;
}

static he_status measure_copy(struct test *t, double *bytes_per_second)
{
    size_t most = room_for(t, t->dev->found->is_cpu ? LONG_BYTES : LARGEST_COPY);
    size_t bytes = SHORT_BYTES;
    cl_mem from = NULL, to = NULL;
    he_status status = make_buffer(t, 0, most, NULL, &from);
    double ns = 0;

    if (status == HE_OK)
        status = make_buffer(t, 0, most, NULL, &to);
    if (status == HE_OK)
        status = set(t, COPY, 0, sizeof to, &to);
    if (status == HE_OK)
        status = set(t, COPY, 1, sizeof from, &from);
    if (status == HE_OK) /* PoCL compiles now */
        status = time_launches(t, COPY, bytes / 16, GROUP, 1, &ns);
    /* A large card takes the largest size in less: what matters is that caches are left. */
    for (; status == HE_OK; bytes *= 2) {
        status = time_launches(t, COPY, bytes / 16, GROUP, 1, &ns);
        if (status == HE_OK && (ns >= LONG_ENOUGH_NS || bytes * 2 > most))
            status = time_best(t, COPY, bytes / 16, 1, &ns);
        if (status != HE_OK || ns >= LONG_ENOUGH_NS / 2 || bytes * 2 > most)
            break;
    }
    *bytes_per_second = rate(t, 2.0 * (double)bytes, ns);
    free_buffer(t, from);
    free_buffer(t, to);
    return status;
}

/* --- Memory --- */

struct cycle {
    bool is_same, is_seen;
    double ns; /* the shortest of some */
};

/* The host writes, the device adds, the host looks: once round. */
static he_status go_round(struct test *t, cl_mem mem, volatile cl_int *host, size_t bytes,
                          cl_int value, struct cycle *out)
{
    cl_ulong where = bytes / sizeof(cl_int) / 2;
    uint64_t start = now_ns();
    cl_int error, *mapped;
    he_status status;

    for (int turn = 0; turn < 2; turn++) {
        mapped = t->cl->clEnqueueMapBuffer(t->queue, mem, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0,
                                           bytes, 0, NULL, NULL, &error);
        if (!mapped)
            return opencl_failed(error, "clEnqueueMapBuffer");
        out->is_same &= (volatile cl_int *)mapped == host;
        if (turn == 0)
            mapped[where] = value;
        else
            out->is_seen &= host[where] == value + 1;
        error = t->cl->clEnqueueUnmapMemObject(t->queue, mem, mapped, 0, NULL, NULL);
        if (error != CL_SUCCESS)
            return opencl_failed(error, "clEnqueueUnmapMemObject");
        status = turn == 0 ? launch(t, TOUCH, 1, 0) : HE_OK;
        if (status == HE_OK)
            status = finish(t);
        if (status != HE_OK)
            return status;
    }
    if (out->ns <= 0 || (double)(now_ns() - start) < out->ns)
        out->ns = (double)(now_ns() - start);
    return HE_OK;
}

static he_status go_round_often(struct test *t, size_t bytes, struct cycle *out)
{
    void *host = aligned_alloc(4096, bytes);
    cl_ulong where = bytes / sizeof(cl_int) / 2;
    cl_int by = 1;
    cl_mem mem = NULL;
    he_status status;

    *out = (struct cycle){ .is_same = true, .is_seen = true };
    if (!host)
        return opencl_no_memory();
    memset(host, 1, bytes);
    status = make_buffer(t, CL_MEM_USE_HOST_PTR, bytes, host, &mem);
    if (status == HE_OK)
        status = set(t, TOUCH, 0, sizeof mem, &mem);
    if (status == HE_OK)
        status = set(t, TOUCH, 1, sizeof where, &where);
    if (status == HE_OK)
        status = set(t, TOUCH, 2, sizeof by, &by);
    for (cl_int k = 0; k < CYCLES && status == HE_OK; k++)
        status = go_round(t, mem, host, bytes, 100 + k, out);
    free_buffer(t, mem);
    free(host);
    return status;
}

static he_status measure_memory(struct test *t, enum he_host_memory *out)
{
    size_t large_bytes = room_for(t, LONG_BYTES);
    struct cycle small, large;
    he_status status = go_round_often(t, SHORT_BYTES, &small);
    double least_ns;

    if (status == HE_OK)
        status = go_round_often(t, large_bytes, &large);
    if (status != HE_OK)
        return status;
    /* What the fastest copy would take, there and back. */
    least_ns = 2e9 * (double)(large_bytes - SHORT_BYTES) / COPY_RATE_LIMIT;
    if (!small.is_seen || !large.is_seen)
        *out = HE_HOST_MEMORY_UNKNOWN; /* the driver breaks its promise: say nothing */
    else if (!small.is_same || !large.is_same)
        *out = HE_HOST_MEMORY_COPIED;
    else
        *out = large.ns - small.ns < least_ns ? HE_HOST_MEMORY_SHARED
                                              : HE_HOST_MEMORY_COPIED_SILENTLY;
    return HE_OK;
}

/* --- All of it --- */

static he_status begin(struct opencl_device *dev, struct test *t)
{
    const char *text = source;
    size_t size = sizeof source - 1;
    cl_int error;

    *t = (struct test){ .cl = dev->cl, .dev = dev };
    t->queue = t->cl->clCreateCommandQueue(dev->context, dev->id, 0, &error);
    if (!t->queue)
        return opencl_failed(error, "clCreateCommandQueue");
    t->program = t->cl->clCreateProgramWithSource(dev->context, 1, &text, &size, &error);
    if (!t->program)
        return opencl_failed(error, "clCreateProgramWithSource");
    error = t->cl->clBuildProgram(t->program, 1, &dev->id, "-cl-std=CL1.2 -cl-fast-relaxed-math",
                                  NULL, NULL);
    if (error != CL_SUCCESS)
        return opencl_failed(error, "clBuildProgram");
    for (int k = 0; k < KERNELS; k++) {
        t->kernels[k] = t->cl->clCreateKernel(t->program, names[k], &error);
        if (!t->kernels[k])
            return opencl_failed(error, "clCreateKernel");
    }
    return HE_OK;
}

static void end(struct test *t)
{
    if (t->queue)
        t->cl->clFinish(t->queue);
    for (int k = 0; k < KERNELS; k++)
        if (t->kernels[k])
            t->cl->clReleaseKernel(t->kernels[k]);
    if (t->program)
        t->cl->clReleaseProgram(t->program);
    if (t->queue)
        t->cl->clReleaseCommandQueue(t->queue);
}

he_status opencl_self_test(struct opencl_device *dev, struct he_self_test *samples, size_t count)
{
    enum he_host_memory memory = HE_HOST_MEMORY_UNKNOWN;
    size_t bytes;
    cl_mem mem = NULL;
    struct test t;
    he_status status;

    if (!dev->found->has_compiler)
        return he_error_set(HE_ERR_UNSUPPORTED, "%s has no compiler to build the self-test with",
                            dev->found->name);
    status = opencl_device_start(dev);
    if (status != HE_OK)
        return status;
    status = begin(dev, &t);
    bytes = room_for(&t, (size_t)4 << 20);
    if (status == HE_OK)
        status = make_buffer(&t, 0, bytes, NULL, &mem);
    if (status == HE_OK)
        status = measure_launch(&t, mem);
    if (status == HE_OK)
        status = measure_memory(&t, &memory);
    for (size_t k = 0; k < count && status == HE_OK; k++) {
        status = measure_launch(&t, mem);
        if (status == HE_OK)
            status = measure_multiply(&t, mem, bytes, &samples[k].fp32);
        if (status == HE_OK)
            status = measure_copy(&t, &samples[k].bandwidth);
        samples[k].launch_ns = t.launch_ns;
        samples[k].host_memory = memory;
    }
    free_buffer(&t, mem);
    end(&t);
    return status;
}
