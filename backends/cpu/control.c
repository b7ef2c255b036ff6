/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control flow: what If, Loop and Scan share, and If itself. Sub-graphs are
 * nested programs; values of the outer graph are used where they are, and
 * a branch writes its results straight to the node's outputs.
 */
#include "control.h"

#include <string.h>

bool cpu_is_control(const struct he_node *node)
{
    if (node->domain && *node->domain && strcmp(node->domain, "ai.onnx") != 0)
        return false;
    return !strcmp(node->op, "If") || !strcmp(node->op, "Loop") || !strcmp(node->op, "Scan");
}

/* --- Operands --- */

static he_status init_outer(struct cpu_control *control, const struct cpu_compile *c,
                            uint32_t value, bool is_output, struct cpu_outer *out)
{
    const struct he_value *v;
    size_t bytes;
    he_status status;

    if (value == HE_NONE)
        return HE_OK;
    v = &c->region->graph->values[value];
    out->slot = c->slot_of[value];
    if (out->slot != HE_NONE) {
        out->value = v;
        out->is_dynamic = c->region->slots[out->slot].is_dynamic;
        if (c->region->slots[out->slot].layout != HE_LAYOUT_PLAIN && v->shape.rank >= 3)
            return he_error_set(HE_ERR_UNSUPPORTED, "value \"%s\" is channels-last", v->name);
        return HE_OK;
    }
    if (is_output)
        return HE_OK; /* nobody reads it */
    if (!v->data)
        return he_error_set(HE_ERR_INTERNAL, "input \"%s\" is neither constant nor in a slot",
                            v->name);
    out->value = v;
    out->data = v->data;
    if ((uintptr_t)v->data % 8 == 0)
        return HE_OK;
    status = cpu_value_bytes(v, &bytes);
    if (status != HE_OK)
        return status;
    if (bytes > v->data_bytes)
        return he_error_set(HE_ERR_SHAPE, "constant \"%s\" is shorter than its shape", v->name);
    out->owned = cpu_alloc_aligned(&control->alloc, bytes);
    if (!out->owned)
        return cpu_no_memory();
    memcpy(out->owned, v->data, bytes);
    out->data = out->owned;
    control->base.constant_bytes += bytes;
    return HE_OK;
}

static he_status init_bodies(struct cpu_control *control, const struct cpu_compile *c,
                             const char *const *names, uint32_t count)
{
    const struct he_node *node = control->node;
    uint32_t capture = node->explicit_input_count, a, k;
    struct cpu_body *body;
    he_status status;

    control->body_count = count;
    for (a = 0; a < node->attr_count; a++) {
        if (node->attrs[a].kind != HE_ATTR_GRAPH || !node->attrs[a].graph)
            continue;
        for (k = 0; k < count; k++) {
            if (strcmp(node->attrs[a].name, names[k]) != 0)
                continue;
            control->bodies[k].graph = node->attrs[a].graph;
            control->bodies[k].first_capture = capture;
        }
        capture += node->attrs[a].graph->capture_count;
    }
    if (capture > node->input_count)
        return he_error_set(HE_ERR_INTERNAL, "its sub-graphs capture more than the node lists");
    for (k = 0; k < count; k++) {
        body = &control->bodies[k];
        if (!body->graph)
            return he_error_set(HE_ERR_SHAPE, "it has no sub-graph \"%s\"", names[k]);
        if (body->graph->capture_count > body->graph->input_count)
            return he_error_set(HE_ERR_INTERNAL, "\"%s\" captures more than it takes", names[k]);
        status = cpu_nested_create(c, body->graph, &body->nested);
        if (status != HE_OK)
            return status;
        control->base.constant_bytes += body->nested->constant_bytes;
        if (body->nested->workspace_bytes > control->base.workspace_bytes)
            control->base.workspace_bytes = body->nested->workspace_bytes;
    }
    return HE_OK;
}

he_status cpu_control_init(struct cpu_control *control, const struct cpu_compile *c,
                           const struct he_node *node, const char *const *bodies,
                           uint32_t body_count)
{
    he_status status = HE_OK;
    uint32_t k;

    control->alloc = c->alloc;
    control->node = node;
    control->in = cpu_alloc(&c->alloc, node->input_count, sizeof *control->in);
    control->out = cpu_alloc(&c->alloc, node->output_count, sizeof *control->out);
    if (!control->in || !control->out)
        return cpu_no_memory();
    for (k = 0; k < node->input_count && status == HE_OK; k++)
        status = init_outer(control, c, node->inputs[k], false, &control->in[k]);
    for (k = 0; k < node->output_count && status == HE_OK; k++)
        status = init_outer(control, c, node->outputs[k], true, &control->out[k]);
    if (status != HE_OK)
        return status;
    return init_bodies(control, c, bodies, body_count);
}

void cpu_control_fini(struct cpu_control *control)
{
    uint32_t k;

    for (k = 0; k < control->body_count; k++)
        cpu_nested_destroy(control->bodies[k].nested);
    for (k = 0; control->in && k < control->node->input_count; k++)
        cpu_free_aligned(&control->alloc, control->in[k].owned);
    cpu_free(&control->alloc, control->in);
    cpu_free(&control->alloc, control->out);
}

struct he_tensor cpu_outer_tensor(const struct cpu_outer *outer, const struct cpu_frame *frame)
{
    const struct he_dynamic_tensor *dynamic;

    if (!outer->value)
        return (struct he_tensor){ .dtype = HE_DTYPE_NONE };
    if (outer->slot == HE_NONE)
        return he_tensor_dense(outer->value->dtype, &outer->value->shape,
                               (void *)(uintptr_t)outer->data);
    if (!outer->is_dynamic)
        return he_tensor_dense(outer->value->dtype, &outer->value->shape,
                               frame->slots[outer->slot]);
    dynamic = frame->dynamic[outer->slot];
    if (!dynamic)
        return (struct he_tensor){ .dtype = HE_DTYPE_NONE };
    return he_tensor_dense(dynamic->dtype, &dynamic->shape, dynamic->data);
}

he_status cpu_outer_place(const struct cpu_control *control, const struct cpu_outer *outer,
                          const struct cpu_frame *frame, enum he_dtype dtype,
                          const struct he_shape *shape, void **data)
{
    he_status status;

    *data = NULL;
    if (outer->is_dynamic) {
        if (!frame->dynamic[outer->slot])
            return he_error_set(HE_ERR_INVALID, "dynamic value \"%s\" is bound to nothing",
                                outer->value->name);
        status = cpu_dynamic_shape(&control->alloc, frame->dynamic[outer->slot], dtype, shape);
        *data = frame->dynamic[outer->slot]->data;
        return status;
    }
    if (dtype != outer->value->dtype || !he_shape_equal(shape, &outer->value->shape))
        return he_error_set(HE_ERR_SHAPE,
                            "output \"%s\" came out with another type or shape than planned",
                            outer->value->name);
    *data = frame->slots[outer->slot];
    return HE_OK;
}

he_status cpu_outer_store(const struct cpu_control *control, const struct cpu_outer *outer,
                          const struct cpu_frame *frame, const struct he_tensor *tensor)
{
    const struct he_dynamic_tensor *dynamic;
    int64_t bytes;
    void *data;
    he_status status;

    if (!outer->value)
        return HE_OK;
    if (outer->is_dynamic) {
        dynamic = frame->dynamic[outer->slot];
        if (dynamic && dynamic->data == tensor->data && tensor->data &&
            he_shape_equal(&dynamic->shape, &tensor->shape))
            return HE_OK; /* written there by the body */
    }
    status = cpu_outer_place(control, outer, frame, tensor->dtype, &tensor->shape, &data);
    if (status != HE_OK)
        return status;
    bytes = he_shape_bytes(&tensor->shape, tensor->dtype);
    if (bytes > 0)
        cpu_copy_bytes(frame->team, data, tensor->data, (size_t)bytes);
    return HE_OK;
}

he_status cpu_control_capture(const struct cpu_control *control, uint32_t body,
                              struct cpu_nested_state *state, const struct cpu_frame *frame)
{
    const struct he_graph *graph = control->bodies[body].graph;
    uint32_t first_input = graph->input_count - graph->capture_count, k;
    struct he_tensor tensor;
    he_status status;

    for (k = 0; k < graph->capture_count; k++) {
        tensor = cpu_outer_tensor(&control->in[control->bodies[body].first_capture + k], frame);
        status = cpu_nested_input(state, first_input + k, tensor.dtype, &tensor.shape, tensor.data);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

/* --- Values that go round --- */

void cpu_carried_fini(const struct he_allocator *alloc, struct cpu_carried *carried)
{
    cpu_free(alloc, carried->tensors[0].data);
    cpu_free(alloc, carried->tensors[1].data);
}

he_status cpu_carried_begin(const struct he_allocator *alloc, struct cpu_carried *carried,
                            struct cpu_nested_state *state, uint32_t input, uint32_t output)
{
    const struct he_graph *graph = state->nested->graph;
    const struct he_value *value = &graph->values[graph->outputs[output]];
    struct he_dynamic_tensor *target = &carried->tensors[carried->next];
    he_status status;

    if (cpu_nested_output_is_static(state->nested, output)) {
        status = cpu_dynamic_shape(alloc, target, value->dtype, &value->shape);
        if (status != HE_OK)
            return status;
    }
    cpu_nested_output_to(state, output, target->data, target);
    return cpu_nested_input(state, input, carried->now.dtype, &carried->now.shape,
                            carried->now.data);
}

he_status cpu_carried_end(const struct he_allocator *alloc, struct cpu_carried *carried,
                          struct cpu_nested_state *state, uint32_t output, struct cpu_team *team)
{
    struct he_dynamic_tensor *target = &carried->tensors[carried->next];
    struct he_tensor made = cpu_nested_output(state, output);
    int64_t bytes;
    he_status status;

    if (made.dtype == HE_DTYPE_NONE)
        return he_error_set(HE_ERR_INTERNAL, "the body made no output %u", output);
    if (made.data != target->data) { /* a constant, or an input handed through */
        status = cpu_dynamic_shape(alloc, target, made.dtype, &made.shape);
        if (status != HE_OK)
            return status;
        bytes = he_shape_bytes(&made.shape, made.dtype);
        if (bytes > 0)
            cpu_copy_bytes(team, target->data, made.data, (size_t)bytes);
    }
    carried->now = he_tensor_dense(target->dtype, &target->shape, target->data);
    carried->next = 1 - carried->next;
    return HE_OK;
}

/* --- If --- */

struct if_state {
    struct cpu_nested_state *branches[2];
};

static void if_unbind(const struct cpu_step *base, void *self)
{
    const struct cpu_control *control = (const struct cpu_control *)base;
    struct if_state *state = self;

    if (!state)
        return;
    cpu_nested_unbind(state->branches[0]);
    cpu_nested_unbind(state->branches[1]);
    cpu_free(&control->alloc, state);
}

static he_status if_bind(const struct cpu_step *base, void **out)
{
    const struct cpu_control *control = (const struct cpu_control *)base;
    struct if_state *state = cpu_alloc(&control->alloc, 1, sizeof *state);
    he_status status = HE_OK;
    uint32_t k;

    if (!state)
        return cpu_no_memory();
    for (k = 0; k < 2 && status == HE_OK; k++)
        status = cpu_nested_bind(control->bodies[k].nested, &state->branches[k]);
    if (status != HE_OK) {
        if_unbind(base, state);
        return status;
    }
    *out = state;
    return HE_OK;
}

/* Lets the branch write where the outer graph wants its result. */
static he_status aim_output(const struct cpu_control *control, const struct cpu_body *body,
                            struct cpu_nested_state *state, uint32_t k,
                            const struct cpu_frame *frame)
{
    const struct cpu_outer *outer = &control->out[k];
    const struct he_value *value = &body->graph->values[body->graph->outputs[k]];
    void *data;
    he_status status;

    if (!outer->value || body->nested->output_slots[k] == HE_NONE)
        return HE_OK; /* stays in the arena, or is copied afterwards */
    if (!cpu_nested_output_is_static(body->nested, k)) {
        cpu_nested_output_to(state, k, NULL,
                             outer->is_dynamic ? frame->dynamic[outer->slot] : NULL);
        return HE_OK;
    }
    status = cpu_outer_place(control, outer, frame, value->dtype, &value->shape, &data);
    if (status == HE_OK)
        cpu_nested_output_to(state, k, data, NULL);
    return status;
}

static he_status if_body(const struct cpu_control *control, struct if_state *state,
                         const struct cpu_frame *frame)
{
    struct he_tensor condition = cpu_outer_tensor(&control->in[0], frame), tensor;
    const struct cpu_body *body;
    struct cpu_nested_state *branch;
    uint32_t which, k;
    he_status status;

    if (!condition.data || he_shape_bytes(&condition.shape, condition.dtype) < 1)
        return he_error_set(HE_ERR_SHAPE, "its condition has no element");
    which = *(const uint8_t *)condition.data ? 0 : 1;
    body = &control->bodies[which];
    branch = state->branches[which];
    cpu_nested_begin(branch, frame->workspace);
    status = cpu_control_capture(control, which, branch, frame);
    for (k = 0; k < control->node->output_count && status == HE_OK; k++)
        status = aim_output(control, body, branch, k, frame);
    if (status == HE_OK)
        status = cpu_nested_run(branch);
    for (k = 0; k < control->node->output_count && status == HE_OK; k++) {
        if (!control->out[k].value)
            continue;
        tensor = cpu_nested_output(branch, k);
        status = cpu_outer_store(control, &control->out[k], frame, &tensor);
    }
    return status;
}

static he_status if_run(const struct cpu_step *base, void *state, const struct cpu_frame *frame)
{
    const struct cpu_control *control = (const struct cpu_control *)base;
    he_status status = if_body(control, state, frame);

    return status == HE_OK ? HE_OK : cpu_node_failed(status, control->node);
}

static void if_destroy(struct cpu_step *base)
{
    struct cpu_control *control = (struct cpu_control *)base;
    struct he_allocator alloc = control->alloc;

    cpu_control_fini(control);
    cpu_free(&alloc, control);
}

static const struct cpu_step_ops if_ops = {
    .bind = if_bind, .unbind = if_unbind, .run = if_run, .destroy = if_destroy };

static he_status if_step(const struct cpu_compile *c, const struct he_node *node,
                         struct cpu_step **out)
{
    static const char *const branches[] = { "then_branch", "else_branch" };
    struct cpu_control *control = cpu_alloc(&c->alloc, 1, sizeof *control);
    he_status status;
    uint32_t k;

    if (!control)
        return cpu_no_memory();
    control->base.ops = &if_ops;
    status = cpu_control_init(control, c, node, branches, 2);
    if (status == HE_OK && !node->input_count)
        status = he_error_set(HE_ERR_SHAPE, "it has no condition");
    for (k = 0; k < 2 && status == HE_OK; k++)
        if (control->bodies[k].graph->output_count < node->output_count)
            status = he_error_set(HE_ERR_SHAPE, "%s has fewer outputs than the node", branches[k]);
    if (status != HE_OK) {
        control->alloc = c->alloc;
        if_destroy(&control->base);
        return status;
    }
    *out = &control->base;
    return HE_OK;
}

he_status cpu_control_step(const struct cpu_compile *c, const struct he_task *task,
                           struct cpu_step **out)
{
    const struct he_node *node = &c->region->graph->nodes[task->nodes[0]];
    he_status status;

    *out = NULL;
    if (task->node_count != 1)
        return he_error_set(HE_ERR_UNSUPPORTED, "%s inside a fused task", node->op);
    if (!strcmp(node->op, "If"))
        status = if_step(c, node, out);
    else if (!strcmp(node->op, "Loop"))
        status = cpu_loop_step(c, node, out);
    else
        status = cpu_scan_step(c, node, out);
    return status == HE_OK ? HE_OK : cpu_node_failed(status, node);
}
