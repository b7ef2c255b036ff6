/* SPDX-License-Identifier: Apache-2.0 */
/* Tabu search on one schedule: tasks of a critical path go to their best places. */
#ifndef HE_PLACE_SHOP_TABU_H
#define HE_PLACE_SHOP_TABU_H

#include "policies.h"
#include "random.h"
#include "shop_graph.h"
#include "units.h"

/* When everything stops. Work counts as he_shop.work does. */
struct he_shop_end {
    const struct he_place_options *options;
    uint64_t deadline_ns, work_limit; /* 0: there is none */
    uint64_t next_look;               /* at the clock, in work */
    double bound;                     /* a makespan that cannot be beaten */
    bool is_over;
};

/* A schedule kept: its tasks in the order of their heads. */
struct he_shop_answer {
    uint32_t *device, *before;
    double *head;
    double makespan;
};

struct he_shop_tabu {
    struct he_shop *shop;
    const struct he_units *units;
    struct he_load load;
    bool is_fixed; /* tasks stay on their devices */
    bool has_limits; /* weights or resources may run out: ask the load */
    struct he_random random;
    struct he_shop_end *end;
    uint64_t step;
    uint64_t *until; /* [task * device_count + device]: no return before this step */
    uint32_t *path;  /* the critical path of this step */
    struct he_shop_answer best;
};

he_status he_shop_answer_init(struct he_shop_answer *answer, uint32_t task_count,
                              struct he_arena *arena) HE_MUST_CHECK;
void he_shop_answer_copy(struct he_shop_answer *to, const struct he_shop_answer *from,
                         uint32_t task_count);
void he_shop_answer_save(struct he_shop_answer *answer, const struct he_shop *shop);

/* Borrows everything it is given; memory from @arena. */
he_status he_shop_tabu_init(struct he_shop_tabu *tabu, struct he_shop *shop,
                            const struct he_units *units, struct he_shop_end *end,
                            struct he_arena *arena) HE_MUST_CHECK;
/* Goes on from the shop's schedule until @patience steps have brought nothing better, or the
 * end; tabu->best is the best seen. */
void he_shop_tabu_run(struct he_shop_tabu *tabu, uint64_t patience);
/* Looks at the clock now and then. */
bool he_shop_is_over(struct he_shop_end *end, const struct he_shop *shop);

#endif
