/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves an assignment within rows, or finds the better one, when it is already close to the
 * bound. For a value to be reached, what an answer costs above the bound must stay within the
 * distance: cells (a unit on a device) whose regret alone is more go, and units with one cell left
 * are fixed. What remains is narrowed by the knapsacks' bound (knapsacks.c) and searched depth
 * first, with the tables' sums as bound of every node. Values are tried from the bound upwards,
 * so that each core is as small as can be; when that takes too long, beams (beam.c) look for
 * anything better.
 *
 * For rows of one device each, in whole numbers that are not too large; else it does nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "narrow.h"

#define MOST_TARGETS 12u
#define STEPS 60u           /* of the multipliers, per round */
#define FEW_STEPS 15u       /* when only the core has changed */
#define ROUNDS 6u
#define NODES 200000u       /* per target, without a deadline */
#define SHARE 0.15          /* of the time left, per target; for beams */
#define BEAM_SHARE 0.8
#define NARROWEST 100u      /* beams, in states; doubled as long as there is time */
#define WIDEST 1600u
#define WIDEST_OF_WORK 200u /* without a deadline */

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
        if (!(rows->limit[row] >= 0.0 && rows->limit[row] < NARROW_TABLE))
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

/* Those with most to lose by their second choice are decided first: nearly fixed. */
static int compare_ranks(const void *left, const void *right)
{
    const struct narrow_rank *a = left, *b = right;

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
                regret[j] += s->price[j] * narrow_amount(s, u, j);
            second = fmin(second, fmax(least, regret[j]));
            least = fmin(least, regret[j]);
        }
        s->order[u] = (struct narrow_rank){ second - least, u };
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

bool he_narrow_record(struct narrow *s)
{
    double value = value_of(s, s->fixed);

    if (!(value < s->value))
        return false;
    s->value = value;
    memcpy(s->best, s->fixed, s->n * sizeof *s->best);
    return true;
}

/* @later is the sum of the tables of all devices at this level. */
static void dive(struct narrow *s, uint32_t level, double lost, double later)
{
    struct narrow_cell *first = s->cells + s->start[level], *end = s->cells + s->start[level + 1];

    if (level == s->member_count) {
        (void)he_narrow_record(s);
        s->allowance =
            s->value - s->floor -
            (s->search->grain > 0.0 ? s->search->grain - narrow_whisker(s) : narrow_whisker(s));
        return;
    }
    for (struct narrow_cell *c = first; c < end; c++)
        later += c->table[s->slack[c->device] + s->fill[c->device]] - c->table[s->slack[c->device]];
    for (struct narrow_cell *c = first; c < end; c++) {
        const double *without = c->table + s->fill[c->device];
        uint32_t room = s->slack[c->device];

        c->is_open = room >= c->amount;
        if (c->is_open)
            c->bound = c->regret + without[room - c->amount] - without[room];
    }
    for (;;) {
        struct narrow_cell *next = NULL;

        for (struct narrow_cell *c = first; c < end; c++) {
            if (c->is_open && (!next || c->bound < next->bound))
                next = c;
        }
        if (!next || lost + later + s->rest[level + 1] + next->bound > s->allowance)
            return;
        if (++s->nodes >= s->node_limit || (s->nodes % 512 == 0 && narrow_is_late(s)))
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

void he_narrow_begin(struct narrow *s)
{
    s->rest[s->member_count] = 0.0;
    for (uint32_t i = s->member_count; i-- > 0;)
        s->rest[i] = s->rest[i + 1] + s->delta[s->members[i]];
    for (uint32_t j = 0; j < s->d; j++)
        s->fill[j] = s->slack[j] + 1; /* a table's row */
}

static enum narrow_verdict search_core(struct narrow *s, double bound)
{
    double before = s->value;

    he_narrow_begin(s);
    s->nodes = 0;
    dive(s, 0, s->fixed_regret, bound - s->fixed_regret - s->rest[0]);
    return s->value < before ? VERDICT_FOUND : s->is_stopped ? VERDICT_UNKNOWN : VERDICT_NOTHING;
}

/* The core of the allowance, with the tables of a good bound. UNKNOWN: it is to be searched. */
static enum narrow_verdict prepare(struct narrow *s, double *bound)
{
    enum narrow_verdict verdict = VERDICT_UNKNOWN;
    uint32_t gone = UINT32_MAX;

    memset(s->is_out, 0, (size_t)s->n * s->d * sizeof *s->is_out);
    for (uint32_t round = 0; gone > s->start[s->member_count] / 20; round++) {
        verdict = he_knapsacks_collect(s);
        if (verdict != VERDICT_UNKNOWN || s->is_stopped)
            return verdict;
        verdict = he_knapsacks_raise(s, bound);
        if (verdict != VERDICT_UNKNOWN)
            return verdict;
        if (narrow_is_late(s)) {
            s->is_stopped = true;
            return VERDICT_UNKNOWN;
        }
        if (round == ROUNDS)
            break;
        gone = he_knapsacks_shrink(s, *bound);
    }
    return VERDICT_UNKNOWN;
}

/* Whether there is an answer within the allowance. */
static enum narrow_verdict try_target(struct narrow *s)
{
    double bound = 0.0;
    enum narrow_verdict verdict = prepare(s, &bound);

    return verdict == VERDICT_UNKNOWN && !s->is_stopped ? search_core(s, bound) : verdict;
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
    enum narrow_verdict verdict;

    s->allowance = s->value - grain - s->floor + narrow_whisker(s);
    set_deadline(s, SHARE);
    verdict = he_knapsacks_collect(s);
    if (!s->is_large) {
        verdict = verdict == VERDICT_UNKNOWN ? he_knapsacks_raise(s, &found) : verdict;
        *bound = fmax(*bound, verdict == VERDICT_UNKNOWN ? s->floor + found - narrow_whisker(s)
                                                 : s->value - narrow_whisker(s));
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
    target =
        grain > 0.0 ? ceil((fmax(s->floor, *bound) - narrow_whisker(s)) / grain) * grain : s->value;
    for (uint32_t k = 0; (search->deadline_ns || k < MOST_TARGETS); k++, target += grain) {
        enum narrow_verdict verdict;

        if (grain > 0.0 && target > s->value - grain + narrow_whisker(s))
            break;
        s->allowance = target - s->floor + (grain > 0.0 ? narrow_whisker(s) : -narrow_whisker(s));
        s->is_stopped = false;
        s->node_limit = search->deadline_ns ? UINT64_MAX : NODES;
        set_deadline(s, SHARE);
        if (narrow_is_late(s))
            return;
        verdict = try_target(s);
        all_below &= !s->is_stopped && verdict != VERDICT_UNKNOWN;
        if (all_below && verdict == VERDICT_NOTHING)
            *bound = fmax(*bound, (grain > 0.0 ? target + grain : s->value) - narrow_whisker(s));
        if (all_below && verdict == VERDICT_FOUND)
            *bound = fmax(*bound, s->value - narrow_whisker(s));
        if (verdict == VERDICT_FOUND || grain == 0.0 || s->is_stopped)
            break;
    }
}

/* Beams for anything better than the best known, wider and wider. */
static he_status widen(struct narrow *s, double *known)
{
    uint32_t widest = s->search->deadline_ns ? WIDEST : WIDEST_OF_WORK;
    double grain = s->search->grain, bound = 0.0;
    enum narrow_verdict verdict = VERDICT_FOUND;
    he_status status = HE_OK;

    set_deadline(s, BEAM_SHARE);
    s->steps = FEW_STEPS;
    for (uint32_t width = NARROWEST; status == HE_OK && width <= widest && !narrow_is_late(s);) {
        if (*known > s->value - grain + narrow_whisker(s))
            break;
        s->is_stopped = s->is_large = false;
        s->allowance =
            s->value - s->floor + (grain > 0.0 ? narrow_whisker(s) - grain : -narrow_whisker(s));
        if (verdict == VERDICT_FOUND)
            verdict = prepare(s, &bound);
        if (s->is_stopped)
            break;
        if (verdict == VERDICT_UNKNOWN)
            status = he_narrow_beam(s, bound, width, &verdict);
        if (verdict == VERDICT_NOTHING) {
            *known = fmax(*known, s->value - narrow_whisker(s));
            break;
        }
        if (verdict == VERDICT_UNKNOWN)
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
    s->tables = he_arena_alloc(arena, size < NARROW_TABLE ? size : NARROW_TABLE, sizeof *s->tables);
    s->rest = he_arena_alloc(arena, n + 1, sizeof *s->rest);
    s->ahead = he_arena_alloc(arena, most_room + 1, sizeof *s->ahead);
    s->count = he_arena_alloc(arena, n, sizeof *s->count);
    s->delta = he_arena_alloc(arena, n, sizeof *s->delta);
    s->tried = he_arena_alloc(arena, n, sizeof *s->tried);
    return s->regret && s->is_out && s->cells && s->by_device && s->order && s->start &&
                   s->members && s->fixed && s->slack && s->device_start && s->fill && s->tables &&
                   s->rest && s->ahead && s->count && s->delta && s->tried
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
