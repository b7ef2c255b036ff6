/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers of a node's attributes and of constant tensors. An attribute of
 * another kind than the one asked for counts as absent.
 */
#include <heteroengine/graph.h>

#include <string.h>

const struct he_attr *he_node_attr(const struct he_node *node, const char *name)
{
    for (uint32_t k = 0; k < node->attr_count; k++) {
        if (node->attrs[k].name && strcmp(node->attrs[k].name, name) == 0)
            return &node->attrs[k];
    }
    return NULL;
}

int64_t he_node_int(const struct he_node *node, const char *name, int64_t fallback)
{
    const struct he_attr *attr = he_node_attr(node, name);

    return attr && attr->kind == HE_ATTR_INT ? attr->i : fallback;
}

float he_node_float(const struct he_node *node, const char *name, float fallback)
{
    const struct he_attr *attr = he_node_attr(node, name);

    return attr && attr->kind == HE_ATTR_FLOAT ? attr->f : fallback;
}

const char *he_node_string(const struct he_node *node, const char *name, const char *fallback)
{
    const struct he_attr *attr = he_node_attr(node, name);

    return attr && attr->kind == HE_ATTR_STRING && attr->s ? attr->s : fallback;
}

size_t he_node_ints(const struct he_node *node, const char *name, const int64_t **out)
{
    const struct he_attr *attr = he_node_attr(node, name);

    *out = NULL;
    if (!attr || attr->kind != HE_ATTR_INTS || !attr->ints)
        return 0;
    *out = attr->ints;
    return attr->count;
}

bool he_value_is_constant(const struct he_value *value)
{
    int64_t bytes;

    if (!value->data || value->shape.rank > HE_MAX_RANK || !he_shape_is_static(&value->shape))
        return false;
    if (value->dtype == HE_STRING)
        return true;
    bytes = he_shape_bytes(&value->shape, value->dtype);
    return bytes >= 0 && value->data_bytes >= (size_t)bytes;
}

static int64_t read_int(const unsigned char *data, enum he_dtype dtype, size_t k)
{
    int8_t i8;
    int16_t i16;
    uint16_t u16;
    int32_t i32;
    uint32_t u32;
    int64_t i64;

    switch (dtype) {
    case HE_INT8:
        memcpy(&i8, data + k, sizeof i8);
        return i8;
    case HE_UINT8:
        return data[k];
    case HE_INT16:
        memcpy(&i16, data + k * sizeof i16, sizeof i16);
        return i16;
    case HE_UINT16:
        memcpy(&u16, data + k * sizeof u16, sizeof u16);
        return u16;
    case HE_INT32:
        memcpy(&i32, data + k * sizeof i32, sizeof i32);
        return i32;
    case HE_UINT32:
        memcpy(&u32, data + k * sizeof u32, sizeof u32);
        return u32;
    default: /* int64, and uint64 by its bits */
        memcpy(&i64, data + k * sizeof i64, sizeof i64);
        return i64;
    }
}

bool he_value_read_ints(const struct he_value *value, int64_t *out, size_t capacity, size_t *count)
{
    int64_t total;

    if (!value || !he_dtype_is_integer(value->dtype) || he_dtype_bits(value->dtype) < 8 ||
        !he_value_is_constant(value))
        return false;
    total = he_shape_count(&value->shape);
    if (total < 0)
        return false;
    for (size_t k = 0; k < capacity && k < (size_t)total; k++)
        out[k] = read_int(value->data, value->dtype, k);
    *count = (size_t)total;
    return true;
}
