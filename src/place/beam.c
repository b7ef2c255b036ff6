/* SPDX-License-Identifier: Apache-2.0 */
/* Beams through a core that is too large to go through: of every level the most promising partial
 * answers, by what they have lost and the tables' sums for the rest. */
#include <stdlib.h>
#include <string.h>

#include "narrow.h"

struct state {
    double lost, later; /* regrets so far; sum of the tables at this level */
};

struct option {
    double bound;
    struct state state;
    uint32_t parent, cell;
};

struct beam {
    struct state *states;
    uint32_t *slack, *next_slack; /* [state * d + device] */
    struct option *options;
    uint32_t *parent, *cell;      /* [level * width + state] */
    uint32_t width, count, option_count;
    bool is_cut;
};

static int compare_options(const void *left, const void *right)
{
    const struct option *a = left, *b = right;

    if (a->bound != b->bound)
        return a->bound < b->bound ? -1 : 1;
    return a->parent != b->parent ? (a->parent < b->parent ? -1 : 1) : a->cell < b->cell ? -1 : 1;
}

static void list_options(const struct narrow *s, struct beam *b, uint32_t level, uint32_t i)
{
    const uint32_t *slack = b->slack + (size_t)i * s->d;
    const struct narrow_cell *first = s->cells + s->start[level];
    const struct narrow_cell *end = s->cells + s->start[level + 1];
    double later = b->states[i].later;

    for (const struct narrow_cell *c = first; c < end; c++)
        later += c->table[slack[c->device] + s->fill[c->device]] - c->table[slack[c->device]];
    for (const struct narrow_cell *c = first; c < end; c++) {
        const double *without = c->table + s->fill[c->device];
        uint32_t room = slack[c->device];
        struct state to;
        double bound;

        if (room < c->amount)
            continue;
        to.lost = b->states[i].lost + c->regret;
        to.later = later + without[room - c->amount] - without[room];
        bound = to.lost + to.later + s->rest[level + 1];
        if (bound <= s->allowance)
            b->options[b->option_count++] = (struct option){ bound, to, i,
                                                             (uint32_t)(c - s->cells) };
    }
}

/* One level further; false: nothing is left. */
static bool advance(const struct narrow *s, struct beam *b, uint32_t level)
{
    uint32_t *swap = b->slack;

    b->option_count = 0;
    for (uint32_t i = 0; i < b->count; i++)
        list_options(s, b, level, i);
    if (b->option_count > b->width) {
        qsort(b->options, b->option_count, sizeof *b->options, compare_options);
        b->option_count = b->width;
        b->is_cut = true;
    }
    b->count = b->option_count;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct option *o = &b->options[i];
        const struct narrow_cell *cell = &s->cells[o->cell];
        uint32_t *slack = b->next_slack + (size_t)i * s->d;

        memcpy(slack, b->slack + (size_t)o->parent * s->d, s->d * sizeof *slack);
        slack[cell->device] -= cell->amount;
        b->states[i] = o->state;
        b->parent[(size_t)level * b->width + i] = o->parent;
        b->cell[(size_t)level * b->width + i] = o->cell;
    }
    b->slack = b->next_slack;
    b->next_slack = swap;
    return b->count > 0;
}

he_status he_narrow_beam(struct narrow *s, double bound, uint32_t width,
                         enum narrow_verdict *verdict)
{
    struct beam b = { .width = width, .count = 1 };
    uint32_t most = 0, levels = s->member_count, best = 0;
    struct he_arena arena;
    he_status status = HE_OK;

    he_narrow_begin(s);
    for (uint32_t i = 0; i < levels; i++)
        most = s->start[i + 1] - s->start[i] > most ? s->start[i + 1] - s->start[i] : most;
    he_arena_init(&arena, &s->rows->units->problem->arena.alloc);
    b.states = he_arena_alloc(&arena, width, sizeof *b.states);
    b.slack = he_arena_alloc(&arena, width, s->d * sizeof *b.slack);
    b.next_slack = he_arena_alloc(&arena, width, s->d * sizeof *b.next_slack);
    b.options = he_arena_alloc(&arena, width, most * sizeof *b.options);
    b.parent = he_arena_alloc(&arena, levels, width * sizeof *b.parent);
    b.cell = he_arena_alloc(&arena, levels, width * sizeof *b.cell);
    if (!b.states || !b.slack || !b.next_slack || !b.options || !b.parent || !b.cell) {
        status = he_no_memory();
        goto done;
    }
    b.states[0] = (struct state){ s->fixed_regret, bound - s->fixed_regret - s->rest[0] };
    memcpy(b.slack, s->slack, s->d * sizeof *b.slack);
    *verdict = VERDICT_UNKNOWN;
    for (uint32_t level = 0; level < levels; level++) {
        if (narrow_is_late(s))
            goto done;
        if (!advance(s, &b, level)) {
            *verdict = b.is_cut ? VERDICT_UNKNOWN : VERDICT_NOTHING;
            goto done;
        }
        s->work += (uint64_t)b.count * 64;
    }
    for (uint32_t i = 1; i < b.count; i++) {
        if (b.states[i].lost + b.states[i].later < b.states[best].lost + b.states[best].later)
            best = i;
    }
    for (uint32_t level = levels; level-- > 0; best = b.parent[(size_t)level * width + best]) {
        const struct narrow_cell *cell = &s->cells[b.cell[(size_t)level * width + best]];

        s->fixed[cell->unit] = cell->device;
    }
    *verdict = he_narrow_record(s) ? VERDICT_FOUND : VERDICT_UNKNOWN;
done:
    he_arena_fini(&arena);
    return status;
}
