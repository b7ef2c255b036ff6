/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM, GRU, RNN: X [seq, batch, input], W [directions, gates * hidden, input],
 * R [directions, gates * hidden, hidden]. layout=1 puts the batch first.
 */
#include <inttypes.h>
#include <string.h>

#include "ops/infer.h"

struct cell {
    int64_t directions, gates, hidden; /* hidden may be unknown */
    bool batch_first;
};

static he_status read_cell(const struct he_node *node, const struct he_value *const *in,
                           struct cell *cell)
{
    const char *direction = he_node_string(node, "direction", "forward");
    int64_t layout = node->opset >= 14 ? he_node_int(node, "layout", 0) : 0;

    cell->gates = strcmp(node->op, "LSTM") == 0 ? 4 : strcmp(node->op, "GRU") == 0 ? 3 : 1;
    cell->batch_first = layout == 1;
    if (layout != 0 && layout != 1)
        return he_infer_error(node, "layout is %" PRId64, layout);
    if (strcmp(direction, "forward") == 0 || strcmp(direction, "reverse") == 0)
        cell->directions = 1;
    else if (strcmp(direction, "bidirectional") == 0)
        cell->directions = 2;
    else
        return he_infer_error(node, "direction \"%.40s\" is not known", direction);
    cell->hidden = he_infer_dim(in[2], 2);
    if (cell->hidden < 0)
        cell->hidden = HE_DIM_UNKNOWN;
    if (he_node_attr(node, "hidden_size")) {
        int64_t hidden = he_node_int(node, "hidden_size", -1);

        if (hidden < 1 || hidden > INT32_MAX || he_dim_conflict(hidden, cell->hidden))
            return he_infer_error(node, "hidden_size is %" PRId64 ", R is %s", hidden,
                                  he_infer_text(in[2]).s);
        cell->hidden = hidden;
    }
    return HE_OK;
}

/* W [directions, gates * hidden, input] against X, and R likewise. */
static he_status check_weights(const struct he_node *node, const struct cell *cell,
                               const struct he_value *const *in)
{
    int64_t rows = HE_DIM_UNKNOWN;

    if (!he_dim_mul(cell->gates, cell->hidden, &rows))
        return he_infer_error(node, "the hidden size overflows");
    for (int k = 1; k <= 2; k++) {
        if (he_dim_conflict(he_infer_dim(in[k], 0), cell->directions) ||
            he_dim_conflict(he_infer_dim(in[k], 1), rows))
            return he_infer_error(node, "%s is %s, [%" PRId64 ",%" PRId64 ",...] was expected",
                                  k == 1 ? "W" : "R", he_infer_text(in[k]).s, cell->directions,
                                  rows);
    }
    if (he_dim_conflict(he_infer_dim(in[0], 2), he_infer_dim(in[1], 2)))
        return he_infer_error(node, "input sizes differ: X is %s, W is %s", he_infer_text(in[0]).s,
                              he_infer_text(in[1]).s);
    return HE_OK;
}

static HE_INFER_RULE(infer_recurrent)
{
    struct cell cell;
    int64_t seq, batch;
    he_status status = read_cell(node, in, &cell);

    for (int k = 0; k < 3 && status == HE_OK; k++)
        status = he_infer_want_rank(node, in[k], k == 0 ? "X" : k == 1 ? "W" : "R", 3, 3);
    if (status == HE_OK)
        status = check_weights(node, &cell, in);
    if (status != HE_OK)
        return status;
    seq = he_infer_dim(in[0], cell.batch_first ? 1 : 0);
    batch = he_infer_dim(in[0], cell.batch_first ? 0 : 1);
    if (cell.batch_first) {
        he_infer_set_dims(out[0], in[0]->dtype, 4,
                          (const int64_t[]){ batch, seq, cell.directions, cell.hidden });
        he_infer_set_dims(out[1], in[0]->dtype, 3,
                          (const int64_t[]){ batch, cell.directions, cell.hidden });
    } else {
        he_infer_set_dims(out[0], in[0]->dtype, 4,
                          (const int64_t[]){ seq, cell.directions, batch, cell.hidden });
        he_infer_set_dims(out[1], in[0]->dtype, 3,
                          (const int64_t[]){ cell.directions, batch, cell.hidden });
    }
    he_infer_set(out[2], out[1]->dtype, &out[1]->shape); /* LSTM's cell state */
    return HE_OK;
}

/* Per step and direction two products with gates * hidden rows, then the gates. */
static HE_WORK_RULE(work_recurrent)
{
    struct cell cell;
    double steps, rows, hidden;

    if (read_cell(node, in, &cell) != HE_OK)
        return;
    hidden = cell.hidden < 0 ? 1 : (double)cell.hidden;
    work->is_estimate = work->is_estimate || cell.hidden < 0;
    steps = he_work_dim(in[0], 0, work) * he_work_dim(in[0], 1, work) * (double)cell.directions;
    rows = (double)cell.gates * hidden;
    work->flops = steps * (2 * rows * (he_work_dim(in[0], 2, work) + hidden) + 12 * rows);
}

#define CELL(op, most, outputs, ...)                                                               \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = infer_recurrent,    \
      .work = work_recurrent, .access = HE_ACCESS_SEQUENTIAL, .work_class = HE_WORK_RECURRENT,     \
      .split_axes = HE_SPLIT_NONE, .min_inputs = 3, .max_inputs = most, .max_outputs = outputs }

static const struct he_op rows[] = {
    CELL("GRU", 6, 2, 1, 3, 7, 14, 22),
    CELL("LSTM", 8, 3, 1, 7, 14, 22),
    CELL("RNN", 6, 2, 1, 7, 14, 22),
};

const struct he_op_table he_ops_recurrent = { rows, HE_COUNT(rows) };
