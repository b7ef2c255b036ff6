/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contiguous splits: servers in the order of a pipeline, each with a set of tasks, no
 * forward edge leading back. Tasks that such a split cannot divide are blocks: colocation groups,
 * and groups that lie on a cycle. The way back of a training step (is_backward) goes with its
 * groups; what it has of its own is ordered the other way round.
 */
#ifndef HE_PLACE_STAGES_H
#define HE_PLACE_STAGES_H

#include "nets.h"
#include "policies.h"

#define HE_MOST_KINDS 8

struct he_stage_kind {
    uint32_t device;         /* one of them: where its times are read */
    uint32_t count;          /* servers of this kind */
    uint32_t first;          /* members[first .. first + count): their devices */
    double room;             /* for weights */
};

struct he_stages {
    const struct he_problem *problem;
    struct he_nets nets;     /* the parts are the blocks */
    uint32_t *block_of;      /* by task */
    uint32_t count;          /* of blocks */
    /* The order of blocks: next[next_start[b] .. next_start[b + 1]) come after b. */
    uint32_t *next_start, *next, *before; /* before: how many come before b */
    struct he_stage_kind kinds[HE_MOST_KINDS];
    uint32_t kind_count, *members;
    uint32_t set_count, stride[HE_MOST_KINDS]; /* sets of servers as numbers */
    double *share, *set_share; /* by block: least work; by set: work that the rest can do a second */
    double total_share;
    double best;             /* the least bottleneck found, INFINITY: none */
    uint32_t *device;        /* by block, when there is one */
};

/* HE_ERR_UNSUPPORTED when the servers are too many or too mixed. */
he_status he_stages_init(struct he_stages *stages, const struct he_problem *problem,
                         struct he_arena *arena) HE_MUST_CHECK;

/* Sets of blocks that hold all that comes before them, as bits; by rising size, from none to all. */
struct he_family {
    uint32_t count, words;
    uint64_t *bits;          /* [set * words] */
    /* One block more: set next[k] has block added[k] too, for k in next_start[set] and up to
     * next_start[set + 1). */
    uint32_t *next_start, *next, *added;
};

/* Those along one order of the blocks. */
he_status he_family_of_order(const struct he_stages *stages, const uint32_t *order,
                             struct he_arena *arena, struct he_family *out) HE_MUST_CHECK;
/* All of them; *is_whole false when they are more than @most. */
he_status he_family_of_all(const struct he_stages *stages, uint32_t most, struct he_arena *arena,
                           struct he_family *out, bool *is_whole) HE_MUST_CHECK;

/* The best split along the sets of a family, if it is better than what is there. *is_done false
 * when the clock stopped it (@deadline_ns 0: never). */
he_status he_stages_solve(struct he_stages *stages, const struct he_family *family,
                          const struct he_place_options *options, uint64_t deadline_ns,
                          struct he_arena *arena, bool *is_done) HE_MUST_CHECK;

/* Orders, then all sets while there are few; the answer enters the contest. *is_optimum: no
 * contiguous split is better. */
he_status he_stages_search(struct he_contest *contest, const struct he_place_options *options,
                           bool *is_optimum) HE_MUST_CHECK;

#endif
