/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What slides a window over an image: pooling, local response normalisation,
 * and Resize where oneDNN's sampling points are exactly ONNX's.
 */
#include "config.h"
#ifdef HE_HAVE_ONEDNN

#include <string.h>

#include "onednn_makers.h"
#include "onednn_post.h"

static he_status refuse(const struct od_build *b, const char *why)
{
    return he_error_set(HE_ERR_UNSUPPORTED, "%s %s: oneDNN does not take it: %s", b->anchor->op,
                        b->anchor->name, why);
}

/*
 * Source and destination in one layout. When the slots differ only by name
 * (one pixel, one channel) the source's name wins.
 */
static he_status same_layout(struct od_build *b, struct od_operand *src, struct od_operand *dst,
                             struct od_desc *src_desc, struct od_desc *dst_desc)
{
    uint32_t x = od_input(b, 0), y = od_task_output(b);
    const struct he_shape *in, *out;
    enum he_layout from, to;

    if (y == HE_NONE || !od_slot(b, x, src, &from) || !od_slot(b, y, dst, &to))
        return refuse(b, "its input is constant");
    in = &od_value(b, x)->shape;
    out = &od_value(b, y)->shape;
    if (in->rank < 3 || in->rank > 5 || out->rank != in->rank)
        return refuse(b, "not 1 to 3 spatial dimensions");
    if (from != to && od_layouts_coincide(in))
        from = to;
    if (from != to && !od_layouts_coincide(out))
        return refuse(b, "its output is in another layout than its input");
    if (from == HE_LAYOUT_CHANNELS_LAST) {
        *src_desc = od_desc_channels_last(in->rank, in->dims);
        *dst_desc = od_desc_channels_last(out->rank, out->dims);
    } else {
        *src_desc = od_desc_plain(in->rank, in->dims);
        *dst_desc = od_desc_plain(out->rank, out->dims);
    }
    return HE_OK;
}

/* Source to destination, then the epilogue apart. Takes @pd. */
static he_status emit(struct od_build *b, dnnl_primitive_desc_t pd, struct od_operand src,
                      struct od_operand dst, const struct od_epilogue *epilogue)
{
    struct od_call *call;
    he_status status;

    if (!od_is_usable(pd)) {
        od.dnnl_primitive_desc_destroy(pd);
        return refuse(b, "no fast implementation");
    }
    status = od_add_primitive(b, pd, &call);
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_SRC, src);
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_DST, dst);
    if (status == HE_OK)
        status = od_epilogue_apart(b, epilogue);
    return status;
}

static he_status read_pool(struct od_build *b, struct od_pool *pool)
{
    const struct he_node *node = b->anchor;
    const struct he_shape *in = &od_value(b, od_input(b, 0))->shape;
    const struct he_shape *out = &od_value(b, node->outputs[0])->shape;
    bool is_global = strncmp(node->op, "Global", 6) == 0;
    bool is_max = strstr(node->op, "Max") != NULL;
    bool counts_padding = he_node_int(node, "count_include_pad", 0) != 0;
    struct od_window w;
    const int64_t *pads;
    size_t pad_count;
    he_status status;
    int k;

    for (k = 1; k < (int)node->output_count; k++) {
        if (node->outputs[k] != HE_NONE)
            return refuse(b, "its indices are asked for");
    }
    pool->alg = dnnl_pooling_max;
    if (!is_max)
        pool->alg = counts_padding ? dnnl_pooling_avg_include_padding
                                   : dnnl_pooling_avg_exclude_padding;
    if (is_global) {
        for (k = 0; k + 2 < (int)in->rank; k++) {
            pool->kernel[k] = in->dims[2 + k];
            pool->strides[k] = 1;
        }
        return HE_OK;
    }
    status = od_window_read(node, in, out, NULL, false, &w);
    if (status != HE_OK)
        return status;
    pad_count = he_node_ints(node, "pads", &pads);
    for (k = 0; k < w.count; k++) {
        pool->kernel[k] = w.kernel[k];
        pool->strides[k] = w.strides[k];
        pool->dilates[k] = w.dilations[k] - 1;
        pool->pad_begin[k] = w.pad_begin[k];
        pool->pad_end[k] = w.pad_end[k];
        if (w.pad_begin[k] >= w.kernel[k] || w.pad_end[k] >= w.kernel[k])
            return refuse(b, "a window of padding only");
        /* A window that ceil_mode lets hang over counts no pixels there. */
        if (counts_padding && pad_count == 2 * (size_t)w.count &&
            w.pad_end[k] > pads[w.count + k])
            return refuse(b, "padding counted by halves");
        if (!is_max && w.dilations[k] != 1)
            return refuse(b, "a dilated average");
    }
    return HE_OK;
}

/* The pool's primitive in the layout of its descriptors; *pd NULL when there is none. */
static he_status make_pool_pd(const struct od_pool *pool, dnnl_primitive_desc_t *pd)
{
    dnnl_primitive_attr_t attr;
    he_status status = od_attr(NULL, 0, &attr);

    *pd = NULL;
    if (status != HE_OK)
        return status;
    status = od_pool_pd(pool, attr, pd);
    od.dnnl_primitive_attr_destroy(attr);
    return od_keep_usable(status, pd);
}

/* A reorder between two descriptors of our own. */
static he_status change_layout(struct od_build *b, const struct od_desc *from,
                               struct od_operand src, const struct od_desc *to,
                               struct od_operand dst)
{
    struct od_own_md a, z;
    he_status status = od_own_md_init(&a, from);

    if (status != HE_OK)
        return status;
    status = od_own_md_init(&z, to);
    if (status == HE_OK)
        status = od_add_reorder(b, od_own_md_get(&a), src, od_own_md_get(&z), dst);
    od_own_md_fini(&z);
    od_own_md_fini(&a);
    return status;
}

/*
 * Large plain images have no fast pool: there and back is ten times as fast.
 * Not for global pools, which our own loops do at the speed of memory.
 */
static he_status pool_channels_last(struct od_build *b, struct od_pool *pool,
                                    struct od_operand src, struct od_operand dst,
                                    const struct od_epilogue *epilogue)
{
    struct od_pool last = *pool;
    struct od_operand src_last, dst_last;
    const struct od_epilogue none = {.count = 0};
    dnnl_primitive_desc_t pd;
    he_status status;

    last.src = od_desc_channels_last((size_t)pool->src.rank, pool->src.dims);
    last.dst = od_desc_channels_last((size_t)pool->dst.rank, pool->dst.dims);
    status = make_pool_pd(&last, &pd);
    if (status != HE_OK)
        return status;
    if (!pd)
        return refuse(b, "no fast implementation");
    src_last = od_work(b, od_desc_bytes(&last.src));
    dst_last = od_work(b, od_desc_bytes(&last.dst));
    status = change_layout(b, &pool->src, src, &last.src, src_last);
    if (status != HE_OK) {
        od.dnnl_primitive_desc_destroy(pd);
        return status;
    }
    status = emit(b, pd, src_last, dst_last, &none);
    if (status == HE_OK)
        status = change_layout(b, &last.dst, dst_last, &pool->dst, dst);
    if (status == HE_OK)
        status = od_epilogue_apart(b, epilogue);
    return status;
}

he_status od_make_pool(struct od_build *b)
{
    struct od_pool pool = {.alg = dnnl_pooling_max};
    struct od_epilogue epilogue;
    struct od_operand src, dst;
    dnnl_primitive_desc_t pd;
    he_status status = same_layout(b, &src, &dst, &pool.src, &pool.dst);

    if (status == HE_OK)
        status = read_pool(b, &pool);
    if (status == HE_OK)
        status = od_epilogue_read(b, 1, false, &epilogue);
    if (status == HE_OK)
        status = make_pool_pd(&pool, &pd);
    if (status != HE_OK)
        return status;
    if (pd)
        return emit(b, pd, src, dst, &epilogue);
    if (pool.src.strides[1] == 1 || strncmp(b->anchor->op, "Global", 6) == 0)
        return refuse(b, "no fast implementation");
    return pool_channels_last(b, &pool, src, dst, &epilogue);
}

he_status od_make_lrn(struct od_build *b)
{
    const struct he_node *node = b->anchor;
    struct od_epilogue epilogue;
    struct od_operand src, dst;
    struct od_desc data, out;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd = NULL;
    int64_t size = he_node_int(node, "size", 0);
    he_status status = same_layout(b, &src, &dst, &data, &out);

    /* An even window leans the other way in oneDNN. */
    if (status == HE_OK && (size < 1 || size % 2 == 0))
        return refuse(b, "an even window");
    if (status == HE_OK)
        status = od_epilogue_read(b, 1, false, &epilogue);
    if (status == HE_OK)
        status = od_attr(NULL, 0, &attr);
    if (status != HE_OK)
        return status;
    status = od_lrn_pd(&data, size, he_node_float(node, "alpha", 1e-4f),
                       he_node_float(node, "beta", 0.75f), he_node_float(node, "bias", 1.0f), attr,
                       &pd);
    od.dnnl_primitive_attr_destroy(attr);
    if (status != HE_OK)
        return status;
    return emit(b, pd, src, dst, &epilogue);
}

/* The scale ONNX uses along @k must be the ratio of the sizes, as in oneDNN. */
static bool scales_are_ratios(const struct od_build *b, const struct he_shape *in,
                              const struct he_shape *out)
{
    bool is_upsample = strcmp(b->anchor->op, "Upsample") == 0;
    uint32_t input = is_upsample ? 1 : 2;
    const struct he_value *scales;
    float scale;
    uint32_t k;

    if (!is_upsample && b->anchor->opset < 11)
        input = 1;
    if (od_input(b, input) == HE_NONE)
        return true; /* sizes: the ratio by definition */
    scales = od_value(b, od_input(b, input));
    if (scales->dtype == HE_FLOAT32 && he_shape_count(&scales->shape) == 0)
        return true;
    if (!he_value_is_constant(scales) || scales->dtype != HE_FLOAT32 ||
        scales->data_bytes != in->rank * sizeof(float))
        return false;
    for (k = 0; k < in->rank; k++) {
        memcpy(&scale, (const char *)scales->data + k * sizeof scale, sizeof scale);
        if (scale * (float)in->dims[k] != (float)out->dims[k])
            return false;
    }
    return true;
}

static bool sampling_matches(const struct od_build *b, const struct he_shape *in,
                             const struct he_shape *out, dnnl_alg_kind_t *alg)
{
    const struct he_node *node = b->anchor;
    bool is_old = strcmp(node->op, "Upsample") == 0 || node->opset < 11;
    const char *mode = he_node_string(node, "mode", "nearest");
    const char *where = he_node_string(node, "coordinate_transformation_mode",
                                       is_old ? "asymmetric" : "half_pixel");
    const char *rounding = he_node_string(node, "nearest_mode",
                                          is_old ? "floor" : "round_prefer_floor");
    bool is_half_pixel = strcmp(where, "half_pixel") == 0;
    uint32_t k;

    if (he_node_int(node, "antialias", 0) || he_node_attr(node, "axes") ||
        he_node_attr(node, "keep_aspect_ratio_policy") ||
        in->dims[0] != out->dims[0] || in->dims[1] != out->dims[1])
        return false;
    if (strcmp(mode, "linear") == 0) {
        *alg = dnnl_resampling_linear;
        return is_half_pixel;
    }
    *alg = dnnl_resampling_nearest;
    if (strcmp(mode, "nearest") != 0)
        return false;
    /* Enlarging by a whole factor, every pixel is repeated that often whatever
     * the rounding; other ratios meet ties and are left to our own loops. */
    for (k = 2; k < in->rank; k++) {
        if (out->dims[k] % in->dims[k])
            return false;
        if (is_half_pixel && strncmp(rounding, "round", 5) != 0)
            return false;
    }
    return is_half_pixel || (strcmp(where, "asymmetric") == 0 && strcmp(rounding, "floor") == 0);
}

he_status od_make_resize(struct od_build *b)
{
    struct od_epilogue epilogue;
    struct od_operand src, dst;
    struct od_desc in, out;
    dnnl_alg_kind_t alg;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd = NULL;
    const struct he_shape *xs = &od_value(b, od_input(b, 0))->shape;
    const struct he_shape *ys = &od_value(b, b->anchor->outputs[0])->shape;
    he_status status = same_layout(b, &src, &dst, &in, &out);

    if (status != HE_OK)
        return status;
    if (!sampling_matches(b, xs, ys, &alg) || !scales_are_ratios(b, xs, ys))
        return refuse(b, "other sampling points");
    status = od_epilogue_read(b, 1, false, &epilogue);
    if (status == HE_OK)
        status = od_attr(NULL, 0, &attr);
    if (status != HE_OK)
        return status;
    status = od_resample_pd(alg, &in, &out, attr, &pd);
    od.dnnl_primitive_attr_destroy(attr);
    if (status != HE_OK)
        return status;
    return emit(b, pd, src, dst, &epilogue);
}

#endif
