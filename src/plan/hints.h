/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the model itself says its nodes should run: device configurations
 * (ONNX IR version 11) and `layer_ann` properties, which the setting
 * scheduling.layers maps to devices ("gpu(encoder, decoder); cpu(=head)").
 */
#ifndef HE_PLAN_HINTS_H
#define HE_PLAN_HINTS_H

#include "cost/cost.h"
#include "graph/graph.h"
#include "machine/machine.h"
#include "model/model.h"

struct he_hint {
    uint32_t task;
    const char *wanted;  /* as the model or the rule writes it */
    const char *source;  /* "device configuration 'x'", "layer_ann" */
    const char *problem; /* why it is not respected; NULL: it is */
};

/* Narrows @problem (and the reasons in @costs) to what the model asks for, where that can run;
 * lists every hint with what became of it. Nothing when the settings say hints: ignore. Strings from
 * @arena, the model and the machine. HE_ERR_SETTING: scheduling.layers cannot be read. */
he_status he_hints_apply(const struct he_model *model, const struct he_graph *graph,
                         const struct he_machine *machine, struct he_problem *problem,
                         struct he_cost *costs, struct he_arena *arena, struct he_hint **out,
                         size_t *count) HE_MUST_CHECK;

/* True when @designator ("GPU:0", "gpu", "gpu:1", "gpu:nvidia", "cuda", "accelerator") means device
 * @index of @machine. An exact id goes before the rest: then nothing else is meant. */
bool he_designator_means(const struct he_machine *machine, uint32_t index, const char *designator);

#endif
