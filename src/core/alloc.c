/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default allocator, and the arena: a list of chunks, each at least twice
 * the one before (up to a limit), filled from the front. Large requests get a
 * chunk of their own behind the current one, so that they do not waste its rest.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "size.h"

#define FIRST_CHUNK_BYTES ((size_t)4096)
#define LARGEST_CHUNK_BYTES ((size_t)1 << 20)

struct he_arena_chunk {
    struct he_arena_chunk *next;
    size_t size, used;
    _Alignas(16) unsigned char data[];
};

static void *default_alloc(void *self, size_t size)
{
    (void)self;
    return malloc(size ? size : 1);
}

static void default_free(void *self, void *memory)
{
    (void)self;
    free(memory);
}

const struct he_allocator he_allocator_default = { default_alloc, default_free, NULL };

void *he_alloc(const struct he_allocator *alloc, size_t count, size_t size)
{
    size_t bytes;
    void *memory;

    if (!he_size_mul(count, size, &bytes))
        return NULL;
    memory = alloc->alloc(alloc->self, bytes ? bytes : 1);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

void he_free(const struct he_allocator *alloc, void *memory)
{
    if (memory)
        alloc->free(alloc->self, memory);
}

he_status he_alloc_grow(const struct he_allocator *alloc, void **array, size_t *capacity,
                        size_t used, size_t needed, size_t size)
{
    size_t wanted = *capacity ? *capacity : 8;
    void *grown;

    if (needed <= *capacity)
        return HE_OK;
    while (wanted < needed) {
        if (!he_size_mul(wanted, 2, &wanted))
            return he_no_memory();
    }
    grown = he_alloc(alloc, wanted, size);
    if (!grown)
        return he_no_memory();
    if (*array)
        memcpy(grown, *array, used * size);
    he_free(alloc, *array);
    *array = grown;
    *capacity = wanted;
    return HE_OK;
}

void he_arena_init(struct he_arena *arena, const struct he_allocator *alloc)
{
    *arena = (struct he_arena){ .alloc = alloc ? *alloc : he_allocator_default };
}

void he_arena_fini(struct he_arena *arena)
{
    struct he_arena_chunk *chunk = arena->chunks;

    while (chunk) {
        struct he_arena_chunk *next = chunk->next;

        he_free(&arena->alloc, chunk);
        chunk = next;
    }
    arena->chunks = NULL;
    arena->used_bytes = 0;
}

static struct he_arena_chunk *add_chunk(struct he_arena *arena, size_t bytes)
{
    struct he_arena_chunk *chunk, *newest = arena->chunks;
    size_t size = newest ? newest->size * 2 : FIRST_CHUNK_BYTES;
    size_t whole;

    if (size > LARGEST_CHUNK_BYTES)
        size = LARGEST_CHUNK_BYTES;
    if (size < bytes)
        size = bytes;
    if (!he_size_add(sizeof *chunk, size, &whole))
        return NULL;
    chunk = arena->alloc.alloc(arena->alloc.self, whole);
    if (!chunk)
        return NULL;
    chunk->size = size;
    chunk->used = 0;
    if (newest && bytes > LARGEST_CHUNK_BYTES / 2) {
        chunk->next = newest->next;
        newest->next = chunk;
    } else {
        chunk->next = newest;
        arena->chunks = chunk;
    }
    return chunk;
}

void *he_arena_alloc(struct he_arena *arena, size_t count, size_t size)
{
    struct he_arena_chunk *chunk = arena->chunks;
    size_t bytes;
    void *memory;

    if (!he_size_mul(count, size, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    bytes = he_size_align(bytes ? bytes : 1, 16);
    if (!chunk || chunk->size - chunk->used < bytes) {
        chunk = add_chunk(arena, bytes);
        if (!chunk)
            return NULL;
    }
    memory = chunk->data + chunk->used;
    chunk->used += bytes;
    arena->used_bytes += bytes;
    memset(memory, 0, bytes);
    return memory;
}

void *he_arena_copy(struct he_arena *arena, const void *data, size_t bytes)
{
    void *copy = he_arena_alloc(arena, bytes, 1);

    if (copy && bytes)
        memcpy(copy, data, bytes);
    return copy;
}

char *he_arena_string(struct he_arena *arena, const char *text, size_t bytes)
{
    char *copy;
    size_t whole;

    if (!he_size_add(bytes, 1, &whole))
        return NULL;
    copy = he_arena_alloc(arena, whole, 1);
    if (copy && bytes)
        memcpy(copy, text, bytes);
    return copy;
}

char *he_arena_printf(struct he_arena *arena, const char *format, ...)
{
    va_list args, again;
    char *text = NULL;
    int size;

    va_start(args, format);
    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, args);
    if (size >= 0)
        text = he_arena_alloc(arena, (size_t)size + 1, 1);
    if (text)
        vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}
