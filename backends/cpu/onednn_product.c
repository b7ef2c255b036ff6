/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gemm and MatMul. With constant weights the product is two-dimensional: rows
 * of A (batch dimensions joined) times a packed matrix. A single row reads
 * every weight once, so memory bandwidth decides: then the weights stay in row order,
 * where the hardware prefetches best (22 against 14 GB/s measured), and in place
 * when they already lie so. Otherwise oneDNN's packed formats win.
 */
#include "config.h"
#ifdef HE_HAVE_ONEDNN

#include <string.h>

#include "onednn_makers.h"
#include "onednn_post.h"

struct product_task {
    struct od_build *b;
    struct od_epilogue epilogue;
    struct od_post posts[OD_MAX_POSTS]; /* the epilogue's, with the batch joined or not */
    struct od_operand a, w, out; /* w: only when not constant */
    bool has_constant_weights;
    int64_t m, n, k; /* of the two-dimensional case */
    bool transpose_a, transpose_b;
    const float *weight_data;
    float *bias_data;
    uint32_t addend; /* Gemm's C when it is no row vector, else HE_NONE */
    float alpha, beta;
};

static he_status refuse(const struct product_task *t, const char *why)
{
    return he_error_set(HE_ERR_UNSUPPORTED, "%s %s: oneDNN does not take it: %s",
                        t->b->anchor->op, t->b->anchor->name, why);
}

static bool is_plain_slot(const struct od_build *b, uint32_t value, struct od_operand *operand)
{
    enum he_layout layout;

    return od_slot(b, value, operand, &layout) &&
           (layout == HE_LAYOUT_PLAIN || od_layouts_coincide(&od_value(b, value)->shape));
}

/* alpha, the folded scale, the constant C and the folded shift -> weights and bias. */
static he_status fold_parameters(struct product_task *t, uint32_t weights, uint32_t bias)
{
    struct od_build *b = t->b;
    const struct od_epilogue *e = &t->epilogue;
    const float *given = NULL;
    size_t count = 0, rows = (size_t)t->k, columns = (size_t)t->n, r, c, at;
    float *scaled;
    he_status status = od_constant_floats(b, weights, &t->weight_data, &count);

    if (status != HE_OK)
        return status;
    if (bias != HE_NONE || e->shift) {
        t->bias_data = od_constant_alloc(b, columns * sizeof(float));
        if (!t->bias_data)
            return he_error_set(HE_ERR_NO_MEMORY, "no memory for a bias");
    }
    if (bias != HE_NONE) {
        status = od_constant_floats(b, bias, &given, &count);
        if (status != HE_OK)
            return status;
        for (c = 0; c < columns; c++)
            t->bias_data[c] = t->beta * given[count == 1 ? 0 : c];
    }
    for (c = 0; e->scale && c < columns; c++)
        t->bias_data[c] = t->bias_data[c] * e->scale[c] + e->shift[c];
    if (!e->scale && t->alpha == 1)
        return HE_OK;
    scaled = od_constant_alloc(b, rows * columns * sizeof(float));
    if (!scaled)
        return he_error_set(HE_ERR_NO_MEMORY, "no memory for weights");
    for (r = 0; r < rows; r++) {
        for (c = 0; c < columns; c++) {
            at = t->transpose_b ? c * rows + r : r * columns + c;
            scaled[at] = t->weight_data[at] * t->alpha * (e->scale ? e->scale[c] : 1);
        }
    }
    od_constant_release(b, t->weight_data);
    t->weight_data = scaled;
    return HE_OK;
}

static struct od_desc matrix(int64_t rows, int64_t columns, bool is_transposed)
{
    struct od_desc desc = od_desc_plain(2, (int64_t[]){rows, columns});

    if (is_transposed) {
        desc.strides[0] = 1;
        desc.strides[1] = rows;
    }
    return desc;
}

/* Operands of binary posts in two dimensions: the batch dimensions joined. */
static bool join_posts(struct product_task *t)
{
    struct od_post *post;
    int64_t rows, n;
    size_t k;
    int d;

    for (k = 0; k < t->epilogue.count; k++) {
        post = &t->posts[k];
        if (post->kind != OD_POST_BINARY)
            continue;
        rows = 1;
        for (d = 0; d + 1 < post->operand.rank; d++)
            rows *= post->operand.dims[d];
        if (rows != 1 && rows != t->m)
            return false;
        n = post->operand.dims[post->operand.rank - 1];
        post->operand = od_desc_plain(2, (int64_t[]){rows, n});
    }
    return true;
}

static he_status make_pd(const struct product_task *t, const struct od_product *product,
                         bool with_posts, dnnl_primitive_desc_t *out)
{
    dnnl_primitive_attr_t attr;
    he_status status = od_attr(t->posts, with_posts ? t->epilogue.count : 0, &attr);

    *out = NULL;
    if (status == HE_ERR_UNSUPPORTED)
        return HE_OK;
    if (status != HE_OK)
        return status;
    status = od_product_pd(product, attr, out);
    od.dnnl_primitive_attr_destroy(attr);
    return od_keep_usable(status, out);
}

static he_status add_call(struct product_task *t, dnnl_primitive_desc_t pd, bool with_posts,
                          struct od_operand src, struct od_operand weights)
{
    struct od_build *b = t->b;
    struct od_call *call;
    he_status status = od_add_primitive(b, pd, &call);

    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_SRC, src);
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_WEIGHTS, weights);
    if (status == HE_OK && t->bias_data)
        status = od_add_arg(b, call, DNNL_ARG_BIAS, od_constant(t->bias_data));
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_DST, t->out);
    if (status == HE_OK && with_posts)
        status = od_epilogue_attach(b, call, &t->epilogue);
    if (status == HE_OK && !with_posts)
        status = od_epilogue_apart(b, &t->epilogue);
    return status;
}

/* The converted source of a bf16 product, or the source itself. */
static he_status lower_source(struct product_task *t, const struct od_desc *have, od_md want,
                              struct od_operand *src)
{
    struct od_own_md own;
    struct od_operand work;
    he_status status;

    if (!t->b->c->use_bf16)
        return HE_OK;
    status = od_own_md_init(&own, have);
    if (status != HE_OK)
        return status;
    work = od_work(t->b, od.dnnl_memory_desc_get_size(want));
    status = od_add_reorder(t->b, od_own_md_get(&own), *src, want, work);
    od_own_md_fini(&own);
    *src = work;
    return status;
}

/* Which of the forms of one product is best; see ONEDNN.md. */
static void choose_form(const struct product_task *t, struct od_product *product)
{
    double bytes = 4.0 * (double)t->n * (double)t->k;
    bool use_inner = false, in_place = false;

    if (t->m == 1 && bytes > 2e6)
        use_inner = in_place = true;
    else if (t->m < 128 && t->n > 16 * t->k)
        use_inner = true;
    if (t->b->c->variant) {
        use_inner = strncmp(t->b->c->variant, "inner", 5) == 0;
        in_place = strstr(t->b->c->variant, "plain") != NULL;
    }
    if (t->transpose_a || t->b->c->use_bf16)
        use_inner = in_place = false;
    product->is_inner_product = use_inner;
    if (use_inner) {
        product->weights = matrix(t->n, t->k, !t->transpose_b);
        if (t->bias_data)
            product->bias = od_desc_plain(1, &t->n);
    } else {
        product->weights = matrix(t->k, t->n, t->transpose_b);
        if (t->bias_data)
            product->bias = od_desc_plain(2, (int64_t[]){1, t->n});
    }
    product->weights.is_any = !in_place;
}

static he_status constant_product(struct product_task *t)
{
    struct od_build *b = t->b;
    struct od_desc src = matrix(t->m, t->k, t->transpose_a), plain;
    struct od_product product = {.src = src, .dst = matrix(t->m, t->n, false)};
    struct od_operand from = t->a;
    dnnl_primitive_desc_t pd = NULL;
    bool with_posts = true;
    const void *weights;
    void *packed;
    he_status status = HE_OK;

    choose_form(t, &product);
    plain = product.weights;
    plain.is_any = false;
    if (b->c->use_bf16) {
        product.src = od_desc_bf16(product.src);
        product.weights = od_desc_bf16(product.weights);
    }
    if (join_posts(t))
        status = make_pd(t, &product, true, &pd);
    if (status == HE_OK && !pd) {
        with_posts = false;
        status = make_pd(t, &product, false, &pd);
    }
    if (status != HE_OK)
        return status;
    if (!pd)
        return refuse(t, "no fast implementation");
    weights = t->weight_data;
    if (product.weights.is_any) {
        status = od_pack(b, &plain, t->weight_data, od_arg_md(pd, DNNL_ARG_WEIGHTS), &packed);
        weights = packed;
        od_constant_release(b, t->weight_data);
    }
    if (status == HE_OK)
        status = lower_source(t, &src, od_arg_md(pd, DNNL_ARG_SRC), &from);
    if (status != HE_OK) {
        od.dnnl_primitive_desc_destroy(pd);
        return status;
    }
    return add_call(t, pd, with_posts, from, od_constant(weights));
}

/* --- Both factors are values --- */

/* [..., rows, columns] with ones in front up to @rank. */
static bool batched(const struct he_shape *shape, size_t rank, bool is_transposed,
                    struct od_desc *out)
{
    int64_t dims[OD_MAX_RANK], swap;
    size_t missing = rank - shape->rank, k;

    if (rank > OD_MAX_RANK || shape->rank < 2)
        return false;
    for (k = 0; k < rank; k++)
        dims[k] = k < missing ? 1 : shape->dims[k - missing];
    *out = od_desc_plain(rank, dims);
    if (is_transposed) {
        swap = out->dims[rank - 1];
        out->dims[rank - 1] = out->dims[rank - 2];
        out->dims[rank - 2] = swap;
        swap = out->strides[rank - 1];
        out->strides[rank - 1] = out->strides[rank - 2];
        out->strides[rank - 2] = swap;
    }
    return true;
}

static he_status value_product(struct product_task *t, const struct he_shape *a,
                               const struct he_shape *w, const struct he_shape *y)
{
    struct od_product product = {0};
    struct od_own_md own;
    struct od_desc weights;
    struct od_operand work, from = t->a;
    dnnl_primitive_desc_t pd = NULL;
    size_t rank = y->rank;
    bool with_posts = true;
    he_status status;

    if (t->alpha != 1 || rank < 2 || !batched(a, rank, t->transpose_a, &product.src) ||
        !batched(w, rank, t->transpose_b, &product.weights) ||
        !batched(y, rank, false, &product.dst))
        return refuse(t, "a vector, or too many dimensions");
    weights = product.weights;
    if (t->b->c->use_bf16) {
        weights = product.src;
        product.src = od_desc_bf16(od_desc_plain(rank, product.src.dims));
        status = make_pd(t, &(struct od_product){.src = product.src,
                                                 .weights = od_desc_bf16(od_desc_plain(
                                                     rank, product.weights.dims)),
                                                 .dst = product.dst},
                         true, &pd);
        if (status != HE_OK)
            return status;
        if (!pd)
            return refuse(t, "no fast implementation");
        status = lower_source(t, &weights, od_arg_md(pd, DNNL_ARG_SRC), &from);
        weights = product.weights;
        if (status == HE_OK)
            status = od_own_md_init(&own, &weights);
        if (status == HE_OK) {
            work = od_work(t->b, od.dnnl_memory_desc_get_size(od_arg_md(pd, DNNL_ARG_WEIGHTS)));
            status = od_add_reorder(t->b, od_own_md_get(&own), t->w,
                                    od_arg_md(pd, DNNL_ARG_WEIGHTS), work);
            od_own_md_fini(&own);
            t->w = work;
        }
        if (status != HE_OK) {
            od.dnnl_primitive_desc_destroy(pd);
            return status;
        }
        return add_call(t, pd, true, from, t->w);
    }
    status = make_pd(t, &product, true, &pd);
    if (status == HE_OK && !pd) {
        with_posts = false;
        status = make_pd(t, &product, false, &pd);
    }
    if (status != HE_OK)
        return status;
    if (!pd)
        return refuse(t, "no fast implementation");
    return add_call(t, pd, with_posts, from, t->w);
}

/* Gemm's third input: a row vector or a scalar becomes the bias. */
static he_status read_addend(struct product_task *t, uint32_t c, uint32_t *bias)
{
    const struct he_shape *shape;
    int64_t count;

    *bias = HE_NONE;
    if (c == HE_NONE || t->beta == 0)
        return HE_OK;
    if (!od_is_constant(t->b, c))
        return refuse(t, "its third input is not constant");
    shape = &od_value(t->b, c)->shape;
    count = he_shape_count(shape);
    if (count != 1 && !(count == t->n && shape->rank >= 1 &&
                        shape->dims[shape->rank - 1] == t->n))
        return refuse(t, "its third input is a whole matrix");
    *bias = c;
    return HE_OK;
}

he_status od_make_product(struct od_build *b)
{
    struct product_task t = {.b = b, .alpha = 1, .beta = 1};
    uint32_t a = od_input(b, 0), w = od_input(b, 1), bias = HE_NONE, y = b->anchor->outputs[0], k;
    const struct he_shape *as = &od_value(b, a)->shape, *ws = &od_value(b, w)->shape;
    const struct he_shape *ys = &od_value(b, y)->shape;
    bool is_gemm = strcmp(b->anchor->op, "Gemm") == 0;
    size_t count;
    he_status status;

    if (as->rank < 2 || ws->rank < 2 || he_shape_count(ys) <= 0 || he_shape_count(as) <= 0)
        return refuse(&t, "a vector, or nothing to do");
    if (!is_plain_slot(b, a, &t.a) || !is_plain_slot(b, od_task_output(b), &t.out))
        return refuse(&t, "its first input is constant or in another layout");
    t.has_constant_weights = od_is_constant(b, w) && ws->rank == 2;
    if (od_is_constant(b, w) && !t.has_constant_weights) {
        status = od_constant_floats(b, w, &t.weight_data, &count);
        if (status != HE_OK)
            return status;
        t.w = od_constant(t.weight_data);
    } else if (!t.has_constant_weights && !is_plain_slot(b, w, &t.w)) {
        return refuse(&t, "its second input is in another layout");
    }
    if (is_gemm) {
        t.transpose_a = he_node_int(b->anchor, "transA", 0) != 0;
        t.transpose_b = he_node_int(b->anchor, "transB", 0) != 0;
        t.alpha = he_node_float(b->anchor, "alpha", 1.0f);
        t.beta = he_node_float(b->anchor, "beta", 1.0f);
    }
    t.n = ws->dims[ws->rank - (t.transpose_b ? 2 : 1)];
    t.k = ws->dims[ws->rank - (t.transpose_b ? 1 : 2)];
    t.m = 1;
    for (k = 0; k + 1 < ys->rank; k++)
        t.m *= ys->dims[k];
    if (as->dims[as->rank - (t.transpose_a ? 2 : 1)] != t.k || t.k < 1)
        return refuse(&t, "factors that do not fit");
    if (is_gemm) {
        status = read_addend(&t, od_input(b, 2), &bias);
        if (status != HE_OK)
            return status;
        if (bias != HE_NONE && !t.has_constant_weights)
            return refuse(&t, "a bias, but no constant weights");
    }
    status = od_epilogue_read(b, (int)ys->rank - 1, t.has_constant_weights, &t.epilogue);
    if (status != HE_OK)
        return status;
    memcpy(t.posts, t.epilogue.posts, sizeof t.posts);
    if (!t.has_constant_weights)
        return value_product(&t, as, ws, ys);
    status = fold_parameters(&t, w, bias);
    if (status != HE_OK)
        return status;
    return constant_product(&t);
}

#endif
