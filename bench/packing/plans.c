/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans models for machines of several devices and prints what the arenas of their memories take,
 * against the lower bound.
 *
 *   plans [--devices LINE] [--strategy NAME] [--random N] [--shape NAME:DIMS] MODEL.onnx...
 *
 * LINE is a machine in one line ("cpu:2"); --random N puts runs of about N tasks on devices
 * at random instead of asking a strategy, which keeps all lanes busy.
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/size.h"
#include "engine/engine.h"
#include "plan/plan.h"

struct job {
    struct he_engine *engine;
    const char *strategy;
    unsigned run; /* tasks per run; 0: the strategy places */
    struct he_input_shape shape;
    char shape_name[64];
};

static uint32_t pick(uint64_t *state, uint32_t count)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((*state >> 33) % count);
}

static he_status place_at_random(const struct job *job, struct he_graph *graph,
                                 struct he_problem *problem, struct he_cost *costs,
                                 struct he_plan **plan)
{
    struct he_placement placement = { .policy = "random" };
    uint64_t state = 7;
    uint32_t device = 0;
    he_status status;

    placement.device = calloc(problem->task_count + 1, sizeof *placement.device);
    placement.order = calloc(problem->task_count + 1, sizeof *placement.order);
    for (uint32_t t = 0; t < problem->task_count && placement.device && placement.order; t++) {
        placement.order[t] = t;
        if (t == 0 || pick(&state, job->run) == 0)
            device = pick(&state, problem->device_count);
        while (!isfinite(he_problem_time(problem, t, device)))
            device = pick(&state, problem->device_count);
        placement.device[t] = device;
    }
    status = he_plan_create_placed(graph, he_engine_machine(job->engine), problem, costs, &placement,
                                   HE_OBJECTIVE_LATENCY, &he_allocator_default, plan);
    free(placement.device);
    free(placement.order);
    return status;
}

static he_status make_plan(const struct job *job, const struct he_model *model,
                           struct he_plan **plan)
{
    struct he_analyze_options options = { .struct_size = sizeof options, .strategy = job->strategy,
                                          .shapes = job->shape.name ? &job->shape : NULL,
                                          .shape_count = job->shape.name != NULL };
    struct he_problem *problem;
    struct he_graph *graph;
    struct he_cost *costs;
    he_status status;

    if (job->run == 0)
        return he_engine_analyze(job->engine, model, &options, plan);
    status = he_engine_prepare(job->engine, model, &options, &graph, &problem, &costs);
    return status == HE_OK ? place_at_random(job, graph, problem, costs, plan) : status;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    /* Some files are called model.onnx, in a folder with the name. */
    if (slash && strcmp(slash, "/model.onnx") == 0) {
        while (slash > path && slash[-1] != '/')
            slash--;
        return slash;
    }
    return slash ? slash + 1 : path;
}

static int print_plan(const struct job *job, const char *path)
{
    struct he_model *model = NULL;
    struct he_plan *plan = NULL;
    he_status status = he_model_load(path, NULL, &model);
    uint64_t begin_ns = 0, end_ns = 0;

    if (status == HE_OK)
        status = make_plan(job, model, &plan);
    if (status == HE_OK) {
        begin_ns = he_thread_cpu_ns();
        status = he_plan_lower(plan);
        end_ns = he_thread_cpu_ns();
    }
    if (status != HE_OK)
        fprintf(stderr, "%s: %s\n", path, he_error_message());
    for (uint32_t m = 0; status == HE_OK && m < plan->memory_count; m++) {
        const struct he_plan_memory *memory = &plan->memories[m];

        if (memory->arena_bytes > 0)
            printf("%-28.28s %5u %5u %5u %6u %12zu %12zu %8.4f %9.3f\n", name_of(path),
                   plan->lane_count, plan->step_count, m, plan->home_count,
                   memory->lower_bound_bytes, memory->arena_bytes,
                   (double)memory->arena_bytes / (double)memory->lower_bound_bytes,
                   (double)(end_ns - begin_ns) * 1e-6);
    }
    fflush(stdout);
    he_plan_destroy(plan);
    he_model_destroy(model);
    return status != HE_OK;
}

/* NAME:1x3x224x224 */
static int read_shape(struct job *job, const char *text)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;

    if (!colon || (size_t)(colon - text) >= sizeof job->shape_name)
        return 1;
    memcpy(job->shape_name, text, (size_t)(colon - text));
    job->shape.name = job->shape_name;
    for (const char *at = colon + 1; job->shape.shape.rank < HE_COUNT(job->shape.shape.dims); at = end + 1) {
        job->shape.shape.dims[job->shape.shape.rank++] = strtoll(at, &end, 10);
        if (*end != 'x')
            break;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        { "devices", required_argument, NULL, 'd' }, { "strategy", required_argument, NULL, 's' },
        { "random", required_argument, NULL, 'r' }, { "shape", required_argument, NULL, 'x' },
        { NULL, 0, NULL, 0 },
    };
    struct he_engine_options options = { .struct_size = sizeof options, .cost_store = "",
                                         .devices = "cpu:2" };
    struct job job = { .strategy = "latency_aware" };
    int failed = 0, option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (option) {
        case 'd':
            options.devices = optarg;
            break;
        case 's':
            job.strategy = optarg;
            break;
        case 'r':
            job.run = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'x':
            failed |= read_shape(&job, optarg);
            break;
        default:
            return 2;
        }
    }
    if (he_engine_create(&options, &job.engine) != HE_OK) {
        fprintf(stderr, "%s\n", he_error_message());
        return 1;
    }
    printf("%-28s %5s %5s %5s %6s %12s %12s %8s %9s\n", "model", "lanes", "steps", "mem", "homes",
           "lower bound", "arena", "ratio", "lower ms");
    for (int k = optind; k < argc; k++)
        failed |= print_plan(&job, argv[k]);
    he_engine_destroy(job.engine);
    return failed;
}
