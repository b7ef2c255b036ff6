/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix product of a GPU, as text: work-groups make tiles of C = A B from panels
 * of A and B that lie in local memory while the next ones are on their way. What A and B are is the
 * caller's business: it writes the lines that load one element, so that a convolution is a
 * product whose B is never stored (implicit GEMM).
 */
#ifndef OPENCL_TILE_H
#define OPENCL_TILE_H

#include "build.h"

struct opencl_product {
    int64_t m, n, k;
    int64_t batch; /* independent products; the caller's "z", which is get_group_id(2) */
    /* Neighbours in memory are neighbours along the depth, not along m (of A) or n (of B). */
    bool a_along_depth, b_along_depth;
    /* A has zeros behind its last row, up to a multiple of OPENCL_TILE_ROWS. */
    bool is_a_padded;
    /* Write lines that set "v" to the element at (m, k) or (k, n), names of type uint, which are in
     * range. "k0", which is uniform, is the first k of the panel. */
    void (*load_a)(struct opencl_build *b, const struct opencl_product *product);
    void (*load_b)(struct opencl_build *b, const struct opencl_product *product);
    /* The same for four neighbours in memory, the first at (m, k) or (k, n), into the float4 "q"; NULL
     * where four may not lie together or m, n or k end between them. */
    void (*load_a_quad)(struct opencl_build *b, const struct opencl_product *product);
    void (*load_b_quad)(struct opencl_build *b, const struct opencl_product *product);
    /* Writes lines that take "acc", the element at (row, column), a result. */
    void (*store)(struct opencl_build *b, const struct opencl_product *product);
    const void *context; /* the caller's */
    /* Set by opencl_emit_product(): how far one panel goes along the depth, from a multiple of it. */
    int panel_depth;
};

#define OPENCL_TILE_ROWS 128

/* True when @dev is one that tiles are good for: a GPU, not the host's cores. */
bool opencl_likes_tiles(const struct opencl_device *dev);
/* After opencl_begin() and what loads and results need besides: the rest of the kernel, and the step. */
he_status opencl_emit_product(struct opencl_build *b, const struct opencl_product *product);

/* --- Ways (variants.c) --- */

struct opencl_ways {
    struct he_variant *out;
    size_t capacity, count;
};
/* @rate: of the device's fp32 peak; @locality as in struct he_variant. Strings last for ever. */
void opencl_ways_add(struct opencl_ways *ways, const char *name, const char *algorithm,
                     const char *dtype, double rate, double locality);
/* The way to do the convolution or product being written; NULL: by our own rules. For tests
 * HETEROENGINE_OPENCL_WAY names one for all, where it is possible. */
const char *opencl_way(const struct opencl_build *b);

/* Of the device's peak, by the model, with the best tile. */
double opencl_tile_rate(const struct opencl_device *dev, const struct opencl_product *product);
void opencl_list_tiles(const struct opencl_device *dev, const struct opencl_product *product,
                       struct opencl_ways *out);
void opencl_conv_ways(struct opencl_build *b, const struct he_node *node, struct opencl_ways *out);
void opencl_product_ways(struct opencl_build *b, const struct he_node *node,
                         struct opencl_ways *out);

/* --- Matrix units (mma.c) --- */

/* @way names one of them, and the device has what it needs. */
bool opencl_mma_possible(const struct opencl_device *dev, const struct opencl_product *product,
                         const char *way);
he_status opencl_emit_mma(struct opencl_build *b, const struct opencl_product *product,
                          const char *way);
void opencl_list_mma(const struct opencl_device *dev, const struct opencl_product *product,
                     struct opencl_ways *out);

#endif
