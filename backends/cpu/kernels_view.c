/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators whose output is the input under another shape. The planner makes most of them
 * aliases that cost nothing; these kernels run where memory could not be shared.
 */
#include "move.h"

static he_status run_view(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    char from[CPU_SHAPE_TEXT], to[CPU_SHAPE_TEXT];
    int64_t bytes = he_shape_bytes(&in->shape, in->dtype);

    if (in->dtype != out->dtype || bytes < 0 || cpu_count(in) != cpu_count(out))
        return he_error_set(HE_ERR_SHAPE, "%s: %s%s does not become %s%s", call->node->op,
                            he_dtype_name(in->dtype), cpu_shape_text(&in->shape, from),
                            he_dtype_name(out->dtype), cpu_shape_text(&out->shape, to));
    cpu_bytes_copy(call->team, out->data, in->data, (size_t)bytes);
    return HE_OK;
}

#define VIEW(name)                                                                                 \
    {                                                                                              \
        .op = (name), .types = CPU_ALL_TYPES & ~CPU_TYPE(HE_STRING), .flags = CPU_IN_PLACE,        \
        .run = run_view                                                                            \
    }

static const struct cpu_kernel kernels[] = {
    VIEW("Reshape"), VIEW("Squeeze"), VIEW("Unsqueeze"), VIEW("Flatten"),
};

const struct cpu_kernel_table cpu_kernels_view = {kernels, CPU_COUNT(kernels)};
