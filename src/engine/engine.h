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

/* The open device, opened now if need be. One that cannot be opened is given as a lost one when
 * the settings allow that and there are others. */
he_status he_engine_device(struct he_engine *engine, uint32_t index, struct he_device **out) HE_MUST_CHECK;

/* Plans the graph, or one with heavy tasks cut when that is predicted to be better (cut.c). Takes
 * graph and problem, also on failure. */
he_status he_engine_plan(struct he_engine *engine, const char *strategy,
                         const struct he_place_options *options, struct he_graph *graph,
                         struct he_problem *problem, struct he_cost *costs,
                         struct he_plan **out) HE_MUST_CHECK;

/* Plans what @old is a plan of anew, for the devices as they are now. The new plan shares the graph,
 * and borrows what @old borrowed. */
he_status he_engine_replan(struct he_engine *engine, const struct he_plan *old,
                           struct he_plan **out) HE_MUST_CHECK;
/* Looks after a session's devices (mender.c). All of them have been opened. */
struct he_mender;
he_status he_mender_create(struct he_engine *engine, struct he_mender **out) HE_MUST_CHECK;

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
/* Devices whose self-test the store knows nothing of. */
bool he_engine_wants_self_test(const struct he_engine *engine);
/* Lets real devices measure their peaks, and the way between the host's memory and them, into
 * the calibration store (@anew: also those it knows), and makes the machine show them. Devices
 * without a self-test are left out; one that fails does not keep the others from theirs, and
 * its status is given. */
he_status he_engine_self_test(struct he_engine *engine, bool anew, uint32_t *count) HE_MUST_CHECK;
/* Trying the ways a device knows of its tasks in @plan, in rounds: next() chooses one per task and
 * says it to the plan, whose next session then uses them, and gives how many of them are new;
 * clear() takes them back. A session of either kind runs in turns with the other, and learn() notes
 * what the tried ways took beside the device's own (before he_engine_learn() resets
 * @rule's times). settle() learns the weights of the scores, and gives how many tasks have a better way. */
struct he_engine_ways;
he_status he_engine_ways_open(struct he_engine *engine, const struct he_plan *plan, uint32_t device,
                              struct he_engine_ways **out) HE_MUST_CHECK;
void he_engine_ways_close(struct he_engine_ways *ways); /* NULL is fine */
uint32_t he_engine_ways_next(struct he_engine_ways *ways, struct he_plan *plan);
void he_engine_ways_clear(struct he_engine_ways *ways, struct he_plan *plan);
he_status he_engine_ways_learn(struct he_engine *engine, struct he_engine_ways *ways,
                               const struct he_plan *plan, struct he_session *tried,
                               const struct he_session *rule) HE_MUST_CHECK;
he_status he_engine_ways_settle(struct he_engine *engine, struct he_engine_ways *ways,
                                const struct he_plan *plan, uint32_t *better) HE_MUST_CHECK;
he_status he_engine_save_costs(struct he_engine *engine) HE_MUST_CHECK;

#endif
