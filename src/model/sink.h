/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the writer puts bytes. A message stands behind its length, so each is
 * gone through twice: once into a sink that only counts, once for real.
 */
#ifndef HE_MODEL_SINK_H
#define HE_MODEL_SINK_H

#include "core/text.h"
#include "wire.h"

struct he_sink {
    struct he_text *text; /* NULL: count only */
    size_t size;
};

typedef void (*he_write_fn)(struct he_sink *sink, const void *message);

void he_put_bytes(struct he_sink *sink, const void *data, size_t size);
void he_put_varint(struct he_sink *sink, uint64_t value);
void he_put_tag(struct he_sink *sink, uint32_t number, enum he_wire_type type);
void he_put_int(struct he_sink *sink, uint32_t number, int64_t value);
void he_put_fixed32(struct he_sink *sink, float value);
void he_put_data(struct he_sink *sink, uint32_t number, const void *data, size_t size);
void he_put_string(struct he_sink *sink, uint32_t number, const char *text);
/* Nothing at all for "", which is what a missing field reads as. */
void he_put_name(struct he_sink *sink, uint32_t number, const char *text);
void he_put_strings(struct he_sink *sink, uint32_t number, const char *const *texts, size_t count);
void he_put_message(struct he_sink *sink, uint32_t number, he_write_fn write, const void *message);
/* @count messages of @size bytes each. */
void he_put_messages(struct he_sink *sink, uint32_t number, he_write_fn write,
                     const void *messages, size_t count, size_t size);

#endif
