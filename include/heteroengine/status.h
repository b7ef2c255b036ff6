/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HETEROENGINE_STATUS_H
#define HETEROENGINE_STATUS_H

/*
 * Status codes, the error sentence, and the attributes every header uses.
 *
 * Words about pointers have one meaning in all headers: *borrows* (reads until
 * it returns, or until the stated end), *takes* (yours to free no longer),
 * *gives* (yours to free from now on), *shares* (counted).
 */

#if defined(__GNUC__)
#define HE_API __attribute__((visibility("default")))
#define HE_MUST_CHECK __attribute__((warn_unused_result))
#define HE_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define HE_API
#define HE_MUST_CHECK
#define HE_PRINTF(text, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum he_status {
    HE_OK = 0,
    HE_ERR_INVALID,     /* an argument of the call itself is wrong */
    HE_ERR_NO_MEMORY,   /* host or device memory is exhausted */
    HE_ERR_IO,          /* a file cannot be opened, read or written */
    HE_ERR_PARSE,       /* a file is damaged or breaks its format */
    HE_ERR_SETTING,     /* a setting or option is unknown or impossible */
    HE_ERR_SHAPE,       /* tensor shapes or types do not fit together */
    HE_ERR_UNSUPPORTED, /* well-formed, but nothing here can do it */
    HE_ERR_NOT_FOUND,   /* a name that does not exist */
    HE_ERR_NO_DEVICE,   /* the device is absent */
    HE_ERR_DEVICE,      /* the device or its driver failed; another try may go well */
    HE_ERR_BUDGET,      /* no plan fits the budget or the memory */
    HE_ERR_CANCELLED,   /* the caller gave up first */
    HE_ERR_INTERNAL,    /* a bug of ours */
    HE_ERR_DEVICE_LOST, /* the device is gone: no call on it will ever succeed again */
} he_status;

/** The name of @status ("HE_ERR_PARSE"); never NULL. Thread-safe. */
HE_API const char *he_status_name(he_status status);

/**
 * The sentence that goes with the last failure on this thread: what, on which
 * object, with the vendor's own code. Owned by the library and valid until the
 * next failing call on this thread; "" when nothing failed yet.
 */
HE_API const char *he_error_message(void);

/**
 * For backends and other code that *decides* what went wrong: replaces this
 * thread's sentence and returns @status, so that `return he_error_set(...)`
 * reads well. Never allocates.
 */
HE_API he_status he_error_set(he_status status, const char *format, ...) HE_PRINTF(2, 3);

/** Puts "context: " before this thread's sentence (a file name, a node); returns @status. */
HE_API he_status he_error_prefix(he_status status, const char *format, ...) HE_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif
#endif
