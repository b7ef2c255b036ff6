/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Price and power count by device, so each largest set of devices that the budgets
 * afford is planned for as a machine of its own.
 */
#include <string.h>

#include "planner.h"
#include "units.h"

/* Largest affordable sets that are looked at; machines have few kinds of devices. */
#define MOST_SETS 32
#define MOST_SET_STEPS 20000u

struct sets {
    const struct he_problem *problem;
    bool *sets; /* [set * device_count + device] */
    bool *now;
    uint32_t count;
    double watts, price;             /* of now */
    double *rest_watts, *rest_price; /* of devices j.. */
    uint32_t *twin;                  /* an earlier device that is worth the same, or UINT32_MAX */
    uint32_t steps;                  /* of the search: a limit against unlucky budgets */
};

static bool is_affordable(const struct he_problem *p, double watts, double price)
{
    return he_fits(watts, p->limits.power_watts) && he_fits(price, p->limits.price_per_hour);
}

static bool are_twins(const struct he_problem *p, uint32_t a, uint32_t b)
{
    const struct he_place_device *x = &p->devices[a], *y = &p->devices[b];

    if (x->memory_bytes != y->memory_bytes || x->busy_watts != y->busy_watts ||
        x->idle_watts != y->idle_watts || x->price_per_hour != y->price_per_hour ||
        (p->launch && p->launch[a] != p->launch[b]))
        return false;
    for (uint32_t t = 0; t < p->task_count; t++) {
        if (he_problem_time(p, t, a) != he_problem_time(p, t, b))
            return false;
    }
    return true;
}

/* True when nothing more could be afforded. */
static bool is_maximal(const struct sets *s)
{
    const struct he_problem *p = s->problem;

    for (uint32_t k = 0; k < p->device_count; k++) {
        if (!s->now[k] && is_affordable(p, s->watts + p->devices[k].busy_watts,
                                        s->price + p->devices[k].price_per_hour))
            return false;
    }
    return true;
}

/* Devices @j.. in or out. Of equal devices the earlier ones are in; a device that could be
 * afforded beside everything else is never out. */
static void collect_sets(struct sets *s, uint32_t j)
{
    const struct he_problem *p = s->problem;
    double watts, price;

    if (s->count == MOST_SETS || s->steps++ > MOST_SET_STEPS ||
        !is_affordable(p, s->watts, s->price))
        return;
    if (j == p->device_count) {
        if (is_maximal(s))
            memcpy(s->sets + (size_t)s->count++ * p->device_count, s->now, p->device_count);
        return;
    }
    watts = p->devices[j].busy_watts;
    price = p->devices[j].price_per_hour;
    if (s->twin[j] == UINT32_MAX || s->now[s->twin[j]]) {
        s->now[j] = true;
        s->watts += watts;
        s->price += price;
        collect_sets(s, j + 1);
        s->now[j] = false;
        s->watts -= watts;
        s->price -= price;
    }
    if (!is_affordable(p, s->watts + s->rest_watts[j], s->price + s->rest_price[j]))
        collect_sets(s, j + 1);
}

static he_status find_sets(struct sets *s, struct he_arena *arena)
{
    const struct he_problem *p = s->problem;
    size_t d = p->device_count;

    s->sets = he_arena_alloc(arena, MOST_SETS, d * sizeof *s->sets);
    s->now = he_arena_alloc(arena, d, sizeof *s->now);
    s->rest_watts = he_arena_alloc(arena, d + 1, sizeof *s->rest_watts);
    s->rest_price = he_arena_alloc(arena, d + 1, sizeof *s->rest_price);
    s->twin = he_arena_alloc(arena, d, sizeof *s->twin);
    if (!s->sets || !s->now || !s->rest_watts || !s->rest_price || !s->twin)
        return he_no_memory();
    for (uint32_t j = p->device_count; j-- > 0;) {
        s->rest_watts[j] = s->rest_watts[j + 1] + p->devices[j].busy_watts;
        s->rest_price[j] = s->rest_price[j + 1] + p->devices[j].price_per_hour;
    }
    if (is_affordable(p, s->rest_watts[0], s->rest_price[0])) { /* as it mostly is */
        memset(s->sets, true, d * sizeof *s->sets);
        s->count = 1;
        return HE_OK;
    }
    for (uint32_t j = 0; j < p->device_count; j++) {
        s->twin[j] = UINT32_MAX;
        for (uint32_t k = j; k-- > 0 && s->twin[j] == UINT32_MAX;)
            s->twin[j] = are_twins(p, k, j) ? k : UINT32_MAX;
    }
    collect_sets(s, 0);
    return HE_OK;
}

/* --- One set: a machine with room for weights --- */

/* @view is the problem with the devices of @may_use only. */
static he_status make_view(const struct he_problem *p, const bool *may_use, struct he_arena *arena,
                           struct he_problem *view)
{
    size_t cells = (size_t)p->task_count * p->device_count;

    *view = *p;
    for (uint32_t j = 0; j < p->device_count; j++) {
        if (may_use[j])
            continue;
        if (view->time == p->time)
            view->time = he_arena_copy(arena, p->time, cells * sizeof *p->time);
        if (!view->time)
            return he_no_memory();
        for (uint32_t t = 0; t < p->task_count; t++)
            view->time[(size_t)t * p->device_count + j] = HE_CANNOT_RUN;
    }
    return HE_OK;
}

/* A guard's contest borrows @contest's place as judge of the whole, but fits units by @view. */
static he_status enter_guard(struct he_planner *planner, const struct he_problem *view)
{
    struct he_contest *contest = planner->contest;
    he_status status;

    contest->problem = view;
    status = he_guard(contest);
    contest->problem = planner->problem;
    return status;
}

/* Every candidate of one set of devices goes through the contest; the time left is for @sets_left
 * of them. */
static he_status plan_set(struct he_planner *planner, const bool *may_use, uint32_t sets_left)
{
    struct he_arena arena;
    struct he_problem view;
    struct he_place_options options = planner->options;
    he_status status;

    he_arena_init(&arena, &planner->problem->arena.alloc);
    status = make_view(planner->problem, may_use, &arena, &view);
    if (planner->deadline_ns) {
        uint64_t now = he_place_now_ns(&options);

        options.time_limit = now < planner->deadline_ns
                                 ? (double)(planner->deadline_ns - now) * 1e-9 / sets_left
                                 : 1e-6;
    }
    if (status == HE_OK)
        status = he_contest_run(planner->contest, &view, planner->run, &options);
    /* priority is the baseline that others set, and users want to see it as it is; the portfolio
     * begins with the guard, inside the time limit. */
    if (status == HE_OK &&
        ((planner->run != he_policy_priority && planner->run != he_policy_portfolio) ||
         !planner->contest->has_best))
        status = enter_guard(planner, &view);
    /* The policy asked for may be one that gives up early. */
    if (status == HE_OK && !planner->contest->has_best && planner->run != he_policy_fit)
        status = he_contest_run(planner->contest, &view, he_policy_cost, &options);
    he_arena_fini(&arena);
    return status;
}

he_status he_planner_run(struct he_planner *planner)
{
    const struct he_problem *p = planner->problem;
    struct sets s = {.problem = p};
    struct he_arena arena;
    he_status status;

    he_arena_init(&arena, &p->arena.alloc);
    status = find_sets(&s, &arena);
    for (uint32_t k = 0; status == HE_OK && k < s.count; k++)
        status = plan_set(planner, s.sets + (size_t)k * p->device_count, s.count - k);
    he_arena_fini(&arena);
    return status;
}
