/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks that run side by side on devices of one chip slow each other down. The schedule
 * is made as if they did not; then each task grows by the share of its time that
 * another device was busy, and the schedule is made again. Growing changes who meets
 * whom, so this is repeated a few times: a fixed point is not needed, the same answer for the
 * same question is. A task also takes longer by the bytes it reads that another core of its
 * memory has made: they come from that core's caches.
 */
#include <string.h>

#include "core/size.h"
#include "judge.h"

#define ROUNDS 2

struct stretch {
    const struct he_problem *p;
    const uint32_t *device, *order;
    uint32_t *lists, *list_start; /* tasks by device, as they follow each other */
    double *base;                 /* per task where it runs: the problem's time, and fetching */
    double *time;                 /* the problem's, stretched where tasks are */
};

static uint32_t count_used(const struct he_problem *p, const uint32_t *device, bool *is_used)
{
    uint32_t count = 0;

    memset(is_used, 0, p->device_count * sizeof *is_used);
    for (uint32_t t = 0; t < p->task_count; t++) {
        count += !is_used[device[t]];
        is_used[device[t]] = true;
    }
    return count;
}

static bool disturbs(const struct he_problem *p, uint32_t device, uint32_t other)
{
    size_t pair = (size_t)device * p->device_count + other;

    return device != other && p->devices[device].server != p->devices[other].server &&
           (p->company->slowdown_compute[pair] > 1.0 || p->company->slowdown_memory[pair] > 1.0);
}

/* How much longer @task takes for every second that @other is busy. */
static double loss(const struct he_problem *p, uint32_t task, uint32_t device, uint32_t other)
{
    const struct he_place_company *c = p->company;
    size_t pair = (size_t)device * p->device_count + other;
    double memory = c->memory_share[(size_t)task * p->device_count + device];

    return memory * (c->slowdown_memory[pair] - 1.0) +
           (1.0 - memory) * (c->slowdown_compute[pair] - 1.0);
}

static double fetching(const struct stretch *s, uint32_t task)
{
    const struct he_problem *p = s->p;
    const struct he_place_company *c = p->company;
    double seconds = 0.0;

    for (uint32_t k = p->in_start[task]; c->fetch_seconds && k < p->in_start[task + 1]; k++) {
        uint32_t e = p->in_edges[k], from = s->device[p->edges[e].from];

        if (from != s->device[task])
            seconds += c->fetch_seconds[(size_t)from * p->device_count + s->device[task]] *
                       (c->fetched_bytes ? c->fetched_bytes[e] : p->edges[e].bytes);
    }
    return seconds;
}

static bool set_bases(struct stretch *s)
{
    bool any = false;

    for (uint32_t t = 0; t < s->p->task_count; t++) {
        double seconds = fetching(s, t);

        s->base[t] = he_problem_time(s->p, t, s->device[t]) + seconds;
        any |= seconds > 0.0;
    }
    return any;
}

static void make_lists(struct stretch *s)
{
    const struct he_problem *p = s->p;
    uint32_t *at = s->list_start;

    memset(at, 0, ((size_t)p->device_count + 1) * sizeof *at);
    for (uint32_t t = 0; t < p->task_count; t++)
        at[s->device[t] + 1]++;
    for (uint32_t j = 0; j < p->device_count; j++)
        at[j + 1] += at[j];
    for (uint32_t k = 0; k < p->task_count; k++)
        s->lists[at[s->device[s->order[k]]]++] = s->order[k];
    /* Every start has become the next one's. */
    memmove(at + 1, at, p->device_count * sizeof *at);
    at[0] = 0;
}

/* Seconds that each task of @j shares with @other's, at the price of the pair. */
static void add_meetings(struct stretch *s, const struct he_judge *judge, uint32_t j,
                         uint32_t other)
{
    const struct he_problem *p = s->p;
    uint32_t at = s->list_start[other], end = s->list_start[other + 1];

    for (uint32_t k = s->list_start[j]; k < s->list_start[j + 1]; k++) {
        uint32_t t = s->lists[k];
        double start = judge->start[t], finish = judge->finish[t], shared = 0.0;

        while (at < end && judge->finish[s->lists[at]] <= start)
            at++;
        for (uint32_t o = at; o < end && judge->start[s->lists[o]] < finish; o++)
            shared += fmin(finish, judge->finish[s->lists[o]]) -
                      fmax(start, judge->start[s->lists[o]]);
        if (shared > 0.0)
            s->time[(size_t)t * p->device_count + j] +=
                s->base[t] * shared / (finish - start) * loss(p, t, j, other);
    }
}

static he_status run_stretched(struct stretch *s, struct he_judge *judge, bool want_peaks)
{
    const struct he_problem *p = s->p;
    struct he_problem changed = *p;
    he_status status;

    for (uint32_t t = 0; t < p->task_count; t++)
        s->time[(size_t)t * p->device_count + s->device[t]] = s->base[t];
    for (uint32_t j = 0; j < p->device_count; j++) {
        for (uint32_t other = 0; other < p->device_count; other++) {
            if (disturbs(p, j, other))
                add_meetings(s, judge, j, other);
        }
    }
    changed.time = s->time;
    judge->problem = &changed;
    status = he_judge_run(judge, s->device, s->order, want_peaks);
    judge->problem = p;
    return status;
}

/* In a full pipeline every device that is used is busy: nobody ever works alone. */
static void stretch_bottleneck(struct stretch *s, struct he_judge *judge, const bool *is_used)
{
    const struct he_problem *p = s->p;

    for (uint32_t j = 0; j < p->device_count; j++) {
        double busy = judge->device_busy[j];

        for (uint32_t k = s->list_start[j]; k < s->list_start[j + 1]; k++) {
            uint32_t t = s->lists[k];

            busy -= s->time[(size_t)t * p->device_count + j] - s->base[t];
            for (uint32_t other = 0; other < p->device_count; other++) {
                if (is_used[other] && disturbs(p, j, other))
                    busy += s->base[t] * loss(p, t, j, other);
            }
        }
        judge->figures.bottleneck = fmax(judge->figures.bottleneck, busy);
    }
}

/* The threads of several devices are woken before and waited for after; all else is later. */
static void shift(struct he_judge *judge, double seconds)
{
    const struct he_problem *p = judge->problem;

    for (uint32_t t = 0; t < p->task_count; t++) {
        judge->start[t] += seconds;
        judge->finish[t] += seconds;
    }
    for (size_t k = 0; judge->transfers && k < judge->transfer_count; k++) {
        judge->transfers[k].start += seconds;
        judge->transfers[k].finish += seconds;
    }
    judge->figures.makespan += seconds;
    judge->figures.sum_cost += seconds;
    for (uint32_t j = 0; j < p->device_count; j++)
        judge->figures.energy += p->devices[j].idle_watts * seconds;
}

static bool any_disturbs(const struct he_problem *p, const bool *is_used)
{
    for (uint32_t j = 0; j < p->device_count; j++) {
        for (uint32_t other = 0; other < p->device_count; other++) {
            if (is_used[j] && is_used[other] && disturbs(p, j, other))
                return true;
        }
    }
    return false;
}

he_status he_judge_stretch(struct he_judge *judge, const uint32_t *device, const uint32_t *order,
                           bool want_peaks)
{
    const struct he_problem *p = judge->problem;
    struct stretch s = { .p = p, .device = device, .order = order };
    struct he_arena scratch;
    he_status status = HE_OK;
    bool *is_used;

    if (!p->company || judge->shortfall.kind != HE_FITS)
        return HE_OK;
    he_arena_init(&scratch, &judge->alloc);
    is_used = he_arena_alloc(&scratch, p->device_count, sizeof *is_used);
    if (!is_used) {
        he_arena_fini(&scratch);
        return he_no_memory();
    }
    if (count_used(p, device, is_used) < 2)
        goto free_scratch;
    s.base = he_arena_alloc(&scratch, p->task_count, sizeof *s.base);
    if (!s.base) {
        status = he_no_memory();
        goto free_scratch;
    }
    if (set_bases(&s) || any_disturbs(p, is_used)) {
        s.lists = he_arena_alloc(&scratch, p->task_count, sizeof *s.lists);
        s.list_start = he_arena_alloc(&scratch, (size_t)p->device_count + 1, sizeof *s.list_start);
        s.time = he_arena_alloc(&scratch, p->task_count, p->device_count * sizeof *s.time);
        if (!s.lists || !s.list_start || !s.time) {
            status = he_no_memory();
            goto free_scratch;
        }
        make_lists(&s);
        for (int round = 0; status == HE_OK && round < ROUNDS; round++)
            status = run_stretched(&s, judge, want_peaks);
        if (status != HE_OK || judge->shortfall.kind != HE_FITS)
            goto free_scratch;
        stretch_bottleneck(&s, judge, is_used);
    }
    shift(judge, p->company->gather_seconds);

free_scratch:
    he_arena_fini(&scratch);
    return status;
}
