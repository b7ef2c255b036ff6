/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dimensions, shapes, and the contents of small integer tensors, as the shape
 * rules see them. Sizes are exact or unknown, never guessed: a rule that cannot
 * be certain gives HE_DIM_UNKNOWN, and only what is impossible is an error.
 */
#include "ops/infer.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

he_status he_infer_error(const struct he_node *node, const char *format, ...)
{
    char sentence[600];
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    return he_error_set(HE_ERR_SHAPE, "%s: %s", node->op, sentence);
}

struct he_shape_text he_infer_shape_text(const struct he_shape *shape)
{
    struct he_shape_text text;
    size_t used = 0;

    if (shape->rank == HE_RANK_UNKNOWN) {
        snprintf(text.s, sizeof text.s, "[...]");
        return text;
    }
    text.s[used++] = '[';
    for (uint32_t k = 0; k < shape->rank && k < HE_MAX_RANK; k++) {
        int64_t dim = shape->dims[k];
        char word[24];
        int length;

        if (dim >= 0)
            length = snprintf(word, sizeof word, "%" PRId64, dim);
        else if (dim == HE_DIM_UNKNOWN)
            length = snprintf(word, sizeof word, "?");
        else
            length = snprintf(word, sizeof word, "s%" PRId64, -2 - dim);
        if (used + (size_t)length + 6 > sizeof text.s) {
            memcpy(text.s + used, ",...", 4);
            used += 4;
            break;
        }
        if (k > 0)
            text.s[used++] = ',';
        memcpy(text.s + used, word, (size_t)length);
        used += (size_t)length;
    }
    text.s[used++] = ']';
    text.s[used] = '\0';
    return text;
}

struct he_shape_text he_infer_text(const struct he_value *value)
{
    struct he_shape_text text;

    if (value)
        return he_infer_shape_text(&value->shape);
    snprintf(text.s, sizeof text.s, "(omitted)");
    return text;
}

/* --- Dimensions --- */

bool he_dim_mul(int64_t a, int64_t b, int64_t *out)
{
    if (a == 0 || b == 0)
        *out = 0;
    else if (a == 1)
        *out = b;
    else if (b == 1)
        *out = a;
    else if (a < 0 || b < 0)
        *out = HE_DIM_UNKNOWN;
    else
        return he_int64_mul(a, b, out);
    return true;
}

bool he_dim_add(int64_t a, int64_t b, int64_t *out)
{
    if (a == 0)
        *out = b;
    else if (b == 0)
        *out = a;
    else if (a < 0 || b < 0)
        *out = HE_DIM_UNKNOWN;
    else if (a > INT64_MAX - b)
        return false;
    else
        *out = a + b;
    return true;
}

int64_t he_dim_merge(int64_t a, int64_t b)
{
    if (a >= 0 || b == HE_DIM_UNKNOWN)
        return a;
    if (b >= 0 || a == HE_DIM_UNKNOWN)
        return b;
    return a; /* two symbols that turn out to be one size: either name will do */
}

he_status he_infer_product(const struct he_node *node, const struct he_shape *shape,
                           uint32_t begin, uint32_t end, int64_t *out)
{
    int64_t product = 1;

    for (uint32_t k = begin; k < end; k++) {
        if (shape->dims[k] == 0) {
            *out = 0;
            return HE_OK;
        }
    }
    for (uint32_t k = begin; k < end; k++) {
        if (!he_dim_mul(product, shape->dims[k], &product))
            return he_infer_error(node, "the element count of %s overflows",
                                  he_infer_shape_text(shape).s);
    }
    *out = product;
    return HE_OK;
}

/* --- Shapes --- */

struct he_shape he_shape_unknown(void)
{
    struct he_shape shape = { .rank = HE_RANK_UNKNOWN };

    for (uint32_t k = 0; k < HE_MAX_RANK; k++)
        shape.dims[k] = HE_DIM_UNKNOWN;
    return shape;
}

struct he_shape he_shape_of_rank(uint32_t rank)
{
    struct he_shape shape = he_shape_unknown();

    shape.rank = rank;
    return shape;
}

he_status he_infer_push(const struct he_node *node, struct he_shape *shape, int64_t dim)
{
    if (shape->rank >= HE_MAX_RANK)
        return he_infer_error(node, "the output has more than %d dimensions", HE_MAX_RANK);
    shape->dims[shape->rank++] = dim;
    return HE_OK;
}

int64_t he_infer_dim(const struct he_value *value, uint32_t axis)
{
    if (!he_has_rank(value) || axis >= value->shape.rank)
        return HE_DIM_UNKNOWN;
    return value->shape.dims[axis];
}

void he_infer_set_dims(struct he_value *out, enum he_dtype dtype, uint32_t rank,
                       const int64_t *dims)
{
    out->dtype = dtype;
    out->shape = he_shape_of_rank(rank);
    for (uint32_t k = 0; k < rank; k++)
        out->shape.dims[k] = dims[k];
}

void he_infer_view(struct he_value *out, const struct he_value *in, const struct he_shape *shape)
{
    struct he_codes codes;

    he_infer_set(out, in->dtype, shape);
    if (!he_infer_codes(in, &codes))
        return;
    for (size_t k = 0; k < codes.count; k++)
        codes.v[k] = he_codes_dim(&codes, k);
    he_infer_set_known(out, codes.v, codes.count);
}

static bool broadcast_dim(int64_t a, int64_t b, int64_t *out)
{
    if (he_dim_conflict(a, b) && a != 1 && b != 1)
        return false;
    if (a == b || b == 1)
        *out = a;
    else if (a == 1)
        *out = b;
    else if (a >= 0 || b >= 0)
        *out = a >= 0 ? a : b; /* not 1, so the open one is 1 or the same */
    else
        *out = HE_DIM_UNKNOWN;
    return true;
}

bool he_shape_broadcast(const struct he_shape *a, const struct he_shape *b, struct he_shape *out)
{
    struct he_shape result;

    if (a->rank == HE_RANK_UNKNOWN || b->rank == HE_RANK_UNKNOWN) {
        *out = he_shape_unknown();
        return true;
    }
    result = he_shape_of_rank(a->rank > b->rank ? a->rank : b->rank);
    for (uint32_t k = 0; k < result.rank; k++) {
        uint32_t from_end = result.rank - k;
        int64_t da = from_end <= a->rank ? a->dims[a->rank - from_end] : 1;
        int64_t db = from_end <= b->rank ? b->dims[b->rank - from_end] : 1;

        if (!broadcast_dim(da, db, &result.dims[k]))
            return false;
    }
    *out = result;
    return true;
}

bool he_shape_merge(struct he_shape *into, const struct he_shape *other)
{
    if (other->rank == HE_RANK_UNKNOWN)
        return true;
    if (into->rank == HE_RANK_UNKNOWN) {
        *into = *other;
        return true;
    }
    if (into->rank != other->rank)
        return false;
    for (uint32_t k = 0; k < into->rank; k++) {
        if (he_dim_conflict(into->dims[k], other->dims[k]))
            return false;
        into->dims[k] = he_dim_merge(into->dims[k], other->dims[k]);
    }
    return true;
}

/* --- Checks --- */

he_status he_infer_want_rank(const struct he_node *node, const struct he_value *value,
                             const char *name, uint32_t min, uint32_t max)
{
    if (!he_has_rank(value) || (value->shape.rank >= min && value->shape.rank <= max))
        return HE_OK;
    if (min == max)
        return he_infer_error(node, "%s is %s, rank %u was expected", name,
                              he_infer_text(value).s, min);
    if (max >= HE_MAX_RANK)
        return he_infer_error(node, "%s is %s, rank %u or more was expected", name,
                              he_infer_text(value).s, min);
    return he_infer_error(node, "%s is %s, rank %u to %u was expected", name,
                          he_infer_text(value).s, min, max);
}

he_status he_infer_want_same_type(const struct he_node *node, const struct he_value *a,
                                  const char *a_name, const struct he_value *b,
                                  const char *b_name)
{
    if (!a || !b || a->dtype == b->dtype || a->dtype == HE_DTYPE_NONE ||
        b->dtype == HE_DTYPE_NONE)
        return HE_OK;
    return he_infer_error(node, "types differ: %s is %s, %s is %s", a_name,
                          he_dtype_name(a->dtype), b_name, he_dtype_name(b->dtype));
}

he_status he_infer_axis(const struct he_node *node, int64_t axis, uint32_t rank, uint32_t *out)
{
    int64_t signed_rank = rank;

    *out = 0;
    if (axis < -signed_rank || axis >= signed_rank)
        return he_infer_error(node, "axis %" PRId64 " is outside a rank of %u", axis, rank);
    *out = (uint32_t)(axis < 0 ? axis + signed_rank : axis);
    return HE_OK;
}

he_status he_infer_axes(const struct he_node *node, const int64_t *axes, size_t count,
                        uint32_t rank, uint32_t *mask)
{
    *mask = 0;
    for (size_t k = 0; k < count; k++) {
        uint32_t axis;
        he_status status = he_infer_axis(node, axes[k], rank, &axis);

        if (status != HE_OK)
            return status;
        if (*mask & (1u << axis))
            return he_infer_error(node, "axis %u is listed twice", axis);
        *mask |= 1u << axis;
    }
    return HE_OK;
}

/* --- Contents --- */

static bool has_codes(enum he_dtype dtype)
{
    return dtype == HE_INT64 || dtype == HE_INT32 || dtype == HE_BOOL;
}

bool he_infer_codes(const struct he_value *value, struct he_codes *out)
{
    int64_t count;

    if (!value)
        return false;
    out->is_literal = true;
    if (he_value_read_ints(value, out->v, HE_MAX_RANK, &out->count))
        return out->count <= HE_MAX_RANK;
    count = he_shape_count(&value->shape);
    if (count < 0 || count > HE_MAX_RANK)
        return false;
    if (value->dtype == HE_BOOL && he_value_is_constant(value)) {
        out->count = (size_t)count;
        for (size_t k = 0; k < out->count; k++)
            out->v[k] = ((const unsigned char *)value->data)[k] != 0;
        return true;
    }
    if (!value->has_known_ints || !has_codes(value->dtype))
        return false;
    out->is_literal = false;
    out->count = (size_t)count;
    memcpy(out->v, value->known_ints, out->count * sizeof out->v[0]);
    return true;
}

int64_t he_codes_dim(const struct he_codes *codes, size_t k)
{
    return codes->is_literal && codes->v[k] < 0 ? HE_DIM_UNKNOWN : codes->v[k];
}

bool he_codes_exact(const struct he_codes *codes, size_t k, int64_t *out)
{
    if (!codes->is_literal && codes->v[k] < 0)
        return false;
    *out = codes->v[k];
    return true;
}

bool he_infer_exact(const struct he_value *value, struct he_codes *out)
{
    if (!he_infer_codes(value, out))
        return false;
    for (size_t k = 0; k < out->count; k++) {
        if (!he_codes_exact(out, k, &out->v[k]))
            return false;
    }
    out->is_literal = true;
    return true;
}

bool he_infer_exact_scalar(const struct he_value *value, int64_t *out)
{
    struct he_codes codes;

    return he_infer_codes(value, &codes) && codes.count == 1 && he_codes_exact(&codes, 0, out);
}

int64_t he_infer_length(const struct he_value *value)
{
    return value ? he_shape_count(&value->shape) : -1;
}

void he_infer_set_known(struct he_value *out, const int64_t *codes, size_t count)
{
    /* Sizes fit an int32 or the model is wrong; a number that does not has wrapped. */
    int64_t most = out->dtype == HE_INT32 ? INT32_MAX : INT64_MAX;

    if (!has_codes(out->dtype) || count > HE_MAX_RANK ||
        he_shape_count(&out->shape) != (int64_t)count)
        return;
    out->has_known_ints = true;
    for (size_t k = 0; k < count; k++)
        out->known_ints[k] = codes[k] > most ? HE_DIM_UNKNOWN : codes[k];
}

bool he_infer_number(const struct he_value *value, double *out)
{
    int64_t integer;
    uint16_t half;
    float f;

    if (!value)
        return false;
    if (he_infer_exact_scalar(value, &integer)) {
        *out = (double)integer;
        return true;
    }
    if (!he_value_is_constant(value) || he_shape_count(&value->shape) < 1)
        return false;
    if (value->dtype == HE_FLOAT32 && value->data_bytes >= sizeof f) {
        memcpy(&f, value->data, sizeof f);
        *out = f;
    } else if (value->dtype == HE_FLOAT64 && value->data_bytes >= sizeof *out) {
        memcpy(out, value->data, sizeof *out);
    } else if (value->dtype == HE_BFLOAT16 && value->data_bytes >= sizeof half) {
        uint32_t bits;

        memcpy(&half, value->data, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&f, &bits, sizeof f);
        *out = f;
    } else if (value->dtype == HE_FLOAT16 && value->data_bytes >= sizeof half) {
        int exponent;

        memcpy(&half, value->data, sizeof half);
        exponent = half >> 10 & 31;
        if (exponent == 31)
            return false; /* infinite or no number */
        *out = exponent == 0 ? ldexp(half & 1023, -24)
                             : ldexp((half & 1023) + 1024, exponent - 25);
        *out = half & 0x8000 ? -*out : *out;
    } else {
        return false;
    }
    return isfinite(*out);
}

/* --- Rules used by many rows --- */

HE_INFER_RULE(he_infer_same)
{
    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    return HE_OK;
}

he_status he_infer_broadcast_inputs(const struct he_node *node, const struct he_value *const *in,
                                    size_t count, struct he_shape *out)
{
    struct he_shape shape = { .rank = 0 };

    for (size_t k = 0; k < count; k++) {
        if (!in[k])
            continue;
        if (!he_shape_broadcast(&shape, &in[k]->shape, &shape))
            return he_infer_error(node, "%s and %s do not broadcast (input %zu)",
                                  he_infer_shape_text(&shape).s, he_infer_text(in[k]).s, k);
    }
    *out = shape;
    return HE_OK;
}

HE_INFER_RULE(he_infer_broadcast)
{
    struct he_shape shape;
    enum he_dtype dtype = HE_DTYPE_NONE;
    he_status status = he_infer_broadcast_inputs(node, in, node->explicit_input_count, &shape);

    if (status != HE_OK)
        return status;
    for (uint32_t k = 0; k < node->explicit_input_count; k++) {
        if (!in[k])
            continue;
        if (in[0]) {
            status = he_infer_want_same_type(node, in[0], "input 0", in[k], "another input");
            if (status != HE_OK)
                return status;
        }
        if (dtype == HE_DTYPE_NONE)
            dtype = in[k]->dtype;
    }
    he_infer_set(out[0], dtype, &shape);
    return HE_OK;
}

he_status he_infer_binary_shape(const struct he_node *node, const struct he_value *a,
                                const struct he_value *b, struct he_shape *out)
{
    int64_t axis;

    if (node->opset >= 7) {
        if (he_shape_broadcast(&a->shape, &b->shape, out))
            return HE_OK;
        return he_infer_error(node, "A %s and B %s do not broadcast", he_infer_text(a).s,
                              he_infer_text(b).s);
    }
    /* Before opset 7 the output is always shaped like A, and B is either the
     * same, or (broadcast=1) a run of A's dimensions beginning at axis. */
    *out = a->shape;
    if (!he_has_rank(a) || !he_has_rank(b))
        return HE_OK;
    if (!he_node_int(node, "broadcast", 0)) {
        if (!he_shape_merge(out, &b->shape))
            return he_infer_error(node, "A is %s, B is %s, and broadcast is off",
                                  he_infer_text(a).s, he_infer_text(b).s);
        return HE_OK;
    }
    axis = he_node_int(node, "axis", (int64_t)a->shape.rank - (int64_t)b->shape.rank);
    if (axis < 0 && he_node_attr(node, "axis") && axis >= -(int64_t)a->shape.rank)
        axis += a->shape.rank;
    if (axis < 0 || axis > a->shape.rank || b->shape.rank > a->shape.rank - (uint32_t)axis)
        return he_infer_error(node, "B %s does not lie inside A %s from axis %" PRId64,
                              he_infer_text(b).s, he_infer_text(a).s, axis);
    for (uint32_t k = 0; k < b->shape.rank; k++) {
        if (b->shape.dims[k] != 1 && he_dim_conflict(a->shape.dims[axis + k], b->shape.dims[k]))
            return he_infer_error(node, "B %s does not fit A %s from axis %" PRId64,
                                  he_infer_text(b).s, he_infer_text(a).s, axis);
    }
    return HE_OK;
}
