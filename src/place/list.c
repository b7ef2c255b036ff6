/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Insertion-based list scheduling. For every candidate device the arrivals of a
 * task's inputs are estimated on the links as they are booked so far; only the
 * winner's transfers are booked. O(edges * devices) and a binary search each.
 */
#include "list.h"
#include "rank.h"
#include "timeline.h"

struct scheduler {
    const struct he_units *units;
    const struct he_problem *problem;
    struct he_arena arena; /* everything but the timelines */
    struct he_load load;
    struct he_timeline *servers, *links;
    double *start, *finish;
    /* End of what this candidate has pencilled in on the link from each device. */
    double *pencilled;
    uint32_t *device; /* by unit, UINT32_MAX while open */
};

static double duration_on(const struct scheduler *s, uint32_t task, uint32_t j)
{
    const struct he_problem *p = s->problem;
    double duration = he_problem_time(p, task, j);
    bool starts_region = p->in_start[task] == p->in_start[task + 1];

    if (!p->launch)
        return duration;
    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++)
        starts_region |= s->device[s->units->of[p->edges[p->in_edges[k]].from]] != j;
    return starts_region ? duration + p->launch[j] : duration;
}

/* When every input of @task can be on @j; books the transfers when @is_final. */
static he_status arrivals(struct scheduler *s, uint32_t task, uint32_t j, bool is_final,
                          double *ready)
{
    const struct he_problem *p = s->problem;
    uint32_t first = p->in_start[task], last = p->in_start[task + 1];

    *ready = 0.0;
    for (uint32_t k = first; k < last; k++)
        s->pencilled[s->device[s->units->of[p->edges[p->in_edges[k]].from]]] = 0.0;
    for (uint32_t k = first; k < last; k++) {
        const struct he_place_edge *e = &p->edges[p->in_edges[k]];
        uint32_t from = s->device[s->units->of[e->from]];
        double arrival = s->finish[e->from];
        double transfer = he_problem_transfer(p, from, j, e->bytes);

        if (transfer > 0.0 && p->has_contention) {
            struct he_timeline *link = &s->links[(size_t)from * p->device_count + j];

            if (s->pencilled[from] > arrival)
                arrival = s->pencilled[from];
            arrival = he_timeline_find(link, arrival, transfer);
            if (is_final) {
                if (he_timeline_reserve(link, &p->arena.alloc) != HE_OK)
                    return HE_ERR_NO_MEMORY;
                he_timeline_take(link, arrival, transfer);
            }
            s->pencilled[from] = arrival + transfer;
        }
        arrival += transfer;
        if (arrival > *ready)
            *ready = arrival;
    }
    return HE_OK;
}

static he_status place_task(struct scheduler *s, const struct he_list_rule *rule, uint32_t task)
{
    const struct he_problem *p = s->problem;
    uint32_t unit = s->units->of[task], best = s->device[unit];
    double least = INFINITY, ready, duration, begin;
    struct he_timeline *server;

    for (uint32_t j = 0; s->device[unit] == UINT32_MAX && j < p->device_count; j++) {
        double value;

        if (!he_load_has_room(&s->load, unit, j))
            continue;
        if (arrivals(s, task, j, false, &ready) != HE_OK)
            return HE_ERR_NO_MEMORY;
        duration = duration_on(s, task, j);
        value = he_timeline_find(&s->servers[p->devices[j].server], ready, duration) + duration;
        if (rule->optimistic)
            value += rule->foresight * rule->optimistic[(size_t)task * p->device_count + j];
        if (value < least) {
            least = value;
            best = j;
        }
    }
    if (best == UINT32_MAX)
        return he_error_set(HE_ERR_BUDGET, "task %s finds no device with room for its %.0f bytes",
                            p->task_ids[task], s->units->memory[unit]);
    if (s->device[unit] == UINT32_MAX) {
        s->device[unit] = best;
        he_load_add(&s->load, unit, best);
    }
    if (arrivals(s, task, best, true, &ready) != HE_OK)
        return HE_ERR_NO_MEMORY;
    duration = duration_on(s, task, best);
    server = &s->servers[p->devices[best].server];
    if (he_timeline_reserve(server, &p->arena.alloc) != HE_OK)
        return HE_ERR_NO_MEMORY;
    begin = he_timeline_find(server, ready, duration);
    he_timeline_take(server, begin, duration);
    s->start[task] = begin;
    s->finish[task] = begin + duration;
    return HE_OK;
}

static void free_timelines(struct scheduler *s)
{
    const struct he_problem *p = s->problem;
    size_t d = p->device_count;

    for (size_t k = 0; s->servers && k < d; k++)
        he_free(&p->arena.alloc, s->servers[k].busy);
    for (size_t k = 0; s->links && k < d * d; k++)
        he_free(&p->arena.alloc, s->links[k].busy);
}

he_status he_list_schedule(const struct he_units *units, const struct he_list_rule *rule,
                           uint32_t *device, uint32_t *order)
{
    const struct he_problem *p = units->problem;
    struct scheduler s = { .units = units, .problem = p, .device = device };
    size_t d = p->device_count;
    uint32_t *sequence;
    he_status status;

    he_arena_init(&s.arena, &p->arena.alloc);
    s.servers = he_arena_alloc(&s.arena, d, sizeof *s.servers);
    s.links = he_arena_alloc(&s.arena, d, d * sizeof *s.links);
    s.start = he_arena_alloc(&s.arena, p->task_count, sizeof *s.start);
    s.finish = he_arena_alloc(&s.arena, p->task_count, sizeof *s.finish);
    s.pencilled = he_arena_alloc(&s.arena, d, sizeof *s.pencilled);
    sequence = he_arena_alloc(&s.arena, p->task_count, sizeof *sequence);
    status = s.servers && s.links && s.start && s.finish && s.pencilled && sequence
                 ? he_load_init(&s.load, units, &s.arena)
                 : he_no_memory();
    for (uint32_t u = 0; u < units->count; u++)
        device[u] = UINT32_MAX;
    if (status == HE_OK)
        status = he_order_by_priority(p, rule->priority, sequence);
    for (uint32_t k = 0; status == HE_OK && k < p->task_count; k++)
        status = place_task(&s, rule, sequence[k]);
    if (status == HE_OK)
        status = he_order_by_start(p, s.start, order);
    free_timelines(&s);
    he_arena_fini(&s.arena);
    return status;
}
