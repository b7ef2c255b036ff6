/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load of a server is the time of its tasks (and launches), that of a link the
 * time of its transfers; order does not matter. A move takes the unit's terms out,
 * puts them back from its new place, and is judged by the largest load, with a
 * little of the loads' weighted mean so that there is a slope where the largest
 * does not change.
 */
#include <string.h>

#include "loads.h"
#include "random.h"
#include "scatter.h"
#include "spread.h"
#include "units.h"

#define MOST_MOVES 400000.0
#define MOVES_PER_UNIT 200.0
#define LEAST_MOVES 20000.0
#define CLOCK_STRIDE 256 /* moves between looks at the clock */

struct balance {
    const struct he_problem *problem;
    struct he_units units;
    struct he_load room;
    struct he_random random;
    uint32_t *device; /* per unit: the state */
    double *load;     /* servers, then links */
    size_t load_count;
    uint32_t *used_links; /* links that ever had a load, and whether listed */
    bool *is_listed;
    uint32_t used_count;
    uint64_t *tensor_mark, *task_mark, mark;
    uint64_t *node_mark, *device_mark, node_now;
    uint32_t *moved, *was, *target; /* the move being tried */
    uint32_t moved_count;
    uint64_t *unit_mark, unit_now;
    uint32_t *best;
    double least;
};

static void add_link(struct balance *b, uint32_t from, uint32_t to, double seconds)
{
    const struct he_problem *p = b->problem;
    size_t pair = (size_t)from * p->device_count + to;

    if (seconds == 0.0 || !p->has_contention)
        return;
    b->load[p->server_count + pair] += seconds;
    if (!b->is_listed[pair]) {
        b->is_listed[pair] = true;
        b->used_links[b->used_count++] = (uint32_t)pair;
    }
}

/* What the devices do themselves: out of the home once, into each reading device once. */
static void add_copies(struct balance *b, uint32_t k, double sign)
{
    const struct he_problem *p = b->problem;
    const struct he_place_edge *e = &p->edges[p->out_edges[p->tensor_start[k]]];
    uint32_t home = b->device[b->units.of[e->from]];

    for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
        uint32_t to = b->device[b->units.of[p->edges[p->out_edges[i]].to]];

        if (p->devices[to].memory_node == p->devices[home].memory_node ||
            b->device_mark[to] == b->node_now)
            continue;
        b->device_mark[to] = b->node_now;
        b->load[p->devices[to].server] += sign * he_problem_copy(p, to, e->bytes);
        if (b->device_mark[home] != b->node_now)
            b->load[p->devices[home].server] += sign * he_problem_copy(p, home, e->bytes);
        b->device_mark[home] = b->node_now;
    }
}

static void add_tensor(struct balance *b, uint32_t k, double sign)
{
    const struct he_problem *p = b->problem;
    const struct he_place_edge *e = &p->edges[p->out_edges[p->tensor_start[k]]];
    uint32_t home = b->device[b->units.of[e->from]];

    if (b->tensor_mark[k] == b->mark)
        return;
    b->tensor_mark[k] = b->mark;
    b->node_now++;
    if (p->has_copies)
        add_copies(b, k, sign);
    for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
        uint32_t to = b->device[b->units.of[p->edges[p->out_edges[i]].to]];
        uint32_t node = p->devices[to].memory_node;

        if (to == home || b->node_mark[node] == b->node_now)
            continue;
        b->node_mark[node] = b->node_now;
        add_link(b, home, to, sign * he_problem_transfer(p, home, to, e->bytes));
    }
}

static void add_task(struct balance *b, uint32_t task, double sign)
{
    const struct he_problem *p = b->problem;
    uint32_t j = b->device[b->units.of[task]];
    double time = he_problem_time(p, task, j);
    bool starts_region = p->in_start[task] == p->in_start[task + 1];

    if (b->task_mark[task] == b->mark)
        return;
    b->task_mark[task] = b->mark;
    for (uint32_t k = p->in_start[task]; p->launch && k < p->in_start[task + 1]; k++)
        starts_region |= b->device[b->units.of[p->edges[p->in_edges[k]].from]] != j;
    if (starts_region && p->launch)
        time += p->launch[j];
    b->load[p->devices[j].server] += sign * time;
}

/* Every term that depends on where the moved units are, in (+1) or out (-1). */
static void add_moved(struct balance *b, double sign)
{
    const struct he_problem *p = b->problem;

    b->mark++;
    for (uint32_t m = 0; m < b->moved_count; m++) {
        uint32_t unit = b->moved[m];

        for (uint32_t i = b->units.start[unit]; i < b->units.start[unit + 1]; i++) {
            uint32_t task = b->units.tasks[i];

            add_task(b, task, sign);
            for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++)
                add_tensor(b, p->edge_tensor[p->in_edges[k]], sign);
            for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++) {
                add_tensor(b, p->edge_tensor[p->out_edges[k]], sign);
                if (p->launch)
                    add_task(b, p->edges[p->out_edges[k]].to, sign);
            }
        }
    }
}

static double value(const struct balance *b)
{
    uint32_t servers = b->problem->server_count;
    double most = 0.0, sum = 0.0, squares = 0.0;

    for (uint32_t k = 0; k < servers + b->used_count; k++) {
        double load = k < servers ? b->load[k] : b->load[servers + b->used_links[k - servers]];

        most = fmax(most, load);
        sum += load;
        squares += load * load;
    }
    return sum > 0.0 ? most + 0.02 * squares / sum : 0.0;
}

/* Loads from scratch: rounding of many small steps must not add up. */
static void recount(struct balance *b)
{
    const struct he_problem *p = b->problem;

    memset(b->load, 0, b->load_count * sizeof *b->load);
    he_load_clear(&b->room);
    b->mark++;
    for (uint32_t u = 0; u < b->units.count; u++)
        he_load_add(&b->room, u, b->device[u]);
    for (uint32_t t = 0; t < p->task_count; t++)
        add_task(b, t, 1.0);
    for (uint32_t k = 0; k < p->tensor_count; k++)
        add_tensor(b, k, 1.0);
}

/* Puts @unit on the list of what moves to @device, if there is room; devices change later. */
static bool list_move(struct balance *b, uint32_t unit, uint32_t device)
{
    uint32_t was = b->device[unit];

    if (was == device || b->unit_mark[unit] == b->unit_now)
        return false;
    he_load_remove(&b->room, unit, was);
    if (!he_load_has_room(&b->room, unit, device)) {
        he_load_add(&b->room, unit, was);
        return false;
    }
    he_load_add(&b->room, unit, device);
    b->unit_mark[unit] = b->unit_now;
    b->moved[b->moved_count] = unit;
    b->was[b->moved_count] = was;
    b->target[b->moved_count++] = device;
    return true;
}

/* Two units trade places; each must fit once the other has left. */
static bool list_trade(struct balance *b, uint32_t a, uint32_t c)
{
    uint32_t at_a = b->device[a], at_c = b->device[c];
    bool fits;

    if (a == c || at_a == at_c)
        return false;
    he_load_remove(&b->room, a, at_a);
    he_load_remove(&b->room, c, at_c);
    fits = he_load_has_room(&b->room, a, at_c);
    he_load_add(&b->room, a, at_c);
    fits = he_load_has_room(&b->room, c, at_a) && fits;
    he_load_add(&b->room, c, at_a);
    b->moved[0] = a;
    b->was[0] = b->target[1] = at_a;
    b->moved[1] = c;
    b->was[1] = b->target[0] = at_c;
    b->moved_count = 2;
    return fits;
}

static void free_room(struct balance *b)
{
    for (uint32_t k = b->moved_count; k-- > 0;) {
        he_load_remove(&b->room, b->moved[k], b->target[k]);
        he_load_add(&b->room, b->moved[k], b->was[k]);
    }
}

/* A random walk along edges takes units of the same device along. */
static void list_neighbours(struct balance *b, uint32_t task, uint32_t here, uint32_t device,
                            uint32_t limit)
{
    const struct he_problem *p = b->problem;

    for (uint32_t k = 0; b->moved_count < limit && k < 2 * limit; k++) {
        uint32_t inputs = p->in_start[task + 1] - p->in_start[task];
        uint32_t degree = inputs + p->out_start[task + 1] - p->out_start[task], i, next, unit;

        if (degree == 0)
            return;
        i = he_random_below(&b->random, degree);
        next = i < inputs ? p->edges[p->in_edges[p->in_start[task] + i]].from
                          : p->edges[p->out_edges[p->out_start[task] + i - inputs]].to;
        unit = b->units.of[next];
        if (b->device[unit] == here && b->unit_mark[unit] != b->unit_now &&
            !list_move(b, unit, device))
            return;
        if (b->unit_mark[unit] == b->unit_now)
            task = next;
    }
}

/* Chooses what moves: a unit, a unit and some around it, or two that trade places. False when
 * nothing does. */
static bool choose(struct balance *b)
{
    const struct he_problem *p = b->problem;
    uint32_t unit = he_random_below(&b->random, b->units.count), here = b->device[unit];
    uint32_t kind = he_random_below(&b->random, 10);
    uint32_t device = he_random_below(&b->random, p->device_count);

    b->moved_count = 0;
    b->unit_now++;
    if (kind < 2) {
        if (list_trade(b, unit, he_random_below(&b->random, b->units.count)))
            return true;
        free_room(b);
        return false;
    }
    if (!list_move(b, unit, device))
        return false;
    if (kind >= 6)
        list_neighbours(b, b->units.tasks[b->units.start[unit]], here, device,
                        2 + he_random_below(&b->random, 30));
    return true;
}

static double make_move(struct balance *b)
{
    add_moved(b, -1.0);
    for (uint32_t k = 0; k < b->moved_count; k++)
        b->device[b->moved[k]] = b->target[k];
    add_moved(b, 1.0);
    return value(b);
}

static void undo_move(struct balance *b)
{
    add_moved(b, -1.0);
    for (uint32_t k = 0; k < b->moved_count; k++)
        b->device[b->moved[k]] = b->was[k];
    add_moved(b, 1.0);
    free_room(b);
}

static void anneal(struct balance *b, const struct he_place_options *options)
{
    uint64_t deadline_ns = he_place_deadline(options), begin_ns = he_place_now_ns(options);
    double moves = fmin(MOST_MOVES, fmax(LEAST_MOVES, MOVES_PER_UNIT * b->units.count));
    /* One move changes a small pipeline by much. */
    double hot = fmin(0.3, fmax(0.02, 2.0 / b->units.count)), cold = hot / 100.0;
    double now = value(b), scale = now, temperature = hot * scale;
    double recount_stride = fmax(CLOCK_STRIDE, b->units.count), recounted = 0.0;

    b->least = now;
    for (double k = 0.0; deadline_ns || k < moves; k += 1.0) {
        double next;

        if (fmod(k, CLOCK_STRIDE) == 0.0) {
            double done = k / moves;

            if (deadline_ns) {
                uint64_t moment = he_place_now_ns(options);

                if (moment >= deadline_ns)
                    break;
                done = (double)(moment - begin_ns) / (double)(deadline_ns - begin_ns);
            }
            temperature = scale * hot * pow(cold / hot, done) + 1e-300;
            if (k - recounted >= recount_stride) {
                recount(b);
                now = value(b);
                recounted = k;
            }
        }
        if (!choose(b))
            continue;
        next = make_move(b);
        if (next > now && !(he_random_unit(&b->random) < exp((now - next) / temperature))) {
            undo_move(b);
            continue;
        }
        now = next;
        if (now < b->least * (1.0 - 1e-9)) {
            b->least = now;
            memcpy(b->best, b->device, b->units.count * sizeof *b->best);
        }
    }
}

static he_status prepare(struct balance *b, struct he_arena *arena)
{
    const struct he_problem *p = b->problem;
    size_t pairs = (size_t)p->device_count * p->device_count;
    he_status status = he_units_init(&b->units, p, arena);

    if (status != HE_OK)
        return status;
    b->load_count = p->server_count + pairs;
    b->load = he_arena_alloc(arena, b->load_count, sizeof *b->load);
    b->used_links = he_arena_alloc(arena, pairs, sizeof *b->used_links);
    b->is_listed = he_arena_alloc(arena, pairs, sizeof *b->is_listed);
    b->tensor_mark = he_arena_alloc(arena, p->tensor_count, sizeof *b->tensor_mark);
    b->task_mark = he_arena_alloc(arena, p->task_count, sizeof *b->task_mark);
    b->node_mark = he_arena_alloc(arena, p->memory_count, sizeof *b->node_mark);
    b->device_mark = he_arena_alloc(arena, p->device_count, sizeof *b->device_mark);
    b->device = he_arena_alloc(arena, b->units.count, sizeof *b->device);
    b->best = he_arena_alloc(arena, b->units.count, sizeof *b->best);
    b->moved = he_arena_alloc(arena, (size_t)b->units.count + 2, sizeof *b->moved);
    b->was = he_arena_alloc(arena, (size_t)b->units.count + 2, sizeof *b->was);
    b->target = he_arena_alloc(arena, (size_t)b->units.count + 2, sizeof *b->target);
    b->unit_mark = he_arena_alloc(arena, b->units.count, sizeof *b->unit_mark);
    if (!b->target || !b->unit_mark || !b->load || !b->used_links || !b->is_listed ||
        !b->tensor_mark || !b->task_mark || !b->node_mark || !b->device_mark || !b->device ||
        !b->best || !b->moved || !b->was)
        return he_no_memory();
    return he_load_init(&b->room, &b->units, arena);
}

he_status he_balance_loads(struct he_contest *contest, const struct he_problem *p,
                           const struct he_place_options *options)
{
    struct balance b = { .problem = p };
    struct he_arena scratch;
    struct he_placement answer = { 0 };
    he_status status;

    if (!contest->has_best || p->task_count == 0 || p->device_count < 2)
        return HE_OK;
    if (he_spread_covers(p))
        return he_scatter_search(contest, p, options);
    b.random.state = options->seed ^ 0x6c6f616473u;
    he_arena_init(&scratch, &p->arena.alloc);
    status = prepare(&b, &scratch);
    if (status == HE_OK) {
        for (uint32_t t = 0; t < p->task_count; t++)
            b.device[b.units.of[t]] = contest->device[t];
        memcpy(b.best, b.device, b.units.count * sizeof *b.best);
        recount(&b);
        anneal(&b, options);
        status = he_units_answer(&b.units, b.best, NULL, "throughput", &scratch, &answer);
    }
    if (status == HE_OK)
        status = he_contest_enter_orders(contest, &answer);
    he_arena_fini(&scratch);
    return status;
}
