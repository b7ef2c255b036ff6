/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pad and CenterCropPad. The part of the input that stays is copied first; then the axes
 * are widened one after the other, from the last to the first, each new slab being
 * a copy of a slab of the output that is already there, or one value.
 */
#include "element.h"
#include "move.h"

enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

/* Elements added in front and behind; negative ones take away. */
struct pads {
    int64_t begin[HE_MAX_RANK], end[HE_MAX_RANK];
};

static he_status read_pads(const struct cpu_call *call, struct pads *pads)
{
    int64_t list[2 * HE_MAX_RANK], axes[2 * HE_MAX_RANK];
    uint32_t k, axis, rank = call->in[0].shape.rank;
    size_t count, axis_count;
    const int64_t *attr;
    he_status status;

    memset(pads, 0, sizeof *pads);
    for (k = 0; k < rank; k++)
        axes[k] = k;
    axis_count = rank;
    if (cpu_has_input(call, 1)) {
        status = cpu_read_ints(call, 1, list, CPU_COUNT(list), &count);
        if (status == HE_OK && cpu_has_input(call, 3))
            status = cpu_read_ints(call, 3, axes, HE_MAX_RANK, &axis_count);
        if (status != HE_OK)
            return status;
    } else {
        count = he_node_ints(call->node, call->node->opset < 2 ? "paddings" : "pads", &attr);
        if (count <= CPU_COUNT(list) && count > 0)
            memcpy(list, attr, count * sizeof *list);
    }
    if (count != 2 * axis_count)
        return he_error_set(HE_ERR_SHAPE, "Pad: %zu pads for %zu axes", count, axis_count);
    for (k = 0; k < axis_count; k++) {
        status = cpu_axis(call->node, axes[k], rank, &axis);
        if (status != HE_OK)
            return status;
        pads->begin[axis] = list[k];
        pads->end[axis] = list[axis_count + k];
    }
    return HE_OK;
}

static he_status read_mode(const struct cpu_call *call, enum pad_mode *out)
{
    static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
    const char *mode = he_node_string(call->node, "mode", "constant");

    for (*out = PAD_CONSTANT; *out <= PAD_WRAP; (*out)++)
        if (!strcmp(mode, names[*out]))
            return HE_OK;
    return he_error_set(HE_ERR_UNSUPPORTED,
                        "Pad: mode \"%s\", expected constant, reflect, edge or wrap", mode);
}

/* The value outside: an input, an attribute, or zero. */
static he_status read_value(const struct cpu_call *call, uint8_t value[16])
{
    const struct he_tensor *in = &call->in[0];

    memset(value, 0, 16);
    if (cpu_has_input(call, 2)) {
        if (call->in[2].dtype != in->dtype || cpu_count(&call->in[2]) != 1)
            return he_error_set(HE_ERR_SHAPE, "Pad: constant_value is not one %s",
                                he_dtype_name(in->dtype));
        memcpy(value, call->in[2].data, cpu_element_bytes(in->dtype));
    } else if (call->node->opset < 11) {
        cpu_store_double(in->dtype, value, (double)he_node_float(call->node, "value", 0));
    }
    return HE_OK;
}

/* Where the element @index steps outside [0, @count) comes from. */
static int64_t source_index(enum pad_mode mode, int64_t index, int64_t count)
{
    int64_t period;

    if (mode == PAD_EDGE || count == 1)
        return index < 0 ? 0 : count - 1;
    period = mode == PAD_WRAP ? count : 2 * (count - 1);
    index %= period;
    if (index < 0)
        index += period;
    return index < count ? index : period - index;
}

/* The output while it grows: axes behind @axis are whole, those before it hold
 * only the kept part of the input. */
struct canvas {
    const struct cpu_call *call;
    int64_t kept_begin[HE_MAX_RANK], kept_count[HE_MAX_RANK];
};

/* Fills positions [begin, begin + count) of @axis: with @value, or from the
 * positions from, from + step, ... */
static void fill_slab(const struct canvas *canvas, uint32_t axis, int64_t begin, int64_t count,
                      const void *value, int64_t from, int64_t step)
{
    const struct he_tensor *out = &canvas->call->out[0];
    int64_t size = (int64_t)cpu_element_bytes(out->dtype), stride, dim;
    char *dst = out->data;
    struct cpu_box box = {0};
    uint32_t k;

    for (k = 0; k < out->shape.rank; k++) {
        stride = out->strides[k] * size;
        dim = k < axis ? canvas->kept_count[k] : k > axis ? out->shape.dims[k] : count;
        dst += stride * (k < axis ? canvas->kept_begin[k] : k > axis ? 0 : begin);
        cpu_box_add(&box, dim, value ? 0 : k == axis ? step * stride : stride, stride);
    }
    if (!value)
        stride = out->strides[axis] * size * (from - begin);
    cpu_box_copy(canvas->call->team, (size_t)size, &box, value ? value : dst + stride, dst);
}

/* Repeats what is there at positions [first, last), in runs whose sources keep one step:
 * backwards for a reflection, standing at an edge, forwards when wrapping. */
static void repeat_slabs(const struct canvas *canvas, uint32_t axis, int64_t first, int64_t last,
                         enum pad_mode mode)
{
    int64_t begin = canvas->kept_begin[axis], count = canvas->kept_count[axis], k, n, from, step;

    for (k = first; k < last; k += n) {
        from = source_index(mode, k - begin, count);
        step = k + 1 < last ? source_index(mode, k + 1 - begin, count) - from : 0;
        for (n = 1; k + n < last; n++)
            if (source_index(mode, k + n - begin, count) != from + n * step)
                break;
        fill_slab(canvas, axis, k, n, NULL, begin + from, step);
    }
}

static void widen(const struct canvas *canvas, uint32_t axis, enum pad_mode mode, const void *value)
{
    int64_t begin = canvas->kept_begin[axis], end = begin + canvas->kept_count[axis];
    int64_t size = canvas->call->out[0].shape.dims[axis];

    if (mode == PAD_CONSTANT) {
        fill_slab(canvas, axis, 0, begin, value, 0, 0);
        fill_slab(canvas, axis, end, size - end, value, 0, 0);
        return;
    }
    repeat_slabs(canvas, axis, 0, begin, mode);
    repeat_slabs(canvas, axis, end, size, mode);
}

static he_status pad(struct cpu_call *call, const struct pads *pads, enum pad_mode mode,
                     const void *value)
{
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    int64_t size = (int64_t)cpu_element_bytes(in->dtype), before, behind;
    struct canvas canvas = {.call = call};
    struct he_shape shape = in->shape;
    const char *src = in->data;
    char *dst = out->data;
    struct cpu_box box = {0};
    uint32_t k, rank = shape.rank;
    he_status status;

    for (k = 0; k < rank; k++) {
        before = pads->begin[k];
        behind = pads->end[k];
        if (before < -INT32_MAX || before > INT32_MAX || behind < -INT32_MAX || behind > INT32_MAX)
            return he_error_set(HE_ERR_SHAPE, "Pad: axis %u is padded by %lld and %lld", k,
                                (long long)before, (long long)behind);
        shape.dims[k] += before + behind;
        if (shape.dims[k] < 0)
            return he_error_set(HE_ERR_SHAPE, "Pad: pads take more than the %lld of axis %u",
                                (long long)in->shape.dims[k], k);
        canvas.kept_begin[k] = before > 0 ? before : 0;
        canvas.kept_count[k] =
            in->shape.dims[k] + (before < 0 ? before : 0) + (behind < 0 ? behind : 0);
        if (canvas.kept_count[k] < 0)
            return he_error_set(HE_ERR_SHAPE, "Pad: pads take more than the %lld of axis %u",
                                (long long)in->shape.dims[k], k);
        if (mode != PAD_CONSTANT && canvas.kept_count[k] == 0 && shape.dims[k] > 0)
            return he_error_set(HE_ERR_SHAPE, "Pad: nothing to repeat on the empty axis %u", k);
        if (before < 0)
            src -= before * in->strides[k] * size;
        dst += canvas.kept_begin[k] * out->strides[k] * size;
        cpu_box_add(&box, canvas.kept_count[k], in->strides[k] * size, out->strides[k] * size);
    }
    status = cpu_expect_output(call, 0, in->dtype, &shape);
    if (status != HE_OK || he_shape_count(&shape) <= 0)
        return status;
    cpu_box_copy(call->team, (size_t)size, &box, src, dst);
    for (k = rank; k-- > 0;)
        widen(&canvas, k, mode, value);
    return HE_OK;
}

static he_status run_pad(struct cpu_call *call)
{
    uint8_t value[16];
    enum pad_mode mode;
    struct pads pads;
    he_status status;

    if ((status = read_pads(call, &pads)) != HE_OK || (status = read_mode(call, &mode)) != HE_OK ||
        (status = read_value(call, value)) != HE_OK)
        return status;
    return pad(call, &pads, mode, value);
}

/* Each named axis becomes as long as asked: both ends give or take the same,
 * the front one less when the difference is odd. */
static he_status run_center_crop_pad(struct cpu_call *call)
{
    static const uint8_t zero[16];
    const struct he_shape *have = &call->in[0].shape;
    int64_t wanted[HE_MAX_RANK], missing;
    size_t count, axis_count, k;
    struct pads pads = {0};
    const int64_t *axes;
    uint32_t axis;
    he_status status = cpu_read_ints(call, 1, wanted, HE_MAX_RANK, &count);

    if (status != HE_OK)
        return status;
    axis_count = he_node_ints(call->node, "axes", &axes);
    if (count != (axis_count ? axis_count : have->rank))
        return he_error_set(HE_ERR_SHAPE, "CenterCropPad: %zu sizes for %zu axes", count,
                            axis_count ? axis_count : have->rank);
    for (k = 0; k < count; k++) {
        status = cpu_axis(call->node, axis_count ? axes[k] : (int64_t)k, have->rank, &axis);
        if (status != HE_OK)
            return status;
        if (wanted[k] < 0 || wanted[k] > INT32_MAX)
            return he_error_set(HE_ERR_SHAPE, "CenterCropPad: size %lld of axis %u",
                                (long long)wanted[k], axis);
        missing = wanted[k] - have->dims[axis];
        pads.begin[axis] = missing / 2; /* towards zero, both when cropping and padding */
        pads.end[axis] = missing - missing / 2;
    }
    return pad(call, &pads, PAD_CONSTANT, zero);
}

static const struct cpu_kernel kernels[] = {
    {.op = "Pad", .types = CPU_BYTE_TYPES, .flags = CPU_STRIDED, .run = run_pad},
    {.op = "CenterCropPad",
     .types = CPU_BYTE_TYPES,
     .flags = CPU_STRIDED,
     .run = run_center_crop_pad},
};

const struct cpu_kernel_table cpu_kernels_pad = {kernels, CPU_COUNT(kernels)};
