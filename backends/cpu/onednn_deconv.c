/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transposed convolutions. When kernel and stride are equal (the usual way to
 * enlarge by two) each input pixel makes a tile of its own: one matrix product
 * [pixels, I] x [I, tile * O] and a copy that puts the tiles in their places. All
 * others are oneDNN's, without bias and epilogue.
 */
#include "config.h"
#ifdef HE_HAVE_ONEDNN

#include <string.h>

#include "onednn_conv.h"

/* --- The copy --- */

struct tiles {
    int64_t width;           /* of the input */
    int64_t rows;            /* N * height of the input */
    int64_t tile_h, tile_w, channels;
    bool is_last;            /* the output is channels-last */
    int64_t height;          /* of the input, for plain outputs */
};

struct tile_copy {
    const struct tiles *t;
    const float *from;
    float *to;
};

/* One row of output pixels, channels-last: a run of tile_w pixels per input pixel. */
static void copy_row_last(const struct tiles *t, const float *from, float *to)
{
    int64_t run = t->tile_w * t->channels, step = t->tile_h * run, x, k;

    if (run == 2) {
        for (x = 0; x < t->width; x++)
            memcpy(to + 2 * x, from + x * step, 2 * sizeof(float));
    } else if (run < 32) {
        for (x = 0; x < t->width; x++)
            for (k = 0; k < run; k++)
                to[x * run + k] = from[x * step + k];
    } else {
        for (x = 0; x < t->width; x++)
            memcpy(to + x * run, from + x * step, (size_t)run * sizeof(float));
    }
}

/* The same for a plain output: @to is the row of channel 0, @plane the next channel's. */
static void copy_row_plain(const struct tiles *t, const float *from, float *to, int64_t plane)
{
    int64_t step = t->tile_h * t->tile_w * t->channels, c, x, j;

    for (c = 0; c < t->channels; c++)
        for (x = 0; x < t->width; x++)
            for (j = 0; j < t->tile_w; j++)
                to[c * plane + x * t->tile_w + j] = from[x * step + j * t->channels + c];
}

static void copy_rows(void *arg, int64_t begin, int64_t end)
{
    const struct tile_copy *copy = arg;
    const struct tiles *t = copy->t;
    int64_t run = t->tile_w * t->channels, line = t->width * t->tile_w;
    int64_t plane = t->height * t->tile_h * line, row, i, image, y;
    const float *from;

    for (row = begin; row < end; row++) {
        for (i = 0; i < t->tile_h; i++) {
            from = copy->from + row * t->width * t->tile_h * run + i * run;
            if (t->is_last) {
                copy_row_last(t, from, copy->to + (row * t->tile_h + i) * line * t->channels);
                continue;
            }
            image = row / t->height;
            y = row % t->height * t->tile_h + i;
            copy_row_plain(t, from, copy->to + image * t->channels * plane + y * line, plane);
        }
    }
}

static void place_tiles(const void *params, void *const *operands, struct cpu_team *team)
{
    const struct tiles *t = params;
    struct tile_copy copy = {.t = t, .from = operands[0], .to = operands[1]};
    int64_t row_floats = t->width * t->tile_h * t->tile_w * t->channels;

    cpu_parallel(team, t->rows, 1 + 65536 / (row_floats + 1), copy_rows, &copy);
}

/* --- The product --- */

static bool are_tiles(const struct od_conv_task *t)
{
    int spatial = t->conv.src.rank - 2, k;

    if (!t->conv.is_transposed || t->groups != 1 || spatial > 2)
        return false;
    for (k = 0; k < spatial; k++) {
        if (t->conv.strides[k] != t->weights.dims[2 + k] || t->conv.dilates[k] != 0 ||
            t->conv.pad_begin[k] != 0 || t->conv.pad_end[k] != 0)
            return false;
    }
    for (k = 0; k < (int)t->epilogue.count; k++) {
        if (t->posts[k].kind != OD_POST_ELTWISE)
            return false;
    }
    return true;
}

/* [I, tile, O] out of any order of [O, I, tile...], and the bias once per tile pixel. */
static he_status tile_weights(struct od_conv_task *t, int64_t tile, float **weights, float **bias)
{
    struct od_build *b = t->b;
    int64_t outputs = t->weights.dims[0], inputs = t->weights.dims[1], i, o, p;
    int64_t width = t->weights.rank > 3 ? t->weights.dims[3] : tile;
    const int64_t *strides = t->weights.strides;
    int64_t at;

    *weights = od_constant_alloc(b, (size_t)(inputs * tile * outputs) * sizeof(float));
    *bias = od_constant_alloc(b, (size_t)(tile * outputs) * sizeof(float));
    if (!*weights || !*bias)
        return he_error_set(HE_ERR_NO_MEMORY, "no memory for weights");
    for (p = 0; p < tile; p++) {
        for (o = 0; o < outputs; o++) {
            (*bias)[p * outputs + o] = t->bias_data ? t->bias_data[o] : 0;
            for (i = 0; i < inputs; i++) {
                at = o * strides[0] + i * strides[1];
                at += t->weights.rank > 3 ? p / width * strides[2] + p % width * strides[3]
                                          : p * strides[2];
                (*weights)[(i * tile + p) * outputs + o] = t->weight_data[at];
            }
        }
    }
    return HE_OK;
}

static he_status add_copy(struct od_conv_task *t, int64_t tile, struct od_operand from)
{
    int rank = t->conv.src.rank;
    const int64_t *in = t->conv.src.dims;
    struct tiles params = {
        .width = in[rank - 1],
        .height = rank > 3 ? in[2] : 1,
        .tile_h = rank > 3 ? t->weights.dims[2] : 1,
        .channels = t->weights.dims[0],
        .is_last = t->dst_any || !od_is_plain_desc(&t->dst_slot),
    };
    struct od_call *call;
    he_status status;

    params.tile_w = tile / params.tile_h;
    params.rows = in[0] * params.height;
    /* One channel is both layouts; one pixel cannot be with a tile of several. */
    if (t->dst_any && params.channels > 1)
        params.is_last = false;
    status = od_add_function(t->b, place_tiles, &params, sizeof params, &call);
    if (status == HE_OK)
        status = od_add_arg(t->b, call, 0, from);
    if (status == HE_OK)
        status = od_add_arg(t->b, call, 1, t->dst);
    return status;
}

he_status od_conv_tiles(struct od_conv_task *t, bool *is_done)
{
    struct od_build *b = t->b;
    struct od_product product = {0};
    struct od_desc weights_desc, last;
    struct od_operand src = t->src, original, work;
    struct od_own_md want;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    struct od_call *call;
    int64_t tile = 1, pixels = t->conv.src.dims[0], k, columns;
    float *weights = NULL, *bias = NULL;
    void *packed;
    he_status status;

    *is_done = false;
    if (!are_tiles(t))
        return HE_OK;
    for (k = 2; k < t->conv.src.rank; k++) {
        tile *= t->weights.dims[k];
        pixels *= t->conv.src.dims[k];
    }
    columns = tile * t->weights.dims[0];
    product.src = od_desc_plain(2, (int64_t[]){pixels, t->weights.dims[1]});
    weights_desc = od_desc_plain(2, (int64_t[]){t->weights.dims[1], columns});
    product.weights = od_desc_any(weights_desc);
    product.bias = od_desc_plain(2, (int64_t[]){1, columns});
    product.dst = od_desc_plain(2, (int64_t[]){pixels, columns});
    last = od_desc_channels_last((size_t)t->conv.src.rank, t->conv.src.dims);
    if (b->c->use_bf16) {
        product.src = od_desc_bf16(product.src);
        product.weights = od_desc_bf16(product.weights);
        last = od_desc_bf16(last);
    }
    status = od_attr(t->posts, t->epilogue.count, &attr);
    if (status == HE_OK) {
        status = od_product_pd(&product, attr, &pd);
        od.dnnl_primitive_attr_destroy(attr);
    }
    status = od_keep_usable(status, &pd);
    if (status != HE_OK || !pd)
        return status;
    *is_done = true;
    status = od_own_md_init(&want, &last);
    if (status == HE_OK)
        status = od_conv_adapt(b, &t->src_slot, !b->c->use_bf16 && t->src_any,
                               od_own_md_get(&want), true, &src, &original);
    od_own_md_fini(&want);
    if (status == HE_OK)
        status = tile_weights(t, tile, &weights, &bias);
    if (status == HE_OK)
        status = od_pack(b, &weights_desc, weights, od_arg_md(pd, DNNL_ARG_WEIGHTS), &packed);
    od_constant_release(b, weights);
    od_constant_release(b, t->weight_data);
    if (status != HE_OK) {
        od.dnnl_primitive_desc_destroy(pd);
        return status;
    }
    work = od_work(b, od_desc_bytes(&product.dst));
    status = od_add_primitive(b, pd, &call);
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_SRC, src);
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_WEIGHTS, od_constant(packed));
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_BIAS, od_constant(bias));
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_DST, work);
    if (status != HE_OK)
        return status;
    return add_copy(t, tile, work);
}

/* --- The others --- */

he_status od_conv_part_bias(struct od_conv_task *t)
{
    struct od_epilogue *e = &t->epilogue;
    int64_t dims[OD_MAX_RANK];
    int k;

    if (!t->bias_data)
        return HE_OK;
    if (e->count == OD_MAX_POSTS)
        return od_conv_refuse(t, "its epilogue is too long");
    for (k = 0; k < t->conv.dst.rank; k++)
        dims[k] = k == 1 ? e->channels : 1;
    memmove(&e->posts[1], &e->posts[0], e->count * sizeof e->posts[0]);
    memmove(&e->operands[1], &e->operands[0], e->count * sizeof e->operands[0]);
    e->posts[0] = (struct od_post){.kind = OD_POST_BINARY, .alg = dnnl_binary_add,
                                   .operand = od_desc_plain((size_t)t->conv.dst.rank, dims)};
    e->operands[0] = od_constant(t->bias_data);
    e->count++;
    t->bias_data = NULL;
    t->conv.bias = (struct od_desc){.rank = 0};
    return HE_OK;
}

#endif
