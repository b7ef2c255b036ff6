/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx_oracle.h"

#include <stdlib.h>
#include <string.h>

#include "onnx.pb-c.h"

static const char *graph_difference(const Onnx__GraphProto *a, const struct onnx_graph *b);

static bool same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b) == 0;
}

static bool same_domain(const char *a, const char *b)
{
    return same(a && strcmp(a, "ai.onnx") == 0 ? "" : a, b);
}

static bool same_bytes(const ProtobufCBinaryData *a, const char *b, size_t b_bytes)
{
    return a->len == b_bytes && (b_bytes == 0 || memcmp(a->data, b, b_bytes) == 0);
}

static bool same_list(char **a, size_t a_count, const char *const *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t k = 0; k < a_count; k++) {
        if (!same(a[k], b[k]))
            return false;
    }
    return true;
}

static bool same_byte_list(const ProtobufCBinaryData *a, size_t a_count, const char *const *b,
                           size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t k = 0; k < a_count; k++) {
        if (!same_bytes(&a[k], b[k], strlen(b[k])))
            return false;
    }
    return true;
}

/* The low @width bytes of each number against dense contents. */
static bool same_numbers(const void *numbers, size_t count, size_t number_size, size_t width,
                         const struct onnx_tensor *b)
{
    if (count * width != b->data_bytes)
        return false;
    for (size_t k = 0; k < count; k++) {
        if (memcmp((const char *)numbers + k * number_size, (const char *)b->data + k * width,
                   width) != 0)
            return false;
    }
    return true;
}

static bool same_contents(const Onnx__TensorProto *a, const struct onnx_tensor *b)
{
    size_t bits = he_dtype_bits(b->dtype), width = bits < 8 ? 1 : bits / 8;

    if (b->dtype == HE_STRING)
        return same_byte_list(a->string_data, a->n_string_data, b->strings, b->string_count);
    if (a->has_raw_data && (a->raw_data.len || !b->data_bytes))
        return same_bytes(&a->raw_data, b->data, b->data_bytes);
    switch (b->dtype) {
    case HE_FLOAT32:
    case HE_COMPLEX64:
        return same_numbers(a->float_data, a->n_float_data, 4, 4, b);
    case HE_FLOAT64:
    case HE_COMPLEX128:
        return same_numbers(a->double_data, a->n_double_data, 8, 8, b);
    case HE_INT64:
        return same_numbers(a->int64_data, a->n_int64_data, 8, 8, b);
    case HE_UINT32:
    case HE_UINT64:
        return same_numbers(a->uint64_data, a->n_uint64_data, 8, width, b);
    default:
        return same_numbers(a->int32_data, a->n_int32_data, 4, width, b);
    }
}

static const char *tensor_difference(const Onnx__TensorProto *a, const struct onnx_tensor *b)
{
    if (!same(a->name, b->name))
        return "name of a tensor";
    if (a->data_type != (int32_t)b->dtype)
        return "type of a tensor";
    if (a->n_dims != b->shape.rank)
        return "rank of a tensor";
    for (size_t k = 0; k < a->n_dims; k++) {
        if (a->dims[k] != b->shape.dims[k])
            return "dimension of a tensor";
    }
    return same_contents(a, b) ? NULL : "contents of a tensor";
}

static const char *attr_difference(const Onnx__AttributeProto *a, const struct onnx_attr *b)
{
    if (!same(a->name, b->name))
        return "name of an attribute";
    if (!same(a->ref_attr_name, b->ref_attr_name ? b->ref_attr_name : ""))
        return "reference of an attribute";
    if (a->has_type && (int)a->type != b->type)
        return "type of an attribute";
    if (b->ref_attr_name)
        return NULL;
    switch (b->type) {
    case 1:
        return memcmp(&a->f, &b->f, sizeof b->f) ? "float attribute" : NULL;
    case 2:
        return a->i != b->i ? "int attribute" : NULL;
    case 3:
        return same_bytes(&a->s, b->s, b->s_bytes) ? NULL : "string attribute";
    case 4:
        return tensor_difference(a->t, b->tensor);
    case 5:
        return graph_difference(a->g, b->graph);
    case 6:
        return a->n_floats == b->count &&
                       (!b->count || !memcmp(a->floats, b->floats, b->count * sizeof *b->floats))
                   ? NULL
                   : "floats attribute";
    case 7:
        return a->n_ints == b->count &&
                       (!b->count || !memcmp(a->ints, b->ints, b->count * sizeof *b->ints))
                   ? NULL
                   : "ints attribute";
    case 8:
        return same_byte_list(a->strings, a->n_strings, b->strings, b->count)
                   ? NULL
                   : "strings attribute";
    default:
        return b->other ? NULL : "attribute that is only carried";
    }
}

static const char *nodes_difference(Onnx__NodeProto **a, size_t a_count, const struct onnx_node *b,
                                    size_t b_count)
{
    const char *difference = NULL;

    if (a_count != b_count)
        return "number of nodes";
    for (size_t k = 0; k < a_count; k++) {
        if (!same(a[k]->name, b[k].name) || !same(a[k]->op_type, b[k].op_type) ||
            !same_domain(a[k]->domain, b[k].domain))
            return "name, operator or domain of a node";
        if (!same_list(a[k]->input, a[k]->n_input, b[k].inputs, b[k].input_count) ||
            !same_list(a[k]->output, a[k]->n_output, b[k].outputs, b[k].output_count))
            return "inputs or outputs of a node";
        if (a[k]->n_attribute != b[k].attr_count)
            return "number of attributes";
        for (size_t i = 0; i < b[k].attr_count && !difference; i++)
            difference = attr_difference(a[k]->attribute[i], &b[k].attrs[i]);
        if (difference)
            return difference;
    }
    return NULL;
}

static const char *shape_difference(const Onnx__TensorShapeProto *a,
                                    const struct onnx_value_info *b)
{
    if ((a != NULL) != b->has_shape)
        return "presence of a shape";
    if (!a)
        return NULL;
    if (a->n_dim != b->dim_count)
        return "rank of a value";
    for (size_t k = 0; k < a->n_dim; k++) {
        const Onnx__TensorShapeProto__Dimension *dim = a->dim[k];
        bool is_number =
            dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        bool is_param = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;

        if (b->dims[k].value != (is_number && dim->dim_value >= 0 ? dim->dim_value : -1) ||
            !same(is_param ? dim->dim_param : "", b->dims[k].param))
            return "dimension of a value";
    }
    return NULL;
}

static const char *values_difference(Onnx__ValueInfoProto **a, size_t a_count,
                                     const struct onnx_value_info *b, size_t b_count)
{
    if (a_count != b_count)
        return "number of values";
    for (size_t k = 0; k < a_count; k++) {
        const Onnx__TypeProto *type = a[k]->type;
        const char *difference = NULL;

        if (!same(a[k]->name, b[k].name))
            return "name of a value";
        if (!type)
            continue;
        if ((type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE &&
             type->value_case != ONNX__TYPE_PROTO__VALUE__NOT_SET) != b[k].is_opaque)
            return "kind of a value";
        if (type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
            continue;
        if (type->tensor_type->elem_type != (int32_t)b[k].dtype)
            return "type of a value";
        difference = shape_difference(type->tensor_type->shape, &b[k]);
        if (difference)
            return difference;
    }
    return NULL;
}

static const char *graph_difference(const Onnx__GraphProto *a, const struct onnx_graph *b)
{
    const char *difference;

    if (!same(a->name, b->name))
        return "name of a graph";
    if (a->n_initializer != b->initializer_count)
        return "number of initializers";
    for (size_t k = 0; k < b->initializer_count; k++) {
        difference = tensor_difference(a->initializer[k], &b->initializers[k]);
        if (difference)
            return difference;
    }
    difference = nodes_difference(a->node, a->n_node, b->nodes, b->node_count);
    if (!difference)
        difference = values_difference(a->input, a->n_input, b->inputs, b->input_count);
    if (!difference)
        difference = values_difference(a->output, a->n_output, b->outputs, b->output_count);
    if (!difference)
        difference =
            values_difference(a->value_info, a->n_value_info, b->value_infos, b->value_info_count);
    return difference;
}

static const char *opsets_difference(Onnx__OperatorSetIdProto **a, size_t a_count,
                                     const struct onnx_opset *b, size_t b_count)
{
    if (a_count != b_count)
        return "number of opset imports";
    for (size_t k = 0; k < a_count; k++) {
        if (!same_domain(a[k]->domain, b[k].domain) || a[k]->version != b[k].version)
            return "opset import";
    }
    return NULL;
}

static const char *function_difference(const Onnx__FunctionProto *a, const struct onnx_function *b)
{
    const char *difference;

    if (!same(a->name, b->name) || !same_domain(a->domain, b->domain))
        return "name or domain of a function";
    if (!same_list(a->input, a->n_input, b->inputs, b->input_count) ||
        !same_list(a->output, a->n_output, b->outputs, b->output_count) ||
        !same_list(a->attribute, a->n_attribute, b->attr_names, b->attr_name_count))
        return "inputs, outputs or attributes of a function";
    difference = nodes_difference(a->node, a->n_node, b->nodes, b->node_count);
    if (!difference)
        difference = opsets_difference(a->opset_import, a->n_opset_import, b->opsets,
                                       b->opset_count);
    return difference;
}

static const char *model_difference(const Onnx__ModelProto *a, const struct he_model *b)
{
    const char *difference;

    if (a->ir_version != b->ir_version || a->model_version != b->model_version)
        return "version of the model";
    if (!same(a->producer_name, b->producer_name) ||
        !same(a->producer_version, b->producer_version) || !same(a->domain, b->domain) ||
        !same(a->doc_string, b->doc))
        return "producer, domain or doc string of the model";
    if (a->n_metadata_props != b->metadata_count)
        return "number of metadata entries";
    for (size_t k = 0; k < b->metadata_count; k++) {
        if (!same(a->metadata_props[k]->key, b->metadata[k].key) ||
            !same(a->metadata_props[k]->value, b->metadata[k].value))
            return "metadata entry";
    }
    if (a->n_functions != b->function_count)
        return "number of functions";
    for (size_t k = 0; k < b->function_count; k++) {
        difference = function_difference(a->functions[k], &b->functions[k]);
        if (difference)
            return difference;
    }
    difference = opsets_difference(a->opset_import, a->n_opset_import, b->opsets, b->opset_count);
    return difference ? difference : graph_difference(a->graph, &b->graph);
}

const char *onnx_oracle_difference(const void *data, size_t size, const struct he_model *model)
{
    Onnx__ModelProto *oracle = onnx__model_proto__unpack(NULL, size, data);
    const char *difference = oracle ? model_difference(oracle, model) : "the oracle cannot read it";

    if (oracle)
        onnx__model_proto__free_unpacked(oracle, NULL);
    return difference;
}

const char *onnx_oracle_tensor_difference(const void *data, size_t size,
                                          const struct onnx_tensor *tensor)
{
    Onnx__TensorProto *oracle = onnx__tensor_proto__unpack(NULL, size, data);
    const char *difference =
        oracle ? tensor_difference(oracle, tensor) : "the oracle cannot read it";

    if (oracle)
        onnx__tensor_proto__free_unpacked(oracle, NULL);
    return difference;
}
