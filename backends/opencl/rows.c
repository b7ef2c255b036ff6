/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that lanes of a work-group share, several rows to a group when they are short. Lanes that are
 * neighbours read what are neighbours in memory: elements of a row, or, across, the same element
 * of neighbouring rows. Lanes meet in local memory, in two steps of up to 16: fewer barriers than a tree.
 */
#include "build.h"
#include "tile.h"

/* A processor's rows: a work-item each, or a group for each long one. */
#define CPU_ITEMS 64
#define CPU_SHARED_ROW 256
#define CPU_LONG_ROW 2048

#define GROUP 256
#define MOST_LANES 1024
#define ELEMENTS_EACH 8 /* that a lane has under way at once */
#define MOST_EACH 32    /* that it may keep */
#define ACROSS 32       /* rows whose elements are one read of 128 bytes */

static uint32_t power_above(int64_t count, uint32_t most)
{
    uint32_t power = 1;

    while (power < most && power < count)
        power *= 2;
    return power;
}

static void share_on_cpu(struct opencl_rows *rows, int64_t length, uint32_t group_items)
{
    rows->lanes = rows->is_across || length < CPU_SHARED_ROW               ? 1
                  : length >= CPU_LONG_ROW && group_items >= 4 * CPU_ITEMS ? 4 * CPU_ITEMS
                                                                           : CPU_ITEMS;
    rows->each = rows->lanes == 1 ? CPU_ITEMS : 1;
}

static void share_on_gpu(struct opencl_rows *rows, int64_t length, const struct opencl_found *found)
{
    uint32_t most = found->group_items < MOST_LANES ? power_above(found->group_items + 1, MOST_LANES) / 2
                                                    : MOST_LANES;
    uint32_t group = most < GROUP ? most : GROUP;

    if (rows->is_across) {
        rows->each = power_above(rows->count, ACROSS);
        rows->lanes = power_above((length + 15) / 16, 32);
        /* Few rows: more lanes. */
        while (rows->lanes * rows->each < group && rows->lanes * 4 < length)
            rows->lanes *= 2;
        while (rows->lanes * rows->each > most)
            rows->lanes /= 2;
        while (rows->lanes * rows->each < group / 4)
            rows->each *= 2;
        return;
    }
    rows->lanes = length <= ELEMENTS_EACH ? 1 : power_above(length / ELEMENTS_EACH, group);
    if (length > ELEMENTS_EACH && rows->lanes < 8)
        rows->lanes = 8;
    /* Long rows: as registers hold them. Few rows: as many lanes as there can be. */
    while (rows->lanes < most &&
           (length > (int64_t)rows->lanes * MOST_EACH ||
            (rows->count < found->units && length > (int64_t)rows->lanes * ELEMENTS_EACH)))
        rows->lanes *= 2;
    rows->each = rows->lanes < group ? group / rows->lanes : 1;
}

void opencl_begin_rows(struct opencl_build *b, struct opencl_rows *rows, int64_t count,
                       int64_t length, bool is_across)
{
    *rows = (struct opencl_rows){ .count = count, .is_across = is_across };
    if (opencl_likes_tiles(b->dev))
        share_on_gpu(rows, length, b->dev->found);
    else
        share_on_cpu(rows, length, b->dev->found->group_items);
    opencl_begin(b);
    if (rows->lanes == 1) {
        opencl_line(b, "const uint row = (uint)get_global_id(0), lane = 0u, lanes = 1u;");
        if (count % rows->each)
            opencl_line(b, "if (row >= %lluu) return;", (unsigned long long)count);
        return;
    }
    opencl_line(b, "__local float shared[%u];", rows->lanes * rows->each);
    opencl_line(b, "const uint lid = (uint)get_local_id(0), lanes = %uu;", rows->lanes);
    opencl_line(b, is_across ? "const uint mine = lid %% %uu, me = lid / %uu;"
                             : "const uint mine = lid / %uu, me = lid %% %uu;",
                is_across ? rows->each : rows->lanes, is_across ? rows->each : rows->lanes);
    opencl_line(b, "const uint row = (uint)get_group_id(0) * %uu + mine;", rows->each);
    /* Who has no row meets the others at the barriers. */
    if (count % rows->each)
        opencl_line(b, "const uint lane = row < %lluu ? me : 0x7fffffffu;", (unsigned long long)count);
    else
        opencl_line(b, "const uint lane = me;");
}

void opencl_join_lanes(struct opencl_build *b, const struct opencl_rows *rows, const char *name,
                       const char *join)
{
    uint32_t step = rows->is_across ? rows->each : 1, width = rows->lanes;

    if (width == 1)
        return;
    opencl_line(b, "shared[lid] = %s;\nbarrier(CLK_LOCAL_MEM_FENCE);\n{", name);
    opencl_line(b, rows->is_across ? "const uint first = mine;" : "const uint first = mine * %uu;",
                width);
    if (width > 16) {
        opencl_line(b, "if (me < 16u) {\nfloat l = shared[lid];\n#pragma unroll");
        opencl_line(b, "for (uint h = 1u; h < %uu; h++) {", width / 16);
        opencl_line(b, "const float r = shared[lid + h * %uu];\nl = %s;\n}\nshared[lid] = l;\n}",
                    16 * step, join);
        opencl_line(b, "barrier(CLK_LOCAL_MEM_FENCE);");
        width = 16;
    }
    opencl_line(b, "float l = shared[first];\n#pragma unroll\nfor (uint h = 1u; h < %uu; h++) {", width);
    opencl_line(b, "const float r = shared[first + h * %uu];\nl = %s;\n}", step, join);
    opencl_line(b, "%s = l;\n}\nbarrier(CLK_LOCAL_MEM_FENCE);", name);
}

he_status opencl_end_rows(struct opencl_build *b, const struct opencl_rows *rows)
{
    size_t group = (size_t)rows->lanes * rows->each;
    size_t items = ((size_t)rows->count + rows->each - 1) / rows->each * group;

    return opencl_end(b, 1, &items, &group);
}
