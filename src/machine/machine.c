/* SPDX-License-Identifier: Apache-2.0 */
/* The machine as a value: destruction, transfers, kinds, and the JSON of
 * `hetero devices`. */
#include <math.h>
#include <string.h>

#include "core/size.h"
#include "machine/keys.h"

static const char *const kind_names[HE_KIND_COUNT] = {
    [HE_KIND_CPU] = "CPU",       [HE_KIND_GPU] = "GPU", [HE_KIND_FPGA] = "FPGA",
    [HE_KIND_ASIC] = "ASIC",     [HE_KIND_MATRIX] = "MATRIX", [HE_KIND_DSP] = "DSP",
    [HE_KIND_OTHER] = "OTHER",
};

const char *he_device_kind_name(enum he_device_kind kind)
{
    return (unsigned)kind < HE_KIND_COUNT ? kind_names[kind] : "OTHER";
}

void he_machine_destroy(struct he_machine *machine)
{
    struct he_arena arena;

    if (!machine)
        return;
    /* The machine itself lives in its arena. */
    arena = machine->arena;
    he_arena_fini(&arena);
}

bool he_machine_same_memory(const struct he_machine *machine, uint32_t a, uint32_t b)
{
    const struct he_machine_device *da = &machine->devices[a], *db = &machine->devices[b];

    if (a == b)
        return true;
    return (da->caps & HE_CAP_HOST_MEMORY) && (db->caps & HE_CAP_HOST_MEMORY) &&
           da->is_simulated == db->is_simulated;
}

static double over_link(const struct he_machine_link *link, double bytes)
{
    return link->latency_s + (link->bandwidth > 0 ? bytes / link->bandwidth : 0);
}

double he_machine_transfer_seconds(const struct he_machine *machine, uint32_t from, uint32_t to,
                                   double bytes)
{
    const struct he_machine_link *direct = he_machine_find_link(machine, from, to), *in, *out;
    double best = INFINITY;

    if (he_machine_same_memory(machine, from, to))
        return 0;
    if (direct)
        return over_link(direct, bytes);
    /* Through whichever third device is quickest (usually the host). */
    for (uint32_t k = 0; k < machine->device_count; k++) {
        in = he_machine_find_link(machine, from, k);
        out = he_machine_find_link(machine, k, to);
        if (in && out)
            best = fmin(best, over_link(in, bytes) + over_link(out, bytes));
    }
    return isfinite(best) ? best : 0;
}

/* --- Pairs --- */

/* A thread that sleeps is woken in about so long on a common machine (bench/overhead). */
#define DEFAULT_HAND_OVER 40e-6
#define SIMULATED_HAND_OVER 5e-6
/* 2 GB/s, as between cores that share no cache; 10 GB/s where they do. */
#define DEFAULT_FETCH 0.5e-9

struct he_machine_pair he_machine_pair_at(const struct he_machine *machine, uint32_t first,
                                          uint32_t second)
{
    bool is_simulated;

    if (machine->pairs) {
        const struct he_machine_pair *pair =
            &machine->pairs[(size_t)first * machine->device_count + second];

        if (pair->source != HE_SOURCE_ASSUMED)
            return *pair;
    }
    is_simulated = machine->devices[first].is_simulated || machine->devices[second].is_simulated;
    /* What is assumed is meant to be on the safe side already: no spread on top. */
    return (struct he_machine_pair){
        .hand_over_s = is_simulated ? SIMULATED_HAND_OVER : DEFAULT_HAND_OVER,
        .fetch_s = is_simulated ? 0 : DEFAULT_FETCH,
        .slowdown_compute = 1, .slowdown_memory = 1 };
}

he_status he_machine_set_pair(struct he_machine *machine, uint32_t first, uint32_t second,
                              const struct he_machine_pair *pair)
{
    if (!machine->pairs)
        machine->pairs = he_arena_alloc(&machine->arena, (size_t)machine->device_count *
                                        machine->device_count, sizeof *machine->pairs);
    if (!machine->pairs)
        return he_no_memory();
    machine->pairs[(size_t)first * machine->device_count + second] = *pair;
    return HE_OK;
}

void he_machine_measured_link(struct he_machine *machine, uint32_t from, uint32_t to,
                              double bandwidth, double latency_s, double spread)
{
    struct he_machine_link *link = (struct he_machine_link *)he_machine_find_link(machine, from, to);

    if (!link || link->source == HE_SOURCE_GIVEN)
        return;
    link->bandwidth = bandwidth;
    link->latency_s = latency_s;
    link->spread = spread;
    link->source = HE_SOURCE_MEASURED;
}

const char *he_host_memory_name(enum he_host_memory memory)
{
    switch (memory) {
    case HE_HOST_MEMORY_SHARED:
        return "shared";
    case HE_HOST_MEMORY_COPIED_SILENTLY:
        return "copies silently";
    case HE_HOST_MEMORY_COPIED:
        return "copies";
    default:
        return NULL;
    }
}

enum he_host_memory he_machine_link_memory(const struct he_machine *machine,
                                           const struct he_machine_link *link)
{
    const struct he_machine_device *from = &machine->devices[link->from];
    const struct he_machine_device *to = &machine->devices[link->to];

    if (from->caps & HE_CAP_HOST_MEMORY)
        return to->host_memory;
    return to->caps & HE_CAP_HOST_MEMORY ? from->host_memory : HE_HOST_MEMORY_UNKNOWN;
}

const char *he_machine_source_name(enum he_machine_source source)
{
    static const char *const names[] = { [HE_SOURCE_ASSUMED] = "assumed",
                                         [HE_SOURCE_GIVEN] = "given",
                                         [HE_SOURCE_MEASURED] = "measured" };

    return names[source];
}

/* --- JSON --- */

static void write_device(const struct he_machine_device *device, struct he_json_writer *json)
{
    const struct {
        const char *name;
        double peak;
    } peaks[] = {
        { "fp32", device->peaks.fp32 }, { "fp64", device->peaks.fp64 },
        { "fp16", device->peaks.fp16 }, { "bf16", device->peaks.bf16 },
        { "int8", device->peaks.int8 },
    };

    he_json_object(json, NULL);
    he_json_string(json, "id", device->id);
    he_json_string(json, "kind", he_device_kind_name(device->kind));
    he_json_string(json, "backend", device->backend);
    he_json_string(json, "name", device->name);
    he_json_string(json, "driver", device->driver);
    he_json_int(json, "memory_bytes", (int64_t)device->memory_bytes);
    he_json_bool(json, "simulated", device->is_simulated);
    he_json_int(json, "cores", device->core_count);
    if (device->cores)
        he_json_string(json, "core_list", device->cores);
    if (device->shares[0])
        he_json_string(json, "shares", device->shares);
    he_json_object_flat(json, "peak_ops_per_second");
    for (size_t k = 0; k < HE_COUNT(peaks); k++) {
        if (peaks[k].peak > 0)
            he_json_double(json, peaks[k].name, peaks[k].peak);
    }
    he_json_object_end(json);
    he_json_double(json, "memory_bandwidth", device->bandwidth);
    he_json_double(json, "launch_seconds", device->launch_ns * 1e-9);
    he_json_string(json, "peaks_source", he_machine_source_name(device->peaks_source));
    if (he_host_memory_name(device->host_memory))
        he_json_string(json, "host_memory", he_host_memory_name(device->host_memory));
    if (device->busy_watts > 0)
        he_json_double(json, "busy_watts", device->busy_watts);
    if (device->idle_watts > 0)
        he_json_double(json, "idle_watts", device->idle_watts);
    if (device->busy_watts > 0 || device->idle_watts > 0)
        he_json_string(json, "watts_source",
                       he_machine_source_name(device->watts_source == HE_SOURCE_ASSUMED
                                                  ? HE_SOURCE_GIVEN : device->watts_source));
    if (device->price_per_hour > 0)
        he_json_double(json, "price_per_hour", device->price_per_hour);
    he_json_object_end(json);
}

/* Real devices only: simulated ones hand over for nothing. */
static void write_pairs(const struct he_machine *machine, struct he_json_writer *json)
{
    he_json_array(json, "pairs");
    for (uint32_t from = 0; from < machine->device_count; from++) {
        for (uint32_t to = 0; to < machine->device_count; to++) {
            struct he_machine_pair pair;

            if (from == to || machine->devices[from].is_simulated ||
                machine->devices[to].is_simulated)
                continue;
            pair = he_machine_pair_at(machine, from, to);
            he_json_object_flat(json, NULL);
            he_json_string(json, "from", machine->devices[from].id);
            he_json_string(json, "to", machine->devices[to].id);
            he_json_bool(json, "shares_memory", he_machine_same_memory(machine, from, to));
            he_json_double(json, "hand_over", pair.hand_over_s);
            if (he_machine_same_memory(machine, from, to))
                he_json_double(json, "fetch_seconds_per_byte", pair.fetch_s);
            he_json_double(json, "slowdown_compute", pair.slowdown_compute);
            he_json_double(json, "slowdown_memory", pair.slowdown_memory);
            he_json_string(json, "source", he_machine_source_name(pair.source));
            if (pair.source == HE_SOURCE_MEASURED)
                he_json_double(json, "spread", pair.hand_over_spread);
            he_json_object_end(json);
        }
    }
    he_json_array_end(json);
}

void he_machine_write_json(const struct he_machine *machine, struct he_json_writer *json)
{
    he_json_object(json, NULL);
    he_json_string(json, "source", machine->source);
    he_json_array(json, "devices");
    for (uint32_t k = 0; k < machine->device_count; k++)
        write_device(&machine->devices[k], json);
    he_json_array_end(json);
    he_json_array(json, "links");
    for (uint32_t k = 0; k < machine->link_count; k++) {
        const struct he_machine_link *link = &machine->links[k];

        he_json_object_flat(json, NULL);
        he_json_string(json, "from", machine->devices[link->from].id);
        he_json_string(json, "to", machine->devices[link->to].id);
        he_json_double(json, "bandwidth", link->bandwidth);
        he_json_double(json, "latency", link->latency_s);
        he_json_bool(json, "measured", link->source == HE_SOURCE_MEASURED);
        he_json_string(json, "source", he_machine_source_name(link->source));
        if (link->source == HE_SOURCE_MEASURED)
            he_json_double(json, "spread", link->spread);
        if (he_host_memory_name(he_machine_link_memory(machine, link)))
            he_json_string(json, "host_memory",
                           he_host_memory_name(he_machine_link_memory(machine, link)));
        he_json_object_end(json);
    }
    he_json_array_end(json);
    write_pairs(machine, json);
    he_json_object_end(json);
}
