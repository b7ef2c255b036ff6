/* SPDX-License-Identifier: Apache-2.0 */
/* Inside src/engine: the engine, and the evaluator constant folding runs on. */
#ifndef HE_ENGINE_ENGINE_H
#define HE_ENGINE_ENGINE_H

#include <heteroengine/engine.h>

#include "core/device.h"
#include "core/thread.h"
#include "cost/cost.h"
#include "graph/graph.h"
#include "machine/machine.h"

struct he_engine {
    struct he_allocator alloc;
    struct he_machine *machine;
    bool is_discovered; /* nobody named devices yet: the first added one replaces them */
    const char *cost_path;
    struct he_cost_store *store; /* NULL: none */
    struct he_mutex lock;
    /* Guarded by lock: opened when first needed, by machine device. */
    struct he_device **devs;
    uint32_t dev_count;
    struct he_device *folder; /* a one-thread CPU device for constant folding */
};

/* The open device, opened now if need be. */
he_status he_engine_device(struct he_engine *engine, uint32_t index, struct he_device **out) HE_MUST_CHECK;

/* Plans the graph, or one with heavy tasks cut when that is predicted to be better (cut.c). Takes
 * graph and problem, also on failure. */
he_status he_engine_plan(struct he_engine *engine, const char *strategy,
                         const struct he_place_options *options, struct he_graph *graph,
                         struct he_problem *problem, struct he_cost *costs,
                         struct he_plan **out) HE_MUST_CHECK;

/* Runs single nodes on @dev (a host-memory device that takes dynamic shapes). */
struct he_evaluator he_device_evaluator(struct he_device *dev);

/* --- For the command line, beyond the public header --- */

/* Everything analyze() does before placing: the graph, its costs on every device. */
he_status he_engine_prepare(struct he_engine *engine, const struct he_model *model,
                            const struct he_analyze_options *options, struct he_graph **graph,
                            struct he_problem **problem, struct he_cost **costs) HE_MUST_CHECK;
const struct he_machine *he_engine_machine(const struct he_engine *engine);
/* Adds what a measuring session saw since its times were last reset to the calibration
 * store, as one sample per task, and resets them. */
he_status he_engine_learn(struct he_engine *engine, const struct he_plan *plan,
                          struct he_session *session) HE_MUST_CHECK;
/* Measures links, hand-overs and slowdowns of every two real devices into the calibration
 * store, and makes the machine show them. Calls @progress (may be NULL) before each of @total
 * pairs. Gives how many there were. */
typedef void (*he_engine_progress_fn)(void *self, const char *a, const char *b, uint32_t done,
                                      uint32_t total);
he_status he_engine_measure_pairs(struct he_engine *engine, he_engine_progress_fn progress,
                                  void *self, uint32_t *count) HE_MUST_CHECK;
he_status he_engine_save_costs(struct he_engine *engine) HE_MUST_CHECK;

#endif
