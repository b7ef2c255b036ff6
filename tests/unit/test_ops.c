/* SPDX-License-Identifier: Apache-2.0 */
/* The operator feature library: rows, lookup, attribute readers, work. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "ops/ops.h"
#include "support/ops_text.h"

/* --- Rows --- */

START_TEST(rows_are_well_formed)
{
    size_t count = he_op_count();

    ck_assert_uint_ge(count, 170);
    ck_assert_uint_lt(count, 512); /* half of the hash table in ops.c */
    ck_assert_ptr_null(he_op_at(count));
    for (size_t k = 0; k < count; k++) {
        const struct he_op *op = he_op_at(k);

        ck_assert_ptr_nonnull(op);
        ck_assert_msg(op->infer != NULL, "%s has no shape rule", op->name);
        ck_assert_msg(op->versions[0] > 0, "%s has no version", op->name);
        for (const uint8_t *v = op->versions; v[0]; v++)
            ck_assert_msg(v[1] == 0 || v[1] > v[0], "%s: versions do not ascend", op->name);
        ck_assert_msg(op->min_inputs <= op->max_inputs, "%s: inputs", op->name);
        /* Rules read padded arrays of 16; only variadic ones may go beyond. */
        ck_assert_msg(op->max_inputs < 16 || op->max_inputs == 255, "%s: inputs", op->name);
        ck_assert_msg(op->max_outputs < 16 || op->max_outputs == 255, "%s: outputs", op->name);
        ck_assert_msg(op->max_outputs > 0, "%s has no output", op->name);
        /* The lookup finds this very row: names are unique. */
        ck_assert_msg(he_op_find(op->domain, op->name) == op, "%s is there twice", op->name);
    }
}
END_TEST

START_TEST(lookup_knows_the_domain_under_both_names)
{
    ck_assert_ptr_nonnull(he_op_find("", "Conv"));
    ck_assert_ptr_eq(he_op_find("ai.onnx", "Conv"), he_op_find("", "Conv"));
    ck_assert_ptr_eq(he_op_find(NULL, "Conv"), he_op_find("", "Conv"));
    ck_assert_ptr_null(he_op_find("com.microsoft", "Conv"));
    ck_assert_ptr_null(he_op_find("", "SequenceAt"));
    ck_assert_ptr_null(he_op_find("", ""));
    ck_assert_ptr_null(he_op_find("", NULL));
    ck_assert_ptr_null(he_op_find("", "Adam"));
    ck_assert_ptr_nonnull(he_op_find("ai.onnx.preview.training", "Adam"));
}
END_TEST

START_TEST(version_in_force_is_the_last_not_newer)
{
    const struct he_op *relu = he_op_find("", "Relu"), *gelu = he_op_find("", "Gelu");
    struct he_node node = { .op = "Gelu", .domain = "", .opset = 19 };

    ck_assert_int_eq(he_op_since(relu, 0), 0);
    ck_assert_int_eq(he_op_since(relu, 1), 1);
    ck_assert_int_eq(he_op_since(relu, 5), 1);
    ck_assert_int_eq(he_op_since(relu, 6), 6);
    ck_assert_int_eq(he_op_since(relu, 13), 13);
    ck_assert_int_eq(he_op_since(relu, 99), 14);
    ck_assert_int_eq(he_op_since(gelu, 19), 0);
    ck_assert(!he_op_is_known(&node));
    node.opset = 20;
    ck_assert(he_op_is_known(&node));
    node.op = "FancyGelu";
    ck_assert(!he_op_is_known(&node));
}
END_TEST

/* What exported models need most: a missing row here stops real models. */
START_TEST(the_operators_of_the_zoo_have_rows)
{
    static const char *const names[] = {
        "Add", "Conv", "Gemm", "Mul", "Constant", "Flatten", "GlobalAveragePool", "Reshape",
        "Transpose", "Relu", "Concat", "Div", "Shape", "Gather", "Slice", "Cast", "MatMul",
        "ConstantOfShape", "Softmax", "ReduceMean", "LayerNormalization", "Erf", "Unsqueeze",
        "Expand", "Split", "Sigmoid", "MaxPool", "Where", "Equal", "Squeeze", "Sub", "Sqrt", "Clip",
        "Pad", "BatchNormalization", "AveragePool", "Identity", "Pow", "ReduceSum", "Ceil", "Abs",
        "Tile", "Cos", "Sin", "Tanh", "InstanceNormalization", "HardSwish", "HardSigmoid", "Mod",
        "Resize", "CumSum", "Exp", "Neg", "Not", "Range", "Less", "Min", "Log", "ScatterElements",
        "NonZero", "And", "ScatterND", "Einsum", "Greater", "GatherElements", "Max", "LessOrEqual",
        "ReduceMax", "GreaterOrEqual", "Floor", "If", "Reciprocal", "ReduceMin", "ReduceProd",
        "TopK", "Trilu", "LeakyRelu", "GatherND", "RoiAlign", "EyeLike", "LSTM", "ArgMax", "OneHot",
        "Or", "Xor", "Acos", "LogSoftmax", "Sign", "ConvTranspose", "Loop",
        /* and of the models in the tests */
        "Dropout", "GlobalMaxPool", "LRN", "Size", "Sum", "Upsample", "PRelu", "DepthToSpace",
        "NonMaxSuppression", "GRU", "RNN", "Scan", "ArgMin", "QuantizeLinear", "DequantizeLinear",
        "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger",
        "Gelu", "Mish", "Swish", "GroupNormalization", "RMSNormalization", "GridSample",
        "Attention", "RotaryEmbedding",
    };

    for (size_t k = 0; k < HE_COUNT(names); k++)
        ck_assert_msg(he_op_find("", names[k]) != NULL, "%s has no row", names[k]);
}
END_TEST

/* --- Readers --- */

START_TEST(attributes_of_another_kind_count_as_absent)
{
    struct ops_text t;
    const int64_t *ints;

    ops_text_init(&t, "Conv", 13, "group=3 strides=[1,2] alpha=0.5 mode=same", "", 1);
    ck_assert_int_eq(he_node_int(&t.node, "group", 1), 3);
    ck_assert_int_eq(he_node_int(&t.node, "none", 7), 7);
    ck_assert_int_eq(he_node_int(&t.node, "mode", 7), 7);
    ck_assert_int_eq(he_node_int(&t.node, "strides", 7), 7);
    ck_assert_double_eq(he_node_float(&t.node, "alpha", 1), 0.5);
    ck_assert_double_eq(he_node_float(&t.node, "group", 1), 1);
    ck_assert_str_eq(he_node_string(&t.node, "mode", "x"), "same");
    ck_assert_str_eq(he_node_string(&t.node, "group", "x"), "x");
    ck_assert_uint_eq(he_node_ints(&t.node, "strides", &ints), 2);
    ck_assert_int_eq(ints[1], 2);
    ck_assert_uint_eq(he_node_ints(&t.node, "group", &ints), 0);
    ck_assert_ptr_null(ints);
    ck_assert_ptr_null(he_node_attr(&t.node, "strid"));
    ops_text_fini(&t);
}
END_TEST

START_TEST(constants_are_read_whatever_their_width_and_alignment)
{
    unsigned char bytes[40] = { 0 };
    struct he_value value = { .name = "", .dtype = HE_INT32, .shape = { 1, { 2 } } };
    int32_t two[2] = { -5, 70000 };
    int64_t out[4] = { 9, 9, 9, 9 };
    size_t count = 0;

    memcpy(bytes + 1, two, sizeof two);
    value.data = bytes + 1;
    value.data_bytes = sizeof two;
    ck_assert(he_value_is_constant(&value));
    ck_assert(he_value_read_ints(&value, out, 4, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(out[0], -5);
    ck_assert_int_eq(out[1], 70000);
    ck_assert_int_eq(out[2], 9);
    ck_assert(he_value_read_ints(&value, out, 1, &count)); /* no room: the count all the same */
    ck_assert_uint_eq(count, 2);
    value.dtype = HE_INT8;
    value.shape.dims[0] = 1;
    bytes[1] = 0x80;
    ck_assert(he_value_read_ints(&value, out, 4, &count));
    ck_assert_int_eq(out[0], -128);
    value.dtype = HE_UINT8;
    ck_assert(he_value_read_ints(&value, out, 4, &count));
    ck_assert_int_eq(out[0], 128);
    value.dtype = HE_UINT16;
    bytes[2] = 0xff;
    ck_assert(he_value_read_ints(&value, out, 4, &count));
    ck_assert_int_eq(out[0], 0xff80);
    value.dtype = HE_INT16;
    ck_assert(he_value_read_ints(&value, out, 4, &count));
    ck_assert_int_eq(out[0], -128);

    value.dtype = HE_FLOAT32;
    ck_assert(he_value_is_constant(&value));
    ck_assert(!he_value_read_ints(&value, out, 4, &count));
    value.dtype = HE_INT64;
    value.data_bytes = 7; /* cut short */
    ck_assert(!he_value_is_constant(&value));
    ck_assert(!he_value_read_ints(&value, out, 4, &count));
    value.data_bytes = 8;
    value.shape.dims[0] = HE_DIM_UNKNOWN;
    ck_assert(!he_value_is_constant(&value));
    value.shape.dims[0] = 1;
    value.data = NULL;
    ck_assert(!he_value_is_constant(&value));
}
END_TEST

/* --- Work --- */

static const struct {
    const char *what, *op;
    int opset;
    const char *attrs, *inputs;
    enum he_work_class class;
    double flops, read_bytes, write_bytes;
} works[] = {
    { "a product of matrices", "MatMul", 13, "", "f[2,3] f[3,5]", HE_WORK_CONTRACTION,
      2 * 2 * 3 * 5, 4 * (6 + 15), 4 * 10 },
    { "a batch of products", "MatMul", 13, "", "f[7,2,3] f[3,5]", HE_WORK_CONTRACTION,
      7 * 2 * 2 * 3 * 5, 4 * (42 + 15), 4 * 70 },
    { "a vector on the right", "MatMul", 13, "", "f[2,3] f[3]", HE_WORK_CONTRACTION, 2 * 2 * 3,
      4 * 9, 4 * 2 },
    { "Gemm looks at transA", "Gemm", 13, "transA=1", "f[3,2] f[3,5] f[5]", HE_WORK_CONTRACTION,
      (2 * 3 + 1) * 10, 4 * (6 + 15 + 5), 40 },
    { "a convolution", "Conv", 13, "pads=[1,1,1,1]", "f[1,8,10,10] f[16,8,3,3] f[16]",
      HE_WORK_CONV, 2.0 * 1600 * 72 + 1600, 4 * (800 + 1152 + 16), 4 * 1600 },
    { "a group sees its own channels only", "Conv", 13, "pads=[1,1,1,1] group=2",
      "f[1,8,10,10] f[16,4,3,3]", HE_WORK_CONV, 2.0 * 1600 * 36, 4 * (800 + 576), 4 * 1600 },
    { "depthwise", "Conv", 13, "pads=[1,1,1,1] group=8", "f[1,8,10,10] f[8,1,3,3]",
      HE_WORK_DEPTHWISE, 2.0 * 800 * 9, 4 * (800 + 72), 4 * 800 },
    { "1x1 is a product", "Conv", 13, "", "f[1,8,10,10] f[16,8,1,1]", HE_WORK_CONTRACTION,
      2.0 * 1600 * 8, 4 * (800 + 128), 4 * 1600 },
    { "1x1 with a stride is none", "Conv", 13, "strides=[2,2]", "f[1,8,10,10] f[16,8,1,1]",
      HE_WORK_CONV, 2.0 * 400 * 8, 4 * (800 + 128), 4 * 400 },
    { "transposed: each input meets each weight", "ConvTranspose", 13, "strides=[2,2]",
      "f[1,8,5,5] f[8,4,2,2]", HE_WORK_CONV, 2.0 * 200 * 16, 4 * (200 + 128), 4 * 400 },
    { "pooling counts the window", "MaxPool", 13, "kernel_shape=[3,3] strides=[2,2]",
      "f[1,4,9,9]", HE_WORK_WINDOW, 9 * 64, 4 * 324, 4 * 64 },
    { "global pooling reads everything", "GlobalAveragePool", 13, "", "f[1,4,9,9]",
      HE_WORK_REDUCTION, 324, 4 * 324, 16 },
    { "elementwise", "Add", 13, "", "f[2,3] f[3]", HE_WORK_ELEMENTWISE, 6, 36, 24 },
    { "a view is no work", "Reshape", 13, "", "f[2,3] i[1]{6}", HE_WORK_NONE, 0, 0, 0 },
    { "moving", "Transpose", 13, "", "f[2,3]", HE_WORK_MOVE, 0, 24, 24 },
    { "a gather reads what it picks", "Gather", 13, "", "f[1000,4] i[2]", HE_WORK_MOVE, 0,
      32 + 16, 32 },
    { "half floats are half the bytes", "Relu", 13, "", "h[10]", HE_WORK_ELEMENTWISE, 10, 20, 20 },
    { "LSTM", "LSTM", 14, "hidden_size=4", "f[5,2,3] f[1,16,3] f[1,16,4]", HE_WORK_RECURRENT,
      10 * (2 * 16 * 7 + 12 * 16), 4 * (30 + 48 + 64), 4 * (40 + 8 + 8) },
    { "attention: two products and a softmax", "Attention", 23, "", "f[1,2,3,4] f[1,2,5,4] f[1,2,5,6]",
      HE_WORK_CONTRACTION, 30.0 * (8 + 12 + 14), 4 * (24 + 40 + 60), 4 * 36 },
};

START_TEST(work_matches_the_table)
{
    struct ops_text t;
    struct he_work work;
    uint32_t outputs = strcmp(works[_i].op, "LSTM") == 0 ? 3 : 1;

    ops_text_init(&t, works[_i].op, works[_i].opset, works[_i].attrs, works[_i].inputs, outputs);
    ck_assert_msg(he_op_infer(&t.node, t.in, t.out) == HE_OK, "%s", he_error_message());
    he_op_work(&t.node, t.in, (const struct he_value *const *)t.out, &work);
    ck_assert_msg(work.work_class == works[_i].class, "%s: class %d", works[_i].what,
                  work.work_class);
    ck_assert_msg(work.flops == works[_i].flops, "%s: %.0f flops, not %.0f", works[_i].what,
                  work.flops, works[_i].flops);
    ck_assert_msg(work.read_bytes == works[_i].read_bytes, "%s: reads %.0f, not %.0f",
                  works[_i].what, work.read_bytes, works[_i].read_bytes);
    ck_assert_msg(work.write_bytes == works[_i].write_bytes, "%s: writes %.0f, not %.0f",
                  works[_i].what, work.write_bytes, works[_i].write_bytes);
    ck_assert(!work.is_estimate);
    ops_text_fini(&t);
}
END_TEST

START_TEST(work_of_open_shapes_is_an_estimate)
{
    struct ops_text t;
    struct he_work work;

    ops_text_init(&t, "MatMul", 13, "", "f[n,3] f[3,5]", 1);
    ck_assert_int_eq(he_op_infer(&t.node, t.in, t.out), HE_OK);
    he_op_work(&t.node, t.in, (const struct he_value *const *)t.out, &work);
    ck_assert(work.is_estimate);
    ck_assert_double_eq(work.flops, 2 * 3 * 5); /* as if n were one */
    ops_text_fini(&t);
}
END_TEST

START_TEST(weights_used_twice_are_read_once)
{
    struct ops_text t;
    struct he_work work;

    ops_text_init(&t, "Mul", 13, "", "f[10] f[10]", 1);
    t.in[1] = t.in[0];
    ck_assert_int_eq(he_op_infer(&t.node, t.in, t.out), HE_OK);
    he_op_work(&t.node, t.in, (const struct he_value *const *)t.out, &work);
    ck_assert_double_eq(work.read_bytes, 40);
    ops_text_fini(&t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops");
    TCase *tc = tcase_create("ops");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, rows_are_well_formed);
    tcase_add_test(tc, lookup_knows_the_domain_under_both_names);
    tcase_add_test(tc, version_in_force_is_the_last_not_newer);
    tcase_add_test(tc, the_operators_of_the_zoo_have_rows);
    tcase_add_test(tc, attributes_of_another_kind_count_as_absent);
    tcase_add_test(tc, constants_are_read_whatever_their_width_and_alignment);
    tcase_add_loop_test(tc, work_matches_the_table, 0, HE_COUNT(works));
    tcase_add_test(tc, work_of_open_shapes_is_an_estimate);
    tcase_add_test(tc, weights_used_twice_are_read_once);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
