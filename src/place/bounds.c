/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lower bounds: values no schedule can get below, whatever the order. The largest wins and is named.
 *
 *   path      a task, what must have been before it and what must follow, with transfers and
 *             launches (windows.h)
 *   area      servers share the work: for prices y >= 0 of the servers that add up to 1,
 *             T >= sum over units of min over devices of y * time (the dual of the linear programme)
 *   capacity  the same with the limits of memories and resources, which have prices of their own
 *   window    the area of what must run between two moments, and both ends
 *   unit      one unit where it is fastest: nothing divides it
 *   pair      of the k S + 1 longest tasks on S servers, k + 1 share a server
 *   least     every task where it is cheapest
 *   tree      the same with transfers: costs are handed from task to task against the
 *             edges, each task's divided among its inputs, every edge choosing the least for itself
 *             (a dual bound). On chains and trees it is the optimum
 *   lagrange  every unit where it is cheapest at the best prices of the limits
 *
 * All leave out what contention costs, which can only make a plan dearer.
 */
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "policies.h"
#include "rows.h"
#include "windows.h"

/* Newton steps of the duals, and how many units times devices one looks at. Bounds must not take
 * as long as plans do. */
#define STEPS 12u
#define CELLS 8000.0
/* Limits of larger problems are left out; so are tensors. */
#define MOST_LIMIT_CELLS 300000.0
#define MOST_TREE_CELLS 2e6
/* Edges times pairs of devices: above, a change of device costs the least of any. */
#define MOST_PAIRS_STEPS 3e6
#define MOST_PAIRS 20000u /* tasks */

static const struct he_place_options no_options;

static void raise(struct he_bound *bound, double value, const char *by)
{
    /* Equal ones differ by rounding: the first is the plainer. */
    if (value > bound->value * (1.0 + 1e-9))
        *bound = (struct he_bound){ value, by };
}

static double entry_launch(const struct he_problem *p, uint32_t device)
{
    return p->launch ? p->launch[device] - (p->waking ? p->waking[device] : 0.0) : 0.0;
}

/* Least time of each task, with the launch that a task without inputs never escapes. */
static void least_times(const struct he_problem *p, double *least)
{
    for (uint32_t t = 0; t < p->task_count; t++) {
        bool is_entry = p->launch && p->in_start[t] == p->in_start[t + 1];
        const double *time = p->time + (size_t)t * p->device_count;

        least[t] = INFINITY;
        for (uint32_t j = 0; j < p->device_count; j++) {
            double sum = is_entry ? time[j] + entry_launch(p, j) : time[j];

            if (sum < least[t])
                least[t] = sum;
        }
    }
}

static int compare_descending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return a > b ? -1 : a < b;
}

/* @least is sorted here. */
static double pair_bound(const struct he_problem *p, double *least)
{
    size_t s = p->server_count;
    double best = 0.0;

    if (p->task_count > MOST_PAIRS)
        return 0.0;
    qsort(least, p->task_count, sizeof *least, compare_descending);
    for (size_t k = 1; k * s < p->task_count && k <= 64; k++) {
        double sum = 0.0;

        /* The k + 1 shortest of the k S + 1 longest. */
        for (size_t i = k * s - k; i <= k * s; i++)
            sum += least[i];
        best = fmax(best, sum);
    }
    return best;
}

static bool has_limits(const struct he_problem *p)
{
    bool is_limited = false;

    for (uint32_t j = 0; j < p->device_count; j++)
        is_limited |= !isinf(p->devices[j].memory_bytes);
    return is_limited || p->resource_count > 0;
}

/* Of each task, what it takes at least of the time that servers have together, at @y. */
static void area_of_tasks(const struct he_problem *p, const double *y, double *area)
{
    for (uint32_t t = 0; t < p->task_count; t++) {
        const double *time = p->time + (size_t)t * p->device_count;
        double least = INFINITY;

        for (uint32_t j = 0; j < p->device_count; j++) {
            double priced = y[p->devices[j].server] * time[j];

            if (priced < least) /* not when it cannot run */
                least = priced;
        }
        area[t] = isinf(least) ? 0.0 : least * (1.0 - 1e-12);
    }
}

/* Prices of the servers by the times of tasks as they are: nothing is copied. */
static he_status price_servers(const struct he_problem *p, struct he_arena *arena, double *y)
{
    struct he_units one = { .problem = p, .count = p->task_count };
    struct he_rows rows = { .units = &one, .unit_count = p->task_count,
                            .device_count = p->device_count, .row_count = p->server_count,
                            .slot_count = 1, .amount = p->time, .server_rows = p->server_count,
                            .share = 1.0 };

    rows.row = he_arena_alloc(arena, p->device_count, sizeof *rows.row);
    rows.limit = he_arena_alloc(arena, p->server_count, sizeof *rows.limit);
    if (!rows.row || !rows.limit)
        return he_no_memory();
    for (uint32_t j = 0; j < p->device_count; j++)
        rows.row[j] = p->devices[j].server;
    for (uint32_t s = 0; s < p->server_count; s++)
        rows.limit[s] = INFINITY;
    return he_rows_dual(&rows, NULL, STEPS, CELLS, &no_options, 0, y, NULL);
}

/* What holds for the largest time of a server: of schedules and of pipelines. */
static he_status bound_servers(const struct he_problem *p, const struct he_windows *windows,
                               struct he_arena *arena, struct he_bound *bound)
{
    double *least = he_arena_alloc(arena, p->task_count, sizeof *least);
    double *area = he_arena_alloc(arena, p->task_count, sizeof *area);
    double *y = he_arena_alloc(arena, p->server_count, sizeof *y), sum = 0.0, longest = 0.0;
    he_status status;

    if (!least || !area || !y)
        return he_no_memory();
    least_times(p, least);
    for (uint32_t t = 0; t < p->task_count; t++) {
        least[t] = isinf(least[t]) ? 0.0 : least[t]; /* runs nowhere: no schedule at all */
        longest = fmax(longest, least[t]);
    }
    raise(bound, longest, "unit");
    status = price_servers(p, arena, y);
    if (status != HE_OK)
        return status;
    area_of_tasks(p, y, area);
    for (uint32_t t = 0; t < p->task_count; t++)
        sum += area[t];
    raise(bound, sum * (1.0 - 1e-12), "area");
    if (windows)
        raise(bound, he_windows_area(windows, p->task_count, area, arena) * (1.0 - 1e-12), "window");
    raise(bound, pair_bound(p, least) * (1.0 - 1e-12), "pair");
    return HE_OK;
}

/* Units and limits: groups that stay together, memories that do not hold everything. @energy NULL or
 * what units cost beside the @share of the largest time. */
static he_status bound_limits(const struct he_problem *p, const double *energy, double share,
                              double time, struct he_arena *arena, struct he_bound *bound)
{
    struct he_units units;
    struct he_rows rows;
    double *cost, *multipliers, *y, value, longest = 0.0;
    he_status status;

    if ((double)p->task_count * p->device_count > MOST_LIMIT_CELLS ||
        (!p->colocation && !has_limits(p) && !energy))
        return HE_OK;
    status = he_units_init(&units, p, arena);
    if (status == HE_OK)
        status = share > 0.0 ? he_rows_init_servers(&rows, &units, share, arena)
                             : he_rows_init(&rows, &units, arena);
    if (status != HE_OK)
        return status;
    cost = he_arena_alloc(arena, (size_t)units.count, p->device_count * sizeof *cost);
    multipliers = he_arena_alloc(arena, rows.row_count, sizeof *multipliers);
    if (!cost || !multipliers)
        return he_no_memory();
    he_rows_price(&rows, energy, cost);
    for (uint32_t u = 0; !energy && u < units.count; u++) {
        double least = INFINITY;

        for (uint32_t j = 0; j < p->device_count; j++) {
            if (!isinf(cost[(size_t)u * p->device_count + j]))
                least = fmin(least, he_unit_time(&units, u, j));
        }
        longest = isinf(least) ? longest : fmax(longest, least);
    }
    raise(bound, longest, "unit");
    status = he_rows_dual(&rows, cost, STEPS, CELLS, &no_options, 0, multipliers, &value);
    if (status != HE_OK || isinf(value))
        return status;
    raise(bound, value, energy ? "lagrange" : "capacity");
    if (!energy || share == 0.0)
        return HE_OK;
    /* A part of the share may pay for a time that is known to be needed at least. */
    y = he_arena_copy(arena, multipliers, rows.server_rows * sizeof *y);
    if (!y)
        return he_no_memory();
    for (int quarters = 3; quarters >= 0; quarters--) {
        for (uint32_t r = 0; r < rows.server_rows; r++)
            multipliers[r] = y[r] * quarters / 4.0;
        value = he_rows_bound(&rows, cost, multipliers);
        raise(bound, value + (4 - quarters) / 4.0 * share * time * (1.0 - 1e-12), "lagrange");
    }
    return HE_OK;
}

/* --- Sums --- */

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
 * choose: @far divided by @shares. @is_forward: the other end is the producer. @quick NULL, or the link that
 * is as good as all of them. */
static void hand_over(const struct he_problem *p, uint32_t e, const double *far, double shares,
                      bool is_forward, const struct he_place_link *quick, double *near)
{
    uint32_t tensor = p->edge_tensor[e];
    double all = INFINITY;

    for (uint32_t i = 0; i < p->device_count; i++)
        all = fmin(all, far[i] / shares);
    if (quick)
        all += (quick->latency + p->edges[e].bytes / quick->bandwidth) /
               (p->tensor_start[tensor + 1] - p->tensor_start[tensor]);
    for (uint32_t j = 0; j < p->device_count; j++) {
        double least = far[j] / shares;

        if (quick)
            least = fmin(least, all);
        for (uint32_t i = 0; !quick && i < p->device_count; i++) {
            if (far[i] / shares < least)
                least = fmin(least, far[i] / shares + (is_forward ? sure_transfer(p, e, i, j)
                                                                  : sure_transfer(p, e, j, i)));
        }
        near[j] += least;
    }
}

/* The least latency and the largest bandwidth between two devices. */
static struct he_place_link best_link(const struct he_problem *p)
{
    struct he_place_link best = { .latency = INFINITY };

    for (uint32_t i = 0; i < p->device_count; i++) {
        for (uint32_t j = 0; j < p->device_count; j++) {
            const struct he_place_link *link = &p->links[(size_t)i * p->device_count + j];

            if (i == j)
                continue;
            if (link->is_free || p->devices[i].memory_node == p->devices[j].memory_node)
                return (struct he_place_link){ .is_free = true, .bandwidth = INFINITY };
            best.latency = fmin(best.latency, link->latency);
            best.bandwidth = fmax(best.bandwidth, link->bandwidth);
        }
    }
    return p->device_count > 1 ? best : (struct he_place_link){ .bandwidth = INFINITY };
}

/* @costs [task * device_count + device] are used up. */
static double dual_sum_bound(const struct he_problem *p, bool is_forward, double *costs)
{
    uint32_t n = p->task_count, d = p->device_count;
    double bound = 0.0;
    const uint32_t *near_start = is_forward ? p->in_start : p->out_start;
    const uint32_t *near_edges = is_forward ? p->in_edges : p->out_edges;
    const uint32_t *far_start = is_forward ? p->out_start : p->in_start;
    struct he_place_link best = best_link(p), *quick = &best;

    if ((double)p->edge_count * d * d <= MOST_PAIRS_STEPS)
        quick = NULL;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t t = is_forward ? k : n - 1 - k;
        double *near = costs + (size_t)t * d, least = INFINITY;

        for (uint32_t i = near_start[t]; i < near_start[t + 1]; i++) {
            uint32_t e = near_edges[i], other = is_forward ? p->edges[e].from : p->edges[e].to;

            hand_over(p, e, costs + (size_t)other * d,
                      (double)(far_start[other + 1] - far_start[other]), is_forward, quick, near);
        }
        for (uint32_t j = 0; far_start[t] == far_start[t + 1] && j < d; j++)
            least = fmin(least, near[j]);
        bound += isinf(least) ? 0.0 : least;
    }
    return bound;
}

/* Adds what units take of the limits, at their prices, to the costs of their first tasks. */
static void add_prices(const struct he_rows *rows, const double *cost, const double *multipliers,
                       double *costs)
{
    const struct he_units *units = rows->units;
    uint32_t d = rows->device_count;

    for (uint32_t u = 0; u < units->count; u++) {
        double *to = costs + (size_t)units->tasks[units->start[u]] * d;

        for (uint32_t j = 0; j < d; j++) {
            const double *amounts = he_rows_amounts(rows, u, j);

            for (uint32_t k = 0; k < rows->slot_count; k++) {
                uint32_t row = rows->row[j * rows->slot_count + k];

                if (row != HE_NO_ROW)
                    to[j] += multipliers[row] * amounts[k];
            }
            if (isinf(cost[(size_t)u * d + j]))
                to[j] = HE_CANNOT_RUN;
        }
    }
}

/* Both directions; what @multipliers (NULL: none) price is given back. */
static he_status bound_trees(const struct he_problem *p, const struct he_rows *rows,
                             const double *cost, const double *multipliers,
                             struct he_arena *arena, struct he_bound *bound)
{
    size_t cells = (size_t)p->task_count * p->device_count;
    double *costs = he_arena_alloc(arena, p->task_count, p->device_count * sizeof *costs);
    double given = 0.0;

    if (!costs)
        return he_no_memory();
    for (uint32_t r = 0; multipliers && r < rows->row_count; r++)
        given += multipliers[r] * rows->limit[r];
    for (int direction = 0; direction < 2; direction++) {
        double value;

        memcpy(costs, p->time, cells * sizeof *costs);
        for (uint32_t t = 0; p->launch && t < p->task_count; t++) {
            for (uint32_t j = 0; p->in_start[t] == p->in_start[t + 1] && j < p->device_count; j++)
                costs[(size_t)t * p->device_count + j] += entry_launch(p, j);
        }
        if (multipliers)
            add_prices(rows, cost, multipliers, costs);
        value = dual_sum_bound(p, direction == 0, costs);
        raise(bound, value - given - 1e-12 * (value + given), multipliers ? "lagrange" : "tree");
    }
    return HE_OK;
}

static he_status bound_cost(const struct he_problem *p, struct he_arena *arena,
                            struct he_bound *bound)
{
    double *least = he_arena_alloc(arena, p->task_count, sizeof *least), *cost, *multipliers, sum = 0;
    struct he_units units;
    struct he_rows rows;
    he_status status = HE_OK;

    if (!least)
        return he_no_memory();
    least_times(p, least);
    for (uint32_t t = 0; t < p->task_count; t++)
        sum += isinf(least[t]) ? 0.0 : least[t];
    raise(bound, sum * (1.0 - 1e-12), "least");
    if (p->edge_count && (double)p->task_count * p->device_count <= MOST_TREE_CELLS)
        status = bound_trees(p, NULL, NULL, NULL, arena, bound);
    if (status != HE_OK || (double)p->task_count * p->device_count > MOST_LIMIT_CELLS ||
        (!p->colocation && !has_limits(p)))
        return status;
    status = he_units_init(&units, p, arena);
    if (status == HE_OK)
        status = he_rows_init(&rows, &units, arena);
    if (status != HE_OK)
        return status;
    cost = he_arena_alloc(arena, units.count, p->device_count * sizeof *cost);
    multipliers = he_arena_alloc(arena, rows.row_count, sizeof *multipliers);
    if (!cost || !multipliers)
        return he_no_memory();
    he_rows_price(&rows, units.time, cost);
    for (uint32_t t = 0; p->launch && t < p->task_count; t++) {
        for (uint32_t j = 0; p->in_start[t] == p->in_start[t + 1] && j < p->device_count; j++)
            cost[(size_t)units.of[t] * p->device_count + j] += entry_launch(p, j);
    }
    status = he_rows_dual(&rows, cost, STEPS * 4, CELLS * 20, &no_options, 0, multipliers, &sum);
    if (status != HE_OK || isinf(sum))
        return status;
    if (he_rows_grain(&rows, cost) == 1.0 && p->edge_count == 0)
        sum = ceil(sum - 1e-7); /* whole numbers add up to one */
    raise(bound, sum, "lagrange");
    return p->edge_count ? bound_trees(p, &rows, cost, multipliers, arena, bound) : HE_OK;
}

/* --- All objectives --- */

static he_status bound_energy(const struct he_problem *p, double time, struct he_arena *arena,
                              struct he_bound *bound)
{
    struct he_units units;
    double *cost, idle = 0.0, sum = 0.0;
    he_status status;

    for (uint32_t j = 0; j < p->device_count; j++)
        idle += p->devices[j].idle_watts;
    for (uint32_t t = 0; t < p->task_count; t++) {
        double least = INFINITY;

        for (uint32_t j = 0; j < p->device_count; j++) {
            double seconds = he_problem_time(p, t, j);

            if (!isinf(seconds))
                least = fmin(least, seconds * (p->devices[j].busy_watts - p->devices[j].idle_watts));
        }
        sum += isinf(least) ? 0.0 : least;
    }
    raise(bound, (sum + idle * time) * (1.0 - 1e-12), "least");
    if ((double)p->task_count * p->device_count > MOST_LIMIT_CELLS)
        return HE_OK;
    status = he_units_init(&units, p, arena);
    if (status != HE_OK)
        return status;
    cost = he_arena_alloc(arena, units.count, p->device_count * sizeof *cost);
    if (!cost)
        return he_no_memory();
    for (size_t k = 0; k < (size_t)units.count * p->device_count; k++) {
        const struct he_place_device *device = &p->devices[k % p->device_count];

        cost[k] = isinf(units.time[k]) ? HE_CANNOT_RUN
                                       : units.time[k] * (device->busy_watts - device->idle_watts);
    }
    return bound_limits(p, cost, idle, time, arena, bound);
}

static he_status bound_makespan(const struct he_problem *p, struct he_arena *arena,
                                struct he_bound *bound)
{
    struct he_windows windows;
    he_status status = he_windows_init(&windows, p, arena);

    if (status != HE_OK)
        return status;
    raise(bound, windows.path * (1.0 - 1e-12), "path");
    status = bound_servers(p, &windows, arena, bound);
    return status == HE_OK ? bound_limits(p, NULL, 1.0, 0.0, arena, bound) : status;
}

static he_status bound_all(const struct he_problem *p, enum he_objective objective,
                           struct he_arena *arena, struct he_bound *bound)
{
    struct he_bound time = { 0.0, "none" };
    he_status status;

    switch (objective) {
    case HE_OBJECTIVE_COST:
        return bound_cost(p, arena, bound);
    case HE_OBJECTIVE_THROUGHPUT:
        status = bound_servers(p, NULL, arena, bound);
        return status == HE_OK ? bound_limits(p, NULL, 1.0, 0.0, arena, bound) : status;
    case HE_OBJECTIVE_ENERGY:
        status = bound_makespan(p, arena, &time);
        return status == HE_OK ? bound_energy(p, time.value, arena, bound) : status;
    case HE_OBJECTIVE_LATENCY:
        break;
    }
    return bound_makespan(p, arena, bound);
}

struct he_bound he_place_bound(const struct he_problem *p, enum he_objective objective)
{
    struct he_bound bound = { 0.0, "none" };
    struct he_arena arena;

    if (p->task_count == 0)
        return bound;
    he_arena_init(&arena, &p->arena.alloc);
    /* Without memory for all of them, those that were found are bounds still. */
    (void)bound_all(p, objective, &arena, &bound);
    he_arena_fini(&arena);
    return bound;
}

double he_place_lower_bound(const struct he_problem *p, enum he_objective objective)
{
    return he_place_bound(p, objective).value;
}
