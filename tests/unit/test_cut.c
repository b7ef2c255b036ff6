/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tasks are cut: on machines of one line, so that nothing depends on the hardware. A plan
 * with cut tasks is never predicted to be worse than the one without, says what its parts are,
 * comes back from its file, and moves no byte to take tensors apart or put them together.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"
#include "core/size.h"
#include "core/text.h"
#include "engine/engine.h"
#include "partition/cut.h"
#include "plan/plan.h"
#include "support/model_text.h"

static struct he_arena arena;
static struct he_engine *engine;
static struct he_plan *plan;

static void setup(void)
{
    he_arena_init(&arena, NULL);
}

static void teardown(void)
{
    he_plan_destroy(plan);
    he_engine_destroy(engine);
    he_arena_fini(&arena);
    plan = NULL;
    engine = NULL;
}

static void must(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s", he_error_message());
}

static void open_machine(const char *line, uint32_t batch_split_size)
{
    struct he_engine_options options = { .struct_size = sizeof options, .devices = line,
                                         .cost_store = "" };

    he_engine_destroy(engine);
    engine = NULL;
    must(he_engine_create(&options, &engine));
    engine->machine->settings.batch_split_size = batch_split_size;
}

static struct he_plan *make_plan(struct he_model *model, const char *strategy, const char *path)
{
    struct he_analyze_options options = { .struct_size = sizeof options, .strategy = strategy,
                                          .plan_path = path };
    struct he_plan *made;

    must(he_engine_analyze(engine, model, &options, &made));
    must(he_plan_check(made));
    return made;
}

/* "Slice MatMul Concat", and how many parts of cut tasks there are. */
static const char *op_text(const struct he_plan *p, uint32_t *parts)
{
    static char text[4000];

    *text = '\0';
    *parts = 0;
    for (uint32_t t = 0; t < p->graph->task_count; t++) {
        size_t used = strlen(text);

        snprintf(text + used, sizeof text - used, "%s%s", t ? " " : "",
                 p->graph->nodes[p->graph->tasks[t].anchor].op);
        *parts += he_plan_part(p, t) != NULL;
    }
    return text;
}

#define PRODUCT(m, k, n) "in x f32[" m "," k "]\nconst w f32[" k "," n "] rand\n" \
                         "y = MatMul(x, w) @product\nout y"
#define BIG PRODUCT("4096", "1024", "1024")
#define NET "in x f32[8,16,32,32]\nconst u f32[64,16,3,3] rand\nconst v f32[64,64,3,3] rand\n" \
            "a = Conv<pads=[1,1,1,1]>(x, u) @c1\nb = Relu(a)\nc = MaxPool<kernel_shape=[2,2],strides=[2,2]>(b)\n" \
            "d = Conv<pads=[1,1,1,1]>(c, v) @c2\ne = GlobalAveragePool(d)\ny = Flatten(e)\nout y"

static const struct {
    const char *what, *machine;
    uint32_t batch_split_size;
    const char *text;
    uint32_t parts; /* of cut tasks, all together */
    uint32_t devices; /* with work */
} cases[] = {
    { "one device", "cpu:1", 0, BIG, 0, 1 },
    { "a part per device", "cpu:4", 0, BIG, 4, 4 },
    { "panels of so many rows", "cpu:8", 512, BIG, 8, 8 },
    { "more panels than devices", "cpu:3", 512, BIG, 8, 3 },
    { "a task with no more rows than that", "cpu:8", 4096, BIG, 0, 1 },
    { "so many panels that nobody wants them", "cpu:8", 1, BIG, 0, 1 },
    { "too small to share", "cpu:8", 0, PRODUCT("8", "16", "16"), 0, 1 },
    { "a link that eats what is won", "cpu:1 gpu:1(tflops=1) link(cpu,gpu)=10MB/s,1ms", 0, BIG, 0, 1 },
    { "a batch stays in parts through the net", "cpu:2", 0, NET, 2 * 5, 2 },
    { "the batch in panels", "cpu:2", 4, NET, 2 * 5, 2 },
};

START_TEST(tasks_are_cut_where_it_pays)
{
    struct he_plan_figures figures = { .struct_size = sizeof figures };
    const char *ops;
    uint32_t parts;

    open_machine(cases[_i].machine, cases[_i].batch_split_size);
    plan = make_plan(model_text(&arena, cases[_i].text), NULL, NULL);
    ops = op_text(plan, &parts);
    ck_assert_msg(parts == cases[_i].parts, "%s: %u parts: %s", cases[_i].what, parts, ops);
    must(he_plan_figures(plan, &figures));
    ck_assert_msg(figures.device_count == cases[_i].devices, "%s: %zu devices", cases[_i].what,
                  figures.device_count);
}
END_TEST

/* The standing example: 4096 x 4096 into eight panels of 512 rows. */
START_TEST(a_large_product_becomes_eight_panels)
{
    bool has_device[8] = { false };

    open_machine("cpu:8", 512);
    plan = make_plan(model_text(&arena, PRODUCT("4096", "4096", "4096")), NULL, NULL);
    for (uint32_t t = 0; t < plan->graph->task_count; t++) {
        const struct he_node_part *part = he_plan_part(plan, t);

        if (!part)
            continue;
        ck_assert_str_eq(part->of, "product");
        ck_assert_uint_eq(part->axis, 0);
        ck_assert_int_eq(part->begin % 512, 0);
        ck_assert_int_eq(part->end, part->begin + 512);
        ck_assert(!has_device[plan->placement.device[t]]);
        has_device[plan->placement.device[t]] = true;
    }
    for (int d = 0; d < 8; d++)
        ck_assert(has_device[d]);
}
END_TEST

/* What src/plan would do with the graph as it is. */
static double uncut_value(struct he_model *model, const char *strategy)
{
    struct he_analyze_options options = { .struct_size = sizeof options };
    struct he_place_options place = { .objective = HE_OBJECTIVE_LATENCY };
    struct he_problem *problem;
    struct he_graph *graph;
    struct he_cost *costs;
    struct he_plan *whole;
    double value;

    must(he_engine_prepare(engine, model, &options, &graph, &problem, &costs));
    must(he_plan_create(graph, engine->machine, problem, costs, strategy, &place,
                        &he_allocator_default, &whole));
    value = whole->value;
    he_plan_destroy(whole);
    return value;
}

static const char *const strategies[] = { "latency_aware", "throughput", "cost", "energy_aware",
                                          "heft", "priority" };
static const char *const machines[] = {
    "cpu:2", "cpu:5", "cpu:1 gpu:1", "cpu:1 gpu:2(tflops=0.3) link(cpu,gpu0)=1GB/s,5us", "gpu:3(tflops=1)",
};

START_TEST(a_cut_is_never_predicted_to_be_worse)
{
    static const char *const texts[] = { BIG, NET, PRODUCT("64", "256", "256") };
    const char *strategy = strategies[_i];

    for (size_t m = 0; m < HE_COUNT(machines); m++) {
        for (size_t k = 0; k < HE_COUNT(texts); k++) {
            struct he_model *model = model_text(&arena, texts[k]);
            double whole;
            uint32_t parts;

            open_machine(machines[m], k == 1 ? 3 : 0);
            whole = uncut_value(model, strategy);
            plan = make_plan(model, strategy, NULL);
            ck_assert_msg(plan->value <= whole, "%s on %s: %g, uncut %g", strategy, machines[m],
                          plan->value, whole);
            op_text(plan, &parts);
            if (strcmp(strategy, "priority") == 0 || strcmp(strategy, "cost") == 0)
                ck_assert_uint_eq(parts, 0);
            else if (strcmp(machines[m], "cpu:5") == 0 && k == 0 && strcmp(strategy, "energy_aware"))
                ck_assert_uint_eq(parts, 5);
            he_plan_destroy(plan);
            plan = NULL;
        }
    }
}
END_TEST

/* --- Files --- */

START_TEST(a_saved_plan_cuts_the_same_tasks_again)
{
    struct he_model *model = model_text(&arena, _i ? NET : BIG);
    char path[] = "/tmp/test_cut.XXXXXX";
    struct he_plan *again;
    int file = mkstemp(path);

    ck_assert_int_ge(file, 0);
    close(file);
    open_machine("cpu:3", _i ? 0 : 512);
    plan = make_plan(model, NULL, NULL);
    must(he_plan_save(plan, path));
    engine->machine->settings.batch_split_size = 0;
    again = make_plan(model, NULL, path);
    unlink(path);
    ck_assert_uint_eq(again->graph->task_count, plan->graph->task_count);
    for (uint32_t t = 0; t < plan->graph->task_count; t++) {
        ck_assert_str_eq(again->problem->task_ids[t], plan->problem->task_ids[t]);
        ck_assert_uint_eq(again->placement.device[t], plan->placement.device[t]);
        ck_assert_int_eq(he_plan_part(again, t) != NULL, he_plan_part(plan, t) != NULL);
    }
    ck_assert(again->schedule.makespan <= plan->schedule.makespan * (1 + 1e-9));
    he_plan_destroy(again);
}
END_TEST

static const struct {
    const char *tasks, *words;
    he_status status;
} bad_files[] = {
    { "{\"id\":\"p\",\"device\":\"cpu0\",\"split\":{\"of\":\"nobody\",\"axis\":0,\"from\":0,\"to\":2}}",
      "no task 'nobody'", HE_ERR_PARSE },
    { "{\"id\":\"p\",\"device\":\"cpu0\",\"split\":{\"of\":\"product\",\"axis\":0,\"from\":0}}",
      "expected a \"split\"", HE_ERR_PARSE },
    { "{\"id\":\"p\",\"device\":\"cpu0\",\"split\":{\"of\":\"product\",\"axis\":0,\"from\":1,\"to\":8}}",
      "leave a gap", HE_ERR_PARSE },
    { "{\"id\":\"p\",\"device\":\"cpu0\",\"split\":{\"of\":\"product\",\"axis\":5,\"from\":0,\"to\":4}},"
      "{\"id\":\"q\",\"device\":\"cpu0\",\"split\":{\"of\":\"product\",\"axis\":5,\"from\":4,\"to\":8}}",
      "not those of its result", HE_ERR_INVALID },
    { "{\"id\":\"p\",\"device\":\"cpu0\",\"split\":{\"of\":\"product\",\"axis\":0,\"from\":0,\"to\":3}},"
      "{\"id\":\"q\",\"device\":\"cpu0\",\"split\":{\"of\":\"product\",\"axis\":0,\"from\":3,\"to\":9}}",
      "not those of its result", HE_ERR_INVALID },
    { "{\"id\":\"p\",\"device\":\"cpu0\",\"split\":7}", "expected a \"split\"", HE_ERR_PARSE },
};

START_TEST(a_saved_plan_with_other_parts_is_refused)
{
    char path[] = "/tmp/test_cut.XXXXXX";
    struct he_analyze_options options = { .struct_size = sizeof options, .plan_path = path };
    struct he_plan *made;
    FILE *file = fdopen(mkstemp(path), "w");

    ck_assert_ptr_nonnull(file);
    fprintf(file, "{\"tasks\":[%s]}", bad_files[_i].tasks);
    fclose(file);
    open_machine("cpu:2", 0);
    ck_assert_int_eq(he_engine_analyze(engine, model_text(&arena, PRODUCT("8", "16", "16")),
                                       &options, &made),
                     bad_files[_i].status);
    unlink(path);
    ck_assert_msg(strstr(he_error_message(), bad_files[_i].words) != NULL, "%s",
                  he_error_message());
}
END_TEST

START_TEST(the_plan_says_what_its_parts_are)
{
    struct he_json_writer json;
    struct he_text text;
    char *words;

    open_machine("cpu:2", 0);
    plan = make_plan(model_text(&arena, BIG), NULL, NULL);
    he_text_init(&text, &he_allocator_default);
    he_json_begin(&json, &text, true);
    he_plan_write_json(plan, &json);
    ck_assert_ptr_nonnull(strstr(he_text_string(&text),
                                 "\"split\": {\"of\": \"product\", \"axis\": 0, \"from\": 0, \"to\": 2048}"));
    he_text_fini(&text);
    must(he_plan_explain_text(plan, "product[0:2048]", &words));
    ck_assert_ptr_nonnull(strstr(words, "0 to 2048 along axis 0 of product"));
    he_string_free(words);
}
END_TEST

/* --- Costs --- */

START_TEST(a_part_takes_its_share_of_what_the_whole_was_measured_to_take)
{
    struct he_analyze_options options = { .struct_size = sizeof options };
    static const int64_t bounds[] = { 0, 1024, 4096 };
    const struct he_shard shard = { .part_count = 2, .bounds = bounds };
    const char *fingerprint;
    struct he_problem *problem, *cut_problem;
    struct he_graph *graph, *cut;
    struct he_cost *costs, *cut_costs;
    uint32_t parts = 0;

    open_machine("cpu:2", 0);
    must(he_cost_store_open("", &he_allocator_default, &engine->store));
    must(he_engine_prepare(engine, model_text(&arena, BIG), &options, &graph, &problem, &costs));
    fingerprint = he_cost_fingerprint(&engine->machine->devices[0], &arena);
    for (int k = 0; k < HE_COST_MIN_SAMPLES; k++)
        must(he_cost_store_add(engine->store, fingerprint,
                               he_cost_signature(graph, &graph->tasks[0]),
                               graph->tasks[0].work.work_class, costs[0].seconds, 2.0));
    must(he_graph_shard(graph, &shard, 1, NULL, &cut));
    must(he_cost_build(cut, engine->machine, engine->devs, engine->store, &he_allocator_default,
                       &cut_problem, &cut_costs));
    for (uint32_t t = 0; t < cut->task_count; t++) {
        const struct he_node_part *part = he_graph_node_part(cut, cut->tasks[t].anchor);
        double rows;

        if (!part)
            continue;
        rows = (double)(part->end - part->begin);
        ck_assert_double_eq_tol(cut_costs[2 * t].seconds, 2.0 * rows / 4096, 2e-3);
        ck_assert_int_eq(cut_costs[2 * t].source, HE_COST_LEARNT);
        parts++;
    }
    ck_assert_uint_eq(parts, 2);
    he_graph_destroy(cut);
    he_graph_destroy(graph);
    he_problem_destroy(cut_problem);
    he_problem_destroy(problem);
}
END_TEST

/* --- Memory --- */

static const struct he_home *home_of(const char *task, bool is_output)
{
    for (uint32_t r = 0; r < plan->region_count; r++) {
        const struct he_plan_region *region = &plan->regions[r];

        for (uint32_t k = 0; k < region->view.task_count; k++) {
            uint32_t t = region->view.tasks[k];
            const struct he_task *view = &plan->graph->tasks[t];

            for (uint32_t s = 0; s < region->view.slot_count; s++) {
                if (strcmp(plan->problem->task_ids[t], task) == 0 &&
                    region->slots[s].value == (is_output ? view->outputs[0] : view->inputs[0]))
                    return &plan->homes[region->slot_homes[s]];
            }
        }
    }
    ck_abort_msg("no task %s", task);
}

START_TEST(parts_lie_inside_the_whole)
{
    const size_t row = 1024 * sizeof(float);
    const struct he_home *home;

    open_machine("cpu:2", 1024);
    plan = make_plan(model_text(&arena, BIG), NULL, NULL);
    must(he_plan_lower(plan));
    home = home_of("product[1024:2048]", false);
    ck_assert_int_eq(plan->homes[home->root].kind, HE_HOME_INPUT);
    ck_assert_uint_eq(home->shift, 1024 * row);
    home = home_of("product[3072:4096]", true);
    ck_assert_int_eq(plan->homes[home->root].kind, HE_HOME_OUTPUT);
    ck_assert_uint_eq(home->shift, 3072 * row);
    ck_assert_uint_eq(plan->memories[0].arena_bytes, 0); /* all of it is the caller's */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cut");
    TCase *tcase = tcase_create("cut");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, tasks_are_cut_where_it_pays, 0, HE_COUNT(cases));
    tcase_add_test(tcase, a_large_product_becomes_eight_panels);
    tcase_add_loop_test(tcase, a_cut_is_never_predicted_to_be_worse, 0, HE_COUNT(strategies));
    tcase_add_loop_test(tcase, a_saved_plan_cuts_the_same_tasks_again, 0, 2);
    tcase_add_loop_test(tcase, a_saved_plan_with_other_parts_is_refused, 0, HE_COUNT(bad_files));
    tcase_add_test(tcase, the_plan_says_what_its_parts_are);
    tcase_add_test(tcase, a_part_takes_its_share_of_what_the_whole_was_measured_to_take);
    tcase_add_test(tcase, parts_lie_inside_the_whole);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
