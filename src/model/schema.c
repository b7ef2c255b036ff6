/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of onnx.proto (IR version 14), as tables for the wire cursor. */
#include "schema.h"

#include "core/size.h"

#define NUMBER HE_WIRE_VARINT
#define BYTES HE_WIRE_BYTES
#define MESSAGE(variable, text, table)                                                             \
    const struct he_wire_message variable = {                                                      \
        .name = text, .fields = table, .field_count = HE_COUNT(table)};                            \
    _Static_assert(HE_COUNT(table) <= HE_WIRE_FIELD_MAX, "counts of this message do not fit")

static const struct he_wire_known model_fields[] = {
    [MODEL_IR_VERSION] = {"ir_version", NUMBER},
    [MODEL_PRODUCER_NAME] = {"producer_name", BYTES},
    [MODEL_PRODUCER_VERSION] = {"producer_version", BYTES},
    [MODEL_DOMAIN] = {"domain", BYTES},
    [MODEL_MODEL_VERSION] = {"model_version", NUMBER},
    [MODEL_DOC] = {"doc_string", BYTES},
    [MODEL_GRAPH] = {"graph", BYTES},
    [MODEL_OPSET_IMPORT] = {"opset_import", BYTES},
    [MODEL_METADATA] = {"metadata_props", BYTES},
    [MODEL_FUNCTIONS] = {"functions", BYTES},
    [MODEL_CONFIGURATION] = {"configuration", BYTES},
};
MESSAGE(he_schema_model, "model", model_fields);

static const struct he_wire_known graph_fields[] = {
    [GRAPH_NODE] = {"node", BYTES},
    [GRAPH_NAME] = {"name", BYTES},
    [GRAPH_DOC] = {"doc_string", BYTES},
    [GRAPH_INITIALIZER] = {"initializer", BYTES},
    [GRAPH_INPUT] = {"input", BYTES},
    [GRAPH_OUTPUT] = {"output", BYTES},
    [GRAPH_VALUE_INFO] = {"value_info", BYTES},
    [GRAPH_SPARSE_INITIALIZER] = {"sparse_initializer", BYTES},
};
MESSAGE(he_schema_graph, "graph", graph_fields);

static const struct he_wire_known node_fields[] = {
    [NODE_INPUT] = {"input", BYTES},         [NODE_OUTPUT] = {"output", BYTES},
    [NODE_NAME] = {"name", BYTES},           [NODE_OP_TYPE] = {"op_type", BYTES},
    [NODE_ATTRIBUTE] = {"attribute", BYTES}, [NODE_DOMAIN] = {"domain", BYTES},
    [NODE_OVERLOAD] = {"overload", BYTES},
    [NODE_DOC] = {"doc_string", BYTES},
    [NODE_METADATA] = {"metadata_props", BYTES},
    [NODE_DEVICE_CONFIGURATION] = {"device_configurations", BYTES},
};
MESSAGE(he_schema_node, "node", node_fields);

static const struct he_wire_known attr_fields[] = {
    [ATTR_NAME] = {"name", BYTES},
    [ATTR_F] = {"f", HE_WIRE_FIXED32},
    [ATTR_I] = {"i", NUMBER},
    [ATTR_S] = {"s", BYTES},
    [ATTR_T] = {"t", BYTES},
    [ATTR_G] = {"g", BYTES},
    [ATTR_FLOATS] = {"floats", HE_WIRE_FIXED32, true},
    [ATTR_INTS] = {"ints", NUMBER, true},
    [ATTR_STRINGS] = {"strings", BYTES},
    [ATTR_TENSORS] = {"tensors", BYTES},
    [ATTR_GRAPHS] = {"graphs", BYTES},
    [ATTR_TP] = {"tp", BYTES},
    [ATTR_TYPE_PROTOS] = {"type_protos", BYTES},
    [ATTR_TYPE] = {"type", NUMBER},
    [ATTR_REF_NAME] = {"ref_attr_name", BYTES},
    [ATTR_SPARSE_TENSOR] = {"sparse_tensor", BYTES},
    [ATTR_SPARSE_TENSORS] = {"sparse_tensors", BYTES},
};
MESSAGE(he_schema_attr, "attribute", attr_fields);

static const struct he_wire_known tensor_fields[] = {
    [TENSOR_DIMS] = {"dims", NUMBER, true},
    [TENSOR_DATA_TYPE] = {"data_type", NUMBER},
    [TENSOR_SEGMENT] = {"segment", BYTES},
    [TENSOR_FLOAT_DATA] = {"float_data", HE_WIRE_FIXED32, true},
    [TENSOR_INT32_DATA] = {"int32_data", NUMBER, true},
    [TENSOR_STRING_DATA] = {"string_data", BYTES},
    [TENSOR_INT64_DATA] = {"int64_data", NUMBER, true},
    [TENSOR_NAME] = {"name", BYTES},
    [TENSOR_RAW_DATA] = {"raw_data", BYTES},
    [TENSOR_DOUBLE_DATA] = {"double_data", HE_WIRE_FIXED64, true},
    [TENSOR_UINT64_DATA] = {"uint64_data", NUMBER, true},
    [TENSOR_EXTERNAL_DATA] = {"external_data", BYTES},
    [TENSOR_DATA_LOCATION] = {"data_location", NUMBER},
};
MESSAGE(he_schema_tensor, "tensor", tensor_fields);

static const struct he_wire_known value_fields[] = {
    [VALUE_NAME] = {"name", BYTES},
    [VALUE_TYPE] = {"type", BYTES},
};
MESSAGE(he_schema_value, "value", value_fields);

static const struct he_wire_known type_fields[] = {
    [TYPE_TENSOR] = {"tensor_type", BYTES},
    [TYPE_SEQUENCE] = {"sequence_type", BYTES},
    [TYPE_MAP] = {"map_type", BYTES},
    [TYPE_OPAQUE] = {"opaque_type", BYTES},
    [TYPE_SPARSE_TENSOR] = {"sparse_tensor_type", BYTES},
    [TYPE_OPTIONAL] = {"optional_type", BYTES},
};
MESSAGE(he_schema_type, "type", type_fields);

static const struct he_wire_known tensor_type_fields[] = {
    [TENSOR_TYPE_ELEM] = {"elem_type", NUMBER},
    [TENSOR_TYPE_SHAPE] = {"shape", BYTES},
};
MESSAGE(he_schema_tensor_type, "tensor type", tensor_type_fields);

static const struct he_wire_known shape_fields[] = {
    [SHAPE_DIM] = {"dim", BYTES},
};
MESSAGE(he_schema_shape, "shape", shape_fields);

static const struct he_wire_known dim_fields[] = {
    [DIM_VALUE] = {"dim_value", NUMBER},
    [DIM_PARAM] = {"dim_param", BYTES},
};
MESSAGE(he_schema_dim, "dimension", dim_fields);

static const struct he_wire_known opset_fields[] = {
    [OPSET_DOMAIN] = {"domain", BYTES},
    [OPSET_VERSION] = {"version", NUMBER},
};
MESSAGE(he_schema_opset, "opset import", opset_fields);

static const struct he_wire_known function_fields[] = {
    [FUNCTION_NAME] = {"name", BYTES},
    [FUNCTION_INPUT] = {"input", BYTES},
    [FUNCTION_OUTPUT] = {"output", BYTES},
    [FUNCTION_ATTRIBUTE] = {"attribute", BYTES},
    [FUNCTION_NODE] = {"node", BYTES},
    [FUNCTION_OPSET_IMPORT] = {"opset_import", BYTES},
    [FUNCTION_DOMAIN] = {"domain", BYTES},
    [FUNCTION_ATTRIBUTE_PROTO] = {"attribute_proto", BYTES},
    [FUNCTION_OVERLOAD] = {"overload", BYTES},
};
MESSAGE(he_schema_function, "function", function_fields);

static const struct he_wire_known entry_fields[] = {
    [ENTRY_KEY] = {"key", BYTES},
    [ENTRY_VALUE] = {"value", BYTES},
};
MESSAGE(he_schema_entry, "key-value entry", entry_fields);

static const struct he_wire_known configuration_fields[] = {
    [CONFIGURATION_NAME] = {"name", BYTES},
    [CONFIGURATION_DEVICE_COUNT] = {"num_devices", NUMBER},
    [CONFIGURATION_DEVICE] = {"device", BYTES},
};
MESSAGE(he_schema_configuration, "device configuration", configuration_fields);

static const struct he_wire_known node_device_fields[] = {
    [NODE_DEVICE_CONFIGURATION_ID] = {"configuration_id", BYTES},
    [NODE_DEVICE_SHARDING] = {"sharding_spec", BYTES},
    [NODE_DEVICE_STAGE] = {"pipeline_stage", NUMBER},
};
MESSAGE(he_schema_node_device, "node device configuration", node_device_fields);

static const struct he_wire_known sharding_fields[] = {
    [SHARDING_TENSOR] = {"tensor_name", BYTES},
    [SHARDING_DEVICE] = {"device", NUMBER, true},
    [SHARDING_GROUPS] = {"index_to_device_group_map", BYTES},
    [SHARDING_DIMS] = {"sharded_dim", BYTES},
};
MESSAGE(he_schema_sharding, "sharding", sharding_fields);
