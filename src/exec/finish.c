/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The finishing end of a lane whose device works by itself: the worker only begins copies and
 * launches, puts a mark behind what others wait for, and goes on with the next step or the next request.
 * A second thread waits for the marks in the order they were set and tells those who wait: so the
 * device has work of request n+1 while n's results are on their way, and nobody polls.
 *
 * Worker and finisher share a ring: one writer, one reader. A context has at most one entry in it per step
 * that wakes others, and one for its end, so the ring is never full.
 */
#include <limits.h>
#include <string.h>

#include "exec/exec.h"

#define SPIN_ROUNDS 2000

he_status he_finish_init(struct lane *lane)
{
    struct he_session *session = lane->session;
    const struct he_plan *plan = session->plan;
    struct finisher *finisher = &lane->finisher;
    size_t entries = 1;

    if (!lane->is_async || !he_device_overlaps(lane->dev) || session->measures_tasks ||
        (plan->lane_count == 1 && session->context_count == 1))
        return HE_OK;
    for (uint32_t k = 0; k < lane->plan->step_count; k++)
        entries += plan->steps[lane->plan->steps[k]].wake_count > 0;
    finisher->ring_size = (uint32_t)(entries * session->context_count);
    finisher->ring = he_arena_alloc(&session->room, finisher->ring_size, sizeof *finisher->ring);
    return finisher->ring ? HE_OK : he_no_memory();
}

static void ring_bell(struct finisher *finisher)
{
    atomic_fetch_add(&finisher->event, 1);
    if (atomic_load(&finisher->is_asleep))
        he_futex_wake(&finisher->event, INT_MAX);
}

bool he_finish_later(struct lane *lane, struct run_context *context, uint32_t step)
{
    struct finisher *finisher = &lane->finisher;
    uint32_t head = atomic_load_explicit(&finisher->head, memory_order_relaxed);
    void *mark;

    if (!he_finish_is_there(lane))
        return false;
    /* Without a mark the finisher waits for everything; never the worker, who would be past others. */
    if (he_device_mark(lane->dev, &mark) != HE_OK)
        mark = NULL;
    finisher->ring[head % finisher->ring_size] = (struct finish){ context, step, mark };
    atomic_store_explicit(&finisher->head, head + 1, memory_order_release);
    ring_bell(finisher);
    return true;
}

static void finish(struct lane *lane, const struct finish *entry)
{
    he_status status = entry->mark ? he_device_mark_wait(lane->dev, entry->mark)
                                   : he_device_wait(lane->dev);

    if (status != HE_OK)
        he_context_fail(entry->context, status);
    if (entry->step == HE_NONE)
        he_lane_left(entry->context);
    else
        he_lane_step_done(lane, entry->context, entry->step);
}

/* Polls, then sleeps, until there is an entry; false when there will be none. */
static bool wait_for_entry(struct finisher *finisher, uint32_t tail)
{
    for (;;) {
        uint32_t seen = atomic_load(&finisher->event);

        if (atomic_load_explicit(&finisher->head, memory_order_acquire) != tail)
            return true;
        if (atomic_load(&finisher->must_stop))
            return false;
        for (int k = 0; k < SPIN_ROUNDS && atomic_load(&finisher->event) == seen; k++)
            he_cpu_relax();
        atomic_store(&finisher->is_asleep, 1);
        /* ring_bell() counts first and looks at is_asleep second; here the other way. */
        while (atomic_load(&finisher->event) == seen)
            he_futex_wait(&finisher->event, seen, -1);
        atomic_store(&finisher->is_asleep, 0);
    }
}

static void *finisher_main(void *self)
{
    struct lane *lane = self;
    struct finisher *finisher = &lane->finisher;

    for (uint32_t tail = 0; wait_for_entry(finisher, tail); tail++) {
        /* By value: the entry's place is free for the next round once the request is through. */
        struct finish entry = finisher->ring[tail % finisher->ring_size];

        finish(lane, &entry);
    }
    return NULL;
}

he_status he_finish_start(struct lane *lane)
{
    struct finisher *finisher = &lane->finisher;
    int error;

    if (!finisher->ring || finisher->has_thread)
        return HE_OK;
    error = pthread_create(&finisher->thread, NULL, finisher_main, lane);
    if (error)
        return he_error_set(HE_ERR_NO_MEMORY, "cannot start a worker thread: %s", strerror(error));
    finisher->has_thread = true;
    return HE_OK;
}

void he_finish_stop(struct lane *lane)
{
    struct finisher *finisher = &lane->finisher;

    if (!finisher->has_thread)
        return;
    atomic_store(&finisher->must_stop, 1);
    ring_bell(finisher);
    pthread_join(finisher->thread, NULL);
    finisher->has_thread = false;
}
