/* SPDX-License-Identifier: Apache-2.0 */
/* MaxPool, AveragePool, their Global forms over any number of dimensions, and LRN. */
#include <string.h>

#include "build.h"

#define LL(x) ((long long)(x))
#define SPATIAL_MAX 3

struct window {
    uint32_t spatial;
    int64_t planes; /* batch times channels */
    int64_t in[SPATIAL_MAX], out[SPATIAL_MAX], kernel[SPATIAL_MAX], stride[SPATIAL_MAX];
    int64_t dilation[SPATIAL_MAX], begin[SPATIAL_MAX], end[SPATIAL_MAX];
};

static he_status read_window(const struct opencl_build *b, const struct he_node *node,
                             struct window *w)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    const struct he_shape *y = &opencl_output(b, node, 0)->shape;
    const char *mode = he_node_string(node, "auto_pad", "NOTSET");
    const int64_t *kernel, *strides, *dilations, *pads;
    size_t kernel_count = he_node_ints(node, "kernel_shape", &kernel);
    size_t stride_count = he_node_ints(node, "strides", &strides);
    size_t dilation_count = he_node_ints(node, "dilations", &dilations);
    size_t pad_count = he_node_ints(node, "pads", &pads);

    if (x->rank < 3 || x->rank > 2 + SPATIAL_MAX || kernel_count != x->rank - 2)
        return opencl_refuse(node, "one to three spatial dimensions are done");
    *w = (struct window){ .spatial = x->rank - 2, .planes = x->dims[0] * x->dims[1] };
    for (uint32_t d = 0; d < w->spatial; d++) {
        int64_t total;

        w->in[d] = x->dims[2 + d];
        w->out[d] = y->dims[2 + d];
        w->kernel[d] = kernel[d];
        w->stride[d] = stride_count > d ? strides[d] : 1;
        w->dilation[d] = dilation_count > d ? dilations[d] : 1;
        total = (w->out[d] - 1) * w->stride[d] + (w->kernel[d] - 1) * w->dilation[d] + 1 - w->in[d];
        if (total < 0)
            total = 0;
        if (strcmp(mode, "SAME_UPPER") == 0)
            w->begin[d] = total / 2;
        else if (strcmp(mode, "SAME_LOWER") == 0)
            w->begin[d] = total - total / 2;
        else if (strcmp(mode, "VALID") != 0 && pad_count == 2 * (size_t)w->spatial)
            w->begin[d] = pads[d];
        w->end[d] = strncmp(mode, "SAME", 4) == 0 ? total - w->begin[d]
                    : strcmp(mode, "VALID") != 0 && pad_count == 2 * (size_t)w->spatial
                        ? pads[w->spatial + d]
                        : 0;
    }
    return HE_OK;
}

static he_status emit_pool(struct opencl_build *b, const struct he_node *node)
{
    bool is_max = opencl_is(node, "MaxPool"), counts_pad = he_node_int(node, "count_include_pad", 0);
    int64_t count = he_shape_count(&opencl_output(b, node, 0)->shape), inner = 1, plane = 1;
    he_status status = opencl_need_float(b, node);
    struct window w = { 0 };
    int x;

    if (status == HE_OK && opencl_output(b, node, 1))
        status = opencl_refuse(node, "indices are not done");
    if (status == HE_OK)
        status = read_window(b, node, &w);
    if (status != HE_OK)
        return status;
    opencl_begin_each(b, count);
    x = opencl_read(b, node->inputs[0]);
    for (uint32_t d = w.spatial; d-- > 0;) {
        opencl_line(b, "const int s%u = (int)(o / %lldu %% %lldu) * %lld - %lld;", d, LL(inner),
                    LL(w.out[d]), LL(w.stride[d]), LL(w.begin[d]));
        inner *= w.out[d];
        plane *= w.in[d];
    }
    opencl_line(b, "__global const T%d *p = x%d + o / %lldu * %lldu;", x, x, LL(inner), LL(plane));
    opencl_line(b, is_max ? "float acc = -INFINITY;" : "float acc = 0.0f; int taken = 0;");
    for (uint32_t d = 0; d < w.spatial; d++) {
        opencl_line(b, "for (int k%u = 0; k%u < %lld; k%u++) {", d, d, LL(w.kernel[d]), d);
        opencl_line(b, "const int i%u = s%u + k%u * %lld;", d, d, d, LL(w.dilation[d]));
        /* What hangs over the end of the padding (ceil_mode) is in no count. */
        if (!is_max && counts_pad)
            opencl_line(b, "if (i%u >= %lld) continue;", d, LL(w.in[d] + w.end[d]));
        else
            opencl_line(b, "if ((uint)i%u >= %lldu) continue;", d, LL(w.in[d]));
    }
    if (!is_max && counts_pad) {
        opencl_line(b, "taken++;");
        for (uint32_t d = 0; d < w.spatial; d++)
            opencl_line(b, "if ((uint)i%u >= %lldu) continue;", d, LL(w.in[d]));
    }
    opencl_text_printf(&b->body, "const float v = L%d(p, ", x);
    for (uint32_t d = 0; d < w.spatial; d++) {
        int64_t stride = 1;

        for (uint32_t e = d + 1; e < w.spatial; e++)
            stride *= w.in[e];
        opencl_text_printf(&b->body, "%si%u * %lld", d ? " + " : "", d, LL(stride));
    }
    opencl_line(b, ");");
    if (is_max)
        opencl_line(b, "acc = acc < v || v != v ? v : acc;");
    else
        opencl_line(b, counts_pad ? "acc += v;" : "acc += v; taken++;");
    for (uint32_t d = 0; d < w.spatial; d++)
        opencl_line(b, "}");
    if (!is_max)
        opencl_line(b, "acc /= (float)taken;");
    opencl_result(b, "o", "acc");
    return opencl_end_each(b, count);
}

static he_status emit_lrn(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    int64_t size = he_node_int(node, "size", 1), count = he_shape_count(x), inner;
    char alpha[40], beta[40], bias[40];
    he_status status = opencl_need_float(b, node);
    int operand;

    if (status != HE_OK)
        return status;
    if (x->rank < 2 || size < 1)
        return opencl_refuse(node, "it needs channels and a size");
    inner = opencl_product(x, 2, x->rank);
    opencl_begin_each(b, count);
    operand = opencl_read(b, node->inputs[0]);
    opencl_line(b, "const int c = (int)(o / %lldu %% %lldu);", LL(inner), LL(x->dims[1]));
    opencl_line(b, "const int from = max(c - %lld, 0), to = min(c + %lld, %lld);",
                LL((size - 1) / 2), LL(size / 2), LL(x->dims[1] - 1));
    opencl_line(b, "float sum = 0.0f;");
    opencl_line(b, "for (int k = from; k <= to; k++) {");
    opencl_line(b, "const float v = X%d((int)o + (k - c) * %lld);\nsum += v * v;\n}", operand,
                LL(inner));
    opencl_line(b, "const float acc = X%d(o) / pow(%s + %s * sum, %s);", operand,
                opencl_literal(he_node_float(node, "bias", 1), bias),
                opencl_literal(he_node_float(node, "alpha", 0.0001f) / (float)size, alpha),
                opencl_literal(he_node_float(node, "beta", 0.75f), beta));
    opencl_result(b, "o", "acc");
    return opencl_end_each(b, count);
}

static const struct opencl_emitter emitters[] = {
    { "MaxPool", emit_pool, true },
    { "AveragePool", emit_pool, true },
    { "LRN", emit_lrn, true },
};
const struct opencl_emitter_table opencl_pool_table = { emitters,
                                                        sizeof emitters / sizeof emitters[0] };
