/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers for the searches: the same on every machine (Steele, Lea, Flood: splitmix64). */
#ifndef HE_PLACE_RANDOM_H
#define HE_PLACE_RANDOM_H

#include <stdint.h>

struct he_random {
    uint64_t state;
};

static inline uint64_t he_random_next(struct he_random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 .. n - 1; n above 0. The bias for n below 2^32 is less than one in 2^32. */
static inline uint32_t he_random_below(struct he_random *r, uint32_t n)
{
    return (uint32_t)(((he_random_next(r) >> 32) * n) >> 32);
}

/* 0 .. 1, without 1. */
static inline double he_random_unit(struct he_random *r)
{
    return (double)(he_random_next(r) >> 11) * 0x1p-53;
}

#endif
