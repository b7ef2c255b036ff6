/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps in the order of the plan: each region's launch, preceded by the copies
 * that bring its inputs into its memory and followed by the copies that take
 * its results home. A copy is done by the lane of the device whose memory is not
 * the host's (the reading side between two such devices), so that the host's
 * lanes go on working. A step waits for what makes its inputs on other lanes.
 */
#include <string.h>

#include "plan/lower.h"

struct step_maker {
    struct he_plan *plan;
    uint32_t *home_of;  /* [memory * value_count + value] */
    uint32_t *maker_of; /* per home: the step that fills it, HE_NONE: the caller */
    struct wait {
        uint32_t step, on;
    } *waits;
    size_t wait_count, wait_capacity;
};

static uint32_t home_at(const struct step_maker *m, uint32_t memory, uint32_t value)
{
    return m->home_of[(size_t)memory * m->plan->graph->value_count + value];
}

/* Notes that @step needs @on to be done, unless their lane's order says so already. */
static he_status add_wait(struct step_maker *m, uint32_t step, uint32_t on)
{
    struct he_plan *plan = m->plan;
    he_status status;

    if (on == HE_NONE || plan->steps[on].lane == plan->steps[step].lane)
        return HE_OK;
    for (size_t k = m->wait_count; k-- > 0 && m->waits[k].step == step;) {
        if (m->waits[k].on == on)
            return HE_OK;
    }
    status = he_alloc_grow(&plan->arena.alloc, (void **)&m->waits, &m->wait_capacity,
                           m->wait_count, m->wait_count + 1, sizeof *m->waits);
    if (status != HE_OK)
        return status;
    m->waits[m->wait_count++] = (struct wait){ step, on };
    return HE_OK;
}

static uint32_t lane_of_memory(const struct he_plan *plan, uint32_t memory)
{
    for (uint32_t l = 0; l < plan->lane_count; l++) {
        if (plan->lanes[l].memory == memory)
            return l;
    }
    return HE_NONE;
}

/* The caller's memory has no device when none of the host's is in the plan: the copy is then
 * taken for one through a common slot, as src/machine assumes them (12 GB/s, 10 us). */
static double copy_seconds(const struct he_plan *plan, uint32_t from, uint32_t to, size_t bytes)
{
    if (from == HE_NONE || to == HE_NONE)
        return 10e-6 + (double)bytes / 12e9;
    return he_problem_transfer(plan->problem, from, to, (double)bytes);
}

static he_status add_copy(struct step_maker *m, uint32_t from_home, uint32_t to_home, double at)
{
    struct he_plan *plan = m->plan;
    uint32_t step = plan->step_count++;
    uint32_t to_memory = plan->homes[to_home].memory;
    uint32_t outside = plan->memories[to_memory].is_host ? plan->homes[from_home].memory
                                                         : to_memory;

    plan->steps[step] = (struct he_step){
        .kind = HE_STEP_COPY,
        .lane = lane_of_memory(plan, outside),
        .region = HE_NONE,
        .from_home = from_home,
        .to_home = to_home,
        .predicted_start = at,
        .predicted_finish = at + copy_seconds(
                                     plan, plan->memories[plan->homes[from_home].memory].device,
                                     plan->memories[to_memory].device, plan->homes[to_home].bytes),
    };
    m->maker_of[to_home] = step;
    return add_wait(m, step, m->maker_of[from_home]);
}

/* Any home of the value that is filled by now: where to copy it from. */
static uint32_t filled_home(const struct step_maker *m, uint32_t value)
{
    const struct he_plan *plan = m->plan;

    for (uint32_t memory = 0; memory < plan->memory_count; memory++) {
        uint32_t home = home_at(m, memory, value);

        if (home != HE_NONE &&
            (m->maker_of[home] != HE_NONE || plan->homes[home].kind == HE_HOME_INPUT))
            return home;
    }
    return HE_NONE;
}

static he_status bring_inputs(struct step_maker *m, const struct he_plan_region *region, double at)
{
    struct he_plan *plan = m->plan;

    for (uint32_t k = 0; k < region->view.slot_count; k++) {
        uint32_t home = region->slot_homes[k], source;
        he_status status;

        if (region->slots[k].role != HE_SLOT_INPUT || m->maker_of[home] != HE_NONE ||
            plan->homes[home].kind == HE_HOME_INPUT)
            continue;
        source = filled_home(m, region->slots[k].value);
        if (source == HE_NONE)
            return he_error_set(HE_ERR_INTERNAL, "plan: value %s is read before it is made",
                                plan->graph->values[region->slots[k].value].name);
        status = add_copy(m, source, home, at);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

static he_status take_outputs_home(struct step_maker *m, const struct he_plan_region *region,
                                   double at)
{
    struct he_plan *plan = m->plan;

    if (plan->memories[plan->lanes[region->lane].memory].is_host)
        return HE_OK;
    for (uint32_t k = 0; k < region->view.slot_count; k++) {
        uint32_t value = region->slots[k].value, host_home;
        he_status status;

        /* The host has a home for it when it is an output, or a host device reads it. */
        host_home = home_at(m, 0, value);
        if (region->slots[k].role == HE_SLOT_INPUT || host_home == HE_NONE ||
            host_home == region->slot_homes[k])
            continue;
        status = add_copy(m, region->slot_homes[k], host_home, at);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

static he_status add_launch(struct step_maker *m, uint32_t r)
{
    struct he_plan *plan = m->plan;
    struct he_plan_region *region = &plan->regions[r];
    double start = plan->schedule.start[region->view.tasks[0]], finish = 0;
    uint32_t step;
    he_status status;

    for (uint32_t t = 0; t < region->view.task_count; t++) {
        if (plan->schedule.finish[region->view.tasks[t]] > finish)
            finish = plan->schedule.finish[region->view.tasks[t]];
    }
    status = bring_inputs(m, region, start);
    if (status != HE_OK)
        return status;
    step = plan->step_count++;
    region->step = step;
    plan->steps[step] = (struct he_step){
        .kind = HE_STEP_REGION,
        .lane = region->lane,
        .region = r,
        .from_home = HE_NONE,
        .to_home = HE_NONE,
        .predicted_start = start,
        .predicted_finish = finish,
    };
    for (uint32_t k = 0; k < region->view.slot_count && status == HE_OK; k++) {
        if (region->slots[k].role == HE_SLOT_INPUT)
            status = add_wait(m, step, m->maker_of[region->slot_homes[k]]);
        else
            m->maker_of[region->slot_homes[k]] = step;
    }
    return status == HE_OK ? take_outputs_home(m, region, finish) : status;
}

/* Lists per lane and per step, from the flat lists. */
static he_status index_steps(struct step_maker *m)
{
    struct he_plan *plan = m->plan;
    struct he_arena *arena = &plan->arena;

    for (uint32_t l = 0; l < plan->lane_count; l++) {
        struct he_lane *lane = &plan->lanes[l];

        lane->steps = he_arena_alloc(arena, plan->step_count, sizeof *lane->steps);
        if (!lane->steps)
            return he_no_memory();
        for (uint32_t s = 0; s < plan->step_count; s++) {
            if (plan->steps[s].lane == l)
                lane->steps[lane->step_count++] = s;
        }
    }
    for (size_t w = 0; w < m->wait_count; w++) {
        plan->steps[m->waits[w].step].wait_count++;
        plan->steps[m->waits[w].on].wake_count++;
    }
    for (uint32_t s = 0; s < plan->step_count; s++) {
        struct he_step *step = &plan->steps[s];

        step->waits_for = he_arena_alloc(arena, step->wait_count, sizeof *step->waits_for);
        step->wakes = he_arena_alloc(arena, step->wake_count, sizeof *step->wakes);
        if (!step->waits_for || !step->wakes)
            return he_no_memory();
        step->wait_count = step->wake_count = 0;
    }
    for (size_t w = 0; w < m->wait_count; w++) {
        struct he_step *waiter = &plan->steps[m->waits[w].step];
        struct he_step *on = &plan->steps[m->waits[w].on];

        waiter->waits_for[waiter->wait_count++] = m->waits[w].on;
        on->wakes[on->wake_count++] = m->waits[w].step;
    }
    return HE_OK;
}

static he_status make_steps(struct step_maker *m)
{
    struct he_plan *plan = m->plan;
    size_t cells = (size_t)plan->memory_count * plan->graph->value_count;
    he_status status = HE_OK;

    m->home_of = he_arena_alloc(&plan->arena, cells, sizeof *m->home_of);
    m->maker_of = he_arena_alloc(&plan->arena, plan->home_count, sizeof *m->maker_of);
    /* A launch per region, and at most one copy into and one out of each home. */
    plan->steps = he_arena_alloc(&plan->arena,
                                 (size_t)plan->region_count + 2 * (size_t)plan->home_count,
                                 sizeof *plan->steps);
    if (!m->home_of || !m->maker_of || !plan->steps)
        return he_no_memory();
    memset(m->home_of, 0xff, cells * sizeof *m->home_of);
    for (uint32_t h = 0; h < plan->home_count; h++) {
        m->home_of[(size_t)plan->homes[h].memory * plan->graph->value_count +
                   plan->homes[h].value] = h;
        m->maker_of[h] = HE_NONE;
    }
    for (uint32_t r = 0; r < plan->region_count && status == HE_OK; r++)
        status = add_launch(m, r);
    return status == HE_OK ? index_steps(m) : status;
}

he_status he_plan_make_steps(struct he_plan *plan)
{
    struct step_maker m = { .plan = plan };
    he_status status = make_steps(&m);

    he_free(&plan->arena.alloc, m.waits);
    return status;
}
