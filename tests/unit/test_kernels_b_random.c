/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving and windowing kernels on shapes too large for a table, against loops that say what the
 * operator means and nothing else. The numbers are drawn from a fixed seed.
 */
#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "program.h"
#include "support/kernel_case.h"

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
static uint64_t seed;

/* Every pass of a loop test draws other numbers, the same ones each time it is run. */
static uint64_t begin_pass(int pass)
{
    return seed = 42 + (uint64_t)pass * 7919;
}

static int64_t draw(int64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((seed >> 33) % (uint64_t)below);
}

static void setup(void)
{
    cpu_set_t cpus;

    ck_assert_int_eq(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    ck_assert_int_eq(cpu_team_create(&heap, 2, &cpus, NULL, 0, &team), HE_OK);
}

static void teardown(void)
{
    cpu_team_destroy(&heap, team);
}

static struct he_tensor random_bytes(enum he_dtype dtype, const struct he_shape *shape)
{
    struct he_tensor tensor = case_tensor(dtype, shape);
    int64_t k, bytes = he_shape_bytes(shape, dtype);

    for (k = 0; k < bytes; k++)
        ((uint8_t *)tensor.data)[k] = (uint8_t)draw(256);
    return tensor;
}

static struct he_tensor random_floats(const struct he_shape *shape)
{
    struct he_tensor tensor = case_tensor(HE_FLOAT32, shape);
    int64_t k;

    for (k = 0; k < he_shape_count(shape); k++)
        ((float *)tensor.data)[k] = (float)(draw(2001) - 1000) / 256;
    return tensor;
}

static void coordinates(const struct he_shape *shape, int64_t k, int64_t *at)
{
    uint32_t d;

    for (d = shape->rank; d-- > 0; k /= shape->dims[d])
        at[d] = k % shape->dims[d];
}

static int64_t offset_of(const struct he_tensor *tensor, const int64_t *at)
{
    int64_t offset = 0;
    uint32_t d;

    for (d = 0; d < tensor->shape.rank; d++)
        offset += at[d] * tensor->strides[d];
    return offset;
}

static bool is_same_element(const struct he_tensor *a, int64_t i, const struct he_tensor *b,
                            int64_t j)
{
    size_t size = he_dtype_bits(a->dtype) / 8;

    return !memcmp((char *)a->data + (size_t)i * size, (char *)b->data + (size_t)j * size, size);
}

static const enum he_dtype sizes[] = {HE_UINT8, HE_FLOAT16, HE_FLOAT32, HE_INT64, HE_COMPLEX128};

/* --- Movement --- */

static struct he_shape random_shape(uint32_t rank, int64_t most)
{
    struct he_shape shape = {.rank = rank};
    uint32_t d;

    for (d = 0; d < rank; d++)
        shape.dims[d] = 1 + draw(most);
    return shape;
}

START_TEST(transposes_put_every_element_where_perm_says)
{
    uint64_t started = begin_pass(_i);
    struct he_shape shape = random_shape(2 + (uint32_t)draw(3), _i % 2 ? 40 : 9), turned = shape;
    struct he_tensor in = random_bytes(sizes[_i % HE_COUNT(sizes)], &shape), out;
    int64_t k, at[HE_MAX_RANK], from[HE_MAX_RANK] = {0};
    char attrs[64] = "perm=[", *end = attrs + 6;
    uint32_t perm[HE_MAX_RANK] = {0}, d, other;
    struct kernel_node n;

    for (d = 0; d < shape.rank; d++) {
        other = (uint32_t)draw(d + 1);
        perm[d] = perm[other];
        perm[other] = d;
    }
    for (d = 0; d < shape.rank; d++) {
        end += sprintf(end, "%s%u", d ? "," : "", perm[d]);
        turned.dims[d] = shape.dims[perm[d]];
    }
    strcpy(end, "]");
    case_node_init(&n, "Transpose", 13, attrs);
    out = case_tensor(in.dtype, &turned);
    ck_assert_int_eq(case_run(&n.node, &in, 1, &out, 1, team), HE_OK);
    for (k = 0; k < he_shape_count(&turned); k++) {
        coordinates(&turned, k, at);
        for (d = 0; d < shape.rank; d++)
            from[perm[d]] = at[d];
        ck_assert_msg(is_same_element(&out, k, &in, offset_of(&in, from)), "%s: element %lld",
                      attrs, (long long)k);
    }
    case_tensor_free(&in);
    case_tensor_free(&out);
    ck_assert_uint_ne(seed, started); /* something was drawn */
}
END_TEST

START_TEST(slices_take_every_step)
{
    uint64_t started = begin_pass(_i);
    struct he_shape shape = random_shape(3, 30), cut = shape, three = {.rank = 1, .dims = {3}};
    struct he_tensor in[5] = {random_bytes(sizes[_i % HE_COUNT(sizes)], &shape)}, out;
    int64_t k, at[HE_MAX_RANK], from[HE_MAX_RANK] = {0}, *list[4];
    struct kernel_node n;
    uint32_t d;

    for (k = 0; k < 4; k++) {
        in[k + 1] = case_tensor(HE_INT64, &three);
        list[k] = in[k + 1].data;
    }
    for (d = 0; d < 3; d++) {
        list[0][d] = draw(shape.dims[d]);
        list[2][d] = d;
        list[3][d] = draw(2) ? 1 + draw(3) : -1 - draw(3);
        cut.dims[d] = list[3][d] > 0 ? (shape.dims[d] - list[0][d] - 1) / list[3][d] + 1
                                     : list[0][d] / -list[3][d] + 1;
        list[1][d] = list[3][d] > 0 ? shape.dims[d] : -shape.dims[d] - 1;
    }
    case_node_init(&n, "Slice", 13, "");
    out = case_tensor(in[0].dtype, &cut);
    ck_assert_int_eq(case_run(&n.node, in, 5, &out, 1, team), HE_OK);
    for (k = 0; k < he_shape_count(&cut); k++) {
        coordinates(&cut, k, at);
        for (d = 0; d < 3; d++)
            from[d] = list[0][d] + at[d] * list[3][d];
        ck_assert_msg(is_same_element(&out, k, &in[0], offset_of(&in[0], from)), "element %lld",
                      (long long)k);
    }
    for (k = 0; k < 5; k++)
        case_tensor_free(&in[k]);
    case_tensor_free(&out);
    ck_assert_uint_ne(seed, started); /* something was drawn */
}
END_TEST

START_TEST(expansion_repeats_dimensions_of_one)
{
    uint64_t started = begin_pass(_i);
    struct he_shape shape = random_shape(4, 12), wide = shape, four = {.rank = 1, .dims = {4}};
    int64_t k, at[HE_MAX_RANK];
    struct he_tensor in[2], out;
    struct kernel_node n;
    uint32_t d;

    for (d = 0; d < 4; d++)
        if (draw(2))
            shape.dims[d] = 1;
    in[0] = random_bytes(sizes[_i % HE_COUNT(sizes)], &shape);
    in[1] = case_tensor(HE_INT64, &four);
    memcpy(in[1].data, wide.dims, 4 * sizeof *wide.dims);
    out = case_tensor(in[0].dtype, &wide);
    case_node_init(&n, "Expand", 13, "");
    ck_assert_int_eq(case_run(&n.node, in, 2, &out, 1, team), HE_OK);
    for (k = 0; k < he_shape_count(&wide); k++) {
        coordinates(&wide, k, at);
        for (d = 0; d < 4; d++)
            if (shape.dims[d] == 1)
                at[d] = 0;
        ck_assert_msg(is_same_element(&out, k, &in[0], offset_of(&in[0], at)), "element %lld",
                      (long long)k);
    }
    case_tensor_free(&in[0]);
    case_tensor_free(&in[1]);
    case_tensor_free(&out);
    ck_assert_uint_ne(seed, started); /* something was drawn */
}
END_TEST

/* --- Windows --- */

struct geometry {
    int64_t kernel[2], stride[2], dilation[2], pad[2];
};

static void draw_geometry(struct geometry *g, char attrs[256])
{
    int d;

    for (d = 0; d < 2; d++) {
        g->kernel[d] = 1 + draw(3);
        g->stride[d] = 1 + draw(3);
        g->dilation[d] = 1 + draw(2);
        g->pad[d] = draw((g->kernel[d] - 1) * g->dilation[d] + 1);
    }
    sprintf(attrs,
            "kernel_shape=[%lld,%lld] strides=[%lld,%lld] dilations=[%lld,%lld] "
            "pads=[%lld,%lld,%lld,%lld]",
            (long long)g->kernel[0], (long long)g->kernel[1], (long long)g->stride[0],
            (long long)g->stride[1], (long long)g->dilation[0], (long long)g->dilation[1],
            (long long)g->pad[0], (long long)g->pad[1], (long long)g->pad[0], (long long)g->pad[1]);
}

static int64_t window_output(const struct geometry *g, int d, int64_t in)
{
    return (in + 2 * g->pad[d] - (g->kernel[d] - 1) * g->dilation[d] - 1) / g->stride[d] + 1;
}

/* The input offset a tap reads, or -1 in the padding. */
static int64_t tap_at(const struct geometry *g, const struct he_tensor *in, const int64_t *out,
                      int64_t channel, int64_t ky, int64_t kx)
{
    int64_t at[4] = {out[0], channel, out[2] * g->stride[0] - g->pad[0] + ky * g->dilation[0],
                     out[3] * g->stride[1] - g->pad[1] + kx * g->dilation[1]};

    if (at[2] < 0 || at[2] >= in->shape.dims[2] || at[3] < 0 || at[3] >= in->shape.dims[3])
        return -1;
    return offset_of(in, at);
}

START_TEST(convolution_is_its_sum)
{
    uint64_t started = begin_pass(_i);
    int64_t group = 1 + draw(3), channels = 1 + draw(5), filters = 1 + draw(6), k, c, ky, kx, tap;
    struct he_shape x = {.rank = 4, .dims = {1 + draw(2), group * channels, 9 + draw(9), 0}}, y, w;
    struct he_tensor in[3], out, wanted;
    struct geometry g;
    struct kernel_node n;
    char attrs[320];
    int64_t at[4];
    double sum;

    x.dims[3] = _i % 8 == 0 ? 290 : 9 + draw(30); /* more than one stretch of a row */
    draw_geometry(&g, attrs);
    sprintf(attrs + strlen(attrs), " group=%lld", (long long)group);
    w = (struct he_shape){.rank = 4, .dims = {group * filters, channels, g.kernel[0], g.kernel[1]}};
    y = (struct he_shape){.rank = 4,
                          .dims = {x.dims[0], group * filters, window_output(&g, 0, x.dims[2]),
                                   window_output(&g, 1, x.dims[3])}};
    in[0] = random_floats(&x);
    in[1] = random_floats(&w);
    in[2] = random_floats(&(struct he_shape){.rank = 1, .dims = {group * filters}});
    out = case_tensor(HE_FLOAT32, &y);
    wanted = case_tensor(HE_FLOAT32, &y);
    for (k = 0; k < he_shape_count(&y); k++) {
        coordinates(&y, k, at);
        sum = (double)((float *)in[2].data)[at[1]];
        for (c = 0; c < channels; c++)
            for (ky = 0; ky < g.kernel[0]; ky++)
                for (kx = 0; kx < g.kernel[1]; kx++) {
                    tap = tap_at(&g, &in[0], at, at[1] / filters * channels + c, ky, kx);
                    if (tap >= 0)
                        sum +=
                            (double)((float *)in[0].data)[tap] *
                            (double)((float *)in[1]
                                         .data)[offset_of(&in[1], (int64_t[]){at[1], c, ky, kx})];
                }
        ((float *)wanted.data)[k] = (float)sum;
    }
    case_node_init(&n, "Conv", 11, attrs);
    ck_assert_msg(case_run(&n.node, in, 3, &out, 1, team) == HE_OK, "%s", he_error_message());
    case_compare(attrs, &out, &wanted, 1e-5);
    for (k = 0; k < 3; k++)
        case_tensor_free(&in[k]);
    case_tensor_free(&out);
    case_tensor_free(&wanted);
    ck_assert_uint_ne(seed, started); /* something was drawn */
}
END_TEST

START_TEST(pools_are_their_largest_and_their_mean)
{
    uint64_t started = begin_pass(_i);
    struct he_shape x = {.rank = 4, .dims = {1 + draw(2), 1 + draw(5), 9 + draw(20), 0}}, y = x;
    bool is_max = draw(2), counts_padding = draw(2);
    struct he_tensor in, out, wanted;
    int64_t k, ky, kx, tap, at[4], count;
    struct kernel_node n;
    struct geometry g;
    double result, value;
    char attrs[320];

    x.dims[3] = _i % 8 == 0 ? 600 : 9 + draw(30);
    draw_geometry(&g, attrs);
    if (!is_max)
        sprintf(attrs + strlen(attrs), " count_include_pad=%d", counts_padding);
    y.dims[2] = window_output(&g, 0, x.dims[2]);
    y.dims[3] = window_output(&g, 1, x.dims[3]);
    in = random_floats(&x);
    out = case_tensor(HE_FLOAT32, &y);
    wanted = case_tensor(HE_FLOAT32, &y);
    for (k = 0; k < he_shape_count(&y); k++) {
        coordinates(&y, k, at);
        result = is_max ? -1e30 : 0;
        for (ky = count = 0; ky < g.kernel[0]; ky++)
            for (kx = 0; kx < g.kernel[1]; kx++) {
                tap = tap_at(&g, &in, at, at[1], ky, kx);
                count += tap >= 0 || counts_padding;
                if (tap < 0)
                    continue;
                value = (double)((float *)in.data)[tap];
                result = is_max ? (value > result ? value : result) : result + value;
            }
        ((float *)wanted.data)[k] =
            is_max || !count ? (count ? (float)result : -1e30f) : (float)(result / (double)count);
    }
    case_node_init(&n, is_max ? "MaxPool" : "AveragePool", 19, attrs);
    ck_assert_msg(case_run(&n.node, &in, 1, &out, 1, team) == HE_OK, "%s", he_error_message());
    case_compare(attrs, &out, &wanted, 1e-5);
    case_tensor_free(&in);
    case_tensor_free(&out);
    case_tensor_free(&wanted);
    ck_assert_uint_ne(seed, started); /* something was drawn */
}
END_TEST

/* --- Selection --- */

START_TEST(the_best_are_those_a_sort_puts_first)
{
    uint64_t started = begin_pass(_i);
    int64_t count = 1 + draw(300), most = 1 + draw(count), k, j, better;
    struct he_shape all = {.rank = 2, .dims = {3, count}}, best = {.rank = 2, .dims = {3, most}};
    struct he_tensor in[2] = {random_floats(&all), case_tensor_parse("int64 1: 0")}, out[2];
    const float *x = in[0].data;
    struct kernel_node n;
    int64_t row, index;

    for (k = 0; k < 3 * count; k++)
        ((float *)in[0].data)[k] = (float)draw(50); /* many ties */
    *(int64_t *)in[1].data = most;
    out[0] = case_tensor(HE_FLOAT32, &best);
    out[1] = case_tensor(HE_INT64, &best);
    case_node_init(&n, "TopK", 11, "axis=1");
    ck_assert_int_eq(case_run(&n.node, in, 2, out, 2, team), HE_OK);
    for (row = 0; row < 3; row++) {
        for (k = 0; k < most; k++) {
            index = ((int64_t *)out[1].data)[row * most + k];
            ck_assert(index >= 0 && index < count);
            /* Its rank among all, ties by index, is its place. */
            for (j = better = 0; j < count; j++)
                better += x[row * count + j] > x[row * count + index] ||
                          (x[row * count + j] == x[row * count + index] && j < index);
            ck_assert_int_eq(better, k);
            ck_assert(((float *)out[0].data)[row * most + k] == x[row * count + index]);
        }
    }
    for (k = 0; k < 2; k++) {
        case_tensor_free(&in[k]);
        case_tensor_free(&out[k]);
    }
    ck_assert_uint_ne(seed, started); /* something was drawn */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu kernels: movement and windows, random");
    TCase *tc = tcase_create("naive loops");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, transposes_put_every_element_where_perm_says, 0, 20);
    tcase_add_loop_test(tc, slices_take_every_step, 0, 15);
    tcase_add_loop_test(tc, expansion_repeats_dimensions_of_one, 0, 15);
    tcase_add_loop_test(tc, convolution_is_its_sum, 0, 16);
    tcase_add_loop_test(tc, pools_are_their_largest_and_their_mean, 0, 16);
    tcase_add_loop_test(tc, the_best_are_those_a_sort_puts_first, 0, 6);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
