/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queues of a device and the order between them. Kernels go to one in-order queue; copies
 * that shall go on beside kernels go to a queue upwards and one downwards, each in order too, so that
 * what is read from request n does not hold up what is written for request n+1.
 *
 * Commands of a queue are counted. A buffer remembers the number of the last command of each queue that
 * touched it, a queue how many of its commands are known to be through. A command that touches a buffer
 * waits for the last one of each other queue that did, unless that is through or its
 * queue waits for it anyway; so one queue at work alone needs no event at all.
 *
 * Locks: opencl_device.order, held while a command is put into a queue, never while waiting.
 */
#include <string.h>

#include "opencl.h"

struct opencl_mark {
    struct opencl_mark *next;
    cl_event events[OPENCL_QUEUES];
    cl_uint event_count;
    uint64_t upto[OPENCL_QUEUES]; /* commands that are through when the events are */
    struct opencl_block *blocks;  /* pinned memory of copies begun before it */
};

static he_status queue_open(struct opencl_device *dev, enum opencl_queue_kind kind)
{
    cl_int error;

    if (dev->queues[kind].handle)
        return HE_OK;
    dev->queues[kind].handle = dev->cl->clCreateCommandQueue(dev->context, dev->id, 0, &error);
    return dev->queues[kind].handle ? HE_OK : opencl_failed(error, "clCreateCommandQueue");
}

he_status opencl_queues_open(struct opencl_device *dev)
{
    return queue_open(dev, OPENCL_COMPUTE);
}

void opencl_queues_close(struct opencl_device *dev)
{
    for (int k = 0; k < OPENCL_QUEUES; k++)
        if (dev->queues[k].handle)
            dev->cl->clFinish(dev->queues[k].handle);
    opencl_staging_close(dev);
    for (int k = 0; k < OPENCL_QUEUES; k++) {
        if (dev->queues[k].tail)
            dev->cl->clReleaseEvent(dev->queues[k].tail);
        if (dev->queues[k].handle)
            dev->cl->clReleaseCommandQueue(dev->queues[k].handle);
    }
    if (dev->timed)
        dev->cl->clReleaseCommandQueue(dev->timed);
    dev->timed = NULL;
    memset(dev->queues, 0, sizeof dev->queues);
    while (dev->free_marks) {
        struct opencl_mark *mark = dev->free_marks;

        dev->free_marks = mark->next;
        opencl_free(&dev->alloc, mark);
    }
}

he_status opencl_queues_timed(struct opencl_device *dev, cl_command_queue *out)
{
    he_status status = HE_OK;
    cl_int error;

    pthread_mutex_lock(&dev->order);
    if (!dev->timed) {
        dev->timed = dev->cl->clCreateCommandQueue(dev->context, dev->id,
                                                   CL_QUEUE_PROFILING_ENABLE, &error);
        if (!dev->timed)
            status = opencl_failed(error, "clCreateCommandQueue");
    }
    *out = dev->timed;
    pthread_mutex_unlock(&dev->order);
    return status;
}

static uint64_t done_of(const struct opencl_queue *queue)
{
    return atomic_load_explicit(&queue->done, memory_order_acquire);
}

void opencl_queue_reached(struct opencl_queue *queue, uint64_t upto)
{
    uint64_t done = atomic_load(&queue->done);

    while (done < upto && !atomic_compare_exchange_weak(&queue->done, &done, upto))
        ;
}

static void replace_tail(struct opencl_device *dev, struct opencl_queue *queue, cl_event event)
{
    if (queue->tail)
        dev->cl->clReleaseEvent(queue->tail);
    queue->tail = event;
    queue->tail_at = queue->issued;
}

/* Sees to it that the queue's tail covers its first @upto commands. */
static he_status ensure_tail(struct opencl_device *dev, enum opencl_queue_kind kind, uint64_t upto)
{
    struct opencl_queue *queue = &dev->queues[kind];
    cl_event event;
    cl_int error;

    if (queue->tail && queue->tail_at >= upto)
        return HE_OK;
    /* From now on launches end with an event: cheaper than a marker after them. */
    if (kind == OPENCL_COMPUTE)
        dev->wants_launch_events = true;
    error = dev->cl->clEnqueueMarkerWithWaitList(queue->handle, 0, NULL, &event);
    if (error != CL_SUCCESS)
        return opencl_failed(error, "clEnqueueMarkerWithWaitList");
    replace_tail(dev, queue, event);
    error = dev->cl->clFlush(queue->handle);
    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clFlush");
}

static he_status keep_event(struct opencl_device *dev, cl_event event)
{
    cl_int error = dev->cl->clRetainEvent(event);

    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clRetainEvent");
}

/* --- Waits --- */

/* Adds what a command on @kind that touches @buffer has to wait for. */
static he_status add_waits(struct opencl_device *dev, enum opencl_queue_kind kind,
                           const struct opencl_buffer *buffer, struct opencl_waits *waits)
{
    for (int k = 0; k < OPENCL_QUEUES; k++) {
        struct opencl_queue *queue = &dev->queues[k];
        he_status status;

        if (k == (int)kind || buffer->last[k] <= done_of(queue) ||
            buffer->last[k] <= dev->queues[kind].seen[k] || buffer->last[k] <= waits->upto[k])
            continue;
        status = ensure_tail(dev, (enum opencl_queue_kind)k, buffer->last[k]);
        if (status != HE_OK)
            return status;
        waits->upto[k] = queue->tail_at;
    }
    return HE_OK;
}

static void list_waits(struct opencl_device *dev, struct opencl_waits *waits)
{
    waits->count = 0;
    for (int k = 0; k < OPENCL_QUEUES; k++)
        if (waits->upto[k])
            waits->events[waits->count++] = dev->queues[k].tail;
}

he_status opencl_order_begin(struct opencl_device *dev, enum opencl_queue_kind kind,
                             struct opencl_buffer *const *buffers, uint32_t buffer_count,
                             struct opencl_waits *waits)
{
    he_status status = HE_OK;

    memset(waits, 0, sizeof *waits);
    pthread_mutex_lock(&dev->order);
    for (uint32_t k = 0; k < buffer_count && status == HE_OK; k++)
        status = add_waits(dev, kind, buffers[k], waits);
    if (status != HE_OK) {
        pthread_mutex_unlock(&dev->order);
        return status;
    }
    list_waits(dev, waits);
    return HE_OK;
}

void opencl_order_end(struct opencl_device *dev, enum opencl_queue_kind kind,
                      struct opencl_buffer *const *buffers, uint32_t buffer_count,
                      const struct opencl_waits *waits, bool is_put, cl_event event)
{
    struct opencl_queue *queue = &dev->queues[kind];

    if (!is_put) {
        pthread_mutex_unlock(&dev->order);
        return;
    }
    queue->issued++;
    for (uint32_t k = 0; k < buffer_count; k++)
        buffers[k]->last[kind] = queue->issued;
    for (int k = 0; k < OPENCL_QUEUES; k++)
        if (waits->upto[k] > queue->seen[k])
            queue->seen[k] = waits->upto[k];
    if (event)
        replace_tail(dev, queue, event);
    pthread_mutex_unlock(&dev->order);
}

/* --- Copies --- */

/*
 * Where a copy goes. Alone on the device, or behind work on its own buffer, the compute queue is the
 * place: what comes next needs no event then.
 */
static enum opencl_queue_kind pick_queue(struct opencl_device *dev,
                                         const struct opencl_buffer *buffer,
                                         enum opencl_queue_kind wanted)
{
    const struct opencl_queue *compute = &dev->queues[OPENCL_COMPUTE];
    bool is_alone;

    pthread_mutex_lock(&dev->order);
    is_alone = (done_of(compute) >= compute->issued ||
                buffer->last[OPENCL_COMPUTE] == compute->issued) &&
               buffer->last[OPENCL_UP] <= done_of(&dev->queues[OPENCL_UP]) &&
               buffer->last[OPENCL_DOWN] <= done_of(&dev->queues[OPENCL_DOWN]);
    if (!is_alone && queue_open(dev, wanted) != HE_OK)
        is_alone = true; /* no more queues: the one there is keeps everything in order */
    pthread_mutex_unlock(&dev->order);
    return is_alone ? OPENCL_COMPUTE : wanted;
}

static cl_int put_copy(struct opencl_device *dev, enum opencl_queue_kind kind, bool is_write,
                       struct opencl_buffer *buffer, size_t offset, void *host, size_t bytes,
                       cl_bool blocks, const struct opencl_waits *waits, cl_event *event)
{
    const cl_event *events = waits->count ? waits->events : NULL;
    cl_command_queue queue = dev->queues[kind].handle;

    if (is_write)
        return dev->cl->clEnqueueWriteBuffer(queue, buffer->mem, blocks, offset, bytes, host,
                                             waits->count, events, event);
    return dev->cl->clEnqueueReadBuffer(queue, buffer->mem, blocks, offset, bytes, host,
                                        waits->count, events, event);
}

static he_status copy_failed(cl_int error, bool is_write)
{
    return opencl_failed(error, is_write ? "clEnqueueWriteBuffer" : "clEnqueueReadBuffer");
}

/*
 * A copy that blocks is in nobody's way: no order depends on it once it has returned, so it is put
 * into its queue without the lock, and not counted.
 */
he_status opencl_copy_direct(struct opencl_device *dev, enum opencl_queue_kind kind, bool is_write,
                             struct opencl_buffer *buffer, size_t offset, void *host,
                             size_t bytes)
{
    struct opencl_waits waits;
    cl_int error = CL_SUCCESS;
    cl_uint kept = 0;
    uint64_t issued;
    he_status status = opencl_order_begin(dev, kind, &buffer, 1, &waits);

    if (status != HE_OK)
        return status;
    for (cl_uint k = 0; k < waits.count && status == HE_OK; k++) {
        status = keep_event(dev, waits.events[k]);
        kept += status == HE_OK;
    }
    issued = dev->queues[kind].issued;
    pthread_mutex_unlock(&dev->order);
    if (status == HE_OK)
        error = put_copy(dev, kind, is_write, buffer, offset, host, bytes, CL_TRUE, &waits, NULL);
    while (kept > 0)
        dev->cl->clReleaseEvent(waits.events[--kept]);
    if (status != HE_OK)
        return status;
    if (error != CL_SUCCESS)
        return copy_failed(error, is_write);
    opencl_queue_reached(&dev->queues[kind], issued);
    return HE_OK;
}

he_status opencl_copy_begin(struct opencl_device *dev, enum opencl_queue_kind kind, bool is_write,
                            struct opencl_buffer *buffer, size_t offset, void *host, size_t bytes,
                            cl_event *out)
{
    struct opencl_waits waits;
    cl_event event = NULL;
    cl_int error;
    he_status status = opencl_order_begin(dev, kind, &buffer, 1, &waits), kept = HE_OK;

    if (status != HE_OK)
        return status;
    error = put_copy(dev, kind, is_write, buffer, offset, host, bytes, CL_FALSE, &waits,
                     kind == OPENCL_COMPUTE && !out ? NULL : &event);
    if (error == CL_SUCCESS && out) {
        kept = keep_event(dev, event);
        *out = kept == HE_OK ? event : NULL;
    }
    opencl_order_end(dev, kind, &buffer, 1, &waits, error == CL_SUCCESS, event);
    if (error != CL_SUCCESS)
        return copy_failed(error, is_write);
    if (kind != OPENCL_COMPUTE || out) /* else a launch or a mark will flush that one */
        error = dev->cl->clFlush(dev->queues[kind].handle);
    if (kept != HE_OK) /* nobody could wait for it otherwise, and the memory is the caller's */
        dev->cl->clFinish(dev->queues[kind].handle);
    return error != CL_SUCCESS ? opencl_failed(error, "clFlush") : kept;
}

static he_status copy_now(struct opencl_device *dev, bool is_write, struct opencl_buffer *buffer,
                          size_t offset, void *host, size_t bytes)
{
    enum opencl_queue_kind kind;

    if (!bytes)
        return HE_OK;
    kind = pick_queue(dev, buffer, is_write ? OPENCL_UP : OPENCL_DOWN);
    if (opencl_staging_pays(dev, is_write, bytes))
        return opencl_staging_copy(dev, kind, is_write, buffer, offset, host, bytes);
    return opencl_copy_direct(dev, kind, is_write, buffer, offset, host, bytes);
}

/* Through pinned memory as far as there is any, the rest directly. */
static he_status begin(struct opencl_device *dev, enum opencl_queue_kind kind, bool is_write,
                       struct opencl_buffer *buffer, size_t offset, char *host, size_t bytes)
{
    he_status status = HE_OK;
    size_t begun = 0;

    if (dev->staging && (!is_write || opencl_staging_pays(dev, true, bytes)))
        begun = opencl_staging_begin(dev, kind, is_write, buffer, offset, host, bytes, &status);
    if (status != HE_OK || begun == bytes)
        return status;
    return opencl_copy_begin(dev, kind, is_write, buffer, offset + begun, host + begun,
                             bytes - begun, NULL);
}

he_status opencl_buffer_write(struct opencl_device *dev, struct opencl_buffer *buffer,
                              size_t offset, const void *src, size_t bytes)
{
    return copy_now(dev, true, buffer, offset, (void *)(uintptr_t)src, bytes);
}

he_status opencl_buffer_read(struct opencl_device *dev, struct opencl_buffer *buffer,
                             size_t offset, void *dst, size_t bytes)
{
    return copy_now(dev, false, buffer, offset, dst, bytes);
}

he_status opencl_write_begin(struct opencl_device *dev, struct opencl_buffer *buffer,
                             size_t offset, const void *src, size_t bytes)
{
    if (!bytes)
        return HE_OK;
    return begin(dev, pick_queue(dev, buffer, OPENCL_UP), true, buffer, offset,
                 (char *)(uintptr_t)src, bytes);
}

/* Never behind the buffer's own work in the compute queue: the next launch would wait for it. */
he_status opencl_read_begin(struct opencl_device *dev, struct opencl_buffer *buffer,
                            size_t offset, void *dst, size_t bytes)
{
    enum opencl_queue_kind kind = OPENCL_DOWN;

    if (!bytes)
        return HE_OK;
    pthread_mutex_lock(&dev->order);
    if (queue_open(dev, OPENCL_DOWN) != HE_OK)
        kind = OPENCL_COMPUTE;
    pthread_mutex_unlock(&dev->order);
    return begin(dev, kind, false, buffer, offset, dst, bytes);
}

/* --- Between devices --- */

/* Adds the events of all that @dev was given that touches @buffer; they are to be released. */
static he_status keep_waits(struct opencl_device *dev, const struct opencl_buffer *buffer,
                            cl_event *events, cl_uint *count)
{
    he_status status = HE_OK;

    pthread_mutex_lock(&dev->order);
    for (int k = 0; k < OPENCL_QUEUES && status == HE_OK; k++) {
        if (buffer->last[k] <= done_of(&dev->queues[k]))
            continue;
        status = ensure_tail(dev, (enum opencl_queue_kind)k, buffer->last[k]);
        if (status == HE_OK)
            status = keep_event(dev, dev->queues[k].tail);
        if (status == HE_OK)
            events[(*count)++] = dev->queues[k].tail;
    }
    pthread_mutex_unlock(&dev->order);
    return status;
}

static he_status copy_between(struct opencl_device *dev, struct opencl_buffer *buffer,
                              size_t offset, const struct opencl_buffer *from, size_t from_offset,
                              size_t bytes, const cl_event *waits, cl_uint wait_count)
{
    cl_command_queue queue;
    cl_event event;
    cl_int error;
    he_status status;

    pthread_mutex_lock(&dev->order);
    status = queue_open(dev, OPENCL_UP);
    queue = dev->queues[status == HE_OK ? OPENCL_UP : OPENCL_COMPUTE].handle;
    pthread_mutex_unlock(&dev->order);
    error = dev->cl->clEnqueueCopyBuffer(queue, from->mem, buffer->mem, from_offset, offset, bytes,
                                         wait_count, wait_count ? waits : NULL, &event);
    if (error != CL_SUCCESS)
        return opencl_failed(error, "clEnqueueCopyBuffer");
    error = dev->cl->clWaitForEvents(1, &event);
    dev->cl->clReleaseEvent(event);
    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clWaitForEvents");
}

/* Waited for, and so not counted, as other copies that block. */
he_status opencl_buffer_copy(struct opencl_device *dev, struct opencl_buffer *buffer,
                             size_t offset, struct opencl_device *from,
                             struct opencl_buffer *from_buffer, size_t from_offset, size_t bytes)
{
    cl_event waits[2 * OPENCL_QUEUES];
    cl_uint wait_count = 0;
    he_status status;

    if (!dev->context || dev->context != from->context)
        return he_error_set(HE_ERR_UNSUPPORTED, "'%s' and '%s' share no OpenCL context",
                            dev->found->name, from->found->name);
    if (!bytes)
        return HE_OK;
    status = keep_waits(from, from_buffer, waits, &wait_count);
    if (status == HE_OK)
        status = keep_waits(dev, buffer, waits, &wait_count);
    if (status == HE_OK)
        status = copy_between(dev, buffer, offset, from_buffer, from_offset, bytes, waits,
                              wait_count);
    while (wait_count > 0)
        dev->cl->clReleaseEvent(waits[--wait_count]);
    return status;
}

/* --- Marks --- */

static struct opencl_mark *take_mark(struct opencl_device *dev)
{
    struct opencl_mark *mark;

    pthread_mutex_lock(&dev->lock);
    mark = dev->free_marks;
    if (mark)
        dev->free_marks = mark->next;
    pthread_mutex_unlock(&dev->lock);
    if (!mark)
        mark = opencl_alloc(&dev->alloc, 1, sizeof *mark);
    if (mark)
        memset(mark, 0, sizeof *mark);
    return mark;
}

void opencl_mark_free(struct opencl_device *dev, struct opencl_mark *mark)
{
    if (!mark)
        return;
    for (cl_uint k = 0; k < mark->event_count; k++)
        dev->cl->clReleaseEvent(mark->events[k]);
    opencl_staging_finish(dev, mark->blocks, false);
    pthread_mutex_lock(&dev->lock);
    mark->next = dev->free_marks;
    dev->free_marks = mark;
    pthread_mutex_unlock(&dev->lock);
}

/* True when some other queue at work waits for all that this one has. */
static bool is_covered(const struct opencl_device *dev, int kind)
{
    for (int k = 0; k < OPENCL_QUEUES; k++)
        if (k != kind && dev->queues[k].issued > done_of(&dev->queues[k]) &&
            dev->queues[k].seen[kind] >= dev->queues[kind].issued)
            return true;
    return false;
}

he_status opencl_mark_set(struct opencl_device *dev, struct opencl_mark **out)
{
    struct opencl_mark *mark = take_mark(dev);
    he_status status = HE_OK;

    if (!mark)
        return opencl_no_memory();
    pthread_mutex_lock(&dev->order);
    for (int k = 0; k < OPENCL_QUEUES && status == HE_OK; k++) {
        struct opencl_queue *queue = &dev->queues[k];

        mark->upto[k] = queue->issued;
        if (queue->issued <= done_of(queue) || is_covered(dev, k))
            continue;
        status = ensure_tail(dev, (enum opencl_queue_kind)k, queue->issued);
        if (status != HE_OK)
            continue;
        status = keep_event(dev, queue->tail);
        if (status == HE_OK)
            mark->events[mark->event_count++] = queue->tail;
    }
    pthread_mutex_unlock(&dev->order);
    if (status != HE_OK) {
        opencl_mark_free(dev, mark);
        return status;
    }
    mark->blocks = opencl_staging_begun(dev);
    *out = mark;
    return HE_OK;
}

he_status opencl_mark_wait(struct opencl_device *dev, struct opencl_mark *mark)
{
    cl_int error = CL_SUCCESS;

    if (mark->event_count)
        error = dev->cl->clWaitForEvents(mark->event_count, mark->events);
    for (int k = 0; k < OPENCL_QUEUES && error == CL_SUCCESS; k++)
        opencl_queue_reached(&dev->queues[k], mark->upto[k]);
    opencl_staging_finish(dev, mark->blocks, error == CL_SUCCESS);
    mark->blocks = NULL;
    opencl_mark_free(dev, mark);
    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clWaitForEvents");
}

he_status opencl_queues_finish(struct opencl_device *dev)
{
    struct opencl_block *blocks = opencl_staging_begun(dev);
    he_status status = HE_OK;

    for (int k = 0; k < OPENCL_QUEUES; k++) {
        struct opencl_queue *queue = &dev->queues[k];
        uint64_t issued;
        cl_command_queue handle;
        cl_int error;

        pthread_mutex_lock(&dev->order);
        issued = queue->issued;
        handle = queue->handle;
        pthread_mutex_unlock(&dev->order);
        if (!handle || (k != OPENCL_COMPUTE && issued <= done_of(queue)))
            continue;
        error = dev->cl->clFinish(handle);
        if (error == CL_SUCCESS)
            opencl_queue_reached(queue, issued);
        else if (status == HE_OK)
            status = opencl_failed(error, "clFinish");
    }
    opencl_staging_finish(dev, blocks, status == HE_OK);
    return status;
}
