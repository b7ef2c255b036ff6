/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines go to a callback; the library itself prints nothing. */
#ifndef HE_CORE_LOG_H
#define HE_CORE_LOG_H

#include <heteroengine/status.h>

enum he_log_level { HE_LOG_ERROR, HE_LOG_WARNING, HE_LOG_INFO, HE_LOG_DEBUG };
typedef void (*he_log_fn)(void *self, enum he_log_level level, const char *line);

/* Process-wide; NULL turns it off (the start state). Thread-safe. */
HE_API void he_log_set(he_log_fn fn, void *self, enum he_log_level max_level);
void he_log(enum he_log_level level, const char *format, ...) HE_PRINTF(2, 3);

#endif
