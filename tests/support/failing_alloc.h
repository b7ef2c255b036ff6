/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocator that fails on order and counts what is alive:
 *
 *   for (size_t n = 0;; n++) {
 *       struct failing_alloc failing;
 *       failing_alloc_init(&failing, n);      // allocation n fails, and all after it
 *       status = call(&failing.alloc);
 *       ... free what it gave ...
 *       ck_assert_uint_eq(failing.live, 0);
 *       if (status == HE_OK) break;
 *       ck_assert_int_eq(status, HE_ERR_NO_MEMORY);
 *   }
 */
#ifndef TESTS_SUPPORT_FAILING_ALLOC_H
#define TESTS_SUPPORT_FAILING_ALLOC_H

#include <heteroengine/allocator.h>

struct failing_alloc {
    struct he_allocator alloc; /* borrowed by whoever allocates; self is this struct */
    size_t left;               /* allocations that still succeed */
    size_t live;               /* allocated and not freed */
    size_t refused;
};

void failing_alloc_init(struct failing_alloc *failing, size_t succeed);

#endif
