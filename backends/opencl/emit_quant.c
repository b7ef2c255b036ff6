/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantised operators: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, and the products
 * MatMulInteger and QLinearMatMul, one work-item for each element. Sums are int32, as
 * the operators' definitions have them. Convolutions are in emit_direct.c.
 */
#include <string.h>

#include "build.h"

#define LL(x) ((long long)(x))

static bool range_of(enum he_dtype dtype, int *low, int *high)
{
    switch (dtype) {
    case HE_UINT8:
        *low = 0, *high = 255;
        return true;
    case HE_INT8:
        *low = -128, *high = 127;
        return true;
    case HE_UINT16:
        *low = 0, *high = 65535;
        return true;
    case HE_INT16:
        *low = -32768, *high = 32767;
        return true;
    default:
        return false;
    }
}

/* "k": which scale element o has. */
static he_status put_scale_index(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    int64_t count = he_shape_count(&opencl_input(b, node, 1)->shape);
    int64_t block = he_node_int(node, "block_size", 0), axis = he_node_int(node, "axis", 1);
    int64_t inner, blocks;

    if (count == 1 && !block) {
        opencl_line(b, "const uint k = 0;");
        return HE_OK;
    }
    axis += axis < 0 ? x->rank : 0;
    if (axis < 0 || axis >= x->rank)
        return opencl_refuse(node, "axis %lld of rank %u", LL(axis), x->rank);
    inner = opencl_product(x, (uint32_t)axis + 1, x->rank);
    if (!block) {
        if (count != x->dims[axis])
            return opencl_refuse(node, "%lld scales for an axis of %lld", LL(count),
                                 LL(x->dims[axis]));
        opencl_line(b, "const uint k = o / %lldu %% %lldu;", LL(inner), LL(x->dims[axis]));
        return HE_OK;
    }
    blocks = (x->dims[axis] + block - 1) / block;
    opencl_line(b, "const uint k = (o / %lldu * %lldu + o / %lldu %% %lldu / %lldu) * %lldu + o %% %lldu;",
                LL(inner * x->dims[axis]), LL(blocks), LL(inner), LL(x->dims[axis]), LL(block),
                LL(inner), LL(inner));
    return HE_OK;
}

/* Rounded to even, then moved, all in float: what is out of range never reaches an int. */
static void put_quantized(struct opencl_build *b, const char *from, const char *zero, int low,
                          int high)
{
    opencl_line(b, "const float least = (float)(%d - %s), most = (float)(%d - %s);", low, zero, high,
                zero);
    opencl_line(b, "float y = rint(%s);\ny = y > least ? y : least;\ny = y < most ? y : most;", from);
    opencl_line(b, "const int q = (int)y + %s;", zero);
}

static he_status emit_quantize(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *x = opencl_input(b, node, 0), *y = opencl_output(b, node, 0);
    int64_t count = he_shape_count(&x->shape);
    bool has_zero = opencl_input(b, node, 2) != NULL;
    int low, high;
    he_status status;

    if (!range_of(y->dtype, &low, &high) ||
        (!opencl_is_float(x->dtype) && x->dtype != HE_INT32) ||
        !opencl_is_float(opencl_input(b, node, 1)->dtype))
        return opencl_refuse(node, "%s to %s", he_dtype_name(x->dtype), he_dtype_name(y->dtype));
    opencl_begin_each(b, count);
    status = put_scale_index(b, node);
    if (status != HE_OK)
        return status;
    opencl_line(b, "const float v = (float)X%d(o) / X%d(k);", opencl_read(b, node->inputs[0]),
                opencl_read(b, node->inputs[1]));
    if (has_zero)
        opencl_line(b, "const int zero = (int)X%d(k);", opencl_read(b, node->inputs[2]));
    put_quantized(b, "v", has_zero ? "zero" : "0", low, high);
    opencl_result(b, "o", "q");
    return opencl_end_each(b, count);
}

static he_status emit_dequantize(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *x = opencl_input(b, node, 0), *y = opencl_output(b, node, 0);
    int64_t count = he_shape_count(&x->shape);
    int in, low, high;
    he_status status;

    if ((!range_of(x->dtype, &low, &high) && x->dtype != HE_INT32) || !opencl_is_float(y->dtype) ||
        !opencl_is_float(opencl_input(b, node, 1)->dtype))
        return opencl_refuse(node, "%s to %s", he_dtype_name(x->dtype), he_dtype_name(y->dtype));
    opencl_begin_each(b, count);
    status = put_scale_index(b, node);
    if (status != HE_OK)
        return status;
    in = opencl_read(b, node->inputs[0]);
    if (opencl_input(b, node, 2))
        opencl_line(b, "const int q = (int)X%d(o) - (int)X%d(k);", in,
                    opencl_read(b, node->inputs[2]));
    else
        opencl_line(b, "const int q = (int)X%d(o);", in);
    opencl_line(b, "const float v = (float)q * X%d(k);", opencl_read(b, node->inputs[1]));
    opencl_result(b, "o", "v");
    return opencl_end_each(b, count);
}

/* One row finds scale and zero point, a second kernel quantises with them. */
static he_status emit_dynamic(struct opencl_build *b, const struct he_node *node)
{
    int64_t count = he_shape_count(&opencl_input(b, node, 0)->shape);
    struct opencl_rows rows;
    he_status status = opencl_need_float(b, node);
    int in, scale, zero;

    if (status != HE_OK)
        return status;
    for (uint32_t k = 0; k < 3; k++)
        if (!opencl_output(b, node, k))
            return opencl_refuse(node, "all three outputs are needed");
    opencl_begin_rows(b, &rows, 1, count, false);
    in = opencl_read(b, node->inputs[0]);
    scale = opencl_write(b, node->outputs[1]);
    zero = opencl_write(b, node->outputs[2]);
    opencl_line(b, "float low = 0.0f, high = 0.0f;");
    opencl_line(b, "for (uint i = lane; i < %lldu; i += lanes) {\nconst float v = X%d(i);", LL(count),
                in);
    opencl_line(b, "low = fmin(low, v);\nhigh = fmax(high, v);\n}");
    opencl_join_lanes(b, &rows, "low", "fmin(l, r)");
    opencl_join_lanes(b, &rows, "high", "fmax(l, r)");
    opencl_line(b, "if (lane == 0u) {\nfloat scale = (high - low) / 255.0f;");
    opencl_line(b, "if (scale == 0.0f) scale = 1.0f;\nS%d(0, scale);", scale);
    opencl_line(b, "S%d(0, (uchar)clamp(rint(0.0f - low / scale), 0.0f, 255.0f));\n}", zero);
    status = opencl_end_rows(b, &rows);
    if (status != HE_OK)
        return status;
    opencl_begin_each(b, count);
    opencl_line(b, "const float v = X%d(o) / X%d(0);\nconst int zero = X%d(0);",
                opencl_read(b, node->inputs[0]), opencl_read(b, node->outputs[1]),
                opencl_read(b, node->outputs[2]));
    put_quantized(b, "v", "zero", 0, 255);
    opencl_line(b, "S%d(o, q);", opencl_write(b, node->outputs[0]));
    return opencl_end_each(b, count);
}

/* --- Products --- */

static bool is_byte(const struct he_value *value)
{
    return value && (value->dtype == HE_UINT8 || value->dtype == HE_INT8);
}

/* "(int)X3(row)" of a scale or zero point per row or column; one for all: index 0. */
static void put_per(struct opencl_build *b, const struct he_node *node, uint32_t k,
                    const char *type, const char *name, const char *index)
{
    const struct he_value *value = opencl_input(b, node, k);

    if (!value) {
        opencl_line(b, "const %s %s = 0;", type, name);
        return;
    }
    opencl_line(b, "const %s %s = (%s)X%d(%s);", type, name, type,
                opencl_read(b, node->inputs[k]), he_shape_count(&value->shape) == 1 ? "0" : index);
}

static he_status emit_product(struct opencl_build *b, const struct he_node *node)
{
    bool is_linear = opencl_is(node, "QLinearMatMul");
    const struct he_value *va = opencl_input(b, node, 0), *vb = opencl_input(b, node, is_linear ? 3 : 1);
    const struct he_value *y = opencl_output(b, node, 0);
    struct he_shape batch_y, batch_a, batch_b, sa, sb;
    int64_t m, n, depth, count = he_shape_count(&y->shape);
    int a, bb, low = 0, high = 0;

    if (!is_byte(va) || !is_byte(vb) || (is_linear && !range_of(y->dtype, &low, &high)))
        return opencl_refuse(node, "products of 8-bit numbers are done");
    sa = va->shape;
    sb = vb->shape;
    if (sa.rank < 1 || sb.rank < 1)
        return opencl_refuse(node, "a scalar");
    if (sa.rank == 1) /* a row */
        sa = (struct he_shape){ .rank = 2, .dims = { 1, sa.dims[0] } };
    if (sb.rank == 1) /* a column */
        sb = (struct he_shape){ .rank = 2, .dims = { sb.dims[0], 1 } };
    m = sa.dims[sa.rank - 2];
    depth = sa.dims[sa.rank - 1];
    n = sb.dims[sb.rank - 1];
    if (sb.dims[sb.rank - 2] != depth)
        return opencl_refuse(node, "its matrices do not fit");
    for (uint32_t k = 0; k < node->input_count; k++)
        if (opencl_input(b, node, k) && k != 0 && opencl_input(b, node, k) != vb &&
            opencl_input(b, node, k)->shape.rank > 1 &&
            he_shape_count(&opencl_input(b, node, k)->shape) > 1)
            return opencl_refuse(node, "scales and zero points that differ between matrices");
    if (!count)
        return HE_OK;
    /* The matrices in front of the last two dimensions are broadcast as elements are. */
    batch_a = sa;
    batch_b = sb;
    batch_a.rank -= 2;
    batch_b.rank -= 2;
    batch_y = batch_a.rank > batch_b.rank ? batch_a : batch_b;
    for (uint32_t d = 0; d < batch_y.rank; d++) {
        int64_t da = d < batch_a.rank ? batch_a.dims[batch_a.rank - 1 - d] : 1;
        int64_t db = d < batch_b.rank ? batch_b.dims[batch_b.rank - 1 - d] : 1;

        batch_y.dims[batch_y.rank - 1 - d] = da == 1 ? db : da;
    }
    opencl_begin_each(b, count);
    a = opencl_read(b, node->inputs[0]);
    bb = opencl_read(b, node->inputs[is_linear ? 3 : 1]);
    opencl_line(b, "const uint column = o %% %lldu, row = o / %lldu %% %lldu, batch = o / %lldu;",
                LL(n), LL(n), LL(m), LL(n * m));
    put_per(b, node, 2, "int", "a_zero", "row");
    put_per(b, node, is_linear ? 5 : 3, "int", "b_zero", "column");
    opencl_text_printf(&b->body, "const uint a_base = (");
    opencl_broadcast_index(b, &batch_y, &batch_a, "batch");
    opencl_text_printf(&b->body, ") * %lldu + row * %lldu;\nconst uint b_base = (", LL(m * depth),
                       LL(depth));
    opencl_broadcast_index(b, &batch_y, &batch_b, "batch");
    opencl_line(b, ") * %lldu + column;\nint acc = 0;", LL(depth * n));
    opencl_line(b, "for (uint k = 0; k < %lldu; k++)", LL(depth));
    opencl_line(b, "acc += ((int)X%d(a_base + k) - a_zero) * ((int)X%d(b_base + k * %lldu) - b_zero);",
                a, bb, LL(n));
    if (!is_linear) {
        opencl_result(b, "o", "acc");
        return opencl_end_each(b, count);
    }
    put_per(b, node, 1, "float", "a_scale", "row");
    put_per(b, node, 4, "float", "b_scale", "column");
    put_per(b, node, 6, "float", "y_scale", "column");
    put_per(b, node, 7, "int", "zero", "column");
    opencl_line(b, "const float v = (float)acc * (a_scale * b_scale / y_scale);");
    put_quantized(b, "v", "zero", low, high);
    opencl_result(b, "o", "q");
    return opencl_end_each(b, count);
}

static const struct opencl_emitter emitters[] = {
    { "QuantizeLinear", emit_quantize, true },
    { "DequantizeLinear", emit_dequantize, true },
    { "DynamicQuantizeLinear", emit_dynamic, false },
    { "MatMulInteger", emit_product, true },
    { "QLinearMatMul", emit_product, true },
};
const struct opencl_emitter_table opencl_quant_table = { emitters,
                                                         sizeof emitters / sizeof emitters[0] };
