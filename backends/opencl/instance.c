/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program tied to memory. Each step has a kernel object of its own, whose arguments stay
 * set, so that launching is one clEnqueueNDRangeKernel per step; moving a slot sets the
 * arguments of the steps that touch it.
 */
#include <string.h>

#include "opencl.h"

struct place {
    struct opencl_buffer *buffer;
    size_t offset; /* bytes */
};

struct opencl_instance {
    struct opencl_program *program;
    struct place *slots;
    struct place workspace;
    cl_kernel *kernels; /* per step; NULL for copies */
    /* What the slots are in, each once: whose copies a launch has to wait for. */
    struct opencl_buffer **buffers;
    uint32_t buffer_count;
    cl_event *events; /* per step: of a measured launch */
};

static struct place place_of(const struct opencl_instance *instance, const struct opencl_ref *ref)
{
    struct place place;

    switch (ref->kind) {
    case OPENCL_SLOT:
        return instance->slots[ref->index];
    case OPENCL_CONSTANT:
        return (struct place){ instance->program->constants[ref->index].buffer, 0 };
    case OPENCL_WORKSPACE:
        break;
    }
    place = instance->workspace;
    place.offset += ref->offset;
    return place;
}

static he_status set_argument(const struct opencl_instance *instance, uint32_t s, uint32_t k)
{
    const struct opencl_api *cl = instance->program->dev->cl;
    const struct opencl_step *step = &instance->program->steps[s];
    struct place place = place_of(instance, &step->refs[k]);
    cl_ulong offset = place.offset / step->element_bytes[k];
    cl_int error;

    if (!place.buffer)
        return HE_OK; /* set later */
    if (place.offset % OPENCL_ALIGNMENT)
        return he_error_set(HE_ERR_INVALID, "a slot at byte %zu of its buffer: the OpenCL device needs "
                            "multiples of %d", place.offset, OPENCL_ALIGNMENT);
    error = cl->clSetKernelArg(instance->kernels[s], 2 * k, sizeof place.buffer->mem,
                               &place.buffer->mem);
    if (error == CL_SUCCESS)
        error = cl->clSetKernelArg(instance->kernels[s], 2 * k + 1, sizeof offset, &offset);
    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clSetKernelArg");
}

static void store_binding(struct opencl_instance *instance, uint32_t slot,
                          const struct he_binding *binding)
{
    const struct he_region *region = instance->program->region;
    uint32_t root = region->slots[slot].alias;

    if (binding->buffer)
        instance->slots[slot] = (struct place){ binding->buffer, binding->offset };
    else if (root != HE_NONE)
        instance->slots[slot] = instance->slots[root];
    else
        instance->slots[slot] = (struct place){ 0 };
}

static void list_buffers(struct opencl_instance *instance)
{
    instance->buffer_count = 0;
    for (uint32_t s = 0; s < instance->program->region->slot_count; s++) {
        struct opencl_buffer *buffer = instance->slots[s].buffer;
        uint32_t k = 0;

        while (k < instance->buffer_count && instance->buffers[k] != buffer)
            k++;
        if (buffer && k == instance->buffer_count)
            instance->buffers[instance->buffer_count++] = buffer;
    }
}

static void name_kernel(uint32_t kernel, char *out)
{
    char digits[12];
    int count = 0;

    *out++ = 'k';
    do {
        digits[count++] = (char)('0' + kernel % 10);
    } while (kernel /= 10);
    while (count > 0)
        *out++ = digits[--count];
    *out = '\0';
}

static he_status make_kernels(struct opencl_instance *instance)
{
    struct opencl_program *program = instance->program;
    he_status status = HE_OK;
    char name[16];
    cl_int error;

    for (uint32_t s = 0; s < program->step_count; s++) {
        const struct opencl_step *step = &program->steps[s];

        if (step->kernel == HE_NONE)
            continue;
        name_kernel(step->kernel % program->kernels_per_program, name);
        instance->kernels[s] = program->dev->cl->clCreateKernel(
            program->programs[step->kernel / program->kernels_per_program], name, &error);
        if (!instance->kernels[s])
            return opencl_failed(error, "clCreateKernel");
        for (uint32_t k = 0; k < step->ref_count && status == HE_OK; k++)
            status = set_argument(instance, s, k);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

he_status opencl_instance_create(struct opencl_program *program, const struct he_binding *bindings,
                                 struct opencl_buffer *workspace, size_t workspace_offset,
                                 struct opencl_instance **out)
{
    const struct he_allocator *alloc = &program->dev->alloc;
    const struct he_region *region = program->region;
    struct opencl_instance *instance;
    he_status status;

    *out = NULL;
    if (program->workspace_bytes && !workspace)
        return he_error_set(HE_ERR_INVALID, "the program needs %zu bytes of workspace",
                            program->workspace_bytes);
    instance = opencl_alloc(alloc, 1, sizeof *instance);
    if (!instance)
        return opencl_no_memory();
    instance->program = program;
    if (workspace)
        instance->workspace = (struct place){ workspace, workspace_offset };
    instance->slots = opencl_alloc(alloc, region->slot_count, sizeof *instance->slots);
    instance->kernels = opencl_alloc(alloc, program->step_count, sizeof *instance->kernels);
    instance->buffers = opencl_alloc(alloc, region->slot_count, sizeof(struct opencl_buffer *));
    if (!instance->slots || !instance->kernels || !instance->buffers) {
        status = opencl_no_memory();
        goto destroy;
    }
    /* What others alias first: a view may stand in front of what it is a view of. */
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t k = 0; k < region->slot_count; k++)
            store_binding(instance, k, &bindings[k]);
    list_buffers(instance);
    status = make_kernels(instance);
    if (status == HE_OK) {
        *out = instance;
        return HE_OK;
    }
destroy:
    opencl_instance_destroy(instance);
    return status;
}

void opencl_instance_destroy(struct opencl_instance *instance)
{
    const struct he_allocator *alloc;
    struct opencl_program *program;

    if (!instance)
        return;
    program = instance->program;
    alloc = &program->dev->alloc;
    for (uint32_t s = 0; instance->kernels && s < program->step_count; s++)
        if (instance->kernels[s])
            program->dev->cl->clReleaseKernel(instance->kernels[s]);
    opencl_free(alloc, instance->events);
    opencl_free(alloc, instance->buffers);
    opencl_free(alloc, instance->kernels);
    opencl_free(alloc, instance->slots);
    opencl_free(alloc, instance);
}

he_status opencl_instance_set(struct opencl_instance *instance, uint32_t slot,
                              const struct he_binding *binding)
{
    const struct opencl_program *program = instance->program;
    const struct he_region *region = program->region;
    he_status status = HE_OK;

    if (slot >= region->slot_count)
        return he_error_set(HE_ERR_INVALID, "slot %u: the region has %u", slot,
                            region->slot_count);
    store_binding(instance, slot, binding);
    list_buffers(instance);
    for (uint32_t s = 0; s < program->step_count; s++) {
        const struct opencl_step *step = &program->steps[s];

        for (uint32_t k = 0; step->kernel != HE_NONE && k < step->ref_count; k++) {
            if (step->refs[k].kind != OPENCL_SLOT || step->refs[k].index != slot)
                continue;
            status = set_argument(instance, s, k);
            if (status != HE_OK)
                return status;
        }
    }
    /* Views move along. */
    for (uint32_t k = 0; k < region->slot_count && status == HE_OK; k++)
        if (region->slots[k].alias == slot)
            status = opencl_instance_set(instance, k, binding);
    return status;
}

/* --- Launching --- */

/* Puts one step into @queue; @event may be NULL. Nothing to do gives no event. */
static he_status put_step(const struct opencl_instance *instance, uint32_t s,
                          cl_command_queue queue, const struct opencl_waits *waits,
                          cl_event *event)
{
    const struct opencl_step *step = &instance->program->steps[s];
    const struct opencl_api *cl = instance->program->dev->cl;
    cl_uint wait_count = waits ? waits->count : 0;
    const cl_event *events = wait_count ? waits->events : NULL;
    cl_int error;

    if (step->kernel == HE_NONE) {
        struct place from = place_of(instance, &step->refs[0]);
        struct place to = place_of(instance, &step->refs[1]);

        if (from.buffer == to.buffer && from.offset == to.offset && !wait_count)
            return HE_OK;
        if (from.buffer == to.buffer && from.offset == to.offset) {
            error = cl->clEnqueueBarrierWithWaitList(queue, wait_count, events, event);
            return error == CL_SUCCESS ? HE_OK
                                       : opencl_failed(error, "clEnqueueBarrierWithWaitList");
        }
        error = cl->clEnqueueCopyBuffer(queue, from.buffer->mem, to.buffer->mem, from.offset,
                                        to.offset, step->bytes, wait_count, events, event);
        return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clEnqueueCopyBuffer");
    }
    error = cl->clEnqueueNDRangeKernel(queue, instance->kernels[s], step->dimensions, NULL,
                                       step->global, step->local, wait_count, events, event);
    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clEnqueueNDRangeKernel");
}

/* The first step waits for copies, the last may end with an event; between them launching is bare. */
static he_status launch_plain(const struct opencl_instance *instance)
{
    const struct opencl_program *program = instance->program;
    struct opencl_device *dev = program->dev;
    cl_command_queue queue = dev->queues[OPENCL_COMPUTE].handle;
    uint32_t last = program->step_count - 1, s = 0;
    struct opencl_waits waits;
    cl_event event = NULL;
    he_status status;
    cl_int error;

    if (!program->step_count)
        return HE_OK;
    status = opencl_order_begin(dev, OPENCL_COMPUTE, instance->buffers, instance->buffer_count,
                                &waits);
    if (status != HE_OK)
        return status;
    for (; s < program->step_count && status == HE_OK; s++)
        status = put_step(instance, s, queue, s ? NULL : &waits,
                          s == last && dev->wants_launch_events ? &event : NULL);
    opencl_order_end(dev, OPENCL_COMPUTE, instance->buffers, instance->buffer_count, &waits,
                     status == HE_OK || s > 1, event);
    error = dev->cl->clFlush(queue);
    if (status == HE_OK && error != CL_SUCCESS)
        status = opencl_failed(error, "clFlush");
    return status;
}

/* --- Measured launches --- */

static he_status event_time(const struct opencl_device *dev, cl_event event,
                            cl_profiling_info what, cl_ulong *out)
{
    cl_int error = dev->cl->clGetEventProfilingInfo(event, what, sizeof *out, out, NULL);

    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clGetEventProfilingInfo");
}

/*
 * A task's time is that from the end of the task before to its own end, on the device's clock: what it
 * adds to the region, with the gap in front of it. The first begins when it starts.
 */
static he_status read_times(const struct opencl_instance *instance, uint64_t *task_ns)
{
    const struct opencl_program *program = instance->program;
    cl_ulong before = 0, start, end;
    he_status status;

    memset(task_ns, 0, program->region->task_count * sizeof *task_ns);
    for (uint32_t s = 0; s < program->step_count; s++) {
        if (!instance->events[s])
            continue;
        status = event_time(program->dev, instance->events[s], CL_PROFILING_COMMAND_END, &end);
        if (status == HE_OK && !before) {
            status = event_time(program->dev, instance->events[s], CL_PROFILING_COMMAND_START,
                                &start);
            before = start;
        }
        if (status != HE_OK)
            return status;
        task_ns[program->steps[s].task] += end > before ? end - before : 0;
        before = end > before ? end : before;
    }
    return HE_OK;
}

/* In a queue of its own, since a queue that takes times is a slower one; alone on the device. */
static he_status launch_measured(struct opencl_instance *instance, uint64_t *task_ns)
{
    const struct opencl_program *program = instance->program;
    struct opencl_device *dev = program->dev;
    cl_command_queue queue;
    he_status status;
    cl_int error;

    if (!instance->events) {
        instance->events = opencl_alloc(&dev->alloc, program->step_count, sizeof(cl_event));
        if (!instance->events)
            return opencl_no_memory();
    }
    status = opencl_queues_timed(dev, &queue);
    if (status == HE_OK)
        status = opencl_queues_finish(dev);
    if (status != HE_OK)
        return status;
    for (uint32_t s = 0; s < program->step_count && status == HE_OK; s++)
        status = put_step(instance, s, queue, NULL, &instance->events[s]);
    error = dev->cl->clFinish(queue);
    if (status == HE_OK && error != CL_SUCCESS)
        status = opencl_failed(error, "clFinish");
    if (status == HE_OK)
        status = read_times(instance, task_ns);
    for (uint32_t s = 0; s < program->step_count; s++) {
        if (instance->events[s])
            dev->cl->clReleaseEvent(instance->events[s]);
        instance->events[s] = NULL;
    }
    return status;
}

he_status opencl_instance_launch(struct opencl_instance *instance, uint64_t *task_ns)
{
    return task_ns ? launch_measured(instance, task_ns) : launch_plain(instance);
}
