/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as JSON: what `hetero plan --json` prints and `--plan` reads back. */
#include <string.h>

#include "core/json.h"
#include "core/map.h"
#include "core/words.h"
#include "plan/plan.h"

static void write_tasks(const struct he_plan *plan, struct he_json_writer *json)
{
    const struct he_problem *problem = plan->problem;
    uint32_t part = 0, in_part = 0;

    he_json_array(json, "tasks");
    /* By parts, so that the list stands in the order it runs. */
    while (part < plan->part_count) {
        uint32_t t = plan->parts[part].tasks[in_part];

        he_json_object_flat(json, NULL);
        he_json_string(json, "id", problem->task_ids[t]);
        if (plan->graph)
            he_json_string(json, "op", plan->graph->nodes[plan->graph->tasks[t].anchor].op);
        he_plan_write_part(plan, t, json);
        he_json_string(json, "device", problem->devices[plan->placement.device[t]].id);
        he_json_double(json, "start", plan->schedule.start[t]);
        he_json_double(json, "finish", plan->schedule.finish[t]);
        he_json_int(json, "region", part);
        if (plan->costs) {
            const struct he_cost *cost =
                &plan->costs[(size_t)t * problem->device_count + plan->placement.device[t]];

            he_json_string(json, "cost_source", he_cost_source_name(cost->source));
            he_json_double(json, "spread", cost->spread);
            if (cost->way_why != HE_WHY_ONLY) {
                he_json_string(json, "way", cost->way ? cost->way : "auto");
                he_json_string(json, "way_why", he_cost_why_names[cost->way_why]);
            }
        }
        he_json_object_end(json);
        if (++in_part == plan->parts[part].task_count) {
            part++;
            in_part = 0;
        }
    }
    he_json_array_end(json);
}

static void write_transfers(const struct he_plan *plan, struct he_json_writer *json)
{
    const struct he_problem *problem = plan->problem;

    he_json_array(json, "transfers");
    for (size_t k = 0; k < plan->schedule.transfer_count; k++) {
        const struct he_schedule_transfer *transfer = &plan->schedule.transfers[k];
        const struct he_place_edge *edge = &problem->edges[transfer->edge];

        he_json_object_flat(json, NULL);
        he_json_string(json, "from", problem->task_ids[edge->from]);
        he_json_string(json, "to", problem->task_ids[edge->to]);
        he_json_string(json, "from_device", problem->devices[transfer->from_device].id);
        he_json_string(json, "to_device", problem->devices[transfer->to_device].id);
        he_json_double(json, "bytes", transfer->bytes);
        he_json_double(json, "start", transfer->start);
        he_json_double(json, "finish", transfer->finish);
        he_json_object_end(json);
    }
    he_json_array_end(json);
}

static void write_memory(const struct he_plan *plan, struct he_json_writer *json)
{
    const struct he_problem *problem = plan->problem;

    he_json_object(json, "memory");
    for (uint32_t d = 0; d < problem->device_count; d++) {
        he_json_object_flat(json, problem->devices[d].id);
        he_json_double(json, "peak_bytes", plan->schedule.peak_bytes[d]);
        /* The schedule keeps every tensor just as long as it lives: its peak is the bound. */
        he_json_double(json, "lower_bound_bytes", plan->schedule.peak_bytes[d]);
        he_json_object_end(json);
    }
    he_json_object_end(json);
    if (plan->memory_count == 0)
        return;
    he_json_array(json, "arenas");
    for (uint32_t m = 0; m < plan->memory_count; m++) {
        if (plan->memories[m].device == HE_NONE)
            continue;
        he_json_object_flat(json, NULL);
        he_json_string(json, "device", plan->machine->devices[plan->memories[m].device].id);
        he_json_int(json, "planned_bytes", (int64_t)plan->memories[m].arena_bytes);
        he_json_int(json, "lower_bound_bytes", (int64_t)plan->memories[m].lower_bound_bytes);
        he_json_object_end(json);
    }
    he_json_array_end(json);
}

static void write_hints(const struct he_plan *plan, struct he_json_writer *json)
{
    he_json_array(json, "hints");
    for (size_t k = 0; k < plan->hint_count; k++) {
        const struct he_hint *hint = &plan->hints[k];

        he_json_object_flat(json, NULL);
        he_json_string(json, "task", plan->problem->task_ids[hint->task]);
        he_json_string(json, "wanted", hint->wanted);
        he_json_string(json, "source", hint->source);
        he_json_bool(json, "respected", !hint->problem);
        if (hint->problem)
            he_json_string(json, "problem", hint->problem);
        he_json_object_end(json);
    }
    he_json_array_end(json);
}

void he_plan_write_members(const struct he_plan *plan, struct he_json_writer *json)
{
    he_json_string(json, "name", plan->problem->name);
    he_json_string(json, "strategy", plan->strategy);
    he_json_string(json, "objective_name", he_objective_name(plan->objective));
    he_json_double(json, "objective", plan->value);
    he_json_double(json, "makespan", plan->schedule.makespan);
    he_json_double(json, "bottleneck", plan->schedule.bottleneck);
    he_json_double(json, "sum_cost", plan->schedule.sum_cost);
    he_json_double(json, "energy", plan->schedule.energy);
    he_json_double(json, "lower_bound", plan->lower_bound);
    he_json_string(json, "lower_bound_by", plan->lower_bound_by);
    he_json_double(json, "gap", plan->lower_bound > 0 ? plan->value / plan->lower_bound - 1 : 0);
    he_json_string(json, "policy", plan->placement.policy);
    he_json_double(json, "plan_seconds", plan->plan_seconds);
    he_json_double(json, "bound_seconds", plan->bound_seconds);
    write_tasks(plan, json);
    write_transfers(plan, json);
    write_memory(plan, json);
    if (plan->hint_count)
        write_hints(plan, json);
}

void he_plan_write_json(const struct he_plan *plan, struct he_json_writer *json)
{
    he_json_object(json, NULL);
    he_plan_write_members(plan, json);
    he_json_object_end(json);
}

/* --- Reading a placement back --- */

static he_status bad(const char *name, const struct he_json *at, const char *expected)
{
    return he_error_set(HE_ERR_PARSE, "%s:%u:%u: expected %s", name, at->line, at->column,
                        expected);
}

static he_status find_device(const char *name, const struct he_json *at,
                             const struct he_problem *problem, uint32_t *out)
{
    for (uint32_t d = 0; d < problem->device_count; d++) {
        if (strcmp(problem->devices[d].id, at->string) == 0) {
            *out = d;
            return HE_OK;
        }
    }
    return he_error_set(HE_ERR_NO_DEVICE, "%s:%u:%u: the plan uses device %s, which is not here",
                        name, at->line, at->column, at->string);
}

static he_status read_tasks(const char *name, const struct he_json *tasks,
                            const struct he_problem *problem, struct he_arena *arena,
                            struct he_placement *out)
{
    struct he_map ids;
    uint32_t placed = 0, t;
    bool *is_placed;
    he_status status;

    he_map_init(&ids, arena);
    is_placed = he_arena_alloc(arena, problem->task_count, sizeof *is_placed);
    if (!is_placed)
        return he_no_memory();
    for (t = 0; t < problem->task_count; t++) {
        status = he_map_put(&ids, problem->task_ids[t], t);
        if (status != HE_OK)
            return status;
    }
    for (const struct he_json *task = tasks->child; task; task = task->next) {
        const struct he_json *id = he_json_get(task, "id"), *device = he_json_get(task, "device");

        if (!id || id->kind != HE_JSON_STRING)
            return bad(name, task, "a task with an \"id\"");
        if (!device || device->kind != HE_JSON_STRING)
            return bad(name, task, "a task with a \"device\"");
        if (!he_map_get(&ids, id->string, &t))
            return he_error_set(HE_ERR_PARSE, "%s:%u:%u: this model has no task '%s'", name,
                                id->line, id->column, id->string);
        if (is_placed[t])
            return he_error_set(HE_ERR_PARSE, "%s:%u:%u: task '%s' stands here a second time",
                                name, id->line, id->column, id->string);
        status = find_device(name, device, problem, &out->device[t]);
        if (status != HE_OK)
            return status;
        is_placed[t] = true;
        out->order[placed++] = t;
    }
    for (t = 0; t < problem->task_count; t++) {
        if (!is_placed[t])
            return he_error_set(HE_ERR_PARSE, "%s: the plan says nothing of task '%s'", name,
                                problem->task_ids[t]);
    }
    return HE_OK;
}

he_status he_plan_read_placement(const char *name, const char *text, size_t size,
                                 const struct he_problem *problem, struct he_arena *arena,
                                 struct he_placement *out)
{
    const struct he_json *tasks;
    struct he_json *document;
    he_status status;

    *out = (struct he_placement){ .policy = "saved" };
    status = he_json_parse(name, text, size, arena, &document);
    if (status != HE_OK)
        return status;
    tasks = he_json_get(document, "tasks");
    if (!tasks || tasks->kind != HE_JSON_ARRAY)
        return bad(name, document, "a plan: an object with a \"tasks\" list");
    out->device = he_arena_alloc(arena, problem->task_count, sizeof *out->device);
    out->order = he_arena_alloc(arena, problem->task_count, sizeof *out->order);
    if (!out->device || !out->order)
        return he_no_memory();
    return read_tasks(name, tasks, problem, arena, out);
}
