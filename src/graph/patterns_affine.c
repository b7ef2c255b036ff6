/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Per-channel y = x * scale + shift, however it is written: BatchNormalization as it
 * is when not training, Mul, Add, Sub, Div with a constant scalar or vector.
 *
 *   behind Conv, ConvTranspose, Gemm   a run of them goes into weights and bias
 *   in front of a Conv without padding the same, where the Conv is the only reader
 *   anywhere else                      a run of them becomes one Mul and one Add
 *
 * New weights are computed in double and rounded once.
 */
#include "graph/rewrite.h"

#include <math.h>
#include <string.h>

#include "core/size.h"

/* A run of affine nodes, as one. */
struct affine {
    uint32_t channels;
    double *scale, *shift; /* per channel */
    uint32_t input;        /* the value the run starts from */
    uint32_t nodes[16];    /* in order */
    uint32_t node_count;
    bool has_scale, has_shift;
};

static bool is_float_constant(const struct he_value *value)
{
    return value && value->data && value->dtype == HE_FLOAT32;
}

/* One number per channel, or one for all, of a constant that broadcasts to a result of
 * @rank with its channels in dimension @axis. False when it varies in another way. */
static bool read_channels(const struct he_value *value, uint32_t rank, uint32_t axis,
                          uint32_t channels, double *out)
{
    int64_t count;

    if (!is_float_constant(value) || value->shape.rank > rank)
        return false;
    count = he_shape_count(&value->shape);
    if (count != 1 && count != channels)
        return false;
    for (uint32_t d = 0; count != 1 && d < value->shape.rank; d++)
        if (value->shape.dims[d] != 1 && rank - value->shape.rank + d != axis)
            return false;
    for (uint32_t c = 0; c < channels; c++)
        out[c] = he_constant_float(value, count == 1 ? 0 : c);
    return true;
}

static bool is_inference_norm(const struct he_node *node)
{
    if (!he_node_is(node, "BatchNormalization") || node->input_count != 5)
        return false;
    for (uint32_t k = 1; k < node->output_count; k++)
        if (he_node_has_output(node, k))
            return false;
    if (node->opset >= 14)
        return he_node_int(node, "training_mode", 0) == 0;
    /* Before opset 9, spatial = 0 meant statistics per element. */
    if (node->opset < 9 && he_node_int(node, "spatial", 1) != 1)
        return false;
    return node->opset >= 7 || he_node_int(node, "is_test", 0) == 1;
}

static bool read_norm(const struct he_graph *graph, const struct he_node *node, uint32_t channels,
                      double *scale, double *shift)
{
    double epsilon = he_node_float(node, "epsilon", 1e-5f);

    for (uint32_t k = 1; k < 5; k++) {
        const struct he_value *value = he_node_input(graph, node, k);

        if (!is_float_constant(value) || he_shape_count(&value->shape) != channels)
            return false;
    }
    for (uint32_t c = 0; c < channels; c++) {
        double gamma = he_constant_float(he_node_input(graph, node, 1), c);
        double beta = he_constant_float(he_node_input(graph, node, 2), c);
        double mean = he_constant_float(he_node_input(graph, node, 3), c);
        double variance = he_constant_float(he_node_input(graph, node, 4), c);

        scale[c] = gamma / sqrt(variance + epsilon);
        shift[c] = beta - mean * scale[c];
    }
    return true;
}

/* Reads node @n, which takes @value, as an affine step; @scale and @shift have room. Its
 * output has the shape of @value, known or not: the constant is 1 wide but for channels. */
static bool read_step(const struct he_graph *graph, uint32_t n, uint32_t value, uint32_t axis,
                      uint32_t channels, double *scale, double *shift)
{
    const struct he_node *node = &graph->nodes[n];
    const struct he_shape *shape = &graph->values[value].shape;
    uint32_t slot, constant;

    if (!he_node_has_output(node, 0) || graph->values[node->outputs[0]].dtype != HE_FLOAT32)
        return false;
    if (is_inference_norm(node))
        return axis == 1 && node->inputs[0] == value &&
               read_norm(graph, node, channels, scale, shift);
    if (node->input_count != 2 || node->inputs[0] == node->inputs[1])
        return false;
    slot = node->inputs[0] == value ? 0 : 1;
    constant = node->inputs[1 - slot];
    if (constant == HE_NONE)
        return false;
    if (he_node_is(node, "Mul") || (he_node_is(node, "Div") && slot == 0)) {
        if (!read_channels(&graph->values[constant], shape->rank, axis, channels, scale))
            return false;
        for (uint32_t c = 0; c < channels; c++) {
            scale[c] = *node->op == 'D' ? 1.0 / scale[c] : scale[c];
            shift[c] = 0;
        }
        return true;
    }
    if (he_node_is(node, "Add") || he_node_is(node, "Sub")) {
        bool is_sub = *node->op == 'S';

        if (!read_channels(&graph->values[constant], shape->rank, axis, channels, shift))
            return false;
        for (uint32_t c = 0; c < channels; c++) {
            scale[c] = is_sub && slot == 1 ? -1 : 1;
            shift[c] = is_sub && slot == 0 ? -shift[c] : shift[c];
        }
        return true;
    }
    return false;
}

/* Where the channels of what @node makes lie; false when they cannot be told. */
static bool channels_of(const struct he_value *value, uint32_t axis, uint32_t *channels)
{
    if (value->dtype != HE_FLOAT32 || value->shape.rank == HE_RANK_UNKNOWN ||
        axis >= value->shape.rank || value->shape.dims[axis] < 1 ||
        value->shape.dims[axis] > INT32_MAX)
        return false;
    *channels = (uint32_t)value->shape.dims[axis];
    return true;
}

static he_status affine_alloc(struct affine *run, struct he_arena *scratch, double **step)
{
    run->scale = he_arena_alloc(scratch, run->channels, 2 * sizeof *run->scale);
    *step = he_arena_alloc(scratch, run->channels, 2 * sizeof **step);
    if (!run->scale || !*step)
        return he_no_memory();
    run->shift = run->scale + run->channels;
    for (uint32_t c = 0; c < run->channels; c++)
        run->scale[c] = 1;
    return HE_OK;
}

static void affine_append(struct affine *run, uint32_t n, const double *scale, const double *shift)
{
    for (uint32_t c = 0; c < run->channels; c++) {
        run->has_scale |= scale[c] != 1;
        run->has_shift |= shift[c] != 0;
        run->scale[c] *= scale[c];
        run->shift[c] = run->shift[c] * scale[c] + shift[c];
    }
    run->nodes[run->node_count++] = n;
}

/* The run of affine nodes that begins with the only reader of @value. */
static he_status affine_collect(const struct he_rewrite *rewrite, uint32_t value, uint32_t axis,
                                struct he_arena *scratch, struct affine *run)
{
    const struct he_graph *graph = rewrite->graph;
    double *step;
    he_status status;

    *run = (struct affine){ .input = value };
    if (!channels_of(&graph->values[value], axis, &run->channels))
        return HE_OK;
    status = affine_alloc(run, scratch, &step);
    while (status == HE_OK && run->node_count < HE_COUNT(run->nodes)) {
        uint32_t reader = he_rewrite_sole_reader(rewrite, value);

        if (reader == HE_NONE || !read_step(graph, reader, value, axis, run->channels, step,
                                            step + run->channels))
            break;
        affine_append(run, reader, step, step + run->channels);
        value = graph->nodes[reader].outputs[0];
    }
    return status;
}

/* Everybody reads @value where they read the end of the run. False: cannot be had. */
static bool affine_replace(struct he_rewrite *rewrite, const struct affine *run, uint32_t value)
{
    if (!he_rewrite_bypass(rewrite, run->nodes[run->node_count - 1], value))
        return false;
    for (uint32_t k = run->node_count - 1; k-- > 0;)
        he_rewrite_remove(rewrite, run->nodes[k]);
    return true;
}

/* Weights in rows of @inner, each times the scale of its channel, as a new constant. */
static he_status scaled_weights(struct he_rewrite *rewrite, uint32_t weights, const double *scale,
                                int64_t inner, uint32_t channels, int64_t repeat, uint32_t *out)
{
    const struct he_shape shape = rewrite->graph->values[weights].shape;
    int64_t count = he_shape_count(&shape);
    void *memory;
    float *data;
    he_status status = he_rewrite_constant(rewrite, HE_FLOAT32, &shape, &memory, out);

    if (status != HE_OK)
        return status;
    data = memory;
    /* Row r holds channel r % channels, in block r / channels / repeat. */
    for (int64_t row = 0; inner > 0 && row < count / inner; row++) {
        int64_t block = repeat ? row / channels / repeat : 0;
        double s = scale[row % channels + block * channels];
        const struct he_value *old = &rewrite->graph->values[weights];

        for (int64_t i = row * inner; i < (row + 1) * inner; i++)
            data[i] = (float)(he_constant_float(old, i) * s);
    }
    return HE_OK;
}

static he_status new_bias(struct he_rewrite *rewrite, const struct he_node *node,
                          const struct affine *run, double beta, uint32_t *out)
{
    const struct he_graph *graph = rewrite->graph;
    struct he_shape shape = { .rank = 1, .dims = { run->channels } };
    uint32_t old = node->input_count > 2 ? node->inputs[2] : HE_NONE;
    void *memory;
    float *data;
    he_status status = he_rewrite_constant(rewrite, HE_FLOAT32, &shape, &memory, out);

    if (status != HE_OK)
        return status;
    data = memory;
    for (uint32_t c = 0; c < run->channels; c++) {
        double bias = 0;

        if (old != HE_NONE)
            bias = beta * he_constant_float(&graph->values[old],
                                            he_shape_count(&graph->values[old].shape) == 1 ? 0 : c);
        data[c] = (float)(bias * run->scale[c] + run->shift[c]);
    }
    return HE_OK;
}

/* The bias as it is: none, or float32, constant, per channel. */
static bool bias_is_simple(const struct he_graph *graph, const struct he_node *node, uint32_t rank,
                           uint32_t axis, uint32_t channels, double *room)
{
    const struct he_value *bias = he_node_input(graph, node, 2);

    return !bias || read_channels(bias, rank, axis, channels, room);
}

static he_status fold_behind_conv(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];
    bool is_transposed = he_node_is(node, "ConvTranspose");
    const struct he_value *weights = he_node_input(graph, node, 1);
    const struct he_value *bias = he_node_input(graph, node, 2);
    int64_t groups = he_node_int(node, "group", 1), inner;
    uint32_t inputs[3];
    struct he_arena scratch;
    struct affine run;
    he_status status;

    if (!he_node_has_output(node, 0) || !is_float_constant(weights) || weights->shape.rank < 3 ||
        groups < 1 || node->input_count > 3)
        return HE_OK;
    he_arena_init(&scratch, &he_graph_arena(graph)->alloc);
    status = affine_collect(rewrite, node->outputs[0], 1, &scratch, &run);
    if (status != HE_OK || !run.node_count)
        goto fini;
    /* The tensors must be what the operator says, or the arithmetic below walks off. */
    if (weights->shape.dims[is_transposed ? 1 : 0] * (is_transposed ? groups : 1) != run.channels ||
        weights->shape.dims[0] % groups ||
        (bias && (!is_float_constant(bias) || he_shape_count(&bias->shape) != run.channels)))
        goto fini;
    inner = 1;
    for (uint32_t d = is_transposed ? 2 : 1; d < weights->shape.rank; d++)
        inner *= weights->shape.dims[d];
    inputs[0] = node->inputs[0];
    inputs[1] = node->inputs[1];
    if (run.has_scale && is_transposed)
        status = scaled_weights(rewrite, node->inputs[1], run.scale, inner,
                                run.channels / (uint32_t)groups, weights->shape.dims[0] / groups,
                                &inputs[1]);
    else if (run.has_scale)
        status = scaled_weights(rewrite, node->inputs[1], run.scale, inner, run.channels, 0,
                                &inputs[1]);
    if (status == HE_OK)
        status = new_bias(rewrite, &graph->nodes[n], &run, 1.0, &inputs[2]);
    if (status != HE_OK || !affine_replace(rewrite, &run, graph->nodes[n].outputs[0]))
        goto fini;
    node = &graph->nodes[n];
    status = he_rewrite_become(rewrite, n, node->op, node->opset, inputs, 3, node->attrs,
                               node->attr_count);
fini:
    he_arena_fini(&scratch);
    return status;
}

/* Gemm: alpha * A * B + beta * C. */
static he_status fold_behind_gemm(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];
    const struct he_value *weights = he_node_input(graph, node, 1);
    bool is_transposed = he_node_int(node, "transB", 0) != 0;
    struct he_attr *attrs;
    uint32_t inputs[3];
    struct he_arena scratch;
    struct affine run;
    he_status status;

    if (!he_node_has_output(node, 0) || !is_float_constant(weights) || weights->shape.rank != 2)
        return HE_OK;
    he_arena_init(&scratch, &he_graph_arena(graph)->alloc);
    status = affine_collect(rewrite, node->outputs[0], 1, &scratch, &run);
    if (status != HE_OK || !run.node_count)
        goto fini;
    attrs = he_rewrite_attrs(rewrite, 4);
    if (!attrs) {
        status = he_no_memory();
        goto fini;
    }
    if (weights->shape.dims[is_transposed ? 0 : 1] != run.channels ||
        !bias_is_simple(graph, node, 2, 1, run.channels,
                        he_arena_alloc(&scratch, run.channels, sizeof(double))))
        goto fini;
    inputs[0] = node->inputs[0];
    inputs[1] = node->inputs[1];
    if (run.has_scale)
        status = scaled_weights(rewrite, node->inputs[1], run.scale,
                                is_transposed ? weights->shape.dims[1] : 1, run.channels, 0,
                                &inputs[1]);
    if (status == HE_OK)
        status = new_bias(rewrite, &graph->nodes[n], &run, he_node_float(node, "beta", 1.0f),
                          &inputs[2]);
    if (status != HE_OK || !affine_replace(rewrite, &run, graph->nodes[n].outputs[0]))
        goto fini;
    node = &graph->nodes[n];
    attrs[0] = (struct he_attr){ .name = "alpha", .kind = HE_ATTR_FLOAT,
                                 .f = he_node_float(node, "alpha", 1.0f) };
    attrs[1] = (struct he_attr){ .name = "beta", .kind = HE_ATTR_FLOAT, .f = 1.0f };
    attrs[2] = (struct he_attr){ .name = "transA", .kind = HE_ATTR_INT,
                                 .i = he_node_int(node, "transA", 0) };
    attrs[3] = (struct he_attr){ .name = "transB", .kind = HE_ATTR_INT, .i = is_transposed };
    status = he_rewrite_become(rewrite, n, "Gemm", node->opset < 11 ? 11 : node->opset, inputs, 3,
                               attrs, 4);
fini:
    he_arena_fini(&scratch);
    return status;
}

static bool has_no_padding(const struct he_node *node)
{
    const char *automatic = he_node_string(node, "auto_pad", "NOTSET");
    const int64_t *pads;
    size_t count = he_node_ints(node, "pads", &pads);

    if (strcmp(automatic, "VALID") != 0 && strcmp(automatic, "NOTSET") != 0 && *automatic)
        return false;
    for (size_t k = 0; k < count; k++)
        if (pads[k] != 0 && strcmp(automatic, "VALID") != 0)
            return false;
    return true;
}

/* The run of affine nodes that ends in @value, each read by the next one only. */
static he_status affine_collect_before(const struct he_rewrite *rewrite, uint32_t value,
                                       struct he_arena *scratch, struct affine *run)
{
    const struct he_graph *graph = rewrite->graph;
    uint32_t start = value, steps[8], count = 0;
    double *step, *room;
    he_status status;

    *run = (struct affine){ .input = value };
    if (!channels_of(&graph->values[value], 1, &run->channels))
        return HE_OK;
    status = affine_alloc(run, scratch, &step);
    if (status != HE_OK)
        return status;
    room = step + run->channels;
    /* A BatchNormalization or arithmetic behind an anchor is that anchor's. */
    while (count < HE_COUNT(steps) && he_rewrite_sole_reader(rewrite, start) != HE_NONE) {
        uint32_t maker = graph->values[start].producer, from = HE_NONE;

        if (maker == HE_NONE)
            break;
        for (uint32_t k = 0; k < graph->nodes[maker].input_count && k < 2 && from == HE_NONE; k++) {
            uint32_t in = graph->nodes[maker].inputs[k];

            if (in != HE_NONE && !graph->values[in].data &&
                read_step(graph, maker, in, 1, run->channels, step, room))
                from = in;
        }
        if (from == HE_NONE)
            break;
        steps[count++] = maker;
        start = from;
    }
    run->input = start;
    while (count > 0) {
        uint32_t maker = steps[--count];

        if (!read_step(graph, maker, start, 1, run->channels, step, room))
            break; /* cannot be: it was read a moment ago */
        affine_append(run, maker, step, room);
        start = graph->nodes[maker].outputs[0];
    }
    return HE_OK;
}

/* Affine in front of a Conv that pads nothing: W'(o, c) = W(o, c) scale(c), and the shift
 * passes through W into the bias. */
static he_status fold_before_conv(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];
    const struct he_value *weights = he_node_input(graph, node, 1);
    const struct he_value *bias = he_node_input(graph, node, 2);
    int64_t groups = he_node_int(node, "group", 1), window = 1, per_group, outputs;
    struct he_arena scratch;
    struct affine run;
    uint32_t inputs[3];
    struct he_shape shape;
    void *memory[2];
    he_status status;

    if (!is_float_constant(weights) || weights->shape.rank < 3 || groups < 1 ||
        !has_no_padding(node) || node->inputs[0] == HE_NONE || node->input_count > 3)
        return HE_OK;
    he_arena_init(&scratch, &he_graph_arena(graph)->alloc);
    status = affine_collect_before(rewrite, node->inputs[0], &scratch, &run);
    if (status != HE_OK || !run.node_count)
        goto fini;
    outputs = weights->shape.dims[0];
    per_group = weights->shape.dims[1];
    if (per_group * groups != run.channels || outputs % groups ||
        (bias && (!is_float_constant(bias) || he_shape_count(&bias->shape) != outputs)))
        goto fini;
    for (uint32_t d = 2; d < weights->shape.rank; d++)
        window *= weights->shape.dims[d];
    inputs[0] = run.input;
    shape = weights->shape;
    status = he_rewrite_constant(rewrite, HE_FLOAT32, &shape, &memory[0], &inputs[1]);
    if (status == HE_OK) {
        shape = (struct he_shape){ .rank = 1, .dims = { outputs } };
        status = he_rewrite_constant(rewrite, HE_FLOAT32, &shape, &memory[1], &inputs[2]);
    }
    if (status != HE_OK)
        goto fini;
    node = &graph->nodes[n];
    weights = he_node_input(graph, node, 1);
    bias = he_node_input(graph, node, 2);
    for (int64_t o = 0, at = 0; o < outputs; o++) {
        double sum = bias ? he_constant_float(bias, o) : 0;
        int64_t first = o / (outputs / groups) * per_group;

        for (int64_t c = 0; c < per_group; c++) {
            for (int64_t k = 0; k < window; k++, at++) {
                double w = he_constant_float(weights, at);

                ((float *)memory[0])[at] = (float)(w * run.scale[first + c]);
                sum += w * run.shift[first + c];
            }
        }
        ((float *)memory[1])[o] = (float)sum;
    }
    status = he_rewrite_become(rewrite, n, "Conv", node->opset, inputs, 3, node->attrs,
                               node->attr_count);
    for (uint32_t k = run.node_count; k-- > 0 && status == HE_OK;)
        he_rewrite_remove_unread(rewrite, run.nodes[k]);
fini:
    he_arena_fini(&scratch);
    return status;
}

static he_status fold_into_conv(struct he_rewrite *rewrite, uint32_t n)
{
    he_status status = fold_behind_conv(rewrite, n);

    return status == HE_OK ? fold_before_conv(rewrite, n) : status;
}

/* [C, 1, 1...], which broadcasts along channels of a value of @rank. */
static he_status channel_constant(struct he_rewrite *rewrite, const double *from, uint32_t channels,
                                  uint32_t rank, uint32_t *out)
{
    struct he_shape shape = { .rank = rank - 1 };
    void *memory;
    he_status status;

    for (uint32_t d = 0; d < shape.rank; d++)
        shape.dims[d] = d == 0 ? channels : 1;
    status = he_rewrite_constant(rewrite, HE_FLOAT32, &shape, &memory, out);
    for (uint32_t c = 0; status == HE_OK && c < channels; c++)
        ((float *)memory)[c] = (float)from[c];
    return status;
}

/* A normalisation that no anchor took becomes Mul and Add, together with the arithmetic
 * behind it: these join pointwise chains. */
static he_status spell_out_norm(struct he_rewrite *rewrite, uint32_t n)
{
    struct he_graph *graph = rewrite->graph;
    const struct he_node *node = &graph->nodes[n];
    struct he_arena scratch;
    struct affine run;
    uint32_t value, rank, multiply[2], add[2], last, product;
    double *step;
    he_status status;

    if (!is_inference_norm(node) || node->inputs[0] == HE_NONE || !he_node_has_output(node, 0))
        return HE_OK;
    value = node->inputs[0];
    rank = graph->values[value].shape.rank;
    he_arena_init(&scratch, &he_graph_arena(graph)->alloc);
    run = (struct affine){ .input = value };
    if (!channels_of(&graph->values[value], 1, &run.channels) || rank < 2) {
        status = HE_OK;
        goto fini;
    }
    status = affine_alloc(&run, &scratch, &step);
    if (status != HE_OK || !read_step(graph, n, value, 1, run.channels, step, step + run.channels))
        goto fini;
    affine_append(&run, n, step, step + run.channels);
    value = node->outputs[0];
    while (run.node_count < HE_COUNT(run.nodes)) {
        uint32_t reader = he_rewrite_sole_reader(rewrite, value);

        if (reader == HE_NONE ||
            !read_step(graph, reader, value, 1, run.channels, step, step + run.channels))
            break;
        affine_append(&run, reader, step, step + run.channels);
        value = graph->nodes[reader].outputs[0];
    }
    last = run.nodes[run.node_count - 1];
    multiply[0] = run.input;
    status = channel_constant(rewrite, run.scale, run.channels, rank, &multiply[1]);
    if (status == HE_OK)
        status = channel_constant(rewrite, run.shift, run.channels, rank, &add[1]);
    if (status == HE_OK)
        status = he_rewrite_add_node(rewrite, "Mul", 14, multiply, 2, run.input, &product);
    if (status != HE_OK)
        goto fini;
    add[0] = graph->nodes[product].outputs[0];
    status = he_rewrite_become(rewrite, last, "Add", 14, add, 2, NULL, 0);
    for (uint32_t k = run.node_count - 1; k-- > 0 && status == HE_OK;)
        he_rewrite_remove(rewrite, run.nodes[k]);
fini:
    he_arena_fini(&scratch);
    return status;
}

static const struct he_pattern patterns[] = {
    { "Conv", fold_into_conv },
    { "ConvTranspose", fold_behind_conv },
    { "Gemm", fold_behind_gemm },
};
const struct he_pattern_table he_patterns_affine = { patterns, HE_COUNT(patterns) };

static const struct he_pattern late_patterns[] = {
    { "BatchNormalization", spell_out_norm },
};
const struct he_pattern_table he_patterns_late = { late_patterns, HE_COUNT(late_patterns) };
