/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the maker of the task's anchor for a step. Tasks whose values are not all
 * float32 with known shapes are left to the kernels.
 */
#include "config.h"
#ifdef HE_HAVE_ONEDNN

#include <string.h>

#include "onednn_makers.h"

static const struct maker {
    const char *op;
    he_status (*make)(struct od_build *b);
    bool has_bf16; /* also for the matrix device */
} makers[] = {
    {"Conv", od_make_conv, true},
    {"ConvTranspose", od_make_conv, true},
    {"Gemm", od_make_product, true},
    {"MatMul", od_make_product, true},
    {"MaxPool", od_make_pool, false},
    {"AveragePool", od_make_pool, false},
    {"GlobalAveragePool", od_make_pool, false},
    {"GlobalMaxPool", od_make_pool, false},
    {"LRN", od_make_lrn, false},
    {"Resize", od_make_resize, false},
    {"Upsample", od_make_resize, false},
    {"Softmax", od_make_softmax, false},
    {"LogSoftmax", od_make_softmax, false},
    {"BatchNormalization", od_make_batch_norm, false},
    {"LayerNormalization", od_make_layer_norm, false},
};

static const struct maker *find_maker(const struct he_node *node, bool use_bf16)
{
    size_t k;

    if (*node->domain && strcmp(node->domain, "ai.onnx") != 0)
        return NULL;
    for (k = 0; k < sizeof makers / sizeof makers[0]; k++) {
        if (strcmp(makers[k].op, node->op) == 0)
            return !use_bf16 || makers[k].has_bf16 ? &makers[k] : NULL;
    }
    return NULL;
}

static bool is_ours(const struct he_graph *graph, uint32_t value)
{
    const struct he_value *v = &graph->values[value];

    return v->dtype == HE_FLOAT32 && !v->is_opaque && he_shape_count(&v->shape) > 0;
}

/* Everything the task reads and writes is float32 and of known shape. */
static he_status check_values(const struct he_graph *graph, const struct he_task *task,
                              const struct he_node *anchor)
{
    uint32_t k;

    for (k = 0; k < task->input_count; k++) {
        if (!is_ours(graph, task->inputs[k]))
            return he_error_set(HE_ERR_UNSUPPORTED, "%s %s: an input is no float32 tensor of "
                                "known shape", anchor->op, anchor->name);
    }
    for (k = 0; k < task->output_count; k++) {
        if (!is_ours(graph, task->outputs[k]))
            return he_error_set(HE_ERR_UNSUPPORTED, "%s %s: an output is no float32 tensor of "
                                "known shape", anchor->op, anchor->name);
    }
    if (anchor->input_count < 1 || anchor->inputs[0] == HE_NONE || anchor->output_count < 1 ||
        anchor->outputs[0] == HE_NONE || !is_ours(graph, anchor->outputs[0]) ||
        !is_ours(graph, anchor->inputs[0]))
        return he_error_set(HE_ERR_UNSUPPORTED, "%s %s: its result is not asked for", anchor->op,
                            anchor->name);
    return HE_OK;
}

he_status cpu_onednn_step(const struct cpu_compile *c, const struct he_task *task,
                          struct cpu_step **out)
{
    struct od_build b = {.c = c, .graph = c->region->graph, .task = task};
    const struct maker *maker;
    struct od_step *step;
    he_status status;

    *out = NULL;
    b.anchor = &b.graph->nodes[task->anchor];
    maker = find_maker(b.anchor, c->use_bf16);
    if (!maker || task->is_dynamic || task->nodes[0] != task->anchor)
        return he_error_set(HE_ERR_UNSUPPORTED, "%s %s: not an operator for oneDNN", b.anchor->op,
                            b.anchor->name);
    status = check_values(b.graph, task, b.anchor);
    if (status != HE_OK)
        return status;
    if (!cpu_onednn_open())
        return HE_ERR_UNSUPPORTED;
    step = c->alloc.alloc(c->alloc.self, sizeof *step);
    if (!step)
        return he_error_set(HE_ERR_NO_MEMORY, "no memory for a step of the cpu backend");
    memset(step, 0, sizeof *step);
    step->base.ops = &od_step_ops;
    step->alloc = c->alloc;
    step->threads = c->threads > 0 ? c->threads : 1;
    b.step = step;
    /* oneDNN plans its loops for the thread count of the thread that asks. */
    od.omp_set_num_threads((int)step->threads);
    status = maker->make(&b);
    if (status != HE_OK) {
        od_step_destroy(&step->base);
        return status;
    }
    step->base.workspace_bytes = step->work_bytes + step->scratch_bytes;
    *out = &step->base;
    return HE_OK;
}

#endif
