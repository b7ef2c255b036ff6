/* SPDX-License-Identifier: Apache-2.0 */
/* Two tensors, element by element. */
#include <math.h>
#include <string.h>

#include "hetero.h"

static double half_to_double(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double value;

    if (exponent == 31)
        value = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        value = ldexp(fraction, -24);
    else
        value = ldexp(fraction + 1024, exponent - 25);
    return bits & 0x8000 ? -value : value;
}

static double element(const struct he_tensor *tensor, int64_t index)
{
    const char *at = (const char *)tensor->data + (size_t)index * (he_dtype_bits(tensor->dtype) / 8);
    uint32_t word;
    uint16_t half;
    float f;
    double d;
    int64_t wide = 0;

    switch (tensor->dtype) {
    case HE_FLOAT32:
        memcpy(&f, at, sizeof f);
        return f;
    case HE_FLOAT64:
        memcpy(&d, at, sizeof d);
        return d;
    case HE_FLOAT16:
        memcpy(&half, at, sizeof half);
        return half_to_double(half);
    case HE_BFLOAT16:
        memcpy(&half, at, sizeof half);
        word = (uint32_t)half << 16;
        memcpy(&f, &word, sizeof f);
        return f;
    case HE_INT8:
        return *(const int8_t *)at;
    case HE_INT16:
        memcpy(&half, at, sizeof half);
        return (int16_t)half;
    case HE_INT32:
        memcpy(&word, at, sizeof word);
        return (int32_t)word;
    case HE_INT64:
        memcpy(&wide, at, sizeof wide);
        return (double)wide;
    default:
        memcpy(&wide, at, he_dtype_bits(tensor->dtype) / 8);
        return (double)(uint64_t)wide;
    }
}

static bool is_close(double got, double expected, double rtol, double atol)
{
    if (isnan(got) || isnan(expected))
        return isnan(got) && isnan(expected);
    if (isinf(got) || isinf(expected))
        return got == expected;
    return fabs(got - expected) <= atol + rtol * fabs(expected);
}

/* Strings are an array of const char *. */
static void compare_strings(const struct he_tensor *got, const struct he_tensor *expected,
                            struct tool_difference *out)
{
    const char *const *a = got->data, *const *b = expected->data;
    int64_t count = he_shape_count(&got->shape);

    for (int64_t k = 0; k < count; k++) {
        if (strcmp(a[k], b[k]) != 0) {
            snprintf(out->reason, sizeof out->reason, "string %lld is '%.60s', expected '%.60s'",
                     (long long)k, a[k], b[k]);
            return;
        }
    }
    out->is_equal = true;
}

void tool_compare(const struct he_tensor *got, const struct he_tensor *expected,
                  const struct tool_args *args, struct tool_difference *out)
{
    int64_t count = he_shape_count(&expected->shape);
    bool is_float = he_dtype_is_float(expected->dtype);
    char a[200], b[200];

    *out = (struct tool_difference){ .index = -1 };
    if (got->dtype != expected->dtype) {
        snprintf(out->reason, sizeof out->reason, "type %s, expected %s",
                 he_dtype_name(got->dtype), he_dtype_name(expected->dtype));
        return;
    }
    if (!he_shape_equal(&got->shape, &expected->shape)) {
        tool_shape_text(&got->shape, a, sizeof a);
        tool_shape_text(&expected->shape, b, sizeof b);
        snprintf(out->reason, sizeof out->reason, "shape %.110s, expected %.110s", a, b);
        return;
    }
    if (expected->dtype == HE_STRING) {
        compare_strings(got, expected, out);
        return;
    }
    if (he_dtype_bits(expected->dtype) < 8 || he_dtype_bits(expected->dtype) > 64) {
        size_t bytes = (size_t)he_shape_bytes(&expected->shape, expected->dtype);

        out->is_equal = memcmp(got->data, expected->data, bytes) == 0;
        if (!out->is_equal)
            snprintf(out->reason, sizeof out->reason, "the bytes differ");
        return;
    }
    for (int64_t k = 0; k < count; k++) {
        double g = element(got, k), e = element(expected, k);
        double difference = fabs(g - e);
        bool close = is_float ? is_close(g, e, args->rtol, args->atol) : g == e;

        if (isnan(difference))
            difference = close ? 0 : INFINITY;
        /* The worst element: one out of tolerance before any within. */
        if ((!close && !out->different) || (close == !out->different && difference > out->largest)) {
            out->largest = difference;
            out->got = g;
            out->expected = e;
            out->index = k;
        }
        out->different += !close;
    }
    out->is_equal = (double)out->different <= args->outliers * (double)count;
}
