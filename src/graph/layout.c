/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which slots of a region hold their tensor channels-last. A label per slot is chosen
 * so that few bytes have to be reordered: each task says what a labelling costs it,
 *
 *   convolution   every plain operand (the kernels run channels-last); a 1x1
 *                 convolution is nearly as fast when all of its operands are plain
 *   same          operands that differ from its output (pools, Concat, Resize...,
 *                 and pointwise chains whose small operands fit either order)
 *   free          nothing at all: its kernel walks strides anyway (Transpose)
 *   plain         every operand that is channels-last
 *
 * First each connected set of tasks of the first two kinds takes the cheaper of its
 * two uniform labellings; then single slots change sides as long as that gains
 * (iterated conditional modes: with these costs few rounds suffice). Slots that
 * are views or have views stay plain, since a view speaks of row-major bytes; a slot
 * with one channel, or without extent in space, has the same bytes in both orders and is
 * called plain.
 */
#include "graph/store.h"

#include <string.h>

#include "core/size.h"

#define FLIP_ROUNDS 8
/* All-plain 1x1 convolution against channels-last, in reordered bytes per byte. */
#define POINTWISE_CONV_COST 0.2

enum kind { KIND_PLAIN, KIND_FREE, KIND_SAME, KIND_CONV, KIND_CONV_1X1 };

struct operand {
    uint32_t slot;
    bool is_output;
};

struct layout {
    const struct he_graph *graph;
    const struct he_region *region;
    struct he_arena scratch;
    uint32_t *slot_of;   /* per value */
    bool *is_free;       /* per slot: may be channels-last */
    bool *is_last;       /* per slot: the label */
    double *bytes;       /* per slot */
    uint32_t *parent;    /* per slot: union-find */
    /* Operands of task k with a free or plain tensor of rank 3 to 5 in a slot. */
    struct operand *operands;
    uint32_t *first_operand; /* task_count + 1 */
    enum kind *kinds;
    /* Tasks by slot. */
    uint32_t *first_task, *tasks_of;
};

/* One channel, or no extent in space: the same bytes in both orders. */
static bool orders_coincide(const struct he_shape *shape)
{
    int64_t space = 1;

    for (uint32_t d = 2; d < shape->rank; d++)
        space *= shape->dims[d];
    return shape->dims[1] == 1 || space == 1;
}

static bool has_order(const struct he_shape *shape)
{
    return he_shape_is_static(shape) && shape->rank >= 3 && shape->rank <= 5 &&
           !orders_coincide(shape);
}

/* --- What kind of task --- */

static bool is_in(const struct he_node *node, const char *const *names, size_t count)
{
    for (size_t k = 0; k < count; k++)
        if (he_node_is(node, names[k]))
            return true;
    return false;
}

/* A smaller operand of a pointwise node: in [N, space..., C] it must be row-major too. */
static bool fits_both_orders(const struct he_shape *operand, const struct he_shape *result)
{
    uint32_t missing;

    if (operand->rank > result->rank)
        return false;
    missing = result->rank - operand->rank;
    if (missing <= 1) {
        int64_t space = 1;

        for (uint32_t d = 2; d < result->rank; d++)
            space *= operand->dims[d - missing];
        if (space == 1)
            return true; /* per channel, or a scalar */
        return operand->dims[1 - missing] == 1; /* per place */
    }
    return true; /* no channels: only places */
}

static bool is_pointwise_task(const struct layout *layout, const struct he_task *task)
{
    const struct he_graph *graph = layout->graph;

    for (uint32_t k = 0; k < task->node_count; k++) {
        const struct he_node *node = &graph->nodes[task->nodes[k]];
        const struct he_op *op = he_op_find(node->domain, node->op);
        const struct he_shape *result;

        if (!op || !(op->flags & HE_OP_ANY_LAYOUT) || op->access == HE_ACCESS_VIEW ||
            (op->access != HE_ACCESS_POINTWISE && op->access != HE_ACCESS_BROADCAST) ||
            !he_node_has_output(node, 0) || he_node_int(node, "broadcast", 0))
            return false;
        result = &graph->values[node->outputs[0]].shape;
        if (!has_order(result))
            return false;
        for (uint32_t i = 0; i < node->input_count; i++) {
            const struct he_value *value = he_node_input(graph, node, i);

            if (!value || (he_shape_equal(&value->shape, result) && !value->data))
                continue;
            if (!he_shape_is_static(&value->shape) || !fits_both_orders(&value->shape, result))
                return false;
        }
    }
    return true;
}

static bool is_window_1x1(const struct layout *layout, const struct he_node *node)
{
    const struct he_value *weights = he_node_input(layout->graph, node, 1);
    const int64_t *strides;
    size_t count = he_node_ints(node, "strides", &strides);

    if (!he_node_is(node, "Conv") || !weights || !he_shape_is_static(&weights->shape) ||
        he_node_int(node, "group", 1) != 1)
        return false;
    for (uint32_t d = 2; d < weights->shape.rank; d++)
        if (weights->shape.dims[d] != 1)
            return false;
    for (size_t k = 0; k < count; k++)
        if (strides[k] != 1)
            return false;
    return true;
}

static enum kind kind_of(const struct layout *layout, const struct he_task *task)
{
    static const char *const same[] = {
        "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "BatchNormalization",
        "LRN",     "Resize",      "Upsample",          "Concat",        "Split",
        "Slice",   "Pad",
    };
    const struct he_graph *graph = layout->graph;
    const struct he_node *anchor = &graph->nodes[task->anchor];

    if (task->is_dynamic)
        return KIND_PLAIN;
    if (he_node_is(anchor, "Conv") || he_node_is(anchor, "ConvTranspose"))
        return is_window_1x1(layout, anchor) ? KIND_CONV_1X1 : KIND_CONV;
    if (is_pointwise_task(layout, task))
        return KIND_SAME;
    if (task->node_count > 1)
        return KIND_PLAIN;
    if (he_node_is(anchor, "Transpose") || he_node_is(anchor, "DepthToSpace") ||
        he_node_is(anchor, "SpaceToDepth"))
        return KIND_FREE;
    if (he_node_is(anchor, "Softmax") && anchor->opset >= 13 && he_node_int(anchor, "axis", -1) == 1)
        return KIND_SAME;
    if (!is_in(anchor, same, HE_COUNT(same)))
        return KIND_PLAIN;
    /* The indices of a MaxPool count places in row-major order. */
    return he_node_is(anchor, "MaxPool") && task->output_count > 1 ? KIND_PLAIN : KIND_SAME;
}

/* --- Tables --- */

static void add_operand(struct layout *layout, uint32_t value, bool is_output, uint32_t *count)
{
    uint32_t slot = layout->slot_of[value];

    if (slot == HE_NONE || !has_order(&layout->graph->values[value].shape))
        return;
    layout->operands[(*count)++] = (struct operand){ slot, is_output };
}

static bool fill_tasks(struct layout *layout)
{
    const struct he_region *region = layout->region;
    uint32_t count = 0, most = 0;

    for (uint32_t k = 0; k < region->task_count; k++) {
        const struct he_task *task = &layout->graph->tasks[region->tasks[k]];

        most += task->input_count + task->output_count;
    }
    layout->operands = he_arena_alloc(&layout->scratch, most, sizeof *layout->operands);
    layout->first_operand = he_arena_alloc(&layout->scratch, (size_t)region->task_count + 1,
                                           sizeof *layout->first_operand);
    layout->kinds = he_arena_alloc(&layout->scratch, region->task_count, sizeof *layout->kinds);
    layout->first_task = he_arena_alloc(&layout->scratch, (size_t)region->slot_count + 2,
                                        sizeof *layout->first_task);
    layout->tasks_of = he_arena_alloc(&layout->scratch, most, sizeof *layout->tasks_of);
    if (!layout->operands || !layout->first_operand || !layout->kinds || !layout->first_task ||
        !layout->tasks_of)
        return false;
    for (uint32_t k = 0; k < region->task_count; k++) {
        const struct he_task *task = &layout->graph->tasks[region->tasks[k]];

        layout->kinds[k] = kind_of(layout, task);
        layout->first_operand[k] = count;
        for (uint32_t i = 0; i < task->input_count; i++)
            add_operand(layout, task->inputs[i], false, &count);
        for (uint32_t o = 0; o < task->output_count; o++)
            add_operand(layout, task->outputs[o], true, &count);
    }
    layout->first_operand[region->task_count] = count;
    /* A counting sort: first_task[s + 1] runs up to where slot s ends. */
    for (uint32_t i = 0; i < count; i++)
        layout->first_task[layout->operands[i].slot + 2]++;
    for (uint32_t s = 0; s < region->slot_count; s++)
        layout->first_task[s + 2] += layout->first_task[s + 1];
    for (uint32_t k = 0; k < region->task_count; k++)
        for (uint32_t i = layout->first_operand[k]; i < layout->first_operand[k + 1]; i++)
            layout->tasks_of[layout->first_task[layout->operands[i].slot + 1]++] = k;
    return true;
}

static bool fill_slots(struct layout *layout, const struct he_slot *slots, const bool *may_border)
{
    const struct he_region *region = layout->region;
    const struct he_graph *graph = layout->graph;

    layout->slot_of = he_arena_alloc(&layout->scratch, graph->value_count, sizeof *layout->slot_of);
    layout->is_free = he_arena_alloc(&layout->scratch, region->slot_count, sizeof *layout->is_free);
    layout->is_last = he_arena_alloc(&layout->scratch, region->slot_count, sizeof *layout->is_last);
    layout->bytes = he_arena_alloc(&layout->scratch, region->slot_count, sizeof *layout->bytes);
    layout->parent = he_arena_alloc(&layout->scratch, region->slot_count, sizeof *layout->parent);
    if (!layout->slot_of || !layout->is_free || !layout->is_last || !layout->bytes ||
        !layout->parent)
        return false;
    for (uint32_t v = 0; v < graph->value_count; v++)
        layout->slot_of[v] = HE_NONE;
    for (uint32_t s = 0; s < region->slot_count; s++) {
        const struct he_value *value = &graph->values[slots[s].value];
        unsigned bits = he_dtype_bits(value->dtype);

        layout->slot_of[slots[s].value] = s;
        layout->parent[s] = s;
        layout->is_free[s] = !slots[s].is_dynamic && has_order(&value->shape) && bits >= 8 &&
                             bits <= 64 &&
                             (slots[s].role == HE_SLOT_INTERIOR || (may_border && may_border[s]));
        if (has_order(&value->shape))
            layout->bytes[s] = (double)he_shape_bytes(&value->shape, value->dtype);
    }
    for (uint32_t s = 0; s < region->slot_count; s++) {
        if (slots[s].alias == HE_NONE || slots[s].alias >= region->slot_count)
            continue;
        layout->is_free[s] = false;
        layout->is_free[slots[s].alias] = false;
    }
    return true;
}

/* --- Costs --- */

static double conv_cost(const struct layout *layout, uint32_t k)
{
    double plain = 0;
    bool all_plain = true;

    for (uint32_t i = layout->first_operand[k]; i < layout->first_operand[k + 1]; i++) {
        uint32_t slot = layout->operands[i].slot;

        if (layout->is_last[slot])
            all_plain = false;
        else
            plain += layout->bytes[slot];
    }
    return layout->kinds[k] == KIND_CONV_1X1 && all_plain ? plain * POINTWISE_CONV_COST : plain;
}

/* Everything must be as the output is; without an ordered output, as the first input. */
static double same_cost(const struct layout *layout, uint32_t k)
{
    uint32_t from = layout->first_operand[k], to = layout->first_operand[k + 1];
    double cost = 0;
    bool wanted;

    if (from == to)
        return 0;
    wanted = layout->is_last[layout->operands[layout->operands[to - 1].is_output ? to - 1
                                                                                  : from].slot];
    for (uint32_t i = from; i < to; i++)
        if (layout->is_last[layout->operands[i].slot] != wanted)
            cost += layout->bytes[layout->operands[i].slot];
    return cost;
}

static double task_cost(const struct layout *layout, uint32_t k)
{
    double cost = 0;

    if (layout->kinds[k] == KIND_CONV || layout->kinds[k] == KIND_CONV_1X1)
        return conv_cost(layout, k);
    if (layout->kinds[k] == KIND_SAME)
        return same_cost(layout, k);
    if (layout->kinds[k] == KIND_FREE)
        return 0;
    for (uint32_t i = layout->first_operand[k]; i < layout->first_operand[k + 1]; i++)
        if (layout->is_last[layout->operands[i].slot])
            cost += layout->bytes[layout->operands[i].slot];
    return cost;
}

static double slot_cost(const struct layout *layout, uint32_t slot)
{
    double cost = 0;

    for (uint32_t i = layout->first_task[slot]; i < layout->first_task[slot + 1]; i++)
        cost += task_cost(layout, layout->tasks_of[i]);
    return cost;
}

/* --- The search --- */

static uint32_t find_root(uint32_t *parent, uint32_t slot)
{
    while (parent[slot] != slot) {
        parent[slot] = parent[parent[slot]];
        slot = parent[slot];
    }
    return slot;
}

static void connect_slots(struct layout *layout)
{
    for (uint32_t k = 0; k < layout->region->task_count; k++) {
        uint32_t first = HE_NONE;

        if (layout->kinds[k] < KIND_SAME)
            continue;
        for (uint32_t i = layout->first_operand[k]; i < layout->first_operand[k + 1]; i++) {
            uint32_t slot = layout->operands[i].slot;

            if (!layout->is_free[slot])
                continue;
            if (first == HE_NONE)
                first = slot;
            layout->parent[find_root(layout->parent, slot)] = find_root(layout->parent, first);
        }
    }
}

/* Sums what every task costs into the set its free slots belong to: a task that reads two sets
 * (a plain-only one) counts for both, by what each labels. */
static bool choose_sets(struct layout *layout)
{
    uint32_t slot_count = layout->region->slot_count;
    double *gain = he_arena_alloc(&layout->scratch, slot_count, sizeof *gain);

    if (!gain)
        return false;
    for (int last = 0; last < 2; last++) {
        for (uint32_t s = 0; s < slot_count; s++)
            layout->is_last[s] = last && layout->is_free[s];
        for (uint32_t k = 0; k < layout->region->task_count; k++) {
            double cost = task_cost(layout, k);
            uint32_t seen = HE_NONE;

            for (uint32_t i = layout->first_operand[k]; i < layout->first_operand[k + 1]; i++) {
                uint32_t slot = layout->operands[i].slot, root;

                if (!layout->is_free[slot])
                    continue;
                root = find_root(layout->parent, slot);
                if (root == seen)
                    continue;
                seen = root;
                gain[root] += last ? -cost : cost;
            }
        }
    }
    for (uint32_t s = 0; s < slot_count; s++)
        layout->is_last[s] = layout->is_free[s] && gain[find_root(layout->parent, s)] > 0;
    return true;
}

static void flip_slots(struct layout *layout)
{
    for (int round = 0; round < FLIP_ROUNDS; round++) {
        bool changed = false;

        for (uint32_t s = 0; s < layout->region->slot_count; s++) {
            double before, after;

            if (!layout->is_free[s])
                continue;
            before = slot_cost(layout, s);
            layout->is_last[s] = !layout->is_last[s];
            after = slot_cost(layout, s);
            if (after < before)
                changed = true;
            else
                layout->is_last[s] = !layout->is_last[s];
        }
        if (!changed)
            return;
    }
}

void he_graph_choose_layouts(const struct he_region *region, struct he_slot *slots,
                             const bool *may_border)
{
    struct layout layout = { .graph = region->graph, .region = region };

    for (uint32_t s = 0; s < region->slot_count; s++)
        slots[s].layout = HE_LAYOUT_PLAIN;
    he_arena_init(&layout.scratch, &he_graph_arena(region->graph)->alloc);
    /* Without memory for the tables everything stays plain, which is always right. */
    if (fill_slots(&layout, slots, may_border) && fill_tasks(&layout)) {
        connect_slots(&layout);
        if (choose_sets(&layout)) {
            flip_slots(&layout);
            for (uint32_t s = 0; s < region->slot_count; s++)
                if (layout.is_last[s])
                    slots[s].layout = HE_LAYOUT_CHANNELS_LAST;
        }
    }
    he_arena_fini(&layout.scratch);
}
