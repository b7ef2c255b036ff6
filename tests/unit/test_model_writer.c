/* SPDX-License-Identifier: Apache-2.0 */
/* What the writer writes, the reader reads back as it was. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "support/failing_alloc.h"
#include "support/onnx_equal.h"
#include "support/sample_model.h"

/* A copy of exactly the bytes there are, so that a sanitizer sees any byte too far. */
static void *exact_copy(const struct he_text *text)
{
    void *copy = malloc(text->size ? text->size : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text->data, text->size);
    return copy;
}

START_TEST(a_model_survives_the_round_trip)
{
    struct he_model *model;
    struct he_text text;
    void *bytes;

    he_text_init(&text, NULL);
    ck_assert_int_eq(he_model_write(sample_model(), &text), HE_OK);
    bytes = exact_copy(&text);
    ck_assert_msg(he_model_parse(bytes, text.size, NULL, NULL, &model) == HE_OK, "%s",
                  he_error_message());
    ck_assert_pstr_eq(onnx_model_difference(sample_model(), model), NULL);
    he_model_destroy(model);
    free(bytes);
    he_text_fini(&text);
}
END_TEST

START_TEST(a_second_round_trip_gives_the_same_bytes)
{
    struct he_model *model;
    struct he_text first, second;

    he_text_init(&first, NULL);
    he_text_init(&second, NULL);
    ck_assert_int_eq(he_model_write(sample_model(), &first), HE_OK);
    ck_assert_int_eq(he_model_parse(first.data, first.size, NULL, NULL, &model), HE_OK);
    ck_assert_int_eq(he_model_write(model, &second), HE_OK);
    ck_assert_uint_eq(first.size, second.size);
    ck_assert_mem_eq(first.data, second.data, first.size);
    he_model_destroy(model);
    he_text_fini(&first);
    he_text_fini(&second);
}
END_TEST

START_TEST(the_writer_appends)
{
    struct he_text text;

    he_text_init(&text, NULL);
    he_text_append(&text, "before", 6);
    ck_assert_int_eq(he_tensor_write(&sample_model()->graph.initializers[0], &text), HE_OK);
    ck_assert_mem_eq(text.data, "before\x08\x02", 8);
    he_text_fini(&text);
}
END_TEST

START_TEST(tensors_survive_the_round_trip)
{
    const struct onnx_tensor *tensor = &sample_model()->graph.initializers[_i];
    struct onnx_tensor read;
    struct he_arena arena;
    struct he_text text;

    he_arena_init(&arena, NULL);
    he_text_init(&text, NULL);
    ck_assert_int_eq(he_tensor_write(tensor, &text), HE_OK);
    ck_assert_msg(he_tensor_parse(text.data, text.size, &arena, &read) == HE_OK, "%s",
                  he_error_message());
    ck_assert_pstr_eq(onnx_tensor_difference(tensor, &read), NULL);
    he_text_fini(&text);
    he_arena_fini(&arena);
}
END_TEST

START_TEST(contents_are_not_copied)
{
    const struct onnx_tensor *tensor = &sample_model()->graph.initializers[0];
    struct onnx_tensor read;
    struct he_arena arena;
    struct he_text text;

    he_arena_init(&arena, NULL);
    he_text_init(&text, NULL);
    ck_assert_int_eq(he_tensor_write(tensor, &text), HE_OK);
    ck_assert_int_eq(he_tensor_parse(text.data, text.size, &arena, &read), HE_OK);
    ck_assert_ptr_eq(read.data, text.data + text.size - tensor->data_bytes);
    he_text_fini(&text);
    he_arena_fini(&arena);
}
END_TEST

/* An attribute we only carry, under the name that inlining gave it. */
START_TEST(a_carried_attribute_takes_its_new_name_along)
{
    struct onnx_attr attr = sample_model()->graph.nodes[1].attrs[8];
    struct onnx_node node = sample_model()->graph.nodes[1];
    struct he_model wanted = *sample_model(), *model;
    struct he_text text, again;

    attr.name = "renamed";
    node.attrs = &attr;
    node.attr_count = 1;
    wanted.graph.nodes = &node;
    wanted.graph.node_count = 1;
    he_text_init(&text, NULL);
    he_text_init(&again, NULL);
    ck_assert_int_eq(he_model_write(&wanted, &text), HE_OK);
    ck_assert_int_eq(he_model_parse(text.data, text.size, NULL, NULL, &model), HE_OK);
    ck_assert_str_eq(model->graph.nodes[0].attrs[0].name, "renamed");
    ck_assert_int_eq(model->graph.nodes[0].attrs[0].type, 13);
    ck_assert_int_eq(he_model_write(model, &again), HE_OK);
    ck_assert_uint_eq(text.size, again.size);
    he_model_destroy(model);
    he_text_fini(&text);
    he_text_fini(&again);
}
END_TEST

START_TEST(an_opset_of_a_nodes_own_cannot_be_written)
{
    struct onnx_node node = sample_model()->graph.nodes[1];
    struct he_model model = *sample_model();
    struct he_text text;

    node.domain = "";
    node.opset = 12;
    model.graph.nodes = &node;
    model.graph.node_count = 1;
    he_text_init(&text, NULL);
    ck_assert_int_eq(he_model_write(&model, &text), HE_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(he_error_message(), "opset 12"));
    node.opset = 17; /* the model's */
    ck_assert_int_eq(he_model_write(&model, &text), HE_OK);
    he_text_fini(&text);
}
END_TEST

START_TEST(what_protobuf_cannot_hold_is_refused)
{
    struct onnx_tensor tensor = { .name = "large", .dtype = HE_UINT8,
                                  .shape = { 1, { INT64_C(3) << 30 } }, .data = "",
                                  .data_bytes = (size_t)3 << 30 };
    struct he_text text;

    he_text_init(&text, NULL);
    ck_assert_int_eq(he_tensor_write(&tensor, &text), HE_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(he_error_message(), "2 GiB"));
    he_text_fini(&text);
}
END_TEST

START_TEST(exhausted_memory_is_reported)
{
    for (size_t n = 0;; n++) {
        struct failing_alloc failing;
        struct he_text text;
        he_status status;

        failing_alloc_init(&failing, n);
        he_text_init(&text, &failing.alloc);
        status = he_model_write(sample_model(), &text);
        he_text_fini(&text);
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
    Suite *suite = suite_create("model/writer");
    TCase *tc = tcase_create("writer");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, a_model_survives_the_round_trip);
    tcase_add_test(tc, a_second_round_trip_gives_the_same_bytes);
    tcase_add_test(tc, the_writer_appends);
    tcase_add_loop_test(tc, tensors_survive_the_round_trip, 0,
                        (int)sample_model()->graph.initializer_count);
    tcase_add_test(tc, contents_are_not_copied);
    tcase_add_test(tc, a_carried_attribute_takes_its_new_name_along);
    tcase_add_test(tc, an_opset_of_a_nodes_own_cannot_be_written);
    tcase_add_test(tc, what_protobuf_cannot_hold_is_refused);
    tcase_add_test(tc, exhausted_memory_is_reported);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
