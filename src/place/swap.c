/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Swap moves: for two devices, the best split of everything that is on either of
 * them, all else fixed, is a minimum cut (Boykov, Veksler, Zabih 2001). With two
 * devices in all and no limits the answer is the optimum. A tensor with several
 * readers gets a node of its own per direction, so that it is paid once.
 * The source's side of the cut is device a, the sink's side is device b.
 */
#include <string.h>

#include "minsum.h"

struct split {
    struct he_min_sum *sum;
    uint32_t a, b;
    uint32_t extra; /* the next node for a tensor */
    double certain; /* a capacity no cut pays */
};

static uint32_t node_of(const struct split *s, uint32_t task)
{
    return s->sum->node_of_unit[s->sum->units->of[task]];
}

static double transfer(const struct split *s, uint32_t from, uint32_t to, double bytes)
{
    return s->sum->transfer_scale * he_problem_transfer(s->sum->units->problem, from, to, bytes);
}

/* Cost @at_a when @node is on a, @at_b when it is on b. */
static he_status add_unary(struct split *s, uint32_t node, double at_a, double at_b)
{
    double common = at_a < at_b ? at_a : at_b;

    if (at_a > common && he_flow_add(&s->sum->flow, node, HE_FLOW_SINK, at_a - common, 0.0) != HE_OK)
        return HE_ERR_NO_MEMORY;
    if (at_b > common)
        return he_flow_add(&s->sum->flow, HE_FLOW_SOURCE, node, at_b - common, 0.0);
    return HE_OK;
}

/* @from and every reader of tensor @k that may move; paid once per direction. */
static he_status add_movable_readers(struct split *s, uint32_t k, uint32_t producer, double bytes)
{
    const struct he_problem *p = s->sum->units->problem;
    double to_b = transfer(s, s->a, s->b, bytes), to_a = transfer(s, s->b, s->a, bytes);
    uint32_t there = s->extra, back = s->extra + 1, readers = 0, only = 0;

    for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
        uint32_t node = node_of(s, p->edges[p->out_edges[i]].to);

        if (node != UINT32_MAX && node != producer) {
            readers++;
            only = node;
        }
    }
    if (readers == 0)
        return HE_OK;
    if (readers == 1)
        return he_flow_add(&s->sum->flow, producer, only, to_b, to_a);
    s->extra += 2;
    if (he_flow_add(&s->sum->flow, producer, there, to_b, 0.0) != HE_OK ||
        he_flow_add(&s->sum->flow, back, producer, to_a, 0.0) != HE_OK)
        return HE_ERR_NO_MEMORY;
    for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
        uint32_t node = node_of(s, p->edges[p->out_edges[i]].to);

        if (node == UINT32_MAX || node == producer)
            continue;
        if (he_flow_add(&s->sum->flow, there, node, s->certain, 0.0) != HE_OK ||
            he_flow_add(&s->sum->flow, node, back, s->certain, 0.0) != HE_OK)
            return HE_ERR_NO_MEMORY;
    }
    return HE_OK;
}

/* The producer may move: readers elsewhere make one of its two places dearer. */
static he_status add_fixed_readers(struct split *s, uint32_t k, uint32_t producer, double bytes)
{
    struct he_min_sum *sum = s->sum;
    const struct he_problem *p = sum->units->problem;
    double at_a = 0.0, at_b = 0.0;

    sum->node_stamp_now++;
    for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
        uint32_t to = p->edges[p->out_edges[i]].to, device = sum->device[sum->units->of[to]];
        uint32_t memory = p->devices[device].memory_node;

        if (node_of(s, to) != UINT32_MAX || sum->node_stamp[memory] == sum->node_stamp_now)
            continue;
        sum->node_stamp[memory] = sum->node_stamp_now;
        at_a += transfer(s, s->a, device, bytes);
        at_b += transfer(s, s->b, device, bytes);
    }
    return add_unary(s, producer, at_a, at_b);
}

/* The producer is fixed on @from: its movable readers pay on each side, once. */
static he_status add_fixed_producer(struct split *s, uint32_t k, uint32_t from, double bytes)
{
    struct he_min_sum *sum = s->sum;
    const struct he_problem *p = sum->units->problem;
    double at_a = transfer(s, from, s->a, bytes), at_b = transfer(s, from, s->b, bytes);
    uint32_t readers = 0, only = 0;

    for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
        uint32_t to = p->edges[p->out_edges[i]].to, device = sum->device[sum->units->of[to]];

        if (node_of(s, to) != UINT32_MAX) {
            readers++;
            only = node_of(s, to);
            continue;
        }
        /* Somebody else has it brought there anyhow. */
        if (p->devices[device].memory_node == p->devices[s->a].memory_node)
            at_a = 0.0;
        if (p->devices[device].memory_node == p->devices[s->b].memory_node)
            at_b = 0.0;
    }
    if (readers <= 1)
        return readers ? add_unary(s, only, at_a, at_b) : HE_OK;
    if (he_flow_add(&sum->flow, s->extra, HE_FLOW_SINK, at_a, 0.0) != HE_OK ||
        he_flow_add(&sum->flow, HE_FLOW_SOURCE, s->extra + 1, at_b, 0.0) != HE_OK)
        return HE_ERR_NO_MEMORY;
    for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
        uint32_t node = node_of(s, p->edges[p->out_edges[i]].to);

        if (node == UINT32_MAX)
            continue;
        if (he_flow_add(&sum->flow, node, s->extra, s->certain, 0.0) != HE_OK ||
            he_flow_add(&sum->flow, s->extra + 1, node, s->certain, 0.0) != HE_OK)
            return HE_ERR_NO_MEMORY;
    }
    s->extra += 2;
    return HE_OK;
}

static he_status add_tensor(struct split *s, uint32_t k)
{
    const struct he_problem *p = s->sum->units->problem;
    const struct he_place_edge *e = &p->edges[p->out_edges[p->tensor_start[k]]];
    uint32_t producer = node_of(s, e->from);
    he_status status;

    s->sum->work += p->tensor_start[k + 1] - p->tensor_start[k];
    if (producer == UINT32_MAX)
        return add_fixed_producer(s, k, s->sum->device[s->sum->units->of[e->from]], e->bytes);
    status = add_movable_readers(s, k, producer, e->bytes);
    return status == HE_OK ? add_fixed_readers(s, k, producer, e->bytes) : status;
}

/* Launches as if every input paid its share: exact for chains. */
static he_status add_launches(struct split *s, uint32_t task)
{
    struct he_min_sum *sum = s->sum;
    const struct he_problem *p = sum->units->problem;
    uint32_t count = p->in_start[task + 1] - p->in_start[task], node = node_of(s, task);
    double at_a = sum->launch_scale * p->launch[s->a], at_b = sum->launch_scale * p->launch[s->b];

    if (node == UINT32_MAX)
        return HE_OK;
    if (count == 0)
        return add_unary(s, node, at_a, at_b);
    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        uint32_t from = node_of(s, p->edges[p->in_edges[k]].from);
        he_status status = HE_OK;

        if (from == UINT32_MAX)
            status = add_unary(s, node, at_a / count, at_b / count);
        else if (from != node)
            status = he_flow_add(&sum->flow, from, node, at_b / count, at_a / count);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

/* Builds the graph of the two devices; *count is how many units may move. */
static he_status build(struct split *s, uint32_t *count)
{
    struct he_min_sum *sum = s->sum;
    const struct he_units *u = sum->units;
    const struct he_problem *p = u->problem;
    he_status status;

    *count = 0;
    s->certain = 1.0;
    for (uint32_t k = 0; k < u->count; k++) {
        bool may_move = (sum->device[k] == s->a || sum->device[k] == s->b) &&
                        !isinf(he_unit_time(u, k, s->a)) && !isinf(he_unit_time(u, k, s->b));

        sum->node_of_unit[k] = may_move ? 2 + (*count)++ : UINT32_MAX;
    }
    if (*count == 0)
        return HE_OK;
    s->extra = 2 + *count;
    for (uint32_t k = 0; k < p->tensor_count; k++) {
        const struct he_place_edge *e = &p->edges[p->out_edges[p->tensor_start[k]]];

        s->certain += transfer(s, s->a, s->b, e->bytes) + transfer(s, s->b, s->a, e->bytes);
    }
    status = he_flow_reset(&sum->flow, s->extra + 2 * p->tensor_count);
    for (uint32_t k = 0; status == HE_OK && k < u->count; k++) {
        const double *unary = sum->unary + (size_t)k * p->device_count;

        if (sum->node_of_unit[k] != UINT32_MAX)
            status = add_unary(s, sum->node_of_unit[k], unary[s->a], unary[s->b]);
    }
    for (uint32_t k = 0; status == HE_OK && k < p->tensor_count; k++)
        status = add_tensor(s, k);
    for (uint32_t t = 0; status == HE_OK && sum->launch_scale != 0.0 && t < p->task_count; t++)
        status = add_launches(s, t);
    return status;
}

static he_status swap_pair(struct split *s, uint64_t work_limit, bool *is_better)
{
    struct he_min_sum *sum = s->sum;
    const struct he_units *u = sum->units;
    double before = sum->value;
    uint32_t count;
    he_status status = build(s, &count);

    if (status != HE_OK || count == 0)
        return status;
    if (!he_flow_cut(&sum->flow, work_limit))
        return HE_OK;
    memcpy(sum->saved, sum->device, u->count * sizeof *sum->saved);
    for (uint32_t k = 0; k < u->count; k++) {
        if (sum->node_of_unit[k] != UINT32_MAX)
            sum->device[k] = he_flow_is_source_side(&sum->flow, sum->node_of_unit[k]) ? s->a : s->b;
    }
    he_min_sum_set(sum, sum->device);
    if (sum->value < before - 1e-12 * before && (sum->is_relaxed || he_min_sum_is_within(sum)))
        *is_better = true;
    else
        he_min_sum_set(sum, sum->saved);
    return HE_OK;
}

he_status he_min_sum_swap(struct he_min_sum *sum, uint64_t work_limit, bool *is_better)
{
    uint32_t d = sum->units->problem->device_count;
    uint64_t end = sum->flow.work + work_limit;
    struct split s = { .sum = sum };

    *is_better = false;
    for (s.a = 0; s.a < d; s.a++) {
        for (s.b = s.a + 1; s.b < d && sum->flow.work < end; s.b++) {
            he_status status = swap_pair(&s, end - sum->flow.work, is_better);

            if (status != HE_OK)
                return status;
            sum->flow.work += sum->units->count; /* also when there is little to cut */
        }
    }
    return HE_OK;
}
