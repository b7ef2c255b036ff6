/* SPDX-License-Identifier: Apache-2.0 */
/*
 * energy: joules are busy watts where tasks run and idle watts of every device
 * for as long as it takes. Were tasks run one by one, that would be a least sum with
 * the idle watts of the whole machine on every second; were they spread evenly, with a
 * share of them. Both sums are minimised, and searched on from the better one.
 *
 * Within a latency budget (the epsilon constraint of two objectives) the least joules may take too
 * long, and nothing in between is known: there the fastest plan is a start too, from which units go
 * to thriftier devices, the greatest savings first, as long as the judge finds the time for it; and
 * sums in which a second costs more and more lie between the two.
 */
#include <stdlib.h>

#include "local.h"
#include "minsum.h"

/* Tasks and edges that are judged in giving away slack, at most. */
#define SLACK_WORK 2e7
#define SLACK_ROUNDS 4

struct saving {
    uint32_t unit;
    double joules;
};

struct energy {
    const struct he_problem *problem;
    const struct he_place_options *options;
    struct he_units units;
    struct he_contest contest;
    double idle_watts; /* of all devices */
    double most_watts; /* of the device that takes most */
    double *unary;
    uint32_t *device;
    /* To give away slack: */
    uint32_t *task_device, *order;
    struct saving *savings;
    uint64_t deadline_ns;
};

/* Busy joules of a unit, beyond those of a device that is there anyhow. */
static double joules(const struct energy *e, uint32_t unit, uint32_t j)
{
    const struct he_place_device *d = &e->problem->devices[j];

    return he_unit_time(&e->units, unit, j) * (d->busy_watts - d->idle_watts);
}

/* The least sum with so many watts on every second of work. */
static he_status try_watts(struct energy *e, double watts, struct he_arena *arena)
{
    const struct he_problem *p = e->problem;
    struct he_placement answer = { 0 };
    double proven;
    he_status status;

    for (uint32_t u = 0; u < e->units.count; u++) {
        for (uint32_t j = 0; j < p->device_count; j++) {
            double time = he_unit_time(&e->units, u, j);

            e->unary[(size_t)u * p->device_count + j] =
                isinf(time) ? HE_CANNOT_RUN : joules(e, u, j) + time * watts;
        }
    }
    status = he_min_sum_solve(&e->units, e->unary, watts, watts, e->options, e->device, &proven);
    if (status == HE_ERR_BUDGET)
        return HE_OK;
    if (status == HE_OK)
        status = he_units_answer(&e->units, e->device, NULL, "energy", arena, &answer);
    return status == HE_OK ? he_contest_enter_orders(&e->contest, &answer) : status;
}

/* --- Within a latency budget --- */

static he_status try_fastest(struct energy *e)
{
    struct he_place_options fast = *e->options;
    struct he_problem unhurried = *e->problem;

    fast.objective = HE_OBJECTIVE_LATENCY;
    unhurried.limits.latency = INFINITY;
    return he_contest_run(&e->contest, &unhurried, he_policy_portfolio, &fast);
}

static int compare_savings(const void *left, const void *right)
{
    const struct saving *a = left, *b = right;

    if (a->joules != b->joules)
        return a->joules > b->joules ? -1 : 1;
    return a->unit < b->unit ? -1 : a->unit > b->unit;
}

/* The thriftiest device for @unit that is thriftier than @than joules. */
static bool find_thriftier(const struct energy *e, uint32_t unit, double above, double than,
                           uint32_t *device)
{
    double least = than;
    bool is_found = false;

    for (uint32_t j = 0; j < e->problem->device_count; j++) {
        if (isinf(he_unit_time(&e->units, unit, j)))
            continue;
        if (joules(e, unit, j) > above && joules(e, unit, j) < least) {
            least = joules(e, unit, j);
            *device = j;
            is_found = true;
        }
    }
    return is_found;
}

static void put_unit(struct energy *e, uint32_t unit, uint32_t device)
{
    for (uint32_t k = e->units.start[unit]; k < e->units.start[unit + 1]; k++)
        e->task_device[e->units.tasks[k]] = device;
}

/* One unit: to the thriftiest device with which the plan gets better. */
static he_status give_away(struct energy *e, uint32_t unit, bool *is_moved, double *work)
{
    const struct he_problem *p = e->problem;
    uint32_t here = e->task_device[e->units.tasks[e->units.start[unit]]], j = here;
    double above = -INFINITY;

    while (find_thriftier(e, unit, above, joules(e, unit, here), &j)) {
        double before = e->contest.value;
        he_status status;

        put_unit(e, unit, j);
        *work += (double)p->task_count + p->edge_count;
        status = he_contest_enter(&e->contest, e->task_device, e->order, "energy", NULL);
        if (status != HE_OK)
            return status;
        if (e->contest.value < before) {
            *is_moved = true;
            return HE_OK;
        }
        above = joules(e, unit, j);
        put_unit(e, unit, here);
    }
    return HE_OK;
}

/* From the contest's best, if it is one of this problem's devices. */
static he_status give_away_slack(struct energy *e)
{
    const struct he_problem *p = e->problem;
    bool is_moved = true;
    double work = 0.0;
    he_status status = HE_OK;

    if (!e->contest.has_best)
        return HE_OK;
    for (int round = 0; round < SLACK_ROUNDS && is_moved; round++) {
        is_moved = false;
        for (uint32_t t = 0; t < p->task_count; t++) {
            e->task_device[t] = e->contest.device[t];
            e->order[t] = e->contest.order[t];
        }
        for (uint32_t u = 0; u < e->units.count; u++) {
            double here = joules(e, u, e->task_device[e->units.tasks[e->units.start[u]]]);
            uint32_t j;

            e->savings[u] = (struct saving){ u, 0.0 };
            if (find_thriftier(e, u, -INFINITY, here, &j))
                e->savings[u].joules = here - joules(e, u, j);
        }
        if (e->units.count > 1)
            qsort(e->savings, e->units.count, sizeof *e->savings, compare_savings);
        for (uint32_t k = 0; k < e->units.count && e->savings[k].joules > 0.0; k++) {
            if (work > SLACK_WORK ||
                (e->deadline_ns && he_place_now_ns(e->options) >= e->deadline_ns))
                return HE_OK;
            status = give_away(e, e->savings[k].unit, &is_moved, &work);
            if (status != HE_OK)
                return status;
        }
    }
    return HE_OK;
}

static he_status keep_to_latency(struct energy *e, struct he_arena *arena)
{
    he_status status = HE_OK;

    for (double dearer = 1.0; status == HE_OK && dearer < 20.0; dearer *= 4.0)
        status = try_watts(e, e->idle_watts + dearer * e->most_watts, arena);
    if (status == HE_OK)
        status = try_fastest(e);
    if (status == HE_OK)
        status = give_away_slack(e);
    return status;
}

static he_status prepare(struct energy *e, struct he_arena *arena)
{
    const struct he_problem *p = e->problem;
    he_status status = he_units_init(&e->units, p, arena);

    for (uint32_t j = 0; j < p->device_count; j++) {
        e->idle_watts += p->devices[j].idle_watts;
        e->most_watts = fmax(e->most_watts, p->devices[j].busy_watts);
    }
    e->unary = he_arena_alloc(arena, p->task_count, p->device_count * sizeof *e->unary);
    e->device = he_arena_alloc(arena, p->task_count, sizeof *e->device);
    e->task_device = he_arena_alloc(arena, p->task_count, sizeof *e->task_device);
    e->order = he_arena_alloc(arena, p->task_count, sizeof *e->order);
    e->savings = he_arena_alloc(arena, p->task_count, sizeof *e->savings);
    if (status == HE_OK &&
        (!e->unary || !e->device || !e->task_device || !e->order || !e->savings))
        status = he_no_memory();
    return status == HE_OK ? he_contest_init(&e->contest, p, HE_OBJECTIVE_ENERGY, arena) : status;
}

he_status he_policy_energy(const struct he_problem *p, const struct he_place_options *options,
                           struct he_arena *arena, struct he_placement *out)
{
    struct he_place_options by_energy = *options;
    struct he_arena scratch;
    struct energy e = { .problem = p, .options = &by_energy };
    he_status status;

    by_energy.objective = HE_OBJECTIVE_ENERGY;
    e.deadline_ns = he_place_deadline(options);
    he_arena_init(&scratch, &p->arena.alloc);
    status = prepare(&e, &scratch);
    by_energy.time_limit = options->time_limit / (isinf(p->limits.latency) ? 4.0 : 8.0);
    if (status == HE_OK)
        status = try_watts(&e, e.idle_watts, &scratch);
    if (status == HE_OK)
        status = try_watts(&e, e.idle_watts / p->server_count, &scratch);
    if (status == HE_OK)
        status = he_contest_run(&e.contest, p, he_policy_heft, &by_energy);
    if (status == HE_OK)
        status = he_guard(&e.contest);
    if (status == HE_OK && !isinf(p->limits.latency))
        status = keep_to_latency(&e, &scratch);
    if (status == HE_OK)
        status = he_local_search(&e.contest, p, &by_energy, 0.5);
    if (status == HE_OK)
        status = he_contest_answer(&e.contest, arena, out);
    he_contest_fini(&e.contest);
    he_arena_fini(&scratch);
    return status;
}
