/* SPDX-License-Identifier: Apache-2.0 */
/* The check of a packing, with nothing in common with what makes them. */
#include <stdlib.h>

#include "mem/pack.h"

struct birth {
    uint32_t first, item;
};

static int compare_births(const void *left, const void *right)
{
    const struct birth *a = left, *b = right;

    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

static bool overlap(const struct he_pack_item *a, const struct he_pack_item *b)
{
    return a->first <= b->last && b->first <= a->last && a->bytes && b->bytes &&
           a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

/* Sorted by birth, each with those that live when it is born; quadratic when there is no memory
 * to sort in. */
bool he_pack_is_valid(const struct he_pack_item *items, size_t count, size_t alignment)
{
    struct birth *births = count < UINT32_MAX ? malloc((count + 1) * sizeof *births) : NULL;
    uint32_t *live = malloc((count + 1) * sizeof *live), live_count = 0;
    bool is_valid = true;

    alignment = alignment ? alignment : HE_PACK_ALIGNMENT;
    for (size_t k = 0; k < count; k++) {
        is_valid &= items[k].offset % alignment == 0;
        if (births && live)
            births[k] = (struct birth){ items[k].first, (uint32_t)k };
    }
    if (births && live)
        qsort(births, count, sizeof *births, compare_births);
    for (size_t k = 0; k < count && is_valid; k++) {
        uint32_t kept = 0;

        for (size_t other = 0; other < k && !(births && live) && is_valid; other++)
            is_valid = !overlap(&items[k], &items[other]);
        for (uint32_t n = 0; n < live_count && is_valid; n++) {
            if (items[live[n]].last < births[k].first)
                continue;
            is_valid = !overlap(&items[births[k].item], &items[live[n]]);
            live[kept++] = live[n];
        }
        if (births && live) {
            live_count = kept;
            live[live_count++] = births[k].item;
        }
    }
    free(births);
    free(live);
    return is_valid;
}
