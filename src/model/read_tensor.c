/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TensorProto. Contents in raw_data, and packed float_data and double_data
 * (which are the same bytes), stay where they are in the file, untouched; other
 * encodings are converted into the arena. Every size is checked against the shape.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "reader.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "contents in files are little-endian and are used as they are");

/* What a TensorProto says, before it is checked. */
struct parts {
    int32_t dtype;
    size_t dim_count, string_count;
    const uint8_t *raw;
    size_t raw_bytes;
    bool has_raw, is_external;
    struct he_external external;
};

static void describe_shape(const struct he_shape *shape, char *buffer, size_t size)
{
    size_t used = 0;

    buffer[0] = '\0';
    for (uint32_t k = 0; k < shape->rank && used < size; k++)
        used += (size_t)snprintf(buffer + used, size - used, "%s%lld", k ? "," : "",
                                 (long long)shape->dims[k]);
}

static he_status fail(const struct he_wire *wire, const struct onnx_tensor *tensor,
                      he_status status, const char *format, ...) HE_PRINTF(4, 5);

/* "byte 12: tensor 'w' of float32 [3,4]: ..." */
static he_status fail(const struct he_wire *wire, const struct onnx_tensor *tensor,
                      he_status status, const char *format, ...)
{
    char sentence[448], shape[HE_MAX_RANK * 21];
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    describe_shape(&tensor->shape, shape, sizeof shape);
    return he_wire_fail(wire, wire->at, status, "tensor '%.80s' of %s [%s]: %s", tensor->name,
                        he_dtype_name(tensor->dtype), shape, sentence);
}

static bool parse_decimal(const char *text, uint64_t *out)
{
    uint64_t value = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

static he_status read_external(struct he_reader *reader, const struct he_wire *wire,
                               const struct he_wire_field *field, struct he_external *out)
{
    struct onnx_property entry = { .key = "", .value = "" };
    he_status status;

    status = he_read_entry(reader, he_wire_enter(wire, field, &he_schema_entry), &entry);
    if (status != HE_OK)
        return status;
    if (strcmp(entry.key, "location") == 0) {
        out->location = entry.value;
    } else if (strcmp(entry.key, "offset") == 0) {
        if (!parse_decimal(entry.value, &out->offset))
            return he_wire_fail(wire, field->at, HE_ERR_PARSE,
                                "external data has the offset '%.40s', which is no number",
                                entry.value);
    } else if (strcmp(entry.key, "length") == 0) {
        out->has_length = true;
        if (!parse_decimal(entry.value, &out->length))
            return he_wire_fail(wire, field->at, HE_ERR_PARSE,
                                "external data has the length '%.40s', which is no number",
                                entry.value);
    }
    return HE_OK; /* "checksum" and future keys are of no use to us */
}

/* Everything but the contents in lists of numbers, which need the type first. */
static he_status read_parts(struct he_reader *reader, struct he_wire wire, struct onnx_tensor *out,
                            const char **strings, struct parts *parts)
{
    for (;;) {
        struct he_wire_field field;
        he_status status = he_wire_next(&wire, &field);

        if (status != HE_OK || field.number == 0)
            return status;
        switch (field.number) {
        case TENSOR_DIMS:
            status = he_wire_numbers(&wire, &field, out->shape.dims, 8, &parts->dim_count);
            break;
        case TENSOR_DATA_TYPE:
            parts->dtype = he_wire_int32(&field);
            break;
        case TENSOR_NAME:
            status = he_wire_string(&wire, &field, reader->arena, &out->name);
            break;
        case TENSOR_RAW_DATA:
            parts->raw = field.data;
            parts->raw_bytes = field.size;
            parts->has_raw = true;
            break;
        case TENSOR_STRING_DATA:
            status = he_wire_string(&wire, &field, reader->arena, &strings[parts->string_count]);
            parts->string_count++;
            break;
        case TENSOR_EXTERNAL_DATA:
            status = read_external(reader, &wire, &field, &parts->external);
            break;
        case TENSOR_DATA_LOCATION:
            parts->is_external = field.value == 1;
            break;
        default:
            break;
        }
        if (status != HE_OK)
            return status;
    }
}

/* Which list of numbers holds elements of @dtype, and how. */
static uint32_t list_of(enum he_dtype dtype, unsigned *per_element, unsigned *width)
{
    *per_element = dtype == HE_COMPLEX64 || dtype == HE_COMPLEX128 ? 2 : 1;
    *width = he_dtype_bits(dtype) / 8 / *per_element;
    if (*width == 0)
        *width = 1; /* 4 and 2 bit: each number is a byte of two or four elements */
    switch (dtype) {
    case HE_FLOAT32:
    case HE_COMPLEX64:
        return TENSOR_FLOAT_DATA;
    case HE_FLOAT64:
    case HE_COMPLEX128:
        return TENSOR_DOUBLE_DATA;
    case HE_INT64:
        return TENSOR_INT64_DATA;
    case HE_UINT32:
    case HE_UINT64:
        return TENSOR_UINT64_DATA;
    default:
        return TENSOR_INT32_DATA;
    }
}

/* Contents as a list of numbers in field @list. */
static he_status read_numbers(struct he_reader *reader, struct he_wire wire,
                              struct onnx_tensor *out, uint32_t list, unsigned width)
{
    bool is_fixed = list == TENSOR_FLOAT_DATA || list == TENSOR_DOUBLE_DATA;
    uint8_t *data = NULL;
    size_t used = 0;

    while (used < out->data_bytes / width) {
        struct he_wire_field field;
        he_status status = he_wire_next(&wire, &field);

        if (status != HE_OK)
            return status;
        if (field.number != list)
            continue;
        if (is_fixed && field.type == HE_WIRE_BYTES &&
            field.size == out->data_bytes) {
            out->data = field.data; /* one run: these are the very bytes */
            return HE_OK;
        }
        if (!data) {
            data = he_read_array(reader, out->data_bytes / width, width);
            if (!data)
                return he_no_memory();
            out->data = data;
        }
        status = he_wire_numbers(&wire, &field, data, width, &used);
        if (status != HE_OK)
            return status;
    }
    for (size_t k = 0; out->dtype == HE_BOOL && k < out->data_bytes; k++)
        data[k] = data[k] != 0;
    return HE_OK;
}

/* Type and shape, and that their product can be counted. */
static he_status check_shape(const struct he_wire *wire, struct onnx_tensor *tensor,
                             const struct parts *parts)
{
    int64_t product = 1;

    if (parts->dtype <= HE_DTYPE_NONE || parts->dtype >= HE_DTYPE_COUNT)
        return he_wire_fail(wire, wire->at,
                            parts->dtype <= HE_DTYPE_NONE ? HE_ERR_PARSE : HE_ERR_UNSUPPORTED,
                            "tensor '%.80s' has element type %d, which this library does not know",
                            tensor->name, (int)parts->dtype);
    tensor->dtype = (enum he_dtype)parts->dtype;
    tensor->shape.rank = (uint32_t)parts->dim_count;
    for (uint32_t k = 0; k < tensor->shape.rank; k++) {
        int64_t dim = tensor->shape.dims[k];

        if (dim < 0)
            return fail(wire, tensor, HE_ERR_PARSE, "dimension %u is negative", (unsigned)k);
        /* Strides are products too, so zeros do not excuse the others. */
        if (!he_int64_mul(product, dim ? dim : 1, &product) || product > INT64_MAX / 128)
            return fail(wire, tensor, HE_ERR_PARSE, "the number of elements overflows");
    }
    return HE_OK;
}

static he_status read_contents(struct he_reader *reader, const struct he_wire *wire,
                               const size_t *counts, const struct parts *parts,
                               struct onnx_tensor *out)
{
    size_t elements = (size_t)he_shape_count(&out->shape);
    unsigned per_element, width;
    uint32_t list;

    if (out->dtype == HE_STRING) {
        if (parts->is_external || parts->string_count != elements)
            return fail(wire, out, HE_ERR_PARSE, "needs %zu strings in string_data, has %zu",
                        elements, parts->string_count);
        out->string_count = elements;
        return HE_OK;
    }
    out->strings = NULL;
    out->data_bytes = (size_t)he_shape_bytes(&out->shape, out->dtype);
    if (parts->is_external) {
        he_status status =
            he_external_map(reader, &parts->external, out->data_bytes, &out->data);

        return status == HE_OK ? HE_OK : fail(wire, out, status, "%s", he_error_message());
    }
    if (parts->has_raw && (parts->raw_bytes || !out->data_bytes)) {
        if (parts->raw_bytes != out->data_bytes)
            return fail(wire, out, HE_ERR_PARSE, "needs %zu bytes, raw_data has %zu",
                        out->data_bytes, parts->raw_bytes);
        out->data = parts->raw;
        return HE_OK;
    }
    list = list_of(out->dtype, &per_element, &width);
    if (counts[list] != out->data_bytes / width)
        return fail(wire, out, HE_ERR_PARSE, "needs %zu numbers in %s, has %zu",
                    out->data_bytes / width, he_schema_tensor.fields[list].name, counts[list]);
    out->data = "";
    return read_numbers(reader, *wire, out, list, width);
}

he_status he_read_tensor(struct he_reader *reader, struct he_wire wire, struct onnx_tensor *out)
{
    size_t counts[HE_WIRE_FIELD_MAX];
    struct parts parts = { .external.location = "" };
    const char **strings;
    he_status status;

    out->name = "";
    status = he_wire_count(&wire, counts);
    if (status != HE_OK)
        return status;
    if (counts[TENSOR_DIMS] > HE_MAX_RANK)
        return he_wire_fail(&wire, wire.at, HE_ERR_UNSUPPORTED,
                            "a tensor has %zu dimensions; this library goes up to %d",
                            counts[TENSOR_DIMS], HE_MAX_RANK);
    if (counts[TENSOR_SEGMENT])
        return he_wire_fail(&wire, wire.at, HE_ERR_UNSUPPORTED,
                            "a tensor is stored in segments, which this library does not read");
    strings = he_read_array(reader, counts[TENSOR_STRING_DATA], sizeof *strings);
    if (!strings)
        return he_no_memory();
    out->strings = strings;
    status = read_parts(reader, wire, out, strings, &parts);
    if (status == HE_OK)
        status = check_shape(&wire, out, &parts);
    if (status == HE_OK)
        status = read_contents(reader, &wire, counts, &parts, out);
    return status;
}

he_status he_tensor_parse(const void *data, size_t size, struct he_arena *arena,
                          struct onnx_tensor *out)
{
    struct he_reader reader = { .arena = arena };

    *out = (struct onnx_tensor){ .name = "" };
    if (size == 0)
        return he_error_set(HE_ERR_PARSE, "the tensor is empty: 0 bytes");
    return he_read_tensor(&reader, he_wire_open(data, size, &he_schema_tensor), out);
}
