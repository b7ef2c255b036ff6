/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for contiguous splits: topological orders of the blocks, each split at best
 * (depth first, breadth first, least cut first, then random changes of the best: random keys as in
 * Archer et al., ICML 2024); and where the order of the blocks has few cutting points in all, every
 * one of them, which gives the optimum.
 */
#include <string.h>

#include "random.h"
#include "stages.h"

#define ORDERS 24            /* without a time limit */
#define POINTS 1500          /* likewise */
#define MOST_POINTS 60000
#define ORDERS_FIRST 0.1     /* of the time, before all cutting points are tried */

enum order_kind { ORDER_NUMBERS, ORDER_DEPTH, ORDER_BREADTH, ORDER_CUT, ORDER_KINDS };

struct search {
    struct he_stages stages;
    const struct he_place_options *options;
    struct he_random random;
    uint32_t *order, *best_order, *ready, *missing, *readers_left;
    double *key, *net_seconds;
    bool *is_placed;
};

/* Seconds more (or less) that a cut behind @block carries than one before it. */
static double cut_change(const struct search *s, uint32_t block)
{
    const struct he_nets *nets = &s->stages.nets;
    double change = 0.0;

    for (uint32_t i = nets->at_start[block]; i < nets->at_start[block + 1]; i++) {
        uint32_t n = nets->at[i];
        uint32_t parts_left = s->readers_left[n]; /* readers and home not yet placed */
        uint32_t all = nets->nets[n].count + 1;

        if (parts_left == all)
            change += s->net_seconds[n];
        if (parts_left == 1)
            change -= s->net_seconds[n];
    }
    return change;
}

/* Places the blocks one by one, always the ready one with the least key; keys by @kind, shaken
 * by @noise. */
static void make_order(struct search *s, enum order_kind kind, double noise)
{
    const struct he_stages *st = &s->stages;
    const struct he_nets *nets = &st->nets;
    uint32_t ready_count = 0, placed = 0;

    memcpy(s->missing, st->before, st->count * sizeof *s->missing);
    for (uint32_t n = 0; n < nets->net_count; n++)
        s->readers_left[n] = nets->nets[n].count + 1;
    for (uint32_t b = 0; b < st->count; b++) {
        s->key[b] = kind == ORDER_NUMBERS ? b + noise * st->count * he_random_unit(&s->random)
                                          : he_random_unit(&s->random) * noise;
        if (s->missing[b] == 0)
            s->ready[ready_count++] = b;
    }
    while (ready_count > 0) {
        uint32_t at = 0, block;
        double least = INFINITY;

        for (uint32_t k = 0; k < ready_count; k++) {
            double key = s->key[s->ready[k]];

            if (kind == ORDER_CUT)
                key = cut_change(s, s->ready[k]) * (1.0 + key) + key * 1e-6;
            if (key < least) {
                least = key;
                at = k;
            }
        }
        block = s->ready[at];
        s->ready[at] = s->ready[--ready_count];
        s->order[placed++] = block;
        for (uint32_t i = nets->at_start[block]; i < nets->at_start[block + 1]; i++)
            s->readers_left[nets->at[i]]--;
        for (uint32_t k = st->next_start[block]; k < st->next_start[block + 1]; k++) {
            uint32_t to = st->next[k];

            if (--s->missing[to] > 0)
                continue;
            s->ready[ready_count++] = to;
            if (kind == ORDER_DEPTH)
                s->key[to] -= placed;
            else if (kind == ORDER_BREADTH)
                s->key[to] += placed;
        }
    }
}

/* The best order again, its blocks shifted a little. */
static void shake_order(struct search *s, double noise)
{
    const struct he_stages *st = &s->stages;
    uint32_t ready_count = 0, placed = 0;

    for (uint32_t k = 0; k < st->count; k++)
        s->key[s->best_order[k]] = k;
    for (uint32_t k = 1 + he_random_below(&s->random, 8); k > 0; k--) {
        uint32_t block = he_random_below(&s->random, st->count);

        s->key[block] += (he_random_unit(&s->random) - 0.5) * noise * st->count;
    }
    memcpy(s->missing, st->before, st->count * sizeof *s->missing);
    for (uint32_t b = 0; b < st->count; b++) {
        if (s->missing[b] == 0)
            s->ready[ready_count++] = b;
    }
    while (ready_count > 0) {
        uint32_t at = 0, block;

        for (uint32_t k = 1; k < ready_count; k++) {
            if (s->key[s->ready[k]] < s->key[s->ready[at]])
                at = k;
        }
        block = s->ready[at];
        s->ready[at] = s->ready[--ready_count];
        s->order[placed++] = block;
        for (uint32_t k = st->next_start[block]; k < st->next_start[block + 1]; k++) {
            if (--s->missing[st->next[k]] == 0)
                s->ready[ready_count++] = st->next[k];
        }
    }
}

/* Splits s->order; keeps it when that is the best so far. */
static he_status try_order(struct search *s, uint64_t deadline_ns)
{
    struct he_arena scratch;
    struct he_family family;
    double was = s->stages.best;
    bool is_done;
    he_status status;

    he_arena_init(&scratch, &s->stages.problem->arena.alloc);
    status = he_family_of_order(&s->stages, s->order, &scratch, &family);
    if (status == HE_OK)
        status = he_stages_solve(&s->stages, &family, s->options, deadline_ns, &scratch, &is_done);
    if (s->stages.best < was)
        memcpy(s->best_order, s->order, s->stages.count * sizeof *s->order);
    he_arena_fini(&scratch);
    return status;
}

static he_status try_orders(struct search *s, uint32_t first, uint32_t count, uint64_t deadline_ns)
{
    he_status status = HE_OK;

    for (uint32_t k = first; status == HE_OK && k - first < count; k++) {
        if (deadline_ns && k > 0 && he_place_now_ns(s->options) >= deadline_ns)
            return HE_OK;
        if (k < ORDER_KINDS)
            make_order(s, (enum order_kind)k, 0.0);
        else if (isinf(s->stages.best) || k % 4 == 0)
            make_order(s, (enum order_kind)(k / 4 % ORDER_KINDS), he_random_unit(&s->random));
        else
            shake_order(s, he_random_unit(&s->random));
        status = try_order(s, deadline_ns);
    }
    return status;
}

static he_status try_all_points(struct search *s, uint64_t deadline_ns, bool *is_optimum)
{
    struct he_arena scratch;
    struct he_family family;
    bool is_whole, is_done = false;
    he_status status;

    he_arena_init(&scratch, &s->stages.problem->arena.alloc);
    status = he_family_of_all(&s->stages, deadline_ns ? MOST_POINTS : POINTS, &scratch, &family,
                              &is_whole);
    if (status == HE_OK && is_whole)
        status = he_stages_solve(&s->stages, &family, s->options, deadline_ns, &scratch, &is_done);
    if (status == HE_ERR_UNSUPPORTED)
        status = HE_OK;
    *is_optimum = status == HE_OK && is_whole && is_done;
    he_arena_fini(&scratch);
    return status;
}

static he_status prepare(struct search *s, struct he_arena *arena)
{
    const struct he_nets *nets = &s->stages.nets;
    uint32_t count = s->stages.count;

    s->order = he_arena_alloc(arena, count, sizeof *s->order);
    s->best_order = he_arena_alloc(arena, count, sizeof *s->best_order);
    s->ready = he_arena_alloc(arena, count, sizeof *s->ready);
    s->missing = he_arena_alloc(arena, count, sizeof *s->missing);
    s->key = he_arena_alloc(arena, count, sizeof *s->key);
    s->readers_left = he_arena_alloc(arena, nets->net_count, sizeof *s->readers_left);
    s->net_seconds = he_arena_alloc(arena, nets->net_count, sizeof *s->net_seconds);
    if (!s->order || !s->best_order || !s->ready || !s->missing || !s->key || !s->readers_left ||
        !s->net_seconds)
        return he_no_memory();
    for (uint32_t n = 0; n < nets->net_count; n++) {
        for (uint32_t j = 0; j < s->stages.problem->device_count; j++)
            s->net_seconds[n] += he_net_seconds(nets, &nets->nets[n], j);
    }
    return HE_OK;
}

static he_status enter(struct search *s, struct he_contest *contest, struct he_arena *arena)
{
    const struct he_problem *p = s->stages.problem;
    struct he_placement answer = { .policy = "pipeline" };

    answer.device = he_arena_alloc(arena, p->task_count, sizeof *answer.device);
    answer.order = he_arena_alloc(arena, p->task_count, sizeof *answer.order);
    if (!answer.device || !answer.order)
        return he_no_memory();
    for (uint32_t t = 0; t < p->task_count; t++) {
        answer.device[t] = s->stages.device[s->stages.block_of[t]];
        answer.order[t] = t;
    }
    return he_contest_enter_orders(contest, &answer);
}

he_status he_stages_search(struct he_contest *contest, const struct he_place_options *options,
                           bool *is_optimum)
{
    struct search s = { .options = options, .random = { options->seed ^ 0x737461676573u } };
    uint64_t begin_ns = he_place_now_ns(options), deadline_ns = he_place_deadline(options);
    uint64_t first_ns =
        deadline_ns ? begin_ns + (uint64_t)((double)(deadline_ns - begin_ns) * ORDERS_FIRST) : 0;
    struct he_arena scratch;
    he_status status;

    *is_optimum = false;
    he_arena_init(&scratch, &contest->problem->arena.alloc);
    status = he_stages_init(&s.stages, contest->problem, &scratch);
    if (status == HE_OK && s.stages.count > 0) {
        status = prepare(&s, &scratch);
        if (status == HE_OK)
            status = try_orders(&s, 0, ORDERS, first_ns);
        if (status == HE_OK)
            status = try_all_points(&s, deadline_ns, is_optimum);
        if (status == HE_OK && !*is_optimum && deadline_ns)
            status = try_orders(&s, ORDERS, UINT32_MAX - ORDERS, deadline_ns);
        if (status == HE_OK && !isinf(s.stages.best))
            status = enter(&s, contest, &scratch);
    }
    he_arena_fini(&scratch);
    /* Too large or too mixed: others have to do. */
    return status == HE_ERR_UNSUPPORTED ? HE_OK : status;
}
