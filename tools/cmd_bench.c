/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hetero bench: runs a model again and again. One request at a time by default; with
 * --concurrency N, N requests are kept in flight from one submitting thread.
 */
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "core/clock.h"
#include "core/thread.h"
#include "engine/engine.h"
#include "hetero.h"
#include "plan/plan.h"

#define WARM_UP_RUNS 3
#define DEFAULT_SECONDS 3.0

struct bench {
    const struct tool_args *args;
    struct he_arena arena;
    struct he_engine *engine;
    struct he_model *model;
    struct he_plan *plan;
    struct he_session *session;
    const DLTensor **inputs;
    uint32_t input_count, output_count, concurrency;
    double load_ms;
    double *samples_ms;
    size_t sample_count, sample_capacity;
    double wall_seconds, cpu_seconds;
};

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static he_status prepare(struct bench *bench)
{
    const struct tool_args *args = bench->args;
    struct he_session_options options = { .struct_size = sizeof options,
                                          .max_in_flight = bench->concurrency };
    struct he_tensor *tensors, *given = NULL;
    DLTensor *views;
    uint64_t start_ns;
    he_status status = tool_open_engine(args, &bench->engine);

    start_ns = he_now_ns();
    if (status == HE_OK)
        status = he_model_load(args->model, NULL, &bench->model);
    if (status == HE_OK)
        status = tool_read_inputs(args, bench->model, &bench->arena, &given);
    if (status == HE_OK)
        status = tool_analyze(bench->engine, bench->model, args, &bench->arena, given,
                              args->input_count, &bench->plan);
    if (status == HE_OK)
        status = he_session_create(bench->engine, bench->plan, &options, &bench->session);
    if (status != HE_OK)
        return status;
    bench->load_ms = (double)(he_now_ns() - start_ns) * 1e-6;
    bench->input_count = bench->plan->graph->input_count;
    bench->output_count = bench->plan->graph->output_count;
    tensors = he_arena_alloc(&bench->arena, bench->input_count, sizeof *tensors);
    views = he_arena_alloc(&bench->arena, bench->input_count, sizeof *views);
    bench->inputs = he_arena_alloc(&bench->arena, bench->input_count, sizeof *bench->inputs);
    if (!tensors || !views || !bench->inputs)
        return he_no_memory();
    status = tool_make_inputs(bench->plan, given, args->input_count, (uint64_t)args->seed,
                              &bench->arena, tensors);
    for (uint32_t k = 0; k < bench->input_count && status == HE_OK; k++) {
        views[k] = tool_dltensor(&tensors[k]);
        bench->inputs[k] = &views[k];
    }
    return status;
}

static he_status add_sample(struct bench *bench, double ms)
{
    he_status status = he_alloc_grow(&he_allocator_default, (void **)&bench->samples_ms,
                                     &bench->sample_capacity, bench->sample_count,
                                     bench->sample_count + 1, sizeof *bench->samples_ms);

    if (status == HE_OK)
        bench->samples_ms[bench->sample_count++] = ms;
    return status;
}

static void drop_outputs(struct he_output *outputs, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        if (outputs[k].given)
            outputs[k].given->deleter(outputs[k].given);
        outputs[k].given = NULL;
    }
}

static bool is_enough(const struct bench *bench, uint64_t start_ns)
{
    double seconds = bench->args->seconds > 0 ? bench->args->seconds : DEFAULT_SECONDS;

    if (bench->args->iterations > 0)
        return (double)bench->sample_count >= bench->args->iterations;
    return (double)(he_now_ns() - start_ns) * 1e-9 >= seconds;
}

static he_status run_one_by_one(struct bench *bench)
{
    struct he_output *outputs = he_arena_alloc(&bench->arena, bench->output_count,
                                               sizeof *outputs);
    uint64_t start_ns = 0;
    double start_cpu = 0;
    he_status status = outputs ? HE_OK : he_no_memory();

    for (long run = -WARM_UP_RUNS; status == HE_OK; run++) {
        uint64_t one_ns;

        if (run == 0) {
            start_ns = he_now_ns();
            start_cpu = cpu_seconds();
        }
        if (run > 0 && is_enough(bench, start_ns))
            break;
        one_ns = he_now_ns();
        status = he_session_run(bench->session, bench->inputs, bench->input_count, outputs,
                                bench->output_count);
        one_ns = he_now_ns() - one_ns;
        if (status == HE_OK && run >= 0)
            status = add_sample(bench, (double)one_ns * 1e-6);
        if (status == HE_OK)
            drop_outputs(outputs, bench->output_count);
    }
    bench->wall_seconds = (double)(he_now_ns() - start_ns) * 1e-9;
    bench->cpu_seconds = cpu_seconds() - start_cpu;
    return status;
}

/* Submits into N places, oldest first. */
static he_status run_in_flight(struct bench *bench)
{
    uint32_t n = bench->concurrency, next = 0, flying = 0;
    struct he_request **requests = he_arena_alloc(&bench->arena, n, sizeof *requests);
    struct he_output *outputs = he_arena_alloc(&bench->arena, (size_t)n * bench->output_count,
                                               sizeof *outputs);
    uint64_t *begun_ns = he_arena_alloc(&bench->arena, n, sizeof *begun_ns);
    uint64_t start_ns = he_now_ns();
    double start_cpu = cpu_seconds();
    he_status status = requests && outputs && begun_ns ? HE_OK : he_no_memory();

    while (status == HE_OK && (flying > 0 || !is_enough(bench, start_ns))) {
        struct he_output *mine = &outputs[(size_t)next * bench->output_count];

        if (requests[next]) {
            status = he_request_wait(requests[next], -1);
            if (status == HE_OK)
                status = add_sample(bench, (double)(he_now_ns() - begun_ns[next]) * 1e-6);
            he_request_destroy(requests[next]);
            requests[next] = NULL;
            drop_outputs(mine, bench->output_count);
            flying--;
        }
        if (status == HE_OK && !is_enough(bench, start_ns)) {
            begun_ns[next] = he_now_ns();
            status = he_session_submit(bench->session, bench->inputs, bench->input_count, mine,
                                       bench->output_count, NULL, NULL, &requests[next]);
            flying += status == HE_OK;
        }
        next = (next + 1) % n;
    }
    bench->wall_seconds = (double)(he_now_ns() - start_ns) * 1e-9;
    bench->cpu_seconds = cpu_seconds() - start_cpu;
    for (uint32_t k = 0; requests && k < n; k++)
        he_request_destroy(requests[k]);
    return status;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Nearest rank. */
static double percentile(const struct bench *bench, double p)
{
    size_t rank = (size_t)ceil(p / 100 * (double)bench->sample_count);

    return bench->samples_ms[rank > 0 ? rank - 1 : 0];
}

static int report(struct bench *bench)
{
    struct he_plan_figures figures = { .struct_size = sizeof figures };
    struct he_session_figures session = { .struct_size = sizeof session };
    struct he_json_writer json;
    struct rusage usage;
    struct he_text text;

    if (bench->sample_count == 0)
        return tool_usage_error("bench: nothing was measured");
    if (he_plan_figures(he_session_plan(bench->session), &figures) != HE_OK ||
        he_session_figures(bench->session, &session) != HE_OK)
        return EXIT_FAILED;
    qsort(bench->samples_ms, bench->sample_count, sizeof *bench->samples_ms, by_value);
    getrusage(RUSAGE_SELF, &usage);
    if (!bench->args->json) {
        printf("latency ms  min %.3f  median %.3f  p90 %.3f  p99 %.3f  (%zu runs)\n",
               bench->samples_ms[0], percentile(bench, 50), percentile(bench, 90),
               percentile(bench, 99), bench->sample_count);
        printf("throughput %.2f/s, cpu %.3f s, load %.1f ms, peak resident %.1f MB\n",
               (double)bench->sample_count / bench->wall_seconds, bench->cpu_seconds,
               bench->load_ms, (double)usage.ru_maxrss / 1024);
        printf("activations %.3f MB, lower bound %.3f MB, weights %.3f MB\n",
               (double)session.arena_bytes * 1e-6, (double)figures.arena_lower_bound_bytes * 1e-6,
               (double)session.constant_bytes * 1e-6);
        printf("predicted %.3f ms\n", figures.makespan * 1e3);
        if (session.replans)
            printf("note: a device failed; these are figures of %llu plans together\n",
                   (unsigned long long)session.replans + 1);
        return EXIT_DONE;
    }
    he_text_init(&text, NULL);
    he_json_begin(&json, &text, true);
    he_json_object(&json, NULL);
    he_json_object_flat(&json, "latency_ms");
    he_json_double(&json, "min", bench->samples_ms[0]);
    he_json_double(&json, "median", percentile(bench, 50));
    he_json_double(&json, "p90", percentile(bench, 90));
    he_json_double(&json, "p99", percentile(bench, 99));
    he_json_object_end(&json);
    he_json_int(&json, "runs", (int64_t)bench->sample_count);
    he_json_double(&json, "throughput", (double)bench->sample_count / bench->wall_seconds);
    he_json_double(&json, "cpu_seconds", bench->cpu_seconds);
    he_json_int(&json, "peak_rss_bytes", (int64_t)usage.ru_maxrss * 1024);
    he_json_int(&json, "arena_bytes", (int64_t)session.arena_bytes);
    he_json_int(&json, "arena_lower_bound_bytes", (int64_t)figures.arena_lower_bound_bytes);
    he_json_int(&json, "workspace_bytes", (int64_t)session.workspace_bytes);
    he_json_int(&json, "constant_bytes", (int64_t)session.constant_bytes);
    he_json_double(&json, "load_ms", bench->load_ms);
    he_json_double(&json, "predicted_ms", figures.makespan * 1e3);
    he_json_int(&json, "replans", (int64_t)session.replans);
    he_json_object_end(&json);
    he_text_append(&text, "\n", 1);
    return tool_print(&text);
}

static int run(const struct tool_args *args)
{
    struct bench bench = { .args = args, .concurrency = (uint32_t)args->concurrency };
    he_status status;
    int code;

    if (!args->model)
        return tool_usage_error("bench: -m FILE.onnx is needed");
    he_arena_init(&bench.arena, NULL);
    status = prepare(&bench);
    if (status == HE_OK)
        status = bench.concurrency > 1 ? run_in_flight(&bench) : run_one_by_one(&bench);
    code = status == HE_OK ? report(&bench) : tool_fail(status);
    free(bench.samples_ms);
    he_session_destroy(bench.session);
    he_plan_destroy(bench.plan);
    he_engine_destroy(bench.engine);
    he_model_destroy(bench.model);
    he_arena_fini(&bench.arena);
    return code;
}

const struct tool_command cmd_bench = {
    .name = "bench",
    .summary = "measures latency, throughput, memory",
    .usage = "bench -m FILE.onnx [-t SECONDS or -n ITERATIONS] [--threads N] [--concurrency N]",
    .options = "input seconds iterations threads concurrency plan",
    .details = "Runs the model again and again on random inputs, after three runs to warm up, and\n"
               "reports latency (minimum, median, 90th and 99th percentile), throughput, processor\n"
               "time, load time and memory.",
    .examples = "  hetero bench -m model.onnx\n"
                "  hetero bench -m model.onnx -t 10 --threads 2 --json\n"
                "  hetero bench -m model.onnx --concurrency 8 -d CPU:0,GPU:0\n",
    .run = run,
};
