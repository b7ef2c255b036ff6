/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oneDNN as the cpu backend sees it: opened at run time, one way of asking for
 * a primitive whatever the library's major version. The C API of 2.x (operation
 * descriptors) and that of 3.x differ only inside onednn_api.c; everybody else
 * describes tensors with struct od_desc and asks for primitive descriptors here.
 *
 * Every function that asks for a primitive descriptor gives *out, to be freed with
 * od.dnnl_primitive_desc_destroy(), and returns HE_ERR_UNSUPPORTED when
 * oneDNN has no implementation, HE_ERR_NO_MEMORY, or HE_ERR_DEVICE.
 */
#ifndef CPU_ONEDNN_API_H
#define CPU_ONEDNN_API_H

#include <oneapi/dnnl/dnnl.h>

#include <heteroengine/types.h>

/* --- The library --- */

/* Functions of both versions. */
#define OD_SYMBOLS_COMMON(X)                                                                      \
    X(dnnl_version)                                                                               \
    X(dnnl_engine_create)                                                                         \
    X(dnnl_stream_create)                                                                         \
    X(dnnl_stream_destroy)                                                                        \
    X(dnnl_memory_create)                                                                         \
    X(dnnl_memory_destroy)                                                                        \
    X(dnnl_memory_set_data_handle)                                                                \
    X(dnnl_memory_desc_get_size)                                                                  \
    X(dnnl_memory_desc_equal)                                                                     \
    X(dnnl_primitive_attr_create)                                                                 \
    X(dnnl_primitive_attr_destroy)                                                                \
    X(dnnl_primitive_attr_set_post_ops)                                                           \
    X(dnnl_primitive_attr_set_scratchpad_mode)                                                    \
    X(dnnl_post_ops_create)                                                                       \
    X(dnnl_post_ops_destroy)                                                                      \
    X(dnnl_post_ops_append_eltwise)                                                               \
    X(dnnl_post_ops_append_sum)                                                                   \
    X(dnnl_post_ops_append_binary)                                                                \
    X(dnnl_primitive_desc_destroy)                                                                \
    X(dnnl_primitive_desc_query)                                                                  \
    X(dnnl_primitive_desc_query_md)                                                               \
    X(dnnl_primitive_create)                                                                      \
    X(dnnl_primitive_destroy)                                                                     \
    X(dnnl_primitive_execute)                                                                     \
    X(dnnl_reorder_primitive_desc_create)

#if DNNL_VERSION_MAJOR >= 3
#define OD_SYMBOLS(X)                                                                             \
    OD_SYMBOLS_COMMON(X)                                                                          \
    X(dnnl_primitive_desc_next_impl)                                                              \
    X(dnnl_memory_desc_create_with_strides)                                                       \
    X(dnnl_memory_desc_create_with_tag)                                                           \
    X(dnnl_memory_desc_destroy)                                                                   \
    X(dnnl_convolution_forward_primitive_desc_create)                                             \
    X(dnnl_deconvolution_forward_primitive_desc_create)                                           \
    X(dnnl_inner_product_forward_primitive_desc_create)                                           \
    X(dnnl_matmul_primitive_desc_create)                                                          \
    X(dnnl_pooling_forward_primitive_desc_create)                                                 \
    X(dnnl_eltwise_forward_primitive_desc_create)                                                 \
    X(dnnl_binary_primitive_desc_create)                                                          \
    X(dnnl_softmax_forward_primitive_desc_create)                                                 \
    X(dnnl_lrn_forward_primitive_desc_create)                                                     \
    X(dnnl_batch_normalization_forward_primitive_desc_create)                                     \
    X(dnnl_layer_normalization_forward_primitive_desc_create)                                     \
    X(dnnl_resampling_forward_primitive_desc_create)
#else
#define OD_SYMBOLS(X)                                                                             \
    OD_SYMBOLS_COMMON(X)                                                                          \
    X(dnnl_memory_desc_init_by_strides)                                                           \
    X(dnnl_memory_desc_init_by_tag)                                                               \
    X(dnnl_primitive_desc_create)                                                                 \
    X(dnnl_primitive_desc_iterator_create)                                                        \
    X(dnnl_primitive_desc_iterator_fetch)                                                         \
    X(dnnl_primitive_desc_iterator_next)                                                          \
    X(dnnl_primitive_desc_iterator_destroy)                                                       \
    X(dnnl_dilated_convolution_forward_desc_init)                                                 \
    X(dnnl_dilated_deconvolution_forward_desc_init)                                               \
    X(dnnl_inner_product_forward_desc_init)                                                       \
    X(dnnl_matmul_desc_init)                                                                      \
    X(dnnl_pooling_v2_forward_desc_init)                                                          \
    X(dnnl_eltwise_forward_desc_init)                                                             \
    X(dnnl_binary_desc_init)                                                                      \
    X(dnnl_softmax_v2_forward_desc_init)                                                          \
    X(dnnl_lrn_forward_desc_init)                                                                 \
    X(dnnl_batch_normalization_forward_desc_init)                                                 \
    X(dnnl_layer_normalization_forward_desc_init)                                                 \
    X(dnnl_resampling_forward_desc_init)
#endif

struct od_library {
#define OD_POINTER(name) __typeof__(&name) name;
    OD_SYMBOLS(OD_POINTER)
#undef OD_POINTER
    void (*omp_set_num_threads)(int); /* of the OpenMP runtime oneDNN uses; never NULL */
    dnnl_engine_t engine;             /* the CPU */
};
extern struct od_library od; /* valid once cpu_onednn_open() has said true */

/* HE_OK or the status a oneDNN failure means here, with a sentence naming @what. */
he_status od_status(dnnl_status_t status, const char *what);

/* --- Tensors --- */

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t od_md; /* borrowed */
#else
typedef const dnnl_memory_desc_t *od_md;
#endif

#define OD_MAX_RANK 8

struct od_desc {
    int rank; /* 0: absent (no bias) */
    bool is_any;  /* oneDNN picks the format */
    bool is_bf16; /* else float32 */
    int64_t dims[OD_MAX_RANK], strides[OD_MAX_RANK];
};

/* Row-major; a rank above OD_MAX_RANK gives rank 0. */
struct od_desc od_desc_plain(size_t rank, const int64_t *dims);
/* [N, C, spatial...] stored as N, spatial..., C. */
struct od_desc od_desc_channels_last(size_t rank, const int64_t *dims);
struct od_desc od_desc_any(struct od_desc desc);
struct od_desc od_desc_bf16(struct od_desc desc);

/* --- Attributes: what follows the primitive on each of its results --- */

enum od_post_kind { OD_POST_ELTWISE, OD_POST_BINARY, OD_POST_SUM };
struct od_post {
    enum od_post_kind kind;
    dnnl_alg_kind_t alg;
    float alpha, beta;
    struct od_desc operand; /* binary */
};
/* Gives *out (scratchpad from the caller), freed with od.dnnl_primitive_attr_destroy(). */
he_status od_attr(const struct od_post *posts, size_t count, dnnl_primitive_attr_t *out);

/* --- Primitive descriptors --- */

struct od_conv {
    bool is_transposed, is_winograd;
    bool is_gemm; /* an implementation by matrix products, or none */
    struct od_desc src, weights, bias, dst;
    dnnl_dims_t strides, dilates, pad_begin, pad_end; /* dilates: 0 is dense */
};
he_status od_conv_pd(const struct od_conv *conv, dnnl_primitive_attr_t attr,
                     dnnl_primitive_desc_t *out);

struct od_product {
    bool is_inner_product; /* weights [N, K], else [..., K, N] */
    struct od_desc src, weights, bias, dst;
};
he_status od_product_pd(const struct od_product *product, dnnl_primitive_attr_t attr,
                        dnnl_primitive_desc_t *out);

struct od_pool {
    dnnl_alg_kind_t alg;
    struct od_desc src, dst;
    dnnl_dims_t kernel, strides, dilates, pad_begin, pad_end;
};
he_status od_pool_pd(const struct od_pool *pool, dnnl_primitive_attr_t attr,
                     dnnl_primitive_desc_t *out);

he_status od_eltwise_pd(dnnl_alg_kind_t alg, float alpha, float beta, const struct od_desc *data,
                        dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out);
he_status od_binary_pd(dnnl_alg_kind_t alg, const struct od_desc *a, const struct od_desc *b,
                       const struct od_desc *dst, dnnl_primitive_attr_t attr,
                       dnnl_primitive_desc_t *out);
he_status od_softmax_pd(bool is_log, const struct od_desc *data, int axis,
                        dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out);
he_status od_lrn_pd(const struct od_desc *data, int64_t size, float alpha, float beta, float bias,
                    dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out);
/* With global statistics, a scale and a shift; optionally a Relu behind it. */
he_status od_batch_norm_pd(const struct od_desc *data, float epsilon, bool has_relu,
                           dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out);
/* Over the last dimension, with a scale and perhaps a shift. */
he_status od_layer_norm_pd(const struct od_desc *data, float epsilon, bool has_shift,
                           dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out);
he_status od_resample_pd(dnnl_alg_kind_t alg, const struct od_desc *src, const struct od_desc *dst,
                         dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out);
/* From one memory descriptor to another; either may come from a primitive. */
he_status od_reorder_pd(od_md from, od_md to, dnnl_primitive_attr_t attr,
                        dnnl_primitive_desc_t *out);

/* A memory descriptor of our own, where one must outlive a call. */
struct od_own_md {
#if DNNL_VERSION_MAJOR >= 3
    dnnl_memory_desc_t md;
#else
    dnnl_memory_desc_t md;
    bool is_set;
#endif
};
he_status od_own_md_init(struct od_own_md *own, const struct od_desc *desc);
void od_own_md_fini(struct od_own_md *own);
od_md od_own_md_get(const struct od_own_md *own); /* NULL for an absent tensor */

/* --- Questions to a primitive descriptor --- */

/* The descriptor of execution argument DNNL_ARG_...; borrowed from @pd; NULL when it has none. */
od_md od_arg_md(dnnl_primitive_desc_t pd, int arg);
/* "jit:avx512_core", "ref:any"; borrowed from @pd. */
const char *od_impl_name(dnnl_primitive_desc_t pd);
/* False for oneDNN's plain-C++ fallbacks, which are slower than our own loops (fifty
 * times, for plain pools), and for what cannot be created after all. */
bool od_is_usable(dnnl_primitive_desc_t pd);
/* After asking for @pd with result @status: turns "unsupported" and an unusable
 * descriptor into HE_OK with *pd NULL; passes other failures on. */
he_status od_keep_usable(he_status status, dnnl_primitive_desc_t *pd);

#endif
