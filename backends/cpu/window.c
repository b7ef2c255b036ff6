/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the geometry of convolutions and pools (window.h). */
#include "window.h"

/* No product of two of these overflows. */
#define LIMIT ((int64_t)1 << 30)

struct cpu_image cpu_image_of(const struct he_tensor *tensor)
{
    struct cpu_image image = {.data = tensor->data, .size = {1, 1, 1}};
    uint32_t d, at;

    image.n = tensor->shape.dims[0];
    image.c = tensor->shape.dims[1];
    image.n_stride = tensor->strides[0];
    image.c_stride = tensor->strides[1];
    for (d = 2; d < tensor->shape.rank && d < 5; d++) {
        at = 3 - (tensor->shape.rank - d);
        image.size[at] = tensor->shape.dims[d];
        image.stride[at] = tensor->strides[d];
    }
    return image;
}

/* Entry k of the attribute goes to axis 3 - rank + k; other axes keep @fallback. */
static he_status read_list(const struct he_node *node, const char *name, uint32_t rank,
                           int64_t least, int64_t fallback, int64_t out[3])
{
    const int64_t *list;
    size_t count = he_node_ints(node, name, &list);
    uint32_t k;

    for (k = 0; k < 3; k++)
        out[k] = fallback;
    if (count == 0)
        return HE_OK;
    if (count < rank)
        return he_error_set(HE_ERR_SHAPE, "%s: %s has %zu entries for %u spatial axes", node->op,
                            name, count, rank);
    for (k = 0; k < rank; k++) {
        if (list[k] < least || list[k] > LIMIT)
            return he_error_set(HE_ERR_SHAPE, "%s: %s[%u] is %lld", node->op, name, k,
                                (long long)list[k]);
        out[3 - rank + k] = list[k];
    }
    return HE_OK;
}

static he_status read_sizes(const struct cpu_call *call, const struct he_tensor *in,
                            const struct he_tensor *weights, const struct he_tensor *out,
                            struct cpu_window *w)
{
    uint32_t rank = in->shape.rank - 2, k;
    struct cpu_image a, b;
    he_status status;

    if (in->shape.rank < 2 || in->shape.rank > 5 || out->shape.rank != in->shape.rank ||
        (weights && weights->shape.rank != in->shape.rank))
        return he_error_set(HE_ERR_UNSUPPORTED, "%s: an input of rank %u, at most 5 are done here",
                            call->node->op, in->shape.rank);
    a = cpu_image_of(in);
    b = cpu_image_of(out);
    memset(w, 0, sizeof *w);
    status = read_list(call->node, "kernel_shape", rank, 1, 1, w->kernel);
    if (status == HE_OK)
        status = read_list(call->node, "strides", rank, 1, 1, w->stride);
    if (status == HE_OK)
        status = read_list(call->node, "dilations", rank, 1, 1, w->dilation);
    for (k = 0; k < 3; k++) {
        w->in[k] = a.size[k];
        w->out[k] = b.size[k];
        if (weights) /* the weights' own shape is what is in memory */
            w->kernel[k] = cpu_image_of(weights).size[k];
        if (status == HE_OK && (w->in[k] > LIMIT || w->out[k] > LIMIT || w->kernel[k] < 1))
            status =
                he_error_set(HE_ERR_SHAPE, "%s: spatial sizes are out of range", call->node->op);
    }
    return status;
}

static he_status read_pads(const struct he_node *node, uint32_t rank, struct cpu_window *w)
{
    const int64_t *pads;
    size_t count = he_node_ints(node, "pads", &pads);
    uint32_t k;

    if (count == 0)
        return HE_OK;
    if (count != 2 * (size_t)rank)
        return he_error_set(HE_ERR_SHAPE, "%s: %zu pads for %u spatial axes", node->op, count,
                            rank);
    for (k = 0; k < rank; k++) {
        if (pads[k] < -LIMIT || pads[k] > LIMIT || pads[rank + k] < -LIMIT ||
            pads[rank + k] > LIMIT)
            return he_error_set(HE_ERR_SHAPE, "%s: axis %u is padded by %lld and %lld", node->op, k,
                                (long long)pads[k], (long long)pads[rank + k]);
        w->begin[3 - rank + k] = pads[k];
        w->end[3 - rank + k] = pads[rank + k];
    }
    return HE_OK;
}

static bool is_unset(const char *auto_pad)
{
    return !*auto_pad || !strcmp(auto_pad, "NOTSET");
}

he_status cpu_window_read(const struct cpu_call *call, const struct he_tensor *in,
                          const struct he_tensor *weights, const struct he_tensor *out,
                          struct cpu_window *w)
{
    const char *auto_pad = he_node_string(call->node, "auto_pad", "NOTSET");
    bool is_lower = !strcmp(auto_pad, "SAME_LOWER");
    int64_t total;
    uint32_t k;
    he_status status = read_sizes(call, in, weights, out, w);

    if (status != HE_OK)
        return status;
    if (is_unset(auto_pad))
        return read_pads(call->node, in->shape.rank - 2, w);
    if (!is_lower && strcmp(auto_pad, "SAME_UPPER") != 0)
        return HE_OK; /* VALID */
    for (k = 0; k < 3; k++) {
        total = (w->out[k] - 1) * w->stride[k] + (w->kernel[k] - 1) * w->dilation[k] + 1 - w->in[k];
        if (total < 0)
            total = 0;
        w->begin[k] = is_lower ? total - total / 2 : total / 2;
        w->end[k] = total - w->begin[k];
    }
    return HE_OK;
}

he_status cpu_window_read_transposed(const struct cpu_call *call, const struct he_tensor *in,
                                     const struct he_tensor *weights, const struct he_tensor *out,
                                     struct cpu_window *w)
{
    const char *auto_pad = he_node_string(call->node, "auto_pad", "NOTSET");
    bool is_upper = !strcmp(auto_pad, "SAME_UPPER");
    int64_t extra[3], total;
    const int64_t *sizes;
    uint32_t k;
    he_status status = read_sizes(call, in, weights, out, w);

    if (status == HE_OK)
        status = read_list(call->node, "output_padding", in->shape.rank - 2, 0, 0, extra);
    if (status != HE_OK)
        return status;
    if (!strcmp(auto_pad, "VALID"))
        return HE_OK;
    if (is_unset(auto_pad) && he_node_ints(call->node, "output_shape", &sizes) == 0)
        return read_pads(call->node, in->shape.rank - 2, w);
    for (k = 0; k < 3; k++) {
        total = (w->in[k] - 1) * w->stride[k] + extra[k] + (w->kernel[k] - 1) * w->dilation[k] + 1 -
                w->out[k];
        if (total < 0)
            total = 0;
        w->begin[k] = is_upper ? total / 2 : total - total / 2;
        w->end[k] = total - w->begin[k];
    }
    return HE_OK;
}
