/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oneDNN steps against a naive reference in double precision: random tasks (an
 * anchor and an epilogue) over both layouts, and by name the cases that
 * went wrong or easily could. Constants are deliberately misaligned.
 */
#include "config.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/task_bench.h"

/* --- Epilogues --- */

static const char *const functions[] = {
    "Relu", "LeakyRelu", "Elu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish",
    "Gelu", "Softplus", "Abs", "Neg",
};
#define FUNCTION_COUNT (sizeof functions / sizeof functions[0])

/* One number per channel: [C, 1, ...] under [N, C, spatial...], or [N] under [..., N]. */
static uint32_t channel_vector(struct bench *m, uint32_t value, int axis, float low, float high)
{
    const struct he_shape *shape = &m->values[value].shape;
    int64_t dims[HE_MAX_RANK];
    uint32_t rank = shape->rank - (uint32_t)axis, k;

    for (k = 0; k < rank; k++)
        dims[k] = k ? 1 : shape->dims[axis];
    return add_constant(m, low, high, rank, dims);
}

static uint32_t random_epilogue(struct bench *m, uint32_t x, int axis, int length)
{
    static const char *const operations[] = {"Add", "Sub", "Mul", "Div", "Max", "Min"};
    uint32_t other, f;
    const char *op;

    while (length-- > 0) {
        switch (pick(0, 6)) {
        case 0:
        case 1:
            x = ref_unary(m, functions[pick(0, FUNCTION_COUNT - 1)], x);
            break;
        case 2: /* x * sigmoid(x) */
            f = ref_unary(m, "Sigmoid", x);
            x = coin() ? ref_binary(m, "Mul", x, f, x) : ref_binary(m, "Mul", f, x, x);
            break;
        case 3:
            op = operations[pick(0, 5)];
            other = channel_vector(m, x, axis, 0.5f, 1.5f);
            x = ref_binary(m, op, x, other, x);
            break;
        case 4:
            op = operations[pick(0, 2)];
            other = add_constant(m, 0.5f, 1.5f, coin() ? 0 : 1, (int64_t[]){1});
            x = coin() ? ref_binary(m, op, other, x, x) : ref_binary(m, op, x, other, x);
            break;
        default: /* residual */
            op = operations[pick(0, 2)];
            other = add_input(m, m->values[x].shape.rank, m->values[x].shape.dims);
            x = coin() ? ref_binary(m, op, other, x, x) : ref_binary(m, op, x, other, x);
            break;
        }
    }
    return x;
}

/* --- Convolutions --- */

static struct conv_case random_conv(void)
{
    static const int64_t channels[] = {1, 3, 8, 16, 17, 24, 32, 48};
    struct conv_case t = {.spatial = (int)pick(1, 2), .n = pick(1, 2)};
    int64_t extent;
    int d;

    if (pick(0, 7) == 0)
        t.spatial = 3;
    t.is_transposed = pick(0, 3) == 0;
    t.has_bias = coin();
    t.c = channels[pick(0, 7)];
    t.o = channels[pick(0, 7)];
    t.groups = 1;
    if (pick(0, 3) == 0)
        t.groups = t.o = t.c; /* depthwise */
    else if (pick(0, 3) == 0 && t.c % 2 == 0 && t.o % 2 == 0)
        t.groups = 2;
    for (d = 0; d < t.spatial; d++) {
        t.kernel[d] = coin() ? 3 : pick(1, 4);
        t.strides[d] = coin() ? 1 : pick(1, 3);
        t.dilations[d] = pick(0, 3) ? 1 : 2;
        t.pads[d] = pick(0, t.kernel[d] - 1);
        t.pads[t.spatial + d] = pick(0, t.kernel[d] - 1);
        extent = (t.kernel[d] - 1) * t.dilations[d] + 1;
        t.in[d] = extent + pick(0, t.spatial == 3 ? 3 : 9);
        if (t.is_transposed && t.strides[d] > 1 && coin())
            t.extra[d] = 1;
    }
    return t;
}

START_TEST(random_convolutions_agree)
{
    struct conv_case t;
    struct outcome outcome;
    struct bench *m;
    uint32_t y;
    int k, taken = 0, total = 260;

    for (k = 0; k < total; k++) {
        random_state = 1000 + (uint64_t)k;
        m = bench_new();
        t = random_conv();
        y = ref_conv(m, &t);
        y = random_epilogue(m, y, 1, (int)pick(0, 3));
        outcome = run_task(m, y, RANDOM_LAYOUTS, false, 1 + (uint32_t)(k % 2));
        if (outcome.status == HE_ERR_UNSUPPORTED) {
            bench_free(m);
            continue;
        }
        taken++;
        ck_assert_msg(outcome.status == HE_OK, "case %d: %s", k, he_error_message());
        ck_assert_msg(outcome.error < 1e-4, "case %d: error %g", k, outcome.error);
        bench_free(m);
    }
    ck_assert_msg(taken * 10 >= total * 8, "only %d of %d taken", taken, total);
}
END_TEST

/* The convolutions that networks are made of: refusing one of these is a fault. */
static const struct {
    const char *what;
    struct conv_case conv;
    const char *then[2]; /* "+": residual */
} common[] = {
    {"first layer", {2, 1, 3, 64, 1, {32, 32}, {7, 7}, {2, 2}, {1, 1}, {3, 3, 3, 3}}, {"Relu"}},
    {"1x1", {2, 1, 64, 96, 1, {14, 14}, {1, 1}, {1, 1}, {1, 1}, {0}}, {"Relu"}},
    {"1x1 with residual", {2, 1, 64, 96, 1, {7, 7}, {1, 1}, {1, 1}, {1, 1}, {0}}, {"+", "Relu"}},
    {"1x1, stride 2", {2, 1, 64, 96, 1, {14, 14}, {1, 1}, {2, 2}, {1, 1}, {0}}, {NULL}},
    {"3x3, Winograd's", {2, 1, 64, 64, 1, {28, 28}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}}, {"Relu"}},
    {"3x3, odd channels", {2, 1, 17, 35, 1, {13, 13}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}}, {"Relu"}},
    {"3x3, no padding", {2, 2, 32, 32, 1, {15, 12}, {3, 3}, {1, 1}, {1, 1}, {0}}, {NULL}},
    {"3x3, HardSwish", {2, 1, 32, 32, 1, {16, 16}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}}, {"HardSwish"}},
    {"3x3, residual", {2, 1, 64, 64, 1, {14, 14}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}}, {"+", "Relu"}},
    {"3x3, stride 2", {2, 1, 32, 64, 1, {28, 28}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}}, {"Relu"}},
    {"depthwise", {2, 1, 72, 72, 72, {28, 28}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}}, {"HardSwish"}},
    {"depthwise 5x5, stride 2", {2, 1, 40, 40, 40, {28, 28}, {5, 5}, {2, 2}, {1, 1}, {2, 2, 2, 2}}, {"Relu"}},
    {"grouped 1x1", {2, 1, 136, 136, 4, {14, 14}, {1, 1}, {1, 1}, {1, 1}, {0}}, {"Relu"}},
    {"dilated", {2, 1, 32, 32, 1, {20, 20}, {3, 3}, {1, 1}, {2, 2}, {2, 2, 2, 2}}, {"Relu"}},
    {"one dimension", {1, 1, 128, 64, 1, {50}, {3}, {1}, {1}, {1, 1}}, {"Relu"}},
    {"three dimensions", {3, 1, 16, 32, 1, {8, 8, 8}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1, 1, 1, 1}}, {"Relu"}},
    {"one pixel", {2, 1, 32, 64, 1, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {0}}, {"Sigmoid"}},
    {"transposed 2x2", {2, 1, 24, 24, 1, {20, 20}, {2, 2}, {2, 2}, {1, 1}, {0}, {0}, true}, {"Relu"}},
    {"transposed 2x2 to one channel", {2, 2, 24, 1, 1, {9, 13}, {2, 2}, {2, 2}, {1, 1}, {0}, {0}, true}, {"Sigmoid"}},
    {"transposed 3x3, stride 2", {2, 1, 16, 24, 1, {9, 13}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, {1, 1}, true}, {"+", "HardSwish"}},
    {"transposed, one dimension", {1, 2, 16, 24, 1, {9}, {4}, {4}, {1}, {0}, {0}, true}, {"Relu"}},
    {"a column", {2, 1, 32, 48, 1, {50, 1}, {5, 1}, {1, 1}, {1, 1}, {0}}, {"+", "Relu"}},
    {"a padded column", {2, 1, 32, 48, 1, {50, 1}, {3, 1}, {2, 1}, {1, 1}, {1, 0, 1, 0}}, {"Relu"}},
    {"transposed 4x4", {2, 1, 32, 16, 1, {10, 10}, {4, 4}, {2, 2}, {1, 1}, {1, 1, 1, 1}, {0}, true}, {"Relu"}},
};

START_TEST(common_convolutions_are_taken)
{
    static const enum layouts layouts[] = {ALL_PLAIN, ALL_LAST, RANDOM_LAYOUTS};
    struct conv_case t;
    struct bench *m;
    uint32_t y, other;
    size_t l, k;

    for (l = 0; l < 3; l++) {
        random_state = 77 + (uint64_t)_i;
        m = bench_new();
        t = common[_i].conv;
        t.has_bias = l > 0;
        y = ref_conv(m, &t);
        for (k = 0; k < 2 && common[_i].then[k]; k++) {
            if (strcmp(common[_i].then[k], "+") == 0) {
                other = add_input(m, m->values[y].shape.rank, m->values[y].shape.dims);
                y = ref_binary(m, "Add", y, other, y);
            } else {
                y = ref_unary(m, common[_i].then[k], y);
            }
        }
        expect_close(m, y, layouts[l], false, 1e-4, common[_i].what);
    }
}
END_TEST

START_TEST(auto_pad_is_resolved)
{
    static const struct {
        const char *mode;
        int64_t size, before, out;
    } cases[] = {
        {"SAME_UPPER", 14, 0, 7}, {"SAME_LOWER", 14, 1, 7}, {"VALID", 14, 0, 6},
        {"SAME_UPPER", 13, 1, 7},
    };
    struct conv_case t = {2, 1, 16, 32, 1, {0}, {3, 3}, {2, 2}, {1, 1}, {0}};
    struct bench *m;
    uint32_t y;
    int d;

    random_state = 5;
    t.in[0] = t.in[1] = cases[_i].size;
    for (d = 0; d < 2; d++) {
        t.pads[d] = cases[_i].before;
        t.pads[2 + d] = (cases[_i].out - 1) * 2 + 3 - cases[_i].size - cases[_i].before;
        if (t.pads[2 + d] < 0)
            t.pads[2 + d] = 0;
    }
    m = bench_new();
    y = ref_conv(m, &t);
    /* The reference used explicit padding; the task says it the other way. */
    ck_assert_str_eq(m->nodes[0].attrs[2].name, "pads");
    m->nodes[0].attr_count = 2;
    node_string(&m->nodes[0], "auto_pad", cases[_i].mode);
    ck_assert_int_eq(m->values[y].shape.dims[2], cases[_i].out);
    expect_close(m, y, RANDOM_LAYOUTS, false, 1e-5, cases[_i].mode);
}
END_TEST

/* --- Products --- */

static uint32_t ref_gemm(struct bench *m, int64_t M, int64_t N, int64_t K, bool ta, bool tb,
                         float alpha, float beta, int addend)
{
    struct he_node *node = node_begin(m, "Gemm", 13);
    struct he_shape out = shape_of(DIMS(M, N));
    uint32_t a = add_input(m, DIMS(ta ? K : M, ta ? M : K));
    uint32_t w = add_constant(m, -0.5f, 0.5f, DIMS(tb ? N : K, tb ? K : N)), c = HE_NONE, y;
    int64_t k;

    if (addend == 1)
        c = add_constant(m, -1, 1, DIMS(N));
    else if (addend == 2)
        c = add_constant(m, -1, 1, DIMS(1, N));
    else if (addend == 3)
        c = add_constant(m, -1, 1, 0, NULL);
    node_input(node, a);
    node_input(node, w);
    if (c != HE_NONE)
        node_input(node, c);
    node_int(node, "transA", ta);
    node_int(node, "transB", tb);
    node_float(node, "alpha", alpha);
    node_float(node, "beta", beta);
    y = node_end(m, node, &out);
    multiply(m, a, w, y, ta, tb, alpha);
    for (k = 0; k < M * N && c != HE_NONE; k++)
        m->exact[y][k] += beta * m->exact[c][addend == 3 ? 0 : k % N];
    return y;
}

static uint32_t ref_matmul(struct bench *m, uint32_t a, uint32_t b, const struct he_shape *out)
{
    struct he_node *node = node_begin(m, "MatMul", 13);
    uint32_t y;

    node_input(node, a);
    node_input(node, b);
    y = node_end(m, node, out);
    multiply(m, a, b, y, false, false, 1);
    return y;
}

START_TEST(random_products_agree)
{
    static const int64_t sizes[] = {1, 2, 7, 16, 33, 64, 100};
    struct he_shape out;
    struct bench *m;
    uint32_t y, a, b;
    int64_t M, N, K, B, C;
    int k;

    for (k = 0; k < 150; k++) {
        random_state = 4000 + (uint64_t)k;
        m = bench_new();
        M = sizes[pick(0, 6)];
        N = sizes[pick(0, 6)];
        K = sizes[pick(0, 6)];
        B = pick(1, 3);
        C = pick(1, 3);
        switch (pick(0, 3)) {
        case 0:
        case 1:
            y = ref_gemm(m, M, N, K, coin(), coin(), coin() ? 1.0f : 0.7f, coin() ? 1.0f : 0.3f,
                         (int)pick(0, 3));
            break;
        case 2: /* constant weights under a batch */
            out = shape_of(DIMS(B, M, N));
            a = add_input(m, DIMS(B, M, K));
            b = add_constant(m, -0.5f, 0.5f, DIMS(K, N));
            y = ref_matmul(m, a, b, &out);
            break;
        default: /* two values, perhaps one batch for all */
            out = shape_of(DIMS(B, C, M, N));
            a = add_input(m, DIMS(B, C, M, K));
            b = coin() ? add_input(m, DIMS(B, C, K, N))
                       : (coin() ? add_input(m, DIMS(C, K, N)) : add_input(m, DIMS(1, 1, K, N)));
            y = ref_matmul(m, a, b, &out);
            break;
        }
        y = random_epilogue(m, y, (int)m->values[y].shape.rank - 1, (int)pick(0, 3));
        expect_close(m, y, ALL_PLAIN, false, 1e-4, "product");
    }
}
END_TEST

/* --- Every way of doing it gives the same result --- */

static const char *const conv_ways[] = { "winograd", "last", "plain", "blocked", "gemm" };
static const char *const product_ways[] = { "packed", "plain", "inner", "inner-plain" };

START_TEST(convolutions_agree_in_every_way)
{
    struct outcome outcome;
    struct bench *m;
    uint32_t y;
    int k, taken = 0;

    run_variant = conv_ways[_i];
    for (k = 0; k < 120; k++) {
        struct conv_case t;

        random_state = 9000 + (uint64_t)k;
        m = bench_new();
        t = random_conv();
        t.is_transposed = false;
        if (k % 2) { /* what Winograd takes */
            t = (struct conv_case){ .spatial = 2, .n = 1, .c = 16 * pick(1, 3), .o = 16 * pick(1, 3),
                                    .groups = 1, .in = { pick(6, 15), pick(6, 15) },
                                    .kernel = { 3, 3 }, .strides = { 1, 1 }, .dilations = { 1, 1 },
                                    .pads = { 1, 1, 1, 1 }, .has_bias = coin() };
        }
        y = ref_conv(m, &t);
        y = random_epilogue(m, y, 1, (int)pick(0, 3));
        outcome = run_task(m, y, RANDOM_LAYOUTS, false, 1 + (uint32_t)(k % 3 == 0));
        bench_free(m);
        if (outcome.status == HE_ERR_UNSUPPORTED)
            continue;
        taken++;
        ck_assert_msg(outcome.status == HE_OK, "%s, case %d: %s", run_variant, k,
                      he_error_message());
        ck_assert_msg(outcome.error < 2e-4, "%s, case %d: error %g", run_variant, k, outcome.error);
    }
    run_variant = NULL;
    ck_assert_msg(taken >= 30, "%s: only %d of 120 taken", conv_ways[_i], taken);
}
END_TEST

START_TEST(products_agree_in_every_way)
{
    static const int64_t sizes[] = { 1, 2, 7, 16, 33, 64, 100 };

    for (int k = 0; k < 80; k++) {
        struct bench *m = bench_new();
        int64_t M, N, K;
        uint32_t y;

        random_state = 9500 + (uint64_t)k;
        M = k % 3 ? sizes[pick(0, 6)] : 1;
        N = sizes[pick(0, 6)];
        K = sizes[pick(0, 6)];
        y = ref_gemm(m, M, N, K, coin(), coin(), coin() ? 1.0f : 0.7f, coin() ? 1.0f : 0.3f,
                     (int)pick(0, 3));
        y = random_epilogue(m, y, 1, (int)pick(0, 3));
        run_variant = product_ways[_i];
        expect_close(m, y, ALL_PLAIN, false, 1e-4, run_variant);
        run_variant = NULL;
    }
}
END_TEST

START_TEST(a_classifier_reads_its_weights_in_place)
{
    struct bench *m = bench_new();
    uint32_t y;

    random_state = 9;
    y = ref_gemm(m, 1, 1000, 700, false, _i == 1, 1, 1, 1);
    expect_close(m, y, ALL_PLAIN, false, 1e-5, "classifier");
}
END_TEST

/* --- Windows --- */

static uint32_t ref_pool(struct bench *m, bool is_max, const struct conv_case *t, bool ceil_mode,
                         bool counts_padding)
{
    struct he_node *node = node_begin(m, is_max ? "MaxPool" : "AveragePool", 19);
    struct he_shape out = shape_of(DIMS(t->n, t->c, 1, 1));
    uint32_t x = add_input(m, DIMS(t->n, t->c, t->in[0], t->in[1])), y;
    int64_t o[2], k[2], at[2], p, d, taken, span, plane;
    double sum, value;

    node_input(node, x);
    node_ints(m, node, "kernel_shape", t->kernel, 2);
    node_ints(m, node, "strides", t->strides, 2);
    node_ints(m, node, "pads", t->pads, 4);
    node_int(node, "ceil_mode", ceil_mode);
    if (!is_max)
        node_int(node, "count_include_pad", counts_padding);
    for (d = 0; d < 2; d++) {
        span = t->in[d] + t->pads[d] + t->pads[2 + d] - t->kernel[d];
        out.dims[2 + d] = (span + (ceil_mode ? t->strides[d] - 1 : 0)) / t->strides[d] + 1;
        /* A last window must not begin in the padding behind. */
        if ((out.dims[2 + d] - 1) * t->strides[d] >= t->in[d] + t->pads[d])
            out.dims[2 + d]--;
    }
    y = node_end(m, node, &out);
    for (p = 0; p < count_of(m, y); p++) {
        o[1] = p % out.dims[3];
        o[0] = p / out.dims[3] % out.dims[2];
        plane = p / (out.dims[2] * out.dims[3]) * t->in[0] * t->in[1];
        sum = is_max ? -INFINITY : 0;
        for (taken = 0, k[0] = 0; k[0] < t->kernel[0]; k[0]++) {
            for (k[1] = 0; k[1] < t->kernel[1]; k[1]++) {
                for (d = 0; d < 2; d++)
                    at[d] = o[d] * t->strides[d] + k[d] - t->pads[d];
                if (at[0] < 0 || at[0] >= t->in[0] || at[1] < 0 || at[1] >= t->in[1]) {
                    taken += counts_padding;
                    continue;
                }
                value = m->exact[x][plane + at[0] * t->in[1] + at[1]];
                sum = is_max ? fmax(sum, value) : sum + value;
                taken++;
            }
        }
        m->exact[y][p] = is_max ? sum : sum / (double)taken;
    }
    return y;
}

START_TEST(random_pools_agree)
{
    struct conv_case t = {0};
    struct outcome outcome;
    struct bench *m;
    uint32_t y;
    int k, d, taken = 0;

    for (k = 0; k < 120; k++) {
        random_state = 7000 + (uint64_t)k;
        m = bench_new();
        t.n = pick(1, 2);
        t.c = coin() ? 16 : pick(1, 40);
        for (d = 0; d < 2; d++) {
            t.kernel[d] = pick(1, 4);
            t.strides[d] = pick(1, 3);
            t.pads[d] = pick(0, t.kernel[d] / 2);
            t.pads[2 + d] = pick(0, t.kernel[d] / 2);
            t.in[d] = t.kernel[d] + pick(0, 12);
        }
        y = ref_pool(m, coin(), &t, coin(), coin());
        if (pick(0, 3) == 0)
            y = ref_unary(m, "Relu", y);
        outcome = run_task(m, y, coin() ? ALL_LAST : ALL_PLAIN, false, 1);
        if (outcome.status != HE_ERR_UNSUPPORTED) {
            taken++;
            ck_assert_msg(outcome.status == HE_OK, "case %d: %s", k, he_error_message());
            ck_assert_msg(outcome.error < 1e-5, "case %d: error %g", k, outcome.error);
        }
        bench_free(m);
    }
    ck_assert_int_ge(taken, 80);
}
END_TEST

START_TEST(global_pools_agree)
{
    struct bench *m;
    struct he_node *node;
    struct he_shape out;
    uint32_t x, y;
    int64_t c, p, C = 33, P = 49;
    double r;
    int l;

    for (l = 0; l < 2; l++) {
        random_state = 21;
        m = bench_new();
        x = add_input(m, DIMS(2, C, 7, 7));
        node = node_begin(m, _i ? "GlobalMaxPool" : "GlobalAveragePool", 1);
        node_input(node, x);
        out = shape_of(DIMS(2, C, 1, 1));
        y = node_end(m, node, &out);
        for (c = 0; c < 2 * C; c++) {
            r = _i ? -INFINITY : 0;
            for (p = 0; p < P; p++)
                r = _i ? fmax(r, m->exact[x][c * P + p]) : r + m->exact[x][c * P + p] / (double)P;
            m->exact[y][c] = r;
        }
        expect_close(m, y, l ? ALL_LAST : ALL_PLAIN, false, 1e-5, "global pool");
    }
}
END_TEST

START_TEST(lrn_agrees)
{
    struct bench *m = bench_new();
    struct he_node *node = node_begin(m, "LRN", 13);
    int64_t C = 40, P = 36, n, c, k, p;
    uint32_t x = add_input(m, DIMS(2, C, 6, 6)), y;
    struct outcome outcome;
    double sum, v;

    random_state = 3;
    node_input(node, x);
    node_int(node, "size", 5);
    node_float(node, "alpha", 0.5f);
    node_float(node, "beta", 0.75f);
    node_float(node, "bias", 1.5f);
    y = node_end(m, node, &m->values[x].shape);
    for (n = 0; n < 2; n++) {
        for (c = 0; c < C; c++) {
            for (p = 0; p < P; p++) {
                for (sum = 0, k = c - 2; k <= c + 2; k++) {
                    if (k < 0 || k >= C)
                        continue;
                    v = m->exact[x][(n * C + k) * P + p];
                    sum += v * v;
                }
                m->exact[y][(n * C + c) * P + p] =
                    m->exact[x][(n * C + c) * P + p] / pow(1.5 + 0.5 / 5 * sum, 0.75);
            }
        }
    }
    outcome = run_task(m, y, _i ? ALL_LAST : ALL_PLAIN, false, 1);
    ck_assert_int_eq(outcome.status, HE_OK);
    ck_assert_double_lt(outcome.error, 1e-5);
    bench_free(m);
}
END_TEST

/* Sampling positions by ONNX's half_pixel formula, one dimension at a time. */
static uint32_t ref_resize(struct bench *m, bool is_linear, int64_t H, int64_t W, int64_t oh,
                           int64_t ow)
{
    struct he_node *node = node_begin(m, "Resize", 13);
    uint32_t x = add_input(m, DIMS(1, 20, H, W)), y;
    struct he_shape out = shape_of(DIMS(1, 20, oh, ow));
    int64_t p, at[2], low[2], high[2], size[2] = {H, W}, to[2] = {oh, ow};
    const double *plane;
    double where, weight[2];
    int d;

    node_input(node, x);
    node_input(node, HE_NONE);
    node_input(node, HE_NONE);
    node_input(node, HE_NONE); /* stands for sizes */
    node_string(node, "mode", is_linear ? "linear" : "nearest");
    node_string(node, "coordinate_transformation_mode", is_linear ? "half_pixel" : "asymmetric");
    node_string(node, "nearest_mode", "floor");
    y = node_end(m, node, &out);
    for (p = 0; p < count_of(m, y); p++) {
        at[0] = p / ow % oh;
        at[1] = p % ow;
        plane = m->exact[x] + p / (oh * ow) * H * W;
        for (d = 0; d < 2; d++) {
            where = is_linear
                        ? ((double)at[d] + 0.5) * (double)size[d] / (double)to[d] - 0.5
                        : floor((double)at[d] * (double)size[d] / (double)to[d]);
            where = fmin(fmax(where, 0), (double)size[d] - 1);
            low[d] = (int64_t)where;
            high[d] = low[d] + 1 < size[d] ? low[d] + 1 : low[d];
            weight[d] = where - (double)low[d];
        }
        m->exact[y][p] =
            (plane[low[0] * W + low[1]] * (1 - weight[1]) + plane[low[0] * W + high[1]] * weight[1]) *
                (1 - weight[0]) +
            (plane[high[0] * W + low[1]] * (1 - weight[1]) +
             plane[high[0] * W + high[1]] * weight[1]) * weight[0];
    }
    return y;
}

START_TEST(resizing_samples_where_onnx_does)
{
    struct bench *m;
    uint32_t y;
    int k;

    for (k = 0; k < 8; k++) {
        random_state = 60 + (uint64_t)k;
        m = bench_new();
        if (k % 2)
            y = ref_resize(m, true, pick(3, 9), pick(3, 9), pick(5, 20), pick(5, 20));
        else
            y = ref_resize(m, false, 5, 6, 5 * pick(1, 4), 6 * pick(1, 4));
        expect_close(m, y, k < 4 ? ALL_PLAIN : ALL_LAST, false, 1e-5, "resize");
    }
}
END_TEST

/* --- Normalisations --- */

START_TEST(softmax_agrees)
{
    static const struct {
        const char *op;
        int opset;
        int64_t axis;
        uint32_t rank;
        int64_t dims[4];
        enum layouts layouts;
        int64_t outer, row, inner; /* as the operator sees it */
    } cases[] = {
        {"Softmax", 13, -1, 2, {3, 100}, ALL_PLAIN, 3, 100, 1},
        {"LogSoftmax", 13, -1, 2, {3, 100}, ALL_PLAIN, 3, 100, 1},
        {"Softmax", 13, 1, 4, {2, 10, 5, 6}, ALL_LAST, 2, 10, 30},
        {"Softmax", 11, 1, 3, {2, 10, 30}, ALL_PLAIN, 2, 300, 1},
        {"Softmax", 13, 0, 1, {77}, ALL_PLAIN, 1, 77, 1},
    };
    struct bench *m = bench_new();
    struct he_node *node = node_begin(m, cases[_i].op, cases[_i].opset);
    uint32_t x = add_input(m, cases[_i].rank, cases[_i].dims), y;
    int64_t o, r, i, R = cases[_i].row, I = cases[_i].inner;
    double sum;

    node_input(node, x);
    node_int(node, "axis", cases[_i].axis);
    y = node_end(m, node, &m->values[x].shape);
    for (o = 0; o < cases[_i].outer; o++) {
        for (i = 0; i < I; i++) {
            for (sum = 0, r = 0; r < R; r++)
                sum += exp(m->exact[x][(o * R + r) * I + i]);
            for (r = 0; r < R; r++)
                m->exact[y][(o * R + r) * I + i] =
                    cases[_i].op[0] == 'L' ? m->exact[x][(o * R + r) * I + i] - log(sum)
                                           : exp(m->exact[x][(o * R + r) * I + i]) / sum;
        }
    }
    expect_close(m, y, cases[_i].layouts, false, 1e-5, cases[_i].op);
}
END_TEST

START_TEST(batch_normalisation_agrees)
{
    struct bench *m = bench_new();
    struct he_node *node = node_begin(m, "BatchNormalization", 15);
    int64_t C = 37, P = 42, n, c, p;
    uint32_t x = add_input(m, DIMS(2, C, 6, 7)), y, k;
    double scale;

    random_state = 11;
    node_input(node, x);
    for (k = 0; k < 4; k++)
        node_input(node, add_constant(m, 0.5f, 1.5f, DIMS(C)));
    node_float(node, "epsilon", 0.01f);
    y = node_end(m, node, &m->values[x].shape);
    for (n = 0; n < 2; n++) {
        for (c = 0; c < C; c++) {
            scale = m->exact[node->inputs[1]][c] / sqrt(m->exact[node->inputs[4]][c] + 0.01);
            for (p = 0; p < P; p++)
                m->exact[y][(n * C + c) * P + p] =
                    (m->exact[x][(n * C + c) * P + p] - m->exact[node->inputs[3]][c]) * scale +
                    m->exact[node->inputs[2]][c];
        }
    }
    if (_i & 2)
        y = ref_binary(m, "Mul", y, channel_vector(m, y, 1, 0.5f, 1.5f), y);
    if (_i & 4)
        y = ref_unary(m, "Relu", y);
    expect_close(m, y, _i & 1 ? ALL_LAST : ALL_PLAIN, false, 1e-5, "batch normalisation");
}
END_TEST

START_TEST(layer_normalisation_agrees)
{
    struct bench *m = bench_new();
    struct he_node *node = node_begin(m, "LayerNormalization", 17);
    int64_t R = 14, C = 50, r, c;
    uint32_t x = add_input(m, DIMS(2, 7, C)), y;
    double mean, variance, *row;

    random_state = 12;
    node_input(node, x);
    node_input(node, add_constant(m, 0.5f, 1.5f, DIMS(C)));
    if (_i)
        node_input(node, add_constant(m, -1, 1, DIMS(C)));
    y = node_end(m, node, &m->values[x].shape);
    for (r = 0; r < R; r++) {
        row = m->exact[x] + r * C;
        for (mean = 0, c = 0; c < C; c++)
            mean += row[c] / (double)C;
        for (variance = 0, c = 0; c < C; c++)
            variance += (row[c] - mean) * (row[c] - mean) / (double)C;
        for (c = 0; c < C; c++)
            m->exact[y][r * C + c] =
                (row[c] - mean) / sqrt(variance + 1e-5) * m->exact[node->inputs[1]][c] +
                (_i ? m->exact[node->inputs[2]][c] : 0);
    }
    expect_close(m, y, ALL_PLAIN, false, 1e-5, "layer normalisation");
}
END_TEST

/* --- bfloat16, and what must be refused --- */

START_TEST(bfloat16_products_stay_within_its_precision)
{
    struct bench *m;
    struct outcome outcome;
    struct conv_case t;
    uint32_t y;
    int k, taken = 0;

    for (k = 0; k < 60; k++) {
        random_state = 9000 + (uint64_t)k;
        m = bench_new();
        if (k % 3) {
            t = random_conv();
            y = ref_conv(m, &t);
            y = random_epilogue(m, y, 1, (int)pick(0, 2));
        } else {
            y = ref_gemm(m, pick(1, 40), pick(1, 100), pick(8, 100), false, coin(), 1, 1, 1);
        }
        outcome = run_task(m, y, RANDOM_LAYOUTS, true, 1);
        if (outcome.status != HE_ERR_UNSUPPORTED) {
            taken++;
            ck_assert_msg(outcome.status == HE_OK, "case %d: %s", k, he_error_message());
            ck_assert_msg(outcome.error < 4e-2, "case %d: error %g", k, outcome.error);
        }
        bench_free(m);
    }
    ck_assert_int_ge(taken, 20);
}
END_TEST

START_TEST(other_types_are_refused)
{
    struct conv_case t = {2, 1, 16, 16, 1, {8, 8}, {3, 3}, {1, 1}, {1, 1}, {0}};
    struct bench *m = bench_new();
    uint32_t y = ref_conv(m, &t);

    m->values[m->nodes[0].inputs[0]].dtype = HE_FLOAT64;
    ck_assert_int_eq(run_task(m, y, ALL_PLAIN, false, 1).status, HE_ERR_UNSUPPORTED);
    m->values[m->nodes[0].inputs[0]].dtype = HE_FLOAT32;
    m->nodes[0].op = "NonZero";
    ck_assert_int_eq(run_task(m, y, ALL_PLAIN, false, 1).status, HE_ERR_UNSUPPORTED);
    bench_free(m);
}
END_TEST

START_TEST(a_failed_allocation_leaves_nothing)
{
    static const struct conv_case cases[] = {
        {2, 1, 32, 32, 1, {14, 14}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, {0}, false, true},
        {2, 1, 16, 24, 1, {9, 13}, {2, 2}, {2, 2}, {1, 1}, {0}, {0}, true, true},
    };
    struct outcome outcome;
    struct bench *m;
    uint32_t y, other;
    int k;

    for (k = 0; k < 200; k++) {
        random_state = 33;
        m = bench_new();
        y = ref_conv(m, &cases[_i]);
        y = ref_binary(m, "Mul", y, channel_vector(m, y, 1, 0.5f, 1.5f), y);
        other = add_input(m, m->values[y].shape.rank, m->values[y].shape.dims);
        y = ref_binary(m, "Add", y, other, y);
        allocations_left = k;
        outcome = run_task(m, y, RANDOM_LAYOUTS, false, 1);
        allocations_left = INT64_MAX;
        bench_free(m);
        if (outcome.status == HE_OK)
            break;
        ck_assert_int_eq(outcome.status, HE_ERR_NO_MEMORY);
    }
    ck_assert_int_gt(k, 5);
    ck_assert_int_lt(k, 200);
    ck_assert_double_lt(outcome.error, 1e-4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("onednn");
    TCase *tcase = tcase_create("steps");
    SRunner *runner = srunner_create(suite);
    int failed;

    if (!cpu_onednn_open()) {
        fprintf(stderr, "skipped: %s\n", he_error_message());
        srunner_free(runner);
        return 77;
    }
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, random_convolutions_agree);
    tcase_add_loop_test(tcase, common_convolutions_are_taken, 0,
                        (int)(sizeof common / sizeof common[0]));
    tcase_add_loop_test(tcase, auto_pad_is_resolved, 0, 4);
    tcase_add_test(tcase, random_products_agree);
    tcase_add_loop_test(tcase, convolutions_agree_in_every_way, 0, 5);
    tcase_add_loop_test(tcase, products_agree_in_every_way, 0, 4);
    tcase_add_loop_test(tcase, a_classifier_reads_its_weights_in_place, 0, 2);
    tcase_add_test(tcase, random_pools_agree);
    tcase_add_loop_test(tcase, global_pools_agree, 0, 2);
    tcase_add_loop_test(tcase, lrn_agrees, 0, 2);
    tcase_add_test(tcase, resizing_samples_where_onnx_does);
    tcase_add_loop_test(tcase, softmax_agrees, 0, 5);
    tcase_add_loop_test(tcase, batch_normalisation_agrees, 0, 8);
    tcase_add_loop_test(tcase, layer_normalisation_agrees, 0, 2);
    tcase_add_test(tcase, bfloat16_products_stay_within_its_precision);
    tcase_add_test(tcase, other_types_are_refused);
    tcase_add_loop_test(tcase, a_failed_allocation_leaves_nothing, 0, 2);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
