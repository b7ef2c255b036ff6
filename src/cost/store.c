/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calibration store: one text line per (device, signature) with what was
 * measured. Mean and spread follow Welford; a sample above three times
 * the mean of a settled entry counts as an outlier and is left out.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/map.h"
#include "core/text.h"
#include "cost/cost.h"

#define STORE_HEADER "heteroengine-costs 1"
#define OUTLIER_RATIO 3.0
#define SETTLED_SAMPLES 5
#define LONGEST_SECONDS 3600.0

struct entry {
    const char *device;
    uint64_t signature;
    enum he_work_class work_class;
    double roofline; /* what the model said, for the learnt factor */
    double mean, m2;
    uint32_t count;
};

struct he_cost_store {
    struct he_arena arena;
    const char *path; /* "" : kept in memory only */
    struct entry *entries;
    size_t count, capacity;
    struct he_map index; /* "device signature" -> entry */
    bool is_changed;
};

static const char *entry_key(char *key, size_t size, const char *device, uint64_t signature)
{
    snprintf(key, size, "%016llx %s", (unsigned long long)signature, device);
    return key;
}

static struct entry *find_entry(const struct he_cost_store *store, const char *device,
                                uint64_t signature)
{
    char key[512];
    uint32_t index;

    if (!he_map_get(&store->index, entry_key(key, sizeof key, device, signature), &index))
        return NULL;
    return &store->entries[index];
}

static he_status append_entry(struct he_cost_store *store, const struct entry *entry)
{
    char key[512];
    const char *kept;
    he_status status;

    status = he_alloc_grow(&store->arena.alloc, (void **)&store->entries, &store->capacity,
                           store->count, store->count + 1, sizeof *store->entries);
    if (status != HE_OK)
        return status;
    kept = he_arena_printf(&store->arena, "%s",
                           entry_key(key, sizeof key, entry->device, entry->signature));
    if (!kept)
        return he_no_memory();
    status = he_map_put(&store->index, kept, (uint32_t)store->count);
    if (status != HE_OK)
        return status;
    store->entries[store->count] = *entry;
    /* The key ends in the device's name, which is as long-lived as the store. */
    store->entries[store->count++].device = kept + 17;
    return HE_OK;
}

/* "signature class count mean m2 roofline device" */
static he_status read_line(struct he_cost_store *store, const char *line, unsigned number)
{
    struct entry entry = { 0 };
    unsigned long long signature;
    unsigned work_class, count;
    char device[480];

    if (!line[0] || line[0] == '#')
        return HE_OK;
    if (sscanf(line, "%llx %u %u %lf %lf %lf %479s", &signature, &work_class, &count, &entry.mean,
               &entry.m2, &entry.roofline, device) != 7 ||
        work_class >= HE_WORK_CLASS_COUNT || !(entry.mean > 0 && entry.mean < LONGEST_SECONDS) ||
        !(entry.m2 >= 0) || !isfinite(entry.m2) ||
        !(entry.roofline >= 0) || !isfinite(entry.roofline)) {
        he_log(HE_LOG_WARNING, "%s:%u: damaged line skipped", store->path, number);
        return HE_OK;
    }
    entry.signature = signature;
    entry.work_class = (enum he_work_class)work_class;
    entry.count = count;
    entry.device = device;
    if (find_entry(store, device, entry.signature))
        return HE_OK;
    return append_entry(store, &entry);
}

static he_status read_lines(struct he_cost_store *store, const struct he_file *file)
{
    const char *at = file->data, *end = at + file->size;
    unsigned number = 0;
    he_status status;
    char line[1024];

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop ? stop : end) - at);

        number++;
        if (size < sizeof line) {
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
        }
        at += size + 1;
    }
    return HE_OK;
}

/* Where the store of this user is; "" when there is no home. */
static const char *default_path(struct he_arena *arena)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    if (cache && cache[0] == '/')
        return he_arena_printf(arena, "%s/heteroengine/costs-1.txt", cache);
    if (home && home[0] == '/')
        return he_arena_printf(arena, "%s/.cache/heteroengine/costs-1.txt", home);
    return "";
}

he_status he_cost_store_open(const char *path, const struct he_allocator *alloc,
                             struct he_cost_store **out)
{
    struct he_cost_store *store;
    struct he_file file;
    he_status status = HE_OK;

    *out = NULL;
    store = he_alloc(alloc, 1, sizeof *store);
    if (!store)
        return he_no_memory();
    he_arena_init(&store->arena, alloc);
    he_map_init(&store->index, &store->arena);
    store->path = path ? he_arena_printf(&store->arena, "%s", path) : default_path(&store->arena);
    if (!store->path) {
        status = he_no_memory();
        goto close_store;
    }
    if (store->path[0] && access(store->path, F_OK) == 0) {
        status = he_file_map(store->path, &file);
        if (status != HE_OK)
            goto close_store;
        status = read_lines(store, &file);
        he_file_unmap(&file);
        if (status != HE_OK)
            goto close_store;
    }
    *out = store;
    return HE_OK;

close_store:
    he_cost_store_close(store);
    return status;
}

void he_cost_store_close(struct he_cost_store *store)
{
    struct he_allocator alloc;

    if (!store)
        return;
    alloc = store->arena.alloc;
    he_free(&alloc, store->entries);
    he_arena_fini(&store->arena);
    he_free(&alloc, store);
}

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

he_status he_cost_store_save(struct he_cost_store *store)
{
    struct he_text text;
    he_status status;

    if (!store->is_changed || !store->path[0])
        return HE_OK;
    he_text_init(&text, &store->arena.alloc);
    he_text_printf(&text, "%s\n# signature class count mean m2 roofline device\n", STORE_HEADER);
    for (size_t k = 0; k < store->count; k++) {
        const struct entry *entry = &store->entries[k];

        he_text_printf(&text, "%016llx %u %u %.9g %.9g %.9g %s\n",
                       (unsigned long long)entry->signature, entry->work_class, entry->count,
                       entry->mean, entry->m2, entry->roofline, entry->device);
    }
    status = he_text_status(&text);
    if (status == HE_OK) {
        make_folders(store->path);
        status = he_file_write(store->path, he_text_string(&text), text.size);
    }
    he_text_fini(&text);
    if (status == HE_OK)
        store->is_changed = false;
    return status;
}

he_status he_cost_store_add(struct he_cost_store *store, const char *device, uint64_t signature,
                            enum he_work_class work_class, double roofline_seconds, double seconds)
{
    struct entry *entry = find_entry(store, device, signature);
    struct entry fresh;
    double delta;

    if (!(seconds > 0 && seconds < LONGEST_SECONDS) || !(roofline_seconds >= 0) ||
        !isfinite(roofline_seconds) || strlen(device) >= 480)
        return HE_OK;
    store->is_changed = true;
    if (!entry) {
        fresh = (struct entry){ .device = device, .signature = signature,
                                .work_class = work_class, .roofline = roofline_seconds,
                                .mean = seconds, .count = 1 };
        return append_entry(store, &fresh);
    }
    if (entry->count >= SETTLED_SAMPLES && seconds > OUTLIER_RATIO * entry->mean)
        return HE_OK;
    /* The first sample often pays for cold caches: a much quicker one replaces it. */
    if (entry->count == 1 && seconds * 2 < entry->mean) {
        entry->mean = seconds;
        return HE_OK;
    }
    entry->count++;
    delta = seconds - entry->mean;
    entry->mean += delta / entry->count;
    entry->m2 += delta * (seconds - entry->mean);
    return HE_OK;
}

bool he_cost_store_get(const struct he_cost_store *store, const char *device, uint64_t signature,
                       double *seconds, double *spread)
{
    const struct entry *entry = find_entry(store, device, signature);

    if (!entry || entry->count < HE_COST_MIN_SAMPLES)
        return false;
    *seconds = entry->mean;
    *spread = sqrt(entry->m2 / (entry->count - 1)) / entry->mean;
    return true;
}

double he_cost_store_factor(const struct he_cost_store *store, const char *device,
                            enum he_work_class work_class)
{
    double log_sum = 0;
    size_t count = 0;

    /* Geometric mean of measured over modelled. */
    for (size_t k = 0; k < store->count; k++) {
        const struct entry *entry = &store->entries[k];

        if (entry->work_class != work_class || entry->count < HE_COST_MIN_SAMPLES ||
            entry->roofline <= 0 || strcmp(entry->device, device) != 0)
            continue;
        log_sum += log(entry->mean / entry->roofline);
        count++;
    }
    return count > 0 ? exp(log_sum / (double)count) : 1.0;
}
