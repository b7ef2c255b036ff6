/* SPDX-License-Identifier: Apache-2.0 */
/* From a document to a graph: names, captures, order, input shapes, and what is refused. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "graph/graph.h"
#include "support/failing_alloc.h"
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

static uint32_t find_value(const struct he_graph *graph, const char *name)
{
    for (uint32_t v = 0; v < graph->value_count; v++)
        if (strcmp(graph->values[v].name, name) == 0)
            return v;
    ck_abort_msg("no value '%s'", name);
    return HE_NONE;
}

static const char *shape_text(const struct he_value *value)
{
    static char text[200];
    size_t used = (size_t)snprintf(text, sizeof text, "%s[", he_dtype_name(value->dtype));

    if (value->shape.rank == HE_RANK_UNKNOWN)
        used += (size_t)snprintf(text + used, sizeof text - used, "*");
    else
        for (uint32_t d = 0; d < value->shape.rank; d++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld", d ? "," : "",
                                     (long long)value->shape.dims[d]);
    snprintf(text + used, sizeof text - used, "]");
    return text;
}

/* --- What is refused --- */

static const struct {
    const char *what, *text;
    he_status status;
    const char *sentence[3]; /* what the sentence names */
} refused[] = {
    { "a cycle", "in x f32[2]\na = Add(x, c) @first\nb = Neg(a) @second\nc = Abs(b) @third\nout b",
      HE_ERR_PARSE, { "cycle" } },
    { "a node that feeds itself", "in x f32[2]\na = Add(x, a) @me\nout a", HE_ERR_PARSE,
      { "cycle", "Add 'me'" } },
    { "an undefined input", "in x f32[2]\na = Add(x, ghost) @node1\nout a", HE_ERR_PARSE,
      { "ghost", "Add 'node1'" } },
    { "an undefined input of a nameless node", "in x f32[2]\na = Add(x, ghost)\nout a",
      HE_ERR_PARSE, { "ghost", "Add -> 'a'" } },
    { "an undefined input deep in a body",
      "in c b8[]\nin x f32[2]\n"
      "a = If<then_branch={t = Neg(ghost) @inner; out t}, else_branch={u = Abs(x); out u}>(c) @outer\n"
      "out a",
      HE_ERR_PARSE, { "ghost", "Neg 'inner'", "If 'outer'" } },
    { "a value made twice", "in x f32[2]\na = Neg(x) @n1\na = Abs(x) @n2\nout a", HE_ERR_PARSE,
      { "'a'", "Abs 'n2'", "more than once" } },
    { "a node that makes an input", "in x f32[2]\nx = Neg(x) @n1\nout x", HE_ERR_PARSE,
      { "'x'", "Neg 'n1'" } },
    { "an output nobody makes", "in x f32[2]\na = Neg(x)\nout b", HE_ERR_PARSE, { "'b'" } },
    { "an operator nobody knows", "in x f32[2]\na = Convv(x) @n1\nout a", HE_ERR_UNSUPPORTED,
      { "Convv", "Convv 'n1'", "did you mean Conv?" } },
    { "an operator of a domain nobody knows", "in x f32[2]\na = my.Conv(x) @n1\nout a",
      HE_ERR_UNSUPPORTED, { "Conv", "'my'" } },
    { "an operator newer than the opset", "opset 9\nin x f32[2]\na = Gelu(x) @n1\nout a",
      HE_ERR_UNSUPPORTED, { "Gelu", "opset 9" } },
    { "a Constant without a value", "a = Constant() @n1\nout a", HE_ERR_PARSE, { "no value" } },
    { "a body that is missing", "in c b8[]\nin x f32[2]\na = If<then_branch={t = Neg(x); out t}>(c) @n1\nout a",
      HE_ERR_PARSE, { "If 'n1'", "else_branch" } },
    { "a Loop body with too few inputs",
      "in n i64[]\nin x f32[2]\n"
      "a = Loop<body={in i i64[]; in c b8[]; t = Identity(c); s = Neg(x); out t; out s}>(n,, x) @n1\nout a",
      HE_ERR_PARSE, { "Loop 'n1'", "body" } },
    { "shapes that do not fit", "in x f32[2,3]\nin y f32[4,5]\na = MatMul(x, y) @n1\nout a",
      HE_ERR_SHAPE, { "MatMul 'n1'" } },
    { "an output of another rank than declared", "in x f32[2,3]\na = Neg(x)\nout a 3", HE_ERR_SHAPE,
      { "'a'", "rank 2", "rank 3" } },
    { "two branches of different types",
      "in c b8[]\nin x f32[2]\nin y i64[2]\n"
      "a = If<then_branch={t = Neg(x); out t}, else_branch={u = Abs(y); out u}>(c) @n1\nout a",
      HE_ERR_SHAPE, { "If 'n1'", "float32", "int64" } },
};

START_TEST(damaged_graphs_are_refused_with_a_sentence)
{
    struct he_graph_options options = { .no_fold = true };
    struct he_graph *graph = NULL;
    he_status status = he_graph_prepare(model_text(&arena, refused[_i].text), &options, NULL, &graph);

    ck_assert_msg(status == refused[_i].status, "%s: %s (%s)", refused[_i].what,
                  he_status_name(status), he_error_message());
    ck_assert_ptr_null(graph);
    for (size_t k = 0; k < 3 && refused[_i].sentence[k]; k++)
        ck_assert_msg(strstr(he_error_message(), refused[_i].sentence[k]), "%s: '%s' is not in: %s",
                      refused[_i].what, refused[_i].sentence[k], he_error_message());
}
END_TEST

START_TEST(bodies_nested_without_end_are_refused)
{
    char text[20000] = "in c b8[]\nin x f32[2]\n", tail[4000] = "";
    struct he_graph *graph;

    for (int depth = 0; depth < 60; depth++) {
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "a%d = If<then_branch={t%d = Neg(x); out t%d}, else_branch={", depth, depth, depth);
        snprintf(tail + strlen(tail), sizeof tail - strlen(tail), "; out a%d}>(c)", 59 - depth + 1);
    }
    snprintf(text + strlen(text), sizeof text - strlen(text), "a60 = Abs(x)%s\nout a0", tail);
    ck_assert_int_eq(he_graph_build(model_text(&arena, text), NULL, NULL, &graph),
                     HE_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(he_error_message(), "deep"));
}
END_TEST

/* --- Structure --- */

START_TEST(nodes_out_of_order_are_sorted_stably)
{
    static const char *const expect[] = { "Neg", "Abs", "Exp", "Add", "Sqrt" };
    struct he_graph *graph;
    struct he_model *model = model_text(
        &arena, "in x f32[2]\nd = Add(b, c)\ne = Sqrt(d)\nb = Abs(a)\na = Neg(x)\nc = Exp(a)\nout e");

    ck_assert_int_eq(he_graph_build(model, NULL, NULL, &graph), HE_OK);
    ck_assert_int_eq(he_graph_check(graph), HE_OK);
    ck_assert_uint_eq(graph->node_count, 5);
    for (uint32_t n = 0; n < 5; n++)
        ck_assert_str_eq(graph->nodes[n].op, expect[n]);
    he_graph_destroy(graph);
}
END_TEST

START_TEST(initializers_and_constant_nodes_are_constants_without_a_copy)
{
    struct he_graph *graph;
    struct he_model *model =
        model_text(&arena, "in x f32[2]\nin w f32[2]\nconst w f32[2] = 1.5,2.5\n"
                           "k = Constant<value_ints=[3,4]>()\nf = Constant<value_float=0.5>()\n"
                           "a = Add(x, w)\nb = Mul(a, f)\nd = Expand(b, k)\nout d");
    const struct he_value *w, *k, *f;
    int64_t ints[2];
    size_t count;

    ck_assert_int_eq(he_graph_build(model, NULL, NULL, &graph), HE_OK);
    ck_assert_int_eq(he_graph_check(graph), HE_OK);
    ck_assert_uint_eq(graph->input_count, 1); /* w has contents: IR 3 lists it all the same */
    w = &graph->values[find_value(graph, "w")];
    ck_assert_ptr_eq(w->data, model->graph.initializers[0].data);
    ck_assert_uint_eq(w->producer, HE_NONE);
    k = &graph->values[find_value(graph, "k")];
    ck_assert(he_value_read_ints(k, ints, 2, &count) && count == 2 && ints[0] == 3 && ints[1] == 4);
    ck_assert(k->has_known_ints && k->known_ints[1] == 4);
    f = &graph->values[find_value(graph, "f")];
    ck_assert_uint_eq(f->shape.rank, 0);
    ck_assert_uint_eq(f->data_bytes, sizeof(float));
    ck_assert_uint_eq(graph->node_count, 3);
    he_graph_destroy(graph);
}
END_TEST

START_TEST(every_graph_output_has_a_producer)
{
    struct he_graph *graph;
    struct he_model *model = model_text(
        &arena, "in x f32[2]\nconst w f32[2] = 1,2\na = Neg(x)\nout x\nout w\nout a\nout a");

    ck_assert_int_eq(he_graph_prepare(model, NULL, NULL, &graph), HE_OK);
    ck_assert_uint_eq(graph->output_count, 4);
    for (uint32_t k = 0; k < 4; k++)
        ck_assert_uint_ne(graph->values[graph->outputs[k]].producer, HE_NONE);
    ck_assert_str_eq(graph->values[graph->outputs[0]].name, "x");
    ck_assert_str_eq(graph->values[graph->outputs[1]].name, "w");
    he_graph_destroy(graph);
}
END_TEST

/* The inner If captures x through the outer branch, which does not read it itself. */
static const char nested[] =
    "in c b8[]\nin d b8[]\nin x f32[2,N]\nconst w f32[1] = 2\n"
    "y = Neg(x)\n"
    "a = If<then_branch={\n"
    "        b = If<then_branch={p = Mul(y, w); q = Add(p, x); out q},\n"
    "               else_branch={r = Abs(x); out r}>(d)\n"
    "        out b},\n"
    "      else_branch={u = Sqrt(y); out u}>(c) @outer\n"
    "out a";

START_TEST(captures_pass_through_every_level)
{
    struct he_graph *graph;
    const struct he_node *outer, *inner;
    const struct he_graph *then_branch, *deep;

    ck_assert_int_eq(he_graph_build(model_text(&arena, nested), NULL, NULL, &graph), HE_OK);
    ck_assert_int_eq(he_graph_check(graph), HE_OK);
    ck_assert_int_eq(he_graph_infer(graph), HE_OK);
    outer = &graph->nodes[1];
    ck_assert_str_eq(outer->op, "If");
    ck_assert_uint_eq(outer->explicit_input_count, 1);
    /* then: d, y, x in the order in which they are met; else: y */
    ck_assert_uint_eq(outer->input_count, 1 + 3 + 1);
    then_branch = he_node_attr(outer, "then_branch")->graph;
    ck_assert_uint_eq(then_branch->capture_count, 3);
    ck_assert_uint_eq(then_branch->input_count, 3);
    for (uint32_t k = 0; k < 3; k++)
        ck_assert_str_eq(then_branch->values[then_branch->inputs[k]].name,
                         graph->values[outer->inputs[1 + k]].name);
    inner = &then_branch->nodes[0];
    deep = he_node_attr(inner, "then_branch")->graph;
    /* w is constant: repeated inside, not captured. */
    ck_assert_uint_eq(deep->capture_count, 2);
    ck_assert_ptr_eq(deep->values[find_value(deep, "w")].data,
                     graph->values[find_value(graph, "w")].data);
    ck_assert_str_eq(shape_text(&graph->values[graph->outputs[0]]), "float32[2,-2]");
    ck_assert_str_eq(deep->symbols[0], "N");
    he_graph_destroy(graph);
}
END_TEST

/* --- Shapes of inputs --- */

static const struct {
    const char *what;
    struct he_shape_binding bindings[2];
    int64_t default_dim;
    he_status status;
    const char *expect; /* of "out", or what the sentence says */
} bound[] = {
    { "nothing bound: symbols stay", { { 0 } }, 0, HE_OK, "float32[-2,3,-3]" },
    { "a default for what is open", { { 0 } }, 7, HE_OK, "float32[7,3,7]" },
    { "a symbol", { { "batch", true, { 1, { 5 } } } }, 0, HE_OK, "float32[5,3,-3]" },
    { "a symbol and a default", { { "batch", true, { 1, { 5 } } } }, 9, HE_OK, "float32[5,3,9]" },
    { "an input", { { "x", false, { 3, { 2, 3, 4 } } } }, 0, HE_OK, "float32[2,3,4]" },
    { "an input that leaves a dimension open", { { "x", false, { 3, { -1, 3, 4 } } } }, 0, HE_OK,
      "float32[-2,3,4]" },
    { "another rank", { { "x", false, { 2, { 2, 3 } } } }, 0, HE_ERR_SHAPE, "rank 2" },
    { "another number", { { "x", false, { 3, { 2, 4, 4 } } } }, 0, HE_ERR_SHAPE, "declares 3" },
    { "a symbol with two sizes",
      { { "batch", true, { 1, { 5 } } }, { "x", false, { 3, { 2, 3, 4 } } } }, 0, HE_ERR_SHAPE,
      "'batch'" },
    { "two inputs that disagree on a symbol",
      { { "x", false, { 3, { 2, 3, 4 } } }, { "y", false, { 1, { 3 } } } }, 0, HE_ERR_SHAPE,
      "'batch'" },
    { "no such input", { { "xx", false, { 3, { 2, 3, 4 } } } }, 0, HE_ERR_NOT_FOUND, "'x'?" },
    { "no such symbol", { { "bach", true, { 1, { 5 } } } }, 0, HE_ERR_NOT_FOUND, "'batch'?" },
};

START_TEST(bindings_settle_the_shapes_of_inputs)
{
    struct he_graph_options options = { .bindings = bound[_i].bindings,
                                        .default_dim = bound[_i].default_dim };
    struct he_model *model = model_text(
        &arena, "in x f32[batch,3,?]\nin y f32[batch]\nt = Neg(x)\nu = Abs(y)\nout t\nout u");
    struct he_graph *graph;
    he_status status;

    while (options.binding_count < 2 && bound[_i].bindings[options.binding_count].name)
        options.binding_count++;
    status = he_graph_prepare(model, &options, NULL, &graph);
    ck_assert_msg(status == bound[_i].status, "%s: %s", bound[_i].what, he_error_message());
    if (status == HE_OK)
        ck_assert_str_eq(shape_text(&graph->values[graph->outputs[0]]), bound[_i].expect);
    else
        ck_assert_msg(strstr(he_error_message(), bound[_i].expect), "%s: %s", bound[_i].what,
                      he_error_message());
    if (status == HE_OK)
        he_graph_destroy(graph);
}
END_TEST

/* --- Control flow --- */

static const struct {
    const char *what, *text, *expect; /* of each output */
} inferred[] = {
    { "branches that agree", "in c b8[]\nin x f32[2,3]\n"
      "a = If<then_branch={t = Neg(x); out t}, else_branch={u = Abs(x); out u}>(c)\nout a",
      "float32[2,3]" },
    { "branches that differ in a dimension", "in c b8[]\nin x f32[2,3]\nin y f32[2,4]\n"
      "a = If<then_branch={t = Neg(x); out t}, else_branch={u = Abs(y); out u}>(c)\nout a",
      "float32[2,-1]" },
    { "a known condition inlines the branch", "const c b8[] = 0\nin x f32[2,3]\nin y f32[2,4]\n"
      "a = If<then_branch={t = Neg(x); out t}, else_branch={u = Abs(y); out u}>(c)\nout a",
      "float32[2,4]" },
    { "a branch that fits nothing is left to the other one", "in c b8[]\nin x f32[2,3]\n"
      "a = If<then_branch={t = MatMul(x, x); v = Neg(t); out v}, else_branch={u = Abs(x); out u}>(c)\n"
      "out a", "float32[2,3]" },
    { "a loop that keeps its shape", "in n i64[]\nin x f32[2,3]\n"
      "a, s = Loop<body={in i i64[]; in c b8[]; in v f32[*]; d = Identity(c); w = Neg(v);"
      " z = Abs(v); out d; out w; out z}>(n,, x)\nout a\nout s", "float32[2,3] float32[-1,2,3]" },
    { "a loop of a known number of rounds", "const n i64[] = 4\nin x f32[2,3]\n"
      "a, s = Loop<body={in i i64[]; in c b8[]; in v f32[*]; d = Identity(c); w = Neg(v);"
      " z = Abs(v); out d; out w; out z}>(n,, x)\nout a\nout s", "float32[2,3] float32[4,2,3]" },
    { "a loop that may stop early", "const n i64[] = 4\nin x f32[2,3]\nin go b8[]\n"
      "a, s = Loop<body={in i i64[]; in c b8[]; in v f32[*]; d = Not(c); w = Neg(v);"
      " z = Abs(v); out d; out w; out z}>(n, go, x)\nout a\nout s", "float32[2,3] float32[-1,2,3]" },
    { "a loop that grows its state", "const n i64[] = 4\nin x f32[2,3]\n"
      "a = Loop<body={in i i64[]; in c b8[]; in v f32[*]; d = Identity(c);"
      " w = Concat<axis=0>(v, x); out d; out w}>(n,, x)\nout a", "float32[-1,3]" },
    { "a loop that adds a dimension each round", "const n i64[] = 4\nin x f32[2,3]\nconst ax i64[1] = 0\n"
      "a = Loop<body={in i i64[]; in c b8[]; in v f32[*]; d = Identity(c);"
      " w = Unsqueeze(v, ax); out d; out w}>(n,, x)\nout a", "float32[*]" },
    { "a scan along the first axis", "in s f32[3]\nin x f32[5,3]\n"
      "a, y = Scan<num_scan_inputs=1, body={in t f32[*]; in e f32[*]; u = Add(t, e); v = Neg(u);"
      " out u; out v}>(s, x)\nout a\nout y", "float32[3] float32[5,3]" },
    { "a scan along other axes", "in s f32[3]\nin x f32[3,5]\n"
      "a, y = Scan<num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1], body={in t f32[*];"
      " in e f32[*]; u = Add(t, e); v = Neg(u); out u; out v}>(s, x)\nout a\nout y",
      "float32[3] float32[3,5]" },
};

START_TEST(control_flow_gives_the_shapes_its_bodies_make)
{
    struct he_graph *graph;
    char found[300] = "";
    he_status status = he_graph_prepare(model_text(&arena, inferred[_i].text), NULL, NULL, &graph);

    ck_assert_msg(status == HE_OK, "%s: %s", inferred[_i].what, he_error_message());
    for (uint32_t k = 0; k < graph->output_count; k++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", k ? " " : "",
                 shape_text(&graph->values[graph->outputs[k]]));
    ck_assert_msg(strcmp(found, inferred[_i].expect) == 0, "%s: %s", inferred[_i].what, found);
    he_graph_destroy(graph);
}
END_TEST

/* --- Memory --- */

START_TEST(running_out_of_memory_anywhere_leaves_nothing_behind)
{
    static const char *const texts[] = {
        nested,
        "in x f32[1,4,8,8]\nconst w f32[6,4,3,3] rand\nconst g f32[6] rand\nconst v f32[6] = 1\n"
        "a = Conv<pads=[1,1,1,1]>(x, w)\nb = BatchNormalization(a, g, g, g, v)\n"
        "s = Sigmoid(b)\nd = Mul(b, s)\nsh = Shape(d)\ne = Reshape(d, sh)\nf = Add(e, x2)\n"
        "x2 = Relu(b)\nout f",
    };

    for (size_t t = 0; t < HE_COUNT(texts); t++) {
        struct he_model *model = model_text(&arena, texts[t]);

        for (size_t n = 0;; n++) {
            struct failing_alloc failing;
            struct he_graph *graph = NULL;
            he_status status;

            failing_alloc_init(&failing, n);
            status = he_graph_prepare(model, NULL, &failing.alloc, &graph);
            if (status == HE_OK) {
                failing.left = SIZE_MAX; /* the check takes memory too */
                ck_assert_int_eq(he_graph_check(graph), HE_OK);
                he_graph_destroy(graph);
            }
            ck_assert_uint_eq(failing.live, 0);
            if (status == HE_OK)
                break;
            ck_assert_msg(status == HE_ERR_NO_MEMORY, "allocation %zu: %s", n, he_error_message());
            ck_assert_ptr_null(graph);
            ck_assert_uint_lt(n, 5000);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph build");
    TCase *tc = tcase_create("build");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, damaged_graphs_are_refused_with_a_sentence, 0, HE_COUNT(refused));
    tcase_add_test(tc, bodies_nested_without_end_are_refused);
    tcase_add_test(tc, nodes_out_of_order_are_sorted_stably);
    tcase_add_test(tc, initializers_and_constant_nodes_are_constants_without_a_copy);
    tcase_add_test(tc, every_graph_output_has_a_producer);
    tcase_add_test(tc, captures_pass_through_every_level);
    tcase_add_loop_test(tc, bindings_settle_the_shapes_of_inputs, 0, HE_COUNT(bound));
    tcase_add_loop_test(tc, control_flow_gives_the_shapes_its_bodies_make, 0, HE_COUNT(inferred));
    tcase_add_test(tc, running_out_of_memory_anywhere_leaves_nothing_behind);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
