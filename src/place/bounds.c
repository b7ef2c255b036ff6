/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lower bounds: values no schedule can get below, whatever the order. All leave
 * out launches, groups and limits, which can only make a plan dearer.
 *
 *   path   every task and the optimistic rest of the way behind it (with transfers)
 *   area   servers share the work: for any weights y >= 0 with sum 1 over the servers,
 *          T >= sum over tasks of min over servers of y * time; the weights are improved
 *          by multiplicative updates (the dual of the linear programme)
 *   sum    every task where it is cheapest; and better, with transfers: costs are
 *          handed from task to task against the edges, each task's divided among its
 *          inputs, every edge choosing the least for itself (a dual bound). On chains
 *          and trees it is the optimum.
 */
#include <string.h>

#include "core/size.h"
#include "policies.h"
#include "rank.h"

#define AREA_STEPS 60

/* Least time of @task on the devices of each server. */
static void server_times(const struct he_problem *p, uint32_t task, double *least)
{
    for (uint32_t s = 0; s < p->server_count; s++)
        least[s] = INFINITY;
    for (uint32_t j = 0; j < p->device_count; j++) {
        double time = he_problem_time(p, task, j);

        if (time < least[p->devices[j].server])
            least[p->devices[j].server] = time;
    }
}

static double area_bound(const struct he_problem *p)
{
    size_t s_count = p->server_count;
    double *y = he_alloc(&p->arena.alloc, s_count, sizeof *y);
    double *load = he_alloc(&p->arena.alloc, s_count, sizeof *load);
    double *least = he_alloc(&p->arena.alloc, s_count, sizeof *least);
    double best = 0.0;
    /* Large graphs get fewer steps: each costs tasks * devices. */
    int steps = (double)p->task_count * p->device_count > 2e5 ? 12 : AREA_STEPS;

    for (size_t s = 0; y && s < s_count; s++)
        y[s] = 1.0 / (double)s_count;
    for (int step = 0; y && load && least && step < steps; step++) {
        double bound = 0.0, most = 0.0, sum = 0.0;

        memset(load, 0, s_count * sizeof *load);
        for (uint32_t t = 0; t < p->task_count; t++) {
            size_t cheapest = 0;

            server_times(p, t, least);
            for (size_t s = 1; s < s_count; s++) {
                if (y[s] * least[s] < y[cheapest] * least[cheapest] || isinf(least[cheapest]))
                    cheapest = s;
            }
            if (isinf(least[cheapest]))
                continue; /* runs nowhere: no schedule at all */
            bound += y[cheapest] * least[cheapest];
            load[cheapest] += least[cheapest];
        }
        if (bound > best)
            best = bound;
        for (size_t s = 0; s < s_count; s++)
            most = fmax(most, load[s]);
        if (!(most > 0.0))
            break;
        for (size_t s = 0; s < s_count; s++) {
            y[s] *= exp(load[s] / most * 4.0 / (step + 4.0));
            sum += y[s];
        }
        for (size_t s = 0; s < s_count; s++)
            y[s] /= sum;
    }
    he_free(&p->arena.alloc, y);
    he_free(&p->arena.alloc, load);
    he_free(&p->arena.alloc, least);
    return best;
}

static double path_bound(const struct he_problem *p)
{
    size_t cells;
    double *table, bound = 0.0;

    if (!he_size_mul(p->task_count, p->device_count, &cells))
        return 0.0;
    table = he_alloc(&p->arena.alloc, cells, sizeof *table);
    if (!table)
        return 0.0; /* a weaker bound is a bound */
    he_rank_optimistic(p, table);
    for (uint32_t t = 0; t < p->task_count; t++) {
        double least = INFINITY;

        for (uint32_t j = 0; j < p->device_count; j++)
            least = fmin(least, he_problem_time(p, t, j) + table[(size_t)t * p->device_count + j]);
        if (!isinf(least) && least > bound)
            bound = least;
    }
    he_free(&p->arena.alloc, table);
    return bound;
}

/* Sum over tasks of the least of time * weight, and the largest single one in *most. */
static double least_sum(const struct he_problem *p, bool by_energy, double *most)
{
    double sum = 0.0;

    *most = 0.0;
    for (uint32_t t = 0; t < p->task_count; t++) {
        double least = INFINITY;

        for (uint32_t j = 0; j < p->device_count; j++) {
            double time = he_problem_time(p, t, j);
            double weight = by_energy ? p->devices[j].busy_watts - p->devices[j].idle_watts : 1.0;

            if (!isinf(time))
                least = fmin(least, time * weight);
        }
        if (isinf(least))
            continue;
        sum += least;
        *most = fmax(*most, least);
    }
    return sum;
}

/* The least an edge costs between two devices whatever the rest does: a tensor with several
 * readers is paid once per memory, so that each of its edges is sure of a share only. */
static double sure_transfer(const struct he_problem *p, uint32_t e, uint32_t from, uint32_t to)
{
    uint32_t tensor = p->edge_tensor[e];
    uint32_t edges = p->tensor_start[tensor + 1] - p->tensor_start[tensor];
    double least = he_problem_transfer(p, from, to, p->edges[e].bytes);

    for (uint32_t j = 0; edges > 1 && j < p->device_count; j++) {
        if (p->devices[j].memory_node == p->devices[to].memory_node)
            least = fmin(least, he_problem_transfer(p, from, j, p->edges[e].bytes));
    }
    return least / edges;
}

/* Adds to @near what edge @e costs at least when its other end, whose costs are @far, may
 * choose: @far divided by @shares. @is_forward: the other end is the producer. */
static void hand_over(const struct he_problem *p, uint32_t e, const double *far, double shares,
                      bool is_forward, double *near)
{
    for (uint32_t j = 0; j < p->device_count; j++) {
        double least = far[j] / shares;

        for (uint32_t i = 0; i < p->device_count; i++) {
            if (far[i] / shares < least)
                least = fmin(least, far[i] / shares + (is_forward ? sure_transfer(p, e, i, j)
                                                                  : sure_transfer(p, e, j, i)));
        }
        near[j] += least;
    }
}

static double dual_sum_bound(const struct he_problem *p, bool is_forward)
{
    uint32_t n = p->task_count, d = p->device_count;
    double *costs = he_alloc(&p->arena.alloc, n, d * sizeof *costs), bound = 0.0;
    const uint32_t *near_start = is_forward ? p->in_start : p->out_start;
    const uint32_t *near_edges = is_forward ? p->in_edges : p->out_edges;
    const uint32_t *far_start = is_forward ? p->out_start : p->in_start;

    if (!costs)
        return 0.0;
    memcpy(costs, p->time, (size_t)n * d * sizeof *costs);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t t = is_forward ? k : n - 1 - k;
        double *near = costs + (size_t)t * d, least = INFINITY;

        for (uint32_t i = near_start[t]; i < near_start[t + 1]; i++) {
            uint32_t e = near_edges[i], other = is_forward ? p->edges[e].from : p->edges[e].to;

            hand_over(p, e, costs + (size_t)other * d,
                      (double)(far_start[other + 1] - far_start[other]), is_forward, near);
        }
        for (uint32_t j = 0; far_start[t] == far_start[t + 1] && j < d; j++)
            least = fmin(least, near[j]);
        bound += isinf(least) ? 0.0 : least;
    }
    he_free(&p->arena.alloc, costs);
    return bound;
}

double he_place_lower_bound(const struct he_problem *p, enum he_objective objective)
{
    double most, sum, idle = 0.0;

    switch (objective) {
    case HE_OBJECTIVE_COST:
        sum = least_sum(p, false, &most);
        return fmax(sum, fmax(dual_sum_bound(p, true), dual_sum_bound(p, false)));
    case HE_OBJECTIVE_THROUGHPUT:
        (void)least_sum(p, false, &most);
        return fmax(area_bound(p), most);
    case HE_OBJECTIVE_ENERGY:
        for (uint32_t j = 0; j < p->device_count; j++)
            idle += p->devices[j].idle_watts;
        sum = least_sum(p, true, &most);
        return fmax(0.0, sum + idle * fmax(area_bound(p), path_bound(p)));
    case HE_OBJECTIVE_LATENCY:
        break;
    }
    return fmax(area_bound(p), path_bound(p));
}
