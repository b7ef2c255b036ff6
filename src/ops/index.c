/* SPDX-License-Identifier: Apache-2.0 */
/* Selections: TopK, and operators whose output size is a matter of data. */
#include <inttypes.h>
#include <math.h>

#include "ops/infer.h"

static HE_INFER_RULE(infer_topk)
{
    struct he_shape shape = in[0]->shape;
    int64_t k = HE_DIM_UNKNOWN;
    struct he_codes codes;
    uint32_t axis;
    he_status status;

    if (node->opset < 10) {
        if (!he_node_attr(node, "k"))
            return he_infer_error(node, "attribute k is missing");
        k = he_node_int(node, "k", -1);
        if (k < 0)
            return he_infer_error(node, "k is %" PRId64, k);
    } else {
        if (!in[1])
            return he_infer_error(node, "input 1 (k) must not be omitted");
        if (he_infer_codes(in[1], &codes) && codes.count == 1) {
            if (codes.is_literal && codes.v[0] < 0)
                return he_infer_error(node, "k is %" PRId64, codes.v[0]);
            k = codes.v[0];
        }
    }
    out[0]->dtype = in[0]->dtype;
    out[1]->dtype = HE_INT64;
    if (!he_has_rank(in[0]))
        return HE_OK;
    status = he_infer_axis(node, he_node_int(node, "axis", -1), shape.rank, &axis);
    if (status != HE_OK)
        return status;
    if (k >= 0 && shape.dims[axis] >= 0 && k > shape.dims[axis])
        return he_infer_error(node, "k is %" PRId64 ", axis %u of %s has fewer", k, axis,
                              he_infer_text(in[0]).s);
    shape.dims[axis] = k;
    out[0]->shape = out[1]->shape = shape;
    return HE_OK;
}

/* [rank, how many] */
static HE_INFER_RULE(infer_nonzero)
{
    out[0]->dtype = HE_INT64;
    out[0]->shape = he_shape_of_rank(2);
    if (he_has_rank(in[0]))
        out[0]->shape.dims[0] = in[0]->shape.rank > 0 ? in[0]->shape.rank : 1;
    return HE_OK;
}

static HE_INFER_RULE(infer_unique)
{
    uint32_t axis;
    he_status status;

    out[0]->dtype = in[0]->dtype;
    for (int k = 1; k < 4; k++) {
        out[k]->dtype = HE_INT64;
        out[k]->shape = he_shape_of_rank(1);
    }
    if (!he_node_attr(node, "axis")) {
        out[0]->shape = he_shape_of_rank(1);
        out[2]->shape.dims[0] = he_shape_count(&in[0]->shape);
        return HE_OK;
    }
    if (!he_has_rank(in[0]))
        return HE_OK;
    status = he_infer_axis(node, he_node_int(node, "axis", 0), in[0]->shape.rank, &axis);
    if (status != HE_OK)
        return status;
    out[0]->shape = in[0]->shape;
    out[0]->shape.dims[axis] = HE_DIM_UNKNOWN;
    out[2]->shape.dims[0] = in[0]->shape.dims[axis];
    return HE_OK;
}

static HE_INFER_RULE(infer_compress)
{
    uint32_t axis;
    he_status status = he_infer_want_rank(node, in[1], "the condition", 1, 1);

    out[0]->dtype = in[0]->dtype;
    if (status != HE_OK)
        return status;
    if (!he_node_attr(node, "axis")) {
        out[0]->shape = he_shape_of_rank(1);
        return HE_OK;
    }
    if (!he_has_rank(in[0]))
        return HE_OK;
    status = he_infer_axis(node, he_node_int(node, "axis", 0), in[0]->shape.rank, &axis);
    if (status != HE_OK)
        return status;
    out[0]->shape = in[0]->shape;
    out[0]->shape.dims[axis] = HE_DIM_UNKNOWN;
    return HE_OK;
}

/* boxes [batch, boxes, 4], scores [batch, classes, boxes] */
static HE_INFER_RULE(infer_nms)
{
    he_status status = he_infer_want_rank(node, in[0], "boxes", 3, 3);

    if (status == HE_OK)
        status = he_infer_want_rank(node, in[1], "scores", 3, 3);
    if (status != HE_OK)
        return status;
    if (he_dim_conflict(he_infer_dim(in[0], 0), he_infer_dim(in[1], 0)) ||
        he_dim_conflict(he_infer_dim(in[0], 1), he_infer_dim(in[1], 2)) ||
        he_dim_conflict(he_infer_dim(in[0], 2), 4))
        return he_infer_error(node, "boxes are %s, scores are %s", he_infer_text(in[0]).s,
                              he_infer_text(in[1]).s);
    he_infer_set_dims(out[0], HE_INT64, 2, (const int64_t[]){ HE_DIM_UNKNOWN, 3 });
    return HE_OK;
}

/* --- Work --- */

static double levels_of(double x)
{
    return x > 1 ? log2(x) : 0;
}

/* A heap of k: n log k comparisons. */
static HE_WORK_RULE(work_topk)
{
    double n = he_work_count(in[0], work), kept = he_work_count(out[0], work);

    work->flops = n * (1 + levels_of(kept < n ? kept : n));
}

static HE_WORK_RULE(work_sort)
{
    double n = he_work_count(in[0], work);

    work->flops = n * (1 + levels_of(n));
}

static HE_WORK_RULE(work_scan)
{
    work->flops = he_work_count(in[0], work);
}

/* Sort by score, then in the worst case every pair; a twentieth of the pairs is typical. */
static HE_WORK_RULE(work_nms)
{
    double boxes = he_work_dim(in[0], 1, work);
    double lists = he_work_dim(in[1], 0, work) * he_work_dim(in[1], 1, work);

    work->flops = lists * (boxes * (1 + levels_of(boxes)) + boxes * boxes / 20 * 12);
    work->is_estimate = true;
}

#define SELECT(op, rule, cost, class, axes, more_flags, least, most, outputs, ...)                 \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule, .work = cost, \
      .access = HE_ACCESS_GATHER, .work_class = class, .split_axes = axes, .flags = more_flags,    \
      .min_inputs = least, .max_inputs = most, .max_outputs = outputs }

static const struct he_op rows[] = {
    SELECT("Compress", infer_compress, NULL, HE_WORK_MOVE, HE_SPLIT_NONE, HE_OP_DATA_SHAPE, 2, 2,
           1, 9, 11, 28),
    SELECT("NonMaxSuppression", infer_nms, work_nms, HE_WORK_REDUCTION, HE_SPLIT_NONE,
           HE_OP_DATA_SHAPE, 2, 5, 1, 10, 11),
    SELECT("NonZero", infer_nonzero, work_scan, HE_WORK_REDUCTION, HE_SPLIT_NONE,
           HE_OP_DATA_SHAPE, 1, 1, 1, 9, 13),
    /* The size of TopK's output is an input's content, but a constant one as a rule. */
    SELECT("TopK", infer_topk, work_topk, HE_WORK_REDUCTION, HE_SPLIT_OTHER_AXES, 0, 1, 2, 2, 1,
           10, 11, 24),
    SELECT("Unique", infer_unique, work_sort, HE_WORK_REDUCTION, HE_SPLIT_NONE, HE_OP_DATA_SHAPE,
           1, 1, 4, 11, 28),
};

const struct he_op_table he_ops_index = { rows, HE_COUNT(rows) };
