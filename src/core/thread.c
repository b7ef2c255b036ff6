/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "thread.h"

he_status he_mutex_init(struct he_mutex *mutex)
{
    int error = pthread_mutex_init(&mutex->impl, NULL);

    if (error)
        return he_error_set(HE_ERR_NO_MEMORY, "cannot make a lock: %s", strerror(error));
    return HE_OK;
}

void he_mutex_fini(struct he_mutex *mutex)
{
    pthread_mutex_destroy(&mutex->impl);
}

void he_mutex_lock(struct he_mutex *mutex) HE_UNCHECKED
{
    pthread_mutex_lock(&mutex->impl);
}

void he_mutex_unlock(struct he_mutex *mutex) HE_UNCHECKED
{
    pthread_mutex_unlock(&mutex->impl);
}

void he_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
    struct timespec timeout = { .tv_sec = timeout_ns / 1000000000,
                                .tv_nsec = timeout_ns % 1000000000 };

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? NULL : &timeout, NULL,
            0);
}

void he_futex_wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}
