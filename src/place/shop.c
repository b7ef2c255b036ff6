/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Search for schedules without communication: tabu search (shop_tabu.c) in a small
 * population. A child of two schedules takes each task's device from one of them and orders tasks
 * by a mean of their starts in both; it keeps whatever the two agree on, lies between
 * them, and is the next start of the tabu search (the idea of path relinking). The first
 * schedules are the contest's best and list schedules with random priorities. When the
 * population has grown alike, all but the best start afresh.
 * Sources: Mastrolilli, Gambardella 2000; Peng, Lu, Cheng 2015 (tabu search with path
 * relinking for job shops); Gonzalez, Vela, Varela 2015 (the same for flexible ones).
 */
#include <stdlib.h>
#include <string.h>

#include "list.h"
#include "rank.h"
#include "shop.h"
#include "shop_tabu.h"

/* Transfers and launches up to this share of the lower bound are nothing much. */
#define NEGLIGIBLE 0.01
/* he_shop.work that is done when there is no time limit. */
#define FIXED_WORK 6e6
/* Short tabu runs from many children do best, but large graphs have no time for many. */
#define MOST_MEMBERS 20u
#define LEAST_MEMBERS 6u
#define MEMBER_TASKS 2400u /* of all members together */
#define PATIENCE 120u /* tabu steps without anything better; more with more tasks */
/* Tables by task and device beyond this would cost more than the search brings. */
#define MOST_CELLS 20e6

struct search {
    struct he_contest *contest;
    const struct he_problem *problem;
    struct he_shop shop;
    struct he_shop_tabu tabu;
    struct he_shop_end end;
    struct he_units units;
    struct he_random random;
    struct he_shop_answer members[MOST_MEMBERS];
    uint32_t member_count, most_members;
    double best; /* the shop's makespan that last entered the contest */
    uint32_t *groups, group_count; /* units of several tasks */
    /* Scratch. */
    uint32_t *device, *order;
    double *key, *rank;
    struct keyed *sorted;
};

struct keyed {
    double key;
    uint32_t task;
};

/* --- Does it apply? --- */

static double dearest_transfers(const struct he_problem *p)
{
    double latency = 0.0, per_byte = 0.0, launch = 0.0, sum = 0.0;

    for (uint32_t i = 0; i < p->device_count; i++) {
        for (uint32_t j = 0; j < p->device_count; j++) {
            const struct he_place_link *link = &p->links[(size_t)i * p->device_count + j];

            if (i == j || link->is_free ||
                p->devices[i].memory_node == p->devices[j].memory_node)
                continue;
            latency = fmax(latency, link->latency);
            per_byte = fmax(per_byte, 1.0 / link->bandwidth);
        }
        if (p->launch)
            launch = fmax(launch, p->launch[i]);
    }
    for (uint32_t e = 0; e < p->edge_count; e++)
        sum += latency + per_byte * p->edges[e].bytes;
    return sum + launch * p->task_count;
}

bool he_shop_fits(const struct he_problem *p)
{
    double sum;

    if (p->company || p->device_count < 2 || p->task_count < 2 ||
        (double)p->task_count * p->device_count > MOST_CELLS)
        return false;
    sum = dearest_transfers(p);
    return sum <= 0.0 || sum <= NEGLIGIBLE * he_place_lower_bound(p, HE_OBJECTIVE_LATENCY);
}

/* --- Starts --- */

static int compare_keyed(const void *left, const void *right)
{
    const struct keyed *a = left, *b = right;

    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->task < b->task ? -1 : a->task > b->task;
}

/* s->order by @key; tasks with equal keys by number, which is topological. */
static void order_by(struct search *s, const double *key)
{
    uint32_t n = s->problem->task_count;

    for (uint32_t t = 0; t < n; t++)
        s->sorted[t] = (struct keyed){ key[t], t };
    qsort(s->sorted, n, sizeof *s->sorted, compare_keyed);
    for (uint32_t k = 0; k < n; k++)
        s->order[k] = s->sorted[k].task;
    s->shop.work += n;
}

/* Loads the contest's best; false when it is not one of this problem's devices. */
static bool load_best(struct search *s)
{
    const struct he_contest *c = s->contest;

    for (uint32_t t = 0; t < s->problem->task_count; t++) {
        if (isinf(he_problem_time(s->problem, t, c->device[t])))
            return false;
    }
    he_shop_load(&s->shop, c->device, c->order);
    return true;
}

/* Loads a list schedule, or a random one where even that finds no room. */
static he_status load_random(struct search *s)
{
    const struct he_problem *p = s->problem;
    struct he_list_rule rule = { .priority = s->key };
    double spread = he_random_unit(&s->random);
    he_status status;

    for (uint32_t t = 0; t < p->task_count; t++)
        s->key[t] = s->rank[t] * (1.0 + spread * (2.0 * he_random_unit(&s->random) - 1.0));
    status = he_list_schedule(&s->units, &rule, s->device, s->order);
    if (status == HE_ERR_BUDGET) {
        if (!load_best(s))
            return HE_ERR_BUDGET;
        return HE_OK;
    }
    if (status != HE_OK)
        return status;
    s->shop.work += (uint64_t)p->task_count * p->device_count;
    for (uint32_t t = p->task_count; t-- > 0;)
        s->device[t] = s->device[s->units.of[t]];
    he_shop_load(&s->shop, s->device, s->order);
    return HE_OK;
}

/* The tabu search moves no groups: that is done here, to one of them at a time. */
static void move_group(struct search *s)
{
    const struct he_problem *p = s->problem;
    uint32_t u = s->groups[he_random_below(&s->random, s->group_count)];
    uint32_t j = he_random_below(&s->random, p->device_count);

    for (uint32_t k = s->units.start[u];
         !isinf(he_unit_time(&s->units, u, j)) && k < s->units.start[u + 1]; k++)
        s->device[s->units.tasks[k]] = j;
}

/* True when weights and resources of s->device are within the limits. */
static bool has_room(struct search *s)
{
    struct he_load *load = &s->tabu.load;

    if (!s->tabu.has_limits)
        return true;
    he_load_clear(load);
    for (uint32_t u = 0; u < s->units.count; u++) {
        uint32_t j = s->device[s->units.tasks[s->units.start[u]]];

        if (!he_load_has_room(load, u, j))
            return false;
        he_load_add(load, u, j);
    }
    return true;
}

/* Loads a child of @a and @b. */
static void load_child(struct search *s, const struct he_shop_answer *a,
                       const struct he_shop_answer *b)
{
    double share = 0.3 + 0.4 * he_random_unit(&s->random);

    for (uint32_t u = 0; u < s->units.count; u++) {
        const struct he_shop_answer *from = he_random_unit(&s->random) < share ? b : a;

        for (uint32_t k = s->units.start[u]; k < s->units.start[u + 1]; k++)
            s->device[s->units.tasks[k]] = from->device[s->units.tasks[k]];
    }
    if (s->group_count > 0 && he_random_below(&s->random, 2))
        move_group(s);
    if (!has_room(s))
        memcpy(s->device, a->device, s->problem->task_count * sizeof *s->device);
    for (uint32_t t = 0; t < s->problem->task_count; t++)
        s->key[t] = (1.0 - share) * a->head[t] + share * b->head[t];
    order_by(s, s->key);
    he_shop_load(&s->shop, s->device, s->order);
}

/* --- The population --- */

static uint32_t distance(const struct search *s, const struct he_shop_answer *a,
                         const struct he_shop_answer *b)
{
    uint32_t count = 0;

    for (uint32_t t = 0; t < s->problem->task_count; t++)
        count += a->device[t] != b->device[t] || a->before[t] != b->before[t];
    return count;
}

/* Takes the tabu search's best into the population: for the one it is like, else for the worst, if
 * it is better. */
static bool take(struct search *s)
{
    const struct he_shop_answer *child = &s->tabu.best;
    uint32_t n = s->problem->task_count, worst = 0;

    for (uint32_t k = 0; k < s->member_count; k++) {
        if (distance(s, &s->members[k], child) <= n / 20) {
            if (child->makespan >= s->members[k].makespan)
                return false;
            he_shop_answer_copy(&s->members[k], child, n);
            return true;
        }
        if (s->members[k].makespan > s->members[worst].makespan)
            worst = k;
    }
    if (s->member_count < s->most_members)
        worst = s->member_count++;
    else if (child->makespan > s->members[worst].makespan)
        return false;
    he_shop_answer_copy(&s->members[worst], child, n);
    return true;
}

/* Tabu search from what is loaded; its best enters contest and population. */
static he_status improve(struct search *s, bool *is_new)
{
    uint32_t n = s->problem->task_count;

    he_shop_tabu_run(&s->tabu, PATIENCE + (uint64_t)n * n / 200);
    *is_new = take(s);
    if (s->tabu.best.makespan >= s->best)
        return HE_OK;
    s->best = s->tabu.best.makespan;
    order_by(s, s->tabu.best.head);
    return he_contest_enter(s->contest, s->tabu.best.device, s->order, "shop", NULL);
}

static void keep_best_only(struct search *s)
{
    uint32_t best = 0;

    for (uint32_t k = 1; k < s->member_count; k++) {
        if (s->members[k].makespan < s->members[best].makespan)
            best = k;
    }
    if (best > 0)
        he_shop_answer_copy(&s->members[0], &s->members[best], s->problem->task_count);
    s->member_count = 1;
}

static he_status evolve(struct search *s)
{
    uint32_t failures = 0;
    bool is_new;
    he_status status = HE_OK;

    if (load_best(s))
        status = improve(s, &is_new);
    while (status == HE_OK && !he_shop_is_over(&s->end, &s->shop)) {
        if (s->member_count < s->most_members && failures < s->most_members) {
            status = load_random(s);
        } else {
            uint32_t a = he_random_below(&s->random, s->member_count);
            uint32_t b = he_random_below(&s->random, s->member_count - 1);

            load_child(s, &s->members[a], &s->members[b < a ? b : b + 1]);
        }
        if (status == HE_OK)
            status = improve(s, &is_new);
        failures = is_new ? 0 : failures + 1;
        if (failures > 3 * s->most_members || s->member_count < 2) {
            keep_best_only(s);
            failures = 0;
        }
    }
    return status;
}

static he_status prepare(struct search *s, struct he_arena *arena)
{
    const struct he_problem *p = s->problem;
    uint32_t n = p->task_count;
    he_status status = he_units_init(&s->units, p, arena);

    if (status == HE_OK)
        status = he_shop_init(&s->shop, p, arena);
    if (status == HE_OK)
        status = he_shop_tabu_init(&s->tabu, &s->shop, &s->units, &s->end, arena);
    for (uint32_t k = 0; status == HE_OK && k < MOST_MEMBERS; k++)
        status = he_shop_answer_init(&s->members[k], n, arena);
    if (status != HE_OK)
        return status;
    s->device = he_arena_alloc(arena, n, sizeof *s->device);
    s->order = he_arena_alloc(arena, n, sizeof *s->order);
    s->key = he_arena_alloc(arena, n, sizeof *s->key);
    s->rank = he_arena_alloc(arena, n, sizeof *s->rank);
    s->sorted = he_arena_alloc(arena, n, sizeof *s->sorted);
    s->groups = he_arena_alloc(arena, n, sizeof *s->groups);
    if (!s->device || !s->order || !s->key || !s->rank || !s->sorted || !s->groups)
        return he_no_memory();
    for (uint32_t u = 0; u < s->units.count; u++) {
        if (s->units.start[u + 1] - s->units.start[u] > 1)
            s->groups[s->group_count++] = u;
    }
    s->most_members = MEMBER_TASKS / n;
    if (s->most_members < LEAST_MEMBERS)
        s->most_members = LEAST_MEMBERS;
    if (s->most_members > MOST_MEMBERS)
        s->most_members = MOST_MEMBERS;
    he_rank_upward(p, HE_RANK_MEAN, 0.0, s->rank);
    return HE_OK;
}

he_status he_shop_search(struct he_contest *contest, const struct he_problem *p,
                         const struct he_place_options *options, double effort)
{
    struct search s = { .contest = contest, .problem = p, .best = INFINITY };
    struct he_arena scratch;
    he_status status;

    if (!contest->has_best || p->task_count < 2 || p->device_count < 2)
        return HE_OK;
    s.end = (struct he_shop_end){
        .options = options,
        .deadline_ns = he_place_deadline(options),
        .bound = he_place_lower_bound(p, HE_OBJECTIVE_LATENCY) * (1.0 + 1e-9),
    };
    if (!s.end.deadline_ns)
        s.end.work_limit = (uint64_t)(effort * FIXED_WORK) + 1;
    if (contest->objective == HE_OBJECTIVE_LATENCY && contest->value <= s.end.bound)
        return HE_OK;
    s.random.state = options->seed ^ 0x73686f70u;
    s.tabu.random.state = options->seed ^ 0x74616275u;
    he_arena_init(&scratch, &p->arena.alloc);
    status = prepare(&s, &scratch);
    if (status == HE_OK)
        status = evolve(&s);
    he_arena_fini(&scratch);
    return status == HE_ERR_BUDGET ? HE_OK : status;
}
