/* SPDX-License-Identifier: Apache-2.0 */
/*
 * priority: devices in list order claim every task they can run and hold, what
 * they leave goes to the next; tasks run in the model's order. This is how ONNX
 * Runtime assigns nodes to its providers: a baseline users can reproduce.
 */
#include "policies.h"
#include "units.h"

he_status he_policy_priority(const struct he_problem *p, const struct he_place_options *options,
                             struct he_arena *arena, struct he_placement *out)
{
    struct he_arena scratch;
    struct he_units units;
    struct he_load load;
    uint32_t *device, *order;
    uint32_t left = 0;
    he_status status;

    (void)options;
    he_arena_init(&scratch, &p->arena.alloc);
    device = he_arena_alloc(&scratch, p->task_count, sizeof *device);
    order = he_arena_alloc(&scratch, p->task_count, sizeof *order);
    status = device && order ? he_units_init(&units, p, &scratch) : he_no_memory();
    if (status == HE_OK)
        status = he_load_init(&load, &units, &scratch);
    if (status != HE_OK)
        goto done;
    for (uint32_t u = 0; u < units.count; u++)
        device[u] = UINT32_MAX;
    left = units.count;
    for (uint32_t j = 0; j < p->device_count; j++) {
        for (uint32_t u = 0; u < units.count; u++) {
            if (device[u] == UINT32_MAX && he_load_has_room(&load, u, j)) {
                he_load_add(&load, u, j);
                device[u] = j;
                left--;
            }
        }
    }
    for (uint32_t t = 0; t < p->task_count; t++)
        order[t] = t;
    /* First come, first served may strand a task that only a full device can run. */
    if (left > 0) {
        double *preference = he_arena_alloc(&scratch, units.count,
                                            p->device_count * sizeof *preference);

        if (!preference) {
            status = he_no_memory();
            goto done;
        }
        for (size_t k = 0; k < (size_t)units.count * p->device_count; k++)
            preference[k] = (double)(k % p->device_count);
        status = he_units_fit(&units, preference, &scratch, device);
        if (status != HE_OK)
            goto done;
    }
    status = he_units_answer(&units, device, order, "priority", arena, out);

done:
    he_arena_fini(&scratch);
    return status;
}
