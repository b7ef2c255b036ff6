/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside src/exec: a session and what it is made of.
 *
 *   session   programs, lanes, contexts          session.c
 *   context   memory and state of one request    context.c
 *   lane      a device's queue and its thread    lane.c
 *   finisher  waits for a device in its stead    finish.c
 *   request   run, submit, wait                  request.c
 *   border    the caller's tensors, both ways    border.c
 *   mending   what a failed device leaves        mend.c
 *   figures   what is asked of a session         figures.c
 *
 * A request takes a free context and enters every lane's inbox. A lane walks the
 * plan's steps of each request in order and stops where a step still waits for
 * another lane; whoever finishes a step lowers the counters of those that wait
 * and wakes their lanes. The last lane to finish completes the request.
 *
 *   context:  FREE -take_context()-> TAKEN -he_lane_enter()-> RUNNING -complete()-> FREE
 *                                      |                         |
 *               (the session is mended) +-----> PARKED <----------+ (a device failed)
 *                                                  +--he_lane_enter()-> RUNNING
 *
 * A session is made for a plan (programs, lanes, what contexts hold in devices' memories) and
 * can be made anew for another one while no request is inside. That happens when a device fails: requests
 * that failed are parked, and so are new ones; when the last one inside has come to its end, a
 * thread of its own (the keeper) asks the mender for a plan, makes the session for it, and lets the
 * parked in again.
 *
 * Locks: session.lock guards the free contexts, the inboxes' writing ends and the state of mending;
 * nothing is called with it held. Running a step takes no lock and no memory.
 */
#ifndef HE_EXEC_EXEC_H
#define HE_EXEC_EXEC_H

#include <heteroengine/session.h>

#include "core/device.h"
#include "core/thread.h"
#include "mem/copy.h"
#include "plan/plan.h"

struct he_session;
struct run_context;

/* Who decides what becomes of a session whose devices fail: src/engine. */
enum he_mend_verdict {
    HE_MEND_AGAIN,     /* the same plan once more */
    HE_MEND_REPLANNED, /* go on with another one */
    HE_MEND_NOT_OURS,  /* no device is to blame: what failed has failed */
    HE_MEND_HOPELESS,  /* nor will anything else succeed */
};
struct he_mender {
    /* *status and its sentence: why the plan could not be run, or made ready; in the last two cases what
     * is to be reported. Replaces *plan, which lives as long as the mender. No request is inside. */
    enum he_mend_verdict (*mend)(struct he_mender *self, struct he_session *session,
                                 he_status *status, struct he_plan **plan);
    void (*destroy)(struct he_mender *self);
};

/* Where a request's outputs and status go. */
struct he_request {
    struct he_allocator alloc;
    struct he_session *session; /* borrowed */
    struct he_output *outputs;  /* borrowed from the caller until it is done */
    he_request_fn done_fn;
    void *done_self;
    he_status status; /* valid when done */
    char message[512];
    _Atomic uint32_t is_done;
};

/* One request in flight: its memory, the programs bound to it, and how far it is. */
struct run_context {
    struct he_session *session;
    uint32_t index;
    struct run_context *next_free;
    void **arenas;    /* per memory: a buffer of its device, or NULL */
    void **instances; /* per region */
    struct he_dynamic_tensor *dynamics;
    void **inputs, **outputs; /* host addresses for this run */
    void **input_copies;      /* dense copies of strided inputs, kept for the next run */
    void *staging;            /* for copies between two devices' memories */
    struct he_copy_counter copies; /* at the border */
    _Atomic uint32_t *pending; /* per step: steps of other lanes still to come */
    _Atomic uint32_t lanes_left;
    struct he_request *request;
    struct run_context *next_parked;
    /* The first failure wins; later steps are skipped. */
    _Atomic uint32_t status;
    char message[512];
};

struct lane_cursor {
    struct run_context *context;
    uint32_t next; /* position on the lane */
};

/* What waits for the device: a step's waiters, or (step HE_NONE) the request's end on the lane. */
struct finish {
    struct run_context *context;
    uint32_t step;
    void *mark; /* NULL: all of the device's work */
};

/* The second thread of a lane whose device works by itself (finish.c). */
struct finisher {
    struct finish *ring; /* NULL: the lane has none, and waits itself */
    uint32_t ring_size;
    /* Written by the lane's owner, read by the thread. */
    _Atomic uint32_t head;
    _Atomic uint32_t event, is_asleep, must_stop;
    pthread_t thread;
    bool has_thread;
};

struct lane {
    struct he_session *session;
    const struct he_lane *plan;
    struct he_device *dev;
    uint32_t index;
    bool is_async;
    void *workspace; /* one launch at a time, so one for all contexts */
    size_t workspace_bytes;

    /* Single writer (under session.lock), single reader (the lane's owner). */
    struct run_context **inbox;
    _Atomic uint32_t inbox_head, inbox_tail;
    /* The owner's: requests on this lane, oldest first. */
    struct lane_cursor *cursors;
    uint32_t cursor_count;
    struct he_copy_counter copies;
    uint64_t bytes_in, busy_ns;
    /* Who runs the lane: its worker, or a caller that found it idle. */
    _Atomic uint32_t is_owned;
    bool is_inline; /* the owner's: it is a caller, who goes on when the request is done */
    struct finisher finisher;
    /* Counts events; a worker that finds nothing to do sleeps on it. */
    _Atomic uint32_t event;
    _Atomic uint32_t is_asleep;
    pthread_t thread;
    bool has_thread;
    _Atomic uint32_t must_stop;
};

/* An input or output slot that is set for each run. */
struct border_slot {
    uint32_t region, slot, index;
    bool is_input;
    size_t shift; /* a part of the tensor: where it begins */
};

/* One line of what happened. */
struct session_event {
    struct session_event *next;
    enum he_event_kind kind;
    const char *device; /* borrowed from the machine */
    char reason[512];
};

struct he_session {
    struct he_arena arena;
    struct he_device **devs;  /* borrowed, by machine device */
    const struct he_graph *border; /* borrowed: its inputs and outputs are those of every plan */
    struct he_mender *mender; /* owned; NULL: a failure is the request's */
    bool measures_tasks;

    /* --- Made for the plan, and in its room --- */
    struct he_arena room;
    struct he_plan *plan; /* borrowed */
    uint64_t serial;      /* never reused: threads remember which lane they entered */
    void **programs;      /* per region */
    size_t constant_bytes;
    struct lane *lanes;
    struct border_slot *border_slots;
    size_t border_slot_count;
    size_t staging_bytes;
    /* Written by the owner of the task's lane only. */
    double *task_seconds;
    uint64_t *task_runs;
    uint64_t **task_ns; /* per region: scratch of its lane's owner */
    bool has_workers;   /* guarded by lock */

    /* --- For good --- */
    struct run_context *contexts;
    uint32_t context_count;
    struct he_mutex lock;
    struct run_context *free_contexts; /* guarded by lock */
    _Atomic uint32_t free_event;       /* counts contexts given back */
    _Atomic uint32_t free_waiters;
    _Atomic uint64_t run_count;
    _Atomic uint32_t running; /* requests and threads the session must outlive */
    /* Requests in the lanes, and threads that bring them there: the plan's room must outlive them.
     * Grows under lock, and only while the session is not being mended. */
    _Atomic uint32_t inside;

    /* --- Mending; guarded by lock --- */
    bool is_mending; /* new requests are parked */
    bool is_down;    /* the room is being cleared or furnished */
    struct run_context *parked; /* newest first */
    he_status dead;  /* not HE_OK: no request will ever succeed again */
    char dead_message[512];
    struct session_event *events, *last_event;
    uint64_t replans, retries;
    /* Of who set is_mending. */
    pthread_t keeper;
    bool has_keeper; /* to be joined */
    /* Counted on plans that are gone. */
    struct he_copy_counter past_copies;
    uint64_t past_runs;
};

/* session.c: what src/engine calls. @devs by machine device; NULL where it has no work. Takes
 * @mender (which may be NULL), also on failure. */
he_status he_session_open(struct he_plan *plan, struct he_device **devs,
                          const struct he_session_options *options, struct he_mender *mender,
                          const struct he_allocator *alloc, struct he_session **out) HE_MUST_CHECK;
/* Makes the session for session->plan, or for what the mender puts in its place. */
he_status he_session_furnish(struct he_session *session) HE_MUST_CHECK;
/* Undoes it; no request may be inside. */
void he_session_clear(struct he_session *session);

/* figures.c: forgets the times and counts so far; no request may be in flight. */
void he_session_reset_times(struct he_session *session);
/* Notes down and logs what happened to a device. */
void he_session_tell(struct he_session *session, enum he_event_kind kind, const char *device,
                     const char *reason);
/* One more HE_MEND_AGAIN or HE_MEND_REPLANNED. */
void he_session_count(struct he_session *session, enum he_mend_verdict verdict);

/* mend.c */
/* Asks the mender about @status and puts its plan in place. HE_OK: go on. *is_hopeless may be NULL. */
he_status he_session_mend(struct he_session *session, he_status status, bool *is_changed,
                          bool *is_hopeless) HE_MUST_CHECK;
/* Counts the request, and the thread that calls, as inside; *is_parked: it waits for the mending
 * instead. Not HE_OK: the session is dead. */
he_status he_session_enter(struct run_context *context, bool *is_parked) HE_MUST_CHECK;
void he_session_leave(struct he_session *session);
/* True when a device is to blame for the failed request: the keeper has it now. */
bool he_session_park(struct run_context *context);
void he_session_join_keeper(struct he_session *session);

/* context.c */
he_status he_context_init(struct he_session *session, struct run_context *context) HE_MUST_CHECK;
void he_context_fini(struct run_context *context);
/* What it needs for the plan at hand: memory, bound programs, counters. */
he_status he_context_furnish(struct run_context *context) HE_MUST_CHECK;
void he_context_clear(struct run_context *context);
/* Resets the counters and points the border slots at this run's tensors. */
he_status he_context_arm(struct run_context *context) HE_MUST_CHECK;
/* Where a home's bytes are in this run. */
struct he_place_ref he_context_locate(const struct run_context *context, uint32_t home);
void he_context_fail(struct run_context *context, he_status status);

/* lane.c */
he_status he_lane_start(struct lane *lane) HE_MUST_CHECK; /* its thread */
void he_lane_stop(struct lane *lane);
void he_lane_enter(struct lane *lane, struct run_context *context); /* under session.lock */
void he_lane_wake(struct lane *lane);
/* Takes the lane if nobody runs it and nothing is queued. */
bool he_lane_try_own(struct lane *lane);
void he_lane_disown(struct lane *lane);
/* Walks one request to its end in the calling thread (the lane's owner, the only lane). */
void he_lane_run_inline(struct lane *lane, struct run_context *context);
/* The step's results are there: those who wait for it may go on. */
void he_lane_step_done(struct lane *lane, struct run_context *context, uint32_t step);
/* A lane is through with the request: the last one completes it. */
void he_lane_left(struct run_context *context);

/* finish.c */
he_status he_finish_init(struct lane *lane) HE_MUST_CHECK; /* whether it gets one, and its ring */
he_status he_finish_start(struct lane *lane) HE_MUST_CHECK; /* its thread, before the worker */
void he_finish_stop(struct lane *lane);                     /* after the worker */
static inline bool he_finish_is_there(const struct lane *lane)
{
    return !lane->is_inline && lane->finisher.has_thread;
}
/* Leaves @step (HE_NONE: the request's end) to the finisher; false: the caller has to wait. */
bool he_finish_later(struct lane *lane, struct run_context *context, uint32_t step);

/* request.c: the last lane is through with @context, which is inside. */
void he_request_complete(struct run_context *context);
/* Reports context->status; the context is free again. It is not inside. */
void he_request_finish(struct run_context *context);
/* Brings an armed request, which is inside, to the lanes; in this thread when @may_run_here. */
void he_request_start(struct run_context *context, bool may_run_here);

/* border.c */
he_status he_border_take_inputs(struct run_context *context, const DLTensor *const *inputs,
                                size_t count) HE_MUST_CHECK;
he_status he_border_prepare_outputs(struct run_context *context, struct he_output *outputs,
                                    size_t count) HE_MUST_CHECK;
/* What no step wrote: passed-through and dynamic outputs. */
he_status he_border_finish_outputs(struct run_context *context, struct he_output *outputs) HE_MUST_CHECK;
/* True when some output is written where an input is read. */
bool he_border_overlaps(const struct run_context *context);
/* After a failure: what prepare allocated. */
void he_border_drop_outputs(struct run_context *context, struct he_output *outputs);

#endif
