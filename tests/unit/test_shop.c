/* SPDX-License-Identifier: Apache-2.0 */
/* The job-shop search: its graph against a recomputation from nothing, its places against trying
 * them all, its answers against the exact policy. */
#include "place_support.h"

#include "core/clock.h"
#include "place/random.h"
#include "place/shop.h"
#include "place/shop_graph.h"

static struct he_problem *random_shop(uint32_t tasks, uint32_t devices, uint64_t seed)
{
    struct place_shape shape = { .tasks = tasks,
                                 .devices = devices,
                                 .density = 0.5 + (double)(seed % 4) / 2.0,
                                 .has_groups = seed % 3 == 1,
                                 .has_shared_servers = seed % 4 == 2,
                                 .has_holes = seed % 2 == 1 };
    struct he_problem *p = place_random(&shape, seed);

    for (uint32_t t = 0; t < p->task_count; t++) {
        for (uint32_t j = 0; j < devices; j++) {
            double *time = &p->time[(size_t)t * devices + j];

            if (seed % 5 == 3 && !isinf(*time)) /* many equal ways, and tasks that take no time */
                *time = floor(*time * 4.0);
        }
    }
    return p;
}

/* --- The graph --- */

/* Longest ways by going over all edges until nothing changes. */
static void recompute(const struct he_shop *shop, double *head, double *tail)
{
    const struct he_problem *p = shop->problem;
    bool changes = true;

    for (uint32_t t = 0; t < p->task_count; t++)
        head[t] = tail[t] = 0.0;
    for (uint32_t round = 0; changes; round++) {
        ck_assert_uint_le(round, p->task_count + 1);
        changes = false;
        for (uint32_t k = 0; k < p->edge_count + p->task_count; k++) {
            uint32_t from = k < p->edge_count ? p->edges[k].from : k - p->edge_count;
            uint32_t to = k < p->edge_count ? p->edges[k].to : shop->after[from];

            if (to == HE_SHOP_NONE)
                continue;
            if (head[from] + shop->time[from] > head[to]) {
                head[to] = head[from] + shop->time[from];
                changes = true;
            }
            if (tail[to] + shop->time[to] > tail[from]) {
                tail[from] = tail[to] + shop->time[to];
                changes = true;
            }
        }
    }
}

static void check_ways(const struct he_shop *shop, double longest)
{
    double head[64], tail[64], most = 0.0;

    recompute(shop, head, tail);
    for (uint32_t t = 0; t < shop->count; t++) {
        ck_assert_msg(place_near(shop->head[t], head[t]), "head of %u: %g, not %g", t,
                      shop->head[t], head[t]);
        ck_assert_msg(place_near(shop->tail[t], tail[t]), "tail of %u: %g, not %g", t,
                      shop->tail[t], tail[t]);
        most = fmax(most, head[t] + shop->time[t]);
    }
    ck_assert_msg(place_near(longest, most), "longest way %g, not %g", longest, most);
}

static void load_anyhow(struct he_shop *shop, struct place_random *r)
{
    const struct he_problem *p = shop->problem;
    uint32_t device[64], order[64];

    for (uint32_t t = 0; t < p->task_count; t++) {
        order[t] = t;
        do
            device[t] = place_below(r, p->device_count);
        while (isinf(he_problem_time(p, t, device[t])));
    }
    he_shop_load(shop, device, order);
}

START_TEST(lifting_is_what_recomputing_says_and_leaves_no_trace)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct he_problem *p = random_shop(5 + (uint32_t)seed, 3, seed);
        struct place_random r = { seed };
        struct he_shop shop;
        struct he_arena arena;

        he_arena_init(&arena, &he_allocator_default);
        ck_assert_int_eq(he_shop_init(&shop, p, &arena), HE_OK);
        load_anyhow(&shop, &r);
        check_ways(&shop, shop.makespan);
        for (uint32_t t = 0; t < p->task_count; t++) {
            double head[64], tail[64];
            uint32_t left = shop.before[t], right = shop.after[t];

            memcpy(head, shop.head, shop.count * sizeof *head);
            memcpy(tail, shop.tail, shop.count * sizeof *tail);
            check_ways(&shop, he_shop_lift(&shop, t));
            he_shop_drop(&shop);
            ck_assert_int_eq(memcmp(head, shop.head, shop.count * sizeof *head), 0);
            ck_assert_int_eq(memcmp(tail, shop.tail, shop.count * sizeof *tail), 0);
            ck_assert(shop.before[t] == left && shop.after[t] == right);
        }
        he_arena_fini(&arena);
        he_problem_destroy(p);
    }
}
END_TEST

/* The makespan with the task on @device at the best place but its own, by trying each. */
static double try_places(struct he_shop *shop, uint32_t task, uint32_t device)
{
    const struct he_problem *p = shop->problem;
    uint32_t server = p->devices[device].server, home = shop->device[task];
    uint32_t own = shop->before[task], left = HE_SHOP_NONE;
    double best = INFINITY;

    for (;;) {
        uint32_t next;

        he_shop_lift(shop, task);
        next = left == HE_SHOP_NONE ? shop->first[server] : shop->after[left];
        he_shop_drop(shop);
        if (device != home || left != own) {
            he_shop_lift(shop, task);
            he_shop_put(shop, device, left);
            if (he_shop_update(shop))
                best = fmin(best, shop->makespan);
            he_shop_lift(shop, task);
            he_shop_put(shop, home, own);
            ck_assert(he_shop_update(shop));
        }
        if (next == HE_SHOP_NONE)
            return best;
        left = next;
    }
}

START_TEST(place_found_is_the_best_and_its_value_exact)
{
    uint32_t found = 0;

    for (uint64_t seed = 0; seed < 60; seed++) {
        struct he_problem *p = random_shop(6 + (uint32_t)seed % 20, 3, seed);
        struct place_random r = { seed };
        struct he_shop shop;
        struct he_arena arena;

        he_arena_init(&arena, &he_allocator_default);
        ck_assert_int_eq(he_shop_init(&shop, p, &arena), HE_OK);
        load_anyhow(&shop, &r);
        for (uint32_t t = 0; t < p->task_count; t++) {
            uint32_t j = place_below(&r, p->device_count);
            struct he_shop_place place;
            double floor, best, before = shop.makespan;
            uint32_t home = shop.device[t];
            bool is_there;

            if (isinf(he_problem_time(p, t, j)))
                continue;
            best = try_places(&shop, t, j);
            ck_assert(place_near(shop.makespan, before));
            floor = he_shop_lift(&shop, t);
            is_there = he_shop_find_place(&shop, j, place_next(&r), &place);
            if (!is_there) { /* its own place is the only good one */
                ck_assert_uint_eq(j, home);
                ck_assert(best >= before - 1e-9);
                he_shop_drop(&shop);
                continue;
            }
            found++;
            he_shop_put(&shop, j, place.left);
            ck_assert(he_shop_update(&shop));
            ck_assert_msg(place_near(shop.makespan, fmax(floor, place.via)),
                          "seed %u task %u device %u: said %g, is %g", (unsigned)seed, t, j,
                          fmax(floor, place.via), shop.makespan);
            /* Where its own place was an optimal one, the best other may be elsewhere. */
            if (j == home && best >= before - 1e-9)
                continue;
            ck_assert_msg(shop.makespan <= best + 1e-9, "seed %u: %g, best %g", (unsigned)seed,
                          shop.makespan, best);
        }
        he_arena_fini(&arena);
        he_problem_destroy(p);
    }
    ck_assert_uint_gt(found, 300);
}
END_TEST

/* --- The search --- */

static double searched(const struct he_problem *p, const struct he_place_options *options,
                       double effort, uint32_t *device)
{
    struct he_contest contest = { 0 };
    struct he_placement answer = { 0 };
    struct he_schedule s;
    struct he_arena arena;
    double value, start;

    he_arena_init(&arena, &he_allocator_default);
    ck_assert_int_eq(he_contest_init(&contest, p, HE_OBJECTIVE_LATENCY, &arena), HE_OK);
    ck_assert_int_eq(he_guard(&contest), HE_OK);
    ck_assert_int_eq(he_contest_run(&contest, p, he_policy_heft, options), HE_OK);
    ck_assert(contest.has_best);
    start = contest.value;
    ck_assert_int_eq(he_shop_search(&contest, p, options, effort), HE_OK);
    ck_assert(contest.value <= start);
    ck_assert_int_eq(he_contest_answer(&contest, &arena, &answer), HE_OK);
    ck_assert_int_eq(he_place_evaluate(p, &answer, &arena, &s), HE_OK);
    place_check(p, &answer, &s);
    value = s.makespan;
    ck_assert(place_near(value, contest.value));
    if (device)
        memcpy(device, answer.device, p->task_count * sizeof *device);
    he_contest_fini(&contest);
    he_arena_fini(&arena);
    return value;
}

static double optimum(const struct he_problem *p)
{
    struct he_place_options options = { .objective = HE_OBJECTIVE_LATENCY };
    struct he_placement answer = { 0 };
    struct he_schedule s;
    struct he_arena arena;
    double value;

    he_arena_init(&arena, &he_allocator_default);
    ck_assert_int_eq(he_policy_find("exact")->run(p, &options, &arena, &answer), HE_OK);
    ck_assert_int_eq(he_place_evaluate(p, &answer, &arena, &s), HE_OK);
    value = s.makespan;
    he_arena_fini(&arena);
    return value;
}

START_TEST(small_shops_are_solved_to_the_optimum)
{
    struct he_place_options options = { .objective = HE_OBJECTIVE_LATENCY, .seed = 1 };
    double away = 0.0;

    for (uint64_t seed = 0; seed < 60; seed++) {
        struct he_problem *p = random_shop(4 + (uint32_t)seed % 5, 2 + (uint32_t)seed % 2, seed);
        double best = optimum(p), value = searched(p, &options, 0.1, NULL);

        ck_assert(value >= best - 1e-9);
        away += value > best + 1e-9;
        ck_assert_msg(value <= best + 1e-9, "seed %u: %g, optimum %g", (unsigned)seed, value, best);
        he_problem_destroy(p);
    }
    ck_assert(away <= 0.0);
}
END_TEST

START_TEST(same_seed_gives_the_same_answer)
{
    struct he_place_options options = { .objective = HE_OBJECTIVE_LATENCY, .seed = 3 };
    struct he_problem *p = random_shop(60, 4, 2);
    uint32_t first[60], second[60];

    searched(p, &options, 0.2, first);
    searched(p, &options, 0.2, second);
    ck_assert_int_eq(memcmp(first, second, sizeof first), 0);
    he_problem_destroy(p);
}
END_TEST

START_TEST(weights_keep_to_their_memories)
{
    struct he_place_options options = { .objective = HE_OBJECTIVE_LATENCY, .seed = 1 };
    struct place_shape shape = { .tasks = 40, .devices = 3, .density = 1.0, .has_limits = true,
                                 .has_groups = true };

    for (uint64_t seed = 0; seed < 8; seed++) {
        struct he_problem *p = place_random(&shape, seed);

        for (uint32_t j = 0; j < p->device_count; j++)
            p->devices[j].memory_bytes = INFINITY;
        p->devices[0].memory_bytes = p->weight_limit[0] = 500.0;
        p->ignores_tensors = true;
        searched(p, &options, 0.1, NULL); /* its check is the test */
        he_problem_destroy(p);
    }
}
END_TEST

START_TEST(shops_are_told_from_other_graphs)
{
    static const struct {
        const char *what, *text;
        bool fits;
    } cases[] = {
        { "free links", "dev a; dev b; task x a=1 b=1; task y a=1 b=1; edge x y 100", true },
        { "one device", "dev a; task x a=1; task y a=1; edge x y 100", false },
        { "a slow link", "dev a; dev b; link a b 1e3 0; task x a=1 b=1; task y a=1 b=1; "
                         "edge x y 100", false },
        { "a fast link", "dev a; dev b; link a b 1e6 0; task x a=1 b=1; task y a=1 b=1; "
                         "edge x y 100", true },
        { "a link in one memory", "dev a; dev b node=0; link a b 1e3 0; task x a=1 b=1; "
                                  "task y a=1 b=1; edge x y 100", true },
        { "a dear start", "dev a launch=0.5; dev b; task x a=1 b=1; task y a=1 b=1", false },
    };

    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct he_problem *p = place_parse(cases[k].text);

        ck_assert_msg(he_shop_fits(p) == cases[k].fits, "%s", cases[k].what);
        he_problem_destroy(p);
    }
}
END_TEST

START_TEST(small_transfers_and_starts_are_taken_along)
{
    struct he_place_options options = { .objective = HE_OBJECTIVE_LATENCY, .seed = 1 };
    struct place_shape shape = { .tasks = 8, .devices = 2, .density = 1.5, .transfers = 0.02 };

    for (uint64_t seed = 0; seed < 20; seed++) {
        struct he_problem *p;
        double best, value;

        shape.has_launch = seed % 2 == 1;
        p = place_random(&shape, seed);
        for (uint32_t j = 0; shape.has_launch && j < 2; j++)
            p->launch[j] /= 20.0;
        best = optimum(p);
        value = searched(p, &options, 0.1, NULL);
        ck_assert_msg(value <= 1.02 * best, "seed %u: %g, optimum %g", (unsigned)seed, value, best);
        he_problem_destroy(p);
    }
}
END_TEST

/* Without its limit the search would not end; the case's time-out is the limit's test. */
START_TEST(search_ends_with_its_time)
{
    struct he_place_options options = { .objective = HE_OBJECTIVE_LATENCY, .seed = 1,
                                        .time_limit = 0.05, .counts_cpu_time = true };
    struct place_shape shape = { .tasks = 3000, .devices = 6, .density = 2.0 };
    struct he_problem *p = place_random(&shape, 1);
    struct he_contest contest = { 0 };
    struct he_arena arena;

    he_arena_init(&arena, &he_allocator_default);
    ck_assert_int_eq(he_contest_init(&contest, p, HE_OBJECTIVE_LATENCY, &arena), HE_OK);
    ck_assert_int_eq(he_contest_run(&contest, p, he_policy_heft, &options), HE_OK);
    ck_assert_int_eq(he_shop_search(&contest, p, &options, 1.0), HE_OK);
    he_contest_fini(&contest);
    he_arena_fini(&arena);
    he_problem_destroy(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shop");
    TCase *tc = tcase_create("shop");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, lifting_is_what_recomputing_says_and_leaves_no_trace);
    tcase_add_test(tc, place_found_is_the_best_and_its_value_exact);
    tcase_add_test(tc, small_shops_are_solved_to_the_optimum);
    tcase_add_test(tc, same_seed_gives_the_same_answer);
    tcase_add_test(tc, weights_keep_to_their_memories);
    tcase_add_test(tc, shops_are_told_from_other_graphs);
    tcase_add_test(tc, small_transfers_and_starts_are_taken_along);
    tcase_add_test(tc, search_ends_with_its_time);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
