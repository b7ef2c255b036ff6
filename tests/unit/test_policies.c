/* SPDX-License-Identifier: Apache-2.0 */
/* What each policy promises: optima found by trying everything, chains, large graphs in time. */
#include "place_support.h"

#include "core/clock.h"
#include "place/judge.h"
#include "place/maxflow.h"
#include "place/minsum.h"

static double value_of(const struct he_problem *p, const char *policy, enum he_objective objective,
                       const char **winner)
{
    struct he_place_options options = { .objective = objective, .seed = 1 };
    struct he_placement answer = { 0 };
    struct he_schedule s;
    struct he_arena arena;
    double value = INFINITY;
    he_status status;

    he_arena_init(&arena, &he_allocator_default);
    status = he_policy_find(policy)->run(p, &options, &arena, &answer);
    ck_assert_msg(status == HE_OK || status == HE_ERR_BUDGET, "%s: %s", policy, he_error_message());
    if (status == HE_OK) {
        ck_assert_msg(he_place_evaluate(p, &answer, &arena, &s) == HE_OK, "%s: %s", policy,
                      he_error_message());
        place_check(p, &answer, &s);
        value = he_schedule_value(&s, objective);
    }
    if (winner)
        *winner = answer.policy;
    he_arena_fini(&arena);
    return value;
}

/* --- Trying everything --- */

struct everything {
    const struct he_problem *problem;
    struct he_judge judge;
    enum he_objective objective;
    uint32_t device[8], order[8];
    bool is_used[8];
    double best;
};

static void try_devices(struct everything *all, uint32_t task)
{
    if (task == all->problem->task_count) {
        ck_assert_int_eq(he_judge_run(&all->judge, all->device, all->order, false), HE_OK);
        all->best = fmin(all->best, he_figures_value(&all->judge.figures, all->objective));
        return;
    }
    for (all->device[task] = 0; all->device[task] < all->problem->device_count; all->device[task]++)
        try_devices(all, task + 1);
}

static void try_orders(struct everything *all, uint32_t place)
{
    const struct he_problem *p = all->problem;

    if (place == p->task_count) {
        try_devices(all, 0);
        return;
    }
    for (uint32_t t = 0; t < p->task_count; t++) {
        bool is_ready = !all->is_used[t];

        for (uint32_t k = p->in_start[t]; k < p->in_start[t + 1]; k++)
            is_ready &= all->is_used[p->edges[p->in_edges[k]].from];
        if (!is_ready)
            continue;
        all->is_used[t] = true;
        all->order[place] = t;
        try_orders(all, place + 1);
        all->is_used[t] = false;
    }
}

static double optimum(const struct he_problem *p, enum he_objective objective, bool any_order)
{
    struct everything all = { .problem = p, .objective = objective, .best = INFINITY };

    ck_assert_int_eq(he_judge_init(&all.judge, p), HE_OK);
    for (uint32_t t = 0; t < p->task_count; t++)
        all.order[t] = t;
    if (any_order)
        try_orders(&all, 0);
    else
        try_devices(&all, 0);
    he_judge_fini(&all.judge);
    return all.best;
}

/* The least makespan over all orders of tasks and transfers together: what no order of tasks
 * alone may lead to. One assignment of devices at a time. */
struct every_item {
    const struct he_problem *problem;
    struct he_judge judge;
    uint32_t device[8], order[8], items[64];
    bool is_done[64];
    double best;
};

static void try_items(struct every_item *all, uint32_t place, uint32_t tasks)
{
    const struct he_problem *p = all->problem;
    uint32_t count = p->task_count + p->edge_count;

    if (place == count) {
        ck_assert_int_eq(he_judge_run_items(&all->judge, all->device, all->order, all->items, false),
                         HE_OK);
        all->best = fmin(all->best, all->judge.figures.makespan);
        return;
    }
    for (uint32_t item = 0; item < count; item++) {
        bool is_ready = !all->is_done[item];

        if (item >= p->task_count) {
            const struct he_place_edge *e = &p->edges[item - p->task_count];

            is_ready &= all->is_done[e->from];
            /* Where nothing moves, when is no matter: at once. */
            if (is_ready && all->device[e->from] == all->device[e->to]) {
                all->is_done[item] = true;
                all->items[place] = item;
                try_items(all, place + 1, tasks);
                all->is_done[item] = false;
                return;
            }
        } else {
            for (uint32_t k = p->in_start[item]; k < p->in_start[item + 1]; k++)
                is_ready &= all->is_done[p->task_count + p->in_edges[k]];
        }
        if (!is_ready)
            continue;
        all->is_done[item] = true;
        all->items[place] = item;
        if (item < p->task_count)
            all->order[tasks] = item;
        try_items(all, place + 1, tasks + (item < p->task_count));
        all->is_done[item] = false;
    }
}

static void try_devices_of_items(struct every_item *all, uint32_t task)
{
    if (task == all->problem->task_count) {
        try_items(all, 0, 0);
        return;
    }
    for (all->device[task] = 0; all->device[task] < all->problem->device_count; all->device[task]++)
        try_devices_of_items(all, task + 1);
}

START_TEST(exact_is_the_optimum_over_all_orders_of_tasks_and_transfers)
{
    for (uint64_t k = 0; k < 60; k++) {
        struct place_shape shape = { .tasks = 5, .devices = 2, .density = 1.4,
                                     .transfers = 0.3 + 0.4 * (double)(k % 3),
                                     .has_shared_tensors = k % 4 == 0, .has_launch = k % 5 == 0 };
        struct he_problem *p = place_random(&shape, 7000 + k);
        struct every_item all = { .problem = p, .best = INFINITY };

        if (p->edge_count <= 7) {
            struct he_placement answer;
            struct he_schedule s;

            ck_assert_int_eq(he_judge_init(&all.judge, p), HE_OK);
            try_devices_of_items(&all, 0);
            he_judge_fini(&all.judge);
            ck_assert_int_eq(he_place(p, "latency_aware", NULL, &p->arena, &answer, &s), HE_OK);
            ck_assert_msg(answer.proven <= all.best * (1.0 + 1e-12) &&
                              place_near(answer.proven, all.best),
                          "problem %d: %g is said to be proven, the optimum is %g", (int)k,
                          answer.proven, all.best);
            ck_assert_msg(place_near(all.best, value_of(p, "exact", HE_OBJECTIVE_LATENCY, NULL)),
                          "problem %d: the optimum is %g", (int)k, all.best);
        }
        he_problem_destroy(p);
    }
}
END_TEST

START_TEST(exact_sends_what_is_needed_later_first_where_that_pays)
{
    /* b needs a long transfer that could go first, but a, before it in any order, needs the link
     * too: by orders of tasks alone 9 is the best. */
    struct he_problem *p =
        place_parse("dev x; dev y; link x y 1 0; task p x=1; task q x=2; task a y=1; task b y=1;"
                    "edge p q 0; edge p b 3; edge q a 2; edge a b 0");

    ck_assert(place_near(optimum(p, HE_OBJECTIVE_LATENCY, true), 9.0));
    ck_assert(place_near(value_of(p, "exact", HE_OBJECTIVE_LATENCY, NULL), 8.0));
    ck_assert(place_near(value_of(p, "portfolio", HE_OBJECTIVE_LATENCY, NULL), 8.0));
    he_problem_destroy(p);
}
END_TEST

static struct place_shape tiny(int k)
{
    return (struct place_shape){ .tasks = 2 + (uint32_t)k % 4,
                                 .devices = 2 + (uint32_t)(k / 4) % 2,
                                 .density = 1 + k % 3,
                                 .transfers = k % 3 == 0 ? 0.1 : k % 3 == 1 ? 1.0 : 4.0,
                                 .has_groups = k % 5 == 0,
                                 .has_shared_tensors = k % 2 == 0,
                                 .has_shared_servers = k % 7 == 0,
                                 .has_launch = k % 4 == 0,
                                 .has_holes = k % 6 == 0 };
}

START_TEST(exact_finds_what_trying_everything_finds)
{
    for (int k = 0; k < 40; k++) {
        struct place_shape shape = tiny(_i * 40 + k);
        struct he_problem *p = place_random(&shape, (uint64_t)(_i * 40 + k));

        p->has_contention = k % 3 != 0;
        for (int objective = 0; objective <= HE_OBJECTIVE_ENERGY; objective++) {
            bool any_order = objective == HE_OBJECTIVE_LATENCY || objective == HE_OBJECTIVE_ENERGY;
            double best = optimum(p, (enum he_objective)objective, any_order);
            double found = value_of(p, "exact", (enum he_objective)objective, NULL);

            /* Makespans are those of all schedules, best is that of orders of tasks. */
            ck_assert_msg(place_near(best, found) ||
                              (objective == HE_OBJECTIVE_LATENCY && p->has_contention &&
                               found < best),
                          "problem %d, %s: %g, best is %g", k,
                          he_objective_name((enum he_objective)objective), found, best);
            ck_assert_double_le(he_place_lower_bound(p, (enum he_objective)objective),
                                best * (1 + 1e-9));
        }
        he_problem_destroy(p);
    }
}
END_TEST

START_TEST(cost_is_the_least_sum_on_small_graphs)
{
    for (int k = 0; k < 60; k++) {
        struct place_shape shape = tiny(k);
        struct he_placement answer;
        struct he_schedule s;
        struct he_problem *p;
        double best;

        shape.tasks = 2 + (uint32_t)k % 6;
        p = place_random(&shape, 1000u + (uint64_t)k);
        best = optimum(p, HE_OBJECTIVE_COST, false);
        ck_assert_int_eq(he_place(p, "cost", NULL, &p->arena, &answer, &s), HE_OK);
        ck_assert_msg(place_near(s.sum_cost, best), "problem %d: %g, best is %g", k, s.sum_cost,
                      best);
        ck_assert_msg(answer.proven <= best && answer.proven >= best * (1.0 - 1e-8),
                      "problem %d: %g is said to be proven, best is %g", k, answer.proven, best);
        he_problem_destroy(p);
    }
}
END_TEST

/* Memory for a part of the weights on each device: every task somewhere, the best of what fits. */
START_TEST(cost_keeps_to_memory_and_is_the_best_that_does)
{
    int feasible = 0;

    for (int k = 0; k < 60; k++) {
        struct place_shape shape = { .tasks = 3 + (uint32_t)k % 5, .devices = 2 + (uint32_t)k % 2,
                                     .density = 1, .transfers = 0.5, .has_limits = true };
        struct he_problem *p = place_random(&shape, 500u + (uint64_t)k);
        double best, total = 0.0, found;

        p->ignores_tensors = true;
        for (uint32_t t = 0; t < p->task_count; t++)
            total += p->task_memory[t];
        for (uint32_t j = 0; j < p->device_count; j++)
            p->devices[j].memory_bytes = p->weight_limit[j] = total * (k % 3 == 0 ? 0.55 : 0.8);
        best = optimum(p, HE_OBJECTIVE_COST, false);
        found = value_of(p, "cost", HE_OBJECTIVE_COST, NULL);
        ck_assert_msg(place_near(best, found) || (isinf(best) && isinf(found)),
                      "problem %d: %g, best is %g", k, found, best);
        feasible += !isinf(best);
        he_problem_destroy(p);
    }
    ck_assert_int_gt(feasible, 40);
}
END_TEST

/* Larger: two devices without limits is a minimum cut, so that branch and bound cannot do better. */
START_TEST(cut_is_the_optimum_of_two_devices)
{
    for (int k = 0; k < 30; k++) {
        struct place_shape shape = { .tasks = 14, .devices = 2, .density = 1.5,
                                     .transfers = k % 3 ? 0.6 : 0.2, .has_shared_tensors = k % 2 };
        struct he_problem *p = place_random(&shape, 200u + (uint64_t)k);
        struct he_arena arena;
        struct he_units units;
        struct he_min_sum cut, tree;
        uint32_t start[14] = { 0 };
        bool is_better = true, is_proven;

        he_arena_init(&arena, &he_allocator_default);
        ck_assert_int_eq(he_units_init(&units, p, &arena), HE_OK);
        ck_assert_int_eq(he_min_sum_init(&cut, &units, units.time, 1, 1, &arena), HE_OK);
        ck_assert_int_eq(he_min_sum_init(&tree, &units, units.time, 1, 1, &arena), HE_OK);
        he_min_sum_set(&cut, start);
        ck_assert_int_eq(he_min_sum_swap(&cut, UINT64_MAX / 2, &is_better), HE_OK);
        he_min_sum_set(&tree, start);
        ck_assert_int_eq(he_min_sum_exact(&tree, NULL, UINT64_MAX, &arena, &is_proven), HE_OK);
        ck_assert(is_proven);
        ck_assert_msg(place_near(cut.value, tree.value), "problem %d: cut %g, optimum %g", k, cut.value,
                      tree.value);
        ck_assert(place_near(cut.value, he_min_sum_value(&cut)));
        he_min_sum_fini(&cut);
        he_min_sum_fini(&tree);
        he_arena_fini(&arena);
        he_problem_destroy(p);
    }
}
END_TEST

START_TEST(maximum_flow_is_the_one_of_the_textbook)
{
    /* Cormen et al., figure 26.1: 23 from source to sink. */
    static const struct {
        uint32_t from, to;
        double capacity;
    } arcs[] = { { 0, 2, 16 }, { 0, 3, 13 }, { 3, 2, 4 }, { 2, 4, 12 }, { 4, 3, 9 },
                 { 3, 5, 14 }, { 5, 4, 7 },  { 4, 1, 20 }, { 5, 1, 4 } };
    struct he_flow flow;
    double cut = 0.0;

    he_flow_init(&flow, &he_allocator_default);
    ck_assert_int_eq(he_flow_reset(&flow, 6), HE_OK);
    for (size_t k = 0; k < HE_COUNT(arcs); k++)
        ck_assert_int_eq(he_flow_add(&flow, arcs[k].from, arcs[k].to, arcs[k].capacity, 0), HE_OK);
    ck_assert(he_flow_cut(&flow, 1000000));
    for (size_t k = 0; k < HE_COUNT(arcs); k++) {
        if (he_flow_is_source_side(&flow, arcs[k].from) && !he_flow_is_source_side(&flow, arcs[k].to))
            cut += arcs[k].capacity;
    }
    ck_assert(cut == 23.0);
    ck_assert(he_flow_is_source_side(&flow, HE_FLOW_SOURCE) &&
              !he_flow_is_source_side(&flow, HE_FLOW_SINK));
    he_flow_fini(&flow);
}
END_TEST

/* --- Chains: what the dynamic programmes are exact on --- */

static struct he_problem *chain(uint32_t n, uint32_t d, uint64_t seed)
{
    struct place_random r = { seed };
    struct he_problem *p = place_blank(n, d, n - 1, 0);

    for (size_t k = 0; k < (size_t)n * d; k++)
        p->time[k] = 0.1 + place_uniform(&r);
    for (uint32_t t = 0; t + 1 < n; t++) {
        p->edges[t].from = t;
        p->edges[t].to = t + 1;
        p->edges[t].bytes = 100.0 * place_uniform(&r);
    }
    for (size_t k = 0; k < (size_t)d * d; k++) {
        if (k % (d + 1) != 0)
            p->links[k] = (struct he_place_link){ false, 200.0 + 400.0 * place_uniform(&r), 0.05 };
    }
    ck_assert_int_eq(he_problem_index(p), HE_OK);
    return p;
}

START_TEST(path_is_the_optimum_of_a_chain)
{
    for (uint64_t k = 0; k < 30; k++) {
        struct he_problem *p = chain(7, 3, k);
        double best = optimum(p, HE_OBJECTIVE_COST, false);

        ck_assert(place_near(value_of(p, "path", HE_OBJECTIVE_COST, NULL), best));
        ck_assert_msg(place_near(he_place_lower_bound(p, HE_OBJECTIVE_COST), best),
                      "the bound of a chain is %g, its optimum %g",
                      he_place_lower_bound(p, HE_OBJECTIVE_COST), best);
        /* On a chain nothing overlaps: the sum is the makespan. */
        ck_assert(place_near(value_of(p, "path", HE_OBJECTIVE_LATENCY, NULL), best));
        ck_assert(place_near(value_of(p, "portfolio", HE_OBJECTIVE_LATENCY, NULL), best));
        he_problem_destroy(p);
    }
}
END_TEST

START_TEST(throughput_is_near_the_optimum_of_a_chain)
{
    double sum = 0.0;

    for (uint64_t k = 0; k < 30; k++) {
        struct he_problem *p = chain(7, 3, 90 + k);
        double best = optimum(p, HE_OBJECTIVE_THROUGHPUT, false);
        double found = value_of(p, "throughput", HE_OBJECTIVE_THROUGHPUT, NULL);

        ck_assert_msg(found < best * 1.1, "chain %d: %g, best is %g", (int)k, found, best);
        sum += found / best / 30;
        he_problem_destroy(p);
    }
    ck_assert_msg(sum < 1.005, "%g of the optimum on average", sum);
}
END_TEST

/* --- The portfolio --- */

START_TEST(portfolio_is_never_worse_than_its_members)
{
    static const char *const members[] = { "priority", "heft", "peft", "cost", "path" };

    for (int k = 0; k < 12; k++) {
        struct place_shape shape = { .tasks = 5 + 4 * (uint32_t)k, .devices = 2 + (uint32_t)k % 4,
                                     .density = 2, .transfers = k % 2 ? 0.3 : 2,
                                     .has_launch = k % 3 == 0, .has_holes = k % 4 == 0 };
        struct he_problem *p = place_random(&shape, 40u + (uint64_t)k);

        for (int objective = 0; objective <= HE_OBJECTIVE_ENERGY; objective++) {
            double best = value_of(p, "portfolio", (enum he_objective)objective, NULL);

            for (size_t m = 0; m < HE_COUNT(members); m++) {
                double value = value_of(p, members[m], (enum he_objective)objective, NULL);

                ck_assert_msg(best <= value * (1 + 1e-9), "%s: %g, portfolio %g", members[m], value,
                              best);
            }
        }
        he_problem_destroy(p);
    }
}
END_TEST

START_TEST(local_search_improves_on_heft_where_transfers_are_dear)
{
    double sum = 0.0;

    for (int k = 0; k < 10; k++) {
        struct place_shape shape = { .tasks = 30, .devices = 3, .density = 2, .transfers = 3 };
        struct he_problem *p = place_random(&shape, 60u + (uint64_t)k);

        sum += value_of(p, "local", HE_OBJECTIVE_LATENCY, NULL) /
               value_of(p, "heft", HE_OBJECTIVE_LATENCY, NULL) / 10;
        he_problem_destroy(p);
    }
    ck_assert_msg(sum < 0.95, "%g of heft on average", sum);
}
END_TEST

/* --- The table --- */

START_TEST(policies_are_found_by_name)
{
    static const char *const names[] = { "priority", "cost",  "budget",     "heft",  "peft",
                                         "path",     "local", "exact",      "energy", "throughput",
                                         "portfolio" };

    for (size_t k = 0; k < HE_COUNT(names); k++)
        ck_assert_ptr_nonnull(he_policy_find(names[k]));
    ck_assert_ptr_null(he_policy_find("nonsense"));
    ck_assert_ptr_null(he_policy_find(NULL));
    ck_assert_ptr_null(he_policy_at(he_policy_count()));
    for (size_t k = 0; k < he_policy_count(); k++) {
        ck_assert_ptr_eq(he_policy_find(he_policy_at(k)->name), he_policy_at(k));
        ck_assert(strlen(he_policy_at(k)->help) > 0);
    }
}
END_TEST

START_TEST(exact_says_when_a_graph_is_too_large)
{
    struct place_shape shape = { .tasks = 13, .devices = 2 };
    struct he_problem *p = place_random(&shape, 1);
    struct he_placement answer;
    struct he_schedule s;

    ck_assert_int_eq(he_place(p, "exact", NULL, &p->arena, &answer, &s), HE_ERR_UNSUPPORTED);
    ck_assert_str_eq(he_error_message(),
                     "exact takes graphs of at most 12 tasks and this one has 13: use portfolio");
    he_problem_destroy(p);
}
END_TEST

/* --- Size --- */

static struct he_problem *large(uint32_t n, uint32_t d, double transfers)
{
    struct place_random r = { n };
    struct he_problem *p = place_blank(n, d, 2 * n, 0);
    uint32_t e = 0;

    for (uint32_t t = 0; t < n; t++) {
        double work = 0.2 + place_uniform(&r);

        for (uint32_t j = 0; j < d; j++)
            p->time[(size_t)t * d + j] = work / (0.5 + place_uniform(&r));
        for (int k = 0; t > 0 && k < 2; k++) {
            p->edges[e].from = t - 1 - place_below(&r, t < 100 ? t : 100);
            p->edges[e].to = t;
            p->edges[e].tensor = 1;
            p->edges[e].bytes = 1000.0 + p->edges[e].from % 7;
            e += k == 0 || p->edges[e].from != p->edges[e - 1].from;
        }
    }
    p->edge_count = e;
    for (size_t k = 0; k < (size_t)d * d; k++) {
        if (k % (d + 1) != 0)
            p->links[k] = (struct he_place_link){ false, 1000.0 / transfers, 0.0 };
    }
    ck_assert_int_eq(he_problem_index(p), HE_OK);
    return p;
}

/* Quadratic policies would meet the case's time-out; the figures of a quiet machine are in bench/. */
START_TEST(thirty_thousand_tasks_are_placed)
{
    static const char *const policies[] = { "priority", "heft", "peft", "path", "cost" };
    struct he_problem *p = large(30000, 8, 0.2);
    struct he_place_options options = { 0 };
    double bound = he_place_lower_bound(p, HE_OBJECTIVE_LATENCY);

    for (size_t k = 0; k < HE_COUNT(policies); k++) {
        struct he_placement answer;
        struct he_schedule s;
        struct he_arena arena;

        he_arena_init(&arena, &he_allocator_default);
        ck_assert_int_eq(he_policy_find(policies[k])->run(p, &options, &arena, &answer), HE_OK);
        ck_assert_int_eq(he_place_evaluate(p, &answer, &arena, &s), HE_OK);
        ck_assert_double_ge(s.makespan, bound * (1.0 - 1e-9));
        he_arena_fini(&arena);
    }
    he_problem_destroy(p);
}
END_TEST

START_TEST(search_ends_with_its_time)
{
    struct he_problem *p = large(2000, 4, 1.0);
    struct he_place_options options = { .time_limit = 0.5 };
    struct he_placement answer;
    struct he_schedule s;

    ck_assert_int_eq(he_place(p, "latency_aware", &options, &p->arena, &answer, &s), HE_OK);
    place_check(p, &answer, &s);
    he_problem_destroy(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policies");
    TCase *tc = tcase_create("policies");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 180);
    tcase_add_loop_test(tc, exact_finds_what_trying_everything_finds, 0, 3);
    tcase_add_test(tc, exact_is_the_optimum_over_all_orders_of_tasks_and_transfers);
    tcase_add_test(tc, exact_sends_what_is_needed_later_first_where_that_pays);
    tcase_add_test(tc, cost_is_the_least_sum_on_small_graphs);
    tcase_add_test(tc, cost_keeps_to_memory_and_is_the_best_that_does);
    tcase_add_test(tc, cut_is_the_optimum_of_two_devices);
    tcase_add_test(tc, maximum_flow_is_the_one_of_the_textbook);
    tcase_add_test(tc, path_is_the_optimum_of_a_chain);
    tcase_add_test(tc, throughput_is_near_the_optimum_of_a_chain);
    tcase_add_test(tc, portfolio_is_never_worse_than_its_members);
    tcase_add_test(tc, local_search_improves_on_heft_where_transfers_are_dear);
    tcase_add_test(tc, policies_are_found_by_name);
    tcase_add_test(tc, exact_says_when_a_graph_is_too_large);
    tcase_add_test(tc, thirty_thousand_tasks_are_placed);
    tcase_add_test(tc, search_ends_with_its_time);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
