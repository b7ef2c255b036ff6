/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries every pattern at every node until nothing changes. Patterns hang on the last
 * node of what they replace, so one walk in topological order finds the inner ones
 * before the outer ones, and two or three walks find all.
 */
#include "graph/rewrite.h"

#include <string.h>

#include "core/size.h"

/* Each pattern makes the graph smaller or simpler; this only bounds a mistake of ours. */
#define WALKS_MAX 16

static const struct he_pattern_table *const tables[] = {
    &he_patterns_identity, &he_patterns_pad,  &he_patterns_affine,
    &he_patterns_activation, &he_patterns_norm, &he_patterns_move,
};
static const struct he_pattern_table *const late_tables[] = { &he_patterns_late,
                                                              &he_patterns_conv };

/* Patterns count on what the shape rules have checked. Nodes that were never inferred (a branch
 * nobody takes) may lack anything. */
static bool is_whole(const struct he_node *node)
{
    const struct he_op *row = he_op_find(node->domain, node->op);

    if (!row || !he_node_has_output(node, 0) || node->explicit_input_count < row->min_inputs)
        return false;
    for (uint32_t k = 0; k < row->min_inputs; k++)
        if (node->inputs[k] == HE_NONE)
            return false;
    return true;
}

static he_status try_patterns(struct he_rewrite *rewrite,
                              const struct he_pattern_table *const *some, size_t count, uint32_t n)
{
    for (size_t t = 0; t < count; t++) {
        for (size_t p = 0; p < some[t]->count; p++) {
            const struct he_pattern *pattern = &some[t]->patterns[p];
            he_status status;

            if (!rewrite->graph->nodes[n].op)
                return HE_OK;
            if (!he_node_is(&rewrite->graph->nodes[n], pattern->op) ||
                !is_whole(&rewrite->graph->nodes[n]))
                continue;
            status = pattern->apply(rewrite, n);
            if (status != HE_OK)
                return status;
        }
    }
    return HE_OK;
}

/* Until nothing changes; @out says whether anything did. */
static he_status walk(struct he_rewrite *rewrite, const struct he_pattern_table *const *some,
                      size_t count, bool *out)
{
    he_status status = HE_OK;

    for (int round = 0; round < WALKS_MAX && status == HE_OK; round++) {
        rewrite->changed = false;
        for (uint32_t n = 0; n < rewrite->graph->node_count && status == HE_OK; n++)
            if (rewrite->graph->nodes[n].op)
                status = try_patterns(rewrite, some, count, n);
        *out |= rewrite->changed;
        if (!rewrite->changed)
            break;
    }
    return status;
}

static he_status simplify(struct he_rewrite *rewrite)
{
    bool changed = false;
    he_status status = walk(rewrite, tables, HE_COUNT(tables), &changed);

    changed = false;
    if (status == HE_OK)
        status = walk(rewrite, late_tables, HE_COUNT(late_tables), &changed);
    if (status == HE_OK && changed)
        status = walk(rewrite, tables, HE_COUNT(tables), &changed);
    if (status == HE_OK && rewrite->is_unsorted)
        status = he_graph_sort(rewrite->graph);
    return status;
}

he_status he_graph_simplify(struct he_graph *graph)
{
    struct he_rewrite rewrite;
    he_status status;

    for (uint32_t n = 0; n < graph->node_count; n++) {
        for (uint32_t b = 0; he_node_body(&graph->nodes[n], b); b++) {
            status = he_graph_simplify(he_node_body(&graph->nodes[n], b));
            if (status != HE_OK)
                return status;
        }
    }
    status = he_rewrite_begin(&rewrite, graph);
    if (status != HE_OK)
        return status;
    status = simplify(&rewrite);
    he_rewrite_end(&rewrite);
    return status == HE_OK ? he_graph_remove_dead(graph) : status;
}
