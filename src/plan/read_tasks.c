/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tasks and edges of a task-graph file. There may be 10^5 tasks with a time for each of 64
 * devices: they are parsed one at a time, each into an arena that is emptied behind it. Tasks
 * may stand in any order; they are numbered topologically (Kahn), in file order among those that
 * are ready.
 */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "plan/read_graph.h"

/* What tasks are until they have their final numbers. */
struct raw_tasks {
    const char **ids;
    unsigned *line, *column;
    double *time, *memory;
    bool *is_backward, has_backward;
};

struct raw_edge {
    uint32_t from, to; /* file order */
    uint32_t tensor;
    double bytes;
};

/* "tensor": edges of one task with the same name carry one tensor. */
static he_status read_tensor(struct he_graph_reader *r, const struct he_json *edge, uint32_t *out)
{
    const struct he_json *name = he_json_get(edge, "tensor");
    const char *kept;

    *out = 0;
    if (!name)
        return HE_OK;
    if (name->kind != HE_JSON_STRING)
        return he_graph_bad(r, name, "the name of a tensor");
    if (he_map_get(&r->tensor_numbers, name->string, out))
        return HE_OK;
    kept = he_arena_string(r->arena, name->string, strlen(name->string));
    if (!kept)
        return he_no_memory();
    *out = ++r->tensor_count;
    return he_map_put(&r->tensor_numbers, kept, *out);
}

static he_status read_edge(struct he_graph_reader *r, const struct he_json *at,
                           struct raw_edge *out)
{
    static const char *const keys[] = {"from", "to", "bytes", "tensor"};
    const struct he_json *from = he_graph_string(at, "from"), *to = he_graph_string(at, "to");
    he_status status;

    if (at->kind != HE_JSON_OBJECT || !from || !to)
        return he_graph_bad(r, at, "an edge: an object with \"from\" and \"to\"");
    status = he_graph_keys(r, at, keys, sizeof keys / sizeof keys[0]);
    if (status != HE_OK)
        return status;
    if (!he_map_get(&r->task_numbers, from->string, &out->from))
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: no task '%s'", r->name, from->line,
                            from->column, from->string);
    if (!he_map_get(&r->task_numbers, to->string, &out->to))
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: no task '%s'", r->name, to->line, to->column,
                            to->string);
    status = he_graph_amount(r, at, "bytes", 0, &out->bytes);
    return status == HE_OK ? read_tensor(r, at, &out->tensor) : status;
}

/* Kahn's algorithm; number[file index] = topological number. */
static he_status sort_tasks(struct he_graph_reader *r, const struct raw_edge *edges,
                            size_t edge_count, const struct raw_tasks *tasks, uint32_t *number)
{
    uint32_t n = r->problem->task_count, head = 0, tail = 0;
    uint32_t *start, *targets, *missing, *queue;

    start = he_arena_alloc(r->arena, (size_t)n + 2, sizeof *start);
    targets = he_arena_alloc(r->arena, edge_count, sizeof *targets);
    missing = he_arena_alloc(r->arena, n, sizeof *missing);
    queue = he_arena_alloc(r->arena, n, sizeof *queue);
    if (!start || !targets || !missing || !queue)
        return he_no_memory();
    for (size_t e = 0; e < edge_count; e++) {
        start[edges[e].from + 2]++;
        missing[edges[e].to]++;
    }
    for (uint32_t t = 0; t < n; t++)
        start[t + 2] += start[t + 1];
    for (size_t e = 0; e < edge_count; e++)
        targets[start[edges[e].from + 1]++] = edges[e].to;
    for (uint32_t t = 0; t < n; t++) {
        if (missing[t] == 0)
            queue[tail++] = t;
    }
    while (head < tail) {
        uint32_t t = queue[head];

        number[t] = head++;
        for (uint32_t k = start[t]; k < start[t + 1]; k++) {
            if (--missing[targets[k]] == 0)
                queue[tail++] = targets[k];
        }
    }
    for (uint32_t t = 0; t < n; t++) {
        if (missing[t] > 0)
            return he_error_set(HE_ERR_PARSE, "%s:%u:%u: task '%s' is part of a cycle", r->name,
                                tasks->line[t], tasks->column[t], tasks->ids[t]);
    }
    return HE_OK;
}

/* Looks a key up among the devices, once. */
static he_status learn_key(struct he_graph_reader *r, const char *key, uint32_t *out)
{
    const struct he_problem *p = r->problem;
    struct time_key *known;
    he_status status;

    if (he_map_get(&r->time_keys, key, out))
        return HE_OK;
    if (r->known_count == r->known_capacity) {
        uint32_t capacity = r->known_capacity ? 2 * r->known_capacity : 16;

        known = he_arena_alloc(r->arena, capacity, sizeof *known);
        if (!known)
            return he_no_memory();
        if (r->known_count)
            memcpy(known, r->known_keys, r->known_count * sizeof *known);
        r->known_keys = known;
        r->known_capacity = capacity;
    }
    known = &r->known_keys[r->known_count];
    known->key = he_arena_string(r->arena, key, strlen(key));
    known->of_kind = he_arena_alloc(r->arena, p->device_count, sizeof *known->of_kind);
    if (!known->key || !known->of_kind)
        return he_no_memory();
    known->device = UINT32_MAX;
    for (uint32_t d = 0; d < p->device_count; d++) {
        if (strcmp(key, p->devices[d].id) == 0)
            known->device = d;
        if (strcasecmp(key, p->devices[d].kind) == 0)
            known->of_kind[known->of_kind_count++] = d;
    }
    status = he_map_put(&r->time_keys, known->key, r->known_count);
    *out = r->known_count++;
    return status;
}

static he_status find_key(struct he_graph_reader *r, const char *key, uint32_t place, uint32_t *out)
{
    he_status status;

    if (place < r->keys_before_count &&
        strcmp(r->known_keys[r->keys_before[place]].key, key) == 0) {
        *out = r->keys_before[place];
        return HE_OK;
    }
    status = learn_key(r, key, out);
    /* Places beyond the number of devices and kinds are hardly ever filled. */
    if (status == HE_OK && place < 2 * r->problem->device_count) {
        r->keys_before[place] = *out;
        if (place >= r->keys_before_count)
            r->keys_before_count = place + 1;
    }
    return status;
}

static he_status read_times(struct he_graph_reader *r, const struct he_json *task, const char *id,
                            double *row)
{
    const struct he_json *times = he_json_get(task, "time");
    struct he_problem *p = r->problem;
    bool runs = false, has_kinds = false;
    uint32_t place = 0, entry;

    if (!times || times->kind != HE_JSON_OBJECT)
        return he_graph_bad(r, task, "a task with \"time\": seconds by device id or kind");
    for (uint32_t d = 0; d < p->device_count; d++)
        row[d] = HE_CANNOT_RUN;
    for (const struct he_json *time = times->child; time; time = time->next) {
        he_status status;

        if (time->kind == HE_JSON_NULL)
            continue;
        if (time->kind != HE_JSON_NUMBER || time->number < 0)
            return he_graph_bad(r, time, "seconds, 0 or more");
        status = find_key(r, time->key, place++, &entry);
        if (status != HE_OK)
            return status;
        if (r->known_keys[entry].device != UINT32_MAX)
            row[r->known_keys[entry].device] = time->number;
        has_kinds |= r->known_keys[entry].of_kind_count > 0;
    }
    /* Kinds, and then ids again, which say more. */
    for (int pass = 0; has_kinds && pass < 2; pass++) {
        place = 0;
        for (const struct he_json *time = times->child; time; time = time->next) {
            const struct time_key *key;

            if (time->kind == HE_JSON_NULL)
                continue;
            if (find_key(r, time->key, place++, &entry) != HE_OK)
                return HE_ERR_NO_MEMORY;
            key = &r->known_keys[entry];
            for (uint32_t k = 0; pass == 0 && k < key->of_kind_count; k++)
                row[key->of_kind[k]] = time->number;
            if (pass == 1 && key->device != UINT32_MAX)
                row[key->device] = time->number;
        }
    }
    for (uint32_t d = 0; d < p->device_count; d++)
        runs |= isfinite(row[d]);
    if (!runs)
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: task '%s' has no time on any device here",
                            r->name, task->line, task->column, id);
    return HE_OK;
}

/* "backward": true on tasks of a training step's way back. */
static he_status read_direction(struct he_graph_reader *r, const struct he_json *task,
                                bool *is_backward)
{
    const struct he_json *backward = he_json_get(task, "backward");

    if (!backward)
        return HE_OK;
    if (backward->kind != HE_JSON_BOOL)
        return he_graph_bad(r, backward, "true or false");
    *is_backward = backward->boolean;
    return HE_OK;
}

static he_status read_task(struct he_graph_reader *r, const struct he_json *task, uint32_t t,
                           struct raw_tasks *raw)
{
    static const char *const keys[] = {"id", "time", "memory", "resources", "backward"};
    const struct he_json *id = he_graph_string(task, "id");
    uint32_t before;
    he_status status;

    if (task->kind != HE_JSON_OBJECT || !id)
        return he_graph_bad(r, task, "a task: an object with an \"id\"");
    status = he_graph_keys(r, task, keys, sizeof keys / sizeof keys[0]);
    if (status != HE_OK)
        return status;
    if (he_map_get(&r->task_numbers, id->string, &before))
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: a second task '%s'", r->name, id->line,
                            id->column, id->string);
    raw->ids[t] = he_arena_string(r->arena, id->string, strlen(id->string));
    if (!raw->ids[t])
        return he_no_memory();
    raw->line[t] = task->line;
    raw->column[t] = task->column;
    status = he_map_put(&r->task_numbers, raw->ids[t], t);
    if (status == HE_OK)
        status = read_times(r, task, raw->ids[t], raw->time + (size_t)t * r->problem->device_count);
    if (status == HE_OK)
        status = he_graph_amount(r, task, "memory", 0, &raw->memory[t]);
    if (status == HE_OK)
        status = he_graph_read_resources(r, task, t);
    if (status == HE_OK)
        status = read_direction(r, task, &raw->is_backward[t]);
    raw->has_backward |= raw->is_backward[t];
    return status;
}

/* Moves rows from their place in the file to their number. */
static void number_rows(const double *from, double *to, uint32_t rows, uint32_t columns,
                        const uint32_t *number)
{
    for (uint32_t t = 0; t < rows; t++)
        memcpy(to + (size_t)number[t] * columns, from + (size_t)t * columns, columns * sizeof *to);
}

static he_status number_tasks(struct he_graph_reader *r, const struct raw_tasks *raw,
                              const uint32_t *number)
{
    struct he_problem *p = r->problem;
    uint32_t n = p->task_count;
    he_status status = HE_OK;

    p->task_ids = he_arena_alloc(r->arena, n, sizeof *p->task_ids);
    p->task_memory = he_arena_alloc(r->arena, n, sizeof *p->task_memory);
    p->time = he_arena_alloc(r->arena, n, p->device_count * sizeof *p->time);
    if (!p->task_ids || !p->task_memory || !p->time)
        return he_no_memory();
    number_rows(raw->time, p->time, n, p->device_count, number);
    number_rows(raw->memory, p->task_memory, n, 1, number);
    for (size_t k = 0; k < p->resource_count; k++) {
        double *amount = he_arena_alloc(r->arena, n, p->device_count * sizeof *amount);

        if (!amount)
            return he_no_memory();
        number_rows(p->resources[k].amount, amount, n, p->device_count, number);
        p->resources[k].amount = amount;
    }
    if (raw->has_backward) {
        p->is_backward = he_arena_alloc(r->arena, n, sizeof *p->is_backward);
        if (!p->is_backward)
            return he_no_memory();
    }
    for (uint32_t t = 0; status == HE_OK && t < n; t++) {
        if (raw->has_backward)
            p->is_backward[number[t]] = raw->is_backward[t];
        p->task_ids[number[t]] = raw->ids[t];
        status = he_map_put(&r->task_numbers, raw->ids[t], number[t]);
    }
    return status;
}

static he_status read_all_tasks(struct he_graph_reader *r, const struct he_json *tasks,
                                struct raw_tasks *raw)
{
    struct he_json_list list;
    struct he_json *task;

    he_json_list_open(&list, r->name, r->text, r->size, tasks);
    for (uint32_t t = 0;; t++) {
        struct he_arena step;
        he_status status;

        he_arena_init(&step, &r->arena->alloc);
        status = he_json_list_next(&list, &step, &task);
        if (status == HE_OK && task)
            status = read_task(r, task, t, raw);
        he_arena_fini(&step);
        if (status != HE_OK || !task)
            return status;
    }
}

static he_status read_all_edges(struct he_graph_reader *r, const struct he_json *edges,
                                struct raw_edge *raw)
{
    struct he_json_list list;
    struct he_json *edge;

    if (!edges)
        return HE_OK;
    he_json_list_open(&list, r->name, r->text, r->size, edges);
    for (size_t e = 0;; e++) {
        struct he_arena step;
        he_status status;

        he_arena_init(&step, &r->arena->alloc);
        status = he_json_list_next(&list, &step, &edge);
        if (status == HE_OK && edge)
            status = read_edge(r, edge, &raw[e]);
        he_arena_fini(&step);
        if (status != HE_OK || !edge)
            return status;
    }
}

he_status he_graph_read_tasks(struct he_graph_reader *r, const struct he_json *tasks,
                              const struct he_json *edges)
{
    struct he_problem *p = r->problem;
    size_t edge_count = edges ? edges->child_count : 0;
    struct raw_tasks raw = {.has_backward = false};
    struct raw_edge *raw_edges;
    struct he_arena scratch;
    uint32_t *number;
    he_status status;

    if (tasks->child_count >= UINT32_MAX / 2 || edge_count >= UINT32_MAX / 2)
        return he_graph_bad(r, tasks, "fewer tasks and edges");
    p->task_count = (uint32_t)tasks->child_count;
    he_arena_init(&scratch, &r->arena->alloc);
    raw.ids = he_arena_alloc(&scratch, p->task_count, sizeof *raw.ids);
    raw.line = he_arena_alloc(&scratch, p->task_count, sizeof *raw.line);
    raw.column = he_arena_alloc(&scratch, p->task_count, sizeof *raw.column);
    raw.time = he_arena_alloc(&scratch, p->task_count, p->device_count * sizeof *raw.time);
    raw.memory = he_arena_alloc(&scratch, p->task_count, sizeof *raw.memory);
    raw.is_backward = he_arena_alloc(&scratch, p->task_count, sizeof *raw.is_backward);
    raw_edges = he_arena_alloc(&scratch, edge_count, sizeof *raw_edges);
    number = he_arena_alloc(&scratch, p->task_count, sizeof *number);
    r->keys_before = he_arena_alloc(r->arena, p->device_count, 2 * sizeof *r->keys_before);
    p->edges = he_arena_alloc(r->arena, edge_count, sizeof *p->edges);
    status = raw.ids && raw.line && raw.column && raw.time && raw.memory && raw.is_backward &&
                     raw_edges && number && r->keys_before && p->edges
                 ? read_all_tasks(r, tasks, &raw)
                 : he_no_memory();
    if (status == HE_OK)
        status = read_all_edges(r, edges, raw_edges);
    if (status == HE_OK)
        status = sort_tasks(r, raw_edges, edge_count, &raw, number);
    if (status == HE_OK)
        status = number_tasks(r, &raw, number);
    for (size_t e = 0; status == HE_OK && e < edge_count; e++)
        p->edges[p->edge_count++] =
            (struct he_place_edge){number[raw_edges[e].from], number[raw_edges[e].to],
                                   raw_edges[e].bytes, raw_edges[e].tensor};
    he_arena_fini(&scratch);
    return status;
}
