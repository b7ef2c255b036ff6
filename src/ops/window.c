/* SPDX-License-Identifier: Apache-2.0 */
/* Sliding windows: the arithmetic that convolution and pooling share. */
#include <inttypes.h>
#include <string.h>

#include "ops/infer.h"

/* Attributes beyond this are refused: no product of two of them overflows. */
#define LIMIT ((int64_t)1 << 30)

static he_status read_list(const struct he_node *node, const char *name, uint32_t rank,
                           int64_t least, int64_t fallback, int64_t *out)
{
    const int64_t *list;
    size_t count = he_node_ints(node, name, &list);

    for (uint32_t k = 0; k < rank; k++)
        out[k] = fallback;
    if (count == 0)
        return HE_OK;
    if (count != rank)
        return he_infer_error(node, "%s has %zu entries, %u were expected", name, count, rank);
    for (uint32_t k = 0; k < rank; k++) {
        if (list[k] < least || list[k] > LIMIT)
            return he_infer_error(node, "%s[%u] is %" PRId64, name, k, list[k]);
        out[k] = list[k];
    }
    return HE_OK;
}

static he_status read_kernel(const struct he_node *node, const struct he_value *weights,
                             struct he_window *w)
{
    he_status status = read_list(node, "kernel_shape", w->rank, 1, HE_DIM_UNKNOWN, w->kernel);

    if (status != HE_OK)
        return status;
    if (!weights && w->rank > 0 && w->kernel[0] == HE_DIM_UNKNOWN)
        return he_infer_error(node, "kernel_shape is missing");
    for (uint32_t k = 0; weights && k < w->rank; k++) {
        int64_t dim = he_infer_dim(weights, k + 2);

        if (dim == 0 || dim > LIMIT || he_dim_conflict(w->kernel[k], dim))
            return he_infer_error(node, "weights %s do not fit kernel_shape %s",
                                  he_infer_text(weights).s,
                                  he_node_attr(node, "kernel_shape") ? "given" : "(from them)");
        if (w->kernel[k] < 0)
            w->kernel[k] = dim;
    }
    w->is_kernel_known = true;
    for (uint32_t k = 0; k < w->rank; k++)
        w->is_kernel_known = w->is_kernel_known && w->kernel[k] >= 0;
    return HE_OK;
}

static he_status read_padding(const struct he_node *node, struct he_window *w)
{
    const char *mode = he_node_string(node, "auto_pad", "NOTSET");
    int64_t pads[2 * HE_MAX_RANK];
    he_status status = HE_OK;

    if (strcmp(mode, "NOTSET") == 0 || mode[0] == '\0')
        w->auto_pad = HE_PAD_NOTSET;
    else if (strcmp(mode, "VALID") == 0)
        w->auto_pad = HE_PAD_VALID;
    else if (strcmp(mode, "SAME_UPPER") == 0)
        w->auto_pad = HE_PAD_SAME_UPPER;
    else if (strcmp(mode, "SAME_LOWER") == 0)
        w->auto_pad = HE_PAD_SAME_LOWER;
    else
        return he_infer_error(node, "auto_pad \"%.40s\" is not known", mode);
    memset(pads, 0, sizeof pads);
    /* With auto_pad, pads is meaningless, and some exporters write it all the same. */
    if (w->auto_pad == HE_PAD_NOTSET)
        status = read_list(node, "pads", 2 * w->rank, 0, 0, pads);
    for (uint32_t k = 0; k < w->rank; k++) {
        w->begin[k] = pads[k];
        w->end[k] = pads[w->rank + k];
    }
    return status;
}

he_status he_window_read(const struct he_node *node, uint32_t rank, const struct he_value *weights,
                         struct he_window *out)
{
    he_status status;

    memset(out, 0, sizeof *out);
    out->rank = rank;
    out->is_ceil = he_node_int(node, "ceil_mode", 0) != 0;
    status = read_list(node, "strides", rank, 1, 1, out->stride);
    if (status == HE_OK)
        status = read_list(node, "dilations", rank, 1, 1, out->dilation);
    if (status == HE_OK)
        status = read_kernel(node, weights, out);
    if (status == HE_OK)
        status = read_padding(node, out);
    return status;
}

he_status he_window_output(const struct he_node *node, const struct he_window *w, uint32_t k,
                           int64_t dim, int64_t *out)
{
    int64_t reach, room, steps;

    *out = HE_DIM_UNKNOWN;
    if (dim > INT64_MAX / 4)
        return he_infer_error(node, "spatial size %" PRId64 " is too large", dim);
    if (w->auto_pad == HE_PAD_SAME_UPPER || w->auto_pad == HE_PAD_SAME_LOWER) {
        if (w->stride[k] == 1)
            *out = dim;
        else if (dim >= 0)
            *out = (dim + w->stride[k] - 1) / w->stride[k];
        return HE_OK;
    }
    if (w->kernel[k] < 0)
        return HE_OK;
    reach = (w->kernel[k] - 1) * w->dilation[k];
    if (dim < 0) {
        /* A window that is as wide as its padding keeps even a symbolic size. */
        if (w->stride[k] == 1 && reach == w->begin[k] + w->end[k])
            *out = dim;
        return HE_OK;
    }
    room = dim + w->begin[k] + w->end[k] - reach - 1;
    if (room < 0)
        return he_infer_error(node,
                              "the window (%" PRId64 ") is larger than the padded input (%" PRId64
                              ") on spatial axis %u",
                              reach + 1, dim + w->begin[k] + w->end[k], k);
    steps = room / w->stride[k];
    if (w->is_ceil && room % w->stride[k] != 0) {
        steps++;
        /* The last window must begin inside the input or the padding before it. */
        if (steps * w->stride[k] >= dim + w->begin[k])
            steps--;
    }
    *out = steps + 1;
    return HE_OK;
}
