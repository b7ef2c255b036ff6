/* SPDX-License-Identifier: Apache-2.0 */
/* The calibration store, and what a measurement is kept under. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "cost/cost.h"
#include "machine/power.h"
#include "support/failing_alloc.h"
#include "support/graph_builder.h"

#define ENOUGH HE_COST_MIN_SAMPLES

static char path[64];

static void make_path(void)
{
    int file;

    strcpy(path, "/tmp/costs-XXXXXX");
    file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    close(file);
    unlink(path); /* a missing file is an empty store */
}

static void remove_path(void)
{
    char lock[80];

    unlink(path);
    snprintf(lock, sizeof lock, "%s.lock", path);
    unlink(lock);
}

static struct he_cost_store *open_store(const char *where)
{
    struct he_cost_store *store;

    ck_assert_msg(he_cost_store_open(where, &he_allocator_default, &store) == HE_OK, "%s",
                  he_error_message());
    return store;
}

static void add(struct he_cost_store *store, const char *device, uint64_t signature, int count,
                double seconds)
{
    for (int k = 0; k < count; k++)
        ck_assert_int_eq(he_cost_store_add(store, device, signature, HE_WORK_CONV, 1e-3, seconds),
                         HE_OK);
}

START_TEST(ten_samples_make_a_measurement)
{
    struct he_cost_store *store = open_store("");
    double seconds = -1, spread = -1;

    add(store, "dev", 7, ENOUGH - 1, 2e-3);
    ck_assert(!he_cost_store_get(store, "dev", 7, &seconds, &spread));
    add(store, "dev", 7, 1, 2e-3);
    ck_assert(he_cost_store_get(store, "dev", 7, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 2e-3, 1e-9);
    ck_assert_double_eq_tol(spread, 0, 1e-6);
    ck_assert(!he_cost_store_get(store, "dev", 8, &seconds, &spread));
    ck_assert(!he_cost_store_get(store, "other", 7, &seconds, &spread));
    he_cost_store_close(store);
}
END_TEST

static double learnt(const struct he_cost_store *store, const char *device,
                     enum he_work_class work_class, double *spread)
{
    struct he_cost_factors factors;

    ck_assert_int_eq(he_cost_store_factors(store, device, &factors), HE_OK);
    if (spread)
        *spread = factors.by_class[work_class].spread;
    return factors.by_class[work_class].factor;
}

/* Median and median absolute deviation of the newest samples, by another road: counting. */
static double middle_by_counting(const double *values, size_t count)
{
    double low = NAN, high = NAN;

    for (size_t k = 0; k < count; k++) {
        size_t below = 0, same = 0;

        for (size_t i = 0; i < count; i++) {
            below += values[i] < values[k];
            same += values[i] == values[k];
        }
        if (below <= (count - 1) / 2 && below + same > (count - 1) / 2)
            low = values[k];
        if (below <= count / 2 && below + same > count / 2)
            high = values[k];
    }
    return (low + high) / 2;
}

START_TEST(figures_are_median_and_deviation_of_the_newest_samples)
{
    struct he_cost_store *store = open_store("");
    double all[40], far[HE_COST_KEPT_SAMPLES];
    uint32_t state = 7;

    for (size_t n = 0; n < 40; n++) {
        size_t kept = n + 1 < HE_COST_KEPT_SAMPLES ? n + 1 : HE_COST_KEPT_SAMPLES;
        const double *newest = &all[n + 1 - kept];
        double seconds, spread, middle;

        state = state * 1664525u + 1013904223u;
        all[n] = (float)(1e-3 + 1e-6 * (state >> 22));
        add(store, "dev", 1, 1, all[n]);
        if (n + 1 < ENOUGH)
            continue;
        ck_assert(he_cost_store_get(store, "dev", 1, &seconds, &spread));
        middle = middle_by_counting(newest, kept);
        for (size_t k = 0; k < kept; k++)
            far[k] = fabs(newest[k] - middle);
        ck_assert_double_eq_tol(seconds, middle, 1e-12);
        ck_assert_double_eq_tol(spread, 1.4826 * middle_by_counting(far, kept) / middle, 1e-9);
    }
    he_cost_store_close(store);
}
END_TEST

START_TEST(a_figure_follows_a_machine_that_changes)
{
    struct he_cost_store *store = open_store("");
    double seconds, spread;

    add(store, "dev", 1, 100, 1e-3);
    add(store, "dev", 1, HE_COST_KEPT_SAMPLES / 2 + 1, 5e-3);
    ck_assert(he_cost_store_get(store, "dev", 1, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 5e-3, 1e-9);
    he_cost_store_close(store);
}
END_TEST

START_TEST(impossible_samples_are_refused)
{
    const double bad[] = { 0, -1, -1e-9, NAN, INFINITY, -INFINITY, 1e9 };
    struct he_cost_store *store = open_store("");
    double seconds, spread;

    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
        add(store, "dev", 1, 2 * ENOUGH, bad[k]);
    ck_assert(!he_cost_store_get(store, "dev", 1, &seconds, &spread));
    add(store, "dev", 1, ENOUGH, 1e-3);
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
        add(store, "dev", 1, 2 * ENOUGH, bad[k]);
    ck_assert(he_cost_store_get(store, "dev", 1, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 1e-3, 1e-9);
    /* What the model said must be a number too: the factor is learnt from it. */
    for (int k = 0; k < ENOUGH; k++)
        ck_assert_int_eq(he_cost_store_add(store, "odd", 2, HE_WORK_MOVE, INFINITY, 1e-3), HE_OK);
    ck_assert_double_eq(learnt(store, "odd", HE_WORK_MOVE, NULL), 1);
    he_cost_store_close(store);
}
END_TEST

START_TEST(an_outlier_changes_nothing)
{
    struct he_cost_store *store = open_store("");
    double seconds, spread;

    add(store, "dev", 1, ENOUGH, 1e-3);
    add(store, "dev", 1, 3, 1.0);
    add(store, "dev", 1, 2, 1e-9);
    ck_assert(he_cost_store_get(store, "dev", 1, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 1e-3, 1e-9);
    /* Neither does a slow first run, which pays for cold caches. */
    add(store, "dev", 2, 1, 1.0);
    add(store, "dev", 2, ENOUGH, 1e-3);
    ck_assert(he_cost_store_get(store, "dev", 2, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 1e-3, 1e-9);
    he_cost_store_close(store);
}
END_TEST

START_TEST(the_factor_is_learnt_per_device_and_class)
{
    struct he_cost_store *store = open_store("");
    double spread;

    ck_assert_double_eq(learnt(store, "dev", HE_WORK_CONV, NULL), 1);
    add(store, "dev", 1, ENOUGH, 2e-3); /* twice what the model said */
    add(store, "dev", 2, ENOUGH, 8e-3); /* eight times */
    add(store, "dev", 3, ENOUGH - 1, 1.0);
    ck_assert_double_eq_tol(learnt(store, "dev", HE_WORK_CONV, NULL), 4, 1e-6);
    ck_assert_double_eq(learnt(store, "dev", HE_WORK_MOVE, NULL), 1);
    ck_assert_double_eq(learnt(store, "other", HE_WORK_CONV, NULL), 1);
    /* A task on which the model is far out does not spoil it for the rest. */
    add(store, "dev", 4, ENOUGH, 4e-3);
    add(store, "dev", 5, ENOUGH, 4.4e-3);
    add(store, "dev", 6, ENOUGH, 100.0);
    ck_assert_double_eq_tol(learnt(store, "dev", HE_WORK_CONV, &spread), 4.4, 1e-5);
    ck_assert(spread > 0.05 && spread < 3);
    he_cost_store_close(store);
}
END_TEST

START_TEST(what_was_learnt_against_other_peaks_is_forgotten)
{
    struct he_cost_store *store = open_store(path);
    double seconds, spread;

    add(store, "dev", 1, ENOUGH, 2e-3);
    add(store, "kept", 1, ENOUGH, 2e-3);
    ck_assert_int_eq(he_cost_store_save(store), HE_OK);
    he_cost_store_forget_models(store, "dev");
    ck_assert_double_eq(learnt(store, "dev", HE_WORK_CONV, NULL), 1);
    ck_assert_int_eq(he_cost_store_save(store), HE_OK);
    he_cost_store_close(store);

    /* Also for later readers; what the task takes stands, and its next sample brings a model. */
    store = open_store(path);
    ck_assert_double_eq(learnt(store, "dev", HE_WORK_CONV, NULL), 1);
    ck_assert_double_eq_tol(learnt(store, "kept", HE_WORK_CONV, NULL), 2, 1e-6);
    ck_assert(he_cost_store_get(store, "dev", 1, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 2e-3, 1e-9);
    add(store, "dev", 1, 1, 2e-3);
    ck_assert_double_eq_tol(learnt(store, "dev", HE_WORK_CONV, NULL), 2, 1e-6);
    he_cost_store_close(store);
}
END_TEST

START_TEST(a_saved_store_reads_back)
{
    struct he_cost_store *store = open_store(path);
    double seconds, spread;

    add(store, "cpu/Some_Chip/1", UINT64_MAX, ENOUGH, 1.25e-3);
    add(store, "cpu/Some_Chip/1", 0, 4, 3e-6);
    ck_assert_msg(he_cost_store_save(store) == HE_OK, "%s", he_error_message());
    he_cost_store_close(store);

    store = open_store(path);
    ck_assert(he_cost_store_get(store, "cpu/Some_Chip/1", UINT64_MAX, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 1.25e-3, 1e-10);
    ck_assert(!he_cost_store_get(store, "cpu/Some_Chip/1", 0, &seconds, &spread));
    add(store, "cpu/Some_Chip/1", 0, ENOUGH - 4, 3e-6); /* the four count */
    ck_assert(he_cost_store_get(store, "cpu/Some_Chip/1", 0, &seconds, &spread));
    ck_assert_double_eq_tol(seconds, 3e-6, 1e-12);
    he_cost_store_close(store);
}
END_TEST

static int warnings;

static void count_warning(void *self, enum he_log_level level, const char *line)
{
    (void)self;
    (void)line;
    warnings += level == HE_LOG_WARNING;
}

START_TEST(damaged_lines_are_skipped_with_a_warning)
{
    static const char *const damaged[] = {
        "nonsense", "task/1 2 3", "task/0000000000000001 dev 99 1 5 1e-3 1e-3",
        "task/0000000000000001 dev 2 1 5 1e-3 -1e-3", "task/0000000000000001 dev 2 1 5 1e-3 nan",
        "task/0000000000000001 dev 2 1 5 1e-3 inf", "task/0000000000000001 dev 2 1 5 inf 1e-3",
        "task/0000000000000001 dev 2 1 5 -1 1e-3", "task/0000000000000001 dev 2 1 5 1e-3",
        "task/0000000000000001 dev 2 1 5 1e-3 1e30", "task/0000000000000001 dev 2 2 5 1e-3 1e-3",
        "task/0000000000000001 dev 2 2 5 1e-3 1e-3,", "task/0000000000000001 dev 2 1 5 1e-3 1e-3x",
        "task/0000000000000001 dev 2 20 5 1e-3 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
        "task/0000000000000001 dev 2 1 5 1e-3 1e-3 and more",
    };
    const size_t count = sizeof damaged / sizeof damaged[0];
    struct he_cost_store *store = open_store(path);
    double seconds, spread;
    struct he_text text;

    add(store, "dev", 5, ENOUGH, 1e-3);
    ck_assert_int_eq(he_cost_store_save(store), HE_OK);
    he_cost_store_close(store);
    for (size_t k = 0; k < count; k++) {
        struct he_file file;

        ck_assert_int_eq(he_file_map(path, &file), HE_OK);
        he_text_init(&text, NULL);
        he_text_append(&text, file.data, file.size);
        he_text_printf(&text, "%s\n", damaged[k]);
        he_file_unmap(&file);
        ck_assert_int_eq(he_file_write(path, text.data, text.size), HE_OK);
        he_text_fini(&text);
    }
    warnings = 0;
    he_log_set(count_warning, NULL, HE_LOG_WARNING);
    store = open_store(path);
    he_log_set(NULL, NULL, HE_LOG_WARNING);
    ck_assert_int_eq(warnings, count);
    ck_assert(he_cost_store_get(store, "dev", 5, &seconds, &spread));
    ck_assert(!he_cost_store_get(store, "dev", 1, &seconds, &spread));
    he_cost_store_close(store);
}
END_TEST

START_TEST(another_version_is_left_alone)
{
    static const char text[] = "heteroengine-costs 99\ntask/0000000000000001 dev 2 1 5 1e-3 1e-3\n";
    struct he_cost_store *store;
    double seconds, spread;

    ck_assert_int_eq(he_file_write(path, text, sizeof text - 1), HE_OK);
    store = open_store(path);
    ck_assert(!he_cost_store_get(store, "dev", 1, &seconds, &spread));
    ck_assert_uint_eq(he_cost_store_count(store, "task/0000000000000001", "dev"), 0);
    he_cost_store_close(store);
}
END_TEST

START_TEST(writers_at_the_same_time_lose_nothing)
{
    enum { WRITERS = 6, EACH = 5 };
    struct he_cost_store *store;
    pid_t children[WRITERS];

    for (int w = 0; w < WRITERS; w++) {
        children[w] = fork();
        ck_assert_int_ge(children[w], 0);
        if (children[w] == 0) {
            char own[16];
            he_status status = HE_OK;

            snprintf(own, sizeof own, "dev%d", w);
            for (int k = 0; k < EACH && status == HE_OK; k++) {
                status = he_cost_store_open(path, &he_allocator_default, &store);
                if (status == HE_OK)
                    status = he_cost_store_note(store, "link/latency", "shared", 1e-6 * (w + 1));
                if (status == HE_OK)
                    status = he_cost_store_note(store, "link/latency", own, 1e-6);
                if (status == HE_OK)
                    status = he_cost_store_save(store);
                he_cost_store_close(store);
            }
            _exit(status == HE_OK ? 0 : 1);
        }
    }
    for (int w = 0; w < WRITERS; w++) {
        int result;

        ck_assert_int_eq(waitpid(children[w], &result, 0), children[w]);
        ck_assert_int_eq(result, 0);
    }
    store = open_store(path);
    ck_assert_uint_eq(he_cost_store_count(store, "link/latency", "shared"), WRITERS * EACH);
    for (int w = 0; w < WRITERS; w++) {
        char own[16];

        snprintf(own, sizeof own, "dev%d", w);
        ck_assert_uint_eq(he_cost_store_count(store, "link/latency", own), EACH);
    }
    he_cost_store_close(store);
}
END_TEST

START_TEST(samples_saved_twice_count_once)
{
    struct he_cost_store *store = open_store(path), *again;

    add(store, "dev", 1, 40, 1e-3); /* more than are kept */
    ck_assert_int_eq(he_cost_store_save(store), HE_OK);
    ck_assert_int_eq(he_cost_store_save(store), HE_OK);
    add(store, "dev", 1, 2, 1e-3);
    ck_assert_int_eq(he_cost_store_save(store), HE_OK);
    again = open_store(path);
    ck_assert_uint_eq(he_cost_store_count(again, "task/0000000000000001", "dev"), 42);
    he_cost_store_close(again);
    he_cost_store_close(store);
}
END_TEST

START_TEST(the_file_does_not_grow_without_end)
{
    struct he_cost_store *store = open_store(path);
    struct stat info;
    uint32_t count = 0;

    for (uint64_t k = 0; k < HE_COST_MAX_SERIES + 500; k++)
        add(store, "dev", k, 1, 1e-3);
    ck_assert_int_eq(he_cost_store_save(store), HE_OK);
    he_cost_store_close(store);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_lt(info.st_size, HE_COST_MAX_SERIES * 100);
    store = open_store(path);
    for (uint64_t k = 0; k < HE_COST_MAX_SERIES + 500; k++) {
        char name[32];

        snprintf(name, sizeof name, "task/%016llx", (unsigned long long)k);
        count += he_cost_store_count(store, name, "dev");
    }
    ck_assert_uint_eq(count, HE_COST_MAX_SERIES);
    he_cost_store_close(store);
}
END_TEST

START_TEST(running_out_of_memory_leaks_nothing)
{
    struct he_cost_store *full = open_store(path);

    for (uint64_t k = 0; k < 40; k++)
        add(full, "dev", k, 1, 1e-3);
    ck_assert_int_eq(he_cost_store_save(full), HE_OK);
    he_cost_store_close(full);
    for (size_t n = 0;; n++) {
        struct he_cost_store *store;
        struct failing_alloc failing;
        he_status status;

        failing_alloc_init(&failing, n);
        status = he_cost_store_open(path, &failing.alloc, &store);
        for (uint64_t k = 100; status == HE_OK && k < 140; k++)
            status = he_cost_store_add(store, "dev", k, HE_WORK_CONV, 1, 1);
        if (status == HE_OK)
            status = he_cost_store_save(store);
        he_cost_store_close(store);
        ck_assert_uint_eq(failing.live, 0);
        if (status == HE_OK)
            break;
        ck_assert_int_eq(status, HE_ERR_NO_MEMORY);
    }
}
END_TEST

/* --- Links and pairs --- */

static void note(struct he_cost_store *store, const char *name, const char *subject, double value)
{
    for (int k = 0; k < ENOUGH; k++)
        ck_assert_int_eq(he_cost_store_note(store, name, subject, value), HE_OK);
}

static const struct he_machine_link *find_link(const struct he_machine *m, uint32_t from,
                                               uint32_t to)
{
    for (uint32_t k = 0; k < m->link_count; k++) {
        if (m->links[k].from == from && m->links[k].to == to)
            return &m->links[k];
    }
    ck_abort_msg("no link");
    return NULL;
}

START_TEST(measured_links_replace_assumed_ones_and_not_given_ones)
{
    struct he_cost_store *store = open_store("");
    const struct he_machine_link *link;
    struct he_machine *m;
    struct he_arena arena;
    const char *there, *far;

    ck_assert_int_eq(he_machine_from_line("cpu:1 gpu:1 fpga:1 link(cpu,fpga)=5GB/s,1us",
                                          &he_allocator_default, &m), HE_OK);
    for (uint32_t d = 0; d < m->device_count; d++)
        m->devices[d].is_simulated = false;
    he_arena_init(&arena, NULL);
    there = he_arena_printf(&arena, "%s>%s", he_cost_fingerprint(&m->devices[0], &arena),
                            he_cost_fingerprint(&m->devices[1], &arena));
    far = he_arena_printf(&arena, "%s>%s", he_cost_fingerprint(&m->devices[0], &arena),
                          he_cost_fingerprint(&m->devices[2], &arena));
    ck_assert_int_eq(he_cost_apply_pairs(store, m), HE_OK);
    ck_assert_int_eq(find_link(m, 0, 1)->source, HE_SOURCE_ASSUMED);
    note(store, "link/latency", there, 3e-6);
    ck_assert_int_eq(he_cost_apply_pairs(store, m), HE_OK);
    ck_assert_int_eq(find_link(m, 0, 1)->source, HE_SOURCE_ASSUMED); /* half of it is not enough */
    note(store, "link/rate", there, 40e9);
    note(store, "handover/warm", there, 5e-6);
    note(store, "handover/cold", there, 23e-6);
    note(store, "handover/byte", there, 0.1e-9);
    note(store, "slowdown/memory", there, 0.9); /* noise */
    note(store, "slowdown/compute", there, 1.25);
    note(store, "link/latency", far, 9e-6);
    note(store, "link/rate", far, 9e9);
    ck_assert_int_eq(he_cost_apply_pairs(store, m), HE_OK);
    link = find_link(m, 0, 1);
    ck_assert_int_eq(link->source, HE_SOURCE_MEASURED);
    ck_assert_double_eq_tol(link->latency_s, 3e-6, 1e-11);
    ck_assert_double_eq_tol(link->bandwidth, 40e9, 1e5);
    ck_assert_int_eq(find_link(m, 1, 0)->source, HE_SOURCE_ASSUMED);
    link = find_link(m, 0, 2);
    ck_assert_int_eq(link->source, HE_SOURCE_GIVEN);
    ck_assert_double_eq_tol(link->bandwidth, 5e9, 1);
    /* What the link takes of the hand-over is the link's. */
    ck_assert_double_eq_tol(he_machine_pair_at(m, 0, 1).hand_over_s, 20e-6, 1e-10);
    ck_assert_double_eq_tol(he_machine_pair_at(m, 0, 1).fetch_s, 0.1e-9, 1e-16);
    ck_assert_double_eq_tol(he_machine_pair_at(m, 0, 1).slowdown_compute, 1.25, 1e-6);
    ck_assert_double_eq(he_machine_pair_at(m, 0, 1).slowdown_memory, 1);
    ck_assert_int_eq(he_machine_pair_at(m, 1, 0).source, HE_SOURCE_ASSUMED);
    he_arena_fini(&arena);
    he_machine_destroy(m);
    he_cost_store_close(store);
}
END_TEST

START_TEST(equal_parts_of_one_chip_share_their_measurements)
{
    struct he_machine_device one = { .backend = "cpu", .name = "Some Chip", .driver = "x",
                                     .cores = "0", .core_count = 1 };
    struct he_machine_device other = one, larger = one, another = one;
    struct he_arena arena;

    other.cores = "1";
    larger.cores = "0,1";
    larger.core_count = 2;
    another.name = "Other Chip";
    he_arena_init(&arena, NULL);
    ck_assert_str_eq(he_cost_fingerprint(&one, &arena), he_cost_fingerprint(&other, &arena));
    ck_assert_str_ne(he_cost_fingerprint(&one, &arena), he_cost_fingerprint(&larger, &arena));
    ck_assert_str_ne(he_cost_fingerprint(&one, &arena), he_cost_fingerprint(&another, &arena));
    ck_assert_ptr_null(strchr(he_cost_fingerprint(&one, &arena), ' '));
    he_arena_fini(&arena);
}
END_TEST

/* --- Watts --- */

static void put_file(const char *folder, const char *zone, const char *name, const char *text)
{
    char file[300];

    snprintf(file, sizeof file, "%s/%s", folder, zone);
    mkdir(file, 0777);
    snprintf(file, sizeof file, "%s/%s/%s", folder, zone, name);
    ck_assert_int_eq(he_file_write(file, text, strlen(text)), HE_OK);
}

START_TEST(energy_counters_are_read_by_package)
{
    char root[] = "/tmp/powercap-XXXXXX", command[64];
    struct he_power_reading first, second;

    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert(!he_power_read(root, &first));
    ck_assert(!he_power_read("/nowhere", &first));
    put_file(root, "intel-rapl:0", "energy_uj", "5000000\n");
    put_file(root, "intel-rapl:0", "max_energy_range_uj", "9000000\n");
    put_file(root, "intel-rapl:0:0", "energy_uj", "4000000\n"); /* a part of it */
    put_file(root, "intel-rapl:1", "energy_uj", "2500000\n");
    put_file(root, "intel-rapl:1", "max_energy_range_uj", "9000000\n");
    put_file(root, "dtpm", "energy_uj", "1000000\n");
    put_file(root, "intel-rapl:2", "energy_uj", "not a number\n");
    ck_assert(he_power_read(root, &first));
    ck_assert_double_eq_tol(first.joules, 7.5, 1e-9);
    put_file(root, "intel-rapl:1", "energy_uj", "3500000\n");
    ck_assert(he_power_read(root, &second));
    ck_assert_double_eq_tol(he_power_between(&first, &second), 1, 1e-9);
    put_file(root, "intel-rapl:0", "energy_uj", "500000\n"); /* began again at 9 J */
    ck_assert(he_power_read(root, &second));
    ck_assert_double_eq_tol(he_power_between(&first, &second), 1 + 4.5, 1e-9);
    snprintf(command, sizeof command, "rm -r %s", root);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(measured_watts_fill_in_what_nobody_gave)
{
    struct he_cost_store *store = open_store("");
    struct he_machine *m;
    struct he_arena arena;

    ck_assert_int_eq(he_machine_from_line("cpu:1 gpu:1(power=300W)", &he_allocator_default, &m), HE_OK);
    he_arena_init(&arena, NULL);
    for (uint32_t d = 0; d < 2; d++) {
        const char *name = he_cost_fingerprint(&m->devices[d], &arena);

        m->devices[d].is_simulated = false;
        note(store, "watts/idle", name, 11);
        note(store, "watts/busy", name, 47);
    }
    ck_assert_int_eq(he_cost_apply_pairs(store, m), HE_OK);
    ck_assert_double_eq_tol(m->devices[0].idle_watts, 11, 1e-6);
    ck_assert_double_eq_tol(m->devices[0].busy_watts, 47, 1e-5);
    ck_assert_int_eq(m->devices[0].watts_source, HE_SOURCE_MEASURED);
    ck_assert_double_eq_tol(m->devices[1].busy_watts, 300, 1e-9);
    he_arena_fini(&arena);
    he_machine_destroy(m);
    he_cost_store_close(store);
}
END_TEST

START_TEST(a_self_test_replaces_guesses_and_not_what_is_given)
{
    struct he_cost_store *store = open_store("");
    struct he_machine *m;
    struct he_arena arena;

    ck_assert_int_eq(he_machine_from_line("cpu:1 gpu:2(tflops=4,bw=100GB/s) link(cpu,gpu)=1GB/s,9us",
                                          &he_allocator_default, &m), HE_OK);
    he_arena_init(&arena, NULL);
    for (uint32_t d = 0; d < 3; d++)
        m->devices[d].is_simulated = false;
    m->devices[1].peaks.fp64 = 1e12;
    m->devices[2].driver = "another";
    m->devices[2].peak_is_given = true;
    for (uint32_t d = 1; d < 3; d++) {
        const char *name = he_cost_fingerprint(&m->devices[d], &arena);

        note(store, "peak/fp32", name, 8e12);
        note(store, "peak/bandwidth", name, 3e11);
        note(store, "peak/launch", name, 7e-6);
        if (d == 1)
            note(store, "peak/host-memory", name, HE_HOST_MEMORY_COPIED_SILENTLY);
        note(store, "host/to-rate", name, 2e10);
        note(store, "host/to-latency", name, 4e-6);
    }
    for (uint32_t k = 0; k < m->link_count; k++) /* given to gpu1, assumed of gpu0 */
        if (m->links[k].to == 1 || m->links[k].from == 1)
            m->links[k].source = HE_SOURCE_ASSUMED;
    ck_assert_int_eq(he_cost_apply_pairs(store, m), HE_OK);
    ck_assert_int_eq(he_cost_apply_pairs(store, m), HE_OK); /* twice is as once */
    ck_assert_double_eq_tol(m->devices[1].peaks.fp32, 8e12, 1e6);
    ck_assert_double_eq_tol(m->devices[1].peaks.fp64, 2e12, 1e6);
    ck_assert_double_eq_tol(m->devices[1].bandwidth, 3e11, 1e5);
    ck_assert_double_eq_tol(m->devices[1].launch_ns, 7000, 1e-2);
    ck_assert_int_eq(m->devices[1].peaks_source, HE_SOURCE_MEASURED);
    ck_assert_int_eq(m->devices[1].host_memory, HE_HOST_MEMORY_COPIED_SILENTLY);
    ck_assert_int_eq(m->devices[2].host_memory, HE_HOST_MEMORY_UNKNOWN);
    ck_assert_double_eq_tol(m->devices[2].peaks.fp32, 4e12, 1e-3);
    ck_assert_double_eq_tol(m->devices[2].bandwidth, 3e11, 1e5);
    for (uint32_t k = 0; k < m->link_count; k++) {
        const struct he_machine_link *link = &m->links[k];
        bool is_measured = link->from == 0 && link->to == 1; /* nobody measured the way back */

        ck_assert_int_eq(link->source == HE_SOURCE_MEASURED, is_measured);
        if (is_measured)
            ck_assert_double_eq_tol(link->bandwidth, 2e10, 1e4);
        if (link->from == 0)
            ck_assert_int_eq(he_machine_link_memory(m, link), m->devices[link->to].host_memory);
    }
    he_arena_fini(&arena);
    he_machine_destroy(m);
    he_cost_store_close(store);
}
END_TEST

/* --- Signatures --- */

struct variant {
    const char *name, *op, *in, *out;
    enum he_dtype dtype;
    float alpha;
};

static uint64_t signature(const struct variant *v)
{
    struct he_graph *graph = build_graph(v->name);
    uint32_t x = build_input(graph, v->name, v->dtype, v->in);
    uint32_t y = build_value(graph, v->out, v->dtype, v->in);
    uint32_t node = build_node(graph, v->op, 1, &x, 1, &y);
    uint64_t result;

    build_float(graph, node, "alpha", v->alpha);
    build_output(graph, y);
    build_tasks(graph);
    result = he_cost_signature(graph, &graph->tasks[0]);
    build_free(graph);
    return result;
}

START_TEST(a_signature_is_of_the_work_and_not_of_names)
{
    const struct variant base = { "x", "Elu", "2,3", "y", HE_FLOAT32, 1 };
    struct variant v = base;

    v.name = "some other name";
    v.out = "z";
    ck_assert_uint_eq(signature(&base), signature(&v));
    v = base;
    v.op = "Celu";
    ck_assert_uint_ne(signature(&base), signature(&v));
    v = base;
    v.in = "3,2";
    ck_assert_uint_ne(signature(&base), signature(&v));
    v = base;
    v.in = "6";
    ck_assert_uint_ne(signature(&base), signature(&v));
    v = base;
    v.dtype = HE_FLOAT16;
    ck_assert_uint_ne(signature(&base), signature(&v));
    v = base;
    v.alpha = 0.5f;
    ck_assert_uint_ne(signature(&base), signature(&v));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cost");
    TCase *tcase = tcase_create("store");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, make_path, remove_path);
    tcase_add_test(tcase, ten_samples_make_a_measurement);
    tcase_add_test(tcase, figures_are_median_and_deviation_of_the_newest_samples);
    tcase_add_test(tcase, a_figure_follows_a_machine_that_changes);
    tcase_add_test(tcase, impossible_samples_are_refused);
    tcase_add_test(tcase, an_outlier_changes_nothing);
    tcase_add_test(tcase, the_factor_is_learnt_per_device_and_class);
    tcase_add_test(tcase, what_was_learnt_against_other_peaks_is_forgotten);
    tcase_add_test(tcase, a_self_test_replaces_guesses_and_not_what_is_given);
    tcase_add_test(tcase, a_saved_store_reads_back);
    tcase_add_test(tcase, damaged_lines_are_skipped_with_a_warning);
    tcase_add_test(tcase, another_version_is_left_alone);
    tcase_add_test(tcase, writers_at_the_same_time_lose_nothing);
    tcase_add_test(tcase, samples_saved_twice_count_once);
    tcase_add_test(tcase, the_file_does_not_grow_without_end);
    tcase_add_test(tcase, running_out_of_memory_leaks_nothing);
    tcase_add_test(tcase, measured_links_replace_assumed_ones_and_not_given_ones);
    tcase_add_test(tcase, equal_parts_of_one_chip_share_their_measurements);
    tcase_add_test(tcase, energy_counters_are_read_by_package);
    tcase_add_test(tcase, measured_watts_fill_in_what_nobody_gave);
    tcase_add_test(tcase, a_signature_is_of_the_work_and_not_of_names);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
