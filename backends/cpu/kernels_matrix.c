/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MatMul, Gemm and Det. Floats go through gemm.c; double and integers through a plain product
 * whose innermost loop runs along the row of the result.
 */
#include "matmul.h"

#include <math.h>
#include <string.h>

#include "gemm.h"
#include "half.h"

/* --- Shapes --- */

he_status cpu_matmul_init(struct cpu_matmul *mm, const struct he_node *node,
                          const struct he_shape *a_shape, const struct he_shape *b_shape)
{
    struct he_shape a = *a_shape, b = *b_shape;
    int64_t a_stride, b_stride, size_a, size_b;
    uint32_t rank, d;

    if (a.rank == 0 || b.rank == 0)
        return he_error_set(HE_ERR_SHAPE, "%s: a scalar input", node->op);
    if (a.rank == 1) {
        a.dims[1] = a.dims[0];
        a.dims[0] = 1;
        a.rank = 2;
    }
    if (b.rank == 1) {
        b.dims[1] = 1;
        b.rank = 2;
    }
    *mm = (struct cpu_matmul){.batches = 1};
    mm->m = a.dims[a.rank - 2];
    mm->k = a.dims[a.rank - 1];
    mm->n = b.dims[b.rank - 1];
    if (b.dims[b.rank - 2] != mm->k)
        return he_error_set(HE_ERR_SHAPE, "%s: inner sizes %lld and %lld differ", node->op,
                            (long long)mm->k, (long long)b.dims[b.rank - 2]);
    rank = (a.rank > b.rank ? a.rank : b.rank) - 2;
    mm->batch.rank = rank;
    a_stride = mm->m * mm->k;
    b_stride = mm->k * mm->n;
    mm->b_is_shared = true;
    for (d = rank; d-- > 0;) {
        size_a = rank - d <= a.rank - 2 ? a.dims[a.rank - 2 - (rank - d)] : 1;
        size_b = rank - d <= b.rank - 2 ? b.dims[b.rank - 2 - (rank - d)] : 1;
        if (size_a != size_b && size_a != 1 && size_b != 1)
            return he_error_set(HE_ERR_SHAPE, "%s: batches do not broadcast", node->op);
        mm->batch.dims[d] = size_a == 1 ? size_b : size_a;
        mm->a_step[d] = size_a == 1 ? 0 : a_stride;
        mm->b_step[d] = size_b == 1 ? 0 : b_stride;
        if (mm->batch.dims[d] != 1 && (size_a == 1 || size_b != 1))
            mm->b_is_shared = false;
        a_stride *= size_a;
        b_stride *= size_b;
        mm->batches *= mm->batch.dims[d];
    }
    return HE_OK;
}

void cpu_matmul_offsets(const struct cpu_matmul *mm, int64_t index, int64_t *a, int64_t *b)
{
    uint32_t d;

    *a = *b = 0;
    for (d = mm->batch.rank; d-- > 0;) {
        *a += index % mm->batch.dims[d] * mm->a_step[d];
        *b += index % mm->batch.dims[d] * mm->b_step[d];
        index /= mm->batch.dims[d];
    }
}

/* --- The plain product: c = alpha * a * b, element (i, j) of a and b by two steps --- */

struct plain_job {
    int64_t m, n, k;
    const void *a, *b;
    void *c;
    int64_t a_row, a_column, b_row, b_column;
};

/* Integers wrap: U is the type multiplied and added in. Rows [begin, end) of c. */
#define PLAIN(S, T, U)                                                          \
    CPU_VECTOR static void plain_##S(void *arg, int64_t begin, int64_t end)     \
    {                                                                           \
        const struct plain_job *job = arg;                                      \
        int64_t i, j, p;                                                        \
        for (i = begin; i < end; i++) {                                         \
            T *restrict c = (T *)job->c + i * job->n;                           \
            memset(c, 0, (size_t)job->n * sizeof(T));                           \
            for (p = 0; p < job->k; p++) {                                      \
                const U x = (U)((const T *)job->a)[i * job->a_row + p * job->a_column]; \
                const T *restrict b = (const T *)job->b + p * job->b_row;       \
                if (job->b_column == 1) {                                       \
                    for (j = 0; j < job->n; j++)                                \
                        c[j] = (T)((U)c[j] + x * (U)b[j]);                      \
                } else {                                                        \
                    for (j = 0; j < job->n; j++)                                \
                        c[j] = (T)((U)c[j] + x * (U)b[j * job->b_column]);      \
                }                                                               \
            }                                                                   \
        }                                                                       \
    }
PLAIN(f64, double, double)
PLAIN(i32, int32_t, uint32_t)
PLAIN(i64, int64_t, uint64_t)

static void plain_product(struct cpu_team *team, enum he_dtype dtype, struct plain_job *job)
{
    void (*part)(void *, int64_t, int64_t) = dtype == HE_FLOAT64 ? plain_f64
                                             : dtype == HE_INT32 || dtype == HE_UINT32 ? plain_i32
                                                                                       : plain_i64;

    if (job->m > 0 && job->n > 0)
        cpu_parallel(team, job->m, 65536 / (job->n * job->k + 1) + 1, part, job);
}

/* --- MatMul --- */

static size_t matmul_scratch(const struct he_node *node, const struct he_tensor *in,
                             size_t in_count, const struct he_tensor *out, size_t out_count)
{
    struct cpu_matmul mm;

    (void)out, (void)out_count;
    if (in_count < 2 || in[0].dtype != HE_FLOAT32 ||
        cpu_matmul_init(&mm, node, &in[0].shape, &in[1].shape) != HE_OK)
        return 0;
    return cpu_gemm_scratch(mm.b_is_shared ? mm.m * mm.batches : mm.m, mm.n, mm.k);
}

static he_status matmul_run(struct cpu_call *call)
{
    const struct he_tensor *a = &call->in[0], *b = &call->in[1];
    size_t size = he_dtype_bits(a->dtype) / 8;
    struct cpu_matmul mm;
    int64_t index, at_a, at_b;
    he_status status;

    if (call->in_count < 2 || b->dtype != a->dtype)
        return cpu_unsupported_type(call->node, a->dtype);
    status = cpu_matmul_init(&mm, call->node, &a->shape, &b->shape);
    if (status != HE_OK)
        return status;
    if (mm.b_is_shared) {
        mm.m *= mm.batches;
        mm.batches = 1;
        mm.batch.rank = 0;
    }
    for (index = 0; index < mm.batches; index++) {
        cpu_matmul_offsets(&mm, index, &at_a, &at_b);
        if (a->dtype == HE_FLOAT32) {
            struct cpu_matrix ma = {(const float *)a->data + at_a, mm.k, 1};
            struct cpu_matrix mb = {(const float *)b->data + at_b, mm.n, 1};

            cpu_gemm_f32(call->team, mm.m, mm.n, mm.k, ma, mb,
                         (float *)call->out[0].data + index * mm.m * mm.n, mm.n, false,
                         call->scratch);
        } else {
            struct plain_job job = {
                mm.m, mm.n, mm.k,
                (const char *)a->data + (size_t)at_a * size,
                (const char *)b->data + (size_t)at_b * size,
                (char *)call->out[0].data + (size_t)(index * mm.m * mm.n) * size,
                mm.k, 1, mm.n, 1,
            };

            plain_product(call->team, a->dtype, &job);
        }
    }
    return HE_OK;
}

/* --- Gemm --- */

struct gemm_sizes {
    int64_t m, n, k;
    bool a_is_turned, b_is_turned;
};

static he_status gemm_sizes(const struct he_node *node, const struct he_tensor *in,
                            size_t in_count, struct gemm_sizes *s)
{
    const struct he_shape *a = &in[0].shape, *b = &in[1].shape;

    *s = (struct gemm_sizes){0};
    if (in_count < 2 || a->rank != 2 || b->rank != 2)
        return he_error_set(HE_ERR_SHAPE, "Gemm: inputs 0 and 1 must be matrices");
    s->a_is_turned = he_node_int(node, "transA", 0) != 0;
    s->b_is_turned = he_node_int(node, "transB", 0) != 0;
    s->m = a->dims[s->a_is_turned];
    s->k = a->dims[!s->a_is_turned];
    s->n = b->dims[!s->b_is_turned];
    if (b->dims[s->b_is_turned] != s->k)
        return he_error_set(HE_ERR_SHAPE, "Gemm: inner sizes %lld and %lld differ",
                            (long long)s->k, (long long)b->dims[s->b_is_turned]);
    return HE_OK;
}

static size_t gemm_scratch(const struct he_node *node, const struct he_tensor *in, size_t in_count,
                           const struct he_tensor *out, size_t out_count)
{
    struct gemm_sizes s;

    (void)out, (void)out_count;
    if (in_count < 2 || in[0].dtype != HE_FLOAT32 || gemm_sizes(node, in, in_count, &s) != HE_OK)
        return 0;
    return cpu_gemm_scratch(s.m, s.n, s.k);
}

/* out = alpha * out + beta * c, c broadcast. */
struct blend_job {
    void *out;
    const void *c;
    float alpha, beta;
    enum he_dtype dtype;
};

#define BLEND(T, U, SCALE)                                                                    \
    {                                                                                         \
        T *out = (T *)job->out + at;                                                          \
        const T *c = job->c ? (const T *)job->c + offsets[0] : NULL;                          \
        for (i = 0; i < n; i++)                                                               \
            out[i] = (T)((U)(SCALE)job->alpha * (U)out[i] +                                   \
                         (c ? (U)(SCALE)job->beta * (U)c[i * steps[0]] : (U)0));              \
        break;                                                                                \
    }

static void blend_run(void *arg, int64_t at, const int64_t *offsets, int64_t n,
                      const int64_t *steps)
{
    const struct blend_job *job = arg;
    int64_t i;

    switch (job->dtype) {
    case HE_FLOAT32:
        BLEND(float, float, float)
    case HE_FLOAT64:
        BLEND(double, double, double)
    case HE_INT32:
    case HE_UINT32:
        BLEND(uint32_t, uint32_t, int32_t)
    default:
        BLEND(uint64_t, uint64_t, int64_t)
    }
}

static he_status gemm_run(struct cpu_call *call)
{
    const struct he_node *node = call->node;
    const struct he_tensor *a = &call->in[0], *b = &call->in[1];
    struct blend_job blend = {.out = call->out[0].data, .dtype = a->dtype};
    const struct he_shape *operands[1] = {&call->out[0].shape};
    struct cpu_walk walk;
    struct gemm_sizes s;
    he_status status = gemm_sizes(node, call->in, call->in_count, &s);

    if (status != HE_OK)
        return status;
    if (b->dtype != a->dtype || (cpu_has_input(call, 2) && call->in[2].dtype != a->dtype))
        return cpu_unsupported_type(node, a->dtype);
    blend.alpha = he_node_float(node, "alpha", 1.0f);
    blend.beta = he_node_float(node, "beta", 1.0f);
    if (a->dtype == HE_FLOAT32) {
        struct cpu_matrix ma = {a->data, s.a_is_turned ? 1 : s.k, s.a_is_turned ? s.m : 1};
        struct cpu_matrix mb = {b->data, s.b_is_turned ? 1 : s.n, s.b_is_turned ? s.k : 1};

        cpu_gemm_f32(call->team, s.m, s.n, s.k, ma, mb, call->out[0].data, s.n, false,
                     call->scratch);
    } else {
        struct plain_job job = {
            s.m, s.n, s.k, a->data, b->data, call->out[0].data,
            s.a_is_turned ? 1 : s.k, s.a_is_turned ? s.m : 1,
            s.b_is_turned ? 1 : s.n, s.b_is_turned ? s.k : 1,
        };

        plain_product(call->team, a->dtype, &job);
    }
    if (cpu_has_input(call, 2) && blend.beta != 0.0f) {
        blend.c = call->in[2].data;
        operands[0] = &call->in[2].shape;
    } else if (blend.alpha == 1.0f) {
        return HE_OK;
    }
    status = cpu_walk_init(&walk, &call->out[0].shape, operands, 1, node);
    if (status == HE_OK)
        cpu_walk_run(&walk, call->team, CPU_GRAIN_CHEAP, blend_run, &blend);
    return status;
}

/* --- Det: elimination with row exchanges, in double --- */

static size_t det_scratch(const struct he_node *node, const struct he_tensor *in, size_t in_count,
                          const struct he_tensor *out, size_t out_count)
{
    int64_t n = in_count && in[0].shape.rank >= 2 ? in[0].shape.dims[in[0].shape.rank - 1] : 0;

    (void)node, (void)out, (void)out_count;
    return (size_t)n * (size_t)n * sizeof(double);
}

static double determinant(double *m, int64_t n)
{
    double det = 1, factor, swap;
    int64_t c, r, j, pivot;

    for (c = 0; c < n; c++) {
        pivot = c;
        for (r = c + 1; r < n; r++) {
            if (fabs(m[r * n + c]) > fabs(m[pivot * n + c]))
                pivot = r;
        }
        if (m[pivot * n + c] == 0)
            return 0;
        if (pivot != c) {
            for (j = c; j < n; j++) {
                swap = m[c * n + j];
                m[c * n + j] = m[pivot * n + j];
                m[pivot * n + j] = swap;
            }
            det = -det;
        }
        det *= m[c * n + c];
        for (r = c + 1; r < n; r++) {
            factor = m[r * n + c] / m[c * n + c];
            for (j = c + 1; j < n; j++)
                m[r * n + j] -= factor * m[c * n + j];
        }
    }
    return det;
}

static he_status det_run(struct cpu_call *call)
{
    const struct he_shape *shape = &call->in[0].shape;
    int64_t n, batches, b, i;
    double *m = call->scratch, det;

    if (shape->rank < 2 || shape->dims[shape->rank - 1] != shape->dims[shape->rank - 2])
        return he_error_set(HE_ERR_SHAPE, "Det: the last two dimensions are not a square");
    n = shape->dims[shape->rank - 1];
    batches = cpu_extent(shape, 0, shape->rank - 2);
    for (b = 0; b < batches; b++) {
        for (i = 0; i < n * n; i++)
            m[i] = cpu_get_double(&call->in[0], b * n * n + i);
        det = determinant(m, n);
        if (call->out[0].dtype == HE_FLOAT32)
            ((float *)call->out[0].data)[b] = (float)det;
        else
            ((double *)call->out[0].data)[b] = det;
    }
    return HE_OK;
}

#define NUMBERS                                                                       \
    (CPU_FLOATS | CPU_TYPE(HE_INT32) | CPU_TYPE(HE_INT64) | CPU_TYPE(HE_UINT32) |     \
     CPU_TYPE(HE_UINT64))

static const struct cpu_kernel kernels[] = {
    {.op = "MatMul", .types = NUMBERS, .run = matmul_run, .scratch = matmul_scratch},
    CPU_WIDENED("MatMul"),
    {.op = "Gemm", .types = NUMBERS, .run = gemm_run, .scratch = gemm_scratch},
    CPU_WIDENED("Gemm"),
    {.op = "Det", .types = CPU_FLOATS, .run = det_run, .scratch = det_scratch},
    CPU_WIDENED("Det"),
};

const struct cpu_kernel_table cpu_kernels_matrix = {kernels, sizeof kernels / sizeof kernels[0]};
