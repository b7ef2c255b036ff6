/* SPDX-License-Identifier: Apache-2.0 */
#include "proto.h"

#include <string.h>

void proto_varint(struct he_text *out, uint64_t value)
{
    do {
        char byte = (char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));

        he_text_append(out, &byte, 1);
        value >>= 7;
    } while (value);
}

void proto_number(struct he_text *out, unsigned field, uint64_t value)
{
    proto_varint(out, field << 3);
    proto_varint(out, value);
}

void proto_fixed(struct he_text *out, unsigned field, const void *value, unsigned width)
{
    proto_varint(out, field << 3 | (width == 8 ? 1 : 5));
    he_text_append(out, value, width);
}

void proto_bytes(struct he_text *out, unsigned field, const void *data, size_t size)
{
    proto_varint(out, field << 3 | 2);
    proto_varint(out, size);
    he_text_append(out, data, size);
}

void proto_string(struct he_text *out, unsigned field, const char *text)
{
    proto_bytes(out, field, text, strlen(text));
}

void proto_message(struct he_text *out, unsigned field, struct he_text *inner)
{
    proto_bytes(out, field, he_text_string(inner), inner->size);
    he_text_fini(inner);
}
