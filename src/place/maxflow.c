/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dinic's algorithm: levels by breadth-first search, then blocking flow by an
 * explicit-stack depth-first search with current arcs. A residual below a
 * millionth of a millionth of the largest capacity counts as empty, so that
 * rounding does not make it run for ever.
 */
#include <string.h>

#include "maxflow.h"

void he_flow_init(struct he_flow *f, const struct he_allocator *alloc)
{
    *f = (struct he_flow){ .alloc = *alloc };
}

void he_flow_fini(struct he_flow *f)
{
    he_free(&f->alloc, f->arcs);
    he_free(&f->alloc, f->first);
    he_free(&f->alloc, f->level);
    he_free(&f->alloc, f->current);
    he_free(&f->alloc, f->queue);
    he_free(&f->alloc, f->path);
    f->arcs = NULL;
    f->first = f->level = f->current = f->queue = f->path = NULL;
}

he_status he_flow_reset(struct he_flow *f, uint32_t nodes)
{
    uint32_t **arrays[] = { &f->first, &f->level, &f->current, &f->queue, &f->path };

    if (nodes > f->node_capacity) {
        f->node_capacity = 0;
        for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
            he_free(&f->alloc, *arrays[k]);
            *arrays[k] = he_alloc(&f->alloc, nodes, sizeof **arrays[k]);
            if (!*arrays[k])
                return he_no_memory();
        }
        f->node_capacity = nodes;
    }
    memset(f->first, 0xff, nodes * sizeof *f->first);
    f->node_count = nodes;
    f->arc_count = 0;
    f->largest = 0.0;
    return HE_OK;
}

static void add_arc(struct he_flow *f, uint32_t from, uint32_t to, double capacity)
{
    f->arcs[f->arc_count] = (struct he_flow_arc){ to, f->first[from], capacity };
    f->first[from] = f->arc_count++;
    if (capacity > f->largest)
        f->largest = capacity;
}

he_status he_flow_add(struct he_flow *f, uint32_t a, uint32_t b, double there, double back)
{
    if (there <= 0.0 && back <= 0.0)
        return HE_OK;
    if (he_alloc_grow(&f->alloc, (void **)&f->arcs, &f->arc_capacity, f->arc_count,
                      (size_t)f->arc_count + 2, sizeof *f->arcs) != HE_OK)
        return HE_ERR_NO_MEMORY;
    add_arc(f, a, b, there);
    add_arc(f, b, a, back);
    return HE_OK;
}

/* Distances from the source; true when the sink is reached. */
static bool find_levels(struct he_flow *f, double empty)
{
    uint32_t head = 0, tail = 0;

    memset(f->level, 0xff, f->node_count * sizeof *f->level);
    f->level[HE_FLOW_SOURCE] = 0;
    f->queue[tail++] = HE_FLOW_SOURCE;
    while (head < tail) {
        uint32_t node = f->queue[head++];

        for (uint32_t k = f->first[node]; k != UINT32_MAX; k = f->arcs[k].next) {
            f->work++;
            if (f->arcs[k].capacity > empty && f->level[f->arcs[k].to] == UINT32_MAX) {
                f->level[f->arcs[k].to] = f->level[node] + 1;
                f->queue[tail++] = f->arcs[k].to;
            }
        }
    }
    return f->level[HE_FLOW_SINK] != UINT32_MAX;
}

/* Pushes what the path of @depth arcs can take; gives the depth to go on from. */
static uint32_t augment(struct he_flow *f, uint32_t depth, double empty)
{
    double push = f->arcs[f->path[0]].capacity;
    uint32_t keep = depth;

    for (uint32_t k = 1; k < depth; k++) {
        if (f->arcs[f->path[k]].capacity < push)
            push = f->arcs[f->path[k]].capacity;
    }
    for (uint32_t k = depth; k-- > 0;) {
        f->arcs[f->path[k]].capacity -= push;
        f->arcs[f->path[k] ^ 1].capacity += push;
        if (f->arcs[f->path[k]].capacity <= empty)
            keep = k;
    }
    f->work += depth;
    return keep;
}

static bool block_flow(struct he_flow *f, double empty, uint64_t work_limit)
{
    uint32_t depth = 0, node = HE_FLOW_SOURCE;

    memcpy(f->current, f->first, f->node_count * sizeof *f->current);
    for (;;) {
        uint32_t k;

        if (f->work > work_limit)
            return false;
        if (node == HE_FLOW_SINK) {
            depth = augment(f, depth, empty);
            node = depth ? f->arcs[f->path[depth - 1]].to : HE_FLOW_SOURCE;
            continue;
        }
        for (k = f->current[node]; k != UINT32_MAX; k = f->arcs[k].next) {
            f->work++;
            if (f->arcs[k].capacity > empty && f->level[f->arcs[k].to] == f->level[node] + 1)
                break;
        }
        f->current[node] = k;
        if (k != UINT32_MAX) {
            f->path[depth++] = k;
            node = f->arcs[k].to;
        } else if (depth == 0) {
            return true;
        } else {
            /* A dead end: step back over the arc that led here. */
            f->level[node] = UINT32_MAX - 1;
            depth--;
            node = f->arcs[f->path[depth] ^ 1].to;
        }
    }
}

bool he_flow_cut(struct he_flow *f, uint64_t work_limit)
{
    double empty = f->largest * 1e-12;

    work_limit += f->work;
    while (find_levels(f, empty)) {
        if (!block_flow(f, empty, work_limit))
            return false;
    }
    return true;
}
