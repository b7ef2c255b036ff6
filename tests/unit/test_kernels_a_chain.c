/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fused pointwise chains against a walk over every element in double: random chains of nodes
 * over random shapes, operands and layouts, and the cases that a chain must refuse.
 */
#include <check.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "program.h"
#include "support/failing_alloc.h"
#include "support/graph_builder.h"

#define MAX_VALUES 40

static void *heap_alloc(void *self, size_t size)
{
    (void)self;
    return malloc(size);
}

static void heap_free(void *self, void *memory)
{
    (void)self;
    free(memory);
}

static const struct he_allocator heap = {heap_alloc, heap_free, NULL};

/* --- A graph whose values are also known in double, in logical order --- */

struct scene {
    struct he_graph *graph;
    double *truth[MAX_VALUES];
    struct he_slot slots[MAX_VALUES];
    void *memory[MAX_VALUES];
    uint32_t slot_of[MAX_VALUES];
    uint32_t slot_count;
    struct he_region region;
    uint32_t tasks[1];
    enum he_layout layout;
    struct cpu_step *step;
};

static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static const char *text_of(const struct he_shape *shape)
{
    static char texts[4][128];
    static int turn;
    char *text = texts[turn++ % 4];
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t d = 0; d < shape->rank; d++)
        used += (size_t)snprintf(text + used, 128 - used, d ? ",%d" : "%d", (int)shape->dims[d]);
    return text;
}

static double *random_numbers(int64_t count)
{
    double *out = malloc((size_t)count * sizeof *out);

    ck_assert_ptr_nonnull(out);
    /* Exact in float, away from 0 so that quotients stay tame. */
    for (int64_t k = 0; k < count; k++)
        out[k] = ((double)rnd(1500) + 300) / 1024.0 * (rnd(2) ? 1 : -1);
    return out;
}

static uint32_t add_constant(struct scene *s, const struct he_shape *shape)
{
    int64_t count = he_shape_count(shape);
    double *truth = random_numbers(count);
    float *data = malloc((size_t)count * sizeof *data);
    uint32_t value;

    ck_assert_ptr_nonnull(data);
    for (int64_t k = 0; k < count; k++)
        data[k] = (float)truth[k];
    value = build_constant(s->graph, "c", HE_FLOAT32, text_of(shape), data);
    free(data);
    s->truth[value] = truth;
    return value;
}

static uint32_t add_input(struct scene *s, const struct he_shape *shape)
{
    uint32_t value = build_input(s->graph, "x", HE_FLOAT32, text_of(shape));

    s->truth[value] = random_numbers(he_shape_count(shape));
    return value;
}

static int64_t operand_index(const struct he_shape *out, const struct he_shape *in, int64_t at)
{
    int64_t index = 0, step = 1, size;

    for (uint32_t d = 0; d < out->rank; d++) {
        size = d < in->rank ? in->dims[in->rank - 1 - d] : 1;
        index += size == 1 ? 0 : at % out->dims[out->rank - 1 - d] * step;
        at /= out->dims[out->rank - 1 - d];
        step *= size;
    }
    return index;
}

static double apply(const char *op, double a, double b)
{
    if (!strcmp(op, "Relu"))
        return a > 0 ? a : 0;
    if (!strcmp(op, "Sigmoid"))
        return 1 / (1 + exp(-a));
    if (!strcmp(op, "Tanh"))
        return tanh(a);
    if (!strcmp(op, "Neg"))
        return -a;
    if (!strcmp(op, "HardSwish"))
        return a * fmin(fmax(a / 6 + 0.5, 0), 1);
    if (!strcmp(op, "Add") || !strcmp(op, "Sum"))
        return a + b;
    if (!strcmp(op, "Sub"))
        return a - b;
    if (!strcmp(op, "Mul"))
        return a * b;
    if (!strcmp(op, "Max"))
        return fmax(a, b);
    return (a + b) / 2; /* Mean */
}

static uint32_t add_node(struct scene *s, const char *op, const struct he_shape *shape, uint32_t a,
                         uint32_t b)
{
    uint32_t inputs[2] = {a, b}, count = b == HE_NONE ? 1 : 2;
    uint32_t out = build_value(s->graph, "y", HE_FLOAT32, text_of(shape));
    int64_t elements = he_shape_count(shape);

    build_node(s->graph, op, count, inputs, 1, &out);
    s->truth[out] = malloc((size_t)elements * sizeof(double));
    ck_assert_ptr_nonnull(s->truth[out]);
    for (int64_t k = 0; k < elements; k++) {
        double x = s->truth[a][operand_index(shape, &s->graph->values[a].shape, k)];
        double y = b == HE_NONE
                       ? 0
                       : s->truth[b][operand_index(shape, &s->graph->values[b].shape, k)];

        s->truth[out][k] = apply(op, x, y);
    }
    return out;
}

/* A smaller shape that broadcasts to @shape: a number, channels, a row, [N, C, 1...], any. */
static struct he_shape smaller(const struct he_shape *shape)
{
    struct he_shape out = *shape;
    uint32_t kind = rnd(5), d;

    if (kind == 0)
        return (struct he_shape){.rank = 0};
    for (d = 0; d < out.rank; d++) {
        bool keeps = kind == 1 ? d == 1 : kind == 2 ? d + 1 == out.rank : kind == 3 ? d < 2 : rnd(2);

        if (!keeps)
            out.dims[d] = 1;
    }
    if (kind != 3 && rnd(2)) { /* without leading 1s */
        while (out.rank > 0 && out.dims[0] == 1) {
            memmove(out.dims, out.dims + 1, (out.rank - 1) * sizeof *out.dims);
            out.rank--;
        }
    }
    return out;
}

/* --- Memory: a slot's float in its layout --- */

static bool is_flat(const struct he_shape *shape)
{
    int64_t pixels = 1;

    for (uint32_t d = 2; d < shape->rank; d++)
        pixels *= shape->dims[d];
    return shape->rank < 3 || shape->dims[1] == 1 || pixels == 1;
}

static int64_t place(const struct he_shape *shape, enum he_layout layout, int64_t at)
{
    int64_t channels, pixels = 1, n, c;

    if (layout == HE_LAYOUT_PLAIN || is_flat(shape))
        return at;
    channels = shape->dims[1];
    for (uint32_t d = 2; d < shape->rank; d++)
        pixels *= shape->dims[d];
    n = at / (channels * pixels);
    c = at / pixels % channels;
    return (n * pixels + at % pixels) * channels + c;
}

static void add_slot(struct scene *s, uint32_t value, bool is_full)
{
    const struct he_shape *shape = &s->graph->values[value].shape;
    int64_t count = he_shape_count(shape);
    float *data;

    if (s->graph->values[value].data || s->slot_of[value] != HE_NONE)
        return;
    s->slot_of[value] = s->slot_count;
    s->slots[s->slot_count] = (struct he_slot){
        .value = value, .alias = HE_NONE, .layout = is_full ? s->layout : HE_LAYOUT_PLAIN};
    data = aligned_alloc(64, ((size_t)count * sizeof *data + 127) & ~(size_t)63);
    ck_assert_ptr_nonnull(data);
    memset(data, 0x5a, (size_t)count * sizeof *data);
    data[count] = 12345.0f; /* must still be there afterwards */
    for (int64_t k = 0; s->graph->values[value].is_input && k < count; k++)
        data[place(shape, s->slots[s->slot_count].layout, k)] = (float)s->truth[value][k];
    s->memory[s->slot_count++] = data;
}

static void scene_init(struct scene *s)
{
    *s = (struct scene){.graph = build_graph("chain")};
    memset(s->slot_of, 0xff, sizeof s->slot_of);
}

/* One task of everything; lists its slots. */
static void scene_finish(struct scene *s, uint32_t last, const struct he_shape *shape)
{
    struct he_task *task;

    build_output(s->graph, last);
    build_tasks(s->graph);
    if (s->graph->task_count > 1)
        build_fuse(s->graph, s->graph->task_count);
    task = &s->graph->tasks[0];
    for (uint32_t k = 0; k < task->input_count; k++)
        add_slot(s, task->inputs[k],
                 he_shape_equal(&s->graph->values[task->inputs[k]].shape, shape));
    for (uint32_t k = 0; k < task->output_count; k++)
        add_slot(s, task->outputs[k], true);
    s->region = (struct he_region){.graph = s->graph,
                                   .tasks = s->tasks,
                                   .task_count = 1,
                                   .slots = s->slots,
                                   .slot_count = s->slot_count};
}

static he_status scene_compile(struct scene *s)
{
    struct cpu_compile c = {
        .region = &s->region, .slot_of = s->slot_of, .alloc = heap, .threads = 1};

    return cpu_chain_step(&c, &s->graph->tasks[0], &s->step);
}

static void scene_free(struct scene *s)
{
    if (s->step)
        s->step->ops->destroy(s->step);
    for (uint32_t k = 0; k < s->slot_count; k++)
        free(s->memory[k]);
    for (uint32_t k = 0; k < MAX_VALUES; k++)
        free(s->truth[k]);
    build_free(s->graph);
}

static void run_and_compare(struct scene *s, struct cpu_team *team, const char *what)
{
    struct cpu_frame frame = {.slots = s->memory, .team = team};
    const struct he_task *task = &s->graph->tasks[0];

    ck_assert_int_eq(s->step->ops->run(s->step, NULL, &frame), HE_OK);
    for (uint32_t o = 0; o < task->output_count; o++) {
        uint32_t value = task->outputs[o], slot = s->slot_of[value];
        const struct he_shape *shape = &s->graph->values[value].shape;
        const float *data = s->memory[slot];
        int64_t count = he_shape_count(shape);

        ck_assert_msg(data[count] == 12345.0f, "%s: wrote past the end", what);
        for (int64_t k = 0; k < count; k++) {
            double got = (double)data[place(shape, s->slots[slot].layout, k)];
            double wanted = s->truth[value][k];

            if (!(fabs(got - wanted) <= 1e-4 * (1 + fabs(wanted))))
                ck_abort_msg("%s: element %lld of [%s] is %g, not %g", what, (long long)k,
                             text_of(shape), got, wanted);
        }
    }
}

/* --- Random chains --- */

static const char *const shapes[] = {
    "7", "3,5", "2,3,4", "1,8,7,7", "2,5,3,4", "2,16,13,11", "1,3,40,33", "2,600", "1,2,1,700",
    "4,1,6,5", "2,3,2,3,4", "1500", "1,1,1", "2,130,9", "",
};
static const char *const unary[] = {"Relu", "Sigmoid", "Tanh", "Neg", "HardSwish"};
static const char *const binary[] = {"Add", "Sub", "Mul", "Max", "Mean", "Sum"};

static bool random_chain(struct cpu_team *team)
{
    struct scene s;
    struct he_shape shape = build_shape(shapes[rnd(HE_COUNT(shapes))]), small;
    uint32_t nodes = 1 + rnd(6), current, previous[8], made = 0, other;
    char what[64];
    bool was_taken;
    he_status status;

    snprintf(what, sizeof what, "seed %u", seed);
    scene_init(&s);
    s.layout = rnd(2) ? HE_LAYOUT_CHANNELS_LAST : HE_LAYOUT_PLAIN;
    current = add_input(&s, &shape);
    for (uint32_t k = 0; k < nodes; k++) {
        if (rnd(2)) {
            current = add_node(&s, unary[rnd(HE_COUNT(unary))], &shape, current, HE_NONE);
        } else {
            small = smaller(&shape);
            switch (rnd(4)) {
            case 0:
                other = add_input(&s, &shape);
                break;
            case 1:
                other = add_input(&s, &small);
                break;
            case 2:
                other = add_constant(&s, &small);
                break;
            default:
                other = made ? previous[rnd(made)] : current;
                break;
            }
            if (rnd(2))
                current = add_node(&s, binary[rnd(HE_COUNT(binary))], &shape, current, other);
            else
                current = add_node(&s, binary[rnd(HE_COUNT(binary))], &shape, other, current);
        }
        previous[made++] = current;
        if (rnd(8) == 0 && k + 1 < nodes)
            build_output(s.graph, current);
    }
    scene_finish(&s, current, &shape);
    status = scene_compile(&s);
    was_taken = status == HE_OK;
    ck_assert_msg(was_taken || status == HE_ERR_UNSUPPORTED, "%s: %s", what,
                  he_status_name(status));
    /* Only a small plain slot that channels-last order would tear apart may be refused. */
    if (s.layout == HE_LAYOUT_PLAIN)
        ck_assert_msg(was_taken, "%s: refused", what);
    if (was_taken)
        run_and_compare(&s, team, what);
    scene_free(&s);
    return was_taken;
}

START_TEST(random_chains_give_what_element_by_element_gives)
{
    struct cpu_team *team = NULL;
    cpu_set_t cpus;
    int taken = 0;

    ck_assert_int_eq(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    if (_i) {
        cpu_openmp_open();
        ck_assert_int_eq(cpu_team_create(&heap, 2, &cpus, NULL, 0, &team), HE_OK);
    }
    seed = 77 + (uint32_t)_i;
    for (int k = 0; k < 400; k++)
        taken += random_chain(team);
    ck_assert_int_ge(taken, 300);
    cpu_team_destroy(&heap, team);
}
END_TEST

/* --- By hand --- */

START_TEST(a_batch_norm_with_constants_is_two_instructions)
{
    static const float scale[] = {2, 3, -1}, bias[] = {1, 0, 4}, mean[] = {5, -1, 0.5f};
    static const float variance[] = {4, 9, 0.25f};
    struct scene s;
    struct he_shape shape = build_shape("2,3,5,5");
    uint32_t inputs[5], out, node;

    scene_init(&s);
    s.layout = _i ? HE_LAYOUT_CHANNELS_LAST : HE_LAYOUT_PLAIN;
    inputs[0] = add_input(&s, &shape);
    inputs[1] = build_constant(s.graph, "scale", HE_FLOAT32, "3", scale);
    inputs[2] = build_constant(s.graph, "bias", HE_FLOAT32, "3", bias);
    inputs[3] = build_constant(s.graph, "mean", HE_FLOAT32, "3", mean);
    inputs[4] = build_constant(s.graph, "variance", HE_FLOAT32, "3", variance);
    out = build_value(s.graph, "y", HE_FLOAT32, "2,3,5,5");
    node = build_node(s.graph, "BatchNormalization", 5, inputs, 1, &out);
    build_float(s.graph, node, "epsilon", 0.0f);
    s.truth[out] = malloc(150 * sizeof(double));
    ck_assert_ptr_nonnull(s.truth[out]);
    for (int k = 0; k < 150; k++) {
        int c = k / 25 % 3;

        s.truth[out][k] = (s.truth[inputs[0]][k] - mean[c]) / sqrt(variance[c]) * scale[c] + bias[c];
    }
    scene_finish(&s, out, &shape);
    ck_assert_int_eq(scene_compile(&s), HE_OK);
    run_and_compare(&s, NULL, "batch norm");
    scene_free(&s);
}
END_TEST

START_TEST(what_is_not_a_float_chain_is_refused)
{
    static const struct {
        const char *what, *op;
        enum he_dtype in, out;
        const char *in_shape, *out_shape;
    } cases[] = {
        {"integers", "Neg", HE_INT64, HE_INT64, "2,3", "2,3"},
        {"a cast", "Cast", HE_FLOAT32, HE_INT64, "2,3", "2,3"},
        {"a reduction", "ReduceSum", HE_FLOAT32, HE_FLOAT32, "2,3", "1,1"},
        {"another shape", "Relu", HE_FLOAT32, HE_FLOAT32, "2,3", "4,3"},
        {"a shape that is not known", "Relu", HE_FLOAT32, HE_FLOAT32, "?,3", "?,3"},
    };
    struct scene s;
    uint32_t in, out;

    scene_init(&s);
    in = build_input(s.graph, "x", cases[_i].in, cases[_i].in_shape);
    out = build_value(s.graph, "y", cases[_i].out, cases[_i].out_shape);
    build_node(s.graph, cases[_i].op, 1, &in, 1, &out);
    build_output(s.graph, out);
    build_tasks(s.graph);
    s.slot_of[in] = 0;
    s.slot_of[out] = 1;
    s.slots[0] = (struct he_slot){.value = in, .alias = HE_NONE};
    s.slots[1] = (struct he_slot){.value = out, .alias = HE_NONE};
    s.region = (struct he_region){.graph = s.graph,
                                  .tasks = s.tasks,
                                  .task_count = 1,
                                  .slots = s.slots,
                                  .slot_count = 2};
    ck_assert_msg(scene_compile(&s) == HE_ERR_UNSUPPORTED, "%s was taken", cases[_i].what);
    scene_free(&s);
}
END_TEST

/* A periodic constant, a batch norm, several instructions: every kind of memory a chain has. */
START_TEST(running_out_of_memory_leaves_nothing_behind)
{
    static const float ones[] = {1, 1, 1};
    struct failing_alloc failing;
    struct scene s;
    struct he_shape shape = build_shape("2,3,5,5"), channels = build_shape("3,1,1");
    uint32_t inputs[5], normal, out;
    he_status status;
    size_t n = 0;

    scene_init(&s);
    s.layout = HE_LAYOUT_CHANNELS_LAST;
    inputs[0] = add_input(&s, &shape);
    for (int k = 1; k < 5; k++)
        inputs[k] = build_constant(s.graph, "one", HE_FLOAT32, "3", ones);
    normal = build_value(s.graph, "n", HE_FLOAT32, "2,3,5,5");
    build_node(s.graph, "BatchNormalization", 5, inputs, 1, &normal);
    s.truth[normal] = random_numbers(150);
    out = add_node(&s, "Mul", &shape, normal, add_constant(&s, &channels));
    scene_finish(&s, out, &shape);
    do {
        struct cpu_compile c = {.region = &s.region, .slot_of = s.slot_of, .threads = 1};

        failing_alloc_init(&failing, n);
        c.alloc = failing.alloc;
        status = cpu_chain_step(&c, &s.graph->tasks[0], &s.step);
        if (status == HE_OK)
            s.step->ops->destroy(s.step);
        else
            ck_assert_int_eq(status, HE_ERR_NO_MEMORY);
        s.step = NULL;
        ck_assert_uint_eq(failing.live, 0);
    } while (status != HE_OK && ++n < 100);
    ck_assert_uint_ge(n, 7);
    ck_assert_uint_lt(n, 100);
    scene_free(&s);
}
END_TEST

START_TEST(mixed_layouts_are_refused)
{
    struct scene s;
    struct he_shape shape = build_shape("1,4,3,3");
    uint32_t a, b, out;

    scene_init(&s);
    a = add_input(&s, &shape);
    b = add_input(&s, &shape);
    out = add_node(&s, "Add", &shape, a, b);
    scene_finish(&s, out, &shape);
    s.slots[1].layout = HE_LAYOUT_CHANNELS_LAST;
    ck_assert_int_eq(scene_compile(&s), HE_ERR_UNSUPPORTED);
    scene_free(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu chain");
    TCase *tc = tcase_create("chain");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, random_chains_give_what_element_by_element_gives, 0, 2);
    tcase_add_loop_test(tc, a_batch_norm_with_constants_is_two_instructions, 0, 2);
    tcase_add_loop_test(tc, what_is_not_a_float_chain_is_refused, 0, 5);
    tcase_add_test(tc, mixed_layouts_are_refused);
    tcase_add_test(tc, running_out_of_memory_leaves_nothing_behind);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
