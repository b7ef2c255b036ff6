/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of convolutions and poolings. Along a spatial axis neighbouring parts read rows in
 * common (the halo): output rows [b, e) look at input rows from b s - p to
 * (e - 1) s - p + d (k - 1) + 1, and what of that lies outside the input is the part's padding.
 */
#include <string.h>

#include "graph/shard.h"
#include "graph/store.h"
#include "ops/infer.h"

/* Explicit padding in place of auto_pad; the kernel must be known. */
static bool settle_padding(struct he_window *w, const struct he_shape *in,
                           const struct he_shape *out)
{
    for (uint32_t k = 0; k < w->rank; k++) {
        int64_t reach = (w->kernel[k] - 1) * w->dilation[k] + 1, total;

        if (w->kernel[k] < 1)
            return false;
        if (w->auto_pad != HE_PAD_SAME_UPPER && w->auto_pad != HE_PAD_SAME_LOWER)
            continue;
        total = (out->dims[k + 2] - 1) * w->stride[k] + reach - in->dims[k + 2];
        if (total < 0)
            total = 0;
        w->begin[k] = w->auto_pad == HE_PAD_SAME_UPPER ? total / 2 : total - total / 2;
        w->end[k] = total - w->begin[k];
    }
    return true;
}

static bool cut_spatial(const struct he_graph *graph, const struct he_node *node, uint32_t axis,
                        int64_t begin, int64_t end, struct he_shard_need *need,
                        struct he_shard_patch *patch)
{
    const struct he_value *in = he_node_input(graph, node, 0);
    const struct he_value *weights =
        he_node_is(node, "Conv") ? he_node_input(graph, node, 1) : NULL;
    struct he_window w;
    uint32_t k = axis - 2;
    int64_t low, high, size = in->shape.dims[axis];

    if (he_window_read(node, in->shape.rank - 2, weights, &w) != HE_OK ||
        !settle_padding(&w, &in->shape, &graph->values[node->outputs[0]].shape))
        return false;
    low = begin * w.stride[k] - w.begin[k];
    high = (end - 1) * w.stride[k] - w.begin[k] + (w.kernel[k] - 1) * w.dilation[k] + 1;
    /* A last window that ceil_mode lets hang over the padding counts what it counts there. */
    if (high > size + w.end[k] && he_node_int(node, "count_include_pad", 0))
        return false;
    *need = (struct he_shard_need){ axis, low > 0 ? low : 0, high < size ? high : size };
    if (need->begin >= need->end)
        return false; /* nothing but padding */
    patch->has_pads = true;
    patch->pad_count = 2 * w.rank;
    for (uint32_t s = 0; s < w.rank; s++) {
        patch->pads[s] = w.begin[s];
        patch->pads[w.rank + s] = w.end[s];
    }
    patch->pads[k] = need->begin - low;
    patch->pads[w.rank + k] = high - need->end;
    return true;
}

/* Output channels: those of whole groups, or some of the only one. */
static bool cut_channels(const struct he_graph *graph, const struct he_node *node, int64_t begin,
                         int64_t end, struct he_shard_need *needs, struct he_shard_patch *patch)
{
    const struct he_value *in = he_node_input(graph, node, 0);
    int64_t groups = he_node_int(node, "group", 1);
    int64_t per_group = graph->values[node->outputs[0]].shape.dims[1] / groups;

    needs[1] = (struct he_shard_need){ 0, begin, end };
    if (node->input_count > 2)
        needs[2] = (struct he_shard_need){ 0, begin, end };
    if (groups == 1)
        return true;
    if (per_group < 1 || begin % per_group || end % per_group)
        return false;
    patch->group = (end - begin) / per_group;
    needs[0] = (struct he_shard_need){ 1, begin / per_group * (in->shape.dims[1] / groups),
                                       end / per_group * (in->shape.dims[1] / groups) };
    return true;
}

bool he_shard_window(const struct he_graph *graph, const struct he_node *node, uint32_t axis,
                     int64_t begin, int64_t end, struct he_shard_need *needs,
                     struct he_shard_patch *patch)
{
    bool is_conv = he_node_is(node, "Conv");

    if (he_node_input(graph, node, 0)->shape.rank < 3)
        return false;
    if (axis == 0 || (axis == 1 && !is_conv && !he_node_is(node, "ConvTranspose"))) {
        needs[0] = (struct he_shard_need){ axis, begin, end };
        return true;
    }
    if (is_conv && axis == 1)
        return cut_channels(graph, node, begin, end, needs, patch);
    if (he_node_is(node, "ConvTranspose")) {
        if (axis != 1 || he_node_int(node, "group", 1) != 1)
            return false;
        needs[1] = (struct he_shard_need){ 1, begin, end };
        if (node->input_count > 2)
            needs[2] = (struct he_shard_need){ 0, begin, end };
        return true;
    }
    return cut_spatial(graph, node, axis, begin, end, &needs[0], patch);
}
