/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HETEROENGINE_ENGINE_H
#define HETEROENGINE_ENGINE_H

/*
 * The front of the house: a machine, and what is planned and run on it.
 *
 *     he_engine_open("machine.yaml", NULL, &engine);
 *     he_model_load("model.onnx", NULL, &model);
 *     he_engine_analyze(engine, model, NULL, &plan);
 *     he_session_create(engine, plan, NULL, &session);
 *     he_session_run(session, inputs, 1, outputs, 1);
 */

#include <heteroengine/allocator.h>
#include <heteroengine/model.h>
#include <heteroengine/plan.h>
#include <heteroengine/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Library version, "0.1.0". */
HE_API const char *he_version(void);

/** Thread-safe once its devices are set up; those calls must come first. */
struct he_engine;

struct he_engine_options {
    size_t struct_size;
    const char *config_path; /* YAML; NULL: none */
    const char *devices;     /* "CPU:0,GPU:0" or a machine in one line; NULL: all that are there */
    const char *cost_store;  /* calibration file; NULL: the user's; "": none */
    const struct he_allocator *allocator; /* NULL: malloc */
};

/** Gives *out, to be freed with he_engine_destroy(). @options NULL: discover. Devices are opened
 * when a plan first needs them. HE_ERR_SETTING, HE_ERR_NO_DEVICE. */
HE_API HE_MUST_CHECK he_status he_engine_create(const struct he_engine_options *options,
                                                struct he_engine **out);
/** he_engine_create() with a settings file. */
HE_API HE_MUST_CHECK he_status he_engine_open(const char *config_path, struct he_engine **out);
/** NULL is fine. Plans and sessions must be gone. */
HE_API void he_engine_destroy(struct he_engine *engine);

/**
 * Adds a device, as "GPU:0" with "mem=24GB", or "FPGA:1" with "ops=128TOPS". The first
 * call on a discovered engine replaces the discovered list. @options may be NULL.
 */
HE_API HE_MUST_CHECK he_status he_engine_add_device(struct he_engine *engine, const char *id,
                                                    const char *options);

enum he_mem { HE_MEM_FAIL, HE_MEM_SWAP };
/** What to do when a device's memory is too small. HE_MEM_SWAP: HE_ERR_UNSUPPORTED so far. */
HE_API HE_MUST_CHECK he_status he_engine_set_mem_policy(struct he_engine *engine, enum he_mem policy);

/* The size of an input ("x", rank and dims) or of a named dimension ("batch", rank 1). */
struct he_input_shape {
    const char *name;
    struct he_shape shape;
};

struct he_analyze_options {
    size_t struct_size;
    const char *strategy; /* NULL: the settings' */
    const char *budget;   /* "memory=8GB,power=300W"; NULL: the settings' */
    const struct he_input_shape *shapes;
    size_t shape_count;
    double time_limit; /* seconds for planning; 0: the policy's own */
    uint64_t seed;
    const char *plan_path; /* a saved plan to use instead of planning */
};

/**
 * Cuts @model into tasks and places them. Borrows both until the plan is
 * destroyed. Dimensions that nothing gives a size are planned as 1.
 * HE_ERR_UNSUPPORTED names an operator no device takes; HE_ERR_BUDGET the
 * smallest budget that would do.
 */
HE_API HE_MUST_CHECK he_status he_engine_analyze(struct he_engine *engine,
                                                 const struct he_model *model,
                                                 const struct he_analyze_options *options,
                                                 struct he_plan **out);

#ifdef __cplusplus
}
#endif
#endif
