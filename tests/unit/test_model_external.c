/* SPDX-License-Identifier: Apache-2.0 */
/* Weights in files beside the model: found, missing, too short, or outside the folder. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/size.h"
#include "model/model.h"
#include "support/failing_alloc.h"
#include "support/proto.h"

static char folder[] = "/tmp/he-test-external-XXXXXX";

static void in_folder(char *path, size_t size, const char *name)
{
    snprintf(path, size, "%s/%s", folder, name);
}

static void put(const char *name, const void *data, size_t size)
{
    char path[128];

    in_folder(path, sizeof path, name);
    ck_assert_int_eq(he_file_write(path, data, size), HE_OK);
}

/* A folder with weights.bin (12 bytes) and sub/more.bin (4). */
static void make_folder(void)
{
    char path[128];

    strcpy(folder, "/tmp/he-test-external-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    in_folder(path, sizeof path, "sub");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    put("weights.bin", "abcdefghijkl", 12);
    put("sub/more.bin", "mnop", 4);
}

static void remove_folder(void)
{
    static const char *const names[] = { "weights.bin", "sub/more.bin", "model.onnx" };
    char path[128];

    for (size_t k = 0; k < HE_COUNT(names); k++) {
        in_folder(path, sizeof path, names[k]);
        unlink(path);
    }
    in_folder(path, sizeof path, "sub");
    rmdir(path);
    rmdir(folder);
}

static void put_entry(struct he_text *tensor, const char *key, const char *value)
{
    struct he_text entry;

    if (!value)
        return;
    he_text_init(&entry, NULL);
    proto_string(&entry, 1, key);
    proto_string(&entry, 2, value);
    proto_message(tensor, 13, &entry);
}

/* An initializer of @count bytes, kept elsewhere. */
static void put_tensor(struct he_text *graph, const char *name, int count, const char *location,
                       const char *offset, const char *length)
{
    struct he_text tensor;

    he_text_init(&tensor, NULL);
    proto_number(&tensor, 1, (uint64_t)count);
    proto_number(&tensor, 2, HE_UINT8);
    proto_string(&tensor, 8, name);
    put_entry(&tensor, "location", location);
    put_entry(&tensor, "offset", offset);
    put_entry(&tensor, "length", length);
    put_entry(&tensor, "checksum", "0123");
    proto_number(&tensor, 14, 1);
    proto_message(graph, 5, &tensor);
}

/* Writes model.onnx around @graph, which it frees. */
static void put_model(struct he_text *graph)
{
    struct he_text model, import;

    he_text_init(&model, NULL);
    he_text_init(&import, NULL);
    proto_number(&model, 1, 8);
    proto_number(&import, 2, 17);
    proto_message(&model, 8, &import);
    proto_message(&model, 7, graph);
    put("model.onnx", model.data, model.size);
    he_text_fini(&model);
}

static he_status load(const struct he_allocator *alloc, struct he_model **out)
{
    char path[128];

    in_folder(path, sizeof path, "model.onnx");
    return he_model_load(path, alloc, out);
}

static void put_good_model(void)
{
    struct he_text graph;

    he_text_init(&graph, NULL);
    put_tensor(&graph, "first", 4, "weights.bin", NULL, NULL);
    put_tensor(&graph, "second", 5, "weights.bin", "7", "5");
    put_tensor(&graph, "third", 4, "sub/more.bin", "0", "4");
    put_tensor(&graph, "nothing", 0, "weights.bin", "12", "0");
    put_model(&graph);
}

START_TEST(weights_beside_the_model_are_mapped)
{
    struct he_model *model;
    const struct onnx_tensor *tensors;

    put_good_model();
    ck_assert_msg(load(NULL, &model) == HE_OK, "%s", he_error_message());
    tensors = model->graph.initializers;
    ck_assert_mem_eq(tensors[0].data, "abcd", 4);
    ck_assert_mem_eq(tensors[1].data, "hijkl", 5);
    ck_assert_mem_eq(tensors[2].data, "mnop", 4);
    ck_assert_uint_eq(tensors[3].data_bytes, 0);
    ck_assert_uint_eq(model->file_count, 3); /* each file once */
    he_model_destroy(model);
}
END_TEST

START_TEST(many_files_are_all_kept)
{
    struct he_text graph;
    struct he_model *model;
    char name[32];

    he_text_init(&graph, NULL);
    for (int k = 0; k < 40; k++) {
        snprintf(name, sizeof name, "%d.bin", k);
        put(name, name, 2);
        put_tensor(&graph, name, 2, name, NULL, NULL);
    }
    put_model(&graph);
    ck_assert_msg(load(NULL, &model) == HE_OK, "%s", he_error_message());
    ck_assert_uint_eq(model->file_count, 41);
    for (int k = 0; k < 40; k++) {
        char path[128];

        snprintf(name, sizeof name, "%d.bin", k);
        ck_assert_mem_eq(model->graph.initializers[k].data, name, 2);
        in_folder(path, sizeof path, name);
        unlink(path);
    }
    he_model_destroy(model);
}
END_TEST

static const struct {
    const char *what, *location, *offset, *length;
    he_status status;
    const char *expect;
} refusals[] = {
    { "a file that is not there", "absent.bin", NULL, NULL, HE_ERR_IO, "No such file" },
    { "no location", NULL, NULL, NULL, HE_ERR_PARSE, "inside the model's folder" },
    { "an absolute path", "/etc/passwd", NULL, NULL, HE_ERR_PARSE, "inside the model's folder" },
    { "the folder above", "../weights.bin", NULL, NULL, HE_ERR_PARSE, "inside the model's folder" },
    { "the folder above, later", "sub/../../x", NULL, NULL, HE_ERR_PARSE, "inside" },
    { "the folder above, at the end", "sub/..", NULL, NULL, HE_ERR_PARSE, "inside" },
    { "backslashes", "sub\\more.bin", NULL, NULL, HE_ERR_PARSE, "inside" },
    { "a folder", "sub", NULL, NULL, HE_ERR_IO, "not a regular file" },
    { "an offset behind the end", "weights.bin", "9", NULL, HE_ERR_PARSE, "offset 9" },
    { "an offset that overflows", "weights.bin", "18446744073709551615", NULL, HE_ERR_PARSE,
      "offset 18446744073709551615" },
    { "an offset too large for any number", "weights.bin", "18446744073709551616", NULL,
      HE_ERR_PARSE, "no number" },
    { "a negative offset", "weights.bin", "-1", NULL, HE_ERR_PARSE, "no number" },
    { "a length that is not the tensor's", "weights.bin", "0", "5", HE_ERR_PARSE,
      "needs 4 bytes, the length says 5" },
    { "a length that is no number", "weights.bin", "0", "4x", HE_ERR_PARSE, "no number" },
};

START_TEST(impossible_places_are_refused)
{
    struct he_text graph;
    struct he_model *model;

    he_text_init(&graph, NULL);
    put_tensor(&graph, "w", 4, refusals[_i].location, refusals[_i].offset, refusals[_i].length);
    put_model(&graph);
    ck_assert_msg(load(NULL, &model) == refusals[_i].status, "%s: %s", refusals[_i].what,
                  he_error_message());
    ck_assert_msg(strstr(he_error_message(), refusals[_i].expect) != NULL, "%s: %s",
                  refusals[_i].what, he_error_message());
    ck_assert_ptr_null(model);
}
END_TEST

START_TEST(a_model_from_memory_has_no_folder)
{
    struct he_file file;
    struct he_model *model;
    char path[128];

    put_good_model();
    in_folder(path, sizeof path, "model.onnx");
    ck_assert_int_eq(he_file_map(path, &file), HE_OK);
    ck_assert_int_eq(he_model_parse(file.data, file.size, NULL, NULL, &model), HE_ERR_UNSUPPORTED);
    ck_assert_int_eq(he_model_parse(file.data, file.size, folder, NULL, &model), HE_OK);
    ck_assert_uint_eq(model->file_count, 2);
    he_model_destroy(model);
    he_file_unmap(&file);
}
END_TEST

START_TEST(exhausted_memory_is_reported_and_nothing_leaks)
{
    put_good_model();
    for (size_t n = 0;; n++) {
        struct failing_alloc failing;
        struct he_model *model;
        he_status status;

        failing_alloc_init(&failing, n);
        status = load(&failing.alloc, &model);
        he_model_destroy(model);
        ck_assert_uint_eq(failing.live, 0);
        if (status == HE_OK)
            break;
        ck_assert_int_eq(status, HE_ERR_NO_MEMORY);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/external");
    TCase *tc = tcase_create("external");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, make_folder, remove_folder);
    tcase_add_test(tc, weights_beside_the_model_are_mapped);
    tcase_add_test(tc, many_files_are_all_kept);
    tcase_add_loop_test(tc, impossible_places_are_refused, 0, HE_COUNT(refusals));
    tcase_add_test(tc, a_model_from_memory_has_no_folder);
    tcase_add_test(tc, exhausted_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
