/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the calibration store: the table of series, which store.c asks and
 * store_file.c reads and writes. */
#ifndef HE_COST_STORE_TABLE_H
#define HE_COST_STORE_TABLE_H

#include "core/map.h"
#include "cost/store.h"

struct he_cost_series {
    const char *name, *subject;
    enum he_work_class work_class; /* of a task, else HE_WORK_NONE */
    double model;                  /* what the roofline said of it, for the learnt factor; else 0 */
    bool forgets_model;            /* it was put to 0, which the file does not know yet */
    uint32_t count;                /* samples ever seen; the newest KEPT of them stand here */
    uint32_t fresh;                /* of these, not yet in the file */
    int64_t stamp;                 /* when the last one came, seconds since 1970 */
    float samples[HE_COST_KEPT_SAMPLES]; /* a ring: sample k stands at k % KEPT */
};

struct he_cost_store {
    struct he_arena arena;
    const char *path; /* "": kept in memory only */
    struct he_cost_series *series;
    size_t count, capacity;
    struct he_map index; /* "name subject" -> series */
};

/* Samples that stand in the ring. */
static inline uint32_t he_cost_series_kept(const struct he_cost_series *s)
{
    return s->count < HE_COST_KEPT_SAMPLES ? s->count : HE_COST_KEPT_SAMPLES;
}

struct he_cost_series *he_cost_store_find(const struct he_cost_store *store, const char *name,
                                          const char *subject);
/* Finds or adds. Gives *out NULL when the words are too long to be kept. */
he_status he_cost_store_series(struct he_cost_store *store, const char *name, const char *subject,
                               struct he_cost_series **out) HE_MUST_CHECK;
bool he_cost_is_sample(double sample);
/* store_file.c */
he_status he_cost_store_read(struct he_cost_store *store) HE_MUST_CHECK;

#endif
