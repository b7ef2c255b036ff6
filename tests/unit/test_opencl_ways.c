/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every way the opencl backend knows of doing convolutions and products, compared with sums in
 * float64: random shapes, pads, groups, batches and tails. Kernels of GPUs run on whatever OpenCL
 * device there is; the instruction of matrix units is worked out in plain C where it is missing.
 * Without an OpenCL device there is nothing to do (77).
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device.h"
#include "support/graph_builder.h"

#define DEPTHWISE 4
#define COUNT(array) (sizeof(array) / sizeof *(array))

static void *heap_alloc(void *self, size_t size)
{
    (void)self;
    return malloc(size);
}

static void heap_free(void *self, void *memory)
{
    (void)self;
    free(memory);
}

static const struct he_allocator heap = { heap_alloc, heap_free, NULL };
/* The second may lower products to 16 bits. */
static struct he_device *exact, *lowered;

static void fine(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s: %s", he_status_name(status), he_error_message());
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t random_state;

static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static int64_t between(int64_t low, int64_t high)
{
    return low + (int64_t)(next_random() % (uint64_t)(high - low + 1));
}

static float *random_floats(int64_t count)
{
    float *out = malloc((size_t)count * sizeof *out);

    ck_assert_ptr_nonnull(out);
    for (int64_t k = 0; k < count; k++)
        out[k] = (float)((double)(next_random() >> 11) * 0x1p-52 - 1);
    return out;
}

/* --- A case: one task of a convolution or product with its tail --- */

struct test_case {
    struct he_graph *graph;
    uint32_t inputs[3], input_count, output;
    float *data[3];
    int64_t counts[3], count;
    double *expected, *magnitude; /* sums of products, and of their absolute values */
};

static uint32_t add_input(struct test_case *c, const char *name, const char *shape)
{
    struct he_shape s = build_shape(shape);
    uint32_t k = c->input_count++;

    c->counts[k] = he_shape_count(&s);
    c->data[k] = random_floats(c->counts[k]);
    c->inputs[k] = build_input(c->graph, name, HE_FLOAT32, shape);
    return c->inputs[k];
}

static void start_expected(struct test_case *c, int64_t count)
{
    c->count = count;
    c->expected = calloc((size_t)count, sizeof(double));
    c->magnitude = calloc((size_t)count, sizeof(double));
    ck_assert(c->expected && c->magnitude);
}

static void add_to(struct test_case *c, int64_t at, double product)
{
    c->expected[at] += product;
    c->magnitude[at] += fabs(product);
}

/* Adds another input and takes what is above zero, all in the head's task. */
static uint32_t add_tail(struct test_case *c, uint32_t head, uint32_t other, const char *shape)
{
    uint32_t sum = build_value(c->graph, "sum", HE_FLOAT32, shape);
    uint32_t y = build_value(c->graph, "y", HE_FLOAT32, shape);

    build_node(c->graph, "Add", 2, (uint32_t[]){ head, other }, 1, &sum);
    build_node(c->graph, "Relu", 1, &sum, 1, &y);
    for (int64_t k = 0; k < c->count; k++) {
        add_to(c, k, (double)c->data[c->input_count - 1][k]);
        c->expected[k] = fmax(c->expected[k], 0);
    }
    return y;
}

static void finish(struct test_case *c, uint32_t output, uint32_t nodes)
{
    c->output = output;
    build_output(c->graph, output);
    build_tasks(c->graph);
    if (nodes > 1)
        build_fuse(c->graph, nodes);
}

struct window {
    int64_t batch, groups, in, out, h, w, kernel, stride, dilation, pads[4], out_h, out_w;
};

static void expect_conv(struct test_case *c, const struct window *v, const float *w, const float *bias)
{
    int64_t in = v->in / v->groups, out = v->out / v->groups, at = 0;

    start_expected(c, v->batch * v->out * v->out_h * v->out_w);
    for (int64_t n = 0; n < v->batch; n++)
        for (int64_t m = 0; m < v->out; m++)
            for (int64_t oy = 0; oy < v->out_h; oy++)
                for (int64_t ox = 0; ox < v->out_w; ox++, at++) {
                    add_to(c, at, (double)bias[m]);
                    for (int64_t k = 0; k < in * v->kernel * v->kernel; k++) {
                        int64_t ch = k / (v->kernel * v->kernel), place = k % (v->kernel * v->kernel);
                        int64_t y = oy * v->stride + place / v->kernel * v->dilation - v->pads[0];
                        int64_t x = ox * v->stride + place % v->kernel * v->dilation - v->pads[1];

                        if (y < 0 || y >= v->h || x < 0 || x >= v->w)
                            continue;
                        add_to(c, at, (double)w[m * in * v->kernel * v->kernel + k] *
                                          (double)c->data[0][((n * v->in + m / out * in + ch) * v->h +
                                                              y) * v->w + x]);
                    }
                }
}

static void make_window(struct test_case *c, struct window *v)
{
    int64_t reach = (v->kernel - 1) * v->dilation + 1;
    uint32_t inputs[3], y, node;
    char shape[64], weights[64];
    float *w, *bias;

    v->out_h = (v->h + v->pads[0] + v->pads[2] - reach) / v->stride + 1;
    v->out_w = (v->w + v->pads[1] + v->pads[3] - reach) / v->stride + 1;
    sprintf(shape, "%d,%d,%d,%d", (int)v->batch, (int)v->in, (int)v->h, (int)v->w);
    inputs[0] = add_input(c, "x", shape);
    w = random_floats(v->out * v->in / v->groups * v->kernel * v->kernel);
    bias = random_floats(v->out);
    expect_conv(c, v, w, bias);
    sprintf(weights, "%d,%d,%d,%d", (int)v->out, (int)(v->in / v->groups), (int)v->kernel,
            (int)v->kernel);
    inputs[1] = build_constant(c->graph, "w", HE_FLOAT32, weights, w);
    sprintf(weights, "%d", (int)v->out);
    inputs[2] = build_constant(c->graph, "bias", HE_FLOAT32, weights, bias);
    sprintf(shape, "%d,%d,%d,%d", (int)v->batch, (int)v->out, (int)v->out_h, (int)v->out_w);
    y = build_value(c->graph, "conv", HE_FLOAT32, shape);
    node = build_node(c->graph, "Conv", 3, inputs, 1, &y);
    build_int(c->graph, node, "group", v->groups);
    build_ints(c->graph, node, "pads", 4, v->pads);
    build_ints(c->graph, node, "strides", 2, (int64_t[]){ v->stride, v->stride });
    build_ints(c->graph, node, "dilations", 2, (int64_t[]){ v->dilation, v->dilation });
    finish(c, add_tail(c, y, add_input(c, "residual", shape), shape), 3);
    free(w);
    free(bias);
}

static void make_conv(struct test_case *c, int64_t kernel, int64_t stride, bool is_long)
{
    struct window v = { .groups = between(1, 2), .batch = between(1, 2), .kernel = kernel,
                        .stride = stride, .dilation = 1, .h = between(5, 17), .w = between(5, 17) };

    v.in = v.groups * (is_long ? 32 : between(1, 21));
    v.out = v.groups * between(5, 40);
    for (int k = 0; k < 4; k++)
        v.pads[k] = kernel > 1 ? between(0, 2) : 0;
    make_window(c, &v);
}

/* Large enough for work-items of several rows. */
static void make_depthwise(struct test_case *c)
{
    struct window v = { .groups = between(90, 110), .batch = 2, .kernel = between(2, 5),
                        .stride = between(1, 2), .dilation = between(1, 2), .h = between(11, 30),
                        .w = between(11, 30) };

    v.in = v.groups;
    v.out = v.groups * between(1, 2);
    for (int k = 0; k < 4; k++)
        v.pads[k] = between(0, 1) ? between(0, 2) : 0;
    if (between(0, 1))
        memset(v.pads, 0, sizeof v.pads);
    make_window(c, &v);
}

static void make_gemm(struct test_case *c)
{
    int64_t m = between(1, 70), n = between(1, 70), k = between(1, 90);
    bool turn_a = between(0, 1), turn_b = between(0, 1);
    uint32_t inputs[2], y, node;
    char shape[64];
    float *w;

    sprintf(shape, "%d,%d", (int)(turn_a ? k : m), (int)(turn_a ? m : k));
    inputs[0] = add_input(c, "a", shape);
    w = random_floats(n * k);
    sprintf(shape, "%d,%d", (int)(turn_b ? n : k), (int)(turn_b ? k : n));
    inputs[1] = build_constant(c->graph, "b", HE_FLOAT32, shape, w);
    start_expected(c, m * n);
    for (int64_t i = 0; i < m * n * k; i++) {
        int64_t row = i / (n * k), column = i / k % n, d = i % k;

        add_to(c, row * n + column, (double)c->data[0][turn_a ? d * m + row : row * k + d] *
                                        (double)w[turn_b ? column * k + d : d * n + column]);
    }
    sprintf(shape, "%d,%d", (int)m, (int)n);
    y = build_value(c->graph, "product", HE_FLOAT32, shape);
    node = build_node(c->graph, "Gemm", 2, inputs, 1, &y);
    build_int(c->graph, node, "transA", turn_a);
    build_int(c->graph, node, "transB", turn_b);
    finish(c, y, 1);
    free(w);
}

/* Quads of both operands, neighbours along either side, more than one tile and panel. */
static void make_batches(struct test_case *c)
{
    int64_t batch = between(1, 3), m = 4 * between(1, 40), n = 4 * between(1, 40), k = 4 * between(1, 20);
    uint32_t inputs[2], y;
    char shape[64];

    sprintf(shape, "%d,%d,%d", (int)batch, (int)m, (int)k);
    inputs[0] = add_input(c, "a", shape);
    sprintf(shape, "%d,%d,%d", (int)batch, (int)k, (int)n);
    inputs[1] = add_input(c, "b", shape);
    start_expected(c, batch * m * n);
    for (int64_t i = 0; i < batch * m * n * k; i++) {
        int64_t z = i / (m * n * k), row = i / (n * k) % m, column = i / k % n, d = i % k;

        add_to(c, (z * m + row) * n + column, (double)c->data[0][(z * m + row) * k + d] *
                                                  (double)c->data[1][(z * k + d) * n + column]);
    }
    sprintf(shape, "%d,%d,%d", (int)batch, (int)m, (int)n);
    y = build_value(c->graph, "product", HE_FLOAT32, shape);
    build_node(c->graph, "MatMul", 2, inputs, 1, &y);
    finish(c, y, 1);
}

static void make_case(struct test_case *c, int kind)
{
    *c = (struct test_case){ .graph = build_graph("one way") };
    if (kind == 0)
        make_conv(c, 3, 1, false);
    else if (kind == 1)
        make_conv(c, between(0, 1) ? 3 : 1, between(1, 2), true);
    else if (kind == 2)
        make_gemm(c);
    else if (kind == 3)
        make_batches(c);
    else
        make_depthwise(c);
}

static void free_case(struct test_case *c)
{
    for (uint32_t k = 0; k < c->input_count; k++)
        free(c->data[k]);
    free(c->expected);
    free(c->magnitude);
    build_free(c->graph);
}

/* --- Running --- */

static float *run_case(struct he_device *dev, const struct test_case *c, const char *way)
{
    uint32_t task = 0, count = c->input_count + 1;
    struct he_slot slots[4] = { { 0 } };
    struct he_binding bindings[4] = { { 0 } };
    struct he_region region = { .graph = c->graph, .tasks = &task, .task_count = 1, .slots = slots,
                                .slot_count = count };
    struct he_program_info info = { .struct_size = sizeof info };
    void *program = NULL, *instance = NULL, *workspace = NULL;
    float *out = malloc((size_t)c->count * sizeof *out);

    ck_assert_ptr_nonnull(out);
    for (uint32_t k = 0; k < count; k++) {
        bool is_input = k < c->input_count;
        int64_t elements = is_input ? c->counts[k] : c->count;

        slots[k] = (struct he_slot){ .value = is_input ? c->inputs[k] : c->output,
                                     .role = is_input ? HE_SLOT_INPUT : HE_SLOT_OUTPUT,
                                     .alias = HE_NONE };
        fine(he_device_buffer_alloc(dev, (size_t)elements * 4 + 128, &bindings[k].buffer));
        bindings[k].offset = 16 * (size_t)(k + 1);
        if (is_input)
            fine(he_device_buffer_write(dev, bindings[k].buffer, bindings[k].offset, c->data[k],
                                        (size_t)elements * 4));
    }
    fine(he_device_compile_with(dev, &region, &way, &program));
    fine(he_device_program_info(dev, program, &info));
    if (info.workspace_bytes)
        fine(he_device_buffer_alloc(dev, info.workspace_bytes, &workspace));
    fine(he_device_bind(dev, program, bindings, workspace, 0, &instance));
    fine(he_device_launch(dev, instance, NULL));
    fine(he_device_wait(dev));
    fine(he_device_buffer_read(dev, bindings[count - 1].buffer, bindings[count - 1].offset, out,
                               (size_t)c->count * 4));
    he_device_instance_free(dev, instance);
    he_device_program_free(dev, program);
    he_device_buffer_free(dev, workspace);
    for (uint32_t k = 0; k < count; k++)
        he_device_buffer_free(dev, bindings[k].buffer);
    return out;
}

/* The largest error, of the sum of the absolute values of what was summed. */
static double worst_error(const struct test_case *c, const float *got)
{
    double worst = 0;

    for (int64_t k = 0; k < c->count; k++) {
        double error = fabs((double)got[k] - c->expected[k]) / fmax(c->magnitude[k], 1e-3);

        /* Not a number is the worst of all. */
        worst = error <= worst ? worst : isnan(error) ? INFINITY : error;
    }
    return worst;
}

/* --- Tests --- */

static const struct {
    const char *way;
    bool as_gpu, is_lowered;
    double error;
} ways[] = {
    { "auto", true, false, 2e-6 },
    { "tile-128x128", true, false, 2e-6 },
    { "tile-64x64", true, false, 2e-6 },
    { "tile-64x64-s2", true, false, 2e-6 },
    { "tile-32x64-s2", true, false, 2e-6 },
    { "tile-32x32-s4", true, false, 2e-6 },
    { "tile-32x32-s8", true, false, 2e-6 },
    { "tile-16x32-s16", true, false, 2e-6 },
    { "tile-4x64-s16", true, false, 2e-6 },
    { "winograd-2", true, false, 2e-6 },
    { "winograd-4", true, false, 1e-5 },
    { "direct", true, false, 2e-6 },
    { "block-16x4", true, false, 2e-6 },
    { "block-16x8", true, false, 2e-6 },
    { "auto", false, false, 2e-6 },
    { "winograd-2", false, false, 2e-6 },
    { "winograd-4", false, false, 1e-5 },
    { "block-8x8", false, false, 2e-6 },
    { "block-16x4", false, false, 2e-6 },
    { "block-16x8", false, false, 2e-6 },
    /* 11 bits of each weight, which is what lies in memory. */
    { "auto", true, true, 1e-3 },
    { "tile-64x64", true, true, 1e-3 },
    { "tile-32x32-s4", true, true, 1e-3 },
    { "block-16x4", true, true, 1e-3 },
    /* 11 bits of each factor. */
    { "mma-tf32-128x128", true, true, 1e-3 },
    { "mma-tf32-64x64", true, true, 1e-3 },
    { "mma-tf32-32x32-s8", true, true, 1e-3 },
    { "mma-f16-128x128", true, true, 1e-3 },
    { "mma-f16-64x64", true, true, 1e-3 },
    { "mma-f16-32x32-s8", true, true, 1e-3 },
};

START_TEST(a_way_gives_what_float64_gives)
{
    /* Kinds take turns, since compilers are slow; Winograd's and blocks are ways of convolutions. */
    int kind = strstr(ways[_i].way, "winograd") ? 0 : strstr(ways[_i].way, "block") ? _i % 2 : 1 + _i % 3;
    struct he_device *dev = ways[_i].is_lowered ? lowered : exact;
    struct test_case c;
    double error;
    float *got;

    if (ways[_i].as_gpu)
        setenv("HETEROENGINE_OPENCL_TILES", "1", 1);
    else
        unsetenv("HETEROENGINE_OPENCL_TILES");
    random_state = 100 * (uint64_t)kind + 7 * (uint64_t)_i;
    make_case(&c, kind);
    fine(he_device_supports(dev, c.graph, &c.graph->tasks[0]));
    got = run_case(dev, &c, ways[_i].way);
    error = worst_error(&c, got);
    ck_assert_msg(error <= ways[_i].error, "%s: wrong by %g, allowed %g", ways[_i].way, error,
                  ways[_i].error);
    free(got);
    free_case(&c);
    printf("%s%s: error at most %.1e of the sum of magnitudes\n", ways[_i].way,
           ways[_i].as_gpu ? "" : " (processor)", error);
}
END_TEST

START_TEST(depthwise_gives_what_float64_gives)
{
    struct test_case c;
    float *got;

    random_state = 1000 + (uint64_t)_i;
    make_case(&c, DEPTHWISE);
    got = run_case(exact, &c, "auto");
    ck_assert_double_le(worst_error(&c, got), 2e-6);
    free(got);
    free_case(&c);
}
END_TEST

START_TEST(listed_ways_begin_with_auto_and_work)
{
    struct he_variant list[12];
    struct test_case c;
    size_t count;

    setenv("HETEROENGINE_OPENCL_TILES", "1", 1);
    random_state = 5;
    make_case(&c, 0);
    fine(he_device_variants(lowered, c.graph, &c.graph->tasks[0], list, COUNT(list), &count));
    ck_assert_uint_ge(count, 4);
    ck_assert_str_eq(list[0].name, "auto");
    for (size_t k = 1; k < count; k++) {
        bool is_known = false;

        for (size_t j = 0; j < COUNT(ways); j++)
            is_known |= strcmp(list[k].name, ways[j].way) == 0;
        ck_assert_msg(is_known, "the way '%s' has no test", list[k].name);
        /* What was not measured yet does not replace the rules. */
        ck_assert_double_le(list[k].density + 0.3 * list[k].locality,
                            list[0].density + 0.3 * list[0].locality + 0.1);
    }
    free_case(&c);
}
END_TEST

int main(void)
{
    struct he_device_config config = { .struct_size = sizeof config, .allocator = heap };
    const struct he_backend *backend = he_backend_find("opencl");
    Suite *suite = suite_create("ways");
    TCase *tc = tcase_create("ways");
    SRunner *runner;
    size_t count = 0;
    int failed;

    if (!backend || backend->enumerate(NULL, 0, &count) != HE_OK || !count ||
        he_device_open(backend, 0, &config, &heap, &exact) != HE_OK) {
        printf("no OpenCL device\n");
        return 77;
    }
    config.allow_fp16 = config.allow_bf16 = true;
    if (he_device_open(backend, 0, &config, &heap, &lowered) != HE_OK) {
        printf("%s\n", he_error_message());
        return 1;
    }
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_way_gives_what_float64_gives, 0, (int)COUNT(ways));
    tcase_add_loop_test(tc, depthwise_gives_what_float64_gives, 0, 4);
    tcase_add_test(tc, listed_ways_begin_with_auto_and_work);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    /* One process: OpenCL does not survive a fork. */
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    he_device_close(lowered);
    he_device_close(exact);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
