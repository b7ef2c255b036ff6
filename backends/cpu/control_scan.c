/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scan: states go round, scan inputs come in slice by slice along an axis, and
 * scan outputs are stacked along one. Opset 8 has a batch dimension in front of
 * everything and lengths per batch entry; its body sees neither.
 */
#include "control.h"

#include <string.h>

struct scan_step {
    struct cpu_control control;
    bool is_batched;     /* opset 8 */
    uint32_t first_state; /* node input of the first state */
    uint32_t state_count, input_count, output_count;
};

struct scan_state {
    struct cpu_nested_state *body;
    struct cpu_carried *carried;
    struct cpu_buffer *slices; /* per scan input, for axes other than the first */
    struct scan_output {
        char *data;             /* of the whole output; NULL until the first slice */
        struct he_shape slice;
        enum he_dtype dtype;
    } *outputs;
};

/* One run: how many batch entries, and iterations at most. */
struct scan_run {
    const struct scan_step *step;
    struct scan_state *state;
    const struct cpu_frame *frame;
    int64_t batches, length;
    int64_t batch, count; /* the entry that runs, and its iterations */
};

static void scan_unbind(const struct cpu_step *base, void *self)
{
    const struct scan_step *step = (const struct scan_step *)base;
    const struct he_allocator *alloc = &step->control.alloc;
    struct scan_state *state = self;
    uint32_t k;

    if (!state)
        return;
    cpu_nested_unbind(state->body);
    for (k = 0; state->carried && k < step->state_count; k++)
        cpu_carried_fini(alloc, &state->carried[k]);
    for (k = 0; state->slices && k < step->input_count; k++)
        cpu_buffer_fini(alloc, &state->slices[k]);
    cpu_free(alloc, state->carried);
    cpu_free(alloc, state->slices);
    cpu_free(alloc, state->outputs);
    cpu_free(alloc, state);
}

static he_status scan_bind(const struct cpu_step *base, void **out)
{
    const struct scan_step *step = (const struct scan_step *)base;
    const struct he_allocator *alloc = &step->control.alloc;
    struct scan_state *state = cpu_alloc(alloc, 1, sizeof *state);
    he_status status;

    if (!state)
        return cpu_no_memory();
    state->carried = cpu_alloc(alloc, step->state_count, sizeof *state->carried);
    state->slices = cpu_alloc(alloc, step->input_count, sizeof *state->slices);
    state->outputs = cpu_alloc(alloc, step->output_count, sizeof *state->outputs);
    status = state->carried && state->slices && state->outputs
                 ? cpu_nested_bind(step->control.bodies[0].nested, &state->body)
                 : cpu_no_memory();
    if (status != HE_OK) {
        scan_unbind(base, state);
        return status;
    }
    *out = state;
    return HE_OK;
}

/* Element @index of an attribute list, 0 when the list is absent. */
static int64_t list_item(const struct he_node *node, const char *name, uint32_t index)
{
    const int64_t *items;
    size_t count = he_node_ints(node, name, &items);

    return index < count ? items[index] : 0;
}

static he_status list_axis(const struct he_node *node, const char *name, uint32_t index,
                           uint32_t rank, uint32_t *out)
{
    int64_t axis = list_item(node, name, index);

    if (axis < 0)
        axis += rank;
    if (axis < 0 || axis >= rank)
        return he_error_set(HE_ERR_SHAPE, "%s[%u] is outside of rank %u", name, index, rank);
    *out = (uint32_t)axis;
    return HE_OK;
}

static bool is_reversed(const struct scan_step *step, const char *name, uint32_t index)
{
    return list_item(step->control.node, step->is_batched ? "directions" : name, index) == 1;
}

/* A scan input of the batch entry that runs, and the axis it is cut along. */
static he_status input_tensor(const struct scan_run *run, uint32_t k, struct he_tensor *tensor,
                              uint32_t *axis)
{
    const struct scan_step *step = run->step;
    uint32_t index = step->first_state + step->state_count + k;
    int64_t bytes;

    *axis = 0;
    *tensor = cpu_outer_tensor(&step->control.in[index], run->frame);
    if (tensor->dtype == HE_DTYPE_NONE || tensor->shape.rank < (step->is_batched ? 2u : 1u))
        return he_error_set(HE_ERR_SHAPE, "scan input %u has no axis to scan", k);
    if (!step->is_batched)
        return list_axis(step->control.node, "scan_input_axes", k, tensor->shape.rank, axis);
    tensor->shape.rank--;
    memmove(tensor->shape.dims, tensor->shape.dims + 1,
            tensor->shape.rank * sizeof tensor->shape.dims[0]);
    bytes = he_shape_bytes(&tensor->shape, tensor->dtype);
    tensor->data = (char *)tensor->data + run->batch * bytes;
    return HE_OK;
}

/* Elements before and behind an axis. */
static void around(const struct he_shape *shape, uint32_t axis, int64_t *before, int64_t *behind)
{
    uint32_t d;

    *before = *behind = 1;
    for (d = 0; d < shape->rank; d++) {
        if (d < axis)
            *before *= shape->dims[d];
        else if (d > axis)
            *behind *= shape->dims[d];
    }
}

static he_status give_slice(const struct scan_run *run, uint32_t k, int64_t t)
{
    const struct scan_step *step = run->step;
    struct cpu_buffer *buffer = &run->state->slices[k];
    struct he_tensor tensor;
    struct he_shape slice;
    int64_t before, behind, b;
    size_t bytes;
    uint32_t axis;
    char *data;
    he_status status = input_tensor(run, k, &tensor, &axis);

    if (status != HE_OK)
        return status;
    if (is_reversed(step, "scan_input_directions", k))
        t = run->count - 1 - t;
    around(&tensor.shape, axis, &before, &behind);
    bytes = (size_t)behind * (he_dtype_bits(tensor.dtype) / 8);
    slice = tensor.shape;
    slice.rank--;
    memmove(slice.dims + axis, slice.dims + axis + 1, (slice.rank - axis) * sizeof slice.dims[0]);
    data = (char *)tensor.data + (size_t)t * bytes;
    if (before != 1) {
        status = cpu_buffer_reserve(&step->control.alloc, buffer, (size_t)before * bytes);
        if (status != HE_OK)
            return status;
        for (b = 0; b < before; b++)
            memcpy((char *)buffer->data + (size_t)b * bytes,
                   data + (size_t)(b * tensor.shape.dims[axis]) * bytes, bytes);
        data = buffer->data;
    }
    return cpu_nested_input(run->state->body, step->state_count + k, tensor.dtype, &slice, data);
}

static he_status output_axis(const struct scan_run *run, uint32_t k, const struct he_shape *slice,
                             uint32_t *axis)
{
    *axis = 0;
    if (run->step->is_batched)
        return HE_OK;
    return list_axis(run->step->control.node, "scan_output_axes", k, slice->rank + 1, axis);
}

/* The whole output, once the shape of a slice is known. */
static he_status place_output(const struct scan_run *run, uint32_t k, enum he_dtype dtype,
                              const struct he_shape *slice)
{
    const struct scan_step *step = run->step;
    const struct cpu_outer *outer = &step->control.out[step->state_count + k];
    struct scan_output *output = &run->state->outputs[k];
    struct he_shape whole = { .rank = slice->rank + 1 + step->is_batched };
    uint32_t axis, d, from = 0;
    int64_t bytes;
    void *data;
    he_status status;

    if (output->data) {
        if (output->dtype == dtype && he_shape_equal(&output->slice, slice))
            return HE_OK;
        return he_error_set(HE_ERR_SHAPE, "the slices of scan output %u differ", k);
    }
    if (whole.rank > HE_MAX_RANK || !he_shape_is_static(slice))
        return he_error_set(HE_ERR_SHAPE, "scan output %u has too many dimensions", k);
    status = output_axis(run, k, slice, &axis);
    if (status != HE_OK)
        return status;
    if (step->is_batched) {
        whole.dims[0] = run->batches;
        axis = 1;
    }
    for (d = step->is_batched; d < whole.rank; d++)
        whole.dims[d] = d == axis ? run->length : slice->dims[from++];
    status = cpu_outer_place(&step->control, outer, run->frame, dtype, &whole, &data);
    if (status != HE_OK)
        return status;
    bytes = he_shape_bytes(&whole, dtype);
    if (step->is_batched && bytes > 0)
        memset(data, 0, (size_t)bytes); /* what lies behind a shorter entry */
    *output = (struct scan_output){ data, *slice, dtype };
    return HE_OK;
}

/* Where slice @t of output @k goes: @before blocks of @bytes, @pitch apart. */
struct slice_place {
    char *data;
    int64_t before;
    size_t bytes, pitch;
};

static he_status find_place(const struct scan_run *run, uint32_t k, int64_t t,
                            struct slice_place *out)
{
    const struct scan_output *output = &run->state->outputs[k];
    struct he_shape whole = output->slice;
    int64_t before, behind;
    uint32_t axis;
    he_status status = output_axis(run, k, &output->slice, &axis);

    if (status != HE_OK)
        return status;
    if (!run->step->is_batched && is_reversed(run->step, "scan_output_directions", k))
        t = run->count - 1 - t;
    whole.rank++;
    memmove(whole.dims + axis + 1, whole.dims + axis,
            (output->slice.rank - axis) * sizeof whole.dims[0]);
    whole.dims[axis] = run->length;
    around(&whole, axis, &before, &behind);
    out->before = before;
    out->bytes = (size_t)behind * (he_dtype_bits(output->dtype) / 8);
    out->pitch = out->bytes * (size_t)run->length;
    out->data = output->data + (size_t)(run->batch * before) * out->pitch + (size_t)t * out->bytes;
    return HE_OK;
}

static he_status aim_outputs(const struct scan_run *run, int64_t t)
{
    const struct scan_step *step = run->step;
    const struct he_graph *graph = step->control.bodies[0].graph;
    struct slice_place place;
    const struct he_value *value;
    uint32_t k, output;
    he_status status;

    for (k = 0; k < step->output_count; k++) {
        output = step->state_count + k;
        if (!step->control.out[output].value ||
            !cpu_nested_output_is_static(run->state->body->nested, output))
            continue;
        value = &graph->values[graph->outputs[output]];
        status = place_output(run, k, value->dtype, &value->shape);
        if (status == HE_OK)
            status = find_place(run, k, t, &place);
        if (status != HE_OK)
            return status;
        if (place.before == 1)
            cpu_nested_output_to(run->state->body, output, place.data, NULL);
    }
    return HE_OK;
}

static he_status store_outputs(const struct scan_run *run, int64_t t)
{
    const struct scan_step *step = run->step;
    struct slice_place place;
    struct he_tensor made;
    uint32_t k;
    int64_t b;
    he_status status;

    for (k = 0; k < step->output_count; k++) {
        if (!step->control.out[step->state_count + k].value)
            continue;
        made = cpu_nested_output(run->state->body, step->state_count + k);
        status = place_output(run, k, made.dtype, &made.shape);
        if (status == HE_OK)
            status = find_place(run, k, t, &place);
        if (status != HE_OK)
            return status;
        if (place.before == 1 && made.data == place.data)
            continue;
        for (b = 0; b < place.before; b++)
            memcpy(place.data + (size_t)b * place.pitch,
                   (const char *)made.data + (size_t)b * place.bytes, place.bytes);
    }
    return HE_OK;
}

static he_status iterate(const struct scan_run *run, int64_t t)
{
    const struct scan_step *step = run->step;
    const struct he_allocator *alloc = &step->control.alloc;
    struct scan_state *state = run->state;
    he_status status = HE_OK;
    uint32_t k;

    for (k = 0; k < step->state_count && status == HE_OK; k++)
        status = cpu_carried_begin(alloc, &state->carried[k], state->body, k, k);
    for (k = 0; k < step->input_count && status == HE_OK; k++)
        status = give_slice(run, k, t);
    if (status == HE_OK)
        status = aim_outputs(run, t);
    if (status == HE_OK)
        status = cpu_nested_run(state->body);
    if (status == HE_OK)
        status = store_outputs(run, t);
    for (k = 0; k < step->state_count && status == HE_OK; k++)
        status = cpu_carried_end(alloc, &state->carried[k], state->body, k, run->frame->team);
    return status;
}

static he_status start_states(const struct scan_run *run)
{
    const struct scan_step *step = run->step;
    struct he_tensor *now;
    uint32_t k;

    for (k = 0; k < step->state_count; k++) {
        now = &run->state->carried[k].now;
        *now = cpu_outer_tensor(&step->control.in[step->first_state + k], run->frame);
        if (now->dtype == HE_DTYPE_NONE || now->shape.rank < step->is_batched)
            return he_error_set(HE_ERR_SHAPE, "state %u has no start", k);
        if (!step->is_batched)
            continue;
        now->shape.rank--;
        memmove(now->shape.dims, now->shape.dims + 1,
                now->shape.rank * sizeof now->shape.dims[0]);
        now->data = (char *)now->data + run->batch * he_shape_bytes(&now->shape, now->dtype);
    }
    return HE_OK;
}

static he_status store_states(const struct scan_run *run)
{
    const struct scan_step *step = run->step;
    const struct cpu_outer *outer;
    const struct he_tensor *now;
    struct he_shape whole;
    uint32_t k;
    int64_t bytes;
    void *data;
    he_status status;

    for (k = 0; k < step->state_count; k++) {
        outer = &step->control.out[k];
        now = &run->state->carried[k].now;
        if (!outer->value)
            continue;
        if (!step->is_batched) {
            status = cpu_outer_store(&step->control, outer, run->frame, now);
            if (status != HE_OK)
                return status;
            continue;
        }
        if (now->shape.rank >= HE_MAX_RANK)
            return he_error_set(HE_ERR_SHAPE, "state %u has too many dimensions", k);
        whole = now->shape;
        whole.rank++;
        memmove(whole.dims + 1, whole.dims, now->shape.rank * sizeof whole.dims[0]);
        whole.dims[0] = run->batches;
        /* The same shape for each entry, so that the memory stays where it is. */
        status = cpu_outer_place(&step->control, outer, run->frame, now->dtype, &whole, &data);
        if (status != HE_OK)
            return status;
        bytes = he_shape_bytes(&now->shape, now->dtype);
        if (bytes > 0)
            memcpy((char *)data + run->batch * bytes, now->data, (size_t)bytes);
    }
    return HE_OK;
}

static he_status read_lengths(struct scan_run *run)
{
    const struct scan_step *step = run->step;
    struct he_tensor tensor;
    int64_t length;
    uint32_t axis, k;
    he_status status;

    run->batches = 1;
    for (k = 0; k < step->input_count; k++) {
        status = input_tensor(run, k, &tensor, &axis);
        if (status != HE_OK)
            return status;
        length = tensor.shape.dims[axis];
        if (k && length != run->length)
            return he_error_set(HE_ERR_SHAPE, "its scan inputs have %lld and %lld slices",
                                (long long)run->length, (long long)length);
        run->length = length;
    }
    if (!step->is_batched)
        return HE_OK;
    tensor = cpu_outer_tensor(&step->control.in[step->first_state + step->state_count],
                              run->frame);
    run->batches = tensor.shape.dims[0];
    return HE_OK;
}

static he_status entry_count(struct scan_run *run)
{
    struct he_tensor lengths = { .dtype = HE_DTYPE_NONE };

    run->count = run->length;
    if (run->step->is_batched)
        lengths = cpu_outer_tensor(&run->step->control.in[0], run->frame);
    if (lengths.dtype == HE_DTYPE_NONE)
        return HE_OK;
    if (lengths.dtype != HE_INT64 || he_shape_count(&lengths.shape) != run->batches)
        return he_error_set(HE_ERR_SHAPE, "sequence_lens is not one int64 per batch entry");
    memcpy(&run->count, (const int64_t *)lengths.data + run->batch, sizeof run->count);
    if (run->count < 0 || run->count > run->length)
        return he_error_set(HE_ERR_SHAPE, "sequence_lens[%lld] is %lld of %lld",
                            (long long)run->batch, (long long)run->count, (long long)run->length);
    return HE_OK;
}

/* Outputs of a scan over nothing still have a shape. */
static he_status place_missing(const struct scan_run *run)
{
    const struct scan_step *step = run->step;
    const struct he_graph *graph = step->control.bodies[0].graph;
    const struct he_value *value;
    struct he_shape slice;
    uint32_t k, d;
    he_status status;

    for (k = 0; k < step->output_count; k++) {
        if (!step->control.out[step->state_count + k].value || run->state->outputs[k].data)
            continue;
        value = &graph->values[graph->outputs[step->state_count + k]];
        slice = value->shape;
        if (slice.rank > HE_MAX_RANK)
            slice.rank = 0;
        for (d = 0; d < slice.rank; d++)
            if (slice.dims[d] < 0)
                slice.dims[d] = 0;
        status = place_output(run, k, value->dtype ? value->dtype : HE_FLOAT32, &slice);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

static he_status scan_body(const struct scan_step *step, struct scan_state *state,
                           const struct cpu_frame *frame)
{
    struct scan_run run = { .step = step, .state = state, .frame = frame };
    int64_t t;
    he_status status = read_lengths(&run);

    if (status != HE_OK)
        return status;
    memset(state->outputs, 0, step->output_count * sizeof *state->outputs);
    cpu_nested_begin(state->body, frame->workspace);
    status = cpu_control_capture(&step->control, 0, state->body, frame);
    for (run.batch = 0; run.batch < run.batches && status == HE_OK; run.batch++) {
        status = entry_count(&run);
        if (status == HE_OK)
            status = start_states(&run);
        for (t = 0; t < run.count && status == HE_OK; t++)
            status = iterate(&run, t);
        if (status == HE_OK)
            status = store_states(&run);
    }
    return status == HE_OK ? place_missing(&run) : status;
}

static he_status scan_run(const struct cpu_step *base, void *state, const struct cpu_frame *frame)
{
    const struct scan_step *step = (const struct scan_step *)base;
    he_status status = scan_body(step, state, frame);

    return status == HE_OK ? HE_OK : cpu_node_failed(status, step->control.node);
}

static void scan_destroy(struct cpu_step *base)
{
    struct scan_step *step = (struct scan_step *)base;
    struct he_allocator alloc = step->control.alloc;

    cpu_control_fini(&step->control);
    cpu_free(&alloc, step);
}

static const struct cpu_step_ops scan_ops = {
    .bind = scan_bind, .unbind = scan_unbind, .run = scan_run, .destroy = scan_destroy };

static he_status count_values(struct scan_step *step)
{
    const struct he_node *node = step->control.node;
    const struct he_graph *body = step->control.bodies[0].graph;
    int64_t inputs = he_node_int(node, "num_scan_inputs", 0);

    step->is_batched = node->opset < 9;
    step->first_state = step->is_batched;
    if (inputs < 1 || inputs + step->first_state > node->explicit_input_count)
        return he_error_set(HE_ERR_SHAPE, "num_scan_inputs is %lld", (long long)inputs);
    step->input_count = (uint32_t)inputs;
    step->state_count = node->explicit_input_count - step->first_state - step->input_count;
    if (body->input_count - body->capture_count != step->state_count + step->input_count ||
        body->output_count < step->state_count || node->output_count > body->output_count ||
        node->output_count < step->state_count)
        return he_error_set(HE_ERR_SHAPE,
                            "its body takes or gives another number of values than the node");
    step->output_count = node->output_count - step->state_count;
    return HE_OK;
}

he_status cpu_scan_step(const struct cpu_compile *c, const struct he_node *node,
                        struct cpu_step **out)
{
    static const char *const bodies[] = { "body" };
    struct scan_step *step = cpu_alloc(&c->alloc, 1, sizeof *step);
    he_status status;

    if (!step)
        return cpu_no_memory();
    step->control.base.ops = &scan_ops;
    status = cpu_control_init(&step->control, c, node, bodies, 1);
    if (status == HE_OK)
        status = count_values(step);
    if (status != HE_OK) {
        step->control.alloc = c->alloc;
        scan_destroy(&step->control.base);
        return status;
    }
    *out = &step->control.base;
    return HE_OK;
}
