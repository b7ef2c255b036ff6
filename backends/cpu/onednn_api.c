/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens oneDNN at run time through the symbol list of onednn_api.h and hides
 * the one big difference between its major versions: 2.x initialises an
 * operation descriptor and turns it into a primitive descriptor; 3.x makes the
 * primitive descriptor in one call and keeps memory descriptors behind pointers.
 */
#include "config.h"
#include "kernel.h"

#ifdef HE_HAVE_ONEDNN

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "onednn_api.h"

struct od_library od;

static pthread_once_t open_once = PTHREAD_ONCE_INIT;
static bool is_open;
static char version_text[32];
static char open_failure[256];

static bool load_symbols(void *library)
{
#define OD_LOAD(name)                                                                             \
    if (!(*(void **)&od.name = dlsym(library, #name))) {                                          \
        snprintf(open_failure, sizeof open_failure, "oneDNN lacks the function " #name);          \
        return false;                                                                             \
    }
    OD_SYMBOLS(OD_LOAD)
#undef OD_LOAD
    return true;
}

static void no_threads(int count)
{
    (void)count;
}

/* The thread count of oneDNN's loops is OpenMP's. libdnnl has brought its
 * runtime along, so that asking for it by name finds that same copy. */
static void find_openmp(void *library)
{
    static const char *const names[] = {"libgomp.so.1", "libomp.so.5", "libiomp5.so"};
    void *symbol = dlsym(library, "omp_set_num_threads");
    void *runtime;
    size_t k;

    for (k = 0; !symbol && k < sizeof names / sizeof names[0]; k++) {
        runtime = dlopen(names[k], RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
        if (runtime)
            symbol = dlsym(runtime, "omp_set_num_threads");
    }
    od.omp_set_num_threads = no_threads;
    if (symbol)
        *(void **)&od.omp_set_num_threads = symbol;
}

static void open_library(void)
{
    static const char *const names[] = {
        HE_ONEDNN_SONAME,
#if DNNL_VERSION_MAJOR >= 3
        "libdnnl.so.3",
#else
        "libdnnl.so.2",
#endif
    };
    const dnnl_version_t *version;
    void *library = NULL;
    size_t k;

    for (k = 0; !library && k < sizeof names / sizeof names[0]; k++)
        library = dlopen(names[k], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(open_failure, sizeof open_failure, "oneDNN cannot be opened: %s", dlerror());
        return;
    }
    /* The library stays open for the life of the process: its threads and
     * compiled kernels may outlive any one device. */
    if (!load_symbols(library))
        return;
    version = od.dnnl_version();
    if (version->major != DNNL_VERSION_MAJOR) {
        snprintf(open_failure, sizeof open_failure,
                 "oneDNN %d.%d was found, but this build knows version %d", version->major,
                 version->minor, DNNL_VERSION_MAJOR);
        return;
    }
    if (od.dnnl_engine_create(&od.engine, dnnl_cpu, 0) != dnnl_success) {
        snprintf(open_failure, sizeof open_failure, "oneDNN offers no CPU engine");
        return;
    }
    find_openmp(library);
    snprintf(version_text, sizeof version_text, "oneDNN %d.%d.%d", version->major, version->minor,
             version->patch);
    is_open = true;
}

bool cpu_onednn_open(void)
{
    pthread_once(&open_once, open_library);
    if (!is_open)
        he_error_set(HE_ERR_UNSUPPORTED, "%s", open_failure);
    return is_open;
}

const char *cpu_onednn_version(void)
{
    pthread_once(&open_once, open_library);
    return version_text;
}

he_status od_status(dnnl_status_t status, const char *what)
{
    switch (status) {
    case dnnl_success:
        return HE_OK;
    case dnnl_out_of_memory:
        return he_error_set(HE_ERR_NO_MEMORY, "oneDNN: no memory for %s", what);
    case dnnl_unimplemented:
    case dnnl_invalid_arguments:
        return he_error_set(HE_ERR_UNSUPPORTED, "oneDNN %s %s (status %d)",
                            status == dnnl_unimplemented ? "does not implement this" : "refuses this",
                            what, (int)status);
    default:
        return he_error_set(HE_ERR_DEVICE, "oneDNN: %s failed with status %d", what, (int)status);
    }
}

/* --- Tensors --- */

struct od_desc od_desc_plain(size_t rank, const int64_t *dims)
{
    struct od_desc desc = {.rank = 0};
    int64_t stride = 1;
    size_t k;

    if (rank > OD_MAX_RANK)
        return desc;
    desc.rank = (int)rank;
    for (k = rank; k-- > 0;) {
        desc.dims[k] = dims[k];
        desc.strides[k] = stride;
        stride *= dims[k];
    }
    return desc;
}

struct od_desc od_desc_channels_last(size_t rank, const int64_t *dims)
{
    struct od_desc desc = od_desc_plain(rank, dims);
    int64_t stride;
    size_t k;

    if (desc.rank < 3)
        return desc;
    desc.strides[1] = 1;
    stride = dims[1];
    for (k = rank; k-- > 2;) {
        desc.strides[k] = stride;
        stride *= dims[k];
    }
    desc.strides[0] = stride;
    return desc;
}

struct od_desc od_desc_any(struct od_desc desc)
{
    desc.is_any = true;
    return desc;
}

struct od_desc od_desc_bf16(struct od_desc desc)
{
    desc.is_bf16 = true;
    return desc;
}

static dnnl_data_type_t type_of(const struct od_desc *desc)
{
    return desc->is_bf16 ? dnnl_bf16 : dnnl_f32;
}

/* "The library picks the format", by rank: any is one tag for all of them. */
he_status od_own_md_init(struct od_own_md *own, const struct od_desc *desc)
{
    dnnl_dims_t dims = {0}, strides = {0};
    dnnl_status_t status;
    int k;

    memset(own, 0, sizeof *own);
    if (!desc->rank)
        return HE_OK;
    for (k = 0; k < desc->rank; k++) {
        dims[k] = desc->dims[k];
        strides[k] = desc->strides[k];
    }
#if DNNL_VERSION_MAJOR >= 3
    if (desc->is_any)
        status = od.dnnl_memory_desc_create_with_tag(&own->md, desc->rank, dims, type_of(desc),
                                                     dnnl_format_tag_any);
    else
        status = od.dnnl_memory_desc_create_with_strides(&own->md, desc->rank, dims,
                                                         type_of(desc), strides);
#else
    if (desc->is_any)
        status = od.dnnl_memory_desc_init_by_tag(&own->md, desc->rank, dims, type_of(desc),
                                                 dnnl_format_tag_any);
    else
        status = od.dnnl_memory_desc_init_by_strides(&own->md, desc->rank, dims, type_of(desc),
                                                     strides);
    own->is_set = status == dnnl_success;
#endif
    return od_status(status, "a tensor descriptor");
}

void od_own_md_fini(struct od_own_md *own)
{
#if DNNL_VERSION_MAJOR >= 3
    if (own->md)
        od.dnnl_memory_desc_destroy(own->md);
#endif
    memset(own, 0, sizeof *own);
}

od_md od_own_md_get(const struct od_own_md *own)
{
#if DNNL_VERSION_MAJOR >= 3
    return own->md;
#else
    return own->is_set ? &own->md : NULL;
#endif
}

/* Several descriptors for the length of one call. */
#define OD_MDS_MAX 4
struct md_list {
    struct od_own_md own[OD_MDS_MAX];
    od_md md[OD_MDS_MAX];
    size_t count;
};

static void mds_fini(struct md_list *list)
{
    while (list->count > 0)
        od_own_md_fini(&list->own[--list->count]);
}

static he_status mds_init(struct md_list *list, const struct od_desc *const *descs, size_t count)
{
    he_status status;

    for (list->count = 0; list->count < count; list->count++) {
        status = od_own_md_init(&list->own[list->count], descs[list->count]);
        if (status != HE_OK) {
            mds_fini(list);
            return status;
        }
        list->md[list->count] = od_own_md_get(&list->own[list->count]);
    }
    return HE_OK;
}

/* --- Attributes --- */

static dnnl_status_t append_post(dnnl_post_ops_t list, const struct od_post *post)
{
    struct od_own_md operand;
    dnnl_status_t status;
    float alpha = post->alpha, beta = post->beta;

    switch (post->kind) {
    case OD_POST_BINARY:
        if (od_own_md_init(&operand, &post->operand) != HE_OK)
            return dnnl_invalid_arguments;
        status = od.dnnl_post_ops_append_binary(list, post->alg, od_own_md_get(&operand));
        od_own_md_fini(&operand);
        return status;
#if DNNL_VERSION_MAJOR >= 3
    case OD_POST_SUM:
        return od.dnnl_post_ops_append_sum(list, 1.0f, 0, dnnl_data_type_undef);
    case OD_POST_ELTWISE:
        if (post->alg == dnnl_eltwise_hardswish) {
            alpha = 1.0f / 6.0f;
            beta = 0.5f;
        }
        return od.dnnl_post_ops_append_eltwise(list, post->alg, alpha, beta);
#else
    case OD_POST_SUM:
        return od.dnnl_post_ops_append_sum(list, 1.0f);
    case OD_POST_ELTWISE:
        return od.dnnl_post_ops_append_eltwise(list, 1.0f, post->alg, alpha, beta);
#endif
    }
    return dnnl_invalid_arguments;
}

/* oneDNN 2.6 keeps one set of parameters per function and primitive: of two Clips
 * behind one product the second repeats the first (measured: wrong results). */
static bool repeats_function(const struct od_post *posts, size_t count)
{
    size_t k, j;

    for (k = 0; k < count; k++) {
        for (j = 0; j < k && posts[k].kind == OD_POST_ELTWISE; j++) {
            if (posts[j].kind == OD_POST_ELTWISE && posts[j].alg == posts[k].alg)
                return true;
        }
    }
    return false;
}

he_status od_attr(const struct od_post *posts, size_t count, dnnl_primitive_attr_t *out)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t list = NULL;
    dnnl_status_t status;
    size_t k;

    *out = NULL;
    if (repeats_function(posts, count))
        return he_error_set(HE_ERR_UNSUPPORTED, "oneDNN applies a repeated function wrongly");
    status = od.dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success)
        status = od.dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && count > 0)
        status = od.dnnl_post_ops_create(&list);
    for (k = 0; status == dnnl_success && k < count; k++)
        status = append_post(list, &posts[k]);
    if (status == dnnl_success && list)
        status = od.dnnl_primitive_attr_set_post_ops(attr, list);
    if (list)
        od.dnnl_post_ops_destroy(list);
    if (status != dnnl_success) {
        if (attr)
            od.dnnl_primitive_attr_destroy(attr);
        return od_status(status, "primitive attributes");
    }
    *out = attr;
    return HE_OK;
}

/* --- Primitive descriptors --- */

/* Names of implementations by matrix products: "gemm:jit", "x64:gemm...". */
static bool is_gemm_impl(dnnl_primitive_desc_t pd)
{
    return strstr(od_impl_name(pd), "gemm") != NULL;
}

#if DNNL_VERSION_MAJOR >= 3
/* Goes on to the next implementation until one is by matrix products. */
static dnnl_status_t find_gemm(dnnl_primitive_desc_t *pd)
{
    while (!is_gemm_impl(*pd)) {
        dnnl_status_t done = od.dnnl_primitive_desc_next_impl(*pd);

        if (done != dnnl_success) {
            od.dnnl_primitive_desc_destroy(*pd);
            *pd = NULL;
            return dnnl_unimplemented;
        }
    }
    return dnnl_success;
}
#else
static dnnl_status_t find_gemm(const void *op_desc, dnnl_primitive_attr_t attr,
                               dnnl_primitive_desc_t *out)
{
    dnnl_primitive_desc_iterator_t at = NULL;
    dnnl_status_t done = od.dnnl_primitive_desc_iterator_create(&at, op_desc, attr, od.engine, NULL);

    *out = NULL;
    while (done == dnnl_success) {
        *out = od.dnnl_primitive_desc_iterator_fetch(at);
        if (!*out || is_gemm_impl(*out))
            break;
        od.dnnl_primitive_desc_destroy(*out);
        *out = NULL;
        done = od.dnnl_primitive_desc_iterator_next(at);
    }
    if (at)
        od.dnnl_primitive_desc_iterator_destroy(at);
    return *out ? dnnl_success : dnnl_unimplemented;
}

static dnnl_status_t from_op_desc(dnnl_status_t status, const void *op_desc,
                                  dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    if (status != dnnl_success)
        return status;
    return od.dnnl_primitive_desc_create(out, op_desc, attr, od.engine, NULL);
}
#endif

he_status od_conv_pd(const struct od_conv *conv, dnnl_primitive_attr_t attr,
                     dnnl_primitive_desc_t *out)
{
    const struct od_desc *descs[] = {&conv->src, &conv->weights, &conv->bias, &conv->dst};
    dnnl_alg_kind_t alg;
    struct md_list m;
    dnnl_status_t done;
    he_status status = mds_init(&m, descs, 4);

    *out = NULL;
    if (status != HE_OK)
        return status;
    if (conv->is_transposed)
        alg = dnnl_deconvolution_direct;
    else
        alg = conv->is_winograd ? dnnl_convolution_winograd : dnnl_convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    done = (conv->is_transposed ? od.dnnl_deconvolution_forward_primitive_desc_create
                                : od.dnnl_convolution_forward_primitive_desc_create)(
        out, od.engine, dnnl_forward_inference, alg, m.md[0], m.md[1], m.md[2], m.md[3],
        conv->strides, conv->dilates, conv->pad_begin, conv->pad_end, attr);
    if (done == dnnl_success && conv->is_gemm)
        done = find_gemm(out);
#else
    dnnl_convolution_desc_t op;
    done = (conv->is_transposed ? od.dnnl_dilated_deconvolution_forward_desc_init
                                : od.dnnl_dilated_convolution_forward_desc_init)(
        &op, dnnl_forward_inference, alg, m.md[0], m.md[1], m.md[2], m.md[3], conv->strides,
        conv->dilates, conv->pad_begin, conv->pad_end);
    if (done == dnnl_success && conv->is_gemm)
        done = find_gemm(&op, attr, out);
    else
        done = from_op_desc(done, &op, attr, out);
#endif
    mds_fini(&m);
    return od_status(done, conv->is_transposed ? "transposed convolution" : "convolution");
}

he_status od_product_pd(const struct od_product *product, dnnl_primitive_attr_t attr,
                        dnnl_primitive_desc_t *out)
{
    const struct od_desc *descs[] = {&product->src, &product->weights, &product->bias,
                                     &product->dst};
    struct md_list m;
    dnnl_status_t done;
    he_status status = mds_init(&m, descs, 4);

    *out = NULL;
    if (status != HE_OK)
        return status;
#if DNNL_VERSION_MAJOR >= 3
    if (product->is_inner_product)
        done = od.dnnl_inner_product_forward_primitive_desc_create(
            out, od.engine, dnnl_forward_inference, m.md[0], m.md[1], m.md[2], m.md[3], attr);
    else
        done = od.dnnl_matmul_primitive_desc_create(out, od.engine, m.md[0], m.md[1], m.md[2],
                                                    m.md[3], attr);
#else
    if (product->is_inner_product) {
        dnnl_inner_product_desc_t op;
        done = od.dnnl_inner_product_forward_desc_init(&op, dnnl_forward_inference, m.md[0],
                                                       m.md[1], m.md[2], m.md[3]);
        done = from_op_desc(done, &op, attr, out);
    } else {
        dnnl_matmul_desc_t op;
        done = od.dnnl_matmul_desc_init(&op, m.md[0], m.md[1], m.md[2], m.md[3]);
        done = from_op_desc(done, &op, attr, out);
    }
#endif
    mds_fini(&m);
    return od_status(done, "matrix product");
}

he_status od_pool_pd(const struct od_pool *pool, dnnl_primitive_attr_t attr,
                     dnnl_primitive_desc_t *out)
{
    const struct od_desc *descs[] = {&pool->src, &pool->dst};
    struct md_list m;
    dnnl_status_t done;
    he_status status = mds_init(&m, descs, 2);

    *out = NULL;
    if (status != HE_OK)
        return status;
#if DNNL_VERSION_MAJOR >= 3
    done = od.dnnl_pooling_forward_primitive_desc_create(
        out, od.engine, dnnl_forward_inference, pool->alg, m.md[0], m.md[1], pool->strides,
        pool->kernel, pool->dilates, pool->pad_begin, pool->pad_end, attr);
#else
    dnnl_pooling_v2_desc_t op;
    done = od.dnnl_pooling_v2_forward_desc_init(&op, dnnl_forward_inference, pool->alg, m.md[0],
                                                m.md[1], pool->strides, pool->kernel,
                                                pool->dilates, pool->pad_begin, pool->pad_end);
    done = from_op_desc(done, &op, attr, out);
#endif
    mds_fini(&m);
    return od_status(done, "pooling");
}

he_status od_eltwise_pd(dnnl_alg_kind_t alg, float alpha, float beta, const struct od_desc *data,
                        dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    struct md_list m;
    dnnl_status_t done;
    he_status status = mds_init(&m, &data, 1);

    *out = NULL;
    if (status != HE_OK)
        return status;
#if DNNL_VERSION_MAJOR >= 3
    if (alg == dnnl_eltwise_hardswish) {
        alpha = 1.0f / 6.0f;
        beta = 0.5f;
    }
    done = od.dnnl_eltwise_forward_primitive_desc_create(
        out, od.engine, dnnl_forward_inference, alg, m.md[0], m.md[0], alpha, beta, attr);
#else
    dnnl_eltwise_desc_t op;
    done = od.dnnl_eltwise_forward_desc_init(&op, dnnl_forward_inference, alg, m.md[0], alpha,
                                             beta);
    done = from_op_desc(done, &op, attr, out);
#endif
    mds_fini(&m);
    return od_status(done, "elementwise function");
}

he_status od_binary_pd(dnnl_alg_kind_t alg, const struct od_desc *a, const struct od_desc *b,
                       const struct od_desc *dst, dnnl_primitive_attr_t attr,
                       dnnl_primitive_desc_t *out)
{
    const struct od_desc *descs[] = {a, b, dst};
    struct md_list m;
    dnnl_status_t done;
    he_status status = mds_init(&m, descs, 3);

    *out = NULL;
    if (status != HE_OK)
        return status;
#if DNNL_VERSION_MAJOR >= 3
    done = od.dnnl_binary_primitive_desc_create(out, od.engine, alg, m.md[0], m.md[1], m.md[2],
                                                attr);
#else
    dnnl_binary_desc_t op;
    done = od.dnnl_binary_desc_init(&op, alg, m.md[0], m.md[1], m.md[2]);
    done = from_op_desc(done, &op, attr, out);
#endif
    mds_fini(&m);
    return od_status(done, "binary function");
}

he_status od_softmax_pd(bool is_log, const struct od_desc *data, int axis,
                        dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    dnnl_alg_kind_t alg = is_log ? dnnl_softmax_log : dnnl_softmax_accurate;
    struct md_list m;
    dnnl_status_t done;
    he_status status = mds_init(&m, &data, 1);

    *out = NULL;
    if (status != HE_OK)
        return status;
#if DNNL_VERSION_MAJOR >= 3
    done = od.dnnl_softmax_forward_primitive_desc_create(
        out, od.engine, dnnl_forward_inference, alg, m.md[0], m.md[0], axis, attr);
#else
    dnnl_softmax_v2_desc_t op;
    done = od.dnnl_softmax_v2_forward_desc_init(&op, dnnl_forward_inference, alg, m.md[0],
                                                m.md[0], axis);
    done = from_op_desc(done, &op, attr, out);
#endif
    mds_fini(&m);
    return od_status(done, "softmax");
}

he_status od_lrn_pd(const struct od_desc *data, int64_t size, float alpha, float beta, float bias,
                    dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    struct md_list m;
    dnnl_status_t done;
    he_status status = mds_init(&m, &data, 1);

    *out = NULL;
    if (status != HE_OK)
        return status;
#if DNNL_VERSION_MAJOR >= 3
    done = od.dnnl_lrn_forward_primitive_desc_create(
        out, od.engine, dnnl_forward_inference, dnnl_lrn_across_channels, m.md[0], m.md[0], size,
        alpha, beta, bias, attr);
#else
    dnnl_lrn_desc_t op;
    done = od.dnnl_lrn_forward_desc_init(&op, dnnl_forward_inference, dnnl_lrn_across_channels,
                                         m.md[0], size, alpha, beta, bias);
    done = from_op_desc(done, &op, attr, out);
#endif
    mds_fini(&m);
    return od_status(done, "local response normalisation");
}

he_status od_batch_norm_pd(const struct od_desc *data, float epsilon, bool has_relu,
                           dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    unsigned flags = dnnl_use_global_stats | dnnl_use_scale | dnnl_use_shift;
    struct md_list m;
    dnnl_status_t done;
    he_status status = mds_init(&m, &data, 1);

    *out = NULL;
    if (status != HE_OK)
        return status;
    if (has_relu)
        flags |= dnnl_fuse_norm_relu;
#if DNNL_VERSION_MAJOR >= 3
    done = od.dnnl_batch_normalization_forward_primitive_desc_create(
        out, od.engine, dnnl_forward_inference, m.md[0], m.md[0], epsilon, flags, attr);
#else
    dnnl_batch_normalization_desc_t op;
    done = od.dnnl_batch_normalization_forward_desc_init(&op, dnnl_forward_inference, m.md[0],
                                                         epsilon, flags);
    done = from_op_desc(done, &op, attr, out);
#endif
    mds_fini(&m);
    return od_status(done, "batch normalisation");
}

he_status od_layer_norm_pd(const struct od_desc *data, float epsilon, bool has_shift,
                           dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    unsigned flags = dnnl_use_scale | (has_shift ? dnnl_use_shift : 0);
    struct md_list m;
    dnnl_status_t done;
    he_status status = mds_init(&m, &data, 1);

    *out = NULL;
    if (status != HE_OK)
        return status;
#if DNNL_VERSION_MAJOR >= 3
    done = od.dnnl_layer_normalization_forward_primitive_desc_create(
        out, od.engine, dnnl_forward_inference, m.md[0], m.md[0], NULL, epsilon, flags, attr);
#else
    dnnl_layer_normalization_desc_t op;
    done = od.dnnl_layer_normalization_forward_desc_init(&op, dnnl_forward_inference, m.md[0],
                                                         NULL, epsilon, flags);
    done = from_op_desc(done, &op, attr, out);
#endif
    mds_fini(&m);
    return od_status(done, "layer normalisation");
}

he_status od_resample_pd(dnnl_alg_kind_t alg, const struct od_desc *src, const struct od_desc *dst,
                         dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    const struct od_desc *descs[] = {src, dst};
    struct md_list m;
    dnnl_status_t done;
    he_status status = mds_init(&m, descs, 2);

    *out = NULL;
    if (status != HE_OK)
        return status;
#if DNNL_VERSION_MAJOR >= 3
    done = od.dnnl_resampling_forward_primitive_desc_create(
        out, od.engine, dnnl_forward_inference, alg, NULL, m.md[0], m.md[1], attr);
#else
    dnnl_resampling_desc_t op;
    done = od.dnnl_resampling_forward_desc_init(&op, dnnl_forward_inference, alg, NULL, m.md[0],
                                                m.md[1]);
    done = from_op_desc(done, &op, attr, out);
#endif
    mds_fini(&m);
    return od_status(done, "resampling");
}

he_status od_reorder_pd(od_md from, od_md to, dnnl_primitive_attr_t attr,
                        dnnl_primitive_desc_t *out)
{
    *out = NULL;
    return od_status(
        od.dnnl_reorder_primitive_desc_create(out, from, od.engine, to, od.engine, attr),
        "layout change");
}

/* --- Questions --- */

od_md od_arg_md(dnnl_primitive_desc_t pd, int arg)
{
    return od.dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, arg);
}

const char *od_impl_name(dnnl_primitive_desc_t pd)
{
    const char *name = "";

    if (od.dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name) !=
        dnnl_success)
        return "";
    return name;
}

bool od_is_usable(dnnl_primitive_desc_t pd)
{
    const char *name = od_impl_name(pd);
    dnnl_primitive_t primitive;

    if ((strstr(name, "ref") && !strstr(name, "gemm")) || strstr(name, "simple_nchw"))
        return false;
    /* Some descriptors promise what code generation then cannot do. The compiled
     * kernel stays in oneDNN's cache, so that the real creation is quick. */
    if (od.dnnl_primitive_create(&primitive, pd) != dnnl_success)
        return false;
    od.dnnl_primitive_destroy(primitive);
    return true;
}

he_status od_keep_usable(he_status status, dnnl_primitive_desc_t *pd)
{
    if (status == HE_ERR_UNSUPPORTED)
        return HE_OK;
    if (status == HE_OK && !od_is_usable(*pd)) {
        od.dnnl_primitive_desc_destroy(*pd);
        *pd = NULL;
    }
    return status;
}

#else /* !HE_HAVE_ONEDNN */

bool cpu_onednn_open(void)
{
    he_error_set(HE_ERR_UNSUPPORTED, "this build has no oneDNN");
    return false;
}

const char *cpu_onednn_version(void)
{
    return "";
}

he_status cpu_onednn_step(const struct cpu_compile *c, const struct he_task *task,
                          struct cpu_step **out)
{
    (void)c;
    (void)task;
    *out = NULL;
    return he_error_set(HE_ERR_UNSUPPORTED, "this build has no oneDNN");
}

#endif
