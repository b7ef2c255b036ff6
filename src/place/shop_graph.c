/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads, tails and insertion after Mastrolilli and Gambardella, "Effective neighbourhood
 * functions for the flexible job shop problem" (2000). A task v is lifted out of the graph. On
 * a server, let P be the tasks whose time and tail exceed v's tail: a prefix of its sequence;
 * S those that finish after v's head: a suffix. v behind all tasks that are in P alone and before all
 * that are in S alone never makes a cycle, and one of these places is optimal. With the heads
 * and tails of the graph without v the value of each is exact.
 *
 * Lifting changes the heads of v's descendants and the tails of its ancestors only; they are
 * visited along the topological order by a bit per position, and put back from a log.
 */
#include <string.h>

#include "shop_graph.h"

#define LEAST_TIME 1e-11 /* of the longest time */

static he_status index_edges(struct he_shop *shop, struct he_arena *arena)
{
    const struct he_problem *p = shop->problem;
    bool has_lags = false;

    for (size_t k = 0; k < (size_t)p->device_count * p->device_count; k++) {
        uint32_t from = (uint32_t)(k / p->device_count), to = (uint32_t)(k % p->device_count);

        if (from != to && !p->links[k].is_free &&
            p->devices[from].memory_node != p->devices[to].memory_node)
            has_lags = true;
    }
    shop->in = he_arena_alloc(arena, p->edge_count, sizeof *shop->in);
    shop->out = he_arena_alloc(arena, p->edge_count, sizeof *shop->out);
    if (!shop->in || !shop->out)
        return he_no_memory();
    if (has_lags) {
        shop->in_bytes = he_arena_alloc(arena, p->edge_count, sizeof *shop->in_bytes);
        shop->out_bytes = he_arena_alloc(arena, p->edge_count, sizeof *shop->out_bytes);
        if (!shop->in_bytes || !shop->out_bytes)
            return he_no_memory();
    }
    for (uint32_t k = 0; k < p->edge_count; k++) {
        const struct he_place_edge *in = &p->edges[p->in_edges[k]];
        const struct he_place_edge *out = &p->edges[p->out_edges[k]];

        shop->in[k] = in->from;
        shop->out[k] = out->to;
        if (has_lags) {
            shop->in_bytes[k] = in->bytes;
            shop->out_bytes[k] = out->bytes;
        }
    }
    return HE_OK;
}

he_status he_shop_init(struct he_shop *shop, const struct he_problem *p, struct he_arena *arena)
{
    uint32_t n = p->task_count;
    double longest = 0.0;
    he_status status;

    *shop = (struct he_shop){ .problem = p, .count = n, .lifted = HE_SHOP_NONE };
    status = index_edges(shop, arena);
    if (status != HE_OK)
        return status;
    shop->sinks = he_arena_alloc(arena, n, sizeof *shop->sinks);
    shop->device = he_arena_alloc(arena, n, sizeof *shop->device);
    shop->before = he_arena_alloc(arena, n, sizeof *shop->before);
    shop->after = he_arena_alloc(arena, n, sizeof *shop->after);
    shop->first = he_arena_alloc(arena, p->server_count, sizeof *shop->first);
    shop->last = he_arena_alloc(arena, p->server_count, sizeof *shop->last);
    shop->time = he_arena_alloc(arena, n, sizeof *shop->time);
    shop->head = he_arena_alloc(arena, n, sizeof *shop->head);
    shop->tail = he_arena_alloc(arena, n, sizeof *shop->tail);
    shop->order = he_arena_alloc(arena, n, sizeof *shop->order);
    shop->position = he_arena_alloc(arena, n, sizeof *shop->position);
    shop->changed_heads = he_arena_alloc(arena, n, sizeof *shop->changed_heads);
    shop->changed_tails = he_arena_alloc(arena, n, sizeof *shop->changed_tails);
    shop->old_heads = he_arena_alloc(arena, n, sizeof *shop->old_heads);
    shop->old_tails = he_arena_alloc(arena, n, sizeof *shop->old_tails);
    shop->dirty = he_arena_alloc(arena, (size_t)n / 64 + 1, sizeof *shop->dirty);
    shop->waits = he_arena_alloc(arena, n, sizeof *shop->waits);
    if (!shop->sinks || !shop->device || !shop->before || !shop->after || !shop->first ||
        !shop->last || !shop->time || !shop->head || !shop->tail || !shop->order ||
        !shop->position || !shop->changed_heads || !shop->changed_tails || !shop->old_heads ||
        !shop->old_tails || !shop->dirty || !shop->waits)
        return he_no_memory();
    for (uint32_t t = 0; t < n; t++) {
        if (p->out_start[t] == p->out_start[t + 1])
            shop->sinks[shop->sink_count++] = t;
    }
    for (size_t k = 0; k < (size_t)n * p->device_count; k++) {
        if (!isinf(p->time[k]) && p->time[k] > longest)
            longest = p->time[k];
    }
    shop->least_time = longest > 0.0 ? longest * LEAST_TIME : 1.0;
    return HE_OK;
}

/* --- Times and transfers --- */

double he_shop_time(const struct he_shop *shop, uint32_t task, uint32_t device)
{
    const struct he_problem *p = shop->problem;
    double time = he_problem_time(p, task, device);

    if (p->launch && p->launch[device] > 0.0) {
        bool starts_region = p->in_start[task] == p->in_start[task + 1];

        for (uint32_t k = p->in_start[task]; !starts_region && k < p->in_start[task + 1]; k++)
            starts_region = shop->device[shop->in[k]] != device;
        if (starts_region)
            time += p->launch[device];
    }
    return time > shop->least_time ? time : shop->least_time;
}

/* A lifted task is nowhere: its transfers take nothing. */
static double lag(const struct he_shop *shop, uint32_t from, uint32_t to, double bytes)
{
    if (from == shop->lifted || to == shop->lifted)
        return 0.0;
    return he_problem_transfer(shop->problem, shop->device[from], shop->device[to], bytes);
}

/* When the inputs of @task are there; a lifted one's would go to @device. */
static double arrival(const struct he_shop *shop, uint32_t task, uint32_t device)
{
    const struct he_problem *p = shop->problem;
    double latest = 0.0;

    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        uint32_t u = shop->in[k];
        double at = shop->head[u] + shop->time[u];

        if (shop->in_bytes)
            at += device == HE_SHOP_NONE ? lag(shop, u, task, shop->in_bytes[k])
                                         : he_problem_transfer(p, shop->device[u], device,
                                                               shop->in_bytes[k]);
        if (at > latest)
            latest = at;
    }
    return latest;
}

/* The longest way from the end of @task along its edges. */
static double departure(const struct he_shop *shop, uint32_t task, uint32_t device)
{
    const struct he_problem *p = shop->problem;
    double longest = 0.0;

    for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++) {
        uint32_t w = shop->out[k];
        double way = shop->time[w] + shop->tail[w];

        if (shop->out_bytes)
            way += device == HE_SHOP_NONE ? lag(shop, task, w, shop->out_bytes[k])
                                          : he_problem_transfer(p, device, shop->device[w],
                                                                shop->out_bytes[k]);
        if (way > longest)
            longest = way;
    }
    return longest;
}

/* The two that everything waits for: without transfers they are kept short. */
static inline double find_head(const struct he_shop *shop, uint32_t task)
{
    const uint32_t *starts = shop->problem->in_start;
    uint32_t u = shop->before[task];
    double head = u != HE_SHOP_NONE ? shop->head[u] + shop->time[u] : 0.0;

    if (shop->in_bytes)
        return fmax(head, arrival(shop, task, HE_SHOP_NONE));
    for (uint32_t k = starts[task]; k < starts[task + 1]; k++) {
        double at = shop->head[shop->in[k]] + shop->time[shop->in[k]];

        head = at > head ? at : head;
    }
    return head;
}

static inline double find_tail(const struct he_shop *shop, uint32_t task)
{
    const uint32_t *starts = shop->problem->out_start;
    uint32_t w = shop->after[task];
    double tail = w != HE_SHOP_NONE ? shop->time[w] + shop->tail[w] : 0.0;

    if (shop->out_bytes)
        return fmax(tail, departure(shop, task, HE_SHOP_NONE));
    for (uint32_t k = starts[task]; k < starts[task + 1]; k++) {
        double way = shop->time[shop->out[k]] + shop->tail[shop->out[k]];

        tail = way > tail ? way : tail;
    }
    return tail;
}

static double longest_way(const struct he_shop *shop)
{
    double longest = 0.0;

    for (uint32_t k = 0; k < shop->sink_count; k++) {
        uint32_t t = shop->sinks[k];

        if (shop->head[t] + shop->time[t] > longest)
            longest = shop->head[t] + shop->time[t];
    }
    return longest;
}

/* --- Sequences --- */

static void insert(struct he_shop *shop, uint32_t task, uint32_t server, uint32_t left)
{
    uint32_t right = left == HE_SHOP_NONE ? shop->first[server] : shop->after[left];

    shop->before[task] = left;
    shop->after[task] = right;
    if (left == HE_SHOP_NONE)
        shop->first[server] = task;
    else
        shop->after[left] = task;
    if (right == HE_SHOP_NONE)
        shop->last[server] = task;
    else
        shop->before[right] = task;
}

static void unlink_task(struct he_shop *shop, uint32_t task)
{
    uint32_t server = shop->problem->devices[shop->device[task]].server;
    uint32_t left = shop->before[task], right = shop->after[task];

    if (left == HE_SHOP_NONE)
        shop->first[server] = right;
    else
        shop->after[left] = right;
    if (right == HE_SHOP_NONE)
        shop->last[server] = left;
    else
        shop->before[right] = left;
    shop->before[task] = shop->after[task] = HE_SHOP_NONE;
}

void he_shop_load(struct he_shop *shop, const uint32_t *device, const uint32_t *order)
{
    const struct he_problem *p = shop->problem;

    shop->lifted = HE_SHOP_NONE;
    memcpy(shop->device, device, shop->count * sizeof *device);
    memcpy(shop->order, order, shop->count * sizeof *order);
    for (uint32_t s = 0; s < p->server_count; s++)
        shop->first[s] = shop->last[s] = HE_SHOP_NONE;
    for (uint32_t k = 0; k < shop->count; k++) {
        uint32_t server = p->devices[device[order[k]]].server;

        insert(shop, order[k], server, shop->last[server]);
    }
    for (uint32_t t = 0; t < shop->count; t++)
        shop->time[t] = he_shop_time(shop, t, shop->device[t]);
    he_shop_update(shop);
}

/* Kahn's algorithm; the queue is the order. */
static bool sort(struct he_shop *shop)
{
    const struct he_problem *p = shop->problem;
    uint32_t tail = 0;

    for (uint32_t t = 0; t < shop->count; t++) {
        shop->waits[t] =
            p->in_start[t + 1] - p->in_start[t] + (shop->before[t] != HE_SHOP_NONE);
        if (shop->waits[t] == 0)
            shop->order[tail++] = t;
    }
    for (uint32_t at = 0; at < tail; at++) {
        uint32_t t = shop->order[at];

        shop->position[t] = at;
        for (uint32_t k = p->out_start[t]; k < p->out_start[t + 1]; k++) {
            if (--shop->waits[shop->out[k]] == 0)
                shop->order[tail++] = shop->out[k];
        }
        if (shop->after[t] != HE_SHOP_NONE && --shop->waits[shop->after[t]] == 0)
            shop->order[tail++] = shop->after[t];
    }
    return tail == shop->count;
}

bool he_shop_update(struct he_shop *shop)
{
    const struct he_problem *p = shop->problem;

    shop->work += 3 * (uint64_t)shop->count;
    if (!sort(shop))
        return false;
    if (p->launch) {
        for (uint32_t t = 0; t < shop->count; t++)
            shop->time[t] = he_shop_time(shop, t, shop->device[t]);
    }
    for (uint32_t k = 0; k < shop->count; k++)
        shop->head[shop->order[k]] = find_head(shop, shop->order[k]);
    for (uint32_t k = shop->count; k-- > 0;)
        shop->tail[shop->order[k]] = find_tail(shop, shop->order[k]);
    shop->makespan = longest_way(shop);
    return true;
}

/* --- Lifting --- */

static inline void mark(struct he_shop *shop, uint32_t task)
{
    uint32_t at = shop->position[task];

    shop->dirty[at / 64] |= (uint64_t)1 << (at % 64);
}

static inline void mark_next(struct he_shop *shop, uint32_t task)
{
    const struct he_problem *p = shop->problem;

    for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++)
        mark(shop, shop->out[k]);
    if (shop->after[task] != HE_SHOP_NONE)
        mark(shop, shop->after[task]);
}

static inline void mark_previous(struct he_shop *shop, uint32_t task)
{
    const struct he_problem *p = shop->problem;

    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++)
        mark(shop, shop->in[k]);
    if (shop->before[task] != HE_SHOP_NONE)
        mark(shop, shop->before[task]);
}

static inline void set_head(struct he_shop *shop, uint32_t task, double head)
{
    shop->changed_heads[shop->changed_head_count] = task;
    shop->old_heads[shop->changed_head_count++] = shop->head[task];
    shop->head[task] = head;
}

static inline void set_tail(struct he_shop *shop, uint32_t task, double tail)
{
    shop->changed_tails[shop->changed_tail_count] = task;
    shop->old_tails[shop->changed_tail_count++] = shop->tail[task];
    shop->tail[task] = tail;
}

/* Marked tasks from word @word on, in topological order; marks go to later ones only. */
static void settle_heads(struct he_shop *shop, uint32_t word)
{
    uint32_t words = shop->count / 64 + 1;

    for (; word < words; word++) {
        while (shop->dirty[word]) {
            uint32_t bit = (uint32_t)__builtin_ctzll(shop->dirty[word]);
            uint32_t task = shop->order[word * 64 + bit];
            double head = find_head(shop, task);

            shop->dirty[word] &= shop->dirty[word] - 1;
            shop->work++;
            if (head != shop->head[task]) {
                set_head(shop, task, head);
                mark_next(shop, task);
            }
        }
    }
}

static void settle_tails(struct he_shop *shop, uint32_t word)
{
    do {
        while (shop->dirty[word]) {
            uint32_t bit = 63 - (uint32_t)__builtin_clzll(shop->dirty[word]);
            uint32_t task = shop->order[word * 64 + bit];
            double tail = find_tail(shop, task);

            shop->dirty[word] &= ~((uint64_t)1 << bit);
            shop->work++;
            if (tail != shop->tail[task]) {
                set_tail(shop, task, tail);
                mark_previous(shop, task);
            }
        }
    } while (word-- > 0);
}

double he_shop_lift(struct he_shop *shop, uint32_t task)
{
    uint32_t left = shop->before[task], right = shop->after[task];
    uint32_t word = shop->position[task] / 64;

    shop->lifted = task;
    shop->lifted_before = left;
    shop->lifted_after = right;
    shop->lifted_time = shop->time[task];
    shop->changed_head_count = shop->changed_tail_count = 0;
    unlink_task(shop, task);
    shop->time[task] = 0.0;
    shop->work += shop->count / 64 + shop->sink_count / 8 + 2;

    set_head(shop, task, find_head(shop, task));
    mark_next(shop, task);
    if (right != HE_SHOP_NONE)
        mark(shop, right);
    settle_heads(shop, word);

    set_tail(shop, task, find_tail(shop, task));
    mark_previous(shop, task);
    if (left != HE_SHOP_NONE)
        mark(shop, left);
    settle_tails(shop, word);
    return longest_way(shop);
}

void he_shop_drop(struct he_shop *shop)
{
    uint32_t task = shop->lifted;

    while (shop->changed_head_count > 0) {
        shop->changed_head_count--;
        shop->head[shop->changed_heads[shop->changed_head_count]] =
            shop->old_heads[shop->changed_head_count];
    }
    while (shop->changed_tail_count > 0) {
        shop->changed_tail_count--;
        shop->tail[shop->changed_tails[shop->changed_tail_count]] =
            shop->old_tails[shop->changed_tail_count];
    }
    shop->time[task] = shop->lifted_time;
    insert(shop, task, shop->problem->devices[shop->device[task]].server, shop->lifted_before);
    shop->lifted = HE_SHOP_NONE;
}

void he_shop_put(struct he_shop *shop, uint32_t device, uint32_t left)
{
    uint32_t task = shop->lifted;

    shop->lifted = HE_SHOP_NONE;
    shop->device[task] = device;
    shop->time[task] = he_shop_time(shop, task, device);
    insert(shop, task, shop->problem->devices[device].server, left);
}

/* --- Places --- */

bool he_shop_find_place(struct he_shop *shop, uint32_t device, uint64_t pick,
                        struct he_shop_place *out)
{
    uint32_t task = shop->lifted, server = shop->problem->devices[device].server;
    uint32_t prefix_end = HE_SHOP_NONE, suffix_begin = HE_SHOP_NONE, left, equal_count = 0;
    bool is_home = device == shop->device[task];
    double time = he_shop_time(shop, task, device), head = shop->head[task];
    double tail = shop->tail[task];

    if (shop->in_bytes) {
        head = arrival(shop, task, device);
        tail = departure(shop, task, device);
    }
    for (uint32_t x = shop->last[server]; x != HE_SHOP_NONE; x = shop->before[x]) {
        shop->work++;
        if (shop->head[x] + shop->time[x] <= head)
            break;
        suffix_begin = x;
    }
    for (uint32_t x = shop->first[server]; x != HE_SHOP_NONE; x = shop->after[x]) {
        shop->work++;
        if (shop->time[x] + shop->tail[x] <= tail)
            break;
        prefix_end = x;
    }
    out->via = INFINITY;
    if (prefix_end != HE_SHOP_NONE && suffix_begin != HE_SHOP_NONE &&
        shop->position[suffix_begin] <= shop->position[prefix_end]) {
        /* From before the suffix to behind the prefix. */
        for (left = shop->before[suffix_begin];; left = left == HE_SHOP_NONE
                                                             ? shop->first[server]
                                                             : shop->after[left]) {
            uint32_t right = left == HE_SHOP_NONE ? shop->first[server] : shop->after[left];
            double from = head, to = tail;

            shop->work++;
            if (left != HE_SHOP_NONE && shop->head[left] + shop->time[left] > from)
                from = shop->head[left] + shop->time[left];
            if (right != HE_SHOP_NONE && shop->time[right] + shop->tail[right] > to)
                to = shop->time[right] + shop->tail[right];
            if (from + time + to <= out->via && !(is_home && left == shop->lifted_before)) {
                if (from + time + to < out->via)
                    equal_count = 0;
                out->via = from + time + to;
                if (pick % ++equal_count == 0)
                    out->left = left;
            }
            if (left == prefix_end)
                break;
        }
        return !isinf(out->via);
    }
    /* Anywhere between prefix and suffix nothing is delayed. */
    for (left = prefix_end;;) {
        uint32_t right = left == HE_SHOP_NONE ? shop->first[server] : shop->after[left];

        shop->work++;
        if (!(is_home && left == shop->lifted_before)) {
            out->via = head + time + tail;
            if (pick % ++equal_count == 0)
                out->left = left;
        }
        if (right == suffix_begin)
            break;
        left = right;
    }
    return !isinf(out->via);
}
