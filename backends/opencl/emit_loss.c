/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: scores [N, C, rest], labels [N, rest]. A label that
 * is ignored, or outside the classes, weighs nothing; the mean is over weights.
 */
#include <string.h>

#include "build.h"

#define LL(x) ((long long)(x))

struct loss {
    int64_t places, classes, rest;
    bool takes_log; /* the scores are not log-probabilities yet */
    const char *reduction;
    int scores, labels, weights, log_prob; /* operands, -1 without */
};

/* "loss" and "weight" of place p. */
static void put_place(struct opencl_build *b, const struct he_node *node, const struct loss *l)
{
    const struct he_attr *ignored = he_node_attr(node, "ignore_index");

    opencl_line(b, "const uint base = p / %lldu * %lldu + p %% %lldu;", LL(l->rest),
                LL(l->rest * l->classes), LL(l->rest));
    opencl_line(b, "const long label = (long)X%d(p);\nfloat total = 0.0f;", l->labels);
    if (l->takes_log) {
        opencl_line(b, "float top = -INFINITY;");
        opencl_line(b, "for (uint c = 0; c < %lldu; c++) top = fmax(top, X%d(base + c * %lldu));",
                    LL(l->classes), l->scores, LL(l->rest));
        opencl_line(b, "for (uint c = 0; c < %lldu; c++) total += exp(X%d(base + c * %lldu) - top);",
                    LL(l->classes), l->scores, LL(l->rest));
        opencl_line(b, "total = top + log(total);");
    }
    if (l->log_prob >= 0)
        opencl_line(b, "for (uint c = 0; c < %lldu; c++) "
                       "S%d(base + c * %lldu, X%d(base + c * %lldu) - total);",
                    LL(l->classes), l->log_prob, LL(l->rest), l->scores, LL(l->rest));
    opencl_line(b, "float loss = 0.0f, weight = 0.0f;\nif (label >= 0 && label < %lldL", LL(l->classes));
    if (ignored)
        opencl_line(b, " && label != %lldL", LL(ignored->i));
    opencl_line(b, ") {\nloss = total - X%d(base + (uint)label * %lldu);", l->scores, LL(l->rest));
    if (l->weights >= 0)
        opencl_line(b, "weight = X%d((uint)label);\nloss *= weight;\n}", l->weights);
    else
        opencl_line(b, "weight = 1.0f;\n}");
}

static void open_operands(struct opencl_build *b, const struct he_node *node, struct loss *l)
{
    l->scores = opencl_read(b, node->inputs[0]);
    l->labels = opencl_read(b, node->inputs[1]);
    l->weights = opencl_input(b, node, 2) ? opencl_read(b, node->inputs[2]) : -1;
    l->log_prob = opencl_output(b, node, 1) ? opencl_write(b, node->outputs[1]) : -1;
}

static he_status emit_loss(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *scores = opencl_input(b, node, 0), *labels = opencl_input(b, node, 1);
    const struct he_value *weights = opencl_input(b, node, 2);
    struct loss l = { .reduction = he_node_string(node, "reduction", "mean"),
                      .takes_log = opencl_is(node, "SoftmaxCrossEntropyLoss") };
    struct opencl_rows rows;
    bool is_mean;

    if (!opencl_is_float(scores->dtype) || (weights && !opencl_is_float(weights->dtype)) ||
        (labels->dtype != HE_INT64 && labels->dtype != HE_INT32) || !opencl_output(b, node, 0))
        return opencl_refuse(node, "scores of %s, labels of %s", he_dtype_name(scores->dtype),
                             he_dtype_name(labels->dtype));
    if (scores->shape.rank < 2 || !he_shape_count(&scores->shape))
        return opencl_refuse(node, "rank %u, or nothing in it", scores->shape.rank);
    l.classes = scores->shape.dims[1];
    l.rest = opencl_product(&scores->shape, 2, scores->shape.rank);
    l.places = scores->shape.dims[0] * l.rest;
    if (strcmp(l.reduction, "none") == 0) {
        opencl_begin_each(b, l.places);
        open_operands(b, node, &l);
        opencl_line(b, "const uint p = o;");
        put_place(b, node, &l);
        opencl_line(b, "S%d(p, loss);", opencl_write(b, node->outputs[0]));
        return opencl_end_each(b, l.places);
    }
    is_mean = strcmp(l.reduction, "mean") == 0;
    opencl_begin_rows(b, &rows, 1, l.places, false);
    open_operands(b, node, &l);
    opencl_line(b, "float sum = 0.0f, weights = 0.0f;");
    /* As many rounds for all lanes: PoCL 3.1 loses the last, partial one of a loop that ends by lane
     * when it has loops inside. */
    opencl_line(b, "for (uint i = 0; i < %lldu; i += lanes) {\nconst uint p = i + lane;",
                LL(l.places));
    opencl_line(b, "if (p < %lldu) {", LL(l.places));
    put_place(b, node, &l);
    opencl_line(b, "sum += loss;\nweights += weight;\n}\n}");
    opencl_join_lanes(b, &rows, "sum", "l + r");
    opencl_join_lanes(b, &rows, "weights", "l + r");
    opencl_line(b, "if (lane == 0u) S%d(0, %s);", opencl_write(b, node->outputs[0]),
                is_mean ? "sum / weights" : "sum");
    return opencl_end_rows(b, &rows);
}

static const struct opencl_emitter emitters[] = {
    { "NegativeLogLikelihoodLoss", emit_loss, false },
    { "SoftmaxCrossEntropyLoss", emit_loss, false },
};
const struct opencl_emitter_table opencl_loss_table = { emitters,
                                                        sizeof emitters / sizeof emitters[0] };
