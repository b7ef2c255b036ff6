/* SPDX-License-Identifier: Apache-2.0 */
/*
 * he_place(): the policy behind a strategy, on the machine as the budgets leave
 * it, then the guard.
 */
#include <string.h>

#include "core/words.h"
#include "planner.h"
#include "units.h"

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

/* --- A latency budget --- */

/* True when the fastest plan is what was asked for anyhow. */
static bool is_fastest_asked(const struct he_planner *planner)
{
    return planner->run == he_policy_portfolio &&
           planner->options.objective == HE_OBJECTIVE_LATENCY;
}

/* Shows the contest the fastest plan that can be found, since the others may all be too slow.
 * *fastest is its makespan, INFINITY when nothing fits whatever time it takes. */
static he_status enter_fastest(struct he_planner *planner, double *fastest)
{
    const struct he_problem *p = planner->problem;
    struct he_problem unhurried = *p;
    struct he_contest contest = { 0 };
    struct he_planner fast = { .problem = &unhurried, .run = he_policy_portfolio,
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
        status = he_planner_run(&fast);
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
    struct he_planner planner = { .problem = p, .contest = &contest };
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
        status = he_planner_run(&planner);
    if (status == HE_OK && planner.run != he_policy_priority)
        status = he_guard_caution(&contest);
    if (status == HE_OK && contest.has_best)
        status = he_contest_answer(&contest, arena, out);
    else if (status == HE_OK && !isinf(fastest)) /* rounded up: the figure is to be of use */
        status = he_error_set(HE_ERR_BUDGET,
                              "no plan found fits the budget latency=%gs: latency=%.6gs would do",
                              p->limits.latency, fastest * (1.0 + 1e-5));
    else if (status == HE_OK)
        status = he_place_blame(p);
    if (status == HE_OK)
        status = he_place_evaluate(p, out, arena, schedule);
    he_contest_fini(&contest);
    he_arena_fini(&scratch);
    return status;
}
