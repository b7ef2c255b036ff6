/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the guard hold outside of predictions? Plans a model for several devices and for
 * each of them alone, and runs the plans in turns, a slice each, so that what else the
 * machine is doing falls on all alike. Prints one row of a table: which devices the plan
 * uses, what was predicted, what was measured (least and median), and the plan's time over that of the best
 * device alone, slice by slice; the median counts.
 *
 *   guard_runs MODEL DEVICE[,DEVICE...]... [--shape NAME:1x3x224x224]...
 *
 * Ends with 1 when the plan is slower than the best single device by more than noise.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "engine/engine.h"
#include "exec/dlpack_types.h"
#include "exec/exec.h"
#include "plan/plan.h"

#define MOST_DEVICES 6
#define SLICES 15
#define SLICE_NS 30000000u
/* Slow devices get fewer slices, but so many. */
#define ENOUGH_NS 6000000000u
#define LEAST_SLICES 5
#define GENEROUS 1.25 /* machines that run this are rarely quiet */

static void die(const char *what)
{
    fprintf(stderr, "guard: %s: %s\n", what, he_error_message());
    exit(2);
}

static void must(he_status status, const char *what)
{
    if (status != HE_OK)
        die(what);
}

struct candidate {
    const char *devices;
    struct he_engine *engine;
    struct he_plan *plan;
    struct he_session *session;
    DLTensor *inputs;
    const DLTensor **views;
    struct he_output *outputs;
    double slices[SLICES]; /* seconds per run */
    bool is_possible;
};

static struct he_arena arena;
static int slice_count;

static void *need(size_t count, size_t size)
{
    void *memory = he_arena_alloc(&arena, count, size);

    if (!memory)
        die("memory");
    return memory;
}

static void make_inputs(struct candidate *c)
{
    const struct he_graph *graph = c->plan->graph;

    c->inputs = need(graph->input_count, sizeof *c->inputs);
    c->views = need(graph->input_count, sizeof *c->views);
    c->outputs = need(graph->output_count, sizeof *c->outputs);
    for (uint32_t k = 0; k < graph->input_count; k++) {
        const struct he_value *value = &graph->values[graph->inputs[k]];
        int64_t bytes = he_shape_bytes(&value->shape, value->dtype);
        char *data = need((size_t)bytes + 64, 1);

        data += (64 - (uintptr_t)data % 64) % 64;
        for (int64_t i = 0; value->dtype == HE_FLOAT32 && i < bytes / 4; i++)
            ((float *)data)[i] = (float)(i % 255) / 255;
        /* A lone number of this kind is a sampling rate in every model we have. */
        if (value->dtype == HE_INT64 && bytes == 8)
            *(int64_t *)data = 16000;
        c->inputs[k] = (DLTensor){ .data = data, .device = { kDLCPU, 0 },
                                   .ndim = (int32_t)value->shape.rank,
                                   .dtype = he_dtype_to_dlpack(value->dtype),
                                   .shape = (int64_t *)value->shape.dims };
        c->views[k] = &c->inputs[k];
    }
}

static void run_once(struct candidate *c)
{
    uint32_t inputs = c->plan->graph->input_count, outputs = c->plan->graph->output_count;

    must(he_session_run(c->session, c->views, inputs, c->outputs, outputs), c->devices);
    for (uint32_t k = 0; k < outputs; k++)
        c->outputs[k].given->deleter(c->outputs[k].given);
}

static void open_candidate(struct candidate *c, const struct he_model *model,
                           const struct he_analyze_options *analyze)
{
    struct he_engine_options options = { .struct_size = sizeof options, .devices = c->devices };

    must(he_engine_create(&options, &c->engine), c->devices);
    /* A device that lacks an operator is no candidate alone. */
    c->is_possible = he_engine_analyze(c->engine, model, analyze, &c->plan) == HE_OK;
    if (!c->is_possible)
        return;
    must(he_session_create(c->engine, c->plan, NULL, &c->session), c->devices);
    make_inputs(c);
    for (int k = 0; k < 3; k++)
        run_once(c);
}

static void close_candidate(struct candidate *c)
{
    he_session_destroy(c->session);
    he_plan_destroy(c->plan);
    he_engine_destroy(c->engine);
}

static double time_slice(struct candidate *c)
{
    uint64_t start_ns = he_now_ns(), now_ns = start_ns;
    uint32_t runs = 0;

    while (now_ns - start_ns < SLICE_NS) {
        run_once(c);
        runs++;
        now_ns = he_now_ns();
    }
    return (double)(now_ns - start_ns) * 1e-9 / runs;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(const double *values)
{
    double sorted[SLICES];

    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, (size_t)slice_count, sizeof *sorted, by_value);
    return sorted[slice_count / 2];
}

static double least(const double *values)
{
    double least = values[0];

    for (int s = 1; s < slice_count; s++)
        least = values[s] < least ? values[s] : least;
    return least;
}

static void put_devices(const struct candidate *c)
{
    const char *gap = "";

    for (uint32_t d = 0; d < c->plan->machine->device_count; d++) {
        uint32_t count = 0;

        for (uint32_t t = 0; t < c->plan->problem->task_count; t++)
            count += c->plan->placement.device[t] == d;
        if (count)
            printf("%s%s %u", gap, c->plan->machine->devices[d].id, count);
        gap = count ? ", " : gap;
    }
}

static int report(const char *name, struct candidate *all, int count)
{
    double ratios[SLICES], ratio;
    int best = 0;

    for (int k = 1; k < count; k++) {
        if (all[k].is_possible && (!best || median(all[k].slices) < median(all[best].slices)))
            best = k;
    }
    if (!best || !all[0].is_possible)
        die("no device takes the model alone");
    for (int s = 0; s < slice_count; s++)
        ratios[s] = all[0].slices[s] / all[best].slices[s];
    ratio = median(ratios);
    printf("| %s | %s | ", name, all[0].devices);
    put_devices(&all[0]);
    printf(" | %.3f | %.3f, %.3f | %s | %.3f | %.3f, %.3f | %.2f | %s |\n",
           all[0].plan->schedule.makespan * 1e3, least(all[0].slices) * 1e3,
           median(all[0].slices) * 1e3, all[best].devices,
           all[best].plan->schedule.makespan * 1e3, least(all[best].slices) * 1e3,
           median(all[best].slices) * 1e3, ratio,
           ratio <= GENEROUS ? "holds" : "SLOWER");
    return ratio <= GENEROUS ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* "NAME:1x3x224x224" */
static struct he_input_shape parse_shape(char *text)
{
    struct he_input_shape shape = { .name = text };
    char *at = strrchr(text, ':');

    if (!at)
        die("--shape NAME:1x3x224x224");
    *at++ = '\0';
    while (*at && shape.shape.rank < HE_MAX_RANK) {
        shape.shape.dims[shape.shape.rank++] = strtoll(at, &at, 10);
        at += *at == 'x';
    }
    return shape;
}

/* Slices of all candidates in turns. */
static void run_slices(struct candidate *all, int count)
{
    uint64_t start_ns = he_now_ns();

    while (slice_count < SLICES &&
           (slice_count < LEAST_SLICES || he_now_ns() - start_ns < ENOUGH_NS)) {
        for (int k = 0; k < count; k++)
            all[k].slices[slice_count] = all[k].is_possible ? time_slice(&all[k]) : 0;
        slice_count++;
    }
}

/* Adds the devices of @text, which commas part, but for those within brackets. */
static int add_devices(char *text, struct candidate *all, int count)
{
    int depth = 0;

    for (char *at = text;; at++) {
        bool is_end = !*at;

        depth += (*at == '(') - (*at == ')');
        if (!is_end && (*at != ',' || depth > 0))
            continue;
        *at = '\0';
        if (count > MOST_DEVICES)
            die("too many devices");
        all[count++].devices = text;
        text = at + 1;
        if (is_end)
            return count;
    }
}

int main(int argc, char **argv)
{
    struct candidate all[MOST_DEVICES + 1] = { { .devices = "" } };
    struct he_input_shape shapes[8];
    struct he_analyze_options analyze = { .struct_size = sizeof analyze, .shapes = shapes };
    char line[512] = "";
    struct he_model *model;
    int count = 1, code;

    for (int k = 2; k < argc; k++) {
        if (strcmp(argv[k], "--shape") == 0 && k + 1 < argc && analyze.shape_count < 8) {
            shapes[analyze.shape_count++] = parse_shape(argv[++k]);
        } else if (strlen(line) + strlen(argv[k]) + 2 < sizeof line) {
            strcat(strcat(line, count > 1 ? "," : ""), argv[k]);
            count = add_devices(argv[k], all, count);
        }
    }
    if (count < 3) {
        fprintf(stderr, "usage: guard_runs MODEL DEVICE,DEVICE... [--shape NAME:DIMS]\n");
        return 2;
    }
    all[0].devices = line;
    he_arena_init(&arena, NULL);
    must(he_model_load(argv[1], NULL, &model), argv[1]);
    for (int k = 0; k < count; k++)
        open_candidate(&all[k], model, &analyze);
    run_slices(all, count);
    code = report(argv[1], all, count);
    for (int k = 0; k < count; k++)
        close_candidate(&all[k]);
    he_model_destroy(model);
    he_arena_fini(&arena);
    return code;
}
