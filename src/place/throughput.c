/* SPDX-License-Identifier: Apache-2.0 */
/*
 * throughput: the largest load of a server or link is the interval at which a
 * pipeline takes requests. Starts from splits of several kinds (runs of an order, stages of a
 * pipeline, plans for other ends, one device) and improves the best of them with no regard to
 * order, by annealing with loads kept up to date. pipeline stops at the stages.
 */
#include "loads.h"
#include "stages.h"

/* @options with @share of the time that is left until @deadline_ns. */
static struct he_place_options take_time(const struct he_place_options *options,
                                         uint64_t deadline_ns, double share)
{
    struct he_place_options out = *options;
    uint64_t now_ns;

    out.objective = HE_OBJECTIVE_THROUGHPUT;
    if (deadline_ns) {
        now_ns = he_place_now_ns(options);
        /* Never 0, which would be no limit at all. */
        out.time_limit =
            deadline_ns > now_ns ? fmax(1e-9, (double)(deadline_ns - now_ns) * 1e-9 * share) : 1e-9;
    }
    return out;
}

he_status he_policy_throughput(const struct he_problem *p, const struct he_place_options *options,
                               struct he_arena *arena, struct he_placement *out)
{
    uint64_t deadline_ns = he_place_deadline(options);
    struct he_place_options part = take_time(options, deadline_ns, 1.0);
    struct he_arena scratch;
    struct he_contest contest;
    bool is_optimum;
    he_status status;

    he_arena_init(&scratch, &p->arena.alloc);
    status = he_contest_init(&contest, p, HE_OBJECTIVE_THROUGHPUT, &scratch);
    if (status == HE_OK)
        status = he_runs_search(&contest, &part);
    if (status == HE_OK) {
        part = take_time(options, deadline_ns, 0.2);
        status = he_stages_search(&contest, &part, &is_optimum);
    }
    if (status == HE_OK) {
        part = take_time(options, deadline_ns, 0.1);
        status = he_contest_run(&contest, p, he_policy_heft, &part);
    }
    if (status == HE_OK)
        status = he_contest_run(&contest, p, he_policy_cost, &part);
    if (status == HE_OK)
        status = he_guard(&contest);
    if (status == HE_OK) {
        part = take_time(options, deadline_ns, 1.0);
        status = he_balance_loads(&contest, p, &part);
    }
    if (status == HE_OK)
        status = he_contest_answer(&contest, arena, out);
    he_contest_fini(&contest);
    he_arena_fini(&scratch);
    return status;
}

he_status he_policy_pipeline(const struct he_problem *p, const struct he_place_options *options,
                             struct he_arena *arena, struct he_placement *out)
{
    struct he_place_options ours = *options;
    struct he_arena scratch;
    struct he_contest contest;
    bool is_optimum;
    he_status status;

    ours.objective = HE_OBJECTIVE_THROUGHPUT;
    he_arena_init(&scratch, &p->arena.alloc);
    status = he_contest_init(&contest, p, HE_OBJECTIVE_THROUGHPUT, &scratch);
    if (status == HE_OK)
        status = he_stages_search(&contest, &ours, &is_optimum);
    if (status == HE_OK && !contest.has_best)
        status = he_runs_search(&contest, &ours);
    if (status == HE_OK)
        status = he_contest_answer(&contest, arena, out);
    he_contest_fini(&contest);
    he_arena_fini(&scratch);
    return status;
}
