/* SPDX-License-Identifier: Apache-2.0 */
/* A convolution task as the graph tells it, ready to be done in one way or another. */
#ifndef CPU_ONEDNN_CONV_H
#define CPU_ONEDNN_CONV_H

#include "onednn_makers.h"
#include "onednn_post.h"

struct od_conv_task {
    struct od_build *b;
    struct od_conv conv; /* descriptors in the plain layout */
    struct od_epilogue epilogue;
    struct od_post posts[OD_MAX_POSTS]; /* the epilogue's, in the convolution's dimensions */
    struct od_operand src, dst;
    struct od_desc src_slot, dst_slot; /* as the slots have them */
    bool src_any, dst_any; /* both layouts are the same bytes */
    struct od_desc weights; /* of the source data */
    const float *weight_data; /* scaled */
    float *bias_data; /* NULL: none */
    int64_t groups;
    double flops;
    /* The one spatial dimension that is not 1 stands last: oneDNN's kernels
     * work along it (measured: 35 against 100 GFLOP/s). Bytes do not change. */
    bool is_turned;
};

/* Reads task t->b; adds what its epilogue needs. onednn_conv_read.c */
he_status od_conv_read(struct od_conv_task *t);
he_status od_conv_refuse(const struct od_conv_task *t, const char *why);

/* A transposed convolution whose windows do not overlap, as one matrix product and a
 * scattering copy: onednn_deconv.c. *is_done is false when it is another one. */
he_status od_conv_tiles(struct od_conv_task *t, bool *is_done);
/* Bias and epilogue behind a transposed convolution: oneDNN 2.6 does those with
 * reference code (a hundred times slower), so they go into a pass of their own. */
he_status od_conv_part_bias(struct od_conv_task *t);

/* True when the slot is stored in the order of its dimensions. */
bool od_is_plain_desc(const struct od_desc *slot);
/* Adds what brings @slot's bytes at *operand into the format @want, unless @is_same;
 * *operand then says where they are, *original where they were. For an output
 * (@is_input false) only the place is made. */
he_status od_conv_adapt(struct od_build *b, const struct od_desc *slot, bool is_same, od_md want,
                        bool is_input, struct od_operand *operand, struct od_operand *original);

#endif
