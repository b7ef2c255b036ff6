/* SPDX-License-Identifier: Apache-2.0 */
/* Resampling: Resize and Upsample, grids, regions of interest. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ops/infer.h"

/* --- Resize and Upsample --- */

/* The numbers of a constant float tensor; false when they are not known. */
static bool read_floats(const struct he_value *value, float *out, size_t *count)
{
    int64_t total;

    if (!value || value->dtype != HE_FLOAT32 || !he_value_is_constant(value))
        return false;
    total = he_shape_count(&value->shape);
    if (total < 0 || total > 2 * HE_MAX_RANK)
        return false;
    *count = (size_t)total;
    if (total > 0)
        memcpy(out, value->data, (size_t)total * sizeof out[0]);
    return true;
}

/* The output's size is the floor of a product in float32, as in every implementation. */
static he_status scale_dim(const struct he_node *node, int64_t dim, float scale, int64_t *out)
{
    float size;

    if (!(scale > 0) || !isfinite(scale))
        return he_infer_error(node, "a scale is %g", (double)scale);
    if (scale == 1 || dim == 0) {
        *out = dim;
        return HE_OK;
    }
    *out = HE_DIM_UNKNOWN;
    if (dim < 0)
        return HE_OK;
    size = floorf((float)dim * scale);
    if (!(size < 4e18f))
        return he_infer_error(node, "%" PRId64 " scaled by %g is too large", dim, (double)scale);
    *out = (int64_t)size;
    return HE_OK;
}

/* Which axes the lists talk about: all, or (since opset 18) the ones named. */
static he_status resized_axes(const struct he_node *node, uint32_t rank, uint32_t *axes,
                              size_t *count)
{
    const int64_t *list;
    size_t listed = he_node_ints(node, "axes", &list);
    uint32_t unused;
    he_status status;

    *count = rank;
    for (uint32_t k = 0; k < rank; k++)
        axes[k] = k;
    if (node->opset < 18 || listed == 0)
        return HE_OK;
    status = he_infer_axes(node, list, listed, rank, &unused);
    if (status != HE_OK)
        return status;
    *count = listed;
    for (size_t k = 0; k < listed; k++)
        axes[k] = (uint32_t)(list[k] < 0 ? list[k] + rank : list[k]);
    return HE_OK;
}

static he_status resize_by_scales(const struct he_node *node, const struct he_value *x,
                                  const struct he_value *scale_value, const struct he_value *roi,
                                  const uint32_t *axes, size_t axis_count, struct he_shape *shape)
{
    float scales[2 * HE_MAX_RANK], region[2 * HE_MAX_RANK];
    size_t count, region_count = 0;
    bool is_crop = strcmp(he_node_string(node, "coordinate_transformation_mode", ""),
                          "tf_crop_and_resize") == 0;
    bool has_region = is_crop && read_floats(roi, region, &region_count) &&
                      region_count == 2 * axis_count;

    if (!read_floats(scale_value, scales, &count)) {
        for (size_t k = 0; k < axis_count; k++)
            shape->dims[axes[k]] = HE_DIM_UNKNOWN;
        return HE_OK;
    }
    if (count != axis_count)
        return he_infer_error(node, "%zu scales for %zu axes of %s", count, axis_count,
                              he_infer_text(x).s);
    for (size_t k = 0; k < count; k++) {
        float scale = scales[k];
        he_status status;

        if (is_crop && !has_region) {
            shape->dims[axes[k]] = HE_DIM_UNKNOWN;
            continue;
        }
        if (has_region)
            scale *= region[axis_count + k] - region[k];
        status = scale_dim(node, x->shape.dims[axes[k]], scale, &shape->dims[axes[k]]);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

/* not_larger and not_smaller: one factor for all axes. */
static void keep_aspect(const struct he_value *x, const int64_t *sizes, const uint32_t *axes,
                        size_t count, bool is_larger, struct he_shape *shape)
{
    double factor = 0;

    for (size_t k = 0; k < count; k++) {
        int64_t dim = x->shape.dims[axes[k]];
        double ratio;

        if (dim <= 0 || sizes[k] < 0) {
            for (size_t j = 0; j < count; j++)
                shape->dims[axes[j]] = HE_DIM_UNKNOWN;
            return;
        }
        ratio = (double)sizes[k] / (double)dim;
        if (k == 0 || (is_larger ? ratio > factor : ratio < factor))
            factor = ratio;
    }
    for (size_t k = 0; k < count; k++) {
        double size = floor((double)x->shape.dims[axes[k]] * factor + 0.5);

        shape->dims[axes[k]] = size < 4e18 ? (int64_t)size : HE_DIM_UNKNOWN;
    }
}

static he_status resize_by_sizes(const struct he_node *node, const struct he_value *x,
                                 const struct he_value *size_value, const uint32_t *axes,
                                 size_t axis_count, struct he_shape *shape)
{
    const char *policy = he_node_string(node, "keep_aspect_ratio_policy", "stretch");
    struct he_codes sizes;

    if (!he_infer_codes(size_value, &sizes)) {
        for (size_t k = 0; k < axis_count; k++)
            shape->dims[axes[k]] = HE_DIM_UNKNOWN;
        return HE_OK;
    }
    if (sizes.count != axis_count)
        return he_infer_error(node, "%zu sizes for %zu axes of %s", sizes.count, axis_count,
                              he_infer_text(x).s);
    for (size_t k = 0; k < sizes.count; k++) {
        if (sizes.is_literal && sizes.v[k] < 0)
            return he_infer_error(node, "sizes[%zu] is %" PRId64, k, sizes.v[k]);
        shape->dims[axes[k]] = sizes.v[k];
    }
    if (node->opset >= 18 && strcmp(policy, "stretch") != 0) {
        bool is_larger = strcmp(policy, "not_smaller") == 0;

        if (!is_larger && strcmp(policy, "not_larger") != 0)
            return he_infer_error(node, "keep_aspect_ratio_policy \"%.40s\" is not known", policy);
        keep_aspect(x, sizes.v, axes, axis_count, is_larger, shape);
    }
    return HE_OK;
}

/* An omitted input, or one without elements. */
static bool is_absent(const struct he_value *value)
{
    return !value || he_infer_length(value) == 0;
}

static HE_INFER_RULE(infer_resize)
{
    const struct he_value *scales = node->opset < 11 ? in[1] : in[2];
    const struct he_value *sizes = node->opset < 11 ? NULL : in[3];
    uint32_t axes[HE_MAX_RANK];
    size_t count;
    struct he_shape shape = in[0]->shape;
    he_status status;

    out[0]->dtype = in[0]->dtype;
    if (is_absent(scales) && is_absent(sizes))
        return he_infer_error(node, "neither scales nor sizes are given");
    if (!he_has_rank(in[0]))
        return HE_OK;
    status = resized_axes(node, shape.rank, axes, &count);
    if (status != HE_OK)
        return status;
    if (!is_absent(sizes))
        status = resize_by_sizes(node, in[0], sizes, axes, count, &shape);
    else
        status = resize_by_scales(node, in[0], scales, in[1], axes, count, &shape);
    if (status == HE_OK)
        he_infer_set(out[0], in[0]->dtype, &shape);
    return status;
}

/* Scales: two attributes (opset 1), a list (7), an input (9). */
static HE_INFER_RULE(infer_upsample)
{
    const struct he_attr *attr = he_node_attr(node, "scales");
    uint32_t axes[HE_MAX_RANK];
    struct he_shape shape = in[0]->shape;
    he_status status = HE_OK;

    out[0]->dtype = in[0]->dtype;
    if (!he_has_rank(in[0]))
        return HE_OK;
    if (node->opset >= 9) {
        if (!in[1])
            return he_infer_error(node, "input 1 (scales) must not be omitted");
        for (uint32_t k = 0; k < shape.rank; k++)
            axes[k] = k;
        status = resize_by_scales(node, in[0], in[1], NULL, axes, shape.rank, &shape);
    } else if (node->opset >= 7) {
        if (!attr || attr->kind != HE_ATTR_FLOATS || attr->count != shape.rank || !attr->floats)
            return he_infer_error(node, "scales are missing or do not fit %s",
                                  he_infer_text(in[0]).s);
        for (uint32_t k = 0; k < shape.rank && status == HE_OK; k++)
            status = scale_dim(node, in[0]->shape.dims[k], attr->floats[k], &shape.dims[k]);
    } else {
        status = he_infer_want_rank(node, in[0], "X", 4, 4);
        if (status == HE_OK)
            status = scale_dim(node, shape.dims[2], he_node_float(node, "height_scale", 0),
                               &shape.dims[2]);
        if (status == HE_OK)
            status = scale_dim(node, shape.dims[3], he_node_float(node, "width_scale", 0),
                               &shape.dims[3]);
    }
    if (status == HE_OK)
        he_infer_set(out[0], in[0]->dtype, &shape);
    return status;
}

/* --- Grids --- */

/* X [N, C, spatial], grid [N, spatial out, number of spatial axes] */
static HE_INFER_RULE(infer_grid_sample)
{
    struct he_shape shape;
    uint32_t rank;
    he_status status = he_infer_want_rank(node, in[0], "X", 3, HE_MAX_RANK);

    out[0]->dtype = in[0]->dtype;
    if (status == HE_OK)
        status = he_infer_want_rank(node, in[1], "the grid", 3, HE_MAX_RANK);
    if (status != HE_OK || (!he_has_rank(in[0]) && !he_has_rank(in[1])))
        return status;
    rank = he_has_rank(in[0]) ? in[0]->shape.rank : in[1]->shape.rank;
    if ((he_has_rank(in[1]) && in[1]->shape.rank != rank) ||
        he_dim_conflict(he_infer_dim(in[1], rank - 1), (int64_t)rank - 2) ||
        he_dim_conflict(he_infer_dim(in[0], 0), he_infer_dim(in[1], 0)))
        return he_infer_error(node, "X is %s, the grid is %s", he_infer_text(in[0]).s,
                              he_infer_text(in[1]).s);
    shape = he_shape_of_rank(rank);
    shape.dims[0] = he_dim_merge(he_infer_dim(in[0], 0), he_infer_dim(in[1], 0));
    shape.dims[1] = he_infer_dim(in[0], 1);
    for (uint32_t k = 2; k < rank; k++)
        shape.dims[k] = he_infer_dim(in[1], k - 1);
    out[0]->shape = shape;
    return HE_OK;
}

/* theta [N, 2, 3] or [N, 3, 4], size [N, C, spatial] -> [N, spatial, 2 or 3] */
static HE_INFER_RULE(infer_affine_grid)
{
    struct he_codes size;
    struct he_shape shape;
    he_status status = he_infer_want_rank(node, in[0], "theta", 3, 3);

    out[0]->dtype = in[0]->dtype;
    if (status != HE_OK)
        return status;
    if (!he_infer_codes(in[1], &size)) {
        int64_t length = he_infer_length(in[1]);

        if (length == 4 || length == 5)
            out[0]->shape = he_shape_of_rank((uint32_t)length);
        return HE_OK;
    }
    if (size.count != 4 && size.count != 5)
        return he_infer_error(node, "size has %zu entries, 4 or 5 were expected", size.count);
    shape = he_shape_of_rank((uint32_t)size.count);
    shape.dims[0] = he_dim_merge(he_codes_dim(&size, 0), he_infer_dim(in[0], 0));
    for (uint32_t k = 1; k + 1 < shape.rank; k++)
        shape.dims[k] = he_codes_dim(&size, k + 1);
    shape.dims[shape.rank - 1] = (int64_t)size.count - 2;
    out[0]->shape = shape;
    return HE_OK;
}

/* --- Regions of interest --- */

static HE_INFER_RULE(infer_roi_align)
{
    int64_t height = he_node_int(node, "output_height", 1);
    int64_t width = he_node_int(node, "output_width", 1);
    he_status status = he_infer_want_rank(node, in[0], "X", 4, 4);

    if (status == HE_OK)
        status = he_infer_want_rank(node, in[1], "rois", 2, 2);
    if (status == HE_OK)
        status = he_infer_want_rank(node, in[2], "batch_indices", 1, 1);
    if (status != HE_OK)
        return status;
    if (height < 1 || width < 1)
        return he_infer_error(node, "the output is %" PRId64 " by %" PRId64, height, width);
    if (he_dim_conflict(he_infer_dim(in[1], 1), 4) ||
        he_dim_conflict(he_infer_dim(in[1], 0), he_infer_dim(in[2], 0)))
        return he_infer_error(node, "rois are %s, batch_indices are %s", he_infer_text(in[1]).s,
                              he_infer_text(in[2]).s);
    he_infer_set_dims(out[0], in[0]->dtype, 4,
                      (const int64_t[]){
                          he_dim_merge(he_infer_dim(in[1], 0), he_infer_dim(in[2], 0)),
                          he_infer_dim(in[0], 1), height, width });
    return HE_OK;
}

static HE_INFER_RULE(infer_max_roi_pool)
{
    const int64_t *pooled;
    size_t count = he_node_ints(node, "pooled_shape", &pooled);
    he_status status = he_infer_want_rank(node, in[0], "X", 4, 4);

    if (status == HE_OK)
        status = he_infer_want_rank(node, in[1], "rois", 2, 2);
    if (status != HE_OK)
        return status;
    if (count != 2 || pooled[0] < 1 || pooled[1] < 1)
        return he_infer_error(node, "pooled_shape is missing or not two positive sizes");
    he_infer_set_dims(out[0], in[0]->dtype, 4,
                      (const int64_t[]){ he_infer_dim(in[1], 0), he_infer_dim(in[0], 1), pooled[0],
                                         pooled[1] });
    return HE_OK;
}

/* --- Work --- */

/* Operations per output element: a read, a blend of two per axis, or of four per axis. */
static HE_WORK_RULE(work_resample)
{
    const char *mode = he_node_string(node, "mode", "nearest");
    double per_output = strstr(mode, "ubic") ? 40 : strstr(mode, "inear") ? 8 : 1;

    work->flops = per_output * he_work_count(out[0], work);
}

static HE_WORK_RULE(work_grid_sample)
{
    const char *mode = he_node_string(node, "mode", "linear");

    work->flops = (strstr(mode, "ubic") ? 60 : strcmp(mode, "nearest") == 0 ? 6 : 20) *
                  he_work_count(out[0], work);
}

static HE_WORK_RULE(work_affine_grid)
{
    work->flops = 2.0 * (he_has_rank(out[0]) && out[0]->shape.rank == 5 ? 4 : 3) *
                  he_work_count(out[0], work);
}

/* sampling_ratio squared bilinear samples; 0 depends on the regions. */
static HE_WORK_RULE(work_roi_align)
{
    int64_t ratio = he_node_int(node, "sampling_ratio", 0);
    double samples = ratio > 0 ? (double)ratio * (double)ratio : 4;

    work->flops = 10 * samples * he_work_count(out[0], work);
    work->is_estimate = work->is_estimate || ratio <= 0;
}

#define SAMPLE(op, rule, cost, how, axes, more_flags, least, most, ...)                            \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule, .work = cost, \
      .access = how, .work_class = HE_WORK_WINDOW, .split_axes = axes, .flags = more_flags,        \
      .min_inputs = least, .max_inputs = most, .max_outputs = 1 }

static const struct he_op rows[] = {
    SAMPLE("AffineGrid", infer_affine_grid, work_affine_grid, HE_ACCESS_GENERATE, HE_SPLIT_BATCH,
           0, 2, 2, 20),
    SAMPLE("GridSample", infer_grid_sample, work_grid_sample, HE_ACCESS_GATHER,
           HE_SPLIT_BATCH | HE_SPLIT_CHANNEL, 0, 2, 2, 16, 20, 22),
    SAMPLE("MaxRoiPool", infer_max_roi_pool, work_roi_align, HE_ACCESS_GATHER,
           HE_SPLIT_BATCH | HE_SPLIT_CHANNEL, 0, 2, 2, 1, 22),
    SAMPLE("Resize", infer_resize, work_resample, HE_ACCESS_WINDOW,
           HE_SPLIT_BATCH | HE_SPLIT_CHANNEL, HE_OP_CHANNELS_LAST, 1, 4, 10, 11, 13, 18, 19),
    SAMPLE("RoiAlign", infer_roi_align, work_roi_align, HE_ACCESS_GATHER,
           HE_SPLIT_BATCH | HE_SPLIT_CHANNEL, 0, 3, 3, 10, 16, 22),
    SAMPLE("Upsample", infer_upsample, work_resample, HE_ACCESS_WINDOW,
           HE_SPLIT_BATCH | HE_SPLIT_CHANNEL, HE_OP_CHANNELS_LAST, 1, 2, 1, 7, 9, 10),
};

const struct he_op_table he_ops_image = { rows, HE_COUNT(rows) };
