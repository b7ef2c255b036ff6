/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which way a device does a task, when it knows several: by what was measured, and before
 * that by the score alpha * density + beta * locality - gamma * sync, whose weights follow
 * the measurements. Exploring is a bandit's work: hetero calibrate plays the ways of all tasks
 * at once, one of each per round, and keeps every time it sees.
 */
#ifndef HE_COST_CHOICE_H
#define HE_COST_CHOICE_H

#include "cost/cost.h"

#define HE_COST_MOST_VARIANTS 12

struct he_cost_weights {
    double alpha, beta, gamma;
};

/* A task's ways on one device; the first is "auto", the device's own rules. */
struct he_cost_ways {
    struct he_variant list[HE_COST_MOST_VARIANTS];
    size_t count; /* 0: there is nothing to choose */
    uint64_t signature;
};
he_status he_cost_ways_find(const struct he_cost_device *device, const struct he_graph *graph,
                            const struct he_task *task, struct he_cost_ways *out) HE_MUST_CHECK;

/* The learnt weights, or those to begin with. */
struct he_cost_weights he_cost_weights_read(const struct he_cost_device *device);
double he_cost_score(const struct he_cost_weights *weights, const struct he_variant *way);

/* The way to use: 0 unless another one is known, or with nothing known expected, to be better by
 * more than noise. Says in *why on what grounds. */
size_t he_cost_choose(const struct he_cost_device *device, const struct he_cost_ways *ways,
                      enum he_cost_why *why);
/* The way to measure next. */
size_t he_cost_explore(const struct he_cost_device *device, const struct he_cost_ways *ways);
/* What is known of one way; false with too few samples. */
bool he_cost_way_figure(const struct he_cost_device *device, const struct he_cost_ways *ways,
                        size_t way, struct he_cost_figure *out);
/* Adds a sample of a way other than "auto": its time, and that of "auto" beside it. Their ratio is
 * kept, since what else the machine does falls on both. */
he_status he_cost_way_note(struct he_cost_store *store, const char *fingerprint,
                           uint64_t signature, const char *way, double seconds,
                           double rule_seconds) HE_MUST_CHECK;
/* Moves the weights towards what the times of these ways say, and keeps them in @store. */
he_status he_cost_weights_learn(struct he_cost_store *store, const struct he_cost_device *device,
                                const struct he_cost_ways *ways) HE_MUST_CHECK;

#endif
