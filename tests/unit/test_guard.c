/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard on models: whatever the machine, no plan is predicted worse than the best
 * device alone; and a device that takes only the Relu nodes, fast and first in the list,
 * is left unused, since every detour to it costs more than it saves.
 *
 * Runs on the digit classifier of the examples, and on every model of
 * $HETEROENGINE_MODELS or ../shared/models where there are any.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "model/tensor_file.h"

#define MOST_MODELS 64

static char models[MOST_MODELS][512];
static int model_count;

static void add_model(const char *folder, const char *name)
{
    char path[512];

    if (model_count < MOST_MODELS &&
        (size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path &&
        access(path, R_OK) == 0)
        strcpy(models[model_count++], path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void find_models(void)
{
    const char *root = getenv("HETEROENGINE_MODELS");
    char folder[400], name[300];
    struct dirent *entry;
    DIR *dir;

    add_model(HE_SRCDIR "/examples/digits", "digits.onnx");
    snprintf(folder, sizeof folder, "%s/light", root ? root : HE_SRCDIR "/../shared/models");
    dir = opendir(folder);
    while (dir && (entry = readdir(dir))) {
        if (strstr(entry->d_name, ".onnx"))
            add_model(folder, entry->d_name);
    }
    if (dir)
        closedir(dir);
    snprintf(folder, sizeof folder, "%s/real", root ? root : HE_SRCDIR "/../shared/models");
    dir = opendir(folder);
    while (dir && (entry = readdir(dir))) {
        snprintf(name, sizeof name, "%s/model.onnx", entry->d_name);
        add_model(folder, name);
    }
    if (dir)
        closedir(dir);
    qsort(models, (size_t)model_count, sizeof models[0], by_name);
}

static void must(he_status status, const char *what)
{
    ck_assert_msg(status == HE_OK, "%s: %s", what, he_error_message());
}

/* The shapes of the inputs beside the model, if there are any. */
static size_t read_shapes(const char *path, const struct he_model *model, struct he_arena *arena,
                          struct he_input_shape **out)
{
    size_t count = he_model_input_count(model), found = 0;
    int folder = (int)(strrchr(path, '/') - path);

    *out = he_arena_alloc(arena, count, sizeof **out);
    ck_assert_ptr_nonnull(*out);
    for (size_t k = 0; k < count; k++) {
        char *file = he_arena_printf(arena, "%.*s/test_data_set_0/input_%zu.pb", folder, path, k);
        struct he_tensor tensor;
        struct he_model_io io;

        must(he_model_input(model, k, &io), path);
        if (access(file, R_OK) != 0)
            continue;
        must(he_tensor_file_read(file, &he_allocator_default, io.dtype, &io.shape, arena, &tensor),
             file);
        (*out)[found++] = (struct he_input_shape){ he_arena_printf(arena, "%s", io.name),
                                                   tensor.shape };
    }
    return found;
}

/* --- Plans against single devices --- */

static const char *const machines[] = {
    "cpu:2", "cpu:1 gpu:1(tflops=20,bw=900GB/s,mem=8GB)",
    "cpu:1 gpu:2(tflops=1,mem=2GB) link(cpu,gpu)=4GB/s,20us",
    "cpu:1(tflops=0.1) fpga:1(tflops=0.3,bw=20GB/s) link(cpu,fpga)=2GB/s,50us",
};

/* The least makespan of any one device that takes the whole model. */
static double best_single(const struct he_problem *p, struct he_arena *arena)
{
    uint32_t *device = he_arena_alloc(arena, p->task_count, sizeof *device);
    uint32_t *order = he_arena_alloc(arena, p->task_count, sizeof *order);
    double best = INFINITY;

    for (uint32_t d = 0; d < p->device_count; d++) {
        struct he_placement all = { device, order, "single" };
        struct he_schedule schedule;

        for (uint32_t t = 0; t < p->task_count; t++) {
            device[t] = d;
            order[t] = t;
        }
        if (he_place_evaluate(p, &all, arena, &schedule) == HE_OK)
            best = fmin(best, schedule.makespan);
    }
    return best;
}

START_TEST(no_plan_is_predicted_worse_than_one_device_alone)
{
    const char *path = models[_i];
    struct he_model *model;

    must(he_model_load(path, NULL, &model), path);
    for (size_t m = 0; m < sizeof machines / sizeof machines[0]; m++) {
        struct he_engine_options options = { .struct_size = sizeof options, .devices = machines[m],
                                             .cost_store = "" };
        struct he_analyze_options analyze = { .struct_size = sizeof analyze };
        struct he_placement answer;
        struct he_input_shape *shapes;
        struct he_schedule schedule;
        struct he_engine *engine;
        struct he_problem *problem;
        struct he_graph *graph;
        struct he_cost *costs;
        struct he_arena arena;
        double single;

        he_arena_init(&arena, NULL);
        analyze.shape_count = read_shapes(path, model, &arena, &shapes);
        analyze.shapes = shapes;
        must(he_engine_create(&options, &engine), machines[m]);
        must(he_engine_prepare(engine, model, &analyze, &graph, &problem, &costs), path);
        single = best_single(problem, &arena);
        ck_assert_msg(isfinite(single), "%s on %s: no device alone", path, machines[m]);
        must(he_place(problem, "latency_aware", NULL, &arena, &answer, &schedule), path);
        ck_assert_msg(schedule.makespan <= single * (1 + 1e-9),
                      "%s on %s: %s predicts %g s, one device alone %g s", path, machines[m],
                      answer.policy, schedule.makespan, single);
        he_problem_destroy(problem);
        he_graph_destroy(graph);
        he_engine_destroy(engine);
        he_arena_fini(&arena);
    }
    he_model_destroy(model);
}
END_TEST

/* --- The trap --- */

/*
 * Nodes one by one, as engines see them that ask a device for nodes. The processor has a Relu
 * for next to nothing, since it is done while the convolution before it is written; the first
 * device takes the Relus alone, in no time at all, out of a memory of its own.
 */
static struct he_problem *relu_trap(const char *path, const struct he_model *model,
                                    const struct he_machine *machine, struct he_arena *arena,
                                    struct he_graph **graph, uint32_t *relu_count)
{
    struct he_graph_options options = { .default_dim = 1, .no_fuse = true };
    struct he_input_shape *shapes;
    struct he_shape_binding *bindings;
    struct he_problem *problem;
    struct he_cost *costs;

    options.binding_count = read_shapes(path, model, arena, &shapes);
    bindings = he_arena_alloc(arena, options.binding_count, sizeof *bindings);
    ck_assert_ptr_nonnull(bindings);
    for (size_t k = 0; k < options.binding_count; k++)
        bindings[k] = (struct he_shape_binding){ .name = shapes[k].name, .shape = shapes[k].shape };
    options.bindings = bindings;
    must(he_graph_prepare(model, &options, &he_allocator_default, graph), "graph");
    must(he_cost_build(*graph, machine, NULL, NULL, &he_allocator_default, &problem, &costs),
         "costs");
    *relu_count = 0;
    for (uint32_t t = 0; t < problem->task_count; t++) {
        const struct he_task *task = &(*graph)->tasks[t];
        bool is_relu = strcmp((*graph)->nodes[task->anchor].op, "Relu") == 0;
        double *times = &problem->time[(size_t)t * problem->device_count];

        *relu_count += is_relu;
        times[0] = is_relu ? 0 : HE_CANNOT_RUN;
        times[1] = is_relu ? 1e-7 : times[1];
    }
    return problem;
}

START_TEST(a_device_for_relu_alone_is_left_unused)
{
    const char *path = models[_i];
    struct he_machine *machine;
    struct he_model *model;
    struct he_graph *graph;
    struct he_problem *problem;
    struct he_placement answer, greedy;
    struct he_schedule schedule, trapped;
    struct he_arena arena;
    uint32_t relu_count, used = 0;

    he_arena_init(&arena, NULL);
    must(he_machine_from_line("gpu:1 cpu:1", &he_allocator_default, &machine), "machine");
    must(he_model_load(path, NULL, &model), path);
    problem = relu_trap(path, model, machine, &arena, &graph, &relu_count);
    must(he_place(problem, "latency_aware", NULL, &arena, &answer, &schedule), path);
    for (uint32_t t = 0; t < problem->task_count; t++)
        used += answer.device[t] == 0;
    ck_assert_msg(used == 0, "%s: %u of %u Relus went to the device for Relu", path, used,
                  relu_count);
    /* Greedy placement by priority falls into it. */
    must(he_place(problem, "priority", NULL, &arena, &greedy, &trapped), path);
    ck_assert_msg(relu_count == 0 || trapped.makespan > schedule.makespan,
                  "%s: the trap is none: %g s against %g s", path, trapped.makespan,
                  schedule.makespan);
    he_problem_destroy(problem);
    he_graph_destroy(graph);
    he_model_destroy(model);
    he_machine_destroy(machine);
    he_arena_fini(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("guard");
    TCase *tcase = tcase_create("models");
    SRunner *runner = srunner_create(suite);
    int failed;

    find_models();
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, no_plan_is_predicted_worse_than_one_device_alone, 0, model_count);
    tcase_add_loop_test(tcase, a_device_for_relu_alone_is_left_unused, 0, model_count);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
