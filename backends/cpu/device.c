/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open device: a set of cores, a team of threads as large as that, and an
 * account of the memory it gave out. The same machine may be opened several
 * times with different cores.
 */
#include "device.h"

#include <hwloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CPUS 1024
#define HEADER_BYTES 64 /* in front of each buffer, keeps its alignment */

struct cpu_device {
    struct he_allocator alloc;
    struct cpu_compile settings;
    cpu_set_t cpus;
    bool is_narrowed; /* the mask is smaller than the process's: pin workers */
    uint64_t memory_cap;
    _Atomic uint64_t memory_used;
};

/* --- Opening --- */

static void *default_alloc(void *self, size_t size)
{
    (void)self;
    return malloc(size);
}

static void default_free(void *self, void *memory)
{
    (void)self;
    free(memory);
}

/* "0-3,8": the cores asked for, all of which must be ours. */
static he_status choose_cpus(const char *list, struct cpu_device *dev, uint32_t *core_count)
{
    uint32_t allowed[MAX_CPUS], chosen[MAX_CPUS], allowed_count, count = 0, k;
    hwloc_bitmap_t wanted = NULL, valid = NULL;
    char range[128];
    he_status status = HE_OK;

    allowed_count = cpu_host_cpus(allowed, MAX_CPUS);
    if (allowed_count > MAX_CPUS)
        allowed_count = MAX_CPUS;
    CPU_ZERO(&dev->cpus);
    wanted = hwloc_bitmap_alloc();
    valid = hwloc_bitmap_alloc();
    if (!wanted || !valid) {
        status = cpu_no_memory();
        goto free_sets;
    }
    for (k = 0; k < allowed_count; k++)
        hwloc_bitmap_set(valid, allowed[k]);
    hwloc_bitmap_list_snprintf(range, sizeof range, valid);
    if (list) {
        if (hwloc_bitmap_list_sscanf(wanted, list) < 0 || hwloc_bitmap_iszero(wanted) ||
            !hwloc_bitmap_isincluded(wanted, valid)) {
            status = he_error_set(HE_ERR_NO_DEVICE,
                                  "cores \"%s\": expected a list out of %s, the cores this "
                                  "process may use",
                                  list, range);
            goto free_sets;
        }
    } else {
        hwloc_bitmap_copy(wanted, valid);
    }
    for (k = 0; k < allowed_count; k++) {
        if (!hwloc_bitmap_isset(wanted, allowed[k]))
            continue;
        CPU_SET(allowed[k], &dev->cpus);
        chosen[count++] = allowed[k];
    }
    dev->is_narrowed = count < allowed_count;
    *core_count = cpu_host_cores(chosen, count);

free_sets:
    hwloc_bitmap_free(wanted);
    hwloc_bitmap_free(valid);
    return status;
}

he_status cpu_device_open(const struct he_device_config *config, bool use_bf16, void **out)
{
    struct he_allocator alloc = { default_alloc, default_free, NULL };
    struct cpu_device *dev;
    struct cpu_host host;
    uint32_t threads = 0;
    he_status status;

    *out = NULL;
    if (config && config->allocator.alloc)
        alloc = config->allocator;
    dev = cpu_alloc(&alloc, 1, sizeof *dev);
    if (!dev)
        return cpu_no_memory();
    dev->alloc = alloc;
    dev->memory_cap = config ? config->memory_bytes : 0;
    status = choose_cpus(config ? config->cores : NULL, dev, &threads);
    if (status != HE_OK)
        goto free_dev;
    if (config && config->threads) {
        threads = config->threads;
    } else {
        cpu_host_read(&host);
        if (threads > host.core_count)
            threads = host.core_count; /* the allowance of processor time */
    }
    dev->settings = (struct cpu_compile){
        .alloc = alloc, .threads = threads, .use_bf16 = use_bf16,
    };
    status = cpu_team_create(&alloc, threads, &dev->settings.team);
    if (status != HE_OK)
        goto free_dev;
    *out = dev;
    return HE_OK;

free_dev:
    cpu_free(&alloc, dev);
    return status;
}

static void device_close(void *self)
{
    struct cpu_device *dev = self;
    struct he_allocator alloc;

    if (!dev)
        return;
    alloc = dev->alloc;
    cpu_team_destroy(&alloc, dev->settings.team);
    cpu_free(&alloc, dev);
}

const struct cpu_compile *cpu_device_settings(void *self)
{
    return &((struct cpu_device *)self)->settings;
}

static he_status enter_thread(void *self, bool is_worker)
{
    struct cpu_device *dev = self;

    /* OpenMP's threads inherit the mask of the thread that first needs them. A
     * refusal costs speed, not correctness. */
    if (is_worker && dev->is_narrowed)
        pthread_setaffinity_np(pthread_self(), sizeof dev->cpus, &dev->cpus);
    return HE_OK;
}

/* --- Memory --- */

static he_status buffer_alloc(void *self, size_t bytes, void **out)
{
    struct cpu_device *dev = self;
    uint64_t used;
    size_t total;
    char *memory;

    if (__builtin_add_overflow(bytes, (size_t)HEADER_BYTES, &total))
        return cpu_no_memory();
    used = atomic_fetch_add(&dev->memory_used, bytes) + bytes;
    if (dev->memory_cap && used > dev->memory_cap) {
        atomic_fetch_sub(&dev->memory_used, bytes);
        return he_error_set(HE_ERR_NO_MEMORY,
                            "the cpu device may use %llu bytes; %zu more would make it %llu",
                            (unsigned long long)dev->memory_cap, bytes, (unsigned long long)used);
    }
    memory = cpu_alloc_aligned(&dev->alloc, total);
    if (!memory) {
        atomic_fetch_sub(&dev->memory_used, bytes);
        return cpu_no_memory();
    }
    memcpy(memory, &bytes, sizeof bytes);
    *out = memory + HEADER_BYTES;
    return HE_OK;
}

static void buffer_free(void *self, void *buffer)
{
    struct cpu_device *dev = self;
    char *memory = (char *)buffer - HEADER_BYTES;
    size_t bytes;

    if (!buffer)
        return;
    memcpy(&bytes, memory, sizeof bytes);
    atomic_fetch_sub(&dev->memory_used, bytes);
    cpu_free_aligned(&dev->alloc, memory);
}

static he_status buffer_write(void *self, void *buffer, size_t offset, const void *src,
                              size_t bytes)
{
    (void)self;
    memcpy((char *)buffer + offset, src, bytes);
    return HE_OK;
}

static he_status buffer_read(void *self, void *buffer, size_t offset, void *dst, size_t bytes)
{
    (void)self;
    memcpy(dst, (const char *)buffer + offset, bytes);
    return HE_OK;
}

/* --- Programs --- */

static he_status supports(void *self, const struct he_graph *graph, const struct he_task *task)
{
    struct cpu_device *dev = self;

    return cpu_program_supports(&dev->settings, graph, task);
}

static he_status compile(void *self, const struct he_region *region, void **out)
{
    struct cpu_device *dev = self;
    struct cpu_program *program = NULL;
    he_status status = cpu_program_create(&dev->settings, region, &program);

    *out = program;
    return status;
}

static void program_free(void *self, void *program)
{
    (void)self;
    cpu_program_destroy(program);
}

static he_status program_info(void *self, void *program, struct he_program_info *out)
{
    const struct cpu_program *p = program;

    (void)self;
    out->workspace_bytes = p->workspace_bytes;
    out->constant_bytes = p->constant_bytes;
    return HE_OK;
}

static he_status bind(void *self, void *program, const struct he_binding *bindings,
                      void *workspace, size_t workspace_offset, void **out)
{
    const struct cpu_program *p = program;
    struct cpu_instance *instance;
    he_status status;
    uint32_t k;

    (void)self;
    *out = NULL;
    if (p->workspace_bytes && !workspace)
        return he_error_set(HE_ERR_INVALID, "the program needs %zu bytes of workspace",
                            p->workspace_bytes);
    status = cpu_instance_create(p, &instance);
    if (status != HE_OK)
        return status;
    instance->frame.workspace = workspace ? (char *)workspace + workspace_offset : NULL;
    for (k = 0; k < p->region->slot_count; k++)
        cpu_instance_set(instance, k, &bindings[k]);
    *out = instance;
    return HE_OK;
}

static void instance_free(void *self, void *instance)
{
    (void)self;
    cpu_instance_destroy(instance);
}

static he_status instance_set(void *self, void *instance, uint32_t slot,
                              const struct he_binding *binding)
{
    struct cpu_instance *i = instance;

    (void)self;
    if (slot >= i->program->region->slot_count)
        return he_error_set(HE_ERR_INVALID, "slot %u: the region has %u", slot,
                            i->program->region->slot_count);
    cpu_instance_set(i, slot, binding);
    return HE_OK;
}

static he_status launch(void *self, void *instance, const struct he_launch *options)
{
    struct cpu_device *dev = self;
    int previous = cpu_team_begin(dev->settings.team);
    he_status status = cpu_instance_run(instance, options ? options->task_ns : NULL);

    cpu_team_end(previous);
    return status;
}

const struct he_device_ops cpu_device_ops = {
    .struct_size = sizeof(struct he_device_ops),
    .close = device_close,
    .buffer_alloc = buffer_alloc,
    .buffer_free = buffer_free,
    .buffer_write = buffer_write,
    .buffer_read = buffer_read,
    .supports = supports,
    .compile = compile,
    .program_free = program_free,
    .program_info = program_info,
    .bind = bind,
    .instance_free = instance_free,
    .instance_set = instance_set,
    .launch = launch,
    .enter_thread = enter_thread,
};
