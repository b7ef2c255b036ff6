/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tasks to cut. The search is greedy over the heaviest tasks: each is cut along every axis
 * over the k fastest servers, as wide as they are fast, once alone and once with all that can
 * stay in parts around it. Every such graph is planned by HEFT, and the best one stays when it
 * beats what was there before by more than a hundredth.
 *
 * Most graphs never get there: when even work that could be cut at will would not end much
 * earlier (the bound below), or all devices share one server, the answer is no cut.
 */
#include "partition/cut.h"

#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/size.h"

/* A cut must be worth the trouble. */
#define LEAST_GAIN 0.01
/* Nothing is tried where the bound says that less than this can be had. */
#define LEAST_HOPE 0.10
/* Seconds a part of a heavy task should take: a few times what handing it over does. */
#define LEAST_PART 20e-6
#define MOST_SEEDS 6
#define MOST_PARTS 256
/* Of all trials together: tasks times devices. What bounds the search, without a clock. */
#define MOST_CELLS 150000.0
/* What a trial takes of one of them, about. */
#define CELL_SECONDS 2e-6
/* Rows are handed out by so many, where there are plenty. */
#define GRANULE 8

struct search {
    const struct he_cut_request *r;
    struct he_arena *arena; /* for what stays */
    double *speed;          /* per server, for the seed looked at */
    uint32_t *servers;      /* by falling speed */
    double *server_time;    /* per server: all tasks of the graph */
    uint32_t *device_of;    /* per server: its best device for the seed */
    int64_t *bounds;
    double bound;
    double seed_time; /* of the seed looked at */
    bool has_grown;   /* the last cut went beyond the seed */
    struct he_cut_set best;
    double best_value, cells;
    uint64_t deadline_ns; /* 0: there is none */
};

static bool has_time(const struct search *s)
{
    return s->cells < MOST_CELLS && (!s->deadline_ns || he_now_ns() < s->deadline_ns);
}

/* Best time of a task on a server; *device gets who. */
static double server_time(const struct he_problem *p, uint32_t task, uint32_t server,
                          uint32_t *device)
{
    double best = HE_CANNOT_RUN;

    for (uint32_t d = 0; d < p->device_count; d++) {
        if (p->devices[d].server == server && he_problem_time(p, task, d) < best) {
            best = he_problem_time(p, task, d);
            *device = d;
        }
    }
    return best;
}

/* No cut can make the graph end earlier than all servers sharing every task at will. */
static double sharing_bound(struct search *s)
{
    const struct he_problem *p = s->r->problem;
    double sum = 0;

    for (uint32_t t = 0; t < p->task_count; t++) {
        double speed = 0;

        for (uint32_t v = 0; v < p->server_count; v++) {
            uint32_t device;
            double time = server_time(p, t, v, &device);

            if (!isfinite(time))
                continue;
            s->server_time[v] += time;
            if (time <= 0)
                speed = INFINITY;
            else
                speed += 1 / time;
        }
        sum += speed > 0 ? 1 / speed : 0;
    }
    return sum;
}

/* --- Judging --- */

/* INFINITY when nothing fits. */
static he_status place_value(const struct he_problem *problem, enum he_objective objective,
                             double *value)
{
    struct he_place_options options = { .objective = objective };
    struct he_placement placement;
    struct he_schedule schedule;
    struct he_arena arena;
    he_status status;

    *value = INFINITY;
    he_arena_init(&arena, &problem->arena.alloc);
    status = he_place(problem, "heft", &options, &arena, &placement, &schedule);
    if (status == HE_OK)
        *value = he_schedule_value(&schedule, objective);
    he_arena_fini(&arena);
    return status == HE_ERR_BUDGET || status == HE_ERR_UNSUPPORTED ? HE_OK : status;
}

/* What a plan of the graph with those cuts costs; INFINITY when there is none. */
static he_status judge(struct search *s, const struct he_cut_set *set, double *value)
{
    const struct he_cut_request *r = s->r;
    struct he_problem *problem = NULL;
    struct he_graph *graph = NULL;
    struct he_shard *shards;
    struct he_cost *costs;
    size_t count;
    he_status status = he_cut_list(set, set->arena, &shards, &count);

    *value = INFINITY;
    if (status == HE_OK)
        status = he_graph_shard(r->graph, shards, count, &s->arena->alloc, &graph);
    if (status == HE_OK) {
        s->cells += (double)graph->task_count * r->machine->device_count;
        status =
            he_cost_build(graph, r->machine, r->devs, r->store, &s->arena->alloc, &problem, &costs);
    }
    if (status == HE_OK)
        status = place_value(problem, r->objective, value);
    he_problem_destroy(problem);
    he_graph_destroy(graph);
    return status;
}

/* --- Cuts of one task --- */

/* How fast each server would take its share of @seed, or of the whole graph: with the way of
 * the task's tensors there and back from where it runs best. */
static uint32_t rank_servers(struct search *s, uint32_t seed, bool is_whole)
{
    const struct he_problem *p = s->r->problem;
    const struct he_task *task = &s->r->graph->tasks[seed];
    const struct he_graph *graph = s->r->graph;
    double bytes = 0, best = INFINITY;
    uint32_t count = 0, home = 0;

    for (uint32_t k = 0; k < task->input_count + task->output_count; k++) {
        const struct he_value *value =
            &graph->values[k < task->input_count ? task->inputs[k]
                                                 : task->outputs[k - task->input_count]];
        int64_t size = he_shape_bytes(&value->shape, value->dtype);

        bytes += size > 0 ? (double)size : 0;
    }
    for (uint32_t v = 0; v < p->server_count; v++) {
        s->speed[v] = server_time(p, seed, v, &s->device_of[v]);
        if (s->speed[v] < best) {
            best = s->speed[v];
            home = v;
        }
    }
    for (uint32_t v = 0; v < p->server_count; v++) {
        double time = s->speed[v];
        uint32_t at;

        if (!isfinite(time) || !(best > 0))
            continue;
        if (is_whole)
            time = s->server_time[v];
        if (v != home)
            time += he_problem_transfer(p, s->device_of[home], s->device_of[v], bytes);
        s->speed[v] = 1 / time;
        for (at = count++; at > 0 && s->speed[s->servers[at - 1]] < s->speed[v]; at--)
            s->servers[at] = s->servers[at - 1];
        s->servers[at] = v;
    }
    return count;
}

/* Shares of @size for the @count fastest servers; gives how many got one. */
static uint32_t share_out(struct search *s, int64_t size, uint32_t count)
{
    int64_t granule = size >= 2 * GRANULE * (int64_t)count ? GRANULE : 1;
    double whole = 0, given = 0;
    uint32_t parts = 0;

    for (uint32_t k = 0; k < count; k++)
        whole += s->speed[s->servers[k]];
    s->bounds[0] = 0;
    for (uint32_t k = 0; k < count; k++) {
        int64_t end;

        given += s->speed[s->servers[k]];
        end = k + 1 == count
                  ? size
                  : (int64_t)((double)size * (given / whole) / (double)granule + 0.5) * granule;
        if (end > size)
            end = size;
        if (end > s->bounds[parts])
            s->bounds[++parts] = end;
    }
    return parts;
}

/* Panels of @rows. */
static uint32_t panels(struct search *s, int64_t size, int64_t rows)
{
    uint32_t parts = 0;

    if ((size + rows - 1) / rows > MOST_PARTS)
        return 0;
    s->bounds[0] = 0;
    while (s->bounds[parts] < size) {
        s->bounds[parts + 1] = s->bounds[parts] + rows < size ? s->bounds[parts] + rows : size;
        parts++;
    }
    return parts;
}

/* The axis that batch_split_size speaks of: the batch, or the rows of a product without one. */
static uint32_t row_axis(const struct he_graph *graph, const struct he_task *task,
                         const struct he_shape *shape)
{
    bool is_product = strcmp(graph->nodes[task->anchor].op, "MatMul") == 0;

    return is_product && shape->rank > 1 && shape->dims[0] == 1 ? shape->rank - 2 : 0;
}

/* What was best before, with @seed cut as the bounds say. */
static he_status try_cut(struct search *s, const struct he_cut_set *before, uint32_t seed,
                         uint32_t axis, uint32_t parts, bool is_whole)
{
    struct he_arena arena;
    struct he_cut_set set;
    double value = INFINITY;
    bool is_cut;
    he_status status;

    he_arena_init(&arena, &s->arena->alloc);
    status = he_cut_set_init(&set, s->r->graph, s->r->problem, &arena);
    if (status == HE_OK) {
        memcpy(set.shards, before->shards, s->r->graph->task_count * sizeof *set.shards);
        set.count = before->count;
        status = he_cut_add(&set, seed, axis, s->bounds, parts, &is_cut);
        if (status == HE_OK && is_cut) {
            if (is_whole)
                status = he_cut_grow(&set, seed);
            /* Where nothing around it can stay in parts, that is the seed alone. */
            s->has_grown = set.count > before->count + 1;
            if (status == HE_OK)
                status = judge(s, &set, &value);
        }
    }
    if (status == HE_OK && value < s->best_value * (1 - LEAST_GAIN)) {
        s->best_value = value;
        s->best.count = set.count;
        for (uint32_t t = 0; t < s->r->graph->task_count; t++) {
            s->best.shards[t] = set.shards[t];
            if (!set.shards[t].part_count)
                continue;
            s->best.shards[t].bounds =
                he_arena_copy(s->arena, set.shards[t].bounds,
                              ((size_t)set.shards[t].part_count + 1) * sizeof(int64_t));
            if (!s->best.shards[t].bounds)
                status = he_no_memory();
        }
    }
    he_arena_fini(&arena);
    return status;
}

static he_status try_axis(struct search *s, const struct he_cut_set *before, uint32_t seed,
                          uint32_t axis, int64_t size)
{
    he_status status = HE_OK;

    s->has_grown = true;
    for (int is_whole = 1; is_whole >= 0 && s->has_grown && status == HE_OK; is_whole--) {
        uint32_t usable = rank_servers(s, seed, is_whole);

        if (s->r->most_rows)
            return usable > 1
                       ? try_cut(s, before, seed, axis, panels(s, size, s->r->most_rows), is_whole)
                       : HE_OK;
        for (uint32_t count = usable; count > 1 && status == HE_OK && has_time(s);
             count /= 2) {
            if (s->seed_time < count * LEAST_PART)
                continue;
            status = try_cut(s, before, seed, axis, share_out(s, size, count), is_whole);
        }
    }
    return status;
}

/* Every cut of one task; s->best gets the best one. */
static he_status try_seed(struct search *s, uint32_t seed)
{
    const struct he_graph *graph = s->r->graph;
    const struct he_task *task = &graph->tasks[seed];
    const struct he_shape *shape;
    struct he_cut_set before = s->best;
    he_status status = HE_OK;

    if (task->output_count != 1 || s->best.shards[seed].part_count)
        return HE_OK;
    shape = &graph->values[task->outputs[0]].shape;
    if (!he_shape_is_static(shape))
        return HE_OK;
    before.shards =
        he_arena_copy(s->arena, s->best.shards, graph->task_count * sizeof *before.shards);
    if (!before.shards)
        return he_no_memory();
    for (uint32_t axis = 0; axis < shape->rank && status == HE_OK; axis++) {
        if (shape->dims[axis] < 2 || (s->r->most_rows && axis != row_axis(graph, task, shape)))
            continue;
        if (has_time(s))
            status = try_axis(s, &before, seed, axis, shape->dims[axis]);
    }
    return status;
}

/* The heaviest tasks, by their best time. */
static uint32_t find_seeds(const struct he_problem *p, uint32_t *seeds, double *times)
{
    uint32_t count = 0;

    for (uint32_t t = 0; t < p->task_count; t++) {
        double time = HE_CANNOT_RUN;
        uint32_t at;

        for (uint32_t d = 0; d < p->device_count; d++)
            time = fmin(time, he_problem_time(p, t, d));
        if (!isfinite(time) || time < 2 * LEAST_PART ||
            (count == MOST_SEEDS && time <= times[count - 1]))
            continue;
        for (at = count < MOST_SEEDS ? count++ : count - 1; at > 0 && times[at - 1] < time; at--) {
            times[at] = times[at - 1];
            seeds[at] = seeds[at - 1];
        }
        times[at] = time;
        seeds[at] = t;
    }
    return count;
}

static he_status search(struct search *s)
{
    const struct he_problem *p = s->r->problem;
    uint32_t seeds[MOST_SEEDS], count;
    double times[MOST_SEEDS];
    uint32_t most = p->server_count > MOST_PARTS ? p->server_count : MOST_PARTS;
    he_status status;

    s->speed = he_arena_alloc(s->arena, p->server_count, sizeof *s->speed);
    s->servers = he_arena_alloc(s->arena, p->server_count, sizeof *s->servers);
    s->server_time = he_arena_alloc(s->arena, p->server_count, sizeof *s->server_time);
    s->device_of = he_arena_alloc(s->arena, p->server_count, sizeof *s->device_of);
    s->bounds = he_arena_alloc(s->arena, (size_t)most + 1, sizeof *s->bounds);
    if (!s->speed || !s->servers || !s->server_time || !s->device_of || !s->bounds)
        return he_no_memory();
    status = he_cut_set_init(&s->best, s->r->graph, p, s->arena);
    if (status != HE_OK)
        return status;
    s->bound = sharing_bound(s);
    status = place_value(p, s->r->objective, &s->best_value);
    count = find_seeds(p, seeds, times);
    for (uint32_t k = 0; k < count && status == HE_OK; k++) {
        if (s->r->objective != HE_OBJECTIVE_ENERGY && s->bound > s->best_value * (1 - LEAST_HOPE))
            break;
        s->seed_time = times[k];
        if (has_time(s))
            status = try_seed(s, seeds[k]);
    }
    return status;
}

he_status he_cut_choose(const struct he_cut_request *request, struct he_arena *arena,
                        struct he_shard **out, size_t *out_count)
{
    struct search s = { .r = request, .arena = arena };
    he_status status;

    *out = NULL;
    *out_count = 0;
    /* The sum of costs is not less for being spread out. */
    if (request->problem->server_count < 2 || request->objective == HE_OBJECTIVE_COST)
        return HE_OK;
    if (request->time_limit > 0) {
        /* No trial ends within the limit: none is begun. */
        if (CELL_SECONDS * request->problem->task_count * request->problem->device_count >
            request->time_limit)
            return HE_OK;
        s.deadline_ns = he_now_ns() + (uint64_t)(fmin(request->time_limit, 1e6) * 1e9);
    }
    status = search(&s);
    return status == HE_OK && s.best.count ? he_cut_list(&s.best, arena, out, out_count) : status;
}
