/* SPDX-License-Identifier: Apache-2.0 */
/* Which format a file has, and the check of what came out of it. */
#include "tensor_file.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/size.h"
#include "core/text.h"
#include "model.h"
#include "npy.h"

#define ALIGNMENT 64

enum format { FORMAT_NONE, FORMAT_PB, FORMAT_NPY, FORMAT_BIN };

static enum format format_of(const char *path)
{
    static const struct {
        const char *suffix;
        enum format format;
    } formats[] = { { ".pb", FORMAT_PB }, { ".npy", FORMAT_NPY }, { ".bin", FORMAT_BIN } };
    size_t size = strlen(path);

    for (size_t k = 0; k < HE_COUNT(formats); k++) {
        size_t suffix_size = strlen(formats[k].suffix);

        if (size >= suffix_size && strcmp(path + size - suffix_size, formats[k].suffix) == 0)
            return formats[k].format;
    }
    return FORMAT_NONE;
}

static he_status unknown_format(const char *path)
{
    return he_error_set(HE_ERR_INVALID, "%s: a tensor file ends in .pb, .npy or .bin", path);
}

/* "float32 [1,3,?]"; "any type" and "any shape" where nothing is said. */
static const char *describe(enum he_dtype dtype, const struct he_shape *shape, char *buffer,
                            size_t size)
{
    size_t used = (size_t)snprintf(buffer, size, "%s ",
                                   dtype == HE_DTYPE_NONE ? "any type" : he_dtype_name(dtype));

    if (!shape || shape->rank > HE_MAX_RANK) {
        snprintf(buffer + used, size - used, "of any shape");
        return buffer;
    }
    used += (size_t)snprintf(buffer + used, size - used, "[");
    for (uint32_t k = 0; k < shape->rank; k++) {
        const char *comma = k ? "," : "";

        if (shape->dims[k] < 0)
            used += (size_t)snprintf(buffer + used, size - used, "%s?", comma);
        else
            used += (size_t)snprintf(buffer + used, size - used, "%s%lld", comma,
                                     (long long)shape->dims[k]);
    }
    snprintf(buffer + used, size - used, "]");
    return buffer;
}

#define DESCRIPTION_SIZE (HE_MAX_RANK * 21 + 40)

static bool fits(const struct he_tensor *tensor, enum he_dtype dtype, const struct he_shape *shape)
{
    if (dtype != HE_DTYPE_NONE && tensor->dtype != dtype)
        return false;
    if (!shape || shape->rank > HE_MAX_RANK)
        return true;
    if (shape->rank != tensor->shape.rank)
        return false;
    for (uint32_t k = 0; k < shape->rank; k++) {
        if (shape->dims[k] >= 0 && shape->dims[k] != tensor->shape.dims[k])
            return false;
    }
    return true;
}

/* A copy in the arena that vector code likes. */
static void *copy_aligned(struct he_arena *arena, const void *data, size_t bytes)
{
    size_t whole;
    char *memory;

    if (!he_size_add(bytes, ALIGNMENT, &whole))
        return NULL;
    memory = he_arena_alloc(arena, whole, 1);
    if (!memory)
        return NULL;
    memory += (ALIGNMENT - (uintptr_t)memory % ALIGNMENT) % ALIGNMENT;
    if (bytes)
        memcpy(memory, data, bytes);
    return memory;
}

/* Strings live in the arena that parsed them, which may not outlive the read. */
static he_status copy_strings(struct he_arena *arena, const struct onnx_tensor *from, void **out)
{
    const char **strings = he_arena_alloc(arena, from->string_count, sizeof *strings);

    if (!strings)
        return he_no_memory();
    for (size_t k = 0; k < from->string_count; k++) {
        strings[k] = he_arena_string(arena, from->strings[k], strlen(from->strings[k]));
        if (!strings[k])
            return he_no_memory();
    }
    *out = strings;
    return HE_OK;
}

static he_status read_pb(const struct he_file *file, const struct he_allocator *alloc,
                         struct he_arena *arena, struct he_tensor *out)
{
    struct he_arena scratch;
    struct onnx_tensor tensor;
    void *data = NULL;
    he_status status;

    he_arena_init(&scratch, alloc);
    status = he_tensor_parse(file->data, file->size, &scratch, &tensor);
    if (status != HE_OK)
        goto fini_scratch;
    if (tensor.dtype == HE_STRING) {
        status = copy_strings(arena, &tensor, &data);
    } else {
        data = copy_aligned(arena, tensor.data, tensor.data_bytes);
        status = data ? HE_OK : he_no_memory();
    }
    if (status == HE_OK)
        *out = he_tensor_dense(tensor.dtype, &tensor.shape, data);

fini_scratch:
    he_arena_fini(&scratch);
    return status;
}

static he_status read_npy(const struct he_file *file, enum he_dtype want, struct he_arena *arena,
                          struct he_tensor *out)
{
    struct he_npy_header header;
    size_t bytes;
    void *data;
    he_status status = he_npy_parse(file->data, file->size, want, &header);

    if (status != HE_OK)
        return status;
    bytes = (size_t)he_shape_bytes(&header.shape, header.dtype);
    if (file->size - header.data_offset != bytes)
        return he_error_set(HE_ERR_PARSE, "the header asks for %zu bytes of data, the file has %zu",
                            bytes, file->size - header.data_offset);
    data = copy_aligned(arena, (const char *)file->data + header.data_offset, bytes);
    if (!data)
        return he_no_memory();
    *out = he_tensor_dense(header.dtype, &header.shape, data);
    return HE_OK;
}

/* The one open dimension of @shape, if any, from the number of bytes there are. */
static he_status close_shape(size_t bytes, enum he_dtype dtype, struct he_shape *shape)
{
    uint32_t open = HE_MAX_RANK, open_count = 0;
    int64_t others;

    for (uint32_t k = 0; k < shape->rank; k++) {
        if (shape->dims[k] < 0) {
            open = k;
            open_count++;
        }
    }
    if (open_count > 1)
        return he_error_set(HE_ERR_INVALID, "bare bytes need a shape with one open dimension at "
                                            "most, this one has %u",
                            (unsigned)open_count);
    if (open_count == 0)
        return HE_OK;
    shape->dims[open] = 1;
    others = he_shape_bytes(shape, dtype);
    if (others <= 0 || bytes % (size_t)others != 0)
        return he_error_set(HE_ERR_SHAPE, "%zu bytes are no multiple of %lld", bytes,
                            (long long)others);
    shape->dims[open] = (int64_t)(bytes / (size_t)others);
    return HE_OK;
}

static he_status read_bin(const struct he_file *file, enum he_dtype dtype,
                          const struct he_shape *want, struct he_arena *arena,
                          struct he_tensor *out)
{
    struct he_shape shape;
    void *data;
    he_status status;

    if (he_dtype_bits(dtype) == 0 || !want || want->rank > HE_MAX_RANK)
        return he_error_set(HE_ERR_INVALID, "bare bytes need an element type and a shape");
    shape = *want;
    status = close_shape(file->size, dtype, &shape);
    if (status != HE_OK)
        return status;
    if (he_shape_bytes(&shape, dtype) != (int64_t)file->size) {
        char text[DESCRIPTION_SIZE];

        return he_error_set(HE_ERR_SHAPE, "%s takes %lld bytes, the file has %zu",
                            describe(dtype, &shape, text, sizeof text),
                            (long long)he_shape_bytes(&shape, dtype), file->size);
    }
    data = copy_aligned(arena, file->data, file->size);
    if (!data)
        return he_no_memory();
    *out = he_tensor_dense(dtype, &shape, data);
    return HE_OK;
}

he_status he_tensor_file_read(const char *path, const struct he_allocator *alloc,
                              enum he_dtype want_dtype, const struct he_shape *want_shape,
                              struct he_arena *arena, struct he_tensor *out)
{
    enum format format = format_of(path);
    struct he_tensor tensor = { 0 };
    struct he_file file;
    he_status status;

    *out = tensor;
    if (format == FORMAT_NONE)
        return unknown_format(path);
    status = he_file_map(path, &file);
    if (status != HE_OK)
        return status;
    if (format == FORMAT_PB)
        status = read_pb(&file, alloc ? alloc : &he_allocator_default, arena, &tensor);
    else if (format == FORMAT_NPY)
        status = read_npy(&file, want_dtype, arena, &tensor);
    else
        status = read_bin(&file, want_dtype, want_shape, arena, &tensor);
    he_file_unmap(&file);
    if (status != HE_OK)
        return he_error_prefix(status, "%s", path);
    if (!fits(&tensor, want_dtype, want_shape)) {
        char has[DESCRIPTION_SIZE], wants[DESCRIPTION_SIZE];

        return he_error_set(HE_ERR_SHAPE, "%s holds %s, expected %s", path,
                            describe(tensor.dtype, &tensor.shape, has, sizeof has),
                            describe(want_dtype, want_shape, wants, sizeof wants));
    }
    *out = tensor;
    return HE_OK;
}

static he_status put_pb(const struct he_tensor *tensor, struct he_text *text)
{
    struct onnx_tensor proto = { .name = "", .dtype = tensor->dtype, .shape = tensor->shape };

    if (tensor->dtype == HE_STRING) {
        proto.strings = tensor->data;
        proto.string_count = (size_t)he_shape_count(&tensor->shape);
    } else {
        proto.data = tensor->data;
        proto.data_bytes = (size_t)he_shape_bytes(&tensor->shape, tensor->dtype);
    }
    return he_tensor_write(&proto, text);
}

he_status he_tensor_file_write(const char *path, const struct he_tensor *tensor)
{
    enum format format = format_of(path);
    struct he_text text;
    he_status status;

    if (format == FORMAT_NONE)
        return unknown_format(path);
    if (!tensor->is_dense || he_shape_count(&tensor->shape) < 0 ||
        (tensor->dtype != HE_STRING && he_shape_bytes(&tensor->shape, tensor->dtype) < 0))
        return he_error_set(HE_ERR_INVALID, "%s: only dense tensors of known size are written",
                            path);
    if (tensor->dtype == HE_STRING && format != FORMAT_PB)
        return he_error_set(HE_ERR_UNSUPPORTED, "%s: strings are written to .pb only", path);
    if (format == FORMAT_BIN) /* no detour for what may be large */
        return he_file_write(path, tensor->data,
                             (size_t)he_shape_bytes(&tensor->shape, tensor->dtype));
    he_text_init(&text, NULL);
    if (format == FORMAT_PB) {
        status = put_pb(tensor, &text);
    } else {
        status = he_npy_write_header(tensor->dtype, &tensor->shape, &text);
        if (status == HE_OK)
            he_text_append(&text, tensor->data,
                           (size_t)he_shape_bytes(&tensor->shape, tensor->dtype));
        if (status == HE_OK)
            status = he_text_status(&text);
    }
    status = status == HE_OK ? he_file_write(path, text.data, text.size)
                             : he_error_prefix(status, "%s", path);
    he_text_fini(&text);
    return status;
}
