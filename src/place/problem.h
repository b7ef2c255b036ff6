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
    /* 0: a tensor of its own. Edges that leave one task with the same number carry
     * one tensor: it moves once into each memory, and lives once in each. */
    uint32_t tensor;
};

struct he_place_device {
    const char *id, *kind;
    double memory_bytes;  /* INFINITY: no limit */
    double usable;        /* of the device's memory memory_bytes is this share; 0: all of it */
    uint32_t server;      /* devices with the same server run one task at a time together */
    uint32_t memory_node; /* devices with the same one exchange for nothing and share its room */
    double idle_watts, busy_watts;
    double price_per_hour;
    /* A device without copy engines moves tensors itself, between its memory and the host's:
     * a result that others read once, and each tensor of another device that it reads once.
     * Both add to its busy time in the bottleneck; schedules leave them to the links. */
    double copy_bandwidth; /* bytes/s; 0: copies keep it busy for no time */
    double copy_latency;   /* s */
};

struct he_place_link {
    bool is_free;      /* no link given, or the same memory */
    double bandwidth;  /* bytes/s */
    double latency;    /* s */
};

/* Devices of one chip share its memory and its power: while one is busy, the other is slower. */
struct he_place_company {
    /* [device * device_count + other]: times as long as alone a task takes while other is
     * busy, 1 or more: one that computes, one that moves memory. */
    double *slowdown_compute, *slowdown_memory;
    double *memory_share; /* [task * device_count + device]: how much of the second it is, 0..1 */
    /* [from * device_count + to]: what a byte costs the reader on to that a task on from has made,
     * in the caches of other cores; 0 between memories, where links have it. NULL: nothing. */
    double *fetch_seconds;
    double *fetched_bytes; /* per edge: what the reader reads of its tensor; NULL: all of it */
    double gather_seconds; /* once, for a plan on several devices: threads to wake and wait for */
    /* By how much, relative, such a plan must promise to beat one on fewer devices: what
     * predictions of it are worth; and when two of its devices work side by side out of one memory. */
    double caution, caution_side_by_side;
};

/* Something beside time and memory that tasks use up where they run: LUTs, DSPs. */
struct he_place_resource {
    const char *name;
    double limit;         /* over all tasks together, INFINITY: none */
    const double *amount; /* [task * device_count + device]; 0 where it does not count */
    const double *device_limits; /* by device, INFINITY: none; NULL: no device has one */
};

/* Limits what one device has of it; the others keep theirs (none to begin with). */
he_status he_resource_limit_device(struct he_place_resource *resource, uint32_t device, double limit,
                                   uint32_t device_count, struct he_arena *arena) HE_MUST_CHECK;

/* Budgets of the whole plan; INFINITY is none, and what he_problem_create() sets. */
struct he_place_limits {
    double memory_bytes;   /* peaks of all devices together */
    double power_watts;    /* busy watts of the devices with work */
    double price_per_hour; /* of the devices with work */
    double latency;        /* s: the makespan */
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
    /* Seconds added where a region starts, by device: a task with no inputs, or with
     * one from another device. NULL: none. */
    double *launch;
    /* How much of launch is the message that another device is done: a task with no inputs
     * waits for none. Counted by the judge, policies need not. NULL: none of it. */
    double *waking;
    /* What working side by side costs; he_place_evaluate() and contests count it, policies
     * search without it. NULL: devices do not disturb each other. */
    struct he_place_company *company;
    uint32_t *colocation; /* task -> group, HE_NO_GROUP when free; NULL: none */
    /* Tasks of a training step's way back; NULL: none. Contiguous splits follow the others. */
    bool *is_backward;
    struct he_place_resource *resources;
    size_t resource_count;
    struct he_place_limits limits;
    /* True: only task_memory counts against memory_bytes, not the tensors along edges. */
    bool ignores_tensors;

    /* --- Made by he_problem_index() --- */
    uint32_t server_count, memory_count; /* servers and memory nodes are renumbered 0.. */
    /* The tensors: edges out_edges[tensor_start[k] .. tensor_start[k+1]) carry tensor k,
     * those of one task lie side by side; edge_tensor goes from edge to tensor. */
    uint32_t tensor_count, *tensor_start, *edge_tensor;
    bool has_copies; /* some device has a copy_bandwidth */
    /* What policies may fill with task_memory, by device: memory_bytes, or less when the
     * planner has seen that tensors need the rest. */
    double *weight_limit;
};
#define HE_NO_GROUP UINT32_MAX

/* Gives an empty problem; fill its fields with memory from its arena, then index it.
 * NULL when there is no memory. */
struct he_problem *he_problem_create(const struct he_allocator *alloc);
/* After tasks, edges, devices are set: builds the edge index; checks order and numbers
 * (HE_ERR_INVALID names the task, edge or device). */
he_status he_problem_index(struct he_problem *problem) HE_MUST_CHECK;
void he_problem_destroy(struct he_problem *problem); /* NULL is fine */
static inline double he_problem_time(const struct he_problem *p, uint32_t task, uint32_t device)
{
    return p->time[(size_t)task * p->device_count + device];
}
/* Seconds from device to device: 0 within a memory node and over a free link. */
double he_problem_transfer(const struct he_problem *problem, uint32_t from, uint32_t to,
                           double bytes);

/* Seconds that @device itself is busy when it moves a tensor in or out. */
static inline double he_problem_copy(const struct he_problem *p, uint32_t device, double bytes)
{
    const struct he_place_device *d = &p->devices[device];

    return d->copy_bandwidth > 0.0 ? d->copy_latency + bytes / d->copy_bandwidth : 0.0;
}

/* True when all tensors at once, everywhere, would fit beside all weights, so that memory is
 * nothing a search must think about beyond weights. Not so with a budget for all memory. */
bool he_problem_is_roomy(const struct he_problem *problem);

/* An answer: where each task runs, and in which order each device takes its tasks. */
struct he_placement {
    uint32_t *device;  /* per task */
    uint32_t *order;   /* a topological order of tasks; each device follows it */
    const char *policy;
    /* NULL, or when transfers are booked: the tasks in their order and, as task_count + number,
     * every edge once, behind its producer and before its reader. */
    uint32_t *items;
    /* No plan of the problem is better than this: shown by a search that went through all there
     * are. 0: none did. */
    double proven;
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
    double sum_cost;   /* sum T_i / E_j + transfers + launches */
    double bottleneck; /* largest busy time of a server or link: pipeline interval */
    double energy;     /* J: idle watts of every device over the makespan, more while busy */
    double *peak_bytes; /* per device: weights plus live tensors */
};

enum he_objective {
    HE_OBJECTIVE_LATENCY,
    HE_OBJECTIVE_COST,
    HE_OBJECTIVE_THROUGHPUT,
    HE_OBJECTIVE_ENERGY
};
const char *he_objective_name(enum he_objective objective); /* "makespan", "sum_cost"... */

struct he_place_options {
    enum he_objective objective;
    /* Seconds. 0: a fixed amount of work, so that the answer depends on the seed alone;
     * with a limit the searches go on until the clock says stop. */
    double time_limit;
    uint64_t seed;
    /* The limit counts CPU seconds of the calling thread: figures that do not depend on
     * what else a machine is doing. */
    bool counts_cpu_time;
};

/* A policy, one per file; src/place/policies.c holds the table. run() gives an answer in
 * which every task can run, groups stay together, and task_memory and resources fit (live
 * tensors need not: the evaluator is the judge of those); HE_ERR_BUDGET when it finds none,
 * HE_ERR_UNSUPPORTED when the problem is beyond it. Arrays of @out come from @arena. */
struct he_policy {
    const char *name, *help;
    he_status (*run)(const struct he_problem *problem, const struct he_place_options *options,
                     struct he_arena *arena, struct he_placement *out);
};
const struct he_policy *he_policy_find(const char *name);
size_t he_policy_count(void);
const struct he_policy *he_policy_at(size_t index);

/* The one evaluator: takes the tasks in the placement's order; each starts when its
 * inputs have arrived and its server is free. A transfer takes the first gap of its link
 * that it fits in; transfers of tasks earlier in the order go first, or as items say. An edge between devices
 * is one transfer, unless memory or tensor are shared. Memory or another budget exceeded, a
 * task that cannot run, a divided group: HE_ERR_BUDGET naming it, with the least that would
 * do; an order that is no topological one: HE_ERR_INVALID. */
he_status he_place_evaluate(const struct he_problem *problem, const struct he_placement *placement,
                            struct he_arena *arena, struct he_schedule *out) HE_MUST_CHECK;
double he_schedule_value(const struct he_schedule *schedule, enum he_objective objective);
/* No schedule of this problem can be better than value; by names the bound that won: "path",
 * "area"... (bounds.c), "none" when nothing is known. */
struct he_bound {
    double value;
    const char *by;
};
struct he_bound he_place_bound(const struct he_problem *problem, enum he_objective objective);
double he_place_lower_bound(const struct he_problem *problem, enum he_objective objective);

/* The objective that goes with a strategy; false when there is no such strategy or policy.
 * A policy by name takes what the options say. */
bool he_strategy_find(const char *strategy, enum he_objective *objective);

/* What the planner calls: the policy behind @strategy (latency_aware, throughput, cost,
 * energy_aware, or a policy's name), then the guard: the best feasible single-device plan
 * replaces an answer that is worse (its policy is "single"), but for "priority", the baseline. Gives the winner and its schedule.
 * A latency budget holds under every strategy; with energy_aware it is the bound within which joules
 * are saved.
 * HE_ERR_SETTING for an unknown strategy (with the nearest one), HE_ERR_UNSUPPORTED for a task
 * that runs nowhere, HE_ERR_BUDGET when nothing fits, with the smallest budget that would do. */
he_status he_place(const struct he_problem *problem, const char *strategy,
                   const struct he_place_options *options, struct he_arena *arena,
                   struct he_placement *out, struct he_schedule *schedule) HE_MUST_CHECK;

#endif
