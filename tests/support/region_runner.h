/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a whole graph as one region of one device with host memory: every value in memory of its own,
 * dynamic ones as he_dynamic_tensor. For tests of backends.
 */
#ifndef TESTS_REGION_RUNNER_H
#define TESTS_REGION_RUNNER_H

#include "core/device.h"

struct region_runner {
    struct he_device *dev;
    struct he_allocator alloc; /* the device's */
    struct he_region region;
    uint32_t *tasks;
    struct he_slot *slots;
    struct he_program_info info;
    void *program;
    void *instances[4];
    uint32_t instance_count;
    /* Of instance i and slot k, at [i * slot_count + k]. */
    void **memory;
    struct he_dynamic_tensor *dynamic;
    void *workspaces[4];
};

/* Lists the slots; the test may still change layouts and aliases. */
void runner_init(struct region_runner *run, struct he_device *dev, const struct he_allocator *alloc,
                 const struct he_graph *graph);
/* Compiles and binds @instance_count instances. */
he_status runner_open(struct region_runner *run, uint32_t instance_count);
void runner_close(struct region_runner *run); /* init again before the next open */
uint32_t runner_slot(const struct region_runner *run, uint32_t value);
/* Puts contents into an input; dynamic inputs take @shape ("2,3"), others ignore it. */
he_status runner_set(struct region_runner *run, uint32_t instance, uint32_t value,
                     const char *shape, const void *data);
he_status runner_launch(struct region_runner *run, uint32_t instance);
/* Where a value is after the launch. */
struct he_tensor runner_get(const struct region_runner *run, uint32_t instance, uint32_t value);

#endif
