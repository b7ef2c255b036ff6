/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splits of a topological order into one run per server, by dynamic programming: for a
 * limit T, how far can a set of servers get? Halving T finds the best split of task times;
 * transfers are left to the judge (source: Tarnawski et al., NeurIPS 2020, linearised). Quick on
 * graphs of any size.
 */
#include <string.h>

#include "loads.h"
#include "policies.h"
#include "random.h"
#include "rank.h"
#include "units.h"

#define MOST_SETS 4096 /* of servers in the dynamic programme */
#define HALVINGS 40
#define ORDERS 4

struct kind {
    uint32_t server; /* one of them */
    uint32_t count, first; /* servers of this kind: members[first .. first + count) */
    double room;     /* for weights, on the roomiest device */
};

struct splitter {
    const struct he_problem *problem;
    struct he_units units;
    struct he_contest *contest;
    struct he_arena *arena;
    double *time;      /* [unit * server_count + server]: on its best device */
    uint32_t *best_device; /* likewise */
    struct kind *kinds;
    uint32_t kind_count, *members;
    size_t set_count;
    size_t *stride;    /* of a kind in the number of a set */
    uint32_t *sequence; /* units in the order being split */
    double *sum;       /* [kind * (units + 1) + k]: time of the first k units */
    double *weight;    /* the same of weights */
    uint32_t *blocked; /* [kind * (units + 1) + k]: the first place from k on it cannot run */
    uint32_t *reach;   /* per set: how far it gets */
    uint8_t *last;     /* per set: the kind of its last server */
    uint32_t *device;  /* per unit: the answer */
};

static bool is_same_kind(const struct splitter *s, uint32_t a, uint32_t b, const double *room)
{
    uint32_t width = s->problem->server_count;

    if (room[a] != room[b])
        return false;
    for (uint32_t u = 0; u < s->units.count; u++) {
        if (s->time[(size_t)u * width + a] != s->time[(size_t)u * width + b])
            return false;
    }
    return true;
}

/* What each server takes for each unit, on which of its devices, and which servers are alike. */
static he_status describe_servers(struct splitter *s)
{
    const struct he_problem *p = s->problem;
    uint32_t width = p->server_count, used = 0;
    double *room = he_arena_alloc(s->arena, width, sizeof *room);
    uint32_t *kind_of = he_arena_alloc(s->arena, width, sizeof *kind_of);

    s->time = he_arena_alloc(s->arena, s->units.count, width * sizeof *s->time);
    s->best_device = he_arena_alloc(s->arena, s->units.count, width * sizeof *s->best_device);
    s->kinds = he_arena_alloc(s->arena, width, sizeof *s->kinds);
    s->members = he_arena_alloc(s->arena, width, sizeof *s->members);
    if (!room || !kind_of || !s->time || !s->best_device || !s->kinds || !s->members)
        return he_no_memory();
    for (uint32_t u = 0; u < s->units.count; u++) {
        double *time = s->time + (size_t)u * width;

        for (uint32_t k = 0; k < width; k++)
            time[k] = INFINITY;
        for (uint32_t j = 0; j < p->device_count; j++) {
            uint32_t server = p->devices[j].server;

            if (he_unit_time(&s->units, u, j) < time[server]) {
                time[server] = he_unit_time(&s->units, u, j);
                s->best_device[(size_t)u * width + server] = j;
            }
        }
    }
    for (uint32_t j = 0; j < p->device_count; j++)
        room[p->devices[j].server] = fmax(room[p->devices[j].server], p->weight_limit[j]);
    for (uint32_t k = 0; k < width; k++) {
        uint32_t kind = 0;

        while (kind < s->kind_count && !is_same_kind(s, s->kinds[kind].server, k, room))
            kind++;
        if (kind == s->kind_count)
            s->kinds[s->kind_count++] = (struct kind){ .server = k, .room = room[k] };
        s->kinds[kind].count++;
        kind_of[k] = kind;
    }
    for (uint32_t kind = 0; kind < s->kind_count; kind++) {
        s->kinds[kind].first = used;
        for (uint32_t k = 0; k < width; k++) {
            if (kind_of[k] == kind)
                s->members[used++] = k;
        }
    }
    return HE_OK;
}

static he_status make_tables(struct splitter *s)
{
    size_t row = (size_t)s->units.count + 1;

    s->stride = he_arena_alloc(s->arena, (size_t)s->kind_count + 1, sizeof *s->stride);
    if (!s->stride)
        return he_no_memory();
    s->set_count = 1;
    for (uint32_t k = 0; k < s->kind_count; k++) {
        s->stride[k] = s->set_count;
        /* Too many sets to look at: leave out servers of the kinds that come last. */
        while (s->kinds[k].count > 0 && s->set_count * (s->kinds[k].count + 1) > MOST_SETS)
            s->kinds[k].count--;
        s->set_count *= s->kinds[k].count + 1;
    }
    s->sum = he_arena_alloc(s->arena, s->kind_count, row * sizeof *s->sum);
    s->weight = he_arena_alloc(s->arena, row, sizeof *s->weight);
    s->blocked = he_arena_alloc(s->arena, s->kind_count, row * sizeof *s->blocked);
    s->reach = he_arena_alloc(s->arena, s->set_count, sizeof *s->reach);
    s->last = he_arena_alloc(s->arena, s->set_count, sizeof *s->last);
    s->sequence = he_arena_alloc(s->arena, s->units.count, sizeof *s->sequence);
    s->device = he_arena_alloc(s->arena, s->units.count, sizeof *s->device);
    return s->sum && s->weight && s->blocked && s->reach && s->last && s->sequence && s->device
               ? HE_OK
               : he_no_memory();
}

static void sum_up(struct splitter *s)
{
    size_t row = (size_t)s->units.count + 1;

    for (uint32_t k = 0; k < s->units.count; k++)
        s->weight[k + 1] = s->weight[k] + s->units.memory[s->sequence[k]];
    for (uint32_t kind = 0; kind < s->kind_count; kind++) {
        double *sum = s->sum + kind * row;
        uint32_t *blocked = s->blocked + kind * row;

        for (uint32_t k = 0; k < s->units.count; k++) {
            double time = s->time[(size_t)s->sequence[k] * s->problem->server_count +
                                  s->kinds[kind].server];

            sum[k + 1] = sum[k] + (isinf(time) ? 0.0 : time);
        }
        blocked[s->units.count] = s->units.count;
        for (uint32_t k = s->units.count; k-- > 0;) {
            double time = s->time[(size_t)s->sequence[k] * s->problem->server_count +
                                  s->kinds[kind].server];

            blocked[k] = isinf(time) ? k : blocked[k + 1];
        }
    }
}

/* How far a server of @kind gets from place @from within @limit and its room. */
static uint32_t extend(const struct splitter *s, uint32_t kind, uint32_t from, double limit)
{
    size_t row = (size_t)s->units.count + 1;
    const double *sum = s->sum + kind * row;
    uint32_t low = from, high = s->blocked[kind * row + from];

    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;

        if (sum[middle] - sum[from] <= limit &&
            he_fits(s->weight[middle] - s->weight[from], s->kinds[kind].room))
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* True when all servers together get to the end. */
static bool is_possible(struct splitter *s, double limit)
{
    for (size_t set = 0; set < s->set_count; set++) {
        s->reach[set] = 0;
        for (uint32_t kind = 0; kind < s->kind_count; kind++) {
            size_t held = set / s->stride[kind] % (s->kinds[kind].count + 1);
            uint32_t reached;

            if (held == 0)
                continue;
            reached = extend(s, kind, s->reach[set - s->stride[kind]], limit);
            if (reached >= s->reach[set]) {
                s->reach[set] = reached;
                s->last[set] = (uint8_t)kind;
            }
        }
    }
    return s->reach[s->set_count - 1] == s->units.count;
}

/* The split that is_possible() found last, from its end; the contest judges it. */
static he_status enter_split(struct splitter *s)
{
    const struct he_problem *p = s->problem;
    size_t set = s->set_count - 1;
    uint32_t end = s->units.count;
    struct he_arena scratch;
    struct he_placement answer = { 0 };
    he_status status;

    while (set > 0) {
        uint32_t kind = s->last[set];
        size_t held = set / s->stride[kind] % (s->kinds[kind].count + 1);
        uint32_t server = s->members[s->kinds[kind].first + held - 1];
        uint32_t begin = s->reach[set - s->stride[kind]];

        for (uint32_t k = begin; k < end; k++)
            s->device[s->sequence[k]] =
                s->best_device[(size_t)s->sequence[k] * p->server_count + server];
        end = begin < end ? begin : end;
        set -= s->stride[kind];
    }
    he_arena_init(&scratch, &p->arena.alloc);
    status = he_units_answer(&s->units, s->device, NULL, "throughput", &scratch, &answer);
    if (status == HE_OK)
        status = he_contest_enter_orders(s->contest, &answer);
    he_arena_fini(&scratch);
    return status;
}

static he_status split_sequence(struct splitter *s)
{
    double low = 0.0, high = 0.0;

    sum_up(s);
    for (uint32_t kind = 0; kind < s->kind_count; kind++)
        high = fmax(high, s->sum[(size_t)kind * (s->units.count + 1) + s->units.count]);
    if (!is_possible(s, high))
        return HE_OK; /* no run-wise split: what runs where is too mixed, or memory too tight */
    for (int k = 0; k < HALVINGS && high - low > 1e-9 * high; k++) {
        double middle = low + (high - low) / 2.0;

        if (is_possible(s, middle))
            high = middle;
        else
            low = middle;
    }
    return is_possible(s, high) ? enter_split(s) : HE_OK;
}

/* Several topological orders: as numbered, by urgency, and at random with a leaning to either. */
static he_status try_orders(struct splitter *s, const struct he_place_options *options)
{
    const struct he_problem *p = s->problem;
    struct he_random random = { options->seed ^ 0x6f7264657273u };
    double *priority = he_arena_alloc(s->arena, p->task_count, sizeof *priority);
    uint32_t *order = he_arena_alloc(s->arena, p->task_count, sizeof *order);
    bool *is_listed = he_arena_alloc(s->arena, s->units.count, sizeof *is_listed);
    he_status status = HE_OK;

    if (!priority || !order || !is_listed)
        return he_no_memory();
    for (int k = 0; status == HE_OK && k < ORDERS; k++) {
        uint32_t count = 0;

        he_rank_upward(p, HE_RANK_MEAN, 1.0, priority);
        for (uint32_t t = 0; t < p->task_count; t++) {
            if (k == 0)
                priority[t] = -(double)t;
            else if (k >= 2)
                priority[t] *= 0.5 + he_random_unit(&random);
        }
        status = he_order_by_priority(p, priority, order);
        memset(is_listed, 0, s->units.count * sizeof *is_listed);
        for (uint32_t i = 0; status == HE_OK && i < p->task_count; i++) {
            uint32_t unit = s->units.of[order[i]];

            if (!is_listed[unit])
                s->sequence[count++] = unit;
            is_listed[unit] = true;
        }
        if (status == HE_OK)
            status = split_sequence(s);
    }
    return status;
}

he_status he_runs_search(struct he_contest *contest, const struct he_place_options *options)
{
    const struct he_problem *p = contest->problem;
    struct he_arena scratch;
    struct splitter s = { .problem = p, .arena = &scratch, .contest = contest };
    he_status status;

    he_arena_init(&scratch, &p->arena.alloc);
    status = he_units_init(&s.units, p, &scratch);
    if (status == HE_OK)
        status = describe_servers(&s);
    if (status == HE_OK)
        status = make_tables(&s);
    if (status == HE_OK)
        status = try_orders(&s, options);
    he_arena_fini(&scratch);
    return status;
}
