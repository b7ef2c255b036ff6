/* SPDX-License-Identifier: Apache-2.0 */
/* Fusion, tasks and layouts: tables for what is meant, random graphs for what must always hold. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "partition/partition.h"
#include "support/graph_run.h"
#include "support/model_text.h"

static struct he_arena arena;

static void setup(void)
{
    he_arena_init(&arena, NULL);
}

static void teardown(void)
{
    he_arena_fini(&arena);
}

static struct he_graph *prepare(const char *text, bool simplify)
{
    struct he_graph_options options = { .no_simplify = !simplify };
    struct he_graph *graph;

    if (he_graph_prepare(model_text(&arena, text), &options, NULL, &graph) != HE_OK)
        ck_abort_msg("%s", he_error_message());
    return graph;
}

/* "Conv+Relu Neg": a task per word. */
static const char *task_text(const struct he_graph *graph)
{
    static char text[2000];

    *text = '\0';
    for (uint32_t t = 0; t < graph->task_count; t++) {
        for (uint32_t k = 0; k < graph->tasks[t].node_count; k++) {
            size_t used = strlen(text);

            snprintf(text + used, sizeof text - used, "%s%s", k ? "+" : t ? " " : "",
                     graph->nodes[graph->tasks[t].nodes[k]].op);
        }
    }
    return text;
}

#define CONV "in x f32[2,4,5,5]\nconst w f32[6,4,3,3] rand\n"
#define MATRIX "in x f32[3,4]\nconst w f32[4,6] rand\n"

static const struct {
    const char *what, *text, *expect;
} fused[] = {
    { "an activation", CONV "a = Conv(x, w)\nb = Relu(a)\nout b", "Conv+Relu" },
    { "a chain of everything", CONV "const s f32[6,1,1] rand\nconst k f32[] = 2\nin r f32[2,6,3,3]\n"
      "a = Conv(x, w)\nb = Mul(a, s)\nc = Add(k, b)\nd = Add(r, c)\ne = Clip(d, k)\nf = Div(e, k)\nout f",
      "Conv+Mul+Add+Add+Clip+Div" },
    { "one residual sum only", CONV "in r f32[2,6,3,3]\nin q f32[2,6,3,3]\na = Conv(x, w)\nb = Add(a, r)\n"
      "c = Add(b, q)\nout c", "Conv+Add Add" },
    { "the sum of two convolutions joins the later one", CONV "a = Conv(x, w)\nb = Conv(x, w)\nc = Add(a, b)\n"
      "d = Relu(c)\nout d", "Conv Conv+Add+Relu" },
    { "a value that is read twice ends the chain", CONV "a = Conv(x, w)\nb = Relu(a)\nc = Neg(b)\nd = Exp(b)\n"
      "out c\nout d", "Conv+Relu Neg Exp" },
    { "a graph output ends the chain", CONV "a = Conv(x, w)\nb = Relu(a)\nout a\nout b", "Conv Relu" },
    { "an operand that widens the result is not taken", CONV "in r f32[1,2,6,3,3]\na = Conv(x, w)\nb = Add(a, r)\nout b",
      "Conv Add" },
    { "a constant along the wrong axis is not taken", CONV "const s f32[3] rand\na = Conv(x, w)\nb = Mul(a, s)\nout b",
      "Conv Mul" },
    { "a row behind a matrix product", MATRIX "const s f32[6] rand\na = MatMul(x, w)\nb = Add(a, s)\nc = Tanh(b)\nout c",
      "MatMul+Add+Tanh" },
    { "a column behind a matrix product is not taken", MATRIX "const s f32[3,1] rand\na = MatMul(x, w)\nb = Add(a, s)\nout b",
      "MatMul Add" },
    { "a constant divided by the result is not taken", MATRIX "const s f32[] = 1\na = MatMul(x, w)\nb = Div(s, a)\nout b",
      "MatMul Div" },
    { "a square is not taken", MATRIX "a = MatMul(x, w)\nb = Mul(a, a)\nout b", "MatMul Mul" },
    { "pointwise chains", "in x f32[2,3]\nin y f32[3]\na = Neg(x)\nb = Add(a, y)\nc = Exp(b)\nd = Mul(x, c)\nout d",
      "Neg+Add+Exp+Mul" },
    { "a chain that grows is cut", "in x f32[3]\nin y f32[2,3]\na = Neg(x)\nb = Add(a, y)\nc = Exp(b)\nout c",
      "Neg Add+Exp" },
    { "integers are not fused", "in x i64[3]\na = Neg(x)\nb = Abs(a)\nout b", "Neg Abs" },
    { "symbols are not fused", "in x f32[N]\na = Neg(x)\nb = Abs(a)\nout b", "Neg Abs" },
    { "views stand alone", CONV "const s i64[1] = -1\na = Conv(x, w)\nb = Reshape(a, s)\nc = Relu(b)\nout c",
      "Conv Reshape Relu" },
};

START_TEST(chains_become_tasks)
{
    struct he_graph *graph = prepare(fused[_i].text, false);

    ck_assert_msg(strcmp(task_text(graph), fused[_i].expect) == 0, "%s: %s", fused[_i].what,
                  task_text(graph));
    he_graph_destroy(graph);
}
END_TEST

START_TEST(a_task_knows_what_it_reads_gives_and_works)
{
    struct he_graph *graph = prepare(CONV "const s f32[6,1,1] rand\nin r f32[2,6,3,3]\nin n f32[N]\n"
                                     "a = Conv(x, w)\nb = Mul(a, s)\nc = Add(b, r)\n"
                                     "d = Flatten(c)\ne = Neg(n)\nout d\nout e",
                                     false);
    const struct he_task *conv = &graph->tasks[0], *view = &graph->tasks[1], *open = &graph->tasks[2];
    uint32_t input;

    ck_assert_str_eq(task_text(graph), "Conv+Mul+Add Flatten Neg");
    ck_assert_uint_eq(conv->anchor, 0);
    ck_assert_uint_eq(conv->input_count, 2);
    ck_assert_str_eq(graph->values[conv->inputs[0]].name, "x");
    ck_assert_str_eq(graph->values[conv->inputs[1]].name, "r");
    ck_assert_uint_eq(conv->output_count, 1);
    ck_assert_str_eq(graph->values[conv->outputs[0]].name, "c");
    ck_assert_uint_eq(conv->constant_bytes, (6 * 4 * 9 + 6) * 4);
    ck_assert_int_eq(conv->work.work_class, HE_WORK_CONV);
    /* Two per multiply-add, 4 x 3 x 3 of them per element; a product and a sum each. */
    ck_assert_double_eq_tol(conv->work.flops, 108 * (2 * 36 + 2), 108);
    /* x, weights, scales and r in; c out: what flows between its nodes counts nowhere. */
    ck_assert_double_eq(conv->work.read_bytes, 4 * (200 + 216 + 6 + 108));
    ck_assert_double_eq(conv->work.write_bytes, 4 * 108);
    ck_assert(!conv->is_dynamic);
    ck_assert_int_eq(view->work.work_class, HE_WORK_NONE);
    ck_assert(he_graph_is_view(graph, &graph->nodes[view->anchor], &input));
    ck_assert_str_eq(graph->values[input].name, "c");
    ck_assert(!he_graph_is_view(graph, &graph->nodes[conv->anchor], &input));
    ck_assert(open->is_dynamic);
    he_graph_destroy(graph);
}
END_TEST

/* --- Random graphs --- */

static uint32_t random_state;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % limit;
}

/* Nodes over values of one shape, in shuffled order; some results are graph outputs. */
static const char *random_model(uint32_t nodes)
{
    static const char *const unary[] = { "Relu", "Neg", "Sigmoid", "Exp", "Identity" };
    static const char *const binary[] = { "Add", "Mul", "Sub", "Sum", "Max" };
    static char text[60000], line[200][160];
    uint32_t order[200];
    size_t used;

    used = (size_t)snprintf(text, sizeof text,
                            "in v0 f32[1,4,5,5]\nconst w f32[4,4,1,1] rand\nconst s f32[4,1,1] rand\n"
                            "const k f32[] = 2\n");
    for (uint32_t n = 1; n <= nodes; n++) {
        /* Near ones more often, or hardly any chain would arise. */
        uint32_t a = random_below(3) ? n - 1 : random_below(n), b = random_below(n);

        order[n - 1] = n - 1;
        switch (random_below(6)) {
        case 0:
            snprintf(line[n - 1], sizeof line[0], "v%u = Conv(v%u, w)\n", n, a);
            break;
        case 1:
            snprintf(line[n - 1], sizeof line[0], "v%u = %s(v%u, %s)\n", n,
                     binary[random_below(3)], a, random_below(2) ? "s" : "k");
            break;
        case 2:
        case 3:
            snprintf(line[n - 1], sizeof line[0], "v%u = %s(v%u, v%u)\n", n,
                     binary[random_below(5)], random_below(2) ? a : b, random_below(2) ? b : a);
            break;
        default:
            snprintf(line[n - 1], sizeof line[0], "v%u = %s(v%u)\n", n, unary[random_below(5)], a);
        }
    }
    for (uint32_t n = nodes; n > 1; n--) {
        uint32_t other = random_below(n), kept = order[n - 1];

        order[n - 1] = order[other];
        order[other] = kept;
    }
    for (uint32_t n = 0; n < nodes; n++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s", line[order[n]]);
    for (uint32_t n = 1; n <= nodes; n++)
        if (n == nodes || random_below(8) == 0)
            used += (size_t)snprintf(text + used, sizeof text - used, "out v%u\n", n);
    return text;
}

/* The tasks' own graph, independently of he_graph_check(): every edge goes forwards. */
static void assert_tasks_are_ordered(const struct he_graph *graph)
{
    for (uint32_t n = 0; n < graph->node_count; n++) {
        for (uint32_t k = 0; k < graph->nodes[n].input_count; k++) {
            uint32_t producer = graph->values[graph->nodes[n].inputs[k]].producer;

            if (producer == HE_NONE)
                continue;
            ck_assert_uint_lt(producer, n);
            ck_assert_uint_le(graph->nodes[producer].task, graph->nodes[n].task);
        }
    }
}

/* Inside a task every node but the last gives one value, to the next node alone. */
static void assert_tasks_are_chains(const struct he_graph *graph)
{
    for (uint32_t t = 0; t < graph->task_count; t++) {
        const struct he_task *task = &graph->tasks[t];

        for (uint32_t k = 0; k + 1 < task->node_count; k++) {
            uint32_t value = graph->nodes[task->nodes[k]].outputs[0], readers = 0;

            ck_assert(!graph->values[value].is_output);
            for (uint32_t n = 0; n < graph->node_count; n++) {
                for (uint32_t i = 0; i < graph->nodes[n].input_count; i++) {
                    if (graph->nodes[n].inputs[i] != value)
                        continue;
                    ck_assert_uint_eq(n, task->nodes[k + 1]);
                    readers++;
                }
            }
            ck_assert_uint_eq(readers, 1);
        }
    }
}

START_TEST(random_graphs_keep_their_order_and_their_meaning)
{
    struct he_graph *plain, *simple;
    struct he_tensor expected[200], found[200];
    const char *text;

    random_state = (uint32_t)_i * 7919 + 1;
    text = random_model(10 + random_below(50));
    plain = prepare(text, false);
    simple = prepare(text, true);
    assert_tasks_are_ordered(plain);
    assert_tasks_are_ordered(simple);
    assert_tasks_are_chains(plain);
    assert_tasks_are_chains(simple);
    ck_assert_uint_le(simple->node_count, plain->node_count);
    ck_assert_int_eq(he_graph_check(simple), HE_OK);
    ck_assert_msg(graph_run(plain, &arena, NULL, expected) == HE_OK, "%s", he_error_message());
    ck_assert_msg(graph_run(simple, &arena, NULL, found) == HE_OK, "%s", he_error_message());
    for (uint32_t k = 0; k < plain->output_count; k++) {
        double difference = graph_run_difference(&expected[k], &found[k]);

        ck_assert_msg(difference < 1e-4, "seed %d, output %u differs by %g:\n%s", _i, k, difference,
                      text);
    }
    he_graph_destroy(plain);
    he_graph_destroy(simple);
}
END_TEST

/* --- Layouts --- */

static const struct {
    const char *what, *text;
    const char *last, *plain; /* names of values that are, and are not, channels-last */
} laid_out[] = {
    { "between convolutions", CONV "const v f32[6,6,2,2] rand\na = Conv(x, w)\nb = Conv(a, v)\nout b", "a", "b x" },
    { "through pools, sums and small operands", CONV "const v f32[6,6,3,3] rand\nconst s f32[6,1,1] rand\n"
      "a = Conv<pads=[1,1,1,1]>(x, w)\nb = MaxPool<kernel_shape=[2,2]>(a)\nc = Mul(b, s)\nd = Exp(c)\n"
      "p = GlobalAveragePool(d)\ne = Mul(d, p)\nf = Conv(e, v)\nout f", "a b d e", "p f" },
    { "through a Concat", CONV "const v f32[4,12,3,3] rand\na = Conv(x, w)\nb = Conv(x, w)\nc = Concat<axis=1>(a, b)\n"
      "d = Conv(c, v)\nout d", "a b c", "d" },
    { "not what is viewed", CONV "const t i64[2] = 2,-1\na = Conv(x, w)\nb = Reshape(a, t)\nc = Neg(b)\nout c", "", "a b c" },
    { "not where rows are what counts", CONV "const v f32[3,3] rand\na = Conv(x, w)\nb = MatMul(a, v)\nc = Softmax(b)\nout c",
      "", "b c" },
    { "not one pixel", "in x f32[2,4,1,1]\nconst w f32[6,4,1,1] rand\nconst v f32[6,6,1,1] rand\na = Conv(x, w)\n"
      "b = Conv(a, v)\nout b", "", "a b" },
    { "not without a convolution", "in x f32[2,4,5,5]\na = Neg(x)\nconst k i64[2] = 1,1\nb = Transpose<perm=[0,1,3,2]>(a)\n"
      "c = Exp(b)\nout c", "", "a b c" },
};

static enum he_layout layout_named(const struct he_graph *graph, const struct he_slot *slots,
                                   uint32_t count, const char *name)
{
    for (uint32_t s = 0; s < count; s++)
        if (strcmp(graph->values[slots[s].value].name, name) == 0)
            return slots[s].layout;
    ck_abort_msg("no slot '%s'", name);
    return HE_LAYOUT_PLAIN;
}

static void assert_layouts(const struct he_graph *graph, const struct he_slot *slots, uint32_t count,
                           const char *names, enum he_layout layout, const char *what)
{
    char copy[200], *rest = copy, *name;

    snprintf(copy, sizeof copy, "%s", names);
    while ((name = strtok_r(rest, " ", &rest)))
        ck_assert_msg(layout_named(graph, slots, count, name) == layout, "%s: %s", what, name);
}

START_TEST(slots_are_laid_out_where_it_pays)
{
    struct he_graph *graph = prepare(laid_out[_i].text, false);
    uint32_t *tasks = he_arena_alloc(&arena, graph->task_count, sizeof *tasks), slot_count;
    struct he_slot *slots;
    struct he_region region;

    for (uint32_t t = 0; t < graph->task_count; t++)
        tasks[t] = t;
    ck_assert_int_eq(he_partition_slots(graph, tasks, graph->task_count, &arena, &slots, &slot_count),
                     HE_OK);
    region = (struct he_region){ graph, tasks, graph->task_count, slots, slot_count };
    he_graph_choose_layouts(&region, slots, NULL);
    assert_layouts(graph, slots, slot_count, laid_out[_i].last, HE_LAYOUT_CHANNELS_LAST,
                   laid_out[_i].what);
    assert_layouts(graph, slots, slot_count, laid_out[_i].plain, HE_LAYOUT_PLAIN, laid_out[_i].what);
    he_graph_destroy(graph);
}
END_TEST

START_TEST(borders_are_channels_last_where_the_other_end_takes_it)
{
    struct he_graph *graph = prepare(laid_out[0].text, false);
    uint32_t tasks[2] = { 0, 1 }, slot_count;
    bool may_border[3] = { true, true, true };
    struct he_slot *slots;
    struct he_region region;

    ck_assert_int_eq(he_partition_slots(graph, tasks, 2, &arena, &slots, &slot_count), HE_OK);
    ck_assert_uint_eq(slot_count, 3);
    region = (struct he_region){ graph, tasks, 2, slots, slot_count };
    he_graph_choose_layouts(&region, slots, may_border);
    assert_layouts(graph, slots, slot_count, "x a b", HE_LAYOUT_CHANNELS_LAST, "all");
    he_graph_destroy(graph);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph tasks");
    TCase *tc = tcase_create("tasks");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, chains_become_tasks, 0, HE_COUNT(fused));
    tcase_add_test(tc, a_task_knows_what_it_reads_gives_and_works);
    tcase_add_loop_test(tc, random_graphs_keep_their_order_and_their_meaning, 0, 60);
    tcase_add_loop_test(tc, slots_are_laid_out_where_it_pays, 0, HE_COUNT(laid_out));
    tcase_add_test(tc, borders_are_channels_last_where_the_other_end_takes_it);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
