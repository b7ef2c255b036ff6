/* SPDX-License-Identifier: Apache-2.0 */
/* Run, submit, wait: a request takes a context and leaves it to the lanes. */
#include <limits.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "exec/exec.h"

/* A plan on one lane whose worker is idle runs in the caller's thread: no hop, no wake-up. */
static bool may_run_inline(const struct he_session *session)
{
    return session->plan->lane_count == 1;
}

/* Waits for a free context: more requests than max_in_flight stand in line here. */
static struct run_context *take_context(struct he_session *session)
{
    for (;;) {
        uint32_t seen = atomic_load(&session->free_event);
        struct run_context *context;

        he_mutex_lock(&session->lock);
        context = session->free_contexts;
        if (context)
            session->free_contexts = context->next_free;
        he_mutex_unlock(&session->lock);
        if (context)
            return context;
        atomic_fetch_add(&session->free_waiters, 1);
        he_futex_wait(&session->free_event, seen, -1);
        atomic_fetch_sub(&session->free_waiters, 1);
    }
}

static void give_context(struct run_context *context)
{
    struct he_session *session = context->session;

    context->request = NULL;
    he_mutex_lock(&session->lock);
    context->next_free = session->free_contexts;
    session->free_contexts = context;
    he_mutex_unlock(&session->lock);
    atomic_fetch_add(&session->free_event, 1);
    if (atomic_load(&session->free_waiters))
        he_futex_wake(&session->free_event, 1);
}

static void leave_session(struct he_session *session)
{
    if (atomic_fetch_sub(&session->running, 1) == 1)
        he_futex_wake(&session->running, INT_MAX);
}

void he_request_complete(struct run_context *context)
{
    struct he_session *session = context->session;

    if (atomic_load(&context->status) == HE_OK) {
        he_status status = he_border_finish_outputs(context, context->request->outputs);

        if (status != HE_OK)
            he_context_fail(context, status);
    }
    if (atomic_load(&context->status) == HE_OK || !he_session_park(context))
        he_request_finish(context);
    he_session_leave(session);
}

void he_request_finish(struct run_context *context)
{
    struct he_session *session = context->session;
    struct he_request *request = context->request;
    he_status status = (he_status)atomic_load(&context->status);

    if (status != HE_OK)
        he_border_drop_outputs(context, request->outputs);
    request->status = status;
    memcpy(request->message, context->message, sizeof request->message);
    atomic_fetch_add(&session->run_count, 1);
    give_context(context);
    if (request->done_fn)
        request->done_fn(request->done_self, request, status);
    /* From here on the request belongs to who waits for it. */
    atomic_store(&request->is_done, 1);
    he_futex_wake(&request->is_done, INT_MAX);
    leave_session(session);
}

static he_status ensure_workers(struct he_session *session)
{
    he_status status = HE_OK;

    he_mutex_lock(&session->lock);
    for (uint32_t l = 0; !session->has_workers && l < session->plan->lane_count; l++) {
        status = he_lane_start(&session->lanes[l]);
        if (status != HE_OK)
            break;
    }
    if (status == HE_OK)
        session->has_workers = true;
    he_mutex_unlock(&session->lock);
    return status;
}

/* Takes a context and readies it; *out NULL: the request waits for the session to be mended. On
 * failure nothing is in flight and no output is held. The caller leaves the session when it is through. */
static he_status begin(struct he_session *session, const DLTensor *const *inputs,
                       size_t input_count, struct he_request *request, size_t output_count,
                       struct run_context **out)
{
    struct run_context *context;
    bool is_parked;
    he_status status;

    *out = NULL;
    if (!session || (input_count && !inputs) || (output_count && !request->outputs))
        return he_error_set(HE_ERR_INVALID, "session, inputs or outputs are NULL");
    /* For the request, and for the thread that brings it to the lanes. */
    atomic_fetch_add(&session->running, 2);
    context = take_context(session);
    context->message[0] = '\0';
    atomic_store(&context->status, HE_OK);
    status = he_border_take_inputs(context, inputs, input_count);
    if (status != HE_OK)
        goto give;
    status = he_border_prepare_outputs(context, request->outputs, output_count);
    if (status != HE_OK)
        goto give;
    context->request = request;
    status = he_session_enter(context, &is_parked);
    if (status != HE_OK)
        goto drop;
    if (is_parked)
        return HE_OK;
    status = he_context_arm(context);
    if (status == HE_OK) {
        *out = context;
        return HE_OK;
    }
    he_context_fail(context, status);
    is_parked = he_session_park(context);
    he_session_leave(session);
    he_session_leave(session);
    if (is_parked)
        return HE_OK;

drop:
    he_border_drop_outputs(context, request->outputs);
give:
    give_context(context);
    leave_session(session);
    leave_session(session);
    return status;
}

static void enter_lanes(struct he_session *session, struct run_context *context)
{
    uint32_t lane_count = session->plan->lane_count;

    if (lane_count == 0) { /* every output is an input or a constant */
        he_request_complete(context);
        return;
    }
    he_mutex_lock(&session->lock);
    for (uint32_t l = 0; l < lane_count; l++)
        he_lane_enter(&session->lanes[l], context);
    he_mutex_unlock(&session->lock);
    for (uint32_t l = 0; l < lane_count; l++)
        he_lane_wake(&session->lanes[l]);
}

void he_request_start(struct run_context *context, bool may_run_here)
{
    struct he_session *session = context->session;
    struct lane *lane = session->lanes;
    he_status status;

    if (may_run_here && may_run_inline(session) && he_lane_try_own(lane)) {
        he_lane_run_inline(lane, context);
        he_lane_disown(lane);
        if (atomic_load(&lane->inbox_head) != atomic_load(&lane->inbox_tail))
            he_lane_wake(lane);
    } else {
        status = ensure_workers(session);
        if (status == HE_OK) {
            enter_lanes(session, context);
        } else {
            he_context_fail(context, status);
            he_request_complete(context);
        }
    }
    he_session_leave(session);
}

static he_status report(const struct he_request *request)
{
    if (request->status == HE_OK)
        return HE_OK;
    return he_error_set(request->status, "%s", request->message);
}

static void wait_done(struct he_request *request)
{
    while (!atomic_load_explicit(&request->is_done, memory_order_acquire))
        he_futex_wait(&request->is_done, 0, -1);
}

he_status he_session_run(struct he_session *session, const DLTensor *const *inputs,
                         size_t input_count, struct he_output *outputs, size_t output_count)
{
    struct he_request request = { .session = session, .outputs = outputs };
    struct run_context *context;
    he_status status = begin(session, inputs, input_count, &request, output_count, &context);

    if (status != HE_OK)
        return status;
    if (context)
        he_request_start(context, true);
    leave_session(session);
    wait_done(&request);
    return report(&request);
}

he_status he_session_submit(struct he_session *session, const DLTensor *const *inputs,
                            size_t input_count, struct he_output *outputs, size_t output_count,
                            he_request_fn done, void *self, struct he_request **out)
{
    struct run_context *context;
    struct he_request *request;
    he_status status;

    if (!session || !out)
        return he_error_set(HE_ERR_INVALID, "he_session_submit: session or out is NULL");
    *out = NULL;
    request = he_alloc(&session->arena.alloc, 1, sizeof *request);
    if (!request)
        return he_no_memory();
    request->alloc = session->arena.alloc;
    request->session = session;
    request->outputs = outputs;
    request->done_fn = done;
    request->done_self = self;
    *out = request; /* before it can be done */
    status = begin(session, inputs, input_count, request, output_count, &context);
    if (status != HE_OK) {
        *out = NULL;
        he_free(&session->arena.alloc, request);
        return status;
    }
    if (context)
        he_request_start(context, false);
    leave_session(session);
    return HE_OK;
}

he_status he_request_wait(struct he_request *request, int64_t timeout_ns)
{
    uint64_t start_ns = he_now_ns();

    if (!request)
        return he_error_set(HE_ERR_INVALID, "he_request_wait: request is NULL");
    while (!atomic_load_explicit(&request->is_done, memory_order_acquire)) {
        int64_t left = -1;

        if (timeout_ns >= 0) {
            left = timeout_ns - (int64_t)(he_now_ns() - start_ns);
            if (left <= 0)
                return he_error_set(HE_ERR_CANCELLED, "the request is not done after %lld ns",
                                    (long long)timeout_ns);
        }
        he_futex_wait(&request->is_done, 0, left);
    }
    return report(request);
}

void he_request_destroy(struct he_request *request)
{
    struct he_allocator alloc;

    if (!request)
        return;
    wait_done(request);
    alloc = request->alloc;
    he_free(&alloc, request);
}
