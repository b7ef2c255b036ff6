/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_MACHINE_BUDGET_H
#define HE_MACHINE_BUDGET_H

#include "machine/machine.h"

/* Adds or replaces one budget; the sentence says what was expected. */
he_status he_machine_put_budget(struct he_machine *machine, const char *name, const char *value) HE_MUST_CHECK;

#endif
