/* SPDX-License-Identifier: Apache-2.0 */
/* Where a model says it wants to run: device configurations, as of IR version 11. */
#include "reader.h"

he_status he_read_configuration(struct he_reader *reader, struct he_wire wire,
                                struct onnx_configuration *out)
{
    size_t counts[HE_WIRE_FIELD_MAX];
    he_status status = he_wire_count(&wire, counts);

    if (status != HE_OK)
        return status;
    out->name = "";
    out->devices = he_read_array(reader, counts[CONFIGURATION_DEVICE], sizeof *out->devices);
    if (!out->devices)
        return he_no_memory();
    for (;;) {
        struct he_wire_field field;

        status = he_wire_next(&wire, &field);
        if (status != HE_OK || field.number == 0)
            return status;
        if (field.number == CONFIGURATION_NAME)
            status = he_wire_string(&wire, &field, reader->arena, &out->name);
        else if (field.number == CONFIGURATION_DEVICE_COUNT)
            out->device_count = he_wire_int64(&field);
        else if (field.number == CONFIGURATION_DEVICE)
            status = he_wire_string(&wire, &field, reader->arena, &out->devices[out->name_count++]);
        if (status != HE_OK)
            return status;
    }
}

static he_status read_sharding(struct he_reader *reader, struct he_wire wire,
                               struct onnx_sharding *out)
{
    size_t counts[HE_WIRE_FIELD_MAX];
    int64_t *devices;
    he_status status = he_wire_count(&wire, counts);

    if (status != HE_OK)
        return status;
    *out = (struct onnx_sharding){ .tensor = "", .is_split = counts[SHARDING_DIMS] > 0 };
    devices = he_read_array(reader, counts[SHARDING_DEVICE], sizeof *devices);
    if (!devices)
        return he_no_memory();
    out->devices = devices;
    if (counts[SHARDING_DIMS] || counts[SHARDING_GROUPS]) {
        out->other = wire.at;
        out->other_bytes = (size_t)(wire.end - wire.at);
    }
    for (;;) {
        struct he_wire_field field;

        status = he_wire_next(&wire, &field);
        if (status != HE_OK || field.number == 0)
            return status;
        if (field.number == SHARDING_TENSOR)
            status = he_wire_string(&wire, &field, reader->arena, &out->tensor);
        else if (field.number == SHARDING_DEVICE)
            status = he_wire_numbers(&wire, &field, devices, sizeof *devices, &out->device_count);
        if (status != HE_OK)
            return status;
    }
}

he_status he_read_node_device(struct he_reader *reader, struct he_wire wire,
                              struct onnx_node_device *out)
{
    size_t counts[HE_WIRE_FIELD_MAX];
    he_status status = he_wire_count(&wire, counts);

    if (status != HE_OK)
        return status;
    out->configuration = "";
    out->stage = -1;
    out->shardings = he_read_array(reader, counts[NODE_DEVICE_SHARDING], sizeof *out->shardings);
    if (!out->shardings)
        return he_no_memory();
    for (;;) {
        struct he_wire_field field;

        status = he_wire_next(&wire, &field);
        if (status != HE_OK || field.number == 0)
            return status;
        if (field.number == NODE_DEVICE_CONFIGURATION_ID)
            status = he_wire_string(&wire, &field, reader->arena, &out->configuration);
        else if (field.number == NODE_DEVICE_STAGE)
            out->stage = he_wire_int32(&field);
        else if (field.number == NODE_DEVICE_SHARDING)
            status = read_sharding(reader, he_wire_enter(&wire, &field, &he_schema_sharding),
                                   &out->shardings[out->sharding_count++]);
        if (status != HE_OK)
            return status;
    }
}
