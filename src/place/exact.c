/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exact: branch and bound over all devices and orders of a small graph, each complete
 * answer judged by the evaluator. A partial answer is bounded by a schedule in which
 * links take any number of transfers at once, plus the optimistic rest of the way of
 * every task left, so that the bound never exceeds what the judge will say. Orders
 * that differ only in neighbours which have nothing to do with each other give the
 * same schedule: only the one with the lower number first is looked at.
 *
 * The optimum is that of the evaluator's schedules: for a given order it fixes when
 * each link carries what. Makespans of graphs whose memory is no matter go to optimum.c, which
 * knows no such limit and is much faster.
 */
#include <string.h>

#include "exact.h"
#include "local.h"
#include "optimum.h"
#include "rank.h"
#include "units.h"

#define MOST_NODES 3000000u

struct brancher {
    const struct he_problem *problem;
    struct he_units units;
    struct he_contest *contest;
    double *optimistic, *least_time, *least_joules;
    double idle_watts;
    uint64_t nodes, node_limit, deadline_ns;
    const struct he_place_options *options;
    /* The partial answer. */
    uint32_t device[HE_EXACT_TASKS], order[HE_EXACT_TASKS], unit_device[HE_EXACT_TASKS];
    uint32_t unit_members[HE_EXACT_TASKS]; /* tasks of the unit that are placed */
    bool is_placed[HE_EXACT_TASKS];
    double finish[HE_EXACT_TASKS];
    double *link_busy;                 /* [from * device_count + to], for the bound */
    double *server_free, *server_busy; /* [depth * server_count + server] */
};

/* Sums that do not depend on order, of the tasks placed so far. */
struct sums {
    double makespan, cost, joules;
};

/* The earliest an edge can be on @to: a shared tensor may come by way of another device. */
static double earliest(const struct brancher *b, uint32_t e, uint32_t to)
{
    const struct he_problem *p = b->problem;
    const struct he_place_edge *edge = &p->edges[e];
    uint32_t from = b->device[edge->from], tensor = p->edge_tensor[e];
    double least = he_problem_transfer(p, from, to, edge->bytes);

    if (p->tensor_start[tensor + 1] - p->tensor_start[tensor] > 1) {
        for (uint32_t j = 0; j < p->device_count; j++) {
            if (p->devices[j].memory_node == p->devices[to].memory_node)
                least = fmin(least, he_problem_transfer(p, from, j, edge->bytes));
        }
    }
    return b->finish[edge->from] + least;
}

/* Transfers that are certain: those of tensors with one reader. */
static double certain_transfers(const struct brancher *b, uint32_t task, uint32_t j)
{
    const struct he_problem *p = b->problem;
    double sum = 0.0;

    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        uint32_t e = p->in_edges[k], tensor = p->edge_tensor[e];

        if (p->tensor_start[tensor + 1] - p->tensor_start[tensor] == 1)
            sum += he_problem_transfer(p, b->device[p->edges[e].from], j, p->edges[e].bytes);
    }
    return sum;
}

static double duration_on(const struct brancher *b, uint32_t task, uint32_t j)
{
    const struct he_problem *p = b->problem;
    bool has_inputs = p->in_start[task] < p->in_start[task + 1], starts_region = !has_inputs;
    double launch = 0.0;

    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++)
        starts_region |= b->device[p->edges[p->in_edges[k]].from] != j;
    if (starts_region && p->launch)
        launch = p->launch[j] - (!has_inputs && p->waking ? p->waking[j] : 0.0);
    return he_problem_time(p, task, j) + launch;
}

/* The least makespan with these tasks placed: every other one at its earliest. */
static double makespan_bound(const struct brancher *b, const double *server_free, double so_far)
{
    const struct he_problem *p = b->problem;

    for (uint32_t t = 0; t < p->task_count; t++) {
        double least = INFINITY;
        uint32_t fixed = b->unit_device[b->units.of[t]];

        if (b->is_placed[t])
            continue;
        for (uint32_t j = 0; j < p->device_count; j++) {
            double begin = server_free[p->devices[j].server];

            if (fixed != UINT32_MAX && fixed != j)
                continue;
            for (uint32_t k = p->in_start[t]; k < p->in_start[t + 1]; k++) {
                if (b->is_placed[p->edges[p->in_edges[k]].from])
                    begin = fmax(begin, earliest(b, p->in_edges[k], j));
            }
            least = fmin(least, begin + he_problem_time(p, t, j) +
                                    b->optimistic[(size_t)t * p->device_count + j]);
        }
        so_far = fmax(so_far, least);
    }
    return so_far;
}

/* The load of the busiest link, of transfers that are certain. */
static double busiest_link(const struct brancher *b)
{
    const struct he_problem *p = b->problem;
    double most = 0.0;

    if (!p->has_contention)
        return 0.0;
    memset(b->link_busy, 0, (size_t)p->device_count * p->device_count * sizeof *b->link_busy);
    for (uint32_t e = 0; e < p->edge_count; e++) {
        const struct he_place_edge *edge = &p->edges[e];
        uint32_t tensor = p->edge_tensor[e];
        double *busy;

        if (!b->is_placed[edge->from] || !b->is_placed[edge->to] ||
            p->tensor_start[tensor + 1] - p->tensor_start[tensor] > 1)
            continue;
        busy = &b->link_busy[(size_t)b->device[edge->from] * p->device_count + b->device[edge->to]];
        *busy += he_problem_transfer(p, b->device[edge->from], b->device[edge->to], edge->bytes);
        most = fmax(most, *busy);
    }
    return most;
}

static double bound(const struct brancher *b, const struct sums *sums, const double *server_free,
                    const double *server_busy)
{
    const struct he_problem *p = b->problem;
    double rest_time = 0.0, rest_joules = 0.0, most = 0.0, total = 0.0;

    for (uint32_t t = 0; t < p->task_count; t++) {
        rest_time += b->is_placed[t] ? 0.0 : b->least_time[t];
        rest_joules += b->is_placed[t] ? 0.0 : b->least_joules[t];
    }
    switch (b->contest->objective) {
    case HE_OBJECTIVE_COST:
        return sums->cost + rest_time;
    case HE_OBJECTIVE_THROUGHPUT:
        for (uint32_t s = 0; s < p->server_count; s++) {
            most = fmax(most, server_busy[s]);
            total += server_busy[s];
        }
        return fmax(fmax(most, busiest_link(b)), (total + rest_time) / p->server_count);
    case HE_OBJECTIVE_ENERGY:
        return sums->joules + rest_joules +
               b->idle_watts * makespan_bound(b, server_free, sums->makespan);
    case HE_OBJECTIVE_LATENCY:
        break;
    }
    return makespan_bound(b, server_free, sums->makespan);
}

/* True when @task after @before gives what @before after @task gives. */
static bool commutes(const struct brancher *b, uint32_t before, uint32_t task)
{
    const struct he_problem *p = b->problem;
    const struct he_place_device *x = &p->devices[b->device[before]], *y = &p->devices[b->device[task]];

    if (x->server == y->server || x->memory_node == y->memory_node)
        return false;
    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        if (p->edges[p->in_edges[k]].from == before)
            return false;
    }
    return true;
}

static he_status branch(struct brancher *b, uint32_t depth, const struct sums *sums);

static he_status place(struct brancher *b, uint32_t depth, const struct sums *sums, uint32_t task,
                       uint32_t j)
{
    const struct he_problem *p = b->problem;
    uint32_t unit = b->units.of[task], servers = p->server_count;
    double *server_free = b->server_free + (size_t)(depth + 1) * servers;
    double *server_busy = b->server_busy + (size_t)(depth + 1) * servers;
    struct sums after = *sums;
    double begin, duration = duration_on(b, task, j);
    he_status status = HE_OK;

    b->device[task] = j;
    if (depth > 0 && task < b->order[depth - 1] && commutes(b, b->order[depth - 1], task))
        return HE_OK;
    memcpy(server_free, server_free - servers, servers * sizeof *server_free);
    memcpy(server_busy, server_busy - servers, servers * sizeof *server_busy);
    begin = server_free[p->devices[j].server];
    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++)
        begin = fmax(begin, earliest(b, p->in_edges[k], j));
    b->order[depth] = task;
    b->is_placed[task] = true;
    b->unit_device[unit] = j;
    b->unit_members[unit]++;
    b->finish[task] = begin + duration;
    server_free[p->devices[j].server] = begin + duration;
    server_busy[p->devices[j].server] += duration;
    after.makespan = fmax(after.makespan, begin + duration);
    after.cost += duration + certain_transfers(b, task, j);
    after.joules += (p->devices[j].busy_watts - p->devices[j].idle_watts) * duration;
    if (bound(b, &after, server_free, server_busy) < b->contest->value * (1.0 - 1e-12))
        status = branch(b, depth + 1, &after);
    b->is_placed[task] = false;
    if (--b->unit_members[unit] == 0)
        b->unit_device[unit] = UINT32_MAX;
    return status;
}

static he_status branch(struct brancher *b, uint32_t depth, const struct sums *sums)
{
    const struct he_problem *p = b->problem;
    bool any_order = b->contest->objective == HE_OBJECTIVE_LATENCY ||
                     b->contest->objective == HE_OBJECTIVE_ENERGY;
    he_status status = HE_OK;

    if (depth == p->task_count)
        return he_contest_enter(b->contest, b->device, b->order, "exact", NULL);
    for (uint32_t t = any_order ? 0 : depth; t < (any_order ? p->task_count : depth + 1); t++) {
        bool is_ready = !b->is_placed[t];
        uint32_t fixed = b->unit_device[b->units.of[t]];

        for (uint32_t k = p->in_start[t]; is_ready && k < p->in_start[t + 1]; k++)
            is_ready = b->is_placed[p->edges[p->in_edges[k]].from];
        for (uint32_t j = 0; is_ready && j < p->device_count; j++) {
            if (isinf(he_unit_time(&b->units, b->units.of[t], j)) ||
                (fixed != UINT32_MAX && fixed != j))
                continue;
            if (++b->nodes > b->node_limit ||
                (b->deadline_ns && b->nodes % 64 == 0 &&
                 he_place_now_ns(b->options) >= b->deadline_ns))
                return he_error_set(HE_ERR_UNSUPPORTED,
                                    "exact gave up after %llu steps without proof: use portfolio",
                                    (unsigned long long)b->nodes);
            status = place(b, depth, sums, t, j);
            if (status != HE_OK)
                return status;
        }
    }
    return status;
}

static he_status prepare(struct brancher *b, struct he_arena *arena)
{
    const struct he_problem *p = b->problem;
    size_t n = p->task_count, rows = n + 1;
    he_status status = he_units_init(&b->units, p, arena);

    if (status != HE_OK)
        return status;
    b->optimistic = he_arena_alloc(arena, n, p->device_count * sizeof(double));
    b->least_time = he_arena_alloc(arena, n, sizeof(double));
    b->least_joules = he_arena_alloc(arena, n, sizeof(double));
    b->server_free = he_arena_alloc(arena, rows, p->server_count * sizeof(double));
    b->server_busy = he_arena_alloc(arena, rows, p->server_count * sizeof(double));
    b->link_busy = he_arena_alloc(arena, p->device_count, p->device_count * sizeof(double));
    if (!b->link_busy || !b->optimistic || !b->least_time || !b->least_joules || !b->server_free || !b->server_busy)
        return he_no_memory();
    he_rank_optimistic(p, b->optimistic);
    for (uint32_t t = 0; t < p->task_count; t++) {
        b->least_time[t] = b->least_joules[t] = INFINITY;
        b->unit_device[t] = UINT32_MAX;
        for (uint32_t j = 0; j < p->device_count; j++) {
            double time = he_problem_time(p, t, j);

            if (isinf(time))
                continue;
            b->least_time[t] = fmin(b->least_time[t], time);
            b->least_joules[t] =
                fmin(b->least_joules[t],
                     time * (p->devices[j].busy_watts - p->devices[j].idle_watts));
        }
    }
    for (uint32_t j = 0; j < p->device_count; j++)
        b->idle_watts += p->devices[j].idle_watts;
    return HE_OK;
}

he_status he_exact_search(struct he_contest *contest, const struct he_problem *p,
                          const struct he_place_options *options, uint64_t node_limit,
                          uint64_t deadline_ns)
{
    struct he_arena scratch;
    struct brancher b = { .problem = p, .contest = contest, .node_limit = node_limit,
                          .deadline_ns = deadline_ns, .options = options };
    struct sums nothing = { 0 };
    he_status status;

    if (p->task_count > HE_EXACT_TASKS)
        return he_error_set(HE_ERR_UNSUPPORTED,
                            "exact takes graphs of at most %d tasks and this one has %u: use portfolio",
                            HE_EXACT_TASKS, p->task_count);
    if (he_optimum_takes(contest, p))
        return he_optimum_search(contest, p, options, node_limit, deadline_ns);
    he_arena_init(&scratch, &p->arena.alloc);
    status = prepare(&b, &scratch);
    if (status == HE_OK)
        status = branch(&b, 0, &nothing);
    if (status == HE_OK && contest->has_best)
        contest->policy = "exact"; /* also when another found it: now it is proven */
    he_arena_fini(&scratch);
    return status;
}

he_status he_policy_exact(const struct he_problem *p, const struct he_place_options *options,
                          struct he_arena *arena, struct he_placement *out)
{
    struct he_arena scratch;
    struct he_contest contest = { 0 };
    struct he_place_options quick = { .objective = options->objective, .seed = options->seed };
    he_status status;

    he_arena_init(&scratch, &p->arena.alloc);
    status = he_contest_init(&contest, p, options->objective, &scratch);
    /* A good answer to begin with cuts most of the tree. */
    if (status == HE_OK && p->task_count <= HE_EXACT_TASKS)
        status = he_guard(&contest);
    if (status == HE_OK && p->task_count <= HE_EXACT_TASKS)
        status = he_contest_run(&contest, p, he_policy_heft, &quick);
    if (status == HE_OK && p->task_count <= HE_EXACT_TASKS)
        status = he_local_search(&contest, p, &quick, 0.1);
    if (status == HE_OK)
        status = he_exact_search(&contest, p, options, MOST_NODES, he_place_deadline(options));
    if (status == HE_OK)
        status = he_contest_answer(&contest, arena, out);
    he_contest_fini(&contest);
    he_arena_fini(&scratch);
    return status;
}
