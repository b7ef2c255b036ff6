/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views and permutations: operators that change the shape and keep the elements;
 * and those that read shapes (Shape, Size) or types (Cast).
 */
#include <inttypes.h>
#include <string.h>

#include "ops/infer.h"

static HE_INFER_RULE(infer_identity)
{
    he_infer_view(out[0], in[0], &in[0]->shape);
    return HE_OK;
}

/* --- Reshape --- */

/* What is left of the input's dimensions once each of the output's has taken an
 * equal one away; so that [s, 3, 4] to [s, -1] gives 12 though s is not known. */
struct quotient {
    bool is_known;
    int64_t value; /* may be a symbol */
    bool is_exact; /* false: the known parts do not divide */
};

static struct quotient divide(const struct he_shape *input, const struct he_shape *output,
                              uint32_t open)
{
    struct quotient q = { .is_exact = true };
    int64_t numerator = 1, denominator = 1, symbol = HE_DIM_UNKNOWN;
    uint32_t taken = 0, open_dims = 0;

    for (uint32_t k = 0; k < output->rank; k++) {
        int64_t dim = output->dims[k];
        uint32_t j;

        if (k == open)
            continue;
        for (j = 0; j < input->rank; j++) {
            if (!(taken & (1u << j)) && input->dims[j] == dim && dim != HE_DIM_UNKNOWN)
                break;
        }
        if (j < input->rank)
            taken |= 1u << j;
        else if (dim < 0 || !he_int64_mul(denominator, dim, &denominator))
            return q;
    }
    for (uint32_t j = 0; j < input->rank; j++) {
        int64_t dim = input->dims[j];

        if (taken & (1u << j))
            continue;
        if (dim < 0) {
            open_dims++;
            symbol = dim;
        } else if (!he_int64_mul(numerator, dim, &numerator)) {
            return q;
        }
    }
    if (open_dims == 0) {
        q.is_exact = denominator != 0 ? numerator % denominator == 0 : numerator == 0;
        q.is_known = denominator != 0;
        q.value = denominator != 0 ? numerator / denominator : HE_DIM_UNKNOWN;
    } else if (open_dims == 1 && numerator == denominator) {
        q.is_known = true;
        q.value = symbol;
    }
    return q;
}

static he_status reshape_to(const struct he_node *node, const struct he_value *data,
                            const struct he_codes *wanted, struct he_shape *out)
{
    bool allow_zero = node->opset >= 14 && he_node_int(node, "allowzero", 0) != 0;
    bool is_open = false; /* some dimension is "copied" from an unknown shape */
    uint32_t open = HE_MAX_RANK, open_count = 0;
    struct he_shape shape = he_shape_of_rank((uint32_t)wanted->count);
    int64_t total, made;
    struct quotient q;

    for (uint32_t k = 0; k < shape.rank; k++) {
        int64_t dim = wanted->v[k];

        if (dim == 0 && !allow_zero) {
            if (he_has_rank(data) && k >= data->shape.rank)
                return he_infer_error(node, "dimension %u is to be copied from the input, which is "
                                            "%s",
                                      k, he_infer_text(data).s);
            is_open = is_open || !he_has_rank(data);
            dim = he_infer_dim(data, k);
        } else if (dim == -1) {
            open = k;
            open_count++;
            if (wanted->is_literal && open_count > 1)
                return he_infer_error(node, "the new shape has -1 more than once");
        } else if (dim < 0 && wanted->is_literal) {
            return he_infer_error(node, "dimension %u of the new shape is %" PRId64, k, dim);
        }
        shape.dims[k] = dim;
    }
    *out = shape;
    if (!he_has_rank(data) || is_open)
        return HE_OK;
    total = he_shape_count(&data->shape);
    if (open_count == 0) {
        made = he_shape_count(&shape);
        if (total >= 0 && made >= 0 && total != made)
            return he_infer_error(node, "%s has %" PRId64 " elements, the new shape %s has %" PRId64,
                                  he_infer_text(data).s, total, he_infer_shape_text(&shape).s,
                                  made);
        return HE_OK;
    }
    if (open_count > 1)
        return HE_OK;
    q = divide(&data->shape, &shape, open);
    if (!q.is_exact)
        return he_infer_error(node, "%s does not divide into the new shape %s",
                              he_infer_text(data).s, he_infer_shape_text(&shape).s);
    if (q.is_known)
        out->dims[open] = q.value;
    return HE_OK;
}

static HE_INFER_RULE(infer_reshape)
{
    struct he_codes wanted;
    struct he_shape shape;
    he_status status;

    out[0]->dtype = in[0]->dtype;
    if (node->opset < 5) {
        const int64_t *list;
        size_t count = he_node_ints(node, "shape", &list);

        if (!he_node_attr(node, "shape") || count > HE_MAX_RANK)
            return he_infer_error(node, "attribute shape is missing, or longer than %d",
                                  HE_MAX_RANK);
        wanted.is_literal = true;
        wanted.count = count;
        for (size_t k = 0; k < count; k++)
            wanted.v[k] = list[k];
    } else {
        if (!in[1])
            return he_infer_error(node, "input 1 (the new shape) must not be omitted");
        status = he_infer_want_rank(node, in[1], "the new shape", 1, 1);
        if (status != HE_OK)
            return status;
        if (he_infer_length(in[1]) > HE_MAX_RANK)
            return he_infer_error(node, "the new shape has more than %d dimensions", HE_MAX_RANK);
        if (!he_infer_codes(in[1], &wanted)) {
            if (he_infer_length(in[1]) >= 0)
                out[0]->shape = he_shape_of_rank((uint32_t)he_infer_length(in[1]));
            return HE_OK;
        }
    }
    status = reshape_to(node, in[0], &wanted, &shape);
    if (status == HE_OK)
        he_infer_view(out[0], in[0], &shape);
    return status;
}

static HE_INFER_RULE(infer_flatten)
{
    int64_t axis = he_node_int(node, "axis", 1);
    uint32_t rank = in[0]->shape.rank;
    struct he_shape shape = he_shape_of_rank(2);
    he_status status;

    he_infer_set(out[0], in[0]->dtype, &shape);
    if (!he_has_rank(in[0]))
        return HE_OK;
    if (axis < -(int64_t)rank || axis > (int64_t)rank) {
        /* A scalar becomes [1,1] by the default axis, too. */
        if (rank != 0)
            return he_infer_error(node, "axis %" PRId64 " is outside %s", axis,
                                  he_infer_text(in[0]).s);
        axis = 0;
    }
    if (axis < 0)
        axis += rank;
    status = he_infer_product(node, &in[0]->shape, 0, (uint32_t)axis, &shape.dims[0]);
    if (status == HE_OK)
        status = he_infer_product(node, &in[0]->shape, (uint32_t)axis, rank, &shape.dims[1]);
    if (status == HE_OK)
        he_infer_view(out[0], in[0], &shape);
    return status;
}

/* --- Squeeze and Unsqueeze: axes are an attribute until opset 12, then input 1 --- */

enum axes_state { AXES_ABSENT, AXES_KNOWN, AXES_UNKNOWN };

static enum axes_state read_axes(const struct he_node *node, const struct he_value *input,
                                 struct he_codes *codes, const int64_t **list, size_t *count)
{
    *list = NULL;
    *count = 0;
    if (node->opset < 13) {
        *count = he_node_ints(node, "axes", list);
        return he_node_attr(node, "axes") ? AXES_KNOWN : AXES_ABSENT;
    }
    if (!input)
        return AXES_ABSENT;
    if (!he_infer_exact(input, codes))
        return AXES_UNKNOWN;
    *list = codes->v;
    *count = codes->count;
    return AXES_KNOWN;
}

static HE_INFER_RULE(infer_squeeze)
{
    struct he_codes codes;
    const int64_t *list;
    size_t count;
    uint32_t rank = in[0]->shape.rank, mask = 0;
    struct he_shape shape = { .rank = 0 };
    enum axes_state state = read_axes(node, in[1], &codes, &list, &count);
    he_status status;

    out[0]->dtype = in[0]->dtype;
    if (!he_has_rank(in[0]))
        return HE_OK;
    if (state == AXES_UNKNOWN) {
        int64_t length = he_infer_length(in[1]);

        if (length >= 0 && length <= (int64_t)rank)
            out[0]->shape = he_shape_of_rank(rank - (uint32_t)length);
        return HE_OK;
    }
    if (state == AXES_ABSENT) {
        for (uint32_t k = 0; k < rank; k++) {
            if (in[0]->shape.dims[k] < 0)
                return HE_OK; /* it may turn out to be one: even the rank is open */
            if (in[0]->shape.dims[k] == 1)
                mask |= 1u << k;
        }
    } else {
        status = he_infer_axes(node, list, count, rank, &mask);
        if (status != HE_OK)
            return status;
    }
    for (uint32_t k = 0; k < rank; k++) {
        int64_t dim = in[0]->shape.dims[k];

        if (!(mask & (1u << k)))
            shape.dims[shape.rank++] = dim;
        else if (dim >= 0 && dim != 1)
            return he_infer_error(node, "axis %u of %s is not 1", k, he_infer_text(in[0]).s);
    }
    he_infer_view(out[0], in[0], &shape);
    return HE_OK;
}

static HE_INFER_RULE(infer_unsqueeze)
{
    struct he_codes codes;
    const int64_t *list;
    size_t count;
    uint32_t rank = in[0]->shape.rank, mask, next = 0;
    struct he_shape shape;
    enum axes_state state = read_axes(node, in[1], &codes, &list, &count);
    he_status status;

    out[0]->dtype = in[0]->dtype;
    if (state == AXES_ABSENT)
        return he_infer_error(node, "axes are missing");
    if (!he_has_rank(in[0]))
        return HE_OK;
    if (state == AXES_UNKNOWN) {
        int64_t length = he_infer_length(in[1]);

        if (length >= 0 && length + rank <= HE_MAX_RANK)
            out[0]->shape = he_shape_of_rank(rank + (uint32_t)length);
        return HE_OK;
    }
    if (count + rank > HE_MAX_RANK)
        return he_infer_error(node, "the output would have more than %d dimensions", HE_MAX_RANK);
    shape = he_shape_of_rank(rank + (uint32_t)count);
    status = he_infer_axes(node, list, count, shape.rank, &mask);
    if (status != HE_OK)
        return status;
    for (uint32_t k = 0; k < shape.rank; k++)
        shape.dims[k] = mask & (1u << k) ? 1 : in[0]->shape.dims[next++];
    he_infer_view(out[0], in[0], &shape);
    return HE_OK;
}

/* --- Permutations and copies --- */

static HE_INFER_RULE(infer_transpose)
{
    const int64_t *perm;
    size_t count = he_node_ints(node, "perm", &perm);
    uint32_t rank = in[0]->shape.rank, seen = 0;
    struct he_shape shape;

    out[0]->dtype = in[0]->dtype;
    if (!he_has_rank(in[0])) {
        if (count > 0 && count <= HE_MAX_RANK)
            out[0]->shape = he_shape_of_rank((uint32_t)count);
        return HE_OK;
    }
    if (he_node_attr(node, "perm") && count != rank)
        return he_infer_error(node, "perm has %zu entries, the input is %s", count,
                              he_infer_text(in[0]).s);
    shape = in[0]->shape;
    for (uint32_t k = 0; k < rank; k++) {
        int64_t from = count ? perm[k] : (int64_t)rank - 1 - k;

        if (from < 0 || from >= (int64_t)rank || (seen & (1u << from)))
            return he_infer_error(node, "perm[%u] is %" PRId64 ", the input is %s", k, from,
                                  he_infer_text(in[0]).s);
        seen |= 1u << from;
        shape.dims[k] = in[0]->shape.dims[from];
    }
    if (rank <= 1)
        he_infer_view(out[0], in[0], &shape);
    else
        he_infer_set(out[0], in[0]->dtype, &shape);
    return HE_OK;
}

/* The common shape of the input and a list of sizes. */
static HE_INFER_RULE(infer_expand)
{
    struct he_codes codes, filler;
    struct he_shape wanted, shape;
    he_status status = he_infer_want_rank(node, in[1], "the new shape", 1, 1);

    out[0]->dtype = in[0]->dtype;
    if (status != HE_OK)
        return status;
    if (he_infer_length(in[1]) > HE_MAX_RANK)
        return he_infer_error(node, "the new shape has more than %d dimensions", HE_MAX_RANK);
    if (he_infer_codes(in[1], &codes)) {
        wanted = he_shape_of_rank((uint32_t)codes.count);
        for (size_t k = 0; k < codes.count; k++) {
            if (codes.is_literal && codes.v[k] < 0)
                return he_infer_error(node, "dimension %zu of the new shape is %" PRId64, k,
                                      codes.v[k]);
            wanted.dims[k] = codes.v[k];
        }
    } else if (he_infer_length(in[1]) >= 0) {
        wanted = he_shape_of_rank((uint32_t)he_infer_length(in[1]));
    } else {
        return HE_OK;
    }
    if (!he_shape_broadcast(&in[0]->shape, &wanted, &shape))
        return he_infer_error(node, "%s does not broadcast to %s", he_infer_text(in[0]).s,
                              he_infer_shape_text(&wanted).s);
    he_infer_set(out[0], in[0]->dtype, &shape);
    /* One known number, repeated. */
    if (he_infer_codes(in[0], &filler) && filler.count == 1 && he_shape_count(&shape) >= 0 &&
        he_shape_count(&shape) <= HE_MAX_RANK) {
        int64_t repeated[HE_MAX_RANK];

        for (int64_t k = 0; k < he_shape_count(&shape); k++)
            repeated[k] = he_codes_dim(&filler, 0);
        he_infer_set_known(out[0], repeated, (size_t)he_shape_count(&shape));
    }
    return HE_OK;
}

/* --- What is asked about a tensor --- */

static HE_INFER_RULE(infer_shape)
{
    int64_t rank = in[0]->shape.rank;
    int64_t start = 0, end = rank;

    out[0]->dtype = HE_INT64;
    out[0]->shape = he_shape_of_rank(1);
    if (!he_has_rank(in[0]))
        return HE_OK;
    if (node->opset >= 15) { /* a slice of the shape, clamped */
        start = he_node_int(node, "start", 0);
        end = he_node_int(node, "end", rank);
        start = start < -rank ? 0 : start < 0 ? start + rank : start > rank ? rank : start;
        end = end < -rank ? 0 : end < 0 ? end + rank : end > rank ? rank : end;
        if (end < start)
            end = start;
    }
    out[0]->shape.dims[0] = end - start;
    he_infer_set_known(out[0], in[0]->shape.dims + start, (size_t)(end - start));
    return HE_OK;
}

static HE_INFER_RULE(infer_size)
{
    int64_t count;
    he_status status;

    out[0]->dtype = HE_INT64;
    out[0]->shape = he_shape_of_rank(0);
    if (!he_has_rank(in[0]))
        return HE_OK;
    status = he_infer_product(node, &in[0]->shape, 0, in[0]->shape.rank, &count);
    if (status == HE_OK)
        he_infer_set_known(out[0], &count, 1);
    return status;
}

/* --- Casts --- */

/* Opset 1..5 name the type: "FLOAT", "INT64". */
static enum he_dtype dtype_by_onnx_name(const char *name)
{
    static const char *const names[HE_DTYPE_COUNT] = {
        [HE_FLOAT32] = "FLOAT",   [HE_UINT8] = "UINT8",     [HE_INT8] = "INT8",
        [HE_UINT16] = "UINT16",   [HE_INT16] = "INT16",     [HE_INT32] = "INT32",
        [HE_INT64] = "INT64",     [HE_STRING] = "STRING",   [HE_BOOL] = "BOOL",
        [HE_FLOAT16] = "FLOAT16", [HE_FLOAT64] = "DOUBLE",  [HE_UINT32] = "UINT32",
        [HE_UINT64] = "UINT64",   [HE_COMPLEX64] = "COMPLEX64",
        [HE_COMPLEX128] = "COMPLEX128",
    };

    for (int k = 0; k < HE_DTYPE_COUNT; k++) {
        if (names[k] && strcmp(names[k], name) == 0)
            return (enum he_dtype)k;
    }
    return HE_DTYPE_NONE;
}

static he_status read_target(const struct he_node *node, enum he_dtype *out)
{
    const char *name = he_node_string(node, "to", NULL);
    int64_t to = he_node_int(node, "to", name ? (int64_t)dtype_by_onnx_name(name) : HE_DTYPE_NONE);

    if (to <= HE_DTYPE_NONE || to >= HE_DTYPE_COUNT)
        return he_infer_error(node, "attribute to is missing or names no type");
    *out = (enum he_dtype)to;
    return HE_OK;
}

static HE_INFER_RULE(infer_cast)
{
    struct he_codes codes;
    enum he_dtype to;
    he_status status = read_target(node, &to);

    if (status != HE_OK)
        return status;
    he_infer_set(out[0], to, &in[0]->shape);
    /* Integers that become int64 or int32 keep their values. */
    if (to != HE_BOOL && he_infer_codes(in[0], &codes)) {
        for (size_t k = 0; k < codes.count; k++)
            codes.v[k] = he_codes_dim(&codes, k);
        he_infer_set_known(out[0], codes.v, codes.count);
    }
    return HE_OK;
}

static HE_INFER_RULE(infer_bit_cast)
{
    enum he_dtype to;
    he_status status = read_target(node, &to);

    if (status != HE_OK)
        return status;
    if (in[0]->dtype != HE_DTYPE_NONE && he_dtype_bits(in[0]->dtype) != he_dtype_bits(to))
        return he_infer_error(node, "%s and %s have different widths",
                              he_dtype_name(in[0]->dtype), he_dtype_name(to));
    he_infer_set(out[0], to, &in[0]->shape);
    return HE_OK;
}

static HE_INFER_RULE(infer_cast_like)
{
    he_infer_set(out[0], in[1]->dtype, &in[0]->shape);
    return HE_OK;
}

#define VIEW(op, rule, least, most, ...)                                                           \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule,               \
      .access = HE_ACCESS_VIEW, .work_class = HE_WORK_NONE, .split_axes = HE_SPLIT_NONE,           \
      .min_inputs = least, .max_inputs = most, .max_outputs = 1 }
#define CAST(op, rule, count, ...)                                                                 \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule,               \
      .access = HE_ACCESS_POINTWISE, .work_class = HE_WORK_ELEMENTWISE,                            \
      .split_axes = HE_SPLIT_ANY, .flags = HE_OP_ANY_LAYOUT, .min_inputs = count,                  \
      .max_inputs = count, .max_outputs = 1 }
/* Reads the shape, not the data. */
#define QUERY(op, rule, ...)                                                                       \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule,               \
      .access = HE_ACCESS_GENERATE, .work_class = HE_WORK_NONE, .split_axes = HE_SPLIT_NONE,       \
      .min_inputs = 1, .max_inputs = 1, .max_outputs = 1 }

static const struct he_op rows[] = {
    VIEW("BitCast", infer_bit_cast, 1, 1, 26),
    CAST("Cast", infer_cast, 1, 1, 6, 9, 13, 19, 21, 23, 24, 25, 28),
    CAST("CastLike", infer_cast_like, 2, 15, 19, 21, 23, 24, 25),
    { .name = "Expand", .domain = "", .versions = HE_VERSIONS(8, 13), .infer = infer_expand,
      .access = HE_ACCESS_MOVE, .work_class = HE_WORK_MOVE, .split_axes = HE_SPLIT_ANY,
      .min_inputs = 2, .max_inputs = 2, .max_outputs = 1 },
    VIEW("Flatten", infer_flatten, 1, 1, 1, 9, 11, 13, 21, 23, 24, 25),
    { .name = "Identity", .domain = "", .versions = HE_VERSIONS(1, 13, 14, 16, 19, 21, 23, 24, 25),
      .infer = infer_identity, .access = HE_ACCESS_VIEW, .work_class = HE_WORK_NONE,
      .split_axes = HE_SPLIT_ANY, .flags = HE_OP_ANY_LAYOUT, .min_inputs = 1, .max_inputs = 1,
      .max_outputs = 1 },
    VIEW("Reshape", infer_reshape, 1, 2, 1, 5, 13, 14, 19, 21, 23, 24, 25),
    QUERY("Shape", infer_shape, 1, 13, 15, 19, 21, 23, 24, 25),
    QUERY("Size", infer_size, 1, 13, 19, 21, 23, 24, 25),
    VIEW("Squeeze", infer_squeeze, 1, 2, 1, 11, 13, 21, 23, 24, 25),
    { .name = "Transpose", .domain = "", .versions = HE_VERSIONS(1, 13, 21, 23, 24, 25),
      .infer = infer_transpose, .access = HE_ACCESS_MOVE, .work_class = HE_WORK_MOVE,
      .split_axes = HE_SPLIT_ANY, .min_inputs = 1, .max_inputs = 1, .max_outputs = 1 },
    VIEW("Unsqueeze", infer_unsqueeze, 1, 2, 1, 11, 13, 21, 23, 24, 25),
};

const struct he_op_table he_ops_shape = { rows, HE_COUNT(rows) };
