/* SPDX-License-Identifier: Apache-2.0 */
/* Transformer blocks that ONNX has as one operator, and their linear relatives. */
#include <inttypes.h>

#include "ops/infer.h"

/* Divides a packed width into heads; unknown stays unknown. */
static he_status per_head(const struct he_node *node, const struct he_value *value,
                          const char *name, int64_t heads, int64_t *out)
{
    int64_t width = he_infer_dim(value, 2);

    *out = HE_DIM_UNKNOWN;
    if (heads < 1 || (width >= 0 && width % heads != 0))
        return he_infer_error(node, "%s %s does not divide into %" PRId64 " heads", name,
                              he_infer_text(value).s, heads);
    if (width >= 0)
        *out = width / heads;
    return HE_OK;
}

struct heads {
    int64_t batch, q_heads, kv_heads, q_length, kv_length, total, size, v_size;
    bool is_packed; /* [batch, length, heads * size], else [batch, heads, length, size] */
};

/* Q, K, V, mask, past K, past V, lengths */
static he_status read_heads(const struct he_node *node, const struct he_value *const *in,
                            struct heads *h)
{
    he_status status = HE_OK;

    for (int k = 0; k < 3 && status == HE_OK; k++)
        status = he_infer_want_rank(node, in[k], k == 0 ? "Q" : k == 1 ? "K" : "V", 3, 4);
    if (status != HE_OK)
        return status;
    h->is_packed = in[0]->shape.rank == 3;
    for (int k = 1; k < 3; k++) {
        if (he_has_rank(in[k]) && in[k]->shape.rank != in[0]->shape.rank)
            return he_infer_error(node, "ranks differ: Q is %s, K is %s, V is %s",
                                  he_infer_text(in[0]).s, he_infer_text(in[1]).s,
                                  he_infer_text(in[2]).s);
    }
    h->batch = he_infer_dim(in[0], 0);
    if (h->is_packed) {
        h->q_heads = he_node_int(node, "q_num_heads", 0);
        h->kv_heads = he_node_int(node, "kv_num_heads", 0);
        h->q_length = he_infer_dim(in[0], 1);
        h->kv_length = he_infer_dim(in[1], 1);
        status = per_head(node, in[0], "Q", h->q_heads, &h->size);
        if (status == HE_OK)
            status = per_head(node, in[2], "V", h->kv_heads, &h->v_size);
        if (status != HE_OK)
            return status;
    } else {
        h->q_heads = he_infer_dim(in[0], 1);
        h->kv_heads = he_infer_dim(in[1], 1);
        h->q_length = he_infer_dim(in[0], 2);
        h->kv_length = he_infer_dim(in[1], 2);
        h->size = he_infer_dim(in[0], 3);
        h->v_size = he_infer_dim(in[2], 3);
        if (he_dim_conflict(h->size, he_infer_dim(in[1], 3)))
            return he_infer_error(node, "head sizes differ: Q is %s, K is %s",
                                  he_infer_text(in[0]).s, he_infer_text(in[1]).s);
    }
    if (h->q_heads > 0 && h->kv_heads > 0 && h->q_heads % h->kv_heads != 0)
        return he_infer_error(node, "%" PRId64 " query heads share %" PRId64, h->q_heads,
                              h->kv_heads);
    h->total = h->kv_length;
    if (in[4]) {
        status = he_infer_want_rank(node, in[4], "past_key", 4, 4);
        if (status != HE_OK)
            return status;
        if (!he_dim_add(h->kv_length, he_infer_dim(in[4], 2), &h->total))
            return he_infer_error(node, "the total length overflows");
    }
    return HE_OK;
}

static HE_INFER_RULE(infer_attention)
{
    struct heads h;
    enum he_dtype type = in[0]->dtype;
    int64_t width;
    he_status status;

    out[0]->dtype = out[3]->dtype = type;
    out[1]->dtype = in[1]->dtype;
    out[2]->dtype = in[2]->dtype;
    if (!he_has_rank(in[0]))
        return HE_OK;
    status = read_heads(node, in, &h);
    if (status != HE_OK)
        return status;
    if (h.is_packed) {
        if (!he_dim_mul(h.q_heads, h.v_size, &width))
            return he_infer_error(node, "the width overflows");
        he_infer_set_dims(out[0], type, 3, (const int64_t[]){ h.batch, h.q_length, width });
    } else {
        he_infer_set_dims(out[0], type, 4,
                          (const int64_t[]){ h.batch, h.q_heads, h.q_length, h.v_size });
    }
    he_infer_set_dims(out[1], in[1]->dtype, 4,
                      (const int64_t[]){ h.batch, h.kv_heads, h.total, h.size });
    he_infer_set_dims(out[2], in[2]->dtype, 4,
                      (const int64_t[]){ h.batch, h.kv_heads, h.total, h.v_size });
    he_infer_set_dims(out[3], type, 4,
                      (const int64_t[]){ h.batch, h.q_heads, h.q_length, h.total });
    return HE_OK;
}

static HE_INFER_RULE(infer_rotary)
{
    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    return he_infer_want_rank(node, in[0], "X", 3, 4);
}

/* query [B, T, Hq*dk], key [B, T, Hkv*dk], value [B, T, Hkv*dv] */
static HE_INFER_RULE(infer_linear_attention)
{
    int64_t q_heads = he_node_int(node, "q_num_heads", 0);
    int64_t kv_heads = he_node_int(node, "kv_num_heads", 0);
    int64_t k_size, v_size, width;
    he_status status = HE_OK;

    for (int k = 0; k < 3 && status == HE_OK; k++)
        status = he_infer_want_rank(node, in[k], k == 0 ? "query" : k == 1 ? "key" : "value", 3, 3);
    if (status == HE_OK)
        status = per_head(node, in[1], "key", kv_heads, &k_size);
    if (status == HE_OK)
        status = per_head(node, in[2], "value", kv_heads, &v_size);
    if (status != HE_OK)
        return status;
    if (q_heads < 1 || q_heads % kv_heads != 0 || !he_dim_mul(q_heads, v_size, &width))
        return he_infer_error(node, "q_num_heads is %" PRId64 ", kv_num_heads %" PRId64, q_heads,
                              kv_heads);
    he_infer_set_dims(out[0], in[0]->dtype, 3,
                      (const int64_t[]){ he_infer_dim(in[0], 0), he_infer_dim(in[0], 1), width });
    he_infer_set_dims(out[1], in[3] ? in[3]->dtype : in[0]->dtype, 4,
                      (const int64_t[]){ he_infer_dim(in[0], 0), kv_heads, k_size, v_size });
    return HE_OK;
}

/* input [B, C, L], weight [C, 1, k] */
static HE_INFER_RULE(infer_causal_conv)
{
    int64_t kernel = he_infer_dim(in[1], 2);
    he_status status = he_infer_want_rank(node, in[0], "the input", 3, 3);

    if (status == HE_OK)
        status = he_infer_want_rank(node, in[1], "the weight", 3, 3);
    if (status != HE_OK)
        return status;
    if (he_dim_conflict(he_infer_dim(in[0], 1), he_infer_dim(in[1], 0)) || kernel == 0)
        return he_infer_error(node, "the input is %s, the weight %s", he_infer_text(in[0]).s,
                              he_infer_text(in[1]).s);
    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    he_infer_set_dims(out[1], in[0]->dtype, 3,
                      (const int64_t[]){ he_infer_dim(in[0], 0), he_infer_dim(in[0], 1),
                                         kernel > 0 ? kernel - 1 : HE_DIM_UNKNOWN });
    return HE_OK;
}

/* --- Work --- */

static double size_of(int64_t dim, struct he_work *work)
{
    if (dim >= 0)
        return (double)dim;
    work->is_estimate = true;
    return 1;
}

/* Two products and a softmax per head. */
static HE_WORK_RULE(work_attention)
{
    struct heads h;
    double scores;

    if (!he_has_rank(in[0]) || read_heads(node, in, &h) != HE_OK) {
        work->is_estimate = true;
        return;
    }
    scores = size_of(h.batch, work) * size_of(h.q_heads, work) * size_of(h.q_length, work) *
             size_of(h.total, work);
    work->flops = scores * (2 * size_of(h.size, work) + 2 * size_of(h.v_size, work) + 14);
}

static HE_WORK_RULE(work_rotary)
{
    work->flops = 3 * he_work_count(in[0], work);
}

/* The state of dk * dv numbers per head is decayed, updated and read at each step. */
static HE_WORK_RULE(work_linear_attention)
{
    double state = he_work_count(out[1], work) / (out[1] ? he_work_dim(out[1], 0, work) : 1);

    work->flops = 6 * state * he_work_dim(in[0], 0, work) * he_work_dim(in[0], 1, work);
}

static HE_WORK_RULE(work_causal_conv)
{
    work->flops = 2 * he_work_dim(in[1], 2, work) * he_work_count(in[0], work);
}

static const struct he_op rows[] = {
    { .name = "Attention", .domain = "", .versions = HE_VERSIONS(23, 24, 25),
      .infer = infer_attention, .work = work_attention, .access = HE_ACCESS_CONTRACTION,
      .work_class = HE_WORK_CONTRACTION, .split_axes = HE_SPLIT_BATCH, .min_inputs = 3,
      .max_inputs = 7, .max_outputs = 4 },
    { .name = "CausalConvWithState", .domain = "", .versions = HE_VERSIONS(27),
      .infer = infer_causal_conv, .work = work_causal_conv, .access = HE_ACCESS_WINDOW,
      .work_class = HE_WORK_DEPTHWISE, .split_axes = HE_SPLIT_BATCH | HE_SPLIT_CHANNEL,
      .min_inputs = 2, .max_inputs = 4, .max_outputs = 2 },
    { .name = "LinearAttention", .domain = "", .versions = HE_VERSIONS(27),
      .infer = infer_linear_attention, .work = work_linear_attention,
      .access = HE_ACCESS_SEQUENTIAL, .work_class = HE_WORK_RECURRENT,
      .split_axes = HE_SPLIT_BATCH, .min_inputs = 3, .max_inputs = 6, .max_outputs = 2 },
    { .name = "RotaryEmbedding", .domain = "", .versions = HE_VERSIONS(23), .infer = infer_rotary,
      .work = work_rotary, .access = HE_ACCESS_BROADCAST, .work_class = HE_WORK_ELEMENTWISE,
      .split_axes = HE_SPLIT_BATCH, .min_inputs = 3, .max_inputs = 4, .max_outputs = 1 },
};

const struct he_op_table he_ops_attention = { rows, HE_COUNT(rows) };
