/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The .npy header, after numpy's format description (NEP 1): a magic, a
 * version, a length, and a Python dictionary in one line:
 *
 *   {'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }
 *
 * The three keys may come in any order. We read just that form, which is the
 * only one numpy writes for plain arrays.
 */
#include "npy.h"

#include <stdio.h>
#include <string.h>

#include "core/size.h"

#define MAGIC "\x93NUMPY"
#define MAGIC_SIZE ((size_t)6)

/* numpy's letter and size; '|' and '<' in front mean the same to us. */
static const struct {
    const char *descr;
    enum he_dtype dtype;
} types[] = {
    { "f4", HE_FLOAT32 },  { "f8", HE_FLOAT64 },    { "f2", HE_FLOAT16 }, { "i1", HE_INT8 },
    { "i2", HE_INT16 },    { "i4", HE_INT32 },      { "i8", HE_INT64 },   { "u1", HE_UINT8 },
    { "u2", HE_UINT16 },   { "u4", HE_UINT32 },     { "u8", HE_UINT64 },  { "b1", HE_BOOL },
    { "c8", HE_COMPLEX64 }, { "c16", HE_COMPLEX128 },
};

/* What is left of the header's text. */
struct cursor {
    const char *at, *end;
};

static void skip_space(struct cursor *text)
{
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\n' || *text->at == '\t'))
        text->at++;
}

static bool take(struct cursor *text, const char *word)
{
    size_t size = strlen(word);

    skip_space(text);
    if ((size_t)(text->end - text->at) < size || memcmp(text->at, word, size) != 0)
        return false;
    text->at += size;
    return true;
}

/* A string in either quotes; false when there is none or it does not fit. */
static bool take_string(struct cursor *text, char *out, size_t size)
{
    size_t used = 0;
    char quote;

    skip_space(text);
    if (text->at == text->end || (*text->at != '\'' && *text->at != '"'))
        return false;
    quote = *text->at++;
    while (text->at < text->end && *text->at != quote && used + 1 < size)
        out[used++] = *text->at++;
    out[used] = '\0';
    if (text->at == text->end || *text->at != quote)
        return false;
    text->at++;
    return true;
}

static bool take_number(struct cursor *text, int64_t *out)
{
    int64_t value = 0;
    const char *start;

    skip_space(text);
    start = text->at;
    while (text->at < text->end && *text->at >= '0' && *text->at <= '9') {
        if (!he_int64_mul(value, 10, &value) ||
            __builtin_add_overflow(value, *text->at - '0', &value))
            return false;
        text->at++;
    }
    *out = value;
    return text->at > start;
}

/* "(1, 3)", "(5,)", "()". */
static he_status take_shape(struct cursor *text, struct he_shape *out)
{
    out->rank = 0;
    if (!take(text, "("))
        return he_error_set(HE_ERR_PARSE, "the shape is not a tuple");
    while (!take(text, ")")) {
        if (out->rank == HE_MAX_RANK)
            return he_error_set(HE_ERR_UNSUPPORTED, "the shape has more than %d dimensions",
                                HE_MAX_RANK);
        if (!take_number(text, &out->dims[out->rank]))
            return he_error_set(HE_ERR_PARSE, "dimension %u of the shape is no number",
                                (unsigned)out->rank);
        out->rank++;
        if (!take(text, ",") && (text->at == text->end || *text->at != ')'))
            return he_error_set(HE_ERR_PARSE, "the shape is not a tuple of numbers");
    }
    return HE_OK;
}

/* bfloat16 and its kin have no letter; they come as bytes or unsigned integers. */
static bool is_stand_in(const char *descr, enum he_dtype want)
{
    unsigned bits = he_dtype_bits(want);

    if (!he_dtype_is_float(want) || (bits != 8 && bits != 16) || want == HE_FLOAT16)
        return false;
    return (descr[0] == 'V' || descr[0] == 'u') && descr[1] == (bits == 8 ? '1' : '2') &&
           descr[2] == '\0';
}

static he_status find_type(const char *descr, enum he_dtype want, enum he_dtype *out)
{
    const char *name = descr;

    if (*name == '<' || *name == '|')
        name++;
    if (is_stand_in(name, want)) {
        *out = want;
        return HE_OK;
    }
    for (size_t k = 0; k < HE_COUNT(types); k++) {
        if (strcmp(name, types[k].descr) == 0) {
            *out = types[k].dtype;
            return HE_OK;
        }
    }
    return he_error_set(HE_ERR_UNSUPPORTED,
                        "numpy type '%s' is not read (little-endian numbers and booleans are)",
                        descr);
}

static he_status parse_dictionary(struct cursor text, enum he_dtype want, struct he_npy_header *out)
{
    bool has_type = false, has_shape = false, has_order = false;
    char key[24], descr[16];
    he_status status;

    if (!take(&text, "{"))
        return he_error_set(HE_ERR_PARSE, "the header is not a dictionary");
    while (!take(&text, "}")) {
        if (!take_string(&text, key, sizeof key) || !take(&text, ":"))
            return he_error_set(HE_ERR_PARSE, "the header is not a dictionary");
        if (strcmp(key, "descr") == 0) {
            if (!take_string(&text, descr, sizeof descr))
                return he_error_set(HE_ERR_UNSUPPORTED, "structured arrays are not read");
            status = find_type(descr, want, &out->dtype);
            has_type = true;
        } else if (strcmp(key, "shape") == 0) {
            status = take_shape(&text, &out->shape);
            has_shape = true;
        } else if (strcmp(key, "fortran_order") == 0) {
            status = HE_OK;
            has_order = true;
            if (take(&text, "True"))
                status = he_error_set(HE_ERR_UNSUPPORTED,
                                      "the array is in Fortran order; save it in C order");
            else if (!take(&text, "False"))
                status = he_error_set(HE_ERR_PARSE, "fortran_order is neither True nor False");
        } else {
            status = he_error_set(HE_ERR_PARSE, "the header has an unknown key '%s'", key);
        }
        if (status != HE_OK)
            return status;
        if (!take(&text, ",") && (text.at == text.end || *text.at != '}'))
            return he_error_set(HE_ERR_PARSE, "the header is not a dictionary");
    }
    if (!has_type || !has_shape || !has_order)
        return he_error_set(HE_ERR_PARSE, "the header lacks descr, fortran_order or shape");
    return HE_OK;
}

he_status he_npy_parse(const void *data, size_t size, enum he_dtype want,
                       struct he_npy_header *out)
{
    const uint8_t *bytes = data;
    size_t start, length;
    int64_t product = 1;
    he_status status;

    *out = (struct he_npy_header){ 0 };
    if (size < MAGIC_SIZE + 4 || memcmp(data, MAGIC, MAGIC_SIZE) != 0)
        return he_error_set(HE_ERR_PARSE, "this is not a .npy file: it does not start as one");
    if (bytes[6] < 1 || bytes[6] > 3)
        return he_error_set(HE_ERR_UNSUPPORTED, "version %u of the .npy format", bytes[6]);
    start = bytes[6] == 1 ? 10 : 12;
    length = bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1 && size >= start)
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (size < start || size - start < length)
        return he_error_set(HE_ERR_PARSE, "the file ends inside its header");
    out->data_offset = start + length;
    status = parse_dictionary((struct cursor){ (const char *)bytes + start,
                                               (const char *)bytes + start + length },
                              want, out);
    if (status != HE_OK)
        return status;
    for (uint32_t k = 0; k < out->shape.rank; k++) {
        int64_t dim = out->shape.dims[k] ? out->shape.dims[k] : 1;

        /* Strides are products too, so zeros do not excuse the others. */
        if (!he_int64_mul(product, dim, &product) || product > INT64_MAX / 128)
            return he_error_set(HE_ERR_PARSE, "the number of elements overflows");
    }
    return HE_OK;
}

/* The letter and size of @dtype: bytes ("V2") where numpy has no name. */
static bool name_type(enum he_dtype dtype, char *out, size_t size)
{
    unsigned bits = he_dtype_bits(dtype);

    for (size_t k = 0; k < HE_COUNT(types); k++) {
        if (types[k].dtype == dtype) {
            snprintf(out, size, "%c%s", bits == 8 ? '|' : '<', types[k].descr);
            return true;
        }
    }
    if (bits < 8)
        return false;
    snprintf(out, size, "|V%u", bits / 8);
    return true;
}

he_status he_npy_write_header(enum he_dtype dtype, const struct he_shape *shape,
                              struct he_text *out)
{
    char descr[16], header[HE_MAX_RANK * 22 + 128];
    size_t used, padded;
    uint8_t length[2];

    if (!name_type(dtype, descr, sizeof descr))
        return he_error_set(HE_ERR_UNSUPPORTED, "%s has no place in a .npy file",
                            he_dtype_name(dtype));
    used = (size_t)snprintf(header, sizeof header,
                            "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (uint32_t k = 0; k < shape->rank; k++)
        used += (size_t)snprintf(header + used, sizeof header - used, "%lld,%s",
                                 (long long)shape->dims[k], k + 1 < shape->rank ? " " : "");
    used += (size_t)snprintf(header + used, sizeof header - used, "), }");
    /* Data starts at a multiple of 64; the header ends with a newline. */
    padded = he_size_align(10 + used + 1, 64) - 10;
    length[0] = (uint8_t)padded;
    length[1] = (uint8_t)(padded >> 8);
    he_text_append(out, MAGIC "\x01\x00", MAGIC_SIZE + 2);
    he_text_append(out, (const char *)length, sizeof length);
    he_text_append(out, header, used);
    he_text_printf(out, "%*s\n", (int)(padded - used - 1), "");
    return he_text_status(out);
}
