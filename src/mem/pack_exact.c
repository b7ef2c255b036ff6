/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact search for a packing within a capacity, by filling a skyline from below.
 *
 * Time is cut into columns: the steps at which a maximal set of buffers lives. What is placed in a
 * column is below its floor, and the buffers still to come lie above it. A buffer's low is the
 * highest floor under it. A floor under which nothing can come to lie is lifted to the least low
 * of its column: that room is lost. Of a packing one keeps those that cannot be pushed down, so
 * that something always rests on the lowest floor of a valley (columns with higher ones on both
 * sides). One column of one valley is branched on: each buffer that can rest there is tried, and
 * then that none of them does, so that its floor goes up to where the next one can lie at the
 * earliest. Every packing is seen once, whichever column is taken; the one that leaves the fewest
 * choices is, mostly.
 *
 * A node dies when one column cannot hold its rest: its buffers one after the other, none below its
 * low, taken by rising lows (the machine with release dates). Where no buffer crosses from one
 * column to the next, both sides are problems of their own; a side that fails sends the search
 * straight to the choice that made the side. Failed sides (buffers left, floors) are remembered by
 * hash, 128 bits of it, over all tries. A try is given up after some nodes, and the next one
 * takes columns and buffers by other rules, later ones with noise.
 *
 * The ideas of canonical packings, of sections with their floors as bounds, of splitting while
 * searching and of several orders in turns are those of MiniMalloc (Moffitt, ASPLOS 2023).
 */
#include <stdlib.h>
#include <string.h>

#include "mem/pack_inside.h"

#define MOST_ENTRIES 8000000u /* buffers times columns: beyond that there is no exact search */
#define MOST_BUFFERS 20000u    /* a node looks at all that hang together: quadratic in their number */
#define MEMO_BITS 17

/* What was changed, to be changed back. */
enum change { LOW, FLOOR, PLACED, SORTED };
struct trail {
    enum change change;
    uint32_t index;
    size_t old;
};

/* Columns from left to right, which do not hang together with others; NO_FRAME: at the start. */
#define NO_FRAME UINT32_MAX
struct side {
    uint32_t left, right, parent;
};

struct frame {
    struct side side;
    uint32_t column;
    size_t choice_begin;
    uint32_t choice_count, next;
    size_t trail_mark, side_mark;
    uint64_t key[2];
    bool was_lifted; /* the last choice, that nothing rests here, is taken */
};

struct pack_exact {
    const struct pack_set *set;
    struct he_allocator alloc;
    uint32_t count, column_count;
    size_t capacity, most_rest; /* most_rest: of all columns, before anything is placed */
    uint32_t *left, *right; /* per buffer: its columns */
    double *rank;           /* per buffer: larger is tried first */
    size_t *low, *offsets;
    bool *is_placed;
    size_t *floor, *rest;        /* per column: bytes still to come */
    uint32_t *left_over;         /* per column: buffers still to come */
    uint32_t *crossing;          /* of those, how many go on to the next column */
    size_t *begin;               /* per column: its buffers in members[], by low unless it is dirty */
    uint32_t *members;
    uint32_t *start, *starters;  /* per column: the buffers whose first it is */
    bool *is_dirty;              /* per column: to be sorted and checked */
    int32_t *marks;              /* per column, while placing: differences of what became dirty */
    size_t *peak;                /* per buffer: the most bytes that live beside it */
    uint64_t (*memo)[2];
    struct trail *trail;
    struct side *sides;
    struct frame *frames;
    uint32_t *choices;
    size_t trail_room, side_room, frame_room, choice_room;
    size_t trail_count, side_count, frame_count, choice_count;
    uint64_t nodes, most_nodes, attempt, random;
    unsigned column_rule;
    struct pack_clock *clock;
};

/* --- Columns --- */

/* A moment at which a buffer comes or goes. */
struct moment {
    uint64_t step;
    bool is_birth;
};

static int compare_moments(const void *left, const void *right)
{
    const struct moment *a = left, *b = right;

    if (a->step != b->step)
        return a->step < b->step ? -1 : 1;
    return (int)a->is_birth - (int)b->is_birth;
}

/* The steps of the columns: a birth that a death follows. */
static uint32_t *find_columns(const struct pack_set *set, struct he_arena *arena,
                              uint32_t *column_count)
{
    struct moment *moments = he_arena_alloc(arena, (size_t)set->count * 2, sizeof *moments);
    uint32_t *steps = he_arena_alloc(arena, set->count, sizeof *steps);

    *column_count = 0;
    if (!moments || !steps)
        return NULL;
    for (uint32_t k = 0; k < set->count; k++) {
        moments[2 * k] = (struct moment){ set->first[k], true };
        moments[2 * k + 1] = (struct moment){ (uint64_t)set->last[k] + 1, false };
    }
    qsort(moments, (size_t)set->count * 2, sizeof *moments, compare_moments);
    for (size_t k = 0; k + 1 < (size_t)set->count * 2; k++) {
        if (moments[k].is_birth && !moments[k + 1].is_birth)
            steps[(*column_count)++] = (uint32_t)moments[k].step;
    }
    return steps;
}

/* The first column whose step is not before @step. */
static uint32_t column_of(const uint32_t *steps, uint32_t count, uint64_t step)
{
    uint32_t low = 0, high = count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (steps[middle] < step)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool find_spans(struct pack_exact *x, const uint32_t *steps, struct he_arena *arena)
{
    size_t entries = 0;

    x->left = he_arena_alloc(arena, x->count, sizeof *x->left);
    x->right = he_arena_alloc(arena, x->count, sizeof *x->right);
    x->begin = he_arena_alloc(arena, (size_t)x->column_count + 1, sizeof *x->begin);
    x->start = he_arena_alloc(arena, (size_t)x->column_count + 1, sizeof *x->start);
    if (!x->left || !x->right || !x->begin || !x->start)
        return false;
    for (uint32_t k = 0; k < x->count; k++) {
        x->left[k] = column_of(steps, x->column_count, x->set->first[k]);
        x->right[k] = column_of(steps, x->column_count, (uint64_t)x->set->last[k] + 1) - 1;
        entries += x->right[k] - x->left[k] + 1;
    }
    x->begin[x->column_count] = entries;
    return true;
}

static bool fill_columns(struct pack_exact *x, struct he_arena *arena)
{
    size_t next = 0;
    uint32_t *fill;

    x->members = he_arena_alloc(arena, x->begin[x->column_count], sizeof *x->members);
    x->starters = he_arena_alloc(arena, x->count, sizeof *x->starters);
    fill = he_arena_alloc(arena, x->column_count, sizeof *fill);
    if (!x->members || !x->starters || !fill)
        return false;
    for (uint32_t k = 0; k < x->count; k++) {
        x->start[x->left[k] + 1]++;
        for (uint32_t c = x->left[k]; c <= x->right[k]; c++) {
            x->rest[c] += x->set->bytes[k];
            x->left_over[c]++;
            x->crossing[c] += c < x->right[k];
        }
    }
    for (uint32_t c = 0; c < x->column_count; c++) {
        x->most_rest = x->rest[c] > x->most_rest ? x->rest[c] : x->most_rest;
        x->start[c + 1] += x->start[c];
        x->begin[c] = next;
        next += x->left_over[c];
    }
    for (uint32_t k = 0; k < x->count; k++) {
        for (uint32_t c = x->left[k]; c <= x->right[k]; c++) {
            x->members[x->begin[c] + fill[c]++] = k;
            if (x->rest[c] > x->peak[k])
                x->peak[k] = x->rest[c];
        }
    }
    memset(fill, 0, x->column_count * sizeof *fill);
    for (uint32_t k = 0; k < x->count; k++)
        x->starters[x->start[x->left[k]] + fill[x->left[k]]++] = k;
    return true;
}

he_status he_pack_exact_create(const struct pack_set *set, uint64_t seed, struct he_arena *arena,
                               struct pack_exact **out)
{
    struct pack_exact *x = he_arena_alloc(arena, 1, sizeof *x);
    const uint32_t *steps;

    *out = NULL;
    if (!set->begin || set->count > MOST_BUFFERS)
        return HE_OK;
    if (!x)
        return he_no_memory();
    x->set = set;
    x->alloc = arena->alloc;
    x->count = set->count;
    x->random = pack_mix(seed + 1);
    steps = find_columns(set, arena, &x->column_count);
    if (!steps || !find_spans(x, steps, arena))
        return he_no_memory();
    if (x->begin[x->column_count] > MOST_ENTRIES)
        return HE_OK;
    x->rank = he_arena_alloc(arena, x->count, sizeof *x->rank);
    x->low = he_arena_alloc(arena, x->count, sizeof *x->low);
    x->offsets = he_arena_alloc(arena, x->count, sizeof *x->offsets);
    x->is_placed = he_arena_alloc(arena, x->count, sizeof *x->is_placed);
    x->peak = he_arena_alloc(arena, x->count, sizeof *x->peak);
    x->floor = he_arena_alloc(arena, x->column_count, sizeof *x->floor);
    x->rest = he_arena_alloc(arena, x->column_count, sizeof *x->rest);
    x->left_over = he_arena_alloc(arena, x->column_count, sizeof *x->left_over);
    x->crossing = he_arena_alloc(arena, x->column_count, sizeof *x->crossing);
    x->is_dirty = he_arena_alloc(arena, x->column_count, sizeof *x->is_dirty);
    x->marks = he_arena_alloc(arena, (size_t)x->column_count + 1, sizeof *x->marks);
    x->memo = he_arena_alloc(arena, (size_t)1 << MEMO_BITS, sizeof *x->memo);
    if (!x->rank || !x->low || !x->offsets || !x->is_placed || !x->peak || !x->floor || !x->rest ||
        !x->left_over || !x->crossing || !x->is_dirty || !x->marks || !x->memo ||
        !fill_columns(x, arena))
        return he_no_memory();
    *out = x;
    return HE_OK;
}

void he_pack_exact_destroy(struct pack_exact *x)
{
    if (!x)
        return;
    he_free(&x->alloc, x->trail);
    he_free(&x->alloc, x->sides);
    he_free(&x->alloc, x->frames);
    he_free(&x->alloc, x->choices);
}

/* --- Placing and taking back --- */

/* Room for @more changes, so that those who make them need not ask. */
static he_status make_room(struct pack_exact *x, size_t more)
{
    return he_alloc_grow(&x->alloc, (void **)&x->trail, &x->trail_room, x->trail_count,
                         x->trail_count + more, sizeof *x->trail);
}

static void note(struct pack_exact *x, enum change change, uint32_t index, size_t old)
{
    x->trail[x->trail_count++] = (struct trail){ change, index, old };
}

static void set_floor(struct pack_exact *x, uint32_t column, size_t floor)
{
    note(x, FLOOR, column, x->floor[column]);
    x->floor[column] = floor;
}

static void raise_low(struct pack_exact *x, uint32_t item, size_t low)
{
    note(x, LOW, item, x->low[item]);
    x->low[item] = low;
    x->marks[x->left[item]]++;
    x->marks[x->right[item] + 1]--;
}

static void set_dirty(struct pack_exact *x)
{
    int32_t depth = 0;

    for (uint32_t c = 0; c < x->column_count; c++) {
        depth += x->marks[c];
        x->is_dirty[c] |= depth > 0;
    }
    memset(x->marks, 0, ((size_t)x->column_count + 1) * sizeof *x->marks);
}

static void undo(struct pack_exact *x, size_t mark)
{
    while (x->trail_count > mark) {
        struct trail t = x->trail[--x->trail_count];
        uint32_t k = t.index;

        switch (t.change) {
        case LOW:
            x->low[k] = t.old;
            break;
        case FLOOR:
            x->floor[k] = t.old;
            break;
        case SORTED:
            x->is_dirty[k] = true;
            break;
        case PLACED:
            x->is_placed[k] = false;
            for (uint32_t c = x->left[k]; c <= x->right[k]; c++) {
                x->rest[c] += x->set->bytes[k];
                x->left_over[c]++;
                x->crossing[c] += c < x->right[k];
            }
            break;
        }
    }
}

/* Puts @item on its low; false when something does not fit above it any more. */
static bool place(struct pack_exact *x, uint32_t item)
{
    const struct pack_set *set = x->set;
    size_t bytes = set->bytes[item], top = x->low[item] + bytes;
    bool fits = true;

    note(x, PLACED, item, 0);
    x->is_placed[item] = true;
    x->offsets[item] = x->low[item];
    for (uint32_t c = x->left[item]; c <= x->right[item]; c++) {
        x->rest[c] -= bytes;
        x->left_over[c]--;
        x->crossing[c] -= c < x->right[item];
        set_floor(x, c, top);
        fits = fits && x->rest[c] <= x->capacity - top;
    }
    x->marks[x->left[item]]++;
    x->marks[x->right[item] + 1]--;
    for (size_t n = set->begin[item]; n < set->begin[item + 1] && fits; n++) {
        uint32_t other = set->near[n];

        if (x->is_placed[other] || x->low[other] >= top)
            continue;
        raise_low(x, other, top);
        fits = set->bytes[other] <= x->capacity - top;
    }
    x->clock->work += set->begin[item + 1] - set->begin[item];
    set_dirty(x);
    return fits;
}

/* Nothing comes to lie below @floor in @column. */
static bool lift(struct pack_exact *x, uint32_t column, size_t floor)
{
    bool fits = true;

    set_floor(x, column, floor);
    for (size_t n = x->begin[column]; n < x->begin[column + 1]; n++) {
        uint32_t other = x->members[n];

        if (x->is_placed[other] || x->low[other] >= floor)
            continue;
        raise_low(x, other, floor);
        fits = fits && x->set->bytes[other] <= x->capacity - floor;
    }
    x->marks[column]++;
    x->marks[column + 1]--;
    set_dirty(x);
    return fits;
}

/* --- A node --- */

/* Sorts a column by low (what is placed is below its floor, and so in front), lifts its floor;
 * false when its rest cannot fit. */
static bool check_column(struct pack_exact *x, uint32_t column)
{
    uint32_t *members = x->members + x->begin[column];
    uint32_t count = (uint32_t)(x->begin[column + 1] - x->begin[column]);
    size_t end, rest = x->rest[column], last_low;
    bool has_moved = false;

    for (uint32_t k = 1; k < count; k++) {
        uint32_t item = members[k], at = k;
        size_t low = x->low[item];

        while (at > 0 && x->low[members[at - 1]] > low) {
            members[at] = members[at - 1];
            at--;
        }
        members[at] = item;
        has_moved |= at < k;
    }
    x->is_dirty[column] = false;
    if (has_moved)
        note(x, SORTED, column, 0);
    x->clock->work += count;
    if (x->left_over[column] == 0)
        return true;
    end = x->low[members[count - x->left_over[column]]];
    if (end > x->floor[column])
        set_floor(x, column, end);
    last_low = x->low[members[count - 1]];
    for (uint32_t k = count - x->left_over[column]; last_low > end; k++) {
        size_t low = x->low[members[k]], bytes = x->set->bytes[members[k]];

        end = (low > end ? low : end) + bytes;
        rest -= bytes;
    }
    return end <= x->capacity && rest <= x->capacity - end;
}

static void hash_side(const struct pack_exact *x, const struct side *side, uint64_t key[2])
{
    uint64_t a = pack_mix(x->capacity), b = 0;

    for (uint32_t c = side->left; c <= side->right; c++) {
        uint64_t h = pack_mix(((uint64_t)c << 48) ^ (x->floor[c] * 0xd1342543de82ef95u));

        a += h;
        b ^= h * 0x9e3779b97f4a7c15u;
        for (uint32_t n = x->start[c]; n < x->start[c + 1]; n++) {
            uint32_t item = x->starters[n];

            if (x->is_placed[item])
                continue;
            h = pack_mix(~(uint64_t)item);
            a += h;
            b ^= h * 0x9e3779b97f4a7c15u;
        }
    }
    key[0] = a;
    key[1] = b | 1; /* an empty slot of the memory has zeros */
}

static bool has_failed(const struct pack_exact *x, const uint64_t key[2])
{
    const uint64_t *slot = x->memo[key[0] >> (64 - MEMO_BITS)];

    return slot[0] == key[0] && slot[1] == key[1];
}

static void remember_failure(struct pack_exact *x, const uint64_t key[2])
{
    memcpy(x->memo[key[0] >> (64 - MEMO_BITS)], key, 2 * sizeof *key);
}

/* How gladly a column is branched on: less is better. */
static double column_score(const struct pack_exact *x, uint32_t column, uint32_t choices)
{
    double floor = (double)x->floor[column] / (double)x->capacity;
    double slack = (double)(x->capacity - x->floor[column] - x->rest[column]) / (double)x->capacity;
    double ways = choices + (slack > 0.0);

    switch (x->column_rule) {
    case 0: /* the fewest ways, then the left one */
        return ways;
    case 1: /* the lowest floor */
        return floor * 1e6 + ways;
    case 2: /* the fewest ways, then the lowest floor */
        return ways + floor * 0.5;
    case 3: /* the tightest */
        return slack * 1e6 + ways;
    case 4: /* the lowest floor, then the tightest */
        return floor * 1e4 + slack;
    default: /* the fewest ways, then the tightest */
        return ways + slack * 0.5;
    }
}

/* Buffers of a clean column that rest on its floor. */
static uint32_t count_choices(const struct pack_exact *x, uint32_t column)
{
    size_t n = x->begin[column + 1] - x->left_over[column];
    uint32_t choices = 0;

    for (; n < x->begin[column + 1] && x->low[x->members[n]] == x->floor[column]; n++)
        choices++;
    return choices;
}

static uint32_t choose_column(const struct pack_exact *x, const struct side *side)
{
    uint32_t best = side->left;
    double best_score = 0.0;
    bool has_best = false;

    for (uint32_t p = side->left, q; p <= side->right; p = q + 1) {
        size_t floor = x->floor[p];

        for (q = p; q < side->right && x->floor[q + 1] == floor; q++)
            ;
        if ((p > side->left && x->floor[p - 1] < floor) ||
            (q < side->right && x->floor[q + 1] < floor))
            continue;
        for (uint32_t c = p; c <= q; c++) {
            double score = column_score(x, c, count_choices(x, c));

            if (has_best && score >= best_score)
                continue;
            best = c;
            best_score = score;
            has_best = true;
        }
    }
    return best;
}

/* The choices of @frame, best first; one of several buffers that are alike is enough. */
static he_status list_choices(struct pack_exact *x, struct frame *frame)
{
    const struct pack_set *set = x->set;
    uint32_t column = frame->column;
    size_t n = x->begin[column + 1] - x->left_over[column];
    he_status status;

    frame->choice_begin = x->choice_count;
    frame->choice_count = 0;
    status = he_alloc_grow(&x->alloc, (void **)&x->choices, &x->choice_room, x->choice_count,
                           x->choice_count + x->left_over[column], sizeof *x->choices);
    if (status != HE_OK)
        return status;
    for (; n < x->begin[column + 1] && x->low[x->members[n]] == x->floor[column]; n++) {
        uint32_t *choices = x->choices + frame->choice_begin, item = x->members[n], at;
        bool is_new = true;

        for (uint32_t k = 0; k < frame->choice_count && is_new; k++)
            is_new = set->bytes[choices[k]] != set->bytes[item] ||
                     x->left[choices[k]] != x->left[item] || x->right[choices[k]] != x->right[item];
        if (!is_new)
            continue;
        for (at = frame->choice_count++; at > 0 && (x->rank[choices[at - 1]] < x->rank[item] ||
             (x->rank[choices[at - 1]] == x->rank[item] && choices[at - 1] > item)); at--)
            choices[at] = choices[at - 1];
        choices[at] = item;
    }
    x->choice_count += frame->choice_count;
    return HE_OK;
}

/* Where the first buffer of the frame's column can lie if none rests on its floor: on its low, or
 * on something outside the column that comes to lie under it. SIZE_MAX: there is none. */
static size_t next_floor(const struct pack_exact *x, const struct frame *frame)
{
    uint32_t column = frame->column;
    size_t floor = x->floor[column], support = SIZE_MAX, next = SIZE_MAX;

    for (uint32_t n = x->start[frame->side.left]; n < x->start[frame->side.right + 1]; n++) {
        uint32_t item = x->starters[n];
        size_t top = x->low[item] + x->set->bytes[item];

        if (!x->is_placed[item] && (x->right[item] < column || x->left[item] > column) &&
            top > floor && top < support)
            support = top;
    }
    for (size_t n = x->begin[column]; n < x->begin[column + 1]; n++) {
        uint32_t item = x->members[n];
        size_t low = x->low[item] > floor ? x->low[item] : support;

        if (!x->is_placed[item] && low < next)
            next = low;
    }
    return next;
}

/* Opens a node for @side. *is_dead: it cannot be packed. What it changes is taken back with the
 * choice that made the side. */
static he_status open_node(struct pack_exact *x, const struct side *side, bool *is_dead)
{
    struct frame frame = { .side = *side, .side_mark = x->side_count };
    he_status status = make_room(x, 2 * ((size_t)side->right - side->left + 1));

    *is_dead = true;
    if (status != HE_OK)
        return status;
    for (uint32_t c = side->left; c <= side->right; c++) {
        if (x->is_dirty[c] && !check_column(x, c))
            return HE_OK;
    }
    frame.trail_mark = x->trail_count;
    hash_side(x, side, frame.key);
    x->clock->work += side->right - side->left + 1 + x->start[side->right + 1] -
                      x->start[side->left];
    if (has_failed(x, frame.key))
        return HE_OK;
    frame.column = choose_column(x, side);
    status = list_choices(x, &frame);
    if (status == HE_OK)
        status = he_alloc_grow(&x->alloc, (void **)&x->frames, &x->frame_room, x->frame_count,
                               x->frame_count + 1, sizeof *x->frames);
    if (status != HE_OK)
        return status;
    x->frames[x->frame_count++] = frame;
    *is_dead = false;
    return HE_OK;
}

/* The sides that are left of @side, for the frame @parent. */
static he_status push_sides(struct pack_exact *x, struct side side, uint32_t parent)
{
    for (uint32_t p = side.left, q; p <= side.right; p = q + 1) {
        he_status status;

        for (q = p; q < side.right && x->crossing[q] > 0; q++)
            ;
        if (x->left_over[p] == 0)
            continue;
        status = he_alloc_grow(&x->alloc, (void **)&x->sides, &x->side_room, x->side_count,
                               x->side_count + 1, sizeof *x->sides);
        if (status != HE_OK)
            return status;
        x->sides[x->side_count++] = (struct side){ p, q, parent };
    }
    return HE_OK;
}

/* Takes the next choice of the last frame that has one, from @at down along its parents; sides
 * that other frames in between have packed are dropped. *has_choice false: there is none left. */
static he_status step(struct pack_exact *x, uint32_t at, bool *has_choice)
{
    while (at != NO_FRAME) {
        struct frame *frame = &x->frames[at];
        bool fits = false;
        he_status status;

        x->frame_count = (size_t)at + 1;
        x->choice_count = frame->choice_begin + frame->choice_count;
        x->side_count = frame->side_mark;
        undo(x, frame->trail_mark);
        status = make_room(x, 3 * ((size_t)x->count + x->column_count));
        if (status != HE_OK)
            return status;
        if (frame->next < frame->choice_count) {
            fits = place(x, x->choices[frame->choice_begin + frame->next++]);
        } else if (!frame->was_lifted) {
            size_t floor = next_floor(x, frame);

            frame->was_lifted = true;
            x->clock->work += x->start[frame->side.right + 1] - x->start[frame->side.left];
            fits = floor <= x->capacity && x->rest[frame->column] <= x->capacity - floor &&
                   lift(x, frame->column, floor);
        } else {
            remember_failure(x, frame->key);
            at = frame->side.parent;
            continue;
        }
        if (!fits)
            continue;
        *has_choice = true;
        return push_sides(x, frame->side, at);
    }
    *has_choice = false;
    return HE_OK;
}

/* --- Tries --- */

static void rank_items(struct pack_exact *x, unsigned rule, double noise)
{
    for (uint32_t k = 0; k < x->count; k++) {
        double bytes = (double)x->set->bytes[k], width = x->right[k] - x->left[k] + 1.0;
        double life = (double)x->set->last[k] - (double)x->set->first[k] + 1.0;

        switch (rule) {
        case 0:
            x->rank[k] = bytes * life;
            break;
        case 1:
            x->rank[k] = life + bytes / (double)x->capacity;
            break;
        case 2:
            x->rank[k] = bytes + life / 0x1p33;
            break;
        case 3:
            x->rank[k] = (double)x->peak[k] * 0x1p33 + life;
            break;
        case 4:
            x->rank[k] = width + bytes / (double)x->capacity;
            break;
        default:
            x->rank[k] = bytes * width;
            break;
        }
        if (noise > 0.0)
            x->rank[k] *= 1.0 + noise * (pack_random_unit(&x->random) - 0.5);
    }
}

#define RULES 6
/* The pairs of rules that solve the most of a set of hard instances come first; each is an index
 * of a column rule times RULES plus an order of buffers. */
static const unsigned char first_rules[] = { 33, 31, 34, 28, 27, 22, 24, 30, 32, 16, 15, 1, 3, 4 };

static void choose_rules(struct pack_exact *x, uint32_t backtracks)
{
    uint64_t attempt = x->attempt++;
    unsigned rules = (unsigned)(pack_random(&x->random) % (RULES * RULES));
    double noise = 0.0;

    if (attempt < sizeof first_rules)
        rules = first_rules[attempt];
    else if (pack_random(&x->random) % 4 > 0)
        noise = 0.1 + 0.6 * pack_random_unit(&x->random);
    x->column_rule = rules / RULES;
    rank_items(x, rules % RULES, noise);
    x->most_nodes = x->nodes + backtracks + x->count;
    if (attempt % 8 == 7)
        x->most_nodes += 12 * (uint64_t)backtracks;
}

static he_status begin_try(struct pack_exact *x)
{
    undo(x, 0);
    x->side_count = x->frame_count = x->choice_count = 0;
    memset(x->is_dirty, true, x->column_count * sizeof *x->is_dirty);
    return push_sides(x, (struct side){ 0, x->column_count - 1, NO_FRAME }, NO_FRAME);
}

/* One try; UNKNOWN when it has used up its nodes. */
static he_status try_once(struct pack_exact *x, enum pack_answer *answer)
{
    he_status status = begin_try(x);

    *answer = PACK_UNKNOWN;
    while (status == HE_OK && x->side_count > 0) {
        struct side side = x->sides[--x->side_count];
        bool is_dead, has_choice;

        if (x->nodes++ >= x->most_nodes || he_pack_is_over(x->clock, 0))
            return HE_OK;
        status = open_node(x, &side, &is_dead);
        if (status == HE_OK)
            status = step(x, is_dead ? side.parent : (uint32_t)x->frame_count - 1, &has_choice);
        if (status == HE_OK && !has_choice) {
            *answer = PACK_NONE;
            return HE_OK;
        }
    }
    if (status == HE_OK)
        *answer = PACK_FOUND;
    return status;
}

he_status he_pack_exact_run(struct pack_exact *x, size_t capacity, uint32_t attempts,
                            uint32_t backtracks, struct pack_clock *clock, enum pack_answer *answer)
{
    he_status status = HE_OK;

    x->clock = clock;
    x->capacity = capacity;
    *answer = PACK_UNKNOWN;
    if (x->most_rest > capacity)
        *answer = PACK_NONE;
    for (uint32_t k = 0; k < attempts && *answer == PACK_UNKNOWN && status == HE_OK; k++) {
        if (he_pack_is_over(clock, 0))
            break;
        choose_rules(x, backtracks);
        status = try_once(x, answer);
    }
    return status;
}

size_t he_pack_exact_answer(const struct pack_exact *x, size_t *offsets)
{
    size_t total = 0;

    for (uint32_t k = 0; k < x->count; k++) {
        size_t end = x->offsets[k] + x->set->bytes[k];

        offsets[k] = x->offsets[k];
        total = end > total ? end : total;
    }
    return total;
}
