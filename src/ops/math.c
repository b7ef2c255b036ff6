/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic: one-input functions, two-input and many-input broadcasting ones.
 * Integer arithmetic on the contents of shape tensors is done here too, as far
 * as it is exact: 0 + s and 1 * s are the symbol s, s + 1 is unknown.
 */
#include <string.h>

#include "ops/infer.h"

/* One entry of integer arithmetic: literals and dimension codes in, a code out. */
struct entry {
    bool is_exact;
    int64_t value; /* the integer, or the symbol or HE_DIM_UNKNOWN */
};

static struct entry entry_at(const struct he_codes *codes, size_t k)
{
    struct entry entry;

    entry.value = codes->v[k];
    entry.is_exact = he_codes_exact(codes, k, &entry.value);
    return entry;
}

static bool is_exactly(struct entry e, int64_t value)
{
    return e.is_exact && e.value == value;
}

static int64_t combine_exact(char operation, int64_t a, int64_t b)
{
    int64_t result = HE_DIM_UNKNOWN;
    bool overflows = false;

    switch (operation) {
    case '+':
        overflows = __builtin_add_overflow(a, b, &result);
        break;
    case '-':
        overflows = __builtin_sub_overflow(a, b, &result);
        break;
    case '*':
        overflows = __builtin_mul_overflow(a, b, &result);
        break;
    case '/':
        if (a >= 0 && b > 0)
            result = a / b;
        break;
    case '%':
        if (a >= 0 && b > 0)
            result = a % b;
        break;
    case '<':
        result = a < b ? a : b;
        break;
    case '>':
        result = a > b ? a : b;
        break;
    default:
        break;
    }
    return overflows || result < 0 ? HE_DIM_UNKNOWN : result;
}

static int64_t combine(char operation, struct entry a, struct entry b)
{
    if (a.is_exact && b.is_exact)
        return combine_exact(operation, a.value, b.value);
    switch (operation) {
    case '+':
        if (is_exactly(a, 0))
            return b.value;
        return is_exactly(b, 0) ? a.value : HE_DIM_UNKNOWN;
    case '-':
        if (is_exactly(b, 0))
            return a.value;
        return !a.is_exact && a.value < HE_DIM_UNKNOWN && !b.is_exact && a.value == b.value
                   ? 0
                   : HE_DIM_UNKNOWN;
    case '*':
        if (is_exactly(a, 0) || is_exactly(b, 0))
            return 0;
        if (is_exactly(a, 1))
            return b.value;
        return is_exactly(b, 1) ? a.value : HE_DIM_UNKNOWN;
    case '/':
        return is_exactly(b, 1) ? a.value : HE_DIM_UNKNOWN;
    case '<':
    case '>':
        return !a.is_exact && !b.is_exact && a.value == b.value ? a.value : HE_DIM_UNKNOWN;
    default:
        return HE_DIM_UNKNOWN;
    }
}

/* Contents of an integer result of at most HE_MAX_RANK elements in rank 0 or 1. */
static void combine_contents(char operation, const struct he_value *a, const struct he_value *b,
                             struct he_value *out)
{
    struct he_codes ca, cb;
    int64_t codes[HE_MAX_RANK];
    int64_t count = he_shape_count(&out->shape);

    if (out->shape.rank > 1 || count < 0 || count > HE_MAX_RANK ||
        !he_infer_codes(a, &ca) || !he_infer_codes(b, &cb) ||
        (ca.count != 1 && ca.count != (size_t)count) ||
        (cb.count != 1 && cb.count != (size_t)count))
        return;
    for (size_t k = 0; k < (size_t)count; k++)
        codes[k] = combine(operation, entry_at(&ca, ca.count == 1 ? 0 : k),
                           entry_at(&cb, cb.count == 1 ? 0 : k));
    he_infer_set_known(out, codes, (size_t)count);
}

static he_status arithmetic(char operation, const struct he_node *node,
                            const struct he_value *const *in, struct he_value *const *out)
{
    struct he_shape shape;
    he_status status = he_infer_want_same_type(node, in[0], "A", in[1], "B");

    if (status == HE_OK)
        status = he_infer_binary_shape(node, in[0], in[1], &shape);
    if (status != HE_OK)
        return status;
    he_infer_set(out[0], in[0]->dtype != HE_DTYPE_NONE ? in[0]->dtype : in[1]->dtype, &shape);
    combine_contents(operation, in[0], in[1], out[0]);
    return HE_OK;
}

static HE_INFER_RULE(infer_add)
{
    return arithmetic('+', node, in, out);
}

static HE_INFER_RULE(infer_sub)
{
    return arithmetic('-', node, in, out);
}

static HE_INFER_RULE(infer_mul)
{
    return arithmetic('*', node, in, out);
}

static HE_INFER_RULE(infer_div)
{
    return arithmetic('/', node, in, out);
}

static HE_INFER_RULE(infer_mod)
{
    return arithmetic('%', node, in, out);
}

static HE_INFER_RULE(infer_shift)
{
    return arithmetic(' ', node, in, out);
}

/* The exponent may have another type than the base. */
static HE_INFER_RULE(infer_pow)
{
    struct he_shape shape;
    he_status status = he_infer_binary_shape(node, in[0], in[1], &shape);

    if (status == HE_OK)
        he_infer_set(out[0], in[0]->dtype, &shape);
    return status;
}

static he_status extreme(char operation, const struct he_node *node,
                         const struct he_value *const *in, struct he_value *const *out)
{
    he_status status = he_infer_broadcast(node, in, out);

    if (status == HE_OK && node->explicit_input_count == 2 && in[0] && in[1])
        combine_contents(operation, in[0], in[1], out[0]);
    return status;
}

static HE_INFER_RULE(infer_min)
{
    return extreme('<', node, in, out);
}

static HE_INFER_RULE(infer_max)
{
    return extreme('>', node, in, out);
}

/* One operation per input and element. */
static HE_WORK_RULE(work_variadic)
{
    double inputs = node->input_count > 1 ? node->input_count - 1 : 1;

    work->flops = inputs * he_work_count(out[0], work);
}

#define UNARY(op, ...)                                                                             \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = he_infer_same,      \
      .access = HE_ACCESS_POINTWISE, .work_class = HE_WORK_ELEMENTWISE,                            \
      .split_axes = HE_SPLIT_ANY, .flags = HE_OP_ANY_LAYOUT, .min_inputs = 1, .max_inputs = 1,     \
      .max_outputs = 1 }
/* Needs a polynomial or worse. */
#define COSTLY(op, ...)                                                                            \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = he_infer_same,      \
      .work = he_work_costly, .access = HE_ACCESS_POINTWISE, .work_class = HE_WORK_ELEMENTWISE,    \
      .split_axes = HE_SPLIT_ANY, .flags = HE_OP_ANY_LAYOUT, .min_inputs = 1, .max_inputs = 1,     \
      .max_outputs = 1 }
#define BINARY(op, rule, more_flags, ...)                                                          \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule,               \
      .access = HE_ACCESS_BROADCAST, .work_class = HE_WORK_ELEMENTWISE,                            \
      .split_axes = HE_SPLIT_ANY, .flags = HE_OP_ANY_LAYOUT | (more_flags), .min_inputs = 2,       \
      .max_inputs = 2, .max_outputs = 1 }
#define VARIADIC(op, rule, ...)                                                                    \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule,               \
      .work = work_variadic, .access = HE_ACCESS_BROADCAST, .work_class = HE_WORK_ELEMENTWISE,     \
      .split_axes = HE_SPLIT_ANY, .flags = HE_OP_ANY_LAYOUT | HE_OP_COMMUTATIVE, .min_inputs = 1,  \
      .max_inputs = 255, .max_outputs = 1 }

static const struct he_op rows[] = {
    UNARY("Abs", 1, 6, 13),
    COSTLY("Acos", 7, 22),
    COSTLY("Acosh", 9, 22),
    COSTLY("Asin", 7, 22),
    COSTLY("Asinh", 9, 22),
    COSTLY("Atan", 7, 22),
    COSTLY("Atanh", 9, 22),
    UNARY("Ceil", 1, 6, 13),
    COSTLY("Cos", 7, 22),
    COSTLY("Cosh", 9, 22),
    COSTLY("Erf", 9, 13),
    COSTLY("Exp", 1, 6, 13),
    UNARY("Floor", 1, 6, 13),
    COSTLY("Log", 1, 6, 13),
    UNARY("Neg", 1, 6, 13),
    UNARY("Reciprocal", 1, 6, 13),
    UNARY("Round", 11, 22),
    UNARY("Sign", 9, 13),
    COSTLY("Sin", 7, 22),
    COSTLY("Sinh", 9, 22),
    UNARY("Sqrt", 1, 6, 13),
    COSTLY("Tan", 7, 22),
    BINARY("Add", infer_add, HE_OP_COMMUTATIVE, 1, 6, 7, 13, 14),
    BINARY("BitShift", infer_shift, 0, 11, 28),
    BINARY("Div", infer_div, 0, 1, 6, 7, 13, 14),
    BINARY("Mod", infer_mod, 0, 10, 13, 28),
    BINARY("Mul", infer_mul, HE_OP_COMMUTATIVE, 1, 6, 7, 13, 14),
    BINARY("Sub", infer_sub, 0, 1, 6, 7, 13, 14),
    { .name = "Pow", .domain = "", .versions = HE_VERSIONS(1, 7, 12, 13, 15), .infer = infer_pow,
      .work = he_work_costly, .access = HE_ACCESS_BROADCAST, .work_class = HE_WORK_ELEMENTWISE,
      .split_axes = HE_SPLIT_ANY, .flags = HE_OP_ANY_LAYOUT, .min_inputs = 2, .max_inputs = 2,
      .max_outputs = 1 },
    VARIADIC("Max", infer_max, 1, 6, 8, 12, 13),
    VARIADIC("Mean", he_infer_broadcast, 1, 6, 8, 13),
    VARIADIC("Min", infer_min, 1, 6, 8, 12, 13),
    VARIADIC("Sum", he_infer_broadcast, 1, 6, 8, 13),
};

const struct he_op_table he_ops_math = { rows, HE_COUNT(rows) };
