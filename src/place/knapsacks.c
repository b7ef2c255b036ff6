/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bound by knapsacks: the units' own constraints are relaxed instead of the rows, which leaves
 * one knapsack per device, solved by dynamic programming, with a multiplier per unit that
 * subgradient steps adjust. That is above the linear programme's bound, and the tables of both
 * directions say for every cell what an answer with it and one without it cost at least. (After
 * Posta, Ferland and Michelon 2012, who fix by the same knapsacks' bounds.)
 */
#include <string.h>

#include "narrow.h"

enum narrow_verdict he_knapsacks_collect(struct narrow *s)
{
    uint64_t size = 0;
    uint32_t cells = 0;

    s->member_count = 0;
    s->fixed_regret = 0.0;
    memcpy(s->slack, s->room, s->d * sizeof *s->slack);
    memset(s->device_start, 0, (s->d + 1) * sizeof *s->device_start);
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t u = s->order[i].unit, first = cells;

        for (uint32_t j = 0; j < s->d; j++) {
            size_t at = (size_t)u * s->d + j;

            if (!s->is_out[at] && s->regret[at] <= s->allowance)
                s->cells[cells++] = (struct narrow_cell){ .unit = u, .device = j,
                                                   .amount = narrow_amount(s, u, j),
                                                   .regret = s->regret[at] };
        }
        if (cells == first)
            return VERDICT_NOTHING;
        s->fixed[u] = s->cells[first].device;
        if (cells - first > 1) {
            s->members[s->member_count] = u;
            s->start[s->member_count++] = first;
            continue;
        }
        cells = first;
        if (s->slack[s->fixed[u]] < s->cells[first].amount)
            return VERDICT_NOTHING;
        s->slack[s->fixed[u]] -= s->cells[first].amount;
        s->fixed_regret += s->cells[first].regret;
    }
    s->start[s->member_count] = cells;
    for (uint32_t k = 0; k < cells; k++)
        s->device_start[s->cells[k].device + 1]++;
    for (uint32_t j = 0; j < s->d; j++) {
        size += (uint64_t)(s->device_start[j + 1] + 1) * (s->slack[j] + 1);
        s->device_start[j + 1] += s->device_start[j];
    }
    if (size > NARROW_TABLE) {
        s->is_stopped = s->is_large = true;
        return VERDICT_UNKNOWN;
    }
    memcpy(s->fill, s->device_start, s->d * sizeof *s->fill);
    for (uint32_t k = 0; k < cells; k++)
        s->by_device[s->fill[s->cells[k].device]++] = k;
    return VERDICT_UNKNOWN;
}

/* The knapsacks' tables at these multipliers: what later cells cost at least with so much room. */
static double tabulate(struct narrow *s, const double *delta)
{
    double *table = s->tables, bound = s->fixed_regret;

    for (uint32_t i = 0; i < s->member_count; i++)
        bound += delta[s->members[i]];
    for (uint32_t j = 0; j < s->d; j++) {
        uint32_t first = s->device_start[j], last = s->device_start[j + 1];
        size_t width = (size_t)s->slack[j] + 1;
        double *row = table + (last - first) * width;

        for (size_t room = 0; room < width; room++)
            row[room] = s->price[j] * (double)room;
        for (uint32_t k = last; k-- > first; row -= width) {
            struct narrow_cell *cell = &s->cells[s->by_device[k]];
            double reduced = cell->regret - delta[cell->unit], *with = row - width;

            cell->table = with;
            memcpy(with, row, width * sizeof *with);
            for (size_t room = cell->amount; room < width; room++) {
                double taken = row[room - cell->amount] + reduced;

                with[room] = taken < with[room] ? taken : with[room];
            }
        }
        bound += row[width - 1];
        table += (last - first + 1) * width;
        s->work += (last - first + 1) * width;
    }
    return bound;
}

/* How often each unit is taken in the knapsacks' best; the sum of squares of what is wrong. */
static double count_taken(struct narrow *s)
{
    double sum = 0.0;

    for (uint32_t i = 0; i < s->member_count; i++)
        s->count[s->members[i]] = 0;
    for (uint32_t j = 0; j < s->d; j++) {
        size_t width = (size_t)s->slack[j] + 1, room = s->slack[j];

        for (uint32_t k = s->device_start[j]; k < s->device_start[j + 1]; k++) {
            const struct narrow_cell *cell = &s->cells[s->by_device[k]];

            if (!(cell->table[room] < cell->table[width + room]))
                continue;
            room -= cell->amount;
            s->count[cell->unit]++;
            s->fixed[cell->unit] = j;
        }
    }
    for (uint32_t i = 0; i < s->member_count; i++)
        sum += (s->count[s->members[i]] - 1) * (s->count[s->members[i]] - 1);
    return sum;
}

enum narrow_verdict he_knapsacks_raise(struct narrow *s, double *bound)
{
    double theta = 1.0;
    uint32_t misses = 0;

    *bound = tabulate(s, s->delta);
    memcpy(s->tried, s->delta, s->n * sizeof *s->tried);
    for (uint32_t step = 0; step <= s->steps; step++) {
        double now = step ? tabulate(s, s->tried) : *bound, wrong, length;

        if (now > s->allowance + narrow_whisker(s))
            return VERDICT_NOTHING;
        wrong = count_taken(s);
        if (wrong == 0.0) /* the relaxed answer is one: the best of the core */
            return he_narrow_record(s) ? VERDICT_FOUND : VERDICT_NOTHING;
        if (now > *bound + 1e-4 * fabs(s->allowance)) {
            misses = 0;
        } else if (++misses > 4) {
            misses = 0;
            theta *= 0.6;
        }
        if (now > *bound) {
            *bound = now;
            memcpy(s->delta, s->tried, s->n * sizeof *s->delta);
        }
        if (narrow_is_late(s))
            break;
        length = theta * (1.1 * s->allowance + narrow_whisker(s) - now) / wrong;
        for (uint32_t i = 0; i < s->member_count; i++) {
            uint32_t u = s->members[i];

            s->tried[u] += length * (1 - s->count[u]);
        }
    }
    *bound = tabulate(s, s->delta);
    return VERDICT_UNKNOWN;
}

uint32_t he_knapsacks_shrink(struct narrow *s, double bound)
{
    uint32_t gone = 0, cells = s->start[s->member_count];

    for (uint32_t j = 0; j < s->d; j++) {
        uint32_t first = s->device_start[j], last = s->device_start[j + 1];
        size_t width = (size_t)s->slack[j] + 1;
        double least;

        if (first == last)
            continue;
        least = s->cells[s->by_device[first]].table[width - 1];
        /* The earlier cells' sums, by what they take. */
        for (size_t taken = 1; taken < width; taken++)
            s->ahead[taken] = INFINITY;
        s->ahead[0] = 0.0;
        for (uint32_t k = first; k < last; k++) {
            struct narrow_cell *cell = &s->cells[s->by_device[k]];
            const double *later = cell->table + width;
            double reduced = cell->regret - s->delta[cell->unit], with = INFINITY;
            double without = INFINITY;

            for (size_t taken = 0; taken < width; taken++)
                without = fmin(without, s->ahead[taken] + later[width - 1 - taken]);
            for (size_t taken = 0; taken + cell->amount < width; taken++)
                with = fmin(with, s->ahead[taken] + reduced +
                                      later[width - 1 - taken - cell->amount]);
            cell->is_gone = bound - least + with > s->allowance + narrow_whisker(s);
            cell->is_forced = bound - least + without > s->allowance + narrow_whisker(s);
            for (size_t taken = width; taken-- > cell->amount;)
                s->ahead[taken] = fmin(s->ahead[taken], s->ahead[taken - cell->amount] + reduced);
        }
    }
    for (uint32_t k = 0; k < cells; k++) {
        const struct narrow_cell *cell = &s->cells[k];
        bool *is_out = s->is_out + (size_t)cell->unit * s->d;

        if (cell->is_forced) {
            for (uint32_t j = 0; j < s->d; j++)
                is_out[j] |= j != cell->device;
        }
        is_out[cell->device] |= cell->is_gone;
        gone += cell->is_gone || cell->is_forced;
    }
    return gone;
}
