/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first pass: names become indices. Each graph is one scope; the bodies of
 * If, Loop and Scan are scopes inside it. A body that reads a name of an outer
 * scope captures it: the value becomes one of the body's last inputs and of the
 * node's last inputs, level by level, so that every later pass sees each graph
 * closed in itself. Outer constants are not captured but repeated inside, over
 * the same bytes.
 */
#include "graph/build.h"

#include <string.h>

#include "core/words.h"

/* For sentences about a node whose he_node is not made yet. */
static he_status source_error(const struct onnx_node *node, he_status status)
{
    if (node->name && *node->name)
        return he_error_prefix(status, "%s '%s'", node->op_type, node->name);
    return he_error_prefix(status, "%s -> '%s'", node->op_type,
                           node->output_count ? node->outputs[0] : "");
}

static bool is_constant_node(const struct onnx_node *node)
{
    return strcmp(node->op_type, "Constant") == 0 && !*node->domain && node->output_count == 1 &&
           *node->outputs[0];
}

/* A new value under @name; a name that has one already is refused. */
static he_status declare(struct he_scope *scope, const char *name, uint32_t *out)
{
    he_status status;

    if (he_map_get(&scope->names, name, out))
        return he_error_set(HE_ERR_PARSE, "value '%s' is made more than once", name);
    status = he_graph_add_value(scope->graph, name, out);
    if (status != HE_OK)
        return status;
    return he_map_put(&scope->names, name, *out);
}

static he_status declare_initializers(struct he_scope *scope, const struct onnx_graph *source)
{
    for (size_t k = 0; k < source->initializer_count; k++) {
        const struct onnx_tensor *tensor = &source->initializers[k];
        uint32_t value;
        he_status status = declare(scope, tensor->name, &value);

        if (status == HE_OK)
            status = he_build_tensor(tensor, &scope->graph->values[value]);
        if (status != HE_OK)
            return he_error_prefix(status, "initializer '%s'", tensor->name);
    }
    return HE_OK;
}

/* Declared types hold for bodies too, where nothing else tells them: Loop and Scan
 * set them from the node's inputs later. */
static he_status declare_inputs(struct he_scope *scope, const struct onnx_graph *source)
{
    for (size_t k = 0; k < source->input_count; k++) {
        const struct onnx_value_info *info = &source->inputs[k];
        uint32_t value;
        he_status status;

        /* Before IR 4 every initializer stood among the inputs too. */
        if (he_map_get(&scope->names, info->name, &value) && scope->graph->values[value].data)
            continue;
        status = declare(scope, info->name, &value);
        if (status == HE_OK)
            status = he_graph_add_input(scope->graph, value);
        if (status != HE_OK)
            return he_error_prefix(status, "graph input");
        scope->graph->values[value].dtype = info->dtype;
        scope->graph->values[value].is_opaque = info->is_opaque;
    }
    return HE_OK;
}

static he_status declare_node_outputs(struct he_scope *scope, const struct onnx_graph *source)
{
    for (size_t n = 0; n < source->node_count; n++) {
        const struct onnx_node *node = &source->nodes[n];

        for (size_t k = 0; k < node->output_count; k++) {
            uint32_t value;
            he_status status;

            if (!*node->outputs[k])
                continue;
            status = declare(scope, node->outputs[k], &value);
            if (status == HE_OK && is_constant_node(node))
                status = he_build_constant_node(scope, node, value);
            if (status != HE_OK)
                return source_error(node, status);
        }
    }
    return HE_OK;
}

/* The value of this scope's graph that @name means; captures it where needed. */
static he_status resolve(struct he_scope *scope, const char *name, uint32_t *out)
{
    struct he_graph *graph = scope->graph;
    const struct he_value *outer;
    uint32_t outside;
    void *list = scope->captured;
    he_status status;

    if (he_map_get(&scope->names, name, out))
        return HE_OK;
    if (!scope->parent)
        return he_error_set(HE_ERR_PARSE, "input '%s' is made nowhere", name);
    status = resolve(scope->parent, name, &outside);
    if (status == HE_OK)
        status = he_graph_add_value(graph, name, out);
    if (status == HE_OK)
        status = he_map_put(&scope->names, name, *out);
    if (status != HE_OK)
        return status;
    outer = &scope->parent->graph->values[outside];
    graph->values[*out].dtype = outer->dtype;
    graph->values[*out].shape = outer->shape;
    graph->values[*out].is_opaque = outer->is_opaque;
    if (outer->data) {
        graph->values[*out] = *outer;
        graph->values[*out].is_output = graph->values[*out].is_input = false;
        return HE_OK;
    }
    status = he_arena_grow(&scope->build->scratch, &list, &scope->captured_capacity,
                           scope->captured_count, sizeof *scope->captured);
    if (status != HE_OK)
        return status;
    scope->captured = list;
    scope->captured[scope->captured_count++] = outside;
    graph->capture_count++;
    return he_graph_add_input(graph, *out);
}

/* The operator nearest in spelling, for the error sentence. */
static const char *nearest_operator(struct he_build *build, const char *name)
{
    size_t count = he_op_count();
    const char **words = he_arena_alloc(&build->scratch, count, sizeof *words);

    for (size_t k = 0; words && k < count; k++)
        words[k] = he_op_at(k)->name;
    return words ? he_nearest_word(name, words, count) : NULL;
}

static he_status check_operator(struct he_build *build, const struct he_node *node)
{
    const char *near;

    if (he_op_is_known(node))
        return HE_OK;
    if (he_op_find(node->domain, node->op))
        return he_error_set(HE_ERR_UNSUPPORTED, "operator %s does not exist in opset %d%s%s",
                            node->op, node->opset, *node->domain ? " of " : "", node->domain);
    near = nearest_operator(build, node->op);
    return he_error_set(HE_ERR_UNSUPPORTED, "operator %s of domain '%s' is not known%s%s%s",
                        node->op, *node->domain ? node->domain : "ai.onnx",
                        near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static he_status set_opset(const struct he_build *build, const struct onnx_node *source,
                           struct he_node *node)
{
    int64_t version = source->opset ? source->opset : he_model_opset(build->model, node->domain);

    /* Files older than opsets themselves mean the first one. */
    if (!version && build->model->ir_version < 3 && !*node->domain)
        version = 1;
    if (!version && !*node->domain)
        return he_error_set(HE_ERR_PARSE, "the model imports no opset of the ONNX domain");
    node->opset = (int)version;
    return HE_OK;
}

static he_status build_node(struct he_scope *scope, const struct onnx_node *source)
{
    struct he_graph *graph = scope->graph;
    struct he_node node = { .name = source->name ? source->name : "",
                            .op = source->op_type,
                            .domain = source->domain ? source->domain : "",
                            .task = HE_NONE };
    uint32_t index;
    he_status status;

    if (source->input_count > UINT32_MAX / 2 || source->output_count > UINT32_MAX / 2)
        return he_error_set(HE_ERR_PARSE, "too many inputs or outputs");
    node.input_count = (uint32_t)source->input_count;
    node.output_count = (uint32_t)source->output_count;
    while (node.input_count && !*source->inputs[node.input_count - 1])
        node.input_count--; /* an omitted input at the end is no input */
    node.explicit_input_count = node.input_count;
    node.inputs = he_graph_indices(graph, node.input_count);
    node.outputs = he_graph_indices(graph, node.output_count);
    if (!node.inputs || !node.outputs)
        return he_no_memory();
    status = set_opset(scope->build, source, &node);
    if (status == HE_OK)
        status = check_operator(scope->build, &node);
    for (uint32_t k = 0; status == HE_OK && k < node.input_count; k++)
        if (*source->inputs[k])
            status = resolve(scope, source->inputs[k], &node.inputs[k]);
    if (status == HE_OK)
        status = he_build_attrs(scope, source, &node);
    if (status == HE_OK)
        status = he_graph_add_node(graph, &index);
    if (status != HE_OK)
        return status;
    for (uint32_t k = 0; k < node.output_count; k++)
        if (*source->outputs[k] && he_map_get(&scope->names, source->outputs[k], &node.outputs[k]))
            graph->values[node.outputs[k]].producer = index;
    graph->nodes[index] = node;
    return HE_OK;
}

static he_status build_outputs(struct he_scope *scope, const struct onnx_graph *source)
{
    struct he_graph *graph = scope->graph;
    struct he_graph_store *store = he_graph_store(graph);

    graph->outputs = he_graph_indices(graph, (uint32_t)source->output_count);
    store->declared_ranks = he_graph_indices(graph, (uint32_t)source->output_count);
    if (!graph->outputs || !store->declared_ranks)
        return he_no_memory();
    for (size_t k = 0; k < source->output_count; k++) {
        const struct onnx_value_info *info = &source->outputs[k];
        he_status status = resolve(scope, info->name, &graph->outputs[k]);

        if (status != HE_OK)
            return he_error_set(HE_ERR_PARSE, "graph output '%s' is made nowhere", info->name);
        graph->output_count = (uint32_t)k + 1;
        store->declared_ranks[k] = info->has_shape ? (uint32_t)info->dim_count : HE_RANK_UNKNOWN;
    }
    return HE_OK;
}

he_status he_build_graph(struct he_build *build, struct he_scope *parent,
                         const struct onnx_graph *source, bool is_branch, struct he_scope *scope)
{
    he_status status;

    *scope = (struct he_scope){ .build = build, .parent = parent };
    scope->depth = parent ? parent->depth + 1 : 0;
    if (scope->depth > HE_GRAPH_DEPTH_MAX)
        return he_error_set(HE_ERR_UNSUPPORTED, "graphs nested more than %d deep",
                            HE_GRAPH_DEPTH_MAX);
    if (parent) {
        status = he_graph_new(NULL, parent->graph, source->name, &scope->graph);
        if (status != HE_OK)
            return status;
        he_graph_store(scope->graph)->is_branch |= is_branch;
    } else {
        scope->graph = build->root;
        scope->graph->name = source->name ? source->name : "";
    }
    he_map_init(&scope->names, &build->scratch);
    status = declare_initializers(scope, source);
    if (status == HE_OK)
        status = declare_inputs(scope, source);
    if (status == HE_OK && !parent)
        status = he_build_input_shapes(build);
    if (status == HE_OK)
        status = declare_node_outputs(scope, source);
    for (size_t n = 0; status == HE_OK && n < source->node_count; n++) {
        if (is_constant_node(&source->nodes[n]))
            continue;
        status = build_node(scope, &source->nodes[n]);
        if (status != HE_OK)
            status = source_error(&source->nodes[n], status);
    }
    if (status == HE_OK)
        status = build_outputs(scope, source);
    if (status == HE_OK)
        status = he_graph_settle_outputs(scope->graph);
    if (status == HE_OK)
        status = he_graph_sort(scope->graph);
    return status;
}

/* Symbols were collected once, in the root; bodies speak the same codes. */
static void share_symbols(struct he_graph *graph, const struct he_graph *root)
{
    graph->symbols = root->symbols;
    graph->symbol_count = root->symbol_count;
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint32_t k = 0; he_node_body(&graph->nodes[n], k); k++)
            share_symbols(he_node_body(&graph->nodes[n], k), root);
}

he_status he_graph_build(const struct he_model *model, const struct he_graph_options *options,
                         const struct he_allocator *alloc, struct he_graph **out)
{
    static const struct he_graph_options defaults;
    struct he_build build = { .model = model, .options = options ? options : &defaults };
    struct he_scope scope;
    he_status status;

    if (!model || !out)
        return he_error_set(HE_ERR_INVALID, "he_graph_build: no model or no place for the graph");
    *out = NULL;
    if (!alloc)
        alloc = &he_allocator_default;
    he_arena_init(&build.scratch, alloc);
    status = he_graph_new(alloc, NULL, "", &build.root);
    if (status == HE_OK)
        status = he_build_graph(&build, NULL, &model->graph, false, &scope);
    if (status == HE_OK) {
        share_symbols(build.root, build.root);
        *out = build.root;
    } else {
        he_graph_destroy(build.root);
    }
    he_arena_fini(&build.scratch);
    return status;
}
