/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Along one axis, where positions count: CumSum, Hardmax, TopK, ReverseSequence. TopK ranks by
 * counting: an element's place is the number of those before it in the order, so every
 * work-item writes at most one element and equal ones keep their order.
 */
#include <string.h>

#include "build.h"

#define LL(x) ((long long)(x))

/* The tensor as [outer, length, inner]. */
struct rows {
    int64_t outer, length, inner;
};

static bool read_rows(const struct he_shape *shape, int64_t axis, struct rows *out)
{
    if (shape->rank == 0 && (axis == 0 || axis == -1)) {
        *out = (struct rows){ 1, 1, 1 };
        return true;
    }
    axis += axis < 0 ? shape->rank : 0;
    if (axis < 0 || axis >= shape->rank)
        return false;
    *out = (struct rows){ opencl_product(shape, 0, (uint32_t)axis), shape->dims[axis],
                          opencl_product(shape, (uint32_t)axis + 1, shape->rank) };
    return true;
}

static void put_base(struct opencl_build *b, const struct rows *r)
{
    opencl_line(b, "const uint base = o / %lldu * %lldu + o %% %lldu;", LL(r->inner),
                LL(r->inner * r->length), LL(r->inner));
}

static he_status emit_cumsum(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *x = opencl_input(b, node, 0);
    bool is_exclusive = he_node_int(node, "exclusive", 0) != 0;
    bool is_reverse = he_node_int(node, "reverse", 0) != 0;
    const char *type = opencl_type(b, x->dtype);
    int64_t axis;
    size_t count;
    struct rows r;
    int in, out;

    if (!type || x->dtype == HE_BOOL)
        return opencl_refuse(node, "type %s is not done", he_dtype_name(x->dtype));
    if (!opencl_ints(opencl_input(b, node, 1), &axis, 1, &count))
        return opencl_refuse(node, "its axis is not known beforehand");
    if (!read_rows(&x->shape, axis, &r))
        return opencl_refuse(node, "axis %lld of rank %u", LL(axis), x->shape.rank);
    if (!he_shape_count(&x->shape))
        return HE_OK;
    opencl_begin_each(b, r.outer * r.inner);
    in = opencl_read(b, node->inputs[0]);
    out = opencl_write(b, node->outputs[0]);
    put_base(b, &r);
    opencl_line(b, "%s sum = 0;", type);
    opencl_line(b, "for (uint i = 0; i < %lldu; i++) {", LL(r.length));
    if (is_reverse)
        opencl_line(b, "const uint at = base + (%lldu - i) * %lldu;", LL(r.length - 1), LL(r.inner));
    else
        opencl_line(b, "const uint at = base + i * %lldu;", LL(r.inner));
    opencl_line(b, "const %s v = X%d(at);", type, in);
    opencl_line(b, is_exclusive ? "S%d(at, sum);\nsum += v;" : "sum += v;\nS%d(at, sum);", out);
    opencl_line(b, "}");
    return opencl_end_each(b, r.outer * r.inner);
}

static he_status emit_hardmax(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *x = opencl_input(b, node, 0);
    int64_t axis = he_node_int(node, "axis", node->opset < 13 ? 1 : -1);
    const char *type = opencl_type(b, x->dtype);
    struct rows r;
    int in, out;

    if (!type || !he_dtype_is_float(x->dtype))
        return opencl_refuse(node, "type %s is not done", he_dtype_name(x->dtype));
    if (!read_rows(&x->shape, axis, &r))
        return opencl_refuse(node, "axis %lld of rank %u", LL(axis), x->shape.rank);
    if (node->opset < 13) { /* everything from the axis on is one row */
        r.length *= r.inner;
        r.inner = 1;
    }
    if (!he_shape_count(&x->shape))
        return HE_OK;
    opencl_begin_each(b, r.outer * r.inner);
    in = opencl_read(b, node->inputs[0]);
    out = opencl_write(b, node->outputs[0]);
    put_base(b, &r);
    opencl_line(b, "%s best = X%d(base);\nuint at = 0;", type, in);
    opencl_line(b, "for (uint i = 1; i < %lldu; i++) {", LL(r.length));
    opencl_line(b, "const %s v = X%d(base + i * %lldu);", type, in, LL(r.inner));
    opencl_line(b, "if (v > best || (v != v && best == best)) { best = v; at = i; }\n}");
    opencl_line(b, "for (uint i = 0; i < %lldu; i++) S%d(base + i * %lldu, (%s)(i == at ? 1 : 0));",
                LL(r.length), out, LL(r.inner), type);
    return opencl_end_each(b, r.outer * r.inner);
}

static he_status emit_topk(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *x = opencl_input(b, node, 0);
    int64_t k = he_node_int(node, "k", -1), count = he_shape_count(&x->shape);
    bool is_float = he_dtype_is_float(x->dtype), is_largest = he_node_int(node, "largest", 1) != 0;
    const char *type = opencl_type(b, x->dtype);
    struct rows r;
    size_t length;
    int in;

    if (!type)
        return opencl_refuse(node, "type %s is not done", he_dtype_name(x->dtype));
    if (opencl_input(b, node, 1) && !opencl_ints(opencl_input(b, node, 1), &k, 1, &length))
        return opencl_refuse(node, "how many is not known beforehand");
    if (!read_rows(&x->shape, he_node_int(node, "axis", -1), &r) || k < 0 || k > r.length)
        return opencl_refuse(node, "%lld of an axis of rank %u", LL(k), x->shape.rank);
    if (!count || !k)
        return HE_OK;
    opencl_begin_each(b, count);
    in = opencl_read(b, node->inputs[0]);
    opencl_line(b, "const uint outer = o / %lldu, i = o / %lldu %% %lldu, rest = o %% %lldu;",
                LL(r.length * r.inner), LL(r.inner), LL(r.length), LL(r.inner));
    opencl_line(b, "const uint base = outer * %lldu + rest;\nconst %s mine = X%d(o);\nuint rank = 0;",
                LL(r.length * r.inner), type, in);
    opencl_line(b, "for (uint j = 0; j < %lldu; j++) {\nconst %s other = X%d(base + j * %lldu);",
                LL(r.length), type, in, LL(r.inner));
    if (is_float) { /* NaNs are larger than all numbers, and equal to each other */
        opencl_line(b, "const bool same = other == mine || (other != other && mine != mine);");
        opencl_line(b, "const bool more = other > mine || (other != other && mine == mine);");
    } else {
        opencl_line(b, "const bool same = other == mine, more = other > mine;");
    }
    opencl_line(b, "rank += same ? j < i : %s;\n}", is_largest ? "more" : "!more");
    opencl_line(b, "if (rank < %lldu) {\nconst uint to = (outer * %lldu + rank) * %lldu + rest;",
                LL(k), LL(k), LL(r.inner));
    if (opencl_output(b, node, 0))
        opencl_line(b, "S%d(to, mine);", opencl_write(b, node->outputs[0]));
    if (opencl_output(b, node, 1))
        opencl_line(b, "S%d(to, (long)i);", opencl_write(b, node->outputs[1]));
    opencl_line(b, "}");
    return opencl_end_each(b, count);
}

static he_status emit_reverse(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    int64_t time = he_node_int(node, "time_axis", 0), batch = he_node_int(node, "batch_axis", 1);
    int64_t strides[HE_MAX_RANK], count = he_shape_count(x);
    int in, lengths, out;

    time += time < 0 ? x->rank : 0;
    batch += batch < 0 ? x->rank : 0;
    if (time < 0 || time >= x->rank || batch < 0 || batch >= x->rank || time == batch)
        return opencl_refuse(node, "axes %lld and %lld of rank %u", LL(time), LL(batch), x->rank);
    if (!count)
        return HE_OK;
    opencl_strides(x, strides);
    opencl_begin_each(b, count);
    in = opencl_read_bits(b, node->inputs[0]);
    lengths = opencl_read(b, node->inputs[1]);
    out = opencl_write_bits(b, node->outputs[0]);
    opencl_line(b, "const long t = o / %lldu %% %lldu, n = X%d(o / %lldu %% %lldu);",
                LL(strides[time]), LL(x->dims[time]), lengths, LL(strides[batch]),
                LL(x->dims[batch]));
    opencl_line(b, "const long m = n > %lldL ? %lldL : n;", LL(x->dims[time]), LL(x->dims[time]));
    opencl_line(b, "S%d(o, X%d((uint)((long)o + (t < m ? m - 1 - 2 * t : 0L) * %lldL)));", out, in,
                LL(strides[time]));
    return opencl_end_each(b, count);
}

static const struct opencl_emitter emitters[] = {
    { "CumSum", emit_cumsum, false },
    { "Hardmax", emit_hardmax, false },
    { "TopK", emit_topk, false },
    { "ReverseSequence", emit_reverse, false },
};
const struct opencl_emitter_table opencl_scan_table = { emitters,
                                                        sizeof emitters / sizeof emitters[0] };
