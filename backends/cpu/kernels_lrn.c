/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalisations that are not about one contiguous row: LRN (a window over channels),
 * LpNormalization (one axis), MeanVarianceNormalization (any axes).
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

#include "fastmath.h"

/* --- LRN: x / (bias + alpha / size * sum of squares over a window of channels) ^ beta --- */

struct lrn_job {
    const float *in;
    float *out;
    int64_t channels, spatial, blocks;
    int64_t before, after; /* channels of the window before and after its own */
    float alpha, beta, bias;
};

#define BLOCK 256

CPU_VECTOR static void add_squares(float *restrict sum, const float *restrict x, int64_t n)
{
    int64_t i;

    for (i = 0; i < n; i++)
        sum[i] += x[i] * x[i];
}

CPU_VECTOR static void lrn_finish(float *out, const float *x, const float *restrict sum, int64_t n,
                                  const struct lrn_job *job)
{
    const float alpha = job->alpha, beta = job->beta, bias = job->bias;
    int64_t i;

    if (beta == 0.75f) {
        CPU_IVDEP
        for (i = 0; i < n; i++) {
            float root = sqrtf(bias + alpha * sum[i]);

            out[i] = x[i] / (root * sqrtf(root));
        }
    } else {
        for (i = 0; i < n; i++)
            out[i] = x[i] / powf(bias + alpha * sum[i], beta);
    }
}

static void lrn_part(void *arg, int64_t begin, int64_t end)
{
    const struct lrn_job *job = arg;
    int64_t k, c, w, first, last, at, n, image;
    float sum[BLOCK];

    for (k = begin; k < end; k++) {
        image = k / job->blocks * job->channels * job->spatial;
        at = k % job->blocks * BLOCK;
        n = job->spatial - at < BLOCK ? job->spatial - at : BLOCK;
        for (c = 0; c < job->channels; c++) {
            first = c - job->before < 0 ? 0 : c - job->before;
            last = c + job->after >= job->channels ? job->channels - 1 : c + job->after;
            memset(sum, 0, sizeof sum);
            for (w = first; w <= last; w++)
                add_squares(sum, job->in + image + w * job->spatial + at, n);
            lrn_finish(job->out + image + c * job->spatial + at,
                       job->in + image + c * job->spatial + at, sum, n, job);
        }
    }
}

static he_status lrn_run(struct cpu_call *call)
{
    const struct he_node *node = call->node;
    const struct he_shape *shape = &call->in[0].shape;
    struct lrn_job job = {.in = call->in[0].data, .out = call->out[0].data};
    int64_t size = he_node_int(node, "size", 1), units;

    if (shape->rank < 2 || size < 1)
        return he_error_set(HE_ERR_SHAPE, "LRN: a window of %lld over an input of rank %u",
                            (long long)size, shape->rank);
    job.channels = shape->dims[1];
    job.spatial = cpu_extent(shape, 2, shape->rank);
    job.before = (size - 1) / 2;
    job.after = size - 1 - job.before;
    job.alpha = he_node_float(node, "alpha", 1e-4f) / (float)size;
    job.beta = he_node_float(node, "beta", 0.75f);
    job.bias = he_node_float(node, "bias", 1.0f);
    job.blocks = (job.spatial + BLOCK - 1) / BLOCK;
    units = shape->dims[0] * job.blocks;
    if (units > 0)
        cpu_parallel(call->team, units, CPU_GRAIN_COSTLY / (BLOCK * job.channels + 1) + 1,
                     lrn_part, &job);
    return HE_OK;
}

/* --- LpNormalization --- */

struct lp_job {
    const struct he_tensor *in;
    struct he_tensor *out;
    int64_t length, inner, p;
};

static void put_double(struct he_tensor *tensor, int64_t k, double x)
{
    if (tensor->dtype == HE_FLOAT32)
        ((float *)tensor->data)[k] = (float)x;
    else
        ((double *)tensor->data)[k] = x;
}

static void lp_part(void *arg, int64_t begin, int64_t end)
{
    const struct lp_job *job = arg;
    int64_t k, i, base;
    double norm, x;

    for (k = begin; k < end; k++) {
        base = k / job->inner * job->length * job->inner + k % job->inner;
        norm = 0;
        for (i = 0; i < job->length; i++) {
            x = cpu_get_double(job->in, base + i * job->inner);
            norm += job->p == 1 ? fabs(x) : x * x;
        }
        norm = job->p == 1 ? norm : sqrt(norm);
        for (i = 0; i < job->length; i++) {
            x = cpu_get_double(job->in, base + i * job->inner);
            /* All zeros stay zeros. */
            put_double(job->out, base + i * job->inner, norm == 0 ? 0 : x / norm);
        }
    }
}

static he_status lp_run(struct cpu_call *call)
{
    const struct he_shape *shape = &call->in[0].shape;
    struct lp_job job = {&call->in[0], &call->out[0], 0, 0, he_node_int(call->node, "p", 2)};
    int64_t units;
    uint32_t axis;
    he_status status;

    if (job.p != 1 && job.p != 2)
        return he_error_set(HE_ERR_UNSUPPORTED, "LpNormalization: p = %lld is neither 1 nor 2",
                            (long long)job.p);
    status = cpu_axis(call->node, he_node_int(call->node, "axis", -1), shape->rank, &axis);
    if (status != HE_OK)
        return status;
    job.length = shape->dims[axis];
    job.inner = cpu_extent(shape, axis + 1, shape->rank);
    units = cpu_extent(shape, 0, axis) * job.inner;
    if (units > 0)
        cpu_parallel(call->team, units, CPU_GRAIN_COSTLY / (job.length + 1) + 1, lp_part, &job);
    return HE_OK;
}

/* --- MeanVarianceNormalization --- */

struct mvn_job {
    const struct he_tensor *in;
    struct he_tensor *out;
    double *means, *squares; /* per kept index */
    int pass;                /* 0: sums, 1: squares of what is left, 2: the result */
};

static void mvn_runs(void *arg, int64_t at, const int64_t *offsets, int64_t n,
                     const int64_t *steps)
{
    const struct mvn_job *job = arg;
    int64_t i, k = offsets[0];
    double x;

    for (i = 0; i < n; i++, k += steps[0]) {
        x = cpu_get_double(job->in, at + i);
        if (job->pass == 0)
            job->means[k] += x;
        else if (job->pass == 1)
            job->squares[k] += (x - job->means[k]) * (x - job->means[k]);
        else
            put_double(job->out, at + i, (x - job->means[k]) * job->squares[k]);
    }
}

/* The input's shape with the normalised axes as 1. */
static he_status mvn_kept(const struct he_node *node, const struct he_shape *shape,
                          struct he_shape *kept)
{
    static const int64_t usual[] = {0, 2, 3};
    const int64_t *axes;
    size_t count = he_node_ints(node, "axes", &axes), k;
    uint32_t axis;
    he_status status;

    if (!count) {
        axes = usual;
        count = 3;
    }
    *kept = *shape;
    for (k = 0; k < count; k++) {
        status = cpu_axis(node, axes[k], shape->rank, &axis);
        if (status != HE_OK)
            return status;
        kept->dims[axis] = 1;
    }
    return HE_OK;
}

static size_t mvn_scratch(const struct he_node *node, const struct he_tensor *in, size_t in_count,
                          const struct he_tensor *out, size_t out_count)
{
    struct he_shape kept;

    (void)out, (void)out_count;
    if (!in_count || mvn_kept(node, &in[0].shape, &kept) != HE_OK)
        return 0;
    return (size_t)he_shape_count(&kept) * 2 * sizeof(double);
}

static he_status mvn_run(struct cpu_call *call)
{
    struct mvn_job job = {.in = &call->in[0], .out = &call->out[0]};
    const struct he_shape *operands[1];
    struct he_shape kept;
    struct cpu_walk walk;
    int64_t kept_count, count = cpu_count(&call->in[0]), k;
    he_status status = mvn_kept(call->node, &call->in[0].shape, &kept);

    if (status != HE_OK)
        return status;
    operands[0] = &kept;
    status = cpu_walk_init(&walk, &call->in[0].shape, operands, 1, call->node);
    if (status != HE_OK || count <= 0)
        return status;
    kept_count = he_shape_count(&kept);
    job.means = call->scratch;
    job.squares = job.means + kept_count;
    memset(job.means, 0, (size_t)kept_count * 2 * sizeof(double));
    /* Sums of one index come from everywhere: the first two passes are not split. */
    cpu_walk_run(&walk, NULL, CPU_GRAIN_CHEAP, mvn_runs, &job);
    for (k = 0; k < kept_count; k++)
        job.means[k] *= (double)kept_count / (double)count;
    job.pass = 1;
    cpu_walk_run(&walk, NULL, CPU_GRAIN_CHEAP, mvn_runs, &job);
    for (k = 0; k < kept_count; k++)
        job.squares[k] =
            1.0 / (sqrt(job.squares[k] * (double)kept_count / (double)count) + 1e-9);
    job.pass = 2;
    cpu_walk_run(&walk, call->team, CPU_GRAIN_CHEAP, mvn_runs, &job);
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "LRN", .types = CPU_TYPE(HE_FLOAT32), .run = lrn_run},
    CPU_WIDENED("LRN"),
    {.op = "LpNormalization", .types = CPU_FLOATS, .run = lp_run},
    CPU_WIDENED("LpNormalization"),
    {.op = "MeanVarianceNormalization", .types = CPU_FLOATS, .run = mvn_run,
     .scratch = mvn_scratch},
    CPU_WIDENED("MeanVarianceNormalization"),
};

const struct cpu_kernel_table cpu_kernels_lrn = {kernels, sizeof kernels / sizeof kernels[0]};
