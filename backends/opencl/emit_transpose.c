/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transpose: a box whose strides in the source are permuted. Where neighbours in the source are not
 * neighbours in the target, the two dimensions in question are moved by tiles through local memory: read
 * along the one, written along the other. A pitch that is odd in banks keeps both free of conflicts
 * (Ruetsch and Micikevicius, Optimizing Matrix Transpose in CUDA, 2009).
 */
#include "box.h"
#include "tile.h"

#define LL(x) ((long long)(x))

#define GROUP 256
/* Tiles are as many bytes wide where both dimensions are that long: two or more sectors and
 * less than an eighth of a compute unit's local memory. */
#define TILE_BYTES 16384
#define TILE_SIDE 64
#define WIDE_UNIT_SIDE 32 /* of units of 8 bytes and more */

bool opencl_wants_tiles(const struct opencl_build *b, const struct opencl_units *u,
                        uint32_t *source_inner)
{
    const struct opencl_box *box = &u->box;
    uint32_t last = box->rank - 1;

    if (box->rank < 2 || box->to[last] != 1 || box->from[last] == 1 || !box->from[last] ||
        !opencl_likes_tiles(b->dev) || b->dev->found->group_items < GROUP ||
        b->dev->found->local_bytes < 2 * TILE_BYTES)
        return false;
    for (uint32_t d = 0; d < last; d++) {
        if (box->from[d] != 1)
            continue;
        *source_inner = d;
        /* Less is in one or two cache lines anyhow. */
        return box->dims[d] * box->dims[last] * u->bytes >= 1024;
    }
    return false;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Sides of a tile: along the source @a, along the target @c. A short dimension is taken whole, and the
 * other side is longer for it. */
static void pick_sides(const struct opencl_units *u, int64_t a_dim, int64_t c_dim, int64_t *a,
                       int64_t *c)
{
    int64_t side = u->bytes >= 8 ? WIDE_UNIT_SIDE : TILE_SIDE;
    int64_t most = least(side * side, TILE_BYTES / u->bytes);

    *a = least(a_dim, side);
    *c = least(c_dim, most / *a);
    if (*a == side)
        *c = least(*c, side);
    if (*c < side)
        *a = least(a_dim, most / *c);
    /* Whole rows of bytes where there is a choice. */
    if (*c < c_dim && *c > 32)
        *c = *c / 32 * 32;
    if (*a < a_dim && *a > 32)
        *a = *a / 32 * 32;
}

he_status opencl_move_tiles(struct opencl_build *b, const struct opencl_units *u,
                            uint32_t source_inner)
{
    struct opencl_box batch = { .from_base = u->box.from_base, .to_base = u->box.to_base };
    uint32_t last = u->box.rank - 1;
    int64_t a_dim = u->box.dims[source_inner], c_dim = u->box.dims[last], a, c, a_tiles, c_tiles;
    int64_t from = u->box.from[last], to = u->box.to[source_inner], pitch, kept, batches = 1;
    bool is_whole;
    size_t items;

    for (uint32_t d = 0; d < last; d++) {
        if (d == source_inner)
            continue;
        batch.dims[batch.rank] = u->box.dims[d];
        batch.from[batch.rank] = u->box.from[d];
        batch.to[batch.rank++] = u->box.to[d];
        batches *= u->box.dims[d];
    }
    pick_sides(u, a_dim, c_dim, &a, &c);
    /* Odd in units of a bank's 4 bytes. */
    pitch = u->bytes >= 4 ? a | 1 : ((a * u->bytes + 3) / 4 | 1) * 4 / u->bytes;
    a_tiles = (a_dim + a - 1) / a;
    c_tiles = (c_dim + c - 1) / c;
    kept = (a * c + GROUP - 1) / GROUP;
    is_whole = a_dim % a == 0 && c_dim % c == 0 && a * c % GROUP == 0;

    opencl_line(b, "__local %s tile[%lld];\n%s units[%lld];", u->type, LL(pitch * c), u->type, LL(kept));
    opencl_line(b, "const uint lid = (uint)get_local_id(0), group = (uint)get_group_id(0);");
    opencl_line(b, "const uint a0 = group %% %lldu * %lldu, c0 = group / %lldu %% %lldu * %lldu;",
                LL(a_tiles), LL(a), LL(a_tiles), LL(c_tiles), LL(c));
    opencl_line(b, "const uint batch = group / %lldu;", LL(a_tiles * c_tiles));
    opencl_offset(b, "from", "batch", batch.rank, batch.dims, batch.from, batch.from_base);
    opencl_offset(b, "to", "batch", batch.rank, batch.dims, batch.to, batch.to_base);

    /* All loads are under way before the first is waited for. */
    opencl_line(b, "#pragma unroll\nfor (uint k = 0; k < %lldu; k++) {", LL(kept));
    opencl_line(b, "const uint e = lid + k * %du, a = e %% %lldu, c = e / %lldu;", GROUP, LL(a), LL(a));
    if (!is_whole)
        opencl_line(b, "if (c < %lldu && a0 + a < %lldu && c0 + c < %lldu)", LL(c), LL(a_dim), LL(c_dim));
    opencl_line(b, "units[k] = in[from + (int)(a0 + a) + (int)(c0 + c) * %lld];\n}", LL(from));
    opencl_line(b, "#pragma unroll\nfor (uint k = 0; k < %lldu; k++) {", LL(kept));
    opencl_line(b, "const uint e = lid + k * %du, a = e %% %lldu, c = e / %lldu;", GROUP, LL(a), LL(a));
    if (!is_whole)
        opencl_line(b, "if (c < %lldu && a0 + a < %lldu && c0 + c < %lldu)", LL(c), LL(a_dim), LL(c_dim));
    opencl_line(b, "tile[c * %lldu + a] = units[k];\n}\nbarrier(CLK_LOCAL_MEM_FENCE);", LL(pitch));
    opencl_line(b, "#pragma unroll\nfor (uint k = 0; k < %lldu; k++) {", LL(kept));
    opencl_line(b, "const uint e = lid + k * %du, c = e %% %lldu, a = e / %lldu;", GROUP, LL(c), LL(c));
    if (!is_whole)
        opencl_line(b, "if (a < %lldu && a0 + a < %lldu && c0 + c < %lldu)", LL(a), LL(a_dim), LL(c_dim));
    opencl_line(b, "out[to + (int)(c0 + c) + (int)(a0 + a) * %lld] = tile[c * %lldu + a];\n}", LL(to),
                LL(pitch));
    items = (size_t)(a_tiles * c_tiles * batches) * GROUP;
    return opencl_end(b, 1, &items, &(size_t){ GROUP });
}

static he_status emit_transpose(struct opencl_build *b, const struct he_node *node)
{
    const struct he_shape *x = &opencl_input(b, node, 0)->shape;
    int64_t strides[HE_MAX_RANK];
    const int64_t *perm;
    size_t count = he_node_ints(node, "perm", &perm);
    struct opencl_box box = { .rank = x->rank };

    if (count && count != x->rank)
        return opencl_refuse(node, "perm has %zu numbers for rank %u", count, x->rank);
    opencl_strides(x, strides);
    opencl_strides(&opencl_output(b, node, 0)->shape, box.to);
    for (uint32_t d = 0; d < x->rank; d++) {
        int64_t axis = count ? perm[d] : x->rank - 1 - d;

        if (axis < 0 || axis >= x->rank)
            return opencl_refuse(node, "perm names axis %lld of rank %u", LL(axis), x->rank);
        box.dims[d] = x->dims[axis];
        box.from[d] = strides[axis];
    }
    return opencl_move_box(b, node->inputs[0], node->outputs[0], &box);
}

static const struct opencl_emitter emitters[] = {
    { "Transpose", emit_transpose, false },
};
const struct opencl_emitter_table opencl_transpose_table = { emitters,
                                                             sizeof emitters / sizeof emitters[0] };
