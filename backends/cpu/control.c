/* SPDX-License-Identifier: Apache-2.0 */
/* Control flow: If, Loop and Scan, whose sub-graphs are programs of their own. */
#include "program.h"

#include <string.h>

bool cpu_is_control(const struct he_node *node)
{
    if (node->domain && *node->domain && strcmp(node->domain, "ai.onnx") != 0)
        return false;
    return !strcmp(node->op, "If") || !strcmp(node->op, "Loop") || !strcmp(node->op, "Scan");
}

he_status cpu_control_step(const struct cpu_compile *c, const struct he_task *task,
                           struct cpu_step **out)
{
    (void)c;
    (void)task;
    *out = NULL;
    return he_error_set(HE_ERR_UNSUPPORTED, "not control flow");
}
