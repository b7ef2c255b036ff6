/* SPDX-License-Identifier: Apache-2.0 */
#include "support/ops_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    char letter;
    enum he_dtype dtype;
} types[] = {
    { 'f', HE_FLOAT32 }, { 'd', HE_FLOAT64 }, { 'h', HE_FLOAT16 }, { 'g', HE_BFLOAT16 },
    { 'i', HE_INT64 },   { 'j', HE_INT32 },   { 'u', HE_UINT8 },   { 'c', HE_INT8 },
    { 'b', HE_BOOL },    { 's', HE_STRING },  { '?', HE_DTYPE_NONE },
};

static void bad(const char *what, const char *at)
{
    fprintf(stderr, "ops_text: %s at \"%s\"\n", what, at);
    abort();
}

static void *block(struct ops_text *text, size_t size)
{
    void *memory = calloc(1, size ? size : 1);

    if (!memory || text->block_count == sizeof text->blocks / sizeof text->blocks[0])
        abort();
    text->blocks[text->block_count++] = memory;
    return memory;
}

/* A size, a symbol or ?. */
static int64_t read_dim(const char **p)
{
    char *end;
    int64_t dim;

    if (**p == '?') {
        (*p)++;
        return HE_DIM_UNKNOWN;
    }
    if (islower((unsigned char)**p))
        return -2 - (*(*p)++ - 'a');
    dim = strtoll(*p, &end, 10);
    if (end == *p)
        bad("no dimension", *p);
    *p = end;
    return dim;
}

static void put_number(const char **p, enum he_dtype dtype, unsigned char *to)
{
    char *end;
    double number = strtod(*p, &end);
    int64_t integer = strtoll(*p, NULL, 10);
    float f = (float)number;
    int32_t i32 = (int32_t)integer;

    if (end == *p)
        bad("no number", *p);
    *p = end;
    switch (dtype) {
    case HE_FLOAT32:
        memcpy(to, &f, sizeof f);
        break;
    case HE_FLOAT64:
        memcpy(to, &number, sizeof number);
        break;
    case HE_INT64:
        memcpy(to, &integer, sizeof integer);
        break;
    case HE_INT32:
        memcpy(to, &i32, sizeof i32);
        break;
    default: /* one byte, or two of which the low one */
        to[0] = (unsigned char)integer;
        break;
    }
}

static void read_value(struct ops_text *text, const char **p, struct he_value *value)
{
    size_t k;

    memset(value, 0, sizeof *value);
    value->name = "";
    value->producer = HE_NONE;
    for (k = 0; k < sizeof types / sizeof types[0] && types[k].letter != **p; k++)
        ;
    if (k == sizeof types / sizeof types[0])
        bad("no type", *p);
    value->dtype = types[k].dtype;
    if (*++*p != '[')
        bad("no shape", *p);
    ++*p;
    if (strncmp(*p, "...]", 4) == 0) {
        value->shape.rank = HE_RANK_UNKNOWN;
        *p += 4;
        return;
    }
    while (**p != ']') {
        value->shape.dims[value->shape.rank++] = read_dim(p);
        if (**p == ',')
            ++*p;
    }
    ++*p;
    if (**p == '{') {
        int64_t bytes = he_shape_bytes(&value->shape, value->dtype);
        size_t width = he_dtype_bits(value->dtype) / 8, at = 0;
        unsigned char *data = block(text, (size_t)bytes);

        for (++*p; **p != '}'; at += width) {
            if (at + width > (size_t)bytes)
                bad("too many contents", *p);
            put_number(p, value->dtype, data + at);
            if (**p == ',')
                ++*p;
        }
        ++*p;
        if (at != (size_t)bytes)
            bad("too few contents", *p);
        value->data = data;
        value->data_bytes = (size_t)bytes;
    } else if (**p == '<') {
        size_t count = 0;

        value->has_known_ints = true;
        for (++*p; **p != '>';) {
            value->known_ints[count++] = read_dim(p);
            if (**p == ',')
                ++*p;
        }
        ++*p;
    }
}

static void read_list(struct ops_text *text, const char **p, struct he_attr *attr)
{
    int64_t *ints = block(text, OPS_TEXT_MAX * sizeof *ints);
    float *floats = block(text, OPS_TEXT_MAX * sizeof *floats);

    attr->kind = HE_ATTR_INTS;
    for (++*p; **p != ']'; attr->count++) {
        char *end;

        ints[attr->count] = strtoll(*p, &end, 10);
        floats[attr->count] = strtof(*p, NULL);
        if (*end == '.') {
            attr->kind = HE_ATTR_FLOATS;
            strtof(*p, &end);
        }
        if (end == *p)
            bad("no number", *p);
        *p = *end == ',' ? end + 1 : end;
    }
    ++*p;
    attr->ints = attr->kind == HE_ATTR_INTS ? ints : NULL;
    attr->floats = attr->kind == HE_ATTR_FLOATS ? floats : NULL;
}

static void read_attr(struct ops_text *text, const char **p)
{
    struct he_attr *attr = &text->attrs[text->node.attr_count];
    size_t length = strcspn(*p, "=");
    char *name = block(text, length + 1), *word;

    memcpy(name, *p, length);
    attr->name = name;
    *p += length + 1;
    if (**p == '[') {
        read_list(text, p, attr);
    } else if (isalpha((unsigned char)**p) && (*p)[1] == '[') {
        struct he_value *tensor = &text->tensors[text->node.attr_count];

        read_value(text, p, tensor);
        attr->kind = HE_ATTR_TENSOR;
        attr->tensor = tensor;
    } else {
        length = strcspn(*p, " ");
        word = block(text, length + 1);
        memcpy(word, *p, length);
        *p += length;
        if (isdigit((unsigned char)word[0]) || word[0] == '-') {
            attr->kind = strchr(word, '.') ? HE_ATTR_FLOAT : HE_ATTR_INT;
            attr->i = strtoll(word, NULL, 10);
            attr->f = strtof(word, NULL);
        } else {
            attr->kind = HE_ATTR_STRING;
            attr->s = word;
            attr->s_bytes = length;
        }
    }
    text->node.attr_count++;
}

void ops_text_init(struct ops_text *text, const char *op, int opset, const char *attrs,
                   const char *inputs, uint32_t output_count)
{
    const char *p = inputs;
    uint32_t count = 0;

    memset(text, 0, sizeof *text);
    text->node = (struct he_node){ .name = "", .op = op, .domain = "", .opset = opset };
    text->node.attrs = text->attrs;
    text->node.inputs = text->in_index;
    text->node.outputs = text->out_index;
    text->node.output_count = output_count;
    while (*p) {
        if (*p == ' ') {
            p++;
            continue;
        }
        text->in_index[count] = count;
        if (*p == '-') {
            text->in_index[count] = HE_NONE;
            p++;
        } else {
            read_value(text, &p, &text->values[count]);
            text->in[count] = &text->values[count];
        }
        count++;
    }
    text->node.input_count = text->node.explicit_input_count = count;
    for (uint32_t k = 0; k < output_count; k++) {
        struct he_value *value = &text->values[OPS_TEXT_MAX + k];

        value->name = "";
        value->shape.rank = HE_RANK_UNKNOWN;
        text->out_index[k] = OPS_TEXT_MAX + k;
        text->out[k] = value;
    }
    for (p = attrs; *p;) {
        if (*p == ' ')
            p++;
        else
            read_attr(text, &p);
    }
}

void ops_text_fini(struct ops_text *text)
{
    for (size_t k = 0; k < text->block_count; k++)
        free(text->blocks[k]);
}

static void append(char *buffer, size_t size, const char *format, ...) HE_PRINTF(3, 4);
static void append(char *buffer, size_t size, const char *format, ...)
{
    size_t used = strlen(buffer);
    va_list args;

    va_start(args, format);
    vsnprintf(buffer + used, size - used, format, args);
    va_end(args);
}

static void append_dim(char *buffer, size_t size, int64_t dim)
{
    if (dim >= 0)
        append(buffer, size, "%" PRId64, dim);
    else if (dim == HE_DIM_UNKNOWN)
        append(buffer, size, "?");
    else
        append(buffer, size, "%c", (int)('a' + (-2 - dim)));
}

const char *ops_text_outputs(const struct ops_text *text, char *buffer, size_t size)
{
    buffer[0] = '\0';
    for (uint32_t k = 0; k < text->node.output_count; k++) {
        const struct he_value *value = text->out[k];
        char letter = '!';

        for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
            if (types[t].dtype == value->dtype)
                letter = types[t].letter;
        }
        append(buffer, size, "%s%c[", k ? " " : "", letter);
        if (value->shape.rank == HE_RANK_UNKNOWN)
            append(buffer, size, "...");
        for (uint32_t d = 0; value->shape.rank <= HE_MAX_RANK && d < value->shape.rank; d++) {
            append(buffer, size, "%s", d ? "," : "");
            append_dim(buffer, size, value->shape.dims[d]);
        }
        append(buffer, size, "]");
        if (!value->has_known_ints)
            continue;
        append(buffer, size, "<");
        for (int64_t d = 0; d < he_shape_count(&value->shape); d++) {
            append(buffer, size, "%s", d ? "," : "");
            append_dim(buffer, size, value->known_ints[d]);
        }
        append(buffer, size, ">");
    }
    return buffer;
}
