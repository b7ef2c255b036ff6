/* SPDX-License-Identifier: Apache-2.0 */
/* A recursive-descent JSON reader (RFC 8259) with bounded depth. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

#define MAX_DEPTH 128

struct reader {
    const char *name, *at, *end;
    const char *line_start;
    unsigned line, depth;
    struct he_arena *arena;
};

static he_status fail(const struct reader *r, const char *expected)
{
    unsigned column = (unsigned)(r->at - r->line_start) + 1;

    if (r->at >= r->end)
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: expected %s, the text ends here", r->name,
                            r->line, column, expected);
    return he_error_set(HE_ERR_PARSE, "%s:%u:%u: expected %s", r->name, r->line, column, expected);
}

static void skip_space(struct reader *r)
{
    for (; r->at < r->end; r->at++) {
        if (*r->at == '\n') {
            r->line++;
            r->line_start = r->at + 1;
        } else if (*r->at != ' ' && *r->at != '\t' && *r->at != '\r') {
            return;
        }
    }
}

static bool take(struct reader *r, char c)
{
    if (r->at >= r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool read_hex4(struct reader *r, unsigned *out)
{
    unsigned value = 0;

    if (r->end - r->at < 4)
        return false;
    for (int k = 0; k < 4; k++, r->at++) {
        char c = *r->at;

        value <<= 4;
        if (c >= '0' && c <= '9')
            value |= (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value |= (unsigned)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            value |= (unsigned)(c - 'A' + 10);
        else
            return false;
    }
    *out = value;
    return true;
}

static char *put_utf8(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* One escape, the backslash already taken; NULL when it is malformed. */
static char *read_escape(struct reader *r, char *to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    unsigned code, low;
    const char *found;
    char c;

    if (r->at >= r->end)
        return NULL;
    c = *r->at++;
    found = c ? strchr(from, c) : NULL;
    if (found) {
        *to++ = into[found - from];
        return to;
    }
    if (c != 'u' || !read_hex4(r, &code) || (code >= 0xdc00 && code < 0xe000))
        return NULL;
    if (code >= 0xd800 && code < 0xdc00) {
        if (!take(r, '\\') || !take(r, 'u') || !read_hex4(r, &low) || low < 0xdc00 ||
            low >= 0xe000)
            return NULL;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    return put_utf8(to, code ? code : 0xfffd); /* a NUL would cut the string short */
}

static he_status read_string(struct reader *r, const char **out)
{
    const char *start = r->at, *scan;
    char *text, *to;

    if (!take(r, '"'))
        return fail(r, "a string in double quotes");
    for (scan = r->at; scan < r->end && *scan != '"'; scan++) {
        if (*scan == '\\' && scan + 1 < r->end)
            scan++;
    }
    /* An escape never grows: the raw length is room enough. */
    text = to = he_arena_alloc(r->arena, (size_t)(scan - start) + 1, 1);
    if (!text)
        return he_no_memory();
    while (!take(r, '"')) {
        if (r->at >= r->end)
            return fail(r, "the closing quote of a string");
        if ((unsigned char)*r->at < 0x20)
            return fail(r, "no control character inside a string");
        if (take(r, '\\')) {
            to = read_escape(r, to);
            if (!to)
                return fail(r, "a valid escape such as \\n or \\u00e9");
        } else {
            *to++ = *r->at++;
        }
    }
    *to = '\0';
    *out = text;
    return HE_OK;
}

static const char *skip_digits(const char *at)
{
    while (*at >= '0' && *at <= '9')
        at++;
    return at;
}

/* -? (0 | [1-9][0-9]*) (.[0-9]+)? ([eE][+-]?[0-9]+)? and nothing more; strtod is laxer. */
static bool is_number(const char *text)
{
    const char *at = text + (*text == '-'), *digits = at;

    at = skip_digits(at);
    if (at == digits || (*digits == '0' && at - digits > 1))
        return false;
    if (*at == '.') {
        digits = ++at;
        at = skip_digits(at);
        if (at == digits)
            return false;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '+' || *at == '-';
        digits = at;
        at = skip_digits(at);
        if (at == digits)
            return false;
    }
    return *at == '\0';
}

static he_status read_number(struct reader *r, struct he_json *value)
{
    char digits[64], *end;
    size_t size = 0;
    bool is_real = false;

    while (r->at + size < r->end && strchr("+-0123456789.eE", r->at[size]) && r->at[size]) {
        is_real |= strchr(".eE", r->at[size]) != NULL;
        if (++size >= sizeof digits)
            return fail(r, "a shorter number");
    }
    memcpy(digits, r->at, size);
    digits[size] = '\0';
    value->number = strtod(digits, &end);
    if (!is_number(digits) || !isfinite(value->number))
        return fail(r, "a number");
    if (!is_real) {
        errno = 0;
        value->integer = strtoll(digits, &end, 10);
        value->is_integer = errno == 0;
    } else if (value->number == floor(value->number) && fabs(value->number) < 9e15) {
        value->integer = (int64_t)value->number; /* 16e9 counts as an integer */
        value->is_integer = true;
    }
    value->kind = HE_JSON_NUMBER;
    r->at += size;
    return HE_OK;
}

static bool take_word(struct reader *r, const char *word)
{
    size_t size = strlen(word);

    if ((size_t)(r->end - r->at) < size || memcmp(r->at, word, size) != 0)
        return false;
    r->at += size;
    return true;
}

static he_status read_value(struct reader *r, struct he_json **out);

static he_status read_members(struct reader *r, struct he_json *value, bool is_object)
{
    struct he_json **tail = &value->child;
    char close = is_object ? '}' : ']';

    value->kind = is_object ? HE_JSON_OBJECT : HE_JSON_ARRAY;
    if (++r->depth > MAX_DEPTH)
        return fail(r, "less nesting (128 levels are read)");
    skip_space(r);
    if (take(r, close)) {
        r->depth--;
        return HE_OK;
    }
    for (;;) {
        const char *key = NULL;
        he_status status;

        skip_space(r);
        if (is_object) {
            status = read_string(r, &key);
            if (status != HE_OK)
                return status;
            skip_space(r);
            if (!take(r, ':'))
                return fail(r, "':' after the key");
            skip_space(r);
        }
        status = read_value(r, tail);
        if (status != HE_OK)
            return status;
        (*tail)->key = key;
        tail = &(*tail)->next;
        value->child_count++;
        skip_space(r);
        if (take(r, ','))
            continue;
        if (!take(r, close))
            return fail(r, is_object ? "',' or '}'" : "',' or ']'");
        r->depth--;
        return HE_OK;
    }
}

static he_status read_value(struct reader *r, struct he_json **out)
{
    struct he_json *value = he_arena_alloc(r->arena, 1, sizeof *value);

    *out = value;
    if (!value)
        return he_no_memory();
    value->line = r->line;
    value->column = (unsigned)(r->at - r->line_start) + 1;
    if (take(r, '{'))
        return read_members(r, value, true);
    if (take(r, '['))
        return read_members(r, value, false);
    if (r->at < r->end && *r->at == '"') {
        value->kind = HE_JSON_STRING;
        return read_string(r, &value->string);
    }
    if (take_word(r, "true") || take_word(r, "false")) {
        value->kind = HE_JSON_BOOL;
        value->boolean = r->at[-2] == 'u';
        return HE_OK;
    }
    if (take_word(r, "null"))
        return HE_OK;
    if (r->at < r->end && (*r->at == '-' || (*r->at >= '0' && *r->at <= '9')))
        return read_number(r, value);
    return fail(r, "a value");
}

he_status he_json_parse(const char *name, const char *text, size_t size, struct he_arena *arena,
                        struct he_json **out)
{
    struct reader r = { .name = name, .at = text, .end = text + size, .line_start = text,
                        .line = 1, .arena = arena };
    he_status status;

    *out = NULL;
    skip_space(&r);
    status = read_value(&r, out);
    if (status != HE_OK)
        return status;
    skip_space(&r);
    if (r.at < r.end)
        return fail(&r, "nothing after the document");
    return HE_OK;
}

const struct he_json *he_json_get(const struct he_json *object, const char *key)
{
    if (!object || object->kind != HE_JSON_OBJECT)
        return NULL;
    for (const struct he_json *member = object->child; member; member = member->next) {
        if (strcmp(member->key, key) == 0)
            return member;
    }
    return NULL;
}
