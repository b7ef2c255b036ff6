/* SPDX-License-Identifier: Apache-2.0 */
/* The only place that moves payload, and it counts. */
#ifndef HE_MEM_COPY_H
#define HE_MEM_COPY_H

#include "core/device.h"

struct he_copy_counter {
    uint64_t copies, bytes;
};

/* A place in the memory of a device; dev NULL is plain host memory. */
struct he_place_ref {
    struct he_device *dev;
    void *buffer;
    size_t offset;
};

/* Moves @bytes. Between two places of host memory that are the same address it moves and counts
 * nothing. Device to device goes through @staging (host, @bytes long). */
he_status he_copy(const struct he_place_ref *to, const struct he_place_ref *from, size_t bytes,
                  void *staging, struct he_copy_counter *counter) HE_MUST_CHECK;
/* As he_copy(), but only begins what a device can do by itself: what is moved to a device, and, with
 * @may_read, from one; a later mark or wait of the device tells when it is through. Between
 * two devices that reach each other's memory the host's is left out. */
he_status he_copy_begin(const struct he_place_ref *to, const struct he_place_ref *from,
                        size_t bytes, bool may_read, void *staging,
                        struct he_copy_counter *counter) HE_MUST_CHECK;
/* Gathers a host tensor with any strides (in elements; NULL: dense) into dense memory. */
void he_copy_strided(void *to, const void *from, uint32_t rank, const int64_t *dims,
                     const int64_t *strides, size_t element_bytes,
                     struct he_copy_counter *counter);

#endif
