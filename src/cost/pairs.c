/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the calibration store into the machine: what two devices cost each other, what one does by
 * its self-test, and watts.
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

/* What the device said of itself when it was tested (src/engine/selftest.c). */
static void apply_peaks(const struct he_cost_store *store, const char *fingerprint,
                        struct he_machine_device *device)
{
    struct he_cost_figure fp32, bandwidth, launch, memory;

    if (he_cost_store_figure(store, "peak/host-memory", fingerprint, &memory) &&
        memory.value <= HE_HOST_MEMORY_COPIED)
        device->host_memory = (enum he_host_memory)(memory.value + 0.5);
    if (!he_cost_store_figure(store, "peak/fp32", fingerprint, &fp32) ||
        !he_cost_store_figure(store, "peak/bandwidth", fingerprint, &bandwidth) ||
        !he_cost_store_figure(store, "peak/launch", fingerprint, &launch))
        return;
    if (!device->peak_is_given) {
        /* What was guessed of fp64 is a part of fp32. */
        if (device->peaks.fp32 > 0)
            device->peaks.fp64 *= fp32.value / device->peaks.fp32;
        device->peaks.fp32 = fp32.value;
    }
    if (!device->bandwidth_is_given)
        device->bandwidth = bandwidth.value;
    if (!device->launch_is_given)
        device->launch_ns = launch.value * 1e9;
    device->peaks_source = HE_SOURCE_MEASURED;
}

/* Between the host's memory and device @d, one way. */
static void apply_host_way(const struct he_cost_store *store, const char *fingerprint,
                           struct he_machine *machine, uint32_t d, bool is_to)
{
    struct he_cost_figure rate, latency;

    if (!he_cost_store_figure(store, is_to ? "host/to-rate" : "host/from-rate", fingerprint, &rate) ||
        !he_cost_store_figure(store, is_to ? "host/to-latency" : "host/from-latency", fingerprint,
                              &latency))
        return;
    for (uint32_t h = 0; h < machine->device_count; h++) {
        if ((machine->devices[h].caps & HE_CAP_HOST_MEMORY) && !machine->devices[h].is_simulated)
            he_machine_measured_link(machine, is_to ? h : d, is_to ? d : h, rate.value,
                                     latency.value, fmax(rate.spread, latency.spread));
    }
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
        if (name && !machine->devices[d].is_simulated) {
            apply_peaks(store, name, &machine->devices[d]);
            apply_host_way(store, name, machine, d, true);
            apply_host_way(store, name, machine, d, false);
        }
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
