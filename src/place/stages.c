/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a contiguous split divides and among whom: blocks (strongly connected sets of
 * units, Tarjan 1972) in their order, and the kinds of servers.
 */
#include <string.h>

#include "stages.h"
#include "units.h"

#define MOST_BLOCKS 4000
#define MOST_SETS 4096
#define SHARE_STEPS 60

/* Arcs between units, grouped by where they start. */
struct arcs {
    uint32_t *start, *to;
};

/* Does @edge put the unit of its first task before that of its second (1), after it (-1) or
 * neither (0)? */
static int direction(const struct he_problem *p, const struct he_units *units,
                     const bool *has_forward, const struct he_place_edge *edge)
{
    bool back_from, back_to;

    if (units->of[edge->from] == units->of[edge->to])
        return 0;
    if (!p->is_backward)
        return 1;
    back_from = p->is_backward[edge->from];
    back_to = p->is_backward[edge->to];
    if (!back_from && !back_to)
        return 1;
    if (!back_from || !back_to)
        return 0;
    /* The way back mirrors the way there: only units that have nothing of the latter need it. */
    return has_forward[units->of[edge->from]] && has_forward[units->of[edge->to]] ? 0 : -1;
}

static he_status make_arcs(const struct he_problem *p, const struct he_units *units,
                           struct arcs *arcs, struct he_arena *arena)
{
    bool *has_forward = he_arena_alloc(arena, units->count, sizeof *has_forward);

    arcs->start = he_arena_alloc(arena, (size_t)units->count + 2, sizeof *arcs->start);
    arcs->to = he_arena_alloc(arena, p->edge_count, sizeof *arcs->to);
    if (!has_forward || !arcs->start || !arcs->to)
        return he_no_memory();
    for (uint32_t t = 0; t < p->task_count; t++)
        has_forward[units->of[t]] |= !p->is_backward || !p->is_backward[t];
    /* Counted two places further on, so that filling leaves the starts where they belong. */
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t e = 0; e < p->edge_count; e++) {
            int way = direction(p, units, has_forward, &p->edges[e]);
            uint32_t from = units->of[way > 0 ? p->edges[e].from : p->edges[e].to];
            uint32_t to = units->of[way > 0 ? p->edges[e].to : p->edges[e].from];

            if (way != 0 && pass == 0)
                arcs->start[from + 2]++;
            else if (way != 0)
                arcs->to[arcs->start[from + 1]++] = to;
        }
        for (uint32_t u = 0; pass == 0 && u < units->count; u++)
            arcs->start[u + 2] += arcs->start[u + 1];
    }
    return HE_OK;
}

/* Tarjan's algorithm with a stack of its own; gives each unit its component, and the components
 * numbered so that arcs go from lower to higher numbers. */
static he_status find_components(const struct arcs *arcs, uint32_t unit_count, uint32_t *component,
                                 uint32_t *count, struct he_arena *arena)
{
    uint32_t *index = he_arena_alloc(arena, unit_count, sizeof *index);
    uint32_t *low = he_arena_alloc(arena, unit_count, sizeof *low);
    uint32_t *open = he_arena_alloc(arena, unit_count, sizeof *open);
    uint32_t *path = he_arena_alloc(arena, unit_count, sizeof *path);
    uint32_t *at = he_arena_alloc(arena, unit_count, sizeof *at);
    uint32_t open_count = 0, depth = 0, next_index = 1;

    if (!index || !low || !open || !path || !at)
        return he_no_memory();
    *count = 0;
    memset(component, 0xff, unit_count * sizeof *component);
    for (uint32_t root = 0; root < unit_count; root++) {
        if (index[root])
            continue;
        path[depth++] = root;
        while (depth > 0) {
            uint32_t u = path[depth - 1];

            if (!index[u]) {
                index[u] = low[u] = next_index++;
                open[open_count++] = u;
                at[u] = arcs->start[u];
            }
            while (at[u] < arcs->start[u + 1] && index[arcs->to[at[u]]]) {
                uint32_t v = arcs->to[at[u]++];

                if (component[v] == UINT32_MAX && low[v] < low[u])
                    low[u] = low[v];
            }
            if (at[u] < arcs->start[u + 1]) {
                /* Comes back here with v's low known: the arc is looked at once more. */
                path[depth++] = arcs->to[at[u]];
                continue;
            }
            if (low[u] == index[u]) {
                uint32_t v;

                do {
                    v = open[--open_count];
                    component[v] = *count;
                } while (v != u);
                (*count)++;
            }
            depth--;
        }
    }
    for (uint32_t u = 0; u < unit_count; u++)
        component[u] = *count - 1 - component[u];
    return HE_OK;
}

static he_status order_blocks(struct he_stages *s, const struct he_units *units,
                              const struct arcs *arcs, const uint32_t *component,
                              struct he_arena *arena)
{
    uint32_t *fill = he_arena_alloc(arena, (size_t)s->count + 1, sizeof *fill);
    uint32_t *seen = he_arena_alloc(arena, s->count, sizeof *seen);
    uint32_t *members = he_arena_alloc(arena, units->count, sizeof *members), used = 0;

    s->next_start = he_arena_alloc(arena, (size_t)s->count + 1, sizeof *s->next_start);
    s->next = he_arena_alloc(arena, arcs->start[units->count], sizeof *s->next);
    s->before = he_arena_alloc(arena, s->count, sizeof *s->before);
    if (!fill || !seen || !members || !s->next_start || !s->next || !s->before)
        return he_no_memory();
    for (uint32_t u = 0; u < units->count; u++)
        fill[component[u] + 1]++;
    for (uint32_t b = 0; b < s->count; b++)
        fill[b + 1] += fill[b];
    for (uint32_t u = 0; u < units->count; u++)
        members[fill[component[u]]++] = u; /* fill[b] is now where b ends */
    for (uint32_t b = 0, k = 0; b < s->count; b++) {
        s->next_start[b] = used;
        for (; k < fill[b]; k++) {
            for (uint32_t i = arcs->start[members[k]]; i < arcs->start[members[k] + 1]; i++) {
                uint32_t to = component[arcs->to[i]];

                if (to == b || seen[to] == b + 1)
                    continue;
                seen[to] = b + 1;
                s->next[used++] = to;
                s->before[to]++;
            }
        }
    }
    s->next_start[s->count] = used;
    return HE_OK;
}

static bool is_same_kind(const struct he_stages *s, uint32_t a, uint32_t b)
{
    const struct he_problem *p = s->problem;
    const struct he_place_device *x = &p->devices[a], *y = &p->devices[b];

    if (p->weight_limit[a] != p->weight_limit[b] || x->copy_bandwidth != y->copy_bandwidth ||
        x->copy_latency != y->copy_latency)
        return false;
    for (uint32_t u = 0; u < s->count; u++) {
        if (s->nets.time[(size_t)u * p->device_count + a] !=
            s->nets.time[(size_t)u * p->device_count + b])
            return false;
    }
    return true;
}

/* Of a server with several devices, the one that can run most, then the fastest. */
static uint32_t represent(const struct he_stages *s, uint32_t server)
{
    const struct he_problem *p = s->problem;
    uint32_t best = UINT32_MAX, most = 0;
    double least = INFINITY;

    for (uint32_t j = 0; j < p->device_count; j++) {
        double sum = 0.0;
        uint32_t can = 0;

        if (p->devices[j].server != server)
            continue;
        for (uint32_t u = 0; u < s->count; u++) {
            double time = s->nets.time[(size_t)u * p->device_count + j];

            can += !isinf(time);
            sum += isinf(time) ? 0.0 : time;
        }
        if (best == UINT32_MAX || can > most || (can == most && sum < least)) {
            best = j;
            most = can;
            least = sum;
        }
    }
    return best;
}

static he_status find_kinds(struct he_stages *s, struct he_arena *arena)
{
    const struct he_problem *p = s->problem;
    uint32_t *device = he_arena_alloc(arena, p->server_count, sizeof *device);
    uint32_t *kind_of = he_arena_alloc(arena, p->server_count, sizeof *kind_of), used = 0;

    s->members = he_arena_alloc(arena, p->server_count, sizeof *s->members);
    if (!device || !kind_of || !s->members)
        return he_no_memory();
    for (uint32_t k = 0; k < p->server_count; k++) {
        uint32_t kind = 0;

        device[k] = represent(s, k);
        while (kind < s->kind_count && !is_same_kind(s, s->kinds[kind].device, device[k]))
            kind++;
        if (kind == HE_MOST_KINDS)
            return he_error_set(HE_ERR_UNSUPPORTED, "more than %d kinds of servers", HE_MOST_KINDS);
        if (kind == s->kind_count)
            s->kinds[s->kind_count++] =
                (struct he_stage_kind){ .device = device[k], .room = p->weight_limit[device[k]] };
        s->kinds[kind].count++;
        kind_of[k] = kind;
    }
    s->set_count = 1;
    for (uint32_t kind = 0; kind < s->kind_count; kind++) {
        s->kinds[kind].first = used;
        for (uint32_t k = 0; k < p->server_count; k++) {
            if (kind_of[k] == kind)
                s->members[used++] = device[k];
        }
        s->stride[kind] = s->set_count;
        if ((uint64_t)s->set_count * (s->kinds[kind].count + 1) > MOST_SETS)
            return he_error_set(HE_ERR_UNSUPPORTED, "too many sets of servers");
        s->set_count *= s->kinds[kind].count + 1;
    }
    return HE_OK;
}

/* The area bound's dual: with prices y on the kinds, what remains costs at least `share`, and
 * servers not yet used can do at most y a second each. */
static he_status find_shares(struct he_stages *s, struct he_arena *arena)
{
    double y[HE_MOST_KINDS], best_y[HE_MOST_KINDS], best = 0.0;
    uint32_t d = s->problem->device_count;

    s->share = he_arena_alloc(arena, s->count, sizeof *s->share);
    s->set_share = he_arena_alloc(arena, s->set_count, sizeof *s->set_share);
    if (!s->share || !s->set_share)
        return he_no_memory();
    for (uint32_t k = 0; k < s->kind_count; k++)
        y[k] = best_y[k] = 1.0;
    for (int step = 0; step < SHARE_STEPS; step++) {
        double load[HE_MOST_KINDS] = { 0 }, bound = 0.0, total = 0.0, most = 0.0;

        for (uint32_t b = 0; b < s->count; b++) {
            uint32_t at = UINT32_MAX;
            double least = INFINITY;

            for (uint32_t k = 0; k < s->kind_count; k++) {
                double time = s->nets.time[(size_t)b * d + s->kinds[k].device];

                if (y[k] * time < least) {
                    least = y[k] * time;
                    at = k;
                }
            }
            if (at == UINT32_MAX)
                return he_error_set(HE_ERR_UNSUPPORTED, "a block that no device can run whole");
            bound += least;
            load[at] += s->nets.time[(size_t)b * d + s->kinds[at].device] / s->kinds[at].count;
        }
        for (uint32_t k = 0; k < s->kind_count; k++) {
            total += y[k] * s->kinds[k].count;
            most = fmax(most, load[k]);
        }
        if (bound / total > best) {
            best = bound / total;
            memcpy(best_y, y, sizeof y);
        }
        for (uint32_t k = 0; most > 0.0 && k < s->kind_count; k++)
            y[k] *= exp(load[k] / most * 2.0 / (step + 2.0)) / (total / s->kind_count);
    }
    for (uint32_t b = 0; b < s->count; b++) {
        s->share[b] = INFINITY;
        for (uint32_t k = 0; k < s->kind_count; k++) {
            double time = s->nets.time[(size_t)b * d + s->kinds[k].device];

            s->share[b] = fmin(s->share[b], best_y[k] * time);
        }
        s->total_share += s->share[b];
    }
    for (uint32_t set = 0; set < s->set_count; set++) {
        for (uint32_t k = 0; k < s->kind_count; k++) {
            uint32_t held = set / s->stride[k] % (s->kinds[k].count + 1);

            s->set_share[set] += best_y[k] * (s->kinds[k].count - held);
        }
    }
    return HE_OK;
}

he_status he_stages_init(struct he_stages *s, const struct he_problem *p, struct he_arena *arena)
{
    struct he_units units;
    struct arcs arcs;
    uint32_t *component;
    he_status status = he_units_init(&units, p, arena);

    *s = (struct he_stages){ .problem = p, .best = INFINITY };
    if (status == HE_OK)
        status = make_arcs(p, &units, &arcs, arena);
    if (status != HE_OK)
        return status;
    component = he_arena_alloc(arena, units.count, sizeof *component);
    s->block_of = he_arena_alloc(arena, p->task_count, sizeof *s->block_of);
    if (!component || !s->block_of)
        return he_no_memory();
    status = find_components(&arcs, units.count, component, &s->count, arena);
    if (status != HE_OK)
        return status;
    if (s->count > MOST_BLOCKS)
        return he_error_set(HE_ERR_UNSUPPORTED, "more than %d tasks to divide", MOST_BLOCKS);
    for (uint32_t t = 0; t < p->task_count; t++)
        s->block_of[t] = component[units.of[t]];
    s->device = he_arena_alloc(arena, s->count, sizeof *s->device);
    if (!s->device)
        return he_no_memory();
    status = order_blocks(s, &units, &arcs, component, arena);
    if (status == HE_OK)
        status = he_nets_init(&s->nets, p, s->block_of, s->count, arena);
    if (status == HE_OK)
        status = find_kinds(s, arena);
    return status == HE_OK ? find_shares(s, arena) : status;
}
