/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the cpu backend, behind kernel.h: devices, programs, instances, and the
 * makers of steps. Authors of kernels need none of this.
 *
 *     cpu.c         what the machine is; the backend table
 *     device.c      an open device: cores, memory, the device table
 *     parallel.c    the team of threads
 *     program.c     region -> steps; what is supported
 *     instance.c    a program tied to memory; running it
 *     step_kernel.c a task from kernels, static shapes
 *     step_dynamic.c  the same when shapes come to be while running
 *     layout.c      channels-last and dense
 *     nested.c      a sub-graph as a program inside a step
 *     control.c, control_loop.c, control_scan.c   If; Loop; Scan
 */
#ifndef CPU_PROGRAM_H
#define CPU_PROGRAM_H

#include "kernel.h"

#include <sched.h>

/* --- Memory: the device's allocator, zeroed and checked (memory.c) --- */

void *cpu_alloc(const struct he_allocator *alloc, size_t count, size_t size);
void cpu_free(const struct he_allocator *alloc, void *memory);
/* The same, aligned to 64 bytes and not zeroed; freed with cpu_free_aligned(). */
void *cpu_alloc_aligned(const struct he_allocator *alloc, size_t bytes);
void cpu_free_aligned(const struct he_allocator *alloc, void *memory);
he_status cpu_no_memory(void);

/* Grow-only memory of an instance, so that a steady state allocates nothing. */
struct cpu_buffer {
    void *data; /* from cpu_alloc_aligned() */
    size_t capacity;
};
he_status cpu_buffer_reserve(const struct he_allocator *alloc, struct cpu_buffer *buffer,
                             size_t bytes);
void cpu_buffer_fini(const struct he_allocator *alloc, struct cpu_buffer *buffer);
/* Gives a dynamic tensor its type, shape and room; its old contents may go. */
he_status cpu_dynamic_shape(const struct he_allocator *alloc, struct he_dynamic_tensor *tensor,
                            enum he_dtype dtype, const struct he_shape *shape);

/* Lays out a workspace: each call takes @bytes behind the last, 64-aligned. */
he_status cpu_place(size_t *end, size_t bytes, size_t *offset);
/* Bytes of a static value; HE_ERR_UNSUPPORTED when they cannot be counted. */
he_status cpu_value_bytes(const struct he_value *value, size_t *out);

/* --- The team (parallel.c) --- */

/* @cores: the processors of each physical core, together @cpus. With a core for
 * each thread, threads are bound to them. */
he_status cpu_team_create(const struct he_allocator *alloc, uint32_t threads,
                          const cpu_set_t *cpus, const cpu_set_t *cores, uint32_t core_count,
                          struct cpu_team **out);
void cpu_team_destroy(const struct he_allocator *alloc, struct cpu_team *team);
/* Binds the calling thread, which belongs to us for good, to the team's cores. */
void cpu_team_own_thread(const struct cpu_team *team);

/* Between begin and end, OpenMP loops of the calling thread use the team (NULL: one thread). What
 * was changed of a thread that may be the application's is put back. */
struct cpu_team_guard {
    int threads; /* to be restored, whatever steps do; 0: nothing */
    bool has_mask;
    cpu_set_t mask;
};
void cpu_team_begin(const struct cpu_team *team, struct cpu_team_guard *guard);
void cpu_team_end(const struct cpu_team_guard *guard);

/* --- Programs and instances --- */

struct cpu_program {
    struct he_allocator alloc;
    struct cpu_team *team;
    const struct he_region *region;
    uint32_t *slot_of;       /* per value of the graph, see struct cpu_compile */
    struct cpu_step **steps; /* per task of the region */
    uint32_t step_count;
    bool *has_alias; /* per slot: some view shares its memory */
    bool uses_team; /* long enough for it; else team is NULL */
    size_t workspace_bytes, constant_bytes;
};

struct cpu_instance {
    const struct cpu_program *program;
    void **slots;
    struct he_dynamic_tensor **dynamic;
    struct cpu_frame frame;
    void **states; /* per step */
};

/* @settings gives allocator, team, threads and use_bf16; the rest of it is not read. */
he_status cpu_program_create(const struct cpu_compile *settings, const struct he_region *region,
                             struct cpu_program **out);
/* With a way for each task, NULL entries: by rule. @variants may be NULL. */
he_status cpu_program_create_with(const struct cpu_compile *settings,
                                  const struct he_region *region, const char *const *variants,
                                  struct cpu_program **out);
/* variants.c: the ways of doing a task, see he_device_ops.variants. */
he_status cpu_variants(const struct cpu_compile *settings, const struct he_graph *graph,
                       const struct he_task *task, struct he_variant *out, size_t capacity,
                       size_t *count);
void cpu_program_destroy(struct cpu_program *program);
/* HE_ERR_UNSUPPORTED names the operator and its type. */
he_status cpu_program_supports(const struct cpu_compile *settings, const struct he_graph *graph,
                               const struct he_task *task);

he_status cpu_instance_create(const struct cpu_program *program, struct cpu_instance **out);
void cpu_instance_destroy(struct cpu_instance *instance);
void cpu_instance_set(struct cpu_instance *instance, uint32_t slot,
                      const struct he_binding *binding);
he_status cpu_instance_run(struct cpu_instance *instance, uint64_t *task_ns);

/* --- Steps --- */

/* From the kernel tables; takes dynamic shapes too. */
he_status cpu_kernel_step(const struct cpu_compile *c, const struct he_task *task,
                          struct cpu_step **out);
/* If, Loop, Scan; HE_ERR_UNSUPPORTED for everything else. */
he_status cpu_control_step(const struct cpu_compile *c, const struct he_task *task,
                           struct cpu_step **out);
bool cpu_is_control(const struct he_node *node);
/* Every value the task touches has a known type and static shape, and no slot is dynamic. */
bool cpu_task_is_static(const struct cpu_compile *c, const struct he_task *task);
/* The kernel by the types the graph knows; NULL when there is none. */
const struct cpu_kernel *cpu_node_kernel(const struct he_graph *graph,
                                         const struct he_node *node);
/* True when the node only renames its data input's bytes. */
bool cpu_is_view(const struct he_graph *graph, const struct he_node *node);
/* Puts 'Conv "name"' before the error sentence. */
he_status cpu_node_failed(he_status status, const struct he_node *node);

/* --- Layouts (layout.c) --- */

/* The tensor of @value at @data in @layout: strided when channels-last. */
struct he_tensor cpu_layout_tensor(const struct he_value *value, enum he_layout layout,
                                   void *data);
/* Copies between a dense and a channels-last tensor of one shape (or equal layouts). */
void cpu_layout_copy(struct cpu_team *team, const struct he_tensor *to,
                     const struct he_tensor *from);
/* Plain bytes, on the team when there are many. */
void cpu_copy_bytes(struct cpu_team *team, void *to, const void *from, size_t bytes);
/* Elementwise with ONNX broadcasting over all inputs. */
bool cpu_is_pointwise(const struct he_node *node);
/* Rewrites operands of a pointwise node so that they are dense in channels-last
 * order. False (and nothing changed) when one of them does not allow it. */
bool cpu_layout_flatten(struct he_tensor *tensors, size_t count);

#endif
