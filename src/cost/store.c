/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calibration store in memory: series of samples, and the robust figures made of
 * them. Median and median absolute deviation after F. R. Hampel, "The influence curve
 * and its role in robust estimation" (1974): half of the samples may be anything.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cost/store_table.h"

/* Makes a median absolute deviation comparable with a standard deviation. */
#define MAD_SCALE 1.4826
/* What a single learnt task says of others of its class. */
#define LONE_SPREAD 0.25
#define LEAST_SAMPLE 1e-12
#define LARGEST_SAMPLE 1e18 /* bytes per second and the like */
#define LONGEST_SECONDS 3600.0

static bool make_key(char *key, size_t size, const char *name, const char *subject)
{
    int length = snprintf(key, size, "%s %s", name, subject);

    return length > 0 && (size_t)length < size && length <= HE_COST_KEY_BYTES;
}

struct he_cost_series *he_cost_store_find(const struct he_cost_store *store, const char *name,
                                          const char *subject)
{
    char key[HE_COST_KEY_BYTES + 2];
    uint32_t index;

    if (!make_key(key, sizeof key, name, subject) || !he_map_get(&store->index, key, &index))
        return NULL;
    return &store->series[index];
}

he_status he_cost_store_series(struct he_cost_store *store, const char *name, const char *subject,
                               struct he_cost_series **out)
{
    char key[HE_COST_KEY_BYTES + 2], *kept, *words;
    uint32_t index;
    he_status status;

    *out = NULL;
    if (!make_key(key, sizeof key, name, subject))
        return HE_OK;
    if (he_map_get(&store->index, key, &index)) {
        *out = &store->series[index];
        return HE_OK;
    }
    status = he_alloc_grow(&store->arena.alloc, (void **)&store->series, &store->capacity,
                           store->count, store->count + 1, sizeof *store->series);
    if (status != HE_OK)
        return status;
    kept = he_arena_string(&store->arena, key, strlen(key));
    words = he_arena_string(&store->arena, key, strlen(key));
    if (!kept || !words)
        return he_no_memory();
    status = he_map_put(&store->index, kept, (uint32_t)store->count);
    if (status != HE_OK)
        return status;
    words[strlen(name)] = '\0';
    *out = &store->series[store->count++];
    **out = (struct he_cost_series){ .name = words, .subject = words + strlen(name) + 1 };
    return HE_OK;
}

bool he_cost_is_sample(double sample)
{
    return sample >= LEAST_SAMPLE && sample <= LARGEST_SAMPLE;
}

static void push(struct he_cost_series *series, double sample)
{
    series->samples[series->count % HE_COST_KEPT_SAMPLES] = (float)sample;
    series->count++;
    series->fresh++;
    series->stamp = (int64_t)time(NULL);
    if (series->count == 0) /* after four thousand million; the ring is full all the same */
        series->count = HE_COST_KEPT_SAMPLES;
}

he_status he_cost_store_note(struct he_cost_store *store, const char *name, const char *subject,
                             double sample)
{
    struct he_cost_series *series;
    he_status status;

    if (!he_cost_is_sample(sample))
        return HE_OK;
    status = he_cost_store_series(store, name, subject, &series);
    if (status == HE_OK && series)
        push(series, sample);
    return status;
}

/* --- Figures --- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Sorts @values, then spoils them. */
static void median_and_deviation(double *values, size_t count, double *middle, double *deviation)
{
    *middle = median(values, count);
    for (size_t k = 0; k < count; k++)
        values[k] = fabs(values[k] - *middle);
    *deviation = MAD_SCALE * median(values, count);
}

static double series_median(const struct he_cost_series *series, double *spread)
{
    double values[HE_COST_KEPT_SAMPLES], middle, deviation;
    uint32_t kept = he_cost_series_kept(series);

    for (uint32_t k = 0; k < kept; k++)
        values[k] = series->samples[k];
    median_and_deviation(values, kept, &middle, &deviation);
    *spread = deviation / middle;
    return middle;
}

bool he_cost_store_figure(const struct he_cost_store *store, const char *name,
                          const char *subject, struct he_cost_figure *out)
{
    const struct he_cost_series *series = he_cost_store_find(store, name, subject);

    if (!series || series->count < HE_COST_MIN_SAMPLES)
        return false;
    out->value = series_median(series, &out->spread);
    out->count = series->count;
    return true;
}

uint32_t he_cost_store_count(const struct he_cost_store *store, const char *name,
                             const char *subject)
{
    const struct he_cost_series *series = he_cost_store_find(store, name, subject);

    return series ? series->count : 0;
}

/* --- Tasks --- */

static const char *task_name(char *name, size_t size, uint64_t signature)
{
    snprintf(name, size, "task/%016llx", (unsigned long long)signature);
    return name;
}

he_status he_cost_store_add(struct he_cost_store *store, const char *device, uint64_t signature,
                            enum he_work_class work_class, double roofline_seconds, double seconds)
{
    struct he_cost_series *series;
    char name[32];
    he_status status;

    if (!he_cost_is_sample(seconds) || seconds > LONGEST_SECONDS || !(roofline_seconds >= 0) ||
        !isfinite(roofline_seconds))
        return HE_OK;
    status = he_cost_store_series(store, task_name(name, sizeof name, signature), device, &series);
    if (status != HE_OK || !series)
        return status;
    series->work_class = work_class;
    series->model = roofline_seconds;
    push(series, seconds);
    return HE_OK;
}

void he_cost_store_forget_models(struct he_cost_store *store, const char *device)
{
    for (size_t k = 0; k < store->count; k++) {
        if (store->series[k].model > 0 && strcmp(store->series[k].subject, device) == 0) {
            store->series[k].model = 0;
            store->series[k].forgets_model = true;
        }
    }
}

bool he_cost_store_get(const struct he_cost_store *store, const char *device, uint64_t signature,
                       double *seconds, double *spread)
{
    struct he_cost_figure figure;
    char name[32];

    if (!he_cost_store_figure(store, task_name(name, sizeof name, signature), device, &figure))
        return false;
    *seconds = figure.value;
    *spread = figure.spread;
    return true;
}

he_status he_cost_store_factors(const struct he_cost_store *store, const char *device,
                                struct he_cost_factors *out)
{
    double *logs = he_alloc(&store->arena.alloc, store->count, sizeof *logs);

    if (!logs)
        return he_no_memory();
    for (int c = 0; c < HE_WORK_CLASS_COUNT; c++) {
        struct he_cost_factor *factor = &out->by_class[c];
        double middle, deviation, spread;
        size_t count = 0;

        *factor = (struct he_cost_factor){ .factor = 1 };
        for (size_t k = 0; k < store->count; k++) {
            const struct he_cost_series *series = &store->series[k];

            if ((int)series->work_class == c && series->count >= HE_COST_MIN_SAMPLES &&
                series->model > 0 && strcmp(series->subject, device) == 0)
                logs[count++] = log(series_median(series, &spread) / series->model);
        }
        if (count == 0)
            continue;
        median_and_deviation(logs, count, &middle, &deviation);
        factor->factor = exp(middle);
        factor->spread = count > 2 ? exp(deviation) - 1 : LONE_SPREAD;
        factor->task_count = (uint32_t)count;
    }
    he_free(&store->arena.alloc, logs);
    return HE_OK;
}
