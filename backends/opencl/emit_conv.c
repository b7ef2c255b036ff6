/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions over one or two spatial dimensions (one is two with height 1).
 *
 * The blocked kernel: a work-item makes 8 output channels of 4 pixels. Weights are packed when
 * the program is made, 8 channels side by side, so that a step of the inner loop is one vector load, four
 * scalar loads and four vector multiply-adds, on a GPU and on a processor alike. Neighbouring work-items
 * have neighbouring pixels.
 *
 * The plain kernel: one output element per work-item, for weights that are not constant and groups of
 * few channels. Depthwise convolutions and Winograd's have files of their own.
 */
#include <string.h>

#include "conv.h"

#define CHANNELS 8
#define PIXELS 4
#define WORK_ITEMS 64
#define TILE_CHANNELS 8 /* of a group: fewer leave tiles mostly empty */
/* Where is_thin() holds. */
#define THIN_CHANNELS 16
#define THIN_DEPTH 32
#define THIN_ROWS 32
#define THIN_PIXELS 512
#define THIN_UNIT_ITEMS 512

/* Begin padding of one axis. */
static int64_t pad_begin(const char *mode, const int64_t *pads, size_t pad_count, uint32_t axis,
                         int64_t in, int64_t out, int64_t stride, int64_t extent)
{
    int64_t total;

    if (strcmp(mode, "SAME_UPPER") == 0 || strcmp(mode, "SAME_LOWER") == 0) {
        total = (out - 1) * stride + extent - in;
        if (total < 0)
            total = 0;
        return strcmp(mode, "SAME_UPPER") == 0 ? total / 2 : total - total / 2;
    }
    if (strcmp(mode, "VALID") == 0 || pad_count <= axis)
        return 0;
    return pads[axis];
}

static he_status read_geometry(const struct opencl_build *b, const struct he_node *node,
                               struct opencl_geometry *g)
{
    const struct he_value *x = opencl_input(b, node, 0), *w = opencl_input(b, node, 1);
    const struct he_value *y = opencl_output(b, node, 0);
    const char *mode = he_node_string(node, "auto_pad", "NOTSET");
    const int64_t *strides, *dilations, *pads;
    size_t stride_count = he_node_ints(node, "strides", &strides);
    size_t dilation_count = he_node_ints(node, "dilations", &dilations);
    size_t pad_count = he_node_ints(node, "pads", &pads);
    uint32_t spatial;

    if (!x || !w || !y || x->shape.rank != w->shape.rank || x->shape.rank < 3 ||
        x->shape.rank > 4)
        return opencl_refuse(node, "one or two spatial dimensions are done, this has %d",
                             x ? (int)x->shape.rank - 2 : 0);
    spatial = x->shape.rank - 2;
    *g = (struct opencl_geometry){ .batch = x->shape.dims[0], .in_channels = x->shape.dims[1],
                            .out_channels = y->shape.dims[1],
                            .groups = he_node_int(node, "group", 1) };
    g->in_h = spatial == 2 ? x->shape.dims[2] : 1;
    g->in_w = x->shape.dims[spatial + 1];
    g->out_h = spatial == 2 ? y->shape.dims[2] : 1;
    g->out_w = y->shape.dims[spatial + 1];
    g->kernel_h = spatial == 2 ? w->shape.dims[2] : 1;
    g->kernel_w = w->shape.dims[spatial + 1];
    g->stride_h = spatial == 2 && stride_count > 1 ? strides[0] : 1;
    g->stride_w = stride_count >= spatial ? strides[spatial - 1] : 1;
    g->dilation_h = spatial == 2 && dilation_count > 1 ? dilations[0] : 1;
    g->dilation_w = dilation_count >= spatial ? dilations[spatial - 1] : 1;
    g->pad_h = spatial == 2 ? pad_begin(mode, pads, pad_count, 0, g->in_h, g->out_h, g->stride_h,
                                        (g->kernel_h - 1) * g->dilation_h + 1)
                            : 0;
    g->pad_w = pad_begin(mode, pads, pad_count, spatial - 1, g->in_w, g->out_w, g->stride_w,
                         (g->kernel_w - 1) * g->dilation_w + 1);
    g->is_padded = g->pad_h > 0 || g->pad_w > 0 ||
                   (g->out_h - 1) * g->stride_h + (g->kernel_h - 1) * g->dilation_h >= g->in_h ||
                   (g->out_w - 1) * g->stride_w + (g->kernel_w - 1) * g->dilation_w >= g->in_w;
    if (g->groups < 1 || g->in_channels % g->groups || g->out_channels % g->groups)
        return opencl_refuse(node, "its channels do not divide into %lld groups",
                             (long long)g->groups);
    return HE_OK;
}

#define LL(x) ((long long)(x))

/* [group][block][input channel, ky, kx][channel of the block], zeros behind the last channel. */
static he_status pack(struct opencl_build *b, const struct he_node *node,
                      const struct opencl_geometry *g, int channels, int *out)
{
    const struct he_value *w = opencl_input(b, node, 1);
    int64_t per_group = g->out_channels / g->groups, blocks = (per_group + channels - 1) / channels;
    int64_t depth = g->in_channels / g->groups * g->kernel_h * g->kernel_w;
    size_t count = (size_t)(g->groups * blocks * depth * channels);
    const struct he_allocator *alloc = &b->dev->alloc;
    uint32_t form = channels == CHANNELS ? 1 : 9;
    float *packed = NULL;

    if (!opencl_has_made(b, node->inputs[1], form)) {
        packed = opencl_alloc(alloc, count, sizeof *packed);
        if (!packed)
            return opencl_no_memory();
        for (int64_t m = 0; m < g->out_channels; m++) {
            int64_t in_group = m % per_group;
            float *to = packed + ((m / per_group * blocks + in_group / channels) * depth) * channels +
                        in_group % channels;

            for (int64_t k = 0; k < depth; k++)
                to[k * channels] = opencl_float(w, (size_t)(m * depth + k));
        }
    }
    *out = opencl_read_packed(b, node->inputs[1], form, packed, count);
    opencl_free(alloc, packed);
    return HE_OK;
}

/* Declares wv, the weights of a block at wc. Packed blocks are aligned, which a GPU's compiler must be
 * told to load them by fours. */
static void put_weights(struct opencl_build *b, int w, int channels)
{
    if (!opencl_likes_tiles(b->dev)) {
        opencl_line(b, "const float%d wv = L%d_%d(wc);", channels, w, channels);
        return;
    }
    opencl_text_printf(&b->body, "const float%d wv = (float%d)(", channels, channels);
    for (int k = 0; k < channels; k += 4)
        opencl_text_printf(&b->body, "%sA%d_4(wc + %d)", k ? ", " : "", w, k);
    opencl_line(b, ");");
}

static he_status emit_blocked(struct opencl_build *b, const struct he_node *node,
                              const struct opencl_geometry *g, int channels, int pixel_count)
{
    int64_t pixels = g->out_h * g->out_w, per_group = g->out_channels / g->groups;
    int64_t blocks = (per_group + channels - 1) / channels, in_group = g->in_channels / g->groups;
    int64_t threads = (pixels + pixel_count - 1) / pixel_count, depth = in_group * g->kernel_h * g->kernel_w;
    bool is_plain = g->kernel_h * g->kernel_w == 1 && !g->is_padded && g->stride_h == 1 &&
                    g->stride_w == 1;
    size_t items = threads >= WORK_ITEMS ? WORK_ITEMS : threads >= 16 ? 16 : 4;
    he_status status;
    int x, w = 0;

    opencl_begin(b);
    x = opencl_read(b, node->inputs[0]);
    status = pack(b, node, g, channels, &w);
    if (status != HE_OK)
        return status;
    opencl_line(b, "const uint first = (uint)get_group_id(0) * %lluu + (uint)get_local_id(0);",
                (unsigned long long)(items * (size_t)pixel_count));
    opencl_line(b, "const uint gb = (uint)get_global_id(1);"); /* group and block */
    opencl_line(b, "const uint n = (uint)get_global_id(2);");
    opencl_line(b, "const uint c0 = gb / %lldu * %lldu, m0 = gb / %lldu * %lldu + gb %% %lldu * %du;",
                LL(blocks), LL(in_group), LL(blocks), LL(per_group), LL(blocks), channels);
    opencl_line(b, "__global const T%d *xc = x%d + (n * %lldu + c0) * %lldu;", x, x,
                LL(g->in_channels), LL(g->in_h * g->in_w));
    opencl_line(b, "__global const T%d *wc = x%d + gb * %lldu;", w, w, LL(depth * channels));
    for (int p = 0; p < pixel_count; p++) {
        opencl_line(b, "const uint p%d = min(first + %lluu, %lluu);", p,
                    (unsigned long long)(items * (size_t)p), (unsigned long long)(pixels - 1));
        if (is_plain)
            opencl_line(b, "const int b%d = (int)p%d;", p, p);
        else
            opencl_line(b, "const int iy%d = (int)(p%d / %lldu) * %lld - %lld, ix%d = (int)(p%d %% "
                           "%lldu) * %lld - %lld;", p, p, LL(g->out_w), LL(g->stride_h),
                        LL(g->pad_h), p, p, LL(g->out_w), LL(g->stride_w), LL(g->pad_w));
        opencl_line(b, "float%d s%d = 0.0f;", channels, p);
    }
    if (is_plain && opencl_likes_tiles(b->dev))
        opencl_line(b, "#pragma unroll 4");
    opencl_line(b, "for (uint c = 0; c < %lldu; c++) {", LL(in_group));
    if (is_plain) {
        put_weights(b, w, channels);
        for (int p = 0; p < pixel_count; p++)
            opencl_line(b, "s%d += L%d(xc, b%d) * wv;", p, x, p);
        opencl_line(b, "wc += %d;", channels);
    } else {
        opencl_line(b, "for (int ky = 0; ky < %lld; ky++) for (int kx = 0; kx < %lld; kx++) {",
                    LL(g->kernel_h), LL(g->kernel_w));
        put_weights(b, w, channels);
        for (int p = 0; p < pixel_count; p++) {
            opencl_line(b, "{ const int y = iy%d + ky * %lld, x = ix%d + kx * %lld;", p,
                        LL(g->dilation_h), p, LL(g->dilation_w));
            if (g->is_padded)
                opencl_line(b, "const float v = (uint)y < %lldu && (uint)x < %lldu ? L%d(xc, y * %lld + x) "
                               ": 0.0f;", LL(g->in_h), LL(g->in_w), x, LL(g->in_w));
            else
                opencl_line(b, "const float v = L%d(xc, y * %lld + x);", x, LL(g->in_w));
            opencl_line(b, "s%d += v * wv; }", p);
        }
        opencl_line(b, "wc += %d;\n}", channels);
    }
    opencl_line(b, "xc += %lldu;\n}", LL(g->in_h * g->in_w));
    opencl_line(b, "float r[%d];", pixel_count * channels);
    for (int p = 0; p < pixel_count; p++)
        opencl_line(b, "vstore%d(s%d, %d, r);", channels, p, p);
    /* Unrolled, so that a GPU keeps the results in registers. */
    opencl_line(b, "%sfor (uint j = 0; j < %du; j++) {",
                opencl_likes_tiles(b->dev) ? "#pragma unroll\n" : "", pixel_count);
    opencl_line(b, "const uint p = first + j * %lluu;", (unsigned long long)items);
    opencl_line(b, "if (p < %lldu)\n%sfor (uint k = 0; k < %du; k++) {", LL(pixels),
                opencl_likes_tiles(b->dev) ? "#pragma unroll\n" : "", channels);
    opencl_line(b, "const uint m = m0 + k;");
    if (per_group % channels)
        opencl_line(b, "if (gb %% %lldu * %du + k < %lldu)", LL(blocks), channels, LL(per_group));
    opencl_line(b, "{\nfloat acc = r[j * %du + k];", channels);
    if (opencl_input(b, node, 2))
        opencl_line(b, "acc += X%d(m);", opencl_read(b, node->inputs[2]));
    opencl_line(b, "const uint o = (n * %lldu + m) * %lldu + p;", LL(g->out_channels), LL(pixels));
    opencl_result(b, "o", "acc");
    opencl_line(b, "}\n}\n}");
    return opencl_end(b, 3, (size_t[]){ (size_t)threads, (size_t)(g->groups * blocks),
                                        (size_t)g->batch },
                      (size_t[]){ items, 1, 1 });
}

/* --- Tiles: output channels by pixels, the depth is kernel places by input channels --- */

struct tiled {
    const struct he_node *node;
    const struct opencl_geometry *g;
    int64_t in_group, per_group, rows, pixels;
    int x, w; /* operands */
};

/* [group][kernel place, input channel][output channel], zeros behind the last of a group. */
static he_status pack_tiles(struct opencl_build *b, struct tiled *t)
{
    const struct opencl_geometry *g = t->g;
    const struct he_value *w = opencl_input(b, t->node, 1);
    int64_t places = g->kernel_h * g->kernel_w, depth = t->in_group * places;
    size_t count = (size_t)(g->groups * depth * t->rows);
    const struct he_allocator *alloc = &b->dev->alloc;
    float *packed = NULL;

    if (!opencl_has_made(b, t->node->inputs[1], 4)) {
        packed = opencl_alloc(alloc, count, sizeof *packed);
        if (!packed)
            return opencl_no_memory();
        for (int64_t m = 0; m < g->out_channels; m++)
            for (int64_t c = 0; c < t->in_group; c++)
                for (int64_t r = 0; r < places; r++)
                    packed[((m / t->per_group * places + r) * t->in_group + c) * t->rows +
                           m % t->per_group] =
                        opencl_float(w, (size_t)(m * depth + c * places + r));
    }
    t->w = opencl_read_packed(b, t->node->inputs[1], 4, packed, count);
    opencl_free(alloc, packed);
    return HE_OK;
}

static void load_weight(struct opencl_build *b, const struct opencl_product *product)
{
    const struct tiled *t = product->context;

    opencl_line(b, "v = X%d((z * %lldu + k) * %lldu + m);", t->w, LL(product->k), LL(t->rows));
}

static void load_weight_quad(struct opencl_build *b, const struct opencl_product *product)
{
    const struct tiled *t = product->context;

    opencl_line(b, "q = A%d_4(x%d + (z * %lldu + k) * %lldu + m);", t->w, t->w,
                LL(product->k), LL(t->rows));
}

/* Of a 1x1 convolution without strides and pads: four pixels of one channel of one image. */
static void load_pixel_quad(struct opencl_build *b, const struct opencl_product *product)
{
    const struct tiled *t = product->context;

    opencl_line(b, "const uint image = n / %lldu, at = n %% %lldu;", LL(t->pixels), LL(t->pixels));
    opencl_line(b, "__global const T%d *p = x%d + ((image * %lldu + z * %lldu + k) * %lldu + at);",
                t->x, t->x, LL(t->g->in_channels), LL(t->in_group), LL(t->pixels));
    opencl_line(b, "q = A%d_4(p);", t->x);
}

/* Pixel n of the batch at kernel place and channel k. Where panels do not cross kernel places, the
 * place is uniform and the window's position is found once a panel. */
static void load_pixel(struct opencl_build *b, const struct opencl_product *product)
{
    const struct tiled *t = product->context;
    const struct opencl_geometry *g = t->g;
    bool is_uniform = t->in_group % product->panel_depth == 0;

    opencl_line(b, "const uint image = n / %lldu, p = n %% %lldu;", LL(t->pixels), LL(t->pixels));
    opencl_line(b, "const uint place = %s / %lldu, c = k - place * %lldu;", is_uniform ? "k0" : "k",
                LL(t->in_group), LL(t->in_group));
    opencl_line(b, "const int y = (int)(p / %lldu) * %lld - %lld + (int)(place / %lldu) * %lld;",
                LL(g->out_w), LL(g->stride_h), LL(g->pad_h), LL(g->kernel_w), LL(g->dilation_h));
    opencl_line(b, "const int x = (int)(p %% %lldu) * %lld - %lld + (int)(place %% %lldu) * %lld;",
                LL(g->out_w), LL(g->stride_w), LL(g->pad_w), LL(g->kernel_w), LL(g->dilation_w));
    if (g->is_padded)
        opencl_line(b, "if ((uint)y < %lldu && (uint)x < %lldu)", LL(g->in_h), LL(g->in_w));
    opencl_line(b, "v = X%d(((image * %lldu + z * %lldu + c) * %lldu + (uint)y) * %lldu + (uint)x);",
                t->x, LL(g->in_channels), LL(t->in_group), LL(g->in_h), LL(g->in_w));
}

static void store_pixel(struct opencl_build *b, const struct opencl_product *product)
{
    const struct tiled *t = product->context;

    opencl_line(b, "const uint image = column / %lldu, p = column %% %lldu;", LL(t->pixels),
                LL(t->pixels));
    opencl_line(b, "const uint channel = z * %lldu + row;", LL(t->per_group));
    if (opencl_input(b, t->node, 2))
        opencl_line(b, "acc += X%d(channel);", opencl_read(b, t->node->inputs[2]));
    opencl_line(b, "const uint o = (image * %lldu + channel) * %lldu + p;", LL(t->g->out_channels),
                LL(t->pixels));
    opencl_result(b, "o", "acc");
}

static struct opencl_product describe_tiled(struct tiled *t, const struct he_node *node,
                                            const struct opencl_geometry *g)
{
    struct opencl_product product;

    *t = (struct tiled){ .node = node, .g = g, .in_group = g->in_channels / g->groups,
                         .per_group = g->out_channels / g->groups, .pixels = g->out_h * g->out_w };
    t->rows = (t->per_group + OPENCL_TILE_ROWS - 1) / OPENCL_TILE_ROWS * OPENCL_TILE_ROWS;
    product = (struct opencl_product){ .m = t->per_group, .n = g->batch * t->pixels,
                                       .k = t->in_group * g->kernel_h * g->kernel_w,
                                       .batch = g->groups, .is_a_padded = true,
                                       .load_a = load_weight, .load_a_quad = load_weight_quad,
                                       .load_b = load_pixel, .store = store_pixel, .context = t };
    if (g->kernel_h * g->kernel_w == 1 && !g->is_padded && g->stride_h == 1 && g->stride_w == 1 &&
        t->pixels % 4 == 0)
        product.load_b_quad = load_pixel_quad;
    return product;
}

static he_status emit_tiled(struct opencl_build *b, const struct he_node *node,
                            const struct opencl_geometry *g)
{
    struct tiled t;
    struct opencl_product product = describe_tiled(&t, node, g);
    he_status status;

    opencl_begin(b);
    t.x = opencl_read(b, node->inputs[0]);
    status = pack_tiles(b, &t);
    if (status != HE_OK)
        return status;
    opencl_line(b, "const uint z = (uint)get_group_id(2);");
    return opencl_emit_product(b, &product);
}

static he_status emit_plain(struct opencl_build *b, const struct he_node *node,
                            const struct opencl_geometry *g)
{
    int64_t per_group = g->out_channels / g->groups, in_group = g->in_channels / g->groups;
    int64_t count = g->batch * g->out_channels * g->out_h * g->out_w;
    int x, w = 0;

    opencl_begin_each(b, count);
    x = opencl_read(b, node->inputs[0]);
    w = opencl_read_weights(b, node->inputs[1]);
    opencl_line(b, "const uint ox = o %% %lldu, oy = o / %lldu %% %lldu;", LL(g->out_w),
                LL(g->out_w), LL(g->out_h));
    opencl_line(b, "const uint m = o / %lldu %% %lldu, n = o / %lldu;", LL(g->out_h * g->out_w),
                LL(g->out_channels), LL(g->out_h * g->out_w * g->out_channels));
    opencl_line(b, "const int iy = (int)oy * %lld - %lld, ix = (int)ox * %lld - %lld;",
                LL(g->stride_h), LL(g->pad_h), LL(g->stride_w), LL(g->pad_w));
    opencl_line(b, "__global const T%d *xc = x%d + (n * %lldu + m / %lldu * %lldu) * %lldu;", x, x,
                LL(g->in_channels), LL(per_group), LL(in_group), LL(g->in_h * g->in_w));
    opencl_line(b, "__global const T%d *wc = x%d + m * %lldu;", w, w,
                LL(in_group * g->kernel_h * g->kernel_w));
    if (opencl_input(b, node, 2))
        opencl_line(b, "float acc = X%d(m);", opencl_read(b, node->inputs[2]));
    else
        opencl_line(b, "float acc = 0.0f;");
    opencl_line(b, "for (uint c = 0; c < %lldu; c++)", LL(in_group));
    opencl_line(b, "for (int ky = 0; ky < %lld; ky++) for (int kx = 0; kx < %lld; kx++) {",
                LL(g->kernel_h), LL(g->kernel_w));
    opencl_line(b, "const int y = iy + ky * %lld, x = ix + kx * %lld;", LL(g->dilation_h),
                LL(g->dilation_w));
    if (g->is_padded)
        opencl_line(b, "if ((uint)y < %lldu && (uint)x < %lldu)", LL(g->in_h), LL(g->in_w));
    opencl_line(b, "acc += L%d(xc, ((int)c * %lld + y) * %lld + x) * L%d(wc, ((int)c * %lld + ky) * %lld + kx);",
                x, LL(g->in_h), LL(g->in_w), w, LL(g->kernel_h), LL(g->kernel_w));
    opencl_line(b, "}");
    opencl_result(b, "o", "acc");
    return opencl_end_each(b, count);
}

/* Transposed: each output element gathers what reaches it. */
static he_status emit_transposed(struct opencl_build *b, const struct he_node *node)
{
    struct opencl_geometry g;
    he_status status = opencl_need_float(b, node);
    int64_t per_group, in_group, count;
    int x, w = 0;

    if (status == HE_OK)
        status = read_geometry(b, node, &g);
    if (status != HE_OK)
        return status;
    if (strcmp(he_node_string(node, "auto_pad", "NOTSET"), "NOTSET") != 0 ||
        he_node_attr(node, "output_shape"))
        return opencl_refuse(node, "auto_pad and output_shape are not done");
    per_group = g.out_channels / g.groups;
    in_group = g.in_channels / g.groups;
    count = g.batch * g.out_channels * g.out_h * g.out_w;
    opencl_begin_each(b, count);
    x = opencl_read(b, node->inputs[0]);
    w = opencl_read_weights(b, node->inputs[1]);
    opencl_line(b, "const uint ox = o %% %lldu, oy = o / %lldu %% %lldu;", LL(g.out_w), LL(g.out_w),
                LL(g.out_h));
    opencl_line(b, "const uint m = o / %lldu %% %lldu, n = o / %lldu, g = m / %lldu;",
                LL(g.out_h * g.out_w), LL(g.out_channels), LL(g.out_h * g.out_w * g.out_channels),
                LL(per_group));
    opencl_line(b, "__global const T%d *xc = x%d + (n * %lldu + g * %lldu) * %lldu;", x, x,
                LL(g.in_channels), LL(in_group), LL(g.in_h * g.in_w));
    opencl_line(b, "__global const T%d *wc = x%d + (g * %lldu + m %% %lldu) * %lldu;", w, w,
                LL(in_group * per_group), LL(per_group), LL(g.kernel_h * g.kernel_w));
    if (opencl_input(b, node, 2))
        opencl_line(b, "float acc = X%d(m);", opencl_read(b, node->inputs[2]));
    else
        opencl_line(b, "float acc = 0.0f;");
    opencl_line(b, "for (int ky = 0; ky < %lld; ky++) {", LL(g.kernel_h));
    opencl_line(b, "const int ty = (int)oy + %lld - ky * %lld, y = ty / %lld;", LL(g.pad_h),
                LL(g.dilation_h), LL(g.stride_h));
    opencl_line(b, "if (ty < 0 || ty %% %lld || y >= %lld) continue;", LL(g.stride_h), LL(g.in_h));
    opencl_line(b, "for (int kx = 0; kx < %lld; kx++) {", LL(g.kernel_w));
    opencl_line(b, "const int tx = (int)ox + %lld - kx * %lld, x = tx / %lld;", LL(g.pad_w),
                LL(g.dilation_w), LL(g.stride_w));
    opencl_line(b, "if (tx < 0 || tx %% %lld || x >= %lld) continue;", LL(g.stride_w), LL(g.in_w));
    opencl_line(b, "for (int c = 0; c < %lld; c++)", LL(in_group));
    opencl_line(b, "acc += L%d(xc, (c * %lld + y) * %lld + x) * L%d(wc, c * %lld + ky * %lld + kx);",
                x, LL(g.in_h), LL(g.in_w), w, LL(per_group * g.kernel_h * g.kernel_w), LL(g.kernel_w));
    opencl_line(b, "}\n}");
    opencl_result(b, "o", "acc");
    return opencl_end_each(b, count);
}

/* Sizes of the blocked kernel, as ways. */
static const struct {
    const char *name;
    int channels, pixels;
} blocks[] = { { "block-8x4", 8, 4 }, { "block-8x8", 8, 8 }, { "block-16x4", 16, 4 }, { "block-16x8", 16, 8 } };
#define BLOCKS (sizeof blocks / sizeof blocks[0])

/*
 * On a GPU: a product so shallow, or of so few rows, that a tile spends its time filling panels and
 * writing results. From registers alone such a convolution runs at the speed of memory, when there
 * are pixels enough for all units.
 */
static bool is_thin(const struct opencl_build *b, const struct opencl_geometry *g)
{
    int64_t pixels = g->out_h * g->out_w, per_group = g->out_channels / g->groups;
    int64_t depth = g->in_channels / g->groups * g->kernel_h * g->kernel_w;
    int64_t items = g->batch * g->groups * ((per_group + THIN_CHANNELS - 1) / THIN_CHANNELS) *
                    (pixels / PIXELS);

    return (depth <= THIN_DEPTH || per_group <= THIN_ROWS) && pixels >= THIN_PIXELS &&
           items >= (int64_t)b->dev->found->units * THIN_UNIT_ITEMS;
}

static he_status emit_conv(struct opencl_build *b, const struct he_node *node)
{
    struct opencl_geometry g;
    he_status status = opencl_need_float(b, node);
    const char *way;

    if (status == HE_OK)
        status = read_geometry(b, node, &g);
    if (status != HE_OK)
        return status;
    way = opencl_way(b);
    if (way && strncmp(way, "winograd-", 9) == 0 && opencl_winograd_possible(b, node, &g))
        return opencl_emit_winograd(b, node, &g, way[9] == '2' ? 2 : 4);
    if (way && he_value_is_constant(opencl_input(b, node, 1)) &&
        (strncmp(way, "tile-", 5) == 0 || strncmp(way, "mma-", 4) == 0))
        return emit_tiled(b, node, &g);
    for (size_t k = 0; k < BLOCKS; k++)
        if (way && he_value_is_constant(opencl_input(b, node, 1)) && strcmp(way, blocks[k].name) == 0)
            return emit_blocked(b, node, &g, blocks[k].channels, blocks[k].pixels);
    if (way && strcmp(way, "direct") == 0)
        return emit_plain(b, node, &g);
    if (opencl_is_depthwise(&g))
        return opencl_emit_depthwise(b, node, &g);
    if (opencl_likes_tiles(b->dev) && he_value_is_constant(opencl_input(b, node, 1)) &&
        g.out_channels / g.groups >= TILE_CHANNELS && is_thin(b, &g))
        return emit_blocked(b, node, &g, THIN_CHANNELS, PIXELS);
    if (opencl_likes_tiles(b->dev) && he_value_is_constant(opencl_input(b, node, 1)) &&
        g.out_channels / g.groups >= TILE_CHANNELS)
        return emit_tiled(b, node, &g);
    if (he_value_is_constant(opencl_input(b, node, 1)) && g.out_channels / g.groups >= CHANNELS / 2)
        return emit_blocked(b, node, &g, CHANNELS, PIXELS);
    return emit_plain(b, node, &g);
}

void opencl_conv_ways(struct opencl_build *b, const struct he_node *node, struct opencl_ways *out)
{
    double rate = 0.2;
    bool is_tiled;
    struct opencl_geometry g;
    struct opencl_product product;
    struct tiled t;

    if (opencl_need_float(b, node) != HE_OK || read_geometry(b, node, &g) != HE_OK ||
        !he_value_is_constant(opencl_input(b, node, 1)) || g.out_channels / g.groups < CHANNELS / 2)
        return;
    product = describe_tiled(&t, node, &g);
    is_tiled = opencl_likes_tiles(b->dev);
    if (is_tiled)
        rate = opencl_tile_rate(b->dev, &product);
    opencl_ways_add(out, "auto", "by rule", "float32", rate, 1);
    if (opencl_winograd_possible(b, node, &g))
        opencl_list_winograd(b, &g, rate, out);
    if (is_tiled) {
        opencl_list_mma(b->dev, &product, out);
        if (g.out_h * g.out_w >= THIN_PIXELS && rate > 0)
            opencl_ways_add(out, "block-16x4", "direct, blocked", "float32", rate, 1);
        opencl_list_tiles(b->dev, &product, out);
        return;
    }
    for (size_t k = 0; k < BLOCKS; k++)
        opencl_ways_add(out, blocks[k].name, "direct, blocked", "float32", rate, 1);
}

static const struct opencl_emitter emitters[] = {
    { "Conv", emit_conv, true },
    { "ConvTranspose", emit_transposed, true },
};
const struct opencl_emitter_table opencl_conv_table = { emitters,
                                                        sizeof emitters / sizeof emitters[0] };
