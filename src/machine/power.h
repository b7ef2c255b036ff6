/* SPDX-License-Identifier: Apache-2.0 */
/* The energy counters of the processor packages (Linux powercap, "RAPL"), where they can be read. */
#ifndef HE_MACHINE_POWER_H
#define HE_MACHINE_POWER_H

#include <stdbool.h>

struct he_power_reading {
    double joules; /* since some moment, all packages together */
    double range;  /* after so many the counters begin again */
};

/* False where there is no counter that this user may read. Looks under @root, NULL:
 * /sys/class/powercap. */
bool he_power_read(const char *root, struct he_power_reading *out);
/* Joules between two readings, a wrap in between allowed for. */
double he_power_between(const struct he_power_reading *before, const struct he_power_reading *after);

#endif
