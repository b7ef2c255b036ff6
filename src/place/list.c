/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Insertion-based list scheduling. For every candidate device the arrivals of a
 * task's inputs are estimated on the links as they are booked so far; only the
 * winner's transfers are booked. What a candidate could be worth at best, with every
 * link free, is told for all devices by plain loops over tables first, and links and gaps are
 * looked up only for those that could still win: a few of 64.
 */
#include "list.h"
#include "rank.h"
#include "timeline.h"
#include "wires.h"

struct scheduler {
    const struct he_units *units;
    const struct he_problem *problem;
    struct he_arena arena; /* everything but the timelines */
    struct he_load load;
    struct he_timeline *servers, *links;
    double *start, *finish;
    struct he_wires wires;
    double *ready;     /* by device: when the inputs of this task could be there at best */
    struct input {     /* of the task at hand */
        uint32_t device;
        double finish, bytes;
    } *inputs;
    size_t input_count, input_capacity;
    /* End of what this candidate has pencilled in on the link from each device. */
    double *pencilled;
    uint32_t *device; /* by unit, UINT32_MAX while open */
};

static double duration_on(const struct scheduler *s, uint32_t task, uint32_t j)
{
    const struct he_problem *p = s->problem;
    double duration = he_problem_time(p, task, j);
    bool starts_region = s->input_count == 0;

    if (!p->launch)
        return duration;
    for (size_t k = 0; k < s->input_count; k++)
        starts_region |= s->inputs[k].device != j;
    return starts_region ? duration + p->launch[j] : duration;
}

static he_status collect_inputs(struct scheduler *s, uint32_t task)
{
    const struct he_problem *p = s->problem;
    uint32_t first = p->in_start[task], count = p->in_start[task + 1] - first;
    he_status status = he_alloc_grow(&p->arena.alloc, (void **)&s->inputs, &s->input_capacity, 0,
                                     count, sizeof *s->inputs);

    if (status != HE_OK)
        return status;
    s->input_count = count;
    for (uint32_t k = 0; k < count; k++) {
        const struct he_place_edge *e = &p->edges[p->in_edges[first + k]];

        s->inputs[k] = (struct input){ s->device[s->units->of[e->from]], s->finish[e->from],
                                       e->bytes };
    }
    return HE_OK;
}

/* When every input can be on @j; books the transfers when @is_final. */
static he_status arrivals(struct scheduler *s, uint32_t j, bool is_final, double *ready)
{
    const struct he_problem *p = s->problem;

    *ready = 0.0;
    for (size_t k = 0; k < s->input_count; k++)
        s->pencilled[s->inputs[k].device] = 0.0;
    for (size_t k = 0; k < s->input_count; k++) {
        uint32_t from = s->inputs[k].device;
        double arrival = s->inputs[k].finish;
        double transfer = he_wires_seconds(&s->wires, from, j, s->inputs[k].bytes);

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

/* s->ready: the arrivals on every device were its links free. */
static void best_arrivals(struct scheduler *s)
{
    uint32_t d = s->problem->device_count;

    for (uint32_t j = 0; j < d; j++)
        s->ready[j] = 0.0;
    for (size_t k = 0; k < s->input_count; k++) {
        const struct input *in = &s->inputs[k];
        const double *latency = s->wires.latency + (size_t)in->device * d;
        const double *bandwidth = s->wires.bandwidth + (size_t)in->device * d;

        for (uint32_t j = 0; j < d; j++) {
            double arrival = in->finish + (latency[j] + in->bytes / bandwidth[j]);

            s->ready[j] = arrival > s->ready[j] ? arrival : s->ready[j];
        }
    }
}

/* What @j is worth to @task: its finish there and the foresight. */
static he_status judge_device(struct scheduler *s, const struct he_list_rule *rule, uint32_t task,
                              uint32_t j, double *value)
{
    double ready, duration = duration_on(s, task, j);

    if (arrivals(s, j, false, &ready) != HE_OK)
        return HE_ERR_NO_MEMORY;
    *value = he_timeline_find(&s->servers[s->problem->devices[j].server], ready, duration) +
             duration;
    if (rule->optimistic)
        *value += rule->foresight * rule->optimistic[(size_t)task * s->problem->device_count + j];
    return HE_OK;
}

/* The least value wins, the lower number among equals. */
static he_status choose_device(struct scheduler *s, const struct he_list_rule *rule, uint32_t task,
                               uint32_t *best)
{
    const struct he_problem *p = s->problem;
    const double *time = p->time + (size_t)task * p->device_count;
    uint32_t unit = s->units->of[task], first = UINT32_MAX;
    double least = INFINITY, promise = INFINITY, value;

    best_arrivals(s);
    for (uint32_t j = 0; j < p->device_count; j++) {
        const struct he_timeline *server = &s->servers[p->devices[j].server];

        /* A server that is busy from the start on has no gap before the end of that. */
        if (server->count && server->busy[0].begin <= 0.0 && server->busy[0].end > s->ready[j])
            s->ready[j] = server->busy[0].end;
        s->ready[j] += time[j];
        if (rule->optimistic)
            s->ready[j] += rule->foresight * rule->optimistic[(size_t)task * p->device_count + j];
        if (s->ready[j] < promise && he_load_has_room(&s->load, unit, j)) {
            promise = s->ready[j];
            first = j;
        }
    }
    if (first == UINT32_MAX)
        return HE_OK;
    *best = first;
    if (judge_device(s, rule, task, first, &least) != HE_OK)
        return HE_ERR_NO_MEMORY;
    /* Sums in another order may differ in their last bits. */
    for (uint32_t j = 0; j < p->device_count; j++) {
        if (j == first || s->ready[j] * (1.0 - 1e-12) > least ||
            !he_load_has_room(&s->load, unit, j))
            continue;
        if (judge_device(s, rule, task, j, &value) != HE_OK)
            return HE_ERR_NO_MEMORY;
        if (value < least || (value == least && j < *best)) {
            least = value;
            *best = j;
        }
    }
    return HE_OK;
}

static he_status place_task(struct scheduler *s, const struct he_list_rule *rule, uint32_t task)
{
    const struct he_problem *p = s->problem;
    uint32_t unit = s->units->of[task], best = s->device[unit];
    double ready, duration, begin;
    struct he_timeline *server;
    he_status status = collect_inputs(s, task);

    if (status == HE_OK && best == UINT32_MAX)
        status = choose_device(s, rule, task, &best);
    if (status != HE_OK)
        return status;
    if (best == UINT32_MAX)
        return he_error_set(HE_ERR_BUDGET, "task %s finds no device with room for its %.0f bytes",
                            p->task_ids[task], s->units->memory[unit]);
    if (s->device[unit] == UINT32_MAX) {
        s->device[unit] = best;
        he_load_add(&s->load, unit, best);
    }
    if (arrivals(s, best, true, &ready) != HE_OK)
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
    he_free(&p->arena.alloc, s->inputs);
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
    s.ready = he_arena_alloc(&s.arena, d, sizeof *s.ready);
    s.pencilled = he_arena_alloc(&s.arena, d, sizeof *s.pencilled);
    sequence = he_arena_alloc(&s.arena, p->task_count, sizeof *sequence);
    status = s.servers && s.links && s.start && s.finish && s.ready && s.pencilled && sequence &&
                     he_wires_init(&s.wires, p, &s.arena)
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
