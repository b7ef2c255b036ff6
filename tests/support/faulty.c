/* SPDX-License-Identifier: Apache-2.0 */
/* The plug-in of faulty.h: every slot asks first whether it is its turn to fail. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "faulty.h"

static const char *const slot_names[] = {
    "open",    "buffer_alloc", "buffer_write", "buffer_read",  "supports", "compile",
    "program_info", "bind",    "instance_set", "launch",       "wait",     "enter_thread",
    "write_begin", "read_begin", "mark",         "mark_wait",
};

static struct faulty control = { .slot_names = slot_names, .slot = FAULTY_SLOT_COUNT };

HE_API struct faulty *faulty_control(void);
struct faulty *faulty_control(void)
{
    return &control;
}

struct device {
    const struct he_device_ops *ops;
    void *impl;
};

/* In front of every buffer: its size. Bindings then need no translation. */
#define HEADER_BYTES 64

static he_status fault(enum faulty_slot slot)
{
    atomic_fetch_add(&control.calls[slot], 1);
    if (atomic_load(&control.stays) && atomic_load(&control.has_failed))
        return control.error_set((he_status)control.status, "the chip is gone");
    if (atomic_load(&control.slot) != (int)slot || atomic_fetch_sub(&control.after, 1) != 0)
        return HE_OK;
    atomic_store(&control.has_failed, true);
    return control.error_set((he_status)control.status, "a fault was asked for");
}

static void hang(void)
{
    atomic_fetch_add(&control.hanging, 1);
    while (atomic_load(&control.hangs))
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    atomic_fetch_sub(&control.hanging, 1);
}

static void device_close(void *self)
{
    struct device *dev = self;

    hang();
    dev->ops->close(dev->impl);
    free(dev);
    atomic_fetch_sub(&control.devices, 1);
}

static he_status buffer_alloc(void *self, size_t bytes, void **out)
{
    struct device *dev = self;
    uint64_t limit = atomic_load(&control.memory_bytes), size = bytes;
    he_status status = fault(FAULTY_BUFFER_ALLOC);
    void *memory;

    if (status != HE_OK)
        return status;
    if (limit && atomic_load(&control.used_bytes) + bytes > limit)
        return control.error_set(HE_ERR_NO_MEMORY, "the chip has %llu bytes",
                                 (unsigned long long)limit);
    status = dev->ops->buffer_alloc(dev->impl, bytes + HEADER_BYTES, &memory);
    if (status != HE_OK)
        return status;
    memcpy(memory, &size, sizeof size);
    atomic_fetch_add(&control.used_bytes, bytes);
    atomic_fetch_add(&control.buffers, 1);
    *out = (char *)memory + HEADER_BYTES;
    return HE_OK;
}

static void buffer_free(void *self, void *buffer)
{
    struct device *dev = self;
    uint64_t size;
    char *memory;

    if (!buffer)
        return;
    hang();
    memory = (char *)buffer - HEADER_BYTES;
    memcpy(&size, memory, sizeof size);
    dev->ops->buffer_free(dev->impl, memory);
    atomic_fetch_sub(&control.used_bytes, size);
    atomic_fetch_sub(&control.buffers, 1);
}

static he_status buffer_write(void *self, void *buffer, size_t offset, const void *src,
                              size_t bytes)
{
    he_status status = fault(FAULTY_BUFFER_WRITE);

    (void)self;
    if (status == HE_OK)
        memcpy((char *)buffer + offset, src, bytes);
    return status;
}

/* What a failed transfer leaves is anybody's guess. */
static he_status buffer_read(void *self, void *buffer, size_t offset, void *dst, size_t bytes)
{
    he_status status = fault(FAULTY_BUFFER_READ);

    (void)self;
    if (status == HE_OK)
        memcpy(dst, (char *)buffer + offset, bytes);
    else
        memset(dst, 0xff, bytes);
    return status;
}

static he_status supports(void *self, const struct he_graph *graph, const struct he_task *task)
{
    struct device *dev = self;
    he_status status = fault(FAULTY_SUPPORTS);

    if (status != HE_OK)
        return status;
    if (task->is_dynamic)
        return control.error_set(HE_ERR_UNSUPPORTED, "shapes known only while running");
    return dev->ops->supports(dev->impl, graph, task);
}

static he_status compile(void *self, const struct he_region *region, void **out)
{
    struct device *dev = self;
    he_status status = fault(FAULTY_COMPILE);

    if (status == HE_OK)
        status = dev->ops->compile(dev->impl, region, out);
    if (status == HE_OK)
        atomic_fetch_add(&control.programs, 1);
    return status;
}

static void program_free(void *self, void *program)
{
    struct device *dev = self;

    if (!program)
        return;
    hang();
    dev->ops->program_free(dev->impl, program);
    atomic_fetch_sub(&control.programs, 1);
}

static he_status program_info(void *self, void *program, struct he_program_info *out)
{
    struct device *dev = self;
    he_status status = fault(FAULTY_PROGRAM_INFO);

    return status == HE_OK ? dev->ops->program_info(dev->impl, program, out) : status;
}

static he_status bind(void *self, void *program, const struct he_binding *bindings,
                      void *workspace, size_t workspace_offset, void **out)
{
    struct device *dev = self;
    he_status status = fault(FAULTY_BIND);

    if (status == HE_OK)
        status = dev->ops->bind(dev->impl, program, bindings, workspace, workspace_offset, out);
    if (status == HE_OK)
        atomic_fetch_add(&control.instances, 1);
    return status;
}

static void instance_free(void *self, void *instance)
{
    struct device *dev = self;

    if (!instance)
        return;
    hang();
    dev->ops->instance_free(dev->impl, instance);
    atomic_fetch_sub(&control.instances, 1);
}

static he_status instance_set(void *self, void *instance, uint32_t slot,
                              const struct he_binding *binding)
{
    struct device *dev = self;
    he_status status = fault(FAULTY_INSTANCE_SET);

    return status == HE_OK ? dev->ops->instance_set(dev->impl, instance, slot, binding) : status;
}

static he_status launch(void *self, void *instance, const struct he_launch *how)
{
    struct device *dev = self;
    he_status status = fault(FAULTY_LAUNCH);

    return status == HE_OK ? dev->ops->launch(dev->impl, instance, how) : status;
}

static he_status wait(void *self)
{
    (void)self;
    return fault(FAULTY_WAIT);
}

static he_status enter_thread(void *self, bool is_worker)
{
    struct device *dev = self;
    he_status status = fault(FAULTY_ENTER_THREAD);

    if (status == HE_OK && dev->ops->enter_thread)
        status = dev->ops->enter_thread(dev->impl, is_worker);
    return status;
}

static he_status write_begin(void *self, void *buffer, size_t offset, const void *src,
                             size_t bytes)
{
    he_status status = fault(FAULTY_WRITE_BEGIN);

    (void)self;
    if (status == HE_OK)
        memcpy((char *)buffer + offset, src, bytes);
    return status;
}

static he_status read_begin(void *self, void *buffer, size_t offset, void *dst, size_t bytes)
{
    he_status status = fault(FAULTY_READ_BEGIN);

    (void)self;
    if (status == HE_OK)
        memcpy(dst, (char *)buffer + offset, bytes);
    return status;
}

static he_status mark(void *self, void **out)
{
    he_status status = fault(FAULTY_MARK);

    (void)self;
    if (status != HE_OK)
        return status;
    *out = malloc(1);
    if (!*out)
        return control.error_set(HE_ERR_NO_MEMORY, "out of memory");
    atomic_fetch_add(&control.marks, 1);
    return HE_OK;
}

static void mark_free(void *self, void *object)
{
    (void)self;
    free(object);
    atomic_fetch_sub(&control.marks, 1);
}

static he_status mark_wait(void *self, void *object)
{
    mark_free(self, object);
    return fault(FAULTY_MARK_WAIT);
}

#define SLOTS                                                                       \
    .struct_size = sizeof(struct he_device_ops), .close = device_close,             \
    .buffer_alloc = buffer_alloc, .buffer_free = buffer_free,                       \
    .buffer_write = buffer_write, .buffer_read = buffer_read, .supports = supports, \
    .compile = compile, .program_free = program_free, .program_info = program_info, \
    .bind = bind, .instance_free = instance_free, .instance_set = instance_set,     \
    .launch = launch, .wait = wait, .enter_thread = enter_thread

static const struct he_device_ops plain_ops = { SLOTS };
static const struct he_device_ops overlapping_ops = {
    SLOTS, .write_begin = write_begin, .read_begin = read_begin,
    .mark = mark, .mark_wait = mark_wait, .mark_free = mark_free,
};

static he_status enumerate(struct he_device_info *infos, size_t capacity, size_t *count)
{
    *count = 1;
    if (capacity)
        infos[0] = (struct he_device_info){
            .struct_size = sizeof infos[0],
            .kind = HE_KIND_FPGA,
            .name = "a chip that fails",
            .driver = "faulty",
            .caps = HE_CAP_ASYNC | (control.is_host ? HE_CAP_HOST_MEMORY : 0),
            .memory_bytes = UINT64_C(1) << 32,
            .peaks = { .fp32 = 1e14 },
            .bandwidth = 1e13,
            .launch_ns = 10,
            .cores = 1,
            .shares = "",
        };
    return HE_OK;
}

static he_status device_open(size_t index, const struct he_device_config *config,
                             const struct he_device_ops **ops, void **out)
{
    struct he_device_config inner = *config;
    he_status status = fault(FAULTY_OPEN);
    struct device *dev;

    (void)index;
    if (status != HE_OK)
        return status;
    dev = calloc(1, sizeof *dev);
    if (!dev)
        return control.error_set(HE_ERR_NO_MEMORY, "out of memory");
    inner.threads = 1;
    inner.cores = NULL;
    status = control.inner->open(0, &inner, &dev->ops, &dev->impl);
    if (status != HE_OK) {
        free(dev);
        return status;
    }
    atomic_fetch_add(&control.devices, 1);
    *ops = control.overlaps ? &overlapping_ops : &plain_ops;
    *out = dev;
    return HE_OK;
}

static const struct he_backend backend = {
    .struct_size = sizeof(struct he_backend),
    .abi = HE_BACKEND_ABI,
    .name = "faulty",
    .enumerate = enumerate,
    .open = device_open,
};

HE_API const struct he_backend *he_backend_entry(void);
const struct he_backend *he_backend_entry(void)
{
    return &backend;
}
