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
    bool boolean;
    bool is_integer; /* integer holds it exactly */
    bool is_closed;  /* a list whose elements have not been read, see below */
    const char *key; /* inside an object, else NULL */
    double number;
    int64_t integer;
    const char *string; /* NUL-terminated UTF-8 */
    struct he_json *child; /* first of an array or object */
    struct he_json *next;  /* sibling */
    size_t child_count;
};

/* @name is used in error sentences ("graph.json:3:7: expected ..."). */
he_status he_json_parse(const char *name, const char *text, size_t size, struct he_arena *arena,
                        struct he_json **out) HE_MUST_CHECK;
/*
 * For large documents: the lists that are members of the outermost object stay closed. They have a
 * child_count but no child, and are read element by element, each into an arena of the caller's
 * choice. What is wrong inside of a closed list shows when it is read; @text must live until then.
 */
he_status he_json_parse_closed(const char *name, const char *text, size_t size,
                               struct he_arena *arena, struct he_json **out) HE_MUST_CHECK;

struct he_json_list {
    const char *name, *at, *end, *line_start; /* private */
    unsigned line;
    bool is_open;
};
/* @list is a closed one of the document @name, @text. */
void he_json_list_open(struct he_json_list *list, const char *name, const char *text, size_t size,
                       const struct he_json *closed);
/* The next element in *out; NULL behind the last one. */
he_status he_json_list_next(struct he_json_list *list, struct he_arena *arena,
                            struct he_json **out) HE_MUST_CHECK;
/* Reads all elements of a closed list into @closed itself. */
he_status he_json_list_fill(const char *name, const char *text, size_t size,
                            struct he_json *closed, struct he_arena *arena) HE_MUST_CHECK;

/* The member called @key, or NULL. */
const struct he_json *he_json_get(const struct he_json *object, const char *key);

#endif
