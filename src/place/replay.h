/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A schedule that can be changed a little and judged again quickly: the search's own
 * picture of what the judge would say, without memory and budgets. A trial changes devices
 * and places in the order; it is then kept or undone.
 */
#ifndef HE_PLACE_REPLAY_H
#define HE_PLACE_REPLAY_H

#include "problem.h"
#include "units.h"

struct he_replay_booking {
    double begin, end;
    uint32_t place; /* in the order, of the task that had it booked */
};

struct he_replay_link {
    struct he_replay_booking *kept, *trial; /* by begin */
    uint32_t kept_count, kept_capacity, trial_count, trial_capacity;
    uint64_t trial_number; /* of the trial that trial belongs to */
    bool is_active;        /* is in active_links */
};

struct he_replay {
    const struct he_problem *problem;
    bool counts_energy; /* the value is joules, not seconds */
    uint32_t *device, *order, *position;
    double *start, *finish; /* by task */
    double value, makespan;

    /* --- Private --- */
    struct he_allocator alloc;
    uint32_t *before, *after; /* neighbours of a task on its server, UINT32_MAX: none */
    double *tail;             /* from a task's end to the schedule's, at least */
    bool has_tails;
    double *optimistic;
    double *per_byte, *latency; /* by pair of devices; 0 where nothing moves */
    double joules, idle_watts;
    uint64_t *dirty; /* a bit per place */
    uint32_t *sinks, sink_count;
    /* The trial. */
    uint64_t trial_number;
    uint32_t *set_tasks, *set_devices, set_count; /* devices as they were */
    uint32_t shift_from, shift_to;
    uint32_t first_place, last_place; /* what was changed by hand lies between */
    uint32_t *logged, logged_count;
    double *old_start, *old_finish, old_joules;
    bool *is_set;
    /* Contention. */
    struct he_replay_link *links;
    uint32_t *active_links, active_link_count;
    uint32_t *shared_slot, slot_count; /* by tensor: several edges; UINT32_MAX: one */
    struct he_replay_arrival {
        double kept, trial;
        uint32_t place, trial_place; /* UINT32_MAX: not kept */
        uint64_t trial_number;
        bool is_listed;
    } *arrivals; /* [slot * memory_count + node] */
    uint32_t *listed, listed_count;
};

/* Borrows @problem; its live tensors should be no matter. Freed with he_replay_fini(), which
 * also takes a zeroed one. */
he_status he_replay_init(struct he_replay *replay, const struct he_problem *problem,
                         enum he_objective objective) HE_MUST_CHECK;
void he_replay_fini(struct he_replay *replay);
/* Takes up an answer. */
he_status he_replay_load(struct he_replay *replay, const uint32_t *device,
                         const uint32_t *order) HE_MUST_CHECK;

/* Puts the order into that of starts; the value gets no larger. */
he_status he_replay_sort(struct he_replay *replay) HE_MUST_CHECK;

/* A trial: any number of he_replay_set(), then one he_replay_shift() at
 * most ... */
void he_replay_begin(struct he_replay *replay);
void he_replay_set(struct he_replay *replay, uint32_t task, uint32_t device);
/* The task at place @from goes to place @to; the order must stay topological. */
void he_replay_shift(struct he_replay *replay, uint32_t from, uint32_t to);
/* ... then its value in *value, INFINITY when it is above @limit; then one of the two below. */
he_status he_replay_try(struct he_replay *replay, double limit, double *value) HE_MUST_CHECK;
he_status he_replay_keep(struct he_replay *replay, double value) HE_MUST_CHECK;
void he_replay_undo(struct he_replay *replay);

/* Tasks of a critical path of what is kept, last first; gives how many. */
uint32_t he_replay_critical(const struct he_replay *replay, uint32_t *tasks);

#endif
