/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region as the core sees it: runs of ordinary tasks, each run one program made beforehand, and
 * late tasks (late.c) between them. Most regions are one run.
 */
#include <time.h>

#include "late.h"

struct part {
    struct he_region region; /* the same slots, some of the tasks */
    uint32_t first;          /* its first task, in the whole region */
    struct opencl_program *program; /* NULL: one late task */
};

struct opencl_parts {
    struct opencl_device *dev;
    const struct he_region *region;
    struct part *parts;
    uint32_t count;
};

struct opencl_parts_instance {
    const struct opencl_parts *parts;
    struct opencl_held *held;             /* per slot */
    struct opencl_instance **instances;   /* per part; NULL for late ones */
    struct opencl_late **late;            /* per part; NULL for ordinary ones */
};

static bool is_late(const struct he_region *region, uint32_t t)
{
    return opencl_task_is_late(region->graph, &region->graph->tasks[region->tasks[t]]);
}

he_status opencl_parts_create(struct opencl_device *dev, const struct he_region *region,
                              const char *const *ways, struct opencl_parts **out)
{
    struct opencl_parts *parts = opencl_alloc(&dev->alloc, 1, sizeof *parts);
    he_status status = HE_OK;

    *out = NULL;
    if (!parts)
        return opencl_no_memory();
    *parts = (struct opencl_parts){ .dev = dev, .region = region };
    parts->parts = opencl_alloc(&dev->alloc, region->task_count, sizeof *parts->parts);
    if (!parts->parts) {
        opencl_parts_destroy(parts);
        return opencl_no_memory();
    }
    for (uint32_t t = 0; t < region->task_count && status == HE_OK;) {
        struct part *part = &parts->parts[parts->count++];
        uint32_t end = t + 1;

        part->first = t;
        while (!is_late(region, t) && end < region->task_count && !is_late(region, end))
            end++;
        part->region = *region;
        part->region.tasks = region->tasks + t;
        part->region.task_count = end - t;
        if (!is_late(region, t))
            status = opencl_program_create(dev, &part->region, ways ? ways + t : NULL,
                                           &part->program);
        t = end;
    }
    if (status != HE_OK) {
        opencl_parts_destroy(parts);
        return status;
    }
    *out = parts;
    return HE_OK;
}

void opencl_parts_destroy(struct opencl_parts *parts)
{
    if (!parts)
        return;
    for (uint32_t p = 0; p < parts->count; p++)
        opencl_program_destroy(parts->parts[p].program);
    opencl_free(&parts->dev->alloc, parts->parts);
    opencl_free(&parts->dev->alloc, parts);
}

void opencl_parts_info(const struct opencl_parts *parts, struct he_program_info *out)
{
    out->workspace_bytes = out->constant_bytes = 0;
    for (uint32_t p = 0; p < parts->count; p++) {
        const struct opencl_program *program = parts->parts[p].program;

        if (!program)
            continue;
        out->constant_bytes += program->constant_bytes;
        if (program->workspace_bytes > out->workspace_bytes)
            out->workspace_bytes = program->workspace_bytes;
    }
}

he_status opencl_parts_bind(const struct opencl_parts *parts, const struct he_binding *bindings,
                            struct opencl_buffer *workspace, size_t workspace_offset,
                            struct opencl_parts_instance **out)
{
    const struct he_allocator *alloc = &parts->dev->alloc;
    const struct he_region *region = parts->region;
    struct opencl_parts_instance *instance = opencl_alloc(alloc, 1, sizeof *instance);
    he_status status = HE_OK;

    *out = NULL;
    if (!instance)
        return opencl_no_memory();
    instance->parts = parts;
    instance->held = opencl_alloc(alloc, region->slot_count, sizeof *instance->held);
    instance->instances = opencl_alloc(alloc, parts->count, sizeof *instance->instances);
    instance->late = opencl_alloc(alloc, parts->count, sizeof *instance->late);
    if (!instance->held || !instance->instances || !instance->late)
        status = opencl_no_memory();
    for (uint32_t k = 0; k < region->slot_count && status == HE_OK; k++) {
        uint32_t root = region->slots[k].alias;

        instance->held[k].binding = bindings[k];
        if (!bindings[k].buffer && !bindings[k].dynamic && root != HE_NONE)
            instance->held[k].binding = bindings[root];
    }
    for (uint32_t p = 0; p < parts->count && status == HE_OK; p++) {
        const struct part *part = &parts->parts[p];

        status = part->program
                     ? opencl_instance_create(part->program, bindings, workspace, workspace_offset,
                                              &instance->instances[p])
                     : opencl_late_create(parts->dev, region, part->first, &instance->late[p]);
    }
    if (status != HE_OK) {
        opencl_parts_unbind(instance);
        return status;
    }
    *out = instance;
    return HE_OK;
}

void opencl_parts_unbind(struct opencl_parts_instance *instance)
{
    const struct opencl_parts *parts;
    const struct he_allocator *alloc;

    if (!instance)
        return;
    parts = instance->parts;
    alloc = &parts->dev->alloc;
    for (uint32_t p = 0; p < parts->count; p++) {
        if (instance->instances)
            opencl_instance_destroy(instance->instances[p]);
        if (instance->late)
            opencl_late_destroy(instance->late[p]);
    }
    for (uint32_t k = 0; instance->held && k < parts->region->slot_count; k++)
        opencl_buffer_destroy(parts->dev, instance->held[k].buffer);
    opencl_free(alloc, instance->held);
    opencl_free(alloc, instance->instances);
    opencl_free(alloc, instance->late);
    opencl_free(alloc, instance);
}

he_status opencl_parts_set(struct opencl_parts_instance *instance, uint32_t slot,
                           const struct he_binding *binding)
{
    const struct opencl_parts *parts = instance->parts;
    const struct he_region *region = parts->region;
    he_status status = HE_OK;

    if (slot >= region->slot_count)
        return he_error_set(HE_ERR_INVALID, "slot %u: the region has %u", slot,
                            region->slot_count);
    for (uint32_t k = 0; k < region->slot_count; k++)
        if (k == slot || region->slots[k].alias == slot)
            instance->held[k].binding = *binding;
    for (uint32_t p = 0; p < parts->count && status == HE_OK; p++)
        if (instance->instances[p])
            status = opencl_instance_set(instance->instances[p], slot, binding);
    return status;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

he_status opencl_parts_launch(struct opencl_parts_instance *instance, uint64_t *task_ns)
{
    const struct opencl_parts *parts = instance->parts;
    he_status status = HE_OK;

    for (uint32_t k = 0; k < parts->region->slot_count; k++)
        instance->held[k].is_there = false;
    for (uint32_t p = 0; p < parts->count && status == HE_OK; p++) {
        uint64_t *part_ns = task_ns ? task_ns + parts->parts[p].first : NULL, begin;

        if (instance->instances[p]) {
            status = opencl_instance_launch(instance->instances[p], part_ns);
            continue;
        }
        begin = part_ns ? now_ns() : 0;
        status = opencl_late_run(instance->late[p], instance->held);
        if (part_ns)
            *part_ns = now_ns() - begin;
    }
    return status;
}
