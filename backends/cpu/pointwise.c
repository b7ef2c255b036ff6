/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts shared by all elementwise kernels: the walk over broadcast operands,
 * the widening of half types, and reading single elements.
 *
 * A walk joins adjacent dimensions that every operand steps through alike, so that most
 * broadcasts end as one or two dimensions; it is cut among threads by output element, each thread
 * finds its place by division once and then counts.
 */
#include "pointwise.h"

#include <string.h>

#include "half.h"

/* --- Walks --- */

static void set_steps(const struct he_shape *out, const struct he_shape *in, int64_t *steps)
{
    int64_t step = 1, size;
    uint32_t d;

    for (d = 0; d < out->rank; d++) {
        uint32_t at = out->rank - 1 - d;

        size = d < in->rank ? in->dims[in->rank - 1 - d] : 1;
        steps[at] = size == 1 ? 0 : step;
        step *= size;
    }
}

static bool broadcasts_to(const struct he_shape *in, const struct he_shape *out)
{
    uint32_t d;
    int64_t size;

    for (d = 0; d < in->rank; d++) {
        size = in->dims[in->rank - 1 - d];
        if (d >= out->rank) {
            if (size != 1)
                return false;
        } else if (size != 1 && size != out->dims[out->rank - 1 - d]) {
            return false;
        }
    }
    return true;
}

he_status cpu_walk_init(struct cpu_walk *walk, const struct he_shape *out,
                        const struct he_shape *const *inputs, uint32_t count,
                        const struct he_node *node)
{
    int64_t full[CPU_WALK_MAX][HE_MAX_RANK];
    uint32_t d, k;
    bool joins;

    if (count >= CPU_WALK_MAX)
        return he_error_set(HE_ERR_INTERNAL, "%s: a walk over %u inputs", node->op, count);
    walk->count = he_shape_count(out);
    walk->inputs = count;
    walk->rank = 0;
    if (walk->count < 0)
        return he_error_set(HE_ERR_SHAPE, "%s: an output shape that is not known", node->op);
    set_steps(out, out, full[0]);
    for (k = 0; k < count; k++) {
        if (!broadcasts_to(inputs[k], out))
            return he_error_set(HE_ERR_SHAPE, "%s: input %u does not broadcast to the output",
                                node->op, k);
        set_steps(out, inputs[k], full[k + 1]);
    }
    for (d = 0; d < out->rank; d++) {
        if (out->dims[d] == 1)
            continue;
        joins = walk->rank > 0;
        for (k = 0; joins && k <= count; k++)
            joins = walk->steps[k][walk->rank - 1] == full[k][d] * out->dims[d];
        if (!joins)
            walk->dims[walk->rank++] = 1;
        walk->dims[walk->rank - 1] *= out->dims[d];
        for (k = 0; k <= count; k++)
            walk->steps[k][walk->rank - 1] = full[k][d];
    }
    if (walk->rank == 0) {
        walk->rank = 1;
        walk->dims[0] = 1;
        for (k = 0; k <= count; k++)
            walk->steps[k][0] = 1;
    }
    return HE_OK;
}

struct walk_job {
    const struct cpu_walk *walk;
    cpu_run_fn fn;
    void *arg;
};

static void walk_part(void *arg, int64_t begin, int64_t end)
{
    const struct walk_job *job = arg;
    const struct cpu_walk *walk = job->walk;
    uint32_t last = walk->rank - 1, d, k;
    int64_t index[HE_MAX_RANK], offsets[CPU_WALK_MAX] = {0}, inner[CPU_WALK_MAX] = {0};
    int64_t rest = begin, pos, n;

    for (d = walk->rank; d-- > 0;) {
        index[d] = rest % walk->dims[d];
        rest /= walk->dims[d];
        for (k = 0; k < walk->inputs; k++)
            offsets[k] += index[d] * walk->steps[k + 1][d];
    }
    for (k = 0; k < walk->inputs; k++)
        inner[k] = walk->steps[k + 1][last];
    for (pos = begin; pos < end; pos += n) {
        n = walk->dims[last] - index[last];
        if (n > end - pos)
            n = end - pos;
        job->fn(job->arg, pos, offsets, n, inner);
        /* To the start of the next run. */
        for (k = 0; k < walk->inputs; k++)
            offsets[k] -= index[last] * inner[k];
        index[last] = 0;
        for (d = last; d-- > 0;) {
            for (k = 0; k < walk->inputs; k++)
                offsets[k] += walk->steps[k + 1][d];
            if (++index[d] < walk->dims[d])
                break;
            for (k = 0; k < walk->inputs; k++)
                offsets[k] -= walk->dims[d] * walk->steps[k + 1][d];
            index[d] = 0;
        }
    }
}

void cpu_walk_run(const struct cpu_walk *walk, struct cpu_team *team, int64_t grain, cpu_run_fn fn,
                  void *arg)
{
    struct walk_job job = {walk, fn, arg};

    if (walk->count > 0)
        cpu_parallel(team, walk->count, grain, walk_part, &job);
}

struct he_shape cpu_operand_shape(const struct he_node *node, const struct he_tensor *in,
                                  size_t in_count, size_t k)
{
    struct he_shape shape = in[k].shape;
    const struct he_shape *first = &in[0].shape;
    int64_t axis;
    uint32_t tail;

    if (node->opset >= 7 || k != 1 || in_count != 2 || node->domain[0])
        return shape;
    if (!strcmp(node->op, "PRelu")) {
        if (shape.rank == 1 && first->rank > 2) {
            while (shape.rank + 1 < first->rank)
                shape.dims[shape.rank++] = 1;
        }
        return shape;
    }
    if (!he_node_int(node, "broadcast", 0) || shape.rank >= first->rank)
        return shape;
    axis = he_node_int(node, "axis", (int64_t)first->rank - shape.rank);
    if (axis < 0)
        axis += first->rank;
    if (axis < 0 || axis + shape.rank > first->rank)
        return shape;
    for (tail = (uint32_t)axis + shape.rank; tail < first->rank; tail++)
        shape.dims[shape.rank++] = 1;
    return shape;
}

/* --- Half types --- */

CPU_VECTOR void cpu_half_to_floats(float *restrict out, const uint16_t *restrict in, int64_t n)
{
    int64_t i;

    for (i = 0; i < n; i++)
        out[i] = cpu_half_to_float(in[i]);
}

CPU_VECTOR void cpu_floats_to_half(uint16_t *restrict out, const float *restrict in, int64_t n)
{
    int64_t i;

    for (i = 0; i < n; i++)
        out[i] = cpu_float_to_half(in[i]);
}

CPU_VECTOR void cpu_bfloat_to_floats(float *restrict out, const uint16_t *restrict in, int64_t n)
{
    int64_t i;

    for (i = 0; i < n; i++)
        out[i] = cpu_bfloat_to_float(in[i]);
}

CPU_VECTOR void cpu_floats_to_bfloat(uint16_t *restrict out, const float *restrict in, int64_t n)
{
    int64_t i;

    for (i = 0; i < n; i++)
        out[i] = cpu_float_to_bfloat(in[i]);
}

/* Operands a widened call may have; a concatenation of more is not elementwise. */
#define WIDENED_MAX 64

static bool is_half(enum he_dtype dtype)
{
    return dtype == HE_FLOAT16 || dtype == HE_BFLOAT16;
}

static size_t widened_bytes(const struct he_tensor *tensor)
{
    int64_t count = he_shape_count(&tensor->shape);

    return count <= 0 ? 0 : ((size_t)count * sizeof(float) + 63) & ~(size_t)63;
}

size_t cpu_widened_scratch(const struct he_node *node, const struct he_tensor *in, size_t in_count,
                           const struct he_tensor *out, size_t out_count)
{
    const struct cpu_kernel *kernel = cpu_kernel_find(node->domain, node->op, HE_FLOAT32);
    struct he_tensor wide[2 * WIDENED_MAX];
    size_t bytes = 0, k;

    if (in_count > WIDENED_MAX || out_count > WIDENED_MAX)
        return 0;
    for (k = 0; k < in_count + out_count; k++) {
        wide[k] = k < in_count ? in[k] : out[k - in_count];
        if (is_half(wide[k].dtype)) {
            bytes += widened_bytes(&wide[k]);
            wide[k].dtype = HE_FLOAT32;
        }
    }
    if (kernel && kernel->scratch)
        bytes += kernel->scratch(node, wide, in_count, wide + in_count, out_count);
    return bytes;
}

he_status cpu_widened_run(struct cpu_call *call)
{
    const struct cpu_kernel *kernel =
        cpu_kernel_find(call->node->domain, call->node->op, HE_FLOAT32);
    struct he_tensor wide[2 * WIDENED_MAX], *out = wide + call->in_count;
    struct cpu_call inner = *call;
    char *scratch = call->scratch;
    he_status status;
    size_t k;

    if (!kernel || kernel->run == cpu_widened_run || (kernel->flags & CPU_DATA_SHAPE) ||
        call->in_count > WIDENED_MAX || call->out_count > WIDENED_MAX)
        return cpu_unsupported_type(call->node, call->in[0].dtype);
    for (k = 0; k < call->in_count + call->out_count; k++) {
        wide[k] = k < call->in_count ? call->in[k] : call->out[k - call->in_count];
        if (!is_half(wide[k].dtype))
            continue;
        if (k < call->in_count && wide[k].dtype == HE_FLOAT16)
            cpu_half_to_floats((float *)scratch, wide[k].data, cpu_count(&wide[k]));
        else if (k < call->in_count)
            cpu_bfloat_to_floats((float *)scratch, wide[k].data, cpu_count(&wide[k]));
        wide[k].data = scratch;
        wide[k].dtype = HE_FLOAT32;
        scratch += widened_bytes(&wide[k]);
    }
    inner.in = wide;
    inner.out = out;
    inner.scratch = scratch;
    status = kernel->run(&inner);
    if (status != HE_OK)
        return status;
    for (k = 0; k < call->out_count; k++) {
        if (call->out[k].dtype == HE_FLOAT16)
            cpu_floats_to_half(call->out[k].data, out[k].data, cpu_count(&out[k]));
        else if (call->out[k].dtype == HE_BFLOAT16)
            cpu_floats_to_bfloat(call->out[k].data, out[k].data, cpu_count(&out[k]));
    }
    return HE_OK;
}

/* --- Small helpers --- */

he_status cpu_axis(const struct he_node *node, int64_t axis, uint32_t rank, uint32_t *out)
{
    if (axis < -(int64_t)rank || axis >= (int64_t)rank)
        return he_error_set(HE_ERR_SHAPE, "%s: axis %lld outside a rank of %u", node->op,
                            (long long)axis, rank);
    *out = (uint32_t)(axis < 0 ? axis + rank : axis);
    return HE_OK;
}

he_status cpu_unsupported_type(const struct he_node *node, enum he_dtype dtype)
{
    return he_error_set(HE_ERR_UNSUPPORTED, "%s: no cpu kernel for %s with these operands",
                        node->op, he_dtype_name(dtype));
}

double cpu_get_double(const struct he_tensor *tensor, int64_t k)
{
    switch (tensor->dtype) {
    case HE_FLOAT32:
        return ((const float *)tensor->data)[k];
    case HE_FLOAT64:
        return ((const double *)tensor->data)[k];
    case HE_FLOAT16:
        return cpu_half_to_float(((const uint16_t *)tensor->data)[k]);
    case HE_BFLOAT16:
        return cpu_bfloat_to_float(((const uint16_t *)tensor->data)[k]);
    case HE_UINT64:
        return (double)((const uint64_t *)tensor->data)[k];
    default:
        return (double)cpu_get_int(tensor, k);
    }
}

int64_t cpu_get_int(const struct he_tensor *tensor, int64_t k)
{
    switch (tensor->dtype) {
    case HE_BOOL:
    case HE_UINT8:
        return ((const uint8_t *)tensor->data)[k];
    case HE_INT8:
        return ((const int8_t *)tensor->data)[k];
    case HE_UINT16:
        return ((const uint16_t *)tensor->data)[k];
    case HE_INT16:
        return ((const int16_t *)tensor->data)[k];
    case HE_INT32:
        return ((const int32_t *)tensor->data)[k];
    case HE_UINT32:
        return ((const uint32_t *)tensor->data)[k];
    case HE_INT64:
        return ((const int64_t *)tensor->data)[k];
    case HE_UINT64:
        return (int64_t)((const uint64_t *)tensor->data)[k];
    case HE_FLOAT32:
    case HE_FLOAT64:
    case HE_FLOAT16:
    case HE_BFLOAT16:
        return (int64_t)cpu_get_double(tensor, k);
    default:
        return 0;
    }
}
