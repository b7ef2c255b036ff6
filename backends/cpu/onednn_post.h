/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epilogue of a fused task as oneDNN post-operations: the nodes behind the
 * anchor, in order, become a scale and a shift per channel (folded into weights
 * and bias), then elementwise functions and binary operations.
 */
#ifndef CPU_ONEDNN_POST_H
#define CPU_ONEDNN_POST_H

#include "onednn_step.h"

#define OD_MAX_POSTS 12

struct od_epilogue {
    /* y = x * scale[c] + shift[c] before everything else; NULL: 1 and 0. */
    float *scale, *shift;
    int64_t channels;
    struct od_post posts[OD_MAX_POSTS];
    struct od_operand operands[OD_MAX_POSTS]; /* of binary posts */
    size_t count;
};

/*
 * Reads the nodes behind the anchor. @axis is the channel dimension of its
 * output. @may_fold: the anchor can take scale and shift; otherwise they become
 * posts too. May add reorders of operands to the step. HE_ERR_UNSUPPORTED
 * names the node that cannot be mapped.
 */
he_status od_epilogue_read(struct od_build *b, int axis, bool may_fold, struct od_epilogue *out);

/* The function of a single node as posts (one or two); false when it is none of ours. */
bool od_activation(const struct od_build *b, const struct he_node *node, struct od_post posts[2],
                   size_t *count);

/* Gives the operands of binary posts to @call, made with od_attr(epilogue->posts...). */
he_status od_epilogue_attach(struct od_build *b, struct od_call *call,
                             const struct od_epilogue *epilogue);

/* The posts as primitives of their own, in place on the task's output: for
 * anchors whose best implementation takes no post-operations. */
he_status od_epilogue_apart(struct od_build *b, const struct od_epilogue *epilogue);

/* True when no node follows the anchor, or only ones that change nothing. */
bool od_epilogue_is_empty(const struct od_epilogue *epilogue);

#endif
