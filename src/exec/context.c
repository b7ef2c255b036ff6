/* SPDX-License-Identifier: Apache-2.0 */
/* One request's memory: an arena per memory, programs bound to it, counters. */
#include <string.h>

#include "exec/exec.h"

/* The open device buffers of @memory come from; NULL: nobody needs any. */
static struct he_device *memory_device(const struct he_session *session, uint32_t memory)
{
    uint32_t device = session->plan->memories[memory].device;

    return device == HE_NONE ? NULL : session->devs[device];
}

struct he_place_ref he_context_locate(const struct run_context *context, uint32_t home)
{
    const struct he_plan *plan = context->session->plan;
    const struct he_home *root = &plan->homes[plan->homes[home].root];
    size_t shift = plan->homes[home].shift;

    switch (root->kind) {
    case HE_HOME_INPUT:
        return (struct he_place_ref){ NULL, context->inputs[root->index], shift };
    case HE_HOME_OUTPUT:
        return (struct he_place_ref){ NULL, context->outputs[root->index], shift };
    case HE_HOME_DYNAMIC:
        return (struct he_place_ref){ NULL, context->dynamics[root->index].data, 0 };
    case HE_HOME_ARENA:
        break;
    }
    return (struct he_place_ref){ memory_device(context->session, root->memory),
                                  context->arenas[root->memory], root->offset + shift };
}

static struct he_binding binding_of(const struct run_context *context, uint32_t home)
{
    const struct he_plan *plan = context->session->plan;
    const struct he_home *root = &plan->homes[plan->homes[home].root];
    struct he_place_ref ref = he_context_locate(context, home);
    struct he_binding binding = { .buffer = ref.buffer, .offset = ref.offset };

    if (root->kind == HE_HOME_DYNAMIC)
        binding = (struct he_binding){ .dynamic = &context->dynamics[root->index] };
    return binding;
}

static he_status bind_region(struct run_context *context, uint32_t r)
{
    struct he_session *session = context->session;
    const struct he_plan_region *region = &session->plan->regions[r];
    struct lane *lane = &session->lanes[region->lane];
    struct he_binding *bindings;
    he_status status;

    bindings = he_alloc(&session->arena.alloc, region->view.slot_count, sizeof *bindings);
    if (!bindings)
        return he_no_memory();
    for (uint32_t k = 0; k < region->view.slot_count; k++)
        bindings[k] = binding_of(context, region->slot_homes[k]);
    status = he_device_bind(lane->dev, session->programs[r], bindings, lane->workspace, 0,
                            &context->instances[r]);
    he_free(&session->arena.alloc, bindings);
    return status;
}

static he_status alloc_arenas(struct run_context *context)
{
    struct he_session *session = context->session;
    const struct he_plan *plan = session->plan;

    for (uint32_t m = 0; m < plan->memory_count; m++) {
        struct he_device *dev = memory_device(session, m);
        he_status status;

        if (!dev || plan->memories[m].arena_bytes == 0)
            continue;
        status = he_device_buffer_alloc(dev, plan->memories[m].arena_bytes, &context->arenas[m]);
        if (status != HE_OK)
            return he_error_prefix(status, "%zu bytes for activations on %s",
                                   plan->memories[m].arena_bytes,
                                   plan->machine->devices[plan->memories[m].device].id);
    }
    return HE_OK;
}

he_status he_context_init(struct he_session *session, struct run_context *context)
{
    const struct he_graph *border = session->border;
    struct he_arena *arena = &session->arena;

    context->inputs = he_arena_alloc(arena, border->input_count, sizeof *context->inputs);
    context->input_copies = he_arena_alloc(arena, border->input_count,
                                           sizeof *context->input_copies);
    context->outputs = he_arena_alloc(arena, border->output_count, sizeof *context->outputs);
    return context->inputs && context->input_copies && context->outputs ? HE_OK : he_no_memory();
}

void he_context_fini(struct run_context *context)
{
    struct he_session *session = context->session;

    for (uint32_t k = 0; context->input_copies && k < session->border->input_count; k++)
        he_free(&session->arena.alloc, context->input_copies[k]);
}

he_status he_context_furnish(struct run_context *context)
{
    struct he_session *session = context->session;
    const struct he_plan *plan = session->plan;
    struct he_arena *room = &session->room;
    he_status status;

    context->arenas = he_arena_alloc(room, plan->memory_count, sizeof *context->arenas);
    context->instances = he_arena_alloc(room, plan->region_count, sizeof *context->instances);
    context->dynamics = he_arena_alloc(room, plan->dynamic_count, sizeof *context->dynamics);
    context->pending = he_arena_alloc(room, plan->step_count, sizeof *context->pending);
    if (!context->arenas || !context->instances || !context->dynamics || !context->pending)
        return he_no_memory();
    if (session->staging_bytes) {
        context->staging = he_alloc(&room->alloc, session->staging_bytes, 1);
        if (!context->staging)
            return he_no_memory();
    }
    status = alloc_arenas(context);
    for (uint32_t r = 0; r < plan->region_count && status == HE_OK; r++)
        status = bind_region(context, r);
    return status;
}

void he_context_clear(struct run_context *context)
{
    struct he_session *session = context->session;
    const struct he_allocator *alloc = &session->room.alloc;
    const struct he_plan *plan = session->plan;

    for (uint32_t r = 0; context->instances && r < plan->region_count; r++)
        he_device_instance_free(session->lanes[plan->regions[r].lane].dev, context->instances[r]);
    for (uint32_t m = 0; context->arenas && m < plan->memory_count; m++) {
        struct he_device *dev = memory_device(session, m);

        if (dev)
            he_device_buffer_free(dev, context->arenas[m]);
    }
    for (uint32_t d = 0; context->dynamics && d < plan->dynamic_count; d++)
        he_free(alloc, context->dynamics[d].data);
    he_free(alloc, context->staging);
    context->instances = NULL;
    context->arenas = NULL;
    context->dynamics = NULL;
    context->pending = NULL;
    context->staging = NULL;
}

he_status he_context_arm(struct run_context *context)
{
    struct he_session *session = context->session;
    const struct he_plan *plan = session->plan;

    for (uint32_t s = 0; s < plan->step_count; s++)
        atomic_store_explicit(&context->pending[s], plan->steps[s].wait_count,
                              memory_order_relaxed);
    atomic_store(&context->status, HE_OK);
    atomic_store(&context->lanes_left, plan->lane_count);
    for (size_t k = 0; k < session->border_slot_count; k++) {
        const struct border_slot *border = &session->border_slots[k];
        struct he_binding binding = { .buffer = border->is_input ? context->inputs[border->index]
                                                                 : context->outputs[border->index],
                                      .offset = border->shift };
        he_status status;

        status = he_device_instance_set(session->lanes[plan->regions[border->region].lane].dev,
                                        context->instances[border->region], border->slot, &binding);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

void he_context_fail(struct run_context *context, he_status status)
{
    uint32_t none = HE_OK;

    /* Only who sets the status writes the message; it is read after completion. */
    if (atomic_compare_exchange_strong(&context->status, &none, (uint32_t)status)) {
        strncpy(context->message, he_error_message(), sizeof context->message - 1);
        context->message[sizeof context->message - 1] = '\0';
    }
}
