/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights on a GPU: what a product reads of a constant is read again at every run, and
 * with one image or one token at a time little else is read. So the constants of a float16 model stay
 * 16 bits when they are packed, and those of a float32 model become halves where lowering to fp16 is
 * allowed and all of them are in a half's range; 11 bits of each are kept, sums stay float32.
 * Processors keep floats: they would convert longer than they would read.
 */
#include <math.h>
#include <string.h>

#include "tile.h"

/* The constant as it is, but for its type. Far from the forms emitters number. */
#define NARROWED 0x10000u
#define HALF_MAX 65504.0f

/* To nearest even, of what a half can hold. */
static uint16_t half_of(float x)
{
    uint32_t bits, size, sign;
    float lifted;

    memcpy(&bits, &x, sizeof bits);
    sign = bits >> 16 & 0x8000u;
    size = bits & 0x7fffffffu;
    if (size < (127u - 14u) << 23) {
        /* Below 2^-14 halves are multiples of 2^-24: adding 0.5, whose last bit is that, rounds. */
        memcpy(&lifted, &size, sizeof lifted);
        lifted += 0.5f;
        memcpy(&size, &lifted, sizeof size);
        return (uint16_t)(sign | (size - 0x3f000000u));
    }
    size += 0xfffu + (size >> 13 & 1u);
    return (uint16_t)(sign | ((size - ((127u - 15u) << 23)) >> 13));
}

static float number_at(const void *numbers, size_t k)
{
    float out;

    memcpy(&out, (const char *)numbers + k * sizeof out, sizeof out);
    return out;
}

static enum he_dtype choose(const struct opencl_build *b, uint32_t value, const void *numbers,
                            size_t count)
{
    enum he_dtype dtype = b->graph->values[value].dtype;

    if (!opencl_likes_tiles(b->dev))
        return HE_FLOAT32;
    if (dtype == HE_FLOAT32 && b->dev->allow_fp16)
        dtype = HE_FLOAT16;
    for (size_t k = 0; k < count && dtype == HE_FLOAT16; k++)
        if (!(fabsf(number_at(numbers, k)) <= HALF_MAX))
            dtype = HE_FLOAT32;
    return dtype;
}

int opencl_read_packed(struct opencl_build *b, uint32_t value, uint32_t form, const void *numbers,
                       size_t count)
{
    enum he_dtype dtype = HE_FLOAT32;
    uint16_t *narrow;
    int operand;

    /* Made before, in whichever type: that one is found. */
    if (!numbers)
        return opencl_read_made(b, value, form, dtype, NULL, 0);
    dtype = choose(b, value, numbers, count);
    if (dtype == HE_FLOAT32)
        return opencl_read_made(b, value, form, dtype, numbers, count * sizeof(float));
    narrow = opencl_alloc(&b->dev->alloc, count, sizeof *narrow);
    if (!narrow) {
        b->status = b->status == HE_OK ? opencl_no_memory() : b->status;
        return 0;
    }
    for (size_t k = 0; k < count; k++) {
        float number = number_at(numbers, k);
        uint32_t bits;

        memcpy(&bits, &number, sizeof bits);
        /* A bfloat16 model's weights are bfloat16: nothing is cut off. */
        narrow[k] = dtype == HE_FLOAT16 ? half_of(number) : (uint16_t)(bits >> 16);
    }
    operand = opencl_read_made(b, value, form, dtype, narrow, count * sizeof *narrow);
    opencl_free(&b->dev->alloc, narrow);
    return operand;
}

int opencl_read_weights(struct opencl_build *b, uint32_t value)
{
    const struct he_value *v = &b->graph->values[value];

    if (!b->program || !v->data || v->dtype != HE_FLOAT32 || !b->dev->allow_fp16 ||
        !opencl_likes_tiles(b->dev))
        return opencl_read(b, value);
    return opencl_read_packed(b, value, NARROWED,
                              opencl_has_made(b, value, NARROWED) ? NULL : v->data,
                              v->data_bytes / sizeof(float));
}
