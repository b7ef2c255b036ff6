/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernels that move, pick and window data have in common: the strided
 * copy every movement operator is written as, and the reading of small integer
 * inputs, axes and element types.
 */
#ifndef CPU_MOVE_H
#define CPU_MOVE_H

#include <string.h>

#include "pointwise.h"

#define CPU_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- Element types --- */

/* Whole bytes of one element, 0 for strings and for types that share bytes. */
static inline size_t cpu_element_bytes(enum he_dtype dtype)
{
    unsigned bits = he_dtype_bits(dtype);

    return bits % 8 ? 0 : bits / 8;
}

/* Every type whose elements are whole bytes: what a movement kernel takes. */
#define CPU_BYTE_TYPES                                                                             \
    (CPU_ALL_TYPES & ~(CPU_TYPE(HE_STRING) | CPU_TYPE(HE_UINT4) | CPU_TYPE(HE_INT4) |              \
                       CPU_TYPE(HE_FLOAT4E2M1) | CPU_TYPE(HE_UINT2) | CPU_TYPE(HE_INT2)))
#define CPU_NUMBER_TYPES (CPU_FLOATS | CPU_HALVES | CPU_INTEGERS)

/* --- Operands --- */

/* Copies the elements of an int8...int64 input, at most @capacity, as int64. */
he_status cpu_read_ints(const struct cpu_call *call, size_t k, int64_t *out, size_t capacity,
                        size_t *count);
/* One number from an input of any real type. */
he_status cpu_read_int(const struct cpu_call *call, size_t k, int64_t *out);
he_status cpu_read_double(const struct cpu_call *call, size_t k, double *out);

/* HE_ERR_SHAPE with a sentence unless output @k has the type of @like and this shape. */
he_status cpu_expect_output(const struct cpu_call *call, size_t k, enum he_dtype dtype,
                            const struct he_shape *shape);
/* "[2, 3]" in a small buffer, for sentences. */
#define CPU_SHAPE_TEXT 200
const char *cpu_shape_text(const struct he_shape *shape, char text[CPU_SHAPE_TEXT]);

/* --- The strided copy --- */

/*
 * The same box of elements in two memories. Strides are in bytes, may be
 * negative or (in the source) zero; the dimensions may come in any order, as
 * long as both sides agree. Tile makes two dimensions of each, hence the maximum.
 */
#define CPU_BOX_RANK (2 * HE_MAX_RANK)
struct cpu_box {
    uint32_t rank;
    int64_t dims[CPU_BOX_RANK];
    int64_t src[CPU_BOX_RANK], dst[CPU_BOX_RANK];
};

static inline void cpu_box_add(struct cpu_box *box, int64_t dim, int64_t src, int64_t dst)
{
    box->dims[box->rank] = dim;
    box->src[box->rank] = src;
    box->dst[box->rank] = dst;
    box->rank++;
}

/* Copies a box of elements of 1, 2, 4, 8 or 16 bytes. The memories do not overlap. */
void cpu_box_copy(struct cpu_team *team, size_t element_bytes, const struct cpu_box *box,
                  const void *src, void *dst);
/* Copies all of @src into @dst, which has the same dimensions and element size. */
void cpu_tensor_copy(struct cpu_team *team, const struct he_tensor *src,
                     const struct he_tensor *dst);
/* Sets all of @dst to one element. */
void cpu_tensor_fill(struct cpu_team *team, const struct he_tensor *dst, const void *element);
/* Copies dense bytes on all threads. */
void cpu_bytes_copy(struct cpu_team *team, void *dst, const void *src, size_t bytes);

#endif
