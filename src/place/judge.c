/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass in the placement's order: every task waits for its inputs and its
 * server, every transfer takes the first gap of its link that it fits in. What
 * does not depend on time (weights, resources, watts, price) is checked before
 * the schedule is made; live tensors after it, by a sweep over their lifetimes.
 */
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "judge.h"

static void *zeroed(struct he_judge *judge, size_t count, size_t size, bool *is_ok)
{
    void *memory = he_alloc(&judge->alloc, count, size);

    if (!memory)
        *is_ok = false;
    return memory;
}

/* Numbers the tensors that several edges carry; the rest get HE_NO_GROUP. */
static uint32_t number_shared(const struct he_problem *p, uint32_t *slots)
{
    uint32_t count = 0;

    for (uint32_t k = 0; k < p->tensor_count; k++)
        slots[k] = p->tensor_start[k + 1] - p->tensor_start[k] > 1 ? count++ : HE_NO_GROUP;
    return count;
}

static uint32_t count_groups(const struct he_problem *p)
{
    uint32_t count = 0;

    for (uint32_t t = 0; p->colocation && t < p->task_count; t++) {
        if (p->colocation[t] != HE_NO_GROUP && p->colocation[t] >= count)
            count = p->colocation[t] + 1;
    }
    return count;
}

he_status he_judge_init(struct he_judge *judge, const struct he_problem *p)
{
    size_t n = p->task_count, d = p->device_count, e = p->edge_count, pairs;
    uint32_t shared_count;
    bool is_ok = true;

    *judge = (struct he_judge){ .problem = p, .alloc = p->arena.alloc };
    if (!he_size_mul(d, d, &pairs))
        return he_no_memory();
    judge->start = zeroed(judge, n, sizeof(double), &is_ok);
    judge->finish = zeroed(judge, n, sizeof(double), &is_ok);
    judge->sent_begin = zeroed(judge, e, sizeof(double), &is_ok);
    judge->sent_finish = zeroed(judge, e, sizeof(double), &is_ok);
    judge->device_busy = zeroed(judge, d, sizeof(double), &is_ok);
    judge->weights = zeroed(judge, d, sizeof(double), &is_ok);
    judge->peak_bytes = zeroed(judge, d, sizeof(double), &is_ok);
    judge->link_used = zeroed(judge, pairs, sizeof(uint32_t), &is_ok);
    judge->is_link_used = zeroed(judge, pairs, sizeof(bool), &is_ok);
    judge->server_free = zeroed(judge, d, sizeof(double), &is_ok);
    judge->server_busy = zeroed(judge, d, sizeof(double), &is_ok);
    judge->link_busy = zeroed(judge, pairs, sizeof(double), &is_ok);
    judge->tensor_bytes = zeroed(judge, d, sizeof(double), &is_ok);
    judge->resource_used = zeroed(judge, p->resource_count, sizeof(double), &is_ok);
    judge->device_resource_used = zeroed(judge, p->resource_count, d * sizeof(double), &is_ok);
    judge->is_used = zeroed(judge, d, sizeof(bool), &is_ok);
    judge->links = zeroed(judge, pairs, sizeof(struct he_timeline), &is_ok);
    judge->shared_slot = zeroed(judge, p->tensor_count, sizeof(uint32_t), &is_ok);
    judge->copy_begin = zeroed(judge, d, sizeof(double), &is_ok);
    judge->copy_finish = zeroed(judge, d, sizeof(double), &is_ok);
    judge->copy_device = zeroed(judge, d, sizeof(uint32_t), &is_ok);
    judge->node_peak = zeroed(judge, d, sizeof(double), &is_ok);
    judge->node_live = zeroed(judge, d, sizeof(double), &is_ok);
    judge->live = zeroed(judge, d, sizeof(double), &is_ok);
    judge->group_count = count_groups(p);
    judge->group_device = zeroed(judge, judge->group_count, sizeof(uint32_t), &is_ok);
    if (is_ok) {
        shared_count = number_shared(p, judge->shared_slot);
        judge->brought_by = zeroed(judge, (size_t)shared_count * p->memory_count, sizeof(uint32_t),
                                   &is_ok);
    }
    if (!is_ok) {
        he_judge_fini(judge);
        return he_no_memory();
    }
    judge->has_memory_limit = !isinf(p->limits.memory_bytes);
    for (uint32_t j = 0; j < p->device_count; j++)
        judge->has_memory_limit |= !isinf(p->devices[j].memory_bytes);
    return HE_OK;
}

void he_judge_fini(struct he_judge *judge)
{
    struct he_allocator alloc = judge->alloc;
    size_t pairs;

    if (!judge->problem)
        return;
    pairs = (size_t)judge->problem->device_count * judge->problem->device_count;
    for (size_t k = 0; judge->links && k < pairs; k++)
        he_free(&alloc, judge->links[k].busy);
    he_free(&alloc, judge->links);
    he_free(&alloc, judge->start);
    he_free(&alloc, judge->finish);
    he_free(&alloc, judge->sent_begin);
    he_free(&alloc, judge->sent_finish);
    he_free(&alloc, judge->device_busy);
    he_free(&alloc, judge->weights);
    he_free(&alloc, judge->peak_bytes);
    he_free(&alloc, judge->link_used);
    he_free(&alloc, judge->is_link_used);
    he_free(&alloc, judge->server_free);
    he_free(&alloc, judge->server_busy);
    he_free(&alloc, judge->link_busy);
    he_free(&alloc, judge->tensor_bytes);
    he_free(&alloc, judge->resource_used);
    he_free(&alloc, judge->device_resource_used);
    he_free(&alloc, judge->is_used);
    he_free(&alloc, judge->shared_slot);
    he_free(&alloc, judge->brought_by);
    he_free(&alloc, judge->events);
    he_free(&alloc, judge->copy_begin);
    he_free(&alloc, judge->copy_finish);
    he_free(&alloc, judge->copy_device);
    he_free(&alloc, judge->node_peak);
    he_free(&alloc, judge->node_live);
    he_free(&alloc, judge->live);
    he_free(&alloc, judge->group_device);
    *judge = (struct he_judge){ 0 };
}

static bool falls_short(struct he_judge *judge, enum he_shortfall_kind kind, uint32_t task,
                        uint32_t device, size_t resource, double need, double limit)
{
    judge->shortfall = (struct he_shortfall){ kind, task, device, resource, need, limit };
    judge->figures = (struct he_figures){ INFINITY, INFINITY, INFINITY, INFINITY };
    return false;
}

/* Ability, company, weights: by task. True when all is well. */
static bool tasks_fit(struct he_judge *judge, const uint32_t *device)
{
    const struct he_problem *p = judge->problem;

    memset(judge->weights, 0, p->device_count * sizeof *judge->weights);
    memset(judge->is_used, 0, p->device_count * sizeof *judge->is_used);
    for (uint32_t g = 0; g < judge->group_count; g++)
        judge->group_device[g] = UINT32_MAX;
    for (uint32_t t = 0; t < p->task_count; t++) {
        uint32_t j = device[t];

        if (isinf(he_problem_time(p, t, j)))
            return falls_short(judge, HE_LACKS_ABILITY, t, j, 0, 0.0, 0.0);
        if (p->colocation && p->colocation[t] != HE_NO_GROUP) {
            uint32_t *home = &judge->group_device[p->colocation[t]];

            if (*home != UINT32_MAX && *home != j)
                return falls_short(judge, HE_LACKS_COMPANY, t, j, 0, 0.0, 0.0);
            *home = j;
        }
        judge->weights[j] += p->task_memory[t];
        judge->is_used[j] = true;
    }
    for (uint32_t j = 0; j < p->device_count; j++) {
        if (!he_fits(judge->weights[j], p->devices[j].memory_bytes))
            return falls_short(judge, HE_LACKS_MEMORY, 0, j, 0, judge->weights[j],
                               p->devices[j].memory_bytes);
    }
    return true;
}

static bool resources_fit(struct he_judge *judge, const uint32_t *device)
{
    const struct he_problem *p = judge->problem;

    for (size_t r = 0; r < p->resource_count; r++) {
        const struct he_place_resource *resource = &p->resources[r];
        double *by_device = judge->device_resource_used + r * p->device_count, total = 0.0;

        memset(by_device, 0, p->device_count * sizeof *by_device);
        for (uint32_t t = 0; t < p->task_count; t++)
            by_device[device[t]] += resource->amount[(size_t)t * p->device_count + device[t]];
        for (uint32_t j = 0; j < p->device_count; j++) {
            if (resource->device_limits && !he_fits(by_device[j], resource->device_limits[j]))
                return falls_short(judge, HE_LACKS_DEVICE_RESOURCE, 0, j, r, by_device[j],
                                   resource->device_limits[j]);
            total += by_device[j];
        }
        judge->resource_used[r] = total;
        if (!he_fits(total, resource->limit))
            return falls_short(judge, HE_LACKS_RESOURCE, 0, 0, r, total, resource->limit);
    }
    return true;
}

static bool limits_fit(struct he_judge *judge)
{
    const struct he_problem *p = judge->problem;
    double watts = 0.0, price = 0.0;

    for (uint32_t j = 0; j < p->device_count; j++) {
        if (judge->is_used[j]) {
            watts += p->devices[j].busy_watts;
            price += p->devices[j].price_per_hour;
        }
    }
    if (!he_fits(watts, p->limits.power_watts))
        return falls_short(judge, HE_LACKS_POWER, 0, 0, 0, watts, p->limits.power_watts);
    if (!he_fits(price, p->limits.price_per_hour))
        return falls_short(judge, HE_LACKS_PRICE, 0, 0, 0, price, p->limits.price_per_hour);
    return true;
}

/* Brings edge @e to device @to. Gives the moment of arrival in *arrival. */
static he_status send(struct he_judge *judge, uint32_t e, uint32_t from, uint32_t to,
                      double *arrival)
{
    const struct he_problem *p = judge->problem;
    size_t pair = (size_t)from * p->device_count + to;
    double ready = judge->finish[p->edges[e].from], duration, begin = ready;
    uint32_t slot = judge->shared_slot[p->edge_tensor[e]], *brought = NULL;

    if (slot != HE_NO_GROUP) {
        brought = &judge->brought_by[(size_t)slot * p->memory_count + p->devices[to].memory_node];
        if (*brought) { /* edge number plus one */
            judge->sent_begin[e] = judge->sent_begin[*brought - 1];
            judge->sent_finish[e] = *arrival = judge->sent_finish[*brought - 1];
            return HE_OK;
        }
        *brought = e + 1;
    }
    if (p->links[pair].is_free) {
        judge->sent_begin[e] = judge->sent_finish[e] = *arrival = ready;
        return HE_OK;
    }
    duration = he_problem_transfer(p, from, to, p->edges[e].bytes);
    if (p->has_contention) {
        struct he_timeline *link = &judge->links[pair];

        if (he_timeline_reserve(link, &judge->alloc) != HE_OK)
            return HE_ERR_NO_MEMORY;
        begin = he_timeline_find(link, ready, duration);
        he_timeline_take(link, begin, duration);
    }
    if (!judge->is_link_used[pair]) {
        judge->is_link_used[pair] = true;
        judge->link_used[judge->link_used_count++] = (uint32_t)pair;
    }
    judge->link_busy[pair] += duration;
    judge->figures.sum_cost += duration;
    judge->sent_begin[e] = begin;
    judge->sent_finish[e] = *arrival = begin + duration;
    if (judge->transfers)
        judge->transfers[judge->transfer_count] =
            (struct he_schedule_transfer){ e, from, to, p->edges[e].bytes, begin, begin + duration };
    judge->transfer_count++;
    return HE_OK;
}

/* The in-edges of a task in the order their tensors are ready, so that links are used in
 * that order; very long lists stay in numbering order, which is nearly the same. */
#define SORTED_INPUTS 32
static uint32_t sort_inputs(const struct he_judge *judge, uint32_t task, uint32_t *sorted)
{
    const struct he_problem *p = judge->problem;
    uint32_t first = p->in_start[task], count = p->in_start[task + 1] - first;

    for (uint32_t k = 0; k < count; k++) {
        uint32_t e = p->in_edges[first + k], at = k;
        double ready = judge->finish[p->edges[e].from];

        for (; at > 0 && judge->finish[p->edges[sorted[at - 1]].from] > ready; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = e;
    }
    return count;
}

/* @is_booked: the task's transfers are already on their links. */
static he_status schedule_task(struct he_judge *judge, const uint32_t *device, uint32_t task,
                               bool is_booked)
{
    const struct he_problem *p = judge->problem;
    uint32_t j = device[task], server = p->devices[j].server, sorted[SORTED_INPUTS];
    uint32_t count = p->in_start[task + 1] - p->in_start[task];
    const uint32_t *inputs = &p->in_edges[p->in_start[task]];
    double begin = judge->server_free[server], duration = he_problem_time(p, task, j);
    bool starts_region = count == 0;

    if (!is_booked && count > 1 && count <= SORTED_INPUTS) {
        sort_inputs(judge, task, sorted);
        inputs = sorted;
    }
    for (uint32_t k = 0; k < count; k++) {
        uint32_t e = inputs[k], from = device[p->edges[e].from];
        double arrival = judge->finish[p->edges[e].from];

        if (from != j) {
            starts_region = true;
            if (is_booked)
                arrival = judge->sent_finish[e];
            else if (p->devices[from].memory_node != p->devices[j].memory_node &&
                     send(judge, e, from, j, &arrival) != HE_OK)
                return HE_ERR_NO_MEMORY;
        }
        if (arrival > begin)
            begin = arrival;
    }
    if (starts_region && p->launch)
        duration += p->launch[j] - (count == 0 && p->waking ? p->waking[j] : 0.0);
    judge->start[task] = begin;
    judge->finish[task] = begin + duration;
    judge->server_free[server] = begin + duration;
    judge->server_busy[server] += duration;
    judge->device_busy[j] += duration;
    judge->figures.sum_cost += duration;
    if (begin + duration > judge->figures.makespan)
        judge->figures.makespan = begin + duration;
    return HE_OK;
}

/* What devices without copy engines do beside their tasks: a tensor leaves its device once when
 * any other reads it, and enters each device that reads it once. */
static void add_copies(struct he_judge *judge, const uint32_t *device)
{
    const struct he_problem *p = judge->problem;

    memset(judge->copy_device, 0xff, p->device_count * sizeof *judge->copy_device);
    for (uint32_t k = 0; k < p->tensor_count; k++) {
        const struct he_place_edge *first = &p->edges[p->out_edges[p->tensor_start[k]]];
        uint32_t home = device[first->from];

        for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
            uint32_t to = device[p->edges[p->out_edges[i]].to];

            if (p->devices[to].memory_node == p->devices[home].memory_node ||
                judge->copy_device[to] == k)
                continue;
            judge->copy_device[to] = k;
            judge->server_busy[p->devices[to].server] += he_problem_copy(p, to, first->bytes);
            if (judge->copy_device[home] != k)
                judge->server_busy[p->devices[home].server] +=
                    he_problem_copy(p, home, first->bytes);
            judge->copy_device[home] = k;
        }
    }
}

static void finish_figures(struct he_judge *judge)
{
    const struct he_problem *p = judge->problem;
    struct he_figures *f = &judge->figures;

    for (uint32_t s = 0; s < p->server_count; s++) {
        if (judge->server_busy[s] > f->bottleneck)
            f->bottleneck = judge->server_busy[s];
    }
    /* A link without contention takes any number of transfers at once: it limits nothing. */
    for (size_t k = 0; p->has_contention && k < judge->link_used_count; k++) {
        if (judge->link_busy[judge->link_used[k]] > f->bottleneck)
            f->bottleneck = judge->link_busy[judge->link_used[k]];
    }
    for (uint32_t j = 0; j < p->device_count; j++)
        f->energy += p->devices[j].idle_watts * f->makespan +
                     (p->devices[j].busy_watts - p->devices[j].idle_watts) * judge->device_busy[j];
}

/* --- Live tensors --- */

static int compare_events(const void *left, const void *right)
{
    const struct he_live_event *a = left, *b = right;

    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    /* What is freed at a moment makes room for what is made then. */
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? -1 : 1;
    return a->device < b->device ? -1 : a->device > b->device;
}

static size_t add_life(struct he_judge *judge, size_t count, uint32_t device, double bytes,
                       double begin, double finish)
{
    judge->events[count++] = (struct he_live_event){ begin, bytes, device };
    judge->events[count++] = (struct he_live_event){ finish, -bytes, device };
    return count;
}

/* Where and how long tensor @k lives: at home until its last reader there and its last
 * transfer are done, and once in every other memory that reads it. */
static size_t add_tensor(struct he_judge *judge, const uint32_t *device, uint32_t k, size_t count)
{
    const struct he_problem *p = judge->problem;
    uint32_t first = p->out_edges[p->tensor_start[k]], from = p->edges[first].from;
    uint32_t home = p->devices[device[from]].memory_node;
    double bytes = p->edges[first].bytes, home_finish = judge->finish[from];

    for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++)
        judge->copy_device[p->devices[device[p->edges[p->out_edges[i]].to]].memory_node] =
            UINT32_MAX;
    for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
        uint32_t e = p->out_edges[i], to = p->edges[e].to;
        uint32_t node = p->devices[device[to]].memory_node;
        double until = node == home ? judge->finish[to] : judge->sent_finish[e];

        if (until > home_finish)
            home_finish = until;
        if (node == home)
            continue;
        if (judge->copy_device[node] == UINT32_MAX) {
            uint32_t slot = judge->shared_slot[k], by = e;

            /* On the books of whoever had it brought. */
            if (slot != HE_NO_GROUP)
                by = judge->brought_by[(size_t)slot * p->memory_count + node] - 1;
            judge->copy_device[node] = device[p->edges[by].to];
            judge->copy_begin[node] = judge->sent_begin[e];
            judge->copy_finish[node] = judge->finish[to];
        } else if (judge->finish[to] > judge->copy_finish[node]) {
            judge->copy_finish[node] = judge->finish[to];
        }
    }
    for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
        uint32_t node = p->devices[device[p->edges[p->out_edges[i]].to]].memory_node;

        if (node == home || judge->copy_device[node] == UINT32_MAX)
            continue;
        count = add_life(judge, count, judge->copy_device[node], bytes, judge->copy_begin[node],
                         judge->copy_finish[node]);
        judge->copy_device[node] = UINT32_MAX;
    }
    return add_life(judge, count, device[from], bytes, judge->start[from], home_finish);
}

/* True when every tensor at once would fit beside the weights: then their order is no matter. */
static bool is_roomy(struct he_judge *judge, const uint32_t *device)
{
    const struct he_problem *p = judge->problem;

    if (!judge->has_memory_limit)
        return true;
    if (p->memory_count < p->device_count || !isinf(p->limits.memory_bytes))
        return false; /* sums over several devices: let the sweep tell */
    if (p->ignores_tensors)
        return true;
    memcpy(judge->tensor_bytes, judge->weights, p->device_count * sizeof *judge->tensor_bytes);
    for (uint32_t e = 0; e < p->edge_count; e++) {
        uint32_t from = device[p->edges[e].from], to = device[p->edges[e].to];

        judge->tensor_bytes[from] += p->edges[e].bytes;
        if (from != to)
            judge->tensor_bytes[to] += p->edges[e].bytes;
    }
    for (uint32_t j = 0; j < p->device_count; j++) {
        if (judge->tensor_bytes[j] > p->devices[j].memory_bytes)
            return false;
    }
    return true;
}

static he_status sweep(struct he_judge *judge, const uint32_t *device)
{
    const struct he_problem *p = judge->problem;
    size_t count = 0, most = 2 * ((size_t)p->edge_count + p->tensor_count);

    memcpy(judge->peak_bytes, judge->weights, p->device_count * sizeof *judge->peak_bytes);
    memset(judge->live, 0, p->device_count * sizeof *judge->live);
    memset(judge->node_live, 0, p->device_count * sizeof *judge->node_live);
    for (uint32_t j = 0; j < p->device_count; j++)
        judge->node_live[p->devices[j].memory_node] += judge->weights[j];
    memcpy(judge->node_peak, judge->node_live, p->device_count * sizeof *judge->node_peak);
    if (p->ignores_tensors)
        return HE_OK;
    if (he_alloc_grow(&judge->alloc, (void **)&judge->events, &judge->event_capacity, 0, most,
                      sizeof *judge->events) != HE_OK)
        return HE_ERR_NO_MEMORY;
    for (uint32_t k = 0; k < p->tensor_count; k++)
        count = add_tensor(judge, device, k, count);
    if (count > 1)
        qsort(judge->events, count, sizeof *judge->events, compare_events);
    for (size_t k = 0; k < count; k++) {
        uint32_t j = judge->events[k].device, node = p->devices[j].memory_node;

        judge->live[j] += judge->events[k].bytes;
        judge->node_live[node] += judge->events[k].bytes;
        if (judge->weights[j] + judge->live[j] > judge->peak_bytes[j])
            judge->peak_bytes[j] = judge->weights[j] + judge->live[j];
        if (judge->node_live[node] > judge->node_peak[node])
            judge->node_peak[node] = judge->node_live[node];
    }
    return HE_OK;
}

static void check_peaks(struct he_judge *judge)
{
    const struct he_problem *p = judge->problem;
    double total = 0.0;

    for (uint32_t j = 0; j < p->device_count; j++) {
        total += judge->peak_bytes[j];
        if (!he_fits(judge->peak_bytes[j], p->devices[j].memory_bytes)) {
            falls_short(judge, HE_LACKS_MEMORY, 0, j, 0,
                        judge->peak_bytes[j], p->devices[j].memory_bytes);
            return;
        }
    }
    for (uint32_t j = 0; j < p->device_count; j++) {
        uint32_t node = p->devices[j].memory_node;
        double room = 0.0;

        for (uint32_t k = 0; k < p->device_count; k++) {
            if (p->devices[k].memory_node == node && p->devices[k].memory_bytes > room)
                room = p->devices[k].memory_bytes;
        }
        if (!he_fits(judge->node_peak[node], room)) {
            falls_short(judge, HE_LACKS_SHARED_MEMORY, 0, j, 0,
                        judge->node_peak[node], room);
            return;
        }
    }
    if (!he_fits(total, p->limits.memory_bytes))
        falls_short(judge, HE_LACKS_TOTAL_MEMORY, 0, 0, 0, total, p->limits.memory_bytes);
}

/* --- The run --- */

static void clear(struct he_judge *judge)
{
    const struct he_problem *p = judge->problem;

    for (size_t k = 0; k < judge->link_used_count; k++) {
        judge->links[judge->link_used[k]].count = 0;
        judge->link_busy[judge->link_used[k]] = 0.0;
        judge->is_link_used[judge->link_used[k]] = false;
    }
    judge->link_used_count = 0;
    judge->transfer_count = 0;
    judge->figures = (struct he_figures){ 0 };
    judge->shortfall = (struct he_shortfall){ HE_FITS, 0, 0, 0, 0.0, 0.0 };
    memset(judge->server_free, 0, p->device_count * sizeof *judge->server_free);
    memset(judge->server_busy, 0, p->device_count * sizeof *judge->server_busy);
    memset(judge->device_busy, 0, p->device_count * sizeof *judge->device_busy);
    for (uint32_t k = 0; k < p->tensor_count; k++) {
        if (judge->shared_slot[k] != HE_NO_GROUP)
            memset(&judge->brought_by[(size_t)judge->shared_slot[k] * p->memory_count], 0,
                   p->memory_count * sizeof *judge->brought_by);
    }
}

static he_status book(struct he_judge *judge, const uint32_t *device, uint32_t e)
{
    const struct he_problem *p = judge->problem;
    uint32_t from = device[p->edges[e].from], to = device[p->edges[e].to];
    double arrival;

    judge->sent_begin[e] = judge->sent_finish[e] = judge->finish[p->edges[e].from];
    return p->devices[from].memory_node == p->devices[to].memory_node
               ? HE_OK
               : send(judge, e, from, to, &arrival);
}

static he_status schedule(struct he_judge *judge, const uint32_t *device, const uint32_t *order,
                          const uint32_t *items)
{
    const struct he_problem *p = judge->problem;
    size_t count = items ? (size_t)p->task_count + p->edge_count : p->task_count;

    for (size_t k = 0; k < count; k++) {
        uint32_t item = items ? items[k] : order[k];

        if ((item < p->task_count ? schedule_task(judge, device, item, items != NULL)
                                  : book(judge, device, item - p->task_count)) != HE_OK)
            return HE_ERR_NO_MEMORY;
    }
    return HE_OK;
}

he_status he_judge_run(struct he_judge *judge, const uint32_t *device, const uint32_t *order,
                       bool want_peaks)
{
    return he_judge_run_items(judge, device, order, NULL, want_peaks);
}

he_status he_judge_run_items(struct he_judge *judge, const uint32_t *device,
                             const uint32_t *order, const uint32_t *items, bool want_peaks)
{
    clear(judge);
    if (!tasks_fit(judge, device) || !resources_fit(judge, device) || !limits_fit(judge))
        return HE_OK;
    if (schedule(judge, device, order, items) != HE_OK)
        return HE_ERR_NO_MEMORY;
    if (judge->problem->has_copies)
        add_copies(judge, device);
    finish_figures(judge);
    if (!want_peaks && is_roomy(judge, device))
        return HE_OK;
    if (sweep(judge, device) != HE_OK)
        return HE_ERR_NO_MEMORY;
    check_peaks(judge);
    return HE_OK;
}

void he_judge_hold_latency(struct he_judge *judge)
{
    double limit = judge->problem->limits.latency;

    if (judge->shortfall.kind == HE_FITS && !he_fits(judge->figures.makespan, limit))
        falls_short(judge, HE_LACKS_SPEED, 0, 0, 0, judge->figures.makespan, limit);
}
