/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second opinion on ONNX files: the parser that protobuf-c generates from the
 * system's onnx.proto. For files we trust only; it has no depth limit.
 */
#ifndef TESTS_SUPPORT_ONNX_ORACLE_H
#define TESTS_SUPPORT_ONNX_ORACLE_H

#include "model/model.h"

/* NULL when the oracle reads the same document out of the bytes as @model is
 * (parsed, not inlined); else what differs first. */
const char *onnx_oracle_difference(const void *data, size_t size, const struct he_model *model);
/* The same for a lone TensorProto. */
const char *onnx_oracle_tensor_difference(const void *data, size_t size,
                                          const struct onnx_tensor *tensor);

#endif
