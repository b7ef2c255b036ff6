/* SPDX-License-Identifier: Apache-2.0 */
/* Are two documents the same? Each gives NULL for yes, else what differs first. */
#ifndef TESTS_SUPPORT_ONNX_EQUAL_H
#define TESTS_SUPPORT_ONNX_EQUAL_H

#include "model/model.h"

const char *onnx_tensor_difference(const struct onnx_tensor *a, const struct onnx_tensor *b);
const char *onnx_graph_difference(const struct onnx_graph *a, const struct onnx_graph *b);
const char *onnx_model_difference(const struct he_model *a, const struct he_model *b);

#endif
