/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A probe: a small graph made here, on one or two devices, run and timed through the
 * executor that runs models, so that what it shows is what models pay.
 */
#ifndef HE_ENGINE_PROBE_H
#define HE_ENGINE_PROBE_H

#include "engine/engine.h"

struct he_probe;

/* What a probe's graph is: a chain of equal tasks. */
struct he_probe_shape {
    const char *op;       /* "Relu", "Erf": one input; "MatMul": multiplies its input by itself */
    uint32_t task_count;
    uint32_t devices[2];
    uint32_t stay; /* task k runs on devices[k / stay % 2]; 0: as 1 */
    int64_t rows, columns; /* of every tensor, float32 */
};

/* Gives *out; HE_ERR_UNSUPPORTED when a device does not take the operator. */
he_status he_probe_open(struct he_engine *engine, const struct he_probe_shape *shape,
                        struct he_probe **out) HE_MUST_CHECK;
void he_probe_close(struct he_probe *probe); /* NULL is fine */
/* One run: its seconds. */
he_status he_probe_run(struct he_probe *probe, double *seconds) HE_MUST_CHECK;

#endif
