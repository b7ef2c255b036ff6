/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The evaluator's engine, for searches that ask it thousands of times: memory is
 * allocated once, a run only computes. he_place_evaluate() is a judge run once.
 */
#ifndef HE_PLACE_JUDGE_H
#define HE_PLACE_JUDGE_H

#include "problem.h"
#include "timeline.h"

struct he_figures {
    double makespan, sum_cost, bottleneck, energy;
};

enum he_shortfall_kind {
    HE_FITS,
    HE_LACKS_ABILITY,      /* task cannot run on device */
    HE_LACKS_COMPANY,      /* task is apart from its group */
    HE_LACKS_MEMORY,       /* of device */
    HE_LACKS_SHARED_MEMORY,/* of the memory that device shares with others */
    HE_LACKS_TOTAL_MEMORY, /* the plan's budget */
    HE_LACKS_POWER,
    HE_LACKS_PRICE,
    HE_LACKS_SPEED,        /* the plan's latency budget */
    HE_LACKS_RESOURCE,        /* over all tasks */
    HE_LACKS_DEVICE_RESOURCE, /* of device */
};

/* The first reason why a placement does not fit; need is the least that would do. */
struct he_shortfall {
    enum he_shortfall_kind kind;
    uint32_t task, device;
    size_t resource;
    double need, limit;
};

struct he_live_event {
    double time, bytes;
    uint32_t device;
};

struct he_judge {
    const struct he_problem *problem;
    struct he_allocator alloc;
    /* --- Of the last run --- */
    struct he_figures figures;
    struct he_shortfall shortfall;
    double *start, *finish;           /* per task */
    double *sent_begin, *sent_finish; /* per edge: the transfer that serves it */
    double *device_busy, *weights, *peak_bytes;
    uint32_t *link_used; /* links with a transfer, for quick clearing */
    size_t link_used_count;
    /* Filled when set: one entry per transfer made, room for edge_count. */
    struct he_schedule_transfer *transfers;
    size_t transfer_count;

    /* --- Private --- */
    double *server_free, *server_busy, *link_busy, *tensor_bytes;
    double *resource_used, *device_resource_used;
    bool *is_used, *is_link_used;
    bool has_memory_limit;
    struct he_timeline *links;
    /* For tensors with several edges: which edge brought it into which memory. */
    uint32_t *shared_slot, *brought_by;
    struct he_live_event *events;
    size_t event_capacity;
    double *copy_begin, *copy_finish, *node_peak, *node_live, *live;
    uint32_t *copy_device, *group_device;
    uint32_t group_count;
};

/* Borrows @problem. The memory is freed with he_judge_fini(), which also takes a zeroed one. */
he_status he_judge_init(struct he_judge *judge, const struct he_problem *problem) HE_MUST_CHECK;
void he_judge_fini(struct he_judge *judge);

/* Schedules @device in @order (a topological order). HE_OK also when it does not fit: then
 * shortfall.kind says so and the figures are INFINITY. @want_peaks: peak_bytes are computed
 * even where everything fits at once anyhow. */
he_status he_judge_run(struct he_judge *judge, const uint32_t *device, const uint32_t *order,
                       bool want_peaks) HE_MUST_CHECK;
/* The same with transfers booked where they stand among the tasks in @items (he_placement says
 * what that is), not when their reader's turn comes; NULL: as above. */
he_status he_judge_run_items(struct he_judge *judge, const uint32_t *device,
                             const uint32_t *order, const uint32_t *items,
                             bool want_peaks) HE_MUST_CHECK;
static inline double he_figures_value(const struct he_figures *f, enum he_objective objective)
{
    switch (objective) {
    case HE_OBJECTIVE_COST:
        return f->sum_cost;
    case HE_OBJECTIVE_THROUGHPUT:
        return f->bottleneck;
    case HE_OBJECTIVE_ENERGY:
        return f->energy;
    case HE_OBJECTIVE_LATENCY:
        break;
    }
    return f->makespan;
}

/* A limit kept, with room for the rounding of sums. */
static inline bool he_fits(double need, double limit)
{
    return need <= limit || need <= limit * (1.0 + 1e-12);
}

/* The latency budget, judged last: what he_judge_run() and he_judge_stretch() left in @judge falls
 * short when it takes longer. */
void he_judge_hold_latency(struct he_judge *judge);

/* Sets HE_ERR_BUDGET with the sentence for @shortfall, met when tasks run on @device. */
he_status he_shortfall_error(const struct he_problem *problem, const struct he_shortfall *shortfall,
                             const uint32_t *device);

/* stretch.c: what he_judge_run() left in @judge, with the problem's company counted: times of
 * tasks that run side by side grow, and so do the figures. Nothing to do without company. */
he_status he_judge_stretch(struct he_judge *judge, const uint32_t *device, const uint32_t *order,
                           bool want_peaks) HE_MUST_CHECK;

#endif
