/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GraphProto and what stands in it: nodes, values, types. Each message is
 * walked twice, once to count its lists and once to fill them, so that every
 * list is one array of the right size. Recursion is only through graphs in
 * attributes, and counted.
 */
#include <string.h>

#include "core/size.h"
#include "reader.h"

void *he_read_array(struct he_reader *reader, size_t count, size_t size)
{
    return he_arena_alloc(reader->arena, count, size);
}

he_status he_read_domain(struct he_reader *reader, const struct he_wire *wire,
                         const struct he_wire_field *field, const char **out)
{
    he_status status = he_wire_string(wire, field, reader->arena, out);

    if (status == HE_OK && strcmp(*out, "ai.onnx") == 0)
        *out = "";
    return status;
}

/* --- Values and their types --- */

static he_status read_dim(struct he_reader *reader, struct he_wire wire, struct onnx_dim *out)
{
    *out = (struct onnx_dim){ .value = -1, .param = "" };
    for (;;) {
        struct he_wire_field field;
        he_status status = he_wire_next(&wire, &field);

        if (status != HE_OK || field.number == 0)
            return status;
        if (field.number == DIM_VALUE) {
            /* Some exporters write -1 for "any"; no negative number means more. */
            out->value = he_wire_int64(&field) < 0 ? -1 : he_wire_int64(&field);
            out->param = "";
        } else {
            out->value = -1;
            status = he_wire_string(&wire, &field, reader->arena, &out->param);
        }
        if (status != HE_OK)
            return status;
    }
}

static he_status read_shape(struct he_reader *reader, struct he_wire wire,
                            struct onnx_value_info *out)
{
    size_t counts[HE_WIRE_FIELD_MAX];
    he_status status = he_wire_count(&wire, counts);

    if (status != HE_OK)
        return status;
    out->has_shape = true;
    out->dim_count = 0;
    out->dims = he_read_array(reader, counts[SHAPE_DIM], sizeof *out->dims);
    if (!out->dims)
        return he_no_memory();
    for (;;) {
        struct he_wire_field field;

        status = he_wire_next(&wire, &field);
        if (status != HE_OK || field.number == 0)
            return status;
        status = read_dim(reader, he_wire_enter(&wire, &field, &he_schema_dim),
                          &out->dims[out->dim_count++]);
        if (status != HE_OK)
            return status;
    }
}

static he_status read_tensor_type(struct he_reader *reader, struct he_wire wire,
                                  struct onnx_value_info *out)
{
    for (;;) {
        struct he_wire_field field;
        he_status status = he_wire_next(&wire, &field);

        if (status != HE_OK || field.number == 0)
            return status;
        if (field.number == TENSOR_TYPE_SHAPE) {
            status = read_shape(reader, he_wire_enter(&wire, &field, &he_schema_shape), out);
        } else {
            int32_t dtype = he_wire_int32(&field);

            out->dtype = dtype > 0 && dtype < HE_DTYPE_COUNT ? (enum he_dtype)dtype : HE_DTYPE_NONE;
            out->is_opaque = dtype >= HE_DTYPE_COUNT; /* newer than we are */
        }
        if (status != HE_OK)
            return status;
    }
}

static he_status read_type(struct he_reader *reader, struct he_wire wire,
                           struct onnx_value_info *out)
{
    out->type = wire.at;
    out->type_bytes = (size_t)(wire.end - wire.at);
    for (;;) {
        struct he_wire_field field;
        he_status status = he_wire_next(&wire, &field);

        if (status != HE_OK || field.number == 0)
            return status;
        if (field.number == TYPE_TENSOR) {
            status = read_tensor_type(
                reader, he_wire_enter(&wire, &field, &he_schema_tensor_type), out);
            if (status != HE_OK)
                return status;
        } else {
            out->is_opaque = true;
        }
    }
}

he_status he_read_value(struct he_reader *reader, struct he_wire wire, struct onnx_value_info *out)
{
    out->name = "";
    for (;;) {
        struct he_wire_field field;
        he_status status = he_wire_next(&wire, &field);

        if (status != HE_OK)
            return status;
        if (field.number == 0)
            break;
        if (field.number == VALUE_NAME)
            status = he_wire_string(&wire, &field, reader->arena, &out->name);
        else
            status = read_type(reader, he_wire_enter(&wire, &field, &he_schema_type), out);
        if (status != HE_OK)
            return status;
    }
    if (out->is_opaque) {
        out->dtype = HE_DTYPE_NONE;
        out->has_shape = false;
        out->dim_count = 0;
    } else {
        out->type = NULL;
        out->type_bytes = 0;
    }
    return HE_OK;
}

/* --- Attributes --- */

/* The type of an attribute that does not say it, as the first exporters wrote them. */
static int guess_type(const size_t *counts)
{
    static const struct {
        int field, type;
    } guesses[] = {
        { ATTR_F, ATTR_TYPE_FLOAT },       { ATTR_I, ATTR_TYPE_INT },
        { ATTR_S, ATTR_TYPE_STRING },      { ATTR_T, ATTR_TYPE_TENSOR },
        { ATTR_G, ATTR_TYPE_GRAPH },       { ATTR_FLOATS, ATTR_TYPE_FLOATS },
        { ATTR_INTS, ATTR_TYPE_INTS },     { ATTR_STRINGS, ATTR_TYPE_STRINGS },
        { ATTR_TENSORS, ATTR_TYPE_TENSORS }, { ATTR_GRAPHS, ATTR_TYPE_GRAPHS },
    };

    for (size_t k = 0; k < HE_COUNT(guesses); k++) {
        if (counts[guesses[k].field])
            return guesses[k].type;
    }
    return ATTR_TYPE_UNDEFINED;
}

static he_status read_attr_tensor(struct he_reader *reader, const struct he_wire *wire,
                                  const struct he_wire_field *field, struct onnx_attr *out)
{
    out->tensor = he_read_array(reader, 1, sizeof *out->tensor);
    if (!out->tensor)
        return he_no_memory();
    return he_read_tensor(reader, he_wire_enter(wire, field, &he_schema_tensor), out->tensor);
}

static he_status read_attr_graph(struct he_reader *reader, const struct he_wire *wire,
                                 const struct he_wire_field *field, struct onnx_attr *out)
{
    out->graph = he_read_array(reader, 1, sizeof *out->graph);
    if (!out->graph)
        return he_no_memory();
    return he_read_graph(reader, he_wire_enter(wire, field, &he_schema_graph), out->graph);
}

/* Where the elements of list attributes go while they are read. */
struct attr_lists {
    float *floats;
    int64_t *ints;
    const char **strings;
    size_t float_count, int_count, string_count;
};

static he_status read_attr_field(struct he_reader *reader, const struct he_wire *wire,
                                 const struct he_wire_field *field, struct attr_lists *lists,
                                 struct onnx_attr *out)
{
    switch (field->number) {
    case ATTR_NAME:
        return he_wire_string(wire, field, reader->arena, &out->name);
    case ATTR_REF_NAME:
        return he_wire_string(wire, field, reader->arena, &out->ref_attr_name);
    case ATTR_TYPE:
        out->type = he_wire_int32(field);
        return HE_OK;
    case ATTR_F:
        out->f = he_wire_float(field);
        return HE_OK;
    case ATTR_I:
        out->i = he_wire_int64(field);
        return HE_OK;
    case ATTR_S:
        out->s = he_arena_string(reader->arena, (const char *)field->data, field->size);
        out->s_bytes = field->size;
        return out->s ? HE_OK : he_no_memory();
    case ATTR_T:
        return read_attr_tensor(reader, wire, field, out);
    case ATTR_G:
        return read_attr_graph(reader, wire, field, out);
    case ATTR_FLOATS:
        return he_wire_numbers(wire, field, lists->floats, 4, &lists->float_count);
    case ATTR_INTS:
        return he_wire_numbers(wire, field, lists->ints, 8, &lists->int_count);
    case ATTR_STRINGS:
        return he_wire_string(wire, field, reader->arena, &lists->strings[lists->string_count++]);
    default:
        return HE_OK; /* of the types we only carry */
    }
}

/* The attribute as a whole: its type fits what it holds. */
static he_status finish_attr(const struct he_wire *wire, const struct attr_lists *lists,
                             struct onnx_attr *out)
{
    out->count = 1;
    out->floats = lists->floats;
    out->ints = lists->ints;
    out->strings = lists->strings;
    if (out->ref_attr_name && !*out->ref_attr_name)
        out->ref_attr_name = NULL;
    switch (out->type) {
    case ATTR_TYPE_FLOAT:
    case ATTR_TYPE_INT:
        return HE_OK; /* a missing number is 0: so proto3 writes zeros */
    case ATTR_TYPE_STRING:
        if (!out->s)
            out->s = "";
        return HE_OK;
    case ATTR_TYPE_TENSOR:
        if (!out->tensor && !out->ref_attr_name)
            return he_wire_fail(wire, wire->at, HE_ERR_PARSE,
                                "attribute '%.80s' is of type tensor but holds none", out->name);
        return HE_OK;
    case ATTR_TYPE_GRAPH:
        if (!out->graph && !out->ref_attr_name)
            return he_wire_fail(wire, wire->at, HE_ERR_PARSE,
                                "attribute '%.80s' is of type graph but holds none", out->name);
        return HE_OK;
    case ATTR_TYPE_FLOATS:
        out->count = lists->float_count;
        return HE_OK;
    case ATTR_TYPE_INTS:
        out->count = lists->int_count;
        return HE_OK;
    case ATTR_TYPE_STRINGS:
        out->count = lists->string_count;
        return HE_OK;
    case ATTR_TYPE_TENSORS:
    case ATTR_TYPE_GRAPHS:
    case ATTR_TYPE_SPARSE_TENSOR:
    case ATTR_TYPE_SPARSE_TENSORS:
    case ATTR_TYPE_TYPE_PROTO:
    case ATTR_TYPE_TYPE_PROTOS:
        out->other = wire->at;
        out->other_bytes = (size_t)(wire->end - wire->at);
        return HE_OK;
    default:
        return he_wire_fail(wire, wire->at, HE_ERR_PARSE, "attribute '%.80s' has no known type (%d)",
                            out->name, out->type);
    }
}

he_status he_read_attr(struct he_reader *reader, struct he_wire wire, struct onnx_attr *out)
{
    struct he_wire start = wire;
    size_t counts[HE_WIRE_FIELD_MAX];
    struct attr_lists lists = { 0 };
    he_status status = he_wire_count(&wire, counts);

    if (status != HE_OK)
        return status;
    out->name = "";
    if (counts[ATTR_T] > 1 || counts[ATTR_G] > 1)
        return he_wire_fail(&wire, wire.at, HE_ERR_PARSE,
                            "an attribute holds more than one %s", counts[ATTR_T] > 1 ? "tensor" : "graph");
    lists.floats = he_read_array(reader, counts[ATTR_FLOATS], sizeof *lists.floats);
    lists.ints = he_read_array(reader, counts[ATTR_INTS], sizeof *lists.ints);
    lists.strings = he_read_array(reader, counts[ATTR_STRINGS], sizeof *lists.strings);
    if (!lists.floats || !lists.ints || !lists.strings)
        return he_no_memory();
    for (;;) {
        struct he_wire_field field;

        status = he_wire_next(&wire, &field);
        if (status != HE_OK)
            return status;
        if (field.number == 0)
            break;
        status = read_attr_field(reader, &wire, &field, &lists, out);
        if (status != HE_OK)
            return status;
    }
    if (out->type == ATTR_TYPE_UNDEFINED)
        out->type = guess_type(counts);
    return finish_attr(&start, &lists, out);
}

/* --- Nodes --- */

he_status he_read_node(struct he_reader *reader, struct he_wire wire, struct onnx_node *out)
{
    const uint8_t *start = wire.at;
    size_t counts[HE_WIRE_FIELD_MAX];
    he_status status = he_wire_count(&wire, counts);

    if (status != HE_OK)
        return status;
    out->name = out->op_type = out->domain = out->overload = out->doc = "";
    out->inputs = he_read_array(reader, counts[NODE_INPUT], sizeof *out->inputs);
    out->outputs = he_read_array(reader, counts[NODE_OUTPUT], sizeof *out->outputs);
    out->attrs = he_read_array(reader, counts[NODE_ATTRIBUTE], sizeof *out->attrs);
    out->metadata = he_read_array(reader, counts[NODE_METADATA], sizeof *out->metadata);
    out->node_devices =
        he_read_array(reader, counts[NODE_DEVICE_CONFIGURATION], sizeof *out->node_devices);
    if (!out->inputs || !out->outputs || !out->attrs || !out->metadata || !out->node_devices)
        return he_no_memory();
    for (;;) {
        struct he_wire_field field;

        status = he_wire_next(&wire, &field);
        if (status != HE_OK)
            return status;
        switch (field.number) {
        case 0:
            if (!*out->op_type)
                return he_wire_fail(&wire, start, HE_ERR_PARSE, "node '%.80s' has no op_type",
                                    out->name);
            return HE_OK;
        case NODE_INPUT:
            status = he_wire_string(&wire, &field, reader->arena, &out->inputs[out->input_count++]);
            break;
        case NODE_OUTPUT:
            status =
                he_wire_string(&wire, &field, reader->arena, &out->outputs[out->output_count++]);
            break;
        case NODE_NAME:
            status = he_wire_string(&wire, &field, reader->arena, &out->name);
            break;
        case NODE_OP_TYPE:
            status = he_wire_string(&wire, &field, reader->arena, &out->op_type);
            break;
        case NODE_DOMAIN:
            status = he_read_domain(reader, &wire, &field, &out->domain);
            break;
        case NODE_OVERLOAD:
            status = he_wire_string(&wire, &field, reader->arena, &out->overload);
            break;
        case NODE_DOC:
            status = he_wire_string(&wire, &field, reader->arena, &out->doc);
            break;
        case NODE_METADATA:
            status = he_read_entry(reader, he_wire_enter(&wire, &field, &he_schema_entry),
                                   &out->metadata[out->metadata_count++]);
            break;
        case NODE_DEVICE_CONFIGURATION:
            status = he_read_node_device(reader,
                                         he_wire_enter(&wire, &field, &he_schema_node_device),
                                         &out->node_devices[out->node_device_count++]);
            break;
        case NODE_ATTRIBUTE:
            status = he_read_attr(reader, he_wire_enter(&wire, &field, &he_schema_attr),
                                  &out->attrs[out->attr_count++]);
            break;
        default:
            break;
        }
        if (status != HE_OK)
            return status;
    }
}

/* --- Graphs --- */

static he_status read_graph_field(struct he_reader *reader, const struct he_wire *wire,
                                  const struct he_wire_field *field, struct onnx_graph *out)
{
    switch (field->number) {
    case GRAPH_NODE:
        return he_read_node(reader, he_wire_enter(wire, field, &he_schema_node),
                            &out->nodes[out->node_count++]);
    case GRAPH_NAME:
        return he_wire_string(wire, field, reader->arena, &out->name);
    case GRAPH_DOC:
        return he_wire_string(wire, field, reader->arena, &out->doc);
    case GRAPH_INITIALIZER:
        return he_read_tensor(reader, he_wire_enter(wire, field, &he_schema_tensor),
                              &out->initializers[out->initializer_count++]);
    case GRAPH_INPUT:
        return he_read_value(reader, he_wire_enter(wire, field, &he_schema_value),
                             &out->inputs[out->input_count++]);
    case GRAPH_OUTPUT:
        return he_read_value(reader, he_wire_enter(wire, field, &he_schema_value),
                             &out->outputs[out->output_count++]);
    case GRAPH_VALUE_INFO:
        return he_read_value(reader, he_wire_enter(wire, field, &he_schema_value),
                             &out->value_infos[out->value_info_count++]);
    case GRAPH_SPARSE_INITIALIZER:
        return he_wire_fail(wire, field->at, HE_ERR_UNSUPPORTED,
                            "graph '%.80s' has a sparse initializer, which this library does not "
                            "read",
                            out->name);
    default:
        return HE_OK;
    }
}

static he_status read_graph(struct he_reader *reader, struct he_wire wire, struct onnx_graph *out)
{
    size_t counts[HE_WIRE_FIELD_MAX];
    he_status status = he_wire_count(&wire, counts);

    if (status != HE_OK)
        return status;
    out->name = out->doc = "";
    out->nodes = he_read_array(reader, counts[GRAPH_NODE], sizeof *out->nodes);
    out->initializers =
        he_read_array(reader, counts[GRAPH_INITIALIZER], sizeof *out->initializers);
    out->inputs = he_read_array(reader, counts[GRAPH_INPUT], sizeof *out->inputs);
    out->outputs = he_read_array(reader, counts[GRAPH_OUTPUT], sizeof *out->outputs);
    out->value_infos = he_read_array(reader, counts[GRAPH_VALUE_INFO], sizeof *out->value_infos);
    if (!out->nodes || !out->initializers || !out->inputs || !out->outputs || !out->value_infos)
        return he_no_memory();
    for (;;) {
        struct he_wire_field field;

        status = he_wire_next(&wire, &field);
        if (status != HE_OK || field.number == 0)
            return status;
        status = read_graph_field(reader, &wire, &field, out);
        if (status != HE_OK)
            return status;
    }
}

he_status he_read_graph(struct he_reader *reader, struct he_wire wire, struct onnx_graph *out)
{
    he_status status;

    if (reader->graph_depth == HE_GRAPH_DEPTH_MAX)
        return he_wire_fail(&wire, wire.at, HE_ERR_UNSUPPORTED,
                            "graphs are nested more than %d deep", HE_GRAPH_DEPTH_MAX);
    reader->graph_depth++;
    status = read_graph(reader, wire, out);
    reader->graph_depth--;
    return status;
}
