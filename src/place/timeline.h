/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When something that does one thing at a time (a server, a link) is busy: sorted
 * intervals, those that touch merged into one, so that a queue without gaps stays
 * one interval however long it is.
 */
#ifndef HE_PLACE_TIMELINE_H
#define HE_PLACE_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/alloc.h"

struct he_interval {
    double begin, end;
};

struct he_timeline {
    struct he_interval *busy;
    size_t count, capacity;
    /* The end of the last one, when there is one: most questions are about later moments, and
     * need not look at the intervals then, which are cold in the cache. */
    double last_end;
};

/* The earliest moment from @ready on at which @duration fits in. */
double he_timeline_find(const struct he_timeline *timeline, double ready, double duration);
/* Marks [begin, begin + duration) as busy; he_timeline_find() gave @begin. There is room for
 * one interval per call. */
void he_timeline_take(struct he_timeline *timeline, double begin, double duration);
/* Makes room for one more interval; the memory is freed with he_free(@alloc, busy). */
he_status he_timeline_reserve(struct he_timeline *timeline, const struct he_allocator *alloc)
    HE_MUST_CHECK;

#endif
