/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offline packing of buffers into one arena (dynamic storage allocation): greedy in several
 * orders, local search over the order, an exact search in slices; and the lower bound, the peak
 * of live bytes. Buffers live for intervals of steps, or are given with the pairs that meet.
 */
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

/* All zero is fine. Without a time limit the work is bounded, and the answer depends on the
 * arguments alone. */
struct he_pack_options {
    size_t alignment;     /* of offsets and sizes, a power of two; 0: HE_PACK_ALIGNMENT */
    size_t capacity;      /* any packing that is no larger will do; 0: the smallest is wanted */
    double time_limit;    /* seconds */
    bool counts_cpu_time; /* the limit counts CPU time of this thread */
    bool is_greedy;       /* no search: the best of the greedy orders */
    uint64_t seed;
};

struct he_pack_result {
    size_t total_bytes;
    size_t lower_bound; /* proven: the peak of live bytes, more when the exact search shows more */
    bool is_optimal;    /* total_bytes == lower_bound */
};

/* Packs @items with the options' defaults. */
he_status he_pack(struct he_pack_item *items, size_t count, const struct he_allocator *alloc,
                  size_t *total_bytes, size_t *lower_bound) HE_MUST_CHECK;
/* Borrows everything. HE_ERR_INVALID for an item that dies before it is born, for sizes beyond the
 * address space, and for an alignment that is no power of two. */
he_status he_pack_within(struct he_pack_item *items, size_t count,
                         const struct he_pack_options *options, const struct he_allocator *alloc,
                         struct he_pack_result *result) HE_MUST_CHECK;

/* Which buffers meet, when no order of steps says it: those of buffer k are
 * near[begin[k]] .. near[begin[k + 1] - 1], each pair in both lists, nobody in its own. */
struct he_pack_graph {
    const size_t *begin;
    const uint32_t *near;
};

/* As he_pack_within() for buffers whose meetings are @graph's. first and last of an item say
 * roughly when it lives: a hint for the orders. @lower_bound is what the caller can prove, a set
 * of buffers that all meet; the search stops there. */
he_status he_pack_pairs(struct he_pack_item *items, size_t count, const struct he_pack_graph *graph,
                        size_t lower_bound, const struct he_pack_options *options,
                        const struct he_allocator *alloc, struct he_pack_result *result)
    HE_MUST_CHECK;

/* True when no two items that live together overlap, and every offset is a multiple of
 * @alignment (0: HE_PACK_ALIGNMENT). */
bool he_pack_is_valid(const struct he_pack_item *items, size_t count, size_t alignment);

#endif
