/* SPDX-License-Identifier: Apache-2.0 */
/* NULL strings equal "": structs built by hand leave them out. */
#include "onnx_equal.h"

#include <string.h>

static bool same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_list(const char *const *a, size_t a_count, const char *const *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t k = 0; k < a_count; k++) {
        if (!same(a[k], b[k]))
            return false;
    }
    return true;
}

static bool same_bytes(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    return a_bytes == b_bytes && (a_bytes == 0 || memcmp(a, b, a_bytes) == 0);
}

const char *onnx_tensor_difference(const struct onnx_tensor *a, const struct onnx_tensor *b)
{
    if (!same(a->name, b->name))
        return "name of a tensor";
    if (a->dtype != b->dtype)
        return "type of a tensor";
    if (!he_shape_equal(&a->shape, &b->shape))
        return "shape of a tensor";
    if (!same_list(a->strings, a->string_count, b->strings, b->string_count))
        return "strings of a tensor";
    if (!same_bytes(a->data, a->data_bytes, b->data, b->data_bytes))
        return "contents of a tensor";
    return NULL;
}

static const char *attr_difference(const struct onnx_attr *a, const struct onnx_attr *b)
{
    if (!same(a->name, b->name) || a->type != b->type)
        return "name or type of an attribute";
    if (!same(a->ref_attr_name, b->ref_attr_name))
        return "reference of an attribute";
    if (a->ref_attr_name)
        return NULL;
    switch (a->type) {
    case 1:
        return memcmp(&a->f, &b->f, sizeof a->f) ? "float attribute" : NULL;
    case 2:
        return a->i != b->i ? "int attribute" : NULL;
    case 3:
        return same_bytes(a->s, a->s_bytes, b->s, b->s_bytes) ? NULL : "string attribute";
    case 4:
        return onnx_tensor_difference(a->tensor, b->tensor);
    case 5:
        return onnx_graph_difference(a->graph, b->graph);
    case 6:
        return same_bytes(a->floats, a->count * sizeof *a->floats, b->floats,
                          b->count * sizeof *b->floats)
                   ? NULL
                   : "floats attribute";
    case 7:
        return same_bytes(a->ints, a->count * sizeof *a->ints, b->ints, b->count * sizeof *b->ints)
                   ? NULL
                   : "ints attribute";
    case 8:
        return same_list(a->strings, a->count, b->strings, b->count) ? NULL : "strings attribute";
    default:
        return same_bytes(a->other, a->other_bytes, b->other, b->other_bytes)
                   ? NULL
                   : "attribute that is only carried";
    }
}

static const char *attrs_difference(const struct onnx_attr *a, size_t a_count,
                                    const struct onnx_attr *b, size_t b_count)
{
    const char *difference = NULL;

    if (a_count != b_count)
        return "number of attributes";
    for (size_t k = 0; k < a_count && !difference; k++)
        difference = attr_difference(&a[k], &b[k]);
    return difference;
}

static const char *node_devices_difference(const struct onnx_node *a, const struct onnx_node *b)
{
    if (a->node_device_count != b->node_device_count)
        return "number of device configurations of a node";
    for (size_t k = 0; k < a->node_device_count; k++) {
        const struct onnx_node_device *x = &a->node_devices[k], *y = &b->node_devices[k];

        if (!same(x->configuration, y->configuration) || x->stage != y->stage ||
            x->sharding_count != y->sharding_count)
            return "device configuration of a node";
        for (size_t i = 0; i < x->sharding_count; i++) {
            const struct onnx_sharding *p = &x->shardings[i], *q = &y->shardings[i];

            if (!same(p->tensor, q->tensor) || p->is_split != q->is_split ||
                !same_bytes(p->devices, p->device_count * sizeof *p->devices, q->devices,
                            q->device_count * sizeof *q->devices) ||
                !same_bytes(p->other, p->other_bytes, q->other, q->other_bytes))
                return "sharding of a node";
        }
    }
    return NULL;
}

static const char *notes_difference(const struct onnx_node *a, const struct onnx_node *b)
{
    if (!same(a->doc, b->doc) || a->metadata_count != b->metadata_count)
        return "doc string or number of properties of a node";
    for (size_t k = 0; k < a->metadata_count; k++) {
        if (!same(a->metadata[k].key, b->metadata[k].key) ||
            !same(a->metadata[k].value, b->metadata[k].value))
            return "property of a node";
    }
    return node_devices_difference(a, b);
}

static const char *nodes_difference(const struct onnx_node *a, size_t a_count,
                                    const struct onnx_node *b, size_t b_count)
{
    const char *difference = NULL;

    if (a_count != b_count)
        return "number of nodes";
    for (size_t k = 0; k < a_count && !difference; k++) {
        if (!same(a[k].name, b[k].name) || !same(a[k].op_type, b[k].op_type) ||
            !same(a[k].domain, b[k].domain) || !same(a[k].overload, b[k].overload))
            return "name, operator, domain or overload of a node";
        if (!same_list(a[k].inputs, a[k].input_count, b[k].inputs, b[k].input_count) ||
            !same_list(a[k].outputs, a[k].output_count, b[k].outputs, b[k].output_count))
            return "inputs or outputs of a node";
        if (a[k].opset != b[k].opset)
            return "opset of a node";
        difference = attrs_difference(a[k].attrs, a[k].attr_count, b[k].attrs, b[k].attr_count);
        if (!difference)
            difference = notes_difference(&a[k], &b[k]);
    }
    return difference;
}

static const char *values_difference(const struct onnx_value_info *a, size_t a_count,
                                     const struct onnx_value_info *b, size_t b_count)
{
    if (a_count != b_count)
        return "number of values";
    for (size_t k = 0; k < a_count; k++) {
        if (!same(a[k].name, b[k].name) || a[k].dtype != b[k].dtype)
            return "name or type of a value";
        if (a[k].has_shape != b[k].has_shape || a[k].is_opaque != b[k].is_opaque ||
            a[k].dim_count != b[k].dim_count)
            return "kind or rank of a value";
        if (!same_bytes(a[k].type, a[k].type_bytes, b[k].type, b[k].type_bytes))
            return "type of an opaque value";
        for (size_t d = 0; d < a[k].dim_count; d++) {
            if (a[k].dims[d].value != b[k].dims[d].value ||
                !same(a[k].dims[d].param, b[k].dims[d].param))
                return "dimension of a value";
        }
    }
    return NULL;
}

const char *onnx_graph_difference(const struct onnx_graph *a, const struct onnx_graph *b)
{
    const char *difference = NULL;

    if (!same(a->name, b->name) || !same(a->doc, b->doc))
        return "name or doc string of a graph";
    if (a->initializer_count != b->initializer_count)
        return "number of initializers";
    for (size_t k = 0; k < a->initializer_count && !difference; k++)
        difference = onnx_tensor_difference(&a->initializers[k], &b->initializers[k]);
    if (!difference)
        difference = nodes_difference(a->nodes, a->node_count, b->nodes, b->node_count);
    if (!difference)
        difference = values_difference(a->inputs, a->input_count, b->inputs, b->input_count);
    if (!difference)
        difference = values_difference(a->outputs, a->output_count, b->outputs, b->output_count);
    if (!difference)
        difference = values_difference(a->value_infos, a->value_info_count, b->value_infos,
                                       b->value_info_count);
    return difference;
}

static const char *opsets_difference(const struct onnx_opset *a, size_t a_count,
                                     const struct onnx_opset *b, size_t b_count)
{
    if (a_count != b_count)
        return "number of opset imports";
    for (size_t k = 0; k < a_count; k++) {
        if (!same(a[k].domain, b[k].domain) || a[k].version != b[k].version)
            return "opset import";
    }
    return NULL;
}

static const char *function_difference(const struct onnx_function *a, const struct onnx_function *b)
{
    const char *difference;

    if (!same(a->name, b->name) || !same(a->domain, b->domain) || !same(a->overload, b->overload))
        return "name, domain or overload of a function";
    if (!same_list(a->inputs, a->input_count, b->inputs, b->input_count) ||
        !same_list(a->outputs, a->output_count, b->outputs, b->output_count) ||
        !same_list(a->attr_names, a->attr_name_count, b->attr_names, b->attr_name_count))
        return "inputs, outputs or attributes of a function";
    difference = attrs_difference(a->attr_defaults, a->attr_default_count, b->attr_defaults,
                                  b->attr_default_count);
    if (!difference)
        difference = nodes_difference(a->nodes, a->node_count, b->nodes, b->node_count);
    if (!difference)
        difference = opsets_difference(a->opsets, a->opset_count, b->opsets, b->opset_count);
    return difference;
}

const char *onnx_model_difference(const struct he_model *a, const struct he_model *b)
{
    const char *difference = NULL;

    if (a->ir_version != b->ir_version || a->model_version != b->model_version)
        return "version of the model";
    if (!same(a->producer_name, b->producer_name) ||
        !same(a->producer_version, b->producer_version) || !same(a->domain, b->domain) ||
        !same(a->doc, b->doc))
        return "producer, domain or doc string of the model";
    if (a->metadata_count != b->metadata_count)
        return "number of metadata entries";
    for (size_t k = 0; k < a->metadata_count; k++) {
        if (!same(a->metadata[k].key, b->metadata[k].key) ||
            !same(a->metadata[k].value, b->metadata[k].value))
            return "metadata entry";
    }
    if (a->configuration_count != b->configuration_count)
        return "number of device configurations";
    for (size_t k = 0; k < a->configuration_count; k++) {
        const struct onnx_configuration *x = &a->configurations[k], *y = &b->configurations[k];

        if (!same(x->name, y->name) || x->device_count != y->device_count ||
            !same_list(x->devices, x->name_count, y->devices, y->name_count))
            return "device configuration";
    }
    if (a->function_count != b->function_count)
        return "number of functions";
    for (size_t k = 0; k < a->function_count && !difference; k++)
        difference = function_difference(&a->functions[k], &b->functions[k]);
    if (!difference)
        difference = opsets_difference(a->opsets, a->opset_count, b->opsets, b->opset_count);
    return difference ? difference : onnx_graph_difference(&a->graph, &b->graph);
}
