/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors out of nothing: constants, ranges, random numbers, one-hot rows, windows. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ops/infer.h"

/* A type given as an attribute; absent means @fallback. */
static he_status read_dtype(const struct he_node *node, const char *name, enum he_dtype fallback,
                            enum he_dtype *out)
{
    int64_t dtype = he_node_int(node, name, fallback);

    *out = HE_DTYPE_NONE;
    if (dtype < HE_DTYPE_NONE || dtype >= HE_DTYPE_COUNT)
        return he_infer_error(node, "%s is %" PRId64 ", no type", name, dtype);
    *out = (enum he_dtype)dtype;
    return HE_OK;
}

static he_status set_list(const struct he_node *node, struct he_value *out, enum he_dtype dtype,
                          const struct he_attr *attr)
{
    if (attr->count > INT64_MAX)
        return he_infer_error(node, "the list is too long");
    he_infer_set_dims(out, dtype, 1, (const int64_t[]){ (int64_t)attr->count });
    if (dtype == HE_INT64 && attr->count <= HE_MAX_RANK && attr->ints) {
        int64_t codes[HE_MAX_RANK];

        for (size_t k = 0; k < attr->count; k++)
            codes[k] = attr->ints[k] < 0 ? HE_DIM_UNKNOWN : attr->ints[k];
        he_infer_set_known(out, codes, attr->count);
    }
    return HE_OK;
}

static HE_INFER_RULE(infer_constant)
{
    static const struct {
        const char *name;
        enum he_attr_kind kind;
        enum he_dtype dtype;
        bool is_list;
    } forms[] = {
        { "value_float", HE_ATTR_FLOAT, HE_FLOAT32, false },
        { "value_floats", HE_ATTR_FLOATS, HE_FLOAT32, true },
        { "value_int", HE_ATTR_INT, HE_INT64, false },
        { "value_ints", HE_ATTR_INTS, HE_INT64, true },
        { "value_string", HE_ATTR_STRING, HE_STRING, false },
        { "value_strings", HE_ATTR_STRINGS, HE_STRING, true },
    };
    const struct he_attr *attr = he_node_attr(node, "value");

    if (attr && attr->kind == HE_ATTR_TENSOR && attr->tensor) {
        if (attr->tensor->shape.rank > HE_MAX_RANK)
            return he_infer_error(node, "the value has more than %d dimensions", HE_MAX_RANK);
        he_infer_view(out[0], attr->tensor, &attr->tensor->shape);
        return HE_OK;
    }
    for (size_t k = 0; k < HE_COUNT(forms); k++) {
        attr = he_node_attr(node, forms[k].name);
        if (!attr || attr->kind != forms[k].kind)
            continue;
        if (forms[k].is_list)
            return set_list(node, out[0], forms[k].dtype, attr);
        he_infer_set_dims(out[0], forms[k].dtype, 0, NULL);
        if (forms[k].dtype == HE_INT64 && attr->i >= 0)
            he_infer_set_known(out[0], &attr->i, 1);
        return HE_OK;
    }
    if (he_node_attr(node, "sparse_value"))
        return he_error_set(HE_ERR_UNSUPPORTED, "%s: sparse values are not supported", node->op);
    return he_infer_error(node, "no value");
}

/* A list of sizes that is an input. */
static he_status shape_from_input(const struct he_node *node, const struct he_value *input,
                                  struct he_shape *out)
{
    struct he_codes codes;
    int64_t length = he_infer_length(input);
    he_status status = he_infer_want_rank(node, input, "the shape", 1, 1);

    *out = he_shape_unknown();
    if (status != HE_OK)
        return status;
    if (length > HE_MAX_RANK)
        return he_infer_error(node, "the shape has more than %d dimensions", HE_MAX_RANK);
    if (length >= 0)
        *out = he_shape_of_rank((uint32_t)length);
    if (!he_infer_codes(input, &codes))
        return HE_OK;
    for (size_t k = 0; k < codes.count; k++) {
        if (codes.is_literal && codes.v[k] < 0)
            return he_infer_error(node, "dimension %zu of the shape is %" PRId64, k, codes.v[k]);
        out->dims[k] = codes.v[k];
    }
    return HE_OK;
}

static HE_INFER_RULE(infer_constant_of_shape)
{
    const struct he_attr *attr = he_node_attr(node, "value");
    const struct he_value *value = attr && attr->kind == HE_ATTR_TENSOR ? attr->tensor : NULL;
    struct he_shape shape;
    int64_t filler, count;
    he_status status = shape_from_input(node, in[0], &shape);

    if (status != HE_OK)
        return status;
    he_infer_set(out[0], value ? value->dtype : HE_FLOAT32, &shape);
    count = he_shape_count(&shape);
    if (value && count >= 0 && count <= HE_MAX_RANK && he_infer_exact_scalar(value, &filler)) {
        int64_t codes[HE_MAX_RANK];

        for (int64_t k = 0; k < count; k++)
            codes[k] = filler < 0 ? HE_DIM_UNKNOWN : filler;
        he_infer_set_known(out[0], codes, (size_t)count);
    }
    return HE_OK;
}

static HE_INFER_RULE(infer_range)
{
    double start, limit, delta, count;
    int64_t first, step;
    struct he_codes end;
    he_status status = he_infer_want_same_type(node, in[0], "start", in[1], "limit");

    if (status == HE_OK)
        status = he_infer_want_same_type(node, in[0], "start", in[2], "delta");
    if (status != HE_OK)
        return status;
    out[0]->dtype = in[0]->dtype;
    out[0]->shape = he_shape_of_rank(1);
    /* 0, 1, ... up to a symbol. */
    if (he_infer_exact_scalar(in[0], &first) && first == 0 && he_infer_exact_scalar(in[2], &step) &&
        step == 1 && he_infer_codes(in[1], &end) && end.count == 1 && !end.is_literal) {
        out[0]->shape.dims[0] = end.v[0];
        return HE_OK;
    }
    if (!he_infer_number(in[0], &start) || !he_infer_number(in[1], &limit) ||
        !he_infer_number(in[2], &delta))
        return HE_OK;
    if (delta == 0)
        return he_infer_error(node, "delta is 0");
    count = ceil((limit - start) / delta);
    if (!(count < 9e18))
        return he_infer_error(node, "from %g to %g by %g is too long", start, limit, delta);
    out[0]->shape.dims[0] = count > 0 ? (int64_t)count : 0;
    if (he_infer_exact_scalar(in[0], &first) && he_infer_exact_scalar(in[2], &step) &&
        count <= HE_MAX_RANK) {
        int64_t codes[HE_MAX_RANK];

        for (int64_t k = 0; k < out[0]->shape.dims[0]; k++) {
            int64_t value;

            if (__builtin_mul_overflow(k, step, &value) ||
                __builtin_add_overflow(value, first, &value) || value < 0)
                value = HE_DIM_UNKNOWN;
            codes[k] = value;
        }
        he_infer_set_known(out[0], codes, (size_t)out[0]->shape.dims[0]);
    }
    return HE_OK;
}

static HE_INFER_RULE(infer_random)
{
    const int64_t *list;
    size_t count = he_node_ints(node, "shape", &list);
    enum he_dtype dtype;
    he_status status = read_dtype(node, "dtype", HE_FLOAT32, &dtype);

    if (status != HE_OK)
        return status;
    if (!he_node_attr(node, "shape") || count > HE_MAX_RANK)
        return he_infer_error(node, "attribute shape is missing, or longer than %d", HE_MAX_RANK);
    for (size_t k = 0; k < count; k++) {
        if (list[k] < 0)
            return he_infer_error(node, "shape[%zu] is %" PRId64, k, list[k]);
    }
    he_infer_set_dims(out[0], dtype, (uint32_t)count, list);
    return HE_OK;
}

/* RandomNormalLike, RandomUniformLike, Bernoulli: the input's shape, and its type by default. */
static HE_INFER_RULE(infer_random_like)
{
    enum he_dtype dtype;
    he_status status = read_dtype(node, "dtype", in[0]->dtype, &dtype);

    if (status == HE_OK)
        he_infer_set(out[0], dtype, &in[0]->shape);
    return status;
}

static HE_INFER_RULE(infer_eye_like)
{
    he_status status = he_infer_want_rank(node, in[0], "the input", 2, 2);

    return status == HE_OK ? infer_random_like(node, in, out) : status;
}

static HE_INFER_RULE(infer_multinomial)
{
    int64_t samples = he_node_int(node, "sample_size", 1);
    enum he_dtype dtype;
    he_status status = read_dtype(node, "dtype", HE_INT32, &dtype);

    if (status == HE_OK)
        status = he_infer_want_rank(node, in[0], "the input", 2, 2);
    if (status != HE_OK)
        return status;
    if (samples < 0)
        return he_infer_error(node, "sample_size is %" PRId64, samples);
    he_infer_set_dims(out[0], dtype, 2, (const int64_t[]){ he_infer_dim(in[0], 0), samples });
    return HE_OK;
}

/* indices, depth, values [2]: a new axis of depth entries */
static HE_INFER_RULE(infer_one_hot)
{
    int64_t depth = HE_DIM_UNKNOWN;
    struct he_codes codes;
    double number;
    struct he_shape shape;
    uint32_t axis, rank = in[0]->shape.rank;
    he_status status;

    out[0]->dtype = in[2]->dtype;
    if (he_infer_codes(in[1], &codes) && codes.count == 1 && !codes.is_literal) {
        depth = codes.v[0];
    } else if (he_infer_number(in[1], &number)) { /* a float is allowed, too */
        if (number < 0 || number > 9e18)
            return he_infer_error(node, "the depth is %g", number);
        depth = (int64_t)number;
    }
    if (!he_has_rank(in[0]))
        return HE_OK;
    if (rank >= HE_MAX_RANK)
        return he_infer_error(node, "the output would have more than %d dimensions", HE_MAX_RANK);
    status = he_infer_axis(node, he_node_int(node, "axis", -1), rank + 1, &axis);
    if (status != HE_OK)
        return status;
    shape = he_shape_of_rank(rank + 1);
    for (uint32_t k = 0; k <= rank; k++)
        shape.dims[k] = k == axis ? depth : in[0]->shape.dims[k < axis ? k : k - 1];
    he_infer_set(out[0], in[2]->dtype, &shape);
    return HE_OK;
}

/* Blackman, Hamming, Hann: one number per sample. */
static HE_INFER_RULE(infer_window)
{
    enum he_dtype dtype;
    struct he_codes size;
    he_status status = read_dtype(node, "output_datatype", HE_FLOAT32, &dtype);

    if (status != HE_OK)
        return status;
    out[0]->dtype = dtype;
    out[0]->shape = he_shape_of_rank(1);
    if (he_infer_codes(in[0], &size) && size.count == 1)
        out[0]->shape.dims[0] = he_codes_dim(&size, 0);
    return HE_OK;
}

/* [dft_length / 2 + 1, bins] */
static HE_INFER_RULE(infer_mel)
{
    enum he_dtype dtype;
    int64_t bins, length;
    he_status status = read_dtype(node, "output_datatype", HE_FLOAT32, &dtype);

    if (status != HE_OK)
        return status;
    out[0]->dtype = dtype;
    out[0]->shape = he_shape_of_rank(2);
    if (he_infer_exact_scalar(in[1], &length) && length >= 0)
        out[0]->shape.dims[0] = length / 2 + 1;
    if (he_infer_exact_scalar(in[0], &bins) && bins >= 0)
        out[0]->shape.dims[1] = bins;
    return HE_OK;
}

#define MAKE(op, rule, cost, class, axes, more_flags, least, most, ...)                            \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule, .work = cost, \
      .access = HE_ACCESS_GENERATE, .work_class = class, .split_axes = axes, .flags = more_flags,  \
      .min_inputs = least, .max_inputs = most, .max_outputs = 1 }
#define WINDOW(op)                                                                                 \
    MAKE(op, infer_window, he_work_costly, HE_WORK_ELEMENTWISE, HE_SPLIT_NONE, 0, 1, 1, 17)
#define RANDOM(op, rule, least, ...)                                                               \
    MAKE(op, rule, he_work_costly, HE_WORK_ELEMENTWISE, HE_SPLIT_NONE, HE_OP_RANDOM, least, least, \
         __VA_ARGS__)

static const struct he_op rows[] = {
    RANDOM("Bernoulli", infer_random_like, 1, 15, 22),
    WINDOW("BlackmanWindow"),
    MAKE("Constant", infer_constant, NULL, HE_WORK_NONE, HE_SPLIT_NONE, 0, 0, 0, 1, 9, 11, 12, 13,
         19, 21, 23, 24, 25),
    MAKE("ConstantOfShape", infer_constant_of_shape, NULL, HE_WORK_MOVE, HE_SPLIT_NONE, 0, 1, 1, 9,
         20, 21, 23, 24, 25),
    MAKE("EyeLike", infer_eye_like, NULL, HE_WORK_MOVE, HE_SPLIT_NONE, 0, 1, 1, 9, 22),
    WINDOW("HammingWindow"),
    WINDOW("HannWindow"),
    MAKE("MelWeightMatrix", infer_mel, he_work_costly, HE_WORK_ELEMENTWISE, HE_SPLIT_NONE, 0, 5, 5,
         17),
    RANDOM("Multinomial", infer_multinomial, 1, 7, 22),
    MAKE("OneHot", infer_one_hot, NULL, HE_WORK_MOVE, HE_SPLIT_NONE, 0, 3, 3, 9, 11, 28),
    RANDOM("RandomNormal", infer_random, 0, 1, 22),
    RANDOM("RandomNormalLike", infer_random_like, 1, 1, 22),
    RANDOM("RandomUniform", infer_random, 0, 1, 22),
    RANDOM("RandomUniformLike", infer_random_like, 1, 1, 22),
    MAKE("Range", infer_range, NULL, HE_WORK_ELEMENTWISE, HE_SPLIT_NONE, 0, 3, 3, 11, 27),
};

const struct he_op_table he_ops_generate = { rows, HE_COUNT(rows) };
