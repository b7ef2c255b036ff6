/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task-graph file: tasks with times, edges with bytes, and perhaps devices
 * and links of its own. Tasks may stand in any order; they are numbered
 * topologically here (Kahn), in file order among those that are ready.
 */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "core/json.h"
#include "core/map.h"
#include "core/words.h"
#include "plan/plan.h"

struct reader {
    const char *name;
    const struct he_machine *machine;
    struct he_problem *problem;
    struct he_arena *arena; /* the problem's */
    struct he_map task_numbers; /* id -> topological number */
    struct he_map tensor_numbers; /* names of tensors with several edges -> 1.. */
    uint32_t tensor_count;
};

static he_status bad(const struct reader *r, const struct he_json *at, const char *expected)
{
    return he_error_set(HE_ERR_PARSE, "%s:%u:%u: expected %s", r->name, at->line, at->column,
                        expected);
}

static const struct he_json *get_string(const struct he_json *object, const char *key)
{
    const struct he_json *member = he_json_get(object, key);

    return member && member->kind == HE_JSON_STRING ? member : NULL;
}

/* A finite number >= 0, or @fallback when it is absent. */
static he_status get_amount(const struct reader *r, const struct he_json *object, const char *key,
                            double fallback, double *out)
{
    const struct he_json *member = he_json_get(object, key);

    *out = fallback;
    if (!member)
        return HE_OK;
    if (member->kind != HE_JSON_NUMBER || member->number < 0)
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: \"%s\" must be a number, 0 or more", r->name,
                            member->line, member->column, key);
    *out = member->number;
    return HE_OK;
}

static he_status check_keys(const struct reader *r, const struct he_json *object,
                            const char *const *keys, size_t count)
{
    for (const struct he_json *member = object->child; member; member = member->next) {
        const char *nearest;
        bool is_known = false;

        for (size_t k = 0; k < count; k++)
            is_known |= strcmp(member->key, keys[k]) == 0;
        if (is_known)
            continue;
        nearest = he_nearest_word(member->key, keys, count);
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: unknown key '%s'%s%s%s", r->name, member->line,
                            member->column, member->key, nearest ? ", did you mean '" : "",
                            nearest ? nearest : "", nearest ? "'?" : "");
    }
    return HE_OK;
}

/* --- Devices and links --- */

/* Devices with the same `shares` text are one server. */
static he_status read_device(struct reader *r, const struct he_json *at, uint32_t index,
                             const char **shares)
{
    static const char *const keys[] = { "id", "kind", "memory", "shares", "power", "idle_power",
                                        "price", "copy_bandwidth", "copy_latency" };
    const struct he_json *id = get_string(at, "id"), *kind = get_string(at, "kind");
    const struct he_json *share = get_string(at, "shares");
    struct he_place_device *device = &r->problem->devices[index];
    he_status status;

    if (at->kind != HE_JSON_OBJECT || !id)
        return bad(r, at, "a device: an object with an \"id\"");
    status = check_keys(r, at, keys, sizeof keys / sizeof keys[0]);
    if (status != HE_OK)
        return status;
    *device = (struct he_place_device){ .id = id->string, .kind = kind ? kind->string : "",
                                        .server = index, .memory_node = index };
    shares[index] = share ? share->string : "";
    for (uint32_t d = 0; d < index; d++) {
        if (strcmp(r->problem->devices[d].id, id->string) == 0)
            return he_error_set(HE_ERR_PARSE, "%s:%u:%u: a second device '%s'", r->name, id->line,
                                id->column, id->string);
        if (share && strcmp(shares[d], share->string) == 0)
            device->server = r->problem->devices[d].server;
    }
    status = get_amount(r, at, "memory", INFINITY, &device->memory_bytes);
    if (status == HE_OK)
        status = get_amount(r, at, "power", 0, &device->busy_watts);
    if (status == HE_OK)
        status = get_amount(r, at, "idle_power", 0, &device->idle_watts);
    if (status == HE_OK)
        status = get_amount(r, at, "price", 0, &device->price_per_hour);
    if (status == HE_OK)
        status = get_amount(r, at, "copy_bandwidth", 0, &device->copy_bandwidth);
    if (status == HE_OK)
        status = get_amount(r, at, "copy_latency", 0, &device->copy_latency);
    return status;
}

static he_status alloc_devices(struct reader *r, size_t count)
{
    struct he_problem *problem = r->problem;

    problem->device_count = (uint32_t)count;
    problem->devices = he_arena_alloc(r->arena, count, sizeof *problem->devices);
    problem->links = he_arena_alloc(r->arena, count * count, sizeof *problem->links);
    if (!problem->devices || !problem->links)
        return he_no_memory();
    for (size_t k = 0; k < count * count; k++)
        problem->links[k] = (struct he_place_link){ .is_free = true, .bandwidth = INFINITY };
    return HE_OK;
}

static he_status read_devices(struct reader *r, const struct he_json *devices)
{
    const char **shares;
    uint32_t index = 0;
    he_status status;

    if (devices->kind != HE_JSON_ARRAY || devices->child_count == 0)
        return bad(r, devices, "a list of one device or more");
    status = alloc_devices(r, devices->child_count);
    shares = he_arena_alloc(r->arena, devices->child_count, sizeof *shares);
    if (status != HE_OK || !shares)
        return he_no_memory();
    for (const struct he_json *at = devices->child; at && status == HE_OK; at = at->next)
        status = read_device(r, at, index++, shares);
    return status;
}

static he_status take_machine_devices(struct reader *r)
{
    const struct he_machine *machine = r->machine;
    he_status status;

    if (!machine || machine->device_count == 0)
        return he_error_set(HE_ERR_SETTING, "%s names no devices, and no machine was given",
                            r->name);
    status = alloc_devices(r, machine->device_count);
    if (status != HE_OK)
        return status;
    he_cost_describe_devices(machine, r->problem);
    return HE_OK;
}

static he_status find_device(const struct reader *r, const struct he_json *at, const char *key,
                             uint32_t *out)
{
    const struct he_json *id = get_string(at, key);

    if (!id)
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: a link needs \"%s\", the id of a device",
                            r->name, at->line, at->column, key);
    for (uint32_t d = 0; d < r->problem->device_count; d++) {
        if (strcmp(r->problem->devices[d].id, id->string) == 0) {
            *out = d;
            return HE_OK;
        }
    }
    return he_error_set(HE_ERR_PARSE, "%s:%u:%u: no device '%s'", r->name, id->line, id->column,
                        id->string);
}

static he_status read_links(struct reader *r, const struct he_json *links)
{
    static const char *const keys[] = { "from", "to", "bandwidth", "latency" };

    if (!links)
        return HE_OK;
    if (links->kind != HE_JSON_ARRAY)
        return bad(r, links, "a list of links");
    for (const struct he_json *at = links->child; at; at = at->next) {
        struct he_place_link *link;
        uint32_t from, to;
        he_status status;

        if (at->kind != HE_JSON_OBJECT)
            return bad(r, at, "a link: an object with \"from\" and \"to\"");
        status = check_keys(r, at, keys, sizeof keys / sizeof keys[0]);
        if (status == HE_OK)
            status = find_device(r, at, "from", &from);
        if (status == HE_OK)
            status = find_device(r, at, "to", &to);
        if (status != HE_OK)
            return status;
        link = &r->problem->links[(size_t)from * r->problem->device_count + to];
        link->is_free = false;
        status = get_amount(r, at, "bandwidth", INFINITY, &link->bandwidth);
        if (status == HE_OK)
            status = get_amount(r, at, "latency", 0, &link->latency);
        if (status != HE_OK)
            return status;
        if (link->bandwidth <= 0)
            return bad(r, at, "a bandwidth above 0");
    }
    return HE_OK;
}

/* --- Tasks and edges --- */

struct raw_edge {
    uint32_t from, to; /* file order */
    uint32_t tensor;
    double bytes;
};

/* "tensor": edges of one task with the same name carry one tensor. */
static he_status read_tensor(struct reader *r, const struct he_json *edge, uint32_t *out)
{
    const struct he_json *name = he_json_get(edge, "tensor");

    *out = 0;
    if (!name)
        return HE_OK;
    if (name->kind != HE_JSON_STRING)
        return bad(r, name, "the name of a tensor");
    if (he_map_get(&r->tensor_numbers, name->string, out))
        return HE_OK;
    *out = ++r->tensor_count;
    return he_map_put(&r->tensor_numbers, name->string, *out);
}

static he_status read_edge(struct reader *r, const struct he_json *at, const struct he_map *ids,
                           struct raw_edge *out)
{
    static const char *const keys[] = { "from", "to", "bytes", "tensor" };
    const struct he_json *from = get_string(at, "from"), *to = get_string(at, "to");
    he_status status;

    if (at->kind != HE_JSON_OBJECT || !from || !to)
        return bad(r, at, "an edge: an object with \"from\" and \"to\"");
    status = check_keys(r, at, keys, sizeof keys / sizeof keys[0]);
    if (status != HE_OK)
        return status;
    if (!he_map_get(ids, from->string, &out->from))
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: no task '%s'", r->name, from->line,
                            from->column, from->string);
    if (!he_map_get(ids, to->string, &out->to))
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: no task '%s'", r->name, to->line, to->column,
                            to->string);
    status = get_amount(r, at, "bytes", 0, &out->bytes);
    return status == HE_OK ? read_tensor(r, at, &out->tensor) : status;
}

/* Kahn's algorithm; number[file index] = topological number. */
static he_status sort_tasks(struct reader *r, const struct raw_edge *edges, size_t edge_count,
                            const struct he_json *const *tasks, uint32_t *number)
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
                                tasks[t]->line, tasks[t]->column,
                                he_json_get(tasks[t], "id")->string);
    }
    return HE_OK;
}

static he_status read_times(struct reader *r, const struct he_json *task, uint32_t number)
{
    const struct he_json *times = he_json_get(task, "time");
    struct he_problem *p = r->problem;
    double *row = &p->time[(size_t)number * p->device_count];
    bool runs = false;

    if (!times || times->kind != HE_JSON_OBJECT)
        return bad(r, task, "a task with \"time\": seconds by device id or kind");
    for (uint32_t d = 0; d < p->device_count; d++)
        row[d] = HE_CANNOT_RUN;
    /* Kinds first, so that an id says more. */
    for (int pass = 0; pass < 2; pass++) {
        for (const struct he_json *time = times->child; time; time = time->next) {
            if (time->kind == HE_JSON_NULL)
                continue;
            if (time->kind != HE_JSON_NUMBER || time->number < 0)
                return bad(r, time, "seconds, 0 or more");
            for (uint32_t d = 0; d < p->device_count; d++) {
                bool by_id = strcmp(time->key, p->devices[d].id) == 0;
                bool by_kind = strcasecmp(time->key, p->devices[d].kind) == 0;

                if (pass == 0 ? by_kind : by_id)
                    row[d] = time->number;
            }
        }
    }
    for (uint32_t d = 0; d < p->device_count; d++)
        runs |= isfinite(row[d]);
    if (!runs)
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: task '%s' has no time on any device here",
                            r->name, task->line, task->column, p->task_ids[number]);
    return HE_OK;
}

static he_status read_resources(struct reader *r, const struct he_json *task, uint32_t number)
{
    const struct he_json *resources = he_json_get(task, "resources");
    struct he_problem *p = r->problem;

    if (!resources)
        return HE_OK;
    if (resources->kind != HE_JSON_OBJECT)
        return bad(r, resources, "resources: amounts by name");
    for (const struct he_json *item = resources->child; item; item = item->next) {
        size_t k = 0;
        double *amount;

        if (item->kind != HE_JSON_NUMBER || item->number < 0)
            return bad(r, item, "an amount, 0 or more");
        while (k < p->resource_count && strcmp(p->resources[k].name, item->key) != 0)
            k++;
        if (k == p->resource_count) {
            struct he_place_resource *grown =
                he_arena_alloc(r->arena, p->resource_count + 1, sizeof *grown);

            amount = he_arena_alloc(r->arena, (size_t)p->task_count * p->device_count,
                                    sizeof *amount);
            if (!grown || !amount)
                return he_no_memory();
            if (p->resource_count)
                memcpy(grown, p->resources, p->resource_count * sizeof *grown);
            grown[p->resource_count++] = (struct he_place_resource){
                .name = item->key, .limit = INFINITY, .amount = amount };
            p->resources = grown;
        }
        /* Ours to write: the struct is read-only for the policies. */
        amount = (double *)p->resources[k].amount;
        for (uint32_t d = 0; d < p->device_count; d++)
            amount[(size_t)number * p->device_count + d] = item->number;
    }
    return HE_OK;
}

/* "backward": true on tasks of a training step's way back. */
static he_status read_direction(struct reader *r, const struct he_json *task, uint32_t number)
{
    const struct he_json *backward = he_json_get(task, "backward");
    struct he_problem *p = r->problem;

    if (!backward)
        return HE_OK;
    if (backward->kind != HE_JSON_BOOL)
        return bad(r, backward, "true or false");
    if (backward->boolean && !p->is_backward) {
        p->is_backward = he_arena_alloc(r->arena, p->task_count, sizeof *p->is_backward);
        if (!p->is_backward)
            return he_no_memory();
    }
    if (backward->boolean)
        p->is_backward[number] = true;
    return HE_OK;
}

static he_status read_task_list(struct reader *r, const struct he_json *tasks,
                                const struct he_json *edges)
{
    static const char *const keys[] = { "id", "time", "memory", "resources", "backward" };
    struct he_problem *p = r->problem;
    size_t edge_count = edges ? edges->child_count : 0, e = 0;
    const struct he_json **in_file;
    struct raw_edge *raw;
    struct he_map ids;
    uint32_t *number, t = 0;
    he_status status;

    p->task_count = (uint32_t)tasks->child_count;
    in_file = he_arena_alloc(r->arena, p->task_count, sizeof *in_file);
    raw = he_arena_alloc(r->arena, edge_count, sizeof *raw);
    number = he_arena_alloc(r->arena, p->task_count, sizeof *number);
    p->task_ids = he_arena_alloc(r->arena, p->task_count, sizeof *p->task_ids);
    p->task_memory = he_arena_alloc(r->arena, p->task_count, sizeof *p->task_memory);
    p->time = he_arena_alloc(r->arena, (size_t)p->task_count * p->device_count, sizeof *p->time);
    p->edges = he_arena_alloc(r->arena, edge_count, sizeof *p->edges);
    if (!in_file || !raw || !number || !p->task_ids || !p->task_memory || !p->time || !p->edges)
        return he_no_memory();
    he_map_init(&ids, r->arena);
    for (const struct he_json *task = tasks->child; task; task = task->next, t++) {
        const struct he_json *id = get_string(task, "id");
        uint32_t before;

        if (task->kind != HE_JSON_OBJECT || !id)
            return bad(r, task, "a task: an object with an \"id\"");
        status = check_keys(r, task, keys, sizeof keys / sizeof keys[0]);
        if (status != HE_OK)
            return status;
        if (he_map_get(&ids, id->string, &before))
            return he_error_set(HE_ERR_PARSE, "%s:%u:%u: a second task '%s'", r->name, id->line,
                                id->column, id->string);
        status = he_map_put(&ids, id->string, t);
        if (status != HE_OK)
            return status;
        in_file[t] = task;
    }
    for (const struct he_json *edge = edges ? edges->child : NULL; edge; edge = edge->next) {
        status = read_edge(r, edge, &ids, &raw[e++]);
        if (status != HE_OK)
            return status;
    }
    status = sort_tasks(r, raw, edge_count, in_file, number);
    for (t = 0; t < p->task_count && status == HE_OK; t++) {
        p->task_ids[number[t]] = he_json_get(in_file[t], "id")->string;
        status = read_times(r, in_file[t], number[t]);
        if (status == HE_OK)
            status = get_amount(r, in_file[t], "memory", 0, &p->task_memory[number[t]]);
        if (status == HE_OK)
            status = read_resources(r, in_file[t], number[t]);
        if (status == HE_OK)
            status = read_direction(r, in_file[t], number[t]);
        if (status == HE_OK)
            status = he_map_put(&r->task_numbers, p->task_ids[number[t]], number[t]);
    }
    for (e = 0; e < edge_count; e++)
        p->edges[p->edge_count++] = (struct he_place_edge){ number[raw[e].from], number[raw[e].to],
                                                            raw[e].bytes, raw[e].tensor };
    return status;
}

static he_status read_colocation(struct reader *r, const struct he_json *groups)
{
    struct he_problem *p = r->problem;
    uint32_t next = 0;

    if (!groups)
        return HE_OK;
    if (groups->kind != HE_JSON_ARRAY)
        return bad(r, groups, "a list of lists of task ids");
    p->colocation = he_arena_alloc(r->arena, p->task_count, sizeof *p->colocation);
    if (!p->colocation)
        return he_no_memory();
    memset(p->colocation, 0xff, p->task_count * sizeof *p->colocation);
    for (const struct he_json *group = groups->child; group; group = group->next) {
        uint32_t mine = next++;

        if (group->kind != HE_JSON_ARRAY)
            return bad(r, group, "a list of task ids");
        for (const struct he_json *id = group->child; id; id = id->next) {
            uint32_t t, other;

            if (id->kind != HE_JSON_STRING || !he_map_get(&r->task_numbers, id->string, &t))
                return bad(r, id, "the id of a task");
            /* A task in two groups makes them one. */
            other = p->colocation[t];
            for (uint32_t k = 0; other != HE_NO_GROUP && k < p->task_count; k++) {
                if (p->colocation[k] == other)
                    p->colocation[k] = mine;
            }
            p->colocation[t] = mine;
        }
    }
    return HE_OK;
}

static he_status read_document(struct reader *r, const struct he_json *document)
{
    static const char *const keys[] = { "name",  "devices",  "links",     "tasks",
                                        "edges", "colocate", "contention" };
    const struct he_json *tasks = he_json_get(document, "tasks");
    const struct he_json *edges = he_json_get(document, "edges");
    const struct he_json *devices = he_json_get(document, "devices");
    const struct he_json *name = get_string(document, "name");
    const struct he_json *contention = he_json_get(document, "contention");
    he_status status;

    if (document->kind != HE_JSON_OBJECT || !tasks || tasks->kind != HE_JSON_ARRAY)
        return bad(r, document, "a task graph: an object with a \"tasks\" list");
    status = check_keys(r, document, keys, sizeof keys / sizeof keys[0]);
    if (status != HE_OK)
        return status;
    if (edges && edges->kind != HE_JSON_ARRAY)
        return bad(r, edges, "a list of edges");
    if (contention && contention->kind != HE_JSON_BOOL)
        return bad(r, contention, "true or false");
    r->problem->name = name ? name->string : "";
    r->problem->has_contention = !contention || contention->boolean;
    /* A task's "memory" is all it says of memory; edges say what travels. */
    r->problem->ignores_tensors = true;
    status = devices ? read_devices(r, devices) : take_machine_devices(r);
    if (status == HE_OK)
        status = read_links(r, he_json_get(document, "links"));
    if (status == HE_OK)
        status = read_task_list(r, tasks, edges);
    if (status == HE_OK)
        status = read_colocation(r, he_json_get(document, "colocate"));
    if (status == HE_OK && r->machine)
        he_cost_describe_budgets(r->machine, r->problem);
    return status == HE_OK ? he_problem_index(r->problem) : status;
}

he_status he_problem_read_json(const char *name, const char *text, size_t size,
                               const struct he_machine *machine, const struct he_allocator *alloc,
                               struct he_problem **out)
{
    struct reader r = { .name = name, .machine = machine };
    struct he_json *document;
    he_status status;

    *out = NULL;
    r.problem = he_problem_create(alloc);
    if (!r.problem)
        return he_no_memory();
    r.arena = &r.problem->arena;
    he_map_init(&r.task_numbers, r.arena);
    he_map_init(&r.tensor_numbers, r.arena);
    status = he_json_parse(name, text, size, r.arena, &document);
    if (status == HE_OK)
        status = read_document(&r, document);
    if (status != HE_OK) {
        he_problem_destroy(r.problem);
        return status;
    }
    *out = r.problem;
    return HE_OK;
}
