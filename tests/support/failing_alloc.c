/* SPDX-License-Identifier: Apache-2.0 */
#include "failing_alloc.h"

#include <stdlib.h>

static void *failing_take(void *self, size_t size)
{
    struct failing_alloc *failing = self;
    void *memory;

    if (failing->left == 0) {
        failing->refused++;
        return NULL;
    }
    memory = malloc(size ? size : 1);
    if (memory) {
        failing->left--;
        failing->live++;
    }
    return memory;
}

static void failing_give(void *self, void *memory)
{
    struct failing_alloc *failing = self;

    if (memory)
        failing->live--;
    free(memory);
}

void failing_alloc_init(struct failing_alloc *failing, size_t succeed)
{
    *failing = (struct failing_alloc){ .alloc = { failing_take, failing_give, failing },
                                       .left = succeed };
}
