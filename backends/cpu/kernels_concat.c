/* SPDX-License-Identifier: Apache-2.0 */
/* Concat and Split: each part is one strided copy into, or out of, the whole; none where the
 * planner has put the part inside the whole. */
#include "move.h"

/* A view of @count steps of @whole along @axis from @begin. */
static struct he_tensor part_of(const struct he_tensor *whole, uint32_t axis, int64_t begin,
                                int64_t count)
{
    struct he_tensor part = *whole;

    part.shape.dims[axis] = count;
    part.is_dense = false;
    part.data = (char *)whole->data +
                begin * whole->strides[axis] * (int64_t)cpu_element_bytes(whole->dtype);
    return part;
}

static he_status run_concat(struct cpu_call *call)
{
    const struct he_tensor *out = &call->out[0];
    struct he_shape shape;
    struct he_tensor part;
    int64_t begin = 0, count;
    uint32_t axis, d;
    size_t k;
    he_status status;

    if (call->in_count == 0)
        return he_error_set(HE_ERR_SHAPE, "Concat: no inputs");
    status =
        cpu_axis(call->node, he_node_int(call->node, "axis", 1), call->in[0].shape.rank, &axis);
    if (status != HE_OK)
        return status;
    shape = call->in[0].shape;
    shape.dims[axis] = 0;
    for (k = 0; k < call->in_count; k++) {
        const struct he_shape *have = &call->in[k].shape;

        for (d = 0; d < shape.rank && have->rank == shape.rank; d++)
            if (d != axis && have->dims[d] != shape.dims[d])
                break;
        if (d < shape.rank || call->in[k].dtype != call->in[0].dtype)
            return he_error_set(HE_ERR_SHAPE, "Concat: input %zu does not fit input 0 on axis %u",
                                k, axis);
        shape.dims[axis] += have->dims[axis];
    }
    status = cpu_expect_output(call, 0, call->in[0].dtype, &shape);
    if (status != HE_OK)
        return status;
    for (k = 0; k < call->in_count; k++) {
        count = call->in[k].shape.dims[axis];
        part = part_of(out, axis, begin, count);
        if (part.data != call->in[k].data)
            cpu_tensor_copy(call->team, &call->in[k], &part);
        begin += count;
    }
    return HE_OK;
}

/* The lengths of the parts: from the input, the attribute, or even pieces with
 * a shorter last one (num_outputs). */
static he_status split_length(const struct cpu_call *call, size_t k, int64_t whole, int64_t *out)
{
    const int64_t *attr;
    size_t attr_count = he_node_ints(call->node, "split", &attr);
    int64_t parts = (int64_t)call->out_count, step;

    if (cpu_has_input(call, 1)) {
        if (cpu_count(&call->in[1]) != parts || call->in[1].dtype != HE_INT64)
            return he_error_set(HE_ERR_SHAPE, "Split: split has %lld entries for %lld outputs",
                                (long long)cpu_count(&call->in[1]), (long long)parts);
        memcpy(out, (const char *)call->in[1].data + k * sizeof *out, sizeof *out);
        return HE_OK;
    }
    if (attr_count) {
        if (attr_count != call->out_count)
            return he_error_set(HE_ERR_SHAPE, "Split: split has %zu entries for %zu outputs",
                                attr_count, call->out_count);
        *out = attr[k];
        return HE_OK;
    }
    parts = he_node_int(call->node, "num_outputs", parts);
    if (parts < 1)
        return he_error_set(HE_ERR_SHAPE, "Split: %lld outputs", (long long)parts);
    step = (whole + parts - 1) / parts;
    *out = (int64_t)k * step >= whole ? 0 : whole - (int64_t)k * step;
    if (*out > step)
        *out = step;
    return HE_OK;
}

static he_status run_split(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0];
    struct he_shape shape = in->shape;
    struct he_tensor part;
    int64_t begin = 0, count = 0, whole;
    uint32_t axis;
    size_t k;
    he_status status = cpu_axis(call->node, he_node_int(call->node, "axis", 0), shape.rank, &axis);

    if (status != HE_OK)
        return status;
    whole = in->shape.dims[axis];
    for (k = 0; k < call->out_count; k++) {
        status = split_length(call, k, whole, &count);
        if (status != HE_OK)
            return status;
        if (count < 0 || count > whole - begin)
            return he_error_set(HE_ERR_SHAPE,
                                "Split: part %zu of %lld at %lld is outside axis %u of %lld", k,
                                (long long)count, (long long)begin, axis, (long long)whole);
        if (cpu_has_output(call, k)) {
            shape.dims[axis] = count;
            status = cpu_expect_output(call, k, in->dtype, &shape);
            if (status != HE_OK)
                return status;
            part = part_of(in, axis, begin, count);
            if (part.data != call->out[k].data)
                cpu_tensor_copy(call->team, &part, &call->out[k]);
        }
        begin += count;
    }
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "Concat", .types = CPU_BYTE_TYPES, .flags = CPU_STRIDED, .run = run_concat},
    {.op = "Split", .types = CPU_BYTE_TYPES, .flags = CPU_STRIDED, .run = run_split},
};

const struct cpu_kernel_table cpu_kernels_concat = {kernels, CPU_COUNT(kernels)};
