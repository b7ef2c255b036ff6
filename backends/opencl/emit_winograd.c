/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions of 3x3 without strides by Winograd's minimal filtering (Lavin, Gray: "Fast
 * Algorithms for Convolutional Neural Networks", 2015): F(2x2, 3x3) multiplies 16 times where
 * the direct way does 36 times, F(4x4, 3x3) 36 times where that does 144 times. Three kernels: tiles
 * of the input are transformed, one product of matrices for each of the 16 or 36 elements of
 * a tile, and tiles of the output transformed back, with bias and tail. Weights are
 * transformed once, in double precision, when the program is made.
 *
 * The error beside a direct sum in float32: that of F(2x2) is the same; that of F(4x4) grows by what its
 * matrices amplify, about a factor of ten. So both are ways to be asked for, not rules.
 */
#include <string.h>

#include "conv.h"

#define LL(x) ((long long)(x))
#define WORK_ITEMS 64
/* Of the product on a processor. */
#define ROWS 8
#define COLUMNS 16
#define LARGEST_SIDE 6 /* of a tile of the input */

struct algorithm {
    int out, in; /* sides of a tile of the output and of the input */
    double weights[LARGEST_SIDE * 3];
    signed char input[LARGEST_SIDE * LARGEST_SIDE];
    signed char output[4 * LARGEST_SIDE];
};

static const struct algorithm f2 = {
    2, 4,
    { 1, 0, 0, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, 0, 0, 1 },
    { 1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1 },
    { 1, 1, 1, 0, 0, 1, -1, -1 },
};

/* At the points 0, 1, -1, 2, -2 and infinity. */
static const struct algorithm f4 = {
    4, 6,
    { 1.0 / 4, 0, 0, -1.0 / 6, -1.0 / 6, -1.0 / 6, -1.0 / 6, 1.0 / 6, -1.0 / 6, 1.0 / 24, 1.0 / 12,
      1.0 / 6, 1.0 / 24, -1.0 / 12, 1.0 / 6, 0, 0, 1 },
    { 4, 0, -5, 0, 1, 0, 0, -4, -4, 1, 1, 0, 0, 4, -4, -1, 1, 0,
      0, -2, -1, 2, 1, 0, 0, 2, -1, -2, 1, 0, 0, 4, 0, -5, 0, 1 },
    { 1, 1, 1, 1, 1, 0, 0, 1, -1, 2, -2, 0, 0, 1, 1, 4, 4, 0, 0, 1, -1, 8, -8, 1 },
};

struct winograd {
    const struct he_node *node;
    const struct opencl_geometry *g;
    const struct algorithm *a;
    int64_t places;             /* elements of a tile: so many products */
    int64_t in_group, per_group;
    int64_t rows;               /* of the weights, with zeros behind the last */
    int64_t tiles_y, tiles_x, tiles, columns; /* columns: tiles, rounded up */
    size_t inputs, outputs;     /* transformed, in the workspace */
    int w, v, to;               /* operands of the product */
};

static struct winograd describe(const struct opencl_build *b, const struct he_node *node,
                                const struct opencl_geometry *g, int side)
{
    struct winograd t = { .node = node, .g = g, .a = side == 2 ? &f2 : &f4 };
    int64_t unit = opencl_likes_tiles(b->dev) ? 4 : COLUMNS;
    int64_t row_unit = opencl_likes_tiles(b->dev) ? OPENCL_TILE_ROWS : ROWS;

    t.places = (int64_t)t.a->in * t.a->in;
    t.in_group = g->in_channels / g->groups;
    t.per_group = g->out_channels / g->groups;
    t.rows = (t.per_group + row_unit - 1) / row_unit * row_unit;
    t.tiles_y = (g->out_h + side - 1) / side;
    t.tiles_x = (g->out_w + side - 1) / side;
    t.tiles = g->batch * t.tiles_y * t.tiles_x;
    t.columns = (t.tiles + unit - 1) / unit * unit;
    return t;
}

/* --- Transforms, as text --- */

/* Combines along one axis of a square of variables: to(r, o) = sum over k of m[r][k] from(k, o), or
 * with both turned. */
static void put_side(struct opencl_build *b, char to, char from, const signed char *m, int rows,
                     int depth, int others, bool is_first_axis)
{
    for (int o = 0; o < others; o++) {
        for (int r = 0; r < rows; r++) {
            bool is_first = true;

            opencl_text_printf(&b->body, "const float %c%d_%d = ", to, is_first_axis ? r : o,
                               is_first_axis ? o : r);
            for (int k = 0; k < depth; k++) {
                int factor = m[r * depth + k], size = factor < 0 ? -factor : factor;

                if (!factor)
                    continue;
                opencl_text_printf(&b->body, "%s", factor < 0 ? " - " : is_first ? "" : " + ");
                if (size != 1)
                    opencl_text_printf(&b->body, "%d.0f * ", size);
                opencl_text_printf(&b->body, "%c%d_%d", from, is_first_axis ? k : o,
                                   is_first_axis ? o : k);
                is_first = false;
            }
            opencl_line(b, ";");
        }
    }
}

/* A work-item for each channel and tile; neighbours have neighbouring tiles. */
static he_status emit_inputs(struct opencl_build *b, const struct winograd *t)
{
    const struct opencl_geometry *g = t->g;
    int64_t count = g->in_channels * t->columns;
    int side = t->a->in, x, to;

    opencl_begin_each(b, count);
    x = opencl_read(b, t->node->inputs[0]);
    to = opencl_use_scratch(b, t->inputs, true);
    opencl_line(b, "const uint column = o %% %lldu, c = o / %lldu, p = min(column, %lldu);",
                LL(t->columns), LL(t->columns), LL(t->tiles - 1));
    opencl_line(b, "const uint image = p / %lldu;", LL(t->tiles_y * t->tiles_x));
    opencl_line(b, "const int iy = (int)(p / %lldu %% %lldu) * %d - %lld;", LL(t->tiles_x),
                LL(t->tiles_y), t->a->out, LL(g->pad_h));
    opencl_line(b, "const int ix = (int)(p %% %lldu) * %d - %lld;", LL(t->tiles_x), t->a->out,
                LL(g->pad_w));
    opencl_line(b, "const int at = (int)((image * %lldu + c) * %lldu) + iy * %lld + ix;",
                LL(g->in_channels), LL(g->in_h * g->in_w), LL(g->in_w));
    for (int r = 0; r < side; r++) {
        opencl_line(b, "const bool y%d = (uint)(iy + %d) < %lldu, x_%d = (uint)(ix + %d) < %lldu;", r,
                    r, LL(g->in_h), r, r, LL(g->in_w));
    }
    for (int r = 0; r < side; r++)
        for (int c = 0; c < side; c++)
            opencl_line(b, "const float d%d_%d = y%d && x_%d ? X%d(at + %lld) : 0.0f;", r, c, r, c, x,
                        LL(r * g->in_w + c));
    put_side(b, 't', 'd', t->a->input, side, side, side, true);
    put_side(b, 'v', 't', t->a->input, side, side, side, false);
    for (int r = 0; r < side; r++)
        for (int c = 0; c < side; c++)
            opencl_line(b, "x%d[o + %lldu] = v%d_%d;", to,
                        LL((r * side + c) * g->in_channels * t->columns), r, c);
    return opencl_end_each(b, count);
}

static he_status emit_outputs(struct opencl_build *b, const struct winograd *t)
{
    const struct opencl_geometry *g = t->g;
    int64_t count = g->out_channels * t->tiles;
    int in = t->a->in, out = t->a->out, from;

    opencl_begin_each(b, count);
    from = opencl_use_scratch(b, t->outputs, false);
    opencl_line(b, "const uint p = o %% %lldu, m = o / %lldu;", LL(t->tiles), LL(t->tiles));
    opencl_line(b, "const uint from_place = m * %lldu + p;", LL(t->columns));
    for (int r = 0; r < in; r++)
        for (int c = 0; c < in; c++)
            opencl_line(b, "const float d%d_%d = x%d[from_place + %lldu];", r, c, from,
                        LL((r * in + c) * g->out_channels * t->columns));
    put_side(b, 't', 'd', t->a->output, out, in, in, true);
    put_side(b, 'r', 't', t->a->output, out, in, out, false);
    opencl_line(b, "float results[%d];", out * out);
    for (int r = 0; r < out; r++)
        for (int c = 0; c < out; c++)
            opencl_line(b, "results[%d] = r%d_%d;", r * out + c, r, c);
    opencl_line(b, "const uint image = p / %lldu, oy = p / %lldu %% %lldu * %du, ox = p %% %lldu * %du;",
                LL(t->tiles_y * t->tiles_x), LL(t->tiles_x), LL(t->tiles_y), out, LL(t->tiles_x),
                out);
    opencl_line(b, "const uint first = ((image * %lldu + m) * %lldu + oy) * %lldu + ox;",
                LL(g->out_channels), LL(g->out_h), LL(g->out_w));
    opencl_line(b, "#pragma unroll\nfor (uint i = 0; i < %du; i++)", out);
    opencl_line(b, "#pragma unroll\nfor (uint j = 0; j < %du; j++) {", out);
    if (g->out_h % out || g->out_w % out)
        opencl_line(b, "if (oy + i < %lldu && ox + j < %lldu)", LL(g->out_h), LL(g->out_w));
    opencl_line(b, "{\nfloat acc = results[i * %du + j];", out);
    if (opencl_input(b, t->node, 2))
        opencl_line(b, "acc += X%d(m);", opencl_read(b, t->node->inputs[2]));
    opencl_line(b, "const uint place = first + i * %lldu + j;", LL(g->out_w));
    opencl_result(b, "place", "acc");
    opencl_line(b, "}\n}");
    return opencl_end_each(b, count);
}

/* --- Weights: [element of a tile][group][input channel][output channel] --- */

static void transform_weights(const struct winograd *t, const struct he_value *w, int64_t m, int64_t c,
                              float *to, int64_t stride)
{
    double half[LARGEST_SIDE][3];
    const double *left = t->a->weights;

    for (int i = 0; i < t->a->in; i++) {
        for (int x = 0; x < 3; x++) {
            half[i][x] = 0;
            for (int y = 0; y < 3; y++)
                half[i][x] += left[i * 3 + y] *
                              (double)opencl_float(w, (size_t)((m * t->in_group + c) * 9 + y * 3 + x));
        }
    }
    for (int i = 0; i < t->a->in; i++)
        for (int j = 0; j < t->a->in; j++)
            to[(i * t->a->in + j) * stride] =
                (float)(half[i][0] * left[j * 3] + half[i][1] * left[j * 3 + 1] +
                        half[i][2] * left[j * 3 + 2]);
}

static he_status make_weights(struct opencl_build *b, struct winograd *t)
{
    uint32_t value = t->node->inputs[1], form;
    int64_t groups = t->g->groups, stride = groups * t->in_group * t->rows;
    const struct he_allocator *alloc = &b->dev->alloc;
    size_t count = (size_t)(t->places * stride);
    float *made = NULL;

    form = t->a == &f2 ? 5 : 6;
    if (t->rows % OPENCL_TILE_ROWS)
        form += 2;
    if (!opencl_has_made(b, value, form)) {
        made = opencl_alloc(alloc, count, sizeof *made);
        if (!made)
            return opencl_no_memory();
        for (int64_t m = 0; m < t->g->out_channels; m++)
            for (int64_t c = 0; c < t->in_group; c++)
                transform_weights(t, opencl_input(b, t->node, 1), m, c,
                                  made + (m / t->per_group * t->in_group + c) * t->rows +
                                      m % t->per_group,
                                  stride);
    }
    t->w = opencl_read_made(b, value, form, HE_FLOAT32, made, count * sizeof *made);
    opencl_free(alloc, made);
    return HE_OK;
}

/* --- The products: z counts elements of a tile and groups --- */

static void load_weight(struct opencl_build *b, const struct opencl_product *product)
{
    const struct winograd *t = product->context;

    opencl_line(b, "v = x%d[(z * %lldu + k) * %lldu + m];", t->w, LL(t->in_group), LL(t->rows));
}

static void load_weight_quad(struct opencl_build *b, const struct opencl_product *product)
{
    const struct winograd *t = product->context;

    opencl_line(b, "q = *(__global const float4 *)(x%d + (z * %lldu + k) * %lldu + m);", t->w,
                LL(t->in_group), LL(t->rows));
}

static void load_input(struct opencl_build *b, const struct opencl_product *product)
{
    const struct winograd *t = product->context;

    opencl_line(b, "v = x%d[(z * %lldu + k) * %lldu + n];", t->v, LL(t->in_group), LL(t->columns));
}

static void load_input_quad(struct opencl_build *b, const struct opencl_product *product)
{
    const struct winograd *t = product->context;

    opencl_line(b, "__global const float *p = x%d + (z * %lldu + k) * %lldu + n;", t->v,
                LL(t->in_group), LL(t->columns));
    opencl_line(b, "q = *(__global const float4 *)p;");
}

static void store_output(struct opencl_build *b, const struct opencl_product *product)
{
    const struct winograd *t = product->context;

    opencl_line(b, "x%d[(z * %lldu + row) * %lldu + column] = acc;", t->to, LL(t->per_group),
                LL(t->columns));
}

static struct opencl_product product_of(const struct winograd *t)
{
    return (struct opencl_product){ .m = t->per_group, .n = t->columns, .k = t->in_group,
                                    .batch = t->places * t->g->groups, .is_a_padded = true,
                                    .load_a = load_weight, .load_a_quad = load_weight_quad,
                                    .load_b = load_input, .load_b_quad = load_input_quad,
                                    .store = store_output, .context = t };
}

/* On a processor: 8 rows of 16 columns for each work-item. */
static he_status emit_rows(struct opencl_build *b, const struct winograd *t)
{
    size_t blocks = (size_t)(t->columns / COLUMNS), row_blocks = (size_t)(t->rows / ROWS);

    opencl_line(b, "const uint n = (uint)get_global_id(1) * %du, m = (uint)get_global_id(0) * %du;",
                COLUMNS, ROWS);
    opencl_line(b, "const uint z = (uint)get_global_id(2);");
    opencl_line(b, "__global const float *w = x%d + z * %lldu + m;", t->w, LL(t->in_group * t->rows));
    opencl_line(b, "__global const float *v = x%d + z * %lldu + n;", t->v,
                LL(t->in_group * t->columns));
    for (int r = 0; r < ROWS; r++)
        opencl_line(b, "float16 s%d = 0.0f;", r);
    opencl_line(b, "for (uint k = 0; k < %lldu; k++) {", LL(t->in_group));
    opencl_line(b, "const float16 q = vload16(0, v);");
    for (int r = 0; r < ROWS; r++)
        opencl_line(b, "s%d = fma((float16)(w[%d]), q, s%d);", r, r, r);
    opencl_line(b, "w += %lldu; v += %lldu;\n}", LL(t->rows), LL(t->columns));
    opencl_line(b, "__global float *to = x%d + (z * %lldu + m) * %lldu + n;", t->to, LL(t->per_group),
                LL(t->columns));
    for (int r = 0; r < ROWS; r++)
        opencl_line(b, "if (m + %du < %lldu) vstore16(s%d, 0, to + %lldu);", r, LL(t->per_group), r,
                    LL(r * t->columns));
    return opencl_end(b, 3, (size_t[]){ row_blocks, blocks, (size_t)(t->places * t->g->groups) },
                      (size_t[]){ 1, 1, 1 });
}

static he_status emit_products(struct opencl_build *b, struct winograd *t)
{
    struct opencl_product product;
    he_status status;

    opencl_begin(b);
    status = make_weights(b, t);
    if (status != HE_OK)
        return status;
    t->v = opencl_use_scratch(b, t->inputs, false);
    t->to = opencl_use_scratch(b, t->outputs, true);
    if (!opencl_likes_tiles(b->dev))
        return emit_rows(b, t);
    product = product_of(t);
    opencl_line(b, "const uint z = (uint)get_group_id(2);");
    return opencl_emit_product(b, &product);
}

/* Transformed weights take up to four times their place, which no plan has seen: only where all of
 * a graph's would be no more than half of what the device may use. */
static bool weights_have_room(const struct opencl_build *b)
{
    uint64_t room = b->dev->memory_cap / 8;

    for (uint32_t v = 0; v < b->graph->value_count && b->dev->memory_cap; v++) {
        if (b->graph->values[v].data && b->graph->values[v].data_bytes > room)
            return false;
        room -= b->graph->values[v].data ? b->graph->values[v].data_bytes : 0;
    }
    return true;
}

bool opencl_winograd_possible(const struct opencl_build *b, const struct he_node *node,
                              const struct opencl_geometry *g)
{
    struct winograd t;
    int64_t channels, elements;

    if (!he_value_is_constant(opencl_input(b, node, 1)) || g->kernel_h != 3 || g->kernel_w != 3 ||
        g->stride_h != 1 || g->stride_w != 1 || g->dilation_h != 1 || g->dilation_w != 1 ||
        g->batch * g->out_h * g->out_w == 0)
        return false;
    /* F(2x2) takes the most memory: at most an eighth of the device's, and counted in 32 bits. */
    t = describe(b, node, g, 2);
    channels = g->in_channels > g->out_channels ? g->in_channels : g->out_channels;
    if (__builtin_mul_overflow(t.places * channels, t.columns, &elements) || elements > INT32_MAX)
        return false;
    return !b->dev->memory_cap ||
           ((uint64_t)elements * 2 * sizeof(float) <= b->dev->memory_cap / 8 && weights_have_room(b));
}

he_status opencl_emit_winograd(struct opencl_build *b, const struct he_node *node,
                               const struct opencl_geometry *g, int side)
{
    struct winograd t = describe(b, node, g, side);
    he_status status;

    t.inputs = opencl_scratch(b, t.places * g->in_channels * t.columns);
    t.outputs = opencl_scratch(b, t.places * g->out_channels * t.columns);
    status = emit_inputs(b, &t);
    if (status == HE_OK)
        status = emit_products(b, &t);
    return status == HE_OK ? emit_outputs(b, &t) : status;
}

void opencl_list_winograd(const struct opencl_build *b, const struct opencl_geometry *g,
                          double direct_rate, struct opencl_ways *out)
{
    static const char *const names[] = { "winograd-2", "winograd-4" };

    for (int k = 0; k < 2; k++) {
        struct winograd t = describe(b, NULL, g, k ? 4 : 2);
        struct opencl_product product = product_of(&t);
        /* Multiplications that the direct way does for each of ours. */
        double gain = 9.0 * t.a->out * t.a->out / (double)t.places;
        double rate = opencl_likes_tiles(b->dev) ? gain * opencl_tile_rate(b->dev, &product)
                                                 : direct_rate;
        double plain = (double)(g->in_channels + g->out_channels);
        double moved = plain * (1 + 2.0 * (double)t.places / (t.a->out * t.a->out));

        /* Never ahead of the rules before it was measured. */
        opencl_ways_add(out, names[k], "winograd", "float32", rate < direct_rate ? rate : direct_rate,
                        plain / moved);
    }
}
