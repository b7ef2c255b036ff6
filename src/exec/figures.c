/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a session: counts, times, what happened. While it is being made for another plan
 * it has no devices. */
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "exec/exec.h"

/* Who asks may not change the session, but for its lock. */
static struct he_session *lock(const struct he_session *session)
{
    struct he_session *s = (struct he_session *)session;

    he_mutex_lock(&s->lock);
    return s;
}

static uint32_t lane_count(const struct he_session *s)
{
    return s->is_down ? 0 : s->plan->lane_count;
}

he_status he_session_figures(const struct he_session *session, struct he_session_figures *out)
{
    struct he_session_figures figures;
    struct he_session *s;
    size_t size;

    if (!session || !out || out->struct_size < sizeof out->struct_size)
        return he_error_set(HE_ERR_INVALID, "he_session_figures: session, out or its struct_size "
                                            "is missing");
    size = out->struct_size < sizeof figures ? out->struct_size : sizeof figures;
    s = lock(session);
    figures = (struct he_session_figures){
        .struct_size = size,
        .run_count = atomic_load(&s->run_count),
        .constant_bytes = s->constant_bytes,
        .copies = s->past_copies.copies,
        .bytes_copied = s->past_copies.bytes,
        .replans = s->replans,
        .retries = s->retries,
    };
    for (uint32_t m = 0; !s->is_down && m < s->plan->memory_count; m++)
        figures.arena_bytes += s->plan->memories[m].arena_bytes;
    for (uint32_t l = 0; l < lane_count(s); l++) {
        figures.copies += s->lanes[l].copies.copies;
        figures.bytes_copied += s->lanes[l].copies.bytes;
        figures.workspace_bytes += s->lanes[l].workspace_bytes;
    }
    for (uint32_t c = 0; c < s->context_count; c++) {
        figures.copies += s->contexts[c].copies.copies;
        figures.bytes_copied += s->contexts[c].copies.bytes;
    }
    he_mutex_unlock(&s->lock);
    memcpy(out, &figures, size);
    return HE_OK;
}

he_status he_session_task_seconds(const struct he_session *session, size_t index, double *out)
{
    struct he_session *s;
    he_status status = HE_OK;

    if (!session || !out)
        return he_error_set(HE_ERR_INVALID, "he_session_task_seconds: session or out is NULL");
    *out = 0;
    s = lock(session);
    if (index >= s->plan->problem->task_count)
        status = he_error_set(HE_ERR_INVALID, "he_session_task_seconds: no task %zu", index);
    else if (!s->is_down && s->task_runs[index])
        *out = s->task_seconds[index] / (double)s->task_runs[index];
    he_mutex_unlock(&s->lock);
    return status;
}

void he_session_reset_times(struct he_session *session)
{
    size_t count;

    he_mutex_lock(&session->lock);
    count = session->is_down ? 0 : session->plan->problem->task_count;
    for (size_t t = 0; t < count; t++) {
        session->task_seconds[t] = 0;
        session->task_runs[t] = 0;
    }
    for (uint32_t l = 0; l < lane_count(session); l++) {
        struct lane *lane = &session->lanes[l];

        lane->busy_ns = lane->bytes_in = 0;
        lane->copies = (struct he_copy_counter){ 0, 0 };
    }
    atomic_store(&session->run_count, 0);
    session->past_runs = 0;
    he_mutex_unlock(&session->lock);
}

static struct he_device_figures figures_of(const struct he_session *s, const struct lane *lane)
{
    uint64_t runs = atomic_load(&((struct he_session *)s)->run_count) - s->past_runs;
    struct he_device_figures figures;

    runs = runs ? runs : 1;
    figures = (struct he_device_figures){
        .id = s->plan->machine->devices[lane->plan->device].id,
        .busy_seconds = (double)lane->busy_ns * 1e-9 / (double)runs,
        .bytes_in = lane->bytes_in / runs,
        .bytes_copied = lane->copies.bytes / runs,
    };
    for (uint32_t t = 0; t < s->plan->problem->task_count; t++)
        figures.task_count += s->plan->placement.device[t] == lane->plan->device;
    return figures;
}

he_status he_session_device(const struct he_session *session, size_t index,
                            struct he_device_figures *out)
{
    struct he_device_figures figures;
    he_status status = HE_OK;
    struct he_session *s;
    size_t size;

    if (!session || !out || out->struct_size < sizeof out->struct_size)
        return he_error_set(HE_ERR_INVALID, "he_session_device: session, out or its struct_size "
                                            "is missing");
    size = out->struct_size < sizeof figures ? out->struct_size : sizeof figures;
    s = lock(session);
    if (index < lane_count(s))
        figures = figures_of(s, &s->lanes[index]);
    else
        status = he_error_set(HE_ERR_NOT_FOUND, "the session uses %u devices", lane_count(s));
    he_mutex_unlock(&s->lock);
    if (status == HE_OK) {
        figures.struct_size = size;
        memcpy(out, &figures, size);
    }
    return status;
}

const struct he_plan *he_session_plan(const struct he_session *session)
{
    const struct he_plan *plan;
    struct he_session *s;

    if (!session)
        return NULL;
    s = lock(session);
    plan = s->plan;
    he_mutex_unlock(&s->lock);
    return plan;
}

/* --- What happened --- */

void he_session_tell(struct he_session *session, enum he_event_kind kind, const char *device,
                     const char *reason)
{
    static const char *const words[] = {
        [HE_EVENT_RETRIED] = "what was in flight is run again",
        [HE_EVENT_FULL] = "planning again with less work for it",
        [HE_EVENT_LOST] = "lost: planning again without it",
    };
    struct session_event *event = he_alloc(&session->arena.alloc, 1, sizeof *event);

    he_log(HE_LOG_WARNING, "%s: %s (%s)", device, words[kind], reason);
    if (!event) /* the log has said it */
        return;
    event->kind = kind;
    event->device = device;
    snprintf(event->reason, sizeof event->reason, "%s", reason);
    he_mutex_lock(&session->lock);
    if (session->last_event)
        session->last_event->next = event;
    else
        session->events = event;
    session->last_event = event;
    he_mutex_unlock(&session->lock);
}

void he_session_count(struct he_session *session, enum he_mend_verdict verdict)
{
    he_mutex_lock(&session->lock);
    if (verdict == HE_MEND_REPLANNED)
        session->replans++;
    else
        session->retries++;
    he_mutex_unlock(&session->lock);
}

he_status he_session_event(const struct he_session *session, size_t index,
                           struct he_session_event *out)
{
    const struct session_event *event;
    struct he_session_event told;
    struct he_session *s;
    size_t size;

    if (!session || !out || out->struct_size < sizeof out->struct_size)
        return he_error_set(HE_ERR_INVALID, "he_session_event: session, out or its struct_size is "
                                            "missing");
    s = lock(session);
    event = s->events;
    for (size_t k = 0; event && k < index; k++)
        event = event->next;
    he_mutex_unlock(&s->lock);
    if (!event)
        return he_error_set(HE_ERR_NOT_FOUND, "nothing more happened to the session's devices");
    size = out->struct_size < sizeof told ? out->struct_size : sizeof told;
    told = (struct he_session_event){ .struct_size = size, .kind = event->kind,
                                      .device = event->device, .reason = event->reason };
    memcpy(out, &told, size);
    return HE_OK;
}
