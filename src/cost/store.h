/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calibration store: what was measured on this user's machines, as series of
 * samples. A series has a name (what was measured) and a subject (the device it was
 * measured on, or two of them):
 *
 *     task/<signature>          seconds of a task on a device
 *     variant/<signature>/<way>  the same done one way, over the device's own choice beside it
 *     watts/idle, watts/busy    of the packages under a device, measured where counters are readable
 *     peak/fp32, peak/bandwidth, peak/launch  by the device's self-test: per second, bytes
 *                               per second, seconds; peak/host-memory: enum he_host_memory
 *     host/to-rate, to-latency, from-rate, from-latency  between host memory and the device
 *     weight/alpha, beta, gamma  of the score of ways (choice.h)
 *     link/latency, link/rate   seconds, bytes per second, from a device to a device
 *     handover/warm, /cold      seconds from a task's end to a task's start elsewhere
 *     handover/byte             seconds per byte that lies in the other core's caches
 *     slowdown/compute, /memory times as long while the other device is busy
 *
 * A series gives a figure once it has HE_COST_MIN_SAMPLES: the median of the samples
 * kept, with the median absolute deviation (times 1.4826, over the median) as its
 * spread, so that a sample gone wrong moves neither. The newest
 * HE_COST_KEPT_SAMPLES are kept, which lets a figure follow a machine that changes.
 *
 * One thread at a time. Processes may share a file: saving takes a lock and adds to
 * what is there by then.
 */
#ifndef HE_COST_STORE_H
#define HE_COST_STORE_H

#include <heteroengine/graph.h>

#include "core/alloc.h"

#define HE_COST_MIN_SAMPLES 10
#define HE_COST_KEPT_SAMPLES 15
/* The file holds at most so many series; those that were not added to for longest go. */
#define HE_COST_MAX_SERIES 20000

struct he_cost_store;

struct he_cost_figure {
    double value;
    double spread;  /* relative: 0.1 is +-10 % */
    uint32_t count; /* samples ever seen */
};

/* @path NULL: $XDG_CACHE_HOME/heteroengine/costs-2.txt (or ~/.cache/...), "": in memory only.
 * A missing file is an empty store; a damaged line is skipped with a warning. */
he_status he_cost_store_open(const char *path, const struct he_allocator *alloc,
                             struct he_cost_store **out) HE_MUST_CHECK;
void he_cost_store_close(struct he_cost_store *store); /* NULL is fine */
he_status he_cost_store_save(struct he_cost_store *store) HE_MUST_CHECK;

/* Adds a sample. Names and subjects are words of at most HE_COST_KEY_BYTES together.
 * Samples that are negative, zero, no number or beyond reason are refused silently. */
#define HE_COST_KEY_BYTES 1000
he_status he_cost_store_note(struct he_cost_store *store, const char *name, const char *subject,
                             double sample) HE_MUST_CHECK;
/* False with too few samples. */
bool he_cost_store_figure(const struct he_cost_store *store, const char *name,
                          const char *subject, struct he_cost_figure *out);
/* The samples seen so far, however few. */
uint32_t he_cost_store_count(const struct he_cost_store *store, const char *name,
                             const char *subject);

/* --- Tasks --- */

/* A sample of task/<signature>, with what the roofline said of it. */
he_status he_cost_store_add(struct he_cost_store *store, const char *device, uint64_t signature,
                            enum he_work_class work_class, double roofline_seconds,
                            double seconds) HE_MUST_CHECK;
bool he_cost_store_get(const struct he_cost_store *store, const char *device, uint64_t signature,
                       double *seconds, double *spread);

/* What rooflines said of @device's tasks no longer holds, as its peaks have changed: nothing
 * is learnt from these tasks until they are measured again; what they take stands. */
void he_cost_store_forget_models(struct he_cost_store *store, const char *device);

/* Measured over roofline by class of work on one device: the geometric median of its tasks
 * with enough samples, and how far they lie apart. */
struct he_cost_factors {
    struct he_cost_factor {
        double factor; /* 1 when nothing was learnt */
        double spread; /* relative */
        uint32_t task_count;
    } by_class[HE_WORK_CLASS_COUNT];
};
he_status he_cost_store_factors(const struct he_cost_store *store, const char *device,
                                struct he_cost_factors *out) HE_MUST_CHECK;

#endif
