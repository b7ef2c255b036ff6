/* SPDX-License-Identifier: Apache-2.0 */
/* Our reader and writer against the parser generated from onnx.proto. */
#include <check.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "support/onnx_oracle.h"
#include "support/sample_model.h"

START_TEST(the_oracle_reads_what_we_write)
{
    struct he_text text;
    struct he_model *model;

    he_text_init(&text, NULL);
    ck_assert_int_eq(he_model_write(sample_model(), &text), HE_OK);
    ck_assert_int_eq(he_model_parse(text.data, text.size, NULL, NULL, &model), HE_OK);
    ck_assert_pstr_eq(onnx_oracle_difference(text.data, text.size, model), NULL);
    he_model_destroy(model);
    he_text_fini(&text);
}
END_TEST

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static void compare_model(const char *path, const struct he_file *file)
{
    struct he_model *model;
    const char *difference;

    ck_assert_msg(he_model_parse(file->data, file->size, NULL, NULL, &model) == HE_OK, "%s: %s",
                  path, he_error_message());
    difference = onnx_oracle_difference(file->data, file->size, model);
    ck_assert_msg(!difference, "%s: %s", path, difference);
    he_model_destroy(model);
}

/* Test data holds sequences and optionals too, which are not TensorProtos: what
 * one parser refuses, the other need not accept. */
static bool compare_tensor(const char *path, const struct he_file *file)
{
    struct onnx_tensor tensor;
    struct he_arena arena;
    bool is_tensor;

    he_arena_init(&arena, NULL);
    is_tensor = he_tensor_parse(file->data, file->size, &arena, &tensor) == HE_OK;
    if (is_tensor) {
        const char *difference = onnx_oracle_tensor_difference(file->data, file->size, &tensor);

        ck_assert_msg(!difference, "%s: %s", path, difference);
    }
    he_arena_fini(&arena);
    return is_tensor;
}

static const char *const patterns[] = {
    "/usr/share/libonnx-testdata/data/*/*/model.onnx",
    HE_SRCDIR "/../shared/models/*/*.onnx",
    HE_SRCDIR "/../shared/models/*/*/*.onnx",
    "/usr/share/libonnx-testdata/data/node/*/test_data_set_0/*.pb",
    HE_SRCDIR "/../shared/models/*/*.pb",
    HE_SRCDIR "/../shared/models/*/*/*/*.pb",
};

START_TEST(both_read_the_same_out_of_files)
{
    size_t read = 0;
    glob_t found;

    if (glob(patterns[_i], 0, NULL, &found) != 0)
        return;
    for (size_t k = 0; k < found.gl_pathc; k++) {
        struct he_file file;

        ck_assert_int_eq(he_file_map(found.gl_pathv[k], &file), HE_OK);
        if (ends_with(found.gl_pathv[k], ".onnx")) {
            compare_model(found.gl_pathv[k], &file);
            read++;
        } else {
            read += compare_tensor(found.gl_pathv[k], &file);
        }
        he_file_unmap(&file);
    }
    ck_assert_msg(read > found.gl_pathc * 9 / 10, "only %zu of %zu files of %s were read", read,
                  (size_t)found.gl_pathc, patterns[_i]);
    globfree(&found);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/oracle");
    TCase *tc = tcase_create("oracle");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, the_oracle_reads_what_we_write);
    tcase_add_loop_test(tc, both_read_the_same_out_of_files, 0,
                        (int)(sizeof patterns / sizeof patterns[0]));
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
