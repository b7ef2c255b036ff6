/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GlobalAveragePool, GlobalMaxPool, GlobalLpPool, and MaxUnpool. A global pool reduces the
 * spatial axes, which lie evenly spaced in memory in either layout, as one long axis.
 */
#include "half.h"
#include "window.h"

#define LANES 16    /* partial results of a row, so that its loop vectorises */
#define STRETCH 256 /* channels reduced together when they are neighbours */

enum global_kind { GLOBAL_MEAN, GLOBAL_MAX, GLOBAL_LP };

struct global {
    enum global_kind kind;
    double power;
    const char *in;
    char *out;
    int64_t n, c, length; /* length: of all spatial axes */
    int64_t n_stride, c_stride, stride;
    int64_t out_n_stride, out_c_stride;
};

#define DEFINE_GLOBAL(NAME, TYPE, SQRT, FABS, POW)                                                 \
    static inline TYPE start_##NAME(const struct global *g)                                        \
    {                                                                                              \
        return g->kind == GLOBAL_MAX ? -INFINITY : 0;                                              \
    }                                                                                              \
    static inline TYPE finish_##NAME(const struct global *g, TYPE acc)                             \
    {                                                                                              \
        if (g->kind == GLOBAL_MEAN)                                                                \
            return acc / (TYPE)g->length;                                                          \
        if (g->kind == GLOBAL_MAX || g->power == 1)                                                \
            return acc;                                                                            \
        return g->power == 2 ? SQRT(acc) : POW(acc, (TYPE)(1 / g->power));                         \
    }                                                                                              \
    /* acc[k] takes in x[k], k < n, of each of @rows rows. */                                      \
    CPU_VECTOR static void take_##NAME(const struct global *g, TYPE *acc, const TYPE *x,           \
                                       int64_t n, int64_t rows, int64_t step)                      \
    {                                                                                              \
        int64_t k, end = rows * step;                                                              \
        const TYPE *row;                                                                           \
                                                                                                   \
        if (g->kind == GLOBAL_MEAN)                                                                \
            for (row = x; row != x + end; row += step)                                             \
                for (k = 0; k < n; k++)                                                            \
                    acc[k] += row[k];                                                              \
        else if (g->kind == GLOBAL_MAX)                                                            \
            for (row = x; row != x + end; row += step)                                             \
                for (k = 0; k < n; k++)                                                            \
                    acc[k] = row[k] > acc[k] ? row[k] : acc[k];                                    \
        else if (g->power == 1)                                                                    \
            for (row = x; row != x + end; row += step)                                             \
                for (k = 0; k < n; k++)                                                            \
                    acc[k] += FABS(row[k]);                                                        \
        else if (g->power == 2)                                                                    \
            for (row = x; row != x + end; row += step)                                             \
                for (k = 0; k < n; k++)                                                            \
                    acc[k] += row[k] * row[k];                                                     \
        else                                                                                       \
            for (row = x; row != x + end; row += step)                                             \
                for (k = 0; k < n; k++)                                                            \
                    acc[k] += POW(FABS(row[k]), (TYPE)g->power);                                   \
    }                                                                                              \
    static TYPE reduce_##NAME(const struct global *g, const TYPE *x)                               \
    {                                                                                              \
        TYPE acc[LANES], one;                                                                      \
        int64_t k, whole = g->stride == 1 ? g->length / LANES * LANES : 0;                         \
                                                                                                   \
        for (k = 0; k < LANES; k++)                                                                \
            acc[k] = start_##NAME(g);                                                              \
        take_##NAME(g, acc, x, LANES, whole / LANES, LANES);                                       \
        for (k = whole; k < g->length; k++)                                                        \
            take_##NAME(g, &acc[k % LANES], x + k * g->stride, 1, 1, 1);                           \
        for (k = 1, one = acc[0]; k < LANES; k++)                                                  \
            one = g->kind == GLOBAL_MAX ? acc[k] > one ? acc[k] : one : one + acc[k];              \
        return finish_##NAME(g, one);                                                              \
    }                                                                                              \
    static void planes_##NAME(void *arg, int64_t begin, int64_t end)                               \
    {                                                                                              \
        const struct global *g = arg;                                                              \
        int64_t n, c;                                                                              \
                                                                                                   \
        for (; begin < end; begin++) {                                                             \
            n = begin / g->c;                                                                      \
            c = begin % g->c;                                                                      \
            ((TYPE *)g->out)[n * g->out_n_stride + c * g->out_c_stride] =                          \
                reduce_##NAME(g, (const TYPE *)g->in + n * g->n_stride + c * g->c_stride);         \
        }                                                                                          \
    }                                                                                              \
    /* Channels are neighbours: a unit is one stretch of them. */                                  \
    static void stretches_##NAME(void *arg, int64_t begin, int64_t end)                            \
    {                                                                                              \
        const struct global *g = arg;                                                              \
        int64_t per_image = (g->c + STRETCH - 1) / STRETCH, n, c, count, k;                        \
        TYPE acc[STRETCH];                                                                         \
                                                                                                   \
        for (; begin < end; begin++) {                                                             \
            n = begin / per_image;                                                                 \
            c = begin % per_image * STRETCH;                                                       \
            count = g->c - c < STRETCH ? g->c - c : STRETCH;                                       \
            for (k = 0; k < count; k++)                                                            \
                acc[k] = start_##NAME(g);                                                          \
            take_##NAME(g, acc, (const TYPE *)g->in + n * g->n_stride + c, count, g->length,       \
                        g->stride);                                                                \
            for (k = 0; k < count; k++)                                                            \
                ((TYPE *)g->out)[n * g->out_n_stride + (c + k) * g->out_c_stride] =                \
                    finish_##NAME(g, acc[k]);                                                      \
        }                                                                                          \
    }

DEFINE_GLOBAL(f32, float, sqrtf, fabsf, powf)
DEFINE_GLOBAL(f64, double, sqrt, fabs, pow)

static he_status run_global(struct cpu_call *call, struct global *g)
{
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    bool is_single = in->dtype == HE_FLOAT32, by_channel;
    struct he_shape shape = in->shape;
    int64_t units;
    uint32_t d;
    he_status status;

    if (shape.rank < 2)
        return he_error_set(HE_ERR_SHAPE, "%s: an input of rank %u", call->node->op, shape.rank);
    for (d = 2; d < shape.rank; d++)
        shape.dims[d] = 1;
    status = cpu_expect_output(call, 0, in->dtype, &shape);
    if (status != HE_OK)
        return status;
    g->in = in->data;
    g->out = out->data;
    g->n = shape.dims[0];
    g->c = shape.dims[1];
    g->length = cpu_extent(&in->shape, 2, shape.rank);
    g->n_stride = in->strides[0];
    g->c_stride = in->strides[1];
    g->stride = shape.rank > 2 ? in->strides[shape.rank - 1] : 1;
    g->out_n_stride = out->strides[0];
    g->out_c_stride = out->strides[1];
    by_channel = g->c_stride == 1 && g->stride != 1;
    units = g->n * (by_channel ? (g->c + STRETCH - 1) / STRETCH : g->c);
    if (units > 0)
        cpu_parallel(call->team, units, 16384 / ((by_channel ? STRETCH : 1) * g->length + 1) + 1,
                     by_channel  ? is_single ? stretches_f32 : stretches_f64
                     : is_single ? planes_f32
                                 : planes_f64,
                     g);
    return HE_OK;
}

static he_status run_global_average(struct cpu_call *call)
{
    struct global g = {.kind = GLOBAL_MEAN};

    return run_global(call, &g);
}

static he_status run_global_max(struct cpu_call *call)
{
    struct global g = {.kind = GLOBAL_MAX};

    return run_global(call, &g);
}

static he_status run_global_lp(struct cpu_call *call)
{
    const struct he_attr *attr = he_node_attr(call->node, "p");
    struct global g = {.kind = GLOBAL_LP, .power = 2};

    if (attr) /* a float in opset 1 */
        g.power = attr->kind == HE_ATTR_FLOAT ? (double)attr->f : (double)attr->i;
    if (!(g.power > 0))
        return he_error_set(HE_ERR_SHAPE, "GlobalLpPool: p is %g", g.power);
    return run_global(call, &g);
}

/* --- MaxUnpool: each value goes where MaxPool found it --- */

/* What the output would be without output_shape: the indices count in that one. */
static he_status unpooled_shape(const struct cpu_call *call, struct he_shape *shape)
{
    const int64_t *kernel, *strides, *pads;
    size_t kernel_count = he_node_ints(call->node, "kernel_shape", &kernel);
    size_t stride_count = he_node_ints(call->node, "strides", &strides);
    size_t pad_count = he_node_ints(call->node, "pads", &pads);
    int64_t step, lost;
    uint32_t k, rank;

    *shape = call->in[0].shape;
    rank = shape->rank - 2;
    if (shape->rank < 3 || kernel_count != rank || (stride_count && stride_count != rank) ||
        (pad_count && pad_count != 2 * rank))
        return he_error_set(HE_ERR_SHAPE, "MaxUnpool: kernel_shape, strides or pads do not fit");
    for (k = 0; k < rank; k++) {
        step = stride_count ? strides[k] : 1;
        lost = pad_count ? pads[k] + pads[rank + k] : 0;
        if (step < 1 || step > INT32_MAX || kernel[k] < 1 || kernel[k] > INT32_MAX || lost < 0 ||
            lost > INT32_MAX || shape->dims[k + 2] > INT32_MAX)
            return he_error_set(HE_ERR_SHAPE, "MaxUnpool: spatial axis %u is out of range", k);
        shape->dims[k + 2] = (shape->dims[k + 2] - 1) * step + kernel[k] - lost;
    }
    return HE_OK;
}

static he_status run_max_unpool(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *places = &call->in[1], *out = &call->out[0];
    size_t size = cpu_element_bytes(in->dtype);
    int64_t k, count = cpu_count(in), total, to, rest, at;
    static const uint8_t zero[16];
    struct he_shape shape;
    uint32_t d;
    he_status status = unpooled_shape(call, &shape);

    if (status != HE_OK)
        return status;
    if (!cpu_has_input(call, 2))
        status = cpu_expect_output(call, 0, in->dtype, &shape);
    if (status != HE_OK)
        return status;
    if (out->dtype != in->dtype || out->shape.rank != shape.rank || places->dtype != HE_INT64 ||
        !he_shape_equal(&places->shape, &in->shape))
        return he_error_set(HE_ERR_SHAPE, "MaxUnpool: input, indices and output do not fit");
    total = he_shape_count(&shape);
    cpu_tensor_fill(call->team, out, zero);
    for (k = 0; k < count; k++) {
        at = ((const int64_t *)places->data)[k];
        if (at < 0 || at >= total)
            return he_error_set(HE_ERR_SHAPE, "MaxUnpool: index %lld is outside [0, %lld)",
                                (long long)at, (long long)total);
        for (d = shape.rank, rest = at, to = 0; d-- > 0; rest /= shape.dims[d]) {
            at = rest % shape.dims[d];
            if (at >= out->shape.dims[d])
                return he_error_set(HE_ERR_SHAPE, "MaxUnpool: index %lld is outside the output",
                                    (long long)((const int64_t *)places->data)[k]);
            to += at * out->strides[d];
        }
        memcpy((char *)out->data + (size_t)to * size, (const char *)in->data + (size_t)k * size,
               size);
    }
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "GlobalAveragePool",
     .types = CPU_FLOATS,
     .flags = CPU_STRIDED,
     .run = run_global_average},
    CPU_WIDENED("GlobalAveragePool"),
    {.op = "GlobalMaxPool", .types = CPU_FLOATS, .flags = CPU_STRIDED, .run = run_global_max},
    CPU_WIDENED("GlobalMaxPool"),
    {.op = "GlobalLpPool", .types = CPU_FLOATS, .flags = CPU_STRIDED, .run = run_global_lp},
    CPU_WIDENED("GlobalLpPool"),
    {.op = "MaxUnpool", .types = CPU_BYTE_TYPES, .run = run_max_unpool},
};

const struct cpu_kernel_table cpu_kernels_global_pool = {kernels, CPU_COUNT(kernels)};
