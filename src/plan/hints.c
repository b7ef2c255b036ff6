/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hints of the model become limits of the problem: a task that the model wants
 * on a device can run nowhere else, if it can run there at all. Nodes are found
 * again by the names of their outputs; of several nodes in one task the anchor's
 * hint counts.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plan/hints.h"
#include "plan/producers.h"

/* Annotations to devices: one pattern of the setting. */
struct layer_rule {
    const char *designator, *pattern;
    bool is_exact;
};

struct reader {
    const struct he_model *model;
    const struct he_graph *graph;
    const struct he_machine *machine;
    struct he_problem *problem;
    struct he_cost *costs;
    struct he_arena *arena;
    struct layer_rule *rules;
    size_t rule_count;
    struct he_producers producers;
    struct he_hint *hints; /* at most one per node */
    size_t hint_count;
    uint32_t *hint_of;     /* task -> hint + 1, the one that counts; 0: none */
    bool *allowed;         /* by machine device: what the hint at hand means */
};

bool he_designator_means(const struct he_machine *machine, uint32_t index, const char *designator)
{
    const struct he_machine_device *device = &machine->devices[index];
    const char *kind = he_device_kind_name(device->kind), *colon = strchr(designator, ':');
    size_t kind_size = colon ? (size_t)(colon - designator) : strlen(designator);
    uint32_t ordinal = 0;

    for (uint32_t d = 0; d < machine->device_count; d++) {
        if (strcasecmp(machine->devices[d].id, designator) == 0)
            return d == index;
    }
    if (strcasecmp(designator, "accelerator") == 0)
        return strcasecmp(kind, "cpu") != 0;
    if (strcasecmp(designator, "cuda") == 0)
        return strcasecmp(kind, "gpu") == 0 && device->name && strcasestr(device->name, "nvidia");
    if (strlen(kind) != kind_size || strncasecmp(kind, designator, kind_size) != 0)
        return false;
    if (!colon || !colon[1])
        return true;
    if (!isdigit((unsigned char)colon[1]))
        return device->name && strcasestr(device->name, colon + 1) != NULL;
    for (uint32_t d = 0; d < index; d++)
        ordinal += machine->devices[d].kind == device->kind;
    return strtoul(colon + 1, NULL, 10) == ordinal;
}

/* --- The setting: "gpu(encoder, decoder); cpu(=head)" --- */

static he_status bad_rules(const char *text, const char *at, const char *expected)
{
    return he_error_set(HE_ERR_SETTING,
                        "scheduling.layers \"%s\": expected %s at character %zu, as in "
                        "\"gpu(encoder, decoder); cpu(=head)\"",
                        text, expected, (size_t)(at - text) + 1);
}

/* The text up to one of @stops, blanks around it dropped. */
static const char *take_word(struct he_arena *arena, const char **at, const char *stops)
{
    const char *begin = *at + strspn(*at, " \t\n"), *end;

    *at = begin + strcspn(begin, stops);
    end = *at;
    while (end > begin && isspace((unsigned char)end[-1]))
        end--;
    return he_arena_string(arena, begin, (size_t)(end - begin));
}

static he_status add_rule(struct reader *r, const char *text, const char *designator,
                          const char **at)
{
    const char *begin = *at, *pattern = take_word(r->arena, at, ",()");
    bool is_exact;

    if (!pattern)
        return he_no_memory();
    is_exact = pattern[0] == '=';
    pattern += is_exact;
    if (!*pattern)
        return bad_rules(text, begin, "an annotation");
    r->rules[r->rule_count++] = (struct layer_rule){ designator, pattern, is_exact };
    return HE_OK;
}

static he_status read_rules(struct reader *r, const char *text)
{
    const char *at = text;

    /* Each rule ends in ',' or ')'. */
    r->rules = he_arena_alloc(r->arena, strlen(text), sizeof *r->rules);
    if (!r->rules)
        return he_no_memory();
    while (*(at += strspn(at, " \t\n;"))) {
        const char *begin = at, *designator = take_word(r->arena, &at, "();,");

        if (!designator)
            return he_no_memory();
        if (!*designator)
            return bad_rules(text, begin, "a device");
        if (*at != '(')
            return bad_rules(text, at, "'('");
        do {
            he_status status;

            at++;
            status = add_rule(r, text, designator, &at);
            if (status != HE_OK)
                return status;
        } while (*at == ',');
        if (*at != ')')
            return bad_rules(text, at, "',' or ')'");
        at++;
    }
    return HE_OK;
}

/* The device a rule gives @annotation; prefixes go before whole names, left before right. */
static const char *find_rule(const struct reader *r, const char *annotation)
{
    for (int exact = 0; exact < 2; exact++) {
        for (size_t k = 0; k < r->rule_count; k++) {
            const struct layer_rule *rule = &r->rules[k];

            if (rule->is_exact == (exact == 1) &&
                (exact ? strcmp(annotation, rule->pattern)
                       : strncmp(annotation, rule->pattern, strlen(rule->pattern))) == 0)
                return rule->designator;
        }
    }
    return NULL;
}

/* --- What a node wants --- */

static bool allow(struct reader *r, const char *designator)
{
    bool is_here = false;

    for (uint32_t d = 0; d < r->machine->device_count; d++) {
        bool means = he_designator_means(r->machine, d, designator);

        r->allowed[d] |= means;
        is_here |= means;
    }
    return is_here;
}

static const struct onnx_configuration *find_configuration(const struct reader *r,
                                                           const char *name)
{
    for (size_t k = 0; k < r->model->configuration_count; k++) {
        if (strcmp(r->model->configurations[k].name, name) == 0)
            return &r->model->configurations[k];
    }
    return NULL;
}

/* The sharding that says most of where a node runs: that of its first output, else its first. */
static const struct onnx_sharding *main_sharding(const struct onnx_node *node,
                                                 const struct onnx_node_device *device)
{
    for (size_t k = 0; k < device->sharding_count; k++) {
        if (node->output_count > 0 && strcmp(device->shardings[k].tensor, node->outputs[0]) == 0)
            return &device->shardings[k];
    }
    return device->sharding_count > 0 ? &device->shardings[0] : NULL;
}

/* True when @node has a device in one of the model's configurations. */
static bool read_configured(struct reader *r, const struct onnx_node *node, struct he_hint *hint)
{
    for (size_t k = 0; k < node->node_device_count; k++) {
        const struct onnx_node_device *device = &node->node_devices[k];
        const struct onnx_configuration *configuration =
            find_configuration(r, device->configuration);
        const struct onnx_sharding *sharding = main_sharding(node, device);

        if (!sharding || sharding->device_count == 0)
            continue;
        hint->source = he_arena_printf(r->arena, "device configuration '%s'", device->configuration);
        hint->wanted = "";
        for (size_t i = 0; i < sharding->device_count && !hint->problem; i++) {
            int64_t index = sharding->devices[i];

            if (!configuration || index < 0 || (uint64_t)index >= configuration->name_count) {
                hint->problem = "the model does not name that device";
                break;
            }
            hint->wanted = configuration->devices[index];
            if (!allow(r, hint->wanted))
                hint->problem = "there is no such device here";
        }
        return true;
    }
    return false;
}

static bool read_annotation(struct reader *r, const struct onnx_node *node, struct he_hint *hint)
{
    for (size_t k = 0; k < node->metadata_count; k++) {
        const char *annotation = node->metadata[k].value, *designator;

        if (strcmp(node->metadata[k].key, "layer_ann") != 0)
            continue;
        designator = find_rule(r, annotation);
        hint->source = "layer_ann";
        hint->wanted = designator ? designator : annotation;
        if (!allow(r, hint->wanted))
            hint->problem = designator ? "there is no such device here"
                                       : "it names no device here, and scheduling.layers does not "
                                         "give it one";
        return true;
    }
    return false;
}

/* --- What becomes of it --- */

/* The task that makes what @node makes; HE_NONE when it was folded away or merged. */
static uint32_t find_task(const struct reader *r, const struct onnx_node *node)
{
    for (size_t k = 0; k < node->output_count; k++) {
        uint32_t producer = he_producer_of(&r->producers, node->outputs[k]);

        if (producer != HE_NONE)
            return r->graph->nodes[producer].task;
    }
    return HE_NONE;
}

static bool is_anchor(const struct reader *r, const struct onnx_node *node, uint32_t task)
{
    return node->output_count > 0 &&
           he_producer_of(&r->producers, node->outputs[0]) == r->graph->tasks[task].anchor;
}

/* Forbids every device but the allowed ones, if one of those can run the task. */
static he_status narrow(struct reader *r, struct he_hint *hint)
{
    struct he_problem *p = r->problem;
    size_t row = (size_t)hint->task * p->device_count;
    const char *reason;
    bool can_run = false;

    for (uint32_t d = 0; d < p->device_count; d++)
        can_run |= r->allowed[d] && isfinite(p->time[row + d]);
    if (!can_run) {
        hint->problem = "the device cannot run it";
        return HE_OK;
    }
    reason = he_arena_printf(r->arena, "the model wants it on %s (%s)", hint->wanted, hint->source);
    if (!reason)
        return he_no_memory();
    for (uint32_t d = 0; d < p->device_count; d++) {
        if (r->allowed[d] || isinf(p->time[row + d]))
            continue;
        p->time[row + d] = HE_CANNOT_RUN;
        r->costs[row + d].seconds = HE_CANNOT_RUN;
        r->costs[row + d].source = HE_COST_CANNOT;
        r->costs[row + d].reason = reason;
    }
    return HE_OK;
}

/* Two passes over the nodes: anchors first, then those that ride along. */
static he_status read_nodes(struct reader *r, bool wants_anchors)
{
    for (size_t n = 0; n < r->model->graph.node_count; n++) {
        const struct onnx_node *node = &r->model->graph.nodes[n];
        struct he_hint hint = { .task = find_task(r, node) };
        he_status status = HE_OK;
        uint32_t other;

        if (hint.task == HE_NONE || is_anchor(r, node, hint.task) != wants_anchors)
            continue;
        memset(r->allowed, 0, r->machine->device_count * sizeof *r->allowed);
        if (!read_configured(r, node, &hint) && !read_annotation(r, node, &hint))
            continue;
        if (!hint.source)
            return he_no_memory();
        other = r->hint_of[hint.task];
        if (other && strcmp(r->hints[other - 1].wanted, hint.wanted) == 0)
            continue;
        if (!hint.problem && other && !r->hints[other - 1].problem)
            hint.problem = "it is part of a task that is wanted elsewhere";
        else if (!hint.problem)
            status = narrow(r, &hint);
        if (status != HE_OK)
            return status;
        r->hints[r->hint_count++] = hint;
        if (!other)
            r->hint_of[hint.task] = (uint32_t)r->hint_count;
    }
    return HE_OK;
}

static bool has_hints(const struct he_model *model)
{
    for (size_t n = 0; n < model->graph.node_count; n++) {
        if (model->graph.nodes[n].node_device_count || model->graph.nodes[n].metadata_count)
            return true;
    }
    return false;
}

he_status he_hints_apply(const struct he_model *model, const struct he_graph *graph,
                         const struct he_machine *machine, struct he_problem *problem,
                         struct he_cost *costs, struct he_arena *arena, struct he_hint **out,
                         size_t *count)
{
    struct reader r = { .model = model, .graph = graph, .machine = machine, .problem = problem,
                        .costs = costs, .arena = arena };
    he_status status = HE_OK;

    *out = NULL;
    *count = 0;
    if (machine->settings.layers)
        status = read_rules(&r, machine->settings.layers);
    if (status != HE_OK || strcmp(machine->settings.hints, "ignore") == 0 || !has_hints(model))
        return status;
    r.hints = he_arena_alloc(arena, model->graph.node_count, sizeof *r.hints);
    r.hint_of = he_arena_alloc(arena, graph->task_count, sizeof *r.hint_of);
    r.allowed = he_arena_alloc(arena, machine->device_count, sizeof *r.allowed);
    if (!r.hints || !r.hint_of || !r.allowed)
        return he_no_memory();
    status = he_producers_init(&r.producers, graph, arena);
    if (status == HE_OK)
        status = read_nodes(&r, true);
    if (status == HE_OK)
        status = read_nodes(&r, false);
    *out = r.hints;
    *count = r.hint_count;
    return status;
}
