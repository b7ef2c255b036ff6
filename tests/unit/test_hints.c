/* SPDX-License-Identifier: Apache-2.0 */
/* What a model says about devices: read, respected or reported, written, read again. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/size.h"
#include "engine/engine.h"
#include "plan/plan.h"
#include "support/model_text.h"

/* Three tasks that no pass merges, and a chain that becomes one task. */
static const char text[] = "opset 13\nin x f32[8,64]\nconst w f32[64,64] rand\n"
                           "a = MatMul(x, w) @first\n"
                           "b = Softmax(a) @second\n"
                           "c = MatMul(b, w) @third\n"
                           "d = Relu(c) @rider\n"
                           "out d";

static struct he_arena arena;
static struct he_model *model;
static struct he_engine *engine;

static void must(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s", he_error_message());
}

static void set_up(void)
{
    struct he_engine_options options = { .struct_size = sizeof options,
                                         .devices = "cpu:1 gpu:2", .cost_store = "" };

    he_arena_init(&arena, NULL);
    model = model_text(&arena, text);
    must(he_engine_create(&options, &engine));
}

static void tear_down(void)
{
    he_engine_destroy(engine);
    he_arena_fini(&arena);
}

static struct onnx_node *find_node(struct he_model *in, const char *name)
{
    for (size_t n = 0; n < in->graph.node_count; n++) {
        if (strcmp(in->graph.nodes[n].name, name) == 0)
            return &in->graph.nodes[n];
    }
    ck_abort_msg("no node %s", name);
    return NULL;
}

static void annotate(const char *name, const char *value)
{
    struct onnx_node *node = find_node(model, name);

    node->metadata = he_arena_alloc(&arena, 1, sizeof *node->metadata);
    node->metadata[0] = (struct onnx_property){ "layer_ann", value };
    node->metadata_count = 1;
}

static void set_layers(const char *layers)
{
    engine->machine->settings.layers = layers;
}

/* The device of the task that makes @output. */
static const char *device_of(const struct he_plan *plan, const char *output)
{
    for (uint32_t n = 0; n < plan->graph->node_count; n++) {
        const struct he_node *node = &plan->graph->nodes[n];

        if (strcmp(plan->graph->values[node->outputs[0]].name, output) == 0)
            return plan->problem->devices[plan->placement.device[node->task]].id;
    }
    ck_abort_msg("nothing makes %s", output);
    return NULL;
}

static struct he_plan *analyze(const struct he_model *what)
{
    struct he_plan *plan;

    must(he_engine_analyze(engine, what, NULL, &plan));
    return plan;
}

START_TEST(annotations_go_where_the_rules_say)
{
    struct he_plan *plan;

    annotate("first", "encoder.0");
    annotate("second", "head");
    annotate("third", "encoder.12");
    set_layers("gpu:1 ( encoder.1, nothing);cpu(=head) ; gpu0(encoder)");
    plan = analyze(model);
    ck_assert_str_eq(device_of(plan, "a"), "gpu0");
    ck_assert_str_eq(device_of(plan, "b"), "cpu0");
    ck_assert_str_eq(device_of(plan, "d"), "gpu1");
    ck_assert_uint_eq(plan->hint_count, 3);
    for (size_t k = 0; k < plan->hint_count; k++)
        ck_assert_ptr_null(plan->hints[k].problem);
    he_plan_destroy(plan);
}
END_TEST

START_TEST(what_cannot_be_respected_is_reported)
{
    struct he_plan *plan;

    annotate("first", "encoder"); /* no rule */
    annotate("second", "gpu1");   /* a device by name needs none */
    annotate("third", "tail");
    annotate("rider", "gpu0");    /* part of third's task */
    set_layers("fpga(tail)");
    plan = analyze(model);
    ck_assert_uint_eq(plan->hint_count, 4);
    for (size_t k = 0; k < plan->hint_count; k++) {
        const struct he_hint *hint = &plan->hints[k];
        bool is_named = strcmp(hint->wanted, "gpu1") == 0 || strcmp(hint->wanted, "gpu0") == 0;

        ck_assert_int_eq(hint->problem == NULL, is_named);
        if (strcmp(hint->wanted, "fpga") == 0)
            ck_assert_str_eq(hint->problem, "there is no such device here");
    }
    ck_assert_str_eq(device_of(plan, "b"), "gpu1");
    ck_assert_str_eq(device_of(plan, "d"), "gpu0"); /* its own hint came to nothing */
    he_plan_destroy(plan);
}
END_TEST

START_TEST(the_anchor_goes_before_its_riders)
{
    struct he_plan *plan;

    annotate("rider", "gpu0");
    annotate("third", "gpu1");
    plan = analyze(model);
    ck_assert_str_eq(device_of(plan, "d"), "gpu1");
    ck_assert_uint_eq(plan->hint_count, 2);
    ck_assert_str_eq(plan->hints[1].wanted, "gpu0");
    ck_assert_ptr_nonnull(plan->hints[1].problem);
    he_plan_destroy(plan);
}
END_TEST

START_TEST(hints_can_be_ignored)
{
    struct he_plan *plan;

    annotate("first", "gpu1");
    engine->machine->settings.hints = "ignore";
    plan = analyze(model);
    ck_assert_uint_eq(plan->hint_count, 0);
    he_plan_destroy(plan);
}
END_TEST

static const struct {
    const char *layers, *words;
} bad_rules[] = {
    { "gpu", "expected '(' at character 4" },
    { "gpu(", "expected an annotation at character 5" },
    { "gpu(a,)", "expected an annotation at character 7" },
    { "gpu(=)", "expected an annotation at character 5" },
    { "gpu(a", "expected ',' or ')' at character 6" },
    { "(a)", "expected a device at character 1" },
    { "gpu(a) cpu)", "expected '('" },
};

START_TEST(rules_that_cannot_be_read_say_where)
{
    struct he_plan *plan;

    set_layers(bad_rules[_i].layers);
    ck_assert_int_eq(he_engine_analyze(engine, model, NULL, &plan), HE_ERR_SETTING);
    ck_assert_msg(strstr(he_error_message(), bad_rules[_i].words) != NULL, "'%s' lacks '%s'",
                  he_error_message(), bad_rules[_i].words);
}
END_TEST

START_TEST(designators_mean_devices)
{
    const struct he_machine *machine = engine->machine;

    ck_assert(he_designator_means(machine, 0, "CPU") && !he_designator_means(machine, 1, "cpu"));
    ck_assert(he_designator_means(machine, 1, "gpu") && he_designator_means(machine, 2, "gpu"));
    ck_assert(!he_designator_means(machine, 1, "gpu:1") && he_designator_means(machine, 2, "gpu:1"));
    ck_assert(he_designator_means(machine, 2, "GPU1") && !he_designator_means(machine, 1, "GPU1"));
    ck_assert(!he_designator_means(machine, 0, "accelerator"));
    ck_assert(he_designator_means(machine, 1, "accelerator"));
    ck_assert(!he_designator_means(machine, 1, "gpu:nvidia"));
    ck_assert(!he_designator_means(machine, 0, "c") && !he_designator_means(machine, 0, ""));
}
END_TEST

START_TEST(a_written_placement_is_found_again)
{
    char path[] = "/tmp/he-hints-XXXXXX";
    int file = mkstemp(path);
    struct he_model *placed;
    struct he_plan *plan, *again;

    ck_assert_int_ge(file, 0);
    close(file);
    annotate("first", "gpu1");
    annotate("second", "cpu0");
    annotate("third", "gpu0");
    plan = analyze(model);
    must(he_plan_save_onnx(plan, path));
    must(he_model_load(path, NULL, &placed));
    ck_assert_int_ge(placed->ir_version, 11);
    ck_assert_str_eq(placed->configurations[0].name, "heteroengine");
    ck_assert_str_eq(placed->configurations[0].devices[2], "gpu1");
    ck_assert_int_eq(find_node(placed, "first")->node_devices[0].shardings[0].devices[0], 2);
    ck_assert_int_eq(find_node(placed, "first")->node_devices[0].stage, 0);
    ck_assert_int_eq(find_node(placed, "third")->node_devices[0].stage, 2);
    ck_assert_int_eq(find_node(placed, "rider")->node_devices[0].stage, 2);
    /* The configuration alone is enough. */
    for (size_t n = 0; n < placed->graph.node_count; n++)
        placed->graph.nodes[n].metadata_count = 0;
    again = analyze(placed);
    ck_assert_str_eq(device_of(again, "a"), "gpu1");
    ck_assert_str_eq(device_of(again, "b"), "cpu0");
    ck_assert_str_eq(device_of(again, "d"), "gpu0");
    /* A second writing replaces the first. */
    must(he_plan_save_onnx(again, path));
    he_plan_destroy(again);
    he_model_destroy(placed);
    must(he_model_load(path, NULL, &placed));
    ck_assert_uint_eq(placed->configuration_count, 1);
    ck_assert_uint_eq(find_node(placed, "first")->node_device_count, 1);
    he_model_destroy(placed);
    he_plan_destroy(plan);
    unlink(path);
}
END_TEST

START_TEST(devices_the_model_does_not_name_are_reported)
{
    static const int64_t far[] = { 7 };
    struct onnx_sharding sharding = { .tensor = "a", .devices = far, .device_count = 1 };
    struct onnx_node_device device = { .configuration = "theirs", .shardings = &sharding,
                                       .sharding_count = 1, .stage = -1 };
    struct onnx_node *node = find_node(model, "first");
    struct he_plan *plan;

    node->node_devices = &device;
    node->node_device_count = 1;
    plan = analyze(model);
    ck_assert_uint_eq(plan->hint_count, 1);
    ck_assert_str_eq(plan->hints[0].problem, "the model does not name that device");
    he_plan_destroy(plan);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hints");
    TCase *tcase = tcase_create("hints");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, annotations_go_where_the_rules_say);
    tcase_add_test(tcase, what_cannot_be_respected_is_reported);
    tcase_add_test(tcase, the_anchor_goes_before_its_riders);
    tcase_add_test(tcase, hints_can_be_ignored);
    tcase_add_loop_test(tcase, rules_that_cannot_be_read_say_where, 0, (int)HE_COUNT(bad_rules));
    tcase_add_test(tcase, designators_mean_devices);
    tcase_add_test(tcase, a_written_placement_is_found_again);
    tcase_add_test(tcase, devices_the_model_does_not_name_are_reported);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
