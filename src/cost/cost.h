/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a task costs on a device: measured when the calibration store has enough
 * samples, else roofline with a factor learnt per device and class of work.
 */
#ifndef HE_COST_COST_H
#define HE_COST_COST_H

#include "core/device.h"
#include "graph/graph.h"
#include "machine/machine.h"
#include "place/problem.h"

enum he_cost_source { HE_COST_ROOFLINE, HE_COST_LEARNT, HE_COST_MEASURED, HE_COST_CANNOT };

struct he_cost {
    double seconds; /* HE_CANNOT_RUN when it cannot */
    double spread;  /* relative: 0.1 is +-10 % */
    enum he_cost_source source;
    double compute_seconds, memory_seconds, launch_seconds; /* the roofline's terms */
    double border_seconds; /* model inputs in, model outputs out; not part of seconds */
    const char *reason; /* why it cannot, else NULL */
};

/* --- Calibration store: a text file per user, keyed by device fingerprint and
 * operator signature. --- */
struct he_cost_store;
/* @path NULL: $XDG_CACHE_HOME/heteroengine/costs (or ~/.cache/...). A missing file is an
 * empty store; a damaged line is skipped with a warning. */
he_status he_cost_store_open(const char *path, const struct he_allocator *alloc,
                             struct he_cost_store **out) HE_MUST_CHECK;
void he_cost_store_close(struct he_cost_store *store);
he_status he_cost_store_save(struct he_cost_store *store) HE_MUST_CHECK;
/* Negative, zero and wild samples are refused silently; the rest update count, mean, spread. */
he_status he_cost_store_add(struct he_cost_store *store, const char *device, uint64_t signature,
                            enum he_work_class work_class, double roofline_seconds, double seconds) HE_MUST_CHECK;
/* True with at least HE_COST_MIN_SAMPLES samples. */
bool he_cost_store_get(const struct he_cost_store *store, const char *device, uint64_t signature,
                       double *seconds, double *spread);
/* Measured over roofline for that class on that device; 1 when nothing was learnt. */
double he_cost_store_factor(const struct he_cost_store *store, const char *device,
                            enum he_work_class work_class);
#define HE_COST_MIN_SAMPLES 10

/* What a task computes: operators, types, shapes, attributes; not names. */
uint64_t he_cost_signature(const struct he_graph *graph, const struct he_task *task);
/* Names the silicon and driver a measurement holds for. */
const char *he_cost_fingerprint(const struct he_machine_device *device, struct he_arena *arena);

/* One task on one device. @dev is NULL for simulated ones. */
void he_cost_task(const struct he_graph *graph, const struct he_task *task,
                  const struct he_machine_device *device, struct he_device *dev,
                  const struct he_cost_store *store, struct he_arena *arena, struct he_cost *out);

/* The whole: a problem for src/place and the cost behind each cell [task * device_count + device]. */
he_status he_cost_build(const struct he_graph *graph, const struct he_machine *machine,
                        struct he_device *const *devs, const struct he_cost_store *store,
                        const struct he_allocator *alloc, struct he_problem **out,
                        struct he_cost **costs) HE_MUST_CHECK;

/* The machine's side of a problem: its device and link arrays (allocated, device_count set) and
 * its limits (resources listed before). */
void he_cost_describe_devices(const struct he_machine *machine, struct he_problem *problem);
void he_cost_describe_budgets(const struct he_machine *machine, struct he_problem *problem);

#endif
