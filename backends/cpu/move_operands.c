/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of small inputs, axes and shapes for the movement kernels (move.h). */
#include <math.h>
#include <stdio.h>

#include "move.h"

he_status cpu_read_ints(const struct cpu_call *call, size_t k, int64_t *out, size_t capacity,
                        size_t *count)
{
    const struct he_tensor *tensor = &call->in[k];
    int64_t n = cpu_count(tensor), i;

    *count = 0;
    if (n < 0 || (uint64_t)n > capacity)
        return he_error_set(HE_ERR_SHAPE, "%s: input %zu has %lld elements, expected at most %zu",
                            call->node->op, k, (long long)n, capacity);
    if (!(CPU_TYPE(tensor->dtype) & CPU_INTEGERS))
        return he_error_set(HE_ERR_SHAPE, "%s: input %zu is %s, expected integers", call->node->op,
                            k, he_dtype_name(tensor->dtype));
    for (i = 0; i < n; i++)
        out[i] = cpu_get_int(tensor, i);
    *count = (size_t)n;
    return HE_OK;
}

he_status cpu_read_double(const struct cpu_call *call, size_t k, double *out)
{
    const struct he_tensor *tensor = &call->in[k];

    if (cpu_count(tensor) != 1)
        return he_error_set(HE_ERR_SHAPE, "%s: input %zu has %lld elements, expected one",
                            call->node->op, k, (long long)cpu_count(tensor));
    if (!(CPU_TYPE(tensor->dtype) & (CPU_NUMBER_TYPES | CPU_TYPE(HE_BOOL))))
        return he_error_set(HE_ERR_SHAPE, "%s: input %zu is %s, expected a number", call->node->op,
                            k, he_dtype_name(tensor->dtype));
    *out = cpu_get_double(tensor, 0);
    return HE_OK;
}

he_status cpu_read_int(const struct cpu_call *call, size_t k, int64_t *out)
{
    double number = 0;
    he_status status;

    if (cpu_count(&call->in[k]) == 1 && CPU_TYPE(call->in[k].dtype) & CPU_INTEGERS) {
        *out = cpu_get_int(&call->in[k], 0);
        return HE_OK;
    }
    status = cpu_read_double(call, k, &number);
    if (status != HE_OK)
        return status;
    if (!(fabs(number) < 9e18))
        return he_error_set(HE_ERR_SHAPE, "%s: input %zu is %g, expected an integer",
                            call->node->op, k, number);
    *out = (int64_t)number;
    return HE_OK;
}

const char *cpu_shape_text(const struct he_shape *shape, char text[CPU_SHAPE_TEXT])
{
    size_t used = 1;
    uint32_t k;

    text[0] = '[';
    for (k = 0; k < shape->rank && used < CPU_SHAPE_TEXT - 24; k++)
        used += (size_t)snprintf(text + used, CPU_SHAPE_TEXT - used, "%s%lld", k ? ", " : "",
                                 (long long)shape->dims[k]);
    snprintf(text + used, CPU_SHAPE_TEXT - used, "%s]", k < shape->rank ? ", ..." : "");
    return text;
}

he_status cpu_expect_output(const struct cpu_call *call, size_t k, enum he_dtype dtype,
                            const struct he_shape *shape)
{
    const struct he_tensor *out = &call->out[k];
    char want[CPU_SHAPE_TEXT], have[CPU_SHAPE_TEXT];

    if (out->dtype == dtype && he_shape_equal(&out->shape, shape))
        return HE_OK;
    return he_error_set(HE_ERR_SHAPE, "%s: output %zu is %s%s, expected %s%s", call->node->op, k,
                        he_dtype_name(out->dtype), cpu_shape_text(&out->shape, have),
                        he_dtype_name(dtype), cpu_shape_text(shape, want));
}
