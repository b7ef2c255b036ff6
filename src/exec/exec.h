/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside src/exec: a session and what it is made of.
 *
 *   session   programs, lanes, contexts          session.c
 *   context   memory and state of one request    context.c
 *   lane      a device's queue and its thread    lane.c
 *   request   run, submit, wait                  request.c
 *   border    the caller's tensors, both ways    border.c
 *
 * A request takes a free context and enters every lane's inbox. A lane walks the
 * plan's steps of each request in order and stops where a step still waits for
 * another lane; whoever finishes a step lowers the counters of those that wait
 * and wakes their lanes. The last lane to finish completes the request.
 *
 *   context:  FREE -take_context()-> TAKEN -he_lane_enter()-> RUNNING -complete()-> FREE
 *
 * Locks: session.lock guards the free contexts and the inboxes' writing ends;
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
    /* The first failure wins; later steps are skipped. */
    _Atomic uint32_t status;
    char message[512];
};

struct lane_cursor {
    struct run_context *context;
    uint32_t next; /* position on the lane */
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

struct he_session {
    struct he_arena arena;
    struct he_plan *plan; /* borrowed */
    uint64_t serial;      /* never reused: threads remember which lane they entered */
    struct he_device **devs; /* borrowed, by machine device */
    void **programs;         /* per region */
    size_t constant_bytes;
    struct lane *lanes;
    struct border_slot *border_slots;
    size_t border_slot_count;
    size_t staging_bytes;
    bool measures_tasks;
    /* Written by the owner of the task's lane only. */
    double *task_seconds;
    uint64_t *task_runs;
    uint64_t **task_ns; /* per region: scratch of its lane's owner */

    struct run_context *contexts;
    uint32_t context_count;
    struct he_mutex lock;
    struct run_context *free_contexts; /* guarded by lock */
    bool has_workers;                  /* guarded by lock */
    _Atomic uint32_t free_event;       /* counts contexts given back */
    _Atomic uint32_t free_waiters;
    _Atomic uint64_t run_count;
    _Atomic uint32_t running;
};

/* session.c: what src/engine calls. @devs by machine device; NULL where it has no work. */
he_status he_session_open(struct he_plan *plan, struct he_device **devs,
                          const struct he_session_options *options,
                          const struct he_allocator *alloc, struct he_session **out) HE_MUST_CHECK;
/* Forgets the times and counts so far; no request may be in flight. */
void he_session_reset_times(struct he_session *session);

/* context.c */
he_status he_context_init(struct he_session *session, struct run_context *context) HE_MUST_CHECK;
void he_context_fini(struct run_context *context);
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

/* request.c: the last lane is through with @context. */
void he_request_complete(struct run_context *context);

/* border.c */
he_status he_border_take_inputs(struct run_context *context, const DLTensor *const *inputs,
                                size_t count) HE_MUST_CHECK;
he_status he_border_prepare_outputs(struct run_context *context, struct he_output *outputs,
                                    size_t count) HE_MUST_CHECK;
/* What no step wrote: passed-through and dynamic outputs. */
he_status he_border_finish_outputs(struct run_context *context, struct he_output *outputs) HE_MUST_CHECK;
/* After a failure: what prepare allocated. */
void he_border_drop_outputs(struct run_context *context, struct he_output *outputs);

#endif
