/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What single devices do, measured into the calibration store: their own self-test where the
 * backend has one, and moving bytes between the host's memory and theirs. Cost models then
 * stand on figures instead of guesses from units and clocks.
 */
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "engine/engine.h"

#define SAMPLES 12 /* above HE_COST_MIN_SAMPLES */
#define SMALL_BYTES 64
#define LARGE_BYTES ((size_t)16 << 20)
#define WARM_UP_RUNS 2
#define MOST_RUNS (4 * SAMPLES)
/* A change of peaks that makes what was learnt against the old ones wrong. */
#define LARGE_CHANGE 0.1

static bool is_candidate(const struct he_machine_device *device)
{
    return !device->is_simulated && !(device->caps & HE_CAP_HOST_MEMORY);
}

static bool is_known(const struct he_engine *engine, const char *fingerprint)
{
    struct he_cost_figure figure;

    return he_cost_store_figure(engine->store, "host/to-rate", fingerprint, &figure);
}

bool he_engine_wants_self_test(const struct he_engine *engine)
{
    const struct he_machine *machine = engine->machine;
    struct he_arena arena;
    bool wants = false;

    if (!engine->store)
        return false;
    he_arena_init(&arena, &engine->alloc);
    for (uint32_t d = 0; d < machine->device_count && !wants; d++) {
        const char *fingerprint = he_cost_fingerprint(&machine->devices[d], &arena);

        wants = is_candidate(&machine->devices[d]) && fingerprint && !is_known(engine, fingerprint);
    }
    he_arena_fini(&arena);
    return wants;
}

/* --- The device's own --- */

static bool has_changed(double before, double now)
{
    return before > 0 && now > 0 && fabs(log(now / before)) > LARGE_CHANGE;
}

static he_status note_peaks(struct he_engine *engine, uint32_t d, const char *fingerprint,
                            const struct he_self_test *samples)
{
    const struct he_machine_device *device = &engine->machine->devices[d];
    struct he_cost_figure fp32, bandwidth;
    he_status status = HE_OK;

    for (int k = 0; k < SAMPLES && status == HE_OK; k++) {
        status = he_cost_store_note(engine->store, "peak/fp32", fingerprint, samples[k].fp32);
        if (status == HE_OK)
            status = he_cost_store_note(engine->store, "peak/bandwidth", fingerprint,
                                        samples[k].bandwidth);
        if (status == HE_OK)
            status = he_cost_store_note(engine->store, "peak/launch", fingerprint,
                                        samples[k].launch_ns * 1e-9);
        if (status == HE_OK) /* unknown is 0, which is no sample */
            status = he_cost_store_note(engine->store, "peak/host-memory", fingerprint,
                                        samples[k].host_memory);
    }
    if (status == HE_OK &&
        he_cost_store_figure(engine->store, "peak/fp32", fingerprint, &fp32) &&
        he_cost_store_figure(engine->store, "peak/bandwidth", fingerprint, &bandwidth) &&
        (has_changed(device->peaks.fp32, fp32.value) ||
         has_changed(device->bandwidth, bandwidth.value)))
        he_cost_store_forget_models(engine->store, fingerprint);
    return status;
}

/* --- Between it and the host --- */

static he_status time_move(struct he_device *dev, void *buffer, void *host, size_t bytes,
                           bool is_to, double *seconds)
{
    uint64_t start_ns = he_now_ns();
    he_status status = is_to ? he_device_buffer_write(dev, buffer, 0, host, bytes)
                             : he_device_buffer_read(dev, buffer, 0, host, bytes);

    *seconds = (double)(he_now_ns() - start_ns) * 1e-9;
    return status;
}

/* By the front door that src/mem/copy.c uses: no tensor and no second device is involved. */
static he_status measure_way(struct he_engine *engine, struct he_device *dev, void *buffer,
                             void *host, const char *fingerprint, bool is_to)
{
    he_status status = HE_OK;
    int noted = 0;

    /* A small move that took longer than a large one was disturbed. */
    for (int k = -WARM_UP_RUNS; k < MOST_RUNS && noted < SAMPLES && status == HE_OK; k++) {
        double small, large;

        status = time_move(dev, buffer, host, SMALL_BYTES, is_to, &small);
        if (status == HE_OK)
            status = time_move(dev, buffer, host, LARGE_BYTES, is_to, &large);
        if (status != HE_OK || k < 0 || large <= small)
            continue;
        noted++;
        status = he_cost_store_note(engine->store, is_to ? "host/to-latency" : "host/from-latency",
                                    fingerprint, small);
        if (status == HE_OK)
            status = he_cost_store_note(engine->store, is_to ? "host/to-rate" : "host/from-rate",
                                        fingerprint, (double)LARGE_BYTES / (large - small));
    }
    return status;
}

static he_status measure_moves(struct he_engine *engine, struct he_device *dev,
                               const char *fingerprint)
{
    void *host = he_alloc(&engine->alloc, LARGE_BYTES, 1), *buffer = NULL;
    he_status status = host ? he_device_buffer_alloc(dev, LARGE_BYTES, &buffer) : he_no_memory();

    if (status == HE_OK) {
        memset(host, 1, LARGE_BYTES); /* pages never touched are faster to send */
        status = measure_way(engine, dev, buffer, host, fingerprint, true);
    }
    if (status == HE_OK)
        status = measure_way(engine, dev, buffer, host, fingerprint, false);
    he_device_buffer_free(dev, buffer);
    he_free(&engine->alloc, host);
    return status;
}

/* --- All of them --- */

static he_status test(struct he_engine *engine, uint32_t d, const char *fingerprint)
{
    struct he_self_test samples[SAMPLES];
    struct he_device *dev;
    he_status status = he_engine_device(engine, d, &dev);

    if (status != HE_OK)
        return status;
    status = he_device_self_test(dev, samples, SAMPLES);
    if (status == HE_OK)
        status = note_peaks(engine, d, fingerprint, samples);
    else if (status == HE_ERR_UNSUPPORTED)
        status = HE_OK; /* what is assumed of it stands */
    if (status == HE_OK)
        status = measure_moves(engine, dev, fingerprint);
    return status == HE_OK ? HE_OK : he_error_prefix(status, "%s", engine->machine->devices[d].id);
}

he_status he_engine_self_test(struct he_engine *engine, bool anew, uint32_t *count)
{
    const struct he_machine *machine = engine->machine;
    he_status status = HE_OK, failure = HE_OK;
    char sentence[512] = "";
    struct he_arena arena;

    *count = 0;
    if (!engine->store)
        return HE_OK;
    he_arena_init(&arena, &engine->alloc);
    for (uint32_t d = 0; d < machine->device_count && status == HE_OK; d++) {
        const char *fingerprint = he_cost_fingerprint(&machine->devices[d], &arena);
        he_status one;

        if (!fingerprint)
            status = he_no_memory();
        if (!fingerprint || !is_candidate(&machine->devices[d]) ||
            (!anew && is_known(engine, fingerprint)))
            continue;
        one = test(engine, d, fingerprint);
        if (one == HE_OK) {
            ++*count;
        } else if (failure == HE_OK) {
            failure = one;
            strncpy(sentence, he_error_message(), sizeof sentence - 1);
        }
    }
    he_arena_fini(&arena);
    if (status == HE_OK)
        status = he_cost_apply_pairs(engine->store, engine->machine);
    if (status == HE_OK && failure != HE_OK)
        status = he_error_set(failure, "%s", sentence);
    return status;
}
