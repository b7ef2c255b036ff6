/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Without contention a start follows from the task before on the server and from the inputs: a
 * change is followed through the tasks that it really moves, in the order's sequence. With
 * contention every task from the first changed place on is scheduled again, as the judge
 * does it; bookings of tasks before that place stay.
 *
 * Both stop as soon as a task ends so late that the longest way from it to the end (of the kept
 * schedule; it still holds behind the last changed place) is above the limit: most trials
 * are bad, and found out so after a few tasks.
 */
#include <stdlib.h>
#include <string.h>

#include "rank.h"
#include "replay.h"

#define NONE UINT32_MAX

/* --- Neighbours on servers --- */

static void unlink_task(struct he_replay *r, uint32_t task)
{
    if (r->before[task] != NONE)
        r->after[r->before[task]] = r->after[task];
    if (r->after[task] != NONE)
        r->before[r->after[task]] = r->before[task];
}

static void link_task(struct he_replay *r, uint32_t task)
{
    const struct he_problem *p = r->problem;
    uint32_t server = p->devices[r->device[task]].server, before = NONE, after = NONE;
    uint32_t low = r->position[task], high = low + 1;

    /* The nearest one of the server on either side knows the other side's. */
    for (;;) {
        if (low > 0 && p->devices[r->device[r->order[--low]]].server == server) {
            before = r->order[low];
            after = r->after[before];
            break;
        }
        if (high < p->task_count && p->devices[r->device[r->order[high++]]].server == server) {
            after = r->order[high - 1];
            before = r->before[after];
            break;
        }
        if (low == 0 && high == p->task_count)
            break;
    }
    r->before[task] = before;
    r->after[task] = after;
    if (before != NONE)
        r->after[before] = task;
    if (after != NONE)
        r->before[after] = task;
}

static void mark(struct he_replay *r, uint32_t task)
{
    if (task != NONE)
        r->dirty[r->position[task] / 64] |= UINT64_C(1) << r->position[task] % 64;
}

static void mark_readers(struct he_replay *r, uint32_t task)
{
    const struct he_problem *p = r->problem;

    for (uint32_t k = p->out_start[task]; k < p->out_start[task + 1]; k++)
        mark(r, p->edges[p->out_edges[k]].to);
}

static void touch(struct he_replay *r, uint32_t place)
{
    if (place < r->first_place)
        r->first_place = place;
    if (place > r->last_place)
        r->last_place = place;
}

/* --- One task --- */

static double transfer(const struct he_replay *r, uint32_t from, uint32_t to, double bytes)
{
    size_t pair = (size_t)from * r->problem->device_count + to;

    return r->latency[pair] + bytes * r->per_byte[pair];
}

static double duration(const struct he_replay *r, uint32_t task)
{
    const struct he_problem *p = r->problem;
    uint32_t j = r->device[task];
    bool starts_region = p->in_start[task] == p->in_start[task + 1];

    for (uint32_t k = p->in_start[task]; p->launch && k < p->in_start[task + 1]; k++)
        starts_region |= r->device[p->edges[p->in_edges[k]].from] != j;
    return he_problem_time(p, task, j) + (starts_region && p->launch ? p->launch[j] : 0.0);
}

/* The link of the trial: the bookings of tasks that are not scheduled again. */
static he_status open_link(struct he_replay *r, struct he_replay_link *link, uint32_t pair)
{
    size_t capacity = link->trial_capacity;

    if (link->trial_number == r->trial_number)
        return HE_OK;
    link->trial_number = r->trial_number;
    link->trial_count = 0;
    if (!link->is_active) {
        link->is_active = true;
        r->active_links[r->active_link_count++] = pair;
    }
    if (he_alloc_grow(&r->alloc, (void **)&link->trial, &capacity, 0, link->kept_count + 1,
                      sizeof *link->trial) != HE_OK)
        return HE_ERR_NO_MEMORY;
    link->trial_capacity = (uint32_t)capacity;
    for (uint32_t k = 0; k < link->kept_count; k++) {
        link->trial[link->trial_count] = link->kept[k];
        link->trial_count += link->kept[k].place < r->first_place;
    }
    return HE_OK;
}

static he_status book(struct he_replay *r, uint32_t pair, uint32_t place, double ready,
                      double time, double *arrival)
{
    struct he_replay_link *link = &r->links[pair];
    he_status status = open_link(r, link, pair);
    size_t capacity = link->trial_capacity;
    uint32_t low = 0, high = link->trial_count;

    if (status == HE_OK)
        status = he_alloc_grow(&r->alloc, (void **)&link->trial, &capacity, link->trial_count,
                               (size_t)link->trial_count + 1, sizeof *link->trial);
    if (status != HE_OK)
        return status;
    link->trial_capacity = (uint32_t)capacity;
    if (high > 0 && link->trial[high - 1].end <= ready)
        low = high; /* by far the most frequent case */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (link->trial[middle].end > ready)
            high = middle;
        else
            low = middle + 1;
    }
    for (; low < link->trial_count && ready + time > link->trial[low].begin; low++)
        ready = fmax(ready, link->trial[low].end);
    memmove(&link->trial[low + 1], &link->trial[low],
            (link->trial_count - low) * sizeof *link->trial);
    link->trial[low] = (struct he_replay_booking){ ready, ready + time, place };
    link->trial_count++;
    *arrival = ready + time;
    return HE_OK;
}

/* When edge @e is on @to, with contention. */
static he_status send(struct he_replay *r, uint32_t e, uint32_t to, uint32_t place, double *arrival)
{
    const struct he_problem *p = r->problem;
    const struct he_place_edge *edge = &p->edges[e];
    uint32_t from = r->device[edge->from], slot = r->shared_slot[p->edge_tensor[e]];
    double ready = r->finish[edge->from], time = transfer(r, from, to, edge->bytes);
    struct he_replay_arrival *a = NULL;
    he_status status = HE_OK;

    *arrival = ready;
    if (p->devices[from].memory_node == p->devices[to].memory_node)
        return HE_OK;
    if (slot != NONE) {
        uint32_t index = slot * p->memory_count + p->devices[to].memory_node;

        a = &r->arrivals[index];
        if (a->trial_number == r->trial_number) {
            *arrival = a->trial;
            return HE_OK;
        }
        if (a->place < r->first_place) {
            *arrival = a->kept;
            return HE_OK;
        }
        a->trial_number = r->trial_number;
        a->trial_place = place;
        if (!a->is_listed) {
            a->is_listed = true;
            r->listed[r->listed_count++] = index;
        }
    }
    if (time > 0.0)
        status = book(r, from * p->device_count + to, place, ready, time, arrival);
    if (a)
        a->trial = *arrival;
    return status;
}

/* As the judge does it: inputs by when they are ready. */
#define SORTED_INPUTS 32
static he_status begin_with_contention(struct he_replay *r, uint32_t task, double *begin)
{
    const struct he_problem *p = r->problem;
    uint32_t count = p->in_start[task + 1] - p->in_start[task], sorted[SORTED_INPUTS];
    const uint32_t *inputs = &p->in_edges[p->in_start[task]];
    uint32_t place = r->position[task];

    if (count > 1 && count <= SORTED_INPUTS) {
        for (uint32_t k = 0; k < count; k++) {
            double ready = r->finish[p->edges[inputs[k]].from];
            uint32_t at = k;

            for (; at > 0 && r->finish[p->edges[sorted[at - 1]].from] > ready; at--)
                sorted[at] = sorted[at - 1];
            sorted[at] = inputs[k];
        }
        inputs = sorted;
    }
    for (uint32_t k = 0; k < count; k++) {
        double arrival;

        if (send(r, inputs[k], r->device[task], place, &arrival) != HE_OK)
            return HE_ERR_NO_MEMORY;
        *begin = fmax(*begin, arrival);
    }
    return HE_OK;
}

static double begin_without_contention(const struct he_replay *r, uint32_t task, double begin)
{
    const struct he_problem *p = r->problem;
    size_t d = p->device_count, j = r->device[task];

    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        const struct he_place_edge *e = &p->edges[p->in_edges[k]];
        size_t pair = r->device[e->from] * d + j;
        double arrival = r->finish[e->from] + r->latency[pair] + e->bytes * r->per_byte[pair];

        if (arrival > begin)
            begin = arrival;
    }
    return begin;
}

/* Schedules the task at its place. False in *is_fine: the trial is above the limit. */
static he_status replay_task(struct he_replay *r, uint32_t task, double most, bool *is_fine)
{
    const struct he_problem *p = r->problem;
    double begin = r->before[task] == NONE ? 0.0 : r->finish[r->before[task]];
    double old_time = r->finish[task] - r->start[task], time = duration(r, task), end;
    uint32_t place = r->position[task], j = r->device[task];

    if (!p->has_contention)
        begin = begin_without_contention(r, task, begin);
    else if (begin_with_contention(r, task, &begin) != HE_OK)
        return HE_ERR_NO_MEMORY;
    end = begin + time;
    r->logged[r->logged_count] = task;
    r->old_start[r->logged_count] = r->start[task];
    r->old_finish[r->logged_count++] = r->finish[task];
    if (r->counts_energy && !r->is_set[task])
        r->joules += (time - old_time) * (p->devices[j].busy_watts - p->devices[j].idle_watts);
    else if (r->counts_energy)
        r->joules += time * (p->devices[j].busy_watts - p->devices[j].idle_watts);
    if (!p->has_contention && (end != r->finish[task] || r->is_set[task])) {
        mark(r, r->after[task]);
        mark_readers(r, task);
    }
    r->start[task] = begin;
    r->finish[task] = end;
    *is_fine = end + (place > r->last_place ? r->tail[task]
                                            : r->optimistic[(size_t)task * p->device_count + j]) <=
               most;
    return HE_OK;
}

/* --- A trial --- */

static void update_tails(struct he_replay *r)
{
    const struct he_problem *p = r->problem;

    for (uint32_t k = p->task_count; k-- > 0;) {
        uint32_t task = r->order[k], next = r->after[task], j = r->device[task];
        double longest = next == NONE ? 0.0 : r->finish[next] - r->start[next] + r->tail[next];

        for (uint32_t i = p->out_start[task]; i < p->out_start[task + 1]; i++) {
            const struct he_place_edge *e = &p->edges[p->out_edges[i]];
            double way = r->finish[e->to] - r->start[e->to] + r->tail[e->to];

            /* A tensor with several readers in one memory may be there by another's link. */
            if (r->shared_slot[p->edge_tensor[p->out_edges[i]]] == NONE ||
                p->memory_count == p->device_count)
                way += transfer(r, j, r->device[e->to], e->bytes);
            if (way > longest)
                longest = way;
        }
        r->tail[task] = longest;
    }
    r->has_tails = true;
}

void he_replay_begin(struct he_replay *r)
{
    if (!r->has_tails)
        update_tails(r);
    r->trial_number++;
    r->set_count = r->logged_count = 0;
    r->shift_from = r->shift_to = 0;
    r->first_place = NONE;
    r->last_place = 0;
    r->old_joules = r->joules;
}

void he_replay_set(struct he_replay *r, uint32_t task, uint32_t device)
{
    const struct he_place_device *was = &r->problem->devices[r->device[task]];

    r->set_tasks[r->set_count] = task;
    r->set_devices[r->set_count++] = r->device[task];
    r->is_set[task] = true;
    if (r->counts_energy)
        r->joules -= (r->finish[task] - r->start[task]) * (was->busy_watts - was->idle_watts);
    mark(r, r->after[task]);
    unlink_task(r, task);
    r->device[task] = device;
    link_task(r, task);
    mark(r, task);
    touch(r, r->position[task]);
}

static void move_in_order(struct he_replay *r, uint32_t from, uint32_t to)
{
    uint32_t task = r->order[from];

    if (from < to)
        memmove(&r->order[from], &r->order[from + 1], (to - from) * sizeof *r->order);
    else
        memmove(&r->order[to + 1], &r->order[to], (from - to) * sizeof *r->order);
    r->order[to] = task;
    for (uint32_t k = from < to ? from : to; k <= (from < to ? to : from); k++)
        r->position[r->order[k]] = k;
}

static bool is_marked(const struct he_replay *r, uint32_t place)
{
    return r->dirty[place / 64] >> place % 64 & 1;
}

/* Marks are by place: they go where their tasks go. */
static void move_marks(struct he_replay *r, uint32_t from, uint32_t to)
{
    bool last = is_marked(r, from);
    uint32_t step = from < to ? 1 : UINT32_MAX;

    for (uint32_t k = from; k != to + step; k += step) {
        bool mark = k == to ? last : is_marked(r, k + step);

        r->dirty[k / 64] &= ~(UINT64_C(1) << k % 64);
        r->dirty[k / 64] |= (uint64_t)mark << k % 64;
    }
}

void he_replay_shift(struct he_replay *r, uint32_t from, uint32_t to)
{
    uint32_t task = r->order[from], after = r->after[task];

    r->shift_from = from;
    r->shift_to = to;
    unlink_task(r, task);
    if (r->set_count > 0)
        move_marks(r, from, to);
    move_in_order(r, from, to);
    link_task(r, task);
    mark(r, after);
    mark(r, task);
    mark(r, r->after[task]);
    touch(r, from);
    touch(r, to);
}

/* What must be done before the next trial, whatever becomes of this one. */
static void clean(struct he_replay *r)
{
    for (uint32_t k = 0; k < r->set_count; k++)
        r->is_set[r->set_tasks[k]] = false;
}

static double latest_end(const struct he_replay *r)
{
    double most = 0.0;

    for (uint32_t k = 0; k < r->sink_count; k++) {
        if (r->finish[r->sinks[k]] > most)
            most = r->finish[r->sinks[k]];
    }
    return most;
}

he_status he_replay_try(struct he_replay *r, double limit, double *value)
{
    const struct he_problem *p = r->problem;
    double most = r->counts_energy ? INFINITY : limit * (1.0 + 1e-12), makespan;
    uint32_t words = (p->task_count + 63) / 64, word = r->first_place / 64;
    bool is_fine = true;

    *value = INFINITY;
    if (r->first_place == NONE)
        return HE_OK;
    if (p->has_contention) {
        memset(r->dirty + word, 0, (words - word) * sizeof *r->dirty);
        for (uint32_t k = r->first_place; is_fine && k < p->task_count; k++) {
            if (replay_task(r, r->order[k], most, &is_fine) != HE_OK)
                return HE_ERR_NO_MEMORY;
        }
    }
    for (; is_fine && word < words; word++) {
        while (is_fine && r->dirty[word]) {
            uint32_t k = word * 64 + (uint32_t)__builtin_ctzll(r->dirty[word]);

            r->dirty[word] &= r->dirty[word] - 1;
            if (replay_task(r, r->order[k], most, &is_fine) != HE_OK)
                return HE_ERR_NO_MEMORY;
        }
    }
    if (!is_fine) {
        for (word = word > 0 ? word - 1 : 0; word < words; word++)
            r->dirty[word] = 0;
        return HE_OK;
    }
    makespan = latest_end(r);
    *value = r->counts_energy ? r->idle_watts * makespan + r->joules : makespan;
    if (*value > limit)
        *value = INFINITY;
    return HE_OK;
}

/* --- Afterwards --- */

/* Bookings from the first changed place on are those of the trial now. */
static he_status keep_links(struct he_replay *r)
{
    for (uint32_t k = 0; k < r->active_link_count; k++) {
        struct he_replay_link *link = &r->links[r->active_links[k]], old = *link;
        uint32_t count = 0;

        if (link->trial_number == r->trial_number) {
            link->kept = old.trial;
            link->kept_count = old.trial_count;
            link->kept_capacity = old.trial_capacity;
            link->trial = old.kept;
            link->trial_capacity = old.kept_capacity;
            continue;
        }
        for (uint32_t i = 0; i < link->kept_count; i++) {
            link->kept[count] = link->kept[i];
            count += link->kept[i].place < r->first_place;
        }
        link->kept_count = count;
    }
    for (uint32_t k = 0; k < r->listed_count;) {
        struct he_replay_arrival *a = &r->arrivals[r->listed[k]];

        if (a->trial_number == r->trial_number) {
            a->place = a->trial_place;
            a->kept = a->trial;
        } else if (a->place >= r->first_place) {
            a->place = NONE;
            a->is_listed = false;
            r->listed[k] = r->listed[--r->listed_count];
            continue;
        }
        k++;
    }
    return HE_OK;
}

he_status he_replay_keep(struct he_replay *r, double value)
{
    r->value = value;
    r->makespan = latest_end(r);
    r->has_tails = false;
    clean(r);
    return r->problem->has_contention ? keep_links(r) : HE_OK;
}

void he_replay_undo(struct he_replay *r)
{
    const struct he_problem *p = r->problem;

    while (r->logged_count > 0) {
        uint32_t k = --r->logged_count;

        r->start[r->logged[k]] = r->old_start[k];
        r->finish[r->logged[k]] = r->old_finish[k];
    }
    clean(r);
    for (uint32_t k = r->set_count; k-- > 0;) {
        uint32_t task = r->set_tasks[k];

        unlink_task(r, task);
        r->device[task] = r->set_devices[k];
        link_task(r, task);
    }
    if (r->shift_from != r->shift_to) {
        uint32_t task = r->order[r->shift_to];

        unlink_task(r, task);
        move_in_order(r, r->shift_to, r->shift_from);
        link_task(r, task);
    }
    r->joules = r->old_joules;
    /* A trial that was not tried leaves marks. */
    if (r->first_place != NONE)
        memset(r->dirty, 0, (p->task_count + 63) / 64 * sizeof *r->dirty);
}

uint32_t he_replay_critical(const struct he_replay *r, uint32_t *tasks)
{
    const struct he_problem *p = r->problem;
    uint32_t count = 0, task = NONE;

    for (uint32_t k = 0; k < r->sink_count; k++) {
        if (task == NONE || r->finish[r->sinks[k]] > r->finish[task])
            task = r->sinks[k];
    }
    while (task != NONE) {
        double latest = -1.0;
        uint32_t next = NONE;

        tasks[count++] = task;
        if (!(r->start[task] > 0.0))
            break;
        for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
            const struct he_place_edge *e = &p->edges[p->in_edges[k]];
            double arrival = r->finish[e->from] +
                             transfer(r, r->device[e->from], r->device[task], e->bytes);

            if (arrival > latest) {
                latest = arrival;
                next = e->from;
            }
        }
        if (r->before[task] != NONE && r->finish[r->before[task]] >= latest)
            next = r->before[task];
        task = next;
    }
    return count;
}

/* --- Beginning and end --- */

he_status he_replay_load(struct he_replay *r, const uint32_t *device, const uint32_t *order)
{
    const struct he_problem *p = r->problem;
    uint32_t n = p->task_count;
    uint32_t *last;
    double value;
    he_status status;

    last = he_alloc(&r->alloc, p->server_count, sizeof *last);
    if (!last)
        return he_no_memory();
    memset(last, 0xff, p->server_count * sizeof *last);
    memcpy(r->device, device, n * sizeof *device);
    memcpy(r->order, order, n * sizeof *order);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t task = order[k], server = p->devices[device[task]].server;

        r->position[task] = k;
        r->before[task] = last[server];
        r->after[task] = NONE;
        if (last[server] != NONE)
            r->after[last[server]] = task;
        last[server] = task;
        r->start[task] = r->finish[task] = r->tail[task] = 0.0;
    }
    he_free(&r->alloc, last);
    r->has_tails = true; /* of no length: nothing is too late */
    r->joules = 0.0;
    he_replay_begin(r);
    r->first_place = 0;
    memset(r->dirty, 0, (n + 63) / 64 * sizeof *r->dirty);
    for (uint32_t k = 0; k < n; k++)
        r->dirty[k / 64] |= UINT64_C(1) << k % 64;
    status = he_replay_try(r, INFINITY, &value);
    return status == HE_OK ? he_replay_keep(r, value) : status;
}

struct keyed {
    double start, finish;
    uint32_t task;
};

static int compare_keyed(const void *left, const void *right)
{
    const struct keyed *a = left, *b = right;

    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (a->finish != b->finish)
        return a->finish < b->finish ? -1 : 1;
    return a->task < b->task ? -1 : a->task > b->task;
}

he_status he_replay_sort(struct he_replay *r)
{
    uint32_t n = r->problem->task_count;
    struct keyed *sorted = he_alloc(&r->alloc, n, sizeof *sorted);
    uint32_t *order = he_alloc(&r->alloc, n, 2 * sizeof *order), *device;
    double value = r->value;
    he_status status = sorted && order ? HE_OK : he_no_memory();

    if (status == HE_OK) {
        device = order + n;
        memcpy(device, r->device, n * sizeof *device);
        for (uint32_t t = 0; t < n; t++)
            sorted[t] = (struct keyed){ r->start[t], r->finish[t], t };
        qsort(sorted, n, sizeof *sorted, compare_keyed);
        for (uint32_t k = 0; k < n; k++)
            order[k] = sorted[k].task;
        for (uint32_t k = 0; k < n; k++)
            sorted[k].task = r->order[k];
        status = he_replay_load(r, device, order);
        if (status == HE_OK && r->value > value * (1.0 + 1e-12)) {
            /* Links were booked in another order, for the worse. */
            for (uint32_t k = 0; k < n; k++)
                order[k] = sorted[k].task;
            status = he_replay_load(r, device, order);
        }
    }
    he_free(&r->alloc, sorted);
    he_free(&r->alloc, order);
    return status;
}

static void set_links(struct he_replay *r)
{
    const struct he_problem *p = r->problem;

    for (uint32_t i = 0; i < p->device_count; i++) {
        for (uint32_t j = 0; j < p->device_count; j++) {
            size_t pair = (size_t)i * p->device_count + j;

            if (i == j || p->links[pair].is_free ||
                p->devices[i].memory_node == p->devices[j].memory_node)
                continue;
            r->latency[pair] = p->links[pair].latency;
            r->per_byte[pair] = 1.0 / p->links[pair].bandwidth;
        }
    }
}

static void *zeroed(struct he_replay *r, size_t count, size_t size, bool *is_ok)
{
    void *memory = he_alloc(&r->alloc, count, size);

    *is_ok &= memory != NULL;
    return memory;
}

he_status he_replay_init(struct he_replay *r, const struct he_problem *p,
                         enum he_objective objective)
{
    size_t n = p->task_count, pairs = (size_t)p->device_count * p->device_count;
    bool is_ok = true;

    *r = (struct he_replay){ .problem = p, .alloc = p->arena.alloc,
                             .counts_energy = objective == HE_OBJECTIVE_ENERGY };
    r->device = zeroed(r, n, sizeof *r->device, &is_ok);
    r->order = zeroed(r, n, sizeof *r->order, &is_ok);
    r->position = zeroed(r, n, sizeof *r->position, &is_ok);
    r->start = zeroed(r, n, sizeof *r->start, &is_ok);
    r->finish = zeroed(r, n, sizeof *r->finish, &is_ok);
    r->before = zeroed(r, n, sizeof *r->before, &is_ok);
    r->after = zeroed(r, n, sizeof *r->after, &is_ok);
    r->tail = zeroed(r, n, sizeof *r->tail, &is_ok);
    r->optimistic = zeroed(r, n, p->device_count * sizeof *r->optimistic, &is_ok);
    r->per_byte = zeroed(r, pairs, sizeof *r->per_byte, &is_ok);
    r->latency = zeroed(r, pairs, sizeof *r->latency, &is_ok);
    r->dirty = zeroed(r, n / 64 + 1, sizeof *r->dirty, &is_ok);
    r->sinks = zeroed(r, n, sizeof *r->sinks, &is_ok);
    r->set_tasks = zeroed(r, n, sizeof *r->set_tasks, &is_ok);
    r->set_devices = zeroed(r, n, sizeof *r->set_devices, &is_ok);
    r->logged = zeroed(r, n, sizeof *r->logged, &is_ok);
    r->old_start = zeroed(r, n, sizeof *r->old_start, &is_ok);
    r->old_finish = zeroed(r, n, sizeof *r->old_finish, &is_ok);
    r->is_set = zeroed(r, n, sizeof *r->is_set, &is_ok);
    r->shared_slot = zeroed(r, p->tensor_count, sizeof *r->shared_slot, &is_ok);
    for (uint32_t k = 0; is_ok && k < p->tensor_count; k++)
        r->shared_slot[k] =
            p->tensor_start[k + 1] - p->tensor_start[k] > 1 ? r->slot_count++ : NONE;
    if (p->has_contention) {
        size_t cells = (size_t)r->slot_count * p->memory_count;

        r->links = zeroed(r, pairs, sizeof *r->links, &is_ok);
        r->active_links = zeroed(r, pairs, sizeof *r->active_links, &is_ok);
        r->arrivals = zeroed(r, cells, sizeof *r->arrivals, &is_ok);
        r->listed = zeroed(r, cells, sizeof *r->listed, &is_ok);
        for (size_t k = 0; is_ok && k < cells; k++)
            r->arrivals[k].place = NONE;
    }
    if (!is_ok) {
        he_replay_fini(r);
        return he_no_memory();
    }
    he_rank_optimistic(p, r->optimistic);
    set_links(r);
    for (uint32_t t = 0; t < p->task_count; t++) {
        if (p->out_start[t] == p->out_start[t + 1])
            r->sinks[r->sink_count++] = t;
    }
    for (uint32_t j = 0; j < p->device_count; j++)
        r->idle_watts += p->devices[j].idle_watts;
    return HE_OK;
}

void he_replay_fini(struct he_replay *r)
{
    struct he_allocator alloc = r->alloc;
    size_t pairs;

    if (!r->problem)
        return;
    pairs = (size_t)r->problem->device_count * r->problem->device_count;
    for (size_t k = 0; r->links && k < pairs; k++) {
        he_free(&alloc, r->links[k].kept);
        he_free(&alloc, r->links[k].trial);
    }
    he_free(&alloc, r->device);
    he_free(&alloc, r->order);
    he_free(&alloc, r->position);
    he_free(&alloc, r->start);
    he_free(&alloc, r->finish);
    he_free(&alloc, r->before);
    he_free(&alloc, r->after);
    he_free(&alloc, r->tail);
    he_free(&alloc, r->optimistic);
    he_free(&alloc, r->per_byte);
    he_free(&alloc, r->latency);
    he_free(&alloc, r->dirty);
    he_free(&alloc, r->sinks);
    he_free(&alloc, r->set_tasks);
    he_free(&alloc, r->set_devices);
    he_free(&alloc, r->logged);
    he_free(&alloc, r->old_start);
    he_free(&alloc, r->old_finish);
    he_free(&alloc, r->is_set);
    he_free(&alloc, r->shared_slot);
    he_free(&alloc, r->links);
    he_free(&alloc, r->active_links);
    he_free(&alloc, r->arrivals);
    he_free(&alloc, r->listed);
    *r = (struct he_replay){ 0 };
}
