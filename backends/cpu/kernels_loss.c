/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss. Scores are [N, C, rest], labels
 * [N, rest]; an ignored label weighs nothing, and the mean is over weights.
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

struct loss {
    const struct he_tensor *scores, *labels, *weights; /* weights NULL: 1 each */
    int64_t batch, classes, rest;
    int64_t ignored;
    bool has_ignored;
    bool takes_log;           /* the scores are not log-probabilities yet */
    struct he_tensor *log_prob; /* NULL: not asked for */
};

static void put(struct he_tensor *tensor, int64_t k, double x)
{
    if (tensor->dtype == HE_FLOAT32)
        ((float *)tensor->data)[k] = (float)x;
    else
        ((double *)tensor->data)[k] = x;
}

/* What is taken off the scores of one place to make them log-probabilities. */
static double log_total(const struct loss *loss, int64_t base)
{
    double largest = -INFINITY, sum = 0, x;
    int64_t c;

    for (c = 0; c < loss->classes; c++) {
        x = cpu_get_double(loss->scores, base + c * loss->rest);
        largest = x > largest || x != x ? x : largest;
    }
    for (c = 0; c < loss->classes; c++)
        sum += exp(cpu_get_double(loss->scores, base + c * loss->rest) - largest);
    return largest + log(sum);
}

/* The loss of place @k, unweighted, and its weight. */
static he_status one_loss(const struct loss *loss, const struct he_node *node, int64_t k,
                          double *value, double *weight)
{
    int64_t base = k / loss->rest * loss->classes * loss->rest + k % loss->rest, c;
    int64_t label = cpu_get_int(loss->labels, k);
    double total = loss->takes_log ? log_total(loss, base) : 0;

    for (c = 0; loss->log_prob && c < loss->classes; c++)
        put(loss->log_prob, base + c * loss->rest,
            cpu_get_double(loss->scores, base + c * loss->rest) - total);
    *value = *weight = 0;
    if (loss->has_ignored && label == loss->ignored)
        return HE_OK;
    if (label < 0 || label >= loss->classes)
        return he_error_set(HE_ERR_SHAPE, "%s: label %lld outside %lld classes", node->op,
                            (long long)label, (long long)loss->classes);
    *value = total - cpu_get_double(loss->scores, base + label * loss->rest);
    *weight = loss->weights ? cpu_get_double(loss->weights, label) : 1;
    return HE_OK;
}

static he_status loss_run(struct cpu_call *call)
{
    const struct he_node *node = call->node;
    const char *reduction = he_node_string(node, "reduction", "mean");
    const struct he_attr *ignored = he_node_attr(node, "ignore_index");
    const struct he_shape *shape = &call->in[0].shape;
    bool keeps = !strcmp(reduction, "none");
    struct loss loss;
    int64_t k, count;
    double value, weight, sum = 0, weights = 0;
    he_status status;

    if (call->in_count < 2 || shape->rank < 2)
        return he_error_set(HE_ERR_SHAPE, "%s: scores [N, C, ...] and labels are needed", node->op);
    loss = (struct loss){
        .scores = &call->in[0],
        .labels = &call->in[1],
        .weights = cpu_has_input(call, 2) ? &call->in[2] : NULL,
        .batch = shape->dims[0],
        .classes = shape->dims[1],
        .rest = cpu_extent(shape, 2, shape->rank),
        .has_ignored = ignored != NULL,
        .ignored = ignored ? ignored->i : 0,
        .takes_log = !strcmp(node->op, "SoftmaxCrossEntropyLoss"),
        .log_prob = cpu_has_output(call, 1) ? &call->out[1] : NULL,
    };
    count = loss.batch * loss.rest;
    if (cpu_count(loss.labels) != count ||
        (loss.weights && cpu_count(loss.weights) != loss.classes))
        return he_error_set(HE_ERR_SHAPE, "%s: labels or weights do not fit the scores", node->op);
    for (k = 0; k < count; k++) {
        status = one_loss(&loss, node, k, &value, &weight);
        if (status != HE_OK)
            return status;
        if (keeps && cpu_has_output(call, 0))
            put(&call->out[0], k, value * weight);
        sum += value * weight;
        weights += weight;
    }
    if (!keeps && cpu_has_output(call, 0))
        put(&call->out[0], 0, !strcmp(reduction, "sum") ? sum : sum / weights);
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "NegativeLogLikelihoodLoss", .types = CPU_FLOATS, .run = loss_run},
    CPU_WIDENED("NegativeLogLikelihoodLoss"),
    {.op = "SoftmaxCrossEntropyLoss", .types = CPU_FLOATS, .run = loss_run},
    CPU_WIDENED("SoftmaxCrossEntropyLoss"),
};

const struct cpu_kernel_table cpu_kernels_loss = {kernels, sizeof kernels / sizeof kernels[0]};
