/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "log.h"
#include "thread.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by lock. */
static he_log_fn log_fn;
static void *log_self;
/* Read without the lock first, so that a quiet log costs one load. */
static _Atomic int log_level = -1;

void he_log_set(he_log_fn fn, void *self, enum he_log_level max_level)
{
    pthread_mutex_lock(&lock);
    log_fn = fn;
    log_self = self;
    atomic_store(&log_level, fn ? (int)max_level : -1);
    pthread_mutex_unlock(&lock);
}

void he_log(enum he_log_level level, const char *format, ...)
{
    char line[1024];
    va_list args;
    he_log_fn fn;
    void *self;

    if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    pthread_mutex_lock(&lock);
    fn = log_fn;
    self = log_self;
    pthread_mutex_unlock(&lock);
    if (fn)
        fn(self, level, line);
}
