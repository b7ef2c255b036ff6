/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freeing what a lost device held. A driver whose chip fell off the bus answers with an error, or
 * sits in its call for ever: nobody who waits for a result may be kept by that. So the calls are
 * made by a detached thread, and after a few seconds the rest is left to the end of the process.
 *
 *   WAITED_FOR -thread is through-> DONE        the caller frees the task
 *   WAITED_FOR -patience is over-> ABANDONED    the thread stops after its call; nobody frees it
 */
#include <stdlib.h>

#include "burial.h"
#include "clock.h"
#include "thread.h"

#define PATIENCE_NS UINT64_C(5000000000)

static _Atomic uint64_t patience_ns = PATIENCE_NS;

enum { WAITED_FOR, DONE, ABANDONED };

struct task {
    struct he_burial burial;
    _Atomic uint32_t state;
    struct task *next_abandoned;
};

/* Kept in sight until the process ends: a driver may still come back to what they hold. */
static struct task *_Atomic abandoned;

void he_bury_patience(uint64_t ns)
{
    atomic_store(&patience_ns, ns ? ns : PATIENCE_NS);
}

static void free_task(struct task *task)
{
    free(task->burial.remains);
    free(task);
}

static bool is_abandoned(struct task *task)
{
    return atomic_load(&task->state) == ABANDONED;
}

static void *dig(void *self)
{
    struct task *task = self;
    const struct he_burial *burial = &task->burial;
    uint32_t waited_for = WAITED_FOR;

    /* What is in flight may still write where results go. */
    if (burial->ops.wait && !is_abandoned(task))
        (void)burial->ops.wait(burial->impl);
    for (size_t k = 0; k < burial->count && !is_abandoned(task); k++)
        burial->remains[k].free_fn(burial->impl, burial->remains[k].object);
    if (burial->closes && !is_abandoned(task))
        burial->ops.close(burial->impl);
    if (atomic_compare_exchange_strong(&task->state, &waited_for, DONE))
        he_futex_wake(&task->state, 1);
    return NULL;
}

/* True when the thread is through with it; then the task is the caller's again. */
static bool wait_for(struct task *task)
{
    uint64_t deadline_ns = he_now_ns() + atomic_load(&patience_ns);
    uint32_t waited_for = WAITED_FOR;

    while (atomic_load(&task->state) == WAITED_FOR) {
        uint64_t now_ns = he_now_ns();

        if (now_ns >= deadline_ns)
            return !atomic_compare_exchange_strong(&task->state, &waited_for, ABANDONED);
        he_futex_wait(&task->state, WAITED_FOR, (int64_t)(deadline_ns - now_ns));
    }
    return true;
}

bool he_bury(const struct he_burial *burial)
{
    struct task *task = calloc(1, sizeof *task);
    pthread_attr_t detached;
    pthread_t thread;
    bool is_started;

    if (!task) {
        free(burial->remains);
        return false;
    }
    task->burial = *burial;
    if (pthread_attr_init(&detached) != 0) {
        free_task(task);
        return false;
    }
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    is_started = pthread_create(&thread, &detached, dig, task) == 0;
    pthread_attr_destroy(&detached);
    if (is_started && !wait_for(task)) {
        task->next_abandoned = atomic_load(&abandoned);
        while (!atomic_compare_exchange_weak(&abandoned, &task->next_abandoned, task))
            ;
        return false;
    }
    free_task(task);
    return is_started;
}
