/* SPDX-License-Identifier: Apache-2.0 */
/* The header of numpy's .npy files. */
#ifndef HE_MODEL_NPY_H
#define HE_MODEL_NPY_H

#include <heteroengine/types.h>

#include "core/text.h"

struct he_npy_header {
    enum he_dtype dtype;
    struct he_shape shape; /* static, and its bytes do not overflow */
    size_t data_offset;    /* at most the size of the file */
};

/* @want settles types numpy has no name for; HE_DTYPE_NONE: none of those. */
he_status he_npy_parse(const void *data, size_t size, enum he_dtype want,
                       struct he_npy_header *out) HE_MUST_CHECK;
he_status he_npy_write_header(enum he_dtype dtype, const struct he_shape *shape,
                              struct he_text *out) HE_MUST_CHECK;

#endif
