/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The null backend: the smallest thing that is a backend, and the skeleton to copy
 * (README.md lists the steps). Its devices take every task of known shape and do
 * nothing with the data: outputs keep whatever their memory held. What remains of a
 * run is the overhead of the engine, which is what bench/overhead measures on it.
 *
 * There is no device unless HETEROENGINE_NULL=N asks for N, so that no plan ever lands on one
 * unasked.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <heteroengine/backend.h>

extern const struct he_backend he_backend_null;

#define DEVICES_MAX 64
/* In front of every buffer, so that what follows keeps the alignment of 64 bytes. It holds what
 * the allocator gave. */
#define HEADER_BYTES 64

struct null_device {
    struct he_allocator alloc;
};

/* Neither holds anything a launch has to look up: a program has its task count only. */
struct null_program {
    uint32_t task_count, slot_count;
};
struct null_instance {
    uint32_t task_count, slot_count;
};

/* --- Backend: what is there --- */

/* Set once, then read freely: names must live until the process ends. */
static pthread_once_t found_once = PTHREAD_ONCE_INIT;
static size_t found_count;
static char found_names[DEVICES_MAX][48];

static void find(void)
{
    const char *text = getenv("HETEROENGINE_NULL");
    unsigned long count;
    char *end;

    if (!text || !*text)
        return;
    errno = 0;
    count = strtoul(text, &end, 10);
    if (errno || *end)
        return;
    found_count = count < DEVICES_MAX ? count : DEVICES_MAX;
    for (size_t k = 0; k < found_count; k++)
        snprintf(found_names[k], sizeof found_names[k], "nothing, number %zu", k);
}

static he_status null_enumerate(struct he_device_info *infos, size_t capacity, size_t *count)
{
    pthread_once(&found_once, find);
    *count = found_count;
    if (!found_count)
        he_error_set(HE_ERR_NO_DEVICE, "HETEROENGINE_NULL does not ask for null devices");
    for (size_t k = 0; k < capacity && k < found_count; k++) {
        infos[k] = (struct he_device_info){
            .struct_size = sizeof infos[k],
            .kind = HE_KIND_OTHER,
            .index = (uint32_t)k,
            .name = found_names[k],
            .driver = "null",
            .caps = HE_CAP_HOST_MEMORY | HE_CAP_TASK_TIMES,
            .memory_bytes = UINT64_C(1) << 34,
            /* Round figures of no meaning, but no zeros: planners divide by them. */
            .peaks = { .fp32 = 1e12, .fp64 = 1e12, .fp16 = 1e12, .bf16 = 1e12, .int8 = 1e12 },
            .bandwidth = 1e11,
            .launch_ns = 10,
            .cores = 1,
            .shares = "",
        };
    }
    return HE_OK;
}

/* --- Device --- */

static void null_close(void *self)
{
    struct null_device *dev = self;

    dev->alloc.free(dev->alloc.self, dev);
}

static void *take(struct null_device *dev, size_t bytes)
{
    void *memory = dev->alloc.alloc(dev->alloc.self, bytes);

    if (!memory)
        he_error_set(HE_ERR_NO_MEMORY, "out of memory: %zu bytes for the null device", bytes);
    return memory;
}

static he_status null_buffer_alloc(void *self, size_t bytes, void **out)
{
    size_t total;
    char *memory, *data;

    if (__builtin_add_overflow(bytes, (size_t)(2 * HEADER_BYTES), &total))
        return he_error_set(HE_ERR_NO_MEMORY, "out of memory: %zu bytes for the null device",
                            bytes);
    memory = take(self, total);
    if (!memory)
        return HE_ERR_NO_MEMORY;
    data = memory + HEADER_BYTES;
    data += (HEADER_BYTES - (uintptr_t)data % HEADER_BYTES) % HEADER_BYTES;
    memcpy(data - HEADER_BYTES, &memory, sizeof memory);
    *out = data;
    return HE_OK;
}

static void null_buffer_free(void *self, void *buffer)
{
    struct null_device *dev = self;
    void *memory;

    if (!buffer)
        return;
    memcpy(&memory, (char *)buffer - HEADER_BYTES, sizeof memory);
    dev->alloc.free(dev->alloc.self, memory);
}

/* Host memory is copied by the core itself; these are for those who ask all the same. */
static he_status null_buffer_write(void *self, void *buffer, size_t offset, const void *src,
                                   size_t bytes)
{
    (void)self;
    memcpy((char *)buffer + offset, src, bytes);
    return HE_OK;
}

static he_status null_buffer_read(void *self, void *buffer, size_t offset, void *dst,
                                  size_t bytes)
{
    (void)self;
    memcpy(dst, (const char *)buffer + offset, bytes);
    return HE_OK;
}

/* --- Programs --- */

static bool is_static(const struct he_graph *graph, uint32_t value)
{
    const struct he_value *v = &graph->values[value];

    return !v->is_opaque && he_shape_bytes(&v->shape, v->dtype) >= 0;
}

static he_status null_supports(void *self, const struct he_graph *graph,
                               const struct he_task *task)
{
    (void)self;
    for (uint32_t k = 0; k < task->input_count + task->output_count; k++) {
        uint32_t value = k < task->input_count ? task->inputs[k]
                                               : task->outputs[k - task->input_count];

        if (!is_static(graph, value))
            return he_error_set(HE_ERR_UNSUPPORTED,
                                "%s: the null device needs the shape of '%s' beforehand",
                                graph->nodes[task->anchor].op, graph->values[value].name);
    }
    return HE_OK;
}

static he_status null_compile(void *self, const struct he_region *region, void **out)
{
    struct null_program *program;

    for (uint32_t t = 0; t < region->task_count; t++) {
        he_status status = null_supports(self, region->graph,
                                         &region->graph->tasks[region->tasks[t]]);

        if (status != HE_OK)
            return status;
    }
    program = take(self, sizeof *program);
    if (!program)
        return HE_ERR_NO_MEMORY;
    *program = (struct null_program){ region->task_count, region->slot_count };
    *out = program;
    return HE_OK;
}

static void null_free(void *self, void *object)
{
    struct null_device *dev = self;

    if (object)
        dev->alloc.free(dev->alloc.self, object);
}

static he_status null_program_info(void *self, void *program, struct he_program_info *out)
{
    (void)self;
    (void)program;
    out->workspace_bytes = 0;
    out->constant_bytes = 0;
    return HE_OK;
}

static he_status null_bind(void *self, void *program, const struct he_binding *bindings,
                           void *workspace, size_t workspace_offset, void **out)
{
    const struct null_program *p = program;
    struct null_instance *instance = take(self, sizeof *instance);

    (void)bindings;
    (void)workspace;
    (void)workspace_offset;
    if (!instance)
        return HE_ERR_NO_MEMORY;
    *instance = (struct null_instance){ p->task_count, p->slot_count };
    *out = instance;
    return HE_OK;
}

static he_status null_instance_set(void *self, void *instance, uint32_t slot,
                                   const struct he_binding *binding)
{
    const struct null_instance *i = instance;

    (void)self;
    (void)binding;
    if (slot >= i->slot_count)
        return he_error_set(HE_ERR_INVALID, "slot %u: the region has %u", slot, i->slot_count);
    return HE_OK;
}

static he_status null_launch(void *self, void *instance, const struct he_launch *launch)
{
    const struct null_instance *i = instance;

    (void)self;
    if (launch && launch->task_ns)
        memset(launch->task_ns, 0, i->task_count * sizeof *launch->task_ns);
    return HE_OK;
}

/* wait and enter_thread are left out: there is nothing to wait for or to pin. */
static const struct he_device_ops null_ops = {
    .struct_size = sizeof(struct he_device_ops),
    .close = null_close,
    .buffer_alloc = null_buffer_alloc,
    .buffer_free = null_buffer_free,
    .buffer_write = null_buffer_write,
    .buffer_read = null_buffer_read,
    .supports = null_supports,
    .compile = null_compile,
    .program_free = null_free,
    .program_info = null_program_info,
    .bind = null_bind,
    .instance_free = null_free,
    .instance_set = null_instance_set,
    .launch = null_launch,
};

static he_status null_open(size_t index, const struct he_device_config *config,
                           const struct he_device_ops **ops, void **out)
{
    struct null_device *dev;

    pthread_once(&found_once, find);
    if (index >= found_count)
        return he_error_set(HE_ERR_NO_DEVICE, "no null device %zu: HETEROENGINE_NULL asks for %zu",
                            index, found_count);
    if (!config || !config->allocator.alloc || !config->allocator.free)
        return he_error_set(HE_ERR_INVALID, "the null device needs an allocator");
    dev = config->allocator.alloc(config->allocator.self, sizeof *dev);
    if (!dev)
        return he_error_set(HE_ERR_NO_MEMORY, "out of memory: opening a null device");
    dev->alloc = config->allocator;
    *ops = &null_ops;
    *out = dev;
    return HE_OK;
}

const struct he_backend he_backend_null = {
    .struct_size = sizeof(struct he_backend),
    .abi = HE_BACKEND_ABI,
    .name = "null",
    .enumerate = null_enumerate,
    .open = null_open,
};
