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
#include "conformance/conformance.h"
#include "support/graph_builder.h"

static const struct he_backend *backend;
static struct he_device *dev;
static const struct opencl_found *found_first;
static size_t found_count;

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
    must(opencl_fail_arm("clEnqueueReadBuffer:2:-4"));
    must(he_device_buffer_read(dev, buffer, 0, bytes, sizeof bytes));
    ck_assert_int_ne(he_device_buffer_read(dev, buffer, 0, bytes, sizeof bytes), HE_OK);
    ck_assert_ptr_nonnull(strstr(he_error_message(), "CL_MEM_OBJECT_ALLOCATION_FAILURE"));
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

/* --- A program that turns signs, on two instances --- */

#define COUNT 5000 /* floats of a value */
#define X 0
#define Y 1

struct signs {
    struct he_graph *graph;
    struct test_run run;
    uint32_t values[2];
    size_t offsets[2];
};

static he_status signs_open(struct signs *signs, struct he_device *on)
{
    uint32_t node_inputs[1];
    he_status status;

    signs->graph = build_graph("signs");
    node_inputs[0] = signs->values[X] = build_input(signs->graph, "x", HE_FLOAT32, "5000");
    signs->values[Y] = build_value(signs->graph, "y", HE_FLOAT32, "5000");
    build_node(signs->graph, "Neg", 1, node_inputs, 1, &signs->values[Y]);
    build_output(signs->graph, signs->values[Y]);
    build_tasks(signs->graph);
    status = test_run_open(&signs->run, on, signs->graph);
    for (uint32_t s = 0; s < signs->run.region.slot_count; s++)
        signs->offsets[signs->run.slots[s].value == signs->values[Y]] = signs->run.offsets[s];
    return status;
}

static void signs_close(struct signs *signs)
{
    test_run_close(&signs->run);
    build_free(signs->graph);
}

/* --- Order --- */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*state >> 33);
}

#define OPERATIONS 300
#define MARKS 8

/* What was begun before a mark, and what it has to give. */
struct begun_read {
    float *got, *expected;
    uint32_t count;
};

struct marked {
    void *mark;
    uint32_t upto; /* reads begun before it */
};

struct shadow {
    float value[2][COUNT];
};

static void check_read(struct begun_read *read)
{
    for (uint32_t k = 0; k < read->count; k++)
        ck_assert_msg(read->got[k] == read->expected[k], "element %u of %u: %g, not %g", k,
                      read->count, (double)read->got[k], (double)read->expected[k]);
    free(read->got);
    free(read->expected);
}

static float *floats(uint32_t count)
{
    float *memory = calloc(count + 1, sizeof *memory);

    ck_assert_ptr_nonnull(memory);
    return memory;
}

/* Writes, launches and reads on two instances, none of them waited for at once: what a
 * shadow computes in the order they were begun is what comes back. */
START_TEST(what_is_begun_on_a_buffer_happens_in_that_order)
{
    static struct shadow shadows[2];
    static struct begun_read reads[OPERATIONS];
    static float *writes[OPERATIONS];
    struct marked marks[MARKS];
    uint32_t read_count = 0, write_count = 0, mark_count = 0, checked = 0;
    uint64_t random = (uint64_t)_i + 1;
    struct signs signs;

    setenv("HETEROENGINE_OPENCL_STAGING", _i % 2 ? "1" : "0", 1);
    must(signs_open(&signs, dev));
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t k = 0; k < 2; k++) {
            memset(shadows[i].value[k], 0, sizeof shadows[i].value[k]);
            must(he_device_buffer_write(dev, signs.run.arenas[i], signs.offsets[k],
                                        shadows[i].value[k], sizeof shadows[i].value[k]));
        }
    for (uint32_t n = 0; n < OPERATIONS; n++) {
        uint32_t i = next_random(&random) % 2, v = next_random(&random) % 2;
        uint32_t first = next_random(&random) % COUNT;
        uint32_t count = 1 + next_random(&random) % (COUNT - first);
        size_t offset = signs.offsets[v] + first * sizeof(float);
        float *shadow = shadows[i].value[v] + first;

        switch (next_random(&random) % 5) {
        case 0:
            writes[write_count] = floats(count);
            for (uint32_t k = 0; k < count; k++)
                shadow[k] = writes[write_count][k] = (float)(n * 7 + k + 1);
            must(he_device_write_begin(dev, signs.run.arenas[i], offset, writes[write_count],
                                       count * sizeof(float)));
            write_count++;
            break;
        case 1:
            must(he_device_launch(dev, signs.run.instances[i], NULL));
            for (uint32_t k = 0; k < COUNT; k++)
                shadows[i].value[Y][k] = -shadows[i].value[X][k];
            break;
        case 2:
            reads[read_count] = (struct begun_read){ floats(count), floats(count), count };
            memcpy(reads[read_count].expected, shadow, count * sizeof(float));
            must(he_device_read_begin(dev, signs.run.arenas[i], offset, reads[read_count].got,
                                      count * sizeof(float)));
            read_count++;
            break;
        case 3:
            if (mark_count == MARKS) {
                must(he_device_mark_wait(dev, marks[0].mark));
                for (; checked < marks[0].upto; checked++)
                    check_read(&reads[checked]);
                memmove(marks, marks + 1, --mark_count * sizeof *marks);
            }
            must(he_device_mark(dev, &marks[mark_count].mark));
            marks[mark_count++].upto = read_count;
            break;
        default: { /* one that blocks among the others */
            float *got = floats(count);

            must(he_device_buffer_read(dev, signs.run.arenas[i], offset, got,
                                       count * sizeof(float)));
            ck_assert_mem_eq(got, shadow, count * sizeof(float));
            free(got);
            if (next_random(&random) % 2)
                break;
            shadow[0] = (float)n;
            must(he_device_buffer_write(dev, signs.run.arenas[i], offset, shadow, sizeof *shadow));
        }
        }
    }
    must(he_device_wait(dev)); /* stands for what no mark does */
    while (mark_count > 0)
        must(he_device_mark_wait(dev, marks[--mark_count].mark));
    for (; checked < read_count; checked++)
        check_read(&reads[checked]);
    while (write_count > 0)
        free(writes[--write_count]);
    signs_close(&signs);
}
END_TEST

/* More than the pinned blocks hold at once, from and to odd places. */
START_TEST(large_copies_arrive_whole)
{
    size_t bytes = ((size_t)19 << 20) + 12345, at = 321;
    unsigned char *from = malloc(bytes), *to = calloc(bytes, 1);
    void *buffer, *mark;

    ck_assert(from && to);
    setenv("HETEROENGINE_OPENCL_STAGING", _i & 1 ? "1" : "0", 1);
    for (size_t k = 0; k < bytes; k++)
        from[k] = (unsigned char)(k * 2654435761u >> 13);
    must(he_device_buffer_alloc(dev, bytes + at, &buffer));
    if (_i & 2) {
        must(he_device_write_begin(dev, buffer, at, from, bytes));
        must(he_device_read_begin(dev, buffer, at, to, bytes));
        must(he_device_mark(dev, &mark));
        must(he_device_mark_wait(dev, mark));
    } else {
        must(he_device_buffer_write(dev, buffer, at, from, bytes));
        must(he_device_buffer_read(dev, buffer, at, to, bytes));
    }
    ck_assert(memcmp(from, to, bytes) == 0);
    he_device_buffer_free(dev, buffer);
    free(from);
    free(to);
}
END_TEST

/* --- Two devices --- */

/* Launches that are not waited for on both, a copy between them: the sign turns twice. */
START_TEST(neighbours_of_a_platform_copy_without_the_host)
{
    size_t bytes = COUNT * sizeof(float);
    struct signs signs[2];
    struct he_device *other;
    float *x = floats(COUNT), *y = floats(COUNT);

    if (found_count < 2 || found_first[0].platform != found_first[1].platform)
        return; /* nothing to copy between */
    other = open_device(1);
    for (uint32_t k = 0; k < COUNT; k++)
        x[k] = (float)k - 0.5f;
    must(signs_open(&signs[0], dev));
    must(signs_open(&signs[1], other));
    must(he_device_write_begin(dev, signs[0].run.arenas[0], signs[0].offsets[X], x, bytes));
    must(he_device_launch(dev, signs[0].run.instances[0], NULL));
    must(he_device_launch(other, signs[1].run.instances[0], NULL));
    must(opencl_fail_arm("clEnqueueReadBuffer:1+,clEnqueueWriteBuffer:1+"));
    must(he_device_buffer_copy(other, signs[1].run.arenas[0], signs[1].offsets[X], dev,
                               signs[0].run.arenas[0], signs[0].offsets[Y], bytes));
    must(opencl_fail_arm(""));
    must(he_device_launch(other, signs[1].run.instances[0], NULL));
    must(he_device_buffer_read(other, signs[1].run.arenas[0], signs[1].offsets[Y], y, bytes));
    ck_assert_mem_eq(x, y, bytes);
    signs_close(&signs[1]);
    he_device_close(other);
    /* One that comes when the context is made has another: the way is by the host. */
    signs_close(&signs[0]);
    he_device_close(dev);
    dev = open_device(0);
    must(signs_open(&signs[0], dev));
    other = open_device(1);
    must(signs_open(&signs[1], other));
    ck_assert_int_eq(he_device_buffer_copy(other, signs[1].run.arenas[0], 0, dev,
                                           signs[0].run.arenas[0], 0, bytes),
                     HE_ERR_UNSUPPORTED);
    signs_close(&signs[1]);
    signs_close(&signs[0]);
    he_device_close(other);
    free(x);
    free(y);
}
END_TEST

/* --- Every call fails once --- */

static he_status turn_signs(struct signs *signs, const float *x, float *y)
{
    size_t bytes = COUNT * sizeof(float);
    he_status status = HE_OK, waited;
    void *marks[2] = { NULL, NULL };

    /* Two requests in flight. */
    for (uint32_t i = 0; i < 2 && status == HE_OK; i++) {
        status = he_device_write_begin(signs->run.dev, signs->run.arenas[i], signs->offsets[X],
                                       x + i * COUNT, bytes);
        if (status == HE_OK)
            status = he_device_launch(signs->run.dev, signs->run.instances[i], NULL);
        if (status == HE_OK)
            status = he_device_read_begin(signs->run.dev, signs->run.arenas[i],
                                          signs->offsets[Y], y + i * COUNT, bytes);
        if (status == HE_OK)
            status = he_device_mark(signs->run.dev, &marks[i]);
    }
    for (uint32_t i = 0; i < 2; i++) {
        waited = marks[i] ? he_device_mark_wait(signs->run.dev, marks[i]) : HE_OK;
        status = status == HE_OK ? waited : status;
    }
    /* Nothing may go on when memory is given back, whatever failed. */
    waited = he_device_wait(signs->run.dev);
    if (status == HE_OK && waited == HE_OK) {
        uint64_t task_ns;

        status = test_run_launch(&signs->run, 0, &task_ns);
    }
    return status == HE_OK ? waited : status;
}

static he_status whole_life(const float *x, float *y)
{
    struct he_device_config config = { .struct_size = sizeof config,
                                       .allocator = he_allocator_default };
    struct signs signs;
    struct he_device *opened;
    he_status status = he_device_open(backend, 0, &config, &he_allocator_default, &opened);

    if (status != HE_OK)
        return status;
    status = signs_open(&signs, opened);
    if (status == HE_OK)
        status = turn_signs(&signs, x, y);
    (void)!he_device_wait(opened);
    signs_close(&signs);
    he_device_close(opened);
    return status;
}

START_TEST(each_call_in_turn_fails_and_says_so)
{
    float *x = floats(2 * COUNT), *y = floats(2 * COUNT);
    he_status status = HE_OK;

    setenv("HETEROENGINE_OPENCL_STAGING", _i == 2 ? "1" : "0", 1);
    for (uint32_t k = 0; k < 2 * COUNT; k++)
        x[k] = (float)(k + 1);
    for (int call = 1;; call++) {
        char what[32];
        unsigned long failures;

        snprintf(what, sizeof what, "*:%d%s:%d", call, _i == 1 ? "+" : "", _i == 1 ? -2 : -5);
        memset(y, 0, 2 * COUNT * sizeof *y);
        must(opencl_fail_arm(what));
        he_error_set(HE_OK, "nothing");
        status = whole_life(x, y);
        failures = opencl_fail_count();
        must(opencl_fail_arm(""));
        if (status == HE_OK) {
            /* What is only tidying up, or has another way, may fail unnoticed; the result is right. */
            for (uint32_t k = 0; k < 2 * COUNT; k++)
                ck_assert_msg(y[k] == -x[k], "call %d: element %u is %g", call, k, (double)y[k]);
        } else {
            ck_assert_msg(strcmp(he_error_message(), "nothing") != 0, "call %d says nothing",
                          call);
        }
        if (!failures)
            break;
        ck_assert_int_lt(call, 1000);
    }
    must(status);
    free(x);
    free(y);
}
END_TEST

static Suite *runtime_suite(void)
{
    Suite *suite = suite_create("opencl runtime");
    TCase *tc = tcase_create("runtime");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, an_armed_call_fails_once_with_the_code_asked_for);
    tcase_add_test(tc, a_lasting_failure_goes_on);
    tcase_add_loop_test(tc, what_is_no_failure_is_refused, 0,
                        sizeof not_failures / sizeof not_failures[0]);
    tcase_add_loop_test(tc, what_is_begun_on_a_buffer_happens_in_that_order, 0, 10);
    tcase_add_test(tc, neighbours_of_a_platform_copy_without_the_host);
    tcase_add_loop_test(tc, large_copies_arrive_whole, 0, 4);
    tcase_add_loop_test(tc, each_call_in_turn_fails_and_says_so, 0, 3);
    suite_add_tcase(suite, tc);
    return suite;
}

int main(void)
{
    const char *reason;
    SRunner *runner;
    int failed;

    setenv("POCL_DEVICES", "pthread pthread", 0); /* PoCL's one device twice */
    found_count = opencl_find(&found_first, &reason);
    if (!found_count) {
        printf("SKIP: %s\n", reason);
        return 77;
    }
    runner = srunner_create(runtime_suite());
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
