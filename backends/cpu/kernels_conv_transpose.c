/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ConvTranspose by direct loops: every output row gathers the scaled input rows that
 * reach it, so that rows are independent and nothing is added from two threads.
 */
#include "half.h"
#include "window.h"

struct deconv {
    struct cpu_window window;
    int64_t batch, groups, channels, filters; /* the last two per group */
    const void *x, *w, *bias;
    void *y;
};

/* The input position that tap @k brings to output @o, or -1. */
static inline int64_t source_of(const struct cpu_window *w, int axis, int64_t o, int64_t k)
{
    int64_t at = o + w->begin[axis] - k * w->dilation[axis];

    if (at < 0 || at % w->stride[axis] != 0)
        return -1;
    at /= w->stride[axis];
    return at < w->in[axis] ? at : -1;
}

#define DEFINE_DECONV(NAME, TYPE)                                                                  \
    CPU_VECTOR static void spread_##NAME(TYPE *y, const TYPE *x, int64_t n, int64_t step, TYPE w)  \
    {                                                                                              \
        int64_t k;                                                                                 \
                                                                                                   \
        if (step == 1)                                                                             \
            for (k = 0; k < n; k++)                                                                \
                y[k] += w * x[k];                                                                  \
        else                                                                                       \
            for (k = 0; k < n; k++)                                                                \
                y[k * step] += w * x[k];                                                           \
    }                                                                                              \
    static void deconv_row_##NAME(const struct deconv *v, int64_t n, int64_t filter, int64_t z,    \
                                  int64_t y)                                                       \
    {                                                                                              \
        const struct cpu_window *w = &v->window;                                                   \
        int64_t group = filter / v->filters, ic, kz, ky, kx, iz, iy, low, high, offset, channel;   \
        int64_t row = ((n * v->groups * v->filters + filter) * w->out[0] + z) * w->out[1] + y;     \
        TYPE *out = (TYPE *)v->y + row * w->out[2];                                                \
        TYPE bias = v->bias ? ((const TYPE *)v->bias)[filter] : 0;                                 \
        const TYPE *x, *weights;                                                                   \
                                                                                                   \
        for (kx = 0; kx < w->out[2]; kx++)                                                         \
            out[kx] = bias;                                                                        \
        for (ic = 0; ic < v->channels; ic++) {                                                     \
            channel = group * v->channels + ic;                                                    \
            weights = (const TYPE *)v->w + (channel * v->filters + filter % v->filters) *          \
                                               w->kernel[0] * w->kernel[1] * w->kernel[2];         \
            for (kz = 0; kz < w->kernel[0]; kz++) {                                                \
                iz = source_of(w, 0, z, kz);                                                       \
                for (ky = 0; iz >= 0 && ky < w->kernel[1]; ky++) {                                 \
                    iy = source_of(w, 1, y, ky);                                                   \
                    if (iy < 0)                                                                    \
                        continue;                                                                  \
                    x = (const TYPE *)v->x +                                                       \
                        (((n * v->groups * v->channels + channel) * w->in[0] + iz) * w->in[1] +    \
                         iy) *                                                                     \
                            w->in[2];                                                              \
                    for (kx = 0; kx < w->kernel[2]; kx++) {                                        \
                        offset = kx * w->dilation[2] - w->begin[2];                                \
                        low = 0, high = w->in[2];                                                  \
                        cpu_window_range(offset, w->stride[2], w->out[2], &low, &high);            \
                        if (low < high)                                                            \
                            spread_##NAME(out + low * w->stride[2] + offset, x + low, high - low,  \
                                          w->stride[2],                                            \
                                          weights[(kz * w->kernel[1] + ky) * w->kernel[2] + kx]);  \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static void deconv_rows_##NAME(void *arg, int64_t begin, int64_t end)                          \
    {                                                                                              \
        const struct deconv *v = arg;                                                              \
        int64_t filters = v->groups * v->filters, rows = v->window.out[1], rest;                   \
                                                                                                   \
        for (; begin < end; begin++) {                                                             \
            rest = begin / rows / v->window.out[0];                                                \
            deconv_row_##NAME(v, rest / filters, rest % filters, begin / rows % v->window.out[0],  \
                              begin % rows);                                                       \
        }                                                                                          \
    }

DEFINE_DECONV(f32, float)
DEFINE_DECONV(f64, double)

static he_status run_conv_transpose(struct cpu_call *call)
{
    const struct he_tensor *x = &call->in[0], *w = &call->in[1], *y = &call->out[0];
    struct deconv v = {.x = x->data, .w = w->data, .y = y->data};
    int64_t rows, work;
    he_status status = cpu_window_read_transposed(call, x, w, y, &v.window);

    if (status != HE_OK)
        return status;
    v.batch = x->shape.dims[0];
    v.groups = he_node_int(call->node, "group", 1);
    v.filters = w->shape.dims[1];
    if (v.groups < 1 || v.groups > INT32_MAX || v.filters > INT32_MAX ||
        w->shape.dims[0] != x->shape.dims[1] || x->shape.dims[1] % v.groups != 0 ||
        y->shape.dims[0] != v.batch || y->shape.dims[1] != v.filters * v.groups ||
        w->dtype != x->dtype || y->dtype != x->dtype)
        return he_error_set(
            HE_ERR_SHAPE, "ConvTranspose: %lld channels, weights for %lld, %lld groups",
            (long long)x->shape.dims[1], (long long)w->shape.dims[0], (long long)v.groups);
    v.channels = x->shape.dims[1] / v.groups;
    if (cpu_has_input(call, 2)) {
        if (call->in[2].dtype != x->dtype || cpu_count(&call->in[2]) != v.filters * v.groups)
            return he_error_set(HE_ERR_SHAPE, "ConvTranspose: the bias is not one per filter");
        v.bias = call->in[2].data;
    }
    rows = v.batch * v.groups * v.filters * v.window.out[0] * v.window.out[1];
    work = v.window.out[2] * v.channels * v.window.kernel[1] * v.window.kernel[2];
    if (rows > 0 && v.window.out[2] > 0)
        cpu_parallel(call->team, rows, 65536 / (work + 1) + 1,
                     x->dtype == HE_FLOAT32 ? deconv_rows_f32 : deconv_rows_f64, &v);
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "ConvTranspose", .types = CPU_FLOATS, .run = run_conv_transpose},
    CPU_WIDENED("ConvTranspose"),
};

const struct cpu_kernel_table cpu_kernels_conv_transpose = {kernels, CPU_COUNT(kernels)};
