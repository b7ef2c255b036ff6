/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing; capacity is a power of two, at most half full. */
#include <string.h>

#include "map.h"

struct he_map_entry {
    const char *key; /* NULL: free */
    uint64_t hash;
    uint32_t value;
};

uint64_t he_hash_bytes(uint64_t seed, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t hash = seed;

    for (size_t k = 0; k < size; k++)
        hash = (hash ^ bytes[k]) * 0x100000001b3ull;
    return hash;
}

void he_map_init(struct he_map *map, struct he_arena *arena)
{
    *map = (struct he_map){ .arena = arena };
}

static struct he_map_entry *find(const struct he_map *map, const char *key, uint64_t hash)
{
    size_t k = hash & (map->capacity - 1);

    while (map->entries[k].key &&
           (map->entries[k].hash != hash || strcmp(map->entries[k].key, key) != 0))
        k = (k + 1) & (map->capacity - 1);
    return &map->entries[k];
}

static he_status grow(struct he_map *map)
{
    struct he_map_entry *old = map->entries;
    size_t old_capacity = map->capacity;
    struct he_map_entry *entries;

    entries = he_arena_alloc(map->arena, old_capacity ? old_capacity * 2 : 16, sizeof *entries);
    if (!entries)
        return he_no_memory();
    map->entries = entries;
    map->capacity = old_capacity ? old_capacity * 2 : 16;
    for (size_t k = 0; k < old_capacity; k++) {
        if (old[k].key)
            *find(map, old[k].key, old[k].hash) = old[k];
    }
    return HE_OK;
}

he_status he_map_put(struct he_map *map, const char *key, uint32_t value)
{
    uint64_t hash = he_hash_bytes(HE_HASH_SEED, key, strlen(key));
    struct he_map_entry *entry;
    he_status status;

    if ((map->count + 1) * 2 > map->capacity) {
        status = grow(map);
        if (status != HE_OK)
            return status;
    }
    entry = find(map, key, hash);
    if (!entry->key)
        map->count++;
    *entry = (struct he_map_entry){ key, hash, value };
    return HE_OK;
}

bool he_map_get(const struct he_map *map, const char *key, uint32_t *out)
{
    const struct he_map_entry *entry;

    if (!map->capacity)
        return false;
    entry = find(map, key, he_hash_bytes(HE_HASH_SEED, key, strlen(key)));
    if (!entry->key)
        return false;
    *out = entry->value;
    return true;
}
