/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HETEROENGINE_ALLOCATOR_H
#define HETEROENGINE_ALLOCATOR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Where the library gets host memory. alloc() returns NULL when there is none,
 * else memory aligned for any type; free() accepts NULL. Both are called from
 * any thread. A context copies this struct; @self must outlive the context.
 */
struct he_allocator {
    void *(*alloc)(void *self, size_t size);
    void (*free)(void *self, void *memory);
    void *self;
};

#ifdef __cplusplus
}
#endif
#endif
