/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that fail. A plug-in (support/faulty.c) fails in any slot, at any call; whatever
 * happens there, the outputs must be those of the processor alone, or the error must name the device and
 * the call. When all is closed nothing may be left of it.
 */
#include <check.h>
#include <dlfcn.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/burial.h"
#include "core/size.h"
#include "engine/engine.h"
#include "exec/exec.h"
#include "plan/plan.h"
#include "support/faulty.h"
#include "support/random_model.h"

#define IN_FLIGHT 3
#define OUTPUTS_MAX (RANDOM_MODEL_NODES + 1)

static struct faulty *chip;
static struct he_engine *engine;
static struct he_model *model;
static struct he_plan *plan;
static struct he_session *session;
static float *data;
static DLTensor input;
static struct he_output expected[OUTPUTS_MAX];
static uint32_t output_count;

static void must(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s", he_error_message());
}

/* --- The chip --- */

static void no_fault(void)
{
    atomic_store(&chip->slot, FAULTY_SLOT_COUNT);
    atomic_store(&chip->stays, false);
    atomic_store(&chip->has_failed, false);
    atomic_store(&chip->hangs, false);
    atomic_store(&chip->memory_bytes, 0);
    for (int k = 0; k < FAULTY_SLOT_COUNT; k++)
        atomic_store(&chip->calls[k], 0);
}

/* The @after-th call from now, from 0. */
static void ask_fault(enum faulty_slot slot, int after, he_status status, bool stays)
{
    atomic_store(&chip->has_failed, false);
    atomic_store(&chip->stays, stays);
    atomic_store(&chip->status, (int)status);
    atomic_store(&chip->after, after);
    atomic_store(&chip->slot, (int)slot);
}

static void load_chip(void)
{
    faulty_control_fn control;
    void *library, *symbol;

    must(he_backend_load(FAULTY_PATH));
    library = dlopen(FAULTY_PATH, RTLD_NOW | RTLD_NOLOAD);
    ck_assert_ptr_nonnull(library);
    symbol = dlsym(library, "faulty_control");
    ck_assert_ptr_nonnull(symbol);
    memcpy(&control, &symbol, sizeof control);
    chip = control();
    chip->inner = he_backend_find("cpu");
    chip->error_set = he_error_set;
    ck_assert_ptr_nonnull(chip->inner);
    no_fault();
    dlclose(library);
}

static void expect_nothing_left(const char *when)
{
    ck_assert_msg(chip->buffers == 0 && chip->programs == 0 && chip->instances == 0 &&
                      chip->marks == 0 && chip->devices == 0,
                  "%s: %lld buffers, %lld programs, %lld instances, %lld marks, %lld devices are "
                  "left", when, (long long)chip->buffers, (long long)chip->programs,
                  (long long)chip->instances, (long long)chip->marks, (long long)chip->devices);
}

/* --- A model on devices --- */

static struct he_engine *open_engine(const char *devices)
{
    struct he_engine_options options = { .struct_size = sizeof options, .cost_store = "",
                                         .devices = devices };
    struct he_engine *opened;

    must(he_engine_create(&options, &opened));
    return opened;
}

/* A placement by @choose (NULL: wherever the planner likes). */
static he_status place(struct random_model *choose)
{
    struct he_analyze_options options = { .struct_size = sizeof options };
    struct he_placement placement = { .policy = "random" };
    struct he_graph *graph;
    struct he_problem *problem;
    struct he_cost *costs;
    he_status status;

    if (!choose)
        return he_engine_analyze(engine, model, &options, &plan);
    status = he_engine_prepare(engine, model, &options, &graph, &problem, &costs);
    if (status != HE_OK)
        return status;
    placement.device = calloc(problem->task_count + 1, sizeof *placement.device);
    placement.order = calloc(problem->task_count + 1, sizeof *placement.order);
    ck_assert(placement.device && placement.order);
    for (uint32_t t = 0; t < problem->task_count; t++) {
        placement.order[t] = t;
        placement.device[t] = random_pick(choose, problem->device_count);
        if (!isfinite(he_problem_time(problem, t, placement.device[t])))
            placement.device[t] = 0;
    }
    status = he_plan_create_placed(graph, he_engine_machine(engine), problem, costs, &placement,
                                   HE_OBJECTIVE_LATENCY, &he_allocator_default, &plan);
    free(placement.device);
    free(placement.order);
    return status;
}

static void close_all(void)
{
    he_session_destroy(session);
    he_plan_destroy(plan);
    he_engine_destroy(engine);
    session = NULL;
    plan = NULL;
    engine = NULL;
}

static he_status open_session(uint32_t max_in_flight, enum he_on_device_loss on_loss)
{
    struct he_session_options options = { .struct_size = sizeof options,
                                          .max_in_flight = max_in_flight,
                                          .on_device_loss = on_loss };

    return he_session_create(engine, plan, &options, &session);
}

static void drop(struct he_output *outputs, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        if (outputs[k].given)
            outputs[k].given->deleter(outputs[k].given);
        outputs[k].given = NULL;
    }
}

/* The model of @seed, its input, and its outputs on one processor. */
static void make_model(uint64_t seed)
{
    struct random_model numbers = { .state = seed * 31 + 7 };
    const struct he_value *x;
    int64_t count;
    const DLTensor *inputs[] = { &input };

    model = random_model_make(seed);
    engine = open_engine("CPU:0(threads=1)");
    must(place(NULL));
    output_count = plan->graph->output_count;
    x = &plan->graph->values[plan->graph->inputs[0]];
    count = he_shape_count(&x->shape);
    data = aligned_alloc(64, ((size_t)count * sizeof *data + 63) / 64 * 64);
    ck_assert_ptr_nonnull(data);
    for (int64_t k = 0; k < count; k++)
        data[k] = random_unit(&numbers);
    input = (DLTensor){ .data = data, .device = { kDLCPU, 0 }, .ndim = 4,
                        .dtype = { kDLFloat, 32, 1 },
                        .shape = malloc(4 * sizeof *input.shape) };
    ck_assert_ptr_nonnull(input.shape);
    memcpy(input.shape, x->shape.dims, 4 * sizeof *input.shape);
    must(open_session(1, HE_ON_LOSS_DEFAULT));
    memset(expected, 0, sizeof expected);
    must(he_session_run(session, inputs, 1, expected, output_count));
    close_all();
}

static void forget_model(void)
{
    drop(expected, output_count);
    free(input.shape);
    free(data);
    random_model_free(model);
}

static void expect_right(const struct he_output *got, const char *when)
{
    for (uint32_t o = 0; o < output_count; o++) {
        const DLTensor *a = &got[o].given->dl_tensor, *b = &expected[o].given->dl_tensor;
        const float *x = a->data, *y = b->data;
        int64_t count = 1;

        for (int k = 0; k < b->ndim; k++)
            count *= b->shape[k];
        for (int64_t k = 0; k < count; k++)
            ck_assert_msg(x[k] == y[k] || (isnan(x[k]) && isnan(y[k])) ||
                              fabsf(x[k] - y[k]) <= 1e-4f + 1e-3f * fabsf(y[k]),
                          "%s: output %u, element %lld: %g, expected %g", when, o, (long long)k,
                          x[k], y[k]);
    }
}

static void run_right(const char *when)
{
    struct he_output got[OUTPUTS_MAX] = { { 0 } };
    const DLTensor *inputs[] = { &input };
    he_status status = he_session_run(session, inputs, 1, got, output_count);

    ck_assert_msg(status == HE_OK, "%s: %s", when, he_error_message());
    expect_right(got, when);
    drop(got, output_count);
}

static void run_in_flight(const char *when)
{
    struct he_output got[IN_FLIGHT][OUTPUTS_MAX] = { { { 0 } } };
    struct he_request *requests[IN_FLIGHT];
    const DLTensor *inputs[] = { &input };

    for (int r = 0; r < IN_FLIGHT; r++)
        must(he_session_submit(session, inputs, 1, got[r], output_count, NULL, NULL,
                               &requests[r]));
    for (int r = 0; r < IN_FLIGHT; r++) {
        he_status status = he_request_wait(requests[r], -1);

        ck_assert_msg(status == HE_OK, "%s: %s", when, he_error_message());
        he_request_destroy(requests[r]);
        expect_right(got[r], when);
        drop(got[r], output_count);
    }
}

static size_t count_events(enum he_event_kind kind)
{
    struct he_session_event event = { .struct_size = sizeof event };
    size_t count = 0;

    for (size_t k = 0; he_session_event(session, k, &event) == HE_OK; k++)
        count += event.kind == kind && strcmp(event.device, "FPGA:0") == 0;
    return count;
}

static struct he_session_figures figures_now(void)
{
    struct he_session_figures figures = { .struct_size = sizeof figures };

    must(he_session_figures(session, &figures));
    return figures;
}

static bool uses_chip(const struct he_plan *p)
{
    for (uint32_t k = 0; k < p->part_count; k++) {
        if (strncmp(p->machine->devices[p->parts[k].device].id, "FPGA", 4) == 0)
            return true;
    }
    return false;
}

/* --- Every slot, every call --- */

static const char beside[] = "CPU:0(threads=1),FPGA:0";

/* All of a life with the fault asked for; true when it came to pass. */
static bool live_with(enum faulty_slot slot, int after, he_status status, bool stays)
{
    struct random_model choose = { .state = 99 };
    char when[100];
    bool happened;

    snprintf(when, sizeof when, "%s, call %d, %s%s", chip->slot_names[slot], after,
             he_status_name(status), stays ? ", for good" : "");
    ask_fault(slot, after, status, stays);
    engine = open_engine(beside);
    must(place(&choose));
    must(open_session(IN_FLIGHT, HE_ON_LOSS_DEFAULT));
    run_right(when);
    run_in_flight(when);
    run_right(when);
    happened = atomic_load(&chip->has_failed);
    /* Without a mark the lane waits for the device. */
    if (happened && slot > FAULTY_SUPPORTS && slot != FAULTY_MARK)
        ck_assert_msg(count_events(HE_EVENT_RETRIED) + count_events(HE_EVENT_LOST) > 0,
                      "%s: nothing was said of it", when);
    if (happened && slot > FAULTY_SUPPORTS && (stays || status == HE_ERR_DEVICE_LOST)) {
        ck_assert_msg(!uses_chip(he_session_plan(session)), "%s: the chip is still used", when);
        ck_assert_uint_eq(figures_now().replans, 1);
        ck_assert_uint_eq(count_events(HE_EVENT_LOST), 1);
    }
    close_all();
    expect_nothing_left(when);
    no_fault();
    return happened;
}

START_TEST(a_fault_at_any_call_of_any_slot_is_survived)
{
    static const he_status statuses[] = { HE_ERR_DEVICE, HE_ERR_DEVICE_LOST };
    int faults = 0;

    /* Only in host memory are inputs and outputs bound as they are. */
    chip->is_host = _i == FAULTY_INSTANCE_SET;
    chip->overlaps = _i >= FAULTY_WRITE_BEGIN || _i == FAULTY_BIND || _i == FAULTY_LAUNCH;
    make_model(3);
    for (size_t s = 0; s < HE_COUNT(statuses); s++) {
        /* What says that it is lost is asked no more. */
        for (int stays = 0; stays < (statuses[s] == HE_ERR_DEVICE_LOST ? 1 : 2); stays++) {
            int step = 1;

            for (int n = 0; live_with((enum faulty_slot)_i, n, statuses[s], stays); n += step) {
                faults++;
                step = n < 12 ? 1 : 5;
            }
        }
    }
    ck_assert_msg(faults > 0, "the slot is never called");
    forget_model();
}
END_TEST

/* --- Random graphs, three devices, several requests in flight --- */

#define GRAPHS 40

static int first_core(void)
{
    cpu_set_t set;
    int core = 0;

    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    while (core < CPU_SETSIZE - 1 && !CPU_ISSET(core, &set))
        core++;
    return core;
}

START_TEST(a_chip_may_die_at_any_moment_under_many_requests)
{
    char line[100];
    int died = 0;

    snprintf(line, sizeof line, "CPU:0(threads=1),CPU:1(cores=%d),FPGA:0", first_core());
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        struct random_model choose = { .state = seed * 977 + 1 };
        enum faulty_slot slot = FAULTY_BIND + random_pick(&choose, 9);
        char when[50];

        snprintf(when, sizeof when, "graph %llu", (unsigned long long)seed);
        chip->overlaps = random_pick(&choose, 3) > 0;
        make_model(seed);
        engine = open_engine(line);
        must(place(&choose));
        must(open_session(IN_FLIGHT, HE_ON_LOSS_REPLAN));
        ask_fault(random_pick(&choose, 4) ? slot : FAULTY_BUFFER_READ,
                  (int)random_pick(&choose, 30),
                  random_pick(&choose, 2) ? HE_ERR_DEVICE : HE_ERR_DEVICE_LOST,
                  random_pick(&choose, 2));
        for (int round = 0; round < 3; round++)
            run_in_flight(when);
        died += atomic_load(&chip->has_failed);
        close_all();
        forget_model();
        expect_nothing_left(when);
        no_fault();
    }
    ck_assert_int_gt(died, GRAPHS / 10);
}
END_TEST

/* --- One thing at a time --- */

static void open_on(const char *devices, enum he_on_device_loss on_loss)
{
    struct random_model choose = { .state = 99 };

    make_model(3);
    engine = open_engine(devices);
    must(place(&choose));
    must(open_session(IN_FLIGHT, on_loss));
}

static void end(void)
{
    close_all();
    forget_model();
    expect_nothing_left("at the end");
}

START_TEST(one_failure_is_a_second_try_and_the_next_the_end)
{
    open_on(beside, HE_ON_LOSS_DEFAULT);
    ck_assert(uses_chip(plan));
    ask_fault(FAULTY_LAUNCH, 0, HE_ERR_DEVICE, false);
    run_right("the first");
    ck_assert_uint_eq(count_events(HE_EVENT_RETRIED), 1);
    ck_assert_uint_eq(figures_now().retries, 1);
    ck_assert_ptr_eq(he_session_plan(session), plan);
    run_right("between");
    ck_assert_uint_eq(figures_now().retries, 1);
    ask_fault(FAULTY_LAUNCH, 0, HE_ERR_DEVICE, false);
    run_right("the second");
    ck_assert_uint_eq(count_events(HE_EVENT_LOST), 1);
    ck_assert_uint_eq(figures_now().replans, 1);
    ck_assert(!uses_chip(he_session_plan(session)));
    end();
}
END_TEST

START_TEST(the_new_plan_says_why_it_is_without_the_device)
{
    char *why;

    open_on(beside, HE_ON_LOSS_DEFAULT);
    ask_fault(FAULTY_LAUNCH, 0, HE_ERR_DEVICE_LOST, true);
    run_right("lost");
    must(he_plan_explain_text(he_session_plan(session), NULL, &why));
    ck_assert_msg(strstr(why, "lost (FPGA:0: launch: a fault was asked for)") != NULL, "%s", why);
    he_string_free(why);
    end();
}
END_TEST

START_TEST(whoever_forbids_it_gets_the_error)
{
    struct he_output got[OUTPUTS_MAX] = { { 0 } };
    const DLTensor *inputs[] = { &input };

    open_on(beside, HE_ON_LOSS_FAIL);
    ask_fault(FAULTY_LAUNCH, 0, HE_ERR_DEVICE, false);
    ck_assert_int_eq(he_session_run(session, inputs, 1, got, output_count), HE_ERR_DEVICE);
    ck_assert_str_eq(he_error_message(), "FPGA:0: launch: a fault was asked for");
    for (uint32_t k = 0; k < output_count; k++)
        ck_assert_ptr_null(got[k].given);
    run_right("it was but once");
    ask_fault(FAULTY_WAIT, 0, HE_ERR_DEVICE_LOST, false);
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(he_session_run(session, inputs, 1, got, output_count),
                         HE_ERR_DEVICE_LOST);
        ck_assert_ptr_nonnull(strstr(he_error_message(), "FPGA:0: wait: a fault was asked for"));
    }
    ck_assert_uint_eq(figures_now().replans, 0);
    end();
}
END_TEST

START_TEST(without_another_device_the_error_names_the_call)
{
    struct he_output got[OUTPUTS_MAX] = { { 0 } };
    const DLTensor *inputs[] = { &input };
    struct he_request *request;

    open_on("FPGA:0", HE_ON_LOSS_DEFAULT);
    ask_fault(FAULTY_BUFFER_READ, 0, HE_ERR_DEVICE, false);
    run_right("once is tried again");
    for (int k = 0; k < 3; k++) {
        ask_fault(FAULTY_LAUNCH, 0, HE_ERR_DEVICE, true);
        ck_assert_int_eq(he_session_run(session, inputs, 1, got, output_count), HE_ERR_DEVICE);
        ck_assert_msg(strncmp(he_error_message(), "FPGA:0: launch: ", 16) == 0 &&
                          strstr(he_error_message(), "no other plan: no device is left") != NULL,
                      "%s", he_error_message());
        ck_assert_ptr_null(got[0].given);
        no_fault();
        run_right("as long as nothing else is there it is worth a try");
    }
    ck_assert_uint_eq(count_events(HE_EVENT_LOST), 0);
    ask_fault(FAULTY_LAUNCH, 0, HE_ERR_DEVICE_LOST, false);
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(he_session_run(session, inputs, 1, got, output_count),
                         HE_ERR_DEVICE_LOST);
        ck_assert_msg(strncmp(he_error_message(), "FPGA:0: launch: ", 16) == 0, "%s",
                      he_error_message());
    }
    ck_assert_int_eq(he_session_submit(session, inputs, 1, got, output_count, NULL, NULL,
                                       &request),
                     HE_ERR_DEVICE_LOST);
    ck_assert_ptr_null(request);
    end();
}
END_TEST

START_TEST(a_device_that_cannot_be_opened_is_left_out)
{
    make_model(3);
    ask_fault(FAULTY_OPEN, 0, HE_ERR_DEVICE, false);
    engine = open_engine(beside);
    must(place(NULL));
    ck_assert(!uses_chip(plan));
    must(open_session(1, HE_ON_LOSS_DEFAULT));
    run_right("without it");
    close_all();
    ask_fault(FAULTY_OPEN, 0, HE_ERR_DEVICE, false);
    engine = open_engine("FPGA:0");
    ck_assert_int_eq(place(NULL), HE_ERR_DEVICE);
    ck_assert_ptr_nonnull(strstr(he_error_message(), "FPGA:0: a fault was asked for"));
    end();
}
END_TEST

START_TEST(a_plan_with_a_device_lost_since_is_made_anew)
{
    struct random_model choose = { .state = 99 };
    struct he_plan *first;

    open_on(beside, HE_ON_LOSS_DEFAULT);
    first = plan;
    must(place(&choose));
    ask_fault(FAULTY_LAUNCH, 0, HE_ERR_DEVICE_LOST, true);
    run_right("the session that lost it");
    he_session_destroy(session);
    ck_assert(uses_chip(plan));
    must(open_session(1, HE_ON_LOSS_DEFAULT));
    ck_assert(!uses_chip(he_session_plan(session)));
    ck_assert_uint_eq(count_events(HE_EVENT_LOST), 1);
    run_right("another session");
    he_session_destroy(session);
    session = NULL;
    he_plan_destroy(plan);
    plan = first;
    end();
}
END_TEST

START_TEST(a_device_that_is_full_gets_less)
{
    static const uint64_t sizes[] = { 1, 64, 700, 2000, 5000, 20000, 100000 };

    for (size_t k = 0; k < HE_COUNT(sizes); k++) {
        char when[60];
        struct random_model choose = { .state = 99 };

        snprintf(when, sizeof when, "%llu bytes", (unsigned long long)sizes[k]);
        make_model(3);
        engine = open_engine(beside);
        must(place(&choose));
        atomic_store(&chip->memory_bytes, sizes[k]);
        must(open_session(IN_FLIGHT, HE_ON_LOSS_DEFAULT));
        run_in_flight(when);
        if (k == 0)
            ck_assert_uint_gt(count_events(HE_EVENT_FULL), 0);
        ck_assert_uint_le(count_events(HE_EVENT_FULL), 4);
        ck_assert_uint_eq(count_events(HE_EVENT_LOST), 0);
        end();
        no_fault();
    }
}
END_TEST

/* --- Callers --- */

#define CHAIN 20

struct chain {
    struct he_output got[OUTPUTS_MAX];
    struct he_request *requests[CHAIN]; /* the first is at the end */
    _Atomic int left;
    _Atomic int failed;
};

/* Each request that is done brings the next one. */
static void send_next(void *self, struct he_request *request, he_status status)
{
    struct chain *chain = self;
    const DLTensor *inputs[] = { &input };
    int left;

    (void)request;
    if (status != HE_OK)
        atomic_fetch_add(&chain->failed, 1);
    drop(chain->got, output_count);
    left = atomic_fetch_sub(&chain->left, 1) - 1;
    if (left <= 0)
        return;
    if (he_session_submit(session, inputs, 1, chain->got, output_count, send_next, chain,
                          &chain->requests[left - 1]) != HE_OK) {
        atomic_fetch_add(&chain->failed, 1);
        atomic_store(&chain->left, 0);
    }
}

START_TEST(requests_brought_by_callbacks_survive_too)
{
    const DLTensor *inputs[] = { &input };

    for (int round = 0; round < 20; round++) {
        struct chain chains[IN_FLIGHT] = { { .left = CHAIN }, { .left = CHAIN }, { .left = CHAIN } };

        chip->overlaps = round % 4 > 0;
        open_on(beside, HE_ON_LOSS_DEFAULT);
        ask_fault(round % 2 ? FAULTY_LAUNCH : FAULTY_INSTANCE_SET, round * 3,
                  round % 3 ? HE_ERR_DEVICE_LOST : HE_ERR_DEVICE, round % 5 == 0);
        for (int c = 0; c < IN_FLIGHT; c++)
            must(he_session_submit(session, inputs, 1, chains[c].got, output_count, send_next,
                                   &chains[c], &chains[c].requests[CHAIN - 1]));
        for (int c = 0; c < IN_FLIGHT; c++) {
            while (atomic_load(&chains[c].left) > 0)
                sched_yield();
            ck_assert_int_eq(atomic_load(&chains[c].failed), 0);
            for (int k = 0; k < CHAIN; k++)
                he_request_destroy(chains[c].requests[k]);
        }
        end();
        no_fault();
    }
}
END_TEST

START_TEST(outputs_over_inputs_are_not_run_twice)
{
    struct he_output got[OUTPUTS_MAX] = { { 0 } };
    const DLTensor *inputs[] = { NULL };
    DLTensor into, from;
    char *both = aligned_alloc(64, 1 << 20);

    ck_assert_ptr_nonnull(both); /* room for either */
    open_on("FPGA:0", HE_ON_LOSS_DEFAULT); /* one lane: nobody reads while another writes */
    into = expected[0].given->dl_tensor;
    from = input;
    into.data = from.data = both;
    memcpy(both, data, (size_t)(from.shape[1] * from.shape[2] * from.shape[3]) * sizeof *data);
    got[0].into = &into;
    inputs[0] = &from;
    ask_fault(FAULTY_LAUNCH, 0, HE_ERR_DEVICE, false);
    ck_assert_int_eq(he_session_run(session, inputs, 1, got, output_count), HE_ERR_DEVICE);
    ck_assert_uint_eq(figures_now().retries, 1);
    for (uint32_t k = 0; k < output_count; k++)
        ck_assert_ptr_null(got[k].given);
    run_right("the session itself is mended");
    free(both);
    end();
}
END_TEST

START_TEST(a_driver_that_hangs_is_left_behind)
{
    he_bury_patience(20000000);
    open_on(beside, HE_ON_LOSS_DEFAULT);
    atomic_store(&chip->hangs, true);
    ask_fault(FAULTY_LAUNCH, 0, HE_ERR_DEVICE_LOST, true);
    run_right("it hangs");
    close_all(); /* comes back */
    forget_model();
    ck_assert_uint_le(atomic_load(&chip->hanging), 1);
    ck_assert_int_gt(chip->devices, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device loss");
    TCase *tcase = tcase_create("faults");
    SRunner *runner = srunner_create(suite);
    int failed;

    if (access(FAULTY_PATH, R_OK) != 0) {
        printf("skipped: plug-ins are not built here (%s)\n", FAULTY_PATH);
        return 77;
    }
    tcase_set_timeout(tcase, 600);
    tcase_add_checked_fixture(tcase, load_chip, NULL);
    tcase_add_loop_test(tcase, a_fault_at_any_call_of_any_slot_is_survived, 0, FAULTY_SLOT_COUNT);
    tcase_add_test(tcase, a_chip_may_die_at_any_moment_under_many_requests);
    tcase_add_test(tcase, one_failure_is_a_second_try_and_the_next_the_end);
    tcase_add_test(tcase, the_new_plan_says_why_it_is_without_the_device);
    tcase_add_test(tcase, whoever_forbids_it_gets_the_error);
    tcase_add_test(tcase, without_another_device_the_error_names_the_call);
    tcase_add_test(tcase, a_device_that_cannot_be_opened_is_left_out);
    tcase_add_test(tcase, a_plan_with_a_device_lost_since_is_made_anew);
    tcase_add_test(tcase, a_device_that_is_full_gets_less);
    tcase_add_test(tcase, requests_brought_by_callbacks_survive_too);
    tcase_add_test(tcase, outputs_over_inputs_are_not_run_twice);
    tcase_add_test(tcase, a_driver_that_hangs_is_left_behind);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
