/* SPDX-License-Identifier: Apache-2.0 */
/* From a model to a plan: the graph, its costs on every device, the placement. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "engine/engine.h"
#include "plan/plan.h"

/* Constants are folded by the cpu backend, wherever the model is going to run. */
static he_status get_folder(struct he_engine *engine, struct he_device **out)
{
    struct he_device_config config = { .struct_size = sizeof config, .threads = 1,
                                       .allocator = engine->alloc };
    const struct he_backend *backend = he_backend_find("cpu");
    he_status status = HE_OK;

    he_mutex_lock(&engine->lock);
    if (!engine->folder && backend)
        status = he_device_open(backend, 0, &config, &engine->alloc, &engine->folder);
    *out = engine->folder;
    he_mutex_unlock(&engine->lock);
    return status;
}

static bool names_input(const struct he_model *model, const char *name)
{
    struct he_model_io io;

    for (size_t k = 0; k < he_model_input_count(model); k++) {
        if (he_model_input(model, k, &io) == HE_OK && strcmp(io.name, name) == 0)
            return true;
    }
    return false;
}

/* Strings have no fixed size: no device here runs them. */
static he_status refuse_strings(const struct he_graph *graph)
{
    for (uint32_t t = 0; t < graph->task_count; t++) {
        const struct he_task *task = &graph->tasks[t];

        for (uint32_t k = 0; k < task->input_count + task->output_count; k++) {
            const struct he_value *value =
                &graph->values[k < task->input_count ? task->inputs[k]
                                                     : task->outputs[k - task->input_count]];

            if (value->dtype == HE_STRING)
                return he_error_set(HE_ERR_UNSUPPORTED, "%s: tensors of strings ('%s') are not run",
                                    graph->nodes[task->anchor].op, value->name);
        }
    }
    return HE_OK;
}

static he_status make_graph(struct he_engine *engine, const struct he_model *model,
                            const struct he_analyze_options *options, struct he_graph **out)
{
    struct he_graph_options graph_options = { .default_dim = 1 };
    struct he_shape_binding *bindings;
    struct he_evaluator evaluator;
    struct he_device *folder;
    he_status status = get_folder(engine, &folder);

    if (status != HE_OK)
        return status;
    if (folder) {
        evaluator = he_device_evaluator(folder);
        graph_options.evaluator = &evaluator;
    }
    bindings = he_alloc(&engine->alloc, options->shape_count, sizeof *bindings);
    if (!bindings)
        return he_no_memory();
    for (size_t k = 0; k < options->shape_count; k++) {
        const struct he_input_shape *shape = &options->shapes[k];

        bindings[k] = (struct he_shape_binding){ .name = shape->name, .shape = shape->shape,
                                                 .is_symbol = !names_input(model, shape->name) };
    }
    graph_options.bindings = bindings;
    graph_options.binding_count = options->shape_count;
    status = he_graph_prepare(model, &graph_options, &engine->alloc, out);
    he_free(&engine->alloc, bindings);
    if (status == HE_OK) {
        status = refuse_strings(*out);
        if (status != HE_OK) {
            he_graph_destroy(*out);
            *out = NULL;
        }
    }
    return status != HE_OK && model->path[0] ? he_error_prefix(status, "%s", model->path) : status;
}

static he_status open_devices(struct he_engine *engine)
{
    bool has_one = false;
    char why[512] = "";

    for (uint32_t d = 0; d < engine->machine->device_count; d++) {
        struct he_device *dev;
        he_status status = he_engine_device(engine, d, &dev);

        if (status != HE_OK)
            return status;
        if (!dev || !he_device_is_lost(dev))
            has_one = true;
        else if (!why[0])
            he_device_last_failure(dev, why, sizeof why);
    }
    if (engine->machine->device_count == 0)
        return he_error_set(HE_ERR_NO_DEVICE, "the machine has no device");
    return has_one ? HE_OK : he_error_set(HE_ERR_DEVICE_LOST, "no device is left: %s", why);
}

he_status he_engine_prepare(struct he_engine *engine, const struct he_model *model,
                            const struct he_analyze_options *options, struct he_graph **graph,
                            struct he_problem **problem, struct he_cost **costs)
{
    he_status status = open_devices(engine);

    *graph = NULL;
    *problem = NULL;
    if (status == HE_OK && options->budget)
        status = he_machine_set_budget(engine->machine, options->budget);
    if (status == HE_OK)
        status = make_graph(engine, model, options, graph);
    if (status == HE_OK)
        status = he_cost_build(*graph, engine->machine, engine->devs, engine->store,
                               &engine->alloc, problem, costs);
    if (status != HE_OK) {
        he_graph_destroy(*graph);
        *graph = NULL;
    }
    return status;
}

/* What the model says about devices narrows the problem. A plan that then does not fit says so. */
static he_status plan_with_hints(struct he_engine *engine, const struct he_model *model,
                                 const char *strategy, const struct he_place_options *options,
                                 struct he_graph *graph, struct he_problem *problem,
                                 struct he_cost *costs, struct he_plan **out)
{
    struct he_hint *hints = NULL;
    size_t count = 0, respected = 0;
    he_status status = he_hints_apply(model, graph, engine->machine, problem, costs,
                                      &problem->arena, &hints, &count);

    if (status != HE_OK) {
        he_graph_destroy(graph);
        he_problem_destroy(problem);
        return status;
    }
    for (size_t k = 0; k < count; k++)
        respected += !hints[k].problem;
    /* Hints speak of whole nodes: with them every task stays as it is. */
    if (count > 0)
        status = he_plan_create(graph, engine->machine, problem, costs, strategy, options,
                                &engine->alloc, out);
    else
        status = he_engine_plan(engine, strategy, options, graph, problem, costs, out);
    if (status == HE_OK) {
        (*out)->hints = hints;
        (*out)->hint_count = count;
    } else if (status == HE_ERR_BUDGET && respected > 0) {
        return he_error_prefix(status, "with %zu tasks where the model wants them (scheduling: "
                                       "{hints: ignore} plans without)", respected);
    }
    return status;
}

he_status he_engine_replan(struct he_engine *engine, const struct he_plan *old,
                           struct he_plan **out)
{
    struct he_place_options options = { .objective = old->objective };
    const char *strategy = old->strategy;
    struct he_graph *graph;
    struct he_problem *problem;
    struct he_cost *costs;
    he_status status = open_devices(engine);

    *out = NULL;
    if (status != HE_OK)
        return status;
    if (!he_strategy_find(strategy, &options.objective)) /* a saved plan's */
        strategy = engine->machine->settings.strategy;
    graph = he_graph_share_uncut(old->graph);
    status = he_cost_build(graph, engine->machine, engine->devs, engine->store, &engine->alloc,
                           &problem, &costs);
    if (status != HE_OK) {
        he_graph_destroy(graph);
        return status;
    }
    if (old->model)
        status = plan_with_hints(engine, old->model, strategy, &options, graph, problem, costs, out);
    else
        status = he_engine_plan(engine, strategy, &options, graph, problem, costs, out);
    if (status == HE_OK)
        (*out)->model = old->model;
    return status;
}

/* Cuts the tasks that a saved plan has in parts. Replaces graph, problem and costs. */
static he_status cut_as_saved(struct he_engine *engine, const char *path,
                              const struct he_file *file, struct he_arena *arena,
                              struct he_graph **graph, struct he_problem **problem,
                              struct he_cost **costs)
{
    struct he_problem *cut_problem;
    struct he_shard *shards;
    struct he_graph *cut;
    size_t count;
    he_status status = he_plan_read_cuts(path, file->data, file->size, *problem, arena, &shards,
                                         &count);

    if (status != HE_OK || count == 0)
        return status;
    status = he_graph_shard(*graph, shards, count, &engine->alloc, &cut);
    if (status != HE_OK)
        return he_error_prefix(status, "%s", path);
    status = he_graph_fill_shards(cut);
    if (status == HE_OK)
        status = he_cost_build(cut, engine->machine, engine->devs, engine->store, &engine->alloc,
                               &cut_problem, costs);
    if (status != HE_OK) {
        he_graph_destroy(cut);
        return status;
    }
    he_graph_destroy(*graph);
    he_problem_destroy(*problem);
    *graph = cut;
    *problem = cut_problem;
    return HE_OK;
}

/* Uses the placement of a saved plan. Takes graph and problem. */
static he_status plan_from_file(struct he_engine *engine, const char *path, struct he_graph *graph,
                                struct he_problem *problem, struct he_cost *costs,
                                struct he_plan **out)
{
    struct he_placement placement;
    struct he_arena arena;
    struct he_file file;
    he_status status;

    he_arena_init(&arena, &engine->alloc);
    status = he_file_map(path, &file);
    if (status == HE_OK) {
        status = cut_as_saved(engine, path, &file, &arena, &graph, &problem, &costs);
        if (status == HE_OK)
            status = he_plan_read_placement(path, file.data, file.size, problem, &arena,
                                            &placement);
        he_file_unmap(&file);
    }
    if (status == HE_OK) {
        status = he_plan_create_placed(graph, engine->machine, problem, costs, &placement,
                                       HE_OBJECTIVE_LATENCY, &engine->alloc, out);
    } else {
        he_graph_destroy(graph);
        he_problem_destroy(problem);
    }
    he_arena_fini(&arena);
    return status;
}

/* A task that nothing can run, with every device's reason. */
static he_status check_costs(const struct he_graph *graph, const struct he_problem *problem,
                             const struct he_cost *costs)
{
    char why[600];

    for (uint32_t t = 0; t < graph->task_count; t++) {
        const struct he_cost *row = &costs[(size_t)t * problem->device_count];
        size_t used = 0;
        uint32_t d = 0;

        while (d < problem->device_count && row[d].reason)
            d++;
        if (d < problem->device_count || problem->device_count == 0)
            continue;
        why[0] = '\0';
        for (d = 0; d < problem->device_count && used < sizeof why; d++)
            used += (size_t)snprintf(why + used, sizeof why - used, "%s%s", d ? "; " : "",
                                     row[d].reason);
        return he_error_set(HE_ERR_UNSUPPORTED, "task %s can run on none of the devices: %s",
                            problem->task_ids[t], why);
    }
    return HE_OK;
}

he_status he_engine_analyze(struct he_engine *engine, const struct he_model *model,
                            const struct he_analyze_options *options, struct he_plan **out)
{
    struct he_analyze_options chosen = { .struct_size = sizeof chosen };
    struct he_place_options place_options = { .objective = HE_OBJECTIVE_LATENCY };
    struct he_graph *graph;
    struct he_problem *problem;
    struct he_cost *costs;
    he_status status;

    if (!engine || !model || !out)
        return he_error_set(HE_ERR_INVALID, "he_engine_analyze: engine, model or out is NULL");
    *out = NULL;
    if (options)
        memcpy(&chosen, options,
               options->struct_size < sizeof chosen ? options->struct_size : sizeof chosen);
    status = he_engine_prepare(engine, model, &chosen, &graph, &problem, &costs);
    if (status == HE_OK) {
        status = check_costs(graph, problem, costs);
        if (status != HE_OK) {
            he_graph_destroy(graph);
            he_problem_destroy(problem);
        }
    }
    if (status != HE_OK)
        return status;
    place_options.time_limit = chosen.time_limit;
    place_options.seed = chosen.seed;
    if (chosen.plan_path)
        status = plan_from_file(engine, chosen.plan_path, graph, problem, costs, out);
    else
        status = plan_with_hints(engine, model,
                                 chosen.strategy ? chosen.strategy
                                                 : engine->machine->settings.strategy,
                                 &place_options, graph, problem, costs, out);
    if (status == HE_OK)
        (*out)->model = model;
    return status;
}
