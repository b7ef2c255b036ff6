/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels_recurrent.c (sequence, directions, operands) and recurrent_cells.c (one step) share. */
#ifndef CPU_RECURRENT_H
#define CPU_RECURRENT_H

#include "pointwise.h"

enum cell_kind { CELL_RNN, CELL_GRU, CELL_LSTM };

struct activation {
    cpu_map_fn fn;
    float params[4]; /* alpha and beta first */
};

/* One direction while it runs. Rows of gates are [batch][gate][hidden]. */
struct cell {
    enum cell_kind kind;
    int64_t batch, input, hidden, gates; /* gates: 1, 3 (z r h) or 4 (i o f c) */
    const float *r;                      /* [gates * hidden][hidden] */
    const float *bias;                   /* [gates * hidden], both biases added; NULL: none */
    const float *hidden_bias; /* GRU, linear_before_reset: what is added before the reset gate */
    const float *peephole;    /* LSTM: [3 * hidden] for i, o, f; NULL: none */
    float clip;               /* 0: none */
    bool linear_before_reset, input_forget;
    struct activation activations[3];
    /* State and room. */
    float *h, *h_next; /* [batch][hidden] */
    float *c;          /* LSTM */
    float *sums;       /* [batch][gates * hidden]: the arguments of the activations */
    float *extra;      /* GRU: [batch][hidden] */
    /* For this step: the row of X * W of each batch entry, NULL for one that has ended. */
    const float **x_rows;
};

/* Advances every batch entry that has not ended: h_next (and c) from h. */
void cell_step(struct cell *cell, struct cpu_team *team);

#endif
