/* SPDX-License-Identifier: Apache-2.0 */
/* Local functions are replaced by their bodies; each case is two lines of text. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "support/failing_alloc.h"
#include "support/onnx_text.h"

struct function_text {
    const char *name, *graph, *attr_names, *defaults;
    int opset;
};

/* A model whose arena and structs are on the stack of the test. */
static void make_model(struct he_model *model, const struct he_allocator *alloc, const char *graph,
                       const struct function_text *functions)
{
    static struct onnx_opset imports[] = { { "", 17 }, { "my", 1 } };

    *model = (struct he_model){ .path = "", .opsets = imports, .opset_count = 2 };
    he_arena_init(&model->arena, alloc);
    onnx_text_graph(&model->arena, graph, &model->graph);
    while (functions[model->function_count].name)
        model->function_count++;
    model->functions =
        he_arena_alloc(&model->arena, model->function_count, sizeof *model->functions);
    for (size_t k = 0; k < model->function_count; k++) {
        const struct function_text *text = &functions[k];
        struct onnx_opset *opset = he_arena_alloc(&model->arena, 1, sizeof *opset);

        onnx_text_function(&model->arena, text->name, text->graph,
                           text->attr_names ? text->attr_names : "",
                           text->defaults ? text->defaults : "", &model->functions[k]);
        *opset = (struct onnx_opset){ "", text->opset ? text->opset : 17 };
        model->functions[k].opsets = opset;
        model->functions[k].opset_count = 1;
    }
}

static const struct {
    const char *what, *graph, *expect;
    struct function_text functions[4];
} cases[] = {
    { "a model without functions stays as it is", "x|y|y=Relu(x)", "x|y|y=Relu(x)", { { 0 } } },
    { "formal names become the call's, others are made new", "x|y|y=my.F(x)",
      "x|y|F#0/t=Neg(x) y=Exp(F#0/t)", { { "F", "a|b|t=Neg(a) b=Exp(t)" } } },
    { "two calls share no name", "x|y|u=my.F(x) y=my.F(u)",
      "x|y|F#0/t=Neg(x) u=Exp(F#0/t) F#1/t=Neg(u) y=Exp(F#1/t)",
      { { "F", "a|b|t=Neg(a) b=Exp(t)" } } },
    { "names of the model that look like ours do not clash", "F#0/t|y|y=my.F(F#0/t)",
      "F#0/t|y|F##0/t=Neg(F#0/t) y=Exp(F##0/t)", { { "F", "a|b|t=Neg(a) b=Exp(t)" } } },
    { "functions call functions", "x|y|y=my.F(x)", "x|y|G#1/t=Neg(x) F#0/t=Exp(G#1/t) y=Abs(F#0/t)",
      { { "F", "a|b|t=my.G(a) b=Abs(t)" }, { "G", "a|b|t=Neg(a) b=Exp(t)" } } },
    { "a domain of its own is no call", "x|y|y=other.F(x)", "x|y|y=other.F(x)",
      { { "F", "a|b|b=Neg(a)" } } },
    { "an attribute is passed on", "x|y|y=my.F<by=0.5>(x)", "x|y|y=Elu<alpha=0.5>(x)",
      { { "F", "a|b|b=Elu<alpha=@by>(a)", "by" } } },
    { "an attribute has a default", "x|y|y=my.F(x)", "x|y|y=Elu<alpha=3.5>(x)",
      { { "F", "a|b|b=Elu<alpha=@by>(a)", NULL, "by=3.5" } } },
    { "the call's attribute beats the default", "x|y|y=my.F<by=0.5>(x)", "x|y|y=Elu<alpha=0.5>(x)",
      { { "F", "a|b|b=Elu<alpha=@by>(a)", NULL, "by=3.5" } } },
    { "an attribute that nobody gives is left out", "x|y|y=my.F(x)", "x|y|y=Elu(x)",
      { { "F", "a|b|b=Elu<alpha=@by>(a)", "by" } } },
    { "an attribute goes through two calls", "x|y|y=my.F<by=0.5>(x)", "x|y|y=Elu<alpha=0.5>(x)",
      { { "F", "a|b|b=my.G<to=@by>(a)", "by" }, { "G", "a|b|b=Elu<alpha=@to>(a)", "to" } } },
    { "an attribute reaches a graph in the body", "c,x|y|y=my.F<by=0.5>(c,x)",
      "c,x|y|y=If<then=[|F#0/t|F#0/t=Elu<alpha=0.5>(x)]>(c)",
      { { "F", "c,a|b|b=If<then=[|t|t=Elu<alpha=@by>(a)]>(c)", "by" } } },
    { "an omitted input is omitted inside", "x|y|y=my.F(x)", "x|y|y=Clip(x,_)",
      { { "F", "a,low|b|b=Clip(a,low)" } } },
    { "an omitted output keeps a name of its own", "x|y|_,y=my.F(x)",
      "x|y|F#0/u=Neg(x) y=Exp(F#0/u)", { { "F", "a|u,b|u=Neg(a) b=Exp(u)" } } },
    { "an input given back gets a second name", "x|y|y=my.F(x)", "x|y|y=Identity(x)",
      { { "F", "a|a|" } } },
    { "a value given twice gets a second name", "x|y,z|y,z=my.F(x)",
      "x|y,z|y=Neg(x) z=Identity(y)", { { "F", "a|b,b|b=Neg(a)" } } },
    { "a call inside a graph is replaced there", "c,x|y|y=If<then=[|z|z=my.F(x)]>(c)",
      "c,x|y|y=If<then=[|z|F#0/t=Neg(x) z=Exp(F#0/t)]>(c)", { { "F", "a|b|t=Neg(a) b=Exp(t)" } } },
    { "a call inside a graph inside a function", "c,x|y|y=my.F(c,x)",
      "c,x|y|y=If<then=[|F#0/z|G#1/t=Neg(x) F#0/z=Exp(G#1/t)]>(c)",
      { { "F", "c,a|b|b=If<then=[|z|z=my.G(a)]>(c)" }, { "G", "a|b|t=Neg(a) b=Exp(t)" } } },
    { "a graph's own name hides the function's", "s,x|y|y=my.F(s,x)",
      "s,x|y|y=Scan<body=[F#0/a|F#0/b|F#0/b=Neg(F#0/a)]>(s,x)",
      { { "F", "s,a|b|b=Scan<body=[a|b|b=Neg(a)]>(s,a)" } } },
    { "a graph sees the names around it", "c,x|y|y=my.F(c,x)",
      "c,x|y|F#0/t=Neg(x) y=If<then=[|F#0/z|F#0/z=Exp(F#0/t)]>(c)",
      { { "F", "c,a|b|t=Neg(a) b=If<then=[|z|z=Exp(t)]>(c)" } } },
    { "another opset stays with the node", "x|y|y=my.F(x)", "x|y|y=Neg(x)^12",
      { { "F", "a|b|b=Neg(a)", NULL, NULL, 12 } } },
};

START_TEST(calls_are_replaced_by_bodies)
{
    struct he_model model;
    struct he_text text;

    make_model(&model, NULL, cases[_i].graph, cases[_i].functions);
    ck_assert_msg(he_model_inline(&model) == HE_OK, "%s: %s", cases[_i].what, he_error_message());
    he_text_init(&text, NULL);
    onnx_text_print(&model.graph, &text);
    ck_assert_msg(strcmp(he_text_string(&text), cases[_i].expect) == 0, "%s:\n%s\nexpected\n%s",
                  cases[_i].what, he_text_string(&text), cases[_i].expect);
    ck_assert_uint_eq(model.function_count, 0);
    he_text_fini(&text);
    he_arena_fini(&model.arena);
}
END_TEST

static const struct {
    const char *what, *graph, *expect;
    he_status status;
    struct function_text functions[4];
} refusals[] = {
    { "a function that calls itself", "x|y|y=my.F(x)", "calls itself", HE_ERR_PARSE,
      { { "F", "a|b|b=my.F(a)" } } },
    { "functions that call each other", "x|y|y=my.F(x)", "calls itself", HE_ERR_PARSE,
      { { "F", "a|b|b=my.G(a)" }, { "G", "a|b|b=my.F(a)" } } },
    { "a call of itself deep in a graph", "c,x|y|y=my.F(c,x)", "calls itself", HE_ERR_PARSE,
      { { "F", "c,a|b|b=If<then=[|z|z=my.F(c,a)]>(c)" } } },
    { "more inputs than the function has", "x|y|y=my.F(x,x)", "2 inputs", HE_ERR_PARSE,
      { { "F", "a|b|b=Neg(a)" } } },
    { "the same function twice", "x|y|y=my.F(x)", "defined twice", HE_ERR_PARSE,
      { { "F", "a|b|b=Neg(a)" }, { "F", "a|b|b=Exp(a)" } } },
    { "an attribute of another type", "x|y|y=my.F<by=2>(x)", "type", HE_ERR_PARSE,
      { { "F", "a|b|b=Elu<alpha=@by>(a)", "by" } } },
    { "a reference outside a function", "x|y|y=Elu<alpha=@by>(x)", "outside a function",
      HE_ERR_PARSE, { { 0 } } },
    { "an input given back that the call left out", "x|y|y=my.F()", "left out", HE_ERR_PARSE,
      { { "F", "a|a|" } } },
};

START_TEST(impossible_calls_are_refused)
{
    struct he_model model;
    he_status status;

    make_model(&model, NULL, refusals[_i].graph, refusals[_i].functions);
    status = he_model_inline(&model);
    ck_assert_msg(status == refusals[_i].status, "%s: %s", refusals[_i].what,
                  he_status_name(status));
    ck_assert_msg(strstr(he_error_message(), refusals[_i].expect) != NULL, "%s: %s",
                  refusals[_i].what, he_error_message());
    he_arena_fini(&model.arena);
}
END_TEST

START_TEST(growth_beyond_reason_is_refused)
{
    enum { DEPTH = 40 }; /* 2^40 nodes, were they made */
    static char names[DEPTH + 1][8], graphs[DEPTH][64];
    struct function_text functions[DEPTH + 1] = { { 0 } };
    struct he_model model;

    for (size_t k = 0; k <= DEPTH; k++)
        snprintf(names[k], sizeof names[k], "F%zu", k);
    for (size_t k = 0; k < DEPTH; k++) {
        const char *domain = k + 1 < DEPTH ? "my." : "";

        snprintf(graphs[k], sizeof graphs[k], "a|b|t=%s%s(a) b=%s%s(t)", domain, names[k + 1],
                 domain, names[k + 1]);
        functions[k] = (struct function_text){ names[k], graphs[k], NULL, NULL, 0 };
    }
    make_model(&model, NULL, "x|y|y=my.F0(x)", functions);
    ck_assert_int_eq(he_model_inline(&model), HE_ERR_UNSUPPORTED);
    ck_assert_msg(strstr(he_error_message(), "MiB") != NULL, "%s", he_error_message());
    he_arena_fini(&model.arena);
}
END_TEST

START_TEST(deep_calls_are_refused)
{
    enum { DEPTH = 200 };
    static char names[DEPTH + 1][8], graphs[DEPTH][64];
    static struct function_text functions[DEPTH + 1];
    struct he_model model;

    for (size_t k = 0; k <= DEPTH; k++)
        snprintf(names[k], sizeof names[k], "F%zu", k);
    for (size_t k = 0; k < DEPTH; k++) {
        snprintf(graphs[k], sizeof graphs[k], "a|b|b=my.%s(a)", names[k + 1]);
        functions[k] = (struct function_text){ names[k], graphs[k], NULL, NULL, 0 };
    }
    make_model(&model, NULL, "x|y|y=my.F0(x)", functions);
    ck_assert_int_eq(he_model_inline(&model), HE_ERR_UNSUPPORTED);
    ck_assert_msg(strstr(he_error_message(), "deep") != NULL, "%s", he_error_message());
    he_arena_fini(&model.arena);
}
END_TEST

START_TEST(a_domain_only_functions_import_becomes_the_models)
{
    static const struct function_text functions[] = { { "F", "a|b|b=third.Op(a)" }, { 0 } };
    struct onnx_opset imports[] = { { "", 17 }, { "third", 3 } };
    struct he_model model;

    make_model(&model, NULL, "x|y|y=my.F(x)", functions);
    model.functions[0].opsets = imports;
    model.functions[0].opset_count = 2;
    ck_assert_int_eq(he_model_inline(&model), HE_OK);
    ck_assert_int_eq(he_model_opset(&model, "third"), 3);
    ck_assert_int_eq(model.graph.nodes[0].opset, 0);
    he_arena_fini(&model.arena);
}
END_TEST

START_TEST(exhausted_memory_is_reported_and_nothing_leaks)
{
    for (size_t n = 0;; n++) {
        struct failing_alloc failing;
        struct he_model model;
        he_status status;

        /* Building takes what it wants; then the chunk is filled to the brim, and
         * inlining gets n more. */
        failing_alloc_init(&failing, SIZE_MAX);
        make_model(&model, &failing.alloc, cases[17].graph, cases[17].functions);
        failing.left = 0;
        while (he_arena_alloc(&model.arena, 16, 1))
            ;
        failing.left = n;
        status = he_model_inline(&model);
        he_arena_fini(&model.arena);
        ck_assert_uint_eq(failing.live, 0);
        if (status == HE_OK) {
            ck_assert_uint_gt(n, 0);
            break;
        }
        ck_assert_int_eq(status, HE_ERR_NO_MEMORY);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/inline");
    TCase *tc = tcase_create("inline");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, calls_are_replaced_by_bodies, 0, HE_COUNT(cases));
    tcase_add_loop_test(tc, impossible_calls_are_refused, 0, HE_COUNT(refusals));
    tcase_add_test(tc, growth_beyond_reason_is_refused);
    tcase_add_test(tc, deep_calls_are_refused);
    tcase_add_test(tc, a_domain_only_functions_import_becomes_the_models);
    tcase_add_test(tc, exhausted_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
