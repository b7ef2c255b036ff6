/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4), for the digests of outputs in reports. */
#ifndef TOOLS_SHA256_H
#define TOOLS_SHA256_H

#include <stddef.h>

#define SHA256_HEX_SIZE 65
void sha256_hex(const void *data, size_t size, char out[SHA256_HEX_SIZE]);

#endif
