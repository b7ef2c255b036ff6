/* SPDX-License-Identifier: Apache-2.0 */
/* Fourier transforms, and counting n-grams. */
#include <inttypes.h>
#include <math.h>

#include "ops/infer.h"

/* Signals end in an axis of 1 (real) or 2 (complex). axis: attribute until opset 19. */
static HE_INFER_RULE(infer_dft)
{
    bool one_sided = he_node_int(node, "onesided", 0) != 0;
    bool inverse = he_node_int(node, "inverse", 0) != 0;
    int64_t axis = node->opset < 20 ? he_node_int(node, "axis", 1) : -2, length;
    bool knows_axis = node->opset < 20 || !in[2] || he_infer_exact_scalar(in[2], &axis);
    struct he_shape shape = in[0]->shape;
    uint32_t at;
    he_status status = he_infer_want_rank(node, in[0], "the input", 2, HE_MAX_RANK);

    out[0]->dtype = in[0]->dtype;
    if (status != HE_OK || !he_has_rank(in[0]))
        return status;
    if (!knows_axis) {
        out[0]->shape = he_shape_of_rank(shape.rank);
        out[0]->shape.dims[shape.rank - 1] = one_sided && inverse ? 1 : 2;
        return HE_OK;
    }
    status = he_infer_axis(node, axis, shape.rank, &at);
    if (status != HE_OK)
        return status;
    if (at == shape.rank - 1)
        return he_infer_error(node, "the last axis of %s holds complex parts, no signal",
                              he_infer_text(in[0]).s);
    length = shape.dims[at];
    if (one_sided && inverse)
        length = length > 0 && length < INT64_MAX / 2 ? 2 * (length - 1) : HE_DIM_UNKNOWN;
    if (in[1]) {
        if (!he_infer_exact_scalar(in[1], &length))
            length = HE_DIM_UNKNOWN;
        else if (length < 1)
            return he_infer_error(node, "dft_length is %" PRId64, length);
    }
    if (one_sided && !inverse)
        length = length >= 0 ? length / 2 + 1 : HE_DIM_UNKNOWN;
    shape.dims[at] = length;
    shape.dims[shape.rank - 1] = one_sided && inverse ? 1 : 2;
    out[0]->shape = shape;
    return HE_OK;
}

/* signal [batch, length, 1 or 2], step, window [frame], frame -> [batch, frames, bins, 2] */
static HE_INFER_RULE(infer_stft)
{
    int64_t length = he_infer_dim(in[0], 1), frame = HE_DIM_UNKNOWN, step;
    int64_t frames = HE_DIM_UNKNOWN, bins = HE_DIM_UNKNOWN;
    he_status status = he_infer_want_rank(node, in[0], "the signal", 2, 3);

    if (status != HE_OK)
        return status;
    if (in[3]) {
        if (!he_infer_exact_scalar(in[3], &frame))
            frame = HE_DIM_UNKNOWN;
    } else {
        frame = in[2] ? he_infer_dim(in[2], 0) : length;
    }
    if (frame == 0 || frame < HE_DIM_UNKNOWN)
        frame = HE_DIM_UNKNOWN;
    if (frame > 0)
        bins = he_node_int(node, "onesided", 1) ? frame / 2 + 1 : frame;
    if (he_infer_exact_scalar(in[1], &step)) {
        if (step < 1)
            return he_infer_error(node, "frame_step is %" PRId64, step);
        if (length >= 0 && frame > 0) {
            if (frame > length)
                return he_infer_error(node, "a frame of %" PRId64 " is longer than the signal %s",
                                      frame, he_infer_text(in[0]).s);
            frames = (length - frame) / step + 1;
        }
    }
    he_infer_set_dims(out[0], in[0]->dtype, 4,
                      (const int64_t[]){ he_infer_dim(in[0], 0), frames, bins, 2 });
    return HE_OK;
}

/* [C] or [N, C] -> the same with one column per n-gram */
static HE_INFER_RULE(infer_tfidf)
{
    const int64_t *columns;
    size_t count = he_node_ints(node, "ngram_indexes", &columns);
    struct he_shape shape = in[0]->shape;
    int64_t last = -1;
    he_status status = he_infer_want_rank(node, in[0], "X", 0, 2);

    out[0]->dtype = HE_FLOAT32;
    if (status != HE_OK || !he_has_rank(in[0]))
        return status;
    for (size_t k = 0; k < count; k++) {
        if (columns[k] < 0 || columns[k] >= INT32_MAX)
            return he_infer_error(node, "ngram_indexes[%zu] is %" PRId64, k, columns[k]);
        last = columns[k] > last ? columns[k] : last;
    }
    if (shape.rank == 0)
        shape.rank = 1;
    shape.dims[shape.rank - 1] = last + 1;
    out[0]->shape = shape;
    return HE_OK;
}

/* 5 n log n, as transforms are counted. */
static HE_WORK_RULE(work_dft)
{
    double points = he_work_count(out[0], work) / 2;
    double length = 1;

    for (uint32_t k = 0; he_has_rank(out[0]) && k < out[0]->shape.rank; k++) {
        double dim = he_work_dim(out[0], k, work);

        length = dim > length ? dim : length;
    }
    work->flops = 5 * points * (1 + log2(length));
    work->is_estimate = true; /* which axis is not looked at */
}

static HE_WORK_RULE(work_tfidf)
{
    work->flops = 10 * he_work_count(in[0], work);
    work->is_estimate = true;
}

#define SIGNAL(op, rule, cost, least, most, ...)                                                   \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule, .work = cost, \
      .access = HE_ACCESS_REDUCE, .work_class = HE_WORK_REDUCTION, .split_axes = HE_SPLIT_NONE,    \
      .min_inputs = least, .max_inputs = most, .max_outputs = 1 }

static const struct he_op rows[] = {
    SIGNAL("DFT", infer_dft, work_dft, 1, 3, 17, 20),
    SIGNAL("STFT", infer_stft, work_dft, 2, 4, 17),
    SIGNAL("TfIdfVectorizer", infer_tfidf, work_tfidf, 1, 1, 9),
};

const struct he_op_table he_ops_signal = { rows, HE_COUNT(rows) };
