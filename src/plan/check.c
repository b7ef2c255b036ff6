/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An independent look at a plan, written against what the rules say and not
 * against how plans are made: the schedule obeys the model of the task graph, and
 * regions are convex.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"

#define EPSILON 1e-9

static he_status broken(const char *what, const char *on)
{
    return he_error_set(HE_ERR_INTERNAL, "the plan is not feasible: %s (%s)", what, on);
}

/* Is @at not before @then, up to rounding? */
static bool not_before(double at, double then)
{
    return at >= then - EPSILON - 1e-12 * fabs(then);
}

static he_status check_tasks(const struct he_plan *plan)
{
    const struct he_problem *p = plan->problem;

    for (uint32_t t = 0; t < p->task_count; t++) {
        uint32_t device = plan->placement.device[t];
        double time;

        if (device >= p->device_count)
            return broken("it runs on no device", p->task_ids[t]);
        time = he_problem_time(p, t, device);
        if (!isfinite(time))
            return broken("it cannot run on its device", p->task_ids[t]);
        if (!not_before(plan->schedule.finish[t], plan->schedule.start[t] + time))
            return broken("it ends too early", p->task_ids[t]);
    }
    for (uint32_t e = 0; e < p->edge_count; e++) {
        if (!not_before(plan->schedule.start[p->edges[e].to],
                        plan->schedule.finish[p->edges[e].from]))
            return broken("it starts before its input is made", p->task_ids[p->edges[e].to]);
    }
    for (uint32_t a = 0; p->colocation && a < p->task_count; a++) {
        for (uint32_t b = 0; b < a; b++) {
            if (p->colocation[a] != HE_NO_GROUP && p->colocation[a] == p->colocation[b] &&
                plan->placement.device[a] != plan->placement.device[b])
                return broken("its group is divided", p->task_ids[a]);
        }
    }
    return HE_OK;
}

/* Intervals of one resource, to be shown disjoint. */
struct interval {
    double start, finish;
    uint32_t resource, item;
};

static int by_start(const void *a, const void *b)
{
    const struct interval *x = a, *y = b;

    if (x->resource != y->resource)
        return x->resource < y->resource ? -1 : 1;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    /* Tasks of no time at one moment come before the one that goes on from there. */
    return x->finish < y->finish ? -1 : x->finish > y->finish;
}

static bool are_disjoint(struct interval *list, size_t count, uint32_t *culprit)
{
    qsort(list, count, sizeof *list, by_start);
    for (size_t k = 1; k < count; k++) {
        if (list[k].resource == list[k - 1].resource &&
            !not_before(list[k].start, list[k - 1].finish)) {
            *culprit = list[k].item;
            return false;
        }
    }
    return true;
}

static he_status check_servers(const struct he_plan *plan)
{
    const struct he_problem *p = plan->problem;
    struct interval *list = calloc((size_t)p->task_count + 1, sizeof *list);
    uint32_t culprit = 0;
    bool is_fine;

    if (!list)
        return he_no_memory();
    for (uint32_t t = 0; t < p->task_count; t++)
        list[t] = (struct interval){ plan->schedule.start[t], plan->schedule.finish[t],
                                     p->devices[plan->placement.device[t]].server, t };
    is_fine = are_disjoint(list, p->task_count, &culprit);
    free(list);
    return is_fine ? HE_OK : broken("two tasks run on its device at once", p->task_ids[culprit]);
}

static he_status check_transfers(const struct he_plan *plan)
{
    const struct he_problem *p = plan->problem;
    size_t count = plan->schedule.transfer_count;
    struct interval *list = calloc(count + 1, sizeof *list);
    he_status status = HE_OK;
    uint32_t culprit = 0;

    if (!list)
        return he_no_memory();
    for (size_t k = 0; k < count && status == HE_OK; k++) {
        const struct he_schedule_transfer *transfer = &plan->schedule.transfers[k];
        const struct he_place_edge *edge = &p->edges[transfer->edge];
        double needed = he_problem_transfer(p, transfer->from_device, transfer->to_device,
                                            transfer->bytes);

        list[k] = (struct interval){ transfer->start, transfer->finish,
                                     transfer->from_device * p->device_count + transfer->to_device,
                                     transfer->edge };
        if (!not_before(transfer->start, plan->schedule.finish[edge->from]))
            status = broken("its result is sent before it is made", p->task_ids[edge->from]);
        else if (!not_before(transfer->finish, transfer->start + needed))
            status = broken("its input travels too fast", p->task_ids[edge->to]);
        else if (transfer->to_device == plan->placement.device[edge->to] &&
                 !not_before(plan->schedule.start[edge->to], transfer->finish))
            status = broken("it starts before its input arrives", p->task_ids[edge->to]);
    }
    if (status == HE_OK && p->has_contention && !are_disjoint(list, count, &culprit))
        status = broken("two transfers share a link", p->task_ids[p->edges[culprit].to]);
    free(list);
    return status;
}

/* The bottleneck again, from the placement alone: what every server and link has to do. */
static he_status check_loads(const struct he_plan *plan)
{
    const struct he_problem *p = plan->problem;
    size_t width = p->device_count, k = 0;
    double *busy = calloc(width * (width + 1), sizeof *busy), most = 0.0;
    const uint32_t *at = plan->placement.device;

    if (!busy)
        return he_no_memory();
    for (uint32_t t = 0; t < p->task_count; t++)
        busy[p->devices[at[t]].server] += plan->schedule.finish[t] - plan->schedule.start[t];
    for (size_t i = 0; p->has_contention && i < plan->schedule.transfer_count; i++) {
        const struct he_schedule_transfer *t = &plan->schedule.transfers[i];

        busy[width * (1 + t->from_device) + t->to_device] += t->finish - t->start;
    }
    /* A tensor goes out once and comes in once per device: an edge counts when no edge before
     * it takes the same tensor the same way. */
    for (uint32_t e = 0; p->has_copies && e < p->edge_count; e++) {
        const struct he_place_edge *edge = &p->edges[e];
        uint32_t from = at[edge->from], to = at[edge->to];
        bool goes_out = p->devices[from].memory_node != p->devices[to].memory_node;
        bool comes_in = goes_out;

        for (uint32_t i = p->out_start[edge->from]; i < p->out_start[edge->from + 1]; i++) {
            const struct he_place_edge *other = &p->edges[p->out_edges[i]];

            if (p->out_edges[i] >= e || edge->tensor == 0 || other->tensor != edge->tensor)
                continue;
            goes_out &= p->devices[at[other->to]].memory_node == p->devices[from].memory_node;
            comes_in &= at[other->to] != to;
        }
        busy[p->devices[from].server] += goes_out ? he_problem_copy(p, from, edge->bytes) : 0.0;
        busy[p->devices[to].server] += comes_in ? he_problem_copy(p, to, edge->bytes) : 0.0;
    }
    for (k = 0; k < width * (width + 1); k++)
        most = fmax(most, busy[k]);
    free(busy);
    if (fabs(most - plan->schedule.bottleneck) > EPSILON + 1e-9 * most)
        return broken("its bottleneck is not that of its loads", p->name ? p->name : "");
    return HE_OK;
}

/* Every task in one region, on that region's device; and no edge leads to a region before its
 * own. That order is a proof: a path that leaves a region cannot come back to it, so
 * each is convex and the graph of regions has no cycle. */
static he_status check_regions(const struct he_plan *plan)
{
    const struct he_problem *p = plan->problem;
    uint32_t *region_of = malloc(((size_t)p->task_count + 1) * sizeof *region_of);
    he_status status = region_of ? HE_OK : he_no_memory();

    for (uint32_t t = 0; t < p->task_count && status == HE_OK; t++)
        region_of[t] = HE_NONE;
    for (uint32_t k = 0; k < plan->part_count && status == HE_OK; k++) {
        const struct he_part *part = &plan->parts[k];

        for (uint32_t i = 0; i < part->task_count && status == HE_OK; i++) {
            uint32_t t = part->tasks[i];

            if (region_of[t] != HE_NONE)
                status = broken("it is in two regions", p->task_ids[t]);
            else if (plan->placement.device[t] != part->device)
                status = broken("its region runs elsewhere", p->task_ids[t]);
            region_of[t] = k;
        }
    }
    for (uint32_t t = 0; t < p->task_count && status == HE_OK; t++) {
        if (region_of[t] == HE_NONE)
            status = broken("it is in no region", p->task_ids[t]);
    }
    for (uint32_t e = 0; e < p->edge_count && status == HE_OK; e++) {
        if (region_of[p->edges[e].from] > region_of[p->edges[e].to])
            status = broken("its region runs before its input's", p->task_ids[p->edges[e].to]);
    }
    free(region_of);
    return status;
}

he_status he_plan_check(const struct he_plan *plan)
{
    he_status status = check_tasks(plan);

    if (status == HE_OK)
        status = check_servers(plan);
    if (status == HE_OK)
        status = check_transfers(plan);
    if (status == HE_OK)
        status = check_loads(plan);
    return status == HE_OK ? check_regions(plan) : status;
}
