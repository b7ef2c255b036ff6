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
    if (device->busy_watts > 0)
        he_json_double(json, "busy_watts", device->busy_watts);
    if (device->idle_watts > 0)
        he_json_double(json, "idle_watts", device->idle_watts);
    if (device->price_per_hour > 0)
        he_json_double(json, "price_per_hour", device->price_per_hour);
    he_json_object_end(json);
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
        he_json_bool(json, "measured", link->is_measured);
        he_json_object_end(json);
    }
    he_json_array_end(json);
    he_json_object_end(json);
}
