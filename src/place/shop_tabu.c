/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step picks one critical path at random, lifts each of its tasks in turn, and looks for its best
 * place on every device that can run it; the makespan that would follow is known exactly. The best move
 * is made, better or not; a task that left a device is not to come back for a while, unless
 * that gives the best schedule so far. Among moves with equal makespans the one with the shortest way
 * through the moved task wins: where several paths are critical, one after the other is cut.
 * After Mastrolilli and Gambardella 2000.
 */
#include <string.h>

#include "shop_tabu.h"

/* Tasks of a critical path looked at in one step; of a longer one, a random choice: more steps
 * bring more than better ones. */
#define MOST_LIFTS 12u
/* Work between two looks at the clock: some tens of microseconds. */
#define LOOK_EVERY 10000u

struct move {
    uint32_t task, device, left;
    double makespan, via;
    uint32_t equal_count;
};

he_status he_shop_answer_init(struct he_shop_answer *answer, uint32_t task_count,
                              struct he_arena *arena)
{
    answer->device = he_arena_alloc(arena, task_count, sizeof *answer->device);
    answer->before = he_arena_alloc(arena, task_count, sizeof *answer->before);
    answer->head = he_arena_alloc(arena, task_count, sizeof *answer->head);
    answer->makespan = INFINITY;
    return answer->device && answer->before && answer->head ? HE_OK : he_no_memory();
}

void he_shop_answer_copy(struct he_shop_answer *to, const struct he_shop_answer *from,
                         uint32_t task_count)
{
    memcpy(to->device, from->device, task_count * sizeof *to->device);
    memcpy(to->before, from->before, task_count * sizeof *to->before);
    memcpy(to->head, from->head, task_count * sizeof *to->head);
    to->makespan = from->makespan;
}

void he_shop_answer_save(struct he_shop_answer *answer, const struct he_shop *shop)
{
    memcpy(answer->device, shop->device, shop->count * sizeof *answer->device);
    memcpy(answer->before, shop->before, shop->count * sizeof *answer->before);
    memcpy(answer->head, shop->head, shop->count * sizeof *answer->head);
    answer->makespan = shop->makespan;
}

static bool can_run_out(const struct he_problem *p)
{
    for (size_t r = 0; r < p->resource_count; r++) {
        if (!isinf(p->resources[r].limit))
            return true;
        for (uint32_t j = 0; p->resources[r].device_limits && j < p->device_count; j++) {
            if (!isinf(p->resources[r].device_limits[j]))
                return true;
        }
    }
    for (uint32_t j = 0; j < p->device_count; j++) {
        if (!isinf(p->weight_limit[j]))
            return true;
    }
    return false;
}

he_status he_shop_tabu_init(struct he_shop_tabu *tabu, struct he_shop *shop,
                            const struct he_units *units, struct he_shop_end *end,
                            struct he_arena *arena)
{
    uint32_t n = shop->count, device_count = shop->problem->device_count;
    he_status status = he_shop_answer_init(&tabu->best, n, arena);

    tabu->shop = shop;
    tabu->units = units;
    tabu->end = end;
    tabu->step = 1;
    tabu->has_limits = can_run_out(shop->problem);
    tabu->until = he_arena_alloc(arena, n, device_count * sizeof *tabu->until);
    tabu->path = he_arena_alloc(arena, n, sizeof *tabu->path);
    if (status == HE_OK)
        status = tabu->until && tabu->path ? he_load_init(&tabu->load, units, arena)
                                           : he_no_memory();
    return status;
}

bool he_shop_is_over(struct he_shop_end *end, const struct he_shop *shop)
{
    if (end->work_limit && shop->work >= end->work_limit)
        end->is_over = true;
    if (end->deadline_ns && shop->work >= end->next_look) {
        end->next_look = shop->work + LOOK_EVERY;
        if (he_place_now_ns(end->options) >= end->deadline_ns)
            end->is_over = true;
    }
    return end->is_over;
}

/* --- The critical path --- */

static bool is_tight(const struct he_shop *shop, uint32_t from, uint32_t task, double lag)
{
    return shop->head[from] + shop->time[from] + lag == shop->head[task];
}

/* A task that @task waits for to the last moment; HE_SHOP_NONE when it starts at 0. */
static uint32_t find_cause(struct he_shop_tabu *tabu, uint32_t task)
{
    const struct he_shop *shop = tabu->shop;
    const struct he_problem *p = shop->problem;
    uint32_t cause = HE_SHOP_NONE, count = 0, left = shop->before[task];

    if (shop->head[task] <= 0.0)
        return HE_SHOP_NONE;
    if (left != HE_SHOP_NONE && is_tight(shop, left, task, 0.0)) {
        cause = left;
        count = 1;
    }
    for (uint32_t k = p->in_start[task]; k < p->in_start[task + 1]; k++) {
        uint32_t from = shop->in[k];
        double lag = shop->in_bytes ? he_problem_transfer(p, shop->device[from],
                                                          shop->device[task], shop->in_bytes[k])
                                    : 0.0;

        if (from != left && is_tight(shop, from, task, lag) &&
            (count == 0 || he_random_below(&tabu->random, count + 1) == 0))
            cause = from;
        count += from != left && is_tight(shop, from, task, lag);
    }
    return cause;
}

static uint32_t find_path(struct he_shop_tabu *tabu)
{
    const struct he_shop *shop = tabu->shop;
    uint32_t count = 0, ends = 0, task = HE_SHOP_NONE;

    for (uint32_t k = 0; k < shop->sink_count; k++) {
        uint32_t sink = shop->sinks[k];

        if (shop->head[sink] + shop->time[sink] >= shop->makespan &&
            he_random_below(&tabu->random, ++ends) == 0)
            task = sink;
    }
    for (; task != HE_SHOP_NONE; task = find_cause(tabu, task))
        tabu->path[count++] = task;
    return count;
}

/* --- Moves --- */

static bool has_room(struct he_shop_tabu *tabu, uint32_t unit, uint32_t here, uint32_t device)
{
    bool has;

    if (!tabu->has_limits || here == device)
        return true;
    he_load_remove(&tabu->load, unit, here);
    has = he_load_has_room(&tabu->load, unit, device);
    he_load_add(&tabu->load, unit, here);
    return has;
}

static void consider(struct he_shop_tabu *tabu, struct move *best, const struct move *move)
{
    if (move->makespan > best->makespan ||
        (move->makespan == best->makespan && move->via > best->via))
        return;
    if (move->makespan == best->makespan && move->via == best->via) {
        uint32_t count = ++best->equal_count;

        if (he_random_below(&tabu->random, count) == 0) {
            *best = *move;
            best->equal_count = count;
        }
        return;
    }
    *best = *move;
    best->equal_count = 1;
}

/* The moves of one task; those it must not make go to @forbidden. */
static void look_at(struct he_shop_tabu *tabu, uint32_t task, struct move *allowed,
                    struct move *forbidden)
{
    struct he_shop *shop = tabu->shop;
    const struct he_problem *p = shop->problem;
    uint32_t unit = tabu->units->of[task], here = shop->device[task];
    bool is_alone = tabu->units->start[unit + 1] - tabu->units->start[unit] == 1;
    double floor = he_shop_lift(shop, task);

    for (uint32_t j = 0; j < p->device_count; j++) {
        struct move move = { .task = task, .device = j };
        struct he_shop_place place;
        bool is_tabu;

        if ((j != here && (tabu->is_fixed || !is_alone)) || isinf(he_problem_time(p, task, j)) ||
            !has_room(tabu, unit, here, j) ||
            !he_shop_find_place(shop, j, he_random_next(&tabu->random) >> 32, &place))
            continue;
        move.left = place.left;
        move.via = place.via;
        move.makespan = fmax(floor, place.via);
        is_tabu = tabu->until[(size_t)task * p->device_count + j] > tabu->step &&
                  move.makespan >= tabu->best.makespan;
        consider(tabu, is_tabu ? forbidden : allowed, &move);
    }
    he_shop_drop(shop);
}

static void make(struct he_shop_tabu *tabu, const struct move *move, uint32_t path_length)
{
    struct he_shop *shop = tabu->shop;
    uint32_t here = shop->device[move->task];
    uint64_t tenure = 8 + 2 * (uint64_t)path_length / 3;

    tenure += he_random_below(&tabu->random, (uint32_t)tenure / 2 + 1);
    tabu->until[(size_t)move->task * shop->problem->device_count + here] = tabu->step + tenure;
    if (tabu->has_limits && here != move->device) {
        he_load_remove(&tabu->load, tabu->units->of[move->task], here);
        he_load_add(&tabu->load, tabu->units->of[move->task], move->device);
    }
    (void)he_shop_lift(shop, move->task);
    he_shop_put(shop, move->device, move->left);
}

/* One step; false when there is no move at all. */
static bool step(struct he_shop_tabu *tabu)
{
    struct move allowed = { .makespan = INFINITY, .via = INFINITY }, forbidden = allowed;
    uint32_t length = find_path(tabu), looks = length < MOST_LIFTS ? length : MOST_LIFTS;

    for (uint32_t k = 0; k < looks; k++) {
        uint32_t other = k + (looks < length ? he_random_below(&tabu->random, length - k) : 0);
        uint32_t task = tabu->path[other];

        tabu->path[other] = tabu->path[k];
        look_at(tabu, task, &allowed, &forbidden);
    }
    tabu->step++;
    if (isinf(allowed.makespan))
        allowed = forbidden;
    if (isinf(allowed.makespan))
        return false;
    make(tabu, &allowed, length);
    return he_shop_update(tabu->shop);
}

void he_shop_tabu_run(struct he_shop_tabu *tabu, uint64_t patience)
{
    struct he_shop *shop = tabu->shop;
    uint64_t last = tabu->step;

    if (tabu->has_limits) {
        he_load_clear(&tabu->load);
        for (uint32_t u = 0; u < tabu->units->count; u++)
            he_load_add(&tabu->load, u, shop->device[tabu->units->tasks[tabu->units->start[u]]]);
    }
    he_shop_answer_save(&tabu->best, shop);
    while (tabu->step - last <= patience && !he_shop_is_over(tabu->end, shop)) {
        if (!step(tabu))
            break;
        if (shop->makespan < tabu->best.makespan) {
            he_shop_answer_save(&tabu->best, shop);
            last = tabu->step;
            if (shop->makespan <= tabu->end->bound)
                tabu->end->is_over = true;
        }
    }
    /* What is tabu was so on the way of this run only. */
    tabu->step += shop->count + patience;
}
