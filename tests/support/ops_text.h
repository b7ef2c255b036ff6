/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One node and its values as a line of text, so that a case of a shape rule reads
 * like its own explanation.
 *
 *   values      f[2,n] i[2]{1,-1} i[2]<n,4> f[...] ?[2] -
 *   attributes  axis=1 pads=[0,0,1,1] alpha=0.5 scales=[1.0,2.0] mode=linear value=i[1]{7}
 *
 * Types: f float32, d float64, h float16, g bfloat16, i int64, j int32, u uint8, c int8,
 * b bool, s string, ? unknown. A letter in a shape is a symbol, ? an unknown size; [...] an
 * unknown rank; {} constant contents, <> known_ints; - an omitted input.
 */
#ifndef HE_TESTS_OPS_TEXT_H
#define HE_TESTS_OPS_TEXT_H

#include <heteroengine/graph.h>

#define OPS_TEXT_MAX 24 /* values or attributes in a line */

struct ops_text {
    struct he_node node;
    struct he_value values[2 * OPS_TEXT_MAX]; /* inputs, then outputs */
    const struct he_value *in[OPS_TEXT_MAX];
    struct he_value *out[OPS_TEXT_MAX];
    uint32_t in_index[OPS_TEXT_MAX], out_index[OPS_TEXT_MAX];
    struct he_attr attrs[OPS_TEXT_MAX];
    struct he_value tensors[OPS_TEXT_MAX];
    void *blocks[16 * OPS_TEXT_MAX]; /* freed by ops_text_fini() */
    size_t block_count;
};

/* Aborts on text it cannot read: a mistake in the test. @domain is "" or a name. */
void ops_text_init(struct ops_text *text, const char *op, int opset, const char *attrs,
                   const char *inputs, uint32_t output_count);
void ops_text_fini(struct ops_text *text);
/* The outputs in the same notation, one space between them. */
const char *ops_text_outputs(const struct ops_text *text, char *buffer, size_t size);

#endif
