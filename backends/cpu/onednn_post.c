/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks the nodes behind a task's anchor and maps each one. The value that
 * travels down the chain is called the current value; a node must read it (once,
 * or in the x * f(x) pattern of Swish) and its other operand is a scalar, one
 * number per channel, or a tensor of the output's shape.
 */
#include "config.h"
#ifdef HE_HAVE_ONEDNN

#include <float.h>
#include <math.h>
#include <string.h>

#include "onednn_post.h"

static bool is_op(const struct he_node *node, const char *op)
{
    return strcmp(node->op, op) == 0;
}

static bool is_onnx(const struct he_node *node)
{
    return !*node->domain || strcmp(node->domain, "ai.onnx") == 0;
}

/* --- Functions of one value --- */

static void add_function(struct od_post posts[2], size_t *count, dnnl_alg_kind_t alg, float alpha,
                         float beta)
{
    posts[(*count)++] =
        (struct od_post){.kind = OD_POST_ELTWISE, .alg = alg, .alpha = alpha, .beta = beta};
}

/* A bound of Clip: an attribute before version 11, then an optional constant. */
static bool read_bound(const struct od_build *b, const struct he_node *node, const char *name,
                       uint32_t k, float *bound)
{
    const struct he_value *value;

    if (node->opset < 11) {
        *bound = he_node_float(node, name, *bound);
        return true;
    }
    if (k >= node->input_count || node->inputs[k] == HE_NONE)
        return true;
    value = od_value(b, node->inputs[k]);
    if (!he_value_is_constant(value) || value->dtype != HE_FLOAT32 ||
        value->data_bytes != sizeof(float))
        return false;
    memcpy(bound, value->data, sizeof(float));
    return true;
}

bool od_activation(const struct od_build *b, const struct he_node *node, struct od_post posts[2],
                   size_t *count)
{
    float low = -FLT_MAX, high = FLT_MAX, alpha, gamma;

    *count = 0;
    if (!is_onnx(node) || node->input_count < 1)
        return false;
    if (is_op(node, "Relu")) {
        add_function(posts, count, dnnl_eltwise_relu, 0, 0);
    } else if (is_op(node, "LeakyRelu")) {
        add_function(posts, count, dnnl_eltwise_relu, he_node_float(node, "alpha", 0.01f), 0);
    } else if (is_op(node, "Clip")) {
        if (!read_bound(b, node, "min", 1, &low) || !read_bound(b, node, "max", 2, &high))
            return false;
        add_function(posts, count, dnnl_eltwise_clip, low, high);
    } else if (is_op(node, "Sigmoid")) {
        add_function(posts, count, dnnl_eltwise_logistic, 0, 0);
    } else if (is_op(node, "Tanh")) {
        add_function(posts, count, dnnl_eltwise_tanh, 0, 0);
    } else if (is_op(node, "Elu")) {
        add_function(posts, count, dnnl_eltwise_elu, he_node_float(node, "alpha", 1.0f), 0);
    } else if (is_op(node, "Selu")) {
        alpha = he_node_float(node, "alpha", 1.67326319217681884765625f);
        gamma = he_node_float(node, "gamma", 1.05070102214813232421875f);
        add_function(posts, count, dnnl_eltwise_elu, alpha, 0);
        add_function(posts, count, dnnl_eltwise_linear, gamma, 0);
    } else if (is_op(node, "HardSigmoid")) {
        add_function(posts, count, dnnl_eltwise_linear, he_node_float(node, "alpha", 0.2f),
                     he_node_float(node, "beta", 0.5f));
        add_function(posts, count, dnnl_eltwise_clip, 0, 1);
    } else if (is_op(node, "HardSwish")) {
        add_function(posts, count, dnnl_eltwise_hardswish, 0, 0);
    } else if (is_op(node, "Swish")) {
        add_function(posts, count, dnnl_eltwise_swish, he_node_float(node, "alpha", 1.0f), 0);
    } else if (is_op(node, "Mish")) {
        add_function(posts, count, dnnl_eltwise_mish, 0, 0);
    } else if (is_op(node, "Gelu")) {
        add_function(posts, count,
                     strcmp(he_node_string(node, "approximate", "none"), "tanh") == 0
                         ? dnnl_eltwise_gelu_tanh
                         : dnnl_eltwise_gelu_erf,
                     0, 0);
    } else if (is_op(node, "Softplus")) {
        add_function(posts, count, dnnl_eltwise_soft_relu, DNNL_VERSION_MAJOR >= 3 ? 1 : 0, 0);
    } else if (is_op(node, "Abs")) {
        add_function(posts, count, dnnl_eltwise_abs, 0, 0);
    } else if (is_op(node, "Exp")) {
        add_function(posts, count, dnnl_eltwise_exp, 0, 0);
    } else if (is_op(node, "Log")) {
        add_function(posts, count, dnnl_eltwise_log, 0, 0);
    } else if (is_op(node, "Sqrt")) {
        add_function(posts, count, dnnl_eltwise_sqrt, 0, 0);
    } else if (is_op(node, "Neg")) {
        add_function(posts, count, dnnl_eltwise_linear, -1, 0);
    } else {
        return false;
    }
    return true;
}

/* x * f(x), where f is @posts: true when that is a function of its own. */
static bool gated(struct od_post posts[2], size_t *count)
{
    if (*count == 1 && posts[0].alg == dnnl_eltwise_logistic) {
        *count = 0;
        add_function(posts, count, dnnl_eltwise_swish, 1, 0);
        return true;
    }
    if (*count == 2 && posts[0].alg == dnnl_eltwise_linear &&
        posts[1].alg == dnnl_eltwise_clip && fabsf(posts[0].alpha - 1.0f / 6.0f) < 1e-6f &&
        posts[0].beta == 0.5f) {
        *count = 0;
        add_function(posts, count, dnnl_eltwise_hardswish, 0, 0);
        return true;
    }
    return false;
}

/* --- The walk --- */

struct walk {
    struct od_build *b;
    struct od_epilogue *out;
    const struct he_shape *shape; /* of every value in the chain */
    int axis;
    bool may_fold;
    struct od_desc dst; /* the task's output, in its layout */
};

static he_status refuse(const struct he_node *node, const char *why)
{
    return he_error_set(HE_ERR_UNSUPPORTED, "%s %s: oneDNN cannot take it into a fused task: %s",
                        node->op, node->name, why);
}

static he_status append_scalars(struct walk *w, const struct he_node *node, float scale,
                                float shift);

/* A function that stands twice cannot be fused (see od_attr()): a second linear
 * one becomes binary operations, others make the whole epilogue run apart. */
static bool has_function(const struct od_epilogue *e, dnnl_alg_kind_t alg)
{
    for (size_t k = 0; k < e->count; k++) {
        if (e->posts[k].kind == OD_POST_ELTWISE && e->posts[k].alg == alg)
            return true;
    }
    return false;
}

static he_status append(struct walk *w, const struct he_node *node, const struct od_post *post,
                        struct od_operand operand)
{
    struct od_post *last = w->out->count ? &w->out->posts[w->out->count - 1] : NULL;

    if (post->kind == OD_POST_ELTWISE && post->alg == dnnl_eltwise_linear) {
        if (last && last->kind == OD_POST_ELTWISE && last->alg == dnnl_eltwise_linear) {
            last->beta = last->beta * post->alpha + post->beta;
            last->alpha *= post->alpha;
            return HE_OK;
        }
        if (has_function(w->out, post->alg))
            return append_scalars(w, node, post->alpha, post->beta);
    }
    if (w->out->count == OD_MAX_POSTS)
        return refuse(node, "too many operations follow one another");
    w->out->operands[w->out->count] = operand;
    w->out->posts[w->out->count++] = *post;
    return HE_OK;
}

static he_status append_binary(struct walk *w, const struct he_node *node, dnnl_alg_kind_t alg,
                               struct od_desc desc, struct od_operand operand)
{
    struct od_post post = {.kind = OD_POST_BINARY, .alg = alg, .operand = desc};

    return append(w, node, &post, operand);
}

/* y * scale + shift by binary operations with one-element tensors. */
static he_status append_scalars(struct walk *w, const struct he_node *node, float scale,
                                float shift)
{
    int64_t ones[OD_MAX_RANK];
    struct od_desc desc;
    he_status status = HE_OK;
    float *copy;

    for (uint32_t k = 0; k < w->shape->rank; k++)
        ones[k] = 1;
    desc = od_desc_plain(w->shape->rank, ones);
    for (int k = 0; k < 2 && status == HE_OK; k++) {
        if (k ? shift == 0 : scale == 1)
            continue;
        copy = od_constant_alloc(w->b, sizeof(float));
        if (!copy)
            return he_error_set(HE_ERR_NO_MEMORY, "no memory for an epilogue");
        *copy = k ? shift : scale;
        status = append_binary(w, node, k ? dnnl_binary_add : dnnl_binary_mul, desc,
                               od_constant(copy));
    }
    return status;
}

/* How a constant spreads over the output. */
enum spread { SPREAD_SCALAR, SPREAD_CHANNEL, SPREAD_OTHER };

static enum spread spread_of(const struct walk *w, const struct he_shape *shape)
{
    int64_t count = he_shape_count(shape);
    int behind = (int)w->shape->rank - 1 - w->axis; /* dimensions after the channels */

    if (count == 1 && shape->rank <= w->shape->rank)
        return SPREAD_SCALAR;
    if ((int)shape->rank > behind && shape->rank <= w->shape->rank &&
        count == w->out->channels &&
        shape->dims[(int)shape->rank - 1 - behind] == w->out->channels)
        return SPREAD_CHANNEL;
    return SPREAD_OTHER;
}

/* y = y * scale + shift for the constants given (NULL: 1, 0), @stride 0 for scalars. */
static he_status linear(struct walk *w, const struct he_node *node, const float *scale,
                        const float *shift, size_t stride)
{
    struct od_epilogue *e = w->out;
    int64_t dims[OD_MAX_RANK];
    struct od_post post = {.kind = OD_POST_ELTWISE, .alg = dnnl_eltwise_linear};
    struct od_operand none = {.place = OD_CONSTANT};
    struct od_desc desc;
    he_status status = HE_OK;
    float *copy;
    int64_t c;
    size_t k;

    if (w->may_fold && e->count == 0) {
        if (!e->scale) {
            e->scale = od_constant_alloc(w->b, (size_t)e->channels * sizeof(float));
            e->shift = od_constant_alloc(w->b, (size_t)e->channels * sizeof(float));
            if (!e->scale || !e->shift)
                return he_error_set(HE_ERR_NO_MEMORY, "no memory for a folded epilogue");
            for (c = 0; c < e->channels; c++)
                e->scale[c] = 1;
        }
        for (c = 0; c < e->channels; c++) {
            k = (size_t)c * stride;
            e->scale[c] *= scale ? scale[k] : 1;
            e->shift[c] = e->shift[c] * (scale ? scale[k] : 1) + (shift ? shift[k] : 0);
        }
        return HE_OK;
    }
    if (stride == 0) {
        post.alpha = scale ? *scale : 1;
        post.beta = shift ? *shift : 0;
        return append(w, node, &post, none);
    }
    for (k = 0; k < w->shape->rank; k++)
        dims[k] = (int)k == w->axis ? e->channels : 1;
    desc = od_desc_plain(w->shape->rank, dims);
    for (k = 0; k < 2 && status == HE_OK; k++) {
        if (!(k ? shift : scale))
            continue;
        copy = od_constant_alloc(w->b, (size_t)e->channels * sizeof(float));
        if (!copy)
            return he_error_set(HE_ERR_NO_MEMORY, "no memory for an epilogue");
        memcpy(copy, k ? shift : scale, (size_t)e->channels * sizeof(float));
        status = append_binary(w, node, k ? dnnl_binary_add : dnnl_binary_mul, desc,
                               od_constant(copy));
    }
    return status;
}

/* Add, Sub, Mul, Div with a scalar or one number per channel. */
static he_status constant_operand(struct walk *w, const struct he_node *node, uint32_t value,
                                  bool is_reversed, enum spread spread)
{
    size_t count = spread == SPREAD_SCALAR ? 1 : (size_t)w->out->channels;
    size_t stride = spread == SPREAD_SCALAR ? 0 : 1;
    const float *data;
    float *changed, *minus;
    size_t have, k;
    he_status status = od_constant_floats(w->b, value, &data, &have);

    if (status != HE_OK)
        return status;
    if (is_op(node, "Add") || is_op(node, "Sum"))
        return linear(w, node, NULL, data, stride);
    if (is_op(node, "Mul"))
        return linear(w, node, data, NULL, stride);
    changed = od_constant_alloc(w->b, 2 * count * sizeof(float));
    if (!changed)
        return he_error_set(HE_ERR_NO_MEMORY, "no memory for an epilogue");
    minus = changed + count;
    for (k = 0; k < count; k++) {
        changed[k] = is_op(node, "Sub") ? -data[k] : 1.0f / data[k];
        minus[k] = -1;
    }
    if (is_op(node, "Sub") && is_reversed)
        return linear(w, node, minus, data, stride);
    if (is_op(node, "Sub"))
        return linear(w, node, NULL, changed, stride);
    if (is_op(node, "Div") && !is_reversed)
        return linear(w, node, changed, NULL, stride);
    return refuse(node, "a constant divided by the value");
}

static bool binary_alg(const struct he_node *node, dnnl_alg_kind_t *alg)
{
    static const struct {
        const char *op;
        dnnl_alg_kind_t alg;
    } rows[] = {
        {"Add", dnnl_binary_add}, {"Sum", dnnl_binary_add}, {"Mul", dnnl_binary_mul},
        {"Sub", dnnl_binary_sub}, {"Div", dnnl_binary_div}, {"Min", dnnl_binary_min},
        {"Max", dnnl_binary_max},
    };
    size_t k;

    for (k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        if (is_op(node, rows[k].op)) {
            *alg = rows[k].alg;
            return true;
        }
    }
    return false;
}

/* The dimensions of @shape under those of the output: ones in front. */
static bool align_dims(const struct walk *w, const struct he_shape *shape, int64_t *dims)
{
    uint32_t missing, k;

    if (shape->rank > w->shape->rank)
        return false;
    missing = w->shape->rank - shape->rank;
    for (k = 0; k < w->shape->rank; k++) {
        dims[k] = k < missing ? 1 : shape->dims[k - missing];
        if (dims[k] != 1 && dims[k] != w->shape->dims[k])
            return false;
    }
    return true;
}

/* An operand that is a tensor: a slot, or a constant that is no simple vector. */
static he_status tensor_operand(struct walk *w, const struct he_node *node, uint32_t value,
                                bool is_reversed, dnnl_alg_kind_t alg)
{
    const struct he_value *v = od_value(w->b, value);
    struct od_post negate = {.kind = OD_POST_ELTWISE, .alg = dnnl_eltwise_linear, .alpha = -1};
    struct od_operand operand, moved;
    enum he_layout layout = HE_LAYOUT_PLAIN;
    int64_t dims[OD_MAX_RANK];
    struct od_own_md from, to;
    struct od_desc have, want;
    const float *data;
    size_t count;
    bool is_last = w->dst.rank >= 3 && w->dst.strides[1] == 1 && w->dst.dims[1] > 1 &&
                   w->dst.strides[w->dst.rank - 1] != 1;
    he_status status;

    if (v->dtype != HE_FLOAT32 || !align_dims(w, &v->shape, dims))
        return refuse(node, "its operand does not fit the output");
    if (is_reversed && alg == dnnl_binary_div)
        return refuse(node, "a tensor divided by the value");
    if (od_is_constant(w->b, value)) {
        status = od_constant_floats(w->b, value, &data, &count);
        if (status != HE_OK)
            return status;
        operand = od_constant(data);
    } else if (!od_slot(w->b, value, &operand, &layout)) {
        return refuse(node, "its operand has no memory of its own");
    }
    if (layout == HE_LAYOUT_CHANNELS_LAST && v->shape.rank != w->shape->rank)
        return refuse(node, "its operand has another rank and another layout");
    have = layout == HE_LAYOUT_CHANNELS_LAST ? od_desc_channels_last(w->shape->rank, dims)
                                             : od_desc_plain(w->shape->rank, dims);
    want = is_last ? od_desc_channels_last(w->shape->rank, dims)
                   : od_desc_plain(w->shape->rank, dims);
    if (memcmp(have.strides, want.strides, sizeof have.strides) != 0 &&
        !od_layouts_coincide(&v->shape)) {
        moved = od_work(w->b, od_desc_bytes(&want));
        status = od_own_md_init(&from, &have);
        if (status == HE_OK) {
            status = od_own_md_init(&to, &want);
            if (status == HE_OK)
                status = od_add_reorder(w->b, od_own_md_get(&from), operand, od_own_md_get(&to),
                                        moved);
            od_own_md_fini(&to);
        }
        od_own_md_fini(&from);
        if (status != HE_OK)
            return status;
        operand = moved;
    }
    if (is_reversed && alg == dnnl_binary_sub) {
        status = append(w, node, &negate, operand);
        if (status != HE_OK)
            return status;
        alg = dnnl_binary_add;
    }
    return append_binary(w, node, alg, want, operand);
}

static he_status batch_norm(struct walk *w, const struct he_node *node)
{
    float epsilon = he_node_float(node, "epsilon", 1e-5f);
    const float *parts[4];
    float *scale, *shift;
    size_t k, count;
    he_status status;

    if (node->input_count < 5 || he_node_int(node, "training_mode", 0))
        return refuse(node, "training");
    for (k = 0; k < 4; k++) {
        if (node->inputs[k + 1] == HE_NONE)
            return refuse(node, "an input is missing");
        status = od_constant_floats(w->b, node->inputs[k + 1], &parts[k], &count);
        if (status != HE_OK)
            return status;
        if ((int64_t)count != w->out->channels)
            return refuse(node, "its parameters do not fit the channels");
    }
    scale = od_constant_alloc(w->b, 2 * count * sizeof(float));
    if (!scale)
        return he_error_set(HE_ERR_NO_MEMORY, "no memory for an epilogue");
    shift = scale + count;
    for (k = 0; k < count; k++) {
        scale[k] = parts[0][k] / sqrtf(parts[3][k] + epsilon);
        shift[k] = parts[1][k] - parts[2][k] * scale[k];
    }
    return linear(w, node, scale, shift, 1);
}

/* A node of two operands, one of which is the current value. */
static he_status two_operands(struct walk *w, const struct he_node *node, uint32_t current)
{
    const struct he_value *other;
    dnnl_alg_kind_t alg;
    enum spread spread;
    bool is_reversed;
    uint32_t value;

    if (node->input_count != 2 || !is_onnx(node) || !binary_alg(node, &alg))
        return refuse(node, "no post-operation does this");
    is_reversed = node->inputs[1] == current;
    value = node->inputs[is_reversed ? 0 : 1];
    if (value == current || value == HE_NONE || (!is_reversed && node->inputs[0] != current))
        return refuse(node, "it does not continue the chain");
    other = od_value(w->b, value);
    spread = spread_of(w, &other->shape);
    if (od_is_constant(w->b, value) && spread != SPREAD_OTHER && alg != dnnl_binary_min &&
        alg != dnnl_binary_max)
        return constant_operand(w, node, value, is_reversed, spread);
    return tensor_operand(w, node, value, is_reversed, alg);
}

/* Node @k of the task; *used is how many nodes it took. */
static he_status take_node(struct walk *w, uint32_t k, uint32_t current, uint32_t *used)
{
    const struct he_graph *graph = w->b->graph;
    const struct he_task *task = w->b->task;
    const struct he_node *node = &graph->nodes[task->nodes[k]];
    const struct he_node *next = NULL;
    struct od_operand none = {.place = OD_CONSTANT};
    struct od_post posts[2];
    size_t count, i;
    bool reads_current, reads_function;
    he_status status = HE_OK;

    *used = 1;
    if (node->input_count < 1 || node->output_count < 1)
        return refuse(node, "it does not continue the chain");
    if (node->inputs[0] == current && is_onnx(node) &&
        (is_op(node, "Identity") || is_op(node, "Dropout")))
        return HE_OK;
    if (node->inputs[0] == current && is_onnx(node) && is_op(node, "BatchNormalization"))
        return batch_norm(w, node);
    if (node->inputs[0] != current || !od_activation(w->b, node, posts, &count))
        return two_operands(w, node, current);
    if (k + 1 < task->node_count)
        next = &graph->nodes[task->nodes[k + 1]];
    if (next && next->input_count == 2 && is_onnx(next) && is_op(next, "Mul")) {
        reads_current = next->inputs[0] == current || next->inputs[1] == current;
        reads_function =
            next->inputs[0] == node->outputs[0] || next->inputs[1] == node->outputs[0];
        if (reads_current && reads_function) {
            if (!gated(posts, &count))
                return refuse(next, "no function of this form");
            *used = 2;
        }
    }
    for (i = 0; i < count && status == HE_OK; i++)
        status = append(w, node, &posts[i], none);
    return status;
}

he_status od_epilogue_read(struct od_build *b, int axis, bool may_fold, struct od_epilogue *out)
{
    const struct he_task *task = b->task;
    const struct he_node *node;
    uint32_t output = od_task_output(b), current, used, k;
    struct walk w = {.b = b, .out = out, .axis = axis, .may_fold = may_fold};
    he_status status;

    memset(out, 0, sizeof *out);
    if (output == HE_NONE)
        return he_error_set(HE_ERR_UNSUPPORTED, "%s: the fused task has several outputs",
                            b->anchor->op);
    w.shape = &od_value(b, b->anchor->outputs[0])->shape;
    w.dst = od_slot_desc(b, output);
    if (!w.dst.rank || axis < 0 || axis >= (int)w.shape->rank)
        return he_error_set(HE_ERR_UNSUPPORTED, "%s: oneDNN takes no tensors of this rank",
                            b->anchor->op);
    out->channels = w.shape->dims[axis];
    current = b->anchor->outputs[0];
    for (k = 1; k < task->node_count; k += used) {
        status = take_node(&w, k, current, &used);
        if (status != HE_OK)
            return status;
        node = &b->graph->nodes[task->nodes[k + used - 1]];
        current = node->outputs[0];
        if (od_value(b, current)->dtype != HE_FLOAT32 ||
            !he_shape_equal(&od_value(b, current)->shape, w.shape))
            return refuse(node, "it changes the shape or the type");
    }
    if (current != output)
        return he_error_set(HE_ERR_UNSUPPORTED, "%s: the fused task is no chain", b->anchor->op);
    return HE_OK;
}

he_status od_epilogue_attach(struct od_build *b, struct od_call *call,
                             const struct od_epilogue *epilogue)
{
    he_status status = HE_OK;
    size_t k;

    for (k = 0; k < epilogue->count && status == HE_OK; k++) {
        if (epilogue->posts[k].kind == OD_POST_BINARY)
            status = od_add_arg(b, call, DNNL_ARG_ATTR_MULTIPLE_POST_OP((int)k) | DNNL_ARG_SRC_1,
                                epilogue->operands[k]);
    }
    return status;
}

/* Posts @first up to (not including) @end as one primitive, in place: the first is the
 * primitive itself, the others (functions) are its post-operations. *is_done says whether there is one. */
static he_status apart(struct od_build *b, const struct od_epilogue *epilogue, size_t first,
                       size_t end, const struct od_desc *dst, struct od_operand place,
                       bool *is_done)
{
    const struct od_post *post = &epilogue->posts[first];
    bool is_binary = post->kind == OD_POST_BINARY;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd = NULL;
    struct od_call *call = NULL;
    he_status status = od_attr(post + 1, end - first - 1, &attr);

    *is_done = false;
    if (status == HE_OK) {
        if (is_binary)
            status = od_binary_pd(post->alg, dst, &post->operand, dst, attr, &pd);
        else
            status = od_eltwise_pd(post->alg, post->alpha, post->beta, dst, attr, &pd);
        od.dnnl_primitive_attr_destroy(attr);
    }
    status = od_keep_usable(status, &pd);
    if (status != HE_OK || !pd)
        return status;
    *is_done = true;
    status = od_add_primitive(b, pd, &call);
    if (status == HE_OK)
        status = od_add_arg(b, call, is_binary ? DNNL_ARG_SRC_0 : DNNL_ARG_SRC, place);
    if (status == HE_OK && is_binary)
        status = od_add_arg(b, call, DNNL_ARG_SRC_1, epilogue->operands[first]);
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_DST, place);
    return status;
}

he_status od_epilogue_apart(struct od_build *b, const struct od_epilogue *epilogue)
{
    uint32_t output = od_task_output(b);
    struct od_desc dst = od_slot_desc(b, output);
    struct od_operand place;
    bool is_done;
    size_t first, end;
    he_status status;

    if (!od_slot(b, output, &place, NULL))
        return he_error_set(HE_ERR_INTERNAL, "%s: its output has no slot", b->anchor->op);
    for (first = 0; first < epilogue->count; first = end) {
        /* As many as one primitive takes; binary followers are left alone, oneDNN
         * 2.6 mistakes their shapes on images of one pixel. */
        for (end = first + 1; end < epilogue->count; end++) {
            if (epilogue->posts[end].kind != OD_POST_ELTWISE)
                break;
        }
        for (; end > first; end--) {
            status = apart(b, epilogue, first, end, &dst, place, &is_done);
            if (status != HE_OK)
                return status;
            if (is_done)
                break;
        }
        if (end == first)
            return he_error_set(HE_ERR_UNSUPPORTED, "%s: no primitive for its epilogue",
                                b->anchor->op);
    }
    return HE_OK;
}

bool od_epilogue_is_empty(const struct od_epilogue *epilogue)
{
    return epilogue->count == 0 && !epilogue->scale;
}

#endif
