/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of cut tasks that fit together. A cut spreads from a task to its neighbours: a maker is
 * cut where the parts of what it makes are read, a reader so that its parts read those parts.
 * Bounds need not match to the row (a window reads over the seam): the seam between two parts
 * is put in the middle of what both of them read.
 */
#include <string.h>

#include "partition/cut.h"

he_status he_cut_set_init(struct he_cut_set *set, const struct he_graph *graph,
                          const struct he_problem *problem, struct he_arena *arena)
{
    *set = (struct he_cut_set){ .graph = graph, .problem = problem, .arena = arena };
    set->shards = he_arena_alloc(arena, graph->task_count, sizeof *set->shards);
    return set->shards ? HE_OK : he_no_memory();
}

he_status he_cut_add(struct he_cut_set *set, uint32_t task, uint32_t axis, const int64_t *bounds,
                     uint32_t part_count, bool *out)
{
    const int64_t *own;

    *out = false;
    if (set->shards[task].part_count || part_count < 2)
        return HE_OK;
    for (uint32_t k = 0; k < part_count; k++) {
        bool is_possible = false;
        he_status status = HE_OK;

        if (bounds[k] < bounds[k + 1])
            status = he_graph_can_shard(set->graph, task, axis, bounds[k], bounds[k + 1], NULL,
                                        &is_possible);
        if (status != HE_OK || !is_possible)
            return status;
    }
    own = he_arena_copy(set->arena, bounds, ((size_t)part_count + 1) * sizeof *bounds);
    if (!own)
        return he_no_memory();
    set->shards[task] = (struct he_shard){ .task = task,
                                           .axis = axis,
                                           .part_count = part_count,
                                           .bounds = own,
                                           .name = set->problem->task_ids[task] };
    set->count++;
    *out = true;
    return HE_OK;
}

struct grower {
    struct he_cut_set *set;
    struct he_arena scratch;
    uint32_t *queue;
    uint32_t queued;
    struct he_shard_need *needs; /* [part * input_count + input] of the task looked at */
    int64_t *bounds;
};

static uint32_t input_index(const struct he_task *task, uint32_t value)
{
    uint32_t k = 0;

    while (k < task->input_count && task->inputs[k] != value)
        k++;
    return k;
}

/* What all parts of a task read, were it cut so; *out says whether it can be. */
static he_status all_needs(struct grower *g, const struct he_shard *shard, bool *out)
{
    uint32_t inputs = g->set->graph->tasks[shard->task].input_count;
    he_status status = HE_OK;

    *out = true;
    for (uint32_t k = 0; k < shard->part_count && *out && status == HE_OK; k++)
        status = he_graph_can_shard(g->set->graph, shard->task, shard->axis, shard->bounds[k],
                                    shard->bounds[k + 1], g->needs + (size_t)k * inputs, out);
    return status;
}

/* The seams in one input, as bounds; false when some part reads all of it or along another axis. */
static bool seams(const struct grower *g, const struct he_shard *shard, uint32_t input,
                  uint32_t *axis, int64_t *bounds, int64_t *overlap)
{
    const struct he_task *task = &g->set->graph->tasks[shard->task];
    const struct he_shape *shape = &g->set->graph->values[task->inputs[input]].shape;

    *axis = g->needs[input].axis;
    *overlap = 0;
    if (*axis == HE_NONE)
        return false;
    bounds[0] = 0;
    bounds[shard->part_count] = shape->dims[*axis];
    for (uint32_t k = 1; k < shard->part_count; k++) {
        const struct he_shard_need *before = &g->needs[(size_t)(k - 1) * task->input_count + input];
        const struct he_shard_need *after = &g->needs[(size_t)k * task->input_count + input];

        if (after->axis != *axis)
            return false;
        bounds[k] = (before->end + after->begin) / 2;
        if (before->end - after->begin > *overlap)
            *overlap = before->end - after->begin;
    }
    return true;
}

/* Cuts a neighbour and goes on from there. */
static he_status join(struct grower *g, uint32_t task, uint32_t axis, uint32_t parts, bool *out)
{
    he_status status = he_cut_add(g->set, task, axis, g->bounds, parts, out);

    if (status == HE_OK && *out)
        g->queue[g->queued++] = task;
    return status;
}

static he_status grow_to_makers(struct grower *g, const struct he_shard *shard)
{
    const struct he_graph *graph = g->set->graph;
    const struct he_task *task = &graph->tasks[shard->task];
    int64_t overlap;
    uint32_t axis;
    bool is_possible;
    he_status status = all_needs(g, shard, &is_possible);

    for (uint32_t k = 0; k < task->input_count && is_possible && status == HE_OK; k++) {
        uint32_t maker = graph->values[task->inputs[k]].producer;
        bool is_cut;

        if (maker != HE_NONE && seams(g, shard, k, &axis, g->bounds, &overlap))
            status = join(g, graph->nodes[maker].task, axis, shard->part_count, &is_cut);
    }
    return status;
}

/* Whether parts of @reader at those bounds read @value in just about the parts of @shard. */
static he_status matches(struct grower *g, const struct he_shard *reader, uint32_t value,
                         const struct he_shard *shard, int64_t *bounds, bool *out)
{
    uint32_t input = input_index(&g->set->graph->tasks[reader->task], value), axis;
    int64_t overlap;
    he_status status = all_needs(g, reader, out);

    if (status != HE_OK || !*out)
        return status;
    *out = seams(g, reader, input, &axis, bounds, &overlap) && axis == shard->axis;
    for (uint32_t k = 1; k < shard->part_count && *out; k++) {
        int64_t away = bounds[k] - shard->bounds[k];

        *out = away <= overlap && -away <= overlap;
    }
    return HE_OK;
}

static he_status grow_to_reader(struct grower *g, const struct he_shard *shard, uint32_t value,
                                uint32_t reader)
{
    const struct he_graph *graph = g->set->graph;
    const struct he_task *task = &graph->tasks[reader];
    int64_t size = graph->values[value].shape.dims[shard->axis];
    int64_t *own = g->bounds, *seen = g->bounds + shard->part_count + 1;
    const struct he_shape *shape;
    bool is_cut = false;
    he_status status = HE_OK;

    if (g->set->shards[reader].part_count || task->output_count != 1)
        return HE_OK;
    shape = &graph->values[task->outputs[0]].shape;
    if (!he_shape_is_static(shape))
        return HE_OK;
    for (uint32_t axis = 0; axis < shape->rank && !is_cut && status == HE_OK; axis++) {
        struct he_shard cut = {
            .task = reader, .axis = axis, .part_count = shard->part_count, .bounds = own
        };
        bool is_match;

        if (shape->dims[axis] < shard->part_count)
            continue;
        for (uint32_t k = 0; k <= shard->part_count; k++)
            own[k] = (int64_t)((double)shape->dims[axis] * (double)shard->bounds[k] / (double)size +
                               0.5);
        status = matches(g, &cut, value, shard, seen, &is_match);
        if (status == HE_OK && is_match)
            status = join(g, reader, axis, shard->part_count, &is_cut);
    }
    return status;
}

static he_status spread(struct grower *g, uint32_t from)
{
    const struct he_problem *p = g->set->problem;
    const struct he_graph *graph = g->set->graph;
    uint32_t parts = g->set->shards[from].part_count, widest = 1;
    he_status status = HE_OK;

    for (uint32_t t = 0; t < graph->task_count; t++) {
        if (graph->tasks[t].input_count > widest)
            widest = graph->tasks[t].input_count;
    }
    g->queue = he_arena_alloc(&g->scratch, graph->task_count, sizeof *g->queue);
    g->needs = he_arena_alloc(&g->scratch, (size_t)widest * parts, sizeof *g->needs);
    g->bounds = he_arena_alloc(&g->scratch, 2 * ((size_t)parts + 1), sizeof *g->bounds);
    if (!g->queue || !g->needs || !g->bounds)
        return he_no_memory();
    g->queue[g->queued++] = from;
    for (uint32_t next = 0; next < g->queued && status == HE_OK; next++) {
        uint32_t t = g->queue[next];
        const struct he_shard shard = g->set->shards[t];

        status = grow_to_makers(g, &shard);
        for (uint32_t k = p->out_start[t]; k < p->out_start[t + 1] && status == HE_OK; k++)
            status =
                grow_to_reader(g, &shard, graph->tasks[t].outputs[0], p->edges[p->out_edges[k]].to);
    }
    return status;
}

he_status he_cut_grow(struct he_cut_set *set, uint32_t task)
{
    struct grower g = { .set = set };
    he_status status;

    he_arena_init(&g.scratch, &set->arena->alloc);
    status = spread(&g, task);
    he_arena_fini(&g.scratch);
    return status;
}

he_status he_cut_list(const struct he_cut_set *set, struct he_arena *arena, struct he_shard **out,
                      size_t *out_count)
{
    *out_count = 0;
    *out = he_arena_alloc(arena, set->count, sizeof **out);
    if (!*out)
        return he_no_memory();
    for (uint32_t t = 0; t < set->graph->task_count; t++) {
        if (set->shards[t].part_count)
            (*out)[(*out_count)++] = set->shards[t];
    }
    return HE_OK;
}
