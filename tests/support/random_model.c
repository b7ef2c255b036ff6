/* SPDX-License-Identifier: Apache-2.0 */
/* Models of up to MOST_NODES nodes over one input of a few channels and pixels. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "support/random_model.h"

#define MOST_NODES RANDOM_MODEL_NODES

uint32_t random_pick(struct random_model *g, uint32_t count)
{
    g->state = g->state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((g->state >> 33) % count);
}

float random_unit(struct random_model *g)
{
    return (float)random_pick(g, 2001) / 1000.0f - 1.0f;
}

static const char *add_weights(struct random_model *g, uint32_t rank, const int64_t *dims,
                               float scale, float shift)
{
    struct onnx_tensor *t = &g->graph->initializers[g->graph->initializer_count];
    int64_t count;
    float *data;

    *t = (struct onnx_tensor){ .dtype = HE_FLOAT32, .shape = { .rank = rank } };
    memcpy(t->shape.dims, dims, rank * sizeof *dims);
    count = he_shape_count(&t->shape);
    data = he_arena_alloc(g->arena, (size_t)count, sizeof *data);
    t->name = he_arena_printf(g->arena, "w%zu", g->graph->initializer_count++);
    ck_assert(data && t->name);
    for (int64_t k = 0; k < count; k++)
        data[k] = random_unit(g) * scale + shift;
    t->data = data;
    t->data_bytes = (size_t)count * sizeof *data;
    return t->name;
}

static struct onnx_node *add_node(struct random_model *g, const char *op, size_t input_count,
                                  struct random_shape out)
{
    struct onnx_node *node = &g->graph->nodes[g->graph->node_count++];
    char *name = he_arena_printf(g->arena, "v%zu", g->value_count);

    *node = (struct onnx_node){ .name = name, .op_type = op, .domain = "", .overload = "" };
    node->inputs = he_arena_alloc(g->arena, input_count, sizeof *node->inputs);
    node->outputs = he_arena_alloc(g->arena, 1, sizeof *node->outputs);
    node->attrs = he_arena_alloc(g->arena, 8, sizeof *node->attrs);
    ck_assert(name && node->inputs && node->outputs && node->attrs);
    node->input_count = input_count;
    node->output_count = 1;
    node->outputs[0] = name;
    g->names[g->value_count] = name;
    g->shapes[g->value_count] = out;
    g->is_read[g->value_count++] = false;
    return node;
}

static void add_ints(struct random_model *g, struct onnx_node *node, const char *name, size_t count,
                     const int64_t *values)
{
    struct onnx_attr *attr = &node->attrs[node->attr_count++];

    *attr = (struct onnx_attr){ .name = name, .type = 7, .count = count,
                                .ints = he_arena_copy(g->arena, values, count * sizeof *values) };
    ck_assert(attr->ints);
}

static void add_int(struct onnx_node *node, const char *name, int64_t value)
{
    node->attrs[node->attr_count++] = (struct onnx_attr){ .name = name, .type = 2, .i = value };
}

static const char *use(struct random_model *g, size_t value)
{
    g->is_read[value] = true;
    return g->names[value];
}

static void add_conv(struct random_model *g, size_t x)
{
    struct random_shape s = g->shapes[x];
    bool is_depthwise = random_pick(g, 4) == 0;
    int64_t k = s.hw == 1 ? 1 : 1 + 2 * random_pick(g, 2), out = is_depthwise ? s.c : 1 + random_pick(g, 12);
    int64_t dims[] = { out, is_depthwise ? 1 : s.c, k, k }, pads[] = { k / 2, k / 2, k / 2, k / 2 };
    float scale = 1.5f / sqrtf((float)(dims[1] * k * k));
    struct onnx_node *node = add_node(g, "Conv", 3, (struct random_shape){ out, s.hw });

    node->inputs[0] = use(g, x);
    node->inputs[1] = add_weights(g, 4, dims, scale, 0);
    node->inputs[2] = add_weights(g, 1, &out, 0.3f, 0);
    add_ints(g, node, "pads", 4, pads);
    add_int(node, "group", is_depthwise ? s.c : 1);
}

static void add_norm(struct random_model *g, size_t x)
{
    struct random_shape s = g->shapes[x];
    struct onnx_node *node = add_node(g, "BatchNormalization", 5, s);

    node->inputs[0] = use(g, x);
    for (int k = 1; k < 5; k++)
        node->inputs[k] = add_weights(g, 1, &s.c, 0.3f, k == 1 || k == 4 ? 1.0f : 0.0f);
}

static void add_pool(struct random_model *g, size_t x)
{
    const int64_t kernel[] = { 3, 3 }, pads[] = { 1, 1, 1, 1 };
    struct onnx_node *node = add_node(g, random_pick(g, 2) ? "MaxPool" : "AveragePool", 1, g->shapes[x]);

    node->inputs[0] = use(g, x);
    add_ints(g, node, "kernel_shape", 2, kernel);
    add_ints(g, node, "pads", 4, pads);
}

static void add_unary(struct random_model *g, size_t x)
{
    static const char *const ops[] = { "Relu", "Sigmoid", "Tanh", "Abs", "Neg", "LeakyRelu",
                                       "HardSigmoid", "Softplus", "Identity", "Elu" };
    struct onnx_node *node = add_node(g, ops[random_pick(g, HE_COUNT(ops))], 1, g->shapes[x]);

    node->inputs[0] = use(g, x);
}

static void add_along_axis(struct random_model *g, size_t x)
{
    struct onnx_node *node = add_node(g, "Softmax", 1, g->shapes[x]);

    node->inputs[0] = use(g, x);
    add_int(node, "axis", 1 + random_pick(g, 3));
}

static void add_turn(struct random_model *g, size_t x)
{
    const int64_t perm[] = { 0, 1, 3, 2 };
    struct onnx_node *node = add_node(g, "Transpose", 1, g->shapes[x]);

    node->inputs[0] = use(g, x);
    add_ints(g, node, "perm", 4, perm);
}

static void add_global(struct random_model *g, size_t x)
{
    struct onnx_node *node = add_node(g, "GlobalAveragePool", 1,
                                      (struct random_shape){ g->shapes[x].c, 1 });

    node->inputs[0] = use(g, x);
}

/* With a value of the same shape, of one pixel per channel, or a constant per channel. */
static void add_binary(struct random_model *g, size_t x)
{
    static const char *const ops[] = { "Add", "Mul", "Sub", "Max", "Min" };
    struct random_shape s = g->shapes[x];
    size_t other = random_pick(g, (uint32_t)g->value_count);
    bool fits = g->shapes[other].c == s.c && (g->shapes[other].hw == s.hw || g->shapes[other].hw == 1);
    int64_t dims[] = { s.c, 1, 1 };
    struct onnx_node *node = add_node(g, ops[random_pick(g, HE_COUNT(ops))], 2, s);

    node->inputs[0] = use(g, x);
    node->inputs[1] = fits ? use(g, other) : add_weights(g, 3, dims, 0.5f, 0.5f);
}

static void add_concat(struct random_model *g, size_t x)
{
    size_t other = random_pick(g, (uint32_t)g->value_count);
    struct random_shape s = g->shapes[x];
    struct onnx_node *node;

    if (g->shapes[other].hw != s.hw || s.c + g->shapes[other].c > 32)
        other = x;
    if (g->shapes[other].c + s.c > 32) {
        add_unary(g, x);
        return;
    }
    node = add_node(g, "Concat", 2, (struct random_shape){ s.c + g->shapes[other].c, s.hw });
    node->inputs[0] = use(g, x);
    node->inputs[1] = use(g, other);
    add_int(node, "axis", 1);
}

static void (*const makers[])(struct random_model *g, size_t x) = {
    add_conv, add_conv, add_conv, add_norm, add_pool, add_unary, add_unary, add_along_axis,
    add_turn, add_global, add_binary, add_binary, add_binary, add_concat,
};

/* Every value nobody reads is an output. */
struct he_model *random_model_make(uint64_t seed)
{
    static struct onnx_opset opset = { "", 13 };
    struct he_model *model = calloc(1, sizeof *model);
    struct random_model g = { .state = seed * 2654435761u + 12345 };
    struct onnx_graph *graph;
    struct onnx_dim *dims;
    size_t nodes;

    ck_assert(model != NULL);
    he_arena_init(&model->arena, NULL);
    g.arena = &model->arena;
    model->path = model->producer_name = model->producer_version = model->domain = model->doc = "";
    model->ir_version = 8;
    model->opsets = &opset;
    model->opset_count = 1;
    g.graph = graph = &model->graph;
    graph->name = "random";
    graph->nodes = he_arena_alloc(g.arena, MOST_NODES, sizeof *graph->nodes);
    graph->initializers = he_arena_alloc(g.arena, 5 * MOST_NODES, sizeof *graph->initializers);
    graph->inputs = he_arena_alloc(g.arena, 1, sizeof *graph->inputs);
    graph->outputs = he_arena_alloc(g.arena, MOST_NODES + 1, sizeof *graph->outputs);
    dims = he_arena_alloc(g.arena, 4, sizeof *dims);
    ck_assert(graph->nodes && graph->initializers && graph->inputs && graph->outputs && dims);
    g.names[0] = "x";
    g.shapes[0] = (struct random_shape){ 1 + random_pick(&g, 8), 3 + random_pick(&g, 10) };
    g.value_count = 1;
    for (int k = 0; k < 4; k++)
        dims[k] = (struct onnx_dim){ k == 0 ? 1 : k == 1 ? g.shapes[0].c : g.shapes[0].hw, "" };
    graph->inputs[0] = (struct onnx_value_info){ .name = "x", .dtype = HE_FLOAT32,
                                                 .has_shape = true, .dim_count = 4, .dims = dims };
    graph->input_count = 1;
    nodes = 2 + random_pick(&g, MOST_NODES - 2);
    for (size_t k = 0; k < nodes; k++)
        makers[random_pick(&g, HE_COUNT(makers))](&g, random_pick(&g, (uint32_t)g.value_count));
    for (size_t v = 1; v < g.value_count; v++) {
        if (!g.is_read[v])
            graph->outputs[graph->output_count++] =
                (struct onnx_value_info){ .name = g.names[v], .dtype = HE_FLOAT32 };
    }
    model->fed_inputs = he_arena_alloc(g.arena, 1, sizeof *model->fed_inputs);
    ck_assert(model->fed_inputs != NULL); /* zeroed: input 0 */
    model->fed_input_count = 1;
    return model;
}

void random_model_free(struct he_model *model)
{
    struct he_arena arena = model->arena;

    he_arena_fini(&arena);
    free(model);
}
