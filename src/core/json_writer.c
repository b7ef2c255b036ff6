/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON writer of text.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

void he_json_begin(struct he_json_writer *json, struct he_text *text, bool is_pretty)
{
    *json = (struct he_json_writer){ .text = text, .is_pretty = is_pretty };
}

static bool is_flat(const struct he_json_writer *json)
{
    return !json->is_pretty || (json->depth < 64 && (json->flat_mask >> json->depth & 1));
}

static void put_quoted(struct he_text *text, const char *value)
{
    he_text_append(text, "\"", 1);
    for (const char *c = value; *c; c++) {
        unsigned char byte = (unsigned char)*c;

        if (byte == '"' || byte == '\\')
            he_text_printf(text, "\\%c", byte);
        else if (byte < 0x20)
            he_text_printf(text, "\\u%04x", byte);
        else
            he_text_append(text, c, 1);
    }
    he_text_append(text, "\"", 1);
}

static void put_break(struct he_json_writer *json)
{
    if (is_flat(json)) {
        if (json->need_comma)
            he_text_append(json->text, " ", 1);
        return;
    }
    he_text_printf(json->text, "\n%*s", (int)json->depth * 2, "");
}

/* The comma, the line break and the key before a value. */
static void put_lead(struct he_json_writer *json, const char *key)
{
    if (json->need_comma)
        he_text_append(json->text, ",", 1);
    if (json->depth > 0)
        put_break(json);
    if (key) {
        put_quoted(json->text, key);
        he_text_append(json->text, ": ", 2);
    }
    json->need_comma = true;
}

static void open_container(struct he_json_writer *json, const char *key, const char *bracket,
                           bool flat)
{
    bool inherits = is_flat(json) && json->depth > 0;

    put_lead(json, key);
    he_text_append(json->text, bracket, 1);
    json->depth++;
    if (json->depth < 64) {
        json->flat_mask &= ~((uint64_t)1 << json->depth);
        if (flat || inherits)
            json->flat_mask |= (uint64_t)1 << json->depth;
    }
    json->need_comma = false;
}

static void close_container(struct he_json_writer *json, const char *bracket)
{
    bool was_flat = is_flat(json);
    bool was_empty = !json->need_comma;

    json->depth--;
    if (!was_flat && !was_empty)
        he_text_printf(json->text, "\n%*s", (int)json->depth * 2, "");
    he_text_append(json->text, bracket, 1);
    json->need_comma = true;
}

void he_json_object(struct he_json_writer *json, const char *key)
{
    open_container(json, key, "{", false);
}

void he_json_object_flat(struct he_json_writer *json, const char *key)
{
    open_container(json, key, "{", true);
}

void he_json_object_end(struct he_json_writer *json)
{
    close_container(json, "}");
}

void he_json_array(struct he_json_writer *json, const char *key)
{
    open_container(json, key, "[", false);
}

void he_json_array_flat(struct he_json_writer *json, const char *key)
{
    open_container(json, key, "[", true);
}

void he_json_array_end(struct he_json_writer *json)
{
    close_container(json, "]");
}

void he_json_string(struct he_json_writer *json, const char *key, const char *value)
{
    put_lead(json, key);
    put_quoted(json->text, value ? value : "");
}

void he_json_double(struct he_json_writer *json, const char *key, double value)
{
    char digits[40];

    put_lead(json, key);
    if (!isfinite(value)) {
        he_text_append(json->text, "null", 4);
        return;
    }
    /* The shortest of 9, 15 and 17 digits that reads back as the same number. */
    snprintf(digits, sizeof digits, "%.9g", value);
    if (strtod(digits, NULL) != value)
        snprintf(digits, sizeof digits, "%.15g", value);
    if (strtod(digits, NULL) != value)
        snprintf(digits, sizeof digits, "%.17g", value);
    he_text_append(json->text, digits, strlen(digits));
}

void he_json_int(struct he_json_writer *json, const char *key, int64_t value)
{
    put_lead(json, key);
    he_text_printf(json->text, "%lld", (long long)value);
}

void he_json_bool(struct he_json_writer *json, const char *key, bool value)
{
    put_lead(json, key);
    he_text_printf(json->text, "%s", value ? "true" : "false");
}

void he_json_null(struct he_json_writer *json, const char *key)
{
    put_lead(json, key);
    he_text_append(json->text, "null", 4);
}
