/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to do when a device fails under a session (docs/decisions/0011). By device:
 *
 *   a call failed            once: everything again, on the same plan; twice: the device is given up,
 *                            unless there is no plan without it: then it may go on failing
 *   it is lost               a plan without it: its front door refuses, so costs say it cannot
 *   its memory is full       a plan with half of what it was to hold, three times; then none of it
 *
 * Devices are the engine's: one that is lost is lost to all plans. Second chances are the
 * session's.
 */
#include <stdio.h>

#include "engine/engine.h"
#include "exec/exec.h"
#include "graph/shard.h"
#include "plan/plan.h"

#define CALLS_MAX 2 /* failures of a device that end it */
#define FULL_MAX 4  /* times full, and it gets nothing */

/* What a session has seen of a device. */
struct watched {
    uint32_t failures, times_full; /* of the device's counts, dealt with so far */
    uint32_t failed, was_full;     /* how often that was */
    bool is_lost, is_told;
    bool is_given_up; /* in this look, by us */
};

struct made_plan {
    struct he_plan *plan;
    struct made_plan *next;
};

struct mender {
    struct he_mender base;
    struct he_engine *engine;
    struct watched *watched; /* by machine device */
    struct made_plan *made;
};

/* --- A new plan --- */

/* What a plan puts on a device: weights and live tensors. */
static double planned_bytes(const struct he_plan *plan, uint32_t device)
{
    return plan->schedule.peak_bytes ? plan->schedule.peak_bytes[device] : 0;
}

static he_status replan(struct mender *m, const struct he_plan *old, struct he_plan **out)
{
    struct made_plan *made = he_alloc(&m->engine->alloc, 1, sizeof *made);
    he_status status;

    if (!made)
        return he_no_memory();
    status = he_engine_replan(m->engine, old, &made->plan);
    if (status != HE_OK) {
        he_free(&m->engine->alloc, made);
        return status;
    }
    made->next = m->made;
    m->made = made;
    *out = made->plan;
    return HE_OK;
}

/* --- Looking at devices --- */

enum finding { SOUND, TRY_AGAIN, PLAN_ANEW };

/* Tells of what is lost, once there is a plan without it. */
static void tell_losses(struct mender *m, struct he_session *session)
{
    for (uint32_t d = 0; d < m->engine->dev_count; d++) {
        struct watched *w = &m->watched[d];
        char reason[512];

        if (!w->is_lost || w->is_told)
            continue;
        w->is_told = true;
        he_device_last_failure(m->engine->devs[d], reason, sizeof reason);
        he_session_tell(session, HE_EVENT_LOST, m->engine->machine->devices[d].id, reason);
    }
}

/* There is no plan without them. */
static bool take_back(struct mender *m)
{
    bool has_any = false;

    for (uint32_t d = 0; d < m->engine->dev_count; d++) {
        struct watched *w = &m->watched[d];

        if (w->is_given_up)
            he_device_give_up(m->engine->devs[d], false);
        has_any |= w->is_given_up;
        w->is_lost &= !w->is_given_up;
        w->is_given_up = false;
    }
    return has_any;
}

static enum finding look_at_failures(struct mender *m, struct he_session *session, uint32_t device)
{
    struct he_device *dev = m->engine->devs[device];
    struct watched *w = &m->watched[device];
    uint32_t failures = he_device_failures(dev);
    bool has_failed = failures != w->failures;
    char reason[512];

    w->failures = failures;
    w->is_given_up = false;
    if (has_failed && !he_device_is_lost(dev) && ++w->failed >= CALLS_MAX) {
        w->is_given_up = true;
        he_device_give_up(dev, true);
    }
    if (he_device_is_lost(dev)) {
        w->is_lost = true;
        return PLAN_ANEW;
    }
    if (!has_failed)
        return SOUND;
    he_device_last_failure(dev, reason, sizeof reason);
    he_session_tell(session, HE_EVENT_RETRIED, m->engine->machine->devices[device].id, reason);
    return TRY_AGAIN;
}

static enum finding look_at_memory(struct mender *m, struct he_session *session,
                                   const struct he_plan *plan, uint32_t device)
{
    struct he_device *dev = m->engine->devs[device];
    struct watched *w = &m->watched[device];
    uint32_t times_full = he_device_times_full(dev);
    uint64_t limit = he_device_memory_limit(dev);
    double planned = planned_bytes(plan, device);
    char reason[512];

    if (times_full == w->times_full)
        return SOUND;
    w->times_full = times_full;
    w->was_full++;
    if (!limit || planned < (double)limit)
        limit = (uint64_t)planned;
    /* One byte is nothing: a task that holds so little would have had room. */
    limit = w->was_full >= FULL_MAX || limit < 2 ? 1 : limit / 2;
    he_device_limit_memory(dev, limit);
    he_device_last_failure(dev, reason, sizeof reason);
    he_session_tell(session, HE_EVENT_FULL, m->engine->machine->devices[device].id, reason);
    return PLAN_ANEW;
}

static bool has_work(const struct he_plan *plan, uint32_t device)
{
    for (uint32_t p = 0; p < plan->part_count; p++) {
        if (plan->parts[p].device == device)
            return true;
    }
    return false;
}

static enum finding look_at_all(struct mender *m, struct he_session *session,
                                const struct he_plan *plan)
{
    enum finding worst = SOUND;

    for (uint32_t d = 0; d < m->engine->dev_count; d++) {
        enum finding found;

        if (!m->engine->devs[d] || !has_work(plan, d))
            continue;
        found = look_at_failures(m, session, d);
        if (found == SOUND && !he_device_is_lost(m->engine->devs[d]))
            found = look_at_memory(m, session, plan, d);
        if (found > worst)
            worst = found;
    }
    return worst;
}

/* --- The mender --- */

static enum he_mend_verdict mend(struct he_mender *self, struct he_session *session,
                                 he_status *status, struct he_plan **plan)
{
    struct mender *m = (struct mender *)self;
    char failure[512];
    he_status planned;

    snprintf(failure, sizeof failure, "%s", he_error_message());
    switch (look_at_all(m, session, *plan)) {
    case SOUND:
        he_error_set(*status, "%s", failure);
        return HE_MEND_NOT_OURS;
    case TRY_AGAIN:
        he_session_count(session, HE_MEND_AGAIN);
        return HE_MEND_AGAIN;
    case PLAN_ANEW:
        break;
    }
    planned = replan(m, *plan, plan);
    if (planned == HE_OK) {
        tell_losses(m, session);
        he_session_count(session, HE_MEND_REPLANNED);
        return HE_MEND_REPLANNED;
    }
    he_error_set(*status, "%s; and there is no other plan: %s", failure, he_error_message());
    return take_back(m) ? HE_MEND_NOT_OURS : HE_MEND_HOPELESS;
}

static void destroy(struct he_mender *self)
{
    struct mender *m = (struct mender *)self;
    struct he_allocator alloc = m->engine->alloc;

    for (struct made_plan *made = m->made, *next; made; made = next) {
        next = made->next;
        he_plan_destroy(made->plan);
        he_free(&alloc, made);
    }
    he_free(&alloc, m->watched);
    he_free(&alloc, m);
}

he_status he_mender_create(struct he_engine *engine, struct he_mender **out)
{
    struct mender *m = he_alloc(&engine->alloc, 1, sizeof *m);

    *out = NULL;
    if (!m)
        return he_no_memory();
    m->base = (struct he_mender){ .mend = mend, .destroy = destroy };
    m->engine = engine;
    m->watched = he_alloc(&engine->alloc, engine->dev_count, sizeof *m->watched);
    if (!m->watched) {
        he_free(&engine->alloc, m);
        return he_no_memory();
    }
    for (uint32_t d = 0; d < engine->dev_count; d++) {
        if (!engine->devs[d])
            continue;
        m->watched[d].failures = he_device_failures(engine->devs[d]);
        m->watched[d].times_full = he_device_times_full(engine->devs[d]);
    }
    *out = &m->base;
    return HE_OK;
}
