/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shape inference: one walk in topological order, each node by the rule of its
 * operator. Control flow sets the types of what its bodies take, walks them, and
 * reads off what they give (infer_control.c).
 */
#include "graph/store.h"

#include <string.h>

#include "core/size.h"

/* Nodes with more inputs (a long Concat) take the slow way round the stack. */
#define FEW 32

/* What comes out of @node whatever the shapes of its inputs are. */
static he_status infer_types(struct he_graph *graph, struct he_node *node,
                             const struct he_value **inputs, struct he_value **outputs,
                             struct he_arena *scratch)
{
    struct he_value *open = he_arena_alloc(scratch, node->input_count, sizeof *open);

    if (!open)
        return he_no_memory();
    for (uint32_t k = 0; k < node->input_count; k++) {
        if (!inputs[k])
            continue;
        open[k].name = inputs[k]->name;
        open[k].dtype = inputs[k]->dtype;
        open[k].producer = HE_NONE;
        open[k].shape.rank = HE_RANK_UNKNOWN;
        inputs[k] = &open[k];
    }
    if (he_op_infer(node, inputs, outputs) == HE_OK)
        return HE_OK;
    /* Not even that: everything behind it knows nothing either. */
    for (uint32_t k = 0; k < node->output_count; k++) {
        if (!he_node_has_output(node, k))
            continue;
        graph->values[node->outputs[k]].shape.rank = HE_RANK_UNKNOWN;
        graph->values[node->outputs[k]].has_known_ints = false;
    }
    return HE_OK;
}

static he_status infer_plain(struct he_graph *graph, struct he_node *node)
{
    const struct he_value *few_inputs[FEW], **inputs = few_inputs;
    struct he_value *few_outputs[FEW], **outputs = few_outputs;
    struct he_arena scratch;
    he_status status = HE_OK;

    he_arena_init(&scratch, &he_graph_arena(graph)->alloc);
    if (node->input_count > FEW)
        inputs = he_arena_alloc(&scratch, node->input_count, sizeof *inputs);
    if (node->output_count > FEW)
        outputs = he_arena_alloc(&scratch, node->output_count, sizeof *outputs);
    if (!inputs || !outputs) {
        status = he_no_memory();
        goto fini;
    }
    for (uint32_t k = 0; k < node->input_count; k++) {
        inputs[k] = he_node_input(graph, node, k);
        if (inputs[k] && inputs[k]->is_opaque) {
            status = he_error_set(HE_ERR_UNSUPPORTED, "input '%s' is no tensor", inputs[k]->name);
            goto fini;
        }
    }
    for (uint32_t k = 0; k < node->output_count; k++) {
        outputs[k] = he_node_has_output(node, k) ? &graph->values[node->outputs[k]] : NULL;
        if (outputs[k])
            outputs[k]->has_known_ints = false; /* an earlier walk may have known more */
    }
    status = he_op_infer(node, inputs, outputs);
    if (status == HE_ERR_SHAPE && he_graph_store(graph)->is_branch) {
        /* The types at least: who takes this branch after all is told when it runs. */
        he_graph_store(graph)->is_broken = true;
        status = infer_types(graph, node, inputs, outputs, &scratch);
    }
fini:
    he_arena_fini(&scratch);
    return status;
}

he_status he_graph_infer_node(struct he_graph *graph, struct he_node *node)
{
    he_status status = he_node_is_control(node) ? he_graph_infer_control(graph, node, NULL, NULL)
                                                : infer_plain(graph, node);

    return status == HE_OK ? HE_OK : he_node_error(graph, node, status);
}

he_status he_graph_infer_nodes(struct he_graph *graph)
{
    for (uint32_t n = 0; n < graph->node_count; n++) {
        he_status status = he_graph_infer_node(graph, &graph->nodes[n]);

        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

he_status he_graph_check_declared(const struct he_graph *graph)
{
    const struct he_graph_store *store = he_graph_store(graph);

    for (uint32_t k = 0; k < graph->output_count; k++) {
        const struct he_value *value = &graph->values[graph->outputs[k]];

        if (value->shape.rank != HE_RANK_UNKNOWN && store->declared_ranks &&
            store->declared_ranks[k] != HE_RANK_UNKNOWN &&
            value->shape.rank != store->declared_ranks[k])
            return he_error_set(HE_ERR_SHAPE,
                                "graph output '%s' has rank %u; the model declares rank %u",
                                value->name, value->shape.rank, store->declared_ranks[k]);
    }
    return HE_OK;
}

he_status he_graph_infer(struct he_graph *graph)
{
    he_status status = he_graph_infer_nodes(graph);

    return status == HE_OK ? he_graph_check_declared(graph) : status;
}
