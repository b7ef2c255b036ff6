/* SPDX-License-Identifier: Apache-2.0 */
/* An open device: its context, buffers, and the device table. */
#include <string.h>

#include "late.h"

/* What no second call will mend. After a fault in a kernel, or a reset, NVIDIA's driver calls the queue
 * or the context invalid; ours are never that otherwise. */
static bool is_lost(cl_int error)
{
    return error == CL_DEVICE_NOT_AVAILABLE || error == CL_INVALID_DEVICE ||
           error == CL_INVALID_CONTEXT || error == CL_INVALID_COMMAND_QUEUE;
}

he_status opencl_failed(cl_int error, const char *call)
{
    bool is_full = error == CL_MEM_OBJECT_ALLOCATION_FAILURE || error == CL_OUT_OF_HOST_MEMORY;

    return he_error_set(is_full          ? HE_ERR_NO_MEMORY
                        : is_lost(error) ? HE_ERR_DEVICE_LOST
                                         : HE_ERR_DEVICE,
                        "%s: %s", call, opencl_error_name(error));
}

he_status opencl_device_open(const struct opencl_found *found,
                             const struct he_device_config *config, void **out)
{
    struct opencl_device *dev;

    if (!config || !config->allocator.alloc || !config->allocator.free)
        return he_error_set(HE_ERR_INVALID, "the opencl device needs an allocator");
    dev = opencl_alloc(&config->allocator, 1, sizeof *dev);
    if (!dev)
        return opencl_no_memory();
    dev->alloc = config->allocator;
    dev->found = found;
    dev->allow_fp16 = config->allow_fp16;
    dev->allow_bf16 = config->allow_bf16;
    dev->memory_cap = found->memory_bytes;
    if (config->memory_bytes && (!dev->memory_cap || config->memory_bytes < dev->memory_cap))
        dev->memory_cap = config->memory_bytes;
    if (pthread_mutex_init(&dev->lock, NULL) != 0) {
        opencl_free(&config->allocator, dev);
        return opencl_no_memory();
    }
    if (pthread_mutex_init(&dev->order, NULL) != 0) {
        pthread_mutex_destroy(&dev->lock);
        opencl_free(&config->allocator, dev);
        return opencl_no_memory();
    }
    opencl_context_announce(dev);
    *out = dev;
    return HE_OK;
}

static he_status start_locked(struct opencl_device *dev)
{
    const struct opencl_api *cl;
    cl_platform_id platform;
    const char *reason;
    he_status status;

    cl = opencl_api_open(&reason);
    if (!cl)
        return he_error_set(HE_ERR_NO_DEVICE, "%s", reason);
    status = opencl_find_handles(cl, dev->found, &platform, &dev->id);
    if (status != HE_OK)
        return status;
    status = opencl_context_join(dev, cl);
    if (status != HE_OK)
        return status;
    dev->cl = cl;
    status = opencl_queues_open(dev);
    if (status == HE_OK)
        status = opencl_staging_open(dev);
    if (status != HE_OK) {
        opencl_queues_close(dev);
        opencl_context_leave(dev);
        return status;
    }
    atomic_store(&dev->is_started, true);
    return HE_OK;
}

he_status opencl_device_start(struct opencl_device *dev)
{
    he_status status = HE_OK;

    if (atomic_load_explicit(&dev->is_started, memory_order_acquire))
        return HE_OK;
    pthread_mutex_lock(&dev->lock);
    if (!atomic_load(&dev->is_started))
        status = start_locked(dev);
    pthread_mutex_unlock(&dev->lock);
    return status;
}

static void device_close(void *self)
{
    struct opencl_device *dev = self;
    struct he_allocator alloc = dev->alloc;

    if (dev->cl)
        opencl_queues_close(dev);
    opencl_context_leave(dev);
    opencl_context_forget(dev);
    pthread_mutex_destroy(&dev->order);
    pthread_mutex_destroy(&dev->lock);
    opencl_free(&alloc, dev);
}

/* --- Buffers --- */

he_status opencl_buffer_create(struct opencl_device *dev, size_t bytes,
                               struct opencl_buffer **out)
{
    struct opencl_buffer *buffer;
    he_status status = opencl_device_start(dev);
    uint64_t used;
    cl_int error;

    if (status != HE_OK)
        return status;
    if (dev->found->largest_buffer && bytes > dev->found->largest_buffer)
        return he_error_set(HE_ERR_NO_MEMORY, "%s: one buffer has at most %llu bytes, not %zu",
                            dev->found->name, (unsigned long long)dev->found->largest_buffer,
                            bytes);
    used = atomic_fetch_add(&dev->memory_used, bytes) + bytes;
    if (dev->memory_cap && used > dev->memory_cap) {
        status = he_error_set(HE_ERR_NO_MEMORY, "%s may use %llu bytes; %zu more would make it %llu",
                              dev->found->name, (unsigned long long)dev->memory_cap, bytes,
                              (unsigned long long)used);
        goto give_back;
    }
    buffer = opencl_alloc(&dev->alloc, 1, sizeof *buffer);
    if (!buffer) {
        status = opencl_no_memory();
        goto give_back;
    }
    buffer->bytes = bytes;
    buffer->mem = dev->cl->clCreateBuffer(dev->context, CL_MEM_READ_WRITE, bytes ? bytes : 1, NULL,
                                          &error);
    if (!buffer->mem) {
        opencl_free(&dev->alloc, buffer);
        status = opencl_failed(error, "clCreateBuffer");
        goto give_back;
    }
    *out = buffer;
    return HE_OK;

give_back:
    atomic_fetch_sub(&dev->memory_used, bytes);
    return status;
}

void opencl_buffer_destroy(struct opencl_device *dev, struct opencl_buffer *buffer)
{
    if (!buffer)
        return;
    /* OpenCL keeps the memory for as long as queued work needs it. */
    dev->cl->clReleaseMemObject(buffer->mem);
    atomic_fetch_sub(&dev->memory_used, buffer->bytes);
    opencl_free(&dev->alloc, buffer);
}

static he_status buffer_alloc(void *self, size_t bytes, void **out)
{
    struct opencl_buffer *buffer;
    he_status status = opencl_buffer_create(self, bytes, &buffer);

    if (status == HE_OK)
        *out = buffer;
    return status;
}

static void buffer_free(void *self, void *buffer)
{
    opencl_buffer_destroy(self, buffer);
}

static he_status buffer_write(void *self, void *buffer, size_t offset, const void *src,
                              size_t bytes)
{
    return opencl_buffer_write(self, buffer, offset, src, bytes);
}

static he_status buffer_read(void *self, void *buffer, size_t offset, void *dst, size_t bytes)
{
    return opencl_buffer_read(self, buffer, offset, dst, bytes);
}

static he_status write_begin(void *self, void *buffer, size_t offset, const void *src,
                             size_t bytes)
{
    return opencl_write_begin(self, buffer, offset, src, bytes);
}

static he_status read_begin(void *self, void *buffer, size_t offset, void *dst, size_t bytes)
{
    return opencl_read_begin(self, buffer, offset, dst, bytes);
}

static he_status mark(void *self, void **out)
{
    struct opencl_mark *set = NULL;
    he_status status = opencl_mark_set(self, &set);

    *out = set;
    return status;
}

static he_status buffer_copy(void *self, void *buffer, size_t offset, void *from,
                             void *from_buffer, size_t from_offset, size_t bytes)
{
    return opencl_buffer_copy(self, buffer, offset, from, from_buffer, from_offset, bytes);
}

static void mark_free(void *self, void *set)
{
    opencl_mark_free(self, set);
}

static he_status mark_wait(void *self, void *set)
{
    return opencl_mark_wait(self, set);
}

/* --- Programs --- */

static he_status supports(void *self, const struct he_graph *graph, const struct he_task *task)
{
    return opencl_task_supported(self, graph, task);
}

static he_status variants(void *self, const struct he_graph *graph, const struct he_task *task,
                          struct he_variant *out, size_t capacity, size_t *count)
{
    return opencl_variants(self, graph, task, out, capacity, count);
}

static he_status compile_with(void *self, const struct he_region *region,
                              const struct he_compile_options *options, void **out)
{
    struct opencl_parts *parts = NULL;
    he_status status = opencl_parts_create(self, region, options ? options->variants : NULL,
                                           &parts);

    *out = parts;
    return status;
}

static he_status compile(void *self, const struct he_region *region, void **out)
{
    return compile_with(self, region, NULL, out);
}

static void program_free(void *self, void *program)
{
    (void)self;
    opencl_parts_destroy(program);
}

static he_status program_info(void *self, void *program, struct he_program_info *out)
{
    (void)self;
    opencl_parts_info(program, out);
    return HE_OK;
}

static he_status bind(void *self, void *program, const struct he_binding *bindings,
                      void *workspace, size_t workspace_offset, void **out)
{
    struct opencl_parts_instance *instance = NULL;
    he_status status = opencl_parts_bind(program, bindings, workspace, workspace_offset, &instance);

    (void)self;
    *out = instance;
    return status;
}

static void instance_free(void *self, void *instance)
{
    (void)self;
    opencl_parts_unbind(instance);
}

static he_status instance_set(void *self, void *instance, uint32_t slot,
                              const struct he_binding *binding)
{
    (void)self;
    return opencl_parts_set(instance, slot, binding);
}

static he_status launch(void *self, void *instance, const struct he_launch *launch)
{
    (void)self;
    return opencl_parts_launch(instance, launch ? launch->task_ns : NULL);
}

static he_status wait(void *self)
{
    struct opencl_device *dev = self;

    return atomic_load(&dev->is_started) ? opencl_queues_finish(dev) : HE_OK;
}

static he_status self_test(void *self, struct he_self_test *samples, size_t count)
{
    return opencl_self_test(self, samples, count);
}

const struct he_device_ops opencl_device_ops = {
    .struct_size = sizeof(struct he_device_ops),
    .close = device_close,
    .buffer_alloc = buffer_alloc,
    .buffer_free = buffer_free,
    .buffer_write = buffer_write,
    .buffer_read = buffer_read,
    .supports = supports,
    .compile = compile,
    .program_free = program_free,
    .program_info = program_info,
    .bind = bind,
    .instance_free = instance_free,
    .instance_set = instance_set,
    .launch = launch,
    .wait = wait,
    .variants = variants,
    .compile_with = compile_with,
    .write_begin = write_begin,
    .read_begin = read_begin,
    .mark = mark,
    .mark_wait = mark_wait,
    .mark_free = mark_free,
    .buffer_copy = buffer_copy,
    .self_test = self_test,
};
