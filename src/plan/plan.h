/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: what runs where, in which order, what moves, and where every byte
 * lives. Made by src/engine from a graph, a machine and a placement; run by
 * src/exec, replayed by src/sim; written to and read from JSON.
 */
#ifndef HE_PLAN_PLAN_H
#define HE_PLAN_PLAN_H

#include <heteroengine/plan.h>

#include "cost/cost.h"
#include "graph/graph.h"
#include "graph/shard.h"
#include "machine/machine.h"
#include "partition/partition.h"
#include "plan/hints.h"

/* What a lane (a device's queue) does, in order. */
enum he_step_kind {
    HE_STEP_REGION, /* launch a region */
    HE_STEP_COPY,   /* move one value from one memory to another */
};

struct he_step {
    enum he_step_kind kind;
    uint32_t lane;               /* index into he_plan.lanes: who does it */
    uint32_t region;             /* REGION */
    uint32_t from_home, to_home; /* COPY */
    /* Steps of other lanes that must be done first, and those that wait for this one. */
    uint32_t *waits_for, *wakes;
    uint32_t wait_count, wake_count;
    double predicted_start, predicted_finish; /* s */
};

struct he_plan_region {
    uint32_t lane, step;
    struct he_region view; /* what the backend compiles; arrays owned by the plan */
    struct he_slot *slots; /* = view.slots, writable while lowering */
    uint32_t *slot_homes;  /* per slot */
};

struct he_lane {
    uint32_t device; /* in the machine */
    uint32_t memory; /* index into he_plan.memories */
    uint32_t *steps; /* indices into he_plan.steps, in order */
    uint32_t step_count;
};

/* Where a value lives in one memory: in that memory's arena, in the caller's
 * hands, or in memory that comes into being while running. A value that crosses
 * memories has one home in each. */
enum he_home_kind { HE_HOME_ARENA, HE_HOME_INPUT, HE_HOME_OUTPUT, HE_HOME_DYNAMIC };
struct he_home {
    uint32_t value;
    uint32_t memory;
    enum he_home_kind kind;
    uint32_t index; /* INPUT, OUTPUT: which of the graph's; DYNAMIC: which dynamic tensor */
    size_t offset;  /* ARENA */
    size_t bytes;
    uint32_t root;  /* the home whose bytes these are: itself, or what it is a view or part of */
    size_t shift;   /* bytes from the root's first to this one's */
};

struct he_plan_memory {
    uint32_t device; /* in the machine: buffers come from it; several may share the memory */
    bool is_host;
    size_t arena_bytes; /* planned for one request in flight */
    size_t lower_bound_bytes;
};

/* A graph output that no task makes: an input or a constant handed on. */
struct he_pass_through {
    uint32_t output, value;
};

struct he_plan {
    struct he_arena arena;
    const struct he_model *model; /* borrowed; NULL for a plan of a bare task graph */
    struct he_graph *graph;       /* owned; NULL likewise */
    const struct he_machine *machine; /* borrowed */
    struct he_problem *problem;   /* owned */
    struct he_cost *costs;        /* [task * device_count + device]; NULL for a bare graph */
    struct he_placement placement;
    struct he_schedule schedule;
    const char *strategy;
    enum he_objective objective;
    double value, lower_bound;
    double plan_seconds, bound_seconds; /* until there was a plan; then for the lower bound */
    const char *lower_bound_by; /* he_place_bound()'s word */
    struct he_part *parts;
    uint32_t part_count;
    struct he_hint *hints; /* of the model, and what became of them */
    size_t hint_count;

    /* Filled by he_plan_lower() for plans that are to run. */
    struct he_plan_region *regions;
    uint32_t region_count;
    struct he_lane *lanes;
    uint32_t lane_count;
    struct he_step *steps;
    uint32_t step_count;
    struct he_plan_memory *memories;
    uint32_t memory_count;
    struct he_home *homes;
    uint32_t home_count;
    uint32_t dynamic_count;
    struct he_pass_through *pass_throughs;
    uint32_t pass_through_count;
};

/* Places, partitions; takes @graph, @problem and @costs also on failure. */
he_status he_plan_create(struct he_graph *graph, const struct he_machine *machine,
                         struct he_problem *problem, struct he_cost *costs, const char *strategy,
                         const struct he_place_options *options, const struct he_allocator *alloc,
                         struct he_plan **out) HE_MUST_CHECK;
/* Regions, steps, memory map: what a session needs. Once. */
he_status he_plan_lower(struct he_plan *plan) HE_MUST_CHECK;
/* An independent look: times, servers, links, groups, convexity. */
he_status he_plan_check(const struct he_plan *plan) HE_MUST_CHECK;
/* The placement a saved plan asks for, matched to @problem's tasks by id. */
he_status he_plan_read_placement(const char *name, const char *text, size_t size,
                                 const struct he_problem *problem, struct he_arena *arena,
                                 struct he_placement *out) HE_MUST_CHECK;
/* What the tasks of a saved plan are parts of, as he_graph_shard() takes it; none when it says
 * nothing of that. */
he_status he_plan_read_cuts(const char *name, const char *text, size_t size,
                            const struct he_problem *problem, struct he_arena *arena,
                            struct he_shard **out, size_t *out_count) HE_MUST_CHECK;
/* What a task is a part of, or NULL. */
const struct he_node_part *he_plan_part(const struct he_plan *plan, uint32_t task);
/* The same as a member "split"; nothing for a whole task. */
void he_plan_write_part(const struct he_plan *plan, uint32_t task, struct he_json_writer *json);
/* Uses a given placement instead of a policy. */
he_status he_plan_create_placed(struct he_graph *graph, const struct he_machine *machine,
                                struct he_problem *problem, struct he_cost *costs,
                                const struct he_placement *placement, enum he_objective objective,
                                const struct he_allocator *alloc, struct he_plan **out) HE_MUST_CHECK;

/* The task-graph file of CLI.md. When it names devices of its own, the machine comes from it. */
he_status he_problem_read_json(const char *name, const char *text, size_t size,
                               const struct he_machine *machine, const struct he_allocator *alloc,
                               struct he_problem **out) HE_MUST_CHECK;
void he_plan_write_json(const struct he_plan *plan, struct he_json_writer *json);
/* The same without the brackets, for more to be put beside it. */
void he_plan_write_members(const struct he_plan *plan, struct he_json_writer *json);
/* Why each task, or @task, runs where it does; @task NULL: all of them. The JSON goes into the
 * object that is open: "explanations" and "what_if". */
he_status he_plan_explain_json(const struct he_plan *plan, const char *task,
                               struct he_json_writer *json) HE_MUST_CHECK;
he_status he_plan_explain(const struct he_plan *plan, const char *task, struct he_text *out) HE_MUST_CHECK;

#endif
