/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole search for a least sum. Without binding limits: the best start after
 * descents, then cuts until none helps. With them, where units do not depend on each other: the
 * multipliers of the limits' dual, annealing, tree search over pools of devices (rows.h). Where they
 * do: a multiplier per limit, raised where it is exceeded (Lagrangian relaxation, subgradient steps),
 * every relaxed answer repaired and descended from within the limits, the best kept.
 */
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "minsum.h"
#include "policies.h"
#include "rows.h"

/* Fixed amounts of work when no time limit is given; arcs and tensors looked at. */
#define CUT_WORK 20000000u
#define EXCHANGE_WORK 2000000u
#define MOST_STARTS 16
/* Above so many units times devices only two starts are followed. */
#define MANY_CELLS 40000u
#define EXACT_UNITS 24
#define EXACT_NODES 300000u
/* Within limits: Newton steps of the dual; moves and nodes per unit, and at most. */
#define DUAL_STEPS 80u
#define DUAL_CELLS 250000.0
#define MOVES_PER_UNIT 3000u
#define MOST_MOVES 600000u
#define NODES_PER_UNIT 10000u
#define MOST_NODES 2000000u
/* The annealing's share of a time limit. */
#define SQUEEZE_SHARE 0.12
/* What pools get of the rest before cells are fixed. */
#define POOLS_SHARE 0.3
/* Above this many units times devices limits are left to the greedy starts and repair. */
#define MOST_ROW_CELLS 4000000u

struct solver {
    struct he_min_sum sum;
    const struct he_units *units;
    const struct he_place_options *options;
    struct he_arena *arena;
    uint64_t deadline_ns; /* 0: none */
    uint32_t *best, *start;
    double least;
    bool has_best;
    /* Limits, when some can bind and the problem is not too large; else no rows. */
    struct he_rows rows;
    struct he_rows_search search;
    double *cost, *multipliers;
};

static bool is_late(const struct solver *s)
{
    return s->deadline_ns && he_place_now_ns(s->options) > s->deadline_ns;
}

static void record(struct solver *s)
{
    if (!he_min_sum_is_within(&s->sum) || (s->has_best && !(s->sum.value < s->least)))
        return;
    s->has_best = true;
    s->least = s->sum.value;
    memcpy(s->best, s->sum.device, s->units->count * sizeof *s->best);
}

/* One unit, then connected units, until neither helps. */
static void descend(struct solver *s)
{
    for (int round = 0; round < 4 && !is_late(s); round++) {
        bool is_better = he_min_sum_descend(&s->sum);

        if (!he_min_sum_clusters(&s->sum) && !is_better)
            break;
    }
}

static he_status cut_and_descend(struct solver *s, uint64_t work)
{
    uint64_t end = s->sum.flow.work + work;
    bool is_better = true;

    while (is_better && s->sum.flow.work < end && !is_late(s)) {
        he_status status = he_min_sum_swap(&s->sum, end - s->sum.flow.work, &is_better);

        if (status != HE_OK)
            return status;
        if (is_better)
            descend(s);
    }
    return HE_OK;
}

/* The start that prefers device @j; j == device_count: every unit where it is cheapest. */
static he_status make_start(struct solver *s, uint32_t j)
{
    uint32_t d = s->units->problem->device_count;
    struct he_arena scratch;
    double *preference, dearest = 0.0;
    he_status status = HE_OK;

    he_arena_init(&scratch, &s->units->problem->arena.alloc);
    preference = he_arena_alloc(&scratch, s->units->count, d * sizeof *preference);
    if (!preference) {
        he_arena_fini(&scratch);
        return he_no_memory();
    }
    for (size_t k = 0; k < (size_t)s->units->count * d; k++) {
        preference[k] = s->sum.unary[k];
        if (!isinf(preference[k]) && fabs(preference[k]) > dearest)
            dearest = fabs(preference[k]);
    }
    for (size_t u = 0; j < d && u < s->units->count; u++)
        preference[u * d + j] = -2.0 * dearest - 1.0;
    status = he_units_fit(s->units, preference, &scratch, s->start);
    he_arena_fini(&scratch);
    if (status == HE_OK)
        he_min_sum_set(&s->sum, s->start);
    return status;
}

/* The device that is cheapest for everything that can run there. */
static uint32_t best_single(const struct solver *s)
{
    uint32_t d = s->units->problem->device_count, best = 0;
    double least = INFINITY;

    for (uint32_t j = 0; j < d; j++) {
        double sum = 0.0;

        for (size_t u = 0; u < s->units->count; u++) {
            double cost = s->sum.unary[u * d + j], cheapest = cost;

            for (uint32_t k = 0; isinf(cost) && k < d; k++)
                cheapest = fmin(cheapest, s->sum.unary[u * d + k]);
            sum += cheapest;
        }
        if (sum < least) {
            least = sum;
            best = j;
        }
    }
    return best;
}

static he_status follow_start(struct solver *s, uint32_t j)
{
    he_status status = make_start(s, j);

    if (status != HE_OK)
        return status == HE_ERR_BUDGET ? HE_OK : status;
    record(s);
    descend(s);
    record(s);
    return HE_OK;
}

static he_status try_starts(struct solver *s)
{
    uint32_t d = s->units->problem->device_count;
    he_status status = follow_start(s, d);

    if ((uint64_t)s->units->count * d > MANY_CELLS)
        return status == HE_OK && !is_late(s) ? follow_start(s, best_single(s)) : status;
    for (uint32_t j = 0; status == HE_OK && j < d && j < MOST_STARTS && !is_late(s); j++)
        status = follow_start(s, j);
    return status;
}

/* --- Limits --- */

struct multipliers {
    double *weights;    /* per device, per byte */
    double *resources;  /* [r * device_count + device] */
    double *totals;     /* per resource */
    double *unary;      /* the costs with them added */
};

static void add_multipliers(struct solver *s, const struct multipliers *m, const double *unary)
{
    const struct he_problem *p = s->units->problem;
    size_t d = p->device_count, r_count = p->resource_count;

    for (size_t u = 0; u < s->units->count; u++) {
        for (size_t j = 0; j < d; j++) {
            double extra = m->weights[j] * s->units->memory[u];

            for (size_t r = 0; r < r_count; r++)
                extra += (m->resources[r * d + j] + m->totals[r]) *
                         s->units->amount[(u * r_count + r) * d + j];
            m->unary[u * d + j] = unary[u * d + j] + extra;
        }
    }
}

/* One step along the subgradient: up where a limit is exceeded, down where there is room. */
static double stepped(double multiplier, double used, double limit, double step)
{
    double moved;

    if (isinf(limit))
        return 0.0;
    if (!(limit > 0.0))
        limit = used > 0.0 ? used * 1e-3 : 1.0;
    moved = multiplier + step / limit * (used - limit) / limit;
    return moved > 0.0 ? moved : 0.0;
}

static void step_multipliers(struct solver *s, struct multipliers *m, double step)
{
    const struct he_problem *p = s->units->problem;
    const struct he_load *load = &s->sum.load;

    for (uint32_t j = 0; j < p->device_count; j++) {
        uint32_t node = p->devices[j].memory_node;
        double over = load->weights[j] / p->weight_limit[j];
        double over_node = load->node_weights[node] / load->node_limit[node];

        /* Whichever of the device and its memory is tighter. */
        if (over_node > over)
            m->weights[j] = stepped(m->weights[j], load->node_weights[node],
                                    load->node_limit[node], step);
        else
            m->weights[j] = stepped(m->weights[j], load->weights[j], p->weight_limit[j], step);
        for (size_t r = 0; r < p->resource_count; r++) {
            size_t k = r * p->device_count + j;

            if (p->resources[r].device_limits)
                m->resources[k] = stepped(m->resources[k], load->resources[k],
                                          p->resources[r].device_limits[j], step);
        }
    }
    for (size_t r = 0; r < p->resource_count; r++)
        m->totals[r] = stepped(m->totals[r], load->resource_totals[r], p->resources[r].limit, step);
}

struct offer {
    double price; /* what leaving costs per byte or amount freed */
    uint32_t unit;
};

static int compare_offers(const void *left, const void *right)
{
    const struct offer *a = left, *b = right;

    if (a->price != b->price)
        return a->price < b->price ? -1 : 1;
    return a->unit < b->unit ? -1 : 1;
}

/* How much of what is exceeded on @j the unit takes; 0 when its leaving would not help. */
static double relief(const struct he_min_sum *sum, uint32_t unit, uint32_t j)
{
    const struct he_units *u = sum->units;
    const struct he_problem *p = u->problem;
    uint32_t node = p->devices[j].memory_node;
    double helps = 0.0;

    if (!he_fits(sum->load.weights[j], p->weight_limit[j]) ||
        !he_fits(sum->load.node_weights[node], sum->load.node_limit[node]))
        helps += u->memory[unit] / sum->load.weights[j];
    for (size_t r = 0; r < p->resource_count; r++) {
        double used = sum->load.resources[r * p->device_count + j];
        double amount = u->amount[(unit * p->resource_count + r) * p->device_count + j];

        if (used > 0.0 &&
            (!he_fits(sum->load.resource_totals[r], p->resources[r].limit) ||
             (p->resources[r].device_limits && !he_fits(used, p->resources[r].device_limits[j]))))
            helps += amount / used;
    }
    return helps;
}

static bool find_better_home(struct solver *s, uint32_t unit, double *delta, uint32_t *home)
{
    uint32_t d = s->units->problem->device_count, was = s->sum.device[unit];

    *delta = INFINITY;
    he_load_remove(&s->sum.load, unit, was);
    for (uint32_t k = 0; k < d; k++) {
        double change;

        if (k == was || !he_load_has_room(&s->sum.load, unit, k))
            continue;
        change = he_min_sum_delta(&s->sum, unit, k);
        if (change < *delta) {
            *delta = change;
            *home = k;
        }
    }
    he_load_add(&s->sum.load, unit, was);
    return !isinf(*delta);
}

/* Sends units away from devices that hold too much, the cheapest relief first. */
static he_status repair(struct solver *s)
{
    struct offer *offers = he_alloc(&s->units->problem->arena.alloc, s->units->count,
                                    sizeof *offers);

    if (!offers)
        return he_no_memory();
    for (int round = 0; round < 4 && !he_min_sum_is_within(&s->sum); round++) {
        uint32_t count = 0;

        for (uint32_t u = 0; u < s->units->count; u++) {
            double helps = relief(&s->sum, u, s->sum.device[u]), delta;
            uint32_t home = 0;

            if (helps > 0.0 && find_better_home(s, u, &delta, &home))
                offers[count++] = (struct offer){ delta / helps, u };
        }
        if (count > 1)
            qsort(offers, count, sizeof *offers, compare_offers);
        for (uint32_t k = 0; k < count; k++) {
            uint32_t home = 0;
            double delta;

            if (relief(&s->sum, offers[k].unit, s->sum.device[offers[k].unit]) > 0.0 &&
                find_better_home(s, offers[k].unit, &delta, &home))
                he_min_sum_move(&s->sum, offers[k].unit, home, delta);
        }
    }
    he_free(&s->units->problem->arena.alloc, offers);
    return HE_OK;
}

/* From the relaxed answer in the state to one within the limits, and down from there. */
static he_status settle(struct solver *s, const double *unary)
{
    he_status status;

    s->sum.unary = unary;
    s->sum.is_relaxed = false;
    he_min_sum_set(&s->sum, s->sum.device);
    status = repair(s);
    if (status != HE_OK || !he_min_sum_is_within(&s->sum))
        return status;
    descend(s);
    if (he_min_sum_exchange(&s->sum, EXCHANGE_WORK))
        descend(s);
    record(s);
    return HE_OK;
}

static he_status relax(struct solver *s, const double *unary)
{
    const struct he_problem *p = s->units->problem;
    size_t d = p->device_count, cells = (size_t)s->units->count * d;
    uint32_t rounds = cells > 100000 ? 12 : cells > 5000 ? 40 : 120;
    struct multipliers m = { 0 };
    uint32_t *relaxed = he_arena_alloc(s->arena, s->units->count, sizeof *relaxed);
    double scale;
    he_status status = HE_OK;

    m.weights = he_arena_alloc(s->arena, d, sizeof(double));
    m.resources = he_arena_alloc(s->arena, p->resource_count, d * sizeof(double));
    m.totals = he_arena_alloc(s->arena, p->resource_count, sizeof(double));
    m.unary = he_arena_alloc(s->arena, cells, sizeof(double));
    if (!m.weights || !m.resources || !m.totals || !m.unary || !relaxed)
        return he_no_memory();
    memcpy(relaxed, s->has_best ? s->best : s->start, s->units->count * sizeof *relaxed);
    he_min_sum_set(&s->sum, relaxed);
    scale = s->sum.value;
    for (uint32_t round = 0; status == HE_OK && round < rounds && !is_late(s); round++) {
        add_multipliers(s, &m, unary);
        s->sum.unary = m.unary;
        s->sum.is_relaxed = true;
        he_min_sum_set(&s->sum, relaxed);
        descend(s);
        status = cut_and_descend(s, CUT_WORK / rounds);
        memcpy(relaxed, s->sum.device, s->units->count * sizeof *relaxed);
        step_multipliers(s, &m, scale / (1.0 + 0.2 * round));
        if (status == HE_OK)
            status = settle(s, unary);
        if (round == 0 && s->has_best && memcmp(relaxed, s->best, s->units->count * sizeof *relaxed) == 0)
            break; /* no limit binds: the relaxed answer is the answer */
    }
    s->sum.unary = unary;
    s->sum.is_relaxed = false;
    return status;
}

/* --- Limits where units do not depend on each other --- */

/* True when what a unit costs does not depend on where others are. */
static bool is_separable(const struct solver *s)
{
    const struct he_problem *p = s->units->problem;
    bool is_free = s->sum.transfer_scale == 0.0;

    if (p->tensor_count == 0)
        return true;
    for (uint32_t a = 0; !is_free && a < p->device_count; a++) {
        for (uint32_t b = 0; b < p->device_count; b++) {
            if (he_problem_transfer(p, a, b, 1.0) > 0.0)
                return false;
        }
    }
    return s->sum.launch_scale == 0.0;
}

static he_status prepare_rows(struct solver *s)
{
    const struct he_units *u = s->units;
    const struct he_problem *p = u->problem;
    size_t cells = (size_t)u->count * p->device_count;
    he_status status;

    if (s->sum.is_unlimited || cells > MOST_ROW_CELLS)
        return HE_OK;
    status = he_rows_init(&s->rows, u, s->arena);
    if (status != HE_OK || s->rows.row_count == 0)
        return status;
    s->cost = he_arena_alloc(s->arena, cells, sizeof *s->cost);
    s->multipliers = he_arena_alloc(s->arena, s->rows.row_count, sizeof *s->multipliers);
    if (!s->cost || !s->multipliers)
        return he_no_memory();
    he_rows_price(&s->rows, s->sum.unary, s->cost);
    /* Launches of tasks without inputs are paid wherever the task is. */
    for (uint32_t t = 0; s->sum.launch_scale != 0.0 && t < p->task_count; t++) {
        for (uint32_t j = 0; p->in_start[t] == p->in_start[t + 1] && j < p->device_count; j++)
            s->cost[(size_t)u->of[t] * p->device_count + j] +=
                s->sum.launch_scale * (p->launch[j] - (p->waking ? p->waking[j] : 0.0));
    }
    s->search = (struct he_rows_search){ .rows = &s->rows, .cost = s->cost,
                                         .multipliers = s->multipliers, .options = s->options,
                                         .deadline_ns = s->deadline_ns };
    s->search.grain = he_rows_grain(&s->rows, s->cost);
    return he_rows_dual(&s->rows, s->cost, DUAL_STEPS, DUAL_CELLS, s->options, s->deadline_ns,
                        s->multipliers, &s->search.bound);
}

/* True when the bound is above anything that could be paid: the linear programme has no answer. */
static bool is_impossible(const struct solver *s)
{
    uint32_t d = s->rows.device_count;
    double most = 0.0, size = 0.0;

    for (uint32_t u = 0; u < s->units->count; u++) {
        double dearest = -INFINITY;

        for (uint32_t j = 0; j < d; j++) {
            double cost = s->cost[(size_t)u * d + j];

            if (!isinf(cost) && cost > dearest)
                dearest = cost;
        }
        most += dearest; /* -INFINITY when it fits nowhere */
        size += fabs(dearest);
    }
    return s->search.bound > most + 1e-9 * (isinf(size) ? 0.0 : size) + 1e-9;
}

static void start_by_price(struct solver *s)
{
    uint32_t d = s->rows.device_count;

    for (uint32_t u = 0; u < s->units->count; u++) {
        double least = INFINITY;

        s->start[u] = 0;
        for (uint32_t j = 0; j < d; j++) {
            const double *amounts = he_rows_amounts(&s->rows, u, j);
            double priced = s->cost[(size_t)u * d + j];

            for (uint32_t k = 0; k < s->rows.slot_count && !isinf(priced); k++) {
                uint32_t row = s->rows.row[j * s->rows.slot_count + k];

                if (row != HE_NO_ROW)
                    priced += s->multipliers[row] * amounts[k];
            }
            if (priced < least) {
                least = priced;
                s->start[u] = j;
            }
        }
    }
}

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

/* Annealing from the multipliers' start: within the limits, most often, and good when separable. */
static he_status squeeze(struct solver *s)
{
    struct he_rows_search search = s->search;
    bool found;
    he_status status;

    if (s->deadline_ns) {
        uint64_t now = he_place_now_ns(s->options);

        if (now >= s->deadline_ns)
            return HE_OK;
        search.deadline_ns = now + (uint64_t)(SQUEEZE_SHARE * (double)(s->deadline_ns - now));
    }
    start_by_price(s);
    status = he_rows_anneal(&search, at_most((uint64_t)s->units->count * MOVES_PER_UNIT, MOST_MOVES),
                            s->start, &found);
    if (status == HE_ERR_BUDGET)
        return HE_OK;
    if (status == HE_OK && found) {
        he_min_sum_set(&s->sum, s->start);
        record(s);
    }
    return status;
}

/* Pools of devices, for @share of the time that is left. */
static he_status improve_pools(struct solver *s, double share)
{
    struct he_rows_search search = s->search;

    if (s->deadline_ns) {
        uint64_t now = he_place_now_ns(s->options);

        if (now >= s->deadline_ns)
            return HE_OK;
        search.deadline_ns = now + (uint64_t)(share * (double)(s->deadline_ns - now));
    }
    return he_rows_improve(&search,
                           at_most((uint64_t)s->units->count * NODES_PER_UNIT, MOST_NODES), s->start);
}

static double cost_of(const struct solver *s, const uint32_t *device)
{
    double sum = 0.0;

    for (uint32_t u = 0; u < s->units->count; u++)
        sum += s->cost[(size_t)u * s->rows.device_count + device[u]];
    return sum;
}

static he_status solve_separable(struct solver *s, double *proven)
{
    he_status status = squeeze(s);

    if (status != HE_OK)
        return status;
    if (!s->has_best)
        status = follow_start(s, s->units->problem->device_count);
    if (status != HE_OK || !s->has_best)
        return status;
    memcpy(s->start, s->best, s->units->count * sizeof *s->start);
    status = improve_pools(s, POOLS_SHARE);
    if (status == HE_OK && !is_late(s) && !he_rows_is_optimal(&s->search, cost_of(s, s->start)))
        status = he_rows_narrow(&s->search, s->start, &s->search.bound);
    if (status == HE_OK && s->deadline_ns)
        status = improve_pools(s, 1.0);
    he_min_sum_set(&s->sum, s->start);
    record(s);
    *proven = he_rows_is_optimal(&s->search, s->least) ? s->least : s->search.bound;
    return status;
}

/* --- All of it --- */

static void start_where_fastest(struct solver *s)
{
    for (uint32_t u = 0; u < s->units->count; u++) {
        s->start[u] = 0;
        for (uint32_t j = 1; j < s->units->problem->device_count; j++) {
            if (he_unit_time(s->units, u, j) < he_unit_time(s->units, u, s->start[u]))
                s->start[u] = j;
        }
    }
}

static he_status solve_connected(struct solver *s)
{
    const double *unary = s->sum.unary;
    he_status status = try_starts(s);

    if (status == HE_OK && s->rows.row_count) {
        status = squeeze(s);
        if (s->has_best) {
            he_min_sum_set(&s->sum, s->best);
            descend(s);
            record(s);
        }
    }
    if (status != HE_OK)
        return status;
    if (s->has_best) {
        he_min_sum_set(&s->sum, s->best);
        status = cut_and_descend(s, CUT_WORK);
        record(s);
    } else {
        start_where_fastest(s);
    }
    if (status == HE_OK && !s->sum.is_unlimited)
        status = relax(s, unary);
    return status;
}

static he_status solve(struct solver *s, double *proven)
{
    he_status status = prepare_rows(s);
    bool is_optimal = s->sum.is_unlimited && s->units->problem->device_count == 1;

    if (status == HE_OK && s->rows.row_count && is_impossible(s))
        return he_error_set(HE_ERR_BUDGET, "no assignment keeps to the devices' memory and resources");
    if (status == HE_OK && s->rows.row_count && is_separable(s))
        status = solve_separable(s, proven);
    else if (status == HE_OK)
        status = solve_connected(s);
    if (status == HE_OK && !(s->has_best && *proven == s->least) &&
        s->units->count <= EXACT_UNITS) {
        if (!s->has_best)
            start_where_fastest(s);
        he_min_sum_set(&s->sum, s->has_best ? s->best : s->start);
        status = he_min_sum_exact(&s->sum, s->rows.row_count ? &s->search : NULL, EXACT_NODES,
                                  s->arena, &is_optimal);
        record(s);
    }
    if (status == HE_OK && !s->has_best)
        return he_error_set(HE_ERR_BUDGET, "no assignment found that keeps to the devices' memory "
                                           "and resources");
    if (status == HE_OK && is_optimal)
        *proven = s->least;
    return status;
}

he_status he_min_sum_solve(const struct he_units *units, const double *unary,
                           double transfer_scale, double launch_scale,
                           const struct he_place_options *options, uint32_t *device,
                           double *proven)
{
    struct he_arena scratch;
    struct solver s = { .units = units, .options = options, .arena = &scratch };
    he_status status;

    *proven = 0.0;
    he_arena_init(&scratch, &units->problem->arena.alloc);
    s.deadline_ns = he_place_deadline(options);
    s.best = he_arena_alloc(&scratch, units->count, sizeof *s.best);
    s.start = he_arena_alloc(&scratch, units->count, sizeof *s.start);
    status = s.best && s.start
                 ? he_min_sum_init(&s.sum, units, unary, transfer_scale, launch_scale, &scratch)
                 : he_no_memory();
    if (status == HE_OK)
        status = solve(&s, proven);
    if (status == HE_OK)
        memcpy(device, s.best, units->count * sizeof *device);
    he_min_sum_fini(&s.sum);
    he_arena_fini(&scratch);
    return status;
}
