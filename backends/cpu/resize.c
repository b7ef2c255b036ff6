/* SPDX-License-Identifier: Apache-2.0 */
/* Reading Resize and Upsample, and their coordinates and weights (resize.h). */
#include "resize.h"

#include <math.h>

/* --- Reading --- */

static he_status find_word(const struct he_node *node, const char *attribute, const char *fallback,
                           const char *const *words, size_t count, int *out)
{
    const char *word = he_node_string(node, attribute, fallback);
    size_t k;

    for (k = 0; k < count; k++) {
        if (!strcmp(word, words[k])) {
            *out = (int)k;
            return HE_OK;
        }
    }
    return he_error_set(HE_ERR_UNSUPPORTED, "%s: %s \"%s\" is not known", node->op, attribute,
                        word);
}

enum cpu_resize_mode cpu_resize_mode_of(const struct he_node *node)
{
    const char *mode = he_node_string(node, "mode", "nearest");

    return !strcmp(mode, "nearest") ? CPU_RESIZE_NEAREST
           : !strcmp(mode, "cubic") ? CPU_RESIZE_CUBIC
                                    : CPU_RESIZE_LINEAR;
}

static he_status read_words(const struct he_node *node, struct cpu_resize *r)
{
    static const char *const modes[] = {"nearest", "linear", "cubic", "bilinear"};
    static const char *const places[] = {
        "half_pixel", "pytorch_half_pixel",   "half_pixel_symmetric", "align_corners",
        "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize",
    };
    static const char *const rounds[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                         "ceil"};
    int word = 0;
    he_status status = find_word(node, "mode", "nearest", modes, CPU_COUNT(modes), &word);

    if (status != HE_OK)
        return status;
    r->mode = word == 3 ? CPU_RESIZE_LINEAR : (enum cpu_resize_mode)word;
    r->place = CPU_PLACE_ASYMMETRIC;
    r->round = CPU_ROUND_SIMPLE;
    if (!strcmp(node->op, "Upsample") || node->opset < 11)
        return HE_OK;
    status = find_word(node, "coordinate_transformation_mode", "half_pixel", places,
                       CPU_COUNT(places), &word);
    if (status != HE_OK)
        return status;
    r->place = (enum cpu_resize_place)word;
    status =
        find_word(node, "nearest_mode", "round_prefer_floor", rounds, CPU_COUNT(rounds), &word);
    r->round = (enum cpu_resize_round)word;
    r->is_antialias = he_node_int(node, "antialias", 0) != 0;
    r->excludes_outside = he_node_int(node, "exclude_outside", 0) != 0;
    r->cubic_a = (double)he_node_float(node, "cubic_coeff_a", -0.75f);
    r->outside = (double)he_node_float(node, "extrapolation_value", 0);
    return status;
}

/* A list input is there when it is not omitted and not empty. */
static bool has_list(const struct cpu_call *call, size_t k)
{
    return cpu_has_input(call, k) && cpu_count(&call->in[k]) > 0;
}

static he_status read_scales(const struct cpu_call *call, size_t input, double *scales,
                             size_t count)
{
    const struct he_attr *attr = he_node_attr(call->node, "scales");
    size_t k, have;

    if (has_list(call, input)) {
        have = (size_t)cpu_count(&call->in[input]);
        for (k = 0; k < have && have == count; k++)
            scales[k] = cpu_get_double(&call->in[input], (int64_t)k);
    } else if (attr && attr->kind == HE_ATTR_FLOATS) {
        have = attr->count;
        for (k = 0; k < have && have == count; k++)
            scales[k] = (double)attr->floats[k];
    } else { /* Upsample of opset 1: images only */
        have = count;
        for (k = 0; k < count; k++)
            scales[k] = 1;
        if (count == 4) {
            scales[2] = (double)he_node_float(call->node, "height_scale", 1);
            scales[3] = (double)he_node_float(call->node, "width_scale", 1);
        }
    }
    if (have != count)
        return he_error_set(HE_ERR_SHAPE, "%s: %zu scales for %zu axes", call->node->op, have,
                            count);
    for (k = 0; k < count; k++)
        if (!(scales[k] > 0 && scales[k] < 1e9))
            return he_error_set(HE_ERR_SHAPE, "%s: scale %g", call->node->op, scales[k]);
    return HE_OK;
}

/* Sizes give the scales; with an aspect ratio to keep, one scale for all axes. */
static he_status scales_from_sizes(const struct cpu_call *call, size_t input, const uint32_t *named,
                                   double *scales, size_t count, bool *is_exact)
{
    const char *policy = he_node_string(call->node, "keep_aspect_ratio_policy", "stretch");
    bool is_larger = !strcmp(policy, "not_smaller"), is_smaller = !strcmp(policy, "not_larger");
    int64_t sizes[HE_MAX_RANK];
    size_t k, have;
    double one;
    he_status status = cpu_read_ints(call, input, sizes, HE_MAX_RANK, &have);

    if (status != HE_OK)
        return status;
    if (have != count)
        return he_error_set(HE_ERR_SHAPE, "Resize: %zu sizes for %zu axes", have, count);
    for (k = 0; k < count; k++) {
        if (call->in[0].shape.dims[named[k]] < 1 || sizes[k] < 1)
            return he_error_set(HE_ERR_SHAPE, "Resize: axis %u of %lld to %lld", named[k],
                                (long long)call->in[0].shape.dims[named[k]], (long long)sizes[k]);
        scales[k] = (double)sizes[k] / (double)call->in[0].shape.dims[named[k]];
    }
    *is_exact = !is_larger && !is_smaller;
    if (*is_exact || count == 0)
        return HE_OK;
    for (k = 1, one = scales[0]; k < count; k++)
        one = is_larger ? fmax(one, scales[k]) : fmin(one, scales[k]);
    for (k = 0; k < count; k++)
        scales[k] = one;
    return HE_OK;
}

static he_status read_axes(const struct cpu_call *call, uint32_t *named, size_t *count)
{
    uint32_t k, rank = call->in[0].shape.rank;
    const int64_t *axes;
    he_status status;

    *count = he_node_ints(call->node, "axes", &axes);
    if (*count == 0)
        *count = rank;
    if (*count > rank)
        return he_error_set(HE_ERR_SHAPE, "Resize: %zu axes for rank %u", *count, rank);
    for (k = 0; k < *count; k++) {
        named[k] = k;
        if (*count == rank && !he_node_attr(call->node, "axes"))
            continue;
        status = cpu_axis(call->node, axes[k], rank, &named[k]);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

he_status cpu_resize_read(const struct cpu_call *call, struct cpu_resize *r)
{
    bool is_old = !strcmp(call->node->op, "Upsample") || call->node->opset < 11;
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    double scales[HE_MAX_RANK], roi[2 * HE_MAX_RANK];
    uint32_t named[HE_MAX_RANK], k;
    struct cpu_resize_axis *axis;
    bool is_exact = false, has_roi;
    size_t count = 0;
    he_status status;

    memset(r, 0, sizeof *r);
    if (out->dtype != in->dtype || out->shape.rank != in->shape.rank)
        return he_error_set(HE_ERR_SHAPE, "%s: input and output differ in type or rank",
                            call->node->op);
    if ((status = read_words(call->node, r)) != HE_OK ||
        (status = read_axes(call, named, &count)) != HE_OK)
        return status;
    if (!is_old && has_list(call, 3))
        status = scales_from_sizes(call, 3, named, scales, count, &is_exact);
    else
        status = read_scales(call, is_old ? 1 : 2, scales, count);
    if (status != HE_OK)
        return status;
    has_roi = r->place == CPU_PLACE_TF_CROP_AND_RESIZE;
    if (has_roi && (!has_list(call, 1) || cpu_count(&call->in[1]) != 2 * (int64_t)count))
        return he_error_set(HE_ERR_SHAPE, "Resize: roi does not have two entries per axis");
    for (k = 0; has_roi && k < 2 * count; k++)
        roi[k] = cpu_get_double(&call->in[1], k);
    for (k = 0; k < in->shape.rank; k++) {
        axis = &r->axes[k];
        axis->in = in->shape.dims[k];
        axis->out = out->shape.dims[k];
        axis->scale = 1;
        axis->width = (double)axis->out;
        axis->end = 1;
        axis->is_active = axis->in != axis->out;
        if (axis->in < 1 && axis->out > 0)
            return he_error_set(HE_ERR_SHAPE, "%s: axis %u is empty", call->node->op, k);
    }
    for (k = 0; k < count; k++) {
        axis = &r->axes[named[k]];
        axis->scale = scales[k];
        if (!is_exact)
            axis->width = scales[k] * (double)axis->in;
        if (has_roi) {
            axis->start = roi[k];
            axis->end = roi[count + k];
        }
        axis->is_active |= scales[k] != 1 || axis->start != 0 || axis->end != 1;
    }
    for (k = 0; k < in->shape.rank; k++) {
        if (r->axes[k].in != r->axes[k].out && r->axes[k].scale == 1 && !has_roi)
            return he_error_set(
                HE_ERR_SHAPE, "%s: axis %u changes from %lld to %lld without a scale",
                call->node->op, k, (long long)r->axes[k].in, (long long)r->axes[k].out);
    }
    return HE_OK;
}

/* --- Coordinates --- */

bool cpu_resize_coordinate(const struct cpu_resize *r, const struct cpu_resize_axis *axis,
                           int64_t o, double *out)
{
    double x = (double)o, last = (double)(axis->in - 1), size = (double)axis->in;

    switch (r->place) {
    case CPU_PLACE_HALF_PIXEL:
        x = (x + 0.5) / axis->scale - 0.5;
        break;
    case CPU_PLACE_PYTORCH_HALF_PIXEL:
        x = axis->out > 1 ? (x + 0.5) / axis->scale - 0.5 : 0;
        break;
    case CPU_PLACE_HALF_PIXEL_SYMMETRIC:
        x = size / 2 * (1 - (double)axis->out / axis->width) + (x + 0.5) / axis->scale - 0.5;
        break;
    case CPU_PLACE_ALIGN_CORNERS:
        x = axis->width == 1 || axis->out == 1 ? 0 : x * last / (axis->width - 1);
        break;
    case CPU_PLACE_ASYMMETRIC:
        x = x / axis->scale;
        break;
    case CPU_PLACE_TF_HALF_PIXEL_FOR_NN:
        x = (x + 0.5) / axis->scale;
        break;
    case CPU_PLACE_TF_CROP_AND_RESIZE:
        if (axis->out > 1)
            x = axis->start * last + x * (axis->end - axis->start) * last / (axis->width - 1);
        else
            x = (axis->start + axis->end) * last / 2;
        *out = x;
        return x >= 0 && x <= last;
    }
    *out = x;
    return true;
}

static int64_t clamp_index(double x, int64_t count)
{
    return x > 0 ? x < (double)(count - 1) ? (int64_t)x : count - 1 : 0;
}

int64_t cpu_resize_nearest(const struct cpu_resize *r, const struct cpu_resize_axis *axis, double x)
{
    double low = floor(x);

    switch (r->round) {
    case CPU_ROUND_PREFER_FLOOR:
        low += x - low > 0.5;
        break;
    case CPU_ROUND_PREFER_CEIL:
        low += x - low >= 0.5;
        break;
    case CPU_ROUND_FLOOR:
        break;
    case CPU_ROUND_CEIL:
        low = ceil(x);
        break;
    case CPU_ROUND_SIMPLE:
        low = axis->scale < 1 ? ceil(x) : low;
        break;
    }
    return clamp_index(low, axis->in);
}

/* --- Weights --- */

static double kernel_radius(enum cpu_resize_mode mode)
{
    return mode == CPU_RESIZE_CUBIC ? 2 : 1;
}

/* The interpolation kernel: a triangle, or the cubic of Keys with parameter a. */
static double kernel_at(const struct cpu_resize *r, double x)
{
    double a = r->cubic_a;

    x = fabs(x);
    if (r->mode == CPU_RESIZE_LINEAR)
        return x < 1 ? 1 - x : 0;
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

int64_t cpu_resize_taps(const struct he_node *node, int64_t in, int64_t out)
{
    double radius = kernel_radius(cpu_resize_mode_of(node)), wide = 1;

    /* The output size may have been rounded up from half a step less. */
    if (he_node_int(node, "antialias", 0) && out > 0 && in > out)
        wide = (double)in / ((double)out - 0.5);
    return 2 * (int64_t)ceil(radius * wide) + 2;
}

int64_t cpu_resize_weights(const struct cpu_resize *r, const struct cpu_resize_axis *axis, double x,
                           double *weights, int64_t capacity, int64_t *first)
{
    /* An antialias kernel is stretched over the input that one output covers. */
    double step = r->is_antialias && axis->scale < 1 ? axis->scale : 1;
    double reach = kernel_radius(r->mode) / step, sum = 0;
    int64_t k, count;

    *first = (int64_t)floor(x - reach) + 1;
    count = (int64_t)ceil(x + reach) - *first;
    if (count > capacity)
        count = capacity;
    for (k = 0; k < count; k++) {
        weights[k] = kernel_at(r, ((double)(*first + k) - x) * step);
        sum += weights[k];
    }
    if (step == 1 && !r->excludes_outside)
        return count;
    for (k = 0; k < count && r->excludes_outside; k++) {
        if (*first + k < 0 || *first + k >= axis->in) {
            sum -= weights[k];
            weights[k] = 0;
        }
    }
    for (k = 0; k < count && sum != 0; k++)
        weights[k] /= sum;
    return count;
}
