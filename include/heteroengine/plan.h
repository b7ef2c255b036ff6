/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HETEROENGINE_PLAN_H
#define HETEROENGINE_PLAN_H

#include <heteroengine/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Which device runs which task of a model, in which order, and what it should cost. */
struct he_plan;

/** NULL is fine. No session of the plan may be alive. */
HE_API void he_plan_destroy(struct he_plan *plan);

/** Writes the plan as JSON to @path. HE_ERR_IO, HE_ERR_NO_MEMORY. */
HE_API HE_MUST_CHECK he_status he_plan_save(const struct he_plan *plan, const char *path);

/**
 * Writes the plan's model with the placement in it: a device configuration
 * "heteroengine" (ONNX IR version 11), and `layer_ann` properties. Planning that file
 * again on the same machine gives the same devices. HE_ERR_IO, HE_ERR_NO_MEMORY;
 * HE_ERR_UNSUPPORTED when the model cannot be written as one file (2 GiB).
 */
HE_API HE_MUST_CHECK he_status he_plan_save_onnx(const struct he_plan *plan, const char *path);

/* The plan's figures. Times in seconds. */
struct he_plan_figures {
    size_t struct_size;
    double makespan;    /* predicted time of one request */
    double sum_cost;    /* sum T_i / E_j + transfers */
    double lower_bound; /* no plan's objective can be below */
    double gap;         /* (value - lower_bound) / lower_bound */
    double plan_seconds;
    size_t task_count, region_count, device_count; /* devices: those with work */
    size_t arena_bytes, arena_lower_bound_bytes;   /* activations, all memories together */
};
HE_API HE_MUST_CHECK he_status he_plan_figures(const struct he_plan *plan,
                                               struct he_plan_figures *out);

/** Task @index: its id, the id of its device, predicted seconds. Strings owned by the plan. */
HE_API HE_MUST_CHECK he_status he_plan_task(const struct he_plan *plan, size_t index,
                                            const char **id, const char **device,
                                            double *seconds);

/**
 * Why the task called @task (NULL: every task) runs where it does: each
 * candidate with its cost terms, and what would change the choice. Gives *out,
 * to be freed with he_string_free().
 */
HE_API HE_MUST_CHECK he_status he_plan_explain_text(const struct he_plan *plan, const char *task,
                                                    char **out);
HE_API void he_string_free(char *string);

#ifdef __cplusplus
}
#endif
#endif
