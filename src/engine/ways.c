/* SPDX-License-Identifier: Apache-2.0 */
/* Trying the ways a device knows of doing its tasks: which next, and what came of it. */
#include "cost/choice.h"
#include "engine/engine.h"
#include "exec/exec.h"

struct he_engine_ways {
    struct he_arena arena;
    struct he_cost_device device;
    uint32_t index; /* of the device */
    struct he_cost_ways *ways; /* per task; count 0 where it is elsewhere or there is no choice */
    size_t *now;               /* per task: the one being tried */
};

he_status he_engine_ways_open(struct he_engine *engine, const struct he_plan *plan, uint32_t device,
                              struct he_engine_ways **out)
{
    struct he_engine_ways *w = he_alloc(&engine->alloc, 1, sizeof *w);
    uint32_t tasks = plan->graph->task_count;
    struct he_device *dev;
    he_status status;

    *out = NULL;
    if (!w)
        return he_no_memory();
    he_arena_init(&w->arena, &engine->alloc);
    w->index = device;
    w->ways = he_arena_alloc(&w->arena, tasks, sizeof *w->ways);
    w->now = he_arena_alloc(&w->arena, tasks, sizeof *w->now);
    status = w->ways && w->now ? he_engine_device(engine, device, &dev) : he_no_memory();
    if (status == HE_OK)
        status = he_cost_device_init(&w->device, &engine->machine->devices[device], dev,
                                     engine->store, &w->arena);
    for (uint32_t t = 0; t < tasks && status == HE_OK; t++) {
        if (plan->placement.device[t] == device && engine->store)
            status = he_cost_ways_find(&w->device, plan->graph, &plan->graph->tasks[t],
                                       &w->ways[t]);
    }
    if (status != HE_OK) {
        he_engine_ways_close(w);
        return status;
    }
    *out = w;
    return HE_OK;
}

void he_engine_ways_close(struct he_engine_ways *w)
{
    struct he_allocator alloc;

    if (!w)
        return;
    alloc = w->arena.alloc;
    he_arena_fini(&w->arena);
    he_free(&alloc, w);
}

uint32_t he_engine_ways_next(struct he_engine_ways *w, struct he_plan *plan)
{
    uint32_t fresh = 0;

    for (uint32_t t = 0; t < plan->graph->task_count; t++) {
        struct he_cost_figure figure;

        if (w->ways[t].count == 0)
            continue;
        w->now[t] = he_cost_explore(&w->device, &w->ways[t]);
        plan->costs[(size_t)t * plan->problem->device_count + w->index].way =
            w->now[t] ? w->ways[t].list[w->now[t]].name : NULL;
        fresh += w->now[t] && !he_cost_way_figure(&w->device, &w->ways[t], w->now[t], &figure);
    }
    return fresh;
}

void he_engine_ways_clear(struct he_engine_ways *w, struct he_plan *plan)
{
    for (uint32_t t = 0; t < plan->graph->task_count; t++) {
        if (plan->placement.device[t] == w->index)
            plan->costs[(size_t)t * plan->problem->device_count + w->index].way = NULL;
    }
}

he_status he_engine_ways_learn(struct he_engine *engine, struct he_engine_ways *w,
                               const struct he_plan *plan, struct he_session *tried,
                               const struct he_session *rule)
{
    he_status status = HE_OK;

    for (uint32_t t = 0; t < plan->graph->task_count && status == HE_OK; t++) {
        double seconds, rule_seconds;

        if (w->ways[t].count == 0 || w->now[t] == 0)
            continue;
        status = he_session_task_seconds(tried, t, &seconds);
        if (status == HE_OK)
            status = he_session_task_seconds(rule, t, &rule_seconds);
        if (status == HE_OK)
            status = he_cost_way_note(engine->store, w->device.fingerprint, w->ways[t].signature,
                                      w->ways[t].list[w->now[t]].name, seconds, rule_seconds);
    }
    he_session_reset_times(tried);
    return status;
}

he_status he_engine_ways_settle(struct he_engine *engine, struct he_engine_ways *w,
                                const struct he_plan *plan, uint32_t *better)
{
    he_status status = HE_OK;

    *better = 0;
    for (uint32_t t = 0; t < plan->graph->task_count && status == HE_OK; t++) {
        enum he_cost_why why;

        if (w->ways[t].count == 0)
            continue;
        status = he_cost_weights_learn(engine->store, &w->device, &w->ways[t]);
        *better += he_cost_choose(&w->device, &w->ways[t], &why) != 0;
    }
    return status;
}
