/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HETEROENGINE_MODEL_H
#define HETEROENGINE_MODEL_H

#include <heteroengine/allocator.h>
#include <heteroengine/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An ONNX model, read and checked. Immutable after loading; may be shared by threads. */
struct he_model;

/**
 * Reads an ONNX file. The file is mapped and stays mapped until the model is
 * destroyed: weights are not copied. @alloc may be NULL (malloc).
 *
 * Gives *out, to be freed with he_model_destroy(). HE_ERR_IO when a file cannot
 * be opened, HE_ERR_PARSE (with the byte offset) when it is damaged,
 * HE_ERR_UNSUPPORTED for an opset newer than this library knows.
 */
HE_API HE_MUST_CHECK he_status he_model_load(const char *path, const struct he_allocator *alloc,
                                             struct he_model **out);
/** NULL is fine. Nothing made from the model may be in use any more. */
HE_API void he_model_destroy(struct he_model *model);

/* What the model takes and gives, initializers excluded, in the graph's order. */
struct he_model_io {
    const char *name; /* owned by the model */
    enum he_dtype dtype;
    struct he_shape shape; /* symbols appear as HE_DIM_UNKNOWN; see dim_names */
    const char *dim_names[HE_MAX_RANK]; /* "" where the dimension has no name */
};

HE_API size_t he_model_input_count(const struct he_model *model);
HE_API size_t he_model_output_count(const struct he_model *model);
/** HE_ERR_INVALID when @index is out of range. */
HE_API HE_MUST_CHECK he_status he_model_input(const struct he_model *model, size_t index,
                                              struct he_model_io *out);
HE_API HE_MUST_CHECK he_status he_model_output(const struct he_model *model, size_t index,
                                               struct he_model_io *out);

#ifdef __cplusplus
}
#endif
#endif
