/* SPDX-License-Identifier: Apache-2.0 */
/* Run a model: plan it for whatever this machine has, give it one input, print the output.
 *
 *     run_model model.onnx          (one float32 input; open dimensions count as 1)
 */
#include <stdio.h>
#include <stdlib.h>

#include <heteroengine/engine.h>

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, he_error_message());
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct he_engine *engine = NULL;
    struct he_model *model = NULL;
    struct he_plan *plan = NULL;
    struct he_session *session = NULL;
    struct he_output output = { NULL, NULL };
    struct he_model_io input;
    const DLTensor *inputs[1];
    DLTensor tensor;
    int64_t shape[HE_MAX_RANK], count = 1;
    float *data = NULL;
    int code = EXIT_FAILURE;

    if (argc != 2) {
        fprintf(stderr, "usage: run_model model.onnx\n");
        return 2;
    }
    if (he_engine_create(NULL, &engine) != HE_OK) {
        fail("engine");
        goto done;
    }
    if (he_model_load(argv[1], NULL, &model) != HE_OK ||
        he_model_input(model, 0, &input) != HE_OK) {
        fail("model");
        goto done;
    }
    if (he_engine_analyze(engine, model, NULL, &plan) != HE_OK ||
        he_session_create(engine, plan, NULL, &session) != HE_OK) {
        fail("plan");
        goto done;
    }
    for (uint32_t k = 0; k < input.shape.rank; k++) {
        shape[k] = input.shape.dims[k] < 0 ? 1 : input.shape.dims[k];
        count *= shape[k];
    }
    data = calloc((size_t)count, sizeof *data);
    if (!data)
        goto done;
    tensor = (DLTensor){ .data = data, .device = { kDLCPU, 0 }, .ndim = (int32_t)input.shape.rank,
                         .dtype = { kDLFloat, 32, 1 }, .shape = shape };
    inputs[0] = &tensor;
    if (he_session_run(session, inputs, 1, &output, 1) != HE_OK) {
        fail("run");
        goto done;
    }
    printf("%s:", argv[1]);
    for (int64_t k = 0; k < output.given->dl_tensor.shape[output.given->dl_tensor.ndim - 1] && k < 10; k++)
        printf(" %g", ((const float *)output.given->dl_tensor.data)[k]);
    printf("\n");
    output.given->deleter(output.given); /* the output is ours until we say so */
    code = EXIT_SUCCESS;

done:
    he_session_destroy(session);
    he_plan_destroy(plan);
    he_model_destroy(model);
    he_engine_destroy(engine);
    free(data);
    return code;
}
