/* SPDX-License-Identifier: Apache-2.0 */
/* Explanations against schedules worked out by hand, and against the evaluator. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "plan/explain.h"


static struct he_machine *machine; /* of no devices: the graphs name theirs */

static void must(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s", he_error_message());
}

static struct he_plan *make_plan(const char *text, const char *strategy)
{
    struct he_place_options options = { .objective = HE_OBJECTIVE_LATENCY };
    struct he_problem *problem;
    struct he_plan *plan;

    must(he_problem_read_json("test.json", text, strlen(text), machine, &he_allocator_default,
                              &problem));
    must(he_plan_create(NULL, machine, problem, NULL, strategy, &options, &he_allocator_default,
                        &plan));
    return plan;
}

static uint32_t find_task(const struct he_plan *plan, const char *id)
{
    for (uint32_t t = 0; t < plan->problem->task_count; t++) {
        if (strcmp(plan->problem->task_ids[t], id) == 0)
            return t;
    }
    ck_abort_msg("no task %s", id);
    return 0;
}

static const struct he_what_if *find_change(const struct he_what_if *changes, size_t count,
                                            const char *words)
{
    for (size_t k = 0; k < count; k++) {
        if (strcmp(changes[k].change, words) == 0)
            return &changes[k];
    }
    ck_abort_msg("nobody asked '%s'", words);
    return NULL;
}

static void make_machine(void)
{
    must(he_machine_create("test", NULL, &machine));
}

static void drop_machine(void)
{
    he_machine_destroy(machine);
}

/* a and b are wanted on gpu and cpu; the link of 1 MB/s makes b's move cost 4 s for 2 s saved. */
static const char near[] =
    "{\"devices\":[{\"id\":\"c\",\"kind\":\"cpu\",\"power\":10},{\"id\":\"g\",\"kind\":\"gpu\"}],"
    "\"links\":[{\"from\":\"c\",\"to\":\"g\",\"bandwidth\":1e6},"
    "{\"from\":\"g\",\"to\":\"c\",\"bandwidth\":1e6}],"
    "\"tasks\":[{\"id\":\"a\",\"time\":{\"gpu\":1}},"
    "{\"id\":\"b\",\"time\":{\"cpu\":1,\"gpu\":4},\"memory\":5}],"
    "\"edges\":[{\"from\":\"a\",\"to\":\"b\",\"bytes\":4e6}]}";

START_TEST(the_terms_are_those_of_the_schedule)
{
    struct he_plan *plan = make_plan(near, "latency_aware");
    struct he_explainer x;
    uint32_t b = find_task(plan, "b");

    ck_assert_double_eq_tol(plan->value, 5, 1e-9);
    must(he_explainer_init(&x, plan));
    must(he_explain_task(&x, b));
    ck_assert(x.candidates[1].is_chosen && !x.candidates[0].is_chosen);
    ck_assert_double_eq_tol(x.candidates[0].exec, 1, 1e-12);
    ck_assert_double_eq_tol(x.candidates[0].transfer, 4, 1e-12);
    ck_assert_double_eq_tol(x.candidates[0].queue, 0, 1e-12);
    ck_assert_double_eq_tol(x.candidates[0].energy, 10, 1e-12);
    ck_assert_double_eq(x.candidates[0].memory_bytes, 5);
    ck_assert_double_eq_tol(x.candidates[0].value, 6, 1e-9);
    /* One second too many: 4 s of link must become 3 s; no speed of exec is enough. */
    ck_assert_double_eq_tol(x.candidates[0].link_flip, 4.0 / 3.0, 1e-9);
    ck_assert_double_eq(x.candidates[0].exec_flip, 0);
    ck_assert_ptr_nonnull(strstr(he_explain_why(&x, b), "transfers"));
    must(he_explain_task(&x, find_task(plan, "a")));
    ck_assert(!x.candidates[0].can_run);
    ck_assert_str_eq(he_explain_why(&x, find_task(plan, "a")), "no other device can run it");
    he_explainer_fini(&x);
    he_plan_destroy(plan);
}
END_TEST

START_TEST(links_twice_as_fast_flip_what_hung_on_them)
{
    struct he_plan *plan = make_plan(near, "latency_aware");
    const struct he_what_if *fast;
    struct he_what_if *changes;
    struct he_arena arena;
    size_t count;

    he_arena_init(&arena, NULL);
    must(he_plan_what_if(plan, &arena, &changes, &count));
    fast = find_change(changes, count, "links twice as fast");
    ck_assert_double_eq_tol(fast->value, 4, 1e-9);
    ck_assert_uint_eq(fast->moved, 1);
    ck_assert_str_eq(he_explain_flip(plan, fast, find_task(plan, "b")), "c");
    ck_assert_ptr_null(he_explain_flip(plan, fast, find_task(plan, "a")));
    /* Nothing runs without the only device that can. */
    ck_assert(isinf(find_change(changes, count, "without g")->value));
    ck_assert_double_eq_tol(find_change(changes, count, "without c")->value, 5, 1e-9);
    he_arena_fini(&arena);
    he_plan_destroy(plan);
}
END_TEST

START_TEST(memory_and_devices_flip_what_hung_on_them)
{
    static const char text[] =
        "{\"devices\":[{\"id\":\"c\",\"kind\":\"cpu\"},"
        "{\"id\":\"g\",\"kind\":\"gpu\",\"memory\":1e9}],"
        "\"tasks\":[{\"id\":\"a\",\"time\":{\"cpu\":8,\"gpu\":1},\"memory\":15e8},"
        "{\"id\":\"b\",\"time\":{\"cpu\":4},\"memory\":0}]}";
    struct he_plan *plan = make_plan(text, "latency_aware");
    struct he_explainer x;
    struct he_what_if *changes;
    struct he_arena arena;
    uint32_t a = find_task(plan, "a");
    size_t count;

    ck_assert_double_eq_tol(plan->value, 12, 1e-9);
    must(he_explainer_init(&x, plan));
    must(he_explain_task(&x, a));
    ck_assert(x.candidates[1].can_run && isinf(x.candidates[1].value));
    ck_assert_ptr_nonnull(strstr(x.candidates[1].reason, "1500000000"));
    ck_assert_ptr_nonnull(strstr(he_explain_why(&x, a), "room"));
    he_explainer_fini(&x);
    he_arena_init(&arena, NULL);
    must(he_plan_what_if(plan, &arena, &changes, &count));
    ck_assert_double_eq_tol(find_change(changes, count, "1 GB more memory on each device")->value, 4,
                            1e-9);
    ck_assert_double_eq_tol(find_change(changes, count, "one more c")->value, 8, 1e-9);
    ck_assert_str_eq(find_change(changes, count, "1 GB more memory on each device")->device[a], "g");
    /* All links are free here: there is nothing to make faster. */
    for (size_t k = 0; k < count; k++)
        ck_assert_str_ne(changes[k].change, "links twice as fast");
    he_arena_fini(&arena);
    he_plan_destroy(plan);
}
END_TEST

START_TEST(json_says_the_same)
{
    struct he_plan *plan = make_plan(near, "latency_aware");
    const struct he_json *task, *candidate;
    struct he_json_writer json;
    struct he_json *document;
    struct he_arena arena;
    struct he_text text;

    he_arena_init(&arena, NULL);
    he_text_init(&text, NULL);
    he_json_begin(&json, &text, true);
    he_json_object(&json, NULL);
    must(he_plan_explain_json(plan, "b", &json));
    he_json_object_end(&json);
    must(he_json_parse("out", he_text_string(&text), text.size, &arena, &document));
    task = he_json_get(document, "explanations")->child;
    ck_assert_str_eq(he_json_get(task, "id")->string, "b");
    ck_assert_ptr_null(task->next);
    candidate = he_json_get(task, "candidates")->child;
    ck_assert_str_eq(he_json_get(candidate, "device")->string, "c");
    ck_assert_double_eq_tol(he_json_get(candidate, "objective")->number, 6, 1e-6);
    ck_assert_double_eq_tol(he_json_get(candidate, "wins_if_links_faster_by")->number, 4.0 / 3, 1e-6);
    ck_assert_str_eq(he_json_get(he_json_get(task, "flips")->child, "change")->string,
                     "links twice as fast");
    ck_assert_uint_ge(he_json_get(document, "what_if")->child_count, 4);
    ck_assert_int_eq(he_plan_explain_json(plan, "nobody", &json), HE_ERR_NOT_FOUND);
    he_text_fini(&text);
    he_arena_fini(&arena);
    he_plan_destroy(plan);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("explain");
    TCase *tcase = tcase_create("explain");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, make_machine, drop_machine);
    tcase_add_test(tcase, the_terms_are_those_of_the_schedule);
    tcase_add_test(tcase, links_twice_as_fast_flip_what_hung_on_them);
    tcase_add_test(tcase, memory_and_devices_flip_what_hung_on_them);
    tcase_add_test(tcase, json_says_the_same);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
