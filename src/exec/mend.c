/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session whose device failed. Requests that failed wait, parked, with the caller's
 * inputs untouched, and new ones beside them. The keeper (a thread that lives as long as
 * this takes) waits until the lanes are empty, asks the mender what to do, and lets all of them in
 * again: a request is run from its inputs, as if for the first time.
 *
 * It ends: every question to the mender uses up a device's second chance, some of its
 * memory, or the device.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "exec/exec.h"

/* --- Inside or not --- */

static void park_locked(struct he_session *session, struct run_context *context)
{
    context->next_parked = session->parked;
    session->parked = context;
}

he_status he_session_enter(struct run_context *context, bool *is_parked)
{
    struct he_session *session = context->session;
    he_status status;

    he_mutex_lock(&session->lock);
    status = session->dead;
    *is_parked = status == HE_OK && session->is_mending;
    if (*is_parked)
        park_locked(session, context);
    else if (status == HE_OK)
        atomic_fetch_add(&session->inside, 2);
    else
        he_error_set(status, "%s", session->dead_message);
    he_mutex_unlock(&session->lock);
    return status;
}

void he_session_leave(struct he_session *session)
{
    if (atomic_fetch_sub(&session->inside, 1) == 1)
        he_futex_wake(&session->inside, INT_MAX);
}

static void wait_until_empty(struct he_session *session)
{
    uint32_t inside;

    while ((inside = atomic_load(&session->inside)) > 0)
        he_futex_wait(&session->inside, inside, -1);
}

/* --- Mending --- */

static void take_down(struct he_session *session)
{
    he_mutex_lock(&session->lock);
    session->is_down = true;
    for (uint32_t l = 0; l < session->plan->lane_count; l++) {
        session->past_copies.copies += session->lanes[l].copies.copies;
        session->past_copies.bytes += session->lanes[l].copies.bytes;
    }
    session->past_runs = atomic_load(&session->run_count);
    he_mutex_unlock(&session->lock);
    he_session_clear(session);
}

he_status he_session_mend(struct he_session *session, he_status status, bool *is_changed,
                          bool *is_hopeless)
{
    struct he_plan *plan = session->plan;
    enum he_mend_verdict verdict = HE_MEND_NOT_OURS;

    if (session->mender)
        verdict = session->mender->mend(session->mender, session, &status, &plan);
    if (is_changed)
        *is_changed = verdict == HE_MEND_REPLANNED;
    if (is_hopeless)
        *is_hopeless = verdict == HE_MEND_HOPELESS;
    if (verdict == HE_MEND_NOT_OURS || verdict == HE_MEND_HOPELESS)
        return status;
    if (verdict == HE_MEND_AGAIN)
        return HE_OK;
    if (session->lanes)
        take_down(session);
    he_mutex_lock(&session->lock);
    session->plan = plan;
    he_mutex_unlock(&session->lock);
    return HE_OK;
}

/* The first that failed of what is parked, NULL when all are new. */
static struct run_context *first_failure(struct run_context *parked)
{
    struct run_context *found = NULL;

    for (; parked; parked = parked->next_parked) {
        if (atomic_load(&parked->status) != HE_OK)
            found = parked;
    }
    return found;
}

/* Nobody is inside. After it the session can run requests, or is dead; HE_OK as well when only those
 * that failed have: *is_theirs then. */
static he_status mend(struct he_session *session, const struct run_context *failed, bool *is_theirs)
{
    he_status status = (he_status)atomic_load(&failed->status);
    bool is_changed, is_hopeless;

    he_error_set(status, "%s", failed->message);
    status = he_session_mend(session, status, &is_changed, &is_hopeless);
    *is_theirs = status != HE_OK && !is_hopeless;
    if (status == HE_OK && is_changed)
        status = he_session_furnish(session);
    he_mutex_lock(&session->lock);
    if (status == HE_OK) {
        session->is_down = false;
    } else if (!*is_theirs) {
        session->dead = status;
        snprintf(session->dead_message, sizeof session->dead_message, "%s", he_error_message());
    }
    he_mutex_unlock(&session->lock);
    /* Nothing may be in flight when the callers get their memory back. */
    if (is_hopeless && session->lanes) {
        take_down(session);
        he_error_set(status, "%s", session->dead_message);
    }
    return status;
}

static struct run_context *take_parked(struct he_session *session)
{
    struct run_context *list;

    he_mutex_lock(&session->lock);
    list = session->parked;
    session->parked = NULL;
    he_mutex_unlock(&session->lock);
    return list;
}

static void finish_with(struct run_context *context, he_status status, const char *message)
{
    atomic_store(&context->status, (uint32_t)status);
    snprintf(context->message, sizeof context->message, "%s", message);
    he_request_finish(context);
}

/* Reports those of @list that failed, all of them with @status, or (HE_OK) with their own failure those
 * that cannot be run again. Gives the rest. */
static struct run_context *report_failed(struct run_context *list, he_status status,
                                         const char *message)
{
    struct run_context *kept = NULL, **end = &kept, *next;

    for (; list; list = next) {
        he_status own = (he_status)atomic_load(&list->status);

        next = list->next_parked;
        if (own == HE_OK || (status == HE_OK && !he_border_overlaps(list))) {
            *end = list;
            end = &list->next_parked;
        } else if (status == HE_OK) {
            he_request_finish(list);
        } else {
            finish_with(list, status, message);
        }
    }
    *end = NULL;
    return kept;
}

/* Ends the mending: @list and what else is parked fails. */
static void end_failed(struct he_session *session, struct run_context *list, he_status status,
                       const char *message)
{
    struct run_context *parked, *next;

    he_mutex_lock(&session->lock);
    parked = session->parked;
    session->parked = NULL;
    session->is_mending = false;
    he_mutex_unlock(&session->lock);
    for (; list; list = next) {
        next = list->next_parked;
        finish_with(list, status, message);
    }
    for (; parked; parked = next) {
        next = parked->next_parked;
        finish_with(parked, status, message);
    }
}

/* Arms @list, which goes back where it came from when that fails. True when all are ready. */
static bool arm(struct he_session *session, struct run_context *list)
{
    bool is_armed = true;

    for (struct run_context *context = list; context; context = context->next_parked) {
        he_status status = he_context_arm(context);

        if (status != HE_OK) {
            he_context_fail(context, status);
            is_armed = false;
        }
    }
    he_mutex_lock(&session->lock);
    is_armed &= session->parked == NULL;
    if (is_armed) {
        for (struct run_context *context = list; context; context = context->next_parked)
            atomic_fetch_add(&session->inside, 2);
        session->is_mending = false;
    } else {
        struct run_context **end = &session->parked;

        while (*end)
            end = &(*end)->next_parked;
        *end = list;
    }
    he_mutex_unlock(&session->lock);
    return is_armed;
}

/* Oldest first. The list is the keeper's until a request starts; then its context may be anybody's. */
static void start(struct run_context *list)
{
    struct run_context *oldest_first = NULL, *next;

    for (; list; list = next) {
        next = list->next_parked;
        list->next_parked = oldest_first;
        oldest_first = list;
    }
    for (; oldest_first; oldest_first = next) {
        next = oldest_first->next_parked;
        he_request_start(oldest_first, false);
    }
}

static void *keep(void *self)
{
    struct he_session *session = self;
    struct run_context *list;

    do {
        char message[sizeof session->dead_message];
        struct run_context *failed;
        he_status status = HE_OK;
        bool is_theirs = false;

        wait_until_empty(session);
        list = take_parked(session);
        failed = first_failure(list);
        if (failed)
            status = mend(session, failed, &is_theirs);
        snprintf(message, sizeof message, "%s", status == HE_OK ? "" : he_error_message());
        if (status != HE_OK && !is_theirs) {
            end_failed(session, list, status, message);
            return NULL;
        }
        list = report_failed(list, status, message);
    } while (!arm(session, list));
    start(list);
    return NULL;
}

void he_session_join_keeper(struct he_session *session)
{
    if (session->has_keeper)
        pthread_join(session->keeper, NULL);
    session->has_keeper = false;
}

/* By who set is_mending. */
static void start_keeper(struct he_session *session)
{
    int error;

    he_session_join_keeper(session);
    error = pthread_create(&session->keeper, NULL, keep, session);
    session->has_keeper = error == 0;
    if (error)
        end_failed(session, NULL, HE_ERR_NO_MEMORY, "cannot start a thread to mend the session");
}

/* HE_ERR_NO_MEMORY is a device's when its memory is full. */
static bool may_be_mended(struct he_session *session, he_status status)
{
    bool is_full = false;

    if (!session->mender)
        return false;
    for (uint32_t l = 0; status == HE_ERR_NO_MEMORY && l < session->plan->lane_count; l++)
        is_full |= he_device_times_full(session->lanes[l].dev) > 0;
    return is_full || he_is_device_failure(status);
}

bool he_session_park(struct run_context *context)
{
    struct he_session *session = context->session;
    bool is_first;

    if (!may_be_mended(session, (he_status)atomic_load(&context->status)))
        return false;
    he_mutex_lock(&session->lock);
    park_locked(session, context);
    is_first = !session->is_mending;
    session->is_mending = true;
    he_mutex_unlock(&session->lock);
    if (is_first)
        start_keeper(session);
    return true;
}
