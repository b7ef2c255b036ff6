/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The geometry of a sliding window over up to three spatial axes, and tensors seen as
 * [N, C, z, y, x]. Absent spatial axes stand in front, with size 1 and stride 0.
 */
#ifndef CPU_WINDOW_H
#define CPU_WINDOW_H

#include "move.h"

struct cpu_window {
    int64_t in[3], out[3];
    int64_t kernel[3], stride[3], dilation[3];
    int64_t begin[3], end[3]; /* padding */
};

/* A tensor of rank 2 to 5; strides in elements. */
struct cpu_image {
    char *data;
    int64_t n, c, size[3];
    int64_t n_stride, c_stride, stride[3];
};

struct cpu_image cpu_image_of(const struct he_tensor *tensor);

/* Reads kernel_shape (of @weights when absent), strides, dilations and padding; the output
 * size is that of @out, and SAME padding follows from it. */
he_status cpu_window_read(const struct cpu_call *call, const struct he_tensor *in,
                          const struct he_tensor *weights, const struct he_tensor *out,
                          struct cpu_window *window);
/* The same for ConvTranspose, where window->out is what a window slides over. */
he_status cpu_window_read_transposed(const struct cpu_call *call, const struct he_tensor *in,
                                     const struct he_tensor *weights, const struct he_tensor *out,
                                     struct cpu_window *window);

/* The output positions o in [low, high) for which o * stride + offset is in [0, size). */
static inline void cpu_window_range(int64_t offset, int64_t stride, int64_t size, int64_t *low,
                                    int64_t *high)
{
    int64_t first = offset < 0 ? (stride - 1 - offset) / stride : 0;
    int64_t last = size > offset ? (size - offset + stride - 1) / stride : 0;

    if (*low < first)
        *low = first;
    if (*high > last)
        *high = last;
}

#endif
