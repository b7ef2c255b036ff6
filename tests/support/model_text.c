/* SPDX-License-Identifier: Apache-2.0 */
/* A recursive-descent reader for model_text.h. */
#include "model_text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 400 /* of anything in one graph */

struct reader {
    struct he_arena *arena;
    const char *text, *at;
    struct he_model *model;
};

static void fail(const struct reader *r, const char *what)
{
    fprintf(stderr, "model_text: expected %s at: %.40s\n", what, r->at);
    abort();
}

static void *make(const struct reader *r, size_t count, size_t size)
{
    void *memory = he_arena_alloc(r->arena, count, size);

    if (!memory)
        abort();
    return memory;
}

static void skip(struct reader *r)
{
    while (*r->at == ' ')
        r->at++;
}

static void skip_lines(struct reader *r)
{
    while (*r->at == ' ' || *r->at == '\n' || *r->at == ';')
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip(r);
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

static void need(struct reader *r, char c)
{
    char what[] = { '\'', c, '\'', '\0' };

    if (!take(r, c))
        fail(r, what);
}

/* Letters, digits, and what stands in names; "" when there is none. */
static const char *word(struct reader *r)
{
    const char *start;
    char *copy;

    skip(r);
    start = r->at;
    while (isalnum((unsigned char)*r->at) || (*r->at && strchr("_./:#", *r->at)))
        r->at++;
    copy = he_arena_string(r->arena, start, (size_t)(r->at - start));
    if (!copy)
        abort();
    return copy;
}

static bool take_word(struct reader *r, const char *wanted)
{
    size_t size = strlen(wanted);

    skip(r);
    if (strncmp(r->at, wanted, size) != 0 || r->at[size] != ' ')
        return false;
    r->at += size;
    return true;
}

static double number(struct reader *r)
{
    char *end;
    double value;

    skip(r);
    value = strtod(r->at, &end);
    if (end == r->at)
        fail(r, "a number");
    r->at = end;
    return value;
}

static enum he_dtype dtype(struct reader *r)
{
    static const struct {
        const char *name;
        enum he_dtype dtype;
    } types[] = {
        { "f32", HE_FLOAT32 }, { "f64", HE_FLOAT64 }, { "i32", HE_INT32 }, { "i64", HE_INT64 },
        { "b8", HE_BOOL },     { "u8", HE_UINT8 },    { "i8", HE_INT8 },   { "str", HE_STRING },
    };
    const char *name = word(r);

    for (size_t k = 0; k < sizeof types / sizeof types[0]; k++)
        if (strcmp(types[k].name, name) == 0)
            return types[k].dtype;
    fail(r, "a type");
    return HE_DTYPE_NONE;
}

static void value_info(struct reader *r, struct onnx_value_info *info)
{
    info->name = word(r);
    info->dtype = dtype(r);
    need(r, '[');
    info->dims = make(r, HE_MAX_RANK + 4, sizeof *info->dims);
    if (take(r, '*')) {
        need(r, ']');
        return;
    }
    info->has_shape = true;
    while (!take(r, ']')) {
        struct onnx_dim *dim = &info->dims[info->dim_count++];

        skip(r);
        *dim = (struct onnx_dim){ .value = -1, .param = "" };
        if (isdigit((unsigned char)*r->at))
            dim->value = (int64_t)number(r);
        else if (!take(r, '?'))
            dim->param = word(r);
        (void)take(r, ',');
    }
}

static void store(enum he_dtype type, void *data, size_t k, double value)
{
    switch (type) {
    case HE_FLOAT32:
        ((float *)data)[k] = (float)value;
        break;
    case HE_FLOAT64:
        ((double *)data)[k] = value;
        break;
    case HE_INT32:
        ((int32_t *)data)[k] = (int32_t)value;
        break;
    case HE_INT64:
        ((int64_t *)data)[k] = (int64_t)value;
        break;
    default:
        ((int8_t *)data)[k] = (int8_t)value;
    }
}

/* A constant's contents lie one byte off any alignment, as they may in a file. */
static void constant(struct reader *r, struct onnx_tensor *tensor)
{
    struct onnx_value_info info = { 0 };
    unsigned char *unaligned;
    uint32_t state = 2463534242u;
    size_t count;
    void *data;

    value_info(r, &info);
    tensor->name = info.name;
    tensor->dtype = info.dtype;
    tensor->shape.rank = (uint32_t)info.dim_count;
    for (size_t d = 0; d < info.dim_count; d++)
        tensor->shape.dims[d] = info.dims[d].value;
    count = (size_t)he_shape_count(&tensor->shape);
    if (info.dtype == HE_STRING) {
        tensor->strings = make(r, count, sizeof *tensor->strings);
        tensor->string_count = count;
        return;
    }
    tensor->data_bytes = (size_t)he_shape_bytes(&tensor->shape, info.dtype);
    data = make(r, count, 8);
    for (const char *c = tensor->name; *c; c++)
        state = (state ^ (uint32_t)*c) * 16777619u;
    skip(r);
    if (strncmp(r->at, "rand", 4) == 0) {
        r->at += 4;
        for (size_t k = 0; k < count; k++) {
            state = state * 1664525u + 1013904223u;
            store(info.dtype, data, k, (double)(state >> 8) / (1 << 23) - 1);
        }
    } else {
        double value = 0;

        need(r, '=');
        for (size_t k = 0; k < count; k++) {
            if (k == 0 || take(r, ','))
                value = number(r);
            store(info.dtype, data, k, value);
        }
    }
    unaligned = make(r, tensor->data_bytes + 1, 1);
    memcpy(unaligned + 1, data, tensor->data_bytes);
    tensor->data = unaligned + 1;
}

static void graph(struct reader *r, struct onnx_graph *out, char end);

static void attribute(struct reader *r, struct onnx_attr *attr)
{
    const char *start;

    attr->name = word(r);
    need(r, '=');
    if (take(r, '{')) {
        attr->type = 5;
        attr->graph = make(r, 1, sizeof *attr->graph);
        graph(r, attr->graph, '}');
    } else if (take(r, '[')) {
        int64_t *ints = make(r, 64, sizeof *ints);

        attr->type = 7;
        attr->ints = ints;
        while (!take(r, ']')) {
            ints[attr->count++] = (int64_t)number(r);
            (void)take(r, ',');
        }
    } else if (take(r, '"')) {
        start = r->at;
        while (*r->at && *r->at != '"')
            r->at++;
        attr->type = 3;
        attr->s_bytes = (size_t)(r->at - start);
        attr->s = he_arena_string(r->arena, start, attr->s_bytes);
        need(r, '"');
    } else {
        skip(r);
        start = r->at;
        attr->f = (float)number(r);
        attr->type = memchr(start, '.', (size_t)(r->at - start)) ? 1 : 2;
        attr->i = (int64_t)attr->f;
    }
}

static size_t names(struct reader *r, const char ***out, char end)
{
    size_t count = 0;

    *out = make(r, MOST, sizeof **out);
    if (take(r, end))
        return 0;
    do
        (*out)[count++] = word(r);
    while (take(r, ','));
    need(r, end);
    return count;
}

static void node(struct reader *r, struct onnx_node *out)
{
    char *dot;

    out->name = out->domain = out->overload = "";
    out->output_count = names(r, &out->outputs, '=');
    out->op_type = word(r);
    dot = strrchr(out->op_type, '.');
    if (dot) {
        *dot = '\0';
        out->domain = out->op_type;
        out->op_type = dot + 1;
    }
    out->attrs = make(r, 16, sizeof *out->attrs);
    if (take(r, '<')) {
        do {
            skip_lines(r);
            attribute(r, &out->attrs[out->attr_count++]);
        } while (take(r, ','));
        need(r, '>');
    }
    need(r, '(');
    out->input_count = names(r, &out->inputs, ')');
    if (take(r, '^'))
        out->opset = (int)number(r);
    if (take(r, '@'))
        out->name = word(r);
}

static void graph(struct reader *r, struct onnx_graph *out, char end)
{
    out->name = "";
    out->nodes = make(r, MOST, sizeof *out->nodes);
    out->initializers = make(r, MOST, sizeof *out->initializers);
    out->inputs = make(r, MOST, sizeof *out->inputs);
    out->outputs = make(r, MOST, sizeof *out->outputs);
    for (;;) {
        skip_lines(r);
        if (*r->at == end)
            break;
        if (out->node_count == MOST || out->initializer_count == MOST || out->input_count == MOST)
            fail(r, "fewer statements");
        if (take_word(r, "opset")) {
            r->model->opsets[0].version = (int64_t)number(r);
        } else if (take_word(r, "in")) {
            value_info(r, &out->inputs[out->input_count++]);
        } else if (take_word(r, "const")) {
            constant(r, &out->initializers[out->initializer_count++]);
        } else if (take_word(r, "out")) {
            struct onnx_value_info *info = &out->outputs[out->output_count++];

            info->name = word(r);
            skip(r);
            info->has_shape = isdigit((unsigned char)*r->at);
            if (info->has_shape)
                info->dim_count = (size_t)number(r);
        } else {
            node(r, &out->nodes[out->node_count++]);
        }
        skip(r);
        if (*r->at != end && *r->at != '\n' && *r->at != ';')
            fail(r, "the end of a statement");
    }
    if (end)
        r->at++;
}

struct he_model *model_text(struct he_arena *arena, const char *text)
{
    struct reader r = { .arena = arena, .text = text, .at = text };
    struct he_model *model = make(&r, 1, sizeof *model);

    r.model = model;
    model->path = "";
    model->ir_version = 8;
    model->opsets = make(&r, 1, sizeof *model->opsets);
    model->opset_count = 1;
    model->opsets[0] = (struct onnx_opset){ "", 17 };
    graph(&r, &model->graph, '\0');
    return model;
}
