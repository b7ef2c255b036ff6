/* SPDX-License-Identifier: Apache-2.0 */
/*
 * he_place_evaluate(): checks an answer from anywhere, runs the judge over it
 * once, and hands out the schedule; or says in one sentence why it does not fit.
 */
#include <string.h>

#include "judge.h"

/* The largest task on @device: the one a reader can do something about. */
static uint32_t largest_task(const struct he_problem *p, const uint32_t *device, uint32_t j)
{
    uint32_t largest = UINT32_MAX;
    double most = -1.0;

    for (uint32_t t = 0; t < p->task_count; t++) {
        double bytes = p->task_memory[t];

        if (device[t] != j)
            continue;
        for (uint32_t k = p->in_start[t]; k < p->in_start[t + 1]; k++)
            bytes += p->edges[p->in_edges[k]].bytes;
        for (uint32_t k = p->out_start[t]; k < p->out_start[t + 1]; k++)
            bytes += p->edges[p->out_edges[k]].bytes;
        if (bytes > most) {
            most = bytes;
            largest = t;
        }
    }
    return largest;
}

he_status he_shortfall_error(const struct he_problem *p, const struct he_shortfall *s,
                             const uint32_t *device)
{
    const char *id = p->devices[s->device].id;
    uint32_t largest;

    switch (s->kind) {
    case HE_FITS:
        break;
    case HE_LACKS_ABILITY:
        return he_error_set(HE_ERR_BUDGET, "task %s cannot run on device %s",
                            p->task_ids[s->task], id);
    case HE_LACKS_COMPANY:
        return he_error_set(HE_ERR_BUDGET,
                            "task %s is on device %s, apart from the tasks it must stay with",
                            p->task_ids[s->task], id);
    case HE_LACKS_MEMORY:
    case HE_LACKS_SHARED_MEMORY:
        largest = largest_task(p, device, s->device);
        return he_error_set(HE_ERR_BUDGET,
                            "device %s%s needs %.0f bytes and has %.0f: %.0f would do (the "
                            "largest task there is %s)",
                            id, s->kind == HE_LACKS_MEMORY ? "" : " and those that share its memory",
                            s->need, s->limit, s->need,
                            largest == UINT32_MAX ? "elsewhere" : p->task_ids[largest]);
    case HE_LACKS_TOTAL_MEMORY:
        return he_error_set(HE_ERR_BUDGET,
                            "the plan needs %.0f bytes and the budget is memory=%.0f: %.0f would do",
                            s->need, s->limit, s->need);
    case HE_LACKS_POWER:
        return he_error_set(HE_ERR_BUDGET,
                            "the plan needs %g W and the budget is power=%gW: %gW would do", s->need,
                            s->limit, s->need);
    case HE_LACKS_PRICE:
        return he_error_set(HE_ERR_BUDGET,
                            "the plan costs %g/h and the budget is price=%g/h: %g/h would do",
                            s->need, s->limit, s->need);
    case HE_LACKS_SPEED:
        return he_error_set(HE_ERR_BUDGET,
                            "the plan takes %.6g s and the budget is latency=%gs: %.6g s would do",
                            s->need, s->limit, s->need);
    case HE_LACKS_RESOURCE:
        return he_error_set(HE_ERR_BUDGET,
                            "the plan needs %g %s and the budget is %s=%g: %g would do", s->need,
                            p->resources[s->resource].name, p->resources[s->resource].name, s->limit,
                            s->need);
    case HE_LACKS_DEVICE_RESOURCE:
        return he_error_set(HE_ERR_BUDGET, "device %s needs %g %s and has %g: %g would do", id,
                            s->need, p->resources[s->resource].name, s->limit, s->need);
    }
    return he_error_set(HE_ERR_INTERNAL, "the plan fits, but was reported not to");
}

/* Tasks as in the order, every edge once between its ends. */
static he_status check_items(const struct he_problem *p, const struct he_placement *placement,
                             struct he_arena *arena)
{
    bool *is_done = he_arena_alloc(arena, (size_t)p->task_count + p->edge_count, sizeof *is_done);
    uint32_t tasks = 0;

    if (!is_done)
        return he_no_memory();
    for (size_t k = 0; k < (size_t)p->task_count + p->edge_count; k++) {
        uint32_t item = placement->items[k], task, e;
        bool is_fine;

        if (item >= (uint64_t)p->task_count + p->edge_count || is_done[item])
            return he_error_set(HE_ERR_INVALID, "the placement's items are not all tasks and edges");
        is_done[item] = true;
        if (item >= p->task_count) {
            e = item - p->task_count;
            task = p->edges[e].to;
            is_fine = is_done[p->edges[e].from];
        } else {
            task = item;
            is_fine = placement->order[tasks++] == task;
            for (uint32_t i = p->in_start[task]; i < p->in_start[task + 1]; i++)
                is_fine &= is_done[p->task_count + p->in_edges[i]];
        }
        if (!is_fine)
            return he_error_set(HE_ERR_INVALID,
                                "the placement's items are out of order at task %s",
                                p->task_ids[task]);
    }
    return HE_OK;
}

/* Devices in range, the order a permutation, and topological. */
static he_status check_placement(const struct he_problem *p, const struct he_placement *placement,
                                 struct he_arena *arena)
{
    uint32_t *position = he_arena_alloc(arena, p->task_count, sizeof *position);

    if (!position)
        return he_no_memory();
    for (uint32_t t = 0; t < p->task_count; t++)
        position[t] = UINT32_MAX;
    for (uint32_t k = 0; k < p->task_count; k++) {
        uint32_t t = placement->order[k];

        if (t >= p->task_count || position[t] != UINT32_MAX)
            return he_error_set(HE_ERR_INVALID, "the placement's order is not one of all tasks");
        position[t] = k;
        if (placement->device[t] >= p->device_count)
            return he_error_set(HE_ERR_INVALID, "task %s is on device number %u of %u",
                                p->task_ids[t], placement->device[t], p->device_count);
    }
    for (uint32_t e = 0; e < p->edge_count; e++) {
        if (position[p->edges[e].from] > position[p->edges[e].to])
            return he_error_set(HE_ERR_INVALID, "the placement runs task %s before its input %s",
                                p->task_ids[p->edges[e].to], p->task_ids[p->edges[e].from]);
    }
    return placement->items ? check_items(p, placement, arena) : HE_OK;
}

static he_status hand_out(const struct he_judge *judge, struct he_arena *arena,
                          struct he_schedule *out)
{
    const struct he_problem *p = judge->problem;

    out->start = he_arena_copy(arena, judge->start, p->task_count * sizeof *out->start);
    out->finish = he_arena_copy(arena, judge->finish, p->task_count * sizeof *out->finish);
    out->transfers =
        he_arena_copy(arena, judge->transfers, judge->transfer_count * sizeof *out->transfers);
    out->peak_bytes =
        he_arena_copy(arena, judge->peak_bytes, p->device_count * sizeof *out->peak_bytes);
    if (!out->start || !out->finish || !out->transfers || !out->peak_bytes)
        return he_no_memory();
    out->transfer_count = judge->transfer_count;
    out->makespan = judge->figures.makespan;
    out->sum_cost = judge->figures.sum_cost;
    out->bottleneck = judge->figures.bottleneck;
    out->energy = judge->figures.energy;
    return HE_OK;
}

he_status he_place_evaluate(const struct he_problem *p, const struct he_placement *placement,
                            struct he_arena *arena, struct he_schedule *out)
{
    struct he_judge judge = { 0 };
    struct he_arena scratch;
    he_status status;

    if (!p || !placement || !arena || !out)
        return he_error_set(HE_ERR_INVALID, "he_place_evaluate: an argument is missing");
    *out = (struct he_schedule){ 0 };
    he_arena_init(&scratch, &p->arena.alloc);
    status = check_placement(p, placement, &scratch);
    if (status == HE_OK)
        status = he_judge_init(&judge, p);
    if (status == HE_OK) {
        judge.transfers = he_arena_alloc(&scratch, p->edge_count, sizeof *judge.transfers);
        status = judge.transfers ? he_judge_run_items(&judge, placement->device, placement->order,
                                                      placement->items, true)
                                 : he_no_memory();
    }
    if (status == HE_OK && judge.shortfall.kind == HE_FITS)
        status = he_judge_stretch(&judge, placement->device, placement->order, true);
    if (status == HE_OK)
        he_judge_hold_latency(&judge);
    if (status == HE_OK && judge.shortfall.kind != HE_FITS)
        status = he_shortfall_error(p, &judge.shortfall, placement->device);
    if (status == HE_OK)
        status = hand_out(&judge, arena, out);
    he_judge_fini(&judge);
    he_arena_fini(&scratch);
    return status;
}

double he_schedule_value(const struct he_schedule *s, enum he_objective objective)
{
    struct he_figures figures = { s->makespan, s->sum_cost, s->bottleneck, s->energy };

    return he_figures_value(&figures, objective);
}
