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

#include "onednn_conv.h"

/* A primitive descriptor, or NULL when there is none worth having. */
static he_status make_pd(const struct od_conv_task *t, const struct od_conv *conv, bool with_posts,
                         dnnl_primitive_desc_t *out)
{
    dnnl_primitive_attr_t attr;
    he_status status = od_attr(t->posts, with_posts ? t->epilogue.count : 0, &attr);

    *out = NULL;
    if (status == HE_ERR_UNSUPPORTED)
        return HE_OK;
    if (status != HE_OK)
        return status;
    status = od_conv_pd(conv, attr, out);
    od.dnnl_primitive_attr_destroy(attr);
    return od_keep_usable(status, out);
}

he_status od_conv_adapt(struct od_build *b, const struct od_desc *slot, bool is_same, od_md want,
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
static he_status emit(struct od_conv_task *t, dnnl_primitive_desc_t pd, bool with_posts,
                      bool src_same, bool dst_same)
{
    struct od_build *b = t->b;
    od_md src = od_arg_md(pd, DNNL_ARG_SRC), dst = od_arg_md(pd, DNNL_ARG_DST);
    struct od_operand from = t->src, to = t->dst, original;
    struct od_own_md own;
    struct od_call *call;
    void *packed;
    he_status status;

    status = od_conv_adapt(b, &t->src_slot, src_same, src, true, &from, &original);
    if (status == HE_OK)
        status = od_conv_adapt(b, &t->dst_slot, dst_same, dst, false, &to, &original);
    if (status == HE_OK)
        status = od_pack(b, &t->weights, t->weight_data, od_arg_md(pd, DNNL_ARG_WEIGHTS), &packed);
    od_constant_release(b, t->weight_data);
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

static int64_t round_up(int64_t channels)
{
    return (channels + 15) / 16 * 16;
}

static bool wants_winograd(const struct od_conv_task *t)
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
    /* It works on whole groups of 16 channels and on tiles of 4 or 6 pixels: with few of
     * either there is nothing left to gain (measured). */
    if (c->dst.dims[2] * c->dst.dims[3] < 64 && w->dims[0] < 64)
        return false;
    return (w->dims[0] > 16 || w->dims[1] > 16) &&
           10 * round_up(w->dims[0]) * round_up(w->dims[1]) < 17 * w->dims[0] * w->dims[1];
}

/* Winograd kernels take a Relu and nothing else. Is what they save worth one more
 * pass over the output? Half of the time at 110 GFLOP/s, against three streams. */
static bool winograd_pays_apart(const struct od_conv_task *t)
{
    return t->flops / 110e9 / 2 > 3 * (double)od_desc_bytes(&t->conv.dst) / 15e9;
}

/* Would a plain convolution be done before the reorders around a channels-last one? */
static bool prefers_plain(const struct od_conv_task *t)
{
    double moved = 0;

    if (t->groups > 1 || t->conv.is_transposed || t->b->c->use_bf16)
        return false;
    if (!t->src_any) {
        if (!od_is_plain_desc(&t->src_slot))
            return false;
        moved += (double)od_desc_bytes(&t->conv.src);
    }
    if (!t->dst_any) {
        if (!od_is_plain_desc(&t->dst_slot))
            return false;
        moved += (double)od_desc_bytes(&t->conv.dst);
    }
    /* Per core: 75 against 110 GFLOP/s; a transposing copy, half of it from memory, 20 GB/s. */
    return moved / 20e9 > t->flops * (1 / 75e9 - 1 / 110e9);
}

/* True when a post-operation reads a tensor as large as the output. Its bytes
 * are in the output slot's layout, so the convolution must write that layout;
 * and with a single channel or pixel oneDNN 2.6 takes it for a broadcast vector. */
static bool has_tensor_operand(const struct od_conv_task *t)
{
    const struct od_post *post;
    size_t k;
    int d;

    for (k = 0; k < t->epilogue.count; k++) {
        post = &t->posts[k];
        for (d = 0; post->kind == OD_POST_BINARY && d < post->operand.rank; d++) {
            if (d != 1 && post->operand.dims[d] != 1)
                return true;
        }
    }
    return false;
}

static he_status try_way(struct od_conv_task *t, const struct od_conv *conv, bool with_posts,
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
    /* Other kernels of 2.6 find the wrong elements of such an operand (measured: with
     * groups, with strides), those named brgconv and brdgmm the right ones. */
    if (with_posts && has_tensor_operand(t) && strncmp(od_impl_name(pd), "br", 2) != 0) {
        od.dnnl_primitive_desc_destroy(pd);
        return HE_OK;
    }
    *is_done = true;
    return emit(t, pd, with_posts, src_same, dst_same);
}

static he_status try_winograd(struct od_conv_task *t, bool *is_done)
{
    struct od_conv way = t->conv;
    he_status status;

    way.is_winograd = true;
    way.src = od_desc_any(t->conv.src);
    way.dst = od_desc_any(t->conv.dst);
    status = try_way(t, &way, true, false, false, is_done);
    if (status == HE_OK && !*is_done && t->epilogue.count > 0 && winograd_pays_apart(t))
        status = try_way(t, &way, false, false, false, is_done);
    return status;
}

/* Direct in one layout; the slots are adapted to it. */
static he_status try_direct(struct od_conv_task *t, bool is_plain, bool with_posts, bool *is_done)
{
    bool use_bf16 = t->b->c->use_bf16;
    bool src_same = t->src_any || od_is_plain_desc(&t->src_slot) == is_plain;
    bool dst_same = t->dst_any || od_is_plain_desc(&t->dst_slot) == is_plain;
    struct od_conv way = t->conv;

    if (!is_plain) {
        way.src = as_last(&t->conv.src);
        way.dst = as_last(&t->conv.dst);
    }
    if (use_bf16) {
        way.src = od_desc_bf16(way.src);
        way.weights = od_desc_bf16(way.weights);
    }
    return try_way(t, &way, with_posts, src_same && !use_bf16, dst_same, is_done);
}

/* oneDNN's blocked layout, reordered to and from the slots'. */
static he_status try_blocked(struct od_conv_task *t, bool is_winograd, bool *is_done)
{
    struct od_conv way = t->conv;
    he_status status;

    way.is_winograd = is_winograd;
    way.src = od_desc_any(t->conv.src);
    way.dst = od_desc_any(t->conv.dst);
    status = try_way(t, &way, true, false, false, is_done);
    if (status == HE_OK && !*is_done)
        status = try_way(t, &way, false, false, false, is_done);
    return status;
}

/* One way and no other, with the epilogue inside where it can be. */
static he_status try_variant(struct od_conv_task *t, const char *variant, bool *is_done)
{
    bool is_plain = strcmp(variant, "plain") == 0;
    he_status status;

    *is_done = false;
    if (t->conv.is_transposed)
        return HE_OK;
    if (strcmp(variant, "winograd") == 0)
        return try_blocked(t, true, is_done);
    if (strcmp(variant, "blocked") == 0)
        return try_blocked(t, false, is_done);
    if (strcmp(variant, "gemm") == 0)
        t->conv.is_gemm = is_plain = true;
    else if (!is_plain && strcmp(variant, "last") != 0)
        return HE_OK;
    status = try_direct(t, is_plain, true, is_done);
    if (status == HE_OK && !*is_done)
        status = try_direct(t, is_plain, false, is_done);
    return status;
}

he_status od_make_conv(struct od_build *b)
{
    struct od_conv_task t = {.b = b};
    bool is_done = false, plain_first;
    he_status status = od_conv_read(&t);

    if (status == HE_OK && b->c->variant) {
        status = try_variant(&t, b->c->variant, &is_done);
        return status == HE_OK && !is_done ? od_conv_refuse(&t, "not possible in this way") : status;
    }
    if (status == HE_OK && t.conv.is_transposed) {
        status = od_conv_tiles(&t, &is_done);
        if (status == HE_OK && !is_done)
            status = od_conv_part_bias(&t);
    }
    if (status == HE_OK && !is_done && wants_winograd(&t))
        status = try_winograd(&t, &is_done);
    plain_first = status == HE_OK && prefers_plain(&t);
    /* With the epilogue inside, then behind; in the better layout, then the other. */
    if (status == HE_OK && !is_done && !t.conv.is_transposed)
        status = try_direct(&t, plain_first, true, &is_done);
    if (status == HE_OK && !is_done && !t.conv.is_transposed)
        status = try_direct(&t, !plain_first, true, &is_done);
    if (status == HE_OK && !is_done)
        status = try_direct(&t, plain_first, false, &is_done);
    if (status == HE_OK && !is_done)
        status = try_direct(&t, !plain_first, false, &is_done);
    if (status == HE_OK && !is_done)
        return od_conv_refuse(&t, "no fast implementation");
    return status;
}

#endif
