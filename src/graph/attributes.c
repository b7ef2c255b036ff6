/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The build pass, attributes and constants: from the document's form to the
 * graph's. Nothing is copied but the rows of he_attr themselves: names, lists and
 * contents stay where the model has them.
 */
#include "graph/build.h"

#include <string.h>

enum { /* AttributeProto.type */
    TYPE_FLOAT = 1,
    TYPE_INT,
    TYPE_STRING,
    TYPE_TENSOR,
    TYPE_GRAPH,
    TYPE_FLOATS,
    TYPE_INTS,
    TYPE_STRINGS,
};

he_status he_build_tensor(const struct onnx_tensor *tensor, struct he_value *out)
{
    int64_t bytes = he_shape_bytes(&tensor->shape, tensor->dtype);

    if (tensor->dtype == HE_STRING) {
        /* Nothing computes with strings: they are carried as an array of pointers. */
        he_value_set_constant(out, HE_STRING, &tensor->shape,
                              tensor->strings ? (const void *)tensor->strings : "",
                              tensor->string_count * sizeof *tensor->strings);
        return HE_OK;
    }
    if (bytes < 0 || (uint64_t)bytes != tensor->data_bytes || (bytes && !tensor->data))
        return he_error_set(HE_ERR_PARSE,
                            "tensor '%s' of type %s holds %zu bytes where its shape needs %lld",
                            tensor->name ? tensor->name : "", he_dtype_name(tensor->dtype),
                            tensor->data_bytes, (long long)bytes);
    /* An empty tensor still is a constant, and constants have data. */
    he_value_set_constant(out, tensor->dtype, &tensor->shape, tensor->data ? tensor->data : "",
                          tensor->data_bytes);
    return HE_OK;
}

static he_status build_body(struct he_scope *scope, const struct onnx_graph *source,
                            struct he_node *node, struct he_attr *attr)
{
    struct he_scope inner;
    uint32_t *inputs;
    he_status status = he_build_graph(scope->build, scope, source, he_node_is(node, "If"),
                                      &inner);

    if (status != HE_OK)
        return status;
    attr->graph = inner.graph;
    /* What the body captures comes behind the inputs the node has so far. */
    inputs = he_graph_indices(scope->graph, node->input_count + inner.captured_count);
    if (!inputs)
        return he_no_memory();
    for (uint32_t k = 0; k < node->input_count; k++)
        inputs[k] = node->inputs[k];
    for (uint32_t k = 0; k < inner.captured_count; k++)
        inputs[node->input_count + k] = inner.captured[k];
    node->inputs = inputs;
    node->input_count += inner.captured_count;
    return HE_OK;
}

static he_status build_attr(struct he_scope *scope, const struct onnx_attr *from,
                            struct he_node *node, struct he_attr *to)
{
    struct he_value *tensor;

    to->name = from->name;
    to->kind = HE_ATTR_OTHER;
    to->count = from->count;
    if (from->ref_attr_name && *from->ref_attr_name)
        return he_error_set(HE_ERR_PARSE,
                            "attribute '%s' refers to '%s' of a function, outside of any function",
                            from->name, from->ref_attr_name);
    switch (from->type) {
    case TYPE_FLOAT:
        to->kind = HE_ATTR_FLOAT;
        to->f = from->f;
        break;
    case TYPE_INT:
        to->kind = HE_ATTR_INT;
        to->i = from->i;
        break;
    case TYPE_STRING:
        to->kind = HE_ATTR_STRING;
        to->s = from->s ? from->s : "";
        to->s_bytes = from->s_bytes;
        break;
    case TYPE_TENSOR:
        tensor = he_arena_alloc(he_graph_arena(scope->graph), 1, sizeof *tensor);
        if (!tensor)
            return he_no_memory();
        if (!from->tensor)
            return he_error_set(HE_ERR_PARSE, "attribute '%s' is a tensor without one", from->name);
        tensor->name = "";
        tensor->producer = HE_NONE;
        to->kind = HE_ATTR_TENSOR;
        to->tensor = tensor;
        return he_build_tensor(from->tensor, tensor);
    case TYPE_GRAPH:
        if (!from->graph)
            return he_error_set(HE_ERR_PARSE, "attribute '%s' is a graph without one", from->name);
        to->kind = HE_ATTR_GRAPH;
        return build_body(scope, from->graph, node, to);
    case TYPE_FLOATS:
        to->kind = HE_ATTR_FLOATS;
        to->floats = from->floats;
        break;
    case TYPE_INTS:
        to->kind = HE_ATTR_INTS;
        to->ints = from->ints;
        break;
    case TYPE_STRINGS:
        to->kind = HE_ATTR_STRINGS;
        to->strings = from->strings;
        break;
    default:
        break;
    }
    return HE_OK;
}

he_status he_build_attrs(struct he_scope *scope, const struct onnx_node *source,
                         struct he_node *node)
{
    node->attr_count = 0;
    node->attrs = he_arena_alloc(he_graph_arena(scope->graph), source->attr_count,
                                 sizeof *node->attrs);
    if (!node->attrs)
        return he_no_memory();
    for (size_t k = 0; k < source->attr_count; k++) {
        he_status status = build_attr(scope, &source->attrs[k], node, &node->attrs[k]);

        if (status != HE_OK)
            return status;
        node->attr_count++;
    }
    return HE_OK;
}

/* One of the attribute forms "value_int", "value_floats"... */
static he_status set_list(struct he_value *value, enum he_dtype dtype, bool is_scalar,
                          const void *data, size_t count, size_t size)
{
    struct he_shape shape = { .rank = is_scalar ? 0 : 1 };

    if (!is_scalar)
        shape.dims[0] = (int64_t)count;
    he_value_set_constant(value, dtype, &shape, data ? data : "", count * size);
    return HE_OK;
}

he_status he_build_constant_node(struct he_scope *scope, const struct onnx_node *source,
                                 uint32_t index)
{
    struct he_value *value = &scope->graph->values[index];

    for (size_t k = 0; k < source->attr_count; k++) {
        const struct onnx_attr *attr = &source->attrs[k];

        if (strcmp(attr->name, "value") == 0 && attr->tensor)
            return he_build_tensor(attr->tensor, value);
        if (strcmp(attr->name, "value_float") == 0)
            return set_list(value, HE_FLOAT32, true, &attr->f, 1, sizeof attr->f);
        if (strcmp(attr->name, "value_floats") == 0)
            return set_list(value, HE_FLOAT32, false, attr->floats, attr->count, sizeof attr->f);
        if (strcmp(attr->name, "value_int") == 0)
            return set_list(value, HE_INT64, true, &attr->i, 1, sizeof attr->i);
        if (strcmp(attr->name, "value_ints") == 0)
            return set_list(value, HE_INT64, false, attr->ints, attr->count, sizeof attr->i);
        if (strcmp(attr->name, "value_string") == 0)
            return set_list(value, HE_STRING, true, &attr->s, 1, sizeof attr->s);
        if (strcmp(attr->name, "value_strings") == 0)
            return set_list(value, HE_STRING, false, attr->strings, attr->count, sizeof attr->s);
        if (strcmp(attr->name, "sparse_value") == 0)
            return he_error_set(HE_ERR_UNSUPPORTED, "Constant '%s' is a sparse tensor",
                                value->name);
    }
    return he_error_set(HE_ERR_PARSE, "Constant '%s' has no value", value->name);
}
