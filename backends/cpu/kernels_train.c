/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimiser steps of ai.onnx.preview.training: Adagrad, Adam, Momentum. Inputs are the rate,
 * the step count T, then n tensors each of X, the gradients and the states; outputs
 * are the new X and states.
 */
#include "pointwise.h"

#include <math.h>
#include <string.h>

struct step {
    double rate, count;
    double regularisation; /* norm_coefficient */
    double alpha, beta, epsilon;
};

/* One element: gradient (regularised) in, states updated in place, gives the new x. */
static double adagrad(const struct step *s, double x, double g, double *state)
{
    state[0] += g * g;
    return x - s->rate * g / (sqrt(state[0]) + s->epsilon);
}

static double adam(const struct step *s, double x, double g, double *state)
{
    double rate = s->rate;

    state[0] = s->alpha * state[0] + (1 - s->alpha) * g;
    state[1] = s->beta * state[1] + (1 - s->beta) * g * g;
    if (s->count > 0)
        rate *= sqrt(1 - pow(s->beta, s->count)) / (1 - pow(s->alpha, s->count));
    return x - rate * state[0] / (sqrt(state[1]) + s->epsilon);
}

static double momentum(const struct step *s, double x, double g, double *state)
{
    state[0] = s->alpha * state[0] + (s->count > 0 ? s->beta : 1) * g;
    return x - s->rate * state[0];
}

static double nesterov(const struct step *s, double x, double g, double *state)
{
    state[0] = s->alpha * state[0] + (s->count > 0 ? s->beta : 1) * g;
    return x - s->rate * (g + s->alpha * state[0]);
}

static void put(struct he_tensor *tensor, int64_t k, double x)
{
    if (tensor->dtype == HE_FLOAT32)
        ((float *)tensor->data)[k] = (float)x;
    else
        ((double *)tensor->data)[k] = x;
}

static he_status train_run(struct cpu_call *call)
{
    const struct he_node *node = call->node;
    double (*update)(const struct step *, double, double, double *);
    bool is_adam = !strcmp(node->op, "Adam");
    size_t states = is_adam ? 2 : 1, tensors, t, s;
    double after, state[2] = {0}, x, g;
    struct step step;
    int64_t k;

    if (call->in_count < 2 + 2 + states || (call->in_count - 2) % (2 + states) ||
        call->out_count != (call->in_count - 2) / (2 + states) * (1 + states))
        return he_error_set(HE_ERR_SHAPE, "%s: %zu inputs and %zu outputs do not go together",
                            node->op, call->in_count, call->out_count);
    tensors = (call->in_count - 2) / (2 + states);
    step = (struct step){
        .rate = cpu_get_double(&call->in[0], 0),
        .count = (double)cpu_get_int(&call->in[1], 0),
        .regularisation = (double)he_node_float(node, "norm_coefficient", 0.0f),
        .alpha = (double)he_node_float(node, "alpha", 0.9f),
        .beta = (double)he_node_float(node, "beta", is_adam ? 0.999f : 1.0f),
        .epsilon = (double)he_node_float(node, "epsilon", 1e-6f),
    };
    /* Adam also shrinks the new x. */
    after = 1 - (is_adam ? (double)he_node_float(node, "norm_coefficient_post", 0.0f) : 0);
    if (!strcmp(node->op, "Adagrad")) {
        step.rate /= 1 + step.count * (double)he_node_float(node, "decay_factor", 0.0f);
        update = adagrad;
    } else if (is_adam) {
        update = adam;
    } else {
        update = !strcmp(he_node_string(node, "mode", "standard"), "nesterov") ? nesterov
                                                                               : momentum;
    }
    for (t = 0; t < tensors; t++) {
        const struct he_tensor *in = &call->in[2 + t];

        for (s = 0; s < 2 + states; s++) {
            if (cpu_count(&in[s * tensors]) != cpu_count(in))
                return he_error_set(HE_ERR_SHAPE, "%s: tensor %zu and its states differ in size",
                                    node->op, t);
        }
        for (k = 0; k < cpu_count(in); k++) {
            x = cpu_get_double(in, k);
            g = cpu_get_double(&in[tensors], k) + step.regularisation * x;
            for (s = 0; s < states; s++)
                state[s] = cpu_get_double(&in[(2 + s) * tensors], k);
            x = update(&step, x, g, state) * after;
            if (cpu_has_output(call, t))
                put(&call->out[t], k, x);
            for (s = 0; s < states; s++) {
                if (cpu_has_output(call, t + (1 + s) * tensors))
                    put(&call->out[t + (1 + s) * tensors], k, state[s]);
            }
        }
    }
    return HE_OK;
}

#define ROW(name)                                                                         \
    {.op = name, .domain = "ai.onnx.preview.training", .types = CPU_FLOATS, .type_input = 2, \
     .run = train_run}

static const struct cpu_kernel kernels[] = {ROW("Adagrad"), ROW("Adam"), ROW("Momentum")};

const struct cpu_kernel_table cpu_kernels_train = {kernels, sizeof kernels / sizeof kernels[0]};
