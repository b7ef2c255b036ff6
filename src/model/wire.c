/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protobuf wire format: varints, fixed-width numbers and length-prefixed
 * bytes, after the encoding page of the protobuf documentation. Groups (wire
 * types 3 and 4) were deprecated before ONNX existed; they mean damage here.
 */
#include "wire.h"

#include <stdio.h>
#include <string.h>

he_status he_wire_fail(const struct he_wire *wire, const uint8_t *at, he_status status,
                       const char *format, ...)
{
    char sentence[1000];
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    return he_error_set(status, "byte %zu: %s", (size_t)(at - wire->base), sentence);
}

struct he_wire he_wire_open(const void *data, size_t size, const struct he_wire_message *message)
{
    const uint8_t *bytes = data;

    return (struct he_wire){
        .message = message, .base = bytes, .at = bytes, .end = bytes + size};
}

struct he_wire he_wire_enter(const struct he_wire *wire, const struct he_wire_field *field,
                             const struct he_wire_message *message)
{
    return (struct he_wire){.message = message,
                            .base = wire->base,
                            .at = field->data,
                            .end = field->data + field->size};
}

static const struct he_wire_known *known_field(const struct he_wire *wire, uint32_t number)
{
    const struct he_wire_message *message = wire->message;

    if (number >= message->field_count || !message->fields[number].name)
        return NULL;
    return &message->fields[number];
}

/* "field 7 (graph)", or "field 99 of the graph" when we do not know it. */
static const char *describe(const struct he_wire *wire, uint32_t number, char *buffer, size_t size)
{
    const struct he_wire_known *known = known_field(wire, number);

    if (known)
        snprintf(buffer, size, "field %u (%s)", (unsigned)number, known->name);
    else
        snprintf(buffer, size, "field %u of the %s", (unsigned)number, wire->message->name);
    return buffer;
}

static he_status read_varint(struct he_wire *wire, uint64_t *out)
{
    const uint8_t *start = wire->at;
    uint64_t value = 0;
    unsigned shift;

    for (shift = 0; shift < 64; shift += 7) {
        uint8_t byte;

        if (wire->at == wire->end)
            return he_wire_fail(wire, start, HE_ERR_PARSE, "the %s ends inside a number",
                                wire->message->name);
        byte = *wire->at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *out = value;
            return HE_OK;
        }
    }
    return he_wire_fail(wire, start, HE_ERR_PARSE, "a number in the %s is longer than 64 bits",
                        wire->message->name);
}

/* Little-endian, whatever the host; compilers make one load of it. */
static uint64_t load_fixed(const uint8_t *at, unsigned width)
{
    uint64_t value = 0;
    unsigned i;

    for (i = 0; i < width; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static he_status read_fixed(struct he_wire *wire, struct he_wire_field *field, unsigned width)
{
    char what[96];

    if ((size_t)(wire->end - wire->at) < width)
        return he_wire_fail(wire, field->at, HE_ERR_PARSE,
                            "%s needs %u bytes but only %zu remain",
                            describe(wire, field->number, what, sizeof what), width,
                            (size_t)(wire->end - wire->at));
    field->value = load_fixed(wire->at, width);
    wire->at += width;
    return HE_OK;
}

static he_status read_bytes(struct he_wire *wire, struct he_wire_field *field)
{
    uint64_t size;
    size_t left;
    char what[96];
    he_status status;

    status = read_varint(wire, &size);
    if (status != HE_OK)
        return status;
    left = (size_t)(wire->end - wire->at);
    if (size > left)
        return he_wire_fail(wire, field->at, HE_ERR_PARSE,
                            "%s says %llu bytes but only %zu remain",
                            describe(wire, field->number, what, sizeof what),
                            (unsigned long long)size, left);
    field->data = wire->at;
    field->size = (size_t)size;
    wire->at += size;
    return HE_OK;
}

/* The next field, known or not. */
static he_status read_field(struct he_wire *wire, struct he_wire_field *out)
{
    uint64_t tag;
    char what[96];
    he_status status;

    *out = (struct he_wire_field){.at = wire->at};
    if (wire->at == wire->end)
        return HE_OK;
    status = read_varint(wire, &tag);
    if (status != HE_OK)
        return status;
    if (tag >> 3 == 0 || tag >> 32 != 0)
        return he_wire_fail(wire, out->at, HE_ERR_PARSE,
                            "the %s has a field number that cannot be (%llu)",
                            wire->message->name, (unsigned long long)(tag >> 3));
    out->number = (uint32_t)(tag >> 3);
    out->type = (enum he_wire_type)(tag & 7);
    switch (tag & 7) {
    case HE_WIRE_VARINT:
        return read_varint(wire, &out->value);
    case HE_WIRE_FIXED64:
        return read_fixed(wire, out, 8);
    case HE_WIRE_FIXED32:
        return read_fixed(wire, out, 4);
    case HE_WIRE_BYTES:
        return read_bytes(wire, out);
    default:
        return he_wire_fail(wire, out->at, HE_ERR_PARSE,
                            "%s has wire type %u, which ONNX does not use",
                            describe(wire, out->number, what, sizeof what), (unsigned)(tag & 7));
    }
}

he_status he_wire_next(struct he_wire *wire, struct he_wire_field *out)
{
    for (;;) {
        const struct he_wire_known *known;
        char what[96];
        he_status status = read_field(wire, out);

        if (status != HE_OK || out->number == 0)
            return status;
        known = known_field(wire, out->number);
        if (!known)
            continue;
        if (out->type == known->type || (known->is_list && out->type == HE_WIRE_BYTES))
            return HE_OK;
        return he_wire_fail(wire, out->at, HE_ERR_PARSE,
                            "%s has wire type %d where %d was expected",
                            describe(wire, out->number, what, sizeof what), (int)out->type,
                            (int)known->type);
    }
}

static unsigned fixed_width(enum he_wire_type type)
{
    return type == HE_WIRE_FIXED64 ? 8 : 4;
}

/* Elements in a packed run. Numbers of fixed width are counted without being
 * looked at: they may be weights, whose pages we do not want to touch. */
static he_status packed_count(const struct he_wire *wire, const struct he_wire_field *field,
                              enum he_wire_type type, size_t *out)
{
    char what[96];
    size_t count = 0, i;

    if (type == HE_WIRE_VARINT) {
        for (i = 0; i < field->size; i++)
            count += !(field->data[i] & 0x80);
        *out = count;
        return HE_OK; /* a number cut short at the end is found when it is read */
    }
    if (field->size % fixed_width(type) != 0)
        return he_wire_fail(wire, field->at, HE_ERR_PARSE,
                            "%s has %zu bytes, not a multiple of %u",
                            describe(wire, field->number, what, sizeof what), field->size,
                            fixed_width(type));
    *out = field->size / fixed_width(type);
    return HE_OK;
}

he_status he_wire_count(const struct he_wire *wire, size_t *counts)
{
    struct he_wire cursor = *wire;

    memset(counts, 0, HE_WIRE_FIELD_MAX * sizeof *counts);
    for (;;) {
        struct he_wire_field field;
        size_t count = 1;
        he_status status = he_wire_next(&cursor, &field);

        if (status != HE_OK || field.number == 0)
            return status;
        if (wire->message->fields[field.number].is_list && field.type == HE_WIRE_BYTES)
            status = packed_count(wire, &field, wire->message->fields[field.number].type, &count);
        if (status != HE_OK)
            return status;
        counts[field.number] += count; /* at most one per byte of the file: no overflow */
    }
}

static void store(void *out, size_t index, unsigned width, uint64_t value)
{
    switch (width) {
    case 1:
        ((uint8_t *)out)[index] = (uint8_t)value;
        break;
    case 2:
        ((uint16_t *)out)[index] = (uint16_t)value;
        break;
    case 4:
        ((uint32_t *)out)[index] = (uint32_t)value;
        break;
    default:
        ((uint64_t *)out)[index] = value;
        break;
    }
}

he_status he_wire_numbers(const struct he_wire *wire, const struct he_wire_field *field, void *out,
                          unsigned width, size_t *used)
{
    enum he_wire_type type = wire->message->fields[field->number].type;
    struct he_wire run;
    size_t n = *used;

    if (field->type != HE_WIRE_BYTES) {
        store(out, n, width, field->value);
        *used = n + 1;
        return HE_OK;
    }
    run = he_wire_enter(wire, field, wire->message);
    while (run.at != run.end) {
        uint64_t value;

        if (type == HE_WIRE_VARINT) {
            he_status status = read_varint(&run, &value);

            if (status != HE_OK)
                return status;
        } else {
            value = load_fixed(run.at, fixed_width(type));
            run.at += fixed_width(type);
        }
        store(out, n++, width, value);
    }
    *used = n;
    return HE_OK;
}

he_status he_wire_string(const struct he_wire *wire, const struct he_wire_field *field,
                         struct he_arena *arena, const char **out)
{
    char what[96];

    if (field->size && memchr(field->data, 0, field->size))
        return he_wire_fail(wire, field->at, HE_ERR_UNSUPPORTED,
                            "%s has a zero byte inside, which no name or string may have here",
                            describe(wire, field->number, what, sizeof what));
    *out = field->size ? he_arena_string(arena, (const char *)field->data, field->size) : "";
    return *out ? HE_OK : he_no_memory();
}

int64_t he_wire_int64(const struct he_wire_field *field)
{
    int64_t value;

    memcpy(&value, &field->value, sizeof value);
    return value;
}

int32_t he_wire_int32(const struct he_wire_field *field)
{
    uint32_t low = (uint32_t)field->value; /* as protobuf does it: cut to 32 bits */
    int32_t value;

    memcpy(&value, &low, sizeof value);
    return value;
}

float he_wire_float(const struct he_wire_field *field)
{
    uint32_t bits = (uint32_t)field->value;
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}
