/* SPDX-License-Identifier: Apache-2.0 */
/* Colocation groups contracted to units, and the bookkeeping of what fits where. */
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "rank.h"
#include "units.h"

static he_status number_units(struct he_units *u, struct he_arena *arena)
{
    const struct he_problem *p = u->problem;
    uint32_t *unit_of_group = NULL, groups = 0;

    for (uint32_t t = 0; p->colocation && t < p->task_count; t++) {
        if (p->colocation[t] != HE_NO_GROUP && p->colocation[t] >= groups)
            groups = p->colocation[t] + 1;
    }
    unit_of_group = he_arena_alloc(arena, groups, sizeof *unit_of_group);
    u->of = he_arena_alloc(arena, p->task_count, sizeof *u->of);
    if (!unit_of_group || !u->of)
        return he_no_memory();
    for (uint32_t g = 0; g < groups; g++)
        unit_of_group[g] = UINT32_MAX;
    for (uint32_t t = 0; t < p->task_count; t++) {
        uint32_t group = p->colocation ? p->colocation[t] : HE_NO_GROUP;

        if (group == HE_NO_GROUP)
            u->of[t] = u->count++;
        else if (unit_of_group[group] == UINT32_MAX)
            u->of[t] = unit_of_group[group] = u->count++;
        else
            u->of[t] = unit_of_group[group];
    }
    return HE_OK;
}

he_status he_units_init(struct he_units *u, const struct he_problem *p, struct he_arena *arena)
{
    uint32_t *fill;
    double *time, *memory;
    size_t d = p->device_count, r_count = p->resource_count;
    he_status status;

    *u = (struct he_units){ .problem = p };
    status = number_units(u, arena);
    if (status != HE_OK)
        return status;
    u->start = he_arena_alloc(arena, (size_t)u->count + 1, sizeof *u->start);
    u->tasks = he_arena_alloc(arena, p->task_count, sizeof *u->tasks);
    if (u->count == p->task_count && r_count == 0) {
        /* Every unit is one task: the problem's tables are the units' tables. */
        u->time = p->time;
        u->memory = p->task_memory;
        for (uint32_t k = 0; u->start && u->tasks && k < u->count; k++)
            u->start[k + 1] = (u->tasks[k] = k) + 1;
        return u->start && u->tasks ? HE_OK : he_no_memory();
    }
    u->time = time = he_arena_alloc(arena, u->count, d * sizeof *time);
    u->memory = memory = he_arena_alloc(arena, u->count, sizeof *memory);
    u->amount = he_arena_alloc(arena, u->count, r_count * d * sizeof *u->amount);
    fill = he_arena_alloc(arena, (size_t)u->count + 1, sizeof *fill);
    if (!u->start || !u->tasks || !u->time || !u->memory || !u->amount || !fill)
        return he_no_memory();
    for (uint32_t t = 0; t < p->task_count; t++)
        u->start[u->of[t] + 1]++;
    for (uint32_t k = 0; k < u->count; k++)
        u->start[k + 1] += u->start[k];
    memcpy(fill, u->start, ((size_t)u->count + 1) * sizeof *fill);
    for (uint32_t t = 0; t < p->task_count; t++) {
        uint32_t k = u->of[t];

        u->tasks[fill[k]++] = t;
        memory[k] += p->task_memory[t];
        for (size_t j = 0; j < d; j++)
            time[k * d + j] += p->time[t * d + j];
        for (size_t r = 0; r < r_count; r++) {
            for (size_t j = 0; j < d; j++)
                u->amount[(k * r_count + r) * d + j] += p->resources[r].amount[t * d + j];
        }
    }
    return HE_OK;
}

he_status he_load_init(struct he_load *load, const struct he_units *units, struct he_arena *arena)
{
    const struct he_problem *p = units->problem;

    *load = (struct he_load){ .units = units };
    load->weights = he_arena_alloc(arena, p->device_count, sizeof(double));
    load->node_weights = he_arena_alloc(arena, p->device_count, sizeof(double));
    load->node_limit = he_arena_alloc(arena, p->device_count, sizeof(double));
    load->resources = he_arena_alloc(arena, p->resource_count, p->device_count * sizeof(double));
    load->resource_totals = he_arena_alloc(arena, p->resource_count, sizeof(double));
    if (!load->weights || !load->node_weights || !load->node_limit || !load->resources ||
        !load->resource_totals)
        return he_no_memory();
    for (uint32_t j = 0; j < p->device_count; j++) {
        double *limit = &load->node_limit[p->devices[j].memory_node];

        if (p->weight_limit[j] > *limit)
            *limit = p->weight_limit[j];
    }
    return HE_OK;
}

void he_load_clear(struct he_load *load)
{
    const struct he_problem *p = load->units->problem;

    memset(load->weights, 0, p->device_count * sizeof(double));
    memset(load->node_weights, 0, p->device_count * sizeof(double));
    memset(load->resources, 0, p->resource_count * p->device_count * sizeof(double));
    memset(load->resource_totals, 0, p->resource_count * sizeof(double));
}

bool he_load_has_room(const struct he_load *load, uint32_t unit, uint32_t device)
{
    const struct he_problem *p = load->units->problem;
    uint32_t node = p->devices[device].memory_node;
    double memory = load->units->memory[unit];

    if (isinf(he_unit_time(load->units, unit, device)) ||
        !he_fits(load->weights[device] + memory, p->weight_limit[device]) ||
        !he_fits(load->node_weights[node] + memory, load->node_limit[node]))
        return false;
    for (size_t r = 0; r < p->resource_count; r++) {
        const struct he_place_resource *resource = &p->resources[r];
        double amount = load->units->amount[(unit * p->resource_count + r) * p->device_count + device];

        if (amount == 0.0)
            continue;
        if (!he_fits(load->resource_totals[r] + amount, resource->limit) ||
            (resource->device_limits &&
             !he_fits(load->resources[r * p->device_count + device] + amount,
                      resource->device_limits[device])))
            return false;
    }
    return true;
}

static void change(struct he_load *load, uint32_t unit, uint32_t device, double sign)
{
    const struct he_problem *p = load->units->problem;

    load->weights[device] += sign * load->units->memory[unit];
    load->node_weights[p->devices[device].memory_node] += sign * load->units->memory[unit];
    for (size_t r = 0; r < p->resource_count; r++) {
        double amount = load->units->amount[(unit * p->resource_count + r) * p->device_count + device];

        load->resources[r * p->device_count + device] += sign * amount;
        load->resource_totals[r] += sign * amount;
    }
}

void he_load_add(struct he_load *load, uint32_t unit, uint32_t device)
{
    change(load, unit, device, 1.0);
}

void he_load_remove(struct he_load *load, uint32_t unit, uint32_t device)
{
    change(load, unit, device, -1.0);
}

/* --- Fitting everything in --- */

struct ranked {
    double key;
    uint32_t unit;
};

static int compare_ranked(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;

    if (a->key != b->key)
        return a->key > b->key ? -1 : 1;
    return a->unit < b->unit ? -1 : 1;
}

enum fit_order { BY_REGRET, BY_MEMORY, BY_NUMBER };

/* How much worse the second best device is than the best: units with much to lose go first. */
static double regret(const struct he_units *u, const double *preference, uint32_t unit)
{
    uint32_t d = u->problem->device_count;
    double best = INFINITY, second = INFINITY;

    for (uint32_t j = 0; j < d; j++) {
        double value = preference[(size_t)unit * d + j];

        if (isinf(he_unit_time(u, unit, j)))
            continue;
        if (value < best) {
            second = best;
            best = value;
        } else if (value < second) {
            second = value;
        }
    }
    return second - best; /* infinite with one device only */
}

/* The share of the scarcest thing that a unit takes at least: large ones first, as in bin
 * packing. */
static double bulk(const struct he_units *u, uint32_t unit)
{
    const struct he_problem *p = u->problem;
    double least = INFINITY;

    for (uint32_t j = 0; j < p->device_count; j++) {
        double share;

        if (isinf(he_unit_time(u, unit, j)))
            continue;
        share = p->weight_limit[j] > 0.0 ? u->memory[unit] / p->weight_limit[j] : 0.0;
        for (size_t r = 0; r < p->resource_count; r++) {
            double limit = p->resources[r].limit;
            double amount = u->amount[(unit * p->resource_count + r) * p->device_count + j];

            if (p->resources[r].device_limits && p->resources[r].device_limits[j] < limit)
                limit = p->resources[r].device_limits[j];
            if (limit > 0.0 && amount / limit > share)
                share = amount / limit;
        }
        if (share < least)
            least = share;
    }
    return least;
}

/* Tries to send one unit of @from elsewhere so that @unit fits there. */
static bool make_room(struct he_load *load, uint32_t unit, uint32_t *device)
{
    const struct he_units *u = load->units;
    uint32_t d = u->problem->device_count;

    for (uint32_t j = 0; j < d; j++) {
        if (isinf(he_unit_time(u, unit, j)))
            continue;
        for (uint32_t other = 0; other < u->count; other++) {
            if (device[other] != j)
                continue;
            he_load_remove(load, other, j);
            if (he_load_has_room(load, unit, j)) {
                he_load_add(load, unit, j);
                for (uint32_t k = 0; k < d; k++) {
                    if (k != j && he_load_has_room(load, other, k)) {
                        he_load_add(load, other, k);
                        device[other] = k;
                        device[unit] = j;
                        return true;
                    }
                }
                he_load_remove(load, unit, j);
            }
            he_load_add(load, other, j);
        }
    }
    return false;
}

/* Evictions are quadratic: a problem that needs more of them than this is not solved by them. */
#define MOST_EVICTIONS 200
#define EVICTION_WORK 200000u /* units looked at, about */

static bool fit_in_order(const struct he_units *u, const double *preference,
                         const struct ranked *sequence, struct he_load *load, uint32_t *device)
{
    uint32_t d = u->problem->device_count, evictions = 0;
    uint32_t most = u->count > EVICTION_WORK / MOST_EVICTIONS ? EVICTION_WORK / u->count
                                                              : MOST_EVICTIONS;

    he_load_clear(load);
    for (uint32_t k = 0; k < u->count; k++)
        device[k] = UINT32_MAX;
    for (uint32_t k = 0; k < u->count; k++) {
        uint32_t unit = sequence[k].unit, best = UINT32_MAX;

        for (uint32_t j = 0; j < d; j++) {
            if (he_load_has_room(load, unit, j) &&
                (best == UINT32_MAX || preference[(size_t)unit * d + j] <
                                           preference[(size_t)unit * d + best]))
                best = j;
        }
        if (best != UINT32_MAX) {
            device[unit] = best;
            he_load_add(load, unit, best);
        } else if (++evictions > most || !make_room(load, unit, device)) {
            return false;
        }
    }
    return true;
}

/* Each where it likes best among those with room, or else where most is left; then trades until
 * it fits. */
static bool mend_in_order(const struct he_units *u, const double *preference,
                          const struct ranked *sequence, struct he_load *load,
                          struct he_arena *arena, uint32_t *device)
{
    const struct he_problem *p = u->problem;
    uint32_t d = p->device_count;
    double *price = he_arena_alloc(arena, d, sizeof *price);

    if (!price || p->resource_count > 0)
        return false;
    for (uint32_t j = 0; j < d; j++)
        price[j] = 1.0;
    he_load_clear(load);
    for (uint32_t k = 0; k < u->count; k++) {
        uint32_t unit = sequence[k].unit, best = UINT32_MAX, roomiest = UINT32_MAX;

        for (uint32_t j = 0; j < d; j++) {
            if (isinf(he_unit_time(u, unit, j)))
                continue;
            if (he_load_has_room(load, unit, j) &&
                (best == UINT32_MAX || preference[(size_t)unit * d + j] <
                                           preference[(size_t)unit * d + best]))
                best = j;
            if (roomiest == UINT32_MAX ||
                p->weight_limit[j] - load->weights[j] >
                    p->weight_limit[roomiest] - load->weights[roomiest])
                roomiest = j;
        }
        best = best == UINT32_MAX ? roomiest : best;
        if (best == UINT32_MAX)
            return false;
        device[unit] = best;
        he_load_add(load, unit, best);
    }
    return he_units_mend(u, load, price, arena, device);
}

he_status he_units_fit(const struct he_units *u, const double *preference, struct he_arena *arena,
                       uint32_t *device)
{
    struct he_load load;
    struct ranked *sequence = he_arena_alloc(arena, u->count, sizeof *sequence);
    he_status status = he_load_init(&load, u, arena);

    if (!preference)
        preference = u->time;
    if (!sequence || status != HE_OK)
        return he_no_memory();
    for (int order = BY_REGRET; order <= BY_NUMBER; order++) {
        for (uint32_t k = 0; k < u->count; k++) {
            sequence[k].unit = k;
            sequence[k].key = order == BY_REGRET   ? regret(u, preference, k)
                              : order == BY_MEMORY ? bulk(u, k)
                                                   : 0.0;
        }
        if (u->count > 1)
            qsort(sequence, u->count, sizeof *sequence, compare_ranked);
        if (fit_in_order(u, preference, sequence, &load, device))
            return HE_OK;
    }
    if (mend_in_order(u, preference, sequence, &load, arena, device))
        return HE_OK;
    return he_error_set(HE_ERR_BUDGET, "no assignment found that keeps to the devices' memory and "
                                       "resources");
}

he_status he_units_answer(const struct he_units *u, const uint32_t *unit_device,
                          const uint32_t *order, const char *policy, struct he_arena *arena,
                          struct he_placement *out)
{
    const struct he_problem *p = u->problem;

    out->policy = policy;
    out->items = NULL;
    out->device = he_arena_alloc(arena, p->task_count, sizeof *out->device);
    out->order = he_arena_alloc(arena, p->task_count, sizeof *out->order);
    if (!out->device || !out->order)
        return he_no_memory();
    for (uint32_t t = 0; t < p->task_count; t++)
        out->device[t] = unit_device[u->of[t]];
    if (!order)
        return he_order_by_path(p, out->device, out->order);
    memcpy(out->order, order, p->task_count * sizeof *order);
    return HE_OK;
}
