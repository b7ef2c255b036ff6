/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random graphs of many operators, half of them with tasks cut at random, placed
 * at random: whatever runs where, the outputs are those of one device alone. Two CPU devices (and a GPU where there
 * is one, for some of the graphs: its compiler takes its time) run parts of each
 * graph at the same time, several requests in flight.
 */
#include <check.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "exec/exec.h"
#include "plan/plan.h"
#include "support/random_cut.h"
#include "support/random_model.h"

#define GRAPHS 1000
#define GPU_EVERY 100
#define IN_FLIGHT 3
#define REQUESTS 4 /* one more: a context is used again */

/* --- Running it --- */

/* Cuts a third of the tasks; the parts are tasks like others then. */
static void cut(struct he_engine *engine, struct random_model *choose, struct he_graph **graph,
                struct he_problem **problem, struct he_cost **costs)
{
    const struct he_machine *machine = he_engine_machine(engine);
    uint32_t state = random_pick(choose, 1u << 30);
    struct he_graph *parts;
    size_t count;
    he_status status = random_cut_graph(*graph, 33, &state, &parts, &count);

    ck_assert_msg(status == HE_OK, "cut: %s", he_error_message());
    he_graph_destroy(*graph);
    he_problem_destroy(*problem);
    *graph = parts;
    status = he_cost_build(parts, machine, engine->devs, NULL, &he_allocator_default, problem,
                           costs);
    ck_assert_msg(status == HE_OK, "costs: %s", he_error_message());
}

/* A placement by @choose (NULL: all on device 0). */
static struct he_plan *place(struct he_engine *engine, struct he_model *model, struct random_model *choose)
{
    struct he_analyze_options options = { .struct_size = sizeof options };
    struct he_placement placement = { .policy = "random" };
    struct he_graph *graph;
    struct he_problem *problem;
    struct he_cost *costs;
    struct he_plan *plan;
    he_status status;

    status = he_engine_prepare(engine, model, &options, &graph, &problem, &costs);
    ck_assert_msg(status == HE_OK, "prepare: %s", he_error_message());
    if (choose && random_pick(choose, 2))
        cut(engine, choose, &graph, &problem, &costs);
    placement.device = calloc(problem->task_count + 1, sizeof *placement.device);
    placement.order = calloc(problem->task_count + 1, sizeof *placement.order);
    ck_assert(placement.device && placement.order);
    for (uint32_t t = 0; t < problem->task_count; t++) {
        placement.order[t] = t;
        if (!choose)
            continue;
        placement.device[t] = random_pick(choose, problem->device_count);
        if (!isfinite(he_problem_time(problem, t, placement.device[t])))
            placement.device[t] = 0;
    }
    status = he_plan_create_placed(graph, he_engine_machine(engine), problem, costs, &placement,
                                   HE_OBJECTIVE_LATENCY, &he_allocator_default, &plan);
    ck_assert_msg(status == HE_OK, "plan: %s", he_error_message());
    free(placement.device);
    free(placement.order);
    ck_assert_msg(he_plan_check(plan) == HE_OK, "%s", he_error_message());
    return plan;
}

/* REQUESTS requests, each with an input of its own, IN_FLIGHT at once; @outputs has room for all. */
static void run(struct he_engine *engine, struct he_plan *plan, const DLTensor *inputs,
                struct he_output *outputs)
{
    struct he_session_options options = { .struct_size = sizeof options,
                                          .max_in_flight = IN_FLIGHT };
    struct he_request *flying[REQUESTS];
    struct he_session *session;
    he_status status = he_session_create(engine, plan, &options, &session);

    ck_assert_msg(status == HE_OK, "session: %s", he_error_message());
    for (uint32_t r = 0; r < REQUESTS; r++) {
        const DLTensor *input = &inputs[r];

        status = he_session_submit(session, &input, 1, outputs + r * plan->graph->output_count,
                                   plan->graph->output_count, NULL, NULL, &flying[r]);
        ck_assert_msg(status == HE_OK, "submit: %s", he_error_message());
    }
    for (uint32_t r = 0; r < REQUESTS; r++) {
        status = he_request_wait(flying[r], -1);
        ck_assert_msg(status == HE_OK, "run: %s", he_error_message());
        he_request_destroy(flying[r]);
    }
    he_session_destroy(session);
}

static void expect_same(const DLTensor *got, const DLTensor *expected, uint64_t seed, uint32_t output)
{
    const float *a = got->data, *b = expected->data;
    int64_t count = 1;

    ck_assert_int_eq(got->ndim, expected->ndim);
    for (int k = 0; k < got->ndim; k++) {
        ck_assert_int_eq(got->shape[k], expected->shape[k]);
        count *= got->shape[k];
    }
    for (int64_t k = 0; k < count; k++) {
        if (isnan(a[k]) && isnan(b[k]))
            continue;
        ck_assert_msg(a[k] == b[k] || fabsf(a[k] - b[k]) <= 1e-4f + 1e-3f * fabsf(b[k]),
                      "graph %llu, output %u, element %lld: %g, expected %g",
                      (unsigned long long)seed, output, (long long)k, a[k], b[k]);
    }
}

static void drop(struct he_output *outputs, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        if (outputs[k].given)
            outputs[k].given->deleter(outputs[k].given);
    }
    free(outputs);
}

static void try_graph(struct he_engine *engine, uint64_t seed)
{
    struct he_model *model = random_model_make(seed);
    struct random_model choose = { .state = seed * 977 + 1 };
    struct he_plan *alone = place(engine, model, NULL), *mixed = place(engine, model, &choose);
    uint32_t output_count = alone->graph->output_count;
    struct he_output *expected = calloc((size_t)output_count * REQUESTS, sizeof *expected);
    struct he_output *got = calloc((size_t)output_count * REQUESTS, sizeof *got);
    const struct he_value *x = &alone->graph->values[alone->graph->inputs[0]];
    int64_t count = he_shape_count(&x->shape);
    float *data = calloc((size_t)count * REQUESTS, sizeof *data);
    DLTensor inputs[REQUESTS];

    ck_assert(expected && got && data);
    for (int64_t k = 0; k < count * REQUESTS; k++)
        data[k] = random_unit(&choose);
    for (uint32_t r = 0; r < REQUESTS; r++)
        inputs[r] = (DLTensor){ .data = data + (int64_t)r * count, .device = { kDLCPU, 0 },
                                .ndim = 4, .dtype = { kDLFloat, 32, 1 },
                                .shape = (int64_t *)x->shape.dims };
    run(engine, alone, inputs, expected);
    run(engine, mixed, inputs, got);
    for (uint32_t k = 0; k < output_count * REQUESTS; k++)
        expect_same(&got[k].given->dl_tensor, &expected[k].given->dl_tensor, seed,
                    k % output_count);
    drop(expected, output_count * REQUESTS);
    drop(got, output_count * REQUESTS);
    free(data);
    he_plan_destroy(alone);
    he_plan_destroy(mixed);
    random_model_free(model);
}

static int first_core(void)
{
    cpu_set_t set;
    int core = 0;

    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    while (core < CPU_SETSIZE - 1 && !CPU_ISSET(core, &set))
        core++;
    return core;
}

static struct he_engine *open_engine(const char *more)
{
    struct he_engine_options options = { .struct_size = sizeof options, .cost_store = "" };
    struct he_engine *engine;
    char line[200];

    snprintf(line, sizeof line, "CPU:0(threads=1),CPU:1(cores=%d)%s", first_core(), more);
    options.devices = line;
    return he_engine_create(&options, &engine) == HE_OK ? engine : NULL;
}

START_TEST(any_placement_gives_the_outputs_of_one_device)
{
    struct he_engine *engine = open_engine("");

    ck_assert_msg(engine != NULL, "%s", he_error_message());
    for (uint64_t seed = 0; seed < GRAPHS; seed++)
        try_graph(engine, seed);
    he_engine_destroy(engine);
}
END_TEST

/* Two where there are two: they copy to each other. */
START_TEST(a_gpu_beside_changes_nothing)
{
    struct he_engine *engine = open_engine(",GPU:0,GPU:1");

    if (!engine)
        engine = open_engine(",GPU:0");
    if (!engine) {
        printf("without a GPU: %s\n", he_error_message());
        return;
    }
    for (uint64_t seed = 0; seed < GRAPHS; seed += GPU_EVERY)
        try_graph(engine, seed);
    he_engine_destroy(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random dags");
    TCase *tcase = tcase_create("placements");
    SRunner *runner = srunner_create(suite);
    int failed;

    setenv("POCL_DEVICES", "pthread pthread", 0); /* PoCL's one device twice */
    tcase_set_timeout(tcase, 1200);
    tcase_add_test(tcase, any_placement_gives_the_outputs_of_one_device);
    tcase_add_test(tcase, a_gpu_beside_changes_nothing);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
