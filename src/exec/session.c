/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a plan ready to run: compile the regions, size the memory, bind the contexts. Everything
 * that is made for the plan is in the session's room, which can be cleared and furnished anew.
 */
#include <stdio.h>
#include <string.h>

#include "core/size.h"
#include "exec/exec.h"

/* The way of each of the region's tasks, as the plan's costs chose it; NULL without costs. */
static he_status region_ways(struct he_session *session, uint32_t r, const char ***out)
{
    const struct he_plan *plan = session->plan;
    const struct he_region *view = &plan->regions[r].view;
    uint32_t device = plan->lanes[plan->regions[r].lane].device;

    *out = NULL;
    if (!plan->costs)
        return HE_OK;
    *out = he_arena_alloc(&session->room, view->task_count, sizeof **out);
    for (uint32_t k = 0; *out && k < view->task_count; k++)
        (*out)[k] = plan->costs[(size_t)view->tasks[k] * plan->problem->device_count + device].way;
    return *out ? HE_OK : he_no_memory();
}

static he_status compile_regions(struct he_session *session)
{
    struct he_plan *plan = session->plan;

    session->programs = he_arena_alloc(&session->room, plan->region_count,
                                       sizeof *session->programs);
    if (!session->programs)
        return he_no_memory();
    for (uint32_t r = 0; r < plan->region_count; r++) {
        struct lane *lane = &session->lanes[plan->regions[r].lane];
        struct he_program_info info;
        const char **ways;
        he_status status = region_ways(session, r, &ways);

        if (status == HE_OK)
            status = he_device_enter_thread(lane->dev, false);
        if (status == HE_OK)
            status = he_device_compile_with(lane->dev, &plan->regions[r].view, ways,
                                            &session->programs[r]);
        if (status == HE_OK)
            status = he_device_program_info(lane->dev, session->programs[r], &info);
        if (he_is_device_failure(status))
            return status; /* which names the device */
        if (status != HE_OK)
            return he_error_prefix(status, "%s", plan->machine->devices[lane->plan->device].id);
        session->constant_bytes += info.constant_bytes;
        if (info.workspace_bytes > lane->workspace_bytes)
            lane->workspace_bytes = info.workspace_bytes;
    }
    return HE_OK;
}

static he_status make_lanes(struct he_session *session)
{
    struct he_plan *plan = session->plan;

    session->lanes = he_arena_alloc(&session->room, plan->lane_count, sizeof *session->lanes);
    if (!session->lanes)
        return he_no_memory();
    for (uint32_t l = 0; l < plan->lane_count; l++) {
        struct lane *lane = &session->lanes[l];
        he_status status;

        lane->session = session;
        lane->plan = &plan->lanes[l];
        lane->dev = session->devs[plan->lanes[l].device];
        lane->index = l;
        lane->is_async = he_device_has(lane->dev, HE_CAP_ASYNC);
        lane->inbox = he_arena_alloc(&session->room, session->context_count,
                                     sizeof(struct run_context *));
        lane->cursors = he_arena_alloc(&session->room, session->context_count,
                                       sizeof *lane->cursors);
        if (!lane->inbox || !lane->cursors)
            return he_no_memory();
        status = he_finish_init(lane);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

static he_status make_workspaces(struct he_session *session)
{
    for (uint32_t l = 0; l < session->plan->lane_count; l++) {
        struct lane *lane = &session->lanes[l];
        he_status status;

        if (lane->workspace_bytes == 0)
            continue;
        status = he_device_buffer_alloc(lane->dev, lane->workspace_bytes, &lane->workspace);
        if (status != HE_OK)
            return he_error_prefix(status, "workspace of %zu bytes on %s", lane->workspace_bytes,
                                   session->plan->machine->devices[lane->plan->device].id);
    }
    return HE_OK;
}

/* Which slots point into the caller's tensors. */
static he_status find_border_slots(struct he_session *session)
{
    const struct he_plan *plan = session->plan;
    size_t most = 0;

    for (uint32_t r = 0; r < plan->region_count; r++)
        most += plan->regions[r].view.slot_count;
    session->border_slots = he_arena_alloc(&session->room, most, sizeof *session->border_slots);
    if (!session->border_slots)
        return he_no_memory();
    for (uint32_t r = 0; r < plan->region_count; r++) {
        for (uint32_t k = 0; k < plan->regions[r].view.slot_count; k++) {
            const struct he_home *home = &plan->homes[plan->regions[r].slot_homes[k]];
            const struct he_home *root = &plan->homes[home->root];

            if (root->kind != HE_HOME_INPUT && root->kind != HE_HOME_OUTPUT)
                continue;
            session->border_slots[session->border_slot_count++] = (struct border_slot){
                .region = r, .slot = k, .index = root->index,
                .is_input = root->kind == HE_HOME_INPUT, .shift = home->shift };
        }
    }
    return HE_OK;
}

static he_status prepare_measuring(struct he_session *session)
{
    const struct he_plan *plan = session->plan;
    uint32_t tasks = plan->problem->task_count;

    session->task_seconds = he_arena_alloc(&session->room, tasks, sizeof *session->task_seconds);
    session->task_runs = he_arena_alloc(&session->room, tasks, sizeof *session->task_runs);
    session->task_ns = he_arena_alloc(&session->room, plan->region_count,
                                      sizeof *session->task_ns);
    if (!session->task_seconds || !session->task_runs || !session->task_ns)
        return he_no_memory();
    for (uint32_t r = 0; r < plan->region_count; r++) {
        session->task_ns[r] = he_arena_alloc(&session->room, plan->regions[r].view.task_count,
                                             sizeof *session->task_ns[r]);
        if (!session->task_ns[r])
            return he_no_memory();
    }
    return HE_OK;
}

static size_t largest_device_copy(const struct he_plan *plan)
{
    size_t largest = 0;

    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct he_step *step = &plan->steps[s];
        const struct he_home *from, *to;

        if (step->kind != HE_STEP_COPY)
            continue;
        from = &plan->homes[step->from_home];
        to = &plan->homes[step->to_home];
        if (!plan->memories[from->memory].is_host && !plan->memories[to->memory].is_host &&
            to->bytes > largest)
            largest = to->bytes;
    }
    return largest;
}

static he_status furnish_contexts(struct he_session *session)
{
    he_status status = HE_OK;

    for (uint32_t c = 0; c < session->context_count && status == HE_OK; c++)
        status = he_context_furnish(&session->contexts[c]);
    return status;
}

static he_status furnish(struct he_session *session)
{
    static _Atomic uint64_t next_serial = 1;
    he_status status = he_plan_lower(session->plan);

    if (status != HE_OK)
        return status;
    session->serial = atomic_fetch_add(&next_serial, 1);
    session->staging_bytes = largest_device_copy(session->plan);
    status = make_lanes(session);
    if (status == HE_OK)
        status = compile_regions(session);
    if (status == HE_OK)
        status = make_workspaces(session);
    if (status == HE_OK)
        status = find_border_slots(session);
    if (status == HE_OK)
        status = prepare_measuring(session);
    return status == HE_OK ? furnish_contexts(session) : status;
}

he_status he_session_furnish(struct he_session *session)
{
    char why[512];

    for (;;) {
        he_status status = furnish(session);

        if (status == HE_OK)
            return HE_OK;
        /* The old plan is what the room was made for: cleared before there is another one. */
        snprintf(why, sizeof why, "%s", he_error_message());
        he_session_clear(session);
        he_error_set(status, "%s", why);
        status = he_session_mend(session, status, NULL, NULL);
        if (status != HE_OK)
            return status;
    }
}

/* Also for a half-made room: whatever is not there is NULL. */
void he_session_clear(struct he_session *session)
{
    struct he_plan *plan = session->plan;
    struct he_allocator alloc = session->room.alloc;

    for (uint32_t l = 0; session->lanes && l < plan->lane_count; l++)
        he_lane_stop(&session->lanes[l]);
    for (uint32_t c = 0; session->contexts && c < session->context_count; c++)
        he_context_clear(&session->contexts[c]);
    for (uint32_t l = 0; session->lanes && l < plan->lane_count; l++) {
        if (session->lanes[l].dev)
            he_device_buffer_free(session->lanes[l].dev, session->lanes[l].workspace);
    }
    for (uint32_t r = 0; session->programs && r < plan->region_count; r++)
        he_device_program_free(session->lanes[plan->regions[r].lane].dev, session->programs[r]);
    /* Programs borrow from the plan, and work in flight writes to the callers' memory: neither may
     * outlast this. */
    for (uint32_t l = 0; session->lanes && l < plan->lane_count; l++) {
        if (session->lanes[l].dev)
            he_device_bury(session->lanes[l].dev);
    }
    session->lanes = NULL;
    session->programs = NULL;
    session->border_slots = NULL;
    session->border_slot_count = 0;
    session->constant_bytes = 0;
    session->task_seconds = NULL;
    session->task_runs = NULL;
    session->task_ns = NULL;
    session->has_workers = false;
    he_arena_fini(&session->room);
    he_arena_init(&session->room, &alloc);
}

/* --- Opening and closing --- */

static he_status make_contexts(struct he_session *session)
{
    he_status status = HE_OK;

    session->contexts = he_arena_alloc(&session->arena, session->context_count,
                                       sizeof *session->contexts);
    if (!session->contexts)
        return he_no_memory();
    for (uint32_t c = 0; c < session->context_count; c++)
        session->contexts[c] = (struct run_context){ .session = session, .index = c };
    for (uint32_t c = 0; c < session->context_count && status == HE_OK; c++) {
        struct run_context *context = &session->contexts[c];

        status = he_context_init(session, context);
        context->next_free = session->free_contexts;
        session->free_contexts = context;
    }
    return status;
}

/* Also for half-made sessions. */
static void close_session(struct he_session *session)
{
    struct he_arena arena;

    if (session->has_keeper)
        pthread_join(session->keeper, NULL);
    he_session_clear(session);
    for (uint32_t c = 0; session->contexts && c < session->context_count; c++)
        he_context_fini(&session->contexts[c]);
    for (struct session_event *event = session->events, *next; event; event = next) {
        next = event->next;
        he_free(&session->arena.alloc, event);
    }
    if (session->mender)
        session->mender->destroy(session->mender);
    he_arena_fini(&session->room);
    he_mutex_fini(&session->lock);
    /* The session lives in its arena. */
    arena = session->arena;
    he_arena_fini(&arena);
}

static he_status new_session(const struct he_allocator *alloc, struct he_session **out)
{
    struct he_session *session;
    struct he_arena arena;
    he_status status;

    he_arena_init(&arena, alloc);
    session = he_arena_alloc(&arena, 1, sizeof *session);
    status = session ? he_mutex_init(&session->lock) : he_no_memory();
    if (status != HE_OK) {
        he_arena_fini(&arena);
        return status;
    }
    session->arena = arena;
    he_arena_init(&session->room, alloc);
    *out = session;
    return HE_OK;
}

he_status he_session_open(struct he_plan *plan, struct he_device **devs,
                          const struct he_session_options *options, struct he_mender *mender,
                          const struct he_allocator *alloc, struct he_session **out)
{
    struct he_session *session;
    he_status status = new_session(alloc, &session);

    *out = NULL;
    if (status != HE_OK) {
        if (mender)
            mender->destroy(mender);
        return status;
    }
    session->plan = plan;
    session->border = plan->graph;
    session->devs = devs;
    session->mender = mender;
    session->context_count = options && options->max_in_flight ? options->max_in_flight : 1;
    session->measures_tasks = options && options->measure_tasks;
    status = make_contexts(session);
    if (status == HE_OK)
        status = he_session_furnish(session);
    if (status != HE_OK) {
        close_session(session);
        return status;
    }
    *out = session;
    return HE_OK;
}

void he_session_destroy(struct he_session *session)
{
    uint32_t running;

    if (!session)
        return;
    while ((running = atomic_load(&session->running)) > 0)
        he_futex_wait(&session->running, running, -1);
    close_session(session);
}
