/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Annealing of an assignment within rows: one unit goes elsewhere, or two trade places. What
 * exceeds a row costs a penalty a little above the row's multiplier, raised while nothing fits and
 * lowered while nearly everything does, so that the search walks along the edge of what fits
 * (the adaptive weights of Yagiura, Ibaraki and Glover 2004). Units are offered the devices that are
 * cheap for them at the multipliers' prices.
 */
#include <string.h>

#include "core/size.h"
#include "judge.h"
#include "random.h"
#include "rows.h"

#define MOST_CHOICES 6u
#define PENALTY 1.2         /* times the multiplier */
#define HOT 0.03            /* temperatures, in prices of what a mean unit takes */
#define COLD 0.003
#define ADAPT_EVERY 4096u

struct squeeze {
    const struct he_rows_search *search;
    const struct he_rows *rows;
    struct he_random random;
    uint32_t *choice;              /* [unit * MOST_CHOICES], cheapest first */
    uint32_t *choice_count;
    uint32_t *device, *place;      /* by unit; its place among its device's */
    uint32_t **on, *on_count;      /* units by device */
    uint32_t *on_capacity;
    double *used, *penalty;        /* by row */
    uint32_t exceeded;             /* rows */
    double value, least, unit_price;
    uint32_t *best;
    bool has_best;
};

/* What the change of a row's use changes the penalties by; *exceeded follows. */
static double row_delta(const struct squeeze *s, uint32_t row, double change, int *exceeded)
{
    double limit = s->rows->limit[row], before = s->used[row], after = before + change;
    bool was = !he_fits(before, limit), is = !he_fits(after, limit);

    *exceeded += (int)is - (int)was;
    return s->penalty[row] * ((is ? after - limit : 0.0) - (was ? before - limit : 0.0));
}

struct shift {
    uint32_t unit, from, to;
};

/* All that a move changes: the two shifts of an exchange take from the same rows. */
static double delta(const struct squeeze *s, const struct shift *shifts, int count, int *exceeded)
{
    const struct he_rows *rows = s->rows;
    uint32_t slots = rows->slot_count, d = rows->device_count;
    double sum = 0.0;

    for (int i = 0; i < count; i++)
        sum += s->search->cost[(size_t)shifts[i].unit * d + shifts[i].to] -
               s->search->cost[(size_t)shifts[i].unit * d + shifts[i].from];
    for (uint32_t k = 0; k < slots; k++) {
        uint32_t a = rows->row[shifts[0].from * slots + k], b = rows->row[shifts[0].to * slots + k];
        double on_a = 0.0, on_b = 0.0;

        for (int i = 0; i < count; i++) {
            double leaves = he_rows_amounts(rows, shifts[i].unit, shifts[i].from)[k];
            double comes = he_rows_amounts(rows, shifts[i].unit, shifts[i].to)[k];

            on_a += i == 0 ? -leaves : comes;
            on_b += i == 0 ? comes : -leaves;
        }
        if (a == b) {
            if (a != HE_NO_ROW)
                sum += row_delta(s, a, on_a + on_b, exceeded);
            continue;
        }
        if (a != HE_NO_ROW)
            sum += row_delta(s, a, on_a, exceeded);
        if (b != HE_NO_ROW)
            sum += row_delta(s, b, on_b, exceeded);
    }
    return sum;
}

static void use(struct squeeze *s, uint32_t unit, uint32_t device, double sign)
{
    const struct he_rows *rows = s->rows;
    const double *amounts = he_rows_amounts(rows, unit, device);

    for (uint32_t k = 0; k < rows->slot_count; k++) {
        uint32_t row = rows->row[device * rows->slot_count + k];

        if (row != HE_NO_ROW)
            s->used[row] += sign * amounts[k];
    }
}

static he_status put_on(struct squeeze *s, uint32_t unit, uint32_t device)
{
    size_t capacity = s->on_capacity[device];

    if (s->on_count[device] == capacity) {
        void *grown = s->on[device];
        he_status status = he_alloc_grow(&s->rows->units->problem->arena.alloc, &grown, &capacity,
                                         capacity, capacity + 1, sizeof(uint32_t));

        s->on[device] = grown;
        if (status != HE_OK)
            return status;
        s->on_capacity[device] = (uint32_t)capacity;
    }
    s->place[unit] = s->on_count[device];
    s->on[device][s->on_count[device]++] = unit;
    s->device[unit] = device;
    return HE_OK;
}

static void take_off(struct squeeze *s, uint32_t unit)
{
    uint32_t device = s->device[unit], last = s->on[device][--s->on_count[device]];

    s->on[device][s->place[unit]] = last;
    s->place[last] = s->place[unit];
}

static void recount(struct squeeze *s)
{
    uint32_t d = s->rows->device_count;

    (void)he_rows_used(s->rows, s->device, s->used);
    s->value = 0.0;
    s->exceeded = 0;
    for (uint32_t u = 0; u < s->rows->unit_count; u++)
        s->value += s->search->cost[(size_t)u * d + s->device[u]];
    for (uint32_t r = 0; r < s->rows->row_count; r++)
        s->exceeded += !he_fits(s->used[r], s->rows->limit[r]);
}

static void record(struct squeeze *s)
{
    if (s->exceeded || (s->has_best && !(s->value < s->least - 1e-12 * fabs(s->least))))
        return;
    s->has_best = true;
    s->least = s->value;
    memcpy(s->best, s->device, s->rows->unit_count * sizeof *s->best);
}

/* The cheapest devices of every unit at the multipliers' prices, and among equals those of whose
 * rows it takes the smaller parts; what a unit pays on average. */
static void rank_choices(struct squeeze *s)
{
    const struct he_rows *rows = s->rows;
    uint32_t d = rows->device_count, slots = rows->slot_count;
    double price[MOST_CHOICES], part[MOST_CHOICES], paid = 0.0;
    size_t cells = 0;

    for (uint32_t u = 0; u < rows->unit_count; u++) {
        uint32_t *choice = s->choice + (size_t)u * MOST_CHOICES, count = 0;

        for (uint32_t i = 0; i < d; i++) {
            uint32_t j = (i + u) % d, at; /* each begins at another, lest all like the same */
            const double *amounts = he_rows_amounts(rows, u, j);
            double priced = s->search->cost[(size_t)u * d + j], taken = 0.0;

            if (isinf(priced))
                continue;
            for (uint32_t k = 0; k < slots; k++) {
                uint32_t row = rows->row[j * slots + k];

                if (row == HE_NO_ROW)
                    continue;
                priced += s->search->multipliers[row] * amounts[k];
                paid += s->search->multipliers[row] * amounts[k];
                if (amounts[k] > 0.0)
                    taken += amounts[k] / rows->limit[row];
            }
            cells++;
            at = count;
            while (at > 0 && (price[at - 1] > priced ||
                              (price[at - 1] == priced && part[at - 1] > taken)))
                at--;
            if (at == MOST_CHOICES)
                continue;
            count += count < MOST_CHOICES;
            for (uint32_t k = count - 1; k > at; k--) {
                price[k] = price[k - 1];
                part[k] = part[k - 1];
                choice[k] = choice[k - 1];
            }
            price[at] = priced;
            part[at] = taken;
            choice[at] = j;
        }
        s->choice_count[u] = count;
    }
    s->unit_price = cells ? paid / (double)cells : 0.0;
}

/* Where multipliers are nothing, a part of what the others are, by the share of the limit. */
static void set_penalties(struct squeeze *s)
{
    const struct he_rows *rows = s->rows;
    const double *y = s->search->multipliers;
    double mean = 0.0, size = 0.0;
    uint32_t count = 0;

    for (uint32_t r = 0; r < rows->row_count; r++) {
        mean += y[r] * rows->limit[r];
        count += y[r] > 0.0;
    }
    mean /= count ? count : 1;
    if (!(mean > 0.0)) {
        for (uint32_t u = 0; u < rows->unit_count; u++)
            size += fabs(s->search->cost[(size_t)u * rows->device_count + s->device[u]]);
        mean = size > 0.0 ? size / rows->row_count : 1.0;
    }
    if (!(s->unit_price > 0.0))
        s->unit_price = mean * rows->row_count / (rows->unit_count + 1.0);
    for (uint32_t r = 0; r < rows->row_count; r++) {
        double limit = rows->limit[r] > 0.0 ? rows->limit[r] : 1.0;

        s->penalty[r] = PENALTY * fmax(y[r], 0.3 * mean / limit);
    }
}

/* Takes a random move, or not. */
static he_status try_move(struct squeeze *s, double temperature)
{
    uint32_t unit = he_random_below(&s->random, s->rows->unit_count), from = s->device[unit], to;
    struct shift shifts[2];
    int count = 1, exceeded = 0;
    double change;
    he_status status = HE_OK;

    to = s->choice[(size_t)unit * MOST_CHOICES + he_random_below(&s->random, s->choice_count[unit])];
    if (to == from)
        return HE_OK;
    shifts[0] = (struct shift){ unit, from, to };
    if ((he_random_next(&s->random) & 3) && s->on_count[to]) {
        uint32_t other = s->on[to][he_random_below(&s->random, s->on_count[to])];

        if (isinf(s->search->cost[(size_t)other * s->rows->device_count + from]))
            return HE_OK;
        shifts[count++] = (struct shift){ other, to, from };
    }
    change = delta(s, shifts, count, &exceeded);
    if (change > 0.0 && change > -temperature * log(1.0 - he_random_unit(&s->random)))
        return HE_OK;
    for (int i = 0; i < count; i++)
        take_off(s, shifts[i].unit);
    for (int i = 0; status == HE_OK && i < count; i++) {
        uint32_t moved = shifts[i].unit;
        const double *costs = s->search->cost + (size_t)moved * s->rows->device_count;

        s->value += costs[shifts[i].to] - costs[shifts[i].from];
        use(s, moved, shifts[i].from, -1.0);
        use(s, moved, shifts[i].to, 1.0);
        status = put_on(s, moved, shifts[i].to);
    }
    s->exceeded = (uint32_t)((int)s->exceeded + exceeded);
    return status;
}

/* How far the run is, 0..1. */
static double progress(const struct squeeze *s, uint64_t done, uint64_t moves, uint64_t begin_ns)
{
    const struct he_rows_search *search = s->search;
    double by_moves = (double)done / (double)moves;

    if (!search->deadline_ns)
        return by_moves;
    return (double)(he_place_now_ns(search->options) - begin_ns) /
           fmax(1.0, (double)search->deadline_ns - (double)begin_ns);
}

static he_status anneal(struct squeeze *s, uint64_t moves)
{
    uint64_t begin_ns = s->search->deadline_ns ? he_place_now_ns(s->search->options) : 0;
    uint32_t fitting = 0;
    double temperature = 0.0;
    he_status status = HE_OK;

    for (uint64_t done = 0; status == HE_OK; done++) {
        if (done % 512 == 0) {
            double part = progress(s, done, moves, begin_ns);

            if (part >= 1.0 || (s->has_best && he_rows_is_optimal(s->search, s->least)))
                break;
            temperature = HOT * s->unit_price * pow(COLD / HOT, part);
        }
        if (done % ADAPT_EVERY == ADAPT_EVERY - 1) {
            double factor = fitting < ADAPT_EVERY / 20 ? 1.1
                            : fitting > ADAPT_EVERY / 5 * 2 ? 0.95 : 1.0;

            for (uint32_t r = 0; r < s->rows->row_count; r++)
                s->penalty[r] *= factor;
            fitting = 0;
            recount(s); /* sums of rounded numbers drift */
        }
        status = try_move(s, temperature);
        fitting += s->exceeded == 0;
        record(s);
    }
    return status;
}

static he_status reserve(struct squeeze *s, struct he_arena *arena)
{
    size_t n = s->rows->unit_count, d = s->rows->device_count, r = s->rows->row_count;

    s->choice = he_arena_alloc(arena, n, MOST_CHOICES * sizeof *s->choice);
    s->choice_count = he_arena_alloc(arena, n, sizeof *s->choice_count);
    s->place = he_arena_alloc(arena, n, sizeof *s->place);
    s->best = he_arena_alloc(arena, n, sizeof *s->best);
    s->on = he_arena_alloc(arena, d, sizeof *s->on);
    s->on_count = he_arena_alloc(arena, d, sizeof *s->on_count);
    s->on_capacity = he_arena_alloc(arena, d, sizeof *s->on_capacity);
    s->used = he_arena_alloc(arena, r, sizeof *s->used);
    s->penalty = he_arena_alloc(arena, r, sizeof *s->penalty);
    return s->choice && s->choice_count && s->place && s->best && s->on && s->on_count &&
                   s->on_capacity && s->used && s->penalty
               ? HE_OK
               : he_no_memory();
}

he_status he_rows_anneal(const struct he_rows_search *search, uint64_t moves, uint32_t *device,
                         bool *found)
{
    const struct he_rows *rows = search->rows;
    struct squeeze s = { .search = search, .rows = rows, .device = device,
                         .random = { search->options->seed + 0x5175u } };
    struct he_arena arena;
    he_status status;

    *found = false;
    if (rows->unit_count == 0 || moves == 0)
        return HE_OK;
    he_arena_init(&arena, &rows->units->problem->arena.alloc);
    status = reserve(&s, &arena);
    if (status == HE_OK) {
        rank_choices(&s);
        for (uint32_t u = 0; status == HE_OK && u < rows->unit_count; u++) {
            if (isinf(search->cost[(size_t)u * rows->device_count + device[u]]))
                device[u] = s.choice[(size_t)u * MOST_CHOICES];
            status = s.choice_count[u] ? put_on(&s, u, device[u])
                                       : he_error_set(HE_ERR_BUDGET, "a task fits on no device");
        }
    }
    if (status == HE_OK) {
        set_penalties(&s);
        recount(&s);
        record(&s);
        status = anneal(&s, moves);
    }
    if (status == HE_OK && s.has_best) {
        memcpy(device, s.best, rows->unit_count * sizeof *device);
        *found = true;
    }
    for (uint32_t j = 0; s.on && j < rows->device_count; j++)
        he_free(&arena.alloc, s.on[j]);
    he_arena_fini(&arena);
    return status;
}
