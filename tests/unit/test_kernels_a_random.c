/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels with fast paths by shape, over random shapes that reach all of them, against loops in double
 * that know nothing of paths: broadcasting, reductions, softmax, layer normalisation,
 * matrix products, LSTM.
 */
#include <check.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "program.h"
#include "support/kernel_case.h"

static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static int64_t one_of(const int64_t *list, size_t count)
{
    return list[rnd((uint32_t)count)];
}
#define ONE_OF(...) one_of((const int64_t[]){__VA_ARGS__}, HE_COUNT(((const int64_t[]){__VA_ARGS__})))

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

static const struct he_allocator heap = {heap_alloc, heap_free, NULL};
static struct cpu_team *team;

static void setup(void)
{
    cpu_set_t cpus;

    seed = 4711;
    cpu_openmp_open();
    ck_assert_int_eq(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    ck_assert_int_eq(cpu_team_create(&heap, 2, &cpus, NULL, 0, &team), HE_OK);
}

static void teardown(void)
{
    cpu_team_destroy(&heap, team);
}

static struct he_shape shape_of(uint32_t rank, const int64_t *dims)
{
    struct he_shape shape = {.rank = rank};

    memcpy(shape.dims, dims, rank * sizeof *dims);
    return shape;
}
#define SHAPE(...) shape_of(HE_COUNT(((const int64_t[]){__VA_ARGS__})), (const int64_t[]){__VA_ARGS__})

/* Small whole numbers over 8: sums and products of them are exact in float. */
static struct he_tensor random_tensor(enum he_dtype dtype, struct he_shape shape)
{
    struct he_tensor tensor = case_tensor(dtype, &shape);
    double divisor = he_dtype_is_float(dtype) ? 8 : 1;

    for (int64_t k = 0; k < he_shape_count(&shape); k++)
        case_tensor_set(&tensor, k, ((double)rnd(33) - 16) / divisor);
    return tensor;
}

static void run(const char *op, int opset, const char *attrs, const struct he_tensor *in,
                size_t in_count, struct he_tensor *out, const char *what)
{
    struct kernel_node n;
    he_status status;

    case_node_init(&n, op, opset, attrs);
    status = case_run(&n.node, in, in_count, out, 1, rnd(2) ? team : NULL);
    ck_assert_msg(status == HE_OK, "%s %s: %s", op, what, he_error_message());
}

static void free_all(struct he_tensor *tensors, size_t count)
{
    while (count-- > 0)
        case_tensor_free(&tensors[count]);
}

/* Index into a dense operand of @in's shape that broadcasts to @out's. */
static int64_t operand_index(const struct he_shape *out, const struct he_shape *in, int64_t at)
{
    int64_t index = 0, step = 1, size;

    for (uint32_t d = 0; d < out->rank; d++) {
        size = d < in->rank ? in->dims[in->rank - 1 - d] : 1;
        index += size == 1 ? 0 : at % out->dims[out->rank - 1 - d] * step;
        at /= out->dims[out->rank - 1 - d];
        step *= size;
    }
    return index;
}

START_TEST(arithmetic_broadcasts)
{
    static const enum he_dtype types[] = {HE_FLOAT32, HE_FLOAT64, HE_INT32, HE_INT64, HE_FLOAT16};
    static const char *const ops[] = {"Add", "Sub", "Mul", "Max", "Min"};
    struct he_shape out_shape, shapes[2];
    struct he_tensor in[2], out, wanted;
    double a, b, y;

    for (int round = 0; round < 600; round++) {
        const char *op = ops[rnd(HE_COUNT(ops))];
        enum he_dtype dtype = types[rnd(HE_COUNT(types))];

        out_shape.rank = rnd(5);
        for (uint32_t d = 0; d < out_shape.rank; d++)
            out_shape.dims[d] = ONE_OF(1, 2, 3, 5, 17, 70);
        shapes[0] = shapes[1] = out_shape;
        for (uint32_t d = 0; d < out_shape.rank; d++) {
            if (rnd(3) == 0)
                shapes[rnd(2)].dims[d] = 1;
        }
        in[0] = random_tensor(dtype, shapes[0]);
        in[1] = random_tensor(dtype, shapes[1]);
        out = case_tensor(dtype, &out_shape);
        wanted = case_tensor(dtype, &out_shape);
        for (int64_t k = 0; k < he_shape_count(&out_shape); k++) {
            a = case_tensor_get(&in[0], operand_index(&out_shape, &shapes[0], k));
            b = case_tensor_get(&in[1], operand_index(&out_shape, &shapes[1], k));
            y = *op == 'A' ? a + b
                : *op == 'S' ? a - b
                : !strcmp(op, "Mul") ? a * b
                : !strcmp(op, "Max") ? fmax(a, b)
                                     : fmin(a, b);
            case_tensor_set(&wanted, k, y);
        }
        run(op, 14, "", in, 2, &out, "of random shapes");
        case_compare(op, &out, &wanted, 0);
        free_all(in, 2);
        case_tensor_free(&out);
        case_tensor_free(&wanted);
    }
}
END_TEST

START_TEST(reductions_take_any_axes)
{
    static const char *const ops[] = {"ReduceSum", "ReduceMax", "ReduceSumSquare", "ReduceMean",
                                      "ReduceLogSumExp"};
    struct he_shape in_shape, out_shape, axes_shape;
    struct he_tensor in[2], out, wanted;
    double *sums;

    for (int round = 0; round < 400; round++) {
        const char *op = ops[rnd(HE_COUNT(ops))];
        bool is_max = !strcmp(op, "ReduceMax"), is_exp = !strcmp(op, "ReduceLogSumExp");
        int64_t count, folds;

        in_shape.rank = 1 + rnd(4);
        for (uint32_t d = 0; d < in_shape.rank; d++)
            in_shape.dims[d] = ONE_OF(1, 2, 3, 9, 40);
        if (rnd(8) == 0)
            in_shape.dims[rnd(in_shape.rank)] = 1500;
        if (he_shape_count(&in_shape) > 200000)
            continue;
        out_shape = in_shape;
        axes_shape = SHAPE(0);
        in[0] = random_tensor(HE_FLOAT32, in_shape);
        in[1] = case_tensor(HE_INT64, &in_shape); /* room for any number of axes */
        for (uint32_t d = 0; d < in_shape.rank; d++) {
            if (rnd(2)) {
                case_tensor_set(&in[1], axes_shape.dims[0]++, rnd(2) ? d : (double)d - in_shape.rank);
                out_shape.dims[d] = 1;
            }
        }
        in[1].shape = axes_shape;
        out = case_tensor(HE_FLOAT32, &out_shape);
        wanted = case_tensor(HE_FLOAT32, &out_shape);
        count = he_shape_count(&out_shape);
        folds = he_shape_count(&in_shape) / count;
        sums = calloc((size_t)count, sizeof *sums);
        ck_assert_ptr_nonnull(sums);
        for (int64_t k = 0; is_max && k < count; k++)
            sums[k] = -INFINITY;
        for (int64_t k = 0; k < he_shape_count(&in_shape); k++) {
            int64_t at = operand_index(&in_shape, &out_shape, k);
            double x = case_tensor_get(&in[0], k);

            if (is_max)
                sums[at] = fmax(sums[at], x);
            else
                sums[at] += is_exp ? exp(x) : !strcmp(op, "ReduceSumSquare") ? x * x : x;
        }
        for (int64_t k = 0; k < count; k++)
            case_tensor_set(&wanted, k, is_exp ? log(sums[k])
                                        : !strcmp(op, "ReduceMean") ? sums[k] / (double)folds
                                                                    : sums[k]);
        run(op, 18, "noop_with_empty_axes=1", in, 2, &out, "of random axes");
        case_compare(op, &out, &wanted, 2e-6);
        free(sums);
        free_all(in, 2);
        case_tensor_free(&out);
        case_tensor_free(&wanted);
    }
}
END_TEST

START_TEST(softmax_along_any_axis)
{
    struct he_shape shape;
    struct he_tensor in, out, wanted;
    char attrs[32];

    for (int round = 0; round < 200; round++) {
        int64_t outer = ONE_OF(1, 3, 20), length = ONE_OF(1, 2, 7, 64, 1100);
        int64_t inner = ONE_OF(1, 1, 5, 130);
        bool is_log = rnd(2);

        shape = SHAPE(outer, length, inner);
        in = random_tensor(HE_FLOAT32, shape);
        out = case_tensor(HE_FLOAT32, &shape);
        wanted = case_tensor(HE_FLOAT32, &shape);
        for (int64_t o = 0; o < outer; o++) {
            for (int64_t i = 0; i < inner; i++) {
                int64_t base = o * length * inner + i;
                double sum = 0;

                for (int64_t k = 0; k < length; k++)
                    sum += exp(case_tensor_get(&in, base + k * inner));
                for (int64_t k = 0; k < length; k++) {
                    double x = case_tensor_get(&in, base + k * inner);

                    case_tensor_set(&wanted, base + k * inner, is_log ? x - log(sum) : exp(x) / sum);
                }
            }
        }
        snprintf(attrs, sizeof attrs, "axis=%d", rnd(2) ? 1 : -2);
        run(is_log ? "LogSoftmax" : "Softmax", 13, attrs, &in, 1, &out, "of random sizes");
        case_compare(is_log ? "LogSoftmax" : "Softmax", &out, &wanted, 3e-6);
        case_tensor_free(&in);
        case_tensor_free(&out);
        case_tensor_free(&wanted);
    }
}
END_TEST

START_TEST(layers_are_normalised_in_long_and_short_rows)
{
    struct he_tensor in[3], out, wanted;
    struct he_shape shape;

    for (int round = 0; round < 100; round++) {
        int64_t rows = ONE_OF(1, 4, 33), n = ONE_OF(1, 3, 16, 100, 768, 5000);

        shape = SHAPE(rows, n);
        in[0] = random_tensor(HE_FLOAT32, shape);
        in[1] = random_tensor(HE_FLOAT32, SHAPE(n));
        in[2] = random_tensor(HE_FLOAT32, SHAPE(n));
        out = case_tensor(HE_FLOAT32, &shape);
        wanted = case_tensor(HE_FLOAT32, &shape);
        for (int64_t r = 0; r < rows; r++) {
            double mean = 0, square = 0, d;

            for (int64_t k = 0; k < n; k++)
                mean += case_tensor_get(&in[0], r * n + k) / (double)n;
            for (int64_t k = 0; k < n; k++) {
                d = case_tensor_get(&in[0], r * n + k) - mean;
                square += d * d / (double)n;
            }
            for (int64_t k = 0; k < n; k++) {
                d = case_tensor_get(&in[0], r * n + k) - mean;
                case_tensor_set(&wanted, r * n + k,
                                d / sqrt(square + 1e-5) * case_tensor_get(&in[1], k) +
                                    case_tensor_get(&in[2], k));
            }
        }
        run("LayerNormalization", 17, "", in, 3, &out, "of random sizes");
        case_compare("LayerNormalization", &out, &wanted, 2e-5);
        free_all(in, 3);
        case_tensor_free(&out);
        case_tensor_free(&wanted);
    }
}
END_TEST

/* Sizes around the block sizes of gemm.c: 6 x 16 in registers, 48, 256, and few rows. */
START_TEST(matrix_products_of_all_sizes)
{
    static const enum he_dtype types[] = {HE_FLOAT32, HE_FLOAT32, HE_FLOAT64, HE_INT32};
    struct he_shape shape;
    struct he_tensor in[2], out, wanted;
    char attrs[64];

    for (int round = 0; round < 300; round++) {
        enum he_dtype dtype = types[rnd(HE_COUNT(types))];
        int64_t m = ONE_OF(1, 2, 4, 5, 6, 7, 13, 48, 50), n = ONE_OF(1, 5, 15, 16, 17, 33, 260);
        int64_t k = ONE_OF(1, 2, 5, 31, 256, 300);
        int turn_a = (int)rnd(2), turn_b = (int)rnd(2);

        in[0] = random_tensor(dtype, turn_a ? SHAPE(k, m) : SHAPE(m, k));
        in[1] = random_tensor(dtype, turn_b ? SHAPE(n, k) : SHAPE(k, n));
        shape = SHAPE(m, n);
        out = case_tensor(dtype, &shape);
        wanted = case_tensor(dtype, &shape);
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;

                for (int64_t p = 0; p < k; p++)
                    sum += case_tensor_get(&in[0], turn_a ? p * m + i : i * k + p) *
                           case_tensor_get(&in[1], turn_b ? j * k + p : p * n + j);
                case_tensor_set(&wanted, i * n + j, sum);
            }
        }
        snprintf(attrs, sizeof attrs, "transA=%d transB=%d", turn_a, turn_b);
        run("Gemm", 13, attrs, in, 2, &out, "of random sizes");
        case_compare("Gemm", &out, &wanted, 1e-6);
        if (!turn_a && !turn_b) {
            run("MatMul", 13, "", in, 2, &out, "of random sizes");
            case_compare("MatMul", &out, &wanted, 1e-6);
        }
        free_all(in, 2);
        case_tensor_free(&out);
        case_tensor_free(&wanted);
    }
}
END_TEST

/* One direction, default functions, in double and one number at a time. */
static void naive_lstm(const struct he_tensor *in, struct he_tensor *out, int64_t seq,
                       int64_t batch, int64_t input, int64_t hidden)
{
    double *h = calloc((size_t)(2 * batch * hidden), sizeof *h), *c = h + batch * hidden, s[4];
    double *next = malloc((size_t)hidden * sizeof *next);

    ck_assert(h && next);
    for (int64_t t = 0; t < seq; t++) {
        for (int64_t b = 0; b < batch; b++) {
            for (int64_t j = 0; j < hidden; j++) {
                for (int64_t g = 0; g < 4; g++) {
                    int64_t row = g * hidden + j;

                    s[g] = case_tensor_get(&in[3], row) + case_tensor_get(&in[3], 4 * hidden + row);
                    for (int64_t i = 0; i < input; i++)
                        s[g] += case_tensor_get(&in[0], (t * batch + b) * input + i) *
                                case_tensor_get(&in[1], row * input + i);
                    for (int64_t i = 0; i < hidden; i++)
                        s[g] += h[b * hidden + i] * case_tensor_get(&in[2], row * hidden + i);
                }
                c[b * hidden + j] = c[b * hidden + j] / (1 + exp(-s[2])) +
                                    tanh(s[3]) / (1 + exp(-s[0]));
                next[j] = tanh(c[b * hidden + j]) / (1 + exp(-s[1]));
            }
            memcpy(h + b * hidden, next, (size_t)hidden * sizeof *h);
            for (int64_t j = 0; j < hidden; j++)
                case_tensor_set(out, (t * batch + b) * hidden + j, h[b * hidden + j]);
        }
    }
    free(h);
    free(next);
}

START_TEST(lstm_of_all_sizes)
{
    struct he_shape shape;
    struct he_tensor in[4], out, wanted;

    for (int round = 0; round < 60; round++) {
        int64_t seq = ONE_OF(1, 4, 9), batch = ONE_OF(1, 2, 5), input = ONE_OF(1, 7, 32);
        int64_t hidden = ONE_OF(1, 3, 16, 21, 70);

        in[0] = random_tensor(HE_FLOAT32, SHAPE(seq, batch, input));
        in[1] = random_tensor(HE_FLOAT32, SHAPE(1, 4 * hidden, input));
        in[2] = random_tensor(HE_FLOAT32, SHAPE(1, 4 * hidden, hidden));
        in[3] = random_tensor(HE_FLOAT32, SHAPE(1, 8 * hidden));
        /* Weights as large as that would only saturate the gates. */
        for (int w = 1; w < 3; w++) {
            for (int64_t k = 0; k < he_shape_count(&in[w].shape); k++)
                ((float *)in[w].data)[k] *= 0.125f;
        }
        shape = SHAPE(seq, 1, batch, hidden);
        out = case_tensor(HE_FLOAT32, &shape);
        wanted = case_tensor(HE_FLOAT32, &shape);
        naive_lstm(in, &wanted, seq, batch, input, hidden);
        run("LSTM", 14, "", in, 4, &out, "of random sizes");
        case_compare("LSTM", &out, &wanted, 5e-5);
        free_all(in, 4);
        case_tensor_free(&out);
        case_tensor_free(&wanted);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu kernels: random shapes");
    TCase *tc = tcase_create("random");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, arithmetic_broadcasts);
    tcase_add_test(tc, reductions_take_any_axes);
    tcase_add_test(tc, softmax_along_any_axis);
    tcase_add_test(tc, layers_are_normalised_in_long_and_short_rows);
    tcase_add_test(tc, matrix_products_of_all_sizes);
    tcase_add_test(tc, lstm_of_all_sizes);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
