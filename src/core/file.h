/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files: mapped for reading, written at once. */
#ifndef HE_CORE_FILE_H
#define HE_CORE_FILE_H

#include "alloc.h"

struct he_file {
    const void *data; /* size bytes; a valid pointer even for an empty file */
    size_t size;
};

/* Read-only map. The sentence names the path and the system's reason. Refuses folders. */
he_status he_file_map(const char *path, struct he_file *out) HE_MUST_CHECK;
void he_file_unmap(struct he_file *file);
/* Writes beside and renames, so that a reader never sees half a file. */
he_status he_file_write(const char *path, const void *data, size_t size) HE_MUST_CHECK;

#endif
