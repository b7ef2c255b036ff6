/* SPDX-License-Identifier: Apache-2.0 */
/* Padding with zeros in front of a Conv or AveragePool becomes its own padding. */
#include "graph/rewrite.h"

#include <string.h>

#include "core/size.h"

/* The pads of a Pad node that adds zeros, or nothing. */
static bool read_zero_pads(const struct he_graph *graph, const struct he_node *pad, uint32_t rank,
                           int64_t *out)
{
    const int64_t *attr;
    size_t count;
    const struct he_value *fill = he_node_input(graph, pad, 2);

    if (strcmp(he_node_string(pad, "mode", "constant"), "constant") != 0 || pad->opset < 2 ||
        he_node_input(graph, pad, 3))
        return false;
    if (pad->opset < 11) {
        count = he_node_ints(pad, "pads", &attr);
        if (he_node_float(pad, "value", 0) != 0 || count != 2 * (size_t)rank)
            return false;
        memcpy(out, attr, count * sizeof *out);
        return true;
    }
    if (fill && !he_constant_is(fill, 0))
        return false;
    return he_node_input(graph, pad, 1) &&
           he_value_read_ints(he_node_input(graph, pad, 1), out, 2 * HE_MAX_RANK, &count) &&
           count == 2 * (size_t)rank;
}

static he_status absorb_pad(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    struct he_node *node = &graph->nodes[n];
    bool is_pool = he_node_is(node, "AveragePool");
    const char *automatic = he_node_string(node, "auto_pad", "NOTSET");
    uint32_t pad = he_rewrite_link(rewrite, node->inputs[0], "Pad"), rank, count = 0;
    int64_t added[2 * HE_MAX_RANK], *pads;
    const int64_t *old;
    size_t old_count = he_node_ints(node, "pads", &old);
    struct he_attr *attrs;

    if (pad == HE_NONE)
        return HE_OK;
    rank = graph->values[node->inputs[0]].shape.rank;
    if (rank == HE_RANK_UNKNOWN || rank < 3 ||
        !read_zero_pads(graph, &graph->nodes[pad], rank, added) ||
        (old_count && old_count != 2 * ((size_t)rank - 2)) || (strcmp(automatic, "NOTSET") != 0 &&
                                                       strcmp(automatic, "VALID") != 0))
        return HE_OK;
    for (uint32_t k = 0; k < 2 * rank; k++)
        if (added[k] < 0 || (k % rank < 2 && added[k] != 0))
            return HE_OK;
    if (strcmp(automatic, "VALID") == 0)
        old_count = 0;
    /* What a pool counts must stay what it was: the zeros, and nothing else. */
    for (size_t k = 0; is_pool && k < old_count; k++)
        if (old[k] != 0)
            return HE_OK;
    if (is_pool && (he_node_int(node, "ceil_mode", 0) || node->opset < 7))
        return HE_OK;
    attrs = he_rewrite_attrs(rewrite, node->attr_count + 2);
    pads = he_arena_alloc(he_graph_arena(graph), 2 * (size_t)rank, sizeof *pads);
    if (!attrs || !pads)
        return he_no_memory();
    for (uint32_t k = 0; k < node->attr_count; k++)
        if (strcmp(node->attrs[k].name, "pads") != 0 &&
            strcmp(node->attrs[k].name, "auto_pad") != 0 &&
            strcmp(node->attrs[k].name, "count_include_pad") != 0)
            attrs[count++] = node->attrs[k];
    for (uint32_t d = 0; d < rank - 2; d++) {
        pads[d] = added[d + 2] + (old_count ? old[d] : 0);
        pads[rank - 2 + d] = added[rank + d + 2] + (old_count ? old[rank - 2 + d] : 0);
    }
    attrs[count++] = (struct he_attr){ .name = "pads", .kind = HE_ATTR_INTS,
                                       .count = 2 * ((size_t)rank - 2), .ints = pads };
    if (is_pool)
        attrs[count++] = (struct he_attr){ .name = "count_include_pad", .kind = HE_ATTR_INT,
                                           .i = 1 };
    node->attrs = attrs;
    node->attr_count = count;
    he_rewrite_set_input(rewrite, n, 0, graph->nodes[pad].inputs[0]);
    he_rewrite_remove(rewrite, pad);
    return HE_OK;
}

static const struct he_pattern patterns[] = {
    { "Conv", absorb_pad },
    { "AveragePool", absorb_pad },
};
const struct he_pattern_table he_patterns_pad = { patterns, HE_COUNT(patterns) };
