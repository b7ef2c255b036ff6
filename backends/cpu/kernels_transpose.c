/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transpose, DepthToSpace, SpaceToDepth: the same elements in another order. Each is one
 * strided copy (move_copy.c) over the dimensions of the source, cut where needed.
 */
#include "move.h"

static he_status run_transpose(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    int64_t size = (int64_t)cpu_element_bytes(in->dtype);
    uint32_t k, axis, rank = in->shape.rank, seen = 0;
    struct he_shape shape = {.rank = rank};
    struct cpu_box box = {0};
    const int64_t *perm;
    size_t perm_count = he_node_ints(call->node, "perm", &perm);
    he_status status;

    if (perm_count != 0 && perm_count != rank)
        return he_error_set(HE_ERR_SHAPE, "Transpose: perm has %zu entries for rank %u", perm_count,
                            rank);
    for (k = 0; k < rank; k++) {
        axis = rank - 1 - k;
        if (perm_count) {
            status = cpu_axis(call->node, perm[k], rank, &axis);
            if (status != HE_OK)
                return status;
        }
        if (seen & 1u << axis)
            return he_error_set(HE_ERR_SHAPE, "Transpose: perm names axis %u twice", axis);
        seen |= 1u << axis;
        shape.dims[k] = in->shape.dims[axis];
        cpu_box_add(&box, shape.dims[k], in->strides[axis] * size, out->strides[k] * size);
    }
    status = cpu_expect_output(call, 0, in->dtype, &shape);
    if (status != HE_OK)
        return status;
    cpu_box_copy(call->team, (size_t)size, &box, in->data, out->data);
    return HE_OK;
}

/* Checks rank and block size of the two depth/space operators. */
static he_status read_block(const struct cpu_call *call, int64_t *out)
{
    *out = he_node_int(call->node, "blocksize", 0);
    if (call->in[0].shape.rank != 4)
        return he_error_set(HE_ERR_SHAPE, "%s: the input has rank %u, expected 4", call->node->op,
                            call->in[0].shape.rank);
    if (*out < 1 || *out > INT32_MAX)
        return he_error_set(HE_ERR_SHAPE, "%s: blocksize %lld, expected at least 1", call->node->op,
                            (long long)*out);
    return HE_OK;
}

/* The depth side has channel strides (block row, block column, channel), the
 * space side rows and columns cut by the block. */
static void add_blocks(struct cpu_box *box, const struct he_tensor *depth,
                       const struct he_tensor *space, const int64_t channel_strides[3],
                       int64_t block, bool depth_is_source)
{
    int64_t size = (int64_t)cpu_element_bytes(depth->dtype);
    const int64_t *ds = depth->strides, *ss = space->strides;
    const struct {
        int64_t dim, depth, space;
    } dims[] = {
        {depth->shape.dims[0], ds[0], ss[0]},
        {space->shape.dims[1], channel_strides[2] * ds[1], ss[1]},
        {depth->shape.dims[2], ds[2], ss[2] * block},
        {block, channel_strides[0] * ds[1], ss[2]},
        {depth->shape.dims[3], ds[3], ss[3] * block},
        {block, channel_strides[1] * ds[1], ss[3]},
    };
    size_t k;

    for (k = 0; k < CPU_COUNT(dims); k++) {
        if (depth_is_source)
            cpu_box_add(box, dims[k].dim, dims[k].depth * size, dims[k].space * size);
        else
            cpu_box_add(box, dims[k].dim, dims[k].space * size, dims[k].depth * size);
    }
}

static he_status run_depth_to_space(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    bool is_crd = !strcmp(he_node_string(call->node, "mode", "DCR"), "CRD");
    struct he_shape shape = in->shape;
    struct cpu_box box = {0};
    int64_t block, channels;
    he_status status = read_block(call, &block);

    if (status != HE_OK)
        return status;
    if (shape.dims[1] % (block * block) != 0)
        return he_error_set(HE_ERR_SHAPE,
                            "DepthToSpace: %lld channels are not a multiple of %lld squared",
                            (long long)shape.dims[1], (long long)block);
    channels = shape.dims[1] / (block * block);
    shape.dims[1] = channels;
    shape.dims[2] *= block;
    shape.dims[3] *= block;
    status = cpu_expect_output(call, 0, in->dtype, &shape);
    if (status != HE_OK)
        return status;
    if (is_crd)
        add_blocks(&box, in, out, (int64_t[]){block, 1, block * block}, block, true);
    else
        add_blocks(&box, in, out, (int64_t[]){block * channels, channels, 1}, block, true);
    cpu_box_copy(call->team, cpu_element_bytes(in->dtype), &box, in->data, out->data);
    return HE_OK;
}

static he_status run_space_to_depth(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    struct he_shape shape = in->shape;
    struct cpu_box box = {0};
    int64_t block;
    he_status status = read_block(call, &block);

    if (status != HE_OK)
        return status;
    if (shape.dims[2] % block != 0 || shape.dims[3] % block != 0)
        return he_error_set(HE_ERR_SHAPE,
                            "SpaceToDepth: height %lld or width %lld is not a multiple of %lld",
                            (long long)shape.dims[2], (long long)shape.dims[3], (long long)block);
    shape.dims[1] *= block * block;
    shape.dims[2] /= block;
    shape.dims[3] /= block;
    status = cpu_expect_output(call, 0, in->dtype, &shape);
    if (status != HE_OK)
        return status;
    add_blocks(&box, out, in, (int64_t[]){block * in->shape.dims[1], in->shape.dims[1], 1}, block,
               false);
    cpu_box_copy(call->team, cpu_element_bytes(in->dtype), &box, in->data, out->data);
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "Transpose", .types = CPU_BYTE_TYPES, .flags = CPU_STRIDED, .run = run_transpose},
    {.op = "DepthToSpace",
     .types = CPU_BYTE_TYPES,
     .flags = CPU_STRIDED,
     .run = run_depth_to_space},
    {.op = "SpaceToDepth",
     .types = CPU_BYTE_TYPES,
     .flags = CPU_STRIDED,
     .run = run_space_to_depth},
};

const struct cpu_kernel_table cpu_kernels_transpose = {kernels, CPU_COUNT(kernels)};
