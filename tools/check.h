/* SPDX-License-Identifier: Apache-2.0 */
/* What `hetero check` finds, and who looks. */
#ifndef TOOLS_CHECK_H
#define TOOLS_CHECK_H

#include "hetero.h"

struct finding {
    char what[48], state[512];
    char remedy[512]; /* "": all is well */
    bool is_problem;  /* else a remedy is advice */
};

struct findings {
    struct finding items[96];
    size_t count, problems;
};

/* A further finding, empty but for @what; the last one again when there are too many. */
struct finding *finding_add(struct findings *list, const char *what);
/* Says what is wrong and how to mend it, and counts it. */
void finding_problem(struct findings *list, struct finding *finding, const char *format, ...)
    HE_PRINTF(3, 4);

/* check_opencl.c: loader, folder of drivers, each driver, device nodes. */
void check_opencl(struct findings *list);

#endif
