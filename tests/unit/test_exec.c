/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions, on the digit classifier: alone on one CPU device (requests run in the
 * caller's thread) and spread over two (lanes, waits, several requests in flight).
 */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "exec/exec.h"
#include "model/tensor_file.h"
#include "plan/plan.h"
#include "support/failing_alloc.h"

#define IMAGES 64
#define PIXELS 64
#define CLASSES 10
#define DIGITS HE_SRCDIR "/examples/digits/"

static const char one_device[] = "CPU:0(threads=1)";
static char two_devices[100];

static struct he_arena arena;
static struct he_tensor images, scores;
static struct he_model *model;
static struct he_engine *engine;
static struct he_plan *plan;
static struct he_session *session;

static void must(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s", he_error_message());
}

static void expect_error(he_status got, he_status expected, const char *words)
{
    ck_assert_int_eq(got, expected);
    ck_assert_msg(strstr(he_error_message(), words) != NULL, "'%s' does not say '%s'",
                  he_error_message(), words);
}

static int last_core(void)
{
    cpu_set_t set;
    int core = CPU_SETSIZE - 1;

    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    while (core > 0 && !CPU_ISSET(core, &set))
        core--;
    return core;
}

/* --- A session on one device, and one whose tasks alternate between two --- */

static he_status open_engine(const char *devices, const struct he_allocator *alloc,
                             struct he_engine **out)
{
    struct he_engine_options options = { .struct_size = sizeof options, .devices = devices,
                                         .cost_store = "", .allocator = alloc };

    return he_engine_create(&options, out);
}

static const struct he_input_shape batch = { "image", { .rank = 4, .dims = { IMAGES, 1, 8, 8 } } };
static const struct he_analyze_options analyze_options = {
    .struct_size = sizeof analyze_options, .shapes = &batch, .shape_count = 1,
};

static void plan_alternating(void)
{
    struct he_placement placement = { .policy = "alternating" };
    struct he_problem *problem;
    struct he_graph *graph;
    struct he_cost *costs;

    must(he_engine_prepare(engine, model, &analyze_options, &graph, &problem, &costs));
    ck_assert_uint_eq(problem->device_count, 2);
    placement.device = he_arena_alloc(&arena, problem->task_count, sizeof *placement.device);
    placement.order = he_arena_alloc(&arena, problem->task_count, sizeof *placement.order);
    ck_assert(placement.device && placement.order);
    for (uint32_t t = 0; t < problem->task_count; t++) {
        placement.order[t] = t;
        placement.device[t] = t & 1;
    }
    must(he_plan_create_placed(graph, he_engine_machine(engine), problem, costs, &placement,
                               HE_OBJECTIVE_LATENCY, &he_allocator_default, &plan));
    must(he_plan_check(plan));
}

static void open_session(const char *devices, uint32_t max_in_flight)
{
    struct he_session_options options = { .struct_size = sizeof options,
                                          .max_in_flight = max_in_flight };

    must(open_engine(devices, NULL, &engine));
    if (devices == one_device)
        must(he_engine_analyze(engine, model, &analyze_options, &plan));
    else
        plan_alternating();
    must(he_session_create(engine, plan, &options, &session));
}

static void setup(void)
{
    snprintf(two_devices, sizeof two_devices, "CPU:0(threads=1),CPU:1(cores=%d)", last_core());
    he_arena_init(&arena, NULL);
    must(he_tensor_file_read(DIGITS "input.npy", &he_allocator_default, HE_FLOAT32, NULL, &arena,
                             &images));
    must(he_tensor_file_read(DIGITS "expected.npy", &he_allocator_default, HE_FLOAT32, NULL,
                             &arena, &scores));
    must(he_model_load(DIGITS "digits.onnx", NULL, &model));
}

static void teardown(void)
{
    he_session_destroy(session);
    he_plan_destroy(plan);
    he_engine_destroy(engine);
    he_model_destroy(model);
    he_arena_fini(&arena);
    session = NULL;
    plan = NULL;
    engine = NULL;
}

static const char *devices_of(int i)
{
    return i == 0 ? one_device : two_devices;
}

/* --- Tensors --- */

static int64_t image_dims[] = { IMAGES, 1, 8, 8 }, score_dims[] = { IMAGES, CLASSES };

static DLTensor tensor_of(void *data, int32_t rank, int64_t *dims)
{
    return (DLTensor){ .data = data, .device = { kDLCPU, 0 }, .ndim = rank,
                       .dtype = { kDLFloat, 32, 1 }, .shape = dims };
}

static void *aligned(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);

    ck_assert_ptr_nonnull(memory);
    memset(memory, 0, bytes);
    return memory;
}

static float *aligned_images(void)
{
    float *data = aligned(IMAGES * PIXELS * sizeof *data);

    memcpy(data, images.data, IMAGES * PIXELS * sizeof *data);
    return data;
}

static void expect_scores(const float *got)
{
    const float *expected = scores.data;

    for (int k = 0; k < IMAGES * CLASSES; k++)
        ck_assert_msg(fabsf(got[k] - expected[k]) <= 1e-4f + 1e-3f * fabsf(expected[k]),
                      "score %d is %g, expected %g", k, got[k], expected[k]);
}

/* One run that must succeed, into memory of our own. */
static void run_well(const DLTensor *input)
{
    float *got = aligned(IMAGES * CLASSES * sizeof *got);
    DLTensor into = tensor_of(got, 2, score_dims);
    struct he_output output = { .into = &into };

    must(he_session_run(session, &input, 1, &output, 1));
    ck_assert_ptr_null(output.given);
    expect_scores(got);
    free(got);
}

/* --- Running --- */

START_TEST(a_run_gives_a_tensor_or_fills_the_callers)
{
    float *data = aligned_images();
    DLTensor input = tensor_of(data, 4, image_dims);
    const DLTensor *inputs[] = { &input };
    struct he_output output = { 0 };

    open_session(devices_of(_i), 1);
    for (int round = 0; round < 3; round++) {
        must(he_session_run(session, inputs, 1, &output, 1));
        ck_assert_ptr_nonnull(output.given);
        ck_assert_int_eq(output.given->dl_tensor.ndim, 2);
        ck_assert_int_eq(output.given->dl_tensor.shape[0], IMAGES);
        ck_assert_int_eq(output.given->dl_tensor.shape[1], CLASSES);
        expect_scores(output.given->dl_tensor.data);
        output.given->deleter(output.given);
        run_well(&input);
    }
    free(data);
}
END_TEST

/* A given tensor is the caller's: it outlives everything it was made from. */
START_TEST(a_given_tensor_outlives_the_session)
{
    float *data = aligned_images();
    DLTensor input = tensor_of(data, 4, image_dims);
    const DLTensor *inputs[] = { &input };
    struct he_output output = { 0 };

    open_session(devices_of(_i), 1);
    must(he_session_run(session, inputs, 1, &output, 1));
    he_session_destroy(session);
    session = NULL;
    he_plan_destroy(plan);
    plan = NULL;
    he_engine_destroy(engine);
    engine = NULL;
    expect_scores(output.given->dl_tensor.data);
    output.given->deleter(output.given);
    free(data);
}
END_TEST

START_TEST(dense_inputs_are_not_copied)
{
    struct he_session_figures figures = { .struct_size = sizeof figures };
    float *data = aligned_images();
    DLTensor input = tensor_of(data, 4, image_dims);

    open_session(devices_of(_i), 1);
    for (int round = 0; round < 5; round++)
        run_well(&input);
    must(he_session_figures(session, &figures));
    ck_assert_uint_eq(figures.run_count, 5);
    ck_assert_uint_eq(figures.copies, 0);
    ck_assert_uint_eq(figures.bytes_copied, 0);
    free(data);
}
END_TEST

START_TEST(strided_and_misaligned_inputs_are_taken)
{
    struct he_session_figures figures = { .struct_size = sizeof figures };
    float *wide = aligned(2 * IMAGES * PIXELS * sizeof *wide);
    char *bytes = aligned(IMAGES * PIXELS * sizeof(float) + 64);
    int64_t strides[] = { 2 * PIXELS, 2 * PIXELS, 16, 2 }, dense[] = { PIXELS, PIXELS, 8, 1 };
    DLTensor strided = tensor_of(wide, 4, image_dims), odd = tensor_of(bytes, 4, image_dims);
    const float *from = images.data;

    for (int k = 0; k < IMAGES * PIXELS; k++) {
        wide[2 * k] = from[k];
        wide[2 * k + 1] = 1e30f; /* never to be read as a pixel */
    }
    strided.strides = strides;
    memcpy(bytes + 4, from, IMAGES * PIXELS * sizeof *from);
    odd.byte_offset = 4;
    odd.strides = dense;
    open_session(devices_of(_i), 1);
    for (int round = 0; round < 3; round++) {
        run_well(&strided);
        run_well(&odd);
    }
    must(he_session_figures(session, &figures));
    /* The strided one must have been gathered each time. */
    ck_assert_uint_ge(figures.bytes_copied, 3 * IMAGES * PIXELS * sizeof *from);
    free(wide);
    free(bytes);
}
END_TEST

START_TEST(wrong_tensors_are_refused_and_the_session_lives_on)
{
    float *data = aligned_images(), *got = aligned(IMAGES * CLASSES * sizeof *got);
    int64_t few[] = { 3, 1, 8, 8 }, column[] = { CLASSES, IMAGES }, gap[] = { 2 * CLASSES, 2 };
    DLTensor input = tensor_of(data, 4, image_dims), into = tensor_of(got, 2, score_dims);
    const DLTensor *inputs[] = { &input, &input }, *none[] = { NULL };
    DLTensor bad;
    const DLTensor *bads[] = { &bad };
    struct he_output outputs[2] = { { .into = &into } };

    open_session(devices_of(_i), 1);
    bad = input;
    bad.dtype.bits = 64;
    expect_error(he_session_run(session, bads, 1, outputs, 1), HE_ERR_SHAPE, "image");
    bad = input;
    bad.dtype.code = kDLInt;
    expect_error(he_session_run(session, bads, 1, outputs, 1), HE_ERR_SHAPE, "image");
    bad = tensor_of(data, 4, few);
    expect_error(he_session_run(session, bads, 1, outputs, 1), HE_ERR_SHAPE, "image");
    bad = tensor_of(data, 3, image_dims);
    expect_error(he_session_run(session, bads, 1, outputs, 1), HE_ERR_SHAPE, "image");
    ck_assert_int_ne(he_session_run(session, inputs, 2, outputs, 1), HE_OK);
    ck_assert_int_ne(he_session_run(session, inputs, 0, outputs, 1), HE_OK);
    ck_assert_int_ne(he_session_run(session, none, 1, outputs, 1), HE_OK);
    ck_assert_int_ne(he_session_run(session, inputs, 1, outputs, 2), HE_OK);
    ck_assert_int_ne(he_session_run(session, NULL, 1, outputs, 1), HE_OK);
    ck_assert_int_ne(he_session_run(session, inputs, 1, NULL, 1), HE_OK);
    ck_assert_int_ne(he_session_run(NULL, inputs, 1, outputs, 1), HE_OK);
    bad = tensor_of(got, 2, column);
    outputs[0].into = &bad;
    expect_error(he_session_run(session, inputs, 1, outputs, 1), HE_ERR_SHAPE, "output");
    bad = tensor_of(got, 2, score_dims);
    bad.strides = gap;
    expect_error(he_session_run(session, inputs, 1, outputs, 1), HE_ERR_SHAPE, "output");
    run_well(&input);
    free(data);
    free(got);
}
END_TEST

/* --- Submitting --- */

#define THREADS 4
#define REQUESTS 16 /* of each thread */

static _Atomic int done_count;

static void count_done(void *self, struct he_request *request, he_status status)
{
    (void)self;
    if (request && status == HE_OK)
        atomic_fetch_add(&done_count, 1);
}

struct sender {
    const DLTensor *input;
    float *got;
    const char *error;
};

static void *send_many(void *self)
{
    struct sender *sender = self;
    struct he_request *requests[REQUESTS] = { NULL };
    struct he_output outputs[REQUESTS];
    DLTensor into[REQUESTS];

    for (int k = 0; k < REQUESTS; k++) {
        into[k] = tensor_of(sender->got + k * IMAGES * CLASSES, 2, score_dims);
        outputs[k] = (struct he_output){ .into = &into[k] };
        if (he_session_submit(session, &sender->input, 1, &outputs[k], 1, count_done, NULL,
                              &requests[k]) != HE_OK)
            sender->error = "submit failed";
    }
    for (int k = 0; k < REQUESTS; k++) {
        if (requests[k] && he_request_wait(requests[k], -1) != HE_OK)
            sender->error = "a request failed";
        he_request_destroy(requests[k]);
    }
    return NULL;
}

START_TEST(many_threads_submit_many_requests)
{
    float *data = aligned_images();
    DLTensor input = tensor_of(data, 4, image_dims);
    struct he_session_figures figures = { .struct_size = sizeof figures };
    struct sender senders[THREADS];
    pthread_t threads[THREADS];

    atomic_store(&done_count, 0);
    open_session(devices_of(_i), 3);
    for (int t = 0; t < THREADS; t++) {
        senders[t] = (struct sender){ .input = &input,
                                      .got = aligned(REQUESTS * IMAGES * CLASSES * sizeof(float)) };
        ck_assert_int_eq(pthread_create(&threads[t], NULL, send_many, &senders[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    for (int t = 0; t < THREADS; t++) {
        ck_assert_msg(!senders[t].error, "%s", senders[t].error);
        for (int k = 0; k < REQUESTS; k++)
            expect_scores(senders[t].got + k * IMAGES * CLASSES);
        free(senders[t].got);
    }
    ck_assert_int_eq(atomic_load(&done_count), THREADS * REQUESTS);
    must(he_session_figures(session, &figures));
    ck_assert_uint_eq(figures.run_count, THREADS * REQUESTS);
    ck_assert_uint_eq(figures.bytes_copied, 0);
    free(data);
}
END_TEST

/* Holds a worker until the test lets go, so that a request is surely in flight. */
static _Atomic int gate_is_open;

static void wait_at_gate(void *self, struct he_request *request, he_status status)
{
    (void)self;
    (void)request;
    (void)status;
    while (!atomic_load(&gate_is_open))
        sched_yield();
}

START_TEST(waiting_may_time_out)
{
    float *data = aligned_images();
    DLTensor input = tensor_of(data, 4, image_dims);
    const DLTensor *inputs[] = { &input };
    struct he_output output = { 0 };
    struct he_request *request;

    atomic_store(&gate_is_open, 0);
    open_session(devices_of(_i), 1);
    must(he_session_submit(session, inputs, 1, &output, 1, wait_at_gate, NULL, &request));
    ck_assert_int_eq(he_request_wait(request, 0), HE_ERR_CANCELLED);
    ck_assert_int_eq(he_request_wait(request, 2000000), HE_ERR_CANCELLED);
    atomic_store(&gate_is_open, 1);
    must(he_request_wait(request, -1));
    must(he_request_wait(request, 0));
    he_request_destroy(request);
    expect_scores(output.given->dl_tensor.data);
    output.given->deleter(output.given);
    free(data);
}
END_TEST

static void *open_gate_later(void *self)
{
    struct timespec pause = { 0, 20000000 };

    (void)self;
    nanosleep(&pause, NULL);
    atomic_store(&gate_is_open, 1);
    return NULL;
}

START_TEST(destroying_a_session_waits_for_what_is_in_flight)
{
    float *data = aligned_images();
    DLTensor input = tensor_of(data, 4, image_dims);
    const DLTensor *inputs[] = { &input };
    struct he_output outputs[3] = { { 0 } };
    struct he_request *requests[3];
    pthread_t opener;

    atomic_store(&gate_is_open, 0);
    open_session(devices_of(_i), 3);
    for (int k = 0; k < 3; k++)
        must(he_session_submit(session, inputs, 1, &outputs[k], 1, wait_at_gate, NULL, &requests[k]));
    ck_assert_int_eq(pthread_create(&opener, NULL, open_gate_later, NULL), 0);
    he_session_destroy(session);
    session = NULL;
    ck_assert_int_eq(atomic_load(&gate_is_open), 1);
    pthread_join(opener, NULL);
    for (int k = 0; k < 3; k++) {
        must(he_request_wait(requests[k], 0));
        he_request_destroy(requests[k]);
        expect_scores(outputs[k].given->dl_tensor.data);
        outputs[k].given->deleter(outputs[k].given);
    }
    free(data);
}
END_TEST

/* --- Memory --- */

START_TEST(the_planned_bytes_are_the_allocated_bytes)
{
    struct he_session_figures figures = { .struct_size = sizeof figures };
    struct he_plan_figures planned = { .struct_size = sizeof planned };
    size_t arenas = 0;

    open_session(devices_of(_i), 2);
    must(he_session_figures(session, &figures));
    must(he_plan_figures(plan, &planned));
    for (uint32_t m = 0; m < plan->memory_count; m++) {
        ck_assert_uint_ge(plan->memories[m].arena_bytes, plan->memories[m].lower_bound_bytes);
        arenas += plan->memories[m].arena_bytes;
    }
    ck_assert_uint_gt(arenas, 0);
    ck_assert_uint_eq(figures.arena_bytes, arenas);
    ck_assert_uint_eq(planned.arena_bytes, arenas);
    ck_assert_uint_ge(planned.arena_bytes, planned.arena_lower_bound_bytes);
}
END_TEST

static he_status from_nothing(const struct he_allocator *alloc, const DLTensor *input, float *got)
{
    DLTensor into = tensor_of(got, 2, score_dims);
    struct he_output outputs[] = { { .into = &into } };
    struct he_engine *own_engine = NULL;
    struct he_plan *own_plan = NULL;
    struct he_session *own_session = NULL;
    he_status status = open_engine(one_device, alloc, &own_engine);

    if (status == HE_OK)
        status = he_engine_analyze(own_engine, model, &analyze_options, &own_plan);
    if (status == HE_OK)
        status = he_session_create(own_engine, own_plan, NULL, &own_session);
    if (status == HE_OK)
        status = he_session_run(own_session, &input, 1, outputs, 1);
    he_session_destroy(own_session);
    he_plan_destroy(own_plan);
    he_engine_destroy(own_engine);
    return status;
}

/* The n-th allocation fails and all after it, for n up to where nothing fails: at each
 * of the first, then of every few. */
START_TEST(running_out_of_memory_is_an_error_and_leaks_nothing)
{
    float *data = aligned_images(), *got = aligned(IMAGES * CLASSES * sizeof *got);
    DLTensor input = tensor_of(data, 4, image_dims);
    size_t succeed = 0, failures = 0;

    for (;;) {
        struct failing_alloc failing;
        he_status status;

        failing_alloc_init(&failing, succeed);
        status = from_nothing(&failing.alloc, &input, got);
        ck_assert_msg(failing.live == 0, "%zu blocks leak when allocation %zu fails (%s)",
                      failing.live, succeed, he_error_message());
        if (status == HE_OK && failing.refused == 0)
            break;
        ck_assert_msg(status == HE_ERR_NO_MEMORY, "when allocation %zu fails: %s", succeed,
                      status == HE_OK ? "success" : he_error_message());
        failures++;
        succeed += succeed < 300 ? 1 : 7;
    }
    expect_scores(got);
    ck_assert_uint_gt(failures, 100);
    free(data);
    free(got);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exec");
    TCase *tcase = tcase_create("session");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 300);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_run_gives_a_tensor_or_fills_the_callers, 0, 2);
    tcase_add_loop_test(tcase, a_given_tensor_outlives_the_session, 0, 2);
    tcase_add_loop_test(tcase, dense_inputs_are_not_copied, 0, 2);
    tcase_add_loop_test(tcase, strided_and_misaligned_inputs_are_taken, 0, 2);
    tcase_add_loop_test(tcase, wrong_tensors_are_refused_and_the_session_lives_on, 0, 2);
    tcase_add_loop_test(tcase, many_threads_submit_many_requests, 0, 2);
    tcase_add_loop_test(tcase, waiting_may_time_out, 0, 2);
    tcase_add_loop_test(tcase, destroying_a_session_waits_for_what_is_in_flight, 0, 2);
    tcase_add_loop_test(tcase, the_planned_bytes_are_the_allocated_bytes, 0, 2);
    tcase_add_test(tcase, running_out_of_memory_is_an_error_and_leaks_nothing);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
