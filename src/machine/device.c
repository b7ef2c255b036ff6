/* SPDX-License-Identifier: Apache-2.0 */
/* Devices and links of a machine under construction. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "machine/keys.h"

#define DEFAULT_LINK_BANDWIDTH 12e9
#define DEFAULT_LINK_LATENCY 10e-6
/* What a simulated device is like when nothing is said. */
#define DEFAULT_PEAK 1e12
#define DEFAULT_BANDWIDTH 50e9
#define DEFAULT_MEMORY ((uint64_t)16 << 30)

uint32_t he_machine_find(const struct he_machine *machine, const char *id)
{
    for (uint32_t d = 0; d < machine->device_count; d++) {
        if (strcmp(machine->devices[d].id, id) == 0)
            return d;
    }
    return HE_NONE;
}

static bool find_kind(const char *name, size_t size, enum he_device_kind *out)
{
    for (unsigned k = 0; k < HE_KIND_COUNT; k++) {
        const char *kind = he_device_kind_name((enum he_device_kind)k);

        if (strlen(kind) == size && strncasecmp(kind, name, size) == 0) {
            *out = (enum he_device_kind)k;
            return true;
        }
    }
    return false;
}

bool he_machine_split_id(const char *id, enum he_device_kind *kind, uint32_t *ordinal)
{
    const char *colon = strchr(id, ':');
    size_t size = colon ? (size_t)(colon - id) : strcspn(id, "0123456789");
    const char *digits = colon ? colon + 1 : id + size;
    unsigned long number;
    char *end;

    if (!find_kind(id, size, kind) || !isdigit((unsigned char)digits[0]))
        return false;
    number = strtoul(digits, &end, 10);
    if (*end || number > 1000000)
        return false;
    *ordinal = (uint32_t)number;
    return true;
}

void he_machine_default_device(struct he_machine_device *device, const char *id,
                               enum he_device_kind kind)
{
    *device = (struct he_machine_device){
        .id = id,
        .kind = kind,
        .backend = "",
        .name = he_device_kind_name(kind),
        .driver = "",
        .shares = "",
        .is_simulated = true,
        .core_count = 1,
        .caps = kind == HE_KIND_CPU ? HE_CAP_HOST_MEMORY | HE_CAP_DYNAMIC : 0,
        .memory_bytes = DEFAULT_MEMORY,
        .peaks = { .fp32 = DEFAULT_PEAK },
        .bandwidth = DEFAULT_BANDWIDTH,
        .launch_ns = kind == HE_KIND_CPU ? 300 : 5000,
    };
}

/* Room for one more of @size in an array of the arena, which forgives what is left behind. */
static void *grown(struct he_machine *machine, void *array, uint32_t count, uint32_t *capacity,
                   size_t size)
{
    uint32_t wanted = *capacity < 8 ? 8 : *capacity * 2;
    void *fresh;

    if (count < *capacity)
        return array;
    if (wanted <= count)
        return NULL;
    fresh = he_arena_alloc(&machine->arena, wanted, size);
    if (!fresh)
        return NULL;
    if (count)
        memcpy(fresh, array, count * size);
    *capacity = wanted;
    return fresh;
}

he_status he_machine_append(struct he_machine *machine, struct he_machine_device **out)
{
    struct he_machine_device *devices = grown(machine, machine->devices, machine->device_count,
                                              &machine->device_capacity, sizeof *devices);

    if (!devices)
        return he_no_memory();
    machine->devices = devices;
    machine->link_at = NULL; /* it knows the devices before */
    machine->pairs = NULL;
    *out = &devices[machine->device_count++];
    **out = (struct he_machine_device){ 0 };
    return HE_OK;
}

/* Ids of real devices, for the sentence about one that is not here. */
static void list_ids(const struct he_machine *machine, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (uint32_t d = 0; d < machine->device_count && used < size; d++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", d ? ", " : "",
                                 machine->devices[d].id);
}

/*
 * Which present device is meant: the one with this id; else, for a further id of
 * a kind ("CPU:1" with cores of its own), the first of that kind; a named
 * backend narrows it down.
 */
static const struct he_machine_device *find_present(const struct he_machine *present,
                                                    const struct he_machine_device *wanted)
{
    const struct he_machine_device *of_backend = NULL;
    uint32_t same_kind = 0, ordinal = 0;
    enum he_device_kind kind;

    he_machine_split_id(wanted->id, &kind, &ordinal);
    for (uint32_t d = 0; d < present->device_count; d++) {
        const struct he_machine_device *device = &present->devices[d];

        if (device->kind != wanted->kind)
            continue;
        if (wanted->backend[0] && strcmp(wanted->backend, device->backend) != 0)
            continue;
        if (strcmp(device->id, wanted->id) == 0 ||
            (wanted->backend[0] && same_kind++ == ordinal))
            return device;
        if (!of_backend && device->kind == HE_KIND_CPU && wanted->cores)
            of_backend = device;
    }
    return of_backend;
}

/* "0-3,8" -> 5; 0 when it is no such list (the device will say so when it is opened). */
static uint32_t count_cores(const char *list)
{
    uint32_t count = 0;

    while (list && *list) {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;

        if (end == list)
            return 0;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        if (last < first || last - first > 100000 || (*end && *end != ','))
            return 0;
        count += (uint32_t)(last - first) + 1;
        list = *end ? end + 1 : end;
    }
    return count;
}

/* A device on some of the cores has that part of the arithmetic; memory is not divided: one
 * core alone can draw most of what all of them share. */
static void scale_to_cores(struct he_machine_device *device)
{
    uint32_t cores = device->cores ? count_cores(device->cores) : device->core_count;
    double share;

    if (device->threads && device->threads < cores)
        cores = device->threads;
    if (!(device->caps & HE_CAP_HOST_MEMORY) || cores == 0 || cores >= device->core_count)
        return;
    share = (double)cores / device->core_count;
    device->peaks = (struct he_peaks){ device->peaks.fp32 * share, device->peaks.fp64 * share,
                                       device->peaks.fp16 * share, device->peaks.bf16 * share,
                                       device->peaks.int8 * share };
    device->core_count = cores;
}

he_status he_machine_complete(struct he_machine *machine, struct he_machine_device *device,
                              const struct he_machine *present)
{
    const struct he_machine_device *real = find_present(present, device);
    struct he_machine_device merged;
    char ids[400];

    if (!real) {
        list_ids(present, ids, sizeof ids);
        return he_error_set(HE_ERR_NO_DEVICE, "no device %s%s%s here; this machine has %s",
                            device->id, device->backend[0] ? " of backend " : "", device->backend,
                            ids[0] ? ids : "none");
    }
    merged = *real;
    merged.id = device->id;
    merged.cores = device->cores;
    merged.threads = device->threads;
    merged.price_per_hour = device->price_per_hour;
    merged.resource_names = device->resource_names;
    merged.resource_amounts = device->resource_amounts;
    merged.resource_count = device->resource_count;
    merged.like = device->like;
    /* Strings must live as long as this machine, not as long as @present. */
    merged.name = he_arena_printf(&machine->arena, "%s", real->name);
    merged.driver = he_arena_printf(&machine->arena, "%s", real->driver);
    merged.shares = he_arena_printf(&machine->arena, "%s",
                                    device->shares[0] ? device->shares : real->shares);
    if (!merged.name || !merged.driver || !merged.shares)
        return he_no_memory();
    scale_to_cores(&merged);
    if (device->memory_bytes)
        merged.memory_bytes = device->memory_bytes;
    merged.peak_is_given = device->peaks.fp32 > 0;
    merged.bandwidth_is_given = device->bandwidth > 0;
    merged.launch_is_given = device->launch_ns > 0;
    if (device->peaks.fp32 > 0)
        merged.peaks.fp32 = device->peaks.fp32;
    if (device->peaks.bf16 > 0)
        merged.peaks.bf16 = device->peaks.bf16;
    if (device->peaks.fp16 > 0)
        merged.peaks.fp16 = device->peaks.fp16;
    if (device->peaks.fp64 > 0)
        merged.peaks.fp64 = device->peaks.fp64;
    if (device->peaks.int8 > 0)
        merged.peaks.int8 = device->peaks.int8;
    if (device->bandwidth > 0)
        merged.bandwidth = device->bandwidth;
    if (device->launch_ns > 0)
        merged.launch_ns = device->launch_ns;
    if (device->busy_watts > 0)
        merged.busy_watts = device->busy_watts;
    if (device->idle_watts > 0)
        merged.idle_watts = device->idle_watts;
    *device = merged;
    return HE_OK;
}

const struct he_machine_link *he_machine_find_link(const struct he_machine *machine, uint32_t from,
                                                   uint32_t to)
{
    if (machine->link_at) {
        uint32_t at = machine->link_at[(size_t)from * machine->link_at_width + to];

        return at ? &machine->links[at - 1] : NULL;
    }
    for (uint32_t k = 0; k < machine->link_count; k++) {
        if (machine->links[k].from == from && machine->links[k].to == to)
            return &machine->links[k];
    }
    return NULL;
}

he_status he_machine_set_link(struct he_machine *machine, uint32_t from, uint32_t to,
                              double bandwidth, double latency_s)
{
    struct he_machine_link *link = (struct he_machine_link *)he_machine_find_link(machine, from, to);
    struct he_machine_link *links;

    if (link) {
        link->bandwidth = bandwidth;
        link->latency_s = latency_s;
        link->source = HE_SOURCE_GIVEN;
        return HE_OK;
    }
    links = grown(machine, machine->links, machine->link_count, &machine->link_capacity,
                  sizeof *links);
    if (!links)
        return he_no_memory();
    machine->links = links;
    links[machine->link_count++] = (struct he_machine_link){
        .from = from, .to = to, .bandwidth = bandwidth, .latency_s = latency_s,
        .source = HE_SOURCE_GIVEN };
    if (machine->link_at)
        machine->link_at[(size_t)from * machine->link_at_width + to] = machine->link_count;
    return HE_OK;
}

he_status he_machine_index_links(struct he_machine *machine)
{
    uint32_t n = machine->device_count;
    uint32_t *at = he_arena_alloc(&machine->arena, (size_t)n * n, sizeof *at);

    if (!at)
        return he_no_memory();
    for (uint32_t k = 0; k < machine->link_count; k++)
        at[(size_t)machine->links[k].from * n + machine->links[k].to] = k + 1;
    machine->link_at = at;
    machine->link_at_width = n;
    return HE_OK;
}

he_status he_machine_default_links(struct he_machine *machine)
{
    uint32_t n = machine->device_count;
    bool has_host = false;
    he_status status = he_machine_index_links(machine);

    for (uint32_t d = 0; d < n; d++)
        has_host |= (machine->devices[d].caps & HE_CAP_HOST_MEMORY) != 0;
    for (uint32_t from = 0; from < n; from++) {
        for (uint32_t to = 0; status == HE_OK && to < n; to++) {
            bool touches_host = ((machine->devices[from].caps | machine->devices[to].caps) &
                                 HE_CAP_HOST_MEMORY) != 0;

            if (from == to || he_machine_same_memory(machine, from, to) ||
                he_machine_find_link(machine, from, to) || (has_host && !touches_host))
                continue;
            status = he_machine_set_link(machine, from, to, DEFAULT_LINK_BANDWIDTH,
                                         DEFAULT_LINK_LATENCY);
            if (status == HE_OK)
                machine->links[machine->link_count - 1].source = HE_SOURCE_ASSUMED;
        }
    }
    return status;
}
