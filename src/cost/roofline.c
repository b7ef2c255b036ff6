/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One task on one device: the store's mean when it was measured often enough,
 * else max(flops / peak, bytes / bandwidth) + launch (Williams, Waterman,
 * Patterson: "Roofline", CACM 2009), times a share of the peak that the kind of
 * work is known to reach, times the factor learnt for this device and kind.
 */
#include <math.h>

#include "cost/choice.h"
#include "graph/shard.h"

const char *he_cost_source_name(enum he_cost_source source)
{
    static const char *const names[] = {
        [HE_COST_ROOFLINE] = "roofline",
        [HE_COST_LEARNT] = "learnt",
        [HE_COST_MEASURED] = "measured",
        [HE_COST_CANNOT] = "cannot",
    };

    return names[source];
}

/* The part of its peaks a common kernel reaches, by kind of work: measured with
 * oneDNN on x86 cores, and good enough as the start of learning elsewhere. */
static const struct {
    double compute, memory;
} efficiency[HE_WORK_CLASS_COUNT] = {
    [HE_WORK_NONE] = { 1, 1 },
    [HE_WORK_CONTRACTION] = { 0.70, 0.80 },
    [HE_WORK_CONV] = { 0.75, 0.80 },
    [HE_WORK_DEPTHWISE] = { 0.25, 0.60 },
    [HE_WORK_WINDOW] = { 0.10, 0.50 },
    [HE_WORK_ELEMENTWISE] = { 0.05, 0.70 },
    [HE_WORK_REDUCTION] = { 0.05, 0.50 },
    [HE_WORK_MOVE] = { 1, 0.40 },
    [HE_WORK_RECURRENT] = { 0.10, 0.60 },
    [HE_WORK_CONTROL] = { 0.10, 0.50 },
};

#define ROOFLINE_SPREAD 0.5 /* relative; what a first guess deserves */
#define SHARE_SPREAD 0.15 /* of a part whose whole was measured */
#define DEFAULT_BANDWIDTH 10e9
/* A task inside a region costs a call, not a launch. */
#define TASK_CALL_SECONDS 0.3e-6
/* Where memory is not the host's, a task whose shapes come while running waits for the device, and may
 * have its kernels written anew. */
#define LATE_CALL_SECONDS 1e-3

static double peak_for(const struct he_machine_device *device, enum he_dtype dtype)
{
    switch (dtype) {
    case HE_FLOAT64:
        return device->peaks.fp64 > 0 ? device->peaks.fp64 : device->peaks.fp32 / 2;
    case HE_FLOAT16:
        return device->peaks.fp16 > 0 ? device->peaks.fp16 : device->peaks.fp32;
    case HE_BFLOAT16:
        return device->peaks.bf16 > 0 ? device->peaks.bf16 : device->peaks.fp32;
    case HE_INT8:
    case HE_UINT8:
        return device->peaks.int8 > 0 ? device->peaks.int8 : device->peaks.fp32;
    default:
        break;
    }
    /* A matrix unit multiplies float32 tensors in its own lower precision. */
    if (device->peaks.fp32 <= 0)
        return fmax(device->peaks.bf16, fmax(device->peaks.fp16, device->peaks.int8));
    return device->kind == HE_KIND_MATRIX ? fmax(device->peaks.fp32, device->peaks.bf16)
                                          : device->peaks.fp32;
}

static enum he_dtype task_dtype(const struct he_graph *graph, const struct he_task *task)
{
    const struct he_node *anchor = &graph->nodes[task->anchor];

    for (uint32_t k = 0; k < anchor->input_count; k++) {
        if (anchor->inputs[k] != HE_NONE)
            return graph->values[anchor->inputs[k]].dtype;
    }
    return HE_FLOAT32;
}

/* In host memory a part of a tensor is a place in it (src/plan/memory.c). */
static bool is_free(const struct he_graph *graph, const struct he_task *task,
                    const struct he_machine_device *device)
{
    return (device->caps & HE_CAP_HOST_MEMORY) && task->work.work_class == HE_WORK_MOVE &&
           he_graph_is_in_place(graph, task);
}

static void roofline(const struct he_graph *graph, const struct he_task *task,
                     const struct he_machine_device *device, struct he_cost *cost)
{
    const struct he_work *work = &task->work;
    double peak = peak_for(device, task_dtype(graph, task));
    double bandwidth = device->bandwidth > 0 ? device->bandwidth : DEFAULT_BANDWIDTH;

    if (work->work_class == HE_WORK_NONE || is_free(graph, task, device))
        return;
    if (peak > 0)
        cost->compute_seconds = work->flops / (peak * efficiency[work->work_class].compute);
    cost->memory_seconds = (work->read_bytes + work->write_bytes) /
                           (bandwidth * efficiency[work->work_class].memory);
    cost->launch_seconds = fmax(TASK_CALL_SECONDS, device->launch_ns * 1e-9);
    if (task->is_dynamic && !(device->caps & HE_CAP_HOST_MEMORY))
        cost->launch_seconds += LATE_CALL_SECONDS;
    cost->seconds = fmax(cost->compute_seconds, cost->memory_seconds) + cost->launch_seconds;
}

he_status he_cost_device_init(struct he_cost_device *out, const struct he_machine_device *device,
                              struct he_device *dev, const struct he_cost_store *store,
                              struct he_arena *arena)
{
    *out = (struct he_cost_device){ .device = device, .dev = dev, .store = store };
    if (!store)
        return HE_OK;
    out->fingerprint = he_cost_fingerprint(device, arena);
    return out->fingerprint ? he_cost_store_factors(store, out->fingerprint, &out->factors)
                            : he_no_memory();
}

static void cannot(struct he_cost *out, const char *reason)
{
    *out = (struct he_cost){ .seconds = HE_CANNOT_RUN, .source = HE_COST_CANNOT, .reason = reason };
}

/* A part of a task that was measured whole takes its share of that, as the roofline sees it: what
 * the kernel reaches of the peak is known better than from its class. */
static bool share_of_whole(const struct he_graph *graph, const struct he_task *task,
                           const struct he_cost_device *on, struct he_cost *cost)
{
    const struct he_node_part *part = he_graph_node_part(graph, task->anchor);
    const struct he_task *whole = part ? &part->base->tasks[part->task] : NULL;
    struct he_cost estimate = { 0 };
    double seconds, spread;

    if (!whole || !he_cost_store_get(on->store, on->fingerprint,
                                     he_cost_signature(part->base, whole), &seconds, &spread))
        return false;
    roofline(part->base, whole, on->device, &estimate);
    if (!(estimate.seconds > 0))
        return false;
    cost->seconds *= seconds / estimate.seconds;
    cost->spread = fmax(spread, SHARE_SPREAD);
    cost->source = HE_COST_LEARNT;
    return true;
}

const char *const he_cost_why_names[] = {
    [HE_WHY_ONLY] = "only",
    [HE_WHY_SCORE] = "score",
    [HE_WHY_MEASURED] = "measured",
};

/* Sets the way to do the task; true when the time of that way is known. */
static bool choose_way(const struct he_graph *graph, const struct he_task *task,
                       const struct he_cost_device *on, struct he_cost *out)
{
    struct he_cost_ways ways;
    struct he_cost_figure figure;
    size_t way;

    /* A device that cannot list its ways has one. */
    if (he_cost_ways_find(on, graph, task, &ways) != HE_OK || ways.count == 0)
        return false;
    way = he_cost_choose(on, &ways, &out->way_why);
    if (way == 0)
        return false;
    out->way = ways.list[way].name;
    if (!he_cost_way_figure(on, &ways, way, &figure))
        return false;
    out->seconds = figure.value;
    out->spread = figure.spread;
    out->source = HE_COST_MEASURED;
    return true;
}

void he_cost_task(const struct he_graph *graph, const struct he_task *task,
                  const struct he_cost_device *on, struct he_arena *arena, struct he_cost *out)
{
    const struct he_machine_device *device = on->device;
    const struct he_cost_factor *factor;
    double seconds, spread;

    *out = (struct he_cost){ .source = HE_COST_ROOFLINE, .spread = ROOFLINE_SPREAD };
    if (on->dev && he_device_supports(on->dev, graph, task) != HE_OK) {
        const char *reason = he_arena_printf(arena, "%s", he_error_message());

        cannot(out, reason ? reason : "not supported");
        return;
    }
    if (task->is_dynamic && !device->is_simulated && !(device->caps & HE_CAP_DYNAMIC)) {
        cannot(out, "its output shapes are known only while running");
        return;
    }
    roofline(graph, task, device, out);
    if (choose_way(graph, task, on, out))
        return;
    if (!on->store || task->work.work_class == HE_WORK_NONE || is_free(graph, task, device))
        return;
    if (he_cost_store_get(on->store, on->fingerprint, he_cost_signature(graph, task), &seconds,
                          &spread)) {
        out->seconds = seconds;
        out->spread = spread;
        out->source = HE_COST_MEASURED;
        return;
    }
    if (share_of_whole(graph, task, on, out))
        return;
    factor = &on->factors.by_class[task->work.work_class];
    if (factor->task_count > 0) {
        out->seconds *= factor->factor;
        out->spread = factor->spread;
        out->source = HE_COST_LEARNT;
    }
}
