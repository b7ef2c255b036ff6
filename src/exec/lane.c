/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: a device's queue and the thread that feeds it. Its owner (the worker,
 * or a caller that runs inline) walks the requests' cursors; nothing here locks
 * or allocates.
 */
#include <limits.h>
#include <sched.h>
#include <string.h>

#include "core/clock.h"
#include "exec/exec.h"

/* A worker with nothing to do polls this long before it sleeps: a wake-up through
 * the kernel costs about as much. In the middle of a request, on cores that are the
 * device's own, somewhat longer: what it waits for is being worked on. */
#define SPIN_ROUNDS 2000
#define SPIN_WITHIN_NS 300000

/* --- Steps --- */

/* Spreads a region's time over its tasks by what was predicted of them. */
static void spread_time(struct he_session *session, const struct he_plan_region *region,
                        uint64_t *task_ns, uint64_t whole_ns)
{
    const struct he_problem *problem = session->plan->problem;
    uint32_t device = session->plan->lanes[region->lane].device;
    double whole = 0;

    for (uint32_t t = 0; t < region->view.task_count; t++)
        whole += he_problem_time(problem, region->view.tasks[t], device);
    for (uint32_t t = 0; t < region->view.task_count; t++) {
        double share = whole > 0 ? he_problem_time(problem, region->view.tasks[t], device) / whole
                                 : 1.0 / region->view.task_count;

        task_ns[t] = (uint64_t)((double)whole_ns * share);
    }
}

static he_status launch_measured(struct lane *lane, struct run_context *context, uint32_t r)
{
    struct he_session *session = lane->session;
    const struct he_plan_region *region = &session->plan->regions[r];
    uint64_t *task_ns = session->task_ns[r];
    struct he_launch launch = { .struct_size = sizeof launch };
    uint64_t start_ns = he_now_ns(), whole_ns;
    he_status status;

    if (he_device_has(lane->dev, HE_CAP_TASK_TIMES))
        launch.task_ns = task_ns;
    status = he_device_launch(lane->dev, context->instances[r], &launch);
    if (status == HE_OK && lane->is_async)
        status = he_device_wait(lane->dev);
    if (status != HE_OK)
        return status;
    whole_ns = he_now_ns() - start_ns;
    lane->busy_ns += whole_ns;
    if (!launch.task_ns)
        spread_time(session, region, task_ns, whole_ns);
    for (uint32_t t = 0; t < region->view.task_count; t++) {
        session->task_seconds[region->view.tasks[t]] += (double)task_ns[t] * 1e-9;
        session->task_runs[region->view.tasks[t]]++;
    }
    return HE_OK;
}

static he_status run_copy(struct lane *lane, struct run_context *context,
                          const struct he_step *step)
{
    const struct he_plan *plan = lane->session->plan;
    struct he_place_ref from = he_context_locate(context, step->from_home);
    struct he_place_ref to = he_context_locate(context, step->to_home);
    size_t bytes = plan->homes[step->to_home].bytes;

    if (plan->homes[step->to_home].memory == plan->lanes[lane->index].memory)
        lane->bytes_in += bytes;
    return he_copy_begin(&to, &from, bytes, he_finish_is_there(lane), context->staging,
                         &lane->copies);
}

void he_lane_step_done(struct lane *lane, struct run_context *context, uint32_t index)
{
    struct he_session *session = lane->session;
    const struct he_step *step = &session->plan->steps[index];

    for (uint32_t k = 0; k < step->wake_count; k++) {
        uint32_t waiter = step->wakes[k];

        if (atomic_fetch_sub_explicit(&context->pending[waiter], 1, memory_order_acq_rel) == 1)
            he_lane_wake(&session->lanes[session->plan->steps[waiter].lane]);
    }
}

static void run_step(struct lane *lane, struct run_context *context, uint32_t index)
{
    struct he_session *session = lane->session;
    const struct he_step *step = &session->plan->steps[index];
    he_status status = HE_OK;

    /* After a failure the rest is only walked through, so that every lane gets to its end. */
    if (atomic_load_explicit(&context->status, memory_order_relaxed) == HE_OK) {
        if (step->kind == HE_STEP_COPY)
            status = run_copy(lane, context, step);
        else if (session->measures_tasks)
            status = launch_measured(lane, context, step->region);
        else
            status = he_device_launch(lane->dev, context->instances[step->region], NULL);
        if (status == HE_OK && step->wake_count > 0 && lane->is_async) {
            if (he_finish_later(lane, context, index))
                return;
            status = he_device_wait(lane->dev);
        }
        if (status != HE_OK)
            he_context_fail(context, status);
    }
    he_lane_step_done(lane, context, index);
}

void he_lane_left(struct run_context *context)
{
    if (atomic_fetch_sub_explicit(&context->lanes_left, 1, memory_order_acq_rel) == 1)
        he_request_complete(context);
}

/* All of this lane's steps of the request are done. */
static void leave(struct lane *lane, struct run_context *context)
{
    if (lane->is_async) {
        he_status status;

        if (he_finish_later(lane, context, HE_NONE))
            return;
        status = he_device_wait(lane->dev);
        if (status != HE_OK)
            he_context_fail(context, status);
    }
    he_lane_left(context);
}

/* Runs what is ready of one request; true when it got on. */
static bool advance(struct lane *lane, struct lane_cursor *cursor)
{
    const struct he_lane *plan = lane->plan;
    uint32_t start = cursor->next;

    while (cursor->next < plan->step_count &&
           atomic_load_explicit(&cursor->context->pending[plan->steps[cursor->next]],
                                memory_order_acquire) == 0) {
        run_step(lane, cursor->context, plan->steps[cursor->next]);
        cursor->next++;
    }
    return cursor->next != start;
}

/* One round over all requests of the lane; true when anything happened. */
static bool work_once(struct lane *lane)
{
    uint32_t head = atomic_load_explicit(&lane->inbox_head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&lane->inbox_tail, memory_order_relaxed);
    uint32_t kept = 0;
    bool happened = tail != head;

    for (; tail != head; tail++)
        lane->cursors[lane->cursor_count++] =
            (struct lane_cursor){ lane->inbox[tail % lane->session->context_count], 0 };
    atomic_store_explicit(&lane->inbox_tail, tail, memory_order_release);
    for (uint32_t k = 0; k < lane->cursor_count; k++) {
        struct lane_cursor cursor = lane->cursors[k];

        happened |= advance(lane, &cursor);
        if (cursor.next == lane->plan->step_count) {
            leave(lane, cursor.context);
            happened = true;
        } else {
            lane->cursors[kept++] = cursor;
        }
    }
    lane->cursor_count = kept;
    return happened;
}

/* --- The worker --- */

/* Polls, then sleeps, until the event counter moves on from @seen. */
static void wait_for_event(struct lane *lane, uint32_t seen)
{
    for (int k = 0; k < SPIN_ROUNDS; k++) {
        if (atomic_load_explicit(&lane->event, memory_order_acquire) != seen)
            return;
        he_cpu_relax();
    }
    if (lane->cursor_count > 0 && he_device_has(lane->dev, HE_CAP_HOST_MEMORY)) {
        uint64_t start_ns = he_now_ns();

        while (he_now_ns() - start_ns < SPIN_WITHIN_NS) {
            if (atomic_load_explicit(&lane->event, memory_order_acquire) != seen)
                return;
            he_cpu_relax();
        }
    }
    atomic_store(&lane->is_asleep, 1);
    /* he_lane_wake() counts first and looks at is_asleep second; here the other way. */
    while (atomic_load(&lane->event) == seen)
        he_futex_wait(&lane->event, seen, -1);
    atomic_store(&lane->is_asleep, 0);
}

static void own(struct lane *lane)
{
    uint32_t nobody = 0;

    while (!atomic_compare_exchange_weak_explicit(&lane->is_owned, &nobody, 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
        nobody = 0;
        sched_yield();
    }
}

static void *worker_main(void *self)
{
    struct lane *lane = self;
    he_status entered = he_device_enter_thread(lane->dev, true);
    bool is_first = true; /* request since the worker failed to enter */

    for (;;) {
        uint32_t seen = atomic_load_explicit(&lane->event, memory_order_acquire);
        bool happened;

        /* After the count was read: he_lane_stop() sets this before it counts. */
        if (atomic_load_explicit(&lane->must_stop, memory_order_acquire))
            return NULL;
        own(lane);
        if (entered != HE_OK) {
            uint32_t head = atomic_load_explicit(&lane->inbox_head, memory_order_acquire);
            uint32_t tail = atomic_load(&lane->inbox_tail);

            /* Once more for whoever comes: it may have been a passing fault. */
            if (!is_first && tail != head)
                entered = he_device_enter_thread(lane->dev, true);
            for (uint32_t k = tail; entered != HE_OK && k != head; k++)
                he_context_fail(lane->inbox[k % lane->session->context_count], entered);
            is_first &= tail == head;
        }
        happened = work_once(lane);
        he_lane_disown(lane);
        if (!happened)
            wait_for_event(lane, seen);
    }
}

he_status he_lane_start(struct lane *lane)
{
    he_status status;
    int error;

    if (lane->has_thread)
        return HE_OK;
    status = he_finish_start(lane);
    if (status != HE_OK)
        return status;
    error = pthread_create(&lane->thread, NULL, worker_main, lane);
    if (error)
        return he_error_set(HE_ERR_NO_MEMORY, "cannot start a worker thread: %s", strerror(error));
    lane->has_thread = true;
    return HE_OK;
}

void he_lane_stop(struct lane *lane)
{
    if (lane->has_thread) {
        atomic_store(&lane->must_stop, 1);
        he_lane_wake(lane);
        pthread_join(lane->thread, NULL);
        lane->has_thread = false;
    }
    he_finish_stop(lane);
}

void he_lane_wake(struct lane *lane)
{
    atomic_fetch_add(&lane->event, 1);
    if (atomic_load(&lane->is_asleep))
        he_futex_wake(&lane->event, INT_MAX);
}

void he_lane_enter(struct lane *lane, struct run_context *context)
{
    uint32_t head = atomic_load_explicit(&lane->inbox_head, memory_order_relaxed);

    lane->inbox[head % lane->session->context_count] = context;
    atomic_store_explicit(&lane->inbox_head, head + 1, memory_order_release);
}

/* --- Running in the caller's thread --- */

bool he_lane_try_own(struct lane *lane)
{
    uint32_t nobody = 0;

    if (!atomic_compare_exchange_strong_explicit(&lane->is_owned, &nobody, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return false;
    if (lane->cursor_count == 0 && atomic_load(&lane->inbox_head) == atomic_load(&lane->inbox_tail))
        return true;
    he_lane_disown(lane);
    return false;
}

void he_lane_disown(struct lane *lane)
{
    atomic_store_explicit(&lane->is_owned, 0, memory_order_release);
}

void he_lane_run_inline(struct lane *lane, struct run_context *context)
{
    static _Thread_local uint64_t entered_serial;
    struct lane_cursor cursor = { context, 0 };

    if (entered_serial != lane->session->serial) {
        he_status status = he_device_enter_thread(lane->dev, false);

        if (status != HE_OK)
            he_context_fail(context, status);
        else
            entered_serial = lane->session->serial;
    }
    lane->is_inline = true;
    advance(lane, &cursor);
    leave(lane, context);
    lane->is_inline = false;
}
