/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How work-items walk tensors: one element each, rows shared by lanes, and the arithmetic from an
 * element's number to its place in a broadcast or strided one.
 */
#include "build.h"

#define WORK_ITEMS 64
/* Rows that need more lanes to be read as fast as memory gives them. */
#define LONG_ROW 2048
#define LONG_LANES 256

/* Runs of dimensions that are either all broadcast or all not become one. */
void opencl_broadcast_index(struct opencl_build *b, const struct he_shape *out,
                            const struct he_shape *in, const char *index)
{
    int64_t out_stride = 1, in_stride = 1, outer = he_shape_count(out);
    bool is_first = true;

    for (uint32_t back = 0; back < out->rank;) {
        int64_t size = 1, run_stride = out_stride;
        bool is_broadcast = false, has_kind = false;

        for (; back < out->rank; back++) {
            int64_t dim = out->dims[out->rank - 1 - back];
            int64_t mine = back < in->rank ? in->dims[in->rank - 1 - back] : 1;

            if (dim == 1)
                continue;
            if (has_kind && is_broadcast != (mine == 1))
                break;
            is_broadcast = mine == 1;
            has_kind = true;
            size *= dim;
        }
        out_stride *= size;
        if (!has_kind || is_broadcast)
            continue;
        opencl_text_printf(&b->body, "%s", is_first ? "" : " + ");
        is_first = false;
        if (run_stride == 1 && out_stride >= outer)
            opencl_text_printf(&b->body, "%s", index);
        else if (run_stride == 1)
            opencl_text_printf(&b->body, "%s %% %lluu", index, (unsigned long long)size);
        else if (out_stride >= outer)
            opencl_text_printf(&b->body, "%s / %lluu", index, (unsigned long long)run_stride);
        else
            opencl_text_printf(&b->body, "%s / %lluu %% %lluu", index,
                               (unsigned long long)run_stride, (unsigned long long)size);
        if (in_stride != 1)
            opencl_text_printf(&b->body, " * %lluu", (unsigned long long)in_stride);
        in_stride *= size;
    }
    if (is_first)
        opencl_text_printf(&b->body, "0");
}

void opencl_offset(struct opencl_build *b, const char *name, const char *index, uint32_t rank,
                   const int64_t *dims, const int64_t *strides, int64_t base)
{
    int64_t inner = 1, count = 1;

    for (uint32_t d = 0; d < rank; d++)
        count *= dims[d];
    opencl_text_printf(&b->body, "const int %s = %lld", name, (long long)base);
    for (uint32_t d = rank; d-- > 0;) {
        int64_t dim = dims[d], stride = strides[d];

        /* Neighbours that step as one become one. */
        while (d > 0 && strides[d - 1] == stride * dim)
            dim *= dims[--d];
        if (dim > 1 && stride) {
            opencl_text_printf(&b->body, " + (int)(%s", index);
            if (inner > 1)
                opencl_text_printf(&b->body, " / %lluu", (unsigned long long)inner);
            if (inner * dim < count)
                opencl_text_printf(&b->body, " %% %lluu", (unsigned long long)dim);
            opencl_text_printf(&b->body, ") * %lld", (long long)stride);
        }
        inner *= dim;
    }
    opencl_line(b, ";");
}

void opencl_begin_each(struct opencl_build *b, int64_t count)
{
    opencl_begin(b);
    opencl_line(b, "uint o = (uint)get_global_id(0);");
    if (count % WORK_ITEMS)
        opencl_line(b, "if (o >= %lluu) return;", (unsigned long long)count);
}

he_status opencl_end_each(struct opencl_build *b, int64_t count)
{
    return opencl_end(b, 1, &(size_t){ (size_t)count }, &(size_t){ WORK_ITEMS });
}

void opencl_begin_rows(struct opencl_build *b, struct opencl_rows *rows, int64_t count,
                       int64_t length)
{
    rows->count = count;
    rows->is_group = length >= 256;
    rows->lanes = !rows->is_group                                                 ? 1
                  : length >= LONG_ROW && b->dev->found->group_items >= LONG_LANES ? LONG_LANES
                                                                                   : WORK_ITEMS;
    opencl_begin(b);
    if (rows->is_group) {
        opencl_line(b, "__local float shared[%u];", rows->lanes);
        opencl_line(b, "const uint row = (uint)get_group_id(0), lane = (uint)get_local_id(0);");
        opencl_line(b, "const uint lanes = %uu;", rows->lanes);
        return;
    }
    opencl_line(b, "const uint row = (uint)get_global_id(0), lane = 0u, lanes = 1u;");
    if (count % WORK_ITEMS)
        opencl_line(b, "if (row >= %lluu) return;", (unsigned long long)count);
}

void opencl_join_lanes(struct opencl_build *b, const struct opencl_rows *rows, const char *name,
                       const char *join)
{
    if (!rows->is_group)
        return;
    opencl_line(b, "shared[lane] = %s;\nbarrier(CLK_LOCAL_MEM_FENCE);", name);
    opencl_line(b, "for (uint h = %uu; h > 0u; h >>= 1) {", rows->lanes / 2);
    opencl_line(b, "if (lane < h) { const float l = shared[lane], r = shared[lane + h];");
    opencl_line(b, "shared[lane] = %s; }\nbarrier(CLK_LOCAL_MEM_FENCE);\n}", join);
    opencl_line(b, "%s = shared[0];\nbarrier(CLK_LOCAL_MEM_FENCE);", name);
}

he_status opencl_end_rows(struct opencl_build *b, const struct opencl_rows *rows)
{
    size_t items = (size_t)rows->count * rows->lanes;

    return opencl_end(b, 1, &items, &(size_t){ rows->is_group ? rows->lanes : WORK_ITEMS });
}
