/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs as one line of text, so that a test can say what goes in and what
 * comes out:
 *
 *   x|y|t=LeakyRelu<alpha=0.5>(x) y=my.Scale<by=@alpha>(t)
 *
 * is a graph with input x, output y and two nodes. Between the bars are names,
 * comma separated; nodes stand one after the other. An attribute is an int (2),
 * a float (0.5), a reference (@name, to a float), or a graph in brackets
 * (then=[|z|z=Neg(x)]). A node's domain is before the last dot of its operator.
 */
#ifndef TESTS_SUPPORT_ONNX_TEXT_H
#define TESTS_SUPPORT_ONNX_TEXT_H

#include "core/text.h"
#include "model/model.h"

/* Both end the program when @text is not as above. */
void onnx_text_graph(struct he_arena *arena, const char *text, struct onnx_graph *out);
/* "alpha,beta" declares attributes, "alpha=1,beta=0.5" defaults. */
void onnx_text_function(struct he_arena *arena, const char *name, const char *graph,
                        const char *attr_names, const char *defaults, struct onnx_function *out);

/* The same form. Node names, if any, stand in front: "name:y=Relu(x)"; an opset
 * of the node's own behind: "y=Relu(x)^13". */
void onnx_text_print(const struct onnx_graph *graph, struct he_text *out);

#endif
