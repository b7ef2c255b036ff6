/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels of convolutions share. */
#ifndef OPENCL_CONV_H
#define OPENCL_CONV_H

#include "tile.h"

struct opencl_geometry {
    int64_t batch, in_channels, out_channels, groups;
    int64_t in_h, in_w, out_h, out_w, kernel_h, kernel_w;
    int64_t stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;
    bool is_padded; /* some window leaves the input */
};
/* --- Winograd (emit_winograd.c) --- */

/* Weights are constant, 3x3, without strides and dilations. */
bool opencl_winograd_possible(const struct opencl_build *b, const struct he_node *node,
                              const struct opencl_geometry *g);
/* F(@side x @side, 3x3): @side is 2 or 4. */
he_status opencl_emit_winograd(struct opencl_build *b, const struct he_node *node,
                               const struct opencl_geometry *g, int side);
void opencl_list_winograd(const struct opencl_build *b, const struct opencl_geometry *g,
                          double direct_rate, struct opencl_ways *out);

/* --- Depthwise (emit_depthwise.c) --- */

/* Each output channel reads one input channel through a small window. */
bool opencl_is_depthwise(const struct opencl_geometry *g);
he_status opencl_emit_depthwise(struct opencl_build *b, const struct he_node *node,
                                const struct opencl_geometry *g);

#endif
