/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disjunctive graph of a schedule: the problem's edges, and one from each task to the
 * next on its server. Heads and tails (longest ways to and from a task) tell in constant time
 * what a task put at another place would lead to.
 */
#ifndef HE_PLACE_SHOP_GRAPH_H
#define HE_PLACE_SHOP_GRAPH_H

#include "problem.h"

#define HE_SHOP_NONE UINT32_MAX

struct he_shop {
    const struct he_problem *problem;
    uint32_t count;
    uint32_t *in, *out; /* neighbours, by the problem's in_start and out_start */
    double *in_bytes, *out_bytes; /* NULL when every transfer is free */
    uint32_t *sinks, sink_count;
    /* Stands for a time of nothing: that a task comes behind its inputs must show in its head. */
    double least_time;

    /* --- The schedule; set by he_shop_load() --- */
    uint32_t *device;         /* by task */
    uint32_t *before, *after; /* by task: neighbours on its server, or HE_SHOP_NONE */
    uint32_t *first, *last;   /* by server */
    double *time, *head, *tail; /* start = head; head + time + tail is the longest way through */
    uint32_t *order, *position; /* a topological order of the disjunctive graph */
    double makespan;
    uint64_t work; /* tasks and places looked at so far: time spent that no clock can change */

    /* --- Private: the lifted task and how to put it back --- */
    uint32_t lifted, lifted_before, lifted_after;
    double lifted_time;
    uint32_t *changed_heads, *changed_tails, changed_head_count, changed_tail_count;
    double *old_heads, *old_tails;
    uint64_t *dirty; /* a bit per position */
    uint32_t *waits;
};

/* Borrows @problem; memory from @arena. */
he_status he_shop_init(struct he_shop *shop, const struct he_problem *problem,
                       struct he_arena *arena) HE_MUST_CHECK;
/* Takes the tasks in @order (a topological one) to the end of their servers' sequences. */
void he_shop_load(struct he_shop *shop, const uint32_t *device, const uint32_t *order);
/* Computes everything anew after a change; false when the sequences contradict the edges. */
bool he_shop_update(struct he_shop *shop);

/* Takes @task out of its sequence and its time out of the graph; heads and tails follow. Gives the
 * longest way that is left. One task at a time. */
double he_shop_lift(struct he_shop *shop, uint32_t task);
/* Undoes the lift. */
void he_shop_drop(struct he_shop *shop);
/* Puts the lifted task on @device behind @left (HE_SHOP_NONE: first); he_shop_update() is due. */
void he_shop_put(struct he_shop *shop, uint32_t device, uint32_t left);

struct he_shop_place {
    uint32_t left; /* the task it goes behind */
    double via;    /* the longest way through the task there */
};
/* The best place of the lifted task on @device but for the one it came from; @pick chooses
 * among equals. False when there is none. */
bool he_shop_find_place(struct he_shop *shop, uint32_t device, uint64_t pick,
                        struct he_shop_place *out);
/* What @task takes on @device as things stand. */
double he_shop_time(const struct he_shop *shop, uint32_t task, uint32_t device);

#endif
