/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products on NVIDIA's matrix units, from OpenCL C: inline PTX, mma.sync.m16n8k8 of
 * tf32 and m16n8k16 of f16, both with float32 sums (PTX ISA, "Matrix Fragments for mma").
 * Panels lie in local memory as 32-bit words: one tf32 number, or two halves that are neighbours
 * along the depth. Said in words both instructions have one layout: 16 rows by 8 words times 8 words by
 * 8 columns, lane = 4 g + t holds
 *
 *     of A the words   (row g, word t) (row g + 8, word t) (row g, word t + 4) (row g + 8, word t + 4)
 *     of B             (word t, column g) (word t + 4, column g)
 *     of C             (row g, column 2 t) (row g, 2 t + 1) (row g + 8, 2 t) (row g + 8, 2 t + 1)
 *
 * Everything but the instruction is plain OpenCL C. Devices without it get the same kernel with the
 * instruction worked out through local memory, lane by lane, from the same fragments: slow, and
 * only there so that tests reach the rest (HETEROENGINE_OPENCL_WAY).
 *
 * Numbers are rounded when they go into a panel: tf32 keeps 10 bits of the fraction, as
 * half does, but all of the exponent. So nothing here is used unless lowering is allowed.
 */
#include <stdlib.h>
#include <string.h>

#include "tile.h"

#define LL(x) ((long long)(x))
#define LANES 32
#define STEP_WORDS 8 /* words along the depth of one instruction */

struct kind {
    const char *name; /* as a way */
    bool is_half;
    int rows, columns;           /* of a work-group's tile */
    int warp_rows, warp_columns; /* of a warp's: multiples of 16 and 8 */
    int words;                   /* of a panel along the depth */
    int slices;                  /* of the depth, each by warps of its own */
    double alone, together;      /* of the fp32 peak, with one group on a unit, with many */
};

static const struct kind kinds[] = {
    { "mma-tf32-128x128", false, 128, 128, 64, 32, 16, 1, 1.0, 2.0 },
    { "mma-tf32-64x64", false, 64, 64, 32, 32, 16, 1, 0.6, 1.5 },
    { "mma-tf32-32x32-s8", false, 32, 32, 32, 32, 8, 8, 0.7, 0.9 },
    { "mma-f16-128x128", true, 128, 128, 64, 32, 16, 1, 1.5, 3.0 },
    { "mma-f16-64x64", true, 64, 64, 32, 32, 16, 1, 0.9, 2.0 },
    { "mma-f16-32x32-s8", true, 32, 32, 32, 32, 8, 8, 0.9, 1.2 },
};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* How one operand's panel lies and is filled. A unit is what one load fetches at a time. */
struct side {
    char name;                  /* 'a', 'b' */
    int width;                  /* m or n of the tile */
    int64_t limit;
    const char *along, *first;  /* "m", "m0" */
    bool is_along_depth;        /* neighbours in memory are neighbours along the depth */
    bool has_rest_width, has_rest_depth;
    int quad;                   /* elements side by side in memory: 4 or 1 */
    int pair;                   /* loads of a unit, along the depth: 2 for halves that come one by one */
    int across, deep;           /* elements of a unit */
    int units, loads;           /* units of a panel; of one work-item */
    int pitch_across, pitch_depth; /* of words */
    int words;                  /* of one panel */
};

static int warps_of(const struct kind *t)
{
    return t->rows / t->warp_rows * (t->columns / t->warp_columns);
}

static int slice_items(const struct kind *t)
{
    return warps_of(t) * LANES;
}

static int panel_depth(const struct kind *t)
{
    return t->words * (t->is_half ? 2 : 1);
}

/* Fragments are read by eight lanes across and four along the depth: with these pitches all 32 are in
 * different banks, both ways round, and quads are stored whole. */
static struct side describe(const struct kind *t, const struct opencl_product *p, bool is_a)
{
    struct side s = { .name = is_a ? 'a' : 'b', .width = is_a ? t->rows : t->columns,
                      .limit = is_a ? p->m : p->n, .along = is_a ? "m" : "n",
                      .first = is_a ? "m0" : "n0",
                      .is_along_depth = is_a ? p->a_along_depth : p->b_along_depth };

    s.quad = (is_a ? p->load_a_quad : p->load_b_quad) ? 4 : 1;
    s.pair = t->is_half && !(s.is_along_depth && s.quad == 4) ? 2 : 1;
    s.across = s.is_along_depth ? 1 : s.quad;
    s.deep = (s.is_along_depth ? s.quad : 1) * s.pair;
    s.units = s.width * panel_depth(t) / (s.across * s.deep);
    s.loads = (s.units + slice_items(t) - 1) / slice_items(t);
    s.pitch_across = s.is_along_depth ? t->words + 4 : 1;
    s.pitch_depth = s.is_along_depth ? 1 : s.width + 8;
    s.words = s.is_along_depth ? s.width * s.pitch_across : t->words * s.pitch_depth;
    s.has_rest_width = s.limit % s.width && !(is_a && p->is_a_padded);
    s.has_rest_depth = p->k % ((int64_t)panel_depth(t) * t->slices) != 0;
    return s;
}

static bool has_instruction(const struct opencl_device *dev)
{
    return dev->found->vendor == OPENCL_VENDOR_NVIDIA && dev->found->capability >= 80;
}

static bool is_allowed(const struct opencl_device *dev, const struct kind *t)
{
    return dev->allow_fp16 || (dev->allow_bf16 && !t->is_half);
}

/* Words of each lane's fragments in one step, for the emulation. */
static int fragment_words(const struct kind *t)
{
    return t->warp_rows / 16 * 4 + t->warp_columns / 8 * 2;
}

static int pool_words(const struct opencl_device *dev, const struct kind *t,
                      const struct opencl_product *p, int *scratch)
{
    int panels = 2 * t->slices * (describe(t, p, true).words + describe(t, p, false).words);

    *scratch = has_instruction(dev) ? 0 : slice_items(t) * t->slices * fragment_words(t);
    return panels;
}

static const struct kind *find(const struct opencl_device *dev, const struct opencl_product *p,
                               const char *way)
{
    for (size_t k = 0; way && k < KINDS; k++) {
        const struct kind *t = &kinds[k];
        int scratch, words = pool_words(dev, t, p, &scratch);

        if (strcmp(way, t->name) == 0 &&
            (uint64_t)(words + scratch) * 4 <= dev->found->local_bytes &&
            (uint32_t)(slice_items(t) * t->slices) <= dev->found->group_items)
            return t;
    }
    return NULL;
}

bool opencl_mma_possible(const struct opencl_device *dev, const struct opencl_product *p,
                         const char *way)
{
    const struct kind *t = find(dev, p, way);

    /* Tests may ask for it by name. */
    return t && (is_allowed(dev, t) || getenv("HETEROENGINE_OPENCL_WAY"));
}

/* --- Filling panels --- */

/* Sets i (across) and j (along the depth, in elements) of unit @k of a work-item. */
static void put_unit(struct opencl_build *b, const struct kind *t, const struct side *s, int k)
{
    int row = (s->is_along_depth ? panel_depth(t) / s->deep : s->width / s->across);
    int step = s->is_along_depth ? s->deep : s->across, other = s->is_along_depth ? s->across : s->deep;

    opencl_line(b, "{ const uint e = item + %du;", k * slice_items(t));
    opencl_line(b, "const uint %c = e %% %du * %du, %c = e / %du * %du;", s->is_along_depth ? 'j' : 'i',
                row, step, s->is_along_depth ? 'i' : 'j', row, other);
    if ((k + 1) * slice_items(t) > s->units)
        opencl_line(b, "if (e < %du) {", s->units);
    else
        opencl_line(b, "{");
}

static void put_loads(struct opencl_build *b, const struct kind *t, const struct opencl_product *p,
                      const struct side *s)
{
    bool is_a = s->name == 'a';

    for (int k = 0; k < s->loads; k++) {
        put_unit(b, t, s, k);
        for (int h = 0; h < s->pair; h++) {
            opencl_line(b, "{ const uint %s = %s + i, k = k0 + j + %du;", s->along, s->first, h);
            opencl_line(b, s->quad == 4 ? "float4 q = (float4)(0.0f);" : "float v = 0.0f;");
            if (s->has_rest_width && s->has_rest_depth)
                opencl_line(b, "if (%s < %lldu && k < %lldu)", s->along, LL(s->limit), LL(p->k));
            else if (s->has_rest_width)
                opencl_line(b, "if (%s < %lldu)", s->along, LL(s->limit));
            else if (s->has_rest_depth)
                opencl_line(b, "if (k < %lldu)", LL(p->k));
            opencl_line(b, "{");
            if (s->quad == 4)
                (is_a ? p->load_a_quad : p->load_b_quad)(b, p);
            else
                (is_a ? p->load_a : p->load_b)(b, p);
            opencl_line(b, "}\n%c%d_%d = %c; }", s->name, k, h, s->quad == 4 ? 'q' : 'v');
        }
        opencl_line(b, "} }");
    }
}

/* Rounded to nearest, ties away from zero, as cvt.rna.tf32 does; NaN and infinity stay what they are
 * as far as the 10 bits tell. */
static void put_tf32_stores(struct opencl_build *b, const struct side *s, int k)
{
    if (s->quad == 4)
        opencl_line(b, "const uint4 w = (as_uint4(%c%d_0) + 0x1000u) & 0xffffe000u;\n"
                       "*(__local uint4 *)to = w;", s->name, k);
    else
        opencl_line(b, "*to = (as_uint(%c%d_0) + 0x1000u) & 0xffffe000u;", s->name, k);
}

static void put_half_stores(struct opencl_build *b, const struct side *s, int k)
{
    static const char lane[] = "xyzw";

    if (s->quad == 1) {
        opencl_line(b, "vstore_half2_rte((float2)(%c%d_0, %c%d_1), 0, (__local half *)to);", s->name,
                    k, s->name, k);
    } else if (s->is_along_depth) {
        opencl_line(b, "vstore_half4_rte(%c%d_0, 0, (__local half *)to);", s->name, k);
    } else {
        for (int c = 0; c < 4; c++)
            opencl_line(b, "vstore_half2_rte((float2)(%c%d_0.%c, %c%d_1.%c), 0, (__local half *)(to + "
                           "%d));", s->name, k, lane[c], s->name, k, lane[c], c);
    }
}

static void put_stores(struct opencl_build *b, const struct kind *t, const struct side *s,
                       const char *turn)
{
    for (int k = 0; k < s->loads; k++) {
        put_unit(b, t, s, k);
        opencl_line(b, "__local uint *to = %c_panel + (%s) * %du + i * %du + %s * %du;", s->name, turn,
                    s->words, s->pitch_across, t->is_half ? "j / 2u" : "j", s->pitch_depth);
        if (t->is_half)
            put_half_stores(b, s, k);
        else
            put_tf32_stores(b, s, k);
        opencl_line(b, "} }");
    }
}

/* --- One step: warp_rows x warp_columns by 8 words of depth --- */

/* The layout of fragments, the only place that knows it beside put_emulation() and put_results(). */
static void put_fragments(struct opencl_build *b, const struct kind *t, const struct side *a,
                          const struct side *x)
{
    for (int i = 0; i < t->warp_rows / 16; i++)
        for (int r = 0; r < 4; r++)
            opencl_line(b, "const uint a%d_%d = a_words[%d + step * %du];", i, r,
                        (i * 16 + r % 2 * 8) * a->pitch_across + r / 2 * 4 * a->pitch_depth,
                        STEP_WORDS * a->pitch_depth);
    for (int j = 0; j < t->warp_columns / 8; j++)
        for (int r = 0; r < 2; r++)
            opencl_line(b, "const uint b%d_%d = b_words[%d + step * %du];", j, r,
                        j * 8 * x->pitch_across + r * 4 * x->pitch_depth, STEP_WORDS * x->pitch_depth);
}

static void put_instruction(struct opencl_build *b, const struct kind *t, int i, int j)
{
    int c = (i * (t->warp_columns / 8) + j) * 4;

    opencl_line(b, "asm volatile(\"mma.sync.aligned.%s {%%0, %%1, %%2, %%3}, {%%4, %%5, %%6, %%7}, "
                   "{%%8, %%9}, {%%10, %%11, %%12, %%13};\"",
                t->is_half ? "m16n8k16.row.col.f32.f16.f16.f32" : "m16n8k8.row.col.f32.tf32.tf32.f32");
    opencl_line(b, ": \"=f\"(c%d), \"=f\"(c%d), \"=f\"(c%d), \"=f\"(c%d)", c, c + 1, c + 2, c + 3);
    opencl_line(b, ": \"r\"(a%d_0), \"r\"(a%d_1), \"r\"(a%d_2), \"r\"(a%d_3), \"r\"(b%d_0), \"r\"(b%d_1),", i,
                i, i, i, j, j);
    opencl_line(b, "\"f\"(c%d), \"f\"(c%d), \"f\"(c%d), \"f\"(c%d));", c, c + 1, c + 2, c + 3);
}

/* What the instruction does, from all lanes' fragments, which are put side by side. */
static void put_emulation(struct opencl_build *b, const struct kind *t)
{
    int rows = t->warp_rows / 16, columns = t->warp_columns / 8, size = fragment_words(t);

    opencl_line(b, "__local uint *mine = scratch + local_id * %du;", size);
    for (int i = 0; i < rows; i++)
        for (int r = 0; r < 4; r++)
            opencl_line(b, "mine[%d] = a%d_%d;", i * 4 + r, i, r);
    for (int j = 0; j < columns; j++)
        for (int r = 0; r < 2; r++)
            opencl_line(b, "mine[%d] = b%d_%d;", rows * 4 + j * 2 + r, j, r);
    opencl_line(b, "barrier(CLK_LOCAL_MEM_FENCE);");
    opencl_line(b, "__local const uint *warp_words = scratch + local_id / %du * %du;", LANES,
                LANES * size);
    opencl_line(b, "for (uint w = 0; w < %du; w++) {", STEP_WORDS);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            for (int r = 0; r < 4; r++) {
                opencl_line(b, "{ __local const uint *l = warp_words + (g * 4u + w %% 4u) * %du + %du + w / "
                               "4u * 2u;", size, i * 4 + r / 2);
                opencl_line(b, "__local const uint *m = warp_words + ((t2 + %du) * 4u + w %% 4u) * %du + %du "
                               "+ w / 4u;", r % 2, size, rows * 4 + j * 2);
                opencl_line(b, t->is_half ? "const float2 p = vload_half2(0, (__local const half *)l) * "
                                            "vload_half2(0, (__local const half *)m);\nc%d += p.x + p.y; }"
                                          : "c%d += as_float(*l) * as_float(*m); }",
                            (i * columns + j) * 4 + r);
            }
    opencl_line(b, "}\nbarrier(CLK_LOCAL_MEM_FENCE);");
}

static void put_steps(struct opencl_build *b, const struct kind *t, const struct side *a,
                      const struct side *x)
{
    opencl_line(b, "__local const uint *a_words = a_panel + turn * %du + (warp_row + g) * %du + t4 * %du;",
                a->words, a->pitch_across, a->pitch_depth);
    opencl_line(b, "__local const uint *b_words = b_panel + turn * %du + (warp_column + g) * %du + t4 * "
                   "%du;", x->words, x->pitch_across, x->pitch_depth);
    opencl_line(b, "#pragma unroll\nfor (uint step = 0; step < %du; step++) {", t->words / STEP_WORDS);
    put_fragments(b, t, a, x);
    if (has_instruction(b->dev)) {
        for (int i = 0; i < t->warp_rows / 16; i++)
            for (int j = 0; j < t->warp_columns / 8; j++)
                put_instruction(b, t, i, j);
    } else {
        put_emulation(b, t);
    }
    opencl_line(b, "}");
}

/* --- The kernel --- */

static void declare(struct opencl_build *b, const struct side *s)
{
    for (int k = 0; k < s->loads; k++)
        for (int h = 0; h < s->pair; h++)
            opencl_line(b, s->quad == 4 ? "float4 %c%d_%d = (float4)(0.0f);" : "float %c%d_%d = 0.0f;",
                        s->name, k, h);
}

static void put_begin(struct opencl_build *b, const struct kind *t, const struct opencl_product *p,
                      const struct side *a, const struct side *x)
{
    int64_t round = (int64_t)panel_depth(t) * t->slices;
    int64_t slice_depth = (p->k + round - 1) / round * panel_depth(t);
    int scratch, words = pool_words(b->dev, t, p, &scratch);
    int warps = t->columns / t->warp_columns;

    /* Of four words, for their alignment. */
    opencl_line(b, "__local uint4 pool[%d];", (words + 3) / 4);
    if (scratch)
        opencl_line(b, "__local uint scratch[%d];", scratch);
    opencl_line(b, "const uint local_id = (uint)get_local_id(0);");
    opencl_line(b, "const uint item = local_id %% %du, slice = local_id / %du;", slice_items(t),
                slice_items(t));
    opencl_line(b, "const uint warp = item / %du, g = item %% %du / 4u, t4 = item %% 4u, t2 = t4 * 2u;",
                LANES, LANES);
    opencl_line(b, "const uint warp_row = warp / %du * %du, warp_column = warp %% %du * %du;", warps,
                t->warp_rows, warps, t->warp_columns);
    opencl_line(b, "const uint n0 = (uint)get_group_id(0) * %du, m0 = (uint)get_group_id(1) * %du;",
                t->columns, t->rows);
    opencl_line(b, "__local uint *a_panel = (__local uint *)pool + slice * %du;",
                2 * (a->words + x->words));
    opencl_line(b, "__local uint *b_panel = a_panel + %du;", 2 * a->words);
    opencl_line(b, "uint k0 = slice * %lldu;", LL(slice_depth));
    declare(b, a);
    declare(b, x);
    for (int c = 0; c < t->warp_rows / 16 * (t->warp_columns / 8) * 4; c++)
        opencl_line(b, "float c%d = 0.0f;", c);
}

static void put_panels(struct opencl_build *b, const struct kind *t, const struct opencl_product *p,
                       const struct side *a, const struct side *x)
{
    int64_t round = (int64_t)panel_depth(t) * t->slices, count = (p->k + round - 1) / round;

    put_loads(b, t, p, a);
    put_loads(b, t, p, x);
    put_stores(b, t, a, "0u");
    put_stores(b, t, x, "0u");
    opencl_line(b, "barrier(CLK_LOCAL_MEM_FENCE);");
    opencl_line(b, "for (uint panel = 0; panel < %lldu; panel++) {", LL(count));
    opencl_line(b, "const uint turn = panel & 1u;");
    opencl_line(b, "k0 += %du;\nif (panel + 1u < %lldu) {", panel_depth(t), LL(count));
    put_loads(b, t, p, a);
    put_loads(b, t, p, x);
    opencl_line(b, "}");
    put_steps(b, t, a, x);
    opencl_line(b, "if (panel + 1u < %lldu) {", LL(count));
    put_stores(b, t, a, "1u - turn");
    put_stores(b, t, x, "1u - turn");
    opencl_line(b, "}\nbarrier(CLK_LOCAL_MEM_FENCE);\n}");
}

static void put_bounds(struct opencl_build *b, const struct kind *t, const struct opencl_product *p)
{
    if (p->m % t->rows && p->n % t->columns)
        opencl_line(b, "if (row < %lldu && column < %lldu)", LL(p->m), LL(p->n));
    else if (p->m % t->rows)
        opencl_line(b, "if (row < %lldu)", LL(p->m));
    else if (p->n % t->columns)
        opencl_line(b, "if (column < %lldu)", LL(p->n));
    opencl_line(b, "{");
}

/* Sixteen rows of each warp at a time through local memory: slices are summed there, and neighbouring
 * work-items store neighbouring elements. */
static void put_results(struct opencl_build *b, const struct kind *t, const struct opencl_product *p)
{
    int warp_rows = t->rows / t->warp_rows, size = warp_rows * 16 * t->columns;
    int columns = t->warp_columns / 8, passes = t->warp_rows / 16;

    opencl_line(b, "__local float *partial = (__local float *)pool;");
    opencl_line(b, "const uint column = n0 + local_id %% %du;", t->columns);
    opencl_line(b, "for (uint pass = 0; pass < %du; pass++) {", passes);
    opencl_line(b, "__local float *to = partial + slice * %du + (warp_row / %du * 16u + g) * %du + "
                   "warp_column + t2;", size, t->warp_rows, t->columns);
    for (int i = 0; i < passes; i++) {
        opencl_line(b, "%sif (pass == %du) {", i ? "} else " : "", i);
        for (int j = 0; j < columns; j++)
            for (int r = 0; r < 4; r++)
                opencl_line(b, "to[%d] = c%d;", r / 2 * 8 * t->columns + j * 8 + r % 2,
                            (i * columns + j) * 4 + r);
    }
    opencl_line(b, "}\nbarrier(CLK_LOCAL_MEM_FENCE);");
    opencl_line(b, "for (uint e = local_id; e < %du; e += %du) {", size, slice_items(t) * t->slices);
    opencl_line(b, "const uint r = e / %du;", t->columns);
    opencl_line(b, "const uint row = m0 + r / 16u * %du + pass * 16u + r %% 16u;", t->warp_rows);
    put_bounds(b, t, p);
    opencl_line(b, "float acc = partial[e];");
    if (t->slices > 1)
        opencl_line(b, "#pragma unroll\nfor (uint s = 1; s < %du; s++) acc += partial[s * %du + e];",
                    t->slices, size);
    p->store(b, p);
    opencl_line(b, "}\n}\nbarrier(CLK_LOCAL_MEM_FENCE);\n}");
}

he_status opencl_emit_mma(struct opencl_build *b, const struct opencl_product *product,
                          const char *way)
{
    const struct kind *t = find(b->dev, product, way);
    struct opencl_product p = *product;
    size_t items = (size_t)slice_items(t) * (size_t)t->slices;
    struct side a, x;

    p.panel_depth = panel_depth(t);
    a = describe(t, &p, true);
    x = describe(t, &p, false);
    put_begin(b, t, &p, &a, &x);
    put_panels(b, t, &p, &a, &x);
    put_results(b, t, &p);
    return opencl_end(b, 3,
                      (size_t[]){ (size_t)((p.n + t->columns - 1) / t->columns) * items,
                                  (size_t)((p.m + t->rows - 1) / t->rows), (size_t)p.batch },
                      (size_t[]){ items, 1, 1 });
}

/* --- As ways --- */

/* Of the fp32 peak, by the same model as that of tiles. */
static double rate_of(const struct kind *t, const struct opencl_product *p, uint32_t units)
{
    double work = (double)p->m * (double)p->n * (double)p->k * (double)p->batch / units;
    int64_t groups = (p->m + t->rows - 1) / t->rows * ((p->n + t->columns - 1) / t->columns) * p->batch;
    double waves = (double)((groups + units - 1) / units), area = (double)t->rows * t->columns;
    double spent = area * ((double)p->k + 128) *
                   (waves / t->together > 1 / t->alone ? waves / t->together : 1 / t->alone);

    return work / spent;
}

void opencl_list_mma(const struct opencl_device *dev, const struct opencl_product *p,
                     struct opencl_ways *out)
{
    uint32_t units = dev->found->units ? dev->found->units : 1;
    double best = 0;

    if (!has_instruction(dev))
        return;
    for (size_t k = 0; k < KINDS; k++)
        if (is_allowed(dev, &kinds[k]) && rate_of(&kinds[k], p, units) > best)
            best = rate_of(&kinds[k], p, units);
    for (size_t k = 0; k < KINDS; k++) {
        double rate = rate_of(&kinds[k], p, units);

        if (is_allowed(dev, &kinds[k]) && find(dev, p, kinds[k].name) && rate >= 0.5 * best)
            opencl_ways_add(out, kinds[k].name, "matrix units",
                            kinds[k].is_half ? "float16" : "tf32", rate, 1);
    }
}
