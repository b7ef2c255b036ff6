/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways this device knows of doing a task, and what can be said of each before it is
 * measured. Convolutions with constant weights:
 *
 *     winograd  in oneDNN's blocked layout, 3x3 of stride 1 only
 *     last      direct, channels-last      blocked  direct, oneDNN's blocked layout
 *     plain     direct, row-major          gemm     windows laid out, then a matrix product
 *     builtin   our own loops
 *
 * Products with constant weights: packed (oneDNN's format of the weights), plain (as they lie),
 * inner and inner-plain (the same as an inner product, which oneDNN does by other kernels), builtin.
 *
 * "auto" is what the makers' own rules choose (onednn_conv.c, onednn_product.c). Figures
 * are those of ONEDNN.md, on one core: direct 110 GFLOP/s in channels-last, 75 in the plain
 * layout; a reordering copy 20 GB/s; about 1 us for a call.
 */
#include "config.h"

#include <string.h>

#include "program.h"

#define RATE_LAST 110e9
#define RATE_PLAIN 75e9
#define RATE_BUILTIN 8e9
#define RATE_STREAM 22e9 /* weights read once, in order */
#define RATE_PACKED_STREAM 14e9
#define RATE_COPY 20e9
#define CALL_SECONDS 1e-6

#ifdef HE_HAVE_ONEDNN

struct way {
    const char *name, *algorithm, *layout;
    double rate;  /* FLOP/s, counted as the direct way counts */
    double extra; /* bytes moved beside the operands */
    int calls;
};

struct listing {
    struct he_variant *out;
    size_t capacity, count;
    const struct he_work *work;
};

/* Ways are written in any order behind "auto". */
static void add(struct listing *l, const struct way *way)
{
    double bytes = l->work->read_bytes + l->work->write_bytes;
    double seconds = l->work->flops / way->rate + way->extra / RATE_COPY;

    if (l->count < l->capacity)
        l->out[l->count] = (struct he_variant){
            .struct_size = sizeof *l->out, .name = way->name, .algorithm = way->algorithm,
            .layout = way->layout, .dtype = "float32",
            .density = way->rate / RATE_LAST,
            .locality = bytes > 0 ? bytes / (bytes + way->extra) : 1,
            .sync = way->calls * CALL_SECONDS / (way->calls * CALL_SECONDS + seconds) };
    l->count++;
}

static bool is_constant(const struct he_graph *graph, const struct he_node *node, uint32_t k)
{
    return k < node->input_count && node->inputs[k] != HE_NONE &&
           graph->values[node->inputs[k]].data != NULL;
}

/* True when the attribute is absent or all of it is @value. */
static bool ints_are(const struct he_node *node, const char *name, int64_t value)
{
    for (uint32_t k = 0; k < node->attr_count; k++) {
        const struct he_attr *attr = &node->attrs[k];

        if (strcmp(attr->name, name) != 0 || attr->kind != HE_ATTR_INTS)
            continue;
        for (size_t i = 0; i < attr->count; i++) {
            if (attr->ints[i] != value)
                return false;
        }
    }
    return true;
}

static void list_conv(struct listing *l, const struct he_graph *graph, const struct he_node *node)
{
    const struct he_shape *in = &graph->values[node->inputs[0]].shape;
    const struct he_shape *out = &graph->values[node->outputs[0]].shape;
    const struct he_shape *w = &graph->values[node->inputs[1]].shape;
    double in_bytes = 4.0 * (double)he_shape_count(in), out_bytes = 4.0 * (double)he_shape_count(out);
    double window = 1;
    bool is_grouped = he_node_int(node, "group", 1) > 1;
    bool is_small = w->rank == 4 && w->dims[2] == 3 && w->dims[3] == 3 && !is_grouped &&
                    ints_are(node, "strides", 1) && ints_are(node, "dilations", 1) &&
                    w->dims[0] >= 16 && w->dims[1] >= 16;

    for (uint32_t d = 2; d < w->rank; d++)
        window *= (double)w->dims[d];
    add(l, &(struct way){ "auto", "by rule", "by rule", is_small ? 2 * RATE_LAST : RATE_LAST, 0, 1 });
    add(l, &(struct way){ "last", "direct", "channels-last", RATE_LAST, 0, 1 });
    add(l, &(struct way){ "plain", "direct", "plain", is_grouped ? RATE_PLAIN / 10 : RATE_PLAIN, 0, 1 });
    add(l, &(struct way){ "blocked", "direct", "blocked", RATE_LAST, in_bytes + out_bytes, 3 });
    if (is_small)
        add(l, &(struct way){ "winograd", "winograd", "blocked", 2 * RATE_LAST, in_bytes + out_bytes,
                              3 });
    if (!is_grouped)
        add(l, &(struct way){ "gemm", "gemm", "plain", RATE_PLAIN,
                              window > 1 ? window * in_bytes : 0, 2 });
    add(l, &(struct way){ "builtin", "direct loops", "plain", RATE_BUILTIN, 0, 1 });
}

static void list_product(struct listing *l, const struct he_graph *graph,
                         const struct he_node *node)
{
    const struct he_shape *out = &graph->values[node->outputs[0]].shape;
    double weights = 4.0 * (double)he_shape_count(&graph->values[node->inputs[1]].shape);
    double rows = 1, stream, packed;

    for (uint32_t d = 0; d + 1 < out->rank; d++)
        rows *= (double)out->dims[d];
    /* A row reads every weight once: memory decides, and it likes them in order. */
    stream = RATE_STREAM / weights * l->work->flops;
    packed = RATE_PACKED_STREAM / weights * l->work->flops;
    stream = stream < RATE_PLAIN ? stream : RATE_PLAIN;
    packed = packed < RATE_LAST ? packed : RATE_LAST;
    add(l, &(struct way){ "auto", "by rule", "by rule", rows == 1 ? stream : packed, 0, 1 });
    add(l, &(struct way){ "packed", "matrix product", "packed weights", packed, 0, 1 });
    add(l, &(struct way){ "plain", "matrix product", "plain weights", stream, 0, 1 });
    add(l, &(struct way){ "inner", "inner product", "packed weights", packed, 0, 1 });
    add(l, &(struct way){ "inner-plain", "inner product", "plain weights", stream, 0, 1 });
    add(l, &(struct way){ "builtin", "matrix product", "plain weights", RATE_BUILTIN, 0, 1 });
}

/* The kernels can do every node of it: "builtin" is a way. */
static bool is_ours(const struct he_graph *graph, const struct he_task *task)
{
    for (uint32_t n = 0; n < task->node_count; n++) {
        const struct he_node *node = &graph->nodes[task->nodes[n]];

        if (!cpu_is_view(graph, node) && !cpu_node_kernel(graph, node))
            return false;
    }
    return true;
}

static bool is_float_of_known_shape(const struct he_graph *graph, uint32_t value)
{
    return value != HE_NONE && graph->values[value].dtype == HE_FLOAT32 &&
           he_shape_is_static(&graph->values[value].shape) &&
           he_shape_count(&graph->values[value].shape) > 0;
}

he_status cpu_variants(const struct cpu_compile *settings, const struct he_graph *graph,
                       const struct he_task *task, struct he_variant *out, size_t capacity,
                       size_t *count)
{
    const struct he_node *node = &graph->nodes[task->anchor];
    struct listing list = { .out = out, .capacity = capacity, .work = &task->work };

    *count = 0;
    /* The matrix device has the one way that its unit knows. */
    if (settings->use_bf16 || task->is_dynamic || task->nodes[0] != task->anchor ||
        node->input_count < 2 || node->output_count < 1 || !is_constant(graph, node, 1) ||
        !is_float_of_known_shape(graph, node->inputs[0]) ||
        !is_float_of_known_shape(graph, node->inputs[1]) ||
        !is_float_of_known_shape(graph, node->outputs[0]) || task->work.flops <= 0 ||
        (*node->domain && strcmp(node->domain, "ai.onnx") != 0) || !cpu_onednn_open())
        return HE_OK;
    if (strcmp(node->op, "Conv") == 0)
        list_conv(&list, graph, node);
    else if ((strcmp(node->op, "Gemm") == 0 || strcmp(node->op, "MatMul") == 0) &&
             graph->values[node->inputs[1]].shape.rank == 2)
        list_product(&list, graph, node);
    /* "builtin" is the last of either list. */
    if (list.count > 0 && !is_ours(graph, task))
        list.count--;
    *count = list.count;
    return HE_OK;
}

#else

he_status cpu_variants(const struct cpu_compile *settings, const struct he_graph *graph,
                       const struct he_task *task, struct he_variant *out, size_t capacity,
                       size_t *count)
{
    (void)settings;
    (void)graph;
    (void)task;
    (void)out;
    (void)capacity;
    *count = 0;
    return HE_OK;
}

#endif
