/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime of the opencl backend below the engine: failing calls, buffers, order. Each
 * OpenCL call in turn is made to fail; what is asked of the backend then fails with a sentence or
 * gives the right bytes, and works again afterwards.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/device.h"
#include "opencl.h"
#include "support/graph_builder.h"

static const struct he_backend *backend;
static struct he_device *dev;

static void must(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s", he_error_message());
}

static struct he_device *open_device(size_t index)
{
    struct he_device_config config = { .struct_size = sizeof config,
                                       .allocator = he_allocator_default };
    struct he_device *opened;

    must(he_device_open(backend, index, &config, &he_allocator_default, &opened));
    return opened;
}

static void setup(void)
{
    backend = he_backend_find("opencl");
    dev = open_device(0);
}

static void teardown(void)
{
    must(opencl_fail_arm(""));
    he_device_close(dev);
}

/* --- The hook --- */

START_TEST(an_armed_call_fails_once_with_the_code_asked_for)
{
    char bytes[64] = { 0 };
    void *buffer;

    must(he_device_buffer_alloc(dev, sizeof bytes, &buffer));
    must(opencl_fail_arm("clEnqueueReadBuffer:2:-2"));
    must(he_device_buffer_read(dev, buffer, 0, bytes, sizeof bytes));
    ck_assert_int_ne(he_device_buffer_read(dev, buffer, 0, bytes, sizeof bytes), HE_OK);
    ck_assert_ptr_nonnull(strstr(he_error_message(), "clEnqueueReadBuffer: CL_DEVICE_NOT_AVAILABLE"));
    must(he_device_buffer_read(dev, buffer, 0, bytes, sizeof bytes));
    ck_assert_uint_eq(opencl_fail_count(), 1);
    he_device_buffer_free(dev, buffer);
}
END_TEST

START_TEST(a_lasting_failure_goes_on)
{
    void *buffer;

    must(opencl_fail_arm("clFinish:9,clCreateBuffer:1+"));
    for (int k = 0; k < 3; k++)
        ck_assert_int_ne(he_device_buffer_alloc(dev, 64, &buffer), HE_OK);
    ck_assert_uint_eq(opencl_fail_count(), 3);
    must(opencl_fail_arm(""));
    must(he_device_buffer_alloc(dev, 64, &buffer));
    he_device_buffer_free(dev, buffer);
}
END_TEST

static const char *const not_failures[] = { "clFinish", "clFinish:", "clFinish:x", "clNothing:1",
                                            "clFinish:1:0", "clFinish:1;clFlush:1", ":1" };

START_TEST(what_is_no_failure_is_refused)
{
    ck_assert_int_eq(opencl_fail_arm(not_failures[_i]), HE_ERR_INVALID);
}
END_TEST

static Suite *runtime_suite(void)
{
    Suite *suite = suite_create("opencl runtime");
    TCase *tc = tcase_create("failing");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, an_armed_call_fails_once_with_the_code_asked_for);
    tcase_add_test(tc, a_lasting_failure_goes_on);
    tcase_add_loop_test(tc, what_is_no_failure_is_refused, 0,
                        sizeof not_failures / sizeof not_failures[0]);
    suite_add_tcase(suite, tc);
    return suite;
}

int main(void)
{
    const struct opencl_found *found;
    const char *reason;
    SRunner *runner;
    int failed;

    if (!opencl_find(&found, &reason)) {
        printf("SKIP: %s\n", reason);
        return 77;
    }
    runner = srunner_create(runtime_suite());
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
