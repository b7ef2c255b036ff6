/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is checked of every node's attributes before its shape rule runs: that
 * those which rules read are of the kind they are always of, and that none
 * has become an input in the meantime.
 */
#include <stdlib.h>
#include <string.h>

#include "ops/infer.h"

/* The kind of every attribute that a rule reads and that has one kind everywhere. An attribute
 * of another kind counts as absent for the readers, which would hide a damaged model.
 * Sorted by name. */
static const struct attr_kind {
    const char *name;
    enum he_attr_kind kind;
} attr_kinds[] = {
    { "allowzero", HE_ATTR_INT }, { "auto_pad", HE_ATTR_STRING }, { "axes", HE_ATTR_INTS },
    { "axis", HE_ATTR_INT }, { "batch_dims", HE_ATTR_INT }, { "block_size", HE_ATTR_INT },
    { "blocksize", HE_ATTR_INT }, { "body", HE_ATTR_GRAPH }, { "broadcast", HE_ATTR_INT },
    { "ceil_mode", HE_ATTR_INT }, { "coordinate_transformation_mode", HE_ATTR_STRING },
    { "dilations", HE_ATTR_INTS }, { "direction", HE_ATTR_STRING }, { "dtype", HE_ATTR_INT },
    { "else_branch", HE_ATTR_GRAPH }, { "end", HE_ATTR_INT }, { "ends", HE_ATTR_INTS },
    { "equation", HE_ATTR_STRING }, { "group", HE_ATTR_INT }, { "height_scale", HE_ATTR_FLOAT },
    { "hidden_size", HE_ATTR_INT }, { "inverse", HE_ATTR_INT }, { "k", HE_ATTR_INT },
    { "keep_aspect_ratio_policy", HE_ATTR_STRING }, { "keepdims", HE_ATTR_INT },
    { "kernel_shape", HE_ATTR_INTS }, { "kv_num_heads", HE_ATTR_INT }, { "layout", HE_ATTR_INT },
    { "mode", HE_ATTR_STRING }, { "ngram_indexes", HE_ATTR_INTS },
    { "noop_with_empty_axes", HE_ATTR_INT }, { "num_groups", HE_ATTR_INT },
    { "num_outputs", HE_ATTR_INT }, { "num_scan_inputs", HE_ATTR_INT },
    { "onesided", HE_ATTR_INT }, { "output_datatype", HE_ATTR_INT },
    { "output_dtype", HE_ATTR_INT }, { "output_height", HE_ATTR_INT },
    { "output_padding", HE_ATTR_INTS }, { "output_shape", HE_ATTR_INTS },
    { "output_width", HE_ATTR_INT }, { "paddings", HE_ATTR_INTS }, { "pads", HE_ATTR_INTS },
    { "perm", HE_ATTR_INTS }, { "pooled_shape", HE_ATTR_INTS }, { "q_num_heads", HE_ATTR_INT },
    { "reduction", HE_ATTR_STRING }, { "sample_size", HE_ATTR_INT },
    { "sampling_ratio", HE_ATTR_INT }, { "scales", HE_ATTR_FLOATS },
    { "scan_input_axes", HE_ATTR_INTS }, { "scan_output_axes", HE_ATTR_INTS },
    { "shape", HE_ATTR_INTS }, { "size", HE_ATTR_INT }, { "spatial", HE_ATTR_INT },
    { "split", HE_ATTR_INTS }, { "start", HE_ATTR_INT }, { "starts", HE_ATTR_INTS },
    { "stash_type", HE_ATTR_INT }, { "strides", HE_ATTR_INTS }, { "then_branch", HE_ATTR_GRAPH },
    { "transA", HE_ATTR_INT }, { "transB", HE_ATTR_INT }, { "value_ints", HE_ATTR_INTS },
    { "width_scale", HE_ATTR_FLOAT },
};

/* Attributes that became inputs: one that is still there would be passed over in silence. */
static const struct {
    const char *op, *attr;
    int opset;
    bool is_prefix;
} moved[] = {
    { "Clip", "max", 11, false },       { "Clip", "min", 11, false },
    { "Dropout", "ratio", 12, false },  { "Pad", "pads", 11, false },
    { "ReduceSum", "axes", 13, false }, { "Reduce", "axes", 18, true },
    { "Reshape", "shape", 5, false },   { "Slice", "ends", 10, false },
    { "Slice", "starts", 10, false },   { "Split", "split", 13, false },
    { "Squeeze", "axes", 13, false },   { "TopK", "k", 10, false },
    { "Unsqueeze", "axes", 13, false }, { "Upsample", "scales", 9, false },
};

static int compare_name(const void *name, const void *entry)
{
    return strcmp(name, ((const struct attr_kind *)entry)->name);
}

he_status he_attrs_check(const struct he_node *node)
{
    for (uint32_t k = 0; k < node->attr_count; k++) {
        const struct he_attr *attr = &node->attrs[k];
        const struct attr_kind *found;

        if (!attr->name)
            continue;
        found = bsearch(attr->name, attr_kinds, HE_COUNT(attr_kinds), sizeof attr_kinds[0],
                        compare_name);
        if (found && found->kind != attr->kind)
            return he_infer_error(node, "attribute %s is of the wrong kind", attr->name);
        for (size_t m = 0; m < HE_COUNT(moved); m++) {
            if (node->opset >= moved[m].opset && strcmp(attr->name, moved[m].attr) == 0 &&
                strncmp(node->op, moved[m].op, strlen(moved[m].op)) == 0 &&
                (moved[m].is_prefix || node->op[strlen(moved[m].op)] == '\0'))
                return he_infer_error(node, "%s is an input since opset %d, not an attribute",
                                      attr->name, moved[m].opset);
        }
    }
    return HE_OK;
}
