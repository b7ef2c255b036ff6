/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies through pinned memory (CL_MEM_ALLOC_HOST_PTR, mapped for good), for devices with a memory of
 * their own. A driver moves pageable memory slowly (8 GB/s against 55 on an H100), and while it does a copy
 * that should only be begun blocks the caller. So large copies are cut into blocks: while one is on its way
 * the next is filled, or the one before emptied. Whether that is faster, and from which size
 * on, is measured once per device, when the first large copy comes.
 *
 * A copy that blocks takes two blocks in turn. One that is begun takes blocks from a pool: a block to the
 * device is free again, a block from it is emptied to where the caller wants it, when the next mark is through.
 * Reads that are begun go this way whatever their size: only so do they not block.
 *
 * HETEROENGINE_OPENCL_STAGING=1 takes this way always, also where host memory is shared, for tests;
 * 0 never.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "opencl.h"

#define BLOCK_BYTES ((size_t)4 << 20)
#define POOL_BYTES ((size_t)512 << 20)
#define PROBE_ROUNDS 3
/* So much faster it must be. */
#define ADVANTAGE 1.1

struct opencl_block {
    struct opencl_block *next;
    cl_mem mem;
    char *host;
    size_t capacity;
    /* What is begun: @bytes on their way to @to (NULL: to the device). */
    void *to;
    size_t bytes;
};

/* Capacities of blocks; larger copies take several. */
static const size_t capacities[] = { (size_t)64 << 10, (size_t)512 << 10, BLOCK_BYTES };
static const size_t probes[] = { (size_t)256 << 10, (size_t)1 << 20, (size_t)8 << 20 };

#define CAPACITIES (sizeof capacities / sizeof capacities[0])
#define PROBES (sizeof probes / sizeof probes[0])

struct opencl_staging {
    pthread_mutex_t lock;
    /* Guarded by lock. */
    struct opencl_block *free[CAPACITIES];
    struct opencl_block *begun; /* since the last mark, newest first */
    size_t total_bytes;
    /* Held by who copies and blocks; guards the pair and the verdict's making. */
    pthread_mutex_t pair_lock;
    struct opencl_block *pair[2];
    _Atomic bool is_probed;
    size_t write_from, read_from; /* set once: the least bytes it pays for */
};

he_status opencl_staging_open(struct opencl_device *dev)
{
    const char *forced = getenv("HETEROENGINE_OPENCL_STAGING");
    struct opencl_staging *staging;

    if (dev->staging || (forced ? *forced == '0' : dev->found->is_cpu))
        return HE_OK;
    staging = opencl_alloc(&dev->alloc, 1, sizeof *staging);
    if (!staging)
        return opencl_no_memory();
    if (pthread_mutex_init(&staging->lock, NULL) != 0)
        goto free_staging;
    if (pthread_mutex_init(&staging->pair_lock, NULL) != 0)
        goto destroy_lock;
    if (forced) {
        staging->write_from = staging->read_from = 1;
        staging->is_probed = true;
    }
    dev->staging = staging;
    return HE_OK;

destroy_lock:
    pthread_mutex_destroy(&staging->lock);
free_staging:
    opencl_free(&dev->alloc, staging);
    return opencl_no_memory();
}

/* --- Blocks --- */

static void free_block(struct opencl_device *dev, struct opencl_block *block)
{
    if (!block)
        return;
    if (block->host)
        dev->cl->clEnqueueUnmapMemObject(dev->queues[OPENCL_COMPUTE].handle, block->mem,
                                         block->host, 0, NULL, NULL);
    if (block->mem)
        dev->cl->clReleaseMemObject(block->mem);
    opencl_free(&dev->alloc, block);
}

/* NULL, without a sentence, when there is none to be had: there is another way. */
static struct opencl_block *make_block(struct opencl_device *dev, size_t capacity)
{
    struct opencl_block *block = opencl_alloc(&dev->alloc, 1, sizeof *block);
    cl_int error;

    if (!block)
        return NULL;
    block->capacity = capacity;
    block->mem = dev->cl->clCreateBuffer(dev->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR,
                                         capacity, NULL, &error);
    if (block->mem)
        block->host = dev->cl->clEnqueueMapBuffer(dev->queues[OPENCL_COMPUTE].handle, block->mem,
                                                  CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0,
                                                  capacity, 0, NULL, NULL, &error);
    if (block->host)
        return block;
    free_block(dev, block);
    return NULL;
}

static size_t class_of(size_t bytes)
{
    size_t k = 0;

    while (k + 1 < CAPACITIES && capacities[k] < bytes)
        k++;
    return k;
}

/* A block for @bytes, or as much of them as the largest takes. */
static struct opencl_block *take_block(struct opencl_device *dev, size_t bytes)
{
    struct opencl_staging *staging = dev->staging;
    size_t class = class_of(bytes);
    struct opencl_block *block;
    bool may_grow;

    pthread_mutex_lock(&staging->lock);
    block = staging->free[class];
    if (block)
        staging->free[class] = block->next;
    may_grow = staging->total_bytes + capacities[class] <= POOL_BYTES;
    if (!block && may_grow)
        staging->total_bytes += capacities[class];
    pthread_mutex_unlock(&staging->lock);
    if (block || !may_grow)
        return block;
    block = make_block(dev, capacities[class]);
    if (!block) {
        pthread_mutex_lock(&staging->lock);
        staging->total_bytes -= capacities[class];
        pthread_mutex_unlock(&staging->lock);
    }
    return block;
}

static void give_block(struct opencl_device *dev, struct opencl_block *block)
{
    struct opencl_staging *staging = dev->staging;
    size_t class = class_of(block->capacity);

    pthread_mutex_lock(&staging->lock);
    block->next = staging->free[class];
    staging->free[class] = block;
    pthread_mutex_unlock(&staging->lock);
}

static void free_list(struct opencl_device *dev, struct opencl_block *block)
{
    while (block) {
        struct opencl_block *next = block->next;

        free_block(dev, block);
        block = next;
    }
}

void opencl_staging_close(struct opencl_device *dev)
{
    struct opencl_staging *staging = dev->staging;

    if (!staging)
        return;
    for (size_t k = 0; k < CAPACITIES; k++)
        free_list(dev, staging->free[k]);
    free_list(dev, staging->begun);
    free_block(dev, staging->pair[0]);
    free_block(dev, staging->pair[1]);
    pthread_mutex_destroy(&staging->pair_lock);
    pthread_mutex_destroy(&staging->lock);
    opencl_free(&dev->alloc, staging);
    dev->staging = NULL;
}

/* --- Copies that are begun --- */

static void note_begun(struct opencl_device *dev, struct opencl_block *block, void *to,
                       size_t bytes)
{
    struct opencl_staging *staging = dev->staging;

    block->to = to;
    block->bytes = bytes;
    pthread_mutex_lock(&staging->lock);
    block->next = staging->begun;
    staging->begun = block;
    pthread_mutex_unlock(&staging->lock);
}

struct opencl_block *opencl_staging_begun(struct opencl_device *dev)
{
    struct opencl_block *blocks;

    if (!dev->staging)
        return NULL;
    pthread_mutex_lock(&dev->staging->lock);
    blocks = dev->staging->begun;
    dev->staging->begun = NULL;
    pthread_mutex_unlock(&dev->staging->lock);
    return blocks;
}

void opencl_staging_finish(struct opencl_device *dev, struct opencl_block *blocks, bool is_good)
{
    while (blocks) {
        struct opencl_block *next = blocks->next;

        if (is_good && blocks->to)
            memcpy(blocks->to, blocks->host, blocks->bytes);
        give_block(dev, blocks);
        blocks = next;
    }
}

size_t opencl_staging_begin(struct opencl_device *dev, enum opencl_queue_kind kind, bool is_write,
                            struct opencl_buffer *buffer, size_t offset, char *host, size_t bytes,
                            he_status *status)
{
    size_t begun = 0;

    *status = HE_OK;
    while (begun < bytes) {
        struct opencl_block *block = take_block(dev, bytes - begun);
        size_t part;

        if (!block)
            break;
        part = bytes - begun < block->capacity ? bytes - begun : block->capacity;
        if (is_write)
            memcpy(block->host, host + begun, part);
        *status = opencl_copy_begin(dev, kind, is_write, buffer, offset + begun, block->host, part,
                                    NULL);
        /* Also after a failure: the copy may have been put into its queue. */
        note_begun(dev, block, is_write ? NULL : host + begun, part);
        if (*status != HE_OK)
            break;
        begun += part;
    }
    return begun;
}

/* --- Copies that block --- */

/* What one of the pair is doing. */
struct part {
    cl_event event;
    size_t at, bytes;
};

/* Waits for @part; empties its block to @to unless that is NULL. */
static he_status end_part(struct opencl_device *dev, struct part *part,
                          const struct opencl_block *block, char *to)
{
    cl_int error;

    if (!part->event)
        return HE_OK;
    error = dev->cl->clWaitForEvents(1, &part->event);
    dev->cl->clReleaseEvent(part->event);
    part->event = NULL;
    if (error != CL_SUCCESS)
        return opencl_failed(error, "clWaitForEvents");
    if (to)
        memcpy(to + part->at, block->host, part->bytes);
    return HE_OK;
}

static he_status copy_by_pair(struct opencl_device *dev, enum opencl_queue_kind kind,
                              bool is_write, struct opencl_buffer *buffer, size_t offset,
                              char *host, size_t bytes)
{
    struct opencl_block *const *pair = dev->staging->pair;
    struct part parts[2] = { { NULL, 0, 0 }, { NULL, 0, 0 } };
    char *to = is_write ? NULL : host;
    he_status status = HE_OK, ended;
    /* Small enough that the first and the last, which nothing goes on beside, are short. */
    size_t piece = bytes / 4 < BLOCK_BYTES ? bytes / 4 + 1 : BLOCK_BYTES, at = 0;
    int k = 0;

    for (; at < bytes && status == HE_OK; k ^= 1) {
        struct part *part = &parts[k];

        status = end_part(dev, part, pair[k], to);
        if (status != HE_OK)
            break;
        part->at = at;
        part->bytes = bytes - at < piece ? bytes - at : piece;
        if (is_write)
            memcpy(pair[k]->host, host + at, part->bytes);
        status = opencl_copy_begin(dev, kind, is_write, buffer, offset + at, pair[k]->host,
                                   part->bytes, &part->event);
        at += part->bytes;
    }
    /* The older one first. */
    for (int n = 0; n < 2; n++, k ^= 1) {
        ended = end_part(dev, &parts[k], pair[k], status == HE_OK ? to : NULL);
        status = status == HE_OK ? ended : status;
    }
    if (status == HE_OK)
        opencl_queue_reached(&dev->queues[kind], buffer->last[kind]);
    return status;
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) * 1e-9;
}

/* The better of some rounds; 0 when it does not work. */
static double time_copy(struct opencl_device *dev, bool is_staged, bool is_write,
                        struct opencl_buffer *buffer, char *host, size_t bytes)
{
    double best = 0;

    for (int round = 0; round < PROBE_ROUNDS; round++) {
        struct timespec start;
        double seconds;
        he_status status;

        clock_gettime(CLOCK_MONOTONIC, &start);
        status = is_staged
                     ? copy_by_pair(dev, OPENCL_COMPUTE, is_write, buffer, 0, host, bytes)
                     : opencl_copy_direct(dev, OPENCL_COMPUTE, is_write, buffer, 0, host, bytes);
        seconds = seconds_since(&start);
        if (status != HE_OK)
            return 0;
        if (round && (best == 0 || seconds < best)) /* the first warms up */
            best = seconds;
    }
    return best;
}

/* The least of the probes from which on the detour is faster. */
static size_t probe(struct opencl_device *dev, bool is_write, struct opencl_buffer *buffer,
                    char *host)
{
    size_t from = SIZE_MAX;

    for (size_t k = PROBES; k-- > 0;) {
        double direct = time_copy(dev, false, is_write, buffer, host, probes[k]);
        double staged = time_copy(dev, true, is_write, buffer, host, probes[k]);

        if (direct == 0 || staged == 0 || staged * ADVANTAGE > direct)
            break;
        from = probes[k];
    }
    return from;
}

/* With pair_lock. Without memory to try, or to go through, nothing goes through it. */
static void find_verdict(struct opencl_device *dev)
{
    struct opencl_staging *staging = dev->staging;
    size_t bytes = probes[PROBES - 1];
    struct opencl_buffer *buffer = NULL;
    char *host = opencl_alloc(&dev->alloc, bytes, 1);

    staging->write_from = staging->read_from = SIZE_MAX;
    if (host && opencl_buffer_create(dev, bytes, &buffer) == HE_OK) {
        memset(host, 1, bytes); /* pages that are there */
        staging->write_from = probe(dev, true, buffer, host);
        staging->read_from = probe(dev, false, buffer, host);
    }
    opencl_buffer_destroy(dev, buffer);
    opencl_free(&dev->alloc, host);
}

/* True when the pair is there, and it pays. */
static bool pays(struct opencl_device *dev, bool is_write, size_t bytes)
{
    struct opencl_staging *staging = dev->staging;

    for (int k = 0; k < 2; k++) {
        if (!staging->pair[k])
            staging->pair[k] = make_block(dev, BLOCK_BYTES);
        if (!staging->pair[k])
            return false;
    }
    if (!staging->is_probed) {
        find_verdict(dev);
        atomic_store(&staging->is_probed, true);
    }
    return bytes >= (is_write ? staging->write_from : staging->read_from);
}

bool opencl_staging_pays(struct opencl_device *dev, bool is_write, size_t bytes)
{
    struct opencl_staging *staging = dev->staging;
    bool does;

    if (!staging || (!atomic_load(&staging->is_probed) && bytes < probes[0]))
        return false;
    if (atomic_load(&staging->is_probed))
        return bytes >= (is_write ? staging->write_from : staging->read_from);
    pthread_mutex_lock(&staging->pair_lock);
    does = pays(dev, is_write, bytes);
    pthread_mutex_unlock(&staging->pair_lock);
    return does;
}

he_status opencl_staging_copy(struct opencl_device *dev, enum opencl_queue_kind kind,
                              bool is_write, struct opencl_buffer *buffer, size_t offset,
                              void *host, size_t bytes)
{
    struct opencl_staging *staging = dev->staging;
    he_status status;

    pthread_mutex_lock(&staging->pair_lock);
    if (pays(dev, is_write, bytes))
        status = copy_by_pair(dev, kind, is_write, buffer, offset, host, bytes);
    else
        status = opencl_copy_direct(dev, kind, is_write, buffer, offset, host, bytes);
    pthread_mutex_unlock(&staging->pair_lock);
    return status;
}
