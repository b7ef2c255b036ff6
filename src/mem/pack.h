/* SPDX-License-Identifier: Apache-2.0 */
/* Offline packing of buffers with lifetimes into one arena: greedy by size and in
 * time order, the better one kept; and the lower bound, the peak of live bytes. */
#ifndef HE_MEM_PACK_H
#define HE_MEM_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/alloc.h"

#define HE_PACK_ALIGNMENT 64

struct he_pack_item {
    size_t bytes;
    uint32_t first, last; /* steps during which it lives, both included */
    size_t offset;        /* out */
};

he_status he_pack(struct he_pack_item *items, size_t count, const struct he_allocator *alloc,
                  size_t *total_bytes, size_t *lower_bound) HE_MUST_CHECK;
/* True when no two items that live together overlap. */
bool he_pack_is_valid(const struct he_pack_item *items, size_t count);

#endif
