/* SPDX-License-Identifier: Apache-2.0 */
/* Naive references in double precision, written for plainness, not for speed. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "task_bench.h"

/* --- The reference --- */

int64_t count_of(const struct bench *m, uint32_t value)
{
    return he_shape_count(&m->values[value].shape);
}

/* Row-major position of an output element in an operand that may be broadcast. */
int64_t spread_index(const struct he_shape *out, const struct he_shape *in, int64_t at)
{
    int64_t index = 0, stride = 1, coordinate;
    int k, missing = (int)out->rank - (int)in->rank;

    for (k = (int)out->rank - 1; k >= missing; k--) {
        coordinate = at % out->dims[k];
        at /= out->dims[k];
        if (in->dims[k - missing] != 1)
            index += coordinate * stride;
        stride *= in->dims[k - missing];
    }
    return index;
}

uint32_t ref_unary(struct bench *m, const char *op, uint32_t x)
{
    struct he_node *node = node_begin(m, op, 20);
    double alpha = 0.3, a, r;
    uint32_t y;
    int64_t k;

    node_input(node, x);
    if (!strcmp(op, "LeakyRelu") || !strcmp(op, "Elu"))
        node_float(node, "alpha", 0.3f);
    if (!strcmp(op, "Clip")) {
        node_input(node, add_constant(m, -0.5f, -0.4f, 0, NULL));
        node_input(node, add_constant(m, 0.6f, 0.7f, 0, NULL));
    }
    y = node_end(m, node, &m->values[x].shape);
    for (k = 0; k < count_of(m, x); k++) {
        a = m->exact[x][k];
        if (!strcmp(op, "Relu"))
            r = a > 0 ? a : 0;
        else if (!strcmp(op, "LeakyRelu"))
            r = a > 0 ? a : a * (float)alpha;
        else if (!strcmp(op, "Elu"))
            r = a > 0 ? a : (float)alpha * (exp(a) - 1);
        else if (!strcmp(op, "Clip"))
            r = fmin(fmax(a, m->exact[node->inputs[1]][0]), m->exact[node->inputs[2]][0]);
        else if (!strcmp(op, "Sigmoid"))
            r = 1 / (1 + exp(-a));
        else if (!strcmp(op, "Tanh"))
            r = tanh(a);
        else if (!strcmp(op, "HardSigmoid"))
            r = fmin(fmax(0.2 * a + 0.5, 0), 1);
        else if (!strcmp(op, "HardSwish"))
            r = a * fmin(fmax(a / 6 + 0.5, 0), 1);
        else if (!strcmp(op, "Gelu"))
            r = 0.5 * a * (1 + erf(a / sqrt(2)));
        else if (!strcmp(op, "Softplus"))
            r = log1p(exp(a));
        else if (!strcmp(op, "Abs"))
            r = fabs(a);
        else if (!strcmp(op, "Neg"))
            r = -a;
        else if (!strcmp(op, "Exp"))
            r = exp(a);
        else
            ck_abort_msg("no reference for %s", op);
        m->exact[y][k] = r;
    }
    return y;
}

uint32_t ref_binary(struct bench *m, const char *op, uint32_t a, uint32_t b, uint32_t like)
{
    struct he_node *node = node_begin(m, op, 14);
    const struct he_shape *shape = &m->values[like].shape;
    double p, q;
    uint32_t y;
    int64_t k;

    node_input(node, a);
    node_input(node, b);
    y = node_end(m, node, shape);
    for (k = 0; k < count_of(m, y); k++) {
        p = m->exact[a][spread_index(shape, &m->values[a].shape, k)];
        q = m->exact[b][spread_index(shape, &m->values[b].shape, k)];
        m->exact[y][k] = !strcmp(op, "Add")   ? p + q
                         : !strcmp(op, "Sub") ? p - q
                         : !strcmp(op, "Mul") ? p * q
                         : !strcmp(op, "Div") ? p / q
                         : !strcmp(op, "Max") ? fmax(p, q)
                                              : fmin(p, q);
    }
    return y;
}

uint32_t ref_conv(struct bench *m, const struct conv_case *t)
{
    struct he_node *node = node_begin(m, t->is_transposed ? "ConvTranspose" : "Conv", 11);
    int64_t dims[5], wdims[5], o, ic, og = t->o / t->groups, cg = t->c / t->groups;
    struct he_shape out;
    uint32_t x, w, y;
    double *px, *pw, *py;
    int64_t n, g, p[3], k[3], at[3], in_at, w_at, out_at, K[3] = {1, 1, 1}, I[3] = {1, 1, 1};
    int64_t O[3] = {1, 1, 1}, S[3] = {1, 1, 1}, D[3] = {1, 1, 1}, P[3] = {0, 0, 0};
    int d;

    out = shape_of(2, (int64_t[]){t->n, t->o});
    out.rank = 2 + (uint32_t)t->spatial;
    dims[0] = t->n;
    dims[1] = t->c;
    wdims[0] = t->is_transposed ? t->c : t->o;
    wdims[1] = t->is_transposed ? og : cg;
    for (d = 0; d < t->spatial; d++) {
        dims[2 + d] = I[d] = t->in[d];
        wdims[2 + d] = K[d] = t->kernel[d];
        S[d] = t->strides[d];
        D[d] = t->dilations[d];
        P[d] = t->pads[d];
        if (t->is_transposed)
            O[d] = (I[d] - 1) * S[d] + (K[d] - 1) * D[d] + 1 - P[d] - t->pads[t->spatial + d] +
                   t->extra[d];
        else
            O[d] = (I[d] + P[d] + t->pads[t->spatial + d] - (K[d] - 1) * D[d] - 1) / S[d] + 1;
        ck_assert_int_gt(O[d], 0);
        out.dims[2 + d] = O[d];
    }
    x = add_input(m, out.rank, dims);
    w = add_constant(m, -0.5f, 0.5f, out.rank, wdims);
    node_input(node, x);
    node_input(node, w);
    if (t->has_bias)
        node_input(node, add_constant(m, -1, 1, 1, &t->o));
    node_ints(m, node, "strides", t->strides, (size_t)t->spatial);
    node_ints(m, node, "dilations", t->dilations, (size_t)t->spatial);
    node_ints(m, node, "pads", t->pads, 2 * (size_t)t->spatial);
    node_int(node, "group", t->groups);
    if (t->is_transposed)
        node_ints(m, node, "output_padding", t->extra, (size_t)t->spatial);
    y = node_end(m, node, &out);
    px = m->exact[x];
    pw = m->exact[w];
    py = m->exact[y];
    for (out_at = 0; out_at < count_of(m, y); out_at++) {
        o = out_at / (O[0] * O[1] * O[2]) % t->o;
        py[out_at] = t->has_bias ? m->exact[node->inputs[2]][o] : 0;
    }
    /* One loop nest for both: a transposed convolution scatters what the other gathers. */
    for (n = 0; n < t->n; n++)
    for (g = 0; g < t->groups; g++)
    for (o = 0; o < og; o++)
    for (ic = 0; ic < cg; ic++)
    for (p[0] = 0; p[0] < (t->is_transposed ? I[0] : O[0]); p[0]++)
    for (p[1] = 0; p[1] < (t->is_transposed ? I[1] : O[1]); p[1]++)
    for (p[2] = 0; p[2] < (t->is_transposed ? I[2] : O[2]); p[2]++)
    for (k[0] = 0; k[0] < K[0]; k[0]++)
    for (k[1] = 0; k[1] < K[1]; k[1]++)
    for (k[2] = 0; k[2] < K[2]; k[2]++) {
        bool is_inside = true;
        for (d = 0; d < 3; d++) {
            at[d] = p[d] * S[d] + k[d] * D[d] - P[d];
            if (at[d] < 0 || at[d] >= (t->is_transposed ? O[d] : I[d]))
                is_inside = false;
        }
        if (!is_inside)
            continue;
        w_at = ((t->is_transposed ? (g * cg + ic) * og + o : (g * og + o) * cg + ic) * K[0] +
                k[0]) * K[1] * K[2] + k[1] * K[2] + k[2];
        if (t->is_transposed) {
            in_at = (((n * t->c + g * cg + ic) * I[0] + p[0]) * I[1] + p[1]) * I[2] + p[2];
            out_at = (((n * t->o + g * og + o) * O[0] + at[0]) * O[1] + at[1]) * O[2] + at[2];
        } else {
            in_at = (((n * t->c + g * cg + ic) * I[0] + at[0]) * I[1] + at[1]) * I[2] + at[2];
            out_at = (((n * t->o + g * og + o) * O[0] + p[0]) * O[1] + p[1]) * O[2] + p[2];
        }
        py[out_at] += px[in_at] * pw[w_at];
    }
    return y;
}

/* A x B over the last two dimensions; @a and @b as stored, perhaps transposed. */
void multiply(struct bench *m, uint32_t a, uint32_t b, uint32_t y, bool ta, bool tb,
              double alpha)
{
    const struct he_shape *as = &m->values[a].shape, *bs = &m->values[b].shape;
    const struct he_shape *ys = &m->values[y].shape;
    int64_t M = ys->dims[ys->rank - 2], N = ys->dims[ys->rank - 1];
    int64_t K = as->dims[as->rank - (ta ? 2 : 1)], batch, i, j, k, at = 0, pa, pb;
    struct he_shape yb = *ys, ab = *as, bb = *bs;
    double sum;

    yb.rank -= 2;
    ab.rank -= 2;
    bb.rank -= 2;
    for (batch = 0; batch < he_shape_count(&yb); batch++) {
        pa = spread_index(&yb, &ab, batch) * M * K;
        pb = spread_index(&yb, &bb, batch) * K * N;
        for (i = 0; i < M; i++) {
            for (j = 0; j < N; j++) {
                for (sum = 0, k = 0; k < K; k++)
                    sum += m->exact[a][pa + (ta ? k * M + i : i * K + k)] *
                           m->exact[b][pb + (tb ? j * K + k : k * N + j)];
                m->exact[y][at++] = alpha * sum;
            }
        }
    }
}
