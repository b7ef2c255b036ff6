/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MatMulInteger and QLinearMatMul: products of 8-bit matrices into 32 bits. With a' = a - za,
 * sum a' (b - zb) is sum a' b less zb times the sum of a's row, so that zero points
 * of b stay out of the innermost loop.
 */
#include "matmul.h"

#include <string.h>

#include "half.h"
#include "quant.h"

struct int_job {
    const struct cpu_matmul *mm;
    const struct he_tensor *a, *b;
    const struct he_tensor *a_zero, *b_zero; /* NULL: 0 */
    int32_t *sums; /* the output of MatMulInteger, scratch of QLinearMatMul */
    /* QLinearMatMul only. */
    const struct he_tensor *a_scale, *b_scale;
    struct he_tensor *out;
    float y_scale;
    int32_t y_zero;
};

CPU_VECTOR static void add_row_u8(int32_t *restrict c, const uint8_t *restrict b, int64_t n,
                                  int32_t a)
{
    int64_t j;

    for (j = 0; j < n; j++)
        c[j] += a * b[j];
}

CPU_VECTOR static void add_row_i8(int32_t *restrict c, const int8_t *restrict b, int64_t n,
                                  int32_t a)
{
    int64_t j;

    for (j = 0; j < n; j++)
        c[j] += a * b[j];
}

/* A scale or zero point: one for all, or one per row or column. */
static int64_t pick(const struct he_tensor *tensor, int64_t k)
{
    return cpu_count(tensor) == 1 ? 0 : k;
}

static void requantize(const struct int_job *job, int64_t i, int64_t row)
{
    int64_t n = job->mm->n, j;
    const int32_t *sums = job->sums + row * n;
    float a_scale = (float)cpu_get_double(job->a_scale, pick(job->a_scale, i)), scale;
    bool is_signed = job->out->dtype == HE_INT8;
    int32_t low = is_signed ? -128 : 0, high = low + 255;
    uint8_t *out = (uint8_t *)job->out->data + row * n;

    for (j = 0; j < n; j++) {
        scale = a_scale * (float)cpu_get_double(job->b_scale, pick(job->b_scale, j)) /
                job->y_scale;
        out[j] = (uint8_t)cpu_quantize((float)sums[j] * scale, job->y_zero, low, high);
    }
}

static void int_rows(void *arg, int64_t begin, int64_t end)
{
    const struct int_job *job = arg;
    const struct cpu_matmul *mm = job->mm;
    int64_t row, i, j, p, at_a, at_b;
    int32_t *sums, a_zero, a, total;

    for (row = begin; row < end; row++) {
        i = row % mm->m;
        cpu_matmul_offsets(mm, row / mm->m, &at_a, &at_b);
        sums = job->sums + row * mm->n;
        memset(sums, 0, (size_t)mm->n * sizeof *sums);
        a_zero = job->a_zero ? (int32_t)cpu_get_int(job->a_zero, pick(job->a_zero, i)) : 0;
        total = 0;
        for (p = 0; p < mm->k; p++) {
            a = (int32_t)cpu_get_int(job->a, at_a + i * mm->k + p) - a_zero;
            total += a;
            if (a == 0)
                continue;
            if (job->b->dtype == HE_INT8)
                add_row_i8(sums, (const int8_t *)job->b->data + at_b + p * mm->n, mm->n, a);
            else
                add_row_u8(sums, (const uint8_t *)job->b->data + at_b + p * mm->n, mm->n, a);
        }
        for (j = 0; job->b_zero && j < mm->n; j++)
            sums[j] -= total * (int32_t)cpu_get_int(job->b_zero, pick(job->b_zero, j));
        if (job->out)
            requantize(job, i, row);
    }
}

static bool is_byte(const struct he_tensor *tensor)
{
    return tensor->dtype == HE_UINT8 || tensor->dtype == HE_INT8;
}

/* One number, or one per row (column) of matrices that all share them. */
static he_status check_count(const struct cpu_call *call, size_t input, int64_t size)
{
    int64_t count = cpu_count(&call->in[input]);

    if (count == 1 || count == size)
        return HE_OK;
    return he_error_set(HE_ERR_UNSUPPORTED, "%s: input %zu has %lld elements for %lld rows",
                        call->node->op, input, (long long)count, (long long)size);
}

static he_status run_rows(struct cpu_call *call, struct cpu_matmul *mm, struct int_job *job)
{
    int64_t rows = mm->batches * mm->m;

    job->mm = mm;
    if (!is_byte(job->a) || !is_byte(job->b))
        return cpu_unsupported_type(call->node, job->a->dtype);
    if (rows > 0)
        cpu_parallel(call->team, rows, 32768 / (mm->n * mm->k + 1) + 1, int_rows, job);
    return HE_OK;
}

static he_status matmul_integer_run(struct cpu_call *call)
{
    struct int_job job = {.a = &call->in[0], .b = &call->in[1], .sums = call->out[0].data};
    struct cpu_matmul mm;
    he_status status = cpu_matmul_init(&mm, call->node, &job.a->shape, &job.b->shape);

    if (status == HE_OK && cpu_has_input(call, 2)) {
        job.a_zero = &call->in[2];
        status = check_count(call, 2, mm.m);
    }
    if (status == HE_OK && cpu_has_input(call, 3)) {
        job.b_zero = &call->in[3];
        status = check_count(call, 3, mm.n);
    }
    return status == HE_OK ? run_rows(call, &mm, &job) : status;
}

/* Inputs: a, its scale and zero point, b, its scale and zero point, the output's. */
static size_t qlinear_scratch(const struct he_node *node, const struct he_tensor *in,
                              size_t in_count, const struct he_tensor *out, size_t out_count)
{
    (void)node, (void)in, (void)in_count;
    return out_count ? (size_t)he_shape_count(&out[0].shape) * sizeof(int32_t) : 0;
}

static he_status qlinear_matmul_run(struct cpu_call *call)
{
    struct int_job job;
    struct cpu_matmul mm;
    he_status status;
    size_t k;

    for (k = 0; k < 8; k++) {
        if (!cpu_has_input(call, k))
            return he_error_set(HE_ERR_SHAPE, "QLinearMatMul: input %zu is missing", k);
    }
    if (cpu_count(&call->in[6]) != 1 || cpu_count(&call->in[7]) != 1 || !is_byte(&call->out[0]))
        return he_error_set(HE_ERR_UNSUPPORTED, "QLinearMatMul: one scale for an 8-bit output only");
    job = (struct int_job){
        .a = &call->in[0],
        .a_scale = &call->in[1],
        .a_zero = &call->in[2],
        .b = &call->in[3],
        .b_scale = &call->in[4],
        .b_zero = &call->in[5],
        .y_scale = (float)cpu_get_double(&call->in[6], 0),
        .y_zero = (int32_t)cpu_get_int(&call->in[7], 0),
        .out = &call->out[0],
        .sums = call->scratch,
    };
    status = cpu_matmul_init(&mm, call->node, &job.a->shape, &job.b->shape);
    for (k = 1; k < 6 && status == HE_OK; k++) {
        if (k != 3)
            status = check_count(call, k, k < 3 ? mm.m : mm.n);
    }
    return status == HE_OK ? run_rows(call, &mm, &job) : status;
}

#define BYTES (CPU_TYPE(HE_UINT8) | CPU_TYPE(HE_INT8))

static const struct cpu_kernel kernels[] = {
    {.op = "MatMulInteger", .types = BYTES, .run = matmul_integer_run},
    {.op = "QLinearMatMul", .types = BYTES, .run = qlinear_matmul_run, .scratch = qlinear_scratch},
};

const struct cpu_kernel_table cpu_kernels_matint = {kernels, sizeof kernels / sizeof kernels[0]};
