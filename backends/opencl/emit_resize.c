/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resize and Upsample, nearest, linear and cubic. Where each output coordinate reads is worked out on the
 * host when the program is made, one small table per axis that changes; the kernel looks up.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "build.h"

#define LL(x) ((long long)(x))
#define AXES_MAX 3 /* that change, for linear: 2^3 corners */

struct resize {
    bool is_linear, is_cubic, excludes_outside;
    float cubic_a;
    const char *coordinates, *nearest;
    bool has_scales;
    float scales[HE_MAX_RANK];
};

static he_status read_scales(const struct opencl_build *b, const struct he_node *node,
                             struct resize *r)
{
    uint32_t rank = opencl_input(b, node, 0)->shape.rank;
    bool is_upsample = opencl_is(node, "Upsample");
    const struct he_value *list = opencl_input(b, node, is_upsample || node->opset < 11 ? 1 : 2);
    const struct he_attr *attribute = he_node_attr(node, "scales");
    const int64_t *axes;
    size_t axis_count = he_node_ints(node, "axes", &axes);

    for (uint32_t d = 0; d < rank; d++)
        r->scales[d] = 1;
    if (is_upsample && attribute && attribute->count == rank) {
        memcpy(r->scales, attribute->floats, rank * sizeof *r->scales);
        r->has_scales = true;
        return HE_OK;
    }
    if (!list || he_shape_count(&list->shape) == 0)
        return HE_OK; /* sizes: the shape of the output says it all */
    if (!list->data || list->dtype != HE_FLOAT32 ||
        he_shape_count(&list->shape) != (int64_t)(axis_count ? axis_count : rank))
        return opencl_refuse(node, "its scales are not known beforehand");
    for (int64_t k = 0; k < he_shape_count(&list->shape); k++) {
        int64_t axis = axis_count ? axes[k] : k;

        axis += axis < 0 ? rank : 0;
        if (axis < 0 || axis >= rank)
            return opencl_refuse(node, "an axis that does not exist");
        r->scales[axis] = opencl_float(list, (size_t)k);
    }
    r->has_scales = true;
    return HE_OK;
}

static he_status read_resize(const struct opencl_build *b, const struct he_node *node,
                             struct resize *r)
{
    const char *mode = he_node_string(node, "mode", "nearest");
    bool is_old = opencl_is(node, "Upsample") || node->opset < 11;
    const char *policy = he_node_string(node, "keep_aspect_ratio_policy", "stretch");

    *r = (struct resize){
        .is_linear = strcmp(mode, "linear") == 0 || strcmp(mode, "bilinear") == 0,
        .is_cubic = strcmp(mode, "cubic") == 0,
        .excludes_outside = he_node_int(node, "exclude_outside", 0) != 0,
        .cubic_a = he_node_float(node, "cubic_coeff_a", -0.75f),
        .coordinates = he_node_string(node, "coordinate_transformation_mode",
                                      is_old ? "asymmetric" : "half_pixel"),
        .nearest = he_node_string(node, "nearest_mode", is_old ? "floor" : "round_prefer_floor"),
    };
    if (!r->is_linear && !r->is_cubic && strcmp(mode, "nearest") != 0)
        return opencl_refuse(node, "mode %s", mode);
    if (strcmp(r->coordinates, "half_pixel") != 0 && strcmp(r->coordinates, "asymmetric") != 0 &&
        strcmp(r->coordinates, "align_corners") != 0 &&
        strcmp(r->coordinates, "tf_half_pixel_for_nn") != 0 &&
        strcmp(r->coordinates, "pytorch_half_pixel") != 0)
        return opencl_refuse(node, "coordinates %s", r->coordinates);
    if (he_node_int(node, "antialias", 0) || strcmp(policy, "stretch") != 0)
        return opencl_refuse(node, "antialias and keep_aspect_ratio_policy");
    return read_scales(b, node, r);
}

static double source(const struct resize *r, int64_t to, int64_t in, int64_t out, double scale)
{
    if (strcmp(r->coordinates, "asymmetric") == 0)
        return (double)to / scale;
    if (strcmp(r->coordinates, "align_corners") == 0)
        /* The length that the scale says, which rounding has made @out. */
        return out == 1 ? 0 : (double)to * (double)(in - 1) / ((double)in * scale - 1);
    if (strcmp(r->coordinates, "pytorch_half_pixel") == 0 && out == 1)
        return 0;
    if (strcmp(r->coordinates, "tf_half_pixel_for_nn") == 0)
        return ((double)to + 0.5) / scale;
    return ((double)to + 0.5) / scale - 0.5;
}

static int64_t nearest(const struct resize *r, double x)
{
    if (strcmp(r->nearest, "floor") == 0)
        return (int64_t)floor(x);
    if (strcmp(r->nearest, "ceil") == 0)
        return (int64_t)ceil(x);
    if (strcmp(r->nearest, "round_prefer_ceil") == 0)
        return (int64_t)floor(x + 0.5);
    return (int64_t)ceil(x - 0.5);
}

static int64_t clamp(int64_t x, int64_t dim)
{
    return x < 0 ? 0 : x >= dim ? dim - 1 : x;
}

/* Per output coordinate: low, high (element indices times stride) and the high one's weight. */
static he_status make_table(struct opencl_build *b, const struct resize *r, int64_t in, int64_t out,
                            double scale, int64_t stride, int *operand)
{
    struct entry {
        int32_t low, high;
        float weight;
        int32_t unused;
    } *table = opencl_alloc(&b->dev->alloc, (size_t)out, sizeof *table);

    if (!table)
        return opencl_no_memory();
    for (int64_t k = 0; k < out; k++) {
        double x = source(r, k, in, out, scale);
        int64_t low = r->is_linear ? (int64_t)floor(x) : nearest(r, x);

        table[k].low = (int32_t)(clamp(low, in) * stride);
        table[k].high = (int32_t)(clamp(low + 1, in) * stride);
        table[k].weight = (float)(x - floor(x));
    }
    *operand = opencl_read_made(b, HE_NONE, 1, HE_INT32, table, (size_t)out * sizeof *table);
    opencl_free(&b->dev->alloc, table);
    return HE_OK;
}

/* The kernel of Keys, with his parameter a. */
static double keys(double a, double x)
{
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* Per output coordinate: four places and their weights. */
static he_status make_cubic_table(struct opencl_build *b, const struct resize *r, int64_t in,
                                  int64_t out, double scale, int64_t stride, int *operand)
{
    struct entry {
        int32_t at[4];
        float weight[4];
    } *table = opencl_alloc(&b->dev->alloc, (size_t)out, sizeof *table);

    if (!table)
        return opencl_no_memory();
    for (int64_t k = 0; k < out; k++) {
        double x = source(r, k, in, out, scale), sum = 0, weights[4];
        int64_t first = (int64_t)floor(x) - 1;

        for (int64_t t = 0; t < 4; t++) {
            bool is_outside = first + t < 0 || first + t >= in;

            weights[t] = is_outside && r->excludes_outside
                             ? 0
                             : keys((double)r->cubic_a, x - (double)(first + t));
            sum += weights[t];
            table[k].at[t] = (int32_t)(clamp(first + t, in) * stride);
        }
        for (int t = 0; t < 4; t++)
            table[k].weight[t] = (float)(r->excludes_outside ? weights[t] / sum : weights[t]);
    }
    *operand = opencl_read_made(b, HE_NONE, 1, HE_INT32, table, (size_t)out * sizeof *table);
    opencl_free(&b->dev->alloc, table);
    return HE_OK;
}

static void emit_cubic_read(struct opencl_build *b, int in, const uint32_t *axes, uint32_t count)
{
    opencl_line(b, "float acc = 0.0f;");
    for (uint32_t k = 0; k < count; k++)
        opencl_line(b, "for (int k%u = 0; k%u < 4; k%u++) {", k, k, k);
    opencl_text_printf(&b->body, "acc += X%d(base", in);
    for (uint32_t k = 0; k < count; k++)
        opencl_text_printf(&b->body, " + t%u[k%u]", axes[k], k);
    opencl_text_printf(&b->body, ")");
    for (uint32_t k = 0; k < count; k++)
        opencl_text_printf(&b->body, " * as_float(t%u[4 + k%u])", axes[k], k);
    opencl_line(b, ";");
    for (uint32_t k = 0; k < count; k++)
        opencl_line(b, "}");
}

static he_status emit_linear_read(struct opencl_build *b, int in, const uint32_t *axes,
                                  uint32_t count)
{
    opencl_line(b, "float acc = 0.0f;");
    for (uint32_t corner = 0; corner < 1u << count; corner++) {
        opencl_text_printf(&b->body, "acc += X%d(base", in);
        for (uint32_t k = 0; k < count; k++)
            opencl_text_printf(&b->body, " + t%u.s%c", axes[k], corner >> k & 1 ? '1' : '0');
        opencl_text_printf(&b->body, ")");
        for (uint32_t k = 0; k < count; k++)
            opencl_text_printf(&b->body, corner >> k & 1 ? " * w%u" : " * (1.0f - w%u)", axes[k]);
        opencl_line(b, ";");
    }
    return HE_OK;
}

static he_status emit_resize(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    const struct he_shape *y = &opencl_output(b, node, 0)->shape;
    int64_t strides[HE_MAX_RANK], inner = 1, count = he_shape_count(y);
    uint32_t axes[HE_MAX_RANK], axis_count = 0;
    struct resize r;
    he_status status;
    int in;

    if (!opencl_is_float(opencl_input(b, node, 0)->dtype))
        return opencl_refuse(node, "type %s is not done, float32 is",
                             he_dtype_name(opencl_input(b, node, 0)->dtype));
    status = read_resize(b, node, &r);
    if (status != HE_OK)
        return status;
    if (x->rank != y->rank || !he_shape_count(x) || !count)
        return opencl_refuse(node, "an empty tensor");
    opencl_strides(x, strides);
    opencl_begin_each(b, count);
    in = opencl_read(b, node->inputs[0]);
    for (uint32_t d = y->rank; d-- > 0;) {
        double scale = r.has_scales ? r.scales[d] : (double)y->dims[d] / (double)x->dims[d];
        int table = 0;

        opencl_line(b, "const uint c%u = o / %lldu %% %lldu;", d, LL(inner), LL(y->dims[d]));
        inner *= y->dims[d];
        if (x->dims[d] == y->dims[d] && scale == 1)
            continue;
        axes[axis_count++] = d;
        if ((r.is_linear || r.is_cubic) && axis_count > AXES_MAX)
            return opencl_refuse(node, "more than %d axes change", AXES_MAX);
        if (!(scale > 0))
            return opencl_refuse(node, "a scale that is not positive");
        status = r.is_cubic ? make_cubic_table(b, &r, x->dims[d], y->dims[d], scale, strides[d], &table)
                            : make_table(b, &r, x->dims[d], y->dims[d], scale, strides[d], &table);
        if (status != HE_OK)
            return status;
        if (r.is_cubic) {
            opencl_line(b, "int t%u[8];\nvstore8(vload8(c%u, x%d), 0, t%u);", d, d, table, d);
            continue;
        }
        opencl_line(b, "const int4 t%u = vload4(c%u, x%d);\nconst float w%u = as_float(t%u.s2);", d,
                    d, table, d, d);
    }
    opencl_text_printf(&b->body, "const int base = 0");
    for (uint32_t d = 0, k = axis_count; d < y->rank; d++) {
        if (k > 0 && axes[k - 1] == d) {
            k--;
            continue;
        }
        opencl_text_printf(&b->body, " + (int)c%u * %lld", d, LL(strides[d]));
    }
    opencl_line(b, ";");
    if (r.is_linear) {
        emit_linear_read(b, in, axes, axis_count);
    } else if (r.is_cubic) {
        emit_cubic_read(b, in, axes, axis_count);
    } else {
        opencl_text_printf(&b->body, "const float acc = X%d(base", in);
        for (uint32_t k = 0; k < axis_count; k++)
            opencl_text_printf(&b->body, " + t%u.s0", axes[k]);
        opencl_line(b, ");");
    }
    opencl_result(b, "o", "acc");
    return opencl_end_each(b, count);
}

static const struct opencl_emitter emitters[] = {
    { "Resize", emit_resize, true },
    { "Upsample", emit_resize, true },
};
const struct opencl_emitter_table opencl_resize_table = { emitters,
                                                          sizeof emitters / sizeof emitters[0] };
