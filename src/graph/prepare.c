/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline: the passes in their order, from a model to a graph with tasks. */
#include "graph/store.h"

static he_status run_passes(struct he_graph *graph, const struct he_graph_options *options)
{
    he_status status = options->no_fold ? he_graph_infer(graph) : he_graph_fold(graph, options);

    if (status == HE_OK)
        status = he_graph_remove_dead(graph);
    if (status == HE_OK && !options->no_simplify) {
        status = he_graph_simplify(graph);
        /* Once more, for nodes whose inputs have become constant by it. */
        if (status == HE_OK)
            status = options->no_fold ? he_graph_infer(graph) : he_graph_fold(graph, options);
        if (status == HE_OK)
            status = he_graph_remove_dead(graph);
    }
    if (status == HE_OK)
        status = he_graph_make_tasks(graph, !options->no_fuse);
    return status == HE_OK ? he_graph_check(graph) : status;
}

he_status he_graph_prepare(const struct he_model *model, const struct he_graph_options *options,
                           const struct he_allocator *alloc, struct he_graph **out)
{
    static const struct he_graph_options defaults;
    struct he_graph *graph;
    he_status status;

    if (!model || !out)
        return he_error_set(HE_ERR_INVALID, "he_graph_prepare: no model or no place for the graph");
    *out = NULL;
    if (!options)
        options = &defaults;
    status = he_graph_build(model, options, alloc, &graph);
    if (status != HE_OK)
        return status;
    status = run_passes(graph, options);
    if (status == HE_OK)
        *out = graph;
    else
        he_graph_destroy(graph);
    return status;
}
