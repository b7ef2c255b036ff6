/* SPDX-License-Identifier: Apache-2.0 */
/* heft: tasks by mean upward rank, each on the device where it finishes first.
 * Source: Topcuoglu, Hariri, Wu, TPDS 2002. */
#include "list.h"
#include "policies.h"
#include "rank.h"

he_status he_policy_heft(const struct he_problem *p, const struct he_place_options *options,
                         struct he_arena *arena, struct he_placement *out)
{
    struct he_arena scratch;
    struct he_units units;
    struct he_list_rule rule = { 0 };
    double *rank;
    uint32_t *device, *order;
    he_status status;

    (void)options; /* there is one HEFT, whatever is asked for */
    he_arena_init(&scratch, &p->arena.alloc);
    rank = he_arena_alloc(&scratch, p->task_count, sizeof *rank);
    device = he_arena_alloc(&scratch, p->task_count, sizeof *device);
    order = he_arena_alloc(&scratch, p->task_count, sizeof *order);
    status = rank && device && order ? he_units_init(&units, p, &scratch) : he_no_memory();
    if (status == HE_OK) {
        he_rank_upward(p, HE_RANK_MEAN, 1.0, rank);
        rule.priority = rank;
        status = he_list_schedule(&units, &rule, device, order);
    }
    if (status == HE_OK)
        status = he_units_answer(&units, device, order, "heft", arena, out);
    he_arena_fini(&scratch);
    return status;
}
