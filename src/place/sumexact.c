/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Branch and bound for the least sum: units in order, devices by rising price. A
 * tensor (a launch) is paid when the last unit it depends on gets its device, so
 * that a partial sum plus the least unary costs of the rest is a lower bound; with limits, costs have
 * the prices of what a unit takes added, and the limits' prices are taken off (Lagrangian).
 */
#include <string.h>

#include "minsum.h"
#include "rows.h"

struct tree {
    struct he_min_sum *sum;
    const struct he_units *units;
    uint32_t *due_start, *due_tensors; /* tensors that are decided with unit u */
    uint32_t *task_start, *due_tasks;  /* tasks whose launch is */
    double *priced;                    /* [unit * device_count + device]: unary and multipliers */
    uint32_t *order;                   /* [unit * device_count ...]: devices by rising price */
    double *rest;                      /* least sum of prices of units u.., less the limits' */
    uint32_t *best;
    double least;
    uint64_t node_limit, nodes;
};

static uint32_t last_unit_of_tensor(const struct he_units *u, uint32_t k)
{
    const struct he_problem *p = u->problem;
    uint32_t last = u->of[p->edges[p->out_edges[p->tensor_start[k]]].from];

    for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
        uint32_t unit = u->of[p->edges[p->out_edges[i]].to];

        if (unit > last)
            last = unit;
    }
    return last;
}

static uint32_t last_unit_of_launch(const struct he_units *u, uint32_t task)
{
    const struct he_problem *p = u->problem;
    uint32_t last = u->of[task];

    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        uint32_t unit = u->of[p->edges[p->in_edges[k]].from];

        if (unit > last)
            last = unit;
    }
    return last;
}

/* Buckets @count things by the unit @last says. */
static he_status bucket(const struct he_units *u, uint32_t count,
                        uint32_t (*last)(const struct he_units *, uint32_t),
                        struct he_arena *arena, uint32_t **start, uint32_t **things)
{
    uint32_t *fill = he_arena_alloc(arena, (size_t)u->count + 1, sizeof *fill);

    *start = he_arena_alloc(arena, (size_t)u->count + 1, sizeof **start);
    *things = he_arena_alloc(arena, count, sizeof **things);
    if (!fill || !*start || !*things)
        return he_no_memory();
    for (uint32_t k = 0; k < count; k++)
        (*start)[last(u, k) + 1]++;
    for (uint32_t k = 0; k < u->count; k++)
        (*start)[k + 1] += (*start)[k];
    memcpy(fill, *start, ((size_t)u->count + 1) * sizeof *fill);
    for (uint32_t k = 0; k < count; k++)
        (*things)[fill[last(u, k)]++] = k;
    return HE_OK;
}

static double decided(struct tree *t, uint32_t unit)
{
    double sum = t->priced[(size_t)unit * t->units->problem->device_count + t->sum->device[unit]];

    for (uint32_t k = t->due_start[unit]; k < t->due_start[unit + 1]; k++)
        sum += he_min_sum_tensor(t->sum, t->due_tensors[k]);
    for (uint32_t k = t->task_start[unit];
         t->sum->launch_scale != 0.0 && k < t->task_start[unit + 1]; k++)
        sum += he_min_sum_launch(t->sum, t->due_tasks[k]);
    return sum;
}

/* False when the node limit is reached. */
static bool branch(struct tree *t, uint32_t unit, double so_far)
{
    uint32_t d = t->units->problem->device_count;
    bool goes_on = true;

    if (unit == t->units->count) {
        double value = he_min_sum_value(t->sum);

        if (value < t->least) {
            t->least = value;
            memcpy(t->best, t->sum->device, unit * sizeof *t->best);
        }
        return true;
    }
    for (uint32_t k = 0; goes_on && k < d; k++) {
        uint32_t j = t->order[(size_t)unit * d + k];
        double sum;

        if (!he_load_has_room(&t->sum->load, unit, j))
            continue;
        if (++t->nodes > t->node_limit)
            return false;
        t->sum->device[unit] = j;
        sum = so_far + decided(t, unit);
        if (sum + t->rest[unit + 1] >= t->least * (1.0 - 1e-12))
            continue;
        he_load_add(&t->sum->load, unit, j);
        goes_on = branch(t, unit + 1, sum);
        he_load_remove(&t->sum->load, unit, j);
    }
    return goes_on;
}

/* Prices, their order and what the rest costs at least. */
static he_status price(struct tree *t, const struct he_rows_search *search, struct he_arena *arena)
{
    const struct he_units *u = t->units;
    uint32_t d = u->problem->device_count;

    t->priced = he_arena_copy(arena, t->sum->unary, (size_t)u->count * d * sizeof *t->priced);
    t->order = he_arena_alloc(arena, u->count, d * sizeof *t->order);
    t->rest = he_arena_alloc(arena, (size_t)u->count + 1, sizeof *t->rest);
    if (!t->priced || !t->order || !t->rest)
        return he_no_memory();
    for (uint32_t r = 0; search && r < search->rows->row_count; r++)
        t->rest[u->count] -= search->multipliers[r] * search->rows->limit[r];
    for (uint32_t k = u->count; k-- > 0;) {
        double *priced = t->priced + (size_t)k * d;
        uint32_t *order = t->order + (size_t)k * d;

        for (uint32_t j = 0; j < d; j++) {
            uint32_t at = j;

            for (uint32_t slot = 0; search && slot < search->rows->slot_count; slot++) {
                uint32_t row = search->rows->row[j * search->rows->slot_count + slot];

                if (row != HE_NO_ROW)
                    priced[j] += search->multipliers[row] *
                                 he_rows_amounts(search->rows, k, j)[slot];
            }
            for (; at > 0 && priced[order[at - 1]] > priced[j]; at--)
                order[at] = order[at - 1];
            order[at] = j;
        }
        t->rest[k] = t->rest[k + 1] + priced[order[0]];
    }
    return HE_OK;
}

he_status he_min_sum_exact(struct he_min_sum *s, const struct he_rows_search *search,
                           uint64_t node_limit, struct he_arena *arena, bool *is_proven)
{
    const struct he_units *u = s->units;
    const struct he_problem *p = u->problem;
    struct tree t = { .sum = s, .units = u, .node_limit = node_limit };
    he_status status;

    *is_proven = false;
    t.best = he_arena_copy(arena, s->device, u->count * sizeof *t.best);
    status = t.best ? price(&t, search, arena) : he_no_memory();
    if (status == HE_OK)
        status = bucket(u, p->tensor_count, last_unit_of_tensor, arena, &t.due_start,
                        &t.due_tensors);
    if (status == HE_OK)
        status = bucket(u, p->task_count, last_unit_of_launch, arena, &t.task_start, &t.due_tasks);
    if (status != HE_OK)
        return status;
    t.least = he_min_sum_is_within(s) ? s->value : INFINITY;
    he_load_clear(&s->load);
    *is_proven = branch(&t, 0, 0.0);
    he_min_sum_set(s, t.best);
    return HE_OK;
}
