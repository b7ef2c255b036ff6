/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ONNX document, as it stands in the file: names, not indices. The reader
 * makes it from a mapped file without copying weights; the writer turns it back
 * into bytes; inlining replaces calls of local functions by their bodies. The
 * graph room makes he_graph from it.
 *
 * Everything lives in the model's arena or in the mapped files, both owned by
 * the model. Names are NUL-terminated copies.
 */
#ifndef HE_MODEL_MODEL_H
#define HE_MODEL_MODEL_H

#include <heteroengine/model.h>
#include <heteroengine/types.h>

#include "core/alloc.h"
#include "core/file.h"

#define HE_OPSET_MAX 28 /* newest opset of the default domain that is recognised */

struct onnx_graph;

struct onnx_tensor {
    const char *name;
    enum he_dtype dtype;
    struct he_shape shape; /* static */
    /* Dense little-endian contents, possibly unaligned: inside the mapped file
     * (raw_data, external data, packed float_data and double_data) or in the
     * arena (int32_data and its kin are converted while reading). NULL for
     * strings; see strings. Else a valid pointer even when there are no bytes. */
    const void *data;
    size_t data_bytes;
    const char *const *strings;
    size_t string_count;
};

struct onnx_attr {
    const char *name;
    int type; /* AttributeProto.type: 1 float, 2 int, 3 string, 4 tensor, 5 graph, 6 floats, 7 ints, 8 strings ... */
    const char *ref_attr_name; /* inside a function body: the caller's attribute, else NULL */
    size_t count;
    float f;
    int64_t i;
    const char *s;
    size_t s_bytes;
    const float *floats;
    const int64_t *ints;
    const char *const *strings;
    struct onnx_tensor *tensor;
    struct onnx_graph *graph;
    /* Types 9 to 14 (lists of tensors or graphs, sparse tensors, types): the
     * whole AttributeProto as it stands in the file, for the writer. */
    const void *other;
    size_t other_bytes;
};

struct onnx_property {
    const char *key, *value;
};

/* --- Placement, since IR version 11 --- */

/* Devices that the model was prepared for; nodes refer to it by name. */
struct onnx_configuration {
    const char *name;
    int64_t device_count;
    const char **devices; /* their names; may be fewer than device_count */
    size_t name_count;
};

/* Over which devices of a configuration a tensor of a node is spread. */
struct onnx_sharding {
    const char *tensor;
    const int64_t *devices; /* indices into the configuration */
    size_t device_count;
    bool is_split; /* in parts; else whole on each of them */
    /* The whole ShardingSpecProto as it stands in the file, for the writer; NULL when it says no
     * more than the fields above. */
    const void *other;
    size_t other_bytes;
};

struct onnx_node_device {
    const char *configuration;
    struct onnx_sharding *shardings;
    size_t sharding_count;
    int64_t stage; /* of a pipeline, -1: not said */
};

struct onnx_node {
    const char *name, *op_type, *domain, *overload, *doc;
    const char **inputs; /* "" is an omitted one */
    size_t input_count;
    const char **outputs;
    size_t output_count;
    struct onnx_attr *attrs;
    size_t attr_count;
    int opset; /* set by inlining for nodes of functions; 0 = the model's import */
    struct onnx_property *metadata;
    size_t metadata_count;
    struct onnx_node_device *node_devices; /* one per configuration */
    size_t node_device_count;
};

/* A dimension of a value: a number, a parameter name, or neither. */
struct onnx_dim {
    int64_t value;     /* -1 when not a number */
    const char *param; /* "" when none */
};

struct onnx_value_info {
    const char *name;
    enum he_dtype dtype;
    bool has_shape, is_opaque; /* opaque: sequence, map, optional, sparse */
    size_t dim_count;
    struct onnx_dim *dims;
    /* Opaque: the TypeProto as it stands in the file, for the writer. */
    const void *type;
    size_t type_bytes;
};

struct onnx_graph {
    const char *name, *doc;
    struct onnx_node *nodes;
    size_t node_count;
    struct onnx_tensor *initializers;
    size_t initializer_count;
    struct onnx_value_info *inputs, *outputs, *value_infos;
    size_t input_count, output_count, value_info_count;
};

struct onnx_opset {
    const char *domain; /* "" for "ai.onnx" too */
    int64_t version;
};

struct onnx_function {
    const char *name, *domain, *overload;
    const char **inputs, **outputs, **attr_names; /* attr_names: without default */
    size_t input_count, output_count, attr_name_count;
    struct onnx_attr *attr_defaults;
    size_t attr_default_count;
    struct onnx_node *nodes;
    size_t node_count;
    struct onnx_opset *opsets;
    size_t opset_count;
};

struct he_model {
    struct he_arena arena;
    const char *path; /* "" when read from memory */
    int64_t ir_version;
    const char *producer_name, *producer_version, *domain, *doc;
    int64_t model_version;
    struct onnx_opset *opsets;
    size_t opset_count;
    struct onnx_graph graph;
    struct onnx_function *functions;
    size_t function_count;
    struct onnx_property *metadata;
    size_t metadata_count;
    struct onnx_configuration *configurations;
    size_t configuration_count;
    /* Indices of the graph's inputs that no initializer feeds (before IR 4 every
     * initializer is listed as an input too); set by the reader. */
    const uint32_t *fed_inputs;
    size_t fed_input_count;
    struct he_file *files; /* mapped: the model itself, then external data */
    size_t file_count;
};

/* he_model_load() and he_model_destroy() are public: heteroengine/model.h. */

/* Parses @size bytes at @data, which must outlive the model. @folder is where
 * external data is looked for (NULL: refuse it; it may not leave the folder). */
he_status he_model_parse(const void *data, size_t size, const char *folder,
                         const struct he_allocator *alloc, struct he_model **out) HE_MUST_CHECK;
/* Replaces every call of a local function by its body, names made unique. The
 * reader has done it already on what he_model_load() gives. */
he_status he_model_inline(struct he_model *model) HE_MUST_CHECK;
/* Version the model imports of @domain; 0 when it does not. */
int64_t he_model_opset(const struct he_model *model, const char *domain);

/* A lone TensorProto (test data). The tensor borrows @data where it can. */
he_status he_tensor_parse(const void *data, size_t size, struct he_arena *arena,
                          struct onnx_tensor *out) HE_MUST_CHECK;

/* The writer: the bytes of a ModelProto or TensorProto, appended to *@out. Reading them back
 * gives the same document. */
struct he_text;
he_status he_model_write(const struct he_model *model, struct he_text *out) HE_MUST_CHECK;
he_status he_tensor_write(const struct onnx_tensor *tensor, struct he_text *out) HE_MUST_CHECK;

#endif
