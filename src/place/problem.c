/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The placement problem as data: checks the numbers, renumbers servers and
 * memory nodes from 0, and indexes edges by task and by tensor.
 */
#include <string.h>

#include "core/size.h"
#include "problem.h"

struct he_problem *he_problem_create(const struct he_allocator *alloc)
{
    struct he_problem *problem = he_alloc(alloc, 1, sizeof *problem);

    if (!problem) {
        (void)he_no_memory();
        return NULL;
    }
    he_arena_init(&problem->arena, alloc);
    problem->has_contention = true;
    problem->limits = (struct he_place_limits){ INFINITY, INFINITY, INFINITY, INFINITY };
    return problem;
}

void he_problem_destroy(struct he_problem *problem)
{
    struct he_allocator alloc;

    if (!problem)
        return;
    alloc = problem->arena.alloc;
    he_arena_fini(&problem->arena);
    he_free(&alloc, problem);
}

he_status he_resource_limit_device(struct he_place_resource *resource, uint32_t device, double limit,
                                   uint32_t device_count, struct he_arena *arena)
{
    double *limits;

    if (!resource->device_limits) {
        limits = he_arena_alloc(arena, device_count, sizeof *limits);
        if (!limits)
            return he_no_memory();
        for (uint32_t j = 0; j < device_count; j++)
            limits[j] = INFINITY;
        resource->device_limits = limits;
    }
    /* Ours to write: the struct is read-only for the policies. */
    limits = (double *)resource->device_limits;
    limits[device] = limit;
    return HE_OK;
}

double he_problem_transfer(const struct he_problem *problem, uint32_t from, uint32_t to,
                           double bytes)
{
    const struct he_place_link *link;

    if (from == to || problem->devices[from].memory_node == problem->devices[to].memory_node)
        return 0.0;
    link = &problem->links[(size_t)from * problem->device_count + to];
    return link->is_free ? 0.0 : link->latency + bytes / link->bandwidth;
}

/* A number that may be infinite but not negative and not NaN. */
static bool is_amount(double value)
{
    return value >= 0.0;
}

static he_status check_devices(const struct he_problem *p)
{
    for (uint32_t j = 0; j < p->device_count; j++) {
        const struct he_place_device *d = &p->devices[j];

        if (!is_amount(d->memory_bytes) || !is_amount(d->idle_watts) || isinf(d->idle_watts) ||
            !is_amount(d->busy_watts) || isinf(d->busy_watts) || !is_amount(d->price_per_hour) ||
            isinf(d->price_per_hour))
            return he_error_set(HE_ERR_INVALID,
                                "device %s: memory, watts and price must be numbers of 0 or more",
                                d->id);
        if (!is_amount(d->copy_bandwidth) || !is_amount(d->copy_latency) || isinf(d->copy_latency))
            return he_error_set(HE_ERR_INVALID,
                                "device %s: copy bandwidth and latency must be 0 or more", d->id);
        if (p->launch && (!is_amount(p->launch[j]) || isinf(p->launch[j])))
            return he_error_set(HE_ERR_INVALID, "device %s: launch time is not a number of 0 or more",
                                d->id);
        for (uint32_t k = 0; k < p->device_count; k++) {
            const struct he_place_link *l = &p->links[(size_t)j * p->device_count + k];

            if (j != k && !l->is_free &&
                (!(l->bandwidth > 0.0) || !is_amount(l->latency) || isinf(l->latency)))
                return he_error_set(HE_ERR_INVALID,
                                    "link %s -> %s: bandwidth must be above 0 and latency 0 or more",
                                    d->id, p->devices[k].id);
        }
    }
    return HE_OK;
}

static he_status check_tasks(const struct he_problem *p)
{
    for (uint32_t t = 0; t < p->task_count; t++) {
        if (!is_amount(p->task_memory[t]) || isinf(p->task_memory[t]))
            return he_error_set(HE_ERR_INVALID, "task %s: memory must be a number of 0 or more",
                                p->task_ids[t]);
        for (uint32_t j = 0; j < p->device_count; j++) {
            if (!is_amount(he_problem_time(p, t, j)))
                return he_error_set(HE_ERR_INVALID, "task %s: time on %s must be 0 or more",
                                    p->task_ids[t], p->devices[j].id);
        }
        for (size_t r = 0; r < p->resource_count; r++) {
            for (uint32_t j = 0; j < p->device_count; j++) {
                double amount = p->resources[r].amount[(size_t)t * p->device_count + j];

                if (!is_amount(amount) || isinf(amount))
                    return he_error_set(HE_ERR_INVALID, "task %s: %s must be a number of 0 or more",
                                        p->task_ids[t], p->resources[r].name);
            }
        }
    }
    for (uint32_t e = 0; e < p->edge_count; e++) {
        const struct he_place_edge *edge = &p->edges[e];

        if (edge->from >= p->task_count || edge->to >= p->task_count || edge->from >= edge->to)
            return he_error_set(HE_ERR_INVALID,
                                "edge %u goes from task %u to task %u of %u: tasks are not in "
                                "topological order",
                                e, edge->from, edge->to, p->task_count);
        if (!is_amount(edge->bytes) || isinf(edge->bytes))
            return he_error_set(HE_ERR_INVALID, "edge %s -> %s: bytes must be a number of 0 or more",
                                p->task_ids[edge->from], p->task_ids[edge->to]);
    }
    return HE_OK;
}

/* Renumbers @ids of the devices in order of first appearance; gives how many there are. */
static uint32_t renumber(struct he_problem *p, size_t field)
{
    uint32_t count = 0;

    /* Device counts are small: the square of them is less work than a map. Numbers of
     * devices not yet visited keep their old value, so the old ones are compared there. */
    uint32_t *seen = he_arena_alloc(&p->arena, p->device_count, sizeof *seen);

    if (!seen)
        return UINT32_MAX;
    for (uint32_t j = 0; j < p->device_count; j++) {
        uint32_t *id = (uint32_t *)((char *)&p->devices[j] + field);
        uint32_t k = 0;

        while (k < count && seen[k] != *id)
            k++;
        if (k == count)
            seen[count++] = *id;
        *id = k;
    }
    return count;
}

/* Stable: by task, and among the edges of one task side by side by tensor. */
static he_status index_edges(struct he_problem *p)
{
    uint32_t n = p->task_count, e_count = p->edge_count;
    uint32_t *fill;

    p->out_start = he_arena_alloc(&p->arena, (size_t)n + 1, sizeof *p->out_start);
    p->in_start = he_arena_alloc(&p->arena, (size_t)n + 1, sizeof *p->in_start);
    p->out_edges = he_arena_alloc(&p->arena, e_count, sizeof *p->out_edges);
    p->in_edges = he_arena_alloc(&p->arena, e_count, sizeof *p->in_edges);
    fill = he_arena_alloc(&p->arena, (size_t)n + 1, sizeof *fill);
    if (!p->out_start || !p->in_start || !p->out_edges || !p->in_edges || !fill)
        return he_no_memory();
    for (uint32_t e = 0; e < e_count; e++) {
        p->out_start[p->edges[e].from + 1]++;
        p->in_start[p->edges[e].to + 1]++;
    }
    for (uint32_t t = 0; t < n; t++) {
        p->out_start[t + 1] += p->out_start[t];
        p->in_start[t + 1] += p->in_start[t];
    }
    memcpy(fill, p->in_start, ((size_t)n + 1) * sizeof *fill);
    for (uint32_t e = 0; e < e_count; e++)
        p->in_edges[fill[p->edges[e].to]++] = e;
    memcpy(fill, p->out_start, ((size_t)n + 1) * sizeof *fill);
    for (uint32_t e = 0; e < e_count; e++)
        p->out_edges[fill[p->edges[e].from]++] = e;
    return HE_OK;
}

/* Heap sort of edge numbers by (tensor, edge): a task may have 10^5 consumers. */
static bool edge_after(const struct he_problem *p, uint32_t a, uint32_t b)
{
    uint32_t ta = p->edges[a].tensor, tb = p->edges[b].tensor;

    return ta != tb ? ta > tb : a > b;
}

static void sift(const struct he_problem *p, uint32_t *heap, size_t root, size_t count)
{
    for (;;) {
        size_t child = 2 * root + 1;
        uint32_t swap;

        if (child >= count)
            return;
        if (child + 1 < count && edge_after(p, heap[child + 1], heap[child]))
            child++;
        if (!edge_after(p, heap[child], heap[root]))
            return;
        swap = heap[root];
        heap[root] = heap[child];
        heap[child] = swap;
        root = child;
    }
}

static void sort_by_tensor(const struct he_problem *p, uint32_t *edges, size_t count)
{
    bool is_shared = false;

    for (size_t k = 0; k < count; k++)
        is_shared |= p->edges[edges[k]].tensor != 0;
    if (!is_shared || count < 2)
        return;
    for (size_t root = count / 2; root-- > 0;)
        sift(p, edges, root, count);
    for (size_t last = count - 1; last > 0; last--) {
        uint32_t swap = edges[0];

        edges[0] = edges[last];
        edges[last] = swap;
        sift(p, edges, 0, last);
    }
}

static he_status index_tensors(struct he_problem *p)
{
    p->tensor_start = he_arena_alloc(&p->arena, (size_t)p->edge_count + 1, sizeof *p->tensor_start);
    p->edge_tensor = he_arena_alloc(&p->arena, p->edge_count, sizeof *p->edge_tensor);
    if (!p->tensor_start || !p->edge_tensor)
        return he_no_memory();
    p->tensor_count = 0;
    for (uint32_t t = 0; t < p->task_count; t++) {
        sort_by_tensor(p, p->out_edges + p->out_start[t], p->out_start[t + 1] - p->out_start[t]);
        for (uint32_t k = p->out_start[t]; k < p->out_start[t + 1]; k++) {
            uint32_t e = p->out_edges[k];

            if (k == p->out_start[t] || p->edges[e].tensor == 0 ||
                p->edges[e].tensor != p->edges[p->out_edges[k - 1]].tensor)
                p->tensor_start[p->tensor_count++] = k;
            else if (p->edges[e].bytes != p->edges[p->out_edges[k - 1]].bytes)
                return he_error_set(HE_ERR_INVALID,
                                    "edges of task %s carry one tensor but differ in bytes",
                                    p->task_ids[t]);
            p->edge_tensor[e] = p->tensor_count - 1;
        }
    }
    p->tensor_start[p->tensor_count] = p->edge_count;
    return HE_OK;
}

he_status he_problem_index(struct he_problem *p)
{
    he_status status;

    if (!p)
        return he_error_set(HE_ERR_INVALID, "he_problem_index: no problem given");
    if (p->device_count == 0)
        return he_error_set(HE_ERR_INVALID, "a placement needs at least one device");
    if (!p->devices || !p->links || (p->task_count && (!p->time || !p->task_memory || !p->task_ids)) ||
        (p->edge_count && !p->edges))
        return he_error_set(HE_ERR_INVALID, "the placement problem is not filled in");
    status = check_devices(p);
    if (status == HE_OK)
        status = check_tasks(p);
    if (status == HE_OK)
        status = index_edges(p);
    if (status == HE_OK)
        status = index_tensors(p);
    if (status != HE_OK)
        return status;
    p->server_count = renumber(p, offsetof(struct he_place_device, server));
    p->memory_count = renumber(p, offsetof(struct he_place_device, memory_node));
    p->weight_limit = he_arena_alloc(&p->arena, p->device_count, sizeof *p->weight_limit);
    if (p->server_count == UINT32_MAX || p->memory_count == UINT32_MAX || !p->weight_limit)
        return he_no_memory();
    for (uint32_t j = 0; j < p->device_count; j++) {
        p->weight_limit[j] = p->devices[j].memory_bytes;
        p->has_copies |= p->devices[j].copy_bandwidth > 0.0;
    }
    return HE_OK;
}

bool he_problem_is_roomy(const struct he_problem *p)
{
    double bytes = 0.0;

    if (!isinf(p->limits.memory_bytes))
        return false;
    if (p->ignores_tensors)
        return true;
    for (uint32_t e = 0; e < p->edge_count; e++)
        bytes += p->edges[e].bytes;
    for (uint32_t t = 0; t < p->task_count; t++)
        bytes += p->task_memory[t];
    for (uint32_t j = 0; j < p->device_count; j++) {
        if (bytes > p->devices[j].memory_bytes)
            return false;
    }
    return true;
}

const char *he_objective_name(enum he_objective objective)
{
    switch (objective) {
    case HE_OBJECTIVE_LATENCY:
        return "makespan";
    case HE_OBJECTIVE_COST:
        return "sum_cost";
    case HE_OBJECTIVE_THROUGHPUT:
        return "bottleneck";
    case HE_OBJECTIVE_ENERGY:
        return "energy";
    }
    return "unknown";
}
