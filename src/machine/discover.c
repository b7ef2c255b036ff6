/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks every backend what is there. Ids count per kind over all backends
 * ("GPU:0", "GPU:1"). Devices that do not share the host's memory get links to
 * it with the figures of a common PCIe slot until they are measured.
 */
#include <string.h>

#include "core/device.h"
#include "core/log.h"
#include "machine/keys.h"

static he_status add_device(struct he_machine *machine, const struct he_backend *backend,
                            uint32_t index, uint32_t ordinal, const struct he_device_info *info)
{
    struct he_machine_device *device = &machine->devices[machine->device_count];
    struct he_arena *arena = &machine->arena;

    *device = (struct he_machine_device){
        .id = he_arena_printf(arena, "%s:%u", he_device_kind_name(info->kind), ordinal),
        .kind = info->kind,
        .backend = backend->name,
        .backend_index = index,
        .name = info->name ? he_arena_string(arena, info->name, strlen(info->name)) : "",
        .driver = info->driver ? he_arena_string(arena, info->driver, strlen(info->driver)) : "",
        .shares = info->shares ? he_arena_string(arena, info->shares, strlen(info->shares)) : "",
        .core_count = info->cores,
        .caps = info->caps,
        .memory_bytes = info->memory_bytes,
        .peaks = info->peaks,
        .bandwidth = info->bandwidth,
        .launch_ns = info->launch_ns,
        .idle_watts = info->idle_watts,
        .busy_watts = info->busy_watts,
    };
    if (!device->id || !device->name || !device->driver || !device->shares)
        return he_no_memory();
    machine->device_count++;
    return HE_OK;
}

/* Lists one backend's devices into the machine's arena. */
static he_status list_devices(struct he_machine *machine, const struct he_backend *backend,
                              struct he_device_info **infos, size_t *count)
{
    he_status status = backend->enumerate(NULL, 0, count);
    size_t room;

    if (status != HE_OK || *count == 0) {
        /* A broken driver must not hide the other devices. */
        if (he_error_message()[0])
            he_log(HE_LOG_INFO, "backend %s: no devices: %s", backend->name, he_error_message());
        *count = 0;
        return HE_OK;
    }
    *infos = he_arena_alloc(&machine->arena, *count, sizeof **infos);
    if (!*infos)
        return he_no_memory();
    room = *count;
    status = backend->enumerate(*infos, room, count);
    if (*count > room)
        *count = room; /* one more was plugged in just now */
    return status;
}

static he_status discover_into(struct he_machine *machine)
{
    size_t backend_count = he_backend_count();
    uint32_t ordinals[HE_KIND_COUNT] = { 0 };
    struct he_device_info **infos;
    size_t *counts, total = 0;
    he_status status;

    infos = he_arena_alloc(&machine->arena, backend_count, sizeof *infos);
    counts = he_arena_alloc(&machine->arena, backend_count, sizeof *counts);
    if (!infos || !counts)
        return he_no_memory();
    for (size_t k = 0; k < backend_count; k++) {
        status = list_devices(machine, he_backend_at(k), &infos[k], &counts[k]);
        if (status != HE_OK)
            return status;
        total += counts[k];
    }
    machine->device_capacity = (uint32_t)total;
    machine->devices = he_arena_alloc(&machine->arena, total, sizeof *machine->devices);
    if (!machine->devices)
        return he_no_memory();
    for (size_t k = 0; k < backend_count; k++) {
        for (size_t d = 0; d < counts[k]; d++) {
            struct he_device_info *info = &infos[k][d];

            /* A backend loaded from a file may be newer than our kinds. */
            if ((unsigned)info->kind >= HE_KIND_COUNT)
                info->kind = HE_KIND_OTHER;
            status = add_device(machine, he_backend_at(k), (uint32_t)d, ordinals[info->kind]++, info);
            if (status != HE_OK)
                return status;
        }
    }
    return he_machine_default_links(machine);
}

he_status he_machine_create(const char *source, const struct he_allocator *alloc,
                            struct he_machine **out)
{
    struct he_arena arena;
    struct he_machine *machine;

    *out = NULL;
    he_arena_init(&arena, alloc);
    machine = he_arena_alloc(&arena, 1, sizeof *machine);
    if (!machine)
        return he_no_memory();
    machine->source = he_arena_string(&arena, source, strlen(source));
    machine->settings = (struct he_machine_settings){
        .strategy = "latency_aware",
        .hints = "respect",
        .on_device_loss = "replan",
        .gpu_mem_threshold = 1.0,
        .dvfs_policy = "",
        .swap_path = "",
        .precision_default = "fp32",
        .cluster_transport = "",
        .cluster_require = "",
    };
    machine->arena = arena;
    if (!machine->source) {
        he_machine_destroy(machine);
        return he_no_memory();
    }
    *out = machine;
    return HE_OK;
}

he_status he_machine_discover(const struct he_allocator *alloc, struct he_machine **out)
{
    struct he_machine *machine;
    he_status status = he_machine_create("discovered", alloc, &machine);

    *out = NULL;
    if (status != HE_OK)
        return status;
    status = discover_into(machine);
    if (status != HE_OK) {
        he_machine_destroy(machine);
        return status;
    }
    *out = machine;
    return HE_OK;
}
