/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document back into bytes. A message stands behind its length, so each is
 * gone through twice: once into a sink that only counts, once for real. Inside
 * the counting pass nothing is counted twice; a message d levels down is hence
 * visited d + 1 times, and weights are moved once.
 *
 * Contents of tensors are written as raw_data, whatever they were read from.
 */
#include <string.h>

#include "core/text.h"
#include "model.h"
#include "schema.h"

/* A protobuf message may not be larger, and other readers refuse it. */
#define MESSAGE_BYTES_MAX ((size_t)INT32_MAX)

struct sink {
    struct he_text *text; /* NULL: count only */
    size_t size;
};

typedef void (*write_fn)(struct sink *sink, const void *message);

static void put_bytes(struct sink *sink, const void *data, size_t size)
{
    sink->size += size;
    if (sink->text)
        he_text_append(sink->text, data, size);
}

static void put_varint(struct sink *sink, uint64_t value)
{
    uint8_t bytes[10];
    size_t count = 0;

    while (value > 0x7f) {
        bytes[count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[count++] = (uint8_t)value;
    put_bytes(sink, bytes, count);
}

static void put_tag(struct sink *sink, uint32_t number, enum he_wire_type type)
{
    put_varint(sink, (uint64_t)number << 3 | type);
}

static void put_int(struct sink *sink, uint32_t number, int64_t value)
{
    put_tag(sink, number, HE_WIRE_VARINT);
    put_varint(sink, (uint64_t)value);
}

static void put_fixed32(struct sink *sink, float value)
{
    uint32_t bits;
    uint8_t bytes[4];

    memcpy(&bits, &value, sizeof bits);
    for (unsigned k = 0; k < 4; k++)
        bytes[k] = (uint8_t)(bits >> (8 * k));
    put_bytes(sink, bytes, sizeof bytes);
}

static void put_data(struct sink *sink, uint32_t number, const void *data, size_t size)
{
    put_tag(sink, number, HE_WIRE_BYTES);
    put_varint(sink, size);
    put_bytes(sink, data, size);
}

static void put_string(struct sink *sink, uint32_t number, const char *text)
{
    put_data(sink, number, text ? text : "", text ? strlen(text) : 0);
}

/* Nothing at all for "", which is what a missing field reads as. */
static void put_name(struct sink *sink, uint32_t number, const char *text)
{
    if (text && *text)
        put_string(sink, number, text);
}

static void put_strings(struct sink *sink, uint32_t number, const char *const *texts, size_t count)
{
    for (size_t k = 0; k < count; k++)
        put_string(sink, number, texts[k]);
}

static void put_message(struct sink *sink, uint32_t number, write_fn write, const void *message)
{
    struct sink counter = { .text = NULL };

    write(&counter, message);
    put_tag(sink, number, HE_WIRE_BYTES);
    put_varint(sink, counter.size);
    if (sink->text)
        write(sink, message);
    else
        sink->size += counter.size;
}

static void put_messages(struct sink *sink, uint32_t number, write_fn write, const void *messages,
                         size_t count, size_t size)
{
    for (size_t k = 0; k < count; k++)
        put_message(sink, number, write, (const char *)messages + k * size);
}

/* --- Messages --- */

static void write_graph(struct sink *sink, const void *message);

static void write_tensor(struct sink *sink, const void *message)
{
    const struct onnx_tensor *tensor = message;

    for (uint32_t k = 0; k < tensor->shape.rank; k++)
        put_int(sink, TENSOR_DIMS, tensor->shape.dims[k]);
    put_int(sink, TENSOR_DATA_TYPE, tensor->dtype);
    put_name(sink, TENSOR_NAME, tensor->name);
    if (tensor->dtype == HE_STRING)
        put_strings(sink, TENSOR_STRING_DATA, tensor->strings, tensor->string_count);
    else
        put_data(sink, TENSOR_RAW_DATA, tensor->data, tensor->data_bytes);
}

static void write_floats(struct sink *sink, const void *message)
{
    const struct onnx_attr *attr = message;

    for (size_t k = 0; k < attr->count; k++)
        put_fixed32(sink, attr->floats[k]);
}

static void write_ints(struct sink *sink, const void *message)
{
    const struct onnx_attr *attr = message;

    for (size_t k = 0; k < attr->count; k++)
        put_varint(sink, (uint64_t)attr->ints[k]);
}

static void write_attr_value(struct sink *sink, const struct onnx_attr *attr)
{
    switch (attr->type) {
    case ATTR_TYPE_FLOAT:
        put_tag(sink, ATTR_F, HE_WIRE_FIXED32);
        put_fixed32(sink, attr->f);
        break;
    case ATTR_TYPE_INT:
        put_int(sink, ATTR_I, attr->i);
        break;
    case ATTR_TYPE_STRING:
        put_data(sink, ATTR_S, attr->s ? attr->s : "", attr->s_bytes);
        break;
    case ATTR_TYPE_TENSOR:
        put_message(sink, ATTR_T, write_tensor, attr->tensor);
        break;
    case ATTR_TYPE_GRAPH:
        put_message(sink, ATTR_G, write_graph, attr->graph);
        break;
    case ATTR_TYPE_FLOATS:
        put_message(sink, ATTR_FLOATS, write_floats, attr);
        break;
    case ATTR_TYPE_INTS:
        put_message(sink, ATTR_INTS, write_ints, attr);
        break;
    case ATTR_TYPE_STRINGS:
        put_strings(sink, ATTR_STRINGS, attr->strings, attr->count);
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

static void write_attr(struct sink *sink, const void *message)
{
    const struct onnx_attr *attr = message;

    if (attr->other) {
        put_bytes(sink, attr->other, attr->other_bytes);
        if (!is_named(attr))
            put_string(sink, ATTR_NAME, attr->name);
        return;
    }
    put_name(sink, ATTR_NAME, attr->name);
    put_int(sink, ATTR_TYPE, attr->type);
    if (attr->ref_attr_name)
        put_string(sink, ATTR_REF_NAME, attr->ref_attr_name);
    else
        write_attr_value(sink, attr);
}

static void write_node(struct sink *sink, const void *message)
{
    const struct onnx_node *node = message;

    put_strings(sink, NODE_INPUT, node->inputs, node->input_count);
    put_strings(sink, NODE_OUTPUT, node->outputs, node->output_count);
    put_name(sink, NODE_NAME, node->name);
    put_name(sink, NODE_OP_TYPE, node->op_type);
    put_messages(sink, NODE_ATTRIBUTE, write_attr, node->attrs, node->attr_count,
                 sizeof *node->attrs);
    put_name(sink, NODE_DOMAIN, node->domain);
    put_name(sink, NODE_OVERLOAD, node->overload);
}

static void write_dim(struct sink *sink, const void *message)
{
    const struct onnx_dim *dim = message;

    if (dim->value >= 0)
        put_int(sink, DIM_VALUE, dim->value);
    else
        put_name(sink, DIM_PARAM, dim->param);
}

static void write_shape(struct sink *sink, const void *message)
{
    const struct onnx_value_info *value = message;

    put_messages(sink, SHAPE_DIM, write_dim, value->dims, value->dim_count, sizeof *value->dims);
}

static void write_tensor_type(struct sink *sink, const void *message)
{
    const struct onnx_value_info *value = message;

    if (value->dtype != HE_DTYPE_NONE)
        put_int(sink, TENSOR_TYPE_ELEM, value->dtype);
    if (value->has_shape)
        put_message(sink, TENSOR_TYPE_SHAPE, write_shape, value);
}

static void write_type(struct sink *sink, const void *message)
{
    put_message(sink, TYPE_TENSOR, write_tensor_type, message);
}

static void write_value(struct sink *sink, const void *message)
{
    const struct onnx_value_info *value = message;

    put_name(sink, VALUE_NAME, value->name);
    if (value->is_opaque)
        put_data(sink, VALUE_TYPE, value->type, value->type_bytes);
    else if (value->dtype != HE_DTYPE_NONE || value->has_shape)
        put_message(sink, VALUE_TYPE, write_type, value);
}

static void write_graph(struct sink *sink, const void *message)
{
    const struct onnx_graph *graph = message;

    put_messages(sink, GRAPH_NODE, write_node, graph->nodes, graph->node_count,
                 sizeof *graph->nodes);
    put_name(sink, GRAPH_NAME, graph->name);
    put_messages(sink, GRAPH_INITIALIZER, write_tensor, graph->initializers,
                 graph->initializer_count, sizeof *graph->initializers);
    put_messages(sink, GRAPH_INPUT, write_value, graph->inputs, graph->input_count,
                 sizeof *graph->inputs);
    put_messages(sink, GRAPH_OUTPUT, write_value, graph->outputs, graph->output_count,
                 sizeof *graph->outputs);
    put_messages(sink, GRAPH_VALUE_INFO, write_value, graph->value_infos, graph->value_info_count,
                 sizeof *graph->value_infos);
}

static void write_opset(struct sink *sink, const void *message)
{
    const struct onnx_opset *opset = message;

    put_name(sink, OPSET_DOMAIN, opset->domain);
    put_int(sink, OPSET_VERSION, opset->version);
}

static void write_entry(struct sink *sink, const void *message)
{
    const struct onnx_property *entry = message;

    put_string(sink, ENTRY_KEY, entry->key);
    put_string(sink, ENTRY_VALUE, entry->value);
}

static void write_function(struct sink *sink, const void *message)
{
    const struct onnx_function *function = message;

    put_name(sink, FUNCTION_NAME, function->name);
    put_strings(sink, FUNCTION_INPUT, function->inputs, function->input_count);
    put_strings(sink, FUNCTION_OUTPUT, function->outputs, function->output_count);
    put_strings(sink, FUNCTION_ATTRIBUTE, function->attr_names, function->attr_name_count);
    put_messages(sink, FUNCTION_NODE, write_node, function->nodes, function->node_count,
                 sizeof *function->nodes);
    put_messages(sink, FUNCTION_OPSET_IMPORT, write_opset, function->opsets, function->opset_count,
                 sizeof *function->opsets);
    put_name(sink, FUNCTION_DOMAIN, function->domain);
    put_messages(sink, FUNCTION_ATTRIBUTE_PROTO, write_attr, function->attr_defaults,
                 function->attr_default_count, sizeof *function->attr_defaults);
    put_name(sink, FUNCTION_OVERLOAD, function->overload);
}

static void write_model(struct sink *sink, const void *message)
{
    const struct he_model *model = message;

    put_int(sink, MODEL_IR_VERSION, model->ir_version);
    put_name(sink, MODEL_PRODUCER_NAME, model->producer_name);
    put_name(sink, MODEL_PRODUCER_VERSION, model->producer_version);
    put_name(sink, MODEL_DOMAIN, model->domain);
    if (model->model_version)
        put_int(sink, MODEL_MODEL_VERSION, model->model_version);
    put_name(sink, MODEL_DOC, model->doc);
    put_message(sink, MODEL_GRAPH, write_graph, &model->graph);
    put_messages(sink, MODEL_OPSET_IMPORT, write_opset, model->opsets, model->opset_count,
                 sizeof *model->opsets);
    put_messages(sink, MODEL_METADATA, write_entry, model->metadata, model->metadata_count,
                 sizeof *model->metadata);
    put_messages(sink, MODEL_FUNCTIONS, write_function, model->functions, model->function_count,
                 sizeof *model->functions);
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

static he_status write_all(write_fn write, const void *message, struct he_text *out)
{
    struct sink sink = { .text = NULL };

    write(&sink, message);
    if (sink.size > MESSAGE_BYTES_MAX)
        return he_error_set(HE_ERR_UNSUPPORTED,
                            "the file would have %zu bytes; protobuf ends at 2 GiB", sink.size);
    /* Room for all of it at once: growing by doubling would move weights often. */
    if (he_alloc_grow(&out->alloc, (void **)&out->data, &out->capacity, out->size,
                      out->size + sink.size + 1, 1) != HE_OK)
        return he_no_memory();
    sink = (struct sink){ .text = out };
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
