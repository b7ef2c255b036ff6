/* SPDX-License-Identifier: Apache-2.0 */
/* A region as one OpenCL program and the list of steps that run it. */
#include <stdio.h>
#include <string.h>

#include "build.h"
#include "cache.h"
#include "late.h"

#define BUILD_OPTIONS "-cl-std=CL1.2"

he_status opencl_task_supported(struct opencl_device *dev, const struct he_graph *graph,
                                const struct he_task *task)
{
    struct opencl_build b = { .dev = dev, .graph = graph, .task = task };
    he_status status;

    if (!dev->found->has_compiler && !opencl_cache_has_any(dev))
        return dev->found->built_in[0]
                   ? opencl_refuse(&graph->nodes[task->anchor],
                                   "the device runs only functions of its own (%.120s), none of "
                                   "which does this", dev->found->built_in)
                   : opencl_refuse(&graph->nodes[task->anchor],
                                   "the device has no compiler, and the cache of built programs "
                                   "has none for it");
    if (opencl_task_is_late(graph, task))
        return opencl_late_supported(dev, graph, task);
    opencl_text_init(&b.body, &dev->alloc);
    status = opencl_emit_task(&b);
    opencl_text_fini(&b.body);
    return status;
}

/* The compiler's complaint, in the error sentence as far as it fits. */
static he_status build_failed(struct opencl_device *dev, cl_program built, cl_int error)
{
    char *log;
    size_t size = 0;

    if (dev->cl->clGetProgramBuildInfo(built, dev->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) !=
            CL_SUCCESS || !size)
        return opencl_failed(error, "clBuildProgram");
    log = opencl_alloc(&dev->alloc, size + 1, 1);
    if (!log)
        return opencl_no_memory();
    dev->cl->clGetProgramBuildInfo(built, dev->id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    he_error_set(HE_ERR_DEVICE, "clBuildProgram: %s: %.300s", opencl_error_name(error), log);
    opencl_free(&dev->alloc, log);
    return HE_ERR_DEVICE;
}

/* Builds kernels [first, end) as one OpenCL program. */
static he_status build_some(struct opencl_program *program, uint32_t first, uint32_t end,
                            cl_program *out)
{
    struct opencl_device *dev = program->dev;
    struct opencl_source built_from;
    struct opencl_text source;
    cl_int error;
    he_status status = HE_OK;

    opencl_text_init(&source, &dev->alloc);
    opencl_put_prelude(dev, &source);
    for (uint32_t k = first; k < end; k++) {
        opencl_text_printf(&source, "#undef self\n#define self k%u\n__kernel ", k - first);
        opencl_text_append(&source, program->bodies[k], strlen(program->bodies[k]));
    }
    if (source.failed) {
        status = opencl_no_memory();
        goto fini;
    }
    built_from = (struct opencl_source){ opencl_text_string(&source), source.size, BUILD_OPTIONS };
    *out = opencl_cache_load(dev, &built_from);
    if (*out)
        goto fini;
    if (!dev->found->has_compiler) {
        status = he_error_set(HE_ERR_UNSUPPORTED, "%s has no compiler, and this program is not in "
                              "the cache of built ones", dev->found->name);
        goto fini;
    }
    *out = dev->cl->clCreateProgramWithSource(dev->context, 1, &built_from.text, &built_from.size,
                                              &error);
    if (!*out) {
        status = opencl_failed(error, "clCreateProgramWithSource");
        goto fini;
    }
    error = dev->cl->clBuildProgram(*out, 1, &dev->id, BUILD_OPTIONS, NULL, NULL);
    if (error != CL_SUCCESS)
        status = build_failed(dev, *out, error);
    else
        opencl_cache_store(dev, &built_from, *out);
fini:
    opencl_text_fini(&source);
    return status;
}

/*
 * PoCL works on the whole program again for each kernel it finishes, and keeps what it
 * built by the program's text: a program for each kernel is faster to build, and a kernel
 * that some other region had is there already. Others start a compiler for each
 * program, so they get all kernels at once.
 */
static he_status build_source(struct opencl_program *program)
{
    struct opencl_device *dev = program->dev;
    /* Nor need programs built elsewhere have been made of the same kernels. */
    bool is_single = dev->found->is_cpu || !dev->found->has_compiler;
    uint32_t step = is_single ? 1 : program->kernel_count;
    he_status status = HE_OK;

    program->kernels_per_program = step;
    program->programs = opencl_alloc(&dev->alloc, (program->kernel_count + step - 1) / step,
                                     sizeof(cl_program));
    if (!program->programs)
        return opencl_no_memory();
    for (uint32_t first = 0; first < program->kernel_count && status == HE_OK; first += step) {
        uint32_t end = program->kernel_count - first < step ? program->kernel_count : first + step;

        /* Counted even when it fails: there may be something to release. */
        status = build_some(program, first, end, &program->programs[program->program_count++]);
    }
    return status;
}

static he_status emit_all(struct opencl_program *program, const uint32_t *slot_of,
                          const char *const *ways)
{
    const struct he_region *region = program->region;
    struct opencl_build b = { .dev = program->dev, .graph = region->graph, .program = program,
                              .slot_of = slot_of };
    he_status status = HE_OK;

    opencl_text_init(&b.body, &program->dev->alloc);
    for (uint32_t t = 0; t < region->task_count && status == HE_OK; t++) {
        b.task = &region->graph->tasks[region->tasks[t]];
        b.task_index = t;
        b.way = ways ? ways[t] : NULL;
        status = opencl_emit_task(&b);
        if (b.temp_end > program->workspace_bytes)
            program->workspace_bytes = b.temp_end;
    }
    opencl_text_fini(&b.body);
    return status;
}

he_status opencl_program_create(struct opencl_device *dev, const struct he_region *region,
                                const char *const *ways, struct opencl_program **out)
{
    struct opencl_program *program;
    uint32_t *slot_of;
    he_status status = opencl_device_start(dev);

    *out = NULL;
    if (status != HE_OK)
        return status;
    for (uint32_t k = 0; k < region->slot_count; k++)
        if (region->slots[k].layout != HE_LAYOUT_PLAIN)
            return he_error_set(HE_ERR_UNSUPPORTED,
                                "the OpenCL device takes plain tensors");
    program = opencl_alloc(&dev->alloc, 1, sizeof *program);
    slot_of = opencl_alloc(&dev->alloc, region->graph->value_count, sizeof *slot_of);
    if (!program || !slot_of) {
        opencl_free(&dev->alloc, program);
        opencl_free(&dev->alloc, slot_of);
        return opencl_no_memory();
    }
    program->dev = dev;
    program->region = region;
    memset(slot_of, 0xff, region->graph->value_count * sizeof *slot_of);
    for (uint32_t k = 0; k < region->slot_count; k++)
        slot_of[region->slots[k].value] = k;
    status = emit_all(program, slot_of, ways);
    opencl_free(&dev->alloc, slot_of);
    if (status == HE_OK && program->kernel_count)
        status = build_source(program);
    if (status != HE_OK) {
        opencl_program_destroy(program);
        return status;
    }
    *out = program;
    return HE_OK;
}

void opencl_program_destroy(struct opencl_program *program)
{
    const struct he_allocator *alloc;
    struct opencl_device *dev;

    if (!program)
        return;
    dev = program->dev;
    alloc = &dev->alloc;
    for (uint32_t k = 0; k < program->program_count; k++)
        if (program->programs[k])
            dev->cl->clReleaseProgram(program->programs[k]);
    opencl_free(alloc, program->programs);
    for (uint32_t k = 0; k < program->constant_count; k++)
        opencl_buffer_destroy(dev, program->constants[k].buffer);
    for (uint32_t k = 0; k < program->kernel_count; k++)
        opencl_free(alloc, program->bodies[k]);
    opencl_free(alloc, program->constants);
    opencl_free(alloc, program->bodies);
    opencl_free(alloc, program->steps);
    opencl_free(alloc, program);
}
