/* SPDX-License-Identifier: Apache-2.0 */
/* Gather and GatherElements. An index outside is taken to the nearest one inside: no kernel may read
 * where it should not. */
#include "box.h"

#define LL(x) ((long long)(x))

static he_status read_nodes(const struct opencl_build *b, const struct he_node *node,
                            uint32_t *axis)
{
    const struct he_value *x = opencl_input(b, node, 0), *indices = opencl_input(b, node, 1);
    int64_t given = he_node_int(node, "axis", 0);

    if (!x || !indices || (indices->dtype != HE_INT64 && indices->dtype != HE_INT32))
        return opencl_refuse(node, "its indices must be int32 or int64");
    given += given < 0 ? x->shape.rank : 0;
    if (given < 0 || given >= x->shape.rank)
        return opencl_refuse(node, "axis %lld of rank %u", LL(given), x->shape.rank);
    *axis = (uint32_t)given;
    return HE_OK;
}

static void emit_index(struct opencl_build *b, int indices, const char *at, int64_t dim)
{
    opencl_line(b, "long k = (long)X%d(%s);\nif (k < 0) k += %lldL;", indices, at, LL(dim));
    opencl_line(b, "k = k < 0 ? 0 : k > %lldL ? %lldL : k;", LL(dim - 1), LL(dim - 1));
}

static he_status emit_gather(struct opencl_build *b, const struct he_node *node)
{
    int64_t inner, index_count, count = he_shape_count(&opencl_output(b, node, 0)->shape);
    const struct he_value *x = opencl_input(b, node, 0);
    int in, indices, out;
    const char *type;
    uint32_t axis;
    int64_t by;
    he_status status = read_nodes(b, node, &axis);

    if (status != HE_OK || !count)
        return status;
    if (!opencl_bits_type(he_dtype_bits(x->dtype) / 8))
        return opencl_refuse(node, "type %s is not done", he_dtype_name(x->dtype));
    inner = opencl_product(&x->shape, axis + 1, x->shape.rank);
    index_count = he_shape_count(&opencl_input(b, node, 1)->shape);
    by = opencl_join_run(inner, he_dtype_bits(x->dtype) / 8, &type);
    inner /= by;
    count /= by;
    opencl_begin_each(b, count);
    in = opencl_read_bits(b, node->inputs[0]);
    indices = opencl_read(b, node->inputs[1]);
    out = opencl_write_bits(b, node->outputs[0]);
    opencl_line(b, "__global const %s *restrict in = (__global const %s *)x%d;", type, type, in);
    opencl_line(b, "__global %s *restrict out = (__global %s *)x%d;", type, type, out);
    opencl_line(b, "const uint i = o %% %lldu, j = o / %lldu %% %lldu, a = o / %lldu;", LL(inner),
                LL(inner), LL(index_count), LL(inner * index_count));
    emit_index(b, indices, "j", x->shape.dims[axis]);
    opencl_line(b, "out[o] = in[(a * %lldu + (uint)k) * %lldu + i];", LL(x->shape.dims[axis]),
                LL(inner));
    return opencl_end_each(b, count);
}

static he_status emit_elements(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *y = &opencl_output(b, node, 0)->shape;
    const struct he_value *x = opencl_input(b, node, 0);
    int64_t strides[HE_MAX_RANK], stride, count = he_shape_count(y);
    int in, indices, out;
    uint32_t axis;
    he_status status = read_nodes(b, node, &axis);

    if (status != HE_OK || !count)
        return status;
    if (y->rank != x->shape.rank)
        return opencl_refuse(node, "its output has rank %u, its data %u", y->rank, x->shape.rank);
    opencl_strides(&x->shape, strides);
    stride = strides[axis];
    strides[axis] = 0;
    opencl_begin_each(b, count);
    in = opencl_read_bits(b, node->inputs[0]);
    indices = opencl_read(b, node->inputs[1]);
    out = opencl_write_bits(b, node->outputs[0]);
    opencl_offset(b, "base", "o", y->rank, y->dims, strides, 0);
    emit_index(b, indices, "o", x->shape.dims[axis]);
    opencl_line(b, "S%d(o, X%d(base + (int)k * %lld));", out, in, LL(stride));
    return opencl_end_each(b, count);
}

static const struct opencl_emitter emitters[] = {
    { "Gather", emit_gather, false },
    { "GatherElements", emit_elements, false },
};
const struct opencl_emitter_table opencl_gather_table = { emitters,
                                                          sizeof emitters / sizeof emitters[0] };
