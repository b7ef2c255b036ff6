/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program tied to memory. Each step has a kernel object of its own, whose arguments stay
 * set, so that launching is one clEnqueueNDRangeKernel per step; moving a slot sets the
 * arguments of the steps that touch it.
 */
#include <string.h>
#include <time.h>

#include "opencl.h"

struct place {
    cl_mem mem;
    size_t offset; /* bytes */
};

struct opencl_instance {
    struct opencl_program *program;
    struct place *slots;
    struct place workspace;
    cl_kernel *kernels; /* per step; NULL for copies */
};

static struct place place_of(const struct opencl_instance *instance, const struct opencl_ref *ref)
{
    struct place place;

    switch (ref->kind) {
    case OPENCL_SLOT:
        return instance->slots[ref->index];
    case OPENCL_CONSTANT:
        return (struct place){ instance->program->constants[ref->index].buffer->mem, 0 };
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

    if (!place.mem)
        return HE_OK; /* set later */
    if (place.offset % OPENCL_ALIGNMENT)
        return he_error_set(HE_ERR_INVALID, "a slot at byte %zu of its buffer: the OpenCL device needs "
                            "multiples of %d", place.offset, OPENCL_ALIGNMENT);
    error = cl->clSetKernelArg(instance->kernels[s], 2 * k, sizeof place.mem, &place.mem);
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
        instance->slots[slot] = (struct place){ ((struct opencl_buffer *)binding->buffer)->mem,
                                                binding->offset };
    else if (root != HE_NONE)
        instance->slots[slot] = instance->slots[root];
    else
        instance->slots[slot] = (struct place){ 0 };
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
        instance->workspace = (struct place){ workspace->mem, workspace_offset };
    instance->slots = opencl_alloc(alloc, region->slot_count, sizeof *instance->slots);
    instance->kernels = opencl_alloc(alloc, program->step_count, sizeof *instance->kernels);
    if (!instance->slots || !instance->kernels) {
        status = opencl_no_memory();
        goto destroy;
    }
    /* What others alias first: a view may stand in front of what it is a view of. */
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t k = 0; k < region->slot_count; k++)
            store_binding(instance, k, &bindings[k]);
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

static he_status run_copy(const struct opencl_instance *instance, const struct opencl_step *step)
{
    struct opencl_device *dev = instance->program->dev;
    struct place from = place_of(instance, &step->refs[0]), to = place_of(instance, &step->refs[1]);
    cl_int error;

    if (from.mem == to.mem && from.offset == to.offset)
        return HE_OK;
    error = dev->cl->clEnqueueCopyBuffer(dev->queue, from.mem, to.mem, from.offset, to.offset,
                                         step->bytes, 0, NULL, NULL);
    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clEnqueueCopyBuffer");
}

static he_status run_step(const struct opencl_instance *instance, uint32_t s)
{
    const struct opencl_step *step = &instance->program->steps[s];
    struct opencl_device *dev = instance->program->dev;
    cl_int error;

    if (step->kernel == HE_NONE)
        return run_copy(instance, step);
    error = dev->cl->clEnqueueNDRangeKernel(dev->queue, instance->kernels[s], step->dimensions,
                                            NULL, step->global, step->local, 0, NULL, NULL);
    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clEnqueueNDRangeKernel");
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The queue is emptied after every task: slower as a whole, but each task's own time. */
static he_status launch_measured(const struct opencl_instance *instance, uint64_t *task_ns)
{
    const struct opencl_program *program = instance->program;
    struct opencl_device *dev = program->dev;
    uint32_t s = 0;

    dev->cl->clFinish(dev->queue);
    for (uint32_t t = 0; t < program->region->task_count; t++) {
        uint64_t begin = now_ns();
        bool has_steps = false;

        for (; s < program->step_count && program->steps[s].task == t; s++) {
            he_status status = run_step(instance, s);

            if (status != HE_OK)
                return status;
            has_steps = true;
        }
        if (has_steps) {
            cl_int error = dev->cl->clFinish(dev->queue);

            if (error != CL_SUCCESS)
                return opencl_failed(error, "clFinish");
        }
        task_ns[t] = has_steps ? now_ns() - begin : 0;
    }
    return HE_OK;
}

he_status opencl_instance_launch(struct opencl_instance *instance, uint64_t *task_ns)
{
    const struct opencl_program *program = instance->program;
    struct opencl_device *dev = program->dev;
    he_status status = HE_OK;
    cl_int error;

    if (task_ns)
        return launch_measured(instance, task_ns);
    for (uint32_t s = 0; s < program->step_count && status == HE_OK; s++)
        status = run_step(instance, s);
    if (status != HE_OK)
        return status;
    error = dev->cl->clFlush(dev->queue);
    return error == CL_SUCCESS ? HE_OK : opencl_failed(error, "clFlush");
}
