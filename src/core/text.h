/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing text, and a JSON writer over it. Failure is sticky: the writer goes
 * on accepting calls and he_text_status() says at the end whether memory ran out.
 */
#ifndef HE_CORE_TEXT_H
#define HE_CORE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc.h"

struct he_text {
    struct he_allocator alloc;
    char *data; /* NUL-terminated, or NULL while empty */
    size_t size, capacity;
    bool failed;
};

void he_text_init(struct he_text *text, const struct he_allocator *alloc);
void he_text_fini(struct he_text *text);
void he_text_append(struct he_text *text, const char *data, size_t size);
void he_text_printf(struct he_text *text, const char *format, ...) HE_PRINTF(2, 3);
he_status he_text_status(const struct he_text *text) HE_MUST_CHECK;
/* "" rather than NULL. */
const char *he_text_string(const struct he_text *text);

/* Writes one JSON document. Commas, quoting and indentation are its business;
 * @key is NULL inside arrays and at the top. Doubles are written shortest-exact;
 * NaN and infinities become null. */
struct he_json_writer {
    struct he_text *text;
    unsigned depth;
    bool need_comma;
    bool is_pretty;
    uint64_t flat_mask; /* bit per depth: this container is written on one line */
};

void he_json_begin(struct he_json_writer *json, struct he_text *text, bool is_pretty);
void he_json_object(struct he_json_writer *json, const char *key);
void he_json_object_flat(struct he_json_writer *json, const char *key); /* one line */
void he_json_object_end(struct he_json_writer *json);
void he_json_array(struct he_json_writer *json, const char *key);
void he_json_array_flat(struct he_json_writer *json, const char *key);
void he_json_array_end(struct he_json_writer *json);
void he_json_string(struct he_json_writer *json, const char *key, const char *value);
void he_json_double(struct he_json_writer *json, const char *key, double value);
void he_json_int(struct he_json_writer *json, const char *key, int64_t value);
void he_json_bool(struct he_json_writer *json, const char *key, bool value);
void he_json_null(struct he_json_writer *json, const char *key);

#endif
