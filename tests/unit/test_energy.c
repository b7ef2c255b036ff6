/* SPDX-License-Identifier: Apache-2.0 */
/* Least joules within a latency budget: against trying everything, and what is said when no plan is
 * fast enough. */
#include "place_support.h"

#include "place/judge.h"

/* --- Trying everything: all devices in all orders --- */

struct everything {
    struct he_judge judge;
    uint32_t device[6], order[6];
    bool is_used[6];
    double latency, joules, fastest; /* the budget, the least within it, the least time */
};

static void try_devices(struct everything *all, uint32_t task)
{
    const struct he_problem *p = all->judge.problem;

    if (task == p->task_count) {
        ck_assert_int_eq(he_judge_run(&all->judge, all->device, all->order, false), HE_OK);
        all->fastest = fmin(all->fastest, all->judge.figures.makespan);
        if (he_fits(all->judge.figures.makespan, all->latency))
            all->joules = fmin(all->joules, all->judge.figures.energy);
        return;
    }
    for (uint32_t j = 0; j < p->device_count; j++) {
        all->device[task] = j;
        try_devices(all, task + 1);
    }
}

static void try_orders(struct everything *all, uint32_t place)
{
    const struct he_problem *p = all->judge.problem;

    if (place == p->task_count) {
        try_devices(all, 0);
        return;
    }
    for (uint32_t t = 0; t < p->task_count; t++) {
        bool is_ready = !all->is_used[t];

        for (uint32_t k = p->in_start[t]; is_ready && k < p->in_start[t + 1]; k++)
            is_ready = all->is_used[p->edges[p->in_edges[k]].from];
        if (!is_ready)
            continue;
        all->is_used[t] = true;
        all->order[place] = t;
        try_orders(all, place + 1);
        all->is_used[t] = false;
    }
}

static void try_everything(const struct he_problem *p, struct everything *all)
{
    *all = (struct everything){ .latency = all->latency, .joules = INFINITY, .fastest = INFINITY };
    ck_assert_int_eq(he_judge_init(&all->judge, p), HE_OK);
    try_orders(all, 0);
    he_judge_fini(&all->judge);
}

static he_status place(const struct he_problem *p, const char *strategy, struct he_schedule *s,
                       struct he_arena *arena)
{
    struct he_place_options options = { .seed = 1 };
    struct he_placement answer;
    he_status status = he_place(p, strategy, &options, arena, &answer, s);

    if (status == HE_OK) {
        place_check(p, &answer, s);
        ck_assert_msg(he_fits(s->makespan, p->limits.latency), "%s: %g s, budget %g s", strategy,
                      s->makespan, p->limits.latency);
    }
    return status;
}

START_TEST(energy_within_a_latency_budget_is_the_optimum_on_small_graphs)
{
    static const char *others[] = { "latency_aware", "throughput", "cost", "heft" };
    struct place_shape shape = { .tasks = 5, .devices = 3, .density = 1.5, .transfers = 0.5 };
    unsigned bound_count = 0, none_count = 0;

    for (uint64_t seed = 0; seed < 25; seed++) {
        struct he_problem *p;
        struct everything all = { .latency = INFINITY };
        struct he_schedule s;
        struct he_arena arena;
        double least;

        shape.transfers = seed % 2 ? 0.5 : 0.0;
        p = place_random(&shape, seed);
        try_everything(p, &all);
        least = all.joules;
        p->limits.latency = all.latency = all.fastest * (0.9 + 0.15 * (double)(seed % 5));
        try_everything(p, &all);
        he_arena_init(&arena, &he_allocator_default);
        if (isinf(all.joules)) {
            none_count++;
            ck_assert_int_eq(place(p, "energy_aware", &s, &arena), HE_ERR_BUDGET);
            ck_assert_msg(strstr(he_error_message(), "would do") != NULL, "%s", he_error_message());
        } else {
            bound_count += all.joules > least * (1.0 + 1e-9);
            ck_assert_msg(place(p, "energy_aware", &s, &arena) == HE_OK, "%s", he_error_message());
            ck_assert_msg(place_near(s.energy, all.joules), "seed %u: %g J, optimum %g J",
                          (unsigned)seed, s.energy, all.joules);
            for (size_t k = 0; k < sizeof others / sizeof *others; k++)
                ck_assert_int_eq(place(p, others[k], &s, &arena), HE_OK);
        }
        he_arena_fini(&arena);
        he_problem_destroy(p);
    }
    ck_assert_uint_gt(bound_count, 5); /* the budget mattered */
    ck_assert_uint_gt(none_count, 2);
}
END_TEST

/* A looser budget never costs more joules, the loosest is no budget at all. */
START_TEST(joules_fall_as_the_latency_budget_grows)
{
    struct place_shape shape = { .tasks = 40, .devices = 4, .density = 1.5, .transfers = 0.2 };
    struct he_problem *p = place_random(&shape, 7);
    struct he_schedule s, free_s, fast;
    struct he_arena arena;
    double last = INFINITY;

    /* The fast device takes a lot, so that time has its price. */
    for (uint32_t j = 0; j < 4; j++) {
        p->devices[j].idle_watts = 0.1;
        p->devices[j].busy_watts = 1.0 + 10.0 * j * j;
    }
    he_arena_init(&arena, &he_allocator_default);
    ck_assert_int_eq(place(p, "latency_aware", &fast, &arena), HE_OK);
    ck_assert_int_eq(place(p, "energy_aware", &free_s, &arena), HE_OK);
    ck_assert(free_s.makespan > 1.5 * fast.makespan);
    for (int k = 0; k < 5; k++) {
        double share = k / 4.0;

        p->limits.latency = (1.0 - share) * fast.makespan * 1.02 + share * free_s.makespan;
        ck_assert_msg(place(p, "energy_aware", &s, &arena) == HE_OK, "%s", he_error_message());
        ck_assert_msg(s.energy < 1.02 * last, "%g J, before %g J", s.energy, last);
        ck_assert(s.energy <= fast.energy * (1.0 + 1e-9));
        last = s.energy;
    }
    ck_assert_msg(last <= 1.02 * free_s.energy, "%g J, without a budget %g J", last, free_s.energy);
    he_arena_fini(&arena);
    he_problem_destroy(p);
}
END_TEST

START_TEST(latency_named_in_the_sentence_is_enough)
{
    struct he_problem *p = place_parse("dev a idle=1 busy=2; dev b idle=1 busy=9; "
                                       "task x a=3 b=2; task y a=3 b=1; edge x y 10; limit latency 2");
    struct he_schedule s;
    struct he_arena arena;
    const char *at;

    he_arena_init(&arena, &he_allocator_default);
    ck_assert_int_eq(place(p, "energy_aware", &s, &arena), HE_ERR_BUDGET);
    at = strstr(he_error_message(), "latency=2s: latency=");
    ck_assert_msg(at != NULL, "%s", he_error_message());
    p->limits.latency = strtod(at + strlen("latency=2s: latency="), NULL);
    ck_assert(fabs(p->limits.latency - 3.0) < 0.001);
    ck_assert_int_eq(place(p, "energy_aware", &s, &arena), HE_OK);
    he_arena_fini(&arena);
    he_problem_destroy(p);
}
END_TEST

/* Memory, not time: the sentence must not send anyone the wrong way. */
START_TEST(latency_is_not_blamed_for_memory)
{
    struct he_problem *p = place_parse("dev a mem=10; task x a=1 mem=15; limit latency 5");
    struct he_schedule s;
    struct he_arena arena;

    he_arena_init(&arena, &he_allocator_default);
    ck_assert_int_eq(place(p, "energy_aware", &s, &arena), HE_ERR_BUDGET);
    ck_assert_msg(strstr(he_error_message(), "memory") != NULL, "%s", he_error_message());
    ck_assert_msg(strstr(he_error_message(), "latency") == NULL, "%s", he_error_message());
    he_arena_fini(&arena);
    he_problem_destroy(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("energy");
    TCase *tc = tcase_create("energy");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, energy_within_a_latency_budget_is_the_optimum_on_small_graphs);
    tcase_add_test(tc, joules_fall_as_the_latency_budget_grows);
    tcase_add_test(tc, latency_named_in_the_sentence_is_enough);
    tcase_add_test(tc, latency_is_not_blamed_for_memory);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
