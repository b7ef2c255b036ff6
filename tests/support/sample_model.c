/* SPDX-License-Identifier: Apache-2.0 */
#include "sample_model.h"

#include "core/size.h"

#define NAMES(...) ((const char *[]){ __VA_ARGS__ })
#define DIMS(...) ((struct onnx_dim[]){ __VA_ARGS__ })

/* sequence(tensor(float)), as a TypeProto. */
static const char sequence_type[] = "\x22\x06\x0a\x04\x0a\x02\x08\x01";
/* AttributeProto { name: "elem" tp { tensor_type { elem_type: 1 } } type: TYPE_PROTO } */
static const char type_attr[] = "\x0a\x04" "elem" "\x72\x04\x0a\x02\x08\x01\xa0\x01\x0d";

static const float weights[6] = { 1, -2, 3.5f, 0, 1e30f, -0.0f };
static const int64_t far_numbers[3] = { INT64_MIN, 0, INT64_MAX };
static const uint8_t nibbles[2] = { 0x21, 0x03 };
static const uint16_t halves[2] = { 0x3f80, 0xc000 };

static struct onnx_tensor initializers[] = {
    { .name = "w", .dtype = HE_FLOAT32, .shape = { 2, { 2, 3 } }, .data = weights,
      .data_bytes = sizeof weights },
    { .name = "n", .dtype = HE_INT64, .shape = { 1, { 3 } }, .data = far_numbers,
      .data_bytes = sizeof far_numbers },
    { .name = "words", .dtype = HE_STRING, .shape = { 1, { 2 } },
      .strings = NAMES("one", ""), .string_count = 2 },
    { .name = "q", .dtype = HE_INT4, .shape = { 1, { 3 } }, .data = nibbles,
      .data_bytes = sizeof nibbles },
    { .name = "h", .dtype = HE_BFLOAT16, .shape = { 1, { 2 } }, .data = halves,
      .data_bytes = sizeof halves },
    { .name = "scalar", .dtype = HE_BOOL, .shape = { 0 }, .data = "\x01", .data_bytes = 1 },
    { .name = "nothing", .dtype = HE_FLOAT64, .shape = { 2, { 0, 4 } }, .data = "" },
};

static struct onnx_node then_nodes[] = {
    { .op_type = "Relu", .inputs = NAMES("x"), .input_count = 1, .outputs = NAMES("t"),
      .output_count = 1 },
};
static struct onnx_node else_nodes[] = {
    { .op_type = "Scale", .domain = "com.example", .inputs = NAMES("x"), .input_count = 1,
      .outputs = NAMES("t"), .output_count = 1 },
};
static struct onnx_value_info branch_outputs[] = { { .name = "t" } };
static struct onnx_graph then_graph = { .name = "then", .nodes = then_nodes, .node_count = 1,
                                        .outputs = branch_outputs, .output_count = 1 };
static struct onnx_graph else_graph = { .name = "else", .nodes = else_nodes, .node_count = 1,
                                        .outputs = branch_outputs, .output_count = 1 };

static struct onnx_attr if_attrs[] = {
    { .name = "then_branch", .type = 5, .graph = &then_graph },
    { .name = "else_branch", .type = 5, .graph = &else_graph },
};
static struct onnx_attr every_attr[] = {
    { .name = "a_float", .type = 1, .f = 0.1f },
    { .name = "an_int", .type = 2, .i = -1 },
    { .name = "a_string", .type = 3, .s = "a\0b", .s_bytes = 3 },
    { .name = "a_tensor", .type = 4, .tensor = &initializers[0] },
    { .name = "floats", .type = 6, .floats = weights, .count = 6 },
    { .name = "ints", .type = 7, .ints = far_numbers, .count = 3 },
    { .name = "strings", .type = 8, .strings = NAMES("", "two"), .count = 2 },
    { .name = "no_ints", .type = 7 },
    { .name = "elem", .type = 13, .other = type_attr, .other_bytes = sizeof type_attr - 1 },
};

/* ShardingSpecProto { tensor_name: "y" device: [0, 1] sharded_dim { axis: 1
 * simple_sharding { num_shards: 2 } } } */
static const char split[] = "\x0a\x01y\x12\x02\x00\x01\x22\x06\x08\x01\x12\x02\x18\x02";
static const int64_t devices[2] = { 0, 1 };
static struct onnx_sharding shardings[] = {
    { .tensor = "c", .devices = devices + 1, .device_count = 1 },
    { .tensor = "y", .devices = devices, .device_count = 2, .is_split = true, .other = split,
      .other_bytes = sizeof split - 1 },
};
static struct onnx_node_device node_devices[] = {
    { .configuration = "pair", .shardings = shardings, .sharding_count = 2, .stage = 3 },
    { .configuration = "", .stage = -1 },
};
static struct onnx_configuration configurations[] = {
    { .name = "pair", .device_count = 2, .devices = NAMES("CPU:0", "GPU:0"), .name_count = 2 },
};

static struct onnx_node nodes[] = {
    { .name = "choice", .doc = "A choice.", .node_devices = node_devices, .node_device_count = 2,
      .metadata = (struct onnx_property[]){ { "layer_ann", "head" } }, .metadata_count = 1,
      .op_type = "If", .inputs = NAMES("scalar"), .input_count = 1,
      .outputs = NAMES("c"), .output_count = 1, .attrs = if_attrs,
      .attr_count = HE_COUNT(if_attrs) },
    { .name = "all", .op_type = "Everything", .domain = "com.example", .overload = "two",
      .inputs = NAMES("c", "", "w"), .input_count = 3, .outputs = NAMES("y", ""),
      .output_count = 2, .attrs = every_attr, .attr_count = HE_COUNT(every_attr) },
};

static struct onnx_attr scale_attrs[] = { { .name = "alpha", .type = 1, .ref_attr_name = "by" } };
static struct onnx_attr scale_defaults[] = { { .name = "by", .type = 1, .f = 2 } };
static struct onnx_node scale_nodes[] = {
    { .op_type = "LeakyRelu", .inputs = NAMES("a"), .input_count = 1, .outputs = NAMES("b"),
      .output_count = 1, .attrs = scale_attrs, .attr_count = 1 },
};
static struct onnx_function functions[] = {
    { .name = "Scale", .domain = "com.example", .inputs = NAMES("a"), .input_count = 1,
      .outputs = NAMES("b"), .output_count = 1, .attr_names = NAMES("unused"),
      .attr_name_count = 1, .attr_defaults = scale_defaults, .attr_default_count = 1,
      .nodes = scale_nodes, .node_count = 1,
      .opsets = (struct onnx_opset[]){ { "", 17 } }, .opset_count = 1 },
};

static struct onnx_value_info inputs[] = {
    { .name = "x", .dtype = HE_FLOAT32, .has_shape = true, .dim_count = 3,
      .dims = DIMS({ -1, "batch" }, { 3, "" }, { -1, "" }) },
    { .name = "w", .dtype = HE_FLOAT32, .has_shape = true, .dim_count = 2,
      .dims = DIMS({ 2, "" }, { 3, "" }) },
    { .name = "list", .is_opaque = true, .type = sequence_type,
      .type_bytes = sizeof sequence_type - 1 },
};
static struct onnx_value_info outputs[] = { { .name = "y", .dtype = HE_FLOAT16 } };
static struct onnx_value_info value_infos[] = {
    { .name = "c", .dtype = HE_FLOAT32, .has_shape = true, .dim_count = 0 },
};

static const struct he_model sample = {
    .ir_version = 11,
    .producer_name = "sample",
    .producer_version = "1",
    .domain = "com.example.models",
    .doc = "One of everything.",
    .model_version = 7,
    .opsets = (struct onnx_opset[]){ { "", 17 }, { "com.example", 1 } },
    .opset_count = 2,
    .configurations = configurations,
    .configuration_count = HE_COUNT(configurations),
    .graph = { .name = "main", .doc = "The whole.", .nodes = nodes, .node_count = HE_COUNT(nodes),
               .initializers = initializers, .initializer_count = HE_COUNT(initializers),
               .inputs = inputs, .input_count = HE_COUNT(inputs), .outputs = outputs,
               .output_count = HE_COUNT(outputs), .value_infos = value_infos,
               .value_info_count = HE_COUNT(value_infos) },
    .functions = functions,
    .function_count = HE_COUNT(functions),
    .metadata = (struct onnx_property[]){ { "key", "value" } },
    .metadata_count = 1,
};

const struct he_model *sample_model(void)
{
    return &sample;
}
