/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Einsum with one or more operands. Labels (letters, and one per dimension behind an ellipsis) get
 * a step in each operand and in the output; an element of the output is a sum over the
 * labels that it lacks. Two float operands go through the matrix product: labels
 * are sorted into batch, rows, columns and summed ones, the operands copied into that
 * order, and the result copied back.
 */
#include "pointwise.h"

#include <ctype.h>
#include <string.h>

#include "gemm.h"

#define MAX_OPERANDS 8
#define MAX_LABELS (2 * HE_MAX_RANK)
/* Labels 0..51 are letters, from here on dimensions behind the ellipsis, from its end. */
#define ELLIPSIS 52
#define NAMES (ELLIPSIS + HE_MAX_RANK)

struct einsum {
    uint32_t operand_count, label_count, out_count; /* the first out_count labels are the output's */
    int64_t dims[MAX_LABELS];
    int64_t steps[MAX_OPERANDS][MAX_LABELS]; /* 0: the operand has not got the label */
    bool has[MAX_OPERANDS][MAX_LABELS];
};

/* --- Reading the equation --- */

struct reader {
    const struct he_node *node;
    int8_t label_of[NAMES]; /* -1: not in the output nor seen */
    uint8_t uses[NAMES];
    int64_t sizes[NAMES];
    bool has_size[NAMES];
    uint32_t ellipsis_rank; /* the longest one */
};

static int letter(char c)
{
    if (c >= 'a' && c <= 'z')
        return c - 'a';
    if (c >= 'A' && c <= 'Z')
        return c - 'A' + 26;
    return -1;
}

static he_status bad_equation(const struct he_node *node)
{
    return he_error_set(HE_ERR_SHAPE, "Einsum: the equation \"%s\" does not fit the operands",
                        he_node_string(node, "equation", ""));
}

/* Names of the dimensions of one term, up to @end; @rank dimensions in all (HE_RANK_UNKNOWN: as
 * many as there are letters, plus the ellipsis of the whole). */
static he_status read_term(struct reader *r, const char *text, const char *end, uint32_t rank,
                           uint8_t *names, uint32_t *count)
{
    uint32_t letters = 0, dots = 0, k;
    const char *p;

    for (p = text; p < end; p++) {
        letters += letter(*p) >= 0;
        dots += *p == '.';
    }
    if (dots != 0 && dots != 3)
        return bad_equation(r->node);
    if (rank == HE_RANK_UNKNOWN)
        rank = letters + (dots ? r->ellipsis_rank : 0);
    if (rank > HE_MAX_RANK || letters > rank || (!dots && letters != rank))
        return bad_equation(r->node);
    *count = 0;
    for (p = text; p < end; p++) {
        if (letter(*p) >= 0) {
            names[(*count)++] = (uint8_t)letter(*p);
        } else if (*p == '.') {
            for (k = rank - letters; k-- > 0;)
                names[(*count)++] = (uint8_t)(ELLIPSIS + k);
            p += 2;
            if (p >= end || p[0] != '.' || p[-1] != '.')
                return bad_equation(r->node);
        } else if (!isspace((unsigned char)*p)) {
            return bad_equation(r->node);
        }
    }
    if (rank - letters > r->ellipsis_rank && dots)
        r->ellipsis_rank = rank - letters;
    return *count == rank ? HE_OK : bad_equation(r->node);
}

static he_status parse(struct einsum *e, const struct he_node *node, const struct he_tensor *in,
                       size_t in_count)
{
    const char *text = he_node_string(node, "equation", ""), *arrow = strstr(text, "->"), *end;
    const char *stop = arrow ? arrow : text + strlen(text);
    uint8_t names[MAX_OPERANDS][HE_MAX_RANK], out[HE_MAX_RANK];
    uint32_t counts[MAX_OPERANDS], out_count = 0, d, k;
    struct reader r = {.node = node};
    he_status status;
    int n;

    *e = (struct einsum){0};
    memset(r.label_of, -1, sizeof r.label_of);
    if (in_count == 0 || in_count > MAX_OPERANDS)
        return he_error_set(HE_ERR_UNSUPPORTED, "Einsum: %zu operands", in_count);
    for (k = 0; k < in_count; k++, text = end + 1) {
        end = memchr(text, ',', (size_t)(stop - text));
        if (!end)
            end = stop;
        if ((end == stop) != (k + 1 == in_count))
            return bad_equation(node);
        status = read_term(&r, text, end, in[k].shape.rank, names[k], &counts[k]);
        if (status != HE_OK)
            return status;
        for (d = 0; d < counts[k]; d++) {
            int64_t size = in[k].shape.dims[d];

            n = names[k][d];
            r.uses[n]++;
            if (r.has_size[n] && r.sizes[n] != size && r.sizes[n] != 1 && size != 1)
                return bad_equation(node);
            if (!r.has_size[n] || r.sizes[n] == 1)
                r.sizes[n] = size;
            r.has_size[n] = true;
        }
    }
    if (arrow) {
        status = read_term(&r, arrow + 2, arrow + strlen(arrow), HE_RANK_UNKNOWN, out, &out_count);
        if (status != HE_OK)
            return status;
    } else { /* the ellipsis, then the letters that occur once, in alphabetical order */
        for (d = r.ellipsis_rank; d-- > 0;)
            out[out_count++] = (uint8_t)(ELLIPSIS + d);
        for (n = 26; n < 52 + 26; n++) { /* capitals come first */
            if (r.uses[n % 52] == 1 && out_count < HE_MAX_RANK)
                out[out_count++] = (uint8_t)(n % 52);
        }
    }
    for (d = 0; d < out_count; d++) {
        if (!r.has_size[out[d]] || r.label_of[out[d]] >= 0)
            return bad_equation(node);
        r.label_of[out[d]] = (int8_t)e->label_count;
        e->dims[e->label_count++] = r.sizes[out[d]];
    }
    e->out_count = out_count;
    for (n = 0; n < NAMES; n++) {
        if (!r.has_size[n] || r.label_of[n] >= 0)
            continue;
        if (e->label_count == MAX_LABELS)
            return he_error_set(HE_ERR_UNSUPPORTED, "Einsum: more than %d labels", MAX_LABELS);
        r.label_of[n] = (int8_t)e->label_count;
        e->dims[e->label_count++] = r.sizes[n];
    }
    e->operand_count = (uint32_t)in_count;
    for (k = 0; k < in_count; k++) {
        int64_t step = 1;

        for (d = counts[k]; d-- > 0;) { /* a label twice in one term: the diagonal */
            n = r.label_of[names[k][d]];
            if (in[k].shape.dims[d] != 1)
                e->steps[k][n] += step;
            e->has[k][n] = true;
            step *= in[k].shape.dims[d];
        }
    }
    return HE_OK;
}

/* --- Any number of operands: sums of products, one output element after the other --- */

struct sum_job {
    const struct einsum *e;
    const struct cpu_call *call;
};

#define SUM(S, T, A)                                                                          \
    static void sum_##S(void *arg, int64_t begin, int64_t end)                                \
    {                                                                                         \
        const struct sum_job *job = arg;                                                      \
        const struct einsum *e = job->e;                                                      \
        int64_t at, rest, index[MAX_LABELS], offsets[MAX_OPERANDS];                           \
        uint32_t d, k;                                                                        \
        bool is_empty = false;                                                                \
        for (d = e->out_count; d < e->label_count; d++)                                       \
            is_empty = is_empty || e->dims[d] == 0;                                           \
        for (at = begin; at < end; at++) {                                                    \
            A total = 0;                                                                      \
            memset(offsets, 0, sizeof offsets);                                               \
            memset(index, 0, sizeof index);                                                   \
            rest = at;                                                                        \
            for (d = e->out_count; d-- > 0;) {                                                \
                for (k = 0; k < e->operand_count; k++)                                        \
                    offsets[k] += rest % e->dims[d] * e->steps[k][d];                         \
                rest /= e->dims[d];                                                           \
            }                                                                                 \
            while (!is_empty) {                                                               \
                A product = 1;                                                                \
                for (k = 0; k < e->operand_count; k++)                                        \
                    product *= (A)((const T *)job->call->in[k].data)[offsets[k]];             \
                total += product;                                                             \
                for (d = e->label_count; d-- > e->out_count;) {                               \
                    for (k = 0; k < e->operand_count; k++)                                    \
                        offsets[k] += e->steps[k][d];                                         \
                    if (++index[d] < e->dims[d])                                              \
                        break;                                                                \
                    for (k = 0; k < e->operand_count; k++)                                    \
                        offsets[k] -= e->steps[k][d] * e->dims[d];                            \
                    index[d] = 0;                                                             \
                }                                                                             \
                if (d + 1 == e->out_count || e->label_count == e->out_count)                  \
                    break;                                                                    \
            }                                                                                 \
            ((T *)job->call->out[0].data)[at] = (T)total;                                     \
        }                                                                                     \
    }
SUM(f32, float, double)
SUM(f64, double, double)
SUM(i32, int32_t, uint32_t)
SUM(i64, int64_t, uint64_t)

/* --- Two float operands: a matrix product per batch --- */

enum part { BATCH, ROWS, COLUMNS, SUMMED };

struct product {
    int64_t sizes[4]; /* product of the labels of each part */
    uint8_t order[MAX_LABELS], count[4];
    uint8_t first[4]; /* of each part in order */
    size_t a, b, c, scratch, total; /* offsets in floats */
};

/* False when some label belongs to one operand only and is summed, or a label broadcasts: the
 * general sum is for those. */
static bool make_product(const struct einsum *e, struct product *p)
{
    enum part part, of[MAX_LABELS];
    uint32_t d, used = 0;
    size_t sizes[3];

    if (e->operand_count != 2)
        return false;
    *p = (struct product){.sizes = {1, 1, 1, 1}};
    for (d = 0; d < e->label_count; d++) {
        bool in_a = e->has[0][d], in_b = e->has[1][d], is_out = d < e->out_count;

        if (e->dims[d] != 1 && ((in_a && !e->steps[0][d]) || (in_b && !e->steps[1][d])))
            return false;
        if (!is_out && !(in_a && in_b))
            return false;
        of[d] = !is_out ? SUMMED : in_a && in_b ? BATCH : in_a ? ROWS : COLUMNS;
        p->sizes[of[d]] *= e->dims[d];
    }
    for (part = BATCH; part <= SUMMED; part++) {
        p->first[part] = (uint8_t)used;
        for (d = 0; d < e->label_count; d++) {
            if (of[d] == part)
                p->order[used++] = (uint8_t)d;
        }
        p->count[part] = (uint8_t)(used - p->first[part]);
    }
    sizes[0] = (size_t)(p->sizes[BATCH] * p->sizes[ROWS] * p->sizes[SUMMED]);
    sizes[1] = (size_t)(p->sizes[BATCH] * p->sizes[COLUMNS] * p->sizes[SUMMED]);
    sizes[2] = (size_t)(p->sizes[BATCH] * p->sizes[ROWS] * p->sizes[COLUMNS]);
    p->a = 0;
    p->b = p->a + ((sizes[0] + 15) & ~(size_t)15);
    p->c = p->b + ((sizes[1] + 15) & ~(size_t)15);
    p->scratch = p->c + ((sizes[2] + 15) & ~(size_t)15);
    p->total = p->scratch + cpu_gemm_scratch(p->sizes[ROWS], p->sizes[COLUMNS], p->sizes[SUMMED]) /
                                sizeof(float);
    return true;
}

struct copy_job {
    uint32_t rank;
    int64_t dims[MAX_LABELS], steps[MAX_LABELS];
    const float *from;
    float *to;
    bool scatters; /* the steps belong to @to, not to @from */
};

static void copy_part(void *arg, int64_t begin, int64_t end)
{
    const struct copy_job *job = arg;
    int64_t index[MAX_LABELS] = {0}, offset = 0, rest = begin, at;
    uint32_t d;

    for (d = job->rank; d-- > 0;) {
        index[d] = rest % job->dims[d];
        offset += index[d] * job->steps[d];
        rest /= job->dims[d];
    }
    for (at = begin; at < end; at++) {
        if (job->scatters)
            job->to[offset] = job->from[at];
        else
            job->to[at] = job->from[offset];
        for (d = job->rank; d-- > 0;) {
            offset += job->steps[d];
            if (++index[d] < job->dims[d])
                break;
            offset -= job->steps[d] * job->dims[d];
            index[d] = 0;
        }
    }
}

/* Adds the labels of one part to the copy's dimensions. */
static void add_part(struct copy_job *job, const struct einsum *e, const struct product *p,
                     enum part part, const int64_t *steps)
{
    uint32_t k, d;

    for (k = 0; k < p->count[part]; k++) {
        d = p->order[p->first[part] + k];
        job->dims[job->rank] = e->dims[d];
        job->steps[job->rank++] = steps[d];
    }
}

static void copy_all(struct cpu_team *team, struct copy_job *job)
{
    int64_t count = 1;
    uint32_t d;

    for (d = 0; d < job->rank; d++)
        count *= job->dims[d];
    if (count > 0)
        cpu_parallel(team, count, CPU_GRAIN_COSTLY, copy_part, job);
}

static void run_product(struct cpu_call *call, const struct einsum *e, const struct product *p)
{
    struct copy_job a = {.from = call->in[0].data}, b = {.from = call->in[1].data};
    struct copy_job c = {.to = call->out[0].data, .scatters = true};
    float *base = call->scratch;
    int64_t out_steps[MAX_LABELS], step = 1, m = p->sizes[ROWS], n = p->sizes[COLUMNS];
    int64_t k = p->sizes[SUMMED], batch;
    uint32_t d;

    for (d = e->out_count; d-- > 0;) {
        out_steps[d] = step;
        step *= e->dims[d];
    }
    a.to = base + p->a;
    add_part(&a, e, p, BATCH, e->steps[0]);
    add_part(&a, e, p, ROWS, e->steps[0]);
    add_part(&a, e, p, SUMMED, e->steps[0]);
    copy_all(call->team, &a);
    b.to = base + p->b;
    add_part(&b, e, p, BATCH, e->steps[1]);
    add_part(&b, e, p, SUMMED, e->steps[1]);
    add_part(&b, e, p, COLUMNS, e->steps[1]);
    copy_all(call->team, &b);
    for (batch = 0; batch < p->sizes[BATCH]; batch++) {
        struct cpu_matrix ma = {a.to + batch * m * k, k, 1}, mb = {b.to + batch * k * n, n, 1};

        cpu_gemm_f32(call->team, m, n, k, ma, mb, base + p->c + batch * m * n, n, false,
                     base + p->scratch);
    }
    c.from = base + p->c;
    add_part(&c, e, p, BATCH, out_steps);
    add_part(&c, e, p, ROWS, out_steps);
    add_part(&c, e, p, COLUMNS, out_steps);
    copy_all(call->team, &c);
}

static size_t einsum_scratch(const struct he_node *node, const struct he_tensor *in,
                             size_t in_count, const struct he_tensor *out, size_t out_count)
{
    struct product p;
    struct einsum e;

    (void)out, (void)out_count;
    if (in_count != 2 || in[0].dtype != HE_FLOAT32 || parse(&e, node, in, in_count) != HE_OK ||
        !make_product(&e, &p))
        return 0;
    return p.total * sizeof(float);
}

static he_status einsum_run(struct cpu_call *call)
{
    enum he_dtype dtype = call->in[0].dtype;
    void (*part)(void *, int64_t, int64_t);
    struct einsum e;
    struct product p;
    struct sum_job job = {&e, call};
    int64_t count = cpu_count(&call->out[0]), expected = 1;
    he_status status = parse(&e, call->node, call->in, call->in_count);
    uint32_t d;
    size_t k;

    if (status != HE_OK)
        return status;
    for (d = 0; d < e.out_count; d++)
        expected *= e.dims[d];
    if (expected != count)
        return bad_equation(call->node);
    for (k = 1; k < call->in_count; k++) {
        if (call->in[k].dtype != dtype)
            return cpu_unsupported_type(call->node, call->in[k].dtype);
    }
    if (dtype == HE_FLOAT32 && make_product(&e, &p)) {
        run_product(call, &e, &p);
        return HE_OK;
    }
    part = dtype == HE_FLOAT32                            ? sum_f32
           : dtype == HE_FLOAT64                          ? sum_f64
           : dtype == HE_INT32 || dtype == HE_UINT32 ? sum_i32
                                                     : sum_i64;
    if (count > 0)
        cpu_parallel(call->team, count, 1024, part, &job);
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "Einsum",
     .types = CPU_FLOATS | CPU_TYPE(HE_INT32) | CPU_TYPE(HE_INT64) | CPU_TYPE(HE_UINT32) |
              CPU_TYPE(HE_UINT64),
     .run = einsum_run,
     .scratch = einsum_scratch},
    CPU_WIDENED("Einsum"),
};

const struct cpu_kernel_table cpu_kernels_einsum = {kernels, sizeof kernels / sizeof kernels[0]};
