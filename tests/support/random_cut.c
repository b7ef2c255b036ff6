/* SPDX-License-Identifier: Apache-2.0 */
#include "random_cut.h"

#include <stdlib.h>

uint32_t random_cut_pick(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)*state * below) >> 32);
}

bool random_cut_make(const struct he_graph *graph, uint32_t task, uint32_t axis, uint32_t *state,
                     struct random_cut *out)
{
    const struct he_shape *shape = &graph->values[graph->tasks[task].outputs[0]].shape;
    uint32_t parts = 2 + random_cut_pick(state, RANDOM_CUT_PARTS - 1);
    int64_t size;

    if (!he_shape_is_static(shape) || axis >= shape->rank || shape->dims[axis] < 2)
        return false;
    size = shape->dims[axis];
    if (parts > size)
        parts = (uint32_t)size;
    out->shard =
        (struct he_shard){ .task = task, .axis = axis, .part_count = parts, .bounds = out->bounds };
    out->bounds[0] = 0;
    out->bounds[parts] = size;
    for (uint32_t k = 1; k < parts; k++) /* leaves one row for each that follows */
        out->bounds[k] =
            out->bounds[k - 1] + 1 +
            random_cut_pick(state, (uint32_t)(size - out->bounds[k - 1] - (parts - k)));
    for (uint32_t k = 0; k < parts; k++) {
        bool is_possible;

        if (he_graph_can_shard(graph, task, axis, out->bounds[k], out->bounds[k + 1], NULL,
                               &is_possible) != HE_OK ||
            !is_possible)
            return false;
    }
    return true;
}

he_status random_cut_graph(const struct he_graph *graph, uint32_t percent, uint32_t *state,
                           struct he_graph **out, size_t *cut_count)
{
    struct random_cut *cuts = calloc(graph->task_count + 1u, sizeof *cuts);
    struct he_shard *shards = calloc(graph->task_count + 1u, sizeof *shards);
    size_t count = 0;
    he_status status = cuts && shards ? HE_OK : HE_ERR_NO_MEMORY;

    for (uint32_t t = 0; status == HE_OK && t < graph->task_count; t++) {
        if (graph->tasks[t].output_count != 1 || random_cut_pick(state, 100) >= percent)
            continue;
        /* Some axes are 1, some cannot be cut: a few tries. */
        for (int attempt = 0; attempt < 4; attempt++) {
            if (random_cut_make(graph, t, random_cut_pick(state, 4), state, &cuts[count])) {
                shards[count] = cuts[count].shard;
                count++;
                break;
            }
        }
    }
    *cut_count = count;
    if (status == HE_OK)
        status = he_graph_shard(graph, shards, count, NULL, out);
    if (status == HE_OK)
        status = he_graph_fill_shards(*out);
    free(cuts);
    free(shards);
    return status;
}
