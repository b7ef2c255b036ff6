/* SPDX-License-Identifier: Apache-2.0 */
#include "graph_run.h"

#include <math.h>
#include <string.h>

#include "core/device.h"
#include "engine/engine.h"

const struct he_evaluator *graph_run_evaluator(void)
{
    static struct he_evaluator evaluator;
    struct he_device_config config = { .struct_size = sizeof config,
                                       .threads = 1,
                                       .allocator = he_allocator_default };
    struct he_device *dev;

    if (evaluator.eval)
        return &evaluator;
    if (he_device_open(he_backend_find("cpu"), 0, &config, &he_allocator_default, &dev) != HE_OK)
        return NULL;
    evaluator = he_device_evaluator(dev);
    return &evaluator;
}

struct he_tensor graph_run_input(const struct he_value *value, struct he_arena *arena)
{
    int64_t count = he_shape_count(&value->shape);
    struct he_tensor out = he_tensor_dense(value->dtype, &value->shape,
                                           he_arena_alloc(arena, (size_t)count, 8));
    uint32_t state = 2166136261u;

    for (const char *c = value->name; *c; c++)
        state = (state ^ (uint32_t)*c) * 16777619u;
    for (int64_t k = 0; k < count; k++) {
        state = state * 1664525u + 1013904223u;
        if (value->dtype == HE_FLOAT32)
            ((float *)out.data)[k] = (float)(state >> 8) / (1 << 22) - 2;
        else if (value->dtype == HE_INT32)
            ((int32_t *)out.data)[k] = (int32_t)(state >> 28);
        else if (value->dtype == HE_INT64)
            ((int64_t *)out.data)[k] = state >> 28;
        else
            ((unsigned char *)out.data)[k] = state >> 31;
    }
    return out;
}

static he_status run_node(struct he_graph *graph, uint32_t n, struct he_tensor *tensors,
                          struct he_arena *arena)
{
    const struct he_evaluator *evaluator = graph_run_evaluator();
    const struct he_node *node = &graph->nodes[n];
    struct he_tensor *in = he_arena_alloc(arena, node->input_count, sizeof *in);
    struct he_tensor *out = he_arena_alloc(arena, node->output_count, sizeof *out);
    he_status status;

    if (!in || !out || !evaluator)
        return he_no_memory();
    for (uint32_t k = 0; k < node->input_count; k++)
        if (node->inputs[k] != HE_NONE)
            in[k] = tensors[node->inputs[k]];
    for (uint32_t k = 0; k < node->output_count; k++)
        if (node->outputs[k] != HE_NONE)
            out[k] = he_tensor_dense(graph->values[node->outputs[k]].dtype,
                                     &graph->values[node->outputs[k]].shape, NULL);
    status = evaluator->eval(evaluator->self, graph, node, in, out, arena);
    if (status != HE_OK)
        return he_error_prefix(status, "%s", node->op);
    for (uint32_t k = 0; k < node->output_count; k++) {
        struct he_value *value;

        if (node->outputs[k] == HE_NONE)
            continue;
        value = &graph->values[node->outputs[k]];
        tensors[node->outputs[k]] = out[k];
        if (!he_shape_equal(&value->shape, &out[k].shape) || value->dtype != out[k].dtype)
            return he_error_set(HE_ERR_SHAPE, "%s gives another shape than inferred", node->op);
        value->data_bytes = (size_t)he_shape_bytes(&value->shape, value->dtype);
    }
    return HE_OK;
}

he_status graph_run(struct he_graph *graph, struct he_arena *arena, const struct he_tensor *inputs,
                    struct he_tensor *outputs)
{
    struct he_tensor *tensors = he_arena_alloc(arena, graph->value_count, sizeof *tensors);
    he_status status = tensors ? HE_OK : he_no_memory();

    for (uint32_t v = 0; status == HE_OK && v < graph->value_count; v++) {
        const struct he_value *value = &graph->values[v];

        if (value->data)
            tensors[v] = he_tensor_dense(value->dtype, &value->shape,
                                         he_arena_copy(arena, value->data, value->data_bytes));
    }
    for (uint32_t k = 0; status == HE_OK && k < graph->input_count; k++) {
        struct he_value *value = &graph->values[graph->inputs[k]];

        tensors[graph->inputs[k]] = inputs ? inputs[k] : graph_run_input(value, arena);
        value->data_bytes = (size_t)he_shape_bytes(&value->shape, value->dtype);
    }
    for (uint32_t n = 0; status == HE_OK && n < graph->node_count; n++)
        status = run_node(graph, n, tensors, arena);
    for (uint32_t k = 0; status == HE_OK && k < graph->output_count; k++)
        outputs[k] = tensors[graph->outputs[k]];
    return status;
}

double graph_run_difference(const struct he_tensor *a, const struct he_tensor *b)
{
    int64_t count = he_shape_count(&a->shape);
    double worst = 0, largest = 1;

    if (a->dtype != b->dtype || !he_shape_equal(&a->shape, &b->shape))
        return INFINITY;
    if (a->dtype != HE_FLOAT32)
        return memcmp(a->data, b->data, (size_t)he_shape_bytes(&a->shape, a->dtype)) ? INFINITY : 0;
    for (int64_t k = 0; k < count; k++) {
        double x = ((float *)a->data)[k], y = ((float *)b->data)[k];

        if (isnan(x) != isnan(y))
            return INFINITY;
        if (isnan(x) || x == y)
            continue;
        largest = fmax(largest, fabs(x));
        worst = fmax(worst, fabs(x - y));
    }
    return worst / largest;
}
