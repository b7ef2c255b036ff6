/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Late tasks: see late.h. A late task is copied into a little graph of its own, whose values get
 * the shapes and contents of this launch; its region is then compiled and bound like any other.
 * What the shape rules work out as contents (Shape of a tensor) is written without a kernel.
 *
 * An output whose size depends on data (NonZero) is computed into memory for the largest it could be, with
 * a count beside it, and cut to the count on its way out: its kernels have one output more
 * than the operator, for the count.
 */
#include "late.h"

#include <string.h>

#include "build.h"

/* --- Inputs whose contents the host has to know --- */

enum made_up { ZEROS, ONES, COUNTING, MANY };

static const struct wanted {
    const char *op;
    uint32_t input;
    enum made_up contents; /* for a trial */
} wanted[] = {
    { "Reshape", 1, ONES },      { "Expand", 1, ONES },         { "Tile", 1, ONES },
    { "Tile", 2, ZEROS },        { "ConstantOfShape", 0, ONES }, { "Slice", 1, ZEROS },
    { "Slice", 2, MANY },        { "Slice", 3, COUNTING },      { "Slice", 4, ONES },
    { "Pad", 1, ZEROS },         { "Pad", 3, COUNTING },        { "Resize", 1, ONES },
    { "Resize", 2, ONES },       { "Resize", 3, ONES },         { "Upsample", 1, ONES },
    { "Squeeze", 1, COUNTING },  { "Unsqueeze", 1, COUNTING },  { "ReduceSum", 1, COUNTING },
    { "ReduceMean", 1, COUNTING }, { "ReduceMax", 1, COUNTING }, { "ReduceMin", 1, COUNTING },
    { "ReduceProd", 1, COUNTING }, { "ReduceSumSquare", 1, COUNTING }, { "ReduceL1", 1, COUNTING },
    { "ReduceL2", 1, COUNTING }, { "ReduceLogSum", 1, COUNTING }, { "ReduceLogSumExp", 1, COUNTING },
    { "Split", 1, ONES },        { "TopK", 1, ONES },           { "OneHot", 1, ONES },
    { "Range", 0, ZEROS },       { "Range", 1, ONES },          { "Range", 2, ONES },
    { "CumSum", 1, ZEROS },      { "Trilu", 1, ZEROS },         { "CenterCropPad", 1, ONES },
    { "HannWindow", 0, ONES },   { "HammingWindow", 0, ONES },  { "BlackmanWindow", 0, ONES },
    { "DFT", 1, ONES },          { "DFT", 2, ONES },            { "Dropout", 1, ZEROS },
    { "Dropout", 2, ZEROS },     { "NonMaxSuppression", 2, ONES }, { "MaxUnpool", 2, ONES },
    { "MelWeightMatrix", 0, ONES }, { "MelWeightMatrix", 1, ONES }, { "MelWeightMatrix", 2, ONES },
    { "MelWeightMatrix", 3, ZEROS }, { "MelWeightMatrix", 4, ONES }, { "STFT", 1, ONES },
    { "STFT", 3, ONES },         { "Col2Im", 1, ONES },         { "Col2Im", 2, ONES },
    { "AffineGrid", 1, ONES },
};

static const struct wanted *find_wanted(const struct he_node *node, uint32_t input)
{
    for (size_t k = 0; k < sizeof wanted / sizeof wanted[0]; k++)
        if (wanted[k].input == input && opencl_is(node, wanted[k].op))
            return &wanted[k];
    return NULL;
}

/* --- Outputs whose size depends on data --- */

static int64_t most_nonzero(const struct he_value *const *in, const struct he_node *node,
                            struct he_value *const *out)
{
    (void)node;
    out[0]->dtype = HE_INT64;
    out[0]->shape = (struct he_shape){
        .rank = 2, .dims = { in[0]->shape.rank ? in[0]->shape.rank : 1, he_shape_count(&in[0]->shape) }
    };
    return 1;
}

static int64_t most_compress(const struct he_value *const *in, const struct he_node *node,
                             struct he_value *const *out)
{
    int64_t axis = he_node_int(node, "axis", 0), most = he_shape_count(&in[1]->shape);

    out[0]->dtype = in[0]->dtype;
    out[0]->shape = in[0]->shape;
    if (!he_node_attr(node, "axis")) {
        out[0]->shape = (struct he_shape){ .rank = 1, .dims = { he_shape_count(&in[0]->shape) } };
        axis = 0;
    }
    axis += axis < 0 ? in[0]->shape.rank : 0;
    if (axis < 0 || axis >= out[0]->shape.rank)
        return -1;
    if (most < out[0]->shape.dims[axis])
        out[0]->shape.dims[axis] = most;
    return axis;
}

static int64_t most_suppressed(const struct he_value *const *in, const struct he_node *node,
                               struct he_value *const *out)
{
    int64_t most = 0;
    size_t count;

    (void)node;
    if (in[0]->shape.rank != 3 || in[1]->shape.rank != 3)
        return -1;
    if (in[2] && (!opencl_ints(in[2], &most, 1, &count) || most < 0))
        return -1;
    if (most > in[0]->shape.dims[1])
        most = in[0]->shape.dims[1];
    out[0]->dtype = HE_INT64;
    out[0]->shape = (struct he_shape){
        .rank = 2, .dims = { in[1]->shape.dims[0] * in[1]->shape.dims[1] * most, 3 }
    };
    return 0;
}

static const struct counted {
    const char *op;
    uint32_t inputs; /* that must be there */
    /* Sets type and largest shape of every output wanted; the axis to be cut, -1 when impossible. */
    int64_t (*most)(const struct he_value *const *in, const struct he_node *node,
                    struct he_value *const *out);
} counted[] = {
    { "NonZero", 1, most_nonzero },
    { "Compress", 2, most_compress },
    { "NonMaxSuppression", 2, most_suppressed },
};

static const struct counted *find_counted(const struct he_node *node)
{
    for (size_t k = 0; k < sizeof counted / sizeof counted[0]; k++)
        if (opencl_is(node, counted[k].op))
            return &counted[k];
    return NULL;
}

bool opencl_task_is_late(const struct he_graph *graph, const struct he_task *task)
{
    for (uint32_t n = 0; n < task->node_count; n++) {
        const struct he_node *node = &graph->nodes[task->nodes[n]];

        if (find_counted(node))
            return true;
        for (uint32_t k = 0; k < node->input_count + node->output_count; k++) {
            bool is_input = k < node->input_count;
            uint32_t v = is_input ? node->inputs[k] : node->outputs[k - node->input_count];

            if (v == HE_NONE)
                continue;
            if (!he_shape_is_static(&graph->values[v].shape))
                return true;
            if (is_input && !graph->values[v].data && find_wanted(node, k) &&
                he_shape_count(&graph->values[v].shape) > 0)
                return true;
        }
    }
    return false;
}

/* --- The little graph --- */

struct little {
    const struct he_allocator *alloc;
    struct he_graph graph;
    struct he_task task;
    uint32_t *from;  /* per value: which of the whole graph; HE_NONE for the count */
    bool *is_wanted; /* per value: contents */
    bool *is_made;   /* per value: by a node of the task */
    uint32_t *links; /* inputs and outputs of all nodes */
    int64_t cut_axis; /* of the output to be cut, -1 without */
    int64_t count_data;
};

static void little_fini(struct little *l)
{
    opencl_free(l->alloc, l->graph.values);
    opencl_free(l->alloc, l->graph.nodes);
    opencl_free(l->alloc, l->from);
    opencl_free(l->alloc, l->is_wanted);
    opencl_free(l->alloc, l->is_made);
    opencl_free(l->alloc, l->links);
    opencl_free(l->alloc, l->task.nodes);
    opencl_free(l->alloc, l->task.inputs);
    opencl_free(l->alloc, l->task.outputs);
    *l = (struct little){ .alloc = l->alloc };
}

static uint32_t little_value(struct little *l, const struct he_graph *graph, uint32_t v)
{
    for (uint32_t k = 0; k < l->graph.value_count; k++)
        if (l->from[k] == v)
            return k;
    l->from[l->graph.value_count] = v;
    l->graph.values[l->graph.value_count] = graph->values[v];
    return l->graph.value_count++;
}

static void little_nodes(struct little *l, const struct he_graph *graph, const struct he_task *task)
{
    uint32_t *link = l->links;

    for (uint32_t n = 0; n < task->node_count; n++) {
        const struct he_node *node = &graph->nodes[task->nodes[n]];
        struct he_node *copy = &l->graph.nodes[n];

        *copy = *node;
        copy->task = 0;
        copy->inputs = link;
        link += node->input_count;
        copy->outputs = link;
        link += node->output_count;
        for (uint32_t k = 0; k < node->input_count; k++) {
            uint32_t v = node->inputs[k];

            copy->inputs[k] = v == HE_NONE ? HE_NONE : little_value(l, graph, v);
            if (v != HE_NONE && !graph->values[v].data && find_wanted(node, k))
                l->is_wanted[copy->inputs[k]] = true;
        }
        for (uint32_t k = 0; k < node->output_count; k++) {
            uint32_t v = node->outputs[k];

            copy->outputs[k] = v == HE_NONE ? HE_NONE : little_value(l, graph, v);
            if (v == HE_NONE)
                continue;
            l->is_made[copy->outputs[k]] = true;
            l->graph.values[copy->outputs[k]].producer = n;
        }
        if (find_counted(node)) { /* one output more */
            uint32_t count = l->graph.value_count++;

            l->from[count] = HE_NONE;
            l->graph.values[count] = (struct he_value){ .name = "count", .dtype = HE_INT64,
                                                        .shape = { .rank = 1, .dims = { 1 } },
                                                        .producer = n };
            l->is_made[count] = true;
            copy->outputs[copy->output_count++] = count;
            link++;
        }
        l->task.nodes[n] = n;
    }
    l->task.node_count = l->graph.node_count = task->node_count;
}

static he_status little_init(struct little *l, const struct he_allocator *alloc,
                             const struct he_graph *graph, const struct he_task *task)
{
    uint32_t links = 0;

    *l = (struct little){ .alloc = alloc, .task = *task, .cut_axis = -1 };
    for (uint32_t n = 0; n < task->node_count; n++)
        links += graph->nodes[task->nodes[n]].input_count +
                 graph->nodes[task->nodes[n]].output_count + 1;
    l->graph = (struct he_graph){ .name = graph->name, .task_count = 1, .owner = NULL };
    l->graph.values = opencl_alloc(alloc, links, sizeof *l->graph.values);
    l->graph.nodes = opencl_alloc(alloc, task->node_count, sizeof *l->graph.nodes);
    l->from = opencl_alloc(alloc, links, sizeof *l->from);
    l->is_wanted = opencl_alloc(alloc, links, sizeof *l->is_wanted);
    l->is_made = opencl_alloc(alloc, links, sizeof *l->is_made);
    l->links = opencl_alloc(alloc, links, sizeof *l->links);
    l->task.nodes = opencl_alloc(alloc, task->node_count, sizeof *l->task.nodes);
    l->task.inputs = opencl_alloc(alloc, task->input_count, sizeof *l->task.inputs);
    l->task.outputs = opencl_alloc(alloc, task->output_count + 1, sizeof *l->task.outputs);
    if (!l->graph.values || !l->graph.nodes || !l->from || !l->is_wanted || !l->is_made ||
        !l->links || !l->task.nodes || !l->task.inputs || !l->task.outputs) {
        little_fini(l);
        return opencl_no_memory();
    }
    little_nodes(l, graph, task);
    l->graph.tasks = &l->task;
    l->task.anchor = 0;
    for (uint32_t n = 0; n < task->node_count; n++)
        if (task->nodes[n] == task->anchor)
            l->task.anchor = n;
    for (uint32_t k = 0; k < task->input_count; k++)
        l->task.inputs[k] = little_value(l, graph, task->inputs[k]);
    for (uint32_t k = 0; k < task->output_count; k++)
        l->task.outputs[k] = little_value(l, graph, task->outputs[k]);
    for (uint32_t k = 0; k < l->graph.value_count; k++)
        if (l->from[k] == HE_NONE)
            l->task.outputs[l->task.output_count++] = k;
    return HE_OK;
}

#define LINKS_MAX 64

/* Shapes (and contents, where shape arithmetic gives them) of all the task makes. */
static he_status little_infer(struct little *l)
{
    for (uint32_t n = 0; n < l->graph.node_count; n++) {
        const struct he_node *node = &l->graph.nodes[n];
        const struct counted *counts = find_counted(node);
        const struct he_value *in[LINKS_MAX] = { 0 };
        struct he_value *out[LINKS_MAX] = { 0 };
        uint32_t outputs = node->output_count - (counts != NULL);
        struct he_node plain = *node;
        he_status status;

        if (node->input_count > LINKS_MAX || outputs > LINKS_MAX)
            return opencl_refuse(node, "more than %d inputs or outputs", LINKS_MAX);
        plain.output_count = outputs;
        for (uint32_t k = 0; k < node->input_count; k++)
            in[k] = node->inputs[k] == HE_NONE ? NULL : &l->graph.values[node->inputs[k]];
        for (uint32_t k = 0; k < outputs; k++) {
            if (node->outputs[k] == HE_NONE)
                continue;
            out[k] = &l->graph.values[node->outputs[k]];
            out[k]->shape = (struct he_shape){ .rank = HE_RANK_UNKNOWN };
            out[k]->has_known_ints = false;
            out[k]->data = NULL;
        }
        if (counts) {
            for (uint32_t k = 0; k < counts->inputs; k++)
                if (!in[k] || !he_shape_is_static(&in[k]->shape))
                    return opencl_refuse(node, "its input %u has no known shape", k);
            l->cut_axis = out[0] ? counts->most(in, node, out) : -1;
            if (l->cut_axis < 0)
                return opencl_refuse(node, "its largest output is not known");
            continue;
        }
        status = he_op_infer(&plain, in, out);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

/* --- Trials --- */

static he_status make_up(struct little *l, uint32_t v, enum made_up contents)
{
    struct he_value *value = &l->graph.values[v];
    int64_t count = he_shape_count(&value->shape);
    size_t size = he_dtype_bits(value->dtype) / 8;
    char *data;

    if (count < 0 || count > 4096 || !size || value->data)
        return HE_OK;
    data = opencl_alloc(l->alloc, (size_t)count, size);
    if (!data)
        return opencl_no_memory();
    for (int64_t k = 0; k < count && contents != ZEROS; k++) {
        int64_t number = contents == COUNTING ? k : contents == MANY ? 100 : 1;
        float real = (float)number;
        double wide = (double)number;

        memcpy(data + (size_t)k * size,
               value->dtype == HE_FLOAT32   ? (const void *)&real
               : value->dtype == HE_FLOAT64 ? (const void *)&wide
                                            : &number, /* little endian */
               size);
    }
    value->data = data;
    value->data_bytes = (size_t)count * size;
    return HE_OK;
}

he_status opencl_late_supported(struct opencl_device *dev, const struct he_graph *graph,
                                const struct he_task *task)
{
    struct opencl_build b = { .dev = dev };
    struct little l;
    he_status status = little_init(&l, &dev->alloc, graph, task);

    if (status != HE_OK)
        return status;
    for (uint32_t v = 0; v < l.graph.value_count && status == HE_OK; v++) {
        struct he_shape *shape = &l.graph.values[v].shape;

        if (l.is_made[v])
            continue;
        if (shape->rank == HE_RANK_UNKNOWN || l.graph.values[v].dtype == HE_DTYPE_NONE)
            status = opencl_refuse(&graph->nodes[task->anchor], "the rank of '%s' is not known",
                                   l.graph.values[v].name);
        for (uint32_t d = 0; status == HE_OK && d < shape->rank; d++)
            if (shape->dims[d] < 0)
                shape->dims[d] = 2;
    }
    for (uint32_t n = 0; n < l.graph.node_count && status == HE_OK; n++) {
        const struct he_node *node = &l.graph.nodes[n];

        for (uint32_t k = 0; k < node->input_count && status == HE_OK; k++)
            if (node->inputs[k] != HE_NONE && !l.is_made[node->inputs[k]] && find_wanted(node, k))
                status = make_up(&l, node->inputs[k], find_wanted(node, k)->contents);
    }
    if (status == HE_OK)
        status = little_infer(&l);
    if (status == HE_OK) {
        opencl_text_init(&b.body, &dev->alloc);
        b.graph = &l.graph;
        b.task = &l.task;
        status = opencl_emit_task(&b);
        opencl_text_fini(&b.body);
    } else if (status == HE_ERR_SHAPE) {
        status = HE_OK; /* what was made up does not fit together: real shapes will */
    }
    for (uint32_t v = 0; v < l.graph.value_count; v++)
        if (l.is_wanted[v])
            opencl_free(&dev->alloc, (void *)(uintptr_t)l.graph.values[v].data);
    little_fini(&l);
    return status;
}

/* --- Running --- */

struct opencl_late {
    struct opencl_device *dev;
    const struct he_region *whole;
    struct little little;
    uint32_t *slots; /* per value: slot of the whole region, HE_NONE without */
    void **contents; /* per value: what was read of it */
    struct opencl_text key; /* shapes and contents of the kernels that are there */
    struct he_slot *region_slots;
    struct he_binding *bindings;
    uint32_t task_zero;
    struct he_region region;
    struct opencl_program *program; /* NULL: nothing is computed */
    struct opencl_instance *instance;
    struct opencl_buffer *workspace, *count;
};

static void forget(struct opencl_late *late)
{
    opencl_instance_destroy(late->instance);
    opencl_program_destroy(late->program);
    opencl_buffer_destroy(late->dev, late->workspace);
    late->instance = NULL;
    late->program = NULL;
    late->workspace = NULL;
    opencl_text_clear(&late->key);
}

void opencl_late_destroy(struct opencl_late *late)
{
    const struct he_allocator *alloc;

    if (!late)
        return;
    alloc = &late->dev->alloc;
    forget(late);
    opencl_buffer_destroy(late->dev, late->count);
    opencl_text_fini(&late->key);
    for (uint32_t v = 0; late->contents && v < late->little.graph.value_count; v++)
        opencl_free(alloc, late->contents[v]);
    opencl_free(alloc, late->contents);
    opencl_free(alloc, late->slots);
    opencl_free(alloc, late->region_slots);
    opencl_free(alloc, late->bindings);
    little_fini(&late->little);
    opencl_free(alloc, late);
}

he_status opencl_late_create(struct opencl_device *dev, const struct he_region *region, uint32_t t,
                             struct opencl_late **out)
{
    struct opencl_late *late = opencl_alloc(&dev->alloc, 1, sizeof *late);
    he_status status;
    uint32_t count;

    if (!late)
        return opencl_no_memory();
    late->dev = dev;
    late->whole = region;
    opencl_text_init(&late->key, &dev->alloc);
    status = little_init(&late->little, &dev->alloc, region->graph,
                         &region->graph->tasks[region->tasks[t]]);
    if (status != HE_OK)
        goto fail;
    count = late->little.graph.value_count;
    late->slots = opencl_alloc(&dev->alloc, count, sizeof *late->slots);
    late->contents = opencl_alloc(&dev->alloc, count, sizeof *late->contents);
    late->region_slots = opencl_alloc(&dev->alloc, count, sizeof *late->region_slots);
    late->bindings = opencl_alloc(&dev->alloc, count, sizeof *late->bindings);
    if (!late->slots || !late->contents || !late->region_slots || !late->bindings) {
        status = opencl_no_memory();
        goto fail;
    }
    for (uint32_t v = 0; v < count; v++) {
        late->slots[v] = HE_NONE;
        for (uint32_t k = 0; k < region->slot_count; k++)
            if (late->little.from[v] != HE_NONE && region->slots[k].value == late->little.from[v])
                late->slots[v] = k;
        if (late->slots[v] == HE_NONE && late->little.from[v] != HE_NONE)
            continue;
        late->region_slots[late->region.slot_count++] = (struct he_slot){ .value = v,
                                                                          .alias = HE_NONE };
    }
    late->region.graph = &late->little.graph;
    late->region.tasks = &late->task_zero;
    late->region.task_count = 1;
    late->region.slots = late->region_slots;
    status = opencl_buffer_create(dev, sizeof(int64_t), &late->count);
    if (status != HE_OK)
        goto fail;
    *out = late;
    return HE_OK;
fail:
    opencl_late_destroy(late);
    return status;
}

/* Room on the device for a dynamic slot of @bytes. */
static he_status reserve(struct opencl_device *dev, struct opencl_held *held, size_t bytes)
{
    if (held->buffer && held->buffer->bytes >= bytes)
        return HE_OK;
    opencl_buffer_destroy(dev, held->buffer);
    held->buffer = NULL;
    return opencl_buffer_create(dev, bytes, &held->buffer);
}

/* Brings an input to the device, with its shape of this launch. */
static he_status load(struct opencl_late *late, uint32_t v, struct opencl_held *held)
{
    const struct he_dynamic_tensor *dynamic = held->binding.dynamic;
    struct he_value *value = &late->little.graph.values[v];
    int64_t bytes;
    he_status status;

    if (!dynamic)
        return HE_OK;
    if (!held->is_there) {
        if (!dynamic->data)
            return he_error_set(HE_ERR_INVALID, "value \"%s\" was not made before it is read",
                                value->name);
        bytes = he_shape_bytes(&dynamic->shape, dynamic->dtype);
        if (bytes < 0)
            return he_error_set(HE_ERR_SHAPE, "value \"%s\" has no size", value->name);
        status = reserve(late->dev, held, (size_t)bytes);
        if (status == HE_OK)
            status = opencl_device_ops.buffer_write(late->dev, held->buffer, 0, dynamic->data,
                                                    (size_t)bytes);
        if (status != HE_OK)
            return status;
        held->dtype = dynamic->dtype;
        held->shape = dynamic->shape;
        held->is_there = true;
    }
    value->dtype = held->dtype;
    value->shape = held->shape;
    return HE_OK;
}

static he_status read_contents(struct opencl_late *late, uint32_t v, const struct opencl_held *held)
{
    const struct he_allocator *alloc = &late->dev->alloc;
    struct he_value *value = &late->little.graph.values[v];
    int64_t bytes = he_shape_bytes(&value->shape, value->dtype);

    if (bytes < 0)
        return he_error_set(HE_ERR_SHAPE, "value \"%s\" has no size", value->name);
    opencl_free(alloc, late->contents[v]);
    late->contents[v] = opencl_alloc(alloc, (size_t)bytes + 1, 1);
    value->data = NULL;
    if (!late->contents[v])
        return opencl_no_memory();
    value->data = late->contents[v];
    value->data_bytes = (size_t)bytes;
    return opencl_device_ops.buffer_read(
        late->dev, held->binding.dynamic ? held->buffer : held->binding.buffer,
        held->binding.dynamic ? 0 : held->binding.offset, late->contents[v], (size_t)bytes);
}

/* The inputs of this launch; gives what kernels depend on in @key. */
static he_status load_inputs(struct opencl_late *late, struct opencl_held *held,
                             struct opencl_text *key)
{
    struct little *l = &late->little;

    for (uint32_t v = 0; v < l->graph.value_count; v++) {
        struct he_value *value = &l->graph.values[v];
        he_status status;

        if (l->is_made[v] || late->slots[v] == HE_NONE)
            continue;
        value->data = NULL;
        for (uint32_t k = 0; k < HE_MAX_RANK; k++) /* symbols: there will be numbers */
            value->has_known_ints &= value->known_ints[k] >= 0;
        status = load(late, v, &held[late->slots[v]]);
        if (status == HE_OK && l->is_wanted[v])
            status = read_contents(late, v, &held[late->slots[v]]);
        if (status != HE_OK)
            return status;
        opencl_text_append(key, (const char *)&value->dtype, sizeof value->dtype);
        opencl_text_append(key, (const char *)&value->shape.rank, sizeof value->shape.rank);
        opencl_text_append(key, (const char *)value->shape.dims,
                           value->shape.rank * sizeof *value->shape.dims);
        if (value->data)
            opencl_text_append(key, value->data, value->data_bytes);
    }
    return key->failed ? opencl_no_memory() : HE_OK;
}

/* All outputs are shape arithmetic: their contents are known already. */
static bool is_arithmetic(const struct opencl_late *late)
{
    const struct little *l = &late->little;

    for (uint32_t k = 0; k < l->task.output_count; k++) {
        const struct he_value *value = &l->graph.values[l->task.outputs[k]];
        int64_t count = he_shape_count(&value->shape);

        if (!value->has_known_ints || count < 0 || count > HE_MAX_RANK ||
            (value->dtype != HE_INT64 && value->dtype != HE_INT32))
            return false;
        for (int64_t i = 0; i < count; i++)
            if (value->known_ints[i] < 0)
                return false;
    }
    return true;
}

static he_status write_arithmetic(struct opencl_late *late)
{
    const struct little *l = &late->little;
    he_status status = HE_OK;

    for (uint32_t k = 0; k < l->task.output_count && status == HE_OK; k++) {
        uint32_t v = l->task.outputs[k];
        const struct he_value *value = &l->graph.values[v];
        int64_t count = he_shape_count(&value->shape);
        int32_t narrow[HE_MAX_RANK];
        bool is_wide = value->dtype == HE_INT64;

        for (int64_t i = 0; i < count; i++)
            narrow[i] = (int32_t)value->known_ints[i];
        for (uint32_t s = 0; s < late->region.slot_count; s++)
            if (late->region_slots[s].value == v)
                status = opencl_device_ops.buffer_write(
                    late->dev, late->bindings[s].buffer, late->bindings[s].offset,
                    is_wide ? (const void *)value->known_ints : narrow,
                    (size_t)count * (is_wide ? sizeof(int64_t) : sizeof(int32_t)));
    }
    return status;
}

/* Memory for every slot of the little region. */
static he_status place(struct opencl_late *late, struct opencl_held *held)
{
    const struct little *l = &late->little;

    for (uint32_t s = 0; s < late->region.slot_count; s++) {
        uint32_t v = late->region_slots[s].value;
        const struct he_value *value = &l->graph.values[v];
        int64_t bytes = he_shape_bytes(&value->shape, value->dtype);
        struct opencl_held *h;
        he_status status;

        if (late->slots[v] == HE_NONE) {
            late->bindings[s] = (struct he_binding){ .buffer = late->count };
            continue;
        }
        h = &held[late->slots[v]];
        late->bindings[s] = h->binding;
        if (bytes < 0)
            return he_error_set(HE_ERR_UNSUPPORTED, "%s: the shape of '%s' is not known even now",
                                l->graph.nodes[l->task.anchor].op, value->name);
        if (h->binding.dynamic) {
            status = l->is_made[v] ? reserve(late->dev, h, (size_t)bytes) : HE_OK;
            if (status != HE_OK)
                return status;
            late->bindings[s] = (struct he_binding){ .buffer = h->buffer };
        } else if (l->is_made[v] &&
                   !he_shape_equal(&value->shape, &late->whole->graph->values[l->from[v]].shape)) {
            return he_error_set(HE_ERR_SHAPE, "\"%s\" came out with another shape than planned",
                                value->name);
        }
    }
    return HE_OK;
}

/* Kernels for the shapes and contents at hand; those of the last launch, when nothing changed. */
static he_status prepare(struct opencl_late *late, struct opencl_held *held)
{
    struct opencl_text key;
    he_status status;
    bool is_known;

    opencl_text_init(&key, &late->dev->alloc);
    opencl_text_append(&key, "k", 1); /* never empty */
    status = load_inputs(late, held, &key);
    is_known = status == HE_OK && key.size == late->key.size &&
               memcmp(key.data, late->key.data, key.size) == 0;
    if (status == HE_OK && !is_known) {
        forget(late);
        status = little_infer(&late->little);
    }
    if (status == HE_OK)
        status = place(late, held);
    if (status == HE_OK && !is_known && !is_arithmetic(late)) {
        status = opencl_program_create(late->dev, &late->region, NULL, &late->program);
        if (status == HE_OK && late->program->workspace_bytes)
            status = opencl_buffer_create(late->dev, late->program->workspace_bytes,
                                          &late->workspace);
        if (status == HE_OK)
            status = opencl_instance_create(late->program, late->bindings, late->workspace, 0,
                                            &late->instance);
    } else if (late->instance) {
        for (uint32_t s = 0; s < late->region.slot_count && status == HE_OK; s++)
            status = opencl_instance_set(late->instance, s, &late->bindings[s]);
    }
    if (status != HE_OK) {
        forget(late);
    } else if (!is_known) {
        opencl_text_append(&late->key, key.data, key.size);
        if (late->key.failed)
            status = opencl_no_memory();
    }
    opencl_text_fini(&key);
    return status;
}

/* Room on the host for a dynamic output. */
static he_status shape_dynamic(struct opencl_device *dev, struct he_dynamic_tensor *tensor,
                               enum he_dtype dtype, const struct he_shape *shape)
{
    int64_t bytes = he_shape_bytes(shape, dtype);
    void *data;

    if (bytes < 0)
        return he_error_set(HE_ERR_SHAPE, "a tensor came out with a size that cannot be counted");
    if (!tensor->data || (size_t)bytes > tensor->capacity) {
        data = opencl_alloc(&dev->alloc, (size_t)bytes, 1);
        if (!data)
            return opencl_no_memory();
        opencl_free(&dev->alloc, tensor->data);
        tensor->data = data;
        tensor->capacity = (size_t)bytes;
    }
    tensor->dtype = dtype;
    tensor->shape = *shape;
    return HE_OK;
}

/* A dynamic output, cut to what it is, in the memory the core knows. */
static he_status bring_home(struct opencl_late *late, uint32_t v, struct opencl_held *held,
                            int64_t axis, int64_t count)
{
    const struct he_value *value = &late->little.graph.values[v];
    int64_t rows = 1, most, size = he_dtype_bits(value->dtype) / 8;
    struct he_shape shape = value->shape;
    struct he_dynamic_tensor *home = held->binding.dynamic;
    he_status status;

    if (axis >= 0)
        shape.dims[axis] = count;
    status = shape_dynamic(late->dev, home, value->dtype, &shape);
    if (status != HE_OK || he_shape_count(&shape) == 0)
        return status;
    if (axis < 0)
        return opencl_device_ops.buffer_read(late->dev, held->buffer, 0, home->data,
                                             (size_t)he_shape_bytes(&shape, value->dtype));
    rows = opencl_product(&shape, 0, (uint32_t)axis);
    size *= opencl_product(&shape, (uint32_t)axis + 1, shape.rank);
    most = value->shape.dims[axis];
    for (int64_t r = 0; r < rows && status == HE_OK; r++)
        status = opencl_device_ops.buffer_read(late->dev, held->buffer,
                                               (size_t)(r * most * size),
                                               (char *)home->data + r * count * size,
                                               (size_t)(count * size));
    return status;
}

static he_status finish(struct opencl_late *late, struct opencl_held *held)
{
    const struct little *l = &late->little;
    int64_t count = 0;
    he_status status = HE_OK;

    if (l->cut_axis >= 0)
        status = opencl_device_ops.buffer_read(late->dev, late->count, 0, &count, sizeof count);
    for (uint32_t k = 0; k < l->task.output_count && status == HE_OK; k++) {
        uint32_t v = l->task.outputs[k], slot = late->slots[v];
        struct opencl_held *h;

        if (slot == HE_NONE || !held[slot].binding.dynamic)
            continue;
        h = &held[slot];
        h->dtype = l->graph.values[v].dtype;
        h->shape = l->graph.values[v].shape;
        h->is_there = l->cut_axis < 0;
        if (late->whole->slots[slot].role == HE_SLOT_OUTPUT || !h->is_there)
            status = bring_home(late, v, h, l->cut_axis, count);
    }
    return status;
}

he_status opencl_late_run(struct opencl_late *late, struct opencl_held *held)
{
    const struct little *l = &late->little;
    he_status status = prepare(late, held);

    if (status == HE_OK)
        status = late->instance ? opencl_instance_launch(late->instance, NULL)
                                : write_arithmetic(late);
    if (status == HE_OK)
        status = finish(late, held);
    if (status != HE_OK)
        return he_error_prefix(status, "%s on OpenCL, while running",
                               l->graph.nodes[l->task.anchor].op);
    return HE_OK;
}
