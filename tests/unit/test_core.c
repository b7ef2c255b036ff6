/* SPDX-License-Identifier: Apache-2.0 */
/* The core: arenas, texts, JSON both ways, words, quantities, maps, checked sizes. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/map.h"
#include "core/size.h"
#include "core/text.h"
#include "core/words.h"
#include "support/failing_alloc.h"

/* --- Arena --- */

START_TEST(an_arena_gives_zeroed_aligned_memory_apart)
{
    struct he_arena arena;
    unsigned char *blocks[200];
    size_t dirty = 0;

    he_arena_init(&arena, NULL);
    for (int k = 0; k < 200; k++) {
        size_t size = (size_t)k * k * 7 + 1;

        blocks[k] = he_arena_alloc(&arena, 1, size);
        ck_assert_ptr_nonnull(blocks[k]);
        ck_assert_uint_eq((uintptr_t)blocks[k] % _Alignof(max_align_t), 0);
        for (size_t b = 0; b < size; b++)
            dirty += blocks[k][b] != 0;
        memset(blocks[k], k, size);
    }
    ck_assert_uint_eq(dirty, 0);
    for (int k = 0; k < 200; k++) {
        ck_assert_int_eq(blocks[k][0], k);
        ck_assert_int_eq(blocks[k][(size_t)k * k * 7], k);
    }
    ck_assert_ptr_nonnull(he_arena_alloc(&arena, 0, 8));
    ck_assert_ptr_null(he_arena_alloc(&arena, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(he_arena_alloc(&arena, SIZE_MAX, 1));
    he_arena_fini(&arena);
}
END_TEST

START_TEST(an_arena_frees_all_when_memory_runs_out)
{
    int failures = 1;

    for (size_t n = 0; failures > 0; n++) {
        struct failing_alloc failing;
        struct he_arena arena;

        failures = 0;

        failing_alloc_init(&failing, n);
        he_arena_init(&arena, &failing.alloc);
        for (int k = 0; k < 100; k++)
            failures += he_arena_printf(&arena, "%0*d", 100000, k) == NULL;
        ck_assert(failures > 0 || n > 3); /* it needs a few chunks */
        he_arena_fini(&arena);
        ck_assert_uint_eq(failing.live, 0);
    }
}
END_TEST

START_TEST(strings_are_copied_and_ended)
{
    struct he_arena arena;
    char source[] = "placement";
    char *copy;

    he_arena_init(&arena, NULL);
    copy = he_arena_string(&arena, source, 5);
    source[0] = '!';
    ck_assert_str_eq(copy, "place");
    ck_assert_str_eq(he_arena_printf(&arena, "%s-%d", copy, 7), "place-7");
    ck_assert_mem_eq(he_arena_copy(&arena, "a\0b", 3), "a\0b", 3);
    he_arena_fini(&arena);
}
END_TEST

START_TEST(growing_keeps_what_was_there)
{
    void *array = NULL;
    size_t capacity = 0;

    for (size_t k = 0; k < 1000; k++) {
        ck_assert_int_eq(he_alloc_grow(&he_allocator_default, &array, &capacity, k, k + 1,
                                       sizeof(size_t)), HE_OK);
        ((size_t *)array)[k] = k;
    }
    for (size_t k = 0; k < 1000; k++)
        ck_assert_uint_eq(((size_t *)array)[k], k);
    ck_assert_int_eq(he_alloc_grow(&he_allocator_default, &array, &capacity, 1000, SIZE_MAX / 4,
                                   sizeof(size_t)), HE_ERR_NO_MEMORY);
    ck_assert_uint_eq(((size_t *)array)[999], 999);
    he_free(&he_allocator_default, array);
}
END_TEST

START_TEST(sizes_that_overflow_are_said_so)
{
    size_t size = 42;
    int64_t number = 42;

    ck_assert(he_size_add(SIZE_MAX - 1, 1, &size));
    ck_assert_uint_eq(size, SIZE_MAX);
    ck_assert(!he_size_add(SIZE_MAX, 1, &size));
    ck_assert(!he_size_mul(SIZE_MAX / 2 + 1, 2, &size));
    ck_assert_uint_eq(size, SIZE_MAX); /* left alone */
    ck_assert(he_int64_mul(-3, 5, &number));
    ck_assert_int_eq(number, -15);
    ck_assert(!he_int64_mul(INT64_MAX, 2, &number));
    ck_assert_int_eq(number, -15);
    ck_assert_uint_eq(he_size_align(65, 64), 128);
    ck_assert_uint_eq(he_size_align(64, 64), 64);
}
END_TEST

/* --- JSON --- */

static const char *const odd_strings[] = {
    "", "plain", "\"quotes\" and \\slashes/", "line\nfeed\ttab\rreturn\b\f", "\x01\x1f control",
    "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 beyond ASCII",
};
static const double odd_numbers[] = {
    0, -1, 0.1, 1e300, 5e-324, 1.7976931348623157e308, -123456.789, 1.0 / 3, 9007199254740993.0,
};

START_TEST(what_is_written_reads_back)
{
    struct he_json_writer json;
    struct he_arena arena;
    struct he_json *tree;
    const struct he_json *list, *item;
    struct he_text text;

    he_text_init(&text, NULL);
    he_json_begin(&json, &text, _i);
    he_json_object(&json, NULL);
    he_json_array(&json, "strings");
    for (size_t k = 0; k < HE_COUNT(odd_strings); k++)
        he_json_string(&json, NULL, odd_strings[k]);
    he_json_array_end(&json);
    he_json_array_flat(&json, "numbers");
    for (size_t k = 0; k < HE_COUNT(odd_numbers); k++)
        he_json_double(&json, NULL, odd_numbers[k]);
    he_json_array_end(&json);
    he_json_object_flat(&json, "inner \"key\"");
    he_json_int(&json, "least", INT64_MIN);
    he_json_int(&json, "most", INT64_MAX);
    he_json_bool(&json, "yes", true);
    he_json_bool(&json, "no", false);
    he_json_null(&json, "nothing");
    he_json_double(&json, "nan", NAN);
    he_json_double(&json, "infinite", -INFINITY);
    he_json_object_end(&json);
    he_json_array(&json, "empty");
    he_json_array_end(&json);
    he_json_object_end(&json);
    ck_assert_int_eq(he_text_status(&text), HE_OK);

    he_arena_init(&arena, NULL);
    ck_assert_msg(he_json_parse("t", text.data, text.size, &arena, &tree) == HE_OK, "%s in %s",
                  he_error_message(), text.data);
    list = he_json_get(tree, "strings");
    ck_assert_uint_eq(list->child_count, HE_COUNT(odd_strings));
    item = list->child;
    for (size_t k = 0; k < HE_COUNT(odd_strings); k++, item = item->next)
        ck_assert_str_eq(item->string, odd_strings[k]);
    item = he_json_get(tree, "numbers")->child;
    for (size_t k = 0; k < HE_COUNT(odd_numbers); k++, item = item->next)
        ck_assert_double_eq(item->number, odd_numbers[k]);
    list = he_json_get(tree, "inner \"key\"");
    ck_assert_int_eq(he_json_get(list, "least")->integer, INT64_MIN);
    ck_assert(he_json_get(list, "least")->is_integer);
    ck_assert_int_eq(he_json_get(list, "most")->integer, INT64_MAX);
    ck_assert(he_json_get(list, "yes")->boolean && !he_json_get(list, "no")->boolean);
    ck_assert_int_eq(he_json_get(list, "nothing")->kind, HE_JSON_NULL);
    ck_assert_int_eq(he_json_get(list, "nan")->kind, HE_JSON_NULL);
    ck_assert_int_eq(he_json_get(list, "infinite")->kind, HE_JSON_NULL);
    ck_assert_uint_eq(he_json_get(tree, "empty")->child_count, 0);
    ck_assert_ptr_null(he_json_get(tree, "absent"));
    he_arena_fini(&arena);
    he_text_fini(&text);
}
END_TEST

/* A document and where its error is. */
static const struct {
    const char *text, *place;
} bad_documents[] = {
    { "", "t:1:1:" }, { "  \n ", "t:2:2:" }, { "{", "t:1:2:" }, { "{\"a\"}", "t:1:5:" },
    { "{\"a\":1,}", "t:1:8:" }, { "[1,\n2,\n,3]", "t:3:1:" }, { "[1 2]", "t:1:4:" },
    { "01", "t:1:" }, { "1.", "t:1:" }, { "-", "t:1:" }, { "+1", "t:1:1:" }, { "1e", "t:1:" },
    { "nul", "t:1:" }, { "True", "t:1:1:" }, { "NaN", "t:1:1:" }, { "'a'", "t:1:1:" },
    { "\"open", "t:1:" }, { "\"\\q\"", "t:1:" }, { "\"\\u12\"", "t:1:" },
    { "\"\\ud800\"", "t:1:" }, { "\"tab\there\"", "t:1:" }, { "{} {}", "t:1:4:" },
    { "{1:2}", "t:1:2:" }, { "[1]]", "t:1:4:" }, { "// no\n1", "t:1:1:" },
};

START_TEST(what_is_no_json_is_refused_with_its_place)
{
    struct he_arena arena;
    struct he_json *tree;
    const char *text = bad_documents[_i].text;

    he_arena_init(&arena, NULL);
    ck_assert_msg(he_json_parse("t", text, strlen(text), &arena, &tree) == HE_ERR_PARSE,
                  "'%s' is taken", text);
    ck_assert_msg(strncmp(he_error_message(), bad_documents[_i].place,
                          strlen(bad_documents[_i].place)) == 0,
                  "'%s': %s, expected at %s", text, he_error_message(), bad_documents[_i].place);
    he_arena_fini(&arena);
}
END_TEST

/* Lists of the document, read in one go and element by element: the same numbers and places. */
START_TEST(closed_lists_are_read_element_by_element)
{
    static const char text[] = "{\"a\": [1, [2, 3],\n \"x],\\\"\", {\"k\": [4]}], \"b\": [], \"c\": {\"d\": [5]},"
                               "\"e\": [ ], \"f\": [-0.5, 12345678901234567890, 1e3, 0.1, 5]}";
    struct he_json *open, *closed, *element;
    struct he_json_list list;
    struct he_arena arena;

    he_arena_init(&arena, NULL);
    ck_assert_int_eq(he_json_parse("t", text, strlen(text), &arena, &open), HE_OK);
    ck_assert_int_eq(he_json_parse_closed("t", text, strlen(text), &arena, &closed), HE_OK);
    ck_assert_uint_eq(he_json_get(he_json_get(closed, "c"), "d")->child_count, 1);
    ck_assert(!he_json_get(he_json_get(closed, "c"), "d")->is_closed);
    for (const struct he_json *a = open->child, *b = closed->child; a; a = a->next, b = b->next) {
        const struct he_json *expected = a->child;

        ck_assert_str_eq(a->key, b->key);
        ck_assert_uint_eq(a->child_count, b->child_count);
        if (a->kind != HE_JSON_ARRAY)
            continue;
        ck_assert(b->is_closed);
        he_json_list_open(&list, "t", text, strlen(text), b);
        for (size_t k = 0; k <= a->child_count; k++) {
            ck_assert_int_eq(he_json_list_next(&list, &arena, &element), HE_OK);
            ck_assert_int_eq(element != NULL, k < a->child_count);
            if (!element)
                break;
            ck_assert_int_eq(element->kind, expected->kind);
            ck_assert_uint_eq(element->line, expected->line);
            ck_assert_uint_eq(element->column, expected->column);
            ck_assert_uint_eq(element->child_count, expected->child_count);
            ck_assert_double_eq(element->number, expected->number);
            expected = expected->next;
        }
    }
    he_arena_fini(&arena);
}
END_TEST

/* Decimals are read as strtod() reads them, bit by bit. */
START_TEST(short_numbers_are_exact)
{
    static const char *const numbers[] = { "0.1", "0.000001", "123456.789012", "99999999999999",
                                           "999999999999999", "9007199254740993", "0.30000000000000004",
                                           "1e22", "1E-5", "4503599627370497.5", "-0.0", "1.7976931348623157e308" };

    for (size_t k = 0; k < HE_COUNT(numbers); k++) {
        struct he_arena arena;
        struct he_json *tree;

        he_arena_init(&arena, NULL);
        ck_assert_int_eq(he_json_parse("t", numbers[k], strlen(numbers[k]), &arena, &tree), HE_OK);
        ck_assert_msg(tree->number == strtod(numbers[k], NULL), "%s is read as %.17g", numbers[k],
                      tree->number);
        ck_assert_int_eq(tree->is_integer, tree->number == floor(tree->number) &&
                                               fabs(tree->number) < 9.1e15);
        he_arena_fini(&arena);
    }
}
END_TEST

START_TEST(any_prefix_of_a_document_is_refused)
{
    static const char text[] = "{\"a\": [1, -2.5e3, \"\\u20ac\\n\"], \"b\": {\"c\": null, \"d\": true}}";
    struct he_json *tree;

    for (size_t size = 0; size < sizeof text; size++) {
        char *exact = malloc(size + 1); /* a sanitizer sees any byte read too far */
        struct he_arena arena;
        he_status status;

        ck_assert_ptr_nonnull(exact);
        exact = realloc(exact, size ? size : 1);
        memcpy(exact, text, size);
        he_arena_init(&arena, NULL);
        status = he_json_parse("t", exact, size, &arena, &tree);
        ck_assert_int_eq(he_json_parse_closed("t", exact, size, &arena, &tree), status);
        ck_assert_int_eq(status, size == sizeof text - 1 ? HE_OK : HE_ERR_PARSE);
        he_arena_fini(&arena);
        free(exact);
        if (size == sizeof text - 1)
            break;
    }
}
END_TEST

START_TEST(deep_json_is_refused)
{
    size_t depth = 100000;
    char *text = malloc(depth);
    struct he_arena arena;
    struct he_json *tree;

    ck_assert_ptr_nonnull(text);
    memset(text, '[', depth);
    he_arena_init(&arena, NULL);
    ck_assert_int_eq(he_json_parse("t", text, depth, &arena, &tree), HE_ERR_PARSE);
    he_arena_fini(&arena);
    free(text);
}
END_TEST

START_TEST(a_text_that_finds_no_memory_says_so)
{
    for (size_t n = 0;; n++) {
        struct failing_alloc failing;
        struct he_json_writer json;
        struct he_text text;
        he_status status;

        failing_alloc_init(&failing, n);
        he_text_init(&text, &failing.alloc);
        he_json_begin(&json, &text, true);
        he_json_array(&json, NULL);
        for (int k = 0; k < 2000; k++)
            he_json_int(&json, NULL, k);
        he_json_array_end(&json);
        status = he_text_status(&text);
        ck_assert_ptr_nonnull(he_text_string(&text));
        he_text_fini(&text);
        ck_assert_uint_eq(failing.live, 0);
        if (status == HE_OK)
            break;
        ck_assert_int_eq(status, HE_ERR_NO_MEMORY);
    }
}
END_TEST

/* --- Words and quantities --- */

START_TEST(the_nearest_word_is_found)
{
    static const char *const words[] = { "latency_aware", "throughput", "cost", "heft", "peft" };
    static const struct {
        const char *typed, *meant;
    } cases[] = {
        { "latency_awar", "latency_aware" }, { "latnecy_aware", "latency_aware" },
        { "LATENCY_AWARE", "latency_aware" }, { "thruput", "throughput" }, { "csot", "cost" },
        { "heeft", "heft" }, { "cost", "cost" }, { "elephant", NULL }, { "zzzz", NULL },
    };

    for (size_t k = 0; k < HE_COUNT(cases); k++) {
        const char *nearest = he_nearest_word(cases[k].typed, words, HE_COUNT(words));

        ck_assert_pstr_eq(nearest, cases[k].meant);
    }
    ck_assert_ptr_null(he_nearest_word("x", words, 0));
}
END_TEST

static const struct {
    const char *text;
    enum he_unit unit;
    double value; /* NAN: refused */
} quantities[] = {
    { "24GB", HE_UNIT_BYTES, 24e9 }, { "16GiB", HE_UNIT_BYTES, 16 * 0x1p30 },
    { "4096", HE_UNIT_BYTES, 4096 }, { "1.5 MB", HE_UNIT_BYTES, 1.5e6 },
    { ".5kB", HE_UNIT_BYTES, 500 }, { "1e3B", HE_UNIT_BYTES, 1000 },
    { "12GB/s", HE_UNIT_RATE, 12e9 }, { "100Gbit/s", HE_UNIT_RATE, 12.5e9 },
    { "5us", HE_UNIT_SECONDS, 5e-6 }, { "100ns", HE_UNIT_SECONDS, 1e-7 },
    { "128TOPS", HE_UNIT_OPS, 128e12 }, { "312TFLOPS", HE_UNIT_OPS, 312e12 },
    { "75W", HE_UNIT_WATTS, 75 }, { "1.2kW", HE_UNIT_WATTS, 1200 },
    { "1.2/h", HE_UNIT_PRICE, 1.2 }, { "3", HE_UNIT_PRICE, 3 },
    { "250MHz", HE_UNIT_HERTZ, 250e6 }, { "85%", HE_UNIT_FRACTION, 0.85 },
    { "0.85", HE_UNIT_FRACTION, 0.85 }, { "7", HE_UNIT_NUMBER, 7 },
    { "", HE_UNIT_BYTES, NAN }, { "GB", HE_UNIT_BYTES, NAN }, { "-1GB", HE_UNIT_BYTES, NAN },
    { "24gb", HE_UNIT_BYTES, NAN }, { "24GB/s", HE_UNIT_BYTES, NAN },
    { "24GBx", HE_UNIT_BYTES, NAN }, { "nan", HE_UNIT_NUMBER, NAN },
    { "inf", HE_UNIT_NUMBER, NAN }, { "1e999", HE_UNIT_NUMBER, NAN },
    { "0x10", HE_UNIT_NUMBER, NAN }, { "5", HE_UNIT_SECONDS, NAN }, { "5m", HE_UNIT_SECONDS, NAN },
    { "12GB", HE_UNIT_RATE, NAN }, { "75", HE_UNIT_WATTS, NAN }, { " 7", HE_UNIT_NUMBER, NAN },
    { "1e308TB", HE_UNIT_BYTES, NAN },
};

START_TEST(quantities_have_their_units)
{
    double got = -1;
    he_status status = he_parse_quantity(quantities[_i].text, quantities[_i].unit, &got);

    if (isnan(quantities[_i].value)) {
        ck_assert_msg(status == HE_ERR_SETTING, "'%s' is taken as %g", quantities[_i].text, got);
        ck_assert_double_eq(got, -1);
        ck_assert_ptr_nonnull(strstr(he_error_message(), "expected "));
    } else {
        ck_assert_msg(status == HE_OK, "%s", he_error_message());
        ck_assert_double_eq_tol(got, quantities[_i].value, 1e-12 * quantities[_i].value);
    }
}
END_TEST

/* --- Map --- */

START_TEST(a_map_keeps_what_was_put)
{
    struct he_arena arena;
    struct he_map map;
    uint32_t got;
    char key[32];

    he_arena_init(&arena, NULL);
    he_map_init(&map, &arena);
    ck_assert(!he_map_get(&map, "", &got));
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t k = 0; k < 5000; k++) {
            char *kept = he_arena_printf(&arena, "value_%u", k);

            ck_assert_int_eq(he_map_put(&map, kept, k * 3 + round), HE_OK);
        }
    }
    ck_assert_uint_eq(map.count, 5000);
    for (uint32_t k = 0; k < 5000; k++) {
        snprintf(key, sizeof key, "value_%u", k);
        ck_assert(he_map_get(&map, key, &got));
        ck_assert_uint_eq(got, k * 3 + 1);
    }
    ck_assert(!he_map_get(&map, "value_5000", &got));
    ck_assert(!he_map_get(&map, "", &got));
    ck_assert_int_eq(he_map_put(&map, "", 9), HE_OK);
    ck_assert(he_map_get(&map, "", &got) && got == 9);
    he_arena_fini(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core");
    TCase *tcase = tcase_create("core");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, an_arena_gives_zeroed_aligned_memory_apart);
    tcase_add_test(tcase, an_arena_frees_all_when_memory_runs_out);
    tcase_add_test(tcase, strings_are_copied_and_ended);
    tcase_add_test(tcase, growing_keeps_what_was_there);
    tcase_add_test(tcase, sizes_that_overflow_are_said_so);
    tcase_add_loop_test(tcase, what_is_written_reads_back, 0, 2);
    tcase_add_loop_test(tcase, what_is_no_json_is_refused_with_its_place, 0,
                        (int)HE_COUNT(bad_documents));
    tcase_add_test(tcase, closed_lists_are_read_element_by_element);
    tcase_add_test(tcase, short_numbers_are_exact);
    tcase_add_test(tcase, any_prefix_of_a_document_is_refused);
    tcase_add_test(tcase, deep_json_is_refused);
    tcase_add_test(tcase, a_text_that_finds_no_memory_says_so);
    tcase_add_test(tcase, the_nearest_word_is_found);
    tcase_add_loop_test(tcase, quantities_have_their_units, 0, (int)HE_COUNT(quantities));
    tcase_add_test(tcase, a_map_keeps_what_was_put);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
