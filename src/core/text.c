/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "size.h"
#include "text.h"

void he_text_init(struct he_text *text, const struct he_allocator *alloc)
{
    *text = (struct he_text){ .alloc = alloc ? *alloc : he_allocator_default };
}

void he_text_fini(struct he_text *text)
{
    he_free(&text->alloc, text->data);
    text->data = NULL;
    text->size = text->capacity = 0;
}

/* Room for @more bytes and a NUL. */
static bool reserve(struct he_text *text, size_t more)
{
    size_t needed;

    if (text->failed || !he_size_add(text->size, more, &needed) ||
        !he_size_add(needed, 1, &needed)) {
        text->failed = true;
        return false;
    }
    if (needed < 256)
        needed = 256;
    if (he_alloc_grow(&text->alloc, (void **)&text->data, &text->capacity, text->size, needed, 1) !=
        HE_OK)
        text->failed = true;
    return !text->failed;
}

void he_text_append(struct he_text *text, const char *data, size_t size)
{
    if (!reserve(text, size))
        return;
    if (size)
        memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = '\0';
}

void he_text_printf(struct he_text *text, const char *format, ...)
{
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0 || !reserve(text, (size_t)size)) {
        text->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(text->data + text->size, (size_t)size + 1, format, args);
    va_end(args);
    text->size += (size_t)size;
}

he_status he_text_status(const struct he_text *text)
{
    return text->failed ? he_no_memory() : HE_OK;
}

const char *he_text_string(const struct he_text *text)
{
    return text->data ? text->data : "";
}
