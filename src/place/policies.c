/* SPDX-License-Identifier: Apache-2.0 */
/* The table of policies, and what the strategies of the settings mean. */
#include <string.h>

#include "core/size.h"
#include "policies.h"

static const struct he_policy policies[] = {
    { "priority", "devices in list order claim the tasks they can run (what ONNX Runtime does)",
      he_policy_priority },
    { "cost", "least sum of task times and transfers within the budgets", he_policy_cost },
    { "budget", "another name of cost", he_policy_cost },
    { "heft", "list scheduling by upward rank, earliest finish first", he_policy_heft },
    { "peft", "list scheduling by the optimistic cost table", he_policy_peft },
    { "path", "shortest path over the dataflow frontier: least sum on narrow graphs", he_policy_path },
    { "local", "annealing over devices and order from the better of heft and one device",
      he_policy_local },
    { "exact", "branch and bound, for graphs of at most 12 tasks", he_policy_exact },
    { "throughput", "least load of the busiest server or link: split of a chain, then balancing",
      he_policy_throughput },
    { "pipeline", "the same, of splits that no edge leads back through: stages of a pipeline",
      he_policy_pipeline },
    { "energy", "least joules", he_policy_energy },
    { "large", "schedules from the front and the back in turn, for graphs of many tasks",
      he_policy_large },
    { "portfolio", "several policies, then search from the best; the default",
      he_policy_portfolio },
};

const struct he_policy *he_policy_find(const char *name)
{
    for (size_t k = 0; k < HE_COUNT(policies); k++) {
        if (name && strcmp(policies[k].name, name) == 0)
            return &policies[k];
    }
    return NULL;
}

size_t he_policy_count(void)
{
    return HE_COUNT(policies);
}

const struct he_policy *he_policy_at(size_t index)
{
    return index < HE_COUNT(policies) ? &policies[index] : NULL;
}
