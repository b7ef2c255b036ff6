/* SPDX-License-Identifier: Apache-2.0 */
/* The makers: each adds the calls of one task, or says HE_ERR_UNSUPPORTED. */
#ifndef CPU_ONEDNN_MAKERS_H
#define CPU_ONEDNN_MAKERS_H

#include "onednn_step.h"

he_status od_make_conv(struct od_build *b);    /* Conv, ConvTranspose: onednn_conv.c */
he_status od_make_product(struct od_build *b); /* Gemm, MatMul: onednn_product.c */
he_status od_make_pool(struct od_build *b);    /* MaxPool ... GlobalMaxPool: onednn_window.c */
he_status od_make_lrn(struct od_build *b);
he_status od_make_resize(struct od_build *b);
he_status od_make_softmax(struct od_build *b); /* onednn_norm.c */
he_status od_make_batch_norm(struct od_build *b);
he_status od_make_layer_norm(struct od_build *b);

/* Spatial attributes of Conv and the pools, made explicit (onednn_shape.c). */
#define OD_MAX_SPATIAL 3
struct od_window {
    int count;
    int64_t kernel[OD_MAX_SPATIAL], strides[OD_MAX_SPATIAL], dilations[OD_MAX_SPATIAL];
    int64_t pad_begin[OD_MAX_SPATIAL], pad_end[OD_MAX_SPATIAL];
};
/* @kernel is kernel_shape's stand-in when the node has none (NULL: it must). */
he_status od_window_read(const struct he_node *node, const struct he_shape *in,
                         const struct he_shape *out, const int64_t *kernel, bool is_transposed,
                         struct od_window *window);

#endif
