/* SPDX-License-Identifier: Apache-2.0 */
/*
 * portfolio: no list scheduler wins everywhere, so many are run and the best answer by
 * the judge is kept, under the objective that is asked for: the policies, list
 * schedules by every mix of rank, weight of transfers and foresight, the single-device
 * plans; then local search from the best. Tiny graphs are solved exactly.
 */
#include "exact.h"
#include "list.h"
#include "local.h"
#include "rank.h"
#include "shop.h"

/* Without a time limit, list schedules are tried until about this many cells are filled. */
#define LIST_WORK 100000.0
/* Tasks that fit in a tree of this many nodes are solved to the optimum. */
#define EXACT_NODES 100000u

struct portfolio {
    const struct he_problem *problem;
    const struct he_place_options *options;
    struct he_contest contest;
    uint64_t deadline_ns;
};

static he_status try_rule(struct portfolio *f, const struct he_units *units,
                          const struct he_list_rule *rule, uint32_t *device, uint32_t *order)
{
    struct he_arena scratch;
    struct he_placement answer = { 0 };
    he_status status = he_list_schedule(units, rule, device, order);

    if (status == HE_ERR_BUDGET)
        return HE_OK;
    he_arena_init(&scratch, &f->problem->arena.alloc);
    if (status == HE_OK)
        status = he_units_answer(units, device, order, "list", &scratch, &answer);
    if (status == HE_OK)
        status = he_contest_enter(&f->contest, answer.device, answer.order, answer.policy, NULL);
    he_arena_fini(&scratch);
    return status;
}

static he_status try_lists(struct portfolio *f)
{
    static const double weights[] = { 1.0, 0.5, 0.0 }, foresights[] = { 0.0, 0.5, 1.0 };
    const struct he_problem *p = f->problem;
    double cells = ((double)p->task_count + p->edge_count) * p->device_count + 1.0, done = 0.0;
    struct he_arena scratch;
    struct he_units units;
    double *rank, *optimistic;
    uint32_t *device, *order;
    he_status status;

    he_arena_init(&scratch, &p->arena.alloc);
    rank = he_arena_alloc(&scratch, p->task_count, sizeof *rank);
    optimistic = he_arena_alloc(&scratch, p->task_count, p->device_count * sizeof *optimistic);
    device = he_arena_alloc(&scratch, p->task_count, sizeof *device);
    order = he_arena_alloc(&scratch, p->task_count, sizeof *order);
    status = rank && optimistic && device && order ? he_units_init(&units, p, &scratch)
                                                   : he_no_memory();
    if (status == HE_OK)
        he_rank_optimistic(p, optimistic);
    for (size_t k = 0; status == HE_OK && k < 27; k++) {
        struct he_list_rule rule = { .priority = rank, .optimistic = optimistic };

        /* The likeliest winners come first: foresight changes most, rank least. */
        rule.foresight = foresights[k % 3];
        he_rank_upward(p, (enum he_rank_kind)(k / 9), weights[k / 3 % 3], rank);
        if (done + cells > LIST_WORK && !f->deadline_ns && k > 0)
            break;
        if (f->deadline_ns && k > 0 && he_place_now_ns(f->options) >= f->deadline_ns)
            break;
        done += cells;
        status = try_rule(f, &units, &rule, device, order);
    }
    he_arena_fini(&scratch);
    return status;
}

/* Shares of a time limit: what is left is the local search's. */
static struct he_place_options share(const struct portfolio *f, double fraction)
{
    struct he_place_options part = *f->options;

    part.time_limit *= fraction;
    return part;
}

static he_status run_members(struct portfolio *f)
{
    enum he_objective objective = f->options->objective;
    struct he_place_options part = share(f, 0.15);
    he_status status = he_guard(&f->contest);

    if (status == HE_OK)
        status = he_contest_run(&f->contest, f->problem, he_policy_priority, &part);
    if (status == HE_OK)
        status = he_contest_run(&f->contest, f->problem, he_policy_heft, &part);
    if (status == HE_OK)
        status = he_contest_run(&f->contest, f->problem, he_policy_peft, &part);
    if (status == HE_OK)
        status = he_contest_run(&f->contest, f->problem, he_policy_cost, &part);
    if (status == HE_OK)
        status = he_contest_run(&f->contest, f->problem, he_policy_path, &part);
    if (status == HE_ERR_UNSUPPORTED) /* path: too many devices */
        status = HE_OK;
    if (status == HE_OK && objective == HE_OBJECTIVE_THROUGHPUT) {
        part = share(f, 0.5);
        status = he_contest_run(&f->contest, f->problem, he_policy_throughput, &part);
    }
    if (status == HE_OK && objective == HE_OBJECTIVE_ENERGY)
        status = he_contest_run(&f->contest, f->problem, he_policy_energy, &part);
    if (status == HE_OK && (objective == HE_OBJECTIVE_LATENCY || objective == HE_OBJECTIVE_ENERGY))
        status = try_lists(f);
    return status;
}

static he_status search(struct portfolio *f)
{
    struct he_place_options rest = *f->options, quick = *f->options;
    he_status status;

    quick.time_limit = 0.0;

    if (f->problem->task_count <= HE_EXACT_TASKS) {
        status = he_local_search(&f->contest, f->problem, &quick, 0.2);
        if (status == HE_OK)
            status = he_exact_search(&f->contest, f->problem, f->options, EXACT_NODES,
                                     f->deadline_ns);
        if (status != HE_ERR_UNSUPPORTED)
            return status; /* proven */
    }
    if (f->deadline_ns) {
        uint64_t now = he_place_now_ns(f->options);

        if (now >= f->deadline_ns)
            return HE_OK;
        rest.time_limit = (double)(f->deadline_ns - now) * 1e-9;
    }
    if (f->options->objective == HE_OBJECTIVE_LATENCY && he_shop_fits(f->problem))
        return he_shop_search(&f->contest, f->problem, &rest, 1.0);
    return he_local_search(&f->contest, f->problem, &rest, 1.0);
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
    if (status == HE_OK)
        status = run_members(&f);
    if (status == HE_OK)
        status = search(&f);
    if (status == HE_OK)
        status = he_contest_answer(&f.contest, arena, out);
    he_contest_fini(&f.contest);
    he_arena_fini(&scratch);
    return status;
}
