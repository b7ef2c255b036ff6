/* SPDX-License-Identifier: Apache-2.0 */
/* The common list: random graphs of single operators and of small fused chains. */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "support/graph_builder.h"

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static int64_t between(struct test_graph *t, int64_t low, int64_t high)
{
    return low + (int64_t)(next_random(&t->random) % (uint64_t)(high - low + 1));
}

static void fill(enum he_dtype dtype, int64_t count, float low, float high, uint64_t *random,
                 void *out)
{
    for (int64_t k = 0; k < count; k++) {
        double unit = (double)(next_random(random) >> 11) * 0x1p-53;
        double number = low + unit * ((double)high - low);

        if (dtype == HE_FLOAT32)
            ((float *)out)[k] = (float)number;
        else if (dtype == HE_INT64)
            ((int64_t *)out)[k] = (int64_t)number;
        else if (dtype == HE_INT32)
            ((int32_t *)out)[k] = (int32_t)number;
        else
            ((uint8_t *)out)[k] = number >= (low + (double)high) / 2;
    }
}

void test_fill(const struct test_graph *t, uint32_t k, uint64_t seed, void *out)
{
    const struct he_value *value = &t->graph->values[t->inputs[k]];
    uint64_t random = seed * 1000 + k;

    fill(value->dtype, he_shape_count(&value->shape), t->low[k], t->high[k], &random, out);
}

/* --- Building --- */

static const char *text_of(const struct he_shape *shape, char *out)
{
    char *at = out;

    *out = '\0';
    for (uint32_t d = 0; d < shape->rank; d++)
        at += sprintf(at, "%s%lld", d ? "," : "", (long long)shape->dims[d]);
    return out;
}

static struct he_shape shape_of(uint32_t rank, const int64_t *dims)
{
    struct he_shape shape = { .rank = rank };

    memcpy(shape.dims, dims, rank * sizeof *dims);
    return shape;
}

#define SHAPE(...)                                                             \
    shape_of(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t), (int64_t[]){ __VA_ARGS__ })

static uint32_t typed_input(struct test_graph *t, enum he_dtype dtype, struct he_shape shape,
                            float low, float high)
{
    char text[256];

    t->inputs[t->input_count] = build_input(t->graph, "x", dtype, text_of(&shape, text));
    t->low[t->input_count] = low;
    t->high[t->input_count] = high;
    return t->inputs[t->input_count++];
}

static uint32_t input(struct test_graph *t, struct he_shape shape)
{
    return typed_input(t, HE_FLOAT32, shape, -2, 2);
}

static uint32_t constant(struct test_graph *t, struct he_shape shape, float low, float high)
{
    int64_t count = he_shape_count(&shape);
    float *data = calloc((size_t)count + 1, sizeof *data);
    char text[256];
    uint32_t value;

    if (!data)
        abort();
    fill(HE_FLOAT32, count, low, high, &t->random, data);
    value = build_constant(t->graph, "w", HE_FLOAT32, text_of(&shape, text), data);
    free(data);
    return value;
}

static uint32_t integers(struct test_graph *t, size_t count, const int64_t *data)
{
    struct he_shape shape = { .rank = 1, .dims = { (int64_t)count } };
    char text[32];

    return build_constant(t->graph, "i", HE_INT64, text_of(&shape, text), data);
}

/* A node whose attributes are still to come; shapes follow in finish(). */
static uint32_t add(struct test_graph *t, const char *op, uint32_t count, const uint32_t *inputs)
{
    uint32_t out = build_value(t->graph, "y", HE_DTYPE_NONE, "*");

    return build_node(t->graph, op, count, inputs, 1, &out);
}

#define ADD(t, op, ...) \
    add(t, op, sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t), (uint32_t[]){ __VA_ARGS__ })

/* Infers the node's output, which then may be read. */
static uint32_t done(struct test_graph *t, uint32_t n)
{
    struct he_node *node = &t->graph->nodes[n];
    const struct he_value *inputs[64];
    struct he_value *outputs[64];

    for (uint32_t k = 0; k < node->input_count; k++)
        inputs[k] = node->inputs[k] == HE_NONE ? NULL : &t->graph->values[node->inputs[k]];
    for (uint32_t k = 0; k < node->output_count; k++)
        outputs[k] = &t->graph->values[node->outputs[k]];
    if (he_op_infer(node, inputs, outputs) != HE_OK) {
        fprintf(stderr, "cases.c: %s\n", he_error_message());
        abort();
    }
    return node->outputs[0];
}

static void give(struct test_graph *t, uint32_t value)
{
    build_output(t->graph, value);
}

static struct he_shape random_shape(struct test_graph *t, uint32_t rank, int64_t most)
{
    struct he_shape shape = { .rank = rank };

    for (uint32_t d = 0; d < rank; d++)
        shape.dims[d] = between(t, 1, most);
    return shape;
}

/* Broadcasts to @shape: some dimensions 1, leading ones dropped. */
static struct he_shape narrowed(struct test_graph *t, struct he_shape shape)
{
    uint32_t drop = (uint32_t)between(t, 0, shape.rank);

    shape.rank -= drop;
    memmove(shape.dims, shape.dims + drop, shape.rank * sizeof *shape.dims);
    for (uint32_t d = 0; d < shape.rank; d++)
        if (between(t, 0, 2) == 0)
            shape.dims[d] = 1;
    return shape;
}

/* --- Pointwise --- */

static const struct {
    const char *op;
    float low, high;
} unaries[] = {
    { "Abs", -2, 2 },     { "Neg", -2, 2 },      { "Ceil", -3, 3 },      { "Floor", -3, 3 },
    { "Round", -3, 3 },   { "Sqrt", 0, 4 },      { "Reciprocal", 0.5, 3 }, { "Exp", -3, 3 },
    { "Log", 0.1f, 4 },   { "Sin", -3, 3 },      { "Cos", -3, 3 },       { "Tan", -1, 1 },
    { "Asin", -0.9f, 0.9f }, { "Acos", -0.9f, 0.9f }, { "Atan", -3, 3 }, { "Sinh", -2, 2 },
    { "Cosh", -2, 2 },    { "Tanh", -3, 3 },     { "Asinh", -3, 3 },     { "Acosh", 1.1f, 4 },
    { "Atanh", -0.9f, 0.9f }, { "Erf", -3, 3 },  { "Sign", -1, 1 },      { "Relu", -2, 2 },
    { "LeakyRelu", -2, 2 }, { "Elu", -2, 2 },    { "Celu", -2, 2 },      { "Selu", -2, 2 },
    { "ThresholdedRelu", -2, 2 }, { "HardSigmoid", -4, 4 }, { "HardSwish", -4, 4 },
    { "Sigmoid", -6, 6 }, { "Softplus", -4, 4 }, { "Softsign", -4, 4 },
};

/* A third of the table at a time, each operator a task of its own. */
static void make_unary(struct test_graph *t)
{
    struct he_shape shape = random_shape(t, 3, 7);
    int64_t start = between(t, 0, 2);

    for (size_t k = (size_t)start; k < HE_COUNT(unaries) && t->input_count < 8; k += 3) {
        uint32_t x = typed_input(t, HE_FLOAT32, shape, unaries[k].low, unaries[k].high);

        give(t, done(t, ADD(t, unaries[k].op, x)));
    }
}

static void make_unary_rest(struct test_graph *t)
{
    struct he_shape shape = random_shape(t, 2, 9);

    for (size_t k = HE_COUNT(unaries) - 1 - (size_t)between(t, 0, 2); t->input_count < 8; k -= 3) {
        uint32_t x = typed_input(t, HE_FLOAT32, shape, unaries[k].low, unaries[k].high);

        give(t, done(t, ADD(t, unaries[k].op, x)));
        if (k < 3)
            break;
    }
}

static void make_binary(struct test_graph *t)
{
    static const char *const ops[] = { "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min",
                                       "Less", "Greater", "Equal" };
    struct he_shape shape = random_shape(t, (uint32_t)between(t, 1, 4), 5);
    uint32_t a = typed_input(t, HE_FLOAT32, shape, 0.5, 3);
    uint32_t b = typed_input(t, HE_FLOAT32, narrowed(t, shape), 0.5, 3);
    size_t first = (size_t)between(t, 0, 4);

    for (size_t k = first; k < first + 4; k++) {
        const char *op = ops[k % HE_COUNT(ops)];

        if (between(t, 0, 1))
            give(t, done(t, ADD(t, op, a, b)));
        else
            give(t, done(t, ADD(t, op, b, a)));
    }
}

static void make_integer(struct test_graph *t)
{
    static const char *const ops[] = { "Add", "Sub", "Mul", "Div", "Max", "Min" };
    enum he_dtype dtype = between(t, 0, 1) ? HE_INT64 : HE_INT32;
    struct he_shape shape = random_shape(t, 3, 5);
    uint32_t a = typed_input(t, dtype, shape, -50, 50);
    uint32_t b = typed_input(t, dtype, narrowed(t, shape), 1, 9);

    for (int k = 0; k < 3; k++)
        give(t, done(t, ADD(t, ops[between(t, 0, HE_COUNT(ops) - 1)], a, b)));
}

static void make_where(struct test_graph *t)
{
    struct he_shape shape = random_shape(t, 3, 6);
    uint32_t c = typed_input(t, HE_BOOL, narrowed(t, shape), 0, 1);
    uint32_t a = input(t, shape), b = input(t, narrowed(t, shape));

    give(t, done(t, ADD(t, "Where", c, a, b)));
}

static void make_clip(struct test_graph *t)
{
    uint32_t x = input(t, random_shape(t, 3, 6));
    uint32_t low = constant(t, (struct he_shape){ 0 }, -1, 0);
    uint32_t high = constant(t, (struct he_shape){ 0 }, 0, 1);

    give(t, done(t, ADD(t, "Clip", x, low, high)));
    give(t, done(t, ADD(t, "Clip", x, HE_NONE, high)));
}

static void make_cast(struct test_graph *t)
{
    uint32_t x = typed_input(t, HE_FLOAT32, random_shape(t, 3, 6), -90, 90), n, y;

    n = ADD(t, "Cast", x);
    build_int(t->graph, n, "to", between(t, 0, 1) ? HE_INT64 : HE_INT32);
    y = done(t, n);
    n = ADD(t, "Cast", y);
    build_int(t->graph, n, "to", HE_FLOAT32);
    give(t, done(t, n));
    n = ADD(t, "Cast", y);
    build_int(t->graph, n, "to", HE_BOOL);
    give(t, done(t, n));
}

/* --- Convolutions and products --- */

static uint32_t random_conv(struct test_graph *t, uint32_t spatial, int64_t groups, bool has_bias,
                            uint32_t *out_input)
{
    int64_t in = groups * between(t, 1, 5), out = groups * between(t, 1, 11), batch = between(t, 1, 2);
    struct he_shape x = { .rank = spatial + 2, .dims = { batch, in } };
    struct he_shape w = { .rank = spatial + 2, .dims = { out, in / groups } };
    int64_t strides[2], dilations[2], pads[4];
    uint32_t inputs[3], n;

    for (uint32_t d = 0; d < spatial; d++) {
        w.dims[2 + d] = between(t, 1, 3);
        dilations[d] = between(t, 1, 2);
        strides[d] = between(t, 1, 2);
        pads[d] = between(t, 0, 1);
        pads[spatial + d] = between(t, 0, 2);
        x.dims[2 + d] = between(t, 7, 12);
    }
    inputs[0] = *out_input = input(t, x);
    inputs[1] = constant(t, w, -1, 1);
    if (has_bias)
        inputs[2] = constant(t, SHAPE(out), -1, 1);
    n = add(t, "Conv", has_bias ? 3 : 2, inputs);
    build_ints(t->graph, n, "strides", spatial, strides);
    build_ints(t->graph, n, "dilations", spatial, dilations);
    build_ints(t->graph, n, "pads", 2 * spatial, pads);
    build_int(t->graph, n, "group", groups);
    return done(t, n);
}

static void make_conv(struct test_graph *t)
{
    uint32_t x;

    give(t, random_conv(t, 2, 1, between(t, 0, 1), &x));
}

static void make_conv_1d(struct test_graph *t)
{
    uint32_t x;

    give(t, random_conv(t, 1, between(t, 1, 2), true, &x));
}

static void make_conv_groups(struct test_graph *t)
{
    uint32_t x;

    give(t, random_conv(t, 2, between(t, 2, 4), between(t, 0, 1), &x));
}

static void make_conv_depthwise(struct test_graph *t)
{
    int64_t channels = between(t, 3, 9);
    uint32_t x = input(t, SHAPE(1, channels, 9, 8)), n;
    uint32_t w = constant(t, SHAPE(channels, 1, 3, 3), -1, 1);

    n = ADD(t, "Conv", x, w);
    build_int(t->graph, n, "group", channels);
    build_ints(t->graph, n, "pads", 4, (int64_t[]){ 1, 1, 1, 1 });
    give(t, done(t, n));
}

static void make_conv_1x1(struct test_graph *t)
{
    uint32_t x = input(t, SHAPE(2, between(t, 3, 20), 5, between(t, 3, 9)));
    uint32_t w = constant(t, SHAPE(between(t, 4, 20), t->graph->values[x].shape.dims[1], 1, 1), -1, 1);

    give(t, done(t, ADD(t, "Conv", x, w)));
}

static void make_conv_transpose(struct test_graph *t)
{
    uint32_t x = input(t, SHAPE(1, 4, 5, 6)), w = constant(t, SHAPE(4, 3, 3, 2), -1, 1);
    uint32_t n = ADD(t, "ConvTranspose", x, w);

    build_ints(t->graph, n, "strides", 2, (int64_t[]){ 2, between(t, 1, 2) });
    build_ints(t->graph, n, "pads", 4, (int64_t[]){ 1, 0, 1, 0 });
    give(t, done(t, n));
}

static void make_gemm(struct test_graph *t)
{
    int64_t m = between(t, 1, 9), k = between(t, 1, 20), n = between(t, 1, 20);
    bool turn_a = between(t, 0, 1), turn_b = between(t, 0, 1);
    uint32_t a = input(t, turn_a ? SHAPE(k, m) : SHAPE(m, k)), node;
    uint32_t b = constant(t, turn_b ? SHAPE(n, k) : SHAPE(k, n), -1, 1);

    node = ADD(t, "Gemm", a, b, constant(t, SHAPE(n), -1, 1));
    build_int(t->graph, node, "transA", turn_a);
    build_int(t->graph, node, "transB", turn_b);
    build_float(t->graph, node, "alpha", between(t, 0, 1) ? 1 : 0.5f);
    give(t, done(t, node));
}

static void make_matmul(struct test_graph *t)
{
    int64_t m = between(t, 1, 9), k = between(t, 1, 20), n = between(t, 1, 20);
    uint32_t a = input(t, SHAPE(2, m, k));

    give(t, done(t, ADD(t, "MatMul", a, constant(t, SHAPE(k, n), -1, 1))));
}

static void make_matmul_batches(struct test_graph *t)
{
    int64_t m = between(t, 1, 6), k = between(t, 1, 12), n = between(t, 0, 1) ? 8 : 5;
    uint32_t a = input(t, SHAPE(2, 1, m, k)), b = input(t, SHAPE(3, k, n));

    give(t, done(t, ADD(t, "MatMul", a, b)));
}

/* --- Windows and rows --- */

static void make_pool(struct test_graph *t)
{
    uint32_t x = input(t, SHAPE(2, 3, between(t, 6, 11), between(t, 6, 11)));

    for (int k = 0; k < 2; k++) {
        uint32_t n = ADD(t, k ? "AveragePool" : "MaxPool", x);

        build_ints(t->graph, n, "kernel_shape", 2, (int64_t[]){ between(t, 2, 3), 3 });
        build_ints(t->graph, n, "strides", 2, (int64_t[]){ between(t, 1, 3), 2 });
        build_ints(t->graph, n, "pads", 4, (int64_t[]){ 1, 0, 1, 1 });
        build_int(t->graph, n, "ceil_mode", between(t, 0, 1));
        if (k)
            build_int(t->graph, n, "count_include_pad", between(t, 0, 1));
        give(t, done(t, n));
    }
}

static void make_global_pool(struct test_graph *t)
{
    uint32_t x = input(t, SHAPE(2, 5, between(t, 3, 20), between(t, 3, 20)));

    give(t, done(t, ADD(t, "GlobalAveragePool", x)));
    give(t, done(t, ADD(t, "GlobalMaxPool", x)));
}

static void make_softmax(struct test_graph *t)
{
    struct he_shape shape = random_shape(t, 3, 9);
    uint32_t x, n;

    shape.dims[2] = between(t, 0, 1) ? between(t, 256, 700) : shape.dims[2];
    x = input(t, shape);
    for (int k = 0; k < 2; k++) {
        n = ADD(t, k ? "LogSoftmax" : "Softmax", x);
        build_int(t->graph, n, "axis", between(t, 0, 2));
        give(t, done(t, n));
    }
}

static void make_reduce(struct test_graph *t)
{
    static const char *const ops[] = { "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum" };
    struct he_shape shape = random_shape(t, 4, 6);
    uint32_t x;

    shape.dims[3] = between(t, 0, 1) ? 300 : shape.dims[3];
    x = input(t, shape);
    for (size_t k = 0; k < HE_COUNT(ops); k++) {
        int64_t axes[] = { between(t, 0, 1), between(t, 2, 3) };
        uint32_t n;

        if (k == 3) { /* its axes are an input since opset 13 */
            n = ADD(t, ops[k], x, integers(t, 2, axes));
        } else {
            n = ADD(t, ops[k], x);
            build_ints(t->graph, n, "axes", 2, axes);
        }
        build_int(t->graph, n, "keepdims", between(t, 0, 1));
        give(t, done(t, n));
    }
}

/* Rows and columns of lengths that are shared in every way: by few lanes, by groups, in parts. */
static void make_reduce_long(struct test_graph *t)
{
    static const char *const ops[] = { "ReduceMean", "ReduceMax", "ReduceL2", "ReduceLogSumExp" };
    int64_t lengths[] = { between(t, 5, 9), between(t, 17, 70), between(t, 190, 1100),
                          between(t, 9000, 20000) };

    for (int k = 0; k < 4; k++) {
        int64_t length = lengths[k], rows = k < 3 ? between(t, 1, 70) : between(t, 1, 5);
        bool is_first = between(t, 0, 1);
        uint32_t x = input(t, is_first ? SHAPE(length, rows) : SHAPE(rows, length)), n;

        n = ADD(t, ops[between(t, 0, 3)], x);
        build_ints(t->graph, n, "axes", 1, (int64_t[]){ !is_first });
        give(t, done(t, n));
        n = ADD(t, "Softmax", x);
        build_int(t->graph, n, "axis", !is_first);
        give(t, done(t, n));
    }
    give(t, done(t, ADD(t, "ReduceSum", input(t, SHAPE(between(t, 3, 5), 31, 67, 5)))));
}

/* More than a few elements, so that they are done by fours where operands allow. */
static void make_fours(struct test_graph *t)
{
    int64_t inner = between(t, 0, 1) ? 8 : between(t, 5, 11), rows = between(t, 300, 350);
    uint32_t x = input(t, SHAPE(3, rows, inner)), y = x;

    y = done(t, ADD(t, "Add", y, input(t, SHAPE(inner))));
    y = done(t, ADD(t, "Mul", y, input(t, SHAPE(rows, 1))));
    y = done(t, ADD(t, "Max", y, input(t, SHAPE(3, 1, inner)), x));
    give(t, y);
    y = done(t, ADD(t, "Less", y, constant(t, SHAPE(3, rows, inner), -1, 1)));
    give(t, done(t, ADD(t, "Where", y, x, input(t, SHAPE(1)))));
}

/* Too few rows and too long for anything but parts. */
static void make_rows_in_parts(struct test_graph *t)
{
    int64_t rows = between(t, 1, 2), length = between(t, 33000, 40000);
    uint32_t x = input(t, SHAPE(rows, length)), n = ADD(t, "Softmax", x);

    build_int(t->graph, n, "axis", -1);
    give(t, done(t, n));
    n = ADD(t, "LogSoftmax", x);
    build_int(t->graph, n, "axis", -1);
    give(t, done(t, n));
    x = input(t, SHAPE(1, rows, length));
    n = ADD(t, "InstanceNormalization", x, input(t, SHAPE(rows)), input(t, SHAPE(rows)));
    give(t, done(t, n));
}

static void make_norms_long(struct test_graph *t)
{
    int64_t length = between(t, 300, 3000), channels = between(t, 2, 4);
    uint32_t n = ADD(t, "LayerNormalization", input(t, SHAPE(between(t, 1, 9), length)),
                     input(t, SHAPE(length)), input(t, SHAPE(length)));

    build_int(t->graph, n, "axis", -1);
    give(t, done(t, n));
    n = ADD(t, "InstanceNormalization", input(t, SHAPE(2, channels, between(t, 9, 200), 171)),
            input(t, SHAPE(channels)), input(t, SHAPE(channels)));
    give(t, done(t, n));
}

static void make_norms(struct test_graph *t)
{
    int64_t channels = between(t, 2, 6), width = between(t, 0, 1) ? 300 : between(t, 3, 9);
    uint32_t x = input(t, SHAPE(2, channels, 4, width));
    uint32_t scale = constant(t, SHAPE(channels), 0.5, 2), bias = constant(t, SHAPE(channels), -1, 1);
    uint32_t mean = constant(t, SHAPE(channels), -1, 1), spread = constant(t, SHAPE(channels), 0.5, 2);
    uint32_t n;

    give(t, done(t, ADD(t, "BatchNormalization", x, scale, bias, mean, spread)));
    give(t, done(t, ADD(t, "InstanceNormalization", x, scale, bias)));
    give(t, done(t, ADD(t, "LayerNormalization", x, constant(t, SHAPE(width), 0.5, 2),
                        constant(t, SHAPE(width), -1, 1))));
    n = ADD(t, "LRN", x);
    build_int(t->graph, n, "size", 3);
    give(t, done(t, n));
}

/* --- Moves --- */

static void make_transpose(struct test_graph *t)
{
    uint32_t x = input(t, random_shape(t, 4, 6)), n = ADD(t, "Transpose", x);
    int64_t perm[] = { 0, 1, 2, 3 };

    for (int k = 3; k > 0; k--) {
        int64_t other = between(t, 0, k), swap = perm[k];

        perm[k] = perm[other];
        perm[other] = swap;
    }
    build_ints(t->graph, n, "perm", 4, perm);
    give(t, done(t, n));
}

static void random_order(struct test_graph *t, int64_t *perm, uint32_t rank)
{
    for (uint32_t k = 0; k < rank; k++)
        perm[k] = k;
    for (uint32_t k = rank; k-- > 1;) {
        int64_t other = between(t, 0, k), swap = perm[k];

        perm[k] = perm[other];
        perm[other] = swap;
    }
}

/* Larger than any tile along two axes, and by no round number; units of 1 to 16 bytes. */
static void make_transpose_tiles(struct test_graph *t)
{
    static const enum he_dtype dtypes[] = { HE_FLOAT32, HE_INT64, HE_INT32, HE_UINT8 };
    int64_t most[] = { 150, 40, 6, 3, 2 }, order[5], perm[5];

    for (int k = 0; k < 4; k++) {
        uint32_t rank = (uint32_t)between(t, 2, 5), n;
        struct he_shape shape = { .rank = rank };

        random_order(t, order, rank);
        for (uint32_t d = 0; d < rank; d++) {
            int64_t top = most[order[d]];

            shape.dims[d] = between(t, (top + 1) / 2, top);
            if (between(t, 0, 2) == 0) /* wide units */
                shape.dims[d] = (shape.dims[d] + 3) / 4 * 4;
        }
        random_order(t, perm, rank);
        n = ADD(t, "Transpose", typed_input(t, dtypes[k], shape, -99, 99));
        build_ints(t->graph, n, "perm", rank, perm);
        give(t, done(t, n));
    }
}

/* Parts that do and do not begin and end at multiples of 4, in long rows. */
static void make_parts(struct test_graph *t)
{
    int64_t columns = 4 * between(t, 20, 40) + between(t, 0, 1) * between(t, 1, 3);
    int64_t from = between(t, 0, 1) * between(t, 1, 9), keep = columns - from - between(t, 0, 5);
    uint32_t x = input(t, SHAPE(between(t, 2, 5), between(t, 30, 60), columns)), both[2], n;
    uint32_t starts = integers(t, 2, (int64_t[]){ 4, from });
    uint32_t ends = integers(t, 2, (int64_t[]){ 24, from + keep });
    uint32_t axes = integers(t, 2, (int64_t[]){ 1, 2 });
    int64_t rows;

    both[0] = done(t, ADD(t, "Slice", x, starts, ends, axes));
    rows = t->graph->values[both[0]].shape.dims[0];
    both[1] = input(t, SHAPE(rows, 20, between(t, 1, 2) * 4));
    give(t, both[0]);
    n = add(t, "Concat", 2, both);
    build_int(t->graph, n, "axis", 2);
    give(t, done(t, n));
    x = integers(t, 3, (int64_t[]){ rows, 20, keep });
    n = ADD(t, "Expand", input(t, SHAPE(rows, 1, keep)), x);
    give(t, done(t, n));
}

static void make_concat(struct test_graph *t)
{
    struct he_shape shape = random_shape(t, 3, 5);
    int64_t axis = between(t, 0, 2);
    uint32_t inputs[3], n;

    for (int k = 0; k < 3; k++) {
        shape.dims[axis] = between(t, 1, 4);
        inputs[k] = input(t, shape);
    }
    n = add(t, "Concat", 3, inputs);
    build_int(t->graph, n, "axis", axis);
    give(t, done(t, n));
}

static void make_split(struct test_graph *t)
{
    int64_t axis = between(t, 0, 1), sizes[] = { between(t, 1, 3), between(t, 1, 4) };
    struct he_shape shape = random_shape(t, 3, 5);
    uint32_t outputs[2], inputs[2], n;

    shape.dims[axis] = sizes[0] + sizes[1];
    inputs[0] = input(t, shape);
    inputs[1] = integers(t, 2, sizes);
    outputs[0] = build_value(t->graph, "a", HE_DTYPE_NONE, "*");
    outputs[1] = build_value(t->graph, "b", HE_DTYPE_NONE, "*");
    n = build_node(t->graph, "Split", 2, inputs, 2, outputs);
    build_int(t->graph, n, "axis", axis);
    done(t, n);
    give(t, outputs[0]);
    give(t, outputs[1]);
}

static void make_slice(struct test_graph *t)
{
    uint32_t x = input(t, SHAPE(between(t, 4, 7), between(t, 4, 7), between(t, 4, 7)));
    uint32_t starts = integers(t, 2, (int64_t[]){ between(t, 0, 2), -1 });
    uint32_t ends = integers(t, 2, (int64_t[]){ between(t, 3, 9), between(t, -9, -3) });
    uint32_t axes = integers(t, 2, (int64_t[]){ between(t, 0, 1), 2 });
    uint32_t steps = integers(t, 2, (int64_t[]){ between(t, 1, 2), -1 });

    give(t, done(t, ADD(t, "Slice", x, starts, ends, axes, steps)));
}

static void make_views(struct test_graph *t)
{
    uint32_t x = input(t, SHAPE(2, 3, 4)), y, n;

    y = done(t, ADD(t, "Reshape", x, integers(t, 2, (int64_t[]){ 6, 4 })));
    y = done(t, ADD(t, "Unsqueeze", y, integers(t, 1, (int64_t[]){ 0 })));
    n = ADD(t, "Flatten", y);
    give(t, done(t, n));
    give(t, done(t, ADD(t, "Relu", y)));
}

static void make_pad(struct test_graph *t)
{
    uint32_t x = input(t, random_shape(t, 3, 6));
    int64_t pads[6];

    for (int k = 0; k < 6; k++)
        pads[k] = between(t, 0, 2);
    give(t, done(t, ADD(t, "Pad", x, integers(t, 6, pads))));
    give(t, done(t, ADD(t, "Pad", x, integers(t, 6, pads), constant(t, (struct he_shape){ 0 }, 1, 2))));
}

static void make_gather(struct test_graph *t)
{
    struct he_shape shape = random_shape(t, 3, 6);
    int64_t axis = between(t, 0, 2);
    uint32_t x = input(t, shape), n;
    uint32_t indices = typed_input(t, between(t, 0, 1) ? HE_INT64 : HE_INT32, SHAPE(2, 3), 0,
                                   (float)shape.dims[axis] - 0.01f);

    n = ADD(t, "Gather", x, indices);
    build_int(t->graph, n, "axis", axis);
    give(t, done(t, n));
}

static void make_expand(struct test_graph *t)
{
    uint32_t x = input(t, SHAPE(between(t, 2, 5), 1, between(t, 2, 5)));
    int64_t dims[] = { 2, 1, between(t, 2, 6), 1 };

    give(t, done(t, ADD(t, "Expand", x, integers(t, 4, dims))));
}

static void make_resize(struct test_graph *t)
{
    uint32_t x = input(t, SHAPE(1, 2, between(t, 3, 6), between(t, 3, 6)));
    float scales[] = { 1, 1, 2, between(t, 0, 1) ? 3 : 0.5f };
    uint32_t list = build_constant(t->graph, "s", HE_FLOAT32, "4", scales);

    give(t, done(t, ADD(t, "Resize", x, HE_NONE, list)));
}

static void make_move_integers(struct test_graph *t)
{
    uint32_t x = typed_input(t, HE_INT64, SHAPE(3, 4), -99, 99), n;

    n = ADD(t, "Transpose", x);
    give(t, done(t, n));
    n = ADD(t, "Concat", x, x);
    build_int(t->graph, n, "axis", 0);
    give(t, done(t, n));
}

/* --- Indices, scans, selections --- */

static void make_scatter(struct test_graph *t)
{
    static const char *const words[] = { "none", "add", "mul", "max", "min" };
    struct he_shape shape = random_shape(t, 3, 5), part = shape;
    int64_t axis = between(t, 0, 2);
    uint32_t x = input(t, shape), indices, n;

    part.dims[axis] = between(t, 1, 4);
    indices = typed_input(t, HE_INT64, part, 0, (float)shape.dims[axis] - 0.01f);
    n = ADD(t, "ScatterElements", x, indices, input(t, part));
    build_int(t->graph, n, "axis", axis);
    build_string(t->graph, n, "reduction", words[between(t, 0, 4)]);
    give(t, done(t, n));
    indices = typed_input(t, HE_INT64, SHAPE(4, 1), 0, (float)shape.dims[0] - 0.01f);
    n = ADD(t, "ScatterND", x, indices, input(t, SHAPE(4, shape.dims[1], shape.dims[2])));
    build_string(t->graph, n, "reduction", words[between(t, 1, 4)]);
    give(t, done(t, n));
    give(t, done(t, ADD(t, "GatherND", x, indices)));
}

static void make_topk(struct test_graph *t)
{
    struct he_shape shape = random_shape(t, 3, 9);
    int64_t axis = between(t, 0, 2), k = between(t, 1, shape.dims[axis]);
    uint32_t inputs[] = { typed_input(t, HE_INT32, shape, -9, 9), integers(t, 1, &k) }, outputs[2], n;

    outputs[0] = build_value(t->graph, "v", HE_DTYPE_NONE, "*");
    outputs[1] = build_value(t->graph, "i", HE_DTYPE_NONE, "*");
    n = build_node(t->graph, "TopK", 2, inputs, 2, outputs);
    build_int(t->graph, n, "axis", axis);
    build_int(t->graph, n, "largest", between(t, 0, 1));
    done(t, n);
    give(t, outputs[0]);
    give(t, outputs[1]);
}

static void make_scan(struct test_graph *t)
{
    struct he_shape shape = random_shape(t, 3, 7);
    uint32_t x = input(t, shape), n;

    for (int k = 0; k < 2; k++) {
        n = ADD(t, "CumSum", k ? x : typed_input(t, HE_INT64, shape, -9, 9),
                integers(t, 1, (int64_t[]){ between(t, -3, 2) }));
        build_int(t->graph, n, "exclusive", between(t, 0, 1));
        build_int(t->graph, n, "reverse", between(t, 0, 1));
        give(t, done(t, n));
    }
    n = ADD(t, "Hardmax", x);
    build_int(t->graph, n, "axis", between(t, -3, 2));
    give(t, done(t, n));
    n = ADD(t, "Trilu", x, integers(t, 1, (int64_t[]){ between(t, -3, 3) }));
    build_int(t->graph, n, "upper", between(t, 0, 1));
    give(t, done(t, n));
}

static void make_one_hot(struct test_graph *t)
{
    uint32_t indices = typed_input(t, HE_INT64, random_shape(t, 2, 5), -6, 6), n;

    n = ADD(t, "OneHot", indices, integers(t, 1, (int64_t[]){ 5 }), constant(t, SHAPE(2), -3, 3));
    build_int(t->graph, n, "axis", between(t, -1, 2));
    give(t, done(t, n));
    n = ADD(t, "EyeLike", typed_input(t, HE_INT32, random_shape(t, 2, 6), 0, 9));
    build_int(t->graph, n, "k", between(t, -2, 2));
    give(t, done(t, n));
}

static void make_reduce_integers(struct test_graph *t)
{
    static const char *const ops[] = { "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1",
                                       "ReduceSumSquare" };
    uint32_t x = typed_input(t, between(t, 0, 1) ? HE_INT64 : HE_INT32, random_shape(t, 3, 4), -4, 4);

    for (size_t k = 0; k < HE_COUNT(ops); k++) {
        uint32_t n = ADD(t, ops[k], x);

        build_ints(t->graph, n, "axes", 2, (int64_t[]){ 0, between(t, 1, 2) });
        give(t, done(t, n));
    }
}

/* --- Losses, samples, direct convolutions --- */

static void make_loss(struct test_graph *t)
{
    static const char *const words[] = { "none", "sum", "mean" };
    int64_t classes = between(t, 2, 6), places = between(t, 0, 1) ? 300 : between(t, 1, 9);
    uint32_t x = input(t, SHAPE(2, classes, places)), n;
    uint32_t labels = typed_input(t, HE_INT64, SHAPE(2, places), 0, (float)classes - 0.01f);

    for (int k = 0; k < 2; k++) {
        n = ADD(t, k ? "SoftmaxCrossEntropyLoss" : "NegativeLogLikelihoodLoss", x, labels,
                constant(t, SHAPE(classes), 0.5, 2));
        build_string(t->graph, n, "reduction", words[between(t, 0, 2)]);
        if (between(t, 0, 1))
            build_int(t->graph, n, "ignore_index", 1);
        give(t, done(t, n));
    }
}

static void make_grid_sample(struct test_graph *t)
{
    static const char *const modes[] = { "bilinear", "bicubic" };
    static const char *const paddings[] = { "zeros", "border", "reflection" };
    uint32_t x = input(t, SHAPE(2, 3, 5, between(t, 2, 7))), n;
    uint32_t grid = typed_input(t, HE_FLOAT32, SHAPE(2, 4, 3, 2), -1.4f, 1.4f);

    n = ADD(t, "GridSample", x, grid);
    build_string(t->graph, n, "mode", modes[between(t, 0, 1)]);
    build_string(t->graph, n, "padding_mode", paddings[between(t, 0, 2)]);
    build_int(t->graph, n, "align_corners", between(t, 0, 1));
    give(t, done(t, n));
}

static void make_conv_3d(struct test_graph *t)
{
    uint32_t x = input(t, SHAPE(1, 4, 5, between(t, 4, 6), 6)), n;

    n = ADD(t, "Conv", x, constant(t, SHAPE(6, 2, 3, 2, 3), -1, 1), constant(t, SHAPE(6), -1, 1));
    build_int(t->graph, n, "group", 2);
    build_ints(t->graph, n, "strides", 3, (int64_t[]){ 1, between(t, 1, 2), 2 });
    build_ints(t->graph, n, "pads", 6, (int64_t[]){ 1, 0, 1, 0, 1, 2 });
    give(t, done(t, n));
    n = ADD(t, "ConvTranspose", x, constant(t, SHAPE(4, 2, 2, 3, 2), -1, 1));
    build_ints(t->graph, n, "strides", 3, (int64_t[]){ 2, 1, between(t, 1, 2) });
    give(t, done(t, n));
}

/* --- Fused chains --- */

static void make_conv_residual(struct test_graph *t)
{
    uint32_t x, y = random_conv(t, 2, 1, true, &x), other;

    other = input(t, t->graph->values[y].shape);
    y = done(t, ADD(t, "Add", y, other));
    give(t, done(t, ADD(t, "Relu", y)));
    build_tasks(t->graph);
    build_fuse(t->graph, 3);
}

static void make_conv_swish(struct test_graph *t)
{
    uint32_t x, y = random_conv(t, 2, between(t, 1, 2), false, &x);
    struct he_shape shape = t->graph->values[y].shape;

    y = done(t, ADD(t, "Mul", y, constant(t, SHAPE(shape.dims[1], 1, 1), 0.5, 2)));
    y = done(t, ADD(t, "Add", y, constant(t, SHAPE(1), -1, 1)));
    give(t, done(t, ADD(t, "HardSwish", y)));
    build_tasks(t->graph);
    build_fuse(t->graph, 4);
}

static void make_matmul_row(struct test_graph *t)
{
    int64_t n = between(t, 1, 20);
    uint32_t a = input(t, SHAPE(5, 12));
    uint32_t y = done(t, ADD(t, "MatMul", a, constant(t, SHAPE(12, n), -1, 1)));

    y = done(t, ADD(t, "Add", y, constant(t, SHAPE(n), -1, 1)));
    give(t, done(t, ADD(t, "Sigmoid", y)));
    build_tasks(t->graph);
    build_fuse(t->graph, 3);
}

static void make_chain(struct test_graph *t)
{
    struct he_shape shape = random_shape(t, 4, 6);
    uint32_t a = input(t, shape), b = input(t, narrowed(t, shape));
    uint32_t y = done(t, ADD(t, "Mul", a, b));

    y = done(t, ADD(t, "Sub", constant(t, SHAPE(1), -1, 1), y));
    y = done(t, ADD(t, "Tanh", y));
    give(t, done(t, ADD(t, "Add", y, a)));
    build_tasks(t->graph);
    build_fuse(t->graph, 4);
}

const struct test_case test_cases[] = {
    { "unary", make_unary },
    { "unary_rest", make_unary_rest },
    { "binary", make_binary },
    { "integer", make_integer },
    { "where", make_where },
    { "clip", make_clip },
    { "cast", make_cast },
    { "conv", make_conv },
    { "conv_1d", make_conv_1d },
    { "conv_groups", make_conv_groups },
    { "conv_depthwise", make_conv_depthwise },
    { "conv_1x1", make_conv_1x1 },
    { "conv_transpose", make_conv_transpose },
    { "gemm", make_gemm },
    { "matmul", make_matmul },
    { "matmul_batches", make_matmul_batches },
    { "pool", make_pool },
    { "global_pool", make_global_pool },
    { "softmax", make_softmax },
    { "reduce", make_reduce },
    { "norms", make_norms },
    { "reduce_long", make_reduce_long },
    { "norms_long", make_norms_long },
    { "rows_in_parts", make_rows_in_parts },
    { "fours", make_fours },
    { "transpose", make_transpose },
    { "transpose_tiles", make_transpose_tiles },
    { "parts", make_parts },
    { "concat", make_concat },
    { "split", make_split },
    { "slice", make_slice },
    { "views", make_views },
    { "pad", make_pad },
    { "gather", make_gather },
    { "expand", make_expand },
    { "resize", make_resize },
    { "move_integers", make_move_integers },
    { "scatter", make_scatter },
    { "topk", make_topk },
    { "scan", make_scan },
    { "one_hot", make_one_hot },
    { "reduce_integers", make_reduce_integers },
    { "loss", make_loss },
    { "grid_sample", make_grid_sample },
    { "conv_3d", make_conv_3d },
    { "conv_residual", make_conv_residual },
    { "conv_swish", make_conv_swish },
    { "matmul_row", make_matmul_row },
    { "chain", make_chain },
};
const size_t test_case_count = HE_COUNT(test_cases);

void test_graph_init(struct test_graph *t, const struct test_case *test, uint64_t seed)
{
    *t = (struct test_graph){ .graph = build_graph(test->name), .random = seed * 7919 };
    for (const char *c = test->name; *c; c++)
        t->random = t->random * 31 + (unsigned char)*c;
    test->make(t);
    if (!t->graph->task_count)
        build_tasks(t->graph);
}

void test_graph_fini(struct test_graph *t)
{
    build_free(t->graph);
}
