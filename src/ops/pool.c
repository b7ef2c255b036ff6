/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling: windowed, global, and its inverse. */
#include <inttypes.h>

#include "ops/infer.h"

static he_status pool_shape(const struct he_node *node, const struct he_value *x,
                            struct he_window *window, struct he_shape *out)
{
    struct he_shape shape;
    he_status status = he_infer_want_rank(node, x, "X", 3, HE_MAX_RANK);

    *out = he_shape_unknown();
    if (status != HE_OK || !he_has_rank(x))
        return status;
    status = he_window_read(node, x->shape.rank - 2, NULL, window);
    if (status != HE_OK)
        return status;
    shape = x->shape;
    for (uint32_t k = 2; k < shape.rank; k++) {
        status = he_window_output(node, window, k - 2, x->shape.dims[k], &shape.dims[k]);
        if (status != HE_OK)
            return status;
    }
    *out = shape;
    return HE_OK;
}

static HE_INFER_RULE(infer_pool)
{
    struct he_window window;
    struct he_shape shape;
    he_status status = pool_shape(node, in[0], &window, &shape);

    if (status != HE_OK)
        return status;
    he_infer_set(out[0], in[0]->dtype, &shape);
    he_infer_set(out[1], HE_INT64, &shape); /* MaxPool's indices */
    return HE_OK;
}

static HE_INFER_RULE(infer_global_pool)
{
    struct he_shape shape = in[0]->shape;
    he_status status = he_infer_want_rank(node, in[0], "X", 2, HE_MAX_RANK);

    if (status != HE_OK)
        return status;
    if (he_has_rank(in[0])) {
        for (uint32_t k = 2; k < shape.rank; k++)
            shape.dims[k] = 1;
    }
    he_infer_set(out[0], in[0]->dtype, &shape);
    return HE_OK;
}

static HE_INFER_RULE(infer_max_unpool)
{
    struct he_window window;
    struct he_shape shape;
    struct he_codes wanted;
    he_status status = he_infer_want_rank(node, in[0], "X", 3, HE_MAX_RANK);

    out[0]->dtype = in[0]->dtype;
    if (status != HE_OK || !he_has_rank(in[0]))
        return status;
    shape = in[0]->shape;
    if (!he_shape_merge(&shape, &in[1]->shape))
        return he_infer_error(node, "X is %s, the indices are %s", he_infer_text(in[0]).s,
                              he_infer_text(in[1]).s);
    if (in[2]) {
        if (!he_infer_codes(in[2], &wanted)) {
            out[0]->shape = he_shape_of_rank(shape.rank);
            return HE_OK;
        }
        if (wanted.count != shape.rank)
            return he_infer_error(node, "output_shape has %zu entries, X is %s", wanted.count,
                                  he_infer_text(in[0]).s);
        for (uint32_t k = 0; k < shape.rank; k++)
            shape.dims[k] = he_codes_dim(&wanted, k);
        he_infer_set(out[0], in[0]->dtype, &shape);
        return HE_OK;
    }
    status = he_window_read(node, shape.rank - 2, NULL, &window);
    if (status != HE_OK)
        return status;
    for (uint32_t k = 0; k < window.rank; k++) {
        int64_t dim = shape.dims[k + 2];

        if (dim < 0) {
            shape.dims[k + 2] = HE_DIM_UNKNOWN;
            continue;
        }
        if (dim > INT64_MAX / 4 / window.stride[k])
            return he_infer_error(node, "output size overflows on spatial axis %u", k);
        dim = (dim - 1) * window.stride[k] + window.kernel[k] - window.begin[k] - window.end[k];
        if (dim < 0)
            return he_infer_error(node, "output size would be %" PRId64 " on spatial axis %u", dim,
                                  k);
        shape.dims[k + 2] = dim;
    }
    he_infer_set(out[0], in[0]->dtype, &shape);
    return HE_OK;
}

/* --- Work --- */

/* One operation per window element; LpPool raises to a power as well. */
static HE_WORK_RULE(work_pool)
{
    const int64_t *kernel;
    size_t count = he_node_ints(node, "kernel_shape", &kernel);
    double area = 1;

    for (size_t k = 0; k < count; k++)
        area *= (double)kernel[k];
    work->flops = area * he_work_count(out[0], work);
}

static HE_WORK_RULE(work_global_pool)
{
    work->flops = he_work_count(in[0], work);
}

#define POOL(op, rule, cost, axes, class, outputs, ...)                                            \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule, .work = cost, \
      .access = HE_ACCESS_WINDOW, .work_class = class,                                             \
      .split_axes = HE_SPLIT_BATCH | HE_SPLIT_CHANNEL | (axes), .flags = HE_OP_CHANNELS_LAST,      \
      .min_inputs = 1, .max_inputs = 1, .max_outputs = outputs }
#define GLOBAL(op, ...)                                                                            \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = infer_global_pool,  \
      .work = work_global_pool, .access = HE_ACCESS_REDUCE, .work_class = HE_WORK_REDUCTION,       \
      .split_axes = HE_SPLIT_BATCH | HE_SPLIT_CHANNEL, .flags = HE_OP_CHANNELS_LAST,               \
      .min_inputs = 1, .max_inputs = 1, .max_outputs = 1 }

static const struct he_op rows[] = {
    POOL("AveragePool", infer_pool, work_pool, HE_SPLIT_SPATIAL, HE_WORK_WINDOW, 1, 1, 7, 10, 11,
         19, 22),
    GLOBAL("GlobalAveragePool", 1, 22),
    GLOBAL("GlobalLpPool", 1, 2, 22),
    GLOBAL("GlobalMaxPool", 1, 22),
    POOL("LpPool", infer_pool, work_pool, HE_SPLIT_SPATIAL, HE_WORK_WINDOW, 1, 1, 2, 11, 18, 22),
    /* Indices count from the whole image, so a spatial cut would have to mend them. */
    POOL("MaxPool", infer_pool, work_pool, HE_SPLIT_SPATIAL, HE_WORK_WINDOW, 2, 1, 8, 10, 11, 12,
         22),
    { .name = "MaxUnpool", .domain = "", .versions = HE_VERSIONS(9, 11, 22),
      .infer = infer_max_unpool, .access = HE_ACCESS_GATHER, .work_class = HE_WORK_MOVE,
      .split_axes = HE_SPLIT_NONE, .min_inputs = 2, .max_inputs = 3, .max_outputs = 1 },
};

const struct he_op_table he_ops_pool = { rows, HE_COUNT(rows) };
