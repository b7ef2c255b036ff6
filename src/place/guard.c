/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Never worse than one device alone: the single-device plans are candidates of
 * every placement. What a device that can run and hold everything is worth is a sum, so only
 * the best of those is judged. A device that cannot gets what it can, the rest goes where it
 * is fastest; that is tried for every device on small problems, and for as many as there is
 * work for on large ones.
 */
#include <stdlib.h>
#include <string.h>

#include "policies.h"
#include "units.h"

/* Cells of time that preferences are written for, about. */
#define PARTIAL_WORK 2e7
/* Larger problems than this have none of them tried when there is an answer already. */
#define PARTIAL_CELLS 1e6

struct candidate {
    uint32_t device;
    uint32_t cannot; /* tasks that it cannot run */
    double value;    /* of all that it can run there */
    uint64_t hash;   /* of its times */
};

struct guard {
    struct he_contest *contest;
    const struct he_problem *problem;
    struct he_units units;
    struct candidate *candidates;
    double *preference;
    uint32_t *device;
};

/* What a region costs that waits for no other device. */
static double start_of(const struct he_problem *p, uint32_t j)
{
    return p->launch ? p->launch[j] - (p->waking ? p->waking[j] : 0.0) : 0.0;
}

/* One pass over the times, row by row: 64 columns of 10^5 rows would miss the cache each time. */
static void survey(struct guard *g)
{
    const struct he_problem *p = g->problem;
    double idle_watts = 0.0;

    for (uint32_t j = 0; j < p->device_count; j++) {
        g->candidates[j] = (struct candidate){ .device = j };
        idle_watts += p->devices[j].idle_watts;
    }
    for (uint32_t t = 0; t < p->task_count; t++) {
        bool is_root = p->in_start[t] == p->in_start[t + 1];

        for (uint32_t j = 0; j < p->device_count; j++) {
            struct candidate *c = &g->candidates[j];
            double time = he_problem_time(p, t, j);
            uint64_t bits;

            memcpy(&bits, &time, sizeof bits);
            c->hash = (c->hash ^ bits) * 0x9e3779b97f4a7c15u;
            c->hash ^= c->hash >> 29;
            if (isinf(time))
                c->cannot++;
            else
                c->value += is_root ? time + start_of(p, j) : time;
        }
    }
    for (uint32_t j = 0; g->contest->objective == HE_OBJECTIVE_ENERGY && j < p->device_count; j++)
        g->candidates[j].value *=
            idle_watts + p->devices[j].busy_watts - p->devices[j].idle_watts;
}

static int compare_candidates(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;

    if (a->cannot != b->cannot)
        return a->cannot < b->cannot ? -1 : 1;
    if (a->value != b->value)
        return a->value < b->value ? -1 : 1;
    return a->device < b->device ? -1 : a->device > b->device;
}

/* True when all tasks on @b are worth the same as all tasks on @a: many machines have 64 equal
 * devices, and one of them is enough to judge. */
static bool are_twins(const struct he_problem *p, const struct candidate *a,
                      const struct candidate *b)
{
    const struct he_place_device *x = &p->devices[a->device], *y = &p->devices[b->device];

    if (a->hash != b->hash || a->cannot > 0 || b->cannot > 0 || p->resource_count > 0 ||
        x->memory_bytes != y->memory_bytes ||
        p->weight_limit[a->device] != p->weight_limit[b->device] ||
        x->busy_watts != y->busy_watts || x->idle_watts != y->idle_watts ||
        x->price_per_hour != y->price_per_hour ||
        (p->launch && p->launch[a->device] != p->launch[b->device]) ||
        (p->waking && p->waking[a->device] != p->waking[b->device]))
        return false;
    for (uint32_t t = 0; t < p->task_count; t++) {
        if (he_problem_time(p, t, a->device) != he_problem_time(p, t, b->device))
            return false;
    }
    return true;
}

/* All on one device, if it can run and hold that. */
static he_status enter_whole(struct guard *g, const struct candidate *c, bool *has_entered)
{
    const struct he_problem *p = g->problem;
    struct he_placement answer = { .device = g->device, .policy = "single" };
    struct he_arena scratch;
    double memory = 0.0, before = g->contest->value;
    he_status status;

    *has_entered = false;
    for (uint32_t t = 0; t < p->task_count; t++)
        memory += p->task_memory[t];
    if (c->cannot > 0 || !he_fits(memory, p->weight_limit[c->device]))
        return HE_OK;
    he_arena_init(&scratch, &p->arena.alloc);
    answer.order = he_arena_alloc(&scratch, p->task_count, sizeof *answer.order);
    for (uint32_t t = 0; answer.order && t < p->task_count; t++) {
        answer.device[t] = c->device;
        answer.order[t] = t;
    }
    g->contest->shortfall = (struct he_shortfall){ 0 };
    status = answer.order ? HE_OK : he_no_memory();
    /* Nothing moves: orders differ in the tensors that are alive at once only. */
    if (status == HE_OK && p->ignores_tensors)
        status = he_contest_enter(g->contest, answer.device, answer.order, answer.policy, NULL);
    else if (status == HE_OK)
        status = he_contest_enter_orders(g->contest, &answer);
    *has_entered = g->contest->shortfall.kind == HE_FITS || g->contest->value < before;
    he_arena_fini(&scratch);
    return status;
}

/* As much as possible on @j. */
static he_status enter_partial(struct guard *g, uint32_t j, double others)
{
    const struct he_problem *p = g->problem;
    struct he_placement answer = { 0 };
    struct he_arena scratch;
    he_status status;

    for (uint32_t u = 0; u < g->units.count; u++) {
        for (uint32_t k = 0; k < p->device_count; k++)
            g->preference[(size_t)u * p->device_count + k] =
                k == j ? 0.0 : others + he_unit_time(&g->units, u, k);
    }
    he_arena_init(&scratch, &p->arena.alloc);
    status = he_units_fit(&g->units, g->preference, &scratch, g->device);
    if (status == HE_OK)
        status = he_units_answer(&g->units, g->device, NULL, "single", &scratch, &answer);
    if (status == HE_OK)
        status = he_contest_enter_orders(g->contest, &answer);
    he_arena_fini(&scratch);
    return status == HE_ERR_BUDGET ? HE_OK : status; /* then it is no candidate */
}

static he_status enter_all(struct guard *g, struct he_arena *arena)
{
    const struct he_problem *p = g->problem;
    double cells = (double)p->task_count * p->device_count, work = 0.0, others = 1.0;
    bool has_entered = false;
    uint32_t first_partial = 0;
    he_status status = HE_OK;

    survey(g);
    if (p->device_count > 1)
        qsort(g->candidates, p->device_count, sizeof *g->candidates, compare_candidates);
    for (; status == HE_OK && !has_entered && first_partial < p->device_count; first_partial++) {
        if (g->candidates[first_partial].cannot > 0)
            break;
        status = enter_whole(g, &g->candidates[first_partial], &has_entered);
    }
    if (has_entered) /* a device that holds less of the same tasks is slower, or has no room */
        while (first_partial < p->device_count && g->candidates[first_partial].cannot == 0)
            first_partial++;
    else
        first_partial = 0;
    if (status != HE_OK || first_partial == p->device_count)
        return status;
    g->preference = he_arena_alloc(arena, p->task_count, p->device_count * sizeof *g->preference);
    if (!g->preference)
        return he_no_memory();
    for (size_t k = 0; k < (size_t)g->units.count * p->device_count; k++) {
        if (!isinf(g->units.time[k]) && g->units.time[k] > others)
            others = g->units.time[k];
    }
    for (uint32_t k = first_partial; status == HE_OK && k < p->device_count; k++) {
        bool has_twin = false;

        if (g->contest->has_best && (work > PARTIAL_WORK || cells > PARTIAL_CELLS))
            break;
        for (uint32_t i = first_partial; i < k && !has_twin; i++)
            has_twin = are_twins(p, &g->candidates[i], &g->candidates[k]);
        if (has_twin)
            continue;
        status = enter_partial(g, g->candidates[k].device, others);
        work += cells;
    }
    return status;
}

he_status he_guard(struct he_contest *contest)
{
    const struct he_problem *p = contest->problem;
    struct guard g = { .contest = contest, .problem = p };
    struct he_arena scratch;
    he_status status;

    he_arena_init(&scratch, &p->arena.alloc);
    g.candidates = he_arena_alloc(&scratch, p->device_count, sizeof *g.candidates);
    g.device = he_arena_alloc(&scratch, p->task_count, sizeof *g.device);
    status = g.candidates && g.device ? he_units_init(&g.units, p, &scratch) : he_no_memory();
    if (status == HE_OK)
        status = enter_all(&g, &scratch);
    he_arena_fini(&scratch);
    return status;
}

static bool is_used(const struct he_problem *p, const uint32_t *device, uint32_t j)
{
    for (uint32_t t = 0; t < p->task_count; t++) {
        if (device[t] == j)
            return true;
    }
    return false;
}

static uint32_t count_used(const struct he_problem *p, const uint32_t *device)
{
    uint32_t count = 0;

    for (uint32_t j = 0; j < p->device_count; j++)
        count += is_used(p, device, j);
    return count;
}

static double caution_of(const struct he_problem *p, const uint32_t *device)
{
    for (uint32_t a = 0; a < p->device_count; a++) {
        for (uint32_t b = 0; b < a; b++) {
            if (p->devices[a].memory_node == p->devices[b].memory_node &&
                p->devices[a].server != p->devices[b].server && is_used(p, device, a) &&
                is_used(p, device, b))
                return p->company->caution_side_by_side;
        }
    }
    return p->company->caution;
}

he_status he_guard_caution(struct he_contest *c)
{
    const struct he_problem *p = c->problem;
    struct he_contest alone = { 0 };
    struct he_arena scratch;
    he_status status;

    if (!p->company || p->company->caution <= 0.0 || !c->has_best ||
        (c->objective != HE_OBJECTIVE_LATENCY && c->objective != HE_OBJECTIVE_THROUGHPUT) ||
        count_used(p, c->device) < 2)
        return HE_OK;
    he_arena_init(&scratch, &p->arena.alloc);
    status = he_contest_init(&alone, p, c->objective, &scratch);
    if (status == HE_OK)
        status = he_guard(&alone);
    if (status == HE_OK && alone.has_best &&
        alone.value <= c->value * (1.0 + caution_of(p, c->device)) &&
        count_used(p, alone.device) < count_used(p, c->device)) {
        memcpy(c->device, alone.device, p->task_count * sizeof *c->device);
        memcpy(c->order, alone.order, p->task_count * sizeof *c->order);
        c->policy = alone.policy;
        c->value = alone.value;
        c->best = alone.best;
    }
    he_contest_fini(&alone);
    he_arena_fini(&scratch);
    return status;
}
