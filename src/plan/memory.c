/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory map. A home is one value in one memory. Views share the bytes of
 * what they are a view of (a small union-find over homes). Model inputs and
 * outputs stay in the caller's memory when a host device reads or makes them.
 *
 * Lifetimes hold whatever the lanes' timing. Homes that one lane alone touches
 * live by that lane's own order, in a section of the arena of its own. Homes that
 * lanes share live, with the tasks numbered along the plan's order, from their
 * first task to the last one that may run beside one of their users: two of them
 * with disjoint intervals are ordered by waits that exist anyway.
 */
#include <string.h>

#include "core/map.h"
#include "core/size.h"
#include "mem/pack.h"
#include "plan/lower.h"

/* --- Homes --- */

struct home_maker {
    struct he_plan *plan;
    uint32_t *home_of; /* [memory * value_count + value] */
    size_t capacity;
};

static uint32_t *home_slot(const struct home_maker *m, uint32_t memory, uint32_t value)
{
    return &m->home_of[(size_t)memory * m->plan->graph->value_count + value];
}

static uint32_t index_in(const uint32_t *list, uint32_t count, uint32_t value)
{
    for (uint32_t k = 0; k < count; k++) {
        if (list[k] == value)
            return k;
    }
    return HE_NONE;
}

/* The home of @value in @memory, made when it is not there yet. */
static uint32_t get_home(struct home_maker *m, uint32_t memory, uint32_t value)
{
    struct he_plan *plan = m->plan;
    const struct he_graph *graph = plan->graph;
    const struct he_value *v = &graph->values[value];
    int64_t bytes = he_shape_bytes(&v->shape, v->dtype);
    uint32_t *slot = home_slot(m, memory, value);
    struct he_home *home;

    if (*slot != HE_NONE)
        return *slot;
    *slot = plan->home_count++;
    home = &plan->homes[*slot];
    *home = (struct he_home){ .value = value, .memory = memory, .kind = HE_HOME_ARENA,
                              .bytes = bytes > 0 ? (size_t)bytes : 0, .root = *slot };
    if (bytes < 0) {
        home->kind = HE_HOME_DYNAMIC;
        home->index = plan->dynamic_count++;
    } else if (plan->memories[memory].is_host && v->is_input) {
        home->kind = HE_HOME_INPUT;
        home->index = index_in(graph->inputs, graph->input_count, value);
    } else if (plan->memories[memory].is_host && v->is_output) {
        home->kind = HE_HOME_OUTPUT;
        home->index = index_in(graph->outputs, graph->output_count, value);
    }
    return *slot;
}

static uint32_t find_root(struct he_plan *plan, uint32_t home)
{
    while (plan->homes[home].root != home)
        home = plan->homes[home].root = plan->homes[plan->homes[home].root].root;
    return home;
}

/* Makes @view share the bytes of @base where that is possible. */
static bool join_view(struct he_plan *plan, uint32_t base, uint32_t view)
{
    struct he_home *b, *v;

    base = find_root(plan, base);
    view = find_root(plan, view);
    if (base == view)
        return true;
    b = &plan->homes[base];
    v = &plan->homes[view];
    if (b->kind == HE_HOME_DYNAMIC || v->kind == HE_HOME_DYNAMIC || b->bytes != v->bytes)
        return false;
    /* Bytes in the caller's hands cannot also be somewhere else in its hands. */
    if (b->kind != HE_HOME_ARENA && v->kind != HE_HOME_ARENA)
        return false;
    if (v->kind == HE_HOME_ARENA)
        v->root = base;
    else
        b->root = view;
    return true;
}

static void join_region_views(struct he_plan *plan, struct he_plan_region *region)
{
    for (uint32_t k = 0; k < region->view.slot_count; k++) {
        struct he_slot *slot = &region->slots[k];

        if (slot->alias == HE_NONE)
            continue;
        if (slot->layout != HE_LAYOUT_PLAIN || region->slots[slot->alias].layout != HE_LAYOUT_PLAIN ||
            !join_view(plan, region->slot_homes[slot->alias], region->slot_homes[k]))
            slot->alias = HE_NONE;
    }
}

static he_status find_pass_throughs(struct he_plan *plan)
{
    const struct he_graph *graph = plan->graph;

    plan->pass_throughs = he_arena_alloc(&plan->arena, graph->output_count,
                                         sizeof *plan->pass_throughs);
    if (!plan->pass_throughs)
        return he_no_memory();
    for (uint32_t k = 0; k < graph->output_count; k++) {
        uint32_t value = graph->outputs[k];

        /* Also the second name of a value that is an output twice. */
        if (graph->values[value].producer == HE_NONE ||
            index_in(graph->outputs, graph->output_count, value) != k)
            plan->pass_throughs[plan->pass_through_count++] =
                (struct he_pass_through){ .output = k, .value = value };
    }
    return HE_OK;
}

he_status he_plan_make_homes(struct he_plan *plan)
{
    struct home_maker m = { .plan = plan };
    size_t most = plan->graph->output_count, cells;

    for (uint32_t r = 0; r < plan->region_count; r++)
        most += plan->regions[r].view.slot_count;
    /* Every slot has a home, and each may need a second one in the host's memory. */
    if (!he_size_mul(most, 2, &most) ||
        !he_size_mul(plan->memory_count, plan->graph->value_count, &cells))
        return he_no_memory();
    plan->homes = he_arena_alloc(&plan->arena, most, sizeof *plan->homes);
    m.home_of = he_arena_alloc(&plan->arena, cells, sizeof *m.home_of);
    if (!plan->homes || !m.home_of)
        return he_no_memory();
    memset(m.home_of, 0xff, cells * sizeof *m.home_of);
    for (uint32_t r = 0; r < plan->region_count; r++) {
        struct he_plan_region *region = &plan->regions[r];
        uint32_t memory = plan->lanes[region->lane].memory;

        region->slot_homes = he_arena_alloc(&plan->arena, region->view.slot_count,
                                            sizeof *region->slot_homes);
        if (!region->slot_homes)
            return he_no_memory();
        for (uint32_t k = 0; k < region->view.slot_count; k++) {
            uint32_t value = region->slots[k].value;

            region->slot_homes[k] = get_home(&m, memory, value);
            /* The caller's side of what a device with its own memory reads or makes. */
            if (!plan->memories[memory].is_host &&
                (plan->graph->values[value].is_input || plan->graph->values[value].is_output))
                get_home(&m, 0, value);
        }
    }
    for (uint32_t r = 0; r < plan->region_count; r++)
        join_region_views(plan, &plan->regions[r]);
    for (uint32_t h = 0; h < plan->home_count; h++)
        plan->homes[h].root = find_root(plan, h);
    return find_pass_throughs(plan);
}

/* --- Lifetimes and packing --- */

/* Who is surely done when a step starts: a vector clock of positions on the lanes. */
struct order {
    const struct he_plan *plan;
    uint32_t *step_position; /* per step: its index on its lane */
    uint32_t *done;          /* [step * lane_count + lane]: steps of lane done before it starts */
};

/* plan->steps is in a topological order, so one sweep settles it. */
static void compute_done(struct order *o)
{
    const struct he_plan *plan = o->plan;
    uint32_t lanes = plan->lane_count;

    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct he_step *step = &plan->steps[s];
        uint32_t *mine = &o->done[(size_t)s * lanes];
        uint32_t position = o->step_position[s];

        if (position > 0) {
            uint32_t before = plan->lanes[step->lane].steps[position - 1];

            memcpy(mine, &o->done[(size_t)before * lanes], lanes * sizeof *mine);
        }
        mine[step->lane] = position;
        for (uint32_t w = 0; w < step->wait_count; w++) {
            uint32_t other = step->waits_for[w];
            const uint32_t *theirs = &o->done[(size_t)other * lanes];

            for (uint32_t l = 0; l < lanes; l++) {
                if (theirs[l] > mine[l])
                    mine[l] = theirs[l];
            }
            if (o->step_position[other] + 1 > mine[plan->steps[other].lane])
                mine[plan->steps[other].lane] = o->step_position[other] + 1;
        }
    }
}

/* Last index (along the order) of anything that may run beside step @s. */
static uint32_t last_beside(const struct order *o, uint32_t s, const uint32_t *last_index)
{
    const struct he_plan *plan = o->plan;
    const struct he_step *step = &plan->steps[s];
    uint32_t last = last_index[s];

    for (uint32_t l = 0; l < plan->lane_count; l++) {
        const struct he_lane *lane = &plan->lanes[l];
        uint32_t low = 0, high = lane->step_count;

        if (l == step->lane)
            continue;
        /* First step of that lane that surely starts after s is done: done[] only grows. */
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;

            if (o->done[(size_t)lane->steps[middle] * plan->lane_count + step->lane] >
                o->step_position[s])
                high = middle;
            else
                low = middle + 1;
        }
        if (low > 0 && last_index[lane->steps[low - 1]] > last)
            last = last_index[lane->steps[low - 1]];
    }
    return last;
}

/* What is known of the bytes behind a root home. */
#define NO_LANE UINT32_MAX
#define MANY_LANES (UINT32_MAX - 1)
struct lifetime {
    uint32_t lane;
    uint32_t first, last; /* first and last task that touch it */
    uint32_t last_beside; /* last task that may run beside one of those */
};

static void touch(struct lifetime *life, uint32_t lane, uint32_t at, uint32_t beside)
{
    if (life->lane == NO_LANE)
        *life = (struct lifetime){ lane, at, at, beside };
    else if (life->lane != lane)
        life->lane = MANY_LANES;
    if (at < life->first)
        life->first = at;
    if (at > life->last)
        life->last = at;
    if (beside > life->last_beside)
        life->last_beside = beside;
}

static void find_lifetimes(const struct order *o, const uint32_t *home_of,
                           const uint32_t *first_index, const uint32_t *last_index,
                           struct lifetime *lives)
{
    const struct he_plan *plan = o->plan;
    const struct he_graph *graph = plan->graph;

    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct he_step *step = &plan->steps[s];
        uint32_t beside = last_beside(o, s, last_index), at = first_index[s];
        uint32_t memory = plan->lanes[step->lane].memory;
        const struct he_region *region;

        if (step->kind == HE_STEP_COPY) {
            touch(&lives[plan->homes[step->from_home].root], step->lane, at, beside);
            touch(&lives[plan->homes[step->to_home].root], step->lane, at, beside);
            continue;
        }
        region = &plan->regions[step->region].view;
        for (uint32_t t = 0; t < region->task_count; t++, at++) {
            const struct he_task *task = &graph->tasks[region->tasks[t]];

            for (uint32_t k = 0; k < task->input_count + task->output_count; k++) {
                uint32_t value = k < task->input_count ? task->inputs[k]
                                                       : task->outputs[k - task->input_count];
                uint32_t home = home_of[(size_t)memory * graph->value_count + value];

                if (home != HE_NONE)
                    touch(&lives[plan->homes[home].root], step->lane, at, beside);
            }
        }
    }
}

/* Packs the homes of @memory that @lane alone (or MANY_LANES) touches, behind what is there. */
static he_status pack_section(struct he_plan *plan, uint32_t memory, uint32_t lane,
                              const struct lifetime *lives)
{
    struct he_plan_memory *m = &plan->memories[memory];
    size_t section_bytes, lower_bound;
    struct he_pack_item *items;
    uint32_t *roots, count = 0;
    he_status status;

    items = he_arena_alloc(&plan->arena, plan->home_count, sizeof *items);
    roots = he_arena_alloc(&plan->arena, plan->home_count, sizeof *roots);
    if (!items || !roots)
        return he_no_memory();
    for (uint32_t h = 0; h < plan->home_count; h++) {
        const struct he_home *home = &plan->homes[h];

        if (home->memory != memory || home->root != h || home->kind != HE_HOME_ARENA ||
            lives[h].lane != lane)
            continue;
        roots[count] = h;
        items[count++] = (struct he_pack_item){
            .bytes = home->bytes,
            .first = lives[h].first,
            .last = lane == MANY_LANES ? lives[h].last_beside : lives[h].last,
        };
    }
    if (count == 0)
        return HE_OK;
    status = he_pack(items, count, &plan->arena.alloc, &section_bytes, &lower_bound);
    if (status != HE_OK)
        return status;
    for (uint32_t k = 0; k < count; k++)
        plan->homes[roots[k]].offset = m->arena_bytes + items[k].offset;
    if (!he_size_add(m->arena_bytes, he_size_align(section_bytes, HE_PACK_ALIGNMENT),
                     &m->arena_bytes))
        return he_no_memory();
    m->lower_bound_bytes += lower_bound;
    return HE_OK;
}

static he_status pack_memory(struct he_plan *plan, uint32_t memory, const struct lifetime *lives)
{
    he_status status = pack_section(plan, memory, MANY_LANES, lives);

    for (uint32_t l = 0; l < plan->lane_count && status == HE_OK; l++)
        status = pack_section(plan, memory, l, lives);
    for (uint32_t h = 0; h < plan->home_count; h++) {
        if (plan->homes[h].memory == memory)
            plan->homes[h].offset = plan->homes[plan->homes[h].root].offset;
    }
    return status;
}

/* Numbers the tasks (a copy counts as one) along the plan's order. */
static void number_steps(const struct order *o, uint32_t *first_index, uint32_t *last_index)
{
    const struct he_plan *plan = o->plan;
    uint32_t next = 0;

    for (uint32_t l = 0; l < plan->lane_count; l++) {
        for (uint32_t k = 0; k < plan->lanes[l].step_count; k++)
            o->step_position[plan->lanes[l].steps[k]] = k;
    }
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct he_step *step = &plan->steps[s];

        first_index[s] = next;
        next += step->kind == HE_STEP_REGION ? plan->regions[step->region].view.task_count : 1;
        last_index[s] = next - 1;
    }
}

he_status he_plan_pack_homes(struct he_plan *plan)
{
    const struct he_graph *graph = plan->graph;
    size_t cells = (size_t)plan->memory_count * graph->value_count;
    struct order o = { .plan = plan };
    uint32_t *first_index, *last_index, *home_of;
    struct lifetime *lives;
    he_status status = HE_OK;

    o.step_position = he_arena_alloc(&plan->arena, plan->step_count, sizeof *o.step_position);
    o.done = he_arena_alloc(&plan->arena, (size_t)plan->step_count * plan->lane_count,
                            sizeof *o.done);
    first_index = he_arena_alloc(&plan->arena, plan->step_count, sizeof *first_index);
    last_index = he_arena_alloc(&plan->arena, plan->step_count, sizeof *last_index);
    lives = he_arena_alloc(&plan->arena, plan->home_count, sizeof *lives);
    home_of = he_arena_alloc(&plan->arena, cells, sizeof *home_of);
    if (!o.step_position || !o.done || !first_index || !last_index || !lives || !home_of)
        return he_no_memory();
    memset(home_of, 0xff, cells * sizeof *home_of);
    for (uint32_t h = 0; h < plan->home_count; h++) {
        home_of[(size_t)plan->homes[h].memory * graph->value_count + plan->homes[h].value] = h;
        lives[h].lane = NO_LANE;
    }
    number_steps(&o, first_index, last_index);
    compute_done(&o);
    find_lifetimes(&o, home_of, first_index, last_index, lives);
    for (uint32_t m = 0; m < plan->memory_count && status == HE_OK; m++)
        status = pack_memory(plan, m, lives);
    return status;
}
