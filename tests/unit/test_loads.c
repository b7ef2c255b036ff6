/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads of devices, links and copies: the bottleneck by hand, the keys of the task-graph
 * file that say what a copy costs, and the searches for the least bottleneck against
 * trying everything.
 */
#include "place/judge.h"
#include "place/spread.h"
#include "place_support.h"
#include "plan/plan.h"

static void must(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s", he_error_message());
}

/* A task's result goes to two readers as one tensor, or to each in one of its own. */
static const struct {
    const char *what, *key, *devices;
    double bottleneck;
} cases[] = {
    { "all on one device", "", "aaa", 1.0 + 2.0 + 3.0 },
    { "one copy out", "", "aac", 1.0 + 2.0 + 10.0 },
    { "one copy out, one in", "", "aab", 1.0 + 2.0 + 10.0 },
    { "two tensors out", "", "acc", 1.0 + 20.0 },
    { "one tensor for both", ", \"tensor\": \"t\"", "acc", 1.0 + 10.0 },
    { "one tensor out, in once", ", \"tensor\": \"t\"", "abb", 2.0 + 3.0 + 10.0 },
    { "one tensor out, in at two places", ", \"tensor\": \"t\"", "abc", 2.0 + 10.0 },
    { "the host copies nothing", "", "cca", 3.0 + 10.0 },
};

START_TEST(copies_keep_devices_busy)
{
    char text[1024], at[64];
    struct he_problem *p;
    struct he_schedule schedule;
    struct he_machine *machine;
    uint32_t device[3], order[] = { 0, 1, 2 };
    struct he_placement placement = { device, order, "test" };

    snprintf(text, sizeof text,
             "{\"devices\": [{\"id\": \"a\", \"copy_bandwidth\": 10, \"copy_latency\": 5},"
             " {\"id\": \"b\", \"copy_bandwidth\": 10, \"copy_latency\": 5}, {\"id\": \"c\"}],"
             "\"tasks\": [{\"id\": \"x\", \"time\": {\"a\": 1, \"b\": 1, \"c\": 1}},"
             " {\"id\": \"y\", \"time\": {\"a\": 2, \"b\": 2, \"c\": 2}},"
             " {\"id\": \"z\", \"time\": {\"a\": 3, \"b\": 3, \"c\": 3}, \"backward\": true}],"
             "\"edges\": [{\"from\": \"x\", \"to\": \"y\", \"bytes\": 50%s},"
             " {\"from\": \"x\", \"to\": \"z\", \"bytes\": 50%s}]}",
             cases[_i].key, cases[_i].key);
    must(he_machine_create("test", &he_allocator_default, &machine));
    must(he_problem_read_json("g.json", text, strlen(text), machine, &he_allocator_default, &p));
    ck_assert(p->has_copies && p->is_backward && p->is_backward[2] && !p->is_backward[0]);
    snprintf(at, sizeof at, "%s", cases[_i].devices);
    for (uint32_t t = 0; t < 3; t++)
        device[t] = (uint32_t)(at[t] - 'a');
    must(he_place_evaluate(p, &placement, &p->arena, &schedule));
    ck_assert_msg(fabs(schedule.bottleneck - cases[_i].bottleneck) < 1e-9, "%s: %g, not %g",
                  cases[_i].what, schedule.bottleneck, cases[_i].bottleneck);
    he_problem_destroy(p);
    he_machine_destroy(machine);
}
END_TEST

/* --- Against trying everything --- */

/* Random tasks on accelerators that copy for themselves and a host that need not; some in groups,
 * some on the way back, the tensors of some shared. */
static struct he_problem *copying(uint32_t tasks, uint32_t devices, uint64_t seed)
{
    struct place_shape shape = { .tasks = tasks, .devices = devices, .density = 1.6,
                                 .has_limits = seed % 3 == 0, .has_groups = seed % 2 == 0,
                                 .has_shared_tensors = true, .has_holes = seed % 5 == 0 };
    struct he_problem *p = place_random(&shape, seed);
    struct place_random r = { seed ^ 77 };

    double memory = 0.0;

    p->ignores_tensors = true;
    for (uint32_t t = 0; t < tasks; t++)
        memory += p->task_memory[t];
    if (seed % 4 == 1) {
        p->is_backward = he_arena_alloc(&p->arena, tasks, sizeof *p->is_backward);
        for (uint32_t t = tasks / 2; t < tasks; t++) {
            p->is_backward[t] = true;
            if (place_below(&r, 3))
                p->colocation[t] = p->colocation[tasks - 1 - t] = t;
        }
    }
    for (uint32_t j = 1; j < devices; j++) {
        p->devices[j].copy_bandwidth = 2000.0 + 4000.0 * place_uniform(&r);
        p->devices[j].copy_latency = 0.01;
        p->devices[j].memory_bytes = memory * 1.3 / devices;
    }
    if (devices > 2) { /* two of a kind */
        p->devices[2] = (struct he_place_device){ p->devices[2].id, .kind = "cpu",
            .memory_bytes = p->devices[1].memory_bytes, .server = 2, .memory_node = 2,
            .copy_bandwidth = p->devices[1].copy_bandwidth, .copy_latency = 0.01 };
        for (uint32_t t = 0; t < tasks; t++)
            p->time[(size_t)t * devices + 2] = p->time[(size_t)t * devices + 1];
    }
    ck_assert_msg(he_problem_index(p) == HE_OK, "%s", he_error_message());
    return p;
}

static bool has_forward(const struct he_problem *p, uint32_t task)
{
    for (uint32_t t = 0; t < p->task_count; t++) {
        bool is_mate = t == task || (p->colocation[t] != HE_NO_GROUP &&
                                     p->colocation[t] == p->colocation[task]);

        if (is_mate && !p->is_backward[t])
            return true;
    }
    return false;
}

/* By the definition: some order of the devices that every edge that counts keeps to. */
static bool is_contiguous(const struct he_problem *p, const uint32_t *device)
{
    uint32_t rank[4];

    for (uint32_t code = 0; code < 256; code++) {
        bool is_order = true;

        for (uint32_t j = 0; j < p->device_count; j++) {
            rank[j] = code >> (2 * j) & 3;
            for (uint32_t i = 0; i < j; i++)
                is_order &= rank[i] != rank[j];
        }
        for (uint32_t e = 0; is_order && e < p->edge_count; e++) {
            uint32_t from = p->edges[e].from, to = p->edges[e].to;
            bool back_from = p->is_backward && p->is_backward[from];
            bool back_to = p->is_backward && p->is_backward[to];

            if (!back_from && !back_to)
                is_order = rank[device[from]] <= rank[device[to]];
            else if (back_from && back_to && !(has_forward(p, from) && has_forward(p, to)))
                is_order = rank[device[from]] >= rank[device[to]];
        }
        if (is_order)
            return true;
    }
    return false;
}

/* The least bottleneck of all placements that fit; INFINITY when none does. */
static double least(const struct he_problem *p, bool only_contiguous)
{
    uint32_t device[16], order[16];
    uint64_t total = 1;
    double best = INFINITY;
    struct he_judge judge;

    must(he_judge_init(&judge, p));
    for (uint32_t t = 0; t < p->task_count; t++) {
        order[t] = t;
        total *= p->device_count;
    }
    for (uint64_t code = 0; code < total; code++) {
        uint64_t rest = code;

        for (uint32_t t = 0; t < p->task_count; t++, rest /= p->device_count)
            device[t] = (uint32_t)(rest % p->device_count);
        must(he_judge_run(&judge, device, order, false));
        if (judge.shortfall.kind == HE_FITS && judge.figures.bottleneck < best &&
            (!only_contiguous || is_contiguous(p, device)))
            best = judge.figures.bottleneck;
    }
    he_judge_fini(&judge);
    return best;
}

static double found_by(const struct he_problem *p, const char *policy)
{
    struct he_place_options options = { .objective = HE_OBJECTIVE_THROUGHPUT };
    struct he_arena arena;
    struct he_placement placement;
    struct he_schedule schedule;
    double value = INFINITY;

    he_arena_init(&arena, &he_allocator_default);
    if (he_policy_find(policy)->run(p, &options, &arena, &placement) == HE_OK) {
        must(he_place_evaluate(p, &placement, &arena, &schedule));
        value = schedule.bottleneck;
    }
    he_arena_fini(&arena);
    return value;
}

START_TEST(pipeline_is_the_optimum_of_contiguous_splits)
{
    for (uint64_t k = 0; k < 120; k++) {
        struct he_problem *p = copying(7, 2 + k % 2, 500 + k);
        double best = least(p, true), found = found_by(p, "pipeline");

        ck_assert_msg(isinf(best) ? isinf(found) : fabs(found - best) <= 1e-9 * best,
                      "problem %d: %.9g, best is %.9g", (int)k, found, best);
        he_problem_destroy(p);
    }
}
END_TEST

START_TEST(throughput_finds_the_best_of_any_splits)
{
    for (uint64_t k = 0; k < 60; k++) {
        struct he_problem *p = copying(7, 2 + k % 2, 900 + k);
        double best = least(p, false), found = found_by(p, "throughput");

        ck_assert_msg(isinf(best) ? isinf(found) : found <= best * (1.0 + 1e-9),
                      "problem %d: %.9g, best is %.9g", (int)k, found, best);
        he_problem_destroy(p);
    }
}
END_TEST

/* Loads kept up to date by moves are those counted from scratch, and the judge's. */
START_TEST(loads_follow_moves)
{
    for (uint64_t k = 0; k < 40; k++) {
        struct he_problem *p = copying(14, 2 + k % 3, 1300 + k);
        uint32_t of[14], device[14] = { 0 }, order[14], parts = 0;
        struct place_random r = { k };
        struct he_nets nets;
        struct he_spread spread;
        struct he_judge judge;
        double load[4];

        for (uint32_t t = 0; t < 14; t++) {
            order[t] = t;
            of[t] = k % 2 ? t / 2 : t; /* parts need not be groups */
            parts = of[t] + 1;
            p->colocation[t] = HE_NO_GROUP;
            p->task_memory[t] = 0.0;
            for (uint32_t j = 0; j < p->device_count; j++)
                p->time[t * p->device_count + j] = fmin(p->time[t * p->device_count + j], 9.0);
        }
        must(he_judge_init(&judge, p));
        must(he_nets_init(&nets, p, of, parts, &p->arena));
        must(he_spread_init(&spread, &nets, &p->arena));
        ck_assert(he_spread_covers(p));
        he_spread_set(&spread, device);
        for (int move = 0; move < 100; move++) {
            uint32_t part = place_below(&r, parts), to = place_below(&r, p->device_count);

            if (to == spread.device[part])
                continue;
            ck_assert(he_spread_has_room(&spread, part, to));
            he_spread_try(&spread, part, to, load);
            he_spread_move(&spread, part, to, load);
            he_spread_set(&spread, spread.device);
            for (uint32_t j = 0; j < p->device_count; j++)
                ck_assert_msg(fabs(spread.load[j] - load[j]) < 1e-9, "load %g, not %g", load[j],
                              spread.load[j]);
            for (uint32_t t = 0; t < 14; t++)
                device[t] = spread.device[of[t]];
            must(he_judge_run(&judge, device, order, false));
            ck_assert_msg(fabs(judge.figures.bottleneck - he_spread_most(&spread)) < 1e-9,
                          "%g, the judge says %g", he_spread_most(&spread),
                          judge.figures.bottleneck);
        }
        he_judge_fini(&judge);
        he_problem_destroy(p);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loads");
    TCase *tc = tcase_create("loads");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, copies_keep_devices_busy, 0, HE_COUNT(cases));
    tcase_add_test(tc, pipeline_is_the_optimum_of_contiguous_splits);
    tcase_add_test(tc, loads_follow_moves);
    tcase_add_test(tc, throughput_finds_the_best_of_any_splits);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
