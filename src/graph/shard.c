/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A graph written anew with some of its tasks cut. Tasks are taken in their order; one that is
 * not cut is copied, one that is cut becomes its nodes once per part, back to front from the
 * part of its result to what that needs of its inputs (shard_rules.c). Who reads which piece of
 * what is shard_values.c.
 */
#include <inttypes.h>
#include <string.h>

#include "graph/shard_write.h"

static he_status copy_node(struct he_shard_writer *w, const struct he_node *node)
{
    uint32_t n, *inputs = he_arena_alloc(&w->scratch, node->input_count, sizeof *inputs);
    he_status status = inputs ? HE_OK : he_no_memory();

    for (uint32_t k = 0; status == HE_OK && k < node->input_count; k++) {
        inputs[k] = HE_NONE;
        if (node->inputs[k] != HE_NONE)
            status = he_shard_get_whole(w, node->inputs[k], &inputs[k]);
    }
    if (status == HE_OK)
        status = he_shard_add_node(w, node, node->input_count, NULL, &n);
    if (status == HE_OK)
        memcpy(w->graph->nodes[n].inputs, inputs, node->input_count * sizeof *inputs);
    for (uint32_t k = 0; status == HE_OK && k < node->output_count; k++) {
        uint32_t value;

        if (!he_node_has_output(node, k))
            continue;
        status = he_shard_copy_value(w, node->outputs[k], &value);
        if (status != HE_OK)
            return status;
        w->whole[node->outputs[k]] = value;
        w->graph->values[value].producer = n;
        w->graph->nodes[n].outputs[k] = value;
    }
    return status;
}

/* What each node of a task computes of a part: filled from the last to the first. */
struct range {
    uint32_t axis;
    int64_t begin, end;
    struct he_shard_need *needs;
    struct he_shard_patch patch;
};

/* False when one of the nodes cannot be cut so; *out is per node of the task. */
static he_status plan_part(const struct he_graph *graph, const struct he_task *task, uint32_t axis,
                           int64_t begin, int64_t end, struct he_arena *arena, struct range **out,
                           bool *is_possible)
{
    struct range *ranges = he_arena_alloc(arena, task->node_count, sizeof *ranges);

    *out = ranges;
    *is_possible = false;
    if (!ranges)
        return he_no_memory();
    for (uint32_t k = task->node_count; k-- > 0;) {
        const struct he_node *node = &graph->nodes[task->nodes[k]];
        uint32_t inner = k ? graph->nodes[task->nodes[k - 1]].outputs[0] : HE_NONE;
        struct he_shard_need seen = { .axis = HE_NONE };

        if (k + 1 == task->node_count)
            ranges[k] = (struct range){ .axis = axis, .begin = begin, .end = end };
        ranges[k].needs = he_arena_alloc(arena, node->input_count, sizeof *ranges[k].needs);
        if (!ranges[k].needs)
            return he_no_memory();
        if (!he_shard_node(graph, node, ranges[k].axis, ranges[k].begin, ranges[k].end,
                           ranges[k].needs, &ranges[k].patch))
            return HE_OK;
        for (uint32_t i = 0; k && i < node->input_count; i++) {
            const struct he_shard_need *need = &ranges[k].needs[i];

            if (node->inputs[i] != inner)
                continue;
            /* What flows inside the task is computed once, so all readings must agree. */
            if (need->axis == HE_NONE ||
                (seen.axis != HE_NONE &&
                 (seen.axis != need->axis || seen.begin != need->begin || seen.end != need->end)))
                return HE_OK;
            seen = *need;
        }
        if (k)
            ranges[k - 1] =
                (struct range){ .axis = seen.axis, .begin = seen.begin, .end = seen.end };
        if (k && seen.axis == HE_NONE)
            return HE_OK;
    }
    *is_possible = true;
    return HE_OK;
}

/* What of each input of the task its nodes read together. */
static void sum_needs(const struct he_graph *graph, const struct he_task *task,
                      const struct range *ranges, struct he_shard_need *needs)
{
    for (uint32_t i = 0; i < task->input_count; i++) {
        bool is_first = true;

        for (uint32_t k = 0; k < task->node_count; k++) {
            const struct he_node *node = &graph->nodes[task->nodes[k]];

            for (uint32_t j = 0; j < node->input_count; j++) {
                const struct he_shard_need *need = &ranges[k].needs[j];

                if (node->inputs[j] != task->inputs[i])
                    continue;
                if (is_first)
                    needs[i] = *need;
                else if (needs[i].axis != need->axis)
                    needs[i].axis = HE_NONE;
                if (need->begin < needs[i].begin)
                    needs[i].begin = need->begin;
                if (need->end > needs[i].end)
                    needs[i].end = need->end;
                is_first = false;
            }
        }
    }
}

he_status he_graph_can_shard(const struct he_graph *graph, uint32_t task, uint32_t axis,
                             int64_t begin, int64_t end, struct he_shard_need *needs, bool *out)
{
    struct range *ranges;
    struct he_arena arena;
    he_status status;

    *out = false;
    if (graph->tasks[task].output_count != 1)
        return HE_OK;
    he_arena_init(&arena, &he_graph_arena(graph)->alloc);
    status = plan_part(graph, &graph->tasks[task], axis, begin, end, &arena, &ranges, out);
    if (status == HE_OK && *out && needs)
        sum_needs(graph, &graph->tasks[task], ranges, needs);
    he_arena_fini(&arena);
    return status;
}

/* The attributes of a part: its own padding and groups. */
static he_status patch_attrs(struct he_shard_writer *w, struct he_node *node,
                             const struct he_shard_patch *patch)
{
    struct he_arena *arena = he_graph_arena(w->graph);
    struct he_attr *attrs;
    uint32_t count = 0;

    if (!patch->has_pads && !patch->group)
        return HE_OK;
    attrs = he_arena_alloc(arena, (size_t)node->attr_count + 2, sizeof *attrs);
    if (!attrs)
        return he_no_memory();
    for (uint32_t k = 0; k < node->attr_count; k++) {
        const char *name = node->attrs[k].name;

        if (!(patch->has_pads && (strcmp(name, "pads") == 0 || strcmp(name, "auto_pad") == 0)) &&
            !(patch->group && strcmp(name, "group") == 0))
            attrs[count++] = node->attrs[k];
    }
    if (patch->has_pads) {
        const int64_t *pads =
            he_arena_copy(arena, patch->pads, patch->pad_count * sizeof *patch->pads);

        if (!pads)
            return he_no_memory();
        attrs[count++] = (struct he_attr){
            .name = "pads", .kind = HE_ATTR_INTS, .count = patch->pad_count, .ints = pads
        };
    }
    if (patch->group)
        attrs[count++] =
            (struct he_attr){ .name = "group", .kind = HE_ATTR_INT, .count = 1, .i = patch->group };
    node->attrs = attrs;
    node->attr_count = count;
    return HE_OK;
}

static he_status note_part(struct he_shard_writer *w, uint32_t node,
                           const struct he_node_part *part)
{
    void *array = (void *)w->node_parts;
    he_status status = HE_OK;

    while (status == HE_OK && node >= w->node_part_capacity) {
        status = he_arena_grow(&w->scratch, &array, &w->node_part_capacity, w->node_part_capacity,
                               sizeof *w->node_parts);
        w->node_parts = array;
    }
    if (status != HE_OK)
        return status;
    w->node_parts[node] = part;
    return HE_OK;
}

/* One node of one part; @inner is what the node before it in the task made, or HE_NONE. */
static he_status write_part_node(struct he_shard_writer *w, const struct he_node *node,
                                 const struct range *range, uint32_t inner, uint32_t inner_new,
                                 const struct he_node_part *part, const char *name, uint32_t *out)
{
    const struct he_value *result = &w->base->values[node->outputs[0]];
    struct he_shape shape = result->shape;
    uint32_t n, count = node->input_count;
    uint32_t *inputs = he_arena_alloc(&w->scratch, count, sizeof *inputs);
    he_status status = inputs ? HE_OK : he_no_memory();

    shape.dims[range->axis] = range->end - range->begin;
    for (uint32_t k = 0; status == HE_OK && k < count; k++) {
        const struct he_shard_need *need = &range->needs[k];

        inputs[k] = HE_NONE;
        if (node->inputs[k] == HE_NONE)
            continue;
        if (node->inputs[k] == inner)
            inputs[k] = inner_new;
        else if (k == 1 && range->patch.has_shape)
            status = he_shard_add_ints(w, shape.dims, shape.rank, &inputs[k]);
        else if (need->axis == HE_NONE)
            status = he_shard_get_whole(w, node->inputs[k], &inputs[k]);
        else
            status = he_shard_get_piece(w, node->inputs[k], need->axis, need->begin, need->end,
                                        &inputs[k]);
    }
    if (status == HE_OK)
        status = he_graph_add_value(w->graph, "", out);
    if (status == HE_OK)
        status = he_shard_add_node(w, node, count, name, &n);
    if (status == HE_OK)
        status = note_part(w, n, part);
    if (status == HE_OK)
        status = patch_attrs(w, &w->graph->nodes[n], &range->patch);
    if (status != HE_OK)
        return status;
    memcpy(w->graph->nodes[n].inputs, inputs, count * sizeof *inputs);
    w->graph->nodes[n].output_count = 1;
    return he_shard_set_output(w, n, *out, &shape);
}

static he_status write_part(struct he_shard_writer *w, const struct he_task *task,
                            const struct he_shard *shard, const char *of, uint32_t k, uint32_t *out)
{
    struct he_arena *arena = he_graph_arena(w->graph);
    struct he_node_part *part = he_arena_alloc(arena, 1, sizeof *part);
    int64_t begin = shard->bounds[k], end = shard->bounds[k + 1];
    const char *name = he_arena_printf(arena, "%s[%" PRId64 ":%" PRId64 "]", of, begin, end);
    uint32_t inner = HE_NONE;
    struct range *ranges;
    bool is_possible;
    he_status status;

    if (!part || !name)
        return he_no_memory();
    *part = (struct he_node_part){ of, w->base, shard->task, shard->axis, begin, end };
    status = plan_part(w->base, task, shard->axis, begin, end, &w->scratch, &ranges, &is_possible);
    if (status == HE_OK && !is_possible)
        status = he_error_set(HE_ERR_INVALID, "%s: cannot be cut along axis %u", name, shard->axis);
    for (uint32_t i = 0; status == HE_OK && i < task->node_count; i++) {
        const struct he_node *node = &w->base->nodes[task->nodes[i]];

        /* All nodes of a part have its name: which of them names the task is fusion's choice. */
        status = write_part_node(w, node, &ranges[i], inner, *out, part, name, out);
        inner = node->outputs[0];
    }
    return status;
}

static he_status write_cut_task(struct he_shard_writer *w, const struct he_shard *shard)
{
    const struct he_task *task = &w->base->tasks[shard->task];
    const struct he_node *last = &w->base->nodes[task->nodes[task->node_count - 1]];
    const char *of = shard->name ? shard->name : w->base->nodes[task->anchor].name;
    struct he_piece **end = &w->parts[last->outputs[0]];
    he_status status = HE_OK;

    if (!of[0])
        of = he_shard_value_name(w, last->outputs[0]);
    of = he_arena_string(he_graph_arena(w->graph), of, strlen(of));
    if (!of)
        return he_no_memory();
    for (uint32_t k = 0; status == HE_OK && k < shard->part_count; k++) {
        uint32_t value = HE_NONE;

        status = write_part(w, task, shard, of, k, &value);
        *end = he_arena_alloc(&w->scratch, 1, sizeof **end);
        if (!*end)
            return he_no_memory();
        **end =
            (struct he_piece){ shard->axis, value, shard->bounds[k], shard->bounds[k + 1], NULL };
        end = &(*end)->next;
    }
    return status;
}

static he_status check_shard(const struct he_graph *base, const struct he_shard *shard)
{
    const struct he_task *task;
    const struct he_value *result;

    if (shard->task >= base->task_count || base->tasks[shard->task].output_count != 1 ||
        shard->part_count < 2)
        return he_error_set(HE_ERR_INVALID, "task %u cannot be cut", shard->task);
    task = &base->tasks[shard->task];
    result = &base->values[task->outputs[0]];
    if (result->shape.rank == HE_RANK_UNKNOWN || shard->axis >= result->shape.rank ||
        shard->bounds[0] != 0 ||
        shard->bounds[shard->part_count] != result->shape.dims[shard->axis])
        return he_error_set(HE_ERR_INVALID, "the parts of task %u are not those of its result",
                            shard->task);
    for (uint32_t k = 0; k < shard->part_count; k++) {
        if (shard->bounds[k] >= shard->bounds[k + 1])
            return he_error_set(HE_ERR_INVALID, "part %u of task %u is empty", k, shard->task);
    }
    return HE_OK;
}

static he_status begin(struct he_shard_writer *w)
{
    const struct he_graph *base = w->base;

    w->whole = he_arena_alloc(&w->scratch, base->value_count, sizeof *w->whole);
    w->parts = he_arena_alloc(&w->scratch, base->value_count, sizeof *w->parts);
    w->slices = he_arena_alloc(&w->scratch, base->value_count, sizeof *w->slices);
    if (!w->whole || !w->parts || !w->slices)
        return he_no_memory();
    memset(w->whole, 0xff, base->value_count * sizeof *w->whole);
    w->graph->symbols = base->symbols;
    w->graph->symbol_count = base->symbol_count;
    for (uint32_t k = 0; k < base->input_count; k++) {
        uint32_t value;
        he_status status = he_shard_copy_value(w, base->inputs[k], &value);

        if (status == HE_OK)
            status = he_graph_add_input(w->graph, value);
        if (status != HE_OK)
            return status;
        w->whole[base->inputs[k]] = value;
    }
    w->graph->capture_count = base->capture_count;
    return HE_OK;
}

static he_status finish(struct he_shard_writer *w)
{
    struct he_graph *graph = w->graph;
    he_status status = HE_OK;

    graph->outputs = he_graph_indices(graph, w->base->output_count);
    if (!graph->outputs)
        return he_no_memory();
    graph->output_count = w->base->output_count;
    for (uint32_t k = 0; k < graph->output_count && status == HE_OK; k++)
        status = he_shard_get_whole(w, w->base->outputs[k], &graph->outputs[k]);
    if (status == HE_OK && graph->node_count)
        status = note_part(w, graph->node_count - 1,
                           graph->node_count <= w->node_part_capacity
                               ? w->node_parts[graph->node_count - 1]
                               : NULL);
    if (status != HE_OK)
        return status;
    he_graph_store(graph)->node_parts =
        he_arena_copy(he_graph_arena(graph), (const void *)w->node_parts,
                      graph->node_count * sizeof *w->node_parts);
    if (!he_graph_store(graph)->node_parts)
        return he_no_memory();
    status = he_graph_make_own_tasks(graph, true);
    return status == HE_OK ? he_graph_check(graph) : status;
}

static he_status write_all(struct he_shard_writer *w, const struct he_shard *shards,
                           size_t shard_count)
{
    he_status status = begin(w);
    size_t next = 0;

    for (uint32_t t = 0; t < w->base->task_count && status == HE_OK; t++) {
        const struct he_task *task = &w->base->tasks[t];

        if (next < shard_count && shards[next].task == t) {
            status = check_shard(w->base, &shards[next]);
            if (status == HE_OK)
                status = write_cut_task(w, &shards[next]);
            next++;
            continue;
        }
        for (uint32_t k = 0; k < task->node_count && status == HE_OK; k++)
            status = copy_node(w, &w->base->nodes[task->nodes[k]]);
    }
    if (status == HE_OK && next < shard_count)
        status = he_error_set(HE_ERR_INVALID, "cuts stand in no order of tasks");
    return status == HE_OK ? finish(w) : status;
}

he_status he_graph_shard(const struct he_graph *base, const struct he_shard *shards,
                         size_t shard_count, const struct he_allocator *alloc,
                         struct he_graph **out)
{
    struct he_shard_writer w = { .base = base };
    he_status status;

    *out = NULL;
    if (!alloc)
        alloc = &he_allocator_default;
    status = he_graph_new(alloc, NULL, base->name, &w.graph);
    if (status != HE_OK)
        return status;
    he_graph_share_base(w.graph, base);
    he_arena_init(&w.scratch, alloc);
    status = write_all(&w, shards, shard_count);
    he_arena_fini(&w.scratch);
    if (status != HE_OK) {
        he_graph_destroy(w.graph);
        return status;
    }
    *out = w.graph;
    return HE_OK;
}

const struct he_node_part *he_graph_node_part(const struct he_graph *graph, uint32_t node)
{
    const struct he_graph_store *store = he_graph_store(graph);

    return store && store->node_parts ? store->node_parts[node] : NULL;
}
