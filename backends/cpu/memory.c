/* SPDX-License-Identifier: Apache-2.0 */
/* Host memory for programs and instances, from the allocator the device was opened with. */
#include "program.h"

#include <string.h>

#define ALIGNMENT 64

he_status cpu_no_memory(void)
{
    return he_error_set(HE_ERR_NO_MEMORY, "host memory is exhausted");
}

void *cpu_alloc(const struct he_allocator *alloc, size_t count, size_t size)
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

void cpu_free(const struct he_allocator *alloc, void *memory)
{
    if (memory)
        alloc->free(alloc->self, memory);
}

/* The pointer the allocator gave stands right below the aligned block. */
void *cpu_alloc_aligned(const struct he_allocator *alloc, size_t bytes)
{
    size_t total;
    char *memory, *aligned;

    if (__builtin_add_overflow(bytes, (size_t)ALIGNMENT + sizeof(void *), &total))
        return NULL;
    memory = alloc->alloc(alloc->self, total);
    if (!memory)
        return NULL;
    aligned = memory + sizeof(void *);
    aligned += -(uintptr_t)aligned & (ALIGNMENT - 1);
    memcpy(aligned - sizeof(void *), &memory, sizeof memory);
    return aligned;
}

void cpu_free_aligned(const struct he_allocator *alloc, void *memory)
{
    void *start;

    if (!memory)
        return;
    memcpy(&start, (char *)memory - sizeof(void *), sizeof start);
    alloc->free(alloc->self, start);
}

/* A little more than asked for: shapes that creep upwards must not allocate every time. */
static size_t roomy(size_t bytes)
{
    return bytes > SIZE_MAX / 2 ? bytes : bytes + bytes / 4 + ALIGNMENT;
}

he_status cpu_buffer_reserve(const struct he_allocator *alloc, struct cpu_buffer *buffer,
                             size_t bytes)
{
    size_t capacity;
    void *data;

    if (buffer->data && bytes <= buffer->capacity)
        return HE_OK;
    capacity = buffer->data ? roomy(bytes) : bytes;
    data = cpu_alloc_aligned(alloc, capacity);
    if (!data)
        return cpu_no_memory();
    cpu_free_aligned(alloc, buffer->data);
    buffer->data = data;
    buffer->capacity = capacity;
    return HE_OK;
}

void cpu_buffer_fini(const struct he_allocator *alloc, struct cpu_buffer *buffer)
{
    cpu_free_aligned(alloc, buffer->data);
    *buffer = (struct cpu_buffer){ 0 };
}

he_status cpu_dynamic_shape(const struct he_allocator *alloc, struct he_dynamic_tensor *tensor,
                            enum he_dtype dtype, const struct he_shape *shape)
{
    int64_t bytes = he_shape_bytes(shape, dtype);
    size_t capacity;
    void *data;

    if (bytes < 0 || !he_dtype_bits(dtype))
        return he_error_set(HE_ERR_SHAPE, "a %s tensor came out with a size that cannot be counted",
                            he_dtype_name(dtype));
    if (!tensor->data || (size_t)bytes > tensor->capacity) {
        capacity = tensor->data ? roomy((size_t)bytes) : (size_t)bytes + !bytes;
        data = alloc->alloc(alloc->self, capacity);
        if (!data)
            return cpu_no_memory();
        cpu_free(alloc, tensor->data);
        tensor->data = data;
        tensor->capacity = capacity;
    }
    tensor->dtype = dtype;
    tensor->shape = *shape;
    return HE_OK;
}

he_status cpu_place(size_t *end, size_t bytes, size_t *offset)
{
    size_t start;

    if (__builtin_add_overflow(*end, (size_t)(-(uintptr_t)*end & (ALIGNMENT - 1)), &start) ||
        __builtin_add_overflow(start, bytes, end))
        return he_error_set(HE_ERR_NO_MEMORY, "a workspace is too large to be counted");
    *offset = start;
    return HE_OK;
}

he_status cpu_value_bytes(const struct he_value *value, size_t *out)
{
    int64_t bytes = he_shape_bytes(&value->shape, value->dtype);

    if (bytes < 0 || !he_dtype_bits(value->dtype))
        return he_error_set(HE_ERR_UNSUPPORTED, "value \"%s\" (%s) has no countable size",
                            value->name ? value->name : "", he_dtype_name(value->dtype));
    *out = (size_t)bytes;
    return HE_OK;
}
