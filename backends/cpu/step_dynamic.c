/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a task whose shapes come to be while running. Before each node its
 * shape rule is asked again, now with real shapes and with the contents of all
 * inputs in view, so that "depends on data" becomes a number; an operator for
 * which even that is not enough (NonZero) finds its shape itself. Memory is
 * grow-only and belongs to the instance, so a steady state allocates nothing.
 */
#include "kernel_step.h"

#include <stdio.h>
#include <string.h>

#define SPARE_COUNT 8

struct dynamic_state {
    struct he_value *values;   /* per operand: type, shape and contents of this run */
    struct cpu_buffer *locals; /* per operand; behind them SPARE_COUNT for outputs nobody wants */
    struct cpu_buffer scratch;
    struct he_tensor *tensors; /* of the node that runs */
    const struct he_value **in;
    struct he_value **out;
};

static void dynamic_unbind(const struct cpu_step *base, void *self)
{
    const struct cpu_kernel_step *step = (const struct cpu_kernel_step *)base;
    struct dynamic_state *state = self;
    uint32_t k;

    if (!state)
        return;
    for (k = 0; state->locals && k < step->operand_count + SPARE_COUNT; k++)
        cpu_buffer_fini(&step->alloc, &state->locals[k]);
    cpu_buffer_fini(&step->alloc, &state->scratch);
    cpu_free(&step->alloc, state->values);
    cpu_free(&step->alloc, state->locals);
    cpu_free(&step->alloc, state->tensors);
    cpu_free(&step->alloc, state->in);
    cpu_free(&step->alloc, state->out);
    cpu_free(&step->alloc, state);
}

static he_status dynamic_bind(const struct cpu_step *base, void **out)
{
    const struct cpu_kernel_step *step = (const struct cpu_kernel_step *)base;
    struct dynamic_state *state;
    uint32_t k;

    state = cpu_alloc(&step->alloc, 1, sizeof *state);
    if (!state)
        return cpu_no_memory();
    state->values = cpu_alloc(&step->alloc, step->operand_count, sizeof *state->values);
    state->locals = cpu_alloc(&step->alloc, (size_t)step->operand_count + SPARE_COUNT,
                              sizeof *state->locals);
    state->tensors = cpu_alloc(&step->alloc, step->tensor_count, sizeof *state->tensors);
    state->in = cpu_alloc(&step->alloc, step->tensor_count, sizeof *state->in);
    state->out = cpu_alloc(&step->alloc, step->tensor_count, sizeof *state->out);
    if (!state->values || !state->locals || !state->tensors || !state->in || !state->out) {
        dynamic_unbind(base, state);
        return cpu_no_memory();
    }
    for (k = 0; k < step->operand_count; k++) {
        state->values[k] = *cpu_operand_value(step, &step->operands[k]);
        if (step->operands[k].kind == CPU_CONSTANT)
            state->values[k].data = step->operands[k].data;
    }
    *out = state;
    return HE_OK;
}

/* One run, as the callbacks of a kernel see it. */
struct dynamic_run {
    const struct cpu_kernel_step *step;
    struct dynamic_state *state;
    const struct cpu_frame *frame;
    const struct cpu_node_plan *plan;
};

static void set_contents(struct he_value *value, const void *data)
{
    int64_t bytes = he_shape_bytes(&value->shape, value->dtype);

    value->data = data;
    value->data_bytes = bytes > 0 ? (size_t)bytes : 0;
    value->has_known_ints = false;
}

/* What the core or an earlier region put into a slot. */
static he_status load_slot(const struct dynamic_run *run, uint32_t k)
{
    const struct cpu_operand *operand = &run->step->operands[k];
    const struct he_value *planned = cpu_operand_value(run->step, operand);
    struct he_value *value = &run->state->values[k];
    const struct he_dynamic_tensor *dynamic;
    struct he_tensor real, dense;

    if (operand->is_dynamic) {
        dynamic = run->frame->dynamic[operand->slot];
        if (!dynamic || !dynamic->data)
            return he_error_set(HE_ERR_INVALID, "value \"%s\" was not made before it is read",
                                planned->name);
        value->dtype = dynamic->dtype;
        value->shape = dynamic->shape;
        set_contents(value, dynamic->data);
        return HE_OK;
    }
    value->dtype = planned->dtype;
    value->shape = planned->shape;
    set_contents(value, run->frame->slots[operand->slot]);
    if (operand->layout == HE_LAYOUT_CHANNELS_LAST) {
        real = cpu_layout_tensor(planned, operand->layout, run->frame->slots[operand->slot]);
        dense = cpu_layout_tensor(planned, HE_LAYOUT_PLAIN,
                                  (char *)run->frame->workspace + operand->staging);
        cpu_layout_copy(run->frame->team, &dense, &real);
        value->data = dense.data;
    }
    return HE_OK;
}

static void print_shape(char *text, size_t capacity, const struct he_shape *shape)
{
    size_t used = 0;
    uint32_t k;

    *text = '\0';
    for (k = 0; k < shape->rank && k < HE_MAX_RANK && used < capacity; k++)
        used += (size_t)snprintf(text + used, capacity - used, "%s%lld", k ? "," : "",
                                 (long long)shape->dims[k]);
}

/* Memory for an output whose type and shape are now known. */
static he_status place_output(const struct dynamic_run *run, uint32_t k, enum he_dtype dtype,
                              const struct he_shape *shape, void **data)
{
    const struct cpu_operand *operand = &run->step->operands[k];
    const struct he_value *planned = cpu_operand_value(run->step, operand);
    struct he_value *value = &run->state->values[k];
    struct he_dynamic_tensor *dynamic;
    char got[128], wanted[128];
    int64_t bytes;
    he_status status;

    if (operand->kind == CPU_SLOT && operand->is_dynamic) {
        dynamic = run->frame->dynamic[operand->slot];
        if (!dynamic)
            return he_error_set(HE_ERR_INVALID, "dynamic value \"%s\" is bound to nothing",
                                planned->name);
        status = cpu_dynamic_shape(&run->step->alloc, dynamic, dtype, shape);
        *data = dynamic->data;
    } else if (operand->kind == CPU_SLOT) {
        if (dtype != planned->dtype || !he_shape_equal(shape, &planned->shape)) {
            print_shape(got, sizeof got, shape);
            print_shape(wanted, sizeof wanted, &planned->shape);
            return he_error_set(HE_ERR_SHAPE, "\"%s\" came out as %s [%s], planned as %s [%s]",
                                planned->name, he_dtype_name(dtype), got,
                                he_dtype_name(planned->dtype), wanted);
        }
        *data = operand->layout == HE_LAYOUT_CHANNELS_LAST
                    ? (char *)run->frame->workspace + operand->staging
                    : run->frame->slots[operand->slot];
        status = HE_OK;
    } else {
        bytes = he_shape_bytes(shape, dtype);
        if (bytes < 0)
            return he_error_set(HE_ERR_SHAPE, "\"%s\" has a size that cannot be counted",
                                planned->name);
        status = cpu_buffer_reserve(&run->step->alloc, &run->state->locals[k], (size_t)bytes);
        *data = run->state->locals[k].data;
    }
    if (status != HE_OK)
        return status;
    value->dtype = dtype;
    value->shape = *shape;
    set_contents(value, *data);
    return HE_OK;
}

static he_status shape_output(struct cpu_call *call, size_t k, enum he_dtype dtype,
                              const struct he_shape *shape)
{
    const struct dynamic_run *run = call->owner;
    int64_t bytes = he_shape_bytes(shape, dtype);
    struct cpu_buffer *spare;
    uint32_t operand;
    void *data;
    he_status status;

    if (k >= call->out_count || bytes < 0)
        return he_error_set(HE_ERR_INTERNAL, "output %zu cannot have this shape", k);
    operand = run->plan->operands[run->plan->in_count + k];
    if (operand != HE_NONE) {
        status = place_output(run, operand, dtype, shape, &data);
    } else { /* the kernel writes all its outputs, wanted or not */
        if (k >= SPARE_COUNT)
            return he_error_set(HE_ERR_UNSUPPORTED, "more than %d outputs", SPARE_COUNT);
        spare = &run->state->locals[run->step->operand_count + k];
        status = cpu_buffer_reserve(&run->step->alloc, spare, (size_t)bytes);
        data = spare->data;
    }
    if (status == HE_OK)
        call->out[k] = he_tensor_dense(dtype, shape, data);
    return status;
}

/* Fills in[] and out[] of the shape rule and asks it. */
static he_status infer(const struct dynamic_run *run)
{
    const struct cpu_node_plan *plan = run->plan;
    const struct he_node *node = plan->node;
    struct dynamic_state *state = run->state;
    struct he_value *value;
    uint32_t k, operand;

    for (k = 0; k < node->input_count; k++) {
        operand = k < plan->in_count ? plan->operands[k] : HE_NONE;
        state->in[k] = operand == HE_NONE ? NULL : &state->values[operand];
    }
    for (k = 0; k < node->output_count; k++) {
        operand = k < plan->out_count ? plan->operands[plan->in_count + k] : HE_NONE;
        state->out[k] = operand == HE_NONE ? NULL : &state->values[operand];
        if (operand == HE_NONE)
            continue;
        value = state->out[k];
        value->dtype = HE_DTYPE_NONE;
        value->shape = (struct he_shape){ .rank = HE_RANK_UNKNOWN };
        value->data = NULL;
        value->data_bytes = 0;
        value->has_known_ints = false;
    }
    return he_op_infer(node, state->in, state->out);
}

static const struct cpu_kernel *kernel_now(const struct dynamic_run *run)
{
    const struct cpu_kernel *kernel = run->plan->kernel;
    enum he_dtype types[256];
    const struct he_value *value;
    uint32_t k, count = run->plan->in_count < 256 ? run->plan->in_count : 256;

    for (k = 0; k < count; k++) {
        value = run->state->in[k];
        types[k] = value ? value->dtype : HE_DTYPE_NONE;
    }
    if (kernel && (kernel->type_input >= count || types[kernel->type_input] == HE_DTYPE_NONE ||
                   (kernel->types & CPU_TYPE(types[kernel->type_input]))))
        return kernel;
    return cpu_kernel_match(run->plan->node->domain, run->plan->node->op, types, count);
}

static he_status place_outputs(const struct dynamic_run *run, struct he_tensor *out)
{
    const struct cpu_node_plan *plan = run->plan;
    struct he_value *value;
    struct he_shape shape;
    uint32_t k, operand;
    void *data;
    he_status status;

    for (k = 0; k < plan->out_count; k++) {
        operand = plan->operands[plan->in_count + k];
        out[k] = (struct he_tensor){ .dtype = HE_DTYPE_NONE };
        if (operand == HE_NONE)
            continue;
        value = &run->state->values[operand];
        if (!he_shape_is_static(&value->shape) || value->dtype == HE_DTYPE_NONE)
            return he_error_set(HE_ERR_UNSUPPORTED,
                                "the shape of output %u is not known even with its inputs there",
                                k);
        shape = value->shape;
        status = place_output(run, operand, value->dtype, &shape, &data);
        if (status != HE_OK)
            return status;
        out[k] = he_tensor_dense(value->dtype, &shape, data);
    }
    return HE_OK;
}

/* A static slot in channels-last was written densely beside; bring it home. */
static void store_staged(const struct dynamic_run *run)
{
    const struct cpu_node_plan *plan = run->plan;
    const struct cpu_operand *operand;
    const struct he_value *planned;
    struct he_tensor real, dense;
    uint32_t k;

    for (k = plan->in_count; k < plan->in_count + plan->out_count; k++) {
        if (plan->operands[k] == HE_NONE)
            continue;
        operand = &run->step->operands[plan->operands[k]];
        if (operand->staging == CPU_NOT_STAGED)
            continue;
        planned = cpu_operand_value(run->step, operand);
        real = cpu_layout_tensor(planned, operand->layout, run->frame->slots[operand->slot]);
        dense = cpu_layout_tensor(planned, HE_LAYOUT_PLAIN,
                                  (char *)run->frame->workspace + operand->staging);
        cpu_layout_copy(run->frame->team, &real, &dense);
    }
}

/* For kernels that shape their outputs themselves: a type says that the output is wanted. */
static void wanted_outputs(const struct dynamic_run *run, struct he_tensor *out)
{
    const struct cpu_node_plan *plan = run->plan;
    const struct cpu_operand *operand;
    uint32_t k, index;

    for (k = 0; k < plan->out_count; k++) {
        index = plan->operands[plan->in_count + k];
        out[k] = (struct he_tensor){ .dtype = HE_DTYPE_NONE };
        if (index == HE_NONE)
            continue;
        operand = &run->step->operands[index];
        out[k].dtype = run->state->values[index].dtype;
        if (out[k].dtype == HE_DTYPE_NONE)
            out[k].dtype = cpu_operand_value(run->step, operand)->dtype;
        if (out[k].dtype == HE_DTYPE_NONE)
            out[k].dtype = HE_FLOAT32;
    }
}

static he_status run_node(const struct dynamic_run *run)
{
    const struct cpu_node_plan *plan = run->plan;
    struct dynamic_state *state = run->state;
    struct he_tensor *in = state->tensors, *out = in + plan->in_count;
    const struct cpu_kernel *kernel = NULL;
    struct cpu_call call;
    he_status status = infer(run);
    size_t bytes;
    uint32_t k;

    if (!plan->is_view) {
        kernel = kernel_now(run);
        if (!kernel)
            return he_error_set(HE_ERR_UNSUPPORTED, "no kernel for these types");
    }
    /* A kernel that finds its shapes itself may do without the rule. */
    if (status != HE_OK && !(kernel && (kernel->flags & CPU_DATA_SHAPE)))
        return status;
    for (k = 0; k < plan->in_count; k++) {
        in[k] = (struct he_tensor){ .dtype = HE_DTYPE_NONE };
        if (state->in[k])
            in[k] = he_tensor_dense(state->in[k]->dtype, &state->in[k]->shape,
                                    (void *)(uintptr_t)state->in[k]->data);
    }
    if (kernel && (kernel->flags & CPU_DATA_SHAPE)) {
        wanted_outputs(run, out);
        status = HE_OK;
    } else {
        status = place_outputs(run, out);
    }
    if (status != HE_OK)
        return status;
    if (plan->is_view) {
        bytes = (size_t)he_shape_bytes(&out[0].shape, out[0].dtype);
        if ((int64_t)bytes != he_shape_bytes(&in[0].shape, in[0].dtype))
            return he_error_set(HE_ERR_SHAPE, "its output would have another size than its input");
        cpu_copy_bytes(run->frame->team, out[0].data, in[0].data, bytes);
        return HE_OK;
    }
    call = (struct cpu_call){
        .node = plan->node,
        .in = in,
        .in_count = plan->in_count,
        .out = out,
        .out_count = plan->out_count,
        .team = run->frame->team,
        .shape_output = shape_output,
        .owner = (void *)(uintptr_t)run,
    };
    if (kernel->scratch) {
        bytes = kernel->scratch(plan->node, in, plan->in_count, out, plan->out_count);
        status = cpu_buffer_reserve(&run->step->alloc, &state->scratch, bytes);
        if (status != HE_OK)
            return status;
        call.scratch = state->scratch.data;
    }
    status = kernel->run(&call);
    if (status == HE_OK && (kernel->flags & CPU_DATA_SHAPE))
        for (k = 0; k < plan->out_count; k++)
            if (state->out[k] && !state->out[k]->data)
                return he_error_set(HE_ERR_INTERNAL, "its kernel gave no output %u", k);
    return status;
}

static he_status dynamic_run(const struct cpu_step *base, void *self,
                             const struct cpu_frame *frame)
{
    const struct cpu_kernel_step *step = (const struct cpu_kernel_step *)base;
    struct dynamic_run run = { .step = step, .state = self, .frame = frame };
    he_status status;
    uint32_t n, k, operand;

    for (n = 0; n < step->node_count; n++) {
        run.plan = &step->nodes[n];
        for (k = 0; k < run.plan->in_count; k++) {
            operand = run.plan->operands[k];
            if (operand == HE_NONE || step->operands[operand].kind != CPU_SLOT)
                continue;
            status = load_slot(&run, operand);
            if (status != HE_OK)
                return cpu_node_failed(status, run.plan->node);
        }
        status = run_node(&run);
        if (status != HE_OK)
            return cpu_node_failed(status, run.plan->node);
        store_staged(&run);
    }
    return HE_OK;
}

const struct cpu_step_ops cpu_dynamic_step_ops = {
    .bind = dynamic_bind,
    .unbind = dynamic_unbind,
    .run = dynamic_run,
    .destroy = cpu_kernel_step_destroy,
};
