/* SPDX-License-Identifier: Apache-2.0 */
/* Activations, Clip, Dropout, and the softmax family. */
#include "ops/infer.h"

/* The slope is broadcast to the input, never the other way round. */
static HE_INFER_RULE(infer_prelu)
{
    struct he_shape shape;
    he_status status = he_infer_want_same_type(node, in[0], "X", in[1], "slope");

    if (status != HE_OK)
        return status;
    /* Before opset 7 a slope of one dimension runs along the channels. */
    if (node->opset >= 7) {
        if (!he_shape_broadcast(&in[0]->shape, &in[1]->shape, &shape) ||
            (he_has_rank(in[0]) && he_has_rank(in[1]) && shape.rank != in[0]->shape.rank))
            return he_infer_error(node, "slope %s does not broadcast to X %s",
                                  he_infer_text(in[1]).s, he_infer_text(in[0]).s);
    }
    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    return HE_OK;
}

static HE_INFER_RULE(infer_clip)
{
    he_status status = HE_OK;

    for (int k = 1; k < 3 && status == HE_OK; k++) {
        const char *name = k == 1 ? "min" : "max";

        if (!in[k])
            continue;
        status = he_infer_want_same_type(node, in[0], "the input", in[k], name);
        if (status == HE_OK && he_infer_length(in[k]) >= 0 && he_infer_length(in[k]) != 1)
            status = he_infer_error(node, "%s is %s, a scalar was expected", name,
                                    he_infer_text(in[k]).s);
    }
    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    return status;
}

static HE_INFER_RULE(infer_dropout)
{
    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    /* The mask has the type of the data until opset 9. */
    he_infer_set(out[1], node->opset >= 10 ? HE_BOOL : in[0]->dtype, &in[0]->shape);
    return HE_OK;
}

static HE_INFER_RULE(infer_softmax)
{
    int64_t axis = he_node_int(node, "axis", node->opset >= 13 ? -1 : 1);
    uint32_t unused;

    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    if (!he_has_rank(in[0]))
        return HE_OK;
    /* Until opset 12 the input is flattened to two dimensions at axis, which may be the rank. */
    if (node->opset < 13 && axis == (int64_t)in[0]->shape.rank)
        return HE_OK;
    if (in[0]->shape.rank == 0 && (axis == 0 || axis == -1))
        return HE_OK;
    return he_infer_axis(node, axis, in[0]->shape.rank, &unused);
}

/* A gates B; no broadcasting. */
static HE_INFER_RULE(infer_swiglu)
{
    struct he_shape shape = in[0]->shape;
    he_status status = he_infer_want_same_type(node, in[0], "A", in[1], "B");

    if (status == HE_OK && !he_shape_merge(&shape, &in[1]->shape))
        status = he_infer_error(node, "shapes differ: A is %s, B is %s", he_infer_text(in[0]).s,
                                he_infer_text(in[1]).s);
    if (status == HE_OK)
        he_infer_set(out[0], in[0]->dtype, &shape);
    return status;
}

#define ROW(op, rule, cost, ...)                                                                   \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule, .work = cost, \
      .access = HE_ACCESS_POINTWISE, .work_class = HE_WORK_ELEMENTWISE,                            \
      .split_axes = HE_SPLIT_ANY, .flags = HE_OP_ANY_LAYOUT, .min_inputs = 1, .max_inputs = 1,     \
      .max_outputs = 1 }
#define CHEAP(op, ...) ROW(op, he_infer_same, NULL, __VA_ARGS__)
#define COSTLY(op, ...) ROW(op, he_infer_same, he_work_costly, __VA_ARGS__)
#define SOFTMAX(op, ...)                                                                           \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = infer_softmax,      \
      .work = he_work_softmax, .access = HE_ACCESS_REDUCE, .work_class = HE_WORK_REDUCTION,        \
      .split_axes = HE_SPLIT_OTHER_AXES, .min_inputs = 1, .max_inputs = 1, .max_outputs = 1 }

static const struct he_op rows[] = {
    COSTLY("Celu", 12, 28),
    COSTLY("Elu", 1, 6, 22),
    COSTLY("Gelu", 20),
    CHEAP("HardSigmoid", 1, 6, 22),
    CHEAP("HardSwish", 14, 22),
    CHEAP("LeakyRelu", 1, 6, 16),
    COSTLY("Mish", 18, 22),
    CHEAP("Relu", 1, 6, 13, 14),
    COSTLY("Selu", 1, 6, 22),
    CHEAP("Shrink", 9),
    COSTLY("Sigmoid", 1, 6, 13),
    COSTLY("Softplus", 1, 22),
    CHEAP("Softsign", 1, 22),
    COSTLY("Swish", 24),
    COSTLY("Tanh", 1, 6, 13),
    CHEAP("ThresholdedRelu", 10, 22),
    SOFTMAX("Hardmax", 1, 11, 13),
    SOFTMAX("LogSoftmax", 1, 11, 13),
    SOFTMAX("Softmax", 1, 11, 13),
    { .name = "Clip", .domain = "", .versions = HE_VERSIONS(1, 6, 11, 12, 13),
      .infer = infer_clip, .access = HE_ACCESS_POINTWISE, .work_class = HE_WORK_ELEMENTWISE,
      .split_axes = HE_SPLIT_ANY, .flags = HE_OP_ANY_LAYOUT, .min_inputs = 1, .max_inputs = 3,
      .max_outputs = 1 },
    /* Random only with training_mode: a graph pass that meets a constant one asks for it. */
    { .name = "Dropout", .domain = "", .versions = HE_VERSIONS(1, 6, 7, 10, 12, 13, 22),
      .infer = infer_dropout, .access = HE_ACCESS_POINTWISE, .work_class = HE_WORK_ELEMENTWISE,
      .split_axes = HE_SPLIT_ANY, .flags = HE_OP_ANY_LAYOUT | HE_OP_RANDOM, .min_inputs = 1,
      .max_inputs = 3, .max_outputs = 2 },
    { .name = "PRelu", .domain = "", .versions = HE_VERSIONS(1, 6, 7, 9, 16),
      .infer = infer_prelu, .access = HE_ACCESS_BROADCAST, .work_class = HE_WORK_ELEMENTWISE,
      .split_axes = HE_SPLIT_ANY, .flags = HE_OP_ANY_LAYOUT, .min_inputs = 2, .max_inputs = 2,
      .max_outputs = 1 },
    { .name = "SwiGLU", .domain = "", .versions = HE_VERSIONS(28), .infer = infer_swiglu,
      .work = he_work_costly, .access = HE_ACCESS_BROADCAST, .work_class = HE_WORK_ELEMENTWISE,
      .split_axes = HE_SPLIT_ANY, .flags = HE_OP_ANY_LAYOUT, .min_inputs = 2, .max_inputs = 2,
      .max_outputs = 1 },
};

const struct he_op_table he_ops_activation = { rows, HE_COUNT(rows) };
