/* SPDX-License-Identifier: Apache-2.0 */
/* A machine in the placement problem's terms: devices, links, budgets. */
#include <math.h>
#include <string.h>

#include "cost/cost.h"

/* Of the memory of a real device beside the host's: weights rounded up to whole tiles, tables of
 * indices, scratch. Seen: 0.6 % (resnet50 by tiles), 1.1 % (shufflenet). */
#define RESERVE 0.05

static double usable_share(const struct he_machine *machine, const struct he_machine_device *device)
{
    double share = device->kind == HE_KIND_GPU ? machine->settings.gpu_mem_threshold : 1.0;

    return device->is_simulated || (device->caps & HE_CAP_HOST_MEMORY)
               ? share
               : fmin(share, 1 - RESERVE);
}

/* Devices that `shares:` the same silicon are one server; the same memory is one node. */
static void describe_each(const struct he_machine *machine, struct he_problem *problem)
{
    for (uint32_t d = 0; d < machine->device_count; d++) {
        const struct he_machine_device *device = &machine->devices[d];
        struct he_place_device *to = &problem->devices[d];
        double usable = usable_share(machine, device);

        *to = (struct he_place_device){
            .id = device->id,
            .kind = he_device_kind_name(device->kind),
            .memory_bytes = device->memory_bytes ? (double)device->memory_bytes * usable : INFINITY,
            .usable = usable,
            .server = d,
            .memory_node = d,
            .idle_watts = device->idle_watts,
            .busy_watts = device->busy_watts,
            .price_per_hour = device->price_per_hour,
        };
        for (uint32_t other = 0; other < d; other++) {
            const struct he_machine_device *before = &machine->devices[other];

            if (device->shares[0] && strcmp(device->shares, before->shares) == 0 &&
                !(device->cores && before->cores && strcmp(device->cores, before->cores) != 0))
                to->server = problem->devices[other].server;
            if (he_machine_same_memory(machine, d, other))
                to->memory_node = problem->devices[other].memory_node;
        }
    }
}

static void describe_links(const struct he_machine *machine, struct he_problem *problem)
{
    uint32_t n = machine->device_count;

    for (uint32_t from = 0; from < n; from++) {
        for (uint32_t to = 0; to < n; to++) {
            struct he_place_link *link = &problem->links[(size_t)from * n + to];
            double none = he_machine_transfer_seconds(machine, from, to, 0);
            double much = he_machine_transfer_seconds(machine, from, to, 1e9);

            link->is_free = much <= 0;
            link->latency = none;
            link->bandwidth = much > none ? 1e9 / (much - none) : INFINITY;
        }
    }
}

void he_cost_describe_devices(const struct he_machine *machine, struct he_problem *problem)
{
    describe_each(machine, problem);
    describe_links(machine, problem);
}

/* What the devices have of each resource; a device that says nothing has no limit. A graph with
 * devices of its own says itself what they have. */
static he_status describe_resources(const struct he_machine *machine, struct he_problem *problem)
{
    if (problem->device_count == 0 || machine->device_count != problem->device_count ||
        problem->devices[0].id != machine->devices[0].id)
        return HE_OK;
    for (uint32_t d = 0; d < machine->device_count; d++) {
        const struct he_machine_device *device = &machine->devices[d];

        for (size_t k = 0; k < device->resource_count; k++) {
            for (size_t r = 0; r < problem->resource_count; r++) {
                if (strcmp(problem->resources[r].name, device->resource_names[k]) == 0 &&
                    he_resource_limit_device(&problem->resources[r], d, device->resource_amounts[k],
                                             problem->device_count, &problem->arena) != HE_OK)
                    return he_no_memory();
            }
        }
    }
    return HE_OK;
}

/* Of a resource, what the devices that say have together; INFINITY when none says. */
static double all_of(const struct he_place_resource *resource, uint32_t device_count)
{
    double sum = 0;
    bool is_said = false;

    for (uint32_t d = 0; resource->device_limits && d < device_count; d++) {
        if (isinf(resource->device_limits[d]))
            continue;
        is_said = true;
        sum += resource->device_limits[d];
    }
    return is_said ? sum : INFINITY;
}

/* Budgets of the settings; a resource that no task here uses is no limit to anything. */
he_status he_cost_describe_budgets(const struct he_machine *machine, struct he_problem *problem)
{
    double memory = 0, power = 0, price = 0;
    bool has_memory = false;
    he_status status = describe_resources(machine, problem);

    for (uint32_t d = 0; d < problem->device_count; d++) {
        const struct he_place_device *device = &problem->devices[d];

        has_memory |= !isinf(device->memory_bytes);
        memory += isinf(device->memory_bytes) ? 0 : device->memory_bytes;
        power += device->busy_watts;
        price += device->price_per_hour;
    }
    if (!has_memory)
        memory = INFINITY;
    for (uint32_t b = 0; status == HE_OK && b < machine->budget_count; b++) {
        const struct he_machine_budget *budget = &machine->budgets[b];
        bool of_all = budget->is_fraction;

        if (strcmp(budget->name, "memory") == 0)
            problem->limits.memory_bytes = of_all ? budget->limit * memory : budget->limit;
        else if (strcmp(budget->name, "power") == 0)
            problem->limits.power_watts = of_all ? budget->limit * power : budget->limit;
        else if (strcmp(budget->name, "price") == 0)
            problem->limits.price_per_hour = of_all ? budget->limit * price : budget->limit;
        else if (strcmp(budget->name, "latency") == 0)
            problem->limits.latency = budget->limit;
        for (size_t r = 0; r < problem->resource_count; r++) {
            struct he_place_resource *resource = &problem->resources[r];

            if (strcmp(resource->name, budget->name) == 0)
                resource->limit = of_all
                                      ? budget->limit * all_of(resource, problem->device_count)
                                      : budget->limit;
        }
    }
    return status;
}
