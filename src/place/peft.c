/* SPDX-License-Identifier: Apache-2.0 */
/* peft: like heft, but tasks are ranked by the mean of the optimistic cost table, and a
 * device is judged by the finish there plus the optimistic rest of the way.
 * Source: Arabnejad, Barbosa, TPDS 2014; transfers at their own time, not the mean. */
#include "list.h"
#include "policies.h"
#include "rank.h"

he_status he_policy_peft(const struct he_problem *p, const struct he_place_options *options,
                         struct he_arena *arena, struct he_placement *out)
{
    struct he_arena scratch;
    struct he_units units;
    struct he_list_rule rule = { .foresight = 1.0 };
    double *rank, *table;
    uint32_t *device, *order;
    he_status status;

    (void)options;
    he_arena_init(&scratch, &p->arena.alloc);
    rank = he_arena_alloc(&scratch, p->task_count, sizeof *rank);
    table = he_arena_alloc(&scratch, p->task_count, p->device_count * sizeof *table);
    device = he_arena_alloc(&scratch, p->task_count, sizeof *device);
    order = he_arena_alloc(&scratch, p->task_count, sizeof *order);
    status = rank && table && device && order ? he_units_init(&units, p, &scratch) : he_no_memory();
    if (status == HE_OK) {
        he_rank_optimistic(p, table);
        for (uint32_t t = 0; t < p->task_count; t++) {
            for (uint32_t j = 0; j < p->device_count; j++)
                rank[t] += table[(size_t)t * p->device_count + j] / p->device_count;
        }
        rule.priority = rank;
        rule.optimistic = table;
        status = he_list_schedule(&units, &rule, device, order);
    }
    if (status == HE_OK)
        status = he_units_answer(&units, device, order, "peft", arena, out);
    he_arena_fini(&scratch);
    return status;
}
