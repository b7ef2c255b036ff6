/* SPDX-License-Identifier: Apache-2.0 */
/* The explanation for a program: "explanations" and "what_if" beside the plan. */
#include <math.h>
#include <string.h>

#include "plan/explain.h"

static void write_cost(const struct he_plan *plan, uint32_t task, uint32_t device,
                       struct he_json_writer *json)
{
    const struct he_cost *cost;

    if (!plan->costs)
        return;
    cost = &plan->costs[(size_t)task * plan->problem->device_count + device];
    he_json_string(json, "source", he_cost_source_name(cost->source));
    he_json_double(json, "spread", cost->spread);
    if (cost->way_why != HE_WHY_ONLY) {
        he_json_string(json, "way", cost->way ? cost->way : "auto");
        he_json_string(json, "way_why", he_cost_why_names[cost->way_why]);
    }
    he_json_double(json, "compute_seconds", cost->compute_seconds);
    he_json_double(json, "memory_seconds", cost->memory_seconds);
    he_json_double(json, "launch_seconds", cost->launch_seconds);
    he_json_double(json, "border_seconds", cost->border_seconds);
}

static void write_candidate(const struct he_plan *plan, uint32_t task,
                            const struct he_candidate *c, struct he_json_writer *json)
{
    he_json_object_flat(json, NULL);
    he_json_string(json, "device", plan->problem->devices[c->device].id);
    he_json_bool(json, "chosen", c->is_chosen);
    if (!c->can_run) {
        he_json_string(json, "cannot", c->reason);
        he_json_object_end(json);
        return;
    }
    he_json_double(json, "exec", c->exec);
    write_cost(plan, task, c->device, json);
    he_json_double(json, "transfer", c->transfer);
    he_json_double(json, "energy", c->energy);
    he_json_double(json, "memory_bytes", c->memory_bytes);
    if (c->reason) {
        he_json_string(json, "misfit", c->reason);
        he_json_object_end(json);
        return;
    }
    he_json_double(json, "queue", c->queue);
    he_json_double(json, "objective", c->value);
    /* Absent: that alone cannot make it win. */
    if (c->exec_flip > 0)
        he_json_double(json, "wins_if_faster_by", c->exec_flip);
    if (c->link_flip > 0)
        he_json_double(json, "wins_if_links_faster_by", c->link_flip);
    he_json_object_end(json);
}

static void write_task(struct he_explainer *x, uint32_t task, const struct he_what_if *changes,
                       size_t change_count, struct he_json_writer *json)
{
    const struct he_problem *p = x->plan->problem;
    const char *here = p->devices[x->plan->placement.device[task]].id;

    he_json_object(json, NULL);
    he_json_string(json, "id", p->task_ids[task]);
    he_plan_write_part(x->plan, task, json);
    he_json_string(json, "device", here);
    he_json_string(json, "why", he_explain_why(x, task));
    he_json_array(json, "candidates");
    for (uint32_t d = 0; d < p->device_count; d++)
        write_candidate(x->plan, task, &x->candidates[d], json);
    he_json_array_end(json);
    he_json_array(json, "flips");
    for (size_t k = 0; k < change_count; k++) {
        const char *device = he_explain_flip(x->plan, &changes[k], task);

        if (!device)
            continue;
        he_json_object_flat(json, NULL);
        he_json_string(json, "change", changes[k].change);
        he_json_string(json, "device", device);
        he_json_object_end(json);
    }
    he_json_array_end(json);
    he_json_object_end(json);
}

static void write_changes(const struct he_what_if *changes, size_t count,
                          struct he_json_writer *json)
{
    he_json_array(json, "what_if");
    for (size_t k = 0; k < count; k++) {
        he_json_object_flat(json, NULL);
        he_json_string(json, "change", changes[k].change);
        if (isfinite(changes[k].value))
            he_json_double(json, "objective", changes[k].value);
        he_json_int(json, "tasks_moved", changes[k].moved);
        he_json_object_end(json);
    }
    he_json_array_end(json);
}

he_status he_plan_explain_json(const struct he_plan *plan, const char *task,
                               struct he_json_writer *json)
{
    const struct he_problem *p = plan->problem;
    struct he_explainer x = { 0 };
    struct he_what_if *changes = NULL;
    struct he_arena arena;
    size_t change_count = 0;
    bool is_found = false;
    he_status status = HE_OK;

    he_arena_init(&arena, &plan->arena.alloc);
    if (p->task_count <= HE_WHAT_IF_TASKS)
        status = he_plan_what_if(plan, &arena, &changes, &change_count);
    if (status == HE_OK)
        status = he_explainer_init(&x, plan);
    he_json_array(json, "explanations");
    for (uint32_t t = 0; status == HE_OK && t < p->task_count; t++) {
        if (task && strcmp(task, p->task_ids[t]) != 0)
            continue;
        is_found = true;
        status = he_explain_task(&x, t);
        if (status == HE_OK)
            write_task(&x, t, changes, change_count, json);
    }
    he_json_array_end(json);
    if (status == HE_OK)
        write_changes(changes, change_count, json);
    he_explainer_fini(&x);
    he_arena_fini(&arena);
    return status == HE_OK && task && !is_found ? he_explain_unknown(plan, task) : status;
}
