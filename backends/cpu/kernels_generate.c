/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that make a tensor out of a shape, a count or an attribute: Constant,
 * ConstantOfShape, Range, Shape, Size, EyeLike, OneHot, Trilu.
 */
#include "element.h"
#include "move.h"

/* --- Constant, ConstantOfShape --- */

/* Copies a list of attribute numbers that must fill the output exactly. */
static he_status give_list(struct cpu_call *call, enum he_dtype dtype, const void *list,
                           size_t count, bool is_scalar)
{
    struct he_shape shape = {.rank = is_scalar ? 0 : 1, .dims = {(int64_t)count}};
    he_status status = cpu_expect_output(call, 0, dtype, &shape);

    if (status == HE_OK && count > 0)
        memcpy(call->out[0].data, list, count * cpu_element_bytes(dtype));
    return status;
}

static he_status run_constant(struct cpu_call *call)
{
    const struct he_attr *attr = NULL;
    uint32_t k;
    he_status status;

    for (k = 0; k < call->node->attr_count; k++)
        if (!strncmp(call->node->attrs[k].name, "value", 5))
            attr = &call->node->attrs[k];
    if (!attr)
        return he_error_set(HE_ERR_UNSUPPORTED, "Constant: no value that is a tensor or numbers");
    switch (attr->kind) {
    case HE_ATTR_INT:
        return give_list(call, HE_INT64, &attr->i, 1, true);
    case HE_ATTR_FLOAT:
        return give_list(call, HE_FLOAT32, &attr->f, 1, true);
    case HE_ATTR_INTS:
        return give_list(call, HE_INT64, attr->ints, attr->count, false);
    case HE_ATTR_FLOATS:
        return give_list(call, HE_FLOAT32, attr->floats, attr->count, false);
    case HE_ATTR_TENSOR:
        status = cpu_expect_output(call, 0, attr->tensor->dtype, &attr->tensor->shape);
        if (status != HE_OK)
            return status;
        if (he_shape_bytes(&attr->tensor->shape, attr->tensor->dtype) !=
            (int64_t)attr->tensor->data_bytes)
            return he_error_set(HE_ERR_UNSUPPORTED, "Constant: a value of %s",
                                he_dtype_name(attr->tensor->dtype));
        cpu_bytes_copy(call->team, call->out[0].data, attr->tensor->data, attr->tensor->data_bytes);
        return HE_OK;
    default:
        return he_error_set(HE_ERR_UNSUPPORTED, "Constant: attribute %s", attr->name);
    }
}

static he_status run_constant_of_shape(struct cpu_call *call)
{
    const struct he_attr *attr = he_node_attr(call->node, "value");
    const struct he_tensor *out = &call->out[0];
    uint8_t element[16] = {0};
    size_t size = cpu_element_bytes(out->dtype);

    if (attr && attr->kind == HE_ATTR_TENSOR) {
        if (attr->tensor->dtype != out->dtype || size == 0 || attr->tensor->data_bytes != size)
            return he_error_set(HE_ERR_SHAPE, "ConstantOfShape: value is not one %s",
                                he_dtype_name(out->dtype));
        memcpy(element, attr->tensor->data, size);
    } else if (out->dtype != HE_FLOAT32) {
        return he_error_set(HE_ERR_SHAPE, "ConstantOfShape: %s output without a value",
                            he_dtype_name(out->dtype));
    }
    cpu_tensor_fill(call->team, out, element);
    return HE_OK;
}

/* --- Range --- */

static he_status run_range(struct cpu_call *call)
{
    const struct he_tensor *out = &call->out[0];
    int64_t k, count = cpu_count(out), start, step;
    size_t size = cpu_element_bytes(out->dtype);
    double from, to, by, wanted;
    char *data = out->data;
    he_status status;

    if ((status = cpu_read_double(call, 0, &from)) != HE_OK ||
        (status = cpu_read_double(call, 1, &to)) != HE_OK ||
        (status = cpu_read_double(call, 2, &by)) != HE_OK)
        return status;
    if (by == 0)
        return he_error_set(HE_ERR_SHAPE, "Range: delta is 0");
    wanted = ceil((to - from) / by);
    if (out->shape.rank != 1 || out->dtype != call->in[0].dtype ||
        fabs(fmax(wanted, 0) - (double)count) > 1)
        return he_error_set(HE_ERR_SHAPE, "Range: output of %lld, expected %g", (long long)count,
                            wanted);
    if (CPU_TYPE(out->dtype) & CPU_INTEGERS) {
        start = cpu_get_int(&call->in[0], 0);
        step = cpu_get_int(&call->in[2], 0);
        for (k = 0; k < count; k++) {
            uint64_t value = (uint64_t)start + (uint64_t)k * (uint64_t)step;
            memcpy(data + (size_t)k * size, &value, size); /* little endian: the low bytes */
        }
        return HE_OK;
    }
    for (k = 0; k < count; k++)
        cpu_store_double(out->dtype, data + (size_t)k * size, from + (double)k * by);
    return HE_OK;
}

/* --- Shape, Size --- */

static he_status run_shape(struct cpu_call *call)
{
    const struct he_shape *in = &call->in[0].shape;
    int64_t start = he_node_int(call->node, "start", 0), end, rank = in->rank;
    struct he_shape shape = {.rank = 1};
    he_status status;

    end = he_node_int(call->node, "end", rank);
    start = cpu_clamp_i64(start < 0 ? start + rank : start, 0, rank);
    end = cpu_clamp_i64(end < 0 ? end + rank : end, start, rank);
    shape.dims[0] = end - start;
    status = cpu_expect_output(call, 0, HE_INT64, &shape);
    if (status == HE_OK && end > start)
        memcpy(call->out[0].data, in->dims + start, (size_t)(end - start) * sizeof *in->dims);
    return status;
}

static he_status run_size(struct cpu_call *call)
{
    int64_t count = cpu_count(&call->in[0]);
    he_status status = cpu_expect_output(call, 0, HE_INT64, &(struct he_shape){0});

    if (status == HE_OK)
        memcpy(call->out[0].data, &count, sizeof count);
    return status;
}

/* --- EyeLike, OneHot, Trilu --- */

static he_status run_eye_like(struct cpu_call *call)
{
    static const uint8_t zero[16];
    const struct he_tensor *out = &call->out[0];
    int64_t k = he_node_int(call->node, "k", 0), row, rows, columns;
    size_t size = cpu_element_bytes(out->dtype);
    uint8_t one[16] = {0};
    he_status status;

    if (call->in[0].shape.rank != 2 ||
        !(CPU_TYPE(out->dtype) & (CPU_NUMBER_TYPES | CPU_TYPE(HE_BOOL))))
        return he_error_set(HE_ERR_SHAPE, "EyeLike: an input of rank %u, an output of %s",
                            call->in[0].shape.rank, he_dtype_name(out->dtype));
    status = cpu_expect_output(call, 0, out->dtype, &call->in[0].shape);
    if (status != HE_OK)
        return status;
    cpu_tensor_fill(call->team, out, zero);
    cpu_store_double(out->dtype, one, 1);
    rows = out->shape.dims[0];
    columns = out->shape.dims[1];
    if (k > -rows && k < columns)
        for (row = k < 0 ? -k : 0; row < rows && row + k < columns; row++)
            memcpy((char *)out->data + (size_t)(row * columns + row + k) * size, one, size);
    return HE_OK;
}

static he_status run_one_hot(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *values = &call->in[2], *out = &call->out[0];
    int64_t depth, index, k, inner, count = cpu_count(in);
    size_t size = cpu_element_bytes(values->dtype);
    struct he_shape shape = {.rank = in->shape.rank + 1};
    uint32_t axis, d;
    double real;
    he_status status;

    if (shape.rank > HE_MAX_RANK || cpu_count(values) != 2 || size == 0)
        return he_error_set(HE_ERR_SHAPE, "OneHot: %lld values, indices of rank %u",
                            (long long)cpu_count(values), in->shape.rank);
    if ((status = cpu_axis(call->node, he_node_int(call->node, "axis", -1), shape.rank, &axis)) !=
            HE_OK ||
        (status = cpu_read_int(call, 1, &depth)) != HE_OK)
        return status;
    for (d = 0; d < shape.rank; d++)
        shape.dims[d] = d == axis ? depth : in->shape.dims[d < axis ? d : d - 1];
    status = cpu_expect_output(call, 0, values->dtype, &shape);
    if (status != HE_OK)
        return status;
    cpu_tensor_fill(call->team, out, values->data);
    inner = cpu_extent(&shape, axis + 1, shape.rank);
    for (k = 0; k < count; k++) {
        if (CPU_TYPE(in->dtype) & CPU_INTEGERS) {
            index = cpu_get_int(in, k);
        } else {
            real = cpu_get_double(in, k);
            index = fabs(real) < 9e18 ? (int64_t)real : INT64_MAX;
        }
        if (index < -depth || index >= depth)
            continue; /* by the operator's definition: all off */
        index += index < 0 ? depth : 0;
        memcpy((char *)out->data + (size_t)((k / inner * depth + index) * inner + k % inner) * size,
               (const char *)values->data + size, size);
    }
    return HE_OK;
}

struct trilu {
    const struct he_tensor *in, *out;
    int64_t k;
    bool is_upper;
};

static void trilu_rows(void *arg, int64_t begin, int64_t end)
{
    const struct trilu *t = arg;
    const struct he_shape *shape = &t->in->shape;
    int64_t rows = shape->dims[shape->rank - 2], columns = shape->dims[shape->rank - 1];
    size_t size = cpu_element_bytes(t->in->dtype), cut;
    int64_t row;

    for (row = begin; row < end; row++) {
        const char *src = (const char *)t->in->data + (size_t)(row * columns) * size;
        char *dst = (char *)t->out->data + (size_t)(row * columns) * size;

        /* The diagonal itself belongs to both triangles. */
        cut = (size_t)cpu_clamp_i64(row % rows + t->k + !t->is_upper, 0, columns) * size;
        if (t->is_upper) {
            memset(dst, 0, cut);
            memmove(dst + cut, src + cut, (size_t)columns * size - cut);
        } else {
            memmove(dst, src, cut);
            memset(dst + cut, 0, (size_t)columns * size - cut);
        }
    }
}

static he_status run_trilu(struct cpu_call *call)
{
    struct trilu t = {.in = &call->in[0], .out = &call->out[0]};
    uint32_t rank = call->in[0].shape.rank;
    int64_t rows;
    he_status status = cpu_expect_output(call, 0, t.in->dtype, &t.in->shape);

    if (status != HE_OK)
        return status;
    if (rank < 2)
        return he_error_set(HE_ERR_SHAPE, "Trilu: the input has rank %u, expected 2 or more", rank);
    if (cpu_has_input(call, 1)) {
        status = cpu_read_int(call, 1, &t.k);
        if (status != HE_OK)
            return status;
    }
    t.k = cpu_clamp_i64(t.k, INT32_MIN, INT32_MAX);
    t.is_upper = he_node_int(call->node, "upper", 1) != 0;
    rows = cpu_extent(&t.in->shape, 0, rank - 1);
    if (rows > 0)
        cpu_parallel(call->team, rows, 16384 / (t.in->shape.dims[rank - 1] + 1) + 1, trilu_rows,
                     &t);
    return HE_OK;
}

#define ANY CPU_ALL_TYPES
#define INDEX (CPU_NUMBER_TYPES | CPU_TYPE(HE_BOOL))

static const struct cpu_kernel kernels[] = {
    {.op = "Constant", .types = ANY, .run = run_constant},
    {.op = "ConstantOfShape", .types = CPU_TYPE(HE_INT64), .run = run_constant_of_shape},
    {.op = "Range", .types = CPU_NUMBER_TYPES, .run = run_range},
    {.op = "Shape", .types = ANY, .flags = CPU_STRIDED, .run = run_shape},
    {.op = "Size", .types = ANY, .flags = CPU_STRIDED, .run = run_size},
    {.op = "EyeLike", .types = INDEX, .run = run_eye_like},
    {.op = "OneHot", .types = CPU_NUMBER_TYPES, .run = run_one_hot},
    {.op = "Trilu", .types = CPU_BYTE_TYPES, .flags = CPU_IN_PLACE, .run = run_trilu},
};

const struct cpu_kernel_table cpu_kernels_generate = {kernels, CPU_COUNT(kernels)};
