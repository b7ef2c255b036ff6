/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies fill devices with weights and do not look at tensors. Where an answer's
 * live tensors do not fit beside them, this gives weights that much less room on
 * that device and asks the policy again.
 */
#include <string.h>

#include "minsum.h"
#include "policies.h"
#include "units.h"

#define RETRIES 4

/* False when the misfit is not one that less room for weights can mend. */
static bool take_room(const struct he_contest *c, struct he_problem *view)
{
    const struct he_shortfall *s = &c->shortfall;
    double weights = c->judge.weights[s->device];

    if ((s->kind != HE_LACKS_MEMORY && s->kind != HE_LACKS_SHARED_MEMORY) || !(weights > 0.0))
        return false;
    view->weight_limit[s->device] =
        fmax(0.0, fmin(view->weight_limit[s->device], weights) - (s->need - s->limit));
    return true;
}

he_status he_contest_run(struct he_contest *c, const struct he_problem *p, he_policy_run *run,
                         const struct he_place_options *options)
{
    struct he_arena arena;
    struct he_problem view = *p;
    double before = c->value;
    he_status status = HE_OK;

    he_arena_init(&arena, &p->arena.alloc);
    view.weight_limit = he_arena_copy(&arena, p->weight_limit, p->device_count * sizeof(double));
    if (!view.weight_limit)
        status = he_no_memory();
    for (int attempt = 0; status == HE_OK && attempt <= RETRIES; attempt++) {
        struct he_placement answer = { 0 };

        c->shortfall = (struct he_shortfall){ 0 };
        status = run(&view, options, &arena, &answer);
        if (status == HE_OK)
            status = he_contest_enter_orders(c, &answer);
        /* Later attempts have less room than there is, and views fewer devices. */
        if (status == HE_OK && attempt == 0 && p->time == c->problem->time)
            c->proven = fmax(c->proven, answer.proven);
        if (status != HE_OK || c->value < before || c->shortfall.kind == HE_FITS ||
            !take_room(c, &view))
            break;
    }
    he_arena_fini(&arena);
    return status == HE_ERR_BUDGET ? HE_OK : status;
}

he_status he_policy_fit(const struct he_problem *p, const struct he_place_options *options,
                        struct he_arena *arena, struct he_placement *out)
{
    struct he_arena scratch;
    struct he_place_options fixed = { .seed = options->seed };
    struct he_units units;
    uint32_t *device;
    double proven;
    he_status status;

    he_arena_init(&scratch, &p->arena.alloc);
    device = he_arena_alloc(&scratch, p->task_count, sizeof *device);
    status = device ? he_units_init(&units, p, &scratch) : he_no_memory();
    if (status == HE_OK)
        status = he_units_fit(&units, NULL, &scratch, device);
    /* Greedy orders give up early. The prices that least sums put on limits show the way better. */
    if (status == HE_ERR_BUDGET)
        status = he_min_sum_solve(&units, units.time, 0.0, 0.0, &fixed, device, &proven);
    if (status == HE_OK)
        status = he_units_answer(&units, device, NULL, "fit", arena, out);
    he_arena_fini(&scratch);
    return status;
}
