/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows: strides, dilations and padding of Conv, ConvTranspose and the pools,
 * with auto_pad resolved from the input and output shapes the graph worked out.
 */
#include "config.h"
#ifdef HE_HAVE_ONEDNN

#include <string.h>

#include "onednn_makers.h"

static he_status read_list(const struct he_node *node, const char *name, int count,
                           int64_t fallback, int64_t *out)
{
    const int64_t *list;
    size_t have = he_node_ints(node, name, &list);
    int k;

    if (have != 0 && have != (size_t)count)
        return he_error_set(HE_ERR_UNSUPPORTED, "%s %s: %s has %zu entries, expected %d", node->op,
                            node->name, name, have, count);
    for (k = 0; k < count; k++)
        out[k] = have ? list[k] : fallback;
    return HE_OK;
}

/* All the padding along one dimension that makes the shapes fit. */
static int64_t total_padding(const struct od_window *w, int k, int64_t in, int64_t out,
                             bool is_transposed)
{
    int64_t extent = (w->kernel[k] - 1) * w->dilations[k] + 1;

    if (is_transposed)
        return (in - 1) * w->strides[k] + extent - out;
    return (out - 1) * w->strides[k] + extent - in;
}

he_status od_window_read(const struct he_node *node, const struct he_shape *in,
                         const struct he_shape *out, const int64_t *kernel, bool is_transposed,
                         struct od_window *w)
{
    const char *auto_pad = he_node_string(node, "auto_pad", "NOTSET");
    bool ceil_mode = he_node_int(node, "ceil_mode", 0) != 0;
    int64_t pads[2 * OD_MAX_SPATIAL], total;
    he_status status;
    int k;

    memset(w, 0, sizeof *w);
    if (in->rank < 3 || in->rank > 2 + OD_MAX_SPATIAL || out->rank != in->rank)
        return he_error_set(HE_ERR_UNSUPPORTED, "%s %s: %u spatial dimensions, oneDNN takes 1 to 3",
                            node->op, node->name, in->rank < 2 ? 0 : in->rank - 2);
    w->count = (int)in->rank - 2;
    status = read_list(node, "strides", w->count, 1, w->strides);
    if (status == HE_OK)
        status = read_list(node, "dilations", w->count, 1, w->dilations);
    if (status == HE_OK)
        status = read_list(node, "pads", 2 * w->count, 0, pads);
    if (status == HE_OK)
        status = read_list(node, "kernel_shape", w->count, 0, w->kernel);
    if (status != HE_OK)
        return status;
    for (k = 0; k < w->count; k++) {
        if (kernel)
            w->kernel[k] = kernel[k];
        if (w->kernel[k] < 1 || w->strides[k] < 1 || w->dilations[k] < 1)
            return he_error_set(HE_ERR_UNSUPPORTED, "%s %s: kernel, stride and dilation must be "
                                "positive", node->op, node->name);
        total = total_padding(w, k, in->dims[2 + k], out->dims[2 + k], is_transposed);
        w->pad_begin[k] = pads[k];
        if (strcmp(auto_pad, "SAME_UPPER") == 0) {
            if (total < 0)
                total = 0;
            w->pad_begin[k] = total / 2;
        } else if (strcmp(auto_pad, "SAME_LOWER") == 0) {
            if (total < 0)
                total = 0;
            w->pad_begin[k] = total - total / 2;
        } else if (strcmp(auto_pad, "VALID") == 0) {
            w->pad_begin[k] = 0;
        }
        /* The end is what the shapes ask for: with floor division the last
         * pixels may go unread, with ceil_mode the last window may hang over. */
        w->pad_end[k] = total - w->pad_begin[k];
        if (!is_transposed && !ceil_mode && w->pad_end[k] < 0 && pads[k] >= 0)
            w->pad_end[k] = strcmp(auto_pad, "NOTSET") == 0 ? pads[w->count + k] : 0;
        if (w->pad_begin[k] < 0 || (!is_transposed && w->pad_end[k] < 0))
            return he_error_set(HE_ERR_UNSUPPORTED, "%s %s: negative padding", node->op,
                                node->name);
    }
    return HE_OK;
}

#endif
