/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only moves elements, of any type by its size: Concat, Split, Slice, Expand, Tile, Pad,
 * DepthToSpace, SpaceToDepth. All but Pad are boxes of elements with a stride per dimension on
 * both sides (box.c).
 */
#include <string.h>

#include "box.h"

#define LL(x) ((long long)(x))

static bool read_axis(const struct he_node *node, uint32_t rank, int64_t fallback, int64_t *out)
{
    int64_t axis = he_node_int(node, "axis", fallback);

    *out = axis < 0 ? axis + rank : axis;
    return *out >= 0 && *out < rank;
}

/* A part of @whole along @axis, from @at on. */
static struct opencl_box part_of(const struct he_shape *whole, const struct he_shape *part,
                                 int64_t axis, int64_t at, bool part_is_source)
{
    struct opencl_box box = { .rank = part->rank };
    int64_t strides[HE_MAX_RANK];

    opencl_strides(whole, strides);
    memcpy(box.dims, part->dims, part->rank * sizeof *part->dims);
    opencl_strides(part, part_is_source ? box.from : box.to);
    memcpy(part_is_source ? box.to : box.from, strides, part->rank * sizeof *strides);
    *(part_is_source ? &box.to_base : &box.from_base) = at * strides[axis];
    return box;
}

static he_status emit_concat(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *y = opencl_output(b, node, 0);
    he_status status = HE_OK;
    int64_t axis, at = 0;

    if (!read_axis(node, y->shape.rank, 1, &axis))
        return opencl_refuse(node, "its axis does not exist");
    for (uint32_t k = 0; k < node->input_count && status == HE_OK; k++) {
        const struct he_value *x = opencl_input(b, node, k);
        struct opencl_box box;

        if (!x)
            continue;
        box = part_of(&y->shape, &x->shape, axis, at, true);
        at += x->shape.dims[axis];
        status = opencl_move_box(b, node->inputs[k], node->outputs[0], &box);
    }
    return status;
}

static he_status emit_split(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *x = opencl_input(b, node, 0);
    int64_t axis, at = 0, sizes[256];
    const int64_t *attribute;
    size_t count = he_node_ints(node, "split", &attribute), listed = count;
    he_status status = HE_OK;

    if (!read_axis(node, x->shape.rank, 0, &axis) || node->output_count > 256)
        return opencl_refuse(node, "its axis does not exist, or more than 256 parts");
    if (opencl_input(b, node, 1) && !opencl_ints(opencl_input(b, node, 1), sizes, 256, &listed))
        return opencl_refuse(node, "its sizes are not known beforehand");
    if (count && count <= 256)
        memcpy(sizes, attribute, count * sizeof *sizes);
    if (listed && listed != node->output_count)
        return opencl_refuse(node, "%zu sizes for %u outputs", listed, node->output_count);
    for (uint32_t k = 0; k < node->output_count && status == HE_OK; k++) {
        const struct he_value *y = opencl_output(b, node, k);
        int64_t even = (x->shape.dims[axis] + node->output_count - 1) / node->output_count;

        if (y) {
            struct opencl_box box = part_of(&x->shape, &y->shape, axis, at, false);

            status = opencl_move_box(b, node->inputs[0], node->outputs[k], &box);
        }
        at += listed ? sizes[k] : even;
    }
    return status;
}

struct slice {
    int64_t start[HE_MAX_RANK], step[HE_MAX_RANK];
};

static he_status read_slice(const struct opencl_build *b, const struct he_node *node,
                            struct slice *out)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    int64_t starts[HE_MAX_RANK], axes[HE_MAX_RANK], steps[HE_MAX_RANK];
    size_t count = 0, axis_count = 0, step_count = 0;
    const int64_t *list;

    if (node->opset < 10) {
        count = he_node_ints(node, "starts", &list);
        if (count && count <= HE_MAX_RANK)
            memcpy(starts, list, count * sizeof *starts);
        axis_count = he_node_ints(node, "axes", &list);
        if (axis_count && axis_count <= HE_MAX_RANK)
            memcpy(axes, list, axis_count * sizeof *axes);
    } else if (!opencl_ints(opencl_input(b, node, 1), starts, HE_MAX_RANK, &count) ||
               (opencl_input(b, node, 3) &&
                !opencl_ints(opencl_input(b, node, 3), axes, HE_MAX_RANK, &axis_count)) ||
               (opencl_input(b, node, 4) &&
                !opencl_ints(opencl_input(b, node, 4), steps, HE_MAX_RANK, &step_count))) {
        return opencl_refuse(node, "starts, axes or steps are not known beforehand");
    }
    if (count > x->rank || (axis_count && axis_count != count) ||
        (step_count && step_count != count))
        return opencl_refuse(node, "starts, axes and steps do not fit together");
    for (uint32_t d = 0; d < x->rank; d++) {
        out->start[d] = 0;
        out->step[d] = 1;
    }
    for (size_t k = 0; k < count; k++) {
        int64_t axis = axis_count ? axes[k] : (int64_t)k, step = step_count ? steps[k] : 1;
        int64_t start = starts[k], dim;

        axis += axis < 0 ? x->rank : 0;
        if (axis < 0 || axis >= x->rank || !step)
            return opencl_refuse(node, "an axis that does not exist, or a step of 0");
        dim = x->dims[axis];
        if (start < 0)
            start += dim;
        start = start < 0 ? 0 : start;
        if (start > (step < 0 ? dim - 1 : dim))
            start = step < 0 ? dim - 1 : dim;
        out->start[axis] = start;
        out->step[axis] = step;
    }
    return HE_OK;
}

static he_status emit_slice(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    const struct he_shape *y = &opencl_output(b, node, 0)->shape;
    struct opencl_box box = { .rank = x->rank };
    int64_t strides[HE_MAX_RANK];
    struct slice slice;
    he_status status = read_slice(b, node, &slice);

    if (status != HE_OK)
        return status;
    opencl_strides(x, strides);
    opencl_strides(y, box.to);
    for (uint32_t d = 0; d < x->rank; d++) {
        box.dims[d] = y->dims[d];
        box.from[d] = strides[d] * slice.step[d];
        box.from_base += strides[d] * slice.start[d];
    }
    return opencl_move_box(b, node->inputs[0], node->outputs[0], &box);
}

static he_status emit_expand(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    const struct he_shape *y = &opencl_output(b, node, 0)->shape;
    struct opencl_box box = { .rank = y->rank };
    int64_t strides[HE_MAX_RANK];
    uint32_t lead = y->rank - x->rank;

    if (x->rank > y->rank)
        return opencl_refuse(node, "its input has the higher rank");
    opencl_strides(x, strides);
    opencl_strides(y, box.to);
    memcpy(box.dims, y->dims, y->rank * sizeof *y->dims);
    for (uint32_t d = 0; d < x->rank; d++)
        box.from[lead + d] = x->dims[d] == 1 ? 0 : strides[d];
    return opencl_move_box(b, node->inputs[0], node->outputs[0], &box);
}

/* Each dimension becomes two: repeat, element. */
static he_status emit_tile(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    const struct he_shape *y = &opencl_output(b, node, 0)->shape;
    int64_t in[HE_MAX_RANK], out[HE_MAX_RANK];
    struct opencl_box box = { .rank = 2 * x->rank };

    if (x->rank != y->rank || 2 * x->rank > HE_MAX_RANK || !he_shape_count(x))
        return opencl_refuse(node, "rank %u, or nothing to repeat", x->rank);
    opencl_strides(x, in);
    opencl_strides(y, out);
    for (uint32_t d = 0; d < x->rank; d++) {
        box.dims[2 * d] = y->dims[d] / x->dims[d];
        box.to[2 * d] = out[d] * x->dims[d];
        box.dims[2 * d + 1] = x->dims[d];
        box.from[2 * d + 1] = in[d];
        box.to[2 * d + 1] = out[d];
    }
    return opencl_move_box(b, node->inputs[0], node->outputs[0], &box);
}

static he_status emit_depth(struct opencl_build *b, const struct he_node *node)
{
    bool to_space = opencl_is(node, "DepthToSpace");
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    int64_t size = he_node_int(node, "blocksize", 1), deep, h, w, strides[6];
    bool is_crd = strcmp(he_node_string(node, "mode", "DCR"), "CRD") == 0;
    /* The side with many channels as 6 dimensions, and where each goes on the other side. */
    struct opencl_box box = { .rank = 6 };
    struct he_shape six = { .rank = 6 };

    if (x->rank != 4 || size < 1)
        return opencl_refuse(node, "it needs rank 4");
    deep = to_space ? x->dims[1] / (size * size) : x->dims[1];
    h = to_space ? x->dims[2] : x->dims[2] / size;
    w = to_space ? x->dims[3] : x->dims[3] / size;
    if (to_space && is_crd)
        memcpy(six.dims, (int64_t[]){ x->dims[0], deep, size, size, h, w }, sizeof strides);
    else
        memcpy(six.dims, (int64_t[]){ x->dims[0], size, size, deep, h, w }, sizeof strides);
    opencl_strides(&six, strides);
    memcpy(box.dims, six.dims, sizeof strides);
    {
        int64_t row = w * size, plane = h * size * row;
        int64_t crd[] = { deep * plane, plane, row, 1, size * row, size };
        int64_t dcr[] = { deep * plane, row, 1, plane, size * row, size };

        memcpy(to_space ? box.from : box.to, strides, sizeof strides);
        memcpy(to_space ? box.to : box.from, to_space && is_crd ? crd : dcr, sizeof strides);
    }
    return opencl_move_box(b, node->inputs[0], node->outputs[0], &box);
}

/* --- Pad --- */

/* Begin paddings for every axis of the input. */
static he_status read_pads(const struct opencl_build *b, const struct he_node *node, int64_t *begin)
{
    uint32_t rank = opencl_input(b, node, 0)->shape.rank;
    int64_t pads[2 * HE_MAX_RANK], axes[HE_MAX_RANK];
    size_t count = 0, axis_count = 0;
    const int64_t *list;

    if (node->opset < 11) {
        count = he_node_ints(node, "pads", &list);
        if (count > 2 * HE_MAX_RANK)
            count = 0;
        if (count)
            memcpy(pads, list, count * sizeof *pads);
    } else if (!opencl_ints(opencl_input(b, node, 1), pads, 2 * HE_MAX_RANK, &count)) {
        return opencl_refuse(node, "its pads are not known beforehand");
    }
    if (opencl_input(b, node, 3) &&
        !opencl_ints(opencl_input(b, node, 3), axes, HE_MAX_RANK, &axis_count))
        return opencl_refuse(node, "its axes are not known beforehand");
    if (count != 2 * (opencl_input(b, node, 3) ? axis_count : (size_t)rank))
        return opencl_refuse(node, "%zu pads for rank %u", count, rank);
    for (uint32_t d = 0; d < rank; d++)
        begin[d] = opencl_input(b, node, 3) ? 0 : pads[d];
    for (size_t k = 0; k < axis_count; k++) {
        int64_t axis = axes[k] < 0 ? axes[k] + rank : axes[k];

        if (axis < 0 || axis >= rank)
            return opencl_refuse(node, "an axis that does not exist");
        begin[axis] = pads[k];
    }
    return HE_OK;
}

static he_status emit_pad(struct opencl_build *b, const struct he_node *node)
{
    const char *mode = he_node_string(node, "mode", "constant");
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    const struct he_shape *y = &opencl_output(b, node, 0)->shape;
    const struct he_value *fill = node->opset < 11 ? NULL : opencl_input(b, node, 2);
    bool is_constant = strcmp(mode, "constant") == 0, is_reflect = strcmp(mode, "reflect") == 0;
    int64_t begin[HE_MAX_RANK], strides[HE_MAX_RANK], inner = 1, count = he_shape_count(y);
    he_status status = read_pads(b, node, begin);
    char literal[40];
    int in, out;

    if (status != HE_OK)
        return status;
    if (!is_constant && !is_reflect && strcmp(mode, "edge") != 0 && strcmp(mode, "wrap") != 0)
        return opencl_refuse(node, "mode %s", mode);
    if (node->opset < 11 && is_constant && opencl_input(b, node, 0)->dtype != HE_FLOAT32)
        return opencl_refuse(node, "type %s at opset %d",
                             he_dtype_name(opencl_input(b, node, 0)->dtype), node->opset);
    if (!count)
        return HE_OK;
    if (!is_constant && !he_shape_count(x))
        return opencl_refuse(node, "nothing to repeat");
    opencl_strides(x, strides);
    opencl_begin_each(b, count);
    in = opencl_read_bits(b, node->inputs[0]);
    out = opencl_write_bits(b, node->outputs[0]);
    for (uint32_t d = x->rank; d-- > 0;) {
        int64_t dim = x->dims[d];

        opencl_line(b, "int c%u = (int)(o / %lldu %% %lldu) - (%lld);", d, LL(inner),
                    LL(y->dims[d]), LL(begin[d]));
        inner *= y->dims[d];
        if (is_reflect && dim > 1)
            opencl_line(b, "c%u = ((c%u %% %lld) + %lld) %% %lld; c%u = c%u < %lld ? c%u : %lld - c%u;",
                        d, d, LL(2 * dim - 2), LL(2 * dim - 2), LL(2 * dim - 2), d, d, LL(dim), d,
                        LL(2 * dim - 2), d);
        else if (is_reflect || strcmp(mode, "edge") == 0)
            opencl_line(b, "c%u = clamp(c%u, 0, %lld);", d, d, LL(dim - 1));
        else if (!is_constant)
            opencl_line(b, "c%u = ((c%u %% %lld) + %lld) %% %lld;", d, d, LL(dim), LL(dim), LL(dim));
    }
    opencl_text_printf(&b->body, "S%d(o, ", out);
    if (is_constant && x->rank) {
        for (uint32_t d = 0; d < x->rank; d++)
            opencl_text_printf(&b->body, "%s(uint)c%u < %lldu", d ? " && " : "", d,
                               LL(x->dims[d]));
        opencl_text_printf(&b->body, " ? ");
    }
    opencl_text_printf(&b->body, "X%d(0", in);
    for (uint32_t d = 0; d < x->rank; d++)
        opencl_text_printf(&b->body, " + c%u * %lld", d, LL(strides[d]));
    opencl_text_printf(&b->body, ")");
    if (is_constant && x->rank) {
        if (fill)
            opencl_text_printf(&b->body, " : X%d(0)", opencl_read_bits(b, node->inputs[2]));
        else if (node->opset < 11)
            opencl_text_printf(&b->body, " : as_uint(%s)",
                               opencl_literal(he_node_float(node, "value", 0), literal));
        else
            opencl_text_printf(&b->body, " : 0");
    }
    opencl_line(b, ");");
    return opencl_end_each(b, count);
}

static const struct opencl_emitter emitters[] = {
    { "Concat", emit_concat, false },         { "Split", emit_split, false },
    { "Slice", emit_slice, false },           { "Expand", emit_expand, false },
    { "Tile", emit_tile, false },             { "DepthToSpace", emit_depth, false },
    { "SpaceToDepth", emit_depth, false },    { "Pad", emit_pad, false },
};
const struct opencl_emitter_table opencl_move_table = { emitters,
                                                        sizeof emitters / sizeof emitters[0] };
