/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one task costs the executor: graphs of empty tasks on null devices (their
 * launch returns at once), every task a region and a launch of its own.
 *
 *   chain       each task waits for the one before, one device: no hand-over
 *   fork-join   1 -> 16 -> 1 -> 16 ..., one device
 *   ping-pong   a chain that changes device with every task: a message between two
 *               threads per task
 *
 * Prints microseconds per task, the median of the repetitions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "engine/engine.h"
#include "exec/exec.h"
#include "plan/plan.h"

#define TASKS 10000
#define WIDTH 16
#define REPETITIONS 31

enum shape { CHAIN, FORK_JOIN, PING_PONG };

static void die(const char *what)
{
    fprintf(stderr, "overhead: %s: %s\n", what, he_error_message());
    exit(EXIT_FAILURE);
}

static void *need(void *memory)
{
    if (!memory)
        die("memory");
    return memory;
}

/* One value of one float, made by a node that reads @from (one or all of WIDTH). */
static void add_node(struct he_graph *graph, struct he_arena *arena, const uint32_t *from,
                     uint32_t from_count)
{
    uint32_t n = graph->node_count++, value = graph->value_count++;
    struct he_node *node = &graph->nodes[n];
    struct he_task *task = &graph->tasks[graph->task_count++];

    graph->values[value] = (struct he_value){ .name = need(he_arena_printf(arena, "t%u", n)),
                                              .dtype = HE_FLOAT32, .producer = n };
    *node = (struct he_node){ .name = graph->values[value].name, .op = "Sum", .domain = "",
                              .opset = 13, .task = n };
    node->inputs = need(he_arena_copy(arena, from, from_count * sizeof *from));
    node->input_count = node->explicit_input_count = from_count;
    node->outputs = need(he_arena_copy(arena, &value, sizeof value));
    node->output_count = 1;
    *task = (struct he_task){ .nodes = need(he_arena_copy(arena, &n, sizeof n)), .node_count = 1,
                              .anchor = n, .inputs = node->inputs, .input_count = from_count,
                              .outputs = node->outputs, .output_count = 1 };
}

static struct he_graph *make_graph(enum shape shape, struct he_arena *arena)
{
    struct he_graph *graph = need(he_arena_alloc(arena, 1, sizeof *graph));
    uint32_t layer[WIDTH], last = 0;

    graph->name = "overhead";
    graph->values = need(he_arena_alloc(arena, TASKS + 1, sizeof *graph->values));
    graph->nodes = need(he_arena_alloc(arena, TASKS, sizeof *graph->nodes));
    graph->tasks = need(he_arena_alloc(arena, TASKS, sizeof *graph->tasks));
    graph->values[graph->value_count++] =
        (struct he_value){ .name = "x", .dtype = HE_FLOAT32, .producer = HE_NONE, .is_input = true };
    while (graph->task_count < TASKS) {
        if (shape == FORK_JOIN && graph->task_count + WIDTH < TASKS) {
            for (uint32_t k = 0; k < WIDTH; k++) {
                add_node(graph, arena, &last, 1);
                layer[k] = graph->value_count - 1;
            }
            add_node(graph, arena, layer, WIDTH);
        } else {
            add_node(graph, arena, &last, 1);
        }
        last = graph->value_count - 1;
    }
    graph->values[last].is_output = true;
    graph->inputs = need(he_arena_alloc(arena, 1, sizeof *graph->inputs));
    graph->outputs = need(he_arena_copy(arena, &last, sizeof last));
    graph->input_count = graph->output_count = 1;
    return graph;
}

/* A plan with one region per task. */
static void make_plan(struct he_plan *plan, enum shape shape, const struct he_machine *machine,
                      struct he_arena *arena)
{
    struct he_problem *problem = need(he_arena_alloc(arena, 1, sizeof *problem));

    he_arena_init(&plan->arena, NULL);
    plan->graph = make_graph(shape, arena);
    plan->machine = machine;
    plan->problem = problem;
    problem->task_count = plan->graph->task_count;
    problem->device_count = machine->device_count;
    plan->placement.device = need(he_arena_alloc(arena, TASKS, sizeof *plan->placement.device));
    plan->schedule.start = need(he_arena_alloc(arena, TASKS, sizeof *plan->schedule.start));
    plan->schedule.finish = need(he_arena_alloc(arena, TASKS, sizeof *plan->schedule.finish));
    plan->parts = need(he_arena_alloc(arena, TASKS, sizeof *plan->parts));
    for (uint32_t t = 0; t < plan->graph->task_count; t++) {
        plan->placement.device[t] = shape == PING_PONG ? t % 2 : 0;
        plan->parts[t] = (struct he_part){ .device = plan->placement.device[t], .task_count = 1,
                                           .tasks = need(he_arena_copy(arena, &t, sizeof t)) };
    }
    plan->part_count = plan->graph->task_count;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double measure(enum shape shape, struct he_engine *engine)
{
    const struct he_machine *machine = he_engine_machine(engine);
    float zero = 0, result = 0;
    DLTensor in = { .data = &zero, .device = { kDLCPU, 0 }, .dtype = { kDLFloat, 32, 1 } }, out = in;
    const DLTensor *inputs[] = { &in };
    struct he_output output = { .into = &out };
    double samples[REPETITIONS];
    struct he_plan plan = { .strategy = "overhead" };
    struct he_session *session;
    struct he_device *dev;
    struct he_arena arena;

    out.data = &result;
    he_arena_init(&arena, NULL);
    make_plan(&plan, shape, machine, &arena);
    for (uint32_t d = 0; d < machine->device_count; d++) {
        if (he_engine_device(engine, d, &dev) != HE_OK)
            die("device");
    }
    if (he_session_create(engine, &plan, NULL, &session) != HE_OK)
        die("session");
    for (int k = -3; k < REPETITIONS; k++) {
        uint64_t start_ns = he_now_ns();

        if (he_session_run(session, inputs, 1, &output, 1) != HE_OK)
            die("run");
        if (k >= 0)
            samples[k] = (double)(he_now_ns() - start_ns) * 1e-3 / plan.graph->task_count;
    }
    he_session_destroy(session);
    he_arena_fini(&plan.arena);
    he_arena_fini(&arena);
    qsort(samples, REPETITIONS, sizeof *samples, by_value);
    return samples[REPETITIONS / 2];
}

int main(void)
{
    struct he_engine_options options = { .struct_size = sizeof options,
                                         .devices = "OTHER:0,OTHER:1", .cost_store = "" };
    struct he_engine *engine;

    setenv("HETEROENGINE_NULL", "2", 1);
    if (he_engine_create(&options, &engine) != HE_OK)
        die("engine");
    printf("chain      %.3f us/task\n", measure(CHAIN, engine));
    printf("fork-join  %.3f us/task\n", measure(FORK_JOIN, engine));
    printf("ping-pong  %.3f us/task (one hand-over between threads each)\n",
           measure(PING_PONG, engine));
    he_engine_destroy(engine);
    return EXIT_SUCCESS;
}
