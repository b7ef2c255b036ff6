/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MaxPool, AveragePool, LpPool over any strides. A stretch of results is gathered tap by
 * tap: along an output row for row-major tensors, along the channels of one
 * position for channels-last ones, so that the inner loop is over neighbours.
 */
#include "half.h"
#include "window.h"

#define STRETCH 256 /* results gathered together */

enum pool_kind { POOL_MAX, POOL_SUM, POOL_ABS, POOL_SQUARE, POOL_POWER };

struct pool {
    struct cpu_window window;
    struct cpu_image in, out;
    enum pool_kind kind;
    enum he_dtype dtype;
    bool is_average, counts_padding;
    double power; /* LpPool */
    /* MaxPool's second output, or NULL. */
    const struct he_tensor *indices;
    bool is_column_major;
};

/* Taps of axis @axis that output @o reads: [*first, *last). */
static inline void taps_of(const struct cpu_window *w, int axis, int64_t o, int64_t *first,
                           int64_t *last)
{
    *first = 0;
    *last = w->kernel[axis];
    cpu_window_range(o * w->stride[axis] - w->begin[axis], w->dilation[axis], w->in[axis], first,
                     last);
    if (*last < *first)
        *last = *first;
}

/* Taps that count for the average: those inside the input, or inside the padding too. */
static int64_t counted_taps(const struct pool *p, int axis, int64_t o)
{
    const struct cpu_window *w = &p->window;
    int64_t first = 0, last = w->kernel[axis];

    if (!p->counts_padding)
        taps_of(w, axis, o, &first, &last);
    else
        cpu_window_range(o * w->stride[axis], w->dilation[axis],
                         w->in[axis] + w->begin[axis] + w->end[axis], &first, &last);
    return last > first ? last - first : 0;
}

#define MAX_STEP(acc, x) ((x) > (acc) ? (x) : (acc))
#define SUM_STEP(acc, x) ((acc) + (x))
#define ABS_STEP(acc, x) ((acc) + ((x) < 0 ? -(x) : (x)))
#define SQUARE_STEP(acc, x) ((acc) + (x) * (x))

#define TAP_LOOP(STEP)                                                                             \
    if (step == 1) {                                                                               \
        CPU_IVDEP                                                                                  \
        for (k = 0; k < n; k++)                                                                    \
            acc[k] = STEP(acc[k], x[k]);                                                           \
    } else {                                                                                       \
        for (k = 0; k < n; k++)                                                                    \
            acc[k] = STEP(acc[k], x[k * step]);                                                    \
    }                                                                                              \
    break

#define DEFINE_MAX_TAP(NAME, TYPE)                                                                 \
    CPU_VECTOR static void max_tap_##NAME(const struct pool *p, TYPE *acc, const TYPE *x,          \
                                          int64_t n, int64_t step)                                 \
    {                                                                                              \
        int64_t k;                                                                                 \
                                                                                                   \
        (void)p;                                                                                   \
        do {                                                                                       \
            TAP_LOOP(MAX_STEP);                                                                    \
        } while (0);                                                                               \
    }

#define DEFINE_FLOAT_TAP(NAME, TYPE, FABS, POW)                                                    \
    CPU_VECTOR static void any_tap_##NAME(const struct pool *p, TYPE *acc, const TYPE *x,          \
                                          int64_t n, int64_t step)                                 \
    {                                                                                              \
        int64_t k;                                                                                 \
                                                                                                   \
        switch (p->kind) {                                                                         \
        case POOL_MAX:                                                                             \
            TAP_LOOP(MAX_STEP);                                                                    \
        case POOL_SUM:                                                                             \
            TAP_LOOP(SUM_STEP);                                                                    \
        case POOL_ABS:                                                                             \
            TAP_LOOP(ABS_STEP);                                                                    \
        case POOL_SQUARE:                                                                          \
            TAP_LOOP(SQUARE_STEP);                                                                 \
        case POOL_POWER:                                                                           \
            for (k = 0; k < n; k++)                                                                \
                acc[k] += POW(FABS(x[k * step]), (TYPE)p->power);                                  \
        }                                                                                          \
    }                                                                                              \
    static TYPE root_##NAME(const struct pool *p, TYPE sum)                                        \
    {                                                                                              \
        switch (p->kind) {                                                                         \
        case POOL_SQUARE:                                                                          \
            return sqrt##NAME(sum);                                                                \
        case POOL_POWER:                                                                           \
            return POW(sum, (TYPE)(1 / p->power));                                                 \
        default:                                                                                   \
            return sum;                                                                            \
        }                                                                                          \
    }

#define sqrtf32 sqrtf
#define sqrtf64 sqrt
DEFINE_MAX_TAP(i8, int8_t)
DEFINE_MAX_TAP(u8, uint8_t)
DEFINE_FLOAT_TAP(f32, float, fabsf, powf)
DEFINE_FLOAT_TAP(f64, double, fabs, pow)
#define any_tap_i8 max_tap_i8
#define any_tap_u8 max_tap_u8
#define root_i8(p, sum) (sum)
#define root_u8(p, sum) (sum)

/* DEFINE_POOL makes the two shapes of the loop for one type. LEAST is what no
 * element is below. A unit of work is one output row of one channel, or of one image. */
#define DEFINE_POOL(NAME, TYPE, LEAST)                                                             \
    /* Gathers taps [f, l) of every axis at one base; @step is between neighbours. */              \
    static void gather_##NAME(const struct pool *p, TYPE *acc, const TYPE *x, int64_t n,           \
                              int64_t step, const int64_t f[3], const int64_t l[3])                \
    {                                                                                              \
        const struct cpu_window *w = &p->window;                                                   \
        int64_t kz, ky, kx;                                                                        \
                                                                                                   \
        for (kz = f[0]; kz < l[0]; kz++)                                                           \
            for (ky = f[1]; ky < l[1]; ky++)                                                       \
                for (kx = f[2]; kx < l[2]; kx++)                                                   \
                    any_tap_##NAME(p, acc,                                                         \
                                   x + kz * w->dilation[0] * p->in.stride[0] +                     \
                                       ky * w->dilation[1] * p->in.stride[1] +                     \
                                       kx * w->dilation[2] * p->in.stride[2],                      \
                                   n, step);                                                       \
    }                                                                                              \
    static void finish_##NAME(const struct pool *p, TYPE *acc, int64_t n, TYPE *y, int64_t step,   \
                              const int64_t *counts, int64_t count)                                \
    {                                                                                              \
        int64_t k, divisor;                                                                        \
                                                                                                   \
        for (k = 0; k < n; k++) {                                                                  \
            divisor = counts ? count * counts[k] : count;                                          \
            y[k * step] =                                                                          \
                p->is_average ? divisor ? acc[k] / (TYPE)divisor : 0 : root_##NAME(p, acc[k]);     \
        }                                                                                          \
    }                                                                                              \
    static void pool_row_##NAME(const struct pool *p, const TYPE *x, TYPE *y, int64_t z,           \
                                int64_t oy, const int64_t f[3], const int64_t l[3])                \
    {                                                                                              \
        const struct cpu_window *w = &p->window;                                                   \
        int64_t counts[STRETCH], begin, end, kx, low, high, k, offset;                             \
        int64_t count = counted_taps(p, 0, z) * counted_taps(p, 1, oy);                            \
        TYPE acc[STRETCH];                                                                         \
                                                                                                   \
        for (begin = 0; begin < w->out[2]; begin = end) {                                          \
            end = begin + STRETCH < w->out[2] ? begin + STRETCH : w->out[2];                       \
            for (k = 0; k < end - begin; k++) {                                                    \
                acc[k] = p->kind == POOL_MAX ? LEAST : 0;                                          \
                counts[k] = p->is_average ? counted_taps(p, 2, begin + k) : 1;                     \
            }                                                                                      \
            for (kx = 0; kx < w->kernel[2]; kx++) {                                                \
                int64_t first[3] = {f[0], f[1], kx}, last[3] = {l[0], l[1], kx + 1};               \
                                                                                                   \
                low = begin, high = end;                                                           \
                offset = kx * w->dilation[2] - w->begin[2];                                        \
                cpu_window_range(offset, w->stride[2], w->in[2], &low, &high);                     \
                if (low < high)                                                                    \
                    gather_##NAME(p, acc + (low - begin),                                          \
                                  x + (low * w->stride[2] - w->begin[2]) * p->in.stride[2],        \
                                  high - low, w->stride[2] * p->in.stride[2], first, last);        \
            }                                                                                      \
            finish_##NAME(p, acc, end - begin, y + begin * p->out.stride[2], p->out.stride[2],     \
                          counts, count);                                                          \
        }                                                                                          \
    }                                                                                              \
    static void pool_pixel_##NAME(const struct pool *p, const TYPE *x, TYPE *y, int64_t count,     \
                                  const int64_t f[3], const int64_t l[3])                          \
    {                                                                                              \
        int64_t c, n, k;                                                                           \
        TYPE acc[STRETCH];                                                                         \
                                                                                                   \
        for (c = 0; c < p->in.c; c += n) {                                                         \
            n = p->in.c - c < STRETCH ? p->in.c - c : STRETCH;                                     \
            for (k = 0; k < n; k++)                                                                \
                acc[k] = p->kind == POOL_MAX ? LEAST : 0;                                          \
            gather_##NAME(p, acc, x + c * p->in.c_stride, n, p->in.c_stride, f, l);                \
            finish_##NAME(p, acc, n, y + c * p->out.c_stride, p->out.c_stride, NULL, count);       \
        }                                                                                          \
    }                                                                                              \
    static void pool_rows_##NAME(void *arg, int64_t begin, int64_t end)                            \
    {                                                                                              \
        const struct pool *p = arg;                                                                \
        const struct cpu_window *w = &p->window;                                                   \
        bool by_pixel = is_by_pixel(p);                                                            \
        int64_t first[3], last[3], n, c, z, oy, ox, rest;                                          \
        const TYPE *x;                                                                             \
        TYPE *y;                                                                                   \
                                                                                                   \
        for (; begin < end; begin++) {                                                             \
            rest = begin;                                                                          \
            oy = rest % w->out[1], rest /= w->out[1];                                              \
            z = rest % w->out[0], rest /= w->out[0];                                               \
            c = by_pixel ? 0 : rest % p->in.c;                                                     \
            n = by_pixel ? rest : rest / p->in.c;                                                  \
            taps_of(w, 0, z, &first[0], &last[0]);                                                 \
            taps_of(w, 1, oy, &first[1], &last[1]);                                                \
            x = (const TYPE *)p->in.data + n * p->in.n_stride + c * p->in.c_stride +               \
                (z * w->stride[0] - w->begin[0]) * p->in.stride[0] +                               \
                (oy * w->stride[1] - w->begin[1]) * p->in.stride[1];                               \
            y = (TYPE *)p->out.data + n * p->out.n_stride + c * p->out.c_stride +                  \
                z * p->out.stride[0] + oy * p->out.stride[1];                                      \
            if (!by_pixel) {                                                                       \
                pool_row_##NAME(p, x, y, z, oy, first, last);                                      \
                continue;                                                                          \
            }                                                                                      \
            for (ox = 0; ox < w->out[2]; ox++) {                                                   \
                taps_of(w, 2, ox, &first[2], &last[2]);                                            \
                pool_pixel_##NAME(p, x + (ox * w->stride[2] - w->begin[2]) * p->in.stride[2],      \
                                  y + ox * p->out.stride[2],                                       \
                                  counted_taps(p, 0, z) * counted_taps(p, 1, oy) *                 \
                                      counted_taps(p, 2, ox),                                      \
                                  first, last);                                                    \
            }                                                                                      \
        }                                                                                          \
    }

static bool is_by_pixel(const struct pool *p)
{
    return p->in.c_stride == 1 && p->in.stride[2] != 1;
}

DEFINE_POOL(f32, float, -INFINITY)
DEFINE_POOL(f64, double, -INFINITY)
DEFINE_POOL(i8, int8_t, INT8_MIN)
DEFINE_POOL(u8, uint8_t, 0)

/* --- MaxPool with the places of the maxima: one result at a time --- */

static double value_at(const struct pool *p, int64_t at)
{
    switch ((int)p->dtype) {
    case HE_FLOAT32:
        return ((const float *)p->in.data)[at];
    case HE_FLOAT64:
        return ((const double *)p->in.data)[at];
    case HE_INT8:
        return ((const int8_t *)p->in.data)[at];
    default:
        return ((const uint8_t *)p->in.data)[at];
    }
}

/* The tensor offset of the first largest element of a window, and its place in the plane. */
static int64_t find_largest(const struct pool *p, int64_t plane, const int64_t out[3],
                            int64_t *place)
{
    const struct cpu_window *w = &p->window;
    const struct cpu_image *in = &p->in;
    int64_t first[3], last[3], k[3], at[3], offset, best = -1;
    double value, largest = 0;
    int axis;

    *place = -1;
    for (axis = 0; axis < 3; axis++)
        taps_of(w, axis, out[axis], &first[axis], &last[axis]);
    for (k[0] = first[0]; k[0] < last[0]; k[0]++) {
        for (k[1] = first[1]; k[1] < last[1]; k[1]++) {
            for (k[2] = first[2]; k[2] < last[2]; k[2]++) {
                for (axis = 0, offset = plane; axis < 3; axis++) {
                    at[axis] =
                        out[axis] * w->stride[axis] - w->begin[axis] + k[axis] * w->dilation[axis];
                    offset += at[axis] * in->stride[axis];
                }
                value = value_at(p, offset);
                if (best >= 0 && !(value > largest))
                    continue;
                largest = value;
                best = offset;
                *place = p->is_column_major ? (at[2] * in->size[1] + at[1]) * in->size[0] + at[0]
                                            : (at[0] * in->size[1] + at[1]) * in->size[2] + at[2];
            }
        }
    }
    return best;
}

/* A unit is one plane. */
static void argmax_planes(void *arg, int64_t begin, int64_t end)
{
    const struct pool *p = arg;
    const struct cpu_window *w = &p->window;
    const struct cpu_image places = cpu_image_of(p->indices);
    size_t size = cpu_element_bytes(p->dtype);
    int64_t n, c, o[3], plane, best, place;
    int64_t area = p->in.size[0] * p->in.size[1] * p->in.size[2];

    for (; begin < end; begin++) {
        n = begin / p->in.c;
        c = begin % p->in.c;
        plane = n * p->in.n_stride + c * p->in.c_stride;
        for (o[0] = 0; o[0] < w->out[0]; o[0]++) {
            for (o[1] = 0; o[1] < w->out[1]; o[1]++) {
                for (o[2] = 0; o[2] < w->out[2]; o[2]++) {
                    best = find_largest(p, plane, o, &place);
                    if (p->out.data && best >= 0)
                        memcpy(p->out.data +
                                   (size_t)(n * p->out.n_stride + c * p->out.c_stride +
                                            o[0] * p->out.stride[0] + o[1] * p->out.stride[1] +
                                            o[2] * p->out.stride[2]) *
                                       size,
                               p->in.data + (size_t)best * size, size);
                    ((int64_t *)places.data)[n * places.n_stride + c * places.c_stride +
                                             o[0] * places.stride[0] + o[1] * places.stride[1] +
                                             o[2] * places.stride[2]] =
                        best < 0 ? -1 : begin * area + place;
                }
            }
        }
    }
}

/* --- Setting up --- */

static he_status run_pool(struct cpu_call *call, struct pool *p)
{
    const struct he_tensor *in = &call->in[0];
    const struct he_tensor *out = &call->out[cpu_has_output(call, 0) ? 0 : 1];
    int64_t units, work;
    he_status status;

    status = cpu_window_read(call, in, NULL, out, &p->window);
    if (status != HE_OK)
        return status;
    if (!he_node_attr(call->node, "kernel_shape"))
        return he_error_set(HE_ERR_SHAPE, "%s: kernel_shape is missing", call->node->op);
    if (out->shape.dims[0] != in->shape.dims[0] || out->shape.dims[1] != in->shape.dims[1] ||
        (out == &call->out[0] && out->dtype != in->dtype))
        return he_error_set(HE_ERR_SHAPE, "%s: input and output do not fit", call->node->op);
    p->dtype = in->dtype;
    p->in = cpu_image_of(in);
    p->out = cpu_image_of(out);
    if (p->indices) {
        if (p->indices->dtype != HE_INT64 || !he_shape_equal(&p->indices->shape, &out->shape))
            return he_error_set(HE_ERR_SHAPE, "MaxPool: the indices do not fit the output");
        if (out == p->indices)
            p->out.data = NULL;
        units = p->in.n * p->in.c;
        if (units > 0)
            cpu_parallel(call->team, units, 1, argmax_planes, p);
        return HE_OK;
    }
    units = p->in.n * (is_by_pixel(p) ? 1 : p->in.c) * p->window.out[0] * p->window.out[1];
    work = p->window.out[2] * p->window.kernel[1] * p->window.kernel[2];
    work *= is_by_pixel(p) ? p->in.c : 1;
    if (units > 0 && p->in.c > 0)
        cpu_parallel(call->team, units, 32768 / (work + 1) + 1,
                     p->dtype == HE_FLOAT32   ? pool_rows_f32
                     : p->dtype == HE_FLOAT64 ? pool_rows_f64
                     : p->dtype == HE_INT8    ? pool_rows_i8
                                              : pool_rows_u8,
                     p);
    return HE_OK;
}

static he_status run_max_pool(struct cpu_call *call)
{
    struct pool p = {.kind = POOL_MAX,
                     .is_column_major = he_node_int(call->node, "storage_order", 0) != 0};

    if (cpu_has_output(call, 1))
        p.indices = &call->out[1];
    else if (!cpu_has_output(call, 0))
        return HE_OK;
    return run_pool(call, &p);
}

static he_status run_average_pool(struct cpu_call *call)
{
    struct pool p = {.kind = POOL_SUM,
                     .is_average = true,
                     .counts_padding = he_node_int(call->node, "count_include_pad", 0) != 0};

    return run_pool(call, &p);
}

static he_status run_lp_pool(struct cpu_call *call)
{
    const struct he_attr *attr = he_node_attr(call->node, "p");
    struct pool p = {.power = 2};

    if (attr) /* a float in opset 1 */
        p.power = attr->kind == HE_ATTR_FLOAT ? (double)attr->f : (double)attr->i;
    if (!(p.power > 0))
        return he_error_set(HE_ERR_SHAPE, "LpPool: p is %g", p.power);
    p.kind = p.power == 1 ? POOL_ABS : p.power == 2 ? POOL_SQUARE : POOL_POWER;
    return run_pool(call, &p);
}

#define BYTES (CPU_TYPE(HE_INT8) | CPU_TYPE(HE_UINT8))

static const struct cpu_kernel kernels[] = {
    {.op = "MaxPool", .types = CPU_FLOATS | BYTES, .flags = CPU_STRIDED, .run = run_max_pool},
    CPU_WIDENED("MaxPool"),
    {.op = "AveragePool", .types = CPU_FLOATS, .flags = CPU_STRIDED, .run = run_average_pool},
    CPU_WIDENED("AveragePool"),
    {.op = "LpPool", .types = CPU_FLOATS, .flags = CPU_STRIDED, .run = run_lp_pool},
    CPU_WIDENED("LpPool"),
};

const struct cpu_kernel_table cpu_kernels_pool = {kernels, CPU_COUNT(kernels)};
