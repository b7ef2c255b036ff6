/* SPDX-License-Identifier: Apache-2.0 */
/* Builds tasks for tests and runs them; see task_bench.h. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "task_bench.h"

/* --- A task under construction, its values computed as it grows --- */

uint64_t random_state;

static uint32_t random_bits(void)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(random_state >> 33);
}

int64_t pick(int64_t low, int64_t high)
{
    return low + (int64_t)(random_bits() % (uint64_t)(high - low + 1));
}

bool coin(void)
{
    return random_bits() & 1;
}

float random_float(float low, float high)
{
    return low + (high - low) * ((float)random_bits() / 2147483648.0f);
}

struct bench *bench_new(void)
{
    struct bench *m = calloc(1, sizeof *m);

    ck_assert_ptr_nonnull(m);
    return m;
}

void bench_free(struct bench *m)
{
    uint32_t k;

    for (k = 0; k < m->value_count; k++) {
        free(m->exact[k]);
        free(m->raw[k]);
    }
    free(m);
}

uint32_t add_value(struct bench *m, const struct he_shape *shape)
{
    uint32_t id = m->value_count++;
    struct he_value *v = &m->values[id];

    ck_assert_uint_lt(id, MAX_VALUES);
    v->name = "value";
    v->dtype = HE_FLOAT32;
    v->shape = *shape;
    v->producer = HE_NONE;
    m->exact[id] = calloc((size_t)he_shape_count(shape) + 1, sizeof(double));
    ck_assert_ptr_nonnull(m->exact[id]);
    return id;
}

struct he_shape shape_of(uint32_t rank, const int64_t *dims)
{
    struct he_shape shape = {.rank = rank};

    if (rank > 0)
        memcpy(shape.dims, dims, rank * sizeof *dims);
    return shape;
}

uint32_t add_input(struct bench *m, uint32_t rank, const int64_t *dims)
{
    struct he_shape shape = shape_of(rank, dims);
    uint32_t id = add_value(m, &shape);
    int64_t k;

    for (k = 0; k < he_shape_count(&shape); k++)
        m->exact[id][k] = random_float(-1, 1);
    return id;
}

uint32_t add_constant(struct bench *m, float low, float high, uint32_t rank,
                      const int64_t *dims)
{
    struct he_shape shape = shape_of(rank, dims);
    uint32_t id = add_value(m, &shape);
    size_t count = (size_t)he_shape_count(&shape), offset = (size_t)pick(0, 3), k;
    float f;

    m->raw[id] = malloc(count * sizeof f + 8);
    ck_assert_ptr_nonnull(m->raw[id]);
    for (k = 0; k < count; k++) {
        f = random_float(low, high);
        m->exact[id][k] = f;
        memcpy(m->raw[id] + offset + k * sizeof f, &f, sizeof f);
    }
    m->values[id].data = m->raw[id] + offset;
    m->values[id].data_bytes = count * sizeof f;
    m->is_constant[id] = true;
    return id;
}

/* --- Nodes --- */

struct he_node *node_begin(struct bench *m, const char *op, int opset)
{
    uint32_t id = m->node_count++;
    struct he_node *node = &m->nodes[id];

    ck_assert_uint_lt(id, MAX_NODES);
    *node = (struct he_node){.name = "node", .op = op, .domain = "", .opset = opset};
    node->inputs = m->inputs[id];
    node->outputs = m->outputs[id];
    node->attrs = m->attrs[id];
    return node;
}

void node_input(struct he_node *node, uint32_t value)
{
    node->inputs[node->input_count++] = value;
    node->explicit_input_count = node->input_count;
}

void node_int(struct he_node *node, const char *name, int64_t i)
{
    node->attrs[node->attr_count++] = (struct he_attr){.name = name, .kind = HE_ATTR_INT, .i = i};
}

void node_float(struct he_node *node, const char *name, float f)
{
    node->attrs[node->attr_count++] = (struct he_attr){.name = name, .kind = HE_ATTR_FLOAT, .f = f};
}

void node_string(struct he_node *node, const char *name, const char *s)
{
    node->attrs[node->attr_count++] = (struct he_attr){
        .name = name, .kind = HE_ATTR_STRING, .s = s, .s_bytes = strlen(s)};
}

void node_ints(struct bench *m, struct he_node *node, const char *name,
               const int64_t *list, size_t count)
{
    int64_t *copy = m->ints[node - m->nodes][node->attr_count];

    memcpy(copy, list, count * sizeof *list);
    node->attrs[node->attr_count++] =
        (struct he_attr){.name = name, .kind = HE_ATTR_INTS, .ints = copy, .count = count};
}

uint32_t node_end(struct bench *m, struct he_node *node, const struct he_shape *shape)
{
    uint32_t id = add_value(m, shape);

    node->outputs[0] = id;
    node->output_count = 1;
    m->values[id].producer = (uint32_t)(node - m->nodes);
    return id;
}

/* --- Running --- */

static size_t place(const struct he_shape *shape, bool is_last, int64_t at)
{
    int64_t coordinate[HE_MAX_RANK], pixels = 1, pixel = 0;
    int k;

    if (!is_last)
        return (size_t)at;
    for (k = (int)shape->rank - 1; k >= 0; k--) {
        coordinate[k] = at % shape->dims[k];
        at /= shape->dims[k];
    }
    for (k = 2; k < (int)shape->rank; k++) {
        pixels *= shape->dims[k];
        pixel = pixel * shape->dims[k] + coordinate[k];
    }
    return (size_t)((coordinate[0] * pixels + pixel) * shape->dims[1] + coordinate[1]);
}

/* Counts what is alive, and fails once allocations_left has run down. */
static int64_t alive;
const char *run_variant;
int64_t allocations_left = INT64_MAX;

static void *counted_alloc(void *self, size_t size)
{
    (void)self;
    if (allocations_left-- <= 0)
        return NULL;
    alive++;
    return malloc(size);
}

static void counted_free(void *self, void *memory)
{
    (void)self;
    alive -= memory != NULL;
    free(memory);
}

static void add_slot(struct bench *m, uint32_t value, enum he_slot_role role, enum layouts layouts)
{
    bool is_last = m->values[value].shape.rank >= 3 &&
                   (layouts == ALL_LAST || (layouts == RANDOM_LAYOUTS && coin()));

    m->slot_of[value] = m->slot_count;
    m->slots[m->slot_count++] = (struct he_slot){
        .value = value, .role = role, .alias = HE_NONE,
        .layout = is_last ? HE_LAYOUT_CHANNELS_LAST : HE_LAYOUT_PLAIN};
}

struct outcome run_task(struct bench *m, uint32_t output, enum layouts layouts,
                        bool use_bf16, uint32_t threads)
{
    uint32_t node_ids[MAX_NODES], task_id = 0, input_ids[MAX_VALUES], k, s;
    struct he_graph graph = {.name = "test"};
    struct he_task task = {.nodes = node_ids, .node_count = m->node_count, .anchor = 0,
                           .inputs = input_ids, .outputs = &output, .output_count = 1};
    struct he_region region = {.graph = &graph, .tasks = &task_id, .task_count = 1};
    struct cpu_compile compile = {.alloc = {.alloc = counted_alloc, .free = counted_free},
                                  .threads = threads, .use_bf16 = use_bf16,
                                  .variant = run_variant};
    struct outcome outcome = {.error = 0};
    struct cpu_step *step;
    struct cpu_frame frame = {0};
    void *addresses[MAX_VALUES] = {NULL}, *state = NULL;
    double largest = 1e-3, error;
    bool is_last;
    int64_t i;
    int repeat;

    m->slot_count = 0;
    for (k = 0; k < m->value_count; k++) {
        m->slot_of[k] = HE_NONE;
        if (m->is_constant[k] || (m->values[k].producer != HE_NONE && k != output))
            continue;
        add_slot(m, k, k == output ? HE_SLOT_OUTPUT : HE_SLOT_INPUT, layouts);
        if (k != output)
            input_ids[task.input_count++] = k;
    }
    for (k = 0; k < m->node_count; k++)
        node_ids[k] = k;
    graph.values = m->values;
    graph.value_count = m->value_count;
    graph.nodes = m->nodes;
    graph.node_count = m->node_count;
    graph.tasks = &task;
    graph.task_count = 1;
    region.slots = m->slots;
    region.slot_count = m->slot_count;
    compile.region = &region;
    compile.slot_of = m->slot_of;
    outcome.status = cpu_onednn_step(&compile, &task, &step);
    if (outcome.status != HE_OK) {
        ck_assert_int_eq(alive, 0);
        return outcome;
    }
    for (s = 0; s < m->slot_count; s++) {
        k = m->slots[s].value;
        is_last = m->slots[s].layout == HE_LAYOUT_CHANNELS_LAST;
        addresses[s] = malloc((size_t)count_of(m, k) * sizeof(float) + 4);
        ck_assert_ptr_nonnull(addresses[s]);
        for (i = 0; i < count_of(m, k); i++)
            ((float *)addresses[s])[place(&m->values[k].shape, is_last, i)] =
                k == output ? NAN : (float)m->exact[k][i];
    }
    frame.slots = addresses;
    frame.workspace = aligned_alloc(64, (step->workspace_bytes + 127) & ~(size_t)63);
    ck_assert_ptr_nonnull(frame.workspace);
    memset(frame.workspace, 0xff, step->workspace_bytes); /* NaN: nothing may be read unwritten */
    outcome.status = step->ops->bind(step, &state);
    for (repeat = 0; repeat < 2 && outcome.status == HE_OK; repeat++)
        outcome.status = step->ops->run(step, state, &frame);
    s = m->slot_of[output];
    is_last = m->slots[s].layout == HE_LAYOUT_CHANNELS_LAST;
    for (i = 0; i < count_of(m, output); i++)
        largest = fmax(largest, fabs(m->exact[output][i]));
    for (i = 0; i < count_of(m, output); i++) {
        error = fabs(((float *)addresses[s])[place(&m->values[output].shape, is_last, i)] -
                     m->exact[output][i]) / largest;
        if (!(error <= outcome.error)) /* a NaN counts */
            outcome.error = isnan(error) ? INFINITY : error;
    }
    step->ops->unbind(step, state);
    step->ops->destroy(step);
    ck_assert_int_eq(alive, 0);
    for (s = 0; s < m->slot_count; s++)
        free(addresses[s]);
    free(frame.workspace);
    return outcome;
}

void expect_close(struct bench *m, uint32_t output, enum layouts layouts, bool use_bf16,
                  double limit, const char *what)
{
    struct outcome outcome = run_task(m, output, layouts, use_bf16, 1);

    ck_assert_msg(outcome.status == HE_OK, "%s: %s", what, he_error_message());
    ck_assert_msg(outcome.error < limit, "%s: error %g", what, outcome.error);
    bench_free(m);
}
