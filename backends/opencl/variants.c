/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways this device knows of doing a task, and what can be said of each before it is
 * measured. Convolutions and products that begin their task have ways:
 *
 *     tile-RxC[-sN]  by tiles of R rows and C columns, the depth in N slices (tile.c)
 *     mma-T-RxC      the same on matrix units that multiply type T, where that is allowed (mma.c)
 *     winograd-2, winograd-4   3x3 of stride 1 (emit_winograd.c)
 *     block-CxP      C channels, or columns, of P pixels, or rows, in registers: for processors
 *     direct         one element for each work-item
 *
 * "auto" is what the emitters' own rules choose. The emitters list their ways; here is what is common.
 */
#include <stdlib.h>
#include <string.h>

#include "tile.h"

void opencl_ways_add(struct opencl_ways *ways, const char *name, const char *algorithm,
                     const char *dtype, double rate, double locality)
{
    if (ways->count < ways->capacity)
        ways->out[ways->count] = (struct he_variant){ .struct_size = sizeof *ways->out,
                                                      .name = name, .algorithm = algorithm,
                                                      .layout = "plain", .dtype = dtype,
                                                      .density = rate, .locality = locality };
    ways->count++;
}

const char *opencl_way(const struct opencl_build *b)
{
    return b->way ? b->way : getenv("HETEROENGINE_OPENCL_WAY");
}

he_status opencl_variants(struct opencl_device *dev, const struct he_graph *graph,
                          const struct he_task *task, struct he_variant *out, size_t capacity,
                          size_t *count)
{
    struct opencl_build b = { .dev = dev, .graph = graph, .task = task };
    struct opencl_ways ways = { out, capacity, 0 };
    const struct he_node *node;

    *count = 0;
    node = &graph->nodes[task->anchor];
    if (task->is_dynamic || task->nodes[0] != task->anchor)
        return HE_OK;
    if (opencl_is(node, "Conv"))
        opencl_conv_ways(&b, node, &ways);
    else if (opencl_is(node, "Gemm") || opencl_is(node, "MatMul"))
        opencl_product_ways(&b, node, &ways);
    *count = ways.count > 1 ? ways.count : 0;
    return HE_OK;
}
