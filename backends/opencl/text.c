/* SPDX-License-Identifier: Apache-2.0 */
/* Growing text, and the backend's few helpers around its allocator. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "opencl.h"

void *opencl_alloc(const struct he_allocator *alloc, size_t count, size_t size)
{
    size_t bytes;
    void *memory;

    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    memory = alloc->alloc(alloc->self, bytes ? bytes : 1);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

void opencl_free(const struct he_allocator *alloc, void *memory)
{
    if (memory)
        alloc->free(alloc->self, memory);
}

he_status opencl_no_memory(void)
{
    return he_error_set(HE_ERR_NO_MEMORY, "out of memory in the opencl backend");
}

he_status opencl_grow(const struct he_allocator *alloc, void **array, uint32_t *capacity,
                      uint32_t used, uint32_t needed, size_t size)
{
    uint32_t wanted = *capacity ? *capacity : 8;
    void *grown;

    if (needed <= *capacity)
        return HE_OK;
    while (wanted < needed) {
        if (wanted > UINT32_MAX / 2)
            return opencl_no_memory();
        wanted *= 2;
    }
    grown = opencl_alloc(alloc, wanted, size);
    if (!grown)
        return opencl_no_memory();
    if (used)
        memcpy(grown, *array, used * size);
    opencl_free(alloc, *array);
    *array = grown;
    *capacity = wanted;
    return HE_OK;
}

void opencl_text_init(struct opencl_text *text, const struct he_allocator *alloc)
{
    *text = (struct opencl_text){ .alloc = alloc };
}

void opencl_text_fini(struct opencl_text *text)
{
    opencl_free(text->alloc, text->data);
    *text = (struct opencl_text){ .alloc = text->alloc };
}

void opencl_text_clear(struct opencl_text *text)
{
    text->size = 0;
    if (text->data)
        text->data[0] = '\0';
}

void opencl_text_append(struct opencl_text *text, const char *data, size_t size)
{
    size_t wanted = text->capacity ? text->capacity : 512;
    char *grown;

    if (text->failed)
        return;
    if (size >= SIZE_MAX / 2 - text->size) {
        text->failed = true;
        return;
    }
    if (text->size + size + 1 > text->capacity) {
        while (wanted < text->size + size + 1)
            wanted *= 2;
        grown = opencl_alloc(text->alloc, wanted, 1);
        if (!grown) {
            text->failed = true;
            return;
        }
        if (text->size)
            memcpy(grown, text->data, text->size);
        opencl_free(text->alloc, text->data);
        text->data = grown;
        text->capacity = wanted;
    }
    memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = '\0';
}

void opencl_text_printf(struct opencl_text *text, const char *format, ...)
{
    char line[2048];
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof line) {
        text->failed = true; /* one line of ours never is that long */
        return;
    }
    opencl_text_append(text, line, (size_t)size);
}

const char *opencl_text_string(const struct opencl_text *text)
{
    return text->data ? text->data : "";
}
