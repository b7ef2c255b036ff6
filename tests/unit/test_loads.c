/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads of devices, links and copies: the bottleneck by hand, the keys of the task-graph
 * file that say what a copy costs, and the searches for the least bottleneck against
 * trying everything.
 */
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

int main(void)
{
    Suite *suite = suite_create("loads");
    TCase *tc = tcase_create("loads");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, copies_keep_devices_busy, 0, HE_COUNT(cases));
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
