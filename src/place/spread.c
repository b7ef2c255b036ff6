/* SPDX-License-Identifier: Apache-2.0 */
/* Loads with counts of readers; see spread.h for what counts as a load. */
#include <string.h>

#include "spread.h"

bool he_spread_covers(const struct he_problem *p)
{
    size_t pairs = (size_t)p->device_count * p->device_count;

    if (p->resource_count || p->memory_count < p->device_count ||
        !isinf(p->limits.memory_bytes) || !isinf(p->limits.power_watts) ||
        !isinf(p->limits.price_per_hour))
        return false;
    for (size_t k = 0; p->has_contention && k < pairs; k++) {
        if (!p->links[k].is_free && k / p->device_count != k % p->device_count)
            return false;
    }
    for (uint32_t j = 0; p->launch && j < p->device_count; j++) {
        if (p->launch[j] > 0.0)
            return false;
    }
    return true;
}

he_status he_spread_init(struct he_spread *s, const struct he_nets *nets, struct he_arena *arena)
{
    const struct he_problem *p = nets->problem;
    uint32_t d = p->device_count;

    *s = (struct he_spread){ .nets = nets, .device_count = d, .room = p->weight_limit };
    s->device = he_arena_alloc(arena, nets->part_count, sizeof *s->device);
    s->readers = he_arena_alloc(arena, nets->net_count, d * sizeof *s->readers);
    s->places = he_arena_alloc(arena, nets->net_count, sizeof *s->places);
    s->copy = he_arena_alloc(arena, nets->net_count, d * sizeof *s->copy);
    s->load = he_arena_alloc(arena, p->server_count, sizeof *s->load);
    s->memory = he_arena_alloc(arena, d, sizeof *s->memory);
    if (!s->device || !s->readers || !s->places || !s->copy || !s->load || !s->memory)
        return he_no_memory();
    for (uint32_t n = 0; n < nets->net_count; n++) {
        for (uint32_t j = 0; j < d; j++)
            s->copy[(size_t)n * d + j] = he_net_seconds(nets, &nets->nets[n], j);
    }
    return HE_OK;
}

static bool is_read_elsewhere(const struct he_spread *s, uint32_t net, uint32_t home)
{
    return s->places[net] > (s->readers[(size_t)net * s->device_count + home] > 0 ? 1u : 0u);
}

void he_spread_set(struct he_spread *s, const uint32_t *device)
{
    const struct he_nets *nets = s->nets;
    const struct he_problem *p = nets->problem;
    uint32_t d = s->device_count;

    if (s->device != device)
        memcpy(s->device, device, nets->part_count * sizeof *device);
    memset(s->readers, 0, (size_t)nets->net_count * d * sizeof *s->readers);
    memset(s->places, 0, nets->net_count * sizeof *s->places);
    memset(s->load, 0, p->server_count * sizeof *s->load);
    memset(s->memory, 0, d * sizeof *s->memory);
    for (uint32_t u = 0; u < nets->part_count; u++) {
        s->load[p->devices[s->device[u]].server] += nets->time[(size_t)u * d + s->device[u]];
        s->memory[s->device[u]] += nets->memory[u];
    }
    for (uint32_t n = 0; n < nets->net_count; n++) {
        const struct he_net *net = &nets->nets[n];
        uint32_t *readers = s->readers + (size_t)n * d, home = s->device[net->home];

        for (uint32_t i = net->first; i < net->first + net->count; i++)
            s->places[n] += readers[s->device[nets->readers[i]]]++ == 0;
        for (uint32_t j = 0; j < d; j++) {
            if (j != home && readers[j] > 0)
                s->load[p->devices[j].server] += s->copy[(size_t)n * d + j];
        }
        if (is_read_elsewhere(s, n, home))
            s->load[p->devices[home].server] += s->copy[(size_t)n * d + home];
    }
}

void he_spread_try(const struct he_spread *s, uint32_t part, uint32_t to, double *load)
{
    const struct he_nets *nets = s->nets;
    const struct he_place_device *devices = nets->problem->devices;
    uint32_t d = s->device_count, from = s->device[part];
    double leaves = -nets->time[(size_t)part * d + from], comes = nets->time[(size_t)part * d + to];

    memcpy(load, s->load, nets->problem->server_count * sizeof *load);
    for (uint32_t i = nets->at_start[part]; i < nets->at_start[part + 1]; i++) {
        uint32_t n = nets->at[i], home = s->device[nets->nets[n].home];
        const uint32_t *readers = s->readers + (size_t)n * d;
        const double *copy = s->copy + (size_t)n * d;
        uint32_t places = s->places[n];

        if (nets->nets[n].home == part) {
            leaves -= places > (readers[from] > 0) ? copy[from] : 0.0;
            leaves += readers[from] > 0 ? copy[from] : 0.0;
            comes -= readers[to] > 0 ? copy[to] : 0.0;
            comes += places > (readers[to] > 0) ? copy[to] : 0.0;
        } else {
            bool goes = readers[from] == 1, is_new = readers[to] == 0;
            bool was_sent = places > (readers[home] > 0), is_sent;
            bool at_home = home == from ? !goes : home == to ? true : readers[home] > 0;

            if (from != home && goes)
                leaves -= copy[from];
            if (to != home && is_new)
                comes += copy[to];
            is_sent = places - goes + is_new > at_home;
            if (was_sent != is_sent)
                load[devices[home].server] += is_sent ? copy[home] : -copy[home];
        }
    }
    load[devices[from].server] += leaves;
    load[devices[to].server] += comes;
}

void he_spread_move(struct he_spread *s, uint32_t part, uint32_t to, const double *load)
{
    const struct he_nets *nets = s->nets;
    uint32_t d = s->device_count, from = s->device[part];

    memcpy(s->load, load, nets->problem->server_count * sizeof *load);
    s->memory[from] -= nets->memory[part];
    s->memory[to] += nets->memory[part];
    for (uint32_t i = nets->at_start[part]; i < nets->at_start[part + 1]; i++) {
        uint32_t n = nets->at[i], *readers = s->readers + (size_t)n * d;

        if (nets->nets[n].home == part)
            continue;
        s->places[n] -= --readers[from] == 0;
        s->places[n] += readers[to]++ == 0;
    }
    s->device[part] = to;
}

double he_spread_most(const struct he_spread *s)
{
    double most = 0.0;

    for (uint32_t k = 0; k < s->nets->problem->server_count; k++)
        most = fmax(most, s->load[k]);
    return most;
}
