/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting, joining, padding, repeating, and moving blocks between axes. */
#include <inttypes.h>
#include <string.h>

#include "ops/infer.h"

/* --- Slice --- */

struct slice_spec {
    size_t count; /* of sliced axes */
    bool are_axes_known, are_steps_known;
    int64_t axes[HE_MAX_RANK], steps[HE_MAX_RANK];
    struct he_codes starts, ends;
    bool has_starts, has_ends;
};

static bool copy_list(const int64_t *list, size_t count, struct he_codes *out)
{
    if (count > HE_MAX_RANK)
        return false;
    out->is_literal = true;
    out->count = count;
    for (size_t k = 0; k < count; k++)
        out->v[k] = list[k];
    return true;
}

static he_status read_slice(const struct he_node *node, const struct he_value *const *in,
                            struct slice_spec *s)
{
    struct he_codes axes = { .count = 0 }, steps = { .count = 0 };
    bool has_axes = true, has_steps = true, want_axes, want_steps = false;

    memset(s, 0, sizeof *s);
    if (node->opset < 10) {
        const int64_t *starts, *ends, *list;
        size_t start_count = he_node_ints(node, "starts", &starts);
        size_t end_count = he_node_ints(node, "ends", &ends);
        size_t axis_count = he_node_ints(node, "axes", &list);

        want_axes = axis_count > 0;
        if (!copy_list(starts, start_count, &s->starts) || !copy_list(ends, end_count, &s->ends) ||
            !copy_list(list, axis_count, &axes))
            return he_infer_error(node, "starts, ends or axes are longer than %d", HE_MAX_RANK);
        s->has_starts = s->has_ends = true;
    } else {
        if (!in[1] || !in[2])
            return he_infer_error(node, "starts and ends must not be omitted");
        want_axes = in[3] != NULL;
        want_steps = in[4] != NULL;
        s->has_starts = he_infer_codes(in[1], &s->starts);
        s->has_ends = he_infer_codes(in[2], &s->ends);
        has_axes = !want_axes || he_infer_exact(in[3], &axes);
        has_steps = !want_steps || he_infer_exact(in[4], &steps);
    }
    s->count = s->has_starts ? s->starts.count : s->has_ends ? s->ends.count : HE_MAX_RANK + 1;
    if (s->count > HE_MAX_RANK && node->opset >= 10 && he_infer_length(in[1]) >= 0 &&
        he_infer_length(in[1]) <= HE_MAX_RANK)
        s->count = (size_t)he_infer_length(in[1]);
    if ((s->has_starts && s->starts.count != s->count) ||
        (s->has_ends && s->ends.count != s->count) ||
        (want_axes && has_axes && s->count <= HE_MAX_RANK && axes.count != s->count) ||
        (want_steps && has_steps && s->count <= HE_MAX_RANK && steps.count != s->count))
        return he_infer_error(node, "starts, ends, axes and steps have different lengths");
    s->are_axes_known = has_axes && s->count <= HE_MAX_RANK;
    s->are_steps_known = has_steps;
    for (size_t k = 0; k < s->count && k < HE_MAX_RANK; k++) {
        s->axes[k] = want_axes && has_axes ? axes.v[k] : (int64_t)k;
        s->steps[k] = want_steps && has_steps ? steps.v[k] : 1;
        if (s->steps[k] == 0)
            return he_infer_error(node, "steps[%zu] is 0", k);
    }
    return HE_OK;
}

/* First element and count of one axis of known size; both ends are clamped. */
static void slice_range(int64_t dim, int64_t start, int64_t end, int64_t step, int64_t *first,
                        int64_t *count)
{
    int64_t last = step > 0 ? dim : dim - 1, low = step > 0 ? 0 : -1;

    *first = *count = 0;
    if (dim == 0)
        return;
    start = start < -dim ? 0 : start < 0 ? start + dim : start > last ? last : start;
    end = end < -dim ? low : end < 0 ? end + dim : end > last ? last : end;
    *first = start;
    if (step > 0 && end > start)
        *count = (end - start - 1) / step + 1;
    else if (step < 0 && start > end) /* unsigned: INT64_MIN has no positive */
        *count = (int64_t)((uint64_t)(start - end - 1) / (0 - (uint64_t)step)) + 1;
}

/* An end that stands for "to the end of the axis"; exporters write this or more. */
#define ENDLESS 1000000000

/* An axis of unknown or symbolic size: kept whole by [0:huge] and [0:itself],
 * cut to a known size only where one end of the axis is certain. */
static int64_t slice_open(const struct slice_spec *s, size_t k, int64_t dim)
{
    int64_t start, end;
    bool knows_start = s->has_starts && he_codes_exact(&s->starts, k, &start);
    bool knows_end = s->has_ends && he_codes_exact(&s->ends, k, &end);

    if (!s->are_steps_known)
        return HE_DIM_UNKNOWN;
    if (s->steps[k] == -1 && knows_start && knows_end && (start == -1 || start >= ENDLESS) &&
        end <= -ENDLESS)
        return dim; /* reversed */
    if (s->steps[k] != 1)
        return HE_DIM_UNKNOWN;
    if (knows_start && start == 0) {
        if (knows_end && end >= ENDLESS)
            return dim;
        if (!knows_end && s->has_ends && !s->ends.is_literal && s->ends.v[k] == dim &&
            dim != HE_DIM_UNKNOWN)
            return dim;
    }
    if (knows_start && knows_end && start >= 0 && end >= 0 && end <= start)
        return 0;
    return HE_DIM_UNKNOWN;
}

static HE_INFER_RULE(infer_slice)
{
    struct slice_spec s;
    struct he_shape shape;
    struct he_codes codes;
    uint32_t seen = 0;
    int64_t first = 0, step = 1;
    bool is_exact = true; /* of the only axis of a list */
    he_status status = read_slice(node, in, &s);

    out[0]->dtype = in[0]->dtype;
    if (status != HE_OK || !he_has_rank(in[0]))
        return status;
    shape = in[0]->shape;
    if (!s.are_axes_known) {
        out[0]->shape = he_shape_of_rank(shape.rank);
        return HE_OK;
    }
    if (s.count > shape.rank)
        return he_infer_error(node, "%zu axes are sliced, the data is %s", s.count,
                              he_infer_text(in[0]).s);
    for (size_t k = 0; k < s.count; k++) {
        uint32_t axis;
        int64_t start, end, dim;

        status = he_infer_axis(node, s.axes[k], shape.rank, &axis);
        if (status != HE_OK)
            return status;
        if (seen & (1u << axis))
            return he_infer_error(node, "axis %u is sliced twice", axis);
        seen |= 1u << axis;
        dim = shape.dims[axis];
        if (dim >= 0 && s.are_steps_known && s.has_starts && s.has_ends &&
            he_codes_exact(&s.starts, k, &start) && he_codes_exact(&s.ends, k, &end)) {
            slice_range(dim, start, end, s.steps[k], &first, &shape.dims[axis]);
            step = s.steps[k];
        } else {
            shape.dims[axis] = slice_open(&s, k, dim);
            is_exact = false;
        }
    }
    he_infer_set(out[0], in[0]->dtype, &shape);
    if (is_exact && shape.rank == 1 && shape.dims[0] >= 0 && shape.dims[0] <= HE_MAX_RANK &&
        he_infer_codes(in[0], &codes)) {
        int64_t picked[HE_MAX_RANK];

        for (int64_t k = 0; k < shape.dims[0]; k++)
            picked[k] = he_codes_dim(&codes, (size_t)(first + k * step));
        he_infer_set_known(out[0], picked, (size_t)shape.dims[0]);
    }
    return HE_OK;
}

/* --- Concat and Split --- */

static HE_INFER_RULE(infer_concat)
{
    struct he_shape shape = he_shape_unknown();
    enum he_dtype dtype = HE_DTYPE_NONE;
    int64_t length = 0, codes[HE_MAX_RANK];
    size_t known = 0;
    bool all_known = true, is_open = false;
    uint32_t axis = 0;
    he_status status;

    if (node->opset >= 4 && !he_node_attr(node, "axis"))
        return he_infer_error(node, "attribute axis is missing");
    for (uint32_t k = 0; k < node->explicit_input_count; k++) {
        const struct he_value *part = in[k];
        struct he_shape rest;
        struct he_codes contents;

        if (!part)
            return he_infer_error(node, "input %u must not be omitted", k);
        if (dtype == HE_DTYPE_NONE)
            dtype = part->dtype;
        if (part->dtype != HE_DTYPE_NONE && part->dtype != dtype)
            return he_infer_error(node, "input %u is %s, those before it %s", k,
                                  he_dtype_name(part->dtype), he_dtype_name(dtype));
        if (!he_has_rank(part)) {
            is_open = true;
            all_known = false;
            continue;
        }
        status = he_infer_axis(node, he_node_int(node, "axis", 1), part->shape.rank, &axis);
        if (status != HE_OK)
            return status;
        if (!he_dim_add(length, part->shape.dims[axis], &length))
            return he_infer_error(node, "the joined size overflows");
        if (length == HE_DIM_UNKNOWN)
            is_open = true;
        rest = part->shape;
        rest.dims[axis] = HE_DIM_UNKNOWN;
        if (!he_shape_merge(&shape, &rest))
            return he_infer_error(node, "input %u is %s, those before it are %s", k,
                                  he_infer_text(part).s, he_infer_shape_text(&shape).s);
        if (all_known && part->shape.rank == 1 && he_infer_codes(part, &contents) &&
            known + contents.count <= HE_MAX_RANK) {
            for (size_t j = 0; j < contents.count; j++)
                codes[known++] = he_codes_dim(&contents, j);
        } else {
            all_known = false;
        }
    }
    if (shape.rank != HE_RANK_UNKNOWN)
        shape.dims[axis] = is_open ? HE_DIM_UNKNOWN : length;
    he_infer_set(out[0], dtype, &shape);
    if (all_known)
        he_infer_set_known(out[0], codes, known);
    return HE_OK;
}

/* Sizes come from the attribute (until opset 12), from input 1, or are equal parts. */
static HE_INFER_RULE(infer_split)
{
    const int64_t *list;
    size_t count = 0;
    struct he_codes sizes = { .count = 0 }, contents;
    bool has_sizes = false, is_open = false;
    int64_t parts = node->output_count, total = 0, dim, used = 0;
    uint32_t axis;
    he_status status;

    for (uint32_t k = 0; k < node->output_count; k++) {
        if (out[k])
            out[k]->dtype = in[0]->dtype;
    }
    if (!he_has_rank(in[0]))
        return HE_OK;
    status = he_infer_axis(node, he_node_int(node, "axis", 0), in[0]->shape.rank, &axis);
    if (status != HE_OK)
        return status;
    dim = in[0]->shape.dims[axis];
    if (node->opset < 13) {
        count = he_node_ints(node, "split", &list);
        has_sizes = count > 0;
    }
    if ((node->opset >= 13 || node->opset == 1) && in[1]) {
        has_sizes = is_open = true;
        if (he_infer_codes(in[1], &sizes)) {
            is_open = false;
            list = sizes.v;
            count = sizes.count;
        }
    }
    if (has_sizes && !is_open && count != node->output_count)
        return he_infer_error(node, "%zu sizes for %u outputs", count, node->output_count);
    if (!has_sizes && node->opset >= 18) {
        parts = he_node_int(node, "num_outputs", parts);
        if (parts < (int64_t)node->output_count || parts < 1)
            return he_infer_error(node, "num_outputs is %" PRId64 ", but there are %u", parts,
                                  node->output_count);
    }
    for (uint32_t k = 0; k < node->output_count; k++) {
        struct he_shape shape = in[0]->shape;
        int64_t size = HE_DIM_UNKNOWN;

        if (has_sizes && !is_open) {
            bool is_literal = count != sizes.count || sizes.is_literal;

            size = list[k];
            if (size < 0 && is_literal)
                return he_infer_error(node, "size %u is %" PRId64, k, size);
            if (size < 0)
                total = HE_DIM_UNKNOWN;
            else if (total >= 0 && __builtin_add_overflow(total, size, &total))
                return he_infer_error(node, "the sizes overflow");
        } else if (!has_sizes && dim >= 0) {
            int64_t chunk = dim / parts + (dim % parts != 0);

            if (node->opset < 18 && dim % parts != 0)
                return he_infer_error(node, "axis %u of %s does not divide into %" PRId64
                                            " equal parts",
                                      axis, he_infer_text(in[0]).s, parts);
            /* Since opset 18 the last part may be smaller. */
            size = dim - used < chunk ? dim - used : chunk;
            used += size;
        } else if (!has_sizes && parts == 1) {
            size = dim;
        }
        shape.dims[axis] = size;
        if (!out[k])
            continue;
        he_infer_set(out[k], in[0]->dtype, &shape);
        if (shape.rank == 1 && size >= 0 && he_infer_codes(in[0], &contents)) {
            int64_t picked[HE_MAX_RANK];
            int64_t first = has_sizes ? total - size : used - size;

            for (int64_t j = 0; total >= 0 && j < size && first + j < (int64_t)contents.count; j++)
                picked[j] = he_codes_dim(&contents, (size_t)(first + j));
            if (total >= 0 && first + size <= (int64_t)contents.count)
                he_infer_set_known(out[k], picked, (size_t)size);
        }
    }
    if (has_sizes && !is_open && total >= 0 && dim >= 0 && total != dim)
        return he_infer_error(node, "the sizes add up to %" PRId64 ", axis %u of %s does not",
                              total, axis, he_infer_text(in[0]).s);
    return HE_OK;
}

/* --- Pad, Tile, CenterCropPad --- */

static HE_INFER_RULE(infer_pad)
{
    const int64_t *list = NULL;
    size_t count = 0;
    struct he_codes pads, axes;
    int64_t wide[2 * HE_MAX_RANK]; /* pads may be more than he_codes has room for */
    struct he_shape shape;
    uint32_t rank = in[0]->shape.rank;
    he_status status;

    out[0]->dtype = in[0]->dtype;
    if (!he_has_rank(in[0]))
        return HE_OK;
    if (node->opset >= 11) {
        if (!in[1])
            return he_infer_error(node, "input 1 (pads) must not be omitted");
        if (he_value_read_ints(in[1], NULL, 0, &count) && count > 2 * (size_t)rank)
            return he_infer_error(node, "%zu pads, the data is %s", count,
                                  he_infer_text(in[0]).s);
    } else {
        count = he_node_ints(node, node->opset == 1 ? "paddings" : "pads", &list);
    }
    shape = he_shape_of_rank(rank);
    axes.count = rank;
    for (uint32_t k = 0; k < rank; k++)
        axes.v[k] = k;
    if (node->opset >= 18 && in[3] && !he_infer_exact(in[3], &axes)) {
        out[0]->shape = shape;
        return HE_OK;
    }
    if (node->opset >= 11) {
        if (he_infer_exact(in[1], &pads)) {
            list = pads.v;
            count = pads.count;
        } else if (he_value_read_ints(in[1], wide, 2 * HE_MAX_RANK, &count)) {
            list = wide;
        } else {
            out[0]->shape = shape;
            return HE_OK;
        }
    }
    if (count != 2 * axes.count)
        return he_infer_error(node, "%zu pads for %zu axes of %s", count, axes.count,
                              he_infer_text(in[0]).s);
    shape = in[0]->shape;
    for (size_t k = 0; k < axes.count; k++) {
        int64_t begin = list[k], end = list[axes.count + k], both, dim;
        uint32_t axis;

        status = he_infer_axis(node, axes.v[k], rank, &axis);
        if (status != HE_OK)
            return status;
        dim = shape.dims[axis];
        if (__builtin_add_overflow(begin, end, &both))
            return he_infer_error(node, "pads of axis %u overflow", axis);
        if (both == 0)
            continue;
        if (dim < 0) {
            shape.dims[axis] = HE_DIM_UNKNOWN;
            continue;
        }
        if (__builtin_add_overflow(dim, both, &dim) || dim < 0)
            return he_infer_error(node, "pads %" PRId64 " and %" PRId64 " do not fit axis %u of %s",
                                  begin, end, axis, he_infer_text(in[0]).s);
        shape.dims[axis] = dim;
    }
    he_infer_set(out[0], in[0]->dtype, &shape);
    return HE_OK;
}

static HE_INFER_RULE(infer_tile)
{
    struct he_codes repeats;
    struct he_shape shape = in[0]->shape;
    uint32_t rank = in[0]->shape.rank;

    out[0]->dtype = in[0]->dtype;
    if (!he_has_rank(in[0]))
        return HE_OK;
    if (node->opset < 6) { /* tiles and axis, both scalars */
        int64_t tiles, axis;
        uint32_t at;

        if (!he_infer_exact_scalar(in[1], &tiles) || !he_infer_exact_scalar(in[2], &axis)) {
            out[0]->shape = he_shape_of_rank(rank);
            return HE_OK;
        }
        if (he_infer_axis(node, axis, rank, &at) != HE_OK)
            return HE_ERR_SHAPE;
        if (tiles < 0 || !he_dim_mul(shape.dims[at], tiles, &shape.dims[at]))
            return he_infer_error(node, "%s cannot be repeated %" PRId64 " times",
                                  he_infer_text(in[0]).s, tiles);
        out[0]->shape = shape;
        return HE_OK;
    }
    if (he_infer_length(in[1]) >= 0 && he_infer_length(in[1]) != (int64_t)rank)
        return he_infer_error(node, "%" PRId64 " repeats for %s", he_infer_length(in[1]),
                              he_infer_text(in[0]).s);
    if (!he_infer_codes(in[1], &repeats)) {
        out[0]->shape = he_shape_of_rank(rank);
        return HE_OK;
    }
    for (uint32_t k = 0; k < rank; k++) {
        if ((repeats.is_literal && repeats.v[k] < 0) ||
            !he_dim_mul(shape.dims[k], he_codes_dim(&repeats, k), &shape.dims[k]))
            return he_infer_error(node, "%s cannot be repeated %" PRId64 " times on axis %u",
                                  he_infer_text(in[0]).s, repeats.v[k], k);
    }
    he_infer_set(out[0], in[0]->dtype, &shape);
    return HE_OK;
}

static HE_INFER_RULE(infer_center_crop_pad)
{
    const int64_t *axes;
    size_t count = he_node_ints(node, "axes", &axes);
    struct he_codes wanted;
    struct he_shape shape = in[0]->shape;

    out[0]->dtype = in[0]->dtype;
    if (!he_has_rank(in[0]))
        return HE_OK;
    if (!he_infer_codes(in[1], &wanted)) {
        out[0]->shape = he_shape_of_rank(shape.rank);
        return HE_OK;
    }
    if (!he_node_attr(node, "axes"))
        count = shape.rank;
    if (wanted.count != count)
        return he_infer_error(node, "%zu sizes for %zu axes", wanted.count, count);
    for (size_t k = 0; k < count; k++) {
        uint32_t axis;
        he_status status = he_infer_axis(node, axes ? axes[k] : (int64_t)k, shape.rank, &axis);

        if (status != HE_OK)
            return status;
        shape.dims[axis] = he_codes_dim(&wanted, k);
    }
    he_infer_set(out[0], in[0]->dtype, &shape);
    return HE_OK;
}

/* --- Blocks --- */

static he_status block_shape(const struct he_node *node, const struct he_value *x, bool to_space,
                             struct he_shape *out)
{
    int64_t block = he_node_int(node, "blocksize", 0), area;
    he_status status = he_infer_want_rank(node, x, "the input", 4, 4);

    *out = he_shape_of_rank(4);
    if (status != HE_OK)
        return status;
    if (block < 1 || block > INT32_MAX)
        return he_infer_error(node, "blocksize is %" PRId64, block);
    if (!he_has_rank(x))
        return HE_OK;
    *out = x->shape;
    if (block == 1)
        return HE_OK;
    area = block * block;
    for (uint32_t k = 1; k < 4; k++) {
        int64_t factor = k == 1 ? area : block, dim = x->shape.dims[k];
        bool grows = (k == 1) != to_space;

        if (dim < 0) {
            out->dims[k] = HE_DIM_UNKNOWN;
        } else if (grows) {
            if (!he_dim_mul(dim, factor, &out->dims[k]))
                return he_infer_error(node, "the output of %s overflows", he_infer_text(x).s);
        } else {
            if (dim % factor != 0)
                return he_infer_error(node, "axis %u of %s does not divide by %" PRId64, k,
                                      he_infer_text(x).s, factor);
            out->dims[k] = dim / factor;
        }
    }
    return HE_OK;
}

static HE_INFER_RULE(infer_depth_to_space)
{
    struct he_shape shape;
    he_status status = block_shape(node, in[0], true, &shape);

    if (status == HE_OK)
        he_infer_set(out[0], in[0]->dtype, &shape);
    return status;
}

static HE_INFER_RULE(infer_space_to_depth)
{
    struct he_shape shape;
    he_status status = block_shape(node, in[0], false, &shape);

    if (status == HE_OK)
        he_infer_set(out[0], in[0]->dtype, &shape);
    return status;
}

static HE_INFER_RULE(infer_trilu)
{
    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    return he_infer_want_rank(node, in[0], "the input", 2, HE_MAX_RANK);
}

static HE_INFER_RULE(infer_reverse_sequence)
{
    he_infer_set(out[0], in[0]->dtype, &in[0]->shape);
    return he_infer_want_rank(node, in[0], "the input", 2, HE_MAX_RANK);
}

/* Concat on the channels joins whole pixels, so a channels-last kernel makes sense. */
#define MOVE(op, rule, cost, axes, more_flags, least, most, outputs, ...)                          \
    { .name = op, .domain = "", .versions = HE_VERSIONS(__VA_ARGS__), .infer = rule, .work = cost, \
      .access = HE_ACCESS_MOVE, .work_class = HE_WORK_MOVE, .split_axes = axes,                    \
      .flags = more_flags, .min_inputs = least, .max_inputs = most, .max_outputs = outputs }

static const struct he_op rows[] = {
    MOVE("CenterCropPad", infer_center_crop_pad, he_work_move, HE_SPLIT_OTHER_AXES, 0, 2, 2, 1,
         18),
    MOVE("Concat", infer_concat, NULL, HE_SPLIT_OTHER_AXES, HE_OP_CHANNELS_LAST, 1, 255, 1, 1, 4,
         11, 13),
    MOVE("DepthToSpace", infer_depth_to_space, NULL, HE_SPLIT_BATCH, 0, 1, 1, 1, 1, 11, 13, 28),
    MOVE("Pad", infer_pad, he_work_move, HE_SPLIT_OTHER_AXES, 0, 1, 4, 1, 1, 2, 11, 13, 18, 19, 21,
         23, 24, 25),
    MOVE("ReverseSequence", infer_reverse_sequence, NULL, HE_SPLIT_NONE, 0, 2, 2, 1, 10, 28),
    MOVE("Slice", infer_slice, he_work_move, HE_SPLIT_OTHER_AXES, 0, 1, 5, 1, 1, 10, 11, 13),
    MOVE("SpaceToDepth", infer_space_to_depth, NULL, HE_SPLIT_BATCH, 0, 1, 1, 1, 1, 13, 28),
    MOVE("Split", infer_split, NULL, HE_SPLIT_OTHER_AXES, 0, 1, 2, 255, 1, 2, 11, 13, 18),
    MOVE("Tile", infer_tile, NULL, HE_SPLIT_OTHER_AXES, 0, 2, 3, 1, 1, 6, 13),
    MOVE("Trilu", infer_trilu, NULL, HE_SPLIT_OTHER_AXES, 0, 1, 2, 1, 14),
};

const struct he_op_table he_ops_slice = { rows, HE_COUNT(rows) };
