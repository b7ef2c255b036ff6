/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads and tails by two passes over tables of (task, device): a path that changes the
 * device pays the transfer, and the task it leads to pays its launch. Between two moments of
 * a schedule the tasks that can neither start before the first nor end after the second share the
 * servers (the idea of Fernandez and Bussell 1973, here with the dual weights of unrelated
 * machines); moments are taken from a grid of quantiles.
 */
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "windows.h"

/* Tables larger than this, or passes of more steps, are left out. */
#define MOST_CELLS 400000.0
#define MOST_STEPS 6e6
#define GRID 24u

struct passes {
    const struct he_problem *problem;
    struct he_place_link *links; /* as good as the best between the same memories */
    double low_latency, high_bandwidth;
    bool is_exact;               /* every pair of devices is looked at */
    double *start, *after;       /* [task * device_count + device]; launches are before the start */
};

/* A tensor that several readers share comes to a memory once, over whichever device's link. */
static he_status ease_links(struct passes *s, struct he_arena *arena)
{
    const struct he_problem *p = s->problem;
    uint32_t d = p->device_count;

    s->links = he_arena_copy(arena, p->links, (size_t)d * d * sizeof *s->links);
    if (!s->links)
        return he_no_memory();
    s->low_latency = INFINITY;
    for (uint32_t from = 0; from < d; from++) {
        for (uint32_t to = 0; to < d; to++) {
            struct he_place_link *link = &s->links[(size_t)from * d + to];
            uint32_t node = p->devices[to].memory_node;

            if (node == p->devices[from].memory_node)
                *link = (struct he_place_link){ .is_free = true };
            for (uint32_t k = 0; k < d && !link->is_free; k++) {
                const struct he_place_link *other = &p->links[(size_t)from * d + k];

                if (p->devices[k].memory_node != node || k == to)
                    continue;
                link->is_free |= other->is_free;
                link->latency = fmin(link->latency, other->latency);
                link->bandwidth = fmax(link->bandwidth, other->bandwidth);
            }
            if (from == to)
                continue;
            s->low_latency = fmin(s->low_latency, link->is_free ? 0.0 : link->latency);
            s->high_bandwidth = link->is_free ? INFINITY : fmax(s->high_bandwidth, link->bandwidth);
        }
    }
    if (isinf(s->low_latency))
        s->low_latency = 0.0;
    return HE_OK;
}

static double seconds(const struct passes *s, uint32_t from, uint32_t to, double bytes)
{
    const struct he_place_link *link = &s->links[(size_t)from * s->problem->device_count + to];

    return link->is_free ? 0.0 : link->latency + bytes / link->bandwidth;
}

static double launch(const struct he_problem *p, uint32_t device)
{
    return p->launch ? p->launch[device] : 0.0;
}

/* Raises near[j] to the least of way[j] and way[i] with a change of device. @is_forward: from
 * i to j, which pays j's launch; backward way[] holds the launch. */
static void cross(const struct passes *s, const double *way, double bytes, bool is_forward,
                  double *near)
{
    const struct he_problem *p = s->problem;
    uint32_t d = p->device_count;
    double low = s->low_latency + (bytes > 0.0 ? bytes / s->high_bandwidth : 0.0), least = INFINITY;

    for (uint32_t i = 0; i < d; i++)
        least = fmin(least, way[i] + (is_forward ? 0.0 : launch(p, i)));
    for (uint32_t j = 0; j < d; j++) {
        double own = is_forward ? launch(p, j) : 0.0, best = way[j];

        if (!s->is_exact) {
            best = fmin(best, least + low + own);
        } else {
            for (uint32_t i = 0; i < d; i++) {
                double other = way[i] + (is_forward ? own : launch(p, i));

                if (other + low < best && i != j)
                    best = fmin(best, other + (is_forward ? seconds(s, i, j, bytes)
                                                          : seconds(s, j, i, bytes)));
            }
        }
        if (best > near[j])
            near[j] = best;
    }
}

static void run_passes(struct passes *s, double *way, struct he_windows *w)
{
    const struct he_problem *p = s->problem;
    uint32_t n = p->task_count, d = p->device_count;

    for (uint32_t t = 0; t < n; t++) {
        double *start = s->start + (size_t)t * d;

        for (uint32_t j = 0; p->in_start[t] == p->in_start[t + 1] && j < d; j++)
            start[j] = launch(p, j) - (p->waking ? p->waking[j] : 0.0);
        for (uint32_t k = p->in_start[t]; k < p->in_start[t + 1]; k++) {
            const struct he_place_edge *e = &p->edges[p->in_edges[k]];

            for (uint32_t i = 0; i < d; i++)
                way[i] = s->start[(size_t)e->from * d + i] + he_problem_time(p, e->from, i);
            cross(s, way, e->bytes, true, start);
        }
    }
    for (uint32_t t = n; t-- > 0;) {
        double *after = s->after + (size_t)t * d, least = INFINITY;

        for (uint32_t k = p->out_start[t]; k < p->out_start[t + 1]; k++) {
            const struct he_place_edge *e = &p->edges[p->out_edges[k]];

            for (uint32_t i = 0; i < d; i++)
                way[i] = s->after[(size_t)e->to * d + i] + he_problem_time(p, e->to, i);
            cross(s, way, e->bytes, false, after);
        }
        w->head[t] = w->tail[t] = INFINITY;
        for (uint32_t j = 0; j < d; j++) {
            double time = he_problem_time(p, t, j);

            if (isinf(time))
                continue;
            w->head[t] = fmin(w->head[t], s->start[(size_t)t * d + j]);
            w->tail[t] = fmin(w->tail[t], after[j]);
            least = fmin(least, s->start[(size_t)t * d + j] + time + after[j]);
        }
        if (!isinf(least))
            w->path = fmax(w->path, least);
    }
}

/* Least times, no transfers. */
static void run_plainly(const struct he_problem *p, double *least, struct he_windows *w)
{
    for (uint32_t t = 0; t < p->task_count; t++) {
        least[t] = INFINITY;
        for (uint32_t j = 0; j < p->device_count; j++)
            least[t] = fmin(least[t], he_problem_time(p, t, j));
        for (uint32_t k = p->in_start[t]; k < p->in_start[t + 1]; k++) {
            uint32_t from = p->edges[p->in_edges[k]].from;

            w->head[t] = fmax(w->head[t], w->head[from] + least[from]);
        }
    }
    for (uint32_t t = p->task_count; t-- > 0;) {
        for (uint32_t k = p->out_start[t]; k < p->out_start[t + 1]; k++) {
            uint32_t to = p->edges[p->out_edges[k]].to;

            w->tail[t] = fmax(w->tail[t], w->tail[to] + least[to]);
        }
        w->path = fmax(w->path, w->head[t] + least[t] + w->tail[t]);
    }
}

he_status he_windows_init(struct he_windows *w, const struct he_problem *p, struct he_arena *arena)
{
    struct passes s = { .problem = p };
    double cells = (double)p->task_count * p->device_count;
    double *way;

    *w = (struct he_windows){ 0 };
    w->head = he_arena_alloc(arena, p->task_count, sizeof *w->head);
    w->tail = he_arena_alloc(arena, p->task_count, sizeof *w->tail);
    if (!w->head || !w->tail)
        return he_no_memory();
    if (cells > MOST_CELLS) {
        way = he_arena_alloc(arena, p->task_count, sizeof *way);
        if (!way)
            return he_no_memory();
        run_plainly(p, way, w);
        return HE_OK;
    }
    s.is_exact = (double)p->edge_count * p->device_count * p->device_count <= MOST_STEPS;
    way = he_arena_alloc(arena, p->device_count, sizeof *way);
    s.start = he_arena_alloc(arena, (size_t)p->task_count, p->device_count * sizeof *s.start);
    s.after = he_arena_alloc(arena, (size_t)p->task_count, p->device_count * sizeof *s.after);
    if (!way || !s.start || !s.after || ease_links(&s, arena) != HE_OK)
        return he_no_memory();
    run_passes(&s, way, w);
    return HE_OK;
}

static int compare_numbers(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return a < b ? -1 : a > b;
}

/* GRID values that are spread over @values, ascending, the first 0. */
static void make_grid(double *sorted, uint32_t n, double *grid)
{
    qsort(sorted, n, sizeof *sorted, compare_numbers);
    for (uint32_t g = 0; g < GRID; g++)
        grid[g] = g ? sorted[(size_t)(n - 1) * g / (GRID - 1)] : 0.0;
}

/* The last of the grid that is not above @value. */
static uint32_t place_in(const double *grid, double value)
{
    uint32_t g = 0;

    while (g + 1 < GRID && grid[g + 1] <= value)
        g++;
    return g;
}

double he_windows_area(const struct he_windows *w, uint32_t n, const double *area,
                       struct he_arena *arena)
{
    double heads[GRID], tails[GRID], sums[GRID][GRID] = { { 0 } }, best = 0.0;
    double *sorted = he_arena_alloc(arena, n, sizeof *sorted);

    if (!sorted || n == 0)
        return 0.0; /* a weaker bound is a bound */
    memcpy(sorted, w->head, n * sizeof *sorted);
    make_grid(sorted, n, heads);
    memcpy(sorted, w->tail, n * sizeof *sorted);
    make_grid(sorted, n, tails);
    for (uint32_t t = 0; t < n; t++)
        sums[place_in(heads, w->head[t])][place_in(tails, w->tail[t])] += area[t];
    for (uint32_t h = GRID; h-- > 0;) {
        double behind = 0.0;

        for (uint32_t q = GRID; q-- > 0;) {
            behind += sums[h][q];
            sums[h][q] = behind + (h + 1 < GRID ? sums[h + 1][q] : 0.0);
            if (sums[h][q] > 0.0)
                best = fmax(best, heads[h] + sums[h][q] + tails[q]);
        }
    }
    return best;
}
