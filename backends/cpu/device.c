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

#define HEADER_BYTES 64 /* in front of each buffer, keeps its alignment */

struct cpu_device {
    struct he_allocator alloc;
    struct cpu_compile settings;
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

/* "0-3,8": the processors asked for, all of which must be ours; NULL: all that are. */
static he_status choose_cpus(const char *list, uint32_t chosen[CPU_MAX_CPUS], uint32_t *count)
{
    uint32_t allowed[CPU_MAX_CPUS], allowed_count = cpu_host_cpus(allowed), k;
    hwloc_bitmap_t wanted = hwloc_bitmap_alloc(), valid = hwloc_bitmap_alloc();
    char range[128];
    he_status status = HE_OK;

    *count = 0;
    if (!wanted || !valid) {
        status = cpu_no_memory();
        goto free_sets;
    }
    for (k = 0; k < allowed_count; k++)
        hwloc_bitmap_set(valid, allowed[k]);
    if (!list) {
        hwloc_bitmap_copy(wanted, valid);
    } else if (hwloc_bitmap_list_sscanf(wanted, list) < 0 || hwloc_bitmap_iszero(wanted) ||
               !hwloc_bitmap_isincluded(wanted, valid)) {
        hwloc_bitmap_list_snprintf(range, sizeof range, valid);
        status = he_error_set(HE_ERR_NO_DEVICE,
                              "cores \"%s\": expected a list out of %s, the cores this process "
                              "may use",
                              list, range);
        goto free_sets;
    }
    for (k = 0; k < allowed_count; k++)
        if (hwloc_bitmap_isset(wanted, allowed[k]))
            chosen[(*count)++] = allowed[k];

free_sets:
    hwloc_bitmap_free(wanted);
    hwloc_bitmap_free(valid);
    return status;
}

/* The team for a list of cores; *threads 0 means one per physical core, as far as the
 * allowance of processor time goes. */
static he_status make_team(const struct he_allocator *alloc, const char *list, uint32_t *threads,
                           struct cpu_team **out)
{
    uint32_t cpus[CPU_MAX_CPUS], core_of[CPU_MAX_CPUS], count, core_count, k;
    struct cpu_host host;
    cpu_set_t all, *cores;
    he_status status = choose_cpus(list, cpus, &count);

    *out = NULL;
    if (status != HE_OK)
        return status;
    core_count = cpu_host_cores(cpus, count, core_of);
    if (!*threads) {
        cpu_host_read(&host);
        *threads = core_count < host.core_count ? core_count : host.core_count;
    }
    cores = cpu_alloc(alloc, core_count, sizeof *cores); /* zeroed: empty sets */
    if (!cores)
        return cpu_no_memory();
    CPU_ZERO(&all);
    for (k = 0; k < count; k++) {
        CPU_SET(cpus[k], &all);
        CPU_SET(cpus[k], &cores[core_of[k]]);
    }
    status = cpu_team_create(alloc, *threads, &all, cores, core_count, out);
    cpu_free(alloc, cores);
    return status;
}

he_status cpu_device_open(const struct he_device_config *config, bool use_bf16, void **out)
{
    struct he_allocator alloc = { default_alloc, default_free, NULL };
    struct cpu_device *dev;
    uint32_t threads = config ? config->threads : 0;
    he_status status;

    *out = NULL;
    if (config && config->allocator.alloc)
        alloc = config->allocator;
    dev = cpu_alloc(&alloc, 1, sizeof *dev);
    if (!dev)
        return cpu_no_memory();
    dev->alloc = alloc;
    dev->memory_cap = config ? config->memory_bytes : 0;
    dev->settings = (struct cpu_compile){ .alloc = alloc, .use_bf16 = use_bf16 };
    status = make_team(&alloc, config ? config->cores : NULL, &threads, &dev->settings.team);
    if (status != HE_OK) {
        cpu_free(&alloc, dev);
        return status;
    }
    dev->settings.threads = threads;
    *out = dev;
    return HE_OK;
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

    /* OpenMP's threads inherit the mask of the thread that first needs them. */
    if (is_worker)
        cpu_team_own_thread(dev->settings.team);
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

static he_status compile_with(void *self, const struct he_region *region,
                              const struct he_compile_options *options, void **out)
{
    struct cpu_device *dev = self;
    struct cpu_program *program = NULL;
    struct cpu_team_guard guard;
    he_status status;

    /* oneDNN chooses its kernels for the number of threads it sees; steps set
     * that, and the thread gets its own number back. */
    cpu_openmp_open();
    cpu_team_begin(NULL, &guard);
    status = cpu_program_create_with(&dev->settings, region, options ? options->variants : NULL,
                                     &program);
    cpu_team_end(&guard);
    *out = program;
    return status;
}

static he_status compile(void *self, const struct he_region *region, void **out)
{
    return compile_with(self, region, NULL, out);
}

static he_status variants(void *self, const struct he_graph *graph, const struct he_task *task,
                          struct he_variant *out, size_t capacity, size_t *count)
{
    struct cpu_device *dev = self;

    return cpu_variants(&dev->settings, graph, task, out, capacity, count);
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
    const struct cpu_instance *i = instance;
    struct cpu_team_guard guard;
    he_status status;

    (void)self;
    cpu_team_begin(i->program->team, &guard);
    status = cpu_instance_run(instance, options ? options->task_ns : NULL);
    cpu_team_end(&guard);
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
    .variants = variants,
    .compile_with = compile_with,
};
