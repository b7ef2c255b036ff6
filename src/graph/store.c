/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The growable form of a graph. Arrays double inside the arena; the halves left
 * behind are the price of never freeing one by one, and at most as large as what
 * is in use.
 */
#include "graph/store.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/size.h"

/* The root graph, its store and its arena are one allocation. */
struct root {
    struct he_graph graph;
    struct he_graph_store store;
    struct he_arena arena;
    atomic_int users;      /* besides who made it: graphs that borrow from it */
    struct he_graph *base; /* what it borrows from, or NULL */
};

he_status he_graph_new(const struct he_allocator *alloc, struct he_graph *parent, const char *name,
                       struct he_graph **out)
{
    struct he_graph *graph;

    if (parent) {
        struct he_arena *arena = he_graph_arena(parent);
        struct he_graph_store *store = he_arena_alloc(arena, 1, sizeof *store);

        graph = he_arena_alloc(arena, 1, sizeof *graph);
        if (!graph || !store)
            return he_no_memory();
        *store = (struct he_graph_store){ .arena = arena,
                                          .depth = he_graph_store(parent)->depth + 1,
                                          .is_branch = he_graph_store(parent)->is_branch };
        graph->owner = store;
    } else {
        struct root *root = he_alloc(alloc, 1, sizeof *root);

        if (!root)
            return he_no_memory();
        he_arena_init(&root->arena, alloc);
        root->store.arena = &root->arena;
        root->graph.owner = &root->store;
        graph = &root->graph;
    }
    graph->name = name ? name : "";
    *out = graph;
    return HE_OK;
}

void he_graph_destroy(struct he_graph *graph)
{
    struct root *root;
    struct he_allocator alloc;

    if (!graph)
        return;
    root = (struct root *)graph; /* graph is the first member */
    if (atomic_fetch_sub(&root->users, 1) > 0)
        return;
    he_graph_destroy(root->base);
    alloc = root->arena.alloc;
    he_arena_fini(&root->arena);
    he_free(&alloc, root);
}

struct he_graph *he_graph_share_uncut(const struct he_graph *graph)
{
    struct root *root = (struct root *)graph;

    while (root->base)
        root = (struct root *)root->base;
    atomic_fetch_add(&root->users, 1);
    return &root->graph;
}

void he_graph_share_base(struct he_graph *graph, const struct he_graph *base)
{
    struct root *root = (struct root *)base;

    atomic_fetch_add(&root->users, 1);
    ((struct root *)graph)->base = &root->graph;
}

he_status he_arena_grow(struct he_arena *arena, void **array, uint32_t *capacity, uint32_t used,
                        size_t size)
{
    size_t wanted;
    void *bigger;

    if (used < *capacity)
        return HE_OK;
    if (used >= UINT32_MAX / 2)
        return he_error_set(HE_ERR_UNSUPPORTED, "a graph with more than %u entries", used);
    wanted = *capacity ? (size_t)*capacity * 2 : 16;
    bigger = he_arena_alloc(arena, wanted, size);
    if (!bigger)
        return he_no_memory();
    if (used)
        memcpy(bigger, *array, used * size);
    *array = bigger;
    *capacity = (uint32_t)wanted;
    return HE_OK;
}

he_status he_graph_add_value(struct he_graph *graph, const char *name, uint32_t *out)
{
    struct he_graph_store *store = he_graph_store(graph);
    void *array = graph->values;
    he_status status =
        he_arena_grow(store->arena, &array, &store->value_capacity, graph->value_count,
                      sizeof *graph->values);
    struct he_value *value;

    if (status != HE_OK)
        return status;
    graph->values = array;
    value = &graph->values[graph->value_count];
    memset(value, 0, sizeof *value);
    value->name = name ? name : "";
    value->producer = HE_NONE;
    value->shape.rank = HE_RANK_UNKNOWN;
    *out = graph->value_count++;
    return HE_OK;
}

he_status he_graph_add_node(struct he_graph *graph, uint32_t *out)
{
    struct he_graph_store *store = he_graph_store(graph);
    void *array = graph->nodes;
    he_status status =
        he_arena_grow(store->arena, &array, &store->node_capacity, graph->node_count,
                      sizeof *graph->nodes);

    if (status != HE_OK)
        return status;
    graph->nodes = array;
    memset(&graph->nodes[graph->node_count], 0, sizeof *graph->nodes);
    graph->nodes[graph->node_count].name = "";
    graph->nodes[graph->node_count].domain = "";
    graph->nodes[graph->node_count].task = HE_NONE;
    *out = graph->node_count++;
    return HE_OK;
}

he_status he_graph_add_input(struct he_graph *graph, uint32_t value)
{
    struct he_graph_store *store = he_graph_store(graph);
    void *array = graph->inputs;
    he_status status =
        he_arena_grow(store->arena, &array, &store->input_capacity, graph->input_count,
                      sizeof *graph->inputs);

    if (status != HE_OK)
        return status;
    graph->inputs = array;
    graph->inputs[graph->input_count++] = value;
    graph->values[value].is_input = true;
    return HE_OK;
}

void he_value_set_constant(struct he_value *value, enum he_dtype dtype,
                           const struct he_shape *shape, const void *data, size_t bytes)
{
    size_t count = 0;

    value->dtype = dtype;
    value->shape = *shape;
    value->data = data;
    value->data_bytes = bytes;
    value->producer = HE_NONE;
    value->has_known_ints = false;
    /* Negative contents are left out: below zero a known_int names a symbol. */
    if (dtype == HE_INT64 && shape->rank <= 1 &&
        he_value_read_ints(value, value->known_ints, HE_MAX_RANK, &count) && count <= HE_MAX_RANK) {
        value->has_known_ints = true;
        for (size_t k = 0; k < count; k++)
            if (value->known_ints[k] < 0)
                value->has_known_ints = false;
    }
}

he_status he_graph_add_constant(struct he_graph *graph, const char *name, enum he_dtype dtype,
                                const struct he_shape *shape, const void *data, size_t bytes,
                                uint32_t *out)
{
    he_status status = he_graph_add_value(graph, name, out);

    if (status != HE_OK)
        return status;
    he_value_set_constant(&graph->values[*out], dtype, shape, data, bytes);
    return HE_OK;
}

uint32_t *he_graph_indices(struct he_graph *graph, uint32_t count)
{
    uint32_t *indices = he_arena_alloc(he_graph_arena(graph), count, sizeof *indices);

    for (uint32_t k = 0; indices && k < count; k++)
        indices[k] = HE_NONE;
    return indices;
}

const char *he_node_label(const struct he_graph *graph, const struct he_node *node)
{
    static _Thread_local char label[200];
    const char *output = "";

    for (uint32_t k = 0; k < node->output_count && !*output; k++)
        if (node->outputs[k] != HE_NONE)
            output = graph->values[node->outputs[k]].name;
    if (*node->name)
        snprintf(label, sizeof label, "%s '%s'", node->op, node->name);
    else
        snprintf(label, sizeof label, "%s -> '%s'", node->op, output);
    return label;
}

he_status he_node_error(const struct he_graph *graph, const struct he_node *node, he_status status)
{
    return he_error_prefix(status, "%s", he_node_label(graph, node));
}

bool he_node_is(const struct he_node *node, const char *op)
{
    return node->op && !*node->domain && strcmp(node->op, op) == 0;
}

struct he_graph *he_node_body(const struct he_node *node, uint32_t k)
{
    for (uint32_t a = 0; a < node->attr_count; a++)
        if (node->attrs[a].kind == HE_ATTR_GRAPH && node->attrs[a].graph && k-- == 0)
            return node->attrs[a].graph;
    return NULL;
}

struct he_graph *he_node_body_named(const struct he_node *node, const char *name)
{
    const struct he_attr *attr = he_node_attr(node, name);

    return attr && attr->kind == HE_ATTR_GRAPH ? attr->graph : NULL;
}

he_status he_graph_settle_outputs(struct he_graph *graph)
{
    for (uint32_t k = 0; k < graph->output_count; k++)
        graph->values[graph->outputs[k]].is_output = false;
    for (uint32_t k = 0; k < graph->output_count; k++) {
        uint32_t old = graph->outputs[k], fresh, index;
        struct he_node *node;
        uint32_t *ends;
        he_status status;

        if (graph->values[old].producer != HE_NONE && !graph->values[old].is_output) {
            graph->values[old].is_output = true;
            continue;
        }
        ends = he_graph_indices(graph, 2);
        if (!ends)
            return he_no_memory();
        status = he_graph_add_value(graph, graph->values[old].name, &fresh);
        if (status == HE_OK)
            status = he_graph_add_node(graph, &index);
        if (status != HE_OK)
            return status;
        graph->values[fresh].dtype = graph->values[old].dtype;
        graph->values[fresh].shape = graph->values[old].shape;
        graph->values[fresh].is_opaque = graph->values[old].is_opaque;
        graph->values[fresh].producer = index;
        graph->values[fresh].is_output = true;
        graph->outputs[k] = fresh;
        ends[0] = old;
        ends[1] = fresh;
        node = &graph->nodes[index];
        node->op = "Identity";
        node->opset = 13;
        node->inputs = ends;
        node->input_count = node->explicit_input_count = 1;
        node->outputs = ends + 1;
        node->output_count = 1;
    }
    return HE_OK;
}
