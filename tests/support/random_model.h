/* SPDX-License-Identifier: Apache-2.0 */
/* Random models of many operators, for tests that run them in two ways. */
#ifndef TESTS_SUPPORT_RANDOM_MODEL_H
#define TESTS_SUPPORT_RANDOM_MODEL_H

#include "model/model.h"

#define RANDOM_MODEL_NODES 24

struct random_shape {
    int64_t c, hw; /* [1, c, hw, hw]; hw 1 after a global pool */
};

/* A generator of numbers, and (private) the model it is making. */
struct random_model {
    uint64_t state;
    struct he_arena *arena;
    struct onnx_graph *graph;
    const char *names[RANDOM_MODEL_NODES + 2];
    struct random_shape shapes[RANDOM_MODEL_NODES + 2];
    bool is_read[RANDOM_MODEL_NODES + 2];
    size_t value_count;
};

uint32_t random_pick(struct random_model *g, uint32_t count);
float random_unit(struct random_model *g); /* [-1, 1] */

/* One input "x"; every value nobody reads is an output. */
struct he_model *random_model_make(uint64_t seed);
void random_model_free(struct he_model *model);

#endif
