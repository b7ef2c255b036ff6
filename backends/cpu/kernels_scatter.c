/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scatter, ScatterElements, ScatterND: a copy of the data into which updates are written
 * or reduced, in the order of the indices, so that the last of several writes stays.
 */
#include "move.h"

#include "half.h"

enum reduction { REDUCE_NONE, REDUCE_ADD, REDUCE_MUL, REDUCE_MAX, REDUCE_MIN };

/* Combines @n updates into the data. */
typedef void (*combine_fn)(void *data, const void *updates, int64_t n, enum reduction reduction);

#define SAME(x) (x)
#define DEFINE_COMBINE(NAME, TYPE, WIDE, LOAD, STORE)                                              \
    static void combine_##NAME(void *data, const void *updates, int64_t n, enum reduction how)     \
    {                                                                                              \
        TYPE *to = data;                                                                           \
        const TYPE *from = updates;                                                                \
        WIDE a, b;                                                                                 \
        int64_t k;                                                                                 \
                                                                                                   \
        for (k = 0; k < n; k++) {                                                                  \
            a = LOAD(to[k]);                                                                       \
            b = LOAD(from[k]);                                                                     \
            switch (how) {                                                                         \
            case REDUCE_ADD:                                                                       \
                a += b;                                                                            \
                break;                                                                             \
            case REDUCE_MUL:                                                                       \
                a *= b;                                                                            \
                break;                                                                             \
            case REDUCE_MAX:                                                                       \
                a = b > a || b != b ? b : a;                                                       \
                break;                                                                             \
            case REDUCE_MIN:                                                                       \
                a = b < a || b != b ? b : a;                                                       \
                break;                                                                             \
            default:                                                                               \
                a = b;                                                                             \
            }                                                                                      \
            to[k] = STORE(a);                                                                      \
        }                                                                                          \
    }

/* Integers add and multiply as unsigned: they wrap instead of overflowing. */
DEFINE_COMBINE(f32, float, float, SAME, SAME)
DEFINE_COMBINE(f64, double, double, SAME, SAME)
DEFINE_COMBINE(f16, uint16_t, float, cpu_half_to_float, cpu_float_to_half)
DEFINE_COMBINE(bf16, uint16_t, float, cpu_bfloat_to_float, cpu_float_to_bfloat)
DEFINE_COMBINE(i8, int8_t, int32_t, SAME, (int8_t))
DEFINE_COMBINE(u8, uint8_t, int32_t, SAME, (uint8_t))
DEFINE_COMBINE(i16, int16_t, int32_t, SAME, (int16_t))
DEFINE_COMBINE(u16, uint16_t, uint32_t, SAME, (uint16_t))
DEFINE_COMBINE(u32, uint32_t, uint32_t, SAME, SAME)
DEFINE_COMBINE(u64, uint64_t, uint64_t, SAME, SAME)

#define DEFINE_SIGNED(NAME, TYPE, UNSIGNED)                                                        \
    static void combine_##NAME(void *data, const void *updates, int64_t n, enum reduction how)     \
    {                                                                                              \
        TYPE *to = data;                                                                           \
        const TYPE *from = updates;                                                                \
        int64_t k;                                                                                 \
                                                                                                   \
        for (k = 0; k < n; k++) {                                                                  \
            if (how == REDUCE_ADD)                                                                 \
                to[k] = (TYPE)((UNSIGNED)to[k] + (UNSIGNED)from[k]);                               \
            else if (how == REDUCE_MUL)                                                            \
                to[k] = (TYPE)((UNSIGNED)to[k] * (UNSIGNED)from[k]);                               \
            else if (how == REDUCE_MAX ? from[k] > to[k] : from[k] < to[k])                        \
                to[k] = from[k];                                                                   \
        }                                                                                          \
    }

DEFINE_SIGNED(i32, int32_t, uint32_t)
DEFINE_SIGNED(i64, int64_t, uint64_t)

static combine_fn combine_for(enum he_dtype dtype)
{
    static const combine_fn table[HE_DTYPE_COUNT] = {
        [HE_FLOAT32] = combine_f32, [HE_FLOAT64] = combine_f64,   [HE_FLOAT16] = combine_f16,
        [HE_INT8] = combine_i8,     [HE_BFLOAT16] = combine_bf16, [HE_UINT8] = combine_u8,
        [HE_INT16] = combine_i16,   [HE_UINT16] = combine_u16,    [HE_INT32] = combine_i32,
        [HE_UINT32] = combine_u32,  [HE_INT64] = combine_i64,     [HE_UINT64] = combine_u64,
    };

    return table[dtype];
}

struct scatter {
    const struct he_tensor *data, *indices, *updates, *out;
    enum reduction reduction;
    combine_fn combine; /* NULL: plain writes */
    size_t size;
};

static he_status read_reduction(const struct cpu_call *call, struct scatter *s)
{
    static const char *const names[] = {"none", "add", "mul", "max", "min"};
    const char *word = he_node_string(call->node, "reduction", "none");
    size_t k;

    for (k = 0; k < CPU_COUNT(names); k++)
        if (!strcmp(word, names[k]))
            break;
    if (k == CPU_COUNT(names))
        return he_error_set(HE_ERR_UNSUPPORTED, "%s: reduction \"%s\"", call->node->op, word);
    s->reduction = (enum reduction)k;
    s->combine = k ? combine_for(s->data->dtype) : NULL;
    if (k && !s->combine)
        return cpu_unsupported_type(call->node, s->data->dtype);
    return HE_OK;
}

/* Types and the copy of the data, which is nothing when it is already in place. */
static he_status open_scatter(struct cpu_call *call, struct scatter *s)
{
    he_status status;

    *s = (struct scatter){.data = &call->in[0],
                          .indices = &call->in[1],
                          .updates = &call->in[2],
                          .out = &call->out[0],
                          .size = cpu_element_bytes(call->in[0].dtype)};
    if (s->indices->dtype != HE_INT64 && s->indices->dtype != HE_INT32)
        return he_error_set(HE_ERR_SHAPE, "%s: indices are %s, expected int32 or int64",
                            call->node->op, he_dtype_name(s->indices->dtype));
    if (s->updates->dtype != s->data->dtype)
        return he_error_set(HE_ERR_SHAPE, "%s: updates are %s, data is %s", call->node->op,
                            he_dtype_name(s->updates->dtype), he_dtype_name(s->data->dtype));
    status = read_reduction(call, s);
    if (status == HE_OK)
        status = cpu_expect_output(call, 0, s->data->dtype, &s->data->shape);
    return status;
}

static he_status read_index(const struct cpu_call *call, const struct scatter *s, int64_t k,
                            uint32_t axis, int64_t *out)
{
    int64_t dim = s->data->shape.dims[axis];
    int64_t index = s->indices->dtype == HE_INT64 ? ((const int64_t *)s->indices->data)[k]
                                                  : ((const int32_t *)s->indices->data)[k];

    if (index < -dim || index >= dim)
        return he_error_set(HE_ERR_SHAPE,
                            "%s: index %lld (number %lld) is outside [%lld, %lld] of axis %u",
                            call->node->op, (long long)index, (long long)k, (long long)-dim,
                            (long long)dim - 1, axis);
    *out = index < 0 ? index + dim : index;
    return HE_OK;
}

static void put(const struct scatter *s, int64_t to, int64_t from, int64_t n)
{
    char *data = (char *)s->out->data + (size_t)to * s->size;
    const char *update = (const char *)s->updates->data + (size_t)from * s->size;

    if (s->combine)
        s->combine(data, update, n, s->reduction);
    else
        memcpy(data, update, (size_t)n * s->size);
}

static he_status run_scatter_elements(struct cpu_call *call)
{
    int64_t at[HE_MAX_RANK] = {0}, k, to, index = 0, count;
    const struct he_shape *shape = &call->in[1].shape;
    struct scatter s;
    uint32_t axis, d;
    he_status status;

    if ((status = open_scatter(call, &s)) != HE_OK ||
        (status = cpu_axis(call->node, he_node_int(call->node, "axis", 0), s.data->shape.rank,
                           &axis)) != HE_OK)
        return status;
    for (d = 0; d < shape->rank && shape->rank == s.data->shape.rank; d++)
        if (d != axis && shape->dims[d] > s.data->shape.dims[d])
            break;
    if (d < shape->rank || !he_shape_equal(shape, &s.updates->shape))
        return he_error_set(HE_ERR_SHAPE, "%s: indices fit neither the data nor the updates",
                            call->node->op);
    cpu_bytes_copy(call->team, s.out->data, s.data->data, (size_t)cpu_count(s.data) * s.size);
    count = cpu_count(s.indices);
    for (k = 0; k < count; k++) {
        status = read_index(call, &s, k, axis, &index);
        if (status != HE_OK)
            return status;
        to = index * s.data->strides[axis];
        for (d = 0; d < shape->rank; d++)
            if (d != axis)
                to += at[d] * s.data->strides[d];
        put(&s, to, k, 1);
        for (d = shape->rank; d-- > 0;) {
            if (++at[d] < shape->dims[d])
                break;
            at[d] = 0;
        }
    }
    return HE_OK;
}

static he_status run_scatter_nd(struct cpu_call *call)
{
    const struct he_shape *shape = &call->in[1].shape;
    int64_t k, to, index = 0, count, row;
    struct scatter s;
    struct he_shape want = {0};
    uint32_t d, tuple;
    he_status status = open_scatter(call, &s);

    if (status != HE_OK)
        return status;
    if (shape->rank < 1 || shape->dims[shape->rank - 1] > s.data->shape.rank)
        return he_error_set(HE_ERR_SHAPE, "ScatterND: index tuples do not fit data of rank %u",
                            s.data->shape.rank);
    tuple = (uint32_t)shape->dims[shape->rank - 1];
    if (shape->rank - 1 + s.data->shape.rank - tuple > HE_MAX_RANK)
        return he_error_set(HE_ERR_SHAPE, "ScatterND: updates have a rank over %d", HE_MAX_RANK);
    for (d = 0; d + 1 < shape->rank; d++)
        want.dims[want.rank++] = shape->dims[d];
    for (d = tuple; d < s.data->shape.rank; d++)
        want.dims[want.rank++] = s.data->shape.dims[d];
    if (!he_shape_equal(&want, &s.updates->shape))
        return he_error_set(HE_ERR_SHAPE, "ScatterND: updates do not fit indices and data");
    cpu_bytes_copy(call->team, s.out->data, s.data->data, (size_t)cpu_count(s.data) * s.size);
    count = cpu_extent(shape, 0, shape->rank - 1);
    row = cpu_extent(&s.data->shape, tuple, s.data->shape.rank);
    for (k = 0; k < count; k++) {
        for (d = 0, to = 0; d < tuple; d++) {
            status = read_index(call, &s, k * tuple + d, d, &index);
            if (status != HE_OK)
                return status;
            to += index * s.data->strides[d];
        }
        put(&s, to, k * row, row);
    }
    return HE_OK;
}

#define SCATTER(name, fn)                                                                          \
    {                                                                                              \
        .op = (name), .types = CPU_BYTE_TYPES, .flags = CPU_IN_PLACE, .run = (fn)                  \
    }

static const struct cpu_kernel kernels[] = {
    SCATTER("Scatter", run_scatter_elements),
    SCATTER("ScatterElements", run_scatter_elements),
    SCATTER("ScatterND", run_scatter_nd),
};

const struct cpu_kernel_table cpu_kernels_scatter = {kernels, CPU_COUNT(kernels)};
