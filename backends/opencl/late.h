/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Late tasks: those whose kernels can only be written while running, because a shape, or the
 * contents of an input that says what to do (the axes of a reduction, the target of a Reshape), come
 * to be known only then. The shape rules are asked again with what is there, kernels are
 * written and compiled for it, and kept for as long as shapes and contents stay the same.
 */
#ifndef OPENCL_LATE_H
#define OPENCL_LATE_H

#include "opencl.h"

/* A slot while an instance runs. */
struct opencl_held {
    struct he_binding binding;
    /* Of dynamic slots: our copy on the device, and what it is in this launch. */
    struct opencl_buffer *buffer;
    enum he_dtype dtype;
    struct he_shape shape;
    bool is_there;
};

struct opencl_late;

bool opencl_task_is_late(const struct he_graph *graph, const struct he_task *task);
/* Tried with shapes and contents made up: HE_ERR_UNSUPPORTED when there is no kernel for it. */
he_status opencl_late_supported(struct opencl_device *dev, const struct he_graph *graph,
                                const struct he_task *task);

/* Task @t of @region in one instance. Borrows @region. Gives *out. */
he_status opencl_late_create(struct opencl_device *dev, const struct he_region *region, uint32_t t,
                             struct opencl_late **out);
void opencl_late_destroy(struct opencl_late *late);
/* Blocks where it reads contents. @held: per slot of the region. */
he_status opencl_late_run(struct opencl_late *late, struct opencl_held *held);

/* --- Regions with such tasks among others (parts.c) --- */

struct opencl_parts;          /* a region: runs of ordinary tasks, and late ones */
struct opencl_parts_instance;

he_status opencl_parts_create(struct opencl_device *dev, const struct he_region *region,
                              const char *const *ways, struct opencl_parts **out);
void opencl_parts_destroy(struct opencl_parts *parts);
void opencl_parts_info(const struct opencl_parts *parts, struct he_program_info *out);
he_status opencl_parts_bind(const struct opencl_parts *parts, const struct he_binding *bindings,
                            struct opencl_buffer *workspace, size_t workspace_offset,
                            struct opencl_parts_instance **out);
void opencl_parts_unbind(struct opencl_parts_instance *instance);
he_status opencl_parts_set(struct opencl_parts_instance *instance, uint32_t slot,
                           const struct he_binding *binding);
he_status opencl_parts_launch(struct opencl_parts_instance *instance, uint64_t *task_ns);

#endif
