/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Never worse than one device alone: the single-device plans are candidates of
 * every placement. A device that cannot run or hold everything gets what it can,
 * the rest goes where it is fastest.
 */
#include <string.h>

#include "core/map.h"
#include "policies.h"
#include "units.h"

/* True when all tasks on @j are worth the same as all tasks on some device before it: many
 * machines have 64 equal ones, and one of them is enough to judge. */
static bool is_twin(const struct he_problem *p, const uint64_t *hashes, uint32_t j)
{
    for (uint32_t k = 0; k < j; k++) {
        bool is_same = hashes[k] == hashes[j] &&
                       p->devices[k].memory_bytes == p->devices[j].memory_bytes &&
                       p->weight_limit[k] == p->weight_limit[j] &&
                       p->devices[k].busy_watts - p->devices[k].idle_watts ==
                           p->devices[j].busy_watts - p->devices[j].idle_watts &&
                       p->devices[k].busy_watts == p->devices[j].busy_watts &&
                       p->devices[k].price_per_hour == p->devices[j].price_per_hour &&
                       (!p->launch || p->launch[k] == p->launch[j]) &&
                       (!p->waking || p->waking[k] == p->waking[j]);

        for (uint32_t t = 0; is_same && t < p->task_count; t++)
            is_same = he_problem_time(p, t, k) == he_problem_time(p, t, j) &&
                      !isinf(he_problem_time(p, t, k));
        for (size_t r = 0; is_same && r < p->resource_count; r++)
            is_same = false; /* amounts differ by device: not worth comparing */
        if (is_same)
            return true;
    }
    return false;
}

static he_status enter_single(struct he_contest *c, const struct he_units *units, uint32_t j,
                              double *preference, uint32_t *device, struct he_arena *scratch)
{
    const struct he_problem *p = c->problem;
    struct he_placement answer = { 0 };
    double others = 1.0;
    he_status status;

    for (size_t k = 0; k < (size_t)units->count * p->device_count; k++) {
        if (!isinf(units->time[k]) && units->time[k] > others)
            others = units->time[k];
    }
    for (uint32_t u = 0; u < units->count; u++) {
        for (uint32_t k = 0; k < p->device_count; k++)
            preference[(size_t)u * p->device_count + k] =
                k == j ? 0.0 : others + he_unit_time(units, u, k);
    }
    status = he_units_fit(units, preference, scratch, device);
    if (status == HE_ERR_BUDGET)
        return HE_OK; /* not a candidate */
    if (status == HE_OK)
        status = he_units_answer(units, device, NULL, "single", scratch, &answer);
    if (status == HE_OK)
        status = he_contest_enter_orders(c, &answer);
    return status;
}

he_status he_guard(struct he_contest *c)
{
    const struct he_problem *p = c->problem;
    struct he_arena scratch;
    struct he_units units;
    uint64_t *hashes;
    double *preference;
    uint32_t *device;
    he_status status;

    he_arena_init(&scratch, &p->arena.alloc);
    hashes = he_arena_alloc(&scratch, p->device_count, sizeof *hashes);
    preference = he_arena_alloc(&scratch, p->task_count, p->device_count * sizeof *preference);
    device = he_arena_alloc(&scratch, p->task_count, sizeof *device);
    status = hashes && preference && device ? he_units_init(&units, p, &scratch) : he_no_memory();
    for (uint32_t j = 0; status == HE_OK && j < p->device_count; j++) {
        struct he_arena step;

        hashes[j] = HE_HASH_SEED;
        for (uint32_t t = 0; t < p->task_count; t++) {
            double time = he_problem_time(p, t, j);

            hashes[j] = he_hash_bytes(hashes[j], &time, sizeof time);
        }
        if (is_twin(p, hashes, j))
            continue;
        he_arena_init(&step, &p->arena.alloc);
        status = enter_single(c, &units, j, preference, device, &step);
        he_arena_fini(&step);
    }
    he_arena_fini(&scratch);
    return status;
}
