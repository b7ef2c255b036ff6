/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caller's tensors. Dense host inputs are read where they are, outputs are
 * written where the caller wants them; only strided or misaligned inputs,
 * passed-through and dynamic outputs are copied, and counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/dlpack_types.h"
#include "exec/exec.h"

#define ALIGNMENT 64

/* --- Inputs --- */

static bool is_host_tensor(const DLTensor *tensor)
{
    return tensor->device.device_type == kDLCPU || tensor->device.device_type == kDLCUDAHost;
}

static void shape_words(const struct he_shape *shape, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (uint32_t k = 0; k < shape->rank && used < size; k++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", k ? "x" : "",
                                 (long long)shape->dims[k]);
    if (shape->rank == 0)
        snprintf(out, size, "scalar");
}

/* Type, shape and place of @tensor against @value of the plan. */
static he_status check_tensor(const DLTensor *tensor, const struct he_value *value,
                              const char *what)
{
    struct he_shape shape = { .rank = 0 };
    char want[256], got[256];
    enum he_dtype dtype;

    if (!tensor)
        return he_error_set(HE_ERR_INVALID, "%s '%s': the tensor is NULL", what, value->name);
    if (!is_host_tensor(tensor))
        return he_error_set(HE_ERR_UNSUPPORTED, "%s '%s': tensors outside host memory (DLPack "
                            "device type %d) are not taken yet", what, value->name,
                            (int)tensor->device.device_type);
    dtype = he_dtype_from_dlpack(tensor->dtype);
    if (dtype != value->dtype)
        return he_error_set(HE_ERR_SHAPE, "%s '%s' must be %s, not %s", what, value->name,
                            he_dtype_name(value->dtype), he_dtype_name(dtype));
    if (tensor->ndim < 0 || tensor->ndim > HE_MAX_RANK)
        return he_error_set(HE_ERR_SHAPE, "%s '%s': rank %d", what, value->name, tensor->ndim);
    shape.rank = (uint32_t)tensor->ndim;
    for (uint32_t k = 0; k < shape.rank; k++)
        shape.dims[k] = tensor->shape[k];
    if (he_shape_is_static(&value->shape) && !he_shape_equal(&shape, &value->shape)) {
        shape_words(&value->shape, want, sizeof want);
        shape_words(&shape, got, sizeof got);
        return he_error_set(HE_ERR_SHAPE, "%s '%s' must have the shape %s the plan was made for, "
                            "not %s", what, value->name, want, got);
    }
    if (!tensor->data && he_shape_count(&shape) != 0)
        return he_error_set(HE_ERR_INVALID, "%s '%s': the tensor has no memory", what,
                            value->name);
    return HE_OK;
}

static bool is_dense(const DLTensor *tensor)
{
    int64_t stride = 1;

    if (!tensor->strides)
        return true;
    for (int k = tensor->ndim; k-- > 0;) {
        if (tensor->shape[k] != 1 && tensor->strides[k] != stride)
            return false;
        stride *= tensor->shape[k];
    }
    return true;
}

static he_status take_input(struct run_context *context, uint32_t k, const DLTensor *tensor)
{
    const struct he_graph *graph = context->session->border;
    const struct he_value *value = &graph->values[graph->inputs[k]];
    he_status status = check_tensor(tensor, value, "input");
    size_t element_bytes = (he_dtype_bits(value->dtype) + 7) / 8;
    char *data;

    if (status != HE_OK)
        return status;
    data = (char *)tensor->data + tensor->byte_offset;
    if (is_dense(tensor) && (uintptr_t)data % element_bytes == 0) {
        context->inputs[k] = data;
        return HE_OK;
    }
    if (!context->input_copies[k]) {
        context->input_copies[k] = he_alloc(&context->session->arena.alloc, 1,
                                            (size_t)he_shape_bytes(&value->shape, value->dtype));
        if (!context->input_copies[k])
            return he_no_memory();
    }
    he_copy_strided(context->input_copies[k], data, (uint32_t)tensor->ndim, tensor->shape,
                    tensor->strides, element_bytes, &context->copies);
    context->inputs[k] = context->input_copies[k];
    return HE_OK;
}

he_status he_border_take_inputs(struct run_context *context, const DLTensor *const *inputs,
                                size_t count)
{
    const struct he_graph *graph = context->session->border;

    if (count != graph->input_count)
        return he_error_set(HE_ERR_INVALID, "the model takes %u inputs, %zu were given",
                            graph->input_count, count);
    for (uint32_t k = 0; k < graph->input_count; k++) {
        he_status status = take_input(context, k, inputs[k]);

        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

/* --- Outputs --- */

/* A tensor of ours in the caller's hands: the struct, its shape, then the data. */
struct given_tensor {
    DLManagedTensorVersioned managed;
    int64_t shape[HE_MAX_RANK];
};

static void delete_given(DLManagedTensorVersioned *self)
{
    free(self);
}

/* malloc, whatever the session's allocator: the tensor may outlive the session. */
static he_status give_tensor(enum he_dtype dtype, const struct he_shape *shape,
                             DLManagedTensorVersioned **out)
{
    size_t head = (sizeof(struct given_tensor) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    int64_t bytes = he_shape_bytes(shape, dtype);
    struct given_tensor *given;
    void *memory;

    if (bytes < 0 || (uint64_t)bytes > SIZE_MAX - head - ALIGNMENT)
        return he_error_set(HE_ERR_SHAPE, "an output is too large");
    if (posix_memalign(&memory, ALIGNMENT, head + (size_t)bytes + 1) != 0)
        return he_no_memory();
    given = memory;
    memset(given, 0, head);
    given->managed.version = (DLPackVersion){ DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION };
    given->managed.deleter = delete_given;
    given->managed.dl_tensor = (DLTensor){
        .data = (char *)memory + head,
        .device = { kDLCPU, 0 },
        .ndim = (int32_t)shape->rank,
        .dtype = he_dtype_to_dlpack(dtype),
        .shape = given->shape,
    };
    for (uint32_t k = 0; k < shape->rank; k++)
        given->shape[k] = shape->dims[k];
    *out = &given->managed;
    return HE_OK;
}

static he_status prepare_output(struct run_context *context, uint32_t k, struct he_output *output)
{
    const struct he_graph *graph = context->session->border;
    const struct he_value *value = &graph->values[graph->outputs[k]];
    he_status status;

    output->given = NULL;
    context->outputs[k] = NULL;
    if (output->into) {
        status = check_tensor(output->into, value, "output");
        if (status == HE_OK && !is_dense(output->into))
            status = he_error_set(HE_ERR_SHAPE, "output '%s': the caller's memory must be dense",
                                  value->name);
        if (status == HE_OK)
            context->outputs[k] = (char *)output->into->data + output->into->byte_offset;
        return status;
    }
    if (!he_shape_is_static(&value->shape))
        return HE_OK; /* given when it is known */
    status = give_tensor(value->dtype, &value->shape, &output->given);
    if (status == HE_OK)
        context->outputs[k] = output->given->dl_tensor.data;
    return status;
}

static bool overlaps_output(const struct run_context *context, const struct he_value *input,
                            const char *data)
{
    const struct he_graph *graph = context->session->border;
    int64_t bytes = he_shape_bytes(&input->shape, input->dtype);

    for (uint32_t k = 0; k < graph->output_count; k++) {
        const struct he_value *value = &graph->values[graph->outputs[k]];
        int64_t output_bytes = he_shape_bytes(&value->shape, value->dtype);
        const char *output = context->outputs[k];

        if (bytes > 0 && output && output_bytes > 0 && data < output + output_bytes &&
            output < data + bytes)
            return true;
    }
    return false;
}

bool he_border_overlaps(const struct run_context *context)
{
    const struct he_graph *graph = context->session->border;

    for (uint32_t k = 0; k < graph->input_count; k++) {
        if (overlaps_output(context, &graph->values[graph->inputs[k]], context->inputs[k]))
            return true;
    }
    return false;
}

void he_border_drop_outputs(struct run_context *context, struct he_output *outputs)
{
    uint32_t count = context->session->border->output_count;

    for (uint32_t k = 0; k < count; k++) {
        if (outputs[k].given)
            outputs[k].given->deleter(outputs[k].given);
        outputs[k].given = NULL;
    }
}

he_status he_border_prepare_outputs(struct run_context *context, struct he_output *outputs,
                                    size_t count)
{
    const struct he_graph *graph = context->session->border;

    if (count != graph->output_count)
        return he_error_set(HE_ERR_INVALID, "the model gives %u outputs, room for %zu was given",
                            graph->output_count, count);
    for (uint32_t k = 0; k < graph->output_count; k++)
        outputs[k].given = NULL;
    for (uint32_t k = 0; k < graph->output_count; k++) {
        he_status status = prepare_output(context, k, &outputs[k]);

        if (status != HE_OK) {
            he_border_drop_outputs(context, outputs);
            return status;
        }
    }
    return HE_OK;
}

/* Into the caller's memory or a fresh tensor, whichever was asked for. */
static he_status copy_out(struct run_context *context, uint32_t k, struct he_output *output,
                          enum he_dtype dtype, const struct he_shape *shape, const void *data)
{
    struct he_place_ref from = { NULL, (void *)(uintptr_t)data, 0 }, to = { NULL, NULL, 0 };
    int64_t bytes = he_shape_bytes(shape, dtype);
    he_status status;

    if (bytes < 0)
        return he_error_set(HE_ERR_INTERNAL, "output %u has no definite size", k);
    if (output->into) {
        struct he_value value = { .name = "", .dtype = dtype, .shape = *shape };

        status = check_tensor(output->into, &value, "output");
        if (status != HE_OK)
            return status;
        to.buffer = (char *)output->into->data + output->into->byte_offset;
    } else {
        if (!output->given) {
            status = give_tensor(dtype, shape, &output->given);
            if (status != HE_OK)
                return status;
        }
        to.buffer = output->given->dl_tensor.data;
    }
    return he_copy(&to, &from, (size_t)bytes, NULL, &context->copies);
}

static he_status finish_dynamic(struct run_context *context, const struct he_home *home,
                                struct he_output *outputs)
{
    const struct he_graph *graph = context->session->plan->graph;
    const struct he_dynamic_tensor *dynamic = &context->dynamics[home->index];

    for (uint32_t k = 0; k < graph->output_count; k++) {
        he_status status;

        if (graph->outputs[k] != home->value)
            continue;
        status = copy_out(context, k, &outputs[k], dynamic->dtype, &dynamic->shape, dynamic->data);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

static he_status finish_pass_through(struct run_context *context,
                                     const struct he_pass_through *pass, struct he_output *outputs)
{
    const struct he_graph *graph = context->session->plan->graph;
    const struct he_value *value = &graph->values[pass->value];
    const void *data = value->data;

    for (uint32_t k = 0; !data && k < graph->input_count; k++) {
        if (graph->inputs[k] == pass->value)
            data = context->inputs[k];
    }
    for (uint32_t k = 0; !data && k < pass->output; k++) {
        if (graph->outputs[k] == pass->value)
            data = context->outputs[k];
    }
    if (!data && he_shape_count(&value->shape) != 0)
        return HE_OK; /* a dynamic value, handled above */
    return copy_out(context, pass->output, &outputs[pass->output], value->dtype, &value->shape,
                    data);
}

he_status he_border_finish_outputs(struct run_context *context, struct he_output *outputs)
{
    const struct he_plan *plan = context->session->plan;

    for (uint32_t h = 0; plan->dynamic_count > 0 && h < plan->home_count; h++) {
        he_status status;

        if (plan->homes[h].kind != HE_HOME_DYNAMIC ||
            !plan->graph->values[plan->homes[h].value].is_output)
            continue;
        status = finish_dynamic(context, &plan->homes[h], outputs);
        if (status != HE_OK)
            return status;
    }
    for (uint32_t p = 0; p < plan->pass_through_count; p++) {
        he_status status = finish_pass_through(context, &plan->pass_throughs[p], outputs);

        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}
