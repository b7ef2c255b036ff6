/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Budgets and lower bounds, against trying everything: on small random problems with every kind
 * of limit the cost strategy finds the optimum, nothing is called infeasible that is not, and no
 * bound lies above an optimum.
 */
#include "place_support.h"

#include "place/judge.h"
#include "place/rows.h"

/* --- Trying everything --- */

struct everything {
    const struct he_problem *problem;
    struct he_judge judge;
    uint32_t device[8], order[8];
    bool is_used[8];
    double best[4];
};

static void try_devices(struct everything *all, uint32_t task)
{
    if (task == all->problem->task_count) {
        ck_assert_int_eq(he_judge_run(&all->judge, all->device, all->order, false), HE_OK);
        for (int k = 0; k < 4; k++)
            all->best[k] = fmin(all->best[k],
                                he_figures_value(&all->judge.figures, (enum he_objective)k));
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

/* The optimum of every objective, INFINITY when nothing fits; sums do not need all orders. */
static void optima(const struct he_problem *p, bool any_order, double *best)
{
    struct everything all = { .problem = p, .best = { INFINITY, INFINITY, INFINITY, INFINITY } };

    ck_assert_int_eq(he_judge_init(&all.judge, p), HE_OK);
    for (uint32_t t = 0; t < p->task_count; t++)
        all.order[t] = t;
    if (any_order)
        try_orders(&all, 0);
    else
        try_devices(&all, 0);
    he_judge_fini(&all.judge);
    memcpy(best, all.best, sizeof all.best);
}

/* --- Random limits of every kind --- */

static void add_resource(struct he_problem *p, struct place_random *r, uint32_t k, double room)
{
    double *amount = (double *)p->resources[k].amount, total = 0.0;

    p->resources[k].name = k ? "dsp" : "lut";
    for (uint32_t t = 0; t < p->task_count; t++) {
        double least = INFINITY;

        for (uint32_t j = 0; j < p->device_count; j++) {
            double *cell = &amount[(size_t)t * p->device_count + j];

            *cell = place_below(r, 4) ? 1.0 + place_below(r, 30) : 0.0;
            least = fmin(least, *cell);
        }
        total += least;
    }
    if (place_below(r, 2))
        p->resources[k].limit = ceil(total * room);
    for (uint32_t j = 0; j < p->device_count; j++) {
        if (place_below(r, 2))
            ck_assert_int_eq(he_resource_limit_device(&p->resources[k], j,
                                                      ceil((total + 20.0) * room / p->device_count),
                                                      p->device_count, &p->arena),
                             HE_OK);
    }
}

static struct he_problem *limited(const struct place_shape *shape, uint64_t seed)
{
    struct he_problem *p = place_random(shape, seed);
    struct place_random r = { seed * 77u + 5u };
    double memory = 0.0, room = 0.7 + place_uniform(&r);

    p->resource_count = place_below(&r, 3);
    p->resources = he_arena_alloc(&p->arena, p->resource_count, sizeof *p->resources);
    p->ignores_tensors = place_below(&r, 3) > 0;
    p->has_contention = place_below(&r, 3) > 0;
    for (uint32_t k = 0; k < p->resource_count; k++) {
        p->resources[k].limit = INFINITY;
        p->resources[k].amount =
            he_arena_alloc(&p->arena, (size_t)p->task_count * p->device_count, sizeof(double));
        add_resource(p, &r, k, room);
    }
    for (uint32_t t = 0; t < p->task_count; t++) {
        p->task_memory[t] = 1.0 + place_below(&r, 100);
        memory += p->task_memory[t];
    }
    for (uint32_t j = 0; j < p->device_count; j++) {
        p->devices[j].price_per_hour = 1.0 + place_below(&r, 4);
        p->devices[j].memory_bytes = INFINITY;
        if (place_below(&r, 2))
            p->devices[j].memory_bytes = memory * room / (p->ignores_tensors ? 1.6 : 0.6);
    }
    if (place_below(&r, 3) == 0)
        p->limits.price_per_hour = 2.0 + place_below(&r, 6);
    if (place_below(&r, 3) == 0)
        p->limits.power_watts = 15.0 + place_below(&r, 40);
    if (place_below(&r, 4) == 0)
        p->limits.memory_bytes = memory * (p->ignores_tensors ? 1.0 : 0.9 + place_uniform(&r)) + 1000;
    ck_assert_msg(he_problem_index(p) == HE_OK, "%s", he_error_message());
    return p;
}

static struct place_shape shape_of(int k)
{
    return (struct place_shape){ .tasks = 2 + (uint32_t)k % 5,
                                 .devices = 2 + (uint32_t)(k / 5) % 3,
                                 .density = k % 3,
                                 .transfers = k % 4 == 0 ? 0.0 : k % 4 == 1 ? 0.1 : 2.0,
                                 .has_groups = k % 5 == 0,
                                 .has_shared_tensors = k % 2 == 0,
                                 .has_shared_servers = k % 7 == 0,
                                 .has_launch = k % 3 == 0,
                                 .has_holes = k % 6 == 0 };
}

#define ROUNDS 8
#define PROBLEMS 60

START_TEST(cost_within_any_budget_is_the_optimum)
{
    int feasible = 0, tight = 0;

    for (int k = _i * PROBLEMS; k < (_i + 1) * PROBLEMS; k++) {
        struct place_shape shape = shape_of(k);
        struct he_problem *p = limited(&shape, 9000u + (uint64_t)k);
        struct he_placement answer;
        struct he_schedule s;
        double best[4];
        he_status status = he_place(p, "cost", NULL, &p->arena, &answer, &s);

        optima(p, false, best);
        if (isinf(best[HE_OBJECTIVE_COST]) && p->ignores_tensors) {
            ck_assert_msg(status == HE_ERR_BUDGET, "problem %d has no answer", k);
            ck_assert_msg(strstr(he_error_message(), "no plan fits") != NULL, "problem %d: %s", k,
                          he_error_message());
            tight++;
        } else if (p->ignores_tensors) {
            ck_assert_msg(status == HE_OK, "problem %d, optimum %g: %s", k,
                          best[HE_OBJECTIVE_COST], he_error_message());
            place_check(p, &answer, &s);
            ck_assert_msg(place_near(s.sum_cost, best[HE_OBJECTIVE_COST]),
                          "problem %d: %g, best is %g", k, s.sum_cost, best[HE_OBJECTIVE_COST]);
            feasible++;
        }
        /* Live tensors depend on the order: the natural one is not always the best. */
        if (!isinf(best[HE_OBJECTIVE_COST]))
            ck_assert_msg(status == HE_OK, "problem %d: %s", k, he_error_message());
        he_problem_destroy(p);
    }
    ck_assert_int_gt(feasible, PROBLEMS / 4);
    ck_assert_int_gt(tight, 0);
}
END_TEST

START_TEST(no_bound_is_above_an_optimum)
{
    for (int k = _i * PROBLEMS; k < (_i + 1) * PROBLEMS; k++) {
        struct place_shape shape = shape_of(k);
        struct he_problem *p;
        double best[4];

        shape.tasks = 2 + (uint32_t)k % 4;
        p = k % 2 ? limited(&shape, 500u + (uint64_t)k) : place_random(&shape, 500u + (uint64_t)k);
        if (k % 3 == 0) { /* a task without inputs waits for no other device */
            p->waking = he_arena_copy(&p->arena, p->launch, p->device_count * sizeof(double));
            for (uint32_t j = 0; j < p->device_count; j++)
                p->waking[j] *= 0.5;
        }
        optima(p, true, best);
        for (int objective = 0; objective <= HE_OBJECTIVE_ENERGY; objective++) {
            struct he_bound bound = he_place_bound(p, (enum he_objective)objective);

            ck_assert_msg(bound.value <= best[objective] * (1.0 + 1e-12),
                          "problem %d, %s: the bound %.17g (%s) is above %.17g", k,
                          he_objective_name((enum he_objective)objective), bound.value, bound.by,
                          best[objective]);
            ck_assert_msg(bound.value > 0.0 && strcmp(bound.by, "none") != 0, "problem %d: %g", k,
                          bound.value);
        }
        he_problem_destroy(p);
    }
}
END_TEST

/* Problems where one bound is the optimum, or nearly, and the others are not. */
static const struct {
    const char *what, *problem, *by;
    enum he_objective objective;
    double value;
} winners[] = {
    { "a chain", "dev a; dev b; task x a=1 b=2; task y a=2 b=2; edge x y 1", "path",
      HE_OBJECTIVE_LATENCY, 3.0 },
    { "equal halves", "dev a; dev b; task w a=1 b=1; task x a=1 b=1; task y a=1 b=1; task z a=1 b=1",
      "area", HE_OBJECTIVE_LATENCY, 2.0 },
    { "three on two", "dev a; dev b; task x a=2 b=2; task y a=2 b=2; task z a=2 b=2", "pair",
      HE_OBJECTIVE_LATENCY, 4.0 },
    { "four between a first and a last",
      "dev a; dev b; task f a=1 b=1; task w a=1 b=1; task x a=1 b=1; task y a=1 b=1; task z a=1 b=1;"
      "task l a=1 b=1; edge f w 0; edge f x 0; edge f y 0; edge f z 0; edge w l 0; edge x l 0;"
      "edge y l 0; edge z l 0", "window", HE_OBJECTIVE_LATENCY, 4.0 },
    { "a group", "dev a; dev b; task x a=2 b=2; task y a=2 b=2; task z a=1 b=1; group x y", "unit",
      HE_OBJECTIVE_THROUGHPUT, 4.0 },
    { "the fast device holds one of two",
      "dev a mem=10; dev b; task x a=1 b=9 mem=10; task y a=1 b=9 mem=10", "capacity",
      HE_OBJECTIVE_LATENCY, 9.0 },
    { "the cheap device holds one of two",
      "dev a mem=10; dev b; task x a=1 b=4 mem=10; task y a=1 b=5 mem=10", "lagrange",
      HE_OBJECTIVE_COST, 5.0 },
    { "there and back", "dev a; dev b; link a b 1 0; link b a 1 0; task x a=1 b=9; task y a=9 b=1;"
      "edge x y 3", "tree", HE_OBJECTIVE_COST, 5.0 },
    { "joules and idle watts", "dev a idle=1 busy=3; dev b idle=1 busy=5; task x a=2 b=1", "least",
      HE_OBJECTIVE_ENERGY, 6.0 },
};

START_TEST(the_bound_that_wins_is_named)
{
    struct he_problem *p = place_parse(winners[_i].problem);
    struct he_bound bound;

    p->ignores_tensors = true;
    bound = he_place_bound(p, winners[_i].objective);
    ck_assert_msg(strcmp(bound.by, winners[_i].by) == 0, "%s: %s, %g", winners[_i].what, bound.by,
                  bound.value);
    ck_assert_msg(bound.value >= winners[_i].value * 0.95 &&
                      bound.value <= winners[_i].value * (1.0 + 1e-9),
                  "%s: %s, %g", winners[_i].what, bound.by, bound.value);
    he_problem_destroy(p);
}
END_TEST

/* --- Assignment --- */

/* Jobs of the hard kind: what is cheap takes much (type E of the literature, smaller). */
static struct he_problem *assignment(uint32_t jobs, uint32_t agents, uint64_t seed)
{
    struct he_problem *p = place_blank(jobs, agents, 0, 1);
    struct place_random r = { seed };
    double *amount = (double *)p->resources[0].amount, total = 0.0;

    p->resources[0].name = "load";
    for (size_t k = 0; k < (size_t)jobs * agents; k++) {
        amount[k] = 1.0 + floor(30.0 * place_uniform(&r));
        p->time[k] = 40.0 - amount[k] + place_below(&r, 10);
        total += amount[k];
    }
    for (uint32_t j = 0; j < agents; j++)
        ck_assert_int_eq(he_resource_limit_device(&p->resources[0], j,
                                                  floor(0.8 * total / agents / agents), agents,
                                                  &p->arena),
                         HE_OK);
    ck_assert_int_eq(he_problem_index(p), HE_OK);
    return p;
}

START_TEST(assignments_are_near_their_bound)
{
    struct he_problem *p = assignment(60 + 20 * (uint32_t)_i, 4 + (uint32_t)_i, 31u + (uint64_t)_i);
    struct he_placement answer;
    struct he_schedule s;
    struct he_bound bound = he_place_bound(p, HE_OBJECTIVE_COST);

    ck_assert_msg(he_place(p, "cost", NULL, &p->arena, &answer, &s) == HE_OK, "%s",
                  he_error_message());
    place_check(p, &answer, &s);
    ck_assert_str_eq(bound.by, "lagrange");
    ck_assert_msg(s.sum_cost <= bound.value * 1.01, "%g is far from the bound %g", s.sum_cost,
                  bound.value);
    ck_assert_double_ge(s.sum_cost, bound.value * (1.0 - 1e-12));
    he_problem_destroy(p);
}
END_TEST

/* The least and the dearest that fit, by trying everything. */
static void try_assignments(const struct he_rows *rows, const double *cost, uint32_t *device,
                            uint32_t unit, double *least, double *most, uint32_t *dearest)
{
    double used[8], sum = 0.0;

    for (device[unit] = 0; unit < rows->unit_count && device[unit] < rows->device_count;
         device[unit]++)
        try_assignments(rows, cost, device, unit + 1, least, most, dearest);
    if (unit < rows->unit_count || !he_rows_used(rows, device, used))
        return;
    for (uint32_t u = 0; u < rows->unit_count; u++)
        sum += cost[u * rows->device_count + device[u]];
    if (sum > *most && !isinf(sum)) {
        memcpy(dearest, device, rows->unit_count * sizeof *device);
        *most = sum;
    }
    *least = fmin(*least, sum);
}

START_TEST(fixing_keeps_the_optimum)
{
    int feasible = 0;

    for (uint32_t k = 0; k < 60; k++) {
        struct he_problem *p = assignment(5 + k % 4, 2 + k % 3, 700u + 60u * (uint64_t)_i + k);
        struct place_random r = { k + 1u };
        struct he_place_options options = { .objective = HE_OBJECTIVE_COST };
        struct he_rows_search search = { .options = &options };
        struct he_units units;
        struct he_rows rows;
        uint32_t device[9], dearest[9];
        double cost[64], multipliers[8], least = INFINITY, most = -INFINITY, sum = 0.0, bound;

        ck_assert_int_eq(he_units_init(&units, p, &p->arena), HE_OK);
        ck_assert_int_eq(he_rows_init(&rows, &units, &p->arena), HE_OK);
        for (uint32_t t = 0; t < p->task_count; t++)
            p->time[t * p->device_count] += k % 4 == 0 ? place_uniform(&r) : 0.0;
        he_rows_price(&rows, p->time, cost);
        try_assignments(&rows, cost, device, 0, &least, &most, dearest);
        if (!isinf(least) && rows.row_count) {
            ck_assert_int_eq(he_rows_dual(&rows, cost, 40, 1e5, &options, 0, multipliers, &bound),
                             HE_OK);
            /* Any multipliers will do, though bad ones fix little. */
            for (uint32_t row = 0; k % 3 == 0 && row < rows.row_count; row++)
                multipliers[row] *= 2.0 * place_uniform(&r);
            bound = he_rows_bound(&rows, cost, multipliers);
            search.rows = &rows;
            search.cost = cost;
            search.multipliers = multipliers;
            search.grain = he_rows_grain(&rows, cost);
            for (int again = 0; again < 16; again++) /* from value to value when bounds are far */
                ck_assert_int_eq(he_rows_narrow(&search, dearest, &bound), HE_OK);
            for (uint32_t u = 0; u < rows.unit_count; u++)
                sum += cost[u * rows.device_count + dearest[u]];
            ck_assert_msg(place_near(sum, least), "problem %u: %g, best is %g", k, sum, least);
            ck_assert_msg(bound <= least + 1e-6 && bound >= least - 1e-6,
                          "problem %u: bound %g, best is %g", k, bound, least);
            feasible++;
        }
        he_problem_destroy(p);
    }
    ck_assert_int_gt(feasible, 30);
}
END_TEST

/* Without its limit the search takes minutes here; the case's time-out is the limit's test. */
START_TEST(assignment_ends_with_its_time)
{
    struct he_problem *p = assignment(400, 20, 3);
    struct he_place_options options = { .objective = HE_OBJECTIVE_COST, .time_limit = 0.1,
                                        .counts_cpu_time = true };
    struct he_placement answer;
    struct he_schedule s;

    ck_assert_int_eq(he_place(p, "cost", &options, &p->arena, &answer, &s), HE_OK);
    place_check(p, &answer, &s);
    he_problem_destroy(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("budgets");
    TCase *tc = tcase_create("budgets");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, cost_within_any_budget_is_the_optimum, 0, ROUNDS);
    tcase_add_loop_test(tc, no_bound_is_above_an_optimum, 0, ROUNDS);
    tcase_add_loop_test(tc, the_bound_that_wins_is_named, 0, (int)HE_COUNT(winners));
    tcase_add_loop_test(tc, assignments_are_near_their_bound, 0, 3);
    tcase_add_loop_test(tc, fixing_keeps_the_optimum, 0, 3);
    tcase_add_test(tc, assignment_ends_with_its_time);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
