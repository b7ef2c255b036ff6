/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax, and the normalisations over rows: Layer, Instance, Group, RMS. */
#include <string.h>

#include "build.h"
#include "tile.h"

#define LL(x) ((long long)(x))

/* Elements of a row that one lane may keep in registers. */
#define MOST_KEPT 32
/* Long rows that are too few for a GPU are cut into parts of at least so many elements. */
#define PART 4096
#define MOST_PARTS 1024

static bool is_kept(const struct opencl_build *b, const struct opencl_rows *rows, int64_t length)
{
    return length <= (int64_t)MOST_KEPT * rows->lanes &&
           (rows->lanes > 1 || opencl_likes_tiles(b->dev));
}

/* The whole of a softmax whose rows are read once: each lane keeps its elements. */
static void put_kept_softmax(struct opencl_build *b, const struct opencl_rows *rows, int in,
                             int64_t length, int64_t inner, bool is_log)
{
    int64_t kept = (length + rows->lanes - 1) / rows->lanes;
    const char *each = "#pragma unroll\nfor (uint k = 0; k < %lldu; k++) {\n"
                       "const uint i = lane + k * lanes;";

    opencl_line(b, "float v[%lld], top = -INFINITY, sum = 0.0f;", LL(kept));
    opencl_line(b, each, LL(kept));
    opencl_line(b, "v[k] = i < %lldu ? X%d(base + i * %lldu) : -INFINITY;", LL(length), in, LL(inner));
    opencl_line(b, "top = fmax(top, v[k]);\n}");
    opencl_join_lanes(b, rows, "top", "fmax(l, r)");
    opencl_line(b, each, LL(kept));
    opencl_line(b, is_log ? "v[k] -= top; if (i < %lldu) sum += exp(v[k]);\n}"
                          : "v[k] = i < %lldu ? exp(v[k] - top) : 0.0f; sum += v[k];\n}", LL(length));
    opencl_join_lanes(b, rows, "sum", "l + r");
    opencl_line(b, is_log ? "sum = log(sum);" : "sum = 1.0f / sum;");
    opencl_line(b, each, LL(kept));
    opencl_line(b, "if (i < %lldu) {\nconst uint o = base + i * %lldu;", LL(length), LL(inner));
    opencl_line(b, is_log ? "const float acc = v[k] - sum;" : "const float acc = v[k] * sum;");
    opencl_result(b, "o", "acc");
    opencl_line(b, "}\n}");
}

/* --- Rows in parts: one kernel for each part's share of what is known of a row, one to write --- */

struct parts {
    int64_t count, chunk, rows, length;
};

static bool plan_parts(const struct opencl_build *b, const struct opencl_rows *rows, int64_t length,
                       struct parts *p)
{
    if (!opencl_likes_tiles(b->dev) || rows->is_across || rows->each > 1 ||
        rows->count >= 2 * (int64_t)b->dev->found->units || length < 4 * PART)
        return false;
    p->rows = rows->count;
    p->length = length;
    p->chunk = length / MOST_PARTS > PART ? length / MOST_PARTS + 1 : PART;
    p->count = (length + p->chunk - 1) / p->chunk;
    return true;
}

/* A group for each part: line is its row; its elements are begin to end of it, at base. */
static void begin_parts(struct opencl_build *b, const struct parts *p, struct opencl_rows *rows)
{
    opencl_begin_rows(b, rows, p->rows * p->count, p->chunk, false);
    opencl_line(b, "const uint line = row / %lldu, begin = row %% %lldu * %lldu;", LL(p->count),
                LL(p->count), LL(p->chunk));
    opencl_line(b, "const uint end = min(begin + %lldu, %lldu), base = line * %lldu;", LL(p->chunk),
                LL(p->length), LL(p->length));
}

#define FOR_PART "#pragma unroll 4\nfor (uint i = begin + lane; i < end; i += lanes)"

static he_status emit_softmax_parts(struct opencl_build *b, const struct he_node *node,
                                    const struct parts *p, bool is_log)
{
    size_t tops = opencl_scratch(b, p->rows * p->count), sums = opencl_scratch(b, p->rows * p->count);
    struct opencl_rows rows;
    int in, top, sum;
    he_status status;

    begin_parts(b, p, &rows);
    in = opencl_read(b, node->inputs[0]);
    opencl_line(b, "float top = -INFINITY, sum = 0.0f;");
    opencl_line(b, FOR_PART " top = fmax(top, X%d(base + i));", in);
    opencl_join_lanes(b, &rows, "top", "fmax(l, r)");
    /* A part may be masked as a whole where the row is not. */
    opencl_line(b, "const float from = top == -INFINITY ? 0.0f : top;");
    opencl_line(b, FOR_PART " sum += exp(X%d(base + i) - from);", in);
    opencl_join_lanes(b, &rows, "sum", "l + r");
    top = opencl_use_scratch(b, tops, true);
    sum = opencl_use_scratch(b, sums, true);
    opencl_line(b, "if (lane == 0u) { x%d[row] = top; x%d[row] = sum; }", top, sum);
    status = opencl_end_rows(b, &rows);
    if (status != HE_OK)
        return status;

    begin_parts(b, p, &rows);
    in = opencl_read(b, node->inputs[0]);
    top = opencl_use_scratch(b, tops, false);
    sum = opencl_use_scratch(b, sums, false);
    opencl_line(b, "float top = -INFINITY, sum = 0.0f;");
    opencl_line(b, "for (uint p = lane; p < %lldu; p += lanes) top = fmax(top, x%d[line * %lldu + p]);",
                LL(p->count), top, LL(p->count));
    opencl_join_lanes(b, &rows, "top", "fmax(l, r)");
    opencl_line(b, "for (uint p = lane; p < %lldu; p += lanes)", LL(p->count));
    opencl_line(b, "sum += x%d[line * %lldu + p] * exp(x%d[line * %lldu + p] - top);", sum,
                LL(p->count), top, LL(p->count));
    opencl_join_lanes(b, &rows, "sum", "l + r");
    opencl_line(b, is_log ? "sum = log(sum);" : "sum = 1.0f / sum;");
    opencl_line(b, FOR_PART " {\nconst uint o = base + i;");
    opencl_line(b, is_log ? "const float acc = X%d(o) - top - sum;"
                          : "const float acc = exp(X%d(o) - top) * sum;", in);
    opencl_result(b, "o", "acc");
    opencl_line(b, "}");
    return opencl_end_rows(b, &rows);
}

static he_status emit_softmax(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    bool is_log = opencl_is(node, "LogSoftmax");
    int64_t axis = he_node_int(node, "axis", node->opset < 13 ? 1 : -1), length, inner;
    he_status status = opencl_need_float(b, node);
    struct opencl_rows rows;
    struct parts parts;
    int in;

    if (status != HE_OK)
        return status;
    if (axis < 0)
        axis += x->rank;
    if (axis < 0 || axis > x->rank || (axis == x->rank && x->rank))
        return opencl_refuse(node, "axis %lld of rank %u", LL(axis), x->rank);
    if (node->opset < 13) { /* everything from the axis on is one row */
        length = opencl_product(x, (uint32_t)axis, x->rank);
        inner = 1;
    } else {
        length = x->rank ? x->dims[axis] : 1;
        inner = x->rank ? opencl_product(x, (uint32_t)axis + 1, x->rank) : 1;
    }
    if (!length || !he_shape_count(x))
        return opencl_refuse(node, "an empty tensor");
    opencl_begin_rows(b, &rows, he_shape_count(x) / length, length, inner > 1);
    if (!is_kept(b, &rows, length) && plan_parts(b, &rows, length, &parts))
        return emit_softmax_parts(b, node, &parts, is_log);
    in = opencl_read(b, node->inputs[0]);
    opencl_line(b, "const uint base = row / %lldu * %lldu + row %% %lldu;", LL(inner),
                LL(inner * length), LL(inner));
    if (is_kept(b, &rows, length)) {
        put_kept_softmax(b, &rows, in, length, inner, is_log);
        return opencl_end_rows(b, &rows);
    }
    opencl_line(b, "float top = -INFINITY, sum = 0.0f;");
    opencl_line(b, "for (uint i = lane; i < %lldu; i += lanes) top = fmax(top, X%d(base + i * %lldu));",
                LL(length), in, LL(inner));
    opencl_join_lanes(b, &rows, "top", "fmax(l, r)");
    opencl_line(b, "for (uint i = lane; i < %lldu; i += lanes) sum += exp(X%d(base + i * %lldu) - top);",
                LL(length), in, LL(inner));
    opencl_join_lanes(b, &rows, "sum", "l + r");
    opencl_line(b, is_log ? "sum = log(sum);" : "sum = 1.0f / sum;");
    opencl_line(b, "for (uint i = lane; i < %lldu; i += lanes) {", LL(length));
    opencl_line(b, "const uint o = base + i * %lldu;", LL(inner));
    opencl_line(b, is_log ? "const float acc = X%d(o) - top - sum;"
                          : "const float acc = exp(X%d(o) - top) * sum;", in);
    opencl_result(b, "o", "acc");
    opencl_line(b, "}");
    return opencl_end_rows(b, &rows);
}

/* What differs between the normalisations of rows of neighbours in memory. */
struct normal {
    int64_t rows, length;
    bool has_mean;
    const struct he_shape *scale_over; /* what scale and bias broadcast to; NULL: see scale_index */
    struct he_shape normalized;
    int64_t scale_inner, scale_count; /* else index = element / inner % count */
    uint32_t scale, bias; /* inputs */
};

static void emit_parameter(struct opencl_build *b, const struct he_node *node,
                           const struct normal *n, uint32_t k, const char *name)
{
    const struct he_value *value = opencl_input(b, node, k);

    if (!value)
        return;
    opencl_text_printf(&b->body, "const float %s = X%d(", name, opencl_read(b, node->inputs[k]));
    if (n->scale_over)
        opencl_broadcast_index(b, n->scale_over, &value->shape, "i");
    else
        opencl_text_printf(&b->body, "o / %lldu %% %lldu", LL(n->scale_inner), LL(n->scale_count));
    opencl_line(b, ");");
}

static void put_inverse(struct opencl_build *b, const struct he_node *node, const struct normal *n)
{
    char epsilon[40];

    opencl_line(b, "const float inverse = 1.0f / sqrt(spread / %lld.0f + %s);", LL(n->length),
                opencl_literal(he_node_float(node, "epsilon", 1e-5f), epsilon));
}

/* Element i of the row, o of the tensor, of which d is the difference from the mean. */
static void put_normal(struct opencl_build *b, const struct he_node *node, const struct normal *n)
{
    emit_parameter(b, node, n, n->scale, "scale");
    emit_parameter(b, node, n, n->bias, "bias");
    opencl_line(b, "const float acc = d * inverse%s%s;",
                opencl_input(b, node, n->scale) ? " * scale" : "",
                opencl_input(b, node, n->bias) ? " + bias" : "");
    opencl_result(b, "o", "acc");
}

/* The same as below where each lane keeps its elements, so that they are read once. */
static void put_kept_normal(struct opencl_build *b, const struct he_node *node,
                            const struct normal *n, const struct opencl_rows *rows, int in)
{
    const char *each = "#pragma unroll\nfor (uint k = 0; k < %lldu; k++) {\n"
                       "const uint i = lane + k * lanes;";
    int64_t kept = (n->length + rows->lanes - 1) / rows->lanes;

    opencl_line(b, "float v[%lld];", LL(kept));
    opencl_line(b, each, LL(kept));
    opencl_line(b, "v[k] = i < %lldu ? X%d(base + i) : 0.0f;\n}", LL(n->length), in);
    if (n->has_mean) {
        opencl_line(b, each, LL(kept));
        opencl_line(b, "mean += v[k];\n}");
        opencl_join_lanes(b, rows, "mean", "l + r");
        opencl_line(b, "mean /= %lld.0f;", LL(n->length));
    }
    opencl_line(b, each, LL(kept));
    opencl_line(b, "v[k] = i < %lldu ? v[k] - mean : 0.0f;\nspread += v[k] * v[k];\n}", LL(n->length));
    opencl_join_lanes(b, rows, "spread", "l + r");
    put_inverse(b, node, n);
    opencl_line(b, each, LL(kept));
    opencl_line(b, "if (i < %lldu) {\nconst uint o = base + i;\nconst float d = v[k];", LL(n->length));
    put_normal(b, node, n);
    opencl_line(b, "}\n}");
}

/* Parts' means and squares join as those of samples do (Chan, Golub, LeVeque 1979). */
static he_status emit_normal_parts(struct opencl_build *b, const struct he_node *node,
                                   const struct normal *n, const struct parts *p)
{
    size_t means = opencl_scratch(b, p->rows * p->count);
    size_t spreads = opencl_scratch(b, p->rows * p->count);
    struct opencl_rows rows;
    int in, mean, spread;
    he_status status;

    begin_parts(b, p, &rows);
    in = opencl_read(b, node->inputs[0]);
    opencl_line(b, "float mean = 0.0f, spread = 0.0f;");
    if (n->has_mean) {
        opencl_line(b, FOR_PART " mean += X%d(base + i);", in);
        opencl_join_lanes(b, &rows, "mean", "l + r");
        opencl_line(b, "mean /= (float)(end - begin);");
    }
    opencl_line(b, FOR_PART " { const float d = X%d(base + i) - mean; spread += d * d; }", in);
    opencl_join_lanes(b, &rows, "spread", "l + r");
    mean = opencl_use_scratch(b, means, true);
    spread = opencl_use_scratch(b, spreads, true);
    opencl_line(b, "if (lane == 0u) { x%d[row] = mean; x%d[row] = spread; }", mean, spread);
    status = opencl_end_rows(b, &rows);
    if (status != HE_OK)
        return status;

    begin_parts(b, p, &rows);
    in = opencl_read(b, node->inputs[0]);
    mean = opencl_use_scratch(b, means, false);
    spread = opencl_use_scratch(b, spreads, false);
    opencl_line(b, "float mean = 0.0f, spread = 0.0f;");
    for (int pass = n->has_mean ? 0 : 1; pass < 2; pass++) {
        opencl_line(b, "for (uint p = lane; p < %lldu; p += lanes) {", LL(p->count));
        opencl_line(b, "const float size = (float)min(%lldu, %lldu - p * %lldu);", LL(p->chunk),
                    LL(p->length), LL(p->chunk));
        opencl_line(b, "const float m = x%d[line * %lldu + p];", mean, LL(p->count));
        if (pass == 0)
            opencl_line(b, "mean += size * m;\n}");
        else
            opencl_line(b, "spread += size * (m - mean) * (m - mean) + x%d[line * %lldu + p];\n}",
                        spread, LL(p->count));
        opencl_join_lanes(b, &rows, pass == 0 ? "mean" : "spread", "l + r");
        if (pass == 0)
            opencl_line(b, "mean /= %lld.0f;", LL(p->length));
    }
    put_inverse(b, node, n);
    opencl_line(b, FOR_PART " {\nconst uint o = base + i;\nconst float d = X%d(o) - mean;", in);
    put_normal(b, node, n);
    opencl_line(b, "}");
    return opencl_end_rows(b, &rows);
}

static he_status emit_normal(struct opencl_build *b, const struct he_node *node,
                             const struct normal *n)
{
    struct opencl_rows rows;
    struct parts parts;
    int in;
    /* Mean and inverse deviation are asked for: the plain way has both in one lane. */
    bool is_more = opencl_output(b, node, 1) || opencl_output(b, node, 2);

    if (!n->length || !n->rows)
        return opencl_refuse(node, "an empty tensor");
    for (uint32_t k = 1; k < node->output_count; k++)
        if (opencl_output(b, node, k) && !(k < 3 && opencl_is(node, "LayerNormalization")))
            return opencl_refuse(node, "its output %u is not done", k);
    opencl_begin_rows(b, &rows, n->rows, n->length, false);
    if (!is_more && !is_kept(b, &rows, n->length) && plan_parts(b, &rows, n->length, &parts))
        return emit_normal_parts(b, node, n, &parts);
    in = opencl_read(b, node->inputs[0]);
    opencl_line(b, "const uint base = row * %lldu;\nfloat mean = 0.0f, spread = 0.0f;", LL(n->length));
    if (!is_more && is_kept(b, &rows, n->length)) {
        put_kept_normal(b, node, n, &rows, in);
        return opencl_end_rows(b, &rows);
    }
    if (n->has_mean) {
        opencl_line(b, "for (uint i = lane; i < %lldu; i += lanes) mean += X%d(base + i);",
                    LL(n->length), in);
        opencl_join_lanes(b, &rows, "mean", "l + r");
        opencl_line(b, "mean /= %lld.0f;", LL(n->length));
    }
    opencl_line(b, "for (uint i = lane; i < %lldu; i += lanes) {", LL(n->length));
    opencl_line(b, "const float d = X%d(base + i) - mean;\nspread += d * d;\n}", in);
    opencl_join_lanes(b, &rows, "spread", "l + r");
    put_inverse(b, node, n);
    for (uint32_t k = 1; k < 3; k++)
        if (opencl_output(b, node, k))
            opencl_line(b, "if (lane == 0u) S%d(row, %s);", opencl_write(b, node->outputs[k]),
                        k == 1 ? "mean" : "inverse");
    opencl_line(b, "for (uint i = lane; i < %lldu; i += lanes) {\nconst uint o = base + i;",
                LL(n->length));
    opencl_line(b, "const float d = X%d(o) - mean;", in);
    put_normal(b, node, n);
    opencl_line(b, "}");
    return opencl_end_rows(b, &rows);
}

static he_status emit_layer(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    int64_t axis = he_node_int(node, "axis", -1);
    struct normal n = { .has_mean = opencl_is(node, "LayerNormalization"), .scale = 1, .bias = 2 };
    he_status status = opencl_need_float(b, node);

    if (status != HE_OK)
        return status;
    if (axis < 0)
        axis += x->rank;
    if (axis < 0 || axis >= x->rank)
        return opencl_refuse(node, "axis %lld of rank %u", LL(axis), x->rank);
    n.rows = opencl_product(x, 0, (uint32_t)axis);
    n.length = opencl_product(x, (uint32_t)axis, x->rank);
    n.normalized.rank = x->rank - (uint32_t)axis;
    memcpy(n.normalized.dims, x->dims + axis, n.normalized.rank * sizeof *x->dims);
    n.scale_over = &n.normalized;
    for (uint32_t k = 1; k < 3; k++)
        if (opencl_input(b, node, k) &&
            opencl_input(b, node, k)->shape.rank > n.normalized.rank)
            return opencl_refuse(node, "scale or bias that varies between rows");
    return emit_normal(b, node, &n);
}

static he_status emit_instance(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    struct normal n = { .has_mean = true, .scale = 1, .bias = 2 };
    int64_t groups = he_node_int(node, "num_groups", 0);
    he_status status = opencl_need_float(b, node);

    if (status != HE_OK)
        return status;
    if (x->rank < 2)
        return opencl_refuse(node, "it needs channels");
    if (opencl_is(node, "InstanceNormalization"))
        groups = x->dims[1];
    if (groups < 1 || x->dims[1] % groups || !opencl_input(b, node, 1))
        return opencl_refuse(node, "%lld channels in %lld groups", LL(x->dims[1]), LL(groups));
    n.rows = x->dims[0] * groups;
    n.length = opencl_product(x, 1, x->rank) / groups;
    /* One scale per channel; GroupNormalization had one per group before opset 21. */
    n.scale_count = he_shape_count(&opencl_input(b, node, 1)->shape);
    if (n.scale_count != x->dims[1] && n.scale_count != groups)
        return opencl_refuse(node, "%lld scales for %lld channels", LL(n.scale_count),
                             LL(x->dims[1]));
    n.scale_inner = opencl_product(x, 1, x->rank) / n.scale_count;
    return emit_normal(b, node, &n);
}

static const struct opencl_emitter emitters[] = {
    { "Softmax", emit_softmax, true },
    { "LogSoftmax", emit_softmax, true },
    { "LayerNormalization", emit_layer, true },
    { "RMSNormalization", emit_layer, true },
    { "InstanceNormalization", emit_instance, true },
    { "GroupNormalization", emit_instance, true },
};
const struct opencl_emitter_table opencl_norm_table = { emitters,
                                                        sizeof emitters / sizeof emitters[0] };
