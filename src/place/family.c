/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of blocks closed towards the start (ideals, or down-sets, of the order): the
 * points where a pipeline can be cut. Those of one order are a chain; all of them are found
 * layer by layer, each once, through a hash table of the layer being made.
 */
#include <string.h>

#include "core/size.h"
#include "stages.h"

static inline bool holds(const uint64_t *bits, uint32_t block)
{
    return bits[block / 64] >> (block % 64) & 1;
}

he_status he_family_of_order(const struct he_stages *s, const uint32_t *order,
                             struct he_arena *arena, struct he_family *out)
{
    struct he_family f = { .count = s->count + 1, .words = s->count / 64 + 1 };

    f.bits = he_arena_alloc(arena, f.count, f.words * sizeof *f.bits);
    f.next_start = he_arena_alloc(arena, (size_t)f.count + 1, sizeof *f.next_start);
    f.next = he_arena_alloc(arena, s->count, sizeof *f.next);
    f.added = he_arena_copy(arena, order, s->count * sizeof *order);
    if (!f.bits || !f.next_start || !f.next || !f.added)
        return he_no_memory();
    for (uint32_t k = 0; k < s->count; k++) {
        uint64_t *after = f.bits + (size_t)(k + 1) * f.words;

        memcpy(after, after - f.words, f.words * sizeof *after);
        after[order[k] / 64] |= (uint64_t)1 << (order[k] % 64);
        f.next[k] = k + 1;
        f.next_start[k + 1] = k + 1;
    }
    f.next_start[f.count] = s->count;
    *out = f;
    return HE_OK;
}

/* Growing arrays of the heap while the number of sets is not known. */
struct growth {
    struct he_allocator alloc;
    uint64_t *bits, *hash;      /* per set */
    uint32_t *next, *added;     /* steps */
    uint32_t *next_start;
    size_t bits_capacity, hash_capacity, next_capacity, added_capacity, start_capacity;
    uint32_t set_count, words;
    size_t step_count;
    uint32_t *table;            /* hash -> set + 1, of the layer being made */
    size_t table_size;          /* a power of two */
    uint64_t *key;              /* per block, for the hash */
};

static he_status add_set(struct growth *g, const uint64_t *bits, uint64_t hash, uint32_t *out)
{
    he_status status =
        he_alloc_grow(&g->alloc, (void **)&g->bits, &g->bits_capacity,
                      (size_t)g->set_count * g->words, ((size_t)g->set_count + 1) * g->words,
                      sizeof *g->bits);

    if (status == HE_OK)
        status = he_alloc_grow(&g->alloc, (void **)&g->hash, &g->hash_capacity, g->set_count,
                               (size_t)g->set_count + 1, sizeof *g->hash);
    if (status == HE_OK)
        status = he_alloc_grow(&g->alloc, (void **)&g->next_start, &g->start_capacity,
                               g->set_count, (size_t)g->set_count + 2, sizeof *g->next_start);
    if (status != HE_OK)
        return status;
    memcpy(g->bits + (size_t)g->set_count * g->words, bits, g->words * sizeof *bits);
    g->hash[g->set_count] = hash;
    *out = g->set_count++;
    return HE_OK;
}

static he_status add_step(struct growth *g, uint32_t to, uint32_t block)
{
    he_status status = he_alloc_grow(&g->alloc, (void **)&g->next, &g->next_capacity,
                                     g->step_count, g->step_count + 1, sizeof *g->next);

    if (status == HE_OK)
        status = he_alloc_grow(&g->alloc, (void **)&g->added, &g->added_capacity, g->step_count,
                               g->step_count + 1, sizeof *g->added);
    if (status != HE_OK)
        return status;
    g->next[g->step_count] = to;
    g->added[g->step_count++] = block;
    return HE_OK;
}

/* The set @bits of the layer that begins with set @layer, made if it is new. */
static he_status find_set(struct growth *g, const uint64_t *bits, uint64_t hash, uint32_t layer,
                          uint32_t *out)
{
    size_t at = hash & (g->table_size - 1);
    he_status status;

    for (; g->table[at]; at = (at + 1) & (g->table_size - 1)) {
        uint32_t set = g->table[at] - 1;

        /* Sets of earlier layers may still lie here: they are smaller, so never equal. */
        if (set >= layer && g->hash[set] == hash &&
            memcmp(g->bits + (size_t)set * g->words, bits, g->words * sizeof *bits) == 0) {
            *out = set;
            return HE_OK;
        }
    }
    status = add_set(g, bits, hash, out);
    if (status == HE_OK)
        g->table[at] = *out + 1;
    return status;
}

/* Every set with one block more than @set; @bits has room for one. */
static he_status extend(struct growth *g, const struct he_stages *s, const uint32_t *first_before,
                        const uint32_t *befores, uint32_t set, uint32_t layer, uint64_t *bits)
{
    he_status status = HE_OK;

    memcpy(bits, g->bits + (size_t)set * g->words, g->words * sizeof *bits);
    for (uint32_t b = 0; b < s->count && status == HE_OK; b++) {
        bool is_ready = !holds(bits, b);
        uint32_t to = 0;

        for (uint32_t k = first_before[b]; is_ready && k < first_before[b + 1]; k++)
            is_ready = holds(bits, befores[k]);
        if (!is_ready)
            continue;
        bits[b / 64] |= (uint64_t)1 << (b % 64);
        status = find_set(g, bits, g->hash[set] ^ g->key[b], layer, &to);
        bits[b / 64] &= ~((uint64_t)1 << (b % 64));
        if (status == HE_OK)
            status = add_step(g, to, b);
    }
    return status;
}

static he_status list_befores(const struct he_stages *s, uint32_t **first, uint32_t **befores,
                              struct he_arena *arena)
{
    uint32_t *fill = he_arena_alloc(arena, (size_t)s->count + 1, sizeof *fill);

    *first = he_arena_alloc(arena, (size_t)s->count + 1, sizeof **first);
    *befores = he_arena_alloc(arena, s->next_start[s->count], sizeof **befores);
    if (!fill || !*first || !*befores)
        return he_no_memory();
    for (uint32_t b = 0; b < s->count; b++)
        (*first)[b + 1] = (*first)[b] + s->before[b];
    memcpy(fill, *first, ((size_t)s->count + 1) * sizeof *fill);
    for (uint32_t b = 0; b < s->count; b++) {
        for (uint32_t k = s->next_start[b]; k < s->next_start[b + 1]; k++)
            (*befores)[fill[s->next[k]]++] = b;
    }
    return HE_OK;
}

static he_status grow(struct growth *g, const struct he_stages *s, uint32_t most,
                      struct he_arena *arena, bool *is_whole)
{
    uint64_t *bits = he_arena_alloc(arena, g->words, sizeof *bits);
    uint32_t *first_before, *befores, layer = 0, none;
    he_status status = list_befores(s, &first_before, &befores, arena);

    g->table_size = 1024;
    while (g->table_size < (size_t)most * 4)
        g->table_size *= 2;
    g->table = he_arena_alloc(arena, g->table_size, sizeof *g->table);
    g->key = he_arena_alloc(arena, s->count, sizeof *g->key);
    if (status == HE_OK && (!bits || !g->table || !g->key))
        status = he_no_memory();
    for (uint32_t b = 0; status == HE_OK && b < s->count; b++) {
        uint64_t z = (b + 1) * 0x9e3779b97f4a7c15u;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        g->key[b] = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    }
    if (status == HE_OK)
        status = add_set(g, bits, 0, &none);
    for (uint32_t size = 0; status == HE_OK && size < s->count; size++) {
        uint32_t end = g->set_count;

        for (uint32_t set = layer; status == HE_OK && set < end; set++) {
            g->next_start[set] = (uint32_t)g->step_count;
            status = extend(g, s, first_before, befores, set, end, bits);
            if (g->set_count > most || g->step_count > (size_t)most * 32) {
                *is_whole = false;
                return status;
            }
        }
        layer = end;
    }
    if (status == HE_OK)
        g->next_start[g->set_count - 1] = g->next_start[g->set_count] = (uint32_t)g->step_count;
    return status;
}

he_status he_family_of_all(const struct he_stages *s, uint32_t most, struct he_arena *arena,
                           struct he_family *out, bool *is_whole)
{
    struct growth g = { .alloc = arena->alloc, .words = s->count / 64 + 1 };
    struct he_arena scratch;
    he_status status;

    *out = (struct he_family){ 0 };
    *is_whole = true;
    he_arena_init(&scratch, &arena->alloc);
    status = grow(&g, s, most, &scratch, is_whole);
    if (status == HE_OK && *is_whole) {
        out->count = g.set_count;
        out->words = g.words;
        out->bits = he_arena_copy(arena, g.bits, (size_t)g.set_count * g.words * sizeof *g.bits);
        out->next_start =
            he_arena_copy(arena, g.next_start, ((size_t)g.set_count + 1) * sizeof *g.next_start);
        out->next = he_arena_copy(arena, g.next, g.step_count * sizeof *g.next);
        out->added = he_arena_copy(arena, g.added, g.step_count * sizeof *g.added);
        if (!out->bits || !out->next_start || !out->next || !out->added)
            status = he_no_memory();
    }
    he_free(&g.alloc, g.bits);
    he_free(&g.alloc, g.hash);
    he_free(&g.alloc, g.next);
    he_free(&g.alloc, g.added);
    he_free(&g.alloc, g.next_start);
    he_arena_fini(&scratch);
    return status;
}
