/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least makespan of a small graph, over every feasible schedule: a tree over devices of
 * tasks, in a topological order; the transfers between devices are operations on links (or on
 * nothing, without contention), so that under every leaf lies a small job shop, which
 * disjunctive.c solves. A node is cut when the optimistic ways of its open tasks are too long, or
 * when the shop of the tasks that have a device cannot be in time. Devices that are alike
 * are opened in turn.
 */
#include <string.h>

#include "disjunctive.h"
#include "optimum.h"
#include "rank.h"
#include "units.h"

#define MOST_TASKS 32
/* Not worth another answer: less than this is rounding. */
#define IMPROVES (1.0 - 1e-10)

struct tree {
    const struct he_problem *problem;
    struct he_contest *contest;
    const struct he_place_options *options;
    uint64_t deadline_ns, nodes; /* nodes: left */
    bool is_stopped;
    struct he_units units;
    struct he_load load;
    double *optimistic;  /* he_rank_optimistic() */
    double *reach;       /* [task * device_count + device]: the least end of a task there */
    double *least_time;  /* per task */
    uint32_t *twin;      /* an earlier device that is as good, or UINT32_MAX */
    uint32_t *users;     /* tasks by device */
    uint32_t *unit_device;
    uint32_t *machine_of; /* server or link -> machine of the shop, valid where its mark is set */
    uint64_t *mark, now;
    uint32_t *sequence; /* the order in which tasks get devices */
    bool *is_placed;
    uint32_t *device, *task_op, *edge_op; /* operations of the shop */
    uint32_t op_edge[HE_OPS_MOST];
    struct he_ops shop;
    double limit;
};

static double time_on(const struct tree *t, uint32_t task, uint32_t j)
{
    const struct he_problem *p = t->problem;
    bool starts_region = p->in_start[task] == p->in_start[task + 1];

    for (uint32_t k = p->in_start[task]; p->launch && k < p->in_start[task + 1]; k++)
        starts_region |= t->device[p->edges[p->in_edges[k]].from] != j;
    return he_problem_time(p, task, j) + (starts_region && p->launch ? p->launch[j] : 0.0);
}

/* --- The shop of the tasks that have a device --- */

static uint8_t machine(struct tree *t, size_t server_or_link)
{
    if (t->mark[server_or_link] != t->now) {
        t->mark[server_or_link] = t->now;
        t->machine_of[server_or_link] = t->shop.machine_count++;
    }
    return (uint8_t)t->machine_of[server_or_link];
}

static bool add_op(struct tree *t, double time, uint8_t on, uint64_t before, uint32_t *op)
{
    struct he_ops *shop = &t->shop;

    if (shop->count == HE_OPS_MOST)
        return false;
    *op = shop->count++;
    shop->time[*op] = time;
    shop->machine[*op] = on;
    shop->head[*op] = shop->tail[*op] = 0.0;
    shop->before[*op] = before;
    return true;
}

/* The operation behind which edge @e has arrived on @j. */
static bool arrival_op(struct tree *t, uint32_t e, uint32_t j, uint32_t *op)
{
    const struct he_problem *p = t->problem;
    uint32_t from = t->device[p->edges[e].from], tensor = p->edge_tensor[e];
    uint32_t made = t->task_op[p->edges[e].from];
    double time = he_problem_transfer(p, from, j, p->edges[e].bytes);

    *op = made;
    if (!(time > 0.0))
        return true;
    for (uint32_t k = p->tensor_start[tensor]; k < p->tensor_start[tensor + 1]; k++) {
        uint32_t other = p->out_edges[k];

        /* The tensor is there already, or on its way. */
        if (t->edge_op[other] != UINT32_MAX && t->device[p->edges[other].to] == j) {
            *op = t->edge_op[other];
            return true;
        }
    }
    if (!add_op(t, time,
                p->has_contention
                    ? machine(t, p->server_count + (size_t)from * p->device_count + j)
                    : HE_OPS_FREE,
                t->shop.before[made] | UINT64_C(1) << made, op))
        return false;
    t->op_edge[*op] = e;
    return true;
}

static bool push_task(struct tree *t, uint32_t task, uint32_t j)
{
    const struct he_problem *p = t->problem;
    uint64_t before = 0;

    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        uint32_t e = p->in_edges[k], op;

        if (!arrival_op(t, e, j, &op))
            return false;
        t->edge_op[e] = op;
        before |= t->shop.before[op] | UINT64_C(1) << op;
    }
    return add_op(t, time_on(t, task, j), machine(t, p->devices[j].server), before,
                  &t->task_op[task]);
}

static bool build_shop(struct tree *t, uint32_t placed)
{
    const struct he_problem *p = t->problem;

    t->now++;
    t->shop.count = t->shop.machine_count = 0;
    for (uint32_t e = 0; e < p->edge_count; e++)
        t->edge_op[e] = UINT32_MAX;
    for (uint32_t k = 0; k < placed; k++) {
        if (!push_task(t, t->sequence[k], t->device[t->sequence[k]]))
            return false;
    }
    return true;
}

/* --- Bounds --- */

/* The least that follows the end of @task on @j by way of edge @e, whose reader is open. */
static double way_to(const struct tree *t, uint32_t e, uint32_t j)
{
    const struct he_problem *p = t->problem;
    uint32_t to = p->edges[e].to, fixed = t->unit_device[t->units.of[to]];
    const double *time = p->time + (size_t)to * p->device_count;
    const double *rest = t->optimistic + (size_t)to * p->device_count;
    double least = INFINITY;

    if (fixed != UINT32_MAX)
        return he_problem_transfer(p, j, fixed, p->edges[e].bytes) + time[fixed] + rest[fixed];
    for (uint32_t i = 0; i < p->device_count; i++) {
        if (time[i] + rest[i] < least)
            least = fmin(least, time[i] + rest[i] +
                                    he_problem_transfer(p, j, i, p->edges[e].bytes));
    }
    return least;
}

static void set_tails(struct tree *t, uint32_t placed)
{
    const struct he_problem *p = t->problem;

    for (uint32_t k = 0; k < placed; k++) {
        uint32_t task = t->sequence[k];
        double *tail = &t->shop.tail[t->task_op[task]];

        *tail = 0.0;
        for (uint32_t i = p->out_start[task]; i < p->out_start[task + 1]; i++) {
            if (!t->is_placed[p->edges[p->out_edges[i]].to])
                *tail = fmax(*tail, way_to(t, p->out_edges[i], t->device[task]));
        }
    }
}

/* Ends of tasks were every server and link free, from sequence[first] on. False: some task cannot
 * be in time on any device, or all of them together are more than there is time for. */
static bool reaches_end(struct tree *t, uint32_t first)
{
    const struct he_problem *p = t->problem;
    double work = 0.0;

    for (uint32_t k = 0; k < p->task_count; k++) {
        uint32_t task = t->sequence[k], fixed = t->unit_device[t->units.of[task]];
        double *reach = t->reach + (size_t)task * p->device_count, least = INFINITY;

        if (k < first) {
            work += he_problem_time(p, task, t->device[task]);
            continue;
        }
        for (uint32_t j = 0; j < p->device_count; j++) {
            double begin = 0.0, time = he_problem_time(p, task, j);

            reach[j] = INFINITY;
            if (isinf(time) || (fixed != UINT32_MAX && fixed != j))
                continue;
            for (uint32_t i = p->in_start[task]; i < p->in_start[task + 1]; i++) {
                const struct he_place_edge *e = &p->edges[p->in_edges[i]];
                const double *from = t->reach + (size_t)e->from * p->device_count;
                double arrival = from[j];

                if (t->is_placed[e->from]) {
                    uint32_t d = t->device[e->from];

                    arrival = from[d] + he_problem_transfer(p, d, j, e->bytes);
                } else {
                    for (uint32_t d = 0; d < p->device_count; d++) {
                        if (from[d] < arrival)
                            arrival = fmin(arrival,
                                           from[d] + he_problem_transfer(p, d, j, e->bytes));
                    }
                }
                begin = fmax(begin, arrival);
            }
            if (begin + time + t->optimistic[(size_t)task * p->device_count + j] < t->limit) {
                reach[j] = begin + time;
                least = fmin(least, time);
            }
        }
        if (isinf(least))
            return false;
        work += least;
    }
    return work < t->limit * p->server_count;
}

/* --- The tree --- */

static he_status branch(struct tree *t, uint32_t depth);

/* Tasks and edges by begin; those that begin at once in the order of the shop. */
static void write_sequence(const struct tree *t, const double *begin, const uint32_t *rank,
                           uint32_t *order, uint32_t *items)
{
    const struct he_problem *p = t->problem;
    uint32_t sorted[HE_OPS_MOST], tasks = 0, count = 0;

    for (uint32_t i = 0; i < t->shop.count; i++) {
        uint32_t at = i;

        for (; at > 0 && (begin[sorted[at - 1]] > begin[i] ||
                          (begin[sorted[at - 1]] == begin[i] && rank[sorted[at - 1]] > rank[i]));
             at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = i;
    }
    for (uint32_t k = 0; k < t->shop.count; k++) {
        uint32_t i = sorted[k];

        for (uint32_t task = 0; task < p->task_count; task++) {
            if (t->task_op[task] == i)
                order[tasks++] = items[count++] = task;
        }
        for (uint32_t e = 0; e < p->edge_count; e++) {
            if (t->edge_op[e] == i)
                items[count++] = p->task_count + e;
        }
    }
}

static he_status solve_leaf(struct tree *t)
{
    const struct he_problem *p = t->problem;
    double begin[HE_OPS_MOST], makespan;
    uint32_t rank[HE_OPS_MOST], order[MOST_TASKS], items[MOST_TASKS + HE_OPS_MOST];
    he_status status;
    bool is_better = he_ops_solve(&t->shop, t->limit, &t->nodes, begin, rank, &makespan);

    t->is_stopped |= t->nodes == 0;
    if (!is_better)
        return HE_OK;
    write_sequence(t, begin, rank, order, items);
    status = he_contest_enter(t->contest, t->device, order, "exact", NULL);
    /* Where an order of tasks is not enough to say what goes first on a link. */
    if (status == HE_OK && p->has_contention && t->contest->value * IMPROVES > makespan)
        status = he_contest_enter_items(t->contest, t->device, order, items, "exact", NULL);
    /* Also when the contest refuses: what is later than a latency budget stays so. */
    t->limit = fmin(t->limit, fmin(makespan, t->contest->value) * IMPROVES);
    return status;
}

static bool is_stopped(struct tree *t)
{
    if (t->nodes == 0 || t->is_stopped) {
        t->is_stopped = true;
    } else if (--t->nodes % 32 == 0 && t->deadline_ns) {
        t->is_stopped = he_place_now_ns(t->options) >= t->deadline_ns;
    }
    return t->is_stopped;
}

static he_status place(struct tree *t, uint32_t depth, uint32_t task, uint32_t j)
{
    uint32_t unit = t->units.of[task], was = t->unit_device[unit];
    he_status status = HE_OK;

    t->device[task] = j;
    t->is_placed[task] = true;
    t->unit_device[unit] = j;
    t->users[j]++;
    if (was == UINT32_MAX)
        he_load_add(&t->load, unit, j);
    if (reaches_end(t, depth + 1)) {
        t->is_stopped |= !build_shop(t, depth + 1); /* more transfers than there are bits */
        if (!t->is_stopped)
            set_tails(t, depth + 1);
        if (t->is_stopped)
            status = HE_OK;
        else if (depth + 1 == t->problem->task_count)
            status = solve_leaf(t);
        else if (he_ops_may_beat(&t->shop, t->limit))
            status = branch(t, depth + 1);
    }
    if (was == UINT32_MAX)
        he_load_remove(&t->load, unit, j);
    t->users[j]--;
    t->unit_device[unit] = was;
    t->is_placed[task] = false;
    return status;
}

static he_status branch(struct tree *t, uint32_t depth)
{
    const struct he_problem *p = t->problem;
    uint32_t task = t->sequence[depth], unit = t->units.of[task], d = p->device_count;
    const double *reach = t->reach + (size_t)task * d; /* below this node it stays */
    he_status status = HE_OK;
    uint64_t done = 0;

    for (uint32_t round = 0; round < d && status == HE_OK; round++) {
        uint32_t best = UINT32_MAX;
        double least = INFINITY;

        for (uint32_t j = 0; j < d; j++) {
            double value = reach[j] + t->optimistic[(size_t)task * d + j];

            if (!(done & UINT64_C(1) << j) && value < least) {
                least = value;
                best = j;
            }
        }
        if (best == UINT32_MAX || !(least < t->limit))
            break;
        done |= UINT64_C(1) << best;
        if (t->twin[best] != UINT32_MAX && t->users[t->twin[best]] == 0)
            continue;
        if (t->unit_device[unit] == UINT32_MAX && !he_load_has_room(&t->load, unit, best))
            continue;
        if (is_stopped(t))
            return HE_OK;
        status = place(t, depth, task, best);
    }
    return status;
}

/* --- Beginning --- */

static bool are_links_alike(const struct he_place_link *a, const struct he_place_link *b)
{
    return a->is_free == b->is_free &&
           (a->is_free || (a->bandwidth == b->bandwidth && a->latency == b->latency));
}

/* True when the names of the two devices could be exchanged in any schedule. */
static bool are_twins(const struct he_problem *p, uint32_t a, uint32_t b)
{
    const struct he_place_device *x = &p->devices[a], *y = &p->devices[b];
    size_t d = p->device_count;

    if (p->weight_limit[a] != p->weight_limit[b] || x->memory_bytes != y->memory_bytes ||
        (p->launch && p->launch[a] != p->launch[b]) || x->busy_watts != y->busy_watts ||
        x->price_per_hour != y->price_per_hour || p->resource_count > 0 ||
        !are_links_alike(&p->links[a * d + b], &p->links[b * d + a]))
        return false;
    for (uint32_t t = 0; t < p->task_count; t++) {
        if (he_problem_time(p, t, a) != he_problem_time(p, t, b))
            return false;
    }
    for (uint32_t k = 0; k < d; k++) {
        if (k == a || k == b)
            continue;
        /* Nobody shares a server or memory with them. */
        if (p->devices[k].server == x->server || p->devices[k].server == y->server ||
            p->devices[k].memory_node == x->memory_node ||
            p->devices[k].memory_node == y->memory_node ||
            !are_links_alike(&p->links[a * d + k], &p->links[b * d + k]) ||
            !are_links_alike(&p->links[k * d + a], &p->links[k * d + b]))
            return false;
    }
    return x->server != y->server && x->memory_node != y->memory_node;
}

static he_status prepare(struct tree *t, struct he_arena *arena)
{
    const struct he_problem *p = t->problem;
    size_t n = p->task_count, d = p->device_count, machines = p->server_count + d * d;
    double *rank;
    he_status status = he_units_init(&t->units, p, arena);

    if (status == HE_OK)
        status = he_load_init(&t->load, &t->units, arena);
    if (status != HE_OK)
        return status;
    t->optimistic = he_arena_alloc(arena, n, d * sizeof(double));
    t->reach = he_arena_alloc(arena, n, d * sizeof(double));
    t->twin = he_arena_alloc(arena, d, sizeof(uint32_t));
    t->users = he_arena_alloc(arena, d, sizeof(uint32_t));
    t->unit_device = he_arena_alloc(arena, n, sizeof(uint32_t));
    t->machine_of = he_arena_alloc(arena, machines, sizeof(uint32_t));
    t->mark = he_arena_alloc(arena, machines, sizeof(uint64_t));
    t->sequence = he_arena_alloc(arena, n, sizeof(uint32_t));
    t->is_placed = he_arena_alloc(arena, n, sizeof(bool));
    t->device = he_arena_alloc(arena, n, sizeof(uint32_t));
    t->task_op = he_arena_alloc(arena, n, sizeof(uint32_t));
    t->edge_op = he_arena_alloc(arena, p->edge_count, sizeof(uint32_t));
    rank = he_arena_alloc(arena, n, sizeof(double));
    if (!t->optimistic || !t->reach || !t->twin || !t->users || !t->unit_device ||
        !t->machine_of || !t->mark || !t->sequence || !t->is_placed || !t->device ||
        !t->task_op || !t->edge_op || !rank)
        return he_no_memory();
    he_rank_optimistic(p, t->optimistic);
    he_rank_upward(p, HE_RANK_MEAN, 1.0, rank);
    for (uint32_t j = 0; j < d; j++) {
        t->twin[j] = UINT32_MAX;
        for (uint32_t k = j; k-- > 0 && t->twin[j] == UINT32_MAX;)
            t->twin[j] = are_twins(p, k, j) ? k : UINT32_MAX;
    }
    for (uint32_t u = 0; u < t->units.count; u++)
        t->unit_device[u] = UINT32_MAX;
    return he_order_by_priority(p, rank, t->sequence);
}

bool he_optimum_takes(const struct he_contest *contest, const struct he_problem *p)
{
    bool has_shared = p->tensor_count < p->edge_count;

    return contest->objective == HE_OBJECTIVE_LATENCY && p->task_count <= MOST_TASKS &&
           p->edge_count <= HE_OPS_MOST && p->device_count <= HE_OPS_MOST && he_problem_is_roomy(p) &&
           isinf(p->limits.power_watts) && isinf(p->limits.price_per_hour) &&
           /* A tensor for two devices of one memory may come over either's link. */
           (!has_shared || p->memory_count == p->device_count);
}

he_status he_optimum_search(struct he_contest *contest, const struct he_problem *p,
                            const struct he_place_options *options, uint64_t node_limit,
                            uint64_t deadline_ns)
{
    struct he_arena scratch;
    struct tree *t;
    he_status status = HE_OK;

    if (p->task_count == 0)
        return HE_OK;
    he_arena_init(&scratch, &p->arena.alloc);
    t = he_arena_alloc(&scratch, 1, sizeof *t);
    if (!t) {
        he_arena_fini(&scratch);
        return he_no_memory();
    }
    *t = (struct tree){ .problem = p, .contest = contest, .options = options,
                        .nodes = node_limit, .deadline_ns = deadline_ns };
    t->limit = contest->value * IMPROVES;
    status = prepare(t, &scratch);
    if (status == HE_OK && reaches_end(t, 0))
        status = branch(t, 0);
    if (status == HE_OK && t->is_stopped)
        status = he_error_set(HE_ERR_UNSUPPORTED,
                              "exact gave up after %llu steps without proof: use portfolio",
                              (unsigned long long)(node_limit - t->nodes));
    else if (status == HE_OK && contest->has_best) {
        contest->policy = "exact"; /* also when another found it: now it is proven */
        contest->proven = t->limit;
    }
    he_arena_fini(&scratch);
    return status;
}
