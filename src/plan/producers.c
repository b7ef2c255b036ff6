/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/producers.h"

he_status he_producers_init(struct he_producers *producers, const struct he_graph *graph,
                            struct he_arena *arena)
{
    he_status status = HE_OK;

    producers->graph = graph;
    he_map_init(&producers->values, arena);
    for (uint32_t v = 0; v < graph->value_count && status == HE_OK; v++) {
        if (graph->values[v].name && *graph->values[v].name)
            status = he_map_put(&producers->values, graph->values[v].name, v);
    }
    return status;
}

uint32_t he_producer_of(const struct he_producers *producers, const char *name)
{
    uint32_t value;

    return *name && he_map_get(&producers->values, name, &value)
               ? producers->graph->values[value].producer
               : HE_NONE;
}
