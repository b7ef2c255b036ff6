/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Constant folding, in the same walk as shape inference: a node is inferred, and
 * when its answer is known now it becomes constants, so that the nodes behind it see
 * contents and not only shapes. Known are
 *
 *   shape arithmetic   all elements of known_ints are sizes, not symbols
 *   views              Reshape and its kin of a constant: the same bytes
 *   ConstantOfShape    filled here; it makes the weights of some models
 *   everything else    by the evaluator, which is the caller's
 *
 * An If whose condition is known gives way to the branch taken (inline_if.c).
 */
#include "graph/fold.h"

#include <string.h>

#include "core/size.h"

/* What folding may add to the process: outputs up to this size always, larger ones
 * only when the constants they come from are not much smaller. */
#define FREE_BYTES ((int64_t)64 << 20)
#define GROWTH_MAX 4
/* Filled weights: no file of a few bytes may ask for more. */
#define WEIGHT_BYTES ((int64_t)4 << 30)

static bool all_inputs_constant(const struct he_graph *graph, const struct he_node *node)
{
    for (uint32_t k = 0; k < node->input_count; k++) {
        const struct he_value *value = he_node_input(graph, node, k);

        if (value && (!he_value_is_constant(value) || value->dtype == HE_STRING))
            return false;
    }
    return true;
}

/* Graph outputs keep a producer: the contents get a value of their own, and the node
 * turns into an Identity of it. *drop_node says that the node is not needed any more. */
static he_status become_constant(struct he_graph *graph, struct he_node *node, uint32_t output,
                                 const struct he_shape *shape, const void *data, size_t bytes,
                                 bool *drop_node)
{
    uint32_t value = node->outputs[output], fresh;
    enum he_dtype dtype = graph->values[value].dtype;
    uint32_t *inputs;
    he_status status;

    if (!graph->values[value].is_output) {
        he_value_set_constant(&graph->values[value], dtype, shape, data, bytes);
        return HE_OK;
    }
    inputs = he_graph_indices(graph, 1);
    if (!inputs)
        return he_no_memory();
    status = he_graph_add_constant(graph, "", dtype, shape, data, bytes, &fresh);
    if (status != HE_OK)
        return status;
    graph->values[value].shape = *shape;
    inputs[0] = fresh;
    node->op = "Identity";
    node->domain = "";
    node->opset = 13;
    node->inputs = inputs;
    node->input_count = node->explicit_input_count = 1;
    node->attr_count = 0;
    *drop_node = false;
    return HE_OK;
}

static he_status fold_known_ints(struct he_graph *graph, struct he_node *node, bool *folded,
                                 bool *drop_node)
{
    struct he_value *value = &graph->values[node->outputs[0]];
    struct he_shape shape = value->shape;
    int64_t count = he_shape_count(&shape), *data;

    if (!value->has_known_ints || value->dtype != HE_INT64 || count < 0 || count > HE_MAX_RANK)
        return HE_OK;
    for (int64_t k = 0; k < count; k++)
        if (value->known_ints[k] < 0)
            return HE_OK;
    data = he_arena_copy(he_graph_arena(graph), value->known_ints, (size_t)count * sizeof *data);
    if (!data)
        return he_no_memory();
    *folded = *drop_node = true;
    return become_constant(graph, node, 0, &shape, data, (size_t)count * sizeof *data, drop_node);
}

/* The same bytes under the output's shape. */
static he_status fold_view(struct he_graph *graph, struct he_node *node, bool *folded,
                           bool *drop_node)
{
    const struct he_op *op = he_op_find(node->domain, node->op);
    const struct he_value *from = he_node_input(graph, node, 0);
    const struct he_value *to = &graph->values[node->outputs[0]];
    struct he_shape shape = to->shape;

    if (!op || op->access != HE_ACCESS_VIEW || !from || from->dtype != to->dtype ||
        !he_shape_is_static(&shape) || he_shape_count(&shape) != he_shape_count(&from->shape))
        return HE_OK;
    *folded = *drop_node = true;
    return become_constant(graph, node, 0, &shape, from->data, from->data_bytes, drop_node);
}

/* Weights are wanted as constants whatever their size: what multiplies reads @value as its second
 * operand or later. */
static bool is_weight(const struct he_graph *graph, uint32_t value)
{
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct he_node *node = &graph->nodes[n];

        for (uint32_t k = 1; k < node->input_count; k++) {
            const struct he_op *op = node->inputs[k] == value ? he_op_find(node->domain, node->op)
                                                              : NULL;

            if (op && (op->access == HE_ACCESS_CONTRACTION || op->access == HE_ACCESS_WINDOW))
                return true;
        }
    }
    return false;
}

static he_status fold_fill(struct he_graph *graph, struct he_node *node, bool *folded,
                           bool *drop_node)
{
    const struct he_attr *attr = he_node_attr(node, "value");
    const struct he_value *to = &graph->values[node->outputs[0]];
    int64_t bytes = he_shape_bytes(&to->shape, to->dtype);
    size_t size = he_dtype_bits(to->dtype) / 8;
    struct he_shape shape = to->shape;
    unsigned char *data;

    if (bytes < 0 || !size || (attr && (!attr->tensor || attr->tensor->data_bytes != size)) ||
        (bytes > FREE_BYTES && (bytes > WEIGHT_BYTES || !is_weight(graph, node->outputs[0]))))
        return HE_OK;
    data = he_arena_alloc(he_graph_arena(graph), (size_t)bytes, 1);
    if (!data)
        return he_no_memory();
    if (attr && bytes)
        memcpy(data, attr->tensor->data, size);
    for (size_t done = size; attr && done < (size_t)bytes; done *= 2)
        memcpy(data + done, data, done < (size_t)bytes - done ? done : (size_t)bytes - done);
    *folded = *drop_node = true;
    return become_constant(graph, node, 0, &shape, data, (size_t)bytes, drop_node);
}

static bool is_worth_its_bytes(const struct he_graph *graph, const struct he_node *node)
{
    int64_t in = 0, out = 0;

    for (uint32_t k = 0; k < node->input_count; k++)
        if (he_node_input(graph, node, k))
            in += (int64_t)he_node_input(graph, node, k)->data_bytes;
    for (uint32_t k = 0; k < node->output_count; k++) {
        const struct he_value *value;
        int64_t bytes;

        if (!he_node_has_output(node, k))
            continue;
        value = &graph->values[node->outputs[k]];
        bytes = he_shape_bytes(&value->shape, value->dtype);
        if (bytes < 0 && in > FREE_BYTES)
            return false; /* its size is in its contents */
        out += bytes < 0 ? 0 : bytes;
    }
    return out <= FREE_BYTES || out / GROWTH_MAX <= in;
}

/* Kernels want aligned elements; constants may lie anywhere in the model file. */
static he_status aligned_input(const struct he_value *value, struct he_arena *scratch,
                               struct he_tensor *out)
{
    const void *data = value->data;

    if ((uintptr_t)data % 16) {
        data = he_arena_copy(scratch, data, value->data_bytes);
        if (!data)
            return he_no_memory();
    }
    *out = he_tensor_dense(value->dtype, &value->shape, (void *)(uintptr_t)data);
    return HE_OK;
}

static he_status evaluate(struct he_fold *fold, struct he_graph *graph, struct he_node *node,
                          struct he_arena *scratch, struct he_tensor *outputs)
{
    const struct he_evaluator *evaluator = fold->options->evaluator;
    struct he_tensor *inputs = he_arena_alloc(scratch, node->input_count, sizeof *inputs);

    if (!inputs)
        return he_no_memory();
    for (uint32_t k = 0; k < node->input_count; k++) {
        const struct he_value *value = he_node_input(graph, node, k);
        he_status status = value ? aligned_input(value, scratch, &inputs[k]) : HE_OK;

        if (status != HE_OK)
            return status;
    }
    for (uint32_t k = 0; k < node->output_count; k++) {
        const struct he_value *value;

        if (!he_node_has_output(node, k))
            continue;
        value = &graph->values[node->outputs[k]];
        outputs[k].dtype = value->dtype;
        outputs[k].shape = value->shape;
        if (he_shape_is_static(&value->shape))
            outputs[k] = he_tensor_dense(value->dtype, &value->shape, NULL);
    }
    return evaluator->eval(evaluator->self, graph, node, inputs, outputs, he_graph_arena(graph));
}

static he_status fold_by_running(struct he_fold *fold, struct he_graph *graph,
                                 struct he_node *node, bool *folded, bool *drop_node)
{
    struct he_arena scratch;
    struct he_tensor *outputs;
    he_status status;

    he_arena_init(&scratch, &he_graph_arena(graph)->alloc);
    outputs = he_arena_alloc(&scratch, node->output_count, sizeof *outputs);
    status = outputs ? evaluate(fold, graph, node, &scratch, outputs) : he_no_memory();
    if (status != HE_OK) {
        /* What cannot be run here, or not with these contents, is left to the devices. */
        status = status == HE_ERR_NO_MEMORY ? status : HE_OK;
        goto fini;
    }
    *folded = *drop_node = true;
    for (uint32_t k = 0; k < node->output_count && status == HE_OK; k++) {
        int64_t bytes;

        if (!he_node_has_output(node, k))
            continue;
        bytes = he_shape_bytes(&outputs[k].shape, outputs[k].dtype);
        if (bytes < 0 || (bytes && !outputs[k].data) ||
            outputs[k].dtype != graph->values[node->outputs[k]].dtype) {
            status = he_error_set(HE_ERR_INTERNAL, "folding gave no usable output %u", k);
            status = he_node_error(graph, node, status);
            break;
        }
        status = become_constant(graph, node, k, &outputs[k].shape,
                                 outputs[k].data ? outputs[k].data : "", (size_t)bytes, drop_node);
    }
fini:
    he_arena_fini(&scratch);
    return status;
}

/* Folding a node with several outputs needs none of them to be the graph's. */
static bool may_fold(const struct he_graph *graph, const struct he_node *node)
{
    const struct he_op *op = he_op_find(node->domain, node->op);
    uint32_t wanted = 0, given = 0;

    if (!op || (op->flags & HE_OP_RANDOM) || he_node_is_control(node))
        return false;
    for (uint32_t k = 0; k < node->output_count; k++) {
        if (!he_node_has_output(node, k))
            continue;
        if (graph->values[node->outputs[k]].dtype == HE_STRING)
            return false;
        wanted++;
        given += graph->values[node->outputs[k]].is_output;
    }
    if (given && (wanted > 1 || !he_node_has_output(node, 0)))
        return false;
    return wanted && !(given && he_node_is(node, "Identity"));
}

static he_status fold_plain(struct he_fold *fold, struct he_graph *graph, struct he_node *node,
                            bool *drop_node)
{
    bool folded = false;
    he_status status = HE_OK;

    if (!may_fold(graph, node))
        return HE_OK;
    if (node->output_count == 1)
        status = fold_known_ints(graph, node, &folded, drop_node);
    if (folded || status != HE_OK || !all_inputs_constant(graph, node))
        return status;
    if (node->output_count == 1 && node->input_count)
        status = fold_view(graph, node, &folded, drop_node);
    if (!folded && status == HE_OK && he_node_is(node, "ConstantOfShape"))
        status = fold_fill(graph, node, &folded, drop_node);
    if (!folded && status == HE_OK && fold->options->evaluator && is_worth_its_bytes(graph, node))
        status = fold_by_running(fold, graph, node, &folded, drop_node);
    return status;
}

static he_status keep_node(struct he_fold *fold, const struct he_node *node)
{
    void *array = fold->kept;
    he_status status = he_arena_grow(he_graph_arena(fold->graph), &array, &fold->kept_capacity,
                                     fold->kept_count, sizeof *fold->kept);

    if (status != HE_OK)
        return status;
    fold->kept = array;
    fold->kept[fold->kept_count++] = *node;
    return HE_OK;
}

static he_status fold_graph(const void *options, struct he_graph *graph);

static he_status fold_control(struct he_fold *fold, struct he_node *node)
{
    he_status status = he_fold_sink_constants(fold->graph, node);

    if (status == HE_OK)
        status = he_graph_infer_control(fold->graph, node, fold_graph, fold->options);
    return status == HE_OK ? keep_node(fold, node) : he_node_error(fold->graph, node, status);
}

he_status he_fold_node(struct he_fold *fold, struct he_node *node)
{
    struct he_graph *graph = fold->graph;
    struct he_graph *taken;
    bool drop_node = false;
    he_status status;

    if (he_node_is_control(node)) {
        taken = he_fold_taken_branch(graph, node);
        return taken ? he_fold_inline_branch(fold, node, taken) : fold_control(fold, node);
    }
    status = he_graph_infer_node(graph, node);
    if (status == HE_OK)
        status = fold_plain(fold, graph, node, &drop_node);
    return status != HE_OK || drop_node ? status : keep_node(fold, node);
}

/* A he_body_walk too; @options are a struct he_graph_options. */
static he_status fold_graph(const void *options, struct he_graph *graph)
{
    struct he_fold fold = { .graph = graph, .options = options };

    for (uint32_t n = 0; n < graph->node_count; n++) {
        struct he_node node = graph->nodes[n];
        he_status status = he_fold_node(&fold, &node);

        if (status != HE_OK)
            return status;
    }
    graph->nodes = fold.kept;
    graph->node_count = fold.kept_count;
    he_graph_store(graph)->node_capacity = fold.kept_capacity;
    for (uint32_t v = 0; v < graph->value_count; v++)
        graph->values[v].producer = HE_NONE;
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint32_t k = 0; k < graph->nodes[n].output_count; k++)
            if (graph->nodes[n].outputs[k] != HE_NONE)
                graph->values[graph->nodes[n].outputs[k]].producer = n;
    return HE_OK;
}

he_status he_graph_fold(struct he_graph *graph, const struct he_graph_options *options)
{
    static const struct he_graph_options defaults;
    he_status status = fold_graph(options ? options : &defaults, graph);

    return status == HE_OK ? he_graph_check_declared(graph) : status;
}
