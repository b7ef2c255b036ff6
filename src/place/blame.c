/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing fits: one limit after the other is lifted to find the one to blame, and the
 * least it would have to be.
 */
#include "planner.h"

/* In the order they are tried: what the user set first, what the devices have last. */
enum blame {
    BLAME_PRICE,
    BLAME_POWER,
    BLAME_RESOURCE,
    BLAME_DEVICE_RESOURCE,
    BLAME_TOTAL_MEMORY,
    BLAME_MEMORY
};

/* @p with one of its limits: what devices have of memory or a resource times @value, the others
 * equal to @value. */
static he_status with_limit(const struct he_problem *p, enum blame blame, size_t resource,
                            double value, struct he_arena *arena, struct he_problem *out)
{
    *out = *p;
    switch (blame) {
    case BLAME_MEMORY:
        out->devices = he_arena_copy(arena, p->devices, p->device_count * sizeof *p->devices);
        out->weight_limit = he_arena_alloc(arena, p->device_count, sizeof *p->weight_limit);
        if (!out->devices || !out->weight_limit)
            return he_no_memory();
        for (uint32_t j = 0; j < p->device_count; j++) {
            out->devices[j].memory_bytes *= value;
            if (isnan(out->devices[j].memory_bytes)) /* 0 times infinity */
                out->devices[j].memory_bytes = INFINITY;
            out->weight_limit[j] = out->devices[j].memory_bytes;
        }
        return HE_OK;
    case BLAME_TOTAL_MEMORY:
        out->limits.memory_bytes = value;
        return HE_OK;
    case BLAME_POWER:
        out->limits.power_watts = value;
        return HE_OK;
    case BLAME_PRICE:
        out->limits.price_per_hour = value;
        return HE_OK;
    case BLAME_RESOURCE:
        out->resources =
            he_arena_copy(arena, p->resources, p->resource_count * sizeof *p->resources);
        if (!out->resources)
            return he_no_memory();
        out->resources[resource].limit = value;
        return HE_OK;
    case BLAME_DEVICE_RESOURCE:
        out->resources =
            he_arena_copy(arena, p->resources, p->resource_count * sizeof *p->resources);
        if (!out->resources)
            return he_no_memory();
        out->resources[resource].device_limits = NULL;
        for (uint32_t j = 0; j < p->device_count; j++) {
            double has = p->resources[resource].device_limits[j];

            if (he_resource_limit_device(&out->resources[resource], j,
                                         isinf(has) ? has : has * value, p->device_count,
                                         arena) != HE_OK)
                return he_no_memory();
        }
        return HE_OK;
    }
    return HE_OK;
}

/* What the found plan uses of the limit to blame. */
static double used(const struct he_problem *p, enum blame blame, size_t resource,
                   const struct he_contest *c)
{
    double sum = 0.0, ratio = 1.0;

    for (uint32_t j = 0; j < p->device_count; j++) {
        bool has_task = false;

        for (uint32_t t = 0; t < p->task_count && !has_task; t++)
            has_task = c->device[t] == j;
        if (blame == BLAME_TOTAL_MEMORY)
            sum += c->judge.peak_bytes[j];
        else if (blame == BLAME_POWER && has_task)
            sum += p->devices[j].busy_watts;
        else if (blame == BLAME_PRICE && has_task)
            sum += p->devices[j].price_per_hour;
        else if (blame == BLAME_MEMORY && c->judge.peak_bytes[j] > 0.0)
            ratio = fmax(ratio, c->judge.peak_bytes[j] / p->devices[j].memory_bytes);
    }
    for (uint32_t t = 0; blame == BLAME_RESOURCE && t < p->task_count; t++)
        sum += p->resources[resource].amount[(size_t)t * p->device_count + c->device[t]];
    for (uint32_t j = 0; blame == BLAME_DEVICE_RESOURCE && j < p->device_count; j++) {
        double takes = 0.0;

        for (uint32_t t = 0; t < p->task_count; t++) {
            if (c->device[t] == j)
                takes += p->resources[resource].amount[(size_t)t * p->device_count + j];
        }
        if (takes > 0.0)
            ratio = fmax(ratio, takes / p->resources[resource].device_limits[j]);
    }
    return blame == BLAME_MEMORY || blame == BLAME_DEVICE_RESOURCE ? ratio : sum;
}

/* Whether anything fits under that limit, and what it uses then. */
static he_status try_limit(const struct he_problem *p, enum blame blame, size_t resource,
                           double value, bool *fits, double *use)
{
    struct he_arena arena;
    struct he_problem changed;
    struct he_contest contest = {0};
    struct he_planner planner = {.problem = &changed, .run = he_policy_fit, .contest = &contest};
    he_status status;

    *fits = false;
    he_arena_init(&arena, &p->arena.alloc);
    status = with_limit(p, blame, resource, value, &arena, &changed);
    changed.limits.latency = INFINITY; /* a matter of its own */
    if (status == HE_OK)
        status = he_contest_init(&contest, &changed, HE_OBJECTIVE_COST, &arena);
    if (status == HE_OK)
        status = he_planner_run(&planner);
    if (status == HE_OK && contest.has_best) {
        *fits = true;
        status = he_judge_run(&contest.judge, contest.device, contest.order, true);
        *use = used(p, blame, resource, &contest);
    }
    he_contest_fini(&contest);
    he_arena_fini(&arena);
    return status;
}

/* Halves the distance between what is too little and what is known to do. */
static he_status least_limit(const struct he_problem *p, enum blame blame, size_t resource,
                             double too_little, double enough, double *least)
{
    for (int step = 0; step < 12 && enough - too_little > 1e-6 * enough; step++) {
        double middle = too_little + (enough - too_little) / 2.0, use = 0.0;
        bool fits;
        he_status status = try_limit(p, blame, resource, middle, &fits, &use);

        if (status != HE_OK)
            return status;
        if (fits)
            enough = use;
        else
            too_little = middle;
    }
    *least = enough;
    return HE_OK;
}

static he_status blame_error(const struct he_problem *p, enum blame blame, size_t resource,
                             double least)
{
    const struct he_place_device *d = &p->devices[0];
    double has = 0.0;

    switch (blame) {
    case BLAME_MEMORY:
        for (uint32_t j = 0; j < p->device_count && isinf(d->memory_bytes); j++)
            d = &p->devices[j];
        has = d->usable > 0.0 ? d->memory_bytes / d->usable : d->memory_bytes;
        return he_error_set(HE_ERR_BUDGET,
                            "no plan fits the devices' memory: %.6g times as much on every device "
                            "would do (%.0f bytes instead of %.0f on %s)",
                            least, ceil(least * has), has, d->id);
    case BLAME_TOTAL_MEMORY:
        return he_error_set(HE_ERR_BUDGET,
                            "no plan fits the budget memory=%.0f: memory=%.0f would do",
                            p->limits.memory_bytes, ceil(least));
    case BLAME_POWER:
        return he_error_set(HE_ERR_BUDGET, "no plan fits the budget power=%gW: power=%gW would do",
                            p->limits.power_watts, least);
    case BLAME_PRICE:
        return he_error_set(HE_ERR_BUDGET,
                            "no plan fits the budget price=%g/h: price=%g/h would do",
                            p->limits.price_per_hour, least);
    case BLAME_RESOURCE:
        return he_error_set(HE_ERR_BUDGET, "no plan fits the budget %s=%g: %s=%g would do",
                            p->resources[resource].name, p->resources[resource].limit,
                            p->resources[resource].name, least);
    case BLAME_DEVICE_RESOURCE:
        for (uint32_t j = 0; j < p->device_count; j++) {
            has = p->resources[resource].device_limits[j];
            d = &p->devices[j];
            if (has > 0.0 && !isinf(has))
                break;
        }
        return he_error_set(HE_ERR_BUDGET,
                            "no plan fits what the devices have of %s: %.6g times as much on every "
                            "device would do (%g instead of %g on %s)",
                            p->resources[resource].name, least, least * has, has, d->id);
    }
    return HE_ERR_BUDGET;
}

/* INFINITY: there is no such limit. */
static double limit_now(const struct he_problem *p, enum blame blame, size_t resource)
{
    bool is_limited = false;

    switch (blame) {
    case BLAME_MEMORY:
        for (uint32_t j = 0; j < p->device_count; j++)
            is_limited |= !isinf(p->devices[j].memory_bytes);
        return is_limited ? 1.0 : INFINITY;
    case BLAME_DEVICE_RESOURCE:
        return p->resources[resource].device_limits ? 1.0 : INFINITY;
    case BLAME_TOTAL_MEMORY:
        return p->limits.memory_bytes;
    case BLAME_POWER:
        return p->limits.power_watts;
    case BLAME_PRICE:
        return p->limits.price_per_hour;
    case BLAME_RESOURCE:
        return p->resources[resource].limit;
    }
    return INFINITY;
}

/* Large enough for anything, small enough to be multiplied. */
#define LARGE_FACTOR 1e12

he_status he_place_blame(const struct he_problem *p)
{
    for (int blame = BLAME_PRICE; blame <= BLAME_MEMORY; blame++) {
        bool by_resource = blame == BLAME_RESOURCE || blame == BLAME_DEVICE_RESOURCE;
        bool is_factor = blame == BLAME_MEMORY || blame == BLAME_DEVICE_RESOURCE;
        size_t count = by_resource ? p->resource_count : 1;

        for (size_t r = 0; r < count; r++) {
            double enough = 0.0, least;
            bool fits;
            he_status status;

            if (isinf(limit_now(p, blame, r)))
                continue;
            status = try_limit(p, blame, r, is_factor ? LARGE_FACTOR : INFINITY, &fits, &enough);
            if (status == HE_OK && fits)
                status = least_limit(p, blame, r, limit_now(p, blame, r), enough, &least);
            if (status != HE_OK)
                return status;
            if (fits)
                return blame_error(p, blame, r, least);
        }
    }
    return he_error_set(HE_ERR_BUDGET, "no plan fits: memory and budgets together leave no room, "
                                       "and raising one of them is not enough");
}
