/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random graphs of many operators, half of them with tasks cut at random, placed
 * at random: whatever runs where, the outputs are those of one device alone. Two CPU devices (and a GPU where there
 * is one, for some of the graphs: its compiler takes its time) run parts of each
 * graph at the same time, several requests in flight.
 */
#include <check.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "engine/engine.h"
#include "exec/exec.h"
#include "plan/plan.h"
#include "support/random_cut.h"

#define GRAPHS 1000
#define GPU_EVERY 50
#define MOST_NODES 24
#define IN_FLIGHT 3

/* --- A generator of models --- */

struct shape4 {
    int64_t c, hw; /* [1, c, hw, hw]; hw 1 after a global pool */
};

struct generator {
    uint64_t state;
    struct he_arena *arena;
    struct onnx_graph *graph;
    const char *names[MOST_NODES + 2];
    struct shape4 shapes[MOST_NODES + 2];
    bool is_read[MOST_NODES + 2];
    size_t value_count;
};

static uint32_t pick(struct generator *g, uint32_t count)
{
    g->state = g->state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((g->state >> 33) % count);
}

static float unit(struct generator *g)
{
    return (float)pick(g, 2001) / 1000.0f - 1.0f;
}

static const char *add_weights(struct generator *g, uint32_t rank, const int64_t *dims,
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
        data[k] = unit(g) * scale + shift;
    t->data = data;
    t->data_bytes = (size_t)count * sizeof *data;
    return t->name;
}

static struct onnx_node *add_node(struct generator *g, const char *op, size_t input_count,
                                  struct shape4 out)
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

static void add_ints(struct generator *g, struct onnx_node *node, const char *name, size_t count,
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

static const char *use(struct generator *g, size_t value)
{
    g->is_read[value] = true;
    return g->names[value];
}

static void add_conv(struct generator *g, size_t x)
{
    struct shape4 s = g->shapes[x];
    bool is_depthwise = pick(g, 4) == 0;
    int64_t k = s.hw == 1 ? 1 : 1 + 2 * pick(g, 2), out = is_depthwise ? s.c : 1 + pick(g, 12);
    int64_t dims[] = { out, is_depthwise ? 1 : s.c, k, k }, pads[] = { k / 2, k / 2, k / 2, k / 2 };
    float scale = 1.5f / sqrtf((float)(dims[1] * k * k));
    struct onnx_node *node = add_node(g, "Conv", 3, (struct shape4){ out, s.hw });

    node->inputs[0] = use(g, x);
    node->inputs[1] = add_weights(g, 4, dims, scale, 0);
    node->inputs[2] = add_weights(g, 1, &out, 0.3f, 0);
    add_ints(g, node, "pads", 4, pads);
    add_int(node, "group", is_depthwise ? s.c : 1);
}

static void add_norm(struct generator *g, size_t x)
{
    struct shape4 s = g->shapes[x];
    struct onnx_node *node = add_node(g, "BatchNormalization", 5, s);

    node->inputs[0] = use(g, x);
    for (int k = 1; k < 5; k++)
        node->inputs[k] = add_weights(g, 1, &s.c, 0.3f, k == 1 || k == 4 ? 1.0f : 0.0f);
}

static void add_pool(struct generator *g, size_t x)
{
    const int64_t kernel[] = { 3, 3 }, pads[] = { 1, 1, 1, 1 };
    struct onnx_node *node = add_node(g, pick(g, 2) ? "MaxPool" : "AveragePool", 1, g->shapes[x]);

    node->inputs[0] = use(g, x);
    add_ints(g, node, "kernel_shape", 2, kernel);
    add_ints(g, node, "pads", 4, pads);
}

static void add_unary(struct generator *g, size_t x)
{
    static const char *const ops[] = { "Relu", "Sigmoid", "Tanh", "Abs", "Neg", "LeakyRelu",
                                       "HardSigmoid", "Softplus", "Identity", "Elu" };
    struct onnx_node *node = add_node(g, ops[pick(g, HE_COUNT(ops))], 1, g->shapes[x]);

    node->inputs[0] = use(g, x);
}

static void add_along_axis(struct generator *g, size_t x)
{
    struct onnx_node *node = add_node(g, "Softmax", 1, g->shapes[x]);

    node->inputs[0] = use(g, x);
    add_int(node, "axis", 1 + pick(g, 3));
}

static void add_turn(struct generator *g, size_t x)
{
    const int64_t perm[] = { 0, 1, 3, 2 };
    struct onnx_node *node = add_node(g, "Transpose", 1, g->shapes[x]);

    node->inputs[0] = use(g, x);
    add_ints(g, node, "perm", 4, perm);
}

static void add_global(struct generator *g, size_t x)
{
    struct onnx_node *node = add_node(g, "GlobalAveragePool", 1,
                                      (struct shape4){ g->shapes[x].c, 1 });

    node->inputs[0] = use(g, x);
}

/* With a value of the same shape, of one pixel per channel, or a constant per channel. */
static void add_binary(struct generator *g, size_t x)
{
    static const char *const ops[] = { "Add", "Mul", "Sub", "Max", "Min" };
    struct shape4 s = g->shapes[x];
    size_t other = pick(g, (uint32_t)g->value_count);
    bool fits = g->shapes[other].c == s.c && (g->shapes[other].hw == s.hw || g->shapes[other].hw == 1);
    int64_t dims[] = { s.c, 1, 1 };
    struct onnx_node *node = add_node(g, ops[pick(g, HE_COUNT(ops))], 2, s);

    node->inputs[0] = use(g, x);
    node->inputs[1] = fits ? use(g, other) : add_weights(g, 3, dims, 0.5f, 0.5f);
}

static void add_concat(struct generator *g, size_t x)
{
    size_t other = pick(g, (uint32_t)g->value_count);
    struct shape4 s = g->shapes[x];
    struct onnx_node *node;

    if (g->shapes[other].hw != s.hw || s.c + g->shapes[other].c > 32)
        other = x;
    if (g->shapes[other].c + s.c > 32) {
        add_unary(g, x);
        return;
    }
    node = add_node(g, "Concat", 2, (struct shape4){ s.c + g->shapes[other].c, s.hw });
    node->inputs[0] = use(g, x);
    node->inputs[1] = use(g, other);
    add_int(node, "axis", 1);
}

static void (*const makers[])(struct generator *g, size_t x) = {
    add_conv, add_conv, add_conv, add_norm, add_pool, add_unary, add_unary, add_along_axis,
    add_turn, add_global, add_binary, add_binary, add_binary, add_concat,
};

/* Every value nobody reads is an output. */
static struct he_model *generate(uint64_t seed)
{
    static struct onnx_opset opset = { "", 13 };
    struct he_model *model = calloc(1, sizeof *model);
    struct generator g = { .state = seed * 2654435761u + 12345 };
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
    g.shapes[0] = (struct shape4){ 1 + pick(&g, 8), 3 + pick(&g, 10) };
    g.value_count = 1;
    for (int k = 0; k < 4; k++)
        dims[k] = (struct onnx_dim){ k == 0 ? 1 : k == 1 ? g.shapes[0].c : g.shapes[0].hw, "" };
    graph->inputs[0] = (struct onnx_value_info){ .name = "x", .dtype = HE_FLOAT32,
                                                 .has_shape = true, .dim_count = 4, .dims = dims };
    graph->input_count = 1;
    nodes = 2 + pick(&g, MOST_NODES - 2);
    for (size_t k = 0; k < nodes; k++)
        makers[pick(&g, HE_COUNT(makers))](&g, pick(&g, (uint32_t)g.value_count));
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

static void forget(struct he_model *model)
{
    struct he_arena arena = model->arena;

    he_arena_fini(&arena);
    free(model);
}

/* --- Running it --- */

/* Cuts a third of the tasks; the parts are tasks like others then. */
static void cut(struct he_engine *engine, struct generator *choose, struct he_graph **graph,
                struct he_problem **problem, struct he_cost **costs)
{
    const struct he_machine *machine = he_engine_machine(engine);
    uint32_t state = pick(choose, 1u << 30);
    struct he_graph *parts;
    size_t count;
    he_status status = random_cut_graph(*graph, 33, &state, &parts, &count);

    ck_assert_msg(status == HE_OK, "cut: %s", he_error_message());
    he_graph_destroy(*graph);
    he_problem_destroy(*problem);
    *graph = parts;
    status = he_cost_build(parts, machine, engine->devs, NULL, &he_allocator_default, problem,
                           costs);
    ck_assert_msg(status == HE_OK, "costs: %s", he_error_message());
}

/* A placement by @choose (NULL: all on device 0). */
static struct he_plan *place(struct he_engine *engine, struct he_model *model, struct generator *choose)
{
    struct he_analyze_options options = { .struct_size = sizeof options };
    struct he_placement placement = { .policy = "random" };
    struct he_graph *graph;
    struct he_problem *problem;
    struct he_cost *costs;
    struct he_plan *plan;
    he_status status;

    status = he_engine_prepare(engine, model, &options, &graph, &problem, &costs);
    ck_assert_msg(status == HE_OK, "prepare: %s", he_error_message());
    if (choose && pick(choose, 2))
        cut(engine, choose, &graph, &problem, &costs);
    placement.device = calloc(problem->task_count + 1, sizeof *placement.device);
    placement.order = calloc(problem->task_count + 1, sizeof *placement.order);
    ck_assert(placement.device && placement.order);
    for (uint32_t t = 0; t < problem->task_count; t++) {
        placement.order[t] = t;
        if (!choose)
            continue;
        placement.device[t] = pick(choose, problem->device_count);
        if (!isfinite(he_problem_time(problem, t, placement.device[t])))
            placement.device[t] = 0;
    }
    status = he_plan_create_placed(graph, he_engine_machine(engine), problem, costs, &placement,
                                   HE_OBJECTIVE_LATENCY, &he_allocator_default, &plan);
    ck_assert_msg(status == HE_OK, "plan: %s", he_error_message());
    free(placement.device);
    free(placement.order);
    ck_assert_msg(he_plan_check(plan) == HE_OK, "%s", he_error_message());
    return plan;
}

/* IN_FLIGHT requests at once, all with the same input; @outputs has room for all. */
static void run(struct he_engine *engine, struct he_plan *plan, const DLTensor *input,
                struct he_output *outputs, uint32_t requests)
{
    struct he_session_options options = { .struct_size = sizeof options,
                                          .max_in_flight = requests };
    struct he_request *flying[IN_FLIGHT];
    struct he_session *session;
    he_status status = he_session_create(engine, plan, &options, &session);

    ck_assert_msg(status == HE_OK, "session: %s", he_error_message());
    for (uint32_t r = 0; r < requests; r++) {
        status = he_session_submit(session, &input, 1, outputs + r * plan->graph->output_count,
                                   plan->graph->output_count, NULL, NULL, &flying[r]);
        ck_assert_msg(status == HE_OK, "submit: %s", he_error_message());
    }
    for (uint32_t r = 0; r < requests; r++) {
        status = he_request_wait(flying[r], -1);
        ck_assert_msg(status == HE_OK, "run: %s", he_error_message());
        he_request_destroy(flying[r]);
    }
    he_session_destroy(session);
}

static void expect_same(const DLTensor *got, const DLTensor *expected, uint64_t seed, uint32_t output)
{
    const float *a = got->data, *b = expected->data;
    int64_t count = 1;

    ck_assert_int_eq(got->ndim, expected->ndim);
    for (int k = 0; k < got->ndim; k++) {
        ck_assert_int_eq(got->shape[k], expected->shape[k]);
        count *= got->shape[k];
    }
    for (int64_t k = 0; k < count; k++) {
        if (isnan(a[k]) && isnan(b[k]))
            continue;
        ck_assert_msg(a[k] == b[k] || fabsf(a[k] - b[k]) <= 1e-4f + 1e-3f * fabsf(b[k]),
                      "graph %llu, output %u, element %lld: %g, expected %g",
                      (unsigned long long)seed, output, (long long)k, a[k], b[k]);
    }
}

static void drop(struct he_output *outputs, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        if (outputs[k].given)
            outputs[k].given->deleter(outputs[k].given);
    }
    free(outputs);
}

static void try_graph(struct he_engine *engine, uint64_t seed)
{
    struct he_model *model = generate(seed);
    struct generator choose = { .state = seed * 977 + 1 };
    struct he_plan *alone = place(engine, model, NULL), *mixed = place(engine, model, &choose);
    uint32_t output_count = alone->graph->output_count;
    struct he_output *expected = calloc(output_count, sizeof *expected);
    struct he_output *got = calloc((size_t)output_count * IN_FLIGHT, sizeof *got);
    const struct he_value *x = &alone->graph->values[alone->graph->inputs[0]];
    int64_t count = he_shape_count(&x->shape);
    float *data = calloc((size_t)count, sizeof *data);
    DLTensor input = { .data = data, .device = { kDLCPU, 0 }, .ndim = 4,
                       .dtype = { kDLFloat, 32, 1 }, .shape = (int64_t *)x->shape.dims };

    ck_assert(expected && got && data);
    for (int64_t k = 0; k < count; k++)
        data[k] = unit(&choose);
    run(engine, alone, &input, expected, 1);
    run(engine, mixed, &input, got, IN_FLIGHT);
    for (uint32_t k = 0; k < output_count * IN_FLIGHT; k++)
        expect_same(&got[k].given->dl_tensor, &expected[k % output_count].given->dl_tensor, seed,
                    k % output_count);
    drop(expected, output_count);
    drop(got, output_count * IN_FLIGHT);
    free(data);
    he_plan_destroy(alone);
    he_plan_destroy(mixed);
    forget(model);
}

static int first_core(void)
{
    cpu_set_t set;
    int core = 0;

    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    while (core < CPU_SETSIZE - 1 && !CPU_ISSET(core, &set))
        core++;
    return core;
}

static struct he_engine *open_engine(const char *more)
{
    struct he_engine_options options = { .struct_size = sizeof options, .cost_store = "" };
    struct he_engine *engine;
    char line[200];

    snprintf(line, sizeof line, "CPU:0(threads=1),CPU:1(cores=%d)%s", first_core(), more);
    options.devices = line;
    return he_engine_create(&options, &engine) == HE_OK ? engine : NULL;
}

START_TEST(any_placement_gives_the_outputs_of_one_device)
{
    struct he_engine *engine = open_engine("");

    ck_assert_msg(engine != NULL, "%s", he_error_message());
    for (uint64_t seed = 0; seed < GRAPHS; seed++)
        try_graph(engine, seed);
    he_engine_destroy(engine);
}
END_TEST

START_TEST(a_gpu_beside_changes_nothing)
{
    struct he_engine *engine = open_engine(",GPU:0");

    if (!engine) {
        printf("without a GPU: %s\n", he_error_message());
        return;
    }
    for (uint64_t seed = 0; seed < GRAPHS; seed += GPU_EVERY)
        try_graph(engine, seed);
    he_engine_destroy(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random dags");
    TCase *tcase = tcase_create("placements");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 1200);
    tcase_add_test(tcase, any_placement_gives_the_outputs_of_one_device);
    tcase_add_test(tcase, a_gpu_beside_changes_nothing);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
