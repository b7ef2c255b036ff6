/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Greedy packing in several orders: each item goes to the lowest offset where
 * nothing that lives at the same time is in the way. Placed items are kept sorted
 * by offset, so that the search can stop at the first gap. Large items first is
 * good where sizes differ, time order where they are alike; the best is kept, and
 * nothing more is tried once the lower bound is met.
 */
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "mem/pack.h"

enum order { BY_SIZE, BY_TIME, BY_AREA, BY_PRESSURE, ORDER_COUNT };

struct ranked {
    double key, second; /* larger keys first */
    uint32_t item;
};

struct placed {
    size_t offset, end;
    uint32_t first, last;
};

struct packer {
    struct he_pack_item *items;
    uint32_t count;
    size_t *bytes; /* rounded up to the alignment */
    struct ranked *ranked;
    struct placed *placed;
    size_t *offsets;       /* of the order being tried */
    uint32_t *steps;       /* all firsts and (lasts + 1), sorted */
    uint32_t step_count;
    size_t *live;          /* live bytes from steps[k] to steps[k + 1] */
    double *pressure;      /* per item: the most that lives beside it */
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

static int compare_steps(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return a < b ? -1 : a > b;
}

/* The place of @step among the sorted steps. */
static uint32_t step_index(const struct packer *p, uint64_t step)
{
    uint32_t low = 0, high = p->step_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (p->steps[middle] < step)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Live bytes between steps; gives their peak, which no packing can get below. */
static size_t find_live(struct packer *p)
{
    size_t peak = 0, now = 0;

    /* Only firsts matter: live bytes reach a new maximum where something begins. */
    for (uint32_t k = 0; k < p->count; k++)
        p->steps[k] = p->items[k].first;
    qsort(p->steps, p->count, sizeof *p->steps, compare_steps);
    p->step_count = 0;
    for (uint32_t k = 0; k < p->count; k++) {
        if (k == 0 || p->steps[k] != p->steps[p->step_count - 1])
            p->steps[p->step_count++] = p->steps[k];
    }
    /* Differences first, then their running sum; sizes wrap around harmlessly in between. */
    memset(p->live, 0, ((size_t)p->step_count + 1) * sizeof *p->live);
    for (uint32_t k = 0; k < p->count; k++) {
        p->live[step_index(p, p->items[k].first)] += p->bytes[k];
        p->live[step_index(p, (uint64_t)p->items[k].last + 1)] -= p->bytes[k];
    }
    for (uint32_t k = 0; k < p->step_count; k++) {
        now += p->live[k];
        p->live[k] = now;
        if (now > peak)
            peak = now;
    }
    return peak;
}

/* The most that lives at once during an item's life, by walking the steps of its life; long
 * lives of many items would be slow, so that the walk is cut short: it is only a rank. */
#define PRESSURE_STEPS 256
static void find_pressure(struct packer *p)
{
    for (uint32_t k = 0; k < p->count; k++) {
        uint32_t from = step_index(p, p->items[k].first), to = step_index(p, (uint64_t)p->items[k].last + 1);
        uint32_t stride = 1 + (to - from) / PRESSURE_STEPS;

        p->pressure[k] = 0.0;
        for (uint32_t s = from; s < to; s += stride) {
            if ((double)p->live[s] > p->pressure[k])
                p->pressure[k] = (double)p->live[s];
        }
    }
}

static void rank(struct packer *p, enum order order)
{
    for (uint32_t k = 0; k < p->count; k++) {
        const struct he_pack_item *item = &p->items[k];
        double bytes = (double)p->bytes[k], life = (double)item->last - (double)item->first + 1.0;
        struct ranked *r = &p->ranked[k];

        r->item = k;
        r->second = life;
        switch (order) {
        case BY_TIME:
            r->key = -(double)item->first;
            r->second = bytes;
            break;
        case BY_AREA:
            r->key = bytes * life;
            break;
        case BY_PRESSURE:
            r->key = p->pressure[k];
            r->second = bytes;
            break;
        case BY_SIZE:
        case ORDER_COUNT:
            r->key = bytes;
            break;
        }
    }
    qsort(p->ranked, p->count, sizeof *p->ranked, compare_ranked);
}

/* Packs in the ranked order; gives the total, or @give_up once it is not below that. */
static size_t pack_ranked(struct packer *p, size_t give_up)
{
    size_t total = 0;
    uint32_t placed_count = 0;

    for (uint32_t r = 0; r < p->count; r++) {
        uint32_t k = p->ranked[r].item, at;
        const struct he_pack_item *item = &p->items[k];
        size_t offset = 0;

        p->offsets[k] = 0;
        if (p->bytes[k] == 0)
            continue;
        for (at = 0; at < placed_count; at++) {
            const struct placed *other = &p->placed[at];

            if (other->first > item->last || other->last < item->first)
                continue;
            if (other->offset >= offset && other->offset - offset >= p->bytes[k])
                break;
            if (other->end > offset)
                offset = other->end;
        }
        p->offsets[k] = offset;
        if (offset + p->bytes[k] > total)
            total = offset + p->bytes[k];
        if (total >= give_up)
            return give_up;
        /* The search ended at or behind the place among the offsets. */
        while (at > 0 && p->placed[at - 1].offset > offset)
            at--;
        memmove(&p->placed[at + 1], &p->placed[at], (placed_count - at) * sizeof *p->placed);
        p->placed[at] = (struct placed){ offset, offset + p->bytes[k], item->first, item->last };
        placed_count++;
    }
    return total;
}

static he_status check_items(struct packer *p, size_t *sum)
{
    *sum = 0;
    for (uint32_t k = 0; k < p->count; k++) {
        const struct he_pack_item *item = &p->items[k];

        if (item->first > item->last)
            return he_error_set(HE_ERR_INVALID, "buffer %u dies at step %u, before it is born at %u",
                                k, item->last, item->first);
        if (item->bytes > SIZE_MAX - HE_PACK_ALIGNMENT ||
            !he_size_add(*sum, he_size_align(item->bytes, HE_PACK_ALIGNMENT), sum))
            return he_error_set(HE_ERR_INVALID, "the buffers together are larger than the address "
                                                "space");
        p->bytes[k] = he_size_align(item->bytes, HE_PACK_ALIGNMENT);
    }
    return HE_OK;
}

static he_status pack(struct packer *p, struct he_arena *arena, size_t *total_bytes,
                      size_t *lower_bound)
{
    size_t best = SIZE_MAX, sum;
    he_status status;

    p->bytes = he_arena_alloc(arena, p->count, sizeof *p->bytes);
    p->ranked = he_arena_alloc(arena, p->count, sizeof *p->ranked);
    p->placed = he_arena_alloc(arena, p->count, sizeof *p->placed);
    p->offsets = he_arena_alloc(arena, p->count, sizeof *p->offsets);
    p->steps = he_arena_alloc(arena, p->count, sizeof *p->steps);
    p->live = he_arena_alloc(arena, (size_t)p->count + 1, sizeof *p->live);
    p->pressure = he_arena_alloc(arena, p->count, sizeof *p->pressure);
    if (!p->bytes || !p->ranked || !p->placed || !p->offsets || !p->steps || !p->live || !p->pressure)
        return he_no_memory();
    status = check_items(p, &sum);
    if (status != HE_OK)
        return status;
    *lower_bound = find_live(p);
    for (int order = BY_SIZE; order < ORDER_COUNT && best > *lower_bound; order++) {
        size_t total;

        if (order == BY_PRESSURE)
            find_pressure(p);
        rank(p, (enum order)order);
        total = pack_ranked(p, best);
        if (total >= best)
            continue;
        best = total;
        for (uint32_t k = 0; k < p->count; k++)
            p->items[k].offset = p->offsets[k];
    }
    *total_bytes = best;
    return HE_OK;
}

he_status he_pack(struct he_pack_item *items, size_t count, const struct he_allocator *alloc,
                  size_t *total_bytes, size_t *lower_bound)
{
    struct packer p = { .items = items, .count = (uint32_t)count };
    struct he_arena arena;
    he_status status;

    if ((count && !items) || !alloc || !total_bytes || !lower_bound)
        return he_error_set(HE_ERR_INVALID, "he_pack: an argument is missing");
    *total_bytes = *lower_bound = 0;
    if (count >= UINT32_MAX)
        return he_error_set(HE_ERR_INVALID, "%zu buffers are too many to pack", count);
    if (count == 0)
        return HE_OK;
    he_arena_init(&arena, alloc);
    status = pack(&p, &arena, total_bytes, lower_bound);
    he_arena_fini(&arena);
    return status;
}

bool he_pack_is_valid(const struct he_pack_item *items, size_t count)
{
    for (size_t a = 0; a < count; a++) {
        if (items[a].offset % HE_PACK_ALIGNMENT != 0)
            return false;
        for (size_t b = 0; b < a; b++) {
            bool meet = items[a].first <= items[b].last && items[b].first <= items[a].last;
            bool overlap = items[a].offset < items[b].offset + items[b].bytes &&
                           items[b].offset < items[a].offset + items[a].bytes;

            if (meet && overlap && items[a].bytes && items[b].bytes)
                return false;
        }
    }
    return true;
}
