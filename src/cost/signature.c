/* SPDX-License-Identifier: Apache-2.0 */
/* What a measurement holds for: the task's operators, types, shapes and
 * attributes (not its names or weights), and the device's silicon and driver. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/map.h"
#include "cost/cost.h"

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return he_hash_bytes(hash, text, strlen(text) + 1);
}

static uint64_t hash_int(uint64_t hash, int64_t value)
{
    return he_hash_bytes(hash, &value, sizeof value);
}

static uint64_t hash_value(uint64_t hash, const struct he_graph *graph, uint32_t index)
{
    const struct he_value *value;

    if (index == HE_NONE)
        return hash_int(hash, -1);
    value = &graph->values[index];
    hash = hash_int(hash, value->dtype);
    hash = hash_int(hash, value->data != NULL);
    hash = hash_int(hash, value->shape.rank);
    if (value->shape.rank > HE_MAX_RANK)
        return hash;
    return he_hash_bytes(hash, value->shape.dims, value->shape.rank * sizeof value->shape.dims[0]);
}

static uint64_t hash_attr(uint64_t hash, const struct he_attr *attr)
{
    hash = hash_text(hash, attr->name);
    switch (attr->kind) {
    case HE_ATTR_INT:
        return hash_int(hash, attr->i);
    case HE_ATTR_FLOAT:
        return he_hash_bytes(hash, &attr->f, sizeof attr->f);
    case HE_ATTR_STRING:
        return he_hash_bytes(hash, attr->s, attr->s_bytes);
    case HE_ATTR_INTS:
        return he_hash_bytes(hash, attr->ints, attr->count * sizeof attr->ints[0]);
    case HE_ATTR_FLOATS:
        return he_hash_bytes(hash, attr->floats, attr->count * sizeof attr->floats[0]);
    case HE_ATTR_GRAPH:
        for (uint32_t t = 0; t < attr->graph->task_count; t++)
            hash = hash_int(hash, (int64_t)he_cost_signature(attr->graph, &attr->graph->tasks[t]));
        return hash;
    default:
        return hash;
    }
}

uint64_t he_cost_signature(const struct he_graph *graph, const struct he_task *task)
{
    uint64_t hash = HE_HASH_SEED;

    for (uint32_t k = 0; k < task->node_count; k++) {
        const struct he_node *node = &graph->nodes[task->nodes[k]];

        hash = hash_text(hash, node->op);
        hash = hash_text(hash, node->domain);
        for (uint32_t i = 0; i < node->input_count; i++)
            hash = hash_value(hash, graph, node->inputs[i]);
        for (uint32_t i = 0; i < node->output_count; i++)
            hash = hash_value(hash, graph, node->outputs[i]);
        for (uint32_t i = 0; i < node->attr_count; i++)
            hash = hash_attr(hash, &node->attrs[i]);
    }
    return hash;
}

/* The clock of a device's first core, in kHz: tells the large cores of a chip from its small
 * ones. 0 where the system does not say. */
static unsigned long core_clock(const struct he_machine_device *device)
{
    unsigned long core = strtoul(device->cores, NULL, 10), clock = 0;
    char path[100];
    FILE *file;

    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%lu/cpufreq/cpuinfo_max_freq", core);
    file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%lu", &clock) != 1)
        clock = 0;
    fclose(file);
    return clock;
}

/* Devices on equal parts of one chip have one fingerprint: were they measured apart, a plan would
 * give each task to whichever of them the noise has favoured (bench/guard). */
const char *he_cost_fingerprint(const struct he_machine_device *device, struct he_arena *arena)
{
    char *text, part[64] = "all";

    if (device->cores)
        snprintf(part, sizeof part, "%u@%lu", device->core_count, core_clock(device));
    text = he_arena_printf(arena, "%s/%s/%s/%s/%u", device->backend, device->name, device->driver,
                           part, device->threads);

    /* One word: the store separates its columns by spaces. */
    for (char *c = text; c && *c; c++) {
        if (*c == ' ' || *c == '\t' || *c == '\n')
            *c = '_';
    }
    return text;
}
