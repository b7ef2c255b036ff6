/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax, LogSoftmax and Hardmax. Before opset 13 the input is seen as a matrix cut
 * at the axis and whole rows are normalised; from 13 on only the axis itself is. Along the
 * innermost axis rows are handled one by one, else blocks of columns together.
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

#include "fastmath.h"
#include "rows.h"

enum softmax_kind { SOFTMAX, LOG_SOFTMAX, HARDMAX };

struct softmax_job {
    enum softmax_kind kind;
    int64_t length, inner, blocks;
    const void *in;
    void *out;
};

#define COLUMNS 128

/* --- Rows --- */

static void softmax_row_f32(float *out, const float *x, int64_t n)
{
    float shift = cpu_row_max(x, n);
    double sum = cpu_row_sum_exp(x, n, shift, out);

    cpu_row_scale(out, out, n, (float)(1.0 / sum), 0.0f);
}

static void log_softmax_row_f32(float *out, const float *x, int64_t n)
{
    float shift = cpu_row_max(x, n);
    double sum = cpu_row_sum_exp(x, n, shift, NULL);

    /* Two subtractions: one with the sum of both would lose digits of large inputs. */
    cpu_row_scale(out, x, n, 1.0f, -shift);
    cpu_row_scale(out, out, n, 1.0f, -(float)log(sum));
}

static void softmax_row_f64(double *out, const double *x, int64_t n, bool is_log)
{
    double shift = -INFINITY, sum = 0;
    int64_t i;

    for (i = 0; i < n; i++)
        shift = x[i] > shift || x[i] != x[i] ? x[i] : shift;
    for (i = 0; i < n; i++)
        sum += exp(x[i] - shift);
    for (i = 0; i < n; i++)
        out[i] = is_log ? x[i] - shift - log(sum) : exp(x[i] - shift) / sum;
}

#define HARDMAX_ROW(S, T)                                                       \
    static void hardmax_##S(T *out, const T *x, int64_t n, int64_t step)        \
    {                                                                           \
        int64_t i, best = 0;                                                    \
        for (i = 1; i < n; i++) {                                               \
            if (x[i * step] > x[best * step])                                   \
                best = i;                                                       \
        }                                                                       \
        for (i = 0; i < n; i++)                                                 \
            out[i * step] = i == best;                                          \
    }
HARDMAX_ROW(f32, float)
HARDMAX_ROW(f64, double)

static void rows_f32(void *arg, int64_t begin, int64_t end)
{
    const struct softmax_job *job = arg;
    int64_t k, n = job->length;
    const float *x;
    float *out;

    for (k = begin; k < end; k++) {
        x = (const float *)job->in + k * n;
        out = (float *)job->out + k * n;
        if (job->kind == SOFTMAX)
            softmax_row_f32(out, x, n);
        else if (job->kind == LOG_SOFTMAX)
            log_softmax_row_f32(out, x, n);
        else
            hardmax_f32(out, x, n, 1);
    }
}

/* --- Columns --- */

CPU_VECTOR static void columns_max(float *restrict best, const float *restrict x, int64_t n)
{
    int64_t i;

    for (i = 0; i < n; i++)
        best[i] = x[i] > best[i] || x[i] != x[i] ? x[i] : best[i];
}

CPU_VECTOR static void columns_exp(float *out, const float *x, int64_t n,
                                   const float *restrict shift, float *restrict sum)
{
    int64_t i;

    CPU_IVDEP
    for (i = 0; i < n; i++) {
        float term = fm_exp(x[i] - shift[i]);

        out[i] = term;
        sum[i] += term;
    }
}

CPU_VECTOR static void columns_finish(float *out, const float *x, int64_t n,
                                      const float *restrict factor, const float *restrict shift)
{
    int64_t i;

    CPU_IVDEP
    for (i = 0; i < n; i++)
        out[i] = (x[i] - shift[i]) * factor[i];
}

CPU_VECTOR static void columns_subtract(float *out, const float *x, int64_t n,
                                        const float *restrict shift,
                                        const float *restrict log_sum)
{
    int64_t i;

    CPU_IVDEP
    for (i = 0; i < n; i++)
        out[i] = x[i] - shift[i] - log_sum[i];
}

static void columns_f32(void *arg, int64_t begin, int64_t end)
{
    const struct softmax_job *job = arg;
    float shift[COLUMNS], sum[COLUMNS], terms[COLUMNS];
    static const float zero[COLUMNS];
    int64_t k, first, n, i, pos, at;
    const float *x;
    float *out;

    for (k = begin; k < end; k++) {
        first = k % job->blocks * COLUMNS;
        n = job->inner - first < COLUMNS ? job->inner - first : COLUMNS;
        x = (const float *)job->in + k / job->blocks * job->length * job->inner + first;
        out = (float *)job->out + (x - (const float *)job->in);
        if (job->kind == HARDMAX) {
            for (i = 0; i < n; i++)
                hardmax_f32(out + i, x + i, job->length, job->inner);
            continue;
        }
        for (i = 0; i < n; i++) {
            shift[i] = -INFINITY;
            sum[i] = 0.0f;
        }
        for (pos = 0; pos < job->length; pos++)
            columns_max(shift, x + pos * job->inner, n);
        for (pos = 0; pos < job->length; pos++) {
            at = pos * job->inner;
            columns_exp(job->kind == SOFTMAX ? out + at : terms, x + at, n, shift, sum);
        }
        for (i = 0; i < n; i++)
            sum[i] = job->kind == SOFTMAX ? 1.0f / sum[i] : logf(sum[i]);
        for (pos = 0; pos < job->length; pos++) {
            at = pos * job->inner;
            if (job->kind == SOFTMAX)
                columns_finish(out + at, out + at, n, sum, zero);
            else
                columns_subtract(out + at, x + at, n, shift, sum);
        }
    }
}

/* --- Doubles: column by column through a buffer-free strided row --- */

static void parts_f64(void *arg, int64_t begin, int64_t end)
{
    const struct softmax_job *job = arg;
    int64_t k, i, base, n = job->length, step = job->inner;
    double shift, sum;
    const double *x;
    double *out;

    for (k = begin; k < end; k++) {
        base = k / step * n * step + k % step;
        x = (const double *)job->in + base;
        out = (double *)job->out + base;
        if (job->kind == HARDMAX) {
            hardmax_f64(out, x, n, step);
            continue;
        }
        if (step == 1) {
            softmax_row_f64(out, x, n, job->kind == LOG_SOFTMAX);
            continue;
        }
        shift = -INFINITY;
        sum = 0;
        for (i = 0; i < n; i++)
            shift = x[i * step] > shift || x[i * step] != x[i * step] ? x[i * step] : shift;
        for (i = 0; i < n; i++)
            sum += exp(x[i * step] - shift);
        for (i = 0; i < n; i++)
            out[i * step] = job->kind == SOFTMAX ? exp(x[i * step] - shift) / sum
                                                 : x[i * step] - shift - log(sum);
    }
}

static he_status softmax_run(struct cpu_call *call)
{
    const struct he_node *node = call->node;
    const struct he_shape *shape = &call->in[0].shape;
    bool is_flat = node->opset < 13;
    struct softmax_job job = {.in = call->in[0].data, .out = call->out[0].data};
    int64_t code = he_node_int(node, "axis", is_flat ? 1 : -1), outer, units, work;
    uint32_t axis = 0;
    he_status status;

    job.kind = !strcmp(node->op, "Softmax")      ? SOFTMAX
               : !strcmp(node->op, "LogSoftmax") ? LOG_SOFTMAX
                                                 : HARDMAX;
    if (shape->rank == 0) {
        outer = job.length = job.inner = 1;
    } else if (is_flat && code == (int64_t)shape->rank) {
        outer = cpu_extent(shape, 0, shape->rank); /* the cut after the last axis */
        job.length = job.inner = 1;
    } else {
        status = cpu_axis(node, code, shape->rank, &axis);
        if (status != HE_OK)
            return status;
        outer = cpu_extent(shape, 0, axis);
        job.length = is_flat ? cpu_extent(shape, axis, shape->rank) : shape->dims[axis];
        job.inner = is_flat ? 1 : cpu_extent(shape, axis + 1, shape->rank);
    }
    if (outer * job.inner * job.length <= 0)
        return HE_OK;
    if (call->in[0].dtype == HE_FLOAT64) {
        cpu_parallel(call->team, outer * job.inner, CPU_GRAIN_COSTLY / (job.length + 1) + 1,
                     parts_f64, &job);
        return HE_OK;
    }
    if (job.inner == 1) {
        cpu_parallel(call->team, outer, CPU_GRAIN_COSTLY / (job.length + 1) + 1, rows_f32, &job);
        return HE_OK;
    }
    job.blocks = (job.inner + COLUMNS - 1) / COLUMNS;
    units = outer * job.blocks;
    work = job.length * (job.inner < COLUMNS ? job.inner : COLUMNS);
    cpu_parallel(call->team, units, CPU_GRAIN_COSTLY / (work + 1) + 1, columns_f32, &job);
    return HE_OK;
}

#define ROW(name)                                                                         \
    {.op = name, .types = CPU_FLOATS, .flags = CPU_IN_PLACE, .run = softmax_run}, \
        CPU_WIDENED(name)

static const struct cpu_kernel kernels[] = {
    ROW("Softmax"),
    ROW("LogSoftmax"),
    {.op = "Hardmax", .types = CPU_FLOATS, .run = softmax_run},
    CPU_WIDENED("Hardmax"),
};

const struct cpu_kernel_table cpu_kernels_softmax = {kernels, sizeof kernels / sizeof kernels[0]};
