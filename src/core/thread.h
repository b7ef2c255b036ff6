/* SPDX-License-Identifier: Apache-2.0 */
/* Threads, locks and the futex, with the annotations Clang's -Wthread-safety checks. */
#ifndef HE_CORE_THREAD_H
#define HE_CORE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include <heteroengine/status.h>

#if defined(__clang__)
#define HE_CAPABILITY __attribute__((capability("mutex")))
#define HE_REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define HE_ACQUIRE(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define HE_RELEASE(...) __attribute__((release_capability(__VA_ARGS__)))
#define HE_UNCHECKED __attribute__((no_thread_safety_analysis))
#else
#define HE_CAPABILITY
#define HE_REQUIRES(...)
#define HE_ACQUIRE(...)
#define HE_RELEASE(...)
#define HE_UNCHECKED
#endif

struct HE_CAPABILITY he_mutex {
    pthread_mutex_t impl;
};

he_status he_mutex_init(struct he_mutex *mutex) HE_MUST_CHECK;
void he_mutex_fini(struct he_mutex *mutex);
void he_mutex_lock(struct he_mutex *mutex) HE_ACQUIRE(*mutex);
void he_mutex_unlock(struct he_mutex *mutex) HE_RELEASE(*mutex);

/* Sleeps while *word == expected; may wake early. @timeout_ns < 0 is for ever. */
void he_futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns);
/* Wakes up to @count sleepers (INT32_MAX: all). */
void he_futex_wake(_Atomic uint32_t *word, int count);

static inline void he_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif
