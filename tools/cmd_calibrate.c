/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hetero calibrate: measures what devices cost each other, and runs a model's tasks on
 * every device that can; keeps it all in the calibration store, so that plans stand on
 * measurements.
 */
#include <unistd.h>

#include "core/clock.h"
#include "engine/engine.h"
#include "exec/exec.h"
#include "hetero.h"
#include "plan/plan.h"

#define WARM_UP_RUNS 3
#define SAMPLES 12 /* above HE_COST_MIN_SAMPLES, so that one outlier does not count */

#define ROUNDS 8           /* of trying other ways; one of each task per round */
#define EXPLORING_SECONDS 60.0
#define QUIET_NS 2000000000u /* what takes no longer needs no progress */

struct calibration {
    const struct tool_args *args;
    struct he_engine *engine;
    struct he_model *model;
    size_t measured;
    uint32_t pairs, better;
    bool shows_progress;
    uint64_t start_ns;
};

/* On a terminal, once it takes a while: one line, written over. */
static void show(const struct calibration *c, const char *what, const char *id, uint32_t done,
                 uint32_t total)
{
    if (c->shows_progress && he_now_ns() - c->start_ns > QUIET_NS)
        fprintf(stderr, "\r\033[K%s %s (%u of %u)", what, id, done + 1, total);
}

static void show_pair(void *self, const char *a, const char *b, uint32_t done, uint32_t total)
{
    char ids[128];

    snprintf(ids, sizeof ids, "%s and %s", a, b);
    show(self, "measuring between", ids, done, total);
}

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

/* A plan's inputs, made up, and room for what comes back. */
struct feed {
    uint32_t input_count, output_count;
    const DLTensor **inputs;
    struct he_output *outputs;
};

static he_status make_feed(const struct calibration *c, const struct he_plan *plan,
                           struct he_arena *arena, struct feed *out)
{
    struct he_tensor *tensors = he_arena_alloc(arena, plan->graph->input_count, sizeof *tensors);
    DLTensor *views = he_arena_alloc(arena, plan->graph->input_count, sizeof *views);
    he_status status;

    out->input_count = plan->graph->input_count;
    out->output_count = plan->graph->output_count;
    out->inputs = he_arena_alloc(arena, out->input_count, sizeof *out->inputs);
    out->outputs = he_arena_alloc(arena, out->output_count, sizeof *out->outputs);
    if (!tensors || !views || !out->inputs || !out->outputs)
        return he_no_memory();
    status = tool_make_inputs(plan, NULL, 0, (uint64_t)c->args->seed, arena, tensors);
    for (uint32_t k = 0; k < out->input_count && status == HE_OK; k++) {
        views[k] = tool_dltensor(&tensors[k]);
        out->inputs[k] = &views[k];
    }
    return status;
}

static he_status run_once(struct he_session *session, const struct feed *feed)
{
    he_status status = he_session_run(session, feed->inputs, feed->input_count, feed->outputs,
                                      feed->output_count);

    for (uint32_t k = 0; k < feed->output_count && status == HE_OK; k++)
        feed->outputs[k].given->deleter(feed->outputs[k].given);
    return status;
}

static he_status warm_up(struct he_session *session, const struct feed *feed)
{
    he_status status = HE_OK;

    for (int run = 0; run < WARM_UP_RUNS && status == HE_OK; run++)
        status = run_once(session, feed);
    he_session_reset_times(session);
    return status;
}

/* The device's own way. */
static he_status sample(struct calibration *c, struct he_plan *plan, struct he_session *session,
                        const struct feed *feed)
{
    he_status status = warm_up(session, feed);

    for (int run = 0; run < SAMPLES && status == HE_OK; run++) {
        status = run_once(session, feed);
        if (status == HE_OK)
            status = he_engine_learn(c->engine, plan, session);
    }
    return status;
}

/* One round of other ways, in turns with the device's own: what else the machine does falls on both. */
static he_status try_ways(struct calibration *c, struct he_plan *plan, struct he_engine_ways *ways,
                          struct he_session *rule, const struct feed *feed)
{
    struct he_session_options options = { .struct_size = sizeof options, .measure_tasks = true,
                                          .on_device_loss = HE_ON_LOSS_FAIL };
    struct he_session *tried;
    he_status status = he_session_create(c->engine, plan, &options, &tried);

    he_engine_ways_clear(ways, plan);
    if (status != HE_OK)
        return status;
    status = warm_up(tried, feed);
    for (int run = 0; run < SAMPLES && status == HE_OK; run++) {
        status = run_once(rule, feed);
        if (status == HE_OK)
            status = run_once(tried, feed);
        if (status == HE_OK)
            status = he_engine_ways_learn(c->engine, ways, plan, tried, rule);
        if (status == HE_OK)
            status = he_engine_learn(c->engine, plan, rule);
    }
    he_session_destroy(tried);
    return status;
}

/* Until every way worth trying was, or time is up. */
static he_status explore(struct calibration *c, struct he_plan *plan, uint32_t device,
                         struct he_session *rule, const struct feed *feed)
{
    double limit = c->args->time_limit > 0 ? c->args->time_limit : EXPLORING_SECONDS;
    uint64_t end_ns = he_now_ns() + (uint64_t)(limit * 1e9);
    struct he_engine_ways *ways;
    uint32_t better = 0;
    he_status status = he_engine_ways_open(c->engine, plan, device, &ways);

    if (status != HE_OK)
        return status;
    for (uint32_t round = 0; round < ROUNDS && status == HE_OK && he_now_ns() < end_ns; round++) {
        if (he_engine_ways_next(ways, plan) == 0) {
            he_engine_ways_clear(ways, plan);
            break;
        }
        show(c, "trying other ways on", he_engine_machine(c->engine)->devices[device].id, round,
             ROUNDS);
        status = try_ways(c, plan, ways, rule, feed);
    }
    if (status == HE_OK)
        status = he_engine_ways_settle(c->engine, ways, plan, &better);
    c->better += better;
    he_engine_ways_close(ways);
    return status;
}

static he_status measure(struct calibration *c, uint32_t device)
{
    struct he_session_options options = { .struct_size = sizeof options, .measure_tasks = true,
                                          .on_device_loss = HE_ON_LOSS_FAIL };
    struct he_session *session = NULL;
    struct he_plan *plan = NULL;
    struct he_arena arena;
    struct feed feed;
    he_status status;

    he_arena_init(&arena, NULL);
    status = plan_for(c, device, &arena, &plan);
    /* What was chosen before must not stand for the device's own way. */
    for (uint32_t k = 0; status == HE_OK && k < plan->graph->task_count * plan->problem->device_count;
         k++)
        plan->costs[k].way = NULL;
    if (status == HE_OK)
        status = he_session_create(c->engine, plan, &options, &session);
    if (status == HE_OK)
        status = make_feed(c, plan, &arena, &feed);
    if (status == HE_OK)
        status = sample(c, plan, session, &feed);
    if (status == HE_OK)
        status = explore(c, plan, device, session, &feed);
    he_session_destroy(session);
    he_plan_destroy(plan);
    he_arena_fini(&arena);
    return status;
}

static he_status measure_model(struct calibration *c)
{
    const struct he_machine *machine = he_engine_machine(c->engine);
    he_status status = HE_OK;

    for (uint32_t d = 0; d < machine->device_count && status == HE_OK; d++) {
        if (machine->devices[d].is_simulated)
            continue;
        show(c, "measuring tasks on", machine->devices[d].id, d, machine->device_count);
        status = measure(c, d);
    }
    return status;
}

static int report(const struct calibration *c)
{
    if (c->args->json)
        printf("{\"measured_tasks\": %zu, \"samples\": %d, \"pairs\": %u, \"better_ways\": %u}\n",
               c->measured, c->model ? SAMPLES : 0, c->pairs, c->better);
    else if (!c->args->quiet && c->model)
        printf("%zu tasks measured, %d times each, %u of them better done another way than the "
               "device would; %u pairs of devices\n", c->measured, SAMPLES, c->better, c->pairs);
    else if (!c->args->quiet)
        printf("%u pairs of devices measured\n", c->pairs);
    return EXIT_DONE;
}

static int run(const struct tool_args *args)
{
    struct calibration c = { .args = args, .shows_progress = !args->quiet && isatty(2),
                             .start_ns = he_now_ns() };
    he_status status = HE_OK;
    uint32_t tested;
    int code;

    if (args->model)
        status = he_model_load(args->model, NULL, &c.model);
    if (status == HE_OK)
        status = tool_open_engine(args, &c.engine);
    /* Single devices, then pairs, then tasks: each stands on the one before. */
    if (status == HE_OK)
        status = he_engine_self_test(c.engine, true, &tested);
    /* Pairs first: the tasks of a device that takes only some run beside another's. */
    if (status == HE_OK)
        status = he_engine_measure_pairs(c.engine, show_pair, &c, &c.pairs);
    if (status == HE_OK && c.model)
        status = measure_model(&c);
    if (c.shows_progress)
        fprintf(stderr, "\r\033[K");
    if (status == HE_OK)
        status = he_engine_save_costs(c.engine);
    code = status == HE_OK ? report(&c) : tool_fail(status);
    he_engine_destroy(c.engine);
    he_model_destroy(c.model);
    return code;
}

const struct tool_command cmd_calibrate = {
    .name = "calibrate",
    .summary = "measures devices, links and tasks for the cost model",
    .usage = "calibrate [-m FILE.onnx] [-d LIST] [--shape NAME:DIMS]",
    .options = "threads time-limit",
    .details = "Measures the peaks of devices with a memory of their own, and between every two\n"
               "devices: links, what it costs to hand a task's result over, and how much they slow\n"
               "each other down. With a model, also runs its tasks on every device that can, in each\n"
               "way the device knows worth trying (direct, Winograd, packed weights...; for\n"
               "--time-limit seconds per device, 60 by default). All of it goes into the calibration\n"
               "store ($XDG_CACHE_HOME/heteroengine, or ~/.cache/heteroengine); plans made afterwards\n"
               "stand on it instead of the roofline model and assumed links.",
    .examples = "  hetero calibrate\n"
                "  hetero calibrate -m model.onnx\n"
                "  hetero calibrate -m model.onnx -d \"CPU:0(cores=0),CPU:1(cores=1)\"\n",
    .run = run,
};
