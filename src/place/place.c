/* SPDX-License-Identifier: Apache-2.0 */
/*
 * he_place(): the policy behind a strategy, on the machine as the budgets leave
 * it, then the guard. Price and power count by device, so each largest set of
 * devices that the budget affords is tried as a machine of its own. When nothing fits, one limit after the other is lifted to find the
 * one to blame, and the least it would have to be.
 */
#include <string.h>

#include "core/words.h"
#include "policies.h"
#include "units.h"

/* Largest affordable sets that are looked at; machines have few kinds of devices. */
#define MOST_SETS 32
#define MOST_SET_STEPS 20000u

static const struct {
    const char *name, *policy;
    enum he_objective objective;
} strategies[] = {
    { "latency_aware", "portfolio", HE_OBJECTIVE_LATENCY },
    { "throughput", "portfolio", HE_OBJECTIVE_THROUGHPUT },
    { "cost", "cost", HE_OBJECTIVE_COST },
    { "budget", "cost", HE_OBJECTIVE_COST },
    { "energy_aware", "portfolio", HE_OBJECTIVE_ENERGY },
};

static const struct he_policy *find_strategy(const char *name, enum he_objective *objective)
{
    for (size_t k = 0; k < sizeof strategies / sizeof *strategies; k++) {
        if (strcmp(strategies[k].name, name) == 0) {
            *objective = strategies[k].objective;
            return he_policy_find(strategies[k].policy);
        }
    }
    return he_policy_find(name);
}

bool he_strategy_find(const char *strategy, enum he_objective *objective)
{
    return strategy && find_strategy(strategy, objective) != NULL;
}

static he_status unknown_strategy(const char *strategy)
{
    const char *words[32];
    size_t count = 0;
    const char *nearest;

    for (size_t k = 0; k < sizeof strategies / sizeof *strategies; k++)
        words[count++] = strategies[k].name;
    for (size_t k = 0; k < he_policy_count() && count < 32; k++)
        words[count++] = he_policy_at(k)->name;
    nearest = he_nearest_word(strategy, words, count);
    return nearest ? he_error_set(HE_ERR_SETTING, "unknown strategy '%s', did you mean '%s'?",
                                  strategy, nearest)
                   : he_error_set(HE_ERR_SETTING,
                                  "unknown strategy '%s'; there are latency_aware, throughput, "
                                  "cost, energy_aware and the policies by name",
                                  strategy);
}

/* --- One machine: a set of devices with room for weights --- */

struct planner {
    const struct he_problem *problem;
    he_policy_run *run;
    struct he_place_options options;
    struct he_contest *contest; /* judges by the whole problem and its limits */
    uint64_t deadline_ns;
};

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
static he_status enter_guard(struct planner *planner, const struct he_problem *view)
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
static he_status plan_set(struct planner *planner, const bool *may_use, uint32_t sets_left)
{
    struct he_arena arena;
    struct he_problem view;
    struct he_place_options options = planner->options;
    he_status status;

    he_arena_init(&arena, &planner->problem->arena.alloc);
    status = make_view(planner->problem, may_use, &arena, &view);
    if (planner->deadline_ns) {
        uint64_t now = he_place_now_ns(&options);

        options.time_limit =
            now < planner->deadline_ns ? (double)(planner->deadline_ns - now) * 1e-9 / sets_left
                                       : 1e-6;
    }
    if (status == HE_OK)
        status = he_contest_run(planner->contest, &view, planner->run, &options);
    /* priority is the baseline that others set, and users want to see it as it is; the portfolio begins
     * with the guard, inside the time limit. */
    if (status == HE_OK && ((planner->run != he_policy_priority &&
                             planner->run != he_policy_portfolio) || !planner->contest->has_best))
        status = enter_guard(planner, &view);
    /* The policy asked for may be one that gives up early. */
    if (status == HE_OK && !planner->contest->has_best && planner->run != he_policy_fit)
        status = he_contest_run(planner->contest, &view, he_policy_cost, &options);
    he_arena_fini(&arena);
    return status;
}

/* --- Sets of devices that price and power afford --- */

struct sets {
    const struct he_problem *problem;
    bool *sets; /* [set * device_count + device] */
    bool *now;
    uint32_t count;
    double watts, price;             /* of now */
    double *rest_watts, *rest_price; /* of devices j.. */
    uint32_t *twin; /* an earlier device that is worth the same, or UINT32_MAX */
    uint32_t steps; /* of the search: a limit against unlucky budgets */
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

    if (s->count == MOST_SETS || s->steps++ > MOST_SET_STEPS || !is_affordable(p, s->watts, s->price))
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

static he_status plan_all(struct planner *planner)
{
    const struct he_problem *p = planner->problem;
    struct sets s = { .problem = p };
    struct he_arena arena;
    he_status status;

    he_arena_init(&arena, &p->arena.alloc);
    status = find_sets(&s, &arena);
    for (uint32_t k = 0; status == HE_OK && k < s.count; k++)
        status = plan_set(planner, s.sets + (size_t)k * p->device_count, s.count - k);
    he_arena_fini(&arena);
    return status;
}

/* --- Nothing fits: who is to blame? --- */

/* In the order they are tried: what the user set first, what the devices have last. */
enum blame {
    BLAME_PRICE,
    BLAME_POWER,
    BLAME_RESOURCE,
    BLAME_DEVICE_RESOURCE,
    BLAME_TOTAL_MEMORY,
    BLAME_MEMORY
};

/* @p with one of its limits: what devices have of memory or a resource times @value, the others
 * equal to @value. */
static he_status with_limit(const struct he_problem *p, enum blame blame, size_t resource,
                            double value, struct he_arena *arena, struct he_problem *out)
{
    *out = *p;
    switch (blame) {
    case BLAME_MEMORY:
        out->devices = he_arena_copy(arena, p->devices, p->device_count * sizeof *p->devices);
        out->weight_limit = he_arena_alloc(arena, p->device_count, sizeof *p->weight_limit);
        if (!out->devices || !out->weight_limit)
            return he_no_memory();
        for (uint32_t j = 0; j < p->device_count; j++) {
            out->devices[j].memory_bytes *= value;
            if (isnan(out->devices[j].memory_bytes)) /* 0 times infinity */
                out->devices[j].memory_bytes = INFINITY;
            out->weight_limit[j] = out->devices[j].memory_bytes;
        }
        return HE_OK;
    case BLAME_TOTAL_MEMORY:
        out->limits.memory_bytes = value;
        return HE_OK;
    case BLAME_POWER:
        out->limits.power_watts = value;
        return HE_OK;
    case BLAME_PRICE:
        out->limits.price_per_hour = value;
        return HE_OK;
    case BLAME_RESOURCE:
        out->resources = he_arena_copy(arena, p->resources, p->resource_count * sizeof *p->resources);
        if (!out->resources)
            return he_no_memory();
        out->resources[resource].limit = value;
        return HE_OK;
    case BLAME_DEVICE_RESOURCE:
        out->resources = he_arena_copy(arena, p->resources, p->resource_count * sizeof *p->resources);
        if (!out->resources)
            return he_no_memory();
        out->resources[resource].device_limits = NULL;
        for (uint32_t j = 0; j < p->device_count; j++) {
            double has = p->resources[resource].device_limits[j];

            if (he_resource_limit_device(&out->resources[resource], j, isinf(has) ? has : has * value,
                                         p->device_count, arena) != HE_OK)
                return he_no_memory();
        }
        return HE_OK;
    }
    return HE_OK;
}

/* What the found plan uses of the limit to blame. */
static double used(const struct he_problem *p, enum blame blame, size_t resource,
                   const struct he_contest *c)
{
    double sum = 0.0, ratio = 1.0;

    for (uint32_t j = 0; j < p->device_count; j++) {
        bool has_task = false;

        for (uint32_t t = 0; t < p->task_count && !has_task; t++)
            has_task = c->device[t] == j;
        if (blame == BLAME_TOTAL_MEMORY)
            sum += c->judge.peak_bytes[j];
        else if (blame == BLAME_POWER && has_task)
            sum += p->devices[j].busy_watts;
        else if (blame == BLAME_PRICE && has_task)
            sum += p->devices[j].price_per_hour;
        else if (blame == BLAME_MEMORY && c->judge.peak_bytes[j] > 0.0)
            ratio = fmax(ratio, c->judge.peak_bytes[j] / p->devices[j].memory_bytes);
    }
    for (uint32_t t = 0; blame == BLAME_RESOURCE && t < p->task_count; t++)
        sum += p->resources[resource].amount[(size_t)t * p->device_count + c->device[t]];
    for (uint32_t j = 0; blame == BLAME_DEVICE_RESOURCE && j < p->device_count; j++) {
        double takes = 0.0;

        for (uint32_t t = 0; t < p->task_count; t++) {
            if (c->device[t] == j)
                takes += p->resources[resource].amount[(size_t)t * p->device_count + j];
        }
        if (takes > 0.0)
            ratio = fmax(ratio, takes / p->resources[resource].device_limits[j]);
    }
    return blame == BLAME_MEMORY || blame == BLAME_DEVICE_RESOURCE ? ratio : sum;
}

/* Whether anything fits under that limit, and what it uses then. */
static he_status try_limit(const struct he_problem *p, enum blame blame, size_t resource,
                           double value, bool *fits, double *use)
{
    struct he_arena arena;
    struct he_problem changed;
    struct he_contest contest = { 0 };
    struct planner planner = { .problem = &changed, .run = he_policy_fit, .contest = &contest };
    he_status status;

    *fits = false;
    he_arena_init(&arena, &p->arena.alloc);
    status = with_limit(p, blame, resource, value, &arena, &changed);
    changed.limits.latency = INFINITY; /* a matter of its own */
    if (status == HE_OK)
        status = he_contest_init(&contest, &changed, HE_OBJECTIVE_COST, &arena);
    if (status == HE_OK)
        status = plan_all(&planner);
    if (status == HE_OK && contest.has_best) {
        *fits = true;
        status = he_judge_run(&contest.judge, contest.device, contest.order, true);
        *use = used(p, blame, resource, &contest);
    }
    he_contest_fini(&contest);
    he_arena_fini(&arena);
    return status;
}

/* Halves the distance between what is too little and what is known to do. */
static he_status least_limit(const struct he_problem *p, enum blame blame, size_t resource,
                             double too_little, double enough, double *least)
{
    for (int step = 0; step < 12 && enough - too_little > 1e-6 * enough; step++) {
        double middle = too_little + (enough - too_little) / 2.0, use = 0.0;
        bool fits;
        he_status status = try_limit(p, blame, resource, middle, &fits, &use);

        if (status != HE_OK)
            return status;
        if (fits)
            enough = use;
        else
            too_little = middle;
    }
    *least = enough;
    return HE_OK;
}

static he_status blame_error(const struct he_problem *p, enum blame blame, size_t resource,
                             double least)
{
    const struct he_place_device *d = &p->devices[0];
    double has = 0.0;

    switch (blame) {
    case BLAME_MEMORY:
        for (uint32_t j = 0; j < p->device_count && isinf(d->memory_bytes); j++)
            d = &p->devices[j];
        return he_error_set(HE_ERR_BUDGET,
                            "no plan fits the devices' memory: %.6g times as much on every device "
                            "would do (%.0f bytes instead of %.0f on %s)",
                            least, ceil(least * d->memory_bytes), d->memory_bytes, d->id);
    case BLAME_TOTAL_MEMORY:
        return he_error_set(HE_ERR_BUDGET, "no plan fits the budget memory=%.0f: memory=%.0f would do",
                            p->limits.memory_bytes, ceil(least));
    case BLAME_POWER:
        return he_error_set(HE_ERR_BUDGET, "no plan fits the budget power=%gW: power=%gW would do",
                            p->limits.power_watts, least);
    case BLAME_PRICE:
        return he_error_set(HE_ERR_BUDGET, "no plan fits the budget price=%g/h: price=%g/h would do",
                            p->limits.price_per_hour, least);
    case BLAME_RESOURCE:
        return he_error_set(HE_ERR_BUDGET, "no plan fits the budget %s=%g: %s=%g would do",
                            p->resources[resource].name, p->resources[resource].limit,
                            p->resources[resource].name, least);
    case BLAME_DEVICE_RESOURCE:
        for (uint32_t j = 0; j < p->device_count; j++) {
            has = p->resources[resource].device_limits[j];
            d = &p->devices[j];
            if (has > 0.0 && !isinf(has))
                break;
        }
        return he_error_set(HE_ERR_BUDGET,
                            "no plan fits what the devices have of %s: %.6g times as much on every "
                            "device would do (%g instead of %g on %s)",
                            p->resources[resource].name, least, least * has, has, d->id);
    }
    return HE_ERR_BUDGET;
}

/* INFINITY: there is no such limit. */
static double limit_now(const struct he_problem *p, enum blame blame, size_t resource)
{
    bool is_limited = false;

    switch (blame) {
    case BLAME_MEMORY:
        for (uint32_t j = 0; j < p->device_count; j++)
            is_limited |= !isinf(p->devices[j].memory_bytes);
        return is_limited ? 1.0 : INFINITY;
    case BLAME_DEVICE_RESOURCE:
        return p->resources[resource].device_limits ? 1.0 : INFINITY;
    case BLAME_TOTAL_MEMORY:
        return p->limits.memory_bytes;
    case BLAME_POWER:
        return p->limits.power_watts;
    case BLAME_PRICE:
        return p->limits.price_per_hour;
    case BLAME_RESOURCE:
        return p->resources[resource].limit;
    }
    return INFINITY;
}

/* Large enough for anything, small enough to be multiplied. */
#define LARGE_FACTOR 1e12

static he_status explain_misfit(const struct he_problem *p)
{
    for (int blame = BLAME_PRICE; blame <= BLAME_MEMORY; blame++) {
        bool by_resource = blame == BLAME_RESOURCE || blame == BLAME_DEVICE_RESOURCE;
        bool is_factor = blame == BLAME_MEMORY || blame == BLAME_DEVICE_RESOURCE;
        size_t count = by_resource ? p->resource_count : 1;

        for (size_t r = 0; r < count; r++) {
            double enough = 0.0, least;
            bool fits;
            he_status status;

            if (isinf(limit_now(p, blame, r)))
                continue;
            status = try_limit(p, blame, r, is_factor ? LARGE_FACTOR : INFINITY, &fits, &enough);
            if (status == HE_OK && fits)
                status = least_limit(p, blame, r, limit_now(p, blame, r), enough, &least);
            if (status != HE_OK)
                return status;
            if (fits)
                return blame_error(p, blame, r, least);
        }
    }
    return he_error_set(HE_ERR_BUDGET, "no plan fits: memory and budgets together leave no room, "
                                       "and raising one of them is not enough");
}

/* --- A latency budget --- */

/* True when the fastest plan is what was asked for anyhow. */
static bool is_fastest_asked(const struct planner *planner)
{
    return planner->run == he_policy_portfolio &&
           planner->options.objective == HE_OBJECTIVE_LATENCY;
}

/* Shows the contest the fastest plan that can be found, since the others may all be too slow.
 * *fastest is its makespan, INFINITY when nothing fits whatever time it takes. */
static he_status enter_fastest(struct planner *planner, double *fastest)
{
    const struct he_problem *p = planner->problem;
    struct he_problem unhurried = *p;
    struct he_contest contest = { 0 };
    struct planner fast = { .problem = &unhurried, .run = he_policy_portfolio,
                            .contest = &contest, .options = planner->options };
    struct he_arena arena;
    he_status status;

    unhurried.limits.latency = INFINITY;
    fast.options.objective = HE_OBJECTIVE_LATENCY;
    if (!is_fastest_asked(planner))
        fast.options.time_limit /= 4.0;
    fast.deadline_ns = he_place_deadline(&fast.options);
    he_arena_init(&arena, &p->arena.alloc);
    status = he_contest_init(&contest, &unhurried, HE_OBJECTIVE_LATENCY, &arena);
    if (status == HE_OK)
        status = plan_all(&fast);
    *fastest = contest.has_best ? contest.value : INFINITY;
    if (status == HE_OK && contest.has_best)
        status = he_contest_enter_items(planner->contest, contest.device, contest.order,
                                        contest.has_items ? contest.items : NULL, contest.policy,
                                        NULL);
    he_contest_fini(&contest);
    he_arena_fini(&arena);
    return status;
}

/* --- The front door --- */

static he_status check_abilities(const struct he_problem *p)
{
    struct he_arena arena;
    struct he_units units;
    he_status status;

    he_arena_init(&arena, &p->arena.alloc);
    status = he_units_init(&units, p, &arena);
    for (uint32_t u = 0; status == HE_OK && u < units.count; u++) {
        uint32_t first = units.tasks[units.start[u]];
        bool can_run = false;

        for (uint32_t j = 0; j < p->device_count && !can_run; j++)
            can_run = !isinf(he_unit_time(&units, u, j));
        if (can_run)
            continue;
        if (units.start[u + 1] - units.start[u] == 1)
            status = he_error_set(HE_ERR_UNSUPPORTED, "task %s can run on none of the devices",
                                  p->task_ids[first]);
        else
            status = he_error_set(HE_ERR_UNSUPPORTED,
                                  "no device can run all of the %u tasks that must stay together "
                                  "with %s",
                                  units.start[u + 1] - units.start[u], p->task_ids[first]);
    }
    he_arena_fini(&arena);
    return status;
}

he_status he_place(const struct he_problem *p, const char *strategy,
                   const struct he_place_options *given, struct he_arena *arena,
                   struct he_placement *out, struct he_schedule *schedule)
{
    struct he_contest contest = { 0 };
    struct planner planner = { .problem = p, .contest = &contest };
    const struct he_policy *policy;
    struct he_arena scratch;
    double fastest = INFINITY;
    he_status status;

    if (!p || !strategy || !arena || !out || !schedule)
        return he_error_set(HE_ERR_INVALID, "he_place: an argument is missing");
    *out = (struct he_placement){ 0 };
    *schedule = (struct he_schedule){ 0 };
    if (given)
        planner.options = *given;
    policy = find_strategy(strategy, &planner.options.objective);
    if (!policy)
        return unknown_strategy(strategy);
    planner.run = policy->run;
    planner.deadline_ns = he_place_deadline(&planner.options);
    status = check_abilities(p);
    if (status != HE_OK)
        return status;
    he_arena_init(&scratch, &p->arena.alloc);
    status = he_contest_init(&contest, p, planner.options.objective, &scratch);
    if (status == HE_OK && !isinf(p->limits.latency))
        status = enter_fastest(&planner, &fastest);
    if (status == HE_OK && (isinf(p->limits.latency) || !is_fastest_asked(&planner)))
        status = plan_all(&planner);
    if (status == HE_OK && planner.run != he_policy_priority)
        status = he_guard_caution(&contest);
    if (status == HE_OK && contest.has_best)
        status = he_contest_answer(&contest, arena, out);
    else if (status == HE_OK && !isinf(fastest)) /* rounded up: the figure is to be of use */
        status = he_error_set(HE_ERR_BUDGET,
                              "no plan found fits the budget latency=%gs: latency=%.6gs would do",
                              p->limits.latency, fastest * (1.0 + 1e-5));
    else if (status == HE_OK)
        status = explain_misfit(p);
    if (status == HE_OK)
        status = he_place_evaluate(p, out, arena, schedule);
    he_contest_fini(&contest);
    he_arena_fini(&scratch);
    return status;
}
