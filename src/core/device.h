/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front door to backends. Nobody else touches a backend's table: these
 * functions check arguments, clear results, and forward to a table whose
 * optional slots are filled.
 */
#ifndef HE_CORE_DEVICE_H
#define HE_CORE_DEVICE_H

#include <heteroengine/backend.h>

/* --- Backends: the built-in ones, then those loaded from files --- */

size_t he_backend_count(void);
const struct he_backend *he_backend_at(size_t index);
/* By name, NULL when there is none. */
const struct he_backend *he_backend_find(const char *name);
/* Opens a shared object and adds its backend to the list. Thread-safe; never unloaded. */
he_status he_backend_load(const char *path) HE_MUST_CHECK;
/* Refuses a table that breaks the ABI, naming what is missing. */
he_status he_backend_check(const struct he_backend *backend) HE_MUST_CHECK;

/* --- Open devices --- */

struct he_device; /* an open device */

he_status he_device_open(const struct he_backend *backend, size_t index,
                         const struct he_device_config *config, const struct he_allocator *alloc,
                         struct he_device **out) HE_MUST_CHECK;
void he_device_close(struct he_device *dev);
const struct he_device_info *he_device_info(const struct he_device *dev);
const struct he_backend *he_device_backend(const struct he_device *dev);
bool he_device_has(const struct he_device *dev, enum he_device_caps cap);

/*
 * Health. The front door keeps account of what slots answered, so that whoever looks after a
 * session knows which device failed, wherever the call was made:
 *
 *   sound -slot says HE_ERR_DEVICE_LOST-> lost, for good
 *   sound <-he_device_give_up(false)- -he_device_give_up(true)-> given up: treated as lost
 *
 * Every call on a lost device is refused with HE_ERR_DEVICE_LOST; what is freed on it is kept
 * aside until he_device_bury(). Thread-safe.
 */

/* What errors call it, "GPU:0"; borrowed. Before the device is used. */
void he_device_set_id(struct he_device *dev, const char *id);
/* A device that could not be opened: lost from the start, for the reason in the error sentence. */
he_status he_device_open_lost(const struct he_backend *backend, const struct he_allocator *alloc,
                              struct he_device **out) HE_MUST_CHECK;
bool he_device_is_lost(const struct he_device *dev);
void he_device_give_up(struct he_device *dev, bool is_given_up);
/* How often slots have said HE_ERR_DEVICE or HE_ERR_DEVICE_LOST; and, of a device with a memory of
 * its own, that it is full. They only grow. */
uint32_t he_device_failures(const struct he_device *dev);
uint32_t he_device_times_full(const struct he_device *dev);
/* The sentence of the last such answer, "GPU:0: launch: clFinish: CL_OUT_OF_RESOURCES". */
void he_device_last_failure(const struct he_device *dev, char *out, size_t size);
/* Of a lost device: waits for its work, then frees what was kept aside, in a thread of its own. Gives
 * up after a few seconds (the driver hangs): then nothing of it is ever called again. */
void he_device_bury(struct he_device *dev);
/* What plans may use of its memory from now on; 0 (the start): all there is. */
void he_device_limit_memory(struct he_device *dev, uint64_t bytes);
uint64_t he_device_memory_limit(const struct he_device *dev);

/* HE_ERR_DEVICE or HE_ERR_DEVICE_LOST. */
static inline bool he_is_device_failure(he_status status)
{
    return status == HE_ERR_DEVICE || status == HE_ERR_DEVICE_LOST;
}

/* --- Front doors --- */

he_status he_device_buffer_alloc(struct he_device *dev, size_t bytes, void **out) HE_MUST_CHECK;
void he_device_buffer_free(struct he_device *dev, void *buffer);
/* For src/mem/copy.c only. */
he_status he_device_buffer_write(struct he_device *dev, void *buffer, size_t offset,
                                 const void *src, size_t bytes) HE_MUST_CHECK;
he_status he_device_buffer_read(struct he_device *dev, void *buffer, size_t offset, void *dst,
                                size_t bytes) HE_MUST_CHECK;

/* Copies beside launches; backends that know none of it copy at once, and a mark waits for all. */
bool he_device_overlaps(const struct he_device *dev);
he_status he_device_write_begin(struct he_device *dev, void *buffer, size_t offset,
                                const void *src, size_t bytes) HE_MUST_CHECK;
he_status he_device_read_begin(struct he_device *dev, void *buffer, size_t offset, void *dst,
                               size_t bytes) HE_MUST_CHECK;
he_status he_device_mark(struct he_device *dev, void **out) HE_MUST_CHECK;
he_status he_device_mark_wait(struct he_device *dev, void *mark) HE_MUST_CHECK;
/* HE_ERR_UNSUPPORTED, with no sentence, where the two cannot reach each other's memory. */
he_status he_device_buffer_copy(struct he_device *dev, void *buffer, size_t offset,
                                struct he_device *from, void *from_buffer, size_t from_offset,
                                size_t bytes) HE_MUST_CHECK;

he_status he_device_supports(struct he_device *dev, const struct he_graph *graph,
                             const struct he_task *task) HE_MUST_CHECK;
he_status he_device_compile(struct he_device *dev, const struct he_region *region,
                            void **out) HE_MUST_CHECK;
/* The ways of doing a task: none, or "auto" and others. Gives *count, at most @capacity. */
he_status he_device_variants(struct he_device *dev, const struct he_graph *graph,
                             const struct he_task *task, struct he_variant *out, size_t capacity,
                             size_t *count) HE_MUST_CHECK;
/* @variants: by task of the region, NULL or an entry of NULL: the device's own rules. */
he_status he_device_compile_with(struct he_device *dev, const struct he_region *region,
                                 const char *const *variants, void **out) HE_MUST_CHECK;
void he_device_program_free(struct he_device *dev, void *program);
he_status he_device_program_info(struct he_device *dev, void *program,
                                 struct he_program_info *out) HE_MUST_CHECK;
he_status he_device_bind(struct he_device *dev, void *program, const struct he_binding *bindings,
                         void *workspace, size_t workspace_offset, void **out) HE_MUST_CHECK;
void he_device_instance_free(struct he_device *dev, void *instance);
he_status he_device_instance_set(struct he_device *dev, void *instance, uint32_t slot,
                                 const struct he_binding *binding) HE_MUST_CHECK;
he_status he_device_launch(struct he_device *dev, void *instance,
                           const struct he_launch *launch) HE_MUST_CHECK;
he_status he_device_wait(struct he_device *dev) HE_MUST_CHECK;
he_status he_device_enter_thread(struct he_device *dev, bool is_worker) HE_MUST_CHECK;

/* HE_ERR_UNSUPPORTED when its backend has no self-test. */
he_status he_device_self_test(struct he_device *dev, struct he_self_test *samples,
                              size_t count) HE_MUST_CHECK;

#endif
