/* SPDX-License-Identifier: Apache-2.0 */
/* Words people type: the nearest valid one, and quantities with units. */
#ifndef HE_CORE_WORDS_H
#define HE_CORE_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include <heteroengine/status.h>

/* The entry of @words nearest to @word (edit distance, transpositions counted
 * once), or NULL when none is near enough to suggest. */
const char *he_nearest_word(const char *word, const char *const *words, size_t count);

enum he_unit {
    HE_UNIT_BYTES,     /* 24GB (10^9), 16GiB (2^30), 512MB, 4096 */
    HE_UNIT_RATE,      /* bytes per second: 12GB/s, 2TB/s */
    HE_UNIT_SECONDS,   /* 5us, 3ms, 2s, 100ns */
    HE_UNIT_OPS,       /* operations per second: 128TOPS, 312TFLOPS, 5GOPS */
    HE_UNIT_WATTS,     /* 75W, 1.2kW */
    HE_UNIT_PRICE,     /* per hour: 1.2/h, 3 */
    HE_UNIT_HERTZ,     /* 250MHz */
    HE_UNIT_FRACTION,  /* 85% or 0.85 */
    HE_UNIT_NUMBER,
};

/* Parses all of @text. HE_ERR_SETTING says what was expected ("bytes, such as
 * 24GB or 512MiB") when the unit is wrong, the number negative, or not finite. */
he_status he_parse_quantity(const char *text, enum he_unit unit, double *out) HE_MUST_CHECK;

#endif
