/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of onnx.proto we read and write: field numbers, and the table of
 * each message for the wire cursor. Fields that are left out (doc strings of
 * values, training, annotations) are skipped like any unknown field.
 */
#ifndef HE_MODEL_SCHEMA_H
#define HE_MODEL_SCHEMA_H

#include "wire.h"

enum {
    MODEL_IR_VERSION = 1,
    MODEL_PRODUCER_NAME = 2,
    MODEL_PRODUCER_VERSION = 3,
    MODEL_DOMAIN = 4,
    MODEL_MODEL_VERSION = 5,
    MODEL_DOC = 6,
    MODEL_GRAPH = 7,
    MODEL_OPSET_IMPORT = 8,
    MODEL_METADATA = 14,
    MODEL_FUNCTIONS = 25,
    MODEL_CONFIGURATION = 26,

    GRAPH_NODE = 1,
    GRAPH_NAME = 2,
    GRAPH_INITIALIZER = 5,
    GRAPH_DOC = 10,
    GRAPH_INPUT = 11,
    GRAPH_OUTPUT = 12,
    GRAPH_VALUE_INFO = 13,
    GRAPH_SPARSE_INITIALIZER = 15,

    NODE_INPUT = 1,
    NODE_OUTPUT = 2,
    NODE_NAME = 3,
    NODE_OP_TYPE = 4,
    NODE_ATTRIBUTE = 5,
    NODE_DOC = 6,
    NODE_DOMAIN = 7,
    NODE_OVERLOAD = 8,
    NODE_METADATA = 9,
    NODE_DEVICE_CONFIGURATION = 10,

    CONFIGURATION_NAME = 1,
    CONFIGURATION_DEVICE_COUNT = 2,
    CONFIGURATION_DEVICE = 3,

    NODE_DEVICE_CONFIGURATION_ID = 1,
    NODE_DEVICE_SHARDING = 2,
    NODE_DEVICE_STAGE = 3,

    SHARDING_TENSOR = 1,
    SHARDING_DEVICE = 2,
    SHARDING_GROUPS = 3,
    SHARDING_DIMS = 4,

    ATTR_NAME = 1,
    ATTR_F = 2,
    ATTR_I = 3,
    ATTR_S = 4,
    ATTR_T = 5,
    ATTR_G = 6,
    ATTR_FLOATS = 7,
    ATTR_INTS = 8,
    ATTR_STRINGS = 9,
    ATTR_TENSORS = 10,
    ATTR_GRAPHS = 11,
    ATTR_TP = 14,
    ATTR_TYPE_PROTOS = 15,
    ATTR_TYPE = 20,
    ATTR_REF_NAME = 21,
    ATTR_SPARSE_TENSOR = 22,
    ATTR_SPARSE_TENSORS = 23,

    TENSOR_DIMS = 1,
    TENSOR_DATA_TYPE = 2,
    TENSOR_SEGMENT = 3,
    TENSOR_FLOAT_DATA = 4,
    TENSOR_INT32_DATA = 5,
    TENSOR_STRING_DATA = 6,
    TENSOR_INT64_DATA = 7,
    TENSOR_NAME = 8,
    TENSOR_RAW_DATA = 9,
    TENSOR_DOUBLE_DATA = 10,
    TENSOR_UINT64_DATA = 11,
    TENSOR_EXTERNAL_DATA = 13,
    TENSOR_DATA_LOCATION = 14,

    VALUE_NAME = 1,
    VALUE_TYPE = 2,

    TYPE_TENSOR = 1,
    TYPE_SEQUENCE = 4,
    TYPE_MAP = 5,
    TYPE_OPAQUE = 7,
    TYPE_SPARSE_TENSOR = 8,
    TYPE_OPTIONAL = 9,

    TENSOR_TYPE_ELEM = 1,
    TENSOR_TYPE_SHAPE = 2,

    SHAPE_DIM = 1,

    DIM_VALUE = 1,
    DIM_PARAM = 2,

    OPSET_DOMAIN = 1,
    OPSET_VERSION = 2,

    FUNCTION_NAME = 1,
    FUNCTION_INPUT = 4,
    FUNCTION_OUTPUT = 5,
    FUNCTION_ATTRIBUTE = 6,
    FUNCTION_NODE = 7,
    FUNCTION_OPSET_IMPORT = 9,
    FUNCTION_DOMAIN = 10,
    FUNCTION_ATTRIBUTE_PROTO = 11,
    FUNCTION_OVERLOAD = 13,

    ENTRY_KEY = 1,
    ENTRY_VALUE = 2,
};

/* AttributeProto.type. */
enum {
    ATTR_TYPE_UNDEFINED = 0,
    ATTR_TYPE_FLOAT = 1,
    ATTR_TYPE_INT = 2,
    ATTR_TYPE_STRING = 3,
    ATTR_TYPE_TENSOR = 4,
    ATTR_TYPE_GRAPH = 5,
    ATTR_TYPE_FLOATS = 6,
    ATTR_TYPE_INTS = 7,
    ATTR_TYPE_STRINGS = 8,
    ATTR_TYPE_TENSORS = 9,
    ATTR_TYPE_GRAPHS = 10,
    ATTR_TYPE_SPARSE_TENSOR = 11,
    ATTR_TYPE_SPARSE_TENSORS = 12,
    ATTR_TYPE_TYPE_PROTO = 13,
    ATTR_TYPE_TYPE_PROTOS = 14,
};

extern const struct he_wire_message he_schema_model, he_schema_graph, he_schema_node,
    he_schema_attr, he_schema_tensor, he_schema_value, he_schema_type, he_schema_tensor_type,
    he_schema_shape, he_schema_dim, he_schema_opset, he_schema_function, he_schema_entry, he_schema_configuration, he_schema_node_device,
    he_schema_sharding;

#endif
