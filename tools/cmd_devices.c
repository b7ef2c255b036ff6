/* SPDX-License-Identifier: Apache-2.0 */
/* hetero devices: what is here. */
#include "engine/engine.h"
#include "hetero.h"

static void put_rate(double value, const char *unit)
{
    static const struct {
        double from;
        const char *prefix;
    } scales[] = { { 1e15, "P" }, { 1e12, "T" }, { 1e9, "G" }, { 1e6, "M" }, { 0, "" } };
    size_t k = 0;

    while (value < scales[k].from)
        k++;
    printf("%.3g %s%s", scales[k].from > 0 ? value / scales[k].from : value, scales[k].prefix, unit);
}

static void put_device(const struct he_machine_device *device)
{
    printf("%-10s %-7s %-8s %s", device->id, he_device_kind_name(device->kind),
           device->backend[0] ? device->backend : "-", device->name);
    if (device->driver[0])
        printf(" (%s)", device->driver);
    printf("%s\n%27s memory ", device->is_simulated ? " [simulated]" : "", "");
    put_rate((double)device->memory_bytes, "B");
    printf(", bandwidth ");
    put_rate(device->bandwidth, "B/s");
    if (device->peaks.fp32 > 0) {
        printf(", fp32 ");
        put_rate(device->peaks.fp32, "FLOP/s");
    }
    if (device->peaks.bf16 > 0) {
        printf(", bf16 ");
        put_rate(device->peaks.bf16, "FLOP/s");
    }
    if (device->peaks.int8 > 0) {
        printf(", int8 ");
        put_rate(device->peaks.int8, "OP/s");
    }
    if (device->shares[0])
        printf(", shares '%s'", device->shares);
    printf("\n");
}

/* Measured ones: what is assumed of two devices is the same for all. */
static void put_pairs(const struct he_machine *machine)
{
    for (uint32_t a = 0; a < machine->device_count; a++) {
        for (uint32_t b = 0; b < machine->device_count; b++) {
            struct he_machine_pair pair = he_machine_pair_at(machine, a, b);

            if (a == b || pair.source != HE_SOURCE_MEASURED)
                continue;
            printf("%s -> %s  hand-over %.3g us +-%.0f %%; %s takes %.2fx as long beside %s, %.2fx "
                   "where memory is the limit\n",
                   machine->devices[a].id, machine->devices[b].id, pair.hand_over_s * 1e6,
                   pair.hand_over_spread * 100, machine->devices[a].id, pair.slowdown_compute,
                   machine->devices[b].id, pair.slowdown_memory);
            if (he_machine_same_memory(machine, a, b))
                printf("%s -> %s  results come from the other core's caches at %.3g GB/s +-%.0f %%\n",
                       machine->devices[a].id, machine->devices[b].id, 1e-9 / pair.fetch_s,
                       pair.fetch_spread * 100);
        }
    }
}

static int run(const struct tool_args *args)
{
    const struct he_machine *machine;
    struct he_engine *engine;
    he_status status = tool_open_engine(args, &engine);

    if (status != HE_OK)
        return tool_fail(status);
    machine = he_engine_machine(engine);
    if (args->json) {
        struct he_json_writer json;
        struct he_text text;
        int code;

        he_text_init(&text, NULL);
        he_json_begin(&json, &text, true);
        he_machine_write_json(machine, &json);
        he_text_append(&text, "\n", 1);
        code = tool_print(&text);
        he_engine_destroy(engine);
        return code;
    }
    for (uint32_t d = 0; d < machine->device_count; d++)
        put_device(&machine->devices[d]);
    for (uint32_t k = 0; k < machine->link_count; k++) {
        const struct he_machine_link *link = &machine->links[k];

        printf("%s -> %s  ", machine->devices[link->from].id, machine->devices[link->to].id);
        put_rate(link->bandwidth, "B/s");
        printf(", %.3g us (%s)\n", link->latency_s * 1e6, he_machine_source_name(link->source));
    }
    put_pairs(machine);
    he_engine_destroy(engine);
    return EXIT_DONE;
}

const struct tool_command cmd_devices = {
    .name = "devices",
    .summary = "lists what is here: devices, memory, peaks, links",
    .usage = "devices [-c FILE.yaml] [-d LIST] [--json]",
    .options = "",
    .details = "Lists the devices of this machine, or of the machine a file or a line describes.",
    .examples = "  hetero devices\n"
                "  hetero devices --json\n"
                "  hetero devices -d \"gpu:4(tflops=312,mem=80GB) cpu:1\"\n",
    .run = run,
};
