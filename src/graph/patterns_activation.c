/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations that exporters write out in arithmetic, turned back into the one operator
 * they mean. A pattern hangs on its last node, most often a product: its factors are
 * collected through nested Mul and Div first, so that their order does not matter.
 *
 *   Clip(x + b, 0, hi) / hi           HardSigmoid
 *   x * HardSigmoid(x; 1/6, 1/2)      HardSwish
 *   x * Sigmoid(x)                    Swish
 *   x * Tanh(Softplus(x))             Mish
 *   0.5 x (1 + Erf(x / sqrt 2))       Gelu
 *   0.5 x (1 + Tanh(...))             Gelu, approximate = tanh
 *   x + x * y                         x * (1 + y), where y is the smaller tensor
 */
#include "graph/rewrite.h"

#include <math.h>
#include <string.h>

#include "core/size.h"

static bool is_known(const char *op, int opset)
{
    const struct he_op *row = he_op_find("", op);

    return row && he_op_since(row, opset) > 0;
}

/* A product of values and a constant. */
struct product {
    uint32_t factors[4];
    uint32_t factor_count;
    double constant;
    uint32_t nodes[8]; /* all but the root, which are read by the product only */
    uint32_t node_count;
};

/* Adds what @value stands for to the product; opens Mul and Div by constants. */
static bool multiply_in(const struct he_rewrite *rewrite, uint32_t value, struct product *out);

static bool open_node(const struct he_rewrite *rewrite, uint32_t n, struct product *out)
{
    const struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];
    float number;

    if (node->input_count != 2 || node->inputs[0] == HE_NONE || node->inputs[1] == HE_NONE)
        return false;
    if (he_node_is(node, "Div")) {
        if (!he_constant_scalar(&graph->values[node->inputs[1]], &number) || number == 0)
            return false;
        out->constant /= number;
        return multiply_in(rewrite, node->inputs[0], out);
    }
    return multiply_in(rewrite, node->inputs[0], out) && multiply_in(rewrite, node->inputs[1], out);
}

static bool multiply_in(const struct he_rewrite *rewrite, uint32_t value, struct product *out)
{
    uint32_t maker;
    float number;

    if (he_constant_scalar(&rewrite->graph->values[value], &number)) {
        out->constant *= number;
        return true;
    }
    maker = he_rewrite_link(rewrite, value, "Mul");
    if (maker == HE_NONE)
        maker = he_rewrite_link(rewrite, value, "Div");
    if (maker != HE_NONE && out->node_count < HE_COUNT(out->nodes)) {
        struct product saved = *out;

        out->nodes[out->node_count++] = maker;
        if (open_node(rewrite, maker, out))
            return true;
        *out = saved; /* a Div by something else is a factor as a whole */
    }
    if (out->factor_count == HE_COUNT(out->factors))
        return false;
    out->factors[out->factor_count++] = value;
    return true;
}

static bool read_product(const struct he_rewrite *rewrite, uint32_t n, struct product *out)
{
    *out = (struct product){ .constant = 1 };
    return rewrite->graph->values[rewrite->graph->nodes[n].outputs[0]].dtype == HE_FLOAT32 &&
           open_node(rewrite, n, out);
}

static bool is_near(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fmax(1, fabs(b));
}

/* @value = other + constant, read by one node only; gives both and the node. */
static uint32_t match_sum(const struct he_rewrite *rewrite, uint32_t value, uint32_t *other,
                          float *constant)
{
    const struct he_graph *graph = rewrite->graph;
    uint32_t n = he_rewrite_link(rewrite, value, "Add");

    if (n == HE_NONE || graph->nodes[n].input_count != 2)
        return HE_NONE;
    for (uint32_t k = 0; k < 2; k++) {
        uint32_t in = graph->nodes[n].inputs[k];

        if (in != HE_NONE && graph->nodes[n].inputs[1 - k] != HE_NONE &&
            he_constant_scalar(&graph->values[in], constant)) {
            *other = graph->nodes[n].inputs[1 - k];
            return n;
        }
    }
    return HE_NONE;
}

/* The bounds of a Clip (since opset 11 as inputs) where they are constant. */
static bool read_clip(const struct he_graph *graph, const struct he_node *node, float *low,
                      float *high)
{
    const struct he_value *min = he_node_input(graph, node, 1), *max = he_node_input(graph, node, 2);

    *low = -INFINITY;
    *high = INFINITY;
    if (node->opset < 11) {
        *low = he_node_float(node, "min", -INFINITY);
        *high = he_node_float(node, "max", INFINITY);
        return true;
    }
    return (!min || he_constant_scalar(min, low)) && (!max || he_constant_scalar(max, high));
}

/* --- What the factors may be. Each gives the x it is a function of. --- */

/* Clip(x + b, 0, hi), read by one node only. */
static uint32_t match_ramp(const struct he_rewrite *rewrite, uint32_t value, float *shift,
                           float *high, uint32_t nodes[2])
{
    const struct he_graph *graph = rewrite->graph;
    uint32_t clip = he_rewrite_link(rewrite, value, "Clip"), x;
    float low;

    if (clip == HE_NONE || !read_clip(graph, &graph->nodes[clip], &low, high) || low != 0 ||
        !(*high > 0) || isinf(*high))
        return HE_NONE;
    nodes[0] = clip;
    nodes[1] = match_sum(rewrite, graph->nodes[clip].inputs[0], &x, shift);
    return nodes[1] == HE_NONE ? HE_NONE : x;
}

static uint32_t match_hard_sigmoid(const struct he_rewrite *rewrite, uint32_t value, float alpha,
                                   float beta, uint32_t *n)
{
    const struct he_node *node;

    *n = he_rewrite_link(rewrite, value, "HardSigmoid");
    if (*n == HE_NONE)
        return HE_NONE;
    node = &rewrite->graph->nodes[*n];
    return is_near(he_node_float(node, "alpha", 0.2f), alpha) &&
                   is_near(he_node_float(node, "beta", 0.5f), beta)
               ? node->inputs[0]
               : HE_NONE;
}

/* x * c, read by one node only. */
static uint32_t match_scaled(const struct he_rewrite *rewrite, uint32_t value, double factor,
                             uint32_t *n)
{
    const struct he_graph *graph = rewrite->graph;
    float number;

    *n = he_rewrite_link(rewrite, value, "Div");
    if (*n != HE_NONE && graph->nodes[*n].input_count == 2 &&
        he_constant_scalar(he_node_input(graph, &graph->nodes[*n], 1), &number) && number != 0 &&
        is_near(1.0 / number, factor))
        return graph->nodes[*n].inputs[0];
    *n = he_rewrite_link(rewrite, value, "Mul");
    for (uint32_t k = 0; *n != HE_NONE && graph->nodes[*n].input_count == 2 && k < 2; k++)
        if (he_constant_scalar(he_node_input(graph, &graph->nodes[*n], k), &number) &&
            is_near(number, factor))
            return graph->nodes[*n].inputs[1 - k];
    return HE_NONE;
}

/* x ^ 3, as Pow or as products of x, none of it read elsewhere. */
static bool match_cube(const struct he_rewrite *rewrite, uint32_t value, uint32_t x,
                       uint32_t *nodes, uint32_t *node_count, double *constant)
{
    const struct he_graph *graph = rewrite->graph;
    uint32_t pow = he_rewrite_link(rewrite, value, "Pow");
    struct product product = { .constant = 1 };

    if (pow != HE_NONE) {
        nodes[(*node_count)++] = pow;
        *constant = 1;
        return graph->nodes[pow].inputs[0] == x &&
               he_constant_is(he_node_input(graph, &graph->nodes[pow], 1), 3);
    }
    if (!multiply_in(rewrite, value, &product))
        return false;
    *constant = product.constant;
    for (uint32_t k = 0; k < product.node_count; k++)
        nodes[(*node_count)++] = product.nodes[k];
    if (product.factor_count == 1 && product.factors[0] != x) {
        double inner;

        return match_cube(rewrite, product.factors[0], x, nodes, node_count, &inner) && inner == 1;
    }
    return product.factor_count == 3 && product.factors[0] == x && product.factors[1] == x &&
           product.factors[2] == x;
}

/* --- Whole patterns --- */

struct removal {
    uint32_t nodes[24];
    uint32_t count;
};

static void forget(struct removal *removal, uint32_t n)
{
    if (removal->count < HE_COUNT(removal->nodes))
        removal->nodes[removal->count++] = n;
}

/* Node @n becomes op(x); what fed it goes, outermost first, where nobody else reads it. */
static he_status become_unary(struct he_rewrite *rewrite, uint32_t n, const char *op, int opset,
                              uint32_t x, struct he_attr *attrs, uint32_t attr_count,
                              const struct product *product, const struct removal *removal)
{
    he_status status = he_rewrite_become(rewrite, n, op, opset, &x, 1, attrs, attr_count);

    for (uint32_t k = 0; status == HE_OK && product && k < product->node_count; k++)
        he_rewrite_remove_unread(rewrite, product->nodes[k]);
    for (uint32_t k = 0; status == HE_OK && removal && k < removal->count; k++)
        he_rewrite_remove_unread(rewrite, removal->nodes[k]);
    return status;
}

static he_status float_attr(struct he_rewrite *rewrite, const char *first, float a,
                            const char *second, float b, struct he_attr **out)
{
    *out = he_rewrite_attrs(rewrite, 2);
    if (!*out)
        return he_no_memory();
    (*out)[0] = (struct he_attr){ .name = first, .kind = HE_ATTR_FLOAT, .f = a };
    (*out)[1] = (struct he_attr){ .name = second, .kind = HE_ATTR_FLOAT, .f = b };
    return HE_OK;
}

/* Same shape in and out: nothing is broadcast by the pattern. */
static bool keeps_shape(const struct he_rewrite *rewrite, uint32_t n, uint32_t x)
{
    const struct he_value *in = &rewrite->graph->values[x];
    const struct he_value *out = &rewrite->graph->values[rewrite->graph->nodes[n].outputs[0]];

    return in->dtype == HE_FLOAT32 && in->shape.rank != HE_RANK_UNKNOWN &&
           he_shape_equal(&in->shape, &out->shape);
}

/* One factor: a ramp divided by its height. */
static he_status try_hard_sigmoid(struct he_rewrite *rewrite, uint32_t n,
                                  const struct product *product)
{
    struct removal removal = { .count = 2 };
    struct he_attr *attrs;
    float shift, high;
    uint32_t x;
    he_status status;

    if (product->factor_count != 1)
        return HE_OK;
    x = match_ramp(rewrite, product->factors[0], &shift, &high, removal.nodes);
    if (x == HE_NONE || !keeps_shape(rewrite, n, x) || !is_near(product->constant * high, 1))
        return HE_OK;
    status = float_attr(rewrite, "alpha", (float)product->constant, "beta",
                        (float)(shift * product->constant), &attrs);
    if (status != HE_OK)
        return status;
    return become_unary(rewrite, n, "HardSigmoid", 6, x, attrs, 2, product, &removal);
}

/* x times @gate, a function of x. */
static he_status try_gate(struct he_rewrite *rewrite, uint32_t n, const struct product *product,
                          uint32_t x, uint32_t gate)
{
    const struct he_graph *graph = rewrite->graph;
    struct removal removal = { .count = 0 };
    uint32_t made[2], node;
    float shift, high;

    if (is_known("HardSwish", 14)) {
        if (is_near(product->constant, 1) &&
            match_hard_sigmoid(rewrite, gate, 1.0f / 6, 0.5f, &node) == x) {
            forget(&removal, node);
            return become_unary(rewrite, n, "HardSwish", 14, x, NULL, 0, product, &removal);
        }
        if (is_near(product->constant * 6, 1) &&
            match_ramp(rewrite, gate, &shift, &high, made) == x && is_near(shift, 3) &&
            is_near(high, 6)) {
            forget(&removal, made[0]);
            forget(&removal, made[1]);
            return become_unary(rewrite, n, "HardSwish", 14, x, NULL, 0, product, &removal);
        }
    }
    if (!is_near(product->constant, 1))
        return HE_OK;
    node = he_rewrite_link(rewrite, gate, "Sigmoid");
    if (node != HE_NONE && graph->nodes[node].inputs[0] == x && is_known("Swish", 24)) {
        forget(&removal, node);
        return become_unary(rewrite, n, "Swish", 24, x, NULL, 0, product, &removal);
    }
    node = he_rewrite_link(rewrite, gate, "Tanh");
    if (node != HE_NONE && is_known("Mish", 18)) {
        uint32_t inner = he_rewrite_link(rewrite, graph->nodes[node].inputs[0], "Softplus");

        if (inner != HE_NONE && graph->nodes[inner].inputs[0] == x) {
            forget(&removal, node);
            forget(&removal, inner);
            return become_unary(rewrite, n, "Mish", 18, x, NULL, 0, product, &removal);
        }
    }
    return HE_OK;
}

/* sqrt(2/pi) (x + 0.044715 x^3), none of it read elsewhere. */
static bool match_gelu_polynomial(const struct he_rewrite *rewrite, uint32_t value, uint32_t x,
                                  struct removal *removal)
{
    const struct he_graph *graph = rewrite->graph;
    uint32_t scaled, sum = match_scaled(rewrite, value, 0.7978845608028654, &scaled), add;
    double constant;

    if (sum == HE_NONE)
        return false;
    add = he_rewrite_link(rewrite, sum, "Add");
    if (add == HE_NONE || graph->nodes[add].input_count != 2)
        return false;
    forget(removal, scaled);
    forget(removal, add);
    for (uint32_t k = 0; k < 2; k++)
        if (graph->nodes[add].inputs[k] == x &&
            match_cube(rewrite, graph->nodes[add].inputs[1 - k], x, removal->nodes, &removal->count,
                       &constant))
            return fabs(constant - 0.044715) < 1e-6;
    return false;
}

/* 0.5 x times @gate = 1 + (Erf or Tanh). */
static he_status try_gelu(struct he_rewrite *rewrite, uint32_t n, const struct product *product,
                          uint32_t x, uint32_t gate)
{
    const struct he_graph *graph = rewrite->graph;
    struct removal removal = { .count = 0 };
    struct he_attr *attrs;
    uint32_t sum, curve, node, scaled;
    float one;

    if (!is_near(product->constant, 0.5) || !is_known("Gelu", 20))
        return HE_OK;
    sum = match_sum(rewrite, gate, &curve, &one);
    if (sum == HE_NONE || !is_near(one, 1))
        return HE_OK;
    forget(&removal, sum);
    node = he_rewrite_link(rewrite, curve, "Erf");
    if (node != HE_NONE && match_scaled(rewrite, graph->nodes[node].inputs[0], 0.7071067811865476,
                                        &scaled) == x) {
        forget(&removal, node);
        forget(&removal, scaled);
        return become_unary(rewrite, n, "Gelu", 20, x, NULL, 0, product, &removal);
    }
    node = he_rewrite_link(rewrite, curve, "Tanh");
    if (node == HE_NONE)
        return HE_OK;
    forget(&removal, node);
    if (!match_gelu_polynomial(rewrite, graph->nodes[node].inputs[0], x, &removal))
        return HE_OK;
    attrs = he_rewrite_attrs(rewrite, 1);
    if (!attrs)
        return he_no_memory();
    attrs[0] = (struct he_attr){ .name = "approximate", .kind = HE_ATTR_STRING, .s = "tanh",
                                 .s_bytes = 4 };
    return become_unary(rewrite, n, "Gelu", 20, x, attrs, 1, product, &removal);
}

static he_status read_as_activation(struct he_rewrite *rewrite, uint32_t n)
{
    struct product product;
    he_status status;

    if (!he_node_has_output(&rewrite->graph->nodes[n], 0) || !read_product(rewrite, n, &product))
        return HE_OK;
    status = try_hard_sigmoid(rewrite, n, &product);
    for (uint32_t k = 0; k < 2 && status == HE_OK && product.factor_count == 2; k++) {
        uint32_t x = product.factors[k], gate = product.factors[1 - k];
        const char *before = rewrite->graph->nodes[n].op;

        if (!keeps_shape(rewrite, n, x))
            continue;
        status = try_gate(rewrite, n, &product, x, gate);
        if (status == HE_OK && rewrite->graph->nodes[n].op == before)
            status = try_gelu(rewrite, n, &product, x, gate);
        if (rewrite->graph->nodes[n].op != before)
            break;
    }
    return status;
}

/* x + x * y = x * (1 + y): the sum is done on the smaller tensor (a gate per channel). */
static he_status factor_out(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];

    if (node->input_count != 2 || !he_node_has_output(node, 0))
        return HE_OK;
    for (uint32_t k = 0; k < 2; k++) {
        uint32_t x = node->inputs[k], product, y, sum[2], inputs[2], added;
        const struct he_shape scalar = { .rank = 0 };
        int64_t count;
        void *one;
        he_status status;

        if (x == HE_NONE || !keeps_shape(rewrite, n, x))
            continue;
        product = he_rewrite_link(rewrite, node->inputs[1 - k], "Mul");
        if (product == HE_NONE || graph->nodes[product].input_count != 2)
            continue;
        y = graph->nodes[product].inputs[graph->nodes[product].inputs[0] == x];
        if (y == x || (graph->nodes[product].inputs[0] != x &&
                       graph->nodes[product].inputs[1] != x))
            continue;
        count = he_shape_count(&graph->values[y].shape);
        if (count < 0 || graph->values[y].dtype != HE_FLOAT32 ||
            count * 4 > he_shape_count(&graph->values[x].shape))
            continue;
        status = he_rewrite_constant(rewrite, HE_FLOAT32, &scalar, &one, &sum[1]);
        if (status != HE_OK)
            return status;
        *(float *)one = 1;
        sum[0] = y;
        status = he_rewrite_add_node(rewrite, "Add", 14, sum, 2, y, &added);
        if (status != HE_OK)
            return status;
        inputs[0] = x;
        inputs[1] = graph->nodes[added].outputs[0];
        status = he_rewrite_become(rewrite, n, "Mul", 14, inputs, 2, NULL, 0);
        if (status == HE_OK)
            he_rewrite_remove_unread(rewrite, product);
        return status;
    }
    return HE_OK;
}

static const struct he_pattern patterns[] = {
    { "Mul", read_as_activation },
    { "Div", read_as_activation },
    { "Add", factor_out },
};
const struct he_pattern_table he_patterns_activation = { patterns, HE_COUNT(patterns) };
