/* SPDX-License-Identifier: Apache-2.0 */
/* The run functions behind the table of policies, for the table and for the portfolio. */
#ifndef HE_PLACE_POLICIES_H
#define HE_PLACE_POLICIES_H

#include "core/clock.h"
#include "judge.h"
#include "problem.h"

typedef he_status he_policy_run(const struct he_problem *problem,
                                const struct he_place_options *options, struct he_arena *arena,
                                struct he_placement *out);
he_policy_run he_policy_priority, he_policy_cost, he_policy_heft, he_policy_peft, he_policy_path,
    he_policy_local, he_policy_exact, he_policy_portfolio, he_policy_throughput,
    he_policy_pipeline, he_policy_energy, he_policy_large,
    he_policy_fit; /* anything within the limits; not in the table */

/* The clock that the time limit is about. */
static inline uint64_t he_place_now_ns(const struct he_place_options *options)
{
    return options->counts_cpu_time ? he_thread_cpu_ns() : he_now_ns();
}

/* When to stop, as he_place_now_ns() tells it; 0: there is no limit. */
static inline uint64_t he_place_deadline(const struct he_place_options *options)
{
    if (!(options->time_limit > 0.0))
        return 0;
    return he_place_now_ns(options) + (uint64_t)(fmin(options->time_limit, 1e6) * 1e9);
}

/* A policy's answer on probation: keeps the best of what it is shown, by the judge. */
struct he_contest {
    const struct he_problem *problem;
    enum he_objective objective;
    struct he_judge judge;
    uint32_t *device, *order; /* the best so far, when has_best */
    uint32_t *items;          /* and its items, when has_items */
    bool has_items;
    const char *policy;
    double value;
    double proven; /* as in he_placement */
    struct he_figures best;
    bool has_best;
    struct he_shortfall shortfall; /* of the last one that did not fit */
};

he_status he_contest_init(struct he_contest *contest, const struct he_problem *problem,
                          enum he_objective objective, struct he_arena *arena) HE_MUST_CHECK;
void he_contest_fini(struct he_contest *contest);
/* Judges an answer; keeps a copy when it fits and is better than the best so far. *value is its
 * value or INFINITY; may be NULL. */
he_status he_contest_enter(struct he_contest *contest, const uint32_t *device,
                           const uint32_t *order, const char *policy, double *value) HE_MUST_CHECK;
/* As above with transfers booked by @items (he_placement says what that is). */
he_status he_contest_enter_items(struct he_contest *contest, const uint32_t *device,
                                 const uint32_t *order, const uint32_t *items, const char *policy,
                                 double *value) HE_MUST_CHECK;
/* As he_contest_enter(), in the given order, by path and in the model's order: whichever is best. */
he_status he_contest_enter_orders(struct he_contest *contest, const struct he_placement *answer)
    HE_MUST_CHECK;

/* Runs a policy on @problem (which may be a view of the contest's own) and enters its answer;
 * where live tensors do not fit beside its weights, again with less room for weights. An answer that
 * does not fit, or none, is HE_OK: it just does not enter. */
he_status he_contest_run(struct he_contest *contest, const struct he_problem *problem,
                         he_policy_run *run, const struct he_place_options *options) HE_MUST_CHECK;
/* Gives the best as an answer of its own; HE_ERR_BUDGET when nothing fitted. */
he_status he_contest_answer(const struct he_contest *contest, struct he_arena *arena,
                            struct he_placement *out) HE_MUST_CHECK;

/* The guard: shows the contest, for every device, the plan with all tasks on it (those it cannot
 * run or hold on their best other device). */
he_status he_guard(struct he_contest *contest) HE_MUST_CHECK;
/* Replaces the contest's best by a single device's plan that is worse by no more than the problem's
 * caution, and uses fewer devices. Nothing to do without company. */
he_status he_guard_caution(struct he_contest *contest) HE_MUST_CHECK;

#endif
