/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes ONNX files that are well formed but wrong, for tests/bad_input.sh:
 *
 *   make_bad FOLDER
 *
 * cyclic, undefined, shapes, huge and unknown_op come from our own writer; nested3000
 * (graphs within graphs) is put together by hand, from the inside out.
 */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/size.h"
#include "core/text.h"
#include "onnx_text.h"
#include "proto.h"

struct bad {
    const char *name, *graph;
    int64_t dims[2]; /* of inputs x and w */
    int64_t w_dims[2];
};

static const struct bad bads[] = {
    { "cyclic", "x|y|a=Add(x,b) b=Relu(a) y=Neg(b)", { 2, 3 }, { 0 } },
    { "undefined", "x|y|y=Add(x,nowhere)", { 2, 3 }, { 0 } },
    { "shapes", "x,w|y|y=MatMul(x,w)", { 2, 3 }, { 4, 5 } },
    { "huge", "x,w|y|y=MatMul(x,w)", { INT64_C(1) << 40, 2 }, { 2, INT64_C(1) << 40 } },
    { "unknown_op", "x|y|y=Convv(x)", { 2, 3 }, { 0 } },
};

static he_status save(const char *folder, const char *name, struct he_text *text)
{
    char path[4096];
    he_status status;

    if (snprintf(path, sizeof path, "%s/%s.onnx", folder, name) >= (int)sizeof path)
        return he_error_set(HE_ERR_INVALID, "%s: the path is too long", folder);
    status = he_file_write(path, text->data, text->size);
    he_text_fini(text);
    return status;
}

static void declare(struct onnx_value_info *info, struct onnx_dim dims[2], const int64_t *sizes)
{
    for (int k = 0; k < 2; k++)
        dims[k] = (struct onnx_dim){ .value = sizes[k], .param = "" };
    *info = (struct onnx_value_info){ .name = info->name, .dtype = HE_FLOAT32, .has_shape = true,
                                      .dim_count = 2, .dims = dims };
}

static he_status write_bad(const char *folder, const struct bad *bad)
{
    struct onnx_opset opset = { "", 17 };
    struct he_model model = { .path = "", .ir_version = 8, .producer_name = "make_bad",
                              .producer_version = "", .domain = "", .doc = "",
                              .opsets = &opset, .opset_count = 1 };
    struct onnx_dim dims[2][2];
    struct he_text text;
    he_status status;

    he_arena_init(&model.arena, NULL);
    he_text_init(&text, NULL);
    onnx_text_graph(&model.arena, bad->graph, &model.graph);
    declare(&model.graph.inputs[0], dims[0], bad->dims);
    if (model.graph.input_count > 1)
        declare(&model.graph.inputs[1], dims[1], bad->w_dims);
    status = he_model_write(&model, &text);
    if (status == HE_OK)
        status = save(folder, bad->name, &text);
    he_arena_fini(&model.arena);
    return status;
}

/* node{op_type "If", attribute{name "then_branch", g = GRAPH, type GRAPH}} inside a graph,
 * @depth times. */
static he_status write_nested(const char *folder, const char *name, int depth)
{
    struct he_text graph, model, opset;

    he_text_init(&graph, NULL);
    proto_string(&graph, 2, "innermost");
    for (int k = 0; k < depth; k++) {
        struct he_text attr, node;

        he_text_init(&attr, NULL);
        proto_string(&attr, 1, "then_branch");
        proto_message(&attr, 6, &graph);
        proto_number(&attr, 20, 5);
        he_text_init(&node, NULL);
        proto_string(&node, 4, "If");
        proto_message(&node, 5, &attr);
        he_text_init(&graph, NULL);
        proto_message(&graph, 1, &node);
        proto_string(&graph, 2, "g");
    }
    he_text_init(&model, NULL);
    proto_number(&model, 1, 8);
    proto_message(&model, 7, &graph);
    he_text_init(&opset, NULL);
    proto_number(&opset, 2, 17);
    proto_message(&model, 8, &opset);
    return save(folder, name, &model);
}

int main(int argc, char **argv)
{
    he_status status = HE_OK;

    if (argc != 2) {
        fprintf(stderr, "usage: make_bad FOLDER\n");
        return 2;
    }
    for (size_t k = 0; k < HE_COUNT(bads) && status == HE_OK; k++)
        status = write_bad(argv[1], &bads[k]);
    if (status == HE_OK)
        status = write_nested(argv[1], "nested3000", 3000);
    if (status != HE_OK)
        fprintf(stderr, "make_bad: %s\n", he_error_message());
    return status == HE_OK ? 0 : 1;
}
