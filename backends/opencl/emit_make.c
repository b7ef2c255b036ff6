/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors made from a shape or a few numbers: ConstantOfShape, Range, Shape, Size, EyeLike, OneHot,
 * Trilu, and the windows of signal processing.
 */
#include <string.h>

#include "build.h"

#define LL(x) ((long long)(x))

static he_status emit_fill(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *y = opencl_output(b, node, 0);
    const struct he_attr *attr = he_node_attr(node, "value");
    int64_t count = he_shape_count(&y->shape);
    unsigned long long bits = 0;
    size_t size = he_dtype_bits(y->dtype) / 8;
    int out;

    if (attr && attr->kind == HE_ATTR_TENSOR) {
        if (attr->tensor->data_bytes != size || size > sizeof bits)
            return opencl_refuse(node, "its value is not one element");
        memcpy(&bits, attr->tensor->data, size); /* little endian, as all devices here */
    }
    opencl_begin_each(b, count);
    out = opencl_write_bits(b, node->outputs[0]);
    opencl_line(b, "S%d(o, 0x%llxUL);", out, bits);
    return opencl_end_each(b, count);
}

static he_status emit_range(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *y = opencl_output(b, node, 0);
    int64_t count = he_shape_count(&y->shape);
    const char *type = opencl_type(b, y->dtype);
    int start, delta, out;

    if (!type || y->dtype == HE_BOOL)
        return opencl_refuse(node, "type %s is not done", he_dtype_name(y->dtype));
    opencl_begin_each(b, count);
    start = opencl_read(b, node->inputs[0]);
    delta = opencl_read(b, node->inputs[2]);
    out = opencl_write(b, node->outputs[0]);
    opencl_line(b, "S%d(o, (%s)(X%d(0) + (%s)o * X%d(0)));", out, type, start, type, delta);
    return opencl_end_each(b, count);
}

/* Shape and Size: all is known when the kernel is written. */
static he_status emit_shape(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    int64_t start = he_node_int(node, "start", 0), end = he_node_int(node, "end", x->rank);
    int out;

    opencl_begin_each(b, 1);
    out = opencl_write(b, node->outputs[0]);
    if (opencl_is(node, "Size")) {
        opencl_line(b, "S%d(0, %lldL);", out, LL(he_shape_count(x)));
        return opencl_end_each(b, 1);
    }
    start += start < 0 ? x->rank : 0;
    end += end < 0 ? x->rank : 0;
    start = start < 0 ? 0 : start > x->rank ? x->rank : start;
    end = end < start ? start : end > x->rank ? x->rank : end;
    for (int64_t d = start; d < end; d++)
        opencl_line(b, "S%d(%lld, %lldL);", out, LL(d - start), LL(x->dims[d]));
    return opencl_end_each(b, 1);
}

static he_status emit_eye(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *y = opencl_output(b, node, 0);
    int64_t count = he_shape_count(&y->shape), columns;
    int out;

    if (y->shape.rank != 2 || !opencl_type(b, y->dtype))
        return opencl_refuse(node, "rank %u of %s", y->shape.rank, he_dtype_name(y->dtype));
    if (!count)
        return HE_OK;
    columns = y->shape.dims[1];
    opencl_begin_each(b, count);
    out = opencl_write(b, node->outputs[0]);
    opencl_line(b, "S%d(o, (%s)((long)(o %% %lldu) == (long)(o / %lldu) + %lldL ? 1 : 0));", out,
                opencl_type(b, y->dtype), LL(columns), LL(columns), LL(he_node_int(node, "k", 0)));
    return opencl_end_each(b, count);
}

static he_status emit_one_hot(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *indices = opencl_input(b, node, 0), *y = opencl_output(b, node, 0);
    int64_t count = he_shape_count(&y->shape), axis = he_node_int(node, "axis", -1), inner, depth;
    int in, values, out;

    axis += axis < 0 ? y->shape.rank : 0;
    if (axis < 0 || axis >= y->shape.rank || !opencl_type(b, indices->dtype))
        return opencl_refuse(node, "axis %lld, indices of %s", LL(axis),
                             he_dtype_name(indices->dtype));
    if (!count)
        return HE_OK;
    inner = opencl_product(&y->shape, (uint32_t)axis + 1, y->shape.rank);
    depth = y->shape.dims[axis];
    opencl_begin_each(b, count);
    in = opencl_read(b, node->inputs[0]);
    values = opencl_read_bits(b, node->inputs[2]);
    out = opencl_write_bits(b, node->outputs[0]);
    opencl_line(b, "long k = (long)X%d(o / %lldu * %lldu + o %% %lldu);", in, LL(inner * depth),
                LL(inner), LL(inner));
    opencl_line(b, "k += k < 0 ? %lldL : 0L;", LL(depth));
    opencl_line(b, "S%d(o, k == (long)(o / %lldu %% %lldu) ? X%d(1) : X%d(0));", out, LL(inner),
                LL(depth), values, values);
    return opencl_end_each(b, count);
}

static he_status emit_trilu(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    int64_t count = he_shape_count(x), k = 0;
    bool is_upper = he_node_int(node, "upper", 1) != 0;
    size_t length;
    int in, out;

    if (x->rank < 2)
        return opencl_refuse(node, "rank %u", x->rank);
    if (opencl_input(b, node, 1) && !opencl_ints(opencl_input(b, node, 1), &k, 1, &length))
        return opencl_refuse(node, "its diagonal is not known beforehand");
    if (!count)
        return HE_OK;
    opencl_begin_each(b, count);
    in = opencl_read_bits(b, node->inputs[0]);
    out = opencl_write_bits(b, node->outputs[0]);
    opencl_line(b, "const long right = (long)(o %% %lldu) - (long)(o / %lldu %% %lldu);",
                LL(x->dims[x->rank - 1]), LL(x->dims[x->rank - 1]), LL(x->dims[x->rank - 2]));
    opencl_line(b, "S%d(o, right %s %lldL ? X%d(o) : 0);", out, is_upper ? ">=" : "<=", LL(k), in);
    return opencl_end_each(b, count);
}

static he_status emit_window(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *y = opencl_output(b, node, 0);
    int64_t count = he_shape_count(&y->shape), over;
    bool is_double = y->dtype == HE_FLOAT64;
    const char *type = opencl_type(b, y->dtype);
    int out;

    if (!type || !he_dtype_is_float(y->dtype))
        return opencl_refuse(node, "type %s is not done", he_dtype_name(y->dtype));
    over = he_node_int(node, "periodic", 1) ? count : count - 1;
    opencl_begin_each(b, count);
    out = opencl_write(b, node->outputs[0]);
    /* Half turns: cospi() is exact where cos() of a rounded angle is not. */
    opencl_line(b, "const %s turn = 2 * (%s)o / (%s)%lld;", type, type, type, LL(over ? over : 1));
    opencl_line(b,
                opencl_is(node, "HannWindow") ? "const %s w = (%s)0.5%s - (%s)0.5%s * cospi(turn);"
                : opencl_is(node, "HammingWindow")
                    ? "const %s w = (%s)(25.0%s / 46.0f) - (%s)(21.0%s / 46.0f) * cospi(turn);"
                    : "const %s w = (%s)0.42%s - (%s)0.5%s * cospi(turn) + 0.08f * cospi(2 * turn);",
                type, type, is_double ? "" : "f", type, is_double ? "" : "f");
    opencl_line(b, "S%d(o, w);", out);
    return opencl_end_each(b, count);
}

/* Inference with the mask asked for: nothing is dropped. (Without it, it is a view.) */
static he_status emit_dropout(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *x = opencl_input(b, node, 0), *training = opencl_input(b, node, 2);
    int64_t count = he_shape_count(&x->shape);

    if (training && !(training->data && !*(const char *)training->data))
        return opencl_refuse(node, "training is not done");
    opencl_begin_each(b, count);
    if (opencl_output(b, node, 0))
        opencl_line(b, "S%d(o, X%d(o));", opencl_write_bits(b, node->outputs[0]),
                    opencl_read_bits(b, node->inputs[0]));
    if (opencl_output(b, node, 1))
        opencl_line(b, "S%d(o, 1);", opencl_write_bits(b, node->outputs[1]));
    return opencl_end_each(b, count);
}

static const struct opencl_emitter emitters[] = {
    { "Dropout", emit_dropout, false },
    { "ConstantOfShape", emit_fill, false }, { "Range", emit_range, false },
    { "Shape", emit_shape, false },          { "Size", emit_shape, false },
    { "EyeLike", emit_eye, false },          { "OneHot", emit_one_hot, false },
    { "Trilu", emit_trilu, false },          { "HannWindow", emit_window, false },
    { "HammingWindow", emit_window, false }, { "BlackmanWindow", emit_window, false },
};
const struct opencl_emitter_table opencl_make_table = { emitters,
                                                        sizeof emitters / sizeof emitters[0] };
