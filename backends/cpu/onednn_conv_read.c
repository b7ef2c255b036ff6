/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a convolution task: shapes, windows, weights and bias with the scale and
 * shift of its epilogue folded in.
 */
#include "config.h"
#ifdef HE_HAVE_ONEDNN

#include <string.h>

#include "onednn_conv.h"

bool od_is_plain_desc(const struct od_desc *slot)
{
    return slot->strides[slot->rank - 1] == 1;
}

he_status od_conv_refuse(const struct od_conv_task *t, const char *why)
{
    return he_error_set(HE_ERR_UNSUPPORTED, "%s %s: oneDNN does not take it: %s",
                        t->b->anchor->op, t->b->anchor->name, why);
}

/* The ONNX weights as [G, O/G, I/G, k...], in place. */
static struct od_desc weights_desc(const struct he_shape *w, int64_t groups, bool is_transposed)
{
    int64_t dims[OD_MAX_RANK], window = 1, stride;
    struct od_desc desc;
    uint32_t k, at = groups > 1 ? 1 : 0;

    for (k = 2; k < w->rank; k++) {
        window *= w->dims[k];
        dims[at + k] = w->dims[k];
    }
    dims[0] = groups;
    if (!is_transposed) {
        dims[at] = w->dims[0] / groups;
        dims[at + 1] = w->dims[1];
        return od_desc_plain(w->rank + at, dims);
    }
    /* ConvTranspose keeps [I, O/G, k...]. */
    dims[at] = w->dims[1];
    dims[at + 1] = w->dims[0] / groups;
    desc = od_desc_plain(w->rank + at, dims);
    stride = w->dims[1] * window;
    desc.strides[at] = window;
    desc.strides[at + 1] = stride;
    if (at)
        desc.strides[0] = w->dims[0] / groups * stride;
    return desc;
}

/* Weights and bias with the folded scale and shift, in new memory when they change. */
static he_status fold_parameters(struct od_conv_task *t, uint32_t weights, uint32_t bias)
{
    struct od_build *b = t->b;
    const struct he_shape *w = &od_value(b, weights)->shape;
    bool is_transposed = t->conv.is_transposed;
    const float *given;
    float *scaled;
    int64_t channels = t->epilogue.channels, per_group = channels / t->groups;
    int64_t window = 1, rows, columns, r, c, k, o;
    size_t count;
    he_status status = od_constant_floats(b, weights, &t->weight_data, &count);

    if (status != HE_OK)
        return status;
    if (bias != HE_NONE || t->epilogue.shift) {
        t->bias_data = od_constant_alloc(b, (size_t)channels * sizeof(float));
        if (!t->bias_data)
            return he_error_set(HE_ERR_NO_MEMORY, "no memory for a convolution's bias");
    }
    if (bias != HE_NONE) {
        status = od_constant_floats(b, bias, &given, &count);
        if (status != HE_OK)
            return status;
        if ((int64_t)count != channels)
            return od_conv_refuse(t, "its bias does not fit the channels");
        memcpy(t->bias_data, given, count * sizeof(float));
    }
    if (!t->epilogue.scale)
        return HE_OK;
    for (c = 0; c < channels; c++)
        t->bias_data[c] = t->bias_data[c] * t->epilogue.scale[c] + t->epilogue.shift[c];
    rows = w->dims[0];
    columns = w->dims[1];
    for (k = 2; k < w->rank; k++)
        window *= w->dims[k];
    scaled = od_constant_alloc(b, (size_t)(rows * columns * window) * sizeof(float));
    if (!scaled)
        return he_error_set(HE_ERR_NO_MEMORY, "no memory for a convolution's weights");
    for (r = 0; r < rows; r++) {
        for (c = 0; c < columns; c++) {
            o = is_transposed ? r / (rows / t->groups) * per_group + c : r;
            for (k = 0; k < window; k++)
                scaled[(r * columns + c) * window + k] =
                    t->weight_data[(r * columns + c) * window + k] * t->epilogue.scale[o];
        }
    }
    od_constant_release(b, t->weight_data);
    t->weight_data = scaled;
    return HE_OK;
}

/* An image one pixel wide, under windows one pixel wide. */
static bool is_column(const struct he_shape *in, const struct he_shape *out,
                      const struct od_window *w)
{
    return w->count == 2 && in->dims[3] == 1 && out->dims[3] == 1 && w->kernel[1] == 1 &&
           w->pad_begin[1] == 0 && w->pad_end[1] == 0 && out->dims[2] > 1;
}

static void swap(int64_t *a, int64_t *b)
{
    int64_t was = *a;

    *a = *b;
    *b = was;
}

/* The last two dimensions change places. */
static void turn_desc(struct od_desc *desc)
{
    swap(&desc->dims[desc->rank - 1], &desc->dims[desc->rank - 2]);
    swap(&desc->strides[desc->rank - 1], &desc->strides[desc->rank - 2]);
}

static void turn(struct od_conv_task *t, struct he_shape shapes[2])
{
    size_t k;

    for (k = 0; k < 2; k++)
        swap(&shapes[k].dims[2], &shapes[k].dims[3]);
    swap(&t->conv.strides[0], &t->conv.strides[1]);
    swap(&t->conv.dilates[0], &t->conv.dilates[1]);
    swap(&t->conv.pad_begin[0], &t->conv.pad_begin[1]);
    swap(&t->conv.pad_end[0], &t->conv.pad_end[1]);
    for (k = 0; k < t->epilogue.count; k++) {
        if (t->posts[k].kind != OD_POST_BINARY)
            continue;
        turn_desc(&t->posts[k].operand);
        /* A dimension of 1 has whatever stride a descriptor made for it would have. */
        if (od_is_plain_desc(&t->posts[k].operand))
            t->posts[k].operand = od_desc_plain(4, t->posts[k].operand.dims);
        else
            t->posts[k].operand = od_desc_channels_last(4, t->posts[k].operand.dims);
    }
}

he_status od_conv_read(struct od_conv_task *t)
{
    struct od_build *b = t->b;
    const struct he_node *node = b->anchor;
    uint32_t x = od_input(b, 0), w = od_input(b, 1), bias = od_input(b, 2);
    const struct he_shape *in, *out, *ws;
    enum he_layout src_layout, dst_layout;
    struct he_shape turned[2];
    struct od_window window;
    int64_t channels;
    he_status status;
    int k;

    t->conv.is_transposed = strcmp(node->op, "ConvTranspose") == 0;
    if (!od_is_constant(b, w) || (bias != HE_NONE && !od_is_constant(b, bias)))
        return od_conv_refuse(t, "its weights are not constant");
    in = &od_value(b, x)->shape;
    out = &od_value(b, node->outputs[0])->shape;
    ws = &od_value(b, w)->shape;
    t->groups = he_node_int(node, "group", 1);
    if (ws->rank != in->rank || t->groups < 1)
        return od_conv_refuse(t, "weights of another rank");
    status = od_window_read(node, in, out, ws->dims + 2, t->conv.is_transposed, &window);
    if (status != HE_OK)
        return status;
    channels = t->conv.is_transposed ? ws->dims[0] : ws->dims[1] * t->groups;
    if (channels != in->dims[1] || in->dims[1] % t->groups || out->dims[1] % t->groups ||
        he_shape_count(in) <= 0 || he_shape_count(out) <= 0)
        return od_conv_refuse(t, "channels that do not fit");
    t->is_turned = is_column(in, out, &window);
    for (k = 0; k < window.count; k++) {
        t->conv.strides[k] = window.strides[k];
        t->conv.dilates[k] = window.dilations[k] - 1;
        t->conv.pad_begin[k] = window.pad_begin[k];
        t->conv.pad_end[k] = window.pad_end[k];
    }
    status = od_epilogue_read(b, 1, true, &t->epilogue);
    if (status != HE_OK)
        return status;
    memcpy(t->posts, t->epilogue.posts, sizeof t->posts);
    if (!od_slot(b, x, &t->src, &src_layout) ||
        !od_slot(b, od_task_output(b), &t->dst, &dst_layout))
        return od_conv_refuse(t, "its input is constant");
    t->src_any = od_layouts_coincide(in);
    t->dst_any = od_layouts_coincide(out);
    turned[0] = *in;
    turned[1] = *out;
    if (t->is_turned) {
        turn(t, turned);
        in = &turned[0];
        out = &turned[1];
    }
    t->conv.src = od_desc_plain(in->rank, in->dims);
    t->conv.dst = od_desc_plain(out->rank, out->dims);
    t->src_slot = src_layout == HE_LAYOUT_PLAIN ? t->conv.src
                                                : od_desc_channels_last(in->rank, in->dims);
    t->dst_slot = dst_layout == HE_LAYOUT_PLAIN ? t->conv.dst
                                                : od_desc_channels_last(out->rank, out->dims);
    t->weights = weights_desc(ws, t->groups, t->conv.is_transposed);
    if (t->is_turned)
        turn_desc(&t->weights);
    t->conv.weights = od_desc_any(t->weights);
    status = fold_parameters(t, w, bias);
    if (status != HE_OK)
        return status;
    if (t->bias_data)
        t->conv.bias = od_desc_plain(1, &out->dims[1]);
    t->flops = 2.0 * (double)he_shape_count(t->conv.is_transposed ? in : out) *
               (double)(he_shape_count(ws) / ws->dims[0]);
    return HE_OK;
}

#endif
