/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions along any axes, the global pools among them, and ArgMax, ArgMin. Where there are too few
 * rows for a GPU, they are cut into parts, which a second kernel joins.
 */
#include <stdio.h>
#include <string.h>

#include "build.h"
#include "tile.h"

#define LL(x) ((long long)(x))

/* A GPU: work-items that fill a unit, elements a work-item loads at once, and parts of a row at most. */
#define FULL_UNIT 4096
#define AT_ONCE 4u
#define MOST_AT_ONCE 16
#define MOST_PARTS 1024

struct reduction {
    const char *op;
    const char *start;
    const char *step; /* v is the element */
    const char *join; /* l and r: two lanes */
    const char *end;  /* acc; NULL: as it is */
    bool takes_integers;
};

static const struct reduction reductions[] = {
    { "ReduceSum", "0", "acc += v;", "l + r", NULL, true },
    { "ReduceMean", "0", "acc += v;", "l + r", "acc / (float)length", false },
    { "GlobalAveragePool", "0", "acc += v;", "l + r", "acc / (float)length", false },
    { "ReduceMax", "-INFINITY", "acc = acc < v || v != v ? v : acc;", "(l < r || r != r ? r : l)", NULL, true },
    { "GlobalMaxPool", "-INFINITY", "acc = acc < v || v != v ? v : acc;", "(l < r || r != r ? r : l)", NULL, false },
    { "ReduceMin", "INFINITY", "acc = acc > v || v != v ? v : acc;", "(l > r || r != r ? r : l)", NULL, true },
    { "ReduceProd", "1", "acc *= v;", "l * r", NULL, true },
    { "ReduceSumSquare", "0", "acc += v * v;", "l + r", NULL, true },
    { "ReduceL1", "0", "acc += v < 0 ? -v : v;", "l + r", NULL, true },
    { "ReduceL2", "0", "acc += v * v;", "l + r", "sqrt(acc)", false },
    { "ReduceLogSum", "0", "acc += v;", "l + r", "log(acc)", false },
    { "ReduceLogSumExp", "0", "acc += exp(v - top);", "l + r", "log(acc) + top", false },
};

/* reduced[d] for every axis of the input; false when the axes are not known. */
static bool read_axes(const struct opencl_build *b, const struct he_node *node, bool *reduced,
                      bool *is_nothing)
{
    const struct he_value *list = opencl_input(b, node, 1);
    uint32_t rank = opencl_input(b, node, 0)->shape.rank;
    int64_t from_value[HE_MAX_RANK];
    const int64_t *axes = NULL;
    size_t count = 0;

    *is_nothing = false;
    if (strncmp(node->op, "Global", 6) == 0) {
        for (uint32_t d = 0; d < rank; d++)
            reduced[d] = d >= 2;
        return true;
    }
    if (list) {
        if (!opencl_ints(list, from_value, HE_MAX_RANK, &count) &&
            !(list->data && he_shape_count(&list->shape) == 0))
            return false;
        axes = from_value;
    } else {
        count = he_node_ints(node, "axes", &axes);
    }
    *is_nothing = count == 0 && he_node_int(node, "noop_with_empty_axes", 0);
    for (uint32_t d = 0; d < rank; d++)
        reduced[d] = count == 0 && !*is_nothing;
    for (size_t k = 0; k < count; k++) {
        int64_t axis = axes[k] < 0 ? axes[k] + rank : axes[k];

        if (axis < 0 || axis >= rank)
            return false;
        reduced[axis] = true;
    }
    return true;
}

struct walk {
    uint32_t kept, gone;
    int64_t kept_dims[HE_MAX_RANK], kept_strides[HE_MAX_RANK];
    int64_t gone_dims[HE_MAX_RANK], gone_strides[HE_MAX_RANK];
    int64_t rows, length;
    bool is_across; /* neighbours in memory are in different rows */
    /* Rows are cut into parts of @chunk elements, all of which have a row in the kernel: part * rows
     * + row. One part, the whole length: they are not. */
    int64_t parts, chunk;
};

static void plan_walk(const struct he_shape *shape, const bool *reduced, struct walk *w)
{
    int64_t strides[HE_MAX_RANK];

    *w = (struct walk){ .rows = 1, .length = 1 };
    opencl_strides(shape, strides);
    for (uint32_t d = 0; d < shape->rank; d++) {
        if (reduced[d]) {
            w->gone_dims[w->gone] = shape->dims[d];
            w->gone_strides[w->gone++] = strides[d];
            w->length *= shape->dims[d];
            if (shape->dims[d] > 1)
                w->is_across = false;
        } else {
            w->kept_dims[w->kept] = shape->dims[d];
            w->kept_strides[w->kept++] = strides[d];
            w->rows *= shape->dims[d];
            if (shape->dims[d] > 1)
                w->is_across = true;
        }
    }
    w->parts = 1;
    w->chunk = w->length;
}

/* Rows that do not fill the device with work are cut into parts; @rows is how they are shared uncut. */
static void plan_parts(const struct opencl_build *b, const struct opencl_rows *rows, struct walk *w)
{
    int64_t group = (int64_t)rows->lanes * rows->each, groups = (w->rows + rows->each - 1) / rows->each;
    int64_t wanted = (int64_t)b->dev->found->units * FULL_UNIT / (group * groups);
    int64_t most = w->length / ((int64_t)rows->lanes * 16);

    if (!opencl_likes_tiles(b->dev) || rows->lanes == 1)
        return;
    w->parts = wanted < most ? wanted : most;
    if (w->parts > MOST_PARTS)
        w->parts = MOST_PARTS;
    if (w->parts < 2) {
        w->parts = 1;
        return;
    }
    w->chunk = (w->length + w->parts - 1) / w->parts;
    w->parts = (w->length + w->chunk - 1) / w->chunk;
}

/* for (...) { v = element; @step } */
static void emit_loop(struct opencl_build *b, const struct opencl_rows *rows, const struct walk *w,
                      int x, const char *type, const char *step)
{
    int64_t each = (w->chunk + rows->lanes - 1) / rows->lanes;

    if (opencl_likes_tiles(b->dev) && each && each <= MOST_AT_ONCE) { /* all loads under way */
        opencl_line(b, "{\n%s some[%lld];", type, LL(each));
        for (int pass = 0; pass < 2; pass++) {
            opencl_line(b, "#pragma unroll\nfor (uint k = 0; k < %lldu; k++) {", LL(each));
            opencl_line(b, "const uint i = begin + lane + k * lanes;\nif (i < end) {");
            if (pass == 0) {
                opencl_offset(b, "at", "i", w->gone, w->gone_dims, w->gone_strides, 0);
                opencl_line(b, "some[k] = X%d(base + at);\n}\n}", x);
            } else {
                opencl_line(b, "const %s v = some[k];\n%s\n}\n}", type, step);
            }
        }
        opencl_line(b, "}");
        return;
    }
    opencl_line(b, "{\nuint i = begin + lane;");
    if (opencl_likes_tiles(b->dev)) { /* some loads under way before the first is waited for */
        opencl_line(b, "for (; i + %uu * lanes < end; i += %uu * lanes) {\n%s some[%u];", AT_ONCE - 1,
                    AT_ONCE, type, AT_ONCE);
        opencl_line(b, "#pragma unroll\nfor (uint k = 0; k < %uu; k++) {", AT_ONCE);
        opencl_line(b, "const uint j = i + k * lanes;");
        opencl_offset(b, "at", "j", w->gone, w->gone_dims, w->gone_strides, 0);
        opencl_line(b, "some[k] = X%d(base + at);\n}", x);
        opencl_line(b, "#pragma unroll\nfor (uint k = 0; k < %uu; k++) {", AT_ONCE);
        opencl_line(b, "const %s v = some[k];\n%s\n}\n}", type, step);
    }
    opencl_line(b, "for (; i < end; i += lanes) {");
    opencl_offset(b, "at", "i", w->gone, w->gone_dims, w->gone_strides, 0);
    opencl_line(b, "const %s v = X%d(base + at);\n%s\n}\n}", type, x, step);
}

/* base, begin, end of a row, or of a part of one. */
static void emit_place(struct opencl_build *b, const struct walk *w)
{
    if (w->parts == 1) {
        opencl_offset(b, "base", "row", w->kept, w->kept_dims, w->kept_strides, 0);
        opencl_line(b, "const uint begin = 0u, end = %lldu;", LL(w->length));
        return;
    }
    opencl_line(b, "const uint line = row %% %lldu, begin = row / %lldu * %lldu;", LL(w->rows),
                LL(w->rows), LL(w->chunk));
    opencl_line(b, "const uint end = min(begin + %lldu, %lldu);", LL(w->chunk), LL(w->length));
    opencl_offset(b, "base", "line", w->kept, w->kept_dims, w->kept_strides, 0);
}

/* The second pass over parts: @partial has part * rows + row. */
static he_status join_parts(struct opencl_build *b, const struct walk *w, const struct reduction *r,
                            size_t partial)
{
    struct walk all = { .kept = 1, .kept_dims = { w->rows }, .kept_strides = { 1 }, .gone = 1,
                        .gone_dims = { w->parts }, .gone_strides = { w->rows }, .rows = w->rows,
                        .length = w->parts, .parts = 1, .chunk = w->parts };
    struct opencl_rows rows;
    char step[96];

    opencl_begin_rows(b, &rows, w->rows, w->parts, w->rows > 1);
    emit_place(b, &all);
    opencl_line(b, "float acc = %s;", r->start);
    snprintf(step, sizeof step, "const float l = acc, r = v; acc = %s;", r->join);
    emit_loop(b, &rows, &all, opencl_use_scratch(b, partial, false), "float", step);
    opencl_join_lanes(b, &rows, "acc", r->join);
    opencl_line(b, "const uint length = %lldu;\nif (lane == 0u) {", LL(w->length));
    opencl_result(b, "row", r->end ? r->end : "acc");
    opencl_line(b, "}");
    return opencl_end_rows(b, &rows);
}

static he_status emit_reduce(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *x = opencl_input(b, node, 0);
    const struct reduction *r = reductions;
    bool reduced[HE_MAX_RANK], is_nothing, is_float;
    const char *type, *start, *each;
    struct opencl_rows rows;
    struct walk w;
    size_t partial = 0;
    he_status status;
    int operand;

    while (!opencl_is(node, r->op))
        r++;
    if (!x || !opencl_type(b, x->dtype) || x->dtype == HE_BOOL ||
        (!r->takes_integers && !opencl_is_float(x->dtype) && x->dtype != HE_FLOAT64))
        return opencl_refuse(node, "type %s is not done", x ? he_dtype_name(x->dtype) : "none");
    if (!read_axes(b, node, reduced, &is_nothing))
        return opencl_refuse(node, "its axes are not known beforehand");
    is_float = opencl_is_float(x->dtype);
    type = opencl_type(b, x->dtype);
    plan_walk(&x->shape, reduced, &w);
    if (w.length == 0 && !is_float)
        return opencl_refuse(node, "a reduction of nothing");
    /* Lanes meet in float: other types are summed by one work-item. */
    opencl_begin_rows(b, &rows, w.rows, is_float ? w.length : 1, w.is_across);
    if (is_float && strcmp(r->op, "ReduceLogSumExp") != 0)
        plan_parts(b, &rows, &w);
    if (w.parts > 1) {
        opencl_begin_rows(b, &rows, w.rows * w.parts, w.chunk, w.is_across);
        partial = opencl_scratch(b, w.rows * w.parts);
    }
    operand = opencl_read(b, node->inputs[0]);
    emit_place(b, &w);
    start = r->start;
    each = r->step;
    if (!is_float && strcmp(r->op, "ReduceMax") == 0)
        each = "acc = acc < v ? v : acc;";
    else if (!is_float && strcmp(r->op, "ReduceMin") == 0)
        each = "acc = acc > v ? v : acc;";
    if (!is_float && (strcmp(r->op, "ReduceMax") == 0 || strcmp(r->op, "ReduceMin") == 0)) {
        /* Max and Min of integers start from an element. */
        opencl_line(b, "%s acc = X%d(base);", type, operand);
    } else {
        opencl_line(b, "%s acc = %s;", type, start);
    }
    if (strcmp(r->op, "ReduceLogSumExp") == 0) {
        opencl_line(b, "%s top = -INFINITY;", type);
        emit_loop(b, &rows, &w, operand, type, "top = top < v ? v : top;");
        opencl_join_lanes(b, &rows, "top", "fmax(l, r)");
        opencl_line(b, "if (isinf(top)) top = 0.0f;");
    }
    emit_loop(b, &rows, &w, operand, type, each);
    opencl_join_lanes(b, &rows, "acc", r->join);
    if (w.parts > 1) {
        opencl_line(b, "if (lane == 0u) x%d[row] = acc;", opencl_use_scratch(b, partial, true));
        status = opencl_end_rows(b, &rows);
        return status == HE_OK ? join_parts(b, &w, r, partial) : status;
    }
    opencl_line(b, "const uint length = %lldu;\nif (lane == 0u) {", LL(w.length));
    opencl_result(b, "row", r->end ? r->end : "acc");
    opencl_line(b, "}");
    return opencl_end_rows(b, &rows);
}

static he_status emit_arg(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *x = opencl_input(b, node, 0);
    int64_t axis = he_node_int(node, "axis", 0), inner, count;
    bool is_last = he_node_int(node, "select_last_index", 0);
    const char *type, *compare;
    uint32_t rank;
    int in, out;

    if (!x || !opencl_type(b, x->dtype))
        return opencl_refuse(node, "type %s is not done", x ? he_dtype_name(x->dtype) : "none");
    rank = x->shape.rank;
    if (axis < 0)
        axis += rank;
    if (axis < 0 || axis >= rank)
        return opencl_refuse(node, "axis %lld of rank %u", LL(axis), rank);
    type = opencl_type(b, x->dtype);
    compare = opencl_is(node, "ArgMax") ? (is_last ? ">=" : ">") : is_last ? "<=" : "<";
    inner = opencl_product(&x->shape, (uint32_t)axis + 1, rank);
    count = opencl_product(&x->shape, 0, (uint32_t)axis) * inner;
    opencl_begin_each(b, count);
    in = opencl_read(b, node->inputs[0]);
    out = opencl_write(b, node->outputs[0]);
    opencl_line(b, "const uint base = o / %lldu * %lldu + o %% %lldu;", LL(inner),
                LL(inner * x->shape.dims[axis]), LL(inner));
    opencl_line(b, "%s best = X%d(base);\nlong at = 0;", type, in);
    opencl_line(b, "for (uint k = 1; k < %lldu; k++) {", LL(x->shape.dims[axis]));
    opencl_line(b, "const %s v = X%d(base + k * %lldu);", type, in, LL(inner));
    opencl_line(b, "if (v %s best) { best = v; at = k; }\n}\nS%d(o, at);", compare, out);
    return opencl_end_each(b, count);
}

static const struct opencl_emitter emitters[] = {
    { "ReduceSum", emit_reduce, true },       { "ReduceMean", emit_reduce, true },
    { "ReduceMax", emit_reduce, true },       { "ReduceMin", emit_reduce, true },
    { "ReduceProd", emit_reduce, true },      { "ReduceSumSquare", emit_reduce, true },
    { "ReduceL1", emit_reduce, true },        { "ReduceL2", emit_reduce, true },
    { "ReduceLogSum", emit_reduce, true },    { "ReduceLogSumExp", emit_reduce, true },
    { "GlobalAveragePool", emit_reduce, true }, { "GlobalMaxPool", emit_reduce, true },
    { "ArgMax", emit_arg, false },            { "ArgMin", emit_arg, false },
};
const struct opencl_emitter_table opencl_reduce_table = { emitters,
                                                          sizeof emitters / sizeof emitters[0] };
