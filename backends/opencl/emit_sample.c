/* SPDX-License-Identifier: Apache-2.0 */
/* Images read between their pixels: GridSample and RoiAlign. */
#include <stdio.h>
#include <string.h>

#include "build.h"

#define LL(x) ((long long)(x))

enum padding { ZEROS, BORDER, REFLECTION };

struct sampler {
    int taps; /* per axis: 1 nearest, 2 linear, 4 cubic */
    enum padding padding;
    bool aligns_corners;
};

/* r = x as a mirror at @low and @high sees it. */
static void put_mirror(struct opencl_build *b, const char *x, double low, double high)
{
    if (high <= low) {
        opencl_line(b, "%s = %.1ff;", x, low);
        return;
    }
    opencl_line(b, "if (%s < %.1ff || %s > %.1ff) {", x, low, x, high);
    opencl_line(b, "const bool under = %s < %.1ff;\nconst float far = under ? %.1ff - %s : %s - %.1ff;", x,
                low, low, x, x, high);
    opencl_line(b, "const float rest = fmod(far, %.1ff);", high - low);
    opencl_line(b, "const bool is_odd = fmod(floor(far / %.1ff), 2.0f) != 0;", high - low);
    opencl_line(b, "%s = under != is_odd ? %.1ff + rest : %.1ff - rest;\n}", x, low, high);
}

/* i%u_k and w%u_k: index (-1 for zero) and weight of each tap of axis @d, from the grid's "g". */
static void put_taps(struct opencl_build *b, const struct sampler *s, uint32_t d, int64_t size)
{
    double low = s->aligns_corners ? 0 : -0.5, high = (double)(size - 1) - low;

    opencl_line(b, "int i%u[%d]; float w%u[%d];\n{", d, s->taps, d, s->taps);
    if (s->aligns_corners)
        opencl_line(b, "float x = (g + 1) / 2 * %lld.0f;", LL(size - 1));
    else
        opencl_line(b, "float x = ((g + 1) * %lld.0f - 1) / 2;", LL(size));
    if (s->taps == 1)
        opencl_line(b, "x = rint(x);");
    if (s->taps != 4 && s->padding == BORDER)
        opencl_line(b, "x = clamp(x, 0.0f, %lld.0f);", LL(size - 1));
    else if (s->taps != 4 && s->padding == REFLECTION)
        put_mirror(b, "x", low, high);
    opencl_line(b, "if (!(fabs(x) < 1e9f)) x = -1e9f;\nfloat base = %s(x);",
                s->taps == 1 ? "trunc" : "floor");
    if (s->taps == 1) {
        opencl_line(b, "w%u[0] = 1;", d);
    } else if (s->taps == 2) {
        opencl_line(b, "w%u[1] = x - base;\nw%u[0] = 1 - w%u[1];", d, d, d);
    } else {
        opencl_line(b, "const float t = x - base, a = -0.75f;");
        opencl_line(b, "w%u[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;", d);
        opencl_line(b, "w%u[1] = ((a + 2) * t - (a + 3)) * t * t + 1;", d);
        opencl_line(b, "w%u[2] = ((a + 2) * (1 - t) - (a + 3)) * (1 - t) * (1 - t) + 1;", d);
        opencl_line(b, "w%u[3] = ((a * (2 - t) - 5 * a) * (2 - t) + 8 * a) * (2 - t) - 4 * a;", d);
        opencl_line(b, "base -= 1;");
    }
    opencl_line(b, "for (int k = 0; k < %d; k++) {\nfloat at = base + k;", s->taps);
    if (s->padding == ZEROS) {
        opencl_line(b, "i%u[k] = at >= 0 && at < %lld.0f ? (int)at : -1;\n}\n}", d, LL(size));
        return;
    }
    if (s->padding == REFLECTION)
        put_mirror(b, "at", low, high);
    opencl_line(b, "i%u[k] = (int)clamp(at, 0.0f, %lld.0f);\n}\n}", d, LL(size - 1));
}

static he_status emit_grid(struct opencl_build *b, const struct he_node *node)
{
    const char *mode = he_node_string(node, "mode", "linear");
    const char *padding = he_node_string(node, "padding_mode", "zeros");
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    const struct he_shape *y = &opencl_output(b, node, 0)->shape;
    int64_t count = he_shape_count(y), area, strides[HE_MAX_RANK];
    struct sampler s = { .aligns_corners = he_node_int(node, "align_corners", 0) != 0 };
    he_status status = opencl_need_float(b, node);
    uint32_t spatial = x->rank - 2;
    int in, grid;

    if (status != HE_OK)
        return status;
    s.taps = strstr(mode, "nearest") ? 1 : strstr(mode, "linear") ? 2 : strstr(mode, "cubic") ? 4 : 0;
    s.padding = strcmp(padding, "border") == 0       ? BORDER
                : strcmp(padding, "reflection") == 0 ? REFLECTION
                                                     : ZEROS;
    if (!s.taps || (x->rank != 4 && x->rank != 5))
        return opencl_refuse(node, "mode %s, rank %u", mode, x->rank);
    if (!count)
        return HE_OK;
    area = opencl_product(y, 2, y->rank);
    opencl_strides(x, strides);
    opencl_begin_each(b, count);
    in = opencl_read(b, node->inputs[0]);
    grid = opencl_read(b, node->inputs[1]);
    opencl_line(b, "const uint image = o / %lldu, place = image * %lldu + o %% %lldu;",
                LL(area * y->dims[1]), LL(area), LL(area));
    opencl_line(b, "const uint plane = o / %lldu * %lldu;", LL(area), LL(strides[1]));
    for (uint32_t d = 0; d < spatial; d++) { /* the grid lists the last axis first */
        opencl_line(b, "float g%u = X%d(place * %uu + %uu);\n#define g g%u", d, grid, spatial,
                    spatial - 1 - d, d);
        put_taps(b, &s, d, x->dims[2 + d]);
        opencl_line(b, "#undef g");
    }
    opencl_line(b, "float acc = 0.0f;");
    for (uint32_t d = 0; d < spatial; d++)
        opencl_line(b, "for (int k%u = 0; k%u < %d; k%u++) {\nif (i%u[k%u] < 0) continue;", d, d, s.taps,
                    d, d, d);
    opencl_text_printf(&b->body, "acc += X%d(plane", in);
    for (uint32_t d = 0; d < spatial; d++)
        opencl_text_printf(&b->body, " + (uint)i%u[k%u] * %lldu", d, d, LL(strides[2 + d]));
    opencl_text_printf(&b->body, ")");
    for (uint32_t d = 0; d < spatial; d++)
        opencl_text_printf(&b->body, " * w%u[k%u]", d, d);
    opencl_line(b, ";");
    for (uint32_t d = 0; d < spatial; d++)
        opencl_line(b, "}");
    opencl_result(b, "o", "acc");
    return opencl_end_each(b, count);
}

/* "low_D", "high_D", "weight_D" (of the high one) and "in_D": one axis of a sample at "at". */
static void put_sample(struct opencl_build *b, char axis, int64_t size)
{
    opencl_line(b, "const bool in_%c = at_%c >= -1 && at_%c <= %lld.0f;", axis, axis, axis, LL(size));
    opencl_line(b, "at_%c = clamp(at_%c, 0.0f, %lld.0f);\nconst int low_%c = (int)at_%c;", axis, axis,
                LL(size - 1), axis, axis);
    opencl_line(b, "const int high_%c = min(low_%c + 1, %lld);\nconst float w_%c = at_%c - low_%c;", axis,
                axis, LL(size - 1), axis, axis, axis);
}

static void put_bins(struct opencl_build *b, const struct he_node *node, int rois, char axis,
                     int64_t bins, float offset)
{
    int64_t samples = he_node_int(node, "sampling_ratio", 0);
    int place = axis == 'x' ? 0 : 1;
    char scale[40];

    opencl_literal(he_node_float(node, "spatial_scale", 1), scale);
    opencl_line(b, "const float start_%c = X%d(roi * 4u + %du) * %s - %.1ff;", axis, rois, place, scale,
                (double)offset);
    opencl_line(b, "float size_%c = X%d(roi * 4u + %du) * %s - %.1ff - start_%c;", axis, rois, place + 2,
                scale, (double)offset, axis);
    if (offset == 0)
        opencl_line(b, "size_%c = fmax(size_%c, 1.0f);", axis, axis);
    opencl_line(b, "const float step_%c = size_%c / %lld.0f;", axis, axis, LL(bins));
    if (samples > 0)
        opencl_line(b, "const int n_%c = %lld;", axis, LL(samples));
    else
        opencl_line(b, "const int n_%c = (int)clamp(ceil(step_%c), 0.0f, 65536.0f);", axis, axis);
}

static he_status emit_roi(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    const struct he_shape *y = &opencl_output(b, node, 0)->shape;
    const char *place = he_node_string(node, "coordinate_transformation_mode",
                                       node->opset < 16 ? "output_half_pixel" : "half_pixel");
    bool is_max = strcmp(he_node_string(node, "mode", "avg"), "max") == 0;
    float offset = strcmp(place, "half_pixel") == 0 ? 0.5f : 0.0f;
    int64_t count = he_shape_count(y);
    int in, rois, batch;

    if (!opencl_is_float(opencl_input(b, node, 0)->dtype) || x->rank != 4 || y->rank != 4 ||
        !opencl_is_float(opencl_input(b, node, 1)->dtype))
        return opencl_refuse(node, "images of rank %u", x->rank);
    if (!count || !he_shape_count(x))
        return HE_OK;
    opencl_begin_each(b, count);
    in = opencl_read(b, node->inputs[0]);
    rois = opencl_read(b, node->inputs[1]);
    batch = opencl_read(b, node->inputs[2]);
    opencl_line(b, "const uint px = o %% %lldu, py = o / %lldu %% %lldu, c = o / %lldu %% %lldu;",
                LL(y->dims[3]), LL(y->dims[3]), LL(y->dims[2]), LL(y->dims[2] * y->dims[3]),
                LL(y->dims[1]));
    opencl_line(b, "const uint roi = o / %lldu;", LL(y->dims[1] * y->dims[2] * y->dims[3]));
    opencl_line(b, "const uint image = (uint)clamp((long)X%d(roi), 0L, %lldL);", batch,
                LL(x->dims[0] - 1));
    opencl_line(b, "const uint plane = (image * %lldu + c) * %lldu;", LL(x->dims[1]),
                LL(x->dims[2] * x->dims[3]));
    put_bins(b, node, rois, 'x', y->dims[3], offset);
    put_bins(b, node, rois, 'y', y->dims[2], offset);
    opencl_line(b, "float acc = %s;", is_max ? "-INFINITY" : "0.0f");
    opencl_line(b, "for (int iy = 0; iy < n_y; iy++) for (int ix = 0; ix < n_x; ix++) {");
    opencl_line(b, "float at_y = start_y + ((float)py + ((float)iy + 0.5f) / (float)n_y) * step_y;");
    opencl_line(b, "float at_x = start_x + ((float)px + ((float)ix + 0.5f) / (float)n_x) * step_x;");
    put_sample(b, 'y', x->dims[2]);
    put_sample(b, 'x', x->dims[3]);
    opencl_line(b, "const float in = in_x && in_y ? 1.0f : 0.0f;");
    for (int k = 0; k < 4; k++)
        opencl_line(b, "const float v%d = in * %s * %s * X%d(plane + (uint)(%s_y * %lld + %s_x));", k,
                    k & 2 ? "w_y" : "(1 - w_y)", k & 1 ? "w_x" : "(1 - w_x)", in, k & 2 ? "high" : "low",
                    LL(x->dims[3]), k & 1 ? "high" : "low");
    opencl_line(b, is_max ? "acc = fmax(acc, fmax(fmax(v0, v1), fmax(v2, v3)));\n}"
                          : "acc += v0 + v1 + v2 + v3;\n}");
    opencl_line(b, "const int n = n_y * n_x;");
    opencl_line(b, is_max ? "if (n == 0) acc = 0.0f;" : "acc /= (float)max(n, 1);");
    opencl_result(b, "o", "acc");
    return opencl_end_each(b, count);
}

static const struct opencl_emitter emitters[] = {
    { "GridSample", emit_grid, true },
    { "RoiAlign", emit_roi, true },
};
const struct opencl_emitter_table opencl_sample_table = { emitters,
                                                          sizeof emitters / sizeof emitters[0] };
