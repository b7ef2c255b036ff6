/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Branch and bound over the disjunctive graph (Carlier and Pinson, Management Science 1989;
 * Brucker, Jurisch, Sievers 1994): a node is a partial order of the operations, kept
 * transitively closed in bits. Heads and tails are longest paths through it; where one order of
 * two operations of a machine cannot end in time, the other is fixed; Jackson's preemptive
 * schedule bounds each machine. What stays open is branched on, the tightest pair first.
 */
#include <math.h>
#include <string.h>

#include "disjunctive.h"

struct order {
    uint64_t before[HE_OPS_MOST], after[HE_OPS_MOST];
    double head[HE_OPS_MOST], tail[HE_OPS_MOST];
};

struct solver {
    const struct he_ops *shop;
    double limit; /* what is looked for is below */
    uint64_t nodes;
    double *begin;
    uint32_t *rank;
    bool has_found;
};

static void collect_members(struct he_ops *shop)
{
    memset(shop->members, 0, shop->machine_count * sizeof *shop->members);
    for (uint32_t i = 0; i < shop->count; i++) {
        if (shop->machine[i] != HE_OPS_FREE)
            shop->members[shop->machine[i]] |= UINT64_C(1) << i;
    }
}

static void begin_order(const struct he_ops *shop, struct order *o)
{
    memcpy(o->before, shop->before, shop->count * sizeof *o->before);
    memset(o->after, 0, shop->count * sizeof *o->after);
    for (uint32_t i = 0; i < shop->count; i++) {
        for (uint64_t rest = o->before[i]; rest; rest &= rest - 1)
            o->after[__builtin_ctzll(rest)] |= UINT64_C(1) << i;
    }
}

static void fix(struct order *o, uint32_t first, uint32_t second)
{
    uint64_t firsts = o->before[first] | UINT64_C(1) << first;
    uint64_t seconds = o->after[second] | UINT64_C(1) << second;

    for (uint64_t rest = seconds; rest; rest &= rest - 1)
        o->before[__builtin_ctzll(rest)] |= firsts;
    for (uint64_t rest = firsts; rest; rest &= rest - 1)
        o->after[__builtin_ctzll(rest)] |= seconds;
}

/* Operations by how many come before them: in a closed order that is a topological one. */
static void sort_by_place(const struct he_ops *shop, const struct order *o, uint8_t *sorted)
{
    uint8_t fill[HE_OPS_MOST + 1] = { 0 }, places[HE_OPS_MOST];

    for (uint32_t i = 0; i < shop->count; i++) {
        places[i] = (uint8_t)__builtin_popcountll(o->before[i]);
        fill[places[i] + 1]++;
    }
    for (uint32_t k = 1; k < shop->count; k++)
        fill[k] = (uint8_t)(fill[k] + fill[k - 1]);
    for (uint32_t i = 0; i < shop->count; i++)
        sorted[fill[places[i]]++] = (uint8_t)i;
}

/* The least moment at which all of @others can be over, when they have @ends as heads (or, seen
 * from behind, tails): each by itself, and those of one machine one after the other. */
static double over(const struct he_ops *shop, uint64_t others, const double *ends, double least)
{
    for (uint64_t rest = others; rest; rest &= rest - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(rest);

        if (ends[i] + shop->time[i] > least)
            least = ends[i] + shop->time[i];
    }
    for (uint32_t m = 0; m < shop->machine_count; m++) {
        uint64_t group = others & shop->members[m];
        double sum = 0.0, first = INFINITY;

        if (!(group & (group - 1)))
            continue;
        for (; group; group &= group - 1) {
            uint32_t i = (uint32_t)__builtin_ctzll(group);

            sum += shop->time[i];
            if (ends[i] < first)
                first = ends[i];
        }
        if (first + sum > least)
            least = first + sum;
    }
    return least;
}

static bool update_paths(const struct solver *s, struct order *o)
{
    const struct he_ops *shop = s->shop;
    uint8_t sorted[HE_OPS_MOST];

    sort_by_place(shop, o, sorted);
    for (uint32_t k = 0; k < shop->count; k++)
        o->head[sorted[k]] = over(shop, o->before[sorted[k]], o->head, shop->head[sorted[k]]);
    for (uint32_t k = shop->count; k-- > 0;) {
        uint32_t i = sorted[k];

        o->tail[i] = over(shop, o->after[i], o->tail, shop->tail[i]);
        if (!(o->head[i] + shop->time[i] + o->tail[i] < s->limit))
            return false;
    }
    return true;
}

/* Jackson's preemptive schedule of one machine: always what has most to come after it. */
static bool machine_fits(const struct solver *s, const struct order *o, uint64_t members)
{
    const struct he_ops *shop = s->shop;
    double left[HE_OPS_MOST], now = 0.0;
    uint64_t open = members;

    for (uint64_t rest = members; rest; rest &= rest - 1)
        left[__builtin_ctzll(rest)] = shop->time[__builtin_ctzll(rest)];
    while (open) {
        double next = INFINITY, step;
        uint32_t best = HE_OPS_MOST;

        for (uint64_t rest = open; rest; rest &= rest - 1) {
            uint32_t i = (uint32_t)__builtin_ctzll(rest);

            if (o->head[i] > now)
                next = fmin(next, o->head[i]);
            else if (best == HE_OPS_MOST || o->tail[i] > o->tail[best])
                best = i;
        }
        if (best == HE_OPS_MOST) {
            now = next;
            continue;
        }
        step = fmin(left[best], next - now);
        now += step;
        left[best] -= step;
        if (left[best] <= 0.0 || step <= 0.0) {
            open &= ~(UINT64_C(1) << best);
            if (!(now + o->tail[best] < s->limit))
                return false;
        }
    }
    return true;
}

struct pair {
    uint32_t a, b; /* a before b is the likelier order */
    double tightness;
    bool is_open;
};

/* Fixes what is forced until nothing changes; gives the open pair that is nearest to be. False:
 * no schedule below the limit. */
static bool propagate(const struct solver *s, struct order *o, struct pair *open)
{
    const struct he_ops *shop = s->shop;

    for (bool has_changed = true; has_changed;) {
        has_changed = false;
        *open = (struct pair){ .tightness = -1.0 };
        if (!update_paths(s, o))
            return false;
        for (uint32_t m = 0; m < shop->machine_count; m++) {
            uint64_t members = shop->members[m];

            for (uint64_t rest = members; rest; rest &= rest - 1) {
                uint32_t a = (uint32_t)__builtin_ctzll(rest);
                uint64_t others = rest & (rest - 1) & ~(o->before[a] | o->after[a]);

                for (; others; others &= others - 1) {
                    uint32_t b = (uint32_t)__builtin_ctzll(others);
                    double ab = o->head[a] + shop->time[a] + shop->time[b] + o->tail[b];
                    double ba = o->head[b] + shop->time[b] + shop->time[a] + o->tail[a];

                    if ((o->before[a] | o->after[a]) & UINT64_C(1) << b)
                        continue; /* fixed by another pair meanwhile */
                    if (!(ab < s->limit) && !(ba < s->limit))
                        return false;
                    if (!(ab < s->limit)) {
                        fix(o, b, a);
                        has_changed = true;
                    } else if (!(ba < s->limit)) {
                        fix(o, a, b);
                        has_changed = true;
                    } else if (fmin(ab, ba) + 0.5 * fabs(ab - ba) > open->tightness) {
                        *open = (struct pair){ ab <= ba ? a : b, ab <= ba ? b : a,
                                               fmin(ab, ba) + 0.5 * fabs(ab - ba), true };
                    }
                }
            }
        }
    }
    for (uint32_t m = 0; open->is_open && m < shop->machine_count; m++) {
        uint64_t members = shop->members[m];

        if ((members & (members - 1)) && !machine_fits(s, o, members))
            return false;
    }
    return true;
}

static void keep(struct solver *s, const struct order *o)
{
    const struct he_ops *shop = s->shop;
    double makespan = 0.0;

    for (uint32_t i = 0; i < shop->count; i++) {
        s->begin[i] = o->head[i];
        s->rank[i] = (uint32_t)__builtin_popcountll(o->before[i]);
        makespan = fmax(makespan, o->head[i] + shop->time[i] + shop->tail[i]);
    }
    s->limit = makespan;
    s->has_found = true;
}

static void branch(struct solver *s, struct order *o)
{
    struct pair open;
    struct order child;

    if (s->nodes == 0)
        return;
    s->nodes--;
    if (!propagate(s, o, &open))
        return;
    if (!open.is_open) {
        keep(s, o);
        return;
    }
    child = *o;
    fix(&child, open.a, open.b);
    branch(s, &child);
    fix(o, open.b, open.a);
    branch(s, o);
}

bool he_ops_may_beat(struct he_ops *shop, double limit)
{
    struct solver s = { .shop = shop, .limit = limit };
    struct order o;
    struct pair open;

    collect_members(shop);
    begin_order(shop, &o);
    return propagate(&s, &o, &open);
}

bool he_ops_solve(struct he_ops *shop, double limit, uint64_t *nodes, double *begin,
                   uint32_t *rank, double *makespan)
{
    struct solver s = { .shop = shop, .limit = limit, .nodes = *nodes, .begin = begin,
                        .rank = rank };
    struct order o;

    collect_members(shop);
    begin_order(shop, &o);
    branch(&s, &o);
    *nodes = s.nodes;
    *makespan = s.limit;
    return s.has_found;
}
