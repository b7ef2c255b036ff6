/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes of the graph's inputs: what the model declares, made definite by the
 * caller's bindings. A dimension with a name ("batch") is a symbol, the same
 * wherever the name stands; one without a name gets a symbol of its own, so that
 * shape arithmetic can follow it. Binding an input binds the symbols in it.
 */
#include "graph/build.h"

#include <stdio.h>
#include <string.h>

#include "core/words.h"

static he_status symbol_at(struct he_build *build, const char *name, uint32_t *out)
{
    struct he_symbols *symbols = &build->symbols;
    struct he_arena *arena = he_graph_arena(build->root);
    void *names = symbols->names, *values = symbols->values;
    he_status status;

    if (he_map_get(&symbols->index, name, out))
        return HE_OK;
    status = he_arena_grow(arena, &names, &symbols->name_capacity, symbols->count, sizeof(char *));
    if (status == HE_OK) {
        symbols->names = names;
        status = he_arena_grow(&build->scratch, &values, &symbols->value_capacity, symbols->count,
                               sizeof(int64_t));
    }
    if (status != HE_OK)
        return status;
    symbols->values = values;
    symbols->names[symbols->count] = name;
    symbols->values[symbols->count] = HE_DIM_UNKNOWN;
    *out = symbols->count++;
    return he_map_put(&symbols->index, name, *out);
}

/* The declared shape, symbols as codes. */
static he_status declared_shape(struct he_build *build, const struct onnx_value_info *info,
                                struct he_shape *out)
{
    if (!info->has_shape)
        return HE_OK;
    if (info->dim_count > HE_MAX_RANK)
        return he_error_set(HE_ERR_UNSUPPORTED, "graph input '%s' has rank %zu; %d is the most",
                            info->name, info->dim_count, HE_MAX_RANK);
    out->rank = (uint32_t)info->dim_count;
    for (uint32_t d = 0; d < out->rank; d++) {
        const char *name = info->dims[d].param;
        uint32_t symbol;
        he_status status;

        if (info->dims[d].value >= 0) {
            out->dims[d] = info->dims[d].value;
            continue;
        }
        if (!name || !*name)
            name = he_arena_printf(he_graph_arena(build->root), "%s[%u]", info->name, d);
        if (!name)
            return he_no_memory();
        status = symbol_at(build, name, &symbol);
        if (status != HE_OK)
            return status;
        out->dims[d] = -2 - (int64_t)symbol;
    }
    return HE_OK;
}

static he_status set_symbol(struct he_build *build, uint32_t symbol, int64_t size,
                            const char *input)
{
    int64_t *value = &build->symbols.values[symbol];

    if (size < 0)
        return HE_OK; /* left open */
    if (*value >= 0 && *value != size)
        return he_error_set(HE_ERR_SHAPE,
                            "dimension '%s' is bound to %lld and, by input '%s', to %lld",
                            build->symbols.names[symbol], (long long)*value, input,
                            (long long)size);
    *value = size;
    return HE_OK;
}

static he_status bind_input(struct he_build *build, struct he_value *value,
                            const struct he_shape *shape)
{
    if (shape->rank > HE_MAX_RANK)
        return he_error_set(HE_ERR_SHAPE, "input '%s' is bound to a shape of rank %u; %d is the most",
                            value->name, shape->rank, HE_MAX_RANK);
    if (value->shape.rank == HE_RANK_UNKNOWN) {
        value->shape = *shape;
        for (uint32_t d = 0; d < shape->rank; d++)
            if (shape->dims[d] < 0)
                value->shape.dims[d] = HE_DIM_UNKNOWN;
        return HE_OK;
    }
    if (shape->rank != value->shape.rank)
        return he_error_set(HE_ERR_SHAPE, "input '%s' is bound to rank %u; the model declares %u",
                            value->name, shape->rank, value->shape.rank);
    for (uint32_t d = 0; d < shape->rank; d++) {
        int64_t declared = value->shape.dims[d];
        he_status status;

        if (declared >= 0) {
            if (shape->dims[d] >= 0 && shape->dims[d] != declared)
                return he_error_set(HE_ERR_SHAPE,
                                    "input '%s' is bound to %lld in dimension %u; the model "
                                    "declares %lld",
                                    value->name, (long long)shape->dims[d], d, (long long)declared);
            continue;
        }
        status = set_symbol(build, (uint32_t)(-2 - declared), shape->dims[d], value->name);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

static struct he_value *find_input(struct he_graph *graph, const char *name)
{
    for (uint32_t k = 0; k < graph->input_count; k++)
        if (strcmp(graph->values[graph->inputs[k]].name, name) == 0)
            return &graph->values[graph->inputs[k]];
    return NULL;
}

/* "there is no input 'x'; did you mean 'y'?" */
static he_status no_such(const char *what, const char *name, const char *const *words, size_t count)
{
    const char *near = words ? he_nearest_word(name, words, count) : NULL;

    return he_error_set(HE_ERR_NOT_FOUND, "the model has no %s '%s'%s%s%s", what, name,
                        near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static he_status apply_binding(struct he_build *build, const struct he_shape_binding *binding)
{
    struct he_graph *root = build->root;
    struct he_value *input;
    uint32_t symbol;

    if (!binding->name)
        return he_error_set(HE_ERR_INVALID, "a shape binding without a name");
    if (binding->is_symbol) {
        if (!he_map_get(&build->symbols.index, binding->name, &symbol))
            return no_such("input or dimension", binding->name, build->symbols.names, build->symbols.count);
        if (binding->shape.rank != 1 || binding->shape.dims[0] < 0)
            return he_error_set(HE_ERR_INVALID, "dimension '%s' is bound to no size", binding->name);
        return set_symbol(build, symbol, binding->shape.dims[0], "(another binding)");
    }
    input = find_input(root, binding->name);
    if (!input) {
        const char **names = he_arena_alloc(&build->scratch, root->input_count, sizeof *names);

        for (uint32_t k = 0; names && k < root->input_count; k++)
            names[k] = root->values[root->inputs[k]].name;
        return no_such("input", binding->name, names, root->input_count);
    }
    return bind_input(build, input, &binding->shape);
}

/* Puts sizes in the place of symbols that have one. */
static void settle(struct he_build *build, struct he_shape *shape)
{
    int64_t fallback = build->options->default_dim > 0 ? build->options->default_dim : 0;

    if (shape->rank == HE_RANK_UNKNOWN)
        return;
    for (uint32_t d = 0; d < shape->rank; d++) {
        int64_t dim = shape->dims[d];

        if (dim < HE_DIM_UNKNOWN && build->symbols.values[-2 - dim] >= 0)
            shape->dims[d] = build->symbols.values[-2 - dim];
        else if (dim < 0 && fallback)
            shape->dims[d] = fallback;
    }
}

he_status he_build_input_shapes(struct he_build *build)
{
    const struct onnx_graph *source = &build->model->graph;
    struct he_graph *root = build->root;
    he_status status = HE_OK;

    he_map_init(&build->symbols.index, &build->scratch);
    for (size_t k = 0; status == HE_OK && k < source->input_count; k++) {
        struct he_value *value = find_input(root, source->inputs[k].name);

        if (value) /* else it is an initializer */
            status = declared_shape(build, &source->inputs[k], &value->shape);
    }
    for (size_t k = 0; status == HE_OK && k < build->options->binding_count; k++)
        status = apply_binding(build, &build->options->bindings[k]);
    if (status != HE_OK)
        return status;
    for (uint32_t k = 0; k < root->input_count; k++)
        settle(build, &root->values[root->inputs[k]].shape);
    root->symbols = build->symbols.names;
    root->symbol_count = build->symbols.count;
    return HE_OK;
}
