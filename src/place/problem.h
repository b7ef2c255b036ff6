/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The placement problem, free of models and chips: tasks with a time on every
 * device, bytes along edges, devices with memory, links. src/cost makes one from
 * a graph and a machine; src/plan makes one from a task-graph file; every policy
 * takes one and gives a he_placement.
 */
#ifndef HE_PLACE_PROBLEM_H
#define HE_PLACE_PROBLEM_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/alloc.h"

#define HE_CANNOT_RUN INFINITY /* a time: this task cannot run there */

struct he_place_edge {
    uint32_t from, to; /* tasks; from < to in topological numbering */
    double bytes;
};

struct he_place_device {
    const char *id, *kind;
    double memory_bytes; /* INFINITY: no limit */
    uint32_t server;     /* devices with the same server run one task at a time together */
    uint32_t memory_node; /* devices with the same one exchange for nothing */
    double idle_watts, busy_watts;
    double price_per_hour;
};

struct he_place_link {
    bool is_free;      /* no link given, or the same memory */
    double bandwidth;  /* bytes/s */
    double latency;    /* s */
};

struct he_place_resource {
    const char *name;
    double limit;             /* over all tasks together, INFINITY: none */
    const double *amount;     /* per task */
};

/* Tasks are numbered topologically. All arrays belong to the arena. */
struct he_problem {
    struct he_arena arena;
    const char *name;
    uint32_t task_count, device_count, edge_count;
    const char **task_ids;
    double *time;      /* [task * device_count + device], seconds, or HE_CANNOT_RUN */
    double *task_memory; /* bytes a task holds on its device for good (weights) */
    struct he_place_edge *edges;
    /* Edges by task: out_edges[out_start[t] .. out_start[t+1]) and the same for in. */
    uint32_t *out_start, *out_edges, *in_start, *in_edges;
    struct he_place_device *devices;
    struct he_place_link *links; /* [from * device_count + to] */
    bool has_contention;         /* a directed link carries one transfer at a time */
    double *launch;              /* seconds added per region start, by device */
    uint32_t *colocation;        /* task -> group, HE_NO_GROUP when free; NULL: none */
    struct he_place_resource *resources;
    size_t resource_count;
};
#define HE_NO_GROUP UINT32_MAX

/* After tasks, edges, devices are set: builds the edge index; checks order and numbers. */
he_status he_problem_index(struct he_problem *problem) HE_MUST_CHECK;
void he_problem_destroy(struct he_problem *problem);
struct he_problem *he_problem_create(const struct he_allocator *alloc);
static inline double he_problem_time(const struct he_problem *p, uint32_t task, uint32_t device)
{
    return p->time[(size_t)task * p->device_count + device];
}
double he_problem_transfer(const struct he_problem *problem, uint32_t from, uint32_t to, double bytes);

/* An answer: where each task runs, and in which order each device takes its tasks. */
struct he_placement {
    uint32_t *device;  /* per task */
    uint32_t *order;   /* a topological order of tasks; each device follows it */
    const char *policy;
};

/* Where an answer leads: the simulated schedule and its figures. */
struct he_schedule {
    double *start, *finish; /* per task */
    struct he_schedule_transfer {
        uint32_t edge, from_device, to_device;
        double bytes, start, finish;
    } *transfers;
    size_t transfer_count;
    double makespan;   /* s */
    double sum_cost;   /* sum T_i / E_j + transfers */
    double bottleneck; /* largest busy time of a device or link: pipeline interval */
    double energy;     /* J */
    double *peak_bytes; /* per device: weights plus live tensors */
};

enum he_objective { HE_OBJECTIVE_LATENCY, HE_OBJECTIVE_COST, HE_OBJECTIVE_THROUGHPUT, HE_OBJECTIVE_ENERGY };

struct he_place_options {
    enum he_objective objective;
    double time_limit; /* s, 0: the policy's own */
    uint64_t seed;
};

/* A policy, one per file; src/place/policies.c holds the table. */
struct he_policy {
    const char *name, *help;
    he_status (*run)(const struct he_problem *problem, const struct he_place_options *options,
                     struct he_arena *arena, struct he_placement *out);
};
const struct he_policy *he_policy_find(const char *name);
size_t he_policy_count(void);
const struct he_policy *he_policy_at(size_t index);

/* The one evaluator: list schedule of a placement under CLI.md's model. Memory over a
 * device's limit or a task that cannot run: HE_ERR_BUDGET naming it. */
he_status he_place_evaluate(const struct he_problem *problem, const struct he_placement *placement,
                            struct he_arena *arena, struct he_schedule *out) HE_MUST_CHECK;
double he_schedule_value(const struct he_schedule *schedule, enum he_objective objective);
/* No schedule of this problem can be better than this. */
double he_place_lower_bound(const struct he_problem *problem, enum he_objective objective);

/* What the planner calls: the policy behind @strategy (latency_aware, throughput, cost,
 * energy_aware, or a policy's name), then the guard: the best feasible single-device plan
 * replaces an answer that is worse. Gives the winner and its schedule. */
he_status he_place(const struct he_problem *problem, const char *strategy,
                   const struct he_place_options *options, struct he_arena *arena,
                   struct he_placement *out, struct he_schedule *schedule) HE_MUST_CHECK;

#endif
