/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cut tasks compute what the whole ones do. Every case is cut along every axis that can be, in
 * several ways, and all its tasks at once at random bounds; the graph that was not cut is the
 * oracle.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "graph/shard.h"
#include "support/failing_alloc.h"
#include "support/graph_run.h"
#include "support/model_text.h"
#include "support/random_cut.h"

#define MOST_TASKS 64
#define TOLERANCE 2e-6 /* sums in another order */

static struct he_arena arena;
static uint32_t random_state;

static void setup(void)
{
    he_arena_init(&arena, NULL);
    random_state = 12345;
}

static void teardown(void)
{
    he_arena_fini(&arena);
}

static uint32_t pick(uint32_t below)
{
    return random_cut_pick(&random_state, below);
}

static void must(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s", he_error_message());
}

static struct he_graph *prepare(const char *text)
{
    struct he_graph_options options = { .no_simplify = true };
    struct he_graph *graph;

    must(he_graph_prepare(model_text(&arena, text), &options, NULL, &graph));
    return graph;
}

static const struct he_shape *result_shape(const struct he_graph *graph, uint32_t task)
{
    return &graph->values[graph->tasks[task].outputs[0]].shape;
}

static void run(struct he_graph *graph, struct he_tensor **outputs)
{
    *outputs = he_arena_alloc(&arena, graph->output_count, sizeof **outputs);
    must(graph_run(graph, &arena, NULL, *outputs));
}

/* @cut, which goes, gives what the whole graph does. */
static void expect_same(const char *what, const struct he_graph *whole,
                        const struct he_tensor *expected, struct he_graph *cut)
{
    struct he_tensor *got;

    run(cut, &got);
    for (uint32_t k = 0; k < whole->output_count; k++) {
        ck_assert_str_eq(cut->values[cut->outputs[k]].name, whole->values[whole->outputs[k]].name);
        ck_assert_msg(graph_run_difference(&expected[k], &got[k]) <= TOLERANCE,
                      "%s: output %u differs by %g", what, k,
                      graph_run_difference(&expected[k], &got[k]));
    }
    he_graph_destroy(cut);
}

/* --- Every operator with a rule, along every axis --- */

#define CONV(attrs) "in x f32[3,4,9,8]\nconst w f32[6,4,3,3] rand\nconst b f32[6] rand\n" \
                    "y = Conv<" attrs ">(x, w, b)\nout y"
#define POOL(op, attrs) "opset 19\nin x f32[2,3,9,8]\ny = " op "<" attrs ">(x)\nout y"

/* The axes along which the last task can be cut, at any bounds but where groups forbid. */
static const struct {
    const char *what, *text, *axes;
} cases[] = {
    { "a matrix product by rows and columns", "in x f32[6,5]\nconst w f32[5,7] rand\ny = MatMul(x, w)\nout y", "0 1" },
    { "both sides made while running", "in x f32[6,5]\nin w f32[5,7]\ny = MatMul(x, w)\nout y", "0 1" },
    { "a batch of products", "in x f32[3,4,5]\nin w f32[3,5,2]\ny = MatMul(x, w)\nout y", "0 1 2" },
    { "one matrix for the batch", "in x f32[2,3,4,5]\nin w f32[5,2]\ny = MatMul(x, w)\nout y", "0 1 2 3" },
    { "batches that broadcast both ways", "in x f32[2,1,4,5]\nin w f32[3,5,2]\ny = MatMul(x, w)\nout y", "0 1 2 3" },
    { "a vector is left whole", "in x f32[5]\nconst w f32[5,7] rand\ny = MatMul(x, w)\nout y", "" },
    { "a product with its epilogue", "in x f32[6,5]\nconst w f32[5,7] rand\nconst b f32[7] rand\nin r f32[6,7]\n"
      "a = MatMul(x, w)\nc = Add(a, b)\nd = Add(c, r)\ny = Relu(d)\nout y", "0 1" },
    { "Gemm", "in x f32[6,5]\nconst w f32[5,7] rand\nconst b f32[7] rand\ny = Gemm(x, w, b)\nout y", "0 1" },
    { "Gemm transposed, a bias per row", "in x f32[5,6]\nconst w f32[7,5] rand\nconst b f32[6,1] rand\n"
      "y = Gemm<transA=1,transB=1,alpha=0.5,beta=2.0>(x, w, b)\nout y", "0 1" },
    { "Gemm, a bias per element", "in x f32[5,6]\nin w f32[5,7]\nin b f32[6,7]\n"
      "y = Gemm<transA=1>(x, w, b)\nout y", "0 1" },
    { "Gemm, one bias", "in x f32[6,5]\nin w f32[5,7]\nconst b f32[] = 3\ny = Gemm(x, w, b)\nout y", "0 1" },
    { "Conv", CONV("pads=[0,0,0,0]"), "0 1 2 3" },
    { "Conv padded", CONV("pads=[1,1,1,1]"), "0 1 2 3" },
    { "Conv padded unevenly, strided", CONV("pads=[2,0,1,1],strides=[2,3]"), "0 1 2 3" },
    { "Conv dilated", CONV("dilations=[2,3],pads=[2,3,2,3]"), "0 1 2 3" },
    { "Conv SAME_UPPER", CONV("auto_pad=\"SAME_UPPER\",strides=[2,2]"), "0 1 2 3" },
    { "Conv SAME_LOWER", CONV("auto_pad=\"SAME_LOWER\",strides=[2,1]"), "0 1 2 3" },
    { "Conv VALID", CONV("auto_pad=\"VALID\",strides=[1,2]"), "0 1 2 3" },
    { "Conv whose stride jumps over rows", CONV("strides=[4,4]"), "0 1 2 3" },
    { "Conv without a bias", "in x f32[1,2,7,7]\nconst w f32[4,2,3,3] rand\ny = Conv(x, w)\nout y", "1 2 3" },
    { "Conv with one row per window", "in x f32[2,3,6]\nconst w f32[4,3,1] rand\ny = Conv(x, w)\nout y", "0 1 2" },
    { "Conv in space", "in x f32[2,2,5,4,6]\nconst w f32[3,2,2,3,3] rand\ny = Conv<pads=[1,1,1,0,1,1]>(x, w)\nout y", "0 1 2 3 4" },
    { "depthwise", "in x f32[2,6,7,7]\nconst w f32[6,1,3,3] rand\nconst b f32[6] rand\n"
      "y = Conv<group=6,pads=[1,1,1,1]>(x, w, b)\nout y", "0 1 2 3" },
    { "depthwise with a multiplier", "in x f32[2,3,5,5]\nconst w f32[6,1,3,3] rand\n"
      "y = Conv<group=3,pads=[1,1,1,1]>(x, w)\nout y", "0 1 2 3" },
    { "grouped", "in x f32[2,8,5,5]\nconst w f32[8,2,3,3] rand\nconst b f32[8] rand\n"
      "y = Conv<group=4,pads=[1,1,1,1]>(x, w, b)\nout y", "0 1 2 3" },
    { "Conv with its epilogue", "in x f32[2,3,6,6]\nconst w f32[4,3,3,3] rand\nconst s f32[4,1,1] rand\n"
      "const k f32[] = 6\nin r f32[2,4,6,6]\na = Conv<pads=[1,1,1,1]>(x, w)\nb = Mul(a, s)\nc = Add(b, r)\n"
      "d = Relu(c)\ny = Clip(d,,k)\nout y", "0 1 2 3" },
    { "ConvTranspose", "in x f32[2,3,4,4]\nconst w f32[3,5,2,2] rand\nconst b f32[5] rand\n"
      "y = ConvTranspose<strides=[2,2]>(x, w, b)\nout y", "0 1" },
    { "MaxPool", POOL("MaxPool", "kernel_shape=[3,3],pads=[1,1,1,1],strides=[2,2]"), "0 1 2 3" },
    { "MaxPool dilated", POOL("MaxPool", "kernel_shape=[2,3],dilations=[3,2]"), "0 1 2 3" },
    { "MaxPool with a hanging window", POOL("MaxPool", "kernel_shape=[3,3],strides=[2,2],ceil_mode=1"), "0 1 2 3" },
    { "MaxPool SAME_UPPER", POOL("MaxPool", "kernel_shape=[3,2],strides=[2,2],auto_pad=\"SAME_UPPER\""), "0 1 2 3" },
    { "AveragePool", POOL("AveragePool", "kernel_shape=[3,3],pads=[1,1,1,1]"), "0 1 2 3" },
    { "AveragePool that counts padding", POOL("AveragePool", "kernel_shape=[3,3],pads=[1,0,1,2],strides=[1,2],count_include_pad=1"), "0 1 2 3" },
    { "AveragePool with a hanging window", POOL("AveragePool", "kernel_shape=[2,3],strides=[2,2],ceil_mode=1"), "0 1 2 3" },
    { "AveragePool SAME_LOWER", POOL("AveragePool", "kernel_shape=[3,3],strides=[2,2],auto_pad=\"SAME_LOWER\""), "0 1 2 3" },
    { "LpPool", POOL("LpPool", "kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1]"), "0 1 2 3" },
    { "GlobalAveragePool", "in x f32[3,4,5,5]\ny = GlobalAveragePool(x)\nout y", "0 1" },
    { "GlobalMaxPool", "in x f32[3,4,5,5]\ny = GlobalMaxPool(x)\nout y", "0 1" },
    { "LRN", "in x f32[2,6,5,5]\ny = LRN<size=3>(x)\nout y", "0 2 3" },
    { "pointwise", "in x f32[3,4]\ny = Tanh(x)\nout y", "0 1" },
    { "a chain with operands that broadcast", "in x f32[3,4,5]\nin r f32[4,1]\nin q f32[5]\nconst k f32[3,1,1] rand\n"
      "a = Mul(x, r)\nb = Add(q, a)\nc = Sub(b, k)\ny = Sigmoid(c)\nout y", "0 1 2" },
    { "both operands repeat", "in x f32[3,1,5]\nin r f32[4,1]\ny = Mul(x, r)\nout y", "0 1 2" },
    { "a square", "in x f32[3,4]\na = Neg(x)\ny = Mul(a, a)\nout y", "0 1" },
    { "Where", "opset 16\nin c b8[3,1]\nin x f32[3,4]\nin z f32[4]\ny = Where(c, x, z)\nout y", "0 1" },
    { "PRelu", "opset 16\nin x f32[2,3,4]\nconst s f32[3,1] rand\ny = PRelu(x, s)\nout y", "0 1 2" },
    { "Cast", "in x f32[3,4]\ny = Cast<to=7>(x)\nout y", "0 1" },
    { "integers", "in x i64[4,3]\nin z i64[3]\ny = Add(x, z)\nout y", "0 1" },
    { "Softmax along the last axis", "opset 13\nin x f32[3,4,5]\ny = Softmax(x)\nout y", "0 1" },
    { "Softmax along another", "opset 13\nin x f32[3,4,5]\ny = Softmax<axis=1>(x)\nout y", "0 2" },
    { "Softmax as it was", "opset 11\nin x f32[3,4,5]\ny = Softmax<axis=1>(x)\nout y", "0" },
    { "LogSoftmax", "opset 13\nin x f32[3,4,5]\ny = LogSoftmax<axis=-2>(x)\nout y", "0 2" },
    { "LayerNormalization", "opset 17\nin x f32[3,4,5]\nconst s f32[5] rand\nconst b f32[5] rand\n"
      "y = LayerNormalization(x, s, b)\nout y", "0 1" },
    { "LayerNormalization over two axes", "opset 17\nin x f32[3,4,5]\nconst s f32[4,5] rand\n"
      "y = LayerNormalization<axis=1>(x, s)\nout y", "0" },
    { "InstanceNormalization", "in x f32[3,4,5,2]\nconst s f32[4] rand\nconst b f32[4] rand\n"
      "y = InstanceNormalization(x, s, b)\nout y", "0 1" },
    { "BatchNormalization", "opset 15\nin x f32[3,4,5,2]\nconst s f32[4] rand\nconst b f32[4] rand\nconst m f32[4] rand\n"
      "const v f32[4] = 2\ny = BatchNormalization(x, s, b, m, v)\nout y", "0 1 2 3" },
    { "GroupNormalization", "opset 21\nin x f32[3,4,5]\nconst s f32[4] rand\nconst b f32[4] rand\n"
      "y = GroupNormalization<num_groups=2>(x, s, b)\nout y", "0" },
    { "LpNormalization", "in x f32[3,4,5]\ny = LpNormalization<axis=1>(x)\nout y", "0 2" },
    { "ReduceMean", "opset 13\nin x f32[3,4,5]\ny = ReduceMean<axes=[1]>(x)\nout y", "0 2" },
    { "ReduceSum that drops an axis", "opset 13\nin x f32[3,4,5,6]\nconst a i64[2] = -1,1\ny = ReduceSum<keepdims=0>(x, a)\nout y", "0 1" },
    { "ReduceMax over everything", "opset 13\nin x f32[3,4,5]\ny = ReduceMax(x)\nout y", "" },
    { "ArgMax", "opset 13\nin x f32[3,4,5]\ny = ArgMax<axis=1,keepdims=0>(x)\nout y", "0 1" },
    { "Transpose", "in x f32[3,4,5]\ny = Transpose<perm=[2,0,1]>(x)\nout y", "0 1 2" },
    { "Transpose reversed", "in x f32[3,4,5]\ny = Transpose(x)\nout y", "0 1 2" },
    { "Concat along another axis", "in x f32[3,4]\nin z f32[3,2]\ny = Concat<axis=-1>(x, z)\nout y", "0" },
    { "Slice along another axis", "opset 13\nin x f32[5,6]\nconst s i64[1] = 4\nconst e i64[1] = 0\nconst a i64[1] = 1\n"
      "const t i64[1] = -2\ny = Slice(x, s, e, a, t)\nout y", "0" },
    { "Gather", "opset 13\nin x f32[3,4,5]\nconst i i64[2,3] = 1\ny = Gather<axis=1>(x, i)\nout y", "0 1 2 3" },
    { "Pad along another axis", "opset 13\nin x f32[3,4]\nconst p i64[4] = 0,1,0,2\ny = Pad(x, p)\nout y", "0" },
    { "Reshape", "in x f32[4,6]\nconst s i64[3] = 4,-1,2\ny = Reshape(x, s)\nout y", "0" },
    { "Reshape of what follows", "in x f32[1,4,6]\nconst s i64[3] = 2,2,6\ny = Reshape(x, s)\nout y", "2" },
    { "Flatten", "in x f32[3,4,5]\ny = Flatten(x)\nout y", "0" },
    { "Squeeze", "opset 13\nin x f32[3,1,5]\nconst a i64[1] = 1\ny = Squeeze(x, a)\nout y", "0 1" },
    { "Unsqueeze", "opset 13\nin x f32[3,5]\nconst a i64[1] = 1\ny = Unsqueeze(x, a)\nout y", "0 2" },
    { "DepthToSpace", "in x f32[3,8,2,2]\ny = DepthToSpace<blocksize=2>(x)\nout y", "0" },
    { "what is not known how", "opset 13\nin x f32[3,4]\nconst a i64[] = 1\ny = CumSum(x, a)\nout y", "" },
};

START_TEST(parts_compute_what_the_whole_does)
{
    struct he_graph *graph = prepare(cases[_i].text);
    uint32_t task = graph->task_count - 1;
    const struct he_shape *shape = result_shape(graph, task);
    struct he_tensor *expected;
    struct he_graph *parts;
    char axes[100] = "";

    run(graph, &expected);
    for (uint32_t axis = 0; axis < shape->rank; axis++) {
        int done = 0;

        for (int attempt = 0; attempt < 60 && done < 6; attempt++) {
            struct random_cut cut;

            if (!random_cut_make(graph, task, axis, &random_state, &cut))
                continue;
            if (he_graph_shard(graph, &cut.shard, 1, NULL, &parts) != HE_OK)
                ck_abort_msg("%s, axis %u: %s", cases[_i].what, axis, he_error_message());
            must(he_graph_fill_shards(parts));
            expect_same(cases[_i].what, graph, expected, parts);
            done++;
        }
        if (done > 0)
            snprintf(axes + strlen(axes), sizeof axes - strlen(axes), "%s%u", *axes ? " " : "", axis);
    }
    ck_assert_msg(strcmp(axes, cases[_i].axes) == 0, "%s: cut along '%s'", cases[_i].what, axes);
    he_graph_destroy(graph);
}
END_TEST

/* --- Several cut tasks: who reads what of whom --- */

/* "MatMul Add", with the tasks' names: what the graph looks like after a cut. */
static const char *task_text(const struct he_graph *graph)
{
    static char text[2000];

    *text = '\0';
    for (uint32_t t = 0; t < graph->task_count; t++) {
        for (uint32_t k = 0; k < graph->tasks[t].node_count; k++) {
            const struct he_node *node = &graph->nodes[graph->tasks[t].nodes[k]];
            size_t used = strlen(text);

            snprintf(text + used, sizeof text - used, "%s%s", k ? "+" : t ? " " : "",
                     k ? node->op : node->name[0] ? node->name : node->op);
        }
    }
    return text;
}

/* Cuts the tasks of those anchors' names in @parts along @axis, all others not. */
static struct he_graph *cut_named(const struct he_graph *graph, const char *names, uint32_t axis,
                                  uint32_t parts)
{
    struct random_cut cuts[MOST_TASKS];
    struct he_shard shards[MOST_TASKS];
    struct he_graph *out;
    size_t count = 0;

    for (uint32_t t = 0; t < graph->task_count; t++) {
        const char *name = graph->nodes[graph->tasks[t].anchor].name;
        struct random_cut *cut = &cuts[count];
        int64_t size;

        if (!*name || !strstr(names, name))
            continue;
        size = result_shape(graph, t)->dims[axis];
        for (uint32_t k = 0; k <= parts; k++)
            cut->bounds[k] = size * k / parts;
        shards[count++] = (struct he_shard){ .task = t, .axis = axis, .part_count = parts,
                                             .bounds = cut->bounds };
    }
    must(he_graph_shard(graph, shards, count, NULL, &out));
    return out;
}

#define TWO_PRODUCTS "in x f32[4,3]\nconst u f32[3,5] rand\nconst v f32[5,2] rand\n" \
                     "a = MatMul(x, u) @first\nb = Relu(a) @act\ny = MatMul(b, v) @second\nout y"
static const struct {
    const char *what, *text, *names;
    uint32_t axis;
    const char *expect;
} layouts[] = {
    { "one cut task has a slice per part before it and a join behind", TWO_PRODUCTS, "first", 0,
      "x[0:2] first[0:2]+Relu x[2:4] first[2:4]+Relu b[join] second" },
    { "columns of weights are constants, the input is read whole", TWO_PRODUCTS, "first", 1,
      "first[0:2]+Relu first[2:5]+Relu b[join] second" },
    { "tasks that are cut alike hand over part by part", TWO_PRODUCTS, "first second", 0,
      "x[0:2] first[0:2]+Relu x[2:4] first[2:4]+Relu second[0:2] second[2:4] y[join]" },
    { "tasks that are cut otherwise join in between", TWO_PRODUCTS, "first second", 1,
      "first[0:2]+Relu first[2:5]+Relu b[join] second[0:1] second[1:2] y[join]" },
    { "a halo is fetched from the neighbour",
      "in x f32[1,2,8,4]\nconst w f32[2,2,3,3] rand\na = Neg(x) @n\ny = Conv<pads=[1,1,1,1]>(a, w) @c\nout y",
      "n c", 2, "x[0:4] n[0:4] x[4:8] n[4:8] a[4:5] a[0:5] c[0:4] a[3:4] a[3:8] c[4:8] y[join]" },
    { "a slice is made once for two readers",
      "in x f32[4,3]\na = Exp(x) @e\nb = Tanh(x) @t\nout a\nout b", "e t", 0,
      "x[0:2] e[0:2] x[2:4] e[2:4] t[0:2] t[2:4] a[join] b[join]" },
    { "an output that others read in parts is joined for the caller only",
      "in x f32[4,3]\na = Exp(x) @e\nb = Softmax(a) @s\nout a\nout b", "e s", 0,
      "x[0:2] e[0:2] x[2:4] e[2:4] s[0:2] s[2:4] a[join] b[join]" },
};

START_TEST(values_pass_by_parts)
{
    struct he_graph *graph = prepare(layouts[_i].text);
    struct he_graph *cut = cut_named(graph, layouts[_i].names, layouts[_i].axis, 2);
    struct he_tensor *expected, *got;

    ck_assert_msg(strcmp(task_text(cut), layouts[_i].expect) == 0, "%s: %s", layouts[_i].what,
                  task_text(cut));
    must(he_graph_fill_shards(cut));
    run(graph, &expected);
    run(cut, &got);
    for (uint32_t k = 0; k < graph->output_count; k++)
        ck_assert(graph_run_difference(&expected[k], &got[k]) <= TOLERANCE);
    he_graph_destroy(cut);
    he_graph_destroy(graph);
}
END_TEST

START_TEST(a_part_says_what_it_is_a_part_of)
{
    struct he_graph *graph = prepare(TWO_PRODUCTS), *cut = cut_named(graph, "first", 0, 2);
    uint32_t found = 0;

    ck_assert_ptr_null(he_graph_node_part(graph, 0));
    he_graph_destroy(graph); /* what is borrowed lives on */
    for (uint32_t n = 0; n < cut->node_count; n++) {
        const struct he_node_part *part = he_graph_node_part(cut, n);

        if (!part)
            continue;
        ck_assert_str_eq(part->of, "first");
        ck_assert_uint_eq(part->axis, 0);
        ck_assert_int_eq(part->begin, found < 2 ? 0 : 2); /* the product and its activation each */
        ck_assert_int_eq(part->end, found < 2 ? 2 : 4);
        found++;
    }
    ck_assert_uint_eq(found, 4);
    he_graph_destroy(cut);
}
END_TEST

START_TEST(cuts_that_are_no_cuts_are_refused)
{
    static const int64_t fine[] = { 0, 2, 4 }, gap[] = { 1, 2, 4 }, back[] = { 0, 4, 4 };
    static const struct he_shard bad[] = {
        { .task = 9, .axis = 0, .part_count = 2, .bounds = fine },
        { .task = 0, .axis = 7, .part_count = 2, .bounds = fine },
        { .task = 0, .axis = 0, .part_count = 1, .bounds = fine },
        { .task = 0, .axis = 0, .part_count = 2, .bounds = gap },
        { .task = 0, .axis = 0, .part_count = 2, .bounds = back },
    };
    struct he_graph *graph = prepare(TWO_PRODUCTS), *out;

    for (size_t k = 0; k < HE_COUNT(bad); k++)
        ck_assert_int_eq(he_graph_shard(graph, &bad[k], 1, NULL, &out), HE_ERR_INVALID);
    he_graph_destroy(graph);
}
END_TEST

START_TEST(without_memory_it_says_so)
{
    struct he_graph *graph = prepare(TWO_PRODUCTS), *cut;
    static const int64_t bounds[] = { 0, 2, 5 };
    const struct he_shard shard = { .task = 0, .axis = 1, .part_count = 2, .bounds = bounds };

    for (size_t n = 0;; n++) {
        struct failing_alloc failing;
        he_status status;

        failing_alloc_init(&failing, n);
        status = he_graph_shard(graph, &shard, 1, &failing.alloc, &cut);
        if (status == HE_OK)
            status = he_graph_fill_shards(cut);
        he_graph_destroy(cut);
        ck_assert_uint_eq(failing.live, 0);
        if (status == HE_OK)
            break;
        ck_assert_msg(status == HE_ERR_NO_MEMORY, "%s", he_error_message());
    }
    he_graph_destroy(graph);
}
END_TEST

/* --- Random networks, everything cut at random --- */

static char random_text[6000];

/* A stack of layers on [N, C, H, W], each over one or two of the values before it. */
static void write_random_network(void)
{
    static const char *const unary[] = { "Relu", "Tanh", "Neg", "Sigmoid" };
    int n = 1 + (int)pick(3), h = 5 + (int)pick(5), w = 4 + (int)pick(4), count = 1;
    size_t used = (size_t)snprintf(random_text, sizeof random_text,
                                   "opset 19\nin v0 f32[%d,4,%d,%d]\n", n, h, w);

    for (int layers = 4 + (int)pick(6); count <= layers; count++) {
        int from = (int)pick((uint32_t)count), other = (int)pick((uint32_t)count);
        char *text = random_text + used;
        size_t room = sizeof random_text - used;

        switch (pick(8)) {
        case 0:
            used += (size_t)snprintf(text, room, "v%d = %s(v%d)\n", count, unary[pick(4)], from);
            break;
        case 1:
            used += (size_t)snprintf(text, room, "v%d = Add(v%d, v%d)\n", count, from, other);
            break;
        case 2:
            used += (size_t)snprintf(text, room, "v%d = MaxPool<kernel_shape=[3,3],pads=[1,1,1,1]>(v%d)\n", count, from);
            break;
        case 3:
            used += (size_t)snprintf(text, room, "v%d = AveragePool<kernel_shape=[3,1],auto_pad=\"SAME_LOWER\">(v%d)\n", count, from);
            break;
        case 4:
            used += (size_t)snprintf(text, room, "v%d = Softmax<axis=%u>(v%d)\n", count, pick(4), from);
            break;
        case 5:
            used += (size_t)snprintf(text, room, "const w%d f32[4,1,3,3] rand\n"
                                     "v%d = Conv<group=4,pads=[1,1,1,1]>(v%d, w%d)\n",
                                     count, count, from, count);
            break;
        case 6:
            used += (size_t)snprintf(text, room, "const w%d f32[%d,%d] rand\nv%d = MatMul(v%d, w%d)\n",
                                     count, w, w, count, from, count);
            break;
        default:
            used += (size_t)snprintf(text, room, "const w%d f32[4,4,3,3] rand\nconst b%d f32[4] rand\n"
                                     "v%d = Conv<dilations=[2,1],auto_pad=\"SAME_UPPER\">(v%d, w%d, b%d)\n",
                                     count, count, count, from, count, count);
        }
    }
    snprintf(random_text + used, sizeof random_text - used, "out v%d\nout v%u\n", count - 1,
             1 + pick((uint32_t)count - 2));
}

START_TEST(random_networks_cut_at_random_compute_the_same)
{
    size_t cut_tasks = 0;

    random_state = 77 + (uint32_t)_i;
    for (int network = 0; network < 12; network++) {
        struct he_graph *graph, *cut;
        struct he_tensor *expected;

        write_random_network();
        graph = prepare(random_text);
        run(graph, &expected);
        for (int round = 0; round < 4; round++) {
            size_t count;

            must(random_cut_graph(graph, 75, &random_state, &cut, &count));
            expect_same(random_text, graph, expected, cut);
            cut_tasks += count;
        }
        he_graph_destroy(graph);
        he_arena_fini(&arena);
        he_arena_init(&arena, NULL);
    }
    ck_assert_uint_gt(cut_tasks, 50);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph_shard");
    TCase *tcase = tcase_create("shard");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, parts_compute_what_the_whole_does, 0, HE_COUNT(cases));
    tcase_add_loop_test(tcase, values_pass_by_parts, 0, HE_COUNT(layouts));
    tcase_add_test(tcase, a_part_says_what_it_is_a_part_of);
    tcase_add_test(tcase, cuts_that_are_no_cuts_are_refused);
    tcase_add_test(tcase, without_memory_it_says_so);
    tcase_add_loop_test(tcase, random_networks_cut_at_random_compute_the_same, 0, 6);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
