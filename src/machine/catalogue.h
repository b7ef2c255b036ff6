/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_MACHINE_CATALOGUE_H
#define HE_MACHINE_CATALOGUE_H

#include "machine/machine.h"

/* yaml.c: the keys of one device from a file of its own, over what @device says so far. */
he_status he_machine_read_entry(struct he_machine *machine, struct he_machine_device *device,
                                const char *path) HE_MUST_CHECK;

#endif
