/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shape inference of If, Loop and Scan. A body's formal inputs get their types
 * from the node, the body is walked, its outputs give the node's. What a loop
 * carries may change its shape from round to round: the formal shape is widened
 * (differing dimensions become unknown) until the body gives what it takes.
 *
 * A branch of an If may be wrong for the shapes at hand and right for others; models count
 * on its not being taken then. Its nodes that do not fit keep their types and lose
 * their shapes (infer.c), and the other branch alone tells what the If gives.
 */
#include "graph/store.h"

#include <string.h>

/* Widening ends by itself (each step loses a dimension). As each level of nested loops
 * multiplies the walks, deep ones start with nothing known and are walked once. */
#define ROUNDS_MAX 8
#define WIDENED_DEPTH 4

/* What both @a and @b fit: dimensions they do not share become unknown. */
static struct he_shape widen(const struct he_shape *a, const struct he_shape *b)
{
    struct he_shape out = *a;

    if (a->rank != b->rank || a->rank == HE_RANK_UNKNOWN) {
        out.rank = HE_RANK_UNKNOWN;
        return out;
    }
    for (uint32_t d = 0; d < a->rank; d++)
        if (a->dims[d] != b->dims[d])
            out.dims[d] = HE_DIM_UNKNOWN;
    return out;
}

static struct he_shape without_axis(const struct he_shape *shape, int64_t axis)
{
    struct he_shape out = { .rank = HE_RANK_UNKNOWN };

    if (shape->rank == HE_RANK_UNKNOWN || shape->rank == 0)
        return out;
    if (axis < 0)
        axis += shape->rank;
    if (axis < 0 || axis >= shape->rank)
        return out;
    out.rank = 0;
    for (uint32_t d = 0; d < shape->rank; d++)
        if (d != axis)
            out.dims[out.rank++] = shape->dims[d];
    return out;
}

static struct he_shape with_axis(const struct he_shape *shape, int64_t axis, int64_t size)
{
    struct he_shape out = { .rank = HE_RANK_UNKNOWN };

    if (shape->rank == HE_RANK_UNKNOWN || shape->rank >= HE_MAX_RANK)
        return out;
    if (axis < 0)
        axis += shape->rank + 1;
    if (axis < 0 || axis > shape->rank)
        return out;
    out.rank = shape->rank + 1;
    for (uint32_t d = 0, from = 0; d < out.rank; d++)
        out.dims[d] = d == axis ? size : shape->dims[from++];
    return out;
}

static void set_type(struct he_value *value, enum he_dtype dtype, const struct he_shape *shape)
{
    value->dtype = dtype;
    value->shape = *shape;
    value->has_known_ints = false;
}

/* Captured values inside take the types of those outside. */
static void pass_captures(const struct he_graph *graph, const struct he_node *node,
                          const struct he_graph *which)
{
    uint32_t slot = node->explicit_input_count;
    struct he_graph *body;

    for (uint32_t b = 0; (body = he_node_body(node, b)); b++) {
        for (uint32_t k = 0; k < body->capture_count; k++, slot++) {
            const struct he_value *outer = &graph->values[node->inputs[slot]];
            struct he_value *inner =
                &body->values[body->inputs[body->input_count - body->capture_count + k]];

            if (body != which || inner->data)
                continue;
            inner->dtype = outer->dtype;
            inner->shape = outer->shape;
            inner->is_opaque = outer->is_opaque;
            inner->has_known_ints = outer->has_known_ints;
            memcpy(inner->known_ints, outer->known_ints, sizeof inner->known_ints);
        }
    }
}

static he_status need_body(const struct he_graph *body, const char *name, size_t inputs,
                           size_t outputs)
{
    if (!body)
        return he_error_set(HE_ERR_PARSE, "attribute '%s' is missing", name);
    if (body->input_count - body->capture_count != inputs || body->output_count < outputs)
        return he_error_set(HE_ERR_PARSE,
                            "attribute '%s' takes %u and gives %u values where %zu and at least "
                            "%zu are needed",
                            name, body->input_count - body->capture_count, body->output_count,
                            inputs, outputs);
    return HE_OK;
}

static he_status infer_if(struct he_graph *graph, struct he_node *node, he_body_walk walk,
                          const void *context)
{
    static const char *const names[2] = { "then_branch", "else_branch" };
    struct he_graph *bodies[2];
    const struct he_value *condition = he_node_input(graph, node, 0);
    int taken = -1;

    if (condition && condition->data && condition->data_bytes == 1)
        taken = *(const unsigned char *)condition->data ? 0 : 1;
    for (int b = 0; b < 2; b++) {
        he_status status;

        bodies[b] = he_node_body_named(node, names[b]);
        status = need_body(bodies[b], names[b], 0, node->output_count);
        if (status != HE_OK)
            return status;
        if (taken >= 0 && b != taken)
            continue; /* it is never run, and need not fit */
        pass_captures(graph, node, bodies[b]);
        he_graph_store(bodies[b])->is_broken = false;
        status = walk ? walk(context, bodies[b]) : he_graph_infer_nodes(bodies[b]);
        if (status != HE_OK)
            return status;
    }
    if (taken < 0) {
        bool is_broken[2] = { he_graph_store(bodies[0])->is_broken,
                              he_graph_store(bodies[1])->is_broken };

        /* A branch that cannot run gives nothing: the other one tells the shapes. */
        if (is_broken[0] != is_broken[1])
            taken = is_broken[0];
        else if (is_broken[0] && !he_graph_store(graph)->is_branch)
            return he_error_set(HE_ERR_SHAPE, "neither branch fits the shapes it is given");
        he_graph_store(graph)->is_broken |= is_broken[0] && is_broken[1];
    }
    for (uint32_t k = 0; k < node->output_count; k++) {
        const struct he_value *first, *second;
        struct he_shape shape;

        if (!he_node_has_output(node, k))
            continue;
        first = &bodies[taken == 1]->values[bodies[taken == 1]->outputs[k]];
        second = &bodies[taken != 0]->values[bodies[taken != 0]->outputs[k]];
        if (first->dtype != second->dtype)
            return he_error_set(HE_ERR_SHAPE, "output %u is %s in one branch and %s in the other", k,
                                he_dtype_name(first->dtype), he_dtype_name(second->dtype));
        shape = widen(&first->shape, &second->shape);
        set_type(&graph->values[node->outputs[k]], first->dtype, &shape);
        graph->values[node->outputs[k]].is_opaque = first->is_opaque || second->is_opaque;
    }
    return HE_OK;
}

/* Walks @body until formal input first_state + k has the shape of output first_output + k. */
static he_status infer_states(struct he_graph *body, uint32_t first_state, uint32_t first_output,
                              uint32_t count)
{
    if (he_graph_store(body)->depth > WIDENED_DEPTH)
        for (uint32_t k = 0; k < count; k++)
            body->values[body->inputs[first_state + k]].shape.rank = HE_RANK_UNKNOWN;
    for (int round = 0;; round++) {
        bool changed = false;
        he_status status = he_graph_infer_nodes(body);

        if (status != HE_OK)
            return status;
        for (uint32_t k = 0; k < count; k++) {
            struct he_value *in = &body->values[body->inputs[first_state + k]];
            const struct he_value *out = &body->values[body->outputs[first_output + k]];
            struct he_shape wide = widen(&in->shape, &out->shape);

            if (in->dtype != out->dtype && !he_graph_store(body)->is_broken)
                return he_error_set(HE_ERR_SHAPE,
                                    "state '%s' starts as %s and is %s after one round", in->name,
                                    he_dtype_name(in->dtype), he_dtype_name(out->dtype));
            if (round == ROUNDS_MAX)
                wide.rank = HE_RANK_UNKNOWN;
            if (wide.rank != in->shape.rank ||
                (wide.rank != HE_RANK_UNKNOWN && !he_shape_equal(&wide, &in->shape))) {
                in->shape = wide;
                changed = true;
            }
        }
        if (!changed)
            return HE_OK;
    }
}

/* Rounds of a Loop that cannot stop early; HE_DIM_UNKNOWN when it can or nobody knows. */
static int64_t trip_count(const struct he_graph *graph, const struct he_node *node,
                          const struct he_graph *body)
{
    const struct he_value *trips = he_node_input(graph, node, 0);
    const struct he_value *condition = he_node_input(graph, node, 1);
    const struct he_value *goes_on = &body->values[body->outputs[0]];
    uint32_t from = body->outputs[0];
    int64_t count;
    size_t counted;

    if (!trips || !he_value_read_ints(trips, &count, 1, &counted) || counted != 1)
        return HE_DIM_UNKNOWN;
    if (condition && !(condition->data && *(const unsigned char *)condition->data))
        return HE_DIM_UNKNOWN;
    while (goes_on->producer != HE_NONE && he_node_is(&body->nodes[goes_on->producer], "Identity")) {
        from = body->nodes[goes_on->producer].inputs[0];
        goes_on = &body->values[from];
    }
    if (from != body->inputs[1] && !(goes_on->data && goes_on->data_bytes == 1 &&
                                     *(const unsigned char *)goes_on->data))
        return HE_DIM_UNKNOWN;
    return count < 0 ? 0 : count;
}

static he_status infer_loop(struct he_graph *graph, struct he_node *node, he_body_walk walk,
                            const void *context)
{
    struct he_graph *body = he_node_body_named(node, "body");
    const struct he_shape scalar = { .rank = 0 };
    uint32_t states = node->explicit_input_count > 2 ? node->explicit_input_count - 2 : 0;
    const struct he_value *condition = he_node_input(graph, node, 1);
    int64_t trips;
    he_status status = need_body(body, "body", (size_t)states + 2, (size_t)states + 1);

    if (status != HE_OK)
        return status;
    if (node->output_count > body->output_count - 1)
        return he_error_set(HE_ERR_PARSE, "has %u outputs; its body makes %u", node->output_count,
                            body->output_count - 1);
    set_type(&body->values[body->inputs[0]], HE_INT64, &scalar);
    set_type(&body->values[body->inputs[1]], HE_BOOL, condition ? &condition->shape : &scalar);
    for (uint32_t k = 0; k < states; k++) {
        const struct he_value *start = he_node_input(graph, node, 2 + k);

        if (!start)
            return he_error_set(HE_ERR_PARSE, "state %u has no start value", k);
        set_type(&body->values[body->inputs[2 + k]], start->dtype, &start->shape);
    }
    pass_captures(graph, node, body);
    he_graph_store(body)->is_broken = false;
    status = infer_states(body, 2, 1, states);
    if (status == HE_OK && walk)
        status = walk(context, body);
    he_graph_store(graph)->is_broken |= he_graph_store(body)->is_broken;
    if (status != HE_OK)
        return status;
    trips = trip_count(graph, node, body);
    for (uint32_t k = 0; k < node->output_count; k++) {
        const struct he_value *inner = &body->values[body->outputs[1 + k]];
        struct he_shape shape = k < states ? body->values[body->inputs[2 + k]].shape
                                           : with_axis(&inner->shape, 0, trips);

        if (he_node_has_output(node, k))
            set_type(&graph->values[node->outputs[k]], inner->dtype, &shape);
    }
    return HE_OK;
}

static int64_t list_at(const struct he_node *node, const char *name, uint32_t k)
{
    const int64_t *list;

    return k < he_node_ints(node, name, &list) ? list[k] : 0;
}

static he_status infer_scan(struct he_graph *graph, struct he_node *node, he_body_walk walk,
                            const void *context)
{
    struct he_graph *body = he_node_body_named(node, "body");
    int64_t scans = he_node_int(node, "num_scan_inputs", 0);
    /* Before opset 9 there was an input of lengths, and a batch axis in front. */
    uint32_t skip = node->opset < 9 ? 1 : 0, first_scan, states;
    int64_t length = HE_DIM_UNKNOWN, batch = HE_DIM_UNKNOWN;
    he_status status;

    if (scans < 1 || scans + skip > node->explicit_input_count)
        return he_error_set(HE_ERR_PARSE, "num_scan_inputs is %lld with %u inputs",
                            (long long)scans, node->explicit_input_count);
    first_scan = node->explicit_input_count - (uint32_t)scans;
    states = first_scan - skip;
    status = need_body(body, "body", (size_t)states + (size_t)scans, states);
    if (status != HE_OK)
        return status;
    if (node->output_count > body->output_count)
        return he_error_set(HE_ERR_PARSE, "has %u outputs; its body makes %u", node->output_count,
                            body->output_count);
    for (uint32_t k = skip; k < node->explicit_input_count; k++) {
        const struct he_value *in = he_node_input(graph, node, k);
        struct he_shape shape;

        if (!in)
            return he_error_set(HE_ERR_PARSE, "input %u is missing", k);
        shape = in->shape;
        if (skip) {
            if (shape.rank != HE_RANK_UNKNOWN && shape.rank > 0 && batch < 0)
                batch = shape.dims[0];
            shape = without_axis(&shape, 0);
        }
        if (k >= first_scan) {
            int64_t axis = skip ? 0 : list_at(node, "scan_input_axes", k - first_scan);

            if (shape.rank != HE_RANK_UNKNOWN) {
                int64_t at = axis < 0 ? axis + shape.rank : axis;

                if (at < 0 || at >= shape.rank)
                    return he_error_set(HE_ERR_SHAPE, "scan input %u of rank %u has no axis %lld",
                                        k - first_scan, shape.rank, (long long)axis);
                if (length < 0)
                    length = shape.dims[at];
            }
            shape = without_axis(&shape, axis);
        }
        set_type(&body->values[body->inputs[k - skip]], in->dtype, &shape);
    }
    pass_captures(graph, node, body);
    he_graph_store(body)->is_broken = false;
    status = infer_states(body, 0, 0, states);
    if (status == HE_OK && walk)
        status = walk(context, body);
    he_graph_store(graph)->is_broken |= he_graph_store(body)->is_broken;
    if (status != HE_OK)
        return status;
    for (uint32_t k = 0; k < node->output_count; k++) {
        const struct he_value *inner = &body->values[body->outputs[k]];
        struct he_shape shape = k < states ? body->values[body->inputs[k]].shape : inner->shape;

        if (k >= states)
            shape = with_axis(&shape, skip ? 0 : list_at(node, "scan_output_axes", k - states),
                              length);
        if (skip)
            shape = with_axis(&shape, 0, batch);
        if (he_node_has_output(node, k))
            set_type(&graph->values[node->outputs[k]], inner->dtype, &shape);
    }
    return HE_OK;
}

he_status he_graph_infer_control(struct he_graph *graph, struct he_node *node, he_body_walk walk,
                                 const void *context)
{
    if (he_node_is(node, "If"))
        return infer_if(graph, node, walk, context);
    if (he_node_is(node, "Loop"))
        return infer_loop(graph, node, walk, context);
    if (he_node_is(node, "Scan"))
        return infer_scan(graph, node, walk, context);
    return he_error_set(HE_ERR_UNSUPPORTED, "an operator with a sub-graph that is not known here");
}
