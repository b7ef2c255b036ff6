/* SPDX-License-Identifier: Apache-2.0 */
/* Sequencing: operations whose machines are given, in which order? For small numbers, exactly. */
#ifndef HE_PLACE_DISJUNCTIVE_H
#define HE_PLACE_DISJUNCTIVE_H

#include <stdbool.h>
#include <stdint.h>

#define HE_OPS_MOST 64 /* operations: one bit each */
#define HE_OPS_FREE UINT8_MAX

/* Operations are numbered so that 'before' leads to lower numbers only. */
struct he_ops {
    uint32_t count, machine_count;
    double time[HE_OPS_MOST];
    double head[HE_OPS_MOST]; /* it does not begin before */
    double tail[HE_OPS_MOST]; /* so much comes after its end at least */
    uint8_t machine[HE_OPS_MOST]; /* that does one at a time; HE_OPS_FREE: none */
    uint64_t before[HE_OPS_MOST]; /* operations that must end first, in one step or more */
    uint64_t members[HE_OPS_MOST]; /* by machine; made by the calls below */
};

/* False: no order gives a makespan below @limit (tails included). True says nothing. */
bool he_ops_may_beat(struct he_ops *shop, double limit);

/* The least makespan below @limit: true when there is one, with begins of all operations and a
 * number of each that grows along their final order. Stops when *nodes runs out (then it is 0 and
 * what was found, if anything, need not be the least). */
bool he_ops_solve(struct he_ops *shop, double limit, uint64_t *nodes, double *begin,
                   uint32_t *rank, double *makespan);

#endif
