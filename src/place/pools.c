/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Improves an assignment within rows by solving parts of it anew: a pool of a few devices
 * with all their units, by depth-first search. With the multipliers' prices added, what an assignment
 * costs above the bound is the sum of what its units pay more than on their cheapest device, plus
 * what is left of the rows times their multipliers. That sum over the pool must become smaller than
 * it is now: few units have another device that is cheap enough, and few of their combinations
 * are left. Pools grow when they are exhausted quickly. As the whole comes close to the bound
 * this turns into branch and bound over everything. (The prices and the budget on what is lost to them
 * are those of variable fixing, as in Posta, Ferland and Michelon 2012.)
 */
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "judge.h"
#include "random.h"
#include "rows.h"

#define MOST_POOL 16u    /* devices */
#define MOST_CHOICES 8u  /* of a unit within a pool */
#define NEAR 4u          /* cheapest devices of a unit, by which pools are chosen */
#define POOL_NODES 4000u
/* Pools tried without success before worse answers are let in, and before the best is taken
 * up again; how much worse, in parts of the distance to the bound. */
#define PATIENCE 1500u
#define WANDER 6000u
#define LENIENCE 0.1
#define LIMIT_OF_LENIENCE 0.15

struct choice {
    double regret;
    uint32_t device;
};

struct member {
    uint32_t unit, count, taken, kept; /* choices: how many, the one now, that of the best */
    struct choice choices[MOST_CHOICES];
};

struct pools {
    const struct he_rows_search *search;
    const struct he_rows *rows;
    struct he_random random;
    double *priced;    /* [unit * device_count + device] */
    uint32_t *near;    /* [unit * NEAR]: cheapest devices at these prices */
    uint32_t near_count;
    uint32_t *device, *best; /* by unit: the state; the best */
    double value, least;
    double *used;      /* by row */
    double ambition;   /* devices per pool */
    /* --- The pool --- */
    uint32_t devices[MOST_POOL], device_count;
    bool *is_in;            /* by device */
    uint32_t *local;        /* by row: its number in the pool, or HE_NO_ROW */
    uint32_t *pool_rows, row_count;
    double *slack, *least_slack; /* by pool row */
    struct member *members;
    struct member **free;   /* those with a choice, in the order they are decided */
    uint32_t member_count, free_count;
    double *rest;           /* [free * row_count]: the most that free ones from there on could take */
    double *small;          /* the same: the least that one of them could take */
    double *lost;           /* by level: regret so far */
    double allowance;       /* what is lost must stay below */
    uint64_t work;
};

static const double *priced_row(const struct pools *s, uint32_t unit)
{
    return s->priced + (size_t)unit * s->rows->device_count;
}

static void rank_devices(struct pools *s)
{
    const struct he_rows *rows = s->rows;
    uint32_t d = rows->device_count, slots = rows->slot_count;

    s->near_count = d < NEAR ? d : NEAR;
    for (uint32_t u = 0; u < rows->unit_count; u++) {
        uint32_t *near = s->near + (size_t)u * NEAR, count = 0;
        double *priced = s->priced + (size_t)u * d;

        for (uint32_t j = 0; j < d; j++) {
            const double *amounts = he_rows_amounts(rows, u, j);
            uint32_t at;

            priced[j] = s->search->cost[(size_t)u * d + j];
            for (uint32_t k = 0; k < slots && !isinf(priced[j]); k++) {
                uint32_t row = rows->row[j * slots + k];

                if (row != HE_NO_ROW)
                    priced[j] += s->search->multipliers[row] * amounts[k];
            }
            if (count == s->near_count && priced[j] >= priced[near[count - 1]])
                continue;
            at = count < s->near_count ? count++ : count - 1;
            for (; at > 0 && priced[near[at - 1]] > priced[j]; at--)
                near[at] = near[at - 1];
            near[at] = j;
        }
    }
}

static void add_device(struct pools *s, uint32_t device)
{
    if (s->is_in[device])
        return;
    s->is_in[device] = true;
    s->devices[s->device_count++] = device;
}

/* Devices that would exchange units: one at random, then those that units of the pool like, and
 * some at random. */
static void choose_devices(struct pools *s)
{
    uint32_t d = s->rows->device_count, n = s->rows->unit_count;
    uint32_t wanted = (uint32_t)s->ambition;

    wanted += he_random_unit(&s->random) < s->ambition - wanted;
    wanted = wanted < d ? wanted : d;
    for (uint32_t k = 0; k < s->device_count; k++)
        s->is_in[s->devices[k]] = false;
    s->device_count = 0;
    add_device(s, s->device[he_random_below(&s->random, n)]);
    for (uint32_t tries = 0; s->device_count < wanted && tries < 50 * MOST_POOL; tries++) {
        uint32_t unit = he_random_below(&s->random, n);
        uint32_t device = s->near[(size_t)unit * NEAR + he_random_below(&s->random, s->near_count)];

        if (he_random_next(&s->random) & 1)
            add_device(s, he_random_below(&s->random, d));
        else if (s->is_in[s->device[unit]])
            add_device(s, device);
        else if (s->is_in[device])
            add_device(s, s->device[unit]);
    }
}

static void take(struct pools *s, uint32_t unit, uint32_t device, double *balance, double sign)
{
    const struct he_rows *rows = s->rows;
    const double *amounts = he_rows_amounts(rows, unit, device);

    for (uint32_t k = 0; k < rows->slot_count; k++) {
        uint32_t row = rows->row[device * rows->slot_count + k];

        if (row != HE_NO_ROW)
            balance[s->local[row]] += sign * amounts[k];
    }
}

/* The rows of the pool's devices, with what is left of them now. */
static void collect_rows(struct pools *s)
{
    const struct he_rows *rows = s->rows;

    for (uint32_t r = 0; r < s->row_count; r++)
        s->local[s->pool_rows[r]] = HE_NO_ROW;
    s->row_count = 0;
    s->allowance = 0.0;
    for (uint32_t i = 0; i < s->device_count; i++) {
        for (uint32_t k = 0; k < rows->slot_count; k++) {
            uint32_t row = rows->row[s->devices[i] * rows->slot_count + k];

            if (row == HE_NO_ROW || s->local[row] != HE_NO_ROW)
                continue;
            s->local[row] = s->row_count;
            s->slack[s->row_count] = rows->limit[row] - s->used[row];
            s->least_slack[s->row_count] = -1e-12 * rows->limit[row];
            s->allowance += s->search->multipliers[row] * fmax(0.0, s->slack[s->row_count]);
            s->pool_rows[s->row_count++] = row;
        }
    }
}

/* The pool's units, and what is lost on them now. */
static void collect_members(struct pools *s)
{
    const struct he_rows *rows = s->rows;

    s->member_count = 0;
    for (uint32_t u = 0; u < rows->unit_count; u++) {
        struct member *m = &s->members[s->member_count];
        double least = INFINITY;

        if (!s->is_in[s->device[u]])
            continue;
        for (uint32_t i = 0; i < s->device_count; i++)
            least = fmin(least, priced_row(s, u)[s->devices[i]]);
        *m = (struct member){ .unit = u };
        m->choices[0].regret = least;
        s->allowance += priced_row(s, u)[s->device[u]] - least;
        take(s, u, s->device[u], s->slack, 1.0);
        s->member_count++;
    }
    s->work += rows->unit_count / 8 + s->member_count;
}

static void list_choices(struct pools *s, struct member *m)
{
    double least = m->choices[0].regret;

    m->count = 0;
    for (uint32_t i = 0; i < s->device_count; i++) {
        double regret = priced_row(s, m->unit)[s->devices[i]] - least;
        uint32_t at;

        if (!(regret < s->allowance) || (m->count == MOST_CHOICES &&
                                         regret >= m->choices[m->count - 1].regret))
            continue;
        at = m->count < MOST_CHOICES ? m->count++ : m->count - 1;
        for (; at > 0 && m->choices[at - 1].regret > regret; at--)
            m->choices[at] = m->choices[at - 1];
        m->choices[at] = (struct choice){ regret, s->devices[i] };
    }
}

/* Those with most to lose by their second choice are decided first: nearly fixed. */
static int compare_members(const void *left, const void *right)
{
    const struct member *a = *(struct member *const *)left, *b = *(struct member *const *)right;

    if (a->choices[1].regret != b->choices[1].regret)
        return a->choices[1].regret > b->choices[1].regret ? -1 : 1;
    return a->unit < b->unit ? -1 : 1;
}

/* False: those without a choice alone take too much. */
static bool fix_members(struct pools *s)
{
    uint32_t rows = s->row_count;

    s->free_count = 0;
    for (uint32_t i = 0; i < s->member_count; i++) {
        struct member *m = &s->members[i];

        list_choices(s, m);
        if (m->count > 1)
            s->free[s->free_count++] = m;
        else
            take(s, m->unit, m->choices[0].device, s->slack, -1.0);
    }
    if (s->free_count > 1)
        qsort(s->free, s->free_count, sizeof(struct member *), compare_members);
    for (uint32_t r = 0; r < rows; r++) {
        if (s->slack[r] < s->least_slack[r])
            return false;
    }
    memset(s->rest + (size_t)s->free_count * rows, 0, rows * sizeof *s->rest);
    for (uint32_t r = 0; r < rows; r++)
        s->small[(size_t)s->free_count * rows + r] = INFINITY;
    for (uint32_t i = s->free_count; i-- > 0;) {
        const struct member *m = s->free[i];
        double *rest = s->rest + (size_t)i * rows, *after = rest + rows;
        double *small = s->small + (size_t)i * rows;

        memcpy(rest, after, rows * sizeof *rest);
        memcpy(small, small + rows, rows * sizeof *small);
        for (uint32_t c = 0; c < m->count; c++) {
            const double *amounts = he_rows_amounts(s->rows, m->unit, m->choices[c].device);

            for (uint32_t k = 0; k < s->rows->slot_count; k++) {
                uint32_t row = s->rows->row[m->choices[c].device * s->rows->slot_count + k];

                if (row == HE_NO_ROW || amounts[k] == 0.0)
                    continue;
                row = s->local[row];
                rest[row] = fmax(rest[row], after[row] + amounts[k]);
                small[row] = fmin(small[row], amounts[k]);
            }
        }
    }
    s->work += (uint64_t)s->member_count * s->device_count / 4 + (uint64_t)s->free_count * rows / 4;
    return true;
}

/* What will be lost on rows at least, when the free ones from @level on take all they can. */
static double loss_of_rows(const struct pools *s, uint32_t level)
{
    const double *rest = s->rest + (size_t)level * s->row_count;
    const double *small = s->small + (size_t)level * s->row_count;
    double sum = 0.0;

    for (uint32_t r = 0; r < s->row_count; r++) {
        double left = s->slack[r] < small[r] + s->least_slack[r] ? s->slack[r]
                                                                 : s->slack[r] - rest[r];

        if (left > 0.0)
            sum += s->search->multipliers[s->pool_rows[r]] * left;
    }
    return sum;
}

static bool has_room(const struct pools *s, uint32_t unit, uint32_t device)
{
    const struct he_rows *rows = s->rows;
    const double *amounts = he_rows_amounts(rows, unit, device);

    for (uint32_t k = 0; k < rows->slot_count; k++) {
        uint32_t row = rows->row[device * rows->slot_count + k];

        if (row != HE_NO_ROW &&
            s->slack[s->local[row]] - amounts[k] < s->least_slack[s->local[row]])
            return false;
    }
    return true;
}

static bool is_new(const struct pools *s)
{
    for (uint32_t i = 0; i < s->free_count; i++) {
        const struct member *m = s->free[i];

        if (m->choices[m->taken].device != s->device[m->unit])
            return true;
    }
    return false;
}

/* Takes the next choice of @level that could be part of something better; false: there is none. */
static bool take_next(struct pools *s, uint32_t level, uint32_t first, uint64_t *nodes)
{
    struct member *m = s->free[level];

    for (uint32_t c = first; c < m->count; c++) {
        double lost = s->lost[level] + m->choices[c].regret;

        ++*nodes;
        if (lost >= s->allowance)
            return false; /* later choices cost more */
        if (!has_room(s, m->unit, m->choices[c].device))
            continue;
        take(s, m->unit, m->choices[c].device, s->slack, -1.0);
        if (lost + loss_of_rows(s, level + 1) < s->allowance) {
            m->taken = c;
            s->lost[level + 1] = lost;
            return true;
        }
        take(s, m->unit, m->choices[c].device, s->slack, 1.0);
    }
    return false;
}

/* Goes through the free ones; true when a different answer was found, kept in the members. */
static bool search_pool(struct pools *s, uint64_t limit, uint64_t *nodes)
{
    uint32_t level = 0, first = 0;
    bool found = false;

    s->lost[0] = 0.0;
    while (s->free_count && *nodes < limit) {
        if (take_next(s, level, first, nodes)) {
            if (level + 1 < s->free_count) {
                level++;
                first = 0;
                continue;
            }
            if (is_new(s)) {
                double lost = s->lost[level + 1] + loss_of_rows(s, level + 1);

                found = true;
                s->allowance = lost - 1e-10 * (1.0 + fabs(s->value));
                for (uint32_t i = 0; i < s->free_count; i++)
                    s->free[i]->kept = s->free[i]->taken;
            }
        } else if (level-- == 0) {
            break;
        }
        take(s, s->free[level]->unit, s->free[level]->choices[s->free[level]->taken].device, s->slack,
             1.0);
        first = s->free[level]->taken + 1;
    }
    return found;
}

static void move_members(struct pools *s)
{
    const struct he_rows *rows = s->rows;

    for (uint32_t i = 0; i < s->member_count; i++) {
        const struct member *m = &s->members[i];
        uint32_t from = s->device[m->unit];
        uint32_t to = m->choices[m->kept].device; /* 0 without a choice */
        const double *costs = s->search->cost + (size_t)m->unit * rows->device_count;

        if (from == to)
            continue;
        s->value += costs[to] - costs[from];
        s->device[m->unit] = to;
    }
}

/* What may be lost beyond what is: nothing at first, something when nothing has helped for long. */
static double lenience(struct pools *s, uint32_t failures)
{
    double distance = s->least - s->search->bound, more;

    if (failures < PATIENCE)
        return 0.0;
    more = -log(1.0 - he_random_unit(&s->random)) * LENIENCE * distance;
    return fmax(0.0, fmin(more, s->least + LIMIT_OF_LENIENCE * distance - s->value));
}

static void start_from(struct pools *s, const uint32_t *device)
{
    s->value = 0.0;
    memcpy(s->device, device, s->rows->unit_count * sizeof *device);
    for (uint32_t u = 0; u < s->rows->unit_count; u++)
        s->value += s->search->cost[(size_t)u * s->rows->device_count + device[u]];
    (void)he_rows_used(s->rows, s->device, s->used);
}

/* One pool. */
static void try_pool(struct pools *s, uint32_t *failures)
{
    uint64_t nodes = 0;
    bool found = false;

    choose_devices(s);
    collect_rows(s);
    collect_members(s);
    s->allowance += 1e-10 * (1.0 + fabs(s->value)) + lenience(s, *failures);
    if (fix_members(s))
        found = search_pool(s, POOL_NODES + 4 * (uint64_t)s->free_count, &nodes);
    s->work += nodes;
    if (nodes >= POOL_NODES)
        s->ambition = fmax(2.0, s->ambition - 0.02);
    else if (nodes < POOL_NODES / 4)
        s->ambition = fmin(s->ambition + 0.01, MOST_POOL);
    ++*failures;
    if (!found)
        return;
    move_members(s);
    (void)he_rows_used(s->rows, s->device, s->used);
    if (s->value < s->least - 1e-12 * fabs(s->least)) {
        *failures = 0;
        s->least = s->value;
        memcpy(s->best, s->device, s->rows->unit_count * sizeof *s->best);
    }
}

static void improve(struct pools *s, uint64_t nodes)
{
    const struct he_rows_search *search = s->search;
    uint32_t failures = 0;

    for (uint64_t round = 1; !he_rows_is_optimal(search, s->least); round++) {
        if (search->deadline_ns ? round % 4 == 0 &&
                                      he_place_now_ns(search->options) > search->deadline_ns
                                : s->work >= nodes)
            break;
        try_pool(s, &failures);
        if (failures > WANDER) {
            start_from(s, s->best);
            failures = 0;
        }
    }
}

static he_status reserve(struct pools *s, struct he_arena *arena)
{
    size_t n = s->rows->unit_count, d = s->rows->device_count, rows = s->rows->row_count;

    s->priced = he_arena_alloc(arena, n, d * sizeof *s->priced);
    s->near = he_arena_alloc(arena, n, NEAR * sizeof *s->near);
    s->device = he_arena_alloc(arena, n, sizeof *s->device);
    s->used = he_arena_alloc(arena, rows, sizeof *s->used);
    s->is_in = he_arena_alloc(arena, d, sizeof *s->is_in);
    s->local = he_arena_alloc(arena, rows, sizeof *s->local);
    s->pool_rows = he_arena_alloc(arena, rows, sizeof *s->pool_rows);
    s->slack = he_arena_alloc(arena, rows, sizeof *s->slack);
    s->least_slack = he_arena_alloc(arena, rows, sizeof *s->least_slack);
    s->members = he_arena_alloc(arena, n + 1, sizeof *s->members);
    s->free = he_arena_alloc(arena, n + 1, sizeof *s->free);
    s->rest = he_arena_alloc(arena, n + 1,
                             (rows < MOST_POOL * s->rows->slot_count ? rows
                                                                     : MOST_POOL * s->rows->slot_count) *
                                 sizeof *s->rest);
    s->small = he_arena_alloc(arena, n + 1,
                              (rows < MOST_POOL * s->rows->slot_count
                                   ? rows
                                   : MOST_POOL * s->rows->slot_count) * sizeof *s->small);
    s->lost = he_arena_alloc(arena, n + 1, sizeof *s->lost);
    if (!s->priced || !s->near || !s->device || !s->used || !s->is_in || !s->local ||
        !s->pool_rows || !s->slack || !s->least_slack || !s->members || !s->free || !s->rest || !s->small ||
        !s->lost)
        return he_no_memory();
    for (size_t r = 0; r < rows; r++)
        s->local[r] = HE_NO_ROW;
    return HE_OK;
}

he_status he_rows_improve(const struct he_rows_search *search, uint64_t nodes, uint32_t *device)
{
    struct pools s = { .search = search, .rows = search->rows, .best = device, .ambition = 3.0,
                       .random = { search->options->seed + 0x9001u } };
    struct he_arena arena;
    he_status status;

    if (search->rows->device_count < 2 || search->rows->unit_count == 0)
        return HE_OK;
    he_arena_init(&arena, &search->rows->units->problem->arena.alloc);
    status = reserve(&s, &arena);
    if (status == HE_OK) {
        rank_devices(&s);
        start_from(&s, device);
        s.least = s.value;
        improve(&s, nodes);
    }
    he_arena_fini(&arena);
    return status;
}
