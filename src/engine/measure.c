/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What devices cost each other, measured into the calibration store:
 *
 *   links      a small and a large copy between memories, both ways
 *   hand-over  a chain of tasks that changes device at every step, against the same
 *              chain on either device alone: warm, with tasks so short that the waiting
 *              thread still polls; cold, staying so long that it has gone to sleep; and
 *              out of one memory, with large tensors: what a byte costs that lies in the
 *              other core's caches
 *   slowdown   a task alone, and while the other device is busy with the same
 *
 *   watts      of the processor packages at rest and under a product that computes, where
 *              their energy counters can be read (root's on most systems)
 *
 * Pairs of runs lie next to each other in time, so that what else the machine is
 * doing falls on both alike.
 */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "engine/probe.h"
#include "machine/power.h"
#include "mem/copy.h"

#define SAMPLES 12 /* above HE_COST_MIN_SAMPLES */
#define WARM_UP_RUNS 3
#define HOPS 16 /* even: both devices get as many tasks */
#define LINK_SMALL_BYTES 64
#define LINK_LARGE_BYTES ((size_t)16 << 20)
/* Longer than a waiting thread polls (src/exec/lane.c); with tensors so small that their way from
 * cache to cache is next to nothing. */
#define COLD_SECONDS 600e-6
#define COLD_COLUMNS 1024
#define LONGEST_STAY 1024
/* Between memories one product of some 300 us on a core does, small on the link: many tasks would be
 * many kernels to build. */
#define COLD_SIDE_APART 256
#define LEAST_HAND_OVER 1e-8
/* As large as the tensors between a net's layers are, and small enough for the second caches. */
#define FETCH_COLUMNS (1 << 16)
#define LEAST_FETCH 2e-12
/* Who shares which cache changes under a virtual machine within seconds: samples lie apart. */
#define FETCH_PAUSE_NS 40000000

struct pair {
    struct he_engine *engine;
    uint32_t a, b;
    const char *name;   /* "a>b": the subject of its series */
    const char *turned; /* "b>a" */
};

static he_status note(const struct pair *pair, const char *name, const char *subject, double value)
{
    return he_cost_store_note(pair->engine->store, name, subject, value);
}

/* --- Links --- */

static he_status time_copy(const struct he_place_ref *to, const struct he_place_ref *from,
                           size_t bytes, void *staging, double *seconds)
{
    struct he_copy_counter counter = { 0, 0 };
    uint64_t start_ns = he_now_ns();
    he_status status = he_copy(to, from, bytes, staging, &counter);

    *seconds = (double)(he_now_ns() - start_ns) * 1e-9;
    return status;
}

static he_status measure_way(const struct pair *pair, const char *subject,
                             const struct he_place_ref *to, const struct he_place_ref *from,
                             void *staging)
{
    he_status status = HE_OK;

    for (int k = -WARM_UP_RUNS; k < SAMPLES && status == HE_OK; k++) {
        double small, large;

        status = time_copy(to, from, LINK_SMALL_BYTES, staging, &small);
        if (status == HE_OK)
            status = time_copy(to, from, LINK_LARGE_BYTES, staging, &large);
        if (status != HE_OK || k < 0)
            continue;
        status = note(pair, "link/latency", subject, small);
        if (status == HE_OK && large > small)
            status = note(pair, "link/rate", subject, (double)LINK_LARGE_BYTES / (large - small));
    }
    return status;
}

static he_status measure_link(const struct pair *pair)
{
    struct he_device *dev_a, *dev_b;
    void *staging = he_alloc(&pair->engine->alloc, LINK_LARGE_BYTES, 1);
    void *buffer_a = NULL, *buffer_b = NULL;
    he_status status = staging ? he_engine_device(pair->engine, pair->a, &dev_a) : he_no_memory();

    if (status == HE_OK)
        status = he_engine_device(pair->engine, pair->b, &dev_b);
    if (status != HE_OK)
        goto free_staging;
    status = he_device_buffer_alloc(dev_a, LINK_LARGE_BYTES, &buffer_a);
    if (status == HE_OK)
        status = he_device_buffer_alloc(dev_b, LINK_LARGE_BYTES, &buffer_b);
    if (status == HE_OK) {
        struct he_place_ref ref_a = { dev_a, buffer_a, 0 }, ref_b = { dev_b, buffer_b, 0 };

        status = measure_way(pair, pair->name, &ref_b, &ref_a, staging);
        if (status == HE_OK)
            status = measure_way(pair, pair->turned, &ref_a, &ref_b, staging);
    }
    he_device_buffer_free(dev_a, buffer_a);
    he_device_buffer_free(dev_b, buffer_b);

free_staging:
    he_free(&pair->engine->alloc, staging);
    return status;
}

/* --- Hand-over --- */

struct trio {
    struct he_probe *mixed, *on_a, *on_b;
};

static void close_trio(struct trio *trio)
{
    he_probe_close(trio->mixed);
    he_probe_close(trio->on_a);
    he_probe_close(trio->on_b);
}

/* A chain that goes over HOPS times. */
static he_status open_trio(const struct pair *pair, const char *op, uint32_t stay, int64_t rows,
                           int64_t columns, struct trio *out)
{
    struct he_probe_shape shape = { op, HOPS * stay, { pair->a, pair->b }, stay, rows, columns };
    he_status status;

    *out = (struct trio){ NULL, NULL, NULL };
    status = he_probe_open(pair->engine, &shape, &out->mixed);
    shape.devices[1] = pair->a;
    if (status == HE_OK)
        status = he_probe_open(pair->engine, &shape, &out->on_a);
    shape.devices[0] = shape.devices[1] = pair->b;
    if (status == HE_OK)
        status = he_probe_open(pair->engine, &shape, &out->on_b);
    if (status != HE_OK)
        close_trio(out);
    return status;
}

/* What one hop of @trio takes beside its tasks. */
static he_status time_hop(const struct trio *trio, double *hop)
{
    double mixed, on_a, on_b;
    he_status status = he_probe_run(trio->on_a, &on_a);

    if (status == HE_OK)
        status = he_probe_run(trio->mixed, &mixed);
    if (status == HE_OK)
        status = he_probe_run(trio->on_b, &on_b);
    *hop = status == HE_OK ? (mixed - (on_a + on_b) / 2) / HOPS : 0;
    return status;
}

/* Both directions at once: a chain goes there and back. */
static he_status note_both(const struct pair *pair, const char *name, double value)
{
    he_status status = note(pair, name, pair->name, value);

    /* Equal parts of one chip have one name for both ways. */
    if (status == HE_OK && strcmp(pair->name, pair->turned) != 0)
        status = note(pair, name, pair->turned, value);
    return status;
}

/* Between different memories the link's part is in it too; the least of its latency is taken off
 * where links are applied. */
static he_status measure_chain(const struct pair *pair, const char *name, const char *op,
                               uint32_t stay, int64_t rows, int64_t columns)
{
    struct trio trio;
    he_status status = open_trio(pair, op, stay, rows, columns, &trio);

    if (status != HE_OK)
        return status;
    for (int k = -WARM_UP_RUNS; k < SAMPLES && status == HE_OK; k++) {
        double hop;

        status = time_hop(&trio, &hop);
        if (status == HE_OK && k >= 0)
            status = note_both(pair, name, hop > LEAST_HAND_OVER ? hop : LEAST_HAND_OVER);
    }
    close_trio(&trio);
    return status;
}

/* How many tasks in a row take long enough on either device. */
static he_status find_cold_stay(const struct pair *pair, uint32_t *stay)
{
    double least = 1;
    he_status status = HE_OK;

    for (int side = 0; side < 2 && status == HE_OK; side++) {
        uint32_t device = side ? pair->b : pair->a;
        struct he_probe_shape shape = { "Erf", HOPS, { device, device }, 1, 1, COLD_COLUMNS };
        struct he_probe *probe;

        status = he_probe_open(pair->engine, &shape, &probe);
        if (status != HE_OK)
            break;
        for (int k = 0; k < 4 && status == HE_OK; k++) {
            double seconds;

            status = he_probe_run(probe, &seconds);
            least = k > 0 && seconds / HOPS < least ? seconds / HOPS : least;
        }
        he_probe_close(probe);
    }
    *stay = COLD_SECONDS / least < LONGEST_STAY ? 1 + (uint32_t)(COLD_SECONDS / least)
                                                : LONGEST_STAY;
    return status;
}

/* The same chain twice, with tensors of no size and with large ones: the difference is the way of
 * the bytes from one core's caches to the other's. */
static he_status measure_fetch(const struct pair *pair)
{
    struct trio small, large;
    he_status status = open_trio(pair, "Relu", 1, 1, 16, &small);

    if (status != HE_OK)
        return status;
    status = open_trio(pair, "Relu", 1, 1, FETCH_COLUMNS, &large);
    if (status != HE_OK) {
        close_trio(&small);
        return status;
    }
    for (int k = -WARM_UP_RUNS; k < SAMPLES && status == HE_OK; k++) {
        double message, hop, fetch;

        if (k > 0)
            nanosleep(&(struct timespec){ .tv_nsec = FETCH_PAUSE_NS }, NULL);
        /* The first after a pause finds threads asleep and caches cold. */
        status = time_hop(&large, &hop);
        if (status == HE_OK)
            status = time_hop(&small, &message);
        if (status == HE_OK)
            status = time_hop(&large, &hop);
        if (status != HE_OK || k < 0)
            continue;
        fetch = (hop - message) / (FETCH_COLUMNS * sizeof(float));
        status = note_both(pair, "handover/byte", fetch > LEAST_FETCH ? fetch : LEAST_FETCH);
    }
    close_trio(&small);
    close_trio(&large);
    return status;
}

static he_status measure_hand_over(const struct pair *pair)
{
    uint32_t stay;
    he_status status = measure_chain(pair, "handover/warm", "Relu", 1, 1, 16);

    if (status != HE_OK)
        return status;
    if (!he_machine_same_memory(pair->engine->machine, pair->a, pair->b))
        return measure_chain(pair, "handover/cold", "MatMul", 1, COLD_SIDE_APART, COLD_SIDE_APART);
    status = find_cold_stay(pair, &stay);
    if (status == HE_OK)
        status = measure_chain(pair, "handover/cold", "Erf", stay, 1, COLD_COLUMNS);
    if (status == HE_OK)
        status = measure_fetch(pair);
    return status;
}

/* --- Slowdown --- */

/* A device kept busy from a thread of its own, when told to. */
struct busy {
    struct he_probe *probe;
    pthread_t thread;
    _Atomic uint32_t is_on, run_count, must_stop;
    /* Set when the thread finds that it is off; so it stays 0 while it is on. */
    _Atomic uint32_t is_idle;
    _Atomic uint32_t status; /* he_status */
};

static void *busy_main(void *self)
{
    struct busy *busy = self;
    double seconds;

    while (!atomic_load(&busy->must_stop) && atomic_load(&busy->status) == HE_OK) {
        if (!atomic_load(&busy->is_on)) {
            atomic_store(&busy->is_idle, 1);
            he_futex_wait(&busy->is_on, 0, 10000000);
            continue;
        }
        atomic_store(&busy->is_idle, 0);
        atomic_store(&busy->status, he_probe_run(busy->probe, &seconds));
        atomic_fetch_add(&busy->run_count, 1);
    }
    return NULL;
}

/* Returns when a run has been made since: the thread is awake, the caches are as they will be. */
static void switch_on(struct busy *busy)
{
    uint32_t before = atomic_load(&busy->run_count);

    atomic_store(&busy->is_on, 1);
    he_futex_wake(&busy->is_on, 1);
    while (atomic_load(&busy->run_count) == before && atomic_load(&busy->status) == HE_OK)
        he_cpu_relax();
}

/* Returns when the device is idle: the run under way has ended. */
static void switch_off(struct busy *busy)
{
    atomic_store(&busy->is_on, 0);
    while (!atomic_load(&busy->is_idle) && atomic_load(&busy->status) == HE_OK)
        he_cpu_relax();
}

static he_status measure_beside(const struct pair *pair, const char *name, struct he_probe *probe,
                                struct busy *busy)
{
    he_status status = HE_OK;

    for (int k = -WARM_UP_RUNS; k < SAMPLES && status == HE_OK; k++) {
        double alone, beside = 0;

        status = he_probe_run(probe, &alone);
        switch_on(busy);
        if (status == HE_OK)
            status = he_probe_run(probe, &beside);
        switch_off(busy);
        if (status == HE_OK && k >= 0)
            status = note(pair, name, pair->name, beside / alone);
    }
    return status;
}

/* @pair's first device, alone and beside the second. */
static he_status measure_slowdown(const struct pair *pair, const char *name,
                                  const struct he_probe_shape *like)
{
    struct he_probe_shape shape = *like;
    struct busy busy = { .status = HE_OK };
    struct he_probe *probe = NULL;
    he_status status;

    shape.devices[0] = shape.devices[1] = pair->a;
    status = he_probe_open(pair->engine, &shape, &probe);
    shape.devices[0] = shape.devices[1] = pair->b;
    if (status == HE_OK)
        status = he_probe_open(pair->engine, &shape, &busy.probe);
    if (status != HE_OK)
        goto close_probes;
    if (pthread_create(&busy.thread, NULL, busy_main, &busy) != 0) {
        status = he_error_set(HE_ERR_NO_MEMORY, "cannot start a thread to keep a device busy");
        goto close_probes;
    }
    status = measure_beside(pair, name, probe, &busy);
    atomic_store(&busy.must_stop, 1);
    atomic_store(&busy.is_on, 1);
    he_futex_wake(&busy.is_on, 1);
    pthread_join(busy.thread, NULL);
    if (status == HE_OK && atomic_load(&busy.status) != HE_OK)
        status = he_error_set((he_status)atomic_load(&busy.status), "%s failed while it was kept busy",
                              pair->engine->machine->devices[pair->b].id);

close_probes:
    he_probe_close(probe);
    he_probe_close(busy.probe);
    return status;
}

static he_status measure_slowdowns(const struct pair *pair)
{
    /* 113 MFLOP out of the second cache; 64 MB, more than the caches hold. */
    static const struct he_probe_shape compute = { "MatMul", 1, { 0, 0 }, 1, 384, 384 };
    static const struct he_probe_shape memory = { "Relu", 1, { 0, 0 }, 1, 4096, 2048 };
    struct pair back = { pair->engine, pair->b, pair->a, pair->turned, pair->name };
    he_status status = measure_slowdown(pair, "slowdown/compute", &compute);

    if (status == HE_OK)
        status = measure_slowdown(&back, "slowdown/compute", &compute);
    if (status == HE_OK)
        status = measure_slowdown(pair, "slowdown/memory", &memory);
    if (status == HE_OK)
        status = measure_slowdown(&back, "slowdown/memory", &memory);
    return status;
}

/* --- Watts --- */

#define WATT_WINDOW_NS 30000000u

/* Joules per second while @probe runs, or nothing does. */
static he_status watts_over(struct he_probe *probe, double *watts)
{
    struct he_power_reading before, after;
    uint64_t start_ns = he_now_ns();
    he_status status = HE_OK;
    double seconds;

    *watts = 0;
    if (!he_power_read(NULL, &before))
        return HE_OK;
    while (he_now_ns() - start_ns < WATT_WINDOW_NS && status == HE_OK) {
        if (probe)
            status = he_probe_run(probe, &seconds);
        else
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    if (status == HE_OK && he_power_read(NULL, &after))
        *watts = he_power_between(&before, &after) / ((double)(he_now_ns() - start_ns) * 1e-9);
    return status;
}

static he_status measure_watts(struct he_engine *engine, uint32_t device, double core_share,
                               const char *fingerprint)
{
    struct he_probe_shape shape = { "MatMul", 1, { device, device }, 1, 384, 384 };
    struct he_probe *probe;
    he_status status = he_probe_open(engine, &shape, &probe);

    for (int k = -1; k < SAMPLES && status == HE_OK; k++) {
        double idle, busy = 0;

        status = watts_over(NULL, &idle);
        if (status == HE_OK)
            status = watts_over(probe, &busy);
        if (status != HE_OK || k < 0)
            continue;
        status = he_cost_store_note(engine->store, "watts/idle", fingerprint, idle * core_share);
        if (status == HE_OK)
            status = he_cost_store_note(engine->store, "watts/busy", fingerprint,
                                        idle * core_share + (busy > idle ? busy - idle : 0));
    }
    he_probe_close(probe);
    return status;
}

/* --- All of them --- */

static he_status name_pair(struct pair *pair, struct he_arena *arena)
{
    const struct he_machine_device *devices = pair->engine->machine->devices;
    const char *a = he_cost_fingerprint(&devices[pair->a], arena);
    const char *b = he_cost_fingerprint(&devices[pair->b], arena);

    pair->name = a && b ? he_arena_printf(arena, "%s>%s", a, b) : NULL;
    pair->turned = a && b ? he_arena_printf(arena, "%s>%s", b, a) : NULL;
    return pair->name && pair->turned ? HE_OK : he_no_memory();
}

static bool is_pair(const struct he_machine *machine, uint32_t a, uint32_t b)
{
    return a < b && !machine->devices[a].is_simulated && !machine->devices[b].is_simulated;
}

/* A device that lacks the operator of a probe keeps what is assumed of it. */
static he_status lenient(he_status status)
{
    return status == HE_ERR_UNSUPPORTED ? HE_OK : status;
}

/* Devices on the host's own cores; others have meters of their own. */
static he_status measure_all_watts(struct he_engine *engine, struct he_arena *arena)
{
    const struct he_machine *machine = engine->machine;
    struct he_power_reading reading;
    uint32_t cores = 0;
    he_status status = HE_OK;

    if (!he_power_read(NULL, &reading))
        return HE_OK;
    for (uint32_t d = 0; d < machine->device_count; d++)
        cores += machine->devices[d].caps & HE_CAP_HOST_MEMORY ? machine->devices[d].core_count : 0;
    for (uint32_t d = 0; d < machine->device_count && status == HE_OK; d++) {
        const struct he_machine_device *device = &machine->devices[d];
        const char *fingerprint = he_cost_fingerprint(device, arena);

        if (!fingerprint)
            return he_no_memory();
        if (!device->is_simulated && (device->caps & HE_CAP_HOST_MEMORY) && cores > 0)
            status = lenient(measure_watts(engine, d, (double)device->core_count / cores,
                                           fingerprint));
    }
    return status;
}

he_status he_engine_measure_pairs(struct he_engine *engine, he_engine_progress_fn progress,
                                  void *self, uint32_t *count)
{
    const struct he_machine *machine = engine->machine;
    uint32_t total = 0;
    struct he_arena arena;
    he_status status = HE_OK;

    *count = 0;
    if (!engine->store)
        return HE_OK;
    for (uint32_t a = 0; a < machine->device_count; a++) {
        for (uint32_t b = 0; b < machine->device_count; b++)
            total += is_pair(machine, a, b);
    }
    he_arena_init(&arena, &engine->alloc);
    for (uint32_t a = 0; a < machine->device_count && status == HE_OK; a++) {
        for (uint32_t b = 0; b < machine->device_count && status == HE_OK; b++) {
            struct pair pair = { engine, a, b, NULL, NULL };

            if (!is_pair(machine, a, b))
                continue;
            if (progress)
                progress(self, machine->devices[a].id, machine->devices[b].id, *count, total);
            status = name_pair(&pair, &arena);
            if (status == HE_OK && !he_machine_same_memory(machine, a, b))
                status = measure_link(&pair);
            if (status == HE_OK)
                status = lenient(measure_hand_over(&pair));
            if (status == HE_OK)
                status = lenient(measure_slowdowns(&pair));
            ++*count;
        }
    }
    if (status == HE_OK)
        status = measure_all_watts(engine, &arena);
    if (status == HE_OK)
        status = he_cost_apply_pairs(engine->store, engine->machine);
    he_arena_fini(&arena);
    return status;
}
