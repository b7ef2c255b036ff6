/* SPDX-License-Identifier: Apache-2.0 */
/*
 * If, Loop, Scan: shapes are read off the bodies' outputs, which whoever owns
 * the graph has inferred before. Symbols in a body name the same sizes as outside.
 */
#include <inttypes.h>
#include <string.h>

#include "ops/infer.h"

static const struct he_graph *body_of(const struct he_node *node, const char *name)
{
    const struct he_attr *attr = he_node_attr(node, name);

    return attr && attr->kind == HE_ATTR_GRAPH ? attr->graph : NULL;
}

/* A body's output; NULL when there is none. */
static const struct he_value *body_output(const struct he_graph *body, uint32_t k)
{
    if (!body || k >= body->output_count || body->outputs[k] >= body->value_count)
        return NULL;
    return &body->values[body->outputs[k]];
}

static bool has_shape(const struct he_value *value)
{
    return value && value->shape.rank <= HE_MAX_RANK;
}

/* What holds whichever of the two it is. */
static struct he_shape common_shape(const struct he_value *a, const struct he_value *b)
{
    struct he_shape shape;

    if (!has_shape(a) || !has_shape(b) || a->shape.rank != b->shape.rank)
        return he_shape_unknown();
    shape = a->shape;
    for (uint32_t k = 0; k < shape.rank; k++) {
        if (shape.dims[k] != b->shape.dims[k])
            shape.dims[k] = HE_DIM_UNKNOWN;
    }
    return shape;
}

/* A constant of one boolean. */
static bool read_condition(const struct he_value *value, bool *out)
{
    if (!value || value->dtype != HE_BOOL || !he_value_is_constant(value) ||
        he_shape_count(&value->shape) != 1)
        return false;
    *out = *(const unsigned char *)value->data != 0;
    return true;
}

static HE_INFER_RULE(infer_if)
{
    const struct he_graph *branches[2] = { body_of(node, "then_branch"),
                                           body_of(node, "else_branch") };

    bool is_true;

    if (!branches[0] || !branches[1])
        return he_infer_error(node, "a branch is missing");
    /* With a known condition the branch not taken has no say. */
    if (read_condition(in[0], &is_true))
        branches[is_true ? 1 : 0] = branches[is_true ? 0 : 1];
    for (uint32_t k = 0; k < node->output_count; k++) {
        const struct he_value *a = body_output(branches[0], k), *b = body_output(branches[1], k);
        struct he_shape shape;

        if (!a || !b)
            return he_infer_error(node, "a branch gives %u and %u outputs of %u",
                                  branches[0]->output_count, branches[1]->output_count,
                                  node->output_count);
        if (a->dtype != b->dtype && a->dtype != HE_DTYPE_NONE && b->dtype != HE_DTYPE_NONE)
            return he_infer_error(node, "output %u is %s in one branch, %s in the other", k,
                                  he_dtype_name(a->dtype), he_dtype_name(b->dtype));
        if (!out[k])
            continue;
        shape = common_shape(a, b);
        he_infer_set(out[k], a->dtype != HE_DTYPE_NONE ? a->dtype : b->dtype, &shape);
        out[k]->is_opaque = a->is_opaque || b->is_opaque;
    }
    return HE_OK;
}

/* The scan outputs' new axis. */
static he_status set_stacked(const struct he_node *node, struct he_value *out,
                             const struct he_value *slice, uint32_t lead, int64_t at,
                             int64_t length)
{
    struct he_shape shape = he_shape_unknown();

    if (has_shape(slice)) {
        int64_t rank = slice->shape.rank + 1;

        if (rank > HE_MAX_RANK || at < -rank || at >= rank)
            return he_infer_error(node, "a scan output of %s cannot be stacked on axis %" PRId64,
                                  he_infer_text(slice).s, at);
        at = (at < 0 ? at + rank : at) + lead;
        shape = slice->shape;
        for (int64_t k = shape.rank; k > at; k--)
            shape.dims[k] = shape.dims[k - 1];
        shape.rank++;
        shape.dims[at] = length;
    }
    he_infer_set(out, slice->dtype, &shape);
    return HE_OK;
}

/* True when the loop cannot end before its trip count: the body hands on the condition
 * it got, and that one is absent or a constant true. */
static bool runs_to_the_end(const struct he_graph *body, const struct he_value *condition)
{
    const struct he_value *again = body_output(body, 0);
    uint32_t index = again ? body->outputs[0] : HE_NONE;

    bool goes_on;

    if (condition && !(read_condition(condition, &goes_on) && goes_on))
        return false;
    if (!again || body->input_count < 2)
        return false;
    if (read_condition(again, &goes_on))
        return goes_on;
    for (uint32_t step = 0; index != body->inputs[1] && step <= body->node_count; step++) {
        uint32_t producer = index < body->value_count ? body->values[index].producer : HE_NONE;

        if (producer >= body->node_count ||
            strcmp(body->nodes[producer].op, "Identity") != 0 ||
            body->nodes[producer].input_count != 1)
            return false;
        index = body->nodes[producer].inputs[0];
    }
    return index == body->inputs[1];
}

/* trip count, condition, states... -> states..., scans... */
static HE_INFER_RULE(infer_loop)
{
    const struct he_graph *body = body_of(node, "body");
    uint32_t states = node->explicit_input_count > 2 ? node->explicit_input_count - 2 : 0;
    int64_t trips = HE_DIM_UNKNOWN;
    he_status status;

    if (!body)
        return he_infer_error(node, "the body is missing");
    if (body->output_count < 1 + node->output_count || node->output_count < states)
        return he_infer_error(node, "the body gives %u values for %u states and %u outputs",
                              body->output_count, states, node->output_count);
    if (in[0] && he_infer_exact_scalar(in[0], &trips)) {
        trips = trips < 0 ? 0 : trips;
        if (!runs_to_the_end(body, in[1]))
            trips = HE_DIM_UNKNOWN;
    } else {
        trips = HE_DIM_UNKNOWN;
    }
    for (uint32_t k = 0; k < node->output_count; k++) {
        const struct he_value *value = body_output(body, k + 1);

        if (!value)
            return he_infer_error(node, "output %u of the body is missing", k + 1);
        if (!out[k])
            continue;
        if (k >= states) {
            status = set_stacked(node, out[k], value, 0, 0, trips);
            if (status != HE_OK)
                return status;
        } else {
            struct he_shape shape = common_shape(in[k + 2], value);

            he_infer_set(out[k], value->dtype, &shape);
        }
        out[k]->is_opaque = value->is_opaque;
    }
    return HE_OK;
}

/* Entry k of a list of axes; 0 when the list is absent. */
static int64_t axis_entry(const struct he_node *node, const char *name, uint32_t k)
{
    const int64_t *list;

    return k < he_node_ints(node, name, &list) ? list[k] : 0;
}

/* states..., scans... -> states..., scans...; until opset 8 lengths come first, and
 * everything has a batch axis in front. */
static HE_INFER_RULE(infer_scan)
{
    const struct he_graph *body = body_of(node, "body");
    uint32_t lead = node->opset < 9 ? 1 : 0;
    int64_t scans = he_node_int(node, "num_scan_inputs", 0);
    int64_t length = HE_DIM_UNKNOWN, batch = HE_DIM_UNKNOWN;
    uint32_t states, first;
    he_status status;

    if (!body)
        return he_infer_error(node, "the body is missing");
    if (scans < 1 || scans + lead > node->explicit_input_count)
        return he_infer_error(node, "num_scan_inputs is %" PRId64 " with %u inputs", scans,
                              node->explicit_input_count);
    first = node->explicit_input_count - (uint32_t)scans;
    states = first - lead;
    for (uint32_t k = 0; k < (uint32_t)scans; k++) {
        const struct he_value *value = in[first + k];
        uint32_t axis;

        if (!he_has_rank(value))
            continue;
        if (lead && value->shape.rank > 0)
            batch = he_dim_merge(batch, value->shape.dims[0]);
        if (value->shape.rank <= lead)
            return he_infer_error(node, "scan input %u is %s", k, he_infer_text(value).s);
        status = he_infer_axis(node, lead ? 0 : axis_entry(node, "scan_input_axes", k),
                               value->shape.rank - lead, &axis);
        if (status != HE_OK)
            return status;
        if (he_dim_conflict(length, value->shape.dims[axis + lead]))
            return he_infer_error(node, "scan input %u is %s, another has %" PRId64 " steps", k,
                                  he_infer_text(value).s, length);
        length = he_dim_merge(length, value->shape.dims[axis + lead]);
    }
    for (uint32_t k = 0; k < node->output_count; k++) {
        const struct he_value *value = body_output(body, k);
        struct he_value slice;

        if (!value)
            return he_infer_error(node, "output %u of the body is missing", k);
        if (!out[k])
            continue;
        if (k < states) {
            if (lead) {
                struct he_shape shape = in[k + lead] ? in[k + lead]->shape : he_shape_unknown();

                he_infer_set(out[k], value->dtype, &shape);
            } else {
                struct he_shape shape = common_shape(in[k], value);

                he_infer_set(out[k], value->dtype, &shape);
            }
            continue;
        }
        slice = *value;
        if (lead && has_shape(value) && value->shape.rank < HE_MAX_RANK) {
            for (uint32_t d = slice.shape.rank; d > 0; d--)
                slice.shape.dims[d] = slice.shape.dims[d - 1];
            slice.shape.dims[0] = batch;
            slice.shape.rank++;
        }
        status = set_stacked(node, out[k], &slice, lead,
                             lead ? 0 : axis_entry(node, "scan_output_axes", k - states), length);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

/* --- Work: what the body costs, times how often --- */

/* One node inside a body, with its values looked up. */
static void node_work(const struct he_graph *graph, const struct he_node *node,
                      struct he_work *sum)
{
    enum { MOST = 64 };
    const struct he_value *in[MOST], *out[MOST];
    struct he_node few = *node;
    struct he_work work;

    few.input_count = few.input_count < MOST ? few.input_count : MOST;
    few.explicit_input_count =
        few.explicit_input_count < few.input_count ? few.explicit_input_count : few.input_count;
    few.output_count = few.output_count < MOST ? few.output_count : MOST;
    for (uint32_t k = 0; k < few.input_count; k++)
        in[k] = node->inputs[k] < graph->value_count ? &graph->values[node->inputs[k]] : NULL;
    for (uint32_t k = 0; k < few.output_count; k++)
        out[k] = node->outputs[k] < graph->value_count ? &graph->values[node->outputs[k]] : NULL;
    he_op_work(&few, in, out, &work);
    sum->flops += work.flops;
    sum->read_bytes += work.read_bytes;
    sum->write_bytes += work.write_bytes;
    sum->is_estimate = sum->is_estimate || work.is_estimate;
}

static void graph_work(const struct he_graph *graph, struct he_work *sum)
{
    for (uint32_t k = 0; graph && k < graph->node_count; k++)
        node_work(graph, &graph->nodes[k], sum);
}

/* The dearer branch. */
static HE_WORK_RULE(work_if)
{
    struct he_work a = { .flops = 0 }, b = { .flops = 0 };
    struct he_work *more;

    graph_work(body_of(node, "then_branch"), &a);
    graph_work(body_of(node, "else_branch"), &b);
    more = a.flops + a.read_bytes >= b.flops + b.read_bytes ? &a : &b;
    work->flops = more->flops;
    work->read_bytes = more->read_bytes;
    work->write_bytes = more->write_bytes;
    work->is_estimate = true;
}

static void repeat(const struct he_graph *body, double times, struct he_work *work)
{
    struct he_work once = { .flops = 0 };

    graph_work(body, &once);
    work->flops = times * once.flops;
    work->read_bytes = times * once.read_bytes;
    work->write_bytes = times * once.write_bytes;
    work->is_estimate = true;
}

/* Rounds nobody knows count as ten. */
static HE_WORK_RULE(work_loop)
{
    int64_t trips;

    repeat(body_of(node, "body"),
           he_infer_exact_scalar(in[0], &trips) && trips >= 0 ? (double)trips : 10, work);
}

static HE_WORK_RULE(work_scan)
{
    int64_t scans = he_node_int(node, "num_scan_inputs", 0);
    uint32_t lead = node->opset < 9 ? 1 : 0, count = node->explicit_input_count;
    double times = 10;

    if (scans >= 1 && scans <= count && he_has_rank(in[count - (uint32_t)scans])) {
        const struct he_value *value = in[count - (uint32_t)scans];
        int64_t axis = lead ? 1 : axis_entry(node, "scan_input_axes", 0);

        if (axis < 0)
            axis += value->shape.rank;
        if (axis >= 0 && axis < (int64_t)value->shape.rank) {
            times = he_work_dim(value, (uint32_t)axis, work);
            if (lead)
                times *= he_work_dim(value, 0, work);
        }
    }
    repeat(body_of(node, "body"), times, work);
}

#define CONTROL(op, rule, cost, most, ...)                                                         \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule, .work = cost, \
      .access = HE_ACCESS_CONTROL, .work_class = HE_WORK_CONTROL, .split_axes = HE_SPLIT_NONE,     \
      .min_inputs = (most) == 1, .max_inputs = most, .max_outputs = 255 }

static const struct he_op rows[] = {
    CONTROL("If", infer_if, work_if, 1, 1, 11, 13, 16, 19, 21, 23, 24, 25),
    CONTROL("Loop", infer_loop, work_loop, 255, 1, 11, 13, 16, 19, 21, 23, 24, 25),
    CONTROL("Scan", infer_scan, work_scan, 255, 8, 9, 11, 16, 19, 21, 23, 24, 25),
};

const struct he_op_table he_ops_control = { rows, HE_COUNT(rows) };
