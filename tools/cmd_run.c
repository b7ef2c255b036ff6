/* SPDX-License-Identifier: Apache-2.0 */
/* hetero run: one run of a model, its outputs, and how the plan did. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/clock.h"
#include "engine/engine.h"
#include "exec/exec.h"
#include "hetero.h"
#include "model/tensor_file.h"
#include "plan/plan.h"
#include "sha256.h"

struct job {
    const struct tool_args *args;
    struct he_arena arena;
    struct he_engine *engine;
    struct he_model *model;
    struct he_plan *plan;
    struct he_session *session;
    struct he_tensor *inputs;
    struct he_output *outputs;
    uint32_t output_count;
    double latency_ms, first_ms;
    size_t mismatches;
};

static he_status prepare(struct job *job)
{
    struct he_session_options options = { .struct_size = sizeof options, .measure_tasks = true };
    const struct tool_args *args = job->args;
    struct he_tensor *given;
    he_status status;

    status = he_model_load(args->model, NULL, &job->model);
    if (status != HE_OK)
        return status;
    status = tool_open_engine(args, &job->engine);
    if (status != HE_OK)
        return status;
    status = tool_read_inputs(args, job->model, &job->arena, &given);
    if (status == HE_OK)
        status = tool_analyze(job->engine, job->model, args, &job->arena, given, args->input_count,
                              &job->plan);
    if (status == HE_OK)
        status = he_session_create(job->engine, job->plan, &options, &job->session);
    if (status != HE_OK)
        return status;
    job->inputs = he_arena_alloc(&job->arena, job->plan->graph->input_count, sizeof *job->inputs);
    if (!job->inputs)
        return he_no_memory();
    return tool_make_inputs(job->plan, given, args->input_count, (uint64_t)args->seed, &job->arena,
                            job->inputs);
}

static void drop_outputs(struct job *job)
{
    for (uint32_t k = 0; job->outputs && k < job->output_count; k++) {
        if (job->outputs[k].given)
            job->outputs[k].given->deleter(job->outputs[k].given);
        job->outputs[k].given = NULL;
    }
}

/* Twice: the first run starts threads and touches memory for the first time, and says
 * nothing about the plan; the second is the one that is reported. */
static he_status execute(struct job *job)
{
    uint32_t input_count = job->plan->graph->input_count;
    DLTensor *tensors = he_arena_alloc(&job->arena, input_count, sizeof *tensors);
    const DLTensor **pointers = he_arena_alloc(&job->arena, input_count, sizeof *pointers);
    he_status status = HE_OK;

    job->output_count = job->plan->graph->output_count;
    job->outputs = he_arena_alloc(&job->arena, job->output_count, sizeof *job->outputs);
    if (!tensors || !pointers || !job->outputs)
        return he_no_memory();
    for (uint32_t k = 0; k < input_count; k++) {
        tensors[k] = tool_dltensor(&job->inputs[k]);
        pointers[k] = &tensors[k];
    }
    for (int run = 0; run < 2 && status == HE_OK; run++) {
        uint64_t start_ns = he_now_ns();

        drop_outputs(job);
        he_session_reset_times(job->session);
        status = he_session_run(job->session, pointers, input_count, job->outputs,
                                job->output_count);
        job->latency_ms = (double)(he_now_ns() - start_ns) * 1e-6;
        if (run == 0)
            job->first_ms = job->latency_ms;
    }
    return status;
}

static const char *output_name(const struct job *job, uint32_t k)
{
    struct he_model_io io;

    return he_model_output(job->model, k, &io) == HE_OK ? io.name : "";
}

static he_status write_outputs(struct job *job)
{
    if (!job->args->output)
        return HE_OK;
    if (mkdir(job->args->output, 0777) != 0 && errno != EEXIST)
        return he_error_set(HE_ERR_IO, "cannot make folder %s: %s", job->args->output,
                            strerror(errno));
    for (uint32_t k = 0; k < job->output_count; k++) {
        struct he_tensor tensor = tool_tensor(&job->outputs[k].given->dl_tensor);
        const char *path = he_arena_printf(&job->arena, "%s/output_%u.pb", job->args->output, k);
        he_status status = path ? he_tensor_file_write(path, &tensor) : he_no_memory();

        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

static he_status compare_outputs(struct job *job)
{
    const struct tool_args *args = job->args;

    if (args->expect_count > job->output_count)
        return he_error_set(HE_ERR_SETTING, "the model gives %u outputs, %zu are expected",
                            job->output_count, args->expect_count);
    for (size_t k = 0; k < args->expect_count; k++) {
        struct he_tensor got = tool_tensor(&job->outputs[k].given->dl_tensor), expected;
        struct tool_difference difference;
        he_status status = he_tensor_file_read(args->expects[k], &he_allocator_default, got.dtype,
                                               NULL, &job->arena, &expected);

        if (status != HE_OK)
            return status;
        tool_compare(&got, &expected, args, &difference);
        job->mismatches += !difference.is_equal;
        if (difference.reason[0])
            fprintf(stderr, "output %s: %s\n", output_name(job, (uint32_t)k), difference.reason);
        else if (!difference.is_equal || !args->quiet)
            fprintf(stderr, "output %s: %s, %lld elements out of tolerance, largest difference "
                            "%.3g at element %lld (got %.9g, expected %.9g)\n",
                    output_name(job, (uint32_t)k), difference.is_equal ? "as expected" : "DIFFERS",
                    (long long)difference.different, difference.largest, (long long)difference.index, difference.got,
                    difference.expected);
    }
    return HE_OK;
}

static bool is_lost_before(const struct job *job, size_t index, const char *device)
{
    struct he_session_event event = { .struct_size = sizeof event };

    for (size_t k = 0; k < index && he_session_event(job->session, k, &event) == HE_OK; k++) {
        if (event.kind == HE_EVENT_LOST && strcmp(event.device, device) == 0)
            return true;
    }
    return false;
}

/* What became of devices that failed. */
static void write_losses(const struct job *job, struct he_json_writer *json)
{
    static const char *const kinds[] = { "retried", "memory full", "lost" };
    struct he_session_figures figures = { .struct_size = sizeof figures };
    struct he_session_event event = { .struct_size = sizeof event };

    he_json_array_flat(json, "lost_devices");
    for (size_t k = 0; he_session_event(job->session, k, &event) == HE_OK; k++) {
        if (event.kind == HE_EVENT_LOST && !is_lost_before(job, k, event.device))
            he_json_string(json, NULL, event.device);
    }
    he_json_array_end(json);
    if (he_session_figures(job->session, &figures) == HE_OK) {
        he_json_int(json, "replans", (int64_t)figures.replans);
        he_json_int(json, "retries", (int64_t)figures.retries);
    }
    he_json_array(json, "device_events");
    for (size_t k = 0; he_session_event(job->session, k, &event) == HE_OK; k++) {
        he_json_object_flat(json, NULL);
        he_json_string(json, "device", event.device);
        he_json_string(json, "what", kinds[event.kind]);
        he_json_string(json, "reason", event.reason);
        he_json_object_end(json);
    }
    he_json_array_end(json);
}

static void print_losses(const struct job *job)
{
    static const char *const texts[] = { "failed once and was tried again", "has too little memory",
                                         "was lost" };
    struct he_session_figures figures = { .struct_size = sizeof figures };
    struct he_session_event event = { .struct_size = sizeof event };

    for (size_t k = 0; he_session_event(job->session, k, &event) == HE_OK; k++)
        printf("note: %s %s (%s)\n", event.device, texts[event.kind], event.reason);
    if (he_session_figures(job->session, &figures) == HE_OK && figures.replans)
        printf("note: planned again %llu time%s; this is the last plan\n",
               (unsigned long long)figures.replans, figures.replans == 1 ? "" : "s");
}

static int report_json(struct job *job)
{
    const struct he_plan *plan = he_session_plan(job->session);
    struct he_device_figures device = { .struct_size = sizeof device };
    struct he_json_writer json;
    struct he_text text;

    he_text_init(&text, NULL);
    he_json_begin(&json, &text, true);
    he_json_object(&json, NULL);
    he_json_array(&json, "outputs");
    for (uint32_t k = 0; k < job->output_count; k++) {
        struct he_tensor tensor = tool_tensor(&job->outputs[k].given->dl_tensor);
        char digest[SHA256_HEX_SIZE];

        sha256_hex(tensor.data, (size_t)he_shape_bytes(&tensor.shape, tensor.dtype), digest);
        he_json_object_flat(&json, NULL);
        he_json_string(&json, "name", output_name(job, k));
        he_json_array_flat(&json, "shape");
        for (uint32_t d = 0; d < tensor.shape.rank; d++)
            he_json_int(&json, NULL, tensor.shape.dims[d]);
        he_json_array_end(&json);
        he_json_string(&json, "dtype", he_dtype_name(tensor.dtype));
        he_json_string(&json, "sha256", digest);
        he_json_object_end(&json);
    }
    he_json_array_end(&json);
    he_json_double(&json, "latency_ms", job->latency_ms);
    he_json_double(&json, "first_run_ms", job->first_ms);
    he_json_double(&json, "predicted_ms", plan->schedule.makespan * 1e3);
    he_json_object(&json, "devices");
    for (size_t k = 0; he_session_device(job->session, k, &device) == HE_OK; k++) {
        he_json_object_flat(&json, device.id);
        he_json_int(&json, "tasks", device.task_count);
        he_json_double(&json, "busy_ms", device.busy_seconds * 1e3);
        he_json_int(&json, "bytes_in", (int64_t)device.bytes_in);
        he_json_int(&json, "bytes_copied", (int64_t)device.bytes_copied);
        he_json_object_end(&json);
    }
    he_json_object_end(&json);
    write_losses(job, &json);
    he_json_object_end(&json);
    he_text_append(&text, "\n", 1);
    return tool_print(&text);
}

static void print_values(const struct he_tensor *tensor)
{
    int64_t count = he_shape_count(&tensor->shape);
    const float *values = tensor->data;

    if (tensor->dtype != HE_FLOAT32)
        return;
    printf(" =");
    for (int64_t k = 0; k < count && k < 10; k++)
        printf(" %.5g", values[k]);
    printf("%s", count > 10 ? " ..." : "");
}

static void report_text(struct job *job)
{
    const struct he_plan *plan = he_session_plan(job->session);
    struct he_device_figures device = { .struct_size = sizeof device };

    for (uint32_t k = 0; k < job->output_count; k++) {
        struct he_tensor tensor = tool_tensor(&job->outputs[k].given->dl_tensor);
        char shape[400];

        tool_shape_text(&tensor.shape, shape, sizeof shape);
        printf("output %s %s%s", output_name(job, k), he_dtype_name(tensor.dtype), shape);
        print_values(&tensor);
        printf("\n");
    }
    printf("latency %.3f ms, predicted %.3f ms (%+.0f %%); the first run took %.3f ms\n",
           job->latency_ms, plan->schedule.makespan * 1e3,
           (plan->schedule.makespan * 1e3 / job->latency_ms - 1) * 100, job->first_ms);
    for (size_t k = 0; he_session_device(job->session, k, &device) == HE_OK; k++)
        printf("  %-10s %4u tasks, busy %.3f ms, %llu bytes in, %llu bytes copied\n", device.id,
               device.task_count, device.busy_seconds * 1e3, (unsigned long long)device.bytes_in,
               (unsigned long long)device.bytes_copied);
    print_losses(job);
}

static void print_placement(const struct job *job)
{
    const struct he_plan *plan = he_session_plan(job->session);

    printf("%u tasks in %u regions, strategy %s, policy %s\n", plan->problem->task_count,
           plan->part_count, plan->strategy, plan->placement.policy);
    for (uint32_t p = 0; p < plan->part_count; p++) {
        const struct he_part *part = &plan->parts[p];

        printf("  %-10s", plan->machine->devices[part->device].id);
        for (uint32_t t = 0; t < part->task_count && t < 6; t++) {
            const struct he_task *task = &plan->graph->tasks[part->tasks[t]];

            printf(" %s", plan->graph->nodes[task->anchor].op);
            for (uint32_t n = 1; n < task->node_count; n++)
                printf("+%s", plan->graph->nodes[task->nodes[n]].op);
        }
        printf(part->task_count > 6 ? " ... (%u tasks)\n" : "\n", part->task_count);
    }
}

static void finish(struct job *job)
{
    drop_outputs(job);
    he_session_destroy(job->session);
    he_plan_destroy(job->plan);
    he_engine_destroy(job->engine);
    he_model_destroy(job->model);
    he_arena_fini(&job->arena);
}

static int run(const struct tool_args *args)
{
    struct job job = { .args = args };
    he_status status;
    int code;

    if (!args->model)
        return tool_usage_error("run: -m FILE.onnx is needed");
    he_arena_init(&job.arena, NULL);
    status = prepare(&job);
    if (status == HE_OK)
        status = execute(&job);
    if (status == HE_OK)
        status = write_outputs(&job);
    if (status == HE_OK)
        status = compare_outputs(&job);
    if (status == HE_OK && args->learn)
        status = he_engine_learn(job.engine, job.plan, job.session);
    if (status == HE_OK && args->learn)
        status = he_engine_save_costs(job.engine);
    if (status != HE_OK) {
        code = tool_fail(status);
    } else {
        code = job.mismatches ? EXIT_FAILED : EXIT_DONE;
        if (args->json) {
            int printed = report_json(&job);

            code = printed ? printed : code;
        } else {
            if (!args->quiet)
                print_placement(&job);
            report_text(&job);
        }
    }
    finish(&job);
    return code;
}

const struct tool_command cmd_run = {
    .name = "run",
    .summary = "runs a model once",
    .usage = "run -m FILE.onnx [-i FILE]... [-o DIR] [--expect FILE]...",
    .options = "input output expect rtol atol outliers plan threads learn",
    .details = "Plans the model for the machine, runs it (once to warm up, once for the report), and\n"
               "shows the outputs, the placement, and the predicted beside the measured time. Inputs\n"
               "that are not given are random by seed. With --expect the outputs are compared in graph\n"
               "order; a difference beyond atol + rtol * |expected| makes the exit code 1.",
    .examples = "  hetero run -m model.onnx\n"
                "  hetero run -m model.onnx -i input.npy -o results\n"
                "  hetero run -m model.onnx -i input_0.pb --expect output_0.pb --json\n"
                "  hetero run -m model.onnx -d CPU:0,GPU:0 --shape x:1x3x320x320\n",
    .run = run,
};
