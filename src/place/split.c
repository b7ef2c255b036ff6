/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The best split along a family of cutting points, by dynamic programming: for every
 * point and every set of servers already used, the least largest load so far. A stage is what
 * lies between two points; from each point they are met by adding blocks one at a time, which
 * keeps the load up to date (source: Tarnawski et al., NeurIPS 2020; the pruning is ours: what
 * only grows with a stage, and the work left for the servers left, against the best known).
 */
#include <string.h>

#include "core/size.h"
#include "judge.h"
#include "stages.h"

#define CLOCK_STRIDE 4096 /* stages between looks at the clock */
#define MOST_CELLS 30000000

struct stage {
    uint32_t point;
    double memory;
    double load[HE_MOST_KINDS]; /* on a server of each kind */
    double sure[HE_MOST_KINDS]; /* the part that no further block can take away */
};

struct split {
    struct he_stages *stages;
    const struct he_family *family;
    double *copy;      /* [net * kind_count + kind] */
    double *time;      /* [block * kind_count + kind] */
    double *remaining; /* by point: least work of what comes after it */
    double *value;     /* [point * set_count + set] */
    uint32_t *from;    /* likewise: the point before */
    uint8_t *kind;     /* likewise: whose stage lies between */
    uint32_t *seen;    /* by point: the point it was last met from, plus one */
    struct stage *queue;
    const uint64_t *begin; /* the point where stages begin now */
    uint32_t *alive;   /* sets worth going on with there */
    uint32_t alive_count;
    double limit;      /* only what is below is of interest */
};

static inline bool holds(const uint64_t *bits, uint32_t block)
{
    return bits[block / 64] >> (block % 64) & 1;
}

/* Whether @block is in the stage that ends at @end. */
static inline bool is_inside(const struct split *s, const uint64_t *end, uint32_t block)
{
    return holds(end, block) && !holds(s->begin, block);
}

/* Takes @block into a stage that ends at @end without it. */
static void take_in(const struct split *s, struct stage *stage, const uint64_t *end, uint32_t block)
{
    const struct he_nets *nets = &s->stages->nets;
    uint32_t kinds = s->stages->kind_count;

    stage->memory += nets->memory[block];
    for (uint32_t k = 0; k < kinds; k++) {
        stage->load[k] += s->time[(size_t)block * kinds + k];
        stage->sure[k] += s->time[(size_t)block * kinds + k];
    }
    for (uint32_t i = nets->at_start[block]; i < nets->at_start[block + 1]; i++) {
        const struct he_net *net = &nets->nets[nets->at[i]];
        const double *copy = s->copy + (size_t)nets->at[i] * kinds;
        bool is_home = net->home == block, has_inside = false, has_outside = false;
        bool comes_early = holds(s->begin, net->home);
        int change = 0;

        for (uint32_t r = net->first; r < net->first + net->count; r++) {
            if (nets->readers[r] == block)
                continue;
            if (is_inside(s, end, nets->readers[r]))
                has_inside = true;
            else
                has_outside = true;
            if (comes_early ? has_inside : has_inside && has_outside)
                break;
        }
        if (is_home)
            change = (has_outside ? 1 : 0) - (has_inside ? 1 : 0);
        else if (is_inside(s, end, net->home))
            change = has_outside ? 0 : -1;
        else
            change = has_inside ? 0 : 1;
        for (uint32_t k = 0; change != 0 && k < kinds; k++)
            stage->load[k] += change * copy[k];
        if (comes_early && change > 0) {
            for (uint32_t k = 0; k < kinds; k++)
                stage->sure[k] += copy[k];
        }
    }
}

/* False when no server can hold this stage, nor any with more in it. */
static bool can_grow(const struct split *s, const struct stage *stage)
{
    for (uint32_t k = 0; k < s->stages->kind_count; k++) {
        if (stage->sure[k] < s->limit && he_fits(stage->memory, s->stages->kinds[k].room))
            return true;
    }
    return false;
}

static void reach(struct split *s, uint32_t from, const struct stage *stage)
{
    const struct he_stages *st = s->stages;
    size_t row = (size_t)stage->point * st->set_count, from_row = (size_t)from * st->set_count;
    bool is_end = stage->point == s->family->count - 1;

    for (uint32_t k = 0; k < st->kind_count; k++) {
        if (!(stage->load[k] < s->limit) || !he_fits(stage->memory, st->kinds[k].room))
            continue;
        for (uint32_t a = 0; a < s->alive_count; a++) {
            uint32_t set = s->alive[a], next = set + st->stride[k];
            double value;

            if (set / st->stride[k] % (st->kinds[k].count + 1) == st->kinds[k].count)
                continue;
            value = fmax(s->value[from_row + set], stage->load[k]);
            if (value >= s->value[row + next] || value >= s->limit)
                continue;
            s->value[row + next] = value;
            s->from[row + next] = from;
            s->kind[row + next] = (uint8_t)k;
            if (is_end)
                s->limit = value * (1.0 - 1e-9);
        }
    }
}

/* All stages that begin at point @from; false when the clock says stop. */
static bool expand(struct split *s, uint32_t from, const struct he_place_options *options,
                   uint64_t deadline_ns, uint32_t *since_look)
{
    const struct he_family *f = s->family;
    uint32_t head = 0, tail = 0;

    s->begin = f->bits + (size_t)from * f->words;
    s->queue[tail++] = (struct stage){ .point = from };
    while (head < tail) {
        uint32_t at = head++;

        if (++*since_look == CLOCK_STRIDE) {
            *since_look = 0;
            if (deadline_ns && he_place_now_ns(options) >= deadline_ns)
                return false;
        }
        for (uint32_t k = f->next_start[s->queue[at].point];
             k < f->next_start[s->queue[at].point + 1]; k++) {
            if (s->seen[f->next[k]] == from + 1)
                continue;
            s->seen[f->next[k]] = from + 1;
            s->queue[tail] = s->queue[at];
            s->queue[tail].point = f->next[k];
            take_in(s, &s->queue[tail], f->bits + (size_t)s->queue[at].point * f->words,
                    f->added[k]);
            if (!can_grow(s, &s->queue[tail]))
                continue;
            reach(s, from, &s->queue[tail]);
            tail++;
        }
    }
    return true;
}

/* The sets at @point from which the rest can still be done below the limit. */
static void list_alive(struct split *s, uint32_t point)
{
    const struct he_stages *st = s->stages;

    s->alive_count = 0;
    for (uint32_t set = 0; set < st->set_count; set++) {
        double value = s->value[(size_t)point * st->set_count + set];

        if (value < s->limit &&
            s->remaining[point] <= s->limit * st->set_share[set] * (1.0 + 1e-9))
            s->alive[s->alive_count++] = set;
    }
}

static he_status prepare(struct split *s, struct he_arena *arena)
{
    const struct he_stages *st = s->stages;
    const struct he_family *f = s->family;
    uint32_t kinds = st->kind_count, d = st->problem->device_count;
    size_t cells = (size_t)f->count * st->set_count;

    if (cells > MOST_CELLS)
        return he_error_set(HE_ERR_UNSUPPORTED, "too many cutting points");
    s->copy = he_arena_alloc(arena, st->nets.net_count, kinds * sizeof *s->copy);
    s->time = he_arena_alloc(arena, st->count, kinds * sizeof *s->time);
    s->remaining = he_arena_alloc(arena, f->count, sizeof *s->remaining);
    s->value = he_arena_alloc(arena, cells, sizeof *s->value);
    s->from = he_arena_alloc(arena, cells, sizeof *s->from);
    s->kind = he_arena_alloc(arena, cells, sizeof *s->kind);
    s->seen = he_arena_alloc(arena, f->count, sizeof *s->seen);
    s->queue = he_arena_alloc(arena, (size_t)f->count + 1, sizeof *s->queue);
    s->alive = he_arena_alloc(arena, st->set_count, sizeof *s->alive);
    if (!s->copy || !s->time || !s->remaining || !s->value || !s->from || !s->kind || !s->seen ||
        !s->queue || !s->alive)
        return he_no_memory();
    for (uint32_t k = 0; k < kinds; k++) {
        for (uint32_t n = 0; n < st->nets.net_count; n++)
            s->copy[(size_t)n * kinds + k] =
                he_net_seconds(&st->nets, &st->nets.nets[n], st->kinds[k].device);
        for (uint32_t b = 0; b < st->count; b++)
            s->time[(size_t)b * kinds + k] = st->nets.time[(size_t)b * d + st->kinds[k].device];
    }
    s->remaining[0] = st->total_share;
    for (uint32_t point = 0; point < f->count; point++) {
        for (uint32_t k = f->next_start[point]; k < f->next_start[point + 1]; k++)
            s->remaining[f->next[k]] = s->remaining[point] - st->share[f->added[k]];
    }
    for (size_t k = 0; k < cells; k++)
        s->value[k] = INFINITY;
    s->value[0] = 0.0;
    return HE_OK;
}

/* Walks back from the best set at the end. */
static void take_answer(struct split *s)
{
    struct he_stages *st = s->stages;
    const struct he_family *f = s->family;
    uint32_t point = f->count - 1, set = 0;
    const double *last = s->value + (size_t)point * st->set_count;

    for (uint32_t k = 1; k < st->set_count; k++) {
        if (last[k] < last[set])
            set = k;
    }
    if (!(last[set] < st->best))
        return;
    st->best = last[set];
    while (point != 0) {
        size_t cell = (size_t)point * st->set_count + set;
        const struct he_stage_kind *kind = &st->kinds[s->kind[cell]];
        uint32_t held = set / st->stride[s->kind[cell]] % (kind->count + 1);
        const uint64_t *end = f->bits + (size_t)point * f->words;

        s->begin = f->bits + (size_t)s->from[cell] * f->words;
        for (uint32_t b = 0; b < st->count; b++) {
            if (is_inside(s, end, b))
                st->device[b] = st->members[kind->first + held - 1];
        }
        set -= st->stride[s->kind[cell]];
        point = s->from[cell];
    }
}

he_status he_stages_solve(struct he_stages *stages, const struct he_family *family,
                          const struct he_place_options *options, uint64_t deadline_ns,
                          struct he_arena *arena, bool *is_done)
{
    struct split s = { .stages = stages, .family = family };
    uint32_t since_look = 0;
    he_status status = prepare(&s, arena);

    *is_done = true;
    if (status != HE_OK)
        return status;
    s.limit = stages->best * (1.0 - 1e-9);
    for (uint32_t point = 0; point + 1 < family->count && *is_done; point++) {
        list_alive(&s, point);
        if (s.alive_count > 0)
            *is_done = expand(&s, point, options, deadline_ns, &since_look);
    }
    take_answer(&s);
    return HE_OK;
}
