/* SPDX-License-Identifier: Apache-2.0 */
/* Suggestions by optimal string alignment distance; quantities with units. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "size.h"
#include "words.h"

#define LONGEST_WORD 64

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance (Damerau-Levenshtein without repeated edits). */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][LONGEST_WORD + 1];
    size_t n = strlen(a), m = strlen(b);

    if (n > LONGEST_WORD || m > LONGEST_WORD)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = least(above[j] + 1, row[j - 1] + 1);
            row[j] = least(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

const char *he_nearest_word(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) / 3 + 1; /* one slip in short words */

    for (size_t k = 0; k < count; k++) {
        size_t d = strcasecmp(word, words[k]) == 0 ? 0 : distance(word, words[k]);

        if (d < best_distance || (d == best_distance && !best)) {
            best = words[k];
            best_distance = d;
        }
    }
    return best;
}

struct suffix {
    const char *text;
    double factor;
};

static const struct suffix bytes_suffixes[] = {
    { "", 1 },        { "B", 1 },       { "kB", 1e3 },    { "KB", 1e3 },    { "MB", 1e6 },
    { "GB", 1e9 },    { "TB", 1e12 },   { "KiB", 0x1p10 }, { "MiB", 0x1p20 }, { "GiB", 0x1p30 },
    { "TiB", 0x1p40 },
};
static const struct suffix rate_suffixes[] = {
    { "B/s", 1 },       { "kB/s", 1e3 },     { "KB/s", 1e3 },     { "MB/s", 1e6 },
    { "GB/s", 1e9 },    { "TB/s", 1e12 },    { "MiB/s", 0x1p20 }, { "GiB/s", 0x1p30 },
    { "TiB/s", 0x1p40 }, { "Mbit/s", 1.25e5 }, { "Gbit/s", 1.25e8 },
};
static const struct suffix seconds_suffixes[] = {
    { "ns", 1e-9 }, { "us", 1e-6 }, { "ms", 1e-3 }, { "s", 1 },
};
static const struct suffix ops_suffixes[] = {
    { "OPS", 1 },       { "MOPS", 1e6 },     { "GOPS", 1e9 },     { "TOPS", 1e12 },
    { "POPS", 1e15 },   { "FLOPS", 1 },      { "MFLOPS", 1e6 },   { "GFLOPS", 1e9 },
    { "TFLOPS", 1e12 }, { "PFLOPS", 1e15 },  { "GFLOP/s", 1e9 },  { "TFLOP/s", 1e12 },
};
static const struct suffix watts_suffixes[] = {
    { "W", 1 }, { "mW", 1e-3 }, { "kW", 1e3 },
};
static const struct suffix price_suffixes[] = {
    { "", 1 }, { "/h", 1 }, { "/s", 3600 }, { "/day", 1.0 / 24 },
};
static const struct suffix hertz_suffixes[] = {
    { "Hz", 1 }, { "kHz", 1e3 }, { "MHz", 1e6 }, { "GHz", 1e9 },
};
static const struct suffix fraction_suffixes[] = { { "", 1 }, { "%", 0.01 } };
static const struct suffix number_suffixes[] = { { "", 1 } };

static const struct {
    const struct suffix *suffixes;
    size_t count;
    const char *expected;
} units[] = {
    [HE_UNIT_BYTES] = { bytes_suffixes, HE_COUNT(bytes_suffixes), "bytes, such as 24GB or 512MiB" },
    [HE_UNIT_RATE] = { rate_suffixes, HE_COUNT(rate_suffixes), "a rate, such as 12GB/s" },
    [HE_UNIT_SECONDS] = { seconds_suffixes, HE_COUNT(seconds_suffixes),
                          "a time, such as 5us or 3ms" },
    [HE_UNIT_OPS] = { ops_suffixes, HE_COUNT(ops_suffixes),
                      "operations per second, such as 128TOPS or 312TFLOPS" },
    [HE_UNIT_WATTS] = { watts_suffixes, HE_COUNT(watts_suffixes), "a power, such as 75W" },
    [HE_UNIT_PRICE] = { price_suffixes, HE_COUNT(price_suffixes),
                        "a price per hour, such as 1.2/h" },
    [HE_UNIT_HERTZ] = { hertz_suffixes, HE_COUNT(hertz_suffixes), "a frequency, such as 250MHz" },
    [HE_UNIT_FRACTION] = { fraction_suffixes, HE_COUNT(fraction_suffixes),
                           "a share, such as 85% or 0.85" },
    [HE_UNIT_NUMBER] = { number_suffixes, HE_COUNT(number_suffixes), "a number" },
};

he_status he_parse_quantity(const char *text, enum he_unit unit, double *out)
{
    char *end;
    double number;

    if (text[0] == '-')
        return he_error_set(HE_ERR_SETTING, "'%s' is negative; expected %s", text,
                            units[unit].expected);
    number = strtod(text, &end);
    /* strtod also takes "inf", "nan" and hexadecimals: a quantity starts with a digit. */
    if (end == text || !((text[0] >= '0' && text[0] <= '9') || text[0] == '.') ||
        !isfinite(number) || strchr("xX", text[1] ? text[1] : '.'))
        return he_error_set(HE_ERR_SETTING, "'%s' is not a quantity; expected %s", text,
                            units[unit].expected);
    while (*end == ' ')
        end++;
    for (size_t k = 0; k < units[unit].count; k++) {
        if (strcmp(end, units[unit].suffixes[k].text) == 0) {
            number *= units[unit].suffixes[k].factor;
            if (!isfinite(number))
                return he_error_set(HE_ERR_SETTING, "'%s' is too large; expected %s", text,
                                    units[unit].expected);
            *out = number;
            return HE_OK;
        }
    }
    return he_error_set(HE_ERR_SETTING, "'%s' has the wrong unit; expected %s", text,
                        units[unit].expected);
}
