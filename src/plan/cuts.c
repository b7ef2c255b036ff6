/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cut tasks in a plan's JSON: each part says what it is a part of, and a saved plan is read back
 * by cutting the model's tasks the same way first.
 */
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/map.h"
#include "core/text.h"
#include "plan/plan.h"

const struct he_node_part *he_plan_part(const struct he_plan *plan, uint32_t task)
{
    return plan->graph ? he_graph_node_part(plan->graph, plan->graph->tasks[task].anchor) : NULL;
}

void he_plan_write_part(const struct he_plan *plan, uint32_t task, struct he_json_writer *json)
{
    const struct he_node_part *part = he_plan_part(plan, task);

    if (!part)
        return;
    he_json_object_flat(json, "split");
    he_json_string(json, "of", part->of);
    he_json_int(json, "axis", part->axis);
    he_json_int(json, "from", part->begin);
    he_json_int(json, "to", part->end);
    he_json_object_end(json);
}

struct reader {
    const char *name;
    struct he_arena *arena;
    const struct he_problem *problem;
    struct he_map ids;
    /* Per task of the problem: its parts, in the order they stand in the file. */
    struct part {
        int64_t axis, from, to;
        struct part *next;
    } * *parts;
    uint32_t cut_count;
};

static he_status read_part(struct reader *r, const struct he_json *split)
{
    const struct he_json *of = he_json_get(split, "of"), *axis = he_json_get(split, "axis");
    const struct he_json *from = he_json_get(split, "from"), *to = he_json_get(split, "to");
    struct part *part, **at;
    uint32_t task;

    if (!of || of->kind != HE_JSON_STRING || !axis || !axis->is_integer || !from ||
        !from->is_integer || !to || !to->is_integer)
        return he_error_set(
            HE_ERR_PARSE,
            "%s:%u:%u: expected a \"split\" with \"of\", \"axis\", \"from\" and \"to\"", r->name,
            split->line, split->column);
    if (!he_map_get(&r->ids, of->string, &task))
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: this model has no task '%s'", r->name,
                            of->line, of->column, of->string);
    part = he_arena_alloc(r->arena, 1, sizeof *part);
    if (!part)
        return he_no_memory();
    r->cut_count += !r->parts[task];
    for (at = &r->parts[task]; *at && (*at)->from < from->integer; at = &(*at)->next)
        ;
    *part = (struct part){ axis->integer, from->integer, to->integer, *at };
    *at = part;
    return HE_OK;
}

/* The bounds of one task's parts, which must follow each other. */
static he_status make_shard(struct reader *r, uint32_t task, struct he_shard *out)
{
    uint32_t count = 0, k = 0;
    int64_t *bounds;

    for (const struct part *p = r->parts[task]; p; p = p->next)
        count++;
    bounds = he_arena_alloc(r->arena, (size_t)count + 1, sizeof *bounds);
    if (!bounds)
        return he_no_memory();
    for (const struct part *p = r->parts[task]; p; p = p->next) {
        if (p->axis != r->parts[task]->axis || p->axis < 0 || p->from != bounds[k])
            return he_error_set(HE_ERR_PARSE, "%s: the parts of task '%s' leave a gap", r->name,
                                r->problem->task_ids[task]);
        bounds[++k] = p->to;
    }
    *out = (struct he_shard){ .task = task,
                              .axis = (uint32_t)r->parts[task]->axis,
                              .part_count = count,
                              .bounds = bounds,
                              .name = r->problem->task_ids[task] };
    return HE_OK;
}

static he_status read_parts(struct reader *r, const struct he_json *tasks)
{
    he_status status = HE_OK;

    he_map_init(&r->ids, r->arena);
    r->parts = he_arena_alloc(r->arena, r->problem->task_count, sizeof *r->parts);
    if (!r->parts)
        return he_no_memory();
    for (uint32_t t = 0; t < r->problem->task_count && status == HE_OK; t++)
        status = he_map_put(&r->ids, r->problem->task_ids[t], t);
    for (const struct he_json *task = tasks->child; task && status == HE_OK; task = task->next) {
        const struct he_json *split = he_json_get(task, "split");

        if (split)
            status = read_part(r, split);
    }
    return status;
}

he_status he_plan_read_cuts(const char *name, const char *text, size_t size,
                            const struct he_problem *problem, struct he_arena *arena,
                            struct he_shard **out, size_t *out_count)
{
    struct reader r = { .name = name, .arena = arena, .problem = problem };
    const struct he_json *tasks;
    struct he_json *document;
    he_status status = he_json_parse(name, text, size, arena, &document);

    *out = NULL;
    *out_count = 0;
    if (status != HE_OK)
        return status;
    tasks = he_json_get(document, "tasks");
    if (!tasks || tasks->kind != HE_JSON_ARRAY)
        return HE_OK; /* he_plan_read_placement() says what is wrong */
    status = read_parts(&r, tasks);
    if (status != HE_OK)
        return status;
    *out = he_arena_alloc(arena, r.cut_count, sizeof **out);
    if (!*out)
        return he_no_memory();
    for (uint32_t t = 0; t < problem->task_count && status == HE_OK; t++) {
        if (r.parts[t])
            status = make_shard(&r, t, &(*out)[(*out_count)++]);
    }
    return status;
}
