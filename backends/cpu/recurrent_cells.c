/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step of an RNN, GRU or LSTM. The hidden units are cut among the threads: a thread multiplies
 * the rows of R that belong to its units with the whole old state, then does everything else for
 * its own units, so that a step needs one meeting of the threads (a GRU that resets first: two).
 */
#include "recurrent.h"

#include <string.h>

#include "half.h"

/* --- Rows of R times h --- */

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
typedef float lanes8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float lanes4 __attribute__((vector_size(16), aligned(4), may_alias));
#define LANES 16

CPU_INLINE float sum_lanes(const lanes *v)
{
    const lanes8 *half = (const lanes8 *)v;
    lanes8 eight = half[0] + half[1];
    const lanes4 *quarter = (const lanes4 *)&eight;
    lanes4 four = quarter[0] + quarter[1];

    return (four[0] + four[1]) + (four[2] + four[3]);
}

/* out[k] += row k of @r (@n long, @count rows) times @h; four rows at a time share the loads of h. */
CPU_VECTOR static void add_products(float *restrict out, const float *restrict r, int64_t count,
                                    const float *restrict h, int64_t n)
{
    int64_t k, i;

    for (k = 0; k + 4 <= count; k += 4, r += 4 * n) {
        lanes a = {0}, b = {0}, c = {0}, d = {0};
        float ra = 0, rb = 0, rc = 0, rd = 0;

        for (i = 0; n - i >= LANES; i += LANES) {
            lanes v = *(const lanes *)(h + i);

            a += *(const lanes *)(r + i) * v;
            b += *(const lanes *)(r + n + i) * v;
            c += *(const lanes *)(r + 2 * n + i) * v;
            d += *(const lanes *)(r + 3 * n + i) * v;
        }
        for (; i < n; i++) {
            ra += r[i] * h[i];
            rb += r[n + i] * h[i];
            rc += r[2 * n + i] * h[i];
            rd += r[3 * n + i] * h[i];
        }
        out[k] += ra + sum_lanes(&a);
        out[k + 1] += rb + sum_lanes(&b);
        out[k + 2] += rc + sum_lanes(&c);
        out[k + 3] += rd + sum_lanes(&d);
    }
    for (; k < count; k++, r += n) {
        lanes a = {0};
        float rest = 0;

        for (i = 0; n - i >= LANES; i += LANES)
            a += *(const lanes *)(r + i) * *(const lanes *)(h + i);
        for (; i < n; i++)
            rest += r[i] * h[i];
        out[k] += rest + sum_lanes(&a);
    }
}

/* Rows of R that stay in the first-level cache while the batch passes over them. */
#define ROW_CHUNK 16

static void products(const struct cell *cell, const float *h, int64_t h_step, float *out,
                     int64_t out_step, int64_t gate, int64_t begin, int64_t end)
{
    const float *r = cell->r + gate * cell->hidden * cell->hidden;
    int64_t j, n, b;

    for (j = begin; j < end; j += n) {
        n = cell->batch == 1 ? end - j : end - j < ROW_CHUNK ? end - j : ROW_CHUNK;
        for (b = 0; b < cell->batch; b++) {
            if (cell->x_rows[b])
                add_products(out + b * out_step + j, r + j * cell->hidden, n, h + b * h_step,
                             cell->hidden);
        }
    }
}

/* --- Pieces of a cell --- */

/* sums = x row + bias, units [begin, end) of gates [first, last). */
static void load_sums(const struct cell *cell, int64_t first, int64_t last, int64_t begin,
                      int64_t end)
{
    int64_t b, g, j, at;

    for (b = 0; b < cell->batch; b++) {
        float *sums = cell->sums + b * cell->gates * cell->hidden;
        const float *x = cell->x_rows[b];

        for (g = first; x && g < last; g++) {
            at = g * cell->hidden;
            for (j = at + begin; j < at + end; j++)
                sums[j] = x[j] + (cell->bias ? cell->bias[j] : 0.0f);
        }
    }
}

static void clip(const struct cell *cell, float *x, int64_t n)
{
    float params[4] = {-cell->clip, cell->clip};

    if (cell->clip > 0.0f)
        cpu_clip_f32(x, x, n, params);
}

static void activate(const struct cell *cell, int which, float *x, int64_t n)
{
    const struct activation *f = &cell->activations[which];

    clip(cell, x, n);
    f->fn(x, x, n, f->params);
}

/* x += p * c */
CPU_VECTOR static void add_product(float *restrict x, const float *restrict p,
                                   const float *restrict c, int64_t n)
{
    int64_t j;

    for (j = 0; j < n; j++)
        x[j] += p[j] * c[j];
}

/* --- RNN --- */

static void rnn_part(void *arg, int64_t begin, int64_t end)
{
    const struct cell *cell = arg;
    int64_t b, hidden = cell->hidden, n = end - begin;

    load_sums(cell, 0, 1, begin, end);
    products(cell, cell->h, hidden, cell->sums, hidden, 0, begin, end);
    for (b = 0; b < cell->batch; b++) {
        float *sums = cell->sums + b * hidden + begin, *h = cell->h_next + b * hidden + begin;

        if (!cell->x_rows[b]) {
            memcpy(h, cell->h + b * hidden + begin, (size_t)n * sizeof *h);
            continue;
        }
        activate(cell, 0, sums, n);
        memcpy(h, sums, (size_t)n * sizeof *h);
    }
}

/* --- GRU: gates z, r, h --- */

CPU_VECTOR static void gru_blend(float *restrict out, const float *restrict z,
                                 const float *restrict candidate, const float *restrict h,
                                 int64_t n)
{
    int64_t j;

    for (j = 0; j < n; j++)
        out[j] = (1.0f - z[j]) * candidate[j] + z[j] * h[j];
}

static void gru_finish(const struct cell *cell, int64_t b, int64_t begin, int64_t end)
{
    int64_t hidden = cell->hidden, n = end - begin;
    float *sums = cell->sums + b * 3 * hidden + begin;

    activate(cell, 1, sums + 2 * hidden, n);
    gru_blend(cell->h_next + b * hidden + begin, sums, sums + 2 * hidden,
              cell->h + b * hidden + begin, n);
}

/* z and r; then, when the reset comes after the product, the candidate too. */
static void gru_gates(void *arg, int64_t begin, int64_t end)
{
    const struct cell *cell = arg;
    int64_t b, j, hidden = cell->hidden, n = end - begin;

    load_sums(cell, 0, 3, begin, end);
    products(cell, cell->h, hidden, cell->sums, 3 * hidden, 0, begin, end);
    products(cell, cell->h, hidden, cell->sums + hidden, 3 * hidden, 1, begin, end);
    if (cell->linear_before_reset) {
        for (b = 0; b < cell->batch; b++) {
            for (j = begin; j < end; j++)
                cell->extra[b * hidden + j] = cell->hidden_bias ? cell->hidden_bias[j] : 0.0f;
        }
        products(cell, cell->h, hidden, cell->extra, hidden, 2, begin, end);
    }
    for (b = 0; b < cell->batch; b++) {
        float *sums = cell->sums + b * 3 * hidden + begin;
        const float *h = cell->h + b * hidden + begin;
        float *extra = cell->extra + b * hidden + begin;

        if (!cell->x_rows[b]) {
            memcpy(cell->h_next + b * hidden + begin, h, (size_t)n * sizeof *h);
            continue;
        }
        activate(cell, 0, sums, n);
        activate(cell, 0, sums + hidden, n);
        if (cell->linear_before_reset) {
            add_product(sums + 2 * hidden, sums + hidden, extra, n);
            gru_finish(cell, b, begin, end);
        } else {
            for (j = 0; j < n; j++)
                extra[j] = sums[hidden + j] * h[j];
        }
    }
}

static void gru_candidate(void *arg, int64_t begin, int64_t end)
{
    const struct cell *cell = arg;
    int64_t b, hidden = cell->hidden;

    products(cell, cell->extra, hidden, cell->sums + 2 * hidden, 3 * hidden, 2, begin, end);
    for (b = 0; b < cell->batch; b++) {
        if (cell->x_rows[b])
            gru_finish(cell, b, begin, end);
    }
}

/* --- LSTM: gates i, o, f, c --- */

CPU_VECTOR static void lstm_blend(float *restrict c, const float *restrict i,
                                  const float *restrict f, const float *restrict candidate,
                                  int64_t n)
{
    int64_t j;

    for (j = 0; j < n; j++)
        c[j] = f[j] * c[j] + i[j] * candidate[j];
}

static void lstm_part(void *arg, int64_t begin, int64_t end)
{
    const struct cell *cell = arg;
    int64_t b, g, j, hidden = cell->hidden, n = end - begin;
    const float *peephole = cell->peephole ? cell->peephole + begin : NULL;
    const struct activation *last = &cell->activations[2];

    load_sums(cell, 0, 4, begin, end);
    for (g = 0; g < 4; g++)
        products(cell, cell->h, hidden, cell->sums + g * hidden, 4 * hidden, g, begin, end);
    for (b = 0; b < cell->batch; b++) {
        float *i = cell->sums + b * 4 * hidden + begin, *o = i + hidden, *f = o + hidden;
        float *candidate = f + hidden, *c = cell->c + b * hidden + begin;
        float *h = cell->h_next + b * hidden + begin;

        if (!cell->x_rows[b]) {
            memcpy(h, cell->h + b * hidden + begin, (size_t)n * sizeof *h);
            continue;
        }
        if (peephole) {
            add_product(i, peephole, c, n);
            add_product(f, peephole + 2 * hidden, c, n);
        }
        activate(cell, 0, i, n);
        if (cell->input_forget) {
            for (j = 0; j < n; j++)
                f[j] = 1.0f - i[j];
        } else {
            activate(cell, 0, f, n);
        }
        activate(cell, 1, candidate, n);
        lstm_blend(c, i, f, candidate, n);
        if (peephole)
            add_product(o, peephole + hidden, c, n);
        activate(cell, 0, o, n);
        last->fn(h, c, n, last->params);
        for (j = 0; j < n; j++)
            h[j] *= o[j];
    }
}

void cell_step(struct cell *cell, struct cpu_team *team)
{
    /* Multiplications a thread should at least get, as hidden units. */
    int64_t grain = 65536 / (cell->gates * cell->hidden * cell->batch + 1) + 1;

    if (cell->kind == CELL_RNN) {
        cpu_parallel(team, cell->hidden, grain, rnn_part, cell);
    } else if (cell->kind == CELL_LSTM) {
        cpu_parallel(team, cell->hidden, grain, lstm_part, cell);
    } else {
        cpu_parallel(team, cell->hidden, grain, gru_gates, cell);
        if (!cell->linear_before_reset)
            cpu_parallel(team, cell->hidden, grain, gru_candidate, cell);
    }
}
