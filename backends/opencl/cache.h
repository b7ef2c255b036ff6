/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program cache: what drivers built, kept on disk between processes. See cache.c.
 */
#ifndef OPENCL_CACHE_H
#define OPENCL_CACHE_H

#include "opencl.h"

/* What a program is built from. */
struct opencl_source {
    const char *text;
    size_t size;
    const char *options;
};

/* Gives the program as built by an earlier process, or NULL: not there, damaged, refused by the
 * driver, or the cache is off. Never an error: the source can still be built. */
cl_program opencl_cache_load(struct opencl_device *dev, const struct opencl_source *source);
/* Keeps what was built. Failing to is no error either. */
void opencl_cache_store(struct opencl_device *dev, const struct opencl_source *source,
                        cl_program built);
/* True when there is any program for this device: of one without a compiler the rest cannot run. */
bool opencl_cache_has_any(struct opencl_device *dev);

/* digest.c: SHA-256 */
#define OPENCL_DIGEST_BYTES 32
void opencl_digest(const void *data, size_t size, uint8_t out[OPENCL_DIGEST_BYTES]);

#endif
