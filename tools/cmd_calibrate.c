/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hetero calibrate: runs a model's tasks on every device that can, and keeps the
 * times in the calibration store, so that plans stand on measurements.
 */
#include <unistd.h>

#include "engine/engine.h"
#include "exec/exec.h"
#include "hetero.h"
#include "plan/plan.h"

#define WARM_UP_RUNS 3
#define SAMPLES 12 /* above HE_COST_MIN_SAMPLES, so that one outlier does not count */

struct calibration {
    const struct tool_args *args;
    struct he_engine *engine;
    struct he_model *model;
    size_t measured;
};

static he_status make_options(const struct calibration *c, struct he_arena *arena,
                              struct he_analyze_options *out)
{
    struct he_input_shape *shapes;
    size_t count;
    he_status status = tool_parse_shapes(c->args, arena, &shapes, &count);

    *out = (struct he_analyze_options){ .struct_size = sizeof *out, .shapes = shapes,
                                        .shape_count = count };
    return status;
}

/* Every task that can on @device, the others where they run fastest. */
static he_status plan_for(struct calibration *c, uint32_t device, struct he_arena *arena,
                          struct he_plan **out)
{
    struct he_analyze_options options;
    struct he_placement placement = { .policy = "calibrate" };
    struct he_graph *graph;
    struct he_problem *problem;
    struct he_cost *costs;
    he_status status = make_options(c, arena, &options);

    if (status == HE_OK)
        status = he_engine_prepare(c->engine, c->model, &options, &graph, &problem, &costs);
    if (status != HE_OK)
        return status;
    placement.device = he_arena_alloc(arena, problem->task_count, sizeof *placement.device);
    placement.order = he_arena_alloc(arena, problem->task_count, sizeof *placement.order);
    if (!placement.device || !placement.order) {
        he_graph_destroy(graph);
        he_problem_destroy(problem);
        return he_no_memory();
    }
    for (uint32_t t = 0; t < problem->task_count; t++) {
        uint32_t best = device;

        placement.order[t] = t;
        for (uint32_t d = 0; d < problem->device_count; d++) {
            if (he_problem_time(problem, t, device) == HE_CANNOT_RUN &&
                he_problem_time(problem, t, d) < he_problem_time(problem, t, best))
                best = d;
        }
        placement.device[t] = best;
        c->measured += best == device;
    }
    return he_plan_create_placed(graph, he_engine_machine(c->engine), problem, costs, &placement,
                                 HE_OBJECTIVE_LATENCY, &he_allocator_default, out);
}

static he_status sample(struct calibration *c, struct he_plan *plan, struct he_session *session,
                        struct he_arena *arena)
{
    uint32_t input_count = plan->graph->input_count, output_count = plan->graph->output_count;
    struct he_tensor *tensors = he_arena_alloc(arena, input_count, sizeof *tensors);
    DLTensor *views = he_arena_alloc(arena, input_count, sizeof *views);
    const DLTensor **inputs = he_arena_alloc(arena, input_count, sizeof *inputs);
    struct he_output *outputs = he_arena_alloc(arena, output_count, sizeof *outputs);
    he_status status;

    if (!tensors || !views || !inputs || !outputs)
        return he_no_memory();
    status = tool_make_inputs(plan, NULL, 0, (uint64_t)c->args->seed, arena, tensors);
    for (uint32_t k = 0; k < input_count && status == HE_OK; k++) {
        views[k] = tool_dltensor(&tensors[k]);
        inputs[k] = &views[k];
    }
    for (int run = -WARM_UP_RUNS; run < SAMPLES && status == HE_OK; run++) {
        if (run == 0)
            he_session_reset_times(session);
        status = he_session_run(session, inputs, input_count, outputs, output_count);
        for (uint32_t k = 0; k < output_count && status == HE_OK; k++)
            outputs[k].given->deleter(outputs[k].given);
        if (run >= 0 && status == HE_OK)
            status = he_engine_learn(c->engine, plan, session);
    }
    return status;
}

static he_status measure(struct calibration *c, uint32_t device)
{
    struct he_session_options options = { .struct_size = sizeof options, .measure_tasks = true };
    struct he_session *session = NULL;
    struct he_plan *plan = NULL;
    struct he_arena arena;
    he_status status;

    he_arena_init(&arena, NULL);
    status = plan_for(c, device, &arena, &plan);
    if (status == HE_OK)
        status = he_session_create(c->engine, plan, &options, &session);
    if (status == HE_OK)
        status = sample(c, plan, session, &arena);
    he_session_destroy(session);
    he_plan_destroy(plan);
    he_arena_fini(&arena);
    return status;
}

static int run(const struct tool_args *args)
{
    struct calibration c = { .args = args };
    const struct he_machine *machine;
    bool shows_progress = !args->quiet && isatty(2);
    he_status status;
    int code = EXIT_DONE;

    if (!args->model)
        return tool_usage_error("calibrate: -m FILE.onnx is needed: the tasks to measure");
    status = he_model_load(args->model, NULL, &c.model);
    if (status == HE_OK)
        status = tool_open_engine(args, &c.engine);
    if (status != HE_OK) {
        code = tool_fail(status);
        goto done;
    }
    machine = he_engine_machine(c.engine);
    for (uint32_t d = 0; d < machine->device_count && status == HE_OK; d++) {
        if (machine->devices[d].is_simulated)
            continue;
        if (shows_progress)
            fprintf(stderr, "\r\033[Kmeasuring %s (%u of %u)", machine->devices[d].id, d + 1,
                    machine->device_count);
        status = measure(&c, d);
    }
    if (shows_progress)
        fprintf(stderr, "\r\033[K");
    if (status == HE_OK)
        status = he_engine_save_costs(c.engine);
    if (status != HE_OK)
        code = tool_fail(status);
    else if (args->json)
        printf("{\"measured_tasks\": %zu, \"samples\": %d}\n", c.measured, SAMPLES);
    else if (!args->quiet)
        printf("%zu tasks measured, %d times each\n", c.measured, SAMPLES);

done:
    he_engine_destroy(c.engine);
    he_model_destroy(c.model);
    return code;
}

const struct tool_command cmd_calibrate = {
    .name = "calibrate",
    .summary = "measures tasks on devices for the cost model",
    .usage = "calibrate -m FILE.onnx [-d LIST] [--shape NAME:DIMS]",
    .options = "threads",
    .details = "Runs the tasks of the model on every device that can run them, and keeps the times\n"
               "in the calibration store ($XDG_CACHE_HOME/heteroengine, or ~/.cache/heteroengine).\n"
               "Plans made afterwards stand on these times instead of the roofline model.",
    .examples = "  hetero calibrate -m model.onnx\n"
                "  hetero calibrate -m model.onnx -d \"CPU:0(cores=0),CPU:1(cores=1)\"\n",
    .run = run,
};
