/* SPDX-License-Identifier: Apache-2.0 */
/* Checked arithmetic on sizes. Each returns false on overflow and leaves *out alone. */
#ifndef HE_CORE_SIZE_H
#define HE_CORE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HE_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline bool he_size_add(size_t a, size_t b, size_t *out)
{
    size_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

static inline bool he_size_mul(size_t a, size_t b, size_t *out)
{
    size_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

static inline bool he_int64_mul(int64_t a, int64_t b, int64_t *out)
{
    int64_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

/* Rounds up to a power of two multiple; the caller knows that it does not overflow. */
static inline size_t he_size_align(size_t size, size_t alignment)
{
    return (size + alignment - 1) & ~(alignment - 1);
}

#endif
