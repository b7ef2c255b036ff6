/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calibration store as a text file: a header with the version, then one line per
 * series. Saving locks a file beside it, reads what other processes have saved since,
 * adds this process's new samples, and puts the whole in place by renaming, so that a
 * reader always finds a complete file and no writer loses another's samples.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/text.h"
#include "cost/store_table.h"

#define STORE_HEADER "heteroengine-costs 2"
#define LINE_BYTES (HE_COST_KEY_BYTES + 64 + 16 * HE_COST_KEPT_SAMPLES)

/* Where the store of this user is; "" when there is no home. */
static const char *default_path(struct he_arena *arena)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    if (cache && cache[0] == '/')
        return he_arena_printf(arena, "%s/heteroengine/costs-2.txt", cache);
    if (home && home[0] == '/')
        return he_arena_printf(arena, "%s/.cache/heteroengine/costs-2.txt", home);
    return "";
}

/* --- Reading --- */

/* "1e-3,2e-3,..." -> @out, oldest first; how many, or 0 when something is no sample. */
static uint32_t read_samples(const char *text, float out[HE_COST_KEPT_SAMPLES])
{
    uint32_t count = 0;

    for (;;) {
        char *end;
        double sample = strtod(text, &end);

        if (end == text || !he_cost_is_sample(sample) || count == HE_COST_KEPT_SAMPLES)
            return 0;
        out[count++] = (float)sample;
        if (!*end)
            return count;
        if (*end != ',')
            return 0;
        text = end + 1;
    }
}

/* "name subject class count stamp model samples" */
static he_status read_line(struct he_cost_store *store, const char *line, unsigned number)
{
    char name[HE_COST_KEY_BYTES + 1], subject[HE_COST_KEY_BYTES + 1];
    char samples[16 * HE_COST_KEPT_SAMPLES + 1], rest;
    float values[HE_COST_KEPT_SAMPLES];
    struct he_cost_series *series;
    unsigned work_class, count;
    uint32_t kept;
    long long stamp;
    double model;
    he_status status;

    if (!line[0] || line[0] == '#')
        return HE_OK;
    if (sscanf(line, "%1000s %1000s %u %u %lld %lf %240s%c", name, subject, &work_class, &count,
               &stamp, &model, samples, &rest) != 7 ||
        work_class >= HE_WORK_CLASS_COUNT || !(model >= 0) || !isfinite(model) ||
        (kept = read_samples(samples, values)) == 0 || count < kept ||
        (kept < HE_COST_KEPT_SAMPLES && count != kept)) {
        he_log(HE_LOG_WARNING, "%s:%u: damaged line skipped", store->path, number);
        return HE_OK;
    }
    if (store->count >= HE_COST_MAX_SERIES || he_cost_store_find(store, name, subject))
        return HE_OK;
    status = he_cost_store_series(store, name, subject, &series);
    if (status != HE_OK || !series)
        return status;
    series->work_class = (enum he_work_class)work_class;
    series->model = model;
    series->count = count;
    series->stamp = stamp;
    for (uint32_t k = 0; k < kept; k++)
        series->samples[(count - kept + k) % HE_COST_KEPT_SAMPLES] = values[k];
    return HE_OK;
}

static he_status read_lines(struct he_cost_store *store, const struct he_file *file)
{
    const char *at = file->data, *end = at + file->size;
    char line[LINE_BYTES];
    unsigned number = 0;

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop ? stop : end) - at);

        number++;
        if (size < sizeof line) {
            he_status status;

            memcpy(line, at, size);
            line[size] = '\0';
            if (number == 1 && strcmp(line, STORE_HEADER) != 0) {
                he_log(HE_LOG_WARNING, "%s is not a calibration store of this version: ignored",
                       store->path);
                return HE_OK;
            }
            status = number == 1 ? HE_OK : read_line(store, line, number);
            if (status != HE_OK)
                return status;
        } else {
            he_log(HE_LOG_WARNING, "%s:%u: damaged line skipped", store->path, number);
        }
        at += size + 1;
    }
    return HE_OK;
}

he_status he_cost_store_read(struct he_cost_store *store)
{
    struct he_file file;
    he_status status;

    if (!store->path[0] || access(store->path, F_OK) != 0)
        return HE_OK;
    status = he_file_map(store->path, &file);
    if (status != HE_OK)
        return status;
    status = read_lines(store, &file);
    he_file_unmap(&file);
    return status;
}

he_status he_cost_store_open(const char *path, const struct he_allocator *alloc,
                             struct he_cost_store **out)
{
    struct he_cost_store *store;
    he_status status = HE_OK;

    *out = NULL;
    store = he_alloc(alloc, 1, sizeof *store);
    if (!store)
        return he_no_memory();
    he_arena_init(&store->arena, alloc);
    he_map_init(&store->index, &store->arena);
    store->path = path ? he_arena_printf(&store->arena, "%s", path) : default_path(&store->arena);
    if (!store->path)
        status = he_no_memory();
    if (status == HE_OK)
        status = he_cost_store_read(store);
    if (status != HE_OK) {
        he_cost_store_close(store);
        return status;
    }
    *out = store;
    return HE_OK;
}

void he_cost_store_close(struct he_cost_store *store)
{
    struct he_allocator alloc;

    if (!store)
        return;
    alloc = store->arena.alloc;
    he_free(&alloc, store->series);
    he_arena_fini(&store->arena);
    he_free(&alloc, store);
}

/* --- Writing --- */

/* Makes the folders above the file; what fails shows when the file is written. */
static void make_folders(const char *path)
{
    char folder[1024];

    if (strlen(path) >= sizeof folder)
        return;
    strcpy(folder, path);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(folder, 0777);
        *slash = '/';
    }
}

/* The lock goes with its descriptor, also when the process dies. */
static he_status lock(const struct he_cost_store *store, int *out)
{
    char *name = he_alloc(&store->arena.alloc, strlen(store->path) + sizeof ".lock", 1);
    he_status status = HE_OK;

    *out = -1;
    if (!name)
        return he_no_memory();
    sprintf(name, "%s.lock", store->path);
    *out = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    while (*out >= 0 && flock(*out, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        close(*out);
        *out = -1;
    }
    if (*out < 0)
        status = he_error_set(HE_ERR_IO, "cannot lock %s: %s", name, strerror(errno));
    he_free(&store->arena.alloc, name);
    return status;
}

/* Adds @from's fresh samples to what another process may have saved since. */
static he_status merge(struct he_cost_store *into, const struct he_cost_store *from)
{
    for (size_t k = 0; k < from->count; k++) {
        const struct he_cost_series *series = &from->series[k];
        uint32_t kept = he_cost_series_kept(series), fresh = series->fresh, lost;
        struct he_cost_series *to;
        he_status status;

        if (fresh == 0 && !series->forgets_model)
            continue;
        status = he_cost_store_series(into, series->name, series->subject, &to);
        if (status != HE_OK || !to)
            return status;
        to->work_class = series->work_class;
        to->model = series->model;
        if (fresh == 0)
            continue;
        to->stamp = series->stamp;
        /* Samples that have left the ring already count, and that is all of them. */
        lost = fresh > kept ? fresh - kept : 0;
        to->count += lost;
        for (uint32_t n = fresh - lost; n > 0; n--)
            to->samples[to->count++ % HE_COST_KEPT_SAMPLES] =
                series->samples[(series->count - n) % HE_COST_KEPT_SAMPLES];
    }
    return HE_OK;
}

static int newest_first(const void *a, const void *b)
{
    const struct he_cost_series *x = a, *y = b;
    int order;

    if (x->stamp != y->stamp)
        return x->stamp > y->stamp ? -1 : 1;
    order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->subject, y->subject);
}

static void put_series(const struct he_cost_series *series, struct he_text *text)
{
    uint32_t kept = he_cost_series_kept(series);

    he_text_printf(text, "%s %s %u %u %lld %.9g ", series->name, series->subject,
                   series->work_class, series->count, (long long)series->stamp, series->model);
    for (uint32_t n = kept; n > 0; n--)
        he_text_printf(text, "%.7g%s",
                       (double)series->samples[(series->count - n) % HE_COST_KEPT_SAMPLES],
                       n > 1 ? "," : "\n");
}

/* Sorts the series: the index is of no use afterwards. */
static he_status write_store(struct he_cost_store *store)
{
    struct he_text text;
    he_status status;

    qsort(store->series, store->count, sizeof *store->series, newest_first);
    he_text_init(&text, &store->arena.alloc);
    he_text_printf(&text, "%s\n# name subject class count stamp model samples\n", STORE_HEADER);
    for (size_t k = 0; k < store->count && k < HE_COST_MAX_SERIES; k++)
        put_series(&store->series[k], &text);
    status = he_text_status(&text);
    if (status == HE_OK)
        status = he_file_write(store->path, he_text_string(&text), text.size);
    he_text_fini(&text);
    return status;
}

static bool has_fresh(const struct he_cost_store *store)
{
    for (size_t k = 0; k < store->count; k++) {
        if (store->series[k].fresh > 0 || store->series[k].forgets_model)
            return true;
    }
    return false;
}

he_status he_cost_store_save(struct he_cost_store *store)
{
    struct he_cost_store *merged = NULL;
    he_status status;
    int fd;

    if (!store->path[0] || !has_fresh(store))
        return HE_OK;
    make_folders(store->path);
    status = lock(store, &fd);
    if (status != HE_OK)
        return status;
    status = he_cost_store_open(store->path, &store->arena.alloc, &merged);
    if (status == HE_OK)
        status = merge(merged, store);
    if (status == HE_OK)
        status = write_store(merged);
    he_cost_store_close(merged);
    close(fd);
    for (size_t k = 0; status == HE_OK && k < store->count; k++) {
        store->series[k].fresh = 0;
        store->series[k].forgets_model = false;
    }
    return status;
}
