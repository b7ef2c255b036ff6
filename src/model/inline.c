/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local functions, replaced by their bodies.
 *
 * A call's inputs and outputs take the places of the function's formal ones;
 * every other name of the body becomes "Op#7/name", where 7 counts the calls
 * and the run of '#' is longer than any in the document, so that no name can
 * clash. Inside the body, an attribute that refers to one of the function's is
 * replaced by the call's, else by the default, else left out. Graphs inside
 * the body are copied and renamed in the same way, scope by scope: a name a
 * graph defines itself hides the function's.
 *
 * Functions that call themselves are refused, and so is what would grow beyond
 * reason: n functions that call each other twice make 2^n nodes.
 */
#include <string.h>

#include "core/map.h"
#include "core/size.h"
#include "reader.h"

#define INLINE_DEPTH_MAX 128
#define INLINE_BYTES_MAX ((size_t)256 << 20)

struct node_list {
    struct onnx_node *nodes;
    size_t count, capacity;
};

struct inliner {
    struct he_model *model;
    struct he_arena *arena;
    struct he_map by_op; /* op_type -> first function of that name */
    uint32_t *next;      /* further functions of the same name; count: none */
    bool *is_open;       /* its body is being expanded right now */
    const char *mark;    /* the run of '#' */
    unsigned call_count;
    unsigned depth;       /* calls and graphs we are inside of */
    unsigned graph_depth; /* graphs only */
    size_t bytes_max;     /* of the arena */
};

/* One call being expanded. */
struct call {
    const struct onnx_node *node;
    const struct onnx_function *function;
    struct he_map formals; /* name -> index in actuals */
    const char **actuals;
    const char *prefix;
};

/* Names that a graph inside the body defines. */
struct scope {
    struct he_map names;
    const struct scope *parent;
};

static he_status expand_graph(struct inliner *in, struct onnx_graph *graph);
static he_status expand_nodes(struct inliner *in, const struct onnx_node *nodes, size_t count,
                              struct node_list *out);

static he_status list_add(struct inliner *in, struct node_list *list, const struct onnx_node *node)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 16;
        struct onnx_node *nodes = he_arena_alloc(in->arena, capacity, sizeof *nodes);

        if (!nodes)
            return he_no_memory();
        if (list->count)
            memcpy(nodes, list->nodes, list->count * sizeof *nodes);
        list->nodes = nodes;
        list->capacity = capacity;
    }
    list->nodes[list->count++] = *node;
    return HE_OK;
}

/* --- A mark that no name holds --- */

static void longest_run(const char *name, size_t *longest)
{
    size_t run = 0;

    for (; *name; name++) {
        run = *name == '#' ? run + 1 : 0;
        if (run > *longest)
            *longest = run;
    }
}

static void longest_in_graph(const struct onnx_graph *graph, size_t *longest);

static void longest_in_nodes(const struct onnx_node *nodes, size_t count, size_t *longest)
{
    for (size_t k = 0; k < count; k++) {
        const struct onnx_node *node = &nodes[k];

        longest_run(node->name, longest);
        longest_run(node->op_type, longest);
        for (size_t i = 0; i < node->input_count; i++)
            longest_run(node->inputs[i], longest);
        for (size_t i = 0; i < node->output_count; i++)
            longest_run(node->outputs[i], longest);
        for (size_t i = 0; i < node->attr_count; i++) {
            if (node->attrs[i].graph)
                longest_in_graph(node->attrs[i].graph, longest);
        }
    }
}

static void longest_in_values(const struct onnx_value_info *values, size_t count, size_t *longest)
{
    for (size_t k = 0; k < count; k++)
        longest_run(values[k].name, longest);
}

static void longest_in_graph(const struct onnx_graph *graph, size_t *longest)
{
    longest_in_nodes(graph->nodes, graph->node_count, longest);
    longest_in_values(graph->inputs, graph->input_count, longest);
    longest_in_values(graph->outputs, graph->output_count, longest);
    for (size_t k = 0; k < graph->initializer_count; k++)
        longest_run(graph->initializers[k].name, longest);
}

static he_status make_mark(struct inliner *in)
{
    size_t longest = 0;
    char *mark;

    longest_in_graph(&in->model->graph, &longest);
    for (size_t k = 0; k < in->model->function_count; k++) {
        const struct onnx_function *function = &in->model->functions[k];

        longest_in_nodes(function->nodes, function->node_count, &longest);
        for (size_t a = 0; a < function->attr_default_count; a++) {
            if (function->attr_defaults[a].graph)
                longest_in_graph(function->attr_defaults[a].graph, &longest);
        }
    }
    mark = he_arena_alloc(in->arena, longest + 2, 1);
    if (!mark)
        return he_no_memory();
    memset(mark, '#', longest + 1);
    in->mark = mark;
    return HE_OK;
}

/* --- Which node calls which function --- */

static bool is_same_key(const struct onnx_function *function, const char *name, const char *domain,
                        const char *overload)
{
    return strcmp(function->name, name) == 0 && strcmp(function->domain, domain) == 0 &&
           strcmp(function->overload, overload) == 0;
}

/* The function's index, or the number of functions when it is none of ours. */
static uint32_t find_function(const struct inliner *in, const char *name, const char *domain,
                              const char *overload)
{
    uint32_t none = (uint32_t)in->model->function_count, k;

    if (!he_map_get(&in->by_op, name, &k))
        return none;
    while (k != none && !is_same_key(&in->model->functions[k], name, domain, overload))
        k = in->next[k];
    return k;
}

static he_status index_functions(struct inliner *in)
{
    const struct he_model *model = in->model;
    uint32_t none = (uint32_t)model->function_count;

    if (model->function_count >= UINT32_MAX)
        return he_error_set(HE_ERR_UNSUPPORTED, "the model has more than 2^32 functions");
    he_map_init(&in->by_op, in->arena);
    in->next = he_arena_alloc(in->arena, model->function_count, sizeof *in->next);
    in->is_open = he_arena_alloc(in->arena, model->function_count, sizeof *in->is_open);
    if (!in->next || !in->is_open)
        return he_no_memory();
    for (uint32_t k = 0; k < none; k++) {
        const struct onnx_function *function = &model->functions[k];
        he_status status;

        if (find_function(in, function->name, function->domain, function->overload) != none)
            return he_error_set(HE_ERR_PARSE, "local function %s of domain '%s' is defined twice",
                                function->name, function->domain);
        if (!he_map_get(&in->by_op, function->name, &in->next[k]))
            in->next[k] = none;
        status = he_map_put(&in->by_op, function->name, k);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

/* --- Copying a body with its names and attributes replaced --- */

static he_status copy_graph(struct inliner *in, const struct call *call, const struct scope *parent,
                            const struct onnx_graph *graph, struct onnx_graph *out);

static he_status rename_value(struct inliner *in, const struct call *call,
                              const struct scope *scope, const char *name, const char **out)
{
    const struct scope *at;
    uint32_t index;

    *out = "";
    if (!*name)
        return HE_OK;
    for (at = scope; at; at = at->parent) {
        if (he_map_get(&at->names, name, &index))
            break;
    }
    if (!at && he_map_get(&call->formals, name, &index)) {
        *out = call->actuals[index];
        return HE_OK;
    }
    *out = he_arena_printf(in->arena, "%s%s", call->prefix, name);
    return *out ? HE_OK : he_no_memory();
}

static he_status rename_list(struct inliner *in, const struct call *call, const struct scope *scope,
                             const char *const *names, size_t count, const char ***out)
{
    he_status status = HE_OK;

    *out = he_arena_alloc(in->arena, count, sizeof **out);
    if (!*out)
        return he_no_memory();
    for (size_t k = 0; k < count && status == HE_OK; k++)
        status = rename_value(in, call, scope, names[k], &(*out)[k]);
    return status;
}

static he_status rename_infos(struct inliner *in, const struct call *call,
                              const struct scope *scope, const struct onnx_value_info *infos,
                              size_t count, struct onnx_value_info **out)
{
    he_status status = HE_OK;

    *out = he_arena_copy(in->arena, infos, count * sizeof *infos);
    if (!*out)
        return he_no_memory();
    for (size_t k = 0; k < count && status == HE_OK; k++)
        status = rename_value(in, call, scope, infos[k].name, &(*out)[k].name);
    return status;
}

static const struct onnx_attr *find_attr(const struct onnx_attr *attrs, size_t count,
                                         const char *name)
{
    for (size_t k = 0; k < count; k++) {
        if (strcmp(attrs[k].name, name) == 0)
            return &attrs[k];
    }
    return NULL;
}

/* The value @attr refers to, under @attr's own name; *is_given is false when
 * neither the call nor the function has one. */
static he_status resolve_attr(const struct call *call, const struct onnx_attr *attr,
                              struct onnx_attr *out, bool *is_given)
{
    const struct onnx_attr *value =
        find_attr(call->node->attrs, call->node->attr_count, attr->ref_attr_name);

    if (!value)
        value = find_attr(call->function->attr_defaults, call->function->attr_default_count,
                          attr->ref_attr_name);
    *is_given = value != NULL;
    if (!value)
        return HE_OK;
    if (attr->type != ATTR_TYPE_UNDEFINED && value->type != attr->type)
        return he_error_set(HE_ERR_PARSE,
                            "function %s uses its attribute '%s' as type %d, the call gives type "
                            "%d",
                            call->function->name, attr->ref_attr_name, attr->type, value->type);
    *out = *value;
    out->name = attr->name;
    return HE_OK;
}

static he_status copy_attr(struct inliner *in, const struct call *call, const struct scope *scope,
                           const struct onnx_attr *attr, struct onnx_attr *out)
{
    *out = *attr;
    if (attr->type == ATTR_TYPE_GRAPHS)
        return he_error_set(HE_ERR_UNSUPPORTED,
                            "function %s has the attribute '%s', a list of graphs, in its body",
                            call->function->name, attr->name);
    if (!attr->graph)
        return HE_OK;
    out->graph = he_arena_alloc(in->arena, 1, sizeof *out->graph);
    if (!out->graph)
        return he_no_memory();
    return copy_graph(in, call, scope, attr->graph, out->graph);
}

static int function_opset(const struct onnx_function *function, const char *domain)
{
    for (size_t k = 0; k < function->opset_count; k++) {
        if (strcmp(function->opsets[k].domain, domain) == 0)
            return (int)function->opsets[k].version;
    }
    return 0;
}

/* The opset @domain has inside @function: 0 when it is what the model says. A
 * domain that only the function imports becomes an import of the model. */
static he_status note_opset(struct inliner *in, const struct onnx_function *function,
                            const char *domain, int *out)
{
    struct he_model *model = in->model;
    int version = function_opset(function, domain);
    int64_t imported = he_model_opset(model, domain);
    struct onnx_opset *opsets;

    *out = version == imported ? 0 : version;
    if (imported || !version)
        return HE_OK;
    opsets = he_arena_alloc(in->arena, model->opset_count + 1, sizeof *opsets);
    if (!opsets)
        return he_no_memory();
    if (model->opset_count)
        memcpy(opsets, model->opsets, model->opset_count * sizeof *opsets);
    opsets[model->opset_count++] = (struct onnx_opset){ .domain = domain, .version = version };
    model->opsets = opsets;
    *out = 0;
    return HE_OK;
}

static he_status check_size(const struct inliner *in, const struct onnx_function *function)
{
    if (in->arena->used_bytes <= in->bytes_max)
        return HE_OK;
    return he_error_set(HE_ERR_UNSUPPORTED,
                        "inlining the local functions takes more than %zu MiB (at %s)",
                        INLINE_BYTES_MAX >> 20, function->name);
}

static he_status copy_node(struct inliner *in, const struct call *call, const struct scope *scope,
                           const struct onnx_node *node, struct onnx_node *out)
{
    he_status status;

    *out = *node;
    out->attr_count = 0;
    status = check_size(in, call->function);
    if (status != HE_OK)
        return status;
    status = rename_list(in, call, scope, node->inputs, node->input_count, &out->inputs);
    if (status == HE_OK)
        status = rename_list(in, call, scope, node->outputs, node->output_count, &out->outputs);
    if (status != HE_OK)
        return status;
    /* Not renamed like a value: no formal name is meant, and "" stays "". */
    out->name = *node->name ? he_arena_printf(in->arena, "%s%s", call->prefix, node->name) : "";
    out->attrs = he_arena_alloc(in->arena, node->attr_count, sizeof *out->attrs);
    if (!out->name || !out->attrs)
        return he_no_memory();
    for (size_t k = 0; k < node->attr_count; k++) {
        struct onnx_attr *attr = &out->attrs[out->attr_count];
        bool is_given = true;

        if (node->attrs[k].ref_attr_name)
            status = resolve_attr(call, &node->attrs[k], attr, &is_given);
        else
            status = copy_attr(in, call, scope, &node->attrs[k], attr);
        if (status != HE_OK)
            return status;
        out->attr_count += is_given;
    }
    return note_opset(in, call->function, node->domain, &out->opset);
}

static he_status copy_nodes(struct inliner *in, const struct call *call, const struct scope *scope,
                            const struct onnx_node *nodes, size_t count, struct onnx_node **out)
{
    he_status status = HE_OK;

    *out = he_arena_alloc(in->arena, count, sizeof **out);
    if (!*out)
        return he_no_memory();
    for (size_t k = 0; k < count && status == HE_OK; k++)
        status = copy_node(in, call, scope, &nodes[k], &(*out)[k]);
    return status;
}

/* The names @graph defines: its inputs, initializers and node outputs. */
static he_status open_scope(struct inliner *in, const struct onnx_graph *graph, struct scope *out)
{
    he_status status = HE_OK;

    he_map_init(&out->names, in->arena);
    for (size_t k = 0; k < graph->input_count && status == HE_OK; k++)
        status = he_map_put(&out->names, graph->inputs[k].name, 0);
    for (size_t k = 0; k < graph->initializer_count && status == HE_OK; k++)
        status = he_map_put(&out->names, graph->initializers[k].name, 0);
    for (size_t k = 0; k < graph->node_count; k++) {
        const struct onnx_node *node = &graph->nodes[k];

        for (size_t i = 0; i < node->output_count && status == HE_OK; i++)
            status = he_map_put(&out->names, node->outputs[i], 0);
    }
    return status;
}

static he_status copy_graph(struct inliner *in, const struct call *call, const struct scope *parent,
                            const struct onnx_graph *graph, struct onnx_graph *out)
{
    struct scope scope = { .parent = parent };
    he_status status = open_scope(in, graph, &scope);

    if (status != HE_OK)
        return status;
    *out = *graph;
    out->initializers = he_arena_copy(in->arena, graph->initializers,
                                      graph->initializer_count * sizeof *graph->initializers);
    if (!out->initializers)
        return he_no_memory();
    for (size_t k = 0; k < graph->initializer_count && status == HE_OK; k++)
        status = rename_value(in, call, &scope, graph->initializers[k].name,
                              &out->initializers[k].name);
    if (status == HE_OK)
        status = rename_infos(in, call, &scope, graph->inputs, graph->input_count, &out->inputs);
    if (status == HE_OK)
        status = rename_infos(in, call, &scope, graph->outputs, graph->output_count, &out->outputs);
    if (status == HE_OK)
        status = rename_infos(in, call, &scope, graph->value_infos, graph->value_info_count,
                              &out->value_infos);
    if (status == HE_OK)
        status = copy_nodes(in, call, &scope, graph->nodes, graph->node_count, &out->nodes);
    return status;
}

/* --- Expanding a call --- */

/* A function that gives one of its inputs, or the same value twice: only a node
 * can give a value a second name. */
static he_status add_identity(struct inliner *in, const struct call *call, const char *from,
                              const char *to, struct node_list *out)
{
    struct onnx_node node = { .name = "", .op_type = "Identity", .domain = "", .overload = "", .doc = "",
                              .input_count = 1, .output_count = 1 };
    he_status status;

    if (!*from)
        return he_error_set(HE_ERR_PARSE,
                            "function %s gives '%s' as an output, but it is an input that the "
                            "call left out",
                            call->function->name, to);
    node.inputs = he_arena_copy(in->arena, &from, sizeof from);
    node.outputs = he_arena_copy(in->arena, &to, sizeof to);
    node.attrs = he_arena_alloc(in->arena, 0, sizeof *node.attrs);
    if (!node.inputs || !node.outputs || !node.attrs)
        return he_no_memory();
    status = note_opset(in, call->function, "", &node.opset);
    return status == HE_OK ? list_add(in, out, &node) : status;
}

static he_status bind_inputs(struct inliner *in, struct call *call)
{
    const struct onnx_function *function = call->function;
    const struct onnx_node *node = call->node;

    if (node->input_count > function->input_count || node->output_count > function->output_count)
        return he_error_set(HE_ERR_PARSE,
                            "a call of function %s has %zu inputs and %zu outputs, the function "
                            "%zu and %zu",
                            function->name, node->input_count, node->output_count,
                            function->input_count, function->output_count);
    he_map_init(&call->formals, in->arena);
    call->actuals = he_arena_alloc(in->arena, function->input_count + function->output_count,
                                   sizeof *call->actuals);
    if (!call->actuals)
        return he_no_memory();
    for (size_t k = 0; k < function->input_count; k++) {
        he_status status = he_map_put(&call->formals, function->inputs[k], (uint32_t)k);

        if (status != HE_OK)
            return status;
        call->actuals[k] = k < node->input_count ? node->inputs[k] : "";
    }
    return HE_OK;
}

/* Binds each output once; those bound already get an Identity, in @copies. */
static he_status bind_outputs(struct inliner *in, struct call *call, struct node_list *copies)
{
    const struct onnx_function *function = call->function;

    for (size_t k = 0; k < function->output_count; k++) {
        size_t index = function->input_count + k;
        const char *actual = k < call->node->output_count ? call->node->outputs[k] : "";
        uint32_t bound;
        he_status status;

        if (!*actual)
            continue; /* nobody asks: the body's own name will do */
        if (he_map_get(&call->formals, function->outputs[k], &bound)) {
            status = add_identity(in, call, call->actuals[bound], actual, copies);
        } else {
            call->actuals[index] = actual;
            status = he_map_put(&call->formals, function->outputs[k], (uint32_t)index);
        }
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

static he_status enter(struct inliner *in, const char *what)
{
    if (in->depth == INLINE_DEPTH_MAX)
        return he_error_set(HE_ERR_UNSUPPORTED,
                            "local functions and graphs are nested more than %d deep (at %s)",
                            INLINE_DEPTH_MAX, what);
    in->depth++;
    return HE_OK;
}

static he_status expand_body(struct inliner *in, struct call *call, struct node_list *out)
{
    struct node_list copies = { 0 };
    struct onnx_node *nodes;
    he_status status;

    call->prefix = he_arena_printf(in->arena, "%s%s%u/", call->function->name, in->mark,
                                   in->call_count++);
    if (!call->prefix)
        return he_no_memory();
    status = bind_inputs(in, call);
    if (status == HE_OK)
        status = bind_outputs(in, call, &copies);
    if (status == HE_OK)
        status = copy_nodes(in, call, NULL, call->function->nodes, call->function->node_count,
                            &nodes);
    if (status == HE_OK)
        status = expand_nodes(in, nodes, call->function->node_count, out);
    for (size_t k = 0; k < copies.count && status == HE_OK; k++)
        status = list_add(in, out, &copies.nodes[k]);
    return status;
}

static he_status expand_call(struct inliner *in, const struct onnx_node *node, uint32_t index,
                             struct node_list *out)
{
    struct call call = { .node = node, .function = &in->model->functions[index] };
    he_status status;

    if (in->is_open[index])
        return he_error_set(HE_ERR_PARSE, "local function %s of domain '%s' calls itself",
                            call.function->name, call.function->domain);
    status = check_size(in, call.function);
    if (status == HE_OK)
        status = enter(in, call.function->name);
    if (status != HE_OK)
        return status;
    in->is_open[index] = true;
    status = expand_body(in, &call, out);
    in->is_open[index] = false;
    in->depth--;
    return status;
}

static he_status expand_nodes(struct inliner *in, const struct onnx_node *nodes, size_t count,
                              struct node_list *out)
{
    for (size_t k = 0; k < count; k++) {
        const struct onnx_node *node = &nodes[k];
        uint32_t function = find_function(in, node->op_type, node->domain, node->overload);
        he_status status = HE_OK;

        for (size_t a = 0; a < node->attr_count && status == HE_OK; a++) {
            if (node->attrs[a].graph)
                status = expand_graph(in, node->attrs[a].graph);
        }
        if (status != HE_OK)
            return status;
        if (function < in->model->function_count)
            status = expand_call(in, node, function, out);
        else
            status = list_add(in, out, node);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

static he_status expand_graph(struct inliner *in, struct onnx_graph *graph)
{
    struct node_list list = { 0 };
    he_status status = enter(in, graph->name);

    if (status != HE_OK)
        return status;
    if (++in->graph_depth > HE_GRAPH_DEPTH_MAX)
        return he_error_set(HE_ERR_UNSUPPORTED,
                            "graphs are nested more than %d deep once functions are inlined",
                            HE_GRAPH_DEPTH_MAX);
    status = expand_nodes(in, graph->nodes, graph->node_count, &list);
    if (status != HE_OK)
        return status;
    graph->nodes = list.nodes;
    graph->node_count = list.count;
    in->graph_depth--;
    in->depth--;
    return HE_OK;
}

/* Only function bodies may refer to attributes of a call. */
static he_status check_resolved(const struct onnx_graph *graph)
{
    for (size_t k = 0; k < graph->node_count; k++) {
        const struct onnx_node *node = &graph->nodes[k];

        for (size_t a = 0; a < node->attr_count; a++) {
            const struct onnx_attr *attr = &node->attrs[a];
            he_status status = HE_OK;

            if (attr->ref_attr_name)
                return he_error_set(HE_ERR_PARSE,
                                    "attribute '%s' of %s node '%s' refers to attribute '%s' "
                                    "outside a function",
                                    attr->name, node->op_type, node->name, attr->ref_attr_name);
            if (attr->graph)
                status = check_resolved(attr->graph);
            if (status != HE_OK)
                return status;
        }
    }
    return HE_OK;
}

he_status he_model_inline(struct he_model *model)
{
    struct inliner in = { .model = model,
                          .arena = &model->arena,
                          .bytes_max = model->arena.used_bytes + INLINE_BYTES_MAX };
    he_status status;

    if (model->function_count == 0)
        return check_resolved(&model->graph);
    status = make_mark(&in);
    if (status == HE_OK)
        status = index_functions(&in);
    if (status == HE_OK)
        status = expand_graph(&in, &model->graph);
    if (status != HE_OK)
        return status;
    model->functions = NULL;
    model->function_count = 0;
    return check_resolved(&model->graph);
}
