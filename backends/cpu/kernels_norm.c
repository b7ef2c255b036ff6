/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalisations whose statistics belong to one contiguous row: LayerNormalization,
 * RMSNormalization, InstanceNormalization, GroupNormalization. Mean, then the centred second
 * moment (the row is in cache by then), then one pass that scales.
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

#include "half.h"
#include "rows.h"

struct norm_job {
    const char *in;
    char *out;
    const void *scale, *bias; /* NULL: one, zero */
    int64_t length;           /* elements of a row */
    /* Scale and bias of element i of row r: at r % row_mod * row_step + i / run. */
    int64_t run;      /* neighbouring elements that share scale and bias */
    int64_t row_mod;  /* rows until scale and bias repeat */
    int64_t row_step; /* scales per row */
    double epsilon;
    bool is_rms; /* no mean is taken off */
    void *mean, *inverse; /* optional outputs, one per row, of the input's type */
};

CPU_VECTOR static void apply_f32(float *out, const float *x, int64_t n, float mean, float inverse,
                                 const float *restrict scale, const float *restrict bias)
{
    int64_t i;

    if (bias) {
        CPU_IVDEP
        for (i = 0; i < n; i++)
            out[i] = (x[i] - mean) * inverse * scale[i] + bias[i];
    } else {
        CPU_IVDEP
        for (i = 0; i < n; i++)
            out[i] = (x[i] - mean) * inverse * scale[i];
    }
}

static void norm_f32(void *arg, int64_t begin, int64_t end)
{
    const struct norm_job *job = arg;
    const float *scale, *bias, *x;
    int64_t r, i, m, n = job->length, first;
    double mean, square, inverse;
    float *out, factor;

    for (r = begin; r < end; r++) {
        x = (const float *)job->in + r * n;
        out = (float *)job->out + r * n;
        first = r % job->row_mod * job->row_step;
        scale = job->scale ? (const float *)job->scale + first : NULL;
        bias = job->bias ? (const float *)job->bias + first : NULL;
        mean = job->is_rms ? 0 : cpu_row_sum(x, n) / (double)n;
        /* Centred on the rounded mean; what rounding left over is taken off again. */
        square = cpu_row_sum_square(x, n, (float)mean) / (double)n;
        square -= (mean - (float)mean) * (mean - (float)mean);
        inverse = 1.0 / sqrt(square + job->epsilon);
        if (job->mean)
            ((float *)job->mean)[r] = (float)mean;
        if (job->inverse)
            ((float *)job->inverse)[r] = (float)inverse;
        if (job->run == 1 && scale) {
            apply_f32(out, x, n, (float)mean, (float)inverse, scale, bias);
            continue;
        }
        for (i = 0; i < n; i += m) {
            m = n - i < job->run ? n - i : job->run;
            factor = (float)(inverse * (scale ? (double)scale[i / job->run] : 1.0));
            cpu_row_scale(out + i, x + i, m, factor,
                          (float)((bias ? (double)bias[i / job->run] : 0.0) - mean * factor));
        }
    }
}

static void norm_f64(void *arg, int64_t begin, int64_t end)
{
    const struct norm_job *job = arg;
    const double *scale, *bias, *x;
    int64_t r, i, n = job->length, first;
    double mean, square, inverse, *out;

    for (r = begin; r < end; r++) {
        x = (const double *)job->in + r * n;
        out = (double *)job->out + r * n;
        first = r % job->row_mod * job->row_step;
        scale = job->scale ? (const double *)job->scale + first : NULL;
        bias = job->bias ? (const double *)job->bias + first : NULL;
        mean = square = 0;
        for (i = 0; i < n && !job->is_rms; i++)
            mean += x[i];
        mean /= (double)n;
        for (i = 0; i < n; i++)
            square += (x[i] - mean) * (x[i] - mean);
        inverse = 1.0 / sqrt(square / (double)n + job->epsilon);
        if (job->mean)
            ((double *)job->mean)[r] = mean;
        if (job->inverse)
            ((double *)job->inverse)[r] = inverse;
        for (i = 0; i < n; i++)
            out[i] = (x[i] - mean) * inverse * (scale ? scale[i / job->run] : 1.0) +
                     (bias ? bias[i / job->run] : 0.0);
    }
}

static void run_rows(struct cpu_call *call, struct norm_job *job, int64_t rows)
{
    job->in = call->in[0].data;
    job->out = call->out[0].data;
    if (rows > 0 && job->length > 0)
        cpu_parallel(call->team, rows, CPU_GRAIN_COSTLY / (job->length + 1) + 1,
                     call->in[0].dtype == HE_FLOAT32 ? norm_f32 : norm_f64, job);
}

/* LayerNormalization and RMSNormalization: rows from the axis on. */
static he_status layer_norm_run(struct cpu_call *call)
{
    const struct he_node *node = call->node;
    const struct he_shape *shape = &call->in[0].shape;
    struct norm_job job = {.is_rms = !strcmp(node->op, "RMSNormalization"), .run = 1, .row_mod = 1};
    enum he_dtype dtype = call->in[0].dtype;
    int64_t rows, count;
    uint32_t axis;
    he_status status;
    size_t k;

    status = cpu_axis(node, he_node_int(node, "axis", -1), shape->rank, &axis);
    if (status != HE_OK)
        return status;
    rows = cpu_extent(shape, 0, axis);
    job.length = cpu_extent(shape, axis, shape->rank);
    job.epsilon = (double)he_node_float(node, "epsilon", 1e-5f);
    for (k = 1; k < 3; k++) {
        if (!cpu_has_input(call, k) || (job.is_rms && k == 2))
            continue;
        count = cpu_count(&call->in[k]);
        if (call->in[k].dtype != dtype || (count != job.length && count != 1))
            return he_error_set(HE_ERR_UNSUPPORTED,
                                "%s: input %zu has %lld elements for rows of %lld", node->op, k,
                                (long long)count, (long long)job.length);
        if (count == 1)
            job.run = job.length;
        *(k == 1 ? &job.scale : &job.bias) = call->in[k].data;
    }
    if (job.run != 1 && job.scale && job.bias &&
        cpu_count(&call->in[1]) != cpu_count(&call->in[2]))
        return he_error_set(HE_ERR_UNSUPPORTED, "%s: scale and bias of different sizes", node->op);
    for (k = 1; k < 3; k++) {
        if (!cpu_has_output(call, k))
            continue;
        if (call->out[k].dtype != dtype)
            return cpu_unsupported_type(node, call->out[k].dtype);
        *(k == 1 ? &job.mean : &job.inverse) = call->out[k].data;
    }
    run_rows(call, &job, rows);
    return HE_OK;
}

static he_status check_channels(const struct cpu_call *call, int64_t channels, int64_t groups)
{
    int64_t count;
    size_t k;

    for (k = 1; k < 3; k++) {
        if (!cpu_has_input(call, k) || call->in[k].dtype != call->in[0].dtype)
            return cpu_unsupported_type(call->node, call->in[0].dtype);
        count = cpu_count(&call->in[k]);
        if (count != channels && count != groups)
            return he_error_set(HE_ERR_SHAPE, "%s: input %zu has %lld elements for %lld channels",
                                call->node->op, k, (long long)count, (long long)channels);
    }
    if (cpu_count(&call->in[1]) != cpu_count(&call->in[2]))
        return he_error_set(HE_ERR_SHAPE, "%s: scale and bias of different sizes", call->node->op);
    return HE_OK;
}

static he_status instance_norm_run(struct cpu_call *call)
{
    const struct he_shape *shape = &call->in[0].shape;
    struct norm_job job = {.row_step = 1};
    he_status status;

    if (shape->rank < 2)
        return he_error_set(HE_ERR_SHAPE, "InstanceNormalization: an input without channels");
    status = check_channels(call, shape->dims[1], shape->dims[1]);
    if (status != HE_OK)
        return status;
    job.length = job.run = cpu_extent(shape, 2, shape->rank);
    job.row_mod = shape->dims[1];
    job.scale = call->in[1].data;
    job.bias = call->in[2].data;
    job.epsilon = (double)he_node_float(call->node, "epsilon", 1e-5f);
    run_rows(call, &job, shape->dims[0] * shape->dims[1]);
    return HE_OK;
}

/* Scale and bias are per group in opset 18, per channel from 21 on. */
static he_status group_norm_run(struct cpu_call *call)
{
    const struct he_shape *shape = &call->in[0].shape;
    int64_t groups = he_node_int(call->node, "num_groups", 0), channels, spatial;
    struct norm_job job = {0};
    he_status status;

    if (shape->rank < 2 || groups <= 0 || shape->dims[1] % groups)
        return he_error_set(HE_ERR_SHAPE, "GroupNormalization: num_groups does not divide the "
                                          "channels");
    channels = shape->dims[1];
    spatial = cpu_extent(shape, 2, shape->rank);
    status = check_channels(call, channels, groups);
    if (status != HE_OK)
        return status;
    job.length = channels / groups * spatial;
    job.row_mod = groups;
    if (cpu_count(&call->in[1]) == channels) {
        job.run = spatial;
        job.row_step = channels / groups;
    } else {
        job.run = job.length;
        job.row_step = 1;
    }
    job.scale = call->in[1].data;
    job.bias = call->in[2].data;
    job.epsilon = (double)he_node_float(call->node, "epsilon", 1e-5f);
    run_rows(call, &job, shape->dims[0] * groups);
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "LayerNormalization", .types = CPU_FLOATS, .flags = CPU_IN_PLACE,
     .run = layer_norm_run},
    CPU_WIDENED("LayerNormalization"),
    {.op = "RMSNormalization", .types = CPU_FLOATS, .flags = CPU_IN_PLACE,
     .run = layer_norm_run},
    CPU_WIDENED("RMSNormalization"),
    {.op = "InstanceNormalization", .types = CPU_FLOATS, .flags = CPU_IN_PLACE,
     .run = instance_norm_run},
    CPU_WIDENED("InstanceNormalization"),
    {.op = "GroupNormalization", .types = CPU_FLOATS, .flags = CPU_IN_PLACE,
     .run = group_norm_run},
    CPU_WIDENED("GroupNormalization"),
};

const struct cpu_kernel_table cpu_kernels_norm = {kernels, sizeof kernels / sizeof kernels[0]};
