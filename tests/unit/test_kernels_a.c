/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The elementwise, reducing, normalising, multiplying, quantising and recurrent kernels against
 * values worked out by others: kernels_a_cases.inc holds operands and results of the reference
 * implementation of ONNX.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "support/kernel_case.h"

static const struct kernel_case {
    const char *what, *op;
    int opset;
    const char *attrs;
    const char *in[KERNEL_CASE_MAX], *out[KERNEL_CASE_MAX];
    double tolerance;
} cases[] = {
#include "kernels_a_cases.inc"
};

START_TEST(the_reference_gives_the_same)
{
    const struct kernel_case *c = &cases[_i];
    struct he_tensor in[KERNEL_CASE_MAX], wanted[KERNEL_CASE_MAX], out[KERNEL_CASE_MAX];
    size_t in_count = 0, out_count = 0, k;
    struct kernel_node n;
    char what[160];
    he_status status;

    case_node_init(&n, c->op, c->opset, c->attrs);
    for (; in_count < KERNEL_CASE_MAX && c->in[in_count]; in_count++)
        in[in_count] = case_tensor_parse(c->in[in_count]);
    for (; out_count < KERNEL_CASE_MAX && c->out[out_count]; out_count++) {
        wanted[out_count] = case_tensor_parse(c->out[out_count]);
        out[out_count] = wanted[out_count];
        if (out[out_count].dtype != HE_DTYPE_NONE)
            out[out_count] = case_tensor(wanted[out_count].dtype, &wanted[out_count].shape);
    }
    status = case_run(&n.node, in, in_count, out, out_count, NULL);
    ck_assert_msg(status == HE_OK, "%s: %s", c->what, he_error_message());
    for (k = 0; k < out_count; k++) {
        if (out[k].dtype == HE_DTYPE_NONE)
            continue;
        snprintf(what, sizeof what, "%s, output %zu", c->what, k);
        case_compare(what, &out[k], &wanted[k], c->tolerance);
        case_tensor_free(&out[k]);
        case_tensor_free(&wanted[k]);
    }
    for (k = 0; k < in_count; k++)
        case_tensor_free(&in[k]);
}
END_TEST

/* --- What has to be refused --- */

static const struct {
    const char *what, *op;
    int opset;
    const char *attrs;
    const char *in[4], *out;
    he_status status;
} refusals[] = {
    {"an axis outside", "Softmax", 13, "axis=2", {"float32 2,2: 1 2 3 4"}, "float32 2,2: 0 0 0 0",
     HE_ERR_SHAPE},
    {"inner sizes that differ", "MatMul", 13, "", {"float32 2,2: 1 2 3 4", "float32 3,1: 1 2 3"},
     "float32 2,1: 0 0", HE_ERR_SHAPE},
    {"shapes that do not broadcast", "Add", 14, "", {"float32 2: 1 2", "float32 3: 1 2 3"},
     "float32 3: 0 0 0", HE_ERR_SHAPE},
    {"types that differ", "Add", 14, "", {"float32 2: 1 2", "int32 2: 1 2"}, "float32 2: 0 0",
     HE_ERR_UNSUPPORTED},
    {"dropout in training", "Dropout", 13, "",
     {"float32 2: 1 2", "float32 : 0.5", "bool : 1"}, "float32 2: 0 0", HE_ERR_UNSUPPORTED},
    {"a matrix that is not square", "Det", 11, "", {"float32 1,2: 1 2"}, "float32 : 0",
     HE_ERR_SHAPE},
    {"a label outside the classes", "NegativeLogLikelihoodLoss", 13, "reduction='sum'",
     {"float32 1,2: -1 -2", "int64 1: 5"}, "float32 : 0", HE_ERR_SHAPE},
    {"an equation with too many letters", "Einsum", 12, "equation='ijk->i'",
     {"float32 2,2: 1 2 3 4"}, "float32 2: 0 0", HE_ERR_SHAPE},
    {"an equation with a letter from nowhere", "Einsum", 12, "equation='ij->z'",
     {"float32 2,2: 1 2 3 4"}, "float32 2: 0 0", HE_ERR_SHAPE},
    {"groups that do not divide", "GroupNormalization", 21, "num_groups=2",
     {"float32 1,3: 1 2 3", "float32 3: 1 1 1", "float32 3: 0 0 0"}, "float32 1,3: 0 0 0",
     HE_ERR_SHAPE},
    {"weights of another size", "RNN", 14, "hidden_size=1",
     {"float32 1,1,2: 1 2", "float32 1,1,1: 1", "float32 1,1,1: 1"}, "float32 1,1,1,1: 0",
     HE_ERR_SHAPE},
    {"an activation nobody knows", "RNN", 14, "hidden_size=1 activations=['Frob']",
     {"float32 1,1,1: 1", "float32 1,1,1: 1", "float32 1,1,1: 1"}, "float32 1,1,1,1: 0",
     HE_ERR_UNSUPPORTED},
    {"scales that do not fit the axis", "QuantizeLinear", 13, "axis=1",
     {"float32 1,2: 1 2", "float32 3: 1 1 1"}, "uint8 1,2: 0 0", HE_ERR_SHAPE},
};

START_TEST(what_does_not_fit_is_refused)
{
    struct he_tensor in[4], out = case_tensor_parse(refusals[_i].out);
    struct kernel_node n;
    size_t count = 0;

    case_node_init(&n, refusals[_i].op, refusals[_i].opset, refusals[_i].attrs);
    for (; count < 4 && refusals[_i].in[count]; count++)
        in[count] = case_tensor_parse(refusals[_i].in[count]);
    ck_assert_msg(case_run(&n.node, in, count, &out, 1, NULL) == refusals[_i].status,
                  "%s: another status than %s", refusals[_i].what,
                  he_status_name(refusals[_i].status));
    ck_assert_msg(*he_error_message(), "%s: no sentence", refusals[_i].what);
    while (count-- > 0)
        case_tensor_free(&in[count]);
    case_tensor_free(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu kernels: arithmetic");
    TCase *tc = tcase_create("reference");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, the_reference_gives_the_same, 0, HE_COUNT(cases));
    tcase_add_loop_test(tc, what_does_not_fit_is_refused, 0, HE_COUNT(refusals));
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
