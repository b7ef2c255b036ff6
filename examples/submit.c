/* SPDX-License-Identifier: Apache-2.0 */
/* Keep several requests in flight: submit them all, results land in memory of ours, a callback
 * counts, and waiting collects the status of each.
 *
 *     submit model.onnx          (float32 in, float32 out; open dimensions count as 1)
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <heteroengine/engine.h>

#define REQUESTS 8

static void count_done(void *self, struct he_request *request, he_status status)
{
    (void)request;
    if (status == HE_OK)
        atomic_fetch_add((_Atomic int *)self, 1);
}

/* A tensor of zeros with the shape of a model's input or output. */
static int make_tensor(const struct he_model_io *io, DLTensor *out, int64_t *shape)
{
    int64_t count = 1;

    for (uint32_t k = 0; k < io->shape.rank; k++) {
        shape[k] = io->shape.dims[k] < 0 ? 1 : io->shape.dims[k];
        count *= shape[k];
    }
    *out = (DLTensor){ .data = calloc((size_t)count, sizeof(float)), .device = { kDLCPU, 0 },
                       .ndim = (int32_t)io->shape.rank, .dtype = { kDLFloat, 32, 1 },
                       .shape = shape };
    return out->data != NULL;
}

static he_status run_all(struct he_session *session, const DLTensor *input, DLTensor *results)
{
    const DLTensor *inputs[] = { input };
    struct he_output outputs[REQUESTS];
    struct he_request *requests[REQUESTS] = { NULL };
    _Atomic int done = 0;
    he_status status = HE_OK, one;

    for (int k = 0; k < REQUESTS && status == HE_OK; k++) {
        outputs[k] = (struct he_output){ .into = &results[k] };
        status = he_session_submit(session, inputs, 1, &outputs[k], 1, count_done, &done,
                                   &requests[k]);
    }
    for (int k = 0; k < REQUESTS; k++) {
        if (!requests[k])
            continue;
        one = he_request_wait(requests[k], -1);
        status = status == HE_OK ? one : status;
        he_request_destroy(requests[k]);
    }
    if (status == HE_OK)
        printf("%d of %d requests done\n", atomic_load(&done), REQUESTS);
    return status;
}

int main(int argc, char **argv)
{
    struct he_session_options options = { .struct_size = sizeof options, .max_in_flight = 4 };
    struct he_model_io input_io, output_io;
    int64_t input_shape[HE_MAX_RANK], output_shape[HE_MAX_RANK];
    DLTensor input = { .data = NULL }, results[REQUESTS] = { { .data = NULL } };
    struct he_engine *engine = NULL;
    struct he_model *model = NULL;
    struct he_plan *plan = NULL;
    struct he_session *session = NULL;
    he_status status;
    int fits = 1;

    if (argc != 2) {
        fprintf(stderr, "usage: submit model.onnx\n");
        return 2;
    }
    status = he_engine_create(NULL, &engine);
    if (status == HE_OK)
        status = he_model_load(argv[1], NULL, &model);
    if (status == HE_OK)
        status = he_model_input(model, 0, &input_io);
    if (status == HE_OK)
        status = he_model_output(model, 0, &output_io);
    if (status == HE_OK)
        status = he_engine_analyze(engine, model, NULL, &plan);
    if (status == HE_OK)
        status = he_session_create(engine, plan, &options, &session);
    if (status == HE_OK) {
        fits = make_tensor(&input_io, &input, input_shape);
        for (int k = 0; k < REQUESTS; k++)
            fits = make_tensor(&output_io, &results[k], output_shape) && fits;
        if (fits)
            status = run_all(session, &input, results);
    }
    if (status != HE_OK)
        fprintf(stderr, "%s\n", he_error_message());
    he_session_destroy(session);
    he_plan_destroy(plan);
    he_model_destroy(model);
    he_engine_destroy(engine);
    free(input.data);
    for (int k = 0; k < REQUESTS; k++)
        free(results[k].data);
    return status == HE_OK && fits ? EXIT_SUCCESS : EXIT_FAILURE;
}
