/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local search over the order of a first fit. A buffer that reaches above the goal, or one that it
 * rests on, comes earlier in the order, or changes places with one before it. What counts are the
 * bytes by which buffers reach above the goal. An order is taken up when it is no worse than the one of
 * some steps ago (late acceptance hill climbing, Burke and Bykov 2017); after a long time
 * without anything better the search goes back to the best order and shakes it.
 */
#include <stdlib.h>
#include <string.h>

#include "mem/pack_inside.h"

#define HISTORY 64
#define PATIENCE 200 /* moves without a better one */

struct pack_local {
    struct pack_set *set;
    struct he_arena *arena;
    uint32_t *order, *position, *best_order, *old_order;
    size_t *offsets, *old_offsets;
    uint32_t *high; /* buffers above the goal */
    struct pack_block *blocks;
    double history[HISTORY], value, best_value;
    uint64_t random, moves, last_better;
    size_t goal;
};

/* Bytes by which buffers reach above the goal. */
static double value_of(const struct pack_local *local)
{
    const struct pack_set *set = local->set;
    double value = 0.0;

    for (uint32_t k = 0; k < set->count; k++) {
        size_t end = local->offsets[k] + set->bytes[k];

        if (end > local->goal)
            value += (double)(end - local->goal);
    }
    return value;
}

static void set_positions(struct pack_local *local, uint32_t from)
{
    for (uint32_t r = from; r < local->set->count; r++)
        local->position[local->order[r]] = r;
}

static size_t fit(struct pack_local *local, uint32_t from, struct pack_clock *clock)
{
    clock->work += local->set->count;
    return he_pack_first_fit(local->set, local->order, local->position, from, false, SIZE_MAX,
                             local->offsets, local->blocks, clock);
}

/* Buffers by offset: first fit in that order gives a packing that is nowhere higher. */
static int compare_blocks(const void *left, const void *right)
{
    const struct pack_block *a = left, *b = right;

    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a->end < b->end ? -1 : a->end > b->end;
}

static void order_by_offset(struct pack_local *local)
{
    const struct pack_set *set = local->set;

    for (uint32_t k = 0; k < set->count; k++)
        local->blocks[k] = (struct pack_block){ set->offsets[k], k };
    qsort(local->blocks, set->count, sizeof *local->blocks, compare_blocks);
    for (uint32_t r = 0; r < set->count; r++)
        local->order[r] = (uint32_t)local->blocks[r].end;
    set_positions(local, 0);
}

he_status he_pack_local_create(struct pack_set *set, uint64_t seed, struct he_arena *arena,
                               struct pack_local **out)
{
    struct pack_local *local = he_arena_alloc(arena, 1, sizeof *local);

    *out = local;
    if (!local)
        return he_no_memory();
    local->set = set;
    local->random = pack_mix(~seed);
    local->order = he_arena_alloc(arena, set->count, sizeof *local->order);
    local->best_order = he_arena_alloc(arena, set->count, sizeof *local->best_order);
    local->old_order = he_arena_alloc(arena, set->count, sizeof *local->old_order);
    local->position = he_arena_alloc(arena, set->count, sizeof *local->position);
    local->offsets = he_arena_alloc(arena, set->count, sizeof *local->offsets);
    local->old_offsets = he_arena_alloc(arena, set->count, sizeof *local->old_offsets);
    local->high = he_arena_alloc(arena, set->count, sizeof *local->high);
    local->blocks = he_arena_alloc(arena, set->count, sizeof *local->blocks);
    if (!local->order || !local->best_order || !local->old_order || !local->position ||
        !local->offsets || !local->old_offsets || !local->high || !local->blocks)
        return he_no_memory();
    return HE_OK;
}

static void keep_if_best(struct pack_local *local, size_t total)
{
    struct pack_set *set = local->set;

    if (total < set->total) {
        set->total = total;
        memcpy(set->offsets, local->offsets, set->count * sizeof *set->offsets);
    }
    if (local->value < local->best_value) {
        local->best_value = local->value;
        local->last_better = local->moves;
        memcpy(local->best_order, local->order, set->count * sizeof *local->order);
    }
}

static void begin(struct pack_local *local, struct pack_clock *clock)
{
    size_t total = fit(local, 0, clock);

    local->value = value_of(local);
    for (uint32_t k = 0; k < HISTORY; k++)
        local->history[k] = local->value;
    local->last_better = local->moves;
    keep_if_best(local, total);
}

static uint32_t pick(struct pack_local *local, uint32_t count)
{
    return (uint32_t)(pack_random(&local->random) % count);
}

/* A buffer above the goal, or one that it rests on (again and again). */
static uint32_t pick_item(struct pack_local *local)
{
    const struct pack_set *set = local->set;
    uint32_t count = 0, item;

    for (uint32_t k = 0; k < set->count; k++) {
        if (local->offsets[k] + set->bytes[k] > local->goal)
            local->high[count++] = k;
    }
    item = count > 0 ? local->high[pick(local, count)] : pick(local, set->count);
    while (pick(local, 2) == 0) {
        uint32_t below = item, found = 0;

        for (size_t n = set->begin[item]; n < set->begin[item + 1]; n++) {
            uint32_t other = set->near[n];

            if (local->offsets[other] + set->bytes[other] == local->offsets[item] &&
                pick(local, ++found) == 0)
                below = other;
        }
        if (below == item)
            break;
        item = below;
    }
    return item;
}

/* Changes the order; gives the first place that is another's now. */
static uint32_t move(struct pack_local *local)
{
    uint32_t item = pick_item(local), from = local->position[item], to;

    if (from == 0)
        from = 1 + pick(local, local->set->count - 1);
    /* Near places are as likely as far ones. */
    to = pick(local, from);
    if (pick(local, 2) == 0)
        to = from - 1 - pick(local, from - to);
    item = local->order[from];
    if (pick(local, 3) == 0) {
        local->order[from] = local->order[to];
        local->order[to] = item;
    } else {
        memmove(&local->order[to + 1], &local->order[to], (from - to) * sizeof *local->order);
        local->order[to] = item;
    }
    set_positions(local, to);
    return to;
}

static void shake(struct pack_local *local, struct pack_clock *clock)
{
    memcpy(local->order, local->best_order, local->set->count * sizeof *local->order);
    set_positions(local, 0);
    for (uint32_t k = 0; k < 4; k++)
        move(local);
    begin(local, clock);
}

static void try_move(struct pack_local *local, struct pack_clock *clock)
{
    uint32_t count = local->set->count, from;
    double old = local->value, *past = &local->history[local->moves % HISTORY];
    size_t total;

    memcpy(local->old_order, local->order, count * sizeof *local->order);
    memcpy(local->old_offsets, local->offsets, count * sizeof *local->offsets);
    from = move(local);
    total = fit(local, from, clock);
    local->value = value_of(local);
    local->moves++;
    if (local->value <= old || local->value <= *past) {
        keep_if_best(local, total);
    } else {
        memcpy(local->order, local->old_order, count * sizeof *local->order);
        memcpy(local->offsets, local->old_offsets, count * sizeof *local->offsets);
        set_positions(local, from);
        local->value = old;
    }
    if (local->value < *past)
        *past = local->value;
}

void he_pack_local_run(struct pack_local *local, size_t goal, uint64_t slice,
                       struct pack_clock *clock)
{
    uint64_t end = clock->work + slice;

    if (local->set->count < 2)
        return;
    local->goal = goal;
    local->best_value = (double)SIZE_MAX * local->set->count;
    order_by_offset(local);
    memcpy(local->best_order, local->order, local->set->count * sizeof *local->order);
    begin(local, clock);
    while (local->set->total > goal && clock->work < end && !he_pack_is_over(clock, 0)) {
        if (local->moves - local->last_better > PATIENCE)
            shake(local, clock);
        else
            try_move(local, clock);
    }
}
