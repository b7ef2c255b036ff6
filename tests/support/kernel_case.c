/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of single kernels, from text or from memory. */
#include "support/kernel_case.h"

#include <check.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "half.h"
#include "support/graph_builder.h"

#define GUARD 64
#define GUARD_BYTE 0x5c

struct he_tensor case_tensor(enum he_dtype dtype, const struct he_shape *shape)
{
    int64_t bytes = he_shape_bytes(shape, dtype);
    char *data;

    ck_assert_int_ge(bytes, 0);
    data = aligned_alloc(64, ((size_t)bytes + GUARD + 63) & ~(size_t)63);
    ck_assert_ptr_nonnull(data);
    memset(data, GUARD_BYTE, (size_t)bytes + GUARD);
    return he_tensor_dense(dtype, shape, data);
}

void case_tensor_free(struct he_tensor *tensor)
{
    free(tensor->data);
    tensor->data = NULL;
}

bool case_tensor_is_intact(const struct he_tensor *tensor)
{
    const char *end = (const char *)tensor->data + he_shape_bytes(&tensor->shape, tensor->dtype);
    int k;

    for (k = 0; k < GUARD; k++) {
        if (end[k] != GUARD_BYTE)
            return false;
    }
    return true;
}

double case_tensor_get(const struct he_tensor *tensor, int64_t k)
{
    switch (tensor->dtype) {
    case HE_FLOAT32:
        return (double)((const float *)tensor->data)[k];
    case HE_FLOAT64:
        return ((const double *)tensor->data)[k];
    case HE_FLOAT16:
        return (double)cpu_half_to_float(((const uint16_t *)tensor->data)[k]);
    case HE_BFLOAT16:
        return (double)cpu_bfloat_to_float(((const uint16_t *)tensor->data)[k]);
    case HE_INT8:
        return ((const int8_t *)tensor->data)[k];
    case HE_UINT8:
    case HE_BOOL:
        return ((const uint8_t *)tensor->data)[k];
    case HE_INT16:
        return ((const int16_t *)tensor->data)[k];
    case HE_UINT16:
        return ((const uint16_t *)tensor->data)[k];
    case HE_INT32:
        return ((const int32_t *)tensor->data)[k];
    case HE_UINT32:
        return ((const uint32_t *)tensor->data)[k];
    case HE_INT64:
        return (double)((const int64_t *)tensor->data)[k];
    case HE_UINT64:
        return (double)((const uint64_t *)tensor->data)[k];
    default:
        ck_abort_msg("no such type in a kernel case: %s", he_dtype_name(tensor->dtype));
        return 0;
    }
}

void case_tensor_set(struct he_tensor *tensor, int64_t k, double x)
{
    switch (tensor->dtype) {
    case HE_FLOAT32:
        ((float *)tensor->data)[k] = (float)x;
        break;
    case HE_FLOAT64:
        ((double *)tensor->data)[k] = x;
        break;
    case HE_FLOAT16:
        ((uint16_t *)tensor->data)[k] = cpu_double_to_half(x);
        break;
    case HE_BFLOAT16:
        ((uint16_t *)tensor->data)[k] = cpu_float_to_bfloat((float)x);
        break;
    case HE_INT8:
        ((int8_t *)tensor->data)[k] = (int8_t)x;
        break;
    case HE_UINT8:
    case HE_BOOL:
        ((uint8_t *)tensor->data)[k] = (uint8_t)x;
        break;
    case HE_INT16:
        ((int16_t *)tensor->data)[k] = (int16_t)x;
        break;
    case HE_UINT16:
        ((uint16_t *)tensor->data)[k] = (uint16_t)x;
        break;
    case HE_INT32:
        ((int32_t *)tensor->data)[k] = (int32_t)x;
        break;
    case HE_UINT32:
        ((uint32_t *)tensor->data)[k] = (uint32_t)x;
        break;
    case HE_INT64:
        ((int64_t *)tensor->data)[k] = (int64_t)x;
        break;
    case HE_UINT64:
        ((uint64_t *)tensor->data)[k] = (uint64_t)x;
        break;
    default:
        ck_abort_msg("no such type in a kernel case: %s", he_dtype_name(tensor->dtype));
    }
}

struct he_tensor case_tensor_parse(const char *text)
{
    const char *space = strchr(text, ' '), *colon = strchr(text, ':');
    struct he_tensor tensor = {.dtype = HE_DTYPE_NONE};
    struct he_shape shape;
    char word[64];
    int64_t k, count;
    char *end;

    if (!strcmp(text, "-"))
        return tensor;
    ck_assert_msg(space && colon && space < colon, "tensor \"%s\" has no type or shape", text);
    snprintf(word, sizeof word, "%.*s", (int)(space - text), text);
    tensor.dtype = he_dtype_from_name(word);
    ck_assert_msg(tensor.dtype != HE_DTYPE_NONE, "tensor \"%s\" has no known type", text);
    snprintf(word, sizeof word, "%.*s", (int)(colon - space - 1), space + 1);
    shape = build_shape(word);
    tensor = case_tensor(tensor.dtype, &shape);
    count = he_shape_count(&shape);
    text = colon + 1;
    for (k = 0; k < count; k++) {
        double x = strtod(text, &end);

        if (end == text)
            ck_abort_msg("tensor has %lld numbers, needs %lld", (long long)k, (long long)count);
        case_tensor_set(&tensor, k, x);
        text = end;
    }
    while (isspace((unsigned char)*text))
        text++;
    ck_assert_msg(!*text, "tensor has numbers left over: \"%s\"", text);
    return tensor;
}

/* --- Nodes --- */

static char *parse_string(char *p, const char **out)
{
    char *end;

    ck_assert_int_eq(*p, '\'');
    end = strchr(p + 1, '\'');
    ck_assert_ptr_nonnull(end);
    *end = '\0';
    *out = p + 1;
    return end + 1;
}

/* A number that has a point or an exponent is a float. */
static bool is_float_text(const char *p)
{
    size_t length = strcspn(p, " ,]"), dot = strcspn(p, ".e");

    return dot < length;
}

static char *parse_list(struct kernel_node *n, uint32_t a, char *p)
{
    struct he_attr *attr = &n->attrs[a];

    attr->kind = HE_ATTR_INTS;
    for (p++; *p != ']'; p += *p == ',') {
        ck_assert_uint_lt(attr->count, 8);
        if (*p == '\'') {
            attr->kind = HE_ATTR_STRINGS;
            p = parse_string(p, &n->strings[a][attr->count]);
        } else if (is_float_text(p)) {
            attr->kind = HE_ATTR_FLOATS;
            n->floats[a][attr->count] = strtof(p, &p);
        } else {
            n->ints[a][attr->count] = strtoll(p, &p, 10);
        }
        attr->count++;
        ck_assert_msg(*p == ',' || *p == ']', "a list of attribute %s ends in \"%s\"", attr->name,
                      p);
    }
    attr->ints = n->ints[a];
    attr->floats = n->floats[a];
    attr->strings = n->strings[a];
    return p + 1;
}

void case_node_init(struct kernel_node *n, const char *op, int opset, const char *attrs)
{
    char *p = n->text, *equals;
    uint32_t a;

    *n = (struct kernel_node){.node = {.name = "", .op = op, .domain = "", .opset = opset}};
    ck_assert_uint_lt(strlen(attrs), sizeof n->text);
    strcpy(n->text, attrs);
    n->node.attrs = n->attrs;
    for (a = 0; *p; a++) {
        struct he_attr *attr = &n->attrs[a];

        ck_assert_uint_lt(a, KERNEL_CASE_MAX);
        equals = strchr(p, '=');
        ck_assert_ptr_nonnull(equals);
        *equals = '\0';
        attr->name = p;
        p = equals + 1;
        if (*p == '\'') {
            attr->kind = HE_ATTR_STRING;
            p = parse_string(p, &attr->s);
            attr->s_bytes = strlen(attr->s);
        } else if (*p == '[') {
            p = parse_list(n, a, p);
        } else if (is_float_text(p)) {
            attr->kind = HE_ATTR_FLOAT;
            attr->f = strtof(p, &p);
        } else {
            attr->kind = HE_ATTR_INT;
            attr->i = strtoll(p, &p, 10);
        }
        while (*p == ' ')
            p++;
        n->node.attr_count = a + 1;
    }
}

/* --- Running --- */

/* For kernels that find their output shapes themselves. */
static he_status shape_output(struct cpu_call *call, size_t k, enum he_dtype dtype,
                              const struct he_shape *shape)
{
    case_tensor_free(&call->out[k]);
    call->out[k] = case_tensor(dtype, shape);
    return HE_OK;
}

he_status case_run(const struct he_node *node, const struct he_tensor *in, size_t in_count,
                   struct he_tensor *out, size_t out_count, struct cpu_team *team)
{
    enum he_dtype types[KERNEL_CASE_MAX];
    struct cpu_call call = {.node = node,
                            .in = in,
                            .in_count = in_count,
                            .out = out,
                            .out_count = out_count,
                            .team = team,
                            .shape_output = shape_output};
    const struct cpu_kernel *kernel;
    size_t bytes, k;
    he_status status;
    char *scratch;

    ck_assert_uint_le(in_count, KERNEL_CASE_MAX);
    for (k = 0; k < in_count; k++)
        types[k] = in[k].dtype;
    kernel = cpu_kernel_match(node->domain, node->op, types, in_count);
    if (!kernel)
        return he_error_set(HE_ERR_UNSUPPORTED, "no kernel for %s", node->op);
    bytes = kernel->scratch ? kernel->scratch(node, in, in_count, out, out_count) : 0;
    scratch = aligned_alloc(64, (bytes + GUARD + 63) & ~(size_t)63);
    ck_assert_ptr_nonnull(scratch);
    memset(scratch, GUARD_BYTE, bytes + GUARD);
    call.scratch = scratch;
    status = kernel->run(&call);
    for (k = 0; k < GUARD; k++) {
        if (scratch[bytes + k] != GUARD_BYTE)
            ck_abort_msg("%s wrote past its scratch", node->op);
    }
    free(scratch);
    for (k = 0; k < out_count; k++)
        ck_assert_msg(out[k].dtype == HE_DTYPE_NONE || case_tensor_is_intact(&out[k]),
                      "%s wrote past output %zu", node->op, k);
    return status;
}

void case_compare(const char *what, const struct he_tensor *got, const struct he_tensor *wanted,
                  double tolerance)
{
    int64_t k, count = he_shape_count(&wanted->shape);
    double x, y;

    ck_assert_int_eq(got->dtype, wanted->dtype);
    for (k = 0; k < count; k++) {
        x = case_tensor_get(got, k);
        y = case_tensor_get(wanted, k);
        if (x == y || (x != x && y != y) || fabs(x - y) <= tolerance * (1 + fabs(y)))
            continue;
        /* Not an assertion for each element: every assertion writes to a file. */
        ck_abort_msg("%s: element %lld is %.9g, not %.9g", what, (long long)k, x, y);
    }
}
