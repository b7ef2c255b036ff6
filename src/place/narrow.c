/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves an assignment within rows, or finds the better one, when it is already close to the
 * bound. For a value to be reached, what an answer costs above the bound must stay within the distance:
 * cells (a unit on a device) whose regret alone is more go, and units with one cell left are fixed.
 * For what remains, the units' own constraints are relaxed instead of the rows: one knapsack
 * per device, by dynamic programming, with a multiplier per unit that subgradient steps adjust. That
 * bound is above the linear programme's; by the tables of both directions it says for every cell
 * what an answer with it and one without it cost at least, and more goes. What is left is
 * searched depth first, with the tables' sums as bound of every node. Values are tried from the bound
 * upwards, so that each core is as small as can be; when that takes too long, beams look
 * for anything better, guided by the same sums. (After Posta, Ferland and Michelon 2012, who fix by
 * the same knapsacks' bounds.)
 *
 * For rows of one device each, in whole numbers that are not too large; else it does nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "rows.h"

#define MOST_TABLE 2000000u /* numbers in all tables together */
#define MOST_TARGETS 12u
#define STEPS 60u           /* of the multipliers, per round */
#define FEW_STEPS 15u       /* when only the core has changed */
#define ROUNDS 6u
#define NODES 200000u       /* per target, without a deadline; in all, numbers tabulated */
#define WORK 200000000u
#define SHARE 0.15          /* of the time left, per target; for beams */
#define BEAM_SHARE 0.8
#define NARROWEST 100u      /* beams, in states; doubled as long as there is time */
#define WIDEST 1600u
#define WIDEST_OF_WORK 200u /* without a deadline */

struct cell {
    uint32_t unit, device, amount;
    double regret;
    double *table; /* of this and the later cells of the device; the row after it is without this */
    double bound;
    bool is_open, is_gone, is_forced;
};

struct ranked {
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
    struct ranked *order; /* units in the order they are decided */
    uint32_t *best;     /* by unit */
    double value;
    double allowance;   /* an answer must not lose more */
    /* --- The core --- */
    bool *is_out;            /* [unit * d + device] */
    struct cell *cells;      /* unit by unit */
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

static bool is_late(struct narrow *s)
{
    return s->deadline_ns ? he_place_now_ns(s->search->options) > s->deadline_ns : s->work > WORK;
}

static double whisker(const struct narrow *s)
{
    return 1e-9 * (1.0 + fabs(s->value));
}

/* Whole rows, one per device at most. False when there are others. */
static bool read_rows(struct narrow *s)
{
    const struct he_rows *rows = s->rows;

    if (rows->slot_count != 1 || rows->server_rows)
        return false;
    for (uint32_t j = 0; j < s->d; j++) {
        uint32_t row = rows->row[j];

        s->room[j] = 0;
        s->price[j] = 0.0;
        for (uint32_t k = 0; row != HE_NO_ROW && k < j; k++) {
            if (rows->row[k] == row)
                return false;
        }
        if (row == HE_NO_ROW)
            continue;
        if (!(rows->limit[row] >= 0.0 && rows->limit[row] < MOST_TABLE))
            return false;
        s->room[j] = (uint32_t)rows->limit[row];
        s->room[j] += he_fits(s->room[j] + 1.0, rows->limit[row]);
        s->price[j] = s->search->multipliers[row];
        for (uint32_t u = 0; u < s->n; u++) {
            double amount = *he_rows_amounts(rows, u, j);

            if (!isinf(s->search->cost[(size_t)u * s->d + j]) &&
                (amount < 0.0 || amount != floor(amount)))
                return false;
        }
    }
    return true;
}

static uint32_t amount_of(const struct narrow *s, uint32_t unit, uint32_t device)
{
    return s->rows->row[device] == HE_NO_ROW ? 0
                                             : (uint32_t)*he_rows_amounts(s->rows, unit, device);
}

/* Those with most to lose by their second choice are decided first: nearly fixed. */
static int compare_ranks(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;

    if (a->key != b->key)
        return a->key > b->key ? -1 : 1;
    return a->unit < b->unit ? -1 : 1;
}

static void set_regrets(struct narrow *s)
{
    s->floor = 0.0;
    for (uint32_t j = 0; j < s->d; j++)
        s->floor -= s->price[j] * s->room[j];
    for (uint32_t u = 0; u < s->n; u++) {
        double *regret = s->regret + (size_t)u * s->d, least = INFINITY, second = INFINITY;

        for (uint32_t j = 0; j < s->d; j++) {
            regret[j] = s->search->cost[(size_t)u * s->d + j];
            if (!isinf(regret[j]))
                regret[j] += s->price[j] * amount_of(s, u, j);
            second = fmin(second, fmax(least, regret[j]));
            least = fmin(least, regret[j]);
        }
        s->order[u] = (struct ranked){ second - least, u };
        for (uint32_t j = 0; j < s->d; j++)
            regret[j] -= least;
        s->floor += least;
    }
    if (s->n > 1)
        qsort(s->order, s->n, sizeof *s->order, compare_ranks);
}

static double value_of(const struct narrow *s, const uint32_t *device)
{
    double sum = 0.0;

    for (uint32_t u = 0; u < s->n; u++)
        sum += s->search->cost[(size_t)u * s->d + device[u]];
    return sum;
}

/* Whether a target has an answer. */
enum verdict { NOTHING_THERE, UNKNOWN, FOUND };

/* The core: what is within the allowance and not out. UNKNOWN: go on with it. */
static enum verdict collect(struct narrow *s)
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
                s->cells[cells++] = (struct cell){ .unit = u, .device = j,
                                                   .amount = amount_of(s, u, j),
                                                   .regret = s->regret[at] };
        }
        if (cells == first)
            return NOTHING_THERE;
        s->fixed[u] = s->cells[first].device;
        if (cells - first > 1) {
            s->members[s->member_count] = u;
            s->start[s->member_count++] = first;
            continue;
        }
        cells = first;
        if (s->slack[s->fixed[u]] < s->cells[first].amount)
            return NOTHING_THERE;
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
    if (size > MOST_TABLE) {
        s->is_stopped = s->is_large = true;
        return UNKNOWN;
    }
    memcpy(s->fill, s->device_start, s->d * sizeof *s->fill);
    for (uint32_t k = 0; k < cells; k++)
        s->by_device[s->fill[s->cells[k].device]++] = k;
    return UNKNOWN;
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
            struct cell *cell = &s->cells[s->by_device[k]];
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
            const struct cell *cell = &s->cells[s->by_device[k]];

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

/* Takes @fixed as the best when it is better. */
static bool record(struct narrow *s)
{
    double value = value_of(s, s->fixed);

    if (!(value < s->value))
        return false;
    s->value = value;
    memcpy(s->best, s->fixed, s->n * sizeof *s->best);
    return true;
}

/* Subgradient steps towards a bound above the allowance. Leaves the tables of the best. */
static enum verdict raise_bound(struct narrow *s, double *bound)
{
    double theta = 1.0;
    uint32_t misses = 0;

    *bound = tabulate(s, s->delta);
    memcpy(s->tried, s->delta, s->n * sizeof *s->tried);
    for (uint32_t step = 0; step <= s->steps; step++) {
        double now = step ? tabulate(s, s->tried) : *bound, wrong, length;

        if (now > s->allowance + whisker(s))
            return NOTHING_THERE;
        wrong = count_taken(s);
        if (wrong == 0.0) /* the relaxed answer is one: the best of the core */
            return record(s) ? FOUND : NOTHING_THERE;
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
        if (is_late(s))
            break;
        length = theta * (1.1 * s->allowance + whisker(s) - now) / wrong;
        for (uint32_t i = 0; i < s->member_count; i++) {
            uint32_t u = s->members[i];

            s->tried[u] += length * (1 - s->count[u]);
        }
    }
    *bound = tabulate(s, s->delta);
    return UNKNOWN;
}

/* Cells without which, or with which, the bound is above the allowance. How many go. */
static uint32_t shrink(struct narrow *s, double bound)
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
            struct cell *cell = &s->cells[s->by_device[k]];
            const double *later = cell->table + width;
            double reduced = cell->regret - s->delta[cell->unit], with = INFINITY;
            double without = INFINITY;

            for (size_t taken = 0; taken < width; taken++)
                without = fmin(without, s->ahead[taken] + later[width - 1 - taken]);
            for (size_t taken = 0; taken + cell->amount < width; taken++)
                with = fmin(with, s->ahead[taken] + reduced +
                                      later[width - 1 - taken - cell->amount]);
            cell->is_gone = bound - least + with > s->allowance + whisker(s);
            cell->is_forced = bound - least + without > s->allowance + whisker(s);
            for (size_t taken = width; taken-- > cell->amount;)
                s->ahead[taken] = fmin(s->ahead[taken], s->ahead[taken - cell->amount] + reduced);
        }
    }
    for (uint32_t k = 0; k < cells; k++) {
        const struct cell *cell = &s->cells[k];
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

/* @later is the sum of the tables of all devices at this level. */
static void dive(struct narrow *s, uint32_t level, double lost, double later)
{
    struct cell *first = s->cells + s->start[level], *end = s->cells + s->start[level + 1];

    if (level == s->member_count) {
        (void)record(s);
        s->allowance = s->value - s->floor -
                       (s->search->grain > 0.0 ? s->search->grain - whisker(s) : whisker(s));
        return;
    }
    for (struct cell *c = first; c < end; c++)
        later += c->table[s->slack[c->device] + s->fill[c->device]] - c->table[s->slack[c->device]];
    for (struct cell *c = first; c < end; c++) {
        const double *without = c->table + s->fill[c->device];
        uint32_t room = s->slack[c->device];

        c->is_open = room >= c->amount;
        if (c->is_open)
            c->bound = c->regret + without[room - c->amount] - without[room];
    }
    for (;;) {
        struct cell *next = NULL;

        for (struct cell *c = first; c < end; c++) {
            if (c->is_open && (!next || c->bound < next->bound))
                next = c;
        }
        if (!next || lost + later + s->rest[level + 1] + next->bound > s->allowance)
            return;
        if (++s->nodes >= s->node_limit || (s->nodes % 512 == 0 && is_late(s)))
            s->is_stopped = true;
        if (s->is_stopped)
            return;
        next->is_open = false;
        s->fixed[next->unit] = next->device;
        s->slack[next->device] -= next->amount;
        dive(s, level + 1, lost + next->regret, later + next->bound - next->regret);
        s->slack[next->device] += next->amount;
    }
}

static void begin_search(struct narrow *s)
{
    s->rest[s->member_count] = 0.0;
    for (uint32_t i = s->member_count; i-- > 0;)
        s->rest[i] = s->rest[i + 1] + s->delta[s->members[i]];
    for (uint32_t j = 0; j < s->d; j++)
        s->fill[j] = s->slack[j] + 1; /* a table's row */
}

static enum verdict search_core(struct narrow *s, double bound)
{
    double before = s->value;

    begin_search(s);
    s->nodes = 0;
    dive(s, 0, s->fixed_regret, bound - s->fixed_regret - s->rest[0]);
    return s->value < before ? FOUND : s->is_stopped ? UNKNOWN : NOTHING_THERE;
}

/* --- Beams, for targets that are too many to go through --- */

struct state {
    double lost, later; /* regrets so far; sum of the tables at this level */
};

struct option {
    double bound;
    struct state state;
    uint32_t parent, cell;
};

struct beam {
    struct state *states;
    uint32_t *slack, *next_slack; /* [state * d + device] */
    struct option *options;
    uint32_t *parent, *cell;      /* [level * width + state] */
    uint32_t width, count, option_count;
    bool is_cut;
};

static int compare_options(const void *left, const void *right)
{
    const struct option *a = left, *b = right;

    if (a->bound != b->bound)
        return a->bound < b->bound ? -1 : 1;
    return a->parent != b->parent ? (a->parent < b->parent ? -1 : 1) : a->cell < b->cell ? -1 : 1;
}

static void list_options(const struct narrow *s, struct beam *b, uint32_t level, uint32_t i)
{
    const uint32_t *slack = b->slack + (size_t)i * s->d;
    const struct cell *first = s->cells + s->start[level], *end = s->cells + s->start[level + 1];
    double later = b->states[i].later;

    for (const struct cell *c = first; c < end; c++)
        later += c->table[slack[c->device] + s->fill[c->device]] - c->table[slack[c->device]];
    for (const struct cell *c = first; c < end; c++) {
        const double *without = c->table + s->fill[c->device];
        uint32_t room = slack[c->device];
        struct state to;
        double bound;

        if (room < c->amount)
            continue;
        to.lost = b->states[i].lost + c->regret;
        to.later = later + without[room - c->amount] - without[room];
        bound = to.lost + to.later + s->rest[level + 1];
        if (bound <= s->allowance)
            b->options[b->option_count++] = (struct option){ bound, to, i,
                                                             (uint32_t)(c - s->cells) };
    }
}

/* One level further; false: nothing is left. */
static bool advance(const struct narrow *s, struct beam *b, uint32_t level)
{
    uint32_t *swap = b->slack;

    b->option_count = 0;
    for (uint32_t i = 0; i < b->count; i++)
        list_options(s, b, level, i);
    if (b->option_count > b->width) {
        qsort(b->options, b->option_count, sizeof *b->options, compare_options);
        b->option_count = b->width;
        b->is_cut = true;
    }
    b->count = b->option_count;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct option *o = &b->options[i];
        const struct cell *cell = &s->cells[o->cell];
        uint32_t *slack = b->next_slack + (size_t)i * s->d;

        memcpy(slack, b->slack + (size_t)o->parent * s->d, s->d * sizeof *slack);
        slack[cell->device] -= cell->amount;
        b->states[i] = o->state;
        b->parent[(size_t)level * b->width + i] = o->parent;
        b->cell[(size_t)level * b->width + i] = o->cell;
    }
    b->slack = b->next_slack;
    b->next_slack = swap;
    return b->count > 0;
}

/* The @width most promising partial answers of every level. */
static he_status run_beam(struct narrow *s, double bound, uint32_t width, enum verdict *verdict)
{
    struct beam b = { .width = width, .count = 1 };
    uint32_t most = 0, levels = s->member_count, best = 0;
    struct he_arena arena;
    he_status status = HE_OK;

    begin_search(s);
    for (uint32_t i = 0; i < levels; i++)
        most = s->start[i + 1] - s->start[i] > most ? s->start[i + 1] - s->start[i] : most;
    he_arena_init(&arena, &s->rows->units->problem->arena.alloc);
    b.states = he_arena_alloc(&arena, width, sizeof *b.states);
    b.slack = he_arena_alloc(&arena, width, s->d * sizeof *b.slack);
    b.next_slack = he_arena_alloc(&arena, width, s->d * sizeof *b.next_slack);
    b.options = he_arena_alloc(&arena, width, most * sizeof *b.options);
    b.parent = he_arena_alloc(&arena, levels, width * sizeof *b.parent);
    b.cell = he_arena_alloc(&arena, levels, width * sizeof *b.cell);
    if (!b.states || !b.slack || !b.next_slack || !b.options || !b.parent || !b.cell) {
        status = he_no_memory();
        goto done;
    }
    b.states[0] = (struct state){ s->fixed_regret, bound - s->fixed_regret - s->rest[0] };
    memcpy(b.slack, s->slack, s->d * sizeof *b.slack);
    *verdict = UNKNOWN;
    for (uint32_t level = 0; level < levels; level++) {
        if (is_late(s))
            goto done;
        if (!advance(s, &b, level)) {
            *verdict = b.is_cut ? UNKNOWN : NOTHING_THERE;
            goto done;
        }
        s->work += (uint64_t)b.count * 64;
    }
    for (uint32_t i = 1; i < b.count; i++) {
        if (b.states[i].lost + b.states[i].later < b.states[best].lost + b.states[best].later)
            best = i;
    }
    for (uint32_t level = levels; level-- > 0; best = b.parent[(size_t)level * width + best]) {
        const struct cell *cell = &s->cells[b.cell[(size_t)level * width + best]];

        s->fixed[cell->unit] = cell->device;
    }
    *verdict = record(s) ? FOUND : UNKNOWN;
done:
    he_arena_fini(&arena);
    return status;
}

/* The core of the allowance, with the tables of a good bound. UNKNOWN: it is to be searched. */
static enum verdict prepare(struct narrow *s, double *bound)
{
    enum verdict verdict = UNKNOWN;
    uint32_t gone = UINT32_MAX;

    memset(s->is_out, 0, (size_t)s->n * s->d * sizeof *s->is_out);
    for (uint32_t round = 0; gone > s->start[s->member_count] / 20; round++) {
        verdict = collect(s);
        if (verdict != UNKNOWN || s->is_stopped)
            return verdict;
        verdict = raise_bound(s, bound);
        if (verdict != UNKNOWN)
            return verdict;
        if (is_late(s)) {
            s->is_stopped = true;
            return UNKNOWN;
        }
        if (round == ROUNDS)
            break;
        gone = shrink(s, *bound);
    }
    return UNKNOWN;
}

/* Whether there is an answer within the allowance. */
static enum verdict try_target(struct narrow *s)
{
    double bound = 0.0;
    enum verdict verdict = prepare(s, &bound);

    return verdict == UNKNOWN && !s->is_stopped ? search_core(s, bound) : verdict;
}

static void set_deadline(struct narrow *s, double share)
{
    const struct he_rows_search *search = s->search;
    uint64_t now = search->deadline_ns ? he_place_now_ns(search->options) : 0;

    s->deadline_ns = search->deadline_ns;
    if (search->deadline_ns > now)
        s->deadline_ns = now + (uint64_t)(share * (double)(search->deadline_ns - now));
}

/* The knapsacks' bound for everything better than the best known. */
static void raise_floor(struct narrow *s, double *bound)
{
    double grain = s->search->grain, found = 0.0;
    enum verdict verdict;

    s->allowance = s->value - grain - s->floor + whisker(s);
    set_deadline(s, SHARE);
    verdict = collect(s);
    if (!s->is_large) {
        verdict = verdict == UNKNOWN ? raise_bound(s, &found) : verdict;
        *bound = fmax(*bound, verdict == UNKNOWN ? s->floor + found - whisker(s)
                                                 : s->value - whisker(s));
    }
    s->is_large = false;
}

/* From the bound upwards to just below the best known. */
static void climb(struct narrow *s, double *bound)
{
    const struct he_rows_search *search = s->search;
    double grain = search->grain, target;
    bool all_below = true;

    if (grain > 0.0)
        raise_floor(s, bound);
    target = grain > 0.0 ? ceil((fmax(s->floor, *bound) - whisker(s)) / grain) * grain : s->value;
    for (uint32_t k = 0; (search->deadline_ns || k < MOST_TARGETS); k++, target += grain) {
        enum verdict verdict;

        if (grain > 0.0 && target > s->value - grain + whisker(s))
            break;
        s->allowance = target - s->floor + (grain > 0.0 ? whisker(s) : -whisker(s));
        s->is_stopped = false;
        s->node_limit = search->deadline_ns ? UINT64_MAX : NODES;
        set_deadline(s, SHARE);
        if (is_late(s))
            return;
        verdict = try_target(s);
        all_below &= !s->is_stopped && verdict != UNKNOWN;
        if (all_below && verdict == NOTHING_THERE)
            *bound = fmax(*bound, (grain > 0.0 ? target + grain : s->value) - whisker(s));
        if (all_below && verdict == FOUND)
            *bound = fmax(*bound, s->value - whisker(s));
        if (verdict == FOUND || grain == 0.0 || s->is_stopped)
            break;
    }
}

/* Beams for anything better than the best known, wider and wider. */
static he_status widen(struct narrow *s, double *known)
{
    uint32_t widest = s->search->deadline_ns ? WIDEST : WIDEST_OF_WORK;
    double grain = s->search->grain, bound = 0.0;
    enum verdict verdict = FOUND;
    he_status status = HE_OK;

    set_deadline(s, BEAM_SHARE);
    s->steps = FEW_STEPS;
    for (uint32_t width = NARROWEST; status == HE_OK && width <= widest && !is_late(s);) {
        if (*known > s->value - grain + whisker(s))
            break;
        s->is_stopped = s->is_large = false;
        s->allowance = s->value - s->floor + (grain > 0.0 ? whisker(s) - grain : -whisker(s));
        if (verdict == FOUND)
            verdict = prepare(s, &bound);
        if (s->is_stopped)
            break;
        if (verdict == UNKNOWN)
            status = run_beam(s, bound, width, &verdict);
        if (verdict == NOTHING_THERE) {
            *known = fmax(*known, s->value - whisker(s));
            break;
        }
        if (verdict == UNKNOWN)
            width *= 2;
    }
    return status;
}

static he_status reserve(struct narrow *s, struct he_arena *arena)
{
    size_t n = s->n, d = s->d, most_room = 0, size = 0;

    for (size_t j = 0; j < d; j++) {
        most_room = s->room[j] > most_room ? s->room[j] : most_room;
        size += (n + 1) * (s->room[j] + (size_t)1);
    }
    s->regret = he_arena_alloc(arena, n, d * sizeof *s->regret);
    s->is_out = he_arena_alloc(arena, n, d * sizeof *s->is_out);
    s->cells = he_arena_alloc(arena, n, d * sizeof *s->cells);
    s->by_device = he_arena_alloc(arena, n, d * sizeof *s->by_device);
    s->order = he_arena_alloc(arena, n, sizeof *s->order);
    s->start = he_arena_alloc(arena, n + 1, sizeof *s->start);
    s->members = he_arena_alloc(arena, n, sizeof *s->members);
    s->fixed = he_arena_alloc(arena, n, sizeof *s->fixed);
    s->slack = he_arena_alloc(arena, d, sizeof *s->slack);
    s->device_start = he_arena_alloc(arena, d + 1, sizeof *s->device_start);
    s->fill = he_arena_alloc(arena, d, sizeof *s->fill);
    s->tables = he_arena_alloc(arena, size < MOST_TABLE ? size : MOST_TABLE, sizeof *s->tables);
    s->rest = he_arena_alloc(arena, n + 1, sizeof *s->rest);
    s->ahead = he_arena_alloc(arena, most_room + 1, sizeof *s->ahead);
    s->count = he_arena_alloc(arena, n, sizeof *s->count);
    s->delta = he_arena_alloc(arena, n, sizeof *s->delta);
    s->tried = he_arena_alloc(arena, n, sizeof *s->tried);
    return s->regret && s->is_out && s->cells && s->by_device && s->order && s->start && s->members &&
                   s->fixed && s->slack && s->device_start && s->fill && s->tables && s->rest &&
                   s->ahead && s->count && s->delta && s->tried
               ? HE_OK
               : he_no_memory();
}

he_status he_rows_narrow(const struct he_rows_search *search, uint32_t *device, double *bound)
{
    struct narrow s = { .search = search, .rows = search->rows, .n = search->rows->unit_count,
                        .d = search->rows->device_count, .best = device,
                        .steps = STEPS };
    struct he_arena arena;
    he_status status = HE_OK;

    if (s.n == 0 || s.d < 2)
        return HE_OK;
    he_arena_init(&arena, &s.rows->units->problem->arena.alloc);
    s.room = he_arena_alloc(&arena, s.d, sizeof *s.room);
    s.price = he_arena_alloc(&arena, s.d, sizeof *s.price);
    if (!s.room || !s.price) {
        status = he_no_memory();
    } else if (read_rows(&s)) {
        status = reserve(&s, &arena);
        if (status == HE_OK) {
            set_regrets(&s);
            s.value = value_of(&s, device);
            climb(&s, bound);
            if (!he_rows_is_optimal(&(struct he_rows_search){ .bound = *bound,
                                                              .grain = search->grain }, s.value))
                status = widen(&s, bound);
        }
    }
    he_arena_fini(&arena);
    return status;
}
