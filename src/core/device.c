/* SPDX-License-Identifier: Apache-2.0 */
/* The front doors of device.h: check, clear, forward. */
#include <string.h>

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "burial.h"
#include "device.h"
#include "size.h"
#include "thread.h"

struct he_device {
    struct he_allocator alloc;
    const struct he_backend *backend;
    struct he_device_info info;
    struct he_device_ops ops; /* copied, holes filled */
    void *impl;
    bool is_open; /* false: lost from the start, without ops */
    const char *id;
    _Atomic bool is_lost;
    _Atomic uint32_t failures, times_full;
    _Atomic uint64_t memory_limit;
    struct he_mutex lock;
    /* Guarded by lock. */
    char failure[512];
    struct he_remain *remains; /* malloc'ed */
    size_t remain_count, remain_capacity;
    bool is_stuck; /* a call did not come back: nothing is called any more */
};

/* --- Health --- */

static void remember_failure(struct he_device *dev)
{
    he_mutex_lock(&dev->lock);
    snprintf(dev->failure, sizeof dev->failure, "%s", he_error_message());
    he_mutex_unlock(&dev->lock);
}

/* Keeps account of what @slot said. */
static he_status note(struct he_device *dev, const char *slot, he_status status)
{
    if (status == HE_ERR_NO_DEVICE) /* it was there when it was opened */
        status = HE_ERR_DEVICE_LOST;
    if (status == HE_ERR_NO_MEMORY && !he_device_has(dev, HE_CAP_HOST_MEMORY)) {
        atomic_fetch_add(&dev->times_full, 1);
        remember_failure(dev);
    } else if (he_is_device_failure(status)) {
        he_error_prefix(status, "%s: %s", dev->id, slot);
        remember_failure(dev);
        if (status == HE_ERR_DEVICE_LOST)
            atomic_store(&dev->is_lost, true);
        atomic_fetch_add(&dev->failures, 1);
    }
    return status;
}

static he_status refuse(struct he_device *dev)
{
    he_mutex_lock(&dev->lock);
    he_error_set(HE_ERR_DEVICE_LOST, "lost (%s)", dev->failure);
    he_mutex_unlock(&dev->lock);
    return HE_ERR_DEVICE_LOST;
}

void he_device_set_id(struct he_device *dev, const char *id)
{
    dev->id = id;
}

bool he_device_is_lost(const struct he_device *dev)
{
    return atomic_load_explicit(&dev->is_lost, memory_order_acquire);
}

void he_device_give_up(struct he_device *dev, bool is_given_up)
{
    atomic_store(&dev->is_lost, is_given_up);
}

uint32_t he_device_failures(const struct he_device *dev)
{
    return atomic_load(&dev->failures);
}

uint32_t he_device_times_full(const struct he_device *dev)
{
    return atomic_load(&dev->times_full);
}

void he_device_last_failure(const struct he_device *dev, char *out, size_t size)
{
    struct he_mutex *lock = (struct he_mutex *)&dev->lock;

    he_mutex_lock(lock);
    snprintf(out, size, "%s", dev->failure);
    he_mutex_unlock(lock);
}

void he_device_limit_memory(struct he_device *dev, uint64_t bytes)
{
    atomic_store(&dev->memory_limit, bytes);
}

uint64_t he_device_memory_limit(const struct he_device *dev)
{
    return atomic_load(&dev->memory_limit);
}

/* Frees @object of a lost device later. Without memory to note it down it is never freed. */
static void keep_aside(struct he_device *dev, void (*free_fn)(void *dev, void *object),
                       void *object)
{
    void *array;

    he_mutex_lock(&dev->lock);
    array = dev->remains;
    if (!dev->is_stuck && he_alloc_grow(&he_allocator_default, &array, &dev->remain_capacity,
                                        dev->remain_count, dev->remain_count + 1,
                                        sizeof *dev->remains) == HE_OK) {
        dev->remains = array;
        dev->remains[dev->remain_count++] = (struct he_remain){ free_fn, object };
    }
    he_mutex_unlock(&dev->lock);
}

static void bury(struct he_device *dev, bool closes)
{
    struct he_burial burial = { .ops = dev->ops, .impl = dev->impl, .closes = closes };
    bool is_stuck;

    he_mutex_lock(&dev->lock);
    burial.remains = dev->remains;
    burial.count = dev->remain_count;
    dev->remains = NULL;
    dev->remain_count = dev->remain_capacity = 0;
    is_stuck = dev->is_stuck;
    he_mutex_unlock(&dev->lock);
    if (is_stuck || !dev->is_open || (!burial.count && !he_device_is_lost(dev))) {
        free(burial.remains);
        return;
    }
    if (he_bury(&burial))
        return;
    he_mutex_lock(&dev->lock);
    dev->is_stuck = true;
    he_mutex_unlock(&dev->lock);
}

void he_device_bury(struct he_device *dev)
{
    if (he_device_is_lost(dev))
        bury(dev, false);
}

/* --- Opening and closing --- */

static he_status nothing_to_wait_for(void *dev)
{
    (void)dev;
    return HE_OK;
}

static he_status nothing_to_enter(void *dev, bool is_worker)
{
    (void)dev;
    (void)is_worker;
    return HE_OK;
}

static he_status no_variants(void *dev, const struct he_graph *graph, const struct he_task *task,
                             struct he_variant *out, size_t capacity, size_t *count)
{
    (void)dev;
    (void)graph;
    (void)task;
    (void)out;
    (void)capacity;
    *count = 0;
    return HE_OK;
}

/* Copies the table as far as it reaches. */
static void copy_ops(struct he_device_ops *to, const struct he_device_ops *from)
{
    memcpy(to, from, from->struct_size < sizeof *to ? from->struct_size : sizeof *to);
}

/* Fills the optional holes; gives the name of a required slot that is missing, or NULL. */
static const char *complete_ops(struct he_device *dev)
{
    const struct {
        const char *name;
        bool is_there;
    } required[] = {
        { "close", dev->ops.close != NULL },
        { "buffer_alloc", dev->ops.buffer_alloc != NULL },
        { "buffer_free", dev->ops.buffer_free != NULL },
        { "supports", dev->ops.supports != NULL },
        { "compile", dev->ops.compile != NULL },
        { "program_free", dev->ops.program_free != NULL },
        { "program_info", dev->ops.program_info != NULL },
        { "bind", dev->ops.bind != NULL },
        { "instance_free", dev->ops.instance_free != NULL },
        { "instance_set", dev->ops.instance_set != NULL },
        { "launch", dev->ops.launch != NULL },
        { "buffer_write", dev->ops.buffer_write || (dev->info.caps & HE_CAP_HOST_MEMORY) },
        { "buffer_read", dev->ops.buffer_read || (dev->info.caps & HE_CAP_HOST_MEMORY) },
        { "compile_with", dev->ops.compile_with || !dev->ops.variants },
        { "read_begin", dev->ops.read_begin || !dev->ops.write_begin },
        { "mark", dev->ops.mark || !dev->ops.write_begin },
        { "mark_wait", dev->ops.mark_wait || !dev->ops.write_begin },
        { "mark_free", dev->ops.mark_free || !dev->ops.write_begin },
        { "wait", dev->ops.wait || !(dev->info.caps & HE_CAP_ASYNC) },
    };

    for (size_t k = 0; k < HE_COUNT(required); k++) {
        if (!required[k].is_there)
            return required[k].name;
    }
    if (!dev->ops.wait)
        dev->ops.wait = nothing_to_wait_for;
    if (!dev->ops.enter_thread)
        dev->ops.enter_thread = nothing_to_enter;
    if (!dev->ops.variants)
        dev->ops.variants = no_variants;
    return NULL;
}

static he_status find_info(const struct he_backend *backend, size_t index,
                           const struct he_allocator *alloc, struct he_device_info *out)
{
    struct he_device_info *infos;
    size_t count = 0;
    he_status status;

    status = backend->enumerate(NULL, 0, &count);
    if (status != HE_OK)
        return status;
    if (index >= count)
        return he_error_set(HE_ERR_NO_DEVICE, "backend %s has %zu devices, number %zu was asked for",
                            backend->name, count, index);
    infos = he_alloc(alloc, count, sizeof *infos);
    if (!infos)
        return he_no_memory();
    status = backend->enumerate(infos, count, &count);
    if (status == HE_OK)
        *out = infos[index];
    he_free(alloc, infos);
    return status;
}

static struct he_device *new_device(const struct he_backend *backend,
                                    const struct he_allocator *alloc)
{
    struct he_device *dev = he_alloc(alloc, 1, sizeof *dev);

    if (!dev || he_mutex_init(&dev->lock) != HE_OK) {
        he_free(alloc, dev);
        he_no_memory();
        return NULL;
    }
    dev->alloc = *alloc;
    dev->backend = backend;
    dev->id = backend->name;
    return dev;
}

static void free_device(struct he_device *dev)
{
    struct he_allocator alloc = dev->alloc;

    free(dev->remains);
    he_mutex_fini(&dev->lock);
    he_free(&alloc, dev);
}

he_status he_device_open_lost(const struct he_backend *backend, const struct he_allocator *alloc,
                              struct he_device **out)
{
    char why[sizeof((struct he_device *)0)->failure];
    struct he_device *dev;

    *out = NULL;
    snprintf(why, sizeof why, "%s", he_error_message());
    dev = new_device(backend, alloc);
    if (!dev)
        return HE_ERR_NO_MEMORY;
    memcpy(dev->failure, why, sizeof why);
    dev->is_lost = true;
    dev->failures = 1;
    *out = dev;
    return HE_OK;
}

he_status he_device_open(const struct he_backend *backend, size_t index,
                         const struct he_device_config *config, const struct he_allocator *alloc,
                         struct he_device **out)
{
    const struct he_device_ops *ops = NULL;
    struct he_device *dev;
    const char *missing;
    he_status status;

    if (!out)
        return he_error_set(HE_ERR_INVALID, "he_device_open: out is NULL");
    *out = NULL;
    status = he_backend_check(backend);
    if (status != HE_OK)
        return status;
    dev = new_device(backend, alloc);
    if (!dev)
        return HE_ERR_NO_MEMORY;
    status = find_info(backend, index, alloc, &dev->info);
    if (status != HE_OK)
        goto free_dev;
    status = backend->open(index, config, &ops, &dev->impl);
    if (status != HE_OK)
        goto free_dev;
    copy_ops(&dev->ops, ops);
    missing = complete_ops(dev);
    if (missing) {
        status = he_error_set(HE_ERR_DEVICE, "backend %s: its device table lacks %s",
                              backend->name, missing);
        goto close_impl;
    }
    dev->is_open = true;
    *out = dev;
    return HE_OK;

close_impl:
    if (dev->ops.close)
        dev->ops.close(dev->impl);
free_dev:
    free_device(dev);
    return status;
}

void he_device_close(struct he_device *dev)
{
    if (!dev)
        return;
    if (he_device_is_lost(dev)) {
        bury(dev, true);
    } else {
        bury(dev, false); /* what was kept aside while it was given up */
        dev->ops.close(dev->impl);
    }
    free_device(dev);
}

const struct he_device_info *he_device_info(const struct he_device *dev)
{
    return &dev->info;
}

const struct he_backend *he_device_backend(const struct he_device *dev)
{
    return dev->backend;
}

bool he_device_has(const struct he_device *dev, enum he_device_caps cap)
{
    return (dev->info.caps & cap) != 0;
}

he_status he_device_buffer_alloc(struct he_device *dev, size_t bytes, void **out)
{
    *out = NULL;
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "buffer_alloc", dev->ops.buffer_alloc(dev->impl, bytes ? bytes : 1, out));
}

void he_device_buffer_free(struct he_device *dev, void *buffer)
{
    if (!buffer)
        return;
    if (he_device_is_lost(dev))
        keep_aside(dev, dev->ops.buffer_free, buffer);
    else
        dev->ops.buffer_free(dev->impl, buffer);
}

he_status he_device_buffer_write(struct he_device *dev, void *buffer, size_t offset,
                                 const void *src, size_t bytes)
{
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "buffer_write", dev->ops.buffer_write(dev->impl, buffer, offset, src, bytes));
}

he_status he_device_buffer_read(struct he_device *dev, void *buffer, size_t offset, void *dst,
                                size_t bytes)
{
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "buffer_read", dev->ops.buffer_read(dev->impl, buffer, offset, dst, bytes));
}

bool he_device_overlaps(const struct he_device *dev)
{
    return dev->ops.write_begin != NULL;
}

he_status he_device_write_begin(struct he_device *dev, void *buffer, size_t offset,
                                const void *src, size_t bytes)
{
    if (!he_device_overlaps(dev))
        return he_device_buffer_write(dev, buffer, offset, src, bytes);
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "write_begin", dev->ops.write_begin(dev->impl, buffer, offset, src, bytes));
}

he_status he_device_read_begin(struct he_device *dev, void *buffer, size_t offset, void *dst,
                               size_t bytes)
{
    if (!he_device_overlaps(dev))
        return he_device_buffer_read(dev, buffer, offset, dst, bytes);
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "read_begin", dev->ops.read_begin(dev->impl, buffer, offset, dst, bytes));
}

he_status he_device_mark(struct he_device *dev, void **out)
{
    *out = NULL;
    if (he_device_is_lost(dev))
        return refuse(dev);
    return he_device_overlaps(dev) ? note(dev, "mark", dev->ops.mark(dev->impl, out)) : HE_OK;
}

he_status he_device_mark_wait(struct he_device *dev, void *mark)
{
    if (!he_device_overlaps(dev))
        return he_device_wait(dev);
    if (he_device_is_lost(dev)) {
        keep_aside(dev, dev->ops.mark_free, mark);
        return refuse(dev);
    }
    return note(dev, "mark_wait", dev->ops.mark_wait(dev->impl, mark));
}

he_status he_device_buffer_copy(struct he_device *dev, void *buffer, size_t offset,
                                struct he_device *from, void *from_buffer, size_t from_offset,
                                size_t bytes)
{
    if (he_device_is_lost(dev) || he_device_is_lost(from))
        return refuse(he_device_is_lost(dev) ? dev : from);
    if (!dev->ops.buffer_copy || dev->backend != from->backend)
        return HE_ERR_UNSUPPORTED;
    return note(dev, "buffer_copy", dev->ops.buffer_copy(dev->impl, buffer, offset, from->impl,
                                                         from_buffer, from_offset, bytes));
}

he_status he_device_supports(struct he_device *dev, const struct he_graph *graph,
                             const struct he_task *task)
{
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "supports", dev->ops.supports(dev->impl, graph, task));
}

he_status he_device_compile(struct he_device *dev, const struct he_region *region, void **out)
{
    *out = NULL;
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "compile", dev->ops.compile(dev->impl, region, out));
}

he_status he_device_variants(struct he_device *dev, const struct he_graph *graph,
                             const struct he_task *task, struct he_variant *out, size_t capacity,
                             size_t *count)
{
    he_status status;

    *count = 0;
    for (size_t k = 0; k < capacity; k++)
        out[k] = (struct he_variant){ .struct_size = sizeof *out };
    if (he_device_is_lost(dev))
        return refuse(dev);
    status = dev->ops.variants(dev->impl, graph, task, out, capacity, count);
    if (*count > capacity)
        *count = capacity;
    return status;
}

he_status he_device_compile_with(struct he_device *dev, const struct he_region *region,
                                 const char *const *variants, void **out)
{
    struct he_compile_options options = { .struct_size = sizeof options, .variants = variants };
    bool has_choice = false;

    *out = NULL;
    for (uint32_t k = 0; variants && k < region->task_count; k++)
        has_choice |= variants[k] != NULL;
    if (!has_choice || !dev->ops.compile_with)
        return he_device_compile(dev, region, out);
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "compile", dev->ops.compile_with(dev->impl, region, &options, out));
}

void he_device_program_free(struct he_device *dev, void *program)
{
    if (!program)
        return;
    if (he_device_is_lost(dev))
        keep_aside(dev, dev->ops.program_free, program);
    else
        dev->ops.program_free(dev->impl, program);
}

he_status he_device_program_info(struct he_device *dev, void *program,
                                 struct he_program_info *out)
{
    *out = (struct he_program_info){ .struct_size = sizeof *out };
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "program_info", dev->ops.program_info(dev->impl, program, out));
}

he_status he_device_bind(struct he_device *dev, void *program, const struct he_binding *bindings,
                         void *workspace, size_t workspace_offset, void **out)
{
    *out = NULL;
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "bind", dev->ops.bind(dev->impl, program, bindings, workspace,
                                           workspace_offset, out));
}

void he_device_instance_free(struct he_device *dev, void *instance)
{
    if (!instance)
        return;
    if (he_device_is_lost(dev))
        keep_aside(dev, dev->ops.instance_free, instance);
    else
        dev->ops.instance_free(dev->impl, instance);
}

he_status he_device_instance_set(struct he_device *dev, void *instance, uint32_t slot,
                                 const struct he_binding *binding)
{
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "instance_set", dev->ops.instance_set(dev->impl, instance, slot, binding));
}

he_status he_device_launch(struct he_device *dev, void *instance, const struct he_launch *launch)
{
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "launch", dev->ops.launch(dev->impl, instance, launch));
}

he_status he_device_wait(struct he_device *dev)
{
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "wait", dev->ops.wait(dev->impl));
}

he_status he_device_enter_thread(struct he_device *dev, bool is_worker)
{
    if (he_device_is_lost(dev))
        return refuse(dev);
    return note(dev, "enter_thread", dev->ops.enter_thread(dev->impl, is_worker));
}

he_status he_device_self_test(struct he_device *dev, struct he_self_test *samples, size_t count)
{
    for (size_t k = 0; k < count; k++)
        samples[k] = (struct he_self_test){ .struct_size = sizeof samples[k] };
    if (he_device_is_lost(dev))
        return refuse(dev);
    if (!dev->ops.self_test)
        return he_error_set(HE_ERR_UNSUPPORTED, "backend %s has no self-test", dev->backend->name);
    return note(dev, "self_test", dev->ops.self_test(dev->impl, samples, count));
}
