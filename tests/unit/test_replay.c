/* SPDX-License-Identifier: Apache-2.0 */
/* The search's quick picture of a schedule is the judge's: after every trial, kept or undone, both
 * give the same value; and a trial is given up only where the judge's value is above the limit. */
#include "place/judge.h"
#include "place/rank.h"
#include "place/replay.h"
#include "place_support.h"

static struct place_shape shape_of(int k)
{
    static const double transfers[] = { 0.1, 1.0, 5.0 };

    return (struct place_shape){ .tasks = 2 + (uint32_t)(k * 5) % 40,
                                 .devices = 2 + (uint32_t)(k / 3) % 4,
                                 .density = 0.5 + k % 4,
                                 .transfers = transfers[k % 3],
                                 .has_shared_tensors = k % 4 == 0,
                                 .has_shared_servers = k % 5 == 0,
                                 .has_launch = k % 7 == 0 };
}

static double judged(struct he_judge *judge, const struct he_replay *r)
{
    ck_assert_int_eq(he_judge_run(judge, r->device, r->order, false), HE_OK);
    return r->counts_energy ? judge->figures.energy : judge->figures.makespan;
}

/* A few tasks to other devices, or one to another place, or both. */
static void change(struct he_replay *r, struct place_random *random)
{
    const struct he_problem *p = r->problem;
    uint32_t kind = place_below(random, 4), task, low = 0, high = p->task_count - 1;
    uint32_t first = place_below(random, p->task_count);

    for (uint32_t k = 0; kind > 0 && k < 1 + place_below(random, 3) && k < p->task_count; k++)
        he_replay_set(r, (first + k) % p->task_count, place_below(random, p->device_count));
    if (kind > 1)
        return;
    task = place_below(random, p->task_count);
    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++)
        low = (uint32_t)fmax(low, r->position[p->edges[p->in_edges[k]].from] + 1.0);
    for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++)
        high = (uint32_t)fmin(high, r->position[p->edges[p->out_edges[k]].to] - 1.0);
    he_replay_shift(r, r->position[task], low + place_below(random, high - low + 1));
}

START_TEST(replay_says_what_the_judge_says)
{
    for (int k = _i; k < 240; k += 4) {
        struct place_shape shape = shape_of(k);
        struct he_problem *p = place_random(&shape, (uint64_t)k);
        struct place_random random = { (uint64_t)k };
        struct he_replay r = { 0 };
        struct he_judge judge = { 0 };
        uint32_t *device = he_arena_alloc(&p->arena, p->task_count, sizeof *device);
        uint32_t *order = he_arena_alloc(&p->arena, p->task_count, sizeof *order);

        p->has_contention = k % 2 == 0;
        ck_assert_int_eq(he_judge_init(&judge, p), HE_OK);
        ck_assert_int_eq(he_replay_init(&r, p, k % 3 == 1 ? HE_OBJECTIVE_ENERGY
                                                          : HE_OBJECTIVE_LATENCY), HE_OK);
        for (uint32_t t = 0; t < p->task_count; t++) {
            device[t] = place_below(&random, p->device_count);
            order[t] = t;
        }
        ck_assert_int_eq(he_replay_load(&r, device, order), HE_OK);
        ck_assert(place_near(r.value, judged(&judge, &r)));
        for (int trial = 0; trial < 150; trial++) {
            double value, truth, limit = r.value * (0.8 + 0.4 * place_uniform(&random));

            he_replay_begin(&r);
            change(&r, &random);
            truth = judged(&judge, &r);
            ck_assert_int_eq(he_replay_try(&r, limit, &value), HE_OK);
            if (isinf(value)) {
                /* Launches that a change spares are seen too late to be counted on. */
                ck_assert_msg(truth >= limit * (1 - 1e-9) || shape.has_launch || r.first_place == UINT32_MAX,
                              "problem %d: %g was given up at a limit of %g", k, truth, limit);
                he_replay_undo(&r);
            } else {
                ck_assert_msg(place_near(value, truth), "problem %d, trial %d: %g, judged %g", k,
                              trial, value, truth);
                if (place_below(&random, 2))
                    ck_assert_int_eq(he_replay_keep(&r, value), HE_OK);
                else
                    he_replay_undo(&r);
            }
            ck_assert_msg(place_near(r.value, judged(&judge, &r)), "problem %d, trial %d", k, trial);
            if (trial % 40 == 39) {
                value = r.value;
                ck_assert_int_eq(he_replay_sort(&r), HE_OK);
                ck_assert(r.value <= value * (1 + 1e-9));
                ck_assert(place_near(r.value, judged(&judge, &r)));
            }
        }
        he_replay_fini(&r);
        he_judge_fini(&judge);
        he_problem_destroy(p);
    }
}
END_TEST

START_TEST(critical_path_ends_last_and_begins_at_once)
{
    struct place_shape shape = { .tasks = 30, .devices = 3, .density = 2, .transfers = 1.0 };

    for (uint64_t k = 0; k < 40; k++) {
        struct he_problem *p = place_random(&shape, k);
        struct he_replay r = { 0 };
        uint32_t device[30], order[30], path[30], count;

        p->has_contention = false;
        for (uint32_t t = 0; t < 30; t++) {
            device[t] = t % 3;
            order[t] = t;
        }
        ck_assert_int_eq(he_replay_init(&r, p, HE_OBJECTIVE_LATENCY), HE_OK);
        ck_assert_int_eq(he_replay_load(&r, device, order), HE_OK);
        count = he_replay_critical(&r, path);
        ck_assert_uint_ge(count, 1);
        ck_assert(place_near(r.finish[path[0]], r.makespan));
        ck_assert(place_near(r.start[path[count - 1]], 0.0));
        for (uint32_t i = 1; i < count; i++)
            ck_assert_double_le(r.finish[path[i]], r.start[path[i - 1]] + 1e-9);
        he_replay_fini(&r);
        he_problem_destroy(p);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replay");
    TCase *tc = tcase_create("replay");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, replay_says_what_the_judge_says, 0, 4);
    tcase_add_test(tc, critical_path_ends_last_and_begins_at_once);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
