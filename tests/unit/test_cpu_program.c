/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu backend through its table: programs from kernels, dynamic shapes, control flow. */
#include <check.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/device.h"
#include "core/size.h"
#include "support/graph_builder.h"
#include "support/region_runner.h"

/* --- The machine: one thread, and memory that can be made to run out --- */

static struct {
    long live;      /* allocations not freed */
    long countdown; /* fails when it reaches 0; negative: never */
} heap;

static void *heap_alloc(void *self, size_t size)
{
    void *memory;

    (void)self;
    if (__atomic_load_n(&heap.countdown, __ATOMIC_RELAXED) >= 0 &&
        __atomic_fetch_sub(&heap.countdown, 1, __ATOMIC_RELAXED) == 0)
        return NULL;
    memory = malloc(size);
    if (memory)
        __atomic_fetch_add(&heap.live, 1, __ATOMIC_RELAXED);
    return memory;
}

static void heap_free(void *self, void *memory)
{
    (void)self;
    if (memory)
        __atomic_fetch_sub(&heap.live, 1, __ATOMIC_RELAXED);
    free(memory);
}

static const struct he_allocator heap_allocator = { heap_alloc, heap_free, NULL };
static struct he_device *dev;

static struct he_device *open_device(uint32_t threads, const char *cores, he_status *status)
{
    struct he_device_config config = { .struct_size = sizeof config,
                                       .cores = cores,
                                       .threads = threads,
                                       .allocator = heap_allocator };
    const struct he_backend *backend = he_backend_find("cpu");
    struct he_device *out = NULL;

    ck_assert_ptr_nonnull(backend);
    *status = he_device_open(backend, 0, &config, &heap_allocator, &out);
    return out;
}

static void setup(void)
{
    he_status status;

    heap.live = 0;
    heap.countdown = -1;
    dev = open_device(1, NULL, &status);
    ck_assert_int_eq(status, HE_OK);
}

static void teardown(void)
{
    he_device_close(dev);
    ck_assert_int_eq(heap.live, 0);
}

static void fine(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s: %s", he_status_name(status), he_error_message());
}

static void expect_shape(const struct he_tensor *tensor, const char *shape)
{
    struct he_shape wanted = build_shape(shape);

    ck_assert_msg(he_shape_equal(&tensor->shape, &wanted), "rank %u, first dimension %lld, not %s",
                  tensor->shape.rank, (long long)tensor->shape.dims[0], shape);
}

static void expect_floats(const struct he_tensor *tensor, const char *shape, const float *wanted)
{
    expect_shape(tensor, shape);
    for (int64_t k = 0; k < he_shape_count(&tensor->shape); k++)
        ck_assert_float_eq_tol(((const float *)tensor->data)[k], wanted[k], 1e-6f);
}

static void expect_ints(const struct he_tensor *tensor, const char *shape, const int64_t *wanted)
{
    expect_shape(tensor, shape);
    for (int64_t k = 0; k < he_shape_count(&tensor->shape); k++)
        ck_assert_int_eq(((const int64_t *)tensor->data)[k], wanted[k]);
}

#define FLOATS(...) ((const float[]){ __VA_ARGS__ })
#define INTS(...) ((const int64_t[]){ __VA_ARGS__ })
#define VALUES(...) ((const uint32_t[]){ __VA_ARGS__ })

/* --- Static shapes --- */

/* y = relu(x) * 2 + x, all int64 so that no faster maker takes it away from the kernels. */
static struct he_graph *three_steps(uint32_t *x, uint32_t *y)
{
    struct he_graph *g = build_graph("three steps");
    uint32_t two = build_constant(g, "two", HE_INT64, "", INTS(2));
    uint32_t a = build_value(g, "a", HE_INT64, "2,2"), b = build_value(g, "b", HE_INT64, "2,2");

    *x = build_input(g, "x", HE_INT64, "2,2");
    *y = build_value(g, "y", HE_INT64, "2,2");
    build_node(g, "Abs", 1, x, 1, &a);
    build_node(g, "Mul", 2, VALUES(a, two), 1, &b);
    build_node(g, "Add", 2, VALUES(b, *x), 1, y);
    build_output(g, *y);
    build_tasks(g);
    return g;
}

START_TEST(a_chain_of_nodes_runs_in_order)
{
    uint32_t x, y;
    struct he_graph *g = three_steps(&x, &y);
    struct region_runner run;

    if (_i)
        build_fuse(g, 3); /* inner values in the workspace */
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, x, NULL, INTS(-1, 2, -3, 4)));
    fine(runner_launch(&run, 0));
    struct he_tensor out = runner_get(&run, 0, y);
    expect_ints(&out, "2,2", INTS(1, 6, 3, 12));
    runner_close(&run);
    build_free(g);
}
END_TEST

START_TEST(instances_of_one_program_do_not_touch_each_other)
{
    uint32_t x, y;
    struct he_graph *g = three_steps(&x, &y);
    struct region_runner run;

    build_fuse(g, 3);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 2));
    fine(runner_set(&run, 0, x, NULL, INTS(-1, 2, -3, 4)));
    fine(runner_set(&run, 1, x, NULL, INTS(1, 1, 1, -5)));
    fine(runner_launch(&run, 0));
    fine(runner_launch(&run, 1));
    struct he_tensor first = runner_get(&run, 0, y), second = runner_get(&run, 1, y);
    expect_ints(&first, "2,2", INTS(1, 6, 3, 12));
    expect_ints(&second, "2,2", INTS(3, 3, 3, 5));
    runner_close(&run);
    build_free(g);
}
END_TEST

struct racer {
    struct region_runner *run;
    uint32_t instance;
    he_status status;
};

static void *race(void *arg)
{
    struct racer *racer = arg;

    for (int k = 0; k < 200 && racer->status == HE_OK; k++)
        racer->status = runner_launch(racer->run, racer->instance);
    return NULL;
}

/* Two devices on the same cores, as two workers would have them. */
START_TEST(devices_run_side_by_side)
{
    uint32_t x[2], y[2];
    struct he_graph *g[2] = { three_steps(&x[0], &y[0]), three_steps(&x[1], &y[1]) };
    he_status status;
    struct he_device *other = open_device(1, NULL, &status);
    struct region_runner runs[2];
    struct racer racers[2];
    pthread_t threads[2];

    fine(status);
    for (int k = 0; k < 2; k++) {
        runner_init(&runs[k], k ? other : dev, &heap_allocator, g[k]);
        fine(runner_open(&runs[k], 1));
        fine(runner_set(&runs[k], 0, x[k], NULL, INTS(-1, 2, -3, 4)));
        racers[k] = (struct racer){ &runs[k], 0, HE_OK };
        ck_assert_int_eq(pthread_create(&threads[k], NULL, race, &racers[k]), 0);
    }
    for (int k = 0; k < 2; k++) {
        pthread_join(threads[k], NULL);
        fine(racers[k].status);
        struct he_tensor out = runner_get(&runs[k], 0, y[k]);
        expect_ints(&out, "2,2", INTS(1, 6, 3, 12));
        runner_close(&runs[k]);
        build_free(g[k]);
    }
    he_device_close(other);
}
END_TEST

/* A view costs nothing where memory is shared, and is a copy where it is not. */
START_TEST(views_are_shared_or_copied)
{
    struct he_graph *g = build_graph("views");
    uint32_t x = build_input(g, "x", HE_INT64, "2,3");
    uint32_t shape = build_constant(g, "shape", HE_INT64, "1", INTS(6));
    uint32_t flat = build_value(g, "flat", HE_INT64, "6"), y = build_value(g, "y", HE_INT64, "6");
    struct region_runner run;

    build_node(g, "Reshape", 2, VALUES(x, shape), 1, &flat);
    build_node(g, "Neg", 1, &flat, 1, &y);
    build_output(g, y);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    if (_i)
        run.slots[runner_slot(&run, flat)].alias = runner_slot(&run, x);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, x, NULL, INTS(1, 2, 3, 4, 5, 6)));
    fine(runner_launch(&run, 0));
    struct he_tensor out = runner_get(&run, 0, y);
    expect_ints(&out, "6", INTS(-1, -2, -3, -4, -5, -6));
    if (_i) { /* moving the input moves its view */
        int64_t elsewhere[6] = { 9, 8, 7, 6, 5, 4 };
        struct he_binding binding = { .buffer = elsewhere };

        fine(he_device_instance_set(dev, run.instances[0], runner_slot(&run, x), &binding));
        fine(runner_launch(&run, 0));
        expect_ints(&out, "6", INTS(-9, -8, -7, -6, -5, -4));
        /* and copies nothing to where it was */
        struct he_tensor old = runner_get(&run, 0, x);
        expect_ints(&old, "2,3", INTS(1, 2, 3, 4, 5, 6));
    }
    runner_close(&run);
    build_free(g);
}
END_TEST

/* NCHW values 0..11 of [1,3,2,2] and the same in NHWC. */
static const int64_t nchw[12] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
static const int64_t nhwc[12] = { 0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11 };

static const struct {
    const char *what, *op;
    bool in, out; /* channels-last */
} layout_cases[] = {
    { "elementwise, both channels-last", "Neg", true, true },
    { "elementwise, leaving channels-last", "Neg", true, false },
    { "elementwise, entering channels-last", "Neg", false, true },
    { "with a per-channel constant", "Sub", true, true },
    { "with a per-pixel constant", "Mul", true, true },
    { "a view that leaves channels-last", "Identity", true, false },
    { "a view that enters channels-last", "Identity", false, true },
    { "a view within channels-last", "Identity", true, true },
    { "a movement from channels-last", "Slice", true, false },
    { "a movement into channels-last", "Slice", false, true },
};

START_TEST(layouts_do_not_change_the_result)
{
    const char *op = layout_cases[_i].op;
    struct he_graph *g = build_graph("layout");
    uint32_t x = build_input(g, "x", HE_INT64, "1,3,2,2"), y = build_value(g, "y", HE_INT64, "1,3,2,2");
    uint32_t channel = build_constant(g, "channel", HE_INT64, "3,1,1", INTS(0, 10, 20));
    uint32_t pixel = build_constant(g, "pixel", HE_INT64, "2,2", INTS(1, 2, 3, 4));
    uint32_t starts = build_constant(g, "starts", HE_INT64, "1", INTS(-1));
    uint32_t ends = build_constant(g, "ends", HE_INT64, "1", INTS(-100));
    uint32_t axes = build_constant(g, "axes", HE_INT64, "1", INTS(3));
    uint32_t steps = build_constant(g, "steps", HE_INT64, "1", INTS(-1));
    int64_t wanted[12], got[12];
    struct region_runner run;

    for (int k = 0; k < 12; k++) {
        wanted[k] = nchw[k];
        if (!strcmp(op, "Neg"))
            wanted[k] = -nchw[k];
        else if (!strcmp(op, "Sub"))
            wanted[k] = nchw[k] - k / 4 * 10;
        else if (!strcmp(op, "Mul"))
            wanted[k] = nchw[k] * (k % 4 + 1);
        else if (!strcmp(op, "Slice"))
            wanted[k] = nchw[k ^ 1];
    }
    if (!strcmp(op, "Sub"))
        build_node(g, op, 2, VALUES(x, channel), 1, &y);
    else if (!strcmp(op, "Mul"))
        build_node(g, op, 2, VALUES(x, pixel), 1, &y);
    else if (!strcmp(op, "Slice"))
        build_node(g, op, 5, VALUES(x, starts, ends, axes, steps), 1, &y);
    else
        build_node(g, op, 1, &x, 1, &y);
    build_output(g, y);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    if (layout_cases[_i].in)
        run.slots[runner_slot(&run, x)].layout = HE_LAYOUT_CHANNELS_LAST;
    if (layout_cases[_i].out)
        run.slots[runner_slot(&run, y)].layout = HE_LAYOUT_CHANNELS_LAST;
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, x, NULL, layout_cases[_i].in ? nhwc : nchw));
    fine(runner_launch(&run, 0));
    struct he_tensor out = runner_get(&run, 0, y);
    for (int k = 0; k < 12; k++)
        got[layout_cases[_i].out ? nhwc[k] : k] = ((const int64_t *)out.data)[k];
    for (int k = 0; k < 12; k++)
        ck_assert_msg(got[k] == wanted[k], "%s: element %d is %lld, not %lld",
                      layout_cases[_i].what, k, (long long)got[k], (long long)wanted[k]);
    runner_close(&run);
    build_free(g);
}
END_TEST

START_TEST(constants_need_no_alignment)
{
    struct he_graph *g = build_graph("unaligned");
    uint32_t x = build_input(g, "x", HE_INT64, "2"), y = build_value(g, "y", HE_INT64, "2");
    uint32_t c = build_constant(g, "c", HE_INT64, "2", INTS(10, 20));
    const void *aligned = g->values[c].data;
    char bytes[17];
    struct region_runner run;

    memcpy(bytes + 1, aligned, 16);
    g->values[c].data = bytes + 1;
    build_node(g, "Add", 2, VALUES(x, c), 1, &y);
    build_output(g, y);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    ck_assert_uint_eq(run.info.constant_bytes, 16);
    fine(runner_set(&run, 0, x, NULL, INTS(1, 2)));
    fine(runner_launch(&run, 0));
    struct he_tensor out = runner_get(&run, 0, y);
    expect_ints(&out, "2", INTS(11, 22));
    runner_close(&run);
    g->values[c].data = aligned;
    build_free(g);
}
END_TEST

START_TEST(every_task_gets_its_time)
{
    uint32_t x, y;
    struct he_graph *g = three_steps(&x, &y);
    uint64_t ns[3] = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
    struct he_launch launch = { .struct_size = sizeof launch, .task_ns = ns };
    struct region_runner run;

    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, x, NULL, INTS(1, 2, 3, 4)));
    fine(he_device_launch(dev, run.instances[0], &launch));
    for (int k = 0; k < 3; k++)
        ck_assert_uint_lt(ns[k], 1000000000u);
    runner_close(&run);
    build_free(g);
}
END_TEST

START_TEST(a_team_splits_a_large_loop_and_gives_the_same)
{
    enum { COUNT = 1 << 20 };
    struct he_graph *g = build_graph("large");
    uint32_t x = build_input(g, "x", HE_FLOAT32, "1048576");
    uint32_t y = build_value(g, "y", HE_FLOAT32, "1048576");
    float *data = malloc(COUNT * sizeof *data);
    he_status status;
    struct he_device *team = open_device(2, NULL, &status);
    struct region_runner run;

    fine(status);
    ck_assert_ptr_nonnull(data);
    for (int k = 0; k < COUNT; k++)
        data[k] = (float)k;
    build_node(g, "Add", 2, VALUES(x, x), 1, &y);
    build_output(g, y);
    build_tasks(g);
    g->tasks[0].work.read_bytes = 8.0 * COUNT; /* small programs use one thread */
    runner_init(&run, team, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, x, NULL, data));
    fine(runner_launch(&run, 0));
    struct he_tensor out = runner_get(&run, 0, y);
    for (int k = 0; k < COUNT; k++)
        ck_assert(((const float *)out.data)[k] == 2.0f * (float)k);
    runner_close(&run);
    he_device_close(team);
    build_free(g);
    free(data);
}
END_TEST

/* What is resident before any model stays small. */
START_TEST(no_library_is_loaded_before_the_first_program)
{
    void *early = dlopen("libgomp.so.1", RTLD_NOW | RTLD_NOLOAD);
    uint32_t x, y;
    struct he_graph *g = three_steps(&x, &y);
    struct region_runner run;
    struct he_device_info info;
    size_t count;

    if (early) { /* tests that share this process were faster */
        build_free(g);
        return;
    }
    fine(he_backend_find("cpu")->enumerate(&info, 1, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_ge(info.cores, 1);
    ck_assert_double_gt(info.peaks.fp32, 1e9);
    fine(he_device_supports(dev, g, &g->tasks[0]));
    ck_assert_ptr_null(dlopen("libgomp.so.1", RTLD_NOW | RTLD_NOLOAD));
    ck_assert_ptr_null(dlopen("libdnnl.so.2", RTLD_NOW | RTLD_NOLOAD));
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    ck_assert_ptr_null(getenv("GOMP_SPINCOUNT")); /* nothing is left behind */
    runner_close(&run);
    build_free(g);
}
END_TEST

/* --- Dynamic shapes --- */

/* The elements of x that are not zero, doubled: NonZero -> Reshape -> Gather -> Add. */
static struct he_graph *nonzero_elements(uint32_t *x, uint32_t *y)
{
    struct he_graph *g = build_graph("nonzero elements");
    uint32_t minus_one = build_constant(g, "minus_one", HE_INT64, "1", INTS(-1));
    uint32_t where = build_value(g, "where", HE_INT64, "1,?");
    uint32_t flat = build_value(g, "flat", HE_INT64, "?");
    uint32_t picked = build_value(g, "picked", HE_FLOAT32, "?");

    *x = build_input(g, "x", HE_FLOAT32, "6");
    *y = build_value(g, "y", HE_FLOAT32, "?");
    build_node(g, "NonZero", 1, x, 1, &where);
    build_node(g, "Reshape", 2, VALUES(where, minus_one), 1, &flat);
    build_node(g, "Gather", 2, VALUES(*x, flat), 1, &picked);
    build_node(g, "Add", 2, VALUES(picked, picked), 1, y);
    build_output(g, *y);
    build_tasks(g);
    return g;
}

START_TEST(shapes_may_come_from_data)
{
    uint32_t x, y;
    struct he_graph *g = nonzero_elements(&x, &y);
    struct region_runner run;
    struct he_tensor out;
    long live;

    if (_i)
        build_fuse(g, 4);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, x, NULL, FLOATS(0, 1, 0, 2, 3, 4)));
    fine(runner_launch(&run, 0));
    out = runner_get(&run, 0, y);
    expect_floats(&out, "4", FLOATS(2, 4, 6, 8));
    /* A smaller one fits into what is there. */
    heap.countdown = 0;
    fine(runner_set(&run, 0, x, NULL, FLOATS(0, 0, 0, 5, 0, 0)));
    fine(runner_launch(&run, 0));
    heap.countdown = -1;
    out = runner_get(&run, 0, y);
    expect_floats(&out, "1", FLOATS(10));
    fine(runner_set(&run, 0, x, NULL, FLOATS(0, 0, 0, 0, 0, 0)));
    fine(runner_launch(&run, 0));
    out = runner_get(&run, 0, y);
    expect_shape(&out, "0");
    live = heap.live;
    fine(runner_set(&run, 0, x, NULL, FLOATS(1, 2, 3, 4, 5, 6)));
    fine(runner_launch(&run, 0));
    ck_assert_int_eq(heap.live, live);
    out = runner_get(&run, 0, y);
    expect_floats(&out, "6", FLOATS(2, 4, 6, 8, 10, 12));
    runner_close(&run);
    build_free(g);
}
END_TEST

START_TEST(a_dynamic_input_brings_its_shape)
{
    struct he_graph *g = build_graph("dynamic input");
    uint32_t x = build_input(g, "x", HE_INT64, "?,2"), y = build_value(g, "y", HE_INT64, "2,?");
    uint32_t shape = build_value(g, "shape", HE_INT64, "2");
    uint32_t node;
    struct region_runner run;
    struct he_tensor out;

    node = build_node(g, "Transpose", 1, &x, 1, &y);
    build_ints(g, node, "perm", 2, INTS(1, 0));
    build_node(g, "Shape", 1, &y, 1, &shape);
    build_output(g, y);
    build_output(g, shape);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, x, "3,2", INTS(1, 2, 3, 4, 5, 6)));
    fine(runner_launch(&run, 0));
    out = runner_get(&run, 0, y);
    expect_ints(&out, "2,3", INTS(1, 3, 5, 2, 4, 6));
    out = runner_get(&run, 0, shape);
    expect_ints(&out, "2", INTS(2, 3));
    runner_close(&run);
    build_free(g);
}
END_TEST

START_TEST(a_task_of_constants_alone_runs)
{
    struct he_graph *g = build_graph("constants");
    uint32_t c = build_constant(g, "c", HE_FLOAT32, "2,2", FLOATS(0, 1, 2, 0));
    uint32_t y = build_value(g, "y", HE_INT64, "2,?"), z = build_value(g, "z", HE_FLOAT32, "2,2");
    struct region_runner run;
    struct he_tensor out;

    build_node(g, "NonZero", 1, &c, 1, &y);
    build_node(g, "Neg", 1, &c, 1, &z);
    build_output(g, y);
    build_output(g, z);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_launch(&run, 0));
    out = runner_get(&run, 0, y);
    expect_ints(&out, "2,2", INTS(0, 1, 1, 0));
    out = runner_get(&run, 0, z);
    expect_floats(&out, "2,2", FLOATS(-0.0f, -1, -2, -0.0f));
    runner_close(&run);
    build_free(g);
}
END_TEST

/* --- Control flow --- */

/* A branch: captured x, @op with a constant; the result has x's shape unless it is a join. */
static struct he_graph *branch(const char *op, float constant, const char *shape)
{
    struct he_graph *g = build_graph(op);
    uint32_t x = build_capture(g, "x", HE_FLOAT32, "3");
    uint32_t c = build_constant(g, "c", HE_FLOAT32, "1", &constant);
    uint32_t inner = build_value(g, "inner", HE_FLOAT32, "3");
    uint32_t y = build_value(g, "y", HE_FLOAT32, shape);
    uint32_t node;

    build_node(g, "Neg", 1, &x, 1, &inner);
    node = build_node(g, op, 2, VALUES(inner, c), 1, &y);
    if (!strcmp(op, "Concat"))
        build_int(g, node, "axis", 0);
    build_output(g, y);
    build_tasks(g);
    return g;
}

static const struct {
    const char *what, *then_op, *then_shape, *else_op, *else_shape, *out_shape;
} if_cases[] = {
    { "branches of one shape", "Add", "3", "Mul", "3", "3" },
    { "branches of two shapes", "Concat", "4", "Mul", "3", "?" },
    { "branches of no shape known before", "Concat", "?", "Mul", "?", "?" },
};

START_TEST(if_takes_the_branch_of_its_condition)
{
    struct he_graph *g = build_graph("if");
    uint32_t condition = build_input(g, "condition", HE_BOOL, ""), x, y, z, node;
    struct region_runner run;
    struct he_tensor out;

    x = build_input(g, "x", HE_FLOAT32, "3");
    y = build_value(g, "y", HE_FLOAT32, if_cases[_i].out_shape);
    z = build_value(g, "z", HE_FLOAT32, if_cases[_i].out_shape);
    node = build_node(g, "If", 1, &condition, 1, &y);
    build_body(g, node, "then_branch", branch(if_cases[_i].then_op, 10, if_cases[_i].then_shape), 1,
               &x);
    build_body(g, node, "else_branch", branch(if_cases[_i].else_op, 2, if_cases[_i].else_shape), 1,
               &x);
    build_node(g, "Neg", 1, &y, 1, &z);
    build_output(g, z);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, x, NULL, FLOATS(1, 2, 3)));
    for (int round = 0; round < 3; round++) {
        uint8_t which = round != 1;

        fine(runner_set(&run, 0, condition, NULL, &which));
        fine(runner_launch(&run, 0));
        out = runner_get(&run, 0, z);
        if (!which)
            expect_floats(&out, "3", FLOATS(2, 4, 6));
        else if (!strcmp(if_cases[_i].then_op, "Concat"))
            expect_floats(&out, "4", FLOATS(1, 2, 3, -10));
        else
            expect_floats(&out, "3", FLOATS(-9, -8, -7));
    }
    runner_close(&run);
    build_free(g);
}
END_TEST

/* An If inside an If, whose inner branches give an outer value through, or a constant. */
START_TEST(ifs_nest_and_hand_values_through)
{
    struct he_graph *g = build_graph("outer"), *middle = build_graph("middle");
    struct he_graph *through = build_graph("through"), *fixed = build_graph("fixed");
    struct he_graph *other = build_graph("other");
    uint32_t a = build_input(g, "a", HE_BOOL, ""), b = build_input(g, "b", HE_BOOL, "");
    uint32_t x = build_input(g, "x", HE_INT64, "2"), y = build_value(g, "y", HE_INT64, "2");
    uint32_t node, middle_b, middle_x, middle_y;
    struct region_runner run;
    struct he_tensor out;

    build_output(through, build_capture(through, "x", HE_INT64, "2"));
    build_tasks(through);
    build_output(fixed, build_constant(fixed, "c", HE_INT64, "2", INTS(7, 8)));
    build_tasks(fixed);
    build_output(other, build_constant(other, "d", HE_INT64, "2", INTS(-1, -2)));
    build_tasks(other);
    middle_b = build_capture(middle, "b", HE_BOOL, "");
    middle_x = build_capture(middle, "x", HE_INT64, "2");
    middle_y = build_value(middle, "y", HE_INT64, "2");
    node = build_node(middle, "If", 1, &middle_b, 1, &middle_y);
    build_body(middle, node, "then_branch", through, 1, &middle_x);
    build_body(middle, node, "else_branch", fixed, 0, NULL);
    build_output(middle, middle_y);
    build_tasks(middle);
    node = build_node(g, "If", 1, &a, 1, &y);
    build_body(g, node, "then_branch", middle, 2, VALUES(b, x));
    build_body(g, node, "else_branch", other, 0, NULL);
    build_output(g, y);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, x, NULL, INTS(3, 4)));
    for (int k = 0; k < 4; k++) {
        uint8_t flags[2] = { (uint8_t)(k & 1), (uint8_t)(k >> 1) };

        fine(runner_set(&run, 0, a, NULL, &flags[0]));
        fine(runner_set(&run, 0, b, NULL, &flags[1]));
        fine(runner_launch(&run, 0));
        out = runner_get(&run, 0, y);
        expect_ints(&out, "2", !flags[0] ? INTS(-1, -2) : flags[1] ? INTS(3, 4) : INTS(7, 8));
    }
    runner_close(&run);
    build_free(g);
}
END_TEST

/* Values of a branch that live at the same time, views among them, share no memory. */
START_TEST(values_of_a_branch_keep_apart)
{
    struct he_graph *g = build_graph("if"), *bodies[2];
    uint32_t condition = build_input(g, "condition", HE_BOOL, "");
    uint32_t x = build_input(g, "x", HE_INT64, "4"), y = build_value(g, "y", HE_INT64, "2,2"), node;
    static const uint8_t yes = 1;
    struct region_runner run;
    struct he_tensor out;

    for (int k = 0; k < 2; k++) {
        struct he_graph *b = bodies[k] = build_graph("branch");
        uint32_t in = build_capture(b, "x", HE_INT64, "4"), square, negative, flat, sum, result;
        uint32_t shape = build_constant(b, "shape", HE_INT64, "2", INTS(2, 2));

        square = build_value(b, "square", HE_INT64, "4");
        negative = build_value(b, "negative", HE_INT64, "4");
        flat = build_value(b, "view", HE_INT64, "2,2");
        sum = build_value(b, "sum", HE_INT64, "4");
        result = build_value(b, "result", HE_INT64, "2,2");
        build_node(b, "Mul", 2, VALUES(in, in), 1, &square);
        build_node(b, "Reshape", 2, VALUES(square, shape), 1, &flat);
        build_node(b, "Neg", 1, &in, 1, &negative);
        build_node(b, "Add", 2, VALUES(negative, in), 1, &sum); /* zero */
        build_node(b, "Reshape", 2, VALUES(sum, shape), 1, &result);
        sum = build_value(b, "total", HE_INT64, "2,2");
        build_node(b, "Sub", 2, VALUES(result, flat), 1, &sum);
        build_output(b, sum);
        build_tasks(b);
    }
    node = build_node(g, "If", 1, &condition, 1, &y);
    build_body(g, node, "then_branch", bodies[0], 1, &x);
    build_body(g, node, "else_branch", bodies[1], 1, &x);
    build_output(g, y);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, condition, NULL, &yes));
    fine(runner_set(&run, 0, x, NULL, INTS(1, 2, 3, -4)));
    fine(runner_launch(&run, 0));
    out = runner_get(&run, 0, y);
    expect_ints(&out, "2,2", INTS(-1, -4, -9, -16));
    runner_close(&run);
    build_free(g);
}
END_TEST

/* (a, b) -> (b, a + b), scan output a: one carried value is handed straight through. */
static struct he_graph *fibonacci_body(bool with_limit)
{
    struct he_graph *g = build_graph("fibonacci");
    uint32_t iteration = build_input(g, "i", HE_INT64, "");
    uint32_t go = build_input(g, "go", HE_BOOL, "");
    uint32_t a = build_input(g, "a", HE_INT64, "1"), b = build_input(g, "b", HE_INT64, "1");
    uint32_t sum = build_value(g, "sum", HE_INT64, "1"), copy = build_value(g, "copy", HE_INT64, "1");
    uint32_t six = build_constant(g, "six", HE_INT64, "", INTS(6));
    uint32_t less = build_value(g, "less", HE_BOOL, "");

    build_node(g, "Add", 2, VALUES(a, b), 1, &sum);
    build_node(g, "Identity", 1, &a, 1, &copy);
    build_node(g, "Less", 2, VALUES(iteration, six), 1, &less);
    build_output(g, with_limit ? less : go);
    build_output(g, b);
    build_output(g, sum);
    build_output(g, copy);
    build_tasks(g);
    return g;
}

static const struct {
    const char *what;
    int64_t trips; /* -1: omitted */
    uint8_t go;
    bool with_limit;
    const char *scan_shape, *count;
    int64_t a;
} loop_cases[] = {
    { "a planned number of rounds", 5, 1, false, "5,1", "5,1", 5 },
    { "a number known only now", 5, 1, false, "?,1", "5,1", 5 },
    { "until its condition", -1, 1, true, "?,1", "7,1", 13 },
    { "until its condition, before the count", 100, 1, true, "?,1", "7,1", 13 },
    { "not at all by count", 0, 1, false, "?,1", "0,1", 0 },
    { "not at all by condition", 5, 0, false, "?,1", "0,1", 0 },
};

START_TEST(loop_carries_and_stacks)
{
    static const int64_t fibonacci[] = { 0, 1, 1, 2, 3, 5, 8, 13 };
    struct he_graph *g = build_graph("loop");
    uint32_t trips = build_constant(g, "trips", HE_INT64, "", &loop_cases[_i].trips);
    uint32_t go = build_input(g, "go", HE_BOOL, ""), a0 = build_input(g, "a0", HE_INT64, "1");
    uint32_t one = build_constant(g, "one", HE_INT64, "1", INTS(1));
    uint32_t a = build_value(g, "a", HE_INT64, "1");
    uint32_t all = build_value(g, "all", HE_INT64, loop_cases[_i].scan_shape), node;
    struct region_runner run;
    struct he_tensor out;

    if (loop_cases[_i].trips < 0)
        trips = HE_NONE;
    node = build_node(g, "Loop", 4, VALUES(trips, go, a0, one), 3, VALUES(a, HE_NONE, all));
    build_body(g, node, "body", fibonacci_body(loop_cases[_i].with_limit), 0, NULL);
    build_output(g, a);
    build_output(g, all);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, go, NULL, &loop_cases[_i].go));
    fine(runner_set(&run, 0, a0, NULL, INTS(0)));
    for (int round = 0; round < 2; round++) {
        fine(runner_launch(&run, 0));
        out = runner_get(&run, 0, a);
        expect_ints(&out, "1", &loop_cases[_i].a);
        out = runner_get(&run, 0, all);
        expect_ints(&out, loop_cases[_i].count, fibonacci);
    }
    runner_close(&run);
    build_free(g);
}
END_TEST

/* Each round appends the captured x: the carried value grows. */
START_TEST(loop_carries_a_growing_value)
{
    struct he_graph *g = build_graph("grow"), *body = build_graph("append");
    uint32_t i = build_input(body, "i", HE_INT64, ""), go, v, x, w, node;
    uint32_t trips, start, outer_x, y;
    struct region_runner run;
    struct he_tensor out;

    (void)i;
    go = build_input(body, "go", HE_BOOL, "");
    v = build_input(body, "v", HE_FLOAT32, "?");
    x = build_capture(body, "x", HE_FLOAT32, "2");
    w = build_value(body, "w", HE_FLOAT32, "?");
    node = build_node(body, "Concat", 2, VALUES(v, x), 1, &w);
    build_int(body, node, "axis", 0);
    build_output(body, go);
    build_output(body, w);
    build_tasks(body);
    trips = build_input(g, "trips", HE_INT64, "1");
    start = build_constant(g, "start", HE_FLOAT32, "1", FLOATS(9));
    outer_x = build_input(g, "x", HE_FLOAT32, "2");
    y = build_value(g, "y", HE_FLOAT32, "?");
    node = build_node(g, "Loop", 3, VALUES(trips, HE_NONE, start), 1, &y);
    build_body(g, node, "body", body, 1, &outer_x);
    build_output(g, y);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, outer_x, NULL, FLOATS(1, 2)));
    fine(runner_set(&run, 0, trips, NULL, INTS(3)));
    fine(runner_launch(&run, 0));
    out = runner_get(&run, 0, y);
    expect_floats(&out, "7", FLOATS(9, 1, 2, 1, 2, 1, 2));
    fine(runner_set(&run, 0, trips, NULL, INTS(1)));
    fine(runner_launch(&run, 0));
    out = runner_get(&run, 0, y);
    expect_floats(&out, "3", FLOATS(9, 1, 2));
    runner_close(&run);
    build_free(g);
}
END_TEST

/* state + slice -> state, and out as the scan output. */
static struct he_graph *sum_body(void)
{
    struct he_graph *g = build_graph("running sum");
    uint32_t state = build_input(g, "state", HE_INT64, "2"), x = build_input(g, "x", HE_INT64, "2");
    uint32_t sum = build_value(g, "sum", HE_INT64, "2"), copy = build_value(g, "copy", HE_INT64, "2");

    build_node(g, "Add", 2, VALUES(state, x), 1, &sum);
    build_node(g, "Identity", 1, &sum, 1, &copy);
    build_output(g, sum);
    build_output(g, copy);
    build_tasks(g);
    return g;
}

static const struct {
    const char *what;
    int64_t in_axis, in_direction, out_axis, out_direction;
    const char *in_shape, *out_shape;
    int64_t wanted[6];
} scan_cases[] = {
    { "forward", 0, 0, 0, 0, "3,2", "3,2", { 1, 2, 4, 6, 9, 12 } },
    { "backward input", 0, 1, 0, 0, "3,2", "3,2", { 5, 6, 8, 10, 9, 12 } },
    { "backward output", 0, 0, 0, 1, "3,2", "3,2", { 9, 12, 4, 6, 1, 2 } },
    { "along the columns", 1, 0, 0, 0, "2,3", "3,2", { 1, 4, 3, 9, 6, 15 } },
    { "into columns", 0, 0, -1, 0, "3,2", "2,3", { 1, 4, 9, 2, 6, 12 } },
};

START_TEST(scan_walks_its_axes)
{
    struct he_graph *g = build_graph("scan");
    uint32_t start = build_constant(g, "start", HE_INT64, "2", INTS(0, 0));
    uint32_t x = build_input(g, "x", HE_INT64, scan_cases[_i].in_shape);
    uint32_t last = build_value(g, "last", HE_INT64, "2");
    uint32_t all = build_value(g, "all", HE_INT64, scan_cases[_i].out_shape), node;
    struct region_runner run;
    struct he_tensor out;

    node = build_node(g, "Scan", 2, VALUES(start, x), 2, VALUES(last, all));
    build_int(g, node, "num_scan_inputs", 1);
    build_ints(g, node, "scan_input_axes", 1, &scan_cases[_i].in_axis);
    build_ints(g, node, "scan_input_directions", 1, &scan_cases[_i].in_direction);
    build_ints(g, node, "scan_output_axes", 1, &scan_cases[_i].out_axis);
    build_ints(g, node, "scan_output_directions", 1, &scan_cases[_i].out_direction);
    build_body(g, node, "body", sum_body(), 0, NULL);
    build_output(g, last);
    build_output(g, all);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, x, NULL, INTS(1, 2, 3, 4, 5, 6)));
    fine(runner_launch(&run, 0));
    out = runner_get(&run, 0, all);
    expect_ints(&out, scan_cases[_i].out_shape, scan_cases[_i].wanted);
    out = runner_get(&run, 0, last);
    expect_ints(&out, "2", scan_cases[_i].in_axis ? INTS(6, 15) : INTS(9, 12));
    runner_close(&run);
    build_free(g);
}
END_TEST

START_TEST(scan_of_opset_8_has_a_batch_and_lengths)
{
    struct he_graph *g = build_graph("scan 8");
    uint32_t lengths = build_input(g, "lengths", HE_INT64, "2");
    uint32_t start = build_constant(g, "start", HE_INT64, "2,2", INTS(0, 0, 100, 100));
    uint32_t x = build_input(g, "x", HE_INT64, "2,3,2");
    uint32_t last = build_value(g, "last", HE_INT64, "2,2");
    uint32_t all = build_value(g, "all", HE_INT64, "2,3,2"), node;
    struct region_runner run;
    struct he_tensor out;

    node = build_node(g, "Scan", 3, VALUES(lengths, start, x), 2, VALUES(last, all));
    g->nodes[node].opset = 8;
    build_int(g, node, "num_scan_inputs", 1);
    build_body(g, node, "body", sum_body(), 0, NULL);
    build_output(g, last);
    build_output(g, all);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, lengths, NULL, INTS(3, 1)));
    fine(runner_set(&run, 0, x, NULL, INTS(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)));
    fine(runner_launch(&run, 0));
    out = runner_get(&run, 0, all);
    expect_ints(&out, "2,3,2", INTS(1, 2, 4, 6, 9, 12, 107, 108, 0, 0, 0, 0));
    out = runner_get(&run, 0, last);
    expect_ints(&out, "2,2", INTS(9, 12, 107, 108));
    fine(runner_set(&run, 0, lengths, NULL, INTS(3, 4)));
    ck_assert_int_eq(runner_launch(&run, 0), HE_ERR_SHAPE);
    ck_assert_msg(strstr(he_error_message(), "sequence_lens[1]") != NULL, "%s", he_error_message());
    runner_close(&run);
    build_free(g);
}
END_TEST

/* --- What goes wrong --- */

START_TEST(what_is_not_supported_is_named)
{
    struct he_graph *g = build_graph("unsupported");
    uint32_t x = build_input(g, "x", HE_STRING, "2"), y = build_value(g, "y", HE_STRING, "2");
    uint32_t z = build_value(g, "z", HE_STRING, "2");

    build_node(g, "Relu", 1, &x, 1, &y);
    build_node(g, "NoSuchOperator", 1, &x, 1, &z);
    build_output(g, y);
    build_output(g, z);
    build_tasks(g);
    ck_assert_int_eq(he_device_supports(dev, g, &g->tasks[0]), HE_ERR_UNSUPPORTED);
    ck_assert_str_eq(he_error_message(), "no kernel for Relu with string");
    ck_assert_int_eq(he_device_supports(dev, g, &g->tasks[1]), HE_ERR_UNSUPPORTED);
    ck_assert_str_eq(he_error_message(), "no kernel for NoSuchOperator (opset 17)");
    build_free(g);
}
END_TEST

START_TEST(support_looks_into_branches)
{
    struct he_graph *g = build_graph("if"), *bad = build_graph("bad");
    uint32_t condition = build_input(g, "condition", HE_BOOL, ""), y, node, x;

    x = build_input(g, "x", HE_FLOAT32, "3");
    y = build_value(bad, "y", HE_FLOAT32, "3");
    build_node(bad, "NoSuchOperator", 1, (uint32_t[]){ build_capture(bad, "x", HE_FLOAT32, "3") },
               1, &y);
    build_output(bad, y);
    build_tasks(bad);
    y = build_value(g, "y", HE_FLOAT32, "3");
    node = build_node(g, "If", 1, &condition, 1, &y);
    build_body(g, node, "then_branch", branch("Add", 1, "3"), 1, &x);
    build_body(g, node, "else_branch", bad, 1, &x);
    build_output(g, y);
    build_tasks(g);
    ck_assert_int_eq(he_device_supports(dev, g, &g->tasks[0]), HE_ERR_UNSUPPORTED);
    ck_assert_str_eq(he_error_message(), "inside If: no kernel for NoSuchOperator (opset 17)");
    build_free(g);
}
END_TEST

START_TEST(a_failing_kernel_names_its_node)
{
    struct he_graph *g = build_graph("bad index");
    uint32_t x = build_input(g, "x", HE_FLOAT32, "3"), i = build_input(g, "i", HE_INT64, "1");
    uint32_t y = build_value(g, "y", HE_FLOAT32, "1");
    struct region_runner run;

    g->nodes[build_node(g, "Gather", 2, VALUES(x, i), 1, &y)].name = "pick";
    build_output(g, y);
    build_tasks(g);
    runner_init(&run, dev, &heap_allocator, g);
    fine(runner_open(&run, 1));
    fine(runner_set(&run, 0, x, NULL, FLOATS(1, 2, 3)));
    fine(runner_set(&run, 0, i, NULL, INTS(7)));
    ck_assert_int_ne(runner_launch(&run, 0), HE_OK);
    ck_assert_msg(strncmp(he_error_message(), "Gather \"pick\": ", 15) == 0, "%s",
                  he_error_message());
    fine(runner_set(&run, 0, i, NULL, INTS(2)));
    fine(runner_launch(&run, 0));
    struct he_tensor out = runner_get(&run, 0, y);
    expect_floats(&out, "1", FLOATS(3));
    runner_close(&run);
    build_free(g);
}
END_TEST

START_TEST(cores_that_are_not_ours_are_refused)
{
    static const char *const lists[] = { "100000", "x", "0-100000", "" };
    he_status status;

    ck_assert_ptr_null(open_device(0, lists[_i], &status));
    ck_assert_int_eq(status, HE_ERR_NO_DEVICE);
    ck_assert_msg(strstr(he_error_message(), "expected a list out of ") != NULL, "%s",
                  he_error_message());
}
END_TEST

START_TEST(memory_is_capped_and_accounted)
{
    struct he_device_config config = { .struct_size = sizeof config,
                                       .memory_bytes = 1000,
                                       .allocator = heap_allocator };
    struct he_device *small;
    void *first = NULL, *second = NULL;

    fine(he_device_open(he_backend_find("cpu"), 0, &config, &heap_allocator, &small));
    fine(he_device_buffer_alloc(small, 600, &first));
    ck_assert_uint_eq((uintptr_t)first % 64, 0);
    ck_assert_int_eq(he_device_buffer_alloc(small, 401, &second), HE_ERR_NO_MEMORY);
    ck_assert_ptr_null(second);
    he_device_buffer_free(small, first);
    fine(he_device_buffer_alloc(small, 1000, &second));
    he_device_buffer_free(small, second);
    he_device_close(small);
}
END_TEST

/* Every allocation in turn fails once, in compiling, binding and running. */
static he_status run_once(struct he_graph *g, uint32_t x, const void *data, uint32_t y)
{
    struct region_runner run;
    struct he_tensor out;
    he_status status;

    runner_init(&run, dev, &heap_allocator, g);
    status = runner_open(&run, 1);
    if (status == HE_OK)
        status = runner_set(&run, 0, x, NULL, data);
    if (status == HE_OK)
        status = runner_launch(&run, 0);
    if (status == HE_OK) {
        out = runner_get(&run, 0, y);
        ck_assert_ptr_nonnull(out.data);
    }
    runner_close(&run);
    return status;
}

START_TEST(memory_may_run_out_anywhere)
{
    struct he_graph *g;
    uint32_t x, y, node;
    static const int64_t integers[] = { -1, 2, -3, 4 };
    static const uint8_t yes = 1;
    const void *data = FLOATS(0, 1, 0, 2, 3, 4);
    he_status status = HE_ERR_NO_MEMORY;
    long live = heap.live, n;

    if (_i == 0) {
        g = three_steps(&x, &y);
        data = integers;
    } else if (_i == 1) {
        g = nonzero_elements(&x, &y);
        build_fuse(g, 2);
    } else {
        uint32_t c, trips;

        g = build_graph("control");
        x = build_input(g, "go", HE_BOOL, "");
        c = build_constant(g, "c", HE_FLOAT32, "3", FLOATS(1, 2, 3));
        trips = build_constant(g, "trips", HE_INT64, "", INTS(3));
        y = build_value(g, "y", HE_FLOAT32, "?");
        node = build_node(g, "If", 1, &x, 1, &y);
        build_body(g, node, "then_branch", branch("Concat", 10, "4"), 1, &c);
        build_body(g, node, "else_branch", branch("Mul", 2, "3"), 1, &c);
        build_output(g, y);
        y = build_value(g, "all", HE_INT64, "?,1");
        c = build_constant(g, "one", HE_INT64, "1", INTS(1));
        node = build_node(g, "Loop", 4, VALUES(trips, x, c, c), 3, VALUES(HE_NONE, HE_NONE, y));
        build_body(g, node, "body", fibonacci_body(false), 0, NULL);
        build_output(g, y);
        build_tasks(g);
        data = &yes;
    }
    for (n = 0; status == HE_ERR_NO_MEMORY; n++) {
        heap.countdown = n;
        status = run_once(g, x, data, y);
        heap.countdown = -1;
        ck_assert_int_eq(heap.live, live);
        ck_assert_msg(n < 2000, "it never succeeds");
    }
    fine(status);
    ck_assert_int_gt(n, 3);
    build_free(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu program");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_chain_of_nodes_runs_in_order, 0, 2);
    tcase_add_test(tc, instances_of_one_program_do_not_touch_each_other);
    tcase_add_test(tc, devices_run_side_by_side);
    tcase_add_loop_test(tc, views_are_shared_or_copied, 0, 2);
    tcase_add_loop_test(tc, layouts_do_not_change_the_result, 0, HE_COUNT(layout_cases));
    tcase_add_test(tc, constants_need_no_alignment);
    tcase_add_test(tc, every_task_gets_its_time);
    tcase_add_test(tc, a_team_splits_a_large_loop_and_gives_the_same);
    tcase_add_test(tc, no_library_is_loaded_before_the_first_program);
    tcase_add_loop_test(tc, shapes_may_come_from_data, 0, 2);
    tcase_add_test(tc, a_dynamic_input_brings_its_shape);
    tcase_add_test(tc, a_task_of_constants_alone_runs);
    tcase_add_loop_test(tc, if_takes_the_branch_of_its_condition, 0, HE_COUNT(if_cases));
    tcase_add_test(tc, ifs_nest_and_hand_values_through);
    tcase_add_test(tc, values_of_a_branch_keep_apart);
    tcase_add_loop_test(tc, loop_carries_and_stacks, 0, HE_COUNT(loop_cases));
    tcase_add_test(tc, loop_carries_a_growing_value);
    tcase_add_loop_test(tc, scan_walks_its_axes, 0, HE_COUNT(scan_cases));
    tcase_add_test(tc, scan_of_opset_8_has_a_batch_and_lengths);
    tcase_add_test(tc, what_is_not_supported_is_named);
    tcase_add_test(tc, support_looks_into_branches);
    tcase_add_test(tc, a_failing_kernel_names_its_node);
    tcase_add_loop_test(tc, cores_that_are_not_ours_are_refused, 0, 4);
    tcase_add_test(tc, memory_is_capped_and_accounted);
    tcase_add_loop_test(tc, memory_may_run_out_anywhere, 0, 3);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
