/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles a task of pointwise nodes into a chain (chain.h). All nodes must give float32 of one
 * shape, and all operands of that shape lie in one layout; everything else is seen in that
 * layout's order of dimensions. Steps: node by node into instructions on values, join
 * dimensions that all operands treat alike, then give temporaries to values by their lifetimes.
 */
#include "chain.h"

#include <math.h>
#include <string.h>

#define MAX_OPERANDS 64
#define MAX_INSTRS 64
#define MAX_NODES 48

struct build {
    const struct cpu_compile *c;
    const struct he_graph *graph;
    const struct he_task *task;
    const struct he_shape *shape; /* of every output */
    enum he_layout layout;
    bool has_layout; /* some operand has decided it */
    int cost;        /* of one element, 1 for a cheap instruction */
    struct chain_operand operands[MAX_OPERANDS];
    uint32_t values[MAX_OPERANDS]; /* what the operand stands for, HE_NONE: nothing in the graph */
    /* Full steps, before dimensions are joined. */
    int64_t steps[MAX_OPERANDS][HE_MAX_RANK];
    uint32_t operand_count;
    struct chain_instr instrs[MAX_INSTRS];
    uint32_t instr_count;
    size_t constant_bytes;
};

static he_status refuse(void)
{
    return HE_ERR_UNSUPPORTED;
}

/* --- Shapes in the chain's order of dimensions --- */

/* True when plain and channels-last order are the same bytes. */
static bool coincide(const struct he_shape *shape)
{
    int64_t pixels = 1;
    uint32_t d;

    if (shape->rank < 3 || shape->dims[1] == 1)
        return true;
    for (d = 2; d < shape->rank; d++)
        pixels *= shape->dims[d];
    return pixels == 1;
}

/* With leading 1s up to the output's rank; false when that does not broadcast. */
static bool pad(const struct build *b, const struct he_shape *shape, struct he_shape *out)
{
    uint32_t missing, d;

    if (shape->rank > b->shape->rank)
        return false;
    missing = b->shape->rank - shape->rank;
    out->rank = b->shape->rank;
    for (d = 0; d < out->rank; d++) {
        out->dims[d] = d < missing ? 1 : shape->dims[d - missing];
        if (out->dims[d] != 1 && out->dims[d] != b->shape->dims[d])
            return false;
    }
    return true;
}

/* Axis 1 goes to the end in channels-last. */
static uint32_t axis_of(const struct build *b, uint32_t d)
{
    if (b->layout == HE_LAYOUT_PLAIN || d == 0 || b->shape->rank < 3)
        return d;
    return d == b->shape->rank - 1 ? 1 : d + 1;
}

/* Steps of a dense operand of (padded) shape @shape that lies in the chain's order. */
static void set_steps(struct build *b, uint32_t operand, const struct he_shape *shape)
{
    int64_t step = 1, size;
    uint32_t d;

    for (d = shape->rank; d-- > 0;) {
        size = shape->dims[axis_of(b, d)];
        b->steps[operand][d] = size == 1 ? 0 : step;
        step *= size;
    }
}

/* --- Operands --- */

static he_status add_operand(struct build *b, uint32_t value, struct chain_operand operand,
                             uint16_t *out)
{
    if (b->operand_count == MAX_OPERANDS)
        return refuse();
    *out = (uint16_t)b->operand_count;
    b->values[b->operand_count] = value;
    b->operands[b->operand_count++] = operand;
    return HE_OK;
}

/* Copies constant @in, of padded shape @shape, into the chain's order. */
static void reorder(const struct build *b, const struct he_shape *shape, const char *in, float *out)
{
    int64_t channels, pixels = 1, images, n, c, p;
    uint32_t d;

    if (b->layout == HE_LAYOUT_PLAIN || coincide(shape)) {
        memcpy(out, in, (size_t)he_shape_count(shape) * sizeof *out);
        return;
    }
    images = shape->dims[0];
    channels = shape->dims[1];
    for (d = 2; d < shape->rank; d++)
        pixels *= shape->dims[d];
    for (n = 0; n < images; n++) {
        for (c = 0; c < channels; c++) {
            for (p = 0; p < pixels; p++)
                memcpy(out + (n * pixels + p) * channels + c,
                       in + (size_t)((n * channels + c) * pixels + p) * sizeof *out, sizeof *out);
        }
    }
}

static he_status add_constant(struct build *b, uint32_t value, const struct he_shape *shape,
                              const void *data, uint16_t *out)
{
    struct chain_operand operand = {.place = CHAIN_CONSTANT};
    int64_t count = he_shape_count(shape);
    size_t bytes;
    float *copy;
    he_status status;

    if (count <= 0 || b->operand_count == MAX_OPERANDS)
        return refuse();
    bytes = (size_t)count * sizeof *copy;
    copy = cpu_alloc_aligned(&b->c->alloc, bytes);
    if (!copy)
        return cpu_no_memory();
    reorder(b, shape, data, copy);
    operand.data = operand.owned = copy;
    b->constant_bytes += bytes;
    status = add_operand(b, value, operand, out);
    set_steps(b, *out, shape);
    return status;
}

static he_status add_number(struct build *b, float x, uint16_t *out)
{
    struct he_shape shape = {.rank = b->shape->rank};
    uint32_t d;

    for (d = 0; d < shape.rank; d++)
        shape.dims[d] = 1;
    return add_constant(b, HE_NONE, &shape, &x, out);
}

/* The order a slot's bytes must have: the chain's. Slots of the output's shape decide what it is. */
static bool slot_fits(struct build *b, const struct he_value *value, const struct he_slot *slot,
                      const struct he_shape *padded)
{
    enum he_layout layout = coincide(&value->shape) ? HE_LAYOUT_PLAIN : slot->layout;

    if (slot->is_dynamic)
        return false;
    if (b->layout == HE_LAYOUT_PLAIN)
        return layout == HE_LAYOUT_PLAIN;
    if (value->shape.rank == b->shape->rank && layout == HE_LAYOUT_CHANNELS_LAST)
        return true;
    return layout == HE_LAYOUT_PLAIN && coincide(padded);
}

/* The operand for @value as an input; opset < 7 may align its @shape differently. */
static he_status use_value(struct build *b, uint32_t value, const struct he_shape *shape,
                           uint16_t *out)
{
    const struct he_value *v = &b->graph->values[value];
    struct chain_operand operand = {.place = CHAIN_SLOT};
    struct he_shape padded;
    he_status status;
    uint32_t k;

    for (k = 0; k < b->operand_count; k++) {
        if (b->values[k] == value) {
            *out = (uint16_t)k;
            return HE_OK;
        }
    }
    if (v->dtype != HE_FLOAT32 || !he_shape_is_static(&v->shape) || !pad(b, shape, &padded))
        return refuse();
    if (he_value_is_constant(v)) {
        if (v->data_bytes < (size_t)he_shape_count(&padded) * sizeof(float))
            return refuse();
        return add_constant(b, value, &padded, v->data, out);
    }
    if (b->c->slot_of[value] == HE_NONE)
        return refuse(); /* a value from inside must have been made before it is used */
    operand.index = b->c->slot_of[value];
    if (!slot_fits(b, v, &b->c->region->slots[operand.index], &padded))
        return refuse();
    status = add_operand(b, value, operand, out);
    if (status == HE_OK)
        set_steps(b, *out, &padded);
    return status;
}

/* The operand a node writes: the slot of a task output, else a temporary (given out later). */
static he_status make_value(struct build *b, uint32_t value, uint16_t *out)
{
    struct chain_operand operand = {.place = CHAIN_TEMP, .access = CHAIN_FULL};
    he_status status;

    if (value != HE_NONE && b->c->slot_of[value] != HE_NONE) {
        operand.place = CHAIN_SLOT;
        operand.index = b->c->slot_of[value];
        if (!slot_fits(b, &b->graph->values[value], &b->c->region->slots[operand.index], b->shape))
            return refuse();
    }
    status = add_operand(b, value, operand, out);
    if (status == HE_OK)
        set_steps(b, *out, b->shape);
    return status;
}

static he_status add_instr(struct build *b, struct chain_instr instr, int cost)
{
    if (b->instr_count == MAX_INSTRS)
        return refuse();
    b->instrs[b->instr_count++] = instr;
    b->cost += cost;
    return HE_OK;
}

/* --- Nodes --- */

static void copy_map(void *out, const void *in, int64_t n, const float *params)
{
    (void)params;
    if (out != in)
        memcpy(out, in, (size_t)n * sizeof(float));
}

/* A limit of Clip: false when it is not known now. */
static bool read_limit(const struct build *b, const struct he_node *node, uint32_t k,
                       const char *name, float *limit)
{
    const struct he_value *v;

    if (node->opset < 11) {
        *limit = he_node_float(node, name, *limit);
        return true;
    }
    if (k >= node->input_count || node->inputs[k] == HE_NONE)
        return true;
    v = &b->graph->values[node->inputs[k]];
    if (!he_value_is_constant(v) || v->dtype != HE_FLOAT32 || v->data_bytes != sizeof *limit)
        return false;
    memcpy(limit, v->data, sizeof *limit);
    return true;
}

static bool is_onnx(const struct he_node *node)
{
    return !node->domain[0] || !strcmp(node->domain, "ai.onnx");
}

static he_status add_map(struct build *b, const struct he_node *node)
{
    const struct cpu_map *map = cpu_map_find(node);
    struct chain_instr instr = {.op = CHAIN_MAP, .params = {-INFINITY, INFINITY}};
    int cost = 1;
    he_status status;

    if (map && map->f32) {
        instr.map = map->f32;
        memset(instr.params, 0, sizeof instr.params);
        if (map->set_params)
            map->set_params(node, instr.params);
        cost = map->is_costly ? 4 : 1;
    } else if (!strcmp(node->op, "Clip")) {
        instr.map = cpu_clip_f32;
        if (!read_limit(b, node, 1, "min", &instr.params[0]) ||
            !read_limit(b, node, 2, "max", &instr.params[1]))
            return refuse();
    } else if (!strcmp(node->op, "Identity")) {
        instr.map = copy_map;
    } else {
        return refuse();
    }
    if (node->inputs[0] == HE_NONE)
        return refuse();
    status = use_value(b, node->inputs[0], &b->graph->values[node->inputs[0]].shape, &instr.a);
    if (status == HE_OK)
        status = make_value(b, node->outputs[0], &instr.out);
    return status == HE_OK ? add_instr(b, instr, cost) : status;
}

/* The shape input @k has for broadcasting: its own, but for old operators. */
static struct he_shape operand_shape(const struct build *b, const struct he_node *node, uint32_t k)
{
    struct he_tensor in[2] = {{.dtype = HE_FLOAT32}, {.dtype = HE_FLOAT32}};

    if (node->input_count != 2 || node->inputs[1 - k] == HE_NONE)
        return b->graph->values[node->inputs[k]].shape;
    in[0].shape = b->graph->values[node->inputs[0]].shape;
    in[1].shape = b->graph->values[node->inputs[1]].shape;
    return cpu_operand_shape(node, in, 2, k);
}

/* Folds the inputs from the left: a op b, that op c, ... */
static he_status add_zips(struct build *b, const struct he_node *node)
{
    bool is_mean = !strcmp(node->op, "Mean"), is_pow = !strcmp(node->op, "Pow");
    struct chain_instr instr = {.op = CHAIN_ZIP, .zip = cpu_zip_find_f32(node)};
    struct he_shape shape;
    uint16_t left = 0;
    he_status status;
    uint32_t k;

    if (!instr.zip || node->input_count < 2)
        return refuse();
    for (k = 0; k < node->input_count; k++) {
        if (node->inputs[k] == HE_NONE)
            return refuse();
        shape = k < 2 ? operand_shape(b, node, k) : b->graph->values[node->inputs[k]].shape;
        status = use_value(b, node->inputs[k], &shape, k == 0 ? &left : &instr.b);
        if (status != HE_OK)
            return status;
        if (k == 0)
            continue;
        instr.a = left;
        status = make_value(b, k + 1 == node->input_count && !is_mean ? node->outputs[0] : HE_NONE,
                            &instr.out);
        if (status == HE_OK)
            status = add_instr(b, instr, is_pow ? 8 : 1);
        if (status != HE_OK)
            return status;
        left = instr.out;
    }
    if (!is_mean)
        return HE_OK;
    instr.zip = cpu_zip_named_f32("Mul");
    instr.a = left;
    status = add_number(b, 1.0f / (float)node->input_count, &instr.b);
    if (status == HE_OK)
        status = make_value(b, node->outputs[0], &instr.out);
    return status == HE_OK ? add_instr(b, instr, 1) : status;
}

/* x * factor + offset, one of each per channel. Inference with constant statistics only. */
static he_status add_batch_norm(struct build *b, const struct he_node *node)
{
    struct he_shape shape = {.rank = b->shape->rank};
    struct chain_instr instr = {.op = CHAIN_ZIP, .zip = cpu_zip_named_f32("Mul")};
    double epsilon = (double)he_node_float(node, "epsilon", 1e-5f), factor;
    float statistics[4], *factors, *offsets;
    int64_t channels, c;
    uint32_t k;
    he_status status;

    if (node->input_count != 5 || b->shape->rank < 2 || he_node_int(node, "training_mode", 0) ||
        !he_node_int(node, "spatial", 1))
        return refuse();
    for (k = 1; k < node->output_count; k++) {
        if (node->outputs[k] != HE_NONE)
            return refuse();
    }
    channels = b->shape->dims[1];
    for (k = 0; k < 5; k++) {
        if (node->inputs[k] == HE_NONE)
            return refuse();
        if (k > 0 && (!he_value_is_constant(&b->graph->values[node->inputs[k]]) ||
                      b->graph->values[node->inputs[k]].dtype != HE_FLOAT32 ||
                      b->graph->values[node->inputs[k]].data_bytes !=
                          (size_t)channels * sizeof(float)))
            return refuse();
    }
    factors = cpu_alloc(&b->c->alloc, (size_t)channels, 2 * sizeof *factors);
    if (!factors)
        return cpu_no_memory();
    offsets = factors + channels;
    for (c = 0; c < channels; c++) {
        for (k = 0; k < 4; k++)
            memcpy(&statistics[k],
                   (const char *)b->graph->values[node->inputs[k + 1]].data +
                       (size_t)c * sizeof(float),
                   sizeof(float));
        factor = (double)statistics[0] / sqrt((double)statistics[3] + epsilon);
        factors[c] = (float)factor;
        offsets[c] = (float)((double)statistics[1] - (double)statistics[2] * factor);
    }
    for (k = 0; k < shape.rank; k++)
        shape.dims[k] = k == 1 ? channels : 1;
    status = use_value(b, node->inputs[0], &b->graph->values[node->inputs[0]].shape, &instr.a);
    if (status == HE_OK)
        status = add_constant(b, HE_NONE, &shape, factors, &instr.b);
    if (status == HE_OK)
        status = make_value(b, HE_NONE, &instr.out);
    if (status == HE_OK)
        status = add_instr(b, instr, 1);
    instr.zip = cpu_zip_named_f32("Add");
    instr.a = instr.out;
    if (status == HE_OK)
        status = add_constant(b, HE_NONE, &shape, offsets, &instr.b);
    if (status == HE_OK)
        status = make_value(b, node->outputs[0], &instr.out);
    if (status == HE_OK)
        status = add_instr(b, instr, 1);
    cpu_free(&b->c->alloc, factors);
    return status;
}

static he_status add_node(struct build *b, const struct he_node *node)
{
    const struct he_value *out;

    if (!is_onnx(node) || node->input_count < 1 || node->output_count < 1 ||
        node->outputs[0] == HE_NONE)
        return refuse();
    out = &b->graph->values[node->outputs[0]];
    if (out->dtype != HE_FLOAT32 || !he_shape_equal(&out->shape, b->shape))
        return refuse();
    if (!strcmp(node->op, "BatchNormalization"))
        return add_batch_norm(b, node);
    if (cpu_zip_find_f32(node) && node->input_count > 1)
        return add_zips(b, node);
    return add_map(b, node);
}

/* --- The layout, from the slots that have the output's shape --- */

static he_status choose_layout(struct build *b)
{
    const struct he_task *task = b->task;
    uint32_t k, value, slot;

    b->layout = HE_LAYOUT_PLAIN;
    if (coincide(b->shape))
        return HE_OK;
    for (k = 0; k < task->input_count + task->output_count; k++) {
        value = k < task->input_count ? task->inputs[k] : task->outputs[k - task->input_count];
        slot = b->c->slot_of[value];
        if (slot == HE_NONE || !he_shape_equal(&b->graph->values[value].shape, b->shape))
            continue;
        if (b->has_layout && b->layout != b->c->region->slots[slot].layout)
            return refuse();
        b->layout = b->c->region->slots[slot].layout;
        b->has_layout = true;
    }
    return HE_OK;
}

/* --- Dimensions --- */

/* Joins dimensions that every operand steps through alike. */
static he_status join_dimensions(struct build *b, struct chain_step *step)
{
    int64_t joined[MAX_OPERANDS][HE_MAX_RANK];
    uint32_t rank = 0, d, k;
    int64_t dims[HE_MAX_RANK], size;
    bool joins;

    for (d = 0; d < b->shape->rank; d++) {
        size = b->shape->dims[axis_of(b, d)];
        if (size == 1)
            continue;
        joins = rank > 0;
        for (k = 0; joins && k < b->operand_count; k++)
            joins = joined[k][rank - 1] == b->steps[k][d] * size;
        if (!joins)
            dims[rank++] = 1;
        dims[rank - 1] *= size;
        for (k = 0; k < b->operand_count; k++)
            joined[k][rank - 1] = b->steps[k][d];
    }
    if (rank > CHAIN_RANK)
        return refuse();
    step->rank = rank ? rank : 1;
    step->dims[0] = 1;
    memcpy(step->dims, dims, rank * sizeof *dims);
    step->has_long_rows = step->dims[step->rank - 1] >= CHAIN_LONG_ROW;
    for (k = 0; k < b->operand_count; k++)
        memcpy(b->operands[k].steps, joined[k], rank * sizeof *dims);
    return HE_OK;
}

/* A constant that only runs along the innermost dimension, repeated for a block from anywhere. */
static he_status make_periodic(struct build *b, struct chain_operand *operand, int64_t period)
{
    int64_t count = period + CHAIN_BLOCK, i;
    float *repeated = cpu_alloc_aligned(&b->c->alloc, (size_t)count * sizeof *repeated);

    if (!repeated)
        return cpu_no_memory();
    for (i = 0; i < count; i++)
        repeated[i] = operand->data[i % period];
    cpu_free_aligned(&b->c->alloc, operand->owned);
    operand->data = operand->owned = repeated;
    operand->period = period;
    operand->access = CHAIN_PERIODIC;
    b->constant_bytes += CHAIN_BLOCK * sizeof *repeated;
    return HE_OK;
}

static he_status choose_access(struct build *b, const struct chain_step *step)
{
    uint32_t k, d, last = step->rank - 1;
    int64_t size;
    bool is_full, is_scalar, is_inner;
    he_status status;

    for (k = 0; k < b->operand_count; k++) {
        struct chain_operand *operand = &b->operands[k];

        size = 1;
        is_full = is_scalar = true;
        is_inner = operand->steps[last] != 0;
        for (d = step->rank; d-- > 0;) {
            is_full = is_full && (operand->steps[d] == size || step->dims[d] == 1);
            is_scalar = is_scalar && operand->steps[d] == 0;
            is_inner = is_inner && (d == last || operand->steps[d] == 0);
            size *= step->dims[d];
        }
        if (operand->place == CHAIN_TEMP || is_full) {
            operand->access = CHAIN_FULL;
        } else if (is_scalar) {
            operand->access = CHAIN_SCALAR;
        } else if (is_inner && operand->place == CHAIN_CONSTANT && !step->has_long_rows) {
            status = make_periodic(b, operand, step->dims[last]);
            if (status != HE_OK)
                return status;
        } else {
            operand->access = CHAIN_STEPS;
        }
    }
    return HE_OK;
}

/* --- A product, a sum and a Relu in a row become one instruction --- */

/* Operands that instruction @k reads, in @reads; gives their number. */
static uint32_t read_by(struct chain_instr *instr, uint16_t *reads[3])
{
    reads[0] = &instr->a;
    reads[1] = &instr->b;
    reads[2] = &instr->c;
    return instr->op == CHAIN_AFFINE ? 3 : instr->op == CHAIN_ZIP ? 2 : 1;
}

/* True when @operand is a temporary that only instruction @reader reads, and once. */
static bool is_passed_on(struct build *b, uint16_t operand, uint32_t reader)
{
    uint16_t *reads[3];
    uint32_t k, r, count, uses = 0;

    if (b->operands[operand].place != CHAIN_TEMP)
        return false;
    for (k = 0; k < b->instr_count; k++) {
        count = read_by(&b->instrs[k], reads);
        for (r = 0; r < count; r++) {
            if (*reads[r] != operand)
                continue;
            if (k != reader)
                return false;
            uses++;
        }
    }
    return uses == 1;
}

static void remove_instr(struct build *b, uint32_t at)
{
    b->instr_count--;
    memmove(&b->instrs[at], &b->instrs[at + 1], (b->instr_count - at) * sizeof b->instrs[0]);
}

static void join_affine(struct build *b)
{
    cpu_zip_fn multiply = cpu_zip_named_f32("Mul"), add = cpu_zip_named_f32("Add");
    cpu_map_fn relu = cpu_map_named("Relu")->f32;
    struct chain_instr *first, *second;
    uint32_t k;

    for (k = 0; k + 1 < b->instr_count; k++) {
        first = &b->instrs[k];
        second = &b->instrs[k + 1];
        if (first->op == CHAIN_ZIP && first->zip == multiply && second->op == CHAIN_ZIP &&
            second->zip == add && is_passed_on(b, first->out, k + 1)) {
            /* One factor has to be a whole block. */
            if (b->operands[first->a].access != CHAIN_FULL) {
                uint16_t swap = first->a;

                first->a = first->b;
                first->b = swap;
            }
            if (b->operands[first->a].access != CHAIN_FULL)
                continue;
            first->op = CHAIN_AFFINE;
            first->c = second->a == first->out ? second->b : second->a;
            first->out = second->out;
            remove_instr(b, k + 1);
            second = &b->instrs[k + 1];
        }
        if (k + 1 < b->instr_count && first->op == CHAIN_AFFINE && second->op == CHAIN_MAP &&
            second->map == relu && is_passed_on(b, first->out, k + 1)) {
            first->is_relu = true;
            first->out = second->out;
            remove_instr(b, k + 1);
        }
    }
}

/* Where rows are short, stepped operands are spread out before their first use. */
static he_status insert_expansions(struct build *b, const struct chain_step *step)
{
    struct chain_instr old[MAX_INSTRS];
    uint32_t old_count = b->instr_count, sources = b->operand_count, k, r, count;
    uint16_t spread[MAX_OPERANDS] = {0}, *reads[3], from;
    bool is_spread[MAX_OPERANDS] = {false};
    he_status status;

    if (step->has_long_rows)
        return HE_OK;
    memcpy(old, b->instrs, sizeof old);
    b->instr_count = 0;
    for (k = 0; k < old_count; k++) {
        count = read_by(&old[k], reads);
        for (r = 0; r < count; r++) {
            from = *reads[r];
            if (from >= sources || b->operands[from].access != CHAIN_STEPS)
                continue;
            if (!is_spread[from]) {
                struct chain_instr expand = {.op = CHAIN_EXPAND, .a = from};

                status = make_value(b, HE_NONE, &expand.out);
                if (status == HE_OK)
                    status = add_instr(b, expand, 1);
                if (status != HE_OK)
                    return status;
                spread[from] = expand.out;
                is_spread[from] = true;
            }
            *reads[r] = spread[from];
        }
        status = add_instr(b, old[k], 0);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

/* Maps read their input without a step: one number, or a stepped operand, is spread first. */
static bool maps_read_full(const struct build *b)
{
    uint32_t k;

    for (k = 0; k < b->instr_count; k++) {
        if (b->instrs[k].op == CHAIN_MAP && b->operands[b->instrs[k].a].access != CHAIN_FULL)
            return false;
    }
    return true;
}

/* --- Temporaries: given out in the order of the instructions, back after the last use --- */

static he_status give_temporaries(struct build *b)
{
    uint32_t last_use[MAX_OPERANDS] = {0}, k, r, t, count;
    bool is_taken[CHAIN_TEMPS] = {false};
    uint16_t *reads[3];

    for (k = 0; k < b->instr_count; k++) {
        count = read_by(&b->instrs[k], reads);
        for (r = 0; r < count; r++)
            last_use[*reads[r]] = k;
    }
    for (k = 0; k < b->instr_count; k++) {
        struct chain_operand *out = &b->operands[b->instrs[k].out], *operand;

        /* Loops may write over what they read, element by element. */
        count = read_by(&b->instrs[k], reads);
        for (r = 0; r < count; r++) {
            operand = &b->operands[*reads[r]];
            if (operand->place == CHAIN_TEMP && last_use[*reads[r]] == k)
                is_taken[operand->index] = false;
        }
        if (out->place != CHAIN_TEMP)
            continue;
        for (t = 0; t < CHAIN_TEMPS && is_taken[t]; t++)
            ;
        if (t == CHAIN_TEMPS)
            return refuse();
        is_taken[t] = true;
        out->index = t;
    }
    return HE_OK;
}

/* --- The maker --- */

static he_status compile(struct build *b, struct chain_step *step)
{
    he_status status = choose_layout(b);
    uint32_t k;

    for (k = 0; status == HE_OK && k < b->task->node_count; k++)
        status = add_node(b, &b->graph->nodes[b->task->nodes[k]]);
    if (status == HE_OK)
        status = join_dimensions(b, step);
    if (status == HE_OK)
        status = choose_access(b, step);
    if (status == HE_OK) {
        join_affine(b);
        status = insert_expansions(b, step);
    }
    if (status == HE_OK && !maps_read_full(b))
        status = refuse();
    if (status == HE_OK)
        status = give_temporaries(b);
    return status;
}

static he_status finish(struct build *b, struct chain_step *step)
{
    step->operands = cpu_alloc(&step->alloc, b->operand_count, sizeof *step->operands);
    step->instrs = cpu_alloc(&step->alloc, b->instr_count, sizeof *step->instrs);
    if (!step->operands || !step->instrs)
        return cpu_no_memory();
    memcpy(step->operands, b->operands, b->operand_count * sizeof *step->operands);
    memcpy(step->instrs, b->instrs, b->instr_count * sizeof *step->instrs);
    step->operand_count = b->operand_count;
    step->instr_count = b->instr_count;
    step->count = he_shape_count(b->shape);
    step->grain = CPU_GRAIN_CHEAP / (b->cost > 0 ? b->cost : 1);
    if (step->grain < 4 * CHAIN_BLOCK)
        step->grain = 4 * CHAIN_BLOCK;
    step->base.ops = &chain_step_ops;
    step->base.constant_bytes = b->constant_bytes;
    return HE_OK;
}

he_status cpu_chain_step(const struct cpu_compile *c, const struct he_task *task,
                         struct cpu_step **out)
{
    const struct he_graph *graph = c->region->graph;
    const struct he_node *last;
    struct chain_step *step;
    struct build *b;
    he_status status;
    uint32_t k;

    if (task->node_count == 0 || task->node_count > MAX_NODES || task->output_count == 0)
        return refuse();
    last = &graph->nodes[task->nodes[task->node_count - 1]];
    if (last->output_count == 0 || last->outputs[0] == HE_NONE ||
        graph->values[last->outputs[0]].dtype != HE_FLOAT32 ||
        !he_shape_is_static(&graph->values[last->outputs[0]].shape))
        return refuse();
    b = cpu_alloc(&c->alloc, 1, sizeof *b);
    step = cpu_alloc(&c->alloc, 1, sizeof *step);
    if (!b || !step) {
        cpu_free(&c->alloc, b);
        cpu_free(&c->alloc, step);
        return cpu_no_memory();
    }
    step->alloc = c->alloc;
    b->c = c;
    b->graph = graph;
    b->task = task;
    b->shape = &graph->values[last->outputs[0]].shape;
    status = compile(b, step);
    if (status == HE_OK)
        status = finish(b, step);
    if (status == HE_OK) {
        *out = &step->base;
    } else {
        for (k = 0; k < b->operand_count; k++)
            cpu_free_aligned(&c->alloc, b->operands[k].owned);
        cpu_free(&c->alloc, step->operands);
        cpu_free(&c->alloc, step->instrs);
        cpu_free(&c->alloc, step);
    }
    cpu_free(&c->alloc, b);
    return status;
}
