/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products: Gemm, MatMul and its quantised forms, Einsum, Det. */
#include <inttypes.h>
#include <string.h>

#include "ops/infer.h"

/* numpy.matmul: a vector on the left is a row, one on the right a column. */
static he_status matmul_shape(const struct he_node *node, const struct he_value *a,
                              const struct he_value *b, struct he_shape *out)
{
    struct he_shape batch_a, batch_b, shape;
    int64_t inner_a, inner_b;
    uint32_t rank_a, rank_b;
    he_status status = HE_OK;

    *out = he_shape_unknown();
    if ((he_has_rank(a) && a->shape.rank == 0) || (he_has_rank(b) && b->shape.rank == 0))
        return he_infer_error(node, "a scalar has no inner dimension (A is %s, B is %s)",
                              he_infer_text(a).s, he_infer_text(b).s);
    if (!he_has_rank(a) || !he_has_rank(b))
        return HE_OK;
    rank_a = a->shape.rank;
    rank_b = b->shape.rank;
    inner_a = a->shape.dims[rank_a - 1];
    inner_b = b->shape.dims[rank_b > 1 ? rank_b - 2 : 0];
    if (he_dim_conflict(inner_a, inner_b))
        return he_infer_error(node,
                              "inner dimensions %" PRId64 " and %" PRId64
                              " differ (A is %s, B is %s)",
                              inner_a, inner_b, he_infer_text(a).s, he_infer_text(b).s);
    batch_a = a->shape;
    batch_a.rank = rank_a > 2 ? rank_a - 2 : 0;
    batch_b = b->shape;
    batch_b.rank = rank_b > 2 ? rank_b - 2 : 0;
    if (!he_shape_broadcast(&batch_a, &batch_b, &shape))
        return he_infer_error(node, "batch dimensions do not broadcast (A is %s, B is %s)",
                              he_infer_text(a).s, he_infer_text(b).s);
    if (rank_a > 1)
        status = he_infer_push(node, &shape, a->shape.dims[rank_a - 2]);
    if (status == HE_OK && rank_b > 1)
        status = he_infer_push(node, &shape, b->shape.dims[rank_b - 1]);
    if (status == HE_OK)
        *out = shape;
    return status;
}

static HE_INFER_RULE(infer_matmul)
{
    struct he_shape shape;
    he_status status = he_infer_want_same_type(node, in[0], "A", in[1], "B");

    if (status == HE_OK)
        status = matmul_shape(node, in[0], in[1], &shape);
    if (status == HE_OK)
        he_infer_set(out[0], in[0]->dtype != HE_DTYPE_NONE ? in[0]->dtype : in[1]->dtype, &shape);
    return status;
}

static HE_INFER_RULE(infer_matmul_integer)
{
    struct he_shape shape;
    he_status status = matmul_shape(node, in[0], in[1], &shape);

    if (status == HE_OK)
        he_infer_set(out[0], HE_INT32, &shape);
    return status;
}

/* a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero */
static HE_INFER_RULE(infer_qlinear_matmul)
{
    struct he_shape shape;
    he_status status = matmul_shape(node, in[0], in[3], &shape);

    if (status == HE_OK)
        he_infer_set(out[0], in[7]->dtype, &shape);
    return status;
}

static HE_INFER_RULE(infer_gemm)
{
    bool trans_a = he_node_int(node, "transA", 0) != 0;
    bool trans_b = he_node_int(node, "transB", 0) != 0;
    struct he_shape shape = he_shape_of_rank(2), check;
    int64_t inner_a, inner_b;
    he_status status = he_infer_want_same_type(node, in[0], "A", in[1], "B");

    if (status == HE_OK)
        status = he_infer_want_rank(node, in[0], "A", 2, 2);
    if (status == HE_OK)
        status = he_infer_want_rank(node, in[1], "B", 2, 2);
    if (status != HE_OK)
        return status;
    inner_a = he_infer_dim(in[0], trans_a ? 0 : 1);
    inner_b = he_infer_dim(in[1], trans_b ? 1 : 0);
    if (he_dim_conflict(inner_a, inner_b))
        return he_infer_error(node,
                              "inner dimensions %" PRId64 " and %" PRId64
                              " differ (A is %s%s, B is %s%s)",
                              inner_a, inner_b, he_infer_text(in[0]).s,
                              trans_a ? " transposed" : "", he_infer_text(in[1]).s,
                              trans_b ? " transposed" : "");
    shape.dims[0] = he_infer_dim(in[0], trans_a ? 1 : 0);
    shape.dims[1] = he_infer_dim(in[1], trans_b ? 0 : 1);
    if (in[2] && he_has_rank(in[2])) {
        bool fits = he_shape_broadcast(&shape, &in[2]->shape, &check) && check.rank == 2;

        for (uint32_t k = 0; fits && k < 2; k++)
            fits = !he_dim_conflict(shape.dims[k], check.dims[k]);
        if (!fits)
            return he_infer_error(node, "C %s does not broadcast to %s", he_infer_text(in[2]).s,
                                  he_infer_shape_text(&shape).s);
    }
    he_infer_set(out[0], in[0]->dtype != HE_DTYPE_NONE ? in[0]->dtype : in[1]->dtype, &shape);
    return HE_OK;
}

static HE_INFER_RULE(infer_det)
{
    struct he_shape shape = in[0]->shape;
    he_status status = he_infer_want_rank(node, in[0], "X", 2, HE_MAX_RANK);

    if (status == HE_OK && he_has_rank(in[0])) {
        shape.rank -= 2;
        if (he_dim_conflict(shape.dims[shape.rank], shape.dims[shape.rank + 1]))
            status = he_infer_error(node, "X %s is not square", he_infer_text(in[0]).s);
    }
    if (status == HE_OK)
        he_infer_set(out[0], in[0]->dtype, &shape);
    return status;
}

/* --- Einsum --- */

struct einsum {
    int64_t letters[52]; /* size of each, HE_DIM_UNKNOWN before it is met */
    uint8_t met[52];     /* how many times in the inputs */
    struct he_shape dots; /* what the ellipsis stands for */
    bool has_dots, is_open; /* open: some rank is unknown */
};

static int letter_index(char c)
{
    if (c >= 'a' && c <= 'z')
        return c - 'a';
    if (c >= 'A' && c <= 'Z')
        return c - 'A' + 26;
    return -1;
}

/* One term, from @text up to a comma, an arrow or the end; gives where it stopped. */
static he_status einsum_term(const struct he_node *node, struct einsum *e, const char **text,
                             const struct he_value *value, uint32_t index)
{
    const char *p = *text;
    uint32_t letters = 0, seen = 0, axis = 0;
    bool dots = false;

    for (const char *q = p; *q && *q != ',' && *q != '-'; q++)
        letters += letter_index(*q) >= 0;
    for (; *p && *p != ',' && *p != '-'; p++) {
        int letter = letter_index(*p);

        if (*p == ' ')
            continue;
        if (letter >= 0) {
            int64_t dim = he_has_rank(value) && axis < value->shape.rank
                              ? value->shape.dims[axis]
                              : HE_DIM_UNKNOWN;
            int64_t *known = &e->letters[letter];

            if (he_dim_conflict(*known, dim) && dim != 1 && *known != 1)
                return he_infer_error(node, "%c is %" PRId64 " and %" PRId64 " (input %u is %s)",
                                      *p, *known, dim, index, he_infer_text(value).s);
            /* A one is broadcast. */
            if (!e->met[letter] || *known == 1)
                *known = dim;
            else if (dim != 1)
                *known = he_dim_merge(*known, dim);
            if (e->met[letter] < 255)
                e->met[letter]++;
            seen++;
            axis++;
        } else if (p[0] == '.' && p[1] == '.' && p[2] == '.' && !dots) {
            struct he_shape part = { .rank = 0 };

            dots = e->has_dots = true;
            p += 2;
            if (!he_has_rank(value)) {
                e->is_open = true;
                continue;
            }
            if (value->shape.rank < letters)
                break; /* the count below complains */
            part.rank = value->shape.rank - letters;
            memcpy(part.dims, value->shape.dims + axis, part.rank * sizeof part.dims[0]);
            axis += part.rank;
            if (!he_shape_broadcast(&e->dots, &part, &e->dots))
                return he_infer_error(node, "the ellipsis of input %u (%s) does not broadcast",
                                      index, he_infer_text(value).s);
        } else {
            return he_infer_error(node, "'%c' in the equation", *p);
        }
    }
    if (he_has_rank(value) && (dots ? letters > value->shape.rank : seen != value->shape.rank))
        return he_infer_error(node, "input %u is %s, its term has %u letters", index,
                              he_infer_text(value).s, letters);
    *text = p;
    return HE_OK;
}

static he_status einsum_output(const struct he_node *node, const struct einsum *e, const char *p,
                               struct he_shape *out)
{
    struct he_shape shape = { .rank = 0 };
    bool dots = false;
    he_status status = HE_OK;

    for (; *p && status == HE_OK; p++) {
        int letter = letter_index(*p);

        if (*p == ' ')
            continue;
        if (letter >= 0 && e->met[letter]) {
            status = he_infer_push(node, &shape, e->letters[letter]);
        } else if (p[0] == '.' && p[1] == '.' && p[2] == '.' && !dots) {
            dots = true;
            p += 2;
            for (uint32_t k = 0; k < e->dots.rank && status == HE_OK; k++)
                status = he_infer_push(node, &shape, e->dots.dims[k]);
        } else {
            return he_infer_error(node, "'%c' in the output of the equation", *p);
        }
    }
    if (status == HE_OK)
        *out = dots && e->is_open ? he_shape_unknown() : shape;
    return status;
}

static he_status einsum_read(const struct he_node *node, const struct he_value *const *in,
                             struct einsum *e, const char **rest)
{
    const char *p = he_node_string(node, "equation", NULL);
    he_status status;

    memset(e, 0, sizeof *e);
    for (int k = 0; k < 52; k++)
        e->letters[k] = HE_DIM_UNKNOWN;
    if (!p)
        return he_infer_error(node, "equation is missing");
    for (uint32_t k = 0; k < node->explicit_input_count; k++) {
        if (!in[k])
            return he_infer_error(node, "input %u must not be omitted", k);
        status = einsum_term(node, e, &p, in[k], k);
        if (status != HE_OK)
            return status;
        if (k + 1 < node->explicit_input_count) {
            if (*p != ',')
                return he_infer_error(node, "the equation has fewer terms than inputs (%u)",
                                      node->explicit_input_count);
            p++;
        }
    }
    *rest = p;
    return HE_OK;
}

static HE_INFER_RULE(infer_einsum)
{
    struct einsum e;
    struct he_shape shape;
    char implied[64];
    const char *rest;
    he_status status = einsum_read(node, in, &e, &rest);

    out[0]->dtype = in[0]->dtype;
    if (status != HE_OK)
        return status;
    if (rest[0] == '-' && rest[1] == '>') {
        rest += 2;
    } else if (rest[0] == '\0') {
        /* No arrow: what the ellipsis stands for, then letters met once, sorted
         * with capitals first. */
        size_t used = 0;

        if (e.has_dots) {
            memcpy(implied, "...", 3);
            used = 3;
        }
        for (int pass = 1; pass >= 0; pass--) {
            for (int k = 0; k < 26; k++) {
                if (e.met[k + 26 * pass] == 1)
                    implied[used++] = (char)((pass ? 'A' : 'a') + k);
            }
        }
        implied[used] = '\0';
        rest = implied;
    } else {
        return he_infer_error(node, "the equation does not match %u inputs",
                              node->explicit_input_count);
    }
    status = einsum_output(node, &e, rest, &shape);
    if (status == HE_OK)
        out[0]->shape = shape;
    return status;
}

/* --- Work --- */

static HE_WORK_RULE(work_matmul)
{
    uint32_t rank = he_has_rank(in[0]) ? in[0]->shape.rank : 0;

    work->flops = 2 * he_work_count(out[0], work) *
                  (rank > 0 ? he_work_dim(in[0], rank - 1, work) : 1);
    work->is_estimate = work->is_estimate || rank == 0;
}

static HE_WORK_RULE(work_qlinear_matmul)
{
    work_matmul(node, in, out, work);
    work->flops += 4 * he_work_count(out[0], work);
}

static HE_WORK_RULE(work_gemm)
{
    double inner = he_work_dim(in[0], he_node_int(node, "transA", 0) ? 0 : 1, work);

    work->flops = (2 * inner + (in[2] ? 1 : 0)) * he_work_count(out[0], work);
}

/* The product of all letters: what a direct loop costs; pairwise evaluation may do better. */
static HE_WORK_RULE(work_einsum)
{
    struct einsum e;
    const char *rest;
    double count = 1;

    if (einsum_read(node, in, &e, &rest) != HE_OK)
        return;
    for (int k = 0; k < 52; k++) {
        if (!e.met[k])
            continue;
        work->is_estimate = work->is_estimate || e.letters[k] < 0;
        count *= e.letters[k] < 0 ? 1 : (double)e.letters[k];
    }
    for (uint32_t k = 0; k < e.dots.rank && k < HE_MAX_RANK; k++)
        count *= e.dots.dims[k] < 0 ? 1 : (double)e.dots.dims[k];
    work->flops = (node->explicit_input_count > 1 ? node->explicit_input_count : 1) * count;
}

static HE_WORK_RULE(work_det)
{
    uint32_t rank = he_has_rank(in[0]) ? in[0]->shape.rank : 0;
    double n = rank > 0 ? he_work_dim(in[0], rank - 1, work) : 1;

    work->flops = 2.0 / 3.0 * n * n * n * he_work_count(out[0], work);
}

#define PRODUCT(op, rule, cost, least, most, ...)                                                  \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule, .work = cost, \
      .access = HE_ACCESS_CONTRACTION, .work_class = HE_WORK_CONTRACTION,                          \
      .split_axes = HE_SPLIT_BATCH | HE_SPLIT_ROWS | HE_SPLIT_CHANNEL, .min_inputs = least,        \
      .max_inputs = most, .max_outputs = 1 }

static const struct he_op rows[] = {
    PRODUCT("Gemm", infer_gemm, work_gemm, 2, 3, 1, 6, 7, 9, 11, 13),
    PRODUCT("MatMul", infer_matmul, work_matmul, 2, 2, 1, 9, 13),
    PRODUCT("MatMulInteger", infer_matmul_integer, work_matmul, 2, 4, 10),
    PRODUCT("QLinearMatMul", infer_qlinear_matmul, work_qlinear_matmul, 8, 8, 10, 21),
    { .name = "Det", .domain = "", .versions = HE_VERSIONS(11, 22), .infer = infer_det,
      .work = work_det, .access = HE_ACCESS_REDUCE, .work_class = HE_WORK_REDUCTION,
      .split_axes = HE_SPLIT_ANY, .min_inputs = 1, .max_inputs = 1, .max_outputs = 1 },
    { .name = "Einsum", .domain = "", .versions = HE_VERSIONS(12, 28), .infer = infer_einsum,
      .work = work_einsum, .access = HE_ACCESS_CONTRACTION, .work_class = HE_WORK_CONTRACTION,
      .split_axes = HE_SPLIT_NONE, .min_inputs = 1, .max_inputs = 255, .max_outputs = 1 },
};

const struct he_op_table he_ops_matrix = { rows, HE_COUNT(rows) };
