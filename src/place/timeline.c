/* SPDX-License-Identifier: Apache-2.0 */
/* Busy intervals of a server or link: first gap by binary search, insertion with merging. */
#include <string.h>

#include "timeline.h"

/* The first interval that ends after @moment. Schedules grow at their ends: the search goes back
 * from there in doubling steps, and halves only the last of them. */
static size_t first_ending_after(const struct he_timeline *t, double moment)
{
    size_t low = 0, high = t->count;

    if (!t->count || t->last_end <= moment)
        return t->count; /* by far the most frequent case */
    for (size_t step = 1; step <= high; step *= 2) {
        if (t->busy[high - step].end <= moment) {
            low = high - step + 1;
            break;
        }
        high -= step;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (t->busy[middle].end > moment)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

double he_timeline_find(const struct he_timeline *t, double ready, double duration)
{
    for (size_t k = first_ending_after(t, ready); k < t->count; k++) {
        if (ready + duration <= t->busy[k].begin)
            break;
        if (t->busy[k].end > ready)
            ready = t->busy[k].end;
    }
    return ready;
}

void he_timeline_take(struct he_timeline *t, double begin, double duration)
{
    double end = begin + duration;
    size_t k;
    bool joins_left, joins_right;

    if (!(end > begin))
        return;
    k = first_ending_after(t, begin);
    if (!t->count || end > t->last_end)
        t->last_end = end;
    joins_left = k > 0 && t->busy[k - 1].end == begin;
    joins_right = k < t->count && t->busy[k].begin == end;
    if (joins_left && joins_right) {
        t->busy[k - 1].end = t->busy[k].end;
        memmove(&t->busy[k], &t->busy[k + 1], (t->count - k - 1) * sizeof *t->busy);
        t->count--;
    } else if (joins_left) {
        t->busy[k - 1].end = end;
    } else if (joins_right) {
        t->busy[k].begin = begin;
    } else {
        memmove(&t->busy[k + 1], &t->busy[k], (t->count - k) * sizeof *t->busy);
        t->busy[k] = (struct he_interval){ begin, end };
        t->count++;
    }
}

he_status he_timeline_reserve(struct he_timeline *t, const struct he_allocator *alloc)
{
    return he_alloc_grow(alloc, (void **)&t->busy, &t->capacity, t->count, t->count + 1,
                         sizeof *t->busy);
}
