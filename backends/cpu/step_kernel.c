/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task from the kernel tables. Its operands (constants, slots, values that stay
 * inside) are laid out when it is compiled; running is: put addresses into
 * the tensors, call the kernel, next node. A kernel that wants dense tensors gets
 * channels-last operands through a dense copy in the workspace.
 */
#include "kernel_step.h"

#include <string.h>

bool cpu_is_view(const struct he_graph *graph, const struct he_node *node)
{
    static const char *const ops[] = { "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity" };
    const struct he_value *training;
    size_t k;

    if (node->domain && *node->domain && strcmp(node->domain, "ai.onnx") != 0)
        return false;
    for (k = 0; k < sizeof ops / sizeof ops[0]; k++)
        if (!strcmp(node->op, ops[k]))
            return true;
    if (strcmp(node->op, "Dropout") != 0)
        return false;
    if (node->output_count > 1 && node->outputs[1] != HE_NONE)
        return false; /* the mask has to be made */
    if (node->input_count < 3 || node->inputs[2] == HE_NONE)
        return true;
    training = &graph->values[node->inputs[2]];
    return training->data && training->data_bytes == 1 && !*(const char *)training->data;
}

/* --- Making --- */

static uint32_t find_operand(const struct cpu_kernel_step *step, uint32_t value)
{
    uint32_t k;

    for (k = 0; k < step->operand_count; k++)
        if (step->operands[k].value == value)
            return k;
    return HE_NONE;
}

static he_status init_constant(struct cpu_kernel_step *step, struct cpu_operand *operand,
                               const struct he_value *value)
{
    size_t bytes, size = he_dtype_bits(value->dtype) / 8;
    he_status status = cpu_value_bytes(value, &bytes);

    if (status != HE_OK)
        return status;
    if (bytes > value->data_bytes)
        return he_error_set(HE_ERR_SHAPE, "constant \"%s\" has %zu bytes, its shape needs %zu",
                            value->name, value->data_bytes, bytes);
    operand->kind = CPU_CONSTANT;
    operand->data = value->data;
    if (size > 8)
        size = 8; /* of complex numbers the halves count */
    if (!size || (uintptr_t)value->data % size == 0)
        return HE_OK;
    operand->owned = cpu_alloc_aligned(&step->alloc, bytes);
    if (!operand->owned)
        return cpu_no_memory();
    memcpy(operand->owned, value->data, bytes);
    operand->data = operand->owned;
    step->base.constant_bytes += bytes;
    return HE_OK;
}

static he_status add_operand(struct cpu_kernel_step *step, const struct cpu_compile *c,
                             uint32_t value, bool is_static, uint32_t *out)
{
    const struct he_value *v;
    struct cpu_operand *operand;
    size_t bytes;
    he_status status;

    *out = HE_NONE;
    if (value == HE_NONE)
        return HE_OK;
    *out = find_operand(step, value);
    if (*out != HE_NONE)
        return HE_OK;
    *out = step->operand_count++;
    v = &c->region->graph->values[value];
    operand = &step->operands[*out];
    *operand = (struct cpu_operand){
        .kind = CPU_LOCAL, .value = value, .slot = c->slot_of[value], .staging = CPU_NOT_STAGED };
    if (operand->slot != HE_NONE) {
        operand->kind = CPU_SLOT;
        operand->layout = c->region->slots[operand->slot].layout;
        operand->is_dynamic = c->region->slots[operand->slot].is_dynamic;
        if (v->shape.rank < 3)
            operand->layout = HE_LAYOUT_PLAIN;
        return HE_OK;
    }
    if (v->data)
        return init_constant(step, operand, v);
    if (!is_static)
        return HE_OK;
    status = cpu_value_bytes(v, &bytes);
    if (status != HE_OK)
        return status;
    return cpu_place(&step->base.workspace_bytes, bytes + !bytes, &operand->offset);
}

/* A value that stays inside takes the layout of a task output of its shape, so
 * that an elementwise chain behind a convolution never leaves it. */
static void choose_local_layouts(struct cpu_kernel_step *step)
{
    const struct he_value *local, *other;
    uint32_t k, j;

    for (k = 0; k < step->operand_count; k++) {
        if (step->operands[k].kind != CPU_LOCAL)
            continue;
        local = cpu_operand_value(step, &step->operands[k]);
        for (j = 0; j < step->operand_count; j++) {
            other = cpu_operand_value(step, &step->operands[j]);
            if (step->operands[j].kind == CPU_SLOT &&
                step->operands[j].layout == HE_LAYOUT_CHANNELS_LAST &&
                he_shape_equal(&local->shape, &other->shape))
                step->operands[k].layout = HE_LAYOUT_CHANNELS_LAST;
        }
    }
}

static he_status stage(struct cpu_kernel_step *step, struct cpu_operand *operand)
{
    size_t bytes;
    he_status status;

    if (operand->staging != CPU_NOT_STAGED)
        return HE_OK;
    status = cpu_value_bytes(cpu_operand_value(step, operand), &bytes);
    if (status != HE_OK)
        return status;
    return cpu_place(&step->base.workspace_bytes, bytes + !bytes, &operand->staging);
}

/* Decides how the kernel sees each operand; tensors stay without address. */
static he_status plan_tensors(struct cpu_kernel_step *step, struct cpu_node_plan *plan)
{
    struct he_tensor *tensors = &step->tensors[plan->first_tensor];
    uint32_t count = plan->in_count + plan->out_count, k;
    const struct cpu_operand *operand;
    bool has_layout = false;
    he_status status;

    for (k = 0; k < count; k++) {
        if (plan->operands[k] == HE_NONE)
            continue;
        operand = &step->operands[plan->operands[k]];
        tensors[k] = cpu_layout_tensor(cpu_operand_value(step, operand), operand->layout, NULL);
        has_layout |= operand->layout != HE_LAYOUT_PLAIN;
    }
    if (!has_layout)
        return HE_OK;
    if (!plan->is_view) {
        if (cpu_is_pointwise(plan->node) && cpu_layout_flatten(tensors, count))
            return HE_OK;
        if (plan->kernel->flags & CPU_STRIDED)
            return HE_OK;
    }
    for (k = 0; k < count; k++) {
        if (plan->operands[k] == HE_NONE)
            continue;
        operand = &step->operands[plan->operands[k]];
        if (operand->layout == HE_LAYOUT_PLAIN)
            continue;
        plan->is_staged[k] = true;
        tensors[k] = cpu_layout_tensor(cpu_operand_value(step, operand), HE_LAYOUT_PLAIN, NULL);
        status = stage(step, &step->operands[plan->operands[k]]);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

static he_status plan_scratch(struct cpu_kernel_step *step, struct cpu_node_plan *plan,
                              size_t base, size_t *end)
{
    const struct he_tensor *tensors = &step->tensors[plan->first_tensor];
    size_t bytes, place = base;
    he_status status;

    if (plan->is_view || !plan->kernel->scratch)
        return HE_OK;
    bytes = plan->kernel->scratch(plan->node, tensors, plan->in_count, tensors + plan->in_count,
                                  plan->out_count);
    status = cpu_place(&place, bytes, &plan->scratch);
    if (place > *end)
        *end = place;
    return status;
}

static he_status plan_node(struct cpu_kernel_step *step, const struct cpu_compile *c,
                           const struct he_node *node, struct cpu_node_plan *plan, bool is_static)
{
    uint32_t k;
    he_status status;

    plan->node = node;
    plan->is_view = cpu_is_view(step->graph, node);
    /* Other inputs of a view (a shape, axes) matter to the shape rule only. */
    plan->in_count = plan->is_view && is_static ? 1 : node->input_count;
    plan->out_count = plan->is_view && is_static ? 1 : node->output_count;
    if (!plan->is_view) {
        plan->kernel = cpu_node_kernel(step->graph, node);
        if (!plan->kernel)
            return he_error_set(HE_ERR_UNSUPPORTED, "no kernel for these types");
        if (is_static && (plan->kernel->flags & CPU_DATA_SHAPE))
            return he_error_set(HE_ERR_INTERNAL, "its output shape depends on data");
    } else if (!node->input_count || !node->output_count || node->inputs[0] == HE_NONE) {
        return he_error_set(HE_ERR_SHAPE, "it has no data input or no output");
    }
    for (k = 0; k < plan->in_count + plan->out_count; k++) {
        status = add_operand(step, c,
                             k < plan->in_count ? node->inputs[k]
                                                : node->outputs[k - plan->in_count],
                             is_static, &plan->operands[k]);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

/* A static slot in channels-last still comes in through a copy. */
static he_status stage_dynamic(struct cpu_kernel_step *step)
{
    he_status status = HE_OK;
    uint32_t k;

    for (k = 0; k < step->operand_count && status == HE_OK; k++)
        if (step->operands[k].layout == HE_LAYOUT_CHANNELS_LAST && !step->operands[k].is_dynamic)
            status = stage(step, &step->operands[k]);
    return status;
}

static he_status plan_nodes(struct cpu_kernel_step *step, const struct cpu_compile *c,
                            const struct he_task *task, bool is_static)
{
    struct cpu_node_plan *plan;
    const struct he_node *node;
    uint32_t n, first = 0;
    size_t base, end;
    he_status status;

    for (n = 0; n < task->node_count; n++) {
        node = &step->graph->nodes[task->nodes[n]];
        plan = &step->nodes[n];
        plan->operands = &step->indices[first];
        plan->is_staged = &step->flags[first];
        plan->first_tensor = first;
        first += node->input_count + node->output_count;
        status = plan_node(step, c, node, plan, is_static);
        if (status != HE_OK)
            return cpu_node_failed(status, node);
    }
    if (!is_static)
        return stage_dynamic(step);
    choose_local_layouts(step);
    for (n = 0; n < task->node_count; n++) {
        status = plan_tensors(step, &step->nodes[n]);
        if (status != HE_OK)
            return cpu_node_failed(status, step->nodes[n].node);
    }
    base = end = step->base.workspace_bytes; /* nodes run in turn: one scratch for all */
    for (n = 0; n < task->node_count; n++) {
        status = plan_scratch(step, &step->nodes[n], base, &end);
        if (status != HE_OK)
            return cpu_node_failed(status, step->nodes[n].node);
    }
    step->base.workspace_bytes = end;
    return HE_OK;
}

static bool has_data_shape(const struct he_graph *graph, const struct he_task *task)
{
    const struct cpu_kernel *kernel;
    uint32_t n;

    for (n = 0; n < task->node_count; n++) {
        kernel = cpu_node_kernel(graph, &graph->nodes[task->nodes[n]]);
        if (kernel && (kernel->flags & CPU_DATA_SHAPE))
            return true;
    }
    return false;
}

he_status cpu_kernel_step(const struct cpu_compile *c, const struct he_task *task,
                          struct cpu_step **out)
{
    bool is_static = cpu_task_is_static(c, task) && !has_data_shape(c->region->graph, task);
    struct cpu_kernel_step *step;
    size_t count = 0;
    uint32_t n;
    he_status status;

    *out = NULL;
    step = cpu_alloc(&c->alloc, 1, sizeof *step);
    if (!step)
        return cpu_no_memory();
    step->base.ops = is_static ? &cpu_kernel_step_ops : &cpu_dynamic_step_ops;
    step->alloc = c->alloc;
    step->graph = c->region->graph;
    step->node_count = task->node_count;
    for (n = 0; n < task->node_count; n++)
        count += (size_t)step->graph->nodes[task->nodes[n]].input_count +
                 step->graph->nodes[task->nodes[n]].output_count;
    step->tensor_count = (uint32_t)count;
    step->nodes = cpu_alloc(&c->alloc, task->node_count, sizeof *step->nodes);
    step->operands = cpu_alloc(&c->alloc, count, sizeof *step->operands);
    step->indices = cpu_alloc(&c->alloc, count, sizeof *step->indices);
    step->flags = cpu_alloc(&c->alloc, count, sizeof *step->flags);
    if (is_static)
        step->tensors = cpu_alloc(&c->alloc, count, sizeof *step->tensors);
    if (!step->nodes || !step->operands || !step->indices || !step->flags ||
        (is_static && !step->tensors)) {
        cpu_kernel_step_destroy(&step->base);
        return cpu_no_memory();
    }
    status = plan_nodes(step, c, task, is_static);
    if (status != HE_OK) {
        cpu_kernel_step_destroy(&step->base);
        return status;
    }
    *out = &step->base;
    return HE_OK;
}

void cpu_kernel_step_destroy(struct cpu_step *base)
{
    struct cpu_kernel_step *step = (struct cpu_kernel_step *)base;
    struct he_allocator alloc = step->alloc;
    uint32_t k;

    for (k = 0; step->operands && k < step->operand_count; k++)
        cpu_free_aligned(&alloc, step->operands[k].owned);
    cpu_free(&alloc, step->tensors);
    cpu_free(&alloc, step->flags);
    cpu_free(&alloc, step->indices);
    cpu_free(&alloc, step->operands);
    cpu_free(&alloc, step->nodes);
    cpu_free(&alloc, step);
}

/* --- Running, static shapes --- */

/* Instances run at the same time, so each has tensors of its own to put addresses into. */
static he_status kernel_bind(const struct cpu_step *base, void **state)
{
    const struct cpu_kernel_step *step = (const struct cpu_kernel_step *)base;
    struct he_tensor *tensors;

    tensors = cpu_alloc(&step->alloc, step->tensor_count, sizeof *tensors);
    if (!tensors)
        return cpu_no_memory();
    memcpy(tensors, step->tensors, step->tensor_count * sizeof *tensors);
    *state = tensors;
    return HE_OK;
}

static void kernel_unbind(const struct cpu_step *base, void *state)
{
    const struct cpu_kernel_step *step = (const struct cpu_kernel_step *)base;

    cpu_free(&step->alloc, state);
}

static void *address_of(const struct cpu_operand *operand, const struct cpu_frame *frame)
{
    switch (operand->kind) {
    case CPU_CONSTANT:
        return (void *)(uintptr_t)operand->data; /* kernels do not write to inputs */
    case CPU_SLOT:
        return frame->slots[operand->slot];
    default:
        return (char *)frame->workspace + operand->offset;
    }
}

/* The operand where it really is, in its own layout. */
static struct he_tensor real_tensor(const struct cpu_kernel_step *step,
                                    const struct cpu_operand *operand,
                                    const struct cpu_frame *frame)
{
    return cpu_layout_tensor(cpu_operand_value(step, operand), operand->layout,
                             address_of(operand, frame));
}

static void copy_view(const struct cpu_kernel_step *step, const struct cpu_node_plan *plan,
                      struct he_tensor *tensors, const struct cpu_frame *frame)
{
    const struct cpu_operand *in = &step->operands[plan->operands[0]];
    const struct cpu_operand *out = &step->operands[plan->operands[1]];
    void *from = address_of(in, frame), *to = address_of(out, frame);
    struct he_tensor real;
    int64_t bytes = he_shape_bytes(&tensors[1].shape, tensors[1].dtype);

    if (in->layout == out->layout &&
        (in->layout == HE_LAYOUT_PLAIN ||
         he_shape_equal(&tensors[0].shape, &tensors[1].shape))) {
        if (bytes > 0)
            cpu_copy_bytes(frame->team, to, from, (size_t)bytes);
        return;
    }
    /* Through row-major order: dense(in) is dense(out). */
    tensors[0].data = from;
    if (in->layout != HE_LAYOUT_PLAIN) {
        real = real_tensor(step, in, frame);
        tensors[0].data = out->layout == HE_LAYOUT_PLAIN ? to
                                                         : (char *)frame->workspace + in->staging;
        cpu_layout_copy(frame->team, &tensors[0], &real);
    }
    if (out->layout != HE_LAYOUT_PLAIN) {
        real = real_tensor(step, out, frame);
        tensors[1].data = tensors[0].data;
        cpu_layout_copy(frame->team, &real, &tensors[1]);
    }
}

static he_status run_node(const struct cpu_kernel_step *step, const struct cpu_node_plan *plan,
                          struct he_tensor *tensors, const struct cpu_frame *frame)
{
    uint32_t count = plan->in_count + plan->out_count, k;
    const struct cpu_operand *operand;
    struct cpu_call call = {
        .node = plan->node,
        .in = tensors,
        .in_count = plan->in_count,
        .out = tensors + plan->in_count,
        .out_count = plan->out_count,
        .team = frame->team,
        .scratch = (char *)frame->workspace + plan->scratch,
    };
    struct he_tensor real;
    he_status status;

    for (k = 0; k < count; k++) {
        if (plan->operands[k] == HE_NONE)
            continue;
        operand = &step->operands[plan->operands[k]];
        if (!plan->is_staged[k]) {
            tensors[k].data = address_of(operand, frame);
            continue;
        }
        tensors[k].data = (char *)frame->workspace + operand->staging;
        if (k < plan->in_count) {
            real = real_tensor(step, operand, frame);
            cpu_layout_copy(frame->team, &tensors[k], &real);
        }
    }
    status = plan->kernel->run(&call);
    if (status != HE_OK)
        return cpu_node_failed(status, plan->node);
    for (k = plan->in_count; k < count; k++) {
        if (plan->operands[k] == HE_NONE || !plan->is_staged[k])
            continue;
        real = real_tensor(step, &step->operands[plan->operands[k]], frame);
        cpu_layout_copy(frame->team, &real, &tensors[k]);
    }
    return HE_OK;
}

static he_status kernel_run(const struct cpu_step *base, void *state,
                            const struct cpu_frame *frame)
{
    const struct cpu_kernel_step *step = (const struct cpu_kernel_step *)base;
    const struct cpu_node_plan *plan;
    struct he_tensor *tensors = state;
    he_status status;
    uint32_t n;

    for (n = 0; n < step->node_count; n++) {
        plan = &step->nodes[n];
        if (plan->is_view) {
            copy_view(step, plan, &tensors[plan->first_tensor], frame);
            continue;
        }
        status = run_node(step, plan, &tensors[plan->first_tensor], frame);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

const struct cpu_step_ops cpu_kernel_step_ops = {
    .bind = kernel_bind,
    .unbind = kernel_unbind,
    .run = kernel_run,
    .destroy = cpu_kernel_step_destroy,
};
