/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No list scheduler wins everywhere (Coleman and Krishnamachari, arXiv 2403.07120), so there are
 * many: ranks by mean, least and most time or by the optimistic cost table, transfers counted in
 * full, by half or not at all, devices judged with and without foresight. Each on three
 * graphs: as it is; backwards, since a graph that ends narrowly is better filled from its end; and
 * with edges contracted whose transfer is dearer than what two devices could save.
 */
#include <stdlib.h>
#include <string.h>

#include "list.h"
#include "rank.h"
#include "seeds.h"

#define RULES 30

struct seeds {
    struct he_contest *contest;
    const struct he_place_options *options;
    uint64_t deadline_ns;
    double work, done;
};

/* A problem to be scheduled in the place of the real one. */
struct variant {
    const struct he_problem *problem;
    bool is_backwards;
    struct he_units units;
    double *rank, *optimistic;
    uint32_t *device, *order;
};

static bool is_over(const struct seeds *s)
{
    return s->deadline_ns ? he_place_now_ns(s->options) >= s->deadline_ns : s->done >= s->work;
}

static he_status prepare(struct variant *v, const struct he_problem *p, bool is_backwards,
                         struct he_arena *arena)
{
    v->problem = p;
    v->is_backwards = is_backwards;
    v->rank = he_arena_alloc(arena, p->task_count, sizeof *v->rank);
    v->optimistic = he_arena_alloc(arena, p->task_count, p->device_count * sizeof *v->optimistic);
    v->device = he_arena_alloc(arena, p->task_count, sizeof *v->device);
    v->order = he_arena_alloc(arena, p->task_count, sizeof *v->order);
    if (!v->rank || !v->optimistic || !v->device || !v->order)
        return he_no_memory();
    he_rank_optimistic(p, v->optimistic);
    return he_units_init(&v->units, p, arena);
}

/* Names tasks and their order as the real problem does. */
static void turn(const struct variant *v, struct he_placement *answer)
{
    uint32_t n = v->problem->task_count;

    for (uint32_t t = 0; t < n / 2; t++) {
        uint32_t device = answer->device[t];

        answer->device[t] = answer->device[n - 1 - t];
        answer->device[n - 1 - t] = device;
    }
    for (uint32_t k = 0; k < n; k++)
        answer->order[k] = n - 1 - v->order[n - 1 - k];
}

static he_status try_rule(struct seeds *s, struct variant *v, uint32_t number)
{
    static const double weights[] = { 1.0, 0.5, 0.0 }, foresights[] = { 0.0, 1.0, 0.5 };
    const struct he_problem *p = v->problem;
    struct he_list_rule rule = { .priority = v->rank, .optimistic = v->optimistic,
                                 .foresight = foresights[number % 3] };
    struct he_arena scratch;
    struct he_placement answer = { 0 };
    he_status status;

    /* The likeliest winners come first: foresight changes most, rank least. */
    if (number < 3) {
        he_rank_upward(p, HE_RANK_MEAN, 1.0, v->rank);
    } else if (number < 6) {
        memset(v->rank, 0, p->task_count * sizeof *v->rank);
        for (size_t k = 0; k < (size_t)p->task_count * p->device_count; k++)
            v->rank[k / p->device_count] += v->optimistic[k];
    } else {
        uint32_t mix = number / 3 - 1;

        he_rank_upward(p, (enum he_rank_kind)(mix / 3), weights[mix % 3], v->rank);
    }
    s->done += ((double)p->task_count + p->edge_count) * p->device_count + 1.0;
    status = he_list_schedule(&v->units, &rule, v->device, v->order);
    if (status == HE_ERR_BUDGET)
        return HE_OK;
    he_arena_init(&scratch, &p->arena.alloc);
    if (status == HE_OK)
        status = he_units_answer(&v->units, v->device, v->order, "list", &scratch, &answer);
    if (status == HE_OK && v->is_backwards)
        turn(v, &answer);
    if (status == HE_OK)
        status = he_contest_enter(s->contest, answer.device, answer.order, answer.policy, NULL);
    he_arena_fini(&scratch);
    return status;
}

/* --- Backwards --- */

/* Gives NULL when there is no memory. */
static struct he_problem *reverse(const struct he_problem *p)
{
    struct he_problem *r = he_problem_create(&p->arena.alloc);
    uint32_t n = p->task_count, d = p->device_count;

    if (!r)
        return NULL;
    r->task_count = n;
    r->device_count = d;
    r->edge_count = p->edge_count;
    r->has_contention = p->has_contention;
    r->ignores_tensors = p->ignores_tensors;
    r->limits = p->limits;
    r->task_ids = he_arena_alloc(&r->arena, n, sizeof *r->task_ids);
    r->time = he_arena_alloc(&r->arena, n, d * sizeof *r->time);
    r->task_memory = he_arena_alloc(&r->arena, n, sizeof *r->task_memory);
    r->edges = he_arena_alloc(&r->arena, p->edge_count, sizeof *r->edges);
    r->devices = he_arena_copy(&r->arena, p->devices, d * sizeof *r->devices);
    r->links = he_arena_alloc(&r->arena, d, d * sizeof *r->links);
    r->colocation =
        p->colocation ? he_arena_alloc(&r->arena, n, sizeof *r->colocation) : NULL;
    if (!r->task_ids || !r->time || !r->task_memory || !r->edges || !r->devices || !r->links ||
        (p->colocation && !r->colocation)) {
        he_problem_destroy(r);
        (void)he_no_memory();
        return NULL;
    }
    for (uint32_t t = 0; t < n; t++) {
        r->task_ids[n - 1 - t] = p->task_ids[t];
        r->task_memory[n - 1 - t] = p->task_memory[t];
        memcpy(r->time + (size_t)(n - 1 - t) * d, p->time + (size_t)t * d, d * sizeof *r->time);
        if (p->colocation)
            r->colocation[n - 1 - t] = p->colocation[t];
    }
    for (uint32_t e = 0; e < p->edge_count; e++)
        r->edges[e] = (struct he_place_edge){ .from = n - 1 - p->edges[e].to,
                                              .to = n - 1 - p->edges[e].from,
                                              .bytes = p->edges[e].bytes };
    for (uint32_t i = 0; i < d; i++) {
        for (uint32_t j = 0; j < d; j++)
            r->links[(size_t)i * d + j] = p->links[(size_t)j * d + i];
    }
    if (he_problem_index(r) != HE_OK) {
        he_problem_destroy(r);
        return NULL;
    }
    memcpy(r->weight_limit, p->weight_limit, d * sizeof *r->weight_limit);
    return r;
}

/* --- Heavy edges contracted --- */

struct heavy {
    double seconds;
    uint32_t edge;
};

static int compare_heavy(const void *left, const void *right)
{
    const struct heavy *a = left, *b = right;

    if (a->seconds != b->seconds)
        return a->seconds > b->seconds ? -1 : 1;
    return a->edge < b->edge ? -1 : a->edge > b->edge;
}

static uint32_t find(uint32_t *parent, uint32_t task)
{
    while (parent[task] != task)
        task = parent[task] = parent[parent[task]];
    return task;
}

static double least(const double *times, uint32_t count)
{
    double value = INFINITY;

    for (uint32_t j = 0; j < count; j++)
        value = fmin(value, times[j]);
    return value;
}

/* Unites the ends of edges that take more than @dearness times the shorter end, the heaviest
 * first, while what is united takes less than @most on its best device. */
static he_status contract(const struct he_problem *p, double dearness, double most,
                          struct he_arena *arena, uint32_t *cluster)
{
    uint32_t n = p->task_count, d = p->device_count;
    uint32_t *parent = he_arena_alloc(arena, n, sizeof *parent);
    uint32_t *group = he_arena_alloc(arena, n, sizeof *group);
    struct heavy *heavy = he_arena_alloc(arena, p->edge_count, sizeof *heavy);
    double *times = he_arena_copy(arena, p->time, (size_t)n * d * sizeof *times);
    double latency, per_byte;

    if (!parent || !group || !heavy || !times)
        return he_no_memory();
    /* The transfer that an edge has on average over pairs of devices. */
    he_mean_link(p, fmax(1.0, (double)p->device_count * (p->device_count - 1)), &latency,
                 &per_byte);
    for (uint32_t t = 0; t < n; t++) {
        parent[t] = t;
        group[t] = UINT32_MAX;
    }
    for (uint32_t t = 0; p->colocation && t < n; t++) {
        uint32_t *first = p->colocation[t] == HE_NO_GROUP ? NULL : &group[p->colocation[t]];

        if (!first || p->colocation[t] >= n)
            continue;
        if (*first == UINT32_MAX) {
            *first = t;
            continue;
        }
        parent[t] = *first;
        for (uint32_t j = 0; j < d; j++)
            times[(size_t)*first * d + j] += times[(size_t)t * d + j];
    }
    for (uint32_t e = 0; e < p->edge_count; e++)
        heavy[e] = (struct heavy){ latency + per_byte * p->edges[e].bytes, e };
    if (p->edge_count > 1)
        qsort(heavy, p->edge_count, sizeof *heavy, compare_heavy);
    for (uint32_t k = 0; k < p->edge_count; k++) {
        const struct he_place_edge *e = &p->edges[heavy[k].edge];
        uint32_t a = find(parent, e->from), b = find(parent, e->to);
        double *into = times + (size_t)a * d, *from = times + (size_t)b * d, sum = INFINITY;
        double shorter = fmin(least(p->time + (size_t)e->from * d, d),
                              least(p->time + (size_t)e->to * d, d));

        if (a == b || !(heavy[k].seconds > dearness * shorter))
            continue;
        for (uint32_t j = 0; j < d; j++)
            sum = fmin(sum, into[j] + from[j]);
        if (!(sum < most))
            continue;
        for (uint32_t j = 0; j < d; j++)
            into[j] += from[j];
        parent[b] = a;
    }
    for (uint32_t t = 0; t < n; t++)
        cluster[t] = find(parent, t);
    return HE_OK;
}

static he_status try_clusters(struct seeds *s, const struct he_problem *p)
{
    static const double dearness[] = { 1.0, 0.3, 3.0 }, shares[] = { 0.9, 0.4 };
    he_status status = HE_OK;

    for (uint32_t k = 0; status == HE_OK && k < 6 && !is_over(s) && s->contest->has_best; k++) {
        struct he_arena scratch;
        struct he_problem view = *p;
        struct variant v;

        he_arena_init(&scratch, &p->arena.alloc);
        view.colocation = he_arena_alloc(&scratch, p->task_count, sizeof *view.colocation);
        status = view.colocation ? contract(p, dearness[k % 3],
                                            shares[k / 3] * s->contest->best.makespan, &scratch,
                                            view.colocation)
                                 : he_no_memory();
        if (status == HE_OK)
            status = prepare(&v, &view, false, &scratch);
        for (uint32_t number = 0; status == HE_OK && number < 2 && !is_over(s); number++)
            status = try_rule(s, &v, number);
        he_arena_fini(&scratch);
    }
    return status;
}

he_status he_seeds_enter(struct he_contest *contest, const struct he_problem *p,
                         const struct he_place_options *options, uint64_t deadline_ns, double work)
{
    struct seeds s = { contest, options, deadline_ns, work, 0.0 };
    struct he_problem *reversed = NULL;
    struct he_arena scratch;
    struct variant forward, backward;
    he_status status;

    if (p->task_count == 0)
        return HE_OK;
    he_arena_init(&scratch, &p->arena.alloc);
    status = prepare(&forward, p, false, &scratch);
    for (uint32_t number = 0; status == HE_OK && number < RULES; number++) {
        if (number > 0 && is_over(&s))
            break;
        status = try_rule(&s, &forward, number);
        /* Amounts of resources are not turned round. */
        if (status == HE_OK && number == 1 && !is_over(&s) && p->resource_count == 0) {
            reversed = reverse(p);
            status = reversed ? prepare(&backward, reversed, true, &scratch) : HE_ERR_NO_MEMORY;
        }
        if (status == HE_OK && reversed && !is_over(&s))
            status = try_rule(&s, &backward, number - 1);
        if (status == HE_OK && number == 2)
            status = try_clusters(&s, p);
    }
    he_problem_destroy(reversed);
    he_arena_fini(&scratch);
    return status;
}
