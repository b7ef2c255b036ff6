/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs with planted optima: devices filled to the same end without idle time, edges only where
 * the transfer arrives in time, so no plan is shorter and one is that short. And assignments that fit
 * memories only to the last byte.
 */
#include "place/sweep.h"
#include "place_support.h"

struct plant {
    uint32_t tasks, devices;
    double ccr;
    bool is_tight; /* memories hold what was planted and no more */
    bool has_twins; /* devices 2k and 2k + 1 take the same times */
    bool has_contention;
    double ratio; /* the answer is within this of the optimum */
};

/* Tasks in the order of their planted begins, which is topological. */
static struct he_problem *plant(const struct plant *what, uint64_t seed, double *optimum)
{
    struct place_random r = { seed };
    uint32_t n = what->tasks, d = what->devices, placed = 0;
    struct he_problem *p = place_blank(n, d, 3 * n, 0);
    double *end = calloc(d, sizeof *end), *finish = calloc(n, sizeof *finish), length = 0.0;
    uint32_t *home = calloc(n, sizeof *home);

    ck_assert(end && finish && home);
    p->edge_count = 0;
    p->has_contention = what->has_contention;
    p->ignores_tensors = true;
    for (uint32_t k = 0; k < d * d; k++)
        p->links[k] = (struct he_place_link){ .is_free = k / d == k % d, .bandwidth = 1.0 };
    for (; placed < n; placed++) {
        uint32_t j = 0;
        double begin, time = 0.2 + 1.6 * place_uniform(&r);

        for (uint32_t k = 1; k < d; k++)
            j = end[k] < end[j] ? k : j;
        begin = end[j];
        home[placed] = j;
        end[j] = finish[placed] = begin + time;
        p->task_memory[placed] = 1 + place_below(&r, 100);
        p->time[(size_t)placed * d + j] = time;
        for (uint32_t e = 0; placed > 0 && e < 3; e++) {
            uint32_t back = placed < 8 * d ? placed : 8 * d, from = placed - 1 - place_below(&r, back);
            double bytes = what->ccr * (0.5 + place_uniform(&r));

            /* Where links carry one transfer at a time, two tasks' edges never share one here. */
            if (finish[from] + (home[from] == j ? 0.0 : bytes) <= begin &&
                (home[from] == j || !what->has_contention))
                p->edges[p->edge_count++] = (struct he_place_edge){ from, placed, bytes, 0 };
        }
        length = fmax(length, end[j]);
    }
    /* The last task of each device grows until the end: nobody can wait for it. */
    for (uint32_t e = p->edge_count; e-- > 0;) {
        if (finish[p->edges[e].from] == end[home[p->edges[e].from]])
            p->edges[e] = p->edges[--p->edge_count];
    }
    for (uint32_t t = n; t-- > 0;) {
        if (end[home[t]] > 0.0)
            p->time[(size_t)t * d + home[t]] += length - end[home[t]];
        end[home[t]] = 0.0;
    }
    for (uint32_t t = 0; t < n; t++) {
        double time = p->time[(size_t)t * d + home[t]];

        for (uint32_t j = 0; j < d; j++) {
            bool is_same = j == home[t] || (what->has_twins && (j ^ home[t]) == 1);

            p->time[(size_t)t * d + j] = is_same ? time : time * (1.05 + 2.0 * place_uniform(&r));
        }
    }
    for (uint32_t j = 0; what->is_tight && j < d; j++)
        p->devices[j].memory_bytes = 0.0;
    for (uint32_t t = 0; what->is_tight && t < n; t++)
        p->devices[home[t]].memory_bytes += p->task_memory[t];
    *optimum = length;
    free(end);
    free(finish);
    free(home);
    ck_assert_msg(he_problem_index(p) == HE_OK, "%s", he_error_message());
    return p;
}

static const struct plant plants[] = {
    { 400, 4, 0.2, false, false, false, 1.06 }, { 400, 4, 2.0, false, false, false, 1.06 },
    { 400, 4, 1.0, true, false, false, 1.06 },  { 400, 8, 0.5, true, true, false, 1.10 },
    { 400, 8, 1.0, false, true, true, 1.10 },   { 3000, 16, 1.0, true, false, false, 1.06 },
    { 6000, 40, 1.0, true, false, false, 1.06 },
};

START_TEST(planted_optima_are_nearly_met)
{
    struct he_place_options options = { .objective = HE_OBJECTIVE_LATENCY, .seed = 1 };
    const struct plant *what = &plants[_i];
    double optimum, heft;
    struct he_problem *p = plant(what, (uint64_t)_i + 1, &optimum);
    struct he_placement answer = { 0 };
    struct he_schedule schedule;

    ck_assert_msg(he_place(p, "heft", &options, &p->arena, &answer, &schedule) == HE_OK, "%s",
                  he_error_message());
    heft = schedule.makespan;
    ck_assert_msg(he_place(p, "latency_aware", &options, &p->arena, &answer, &schedule) == HE_OK,
                  "%s", he_error_message());
    if (p->task_count <= 1000) /* the checker compares every two tasks */
        place_check(p, &answer, &schedule);
    ck_assert_double_ge(schedule.makespan, optimum * (1.0 - 1e-9));
    ck_assert_double_le(schedule.makespan, heft);
    ck_assert_msg(schedule.makespan <= what->ratio * optimum, "%.4f of the optimum (heft: %.4f)",
                  schedule.makespan / optimum, heft / optimum);
    he_problem_destroy(p);
}
END_TEST

START_TEST(memories_are_filled_to_the_last_byte)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct plant what = { .tasks = 150, .devices = 6, .is_tight = true, .has_twins = true };
        double optimum;
        struct he_problem *p = plant(&what, 100 + seed, &optimum);
        double held[6] = { 0 };
        uint32_t device[150];
        struct he_units units;

        ck_assert_int_eq(he_units_init(&units, p, &p->arena), HE_OK);
        ck_assert_msg(he_units_fit(&units, NULL, &p->arena, device) == HE_OK, "%s",
                      he_error_message());
        for (uint32_t t = 0; t < 150; t++)
            held[device[t]] += p->task_memory[t];
        for (uint32_t j = 0; j < 6; j++)
            ck_assert_double_eq(held[j], p->devices[j].memory_bytes);
        he_problem_destroy(p);
    }
}
END_TEST

/* Every task in its place at its time, no two of a device at once, inputs there: from both ends. */
START_TEST(sweeps_from_both_ends_are_schedules)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct plant what = { .tasks = 60, .devices = 4, .ccr = 2.0, .has_twins = true };
        bool from_back = seed % 2;
        double optimum;
        struct he_problem *p = plant(&what, seed, &optimum);
        struct he_sweep sweep;
        struct he_units units;
        uint32_t order[60];

        ck_assert_int_eq(he_units_init(&units, p, &p->arena), HE_OK);
        ck_assert_int_eq(he_sweep_init(&sweep, &units, &p->arena), HE_OK);
        for (uint32_t t = 0; t < 60; t++) {
            order[t] = from_back ? 59 - t : t;
            sweep.device[t] = (uint32_t)((t * 7 + seed) % 4);
        }
        ck_assert_int_eq(he_sweep_run(&sweep, order, from_back, NULL, 0.0), HE_OK);
        for (uint32_t t = 0; t < 60; t++) {
            ck_assert_double_le(sweep.end[t], sweep.length);
            ck_assert_double_eq_tol(sweep.end[t] - sweep.begin[t],
                                    he_problem_time(p, t, sweep.device[t]), 1e-9);
            for (uint32_t u = 0; u < t; u++)
                ck_assert(sweep.device[u] != sweep.device[t] ||
                          sweep.end[u] <= sweep.begin[t] + 1e-9 ||
                          sweep.end[t] <= sweep.begin[u] + 1e-9);
        }
        for (uint32_t e = 0; e < p->edge_count; e++) {
            uint32_t a = p->edges[e].from, b = p->edges[e].to;
            double way = he_problem_transfer(p, sweep.device[a], sweep.device[b], p->edges[e].bytes);

            if (from_back)
                ck_assert_double_le(sweep.end[b] + way, sweep.begin[a] + 1e-9);
            else
                ck_assert_double_le(sweep.end[a] + way, sweep.begin[b] + 1e-9);
        }
        he_sweep_fini(&sweep);
        he_problem_destroy(p);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("large");
    TCase *tc = tcase_create("large");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, planted_optima_are_nearly_met, 0, HE_COUNT(plants));
    tcase_add_test(tc, memories_are_filled_to_the_last_byte);
    tcase_add_test(tc, sweeps_from_both_ends_are_schedules);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
