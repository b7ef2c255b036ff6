/* SPDX-License-Identifier: Apache-2.0 */
/*
 * portfolio: no list scheduler wins everywhere, so many are run and the best answer by
 * the judge is kept, under the objective that is asked for: the policies, many list
 * schedules, the single-device plans; then a search from the best. Small graphs are solved to
 * the optimum.
 */
#include "core/size.h"
#include "exact.h"
#include "large.h"
#include "local.h"
#include "optimum.h"
#include "seeds.h"
#include "shop.h"

/* Without a time limit, list schedules are tried until about this many cells are filled. */
#define LIST_WORK 100000.0
/* Tasks that fit in a tree of this many nodes are solved to the optimum. */
#define EXACT_NODES 100000u
/* Somewhat larger ones are worth a try, when the makespan is asked for. */
/* Of what is left for searching job shops, the local search's part. */
#define SHOP_LOCAL_SHARE 0.15
#define OPTIMUM_TASKS 32
#define OPTIMUM_NODES 5000u

struct portfolio {
    const struct he_problem *problem;
    const struct he_place_options *options;
    struct he_contest contest;
    uint64_t deadline_ns;
};

/* Shares of a time limit: what is left is the local search's. */
static struct he_place_options share(const struct portfolio *f, double fraction)
{
    struct he_place_options part = *f->options;

    part.time_limit *= fraction;
    return part;
}

/* The moment at which that fraction of the limit is gone; 0 without a limit. */
static uint64_t share_end(const struct portfolio *f, double fraction)
{
    return f->deadline_ns
               ? f->deadline_ns - (uint64_t)(fmin(f->options->time_limit, 1e6) * (1.0 - fraction) * 1e9)
               : 0;
}

static bool is_late(const struct portfolio *f)
{
    return f->deadline_ns && he_place_now_ns(f->options) >= f->deadline_ns;
}

/* Problems on which members that look at every pair of something take too long. */
#define LARGE_CELLS 200000.0

static bool is_large(const struct portfolio *f)
{
    return f->options->objective == HE_OBJECTIVE_LATENCY &&
           (double)f->problem->task_count * f->problem->device_count > LARGE_CELLS;
}

/* he_large_search() until @end of the time is gone. */
static he_status search_large(struct portfolio *f, double end, double effort)
{
    struct he_place_options part = *f->options;

    if (f->deadline_ns) {
        uint64_t now = he_place_now_ns(f->options), end_ns = share_end(f, end);

        if (now >= end_ns)
            return HE_OK;
        part.time_limit = (double)(end_ns - now) * 1e-9;
    }
    return he_large_search(&f->contest, f->problem, &part, effort);
}

/* What is enough for large problems. Judging, bounding and dividing the answer takes about as long
 * as the first plan: that much time is left for it. */
static he_status run_large(struct portfolio *f)
{
    struct he_place_options part = share(f, 0.5);
    uint64_t begin_ns = he_place_now_ns(f->options);
    he_status status = he_contest_run(&f->contest, f->problem, he_policy_heft, &part);
    double first = (double)(he_place_now_ns(f->options) - begin_ns) * 1e-9;
    double rest = f->deadline_ns ? fmin(0.5, first / f->options->time_limit) : 0.0;

    return status == HE_OK ? search_large(f, 1.0 - rest, 1.0) : status;
}

static he_status run_members(struct portfolio *f)
{
    static he_policy_run *const members[] = { he_policy_heft, he_policy_priority, he_policy_peft,
                                              he_policy_cost, he_policy_path };
    enum he_objective objective = f->options->objective;
    /* For makespans least sums are but seeds. */
    struct he_place_options part = share(f, objective == HE_OBJECTIVE_LATENCY ? 0.04 : 0.15);
    he_status status = HE_OK;

    for (size_t k = 0; status == HE_OK && k < HE_COUNT(members); k++) {
        if (f->contest.has_best && is_late(f))
            return HE_OK;
        /* Shortest paths take their time, and makespans gain little by them. */
        if (members[k] == he_policy_path && objective == HE_OBJECTIVE_LATENCY &&
            f->contest.has_best && f->options->time_limit < 0.5)
            continue;
        status = he_contest_run(&f->contest, f->problem, members[k], &part);
        if (status == HE_OK && k == 0) /* single devices are seeds, too */
            status = he_guard(&f->contest);
        if (status == HE_ERR_UNSUPPORTED) /* path: too many devices */
            status = HE_OK;
    }
    if (status == HE_OK && objective == HE_OBJECTIVE_THROUGHPUT) {
        part = share(f, 0.5);
        status = he_contest_run(&f->contest, f->problem, he_policy_throughput, &part);
    }
    if (status == HE_OK && objective == HE_OBJECTIVE_ENERGY)
        status = he_contest_run(&f->contest, f->problem, he_policy_energy, &part);
    if (status == HE_OK && (objective == HE_OBJECTIVE_LATENCY || objective == HE_OBJECTIVE_ENERGY))
        status = he_seeds_enter(&f->contest, f->problem, f->options, share_end(f, 0.3), LIST_WORK);
    if (status == HE_OK && f->problem->task_count > OPTIMUM_TASKS)
        status = search_large(f, he_shop_fits(f->problem) ? 0.35 : 0.5, 0.5);
    return status;
}

/* 0 without a limit. */
static double seconds_left(const struct portfolio *f)
{
    uint64_t now = f->deadline_ns ? he_place_now_ns(f->options) : 0;

    return now < f->deadline_ns ? (double)(f->deadline_ns - now) * 1e-9 : 0.0;
}

/* Nothing is better than the best so far. */
static bool is_proven(const struct portfolio *f)
{
    return f->contest.has_best &&
           f->contest.value <=
               he_place_lower_bound(f->problem, f->options->objective) * (1.0 + 1e-9);
}

static he_status search(struct portfolio *f)
{
    struct he_place_options rest = *f->options, quick = *f->options;
    he_status status = HE_OK;

    quick.time_limit = 0.0;
    if (f->problem->task_count <= HE_EXACT_TASKS) {
        status = he_local_search(&f->contest, f->problem, &quick, 0.05);
        if (status == HE_OK)
            status = he_exact_search(&f->contest, f->problem, f->options, EXACT_NODES,
                                     f->deadline_ns);
        if (status != HE_ERR_UNSUPPORTED)
            return status; /* proven */
    } else if (f->problem->task_count <= OPTIMUM_TASKS &&
               he_optimum_takes(&f->contest, f->problem)) {
        status = he_local_search(&f->contest, f->problem, &quick, 0.2);
        if (status == HE_OK)
            status = he_optimum_search(&f->contest, f->problem, f->options,
                                       f->deadline_ns ? UINT64_MAX : OPTIMUM_NODES,
                                       share_end(f, 0.7));
        if (status != HE_ERR_UNSUPPORTED)
            return status;
    }
    if (f->options->objective != HE_OBJECTIVE_LATENCY || !he_shop_fits(f->problem)) {
        rest.time_limit = seconds_left(f);
        return f->deadline_ns && rest.time_limit <= 0.0
                   ? HE_OK
                   : he_local_search(&f->contest, f->problem, &rest, 1.0);
    }
    /* Each finds now and then what the other does not; the shop's search is the stronger one. */
    rest.time_limit = (1.0 - SHOP_LOCAL_SHARE) * seconds_left(f);
    if (f->deadline_ns && rest.time_limit <= 0.0)
        return HE_OK;
    status = he_shop_search(&f->contest, f->problem, &rest, 1.0);
    rest.time_limit = seconds_left(f);
    if (status != HE_OK || (f->deadline_ns && (rest.time_limit <= 0.0 || is_proven(f))))
        return status;
    return he_local_search(&f->contest, f->problem, &rest, SHOP_LOCAL_SHARE);
}

he_status he_policy_portfolio(const struct he_problem *p, const struct he_place_options *options,
                              struct he_arena *arena, struct he_placement *out)
{
    struct he_arena scratch;
    struct portfolio f = { .problem = p, .options = options };
    he_status status;

    f.deadline_ns = he_place_deadline(options);
    he_arena_init(&scratch, &p->arena.alloc);
    status = he_contest_init(&f.contest, p, options->objective, &scratch);
    if (status == HE_OK && is_large(&f))
        status = run_large(&f);
    if (status == HE_OK && (!is_large(&f) || !f.contest.has_best))
        status = run_members(&f);
    if (status == HE_OK && !is_large(&f))
        status = search(&f);
    if (status == HE_OK)
        status = he_contest_answer(&f.contest, arena, out);
    he_contest_fini(&f.contest);
    he_arena_fini(&scratch);
    return status;
}
