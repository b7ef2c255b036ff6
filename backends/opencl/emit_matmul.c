/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gemm and MatMul. On a GPU tiles (tile.h), unless the matrices are tiny. Else a work-item makes up to 4 rows of 8 columns: one vector load of B, four scalars
 * of A, four vector multiply-adds for each step. A constant B is packed when the program is made: for
 * a processor 8 columns one below the other, so that a work-item reads straight on; for a
 * GPU row-major and padded, so that neighbouring work-items read side by side. What
 * cannot be packed and has no whole blocks of 8 takes the scalar kernel.
 */
#include <string.h>

#include "tile.h"

#define COLUMNS 8
#define ROWS 4
#define WORK_ITEMS 64
#define LL(x) ((long long)(x))

struct product {
    uint32_t a, b; /* values */
    int64_t m, n, k;
    int64_t a_row, a_depth, b_depth, b_column; /* strides */
    struct he_shape batch, a_batch, b_batch;
    float alpha;
};

/* Multiply-adds below which a tile is mostly empty. */
#define TILE_WORK 4096

/* Local sizes along column blocks and row blocks. */
static void shape_group(int64_t columns, int64_t rows, size_t *local)
{
    local[0] = 1;
    while (local[0] < WORK_ITEMS && (int64_t)local[0] < columns)
        local[0] *= 2;
    local[1] = 1;
    while (local[0] * local[1] < WORK_ITEMS && (int64_t)local[1] < rows)
        local[1] *= 2;
    local[2] = 1;
}

static he_status pack(struct opencl_build *b, const struct product *p, int *operand,
                      int64_t *block_stride, int64_t *depth_stride)
{
    const struct he_value *value = &b->graph->values[p->b];
    int64_t blocks = (p->n + COLUMNS - 1) / COLUMNS;
    size_t count = (size_t)(blocks * COLUMNS * p->k);
    uint32_t form = p->b_column == 1 ? 2 : 3;
    float *packed = NULL;

    *block_stride = b->dev->found->is_cpu ? p->k * COLUMNS : COLUMNS;
    *depth_stride = b->dev->found->is_cpu ? COLUMNS : blocks * COLUMNS;
    if (!opencl_has_made(b, p->b, form)) {
        packed = opencl_alloc(&b->dev->alloc, count, sizeof *packed);
        if (!packed)
            return opencl_no_memory();
        for (int64_t k = 0; k < p->k; k++)
            for (int64_t n = 0; n < p->n; n++)
                packed[n / COLUMNS * *block_stride + k * *depth_stride + n % COLUMNS] =
                    opencl_float(value, (size_t)(k * p->b_depth + n * p->b_column));
    }
    *operand = opencl_read_packed(b, p->b, form, packed, count);
    opencl_free(&b->dev->alloc, packed);
    return HE_OK;
}

/* "const uint NAME = (index of the matrix in its batch) * size;" */
static void batch_offset(struct opencl_build *b, const char *name, const struct he_shape *out,
                         const struct he_shape *in, int64_t size)
{
    opencl_text_printf(&b->body, "const uint %s = (", name);
    opencl_broadcast_index(b, out, in, "z");
    opencl_line(b, ") * %lldu;", LL(size));
}

static void emit_gemm_bias(struct opencl_build *b, const struct he_node *node)
{
    const struct he_value *c = opencl_input(b, node, 2);
    char beta[40];

    if (!opencl_is(node, "Gemm") || !c || he_node_float(node, "beta", 1) == 0)
        return;
    opencl_text_printf(&b->body, "acc += %s * X%d(",
                       opencl_literal(he_node_float(node, "beta", 1), beta),
                       opencl_read(b, node->inputs[2]));
    opencl_broadcast_index(b, &opencl_output(b, node, 0)->shape, &c->shape, "o");
    opencl_line(b, ");");
}

/* acc is what the rows and columns gave. */
static void emit_store(struct opencl_build *b, const struct he_node *node, const struct product *p)
{
    char alpha[40];

    opencl_line(b, "const uint o = (z * %lldu + row) * %lldu + column;", LL(p->m), LL(p->n));
    if (p->alpha != 1)
        opencl_line(b, "acc *= %s;", opencl_literal(p->alpha, alpha));
    emit_gemm_bias(b, node);
    opencl_result(b, "o", "acc");
}

static void emit_head(struct opencl_build *b, const struct product *p, int64_t blocks,
                      int64_t row_blocks, int64_t rows)
{
    opencl_line(b, "const uint cb = (uint)get_global_id(0), rb = (uint)get_global_id(1);");
    opencl_line(b, "const uint z = (uint)get_global_id(2);");
    opencl_line(b, "if (cb >= %lldu || rb >= %lldu) return;", LL(blocks), LL(row_blocks));
    batch_offset(b, "za", &p->batch, &p->a_batch, p->m * p->k);
    for (int r = 0; r < rows; r++)
        opencl_line(b, "const uint a%d = za + min(rb * %lldu + %du, %lldu) * %lldu;", r, LL(rows), r,
                    LL(p->m - 1), LL(p->a_row));
}

static he_status emit_vector(struct opencl_build *b, const struct he_node *node,
                             const struct product *p, bool is_packed)
{
    int64_t rows = p->m < ROWS ? p->m : ROWS, row_blocks = (p->m + rows - 1) / rows;
    int64_t blocks = (p->n + COLUMNS - 1) / COLUMNS, block_stride = COLUMNS;
    int64_t depth_stride = p->b_depth;
    size_t local[3];
    he_status status;
    int x, w = 0;

    opencl_begin(b);
    x = opencl_read(b, p->a);
    if (is_packed) {
        status = pack(b, p, &w, &block_stride, &depth_stride);
        if (status != HE_OK)
            return status;
    } else {
        w = opencl_read_weights(b, p->b);
    }
    emit_head(b, p, blocks, row_blocks, rows);
    batch_offset(b, "zb", &p->batch, &p->b_batch, p->k * p->n);
    opencl_line(b, "__global const T%d *w = x%d + zb + cb * %lldu;", w, w, LL(block_stride));
    for (int r = 0; r < rows; r++)
        opencl_line(b, "float8 s%d = 0.0f;", r);
    opencl_line(b, "for (uint k = 0; k < %lldu; k++) {", LL(p->k));
    opencl_line(b, "const float8 v = L%d_8(w);", w);
    for (int r = 0; r < rows; r++)
        opencl_line(b, "s%d += X%d(a%d + k * %lldu) * v;", r, x, r, LL(p->a_depth));
    opencl_line(b, "w += %lldu;\n}", LL(depth_stride));
    opencl_line(b, "float t[%lld];", LL(rows * COLUMNS));
    for (int r = 0; r < rows; r++)
        opencl_line(b, "vstore8(s%d, %d, t);", r, r);
    opencl_line(b, "for (uint i = 0; i < %lldu; i++) {", LL(rows));
    opencl_line(b, "const uint row = rb * %lldu + i;", LL(rows));
    opencl_line(b, "if (row < %lldu) for (uint j = 0; j < %du; j++) {", LL(p->m), COLUMNS);
    opencl_line(b, "const uint column = cb * %du + j;", COLUMNS);
    if (p->n % COLUMNS)
        opencl_line(b, "if (column >= %lldu) break;", LL(p->n));
    opencl_line(b, "float acc = t[i * %du + j];", COLUMNS);
    emit_store(b, node, p);
    opencl_line(b, "}\n}");
    shape_group(blocks, row_blocks, local);
    return opencl_end(b, 3, (size_t[]){ (size_t)blocks, (size_t)row_blocks,
                                        (size_t)he_shape_count(&p->batch) }, local);
}

static he_status emit_scalar(struct opencl_build *b, const struct he_node *node,
                             const struct product *p)
{
    int64_t rows = p->m < ROWS ? p->m : ROWS, row_blocks = (p->m + rows - 1) / rows;
    size_t local[3];
    int x, w = 0;

    opencl_begin(b);
    x = opencl_read(b, p->a);
    w = opencl_read_weights(b, p->b);
    emit_head(b, p, p->n, row_blocks, rows);
    batch_offset(b, "zb", &p->batch, &p->b_batch, p->k * p->n);
    opencl_line(b, "const uint column = cb;");
    opencl_line(b, "float s[%lld];", LL(rows));
    opencl_line(b, "for (uint i = 0; i < %lldu; i++) s[i] = 0.0f;", LL(rows));
    opencl_line(b, "for (uint k = 0; k < %lldu; k++) {", LL(p->k));
    opencl_line(b, "const float v = X%d(zb + k * %lldu + cb * %lldu);", w, LL(p->b_depth),
                LL(p->b_column));
    for (int r = 0; r < rows; r++)
        opencl_line(b, "s[%d] += X%d(a%d + k * %lldu) * v;", r, x, r, LL(p->a_depth));
    opencl_line(b, "}\nfor (uint i = 0; i < %lldu; i++) {", LL(rows));
    opencl_line(b, "const uint row = rb * %lldu + i;", LL(rows));
    opencl_line(b, "if (row >= %lldu) break;", LL(p->m));
    opencl_line(b, "float acc = s[i];");
    emit_store(b, node, p);
    opencl_line(b, "}");
    shape_group(p->n, row_blocks, local);
    return opencl_end(b, 3, (size_t[]){ (size_t)p->n, (size_t)row_blocks,
                                        (size_t)he_shape_count(&p->batch) }, local);
}

/* --- Tiles --- */

struct tiled {
    const struct he_node *node;
    const struct product *product;
    int a, b; /* operands */
};

static void load_a(struct opencl_build *b, const struct opencl_product *product)
{
    const struct tiled *t = product->context;

    opencl_line(b, "v = X%d(za + m * %lldu + k * %lldu);", t->a, LL(t->product->a_row),
                LL(t->product->a_depth));
}

static void load_b(struct opencl_build *b, const struct opencl_product *product)
{
    const struct tiled *t = product->context;

    opencl_line(b, "v = X%d(zb + k * %lldu + n * %lldu);", t->b, LL(t->product->b_depth),
                LL(t->product->b_column));
}

static void put_quad(struct opencl_build *b, int operand)
{
    opencl_line(b, "q = A%d_4(p);", operand);
}

static void load_a_quad(struct opencl_build *b, const struct opencl_product *product)
{
    const struct tiled *t = product->context;

    opencl_line(b, "__global const T%d *p = x%d + za + m * %lldu + k * %lldu;", t->a, t->a,
                LL(t->product->a_row), LL(t->product->a_depth));
    put_quad(b, t->a);
}

static void load_b_quad(struct opencl_build *b, const struct opencl_product *product)
{
    const struct tiled *t = product->context;

    opencl_line(b, "__global const T%d *p = x%d + zb + k * %lldu + n * %lldu;", t->b, t->b,
                LL(t->product->b_depth), LL(t->product->b_column));
    put_quad(b, t->b);
}

static void store_tile(struct opencl_build *b, const struct opencl_product *product)
{
    const struct tiled *t = product->context;

    emit_store(b, t->node, t->product);
}

static struct opencl_product describe_tiled(const struct product *p, const struct tiled *t)
{
    struct opencl_product product = { .m = p->m, .n = p->n, .k = p->k,
                                      .batch = he_shape_count(&p->batch),
                                      .a_along_depth = p->a_depth == 1,
                                      .b_along_depth = p->b_depth == 1 && p->b_column != 1,
                                      .load_a = load_a, .load_b = load_b, .store = store_tile,
                                      .context = t };

    /* All strides but 1 are m, n or k: with these multiples of 4, so is every quad's place. */
    if (p->k % 4 == 0 && (product.a_along_depth || p->m % 4 == 0))
        product.load_a_quad = load_a_quad;
    if (p->n % 4 == 0 && (!product.b_along_depth || p->k % 4 == 0))
        product.load_b_quad = load_b_quad;
    return product;
}

static he_status emit_tiled(struct opencl_build *b, const struct he_node *node,
                            const struct product *p)
{
    struct tiled t = { .node = node, .product = p };
    struct opencl_product product = describe_tiled(p, &t);

    opencl_begin(b);
    t.a = opencl_read_weights(b, p->a);
    t.b = opencl_read_weights(b, p->b);
    opencl_line(b, "const uint z = (uint)get_group_id(2);");
    batch_offset(b, "za", &p->batch, &p->a_batch, p->m * p->k);
    batch_offset(b, "zb", &p->batch, &p->b_batch, p->k * p->n);
    return opencl_emit_product(b, &product);
}

static he_status emit_product(struct opencl_build *b, const struct he_node *node,
                              const struct product *p)
{
    const char *way = opencl_way(b);

    if (p->m == 0 || p->n == 0 || he_shape_count(&p->batch) == 0 || p->k == 0)
        return opencl_refuse(node, "empty matrices are not done");
    if (way && (strncmp(way, "tile-", 5) == 0 || strncmp(way, "mma-", 4) == 0))
        return emit_tiled(b, node, p);
    if (opencl_likes_tiles(b->dev) && p->m * p->n * p->k >= TILE_WORK)
        return emit_tiled(b, node, p);
    if (b->graph->values[p->b].data && he_shape_count(&p->b_batch) == 1)
        return emit_vector(b, node, p, true);
    if (p->b_column == 1 && p->n % COLUMNS == 0)
        return emit_vector(b, node, p, false);
    return emit_scalar(b, node, p);
}

static he_status read_gemm(const struct opencl_build *b, const struct he_node *node,
                           struct product *out)
{
    const struct he_value *x = opencl_input(b, node, 0), *w = opencl_input(b, node, 1);
    bool a_turned = he_node_int(node, "transA", 0), b_turned = he_node_int(node, "transB", 0);
    he_status status = opencl_need_float(b, node);
    struct product p;

    if (status != HE_OK)
        return status;
    if (!x || !w || x->shape.rank != 2 || w->shape.rank != 2)
        return opencl_refuse(node, "its factors must be matrices");
    p = (struct product){ .a = node->inputs[0], .b = node->inputs[1],
                          .alpha = he_node_float(node, "alpha", 1) };
    p.m = x->shape.dims[a_turned ? 1 : 0];
    p.k = x->shape.dims[a_turned ? 0 : 1];
    p.n = w->shape.dims[b_turned ? 0 : 1];
    p.a_row = a_turned ? 1 : p.k;
    p.a_depth = a_turned ? p.m : 1;
    p.b_depth = b_turned ? 1 : p.n;
    p.b_column = b_turned ? p.k : 1;
    *out = p;
    return HE_OK;
}

static struct he_shape batch_of(const struct he_shape *shape)
{
    struct he_shape out = *shape;

    out.rank = shape->rank > 2 ? shape->rank - 2 : 0;
    return out;
}

static he_status read_matmul(const struct opencl_build *b, const struct he_node *node,
                             struct product *out)
{
    const struct he_value *x = opencl_input(b, node, 0), *w = opencl_input(b, node, 1);
    const struct he_value *y = opencl_output(b, node, 0);
    he_status status = opencl_need_float(b, node);
    struct product p;

    if (status != HE_OK)
        return status;
    if (!x || !w || !x->shape.rank || !w->shape.rank)
        return opencl_refuse(node, "its factors must be vectors or matrices");
    p = (struct product){ .a = node->inputs[0], .b = node->inputs[1], .alpha = 1 };
    p.k = x->shape.dims[x->shape.rank - 1];
    p.m = x->shape.rank > 1 ? x->shape.dims[x->shape.rank - 2] : 1;
    p.n = w->shape.rank > 1 ? w->shape.dims[w->shape.rank - 1] : 1;
    p.a_row = p.k;
    p.a_depth = 1;
    p.b_depth = p.n;
    p.b_column = 1;
    p.a_batch = batch_of(&x->shape);
    p.b_batch = batch_of(&w->shape);
    p.batch = y->shape;
    p.batch.rank = p.a_batch.rank > p.b_batch.rank ? p.a_batch.rank : p.b_batch.rank;
    if (he_shape_count(&p.b_batch) == 1 && p.a_batch.rank >= p.b_batch.rank) {
        /* One B for all: the batch is only more rows. */
        p.m *= he_shape_count(&p.a_batch);
        p.a_batch.rank = p.b_batch.rank = p.batch.rank = 0;
    }
    *out = p;
    return HE_OK;
}

static he_status emit_gemm(struct opencl_build *b, const struct he_node *node)
{
    struct product p;
    he_status status = read_gemm(b, node, &p);

    return status == HE_OK ? emit_product(b, node, &p) : status;
}

static he_status emit_matmul(struct opencl_build *b, const struct he_node *node)
{
    struct product p;
    he_status status = read_matmul(b, node, &p);

    return status == HE_OK ? emit_product(b, node, &p) : status;
}

void opencl_product_ways(struct opencl_build *b, const struct he_node *node,
                         struct opencl_ways *out)
{
    struct opencl_product product;
    struct product p;
    he_status status = opencl_is(node, "Gemm") ? read_gemm(b, node, &p) : read_matmul(b, node, &p);

    if (status != HE_OK || !opencl_likes_tiles(b->dev) || he_shape_count(&p.batch) == 0 ||
        p.m * p.n * p.k < TILE_WORK)
        return;
    product = describe_tiled(&p, NULL);
    opencl_ways_add(out, "auto", "by rule", "float32", opencl_tile_rate(b->dev, &product), 1);
    opencl_list_mma(b->dev, &product, out);
    opencl_list_tiles(b->dev, &product, out);
}

static const struct opencl_emitter emitters[] = {
    { "Gemm", emit_gemm, true },
    { "MatMul", emit_matmul, true },
};
const struct opencl_emitter_table opencl_matmul_table = { emitters,
                                                          sizeof emitters / sizeof emitters[0] };
