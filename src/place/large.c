/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For graphs of 10^3 to 10^5 tasks, where a move of one task changes nothing and judging it costs
 * milliseconds. Four ideas, all but one linear in the graph:
 *
 *   - Prices of devices from the area bound's dual (multiplicative weights) say what a task costs
 *     more on one device than on the best for it; schedules choose devices by finish plus so many
 *     times that regret. Where all devices are busy all the time in the best plan, tasks run
 *     where they regret nothing.
 *   - Schedules from the front and from the back in turn, each taking tasks as the one before
 *     has them (justification, see sweep.c), until nothing gets shorter.
 *   - Where that plan's assignment is known but not its order: tabu search over the devices'
 *     sequences (shop_tabu.c), each task staying where it regrets nothing.
 *   - Orders in between: the mean of a task's begin from the front and from the back; and the best
 *     order with noise in a window of time.
 */
#include <string.h>

#include "large.h"
#include "random.h"
#include "rank.h"
#include "shop_tabu.h"
#include "sweep.h"

#define PRICE_STEPS 40
/* Beyond this many tasks a step of the search over sequences takes too long. */
#define SHOP_TASKS 5000u
#define TABU_PATIENCE 500u /* steps without anything better */
#define TABU_FAILURES 8    /* runs without anything better */

struct large {
    struct he_contest *contest;
    const struct he_problem *problem;
    const struct he_place_options *options;
    uint64_t deadline_ns, work_limit;
    struct he_random random;
    struct he_units units;
    struct he_sweep sweep;
    struct he_choices choices;
    double *price;       /* by device; their sum is the number of devices */
    double *key, *mean;  /* per task */
    uint32_t *order, *spare, *device;
    /* The best so far, from the front. */
    double mean_time; /* of a task where it is cheapest */
    bool has_choice;  /* some units have several devices */
    /* The first schedule with every unit where it regrets least. */
    bool has_plain;
    double plain_length, *plain_begin;
    uint32_t *plain_device;
    double best_length, *best_begin, *best_end;
    uint32_t *best_device;
};

static bool is_over(const struct large *l)
{
    return l->deadline_ns ? he_place_now_ns(l->options) >= l->deadline_ns
                          : l->sweep.work >= l->work_limit;
}

/* --- Prices --- */

static double dual_value(struct large *l, const double *price, double *load)
{
    const struct he_problem *p = l->problem;
    double sum = 0.0;

    memset(load, 0, p->device_count * sizeof *load);
    for (uint32_t u = 0; u < l->units.count; u++) {
        const double *time = l->units.time + (size_t)u * p->device_count;
        double least = INFINITY;
        uint32_t best = 0;

        for (uint32_t j = 0; j < p->device_count; j++) {
            double cost = time[j] * price[j];

            if (cost < least) {
                least = cost;
                best = j;
            }
        }
        if (isinf(least))
            continue;
        sum += least;
        load[best] += time[best];
    }
    return sum;
}

static he_status find_prices(struct large *l, struct he_arena *arena)
{
    const struct he_problem *p = l->problem;
    uint32_t d = p->device_count;
    double *price = he_arena_alloc(arena, d, sizeof *price);
    double *load = he_arena_alloc(arena, d, sizeof *load), best = -1.0;
    double steps = fmin(PRICE_STEPS, 4e7 / ((double)l->units.count * d + 1.0));

    if (!price || !load)
        return he_no_memory();
    for (uint32_t j = 0; j < d; j++)
        price[j] = 1.0;
    for (int k = 0; k < steps || k == 0; k++) {
        double value = dual_value(l, price, load), most = 0.0, sum = 0.0, step;

        if (value > best) {
            best = value;
            memcpy(l->price, price, d * sizeof *price);
        }
        for (uint32_t j = 0; j < d; j++)
            most = fmax(most, load[j]);
        /* Where the least costs already balance, prices are right as they are. */
        if (!(most > 0.0) || most * d <= value * 1.02)
            break;
        step = 0.7 / (1.0 + 0.15 * k);
        for (uint32_t j = 0; j < d; j++) {
            price[j] *= exp(step * (load[j] * d / value - 1.0 > 1.0 ? 1.0 : load[j] * d / value - 1.0));
            price[j] = fmin(fmax(price[j], 1e-6), 1e6);
            sum += price[j];
        }
        for (uint32_t j = 0; j < d; j++)
            price[j] *= d / sum;
    }
    return HE_OK;
}

/* Every unit's devices by regret, up to @limit times its least cost. */
static he_status find_choices(struct large *l, double limit, struct he_arena *arena)
{
    const struct he_problem *p = l->problem;
    struct he_choices *c = &l->choices;
    uint32_t d = p->device_count, total = 0;

    c->start = he_arena_alloc(arena, (size_t)l->units.count + 1, sizeof *c->start);
    if (!c->start)
        return he_no_memory();
    for (int pass = 0; pass < 2; pass++) {
        total = 0;
        for (uint32_t u = 0; u < l->units.count; u++) {
            const double *time = l->units.time + (size_t)u * d;
            double least = INFINITY;

            c->start[u] = total;
            for (uint32_t j = 0; j < d; j++)
                least = fmin(least, time[j] * l->price[j]);
            for (uint32_t j = 0; j < d; j++) {
                double regret = time[j] * l->price[j] - least;
                uint32_t at;

                if (isinf(time[j]) || regret > limit * least)
                    continue;
                at = total++;
                if (pass == 0)
                    continue;
                for (; at > c->start[u] && c->regret[at - 1] > regret; at--) {
                    c->regret[at] = c->regret[at - 1];
                    c->device[at] = c->device[at - 1];
                }
                c->regret[at] = regret;
                c->device[at] = j;
            }
        }
        c->start[l->units.count] = total;
        if (pass == 0) {
            c->device = he_arena_alloc(arena, total, sizeof *c->device);
            c->regret = he_arena_alloc(arena, total, sizeof *c->regret);
            if (!c->device || !c->regret)
                return he_no_memory();
        }
    }
    return HE_OK;
}

/* --- Orders --- */

/* By @key, 0 or more, ascending; equal ones by number, or by number descending. Radix sort. */
static void sort_tasks(struct large *l, const double *key, bool is_descending, uint32_t *order)
{
    uint32_t n = l->problem->task_count, *from = order, *to = l->spare;

    for (uint32_t k = 0; k < n; k++)
        order[k] = is_descending ? n - 1 - k : k;
    for (int byte = 0; byte < 8; byte++) {
        uint32_t count[257] = { 0 }, *swap;

        for (uint32_t k = 0; k < n; k++) {
            uint64_t bits;

            memcpy(&bits, &key[k], sizeof bits);
            count[(bits >> (8 * byte) & 0xff) + 1]++;
        }
        for (int c = 0; c < 256; c++)
            count[c + 1] += count[c];
        for (uint32_t k = 0; k < n; k++) {
            uint64_t bits;

            memcpy(&bits, &key[from[k]], sizeof bits);
            to[count[bits >> (8 * byte) & 0xff]++] = from[k];
        }
        swap = from;
        from = to;
        to = swap;
    }
}

/* Upward ranks with the least times and a share of the mean transfer. */
static void rank_tasks(struct large *l, double transfer_weight, double *rank)
{
    const struct he_problem *p = l->problem;
    double latency = 0.0, slope = 0.0;
    uint32_t d = p->device_count;

    for (uint32_t k = 0; k < d * d; k++) {
        latency += l->sweep.forth.latency[k] / ((double)d * d);
        slope += 1.0 / l->sweep.forth.bandwidth[k] / ((double)d * d);
    }
    for (uint32_t t = p->task_count; t-- > 0;) {
        uint32_t unit = l->units.of[t];
        double longest = 0.0;

        for (uint32_t k = p->out_start[t]; k < p->out_start[t + 1]; k++) {
            const struct he_place_edge *e = &p->edges[p->out_edges[k]];

            longest = fmax(longest,
                           transfer_weight * (latency + slope * e->bytes) + rank[e->to]);
        }
        rank[t] = he_problem_time(p, t, l->choices.device[l->choices.start[unit]]) + longest;
    }
}

/* --- Schedules --- */

static void keep(struct large *l)
{
    uint32_t n = l->problem->task_count;

    l->best_length = l->sweep.length;
    memcpy(l->best_begin, l->sweep.begin, n * sizeof *l->best_begin);
    memcpy(l->best_end, l->sweep.end, n * sizeof *l->best_end);
    memcpy(l->best_device, l->sweep.device, l->units.count * sizeof *l->best_device);
}

/* A schedule from the front has been made: kept if it is the best. */
static he_status offer(struct large *l)
{
    uint32_t n = l->problem->task_count;
    bool is_shorter = l->sweep.length < l->best_length;

    if (l->sweep.length > l->best_length)
        return HE_OK;
    keep(l);
    if (!is_shorter)
        return HE_OK;
    for (uint32_t t = 0; t < n; t++)
        l->device[t] = l->sweep.device[l->units.of[t]];
    sort_tasks(l, l->sweep.begin, false, l->order);
    return he_contest_enter(l->contest, l->device, l->order, "large", NULL);
}

static he_status run(struct large *l, bool from_back, const struct he_choices *choices, double scale)
{
    return he_sweep_run(&l->sweep, l->order, from_back, choices, scale);
}

/* As above, choosing devices; where memories do not hold what is chosen, units trade places. */
static he_status run_and_mend(struct large *l, double scale)
{
    he_status status = run(l, false, &l->choices, scale);
    struct he_arena scratch;
    bool is_mended;

    if (status != HE_ERR_BUDGET)
        return status;
    l->sweep.ignores_room = true;
    status = run(l, false, &l->choices, scale);
    l->sweep.ignores_room = false;
    if (status != HE_OK)
        return status;
    he_arena_init(&scratch, &l->problem->arena.alloc);
    is_mended = he_units_mend(&l->units, &l->sweep.load, l->price, &scratch, l->sweep.device);
    he_arena_fini(&scratch);
    return is_mended ? run(l, false, NULL, 0.0) : HE_ERR_BUDGET;
}

/* Turns the schedule in the sweep round, from the front to the back and to the front again. */
static he_status justify(struct large *l, const struct he_choices *choices, double scale)
{
    uint32_t n = l->problem->task_count;
    he_status status;

    for (uint32_t t = 0; t < n; t++)
        l->key[t] = l->sweep.length - l->sweep.end[t];
    sort_tasks(l, l->key, true, l->order);
    status = run(l, true, NULL, 0.0);
    if (status != HE_OK)
        return status;
    for (uint32_t t = 0; t < n; t++)
        l->key[t] = l->sweep.length - l->sweep.end[t];
    sort_tasks(l, l->key, false, l->order);
    return run(l, false, choices, scale);
}

static he_status polish(struct large *l, const struct he_choices *choices, double scale, int patience)
{
    double length = l->sweep.length;
    he_status status = HE_OK;

    for (int idle = 0; status == HE_OK && idle < patience && !is_over(l); idle++) {
        status = justify(l, choices, scale);
        if (status != HE_OK)
            return status;
        if (l->sweep.length < length * (1.0 - 1e-5))
            idle = -1;
        length = fmin(length, l->sweep.length);
        status = offer(l);
    }
    return status;
}

/* Means of begins from the front and from the back as the next order. */
static he_status blend(struct large *l, int rounds, double share)
{
    uint32_t n = l->problem->task_count;
    he_status status = HE_OK;
    double *mean = l->mean;

    for (uint32_t t = 0; t < n; t++)
        mean[t] = l->best_begin[t];
    memcpy(l->sweep.device, l->best_device, l->units.count * sizeof *l->best_device);
    for (int k = 0; status == HE_OK && k < rounds && !is_over(l); k++) {
        double most = 0.0;
        for (uint32_t t = 0; t < n; t++)
            most = fmax(most, mean[t]);
        for (uint32_t t = 0; t < n; t++)
            l->key[t] = most - mean[t];
        sort_tasks(l, l->key, true, l->order);
        status = run(l, true, NULL, 0.0);
        if (status != HE_OK)
            break;
        for (uint32_t t = 0; t < n; t++)
            mean[t] = (1.0 - share) * mean[t] + share * (l->sweep.length - l->sweep.end[t]);
        sort_tasks(l, mean, false, l->order);
        status = run(l, false, NULL, 0.0);
        if (status == HE_OK)
            status = offer(l);
        for (uint32_t t = 0; t < n; t++)
            mean[t] = (1.0 - share) * mean[t] + share * l->sweep.begin[t];
    }
    return status;
}

/* The best order with noise in a window of time; what is as short replaces it, so that the search
 * drifts over schedules of one length. Now and then units choose their devices anew on the way. */
static he_status disturb(struct large *l)
{
    uint32_t n = l->problem->task_count;
    double length = l->best_length, width = length * (0.02 + 0.2 * he_random_unit(&l->random));
    double begin = (length + width) * he_random_unit(&l->random) - width;
    double noise = l->mean_time * (0.5 + 4.0 * he_random_unit(&l->random));
    bool chooses = l->has_choice && he_random_below(&l->random, 4) == 0;
    he_status status;

    for (uint32_t t = 0; t < n; t++) {
        double at = l->best_begin[t];

        l->key[t] = -at;
        if (at >= begin && at < begin + width)
            l->key[t] -= noise * (he_random_unit(&l->random) - 0.5);
    }
    status = he_order_by_priority(l->problem, l->key, l->order);
    memcpy(l->sweep.device, l->best_device, l->units.count * sizeof *l->best_device);
    if (status == HE_OK)
        status = chooses ? run_and_mend(l, 0.5 + 4.0 * he_random_unit(&l->random))
                         : run(l, false, NULL, 0.0);
    if (status == HE_ERR_BUDGET)
        return HE_OK;
    if (status == HE_OK)
        status = offer(l);
    /* Turning round pays where the way was not far. */
    if (status == HE_OK && l->sweep.length < l->best_length * 1.02 && !is_over(l))
        status = justify(l, NULL, 0.0);
    return status == HE_OK ? offer(l) : status;
}

/* From what the contest has. */
static he_status begin_with_best(struct large *l)
{
    const struct he_contest *c = l->contest;
    he_status status;

    if (!c->has_best)
        return HE_OK;
    for (uint32_t u = 0; u < l->units.count; u++)
        l->sweep.device[u] = c->device[l->units.tasks[l->units.start[u]]];
    memcpy(l->order, c->order, l->problem->task_count * sizeof *l->order);
    status = run(l, false, NULL, 0.0);
    if (status == HE_OK)
        status = offer(l);
    return status == HE_OK ? polish(l, NULL, 0.0, 2) : status;
}

static void keep_plain(struct large *l)
{
    l->has_plain = true;
    l->plain_length = l->sweep.length;
    memcpy(l->plain_begin, l->sweep.begin, l->problem->task_count * sizeof *l->plain_begin);
    memcpy(l->plain_device, l->sweep.device, l->units.count * sizeof *l->plain_device);
}

/* Sequences of the plain schedule's devices, until no better one is found for long; links count as
 * free for any number of transfers there, and a sweep says what it is worth. */
static he_status order_plain(struct large *l, struct he_arena *arena)
{
    const struct he_problem *p = l->problem;
    struct he_shop shop;
    struct he_shop_end end = { .options = l->options };
    struct he_shop_tabu tabu = { .is_fixed = true };
    he_status status = he_shop_init(&shop, p, arena);
    uint64_t now = l->deadline_ns ? he_place_now_ns(l->options) : 0;
    double most = 0.0, shortest = INFINITY;

    if (status == HE_OK)
        status = he_shop_tabu_init(&tabu, &shop, &l->units, &end, arena);
    if (status != HE_OK)
        return status;
    tabu.has_limits = false; /* nothing leaves its device */
    tabu.random.state = l->random.state;
    if (l->deadline_ns)
        end.deadline_ns = now + (uint64_t)(0.7 * (double)(l->deadline_ns - now));
    else
        end.work_limit = 8 * l->work_limit + 1;
    memset(l->mean, 0, p->device_count * sizeof *l->mean);
    for (uint32_t t = 0; t < p->task_count; t++) {
        uint32_t j = l->plain_device[l->units.of[t]], server = p->devices[j].server;

        l->device[t] = j;
        l->mean[server] += he_problem_time(p, t, j);
        most = fmax(most, l->mean[server]);
    }
    end.bound = most * (1.0 + 1e-9);
    if (most >= l->best_length)
        return HE_OK;
    for (uint32_t t = 0; t < p->task_count; t++)
        l->key[t] = -l->plain_begin[t];
    /* From the best again and again, on other ways: far from it little is found. */
    for (int failures = 0; failures < TABU_FAILURES; failures++) {
        status = he_order_by_priority(p, l->key, l->order);
        if (status != HE_OK)
            return status;
        he_shop_load(&shop, l->device, l->order);
        he_shop_tabu_run(&tabu, TABU_PATIENCE);
        if (tabu.best.makespan < shortest) {
            for (uint32_t t = 0; t < p->task_count; t++)
                l->key[t] = -tabu.best.head[t];
            shortest = tabu.best.makespan;
            failures = -1;
        }
        if (he_shop_is_over(&end, &shop))
            break;
    }
    memcpy(l->sweep.device, l->plain_device, l->units.count * sizeof *l->plain_device);
    status = he_order_by_priority(p, l->key, l->order);
    if (status == HE_OK)
        status = run(l, false, NULL, 0.0);
    if (status == HE_OK)
        status = offer(l);
    return status == HE_OK ? polish(l, NULL, 0.0, 2) : status;
}

static he_status improve_plain(struct large *l)
{
    struct he_arena scratch;
    he_status status;

    if (!l->has_plain || l->problem->task_count > SHOP_TASKS || is_over(l))
        return HE_OK;
    he_arena_init(&scratch, &l->problem->arena.alloc);
    status = order_plain(l, &scratch);
    he_arena_fini(&scratch);
    return status;
}

static he_status search(struct large *l)
{
    static const double scales[] = { 1e9, 4.0, 1.0 }, weights[] = { 1.0, 0.5, 0.0 };
    he_status status = begin_with_best(l);

    for (int k = 0; status == HE_OK && k < 9 && (k == 0 || !is_over(l)); k++) {
        rank_tasks(l, weights[k / 3], l->key);
        status = he_order_by_priority(l->problem, l->key, l->order);
        if (status == HE_OK)
            status = run_and_mend(l, scales[k % 3]);
        if (status == HE_ERR_BUDGET) {
            status = HE_OK;
            continue;
        }
        if (status == HE_OK && k % 3 == 0 &&
            (!l->has_plain || l->sweep.length < l->plain_length))
            keep_plain(l);
        if (status == HE_OK)
            status = offer(l);
        if (status == HE_OK)
            status = polish(l, NULL, 0.0, 2);
    }
    if (status == HE_OK)
        status = improve_plain(l);
    if (status == HE_OK)
        status = blend(l, 200, 0.5);
    while (status == HE_OK && !is_over(l))
        status = disturb(l);
    return status;
}

static he_status prepare(struct large *l, struct he_arena *arena)
{
    const struct he_problem *p = l->problem;
    size_t n = p->task_count;
    he_status status = he_units_init(&l->units, p, arena);

    if (status == HE_OK)
        status = he_sweep_init(&l->sweep, &l->units, arena);
    l->price = he_arena_alloc(arena, p->device_count, sizeof *l->price);
    l->key = he_arena_alloc(arena, n, sizeof *l->key);
    l->mean = he_arena_alloc(arena, n + p->device_count, sizeof *l->mean);
    l->order = he_arena_alloc(arena, n, sizeof *l->order);
    l->spare = he_arena_alloc(arena, n, sizeof *l->spare);
    l->device = he_arena_alloc(arena, n, sizeof *l->device);
    l->best_begin = he_arena_alloc(arena, n, sizeof *l->best_begin);
    l->best_end = he_arena_alloc(arena, n, sizeof *l->best_end);
    l->best_device = he_arena_alloc(arena, n, sizeof *l->best_device);
    l->plain_begin = he_arena_alloc(arena, n, sizeof *l->plain_begin);
    l->plain_device = he_arena_alloc(arena, n, sizeof *l->plain_device);
    if (status != HE_OK || !l->price || !l->key || !l->order || !l->spare || !l->device ||
        !l->best_begin || !l->best_end || !l->best_device || !l->plain_begin ||
        !l->plain_device || !l->mean)
        return he_no_memory();
    status = find_prices(l, arena);
    if (status == HE_OK)
        status = find_choices(l, 0.5, arena);
    for (uint32_t u = 0; status == HE_OK && u < l->units.count; u++)
        l->mean_time += he_unit_time(&l->units, u, l->choices.device[l->choices.start[u]]) / n;
    l->has_choice = l->choices.start[l->units.count] > l->units.count;
    return status;
}

he_status he_large_search(struct he_contest *contest, const struct he_problem *p,
                          const struct he_place_options *options, double effort)
{
    struct large l = { .contest = contest, .problem = p, .options = options,
                       .best_length = INFINITY };
    struct he_arena scratch;
    he_status status;

    if (contest->objective != HE_OBJECTIVE_LATENCY || p->task_count < 2 || p->device_count < 2)
        return HE_OK;
    l.deadline_ns = he_place_deadline(options);
    l.work_limit = (uint64_t)(effort * 400000.0);
    l.random.state = options->seed ^ 0x6c61726765u;
    he_arena_init(&scratch, &p->arena.alloc);
    status = prepare(&l, &scratch);
    if (status == HE_OK)
        status = search(&l);
    he_sweep_fini(&l.sweep);
    he_arena_fini(&scratch);
    return status == HE_ERR_BUDGET ? HE_OK : status;
}

he_status he_policy_large(const struct he_problem *p, const struct he_place_options *options,
                          struct he_arena *arena, struct he_placement *out)
{
    struct he_arena scratch;
    struct he_contest contest = { 0 };
    he_status status;

    he_arena_init(&scratch, &p->arena.alloc);
    status = he_contest_init(&contest, p, HE_OBJECTIVE_LATENCY, &scratch);
    if (status == HE_OK)
        status = he_large_search(&contest, p, options, 1.0);
    if (status == HE_OK && !contest.has_best)
        status = he_contest_run(&contest, p, he_policy_fit, options);
    if (status == HE_OK)
        status = he_contest_answer(&contest, arena, out);
    he_contest_fini(&contest);
    he_arena_fini(&scratch);
    return status;
}
