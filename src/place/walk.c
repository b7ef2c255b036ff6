/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulated annealing over devices and order. Only tasks of a critical path can shorten the
 * schedule, so most moves begin there: one task to another device, at the place where its inputs
 * will be there; a connected cluster, or a run of the critical path, all at once, since where
 * transfers are dear one task alone only makes things worse; a task before the one that it waits
 * for. What a step may cost is drawn before it is tried, so that the replay can stop early.
 */
#include <string.h>

#include "random.h"
#include "rank.h"
#include "replay.h"
#include "walk.h"

/* Tasks replayed when there is no time limit, and what a trial costs beside them. */
#define REPLAYS 250000.0
#define TRIAL_OVERHEAD 8.0
/* Temperatures are shares of the best value. */
#define HOTTEST 0.05
#define COLDEST 0.0005
#define LARGEST_CLUSTER 128
#define FARTHEST_SHIFT 256
#define SORT_AFTER 64 /* steps kept */

struct walk {
    struct he_contest *contest;
    const struct he_problem *problem;
    const struct he_place_options *options;
    struct he_units units;
    struct he_load load;
    bool has_loads; /* some device may be full */
    struct he_replay replay;
    struct he_random random;
    uint32_t *critical, critical_count;
    uint32_t age;    /* steps kept since the critical path was looked up */
    uint32_t unsorted; /* steps kept since the order was that of starts */
    uint32_t *queue, queue_count; /* units of a cluster */
    bool *is_queued;
    uint32_t *moved, *was, *now, moved_count; /* units, for the loads */
    uint32_t *best_device, *best_order;
    double best, bound; /* nothing is better than bound, the longest optimistic path */
    double work;
};

static uint32_t device_of(const struct walk *w, uint32_t unit)
{
    return w->replay.device[w->units.tasks[w->units.start[unit]]];
}

static uint32_t random_below(struct walk *w, uint32_t n)
{
    return he_random_below(&w->random, n);
}

/* Mostly a task of the critical path. */
static uint32_t pick_task(struct walk *w)
{
    if (w->critical_count > 0 && random_below(w, 100) < 70)
        return w->critical[random_below(w, w->critical_count)];
    return random_below(w, w->problem->task_count);
}

static double arrival(const struct walk *w, uint32_t e, uint32_t to)
{
    const struct he_replay *r = &w->replay;
    const struct he_place_edge *edge = &w->problem->edges[e];
    size_t pair = (size_t)r->device[edge->from] * w->problem->device_count + to;

    return r->finish[edge->from] + r->latency[pair] + edge->bytes * r->per_byte[pair];
}

/* Where the task would end first were every server free; foresight included. */
static uint32_t likeliest_device(struct walk *w, uint32_t task)
{
    const struct he_problem *p = w->problem;
    uint32_t best = UINT32_MAX, here = w->replay.device[task];
    double least = INFINITY;

    for (uint32_t j = 0; j < p->device_count; j++) {
        double end = 0.0;

        if (j == here || isinf(he_problem_time(p, task, j)))
            continue;
        for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++)
            end = fmax(end, arrival(w, p->in_edges[k], j));
        end += he_problem_time(p, task, j) +
               w->replay.optimistic[(size_t)task * p->device_count + j];
        end *= 1.0 + 0.1 * he_random_unit(&w->random);
        if (end < least) {
            least = end;
            best = j;
        }
    }
    return best;
}

static bool pick_device(struct walk *w, uint32_t task, uint32_t *device)
{
    const struct he_problem *p = w->problem;
    const struct he_replay *r = &w->replay;
    uint32_t unit = w->units.of[task], inputs = p->in_start[task + 1] - p->in_start[task];
    uint32_t degree = inputs + p->out_start[task + 1] - p->out_start[task];

    for (int attempt = 0; attempt < 3; attempt++) {
        uint32_t way = random_below(w, 100), j = random_below(w, p->device_count);

        if (way < 50 && degree > 0) {
            uint32_t k = random_below(w, degree);

            j = k < inputs ? r->device[p->edges[p->in_edges[p->in_start[task] + k]].from]
                           : r->device[p->edges[p->out_edges[p->out_start[task] + k - inputs]].to];
        } else if (way < 70 && p->device_count <= 16) {
            j = likeliest_device(w, task);
        }
        if (j != UINT32_MAX && j != r->device[task] && !isinf(he_unit_time(&w->units, unit, j))) {
            *device = j;
            return true;
        }
    }
    return false;
}

/* False when the unit does not fit there; what was moved before it stays moved. */
static bool move_unit(struct walk *w, uint32_t unit, uint32_t device)
{
    if (w->has_loads) {
        he_load_remove(&w->load, unit, device_of(w, unit));
        if (!he_load_has_room(&w->load, unit, device)) {
            he_load_add(&w->load, unit, device_of(w, unit));
            return false;
        }
        he_load_add(&w->load, unit, device);
    }
    w->moved[w->moved_count] = unit;
    w->now[w->moved_count] = device;
    w->was[w->moved_count++] = device_of(w, unit);
    for (uint32_t i = w->units.start[unit]; i < w->units.start[unit + 1]; i++)
        he_replay_set(&w->replay, w->units.tasks[i], device);
    return true;
}

/* Places that the task may go to in the order. */
static void range(const struct walk *w, uint32_t task, uint32_t *low, uint32_t *high)
{
    const struct he_problem *p = w->problem;
    const struct he_replay *r = &w->replay;
    uint32_t at = r->position[task];

    *low = at > FARTHEST_SHIFT ? at - FARTHEST_SHIFT : 0;
    *high = p->task_count - 1 - at > FARTHEST_SHIFT ? at + FARTHEST_SHIFT : p->task_count - 1;
    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        uint32_t place = r->position[p->edges[p->in_edges[k]].from];

        if (place + 1 > *low)
            *low = place + 1;
    }
    for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++) {
        uint32_t place = r->position[p->edges[p->out_edges[k]].to];

        if (place - 1 < *high)
            *high = place - 1;
    }
}

/* Puts the task where, in an order by start, the moment its inputs arrive would be. */
static void shift_to_arrival(struct walk *w, uint32_t task)
{
    const struct he_problem *p = w->problem;
    const struct he_replay *r = &w->replay;
    uint32_t low, high, at = r->position[task], to;
    double ready = 0.0;

    range(w, task, &low, &high);
    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++)
        ready = fmax(ready, arrival(w, p->in_edges[k], r->device[task]));
    for (to = at; to > low && r->start[r->order[to - 1]] > ready;)
        to--;
    while (to >= at && to < high && r->start[r->order[to + 1]] < ready)
        to++;
    if (to != at)
        he_replay_shift(&w->replay, at, to);
}

static bool move_one(struct walk *w)
{
    uint32_t task = pick_task(w), device;

    if (!pick_device(w, task, &device) || !move_unit(w, w->units.of[task], device))
        return false;
    if (random_below(w, 2))
        shift_to_arrival(w, task);
    return true;
}

static void enqueue(struct walk *w, uint32_t unit)
{
    w->is_queued[unit] = true;
    w->queue[w->queue_count++] = unit;
}

/* Queues units on @here that are connected with those queued: all, or by chance, heavy edges first. */
static void grow_cluster(struct walk *w, uint32_t here, uint32_t limit, uint32_t chance)
{
    const struct he_problem *p = w->problem;

    for (uint32_t head = 0; head < w->queue_count && w->queue_count < limit; head++) {
        uint32_t unit = w->queue[head];

        for (uint32_t i = w->units.start[unit]; i < w->units.start[unit + 1]; i++) {
            uint32_t task = w->units.tasks[i], inputs = p->in_start[task + 1] - p->in_start[task];
            uint32_t degree = inputs + p->out_start[task + 1] - p->out_start[task];

            for (uint32_t k = 0; k < degree && w->queue_count < limit; k++) {
                const struct he_place_edge *e =
                    &p->edges[k < inputs ? p->in_edges[p->in_start[task] + k]
                                         : p->out_edges[p->out_start[task] + k - inputs]];
                uint32_t other = w->units.of[k < inputs ? e->from : e->to];

                if (!w->is_queued[other] && device_of(w, other) == here &&
                    (chance >= 100 || random_below(w, 100) < chance))
                    enqueue(w, other);
            }
        }
    }
}

/* Moves what is queued to @device; those that cannot go there stay. */
static bool move_queue(struct walk *w, uint32_t device)
{
    bool has_moved = false;

    for (uint32_t k = 0; k < w->queue_count; k++) {
        uint32_t unit = w->queue[k];

        w->is_queued[unit] = false;
        if (!isinf(he_unit_time(&w->units, unit, device)))
            has_moved |= move_unit(w, unit, device);
    }
    return has_moved;
}

static bool move_cluster(struct walk *w)
{
    uint32_t seed = pick_task(w), device, limit, most;

    if (!pick_device(w, seed, &device))
        return false;
    most = w->units.count < LARGEST_CLUSTER ? w->units.count : LARGEST_CLUSTER;
    /* Small ones are likelier to be right; large ones are needed now and then. */
    limit = 2 + random_below(w, 1 + random_below(w, most));
    w->queue_count = 0;
    enqueue(w, w->units.of[seed]);
    grow_cluster(w, w->replay.device[seed], limit, random_below(w, 2) ? 100 : 50);
    return move_queue(w, device);
}

/* Neighbours on the critical path that share a device go together. */
static bool move_run(struct walk *w)
{
    uint32_t at, here, device, limit;

    if (w->critical_count == 0)
        return false;
    at = random_below(w, w->critical_count);
    here = w->replay.device[w->critical[at]];
    if (!pick_device(w, w->critical[at], &device))
        return false;
    limit = 2 + random_below(w, 8);
    w->queue_count = 0;
    for (uint32_t k = at; k < w->critical_count && w->queue_count < limit; k++) {
        uint32_t unit = w->units.of[w->critical[k]];

        if (w->replay.device[w->critical[k]] != here)
            break;
        if (!w->is_queued[unit])
            enqueue(w, unit);
    }
    return move_queue(w, device);
}

static bool trade_two(struct walk *w)
{
    uint32_t a = w->units.of[pick_task(w)], b = random_below(w, w->units.count);
    uint32_t at_a = device_of(w, a), at_b = device_of(w, b);

    if (at_a == at_b || isinf(he_unit_time(&w->units, a, at_b)) ||
        isinf(he_unit_time(&w->units, b, at_a)))
        return false;
    return move_unit(w, a, at_b) && move_unit(w, b, at_a);
}

static bool shift_one(struct walk *w)
{
    const struct he_replay *r = &w->replay;
    uint32_t task = pick_task(w), low, high, at, to, before = r->before[task];

    if (before != UINT32_MAX && random_below(w, 2)) {
        /* To before the one that it waits for, or that one to behind it. */
        range(w, task, &low, &high);
        if (low <= r->position[before]) {
            he_replay_shift(&w->replay, r->position[task], r->position[before]);
            return true;
        }
        at = r->position[task];
        range(w, before, &low, &high);
        if (high >= at) {
            he_replay_shift(&w->replay, r->position[before], at);
            return true;
        }
    }
    range(w, task, &low, &high);
    at = r->position[task];
    to = low + random_below(w, high - low + 1);
    if (to == at)
        return false;
    he_replay_shift(&w->replay, at, to);
    return true;
}

static bool make_move(struct walk *w)
{
    uint32_t kind = random_below(w, 100);

    if (kind < 35)
        return move_one(w);
    if (kind < 50)
        return move_cluster(w);
    if (kind < 58)
        return move_run(w);
    if (kind < 65)
        return trade_two(w);
    return shift_one(w);
}

static void take_back(struct walk *w)
{
    he_replay_undo(&w->replay);
    while (w->has_loads && w->moved_count > 0) {
        w->moved_count--;
        he_load_remove(&w->load, w->moved[w->moved_count], w->now[w->moved_count]);
        he_load_add(&w->load, w->moved[w->moved_count], w->was[w->moved_count]);
    }
}

static void remember(struct walk *w)
{
    w->best = w->replay.value;
    memcpy(w->best_device, w->replay.device, w->problem->task_count * sizeof *w->best_device);
    memcpy(w->best_order, w->replay.order, w->problem->task_count * sizeof *w->best_order);
}

static he_status step(struct walk *w, double temperature)
{
    struct he_replay *r = &w->replay;
    double limit, value = INFINITY;
    he_status status = HE_OK;

    he_replay_begin(r);
    w->moved_count = 0;
    w->work += TRIAL_OVERHEAD;
    if (make_move(w)) {
        limit = r->value - temperature * log(1.0 - he_random_unit(&w->random));
        status = he_replay_try(r, limit, &value);
    }
    w->work += r->logged_count;
    if (status != HE_OK)
        return status;
    if (isinf(value)) {
        take_back(w);
        return HE_OK;
    }
    status = he_replay_keep(r, value);
    if (value < w->best * (1.0 - 1e-12))
        remember(w);
    w->unsorted++;
    if (++w->age >= 4 || w->critical_count < 8) {
        w->critical_count = he_replay_critical(r, w->critical);
        w->age = 0;
    }
    if (status == HE_OK && w->unsorted >= SORT_AFTER) {
        /* In the order of starts a task that changes its device comes where it belongs. */
        status = he_replay_sort(r);
        w->unsorted = 0;
    }
    return status;
}

/* --- Rounds --- */

static he_status go_to_best(struct walk *w)
{
    he_status status = he_replay_load(&w->replay, w->best_device, w->best_order);

    if (status != HE_OK)
        return status;
    he_load_clear(&w->load);
    for (uint32_t u = 0; u < w->units.count; u++)
        he_load_add(&w->load, u, device_of(w, u));
    w->critical_count = he_replay_critical(&w->replay, w->critical);
    w->age = w->unsorted = 0;
    return HE_OK;
}

/* One cooling from the best so far; until @end_ns when it is not 0, else for @work. */
static he_status cool(struct walk *w, double hot, double cold, double work, uint64_t end_ns)
{
    double scale = w->best, temperature = hot * scale, begin = w->work;
    uint64_t begin_ns = end_ns ? he_place_now_ns(w->options) : 0;
    he_status status = go_to_best(w);

    for (uint32_t k = 0; status == HE_OK && w->best > w->bound && (end_ns || w->work < begin + work);
         k++) {
        if (k % 64 == 0) {
            double done = (w->work - begin) / work;

            if (end_ns) {
                uint64_t now = he_place_now_ns(w->options);

                if (now >= end_ns)
                    break;
                done = (double)(now - begin_ns) / (double)(end_ns - begin_ns);
            }
            temperature = scale * hot * pow(cold / hot, done) + 1e-300;
        }
        status = step(w, temperature);
    }
    if (status == HE_OK)
        status = he_contest_enter(w->contest, w->best_device, w->best_order, "local", NULL);
    return status;
}

static he_status prepare(struct walk *w, struct he_arena *arena)
{
    const struct he_problem *p = w->problem;
    size_t n = p->task_count;
    he_status status = he_units_init(&w->units, p, arena);

    if (status == HE_OK)
        status = he_load_init(&w->load, &w->units, arena);
    w->critical = he_arena_alloc(arena, n, sizeof *w->critical);
    w->queue = he_arena_alloc(arena, n, sizeof *w->queue);
    w->is_queued = he_arena_alloc(arena, n, sizeof *w->is_queued);
    w->moved = he_arena_alloc(arena, n, sizeof *w->moved);
    w->was = he_arena_alloc(arena, n, sizeof *w->was);
    w->now = he_arena_alloc(arena, n, sizeof *w->now);
    w->best_device = he_arena_alloc(arena, n, sizeof *w->best_device);
    w->best_order = he_arena_alloc(arena, n, sizeof *w->best_order);
    if (status != HE_OK)
        return status;
    if (!w->critical || !w->queue || !w->is_queued || !w->moved || !w->was || !w->now || !w->best_device ||
        !w->best_order)
        return he_no_memory();
    for (uint32_t j = 0; j < p->device_count; j++)
        w->has_loads |= !isinf(p->weight_limit[j]);
    w->has_loads |= p->resource_count > 0;
    memcpy(w->best_device, w->contest->device, n * sizeof *w->best_device);
    memcpy(w->best_order, w->contest->order, n * sizeof *w->best_order);
    w->best = w->contest->value;
    return HE_OK;
}

bool he_walk_takes(const struct he_contest *contest, const struct he_problem *p)
{
    return (contest->objective == HE_OBJECTIVE_LATENCY ||
            contest->objective == HE_OBJECTIVE_ENERGY) &&
           he_problem_is_roomy(p) && isinf(p->limits.power_watts) &&
           isinf(p->limits.price_per_hour) &&
           (contest->objective == HE_OBJECTIVE_LATENCY || isinf(p->limits.latency));
}

/* For makespans only. */
static double path_bound(const struct walk *w)
{
    const struct he_problem *p = w->problem;
    double most = 0.0;

    for (uint32_t t = 0; t < p->task_count && !w->replay.counts_energy; t++) {
        double least = INFINITY;

        for (uint32_t j = 0; j < p->device_count; j++)
            least = fmin(least, he_problem_time(p, t, j) +
                                    w->replay.optimistic[(size_t)t * p->device_count + j]);
        most = fmax(most, least);
    }
    return most;
}

/* The more steps per task, the hotter the start: a search that has no time to come back from far
 * should not go there. About 2.5e8 / tasks^2 trials per task are made in a second. */
static double first_heat(const struct he_problem *p, const struct he_place_options *options,
                         double effort)
{
    double seconds = options->time_limit > 0.0 ? options->time_limit : 0.02 * effort;
    double trials = seconds * 2.5e8 / ((double)p->task_count * p->task_count);

    return fmin(HOTTEST, fmax(COLDEST, 4e-6 * trials));
}

/* First near the answer given, which may be a good one that a hot start would lose; then far. */
#define ROUNDS 3
static const struct {
    double heat, until;
} rounds[ROUNDS] = { { 0.1, 0.25 }, { 1.0, 0.8 }, { 0.2, 1.0 } };

he_status he_walk_search(struct he_contest *contest, const struct he_problem *p,
                         const struct he_place_options *options, double effort)
{
    struct he_arena scratch;
    struct walk w = { .contest = contest, .problem = p, .options = options };
    uint64_t begin_ns = he_place_now_ns(options), deadline_ns = he_place_deadline(options);
    double hot = first_heat(p, options, effort);
    he_status status;

    if (!contest->has_best || p->task_count < 2 || p->device_count < 2)
        return HE_OK;
    w.random.state = options->seed ^ 0x77616c6bu;
    he_arena_init(&scratch, &p->arena.alloc);
    status = prepare(&w, &scratch);
    if (status == HE_OK)
        status = he_replay_init(&w.replay, p, contest->objective);
    if (status == HE_OK)
        w.bound = path_bound(&w);
    for (uint32_t round = 0; status == HE_OK && round < ROUNDS; round++) {
        double share = rounds[round].until - (round > 0 ? rounds[round - 1].until : 0.0);
        uint64_t end_ns = 0;

        if (deadline_ns) {
            end_ns = begin_ns +
                     (uint64_t)((double)(deadline_ns - begin_ns) * rounds[round].until);
            if (he_place_now_ns(options) >= deadline_ns)
                break;
        }
        status = cool(&w, hot * rounds[round].heat, hot * rounds[round].heat / 20.0,
                      effort * REPLAYS * share, end_ns);
    }
    he_replay_fini(&w.replay);
    he_arena_fini(&scratch);
    return status;
}
