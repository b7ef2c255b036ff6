/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document back into bytes. Inside the counting pass of a message nothing is
 * counted twice; one d levels down is hence visited d + 1 times, and weights are
 * moved once.
 *
 * Contents of tensors are written as raw_data, whatever they were read from.
 */
#include <string.h>

#include "model.h"
#include "schema.h"
#include "sink.h"

/* A protobuf message may not be larger, and other readers refuse it. */
#define MESSAGE_BYTES_MAX ((size_t)INT32_MAX)

/* --- Messages --- */

static void write_graph(struct he_sink *sink, const void *message);

static void write_tensor(struct he_sink *sink, const void *message)
{
    const struct onnx_tensor *tensor = message;

    for (uint32_t k = 0; k < tensor->shape.rank; k++)
        he_put_int(sink, TENSOR_DIMS, tensor->shape.dims[k]);
    he_put_int(sink, TENSOR_DATA_TYPE, tensor->dtype);
    he_put_name(sink, TENSOR_NAME, tensor->name);
    if (tensor->dtype == HE_STRING)
        he_put_strings(sink, TENSOR_STRING_DATA, tensor->strings, tensor->string_count);
    else
        he_put_data(sink, TENSOR_RAW_DATA, tensor->data, tensor->data_bytes);
}

static void write_floats(struct he_sink *sink, const void *message)
{
    const struct onnx_attr *attr = message;

    for (size_t k = 0; k < attr->count; k++)
        he_put_fixed32(sink, attr->floats[k]);
}

static void write_ints(struct he_sink *sink, const void *message)
{
    const struct onnx_attr *attr = message;

    for (size_t k = 0; k < attr->count; k++)
        he_put_varint(sink, (uint64_t)attr->ints[k]);
}

static void write_attr_value(struct he_sink *sink, const struct onnx_attr *attr)
{
    switch (attr->type) {
    case ATTR_TYPE_FLOAT:
        he_put_tag(sink, ATTR_F, HE_WIRE_FIXED32);
        he_put_fixed32(sink, attr->f);
        break;
    case ATTR_TYPE_INT:
        he_put_int(sink, ATTR_I, attr->i);
        break;
    case ATTR_TYPE_STRING:
        he_put_data(sink, ATTR_S, attr->s ? attr->s : "", attr->s_bytes);
        break;
    case ATTR_TYPE_TENSOR:
        he_put_message(sink, ATTR_T, write_tensor, attr->tensor);
        break;
    case ATTR_TYPE_GRAPH:
        he_put_message(sink, ATTR_G, write_graph, attr->graph);
        break;
    case ATTR_TYPE_FLOATS:
        he_put_message(sink, ATTR_FLOATS, write_floats, attr);
        break;
    case ATTR_TYPE_INTS:
        he_put_message(sink, ATTR_INTS, write_ints, attr);
        break;
    case ATTR_TYPE_STRINGS:
        he_put_strings(sink, ATTR_STRINGS, attr->strings, attr->count);
        break;
    default:
        break;
    }
}

/* True when the bytes of an attribute we only carry hold its name. Inlining may
 * have given it another: of two names in a message, the last one counts. */
static bool is_named(const struct onnx_attr *attr)
{
    struct he_wire wire = he_wire_open(attr->other, attr->other_bytes, &he_schema_attr);
    struct he_wire_field field;
    bool is_same = !attr->name || !*attr->name;

    while (he_wire_next(&wire, &field) == HE_OK && field.number) {
        if (field.number == ATTR_NAME)
            is_same = attr->name && strlen(attr->name) == field.size &&
                      memcmp(attr->name, field.data, field.size) == 0;
    }
    return is_same;
}

static void write_attr(struct he_sink *sink, const void *message)
{
    const struct onnx_attr *attr = message;

    if (attr->other) {
        he_put_bytes(sink, attr->other, attr->other_bytes);
        if (!is_named(attr))
            he_put_string(sink, ATTR_NAME, attr->name);
        return;
    }
    he_put_name(sink, ATTR_NAME, attr->name);
    he_put_int(sink, ATTR_TYPE, attr->type);
    if (attr->ref_attr_name)
        he_put_string(sink, ATTR_REF_NAME, attr->ref_attr_name);
    else
        write_attr_value(sink, attr);
}

static void write_entry(struct he_sink *sink, const void *message)
{
    const struct onnx_property *entry = message;

    he_put_string(sink, ENTRY_KEY, entry->key);
    he_put_string(sink, ENTRY_VALUE, entry->value);
}

static void write_configuration(struct he_sink *sink, const void *message)
{
    const struct onnx_configuration *configuration = message;

    he_put_string(sink, CONFIGURATION_NAME, configuration->name);
    he_put_int(sink, CONFIGURATION_DEVICE_COUNT, configuration->device_count);
    he_put_strings(sink, CONFIGURATION_DEVICE, configuration->devices, configuration->name_count);
}

static void write_sharding(struct he_sink *sink, const void *message)
{
    const struct onnx_sharding *sharding = message;

    if (sharding->other) {
        he_put_bytes(sink, sharding->other, sharding->other_bytes);
        return;
    }
    he_put_string(sink, SHARDING_TENSOR, sharding->tensor);
    for (size_t k = 0; k < sharding->device_count; k++)
        he_put_int(sink, SHARDING_DEVICE, sharding->devices[k]);
}

static void write_node_device(struct he_sink *sink, const void *message)
{
    const struct onnx_node_device *device = message;

    he_put_string(sink, NODE_DEVICE_CONFIGURATION_ID, device->configuration);
    he_put_messages(sink, NODE_DEVICE_SHARDING, write_sharding, device->shardings,
                    device->sharding_count, sizeof *device->shardings);
    if (device->stage >= 0)
        he_put_int(sink, NODE_DEVICE_STAGE, device->stage);
}

static void write_node(struct he_sink *sink, const void *message)
{
    const struct onnx_node *node = message;

    he_put_strings(sink, NODE_INPUT, node->inputs, node->input_count);
    he_put_strings(sink, NODE_OUTPUT, node->outputs, node->output_count);
    he_put_name(sink, NODE_NAME, node->name);
    he_put_name(sink, NODE_OP_TYPE, node->op_type);
    he_put_messages(sink, NODE_ATTRIBUTE, write_attr, node->attrs, node->attr_count,
                 sizeof *node->attrs);
    he_put_name(sink, NODE_DOMAIN, node->domain);
    he_put_name(sink, NODE_OVERLOAD, node->overload);
    he_put_name(sink, NODE_DOC, node->doc);
    he_put_messages(sink, NODE_METADATA, write_entry, node->metadata, node->metadata_count,
                    sizeof *node->metadata);
    he_put_messages(sink, NODE_DEVICE_CONFIGURATION, write_node_device, node->node_devices,
                    node->node_device_count, sizeof *node->node_devices);
}

static void write_dim(struct he_sink *sink, const void *message)
{
    const struct onnx_dim *dim = message;

    if (dim->value >= 0)
        he_put_int(sink, DIM_VALUE, dim->value);
    else
        he_put_name(sink, DIM_PARAM, dim->param);
}

static void write_shape(struct he_sink *sink, const void *message)
{
    const struct onnx_value_info *value = message;

    he_put_messages(sink, SHAPE_DIM, write_dim, value->dims, value->dim_count, sizeof *value->dims);
}

static void write_tensor_type(struct he_sink *sink, const void *message)
{
    const struct onnx_value_info *value = message;

    if (value->dtype != HE_DTYPE_NONE)
        he_put_int(sink, TENSOR_TYPE_ELEM, value->dtype);
    if (value->has_shape)
        he_put_message(sink, TENSOR_TYPE_SHAPE, write_shape, value);
}

static void write_type(struct he_sink *sink, const void *message)
{
    he_put_message(sink, TYPE_TENSOR, write_tensor_type, message);
}

static void write_value(struct he_sink *sink, const void *message)
{
    const struct onnx_value_info *value = message;

    he_put_name(sink, VALUE_NAME, value->name);
    if (value->is_opaque)
        he_put_data(sink, VALUE_TYPE, value->type, value->type_bytes);
    else if (value->dtype != HE_DTYPE_NONE || value->has_shape)
        he_put_message(sink, VALUE_TYPE, write_type, value);
}

static void write_graph(struct he_sink *sink, const void *message)
{
    const struct onnx_graph *graph = message;

    he_put_messages(sink, GRAPH_NODE, write_node, graph->nodes, graph->node_count,
                 sizeof *graph->nodes);
    he_put_name(sink, GRAPH_NAME, graph->name);
    he_put_name(sink, GRAPH_DOC, graph->doc);
    he_put_messages(sink, GRAPH_INITIALIZER, write_tensor, graph->initializers,
                 graph->initializer_count, sizeof *graph->initializers);
    he_put_messages(sink, GRAPH_INPUT, write_value, graph->inputs, graph->input_count,
                 sizeof *graph->inputs);
    he_put_messages(sink, GRAPH_OUTPUT, write_value, graph->outputs, graph->output_count,
                 sizeof *graph->outputs);
    he_put_messages(sink, GRAPH_VALUE_INFO, write_value, graph->value_infos, graph->value_info_count,
                 sizeof *graph->value_infos);
}

static void write_opset(struct he_sink *sink, const void *message)
{
    const struct onnx_opset *opset = message;

    he_put_name(sink, OPSET_DOMAIN, opset->domain);
    he_put_int(sink, OPSET_VERSION, opset->version);
}

static void write_function(struct he_sink *sink, const void *message)
{
    const struct onnx_function *function = message;

    he_put_name(sink, FUNCTION_NAME, function->name);
    he_put_strings(sink, FUNCTION_INPUT, function->inputs, function->input_count);
    he_put_strings(sink, FUNCTION_OUTPUT, function->outputs, function->output_count);
    he_put_strings(sink, FUNCTION_ATTRIBUTE, function->attr_names, function->attr_name_count);
    he_put_messages(sink, FUNCTION_NODE, write_node, function->nodes, function->node_count,
                 sizeof *function->nodes);
    he_put_messages(sink, FUNCTION_OPSET_IMPORT, write_opset, function->opsets, function->opset_count,
                 sizeof *function->opsets);
    he_put_name(sink, FUNCTION_DOMAIN, function->domain);
    he_put_messages(sink, FUNCTION_ATTRIBUTE_PROTO, write_attr, function->attr_defaults,
                 function->attr_default_count, sizeof *function->attr_defaults);
    he_put_name(sink, FUNCTION_OVERLOAD, function->overload);
}

static void write_model(struct he_sink *sink, const void *message)
{
    const struct he_model *model = message;

    he_put_int(sink, MODEL_IR_VERSION, model->ir_version);
    he_put_name(sink, MODEL_PRODUCER_NAME, model->producer_name);
    he_put_name(sink, MODEL_PRODUCER_VERSION, model->producer_version);
    he_put_name(sink, MODEL_DOMAIN, model->domain);
    if (model->model_version)
        he_put_int(sink, MODEL_MODEL_VERSION, model->model_version);
    he_put_name(sink, MODEL_DOC, model->doc);
    he_put_message(sink, MODEL_GRAPH, write_graph, &model->graph);
    he_put_messages(sink, MODEL_OPSET_IMPORT, write_opset, model->opsets, model->opset_count,
                 sizeof *model->opsets);
    he_put_messages(sink, MODEL_METADATA, write_entry, model->metadata, model->metadata_count,
                 sizeof *model->metadata);
    he_put_messages(sink, MODEL_FUNCTIONS, write_function, model->functions, model->function_count,
                 sizeof *model->functions);
    he_put_messages(sink, MODEL_CONFIGURATION, write_configuration, model->configurations,
                    model->configuration_count, sizeof *model->configurations);
}

/* --- What cannot be written --- */

/* A node that came out of a function with another opset has no way to say so. */
static he_status check_opsets(const struct he_model *model, const struct onnx_graph *graph)
{
    for (size_t k = 0; k < graph->node_count; k++) {
        const struct onnx_node *node = &graph->nodes[k];
        int64_t version = he_model_opset(model, node->domain ? node->domain : "");

        if (node->opset && node->opset != version)
            return he_error_set(HE_ERR_UNSUPPORTED,
                                "%s node '%s' follows opset %d of its function, but the model "
                                "imports %lld: a file cannot say both",
                                node->op_type, node->name ? node->name : "", node->opset,
                                (long long)version);
        for (size_t a = 0; a < node->attr_count; a++) {
            he_status status = node->attrs[a].type == ATTR_TYPE_GRAPH && node->attrs[a].graph
                                   ? check_opsets(model, node->attrs[a].graph)
                                   : HE_OK;

            if (status != HE_OK)
                return status;
        }
    }
    return HE_OK;
}

static he_status write_all(he_write_fn write, const void *message, struct he_text *out)
{
    struct he_sink sink = { .text = NULL };

    write(&sink, message);
    if (sink.size > MESSAGE_BYTES_MAX)
        return he_error_set(HE_ERR_UNSUPPORTED,
                            "the file would have %zu bytes; protobuf ends at 2 GiB", sink.size);
    /* Room for all of it at once: growing by doubling would move weights often. */
    if (he_alloc_grow(&out->alloc, (void **)&out->data, &out->capacity, out->size,
                      out->size + sink.size + 1, 1) != HE_OK)
        return he_no_memory();
    sink = (struct he_sink){ .text = out };
    write(&sink, message);
    return he_text_status(out);
}

he_status he_model_write(const struct he_model *model, struct he_text *out)
{
    he_status status = check_opsets(model, &model->graph);

    return status == HE_OK ? write_all(write_model, model, out) : status;
}

he_status he_tensor_write(const struct onnx_tensor *tensor, struct he_text *out)
{
    return write_all(write_tensor, tensor, out);
}
