/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels that are bound by memory, on any OpenCL device, through the backend's own front doors:
 * bytes that must be read and written (inputs once, output once) per second, beside what a copy
 * does in the same run, by a kernel of one float4 a work-item and by clEnqueueCopyBuffer. Data stay
 * on the device: many launches between two waits, in turns over as many sets of buffers as
 * no cache holds. The median of several batches.
 *
 *   gpu_kernels [--device N] [--small] [--only WORD]
 *
 * --device counts OpenCL devices as `hetero devices` lists them, cards first. --small divides the sizes by 64,
 * for devices that are processors.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../backends/opencl/opencl.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/device.h"
#include "support/graph_builder.h"

#define MOST_SETS 8
#define BATCHES 7
#define BATCH_NS 15000000u
/* What all sets of buffers of a case have together, at least where MOST_SETS allow: several times the
 * caches of today's cards. */
#define SETS_BYTES (384u << 20)

/* --- Cases --- */

struct attribute {
    const char *name;
    int count; /* 0: a single integer */
    int64_t values[8];
};

/* Shapes: a '*' stands before the dimension that --small divides. */
struct bench_case {
    const char *name, *op;
    const char *shapes[6]; /* "*64,256": a float input; "i3,1": an input of int64 numbers;
                            * "=0,2": an int64 constant with these contents */
    struct attribute attributes[4];
};

static const struct bench_case cases[] = {
    { "add 64M", "Add", { "*67108864", "*67108864" } },
    { "add 64M+3 (odd)", "Add", { "3,7,*3195661", "3,7,*3195661" } },
    { "relu 64M", "Relu", { "*67108864" } },
    { "sigmoid 64M", "Sigmoid", { "*67108864" } },
    { "gelu 64M", "Gelu", { "*67108864" } },
    { "bias per row 65536x1024", "Add", { "*65536,1024", "1024" } },
    { "bias per channel 64x256x56x56", "Add", { "*64,256,56,56", "256,1,1" } },
    { "BatchNormalization 64x256x56x56", "BatchNormalization",
      { "*64,256,56,56", "256", "256", "256", "256" } },
    { "Softmax 65536x1024", "Softmax", { "*65536,1024" } },
    { "Softmax 262144x197", "Softmax", { "*262144,197" } },
    { "Softmax 1Mx64", "Softmax", { "*1048576,64" } },
    { "Softmax 8x1M", "Softmax", { "8,*1048576" } },
    { "Softmax channels 64x128x8192", "Softmax", { "*64,128,8192" }, { { "axis", 0, { 1 } } } },
    { "ReduceSum last 65536x1024", "ReduceSum", { "*65536,1024", "=1" } },
    { "ReduceSum first 65536x1024", "ReduceSum", { "*65536,1024", "=0" } },
    { "ReduceSum first 1048576x64", "ReduceSum", { "*1048576,64", "=0" } },
    { "ReduceSum all 64M", "ReduceSum", { "*67108864", "=0" } },
    { "ReduceMax middle 64x256x4096", "ReduceMax", { "*64,256,4096" },
      { { "axes", 1, { 1 } } } },
    { "ReduceMean last 1Mx64", "ReduceMean", { "*1048576,64" }, { { "axes", 1, { 1 } } } },
    { "ReduceMean 0,2,3 of 64x256x56x56", "ReduceMean", { "*64,256,56,56" },
      { { "axes", 3, { 0, 2, 3 } } } },
    { "GlobalAveragePool 256x2048x7x7", "GlobalAveragePool", { "*256,2048,7,7" } },
    { "GlobalAveragePool 64x256x56x56", "GlobalAveragePool", { "*64,256,56,56" } },
    { "LayerNorm 65536x1024", "LayerNormalization", { "*65536,1024", "1024", "1024" } },
    { "LayerNorm 65536x768", "LayerNormalization", { "*65536,768", "768", "768" } },
    { "InstanceNorm 64x64x128x128", "InstanceNormalization", { "*64,64,128,128", "64", "64" } },
    { "InstanceNorm 1x32x1024x1024", "InstanceNormalization", { "1,32,*1024,1024", "32", "32" } },
    { "Transpose 8192x8192", "Transpose", { "*8192,8192" }, { { "perm", 2, { 1, 0 } } } },
    { "Transpose 4096x4096", "Transpose", { "*4096,4096" }, { { "perm", 2, { 1, 0 } } } },
    { "Transpose 4095x8191", "Transpose", { "*4095,8191" }, { { "perm", 2, { 1, 0 } } } },
    { "NCHW->NHWC 64x256x56x56", "Transpose", { "*64,256,56,56" }, { { "perm", 4, { 0, 2, 3, 1 } } } },
    { "NHWC->NCHW 64x56x56x256", "Transpose", { "*64,56,56,256" }, { { "perm", 4, { 0, 3, 1, 2 } } } },
    { "NCHW->NHWC 256x3x224x224", "Transpose", { "*256,3,224,224" }, { { "perm", 4, { 0, 2, 3, 1 } } } },
    { "NHWC->NCHW 256x224x224x3", "Transpose", { "*256,224,224,3" }, { { "perm", 4, { 0, 3, 1, 2 } } } },
    { "0213 32x1024x16x64", "Transpose", { "*32,1024,16,64" }, { { "perm", 4, { 0, 2, 1, 3 } } } },
    { "0231 32x1024x16x64", "Transpose", { "*32,1024,16,64" }, { { "perm", 4, { 0, 2, 3, 1 } } } },
    { "3210 64x32x128x256", "Transpose", { "*64,32,128,256" }, { { "perm", 4, { 3, 2, 1, 0 } } } },
    { "Concat channels 2 of 64x128x56x56", "Concat", { "*64,128,56,56", "*64,128,56,56" },
      { { "axis", 0, { 1 } } } },
    { "Concat last 2 of 65536x512", "Concat", { "*65536,512", "*65536,512" }, { { "axis", 0, { 1 } } } },
    { "Slice 16384x4096 [:,1:4095]", "Slice", { "*16384,4096", "=1", "=4095", "=1" } },
    { "Pad 64x64x112x112 by 1", "Pad", { "*64,64,112,112", "=0,0,1,1,0,0,1,1" } },
    { "Gather 65536 rows of 768", "Gather", { "32768,768", "i*65536" } },
    { "Expand 1024 -> 65536x1024", "Expand", { "1024", "=*65536,1024" } },
    { "MaxPool 3x3 s2 64x64x112x112", "MaxPool", { "*64,64,112,112" },
      { { "kernel_shape", 2, { 3, 3 } }, { "strides", 2, { 2, 2 } }, { "pads", 4, { 1, 1, 1, 1 } } } },
    { "AveragePool 2x2 s2 64x64x112x112", "AveragePool", { "*64,64,112,112" },
      { { "kernel_shape", 2, { 2, 2 } }, { "strides", 2, { 2, 2 } } } },
};

static void die(const char *what)
{
    fprintf(stderr, "gpu_kernels: %s: %s\n", what, he_error_message());
    exit(EXIT_FAILURE);
}

static void must(he_status status, const char *what)
{
    if (status != HE_OK)
        die(what);
}

static void *need(size_t bytes)
{
    void *memory = calloc(bytes + !bytes, 1);

    if (!memory) {
        fprintf(stderr, "gpu_kernels: no memory\n");
        exit(EXIT_FAILURE);
    }
    return memory;
}

/* "*64,3" as a shape: what follows the star is divided by @by. */
static void scale_shape(const char *text, int64_t by, char *out, size_t size)
{
    size_t used = 0;

    while (*text && used + 24 < size) {
        bool is_scaled = *text == '*';
        char *end;
        long long dim = strtoll(text + is_scaled, &end, 10);

        if (is_scaled)
            dim = dim / by ? dim / by : 1;
        used += (size_t)snprintf(out + used, size - used, "%lld%s", dim, *end == ',' ? "," : "");
        text = *end == ',' ? end + 1 : end;
    }
}

static uint32_t add_input(struct he_graph *graph, const char *text, int64_t by)
{
    int64_t numbers[16];
    char shape[128];
    uint32_t count = 0;

    if (*text == '=') {
        for (const char *at = text; *at && count < 16; at += strcspn(at, ",")) {
            bool is_scaled = *++at == '*';

            numbers[count++] = strtoll(at + is_scaled, NULL, 10) / (is_scaled ? by : 1);
        }
        snprintf(shape, sizeof shape, "%u", count);
        return build_constant(graph, "i", HE_INT64, shape, numbers);
    }
    scale_shape(text + (*text == 'i'), by, shape, sizeof shape);
    return build_input(graph, "x", *text == 'i' ? HE_INT64 : HE_FLOAT32, shape);
}

static struct he_graph *make_graph(const struct bench_case *c, int64_t by)
{
    struct he_graph *graph = build_graph(c->name);
    const struct he_value *inputs[6];
    uint32_t ids[6], count = 0, y, n;
    struct he_value *output;

    for (; count < 6 && c->shapes[count]; count++)
        ids[count] = add_input(graph, c->shapes[count], by);
    y = build_value(graph, "y", HE_DTYPE_NONE, "*");
    n = build_node(graph, c->op, count, ids, 1, &y);
    if (strcmp(c->op, "Gelu") == 0)
        graph->nodes[n].opset = 20;
    for (int k = 0; k < 4 && c->attributes[k].name; k++) {
        const struct attribute *a = &c->attributes[k];

        if (a->count)
            build_ints(graph, n, a->name, (size_t)a->count, a->values);
        else
            build_int(graph, n, a->name, a->values[0]);
    }
    for (uint32_t k = 0; k < count; k++)
        inputs[k] = &graph->values[ids[k]];
    output = &graph->values[y];
    must(he_op_infer(&graph->nodes[n], inputs, &output), c->name);
    build_output(graph, y);
    build_tasks(graph);
    return graph;
}

/* --- Measuring --- */

/* Something that can be launched again and again. */
struct work {
    void *self;
    void (*launch)(void *self, uint32_t turn);
    void (*wait)(void *self);
};

static int by_time(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* Seconds per launch. */
static double measure(const struct work *w)
{
    double seconds[BATCHES];
    uint64_t begin, once;
    uint32_t count, turn = 0;

    for (int k = 0; k < 2 * MOST_SETS; k++)
        w->launch(w->self, turn++);
    w->wait(w->self);
    begin = he_now_ns();
    for (int k = 0; k < 4; k++)
        w->launch(w->self, turn++);
    w->wait(w->self);
    once = (he_now_ns() - begin) / 4;
    count = (uint32_t)(BATCH_NS / (once + 1)) + 3;
    for (int k = 0; k < BATCHES; k++) {
        begin = he_now_ns();
        for (uint32_t i = 0; i < count; i++)
            w->launch(w->self, turn++);
        w->wait(w->self);
        seconds[k] = (double)(he_now_ns() - begin) * 1e-9 / count;
    }
    qsort(seconds, BATCHES, sizeof *seconds, by_time);
    return seconds[BATCHES / 2];
}

/* --- The copies: plain OpenCL, a context of their own --- */

struct copy {
    const struct opencl_api *cl;
    cl_command_queue queue;
    cl_kernel kernel; /* NULL: clEnqueueCopyBuffer */
    cl_mem from, to;
    size_t bytes;
};

static void check(cl_int error, const char *call)
{
    if (error == CL_SUCCESS)
        return;
    fprintf(stderr, "gpu_kernels: %s: %s\n", call, opencl_error_name(error));
    exit(EXIT_FAILURE);
}

static void launch_copy(void *self, uint32_t turn)
{
    const struct copy *c = self;
    size_t items = c->bytes / 16, group = 256;

    (void)turn;
    if (c->kernel)
        check(c->cl->clEnqueueNDRangeKernel(c->queue, c->kernel, 1, NULL, &items, &group, 0, NULL,
                                            NULL), "clEnqueueNDRangeKernel");
    else
        check(c->cl->clEnqueueCopyBuffer(c->queue, c->from, c->to, 0, 0, c->bytes, 0, NULL, NULL),
              "clEnqueueCopyBuffer");
}

static void wait_copy(void *self)
{
    const struct copy *c = self;

    check(c->cl->clFinish(c->queue), "clFinish");
}

/* Prints both, gives the better one in bytes per second. */
static double measure_copies(size_t device, size_t bytes)
{
    static const char *const source =
        "__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void copy(\n"
        "__global const float4 *restrict x, __global float4 *restrict y)\n"
        "{ const size_t i = get_global_id(0); y[i] = x[i]; }\n";
    struct copy c = { .bytes = bytes };
    const struct opencl_found *found;
    const char *reason;
    cl_platform_id platform;
    cl_program program;
    cl_context context;
    cl_device_id id;
    cl_kernel kernel;
    cl_int error;
    double best = 0;

    if (opencl_find(&found, &reason) <= device)
        die("no such OpenCL device");
    c.cl = opencl_api_open(&reason);
    if (!c.cl)
        die(reason);
    must(opencl_find_handles(c.cl, &found[device], &platform, &id), "the device");
    context = c.cl->clCreateContext(
        (cl_context_properties[]){ CL_CONTEXT_PLATFORM, (cl_context_properties)platform, 0 }, 1, &id,
        NULL, NULL, &error);
    check(error, "clCreateContext");
    c.queue = c.cl->clCreateCommandQueue(context, id, 0, &error);
    check(error, "clCreateCommandQueue");
    c.from = c.cl->clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, NULL, &error);
    check(error, "clCreateBuffer");
    c.to = c.cl->clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, NULL, &error);
    check(error, "clCreateBuffer");
    program = c.cl->clCreateProgramWithSource(context, 1, (const char *[]){ source }, NULL, &error);
    check(error, "clCreateProgramWithSource");
    check(c.cl->clBuildProgram(program, 1, &id, "", NULL, NULL), "clBuildProgram");
    kernel = c.cl->clCreateKernel(program, "copy", &error);
    check(error, "clCreateKernel");
    check(c.cl->clSetKernelArg(kernel, 0, sizeof c.from, &c.from), "clSetKernelArg");
    check(c.cl->clSetKernelArg(kernel, 1, sizeof c.to, &c.to), "clSetKernelArg");
    for (int k = 0; k < 2; k++) {
        double seconds, rate;

        c.kernel = k == 0 ? kernel : NULL;
        seconds = measure(&(struct work){ &c, launch_copy, wait_copy });
        rate = 2.0 * (double)bytes / seconds;
        printf("%-36s %10.1f %9.1f\n", k == 0 ? "copy by a kernel" : "copy by clEnqueueCopyBuffer",
               seconds * 1e6, rate * 1e-9);
        best = rate > best ? rate : best;
    }
    c.cl->clReleaseKernel(kernel);
    c.cl->clReleaseProgram(program);
    c.cl->clReleaseMemObject(c.from);
    c.cl->clReleaseMemObject(c.to);
    c.cl->clReleaseCommandQueue(c.queue);
    c.cl->clReleaseContext(context);
    return best;
}

/* --- Our kernels --- */

struct kernel_run {
    struct he_device *dev;
    void *instances[MOST_SETS];
    uint32_t set_count;
};

static void launch_kernel(void *self, uint32_t turn)
{
    const struct kernel_run *run = self;

    must(he_device_launch(run->dev, run->instances[turn % run->set_count], NULL), "launch");
}

static void wait_kernel(void *self)
{
    must(he_device_wait(((struct kernel_run *)self)->dev), "wait");
}

static void *new_buffer(struct he_device *dev, const struct he_value *value, bool is_filled)
{
    size_t bytes = (size_t)he_shape_bytes(&value->shape, value->dtype);
    void *buffer, *data;

    must(he_device_buffer_alloc(dev, bytes, &buffer), "buffer");
    if (!is_filled)
        return buffer;
    data = need(bytes);
    for (size_t i = 0; value->dtype == HE_FLOAT32 && i < bytes / 4; i++)
        ((float *)data)[i] = (float)(i % 251) / 64 + 0.25f;
    for (size_t i = 0; value->dtype == HE_INT64 && i < bytes / 8; i++)
        ((int64_t *)data)[i] = (int64_t)(i * 7919 % 32768);
    must(he_device_buffer_write(dev, buffer, 0, data, bytes), "write");
    free(data);
    return buffer;
}

/* One region of one task; a set has every slot in a buffer of its own. */
static void run_case(struct he_device *dev, const struct bench_case *c, int64_t by, double copy)
{
    struct he_graph *graph = make_graph(c, by);
    const struct he_task *task = &graph->tasks[0];
    struct kernel_run run = { .dev = dev };
    uint32_t zero = 0, slot_count = 0;
    void *buffers[MOST_SETS][16], *program, *workspace = NULL;
    struct he_program_info info = { .struct_size = sizeof info };
    struct he_slot slots[16];
    struct he_region region = { .graph = graph, .tasks = &zero, .task_count = 1, .slots = slots };
    double bytes = 0, seconds;

    for (uint32_t k = 0; k < task->input_count; k++)
        if (!graph->values[task->inputs[k]].data && (k == 0 || task->inputs[k] != slots[0].value))
            slots[slot_count++] = (struct he_slot){ .value = task->inputs[k], .role = HE_SLOT_INPUT,
                                                    .alias = HE_NONE };
    slots[slot_count++] = (struct he_slot){ .value = task->outputs[0], .role = HE_SLOT_OUTPUT,
                                            .alias = HE_NONE };
    region.slot_count = slot_count;
    for (uint32_t k = 0; k < slot_count; k++) {
        const struct he_value *value = &graph->values[slots[k].value];

        bytes += (double)he_shape_bytes(&value->shape, value->dtype);
    }
    if (strcmp(c->op, "Gather") == 0 || strcmp(c->op, "Slice") == 0) { /* not all is read */
        const struct he_value *value = &graph->values[slots[0].value];

        bytes -= (double)he_shape_bytes(&value->shape, value->dtype);
        value = &graph->values[slots[slot_count - 1].value];
        bytes += (double)he_shape_bytes(&value->shape, value->dtype);
    }
    if (he_device_supports(dev, graph, task) != HE_OK) {
        printf("%-36s %s\n", c->name, he_error_message());
        build_free(graph);
        return;
    }
    must(he_device_compile(dev, &region, &program), c->name);
    must(he_device_program_info(dev, program, &info), c->name);
    if (info.workspace_bytes)
        must(he_device_buffer_alloc(dev, info.workspace_bytes, &workspace), "workspace");
    run.set_count = by > 1 || bytes > SETS_BYTES ? 1 : (uint32_t)(SETS_BYTES / bytes) + 1;
    if (run.set_count > MOST_SETS)
        run.set_count = MOST_SETS;
    for (uint32_t s = 0; s < run.set_count; s++) {
        struct he_binding bindings[16] = { 0 };

        for (uint32_t k = 0; k < slot_count; k++) {
            buffers[s][k] = new_buffer(dev, &graph->values[slots[k].value],
                                       slots[k].role == HE_SLOT_INPUT);
            bindings[k].buffer = buffers[s][k];
        }
        must(he_device_bind(dev, program, bindings, workspace, 0, &run.instances[s]), c->name);
    }
    seconds = measure(&(struct work){ &run, launch_kernel, wait_kernel });
    printf("%-36s %10.1f %9.1f %7.0f%%\n", c->name, seconds * 1e6, bytes / seconds * 1e-9,
           100 * bytes / seconds / copy);
    fflush(stdout);
    for (uint32_t s = 0; s < run.set_count; s++) {
        he_device_instance_free(dev, run.instances[s]);
        for (uint32_t k = 0; k < slot_count; k++)
            he_device_buffer_free(dev, buffers[s][k]);
    }
    he_device_buffer_free(dev, workspace);
    he_device_program_free(dev, program);
    build_free(graph);
}

int main(int argc, char **argv)
{
    const struct he_backend *backend = he_backend_find("opencl");
    struct he_device_config config = { .struct_size = sizeof config,
                                       .allocator = he_allocator_default };
    const char *only = NULL;
    struct he_device *dev;
    size_t device = 0;
    double copy;
    int64_t by = 1;

    for (int k = 1; k < argc; k++) {
        if (strcmp(argv[k], "--small") == 0)
            by = 64;
        else if (strcmp(argv[k], "--device") == 0 && k + 1 < argc)
            device = strtoul(argv[++k], NULL, 10);
        else if (strcmp(argv[k], "--only") == 0 && k + 1 < argc)
            only = argv[++k];
        else {
            fprintf(stderr, "usage: gpu_kernels [--device N] [--small] [--only WORD]\n");
            return 2;
        }
    }
    if (!backend)
        die("the opencl backend is not built in");
    must(he_device_open(backend, device, &config, &he_allocator_default, &dev), "open");
    printf("%s\n%-36s %10s %9s %8s\n", he_device_info(dev)->name, "", "us", "GB/s", "of copy");
    copy = measure_copies(device, (size_t)(256 << 20) / (size_t)by);
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        if (!only || strstr(cases[k].name, only))
            run_case(dev, &cases[k], by, copy);
    he_device_close(dev);
    return 0;
}
