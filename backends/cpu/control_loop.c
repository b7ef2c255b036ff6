/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loop: body inputs are the iteration, the condition and the carried values; its
 * outputs the next condition, the next carried values, and one slice of each scan output.
 */
#include "control.h"

#include <string.h>

#define MODEST_BYTES (16 << 20)

struct loop_step {
    struct cpu_control control;
    uint32_t carried_count, scan_count;
};

struct loop_state {
    struct cpu_nested_state *body;
    struct cpu_carried *carried;
    int64_t iteration;
    uint8_t condition;
};

static void loop_unbind(const struct cpu_step *base, void *self)
{
    const struct loop_step *step = (const struct loop_step *)base;
    struct loop_state *state = self;
    uint32_t k;

    if (!state)
        return;
    cpu_nested_unbind(state->body);
    for (k = 0; state->carried && k < step->carried_count; k++)
        cpu_carried_fini(&step->control.alloc, &state->carried[k]);
    cpu_free(&step->control.alloc, state->carried);
    cpu_free(&step->control.alloc, state);
}

static he_status loop_bind(const struct cpu_step *base, void **out)
{
    const struct loop_step *step = (const struct loop_step *)base;
    const struct he_allocator *alloc = &step->control.alloc;
    struct loop_state *state = cpu_alloc(alloc, 1, sizeof *state);
    he_status status;

    if (!state)
        return cpu_no_memory();
    state->carried = cpu_alloc(alloc, step->carried_count, sizeof *state->carried);
    status = state->carried ? cpu_nested_bind(step->control.bodies[0].nested, &state->body)
                            : cpu_no_memory();
    if (status != HE_OK) {
        loop_unbind(base, state);
        return status;
    }
    *out = state;
    return HE_OK;
}

/* How often at most, and whether at all. */
static he_status read_limits(const struct loop_step *step, struct loop_state *state,
                             const struct cpu_frame *frame, int64_t *limit)
{
    struct he_tensor trip = { 0 }, condition = { 0 };

    *limit = INT64_MAX;
    state->condition = 1;
    if (step->control.node->explicit_input_count > 0)
        trip = cpu_outer_tensor(&step->control.in[0], frame);
    if (step->control.node->explicit_input_count > 1)
        condition = cpu_outer_tensor(&step->control.in[1], frame);
    if (trip.dtype != HE_DTYPE_NONE) {
        if (trip.dtype != HE_INT64 || !trip.data || he_shape_count(&trip.shape) < 1)
            return he_error_set(HE_ERR_SHAPE, "its trip count is not one int64");
        memcpy(limit, trip.data, sizeof *limit);
    }
    if (condition.dtype != HE_DTYPE_NONE) {
        if (condition.dtype != HE_BOOL || !condition.data || he_shape_count(&condition.shape) < 1)
            return he_error_set(HE_ERR_SHAPE, "its condition is not one bool");
        state->condition = *(const uint8_t *)condition.data != 0;
    }
    return HE_OK;
}

/* A body may declare the iteration and the condition as [] or as [1]. */
static he_status give_scalar(struct cpu_nested_state *body, uint32_t input, enum he_dtype dtype,
                             void *data)
{
    const struct he_graph *graph = body->nested->graph;
    const struct he_value *value = &graph->values[graph->inputs[input]];
    struct he_shape shape = { .rank = 0 };

    if (value->shape.rank == 1)
        shape = (struct he_shape){ .rank = 1, .dims = { 1 } };
    return cpu_nested_input(body, input, dtype, &shape, data);
}

/* Makes room for slice @index of a scan output and tells where the body should write. */
static he_status slice_place(const struct loop_step *step, const struct cpu_outer *outer,
                             const struct cpu_frame *frame, int64_t index, int64_t limit,
                             enum he_dtype dtype, const struct he_shape *slice, void **place)
{
    struct he_dynamic_tensor *tensor;
    struct he_shape whole = { .rank = slice->rank + 1 };
    int64_t bytes = he_shape_bytes(slice, dtype), total;
    size_t capacity;
    void *data;

    *place = NULL;
    if (slice->rank >= HE_MAX_RANK || bytes < 0 ||
        __builtin_mul_overflow(bytes, index + 1, &total))
        return he_error_set(HE_ERR_SHAPE, "a scan output is too large to be counted");
    whole.dims[0] = index + 1;
    memcpy(whole.dims + 1, slice->dims, slice->rank * sizeof slice->dims[0]);
    if (!outer->is_dynamic) {
        whole.dims[0] = outer->value->shape.rank ? outer->value->shape.dims[0] : 0;
        if (index >= whole.dims[0] || dtype != outer->value->dtype ||
            !he_shape_equal(&whole, &outer->value->shape))
            return he_error_set(HE_ERR_SHAPE, "scan output \"%s\" is not as planned",
                                outer->value->name);
        *place = (char *)frame->slots[outer->slot] + index * bytes;
        return HE_OK;
    }
    tensor = frame->dynamic[outer->slot];
    if (!tensor)
        return he_error_set(HE_ERR_INVALID, "dynamic value \"%s\" is bound to nothing",
                            outer->value->name);
    if (index && (tensor->dtype != dtype || tensor->shape.rank != whole.rank ||
                  memcmp(tensor->shape.dims + 1, whole.dims + 1,
                         slice->rank * sizeof whole.dims[0]) != 0))
        return he_error_set(HE_ERR_SHAPE, "the slices of scan output \"%s\" differ in shape",
                            outer->value->name);
    if (!tensor->data || (size_t)total > tensor->capacity) {
        /* All at once when the count is known and that is not much, else by doubling. */
        capacity = (size_t)total * 2;
        if (bytes && limit <= MODEST_BYTES / bytes)
            capacity = (size_t)(limit * bytes);
        if (capacity < (size_t)total + !total)
            capacity = (size_t)total + !total;
        data = step->control.alloc.alloc(step->control.alloc.self, capacity);
        if (!data)
            return cpu_no_memory();
        if (index && bytes)
            memcpy(data, tensor->data, (size_t)(index * bytes));
        cpu_free(&step->control.alloc, tensor->data);
        tensor->data = data;
        tensor->capacity = capacity;
    }
    tensor->dtype = dtype;
    tensor->shape = whole;
    *place = (char *)tensor->data + index * bytes;
    return HE_OK;
}

/* Before the run: a slice of known shape is written in place. */
static he_status aim_scans(const struct loop_step *step, struct loop_state *state,
                           const struct cpu_frame *frame, int64_t limit)
{
    const struct he_graph *graph = step->control.bodies[0].graph;
    const struct cpu_outer *outer;
    const struct he_value *value;
    uint32_t k, output;
    void *place;
    he_status status;

    for (k = 0; k < step->scan_count; k++) {
        outer = &step->control.out[step->carried_count + k];
        output = 1 + step->carried_count + k;
        if (!outer->value || !cpu_nested_output_is_static(state->body->nested, output))
            continue;
        value = &graph->values[graph->outputs[output]];
        status = slice_place(step, outer, frame, state->iteration, limit, value->dtype,
                             &value->shape, &place);
        if (status != HE_OK)
            return status;
        cpu_nested_output_to(state->body, output, place, NULL);
    }
    return HE_OK;
}

static he_status store_scans(const struct loop_step *step, struct loop_state *state,
                             const struct cpu_frame *frame, int64_t limit)
{
    const struct cpu_outer *outer;
    struct he_tensor made;
    uint32_t k;
    int64_t bytes;
    void *place;
    he_status status;

    for (k = 0; k < step->scan_count; k++) {
        outer = &step->control.out[step->carried_count + k];
        if (!outer->value)
            continue;
        made = cpu_nested_output(state->body, 1 + step->carried_count + k);
        status = slice_place(step, outer, frame, state->iteration, limit, made.dtype, &made.shape,
                             &place);
        if (status != HE_OK)
            return status;
        bytes = he_shape_bytes(&made.shape, made.dtype);
        if (bytes > 0)
            cpu_copy_bytes(frame->team, place, made.data, (size_t)bytes);
    }
    return HE_OK;
}

static he_status iterate(const struct loop_step *step, struct loop_state *state,
                         const struct cpu_frame *frame, int64_t limit)
{
    const struct he_allocator *alloc = &step->control.alloc;
    struct he_tensor condition;
    uint32_t k;
    he_status status;

    status = give_scalar(state->body, 0, HE_INT64, &state->iteration);
    if (status == HE_OK)
        status = give_scalar(state->body, 1, HE_BOOL, &state->condition);
    for (k = 0; k < step->carried_count && status == HE_OK; k++)
        status = cpu_carried_begin(alloc, &state->carried[k], state->body, 2 + k, 1 + k);
    if (status == HE_OK)
        status = aim_scans(step, state, frame, limit);
    if (status == HE_OK)
        status = cpu_nested_run(state->body);
    if (status == HE_OK)
        status = store_scans(step, state, frame, limit);
    if (status != HE_OK)
        return status;
    condition = cpu_nested_output(state->body, 0);
    if (condition.dtype != HE_BOOL || !condition.data || he_shape_count(&condition.shape) < 1)
        return he_error_set(HE_ERR_SHAPE, "the body's condition is not one bool");
    for (k = 0; k < step->carried_count; k++) {
        status = cpu_carried_end(alloc, &state->carried[k], state->body, 1 + k, frame->team);
        if (status != HE_OK)
            return status;
    }
    state->condition = *(const uint8_t *)condition.data != 0;
    return HE_OK;
}

/* After the last iteration: carried values to their outputs; scan outputs are
 * there, unless there was no iteration or fewer than planned. */
static he_status finish(const struct loop_step *step, struct loop_state *state,
                        const struct cpu_frame *frame)
{
    const struct he_graph *graph = step->control.bodies[0].graph;
    const struct cpu_outer *outer;
    const struct he_value *value;
    struct he_shape shape;
    uint32_t k, d;
    void *data;
    he_status status;

    for (k = 0; k < step->carried_count; k++) {
        status = cpu_outer_store(&step->control, &step->control.out[k], frame,
                                 &state->carried[k].now);
        if (status != HE_OK)
            return status;
    }
    for (k = 0; k < step->scan_count; k++) {
        outer = &step->control.out[step->carried_count + k];
        if (!outer->value)
            continue;
        if (!outer->is_dynamic && outer->value->shape.dims[0] != state->iteration)
            return he_error_set(HE_ERR_SHAPE, "the loop ran %lld times, planned were %lld",
                                (long long)state->iteration,
                                (long long)outer->value->shape.dims[0]);
        if (!outer->is_dynamic || state->iteration)
            continue;
        value = &graph->values[graph->outputs[1 + step->carried_count + k]];
        shape = (struct he_shape){ .rank = 1 };
        if (value->shape.rank < HE_MAX_RANK)
            shape.rank = value->shape.rank + 1;
        for (d = 1; d < shape.rank; d++)
            shape.dims[d] = value->shape.dims[d - 1] > 0 ? value->shape.dims[d - 1] : 0;
        status = cpu_outer_place(&step->control, outer, frame,
                                 value->dtype ? value->dtype : HE_FLOAT32, &shape, &data);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

static he_status loop_body(const struct loop_step *step, struct loop_state *state,
                           const struct cpu_frame *frame)
{
    int64_t limit;
    uint32_t k;
    he_status status = read_limits(step, state, frame, &limit);

    if (status != HE_OK)
        return status;
    cpu_nested_begin(state->body, frame->workspace);
    status = cpu_control_capture(&step->control, 0, state->body, frame);
    if (status != HE_OK)
        return status;
    for (k = 0; k < step->carried_count; k++) {
        state->carried[k].now = cpu_outer_tensor(&step->control.in[2 + k], frame);
        if (state->carried[k].now.dtype == HE_DTYPE_NONE)
            return he_error_set(HE_ERR_SHAPE, "carried value %u has no start", k);
    }
    for (state->iteration = 0; state->iteration < limit && state->condition; state->iteration++) {
        status = iterate(step, state, frame, limit);
        if (status != HE_OK)
            return status;
    }
    return finish(step, state, frame);
}

static he_status loop_run(const struct cpu_step *base, void *state, const struct cpu_frame *frame)
{
    const struct loop_step *step = (const struct loop_step *)base;
    he_status status = loop_body(step, state, frame);

    return status == HE_OK ? HE_OK : cpu_node_failed(status, step->control.node);
}

static void loop_destroy(struct cpu_step *base)
{
    struct loop_step *step = (struct loop_step *)base;
    struct he_allocator alloc = step->control.alloc;

    cpu_control_fini(&step->control);
    cpu_free(&alloc, step);
}

static const struct cpu_step_ops loop_ops = {
    .bind = loop_bind, .unbind = loop_unbind, .run = loop_run, .destroy = loop_destroy };

he_status cpu_loop_step(const struct cpu_compile *c, const struct he_node *node,
                        struct cpu_step **out)
{
    static const char *const bodies[] = { "body" };
    struct loop_step *step = cpu_alloc(&c->alloc, 1, sizeof *step);
    const struct he_graph *body;
    he_status status;

    if (!step)
        return cpu_no_memory();
    step->control.base.ops = &loop_ops;
    status = cpu_control_init(&step->control, c, node, bodies, 1);
    if (status == HE_OK) {
        body = step->control.bodies[0].graph;
        step->carried_count = node->explicit_input_count > 2 ? node->explicit_input_count - 2 : 0;
        if (body->input_count - body->capture_count != 2 + step->carried_count ||
            body->output_count < 1 + step->carried_count ||
            node->output_count > body->output_count - 1 ||
            node->output_count < step->carried_count)
            status = he_error_set(HE_ERR_SHAPE, "its body takes or gives another number of values "
                                  "than the node");
        else
            step->scan_count = node->output_count - step->carried_count;
    }
    if (status != HE_OK) {
        step->control.alloc = c->alloc;
        loop_destroy(&step->control.base);
        return status;
    }
    *out = &step->control.base;
    return HE_OK;
}
