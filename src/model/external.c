/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights in files beside the model. Each file is mapped once and stays with
 * the model. A location is a relative path without "..": a model from a
 * stranger must not read what lies outside its folder.
 */
#include <string.h>

#include "core/size.h"
#include "reader.h"

/* Refuses absolute paths, empty ones, and any ".." between slashes. Backslashes
 * are refused too: elsewhere they separate folders. */
static bool stays_inside(const char *location)
{
    const char *part = location;

    if (!*location || *location == '/' || strchr(location, '\\'))
        return false;
    while (part) {
        const char *slash = strchr(part, '/');
        size_t size = slash ? (size_t)(slash - part) : strlen(part);

        if (size == 2 && part[0] == '.' && part[1] == '.')
            return false;
        part = slash ? slash + 1 : NULL;
    }
    return true;
}

/* Room for one more file in the model and its name in the reader. */
static he_status grow(struct he_reader *reader)
{
    struct he_model *model = reader->model;
    size_t capacity = reader->external_capacity ? reader->external_capacity * 2 : 4;
    size_t first = model->file_count - reader->external_count;
    const char **names;
    struct he_file *files;

    if (reader->external_count < reader->external_capacity)
        return HE_OK;
    names = he_read_array(reader, capacity, sizeof *names);
    files = he_read_array(reader, first + capacity, sizeof *files);
    if (!names || !files)
        return he_no_memory();
    if (reader->external_count)
        memcpy(names, reader->external_names, reader->external_count * sizeof *names);
    if (model->file_count)
        memcpy(files, model->files, model->file_count * sizeof *files);
    reader->external_names = names;
    reader->external_capacity = capacity;
    model->files = files;
    return HE_OK;
}

static he_status find_or_map(struct he_reader *reader, const char *location,
                             const struct he_file **out)
{
    struct he_model *model = reader->model;
    size_t first = model->file_count - reader->external_count;
    const char *path;
    he_status status;

    for (size_t k = 0; k < reader->external_count; k++) {
        if (strcmp(reader->external_names[k], location) == 0) {
            *out = &model->files[first + k];
            return HE_OK;
        }
    }
    status = grow(reader);
    if (status != HE_OK)
        return status;
    path = he_arena_printf(reader->arena, "%s/%s", reader->folder, location);
    if (!path)
        return he_no_memory();
    status = he_file_map(path, &model->files[model->file_count]);
    if (status != HE_OK)
        return status;
    reader->external_names[reader->external_count++] = location;
    *out = &model->files[model->file_count++];
    return HE_OK;
}

he_status he_external_map(struct he_reader *reader, const struct he_external *where,
                          size_t needed, const void **out)
{
    const struct he_file *file = NULL;
    uint64_t end;
    he_status status;

    if (!stays_inside(where->location))
        return he_error_set(HE_ERR_PARSE,
                            "external data at '%.200s': the location must be a path inside the "
                            "model's folder",
                            where->location);
    if (!reader->folder || !reader->model)
        return he_error_set(HE_ERR_UNSUPPORTED,
                            "external data at '%.200s' needs a model read from a file",
                            where->location);
    status = find_or_map(reader, where->location, &file);
    if (status != HE_OK)
        return status;
    if (where->has_length && where->length != needed)
        return he_error_set(HE_ERR_PARSE,
                            "external data at '%.200s': needs %zu bytes, the length says %llu",
                            where->location, needed, (unsigned long long)where->length);
    if (__builtin_add_overflow(where->offset, (uint64_t)needed, &end) || end > file->size)
        return he_error_set(HE_ERR_PARSE,
                            "external data at '%.200s': %zu bytes at offset %llu, but the file "
                            "has only %zu",
                            where->location, needed, (unsigned long long)where->offset,
                            file->size);
    *out = (const uint8_t *)file->data + where->offset;
    return HE_OK;
}
