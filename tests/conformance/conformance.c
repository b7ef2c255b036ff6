/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite: the same tests on every device of every built-in backend, compared with the
 * cpu backend on one thread. See README.md.
 */
#include "conformance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

#define SEEDS 2

static unsigned passed, failed, skipped, devices_run;

/* What a device multiplies: bfloat16 keeps 8 bits of a factor, a half 11; sums are float32. */
enum precision { SINGLE, HALF, BFLOAT };

/* A device under test and what it may refuse. */
struct subject {
    struct he_device *dev;
    char *claims;
    char name[96];
    enum precision precision;
};

static bool fail(const struct subject *s, const char *what, const char *why)
{
    failed++;
    printf("FAIL %s %s: %s\n", s->name, what, why);
    return false;
}

static bool pass(void)
{
    passed++;
    return true;
}

static void *need(size_t bytes)
{
    void *memory = calloc(bytes + 1, 1);

    if (!memory)
        abort();
    return memory;
}

/* --- Comparing --- */

static bool floats_agree(const float *got, const float *want, int64_t count,
                         enum precision precision, char *why, size_t size)
{
    float top = 1;

    for (int64_t k = 0; k < count; k++)
        if (isfinite(want[k]) && fabsf(want[k]) > top)
            top = fabsf(want[k]);
    for (int64_t k = 0; k < count; k++) {
        float limit = precision == BFLOAT ? 0.03f * top
                      : precision == HALF ? 0.004f * top
                                          : 2e-5f * top + 2e-4f * fabsf(want[k]);

        if (got[k] == want[k] || (isnan(got[k]) && isnan(want[k])) ||
            fabsf(got[k] - want[k]) <= limit)
            continue;
        snprintf(why, size, "element %lld is %.9g, expected %.9g", (long long)k, (double)got[k],
                 (double)want[k]);
        return false;
    }
    return true;
}

static bool values_agree(const struct he_value *value, const void *got, const void *want,
                         enum precision precision, char *why, size_t size)
{
    int64_t count = he_shape_count(&value->shape);

    if (value->dtype == HE_FLOAT32)
        return floats_agree(got, want, count, precision, why, size);
    if (memcmp(got, want, (size_t)he_shape_bytes(&value->shape, value->dtype)) == 0)
        return true;
    snprintf(why, size, "%s contents differ", he_dtype_name(value->dtype));
    return false;
}

/* --- One case on one device --- */

static he_status put_inputs(struct test_run *run, const struct test_graph *t, uint32_t instance,
                            uint64_t seed)
{
    he_status status = HE_OK;

    for (uint32_t k = 0; k < t->input_count && status == HE_OK; k++) {
        const struct he_value *value = &t->graph->values[t->inputs[k]];
        void *data = need((size_t)he_shape_bytes(&value->shape, value->dtype));

        test_fill(t, k, seed, data);
        status = test_run_put(run, instance, t->inputs[k], data);
        free(data);
    }
    return status;
}

/* Outputs of both runs' @instance are the same; a failure is told. */
static bool same_outputs(const struct subject *s, const char *what, const struct test_graph *t,
                         struct test_run *run, struct test_run *reference, uint32_t instance)
{
    for (uint32_t k = 0; k < t->graph->output_count; k++) {
        const struct he_value *value = &t->graph->values[t->graph->outputs[k]];
        size_t bytes = (size_t)he_shape_bytes(&value->shape, value->dtype);
        void *got = need(bytes), *want = need(bytes);
        char why[200] = "", text[512];
        bool is_fine;

        is_fine = test_run_get(run, instance, t->graph->outputs[k], got) == HE_OK &&
                  test_run_get(reference, instance, t->graph->outputs[k], want) == HE_OK;
        if (!is_fine)
            snprintf(why, sizeof why, "%.190s", he_error_message());
        else
            is_fine = values_agree(value, got, want, s->precision, why, sizeof why);
        free(got);
        free(want);
        if (!is_fine) {
            snprintf(text, sizeof text, "output %u (%s): %s", k,
                     t->graph->nodes[value->producer].op, why);
            return fail(s, what, text);
        }
    }
    return true;
}

/* The output buffer of instance 0 is another one; what was bound before stays as it is. */
static bool moves_slots(const struct subject *s, const char *what, const struct test_graph *t,
                        struct test_run *run, struct test_run *reference)
{
    uint32_t value = t->graph->outputs[0];
    const struct he_value *v = &t->graph->values[value];
    size_t bytes = (size_t)he_shape_bytes(&v->shape, v->dtype), total = run->bytes;
    void *elsewhere = NULL, *old = run->arenas[0], *zeros = need(total), *got = need(bytes);
    bool is_fine;

    is_fine = he_device_buffer_alloc(run->dev, total, &elsewhere) == HE_OK &&
              test_run_put(run, 0, value, zeros) == HE_OK &&
              test_run_move(run, 0, value, elsewhere) == HE_OK &&
              test_run_launch(run, 0, NULL) == HE_OK &&
              test_run_get(run, 0, value, got) == HE_OK;
    if (!is_fine)
        fail(s, what, he_error_message());
    for (size_t k = 0; k < bytes && is_fine; k++) {
        is_fine = ((char *)got)[k] == 0;
        if (!is_fine)
            fail(s, what, "instance_set moved an output, but its old memory was written");
    }
    if (is_fine) {
        char why[200];
        void *want = need(bytes);

        /* The offset within the buffer is the same one. */
        run->arenas[0] = elsewhere;
        is_fine = test_run_get(run, 0, value, got) == HE_OK &&
                  test_run_get(reference, 0, value, want) == HE_OK &&
                  values_agree(v, got, want, s->precision, why, sizeof why);
        run->arenas[0] = old;
        free(want);
        if (!is_fine)
            fail(s, what, "instance_set moved an output, but its new memory is wrong");
    }
    if (elsewhere && test_run_move(run, 0, value, old) != HE_OK && is_fine)
        is_fine = fail(s, what, he_error_message());
    he_device_buffer_free(run->dev, elsewhere);
    free(zeros);
    free(got);
    return is_fine;
}

static bool times_tasks(const struct subject *s, const char *what, struct test_run *run)
{
    uint32_t count = run->region.task_count;
    uint64_t *times = need(count * sizeof *times);
    bool is_fine = true;

    for (uint32_t k = 0; k < count; k++)
        times[k] = UINT64_MAX;
    if (test_run_launch(run, 0, times) != HE_OK)
        is_fine = fail(s, what, he_error_message());
    for (uint32_t k = 0; k < count && is_fine; k++)
        if (he_device_has(run->dev, HE_CAP_TASK_TIMES) && times[k] == UINT64_MAX)
            is_fine = fail(s, what, "a task's time was not filled");
    free(times);
    return is_fine;
}

static void run_opened(const struct subject *s, const char *what, const struct test_graph *t,
                       struct test_run *run, struct test_run *reference)
{
    he_status status = HE_OK;

    /* Two instances with inputs of their own, launched one after the other. */
    for (uint32_t i = 0; i < RUN_INSTANCES && status == HE_OK; i++) {
        status = put_inputs(run, t, i, 11 + i);
        if (status == HE_OK)
            status = put_inputs(reference, t, i, 11 + i);
        if (status == HE_OK)
            status = test_run_launch(reference, i, NULL);
    }
    for (uint32_t i = 0; i < RUN_INSTANCES && status == HE_OK; i++)
        status = test_run_launch(run, i, NULL);
    if (status != HE_OK) {
        fail(s, what, he_error_message());
        return;
    }
    if (!test_claims_results(s->claims)) {
        for (uint32_t i = 0; i < RUN_INSTANCES; i++)
            if (!same_outputs(s, what, t, run, reference, i))
                return;
        if (!moves_slots(s, what, t, run, reference))
            return;
    }
    if (times_tasks(s, what, run))
        pass();
}

/* Every task that supports() refuses must be claimed. */
static bool refusal_is_claimed(const struct subject *s, const char *what,
                               const struct test_graph *t)
{
    for (uint32_t k = 0; k < t->graph->task_count; k++) {
        const struct he_task *task = &t->graph->tasks[k];
        const char *op = t->graph->nodes[task->anchor].op;
        char why[600];

        if (he_device_supports(s->dev, t->graph, task) == HE_OK)
            continue;
        if (!he_error_message()[0])
            return fail(s, what, "a refusal without a reason");
        if (test_claims_operator(s->claims, op))
            continue;
        snprintf(why, sizeof why, "refuses %s, which no line of its claims names: %.400s", op,
                 he_error_message());
        return fail(s, what, why);
    }
    return true;
}

static void run_case(const struct subject *s, struct he_device *reference_dev,
                     const struct test_case *test, uint64_t seed)
{
    struct test_run run, reference;
    struct test_graph t;
    char what[64];
    he_status status;

    snprintf(what, sizeof what, "%s:%llu", test->name, (unsigned long long)seed);
    test_graph_init(&t, test, seed);
    status = test_run_open(&reference, reference_dev, t.graph);
    if (status != HE_OK) {
        fail(s, what, he_error_message());
    } else {
        status = test_run_open(&run, s->dev, t.graph);
        if (status == HE_OK) {
            run_opened(s, what, &t, &run, &reference);
        } else if (status == HE_ERR_UNSUPPORTED) {
            if (refusal_is_claimed(s, what, &t))
                skipped++;
        } else {
            fail(s, what, he_error_message());
        }
        test_run_close(&run);
    }
    test_run_close(&reference);
    test_graph_fini(&t);
}

/* The same in float16. */
static void run_half_case(const struct subject *s, struct he_device *reference_dev,
                          const struct test_case *test, uint64_t seed)
{
    he_status status = test_half_case(s->dev, reference_dev, test, seed);
    char what[64];

    snprintf(what, sizeof what, "%s:%llu in float16", test->name, (unsigned long long)seed);
    if (status == HE_OK || (status != HE_ERR_UNSUPPORTED && test_claims_results(s->claims)))
        pass();
    else if (status == HE_ERR_UNSUPPORTED && test_claims_halves(s->claims))
        skipped++;
    else
        fail(s, what, he_error_message());
}

static void run_seed(const struct subject *s, struct he_device *reference_dev,
                     const struct test_case *test, uint64_t seed)
{
    run_case(s, reference_dev, test, seed);
    run_half_case(s, reference_dev, test, seed);
}

/* --- Memory --- */

static void run_memory(const struct subject *s)
{
    unsigned char out[1000], in[1000];
    void *a = NULL, *b = NULL;
    bool is_fine;

    for (size_t k = 0; k < sizeof in; k++)
        in[k] = (unsigned char)(k * 7 + 1);
    is_fine = he_device_buffer_alloc(s->dev, 4096, &a) == HE_OK &&
              he_device_buffer_alloc(s->dev, 1, &b) == HE_OK &&
              test_device_write(s->dev, a, 64, in, sizeof in) == HE_OK &&
              test_device_write(s->dev, a, 64 + 100, in, 1) == HE_OK &&
              test_device_write(s->dev, b, 0, in + 5, 1) == HE_OK &&
              test_device_read(s->dev, a, 64, out, sizeof out) == HE_OK;
    if (!is_fine) {
        fail(s, "memory", he_error_message());
    } else if (a == b) {
        fail(s, "memory", "two buffers are one");
    } else if (he_device_has(s->dev, HE_CAP_HOST_MEMORY) && (uintptr_t)a % 64) {
        fail(s, "memory", "a buffer is not aligned to 64 bytes");
    } else {
        in[100] = in[0];
        if (memcmp(in, out, sizeof in) != 0)
            fail(s, "memory", "what was written is not what is read");
        else if (test_device_read(s->dev, b, 0, out, 1) != HE_OK || out[0] != in[5])
            fail(s, "memory", "the second buffer holds something else");
        else
            pass();
    }
    he_device_buffer_free(s->dev, a);
    he_device_buffer_free(s->dev, b);
    he_device_buffer_free(s->dev, NULL);
    a = NULL;
    if (he_device_buffer_alloc(s->dev, (size_t)1 << 60, &a) == HE_ERR_NO_MEMORY && !a)
        pass();
    else
        fail(s, "memory", "2^60 bytes were not refused with HE_ERR_NO_MEMORY");
}

/* --- Devices --- */

static enum precision precision_of(const struct he_device_info *info)
{
    return info && info->peaks.fp32 == 0 && info->peaks.bf16 > 0 ? BFLOAT : SINGLE;
}

static he_status open_device(const struct he_backend *backend, size_t index,
                             enum precision precision, bool is_reference,
                             struct he_device **out)
{
    struct he_device_config config = { .struct_size = sizeof config,
                                       .threads = is_reference ? 1 : 0,
                                       .allow_bf16 = precision == BFLOAT,
                                       .allow_fp16 = precision == HALF,
                                       .allocator = he_allocator_default };

    return he_device_open(backend, index, &config, &he_allocator_default, out);
}

static void run_device(const struct he_backend *backend, size_t index,
                       const struct he_device_info *info, struct he_device *reference,
                       const char *only_case, uint64_t only_seed)
{
    struct subject s = { .precision = precision_of(info) };
    unsigned before[3] = { passed, failed, skipped };

    snprintf(s.name, sizeof s.name, "%s:%zu", backend->name, index);
    if (open_device(backend, index, s.precision, false, &s.dev) != HE_OK) {
        fail(&s, "open", he_error_message());
        return;
    }
    devices_run++;
    s.claims = test_claims_read(backend->name);
    if (he_device_enter_thread(s.dev, false) != HE_OK)
        fail(&s, "enter_thread", he_error_message());
    if (!only_case)
        run_memory(&s);
    for (size_t k = 0; k < test_case_count; k++) {
        if (only_case && strcmp(only_case, test_cases[k].name) != 0)
            continue;
        for (uint64_t seed = 1; seed <= SEEDS; seed++)
            if (!only_seed || only_seed == seed)
                run_seed(&s, reference, &test_cases[k], only_seed ? only_seed : seed);
        if (only_seed > SEEDS)
            run_seed(&s, reference, &test_cases[k], only_seed);
    }
    printf("%s (%s): %u passed, %u failed, %u skipped by its claims\n", s.name, info->name,
           passed - before[0], failed - before[1], skipped - before[2]);
    fflush(stdout);
    free(s.claims);
    he_device_close(s.dev);
}

/* What multiplies weights, again where products may be lowered to float16. */
static void run_lowered(const struct he_backend *backend, size_t index, struct he_device *reference)
{
    struct subject s = { .precision = HALF };
    unsigned before[3] = { passed, failed, skipped };

    snprintf(s.name, sizeof s.name, "%s:%zu lowered to float16", backend->name, index);
    if (open_device(backend, index, HALF, false, &s.dev) != HE_OK) {
        fail(&s, "open", he_error_message());
        return;
    }
    s.claims = test_claims_read(backend->name);
    for (size_t k = 0; k < test_case_count; k++) {
        const char *name = test_cases[k].name;

        for (uint64_t seed = 1; seed <= SEEDS; seed++)
            if (strncmp(name, "conv", 4) == 0 || strncmp(name, "gemm", 4) == 0 ||
                strncmp(name, "matmul", 6) == 0)
                run_case(&s, reference, &test_cases[k], seed);
    }
    printf("%s: %u passed, %u failed, %u skipped by its claims\n", s.name, passed - before[0],
           failed - before[1], skipped - before[2]);
    free(s.claims);
    he_device_close(s.dev);
}

static void run_backend(const struct he_backend *backend, struct he_device *reference,
                        const char *only_case, uint64_t only_seed)
{
    struct he_device_info infos[16];
    size_t count = 0;

    he_error_set(HE_OK, "%s", "");
    if (backend->enumerate(infos, 16, &count) != HE_OK || count == 0) {
        printf("SKIP %s: %s\n", backend->name,
               he_error_message()[0] ? he_error_message() : "no device here");
        skipped++;
        return;
    }
    for (size_t k = 0; k < count && k < 16; k++) {
        run_device(backend, k, &infos[k], reference, only_case, only_seed);
        if (!only_case && infos[k].kind == HE_KIND_GPU && precision_of(&infos[k]) == SINGLE)
            run_lowered(backend, k, reference);
    }
}

int main(int argc, char **argv)
{
    const char *only_backend = argc > 1 ? argv[1] : NULL, *only_case = argc > 2 ? argv[2] : NULL;
    uint64_t only_seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    const struct he_backend *cpu;
    struct he_device *reference;

    setenv("HETEROENGINE_NULL", "1", 0);
    cpu = he_backend_find("cpu");
    if (!cpu || open_device(cpu, 0, SINGLE, true, &reference) != HE_OK) {
        printf("the reference, the cpu backend, cannot be opened: %s\n", he_error_message());
        return 1;
    }
    for (size_t k = 0; k < he_backend_count(); k++)
        if (!only_backend || strcmp(only_backend, he_backend_at(k)->name) == 0)
            run_backend(he_backend_at(k), reference, only_case, only_seed);
    he_device_close(reference);
    printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    if (failed)
        return 1;
    /* The cpu device compared with itself on one thread, and nothing else, is no test. */
    if (only_backend && strcmp(only_backend, "cpu") != 0)
        return devices_run > 0 ? 0 : 77;
    return devices_run > 1 ? 0 : 77;
}
