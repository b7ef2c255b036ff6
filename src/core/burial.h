/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left of a lost device: freed by calls into a driver that may fail, or never
 * come back. They are made by a thread of their own, and waited for a bounded time.
 */
#ifndef HE_CORE_BURIAL_H
#define HE_CORE_BURIAL_H

#include <heteroengine/backend.h>

/* One thing to free: free_fn(dev, object). */
struct he_remain {
    void (*free_fn)(void *dev, void *object);
    void *object;
};

struct he_burial {
    struct he_device_ops ops;
    void *impl;
    struct he_remain *remains; /* malloc'ed */
    size_t count;
    bool closes; /* the device itself, too */
};

/* Takes burial->remains. True when all is done; false when the driver did not come back in time: what
 * was not freed by then never is, and the device must not be used again. */
bool he_bury(const struct he_burial *burial);

/* For tests: how long to wait instead; 0 is the usual time. */
void he_bury_patience(uint64_t ns);

#endif
