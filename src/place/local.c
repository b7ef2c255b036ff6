/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local: simulated annealing over devices and order, every step judged by the
 * evaluator. Beside single moves it shifts clusters of connected tasks at once:
 * where transfers are dear, moving one task alone only ever makes things worse.
 * Restarts from the best so far, cooler each time.
 */
#include <string.h>

#include "local.h"
#include "random.h"
#include "units.h"
#include "walk.h"

/* Steps when there is no time limit: so many tasks and edges are judged in all. */
#define JUDGED_THINGS 1000000.0
#define MOST_STEPS 12000.0
#define ROUNDS 3
#define FARTHEST_SHIFT 64

struct search {
    struct he_contest *contest;
    const struct he_problem *problem; /* whose devices may be used */
    struct he_units units;
    struct he_random random;
    uint32_t *device, *order, *position; /* per task: the state */
    double value;
    /* How to take back the move just made. */
    uint32_t *moved, *was;
    uint32_t moved_count;
    uint32_t shift_from, shift_to;
    bool *is_taken; /* per unit: in moved */
};

static void set_unit(struct search *s, uint32_t unit, uint32_t device)
{
    for (uint32_t i = s->units.start[unit]; i < s->units.start[unit + 1]; i++)
        s->device[s->units.tasks[i]] = device;
}

static uint32_t device_of(const struct search *s, uint32_t unit)
{
    return s->device[s->units.tasks[s->units.start[unit]]];
}

static void move_unit(struct search *s, uint32_t unit, uint32_t device)
{
    s->moved[s->moved_count] = unit;
    s->was[s->moved_count++] = device_of(s, unit);
    set_unit(s, unit, device);
}

/* A device other than @unit's own that can run it; preferably one of a neighbour. */
static bool pick_device(struct search *s, uint32_t unit, uint32_t *device)
{
    const struct he_problem *p = s->problem;
    uint32_t task = s->units.tasks[s->units.start[unit]], here = s->device[task];
    uint32_t inputs = p->in_start[task + 1] - p->in_start[task];
    uint32_t outputs = p->out_start[task + 1] - p->out_start[task];

    for (int attempt = 0; attempt < 4; attempt++) {
        uint32_t j = he_random_below(&s->random, p->device_count);

        if (inputs + outputs > 0 && he_random_below(&s->random, 2)) {
            uint32_t k = he_random_below(&s->random, inputs + outputs);

            j = k < inputs ? s->device[p->edges[p->in_edges[p->in_start[task] + k]].from]
                           : s->device[p->edges[p->out_edges[p->out_start[task] + k - inputs]].to];
        }
        if (j != here && !isinf(he_unit_time(&s->units, unit, j))) {
            *device = j;
            return true;
        }
    }
    return false;
}

static bool move_one(struct search *s)
{
    uint32_t unit = he_random_below(&s->random, s->units.count), device;

    if (!pick_device(s, unit, &device))
        return false;
    move_unit(s, unit, device);
    return true;
}

/* Connected units of one device, found from a random one, go together. */
static bool move_cluster(struct search *s)
{
    const struct he_problem *p = s->problem;
    uint32_t seed = he_random_below(&s->random, s->units.count), device, here, limit;
    uint32_t most = s->units.count < 128 ? s->units.count : 128;

    if (!pick_device(s, seed, &device))
        return false;
    here = device_of(s, seed);
    limit = 2 + he_random_below(&s->random, most);
    s->is_taken[seed] = true;
    move_unit(s, seed, device);
    for (uint32_t head = 0; head < s->moved_count && s->moved_count < limit; head++) {
        uint32_t unit = s->moved[head];

        for (uint32_t i = s->units.start[unit]; i < s->units.start[unit + 1]; i++) {
            uint32_t task = s->units.tasks[i], inputs = p->in_start[task + 1] - p->in_start[task];
            uint32_t degree = inputs + p->out_start[task + 1] - p->out_start[task];

            for (uint32_t k = 0; k < degree && s->moved_count < limit; k++) {
                uint32_t other =
                    s->units.of[k < inputs
                                    ? p->edges[p->in_edges[p->in_start[task] + k]].from
                                    : p->edges[p->out_edges[p->out_start[task] + k - inputs]].to];

                if (!s->is_taken[other] && device_of(s, other) == here &&
                    !isinf(he_unit_time(&s->units, other, device))) {
                    s->is_taken[other] = true;
                    move_unit(s, other, device);
                }
            }
        }
    }
    for (uint32_t k = 0; k < s->moved_count; k++)
        s->is_taken[s->moved[k]] = false;
    return true;
}

static bool trade_two(struct search *s)
{
    uint32_t a = he_random_below(&s->random, s->units.count);
    uint32_t b = he_random_below(&s->random, s->units.count);
    uint32_t at_a = device_of(s, a), at_b = device_of(s, b);

    if (at_a == at_b || isinf(he_unit_time(&s->units, a, at_b)) ||
        isinf(he_unit_time(&s->units, b, at_a)))
        return false;
    move_unit(s, a, at_b);
    move_unit(s, b, at_a);
    return true;
}

/* Moves the task at place @from of the order to place @to, the ones between shift by one. */
static void shift(struct search *s, uint32_t from, uint32_t to)
{
    uint32_t task = s->order[from], step = from < to ? 1 : UINT32_MAX;

    for (uint32_t k = from; k != to; k += step) {
        s->order[k] = s->order[k + step];
        s->position[s->order[k]] = k;
    }
    s->order[to] = task;
    s->position[task] = to;
}

static bool shift_one(struct search *s)
{
    const struct he_problem *p = s->problem;
    uint32_t task = he_random_below(&s->random, p->task_count), at = s->position[task];
    uint32_t low = at > FARTHEST_SHIFT ? at - FARTHEST_SHIFT : 0;
    uint32_t high = at + FARTHEST_SHIFT < p->task_count ? at + FARTHEST_SHIFT : p->task_count - 1;
    uint32_t to;

    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        uint32_t place = s->position[p->edges[p->in_edges[k]].from];

        if (place + 1 > low)
            low = place + 1;
    }
    for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++) {
        uint32_t place = s->position[p->edges[p->out_edges[k]].to];

        if (place - 1 < high)
            high = place - 1;
    }
    to = low + he_random_below(&s->random, high - low + 1);
    if (to == at)
        return false;
    s->shift_from = at;
    s->shift_to = to;
    shift(s, at, to);
    return true;
}

static void take_back(struct search *s)
{
    while (s->moved_count > 0) {
        s->moved_count--;
        set_unit(s, s->moved[s->moved_count], s->was[s->moved_count]);
    }
    if (s->shift_from != s->shift_to)
        shift(s, s->shift_to, s->shift_from);
}

static bool make_move(struct search *s)
{
    bool order_matters = s->contest->objective == HE_OBJECTIVE_LATENCY ||
                         s->contest->objective == HE_OBJECTIVE_ENERGY;
    uint32_t kind = he_random_below(&s->random, order_matters ? 100 : 70);

    s->moved_count = 0;
    s->shift_from = s->shift_to = 0;
    if (kind < 35)
        return move_one(s);
    if (kind < 60)
        return move_cluster(s);
    if (kind < 70)
        return trade_two(s);
    return shift_one(s);
}

static void go_to_best(struct search *s)
{
    const struct he_contest *c = s->contest;

    memcpy(s->device, c->device, s->problem->task_count * sizeof *s->device);
    memcpy(s->order, c->order, s->problem->task_count * sizeof *s->order);
    for (uint32_t k = 0; k < s->problem->task_count; k++)
        s->position[s->order[k]] = k;
    s->value = c->value;
}

static he_status step(struct search *s, double temperature)
{
    double value;
    he_status status;

    if (!make_move(s))
        return HE_OK;
    status = he_contest_enter(s->contest, s->device, s->order, "local", &value);
    if (status != HE_OK)
        return status;
    if (value <= s->value ||
        (!isinf(value) && he_random_unit(&s->random) < exp((s->value - value) / temperature)))
        s->value = value;
    else
        take_back(s);
    return HE_OK;
}

/* One cooling from the best so far; until @end_ns when it is not 0, else @steps steps. */
static he_status cool(struct search *s, const struct he_place_options *options, double hot,
                      double cold, uint32_t steps, uint64_t end_ns)
{
    double scale = s->contest->value, temperature = hot * scale;
    uint64_t begin_ns = end_ns ? he_place_now_ns(options) : 0;

    go_to_best(s);
    for (uint32_t k = 0; end_ns || k < steps; k++) {
        he_status status;

        if (k % 16 == 0) {
            double done = (double)k / steps;

            if (end_ns) {
                uint64_t now = he_place_now_ns(options);

                if (now >= end_ns)
                    break;
                done = (double)(now - begin_ns) / (double)(end_ns - begin_ns);
            }
            temperature = scale * hot * pow(cold / hot, done) + 1e-300;
        }
        status = step(s, temperature);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

he_status he_local_search(struct he_contest *contest, const struct he_problem *p,
                          const struct he_place_options *options, double effort)
{
    struct search s = { .contest = contest, .problem = p };
    struct he_arena scratch;
    uint64_t begin_ns = he_place_now_ns(options), deadline_ns = he_place_deadline(options);
    double things = (double)p->task_count + p->edge_count + 8.0, hot;
    uint32_t steps = (uint32_t)(effort * fmin(MOST_STEPS, JUDGED_THINGS / things) / ROUNDS);
    he_status status;

    if (!contest->has_best || p->task_count == 0 || p->device_count < 2)
        return HE_OK;
    if (he_walk_takes(contest, p))
        return he_walk_search(contest, p, options, effort);
    s.random.state = options->seed ^ 0x6c6f63616cu;
    he_arena_init(&scratch, &p->arena.alloc);
    s.device = he_arena_alloc(&scratch, p->task_count, sizeof *s.device);
    s.order = he_arena_alloc(&scratch, p->task_count, sizeof *s.order);
    s.position = he_arena_alloc(&scratch, p->task_count, sizeof *s.position);
    s.moved = he_arena_alloc(&scratch, (size_t)p->task_count + 2, sizeof *s.moved);
    s.was = he_arena_alloc(&scratch, (size_t)p->task_count + 2, sizeof *s.was);
    s.is_taken = he_arena_alloc(&scratch, p->task_count, sizeof *s.is_taken);
    status = s.device && s.order && s.position && s.moved && s.was && s.is_taken
                 ? he_units_init(&s.units, p, &scratch)
                 : he_no_memory();
    /* Large graphs have no time to cool down from much. */
    hot = p->task_count <= 60 ? 0.04 : p->task_count <= 400 ? 0.004 : 0.0005;
    for (int round = 0; status == HE_OK && round < ROUNDS; round++) {
        uint64_t end_ns = 0;

        if (deadline_ns)
            end_ns = begin_ns + (deadline_ns - begin_ns) * (uint64_t)(round + 1) / ROUNDS;
        status = cool(&s, options, hot / (1 + round), hot / 50.0, steps, end_ns);
    }
    he_arena_fini(&scratch);
    return status;
}

he_status he_policy_local(const struct he_problem *p, const struct he_place_options *options,
                          struct he_arena *arena, struct he_placement *out)
{
    struct he_arena scratch;
    struct he_contest contest = { 0 };
    he_status status;

    he_arena_init(&scratch, &p->arena.alloc);
    status = he_contest_init(&contest, p, options->objective, &scratch);
    if (status == HE_OK)
        status = he_guard(&contest);
    if (status == HE_OK)
        status = he_contest_run(&contest, p, he_policy_heft, options);
    if (status == HE_OK && !contest.has_best)
        status = he_contest_run(&contest, p, he_policy_cost, options);
    if (status == HE_OK)
        status = he_local_search(&contest, p, options, 1.0);
    if (status == HE_OK)
        status = he_contest_answer(&contest, arena, out);
    he_contest_fini(&contest);
    he_arena_fini(&scratch);
    return status;
}
