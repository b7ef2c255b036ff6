/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the opencl backend.
 *
 *     api.c        the ICD loader, opened at run time
 *     find.c       which devices there are (asked in a child process)
 *     opencl.c     the backend table
 *     device.c     an open device: context, buffers, the table
 *     context.c    what it shares with the platform's other devices
 *     queue.c      its queues, the order between them, copies
 *     staging.c    copies through pinned memory
 *     program.c    region -> one OpenCL program and a list of steps
 *     instance.c   a program tied to memory; launching
 *     build.c      a task's segments, each a kernel or more
 *     kernel.c     what emitters write a kernel with: operands, lines
 *     walk.c       work-items over elements, broadcasts
 *     rows.c       rows shared by lanes
 *     value.c      types and constants of the graph
 *     text.c       growing text
 *     variants.c   the ways of doing a task, for measuring
 *     emit_*.c     the emitters, a family of operators each
 *
 * A compile walks the region's tasks; emitters write kernels (text with all shapes
 * as literals) and steps (which kernel, over which operands, how many work-items). supports()
 * is the same walk with nothing kept, so that what is taken also compiles.
 */
#ifndef OPENCL_OPENCL_H
#define OPENCL_OPENCL_H

#include <pthread.h>
#include <stdatomic.h>

#include <heteroengine/backend.h>

#include "api.h"

/* --- Devices (find.c) --- */

#define OPENCL_DEVICES_MAX 32
#define OPENCL_VENDOR_NVIDIA 0x10de

/* Plain data, so that it can come through a pipe. */
struct opencl_found {
    uint32_t platform, device; /* position in OpenCL's own lists */
    enum he_device_kind kind;
    uint32_t index; /* ordinal within the kind */
    bool is_cpu;    /* stands on the host's cores and memory */
    bool has_fp64;
    bool has_compiler; /* false: runs only what was built before, or its own functions */
    uint32_t units, mhz;
    uint32_t group_items; /* most work-items of a group */
    uint64_t local_bytes; /* local memory of a group */
    uint64_t memory_bytes, largest_buffer;
    uint64_t vendor;
    uint32_t capability; /* of NVIDIA's: 80 is 8.0; 0 of others */
    char name[160], driver[160];
    char built_in[256]; /* names of a device's own functions, where there is no compiler */
};

/* Cached after the first call. Gives the count; *reason says why it is 0. */
size_t opencl_find(const struct opencl_found **out, const char **reason);
/* The OpenCL handles of what was found, in this process. */
he_status opencl_find_handles(const struct opencl_api *cl, const struct opencl_found *found,
                              cl_platform_id *platform, cl_device_id *device);

/* --- An open device (device.c) --- */

enum opencl_queue_kind {
    OPENCL_COMPUTE, /* launches; copies too while nothing else goes on */
    OPENCL_UP,      /* copies to the device, beside launches */
    OPENCL_DOWN,    /* copies from the device */
    OPENCL_QUEUES
};

/* An in-order queue. Guarded by opencl_device.order, but for done. */
struct opencl_queue {
    cl_command_queue handle; /* of the copy queues: NULL until they are needed */
    uint64_t issued;         /* commands given to it; a launch counts as one */
    _Atomic uint64_t done;   /* of these known to be through */
    uint64_t seen[OPENCL_QUEUES]; /* commands of others that all later ones of this wait for */
    cl_event tail;                /* is through when the first tail_at commands are */
    uint64_t tail_at;
};

struct opencl_mark;
struct opencl_context;

struct opencl_device {
    struct he_allocator alloc;
    const struct opencl_found *found;
    bool allow_fp16, allow_bf16; /* what products may be lowered to */
    uint64_t memory_cap;
    _Atomic uint64_t memory_used;
    _Atomic unsigned built_before; /* opencl_cache_has_any(): 0 not asked, 1 no, 2 yes */
    /* OpenCL is started by the first buffer or program: until then an open device costs
     * nothing, and the process may still fork. */
    pthread_mutex_t lock;
    _Atomic bool is_started;
    /* Set once, under lock. */
    const struct opencl_api *cl;
    cl_device_id id;
    struct opencl_context *shared;
    cl_context context;
    struct opencl_device *next_open; /* context.c's */
    /* Guards the queues, and last[] of buffers. */
    pthread_mutex_t order;
    struct opencl_queue queues[OPENCL_QUEUES];
    cl_command_queue timed; /* of measured launches; NULL until there is one */
    bool wants_launch_events;       /* guarded by order: a launch ends with an event */
    struct opencl_mark *free_marks; /* guarded by lock */
    struct opencl_staging *staging; /* set once, under lock; NULL: copies go directly */
};

struct opencl_buffer {
    cl_mem mem;
    size_t bytes;
    uint64_t last[OPENCL_QUEUES]; /* by queue: the last of its commands that touches it */
};

extern const struct he_device_ops opencl_device_ops;

he_status opencl_device_open(const struct opencl_found *found,
                             const struct he_device_config *config, void **out);
he_status opencl_device_start(struct opencl_device *dev);
he_status opencl_buffer_create(struct opencl_device *dev, size_t bytes,
                               struct opencl_buffer **out);
void opencl_buffer_destroy(struct opencl_device *dev, struct opencl_buffer *buffer);

/* --- Contexts, shared by the devices of a platform (context.c) --- */

/* The device is open; it may be given a place in the context of a neighbour that starts. */
void opencl_context_announce(struct opencl_device *dev);
void opencl_context_forget(struct opencl_device *dev);
/* Sets dev->context. */
he_status opencl_context_join(struct opencl_device *dev, const struct opencl_api *cl);
void opencl_context_leave(struct opencl_device *dev);

/* --- Queues (queue.c) --- */

/* What a command has to wait for; the events are borrowed while the order lock is held. */
struct opencl_waits {
    cl_event events[OPENCL_QUEUES];
    cl_uint count;
    uint64_t upto[OPENCL_QUEUES];
};

he_status opencl_queues_open(struct opencl_device *dev);
void opencl_queues_close(struct opencl_device *dev);
he_status opencl_queues_finish(struct opencl_device *dev);
he_status opencl_queues_timed(struct opencl_device *dev, cl_command_queue *out);
/* Around putting a command that touches @buffers into a queue; on success the order lock is held
 * until opencl_order_end(), which is told whether the command, or a part of it, was put there, and takes
 * @event (NULL, or one that tells that the command is through). */
he_status opencl_order_begin(struct opencl_device *dev, enum opencl_queue_kind kind,
                             struct opencl_buffer *const *buffers, uint32_t buffer_count,
                             struct opencl_waits *waits);
void opencl_order_end(struct opencl_device *dev, enum opencl_queue_kind kind,
                      struct opencl_buffer *const *buffers, uint32_t buffer_count,
                      const struct opencl_waits *waits, bool is_put, cl_event event);

/* The first @upto commands of @queue are through. */
void opencl_queue_reached(struct opencl_queue *queue, uint64_t upto);

/* A copy by one OpenCL call: waited for, or begun; then *out (which may be NULL) tells when it is through. */
he_status opencl_copy_direct(struct opencl_device *dev, enum opencl_queue_kind kind, bool is_write,
                             struct opencl_buffer *buffer, size_t offset, void *host,
                             size_t bytes);
he_status opencl_copy_begin(struct opencl_device *dev, enum opencl_queue_kind kind, bool is_write,
                            struct opencl_buffer *buffer, size_t offset, void *host, size_t bytes,
                            cl_event *out);

/* As the slots of the same names. */
he_status opencl_buffer_write(struct opencl_device *dev, struct opencl_buffer *buffer,
                              size_t offset, const void *src, size_t bytes);
he_status opencl_buffer_read(struct opencl_device *dev, struct opencl_buffer *buffer,
                             size_t offset, void *dst, size_t bytes);
he_status opencl_write_begin(struct opencl_device *dev, struct opencl_buffer *buffer,
                             size_t offset, const void *src, size_t bytes);
he_status opencl_read_begin(struct opencl_device *dev, struct opencl_buffer *buffer,
                            size_t offset, void *dst, size_t bytes);
he_status opencl_buffer_copy(struct opencl_device *dev, struct opencl_buffer *buffer,
                             size_t offset, struct opencl_device *from,
                             struct opencl_buffer *from_buffer, size_t from_offset, size_t bytes);
he_status opencl_mark_set(struct opencl_device *dev, struct opencl_mark **out);
void opencl_mark_free(struct opencl_device *dev, struct opencl_mark *mark);
he_status opencl_mark_wait(struct opencl_device *dev, struct opencl_mark *mark);

/* --- Pinned memory (staging.c) --- */

struct opencl_staging;
struct opencl_block;

he_status opencl_staging_open(struct opencl_device *dev);
void opencl_staging_close(struct opencl_device *dev);
/* True when a copy of @bytes is faster through pinned memory. */
bool opencl_staging_pays(struct opencl_device *dev, bool is_write, size_t bytes);
he_status opencl_staging_copy(struct opencl_device *dev, enum opencl_queue_kind kind,
                              bool is_write, struct opencl_buffer *buffer, size_t offset,
                              void *host, size_t bytes);
/* Begins as much of the copy as there is pinned memory for, and gives how much that is. */
size_t opencl_staging_begin(struct opencl_device *dev, enum opencl_queue_kind kind, bool is_write,
                            struct opencl_buffer *buffer, size_t offset, char *host, size_t bytes,
                            he_status *status);
/* What was begun since it was asked last; to be finished when that is through. */
struct opencl_block *opencl_staging_begun(struct opencl_device *dev);
void opencl_staging_finish(struct opencl_device *dev, struct opencl_block *blocks, bool is_good);

/* Zeroed and checked; NULL sets no sentence: opencl_no_memory() does. */
void *opencl_alloc(const struct he_allocator *alloc, size_t count, size_t size);
void opencl_free(const struct he_allocator *alloc, void *memory);
he_status opencl_no_memory(void);
/* Makes room for @needed elements, doubling. */
he_status opencl_grow(const struct he_allocator *alloc, void **array, uint32_t *capacity,
                      uint32_t used, uint32_t needed, size_t size);
/* @call failed with @error. */
he_status opencl_failed(cl_int error, const char *call);

/* selftest.c */
he_status opencl_self_test(struct opencl_device *dev, struct he_self_test *samples, size_t count);

/* --- Text (text.c): failure is sticky --- */

struct opencl_text {
    const struct he_allocator *alloc;
    char *data; /* NUL-terminated, or NULL while empty */
    size_t size, capacity;
    bool failed;
};

void opencl_text_init(struct opencl_text *text, const struct he_allocator *alloc);
void opencl_text_fini(struct opencl_text *text);
void opencl_text_clear(struct opencl_text *text);
void opencl_text_printf(struct opencl_text *text, const char *format, ...) HE_PRINTF(2, 3);
void opencl_text_append(struct opencl_text *text, const char *data, size_t size);
const char *opencl_text_string(const struct opencl_text *text); /* "" rather than NULL */

/* --- Programs (program.c) --- */

enum opencl_ref_kind { OPENCL_SLOT, OPENCL_CONSTANT, OPENCL_WORKSPACE };

/* Where an operand's bytes are. */
struct opencl_ref {
    enum opencl_ref_kind kind;
    uint32_t index; /* of slot or constant */
    size_t offset;  /* in the workspace */
};

#define OPENCL_OPERANDS_MAX 24

struct opencl_step {
    uint32_t task;   /* position in the region */
    uint32_t kernel; /* HE_NONE: a copy of @bytes from refs[0] to refs[1] */
    uint32_t ref_count;
    struct opencl_ref refs[OPENCL_OPERANDS_MAX];
    uint8_t element_bytes[OPENCL_OPERANDS_MAX];
    size_t bytes;
    uint32_t dimensions;
    size_t global[3], local[3];
};

struct opencl_constant {
    uint32_t value;     /* of the graph, HE_NONE for made ones */
    uint32_t form;      /* packed forms of one value are constants of their own */
    enum he_dtype dtype; /* its own, which a packed form may have narrowed */
    struct opencl_buffer *buffer;
};

struct opencl_program {
    struct opencl_device *dev;
    const struct he_region *region;
    struct opencl_constant *constants;
    uint32_t constant_count, constant_capacity;
    struct opencl_step *steps;
    uint32_t step_count, step_capacity;
    char **bodies; /* per kernel: its text without the name, to find equal ones */
    uint32_t kernel_count, kernel_capacity;
    /* Each builds kernels_per_program kernels, named k0, k1... in it. */
    cl_program *programs;
    uint32_t program_count, kernels_per_program;
    size_t workspace_bytes, constant_bytes;
};

/* @ways: per task of the region, NULL or an entry of NULL: our own rules. */
he_status opencl_program_create(struct opencl_device *dev, const struct he_region *region,
                                const char *const *ways, struct opencl_program **out);
void opencl_program_destroy(struct opencl_program *program);
he_status opencl_task_supported(struct opencl_device *dev, const struct he_graph *graph,
                                const struct he_task *task);

/* --- Ways (variants.c) --- */

he_status opencl_variants(struct opencl_device *dev, const struct he_graph *graph,
                          const struct he_task *task, struct he_variant *out, size_t capacity,
                          size_t *count);

/* --- Instances (instance.c) --- */

/* Of every slot's offset in its buffer, so that kernels may read 16 bytes at once. */
#define OPENCL_ALIGNMENT 16

struct opencl_instance;
he_status opencl_instance_create(struct opencl_program *program, const struct he_binding *bindings,
                                 struct opencl_buffer *workspace, size_t workspace_offset,
                                 struct opencl_instance **out);
void opencl_instance_destroy(struct opencl_instance *instance);
he_status opencl_instance_set(struct opencl_instance *instance, uint32_t slot,
                              const struct he_binding *binding);
he_status opencl_instance_launch(struct opencl_instance *instance, uint64_t *task_ns);

#endif
