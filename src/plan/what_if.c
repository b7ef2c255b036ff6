/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan for a machine that is a little different: faster links, more memory,
 * one device more or less. Each is a copy of the problem with some arrays
 * replaced, placed by the same strategy with a fixed amount of work.
 */
#include <math.h>
#include <string.h>

#include "core/size.h"
#include "plan/explain.h"

#define GIGABYTE 1e9

/* The outcomes, as they come. */
struct changes {
    const struct he_plan *plan;
    struct he_arena *arena; /* of the outcomes */
    struct he_what_if *list;
    size_t count, capacity;
};

/* Where tasks are, by @placement on @changed; ids are made ours, since @changed goes. */
static he_status record_devices(struct changes *c, const struct he_problem *changed,
                                const uint32_t *device, struct he_what_if *out)
{
    const struct he_problem *p = c->plan->problem;

    out->device = he_arena_alloc(c->arena, p->task_count, sizeof *out->device);
    if (!out->device)
        return he_no_memory();
    for (uint32_t t = 0; t < p->task_count; t++) {
        uint32_t j = device[t];

        if (j < p->device_count) {
            out->device[t] = p->devices[j].id;
            out->moved += j != c->plan->placement.device[t];
            continue;
        }
        out->moved++;
        out->device[t] = he_arena_string(c->arena, changed->devices[j].id,
                                         strlen(changed->devices[j].id));
        if (!out->device[t])
            return he_no_memory();
    }
    return HE_OK;
}

/* Plans for @changed; the plan there is stays when it is as good. */
static he_status try_change(struct changes *c, const struct he_problem *changed,
                            const char *words, uint32_t removed)
{
    const struct he_plan *plan = c->plan;
    struct he_place_options options = { .objective = plan->objective };
    struct he_what_if outcome = { .change = words, .value = INFINITY,
                                  .removed = removed };
    struct he_placement placement;
    struct he_schedule schedule;
    struct he_arena scratch;
    he_status status;

    he_arena_init(&scratch, &plan->arena.alloc);
    status = he_place_evaluate(changed, &plan->placement, &scratch, &schedule);
    if (status == HE_OK) {
        outcome.value = he_schedule_value(&schedule, plan->objective);
        status = record_devices(c, changed, plan->placement.device, &outcome);
    } else if (status == HE_ERR_BUDGET) {
        status = HE_OK;
    }
    if (status == HE_OK)
        status = he_place(changed, strcmp(plan->strategy, "saved") == 0 ? "portfolio" : plan->strategy,
                          &options, &scratch, &placement, &schedule);
    if (status == HE_OK &&
        he_schedule_value(&schedule, plan->objective) < outcome.value * (1.0 - 1e-9)) {
        outcome.value = he_schedule_value(&schedule, plan->objective);
        outcome.moved = 0;
        status = record_devices(c, changed, placement.device, &outcome);
    }
    if (status == HE_ERR_BUDGET || status == HE_ERR_UNSUPPORTED)
        status = HE_OK;
    he_arena_fini(&scratch);
    if (status != HE_OK)
        return status;
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? c->capacity * 2 : 8;
        struct he_what_if *grown = he_arena_alloc(c->arena, capacity, sizeof *grown);

        if (!grown)
            return he_no_memory();
        if (c->count)
            memcpy(grown, c->list, c->count * sizeof *grown);
        c->list = grown;
        c->capacity = capacity;
    }
    c->list[c->count++] = outcome;
    return HE_OK;
}

static he_status try_faster_links(struct changes *c)
{
    struct he_problem changed = *c->plan->problem;
    size_t pairs = (size_t)changed.device_count * changed.device_count;
    bool has_link = false;
    struct he_arena scratch;
    he_status status = HE_OK;

    he_arena_init(&scratch, &c->plan->arena.alloc);
    changed.links = he_arena_copy(&scratch, changed.links, pairs * sizeof *changed.links);
    if (!changed.links)
        status = he_no_memory();
    for (size_t k = 0; status == HE_OK && k < pairs; k++) {
        has_link |= !changed.links[k].is_free && isfinite(changed.links[k].bandwidth) &&
                    k / changed.device_count != k % changed.device_count;
        changed.links[k].bandwidth *= 2;
    }
    if (status == HE_OK && has_link)
        status = try_change(c, &changed, "links twice as fast", HE_NONE);
    he_arena_fini(&scratch);
    return status;
}

static he_status try_more_memory(struct changes *c)
{
    struct he_problem changed = *c->plan->problem;
    bool has_limit = false;
    struct he_arena scratch;
    he_status status = HE_OK;

    he_arena_init(&scratch, &c->plan->arena.alloc);
    changed.devices =
        he_arena_copy(&scratch, changed.devices, changed.device_count * sizeof *changed.devices);
    changed.weight_limit = he_arena_copy(&scratch, changed.weight_limit,
                                         changed.device_count * sizeof *changed.weight_limit);
    if (!changed.devices || !changed.weight_limit)
        status = he_no_memory();
    for (uint32_t j = 0; status == HE_OK && j < changed.device_count; j++) {
        has_limit |= isfinite(changed.devices[j].memory_bytes);
        changed.devices[j].memory_bytes += GIGABYTE;
        changed.weight_limit[j] += GIGABYTE;
    }
    if (status == HE_OK && has_limit)
        status = try_change(c, &changed, "1 GB more memory on each device", HE_NONE);
    he_arena_fini(&scratch);
    return status;
}

static he_status try_without(struct changes *c, uint32_t device)
{
    struct he_problem changed = *c->plan->problem;
    size_t cells = (size_t)changed.task_count * changed.device_count;
    const char *words = he_arena_printf(c->arena, "without %s", changed.devices[device].id);
    struct he_arena scratch;
    he_status status = words ? HE_OK : he_no_memory();

    he_arena_init(&scratch, &c->plan->arena.alloc);
    changed.time = he_arena_copy(&scratch, changed.time, cells * sizeof *changed.time);
    if (!changed.time)
        status = he_no_memory();
    for (uint32_t t = 0; status == HE_OK && t < changed.task_count; t++)
        changed.time[(size_t)t * changed.device_count + device] = HE_CANNOT_RUN;
    if (status == HE_OK)
        status = try_change(c, &changed, words, device);
    he_arena_fini(&scratch);
    return status;
}

/* --- One more device --- */

/* Rows of @width numbers get one more: a copy of that in column @like. */
static double *widen(struct he_arena *arena, const double *rows, size_t row_count, uint32_t width,
                     uint32_t like)
{
    double *out = he_arena_alloc(arena, row_count, ((size_t)width + 1) * sizeof *out);

    for (size_t r = 0; out && r < row_count; r++) {
        memcpy(out + r * (width + 1), rows + r * width, width * sizeof *out);
        out[r * (width + 1) + width] = rows[r * width + like];
    }
    return out;
}

/* The new device is linked as its model is; between the two, like the best link the model has to one
 * of its own kind, else to any. */
static struct he_place_link link_to_twin(const struct he_problem *p, uint32_t like)
{
    struct he_place_link link = { .is_free = true, .bandwidth = INFINITY };
    bool is_own_kind = false, has_link = false;

    for (uint32_t j = 0; j < p->device_count; j++) {
        const struct he_place_link *other = &p->links[(size_t)like * p->device_count + j];
        bool own = strcmp(p->devices[j].kind, p->devices[like].kind) == 0;

        if (j == like || (has_link && (is_own_kind > own ||
                          (is_own_kind == own && other->bandwidth <= link.bandwidth))))
            continue;
        link = *other;
        is_own_kind = own;
        has_link = true;
    }
    return link;
}

static he_status widen_machine(const struct he_problem *p, uint32_t like, struct he_arena *arena,
                               struct he_problem *out)
{
    uint32_t width = p->device_count, next = 0;

    out->device_count = width + 1;
    out->devices = he_arena_alloc(arena, width + 1, sizeof *out->devices);
    out->links = he_arena_alloc(arena, (size_t)width + 1, (width + 1) * sizeof *out->links);
    out->time = widen(arena, p->time, p->task_count, width, like);
    if (!out->devices || !out->links || !out->time)
        return he_no_memory();
    memcpy(out->devices, p->devices, width * sizeof *out->devices);
    out->devices[width] = p->devices[like];
    for (uint32_t j = 0; j < width; j++) {
        next = p->devices[j].server > next ? p->devices[j].server : next;
        next = p->devices[j].memory_node > next ? p->devices[j].memory_node : next;
        memcpy(out->links + (size_t)j * (width + 1), p->links + (size_t)j * width,
               width * sizeof *out->links);
        out->links[(size_t)j * (width + 1) + width] = p->links[(size_t)j * width + like];
        out->links[(size_t)width * (width + 1) + j] = p->links[(size_t)like * width + j];
    }
    out->links[(size_t)like * (width + 1) + width] = link_to_twin(p, like);
    out->links[(size_t)width * (width + 1) + like] = link_to_twin(p, like);
    out->links[(size_t)width * (width + 1) + width] = (struct he_place_link){ .is_free = true };
    out->devices[width].server = next + 1;
    /* Devices of one memory gain a sibling there; others bring their own. */
    out->devices[width].memory_node = next + 1;
    for (uint32_t j = 0; j < width; j++) {
        if (j != like && p->devices[j].memory_node == p->devices[like].memory_node)
            out->devices[width].memory_node = p->devices[like].memory_node;
    }
    out->devices[width].id = he_arena_printf(arena, "another %s", p->devices[like].id);
    return out->devices[width].id ? HE_OK : he_no_memory();
}

/* The new device disturbs the others, and is disturbed, as the one it is like. */
static double *widen_pairs(struct he_arena *arena, const double *pairs, uint32_t width,
                           uint32_t like)
{
    double *wide = he_arena_alloc(arena, (size_t)width + 1, (width + 1) * sizeof *wide);

    for (uint32_t j = 0; wide && j <= width; j++) {
        const double *row = pairs + (size_t)(j < width ? j : like) * width;

        memcpy(wide + (size_t)j * (width + 1), row, width * sizeof *row);
        wide[(size_t)j * (width + 1) + width] = row[like];
    }
    return wide;
}

static he_status widen_company(const struct he_problem *p, uint32_t like, struct he_arena *arena,
                               struct he_problem *out)
{
    uint32_t width = p->device_count;
    struct he_place_company *company;

    if (!p->company)
        return HE_OK;
    company = he_arena_copy(arena, p->company, sizeof *company);
    out->company = company;
    if (!company)
        return he_no_memory();
    company->slowdown_compute = widen_pairs(arena, company->slowdown_compute, width, like);
    company->slowdown_memory = widen_pairs(arena, company->slowdown_memory, width, like);
    company->memory_share = widen(arena, company->memory_share, p->task_count, width, like);
    if (company->fetch_seconds)
        company->fetch_seconds = widen_pairs(arena, company->fetch_seconds, width, like);
    if (!company->slowdown_compute || !company->slowdown_memory || !company->memory_share ||
        (p->company->fetch_seconds && !company->fetch_seconds))
        return he_no_memory();
    return HE_OK;
}

static he_status widen_resources(const struct he_problem *p, uint32_t like, struct he_arena *arena,
                                 struct he_problem *out)
{
    if (p->launch) {
        out->launch = widen(arena, p->launch, 1, p->device_count, like);
        if (!out->launch)
            return he_no_memory();
    }
    if (p->waking) {
        out->waking = widen(arena, p->waking, 1, p->device_count, like);
        if (!out->waking)
            return he_no_memory();
    }
    out->resources = he_arena_copy(arena, p->resources, p->resource_count * sizeof *p->resources);
    if (!out->resources && p->resource_count)
        return he_no_memory();
    for (size_t r = 0; r < p->resource_count; r++) {
        struct he_place_resource *resource = &out->resources[r];

        resource->amount = widen(arena, resource->amount, p->task_count, p->device_count, like);
        if (resource->device_limits)
            resource->device_limits = widen(arena, resource->device_limits, 1, p->device_count, like);
        if (!resource->amount || (p->resources[r].device_limits && !resource->device_limits))
            return he_no_memory();
    }
    return HE_OK;
}

static he_status try_one_more(struct changes *c, uint32_t like)
{
    const struct he_problem *p = c->plan->problem;
    struct he_problem changed = *p;
    const char *words = he_arena_printf(c->arena, "one more %s", p->devices[like].id);
    he_status status = words ? HE_OK : he_no_memory();

    /* The index is made anew in an arena of its own. */
    he_arena_init(&changed.arena, &c->plan->arena.alloc);
    if (status == HE_OK)
        status = widen_machine(p, like, &changed.arena, &changed);
    if (status == HE_OK)
        status = widen_resources(p, like, &changed.arena, &changed);
    if (status == HE_OK)
        status = widen_company(p, like, &changed.arena, &changed);
    if (status == HE_OK)
        status = he_problem_index(&changed);
    if (status == HE_OK)
        status = try_change(c, &changed, words, HE_NONE);
    he_arena_fini(&changed.arena);
    return status;
}

/* The first device of each kind stands for the others. */
static bool is_first_of_kind(const struct he_problem *p, uint32_t device)
{
    for (uint32_t j = 0; j < device; j++) {
        if (strcmp(p->devices[j].kind, p->devices[device].kind) == 0)
            return false;
    }
    return true;
}

he_status he_plan_what_if(const struct he_plan *plan, struct he_arena *arena,
                          struct he_what_if **out, size_t *count)
{
    const struct he_problem *p = plan->problem;
    struct changes c = { .plan = plan, .arena = arena };
    he_status status = try_faster_links(&c);

    if (status == HE_OK)
        status = try_more_memory(&c);
    for (uint32_t j = 0; status == HE_OK && j < p->device_count; j++) {
        if (is_first_of_kind(p, j))
            status = try_one_more(&c, j);
    }
    for (uint32_t j = 0; status == HE_OK && p->device_count > 1 && j < p->device_count; j++) {
        if (is_first_of_kind(p, j))
            status = try_without(&c, j);
    }
    *out = c.list;
    *count = c.count;
    return status;
}
