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
};

#define OPENCL_TILE_ROWS 128
#define OPENCL_TILE_DEPTH 16 /* no panel is deeper, and each depth divides it */

/* True when @dev is one that tiles are good for: a GPU, not the host's cores. */
bool opencl_likes_tiles(const struct opencl_device *dev);
/* After opencl_begin() and what loads and results need besides: the rest of the kernel, and the step. */
he_status opencl_emit_product(struct opencl_build *b, const struct opencl_product *product);

#endif
