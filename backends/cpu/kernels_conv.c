/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conv, ConvInteger, QLinearConv by direct loops, for the types and shapes oneDNN does
 * not take, and for machines without oneDNN. The loops are in conv_rows.inc.
 */
#include "half.h"
#include "window.h"

#define CONV_BLOCK 4     /* output channels computed together */
#define CONV_STRETCH 256 /* output positions of a row computed together */

struct conv {
    struct cpu_window window;
    int64_t batch, groups, channels, filters; /* the last two per group */
    const char *x;
    const void *w, *bias; /* bias may be NULL */
    void *y;
    size_t x_size;
    /* Integers: types and zero points. */
    enum he_dtype x_type, w_type, y_type;
    const char *w_zero;
    int32_t x_zero, y_zero;
    bool has_filter_zero; /* one w_zero per filter */
    const float *w_scale;
    bool has_filter_scale;
    float x_scale, y_scale;
};

/* --- Floats --- */

#define LOAD_FLOATS(TYPE)                                                                          \
    const TYPE *from = (const TYPE *)source;                                                       \
    int64_t k;                                                                                     \
                                                                                                   \
    (void)v;                                                                                       \
    if (step == 1)                                                                                 \
        return from;                                                                               \
    for (k = 0; k < n; k++)                                                                        \
        row[k] = from[k * step];                                                                   \
    return row

static const float *load_f32(const struct conv *v, const char *source, int64_t step, int64_t n,
                             float *row)
{
    LOAD_FLOATS(float);
}

static const double *load_f64(const struct conv *v, const char *source, int64_t step, int64_t n,
                              double *row)
{
    LOAD_FLOATS(double);
}

static void store_f32(const struct conv *v, int64_t filter, int64_t at, const float *acc, int64_t n)
{
    float *y = (float *)v->y + at, bias = v->bias ? ((const float *)v->bias)[filter] : 0;
    int64_t k;

    for (k = 0; k < n; k++)
        y[k] = acc[k] + bias;
}

static void store_f64(const struct conv *v, int64_t filter, int64_t at, const double *acc,
                      int64_t n)
{
    double *y = (double *)v->y + at, bias = v->bias ? ((const double *)v->bias)[filter] : 0;
    int64_t k;

    for (k = 0; k < n; k++)
        y[k] = acc[k] + bias;
}

/* --- Integers: sums of products in int32, which wraps --- */

static inline int32_t byte_at(enum he_dtype dtype, const char *at)
{
    return dtype == HE_UINT8 ? *(const uint8_t *)at : *(const int8_t *)at;
}

static const uint32_t *load_bytes(const struct conv *v, const char *source, int64_t step, int64_t n,
                                  uint32_t *row)
{
    int64_t k;

    if (v->x_type == HE_UINT8)
        for (k = 0; k < n; k++)
            row[k] = (uint32_t)(((const uint8_t *)source)[k * step] - v->x_zero);
    else
        for (k = 0; k < n; k++)
            row[k] = (uint32_t)(((const int8_t *)source)[k * step] - v->x_zero);
    return row;
}

static inline uint32_t byte_weight(const struct conv *v, int64_t filter, int64_t weight)
{
    int32_t zero =
        v->w_zero ? byte_at(v->w_type, v->w_zero + (v->has_filter_zero ? filter : 0)) : 0;

    return (uint32_t)(byte_at(v->w_type, (const char *)v->w + weight) - zero);
}

static void store_sums(const struct conv *v, int64_t filter, int64_t at, const uint32_t *acc,
                       int64_t n)
{
    float scale, value, low, high;
    int32_t bias, sum;
    int64_t k;

    if (v->y_type == HE_INT32) {
        memcpy((int32_t *)v->y + at, acc, (size_t)n * sizeof *acc);
        return;
    }
    bias = v->bias ? ((const int32_t *)v->bias)[filter] : 0;
    scale = v->x_scale * v->w_scale[v->has_filter_scale ? filter : 0] / v->y_scale;
    low = v->y_type == HE_UINT8 ? 0 : INT8_MIN;
    high = v->y_type == HE_UINT8 ? UINT8_MAX : INT8_MAX;
    for (k = 0; k < n; k++) {
        sum = (int32_t)(acc[k] + (uint32_t)bias);
        value = rintf((float)sum * scale) + (float)v->y_zero;
        value = value < high ? value : high;
        value = value > low ? value : low;
        ((uint8_t *)v->y)[at + k] = (uint8_t)(int32_t)value; /* two's complement for int8 */
    }
}

#define CONV_NAME f32
#define CONV_T float
#define CONV_WEIGHT(v, filter, weight) ((void)(filter), ((const float *)(v)->w)[weight])
#define CONV_LOAD load_f32
#define CONV_STORE store_f32
#include "conv_rows.inc"

#define CONV_NAME f64
#define CONV_T double
#define CONV_WEIGHT(v, filter, weight) ((void)(filter), ((const double *)(v)->w)[weight])
#define CONV_LOAD load_f64
#define CONV_STORE store_f64
#include "conv_rows.inc"

#define CONV_NAME bytes
#define CONV_T uint32_t
#define CONV_WEIGHT byte_weight
#define CONV_LOAD load_bytes
#define CONV_STORE store_sums
#include "conv_rows.inc"

/* --- Setting up --- */

/* Without padding and with steps and windows of one, all rows are one row. */
static void join_rows(struct cpu_window *w)
{
    int k;

    for (k = 0; k < 3; k++)
        if (w->kernel[k] != 1 || w->stride[k] != 1 || w->begin[k] != 0 || w->in[k] != w->out[k])
            return;
    w->in[2] *= w->in[0] * w->in[1];
    w->out[2] *= w->out[0] * w->out[1];
    w->in[0] = w->in[1] = w->out[0] = w->out[1] = 1;
}

static he_status open_conv(const struct cpu_call *call, const struct he_tensor *x,
                           const struct he_tensor *w, struct conv *v)
{
    const struct he_tensor *y = &call->out[0];
    int64_t groups = he_node_int(call->node, "group", 1);
    he_status status;

    *v = (struct conv){.x = x->data,
                       .w = w->data,
                       .y = y->data,
                       .x_size = cpu_element_bytes(x->dtype),
                       .x_type = x->dtype,
                       .w_type = w->dtype,
                       .y_type = y->dtype};
    status = cpu_window_read(call, x, w, y, &v->window);
    if (status != HE_OK)
        return status;
    v->batch = x->shape.dims[0];
    v->groups = groups;
    v->channels = w->shape.dims[1];
    if (groups < 1 || groups > INT32_MAX || v->channels > INT32_MAX ||
        x->shape.dims[1] != v->channels * groups || w->shape.dims[0] % groups != 0 ||
        y->shape.dims[0] != v->batch || y->shape.dims[1] != w->shape.dims[0])
        return he_error_set(HE_ERR_SHAPE,
                            "%s: %lld channels, %lld filters of %lld channels, %lld groups",
                            call->node->op, (long long)x->shape.dims[1],
                            (long long)w->shape.dims[0], (long long)v->channels, (long long)groups);
    v->filters = w->shape.dims[0] / groups;
    join_rows(&v->window);
    return HE_OK;
}

static he_status check_bias(const struct cpu_call *call, size_t k, enum he_dtype dtype,
                            struct conv *v)
{
    if (!cpu_has_input(call, k))
        return HE_OK;
    if (call->in[k].dtype != dtype || cpu_count(&call->in[k]) != v->filters * v->groups)
        return he_error_set(HE_ERR_SHAPE, "%s: the bias is not %lld of %s", call->node->op,
                            (long long)(v->filters * v->groups), he_dtype_name(dtype));
    v->bias = call->in[k].data;
    return HE_OK;
}

static void convolve(struct cpu_call *call, struct conv *v,
                     void (*rows)(void *arg, int64_t begin, int64_t end))
{
    int64_t units = v->batch * v->groups * ((v->filters + CONV_BLOCK - 1) / CONV_BLOCK) *
                    v->window.out[0] * v->window.out[1];
    const int64_t *k = v->window.kernel;
    int64_t work = v->window.out[2] * CONV_BLOCK * v->channels * k[0] * k[1] * k[2];

    if (units > 0)
        cpu_parallel(call->team, units, 65536 / (work + 1) + 1, rows, v);
}

static he_status run_conv(struct cpu_call *call)
{
    const struct he_tensor *x = &call->in[0], *w = &call->in[1];
    struct conv v;
    he_status status = open_conv(call, x, w, &v);

    if (status == HE_OK && (w->dtype != x->dtype || call->out[0].dtype != x->dtype))
        status = he_error_set(HE_ERR_SHAPE, "Conv: input, weights and output differ in type");
    if (status == HE_OK)
        status = check_bias(call, 2, x->dtype, &v);
    if (status == HE_OK)
        convolve(call, &v, x->dtype == HE_FLOAT32 ? conv_rows_f32 : conv_rows_f64);
    return status;
}

static bool is_byte(enum he_dtype dtype)
{
    return dtype == HE_INT8 || dtype == HE_UINT8;
}

/* Zero points: one for the input, one or one per filter for the weights. */
static he_status read_zeros(const struct cpu_call *call, size_t x_zero, size_t w_zero,
                            struct conv *v)
{
    const struct he_tensor *zero;

    if (!is_byte(v->x_type) || !is_byte(v->w_type))
        return he_error_set(HE_ERR_SHAPE, "%s: input %s and weights %s, expected 8-bit integers",
                            call->node->op, he_dtype_name(v->x_type), he_dtype_name(v->w_type));
    if (cpu_has_input(call, x_zero)) {
        zero = &call->in[x_zero];
        if (zero->dtype != v->x_type || cpu_count(zero) != 1)
            return he_error_set(HE_ERR_SHAPE, "%s: x_zero_point is not one %s", call->node->op,
                                he_dtype_name(v->x_type));
        v->x_zero = byte_at(v->x_type, zero->data);
    }
    if (cpu_has_input(call, w_zero)) {
        zero = &call->in[w_zero];
        v->has_filter_zero = cpu_count(zero) != 1;
        if (zero->dtype != v->w_type ||
            (v->has_filter_zero && cpu_count(zero) != v->filters * v->groups))
            return he_error_set(HE_ERR_SHAPE, "%s: w_zero_point is not one %s, or one per filter",
                                call->node->op, he_dtype_name(v->w_type));
        v->w_zero = zero->data;
    }
    return HE_OK;
}

static he_status run_conv_integer(struct cpu_call *call)
{
    struct conv v;
    he_status status = open_conv(call, &call->in[0], &call->in[1], &v);

    if (status == HE_OK)
        status = read_zeros(call, 2, 3, &v);
    if (status == HE_OK && v.y_type != HE_INT32)
        status = he_error_set(HE_ERR_SHAPE, "ConvInteger: the output is %s, expected int32",
                              he_dtype_name(v.y_type));
    if (status == HE_OK)
        convolve(call, &v, conv_rows_bytes);
    return status;
}

/* x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, B */
static he_status run_qlinear_conv(struct cpu_call *call)
{
    const struct he_tensor *in = call->in;
    struct conv v;
    he_status status = open_conv(call, &in[0], &in[3], &v);

    if (status == HE_OK)
        status = read_zeros(call, 2, 5, &v);
    if (status == HE_OK)
        status = check_bias(call, 8, HE_INT32, &v);
    if (status != HE_OK)
        return status;
    v.has_filter_scale = cpu_count(&in[4]) != 1;
    if (in[1].dtype != HE_FLOAT32 || in[4].dtype != HE_FLOAT32 || in[6].dtype != HE_FLOAT32 ||
        cpu_count(&in[1]) != 1 || cpu_count(&in[6]) != 1 ||
        (v.has_filter_scale && cpu_count(&in[4]) != v.filters * v.groups) || !is_byte(v.y_type) ||
        in[7].dtype != v.y_type || cpu_count(&in[7]) != 1)
        return he_error_set(HE_ERR_SHAPE, "QLinearConv: scales or the zero point of the output do "
                                          "not fit the input and the weights");
    v.x_scale = *(const float *)in[1].data;
    v.w_scale = in[4].data;
    v.y_scale = *(const float *)in[6].data;
    v.y_zero = byte_at(v.y_type, in[7].data);
    convolve(call, &v, conv_rows_bytes);
    return HE_OK;
}

#define BYTES (CPU_TYPE(HE_INT8) | CPU_TYPE(HE_UINT8))

static const struct cpu_kernel kernels[] = {
    {.op = "Conv", .types = CPU_FLOATS, .run = run_conv},
    CPU_WIDENED("Conv"),
    {.op = "ConvInteger", .types = BYTES, .run = run_conv_integer},
    {.op = "QLinearConv", .types = BYTES, .run = run_qlinear_conv},
};

const struct cpu_kernel_table cpu_kernels_conv = {kernels, CPU_COUNT(kernels)};
