/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole models, where their folder is there: ../shared/models beside the sources, or
 * HE_MODELS. Every one becomes a graph with static shapes; the trained ones still give, node
 * by node and simplified, what their authors got.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/size.h"
#include "model/tensor_file.h"
#include "support/graph_run.h"
#include "support/random_cut.h"

static const struct {
    const char *path;
    bool needs_evaluator; /* shape arithmetic in other types than int64 */
    uint32_t most_nodes;  /* left after simplification with an evaluator */
    bool is_trained;      /* has a test_data_set_0 */
} models[] = {
    { "light/light_bvlc_alexnet.onnx", false, 22, false },
    { "light/light_densenet121.onnx", false, 430, false },
    { "light/light_inception_v1.onnx", false, 142, false },
    { "light/light_inception_v2.onnx", false, 164, false },
    { "light/light_resnet50.onnx", false, 123, false },
    { "light/light_shufflenet.onnx", false, 154, false },
    { "light/light_squeezenet.onnx", false, 65, false },
    { "light/light_vgg19.onnx", false, 44, false },
    { "light/light_zfnet512.onnx", false, 22, false },
    { "real/mnist_8", false, 9, true },
    { "real/ultraface_version-RFB-320", true, 128, true },
    { "real/magika_standard_v3_3", true, 62, true },
    { "real/ppocrv4_det", false, 310, true },
    { "real/ppocrv4_rec", true, 190, true },
    { "real/silero_vad", true, 4, true },
};

static const char *models_folder(void)
{
    const char *folder = getenv("HE_MODELS");

    return folder ? folder : HE_SRCDIR "/../shared/models";
}

static const char *model_path(int k, const char *file)
{
    static char path[1000];

    snprintf(path, sizeof path, "%s/%s%s%s", models_folder(), models[k].path, *file ? "/" : "",
             file);
    return path;
}

static struct he_model *load(int k)
{
    struct he_model *model;

    if (he_model_load(model_path(k, models[k].is_trained ? "model.onnx" : ""), NULL, &model) != HE_OK)
        ck_abort_msg("%s", he_error_message());
    return model;
}

static void assert_static(const struct he_graph *graph, const char *what)
{
    for (uint32_t t = 0; t < graph->task_count; t++)
        ck_assert_msg(!graph->tasks[t].is_dynamic, "%s: task %u (%s %s) is dynamic", what, t,
                      graph->nodes[graph->tasks[t].anchor].op,
                      graph->nodes[graph->tasks[t].anchor].name);
}

/* The shapes, and the contents, of the first set of test data; nothing for an untrained model. */
static void read_inputs(int k, const struct he_model *model, struct he_arena *arena,
                        struct he_shape_binding *bindings, struct he_tensor *inputs,
                        struct he_graph_options *options)
{
    options->bindings = bindings;
    if (!models[k].is_trained)
        return;
    options->binding_count = he_model_input_count(model);
    ck_assert_uint_le(options->binding_count, 4);
    for (size_t i = 0; i < options->binding_count; i++) {
        struct he_model_io io;
        char name[100];

        ck_assert_int_eq(he_model_input(model, i, &io), HE_OK);
        snprintf(name, sizeof name, "test_data_set_0/input_%zu.pb", i);
        ck_assert_int_eq(he_tensor_file_read(model_path(k, name), &he_allocator_default,
                                             HE_DTYPE_NONE, NULL, arena, &inputs[i]),
                         HE_OK);
        bindings[i] = (struct he_shape_binding){ .name = io.name, .shape = inputs[i].shape };
    }
}

static void assert_outputs(int k, struct he_graph *graph, const struct he_tensor *inputs,
                           struct he_arena *arena)
{
    struct he_tensor outputs[4], expected;

    ck_assert_uint_le(graph->output_count, 4);
    ck_assert_msg(graph_run(graph, arena, inputs, outputs) == HE_OK, "%s: %s", models[k].path,
                  he_error_message());
    for (uint32_t o = 0; o < graph->output_count; o++) {
        char name[100];
        double difference;

        snprintf(name, sizeof name, "test_data_set_0/output_%u.pb", o);
        ck_assert_int_eq(he_tensor_file_read(model_path(k, name), &he_allocator_default,
                                             HE_DTYPE_NONE, NULL, arena, &expected),
                         HE_OK);
        difference = graph_run_difference(&expected, &outputs[o]);
        ck_assert_msg(difference < 1e-4, "%s: output %u differs by %g", models[k].path, o,
                      difference);
    }
}

/* The same with half of the tasks cut somewhere. */
static void assert_outputs_in_parts(int k, const struct he_graph *graph,
                                    const struct he_tensor *inputs)
{
    uint32_t state = 4711;
    struct he_graph *cut;
    struct he_arena arena;
    size_t count;

    he_arena_init(&arena, NULL);
    ck_assert_msg(random_cut_graph(graph, 50, &state, &cut, &count) == HE_OK, "%s: %s",
                  models[k].path, he_error_message());
    ck_assert_msg(count > 0 || strstr(models[k].path, "silero"), "%s: nothing was cut",
                  models[k].path);
    assert_outputs(k, cut, inputs, &arena);
    he_graph_destroy(cut);
    he_arena_fini(&arena);
}

START_TEST(a_model_becomes_a_small_static_graph_that_computes_the_same)
{
    struct he_graph_options options = { .default_dim = 1 };
    struct he_shape_binding bindings[4];
    struct he_tensor inputs[4];
    struct he_model *model = load(_i);
    struct he_graph *graph;
    struct he_arena arena;

    he_arena_init(&arena, NULL);
    read_inputs(_i, model, &arena, bindings, inputs, &options);
    ck_assert_msg(he_graph_prepare(model, &options, NULL, &graph) == HE_OK, "%s: %s",
                  models[_i].path, he_error_message());
    if (!models[_i].needs_evaluator)
        assert_static(graph, models[_i].path);
    he_graph_destroy(graph);
    options.evaluator = graph_run_evaluator();
    ck_assert_msg(he_graph_prepare(model, &options, NULL, &graph) == HE_OK, "%s: %s",
                  models[_i].path, he_error_message());
    assert_static(graph, models[_i].path);
    ck_assert_msg(graph->node_count <= models[_i].most_nodes, "%s: %u nodes", models[_i].path,
                  graph->node_count);
    for (uint32_t n = 0; n < graph->node_count; n++)
        ck_assert_str_ne(graph->nodes[n].op, "BatchNormalization");
    if (models[_i].is_trained) {
        assert_outputs(_i, graph, inputs, &arena);
        assert_outputs_in_parts(_i, graph, inputs);
    }
    he_graph_destroy(graph);
    he_model_destroy(model);
    he_arena_fini(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph models");
    TCase *tc = tcase_create("models");
    SRunner *runner;
    int failed;

    if (access(models_folder(), R_OK) != 0) {
        printf("no models in %s\n", models_folder());
        return 77;
    }
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, a_model_becomes_a_small_static_graph_that_computes_the_same, 0,
                        HE_COUNT(models));
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
