/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a model, and all passes over it: whatever the file says, the answer is a graph
 * that holds together or a sentence, never a bug of ours. Corpus: that of fuzz_onnx. */
#include <stdlib.h>

#include "graph/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void prepare(const struct he_model *model, const struct he_graph_options *options)
{
    struct he_graph *graph;
    he_status status = he_graph_prepare(model, options, NULL, &graph);

    if (status == HE_OK)
        he_graph_destroy(graph);
    else if (status == HE_ERR_INTERNAL || !*he_error_message())
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct he_graph_options options[] = {
        { .default_dim = 0 },
        { .default_dim = 4 },
        { .default_dim = 4, .no_fold = true },
        { .no_simplify = true, .no_fuse = true },
    };
    struct he_model *model;

    if (he_model_parse(data, size, NULL, NULL, &model) != HE_OK)
        return 0;
    if (he_model_inline(model) == HE_OK)
        for (size_t k = 0; k < sizeof options / sizeof options[0]; k++)
            prepare(model, &options[k]);
    he_model_destroy(model);
    return 0;
}
