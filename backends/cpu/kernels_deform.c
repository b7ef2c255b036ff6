/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DeformConv (images) and Col2Im. A row of samples at deformed places is gathered once per
 * input channel and tap, and added, scaled, to the row of every filter of the group.
 */
#include <math.h>

#include "window.h"

#define STRETCH 256

struct deform {
    struct cpu_window window;
    int64_t batch, groups, channels, filters, offset_groups; /* channels, filters: per group */
    const void *x, *w, *offset, *bias, *mask;
    void *y;
};

/* Reads plane[y][x] between its pixels; outside the image everything is zero. */
#define DEFINE_DEFORM(NAME, TYPE, FLOOR)                                                           \
    static TYPE between_##NAME(const TYPE *plane, int64_t height, int64_t width, TYPE y, TYPE x)   \
    {                                                                                              \
        TYPE sum = 0, fy, fx;                                                                      \
        int64_t iy, ix;                                                                            \
                                                                                                   \
        if (!(y > -1 && y < (TYPE)height && x > -1 && x < (TYPE)width))                            \
            return 0;                                                                              \
        iy = (int64_t)FLOOR(y);                                                                    \
        ix = (int64_t)FLOOR(x);                                                                    \
        fy = y - (TYPE)iy;                                                                         \
        fx = x - (TYPE)ix;                                                                         \
        if (iy >= 0 && ix >= 0)                                                                    \
            sum += (1 - fy) * (1 - fx) * plane[iy * width + ix];                                   \
        if (iy >= 0 && ix + 1 < width)                                                             \
            sum += (1 - fy) * fx * plane[iy * width + ix + 1];                                     \
        if (iy + 1 < height && ix >= 0)                                                            \
            sum += fy * (1 - fx) * plane[(iy + 1) * width + ix];                                   \
        if (iy + 1 < height && ix + 1 < width)                                                     \
            sum += fy * fx * plane[(iy + 1) * width + ix + 1];                                     \
        return sum;                                                                                \
    }                                                                                              \
    static void deform_stretch_##NAME(const struct deform *v, int64_t n, int64_t oy, int64_t x0,   \
                                      int64_t count)                                               \
    {                                                                                              \
        const struct cpu_window *w = &v->window;                                                   \
        int64_t all = v->groups * v->channels, taps = w->kernel[1] * w->kernel[2], c, tap, k, f;   \
        int64_t area = w->out[1] * w->out[2], at = oy * w->out[2] + x0, og, plane, group;          \
        TYPE row[STRETCH], base_y, base_x, weight;                                                 \
        const TYPE *dy, *dx, *mask, *source;                                                       \
        TYPE *y = (TYPE *)v->y + n * v->groups * v->filters * area + at;                           \
                                                                                                   \
        for (f = 0; f < v->groups * v->filters; f++)                                               \
            for (k = 0; k < count; k++)                                                            \
                y[f * area + k] = v->bias ? ((const TYPE *)v->bias)[f] : 0;                        \
        for (c = 0; c < all; c++) {                                                                \
            group = c / v->channels;                                                               \
            source = (const TYPE *)v->x + (n * all + c) * w->in[1] * w->in[2];                     \
            og = c / (all / v->offset_groups);                                                     \
            for (tap = 0; tap < taps; tap++) {                                                     \
                plane = (n * v->offset_groups + og) * taps + tap;                                  \
                dy = (const TYPE *)v->offset + 2 * plane * area + at;                              \
                dx = dy + area;                                                                    \
                mask = v->mask ? (const TYPE *)v->mask + plane * area + at : NULL;                 \
                base_y =                                                                           \
                    (TYPE)(oy * w->stride[1] - w->begin[1] + tap / w->kernel[2] * w->dilation[1]); \
                base_x = (TYPE)(tap % w->kernel[2] * w->dilation[2] - w->begin[2]);                \
                for (k = 0; k < count; k++) {                                                      \
                    row[k] = between_##NAME(source, w->in[1], w->in[2], base_y + dy[k],            \
                                            base_x + (TYPE)((x0 + k) * w->stride[2]) + dx[k]);     \
                    if (mask)                                                                      \
                        row[k] *= mask[k];                                                         \
                }                                                                                  \
                for (f = group * v->filters; f < (group + 1) * v->filters; f++) {                  \
                    weight =                                                                       \
                        ((const TYPE *)v->w)[(f * v->channels + c % v->channels) * taps + tap];    \
                    for (k = 0; k < count; k++)                                                    \
                        y[f * area + k] += weight * row[k];                                        \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static void deform_rows_##NAME(void *arg, int64_t begin, int64_t end)                          \
    {                                                                                              \
        const struct deform *v = arg;                                                              \
        int64_t rows = v->window.out[1], width = v->window.out[2], x;                              \
                                                                                                   \
        for (; begin < end; begin++)                                                               \
            for (x = 0; x < width; x += STRETCH)                                                   \
                deform_stretch_##NAME(v, begin / rows, begin % rows, x,                            \
                                      width - x < STRETCH ? width - x : STRETCH);                  \
    }

DEFINE_DEFORM(f32, float, floorf)
DEFINE_DEFORM(f64, double, floor)

/* Input @k as [batch, channels, out height, out width]. */
static bool fits(const struct cpu_call *call, size_t k, int64_t channels, const struct deform *v)
{
    const struct he_tensor *tensor = &call->in[k];
    const int64_t *dims = tensor->shape.dims;

    return tensor->dtype == call->in[0].dtype && tensor->shape.rank == 4 && dims[0] == v->batch &&
           dims[1] == channels && dims[2] == v->window.out[1] && dims[3] == v->window.out[2];
}

static he_status run_deform_conv(struct cpu_call *call)
{
    const struct he_tensor *x = &call->in[0], *w = &call->in[1], *y = &call->out[0];
    struct deform v = {.x = x->data, .w = w->data, .offset = call->in[2].data, .y = y->data};
    int64_t taps, rows;
    he_status status;

    if (x->shape.rank != 4)
        return he_error_set(HE_ERR_UNSUPPORTED, "DeformConv: an input of rank %u, expected 4",
                            x->shape.rank);
    status = cpu_window_read(call, x, w, y, &v.window);
    if (status != HE_OK)
        return status;
    v.batch = x->shape.dims[0];
    v.groups = he_node_int(call->node, "group", 1);
    v.offset_groups = he_node_int(call->node, "offset_group", 1);
    v.channels = w->shape.dims[1];
    taps = v.window.kernel[1] * v.window.kernel[2];
    if (v.groups < 1 || v.groups > INT32_MAX || v.channels > INT32_MAX || v.offset_groups < 1 ||
        v.offset_groups > INT32_MAX || x->shape.dims[1] != v.groups * v.channels ||
        x->shape.dims[1] % v.offset_groups != 0 || w->shape.dims[0] % v.groups != 0 ||
        y->shape.dims[0] != v.batch || y->shape.dims[1] != w->shape.dims[0] ||
        w->dtype != x->dtype || y->dtype != x->dtype ||
        !fits(call, 2, 2 * v.offset_groups * taps, &v))
        return he_error_set(HE_ERR_SHAPE, "DeformConv: input, weights and offsets do not fit");
    v.filters = w->shape.dims[0] / v.groups;
    if (cpu_has_input(call, 3)) {
        if (call->in[3].dtype != x->dtype || cpu_count(&call->in[3]) != w->shape.dims[0])
            return he_error_set(HE_ERR_SHAPE, "DeformConv: the bias is not one per filter");
        v.bias = call->in[3].data;
    }
    if (cpu_has_input(call, 4)) {
        if (!fits(call, 4, v.offset_groups * taps, &v))
            return he_error_set(HE_ERR_SHAPE, "DeformConv: the mask does not fit");
        v.mask = call->in[4].data;
    }
    rows = v.batch * v.window.out[1];
    if (rows > 0 && v.window.out[2] > 0)
        cpu_parallel(call->team, rows, 1,
                     x->dtype == HE_FLOAT32 ? deform_rows_f32 : deform_rows_f64, &v);
    return HE_OK;
}

/* --- Col2Im --- */

struct columns {
    const struct he_tensor *in, *out;
    uint32_t rank; /* spatial axes */
    int64_t image[HE_MAX_RANK], block[HE_MAX_RANK], steps[HE_MAX_RANK];
    int64_t stride[HE_MAX_RANK], dilation[HE_MAX_RANK], begin[HE_MAX_RANK];
    int64_t taps, positions, area;
};

/* Where position @at of tap @tap goes in the image, or -1. */
static int64_t column_target(const struct columns *c, int64_t tap, int64_t at)
{
    int64_t to = 0, scale = 1, x;
    uint32_t d;

    for (d = c->rank; d-- > 0;) {
        x = at % c->steps[d] * c->stride[d] - c->begin[d] + tap % c->block[d] * c->dilation[d];
        if (x < 0 || x >= c->image[d])
            return -1;
        to += x * scale;
        scale *= c->image[d];
        at /= c->steps[d];
        tap /= c->block[d];
    }
    return to;
}

/* A unit is one plane of the output. */
static void column_planes(void *arg, int64_t begin, int64_t end)
{
    const struct columns *c = arg;
    bool is_single = c->in->dtype == HE_FLOAT32;
    size_t size = is_single ? sizeof(float) : sizeof(double);
    int64_t tap, at, to, from;

    for (; begin < end; begin++) {
        memset((char *)c->out->data + (size_t)(begin * c->area) * size, 0, (size_t)c->area * size);
        for (tap = 0; tap < c->taps; tap++) {
            for (at = 0; at < c->positions; at++) {
                to = column_target(c, tap, at);
                if (to < 0)
                    continue;
                to += begin * c->area;
                from = (begin * c->taps + tap) * c->positions + at;
                if (is_single)
                    ((float *)c->out->data)[to] += ((const float *)c->in->data)[from];
                else
                    ((double *)c->out->data)[to] += ((const double *)c->in->data)[from];
            }
        }
    }
}

static he_status read_columns(const struct cpu_call *call, struct columns *c)
{
    const int64_t *strides, *dilations, *pads;
    size_t stride_count = he_node_ints(call->node, "strides", &strides), count, block_count;
    size_t dilation_count = he_node_ints(call->node, "dilations", &dilations);
    size_t pad_count = he_node_ints(call->node, "pads", &pads);
    int64_t room, limit = 1 << 30;
    uint32_t d;
    he_status status = cpu_read_ints(call, 1, c->image, HE_MAX_RANK - 2, &count);

    if (status == HE_OK)
        status = cpu_read_ints(call, 2, c->block, HE_MAX_RANK - 2, &block_count);
    if (status != HE_OK)
        return status;
    c->rank = (uint32_t)count;
    if (count < 1 || block_count != count || (stride_count && stride_count != count) ||
        (dilation_count && dilation_count != count) || (pad_count && pad_count != 2 * count))
        return he_error_set(HE_ERR_SHAPE,
                            "Col2Im: block, strides, dilations or pads do not fit an "
                            "image of %zu axes",
                            count);
    c->taps = c->positions = c->area = 1;
    for (d = 0; d < c->rank; d++) {
        c->stride[d] = stride_count ? strides[d] : 1;
        c->dilation[d] = dilation_count ? dilations[d] : 1;
        c->begin[d] = pad_count ? pads[d] : 0;
        room = pad_count ? pads[d + count] : 0;
        if (c->stride[d] < 1 || c->stride[d] > limit || c->dilation[d] < 1 ||
            c->dilation[d] > limit || c->block[d] < 1 || c->block[d] > limit || c->image[d] < 1 ||
            c->image[d] > limit || c->begin[d] < 0 || c->begin[d] > limit || room < 0 ||
            room > limit)
            return he_error_set(HE_ERR_SHAPE, "Col2Im: axis %u is out of range", d);
        room += c->image[d] + c->begin[d] - (c->block[d] - 1) * c->dilation[d] - 1;
        c->steps[d] = room < 0 ? 0 : room / c->stride[d] + 1;
        if (__builtin_mul_overflow(c->taps, c->block[d], &c->taps) ||
            __builtin_mul_overflow(c->positions, c->steps[d], &c->positions) ||
            __builtin_mul_overflow(c->area, c->image[d], &c->area))
            return he_error_set(HE_ERR_SHAPE, "Col2Im: the image is too large");
    }
    return HE_OK;
}

static he_status run_col2im(struct cpu_call *call)
{
    struct columns c = {.in = &call->in[0], .out = &call->out[0]};
    struct he_shape shape = {0};
    uint32_t d;
    he_status status = read_columns(call, &c);

    if (status != HE_OK)
        return status;
    if (c.in->shape.rank != 3 || c.in->shape.dims[1] % c.taps != 0 ||
        c.in->shape.dims[2] != c.positions)
        return he_error_set(HE_ERR_SHAPE,
                            "Col2Im: an input of %lld rows of %lld, expected rows of %lld for "
                            "blocks of %lld",
                            (long long)c.in->shape.dims[1], (long long)c.in->shape.dims[2],
                            (long long)c.positions, (long long)c.taps);
    shape.rank = c.rank + 2;
    shape.dims[0] = c.in->shape.dims[0];
    shape.dims[1] = c.in->shape.dims[1] / c.taps;
    for (d = 0; d < c.rank; d++)
        shape.dims[d + 2] = c.image[d];
    status = cpu_expect_output(call, 0, c.in->dtype, &shape);
    if (status == HE_OK && shape.dims[0] * shape.dims[1] > 0)
        cpu_parallel(call->team, shape.dims[0] * shape.dims[1], 1, column_planes, &c);
    return status;
}

static const struct cpu_kernel kernels[] = {
    {.op = "DeformConv", .types = CPU_FLOATS, .run = run_deform_conv},
    CPU_WIDENED("DeformConv"),
    {.op = "Col2Im", .types = CPU_FLOATS, .run = run_col2im},
    CPU_WIDENED("Col2Im"),
};

const struct cpu_kernel_table cpu_kernels_deform = {kernels, CPU_COUNT(kernels)};
