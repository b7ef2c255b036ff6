/* SPDX-License-Identifier: Apache-2.0 */
/* The devices and links of a task-graph file. */
#include <math.h>
#include <string.h>

#include "plan/read_graph.h"

/* Devices with the same `shares` text are one server. */
static he_status read_device(struct he_graph_reader *r, const struct he_json *at, uint32_t index,
                             const char **shares)
{
    static const char *const keys[] = {"id",           "kind",       "memory", "shares",
                                       "power",        "idle_power", "price",  "copy_bandwidth",
                                       "copy_latency", "resources"};
    const struct he_json *id = he_graph_string(at, "id"), *kind = he_graph_string(at, "kind");
    const struct he_json *share = he_graph_string(at, "shares");
    struct he_place_device *device = &r->problem->devices[index];
    he_status status;

    if (at->kind != HE_JSON_OBJECT || !id)
        return he_graph_bad(r, at, "a device: an object with an \"id\"");
    status = he_graph_keys(r, at, keys, sizeof keys / sizeof keys[0]);
    if (status != HE_OK)
        return status;
    *device = (struct he_place_device){
        .id = id->string, .kind = kind ? kind->string : "", .server = index, .memory_node = index};
    shares[index] = share ? share->string : "";
    for (uint32_t d = 0; d < index; d++) {
        if (strcmp(r->problem->devices[d].id, id->string) == 0)
            return he_error_set(HE_ERR_PARSE, "%s:%u:%u: a second device '%s'", r->name, id->line,
                                id->column, id->string);
        if (share && strcmp(shares[d], share->string) == 0)
            device->server = r->problem->devices[d].server;
    }
    status = he_graph_amount(r, at, "memory", INFINITY, &device->memory_bytes);
    if (status == HE_OK)
        status = he_graph_amount(r, at, "power", 0, &device->busy_watts);
    if (status == HE_OK)
        status = he_graph_amount(r, at, "idle_power", 0, &device->idle_watts);
    if (status == HE_OK)
        status = he_graph_amount(r, at, "price", 0, &device->price_per_hour);
    if (status == HE_OK)
        status = he_graph_amount(r, at, "copy_bandwidth", 0, &device->copy_bandwidth);
    if (status == HE_OK)
        status = he_graph_amount(r, at, "copy_latency", 0, &device->copy_latency);
    return status;
}

static he_status alloc_devices(struct he_graph_reader *r, size_t count)
{
    struct he_problem *problem = r->problem;

    problem->device_count = (uint32_t)count;
    problem->devices = he_arena_alloc(r->arena, count, sizeof *problem->devices);
    problem->links = he_arena_alloc(r->arena, count * count, sizeof *problem->links);
    if (!problem->devices || !problem->links)
        return he_no_memory();
    for (size_t k = 0; k < count * count; k++)
        problem->links[k] = (struct he_place_link){.is_free = true, .bandwidth = INFINITY};
    return HE_OK;
}

he_status he_graph_read_devices(struct he_graph_reader *r, struct he_json *devices)
{
    const char **shares;
    uint32_t index = 0;
    he_status status;

    if (devices->kind != HE_JSON_ARRAY || devices->child_count == 0)
        return he_graph_bad(r, devices, "a list of one device or more");
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

he_status he_graph_take_devices(struct he_graph_reader *r)
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
static he_status find_devices(const struct he_graph_reader *r, const struct he_json *at,
                              const char *key, uint32_t *first, uint32_t *end)
{
    const struct he_json *id = he_graph_string(at, key);

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

static he_status read_link(struct he_graph_reader *r, const struct he_json *at)
{
    static const char *const keys[] = {"from", "to", "bandwidth", "latency"};
    struct he_place_link link = {.is_free = false};
    uint32_t from, from_end, to, to_end, d = r->problem->device_count;
    he_status status;

    if (at->kind != HE_JSON_OBJECT)
        return he_graph_bad(r, at, "a link: an object with \"from\" and \"to\"");
    status = he_graph_keys(r, at, keys, sizeof keys / sizeof keys[0]);
    if (status == HE_OK)
        status = find_devices(r, at, "from", &from, &from_end);
    if (status == HE_OK)
        status = find_devices(r, at, "to", &to, &to_end);
    if (status == HE_OK)
        status = he_graph_amount(r, at, "bandwidth", INFINITY, &link.bandwidth);
    if (status == HE_OK)
        status = he_graph_amount(r, at, "latency", 0, &link.latency);
    if (status != HE_OK)
        return status;
    if (link.bandwidth <= 0)
        return he_graph_bad(r, at, "a bandwidth above 0");
    for (uint32_t i = from; i < from_end; i++) {
        for (uint32_t j = to; j < to_end; j++) {
            /* A device has no link to itself unless the file names the pair. */
            if (i != j || (from_end - from == 1 && to_end - to == 1))
                r->problem->links[(size_t)i * d + j] = link;
        }
    }
    return HE_OK;
}

he_status he_graph_read_links(struct he_graph_reader *r, struct he_json *links)
{
    he_status status;

    if (!links)
        return HE_OK;
    if (links->kind != HE_JSON_ARRAY)
        return he_graph_bad(r, links, "a list of links");
    status = he_json_list_fill(r->name, r->text, r->size, links, r->arena);
    for (const struct he_json *at = links->child; at && status == HE_OK; at = at->next)
        status = read_link(r, at);
    return status;
}
