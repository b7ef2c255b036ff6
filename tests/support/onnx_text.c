/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 64

struct source {
    struct he_arena *arena;
    const char *start, *at;
};

static void graph_body(struct source *from, struct onnx_graph *out);

static void must(const struct source *from, bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "onnx_text: %s at character %zu of: %s\n", what,
            (size_t)(from->at - from->start), from->start);
    abort();
}

static void *take(struct source *from, size_t count, size_t size)
{
    void *memory = he_arena_alloc(from->arena, count, size);

    must(from, memory != NULL, "no memory");
    return memory;
}

static bool skip(struct source *from, char wanted)
{
    if (*from->at != wanted)
        return false;
    from->at++;
    return true;
}

static const char *name(struct source *from)
{
    size_t size = strcspn(from->at, ",=<>()[]|@ ");
    const char *text = he_arena_string(from->arena, from->at, size);

    must(from, text != NULL, "no memory");
    from->at += size;
    return text;
}

/* Up to, not including, @end; "_" is an omitted name. */
static const char **names(struct source *from, char end, size_t *count)
{
    const char **list = take(from, LIST_MAX, sizeof *list);

    *count = 0;
    while (*from->at != end) {
        must(from, *count < LIST_MAX && *from->at, "a list that does not end");
        list[*count] = name(from);
        if (strcmp(list[*count], "_") == 0)
            list[*count] = "";
        ++*count;
        skip(from, ',');
    }
    return list;
}

static struct onnx_value_info *values(struct source *from, size_t *count)
{
    const char **list = names(from, '|', count);
    struct onnx_value_info *out = take(from, *count, sizeof *out);

    for (size_t k = 0; k < *count; k++)
        out[k].name = list[k];
    skip(from, '|');
    return out;
}

static void number(struct source *from, struct onnx_attr *out)
{
    char *end;

    out->f = strtof(from->at, &end);
    out->i = strtoll(from->at, NULL, 10);
    out->type = memchr(from->at, '.', (size_t)(end - from->at)) ? 1 : 2;
    must(from, end > from->at, "no number");
    from->at = end;
}

static void attr(struct source *from, struct onnx_attr *out)
{
    out->name = name(from);
    out->count = 1;
    must(from, skip(from, '='), "an attribute without value");
    if (skip(from, '@')) {
        out->type = 1;
        out->ref_attr_name = name(from);
    } else if (skip(from, '[')) {
        out->type = 5;
        out->graph = take(from, 1, sizeof *out->graph);
        graph_body(from, out->graph);
        must(from, skip(from, ']'), "a graph that does not end");
    } else {
        number(from, out);
    }
}

static void attrs(struct source *from, char end, struct onnx_attr **out, size_t *count)
{
    *out = take(from, LIST_MAX, sizeof **out);
    while (*from->at != end) {
        must(from, *count < LIST_MAX, "too many attributes");
        attr(from, &(*out)[(*count)++]);
        skip(from, ',');
    }
}

static void node(struct source *from, struct onnx_node *out)
{
    char *dot;

    out->name = out->domain = out->overload = "";
    out->outputs = names(from, '=', &out->output_count);
    skip(from, '=');
    out->op_type = name(from);
    dot = strrchr(out->op_type, '.');
    if (dot) {
        *dot = '\0';
        out->domain = out->op_type;
        out->op_type = dot + 1;
    }
    if (skip(from, '<')) {
        attrs(from, '>', &out->attrs, &out->attr_count);
        skip(from, '>');
    }
    must(from, skip(from, '('), "no inputs");
    out->inputs = names(from, ')', &out->input_count);
    skip(from, ')');
}

static void graph_body(struct source *from, struct onnx_graph *out)
{
    out->name = "";
    out->inputs = values(from, &out->input_count);
    out->outputs = values(from, &out->output_count);
    out->nodes = take(from, LIST_MAX, sizeof *out->nodes);
    while (*from->at && *from->at != ']') {
        must(from, out->node_count < LIST_MAX, "too many nodes");
        node(from, &out->nodes[out->node_count++]);
        skip(from, ' ');
    }
}

void onnx_text_graph(struct he_arena *arena, const char *text, struct onnx_graph *out)
{
    struct source from = { arena, text, text };

    *out = (struct onnx_graph){ 0 };
    graph_body(&from, out);
    must(&from, !*from.at, "something left over");
}

void onnx_text_function(struct he_arena *arena, const char *name_text, const char *graph,
                        const char *attr_names, const char *defaults, struct onnx_function *out)
{
    struct source declared = { arena, attr_names, attr_names };
    struct source given = { arena, defaults, defaults };
    struct onnx_graph body;

    onnx_text_graph(arena, graph, &body);
    *out = (struct onnx_function){ .name = name_text, .domain = "my", .overload = "",
                                   .nodes = body.nodes, .node_count = body.node_count,
                                   .input_count = body.input_count,
                                   .output_count = body.output_count };
    out->inputs = take(&given, LIST_MAX, sizeof *out->inputs);
    out->outputs = take(&given, LIST_MAX, sizeof *out->outputs);
    for (size_t k = 0; k < body.input_count; k++)
        out->inputs[k] = body.inputs[k].name;
    for (size_t k = 0; k < body.output_count; k++)
        out->outputs[k] = body.outputs[k].name;
    out->attr_names = names(&declared, '\0', &out->attr_name_count);
    attrs(&given, '\0', &out->attr_defaults, &out->attr_default_count);
}

/* --- Printing --- */

static void print_names(const char *const *list, size_t count, struct he_text *out)
{
    for (size_t k = 0; k < count; k++)
        he_text_printf(out, "%s%s", k ? "," : "", *list[k] ? list[k] : "_");
}

static void print_values(const struct onnx_value_info *list, size_t count, struct he_text *out)
{
    for (size_t k = 0; k < count; k++)
        he_text_printf(out, "%s%s", k ? "," : "", list[k].name);
    he_text_printf(out, "|");
}

static void print_attr(const struct onnx_attr *one, struct he_text *out)
{
    he_text_printf(out, "%s=", one->name);
    if (one->ref_attr_name)
        he_text_printf(out, "@%s", one->ref_attr_name);
    else if (one->type == 1)
        he_text_printf(out, "%.1f", (double)one->f);
    else if (one->type == 2)
        he_text_printf(out, "%lld", (long long)one->i);
    else if (one->type == 5) {
        he_text_printf(out, "[");
        onnx_text_print(one->graph, out);
        he_text_printf(out, "]");
    }
}

static void print_node(const struct onnx_node *one, struct he_text *out)
{
    if (*one->name)
        he_text_printf(out, "%s:", one->name);
    print_names(one->outputs, one->output_count, out);
    he_text_printf(out, "=%s%s%s", one->domain, *one->domain ? "." : "", one->op_type);
    if (one->attr_count) {
        for (size_t k = 0; k < one->attr_count; k++) {
            he_text_printf(out, "%s", k ? "," : "<");
            print_attr(&one->attrs[k], out);
        }
        he_text_printf(out, ">");
    }
    he_text_printf(out, "(");
    print_names(one->inputs, one->input_count, out);
    he_text_printf(out, ")");
    if (one->opset)
        he_text_printf(out, "^%d", one->opset);
}

void onnx_text_print(const struct onnx_graph *graph, struct he_text *out)
{
    print_values(graph->inputs, graph->input_count, out);
    print_values(graph->outputs, graph->output_count, out);
    for (size_t k = 0; k < graph->node_count; k++) {
        if (k)
            he_text_printf(out, " ");
        print_node(&graph->nodes[k], out);
    }
}
