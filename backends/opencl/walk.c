/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How work-items walk tensors: one element each (rows shared by lanes are in rows.c), and the
 * arithmetic from an element's number to its place in a broadcast or strided one.
 */
#include "build.h"

#define WORK_ITEMS 64
#define GROUP 256 /* of a GPU, whose units hold a limited count of groups */

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

static size_t each_group(const struct opencl_build *b)
{
    return b->dev->found->is_cpu || b->dev->found->group_items < GROUP ? WORK_ITEMS : GROUP;
}

void opencl_begin_each(struct opencl_build *b, int64_t count)
{
    opencl_begin(b);
    opencl_line(b, "uint o = (uint)get_global_id(0);");
    if (count % (int64_t)each_group(b))
        opencl_line(b, "if (o >= %lluu) return;", (unsigned long long)count);
}

he_status opencl_end_each(struct opencl_build *b, int64_t count)
{
    return opencl_end(b, 1, &(size_t){ (size_t)count }, &(size_t){ each_group(b) });
}
