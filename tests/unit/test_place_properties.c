/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold for every plan, on ten thousand random task graphs with random machines: the
 * schedule obeys the model (two checkers, neither of them the planner's), budgets are kept, no plan
 * is worse than one device alone nor better than the lower bound, the same seed gives the same
 * plan, and regions are convex, in an order without cycles.
 */
#include "place_support.h"
#include "plan/plan.h"

#define GRAPHS 10000
#define CASES 8 /* loops of the test, so that they may run side by side */

static struct place_shape shape_of(uint32_t k)
{
    static const double transfers[] = { 0.0, 0.1, 1.0, 5.0 };

    return (struct place_shape){ .tasks = 1 + (k * 7) % 11,
                                 .devices = 1 + (k / 5) % 4,
                                 .density = 0.4 + (k / 3) % 4,
                                 .transfers = transfers[k % 4],
                                 .has_limits = k % 6 == 0,
                                 .has_groups = k % 5 == 0,
                                 .has_shared_tensors = k % 3 == 0,
                                 .has_shared_servers = k % 7 == 0,
                                 .has_launch = k % 2 == 0,
                                 .has_holes = k % 4 == 1 };
}

/* Every strategy in turn; those that search for long get few. */
static const char *strategy_of(uint32_t k)
{
    static const char *const quick[] = { "heft", "cost", "peft", "latency_aware", "priority",
                                         "path", "exact", "heft", "cost", "peft" };
    static const char *const slow[] = { "energy_aware", "throughput", "local" };

    if (k % 12 != 11)
        return quick[k % 12 % 10];
    return k / 12 % 8 == 0 ? slow[k / 96 % 3] : "latency_aware";
}

static struct he_problem *make(uint32_t k, const char *strategy)
{
    struct place_shape shape = shape_of(k);
    struct he_problem *p;
    struct place_random r = { k };

    if (strcmp(strategy, "exact") == 0)
        shape.tasks = 1 + shape.tasks % 6; /* tight limits take long to a proof */
    p = place_random(&shape, k);
    p->has_contention = k % 5 != 3;
    for (uint32_t j = 0; j < p->device_count; j++)
        p->devices[j].price_per_hour = 1.0 + place_below(&r, 4);
    if (k % 9 == 2)
        p->limits.price_per_hour = 2.0 + place_below(&r, 8);
    if (k % 9 == 4)
        p->limits.power_watts = 5.0 + place_below(&r, 60);
    return p;
}

static void check_budgets(const struct he_plan *plan)
{
    const struct he_problem *p = plan->problem;
    double price = 0.0, watts = 0.0;

    for (uint32_t j = 0; j < p->device_count; j++) {
        bool is_used = false;

        for (uint32_t t = 0; t < p->task_count; t++)
            is_used |= plan->placement.device[t] == j;
        price += is_used ? p->devices[j].price_per_hour : 0.0;
        watts += is_used ? p->devices[j].busy_watts : 0.0;
    }
    ck_assert_double_le(price, p->limits.price_per_hour * (1 + 1e-9));
    ck_assert_double_le(watts, p->limits.power_watts * (1 + 1e-9));
}

/* Everything on one device, in the order of the numbers: the least that a plan must be. */
static void check_guard(const struct he_plan *plan, const char *strategy)
{
    struct he_problem *p = plan->problem;
    struct he_placement single = { 0 };
    struct he_schedule s;

    if (strcmp(strategy, "priority") == 0)
        return; /* the baseline */
    single.device = he_arena_alloc(&p->arena, p->task_count, sizeof *single.device);
    single.order = he_arena_alloc(&p->arena, p->task_count, sizeof *single.order);
    for (uint32_t j = 0; j < p->device_count; j++) {
        for (uint32_t t = 0; t < p->task_count; t++) {
            single.device[t] = j;
            single.order[t] = t;
        }
        if (he_place_evaluate(p, &single, &p->arena, &s) != HE_OK)
            continue;
        ck_assert_msg(plan->value <= he_schedule_value(&s, plan->objective) * (1 + 1e-9),
                      "%s: %g is worse than %g on %s alone", strategy, plan->value,
                      he_schedule_value(&s, plan->objective), p->devices[j].id);
    }
}

/* A path from region to region that comes back would make one of them not convex: take away
 * regions that nothing left leads to until none is left. */
static void check_regions(const struct he_plan *plan)
{
    const struct he_problem *p = plan->problem;
    uint32_t region[64], left = plan->part_count;
    bool is_gone[64] = { false };

    ck_assert_uint_le(plan->part_count, 64);
    memset(region, 0xff, sizeof region);
    for (uint32_t k = 0; k < plan->part_count; k++) {
        for (uint32_t i = 0; i < plan->parts[k].task_count; i++) {
            uint32_t t = plan->parts[k].tasks[i];

            ck_assert_uint_eq(region[t], UINT32_MAX);
            ck_assert_uint_eq(plan->placement.device[t], plan->parts[k].device);
            region[t] = k;
        }
    }
    for (uint32_t t = 0; t < p->task_count; t++)
        ck_assert_uint_ne(region[t], UINT32_MAX);
    for (bool has_changed = true; has_changed && left > 0;) {
        has_changed = false;
        for (uint32_t k = 0; k < plan->part_count; k++) {
            bool is_first = !is_gone[k];

            for (uint32_t e = 0; e < p->edge_count && is_first; e++) {
                uint32_t from = region[p->edges[e].from], to = region[p->edges[e].to];

                is_first = to != k || from == k || is_gone[from];
            }
            if (is_first) {
                is_gone[k] = has_changed = true;
                left--;
            }
        }
    }
    ck_assert_msg(left == 0, "regions are in a cycle: one is not convex");
}

static void check_same(const struct he_plan *a, const struct he_plan *b)
{
    size_t bytes = a->problem->task_count * sizeof(uint32_t);

    ck_assert(bytes == 0 || memcmp(a->placement.device, b->placement.device, bytes) == 0);
    ck_assert(bytes == 0 || memcmp(a->placement.order, b->placement.order, bytes) == 0);
    ck_assert_double_eq(a->value, b->value);
}

static struct he_plan *plan_of(uint32_t k, const char *strategy)
{
    struct he_place_options options = { .seed = k };
    struct he_plan *plan = NULL;
    he_status status = he_plan_create(NULL, NULL, make(k, strategy), NULL, strategy, &options,
                                      &he_allocator_default, &plan);

    /* Tight budgets may have no plan; exact and path may say that a problem is beyond them. */
    ck_assert_msg(status == HE_OK || status == HE_ERR_BUDGET ||
                      (status == HE_ERR_UNSUPPORTED && strcmp(strategy, "latency_aware") != 0),
                  "graph %u, %s: %s", k, strategy, he_error_message());
    return plan;
}

START_TEST(every_plan_keeps_the_rules)
{
    uint32_t planned = 0;

    for (uint32_t k = (uint32_t)_i; k < GRAPHS; k += CASES) {
        const char *strategy = strategy_of(k / CASES);
        struct he_plan *plan = plan_of(k, strategy), *again;

        if (!plan)
            continue;
        planned++;
        ck_assert_msg(he_plan_check(plan) == HE_OK, "graph %u, %s: %s", k, strategy,
                      he_error_message());
        place_check(plan->problem, &plan->placement, &plan->schedule);
        check_budgets(plan);
        check_guard(plan, strategy);
        check_regions(plan);
        ck_assert_msg(plan->value >= plan->lower_bound * (1 - 1e-9),
                      "graph %u, %s: %g is below the bound of %g", k, strategy, plan->value,
                      plan->lower_bound);
        if (k / CASES % 5 == 0) {
            again = plan_of(k, strategy);
            ck_assert_ptr_nonnull(again);
            check_same(plan, again);
            he_plan_destroy(again);
        }
        he_plan_destroy(plan);
    }
    /* Where nothing is planned nothing is tested. */
    ck_assert_uint_gt(planned, GRAPHS / CASES * 8 / 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("place_properties");
    TCase *tc = tcase_create("place_properties");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, every_plan_keeps_the_rules, 0, CASES);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
