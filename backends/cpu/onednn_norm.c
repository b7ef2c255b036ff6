/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax and the normalisations with their own statistics or given ones. */
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

/* Input and output slots, which must have the same layout. */
static he_status slots_of(const struct od_build *b, struct od_operand *src, struct od_operand *dst,
                          bool *is_last)
{
    uint32_t x = od_input(b, 0), y = od_task_output(b);
    enum he_layout from, to;

    if (y == HE_NONE || !od_slot(b, x, src, &from) || !od_slot(b, y, dst, &to))
        return refuse(b, "its input is constant");
    if (od_layouts_coincide(&od_value(b, x)->shape))
        from = to = HE_LAYOUT_PLAIN;
    if (from != to)
        return refuse(b, "its output is in another layout than its input");
    *is_last = from == HE_LAYOUT_CHANNELS_LAST;
    return HE_OK;
}

static he_status emit(struct od_build *b, dnnl_primitive_desc_t pd, struct od_operand src,
                      struct od_operand dst, struct od_call **call)
{
    he_status status;

    if (!od_is_usable(pd)) {
        od.dnnl_primitive_desc_destroy(pd);
        return refuse(b, "no fast implementation");
    }
    status = od_add_primitive(b, pd, call);
    if (status == HE_OK)
        status = od_add_arg(b, *call, DNNL_ARG_SRC, src);
    if (status == HE_OK)
        status = od_add_arg(b, *call, DNNL_ARG_DST, dst);
    return status;
}

he_status od_make_softmax(struct od_build *b)
{
    const struct he_node *node = b->anchor;
    const struct he_shape *shape = &od_value(b, od_input(b, 0))->shape;
    bool is_log = strcmp(node->op, "LogSoftmax") == 0, is_flat = node->opset < 13, is_last;
    int64_t axis = he_node_int(node, "axis", is_flat ? 1 : -1), parts[3] = {1, 1, 1};
    struct od_epilogue epilogue;
    struct od_operand src, dst;
    struct od_desc data;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd = NULL;
    struct od_call *call;
    int64_t k;
    he_status status = slots_of(b, &src, &dst, &is_last);

    if (status == HE_OK)
        status = od_epilogue_read(b, 0, false, &epilogue);
    if (status != HE_OK)
        return status;
    axis += axis < 0 ? shape->rank : 0;
    if (axis < 0 || axis >= shape->rank || he_shape_count(shape) <= 0)
        return refuse(b, "an axis it does not have");
    /* Before version 13 everything from the axis on is one row. */
    for (k = 0; k < shape->rank; k++)
        parts[k < axis ? 0 : (k == axis || is_flat ? 1 : 2)] *= shape->dims[k];
    if (is_last) {
        if (axis != 1 || is_flat)
            return refuse(b, "channels-last, along another axis");
        parts[0] *= parts[2];
        parts[2] = 1;
    }
    if (parts[2] == 1)
        data = od_desc_plain(2, parts);
    else
        data = od_desc_plain(3, parts);
    status = od_attr(NULL, 0, &attr);
    if (status != HE_OK)
        return status;
    status = od_softmax_pd(is_log, &data, 1, attr, &pd);
    od.dnnl_primitive_attr_destroy(attr);
    if (status == HE_OK)
        status = emit(b, pd, src, dst, &call);
    if (status == HE_OK)
        status = od_epilogue_apart(b, &epilogue);
    return status;
}

he_status od_make_batch_norm(struct od_build *b)
{
    static const int args[4] = {DNNL_ARG_SCALE, DNNL_ARG_SHIFT, DNNL_ARG_MEAN, DNNL_ARG_VARIANCE};
    const struct he_node *node = b->anchor;
    const struct he_shape *shape = &od_value(b, od_input(b, 0))->shape;
    struct od_epilogue epilogue;
    struct od_operand src, dst;
    struct od_desc data;
    const float *parts[4];
    size_t count[4], k;
    float *copy;
    bool is_last, has_relu;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd = NULL;
    struct od_call *call;
    he_status status = slots_of(b, &src, &dst, &is_last);

    if (status == HE_OK)
        status = od_epilogue_read(b, 1, true, &epilogue);
    if (status != HE_OK)
        return status;
    if (shape->rank < 2 || shape->rank > 5 || he_node_int(node, "training_mode", 0) ||
        he_node_int(node, "spatial", 1) == 0)
        return refuse(b, "training, or a rank it does not know");
    for (k = 1; k < node->output_count; k++) {
        if (node->outputs[k] != HE_NONE)
            return refuse(b, "its statistics are asked for");
    }
    for (k = 0; k < 4; k++) {
        if (!od_is_constant(b, od_input(b, (uint32_t)k + 1)))
            return refuse(b, "parameters that are not constant");
        status = od_constant_floats(b, od_input(b, (uint32_t)k + 1), &parts[k], &count[k]);
        if (status != HE_OK)
            return status;
        if ((int64_t)count[k] != shape->dims[1])
            return refuse(b, "parameters that do not fit");
    }
    if (epilogue.scale) {
        copy = od_constant_alloc(b, 2 * count[0] * sizeof(float));
        if (!copy)
            return he_error_set(HE_ERR_NO_MEMORY, "no memory for a normalisation");
        for (k = 0; k < count[0]; k++) {
            copy[k] = parts[0][k] * epilogue.scale[k];
            copy[count[0] + k] = parts[1][k] * epilogue.scale[k] + epilogue.shift[k];
        }
        parts[0] = copy;
        parts[1] = copy + count[0];
    }
    has_relu = epilogue.count > 0 && epilogue.posts[0].kind == OD_POST_ELTWISE &&
               epilogue.posts[0].alg == dnnl_eltwise_relu && epilogue.posts[0].alpha == 0;
    if (epilogue.count > (has_relu ? 1u : 0u))
        return refuse(b, "an epilogue that is no Relu");
    data = is_last ? od_desc_channels_last(shape->rank, shape->dims)
                   : od_desc_plain(shape->rank, shape->dims);
    status = od_attr(NULL, 0, &attr);
    if (status != HE_OK)
        return status;
    status = od_batch_norm_pd(&data, he_node_float(node, "epsilon", 1e-5f), has_relu, attr, &pd);
    od.dnnl_primitive_attr_destroy(attr);
    if (status == HE_OK)
        status = emit(b, pd, src, dst, &call);
    for (k = 0; k < 4 && status == HE_OK; k++)
        status = od_add_arg(b, call, args[k], od_constant(parts[k]));
    return status;
}

he_status od_make_layer_norm(struct od_build *b)
{
    const struct he_node *node = b->anchor;
    const struct he_shape *shape = &od_value(b, od_input(b, 0))->shape;
    uint32_t scale = od_input(b, 1), shift = od_input(b, 2), k;
    int64_t axis = he_node_int(node, "axis", -1), parts[2] = {1, 1};
    struct od_epilogue epilogue;
    struct od_operand src, dst;
    struct od_desc data;
    const float *scales, *shifts = NULL;
    size_t count;
    bool is_last;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd = NULL;
    struct od_call *call;
    he_status status = slots_of(b, &src, &dst, &is_last);

    if (status == HE_OK)
        status = od_epilogue_read(b, 0, false, &epilogue);
    if (status != HE_OK)
        return status;
    axis += axis < 0 ? shape->rank : 0;
    if (is_last || axis < 0 || axis >= shape->rank || he_shape_count(shape) <= 0)
        return refuse(b, "this layout or axis");
    for (k = 1; k < node->output_count; k++) {
        if (node->outputs[k] != HE_NONE)
            return refuse(b, "its statistics are asked for");
    }
    if (!od_is_constant(b, scale) || (shift != HE_NONE && !od_is_constant(b, shift)))
        return refuse(b, "parameters that are not constant");
    for (k = 0; k < shape->rank; k++)
        parts[k < axis ? 0 : 1] *= shape->dims[k];
    status = od_constant_floats(b, scale, &scales, &count);
    if (status == HE_OK && (int64_t)count != parts[1])
        return refuse(b, "a scale that is spread");
    if (status == HE_OK && shift != HE_NONE) {
        status = od_constant_floats(b, shift, &shifts, &count);
        if (status == HE_OK && (int64_t)count != parts[1])
            return refuse(b, "a shift that is spread");
    }
    if (status == HE_OK)
        status = od_attr(NULL, 0, &attr);
    if (status != HE_OK)
        return status;
    data = od_desc_plain(2, parts);
    status = od_layer_norm_pd(&data, he_node_float(node, "epsilon", 1e-5f), shifts != NULL, attr,
                              &pd);
    od.dnnl_primitive_attr_destroy(attr);
    if (status == HE_OK)
        status = emit(b, pd, src, dst, &call);
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_SCALE, od_constant(scales));
    if (status == HE_OK && shifts)
        status = od_add_arg(b, call, DNNL_ARG_SHIFT, od_constant(shifts));
    if (status == HE_OK)
        status = od_epilogue_apart(b, &epilogue);
    return status;
}

#endif
