/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HETEROENGINE_BACKEND_H
#define HETEROENGINE_BACKEND_H

/*
 * The backend ABI: what a chip needs to offer so that tasks can be placed on it.
 *
 * One `struct he_backend` per backend. It enumerates devices, opens them, and
 * each open device compiles regions of the graph into programs, binds programs
 * to memory (an instance), and launches instances in order.
 *
 *     enumerate -> open -> supports? -> compile(region) -> program
 *                                       bind(program, memory) -> instance
 *                                       launch(instance)* ... -> wait
 *
 * Every table starts with struct_size. On opening, the core copies it as far as
 * struct_size reaches, refuses one whose required slots are missing, and fills
 * optional holes with defaults. New slots go at the end. Callers never touch a
 * table: they use the front doors of src/core/device.h.
 *
 * Failures: a slot whose driver call failed gives HE_ERR_DEVICE, and HE_ERR_DEVICE_LOST when the
 * device is known to be gone for good. The core then calls nothing of that device but wait(), the
 * freeing slots and close(), which should come back soon: it waits for them a few seconds at most.
 * HE_ERR_NO_MEMORY of a device with a memory of its own means that this memory is full.
 *
 * Locks: the core holds none while in a slot. Slots of different devices may run
 * at the same time; of one device, compile/bind/buffer slots may run beside one
 * launching thread. Slots report with he_error_set().
 */

#include <heteroengine/allocator.h>
#include <heteroengine/graph.h>
#include <heteroengine/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HE_BACKEND_ABI 1

/* --- What a device is --- */

enum he_device_kind {
    HE_KIND_CPU,
    HE_KIND_GPU,
    HE_KIND_FPGA,
    HE_KIND_ASIC,
    HE_KIND_MATRIX, /* a matrix unit inside a CPU, offered as a device of its own */
    HE_KIND_DSP,
    HE_KIND_OTHER,
    HE_KIND_COUNT
};

enum he_device_caps {
    HE_CAP_HOST_MEMORY = 1u << 0,   /* its buffers are ordinary host memory: hand-over copies nothing */
    HE_CAP_CHANNELS_LAST = 1u << 1, /* takes HE_LAYOUT_CHANNELS_LAST slots, and is faster with them */
    HE_CAP_DYNAMIC = 1u << 2,       /* runs tasks whose output shapes are known only while running */
    HE_CAP_ASYNC = 1u << 3,         /* launch() returns before the work is done */
    HE_CAP_TASK_TIMES = 1u << 4,    /* fills he_launch.task_ns */
};

/* Peak arithmetic per second, by the type that is multiplied. 0 = cannot. */
struct he_peaks {
    double fp32, fp64, fp16, bf16, int8;
};

/* Filled by enumerate(); strings are owned by the backend until the process ends. */
struct he_device_info {
    size_t struct_size;
    enum he_device_kind kind;
    uint32_t index;     /* ordinal within backend and kind */
    const char *name;   /* "AMD EPYC 9B14, 2 cores" */
    const char *driver; /* "oneDNN 2.6.3", "PoCL 3.1" */
    uint32_t caps;      /* enum he_device_caps */
    uint64_t memory_bytes;
    struct he_peaks peaks; /* whole device, as far as known without a measurement */
    double bandwidth;      /* bytes per second of its memory */
    double launch_ns;      /* cost of one launch with nothing in it */
    uint32_t cores;        /* independent execution units, for display */
    /* Devices with the same non-empty string stand on the same silicon and
     * memory ("host"): using two at once is no gain unless measured. */
    const char *shares;
    double idle_watts, busy_watts; /* 0 = not known */
};

/* What the machine description asks of one device. */
struct he_device_config {
    size_t struct_size;
    const char *cores;   /* list as "0-3,8"; NULL = all this process may use */
    uint32_t threads;    /* 0 = one per core */
    uint64_t memory_bytes; /* cap; 0 = all */
    bool allow_bf16, allow_fp16, allow_int8; /* may arithmetic be lowered? */
    struct he_allocator allocator;
};

/* --- Work for a device --- */

enum he_slot_role {
    HE_SLOT_INPUT,    /* made before the region runs */
    HE_SLOT_OUTPUT,   /* read after the region has run */
    HE_SLOT_INTERIOR, /* made and read inside the region only */
};

/* One materialised value of a region. */
struct he_slot {
    uint32_t value;
    enum he_slot_role role;
    enum he_layout layout;
    /* Index of the slot whose memory this one shares byte for byte (a view such
     * as Reshape), or HE_NONE. */
    uint32_t alias;
    /* Shape unknown until run: bound through he_binding.dynamic. */
    bool is_dynamic;
};

/* A convex set of tasks for one device, in the order they are to run. */
struct he_region {
    const struct he_graph *graph;
    const uint32_t *tasks;
    uint32_t task_count;
    const struct he_slot *slots; /* every non-constant value its tasks read or write, once */
    uint32_t slot_count;
};

struct he_program_info {
    size_t struct_size;
    size_t workspace_bytes; /* scratch an instance needs while it runs; see bind() */
    size_t constant_bytes;  /* packed weights held by the program, on the device */
};

/* A tensor whose memory came into being while running. */
struct he_dynamic_tensor {
    enum he_dtype dtype;
    struct he_shape shape;
    void *data;     /* host memory from the device's allocator, freed by the core */
    size_t capacity; /* bytes that data has room for */
};

/* Where a slot's bytes are. For host-memory devices buffer is the base pointer; there a part that
 * a Slice, Split or Concat of the region takes or puts may be bound inside the whole, just where it
 * belongs: nothing is left to copy then. */
struct he_binding {
    void *buffer;
    size_t offset;
    struct he_dynamic_tensor *dynamic; /* for is_dynamic slots, else NULL */
};

struct he_launch {
    size_t struct_size;
    /* NULL, or room for one figure per task of the region: its time in ns. */
    uint64_t *task_ns;
};

/* One way of doing a task, out of several that give the same result: an algorithm over a layout
 * in a type. The core measures and chooses; strings are owned by the backend for ever. */
struct he_variant {
    size_t struct_size;
    const char *name;      /* a word that lasts: measurements are kept under it */
    const char *algorithm; /* "winograd" */
    const char *layout;    /* "channels-last" */
    const char *dtype;     /* "float32" */
    /* What can be said before anything was measured; the score of a way is
     * alpha * density + beta * locality - gamma * sync, the largest first. */
    double density;  /* arithmetic done per second, of what the best known way does: about 0..2 */
    double locality; /* bytes the task must touch, of those this way touches: 0..1 */
    double sync;     /* part of the time spent at barriers and between calls: 0..1 */
};

struct he_compile_options {
    size_t struct_size;
    /* Per task of the region the way to do it, NULL: the device's own rules. A way that turns out
     * not to be possible is replaced by them. */
    const char *const *variants;
};

/* --- The tables --- */

/* Whether a device works in the host's memory. */
enum he_host_memory {
    HE_HOST_MEMORY_UNKNOWN,
    HE_HOST_MEMORY_SHARED,          /* the same bytes: nothing is copied */
    HE_HOST_MEMORY_COPIED_SILENTLY, /* the same pointer, and copies behind it */
    HE_HOST_MEMORY_COPIED,
};

/* One sample of what a device does, measured now. 0: not measured. */
struct he_self_test {
    size_t struct_size;
    double fp32;      /* multiply-adds in registers, two operations each, per second */
    double bandwidth; /* bytes per second, read and written, of a copy in its memory */
    double launch_ns; /* of an empty launch among many */
    enum he_host_memory host_memory;
};

struct he_device_ops {
    size_t struct_size; /* sizeof(struct he_device_ops) in the backend's build */

    /* Required. Finishes all work first. */
    void (*close)(void *dev);

    /* Required. Does not block. Gives *out, aligned to 64 bytes or better; for
     * HE_CAP_HOST_MEMORY it is a host pointer. HE_ERR_NO_MEMORY when full. */
    he_status (*buffer_alloc)(void *dev, size_t bytes, void **out);
    void (*buffer_free)(void *dev, void *buffer); /* Required; NULL is fine. */

    /* Required unless HE_CAP_HOST_MEMORY. Blocks until the bytes have moved;
     * waits for launches made before. Called by src/mem/copy.c only. */
    he_status (*buffer_write)(void *dev, void *buffer, size_t offset, const void *src, size_t bytes);
    he_status (*buffer_read)(void *dev, void *buffer, size_t offset, void *dst, size_t bytes);

    /* Required. HE_OK, or HE_ERR_UNSUPPORTED with a reason in the error
     * sentence (operator, type, shape). Fast: called for every task. */
    he_status (*supports)(void *dev, const struct he_graph *graph, const struct he_task *task);

    /* Required. Borrows @region (and its graph) until program_free(). Gives
     * *out. Packs the weights, fuses inside the region as it likes. */
    he_status (*compile)(void *dev, const struct he_region *region, void **out);
    void (*program_free)(void *dev, void *program); /* Required; NULL is fine. */
    he_status (*program_info)(void *dev, void *program, struct he_program_info *out); /* Required. */

    /* Required. Ties a program to memory: @bindings[k] for region slot k (those
     * of inputs and outputs may be {NULL} and set later), @workspace of
     * workspace_bytes in this device's memory, which no other instance uses at
     * the same time. Gives *out. Instances of one program are independent. */
    he_status (*bind)(void *dev, void *program, const struct he_binding *bindings,
                      void *workspace, size_t workspace_offset, void **out);
    void (*instance_free)(void *dev, void *instance); /* Required; NULL is fine. */
    /* Required. Cheap: moves one input or output slot; not while it runs. */
    he_status (*instance_set)(void *dev, void *instance, uint32_t slot,
                              const struct he_binding *binding);

    /* Required. Runs the instance after all earlier launches of this device.
     * Without HE_CAP_ASYNC it returns when done. One thread at a time. */
    he_status (*launch)(void *dev, void *instance, const struct he_launch *launch);

    /* Optional, default: nothing to wait for. Blocks until every launch so far is done. */
    he_status (*wait)(void *dev);

    /* Optional, default: nothing. Called once by each thread that is going to
     * launch, before its first launch; @is_worker when the thread belongs to the
     * engine, so that it may be pinned. */
    he_status (*enter_thread)(void *dev, bool is_worker);

    /* Optional, default: one way of doing everything. Fills @out up to @capacity with the ways of
     * doing a task that the device supports, and gives the full count in *count: 0, or 2
     * and more; the first is called "auto" and means the device's own rules. Fast. */
    he_status (*variants)(void *dev, const struct he_graph *graph, const struct he_task *task,
                          struct he_variant *out, size_t capacity, size_t *count);
    /* Required with variants. compile() with choices. */
    he_status (*compile_with)(void *dev, const struct he_region *region,
                              const struct he_compile_options *options, void **out);

    /* Optional, these five together, default: buffer_write(), buffer_read() and wait(). Copies
     * that go on beside launches. On one buffer everything happens in the order in which it was
     * begun, launches of instances bound to it included; between buffers only launches are ordered.
     * Borrow @src and @dst until a mark made later is through: that is when @dst is filled. */
    he_status (*write_begin)(void *dev, void *buffer, size_t offset, const void *src, size_t bytes);
    he_status (*read_begin)(void *dev, void *buffer, size_t offset, void *dst, size_t bytes);
    /* Gives a mark that is through when all copies and launches begun so far are. */
    he_status (*mark)(void *dev, void **out);
    /* Blocks until @mark is through and takes it; each mark once, on any thread, also while
     * another is in a slot. Reports what failed of the work before the mark. */
    he_status (*mark_wait)(void *dev, void *mark);
    void (*mark_free)(void *dev, void *mark); /* one that nobody will wait for */

    /* Optional, default: the core goes through the host. From a buffer of @from, another open device of
     * the same backend, without the host's memory. Blocks like buffer_write(), and waits for what
     * both devices were given before. HE_ERR_UNSUPPORTED where these two cannot. */
    he_status (*buffer_copy)(void *dev, void *buffer, size_t offset, void *from, void *from_buffer,
                             size_t from_offset, size_t bytes);

    /* Optional, default: HE_ERR_UNSUPPORTED. Fills @samples[0..@count); within about a second for
     * a dozen. Nothing else runs on the device meanwhile. */
    he_status (*self_test)(void *dev, struct he_self_test *samples, size_t count);
};

struct he_backend {
    size_t struct_size;
    uint32_t abi;     /* HE_BACKEND_ABI */
    const char *name; /* "cpu" */

    /* Required. Lists what is there: fills @infos up to @capacity and gives the
     * full count in *count. No device is HE_OK with 0 and, when there is a
     * reason worth telling ("libOpenCL.so.1 not found"), the reason in the error
     * sentence. Thread-safe. */
    he_status (*enumerate)(struct he_device_info *infos, size_t capacity, size_t *count);

    /* Required. Opens device @index of enumerate()'s list. Gives *dev and the
     * table that goes with it (static storage). */
    he_status (*open)(size_t index, const struct he_device_config *config,
                      const struct he_device_ops **ops, void **dev);
};

/* A loadable backend exports exactly one symbol: a function of this type, named
 * he_backend_entry. Built-in ones are listed in a generated table. */
typedef const struct he_backend *(*he_backend_entry_fn)(void);

#ifdef __cplusplus
}
#endif
#endif
