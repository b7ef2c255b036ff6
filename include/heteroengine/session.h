/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HETEROENGINE_SESSION_H
#define HETEROENGINE_SESSION_H

#include <heteroengine/dlpack.h>
#include <heteroengine/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

struct he_engine;

/** A plan made ready to run: programs compiled, memory allocated, workers waiting. Thread-safe. */
struct he_session;
/** One run in flight. */
struct he_request;

/*
 * What a session does when a device fails under it. A call that failed is tried once more, with the
 * requests that were in flight run again from their inputs; when the device fails again, or is known
 * to be gone, it counts as lost: the rest of the machine gets a new plan, and the requests are
 * run again on that. A device whose memory is full gets less to do.
 */
enum he_on_device_loss {
    HE_ON_LOSS_DEFAULT, /* the setting scheduling.on_device_loss; replan without one */
    HE_ON_LOSS_REPLAN,
    HE_ON_LOSS_FAIL, /* nothing of it: the requests fail with the device's error */
};

struct he_session_options {
    size_t struct_size;
    uint32_t max_in_flight; /* requests that run at the same time; 0 = 1. More wait. */
    bool measure_tasks;     /* keep the time of every task (a little slower) */
    enum he_on_device_loss on_device_loss;
};

/**
 * Compiles @plan on the engine's devices. Borrows both until the session is
 * destroyed. @options may be NULL. Gives *out. A device that fails here is handled as one that
 * fails later: he_session_plan() is the plan that is run.
 */
HE_API HE_MUST_CHECK he_status he_session_create(struct he_engine *engine, struct he_plan *plan,
                                                 const struct he_session_options *options,
                                                 struct he_session **out);
/** NULL is fine. Waits for requests in flight. */
HE_API void he_session_destroy(struct he_session *session);

/*
 * One output. With @into set, the result is written there: host memory of the
 * caller with the right type and shape. Otherwise @given receives a tensor
 * whose deleter the caller calls.
 */
struct he_output {
    const DLTensor *into;
    DLManagedTensorVersioned *given;
};

/**
 * Runs once and returns when the outputs are there. Inputs in the graph's order,
 * host memory, dense or strided, borrowed until it returns; dense ones aligned to 64 bytes are not copied.
 * HE_ERR_SHAPE when a type or shape is not the plan's; HE_ERR_DEVICE or HE_ERR_DEVICE_LOST when a
 * device failed and no other could take its work (or was not to): then so do all later runs of a
 * session that has no device left. Outputs that overlap inputs forbid a second try.
 */
HE_API HE_MUST_CHECK he_status he_session_run(struct he_session *session,
                                              const DLTensor *const *inputs, size_t input_count,
                                              struct he_output *outputs, size_t output_count);

/** Called on a worker thread when a request is done; must not block. */
typedef void (*he_request_fn)(void *self, struct he_request *request, he_status status);

/**
 * Starts a run and returns. @inputs' memory and @outputs (array and memory) are
 * borrowed until the request is done. @done may be NULL. Gives *out, to be
 * freed with he_request_destroy().
 */
HE_API HE_MUST_CHECK he_status he_session_submit(struct he_session *session,
                                                 const DLTensor *const *inputs, size_t input_count,
                                                 struct he_output *outputs, size_t output_count,
                                                 he_request_fn done, void *self,
                                                 struct he_request **out);
/** Waits until it is done (@timeout_ns < 0: for ever) and gives its status; HE_ERR_CANCELLED on time-out. */
HE_API HE_MUST_CHECK he_status he_request_wait(struct he_request *request, int64_t timeout_ns);
/** NULL is fine. Waits until it is done. */
HE_API void he_request_destroy(struct he_request *request);

/* What the last finished runs showed. */
struct he_session_figures {
    size_t struct_size;
    uint64_t run_count;
    uint64_t copies, bytes_copied; /* payload moved, all runs */
    size_t arena_bytes;            /* allocated for activations, per request in flight */
    size_t workspace_bytes, constant_bytes;
    uint64_t replans; /* plans made because a device failed or was full */
    uint64_t retries; /* times that everything in flight was run again on the same plan */
};
HE_API HE_MUST_CHECK he_status he_session_figures(const struct he_session *session,
                                                  struct he_session_figures *out);
/* Mean measured seconds of plan task @index over the runs so far; needs measure_tasks. */
HE_API HE_MUST_CHECK he_status he_session_task_seconds(const struct he_session *session,
                                                       size_t index, double *out);

struct he_device_figures {
    size_t struct_size;
    const char *id;
    uint32_t task_count;
    double busy_seconds; /* per run, mean */
    uint64_t bytes_in;   /* per run: payload it read from another memory */
    uint64_t bytes_copied;
};
/** Figures of the @index-th device that has work; HE_ERR_NOT_FOUND past the last. */
HE_API HE_MUST_CHECK he_status he_session_device(const struct he_session *session, size_t index,
                                                 struct he_device_figures *out);

/** The plan being run: the one the session was made with, until a device failed. Borrowed, valid until
 * the session is destroyed. */
HE_API const struct he_plan *he_session_plan(const struct he_session *session);

enum he_event_kind {
    HE_EVENT_RETRIED, /* a call failed, and everything in flight was run again */
    HE_EVENT_FULL,    /* the device's memory did not do: it got less work */
    HE_EVENT_LOST,    /* the device is not used any more */
};
struct he_session_event {
    size_t struct_size;
    enum he_event_kind kind;
    const char *device; /* its id; strings are owned by the session */
    const char *reason; /* "GPU:0: launch: clFinish: CL_OUT_OF_RESOURCES" */
};
/** What happened to the session's devices: event @index, oldest first; HE_ERR_NOT_FOUND past the last. */
HE_API HE_MUST_CHECK he_status he_session_event(const struct he_session *session, size_t index,
                                                struct he_session_event *out);

#ifdef __cplusplus
}
#endif
#endif
