/* SPDX-License-Identifier: Apache-2.0 */
/* hetero plan: places a model, or a task graph, and says why. */
#include <math.h>

#include "core/file.h"
#include "engine/engine.h"
#include "hetero.h"
#include "plan/plan.h"

struct job {
    const struct tool_args *args;
    struct he_arena arena;
    struct he_engine *engine;   /* of a model */
    struct he_machine *machine; /* of a graph that names no devices */
    struct he_model *model;
    struct he_plan *plan;
};

static he_status plan_model(struct job *job)
{
    he_status status = he_model_load(job->args->model, NULL, &job->model);

    if (status == HE_OK)
        status = tool_open_engine(job->args, &job->engine);
    if (status == HE_OK)
        status = tool_analyze(job->engine, job->model, job->args, &job->arena, NULL, 0, &job->plan);
    /* The memory map is part of the plan; it needs real devices' capabilities only. */
    if (status == HE_OK)
        status = he_plan_lower(job->plan);
    return status;
}

/* The machine of the command line, for graphs without devices and for budgets. */
static he_status get_machine(struct job *job)
{
    const struct tool_args *args = job->args;
    he_status status;

    if (args->config)
        status = he_machine_load(args->config, NULL, &job->machine);
    else if (args->devices)
        status = he_machine_from_line(args->devices, NULL, &job->machine);
    else
        status = he_machine_create("command line", NULL, &job->machine);
    if (status == HE_OK && args->config && args->devices)
        status = he_machine_select(job->machine, args->devices);
    if (status == HE_OK && args->budget)
        status = he_machine_set_budget(job->machine, args->budget);
    return status;
}

static he_status plan_graph(struct job *job)
{
    struct he_place_options options = { .objective = HE_OBJECTIVE_LATENCY,
                                        .time_limit = job->args->time_limit,
                                        .seed = (uint64_t)job->args->seed };
    const char *strategy = job->args->strategy;
    struct he_problem *problem;
    struct he_file file;
    he_status status = get_machine(job);

    if (status != HE_OK)
        return status;
    if (!strategy)
        strategy = job->machine->settings.strategy;
    status = he_file_map(job->args->graph, &file);
    if (status != HE_OK)
        return status;
    status = he_problem_read_json(job->args->graph, file.data, file.size, job->machine,
                                  &he_allocator_default, &problem);
    he_file_unmap(&file);
    if (status != HE_OK)
        return status;
    return he_plan_create(NULL, job->machine, problem, NULL, strategy, &options,
                          &he_allocator_default, &job->plan);
}

static int print_json(const struct he_plan *plan, const struct tool_args *args)
{
    struct he_json_writer json;
    struct he_text text;
    he_status status = HE_OK;

    he_text_init(&text, NULL);
    he_json_begin(&json, &text, true);
    he_json_object(&json, NULL);
    he_plan_write_members(plan, &json);
    if (args->has_explain)
        status = he_plan_explain_json(plan, args->explain, &json);
    if (status != HE_OK) {
        he_text_fini(&text);
        return tool_fail(status);
    }
    he_json_object_end(&json);
    he_text_append(&text, "\n", 1);
    return tool_print(&text);
}

static void print_summary(const struct he_plan *plan)
{
    const struct he_problem *problem = plan->problem;

    printf("%s: %u tasks, %u regions, policy %s\n", problem->name[0] ? problem->name : "plan",
           problem->task_count, plan->part_count, plan->placement.policy);
    printf("%s %.6g, lower bound %.6g, gap %.2f %%, planned in %.1f ms, bound in %.1f ms\n",
           he_objective_name(plan->objective), plan->value, plan->lower_bound,
           plan->lower_bound > 0 ? (plan->value / plan->lower_bound - 1) * 100 : 0,
           plan->plan_seconds * 1e3, plan->bound_seconds * 1e3);
    printf("makespan %.6g s, bottleneck %.6g s, sum of costs %.6g s\n", plan->schedule.makespan,
           plan->schedule.bottleneck, plan->schedule.sum_cost);
    for (uint32_t d = 0; d < problem->device_count; d++) {
        uint32_t count = 0;
        double busy = 0;

        for (uint32_t t = 0; t < problem->task_count; t++) {
            if (plan->placement.device[t] != d)
                continue;
            count++;
            busy += he_problem_time(problem, t, d);
        }
        printf("  %-10s %5u tasks, busy %.6g s (%.0f %%), peak memory %.3f MB\n",
               problem->devices[d].id, count, busy,
               plan->schedule.makespan > 0 ? busy / plan->schedule.makespan * 100 : 0,
               plan->schedule.peak_bytes[d] * 1e-6);
    }
}

/* Hints that came to nothing, on standard error: the first few, and how many. */
static void tell_hints(const struct he_plan *plan)
{
    size_t ignored = 0;

    for (size_t k = 0; k < plan->hint_count; k++) {
        const struct he_hint *hint = &plan->hints[k];

        if (hint->problem && ignored++ < 3)
            fprintf(stderr, "hetero: %s is wanted on %s by the model (%s): %s\n",
                    plan->problem->task_ids[hint->task], hint->wanted, hint->source, hint->problem);
    }
    if (ignored > 3)
        fprintf(stderr, "hetero: %zu more hints of the model are not respected (--json lists them)\n",
                ignored - 3);
}

static int report(struct job *job)
{
    const struct tool_args *args = job->args;
    char *why;
    he_status status = HE_OK;

    if (args->check)
        status = he_plan_check(job->plan);
    if (status == HE_OK && args->onnx_out)
        status = he_plan_save_onnx(job->plan, args->onnx_out);
    if (status == HE_OK && args->output)
        status = he_plan_save(job->plan, args->output);
    if (status != HE_OK)
        return tool_fail(status);
    if (!args->quiet)
        tell_hints(job->plan);
    if (args->json)
        return print_json(job->plan, args);
    if (!args->has_explain) {
        print_summary(job->plan);
        return EXIT_DONE;
    }
    status = he_plan_explain_text(job->plan, args->explain, &why);
    if (status != HE_OK)
        return tool_fail(status);
    fputs(why, stdout);
    he_string_free(why);
    return EXIT_DONE;
}

static int run(const struct tool_args *args)
{
    struct job job = { .args = args };
    he_status status;
    int code;

    if (!args->model == !args->graph)
        return tool_usage_error("plan: give either -m FILE.onnx or --graph FILE.json");
    he_arena_init(&job.arena, NULL);
    status = args->model ? plan_model(&job) : plan_graph(&job);
    code = status == HE_OK ? report(&job) : tool_fail(status);
    he_plan_destroy(job.plan);
    he_engine_destroy(job.engine);
    he_machine_destroy(job.machine);
    he_model_destroy(job.model);
    he_arena_fini(&job.arena);
    return code;
}

const struct tool_command cmd_plan = {
    .name = "plan",
    .summary = "places a model or a task graph, and explains",
    .usage = "plan (-m FILE.onnx | --graph FILE.json) [-o plan.json]\n"
             "            [--onnx-out placed.onnx] [--explain [TASK]]",
    .options = "graph output onnx-out explain time-limit check threads",
    .details = "Cuts the model into tasks and places them, or places the tasks of a graph file.\n"
               "--json prints the whole plan, -o saves it for `hetero run --plan`. --explain says for\n"
               "each task what every device would cost, why one won, and what other machines would\n"
               "change: faster links, more memory, one device more or less; with --json as\n"
               "\"explanations\" and \"what_if\".",
    .examples = "  hetero plan -m model.onnx --explain\n"
                "  hetero plan -m model.onnx -d CPU:0,GPU:0 -o plan.json\n"
                "  hetero plan --graph graph.json --strategy throughput --json\n"
                "  hetero plan -m model.onnx -d \"cpu:1 gpu:2\" --budget memory=1GB\n",
    .run = run,
};
