/* SPDX-License-Identifier: Apache-2.0 */
/* A box of elements that is moved from one layout to another (box.c, emit_transpose.c). */
#ifndef OPENCL_BOX_H
#define OPENCL_BOX_H

#include "build.h"

struct opencl_box {
    uint32_t rank;
    int64_t dims[HE_MAX_RANK], from[HE_MAX_RANK], to[HE_MAX_RANK]; /* strides in elements */
    int64_t from_base, to_base;
};

/* No two elements go to one place; strides of 0 repeat what is read. */
he_status opencl_move_box(struct opencl_build *b, uint32_t from, uint32_t to,
                          const struct opencl_box *box);

/* How many neighbours of a run of @run, at multiples of it, may be moved as one unit; its type. */
int64_t opencl_join_run(int64_t run, uint32_t element_bytes, const char **type);

/* A box after folding, in units of 1 to 16 bytes; dimensions by falling step in the target. */
struct opencl_units {
    struct opencl_box box;
    int64_t count;
    uint32_t bytes; /* of a unit */
    const char *type;
};

/* Is moving by tiles better than one unit at a time? Gives the dimension whose steps in the source
 * are 1; in the target that is the last one. */
bool opencl_wants_tiles(const struct opencl_build *b, const struct opencl_units *u,
                        uint32_t *source_inner);
/* The kernel of it; "in" and "out" are pointers to units. */
he_status opencl_move_tiles(struct opencl_build *b, const struct opencl_units *u,
                            uint32_t source_inner);

#endif
