/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an assignment that exceeds memories to one that does not, at little cost: the fullest
 * device gives a unit away or trades a larger for a smaller one with a device that has room left.
 * Where the memories are filled to the last byte, only trades of the right difference lead there;
 * these are found by binary search in the other device's units sorted by size.
 */
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "random.h"
#include "units.h"

#define PARTNERS 6 /* devices with room that are looked at in one step */
#define MOST_KICKS 64
#define SAMPLE 256 /* units of a device that are looked at in one step */

struct item {
    double memory;
    uint32_t unit;
};

struct mender {
    const struct he_units *units;
    struct he_load *load;
    uint32_t *device;
    const double *price;
    struct item here[SAMPLE], there[SAMPLE];
    /* Units by device, in lists: head by device, before and after by unit; UINT32_MAX ends. */
    uint32_t *head, *before, *after, *count;
    struct he_random random;
};

struct trade {
    uint32_t unit, other, device; /* other UINT32_MAX: a gift */
    double score;
};

static double room_on(const struct mender *m, uint32_t j)
{
    uint32_t node = m->units->problem->devices[j].memory_node;

    return fmin(m->units->problem->weight_limit[j] - m->load->weights[j],
                m->load->node_limit[node] - m->load->node_weights[node]);
}

/* What @unit costs more on @to than on @from. */
static double detour(const struct mender *m, uint32_t unit, uint32_t from, uint32_t to)
{
    return he_unit_time(m->units, unit, to) * m->price[to] -
           he_unit_time(m->units, unit, from) * m->price[from];
}

static int compare_items(const void *left, const void *right)
{
    const struct item *a = left, *b = right;

    if (a->memory != b->memory)
        return a->memory < b->memory ? -1 : 1;
    return a->unit < b->unit ? -1 : a->unit > b->unit;
}

/* The units of @j with memory, by size; where there are many, some of them, other ones each time. */
static uint32_t collect(struct mender *m, uint32_t j, struct item *items)
{
    uint32_t count = 0, stride = m->count[j] / SAMPLE + 1;
    uint32_t skip = he_random_below(&m->random, stride);

    for (uint32_t u = m->head[j]; u != UINT32_MAX && count < SAMPLE; u = m->after[u]) {
        if (skip > 0) {
            skip--;
            continue;
        }
        skip = stride - 1;
        if (m->units->memory[u] > 0.0)
            items[count++] = (struct item){ m->units->memory[u], u };
    }
    if (count > 1)
        qsort(items, count, sizeof *items, compare_items);
    return count;
}

static uint32_t first_from(const struct item *items, uint32_t count, double memory)
{
    uint32_t low = 0, high = count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (items[middle].memory >= memory)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void weigh(const struct mender *m, uint32_t from, uint32_t to, uint32_t unit,
                  uint32_t other, double moved, double wanted, struct trade *best)
{
    double cost = detour(m, unit, from, to) / m->price[from], score;

    if (other != UINT32_MAX)
        cost += detour(m, other, to, from) / m->price[from];
    if (isinf(cost) || isnan(cost))
        return;
    /* Progress first, then what it costs for that much of it. */
    score = (cost + 1e-3 * he_unit_time(m->units, unit, from)) / fmin(moved, wanted);
    if (score < best->score)
        *best = (struct trade){ unit, other, to, score };
}

/* The best way to send up to @over bytes from @j to @to. */
static void look_for_trades(struct mender *m, uint32_t j, double over, uint32_t to,
                            uint32_t here_count, struct trade *best)
{
    double room = room_on(m, to), wanted = fmin(over, room);
    uint32_t there_count = collect(m, to, m->there);

    for (uint32_t k = 0; k < here_count; k++) {
        double memory = m->here[k].memory;
        uint32_t unit = m->here[k].unit, at;

        if (memory <= room)
            weigh(m, j, to, unit, UINT32_MAX, memory, wanted, best);
        /* The smallest that leaves the difference within the room, and a few more. */
        at = first_from(m->there, there_count, memory - room);
        for (uint32_t i = at; i < there_count && i < at + 4; i++) {
            if (m->there[i].memory < memory && memory - m->there[i].memory <= room)
                weigh(m, j, to, unit, m->there[i].unit, memory - m->there[i].memory, wanted, best);
        }
        at = first_from(m->there, there_count, memory - wanted);
        for (uint32_t i = at; i < there_count && i < at + 4; i++) {
            if (m->there[i].memory < memory && memory - m->there[i].memory <= room)
                weigh(m, j, to, unit, m->there[i].unit, memory - m->there[i].memory, wanted, best);
        }
    }
}

static void enlist(struct mender *m, uint32_t unit, uint32_t j)
{
    m->device[unit] = j;
    m->before[unit] = UINT32_MAX;
    m->after[unit] = m->head[j];
    if (m->head[j] != UINT32_MAX)
        m->before[m->head[j]] = unit;
    m->head[j] = unit;
    m->count[j]++;
    he_load_add(m->load, unit, j);
}

static void move(struct mender *m, uint32_t unit, uint32_t to)
{
    uint32_t from = m->device[unit];

    if (m->before[unit] != UINT32_MAX)
        m->after[m->before[unit]] = m->after[unit];
    else
        m->head[from] = m->after[unit];
    if (m->after[unit] != UINT32_MAX)
        m->before[m->after[unit]] = m->before[unit];
    m->count[from]--;
    he_load_remove(m->load, unit, from);
    enlist(m, unit, to);
}

/* Two units of nearly equal worth on two devices trade places. */
static void kick(struct mender *m)
{
    uint32_t n = m->units->count;

    for (int attempt = 0; attempt < 200; attempt++) {
        uint32_t a = he_random_below(&m->random, n), b = he_random_below(&m->random, n);
        uint32_t at_a = m->device[a], at_b = m->device[b];

        if (at_a == at_b || m->units->memory[a] == m->units->memory[b] ||
            !(detour(m, a, at_a, at_b) + detour(m, b, at_b, at_a) <=
              0.1 * he_unit_time(m->units, a, at_a) * m->price[at_a]))
            continue;
        move(m, a, at_b);
        move(m, b, at_a);
        return;
    }
}

static uint32_t fullest(const struct mender *m)
{
    uint32_t worst = UINT32_MAX;
    double least = 0.0;

    for (uint32_t j = 0; j < m->units->problem->device_count; j++) {
        double room = room_on(m, j), limit = m->units->problem->weight_limit[j];

        if (room < least && !he_fits(limit - room, limit)) {
            least = room;
            worst = j;
        }
    }
    return worst;
}

/* The @PARTNERS with the most room: sorted by insertion. */
static uint32_t find_partners(const struct mender *m, uint32_t j, uint32_t *partners)
{
    uint32_t count = 0;

    for (uint32_t k = 0; k < m->units->problem->device_count; k++) {
        uint32_t at = count;
        double room = room_on(m, k);

        if (k == j || !(room > 0.0))
            continue;
        while (at > 0 && room_on(m, partners[at - 1]) < room)
            at--;
        if (at == PARTNERS)
            continue;
        count += count < PARTNERS;
        for (uint32_t i = count - 1; i > at; i--)
            partners[i] = partners[i - 1];
        partners[at] = k;
    }
    return count;
}

bool he_units_mend(const struct he_units *units, struct he_load *load, const double *price,
                   struct he_arena *arena, uint32_t *device)
{
    struct mender m = { .units = units, .load = load, .device = device, .price = price };
    uint32_t steps = 40 * units->problem->device_count + 200, kicks = 0;

    m.head = he_arena_alloc(arena, units->problem->device_count, sizeof *m.head);
    m.count = he_arena_alloc(arena, units->problem->device_count, sizeof *m.count);
    m.before = he_arena_alloc(arena, units->count, sizeof *m.before);
    m.after = he_arena_alloc(arena, units->count, sizeof *m.after);
    if (!m.head || !m.count || !m.before || !m.after)
        return false;
    memset(m.head, 0xff, units->problem->device_count * sizeof *m.head);
    he_load_clear(load);
    for (uint32_t u = 0; u < units->count; u++)
        enlist(&m, u, device[u]);
    if (units->problem->resource_count > 0)
        return false; /* those are not looked at here */
    for (; steps > 0; steps--) {
        uint32_t j = fullest(&m), partners[PARTNERS], count, here_count;
        struct trade best = { .score = INFINITY };

        if (j == UINT32_MAX)
            return true;
        here_count = collect(&m, j, m.here);
        count = find_partners(&m, j, partners);
        for (uint32_t k = 0; k < count; k++)
            look_for_trades(&m, j, -room_on(&m, j), partners[k], here_count, &best);
        if (isinf(best.score)) {
            if (++kicks > MOST_KICKS)
                return false;
            kick(&m);
            continue;
        }
        move(&m, best.unit, best.device);
        if (best.other != UINT32_MAX)
            move(&m, best.other, j);
    }
    return false;
}
