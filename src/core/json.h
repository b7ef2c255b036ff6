/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a JSON document into a tree in an arena. Errors name line and column.
 * Depth is bounded; numbers are doubles (and exact int64 where they are integers).
 */
#ifndef HE_CORE_JSON_H
#define HE_CORE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc.h"

enum he_json_kind {
    HE_JSON_NULL,
    HE_JSON_BOOL,
    HE_JSON_NUMBER,
    HE_JSON_STRING,
    HE_JSON_ARRAY,
    HE_JSON_OBJECT,
};

struct he_json {
    enum he_json_kind kind;
    unsigned line, column;
    const char *key; /* inside an object, else NULL */
    bool boolean;
    double number;
    bool is_integer; /* integer holds it exactly */
    int64_t integer;
    const char *string; /* NUL-terminated UTF-8 */
    struct he_json *child; /* first of an array or object */
    struct he_json *next;  /* sibling */
    size_t child_count;
};

/* @name is used in error sentences ("graph.json:3:7: expected ..."). */
he_status he_json_parse(const char *name, const char *text, size_t size, struct he_arena *arena,
                        struct he_json **out) HE_MUST_CHECK;
/* The member called @key, or NULL. */
const struct he_json *he_json_get(const struct he_json *object, const char *key);

#endif
