/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The moving, gathering, selecting, windowing, image and signal kernels against values worked
 * out by others: kernels_b_cases.inc holds operands and results of the reference
 * implementation of ONNX. Every case runs on one thread and on two, and, where the
 * kernel takes any strides, with inputs and outputs channels-last.
 */
#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "program.h"
#include "support/kernel_case.h"

static const struct kernel_case {
    const char *what, *op;
    int opset;
    const char *attrs;
    const char *in[KERNEL_CASE_MAX], *out[KERNEL_CASE_MAX];
    double tolerance;
} cases[] = {
#include "kernels_b_cases.inc"
};

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

/* --- Layouts --- */

/* Gives @tensor the strides N, spatial..., C. */
static void set_channels_last(struct he_tensor *tensor)
{
    int64_t stride = tensor->shape.dims[1];
    uint32_t d;

    tensor->strides[1] = 1;
    for (d = tensor->shape.rank; d-- > 2;) {
        tensor->strides[d] = stride;
        stride *= tensor->shape.dims[d];
    }
    tensor->strides[0] = stride;
    tensor->is_dense = false;
}

/* Copies all elements between two tensors of one shape, whatever their strides. */
static void copy_elements(struct he_tensor *to, const struct he_tensor *from)
{
    int64_t count = he_shape_count(&from->shape), k, rest, src, dst;
    size_t size = he_dtype_bits(from->dtype) / 8;
    uint32_t d;

    for (k = 0; k < count; k++) {
        for (d = from->shape.rank, rest = k, src = dst = 0; d-- > 0;) {
            src += rest % from->shape.dims[d] * from->strides[d];
            dst += rest % from->shape.dims[d] * to->strides[d];
            rest /= from->shape.dims[d];
        }
        memcpy((char *)to->data + (size_t)dst * size, (char *)from->data + (size_t)src * size,
               size);
    }
}

static struct he_tensor in_layout(const struct he_tensor *tensor, bool is_channels_last)
{
    struct he_tensor copy = {.dtype = HE_DTYPE_NONE};

    if (tensor->dtype == HE_DTYPE_NONE)
        return copy;
    copy = case_tensor(tensor->dtype, &tensor->shape);
    if (is_channels_last && tensor->shape.rank >= 3)
        set_channels_last(&copy);
    copy_elements(&copy, tensor);
    return copy;
}

static uint32_t flags_of(const char *op, const struct he_tensor *in, size_t count)
{
    enum he_dtype types[KERNEL_CASE_MAX];
    const struct cpu_kernel *kernel;
    size_t k;

    for (k = 0; k < count; k++)
        types[k] = in[k].dtype;
    kernel = cpu_kernel_match("", op, types, count);
    return kernel ? kernel->flags : 0;
}

/* --- Running a row --- */

static void run_case(const struct kernel_case *c, struct cpu_team *team, bool in_last,
                     bool out_last)
{
    struct he_tensor in[KERNEL_CASE_MAX], wanted[KERNEL_CASE_MAX], out[KERNEL_CASE_MAX], dense;
    size_t in_count = 0, out_count = 0, k;
    struct kernel_node n;
    uint32_t flags;
    char what[160];
    he_status status;

    case_node_init(&n, c->op, c->opset, c->attrs);
    for (; in_count < KERNEL_CASE_MAX && c->in[in_count]; in_count++) {
        dense = case_tensor_parse(c->in[in_count]);
        in[in_count] = in_layout(&dense, in_last);
        case_tensor_free(&dense);
    }
    flags = flags_of(c->op, in, in_count);
    for (; out_count < KERNEL_CASE_MAX && c->out[out_count]; out_count++) {
        wanted[out_count] = case_tensor_parse(c->out[out_count]);
        out[out_count] = (struct he_tensor){.dtype = wanted[out_count].dtype};
        if (wanted[out_count].dtype == HE_DTYPE_NONE || flags & CPU_DATA_SHAPE)
            continue;
        out[out_count] = case_tensor(wanted[out_count].dtype, &wanted[out_count].shape);
        if (out_last && wanted[out_count].shape.rank >= 3)
            set_channels_last(&out[out_count]);
    }
    if (!(flags & CPU_STRIDED) && (in_last || out_last))
        goto free_all;
    status = case_run(&n.node, in, in_count, out, out_count, team);
    ck_assert_msg(status == HE_OK, "%s: %s", c->what, he_error_message());
    for (k = 0; k < out_count; k++) {
        if (wanted[k].dtype == HE_DTYPE_NONE)
            continue;
        snprintf(what, sizeof what, "%s, output %zu%s%s", c->what, k, in_last ? ", in CL" : "",
                 out_last ? ", out CL" : "");
        ck_assert_msg(he_shape_equal(&out[k].shape, &wanted[k].shape), "%s: another shape", what);
        dense = in_layout(&out[k], false);
        case_compare(what, &dense, &wanted[k], c->tolerance);
        case_tensor_free(&dense);
    }
free_all:
    for (k = 0; k < in_count; k++)
        case_tensor_free(&in[k]);
    for (k = 0; k < out_count; k++) {
        case_tensor_free(&wanted[k]);
        case_tensor_free(&out[k]);
    }
}

START_TEST(the_reference_gives_the_same)
{
    struct cpu_team *team = NULL;
    cpu_set_t cpus;

    run_case(&cases[_i], NULL, false, false);
    run_case(&cases[_i], NULL, true, false);
    run_case(&cases[_i], NULL, false, true);
    run_case(&cases[_i], NULL, true, true);
    ck_assert_int_eq(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    ck_assert_int_eq(cpu_team_create(&heap, 2, &cpus, NULL, 0, &team), HE_OK);
    run_case(&cases[_i], team, false, false);
    cpu_team_destroy(&heap, team);
}
END_TEST

/* --- Attributes that are tensors --- */

START_TEST(constants_come_out_of_their_attributes)
{
    /* As in a model file: at any address. */
    char bytes[1 + 2 * sizeof(int64_t)];
    const int64_t numbers[2] = {7, -8};
    struct he_value value = {.dtype = HE_INT64,
                             .shape = {.rank = 1, .dims = {2}},
                             .data = bytes + 1,
                             .data_bytes = sizeof numbers};
    struct he_tensor shape = case_tensor_parse("int64 2: 2 3"), out, wanted;
    struct kernel_node n;

    memcpy(bytes + 1, numbers, sizeof numbers);
    case_node_init(&n, "Constant", 13, "value=0");
    n.attrs[0].kind = HE_ATTR_TENSOR;
    n.attrs[0].tensor = &value;
    out = case_tensor_parse("int64 2: 0 0");
    wanted = case_tensor_parse("int64 2: 7 -8");
    ck_assert_int_eq(case_run(&n.node, NULL, 0, &out, 1, NULL), HE_OK);
    case_compare("a constant", &out, &wanted, 0);
    case_tensor_free(&out);
    case_tensor_free(&wanted);

    case_node_init(&n, "ConstantOfShape", 9, "value=0");
    value.shape.dims[0] = 1;
    value.data_bytes = sizeof numbers[0];
    n.attrs[0].kind = HE_ATTR_TENSOR;
    n.attrs[0].tensor = &value;
    out = case_tensor_parse("int64 2,3: 0 0 0 0 0 0");
    wanted = case_tensor_parse("int64 2,3: 7 7 7 7 7 7");
    ck_assert_int_eq(case_run(&n.node, &shape, 1, &out, 1, NULL), HE_OK);
    case_compare("a constant of a shape", &out, &wanted, 0);
    case_tensor_free(&out);
    case_tensor_free(&wanted);

    case_node_init(&n, "Constant", 13, "value_floats=[1.5,2.0]");
    out = case_tensor_parse("float32 2: 0 0");
    wanted = case_tensor_parse("float32 2: 1.5 2");
    ck_assert_int_eq(case_run(&n.node, NULL, 0, &out, 1, NULL), HE_OK);
    case_compare("a constant of floats", &out, &wanted, 0);
    case_tensor_free(&out);
    case_tensor_free(&wanted);
    case_tensor_free(&shape);
}
END_TEST

/* --- What has to be refused --- */

static const struct {
    const char *what, *op;
    int opset;
    const char *attrs;
    const char *in[5], *out;
    he_status status;
} refusals[] = {
    {"a permutation that names an axis twice",
     "Transpose",
     13,
     "perm=[1,1]",
     {"float32 2,2: 1 2 3 4"},
     "float32 2,2: 0 0 0 0",
     HE_ERR_SHAPE},
    {"an output of another shape",
     "Transpose",
     13,
     "perm=[1,0]",
     {"float32 1,2: 1 2"},
     "float32 1,2: 0 0",
     HE_ERR_SHAPE},
    {"parts that do not fit",
     "Concat",
     13,
     "axis=0",
     {"float32 1,2: 1 2", "float32 1,1: 1"},
     "float32 2,2: 0 0 0 0",
     HE_ERR_SHAPE},
    {"a split beyond the axis",
     "Split",
     13,
     "",
     {"float32 2: 1 2", "int64 1: 3"},
     "float32 3: 0 0 0",
     HE_ERR_SHAPE},
    {"a step of zero",
     "Slice",
     13,
     "",
     {"float32 2: 1 2", "int64 1: 0", "int64 1: 2", "int64 1: 0", "int64 1: 0"},
     "float32 2: 0 0",
     HE_ERR_SHAPE},
    {"an axis sliced twice",
     "Slice",
     13,
     "",
     {"float32 2: 1 2", "int64 2: 0 0", "int64 2: 2 2", "int64 2: 0 -1"},
     "float32 2: 0 0",
     HE_ERR_SHAPE},
    {"an unknown way to pad",
     "Pad",
     13,
     "mode='fold'",
     {"float32 1: 1", "int64 2: 1 0"},
     "float32 2: 0 0",
     HE_ERR_UNSUPPORTED},
    {"nothing to reflect",
     "Pad",
     13,
     "mode='reflect'",
     {"float32 0:", "int64 2: 1 0"},
     "float32 1: 0",
     HE_ERR_SHAPE},
    {"a gather behind the end",
     "Gather",
     13,
     "",
     {"float32 2: 1 2", "int64 1: 2"},
     "float32 1: 0",
     HE_ERR_SHAPE},
    {"a gather before the front",
     "GatherElements",
     13,
     "",
     {"float32 2: 1 2", "int64 1: -3"},
     "float32 1: 0",
     HE_ERR_SHAPE},
    {"a tuple outside",
     "GatherND",
     13,
     "",
     {"float32 2,2: 1 2 3 4", "int64 1,2: 1 2"},
     "float32 1: 0",
     HE_ERR_SHAPE},
    {"a scatter outside",
     "ScatterElements",
     16,
     "",
     {"float32 2: 1 2", "int64 1: 2", "float32 1: 9"},
     "float32 2: 0 0",
     HE_ERR_SHAPE},
    {"a scatter of rows outside",
     "ScatterND",
     16,
     "",
     {"float32 2,1: 1 2", "int64 1,1: -3", "float32 1,1: 9"},
     "float32 2,1: 0 0",
     HE_ERR_SHAPE},
    {"a reduction nobody knows",
     "ScatterND",
     16,
     "reduction='xor'",
     {"float32 1: 1", "int64 1,1: 0", "float32 1: 9"},
     "float32 1: 0",
     HE_ERR_UNSUPPORTED},
    {"more than there are",
     "TopK",
     11,
     "",
     {"float32 2: 1 2", "int64 1: 3"},
     "float32 3: 0 0 0",
     HE_ERR_SHAPE},
    {"more conditions than entries",
     "Compress",
     11,
     "",
     {"float32 1: 1", "bool 2: 1 1"},
     "float32 2: 0 0",
     HE_ERR_SHAPE},
    {"a range that stands still",
     "Range",
     11,
     "",
     {"float32 : 0", "float32 : 1", "float32 : 0"},
     "float32 1: 0",
     HE_ERR_SHAPE},
    {"weights for other channels",
     "Conv",
     11,
     "",
     {"float32 1,2,1: 1 2", "float32 1,1,1: 1"},
     "float32 1,1,1: 0",
     HE_ERR_SHAPE},
    {"four spatial axes",
     "MaxPool",
     12,
     "kernel_shape=[1,1,1,1]",
     {"float32 1,1,1,1,1,1: 1"},
     "float32 1,1,1,1,1,1: 0",
     HE_ERR_UNSUPPORTED},
    {"a stride of zero",
     "AveragePool",
     11,
     "kernel_shape=[1] strides=[0]",
     {"float32 1,1,1: 1"},
     "float32 1,1,1: 0",
     HE_ERR_SHAPE},
    {"a maximum from outside",
     "MaxUnpool",
     11,
     "kernel_shape=[2]",
     {"float32 1,1,1: 1", "int64 1,1,1: 2"},
     "float32 1,1,2: 0 0",
     HE_ERR_SHAPE},
    {"a length longer than time",
     "ReverseSequence",
     10,
     "",
     {"float32 1,1: 1", "int64 1: 2"},
     "float32 1,1: 0",
     HE_ERR_SHAPE},
    {"scales for other axes",
     "Resize",
     13,
     "",
     {"float32 1,2: 1 2", "-", "float32 1: 2"},
     "float32 1,4: 0 0 0 0",
     HE_ERR_SHAPE},
    {"a mode nobody knows",
     "Resize",
     13,
     "mode='area'",
     {"float32 2: 1 2", "-", "float32 1: 2"},
     "float32 4: 0 0 0 0",
     HE_ERR_UNSUPPORTED},
    {"a region of another image",
     "RoiAlign",
     16,
     "",
     {"float32 1,1,1,1: 1", "float32 1,4: 0 0 1 1", "int64 1: 1"},
     "float32 1,1,1,1: 0",
     HE_ERR_SHAPE},
    {"a grid for a volume",
     "GridSample",
     16,
     "",
     {"float32 1,1,1,1: 1", "float32 1,1,1,3: 0 0 0"},
     "float32 1,1,1,1: 0",
     HE_ERR_SHAPE},
    {"a transform of the parts",
     "DFT",
     17,
     "axis=1",
     {"float32 2,2: 1 2 3 4"},
     "float32 2,2: 0 0 0 0",
     HE_ERR_SHAPE},
    {"frames longer than the signal",
     "STFT",
     17,
     "",
     {"float32 1,2,1: 1 2", "int64 : 1", "-", "int64 : 3"},
     "float32 1,1,2,2: 0 0 0 0",
     HE_ERR_SHAPE},
};

START_TEST(what_does_not_fit_is_refused)
{
    struct he_tensor in[5], out = case_tensor_parse(refusals[_i].out);
    struct kernel_node n;
    size_t count = 0;

    case_node_init(&n, refusals[_i].op, refusals[_i].opset, refusals[_i].attrs);
    for (; count < 5 && refusals[_i].in[count]; count++)
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
    Suite *suite = suite_create("cpu kernels: movement, windows, images");
    TCase *tc = tcase_create("reference");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, the_reference_gives_the_same, 0, HE_COUNT(cases));
    tcase_add_test(tc, constants_come_out_of_their_attributes);
    tcase_add_loop_test(tc, what_does_not_fit_is_refused, 0, HE_COUNT(refusals));
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
