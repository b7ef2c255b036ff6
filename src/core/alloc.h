/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host memory: the allocator of a context, and the arena a phase works in.
 *
 * An arena hands out zeroed memory that is freed all at once. It grows by
 * chunks from its allocator; nothing is ever moved. Not thread-safe: one
 * phase, one arena, one thread.
 */
#ifndef HE_CORE_ALLOC_H
#define HE_CORE_ALLOC_H

#include <stdarg.h>

#include <heteroengine/allocator.h>
#include <heteroengine/status.h>

/* malloc and free. */
extern const struct he_allocator he_allocator_default;

/* Zeroed memory for @count elements; NULL when there is none or the product overflows. */
void *he_alloc(const struct he_allocator *alloc, size_t count, size_t size);
void he_free(const struct he_allocator *alloc, void *memory);
/* Doubles a growing array: makes room for @needed elements in *array, keeping
 * the first @used. HE_ERR_NO_MEMORY leaves it as it was. */
he_status he_alloc_grow(const struct he_allocator *alloc, void **array, size_t *capacity,
                        size_t used, size_t needed, size_t size) HE_MUST_CHECK;

struct he_arena_chunk;
struct he_arena {
    struct he_allocator alloc;
    struct he_arena_chunk *chunks; /* newest first */
    size_t used_bytes;             /* handed out, for reports */
};

void he_arena_init(struct he_arena *arena, const struct he_allocator *alloc);
void he_arena_fini(struct he_arena *arena);
/* Zeroed, aligned for any type; NULL when there is none or the product
 * overflows. A zero-sized request gives a valid pointer. */
void *he_arena_alloc(struct he_arena *arena, size_t count, size_t size);
void *he_arena_copy(struct he_arena *arena, const void *data, size_t bytes);
/* @text with a NUL behind it. */
char *he_arena_string(struct he_arena *arena, const char *text, size_t bytes);
char *he_arena_printf(struct he_arena *arena, const char *format, ...) HE_PRINTF(2, 3);

/* The status for "memory is exhausted", with its sentence. */
he_status he_no_memory(void);

#endif
