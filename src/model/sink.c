/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of protobuf messages, one after the other. */
#include "sink.h"

#include <string.h>

void he_put_bytes(struct he_sink *sink, const void *data, size_t size)
{
    sink->size += size;
    if (sink->text)
        he_text_append(sink->text, data, size);
}

void he_put_varint(struct he_sink *sink, uint64_t value)
{
    uint8_t bytes[10];
    size_t count = 0;

    while (value > 0x7f) {
        bytes[count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[count++] = (uint8_t)value;
    he_put_bytes(sink, bytes, count);
}

void he_put_tag(struct he_sink *sink, uint32_t number, enum he_wire_type type)
{
    he_put_varint(sink, (uint64_t)number << 3 | type);
}

void he_put_int(struct he_sink *sink, uint32_t number, int64_t value)
{
    he_put_tag(sink, number, HE_WIRE_VARINT);
    he_put_varint(sink, (uint64_t)value);
}

void he_put_fixed32(struct he_sink *sink, float value)
{
    uint32_t bits;
    uint8_t bytes[4];

    memcpy(&bits, &value, sizeof bits);
    for (unsigned k = 0; k < 4; k++)
        bytes[k] = (uint8_t)(bits >> (8 * k));
    he_put_bytes(sink, bytes, sizeof bytes);
}

void he_put_data(struct he_sink *sink, uint32_t number, const void *data, size_t size)
{
    he_put_tag(sink, number, HE_WIRE_BYTES);
    he_put_varint(sink, size);
    he_put_bytes(sink, data, size);
}

void he_put_string(struct he_sink *sink, uint32_t number, const char *text)
{
    he_put_data(sink, number, text ? text : "", text ? strlen(text) : 0);
}

/* Nothing at all for "", which is what a missing field reads as. */
void he_put_name(struct he_sink *sink, uint32_t number, const char *text)
{
    if (text && *text)
        he_put_string(sink, number, text);
}

void he_put_strings(struct he_sink *sink, uint32_t number, const char *const *texts, size_t count)
{
    for (size_t k = 0; k < count; k++)
        he_put_string(sink, number, texts[k]);
}

void he_put_message(struct he_sink *sink, uint32_t number, he_write_fn write, const void *message)
{
    struct he_sink counter = { .text = NULL };

    write(&counter, message);
    he_put_tag(sink, number, HE_WIRE_BYTES);
    he_put_varint(sink, counter.size);
    if (sink->text)
        write(sink, message);
    else
        sink->size += counter.size;
}

void he_put_messages(struct he_sink *sink, uint32_t number, he_write_fn write, const void *messages,
                         size_t count, size_t size)
{
    for (size_t k = 0; k < count; k++)
        he_put_message(sink, number, write, (const char *)messages + k * size);
}
