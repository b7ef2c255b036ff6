/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GridSample and AffineGrid. Each output position picks its taps and weights once per
 * spatial axis, and reads the product of them in every channel.
 */
#include "element.h"
#include "window.h"

/* --- GridSample --- */

enum sample_mode { SAMPLE_LINEAR, SAMPLE_NEAREST, SAMPLE_CUBIC };
enum sample_padding { PADDING_ZEROS, PADDING_BORDER, PADDING_REFLECTION };

struct sampler {
    enum sample_mode mode;
    enum sample_padding padding;
    bool aligns_corners;
    enum he_dtype dtype; /* of the images */
    const struct he_tensor *grid;
    struct cpu_image in, out;
    uint32_t rank; /* spatial axes */
};

/* Taps of one axis: offsets in elements, -1 where the input ends and zero stands. */
struct axis_taps {
    int count;
    int64_t offset[4];
    double weight[4];
};

static double reflect(double x, double low, double high)
{
    double range = high - low, distance, rest;

    if (range <= 0)
        return low;
    if (x >= low && x <= high)
        return x;
    distance = x < low ? low - x : x - high;
    rest = fmod(distance, range);
    if (fmod(floor(distance / range), 2) == 0)
        return x < low ? low + rest : high - rest;
    return x < low ? high - rest : low + rest;
}

/* An index as the padding sees it, or -1 for zero. */
static int64_t pad_index(const struct sampler *s, double index, int64_t size)
{
    if (index >= 0 && index < (double)size)
        return (int64_t)index;
    if (s->padding == PADDING_ZEROS || !(fabs(index) < 1e15))
        return s->padding == PADDING_ZEROS ? -1 : 0;
    if (s->padding == PADDING_BORDER)
        return index < 0 ? 0 : size - 1;
    index = s->aligns_corners ? reflect(index, 0, (double)size - 1)
                              : reflect(index, -0.5, (double)size - 0.5);
    return cpu_clamp_i64((int64_t)index, 0, size - 1);
}

static void cubic_weights(double x, double weight[4])
{
    const double a = -0.75;

    weight[0] = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
    weight[1] = ((a + 2) * x - (a + 3)) * x * x + 1;
    weight[2] = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1;
    weight[3] = ((a * (2 - x) - 5 * a) * (2 - x) + 8 * a) * (2 - x) - 4 * a;
}

/* @at is the grid's coordinate, from -1 to 1. */
static void find_taps(const struct sampler *s, double at, int64_t size, int64_t stride,
                      struct axis_taps *taps)
{
    double low = s->aligns_corners ? 0 : -0.5, high = (double)(size - 1) - low, x, base;
    int64_t index;
    int k;

    x = s->aligns_corners ? (at + 1) / 2 * (double)(size - 1) : ((at + 1) * (double)size - 1) / 2;
    x = (double)(float)x; /* as others compute it: matters where a nearest index is a tie */
    if (s->mode == SAMPLE_NEAREST)
        x = rint(x);
    /* A cubic kernel bends its taps at the border one by one, not its centre. */
    if (s->mode != SAMPLE_CUBIC && !(x >= low && x <= high)) {
        if (s->padding == PADDING_BORDER)
            x = x > 0 ? fmin(x, (double)(size - 1)) : 0;
        else if (s->padding == PADDING_REFLECTION)
            x = reflect(x, low, high);
    }
    if (!(fabs(x) < 1e15)) /* not a number, or beyond all taps */
        x = -1e15;
    base = floor(x);
    taps->count = s->mode == SAMPLE_NEAREST ? 1 : s->mode == SAMPLE_LINEAR ? 2 : 4;
    taps->weight[0] = 1;
    if (s->mode == SAMPLE_NEAREST) {
        base = trunc(x); /* reflection may leave a half */
    } else if (s->mode == SAMPLE_LINEAR) {
        taps->weight[1] = x - base;
        taps->weight[0] = 1 - taps->weight[1];
    } else {
        cubic_weights(x - base, taps->weight);
        base -= 1;
    }
    for (k = 0; k < taps->count; k++) {
        index = pad_index(s, base + k, size);
        taps->offset[k] = index < 0 ? -1 : index * stride;
    }
}

#define DEFINE_SAMPLE(NAME, TYPE)                                                                  \
    static void sample_##NAME(const struct sampler *s, const struct axis_taps t[3], int64_t n,     \
                              int64_t at)                                                          \
    {                                                                                              \
        const TYPE *in = (const TYPE *)s->in.data + n * s->in.n_stride, *row;                      \
        TYPE *out = (TYPE *)s->out.data + n * s->out.n_stride + at;                                \
        double sum, line;                                                                          \
        int64_t c;                                                                                 \
        int z, y, x;                                                                               \
                                                                                                   \
        for (c = 0; c < s->in.c; c++, in += s->in.c_stride, out += s->out.c_stride) {              \
            sum = 0;                                                                               \
            for (z = 0; z < t[0].count; z++) {                                                     \
                for (y = 0; t[0].offset[z] >= 0 && y < t[1].count; y++) {                          \
                    if (t[1].offset[y] < 0)                                                        \
                        continue;                                                                  \
                    row = in + t[0].offset[z] + t[1].offset[y];                                    \
                    for (x = 0, line = 0; x < t[2].count; x++)                                     \
                        if (t[2].offset[x] >= 0)                                                   \
                            line += t[2].weight[x] * (double)row[t[2].offset[x]];                  \
                    sum += t[0].weight[z] * t[1].weight[y] * line;                                 \
                }                                                                                  \
            }                                                                                      \
            *out = (TYPE)sum;                                                                      \
        }                                                                                          \
    }

DEFINE_SAMPLE(f32, float)
DEFINE_SAMPLE(f64, double)

/* A unit is one output position of one image. */
static void sample_positions(void *arg, int64_t begin, int64_t end)
{
    const struct sampler *s = arg;
    const struct cpu_image *out = &s->out;
    int64_t area = out->size[0] * out->size[1] * out->size[2], rest, at;
    struct axis_taps taps[3] = {{1, {0}, {1}}, {1, {0}, {1}}, {1, {0}, {1}}};
    bool is_single = s->grid->dtype == HE_FLOAT32;
    uint32_t k;
    int axis;
    double x;

    for (; begin < end; begin++) {
        for (k = 0; k < s->rank; k++) { /* the grid lists x first */
            x = is_single ? (double)((const float *)s->grid->data)[begin * s->rank + k]
                          : cpu_get_double(s->grid, begin * s->rank + k);
            axis = 2 - (int)k;
            find_taps(s, x, s->in.size[axis], s->in.stride[axis], &taps[axis]);
        }
        rest = begin % area;
        at = rest % out->size[2] * out->stride[2];
        rest /= out->size[2];
        at += rest % out->size[1] * out->stride[1] + rest / out->size[1] * out->stride[0];
        if (s->dtype == HE_FLOAT32)
            sample_f32(s, taps, begin / area, at);
        else
            sample_f64(s, taps, begin / area, at);
    }
}

static he_status read_sampler(const struct cpu_call *call, struct sampler *s)
{
    const char *mode = he_node_string(call->node, "mode", "linear");
    const char *padding = he_node_string(call->node, "padding_mode", "zeros");

    if (!strcmp(mode, "linear") || !strcmp(mode, "bilinear"))
        s->mode = SAMPLE_LINEAR;
    else if (!strcmp(mode, "cubic") || !strcmp(mode, "bicubic"))
        s->mode = SAMPLE_CUBIC;
    else if (!strcmp(mode, "nearest"))
        s->mode = SAMPLE_NEAREST;
    else
        return he_error_set(HE_ERR_UNSUPPORTED, "GridSample: mode \"%s\" is not known", mode);
    if (!strcmp(padding, "zeros"))
        s->padding = PADDING_ZEROS;
    else if (!strcmp(padding, "border"))
        s->padding = PADDING_BORDER;
    else if (!strcmp(padding, "reflection"))
        s->padding = PADDING_REFLECTION;
    else
        return he_error_set(HE_ERR_UNSUPPORTED, "GridSample: padding_mode \"%s\" is not known",
                            padding);
    s->aligns_corners = he_node_int(call->node, "align_corners", 0) != 0;
    return HE_OK;
}

static he_status run_grid_sample(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *grid = &call->in[1];
    struct sampler s = {.grid = grid, .dtype = in->dtype};
    struct he_shape shape = in->shape;
    uint32_t d, rank = shape.rank;
    int64_t positions;
    he_status status = read_sampler(call, &s);

    if (status != HE_OK)
        return status;
    if (rank < 3 || rank > 5 || grid->shape.rank != rank ||
        grid->shape.dims[rank - 1] != (int64_t)rank - 2 || grid->shape.dims[0] != shape.dims[0] ||
        !(CPU_TYPE(grid->dtype) & (CPU_FLOATS | CPU_HALVES)))
        return he_error_set(HE_ERR_SHAPE, "GridSample: the grid does not fit an input of rank %u",
                            rank);
    for (d = 2; d < rank; d++) {
        if (shape.dims[d] < 1 && cpu_count(grid) > 0)
            return he_error_set(HE_ERR_SHAPE, "GridSample: spatial axis %u is empty", d - 2);
        shape.dims[d] = grid->shape.dims[d - 1];
    }
    status = cpu_expect_output(call, 0, in->dtype, &shape);
    if (status != HE_OK)
        return status;
    s.rank = rank - 2;
    s.in = cpu_image_of(in);
    s.out = cpu_image_of(&call->out[0]);
    positions = cpu_extent(&grid->shape, 0, rank - 1);
    if (positions > 0)
        cpu_parallel(call->team, positions, 2048 / (s.in.c + 1) + 1, sample_positions, &s);
    return HE_OK;
}

/* --- AffineGrid --- */

/* The coordinate of step @k of @count, from -1 to 1. */
static double grid_line(int64_t k, int64_t count, bool aligns_corners)
{
    if (aligns_corners)
        return count > 1 ? -1 + 2.0 * (double)k / (double)(count - 1) : -1;
    return (2.0 * (double)k + 1) / (double)count - 1;
}

static he_status run_affine_grid(struct cpu_call *call)
{
    bool aligns_corners = he_node_int(call->node, "align_corners", 0) != 0;
    const struct he_tensor *theta = &call->in[0], *out = &call->out[0];
    int64_t sizes[HE_MAX_RANK], k, rest, row, column, rank, count, area;
    size_t size = cpu_element_bytes(theta->dtype), n;
    struct he_shape shape = {0};
    double at[4], sum;
    he_status status = cpu_read_ints(call, 1, sizes, HE_MAX_RANK, &n);

    if (status != HE_OK)
        return status;
    rank = (int64_t)n - 2;
    if (rank < 2 || rank > 3 || theta->shape.rank != 3 || theta->shape.dims[0] != sizes[0] ||
        theta->shape.dims[1] != rank || theta->shape.dims[2] != rank + 1)
        return he_error_set(HE_ERR_SHAPE, "AffineGrid: theta does not fit a size of %zu entries",
                            n);
    shape.rank = (uint32_t)rank + 2;
    shape.dims[0] = sizes[0];
    for (k = 0; k < rank; k++)
        shape.dims[k + 1] = sizes[k + 2];
    shape.dims[rank + 1] = rank;
    status = cpu_expect_output(call, 0, theta->dtype, &shape);
    if (status != HE_OK)
        return status;
    count = cpu_extent(&shape, 0, shape.rank - 1);
    area = cpu_extent(&shape, 1, shape.rank - 1);
    for (k = 0; k < count; k++) {
        for (column = 0, rest = k; column < rank; column++) { /* x is the last size */
            at[column] = grid_line(rest % sizes[rank + 1 - column], sizes[rank + 1 - column],
                                   aligns_corners);
            rest /= sizes[rank + 1 - column];
        }
        at[rank] = 1;
        for (row = 0; row < rank; row++) {
            for (column = 0, sum = 0; column <= rank; column++)
                sum += at[column] *
                       cpu_get_double(theta, (k / area * rank + row) * (rank + 1) + column);
            cpu_store_double(out->dtype, (char *)out->data + (size_t)(k * rank + row) * size, sum);
        }
    }
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "GridSample", .types = CPU_FLOATS, .run = run_grid_sample},
    CPU_WIDENED("GridSample"),
    {.op = "AffineGrid", .types = CPU_FLOATS | CPU_HALVES, .run = run_affine_grid},
};

const struct cpu_kernel_table cpu_kernels_grid = {kernels, CPU_COUNT(kernels)};
