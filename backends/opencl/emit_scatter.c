/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scatter, ScatterElements, ScatterND: a copy of the data, then the updates. Where updates may meet in one
 * element, one work-item does all that can, in their order: results are the same in every run. An
 * index outside is taken to the nearest one inside.
 */
#include <string.h>

#include "build.h"

#define LL(x) ((long long)(x))

/* "a" is what is there, "u" the update. */
static const char *combine_of(const struct he_node *node, bool is_float)
{
    const char *word = he_node_string(node, "reduction", "none");

    return strcmp(word, "none") == 0  ? "u"
           : strcmp(word, "add") == 0 ? "a + u"
           : strcmp(word, "mul") == 0 ? "a * u"
           : strcmp(word, "max") == 0 ? (is_float ? "u > a || u != u ? u : a" : "u > a ? u : a")
           : strcmp(word, "min") == 0 ? (is_float ? "u < a || u != u ? u : a" : "u < a ? u : a")
                                      : NULL;
}

struct scatter {
    const struct he_value *data, *indices, *updates;
    const char *combine, *type;
    bool is_plain; /* nothing is combined: bits are moved */
};

static he_status read_scatter(struct opencl_build *b, const struct he_node *node,
                              struct scatter *s)
{
    *s = (struct scatter){ opencl_input(b, node, 0), opencl_input(b, node, 1),
                           opencl_input(b, node, 2), NULL, NULL, false };
    if (!s->data || !s->indices || !s->updates ||
        (s->indices->dtype != HE_INT64 && s->indices->dtype != HE_INT32))
        return opencl_refuse(node, "its indices must be int32 or int64");
    s->combine = combine_of(node, he_dtype_is_float(s->data->dtype));
    if (!s->combine)
        return opencl_refuse(node, "reduction %s", he_node_string(node, "reduction", "none"));
    s->is_plain = strcmp(s->combine, "u") == 0;
    s->type = s->is_plain ? opencl_bits_type(he_dtype_bits(s->data->dtype) / 8)
                          : opencl_type(b, s->data->dtype);
    if (!s->type)
        return opencl_refuse(node, "type %s is not done", he_dtype_name(s->data->dtype));
    return opencl_copy(b, node->inputs[0], node->outputs[0]);
}

static void put_index(struct opencl_build *b, int indices, const char *at, int64_t dim)
{
    opencl_line(b, "long k = (long)X%d(%s);\nk += k < 0 ? %lldL : 0L;", indices, at, LL(dim));
    opencl_line(b, "k = k < 0 ? 0 : k > %lldL ? %lldL : k;", LL(dim - 1), LL(dim - 1));
}

static void put_update(struct opencl_build *b, const struct scatter *s, int out, int updates,
                       const char *to, const char *from)
{
    opencl_line(b, "const %s u = X%d(%s);", s->type, updates, from);
    if (!s->is_plain)
        opencl_line(b, "const %s a = X%d(%s);", s->type, out, to);
    opencl_line(b, "S%d(%s, (%s)(%s));", out, to, s->type, s->combine);
}

static int read_as(struct opencl_build *b, const struct scatter *s, uint32_t value)
{
    return s->is_plain ? opencl_read_bits(b, value) : opencl_read(b, value);
}

/* Updates that differ off the axis never meet: one work-item for each line along it. */
static he_status emit_elements(struct opencl_build *b, const struct he_node *node)
{
    int64_t axis = he_node_int(node, "axis", 0), dims[HE_MAX_RANK], from[HE_MAX_RANK];
    int64_t strides[HE_MAX_RANK], lines = 1;
    struct scatter s;
    int indices, updates, out;
    uint32_t rank;
    he_status status = read_scatter(b, node, &s);

    if (status != HE_OK)
        return status;
    rank = s.data->shape.rank;
    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis >= rank || s.indices->shape.rank != rank ||
        !he_shape_equal(&s.indices->shape, &s.updates->shape))
        return opencl_refuse(node, "its indices fit neither the data nor the updates");
    if (!he_shape_count(&s.indices->shape) || !he_shape_count(&s.data->shape))
        return HE_OK;
    opencl_strides(&s.indices->shape, from);
    opencl_strides(&s.data->shape, strides);
    for (uint32_t d = 0; d < rank; d++) {
        dims[d] = d == axis ? 1 : s.indices->shape.dims[d];
        lines *= dims[d];
    }
    opencl_begin_each(b, lines);
    indices = opencl_read(b, node->inputs[1]);
    updates = read_as(b, &s, node->inputs[2]);
    out = s.is_plain ? opencl_write_bits(b, node->outputs[0]) : opencl_write(b, node->outputs[0]);
    opencl_offset(b, "source", "o", rank, dims, from, 0);
    opencl_offset(b, "base", "o", rank, dims, strides, 0);
    opencl_line(b, "for (int i = 0; i < %lld; i++) {\nconst int at = source + i * %lld;",
                LL(s.indices->shape.dims[axis]), LL(from[axis]));
    put_index(b, indices, "at", s.data->shape.dims[axis]);
    opencl_line(b, "const int to = base + (int)k * %lld;", LL(strides[axis]));
    put_update(b, &s, out, updates, "to", "at");
    opencl_line(b, "}");
    return opencl_end_each(b, lines);
}

/* The place a tuple of indices says: "to", without the element in its row. */
static void put_tuple(struct opencl_build *b, int indices, const struct he_shape *data,
                      int64_t tuple)
{
    int64_t strides[HE_MAX_RANK];

    opencl_strides(data, strides);
    opencl_line(b, "int to = 0;");
    for (int64_t d = 0; d < tuple; d++) {
        opencl_line(b, "{ const uint place = t * %lldu + %lldu;", LL(tuple), LL(d));
        put_index(b, indices, "place", data->dims[d]);
        opencl_line(b, "to += (int)k * %lld; }", LL(strides[d]));
    }
}

static he_status emit_nd(struct opencl_build *b, const struct he_node *node)
{
    struct scatter s;
    int64_t tuple, tuples, row;
    int indices, updates, out;
    he_status status = read_scatter(b, node, &s);

    if (status != HE_OK)
        return status;
    if (s.indices->shape.rank < 1 ||
        s.indices->shape.dims[s.indices->shape.rank - 1] > s.data->shape.rank)
        return opencl_refuse(node, "its index tuples do not fit the data");
    tuple = s.indices->shape.dims[s.indices->shape.rank - 1];
    tuples = opencl_product(&s.indices->shape, 0, s.indices->shape.rank - 1);
    row = opencl_product(&s.data->shape, (uint32_t)tuple, s.data->shape.rank);
    if (he_shape_count(&s.updates->shape) != tuples * row)
        return opencl_refuse(node, "its updates do not fit indices and data");
    if (!tuples || !row || !he_shape_count(&s.data->shape))
        return HE_OK;
    opencl_begin_each(b, s.is_plain ? tuples * row : row);
    indices = opencl_read(b, node->inputs[1]);
    updates = read_as(b, &s, node->inputs[2]);
    out = s.is_plain ? opencl_write_bits(b, node->outputs[0]) : opencl_write(b, node->outputs[0]);
    /* Plain writes to one element twice have no defined result: they may go side by side. */
    if (s.is_plain)
        opencl_line(b, "const uint i = o %% %lldu, t = o / %lldu;\n{", LL(row), LL(row));
    else
        opencl_line(b, "const uint i = o;\nfor (uint t = 0; t < %lldu; t++) {", LL(tuples));
    put_tuple(b, indices, &s.data->shape, tuple);
    opencl_line(b, "to += (int)i;\nconst uint from = t * %lldu + i;", LL(row));
    put_update(b, &s, out, updates, "to", "from");
    opencl_line(b, "}");
    return opencl_end_each(b, s.is_plain ? tuples * row : row);
}

static he_status emit_gather_nd(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *data = opencl_input(b, node, 0), *indices = opencl_input(b, node, 1);
    int64_t batch = he_node_int(node, "batch_dims", 0), tuple, row, tuples, whole;
    int64_t count = he_shape_count(&opencl_output(b, node, 0)->shape);
    struct he_shape part = { 0 };
    int in, index, out;

    if (!indices || (indices->dtype != HE_INT64 && indices->dtype != HE_INT32) ||
        indices->shape.rank < 1)
        return opencl_refuse(node, "its indices must be int32 or int64");
    tuple = indices->shape.dims[indices->shape.rank - 1];
    if (batch < 0 || batch >= indices->shape.rank || batch + tuple > data->shape.rank)
        return opencl_refuse(node, "its index tuples do not fit the data");
    if (!count)
        return HE_OK;
    part.rank = data->shape.rank - (uint32_t)batch;
    memcpy(part.dims, data->shape.dims + batch, part.rank * sizeof *part.dims);
    whole = he_shape_count(&part);
    row = opencl_product(&part, (uint32_t)tuple, part.rank);
    tuples = opencl_product(&indices->shape, (uint32_t)batch, indices->shape.rank - 1);
    opencl_begin_each(b, count);
    in = opencl_read_bits(b, node->inputs[0]);
    index = opencl_read(b, node->inputs[1]);
    out = opencl_write_bits(b, node->outputs[0]);
    opencl_line(b, "const uint i = o %% %lldu, t = o / %lldu;", LL(row), LL(row));
    put_tuple(b, index, &part, tuple);
    opencl_line(b, "S%d(o, X%d(t / %lldu * %lldu + (uint)to + i));", out, in, LL(tuples), LL(whole));
    return opencl_end_each(b, count);
}

static const struct opencl_emitter emitters[] = {
    { "Scatter", emit_elements, false },
    { "ScatterElements", emit_elements, false },
    { "ScatterND", emit_nd, false },
    { "GatherND", emit_gather_nd, false },
};
const struct opencl_emitter_table opencl_scatter_table = { emitters,
                                                           sizeof emitters / sizeof emitters[0] };
