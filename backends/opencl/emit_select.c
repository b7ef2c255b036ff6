/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators whose output is as long as the data says: NonZero, Compress, NonMaxSuppression. They write into
 * memory for the longest it could be, in the order of the input, and a count (late.c gives
 * the memory and cuts it). One work-group does it: its lanes take neighbouring chunks, and what
 * earlier lanes found says where a lane begins.
 */
#include <stdio.h>

#include "build.h"

#define LL(x) ((long long)(x))
#define LANES 64

static he_status end_group(struct opencl_build *b)
{
    return opencl_end(b, 1, &(size_t){ LANES }, &(size_t){ LANES });
}

/* Counts elements of [0, @count) for which @test (of i) holds: "at" is where this lane's begin, "first" and
 * "last" its chunk. */
static void put_chunks(struct opencl_build *b, int64_t count, const char *test, int total)
{
    opencl_line(b, "__local uint counts[%d];\nconst uint lane = (uint)get_local_id(0);", LANES);
    opencl_line(b, "const uint first = min(lane * %lldu, %lldu), last = min(first + %lldu, %lldu);",
                LL((count + LANES - 1) / LANES), LL(count), LL((count + LANES - 1) / LANES), LL(count));
    opencl_line(b, "uint found = 0, at = 0;\nfor (uint i = first; i < last; i++) found += %s;", test);
    opencl_line(b, "counts[lane] = found;\nbarrier(CLK_LOCAL_MEM_FENCE);");
    opencl_line(b, "for (uint l = 0; l < lane; l++) at += counts[l];");
    opencl_line(b, "if (lane == %du) S%d(0, (long)(at + found));", LANES - 1, total);
}

static he_status need_count(const struct he_node *node)
{
    if (node->output_count != 2)
        return opencl_refuse(node, "the size of its output depends on data");
    return HE_OK;
}

static he_status emit_nonzero(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *x = opencl_input(b, node, 0);
    int64_t count = he_shape_count(&x->shape), inner = 1;
    he_status status = need_count(node);
    char test[40];
    int in, out, total;

    if (status != HE_OK)
        return status;
    if (!opencl_type(b, x->dtype))
        return opencl_refuse(node, "type %s is not done", he_dtype_name(x->dtype));
    opencl_begin(b);
    in = opencl_read(b, node->inputs[0]);
    out = opencl_write(b, node->outputs[0]);
    total = opencl_write(b, node->outputs[1]);
    snprintf(test, sizeof test, "X%d(i) != 0", in);
    put_chunks(b, count, test, total);
    opencl_line(b, "for (uint i = first; i < last; i++) {\nif (!(%s)) continue;", test);
    if (!x->shape.rank)
        opencl_line(b, "S%d(at, 0L);", out);
    for (uint32_t d = x->shape.rank; d-- > 0;) {
        opencl_line(b, "S%d(%lldu + at, (long)(i / %lldu %% %lldu));", out, LL(d * count), LL(inner),
                    LL(x->shape.dims[d]));
        inner *= x->shape.dims[d] ? x->shape.dims[d] : 1;
    }
    opencl_line(b, "at++;\n}");
    return end_group(b);
}

static he_status emit_compress(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *x = opencl_input(b, node, 0), *flags = opencl_input(b, node, 1);
    int64_t axis = he_node_int(node, "axis", 0), outer = 1, length, inner = 1, most, count;
    he_status status = need_count(node);
    char test[40];
    int in, flag, out, total;

    if (status != HE_OK)
        return status;
    axis += axis < 0 ? x->shape.rank : 0;
    if (flags->dtype != HE_BOOL || flags->shape.rank != 1)
        return opencl_refuse(node, "its condition is no list of bool");
    length = he_shape_count(&x->shape);
    if (he_node_attr(node, "axis")) {
        if (axis < 0 || axis >= x->shape.rank)
            return opencl_refuse(node, "axis %lld of rank %u", LL(axis), x->shape.rank);
        outer = opencl_product(&x->shape, 0, (uint32_t)axis);
        length = x->shape.dims[axis];
        inner = opencl_product(&x->shape, (uint32_t)axis + 1, x->shape.rank);
    }
    count = he_shape_count(&flags->shape);
    most = count < length ? count : length;
    opencl_begin(b);
    in = opencl_read_bits(b, node->inputs[0]);
    flag = opencl_read(b, node->inputs[1]);
    out = opencl_write_bits(b, node->outputs[0]);
    total = opencl_write(b, node->outputs[1]);
    snprintf(test, sizeof test, "X%d(i) != 0", flag);
    put_chunks(b, most, test, total);
    opencl_line(b, "for (uint i = first; i < last; i++) {\nif (!(%s)) continue;", test);
    opencl_line(b, "for (uint a = 0; a < %lldu; a++) for (uint k = 0; k < %lldu; k++)", LL(outer),
                LL(inner));
    opencl_line(b, "S%d((a * %lldu + at) * %lldu + k, X%d((a * %lldu + i) * %lldu + k));\nat++;\n}", out,
                LL(most), LL(inner), in, LL(length), LL(inner));
    return end_group(b);
}

/* Corners of box @name's number, in order: y1 <= y2, x1 <= x2. */
static void put_corners(struct opencl_build *b, int boxes, const char *name, const char *number,
                        bool is_center)
{
    opencl_line(b, "float4 %s = (float4)(X%d(%s), X%d(%s + 1), X%d(%s + 2), X%d(%s + 3));", name, boxes,
                number, boxes, number, boxes, number, boxes, number);
    if (is_center)
        opencl_line(b, "%s = (float4)(%s.s1 - %s.s3 / 2, %s.s0 - %s.s2 / 2, %s.s1 + %s.s3 / 2, "
                       "%s.s0 + %s.s2 / 2);",
                    name, name, name, name, name, name, name, name, name);
    else
        opencl_line(b, "%s = (float4)(fmin(%s.s0, %s.s2), fmin(%s.s1, %s.s3), fmax(%s.s0, %s.s2), "
                       "fmax(%s.s1, %s.s3));",
                    name, name, name, name, name, name, name, name, name);
}

/* A work-item does a whole class: it goes through the boxes by falling score and keeps those that
 * overlap no kept one. A second kernel closes the gaps between classes. */
static he_status emit_suppression(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *boxes = opencl_input(b, node, 0), *scores = opencl_input(b, node, 1);
    int64_t rows, classes, count, most = 0;
    int x, s, out, total;
    size_t length;
    bool is_center = he_node_int(node, "center_point_box", 0) != 0;
    he_status status = need_count(node);

    if (status != HE_OK)
        return status;
    if (!opencl_is_float(boxes->dtype) || !opencl_is_float(scores->dtype) || boxes->shape.rank != 3 ||
        scores->shape.rank != 3 || boxes->shape.dims[2] != 4 ||
        boxes->shape.dims[1] != scores->shape.dims[2])
        return opencl_refuse(node, "its boxes and scores do not fit");
    if (opencl_input(b, node, 2) && !opencl_ints(opencl_input(b, node, 2), &most, 1, &length))
        return opencl_refuse(node, "how many is not known beforehand");
    classes = scores->shape.dims[1];
    rows = scores->shape.dims[0] * classes;
    count = scores->shape.dims[2];
    most = most > count ? count : most;
    opencl_begin_each(b, rows);
    x = opencl_read(b, node->inputs[0]);
    s = opencl_read(b, node->inputs[1]);
    out = opencl_write(b, node->outputs[0]);
    if (opencl_input(b, node, 3))
        opencl_line(b, "const float overlap = (float)X%d(0);", opencl_read(b, node->inputs[3]));
    else
        opencl_line(b, "const float overlap = 0.0f;");
    if (opencl_input(b, node, 4))
        opencl_line(b, "const float least = (float)X%d(0);", opencl_read(b, node->inputs[4]));
    else
        opencl_line(b, "const float least = -INFINITY;");
    opencl_line(b, "const uint row = o, scores = row * %lldu, boxes = row / %lldu * %lldu;", LL(count),
                LL(classes ? classes : 1), LL(count * 4));
    opencl_line(b, "uint kept = 0;\nfloat last = INFINITY; long last_at = -1;");
    opencl_line(b, "while (kept < %lldu) {\nlong best = -1; float top = -INFINITY;", LL(most));
    opencl_line(b, "for (uint i = 0; i < %lldu; i++) {\nconst float v = X%d(scores + i);", LL(count), s);
    opencl_line(b, "if (%s(v < last || (v == last && (long)i > last_at)) && (best < 0 || v > top)) "
                   "{ best = i; top = v; }\n}",
                opencl_input(b, node, 4) ? "v > least && " : "");
    opencl_line(b, "if (best < 0) break;\nlast = top; last_at = best;\nconst uint mine = boxes + (uint)best * 4u;");
    put_corners(b, x, "m", "mine", is_center);
    opencl_line(b, "bool is_free = true;\nfor (uint j = 0; j < kept && is_free; j++) {");
    opencl_line(b, "const uint other = boxes + (uint)X%d((row * %lldu + j) * 3u + 2u) * 4u;", out, LL(most));
    put_corners(b, x, "n", "other", is_center);
    opencl_line(b, "const float high = fmin(m.s2, n.s2) - fmax(m.s0, n.s0);");
    opencl_line(b, "const float wide = fmin(m.s3, n.s3) - fmax(m.s1, n.s1);");
    opencl_line(b, "const float area_m = (m.s2 - m.s0) * (m.s3 - m.s1), area_n = (n.s2 - n.s0) * (n.s3 - n.s1);");
    opencl_line(b, "if (high > 0 && wide > 0 && area_m > 0 && area_n > 0) "
                   "is_free = !(high * wide / (area_m + area_n - high * wide) > overlap);\n}");
    opencl_line(b, "if (is_free) {\nS%d((row * %lldu + kept) * 3u + 2u, best);\nkept++;\n}\n}", out, LL(most));
    opencl_line(b, "for (uint j = kept; j < %lldu; j++) S%d((row * %lldu + j) * 3u + 2u, -1L);", LL(most),
                out, LL(most));
    status = opencl_end_each(b, rows);
    if (status != HE_OK)
        return status;
    opencl_begin_each(b, 1);
    out = opencl_write(b, node->outputs[0]);
    total = opencl_write(b, node->outputs[1]);
    opencl_line(b, "uint to = 0;");
    opencl_line(b, "for (uint row = 0; row < %lldu; row++) for (uint j = 0; j < %lldu; j++) {", LL(rows),
                LL(most));
    opencl_line(b, "const long box = X%d((row * %lldu + j) * 3u + 2u);\nif (box < 0) break;", out, LL(most));
    opencl_line(b, "S%d(to, (long)(row / %lldu));\nS%d(to + 1u, (long)(row %% %lldu));", out,
                LL(classes ? classes : 1), out, LL(classes ? classes : 1));
    opencl_line(b, "S%d(to + 2u, box);\nto += 3u;\n}\nS%d(0, (long)(to / 3u));", out, total);
    return opencl_end_each(b, 1);
}

static const struct opencl_emitter emitters[] = {
    { "NonZero", emit_nonzero, false },
    { "Compress", emit_compress, false },
    { "NonMaxSuppression", emit_suppression, false },
};
const struct opencl_emitter_table opencl_select_table = { emitters,
                                                          sizeof emitters / sizeof emitters[0] };
