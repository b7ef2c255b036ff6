/* SPDX-License-Identifier: Apache-2.0 */
/* The calibration store, and what a measurement is kept under. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "cost/cost.h"
#include "support/failing_alloc.h"
#include "support/graph_builder.h"

#define ENOUGH HE_COST_MIN_SAMPLES

static char path[64];

static void make_path(void)
{
    int file;

    strcpy(path, "/tmp/costs-XXXXXX");
    file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    close(file);
    unlink(path); /* a missing file is an empty store */
}

static void remove_path(void)
{
    unlink(path);
}

static struct he_cost_store *open_store(const char *where)
{
    struct he_cost_store *store;

    ck_assert_msg(he_cost_store_open(where, &he_allocator_default, &store) == HE_OK, "%s",
                  he_error_message());
    return store;
}

static void add(struct he_cost_store *store, const char *device, uint64_t signature, int count,
                double seconds)
{
    for (int k = 0; k < count; k++)
        ck_assert_int_eq(he_cost_store_add(store, device, signature, HE_WORK_CONV, 1e-3, seconds),
                         HE_OK);
}

START_TEST(ten_samples_make_a_measurement)
{
    struct he_cost_store *store = open_store("");
    double seconds = -1, spread = -1;

    add(store, "dev", 7, ENOUGH - 1, 2e-3);
    ck_assert(!he_cost_store_get(store, "dev", 7, &seconds, &spread));
    add(store, "dev", 7, 1, 2e-3);
    ck_assert(he_cost_store_get(store, "dev", 7, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 2e-3, 1e-12);
    ck_assert_double_eq_tol(spread, 0, 1e-6);
    ck_assert(!he_cost_store_get(store, "dev", 8, &seconds, &spread));
    ck_assert(!he_cost_store_get(store, "other", 7, &seconds, &spread));
    he_cost_store_close(store);
}
END_TEST

START_TEST(mean_and_spread_are_those_of_the_samples)
{
    struct he_cost_store *store = open_store("");
    double seconds, spread, mean = 0, square = 0;

    for (int k = 0; k < 20; k++) {
        double sample = 1e-3 + 1e-5 * k;

        add(store, "dev", 1, 1, sample);
        mean += sample / 20;
    }
    for (int k = 0; k < 20; k++)
        square += (1e-3 + 1e-5 * k - mean) * (1e-3 + 1e-5 * k - mean);
    ck_assert(he_cost_store_get(store, "dev", 1, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, mean, 1e-12);
    ck_assert_double_eq_tol(spread, sqrt(square / 19) / mean, 1e-9);
    he_cost_store_close(store);
}
END_TEST

START_TEST(impossible_samples_are_refused)
{
    const double bad[] = { 0, -1, -1e-9, NAN, INFINITY, -INFINITY, 1e9 };
    struct he_cost_store *store = open_store("");
    double seconds, spread;

    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
        add(store, "dev", 1, 2 * ENOUGH, bad[k]);
    ck_assert(!he_cost_store_get(store, "dev", 1, &seconds, &spread));
    add(store, "dev", 1, ENOUGH, 1e-3);
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
        add(store, "dev", 1, 2 * ENOUGH, bad[k]);
    ck_assert(he_cost_store_get(store, "dev", 1, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 1e-3, 1e-12);
    /* What the model said must be a number too: the factor is learnt from it. */
    for (int k = 0; k < ENOUGH; k++)
        ck_assert_int_eq(he_cost_store_add(store, "odd", 2, HE_WORK_MOVE, INFINITY, 1e-3), HE_OK);
    ck_assert_double_eq(he_cost_store_factor(store, "odd", HE_WORK_MOVE), 1);
    he_cost_store_close(store);
}
END_TEST

START_TEST(an_outlier_changes_nothing)
{
    struct he_cost_store *store = open_store("");
    double seconds, spread;

    add(store, "dev", 1, ENOUGH, 1e-3);
    add(store, "dev", 1, 3, 1.0);
    ck_assert(he_cost_store_get(store, "dev", 1, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 1e-3, 1e-12);
    /* Neither does a slow first run, which pays for cold caches. */
    add(store, "dev", 2, 1, 1.0);
    add(store, "dev", 2, ENOUGH, 1e-3);
    ck_assert(he_cost_store_get(store, "dev", 2, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 1e-3, 1e-12);
    he_cost_store_close(store);
}
END_TEST

START_TEST(the_factor_is_learnt_per_device_and_class)
{
    struct he_cost_store *store = open_store("");

    ck_assert_double_eq(he_cost_store_factor(store, "dev", HE_WORK_CONV), 1);
    add(store, "dev", 1, ENOUGH, 2e-3); /* twice what the model said */
    add(store, "dev", 2, ENOUGH, 8e-3); /* eight times */
    add(store, "dev", 3, ENOUGH - 1, 1.0);
    ck_assert_double_eq_tol(he_cost_store_factor(store, "dev", HE_WORK_CONV), 4, 1e-9);
    ck_assert_double_eq(he_cost_store_factor(store, "dev", HE_WORK_MOVE), 1);
    ck_assert_double_eq(he_cost_store_factor(store, "other", HE_WORK_CONV), 1);
    he_cost_store_close(store);
}
END_TEST

START_TEST(a_saved_store_reads_back)
{
    struct he_cost_store *store = open_store(path);
    double seconds, spread;

    add(store, "cpu/Some_Chip/1", UINT64_MAX, ENOUGH, 1.25e-3);
    add(store, "cpu/Some_Chip/1", 0, 4, 3e-6);
    ck_assert_msg(he_cost_store_save(store) == HE_OK, "%s", he_error_message());
    he_cost_store_close(store);

    store = open_store(path);
    ck_assert(he_cost_store_get(store, "cpu/Some_Chip/1", UINT64_MAX, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 1.25e-3, 1e-10);
    ck_assert(!he_cost_store_get(store, "cpu/Some_Chip/1", 0, &seconds, &spread));
    add(store, "cpu/Some_Chip/1", 0, ENOUGH - 4, 3e-6); /* the four count */
    ck_assert(he_cost_store_get(store, "cpu/Some_Chip/1", 0, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 3e-6, 1e-12);
    he_cost_store_close(store);
}
END_TEST

static int warnings;

static void count_warning(void *self, enum he_log_level level, const char *line)
{
    (void)self;
    (void)line;
    warnings += level == HE_LOG_WARNING;
}

START_TEST(damaged_lines_are_skipped_with_a_warning)
{
    static const char *const damaged[] = {
        "nonsense", "1 2 3", "0000000000000001 99 20 1e-3 0 1e-3 dev",
        "0000000000000001 2 20 -1e-3 0 1e-3 dev", "0000000000000001 2 20 nan 0 1e-3 dev",
        "0000000000000001 2 20 1e-3 -4 1e-3 dev", "0000000000000001 2 20 1e-3 inf 1e-3 dev",
        "0000000000000001 2 20 1e-3 0 inf dev", "0000000000000001 2 20 1e-3 0 1e-3",
        "0000000000000001 2 20 1e9 0 1e-3 dev",
    };
    const size_t count = sizeof damaged / sizeof damaged[0];
    struct he_cost_store *store = open_store(path);
    double seconds, spread;
    struct he_text text;

    add(store, "dev", 5, ENOUGH, 1e-3);
    ck_assert_int_eq(he_cost_store_save(store), HE_OK);
    he_cost_store_close(store);
    for (size_t k = 0; k < count; k++) {
        struct he_file file;

        ck_assert_int_eq(he_file_map(path, &file), HE_OK);
        he_text_init(&text, NULL);
        he_text_append(&text, file.data, file.size);
        he_text_printf(&text, "%s\n", damaged[k]);
        he_file_unmap(&file);
        ck_assert_int_eq(he_file_write(path, text.data, text.size), HE_OK);
        he_text_fini(&text);
    }
    warnings = 0;
    he_log_set(count_warning, NULL, HE_LOG_WARNING);
    store = open_store(path);
    he_log_set(NULL, NULL, HE_LOG_WARNING);
    ck_assert_int_eq(warnings, count);
    ck_assert(he_cost_store_get(store, "dev", 5, &seconds, &spread));
    ck_assert(!he_cost_store_get(store, "dev", 1, &seconds, &spread));
    he_cost_store_close(store);
}
END_TEST

START_TEST(another_version_is_left_alone)
{
    static const char text[] = "heteroengine-costs 99\n0000000000000001 2 20 1e-3 0 1e-3 dev\n";
    struct he_cost_store *store;
    double seconds, spread;

    ck_assert_int_eq(he_file_write(path, text, sizeof text - 1), HE_OK);
    store = open_store(path);
    ck_assert(!he_cost_store_get(store, "dev", 1, &seconds, &spread));
    he_cost_store_close(store);
}
END_TEST

START_TEST(running_out_of_memory_leaks_nothing)
{
    struct he_cost_store *full = open_store(path);

    for (uint64_t k = 0; k < 40; k++)
        add(full, "dev", k, 1, 1e-3);
    ck_assert_int_eq(he_cost_store_save(full), HE_OK);
    he_cost_store_close(full);
    for (size_t n = 0;; n++) {
        struct he_cost_store *store;
        struct failing_alloc failing;
        he_status status;

        failing_alloc_init(&failing, n);
        status = he_cost_store_open(path, &failing.alloc, &store);
        for (uint64_t k = 100; status == HE_OK && k < 140; k++)
            status = he_cost_store_add(store, "dev", k, HE_WORK_CONV, 1, 1);
        if (status == HE_OK)
            status = he_cost_store_save(store);
        he_cost_store_close(store);
        ck_assert_uint_eq(failing.live, 0);
        if (status == HE_OK)
            break;
        ck_assert_int_eq(status, HE_ERR_NO_MEMORY);
    }
}
END_TEST

/* --- Signatures --- */

struct variant {
    const char *name, *op, *in, *out;
    enum he_dtype dtype;
    float alpha;
};

static uint64_t signature(const struct variant *v)
{
    struct he_graph *graph = build_graph(v->name);
    uint32_t x = build_input(graph, v->name, v->dtype, v->in);
    uint32_t y = build_value(graph, v->out, v->dtype, v->in);
    uint32_t node = build_node(graph, v->op, 1, &x, 1, &y);
    uint64_t result;

    build_float(graph, node, "alpha", v->alpha);
    build_output(graph, y);
    build_tasks(graph);
    result = he_cost_signature(graph, &graph->tasks[0]);
    build_free(graph);
    return result;
}

START_TEST(a_signature_is_of_the_work_and_not_of_names)
{
    const struct variant base = { "x", "Elu", "2,3", "y", HE_FLOAT32, 1 };
    struct variant v = base;

    v.name = "some other name";
    v.out = "z";
    ck_assert_uint_eq(signature(&base), signature(&v));
    v = base;
    v.op = "Celu";
    ck_assert_uint_ne(signature(&base), signature(&v));
    v = base;
    v.in = "3,2";
    ck_assert_uint_ne(signature(&base), signature(&v));
    v = base;
    v.in = "6";
    ck_assert_uint_ne(signature(&base), signature(&v));
    v = base;
    v.dtype = HE_FLOAT16;
    ck_assert_uint_ne(signature(&base), signature(&v));
    v = base;
    v.alpha = 0.5f;
    ck_assert_uint_ne(signature(&base), signature(&v));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cost");
    TCase *tcase = tcase_create("store");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, make_path, remove_path);
    tcase_add_test(tcase, ten_samples_make_a_measurement);
    tcase_add_test(tcase, mean_and_spread_are_those_of_the_samples);
    tcase_add_test(tcase, impossible_samples_are_refused);
    tcase_add_test(tcase, an_outlier_changes_nothing);
    tcase_add_test(tcase, the_factor_is_learnt_per_device_and_class);
    tcase_add_test(tcase, a_saved_store_reads_back);
    tcase_add_test(tcase, damaged_lines_are_skipped_with_a_warning);
    tcase_add_test(tcase, another_version_is_left_alone);
    tcase_add_test(tcase, running_out_of_memory_leaks_nothing);
    tcase_add_test(tcase, a_signature_is_of_the_work_and_not_of_names);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
