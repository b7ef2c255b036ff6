/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task-graph file: tasks with times, edges with bytes, and perhaps devices
 * and links of its own. Tasks may stand in any order; they are numbered
 * topologically here (Kahn), in file order among those that are ready.
 *
 * A file may hold 10^5 tasks with a time for each of 64 devices: tasks and edges are parsed
 * one at a time, each into an arena that is emptied behind it.
 */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "core/json.h"
#include "core/map.h"
#include "core/words.h"
#include "plan/plan.h"

/* Which devices a key of "time" means. Tasks mostly have the same keys in the same order, so
 * those of the task before are tried first. */
struct time_key {
    const char *key;
    uint32_t device;                    /* with this id, UINT32_MAX: none */
    uint32_t *of_kind, of_kind_count;   /* with this kind */
};

struct reader {
    const char *name, *text;
    size_t size;
    const struct he_machine *machine;
    struct he_problem *problem;
    struct he_arena *arena; /* the problem's */
    struct he_map task_numbers; /* id -> number: in file order at first, then topological */
    struct he_map time_keys;    /* key -> entry of known_keys */
    struct time_key *known_keys;
    uint32_t known_count, known_capacity;
    uint32_t *keys_before; /* by place: entry of known_keys, of the task before */
    uint32_t keys_before_count;
    struct he_map tensor_numbers; /* names of tensors with several edges -> 1.. */
    uint32_t tensor_count;
};

/* What tasks are until they have their final numbers. */
struct raw_tasks {
    const char **ids;
    unsigned *line, *column;
    double *time, *memory;
    bool *is_backward, has_backward;
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
                                        "price", "copy_bandwidth", "copy_latency", "resources" };
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

static he_status read_devices(struct reader *r, struct he_json *devices)
{
    const char **shares;
    uint32_t index = 0;
    he_status status;

    if (devices->kind != HE_JSON_ARRAY || devices->child_count == 0)
        return bad(r, devices, "a list of one device or more");
    status = he_json_list_fill(r->name, r->text, r->size, devices, r->arena);
    if (status != HE_OK)
        return status;
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

/* "*" gives 0 .. all devices, an id that one. */
static he_status find_devices(const struct reader *r, const struct he_json *at, const char *key,
                              uint32_t *first, uint32_t *end)
{
    const struct he_json *id = get_string(at, key);

    if (!id)
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: a link needs \"%s\", the id of a device",
                            r->name, at->line, at->column, key);
    for (uint32_t d = 0; d < r->problem->device_count; d++) {
        if (strcmp(r->problem->devices[d].id, id->string) == 0) {
            *first = d;
            *end = d + 1;
            return HE_OK;
        }
    }
    if (strcmp(id->string, "*") == 0) {
        *first = 0;
        *end = r->problem->device_count;
        return HE_OK;
    }
    return he_error_set(HE_ERR_PARSE, "%s:%u:%u: no device '%s'", r->name, id->line, id->column,
                        id->string);
}

static he_status read_link(struct reader *r, const struct he_json *at)
{
    static const char *const keys[] = { "from", "to", "bandwidth", "latency" };
    struct he_place_link link = { .is_free = false };
    uint32_t from, from_end, to, to_end, d = r->problem->device_count;
    he_status status;

    if (at->kind != HE_JSON_OBJECT)
        return bad(r, at, "a link: an object with \"from\" and \"to\"");
    status = check_keys(r, at, keys, sizeof keys / sizeof keys[0]);
    if (status == HE_OK)
        status = find_devices(r, at, "from", &from, &from_end);
    if (status == HE_OK)
        status = find_devices(r, at, "to", &to, &to_end);
    if (status == HE_OK)
        status = get_amount(r, at, "bandwidth", INFINITY, &link.bandwidth);
    if (status == HE_OK)
        status = get_amount(r, at, "latency", 0, &link.latency);
    if (status != HE_OK)
        return status;
    if (link.bandwidth <= 0)
        return bad(r, at, "a bandwidth above 0");
    for (uint32_t i = from; i < from_end; i++) {
        for (uint32_t j = to; j < to_end; j++) {
            /* A device has no link to itself unless the file names the pair. */
            if (i != j || (from_end - from == 1 && to_end - to == 1))
                r->problem->links[(size_t)i * d + j] = link;
        }
    }
    return HE_OK;
}

static he_status read_links(struct reader *r, struct he_json *links)
{
    he_status status;

    if (!links)
        return HE_OK;
    if (links->kind != HE_JSON_ARRAY)
        return bad(r, links, "a list of links");
    status = he_json_list_fill(r->name, r->text, r->size, links, r->arena);
    for (const struct he_json *at = links->child; at && status == HE_OK; at = at->next)
        status = read_link(r, at);
    return status;
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
    const char *kept;

    *out = 0;
    if (!name)
        return HE_OK;
    if (name->kind != HE_JSON_STRING)
        return bad(r, name, "the name of a tensor");
    if (he_map_get(&r->tensor_numbers, name->string, out))
        return HE_OK;
    kept = he_arena_string(r->arena, name->string, strlen(name->string));
    if (!kept)
        return he_no_memory();
    *out = ++r->tensor_count;
    return he_map_put(&r->tensor_numbers, kept, *out);
}

static he_status read_edge(struct reader *r, const struct he_json *at, struct raw_edge *out)
{
    static const char *const keys[] = { "from", "to", "bytes", "tensor" };
    const struct he_json *from = get_string(at, "from"), *to = get_string(at, "to");
    he_status status;

    if (at->kind != HE_JSON_OBJECT || !from || !to)
        return bad(r, at, "an edge: an object with \"from\" and \"to\"");
    status = check_keys(r, at, keys, sizeof keys / sizeof keys[0]);
    if (status != HE_OK)
        return status;
    if (!he_map_get(&r->task_numbers, from->string, &out->from))
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: no task '%s'", r->name, from->line,
                            from->column, from->string);
    if (!he_map_get(&r->task_numbers, to->string, &out->to))
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: no task '%s'", r->name, to->line, to->column,
                            to->string);
    status = get_amount(r, at, "bytes", 0, &out->bytes);
    return status == HE_OK ? read_tensor(r, at, &out->tensor) : status;
}

/* Kahn's algorithm; number[file index] = topological number. */
static he_status sort_tasks(struct reader *r, const struct raw_edge *edges, size_t edge_count,
                            const struct raw_tasks *tasks, uint32_t *number)
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
static he_status learn_key(struct reader *r, const char *key, uint32_t *out)
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

static he_status find_key(struct reader *r, const char *key, uint32_t place, uint32_t *out)
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

static he_status read_times(struct reader *r, const struct he_json *task, const char *id,
                            double *row)
{
    const struct he_json *times = he_json_get(task, "time");
    struct he_problem *p = r->problem;
    bool runs = false, has_kinds = false;
    uint32_t place = 0, entry;

    if (!times || times->kind != HE_JSON_OBJECT)
        return bad(r, task, "a task with \"time\": seconds by device id or kind");
    for (uint32_t d = 0; d < p->device_count; d++)
        row[d] = HE_CANNOT_RUN;
    for (const struct he_json *time = times->child; time; time = time->next) {
        he_status status;

        if (time->kind == HE_JSON_NULL)
            continue;
        if (time->kind != HE_JSON_NUMBER || time->number < 0)
            return bad(r, time, "seconds, 0 or more");
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

/* The resource called @name: there, or new with no amounts and no limits. */
static he_status get_resource(struct reader *r, const char *name, struct he_place_resource **out)
{
    struct he_problem *p = r->problem;
    struct he_place_resource *grown;
    double *amount;
    const char *own;

    for (size_t k = 0; k < p->resource_count; k++) {
        if (strcmp(p->resources[k].name, name) == 0) {
            *out = &p->resources[k];
            return HE_OK;
        }
    }
    grown = he_arena_alloc(r->arena, p->resource_count + 1, sizeof *grown);
    amount = he_arena_alloc(r->arena, (size_t)p->task_count * p->device_count, sizeof *amount);
    own = he_arena_string(r->arena, name, strlen(name)); /* tasks are read into passing memory */
    if (!grown || !amount || !own)
        return he_no_memory();
    if (p->resource_count)
        memcpy(grown, p->resources, p->resource_count * sizeof *grown);
    grown[p->resource_count] =
        (struct he_place_resource){ .name = own, .limit = INFINITY, .amount = amount };
    p->resources = grown;
    *out = &grown[p->resource_count++];
    return HE_OK;
}

/* Amounts by device id or kind, into @row; kinds first, so that an id says more. */
static he_status read_amounts(struct reader *r, const struct he_json *amounts, double *row)
{
    struct he_problem *p = r->problem;

    for (int pass = 0; pass < 2; pass++) {
        for (const struct he_json *item = amounts->child; item; item = item->next) {
            if (item->kind != HE_JSON_NUMBER || item->number < 0)
                return bad(r, item, "an amount, 0 or more");
            for (uint32_t d = 0; d < p->device_count; d++) {
                if (pass == 0 ? strcasecmp(item->key, p->devices[d].kind) == 0
                              : strcmp(item->key, p->devices[d].id) == 0)
                    row[d] = item->number;
            }
        }
    }
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
        struct he_place_resource *resource = NULL;
        double *row;
        he_status status;

        if (item->kind != HE_JSON_OBJECT && (item->kind != HE_JSON_NUMBER || item->number < 0))
            return bad(r, item, "an amount, 0 or more, or amounts by device id or kind");
        status = get_resource(r, item->key, &resource);
        if (status != HE_OK)
            return status;
        /* Ours to write: the struct is read-only for the policies. */
        row = (double *)resource->amount + (size_t)number * p->device_count;
        for (uint32_t d = 0; d < p->device_count && item->kind == HE_JSON_NUMBER; d++)
            row[d] = item->number;
        if (item->kind == HE_JSON_OBJECT)
            status = read_amounts(r, item, row);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

/* What each device has of a resource. One that no task uses limits nothing. */
static he_status read_device_limits(struct reader *r, const struct he_json *devices)
{
    struct he_problem *p = r->problem;
    uint32_t d = 0;

    for (const struct he_json *at = devices ? devices->child : NULL; at; at = at->next, d++) {
        const struct he_json *resources = he_json_get(at, "resources");

        if (resources && resources->kind != HE_JSON_OBJECT)
            return bad(r, resources, "resources: what the device has, by name");
        for (const struct he_json *item = resources ? resources->child : NULL; item;
             item = item->next) {
            if (item->kind != HE_JSON_NUMBER || item->number < 0)
                return bad(r, item, "an amount, 0 or more");
            for (size_t k = 0; k < p->resource_count; k++) {
                if (strcmp(p->resources[k].name, item->key) != 0)
                    continue;
                if (he_resource_limit_device(&p->resources[k], d, item->number, p->device_count,
                                             r->arena) != HE_OK)
                    return he_no_memory();
            }
        }
    }
    return HE_OK;
}

/* Limits over all devices: memory, power, price, latency, or a resource by name. */
static he_status read_budget(struct reader *r, const struct he_json *budget)
{
    struct he_problem *p = r->problem;
    const char **names;

    if (!budget)
        return HE_OK;
    if (budget->kind != HE_JSON_OBJECT)
        return bad(r, budget, "a budget: limits by name");
    names = he_arena_alloc(r->arena, p->resource_count + 4, sizeof *names);
    if (!names)
        return he_no_memory();
    names[0] = "memory";
    names[1] = "power";
    names[2] = "price";
    names[3] = "latency";
    for (size_t k = 0; k < p->resource_count; k++)
        names[4 + k] = p->resources[k].name;
    for (const struct he_json *item = budget->child; item; item = item->next) {
        double *limits[] = { &p->limits.memory_bytes, &p->limits.power_watts,
                             &p->limits.price_per_hour, &p->limits.latency };
        size_t k = 0;

        while (k < p->resource_count + 4 && strcmp(names[k], item->key) != 0)
            k++;
        if (k == p->resource_count + 4) {
            const char *nearest = he_nearest_word(item->key, names, k);

            return he_error_set(HE_ERR_PARSE, "%s:%u:%u: a budget for '%s', which no task uses%s%s%s",
                                r->name, item->line, item->column, item->key,
                                nearest ? ", did you mean '" : "", nearest ? nearest : "",
                                nearest ? "'?" : "");
        }
        if (item->kind != HE_JSON_NUMBER || item->number < 0)
            return bad(r, item, "a limit, 0 or more");
        *(k < 4 ? limits[k] : &p->resources[k - 4].limit) = item->number;
    }
    return HE_OK;
}

/* "backward": true on tasks of a training step's way back. */
static he_status read_direction(struct reader *r, const struct he_json *task, bool *is_backward)
{
    const struct he_json *backward = he_json_get(task, "backward");

    if (!backward)
        return HE_OK;
    if (backward->kind != HE_JSON_BOOL)
        return bad(r, backward, "true or false");
    *is_backward = backward->boolean;
    return HE_OK;
}

static he_status read_task(struct reader *r, const struct he_json *task, uint32_t t,
                           struct raw_tasks *raw)
{
    static const char *const keys[] = { "id", "time", "memory", "resources", "backward" };
    const struct he_json *id = get_string(task, "id");
    uint32_t before;
    he_status status;

    if (task->kind != HE_JSON_OBJECT || !id)
        return bad(r, task, "a task: an object with an \"id\"");
    status = check_keys(r, task, keys, sizeof keys / sizeof keys[0]);
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
        status = get_amount(r, task, "memory", 0, &raw->memory[t]);
    if (status == HE_OK)
        status = read_resources(r, task, t);
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
        memcpy(to + (size_t)number[t] * columns, from + (size_t)t * columns,
               columns * sizeof *to);
}

static he_status number_tasks(struct reader *r, const struct raw_tasks *raw, const uint32_t *number)
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

static he_status read_all_tasks(struct reader *r, const struct he_json *tasks,
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

static he_status read_all_edges(struct reader *r, const struct he_json *edges,
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

static he_status read_task_list(struct reader *r, const struct he_json *tasks,
                                const struct he_json *edges)
{
    struct he_problem *p = r->problem;
    size_t edge_count = edges ? edges->child_count : 0;
    struct raw_tasks raw = { .has_backward = false };
    struct raw_edge *raw_edges;
    struct he_arena scratch;
    uint32_t *number;
    he_status status;

    if (tasks->child_count >= UINT32_MAX / 2 || edge_count >= UINT32_MAX / 2)
        return bad(r, tasks, "fewer tasks and edges");
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
            (struct he_place_edge){ number[raw_edges[e].from], number[raw_edges[e].to],
                                    raw_edges[e].bytes, raw_edges[e].tensor };
    he_arena_fini(&scratch);
    return status;
}

static he_status read_colocation(struct reader *r, struct he_json *groups)
{
    struct he_problem *p = r->problem;
    uint32_t next = 0;
    he_status status;

    if (!groups)
        return HE_OK;
    if (groups->kind != HE_JSON_ARRAY)
        return bad(r, groups, "a list of lists of task ids");
    status = he_json_list_fill(r->name, r->text, r->size, groups, r->arena);
    if (status != HE_OK)
        return status;
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

/* A member that is ours to fill. */
static struct he_json *get_member(struct he_json *object, const char *key)
{
    return (struct he_json *)he_json_get(object, key);
}

static he_status read_document(struct reader *r, struct he_json *document)
{
    static const char *const keys[] = { "name",  "devices",  "links",     "tasks",
                                        "edges", "colocate", "contention", "budget" };
    const struct he_json *tasks = he_json_get(document, "tasks");
    const struct he_json *edges = he_json_get(document, "edges");
    struct he_json *devices = get_member(document, "devices");
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
        status = read_links(r, get_member(document, "links"));
    if (status == HE_OK)
        status = read_task_list(r, tasks, edges);
    if (status == HE_OK)
        status = read_colocation(r, get_member(document, "colocate"));
    if (status == HE_OK)
        status = read_device_limits(r, devices);
    if (status == HE_OK)
        status = read_budget(r, he_json_get(document, "budget"));
    if (status == HE_OK && r->machine)
        status = he_cost_describe_budgets(r->machine, r->problem);
    return status == HE_OK ? he_problem_index(r->problem) : status;
}

he_status he_problem_read_json(const char *name, const char *text, size_t size,
                               const struct he_machine *machine, const struct he_allocator *alloc,
                               struct he_problem **out)
{
    struct reader r = { .name = name, .text = text, .size = size, .machine = machine };
    struct he_json *document;
    he_status status;

    *out = NULL;
    r.problem = he_problem_create(alloc);
    if (!r.problem)
        return he_no_memory();
    r.arena = &r.problem->arena;
    he_map_init(&r.task_numbers, r.arena);
    he_map_init(&r.time_keys, r.arena);
    he_map_init(&r.tensor_numbers, r.arena);
    status = he_json_parse_closed(name, text, size, r.arena, &document);
    if (status == HE_OK)
        status = read_document(&r, document);
    if (status != HE_OK) {
        he_problem_destroy(r.problem);
        return status;
    }
    *out = r.problem;
    return HE_OK;
}
