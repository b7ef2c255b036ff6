/* SPDX-License-Identifier: Apache-2.0 */
/* The generator of weights against its recipe's test vector, and what it makes of a net. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/onnx_text.h"
#include "support/rnd_weights.h"

START_TEST(the_test_vector_holds)
{
    uint32_t seed = rnd_seed("gpu_0/pred_w_0");

    ck_assert_uint_eq(seed, 0xda4d3f06u);
    ck_assert_float_eq_tol(rnd_value(seed, 0), 0.18154645f, 1e-8);
    ck_assert_float_eq_tol(rnd_value(seed, 1), 0.854286551f, 1e-8);
    ck_assert_float_eq_tol(rnd_value(seed, 2), -0.939855218f, 1e-8);
    ck_assert_float_eq_tol(rnd_value(seed, 1000000), -0.694565296f, 1e-8);
}
END_TEST

START_TEST(the_classifiers_scale_follows_the_name)
{
    ck_assert_double_eq(rnd_classifier_scale("/models/light/light_resnet50.onnx"), 0.02);
    ck_assert_double_eq(rnd_classifier_scale("light_inception_v1.onnx"), 10);
    ck_assert_double_eq(rnd_classifier_scale("/vgg19/other.onnx"), 1);
}
END_TEST

static void put_shape(struct onnx_tensor *out, const char *name, const int64_t *dims, int64_t rank)
{
    *out = (struct onnx_tensor){ .name = name, .dtype = HE_INT64, .shape = { 1, { rank } },
                                 .data = dims, .data_bytes = (size_t)rank * sizeof *dims };
}

/* What element 1 of the weight @name is scaled by and moved to. */
static void expect(const struct onnx_tensor *tensor, double scale, double offset, double last)
{
    float value = rnd_value(rnd_seed(tensor->name), 1);
    double wanted = ((double)value * scale + offset) * last;

    ck_assert_float_eq_tol(((const float *)tensor->data)[1], (float)wanted, 1e-6);
}

START_TEST(constants_become_weights_by_their_use)
{
    static const int64_t kernel[] = { 4, 3, 2, 2 }, channels[] = { 4 }, matrix[] = { 5, 4 };
    struct he_model model = { .ir_version = 3, .path = "" };
    struct onnx_tensor shapes[3];
    const struct onnx_tensor *made;

    he_arena_init(&model.arena, NULL);
    put_shape(&shapes[0], "s4", kernel, 4);
    put_shape(&shapes[1], "s1", channels, 1);
    put_shape(&shapes[2], "s2", matrix, 2);
    onnx_text_graph(&model.arena,
                    "x,s4,s1,s2|y|"
                    "k=ConstantOfShape(s4) g=ConstantOfShape(s1) b=ConstantOfShape(s1) "
                    "v=ConstantOfShape(s1) m=ConstantOfShape(s2) c=Conv(x,k,b) "
                    "u=Unsqueeze(g) d=Mul(c,u) n=BatchNormalization(d,b,b,b,v) "
                    "y=Gemm<transB=1>(n,m)",
                    &model.graph);
    model.graph.initializers = shapes;
    model.graph.initializer_count = 3;
    ck_assert_msg(rnd_weights_apply(&model, 3) == HE_OK, "%s", he_error_message());
    ck_assert_uint_eq(model.graph.node_count, 5);
    ck_assert_uint_eq(model.graph.initializer_count, 5); /* no shape is of use any more */
    ck_assert_uint_eq(he_model_input_count(&model), 1);
    ck_assert_int_eq(model.ir_version, 4);
    made = model.graph.initializers;
    expect(&made[0], sqrt(6.0 / 12), 0, 1); /* k: Conv input 1 */
    expect(&made[1], 0.2, 0.8, 1);          /* g: Mul, through Unsqueeze */
    expect(&made[2], 0.1, 0, 1);            /* b: first read by Conv as input 2 */
    expect(&made[3], 0.5, 1, 1);            /* v: a variance */
    expect(&made[4], sqrt(3.0 / 4), 0, 3);  /* m: the classifier, transposed */
    ck_assert(he_shape_equal(&made[4].shape, &(struct he_shape){ 2, { 5, 4 } }));
    he_arena_fini(&model.arena);
}
END_TEST

START_TEST(a_real_net_loses_its_constants)
{
    const char *path = HE_SRCDIR "/../shared/models/light/light_squeezenet.onnx";
    struct he_model *model;

    if (access(path, R_OK) != 0)
        return;
    ck_assert_int_eq(he_model_load(path, NULL, &model), HE_OK);
    ck_assert_int_eq(rnd_weights_apply(model, rnd_classifier_scale(path)), HE_OK);
    ck_assert_uint_eq(model->graph.node_count, 105 - 39);
    ck_assert_uint_eq(he_model_input_count(model), 1);
    he_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/rnd");
    TCase *tc = tcase_create("rnd");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, the_test_vector_holds);
    tcase_add_test(tc, the_classifiers_scale_follows_the_name);
    tcase_add_test(tc, constants_become_weights_by_their_use);
    tcase_add_test(tc, a_real_net_loses_its_constants);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
