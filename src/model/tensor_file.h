/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors in files, for the tools and the tests: what a model is fed and what it
 * gives. The suffix says the format:
 *
 *   .pb   TensorProto, as in ONNX test data
 *   .npy  numpy's format, versions 1 to 3, C order, little endian
 *   .bin  the bare bytes; type and shape have to come from elsewhere
 *
 * Strings (.pb only) are an array of const char *.
 */
#ifndef HE_MODEL_TENSOR_FILE_H
#define HE_MODEL_TENSOR_FILE_H

#include <heteroengine/types.h>

#include "core/alloc.h"

/*
 * Reads @path into @arena, dense and aligned to 64 bytes.
 *
 * @want_dtype and @want_shape say what is expected: HE_DTYPE_NONE and NULL take
 * anything, and so does every dimension that is not a number. A file that does
 * not fit is HE_ERR_SHAPE. A .bin file needs the type, and a shape with at most
 * one open dimension, which its size then decides. bfloat16 and the 8-bit
 * floats, unknown to numpy, are read from .npy files of bare bytes ("V2", "V1")
 * or unsigned integers of that size when @want_dtype asks for them.
 */
he_status he_tensor_file_read(const char *path, const struct he_allocator *alloc,
                              enum he_dtype want_dtype, const struct he_shape *want_shape,
                              struct he_arena *arena, struct he_tensor *out) HE_MUST_CHECK;

/* Writes a dense tensor; the suffix of @path chooses the format. */
he_status he_tensor_file_write(const char *path, const struct he_tensor *tensor) HE_MUST_CHECK;

#endif
