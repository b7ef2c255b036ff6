/* SPDX-License-Identifier: Apache-2.0 */
/* Parts and nets made from tasks and tensors. */
#include <string.h>

#include "nets.h"

struct maker {
    struct he_nets *nets;
    const uint32_t *of;
    uint32_t *mark;          /* by part: tensor + 1 that it was last seen to read */
    uint32_t *latest, *older; /* nets by home: the latest, and by net the one before; plus one */
    uint32_t reader_count;
};

static void sort_numbers(uint32_t *numbers, uint32_t count)
{
    /* Shell's sort: lists are short, but a weight may have thousands of readers. */
    for (uint32_t gap = count / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < count; i++) {
            uint32_t number = numbers[i], k = i;

            for (; k >= gap && numbers[k - gap] > number; k -= gap)
                numbers[k] = numbers[k - gap];
            numbers[k] = number;
        }
    }
}

/* Adds tensor @k to the net with its readers, or makes that net. */
static void add_tensor(struct maker *m, uint32_t k)
{
    struct he_nets *n = m->nets;
    const struct he_problem *p = n->problem;
    const struct he_place_edge *edge = &p->edges[p->out_edges[p->tensor_start[k]]];
    uint32_t home = m->of[edge->from], first = m->reader_count, count = 0;

    for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
        uint32_t part = m->of[p->edges[p->out_edges[i]].to];

        if (part == home || m->mark[part] == k + 1)
            continue;
        m->mark[part] = k + 1;
        n->readers[first + count++] = part;
    }
    if (count == 0)
        return;
    sort_numbers(n->readers + first, count);
    for (uint32_t at = m->latest[home]; at > 0; at = m->older[at - 1]) {
        struct he_net *net = &n->nets[at - 1];

        if (net->count == count && memcmp(n->readers + net->first, n->readers + first,
                                          count * sizeof *n->readers) == 0) {
            net->tensors += 1.0;
            net->bytes += edge->bytes;
            return;
        }
    }
    m->older[n->net_count] = m->latest[home];
    n->nets[n->net_count++] = (struct he_net){ home, first, count, 1.0, edge->bytes };
    m->latest[home] = n->net_count;
    m->reader_count += count;
}

static he_status index_parts(struct he_nets *n, struct he_arena *arena)
{
    uint32_t *fill = he_arena_alloc(arena, (size_t)n->part_count + 1, sizeof *fill);
    size_t total = 0;

    n->at_start = he_arena_alloc(arena, (size_t)n->part_count + 1, sizeof *n->at_start);
    if (!fill || !n->at_start)
        return he_no_memory();
    for (uint32_t k = 0; k < n->net_count; k++) {
        total += n->nets[k].count + 1;
        n->at_start[n->nets[k].home + 1]++;
        for (uint32_t i = 0; i < n->nets[k].count; i++)
            n->at_start[n->readers[n->nets[k].first + i] + 1]++;
    }
    for (uint32_t u = 0; u < n->part_count; u++)
        n->at_start[u + 1] += n->at_start[u];
    memcpy(fill, n->at_start, ((size_t)n->part_count + 1) * sizeof *fill);
    n->at = he_arena_alloc(arena, total, sizeof *n->at);
    if (!n->at)
        return he_no_memory();
    for (uint32_t k = 0; k < n->net_count; k++) {
        n->at[fill[n->nets[k].home]++] = k;
        for (uint32_t i = 0; i < n->nets[k].count; i++)
            n->at[fill[n->readers[n->nets[k].first + i]]++] = k;
    }
    return HE_OK;
}

he_status he_nets_init(struct he_nets *n, const struct he_problem *p, const uint32_t *of,
                       uint32_t part_count, struct he_arena *arena)
{
    struct maker m = { .nets = n, .of = of };
    size_t d = p->device_count;

    *n = (struct he_nets){ .problem = p, .part_count = part_count };
    n->time = he_arena_alloc(arena, part_count, d * sizeof *n->time);
    n->memory = he_arena_alloc(arena, part_count, sizeof *n->memory);
    n->pace = he_arena_alloc(arena, d, sizeof *n->pace);
    n->nets = he_arena_alloc(arena, p->tensor_count, sizeof *n->nets);
    n->readers = he_arena_alloc(arena, p->edge_count, sizeof *n->readers);
    m.mark = he_arena_alloc(arena, part_count, sizeof *m.mark);
    m.latest = he_arena_alloc(arena, part_count, sizeof *m.latest);
    m.older = he_arena_alloc(arena, p->tensor_count, sizeof *m.older);
    if (!n->time || !n->memory || !n->pace || !n->nets || !n->readers || !m.mark || !m.latest ||
        !m.older)
        return he_no_memory();
    for (uint32_t t = 0; t < p->task_count; t++) {
        n->memory[of[t]] += p->task_memory[t];
        for (size_t j = 0; j < d; j++)
            n->time[of[t] * d + j] += p->time[t * d + j];
    }
    for (size_t j = 0; j < d; j++)
        n->pace[j] = p->devices[j].copy_bandwidth > 0.0 ? 1.0 / p->devices[j].copy_bandwidth : 0.0;
    for (uint32_t k = 0; p->has_copies && k < p->tensor_count; k++)
        add_tensor(&m, k);
    return index_parts(n, arena);
}
