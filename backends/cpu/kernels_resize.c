/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resize and Upsample. Nearest is a copy through one table of source offsets per axis.
 * Linear and cubic are separable: one pass per axis, the innermost first, over
 * intermediate images in scratch memory; each pass reads a table of taps and weights.
 * Everything works in the order in which the output lies in memory, so that
 * channels-last images keep their contiguous inner loop over channels.
 */
#include "element.h"
#include "resize.h"

/* The axes from the one with the largest output stride to the one with the smallest. */
static void physical_order(const struct he_tensor *tensor, uint32_t order[HE_MAX_RANK])
{
    uint32_t k, at;

    for (k = 0; k < tensor->shape.rank; k++) {
        for (at = k; at > 0 && tensor->strides[order[at - 1]] < tensor->strides[k]; at--)
            order[at] = order[at - 1];
        order[at] = k;
    }
}

/* --- Nearest --- */

struct nearest {
    const struct he_tensor *in, *out;
    uint32_t order[HE_MAX_RANK];
    const int64_t *offsets[HE_MAX_RANK]; /* bytes into the source per output index; -1: outside */
    uint32_t run_axes;                   /* inner axes copied as they are */
    size_t size, run;                    /* bytes of an element, and of the run of those axes */
    uint8_t outside[16];
};

static void copy_one(char *dst, const char *src, size_t size)
{
    switch (size) {
    case 1:
        *dst = *src;
        break;
    case 2:
        memcpy(dst, src, 2);
        break;
    case 4:
        memcpy(dst, src, 4);
        break;
    case 8:
        memcpy(dst, src, 8);
        break;
    default:
        memcpy(dst, src, size);
    }
}

/* One step along the innermost axis that is looked up. */
static void nearest_line(const struct nearest *n, uint32_t axis, const char *src, char *dst)
{
    int64_t k, count = n->out->shape.dims[axis], step = n->out->strides[axis] * (int64_t)n->size;
    const int64_t *offsets = n->offsets[axis];
    size_t at;

    for (k = 0; k < count; k++, dst += step) {
        if (src && offsets[k] >= 0) {
            copy_one(dst, src + offsets[k], n->run);
            continue;
        }
        for (at = 0; at < n->run; at += n->size)
            memcpy(dst + at, n->outside, n->size);
    }
}

/* A unit is one line along the innermost axis that is looked up. */
static void nearest_lines(void *arg, int64_t begin, int64_t end)
{
    const struct nearest *n = arg;
    uint32_t inner = n->in->shape.rank - n->run_axes - 1, d, axis;
    const char *source, *previous_source = NULL;
    char *target, *previous = NULL;
    int64_t rest, at, bytes;
    bool is_inside;

    bytes = n->out->shape.dims[n->order[inner]] * (int64_t)n->run;
    for (; begin < end; begin++) {
        source = n->in->data;
        target = n->out->data;
        is_inside = true;
        for (d = inner, rest = begin; d-- > 0;) {
            axis = n->order[d];
            at = rest % n->out->shape.dims[axis];
            rest /= n->out->shape.dims[axis];
            target += at * n->out->strides[axis] * (int64_t)n->size;
            is_inside &= n->offsets[axis][at] >= 0;
            source += n->offsets[axis][at] >= 0 ? n->offsets[axis][at] : 0;
        }
        /* Growing repeats whole lines, which lie dense in the output. */
        if (is_inside && previous && source == previous_source)
            memcpy(target, previous, (size_t)bytes);
        else
            nearest_line(n, n->order[inner], is_inside ? source : NULL, target);
        previous_source = source;
        previous =
            is_inside && n->out->strides[n->order[inner]] * (int64_t)n->size == (int64_t)n->run
                ? target
                : NULL;
    }
}

static he_status run_nearest(struct cpu_call *call, const struct cpu_resize *r)
{
    struct nearest n = {.in = &call->in[0], .out = &call->out[0]};
    int64_t *table = call->scratch, k, lines = 1, step;
    uint32_t rank = n.out->shape.rank, d, axis;
    double x;

    n.size = n.run = cpu_element_bytes(n.in->dtype);
    cpu_store_double(n.out->dtype, n.outside, r->outside);
    physical_order(n.out, n.order);
    for (d = 0; d < rank; d++) {
        step = n.in->strides[d] * (int64_t)n.size;
        n.offsets[d] = table;
        for (k = 0; k < r->axes[d].out; k++) {
            if (!r->axes[d].is_active)
                *table++ = k * step;
            else if (cpu_resize_coordinate(r, &r->axes[d], k, &x))
                *table++ = cpu_resize_nearest(r, &r->axes[d], x) * step;
            else
                *table++ = -1;
        }
    }
    for (d = rank; d-- > 1; n.run_axes++) {
        axis = n.order[d];
        if (r->axes[axis].is_active || n.in->strides[axis] * (int64_t)n.size != (int64_t)n.run ||
            n.out->strides[axis] * (int64_t)n.size != (int64_t)n.run)
            break;
        n.run *= (size_t)n.out->shape.dims[axis];
    }
    for (d = 0; d + n.run_axes + 1 < rank; d++)
        lines *= n.out->shape.dims[n.order[d]];
    cpu_parallel(call->team, lines,
                 16384 / (n.out->shape.dims[n.order[rank - n.run_axes - 1]] + 1) + 1, nearest_lines,
                 &n);
    return HE_OK;
}

/* --- Linear and cubic --- */

/* The taps of one axis: taps entries per output index. */
struct taps {
    const int64_t *index; /* inside the input */
    const void *weight;   /* float or double, as the images */
    const bool *is_outside;
    int64_t count;
};

/* One pass: [outer, in, inner] -> [outer, out, inner], both dense. */
struct pass {
    const void *from;
    void *to;
    int64_t in, out, inner;
    struct taps taps;
    double outside;
};

#define DEFINE_PASS(NAME, TYPE)                                                                    \
    CPU_VECTOR static void blend_##NAME(const struct pass *p, const TYPE *from, TYPE *to,          \
                                        const int64_t *index, const TYPE *weight)                  \
    {                                                                                              \
        int64_t k, t, n = p->inner;                                                                \
        const TYPE *a = from + index[0] * n, *b;                                                   \
        TYPE w = weight[0], v;                                                                     \
                                                                                                   \
        if (p->taps.count == 2) {                                                                  \
            b = from + index[1] * n;                                                               \
            v = weight[1];                                                                         \
            for (k = 0; k < n; k++)                                                                \
                to[k] = w * a[k] + v * b[k];                                                       \
            return;                                                                                \
        }                                                                                          \
        for (k = 0; k < n; k++)                                                                    \
            to[k] = w * a[k];                                                                      \
        for (t = 1; t < p->taps.count; t++) {                                                      \
            a = from + index[t] * n;                                                               \
            w = weight[t];                                                                         \
            for (k = 0; k < n; k++)                                                                \
                to[k] += w * a[k];                                                                 \
        }                                                                                          \
    }                                                                                              \
    /* The axis is the innermost one: every output its own sum. */                                 \
    static void blend_line_##NAME(const struct pass *p, const TYPE *from, TYPE *to)                \
    {                                                                                              \
        const TYPE *weight = p->taps.weight;                                                       \
        const int64_t *index = p->taps.index;                                                      \
        int64_t k, t;                                                                              \
        TYPE sum;                                                                                  \
                                                                                                   \
        if (p->taps.count == 2) {                                                                  \
            for (k = 0; k < p->out; k++)                                                           \
                to[k] = weight[2 * k] * from[index[2 * k]] +                                       \
                        weight[2 * k + 1] * from[index[2 * k + 1]];                                \
        } else {                                                                                   \
            for (k = 0; k < p->out; k++, index += p->taps.count, weight += p->taps.count) {        \
                for (t = 0, sum = 0; t < p->taps.count; t++)                                       \
                    sum += weight[t] * from[index[t]];                                             \
                to[k] = sum;                                                                       \
            }                                                                                      \
        }                                                                                          \
        for (k = 0; k < p->out; k++)                                                               \
            if (p->taps.is_outside[k])                                                             \
                to[k] = (TYPE)p->outside;                                                          \
    }                                                                                              \
    /* A unit is one output index of one outer index, or all of them when inner is 1. */           \
    static void pass_##NAME(void *arg, int64_t begin, int64_t end)                                 \
    {                                                                                              \
        const struct pass *p = arg;                                                                \
        int64_t o, k;                                                                              \
        TYPE *to;                                                                                  \
                                                                                                   \
        for (; begin < end; begin++) {                                                             \
            if (p->inner == 1) {                                                                   \
                blend_line_##NAME(p, (const TYPE *)p->from + begin * p->in,                        \
                                  (TYPE *)p->to + begin * p->out);                                 \
                continue;                                                                          \
            }                                                                                      \
            o = begin % p->out;                                                                    \
            to = (TYPE *)p->to + begin * p->inner;                                                 \
            blend_##NAME(p, (const TYPE *)p->from + begin / p->out * p->in * p->inner, to,         \
                         p->taps.index + o * p->taps.count,                                        \
                         (const TYPE *)p->taps.weight + o * p->taps.count);                        \
            for (k = 0; p->taps.is_outside[o] && k < p->inner; k++)                                \
                to[k] = (TYPE)p->outside;                                                          \
        }                                                                                          \
    }

DEFINE_PASS(f32, float)
DEFINE_PASS(f64, double)

/* Scratch is cut from front to back, each piece aligned. */
static void *cut(char **scratch, size_t bytes)
{
    void *piece = *scratch;

    *scratch += (bytes + 63) & ~(size_t)63;
    return piece;
}

static size_t table_bytes(int64_t out, int64_t taps, size_t size)
{
    return (((size_t)(out * taps) * sizeof(int64_t) + 63) & ~(size_t)63) +
           (((size_t)(out * taps) * size + 63) & ~(size_t)63) + (((size_t)out + 63) & ~(size_t)63) +
           (((size_t)taps * sizeof(double) + 63) & ~(size_t)63);
}

static he_status fill_taps(const struct cpu_call *call, const struct cpu_resize *r,
                           const struct cpu_resize_axis *axis, bool is_single, char **scratch,
                           struct taps *taps)
{
    int64_t capacity = cpu_resize_taps(call->node, axis->in, axis->out), k, t, count, first, at;
    int64_t *index = cut(scratch, (size_t)(axis->out * capacity) * sizeof *index);
    void *weight =
        cut(scratch, (size_t)(axis->out * capacity) * (is_single ? sizeof(float) : sizeof(double)));
    bool *is_outside = cut(scratch, (size_t)axis->out);
    double *one = cut(scratch, (size_t)capacity * sizeof *one), x;

    /* As many entries per output as the largest one needs. */
    taps->count = r->is_antialias ? capacity : r->mode == CPU_RESIZE_CUBIC ? 4 : 2;
    for (k = 0; k < axis->out; k++) {
        is_outside[k] = !cpu_resize_coordinate(r, axis, k, &x);
        if (!(fabs(x) < 1e15))
            x = 0;
        count = is_outside[k] ? 0 : cpu_resize_weights(r, axis, x, one, capacity, &first);
        if (count > taps->count)
            return he_error_set(HE_ERR_SHAPE, "%s: the output does not fit the scales",
                                call->node->op);
        for (t = 0; t < taps->count; t++) {
            at = t < count ? cpu_clamp_i64(first + t, 0, axis->in - 1) : 0;
            index[k * taps->count + t] = at;
            if (is_single)
                ((float *)weight)[k * taps->count + t] = t < count ? (float)one[t] : 0;
            else
                ((double *)weight)[k * taps->count + t] = t < count ? one[t] : 0;
        }
    }
    taps->index = index;
    taps->weight = weight;
    taps->is_outside = is_outside;
    return HE_OK;
}

/* The dense strides that put the axes in @order. */
static struct he_tensor laid_out(const struct he_tensor *like, const uint32_t *order, void *data)
{
    struct he_tensor tensor = *like;
    int64_t stride = 1;
    uint32_t k;

    for (k = like->shape.rank; k-- > 0;) {
        tensor.strides[order[k]] = stride;
        stride *= like->shape.dims[order[k]];
    }
    tensor.is_dense = false;
    tensor.data = data;
    return tensor;
}

static bool has_same_strides(const struct he_tensor *a, const struct he_tensor *b)
{
    uint32_t k;

    for (k = 0; k < a->shape.rank; k++)
        if (a->shape.dims[k] != 1 && a->strides[k] != b->strides[k])
            return false;
    return true;
}

struct conversion {
    const char *from;
    char *to;
    enum he_dtype dtype;
    size_t size;
};

static void widen_elements(void *arg, int64_t begin, int64_t end)
{
    const struct conversion *c = arg;
    const struct he_tensor tensor = {.dtype = c->dtype, .data = (void *)(uintptr_t)c->from};

    for (; begin < end; begin++)
        ((double *)c->to)[begin] = cpu_get_double(&tensor, begin);
}

/* Integers are rounded and held in range. */
static void narrow_elements(void *arg, int64_t begin, int64_t end)
{
    const struct conversion *c = arg;
    bool is_integer = he_dtype_is_integer(c->dtype);
    double value;

    for (; begin < end; begin++) {
        value = ((const double *)c->from)[begin];
        cpu_store_double(c->dtype, c->to + (size_t)begin * c->size,
                         is_integer ? rint(value) : value);
    }
}

/*
 * The scratch memory of a linear or cubic resize: tables, then the input in the order of
 * the output (used when it has another order), then images wide enough for every step.
 */
static size_t image_bytes(const struct he_tensor *in, const struct he_tensor *out)
{
    size_t size = in->dtype == HE_FLOAT32 ? sizeof(float) : sizeof(double), bytes = size;
    uint32_t k;

    for (k = 0; k < in->shape.rank && k < out->shape.rank; k++) {
        int64_t most =
            in->shape.dims[k] > out->shape.dims[k] ? in->shape.dims[k] : out->shape.dims[k];

        if (most < 0 || __builtin_mul_overflow(bytes, (size_t)most, &bytes))
            return SIZE_MAX / 8;
    }
    return (bytes + 63) & ~(size_t)63;
}

static size_t resize_scratch(const struct he_node *node, const struct he_tensor *in,
                             size_t in_count, const struct he_tensor *out, size_t out_count)
{
    size_t bytes = 0, size = in[0].dtype == HE_FLOAT32 ? sizeof(float) : sizeof(double);
    uint32_t k;

    (void)in_count, (void)out_count;
    if (cpu_resize_mode_of(node) == CPU_RESIZE_NEAREST) {
        for (k = 0; k < out[0].shape.rank; k++)
            bytes += (size_t)out[0].shape.dims[k] * sizeof(int64_t);
        return bytes;
    }
    for (k = 0; k < out[0].shape.rank && k < in[0].shape.rank; k++)
        bytes +=
            table_bytes(out[0].shape.dims[k],
                        cpu_resize_taps(node, in[0].shape.dims[k], out[0].shape.dims[k]), size);
    return bytes + 3 * image_bytes(&in[0], &out[0]);
}

static he_status run_interpolation(struct cpu_call *call, const struct cpu_resize *r)
{
    const struct he_tensor *in = &call->in[0], *out = &call->out[0];
    bool is_single = in->dtype == HE_FLOAT32, is_native = is_single || in->dtype == HE_FLOAT64;
    size_t size = cpu_element_bytes(in->dtype);
    struct he_tensor arranged, result;
    struct taps taps[HE_MAX_RANK];
    uint32_t order[HE_MAX_RANK], rank = in->shape.rank, d, axis, left = 0;
    char *scratch = call->scratch, *images[3];
    int64_t outer, sizes[HE_MAX_RANK];
    struct pass pass = {.outside = r->outside};
    const void *from;
    int k;
    he_status status;

    physical_order(out, order);
    for (d = 0; d < rank; d++) {
        sizes[d] = r->axes[d].in;
        if (!r->axes[d].is_active)
            continue;
        left++;
        status = fill_taps(call, r, &r->axes[d], is_single, &scratch, &taps[d]);
        if (status != HE_OK)
            return status;
    }
    for (k = 0; k < 3; k++)
        images[k] = cut(&scratch, image_bytes(in, out));
    arranged = laid_out(in, order, images[2]);
    result = laid_out(out, order, images[2]);
    if (has_same_strides(in, &arranged))
        arranged.data = in->data;
    else
        cpu_tensor_copy(call->team, in, &arranged);
    from = arranged.data;
    if (!is_native) {
        struct conversion c = {arranged.data, images[0], in->dtype, size};

        cpu_parallel(call->team, cpu_count(in), 16384, widen_elements, &c);
        from = images[0];
    }
    if (left == 0) {
        cpu_tensor_copy(call->team, in, out);
        return HE_OK;
    }
    for (d = rank; d-- > 0;) {
        axis = order[d];
        if (!r->axes[axis].is_active)
            continue;
        pass.from = from;
        /* The last pass of a native type writes the output when that is laid out densely. */
        if (--left == 0 && is_native && has_same_strides(out, &result))
            pass.to = out->data;
        else
            pass.to = from == images[0] ? images[1] : images[0];
        pass.in = r->axes[axis].in;
        pass.out = r->axes[axis].out;
        pass.taps = taps[axis];
        for (k = 0, outer = 1, pass.inner = 1; k < (int)rank; k++)
            *(k < (int)d ? &outer : &pass.inner) *= k == (int)d ? 1 : sizes[order[k]];
        sizes[axis] = pass.out;
        if (outer > 0 && pass.inner > 0)
            cpu_parallel(call->team, pass.inner == 1 ? outer : outer * pass.out,
                         16384 / (pass.inner == 1 ? pass.out + 1 : pass.inner) + 1,
                         is_single ? pass_f32 : pass_f64, &pass);
        from = pass.to;
    }
    if (from == out->data)
        return HE_OK;
    if (is_native) {
        result.data = (void *)(uintptr_t)from;
    } else {
        struct conversion c = {from, has_same_strides(out, &result) ? out->data : images[2],
                               out->dtype, size};

        cpu_parallel(call->team, cpu_count(out), 16384, narrow_elements, &c);
        result.data = c.to;
    }
    if (result.data != out->data)
        cpu_tensor_copy(call->team, &result, out);
    return HE_OK;
}

static he_status run_resize(struct cpu_call *call)
{
    struct cpu_resize r;
    he_status status = cpu_resize_read(call, &r);

    if (status != HE_OK || cpu_count(&call->out[0]) <= 0)
        return status;
    if (call->out[0].shape.rank == 0) {
        cpu_tensor_copy(call->team, &call->in[0], &call->out[0]);
        return HE_OK;
    }
    if (r.mode == CPU_RESIZE_NEAREST)
        return run_nearest(call, &r);
    if (!(CPU_TYPE(call->in[0].dtype) & CPU_NUMBER_TYPES))
        return cpu_unsupported_type(call->node, call->in[0].dtype);
    return run_interpolation(call, &r);
}

#define RESIZE(name)                                                                               \
    {                                                                                              \
        .op = (name), .types = CPU_BYTE_TYPES, .flags = CPU_STRIDED, .run = run_resize,            \
        .scratch = resize_scratch                                                                  \
    }

static const struct cpu_kernel kernels[] = {
    RESIZE("Resize"),
    RESIZE("Upsample"),
};

const struct cpu_kernel_table cpu_kernels_resize = {kernels, CPU_COUNT(kernels)};
