/* SPDX-License-Identifier: Apache-2.0 */
/* Describe the machine in code: one core of the CPU, and a GPU and an FPGA that are not here,
 * to see what the planner would make of them. Nothing runs; the plan is shown.
 *
 *     add_devices model.onnx
 */
#include <stdio.h>
#include <stdlib.h>

#include <heteroengine/engine.h>

static int show(const struct he_plan *plan)
{
    struct he_plan_figures figures = { .struct_size = sizeof figures };
    const char *id, *device;
    double seconds;

    if (he_plan_figures(plan, &figures) != HE_OK)
        return EXIT_FAILURE;
    for (size_t t = 0; t < figures.task_count; t++) {
        if (he_plan_task(plan, t, &id, &device, &seconds) == HE_OK)
            printf("%-24s %-8s %10.2f us\n", id, device, seconds * 1e6);
    }
    printf("%zu tasks on %zu devices, %.3f ms predicted\n", figures.task_count,
           figures.device_count, figures.makespan * 1e3);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct he_analyze_options options = { .struct_size = sizeof options,
                                          .strategy = "latency_aware" };
    struct he_engine *engine = NULL;
    struct he_model *model = NULL;
    struct he_plan *plan = NULL;
    int code = EXIT_FAILURE;

    if (argc != 2) {
        fprintf(stderr, "usage: add_devices model.onnx\n");
        return 2;
    }
    if (he_engine_create(NULL, &engine) == HE_OK &&
        he_engine_add_device(engine, "CPU:0", "threads=1") == HE_OK &&
        he_engine_add_device(engine, "GPU:0", "simulated=true,mem=24GB,tflops=80") == HE_OK &&
        he_engine_add_device(engine, "FPGA:1", "simulated=true,ops=128TOPS,power=75W") == HE_OK &&
        he_model_load(argv[1], NULL, &model) == HE_OK &&
        he_engine_analyze(engine, model, &options, &plan) == HE_OK)
        code = show(plan);
    else
        fprintf(stderr, "%s\n", he_error_message());
    he_plan_destroy(plan);
    he_model_destroy(model);
    he_engine_destroy(engine);
    return code;
}
