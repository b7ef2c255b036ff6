/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a region to a program: one step per task, each from the first maker that
 * takes it. Control flow is control.c's alone; all else goes to oneDNN or a fused chain, which
 * want static shapes, or to the kernel tables. Steps run one after another, so they
 * share one workspace, as large as the largest asks for.
 */
#include "program.h"

#include <string.h>

/* Below so many seconds on one core a task is not worth a team's barriers, and a
 * whole program not worth waking a team. */
#define TEAM_TASK_SECONDS 15e-6
#define TEAM_PROGRAM_SECONDS 100e-6

typedef he_status (*step_maker)(const struct cpu_compile *c, const struct he_task *task,
                                struct cpu_step **out);

static const struct {
    step_maker make;
    bool static_only;
} makers[] = {
    { cpu_onednn_step, true },
    { cpu_chain_step, true },
    { cpu_kernel_step, false },
};

he_status cpu_node_failed(he_status status, const struct he_node *node)
{
    if (node->name && *node->name)
        return he_error_prefix(status, "%s \"%s\"", node->op, node->name);
    return he_error_prefix(status, "%s", node->op);
}

static bool value_is_fixed(const struct cpu_compile *c, uint32_t value)
{
    const struct he_value *v;

    if (value == HE_NONE)
        return true;
    v = &c->region->graph->values[value];
    if (v->dtype == HE_DTYPE_NONE || !he_shape_is_static(&v->shape))
        return false;
    return c->slot_of[value] == HE_NONE || !c->region->slots[c->slot_of[value]].is_dynamic;
}

bool cpu_task_is_static(const struct cpu_compile *c, const struct he_task *task)
{
    const struct he_node *node;
    uint32_t n, k;

    for (n = 0; n < task->node_count; n++) {
        node = &c->region->graph->nodes[task->nodes[n]];
        for (k = 0; k < node->input_count; k++)
            if (!value_is_fixed(c, node->inputs[k]))
                return false;
        for (k = 0; k < node->output_count; k++)
            if (!value_is_fixed(c, node->outputs[k]))
                return false;
    }
    return true;
}

/* A rough guess: a core that computes at a third of its peak, and reads from its caches. */
static double guess_seconds(const struct he_work *work)
{
    return work->flops / 40e9 + (work->read_bytes + work->write_bytes) / 20e9;
}

static he_status make_step(const struct cpu_compile *all, const struct he_task *task,
                           struct cpu_step **out)
{
    struct cpu_compile one = *all;
    const struct cpu_compile *c = all;
    bool is_static = cpu_task_is_static(c, task);
    he_status status = HE_ERR_UNSUPPORTED;
    size_t k;

    *out = NULL;
    if (cpu_is_control(&c->region->graph->nodes[task->nodes[0]]))
        return cpu_control_step(c, task, out);
    if (guess_seconds(&task->work) < TEAM_TASK_SECONDS) { /* oneDNN would split the smallest loop */
        one.threads = 1;
        c = &one;
    }
    for (k = 0; k < sizeof makers / sizeof makers[0]; k++) {
        if (makers[k].static_only && !is_static)
            continue;
        if (c->variant && strcmp(c->variant, "builtin") == 0 && makers[k].make == cpu_onednn_step)
            continue;
        status = makers[k].make(c, task, out);
        if (status != HE_ERR_UNSUPPORTED)
            break;
    }
    return status;
}

/* In the way asked for; by the rules when that is not possible after all. */
static he_status make_step_in_way(struct cpu_compile *c, const struct he_task *task,
                                  const char *variant, struct cpu_step **out)
{
    he_status status;

    if (!variant || strcmp(variant, "auto") == 0)
        return make_step(c, task, out);
    c->variant = variant;
    status = make_step(c, task, out);
    c->variant = NULL;
    return status == HE_ERR_UNSUPPORTED ? make_step(c, task, out) : status;
}

he_status cpu_program_create(const struct cpu_compile *settings, const struct he_region *region,
                             struct cpu_program **out)
{
    return cpu_program_create_with(settings, region, NULL, out);
}

he_status cpu_program_create_with(const struct cpu_compile *settings,
                                  const struct he_region *region, const char *const *variants,
                                  struct cpu_program **out)
{
    struct cpu_compile c = *settings;
    struct cpu_program *program;
    he_status status = HE_OK;
    double seconds = 0;
    uint32_t k;

    *out = NULL;
    cpu_openmp_open();
    program = cpu_alloc(&c.alloc, 1, sizeof *program);
    if (!program)
        return cpu_no_memory();
    program->alloc = c.alloc;
    program->region = region;
    for (k = 0; k < region->task_count; k++)
        seconds += guess_seconds(&region->graph->tasks[region->tasks[k]].work);
    program->uses_team = seconds > TEAM_PROGRAM_SECONDS && c.threads > 1;
    if (!program->uses_team) {
        c.team = NULL;
        c.threads = 1;
    }
    program->team = c.team;
    program->slot_of = cpu_alloc(&c.alloc, region->graph->value_count, sizeof *program->slot_of);
    program->steps = cpu_alloc(&c.alloc, region->task_count, sizeof *program->steps);
    program->has_alias = cpu_alloc(&c.alloc, region->slot_count, sizeof *program->has_alias);
    if (!program->slot_of || !program->steps || !program->has_alias) {
        cpu_program_destroy(program);
        return cpu_no_memory();
    }
    memset(program->slot_of, 0xff, region->graph->value_count * sizeof *program->slot_of);
    for (k = 0; k < region->slot_count; k++) {
        program->slot_of[region->slots[k].value] = k;
        if (region->slots[k].alias < region->slot_count)
            program->has_alias[region->slots[k].alias] = true;
    }
    c.region = region;
    c.slot_of = program->slot_of;
    for (k = 0; k < region->task_count; k++) {
        status = make_step_in_way(&c, &region->graph->tasks[region->tasks[k]],
                                  variants ? variants[k] : NULL, &program->steps[k]);
        if (status != HE_OK)
            break;
        program->step_count++;
        if (program->steps[k]->workspace_bytes > program->workspace_bytes)
            program->workspace_bytes = program->steps[k]->workspace_bytes;
        program->constant_bytes += program->steps[k]->constant_bytes;
    }
    if (status != HE_OK) {
        cpu_program_destroy(program);
        return status;
    }
    *out = program;
    return HE_OK;
}

void cpu_program_destroy(struct cpu_program *program)
{
    struct he_allocator alloc;
    uint32_t k;

    if (!program)
        return;
    alloc = program->alloc;
    for (k = 0; k < program->step_count; k++)
        program->steps[k]->ops->destroy(program->steps[k]);
    cpu_free(&alloc, program->steps);
    cpu_free(&alloc, program->has_alias);
    cpu_free(&alloc, program->slot_of);
    cpu_free(&alloc, program);
}

/* --- What is supported --- */

/* Asks oneDNN by making the step: only for operators without a kernel of ours. */
static he_status try_task(const struct cpu_compile *settings, const struct he_graph *graph,
                          const struct he_task *task)
{
    uint32_t index = (uint32_t)(task - graph->tasks), k;
    struct he_region region = { .graph = graph, .tasks = &index, .task_count = 1 };
    struct cpu_program *program;
    struct he_slot *slots;
    he_status status;

    slots = cpu_alloc(&settings->alloc, (size_t)task->input_count + task->output_count,
                      sizeof *slots);
    if (!slots)
        return cpu_no_memory();
    region.slots = slots;
    for (k = 0; k < task->input_count; k++)
        slots[region.slot_count++] = (struct he_slot){
            .value = task->inputs[k], .role = HE_SLOT_INPUT, .alias = HE_NONE };
    for (k = 0; k < task->output_count; k++)
        slots[region.slot_count++] = (struct he_slot){
            .value = task->outputs[k], .role = HE_SLOT_OUTPUT, .alias = HE_NONE };
    status = cpu_program_create(settings, &region, &program);
    cpu_program_destroy(program);
    cpu_free(&settings->alloc, slots);
    return status;
}

static he_status refuse(const struct he_graph *graph, const struct he_node *node)
{
    enum he_dtype dtype = HE_DTYPE_NONE;
    bool is_known = cpu_kernel_find(node->domain, node->op, HE_DTYPE_NONE) != NULL;

    if (node->input_count && node->inputs[0] != HE_NONE)
        dtype = graph->values[node->inputs[0]].dtype;
    if (is_known)
        return he_error_set(HE_ERR_UNSUPPORTED, "no kernel for %s with %s", node->op,
                            he_dtype_name(dtype));
    return he_error_set(HE_ERR_UNSUPPORTED, "no kernel for %s%s%s (opset %d)", node->op,
                        node->domain && *node->domain ? " of " : "",
                        node->domain ? node->domain : "", node->opset);
}

static he_status graph_supported(const struct cpu_compile *settings, const struct he_graph *graph)
{
    he_status status;
    uint32_t k;

    for (k = 0; k < graph->task_count; k++) {
        status = cpu_program_supports(settings, graph, &graph->tasks[k]);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

const struct cpu_kernel *cpu_node_kernel(const struct he_graph *graph, const struct he_node *node)
{
    enum he_dtype types[256];
    uint32_t k, count = node->input_count < 256 ? node->input_count : 256;

    for (k = 0; k < count; k++)
        types[k] = node->inputs[k] == HE_NONE ? HE_DTYPE_NONE
                                              : graph->values[node->inputs[k]].dtype;
    return cpu_kernel_match(node->domain, node->op, types, count);
}

static bool has_opaque(const struct he_graph *graph, const uint32_t *values, uint32_t count)
{
    uint32_t k;

    for (k = 0; k < count; k++)
        if (values[k] != HE_NONE && graph->values[values[k]].is_opaque)
            return true;
    return false;
}

he_status cpu_program_supports(const struct cpu_compile *settings, const struct he_graph *graph,
                               const struct he_task *task)
{
    const struct he_node *node;
    bool has_kernels = true;
    he_status status;
    uint32_t n, a;

    for (n = 0; n < task->node_count; n++) {
        node = &graph->nodes[task->nodes[n]];
        if (has_opaque(graph, node->inputs, node->input_count) ||
            has_opaque(graph, node->outputs, node->output_count))
            return he_error_set(HE_ERR_UNSUPPORTED, "%s works on a sequence or an optional value",
                                node->op);
        if (cpu_is_control(node)) {
            if (task->node_count != 1)
                return he_error_set(HE_ERR_UNSUPPORTED, "%s inside a fused task", node->op);
            for (a = 0; a < node->attr_count; a++) {
                if (node->attrs[a].kind != HE_ATTR_GRAPH || !node->attrs[a].graph)
                    continue;
                status = graph_supported(settings, node->attrs[a].graph);
                if (status != HE_OK)
                    return he_error_prefix(status, "inside %s", node->op);
            }
        } else if (!cpu_is_view(graph, node) && !cpu_node_kernel(graph, node)) {
            has_kernels = false;
        }
    }
    if (has_kernels)
        return HE_OK;
    status = try_task(settings, graph, task);
    if (status != HE_ERR_UNSUPPORTED)
        return status;
    for (n = 0; n < task->node_count; n++) {
        node = &graph->nodes[task->nodes[n]];
        if (!cpu_is_view(graph, node) && !cpu_node_kernel(graph, node))
            return refuse(graph, node);
    }
    return status;
}
