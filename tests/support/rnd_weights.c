/* SPDX-License-Identifier: Apache-2.0 */
#include "rnd_weights.h"

#include <math.h>
#include <string.h>

#include "core/map.h"
#include "core/size.h"

uint32_t rnd_seed(const char *name)
{
    uint32_t crc = 0xffffffffu;

    for (; *name; name++) {
        crc ^= (uint8_t)*name;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

float rnd_value(uint32_t seed, uint64_t index)
{
    uint32_t h = (uint32_t)(index * 2654435761u + seed);

    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    h ^= h >> 16;
    return (float)(h >> 8) * 0x1p-23f - 1.0f;
}

double rnd_classifier_scale(const char *path)
{
    static const struct {
        const char *net;
        double scale;
    } nets[] = {
        { "resnet50", 0.02 },    { "squeezenet", 2 }, { "shufflenet", 0.02 },
        { "inception_v1", 10 },  { "inception_v2", 10 }, { "bvlc_alexnet", 4 },
        { "zfnet512", 8 },       { "vgg19", 3 },      { "densenet121", 1 },
    };
    const char *slash = strrchr(path, '/');

    for (size_t k = 0; k < HE_COUNT(nets); k++) {
        if (strstr(slash ? slash : path, nets[k].net))
            return nets[k].scale;
    }
    return 1;
}

static bool is_op(const struct onnx_node *node, const char *op_type)
{
    return !*node->domain && strcmp(node->op_type, op_type) == 0;
}

/* Nodes that give their input's elements another shape only. */
static bool is_view(const struct onnx_node *node)
{
    return is_op(node, "Unsqueeze") || is_op(node, "Squeeze") || is_op(node, "Reshape");
}

/* The first node in file order that reads @name, and as which input. Looks
 * through views; NULL when nobody reads it. */
static const struct onnx_node *first_reader(const struct onnx_graph *graph, const char *name,
                                            size_t *input)
{
    for (size_t k = 0; k < graph->node_count; k++) {
        const struct onnx_node *node = &graph->nodes[k];

        for (size_t i = 0; i < node->input_count; i++) {
            if (strcmp(node->inputs[i], name) != 0)
                continue;
            if (i == 0 && is_view(node) && node->output_count)
                return first_reader(graph, node->outputs[0], input);
            *input = i;
            return node;
        }
    }
    return NULL;
}

static int64_t product_from(const struct he_shape *shape, uint32_t first)
{
    int64_t product = 1;

    for (uint32_t k = first; k < shape->rank; k++)
        product *= shape->dims[k];
    return product;
}

static bool is_transposed(const struct onnx_node *gemm)
{
    for (size_t k = 0; k < gemm->attr_count; k++) {
        if (strcmp(gemm->attrs[k].name, "transB") == 0)
            return gemm->attrs[k].i != 0;
    }
    return false;
}

/* How many products each element of a Gemm's result sums. */
static int64_t gemm_depth(const struct onnx_node *gemm, const struct he_shape *shape)
{
    if (shape->rank != 2)
        return product_from(shape, 1);
    return shape->dims[is_transposed(gemm) ? 1 : 0];
}

/* value * scale + offset, by what the tensor is for. */
struct range {
    float scale, offset;
};

static struct range range_of(const struct onnx_node *reader, size_t input,
                             const struct he_shape *shape)
{
    if (reader && input == 1 && is_op(reader, "Conv"))
        return (struct range){ (float)sqrt(6.0 / (double)product_from(shape, 1)), 0 };
    if (reader && input == 1 && (is_op(reader, "Gemm") || is_op(reader, "MatMul")))
        return (struct range){ (float)sqrt(3.0 / (double)gemm_depth(reader, shape)), 0 };
    if (reader && ((input == 1 && is_op(reader, "BatchNormalization")) || is_op(reader, "Mul")))
        return (struct range){ 0.2f, 0.8f };
    if (reader && input == 4 && is_op(reader, "BatchNormalization"))
        return (struct range){ 0.5f, 1 };
    return (struct range){ 0.1f, 0 };
}

static const struct onnx_tensor *find_initializer(const struct onnx_graph *graph, const char *name)
{
    for (size_t k = 0; k < graph->initializer_count; k++) {
        if (strcmp(graph->initializers[k].name, name) == 0)
            return &graph->initializers[k];
    }
    return NULL;
}

static bool gives_floats(const struct onnx_node *node)
{
    for (size_t k = 0; k < node->attr_count; k++) {
        if (strcmp(node->attrs[k].name, "value") == 0 && node->attrs[k].tensor)
            return node->attrs[k].tensor->dtype == HE_FLOAT32;
    }
    return true; /* the operator's default */
}

static he_status read_shape(const struct onnx_graph *graph, const struct onnx_node *node,
                            struct he_shape *out)
{
    const struct onnx_tensor *shape =
        node->input_count ? find_initializer(graph, node->inputs[0]) : NULL;

    if (!shape || shape->dtype != HE_INT64 || shape->shape.rank != 1 ||
        shape->shape.dims[0] > HE_MAX_RANK)
        return he_error_set(HE_ERR_UNSUPPORTED, "the shape of '%s' is not an initializer",
                            node->outputs[0]);
    *out = (struct he_shape){ .rank = (uint32_t)shape->shape.dims[0] };
    if (shape->data_bytes)
        memcpy(out->dims, shape->data, shape->data_bytes);
    if (he_shape_bytes(out, HE_FLOAT32) < 0)
        return he_error_set(HE_ERR_SHAPE, "the shape of '%s' is impossible", node->outputs[0]);
    return HE_OK;
}

static he_status make_weight(struct he_model *model, const struct onnx_node *node,
                             const struct onnx_node *classifier, double classifier_scale,
                             struct onnx_tensor *out)
{
    const struct onnx_graph *graph = &model->graph;
    const struct onnx_node *reader;
    struct range range;
    float last = 1;
    uint32_t seed = rnd_seed(node->outputs[0]);
    size_t input = 0;
    float *data;
    he_status status;

    *out = (struct onnx_tensor){ .name = node->outputs[0], .dtype = HE_FLOAT32 };
    status = read_shape(graph, node, &out->shape);
    if (status != HE_OK)
        return status;
    out->data_bytes = (size_t)he_shape_bytes(&out->shape, HE_FLOAT32);
    data = he_arena_alloc(&model->arena, out->data_bytes, 1);
    if (!data)
        return he_no_memory();
    reader = first_reader(graph, out->name, &input);
    range = range_of(reader, input, &out->shape);
    if (reader && reader == classifier && input == 1)
        last = (float)classifier_scale;
    for (size_t k = 0; k < out->data_bytes / sizeof *data; k++)
        data[k] = (rnd_value(seed, k) * range.scale + range.offset) * last;
    out->data = data;
    return HE_OK;
}

static const struct onnx_node *last_product(const struct onnx_graph *graph)
{
    for (size_t k = graph->node_count; k-- > 0;) {
        if (is_op(&graph->nodes[k], "Conv") || is_op(&graph->nodes[k], "Gemm"))
            return &graph->nodes[k];
    }
    return NULL;
}

/* Drops the initializers nobody reads any more, and, from the inputs, all that
 * are initializers: from IR 4 on that makes them constants. */
static he_status tidy(struct he_model *model)
{
    struct onnx_graph *graph = &model->graph;
    struct he_map read, fed;
    uint32_t *indices, unused;
    size_t kept = 0;
    he_status status = HE_OK;

    he_map_init(&read, &model->arena);
    he_map_init(&fed, &model->arena);
    for (size_t k = 0; k < graph->node_count; k++) {
        for (size_t i = 0; i < graph->nodes[k].input_count && status == HE_OK; i++)
            status = he_map_put(&read, graph->nodes[k].inputs[i], 0);
    }
    for (size_t k = 0; k < graph->output_count && status == HE_OK; k++)
        status = he_map_put(&read, graph->outputs[k].name, 0);
    for (size_t k = 0; k < graph->initializer_count && status == HE_OK; k++) {
        struct onnx_tensor tensor = graph->initializers[k];

        status = he_map_put(&fed, tensor.name, 0);
        if (he_map_get(&read, tensor.name, &unused))
            graph->initializers[kept++] = tensor;
    }
    if (status != HE_OK)
        return status;
    graph->initializer_count = kept;
    kept = 0;
    for (size_t k = 0; k < graph->input_count; k++) {
        if (!he_map_get(&fed, graph->inputs[k].name, &unused))
            graph->inputs[kept++] = graph->inputs[k];
    }
    graph->input_count = kept;
    indices = he_arena_alloc(&model->arena, kept, sizeof *indices);
    if (!indices)
        return he_no_memory();
    for (size_t k = 0; k < kept; k++)
        indices[k] = (uint32_t)k;
    model->fed_inputs = indices;
    model->fed_input_count = kept;
    if (model->ir_version < 4)
        model->ir_version = 4;
    return HE_OK;
}

he_status rnd_weights_apply(struct he_model *model, double classifier_scale)
{
    struct onnx_graph *graph = &model->graph;
    const struct onnx_node *classifier = last_product(graph);
    struct onnx_tensor *initializers;
    size_t count = graph->initializer_count, node_count = 0;

    initializers = he_arena_alloc(&model->arena, graph->node_count + count, sizeof *initializers);
    if (!initializers)
        return he_no_memory();
    if (count)
        memcpy(initializers, graph->initializers, count * sizeof *initializers);
    for (size_t k = 0; k < graph->node_count; k++) {
        const struct onnx_node *node = &graph->nodes[k];
        he_status status;

        if (!is_op(node, "ConstantOfShape") || !node->output_count || !gives_floats(node))
            continue;
        status = make_weight(model, node, classifier, classifier_scale, &initializers[count]);
        if (status != HE_OK)
            return status;
        count++;
    }
    /* Only now, since readers were looked for among all nodes. */
    for (size_t k = 0; k < graph->node_count; k++) {
        const struct onnx_node *node = &graph->nodes[k];

        if (!is_op(node, "ConstantOfShape") || !node->output_count || !gives_floats(node))
            graph->nodes[node_count++] = *node;
    }
    graph->node_count = node_count;
    graph->initializers = initializers;
    graph->initializer_count = count;
    return tidy(model);
}
