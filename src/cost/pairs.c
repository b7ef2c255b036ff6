/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the calibration store into the machine: what two devices cost each other, and watts.
 * Measured figures take the place of assumed ones; what the settings give stays.
 */
#include <math.h>

#include "cost/cost.h"

static void apply_link(const struct he_cost_store *store, const char *subject,
                       struct he_machine *machine, uint32_t from, uint32_t to)
{
    struct he_cost_figure latency, rate;

    if (he_cost_store_figure(store, "link/latency", subject, &latency) &&
        he_cost_store_figure(store, "link/rate", subject, &rate))
        he_machine_measured_link(machine, from, to, rate.value, latency.value,
                                 fmax(latency.spread, rate.spread));
}

/* A slowdown below 1 is noise. */
static double slowdown(const struct he_cost_store *store, const char *name, const char *subject)
{
    struct he_cost_figure figure;

    return he_cost_store_figure(store, name, subject, &figure) ? fmax(1, figure.value) : 1;
}

static he_status apply_pair(const struct he_cost_store *store, const char *subject,
                            struct he_machine *machine, uint32_t from, uint32_t to)
{
    struct he_cost_figure warm, cold, fetch;
    struct he_machine_pair pair = { .source = HE_SOURCE_MEASURED };

    if (!he_cost_store_figure(store, "handover/warm", subject, &warm))
        return HE_OK;
    if (!he_cost_store_figure(store, "handover/cold", subject, &cold) || cold.value < warm.value)
        cold = warm;
    /* The chain crosses the link once per hand-over: what the link costs is counted there. */
    pair.hand_over_s = fmax(0, cold.value - he_machine_transfer_seconds(machine, from, to, 0));
    pair.hand_over_spread = cold.spread;
    if (he_cost_store_figure(store, "handover/byte", subject, &fetch)) {
        pair.fetch_s = fetch.value;
        pair.fetch_spread = fetch.spread;
    } else {
        pair.fetch_s = he_machine_pair_at(machine, from, to).fetch_s;
    }
    pair.slowdown_compute = slowdown(store, "slowdown/compute", subject);
    pair.slowdown_memory = slowdown(store, "slowdown/memory", subject);
    return he_machine_set_pair(machine, from, to, &pair);
}

/* The counters are of whole packages: a device on some of the cores takes its part of what is
 * drawn at rest, and what its work adds. */
static void apply_watts(const struct he_cost_store *store, const char *fingerprint,
                        struct he_machine_device *device)
{
    struct he_cost_figure idle, busy;

    if (device->busy_watts > 0 || device->idle_watts > 0 ||
        !he_cost_store_figure(store, "watts/idle", fingerprint, &idle) ||
        !he_cost_store_figure(store, "watts/busy", fingerprint, &busy))
        return;
    device->idle_watts = idle.value;
    device->busy_watts = fmax(busy.value, idle.value);
    device->watts_source = HE_SOURCE_MEASURED;
}

he_status he_cost_apply_pairs(const struct he_cost_store *store, struct he_machine *machine)
{
    struct he_arena arena;
    he_status status = HE_OK;

    if (!store)
        return HE_OK;
    he_arena_init(&arena, &machine->arena.alloc);
    for (uint32_t d = 0; d < machine->device_count && status == HE_OK; d++) {
        const char *name = he_cost_fingerprint(&machine->devices[d], &arena);

        if (name && !machine->devices[d].is_simulated)
            apply_watts(store, name, &machine->devices[d]);
        status = name ? HE_OK : he_no_memory();
    }
    for (uint32_t from = 0; from < machine->device_count && status == HE_OK; from++) {
        for (uint32_t to = 0; to < machine->device_count && status == HE_OK; to++) {
            const char *a, *b, *subject;

            if (from == to || machine->devices[from].is_simulated ||
                machine->devices[to].is_simulated)
                continue;
            a = he_cost_fingerprint(&machine->devices[from], &arena);
            b = he_cost_fingerprint(&machine->devices[to], &arena);
            subject = a && b ? he_arena_printf(&arena, "%s>%s", a, b) : NULL;
            if (!subject) {
                status = he_no_memory();
                break;
            }
            apply_link(store, subject, machine, from, to);
            status = apply_pair(store, subject, machine, from, to);
        }
    }
    he_arena_fini(&arena);
    return status;
}
