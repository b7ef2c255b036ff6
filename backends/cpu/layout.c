/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels-last and dense. A channels-last slot is a strided tensor in its
 * logical [N, C, spatial...] dimensions; kernels that take strides read it so.
 * Elementwise kernels get it renamed to [N, spatial..., C], which is dense; all others get a
 * dense copy.
 */
#include "program.h"

#include <string.h>

/* Below this many bytes a copy is not worth waking a thread. */
#define COPY_GRAIN (256 * 1024)

struct he_tensor cpu_layout_tensor(const struct he_value *value, enum he_layout layout, void *data)
{
    struct he_tensor t = he_tensor_dense(value->dtype, &value->shape, data);
    uint32_t rank = t.shape.rank, k;
    int64_t stride;

    if (layout != HE_LAYOUT_CHANNELS_LAST || rank < 3 || rank > HE_MAX_RANK)
        return t;
    stride = t.shape.dims[1];
    t.strides[1] = 1;
    for (k = rank - 1; k >= 2; k--) {
        t.strides[k] = stride;
        stride *= t.shape.dims[k];
    }
    t.strides[0] = stride;
    t.is_dense = false;
    return t;
}

/* --- Copies --- */

struct byte_copy {
    char *to;
    const char *from;
};

static void copy_part(void *arg, int64_t begin, int64_t end)
{
    const struct byte_copy *copy = arg;

    memcpy(copy->to + begin, copy->from + begin, (size_t)(end - begin));
}

void cpu_copy_bytes(struct cpu_team *team, void *to, const void *from, size_t bytes)
{
    struct byte_copy copy = { to, from };

    if (to == from || !bytes)
        return;
    cpu_parallel(team, (int64_t)bytes, COPY_GRAIN, copy_part, &copy);
}

/* A batch of matrix transpositions: to[b][c][r] = from[b][r][c]. */
struct transposition {
    char *to;
    const char *from;
    int64_t rows, columns;
    size_t size; /* bytes of an element */
};

#define BLOCK 16
#define DEFINE_TRANSPOSE(name, type)                                                            \
    static void name(type *restrict to, const type *restrict from, int64_t rows, int64_t columns) \
    {                                                                                           \
        int64_t r0, c0, r, c;                                                                   \
                                                                                                \
        for (r0 = 0; r0 < rows; r0 += BLOCK)                                                    \
            for (c0 = 0; c0 < columns; c0 += BLOCK)                                             \
                for (c = c0; c < columns && c < c0 + BLOCK; c++)                                \
                    for (r = r0; r < rows && r < r0 + BLOCK; r++)                               \
                        to[c * rows + r] = from[r * columns + c];                               \
    }
DEFINE_TRANSPOSE(transpose_1, uint8_t)
DEFINE_TRANSPOSE(transpose_2, uint16_t)
DEFINE_TRANSPOSE(transpose_4, uint32_t)
DEFINE_TRANSPOSE(transpose_8, uint64_t)

static void transpose_any(char *to, const char *from, int64_t rows, int64_t columns, size_t size)
{
    int64_t r, c;

    for (c = 0; c < columns; c++)
        for (r = 0; r < rows; r++)
            memcpy(to + (size_t)(c * rows + r) * size, from + (size_t)(r * columns + c) * size,
                   size);
}

static void transpose_part(void *arg, int64_t begin, int64_t end)
{
    const struct transposition *t = arg;
    size_t bytes = (size_t)(t->rows * t->columns) * t->size;
    const char *from;
    char *to;
    int64_t b;

    for (b = begin; b < end; b++) {
        to = t->to + (size_t)b * bytes;
        from = t->from + (size_t)b * bytes;
        switch (t->size) {
        case 1:
            transpose_1((uint8_t *)to, (const uint8_t *)from, t->rows, t->columns);
            break;
        case 2:
            transpose_2((uint16_t *)to, (const uint16_t *)from, t->rows, t->columns);
            break;
        case 4:
            transpose_4((uint32_t *)to, (const uint32_t *)from, t->rows, t->columns);
            break;
        case 8:
            transpose_8((uint64_t *)to, (const uint64_t *)from, t->rows, t->columns);
            break;
        default:
            transpose_any(to, from, t->rows, t->columns, t->size);
        }
    }
}

void cpu_layout_copy(struct cpu_team *team, const struct he_tensor *to,
                     const struct he_tensor *from)
{
    int64_t bytes = he_shape_bytes(&from->shape, from->dtype), spatial = 1;
    struct transposition t;
    uint32_t k;

    if (to->is_dense == from->is_dense) {
        cpu_copy_bytes(team, to->data, from->data, bytes > 0 ? (size_t)bytes : 0);
        return;
    }
    for (k = 2; k < from->shape.rank; k++)
        spatial *= from->shape.dims[k];
    t = (struct transposition){
        .to = to->data,
        .from = from->data,
        .rows = from->is_dense ? from->shape.dims[1] : spatial,
        .columns = from->is_dense ? spatial : from->shape.dims[1],
        .size = he_dtype_bits(from->dtype) / 8,
    };
    if (bytes <= 0 || !t.size)
        return;
    cpu_parallel(team, from->shape.dims[0], 1, transpose_part, &t);
}

/* --- Elementwise nodes --- */

bool cpu_is_pointwise(const struct he_node *node)
{
    /* Sorted by strcmp(). */
    static const char *const ops[] = {
        "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitShift",
        "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu",
        "Clip", "Cos", "Cosh", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater",
        "GreaterOrEqual", "HardSigmoid", "HardSwish", "IsInf", "IsNaN", "LeakyRelu", "Less",
        "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or",
        "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin",
        "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh",
        "ThresholdedRelu", "Where", "Xor",
    };
    size_t low = 0, high = sizeof ops / sizeof ops[0], middle;
    int order;

    if (node->domain && *node->domain && strcmp(node->domain, "ai.onnx") != 0)
        return false;
    if (he_node_int(node, "broadcast", 0)) /* before opset 7: aligned at an axis */
        return false;
    while (low < high) {
        middle = low + (high - low) / 2;
        order = strcmp(node->op, ops[middle]);
        if (!order)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

/* Moves axis 1 to the end, after padding with leading 1s to @rank. */
static struct he_tensor rename_axes(const struct he_tensor *t, uint32_t rank)
{
    uint32_t missing = rank - t->shape.rank, k, from;
    struct he_tensor out = { .dtype = t->dtype, .data = t->data };

    out.shape.rank = rank;
    for (k = 0; k < rank; k++) {
        from = k == 0 ? 0 : k == rank - 1 ? 1 : k + 1;
        out.shape.dims[k] = from < missing ? 1 : t->shape.dims[from - missing];
        out.strides[k] = from < missing ? 0 : t->strides[from - missing];
    }
    return out;
}

/* True when the strides are the row-major ones, those of size-1 axes aside. */
static bool is_row_major(const struct he_tensor *t)
{
    int64_t stride = 1;
    uint32_t k;

    for (k = t->shape.rank; k-- > 0;) {
        if (t->shape.dims[k] != 1 && t->strides[k] != stride)
            return false;
        stride *= t->shape.dims[k];
    }
    return true;
}

bool cpu_layout_flatten(struct he_tensor *tensors, size_t count)
{
    struct he_tensor renamed;
    uint32_t rank = 0;
    size_t k;

    for (k = 0; k < count; k++)
        if (tensors[k].dtype != HE_DTYPE_NONE && tensors[k].shape.rank > rank)
            rank = tensors[k].shape.rank;
    if (rank < 3)
        return false;
    for (k = 0; k < count; k++) {
        if (tensors[k].dtype == HE_DTYPE_NONE)
            continue;
        renamed = rename_axes(&tensors[k], rank);
        if (!is_row_major(&renamed))
            return false;
    }
    for (k = 0; k < count; k++) {
        if (tensors[k].dtype == HE_DTYPE_NONE)
            continue;
        renamed = rename_axes(&tensors[k], rank);
        tensors[k] = he_tensor_dense(renamed.dtype, &renamed.shape, renamed.data);
    }
    return true;
}
