/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a task costs on a device: measured when the calibration store has enough
 * samples, else roofline with a factor learnt per device and class of work.
 */
#ifndef HE_COST_COST_H
#define HE_COST_COST_H

#include "core/device.h"
#include "cost/store.h"
#include "graph/graph.h"
#include "machine/machine.h"
#include "place/problem.h"

enum he_cost_source { HE_COST_ROOFLINE, HE_COST_LEARNT, HE_COST_MEASURED, HE_COST_CANNOT };

/* On what grounds one of several ways of doing a task was chosen. */
enum he_cost_why {
    HE_WHY_ONLY,     /* there is only one */
    HE_WHY_SCORE,    /* nothing was measured: by the score of what is known of them */
    HE_WHY_MEASURED, /* the fastest, clear of noise */
};

/* As plans write it: "roofline", "learnt", "measured", "cannot". */
const char *he_cost_source_name(enum he_cost_source source);

struct he_cost {
    double seconds; /* HE_CANNOT_RUN when it cannot */
    double spread;  /* relative: 0.1 is +-10 % */
    enum he_cost_source source;
    double compute_seconds, memory_seconds, launch_seconds; /* the roofline's terms */
    double border_seconds; /* model inputs in, model outputs out; not part of seconds */
    const char *reason; /* why it cannot, else NULL */
    const char *way; /* one of the device's variants, or NULL: by its own rules */
    enum he_cost_why way_why;
};
extern const char *const he_cost_why_names[]; /* "only", "score", "measured" */

/* What a task computes: operators, types, shapes, attributes; not names. */
uint64_t he_cost_signature(const struct he_graph *graph, const struct he_task *task);
/* Names the silicon and driver a measurement holds for. */
const char *he_cost_fingerprint(const struct he_machine_device *device, struct he_arena *arena);

/* A device as the store knows it. */
struct he_cost_device {
    const struct he_machine_device *device;
    struct he_device *dev; /* NULL for simulated ones */
    const struct he_cost_store *store; /* NULL: nothing was measured */
    const char *fingerprint;
    struct he_cost_factors factors;
};
he_status he_cost_device_init(struct he_cost_device *out, const struct he_machine_device *device,
                              struct he_device *dev, const struct he_cost_store *store,
                              struct he_arena *arena) HE_MUST_CHECK;
/* One task on one device. Reasons are kept in @arena. */
void he_cost_task(const struct he_graph *graph, const struct he_task *task,
                  const struct he_cost_device *device, struct he_arena *arena,
                  struct he_cost *out);
/* Puts what the store knows of two devices, links included, into the machine. */
he_status he_cost_apply_pairs(const struct he_cost_store *store, struct he_machine *machine)
    HE_MUST_CHECK;

/* The whole: a problem for src/place and the cost behind each cell [task * device_count + device]. */
he_status he_cost_build(const struct he_graph *graph, const struct he_machine *machine,
                        struct he_device *const *devs, const struct he_cost_store *store,
                        const struct he_allocator *alloc, struct he_problem **out,
                        struct he_cost **costs) HE_MUST_CHECK;

/* The machine's side of a problem: its device and link arrays (allocated, device_count set) and
 * its limits: what its devices have of the problem's resources (listed before), and its budgets. */
void he_cost_describe_devices(const struct he_machine *machine, struct he_problem *problem);
he_status he_cost_describe_budgets(const struct he_machine *machine, struct he_problem *problem)
    HE_MUST_CHECK;

#endif
