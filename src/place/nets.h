/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A problem seen as parts (sets of tasks that stay together) and nets: what one part
 * makes and other parts read, for searches that count copies. Tensors of one part with the same
 * readers are one net.
 */
#ifndef HE_PLACE_NETS_H
#define HE_PLACE_NETS_H

#include "problem.h"

struct he_net {
    uint32_t home, first, count; /* readers[first .. first + count), none of them home */
    double tensors, bytes;
};

struct he_nets {
    const struct he_problem *problem;
    uint32_t part_count;
    double *time;   /* [part * device_count + device] */
    double *memory; /* by part */
    struct he_net *nets;
    uint32_t net_count;
    uint32_t *readers;
    /* The nets that part u makes or reads: at[at_start[u] .. at_start[u + 1]). */
    uint32_t *at_start, *at;
    double *pace; /* by device, seconds per byte copied; latency: the device's */
};

/* Parts are numbered 0..part_count - 1 in @of (by task). Without copies there are no nets. */
he_status he_nets_init(struct he_nets *nets, const struct he_problem *problem, const uint32_t *of,
                       uint32_t part_count, struct he_arena *arena) HE_MUST_CHECK;

/* Seconds that @device is busy when it sends or fetches a net. */
static inline double he_net_seconds(const struct he_nets *nets, const struct he_net *net,
                                    uint32_t device)
{
    return net->tensors * nets->problem->devices[device].copy_latency * (nets->pace[device] > 0.0) +
           net->bytes * nets->pace[device];
}

#endif
