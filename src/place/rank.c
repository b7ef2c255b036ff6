/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks are longest paths computed backwards over the topological numbering.
 * Sources: Topcuoglu, Hariri, Wu 2002 (upward rank); Arabnejad, Barbosa 2014
 * (optimistic cost table).
 */
#include <stdlib.h>
#include <string.h>

#include "rank.h"
#include "wires.h"

static double typical_time(const struct he_problem *p, uint32_t task, enum he_rank_kind kind)
{
    double sum = 0.0, least = INFINITY, most = 0.0;
    uint32_t count = 0;

    for (uint32_t j = 0; j < p->device_count; j++) {
        double time = he_problem_time(p, task, j);

        if (isinf(time))
            continue;
        sum += time;
        count++;
        if (time < least)
            least = time;
        if (time > most)
            most = time;
    }
    if (count == 0)
        return 0.0;
    return kind == HE_RANK_MEAN ? sum / count : kind == HE_RANK_MIN ? least : most;
}

void he_mean_link(const struct he_problem *p, double pairs, double *latency, double *per_byte)
{
    *latency = *per_byte = 0.0;
    for (uint32_t i = 0; i < p->device_count; i++) {
        for (uint32_t j = 0; j < p->device_count; j++) {
            const struct he_place_link *link = &p->links[(size_t)i * p->device_count + j];

            if (i == j || link->is_free ||
                p->devices[i].memory_node == p->devices[j].memory_node)
                continue;
            *latency += link->latency / pairs;
            *per_byte += 1.0 / link->bandwidth / pairs;
        }
    }
}

void he_rank_upward(const struct he_problem *p, enum he_rank_kind kind, double transfer_weight,
                    double *rank)
{
    double latency, per_byte, pairs = (double)p->device_count * p->device_count;

    he_mean_link(p, pairs, &latency, &per_byte);
    for (uint32_t t = p->task_count; t-- > 0;) {
        double longest = 0.0;

        for (uint32_t k = p->out_start[t]; k < p->out_start[t + 1]; k++) {
            const struct he_place_edge *e = &p->edges[p->out_edges[k]];
            double way = transfer_weight * (latency + per_byte * e->bytes) + rank[e->to];

            if (way > longest)
                longest = way;
        }
        rank[t] = typical_time(p, t, kind) + longest;
    }
}

/* The devices on which the rest of the way from @to on could be shortest for somebody: whoever is
 * beaten by the quickest even if that one's transfer is the longest and its own the shortest,
 * is never the best. With equal links one device is left of 64. */
static uint32_t short_list(const double *way, uint32_t d, double spread, uint32_t *list)
{
    double least = INFINITY;
    uint32_t count = 0;

    for (uint32_t i = 0; i < d; i++)
        least = way[i] < least ? way[i] : least;
    for (uint32_t i = 0; i < d; i++) {
        if (way[i] <= least + spread)
            list[count++] = i;
    }
    return count;
}

static void optimistic(const struct he_problem *p, const struct he_wires *wires, double *way,
                       uint32_t *list, double *table)
{
    uint32_t d = p->device_count;
    double low_latency = INFINITY, high_latency = 0.0, low_slope = INFINITY, high_slope = 0.0;

    for (size_t k = 0; k < (size_t)d * d; k++) {
        double slope = 1.0 / wires->bandwidth[k];

        if (k / d == k % d)
            continue;
        low_latency = fmin(low_latency, wires->latency[k]);
        high_latency = fmax(high_latency, wires->latency[k]);
        low_slope = fmin(low_slope, slope);
        high_slope = fmax(high_slope, slope);
    }
    for (uint32_t t = p->task_count; t-- > 0;) {
        double *row = table + (size_t)t * d;

        for (uint32_t j = 0; j < d; j++)
            row[j] = 0.0;
        for (uint32_t k = p->out_start[t]; k < p->out_start[t + 1]; k++) {
            const struct he_place_edge *e = &p->edges[p->out_edges[k]];
            const double *next = table + (size_t)e->to * d;
            const double *time = p->time + (size_t)e->to * d;
            double spread = high_latency - low_latency + e->bytes * (high_slope - low_slope);
            uint32_t count;

            for (uint32_t j = 0; j < d; j++)
                way[j] = next[j] + time[j];
            count = d > 1 ? short_list(way, d, spread * (1.0 + 1e-9), list) : 0;
            for (uint32_t j = 0; j < d; j++) {
                double least = way[j];

                for (uint32_t i = 0; i < count; i++) {
                    /* The transfer is looked at only where it could matter. */
                    if (way[list[i]] < least) {
                        double all = way[list[i]] + he_wires_seconds(wires, j, list[i], e->bytes);

                        if (all < least)
                            least = all;
                    }
                }
                if (least > row[j])
                    row[j] = least;
            }
        }
    }
}

void he_rank_optimistic(const struct he_problem *p, double *table)
{
    struct he_wires wires;
    struct he_arena scratch;
    double *way;
    uint32_t *list;

    he_arena_init(&scratch, &p->arena.alloc);
    way = he_arena_alloc(&scratch, p->device_count, sizeof *way);
    list = he_arena_alloc(&scratch, p->device_count, sizeof *list);
    if (way && list && he_wires_init(&wires, p, &scratch))
        optimistic(p, &wires, way, list, table);
    else
        memset(table, 0, (size_t)p->task_count * p->device_count * sizeof *table);
    he_arena_fini(&scratch);
}

struct keyed {
    double key;
    uint32_t task;
};

static int compare_keyed(const void *left, const void *right)
{
    const struct keyed *a = left, *b = right;

    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->task < b->task ? -1 : a->task > b->task;
}

/* Sorts by @sign * key, equal ones by number: topological when every edge goes to a task
 * whose signed key is the same or larger. */
static he_status sort_by_key(const struct he_problem *p, const double *key, double sign,
                             uint32_t *order)
{
    struct keyed *sorted = he_alloc(&p->arena.alloc, p->task_count, sizeof *sorted);

    if (!sorted)
        return he_no_memory();
    for (uint32_t t = 0; t < p->task_count; t++)
        sorted[t] = (struct keyed){ sign * key[t], t };
    if (p->task_count > 1)
        qsort(sorted, p->task_count, sizeof *sorted, compare_keyed);
    for (uint32_t t = 0; t < p->task_count; t++)
        order[t] = sorted[t].task;
    he_free(&p->arena.alloc, sorted);
    return HE_OK;
}

he_status he_order_by_start(const struct he_problem *p, const double *start, uint32_t *order)
{
    return sort_by_key(p, start, 1.0, order);
}

he_status he_order_by_path(const struct he_problem *p, const uint32_t *device, uint32_t *order)
{
    double *rank = he_alloc(&p->arena.alloc, p->task_count, sizeof *rank);
    he_status status;

    if (!rank)
        return he_no_memory();
    for (uint32_t t = p->task_count; t-- > 0;) {
        double longest = 0.0, time = he_problem_time(p, t, device[t]);

        for (uint32_t k = p->out_start[t]; k < p->out_start[t + 1]; k++) {
            const struct he_place_edge *e = &p->edges[p->out_edges[k]];
            double way = he_problem_transfer(p, device[t], device[e->to], e->bytes) + rank[e->to];

            if (way > longest)
                longest = way;
        }
        rank[t] = (isinf(time) ? 0.0 : time) + longest;
    }
    status = sort_by_key(p, rank, -1.0, order);
    he_free(&p->arena.alloc, rank);
    return status;
}

/* --- Ready tasks in a binary heap, the most urgent on top --- */

static bool is_before(const double *priority, uint32_t a, uint32_t b)
{
    return priority[a] != priority[b] ? priority[a] > priority[b] : a < b;
}

static void heap_push(uint32_t *heap, uint32_t *count, const double *priority, uint32_t task)
{
    uint32_t at = (*count)++;

    while (at > 0 && is_before(priority, task, heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = task;
}

static uint32_t heap_pop(uint32_t *heap, uint32_t *count, const double *priority)
{
    uint32_t top = heap[0], last = heap[--*count], at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= *count)
            break;
        if (child + 1 < *count && is_before(priority, heap[child + 1], heap[child]))
            child++;
        if (!is_before(priority, heap[child], last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

he_status he_order_by_priority(const struct he_problem *p, const double *priority, uint32_t *order)
{
    uint32_t *heap = he_alloc(&p->arena.alloc, (size_t)p->task_count + 1, sizeof *heap);
    uint32_t *waits = he_alloc(&p->arena.alloc, (size_t)p->task_count + 1, sizeof *waits);
    uint32_t count = 0, done = 0;

    if (!heap || !waits) {
        he_free(&p->arena.alloc, heap);
        he_free(&p->arena.alloc, waits);
        return he_no_memory();
    }
    for (uint32_t t = 0; t < p->task_count; t++) {
        waits[t] = p->in_start[t + 1] - p->in_start[t];
        if (waits[t] == 0)
            heap_push(heap, &count, priority, t);
    }
    while (count > 0) {
        uint32_t task = heap_pop(heap, &count, priority);

        order[done++] = task;
        for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++) {
            uint32_t to = p->edges[p->out_edges[k]].to;

            if (--waits[to] == 0)
                heap_push(heap, &count, priority, to);
        }
    }
    he_free(&p->arena.alloc, heap);
    he_free(&p->arena.alloc, waits);
    return HE_OK;
}
