/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ModelProto: the document as a whole. Maps the file, reads it, checks the
 * opsets, and inlines the local functions, so that what comes after sees plain
 * graphs only.
 */
#include <string.h>

#include "core/map.h"
#include "reader.h"

he_status he_read_opset(struct he_reader *reader, struct he_wire wire, struct onnx_opset *out)
{
    const uint8_t *start = wire.at;

    *out = (struct onnx_opset){ .domain = "" };
    for (;;) {
        struct he_wire_field field;
        he_status status = he_wire_next(&wire, &field);

        if (status != HE_OK)
            return status;
        if (field.number == 0)
            break;
        if (field.number == OPSET_VERSION)
            out->version = he_wire_int64(&field);
        else
            status = he_read_domain(reader, &wire, &field, &out->domain);
        if (status != HE_OK)
            return status;
    }
    if (*out->domain)
        return HE_OK; /* other domains: whoever has their operators will know */
    if (out->version < 1)
        return he_wire_fail(&wire, start, HE_ERR_PARSE, "opset %lld of ONNX does not exist",
                            (long long)out->version);
    if (out->version > HE_OPSET_MAX)
        return he_wire_fail(&wire, start, HE_ERR_UNSUPPORTED,
                            "opset %lld of ONNX is imported; this library knows up to %d",
                            (long long)out->version, HE_OPSET_MAX);
    return HE_OK;
}

he_status he_read_entry(struct he_reader *reader, struct he_wire wire, struct onnx_property *out)
{
    *out = (struct onnx_property){ .key = "", .value = "" };
    for (;;) {
        struct he_wire_field field;
        he_status status = he_wire_next(&wire, &field);

        if (status != HE_OK || field.number == 0)
            return status;
        status = he_wire_string(&wire, &field, reader->arena,
                                field.number == ENTRY_KEY ? &out->key : &out->value);
        if (status != HE_OK)
            return status;
    }
}

static he_status read_function_field(struct he_reader *reader, const struct he_wire *wire,
                                     const struct he_wire_field *field, struct onnx_function *out)
{
    switch (field->number) {
    case FUNCTION_NAME:
        return he_wire_string(wire, field, reader->arena, &out->name);
    case FUNCTION_OVERLOAD:
        return he_wire_string(wire, field, reader->arena, &out->overload);
    case FUNCTION_DOMAIN:
        return he_read_domain(reader, wire, field, &out->domain);
    case FUNCTION_INPUT:
        return he_wire_string(wire, field, reader->arena, &out->inputs[out->input_count++]);
    case FUNCTION_OUTPUT:
        return he_wire_string(wire, field, reader->arena, &out->outputs[out->output_count++]);
    case FUNCTION_ATTRIBUTE:
        return he_wire_string(wire, field, reader->arena, &out->attr_names[out->attr_name_count++]);
    case FUNCTION_ATTRIBUTE_PROTO:
        return he_read_attr(reader, he_wire_enter(wire, field, &he_schema_attr),
                            &out->attr_defaults[out->attr_default_count++]);
    case FUNCTION_NODE:
        return he_read_node(reader, he_wire_enter(wire, field, &he_schema_node),
                            &out->nodes[out->node_count++]);
    case FUNCTION_OPSET_IMPORT:
        return he_read_opset(reader, he_wire_enter(wire, field, &he_schema_opset),
                             &out->opsets[out->opset_count++]);
    default:
        return HE_OK;
    }
}

he_status he_read_function(struct he_reader *reader, struct he_wire wire,
                           struct onnx_function *out)
{
    const uint8_t *start = wire.at;
    size_t counts[HE_WIRE_FIELD_MAX];
    he_status status = he_wire_count(&wire, counts);

    if (status != HE_OK)
        return status;
    out->name = out->domain = out->overload = "";
    out->inputs = he_read_array(reader, counts[FUNCTION_INPUT], sizeof *out->inputs);
    out->outputs = he_read_array(reader, counts[FUNCTION_OUTPUT], sizeof *out->outputs);
    out->attr_names = he_read_array(reader, counts[FUNCTION_ATTRIBUTE], sizeof *out->attr_names);
    out->attr_defaults =
        he_read_array(reader, counts[FUNCTION_ATTRIBUTE_PROTO], sizeof *out->attr_defaults);
    out->nodes = he_read_array(reader, counts[FUNCTION_NODE], sizeof *out->nodes);
    out->opsets = he_read_array(reader, counts[FUNCTION_OPSET_IMPORT], sizeof *out->opsets);
    if (!out->inputs || !out->outputs || !out->attr_names || !out->attr_defaults || !out->nodes ||
        !out->opsets)
        return he_no_memory();
    for (;;) {
        struct he_wire_field field;

        status = he_wire_next(&wire, &field);
        if (status != HE_OK)
            return status;
        if (field.number == 0)
            break;
        status = read_function_field(reader, &wire, &field, out);
        if (status != HE_OK)
            return status;
    }
    if (!*out->name)
        return he_wire_fail(&wire, start, HE_ERR_PARSE, "a local function has no name");
    return HE_OK;
}

static he_status read_model_field(struct he_reader *reader, const struct he_wire *wire,
                                  const struct he_wire_field *field, struct he_model *out)
{
    switch (field->number) {
    case MODEL_IR_VERSION:
        out->ir_version = he_wire_int64(field);
        return HE_OK;
    case MODEL_PRODUCER_NAME:
        return he_wire_string(wire, field, reader->arena, &out->producer_name);
    case MODEL_PRODUCER_VERSION:
        return he_wire_string(wire, field, reader->arena, &out->producer_version);
    case MODEL_DOMAIN:
        return he_wire_string(wire, field, reader->arena, &out->domain);
    case MODEL_MODEL_VERSION:
        out->model_version = he_wire_int64(field);
        return HE_OK;
    case MODEL_DOC:
        return he_wire_string(wire, field, reader->arena, &out->doc);
    case MODEL_GRAPH:
        return he_read_graph(reader, he_wire_enter(wire, field, &he_schema_graph), &out->graph);
    case MODEL_OPSET_IMPORT:
        return he_read_opset(reader, he_wire_enter(wire, field, &he_schema_opset),
                             &out->opsets[out->opset_count++]);
    case MODEL_METADATA:
        return he_read_entry(reader, he_wire_enter(wire, field, &he_schema_entry),
                             &out->metadata[out->metadata_count++]);
    case MODEL_FUNCTIONS:
        return he_read_function(reader, he_wire_enter(wire, field, &he_schema_function),
                                &out->functions[out->function_count++]);
    case MODEL_CONFIGURATION:
        return he_read_configuration(reader, he_wire_enter(wire, field, &he_schema_configuration),
                                     &out->configurations[out->configuration_count++]);
    default:
        return HE_OK;
    }
}

/* Which of the graph's inputs the caller must feed. */
static he_status find_fed_inputs(struct he_reader *reader, struct he_model *model)
{
    const struct onnx_graph *graph = &model->graph;
    struct he_map initializers;
    uint32_t *fed;

    if (graph->input_count > UINT32_MAX)
        return he_error_set(HE_ERR_UNSUPPORTED, "the graph has more than 2^32 inputs");
    he_map_init(&initializers, reader->arena);
    for (size_t k = 0; k < graph->initializer_count; k++) {
        he_status status = he_map_put(&initializers, graph->initializers[k].name, 0);

        if (status != HE_OK)
            return status;
    }
    fed = he_read_array(reader, graph->input_count, sizeof *fed);
    if (!fed)
        return he_no_memory();
    for (size_t k = 0; k < graph->input_count; k++) {
        uint32_t unused;

        if (!he_map_get(&initializers, graph->inputs[k].name, &unused))
            fed[model->fed_input_count++] = (uint32_t)k;
    }
    model->fed_inputs = fed;
    return HE_OK;
}

static he_status read_model(struct he_reader *reader, struct he_wire wire, struct he_model *out)
{
    size_t counts[HE_WIRE_FIELD_MAX];
    he_status status = he_wire_count(&wire, counts);

    if (status != HE_OK && counts[MODEL_GRAPH] + counts[MODEL_IR_VERSION] == 0)
        return he_error_prefix(status, "this is not an ONNX model");
    if (status != HE_OK)
        return status;
    if (counts[MODEL_GRAPH] == 0)
        return he_error_set(HE_ERR_PARSE, "this is not an ONNX model: it has no graph");
    if (counts[MODEL_GRAPH] > 1)
        return he_error_set(HE_ERR_PARSE, "the model has %zu graphs", counts[MODEL_GRAPH]);
    out->producer_name = out->producer_version = out->domain = out->doc = "";
    /* One more: models from before opsets (IR 1 and 2) mean opset 1. */
    out->opsets = he_read_array(reader, counts[MODEL_OPSET_IMPORT] + 1, sizeof *out->opsets);
    out->functions = he_read_array(reader, counts[MODEL_FUNCTIONS], sizeof *out->functions);
    out->metadata = he_read_array(reader, counts[MODEL_METADATA], sizeof *out->metadata);
    out->configurations =
        he_read_array(reader, counts[MODEL_CONFIGURATION], sizeof *out->configurations);
    if (!out->opsets || !out->functions || !out->metadata || !out->configurations)
        return he_no_memory();
    for (;;) {
        struct he_wire_field field;

        status = he_wire_next(&wire, &field);
        if (status != HE_OK)
            return status;
        if (field.number == 0)
            break;
        status = read_model_field(reader, &wire, &field, out);
        if (status != HE_OK)
            return status;
    }
    if (out->ir_version < 3 && out->opset_count == 0)
        out->opsets[out->opset_count++] = (struct onnx_opset){ .domain = "", .version = 1 };
    return find_fed_inputs(reader, out);
}

/* True for a file people can read: a model starts with the byte 8. */
static bool looks_like_text(const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t k = 0; k < size && k < 64; k++) {
        bool is_space = bytes[k] == '\n' || bytes[k] == '\r' || bytes[k] == '\t';

        if (!is_space && (bytes[k] < 0x20 || bytes[k] == 0x7f))
            return false;
    }
    return true;
}

/* Parses into a fresh model. Takes @file, which becomes the model's first and
 * is unmapped when this fails; NULL: the bytes are the caller's. */
static he_status parse(const void *data, size_t size, const char *path, const char *folder,
                       struct he_file *file, const struct he_allocator *alloc,
                       struct he_model **out)
{
    struct he_reader reader;
    struct he_model *model;
    he_status status;

    if (!alloc)
        alloc = &he_allocator_default;
    model = he_alloc(alloc, 1, sizeof *model);
    if (!model) {
        if (file)
            he_file_unmap(file);
        return he_no_memory();
    }
    he_arena_init(&model->arena, alloc);
    reader = (struct he_reader){ .arena = &model->arena, .model = model, .folder = folder };
    model->path = path ? he_arena_string(&model->arena, path, strlen(path)) : "";
    model->files = he_read_array(&reader, 1, sizeof *model->files);
    if (!model->path || !model->files) {
        if (file)
            he_file_unmap(file);
        status = he_no_memory();
        goto destroy_model;
    }
    if (file)
        model->files[model->file_count++] = *file;
    if (size == 0) {
        status = he_error_set(HE_ERR_PARSE, "this is not an ONNX model: the file is empty");
        goto destroy_model;
    }
    status = read_model(&reader, he_wire_open(data, size, &he_schema_model), model);
    if (status == HE_ERR_PARSE && looks_like_text(data, size))
        status = he_error_set(HE_ERR_PARSE, "this is not an ONNX model: it looks like text");
    if (status != HE_OK)
        goto destroy_model;
    *out = model;
    return HE_OK;

destroy_model:
    he_model_destroy(model);
    return status;
}

he_status he_model_parse(const void *data, size_t size, const char *folder,
                         const struct he_allocator *alloc, struct he_model **out)
{
    *out = NULL;
    return parse(data, size, NULL, folder, NULL, alloc, out);
}

he_status he_model_load(const char *path, const struct he_allocator *alloc, struct he_model **out)
{
    const struct he_allocator *used = alloc ? alloc : &he_allocator_default;
    struct he_file file;
    const char *slash;
    size_t folder_size;
    char *folder;
    he_status status;

    if (!path || !out)
        return he_error_set(HE_ERR_INVALID, "he_model_load() needs a path and a place to put the model");
    *out = NULL;
    slash = strrchr(path, '/');
    folder_size = slash ? (size_t)(slash - path) + 1 : 1; /* keeps "/", "a/" */
    folder = he_alloc(used, folder_size + 1, 1);
    if (!folder)
        return he_no_memory();
    memcpy(folder, slash ? path : ".", folder_size);
    status = he_file_map(path, &file);
    if (status != HE_OK)
        goto free_folder;
    status = parse(file.data, file.size, path, folder, &file, alloc, out);
    if (status == HE_OK)
        status = he_model_inline(*out);
    if (status != HE_OK) {
        he_model_destroy(*out);
        *out = NULL;
        status = he_error_prefix(status, "%s", path);
    }

free_folder:
    he_free(used, folder);
    return status;
}
