/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program tied to memory. Slots are an array of pointers, so that moving an
 * input is one store; running is a loop over steps that neither allocates nor
 * locks while shapes are static.
 */
#include "program.h"

#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

he_status cpu_instance_create(const struct cpu_program *program, struct cpu_instance **out)
{
    const struct he_allocator *alloc = &program->alloc;
    uint32_t slot_count = program->region->slot_count, k;
    struct cpu_instance *instance;
    const struct cpu_step *step;
    he_status status;

    *out = NULL;
    instance = cpu_alloc(alloc, 1, sizeof *instance);
    if (!instance)
        return cpu_no_memory();
    instance->program = program;
    instance->slots = cpu_alloc(alloc, slot_count, sizeof *instance->slots);
    instance->dynamic = cpu_alloc(alloc, slot_count, sizeof *instance->dynamic);
    instance->states = cpu_alloc(alloc, program->step_count, sizeof *instance->states);
    if (!instance->slots || !instance->dynamic || !instance->states) {
        status = cpu_no_memory();
        goto destroy;
    }
    instance->frame = (struct cpu_frame){
        .slots = instance->slots, .team = program->team, .dynamic = instance->dynamic };
    for (k = 0; k < program->step_count; k++) {
        step = program->steps[k];
        if (!step->ops->bind)
            continue;
        status = step->ops->bind(step, &instance->states[k]);
        if (status != HE_OK) {
            instance->states[k] = NULL;
            goto destroy;
        }
    }
    *out = instance;
    return HE_OK;

destroy:
    cpu_instance_destroy(instance);
    return status;
}

void cpu_instance_destroy(struct cpu_instance *instance)
{
    const struct cpu_program *program;
    const struct cpu_step *step;
    uint32_t k;

    if (!instance)
        return;
    program = instance->program;
    for (k = 0; instance->states && k < program->step_count; k++) {
        step = program->steps[k];
        if (instance->states[k] && step->ops->unbind)
            step->ops->unbind(step, instance->states[k]);
    }
    cpu_free(&program->alloc, instance->states);
    cpu_free(&program->alloc, instance->dynamic);
    cpu_free(&program->alloc, instance->slots);
    cpu_free(&program->alloc, instance);
}

void cpu_instance_set(struct cpu_instance *instance, uint32_t slot,
                      const struct he_binding *binding)
{
    const struct he_region *region = instance->program->region;
    uint32_t root = region->slots[slot].alias, k;

    instance->dynamic[slot] = binding->dynamic;
    instance->slots[slot] = binding->buffer ? (char *)binding->buffer + binding->offset : NULL;
    if (binding->dynamic)
        return;
    if (!binding->buffer && root != HE_NONE)
        instance->slots[slot] = instance->slots[root];
    if (!instance->program->has_alias[slot])
        return;
    /* Views of the moved slot move along, and views of those. */
    for (k = 0; k < region->slot_count; k++)
        if (region->slots[k].alias == slot && instance->slots[k] != instance->slots[slot])
            cpu_instance_set(instance, k, binding);
}

static he_status run_step(struct cpu_instance *instance, uint32_t k)
{
    const struct cpu_step *step = instance->program->steps[k];

    return step->ops->run(step, instance->states[k], &instance->frame);
}

he_status cpu_instance_run(struct cpu_instance *instance, uint64_t *task_ns)
{
    uint32_t count = instance->program->step_count, k;
    he_status status = HE_OK;
    uint64_t begin, end;

    if (!task_ns) {
        for (k = 0; k < count && status == HE_OK; k++)
            status = run_step(instance, k);
        return status;
    }
    begin = now_ns();
    for (k = 0; k < count && status == HE_OK; k++) {
        status = run_step(instance, k);
        end = now_ns();
        task_ns[k] = end - begin;
        begin = end;
    }
    return status;
}
