/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions by direct loops, one work-item for each element, over any number of dimensions: what
 * emit_conv.c leaves (three dimensions, ConvTranspose with groups and dilations) and the quantised
 * ones, ConvInteger and QLinearConv. Right for everything, fast for nothing.
 */
#include <stdio.h>
#include <string.h>

#include "build.h"

#define LL(x) ((long long)(x))
#define SPATIAL_MAX 4

struct direct {
    const struct he_shape *x, *w, *y;
    uint32_t spatial;
    bool is_transposed;
    int64_t groups, in, out; /* channels of a group */
    int64_t stride[SPATIAL_MAX], dilation[SPATIAL_MAX], begin[SPATIAL_MAX];
};

static he_status read_direct(const struct opencl_build *b, const struct he_node *node, uint32_t w,
                             struct direct *d)
{
    const char *mode = he_node_string(node, "auto_pad", "NOTSET");
    const int64_t *strides, *dilations, *pads, *extra;
    size_t stride_count = he_node_ints(node, "strides", &strides);
    size_t dilation_count = he_node_ints(node, "dilations", &dilations);
    size_t pad_count = he_node_ints(node, "pads", &pads);
    size_t extra_count = he_node_ints(node, "output_padding", &extra);

    *d = (struct direct){ .x = &opencl_input(b, node, 0)->shape,
                          .w = &opencl_input(b, node, w)->shape,
                          .y = &opencl_output(b, node, 0)->shape,
                          .is_transposed = opencl_is(node, "ConvTranspose"),
                          .groups = he_node_int(node, "group", 1) };
    if (d->x->rank < 3 || d->x->rank > 2 + SPATIAL_MAX || d->w->rank != d->x->rank ||
        d->y->rank != d->x->rank)
        return opencl_refuse(node, "rank %u", d->x->rank);
    d->spatial = d->x->rank - 2;
    if (d->groups < 1 || d->x->dims[1] % d->groups || d->y->dims[1] % d->groups)
        return opencl_refuse(node, "%lld groups", LL(d->groups));
    d->in = d->x->dims[1] / d->groups;
    d->out = d->y->dims[1] / d->groups;
    if (d->is_transposed ? d->w->dims[0] != d->x->dims[1] || d->w->dims[1] != d->out
                         : d->w->dims[1] != d->in || d->w->dims[0] != d->y->dims[1])
        return opencl_refuse(node, "its filters do not fit the channels");
    for (uint32_t k = 0; k < d->spatial; k++) {
        int64_t reach, total, x = d->x->dims[2 + k], y = d->y->dims[2 + k];

        d->stride[k] = stride_count > k ? strides[k] : 1;
        d->dilation[k] = dilation_count > k ? dilations[k] : 1;
        reach = (d->w->dims[2 + k] - 1) * d->dilation[k] + 1;
        /* All the padding there is, from the shapes. */
        total = d->is_transposed ? (x - 1) * d->stride[k] + reach +
                                       (extra_count > k ? extra[k] : 0) - y
                                 : (y - 1) * d->stride[k] + reach - x;
        if (total < 0)
            total = 0;
        /* With output_shape a ConvTranspose has its padding from there, as SAME_LOWER. */
        if (strcmp(mode, "SAME_UPPER") == 0)
            d->begin[k] = total / 2;
        else if (strcmp(mode, "SAME_LOWER") == 0 ||
                 (d->is_transposed && he_node_attr(node, "output_shape")))
            d->begin[k] = total - total / 2;
        else if (strcmp(mode, "VALID") != 0 && pad_count == 2 * (size_t)d->spatial)
            d->begin[k] = pads[k];
    }
    return HE_OK;
}

/* "channel", "group" and coordinates c0, c1... of element o; then the loops over the filter, with
 * "from" and "at": places in the input and in the filters. @step is what is done there. */
static void put_loops(struct opencl_build *b, const struct direct *d, const char *step)
{
    int64_t strides[HE_MAX_RANK], filters[HE_MAX_RANK], inner = 1;

    opencl_strides(d->x, strides);
    opencl_strides(d->w, filters);
    for (uint32_t k = d->spatial; k-- > 0;) {
        opencl_line(b, "const int c%u = (int)(o / %lldu %% %lldu);", k, LL(inner), LL(d->y->dims[2 + k]));
        inner *= d->y->dims[2 + k];
    }
    opencl_line(b, "const int channel = (int)(o / %lldu %% %lldu), image = (int)(o / %lldu);",
                LL(inner), LL(d->y->dims[1]), LL(inner * d->y->dims[1]));
    opencl_line(b, "const int group = channel / %lld;", LL(d->out));
    opencl_line(b, "for (int i = 0; i < %lld; i++) {", LL(d->in));
    opencl_line(b, "const int from_i = image * %lld + (group * %lld + i) * %lld;", LL(strides[0]),
                LL(d->in), LL(strides[1]));
    if (d->is_transposed)
        opencl_line(b, "const int at_i = (group * %lld + i) * %lld + (channel - group * %lld) * %lld;",
                    LL(d->in), LL(filters[0]), LL(d->out), LL(filters[1]));
    else
        opencl_line(b, "const int at_i = channel * %lld + i * %lld;", LL(filters[0]), LL(filters[1]));
    for (uint32_t k = 0; k < d->spatial; k++) {
        opencl_line(b, "for (int k%u = 0; k%u < %lld; k%u++) {", k, k, LL(d->w->dims[2 + k]), k);
        if (d->is_transposed) {
            opencl_line(b, "int s%u = c%u + %lld - k%u * %lld;", k, k, LL(d->begin[k]), k,
                        LL(d->dilation[k]));
            opencl_line(b, "if (s%u < 0 || s%u %% %lld != 0) continue;\ns%u /= %lld;", k, k,
                        LL(d->stride[k]), k, LL(d->stride[k]));
        } else {
            opencl_line(b, "const int s%u = c%u * %lld - %lld + k%u * %lld;", k, k, LL(d->stride[k]),
                        LL(d->begin[k]), k, LL(d->dilation[k]));
        }
        opencl_line(b, "if ((uint)s%u >= %lldu) continue;", k, LL(d->x->dims[2 + k]));
    }
    opencl_text_printf(&b->body, "const int from = from_i");
    for (uint32_t k = 0; k < d->spatial; k++)
        opencl_text_printf(&b->body, " + s%u * %lld", k, LL(strides[2 + k]));
    opencl_text_printf(&b->body, ", at = at_i");
    for (uint32_t k = 0; k < d->spatial; k++)
        opencl_text_printf(&b->body, " + k%u * %lld", k, LL(filters[2 + k]));
    opencl_line(b, ";\n%s", step);
    for (uint32_t k = 0; k <= d->spatial; k++)
        opencl_line(b, "}");
}

static he_status emit_float(struct opencl_build *b, const struct he_node *node)
{
    int64_t count = he_shape_count(&opencl_output(b, node, 0)->shape);
    const char *type = opencl_type(b, opencl_input(b, node, 0)->dtype);
    struct direct d;
    char step[80];
    he_status status = HE_OK;

    if (!type || !he_dtype_is_float(opencl_input(b, node, 0)->dtype))
        status = opencl_refuse(node, "type %s is not done",
                               he_dtype_name(opencl_input(b, node, 0)->dtype));
    if (status == HE_OK)
        status = read_direct(b, node, 1, &d);
    if (status != HE_OK || !count)
        return status;
    opencl_begin_each(b, count);
    snprintf(step, sizeof step, "acc += X%d(from) * X%d(at);", opencl_read(b, node->inputs[0]),
             opencl_read(b, node->inputs[1]));
    opencl_line(b, "%s acc = 0;", type);
    put_loops(b, &d, step);
    if (opencl_input(b, node, 2))
        opencl_line(b, "acc += X%d(channel);", opencl_read(b, node->inputs[2]));
    opencl_result(b, "o", "acc");
    return opencl_end_each(b, count);
}

static bool is_byte(const struct he_value *value)
{
    return value && (value->dtype == HE_UINT8 || value->dtype == HE_INT8);
}

static void put_zero(struct opencl_build *b, const struct he_node *node, uint32_t k,
                     const char *name)
{
    const struct he_value *value = opencl_input(b, node, k);

    if (!value)
        opencl_line(b, "const int %s = 0;", name);
    else
        opencl_line(b, "const int %s = (int)X%d(%s);", name, opencl_read(b, node->inputs[k]),
                    he_shape_count(&value->shape) == 1 ? "0" : "filter");
}

static he_status emit_bytes(struct opencl_build *b, const struct he_node *node)
{
    bool is_linear = opencl_is(node, "QLinearConv");
    const struct he_value *y = opencl_output(b, node, 0);
    int64_t count = he_shape_count(&y->shape), inner;
    uint32_t w = is_linear ? 3 : 1;
    struct direct d;
    char step[120];
    he_status status = HE_OK;

    if (!is_byte(opencl_input(b, node, 0)) || !is_byte(opencl_input(b, node, w)) ||
        (is_linear && !is_byte(y)))
        status = opencl_refuse(node, "convolutions of 8-bit numbers are done");
    if (status == HE_OK)
        status = read_direct(b, node, w, &d);
    if (status != HE_OK || !count)
        return status;
    inner = opencl_product(&y->shape, 2, y->shape.rank);
    opencl_begin_each(b, count);
    opencl_line(b, "const int filter = (int)(o / %lldu %% %lldu);", LL(inner), LL(y->shape.dims[1]));
    put_zero(b, node, 2, "x_zero");
    put_zero(b, node, is_linear ? 5 : 3, "w_zero");
    snprintf(step, sizeof step, "acc += ((int)X%d(from) - x_zero) * ((int)X%d(at) - w_zero);",
             opencl_read(b, node->inputs[0]), opencl_read(b, node->inputs[w]));
    opencl_line(b, "int acc = 0;");
    put_loops(b, &d, step);
    if (!is_linear) {
        opencl_result(b, "o", "acc");
        return opencl_end_each(b, count);
    }
    if (opencl_input(b, node, 8))
        opencl_line(b, "acc += X%d(filter);", opencl_read(b, node->inputs[8]));
    opencl_line(b, "const float scale = X%d(0) * X%d(%s) / X%d(0);", opencl_read(b, node->inputs[1]),
                opencl_read(b, node->inputs[4]),
                he_shape_count(&opencl_input(b, node, 4)->shape) == 1 ? "0" : "filter",
                opencl_read(b, node->inputs[6]));
    put_zero(b, node, 7, "zero");
    opencl_line(b, "const int q = (int)clamp(rint((float)acc * scale) + (float)zero, %s);",
                y->dtype == HE_UINT8 ? "0.0f, 255.0f" : "-128.0f, 127.0f");
    opencl_result(b, "o", "q");
    return opencl_end_each(b, count);
}

static const struct opencl_emitter emitters[] = {
    { "Conv", emit_float, true },
    { "ConvTranspose", emit_float, true },
    { "ConvInteger", emit_bytes, true },
    { "QLinearConv", emit_bytes, true },
};
const struct opencl_emitter_table opencl_direct_table = { emitters,
                                                          sizeof emitters / sizeof emitters[0] };
