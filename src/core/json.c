/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recursive-descent JSON reader (RFC 8259) with bounded depth. Files of a hundred
 * megabytes are read: plain strings are copied at once, and numbers of at most 15 digits with a
 * small exponent are made without strtod(), exactly (Clinger 1990: both factors are exact, so there
 * is one rounding).
 */
#include <errno.h>
#include <float.h>
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
    bool closes_lists; /* those directly in the outermost object */
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
    for (scan = r->at; scan < r->end && *scan != '"' && *scan != '\\'; scan++) {
        if ((unsigned char)*scan < 0x20)
            break;
    }
    if (scan < r->end && *scan == '"') { /* nothing special inside */
        *out = he_arena_string(r->arena, r->at, (size_t)(scan - r->at));
        r->at = scan + 1;
        return *out ? HE_OK : he_no_memory();
    }
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

/* Digits at r->at + *at into *mantissa, as long as it is exact. False when it is not. */
static bool take_digits(const struct reader *r, size_t *at, uint64_t *mantissa, size_t *count)
{
    size_t begin = *at;

    for (; r->at + *at < r->end && r->at[*at] >= '0' && r->at[*at] <= '9'; (*at)++) {
        if (*mantissa >= 100000000000000u)
            return false;
        *mantissa = *mantissa * 10 + (uint64_t)(r->at[*at] - '0');
    }
    *count = *at - begin;
    return true;
}

/* Plain decimals of up to 15 digits; false leaves the number to the thorough way. */
static bool read_short_number(struct reader *r, struct he_json *value)
{
    static const double powers[] = { 1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
    bool is_negative = *r->at == '-', is_real = false;
    size_t at = is_negative, whole, fraction = 0;
    uint64_t mantissa = 0;
    char next;

    if (FLT_EVAL_METHOD != 0 || !take_digits(r, &at, &mantissa, &whole) || whole == 0 ||
        (whole > 1 && r->at[at - whole] == '0'))
        return false;
    if (r->at + at < r->end && r->at[at] == '.') {
        at++;
        is_real = true;
        if (!take_digits(r, &at, &mantissa, &fraction) || fraction == 0 || fraction > 15)
            return false;
    }
    next = r->at + at < r->end ? r->at[at] : ' ';
    if (next == 'e' || next == 'E' || next == '.' || next == '+' || next == '-')
        return false;
    value->number = (double)mantissa / powers[fraction];
    value->is_integer = !is_real || value->number == floor(value->number);
    if (value->is_integer) {
        value->integer = (int64_t)value->number;
        value->integer = is_negative ? -value->integer : value->integer;
    }
    value->number = is_negative ? -value->number : value->number;
    value->kind = HE_JSON_NUMBER;
    r->at += at;
    return true;
}

static he_status read_number(struct reader *r, struct he_json *value)
{
    char digits[64], *end;
    size_t size = 0;
    bool is_real = false;

    if (read_short_number(r, value))
        return HE_OK;
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

/* Goes past a list by its brackets and counts its elements by its commas. */
static he_status close_list(struct reader *r, struct he_json *value)
{
    unsigned depth = 1;
    bool is_empty = true;

    value->kind = HE_JSON_ARRAY;
    value->is_closed = true;
    value->string = r->at;
    for (; r->at < r->end; r->at++) {
        switch (*r->at) {
        case '"':
            for (r->at++; r->at < r->end && *r->at != '"'; r->at++)
                r->at += *r->at == '\\' && r->at + 1 < r->end;
            is_empty = false;
            break;
        case '[':
        case '{':
            depth++;
            is_empty = false;
            break;
        case ']':
        case '}':
            if (--depth > 0)
                break;
            value->child_count += !is_empty;
            r->at++;
            return HE_OK;
        case ',':
            value->child_count += depth == 1;
            break;
        case '\n':
            r->line++;
            r->line_start = r->at + 1;
            break;
        case ' ':
        case '\t':
        case '\r':
            break;
        default:
            is_empty = false;
            break;
        }
        if (r->at >= r->end)
            break;
    }
    return fail(r, "',' or ']'");
}

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
        return r->closes_lists && r->depth == 1 ? close_list(r, value)
                                                : read_members(r, value, false);
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

static he_status parse(struct reader *r, struct he_json **out)
{
    he_status status;

    *out = NULL;
    skip_space(r);
    status = read_value(r, out);
    if (status != HE_OK)
        return status;
    skip_space(r);
    if (r->at < r->end)
        return fail(r, "nothing after the document");
    return HE_OK;
}

he_status he_json_parse(const char *name, const char *text, size_t size, struct he_arena *arena,
                        struct he_json **out)
{
    struct reader r = { .name = name, .at = text, .end = text + size, .line_start = text,
                        .line = 1, .arena = arena };

    return parse(&r, out);
}

he_status he_json_parse_closed(const char *name, const char *text, size_t size,
                               struct he_arena *arena, struct he_json **out)
{
    struct reader r = { .name = name, .at = text, .end = text + size, .line_start = text,
                        .line = 1, .arena = arena, .closes_lists = true };
    he_status status = parse(&r, out);

    /* Brackets that do not match: reading everything tells where. */
    if (status == HE_ERR_PARSE && he_json_parse(name, text, size, arena, out) == HE_ERR_NO_MEMORY)
        status = HE_ERR_NO_MEMORY;
    return status;
}

void he_json_list_open(struct he_json_list *list, const char *name, const char *text, size_t size,
                       const struct he_json *closed)
{
    *list = (struct he_json_list){ .name = name, .at = closed->string, .end = text + size,
                                   .line_start = closed->string - closed->column,
                                   .line = closed->line };
}

he_status he_json_list_next(struct he_json_list *list, struct he_arena *arena, struct he_json **out)
{
    struct reader r = { .name = list->name, .at = list->at, .end = list->end, .depth = 2,
                        .line_start = list->line_start, .line = list->line, .arena = arena };
    he_status status = HE_OK;

    *out = NULL;
    skip_space(&r);
    if (list->is_open && r.at < r.end && *r.at == ',') {
        r.at++;
        skip_space(&r);
    } else if (r.at < r.end && *r.at == ']') {
        return HE_OK; /* stays there: asked again, it says so again */
    } else if (list->is_open) {
        return fail(&r, "',' or ']'");
    }
    status = read_value(&r, out);
    list->at = r.at;
    list->line = r.line;
    list->line_start = r.line_start;
    list->is_open = true;
    return status;
}

he_status he_json_list_fill(const char *name, const char *text, size_t size,
                            struct he_json *closed, struct he_arena *arena)
{
    struct he_json_list list;
    struct he_json **tail = &closed->child;
    he_status status;

    he_json_list_open(&list, name, text, size, closed);
    closed->child_count = 0;
    closed->is_closed = false;
    for (;;) {
        status = he_json_list_next(&list, arena, tail);
        if (status != HE_OK || !*tail)
            return status;
        tail = &(*tail)->next;
        closed->child_count++;
    }
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
