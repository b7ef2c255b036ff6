/* SPDX-License-Identifier: Apache-2.0 */
/* Into and out of quantised numbers. (The products of them stand in conv.c and matrix.c.) */
#include <inttypes.h>

#include "ops/infer.h"

/* A scale is a scalar, one per slice of axis, or (blocked) a smaller tensor of x's rank. */
static he_status want_scale(const struct he_node *node, const struct he_value *x,
                            const struct he_value *scale)
{
    int64_t block = he_node_int(node, "block_size", 0), length = he_infer_length(scale);
    uint32_t axis;
    he_status status;

    if (!he_has_rank(x) || !he_has_rank(scale) || scale->shape.rank == 0 || length == 1)
        return HE_OK;
    if (scale->shape.rank == 1 && x->shape.rank <= 1 && block == 0)
        return HE_OK;
    status = he_infer_axis(node, he_node_int(node, "axis", 1), x->shape.rank, &axis);
    if (status != HE_OK)
        return status;
    if (block == 0 && scale->shape.rank == 1) {
        if (he_dim_conflict(scale->shape.dims[0], x->shape.dims[axis]))
            return he_infer_error(node, "scale %s does not fit axis %u of %s",
                                  he_infer_text(scale).s, axis, he_infer_text(x).s);
        return HE_OK;
    }
    if (scale->shape.rank != x->shape.rank)
        return he_infer_error(node, "ranks differ: the input is %s, the scale %s",
                              he_infer_text(x).s, he_infer_text(scale).s);
    return HE_OK;
}

static he_status read_output_type(const struct he_node *node, enum he_dtype *dtype)
{
    int64_t wanted = he_node_int(node, "output_dtype", HE_DTYPE_NONE);

    if (wanted < HE_DTYPE_NONE || wanted >= HE_DTYPE_COUNT)
        return he_infer_error(node, "output_dtype is %" PRId64 ", no type", wanted);
    if (wanted != HE_DTYPE_NONE)
        *dtype = (enum he_dtype)wanted;
    return HE_OK;
}

static HE_INFER_RULE(infer_quantize)
{
    enum he_dtype dtype = in[2] ? in[2]->dtype : HE_UINT8;
    he_status status = want_scale(node, in[0], in[1]);

    if (status == HE_OK && !in[2])
        status = read_output_type(node, &dtype);
    if (status == HE_OK)
        he_infer_set(out[0], dtype, &in[0]->shape);
    return status;
}

static HE_INFER_RULE(infer_dequantize)
{
    /* Until opset 18 scales are float32. */
    enum he_dtype dtype = node->opset < 19 ? HE_FLOAT32 : in[1]->dtype;
    he_status status = want_scale(node, in[0], in[1]);

    if (status == HE_OK)
        status = he_infer_want_same_type(node, in[0], "the input", in[2], "the zero point");
    if (status == HE_OK)
        status = read_output_type(node, &dtype);
    if (status == HE_OK)
        he_infer_set(out[0], dtype, &in[0]->shape);
    return status;
}

static HE_INFER_RULE(infer_dynamic_quantize)
{
    he_infer_set(out[0], HE_UINT8, &in[0]->shape);
    he_infer_set_dims(out[1], HE_FLOAT32, 0, NULL);
    he_infer_set_dims(out[2], HE_UINT8, 0, NULL);
    return HE_OK;
}

/* Divide, round, add, clamp; the dynamic one looks for the extremes first. */
static HE_WORK_RULE(work_quantize)
{
    work->flops = (in[1] ? 4 : 6) * he_work_count(in[0], work);
}

static HE_WORK_RULE(work_dequantize)
{
    work->flops = 2 * he_work_count(in[0], work);
}

static const struct he_op rows[] = {
    { .name = "DequantizeLinear", .domain = "",
      .versions = HE_VERSIONS(10, 13, 19, 21, 23, 24, 25, 28), .infer = infer_dequantize,
      .work = work_dequantize, .access = HE_ACCESS_BROADCAST, .work_class = HE_WORK_ELEMENTWISE,
      .split_axes = HE_SPLIT_BATCH, .min_inputs = 2, .max_inputs = 3, .max_outputs = 1 },
    { .name = "DynamicQuantizeLinear", .domain = "", .versions = HE_VERSIONS(11),
      .infer = infer_dynamic_quantize, .work = work_quantize, .access = HE_ACCESS_REDUCE,
      .work_class = HE_WORK_REDUCTION, .split_axes = HE_SPLIT_NONE, .min_inputs = 1,
      .max_inputs = 1, .max_outputs = 3 },
    { .name = "QuantizeLinear", .domain = "",
      .versions = HE_VERSIONS(10, 13, 19, 21, 23, 24, 25, 28), .infer = infer_quantize,
      .work = work_quantize, .access = HE_ACCESS_BROADCAST, .work_class = HE_WORK_ELEMENTWISE,
      .split_axes = HE_SPLIT_BATCH, .min_inputs = 2, .max_inputs = 3, .max_outputs = 1 },
};

const struct he_op_table he_ops_quant = { rows, HE_COUNT(rows) };
