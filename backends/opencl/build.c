/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task as kernels. It is cut into segments, each one kernel (or a few): a head and the
 * pointwise nodes behind it with outputs of one shape. What a later segment reads of an earlier one
 * goes through the workspace.
 */
#include <string.h>

#include "build.h"
#include "tile.h"

/* Must @value, made by the task, be in memory after this segment? */
static bool is_stored(const struct opencl_build *b, uint32_t value)
{
    for (uint32_t k = 0; k < b->task->output_count; k++)
        if (b->task->outputs[k] == value)
            return true;
    for (uint32_t n = b->segment_end; n < b->task->node_count; n++) {
        const struct he_node *node = &b->graph->nodes[b->task->nodes[n]];

        for (uint32_t k = 0; k < node->input_count; k++)
            if (node->inputs[k] == value)
                return true;
    }
    return false;
}

static void store(struct opencl_build *b, uint32_t value, const char *index)
{
    if (!is_stored(b, value))
        return;
    if (b->is_by_fours)
        opencl_line(b, "w%u[k] = v%u;", value, value);
    else
        opencl_line(b, "S%d(%s, v%u);", opencl_write(b, value), index, value);
}

void opencl_result(struct opencl_build *b, const char *index, const char *expression)
{
    if (b->tail_begin > b->segment_begin) {
        const struct he_node *head = &b->graph->nodes[b->task->nodes[b->segment_begin]];
        uint32_t value = head->outputs[0];

        opencl_line(b, "%s v%u = %s;", opencl_type(b, b->graph->values[value].dtype), value,
                    expression);
        store(b, value, index);
    }
    for (uint32_t n = b->tail_begin; n < b->segment_end; n++) {
        const struct he_node *node = &b->graph->nodes[b->task->nodes[n]];

        opencl_pointwise_emit(b, node, index);
        store(b, node->outputs[0], index);
    }
}

/* The emitter of @node behind @after (NULL: the first). An operator may have several. */
static const struct opencl_emitter *find_emitter(const struct he_node *node,
                                                 const struct opencl_emitter *after)
{
    static const struct opencl_emitter_table *const tables[] = {
        &opencl_conv_table,   &opencl_matmul_table,  &opencl_pool_table,   &opencl_reduce_table,
        &opencl_norm_table,   &opencl_move_table,    &opencl_transpose_table,
        &opencl_gather_table,
        &opencl_resize_table, &opencl_make_table,    &opencl_scan_table,   &opencl_scatter_table,
        &opencl_select_table, &opencl_sample_table,  &opencl_quant_table,  &opencl_loss_table,
        &opencl_direct_table,
    };

    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (size_t k = 0; k < tables[t]->count; k++) {
            const struct opencl_emitter *emitter = &tables[t]->emitters[k];

            if (!after && opencl_is(node, emitter->op))
                return emitter;
            if (emitter == after)
                after = NULL;
        }
    }
    return NULL;
}

/* What one emitter refuses, the next one may do. */
static he_status emit_head(struct opencl_build *b, const struct he_node *head,
                           const struct opencl_emitter *emitter)
{
    uint32_t steps = b->program ? b->program->step_count : 0;
    he_status status = HE_OK;

    for (; emitter; emitter = find_emitter(head, emitter)) {
        status = emitter->emit(b, head);
        if (status != HE_ERR_UNSUPPORTED || b->status != HE_OK ||
            (b->program && b->program->step_count != steps))
            break;
    }
    return status;
}

/* The output is the first input's bytes. */
static bool is_view(const struct opencl_build *b, const struct he_node *node)
{
    static const char *const views[] = { "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity" };
    const struct he_value *mode = opencl_input(b, node, 2);

    for (size_t k = 0; k < sizeof views / sizeof views[0]; k++)
        if (opencl_is(node, views[k]))
            return true;
    return opencl_is(node, "Dropout") && !opencl_output(b, node, 1) &&
           (!mode || (mode->data && !*(const char *)mode->data));
}

static he_status emit_view(struct opencl_build *b, const struct he_node *node)
{
    uint32_t from = node->inputs[0], to = node->outputs[0];

    if (b->program && b->slot_of[to] != HE_NONE && b->slot_of[from] != HE_NONE &&
        b->program->region->slots[b->slot_of[to]].alias == b->slot_of[from])
        return HE_OK;
    return opencl_copy(b, from, to);
}

/* A value that a kernel or a copy may touch. */
static he_status check_value(const struct opencl_build *b, const struct he_node *node,
                             uint32_t value)
{
    const struct he_value *v = &b->graph->values[value];
    int64_t count = he_shape_count(&v->shape);

    if (v->is_opaque)
        return opencl_refuse(node, "sequences and optional values are not done");
    if (count < 0)
        return opencl_refuse(node, "the shape of '%s' is not known beforehand", v->name);
    if (count > INT32_MAX)
        return opencl_refuse(node, "'%s' has more than 2^31 elements", v->name);
    return HE_OK;
}

static he_status check_node(const struct opencl_build *b, const struct he_node *node)
{
    he_status status = HE_OK;

    for (uint32_t k = 0; k < node->input_count && status == HE_OK; k++)
        if (node->inputs[k] != HE_NONE)
            status = check_value(b, node, node->inputs[k]);
    for (uint32_t k = 0; k < node->output_count && status == HE_OK; k++)
        if (node->outputs[k] != HE_NONE)
            status = check_value(b, node, node->outputs[k]);
    return status;
}

/* Nodes behind @begin that can be done to the head's result in registers. */
static uint32_t find_tail_end(const struct opencl_build *b, uint32_t begin)
{
    uint32_t end = begin;

    while (end < b->task->node_count) {
        const struct he_node *node = &b->graph->nodes[b->task->nodes[end]];

        if (!opencl_is_pointwise(node) || !opencl_output(b, node, 0) ||
            !he_shape_equal(&opencl_output(b, node, 0)->shape, b->shape))
            break;
        end++;
    }
    return end;
}

/* Is the segment, all of it pointwise, done by four elements a work-item? */
static bool is_for_fours(const struct opencl_build *b)
{
    const struct opencl_found *found = b->dev->found;

    /* Fewer elements are shared by more work-items rather. */
    if (!opencl_likes_tiles(b->dev) || he_shape_count(b->shape) < (int64_t)found->units * 1024)
        return false;
    for (uint32_t n = b->segment_begin; n < b->segment_end; n++) {
        const struct he_node *node = &b->graph->nodes[b->task->nodes[n]];

        if (he_dtype_bits(opencl_output(b, node, 0)->dtype) > 32)
            return false;
        for (uint32_t k = 0; k < node->input_count; k++)
            if (opencl_input(b, node, k) && he_dtype_bits(opencl_input(b, node, k)->dtype) > 32)
                return false;
    }
    return true;
}

/* Four neighbours a work-item, loaded and stored together where an operand's broadcasting allows. */
static he_status emit_by_fours(struct opencl_build *b, int64_t count)
{
    long long all = (long long)count;

    opencl_begin(b);
    opencl_line(b, "const uint o = (uint)get_global_id(0) * 4u;\nif (o >= %lldu) return;", all);
    if (count % 4) { /* the last ones */
        opencl_line(b, "if (o + 4u > %lldu) {\nfor (uint i = o; i < %lldu; i++) {", all, all);
        opencl_result(b, "i", NULL);
        opencl_line(b, "}\nreturn;\n}");
    }
    b->is_by_fours = true;
    for (uint32_t n = b->segment_begin; n < b->segment_end; n++) {
        const struct he_node *node = &b->graph->nodes[b->task->nodes[n]];
        uint32_t value = node->outputs[0];

        opencl_pointwise_preload(b, node, "o");
        if (is_stored(b, value))
            opencl_line(b, "%s w%u[4];", opencl_type(b, b->graph->values[value].dtype), value);
    }
    opencl_line(b, "#pragma unroll\nfor (uint k = 0; k < 4u; k++) {\nconst uint i = o + k;");
    opencl_result(b, "i", NULL);
    opencl_line(b, "}");
    for (uint32_t n = b->segment_begin; n < b->segment_end; n++) {
        uint32_t value = b->graph->nodes[b->task->nodes[n]].outputs[0];

        if (is_stored(b, value))
            opencl_line(b, "W%d(o, ((%s4)(w%u[0], w%u[1], w%u[2], w%u[3])));", opencl_write(b, value),
                        opencl_type(b, b->graph->values[value].dtype), value, value, value, value);
    }
    b->is_by_fours = false;
    return opencl_end(b, 1, &(size_t){ ((size_t)count + 3) / 4 }, &(size_t){ 256 });
}

static he_status emit_segment(struct opencl_build *b, const struct he_node *head)
{
    const struct opencl_emitter *emitter = NULL;
    he_status status;
    int64_t count;

    if (!opencl_output(b, head, 0) && head->output_count < 2)
        return opencl_refuse(head, "it has no output");
    b->shape = opencl_output(b, head, 0) ? &opencl_output(b, head, 0)->shape : NULL;
    b->segment_end = b->tail_begin = b->segment_begin + 1;
    if (is_view(b, head))
        return emit_view(b, head);
    if (opencl_is_pointwise(head)) {
        b->tail_begin = b->segment_begin;
        b->segment_end = find_tail_end(b, b->segment_begin);
    } else {
        emitter = find_emitter(head, NULL);
        if (!emitter)
            return opencl_refuse(head, "there is no kernel for it (opset %d)", head->opset);
        if (emitter->takes_tail && b->shape)
            b->segment_end = find_tail_end(b, b->tail_begin);
    }
    for (uint32_t n = b->tail_begin; n < b->segment_end; n++) {
        const struct he_node *node = &b->graph->nodes[b->task->nodes[n]];

        status = check_node(b, node);
        if (status == HE_OK)
            status = opencl_pointwise_check(b, node);
        if (status != HE_OK)
            return status;
    }
    if (!opencl_is_pointwise(head))
        return emit_head(b, head, emitter);
    count = he_shape_count(b->shape);
    if (is_for_fours(b))
        return emit_by_fours(b, count);
    opencl_begin_each(b, count);
    opencl_result(b, "o", NULL);
    return opencl_end_each(b, count);
}

he_status opencl_emit_task(struct opencl_build *b)
{
    he_status status = HE_OK;

    b->temp_count = 0;
    b->temp_end = 0;
    for (b->segment_begin = 0; b->segment_begin < b->task->node_count && status == HE_OK;
         b->segment_begin = b->segment_end) {
        const struct he_node *node = &b->graph->nodes[b->task->nodes[b->segment_begin]];

        b->segment_end = b->segment_begin + 1;
        status = check_node(b, node);
        if (status == HE_OK)
            status = emit_segment(b, node);
        if (status == HE_OK)
            status = b->status;
    }
    if (status == HE_OK && b->body.failed)
        status = opencl_no_memory();
    return status;
}
