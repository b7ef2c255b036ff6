/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the reader share; nobody else includes this. */
#ifndef HE_MODEL_READER_H
#define HE_MODEL_READER_H

#include "model.h"
#include "schema.h"

/* Graphs inside attributes of nodes of graphs...: nothing real goes past 5. */
#define HE_GRAPH_DEPTH_MAX 64

struct he_reader {
    struct he_arena *arena;
    struct he_model *model; /* NULL: a lone tensor */
    const char *folder;     /* where external data may lie; NULL: nowhere */
    unsigned graph_depth;
    /* External files mapped so far; name i is model->files[first_external + i]. */
    const char **external_names;
    size_t external_count, external_capacity;
};

/* Each reads one message, to the end of the cursor, into zeroed memory. */
he_status he_read_graph(struct he_reader *reader, struct he_wire wire,
                        struct onnx_graph *out) HE_MUST_CHECK;
he_status he_read_node(struct he_reader *reader, struct he_wire wire,
                       struct onnx_node *out) HE_MUST_CHECK;
he_status he_read_attr(struct he_reader *reader, struct he_wire wire,
                       struct onnx_attr *out) HE_MUST_CHECK;
he_status he_read_tensor(struct he_reader *reader, struct he_wire wire,
                         struct onnx_tensor *out) HE_MUST_CHECK;
he_status he_read_value(struct he_reader *reader, struct he_wire wire,
                        struct onnx_value_info *out) HE_MUST_CHECK;
he_status he_read_function(struct he_reader *reader, struct he_wire wire,
                           struct onnx_function *out) HE_MUST_CHECK;
he_status he_read_opset(struct he_reader *reader, struct he_wire wire,
                        struct onnx_opset *out) HE_MUST_CHECK;
he_status he_read_entry(struct he_reader *reader, struct he_wire wire,
                        struct onnx_property *out) HE_MUST_CHECK;

he_status he_read_configuration(struct he_reader *reader, struct he_wire wire,
                                struct onnx_configuration *out) HE_MUST_CHECK;
he_status he_read_node_device(struct he_reader *reader, struct he_wire wire,
                              struct onnx_node_device *out) HE_MUST_CHECK;

/* A domain as the field says it, with "ai.onnx" turned into "". */
he_status he_read_domain(struct he_reader *reader, const struct he_wire *wire,
                         const struct he_wire_field *field, const char **out) HE_MUST_CHECK;

/* Where a tensor says its data is; @needed is what its shape asks for. Sets *out
 * to that place in a mapped file. */
struct he_external {
    const char *location; /* "" when not given */
    bool has_length;
    uint64_t offset, length;
};
he_status he_external_map(struct he_reader *reader, const struct he_external *where,
                          size_t needed, const void **out) HE_MUST_CHECK;

/* Zeroed array in the reader's arena: NULL only when memory is exhausted. */
void *he_read_array(struct he_reader *reader, size_t count, size_t size);

#endif
