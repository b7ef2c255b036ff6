/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that make element k of their output from element k of their (broadcast)
 * inputs: a table of expressions. $0, $1, $2 are the operands, $a and $b the literals of two
 * attributes, $T the C type of the output.
 */
#include <stdio.h>
#include <string.h>

#include "build.h"

enum types {
    F = 1, /* float32 */
    A = 2, /* any number: float32, float64, integers */
    I = 4, /* integers */
    B = 8, /* bool */
    D = 16, /* float64, beside F */
};

struct expression {
    const char *op;
    unsigned types; /* of the first data input */
    uint8_t inputs;
    const char *text;
    const char *alpha, *beta;
    float alpha_default, beta_default;
};

static const struct expression expressions[] = {
    { "Abs", A, 1, "($0 < 0 ? -$0 : $0)" },
    { "Neg", A, 1, "-$0" },
    { "Ceil", F | D, 1, "ceil($0)" },
    { "Floor", F | D, 1, "floor($0)" },
    { "Round", F | D, 1, "rint($0)" },
    { "Sqrt", F | D, 1, "sqrt($0)" },
    { "Reciprocal", F | D, 1, "1.0f / $0" },
    { "Exp", F | D, 1, "exp($0)" },
    { "Log", F | D, 1, "log($0)" },
    { "Sin", F | D, 1, "sin($0)" },
    { "Cos", F | D, 1, "cos($0)" },
    { "Tan", F | D, 1, "tan($0)" },
    { "Asin", F | D, 1, "asin($0)" },
    { "Acos", F | D, 1, "acos($0)" },
    { "Atan", F | D, 1, "atan($0)" },
    { "Sinh", F | D, 1, "sinh($0)" },
    { "Cosh", F | D, 1, "cosh($0)" },
    { "Tanh", F | D, 1, "tanh($0)" },
    { "Asinh", F | D, 1, "asinh($0)" },
    { "Acosh", F | D, 1, "acosh($0)" },
    { "Atanh", F | D, 1, "atanh($0)" },
    { "Erf", F | D, 1, "erf($0)" },
    { "Sign", A, 1, "(($0 > 0) - ($0 < 0))" },
    { "Relu", A, 1, "($0 < 0 ? 0 : $0)" },
    { "LeakyRelu", F, 1, "($0 < 0 ? $a * $0 : $0)", "alpha", NULL, 0.01f },
    { "Elu", F, 1, "($0 < 0 ? $a * expm1($0) : $0)", "alpha", NULL, 1 },
    { "Celu", F, 1, "(fmax($0, 0.0f) + fmin(0.0f, $a * expm1($0 / $a)))", "alpha", NULL, 1 },
    { "Selu", F, 1, "$b * ($0 <= 0 ? $a * expm1($0) : $0)", "alpha", "gamma", 1.67326319217681884765625f,
      1.05070102214813232421875f },
    { "ThresholdedRelu", F, 1, "($0 > $a ? $0 : 0.0f)", "alpha", NULL, 1 },
    { "HardSigmoid", F, 1, "clamp($a * $0 + $b, 0.0f, 1.0f)", "alpha", "beta", 0.2f, 0.5f },
    { "HardSwish", F, 1, "$0 * clamp($0 * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f)" },
    { "Sigmoid", F | D, 1, "1.0f / (1.0f + exp(-$0))" },
    { "Swish", F, 1, "$0 / (1.0f + exp(-$a * $0))", "alpha", NULL, 1 },
    { "Softplus", F, 1, "(fmax($0, 0.0f) + log1p(exp(-fabs($0))))" },
    { "Softsign", F | D, 1, "$0 / (1.0f + fabs($0))" },
    { "Mish", F, 1, "$0 * tanh(fmax($0, 0.0f) + log1p(exp(-fabs($0))))" },
    { "Shrink", F, 1, "($0 < -$b ? $0 + $a : $0 > $b ? $0 - $a : 0.0f)", "bias", "lambd", 0, 0.5f },
    { "Not", B, 1, "!$0" },
    { "IsNaN", F | D, 1, "isnan($0)" },
    { "BitwiseNot", I, 1, "~$0" },
    { "Add", A, 2, "$0 + $1" },
    { "Sub", A, 2, "$0 - $1" },
    { "Mul", A, 2, "$0 * $1" },
    { "PRelu", F | D, 2, "($0 < 0 ? $0 * $1 : $0)" },
    { "And", B, 2, "$0 && $1" },
    { "Or", B, 2, "$0 || $1" },
    { "Xor", B, 2, "$0 ^ $1" },
    { "BitwiseAnd", I, 2, "$0 & $1" },
    { "BitwiseOr", I, 2, "$0 | $1" },
    { "BitwiseXor", I, 2, "$0 ^ $1" },
    { "Equal", A | B, 2, "$0 == $1" },
    { "Less", A, 2, "$0 < $1" },
    { "LessOrEqual", A, 2, "$0 <= $1" },
    { "Greater", A, 2, "$0 > $1" },
    { "GreaterOrEqual", A, 2, "$0 >= $1" },
};

/* Those whose text depends on types or attributes: special_text(). */
static const struct expression specials[] = {
    { "Div", A, 2 },   { "Mod", A, 2 },  { "Pow", A, 2 },     { "Where", B, 3 },
    { "Clip", A, 1 },  { "Cast", A | B, 1 }, { "CastLike", A | B, 1 }, { "Gelu", F, 1 }, { "IsInf", F, 1 },
    { "BitShift", I, 2 }, { "BatchNormalization", F, 5 },
};

/* Folded from the left. */
static const struct expression variadics[] = {
    { "Max", A, 1, "($0 < $1 || $1 != $1 ? $1 : $0)" },
    { "Min", A, 1, "($0 > $1 || $1 != $1 ? $1 : $0)" },
    { "Sum", F, 1, "$0 + $1" },
    { "Mean", F, 1, "$0 + $1" },
};

#define OPERANDS_MAX 16

static const struct expression *find_in(const struct expression *table, size_t count,
                                        const struct he_node *node)
{
    for (size_t k = 0; k < count; k++)
        if (opencl_is(node, table[k].op))
            return &table[k];
    return NULL;
}

#define FIND(table, node) find_in(table, sizeof(table) / sizeof((table)[0]), node)

static const struct expression *find_expression(const struct he_node *node)
{
    const struct expression *e = FIND(expressions, node);

    if (!e)
        e = FIND(specials, node);
    return e ? e : FIND(variadics, node);
}

bool opencl_is_pointwise(const struct he_node *node)
{
    return find_expression(node) != NULL;
}

static bool takes_type(unsigned types, enum he_dtype dtype)
{
    if (dtype == HE_BOOL)
        return (types & B) != 0;
    if (opencl_is_float(dtype))
        return (types & (F | A)) != 0;
    if (dtype == HE_FLOAT64)
        return (types & (A | D)) != 0;
    return he_dtype_is_integer(dtype) && (types & (A | I));
}

static he_status check_special(const struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *other = opencl_input(b, node, 1);

    if (opencl_is(node, "Pow") && he_dtype_is_integer(opencl_input(b, node, 0)->dtype) &&
        !b->dev->found->has_fp64)
        return opencl_refuse(node, "powers of integers need a device with float64");
    if (opencl_is(node, "Mod") && !he_node_int(node, "fmod", 0) &&
        he_dtype_is_float(other->dtype))
        return opencl_refuse(node, "floating point needs fmod=1");
    if (opencl_is(node, "BatchNormalization")) {
        const struct he_value *x = opencl_input(b, node, 0);

        for (uint32_t k = 1; k < node->output_count; k++)
            if (opencl_output(b, node, k))
                return opencl_refuse(node, "training is not done");
        if (he_node_int(node, "training_mode", 0) ||
            (node->opset < 7 && !he_node_int(node, "is_test", 0)) ||
            (node->opset < 9 && !he_node_int(node, "spatial", 1)))
            return opencl_refuse(node, "training and statistics per element are not done");
        for (uint32_t k = 1; k < 5; k++)
            if (he_shape_count(&opencl_input(b, node, k)->shape) !=
                (x->shape.rank > 1 ? x->shape.dims[1] : 1))
                return opencl_refuse(node, "its input %u is not one number per channel", k);
    }
    return HE_OK;
}

he_status opencl_pointwise_check(const struct opencl_build *b, const struct he_node *node)
{
    const struct expression *e = find_expression(node);
    bool is_variadic = FIND(variadics, node) != NULL, is_special = FIND(specials, node) != NULL;

    if (!opencl_output(b, node, 0))
        return opencl_refuse(node, "it has no output");
    if (node->input_count > OPERANDS_MAX)
        return opencl_refuse(node, "more than %d inputs", OPERANDS_MAX);
    for (uint32_t k = 0; k < e->inputs; k++)
        if (!opencl_input(b, node, k))
            return opencl_refuse(node, "its input %u is missing", k);
    for (uint32_t k = 0; k < node->input_count; k++) {
        const struct he_value *value = opencl_input(b, node, k);

        if (k > 0 && opencl_is(node, "CastLike"))
            break; /* only its type matters */
        if (!value) {
            if (is_variadic)
                return opencl_refuse(node, "its input %u is missing", k);
            continue;
        }
        if (!opencl_type(b, value->dtype))
            return opencl_refuse(node, "type %s is not done", he_dtype_name(value->dtype));
        if ((k == 0 || is_variadic) && !takes_type(e->types, value->dtype))
            return opencl_refuse(node, "type %s is not done", he_dtype_name(value->dtype));
        /* Before opset 7 broadcasting took an axis. */
        if (node->opset < 7 && he_node_attr(node, "axis") && k == 1 &&
            !he_shape_equal(&value->shape, &opencl_input(b, node, 0)->shape))
            return opencl_refuse(node, "broadcasting along an axis (opset %d)", node->opset);
        if (he_shape_count(&value->shape) > 1 && value->shape.rank > b->shape->rank)
            return opencl_refuse(node, "its input %u has a higher rank than its output", k);
    }
    if (!opencl_type(b, opencl_output(b, node, 0)->dtype))
        return opencl_refuse(node, "type %s is not done",
                             he_dtype_name(opencl_output(b, node, 0)->dtype));
    return is_special ? check_special(b, node) : HE_OK;
}

/* --- Text --- */

struct operands {
    char names[OPERANDS_MAX][40];
    char alpha[40], beta[40];
};

/* Made by an earlier node of this segment: in a register. */
static bool is_in_register(const struct opencl_build *b, const struct he_node *node, uint32_t value)
{
    for (uint32_t n = b->segment_begin; n < b->segment_end; n++) {
        const struct he_node *maker = &b->graph->nodes[b->task->nodes[n]];

        if (maker == node)
            return false;
        if (maker->output_count && maker->outputs[0] == value)
            return true;
    }
    return false;
}

static bool literal_of(const struct he_value *value, char *out)
{
    int64_t number;
    size_t count;

    if (!value->data || he_shape_count(&value->shape) != 1)
        return false;
    if (opencl_is_float(value->dtype)) {
        opencl_literal(opencl_float(value, 0), out);
        return true;
    }
    /* The most negative number has no literal; it is loaded. */
    if (!he_dtype_is_integer(value->dtype) || value->dtype == HE_UINT64 ||
        !he_value_read_ints(value, &number, 1, &count) || number == INT64_MIN)
        return false;
    snprintf(out, 40, "(%lldL)", (long long)number);
    return true;
}

/* What operand @k broadcasts as. */
static struct he_shape operand_shape(const struct opencl_build *b, const struct he_node *node,
                                     uint32_t k)
{
    struct he_shape shape = opencl_input(b, node, k)->shape;

    if (opencl_is(node, "BatchNormalization") && k > 0) {
        shape.dims[0] = he_shape_count(&shape);
        shape.rank = b->shape->rank > 1 ? b->shape->rank - 1 : 1;
        for (uint32_t d = 1; d < shape.rank; d++)
            shape.dims[d] = 1;
    }
    return shape;
}

/* What an operand has for four neighbours of the output, the first at a multiple of 4. */
enum reach { FOUR, ONE, ANY };

static enum reach reach_of(const struct he_shape *out, const struct he_shape *in)
{
    int64_t run = 1;
    bool has_kind = false, is_broadcast = false;

    for (uint32_t back = 0; back < out->rank; back++) {
        int64_t dim = out->dims[out->rank - 1 - back];
        int64_t mine = back < in->rank ? in->dims[in->rank - 1 - back] : 1;

        if (dim == 1)
            continue;
        if (has_kind && is_broadcast != (mine == 1)) /* the innermost run ends within four? */
            return run % 4 ? ANY : is_broadcast ? ONE : FOUR;
        is_broadcast = mine == 1;
        has_kind = true;
        run *= dim;
    }
    return is_broadcast ? ONE : FOUR; /* four beyond the end are never asked for */
}

static void load_operand(struct opencl_build *b, const struct he_node *node, uint32_t k,
                         const char *index, char *name)
{
    const struct he_value *value = opencl_input(b, node, k);
    struct he_shape shape;
    enum reach reach;

    if (is_in_register(b, node, node->inputs[k])) {
        snprintf(name, 40, "v%u", node->inputs[k]);
        return;
    }
    if (literal_of(value, name)) {
        if (!opencl_is_float(value->dtype)) {
            opencl_line(b, "const %s a%u_%u = %s;", opencl_type(b, value->dtype), node->outputs[0],
                        k, name);
            snprintf(name, 40, "a%u_%u", node->outputs[0], k);
        }
        return;
    }
    shape = operand_shape(b, node, k);
    reach = b->is_by_fours ? reach_of(b->shape, &shape) : ANY;
    if (reach != ANY) { /* opencl_pointwise_preload() did */
        snprintf(name, 40, reach == ONE ? "q%u_%u" : "q%u_%u[k]", node->outputs[0], k);
        return;
    }
    snprintf(name, 40, "a%u_%u", node->outputs[0], k);
    opencl_text_printf(&b->body, "const %s %s = X%d(", opencl_type(b, value->dtype), name,
                       opencl_read(b, node->inputs[k]));
    opencl_broadcast_index(b, b->shape, &shape, index);
    opencl_line(b, ");");
}

void opencl_pointwise_preload(struct opencl_build *b, const struct he_node *node, const char *index)
{
    for (uint32_t k = 0; k < node->input_count && k < OPERANDS_MAX; k++) {
        const struct he_value *value = opencl_input(b, node, k);
        struct he_shape shape;
        const char *type;
        enum reach reach;
        char literal[40];
        int x;

        if (!value || is_in_register(b, node, node->inputs[k]) || literal_of(value, literal))
            continue;
        shape = operand_shape(b, node, k);
        reach = reach_of(b->shape, &shape);
        if (reach == ANY)
            continue;
        type = opencl_type(b, value->dtype);
        x = opencl_read(b, node->inputs[k]);
        if (reach == ONE)
            opencl_text_printf(&b->body, "const %s q%u_%u = X%d(", type, node->outputs[0], k, x);
        else
            opencl_text_printf(&b->body, "const %s4 p%u_%u = V%d(", type, node->outputs[0], k, x);
        opencl_broadcast_index(b, b->shape, &shape, index);
        opencl_line(b, ");");
        if (reach == FOUR)
            opencl_line(b, "const %s q%u_%u[4] = { p%u_%u.x, p%u_%u.y, p%u_%u.z, p%u_%u.w };", type,
                        node->outputs[0], k, node->outputs[0], k, node->outputs[0], k,
                        node->outputs[0], k, node->outputs[0], k);
    }
}

static void expand(struct opencl_build *b, const char *text, const struct operands *operands,
                   const char *type)
{
    while (*text) {
        size_t plain = strcspn(text, "$");

        opencl_text_append(&b->body, text, plain);
        text += plain;
        if (!*text)
            break;
        if (text[1] == 'a')
            opencl_text_printf(&b->body, "%s", operands->alpha);
        else if (text[1] == 'b')
            opencl_text_printf(&b->body, "%s", operands->beta);
        else if (text[1] == 'T')
            opencl_text_printf(&b->body, "%s", type);
        else
            opencl_text_printf(&b->body, "%s", operands->names[text[1] - '0']);
        text += 2;
    }
}

static const char *clip_text(const struct opencl_build *b, const struct he_node *node,
                             struct operands *operands)
{
    bool has_low = opencl_input(b, node, 1) != NULL, has_high = opencl_input(b, node, 2) != NULL;

    if (node->opset < 11) { /* attributes then */
        has_low = he_node_attr(node, "min") != NULL;
        has_high = he_node_attr(node, "max") != NULL;
        opencl_literal(he_node_float(node, "min", 0), operands->names[1]);
        opencl_literal(he_node_float(node, "max", 0), operands->names[2]);
    }
    if (has_low && has_high) /* the upper bound wins where they cross */
        return "($0 < $1 ? ($1 > $2 ? $2 : $1) : $0 > $2 ? $2 : $0)";
    return has_low ? "($0 < $1 ? $1 : $0)" : has_high ? "($0 > $2 ? $2 : $0)" : "$0";
}

static const char *pow_text(const struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *exponent = opencl_input(b, node, 1);
    enum he_dtype base = opencl_input(b, node, 0)->dtype;
    float value;

    /* pow() may fall just short of a whole number. */
    if (he_dtype_is_integer(base))
        return "pow((double)$0, (double)$1) * (1 + 1e-14)";
    if (base == HE_FLOAT64)
        return "pow($0, (double)$1)";
    if (!opencl_is_float(exponent->dtype))
        return "pow($0, (float)$1)";
    if (!exponent->data || he_shape_count(&exponent->shape) != 1)
        return "pow($0, $1)";
    value = opencl_float(exponent, 0);
    return value == 2.0f   ? "$0 * $0"
           : value == 3.0f ? "$0 * $0 * $0"
           : value == 1.0f ? "$0"
           : value == -1.0f ? "1.0f / $0"
                            : "pow($0, $1)";
}

/* Division by zero and -1 would trap on a processor. */
static const char *integer_text(const struct he_node *node, enum he_dtype dtype)
{
    bool is_unsigned = dtype == HE_UINT8 || dtype == HE_UINT16 || dtype == HE_UINT32 ||
                       dtype == HE_UINT64;

    if (opencl_is(node, "Div"))
        return is_unsigned ? "($1 == 0 ? 0 : $0 / $1)"
                           : "($1 == 0 ? 0 : $1 == -1 ? -$0 : $0 / $1)";
    if (is_unsigned)
        return "($1 == 0 ? 0 : $0 % $1)";
    if (he_node_int(node, "fmod", 0))
        return "($1 == 0 || $1 == -1 ? 0 : $0 % $1)";
    return "($1 == 0 || $1 == -1 ? 0 : $0 % $1 + ($0 % $1 != 0 && ($0 < 0) != ($1 < 0) ? $1 : 0))";
}

/* A value stays a float in its register: what a narrower type loses is lost here. */
static const char *cast_text(enum he_dtype to)
{
    return to == HE_BOOL       ? "($0 != 0)"
           : to == HE_FLOAT16  ? "round_half((float)($0))"
           : to == HE_BFLOAT16 ? "round_bfloat((float)($0))"
                               : "$0";
}

static const char *special_text(struct opencl_build *b, const struct he_node *node,
                                struct operands *operands)
{
    enum he_dtype dtype = opencl_input(b, node, 0)->dtype;

    if (opencl_is(node, "Div") || opencl_is(node, "Mod"))
        return he_dtype_is_integer(dtype)   ? integer_text(node, dtype)
               : opencl_is(node, "Div") ? "$0 / $1"
                                        : "fmod($0, $1)";
    if (opencl_is(node, "Pow"))
        return pow_text(b, node);
    if (opencl_is(node, "Where"))
        return "($0 ? $1 : $2)";
    if (opencl_is(node, "Clip"))
        return clip_text(b, node, operands);
    if (opencl_is(node, "Cast") || opencl_is(node, "CastLike"))
        return cast_text(opencl_output(b, node, 0)->dtype);
    if (opencl_is(node, "Gelu"))
        return strcmp(he_node_string(node, "approximate", "none"), "tanh") == 0
                   ? "0.5f * $0 * (1.0f + tanh(0.79788456f * ($0 + 0.044715f * $0 * $0 * $0)))"
                   : "0.5f * $0 * (1.0f + erf($0 * 0.70710678f))";
    if (opencl_is(node, "IsInf")) {
        bool positive = he_node_int(node, "detect_positive", 1) != 0;
        bool negative = he_node_int(node, "detect_negative", 1) != 0;

        return positive && negative ? "isinf($0)"
               : positive           ? "($0 == INFINITY)"
               : negative           ? "($0 == -INFINITY)"
                                    : "0";
    }
    if (opencl_is(node, "BitShift"))
        return strcmp(he_node_string(node, "direction", "LEFT"), "RIGHT") == 0 ? "$0 >> $1"
                                                                                 : "$0 << $1";
    opencl_literal(he_node_float(node, "epsilon", 1e-5f), operands->alpha);
    return "($0 - $3) / sqrt($4 + $a) * $1 + $2"; /* BatchNormalization */
}

void opencl_pointwise_emit(struct opencl_build *b, const struct he_node *node, const char *index)
{
    const struct expression *variadic = FIND(variadics, node), *e = find_expression(node);
    enum he_dtype dtype = opencl_output(b, node, 0)->dtype;
    const char *type = opencl_type(b, dtype), *text;
    struct operands operands = { 0 };

    for (uint32_t k = 0; k < node->input_count && k < OPERANDS_MAX; k++)
        if (opencl_input(b, node, k) && !(k > 0 && opencl_is(node, "CastLike")))
            load_operand(b, node, k, index, operands.names[k]);
    if (variadic) {
        opencl_line(b, "%s v%u = %s;", type, node->outputs[0], operands.names[0]);
        snprintf(operands.names[0], sizeof operands.names[0], "v%u", node->outputs[0]);
        for (uint32_t k = 1; k < node->input_count; k++) {
            memcpy(operands.names[1], operands.names[k], sizeof operands.names[1]);
            text = variadic->text;
            if (he_dtype_is_integer(dtype)) /* no NaN: compilers find v != v odd there */
                text = opencl_is(node, "Max") ? "($0 < $1 ? $1 : $0)" : "($0 > $1 ? $1 : $0)";
            opencl_text_printf(&b->body, "v%u = (%s)(", node->outputs[0], type);
            expand(b, text, &operands, type);
            opencl_line(b, ");");
        }
        if (opencl_is(node, "Mean"))
            opencl_line(b, "v%u /= %u.0f;", node->outputs[0], node->input_count);
        return;
    }
    if (e->alpha)
        opencl_literal(he_node_float(node, e->alpha, e->alpha_default), operands.alpha);
    if (e->beta)
        opencl_literal(he_node_float(node, e->beta, e->beta_default), operands.beta);
    text = e->text ? e->text : special_text(b, node, &operands);
    opencl_text_printf(&b->body, "%s v%u = (%s)(", type, node->outputs[0], type);
    expand(b, text, &operands, type);
    opencl_line(b, ");");
}
