/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding and simplifying: which operators are left, and that the graph still computes
 * the same. Each case is prepared twice, with and without simplification, and both
 * are run on the same inputs.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
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
    struct he_graph_options options = { .evaluator = graph_run_evaluator(),
                                        .no_simplify = !simplify };
    struct he_graph *graph;

    if (he_graph_prepare(model_text(&arena, text), &options, NULL, &graph) != HE_OK)
        ck_abort_msg("%s", he_error_message());
    return graph;
}

static const char *operators(const struct he_graph *graph)
{
    static char text[1000];

    *text = '\0';
    for (uint32_t n = 0; n < graph->node_count; n++) {
        size_t used = strlen(text);

        snprintf(text + used, sizeof text - used, "%s%s", n ? " " : "", graph->nodes[n].op);
    }
    return text;
}

#define NORM "const g f32[6] rand\nconst b f32[6] rand\nconst m f32[6] rand\nconst v f32[6] = 2,1,3,0.5,1,4\n"
#define MATRIX "in x f32[3,4]\nconst w f32[4,6] rand\n"
#define CONV "in x f32[2,4,5,5]\nconst w f32[6,4,3,3] rand\nconst cb f32[6] rand\n" NORM

static const struct {
    const char *what, *text, *expect;
} cases[] = {
    /* --- Things that do nothing --- */
    { "identities", "in x f32[2,3]\na = Identity(x)\nb = Dropout(a)\nc = Cast<to=1>(b)\nd = Neg(c)\n"
      "e = Identity(d)\nout e", "Neg" },
    { "an identity between input and output stays", "in x f32[2]\na = Identity(x)\nout a", "Identity" },
    { "two outputs of one value keep one identity", "in x f32[2]\na = Neg(x)\nb = Identity(a)\nout a\nout b",
      "Neg Identity" },
    { "arithmetic that changes nothing", "in x f32[2,3]\nconst z f32[] = 0\nconst o f32[3] = 1\n"
      "a = Add(z, x)\nb = Mul(a, o)\nc = Sub(b, z)\nd = Div(c, o)\ne = Neg(d)\nout e", "Neg" },
    { "arithmetic that broadcasts stays", "in x f32[3]\nconst z f32[2,3] = 0\na = Add(z, x)\nb = Neg(a)\nout b",
      "Add Neg" },
    { "zero minus x is not x", "in x f32[3]\nconst z f32[3] = 0\na = Sub(z, x)\nb = Neg(a)\nout b", "Sub Neg" },
    { "a transpose and its inverse", "in x f32[2,3,4]\na = Transpose<perm=[2,0,1]>(x)\n"
      "b = Transpose<perm=[1,2,0]>(a)\nc = Neg(b)\nout c", "Neg" },
    { "two transposes are one", "in x f32[2,3,4]\na = Transpose<perm=[2,0,1]>(x)\n"
      "b = Transpose<perm=[2,0,1]>(a)\nc = Neg(b)\nout c", "Transpose Neg" },
    { "a transpose of size 1 is a reshape", "in x f32[2,1,4]\na = Transpose<perm=[1,0,2]>(x)\nb = Neg(a)\nout b",
      "Reshape Neg" },
    { "reshapes in a row", "in x f32[2,3,4]\nconst s i64[2] = 6,4\nconst t i64[1] = -1\nconst u i64[1] = 0\n"
      "a = Reshape(x, s)\nb = Reshape(a, t)\nc = Unsqueeze(b, u)\nd = Neg(c)\nout d", "Reshape Neg" },
    { "a reshape to where it came from", "in x f32[2,3]\nconst s i64[1] = 6\nconst t i64[2] = 2,3\n"
      "a = Reshape(x, s)\nb = Reshape(a, t)\nc = Neg(b)\nout c", "Neg" },
    { "a slice of everything", "in x f32[4,3]\nconst s i64[1] = 0\nconst e i64[1] = 4\na = Slice(x, s, e)\n"
      "b = Neg(a)\nout b", "Neg" },
    { "a slice that turns round stays", "in x f32[4,3]\nconst s i64[1] = 3\nconst e i64[1] = -9\n"
      "const ax i64[1] = 0\nconst st i64[1] = -1\na = Slice(x, s, e, ax, st)\nb = Neg(a)\nout b", "Slice Neg" },
    { "what nobody reads", "in x f32[4]\na = Neg(x)\nb = Exp(a)\nc = Abs(a)\nout c", "Neg Abs" },

    /* --- Folding --- */
    { "shape arithmetic", "in x f32[2,3,4]\nconst i i64[] = 0\nconst z i64[1] = 0\nconst r i64[1] = -1\n"
      "s = Shape(x)\nn = Gather(s, i)\nu = Unsqueeze(n, z)\nt = Concat<axis=0>(u, r)\na = Reshape(x, t)\n"
      "b = Neg(a)\nout b", "Reshape Neg" },
    { "constants", "in x f32[3]\nconst p f32[3] rand\nconst q f32[3] rand\na = Add(p, q)\nb = Exp(a)\n"
      "c = Mul(x, b)\nout c", "Mul" },
    { "a graph output that is constant", "in x f32[3]\nconst p f32[3] rand\na = Neg(p)\nb = Neg(x)\nout a\nout b",
      "Identity Neg" },
    { "a branch that is decided by a shape", "in x f32[1,3]\nconst i i64[] = 0\nconst one i64[] = 1\n"
      "const z i64[1] = 0\ns = Shape(x)\nn = Gather(s, i)\nc = Equal(n, one)\n"
      "a = If<then_branch={t = Squeeze(x, z); out t}, else_branch={e = Neg(x); out e}>(c)\nb = Exp(a)\nout b",
      "Squeeze Exp" },
    { "constants sink into bodies", "in c b8[]\nin x f32[3]\nconst p f32[3] rand\nq = Neg(p)\n"
      "a = If<then_branch={r = Exp(q); t = Mul(x, r); out t}, else_branch={u = Abs(x); out u}>(c)\nout a", "If" },

    /* --- Into convolutions --- */
    { "a normalisation behind a convolution", CONV "a = Conv(x, w, cb)\nn = BatchNormalization(a, g, b, m, v)\nout n",
      "Conv" },
    { "without a bias, in groups", CONV "const wg f32[6,2,3,3] rand\na = Conv<group=2>(x, wg)\n"
      "n = BatchNormalization(a, g, b, m, v)\nr = Relu(n)\nout r", "Conv Relu" },
    { "arithmetic behind a convolution", CONV "const s f32[1,6,1,1] rand\nconst t f32[6,1,1] rand\nconst k f32[] = 3\n"
      "a = Conv(x, w, cb)\nc = Mul(a, s)\nd = Add(t, c)\ne = Sub(k, d)\nf = Div(e, k)\nout f", "Conv" },
    { "arithmetic along another axis stays", CONV "const s f32[1,1,3,3] rand\na = Conv(x, w)\nc = Mul(a, s)\nout c",
      "Conv Mul" },
    { "a convolution that is read twice stays", CONV "a = Conv(x, w)\nn = BatchNormalization(a, g, b, m, v)\nc = Add(a, n)\nout c",
      "Conv Mul Add Add" },
    { "behind a transposed convolution in groups", "in x f32[1,4,3,3]\nconst w f32[4,3,2,2] rand\n" NORM
      "a = ConvTranspose<group=2, strides=[2,2]>(x, w)\nn = BatchNormalization(a, g, b, m, v)\nout n",
      "ConvTranspose" },
    { "behind Gemm", "in x f32[3,4]\nconst w f32[6,4] rand\nconst c f32[6] rand\n" NORM
      "a = Gemm<transB=1, alpha=0.5, beta=2.0>(x, w, c)\nn = BatchNormalization(a, g, b, m, v)\ns = Mul(n, g)\nout s",
      "Gemm" },
    { "behind Gemm, not transposed, without bias", "in x f32[3,4]\nconst w f32[4,6] rand\n" NORM
      "a = Gemm(x, w)\nn = BatchNormalization(a, g, b, m, v)\nout n", "Gemm" },
    { "Gemm with a whole matrix added stays", "in x f32[3,4]\nconst w f32[4,6] rand\nconst c f32[3,6] rand\n" NORM
      "a = Gemm(x, w, c)\nn = Mul(a, g)\nout n", "Gemm Mul" },
    { "in front of a convolution that pads nothing", CONV "const w2 f32[3,6,1,1] rand\na = Conv(x, w)\nh = HardSwish(a)\n"
      "c = Mul(h, b2)\nconst b2 f32[6,1,1] rand\nd = Add(c, k)\nconst k f32[1] = 0.25\ne = Conv(d, w2)\nout e",
      "Conv HardSwish Conv" },
    { "in front of one that pads, the sum stays", CONV "const w2 f32[3,6,3,3] rand\nconst k f32[1] = 0.25\na = Relu(x)\n"
      "const w1 f32[6,4,1,1] rand\nh = Conv(a, w1)\nr = Tanh(h)\nd = Add(r, k)\ne = Conv<pads=[1,1,1,1]>(d, w2)\nout e",
      "Relu Conv Tanh Add Conv" },
    { "a normalisation alone is arithmetic", "in x f32[2,6,3,3]\n" NORM "const s f32[6,1,1] rand\n"
      "n = BatchNormalization(x, g, b, m, v)\nc = Mul(n, s)\nd = Add(c, s)\nr = Relu(d)\nout r", "Mul Add Relu" },
    { "padding in front of a convolution", CONV "const p i64[8] = 0,0,1,2,0,0,1,0\na = Pad(x, p)\nc = Conv<pads=[1,1,1,1]>(a, w)\nout c",
      "Conv" },
    { "padding with something else stays", CONV "const p i64[8] = 0,0,1,2,0,0,1,0\nconst f f32[] = 1\na = Pad(x, p, f)\n"
      "c = Conv(a, w)\nout c", "Pad Conv" },
    { "padding in front of an average", CONV "const p i64[8] = 0,0,1,1,0,0,1,1\na = Pad(x, p)\n"
      "c = AveragePool<kernel_shape=[3,3]>(a)\nout c", "AveragePool" },

    { "touching windows of a transposed convolution", "in x f32[1,4,3,5]\nconst w f32[4,3,2,2] rand\nconst b f32[3] rand\n"
      "a = ConvTranspose<strides=[2,2]>(x, w, b)\nr = Relu(a)\nout r", "Conv Relu DepthToSpace" },
    { "three by three, with a normalisation", "in x f32[2,4,3,5]\nconst w f32[4,6,3,3] rand\n" NORM
      "a = ConvTranspose<strides=[3,3]>(x, w)\nn = BatchNormalization(a, g, b, m, v)\nout n", "Conv DepthToSpace" },
    { "overlapping windows stay", "in x f32[1,4,3,5]\nconst w f32[4,3,3,3] rand\na = ConvTranspose<strides=[2,2]>(x, w)\nout a",
      "ConvTranspose" },
    { "a column is a row", "in x f32[2,3,20]\nconst w f32[5,3,4,1] rand\nconst b f32[5] rand\nconst ax i64[1] = 3\n"
      "y = Unsqueeze(x, ax)\na = Conv<pads=[2,0,1,0], strides=[2,1], dilations=[2,1]>(y, w, b)\nr = Relu(a)\nout r",
      "Reshape Conv Relu Reshape" },
    { "a column that is padded sideways stays", "in x f32[2,3,20,1]\nconst w f32[5,3,4,1] rand\n"
      "a = Conv<pads=[0,1,0,1]>(x, w)\nout a", "Conv" },

    /* --- Arithmetic in front of what moves --- */
    { "an activation behind a view", CONV "const t i64[2] = 2,-1\na = Conv(x, w)\nq = Reshape(a, t)\nc = Relu(q)\n"
      "d = Clip(c, lo)\nconst lo f32[] = 0.5\nout d", "Conv Relu Clip Reshape" },
    { "a bias behind a view", "in x f32[2,4,5,1]\nconst w f32[6,4,1,1] rand\nconst ax i64[1] = 3\nconst s f32[6,1] rand\n"
      "a = Conv(x, w)\nb = Squeeze(a, ax)\nc = Add(s, b)\nd = Sigmoid(c)\nout d", "Conv Sigmoid Squeeze" },
    { "a row behind a view is no channel", "in x f32[2,4,5,1]\nconst w f32[6,4,1,1] rand\nconst ax i64[1] = 3\n"
      "const s f32[5] rand\na = Conv(x, w)\nb = Squeeze(a, ax)\nc = Add(s, b)\nout c", "Conv Squeeze Add" },
    { "an activation behind a transpose", MATRIX "a = MatMul(x, w)\nb = Transpose<perm=[1,0]>(a)\nc = Tanh(b)\nout c",
      "MatMul Tanh Transpose" },
    { "a view that is read twice stays", CONV "const t i64[2] = 2,-1\na = Conv(x, w)\nq = Reshape(a, t)\nc = Relu(q)\nout c\nout q",
      "Conv Reshape Relu" },
    { "a pool behind a view of space", "in x f32[2,3,4,5]\nconst t i64[3] = 2,3,20\na = Reshape(x, t)\n"
      "b = GlobalAveragePool(a)\nc = Neg(b)\nout c", "GlobalAveragePool Reshape Neg" },
    { "a pool behind a view of channels stays", "in x f32[2,3,4,5]\nconst t i64[3] = 2,12,5\na = Reshape(x, t)\n"
      "b = GlobalMaxPool(a)\nout b", "Reshape GlobalMaxPool" },
    { "a transpose and a view of size 1", "in x f32[2,3,1,4]\nconst t i64[4] = 1,4,2,3\na = Transpose<perm=[2,3,0,1]>(x)\n"
      "const u i64[4] = 4,1,2,3\nb = Reshape(a, u)\nc = Exp(b)\nout c", "Transpose Exp" },
    { "a table takes what is done to its rows", "in i i64[40]\nconst t f32[5,3] rand\nconst s f32[1,3] rand\na = Gather(t, i0)\n"
      "const z i64[] = 4\nm = Mod(i, z)\ni0 = Identity(m)\nb = Add(a, s)\nc = Gelu(b)^20\nout c", "Mod Gather" },
    { "a table larger than what is read stays", "in i i64[2]\nconst t f32[50,3] rand\na = Gather(t, i)\nb = Relu(a)\nout b",
      "Gather Relu" },
    { "one-hot rows are rows", "in i i32[2,9]\nconst t f32[7,5] rand\nconst n i32[1,1,7] = 0,1,2,3,4,5,6\nconst ax i64[1] = 2\n"
      "const two i32[] = 2\nj = Sub(i, two)\nu = Unsqueeze(j, ax)\ne = Equal(u, n)\nh = Cast<to=1>(e)\na = MatMul(h, t)\nout a",
      "Sub Less Min Where Gather" },

    /* --- Activations --- */
    { "hard sigmoid", "in x f32[2,9]\nconst h f32[] = 3\nconst z f32[] = 0\nconst s f32[] = 6\n"
      "a = Add(x, h)\nc = Clip(a, z, s)\nd = Div(c, s)\nout d", "HardSigmoid" },
    { "hard swish, divided at the end", "in y f32[2,9]\nconst h f32[] = 3\nconst z f32[] = 0\nconst s f32[] = 6\n"
      "x = Neg(y)\na = Add(x, h)\nc = Clip(a, z, s)\nd = Mul(x, c)\ne = Div(d, s)\nout e", "Neg HardSwish" },
    { "hard swish by HardSigmoid", "in y f32[2,9]\nx = Neg(y)\na = HardSigmoid<alpha=0.16666667>(x)\n"
      "b = Mul(a, x)\nout b", "Neg HardSwish" },
    { "another slope is no hard swish", "in y f32[2,9]\nx = Neg(y)\na = HardSigmoid<alpha=0.2>(x)\nb = Mul(a, x)\nout b",
      "Neg HardSigmoid Mul" },
    { "swish", "in y f32[2,9]\nx = Neg(y)\na = Sigmoid(x)\nb = Mul(x, a)\nout b", "Neg Swish" },
    { "a sigmoid of something else is a gate", "in y f32[2,9]\nin z f32[2,9]\na = Sigmoid(z)\nb = Mul(y, a)\nout b",
      "Sigmoid Mul" },
    { "mish", "in y f32[2,9]\nx = Neg(y)\na = Softplus(x)\nt = Tanh(a)\nb = Mul(x, t)\nout b", "Neg Mish" },
    { "gelu", "in y f32[2,9]\nconst r f32[] = 1.41421356\nconst o f32[] = 1\nconst h f32[] = 0.5\nx = Neg(y)\n"
      "a = Div(x, r)\ne = Erf(a)\ns = Add(e, o)\nm = Mul(x, s)\nn = Mul(m, h)\nout n", "Neg Gelu" },
    { "gelu in another order", "in y f32[2,9]\nconst r f32[] = 0.70710678\nconst o f32[] = 1\nconst h f32[] = 0.5\n"
      "x = Neg(y)\na = Mul(x, r)\ne = Erf(a)\ns = Add(o, e)\nq = Mul(h, x)\nn = Mul(q, s)\nout n", "Neg Gelu" },
    { "gelu by tanh", "in y f32[2,9]\nconst c f32[] = 0.044715\nconst r f32[] = 0.7978845608\nconst o f32[] = 1\n"
      "const h f32[] = 0.5\nx = Neg(y)\na = Mul(c, x)\nb = Mul(x, a)\nd = Mul(x, b)\ne = Add(x, d)\nf = Mul(r, e)\n"
      "t = Tanh(f)\ns = Add(o, t)\nm = Mul(h, s)\nn = Mul(x, m)\nout n", "Neg Gelu" },
    { "gelu by tanh and Pow", "in y f32[2,9]\nconst c f32[] = 0.044715\nconst r f32[] = 0.7978845608\n"
      "const o f32[] = 1\nconst h f32[] = 0.5\nconst k f32[] = 3\nx = Neg(y)\np = Pow(x, k)\nd = Mul(p, c)\n"
      "e = Add(x, d)\nf = Mul(e, r)\nt = Tanh(f)\ns = Add(t, o)\nq = Mul(x, h)\nn = Mul(q, s)\nout n", "Neg Gelu" },
    { "a part that is read elsewhere keeps the whole", "in y f32[2,9]\nx = Neg(y)\na = Sigmoid(x)\nb = Mul(x, a)\nout b\nout a",
      "Neg Sigmoid Mul" },
    { "a gate that is added to what it gates", "in y f32[1,3,4,4]\nx = Neg(y)\np = GlobalAveragePool(x)\ns = HardSigmoid(p)\n"
      "m = Mul(x, s)\na = Add(x, m)\nout a", "Neg GlobalAveragePool HardSigmoid Add Mul" },

    /* --- Normalisations --- */
    { "layer normalisation", "opset 13\nin y f32[2,3,8]\nconst two f32[] = 2\nconst e f32[] = 0.00001\n"
      "const g f32[8] rand\nconst b f32[8] rand\nx = Neg(y)\nm = ReduceMean<axes=[-1]>(x)\nd = Sub(x, m)\n"
      "p = Pow(d, two)\nv = ReduceMean<axes=[-1]>(p)\nw = Add(v, e)\ns = Sqrt(w)\nq = Div(d, s)\nr = Mul(q, g)\n"
      "t = Add(r, b)\nout t", "Neg LayerNormalization" },
    { "without scale, over two axes", "opset 13\nin y f32[2,3,8]\nconst e f32[] = 0.00001\nx = Neg(y)\n"
      "m = ReduceMean<axes=[1,2]>(x)\nd = Sub(x, m)\np = Mul(d, d)\nv = ReduceMean<axes=[1,2]>(p)\n"
      "w = Add(e, v)\ns = Sqrt(w)\nq = Div(d, s)\nout q", "Neg LayerNormalization" },
    { "by the reciprocal", "opset 13\nin y f32[2,3,8]\nconst e f32[] = 0.00001\nconst g f32[8] rand\nx = Neg(y)\n"
      "m = ReduceMean<axes=[2]>(x)\nd = Sub(x, m)\np = Mul(d, d)\nv = ReduceMean<axes=[2]>(p)\n"
      "w = Add(e, v)\ns = Sqrt(w)\ni = Reciprocal(s)\nq = Mul(d, i)\nh = Mul(g, q)\nout h", "Neg LayerNormalization" },
    { "over an axis in the middle stays", "opset 13\nin y f32[2,3,8]\nconst e f32[] = 0.00001\nx = Neg(y)\n"
      "m = ReduceMean<axes=[1]>(x)\nd = Sub(x, m)\np = Mul(d, d)\nv = ReduceMean<axes=[1]>(p)\n"
      "w = Add(e, v)\ns = Sqrt(w)\nq = Div(d, s)\nout q", "Neg ReduceMean Sub Mul ReduceMean Add Sqrt Div" },
    { "softmax", "opset 13\nin y f32[2,3,8]\nconst a i64[1] = 1\nx = Neg(y)\nm = ReduceMax<axes=[1]>(x)\nd = Sub(x, m)\n"
      "e = Exp(d)\ns = ReduceSum(e, a)\nq = Div(e, s)\nout q", "Neg Softmax" },
    { "softmax with its dimension put back", "opset 13\nin y f32[3,8]\nconst a i64[1] = 1\nconst t i64[2] = 3,1\n"
      "x = Neg(y)\nm = ReduceMax<axes=[1], keepdims=0>(x)\nn = Reshape(m, t)\nd = Sub(x, n)\ne = Exp(d)\n"
      "s = ReduceSum<keepdims=0>(e, a)\nu = Unsqueeze(s, a)\nq = Div(e, u)\nout q", "Neg Softmax" },
};

START_TEST(what_is_simplified_computes_the_same)
{
    struct he_graph *plain = prepare(cases[_i].text, false);
    struct he_graph *simple = prepare(cases[_i].text, true);
    struct he_tensor expected[4], found[4];

    ck_assert_msg(strcmp(operators(simple), cases[_i].expect) == 0, "%s: %s", cases[_i].what,
                  operators(simple));
    ck_assert_uint_eq(plain->output_count, simple->output_count);
    ck_assert_msg(graph_run(plain, &arena, NULL, expected) == HE_OK, "%s: %s", cases[_i].what,
                  he_error_message());
    ck_assert_msg(graph_run(simple, &arena, NULL, found) == HE_OK, "%s: %s", cases[_i].what,
                  he_error_message());
    for (uint32_t k = 0; k < plain->output_count; k++) {
        double difference = graph_run_difference(&expected[k], &found[k]);

        ck_assert_msg(difference < 2e-6, "%s: output %u differs by %g", cases[_i].what, k,
                      difference);
        ck_assert_str_eq(plain->values[plain->outputs[k]].name,
                         simple->values[simple->outputs[k]].name);
    }
    he_graph_destroy(plain);
    he_graph_destroy(simple);
}
END_TEST

START_TEST(dead_captures_leave_the_node_and_the_body)
{
    struct he_graph *graph = prepare("in c b8[]\nin x f32[3]\nin y f32[3]\n"
                                     "a = If<then_branch={t = Neg(x); u = Exp(y); out t},"
                                     " else_branch={v = Abs(x); out v}>(c)\nout a",
                                     true);

    ck_assert_uint_eq(graph->nodes[0].input_count, 3); /* c, and x twice; y is gone */
    ck_assert_uint_eq(he_node_attr(&graph->nodes[0], "then_branch")->graph->capture_count, 1);
    ck_assert_uint_eq(graph->input_count, 3); /* the interface stays */
    he_graph_destroy(graph);
}
END_TEST

START_TEST(without_an_evaluator_only_shapes_and_fills_fold)
{
    struct he_graph *graph;
    struct he_model *model = model_text(
        &arena, "in x f32[2,3]\nconst n i64[2] = 2,3\nconst p f32[3] rand\n"
                "f = ConstantOfShape(n)\ns = Shape(x)\nr = Reshape(x, s)\nq = Neg(p)\n"
                "a = Add(r, f)\nb = Mul(a, q)\nout b");

    ck_assert_int_eq(he_graph_prepare(model, NULL, NULL, &graph), HE_OK);
    ck_assert_str_eq(operators(graph), "Neg Mul"); /* adding a filled zero is nothing */
    he_graph_destroy(graph);
}
END_TEST

START_TEST(random_numbers_are_not_folded)
{
    struct he_graph *graph = prepare("in x f32[3]\na = RandomNormal<shape=[3], seed=1.0>()\n"
                                     "b = Mul(x, a)\nout b",
                                     true);

    ck_assert_str_eq(operators(graph), "RandomNormal Mul");
    he_graph_destroy(graph);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph passes");
    TCase *tc = tcase_create("passes");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, what_is_simplified_computes_the_same, 0, HE_COUNT(cases));
    tcase_add_test(tc, dead_captures_leave_the_node_and_the_body);
    tcase_add_test(tc, random_numbers_are_not_folded);
    tcase_add_test(tc, without_an_evaluator_only_shapes_and_fills_fold);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
