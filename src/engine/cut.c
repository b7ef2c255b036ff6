/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planning, with heavy tasks cut where that pays: the graph as it is and the graph that
 * src/partition would have cut are both planned in earnest, and the better plan stays.
 */
#include <string.h>

#include "core/clock.h"
#include "engine/engine.h"
#include "partition/cut.h"
#include "plan/plan.h"

/* What a plan with cut tasks must be better by: its parts were never measured. */
#define LEAST_GAIN 0.05

/* Of a time limit, for finding out what to cut. */
#define SEARCH_SHARE 0.25

/* One request on its way to a plan. */
struct planner {
    struct he_engine *engine;
    const char *strategy;
    struct he_place_options options;
};

/* Takes graph and problem. */
static he_status plan_graph(const struct planner *planner, struct he_graph *graph,
                            struct he_problem *problem, struct he_cost *costs, struct he_plan **out)
{
    return he_plan_create(graph, planner->engine->machine, problem, costs, planner->strategy,
                          &planner->options, &planner->engine->alloc, out);
}

static he_status choose_cuts(const struct planner *planner, const struct he_graph *graph,
                             const struct he_problem *problem, struct he_arena *arena,
                             struct he_shard **shards, size_t *count)
{
    struct he_engine *engine = planner->engine;
    struct he_cut_request request = {
        .graph = graph,
        .problem = problem,
        .machine = engine->machine,
        .devs = engine->devs,
        .store = engine->store,
        .objective = planner->options.objective,
        .most_rows = engine->machine->settings.batch_split_size,
        .time_limit = planner->options.time_limit * SEARCH_SHARE,
    };

    *count = 0;
    /* priority is shown as it is; an unknown strategy is the planner's to report. */
    if (strcmp(planner->strategy, "priority") == 0 ||
        !he_strategy_find(planner->strategy, &request.objective))
        return HE_OK;
    return he_cut_choose(&request, arena, shards, count);
}

static he_status plan_cut(const struct planner *planner, const struct he_graph *graph,
                          const struct he_shard *shards, size_t count, struct he_plan **out)
{
    struct he_engine *engine = planner->engine;
    struct he_problem *problem;
    struct he_graph *cut;
    struct he_cost *costs;
    he_status status;

    *out = NULL;
    status = he_graph_shard(graph, shards, count, &engine->alloc, &cut);
    if (status != HE_OK)
        return status;
    status = he_cost_build(cut, engine->machine, engine->devs, engine->store, &engine->alloc,
                           &problem, &costs);
    if (status == HE_OK)
        return plan_graph(planner, cut, problem, costs, out);
    he_graph_destroy(cut);
    return status;
}

/* @share of what is left of the limit; a policy takes next to none as its least. */
static double time_left(const struct he_place_options *options, uint64_t started_ns, double share)
{
    double left = options->time_limit - (double)(he_now_ns() - started_ns) * 1e-9;

    return left > 1e-6 ? left * share : 1e-6;
}

he_status he_engine_plan(struct he_engine *engine, const char *strategy,
                         const struct he_place_options *options, struct he_graph *graph,
                         struct he_problem *problem, struct he_cost *costs, struct he_plan **out)
{
    struct planner planner = { .engine = engine, .strategy = strategy, .options = *options };
    uint64_t started_ns = he_now_ns();
    struct he_plan *cut = NULL;
    struct he_shard *shards;
    struct he_arena arena;
    size_t count;
    he_status status;

    *out = NULL;
    he_arena_init(&arena, &engine->alloc);
    status = choose_cuts(&planner, graph, problem, &arena, &shards, &count);
    if (planner.options.time_limit > 0)
        planner.options.time_limit = time_left(options, started_ns, count ? 0.5 : 1);
    if (status == HE_OK && count) {
        status = plan_cut(&planner, graph, shards, count, &cut);
        /* What does not fit in parts may fit whole. */
        if (status == HE_ERR_BUDGET)
            status = HE_OK;
    }
    he_arena_fini(&arena);
    if (status != HE_OK) {
        he_graph_destroy(graph);
        he_problem_destroy(problem);
        return status;
    }
    if (count && planner.options.time_limit > 0)
        planner.options.time_limit = time_left(options, started_ns, 1);
    status = plan_graph(&planner, graph, problem, costs, out);
    if (cut && (status == HE_ERR_BUDGET ||
                (status == HE_OK && cut->value < (*out)->value * (1 - LEAST_GAIN)))) {
        he_plan_destroy(*out);
        *out = cut;
        cut = NULL;
        status = he_graph_fill_shards((*out)->graph);
    }
    he_plan_destroy(cut);
    if (status == HE_OK) {
        (*out)->plan_seconds = (double)(he_now_ns() - started_ns) * 1e-9 - (*out)->bound_seconds;
    } else {
        he_plan_destroy(*out);
        *out = NULL;
    }
    return status;
}
