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

struct he_session_options {
    size_t struct_size;
    uint32_t max_in_flight; /* requests that run at the same time; 0 = 1. More wait. */
    bool measure_tasks;     /* keep the time of every task (a little slower) */
};

/**
 * Compiles @plan on the engine's devices. Borrows both until the session is
 * destroyed. @options may be NULL. Gives *out.
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
 * HE_ERR_SHAPE when a type or shape is not the plan's, HE_ERR_DEVICE when a
 * device failed.
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

#ifdef __cplusplus
}
#endif
#endif
