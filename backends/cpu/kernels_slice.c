/* SPDX-License-Identifier: Apache-2.0 */
/* Slice and ReverseSequence: strided copies whose source runs forwards, in steps, or backwards. */
#include "move.h"

/* One list of Slice: an input since opset 10, an attribute before. */
static he_status read_list(const struct cpu_call *call, size_t input, const char *attribute,
                           int64_t out[HE_MAX_RANK], size_t *count)
{
    const int64_t *ints;

    *count = 0;
    if (cpu_has_input(call, input))
        return cpu_read_ints(call, input, out, HE_MAX_RANK, count);
    if (call->node->opset >= 10)
        return HE_OK;
    *count = he_node_ints(call->node, attribute, &ints);
    if (*count > HE_MAX_RANK)
        return he_error_set(HE_ERR_SHAPE, "Slice: %zu %s", *count, attribute);
    if (*count)
        memcpy(out, ints, *count * sizeof *out);
    return HE_OK;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* The first index and the number of indices, clamped as ONNX says: walking
 * backwards starts inside the axis and may end one before its front. */
static void slice_axis(int64_t dim, int64_t start, int64_t end, int64_t step, int64_t *first,
                       int64_t *count)
{
    int64_t distance;

    *first = *count = 0;
    if (dim == 0)
        return;
    if (start < 0)
        start = start < -dim ? 0 : start + dim;
    if (end < 0)
        end = end < -dim ? -1 : end + dim;
    start = clamp(start, 0, step < 0 ? dim - 1 : dim);
    end = step < 0 ? clamp(end, -1, dim - 1) : clamp(end, 0, dim);
    distance = step > 0 ? end - start : start - end;
    if (distance <= 0)
        return;
    *first = start;
    if (step > 0)
        *count = (distance - 1) / step + 1;
    else /* the magnitude of the smallest step is no int64 */
        *count = (int64_t)(((uint64_t)distance - 1) / ((uint64_t) - (step + 1) + 1)) + 1;
}

static he_status run_slice(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    int64_t starts[HE_MAX_RANK], ends[HE_MAX_RANK], axes[HE_MAX_RANK], steps[HE_MAX_RANK];
    int64_t size = (int64_t)cpu_element_bytes(in->dtype), first;
    size_t count, end_count, axis_count, step_count, k;
    struct he_shape shape = in->shape;
    struct cpu_box box = {0};
    const char *src = in->data;
    int64_t stride[HE_MAX_RANK];
    uint32_t axis, seen = 0;
    he_status status;

    if ((status = read_list(call, 1, "starts", starts, &count)) != HE_OK ||
        (status = read_list(call, 2, "ends", ends, &end_count)) != HE_OK ||
        (status = read_list(call, 3, "axes", axes, &axis_count)) != HE_OK ||
        (status = read_list(call, 4, "steps", steps, &step_count)) != HE_OK)
        return status;
    if (end_count != count || (axis_count && axis_count != count) ||
        (step_count && step_count != count) || count > shape.rank)
        return he_error_set(HE_ERR_SHAPE,
                            "Slice: %zu starts, %zu ends, %zu axes, %zu steps for rank %u", count,
                            end_count, axis_count, step_count, shape.rank);
    for (k = 0; k < shape.rank; k++)
        stride[k] = in->strides[k] * size;
    for (k = 0; k < count; k++) {
        status = cpu_axis(call->node, axis_count ? axes[k] : (int64_t)k, shape.rank, &axis);
        if (status != HE_OK)
            return status;
        if (!step_count)
            steps[k] = 1;
        if (steps[k] == 0 || seen & 1u << axis)
            return he_error_set(HE_ERR_SHAPE, "Slice: axis %u %s", axis,
                                steps[k] ? "comes twice" : "has step 0");
        seen |= 1u << axis;
        slice_axis(in->shape.dims[axis], starts[k], ends[k], steps[k], &first, &shape.dims[axis]);
        if (shape.dims[axis] > 0)
            src += first * stride[axis];
        stride[axis] *= shape.dims[axis] > 1 ? steps[k] : 1; /* a huge step is never taken */
    }
    status = cpu_expect_output(call, 0, in->dtype, &shape);
    if (status != HE_OK)
        return status;
    if (src == out->data)
        return HE_OK; /* the planner has put the part inside the whole */
    for (k = 0; k < shape.rank; k++)
        cpu_box_add(&box, shape.dims[k], stride[k], out->strides[k] * size);
    cpu_box_copy(call->team, (size_t)size, &box, src, out->data);
    return HE_OK;
}

/* Copies time steps [begin, end) of one batch entry, backwards when asked. */
static void copy_steps(const struct cpu_call *call, uint32_t batch_axis, int64_t batch,
                       uint32_t time_axis, int64_t begin, int64_t end, bool is_reversed)
{
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    int64_t size = (int64_t)cpu_element_bytes(in->dtype), stride;
    const char *src = in->data;
    char *dst = out->data;
    struct cpu_box box = {0};
    uint32_t k;

    if (begin >= end)
        return;
    for (k = 0; k < in->shape.rank; k++) {
        stride = in->strides[k] * size;
        if (k == batch_axis) {
            src += batch * stride;
            dst += batch * out->strides[k] * size;
        } else if (k == time_axis) {
            src += (is_reversed ? end - 1 : begin) * stride;
            dst += begin * out->strides[k] * size;
            cpu_box_add(&box, end - begin, is_reversed ? -stride : stride, out->strides[k] * size);
        } else {
            cpu_box_add(&box, in->shape.dims[k], stride, out->strides[k] * size);
        }
    }
    cpu_box_copy(call->team, (size_t)size, &box, src, dst);
}

static he_status run_reverse_sequence(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *lengths = &call->in[1];
    uint32_t batch_axis, time_axis;
    int64_t batch, length, steps;
    he_status status;

    if ((status = cpu_axis(call->node, he_node_int(call->node, "batch_axis", 1), in->shape.rank,
                           &batch_axis)) != HE_OK ||
        (status = cpu_axis(call->node, he_node_int(call->node, "time_axis", 0), in->shape.rank,
                           &time_axis)) != HE_OK ||
        (status = cpu_expect_output(call, 0, in->dtype, &in->shape)) != HE_OK)
        return status;
    if (batch_axis == time_axis || lengths->dtype != HE_INT64 ||
        cpu_count(lengths) != in->shape.dims[batch_axis])
        return he_error_set(
            HE_ERR_SHAPE, "ReverseSequence: %lld lengths for %lld entries of axis %u",
            (long long)cpu_count(lengths), (long long)in->shape.dims[batch_axis], batch_axis);
    steps = in->shape.dims[time_axis];
    for (batch = 0; batch < in->shape.dims[batch_axis]; batch++) {
        memcpy(&length, (const char *)lengths->data + (size_t)batch * sizeof length, sizeof length);
        if (length < 0 || length > steps)
            return he_error_set(HE_ERR_SHAPE,
                                "ReverseSequence: length %lld of entry %lld is outside [0, %lld]",
                                (long long)length, (long long)batch, (long long)steps);
        copy_steps(call, batch_axis, batch, time_axis, 0, length, true);
        copy_steps(call, batch_axis, batch, time_axis, length, steps, false);
    }
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "Slice", .types = CPU_BYTE_TYPES, .flags = CPU_STRIDED, .run = run_slice},
    {.op = "ReverseSequence",
     .types = CPU_BYTE_TYPES,
     .flags = CPU_STRIDED,
     .run = run_reverse_sequence},
};

const struct cpu_kernel_table cpu_kernels_slice = {kernels, CPU_COUNT(kernels)};
