/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files share that prove an assignment within rows or find the better one: narrow.c (the
 * front door: which values are tried), knapsacks.c (the bound by one knapsack per device, and the
 * core that it leaves open), beam.c (values that are too many to go through).
 */
#ifndef HE_PLACE_NARROW_H
#define HE_PLACE_NARROW_H

#include "judge.h"
#include "rows.h"

#define NARROW_TABLE 2000000u /* most numbers in all tables together */
#define NARROW_WORK 200000000u /* numbers tabulated, without a deadline */

/* A unit on a device. */
struct narrow_cell {
    uint32_t unit, device, amount;
    double regret;
    double *table; /* of this and the later cells of the device; the row after it is without this */
    double bound;
    bool is_open, is_gone, is_forced;
};

struct narrow_rank {
    double key;
    uint32_t unit;
};

struct narrow {
    const struct he_rows_search *search;
    const struct he_rows *rows;
    uint32_t n, d;
    double *regret;     /* [unit * d + device] */
    double floor;       /* the bound that regrets and losses come on top of */
    uint32_t *room;     /* by device: its row's limit */
    double *price;      /* by device: its row's multiplier */
    double *delta;      /* by unit: its multiplier */
    struct narrow_rank *order; /* units in the order they are decided */
    uint32_t *best;     /* by unit */
    double value;
    double allowance;   /* an answer must not lose more */
    /* --- The core --- */
    bool *is_out;            /* [unit * d + device] */
    struct narrow_cell *cells;      /* unit by unit */
    uint32_t *start;         /* [core unit]: its cells */
    uint32_t *members, member_count;
    uint32_t *fixed;         /* by unit: its only device, or the one the search is at */
    uint32_t *slack;         /* by device, less the fixed ones' amounts */
    double fixed_regret;
    uint32_t *by_device, *device_start, *fill; /* cells by device, in the units' order */
    double *tables;
    double *rest;            /* by core unit: sum of multipliers from there on */
    double *ahead;           /* by amount */
    int *count;              /* by unit: devices that take it */
    double *tried;           /* by unit: multipliers */
    uint32_t steps;
    uint64_t nodes, node_limit, deadline_ns, work;
    bool is_stopped, is_large; /* out of time or nodes; of tables */
};

/* Whether a target has an answer. */
enum narrow_verdict { VERDICT_NOTHING, VERDICT_UNKNOWN, VERDICT_FOUND };

static inline bool narrow_is_late(struct narrow *s)
{
    return s->deadline_ns ? he_place_now_ns(s->search->options) > s->deadline_ns
                          : s->work > NARROW_WORK;
}

/* What rounding may hide. */
static inline double narrow_whisker(const struct narrow *s)
{
    return 1e-9 * (1.0 + fabs(s->value));
}

static inline uint32_t narrow_amount(const struct narrow *s, uint32_t unit, uint32_t device)
{
    return s->rows->row[device] == HE_NO_ROW ? 0
                                             : (uint32_t)*he_rows_amounts(s->rows, unit, device);
}

/* narrow.c. Takes @fixed as the best when it is better. */
bool he_narrow_record(struct narrow *s);
/* Sets what the sums of a search begin with, from the tables. */
void he_narrow_begin(struct narrow *s);

/* knapsacks.c. The core: what is within the allowance and not out. UNKNOWN: go on with it. */
enum narrow_verdict he_knapsacks_collect(struct narrow *s);
/* Subgradient steps towards a bound above the allowance. Leaves the tables of the best. */
enum narrow_verdict he_knapsacks_raise(struct narrow *s, double *bound);
/* Takes out the cells without which, or with which, the bound is above the allowance. How many. */
uint32_t he_knapsacks_shrink(struct narrow *s, double bound);

/* beam.c. Goes down the core with the @width most promising partial answers of every level. */
he_status he_narrow_beam(struct narrow *s, double bound, uint32_t width,
                         enum narrow_verdict *verdict) HE_MUST_CHECK;

#endif
