/* SPDX-License-Identifier: Apache-2.0 */
/* A machine in the placement problem's terms: devices, links, budgets. */
#include <math.h>
#include <string.h>

#include "cost/cost.h"

/* Devices that `shares:` the same silicon are one server; the same memory is one node. */
static void describe_each(const struct he_machine *machine, struct he_problem *problem)
{
    for (uint32_t d = 0; d < machine->device_count; d++) {
        const struct he_machine_device *device = &machine->devices[d];
        struct he_place_device *to = &problem->devices[d];
        double limit = (double)device->memory_bytes;

        if (device->kind == HE_KIND_GPU)
            limit *= machine->settings.gpu_mem_threshold;
        *to = (struct he_place_device){
            .id = device->id,
            .kind = he_device_kind_name(device->kind),
            .memory_bytes = device->memory_bytes ? limit : INFINITY,
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

/* Budgets of the settings; a resource that no device here has is no limit to anything. */
void he_cost_describe_budgets(const struct he_machine *machine, struct he_problem *problem)
{
    for (uint32_t b = 0; b < machine->budget_count; b++) {
        const struct he_machine_budget *budget = &machine->budgets[b];
        double memory = 0, power = 0, price = 0;

        for (uint32_t d = 0; d < machine->device_count; d++) {
            memory += (double)machine->devices[d].memory_bytes;
            power += machine->devices[d].busy_watts;
            price += machine->devices[d].price_per_hour;
        }
        if (strcmp(budget->name, "memory") == 0)
            problem->limits.memory_bytes = budget->limit * (budget->is_fraction ? memory : 1);
        else if (strcmp(budget->name, "power") == 0)
            problem->limits.power_watts = budget->limit * (budget->is_fraction ? power : 1);
        else if (strcmp(budget->name, "price") == 0)
            problem->limits.price_per_hour = budget->limit * (budget->is_fraction ? price : 1);
        for (size_t r = 0; r < problem->resource_count; r++) {
            if (strcmp(problem->resources[r].name, budget->name) == 0 && !budget->is_fraction)
                problem->resources[r].limit = budget->limit;
        }
    }
}
