/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BatchNormalization: at inference one factor and one offset per channel; in training
 * mode the statistics of the batch itself, and the running ones as outputs 1 and 2.
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

#include "rows.h"

struct batch_job {
    const void *in;
    void *out;
    int64_t channels, spatial;
    const double *factors, *offsets; /* per channel */
};

static void batch_f32(void *arg, int64_t begin, int64_t end)
{
    const struct batch_job *job = arg;
    int64_t k, c, n = job->spatial;

    for (k = begin; k < end; k++) {
        c = k % job->channels;
        cpu_row_scale((float *)job->out + k * n, (const float *)job->in + k * n, n,
                      (float)job->factors[c], (float)job->offsets[c]);
    }
}

static void batch_f64(void *arg, int64_t begin, int64_t end)
{
    const struct batch_job *job = arg;
    int64_t k, i, c, n = job->spatial;

    for (k = begin; k < end; k++) {
        c = k % job->channels;
        for (i = k * n; i < (k + 1) * n; i++)
            ((double *)job->out)[i] =
                ((const double *)job->in)[i] * job->factors[c] + job->offsets[c];
    }
}

/* Mean and (population) variance of every channel over batch and space. */
static void batch_statistics(const struct he_tensor *x, const struct batch_job *job,
                             int64_t batches, double *means, double *variances)
{
    int64_t b, c, i, at, count = batches * job->spatial;
    double sum, d;

    for (c = 0; c < job->channels; c++) {
        sum = 0;
        for (b = 0; b < batches; b++) {
            at = (b * job->channels + c) * job->spatial;
            for (i = 0; i < job->spatial; i++)
                sum += cpu_get_double(x, at + i);
        }
        means[c] = count ? sum / (double)count : 0;
        sum = 0;
        for (b = 0; b < batches; b++) {
            at = (b * job->channels + c) * job->spatial;
            for (i = 0; i < job->spatial; i++) {
                d = cpu_get_double(x, at + i) - means[c];
                sum += d * d;
            }
        }
        variances[c] = count ? sum / (double)count : 0;
    }
}

static void store(struct he_tensor *tensor, int64_t k, double x)
{
    if (tensor->dtype == HE_FLOAT32)
        ((float *)tensor->data)[k] = (float)x;
    else
        ((double *)tensor->data)[k] = x;
}

static int64_t channel_count(const struct he_tensor *x)
{
    return x->shape.rank >= 2 ? x->shape.dims[1] : 1;
}

/* Factors, offsets, means, variances. */
static size_t batch_scratch(const struct he_node *node, const struct he_tensor *in,
                            size_t in_count, const struct he_tensor *out, size_t out_count)
{
    (void)node, (void)out, (void)out_count;
    return in_count ? (size_t)channel_count(&in[0]) * 4 * sizeof(double) : 0;
}

static he_status batch_run(struct cpu_call *call)
{
    const struct he_node *node = call->node;
    const struct he_tensor *x = &call->in[0];
    struct batch_job job = {.in = x->data, .out = call->out[0].data};
    double *factors = call->scratch, *offsets, *means, *variances;
    double epsilon = (double)he_node_float(node, "epsilon", 1e-5f);
    double momentum = (double)he_node_float(node, "momentum", 0.9f);
    bool is_training = node->opset >= 14 && he_node_int(node, "training_mode", 0);
    int64_t batches = x->shape.rank ? x->shape.dims[0] : 1, c;
    size_t k;

    if (node->opset < 9 && !he_node_int(node, "spatial", 1))
        return he_error_set(HE_ERR_UNSUPPORTED, "BatchNormalization: spatial = 0");
    if (!is_training && (cpu_has_output(call, 1) || cpu_has_output(call, 2)))
        return he_error_set(HE_ERR_UNSUPPORTED,
                            "BatchNormalization: training outputs are computed from opset 14 on");
    job.channels = channel_count(x);
    job.spatial = cpu_extent(&x->shape, 2, x->shape.rank > 2 ? x->shape.rank : 2);
    for (k = 1; k < 5; k++) {
        if (!cpu_has_input(call, k) || cpu_count(&call->in[k]) != job.channels)
            return he_error_set(HE_ERR_SHAPE,
                                "BatchNormalization: input %zu is not one number per channel", k);
    }
    offsets = factors + job.channels;
    means = offsets + job.channels;
    variances = means + job.channels;
    if (is_training)
        batch_statistics(x, &job, batches, means, variances);
    for (c = 0; c < job.channels; c++) {
        double old_mean = cpu_get_double(&call->in[3], c);
        double old_variance = cpu_get_double(&call->in[4], c);

        if (!is_training) {
            means[c] = old_mean;
            variances[c] = old_variance;
        }
        if (cpu_has_output(call, 1))
            store(&call->out[1], c, old_mean * momentum + means[c] * (1 - momentum));
        if (cpu_has_output(call, 2))
            store(&call->out[2], c, old_variance * momentum + variances[c] * (1 - momentum));
        factors[c] = cpu_get_double(&call->in[1], c) / sqrt(variances[c] + epsilon);
        offsets[c] = cpu_get_double(&call->in[2], c) - means[c] * factors[c];
    }
    job.factors = factors;
    job.offsets = offsets;
    if (batches * job.channels > 0 && job.spatial > 0)
        cpu_parallel(call->team, batches * job.channels, CPU_GRAIN_CHEAP / (job.spatial + 1) + 1,
                     x->dtype == HE_FLOAT32 ? batch_f32 : batch_f64, &job);
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "BatchNormalization", .types = CPU_FLOATS, .flags = CPU_IN_PLACE, .run = batch_run,
     .scratch = batch_scratch},
    CPU_WIDENED("BatchNormalization"),
};

const struct cpu_kernel_table cpu_kernels_batchnorm = {kernels,
                                                       sizeof kernels / sizeof kernels[0]};
