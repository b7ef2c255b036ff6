/* SPDX-License-Identifier: Apache-2.0 */
/* What others ask of a model that has been read. */
#include "model.h"

#include <string.h>

void he_model_destroy(struct he_model *model)
{
    struct he_allocator alloc;

    if (!model)
        return;
    alloc = model->arena.alloc;
    for (size_t k = 0; k < model->file_count; k++)
        he_file_unmap(&model->files[k]);
    he_arena_fini(&model->arena);
    he_free(&alloc, model);
}

int64_t he_model_opset(const struct he_model *model, const char *domain)
{
    for (size_t k = 0; k < model->opset_count; k++) {
        if (strcmp(model->opsets[k].domain, domain) == 0)
            return model->opsets[k].version;
    }
    return 0;
}

size_t he_model_input_count(const struct he_model *model)
{
    return model ? model->fed_input_count : 0;
}

size_t he_model_output_count(const struct he_model *model)
{
    return model ? model->graph.output_count : 0;
}

static he_status describe(const struct onnx_value_info *value, struct he_model_io *out)
{
    out->name = value->name;
    out->dtype = value->dtype;
    if (!value->has_shape) {
        out->shape.rank = HE_RANK_UNKNOWN;
        return HE_OK;
    }
    if (value->dim_count > HE_MAX_RANK)
        return he_error_set(HE_ERR_UNSUPPORTED,
                            "'%s' has %zu dimensions; this library goes up to %d", value->name,
                            value->dim_count, HE_MAX_RANK);
    out->shape.rank = (uint32_t)value->dim_count;
    for (size_t k = 0; k < value->dim_count; k++) {
        out->shape.dims[k] = value->dims[k].value >= 0 ? value->dims[k].value : HE_DIM_UNKNOWN;
        out->dim_names[k] = value->dims[k].param;
    }
    return HE_OK;
}

he_status he_model_input(const struct he_model *model, size_t index, struct he_model_io *out)
{
    if (!model || !out || index >= model->fed_input_count)
        return he_error_set(HE_ERR_INVALID, "the model has no input %zu", index);
    *out = (struct he_model_io){ 0 };
    return describe(&model->graph.inputs[model->fed_inputs[index]], out);
}

he_status he_model_output(const struct he_model *model, size_t index, struct he_model_io *out)
{
    if (!model || !out || index >= model->graph.output_count)
        return he_error_set(HE_ERR_INVALID, "the model has no output %zu", index);
    *out = (struct he_model_io){ 0 };
    return describe(&model->graph.outputs[index], out);
}
