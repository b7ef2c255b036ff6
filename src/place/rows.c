/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the rows of rows.h from a problem's limits, leaving out those that cannot bind. */
#include <string.h>

#include "core/size.h"
#include "judge.h"
#include "rows.h"

/* Kinds of slots: the server's time, memory of the device, of its node, then per resource on the
 * device and in all. */
enum { SLOT_SERVER, SLOT_DEVICE_MEMORY, SLOT_NODE_MEMORY, SLOT_RESOURCES };

struct maker {
    struct he_rows *rows;
    const struct he_units *units;
    const struct he_problem *problem;
    uint32_t *group; /* by device: which of the slot's rows it takes from */
    double *limit;   /* by group */
    double *most;    /* by group: the most that units could take together */
    double *largest; /* by group, of one unit */
};

static double amount_of(const struct maker *m, uint32_t kind, uint32_t unit, uint32_t device)
{
    const struct he_problem *p = m->problem;

    if (kind == SLOT_SERVER) {
        double time = he_unit_time(m->units, unit, device);

        return isinf(time) ? 0.0 : time;
    }
    if (kind < SLOT_RESOURCES)
        return m->units->memory[unit];
    return m->units->amount[(unit * p->resource_count + (kind - SLOT_RESOURCES) / 2) *
                                p->device_count + device];
}

/* Which devices share a row of this kind, and its limit. */
static void describe_slot(struct maker *m, uint32_t kind)
{
    const struct he_problem *p = m->problem;

    for (uint32_t j = 0; j < p->device_count; j++) {
        m->limit[j] = kind == SLOT_NODE_MEMORY ? 0.0 : INFINITY;
        m->most[j] = 0.0;
    }
    for (uint32_t j = 0; j < p->device_count; j++) {
        size_t r = (kind - SLOT_RESOURCES) / 2;
        uint32_t node = p->devices[j].memory_node;

        m->group[j] = j;
        if (kind == SLOT_SERVER) {
            m->group[j] = p->devices[j].server;
        } else if (kind == SLOT_DEVICE_MEMORY) {
            m->limit[j] = p->weight_limit[j];
        } else if (kind == SLOT_NODE_MEMORY) {
            m->group[j] = node;
            m->limit[node] = fmax(m->limit[node], p->weight_limit[j]);
        } else if ((kind - SLOT_RESOURCES) % 2 == 0) {
            if (p->resources[r].device_limits)
                m->limit[j] = p->resources[r].device_limits[j];
        } else {
            m->group[j] = 0;
            m->limit[0] = p->resources[r].limit;
        }
    }
    /* A node of one device is that device's limit again. */
    for (uint32_t j = 0; kind == SLOT_NODE_MEMORY && j < p->device_count; j++) {
        uint32_t devices = 0;

        for (uint32_t k = 0; k < p->device_count; k++)
            devices += m->group[k] == m->group[j];
        if (devices == 1)
            m->limit[m->group[j]] = INFINITY;
    }
}

/* Adds up what could come together in each row of the slot; true when one of them can bind. */
static bool can_bind(struct maker *m, uint32_t kind)
{
    uint32_t d = m->problem->device_count;
    bool binds = false;

    for (uint32_t u = 0; u < m->units->count; u++) {
        memset(m->largest, 0, d * sizeof *m->largest);
        for (uint32_t j = 0; j < d; j++) {
            if (!isinf(he_unit_time(m->units, u, j)))
                m->largest[m->group[j]] = fmax(m->largest[m->group[j]], amount_of(m, kind, u, j));
        }
        for (uint32_t j = 0; j < d; j++)
            m->most[j] += m->largest[j];
    }
    for (uint32_t j = 0; j < d; j++)
        binds |= !he_fits(m->most[j], m->limit[j]);
    return binds;
}

/* The slot's rows that can bind (of servers: all), numbered on. */
static void number_rows(struct maker *m, uint32_t kind, uint32_t slot, uint32_t slot_count,
                        uint32_t *row)
{
    struct he_rows *rows = m->rows;
    uint32_t d = rows->device_count;

    for (uint32_t j = 0; j < d; j++) {
        uint32_t group = m->group[j], same = 0;

        row[j * slot_count + slot] = HE_NO_ROW;
        if (kind != SLOT_SERVER && he_fits(m->most[group], m->limit[group]))
            continue;
        while (m->group[same] != group)
            same++;
        if (same == j) {
            rows->limit[rows->row_count] = m->limit[group];
            row[j * slot_count + slot] = rows->row_count++;
        } else {
            row[j * slot_count + slot] = row[same * slot_count + slot];
        }
    }
}

static he_status fill(struct maker *m, const uint32_t *kinds, struct he_arena *arena)
{
    struct he_rows *rows = m->rows;
    uint32_t d = rows->device_count, slots = rows->slot_count;

    rows->row = he_arena_alloc(arena, d, slots * sizeof *rows->row);
    rows->limit = he_arena_alloc(arena, d, slots * sizeof *rows->limit);
    rows->amount = he_arena_alloc(arena, (size_t)rows->unit_count * d, slots * sizeof *rows->amount);
    if (!rows->row || !rows->limit || !rows->amount)
        return he_no_memory();
    for (uint32_t slot = 0; slot < slots; slot++) {
        describe_slot(m, kinds[slot]);
        (void)can_bind(m, kinds[slot]);
        number_rows(m, kinds[slot], slot, slots, rows->row);
        if (kinds[slot] == SLOT_SERVER)
            rows->server_rows = rows->row_count;
        for (uint32_t u = 0; u < rows->unit_count; u++) {
            for (uint32_t j = 0; j < d; j++) {
                if (rows->row[j * slots + slot] != HE_NO_ROW)
                    rows->amount[((size_t)u * d + j) * slots + slot] =
                        amount_of(m, kinds[slot], u, j);
            }
        }
    }
    return HE_OK;
}

static he_status make(struct he_rows *rows, const struct he_units *units, bool has_servers,
                      struct he_arena *arena)
{
    const struct he_problem *p = units->problem;
    struct maker m = { .rows = rows, .units = units, .problem = p };
    uint32_t kind_count = SLOT_RESOURCES + 2 * (uint32_t)p->resource_count;
    uint32_t *kinds = he_arena_alloc(arena, kind_count, sizeof *kinds);

    *rows = (struct he_rows){ .units = units, .unit_count = units->count,
                              .device_count = p->device_count };
    m.group = he_arena_alloc(arena, p->device_count, sizeof *m.group);
    m.limit = he_arena_alloc(arena, p->device_count, sizeof *m.limit);
    m.most = he_arena_alloc(arena, p->device_count, sizeof *m.most);
    m.largest = he_arena_alloc(arena, p->device_count, sizeof *m.largest);
    if (!kinds || !m.group || !m.limit || !m.most || !m.largest)
        return he_no_memory();
    if (has_servers)
        kinds[rows->slot_count++] = SLOT_SERVER;
    for (uint32_t kind = SLOT_SERVER + 1; kind < kind_count; kind++) {
        bool is_limited = false;

        describe_slot(&m, kind);
        for (uint32_t j = 0; j < p->device_count; j++)
            is_limited |= !isinf(m.limit[j]);
        if (is_limited && can_bind(&m, kind))
            kinds[rows->slot_count++] = kind;
    }
    return rows->slot_count ? fill(&m, kinds, arena) : HE_OK;
}

he_status he_rows_init(struct he_rows *rows, const struct he_units *units, struct he_arena *arena)
{
    return make(rows, units, false, arena);
}

he_status he_rows_init_servers(struct he_rows *rows, const struct he_units *units, double share,
                               struct he_arena *arena)
{
    he_status status = make(rows, units, true, arena);

    rows->share = share;
    return status;
}

void he_rows_price(const struct he_rows *rows, const double *unary, double *cost)
{
    uint32_t d = rows->device_count;

    for (uint32_t u = 0; u < rows->unit_count; u++) {
        for (uint32_t j = 0; j < d; j++) {
            const double *amounts = he_rows_amounts(rows, u, j);
            size_t cell = (size_t)u * d + j;

            cost[cell] = isinf(he_unit_time(rows->units, u, j)) ? HE_CANNOT_RUN
                         : unary                                ? unary[cell]
                                                                : 0.0;
            for (uint32_t k = 0; k < rows->slot_count; k++) {
                uint32_t row = rows->row[j * rows->slot_count + k];

                if (row != HE_NO_ROW && row >= rows->server_rows &&
                    !he_fits(amounts[k], rows->limit[row]))
                    cost[cell] = HE_CANNOT_RUN;
            }
        }
    }
}

bool he_rows_used(const struct he_rows *rows, const uint32_t *device, double *used)
{
    bool fits = true;

    memset(used, 0, rows->row_count * sizeof *used);
    for (uint32_t u = 0; u < rows->unit_count; u++) {
        const double *amounts = he_rows_amounts(rows, u, device[u]);

        for (uint32_t k = 0; k < rows->slot_count; k++) {
            uint32_t row = rows->row[device[u] * rows->slot_count + k];

            if (row != HE_NO_ROW)
                used[row] += amounts[k];
        }
    }
    for (uint32_t row = 0; row < rows->row_count; row++)
        fits &= he_fits(used[row], rows->limit[row]);
    return fits;
}

/* Whole numbers up to here are exact, and sums of them too. */
#define WHOLE 1e12

double he_rows_grain(const struct he_rows *rows, const double *cost)
{
    size_t cells = (size_t)rows->unit_count * rows->device_count;

    for (size_t k = 0; k < cells; k++) {
        if (!isinf(cost[k]) && (cost[k] != floor(cost[k]) || fabs(cost[k]) > WHOLE))
            return 0.0;
    }
    return 1.0;
}
