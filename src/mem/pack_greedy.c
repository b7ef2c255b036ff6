/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Greedy packing in several orders. Each buffer goes to the lowest gap (first fit) or the
 * tightest one (best fit) among the buffers that it meets and that are there already. Large ones
 * first is good where sizes differ, time order where they are alike. Where the meetings are too many
 * to be listed, all placed buffers are kept sorted by offset, and the search for a gap ends early.
 */
#include <stdlib.h>
#include <string.h>

#include "mem/pack_inside.h"

enum order { BY_SIZE, BY_TIME, BY_AREA, BY_PRESSURE, BY_LIFE, BY_END, ORDER_COUNT };

struct ranked {
    double key, second; /* larger keys first */
    uint32_t item;
};

struct placed {
    size_t offset, end;
    uint32_t first, last;
};

struct greedy {
    const struct pack_set *set;
    struct ranked *ranked;
    uint32_t *order, *position;
    size_t *offsets; /* of the order being tried */
    size_t *pressure;
    struct pack_block *blocks;
    struct placed *placed; /* without lists */
    struct pack_clock *clock;
};

static int compare_ranked(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;

    if (a->key != b->key)
        return a->key > b->key ? -1 : 1;
    if (a->second != b->second)
        return a->second > b->second ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

static void rank(struct greedy *g, enum order order)
{
    const struct pack_set *set = g->set;

    for (uint32_t k = 0; k < set->count; k++) {
        double bytes = (double)set->bytes[k];
        double life = (double)set->last[k] - (double)set->first[k] + 1.0;
        struct ranked *r = &g->ranked[k];

        *r = (struct ranked){ bytes, life, k };
        switch (order) {
        case BY_TIME:
            *r = (struct ranked){ -(double)set->first[k], bytes, k };
            break;
        case BY_END:
            *r = (struct ranked){ (double)set->last[k], bytes, k };
            break;
        case BY_AREA:
            *r = (struct ranked){ bytes * life, bytes, k };
            break;
        case BY_PRESSURE:
            *r = (struct ranked){ (double)g->pressure[k], bytes, k };
            break;
        case BY_LIFE:
            *r = (struct ranked){ life, bytes, k };
            break;
        case BY_SIZE:
        case ORDER_COUNT:
            break;
        }
    }
    qsort(g->ranked, set->count, sizeof *g->ranked, compare_ranked);
    for (uint32_t r = 0; r < set->count; r++) {
        g->order[r] = g->ranked[r].item;
        g->position[g->order[r]] = r;
    }
}

static int compare_blocks(const void *left, const void *right)
{
    const struct pack_block *a = left, *b = right;

    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static void sort_blocks(struct pack_block *blocks, uint32_t count)
{
    if (count > 48) {
        qsort(blocks, count, sizeof *blocks, compare_blocks);
        return;
    }
    for (uint32_t k = 1; k < count; k++) {
        struct pack_block block = blocks[k];
        uint32_t at = k;

        for (; at > 0 && blocks[at - 1].offset > block.offset; at--)
            blocks[at] = blocks[at - 1];
        blocks[at] = block;
    }
}

/* The lowest, or the tightest, gap of @bytes beside sorted @blocks. */
static size_t find_gap(const struct pack_block *blocks, uint32_t count, size_t bytes,
                       bool is_best_fit)
{
    size_t end = 0, best = SIZE_MAX, best_gap = SIZE_MAX;

    for (uint32_t k = 0; k < count; k++) {
        if (blocks[k].offset >= end && blocks[k].offset - end >= bytes) {
            if (!is_best_fit)
                return end;
            if (blocks[k].offset - end < best_gap) {
                best_gap = blocks[k].offset - end;
                best = end;
            }
        }
        if (blocks[k].end > end)
            end = blocks[k].end;
    }
    return best != SIZE_MAX ? best : end;
}

size_t he_pack_first_fit(const struct pack_set *set, const uint32_t *order,
                         const uint32_t *position, uint32_t from, bool is_best_fit, size_t give_up,
                         size_t *offsets, struct pack_block *blocks, struct pack_clock *clock)
{
    size_t total = 0;

    for (uint32_t r = 0; r < from; r++) {
        size_t end = offsets[order[r]] + set->bytes[order[r]];

        total = end > total ? end : total;
    }
    for (uint32_t r = from; r < set->count && total < give_up; r++) {
        uint32_t item = order[r], count = 0;

        for (size_t n = set->begin[item]; n < set->begin[item + 1]; n++) {
            uint32_t other = set->near[n];

            if (position[other] < r)
                blocks[count++] = (struct pack_block){ offsets[other],
                                                       offsets[other] + set->bytes[other] };
        }
        clock->work += set->begin[item + 1] - set->begin[item] + 4 * (uint64_t)count;
        sort_blocks(blocks, count);
        offsets[item] = find_gap(blocks, count, set->bytes[item], is_best_fit);
        if (offsets[item] + set->bytes[item] > total)
            total = offsets[item] + set->bytes[item];
    }
    return total < give_up ? total : give_up;
}

/* First fit without lists of meetings. */
static size_t fit_sorted(struct greedy *g, size_t give_up)
{
    const struct pack_set *set = g->set;
    uint32_t placed_count = 0;
    size_t total = 0;

    for (uint32_t r = 0; r < set->count && total < give_up; r++) {
        uint32_t k = g->order[r], at;
        size_t offset = 0;

        for (at = 0; at < placed_count; at++) {
            const struct placed *other = &g->placed[at];

            if (other->first > set->last[k] || other->last < set->first[k])
                continue;
            if (other->offset >= offset && other->offset - offset >= set->bytes[k])
                break;
            if (other->end > offset)
                offset = other->end;
        }
        g->clock->work += at;
        g->offsets[k] = offset;
        if (offset + set->bytes[k] > total)
            total = offset + set->bytes[k];
        /* The search ended at or behind the place among the offsets. */
        while (at > 0 && g->placed[at - 1].offset > offset)
            at--;
        memmove(&g->placed[at + 1], &g->placed[at], (placed_count - at) * sizeof *g->placed);
        g->placed[at] = (struct placed){ offset, offset + set->bytes[k], set->first[k],
                                         set->last[k] };
        placed_count++;
    }
    return total < give_up ? total : give_up;
}

/* The bytes of all that a buffer meets: a rank, and cheap where the meetings are listed. */
static void find_pressure(struct greedy *g)
{
    const struct pack_set *set = g->set;

    for (uint32_t k = 0; k < set->count; k++) {
        g->pressure[k] = set->bytes[k];
        for (size_t n = set->begin[k]; n < set->begin[k + 1]; n++)
            g->pressure[k] += set->bytes[set->near[n]];
    }
}

he_status he_pack_greedy(struct pack_set *set, size_t goal, struct he_arena *arena,
                         struct pack_clock *clock)
{
    struct greedy g = { .set = set, .clock = clock };
    bool has_lists = set->begin != NULL;

    g.ranked = he_arena_alloc(arena, set->count, sizeof *g.ranked);
    g.order = he_arena_alloc(arena, set->count, sizeof *g.order);
    g.position = he_arena_alloc(arena, set->count, sizeof *g.position);
    g.offsets = he_arena_alloc(arena, set->count, sizeof *g.offsets);
    g.pressure = he_arena_alloc(arena, set->count, sizeof *g.pressure);
    g.blocks = he_arena_alloc(arena, set->count, sizeof *g.blocks);
    g.placed = he_arena_alloc(arena, has_lists ? 0 : set->count, sizeof *g.placed);
    if (!g.ranked || !g.order || !g.position || !g.offsets || !g.pressure || !g.blocks || !g.placed)
        return he_no_memory();
    set->total = SIZE_MAX;
    for (unsigned k = 0; k < 2 * ORDER_COUNT && set->total > goal; k++) {
        bool is_best_fit = k >= ORDER_COUNT;
        enum order order = k % ORDER_COUNT;
        size_t total;

        if (!has_lists && (is_best_fit || order == BY_PRESSURE))
            continue;
        if (set->total != SIZE_MAX && he_pack_is_over(clock, 0))
            break;
        if (k == BY_PRESSURE)
            find_pressure(&g);
        rank(&g, order);
        total = has_lists ? he_pack_first_fit(set, g.order, g.position, 0, is_best_fit, set->total,
                                              g.offsets, g.blocks, clock)
                          : fit_sorted(&g, set->total);
        if (total >= set->total)
            continue;
        set->total = total;
        memcpy(set->offsets, g.offsets, set->count * sizeof *g.offsets);
    }
    return HE_OK;
}
