/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protobuf wire format, read in place with every length checked.
 *
 * A cursor walks the fields of one message. It is told by a table which fields
 * the message has, so that it checks their wire types, skips what is unknown,
 * and names the field when a file is damaged. Offsets in error sentences count
 * from the first byte of the document, however deep the message is nested.
 */
#ifndef HE_MODEL_WIRE_H
#define HE_MODEL_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/alloc.h"

enum he_wire_type {
    HE_WIRE_VARINT = 0,
    HE_WIRE_FIXED64 = 1,
    HE_WIRE_BYTES = 2,
    HE_WIRE_FIXED32 = 5,
};

/* One known field; the table of a message is indexed by field number. */
struct he_wire_known {
    const char *name; /* NULL: no such field */
    enum he_wire_type type;
    bool is_list; /* repeated numbers: may come packed in one run of bytes */
};

struct he_wire_message {
    const char *name; /* as people say it: "graph" */
    const struct he_wire_known *fields;
    size_t field_count;
};

#define HE_WIRE_FIELD_MAX 27 /* no table reaches further: counts fit in a fixed array */

struct he_wire {
    const struct he_wire_message *message;
    const uint8_t *base; /* byte 0 of the document */
    const uint8_t *at, *end;
};

struct he_wire_field {
    uint32_t number; /* 0: the message has ended */
    enum he_wire_type type;
    const uint8_t *at;   /* where its tag stands */
    uint64_t value;      /* of a number */
    const uint8_t *data; /* of bytes */
    size_t size;
};

/* A cursor over a whole document. */
struct he_wire he_wire_open(const void *data, size_t size, const struct he_wire_message *message);
/* A cursor over the message in @field, which holds bytes. */
struct he_wire he_wire_enter(const struct he_wire *wire, const struct he_wire_field *field,
                             const struct he_wire_message *message);

/* The next known field; its type fits the table. number is 0 at the end. */
he_status he_wire_next(struct he_wire *wire, struct he_wire_field *out) HE_MUST_CHECK;
/* How often each field occurs from here to the end, lists of numbers counted
 * by element. @counts has HE_WIRE_FIELD_MAX entries. */
he_status he_wire_count(const struct he_wire *wire, size_t *counts) HE_MUST_CHECK;

/* Appends the numbers of a list field, packed or lone, to @out: the low @width
 * (1, 2, 4 or 8) bytes of each, in host order, from element *used on, which it
 * moves. he_wire_count() has said how many will come. */
he_status he_wire_numbers(const struct he_wire *wire, const struct he_wire_field *field, void *out,
                          unsigned width, size_t *used) HE_MUST_CHECK;
/* The bytes of @field as a C string. A NUL inside is refused: it would make two
 * different names equal. */
he_status he_wire_string(const struct he_wire *wire, const struct he_wire_field *field,
                         struct he_arena *arena, const char **out) HE_MUST_CHECK;

int32_t he_wire_int32(const struct he_wire_field *field);
int64_t he_wire_int64(const struct he_wire_field *field);
float he_wire_float(const struct he_wire_field *field);

/* Sets "byte N: sentence" for a place in the document. */
he_status he_wire_fail(const struct he_wire *wire, const uint8_t *at, he_status status,
                       const char *format, ...) HE_PRINTF(4, 5);

#endif
