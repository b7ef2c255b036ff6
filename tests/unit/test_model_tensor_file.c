/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors in .pb, .npy and .bin files: round trips, numpy's own headers, damage. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/size.h"
#include "model/tensor_file.h"
#include "support/failing_alloc.h"

static char path[64];

static const char *in_tmp(const char *suffix)
{
    snprintf(path, sizeof path, "/tmp/he-test-tensor-%ld%s", (long)getpid(), suffix);
    return path;
}

static const struct he_shape any = { .rank = HE_RANK_UNKNOWN };

static const struct {
    enum he_dtype dtype;
    struct he_shape shape;
} kinds[] = {
    { HE_FLOAT32, { 3, { 2, 3, 4 } } }, { HE_FLOAT64, { 1, { 5 } } }, { HE_FLOAT16, { 2, { 1, 3 } } },
    { HE_INT8, { 1, { 7 } } },          { HE_INT16, { 0 } },          { HE_INT32, { 2, { 0, 3 } } },
    { HE_INT64, { 1, { 3 } } },         { HE_UINT8, { 1, { 3 } } },   { HE_UINT16, { 1, { 3 } } },
    { HE_UINT32, { 1, { 3 } } },        { HE_UINT64, { 1, { 3 } } },  { HE_BOOL, { 1, { 3 } } },
    { HE_COMPLEX64, { 1, { 2 } } },     { HE_COMPLEX128, { 1, { 2 } } },
    { HE_BFLOAT16, { 2, { 2, 3 } } },   { HE_FLOAT8E5M2, { 1, { 5 } } },
};

START_TEST(a_tensor_survives_every_format)
{
    static const char *const suffixes[] = { ".pb", ".npy", ".bin" };
    struct he_tensor wanted, read;
    size_t bytes = (size_t)he_shape_bytes(&kinds[_i].shape, kinds[_i].dtype);
    unsigned char data[128];

    ck_assert_uint_le(bytes, sizeof data);
    for (size_t k = 0; k < sizeof data; k++)
        data[k] = kinds[_i].dtype == HE_BOOL ? k % 2 : (unsigned char)(k * 7 + 1);
    wanted = he_tensor_dense(kinds[_i].dtype, &kinds[_i].shape, data);
    for (size_t k = 0; k < HE_COUNT(suffixes); k++) {
        struct he_arena arena;

        he_arena_init(&arena, NULL);
        ck_assert_msg(he_tensor_file_write(in_tmp(suffixes[k]), &wanted) == HE_OK, "%s",
                      he_error_message());
        ck_assert_msg(he_tensor_file_read(path, NULL, wanted.dtype, &wanted.shape, &arena,
                                          &read) == HE_OK,
                      "%s", he_error_message());
        unlink(path);
        ck_assert_int_eq(read.dtype, wanted.dtype);
        ck_assert(he_shape_equal(&read.shape, &wanted.shape));
        ck_assert(read.is_dense);
        ck_assert_uint_eq((uintptr_t)read.data % 64, 0);
        if (bytes)
            ck_assert_mem_eq(read.data, data, bytes);
        he_arena_fini(&arena);
    }
}
END_TEST

START_TEST(data_of_npy_files_starts_at_a_multiple_of_64)
{
    static const char dictionary[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3,), }";
    float data[3] = { 1, 2, 3 };
    struct he_shape shape = { 2, { 1, 3 } };
    struct he_tensor tensor = he_tensor_dense(HE_FLOAT32, &shape, data);
    const char *bytes;
    struct he_file file;

    ck_assert_int_eq(he_tensor_file_write(in_tmp(".npy"), &tensor), HE_OK);
    ck_assert_int_eq(he_file_map(path, &file), HE_OK);
    bytes = file.data;
    ck_assert_uint_eq(file.size, 128 + sizeof data);
    ck_assert_mem_eq(bytes, "\x93NUMPY\x01\x00\x76\x00", 10);
    ck_assert_mem_eq(bytes + 10, dictionary, sizeof dictionary - 1);
    ck_assert_int_eq(bytes[127], '\n');
    he_file_unmap(&file);
    unlink(path);
}
END_TEST

START_TEST(strings_live_in_pb_files)
{
    const char *strings[] = { "one", "", "three" };
    struct he_shape shape = { 1, { 3 } };
    struct he_tensor wanted = he_tensor_dense(HE_STRING, &shape, strings), read;
    struct he_arena arena;

    he_arena_init(&arena, NULL);
    ck_assert_int_eq(he_tensor_file_write(in_tmp(".pb"), &wanted), HE_OK);
    ck_assert_int_eq(he_tensor_file_read(path, NULL, HE_STRING, &shape, &arena, &read), HE_OK);
    unlink(path);
    for (size_t k = 0; k < 3; k++)
        ck_assert_str_eq(((const char **)read.data)[k], strings[k]);
    ck_assert_int_eq(he_tensor_file_write(in_tmp(".npy"), &wanted), HE_ERR_UNSUPPORTED);
    he_arena_fini(&arena);
}
END_TEST

/* Headers as numpy writes them, and as it never does; 24 bytes of data follow. */
static const struct {
    const char *what, *header;
    unsigned char version;
    enum he_dtype want;
    he_status status;
    const char *expect; /* of the error, or NULL */
} headers[] = {
    { "numpy's own", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n", 1, 0,
      HE_OK, NULL },
    { "one dimension", "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\n", 1, 0, HE_OK,
      NULL },
    { "version 2", "{'descr': '<i4', 'fortran_order': False, 'shape': (6,), }\n", 2, 0, HE_OK,
      NULL },
    { "another order of keys", "{\"shape\": (24,), \"descr\": \"|u1\", \"fortran_order\": False}", 1,
      0, HE_OK, NULL },
    { "bfloat16 as bytes", "{'descr': '<V2', 'fortran_order': False, 'shape': (12,), }\n", 1,
      HE_BFLOAT16, HE_OK, NULL },
    { "bytes of no type", "{'descr': '<V2', 'fortran_order': False, 'shape': (12,), }\n", 1, 0,
      HE_ERR_UNSUPPORTED, "'<V2'" },
    { "big endian", "{'descr': '>f4', 'fortran_order': False, 'shape': (6,), }\n", 1, 0,
      HE_ERR_UNSUPPORTED, "'>f4'" },
    { "Fortran order", "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", 1, 0,
      HE_ERR_UNSUPPORTED, "Fortran order" },
    { "records", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }\n", 1, 0,
      HE_ERR_UNSUPPORTED, "structured" },
    { "too much data", "{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }\n", 1, 0,
      HE_ERR_PARSE, "20 bytes of data, the file has 24" },
    { "too little data", "{'descr': '<f4', 'fortran_order': False, 'shape': (7,), }\n", 1, 0,
      HE_ERR_PARSE, "28 bytes of data, the file has 24" },
    { "no shape", "{'descr': '<f4', 'fortran_order': False}\n", 1, 0, HE_ERR_PARSE, "lacks" },
    { "a negative dimension", "{'descr': '<f4', 'fortran_order': False, 'shape': (-6,), }\n", 1, 0,
      HE_ERR_PARSE, "dimension 0" },
    { "an overflow",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9), }\n", 1, 0,
      HE_ERR_PARSE, "overflows" },
    { "bytes that overflow",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }\n", 1, 0,
      HE_ERR_PARSE, "overflows" },
    { "a dimension too large for any number",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }\n", 1, 0,
      HE_ERR_PARSE, "dimension 0" },
    { "seventeen dimensions",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}", 1,
      0, HE_ERR_UNSUPPORTED, "16 dimensions" },
    { "a dictionary that does not end", "{'descr': '<f4', 'fortran_order': False, 'shape': (6", 1,
      0, HE_ERR_PARSE, "shape" },
    { "no dictionary", "hello", 1, 0, HE_ERR_PARSE, "dictionary" },
    { "an unknown key", "{'color': 'red'}", 1, 0, HE_ERR_PARSE, "color" },
    { "version 9", "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }\n", 9, 0,
      HE_ERR_UNSUPPORTED, "version 9" },
};

static size_t npy_bytes(size_t which, unsigned char *out)
{
    size_t length = strlen(headers[which].header), start = headers[which].version == 1 ? 10 : 12;

    memcpy(out, "\x93NUMPY", 6);
    memset(out + 6, 0, 6);
    out[6] = headers[which].version;
    out[8] = (unsigned char)length;
    memcpy(out + start, headers[which].header, length);
    for (size_t k = 0; k < 24; k++)
        out[start + length + k] = (unsigned char)k;
    return start + length + 24;
}

START_TEST(npy_headers_are_read_or_refused)
{
    unsigned char bytes[512];
    size_t size = npy_bytes((size_t)_i, bytes);
    struct he_tensor tensor;
    struct he_arena arena;

    he_arena_init(&arena, NULL);
    ck_assert_int_eq(he_file_write(in_tmp(".npy"), bytes, size), HE_OK);
    ck_assert_msg(he_tensor_file_read(path, NULL, headers[_i].want, NULL, &arena, &tensor) ==
                      headers[_i].status,
                  "%s: %s", headers[_i].what, he_error_message());
    if (headers[_i].status == HE_OK)
        ck_assert_mem_eq(tensor.data, bytes + size - 24, 24);
    else
        ck_assert_msg(strstr(he_error_message(), headers[_i].expect) != NULL, "%s: %s",
                      headers[_i].what, he_error_message());
    unlink(path);
    he_arena_fini(&arena);
}
END_TEST

START_TEST(damaged_npy_files_never_crash)
{
    unsigned char bytes[512];
    size_t size = npy_bytes(0, bytes);
    struct he_tensor tensor;
    struct he_arena arena;

    for (size_t cut = 0; cut < size; cut++) {
        he_arena_init(&arena, NULL);
        ck_assert_int_eq(he_file_write(in_tmp(".npy"), bytes, cut), HE_OK);
        ck_assert_int_ne(he_tensor_file_read(path, NULL, 0, NULL, &arena, &tensor), HE_OK);
        he_arena_fini(&arena);
    }
    for (size_t at = 0; at < size; at++) {
        bytes[at] ^= 0x15;
        he_arena_init(&arena, NULL);
        ck_assert_int_eq(he_file_write(in_tmp(".npy"), bytes, size), HE_OK);
        (void)!he_tensor_file_read(path, NULL, 0, NULL, &arena, &tensor);
        he_arena_fini(&arena);
        bytes[at] ^= 0x15;
    }
    unlink(path);
}
END_TEST

START_TEST(bare_bytes_take_the_type_and_shape_given)
{
    static const struct {
        const char *what;
        enum he_dtype dtype;
        struct he_shape shape;
        he_status status;
        int64_t first;
    } cases[] = {
        { "a whole shape", HE_FLOAT32, { 2, { 2, 3 } }, HE_OK, 2 },
        { "an open dimension", HE_FLOAT32, { 2, { -1, 3 } }, HE_OK, 2 },
        { "a symbol", HE_UINT8, { 1, { -7 } }, HE_OK, 24 },
        { "two open dimensions", HE_FLOAT32, { 2, { -1, -1 } }, HE_ERR_INVALID, 0 },
        { "no multiple", HE_FLOAT32, { 2, { -1, 5 } }, HE_ERR_SHAPE, 0 },
        { "an open dimension among zeros", HE_FLOAT32, { 2, { -1, 0 } }, HE_ERR_SHAPE, 0 },
        { "too few bytes", HE_FLOAT32, { 2, { 2, 4 } }, HE_ERR_SHAPE, 0 },
        { "too many bytes", HE_FLOAT32, { 2, { 2, 2 } }, HE_ERR_SHAPE, 0 },
        { "no type", HE_DTYPE_NONE, { 2, { 2, 3 } }, HE_ERR_INVALID, 0 },
        { "strings", HE_STRING, { 2, { 2, 3 } }, HE_ERR_INVALID, 0 },
        { "no shape", HE_FLOAT32, { HE_RANK_UNKNOWN, { 0 } }, HE_ERR_INVALID, 0 },
    };
    char bytes[24] = { 0 };

    ck_assert_int_eq(he_file_write(in_tmp(".bin"), bytes, sizeof bytes), HE_OK);
    for (size_t k = 0; k < HE_COUNT(cases); k++) {
        struct he_tensor tensor;
        struct he_arena arena;

        he_arena_init(&arena, NULL);
        ck_assert_msg(he_tensor_file_read(path, NULL, cases[k].dtype, &cases[k].shape, &arena,
                                          &tensor) == cases[k].status,
                      "%s: %s", cases[k].what, he_error_message());
        if (cases[k].status == HE_OK)
            ck_assert_int_eq(tensor.shape.dims[0], cases[k].first);
        he_arena_fini(&arena);
    }
    unlink(path);
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    float data[6] = { 0 };
    struct he_shape shape = { 2, { 2, 3 } }, open = { 2, { -1, 3 } }, other = { 2, { 3, 2 } };
    struct he_tensor tensor = he_tensor_dense(HE_FLOAT32, &shape, data), read;
    struct he_arena arena;

    he_arena_init(&arena, NULL);
    ck_assert_int_eq(he_tensor_file_write(in_tmp(".npy"), &tensor), HE_OK);
    ck_assert_int_eq(he_tensor_file_read(path, NULL, 0, NULL, &arena, &read), HE_OK);
    ck_assert_int_eq(he_tensor_file_read(path, NULL, HE_FLOAT32, &any, &arena, &read), HE_OK);
    ck_assert_int_eq(he_tensor_file_read(path, NULL, HE_FLOAT32, &open, &arena, &read), HE_OK);
    ck_assert_int_eq(he_tensor_file_read(path, NULL, HE_FLOAT32, &other, &arena, &read),
                     HE_ERR_SHAPE);
    ck_assert_ptr_nonnull(strstr(he_error_message(), "holds float32 [2,3], expected float32 [3,2]"));
    ck_assert_int_eq(he_tensor_file_read(path, NULL, HE_INT32, &shape, &arena, &read),
                     HE_ERR_SHAPE);
    ck_assert_ptr_null(read.data);
    unlink(path);
    ck_assert_int_eq(he_tensor_file_read(path, NULL, 0, NULL, &arena, &read), HE_ERR_IO);
    ck_assert_int_eq(he_tensor_file_read("x.txt", NULL, 0, NULL, &arena, &read), HE_ERR_INVALID);
    ck_assert_int_eq(he_tensor_file_write("x.txt", &tensor), HE_ERR_INVALID);
    ck_assert_int_eq(he_tensor_file_write("/nonexistent/x.bin", &tensor), HE_ERR_IO);
    tensor.is_dense = false;
    ck_assert_int_eq(he_tensor_file_write(in_tmp(".npy"), &tensor), HE_ERR_INVALID);
    tensor = he_tensor_dense(HE_INT4, &shape, data);
    ck_assert_int_eq(he_tensor_file_write(in_tmp(".npy"), &tensor), HE_ERR_UNSUPPORTED);
    he_arena_fini(&arena);
}
END_TEST

START_TEST(exhausted_memory_is_reported_and_nothing_leaks)
{
    static const char *const suffixes[] = { ".pb", ".npy", ".bin" };
    float data[6] = { 0 };
    struct he_shape shape = { 2, { 2, 3 } };
    struct he_tensor tensor = he_tensor_dense(HE_FLOAT32, &shape, data), read;

    for (size_t k = 0; k < HE_COUNT(suffixes); k++) {
        ck_assert_int_eq(he_tensor_file_write(in_tmp(suffixes[k]), &tensor), HE_OK);
        for (size_t n = 0;; n++) {
            struct failing_alloc failing;
            struct he_arena arena;
            he_status status;

            failing_alloc_init(&failing, n);
            he_arena_init(&arena, &failing.alloc);
            status = he_tensor_file_read(path, &failing.alloc, HE_FLOAT32, &shape, &arena, &read);
            he_arena_fini(&arena);
            ck_assert_uint_eq(failing.live, 0);
            if (status == HE_OK) {
                ck_assert_uint_gt(n, 0);
                break;
            }
            ck_assert_int_eq(status, HE_ERR_NO_MEMORY);
        }
        unlink(path);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/tensor_file");
    TCase *tc = tcase_create("tensor_file");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, a_tensor_survives_every_format, 0, HE_COUNT(kinds));
    tcase_add_test(tc, data_of_npy_files_starts_at_a_multiple_of_64);
    tcase_add_test(tc, strings_live_in_pb_files);
    tcase_add_loop_test(tc, npy_headers_are_read_or_refused, 0, HE_COUNT(headers));
    tcase_add_test(tc, damaged_npy_files_never_crash);
    tcase_add_test(tc, bare_bytes_take_the_type_and_shape_given);
    tcase_add_test(tc, what_does_not_fit_is_refused);
    tcase_add_test(tc, exhausted_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
