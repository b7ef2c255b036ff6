/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf fields by hand, for messages our writer would never write. */
#ifndef TESTS_SUPPORT_PROTO_H
#define TESTS_SUPPORT_PROTO_H

#include "core/text.h"

void proto_varint(struct he_text *out, uint64_t value); /* no tag: for packed runs */
void proto_number(struct he_text *out, unsigned field, uint64_t value);
void proto_fixed(struct he_text *out, unsigned field, const void *value, unsigned width);
void proto_bytes(struct he_text *out, unsigned field, const void *data, size_t size);
void proto_string(struct he_text *out, unsigned field, const char *text);
/* The message in @inner as a field of @out; frees @inner. */
void proto_message(struct he_text *out, unsigned field, struct he_text *inner);

#endif
