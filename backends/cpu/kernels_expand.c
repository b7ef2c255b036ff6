/* SPDX-License-Identifier: Apache-2.0 */
/* Expand and Tile: copies whose source stands still along the repeated dimensions. */
#include "move.h"

static he_status run_expand(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    int64_t size = (int64_t)cpu_element_bytes(in->dtype), dim;
    char from[CPU_SHAPE_TEXT], to[CPU_SHAPE_TEXT];
    uint32_t k, rank = out->shape.rank, shift = rank - in->shape.rank;
    struct cpu_box box = {0};

    for (k = 0; k < rank && in->shape.rank <= rank && in->dtype == out->dtype; k++) {
        dim = k < shift ? 1 : in->shape.dims[k - shift];
        if (dim != 1 && dim != out->shape.dims[k])
            break;
        cpu_box_add(&box, out->shape.dims[k], dim == 1 ? 0 : in->strides[k - shift] * size,
                    out->strides[k] * size);
    }
    if (box.rank != rank)
        return he_error_set(HE_ERR_SHAPE, "Expand: %s does not broadcast to %s",
                            cpu_shape_text(&in->shape, from), cpu_shape_text(&out->shape, to));
    cpu_box_copy(call->team, (size_t)size, &box, in->data, out->data);
    return HE_OK;
}

/* Since opset 6 a count per axis; before, one count for one axis. */
static he_status read_repeats(const struct cpu_call *call, int64_t repeats[HE_MAX_RANK])
{
    uint32_t k, axis, rank = call->in[0].shape.rank;
    int64_t count, where;
    size_t n;
    he_status status;

    if (call->node->opset >= 6) {
        status = cpu_read_ints(call, 1, repeats, HE_MAX_RANK, &n);
        if (status == HE_OK && n != rank)
            return he_error_set(HE_ERR_SHAPE, "Tile: %zu repeats for rank %u", n, rank);
        return status;
    }
    for (k = 0; k < rank; k++)
        repeats[k] = 1;
    status = cpu_read_int(call, 1, &count);
    if (status != HE_OK)
        return status;
    if (call->in_count < 3)
        return he_error_set(HE_ERR_SHAPE, "Tile: opset %d wants the axis as third input",
                            call->node->opset);
    status = cpu_read_int(call, 2, &where);
    if (status == HE_OK)
        status = cpu_axis(call->node, where, rank, &axis);
    if (status != HE_OK)
        return status;
    repeats[axis] = count;
    return HE_OK;
}

static he_status run_tile(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    int64_t size = (int64_t)cpu_element_bytes(in->dtype), repeats[HE_MAX_RANK];
    struct he_shape shape = in->shape;
    struct cpu_box box = {0};
    uint32_t k;
    he_status status = read_repeats(call, repeats);

    if (status != HE_OK)
        return status;
    for (k = 0; k < shape.rank; k++) {
        if (repeats[k] < 0 || __builtin_mul_overflow(shape.dims[k], repeats[k], &shape.dims[k]))
            return he_error_set(HE_ERR_SHAPE, "Tile: %lld repeats of axis %u",
                                (long long)repeats[k], k);
        cpu_box_add(&box, repeats[k], 0, in->shape.dims[k] * out->strides[k] * size);
        cpu_box_add(&box, in->shape.dims[k], in->strides[k] * size, out->strides[k] * size);
    }
    status = cpu_expect_output(call, 0, in->dtype, &shape);
    if (status != HE_OK)
        return status;
    cpu_box_copy(call->team, (size_t)size, &box, in->data, out->data);
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "Expand", .types = CPU_BYTE_TYPES, .flags = CPU_STRIDED, .run = run_expand},
    {.op = "Tile", .types = CPU_BYTE_TYPES, .flags = CPU_STRIDED, .run = run_tile},
};

const struct cpu_kernel_table cpu_kernels_expand = {kernels, CPU_COUNT(kernels)};
