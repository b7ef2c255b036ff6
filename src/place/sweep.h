/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One schedule in time linear in tasks and edges: tasks in a given order, each into the first gap
 * that it fits in, from the front or, with every edge turned round, from the back.
 */
#ifndef HE_PLACE_SWEEP_H
#define HE_PLACE_SWEEP_H

#include "timeline.h"
#include "units.h"
#include "wires.h"

/* Where each unit may go, the cheapest first. */
struct he_choices {
    uint32_t *start;   /* unit u: device[start[u] .. start[u + 1]) */
    uint32_t *device;
    double *regret;    /* seconds by which it is dearer than the cheapest */
};

struct he_sweep {
    const struct he_problem *problem;
    const struct he_units *units;
    struct he_load load;
    /* Of the last run, in the time of its direction: from the back, 0 is the end. */
    double *begin, *end;
    double length;
    uint32_t *device; /* per unit: as given, or as chosen */
    bool ignores_room; /* choices do not ask for memory and resources */

    /* --- Private --- */
    struct he_wires forth, back; /* back: transposed */
    struct he_timeline *servers, *links;
    uint32_t *links_used, links_used_count;
    bool *is_link_used, *is_placed;
    double *ready;
    double *pencilled;
    struct he_sweep_input *inputs;
    size_t input_capacity, input_count;
    uint64_t work; /* tasks, edges and candidates looked at */
};

he_status he_sweep_init(struct he_sweep *sweep, const struct he_units *units,
                        struct he_arena *arena) HE_MUST_CHECK;
void he_sweep_fini(struct he_sweep *sweep);

/* Takes tasks in @order (topological; from the back: from the last to the first). @choices NULL:
 * units stay on sweep->device; else each goes where its end + @scale * regret is least, among those
 * with room. HE_ERR_BUDGET when one finds no room. */
he_status he_sweep_run(struct he_sweep *sweep, const uint32_t *order, bool from_back,
                       const struct he_choices *choices, double scale) HE_MUST_CHECK;

#endif
