/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving a box of elements: what Transpose, Concat, Split, Slice, Expand, Tile, DepthToSpace come
 * down to. Dimensions that step together on both sides become one; when what is left runs along
 * on both sides, elements join to units of up to 16 bytes; then neighbours in the target are moved by
 * neighbouring work-items, or by tiles where neighbours in the source are others (emit_transpose.c).
 */
#include <string.h>

#include "box.h"
#include "tile.h"

#define LL(x) ((long long)(x))

/* Work-items of a group, and units for each where there are many: with one load under way a GPU's
 * memory would wait for its units. */
#define GROUP 256
#define EACH 4
#define CPU_GROUP 64

static void remove_dim(struct opencl_box *box, uint32_t d)
{
    for (box->rank--; d < box->rank; d++) {
        box->dims[d] = box->dims[d + 1];
        box->from[d] = box->from[d + 1];
        box->to[d] = box->to[d + 1];
    }
}

static void swap_dims(struct opencl_box *box, uint32_t c, uint32_t d)
{
    int64_t dim = box->dims[c], from = box->from[c], to = box->to[c];

    box->dims[c] = box->dims[d];
    box->from[c] = box->from[d];
    box->to[c] = box->to[d];
    box->dims[d] = dim;
    box->from[d] = from;
    box->to[d] = to;
}

static void fold(struct opencl_box *box)
{
    for (uint32_t d = 0; d < box->rank;) {
        if (box->dims[d] == 1)
            remove_dim(box, d);
        else
            d++;
    }
    for (uint32_t c = 1; c < box->rank; c++)
        for (uint32_t d = c; d > 0 && box->to[d - 1] < box->to[d]; d--)
            swap_dims(box, d - 1, d);
    for (uint32_t d = 0; d + 1 < box->rank;) {
        if (box->from[d] == box->from[d + 1] * box->dims[d + 1] &&
            box->to[d] == box->to[d + 1] * box->dims[d + 1]) {
            box->dims[d + 1] *= box->dims[d];
            remove_dim(box, d);
        } else {
            d++;
        }
    }
}

/* Can @by neighbours be moved as one? */
static bool can_join(const struct opencl_box *box, int64_t by)
{
    uint32_t last = box->rank - 1;

    if (box->from[last] != 1 || box->to[last] != 1 || box->dims[last] % by ||
        box->from_base % by || box->to_base % by)
        return false;
    for (uint32_t d = 0; d < last; d++)
        if (box->from[d] % by || box->to[d] % by)
            return false;
    return true;
}

static void join(struct opencl_box *box, int64_t by)
{
    uint32_t last = box->rank - 1;

    box->dims[last] /= by;
    box->from_base /= by;
    box->to_base /= by;
    for (uint32_t d = 0; d < last; d++) {
        box->from[d] /= by;
        box->to[d] /= by;
    }
    fold(box);
}

static struct opencl_units plan_units(const struct opencl_box *box, uint32_t element_bytes)
{
    struct opencl_units u = { .box = *box, .bytes = element_bytes };

    fold(&u.box);
    for (uint32_t by = 16 / element_bytes; u.box.rank && by > 1; by /= 2) {
        if (can_join(&u.box, by)) {
            join(&u.box, by);
            u.bytes *= by;
            break;
        }
    }
    u.count = 1;
    for (uint32_t d = 0; d < u.box.rank; d++)
        u.count *= u.box.dims[d];
    u.type = u.bytes == 16 ? "uint4" : opencl_bits_type(u.bytes);
    return u;
}

int64_t opencl_join_run(int64_t run, uint32_t element_bytes, const char **type)
{
    int64_t by = 16 / element_bytes;

    while (run % by)
        by /= 2;
    *type = by * element_bytes == 16 ? "uint4" : opencl_bits_type((size_t)by * element_bytes);
    return by;
}

/* Units one by one: work-items that are neighbours move what are neighbours in the target. */
static he_status move_units(struct opencl_build *b, const struct opencl_units *u)
{
    const struct opencl_box *box = &u->box;
    bool is_gpu = opencl_likes_tiles(b->dev);
    size_t group = is_gpu ? GROUP : CPU_GROUP;
    /* Fewer each where there would be too few groups. */
    size_t each = is_gpu && u->count > (int64_t)EACH * GROUP * 2 * b->dev->found->units ? EACH : 1;
    size_t part = group * each, items = ((size_t)u->count + part - 1) / part * group;
    bool is_whole = u->count % (int64_t)part == 0;

    opencl_line(b, "const uint first = (uint)get_group_id(0) * %zuu + (uint)get_local_id(0);", part);
    opencl_line(b, "%s units[%zu];", u->type, each);
    for (int pass = 0; pass < 2; pass++) {
        opencl_line(b, "#pragma unroll\nfor (uint k = 0; k < %zuu; k++) {", each);
        opencl_line(b, "const uint o = first + k * %zuu;", group);
        if (!is_whole)
            opencl_line(b, "if (o < %lldu) {", LL(u->count));
        opencl_offset(b, "at", "o", box->rank, box->dims, pass ? box->to : box->from,
                      pass ? box->to_base : box->from_base);
        opencl_line(b, pass ? "out[at] = units[k];" : "units[k] = in[at];");
        opencl_line(b, is_whole ? "}" : "}\n}");
    }
    return opencl_end(b, 1, &items, &group);
}

/* All of both values, in one order. */
static bool is_plain_copy(const struct opencl_build *b, uint32_t from, uint32_t to,
                          const struct opencl_units *u)
{
    const struct he_value *x = &b->graph->values[from], *y = &b->graph->values[to];
    int64_t count = he_shape_count(&y->shape);

    return u->box.rank <= 1 && !u->box.from_base && !u->box.to_base &&
           (!u->box.rank || (u->box.from[0] == 1 && u->box.to[0] == 1)) &&
           he_shape_count(&x->shape) == count &&
           u->count * u->bytes == he_shape_bytes(&y->shape, y->dtype);
}

he_status opencl_move_box(struct opencl_build *b, uint32_t from, uint32_t to,
                          const struct opencl_box *box)
{
    uint32_t bits = he_dtype_bits(b->graph->values[to].dtype), inner;
    struct opencl_units u;
    int in, out;

    for (uint32_t d = 0; d < box->rank; d++)
        if (!box->dims[d])
            return HE_OK;
    opencl_begin(b);
    in = opencl_read_bits(b, from);
    out = opencl_write_bits(b, to);
    if (b->status != HE_OK) /* a type without an element of whole bytes, for one */
        return b->status;
    u = plan_units(box, bits / 8);
    if (is_plain_copy(b, from, to, &u))
        return opencl_copy(b, from, to);
    opencl_line(b, "__global const %s *restrict in = (__global const %s *)x%d;", u.type, u.type, in);
    opencl_line(b, "__global %s *restrict out = (__global %s *)x%d;", u.type, u.type, out);
    return opencl_wants_tiles(b, &u, &inner) ? opencl_move_tiles(b, &u, inner) : move_units(b, &u);
}
