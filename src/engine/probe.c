/* SPDX-License-Identifier: Apache-2.0 */
/* Graph and plan of a probe by hand, then a session like any other. */
#include <string.h>

#include "core/clock.h"
#include "core/size.h"
#include "engine/probe.h"
#include "exec/exec.h"
#include "graph/store.h"
#include "plan/plan.h"

struct he_probe {
    struct he_arena arena;
    struct he_plan *plan;
    struct he_session *session;
    int64_t dims[2];
    DLTensor in, out;
};

static he_status add_task(struct he_graph *graph, const struct he_probe_shape *shape,
                          uint32_t value)
{
    uint32_t node, out, inputs = strcmp(shape->op, "MatMul") == 0 ? 2 : 1;
    he_status status = he_graph_add_value(graph, "probe", &out);

    if (status == HE_OK)
        status = he_graph_add_node(graph, &node);
    if (status != HE_OK)
        return status;
    graph->values[out].dtype = HE_FLOAT32;
    graph->values[out].shape = graph->values[value].shape;
    graph->values[out].producer = node;
    graph->nodes[node].name = "probe";
    graph->nodes[node].op = shape->op;
    graph->nodes[node].domain = "";
    graph->nodes[node].opset = 13;
    graph->nodes[node].inputs = he_graph_indices(graph, inputs);
    graph->nodes[node].outputs = he_graph_indices(graph, 1);
    if (!graph->nodes[node].inputs || !graph->nodes[node].outputs)
        return he_no_memory();
    graph->nodes[node].input_count = graph->nodes[node].explicit_input_count = inputs;
    graph->nodes[node].output_count = 1;
    for (uint32_t k = 0; k < inputs; k++)
        graph->nodes[node].inputs[k] = value;
    graph->nodes[node].outputs[0] = out;
    return HE_OK;
}

static he_status fill_graph(struct he_graph *graph, const struct he_probe_shape *shape)
{
    uint32_t value;
    he_status status = he_graph_add_value(graph, "probe", &value);

    if (status == HE_OK)
        status = he_graph_add_input(graph, value);
    if (status != HE_OK)
        return status;
    graph->values[value].dtype = HE_FLOAT32;
    graph->values[value].shape = (struct he_shape){ .rank = 2,
                                                    .dims = { shape->rows, shape->columns } };
    graph->values[value].is_input = true;
    for (uint32_t t = 0; t < shape->task_count && status == HE_OK; t++)
        status = add_task(graph, shape, value + t);
    if (status != HE_OK)
        return status;
    graph->outputs = he_graph_indices(graph, 1);
    if (!graph->outputs)
        return he_no_memory();
    graph->outputs[0] = value + shape->task_count;
    graph->output_count = 1;
    graph->values[graph->outputs[0]].is_output = true;
    return he_graph_make_tasks(graph, false);
}

static he_status check_support(struct he_engine *engine, const struct he_probe_shape *shape,
                               const struct he_graph *graph)
{
    for (int k = 0; k < 2; k++) {
        struct he_device *dev;
        he_status status = he_engine_device(engine, shape->devices[k], &dev);

        if (status == HE_OK)
            status = he_device_supports(dev, graph, &graph->tasks[0]);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

static he_status make_plan(struct he_probe *probe, struct he_engine *engine,
                           const struct he_probe_shape *shape)
{
    struct he_placement placement = { .policy = "probe" };
    struct he_graph *graph;
    struct he_problem *problem;
    struct he_cost *costs;
    he_status status = he_graph_new(&engine->alloc, NULL, "probe", &graph);

    if (status != HE_OK)
        return status;
    placement.device = he_arena_alloc(&probe->arena, shape->task_count, sizeof *placement.device);
    placement.order = he_arena_alloc(&probe->arena, shape->task_count, sizeof *placement.order);
    status = placement.device && placement.order ? fill_graph(graph, shape) : he_no_memory();
    if (status == HE_OK)
        status = check_support(engine, shape, graph);
    if (status == HE_OK)
        status = he_cost_build(graph, engine->machine, NULL, NULL, &engine->alloc, &problem, &costs);
    if (status != HE_OK) {
        he_graph_destroy(graph);
        return status;
    }
    for (uint32_t t = 0; t < shape->task_count; t++) {
        placement.order[t] = t;
        placement.device[t] = shape->devices[t / (shape->stay ? shape->stay : 1) % 2];
    }
    return he_plan_create_placed(graph, engine->machine, problem, costs, &placement,
                                 HE_OBJECTIVE_LATENCY, &engine->alloc, &probe->plan);
}

/* Small numbers around 0: no denormals, and a product of them stays small. */
static he_status make_tensors(struct he_probe *probe, const struct he_probe_shape *shape)
{
    size_t count, bytes;
    float *in, *out;

    if (!he_size_mul((size_t)shape->rows, (size_t)shape->columns, &count) ||
        !he_size_mul(count, sizeof *in, &bytes))
        return he_no_memory();
    in = he_arena_alloc(&probe->arena, bytes + 64, 1);
    out = he_arena_alloc(&probe->arena, bytes + 64, 1);
    if (!in || !out)
        return he_no_memory();
    in += (64 - (uintptr_t)in % 64) % 64 / sizeof *in;
    out += (64 - (uintptr_t)out % 64) % 64 / sizeof *out;
    for (size_t k = 0; k < count; k++)
        in[k] = ((float)(k % 17) - 8) * 0x1p-8f;
    probe->dims[0] = shape->rows;
    probe->dims[1] = shape->columns;
    probe->in = (DLTensor){ .data = in, .device = { kDLCPU, 0 }, .ndim = 2,
                            .dtype = { kDLFloat, 32, 1 }, .shape = probe->dims };
    probe->out = probe->in;
    probe->out.data = out;
    return HE_OK;
}

he_status he_probe_open(struct he_engine *engine, const struct he_probe_shape *shape,
                        struct he_probe **out)
{
    /* What is measured is these devices: no others may take over. */
    struct he_session_options options = { .struct_size = sizeof options,
                                          .on_device_loss = HE_ON_LOSS_FAIL };
    struct he_probe *probe = he_alloc(&engine->alloc, 1, sizeof *probe);
    he_status status;

    *out = NULL;
    if (!probe)
        return he_no_memory();
    he_arena_init(&probe->arena, &engine->alloc);
    status = make_plan(probe, engine, shape);
    if (status == HE_OK)
        status = make_tensors(probe, shape);
    if (status == HE_OK)
        status = he_session_create(engine, probe->plan, &options, &probe->session);
    if (status != HE_OK) {
        he_probe_close(probe);
        return status;
    }
    *out = probe;
    return HE_OK;
}

void he_probe_close(struct he_probe *probe)
{
    struct he_allocator alloc;

    if (!probe)
        return;
    alloc = probe->arena.alloc;
    he_session_destroy(probe->session);
    he_plan_destroy(probe->plan);
    he_arena_fini(&probe->arena);
    he_free(&alloc, probe);
}

he_status he_probe_run(struct he_probe *probe, double *seconds)
{
    const DLTensor *inputs[] = { &probe->in };
    struct he_output output = { .into = &probe->out };
    uint64_t start_ns = he_now_ns();
    he_status status = he_session_run(probe->session, inputs, 1, &output, 1);

    *seconds = (double)(he_now_ns() - start_ns) * 1e-9;
    return status;
}
