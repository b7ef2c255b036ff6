/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the packer: what is packed, how long it may take, who does it. */
#ifndef HE_MEM_PACK_INSIDE_H
#define HE_MEM_PACK_INSIDE_H

#include "core/alloc.h"
#include "mem/pack.h"

/* What one search works on. Nothing in it has zero bytes. */
struct pack_set {
    uint32_t count;
    size_t *bytes;          /* rounded up to the alignment */
    uint32_t *first, *last; /* lifetimes; hints where the meetings are a graph's */
    const size_t *begin;    /* who meets whom, as in struct he_pack_graph; NULL: too many to list */
    const uint32_t *near;
    size_t *offsets; /* out: of the best packing */
    size_t total;    /* of the best packing */
};

/* How much more may be done. Work is counted in looks at a buffer, a nanosecond or so each. */
struct pack_clock {
    uint64_t deadline_ns; /* 0: none */
    bool counts_cpu_time;
    uint64_t work, most_work; /* most_work is UINT64_MAX under a deadline */
    uint64_t next_look; /* work at which the time is looked at again */
    bool is_over;
};

/* Counts @work; true when the time or the work is used up. */
bool he_pack_is_over(struct pack_clock *clock, uint64_t work);

/* Several orders, first and best fit; the best is in @set. Stops at @goal, and stays with the
 * first order when the clock is over. */
he_status he_pack_greedy(struct pack_set *set, size_t goal, struct he_arena *arena,
                         struct pack_clock *clock) HE_MUST_CHECK;

/* First fit along an order, for sets with lists of meetings. */
struct pack_block {
    size_t offset, end;
};
/* Gives @offsets to order[from] and all behind it; what is before it has its own. position[]
 * is the inverse of order[]; @blocks has room for set->count. Gives the total, or @give_up once it
 * is not below that (the offsets are then incomplete). */
size_t he_pack_first_fit(const struct pack_set *set, const uint32_t *order,
                         const uint32_t *position, uint32_t from, bool is_best_fit, size_t give_up,
                         size_t *offsets, struct pack_block *blocks, struct pack_clock *clock);

/* Moves in the order of a first fit; needs the lists of meetings. Improves @set until it is no
 * larger than @goal, or @slice more work is done, or the clock is over. */
struct pack_local;
he_status he_pack_local_create(struct pack_set *set, uint64_t seed, struct he_arena *arena,
                               struct pack_local **out) HE_MUST_CHECK;
void he_pack_local_run(struct pack_local *local, size_t goal, uint64_t slice,
                       struct pack_clock *clock);

/* The exact search, for lifetimes. */
struct pack_exact;
/* Gives NULL in *out for a set that is too large for it. */
he_status he_pack_exact_create(const struct pack_set *set, uint64_t seed, struct he_arena *arena,
                               struct pack_exact **out) HE_MUST_CHECK;
void he_pack_exact_destroy(struct pack_exact *exact);
/* FOUND: there is a packing within @capacity, he_pack_exact_answer() has it. NONE: there is none,
 * proven. UNKNOWN after @attempts tries that go back about @backtracks times each (some of them
 * more often), or when the clock is over. */
enum pack_answer { PACK_UNKNOWN, PACK_FOUND, PACK_NONE };
he_status he_pack_exact_run(struct pack_exact *exact, size_t capacity, uint32_t attempts,
                            uint32_t backtracks, struct pack_clock *clock, enum pack_answer *answer) HE_MUST_CHECK;
/* The packing that was found; gives its size. */
size_t he_pack_exact_answer(const struct pack_exact *exact, size_t *offsets);

/* Small things of the searches: a generator of random numbers (splitmix64). */
static inline uint64_t pack_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t pack_random(uint64_t *state)
{
    return pack_mix((*state)++);
}

/* From 0 up to, but not, 1. */
static inline double pack_random_unit(uint64_t *state)
{
    return (double)(pack_random(state) >> 11) * 0x1p-53;
}

#endif
