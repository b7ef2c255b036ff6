/* SPDX-License-Identifier: Apache-2.0 */
/* The reader on what our writer does not write: other encodings, other versions,
 * damage, and whole folders of models. */
#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/size.h"
#include "core/text.h"
#include "support/failing_alloc.h"
#include "support/proto.h"
#include "support/sample_model.h"

static he_status parse(const struct he_text *text, struct he_model **out)
{
    return he_model_parse(he_text_string(text), text->size, NULL, NULL, out);
}

/* A model around @graph, which it frees, at @opset. */
static void wrap_model(struct he_text *out, struct he_text *graph, int64_t opset)
{
    struct he_text import;

    he_text_init(out, NULL);
    he_text_init(&import, NULL);
    proto_number(out, 1, 8);
    proto_number(&import, 2, (uint64_t)opset);
    proto_message(out, 8, &import);
    proto_message(out, 7, graph);
}

/* --- Encodings of tensors --- */

/* Three elements, once as raw_data and once as the list of @field. */
static const struct {
    const char *what;
    enum he_dtype dtype;
    unsigned field, width; /* width: 0 varint, 4 or 8 fixed */
    uint64_t numbers[6];
    size_t number_count;
    unsigned bytes;
    const char *raw;
} lists[] = {
    { "float32", HE_FLOAT32, 4, 4, { 0x3f800000, 0, 0xbf800000 }, 3, 12,
      "\0\0\x80\x3f\0\0\0\0\0\0\x80\xbf" },
    { "complex64", HE_COMPLEX64, 4, 4, { 1, 2, 3, 4, 5, 6 }, 6, 24,
      "\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5\0\0\0\6\0\0\0" },
    { "int32", HE_INT32, 5, 0, { 1, UINT64_MAX, 300 }, 3, 12, "\1\0\0\0\xff\xff\xff\xff\x2c\1\0\0" },
    { "int8", HE_INT8, 5, 0, { 1, UINT64_MAX, 127 }, 3, 3, "\1\xff\x7f" },
    { "uint16", HE_UINT16, 5, 0, { 1, 65535, 300 }, 3, 6, "\1\0\xff\xff\x2c\1" },
    { "bool, any number but 0 is true", HE_BOOL, 5, 0, { 0, 2, 1 }, 3, 3, "\0\1\1" },
    { "float16", HE_FLOAT16, 5, 0, { 0x3c00, 0, 0xbc00 }, 3, 6, "\0\x3c\0\0\0\xbc" },
    { "bfloat16", HE_BFLOAT16, 5, 0, { 0x3f80, 0, 0xbf80 }, 3, 6, "\x80\x3f\0\0\x80\xbf" },
    { "float8", HE_FLOAT8E4M3FN, 5, 0, { 1, 2, 255 }, 3, 3, "\1\2\xff" },
    { "int4, two in each number", HE_INT4, 5, 0, { 0x21, 0x3 }, 2, 2, "\x21\3" },
    { "float4, two in each number", HE_FLOAT4E2M1, 5, 0, { 0xff, 0xf }, 2, 2, "\xff\xf" },
    { "uint2, four in each number", HE_UINT2, 5, 0, { 0x39 }, 1, 1, "\x39" },
    { "int64", HE_INT64, 7, 0, { 1, UINT64_MAX, 0 }, 3, 24,
      "\1\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0" },
    { "double", HE_FLOAT64, 10, 8, { 0x3ff0000000000000, 0, 1 }, 3, 24,
      "\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0" },
    { "uint32", HE_UINT32, 11, 0, { 1, 0xffffffff, 0 }, 3, 12, "\1\0\0\0\xff\xff\xff\xff\0\0\0\0" },
    { "uint64", HE_UINT64, 11, 0, { 1, UINT64_MAX, 0 }, 3, 24,
      "\1\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0" },
};

static void put_number(struct he_text *out, size_t which, uint64_t number, bool with_tag)
{
    if (lists[which].width && with_tag)
        proto_fixed(out, lists[which].field, &number, lists[which].width);
    else if (lists[which].width)
        he_text_append(out, (const char *)&number, lists[which].width);
    else if (with_tag)
        proto_number(out, lists[which].field, number);
    else
        proto_varint(out, number);
}

/* Numbers @first to @last as one packed run. */
static void put_run(struct he_text *out, size_t which, size_t first, size_t last)
{
    struct he_text run;

    he_text_init(&run, NULL);
    for (size_t k = first; k < last; k++)
        put_number(&run, which, lists[which].numbers[k], false);
    proto_message(out, lists[which].field, &run);
}

static void check_tensor(const struct he_text *text, size_t which, const char *how)
{
    struct onnx_tensor tensor;
    struct he_arena arena;
    void *exact = malloc(text->size);

    memcpy(exact, text->data, text->size);
    he_arena_init(&arena, NULL);
    ck_assert_msg(he_tensor_parse(exact, text->size, &arena, &tensor) == HE_OK, "%s, %s: %s",
                  lists[which].what, how, he_error_message());
    ck_assert_int_eq(tensor.dtype, lists[which].dtype);
    ck_assert_uint_eq(tensor.data_bytes, lists[which].bytes);
    ck_assert_mem_eq(tensor.data, lists[which].raw, lists[which].bytes);
    he_arena_fini(&arena);
    free(exact);
}

START_TEST(lists_of_numbers_are_converted)
{
    size_t which = (size_t)_i, count = lists[which].number_count;
    struct he_text text;

    for (int form = 0; form < 4; form++) {
        static const char *const names[] = { "packed", "one by one", "in two runs", "raw" };

        he_text_init(&text, NULL);
        if (form == 1) { /* contents before type and shape */
            for (size_t k = 0; k < count; k++)
                put_number(&text, which, lists[which].numbers[k], true);
        }
        proto_number(&text, 2, lists[which].dtype);
        proto_number(&text, 1, 3);
        if (form == 0) {
            put_run(&text, which, 0, count);
        } else if (form == 2) {
            put_run(&text, which, 0, count / 2);
            put_run(&text, which, count / 2, count);
        } else if (form == 3) {
            proto_bytes(&text, 9, lists[which].raw, lists[which].bytes);
        }
        check_tensor(&text, which, names[form]);
        he_text_fini(&text);
    }
}
END_TEST

START_TEST(a_packed_run_of_floats_is_not_copied)
{
    float wanted[3] = { 1, 2, 3 };
    struct onnx_tensor tensor;
    struct he_arena arena;
    struct he_text text;

    he_arena_init(&arena, NULL);
    he_text_init(&text, NULL);
    proto_number(&text, 1, 3);
    proto_number(&text, 2, HE_FLOAT32);
    proto_bytes(&text, 4, wanted, sizeof wanted);
    ck_assert_int_eq(he_tensor_parse(text.data, text.size, &arena, &tensor), HE_OK);
    ck_assert_ptr_eq(tensor.data, text.data + text.size - sizeof wanted);
    he_text_fini(&text);
    he_arena_fini(&arena);
}
END_TEST

/* --- Tensors that lie --- */

static const struct {
    const char *what;
    int64_t dims[20];
    size_t dim_count;
    int dtype;
    size_t raw_bytes;
    he_status status;
    const char *expect;
} lies[] = {
    { "too few bytes", { 3, 4 }, 2, 1, 47, HE_ERR_PARSE, "[3,4]: needs 48 bytes, raw_data has 47" },
    { "too many bytes", { 3, 4 }, 2, 1, 49, HE_ERR_PARSE, "raw_data has 49" },
    { "no contents", { 3 }, 1, 1, 0, HE_ERR_PARSE, "needs 3 numbers in float_data, has 0" },
    { "a negative dimension", { 3, -4 }, 2, 1, 48, HE_ERR_PARSE, "dimension 1 is negative" },
    { "dimensions that overflow", { INT64_C(1) << 32, INT64_C(1) << 32 }, 2, 1, 0, HE_ERR_PARSE,
      "overflows" },
    { "bytes that overflow", { INT64_C(1) << 62 }, 1, 11, 0, HE_ERR_PARSE, "overflows" },
    { "an overflow hidden by a zero", { 0, INT64_MAX, INT64_MAX }, 3, 1, 0, HE_ERR_PARSE,
      "overflows" },
    { "more dimensions than we have room for", { 1 }, 17, 1, 4, HE_ERR_UNSUPPORTED,
      "17 dimensions" },
    { "a type of the future", { 1 }, 1, 27, 1, HE_ERR_UNSUPPORTED, "element type 27" },
    { "no type", { 1 }, 1, 0, 1, HE_ERR_PARSE, "element type 0" },
    { "strings in raw_data", { 1 }, 1, 8, 4, HE_ERR_PARSE, "needs 1 strings" },
};

START_TEST(tensors_that_lie_are_refused)
{
    struct onnx_tensor tensor;
    struct he_arena arena;
    struct he_text text;
    char raw[64] = { 0 };

    he_arena_init(&arena, NULL);
    he_text_init(&text, NULL);
    for (size_t k = 0; k < lies[_i].dim_count; k++)
        proto_number(&text, 1, (uint64_t)lies[_i].dims[k]);
    proto_number(&text, 2, (uint64_t)lies[_i].dtype);
    if (lies[_i].raw_bytes)
        proto_bytes(&text, 9, raw, lies[_i].raw_bytes);
    ck_assert_msg(he_tensor_parse(text.data, text.size, &arena, &tensor) == lies[_i].status,
                  "%s", lies[_i].what);
    ck_assert_msg(strstr(he_error_message(), lies[_i].expect) != NULL, "%s: %s", lies[_i].what,
                  he_error_message());
    he_text_fini(&text);
    he_arena_fini(&arena);
}
END_TEST

START_TEST(sparse_initializers_and_segments_are_refused)
{
    struct he_text graph, empty, text;
    struct he_model *model;
    struct onnx_tensor tensor;
    struct he_arena arena;

    he_text_init(&graph, NULL);
    he_text_init(&empty, NULL);
    proto_message(&graph, 15, &empty);
    wrap_model(&text, &graph, 17);
    ck_assert_int_eq(parse(&text, &model), HE_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(he_error_message(), "sparse"));
    he_text_fini(&text);

    he_arena_init(&arena, NULL);
    he_text_init(&text, NULL);
    he_text_init(&empty, NULL);
    proto_message(&text, 3, &empty);
    ck_assert_int_eq(he_tensor_parse(text.data, text.size, &arena, &tensor), HE_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(he_error_message(), "segments"));
    he_text_fini(&text);
    he_arena_fini(&arena);
}
END_TEST

/* --- The document --- */

START_TEST(opsets_up_to_ours_are_known)
{
    static const struct {
        int64_t opset;
        he_status status;
    } cases[] = { { 0, HE_ERR_PARSE },
                  { -1, HE_ERR_PARSE },
                  { 1, HE_OK },
                  { HE_OPSET_MAX, HE_OK },
                  { HE_OPSET_MAX + 1, HE_ERR_UNSUPPORTED } };

    for (size_t k = 0; k < HE_COUNT(cases); k++) {
        struct he_text graph, text;
        struct he_model *model;

        he_text_init(&graph, NULL);
        wrap_model(&text, &graph, cases[k].opset);
        ck_assert_int_eq(parse(&text, &model), cases[k].status);
        if (cases[k].status == HE_OK)
            ck_assert_int_eq(he_model_opset(model, ""), cases[k].opset);
        else
            ck_assert_ptr_null(model);
        he_model_destroy(model);
        he_text_fini(&text);
    }
    ck_assert_ptr_nonnull(strstr(he_error_message(), "opset 29"));
}
END_TEST

START_TEST(unknown_fields_are_skipped)
{
    struct he_text graph, text;
    struct he_model *model;
    uint64_t eight = 8;

    he_text_init(&graph, NULL);
    proto_string(&graph, 2, "main");
    proto_number(&graph, 99, 1);
    proto_fixed(&graph, 100, &eight, 8);
    proto_fixed(&graph, 101, &eight, 4);
    proto_string(&graph, 1000, "future");
    wrap_model(&text, &graph, 17);
    proto_string(&text, 20, "training");
    ck_assert_msg(parse(&text, &model) == HE_OK, "%s", he_error_message());
    ck_assert_str_eq(model->graph.name, "main");
    he_model_destroy(model);
    he_text_fini(&text);
}
END_TEST

START_TEST(ai_onnx_is_the_default_domain)
{
    struct he_text graph, node, import, text;
    struct he_model *model;

    he_text_init(&graph, NULL);
    he_text_init(&node, NULL);
    he_text_init(&import, NULL);
    proto_string(&node, 4, "Relu");
    proto_string(&node, 7, "ai.onnx");
    proto_message(&graph, 1, &node);
    wrap_model(&text, &graph, 17);
    proto_string(&import, 1, "ai.onnx.ml");
    proto_number(&import, 2, 99); /* others may be as new as they like */
    proto_message(&text, 8, &import);
    ck_assert_int_eq(parse(&text, &model), HE_OK);
    ck_assert_str_eq(model->graph.nodes[0].domain, "");
    ck_assert_int_eq(he_model_opset(model, "ai.onnx.ml"), 99);
    ck_assert_int_eq(he_model_opset(model, "none"), 0);
    he_model_destroy(model);
    he_text_fini(&text);
}
END_TEST

START_TEST(a_model_before_opsets_means_opset_1)
{
    struct he_text graph, text;
    struct he_model *model;

    he_text_init(&graph, NULL);
    he_text_init(&text, NULL);
    proto_number(&text, 1, 2);
    proto_message(&text, 7, &graph);
    ck_assert_int_eq(parse(&text, &model), HE_OK);
    ck_assert_int_eq(he_model_opset(model, ""), 1);
    he_model_destroy(model);
    he_text_fini(&text);
}
END_TEST

START_TEST(attributes_without_a_type_are_guessed)
{
    struct he_text graph, node, attr, text;
    struct he_model *model;
    float half = 0.5f;

    he_text_init(&graph, NULL);
    he_text_init(&node, NULL);
    he_text_init(&attr, NULL);
    proto_string(&attr, 1, "ratio");
    proto_fixed(&attr, 2, &half, 4);
    proto_string(&node, 4, "Dropout");
    proto_message(&node, 5, &attr);
    he_text_init(&attr, NULL);
    proto_number(&attr, 8, 3); /* unpacked ints */
    proto_number(&attr, 8, 4);
    proto_message(&node, 5, &attr);
    proto_message(&graph, 1, &node);
    wrap_model(&text, &graph, 6);
    ck_assert_int_eq(parse(&text, &model), HE_OK);
    ck_assert_int_eq(model->graph.nodes[0].attrs[0].type, 1);
    ck_assert_float_eq(model->graph.nodes[0].attrs[0].f, 0.5f);
    ck_assert_int_eq(model->graph.nodes[0].attrs[1].type, 7);
    ck_assert_uint_eq(model->graph.nodes[0].attrs[1].count, 2);
    ck_assert_int_eq(model->graph.nodes[0].attrs[1].ints[1], 4);
    he_model_destroy(model);
    he_text_fini(&text);
}
END_TEST

START_TEST(initializers_are_no_inputs)
{
    struct he_text text;
    struct he_model *model;
    struct he_model_io io;

    he_text_init(&text, NULL);
    ck_assert_int_eq(he_model_write(sample_model(), &text), HE_OK);
    ck_assert_int_eq(parse(&text, &model), HE_OK);
    ck_assert_uint_eq(model->graph.input_count, 3); /* x, w, list */
    ck_assert_uint_eq(he_model_input_count(model), 2);
    ck_assert_int_eq(he_model_input(model, 0, &io), HE_OK);
    ck_assert_str_eq(io.name, "x");
    ck_assert_int_eq(io.dtype, HE_FLOAT32);
    ck_assert_uint_eq(io.shape.rank, 3);
    ck_assert_int_eq(io.shape.dims[0], HE_DIM_UNKNOWN);
    ck_assert_str_eq(io.dim_names[0], "batch");
    ck_assert_int_eq(io.shape.dims[1], 3);
    ck_assert_str_eq(io.dim_names[1], "");
    ck_assert_int_eq(io.shape.dims[2], HE_DIM_UNKNOWN);
    ck_assert_int_eq(he_model_input(model, 1, &io), HE_OK);
    ck_assert_str_eq(io.name, "list");
    ck_assert_int_eq(io.dtype, HE_DTYPE_NONE);
    ck_assert_int_eq(he_model_input(model, 2, &io), HE_ERR_INVALID);
    model->graph.inputs[0].dims[1].value = 0; /* as good a size as any */
    ck_assert_int_eq(he_model_input(model, 0, &io), HE_OK);
    ck_assert_int_eq(io.shape.dims[1], 0);
    ck_assert_uint_eq(he_model_output_count(model), 1);
    ck_assert_int_eq(he_model_output(model, 0, &io), HE_OK);
    ck_assert_uint_eq(io.shape.rank, HE_RANK_UNKNOWN);
    ck_assert_int_eq(he_model_output(model, 1, &io), HE_ERR_INVALID);
    he_model_destroy(model);
    he_text_fini(&text);
}
END_TEST

/* --- Damage --- */

START_TEST(the_sentence_says_where)
{
    struct he_text text;
    struct he_model *model;

    he_text_init(&text, NULL);
    proto_number(&text, 1, 8);        /* 2 bytes */
    proto_varint(&text, 7 << 3 | 2);  /* 1 byte */
    proto_varint(&text, 900);         /* 2 bytes */
    he_text_append(&text, "twelve bytes", 12);
    ck_assert_int_eq(parse(&text, &model), HE_ERR_PARSE);
    ck_assert_str_eq(he_error_message(),
                     "byte 2: field 7 (graph) says 900 bytes but only 12 remain");
    he_text_fini(&text);
}
END_TEST

START_TEST(numbers_have_64_bits)
{
    static const struct {
        const char *bytes; /* of ir_version */
        he_status status;
        int64_t value;
    } cases[] = {
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", HE_OK, -1 },
        { "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", HE_OK, INT64_MIN },
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", HE_ERR_PARSE, 0 },
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01", HE_ERR_PARSE, 0 },
    };

    for (size_t k = 0; k < HE_COUNT(cases); k++) {
        struct he_text text;
        struct he_model *model;

        he_text_init(&text, NULL);
        proto_string(&text, 7, ""); /* the graph */
        he_text_append(&text, "\x08", 1);
        he_text_append(&text, cases[k].bytes, strlen(cases[k].bytes));
        ck_assert_int_eq(parse(&text, &model), cases[k].status);
        if (cases[k].status == HE_OK)
            ck_assert_int_eq(model->ir_version, cases[k].value);
        else
            ck_assert_str_eq(he_error_message(),
                             "byte 3: a number in the model is longer than 64 bits");
        he_model_destroy(model);
        he_text_fini(&text);
    }
}
END_TEST

/* Graph in attribute in node in graph..., from the inside out. */
static void nest(struct he_text *out, unsigned depth)
{
    struct he_text graph;

    he_text_init(&graph, NULL);
    for (unsigned k = 1; k < depth; k++) {
        struct he_text node, attr;

        he_text_init(&node, NULL);
        he_text_init(&attr, NULL);
        proto_string(&attr, 1, "body");
        proto_number(&attr, 20, 5);
        proto_message(&attr, 6, &graph);
        proto_string(&node, 4, "Loop");
        proto_message(&node, 5, &attr);
        he_text_init(&graph, NULL);
        proto_message(&graph, 1, &node);
    }
    wrap_model(out, &graph, 17);
}

START_TEST(deep_nesting_is_refused)
{
    static const struct {
        unsigned depth;
        he_status status;
    } cases[] = { { 64, HE_OK }, { 65, HE_ERR_UNSUPPORTED }, { 3000, HE_ERR_UNSUPPORTED } };

    for (size_t k = 0; k < HE_COUNT(cases); k++) {
        struct he_text text;
        struct he_model *model;

        nest(&text, cases[k].depth);
        ck_assert_int_eq(parse(&text, &model), cases[k].status);
        he_model_destroy(model);
        he_text_fini(&text);
    }
    ck_assert_ptr_nonnull(strstr(he_error_message(), "deep"));
}
END_TEST

/* Reads @size bytes in a block of exactly that size, whatever they are. */
static he_status read_damaged(const void *data, size_t size)
{
    struct he_model *model;
    void *exact = malloc(size ? size : 1);
    he_status status;

    ck_assert_ptr_nonnull(exact);
    memcpy(exact, data, size);
    status = he_model_parse(exact, size, NULL, NULL, &model);
    if (status == HE_OK)
        status = he_model_inline(model);
    ck_assert_msg(status == HE_OK || *he_error_message(), "a failure without a sentence");
    he_model_destroy(model);
    free(exact);
    return status;
}

START_TEST(a_truncated_model_never_crashes)
{
    struct he_text text;
    size_t refused = 0;

    he_text_init(&text, NULL);
    ck_assert_int_eq(he_model_write(sample_model(), &text), HE_OK);
    for (size_t size = 0; size < text.size; size++)
        refused += read_damaged(text.data, size) != HE_OK;
    /* Some cuts fall between two fields behind the graph. */
    ck_assert_uint_gt(refused, text.size - 10);
    ck_assert_int_eq(read_damaged(text.data, text.size), HE_OK);
    he_text_fini(&text);
}
END_TEST

START_TEST(flipped_bits_never_crash)
{
    struct he_text text;

    he_text_init(&text, NULL);
    ck_assert_int_eq(he_model_write(sample_model(), &text), HE_OK);
    for (size_t at = 0; at < text.size; at++) {
        for (unsigned flip = 0; flip < 9; flip++) {
            unsigned char mask = flip < 8 ? (unsigned char)(1u << flip) : 0xff;

            text.data[at] = (char)(text.data[at] ^ mask);
            (void)read_damaged(text.data, text.size);
            text.data[at] = (char)(text.data[at] ^ mask);
        }
    }
    he_text_fini(&text);
}
END_TEST

/* --- Files --- */

static char *write_temporary(char *path, const void *data, size_t size)
{
    int fd;

    strcpy(path, "/tmp/he-test-model-XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
    close(fd);
    return path;
}

START_TEST(what_is_no_model_gets_a_clear_sentence)
{
    static const struct {
        const char *contents;
        size_t size;
        he_status status;
        const char *expect;
    } cases[] = {
        { "", 0, HE_ERR_PARSE, "the file is empty" },
        { "graph {\n  node {}\n}\n", 19, HE_ERR_PARSE, "looks like text" },
        { "\x7f" "ELF\2\1\1", 7, HE_ERR_PARSE, "not an ONNX model" },
        { "\x08\x08", 2, HE_ERR_PARSE, "it has no graph" },
        { "\x08\x08\x3a\x00\x3a\x00", 6, HE_ERR_PARSE, "2 graphs" },
    };
    struct he_model *model;
    char path[64], folder[] = "/tmp/he-test-folder-XXXXXX";

    for (size_t k = 0; k < HE_COUNT(cases); k++) {
        write_temporary(path, cases[k].contents, cases[k].size);
        ck_assert_int_eq(he_model_load(path, NULL, &model), cases[k].status);
        ck_assert_ptr_null(model);
        ck_assert_msg(strstr(he_error_message(), cases[k].expect) != NULL, "%s",
                      he_error_message());
        ck_assert_msg(strstr(he_error_message(), path) != NULL, "%s", he_error_message());
        unlink(path);
    }
    ck_assert_int_eq(he_model_load(path, NULL, &model), HE_ERR_IO);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(he_model_load(folder, NULL, &model), HE_ERR_IO);
    ck_assert_int_eq(he_model_load(NULL, NULL, &model), HE_ERR_INVALID);
    rmdir(folder);
}
END_TEST

START_TEST(exhausted_memory_is_reported_and_nothing_leaks)
{
    struct he_text text;
    char path[64];

    he_text_init(&text, NULL);
    ck_assert_int_eq(he_model_write(sample_model(), &text), HE_OK);
    write_temporary(path, text.data, text.size);
    for (size_t n = 0;; n++) {
        struct failing_alloc failing;
        struct he_model *model;
        he_status status;

        failing_alloc_init(&failing, n);
        status = he_model_load(path, &failing.alloc, &model);
        if (status == HE_OK)
            ck_assert_uint_gt(failing.live, 0);
        else
            ck_assert_ptr_null(model);
        he_model_destroy(model);
        ck_assert_uint_eq(failing.live, 0);
        if (status == HE_OK) {
            ck_assert_uint_gt(n, 3);
            break;
        }
        ck_assert_int_eq(status, HE_ERR_NO_MEMORY);
    }
    unlink(path);
    he_text_fini(&text);
}
END_TEST

/* 100 weights of 1 MiB: loading must not look at them. */
START_TEST(weights_are_not_touched)
{
    enum { COUNT = 100, BYTES = 1 << 20 };
    struct onnx_tensor *tensors = calloc(COUNT, sizeof *tensors);
    char *zeros = calloc(1, BYTES), path[64];
    struct he_model wanted = *sample_model(), *model;
    struct rusage before, after;
    struct he_text text;

    ck_assert(tensors && zeros);
    for (size_t k = 0; k < COUNT; k++)
        tensors[k] = (struct onnx_tensor){ .name = "w", .dtype = HE_UINT8,
                                           .shape = { 1, { BYTES } }, .data = zeros,
                                           .data_bytes = BYTES };
    wanted.graph.initializers = tensors;
    wanted.graph.initializer_count = COUNT;
    he_text_init(&text, NULL);
    ck_assert_int_eq(he_model_write(&wanted, &text), HE_OK);
    write_temporary(path, text.data, text.size);
    he_text_fini(&text);
    getrusage(RUSAGE_SELF, &before);
    ck_assert_int_eq(he_model_load(path, NULL, &model), HE_OK);
    getrusage(RUSAGE_SELF, &after);
    /* A fault maps up to 16 pages around: all of them would be 1600 at least.
     * Each header costs one, the arena a few. */
    ck_assert_int_lt(after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt, 500);
    ck_assert_uint_eq(model->graph.initializer_count, COUNT);
    ck_assert_int_eq(((const char *)model->graph.initializers[99].data)[BYTES - 1], 0);
    he_model_destroy(model);
    unlink(path);
    free(tensors);
    free(zeros);
}
END_TEST

/* Every model of a folder of models beside the sources, where there is one. */
START_TEST(real_models_load)
{
    static const char *const patterns[] = {
        HE_SRCDIR "/../shared/models/*/*.onnx",
        HE_SRCDIR "/../shared/models/*/*/*.onnx",
        "/usr/share/libonnx-testdata/data/*/*/model.onnx",
    };
    glob_t found;

    if (glob(patterns[_i], 0, NULL, &found) != 0)
        return;
    for (size_t k = 0; k < found.gl_pathc; k++) {
        struct he_model *model;

        ck_assert_msg(he_model_load(found.gl_pathv[k], NULL, &model) == HE_OK, "%s",
                      he_error_message());
        ck_assert_uint_gt(model->graph.node_count, 0);
        ck_assert_int_ge(he_model_opset(model, ""), 0);
        he_model_destroy(model);
    }
    globfree(&found);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/reader");
    TCase *tc = tcase_create("reader");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, lists_of_numbers_are_converted, 0, HE_COUNT(lists));
    tcase_add_test(tc, a_packed_run_of_floats_is_not_copied);
    tcase_add_loop_test(tc, tensors_that_lie_are_refused, 0, HE_COUNT(lies));
    tcase_add_test(tc, sparse_initializers_and_segments_are_refused);
    tcase_add_test(tc, opsets_up_to_ours_are_known);
    tcase_add_test(tc, unknown_fields_are_skipped);
    tcase_add_test(tc, ai_onnx_is_the_default_domain);
    tcase_add_test(tc, a_model_before_opsets_means_opset_1);
    tcase_add_test(tc, attributes_without_a_type_are_guessed);
    tcase_add_test(tc, initializers_are_no_inputs);
    tcase_add_test(tc, the_sentence_says_where);
    tcase_add_test(tc, numbers_have_64_bits);
    tcase_add_test(tc, deep_nesting_is_refused);
    tcase_add_test(tc, a_truncated_model_never_crashes);
    tcase_add_test(tc, flipped_bits_never_crash);
    tcase_add_test(tc, what_is_no_model_gets_a_clear_sentence);
    tcase_add_test(tc, exhausted_memory_is_reported_and_nothing_leaks);
    tcase_add_test(tc, weights_are_not_touched);
    tcase_add_loop_test(tc, real_models_load, 0, 3);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
