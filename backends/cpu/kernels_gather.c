/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gather, GatherElements, GatherND, Compress. Indices are checked before anything is
 * read through them, so that the copies need no checks of their own.
 */
#include "move.h"

/* --- Indices --- */

struct indices {
    const void *data;
    bool is_wide; /* int64, else int32 */
};

static inline int64_t index_at(const struct indices *indices, int64_t k, int64_t dim)
{
    int64_t index = indices->is_wide ? ((const int64_t *)indices->data)[k]
                                     : ((const int32_t *)indices->data)[k];

    return index < 0 ? index + dim : index;
}

static he_status open_indices(const struct cpu_call *call, struct indices *out)
{
    const struct he_tensor *tensor = &call->in[1];

    if (tensor->dtype != HE_INT64 && tensor->dtype != HE_INT32)
        return he_error_set(HE_ERR_SHAPE, "%s: indices are %s, expected int32 or int64",
                            call->node->op, he_dtype_name(tensor->dtype));
    *out = (struct indices){tensor->data, tensor->dtype == HE_INT64};
    return HE_OK;
}

/* Refuses an index outside [-dim, dim) among each @step-th from @first. */
static he_status check_indices(const struct cpu_call *call, const struct indices *indices,
                               int64_t first, int64_t step, int64_t dim, uint32_t axis)
{
    int64_t k, index, count = cpu_count(&call->in[1]);

    for (k = first; k < count; k += step) {
        index = index_at(indices, k, dim);
        if (index < 0 || index >= dim)
            break;
    }
    if (k >= count)
        return HE_OK;
    index = index_at(indices, k, 0);
    return he_error_set(
        HE_ERR_SHAPE, "%s: index %lld (number %lld) is outside [%lld, %lld] of axis %u",
        call->node->op, (long long)index, (long long)k, (long long)-dim, (long long)dim - 1, axis);
}

/* --- Rows --- */

/* Copies of a few bytes are most of a Gather of single elements. */
static inline void copy_row(char *dst, const char *src, size_t bytes)
{
    switch (bytes) {
    case 1:
        *dst = *src;
        break;
    case 2:
        memcpy(dst, src, 2);
        break;
    case 4:
        memcpy(dst, src, 4);
        break;
    case 8:
        memcpy(dst, src, 8);
        break;
    default:
        memcpy(dst, src, bytes);
    }
}

static int64_t row_grain(size_t bytes)
{
    return bytes >= 65536 ? 1 : (int64_t)(65536 / (bytes + 8));
}

struct gather {
    const char *src;
    char *dst;
    struct indices indices;
    size_t row;     /* bytes behind the axis */
    int64_t dim;    /* of the axis */
    int64_t picked; /* indices */
};

static void gather_rows(void *arg, int64_t begin, int64_t end)
{
    const struct gather *g = arg;
    int64_t outer = begin / g->picked, k = begin % g->picked, index;
    char *dst = g->dst + (size_t)begin * g->row;

    for (; begin < end; begin++, dst += g->row) {
        index = index_at(&g->indices, k, g->dim);
        copy_row(dst, g->src + (size_t)(outer * g->dim + index) * g->row, g->row);
        if (++k == g->picked) {
            k = 0;
            outer++;
        }
    }
}

static he_status run_gather(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *picks = &call->in[1], *out = &call->out[0];
    struct gather g = {.src = in->data, .dst = out->data};
    struct he_shape shape = {0};
    uint32_t axis, k;
    int64_t rows;
    he_status status;

    if ((status = cpu_axis(call->node, he_node_int(call->node, "axis", 0), in->shape.rank,
                           &axis)) != HE_OK ||
        (status = open_indices(call, &g.indices)) != HE_OK)
        return status;
    if (in->shape.rank + picks->shape.rank - 1 > HE_MAX_RANK)
        return he_error_set(HE_ERR_SHAPE, "Gather: the output has a rank over %d", HE_MAX_RANK);
    for (k = 0; k < axis; k++)
        shape.dims[shape.rank++] = in->shape.dims[k];
    for (k = 0; k < picks->shape.rank; k++)
        shape.dims[shape.rank++] = picks->shape.dims[k];
    for (k = axis + 1; k < in->shape.rank; k++)
        shape.dims[shape.rank++] = in->shape.dims[k];
    g.dim = in->shape.dims[axis];
    if ((status = cpu_expect_output(call, 0, in->dtype, &shape)) != HE_OK ||
        (status = check_indices(call, &g.indices, 0, 1, g.dim, axis)) != HE_OK)
        return status;
    g.row = (size_t)cpu_extent(&in->shape, axis + 1, in->shape.rank) * cpu_element_bytes(in->dtype);
    g.picked = cpu_count(picks);
    rows = cpu_extent(&in->shape, 0, axis) * g.picked;
    if (rows > 0 && g.row > 0)
        cpu_parallel(call->team, rows, row_grain(g.row), gather_rows, &g);
    return HE_OK;
}

/* --- GatherElements: one index per element --- */

struct gather_elements {
    const struct he_tensor *in, *out;
    struct indices indices;
    uint32_t axis;
    size_t size;
};

/* Rows of the last dimension; a scalar-like rank 1 tensor is one row. */
static void gather_element_rows(void *arg, int64_t begin, int64_t end)
{
    const struct gather_elements *g = arg;
    const struct he_shape *shape = &g->out->shape;
    uint32_t last = shape->rank - 1, d;
    int64_t length = shape->dims[last], step = g->in->strides[g->axis];
    int64_t dim = g->in->shape.dims[g->axis], row, rest, base, k, at;

    for (row = begin; row < end; row++) {
        base = 0;
        for (d = last, rest = row; d-- > 0; rest /= shape->dims[d])
            if (d != g->axis)
                base += rest % shape->dims[d] * g->in->strides[d];
        for (k = 0; k < length; k++) {
            at = base + index_at(&g->indices, row * length + k, dim) * step;
            if (g->axis != last)
                at += k;
            copy_row((char *)g->out->data + (size_t)(row * length + k) * g->size,
                     (const char *)g->in->data + (size_t)at * g->size, g->size);
        }
    }
}

static he_status run_gather_elements(struct cpu_call *call)
{
    struct gather_elements g = {.in = &call->in[0], .out = &call->out[0]};
    const struct he_shape *shape = &call->in[1].shape;
    int64_t count = cpu_count(&call->in[1]);
    uint32_t d;
    he_status status;

    g.size = cpu_element_bytes(g.in->dtype);
    if ((status = cpu_axis(call->node, he_node_int(call->node, "axis", 0), g.in->shape.rank,
                           &g.axis)) != HE_OK ||
        (status = open_indices(call, &g.indices)) != HE_OK ||
        (status = cpu_expect_output(call, 0, g.in->dtype, shape)) != HE_OK ||
        (status = check_indices(call, &g.indices, 0, 1, g.in->shape.dims[g.axis], g.axis)) != HE_OK)
        return status;
    for (d = 0; d < shape->rank && shape->rank == g.in->shape.rank; d++)
        if (d != g.axis && shape->dims[d] > g.in->shape.dims[d])
            break;
    if (d < shape->rank)
        return he_error_set(HE_ERR_SHAPE, "GatherElements: indices do not fit the data on axis %u",
                            d);
    if (count > 0)
        cpu_parallel(call->team, count / shape->dims[d - 1], row_grain(g.size * 32),
                     gather_element_rows, &g);
    return HE_OK;
}

/* --- GatherND: one index tuple per slice --- */

struct gather_nd {
    const char *src;
    char *dst;
    struct indices indices;
    const struct he_tensor *in;
    uint32_t batch_dims, tuple; /* dimensions shared, dimensions indexed */
    int64_t per_batch;          /* tuples of one batch entry */
    size_t row;
};

static void gather_tuples(void *arg, int64_t begin, int64_t end)
{
    const struct gather_nd *g = arg;
    const struct he_shape *shape = &g->in->shape;
    int64_t batch = g->batch_dims ? g->in->strides[g->batch_dims - 1] : 0, at, dim;
    size_t size = cpu_element_bytes(g->in->dtype);
    uint32_t d;

    for (; begin < end; begin++) {
        at = begin / g->per_batch * batch;
        for (d = 0; d < g->tuple; d++) {
            dim = shape->dims[g->batch_dims + d];
            at += index_at(&g->indices, begin * g->tuple + d, dim) *
                  g->in->strides[g->batch_dims + d];
        }
        copy_row(g->dst + (size_t)begin * g->row, g->src + (size_t)at * size, g->row);
    }
}

static he_status run_gather_nd(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *picks = &call->in[1];
    int64_t batch_dims = he_node_int(call->node, "batch_dims", 0), tuple, count;
    struct gather_nd g = {.src = in->data, .dst = call->out[0].data, .in = in};
    struct he_shape shape = {0};
    uint32_t d, rank = picks->shape.rank;
    he_status status = open_indices(call, &g.indices);

    if (status != HE_OK)
        return status;
    if (rank < 1 || batch_dims < 0 || batch_dims >= rank || batch_dims > in->shape.rank)
        return he_error_set(HE_ERR_SHAPE, "GatherND: batch_dims %lld with indices of rank %u",
                            (long long)batch_dims, rank);
    tuple = picks->shape.dims[rank - 1];
    if (tuple < 0 || tuple > (int64_t)in->shape.rank - batch_dims)
        return he_error_set(HE_ERR_SHAPE, "GatherND: tuples of %lld for rank %u", (long long)tuple,
                            in->shape.rank);
    if (rank - 1 + in->shape.rank - batch_dims - tuple > HE_MAX_RANK)
        return he_error_set(HE_ERR_SHAPE, "GatherND: the output has a rank over %d", HE_MAX_RANK);
    for (d = 0; d < rank - 1; d++) {
        if (d < batch_dims && picks->shape.dims[d] != in->shape.dims[d])
            return he_error_set(HE_ERR_SHAPE, "GatherND: batch dimension %u differs", d);
        shape.dims[shape.rank++] = picks->shape.dims[d];
    }
    for (d = (uint32_t)(batch_dims + tuple); d < in->shape.rank; d++)
        shape.dims[shape.rank++] = in->shape.dims[d];
    status = cpu_expect_output(call, 0, in->dtype, &shape);
    for (d = 0; status == HE_OK && d < tuple; d++)
        status = check_indices(call, &g.indices, d, tuple, in->shape.dims[batch_dims + d],
                               (uint32_t)batch_dims + d);
    if (status != HE_OK)
        return status;
    g.batch_dims = (uint32_t)batch_dims;
    g.tuple = (uint32_t)tuple;
    g.per_batch = cpu_extent(&picks->shape, g.batch_dims, rank - 1);
    g.row = (size_t)cpu_extent(&in->shape, g.batch_dims + g.tuple, in->shape.rank) *
            cpu_element_bytes(in->dtype);
    count = cpu_extent(&picks->shape, 0, rank - 1);
    if (count > 0 && g.row > 0)
        cpu_parallel(call->team, count, row_grain(g.row), gather_tuples, &g);
    return HE_OK;
}

/* --- Compress: the slices whose flag is set --- */

static he_status run_compress(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *flags = &call->in[1];
    int64_t k, o, picked = 0, count = cpu_count(flags), outer, dim;
    const struct he_attr *attr = he_node_attr(call->node, "axis");
    const uint8_t *flag = flags->data;
    size_t row = cpu_element_bytes(in->dtype);
    struct he_shape shape = in->shape;
    uint32_t axis = 0;
    char *dst;
    he_status status;

    if (flags->dtype != HE_BOOL || flags->shape.rank != 1)
        return he_error_set(HE_ERR_SHAPE, "Compress: condition is not a list of bool");
    if (attr) {
        status = cpu_axis(call->node, attr->i, shape.rank, &axis);
        if (status != HE_OK)
            return status;
        dim = shape.dims[axis];
        outer = cpu_extent(&shape, 0, axis);
        row *= (size_t)cpu_extent(&shape, axis + 1, shape.rank);
    } else {
        dim = cpu_count(in);
        outer = 1;
        shape.rank = 1;
    }
    if (count > dim)
        return he_error_set(HE_ERR_SHAPE, "Compress: %lld conditions for %lld entries",
                            (long long)count, (long long)dim);
    for (k = 0; k < count; k++)
        picked += flag[k] != 0;
    shape.dims[axis] = picked;
    status = call->shape_output(call, 0, in->dtype, &shape);
    if (status != HE_OK)
        return status;
    dst = call->out[0].data;
    for (o = 0; o < outer; o++) {
        for (k = 0; k < count; k++) {
            if (!flag[k])
                continue;
            copy_row(dst, (const char *)in->data + (size_t)(o * dim + k) * row, row);
            dst += row;
        }
    }
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "Gather", .types = CPU_BYTE_TYPES, .run = run_gather},
    {.op = "GatherElements", .types = CPU_BYTE_TYPES, .run = run_gather_elements},
    {.op = "GatherND", .types = CPU_BYTE_TYPES, .run = run_gather_nd},
    {.op = "Compress", .types = CPU_BYTE_TYPES, .flags = CPU_DATA_SHAPE, .run = run_compress},
};

const struct cpu_kernel_table cpu_kernels_gather = {kernels, CPU_COUNT(kernels)};
