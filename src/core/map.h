/* SPDX-License-Identifier: Apache-2.0 */
/* A hash map from strings to uint32_t, in an arena. Keys are borrowed, never
 * removed. Open addressing, FNV-1a. */
#ifndef HE_CORE_MAP_H
#define HE_CORE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc.h"

struct he_map_entry;
struct he_map {
    struct he_arena *arena;
    struct he_map_entry *entries;
    size_t capacity, count;
};

void he_map_init(struct he_map *map, struct he_arena *arena);
/* Replaces what was there. */
he_status he_map_put(struct he_map *map, const char *key, uint32_t value) HE_MUST_CHECK;
bool he_map_get(const struct he_map *map, const char *key, uint32_t *out);
uint64_t he_hash_bytes(uint64_t seed, const void *data, size_t size);
#define HE_HASH_SEED 0xcbf29ce484222325ull

#endif
