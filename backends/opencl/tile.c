/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiles by register blocking: a work-item makes rows x columns elements in registers
 * from panels in local memory, two of each, so that one barrier a panel is enough. Where C
 * is too small to give every compute unit a tile, a work-group also splits the depth: its slices
 * make partial tiles of the same place, which are summed in local memory.
 * Which tile: a model of the device's compute units, below; the constants were fitted on
 * NVIDIA cards and only have to put the shapes in the right order.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tile.h"

#define LL(x) ((long long)(x))

struct tile {
    const char *name; /* as a way */
    int rows, columns, depth;  /* of the tile, and of one panel */
    int item_rows, item_columns; /* of one work-item: multiples of 4 */
    int slices;                /* of the depth */
    double alone, together;    /* share of a unit's peak with one group there, with many */
};

static const struct tile tiles[] = {
    { "tile-128x128", 128, 128, 8, 8, 8, 1, 0.50, 0.85 },
    { "tile-64x64", 64, 64, 16, 4, 4, 1, 0.30, 0.65 },
    { "tile-64x64-s2", 64, 64, 8, 4, 4, 2, 0.40, 0.60 },
    { "tile-32x64-s2", 32, 64, 16, 4, 4, 2, 0.27, 0.50 },
    { "tile-32x32-s4", 32, 32, 16, 4, 4, 4, 0.25, 0.45 },
    { "tile-32x32-s8", 32, 32, 8, 4, 4, 8, 0.35, 0.40 },
    { "tile-16x32-s16", 16, 32, 4, 4, 4, 16, 0.28, 0.32 },
    { "tile-4x64-s16", 4, 64, 4, 4, 4, 16, 0.18, 0.22 },
};

#define TILES (sizeof tiles / sizeof tiles[0])
#define MOST_LISTED 5

bool opencl_likes_tiles(const struct opencl_device *dev)
{
    /* For tests on machines without a GPU. */
    const char *forced = getenv("HETEROENGINE_OPENCL_TILES");

    return !dev->found->is_cpu || (forced && strcmp(forced, "1") == 0);
}

static int64_t blocks(int64_t count, int64_t size)
{
    return (count + size - 1) / size;
}

/* Local memory, in float4: two panels of A and B for each slice; results later. */
static int panel_pitch(int width, bool is_along_depth)
{
    /* One more float4 keeps writes along the depth on different banks. */
    return width / 4 + is_along_depth;
}

static int pool_size(const struct tile *t, const struct opencl_product *p)
{
    int pitches = panel_pitch(t->rows, p->a_along_depth) + panel_pitch(t->columns, p->b_along_depth);

    return 2 * t->slices * t->depth * pitches;
}

static int slice_items(const struct tile *t)
{
    return t->rows / t->item_rows * (t->columns / t->item_columns);
}

/* In units of one multiply-add at a unit's peak. */
static double predict(const struct tile *t, const struct opencl_product *p, uint32_t units)
{
    int64_t groups = blocks(p->m, t->rows) * blocks(p->n, t->columns) * p->batch;
    double per_unit = (double)blocks(groups, units ? units : 1);
    double work = (double)t->rows * t->columns *
                  (double)(blocks(p->k, (int64_t)t->depth * t->slices) * t->depth * t->slices);

    /* Filling the first panels and summing the slices cost about as much as some depth. */
    work += (double)t->rows * t->columns * (64.0 + 16.0 * t->slices);
    return work * (per_unit / t->together > 1.0 / t->alone ? per_unit / t->together
                                                           : 1.0 / t->alone);
}

static bool fits(const struct tile *t, const struct opencl_product *p,
                 const struct opencl_found *found)
{
    return (uint64_t)pool_size(t, p) * 16 <= found->local_bytes &&
           (uint32_t)(slice_items(t) * t->slices) <= found->group_items;
}

static const struct tile *choose(const struct opencl_device *dev, const struct opencl_product *p,
                                 const char *way)
{
    const struct opencl_found *found = dev->found;
    const struct tile *best = NULL;

    for (size_t k = 0; k < TILES; k++) {
        const struct tile *t = &tiles[k];

        if (!fits(t, p, found))
            continue;
        if (way && strcmp(way, t->name) == 0)
            return t;
        if (!best || predict(t, p, found->units) < predict(best, p, found->units))
            best = t;
    }
    return best;
}

double opencl_tile_rate(const struct opencl_device *dev, const struct opencl_product *p)
{
    const struct tile *t = choose(dev, p, NULL);
    double units = dev->found->units ? dev->found->units : 1;

    return t ? (double)p->m * (double)p->n * (double)p->k * (double)p->batch /
                   (units * predict(t, p, dev->found->units))
             : 0;
}

void opencl_list_tiles(const struct opencl_device *dev, const struct opencl_product *p,
                       struct opencl_ways *out)
{
    double best = opencl_tile_rate(dev, p), work, last = INFINITY;

    work = (double)p->m * (double)p->n * (double)p->k * (double)p->batch /
           (dev->found->units ? dev->found->units : 1);
    /* The best ones by the model, best first: that is the order in which they are measured. Half
     * as fast is not worth the time. */
    for (int listed = 0; listed < MOST_LISTED; listed++) {
        const struct tile *next = NULL;
        double rate = 0;

        for (size_t k = 0; k < TILES; k++) {
            double mine = work / predict(&tiles[k], p, dev->found->units);

            if (fits(&tiles[k], p, dev->found) && mine < last && mine > rate) {
                next = &tiles[k];
                rate = mine;
            }
        }
        if (!next || rate < 0.5 * best)
            return;
        opencl_ways_add(out, next->name, "tiles", "float32", rate, 1);
        last = rate;
    }
}

/* --- The text --- */

/* One panel of A or B: how a slice's work-items share its elements. */
struct panel {
    char name; /* 'a', 'b' */
    int width, depth, loads, items;
    int quad; /* elements of one load: 4 or 1 */
    int pitch; /* of local memory, in float4 */
    bool is_along_depth, has_rest_width, has_rest_depth;
    const char *along, *first; /* "m", "m0" */
    int64_t limit;
    void (*load)(struct opencl_build *b, const struct opencl_product *product);
    void (*load_quad)(struct opencl_build *b, const struct opencl_product *product);
};

static struct panel describe(const struct tile *t, const struct opencl_product *p, bool is_a)
{
    struct panel panel = { .name = is_a ? 'a' : 'b', .width = is_a ? t->rows : t->columns,
                           .depth = t->depth, .items = slice_items(t),
                           .is_along_depth = is_a ? p->a_along_depth : p->b_along_depth,
                           .along = is_a ? "m" : "n", .first = is_a ? "m0" : "n0",
                           .limit = is_a ? p->m : p->n, .load = is_a ? p->load_a : p->load_b,
                           .load_quad = is_a ? p->load_a_quad : p->load_b_quad };

    panel.quad = panel.load_quad ? 4 : 1;
    panel.loads = (int)blocks((int64_t)panel.width * panel.depth / panel.quad, panel.items);
    panel.pitch = panel_pitch(panel.width, panel.is_along_depth);
    panel.has_rest_width = panel.limit % panel.width && !(is_a && p->is_a_padded);
    panel.has_rest_depth = p->k % ((int64_t)t->depth * t->slices) != 0;
    return panel;
}

/* Which element, or quad, of the panel is load @k of a work-item: sets i (across) and j (along the
 * depth). */
static void put_element(struct opencl_build *b, const struct panel *panel, int k)
{
    int total = panel->width * panel->depth / panel->quad;
    int row = (panel->is_along_depth ? panel->depth : panel->width) / panel->quad;

    opencl_line(b, "{ const uint e = item + %du;", k * panel->items);
    if (panel->is_along_depth)
        opencl_line(b, "const uint j = e %% %du * %du, i = e / %du;", row, panel->quad, row);
    else
        opencl_line(b, "const uint i = e %% %du * %du, j = e / %du;", row, panel->quad, row);
    if ((k + 1) * panel->items > total)
        opencl_line(b, "if (e < %du) {", total);
    else
        opencl_line(b, "{");
}

static void put_loads(struct opencl_build *b, const struct opencl_product *p,
                      const struct panel *panel)
{
    for (int k = 0; k < panel->loads; k++) {
        put_element(b, panel, k);
        opencl_line(b, "const uint %s = %s + i, k = k0 + j;", panel->along, panel->first);
        if (panel->quad == 4)
            opencl_line(b, "float4 q = (float4)(0.0f);");
        else
            opencl_line(b, "float v = 0.0f;");
        if (panel->has_rest_width && panel->has_rest_depth)
            opencl_line(b, "if (%s < %lldu && k < %lldu)", panel->along, LL(panel->limit), LL(p->k));
        else if (panel->has_rest_width)
            opencl_line(b, "if (%s < %lldu)", panel->along, LL(panel->limit));
        else if (panel->has_rest_depth)
            opencl_line(b, "if (k < %lldu)", LL(p->k));
        opencl_line(b, "{");
        if (panel->quad == 4)
            panel->load_quad(b, p);
        else
            panel->load(b, p);
        opencl_line(b, "}\n%c%d = %c; } }", panel->name, k, panel->quad == 4 ? 'q' : 'v');
    }
}

static void put_stores(struct opencl_build *b, const struct panel *panel, const char *turn)
{
    for (int k = 0; k < panel->loads; k++) {
        put_element(b, panel, k);
        opencl_line(b, "__local float4 *to = %c_panel + (%s) * %du;", panel->name, turn,
                    panel->pitch * panel->depth);
        if (panel->quad == 1)
            opencl_line(b, "((__local float *)to)[j * %du + i] = %c%d; } }", panel->pitch * 4,
                        panel->name, k);
        else if (!panel->is_along_depth)
            opencl_line(b, "to[j * %du + i / 4u] = %c%d; } }", panel->pitch, panel->name, k);
        else
            opencl_line(b, "__local float *f = (__local float *)to + j * %du + i;\n"
                           "f[0] = %c%d.x; f[%d] = %c%d.y; f[%d] = %c%d.z; f[%d] = %c%d.w; } }",
                        panel->pitch * 4, panel->name, k, panel->pitch * 4, panel->name, k,
                        panel->pitch * 8, panel->name, k, panel->pitch * 12, panel->name, k);
    }
}

/* The registers in which elements travel from memory to the panel. */
static void declare(struct opencl_build *b, const struct panel *panel)
{
    const char *type = panel->quad == 4 ? "float4" : "float";

    for (int k = 0; k < panel->loads; k++)
        opencl_line(b, "%s %c%d = (%s)(0.0f);", type, panel->name, k, type);
}

static void put_begin(struct opencl_build *b, const struct tile *t, const struct opencl_product *p,
                      const struct panel *a, const struct panel *x)
{
    int items = slice_items(t);
    int64_t slice_depth = blocks(p->k, (int64_t)t->depth * t->slices) * t->depth;

    int a_size = 2 * a->pitch * a->depth, b_size = 2 * x->pitch * x->depth;

    opencl_line(b, "__local float4 pool[%d];", pool_size(t, p));
    opencl_line(b, "const uint local_id = (uint)get_local_id(0);");
    opencl_line(b, "const uint item = local_id %% %du, slice = local_id / %du;", items, items);
    opencl_line(b, "const uint n0 = (uint)get_group_id(0) * %du, m0 = (uint)get_group_id(1) * %du;",
                t->columns, t->rows);
    opencl_line(b, "const uint tx = item %% %du, ty = item / %du;", t->columns / t->item_columns,
                t->columns / t->item_columns);
    opencl_line(b, "__local float4 *a_panel = pool + slice * %du;", a_size + b_size);
    opencl_line(b, "__local float4 *b_panel = a_panel + %du;", a_size);
    opencl_line(b, "uint k0 = slice * %lldu;", LL(slice_depth));
    declare(b, a);
    declare(b, x);
    for (int r = 0; r < t->item_rows; r++)
        for (int c = 0; c < t->item_columns / 4; c++)
            opencl_line(b, "float4 c%d_%d = (float4)(0.0f);", r, c);
}

/* One step along the depth: item_rows x item_columns multiply-adds from two panels. */
static void put_steps(struct opencl_build *b, const struct tile *t, const struct panel *a,
                      const struct panel *x)
{
    static const char lane[] = "xyzw";
    int a_quads = t->item_rows / 4, b_quads = t->item_columns / 4;

    opencl_line(b, "#pragma unroll\nfor (uint j = 0; j < %du; j++) {", t->depth);
    for (int q = 0; q < a_quads; q++)
        opencl_line(b, "const float4 p%d = a_panel[turn * %du + j * %du + %du + ty];", q,
                    a->pitch * a->depth, a->pitch, q * t->rows / 4 / a_quads);
    for (int q = 0; q < b_quads; q++)
        opencl_line(b, "const float4 q%d = b_panel[turn * %du + j * %du + %du + tx];", q,
                    x->pitch * x->depth, x->pitch, q * t->columns / 4 / b_quads);
    for (int r = 0; r < t->item_rows; r++)
        for (int c = 0; c < b_quads; c++)
            opencl_line(b, "c%d_%d = fma((float4)(p%d.%c), q%d, c%d_%d);", r, c, r / 4, lane[r % 4],
                        c, r, c);
    opencl_line(b, "}");
}

static void put_panels(struct opencl_build *b, const struct tile *t, const struct opencl_product *p,
                       const struct panel *a, const struct panel *x)
{
    int64_t count = blocks(p->k, (int64_t)t->depth * t->slices);

    put_loads(b, p, a);
    put_loads(b, p, x);
    put_stores(b, a, "0u");
    put_stores(b, x, "0u");
    opencl_line(b, "barrier(CLK_LOCAL_MEM_FENCE);");
    opencl_line(b, "for (uint panel = 0; panel < %lldu; panel++) {", LL(count));
    opencl_line(b, "const uint turn = panel & 1u;");
    opencl_line(b, "k0 += %du;\nif (panel + 1u < %lldu) {", t->depth, LL(count));
    put_loads(b, p, a);
    put_loads(b, p, x);
    opencl_line(b, "}");
    put_steps(b, t, a, x);
    opencl_line(b, "if (panel + 1u < %lldu) {", LL(count));
    put_stores(b, a, "1u - turn");
    put_stores(b, x, "1u - turn");
    opencl_line(b, "}\nbarrier(CLK_LOCAL_MEM_FENCE);\n}");
}

static void put_bounds(struct opencl_build *b, const struct tile *t, const struct opencl_product *p)
{
    if (p->m % t->rows && p->n % t->columns)
        opencl_line(b, "if (row < %lldu && column < %lldu)", LL(p->m), LL(p->n));
    else if (p->m % t->rows)
        opencl_line(b, "if (row < %lldu)", LL(p->m));
    else if (p->n % t->columns)
        opencl_line(b, "if (column < %lldu)", LL(p->n));
    opencl_line(b, "{");
}

/* Rows of each work-item that go through the pool at a time: as many as it has room for. */
static int rows_at_once(const struct tile *t, const struct opencl_product *p)
{
    int rows = t->item_rows;

    while (rows > 1 && rows * (t->rows / t->item_rows) * t->columns / 4 * t->slices > pool_size(t, p))
        rows /= 2;
    return rows;
}

/*
 * Results pass through local memory: there slices are summed, and from there neighbouring
 * work-items store neighbouring elements (and read those of the tail), which from the registers would
 * be four apart.
 */
static void put_results(struct opencl_build *b, const struct tile *t,
                        const struct opencl_product *p)
{
    int at_once = rows_at_once(t, p), row_items = t->rows / t->item_rows;
    int size = at_once * row_items * t->columns, quads = t->item_columns / 4;
    int items = slice_items(t) * t->slices;

    opencl_line(b, "__local float *partial = (__local float *)pool;");
    opencl_line(b, "const uint column = n0 + local_id %% %du;", t->columns);
    opencl_line(b, "for (uint pass = 0; pass < %du; pass++) {", t->item_rows / at_once);
    opencl_line(b, "__local float4 *to = pool + slice * %du + ty * %du + tx;", size / 4,
                at_once * t->columns / 4);
    for (int r = 0; r < t->item_rows; r++) {
        if (r % at_once == 0)
            opencl_line(b, "%sif (pass == %du) {", r ? "} else " : "", r / at_once);
        for (int c = 0; c < quads; c++)
            opencl_line(b, "to[%d] = c%d_%d;", r % at_once * t->columns / 4 + c * t->columns / 4 / quads,
                        r, c);
    }
    opencl_line(b, "}\nbarrier(CLK_LOCAL_MEM_FENCE);");
    opencl_line(b, "for (uint e = local_id; e < %du; e += %du) {", size, items);
    opencl_line(b, "const uint r = pass * %du + e / %du %% %du;", at_once, t->columns, at_once);
    opencl_line(b, "const uint row = m0 + r / 4u * %du + e / %du * 4u + r %% 4u;",
                t->rows / (t->item_rows / 4), t->columns * at_once);
    put_bounds(b, t, p);
    opencl_line(b, "float acc = partial[e];");
    if (t->slices > 1)
        opencl_line(b, "#pragma unroll\nfor (uint s = 1; s < %du; s++) acc += partial[s * %du + e];",
                    t->slices, size);
    p->store(b, p);
    opencl_line(b, "}\n}\nbarrier(CLK_LOCAL_MEM_FENCE);\n}");
}

he_status opencl_emit_product(struct opencl_build *b, const struct opencl_product *product)
{
    const char *way = opencl_way(b);
    const struct tile *t = choose(b->dev, product, way);
    struct opencl_product with_depth = *product;
    const struct opencl_product *p = &with_depth;
    struct panel a, x;
    size_t items;

    if (opencl_mma_possible(b->dev, product, way))
        return opencl_emit_mma(b, product, way);
    if (!t)
        return he_error_set(HE_ERR_UNSUPPORTED, "%s: too little local memory for any tile",
                            b->dev->found->name);
    with_depth.panel_depth = t->depth;
    a = describe(t, p, true);
    x = describe(t, p, false);
    items = (size_t)slice_items(t) * (size_t)t->slices;
    put_begin(b, t, p, &a, &x);
    put_panels(b, t, p, &a, &x);
    put_results(b, t, p);
    return opencl_end(b, 3, (size_t[]){ (size_t)blocks(p->n, t->columns) * items,
                                        (size_t)blocks(p->m, t->rows), (size_t)p->batch },
                      (size_t[]){ items, 1, 1 });
}
