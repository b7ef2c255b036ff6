/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a least-sum search: value, what a move changes, and the plain descents. */
#include <string.h>

#include "judge.h"
#include "minsum.h"

/* True when everything on any one device would keep to every limit. */
static bool limits_cannot_bind(const struct he_units *u)
{
    const struct he_problem *p = u->problem;
    double memory = 0.0;

    for (size_t r = 0; r < p->resource_count; r++) {
        double most = 0.0;

        for (uint32_t k = 0; k < u->count; k++) {
            double largest = 0.0;

            for (uint32_t j = 0; j < p->device_count; j++)
                largest = fmax(largest, u->amount[(k * p->resource_count + r) * p->device_count + j]);
            most += largest;
        }
        if (!he_fits(most, p->resources[r].limit))
            return false;
        for (uint32_t j = 0; p->resources[r].device_limits && j < p->device_count; j++) {
            if (!he_fits(most, p->resources[r].device_limits[j]))
                return false;
        }
    }
    for (uint32_t k = 0; k < u->count; k++)
        memory += u->memory[k];
    for (uint32_t j = 0; j < p->device_count; j++) {
        if (!he_fits(memory, p->weight_limit[j]))
            return false;
    }
    return true;
}

he_status he_min_sum_init(struct he_min_sum *s, const struct he_units *u, const double *unary,
                          double transfer_scale, double launch_scale, struct he_arena *arena)
{
    const struct he_problem *p = u->problem;

    *s = (struct he_min_sum){ .units = u,
                              .unary = unary,
                              .transfer_scale = transfer_scale,
                              .launch_scale = 0.0,
                              .is_unlimited = limits_cannot_bind(u) };
    for (uint32_t j = 0; p->launch && j < p->device_count; j++)
        s->launch_scale = p->launch[j] > 0.0 ? launch_scale : s->launch_scale;
    he_flow_init(&s->flow, &p->arena.alloc);
    s->device = he_arena_alloc(arena, u->count, sizeof(uint32_t));
    s->tensor_stamp = he_arena_alloc(arena, p->tensor_count, sizeof(uint64_t));
    s->task_stamp = he_arena_alloc(arena, p->task_count, sizeof(uint64_t));
    s->node_stamp = he_arena_alloc(arena, p->memory_count, sizeof(uint64_t));
    s->unit_stamp = he_arena_alloc(arena, u->count, sizeof(uint64_t));
    s->node_of_unit = he_arena_alloc(arena, u->count, sizeof(uint32_t));
    s->members = he_arena_alloc(arena, u->count, sizeof(uint32_t));
    s->saved = he_arena_alloc(arena, u->count, sizeof(uint32_t));
    s->queue = he_arena_alloc(arena, u->count, sizeof(uint32_t));
    s->is_queued = he_arena_alloc(arena, u->count, sizeof(bool));
    if (!s->device || !s->tensor_stamp || !s->task_stamp || !s->node_stamp || !s->unit_stamp ||
        !s->node_of_unit || !s->members || !s->saved || !s->queue ||
        !s->is_queued)
        return he_no_memory();
    return he_load_init(&s->load, u, arena);
}

void he_min_sum_fini(struct he_min_sum *s)
{
    if (s->units)
        he_flow_fini(&s->flow);
}

/* A tensor is paid once per memory it goes to. */
double he_min_sum_tensor(struct he_min_sum *s, uint32_t k)
{
    const struct he_problem *p = s->units->problem;
    const uint32_t *of = s->units->of;
    uint32_t first = p->tensor_start[k], last = p->tensor_start[k + 1];
    const struct he_place_edge *e = &p->edges[p->out_edges[first]];
    uint32_t home = s->device[of[e->from]];
    double sum = 0.0;

    s->work += last - first;
    if (last - first == 1)
        return s->transfer_scale * he_problem_transfer(p, home, s->device[of[e->to]], e->bytes);
    s->node_stamp_now++;
    for (uint32_t i = first; i < last; i++) {
        uint32_t to = s->device[of[p->edges[p->out_edges[i]].to]];
        uint32_t node = p->devices[to].memory_node;

        if (to == home || s->node_stamp[node] == s->node_stamp_now)
            continue;
        s->node_stamp[node] = s->node_stamp_now;
        sum += he_problem_transfer(p, home, to, e->bytes);
    }
    return s->transfer_scale * sum;
}

double he_min_sum_launch(const struct he_min_sum *s, uint32_t task)
{
    const struct he_problem *p = s->units->problem;
    uint32_t j = s->device[s->units->of[task]];
    bool starts_region = false;

    if (p->in_start[task] == p->in_start[task + 1])
        return s->launch_scale * (p->launch[j] - (p->waking ? p->waking[j] : 0.0));
    for (uint32_t k = p->in_start[task]; !starts_region && k < p->in_start[task + 1]; k++)
        starts_region = s->device[s->units->of[p->edges[p->in_edges[k]].from]] != j;
    return starts_region ? s->launch_scale * p->launch[j] : 0.0;
}

static double add_launch_once(struct he_min_sum *s, uint32_t task)
{
    if (s->task_stamp[task] == s->stamp)
        return 0.0;
    s->task_stamp[task] = s->stamp;
    return he_min_sum_launch(s, task);
}

static double add_tensor_once(struct he_min_sum *s, uint32_t tensor)
{
    if (s->tensor_stamp[tensor] == s->stamp)
        return 0.0;
    s->tensor_stamp[tensor] = s->stamp;
    return he_min_sum_tensor(s, tensor);
}

/* All terms of the value that depend on where @unit is. */
static double local_cost(struct he_min_sum *s, uint32_t unit)
{
    const struct he_units *u = s->units;
    const struct he_problem *p = u->problem;
    double sum = s->unary[(size_t)unit * p->device_count + s->device[unit]];

    s->stamp++;
    for (uint32_t i = u->start[unit]; i < u->start[unit + 1]; i++) {
        uint32_t task = u->tasks[i];

        for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++)
            sum += add_tensor_once(s, p->edge_tensor[p->in_edges[k]]);
        for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++)
            sum += add_tensor_once(s, p->edge_tensor[p->out_edges[k]]);
        if (s->launch_scale == 0.0)
            continue;
        sum += add_launch_once(s, task);
        for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++)
            sum += add_launch_once(s, p->edges[p->out_edges[k]].to);
    }
    return sum;
}

double he_min_sum_value(struct he_min_sum *s)
{
    const struct he_problem *p = s->units->problem;
    double sum = 0.0;

    for (uint32_t u = 0; u < s->units->count; u++)
        sum += s->unary[(size_t)u * p->device_count + s->device[u]];
    for (uint32_t k = 0; k < p->tensor_count; k++)
        sum += he_min_sum_tensor(s, k);
    for (uint32_t t = 0; s->launch_scale != 0.0 && t < p->task_count; t++)
        sum += he_min_sum_launch(s, t);
    return sum;
}

void he_min_sum_set(struct he_min_sum *s, const uint32_t *device)
{
    if (device != s->device)
        memcpy(s->device, device, s->units->count * sizeof *device);
    he_load_clear(&s->load);
    for (uint32_t u = 0; u < s->units->count; u++)
        he_load_add(&s->load, u, s->device[u]);
    s->value = he_min_sum_value(s);
}

bool he_min_sum_is_within(const struct he_min_sum *s)
{
    const struct he_problem *p = s->units->problem;

    for (uint32_t j = 0; j < p->device_count; j++) {
        uint32_t node = p->devices[j].memory_node;

        if (!he_fits(s->load.weights[j], p->weight_limit[j]) ||
            !he_fits(s->load.node_weights[node], s->load.node_limit[node]))
            return false;
        for (size_t r = 0; r < p->resource_count; r++) {
            if (p->resources[r].device_limits &&
                !he_fits(s->load.resources[r * p->device_count + j],
                         p->resources[r].device_limits[j]))
                return false;
        }
    }
    for (size_t r = 0; r < p->resource_count; r++) {
        if (!he_fits(s->load.resource_totals[r], p->resources[r].limit))
            return false;
    }
    return true;
}

double he_min_sum_delta(struct he_min_sum *s, uint32_t unit, uint32_t device)
{
    uint32_t was = s->device[unit];
    double before = local_cost(s, unit), after;

    s->device[unit] = device;
    after = local_cost(s, unit);
    s->device[unit] = was;
    return after - before;
}

void he_min_sum_move(struct he_min_sum *s, uint32_t unit, uint32_t device, double delta)
{
    he_load_remove(&s->load, unit, s->device[unit]);
    he_load_add(&s->load, unit, device);
    s->device[unit] = device;
    s->value += delta;
}

/* Room for @unit on @device once it has left where it is. */
static bool can_move(struct he_min_sum *s, uint32_t unit, uint32_t device)
{
    bool has_room;

    if (isinf(he_unit_time(s->units, unit, device)))
        return false;
    if (s->is_relaxed || s->is_unlimited)
        return true;
    he_load_remove(&s->load, unit, s->device[unit]);
    has_room = he_load_has_room(&s->load, unit, device);
    he_load_add(&s->load, unit, s->device[unit]);
    return has_room;
}

/* Improvements below this are rounding. */
static double whisker(const struct he_min_sum *s)
{
    return 1e-12 * (s->value > 0.0 ? s->value : 0.0);
}

static void enqueue(struct he_min_sum *s, uint32_t unit)
{
    if (s->is_queued[unit])
        return;
    s->is_queued[unit] = true;
    s->queue[(s->queue_head + s->queue_count++) % s->units->count] = unit;
}

/* What a moved unit exchanges tensors with may want to follow. */
static void enqueue_neighbours(struct he_min_sum *s, uint32_t unit)
{
    const struct he_units *u = s->units;
    const struct he_problem *p = u->problem;

    for (uint32_t i = u->start[unit]; i < u->start[unit + 1]; i++) {
        uint32_t task = u->tasks[i];

        for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++)
            enqueue(s, u->of[p->edges[p->in_edges[k]].from]);
        for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++)
            enqueue(s, u->of[p->edges[p->out_edges[k]].to]);
    }
}

static bool descend_unit(struct he_min_sum *s, uint32_t unit)
{
    uint32_t d = s->units->problem->device_count, was = s->device[unit], best = was;
    double least = -whisker(s), here = local_cost(s, unit);

    for (uint32_t j = 0; j < d; j++) {
        double delta;

        if (j == was || !can_move(s, unit, j))
            continue;
        s->device[unit] = j;
        delta = local_cost(s, unit) - here;
        s->device[unit] = was;
        if (delta < least) {
            least = delta;
            best = j;
        }
    }
    if (best == was)
        return false;
    he_min_sum_move(s, unit, best, least);
    return true;
}

bool he_min_sum_descend(struct he_min_sum *s)
{
    /* A unit comes back only when a neighbour has moved; the limit is for ties in rounding. */
    uint64_t left = 64 * (uint64_t)s->units->count;
    bool is_better = false;

    s->queue_head = s->queue_count = 0;
    memset(s->is_queued, 0, s->units->count * sizeof *s->is_queued);
    for (uint32_t u = 0; u < s->units->count; u++)
        enqueue(s, u);
    while (s->queue_count > 0 && left-- > 0) {
        uint32_t unit = s->queue[s->queue_head];

        s->queue_head = (s->queue_head + 1) % s->units->count;
        s->queue_count--;
        s->is_queued[unit] = false;
        if (descend_unit(s, unit)) {
            enqueue_neighbours(s, unit);
            is_better = true;
        }
    }
    return is_better;
}

static uint32_t join(struct he_min_sum *s, uint32_t task, uint32_t device, uint32_t count)
{
    uint32_t unit = s->units->of[task];

    if (s->unit_stamp[unit] == s->unit_mark || s->device[unit] != device)
        return count;
    s->unit_stamp[unit] = s->unit_mark;
    s->members[count] = unit;
    return count + 1;
}

/* The units of @seed's device that hang together with it, into members. */
static uint32_t gather(struct he_min_sum *s, uint32_t seed)
{
    const struct he_units *u = s->units;
    const struct he_problem *p = u->problem;
    uint32_t device = s->device[seed], count = join(s, u->tasks[u->start[seed]], device, 0);

    for (uint32_t head = 0; head < count; head++) {
        uint32_t unit = s->members[head];

        for (uint32_t i = u->start[unit]; i < u->start[unit + 1]; i++) {
            uint32_t task = u->tasks[i];

            for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++)
                count = join(s, p->edges[p->in_edges[k]].from, device, count);
            for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++)
                count = join(s, p->edges[p->out_edges[k]].to, device, count);
        }
    }
    return count;
}

/* Moves members one after the other; takes all back unless the sum gets smaller. */
static bool move_members(struct he_min_sum *s, uint32_t count, uint32_t device)
{
    uint32_t was = s->device[s->members[0]], moved = 0;
    double start = s->value, least = whisker(s);
    bool fits = true;

    for (; fits && moved < count; moved++) {
        uint32_t unit = s->members[moved];

        fits = can_move(s, unit, device);
        if (!fits)
            break;
        he_min_sum_move(s, unit, device, he_min_sum_delta(s, unit, device));
    }
    if (fits && s->value < start - least)
        return true;
    while (moved-- > 0)
        he_min_sum_move(s, s->members[moved], was, 0.0);
    s->value = start;
    return false;
}

bool he_min_sum_clusters(struct he_min_sum *s)
{
    uint32_t d = s->units->problem->device_count;
    bool is_better = false;

    s->unit_mark++;
    for (uint32_t u = 0; u < s->units->count; u++) {
        uint32_t count;

        if (s->unit_stamp[u] == s->unit_mark)
            continue;
        count = gather(s, u);
        for (uint32_t j = 0; count > 1 && j < d; j++) {
            if (j != s->device[u])
                is_better |= move_members(s, count, j);
        }
    }
    return is_better;
}

bool he_min_sum_exchange(struct he_min_sum *s, uint64_t work_limit)
{
    uint64_t end = s->work + work_limit;
    bool is_better = false;

    for (uint32_t a = 0; a < s->units->count && s->work < end; a++) {
        for (uint32_t b = a + 1; b < s->units->count && s->work < end; b++) {
            uint32_t at_a = s->device[a], at_b = s->device[b];
            double start = s->value, least = whisker(s);
            bool fits;

            s->work++;
            if (at_a == at_b || isinf(he_unit_time(s->units, a, at_b)) ||
                isinf(he_unit_time(s->units, b, at_a)))
                continue;
            he_load_remove(&s->load, a, at_a);
            he_load_remove(&s->load, b, at_b);
            fits = s->is_relaxed || he_load_has_room(&s->load, a, at_b);
            if (fits) {
                he_load_add(&s->load, a, at_b);
                fits = s->is_relaxed || he_load_has_room(&s->load, b, at_a);
                he_load_remove(&s->load, a, at_b);
            }
            he_load_add(&s->load, a, at_a);
            he_load_add(&s->load, b, at_b);
            if (!fits)
                continue;
            he_min_sum_move(s, a, at_b, he_min_sum_delta(s, a, at_b));
            he_min_sum_move(s, b, at_a, he_min_sum_delta(s, b, at_a));
            if (s->value < start - least) {
                is_better = true;
            } else {
                he_min_sum_move(s, b, at_b, 0.0);
                he_min_sum_move(s, a, at_a, 0.0);
                s->value = start;
            }
        }
    }
    return is_better;
}
