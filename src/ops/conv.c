/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions: plain, transposed, integer, quantised, deformable; and Col2Im. */
#include <inttypes.h>
#include <string.h>

#include "ops/infer.h"

/* [N, C, spatial] by [M, C/group, kernel] -> [N, M, spatial]. */
static he_status conv_shape(const struct he_node *node, const struct he_value *x,
                            const struct he_value *w, const struct he_value *bias,
                            struct he_shape *out)
{
    int64_t group = he_node_int(node, "group", 1);
    struct he_window window;
    struct he_shape shape;
    int64_t channels, per_group, filters;
    uint32_t rank;
    he_status status;

    *out = he_shape_unknown();
    if (group < 1 || group > INT32_MAX)
        return he_infer_error(node, "group is %" PRId64, group);
    status = he_infer_want_rank(node, x, "X", 2, HE_MAX_RANK);
    if (status == HE_OK)
        status = he_infer_want_rank(node, w, "W", 2, HE_MAX_RANK);
    if (status == HE_OK)
        status = he_infer_want_rank(node, bias, "B", 1, 1);
    if (status != HE_OK)
        return status;
    if (!he_has_rank(x) && !he_has_rank(w))
        return HE_OK;
    rank = he_has_rank(x) ? x->shape.rank : w->shape.rank;
    if (he_has_rank(w) && w->shape.rank != rank)
        return he_infer_error(node, "ranks differ: X is %s, W is %s", he_infer_text(x).s,
                              he_infer_text(w).s);
    channels = he_infer_dim(x, 1);
    filters = he_infer_dim(w, 0);
    if (!he_dim_mul(he_infer_dim(w, 1), group, &per_group) || he_dim_conflict(channels, per_group))
        return he_infer_error(node, "X %s has %" PRId64 " channels, W %s with group %" PRId64
                                    " takes %" PRId64,
                              he_infer_text(x).s, channels, he_infer_text(w).s, group, per_group);
    if (filters >= 0 && filters % group != 0)
        return he_infer_error(node, "%" PRId64 " filters do not divide into %" PRId64 " groups",
                              filters, group);
    if (he_dim_conflict(he_infer_dim(bias, 0), filters))
        return he_infer_error(node, "B is %s, but W %s has %" PRId64 " filters",
                              he_infer_text(bias).s, he_infer_text(w).s, filters);
    status = he_window_read(node, rank - 2, w, &window);
    if (status != HE_OK)
        return status;
    shape = he_shape_of_rank(rank);
    shape.dims[0] = he_infer_dim(x, 0);
    shape.dims[1] = filters;
    for (uint32_t k = 2; k < rank; k++) {
        status = he_window_output(node, &window, k - 2, he_infer_dim(x, k), &shape.dims[k]);
        if (status != HE_OK)
            return status;
    }
    *out = shape;
    return HE_OK;
}

static HE_INFER_RULE(infer_conv)
{
    struct he_shape shape;
    he_status status = he_infer_want_same_type(node, in[0], "X", in[1], "W");

    if (status == HE_OK)
        status = conv_shape(node, in[0], in[1], in[2], &shape);
    if (status == HE_OK)
        he_infer_set(out[0], in[0]->dtype, &shape);
    return status;
}

static HE_INFER_RULE(infer_conv_integer)
{
    struct he_shape shape;
    he_status status = conv_shape(node, in[0], in[1], NULL, &shape);

    if (status == HE_OK)
        he_infer_set(out[0], HE_INT32, &shape);
    return status;
}

/* x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias */
static HE_INFER_RULE(infer_qlinear_conv)
{
    struct he_shape shape;
    he_status status = conv_shape(node, in[0], in[3], in[8], &shape);

    if (status == HE_OK)
        he_infer_set(out[0], in[7]->dtype, &shape);
    return status;
}

static HE_INFER_RULE(infer_deform_conv)
{
    struct he_shape shape;
    he_status status = conv_shape(node, in[0], in[1], in[3], &shape);

    if (status == HE_OK)
        he_infer_set(out[0], in[0]->dtype, &shape);
    return status;
}

/* One axis of a transposed convolution. */
static he_status transposed_size(const struct he_node *node, const struct he_window *w, uint32_t k,
                                 int64_t dim, int64_t output_padding, int64_t *out)
{
    int64_t size;

    *out = HE_DIM_UNKNOWN;
    if (w->auto_pad == HE_PAD_SAME_UPPER || w->auto_pad == HE_PAD_SAME_LOWER) {
        if (!he_dim_mul(dim, w->stride[k], out))
            return he_infer_error(node, "output size overflows on spatial axis %u", k);
        return HE_OK;
    }
    if (dim < 0 || w->kernel[k] < 0)
        return HE_OK;
    if (dim > INT64_MAX / 4 / w->stride[k])
        return he_infer_error(node, "output size overflows on spatial axis %u", k);
    size = w->stride[k] * (dim - 1) + output_padding + (w->kernel[k] - 1) * w->dilation[k] + 1 -
           w->begin[k] - w->end[k];
    if (size < 0 || (size == 0 && dim > 0))
        return he_infer_error(node, "output size would be %" PRId64 " on spatial axis %u", size,
                              k);
    *out = size;
    return HE_OK;
}

static HE_INFER_RULE(infer_conv_transpose)
{
    int64_t group = he_node_int(node, "group", 1);
    const int64_t *sizes, *padding;
    size_t size_count = he_node_ints(node, "output_shape", &sizes);
    size_t padding_count = he_node_ints(node, "output_padding", &padding);
    struct he_window window;
    struct he_shape shape;
    uint32_t rank;
    he_status status;

    out[0]->dtype = in[0]->dtype;
    if (group < 1 || group > INT32_MAX)
        return he_infer_error(node, "group is %" PRId64, group);
    status = he_infer_want_same_type(node, in[0], "X", in[1], "W");
    if (status == HE_OK)
        status = he_infer_want_rank(node, in[0], "X", 2, HE_MAX_RANK);
    if (status == HE_OK)
        status = he_infer_want_rank(node, in[1], "W", 2, HE_MAX_RANK);
    if (status == HE_OK)
        status = he_infer_want_rank(node, in[2], "B", 1, 1);
    if (status != HE_OK)
        return status;
    if (!he_has_rank(in[0]) && !he_has_rank(in[1]))
        return HE_OK;
    rank = he_has_rank(in[0]) ? in[0]->shape.rank : in[1]->shape.rank;
    if (he_has_rank(in[1]) && in[1]->shape.rank != rank)
        return he_infer_error(node, "ranks differ: X is %s, W is %s", he_infer_text(in[0]).s,
                              he_infer_text(in[1]).s);
    if (he_dim_conflict(he_infer_dim(in[0], 1), he_infer_dim(in[1], 0)))
        return he_infer_error(node, "X %s has other channels than W %s", he_infer_text(in[0]).s,
                              he_infer_text(in[1]).s);
    if (he_infer_dim(in[1], 0) >= 0 && he_infer_dim(in[1], 0) % group != 0)
        return he_infer_error(node, "channels of W %s do not divide into %" PRId64 " groups",
                              he_infer_text(in[1]).s, group);
    status = he_window_read(node, rank - 2, in[1], &window);
    if (status != HE_OK)
        return status;
    if (padding_count != 0 && padding_count != rank - 2)
        return he_infer_error(node, "output_padding has %zu entries, %u were expected",
                              padding_count, rank - 2);
    /* output_shape lists the spatial sizes; some write N and C in front. */
    if (size_count == rank) {
        sizes += 2;
        size_count -= 2;
    }
    if (size_count != 0 && size_count != rank - 2)
        return he_infer_error(node, "output_shape has %zu entries, %u were expected", size_count,
                              rank - 2);
    shape = he_shape_of_rank(rank);
    shape.dims[0] = he_infer_dim(in[0], 0);
    if (!he_dim_mul(he_infer_dim(in[1], 1), group, &shape.dims[1]))
        return he_infer_error(node, "the channel count overflows");
    if (he_dim_conflict(he_infer_dim(in[2], 0), shape.dims[1]))
        return he_infer_error(node, "B is %s, but the output has %" PRId64 " channels",
                              he_infer_text(in[2]).s, shape.dims[1]);
    for (uint32_t k = 0; k < rank - 2; k++) {
        if (padding_count && (padding[k] < 0 || padding[k] > INT32_MAX))
            return he_infer_error(node, "output_padding[%u] is %" PRId64, k, padding[k]);
        if (size_count) {
            if (sizes[k] < 1)
                return he_infer_error(node, "output_shape[%u] is %" PRId64, k, sizes[k]);
            shape.dims[k + 2] = sizes[k];
            continue;
        }
        status = transposed_size(node, &window, k, he_infer_dim(in[0], k + 2),
                                 padding_count ? padding[k] : 0, &shape.dims[k + 2]);
        if (status != HE_OK)
            return status;
    }
    he_infer_set(out[0], in[0]->dtype, &shape);
    return HE_OK;
}

/* [N, C * product(block), L] -> [N, C, image] */
static HE_INFER_RULE(infer_col2im)
{
    struct he_codes image, block;
    struct he_shape shape;
    int64_t area = 1;
    he_status status = he_infer_want_rank(node, in[0], "the input", 3, 3);

    out[0]->dtype = in[0]->dtype;
    if (status != HE_OK)
        return status;
    if (he_infer_length(in[1]) >= 0 && he_infer_length(in[1]) + 2 <= HE_MAX_RANK)
        out[0]->shape = he_shape_of_rank((uint32_t)he_infer_length(in[1]) + 2);
    if (!he_infer_codes(in[1], &image) || image.count + 2 > HE_MAX_RANK)
        return HE_OK;
    shape = he_shape_of_rank((uint32_t)image.count + 2);
    shape.dims[0] = he_infer_dim(in[0], 0);
    for (size_t k = 0; k < image.count; k++)
        shape.dims[k + 2] = he_codes_dim(&image, k);
    if (he_infer_exact(in[2], &block)) {
        for (size_t k = 0; k < block.count; k++) {
            if (block.v[k] < 1 || !he_dim_mul(area, block.v[k], &area))
                return he_infer_error(node, "block_shape[%zu] is %" PRId64, k, block.v[k]);
        }
        if (he_infer_dim(in[0], 1) >= 0) {
            if (he_infer_dim(in[0], 1) % area != 0)
                return he_infer_error(node, "input %s does not divide into blocks of %" PRId64,
                                      he_infer_text(in[0]).s, area);
            shape.dims[1] = he_infer_dim(in[0], 1) / area;
        }
    }
    he_infer_set(out[0], in[0]->dtype, &shape);
    return HE_OK;
}

/* --- Work: two operations per weight and output position --- */

static void conv_work(const struct he_node *node, const struct he_value *x,
                      const struct he_value *w, const struct he_value *y, struct he_work *work)
{
    double filters = he_work_dim(w, 0, work);
    double per_output = filters > 0 ? he_work_count(w, work) / filters : 0;
    int64_t group = he_node_int(node, "group", 1);
    const int64_t *strides;
    size_t stride_count = he_node_ints(node, "strides", &strides);
    bool is_point = group == 1 && he_has_rank(w);

    work->flops = 2 * per_output * he_work_count(y, work);
    for (uint32_t k = 2; is_point && k < w->shape.rank; k++)
        is_point = w->shape.dims[k] == 1;
    for (size_t k = 0; is_point && k < stride_count; k++)
        is_point = strides[k] == 1;
    if (is_point)
        work->work_class = HE_WORK_CONTRACTION;
    else if (group > 1 && group == he_infer_dim(x, 1))
        work->work_class = HE_WORK_DEPTHWISE;
}

static HE_WORK_RULE(work_conv)
{
    conv_work(node, in[0], in[1], out[0], work);
    if (in[2])
        work->flops += he_work_count(out[0], work);
}

static HE_WORK_RULE(work_qlinear_conv)
{
    conv_work(node, in[0], in[3], out[0], work);
    work->flops += 4 * he_work_count(out[0], work); /* requantisation */
}

/* Every input element meets every weight of its channel: C/group sees M/group * kernel. */
static HE_WORK_RULE(work_conv_transpose)
{
    double channels = he_work_dim(in[1], 0, work);
    double per_input = channels > 0 ? he_work_count(in[1], work) / channels : 0;
    int64_t group = he_node_int(node, "group", 1);

    work->flops = 2 * per_input * he_work_count(in[0], work);
    if (in[2])
        work->flops += he_work_count(out[0], work);
    if (group > 1 && group == he_infer_dim(in[0], 1))
        work->work_class = HE_WORK_DEPTHWISE;
}

/* Each tap is bilinear: four reads and some ten operations instead of two. */
static HE_WORK_RULE(work_deform_conv)
{
    conv_work(node, in[0], in[1], out[0], work);
    work->flops *= 5;
    work->work_class = HE_WORK_CONV;
}

static HE_WORK_RULE(work_col2im)
{
    work->flops = he_work_count(in[0], work);
}

#define CONV(op, rule, cost, more_flags, least, most, ...)                                         \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule, .work = cost, \
      .access = HE_ACCESS_WINDOW, .work_class = HE_WORK_CONV,                                      \
      .split_axes = HE_SPLIT_BATCH | HE_SPLIT_CHANNEL | HE_SPLIT_SPATIAL, .flags = more_flags,     \
      .min_inputs = least, .max_inputs = most, .max_outputs = 1 }

static const struct he_op rows[] = {
    CONV("Conv", infer_conv, work_conv, HE_OP_CHANNELS_LAST, 2, 3, 1, 11, 22),
    CONV("ConvInteger", infer_conv_integer, work_conv, 0, 2, 4, 10),
    CONV("ConvTranspose", infer_conv_transpose, work_conv_transpose, HE_OP_CHANNELS_LAST, 2, 3, 1,
         11, 22),
    { .name = "DeformConv", .domain = "", .versions = HE_VERSIONS(19, 22),
      .infer = infer_deform_conv, .work = work_deform_conv, .access = HE_ACCESS_GATHER,
      .work_class = HE_WORK_CONV, .split_axes = HE_SPLIT_BATCH | HE_SPLIT_CHANNEL,
      .min_inputs = 3, .max_inputs = 5, .max_outputs = 1 },
    CONV("QLinearConv", infer_qlinear_conv, work_qlinear_conv, HE_OP_CHANNELS_LAST, 8, 9, 10),
    { .name = "Col2Im", .domain = "", .versions = HE_VERSIONS(18), .infer = infer_col2im,
      .work = work_col2im, .access = HE_ACCESS_WINDOW, .work_class = HE_WORK_WINDOW,
      .split_axes = HE_SPLIT_BATCH | HE_SPLIT_CHANNEL, .min_inputs = 3, .max_inputs = 3,
      .max_outputs = 1 },
};

const struct he_op_table he_ops_conv = { rows, HE_COUNT(rows) };
