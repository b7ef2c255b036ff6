/* SPDX-License-Identifier: Apache-2.0 */
/* Status names and the error sentence: one fixed buffer per thread, so that
 * reporting an exhausted memory needs no memory. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <heteroengine/status.h>

#include "alloc.h"

#define SENTENCE_SIZE 1024

static _Thread_local char sentence[SENTENCE_SIZE];

const char *he_status_name(he_status status)
{
    switch (status) {
    case HE_OK:
        return "HE_OK";
    case HE_ERR_INVALID:
        return "HE_ERR_INVALID";
    case HE_ERR_NO_MEMORY:
        return "HE_ERR_NO_MEMORY";
    case HE_ERR_IO:
        return "HE_ERR_IO";
    case HE_ERR_PARSE:
        return "HE_ERR_PARSE";
    case HE_ERR_SETTING:
        return "HE_ERR_SETTING";
    case HE_ERR_SHAPE:
        return "HE_ERR_SHAPE";
    case HE_ERR_UNSUPPORTED:
        return "HE_ERR_UNSUPPORTED";
    case HE_ERR_NOT_FOUND:
        return "HE_ERR_NOT_FOUND";
    case HE_ERR_NO_DEVICE:
        return "HE_ERR_NO_DEVICE";
    case HE_ERR_DEVICE:
        return "HE_ERR_DEVICE";
    case HE_ERR_BUDGET:
        return "HE_ERR_BUDGET";
    case HE_ERR_CANCELLED:
        return "HE_ERR_CANCELLED";
    case HE_ERR_INTERNAL:
        return "HE_ERR_INTERNAL";
    case HE_ERR_DEVICE_LOST:
        return "HE_ERR_DEVICE_LOST";
    }
    return "unknown status";
}

const char *he_error_message(void)
{
    return sentence;
}

he_status he_error_set(he_status status, const char *format, ...)
{
    /* The arguments may point into the old sentence. */
    char fresh[SENTENCE_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(fresh, sizeof fresh, format, args);
    va_end(args);
    memcpy(sentence, fresh, sizeof fresh);
    return status;
}

he_status he_error_prefix(he_status status, const char *format, ...)
{
    char fresh[SENTENCE_SIZE];
    va_list args;
    int used;

    va_start(args, format);
    used = vsnprintf(fresh, sizeof fresh, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used + 3 < sizeof fresh)
        snprintf(fresh + used, sizeof fresh - (size_t)used, ": %.*s",
                 (int)(sizeof fresh - (size_t)used - 3), sentence);
    memcpy(sentence, fresh, sizeof fresh);
    return status;
}

he_status he_no_memory(void)
{
    return he_error_set(HE_ERR_NO_MEMORY, "host memory is exhausted");
}
