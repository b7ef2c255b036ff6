/* SPDX-License-Identifier: Apache-2.0 */
/* Comparisons, logic, bits, and Where. */
#include "ops/infer.h"

static HE_INFER_RULE(infer_compare)
{
    struct he_shape shape;
    he_status status = he_infer_want_same_type(node, in[0], "A", in[1], "B");

    if (status == HE_OK)
        status = he_infer_binary_shape(node, in[0], in[1], &shape);
    if (status == HE_OK)
        he_infer_set(out[0], HE_BOOL, &shape);
    return status;
}

/* One entry of Equal, as a code: a symbol is a size, so it equals itself and no negative
 * number, and otherwise who knows. */
static int64_t equal_entry(const struct he_codes *a, size_t i, const struct he_codes *b, size_t j)
{
    int64_t x, y;
    bool knows_x = he_codes_exact(a, i, &x), knows_y = he_codes_exact(b, j, &y);

    if (knows_x && knows_y)
        return x == y;
    if (knows_x)
        return x < 0 && b->v[j] < HE_DIM_UNKNOWN ? 0 : HE_DIM_UNKNOWN;
    if (knows_y)
        return y < 0 && a->v[i] < HE_DIM_UNKNOWN ? 0 : HE_DIM_UNKNOWN;
    return a->v[i] == b->v[j] && a->v[i] != HE_DIM_UNKNOWN ? 1 : HE_DIM_UNKNOWN;
}

/* Two small lists (or a list and a number) as far as they are known; gives the length. */
static bool read_pair(const struct he_value *a, const struct he_value *b,
                      const struct he_shape *shape, struct he_codes *ca, struct he_codes *cb,
                      size_t *out)
{
    int64_t count = he_shape_count(shape);

    if (shape->rank > 1 || count < 0 || count > HE_MAX_RANK || !he_infer_codes(a, ca) ||
        !he_infer_codes(b, cb) || (ca->count != 1 && ca->count != (size_t)count) ||
        (cb->count != 1 && cb->count != (size_t)count))
        return false;
    *out = (size_t)count;
    return true;
}

static HE_INFER_RULE(infer_equal)
{
    struct he_codes a, b;
    int64_t codes[HE_MAX_RANK];
    size_t count;
    he_status status = infer_compare(node, in, out);

    if (status != HE_OK || !read_pair(in[0], in[1], &out[0]->shape, &a, &b, &count))
        return status;
    for (size_t k = 0; k < count; k++)
        codes[k] = equal_entry(&a, a.count == 1 ? 0 : k, &b, b.count == 1 ? 0 : k);
    he_infer_set_known(out[0], codes, count);
    return HE_OK;
}

/* And, Or, Xor: both sides are bool. */
static HE_INFER_RULE(infer_logic)
{
    for (int k = 0; k < 2; k++) {
        if (in[k]->dtype != HE_BOOL && in[k]->dtype != HE_DTYPE_NONE)
            return he_infer_error(node, "input %d is %s, bool was expected", k,
                                  he_dtype_name(in[k]->dtype));
    }
    return infer_compare(node, in, out);
}

static HE_INFER_RULE(infer_not)
{
    if (in[0]->dtype != HE_BOOL && in[0]->dtype != HE_DTYPE_NONE)
        return he_infer_error(node, "the input is %s, bool was expected",
                              he_dtype_name(in[0]->dtype));
    he_infer_set(out[0], HE_BOOL, &in[0]->shape);
    return HE_OK;
}

static HE_INFER_RULE(infer_test)
{
    he_infer_set(out[0], HE_BOOL, &in[0]->shape);
    return HE_OK;
}

static HE_INFER_RULE(infer_where)
{
    struct he_shape shape;
    struct he_codes a, b, condition;
    int64_t codes[HE_MAX_RANK];
    size_t count;
    bool has_condition;
    he_status status = he_infer_want_same_type(node, in[1], "X", in[2], "Y");

    if (status != HE_OK)
        return status;
    if (in[0]->dtype != HE_BOOL && in[0]->dtype != HE_DTYPE_NONE)
        return he_infer_error(node, "the condition is %s, bool was expected",
                              he_dtype_name(in[0]->dtype));
    status = he_infer_broadcast_inputs(node, in, 3, &shape);
    if (status != HE_OK)
        return status;
    he_infer_set(out[0], in[1]->dtype != HE_DTYPE_NONE ? in[1]->dtype : in[2]->dtype, &shape);
    if (!read_pair(in[1], in[2], &shape, &a, &b, &count))
        return HE_OK;
    has_condition = he_infer_codes(in[0], &condition) &&
                    (condition.count == 1 || condition.count == count);
    for (size_t k = 0; k < count; k++) {
        int64_t x = he_codes_dim(&a, a.count == 1 ? 0 : k);
        int64_t y = he_codes_dim(&b, b.count == 1 ? 0 : k);
        int64_t which;

        if (has_condition && he_codes_exact(&condition, condition.count == 1 ? 0 : k, &which))
            codes[k] = which ? x : y;
        else /* where both sides agree the condition does not matter */
            codes[k] = x == y ? x : HE_DIM_UNKNOWN;
    }
    he_infer_set_known(out[0], codes, count);
    return HE_OK;
}

#define ROW(op, rule, how, inputs, more_flags, ...)                                                \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule,               \
      .access = how, .work_class = HE_WORK_ELEMENTWISE, .split_axes = HE_SPLIT_ANY,                \
      .flags = HE_OP_ANY_LAYOUT | (more_flags), .min_inputs = inputs, .max_inputs = inputs,        \
      .max_outputs = 1 }
#define UNARY(op, rule, ...) ROW(op, rule, HE_ACCESS_POINTWISE, 1, 0, __VA_ARGS__)
#define BINARY(op, rule, ...) ROW(op, rule, HE_ACCESS_BROADCAST, 2, 0, __VA_ARGS__)
#define COMMUTATIVE(op, rule, ...)                                                                 \
    ROW(op, rule, HE_ACCESS_BROADCAST, 2, HE_OP_COMMUTATIVE, __VA_ARGS__)

static const struct he_op rows[] = {
    COMMUTATIVE("And", infer_logic, 1, 7),
    COMMUTATIVE("BitwiseAnd", he_infer_broadcast, 18),
    UNARY("BitwiseNot", he_infer_same, 18),
    COMMUTATIVE("BitwiseOr", he_infer_broadcast, 18),
    COMMUTATIVE("BitwiseXor", he_infer_broadcast, 18),
    COMMUTATIVE("Equal", infer_equal, 1, 7, 11, 13, 19),
    BINARY("Greater", infer_compare, 1, 7, 9, 13),
    BINARY("GreaterOrEqual", infer_compare, 12, 16),
    UNARY("IsInf", infer_test, 10, 20),
    UNARY("IsNaN", infer_test, 9, 13, 20),
    BINARY("Less", infer_compare, 1, 7, 9, 13),
    BINARY("LessOrEqual", infer_compare, 12, 16),
    UNARY("Not", infer_not, 1),
    COMMUTATIVE("Or", infer_logic, 1, 7),
    ROW("Where", infer_where, HE_ACCESS_BROADCAST, 3, 0, 9, 16),
    COMMUTATIVE("Xor", infer_logic, 1, 7),
};

const struct he_op_table he_ops_logic = { rows, HE_COUNT(rows) };
