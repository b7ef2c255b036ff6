/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conv and ConvTranspose. Three ways, tried in this order:
 *
 *   Winograd, for 3x3 kernels of stride 1: 1.3 to 2.8 times as fast as the
 *     direct way, the change to its blocked format and back included
 *     (measured on AVX-512 over the convolutions of nine networks);
 *   direct in channels-last, the fastest direct format there, with reorders
 *     where a slot is plain;
 *   direct in the plain layout, where reorders would cost more than they gain.
 *
 * A scale and shift per channel behind the convolution go into weights and bias.
 */
#include "config.h"
#ifdef HE_HAVE_ONEDNN

#include <string.h>

#include "onednn_makers.h"
#include "onednn_post.h"

struct conv_task {
    struct od_build *b;
    struct od_conv conv; /* descriptors in the plain layout */
    struct od_epilogue epilogue;
    struct od_operand src, dst;
    struct od_desc src_slot, dst_slot; /* as the slots have them */
    bool src_any, dst_any; /* both layouts are the same bytes */
    struct od_desc weights; /* of the source data */
    const float *weight_data;
    float *bias_data; /* NULL: none */
    int64_t groups;
    double flops;
};

static he_status refuse(const struct conv_task *t, const char *why)
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
static he_status fold_parameters(struct conv_task *t, uint32_t weights, uint32_t bias)
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
            return refuse(t, "its bias does not fit the channels");
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
    t->weight_data = scaled;
    return HE_OK;
}

static he_status read_task(struct conv_task *t)
{
    struct od_build *b = t->b;
    const struct he_node *node = b->anchor;
    uint32_t x = od_input(b, 0), w = od_input(b, 1), bias = od_input(b, 2);
    const struct he_shape *in, *out, *ws;
    int64_t channels;
    struct od_window window;
    he_status status;
    int k;

    t->conv.is_transposed = strcmp(node->op, "ConvTranspose") == 0;
    if (!od_is_constant(b, w) || (bias != HE_NONE && !od_is_constant(b, bias)))
        return refuse(t, "its weights are not constant");
    in = &od_value(b, x)->shape;
    out = &od_value(b, node->outputs[0])->shape;
    ws = &od_value(b, w)->shape;
    t->groups = he_node_int(node, "group", 1);
    if (ws->rank != in->rank || t->groups < 1)
        return refuse(t, "weights of another rank");
    status = od_window_read(node, in, out, ws->dims + 2, t->conv.is_transposed, &window);
    if (status != HE_OK)
        return status;
    channels = t->conv.is_transposed ? ws->dims[0] : ws->dims[1] * t->groups;
    if (channels != in->dims[1] || in->dims[1] % t->groups || out->dims[1] % t->groups ||
        he_shape_count(in) <= 0 || he_shape_count(out) <= 0)
        return refuse(t, "channels that do not fit");
    for (k = 0; k < window.count; k++) {
        t->conv.strides[k] = window.strides[k];
        t->conv.dilates[k] = window.dilations[k] - 1;
        t->conv.pad_begin[k] = window.pad_begin[k];
        t->conv.pad_end[k] = window.pad_end[k];
    }
    status = od_epilogue_read(b, 1, true, &t->epilogue);
    if (status != HE_OK)
        return status;
    if (!od_slot(b, x, &t->src, NULL) || !od_slot(b, od_task_output(b), &t->dst, NULL))
        return refuse(t, "its input is constant");
    t->src_slot = od_slot_desc(b, x);
    t->dst_slot = od_slot_desc(b, od_task_output(b));
    t->src_any = od_layouts_coincide(in);
    t->dst_any = od_layouts_coincide(out);
    t->conv.src = od_desc_plain(in->rank, in->dims);
    t->conv.dst = od_desc_plain(out->rank, out->dims);
    t->weights = weights_desc(ws, t->groups, t->conv.is_transposed);
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

/* A primitive descriptor, or NULL when there is none worth having. */
static he_status make_pd(const struct conv_task *t, const struct od_conv *conv, bool with_posts,
                         dnnl_primitive_desc_t *out)
{
    dnnl_primitive_attr_t attr;
    he_status status = od_attr(t->epilogue.posts, with_posts ? t->epilogue.count : 0, &attr);

    *out = NULL;
    if (status == HE_ERR_UNSUPPORTED)
        return HE_OK;
    if (status != HE_OK)
        return status;
    status = od_conv_pd(conv, attr, out);
    od.dnnl_primitive_attr_destroy(attr);
    return od_keep_usable(status, out);
}

/* Adds what brings @slot's bytes into the format @want; *operand then says where they are. */
static he_status adapt(struct od_build *b, const struct od_desc *slot, bool is_same, od_md want,
                       bool is_input, struct od_operand *operand, struct od_operand *original)
{
    struct od_own_md own;
    struct od_operand work;
    he_status status = od_own_md_init(&own, slot);

    *original = *operand;
    if (status != HE_OK)
        return status;
    if (!is_same && !od.dnnl_memory_desc_equal(od_own_md_get(&own), want)) {
        work = od_work(b, od.dnnl_memory_desc_get_size(want));
        if (is_input)
            status = od_add_reorder(b, od_own_md_get(&own), *operand, want, work);
        *operand = work;
    }
    od_own_md_fini(&own);
    return status;
}

/* Puts the convolution between the reorders it needs. Takes @pd. */
static he_status emit(struct conv_task *t, dnnl_primitive_desc_t pd, bool with_posts,
                      bool src_same, bool dst_same)
{
    struct od_build *b = t->b;
    od_md src = od_arg_md(pd, DNNL_ARG_SRC), dst = od_arg_md(pd, DNNL_ARG_DST);
    struct od_operand from = t->src, to = t->dst, original;
    struct od_own_md own;
    struct od_call *call;
    void *packed;
    he_status status;

    status = adapt(b, &t->src_slot, src_same, src, true, &from, &original);
    if (status == HE_OK)
        status = adapt(b, &t->dst_slot, dst_same, dst, false, &to, &original);
    if (status == HE_OK)
        status = od_pack(b, &t->weights, t->weight_data, od_arg_md(pd, DNNL_ARG_WEIGHTS), &packed);
    if (status != HE_OK) {
        od.dnnl_primitive_desc_destroy(pd);
        return status;
    }
    status = od_add_primitive(b, pd, &call);
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_SRC, from);
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_WEIGHTS, od_constant(packed));
    if (status == HE_OK && t->bias_data)
        status = od_add_arg(b, call, DNNL_ARG_BIAS, od_constant(t->bias_data));
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_DST, to);
    if (status == HE_OK && with_posts)
        status = od_epilogue_attach(b, call, &t->epilogue);
    if (status == HE_OK && to.place == OD_WORK) {
        status = od_own_md_init(&own, &t->dst_slot);
        if (status == HE_OK)
            status = od_add_reorder(b, dst, to, od_own_md_get(&own), original);
        od_own_md_fini(&own);
    }
    if (status == HE_OK && !with_posts)
        status = od_epilogue_apart(b, &t->epilogue);
    return status;
}

static struct od_desc as_last(const struct od_desc *plain)
{
    return od_desc_channels_last((size_t)plain->rank, plain->dims);
}

static bool is_plain(const struct od_desc *slot)
{
    return slot->strides[slot->rank - 1] == 1;
}

static bool wants_winograd(const struct conv_task *t)
{
    const struct od_conv *c = &t->conv;
    const struct od_desc *w = &t->weights;
    size_t k;

    if (c->is_transposed || t->b->c->use_bf16 || t->groups != 1 || w->rank != 4 ||
        w->dims[2] != 3 || w->dims[3] != 3 || w->dims[1] < 16 || w->dims[0] < 16)
        return false;
    for (k = 0; k < 2; k++) {
        if (c->strides[k] != 1 || c->dilates[k] != 0 || c->dst.dims[2 + k] < 6)
            return false;
    }
    for (k = 0; k < t->epilogue.count; k++) {
        if (t->epilogue.posts[k].kind == OD_POST_BINARY)
            return false;
    }
    return true;
}

/* Would a plain convolution be done before the reorders around a channels-last one? */
static bool prefers_plain(const struct conv_task *t)
{
    double moved = 0;

    if (t->groups > 1 || t->conv.is_transposed || t->b->c->use_bf16)
        return false;
    if (!t->src_any) {
        if (!is_plain(&t->src_slot))
            return false;
        moved += (double)od_desc_bytes(&t->conv.src);
    }
    if (!t->dst_any) {
        if (!is_plain(&t->dst_slot))
            return false;
        moved += (double)od_desc_bytes(&t->conv.dst);
    }
    /* Per core: 75 against 110 GFLOP/s; a transposing copy, half of it from memory, 20 GB/s. */
    return moved / 20e9 > t->flops * (1 / 75e9 - 1 / 110e9);
}

/* True when a post-operation reads a tensor as large as the output. Its bytes
 * are in the output slot's layout, so the convolution must write that layout;
 * and with a single channel or pixel oneDNN 2.6 takes it for a broadcast vector. */
static bool has_tensor_operand(const struct conv_task *t)
{
    const struct od_post *post;
    size_t k;
    int d;

    for (k = 0; k < t->epilogue.count; k++) {
        post = &t->epilogue.posts[k];
        for (d = 0; post->kind == OD_POST_BINARY && d < post->operand.rank; d++) {
            if (d != 1 && post->operand.dims[d] != 1)
                return true;
        }
    }
    return false;
}

static he_status try_way(struct conv_task *t, const struct od_conv *conv, bool with_posts,
                         bool src_same, bool dst_same, bool *is_done)
{
    dnnl_primitive_desc_t pd = NULL;
    he_status status;

    *is_done = false;
    if (with_posts && (!dst_same || t->dst_any) && has_tensor_operand(t))
        return HE_OK;
    status = make_pd(t, conv, with_posts, &pd);
    if (status != HE_OK || !pd)
        return status;
    *is_done = true;
    return emit(t, pd, with_posts, src_same, dst_same);
}

he_status od_make_conv(struct od_build *b)
{
    struct conv_task t = {.b = b};
    struct od_conv way;
    bool is_done = false, apart;
    int k;
    he_status status = read_task(&t);

    if (status != HE_OK)
        return status;
    if (wants_winograd(&t)) {
        way = t.conv;
        way.is_winograd = true;
        way.src = od_desc_any(t.conv.src);
        way.dst = od_desc_any(t.conv.dst);
        status = try_way(&t, &way, true, false, false, &is_done);
    }
    /* With the epilogue inside, then behind; in the better layout, then the other. */
    for (k = 0; k < 4 && status == HE_OK && !is_done; k++) {
        apart = k >= 2;
        if (apart && t.epilogue.count == 0)
            break;
        way = t.conv;
        if (prefers_plain(&t) == (k % 2 == 0)) {
            if (b->c->use_bf16)
                continue;
            status = try_way(&t, &way, !apart, t.src_any || is_plain(&t.src_slot),
                             t.dst_any || is_plain(&t.dst_slot), &is_done);
            continue;
        }
        way.src = as_last(&t.conv.src);
        way.dst = as_last(&t.conv.dst);
        if (b->c->use_bf16) {
            way.src = od_desc_bf16(way.src);
            way.weights = od_desc_bf16(way.weights);
        }
        status = try_way(&t, &way, !apart,
                         !b->c->use_bf16 && (t.src_any || !is_plain(&t.src_slot)),
                         t.dst_any || !is_plain(&t.dst_slot), &is_done);
    }
    if (status == HE_OK && !is_done)
        return refuse(&t, "no fast implementation");
    return status;
}

#endif
