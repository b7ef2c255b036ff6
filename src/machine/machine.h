/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is to run on: devices, links between them, budgets and the other
 * settings of the YAML file. Made from a file, from one line of text, from
 * discovery, or from a mix of them; it only describes, nothing is opened here.
 */
#ifndef HE_MACHINE_MACHINE_H
#define HE_MACHINE_MACHINE_H

#include <heteroengine/backend.h>

#include "core/alloc.h"
#include "core/text.h"

/* Where a figure comes from; a measured one replaces an assumed one, not a given one. */
enum he_machine_source { HE_SOURCE_ASSUMED, HE_SOURCE_GIVEN, HE_SOURCE_MEASURED };

struct he_machine_device {
    const char *id; /* "CPU:0", or "gpu1" for a simulated one of a one-line machine */
    enum he_device_kind kind;
    const char *backend;     /* "cpu", "opencl"...; "" when simulated without one */
    uint32_t backend_index;  /* in that backend's enumerate() list */
    bool is_simulated;
    const char *name, *driver;
    const char *shares; /* devices with the same non-empty text are one server */
    const char *cores;  /* as written, or NULL */
    uint32_t threads, core_count;
    uint32_t caps;
    uint64_t memory_bytes;
    struct he_peaks peaks;
    double bandwidth;   /* bytes/s of its memory */
    double launch_ns;
    enum he_machine_source peaks_source; /* of peaks.fp32, bandwidth and launch_ns */
    bool peak_is_given, bandwidth_is_given, launch_is_given;
    enum he_host_memory host_memory; /* measured */
    double idle_watts, busy_watts;
    enum he_machine_source watts_source; /* HE_SOURCE_ASSUMED with 0 W: not known */
    double price_per_hour;
    /* Resources beside memory: "lut", "dsp"..., as a list. */
    const char **resource_names;
    double *resource_amounts;
    size_t resource_count;
    const char *like; /* catalogue entry it was derived from, or NULL */
};

struct he_machine_link {
    uint32_t from, to; /* device indices, directed */
    double bandwidth;  /* bytes/s */
    double latency_s;
    enum he_machine_source source;
    double spread; /* relative, of a measured bandwidth */
};

/* What one device costs another beside moving bytes. */
struct he_machine_pair {
    /* Seconds from the end of a task on one to the start of a task on the other: a message
     * between two threads, the second of which sleeps. */
    double hand_over_s, hand_over_spread;
    /* Times as long as alone a task on the first takes while the second is busy: one that
     * computes, one that moves memory. 1: they do not disturb each other. */
    double slowdown_compute, slowdown_memory;
    /* Seconds per byte that the second reads of what the first made, out of one memory: from the
     * other's caches. Beside what reading takes anyhow. */
    double fetch_s, fetch_spread;
    enum he_machine_source source;
};

/* A limit of the plan. Names: memory, power, price, or a resource. */
struct he_machine_budget {
    const char *name;
    double limit;     /* bytes, watts, per hour, count; for a fraction see is_fraction */
    bool is_fraction; /* of what the devices have together */
};

enum he_mem_policy { HE_MEM_FAIL_POLICY, HE_MEM_SWAP_POLICY };

struct he_machine_settings {
    const char *strategy; /* "latency_aware" by default */
    const char *hints;    /* of the model about devices: "respect" (default) or "ignore" */
    const char *layers;   /* layer_ann to devices, "gpu(encoder); cpu(=head)"; NULL: not set */
    const char *on_device_loss; /* "replan" (default) or "fail" */
    uint32_t batch_split_size; /* 0: not set */
    double gpu_mem_threshold;  /* fraction, 1.0 by default */
    enum he_mem_policy mem_policy;
    const char **mem_tiers;
    size_t mem_tier_count;
    const char *swap_path;
    double offload_utilization; /* fraction, 0: not set */
    const char *dvfs_policy;
    const char *precision_default; /* "fp32" */
    bool allow_bf16, allow_fp16, allow_int8;
    double max_error; /* 0: not set */
    const char **cluster_nodes;
    size_t cluster_node_count;
    const char *cluster_transport, *cluster_require;
};

struct he_machine {
    struct he_arena arena;
    const char *source; /* file name, "discovered", or the line of text */
    struct he_machine_device *devices;
    uint32_t device_count;
    struct he_machine_link *links;
    uint32_t link_count;
    struct he_machine_budget *budgets;
    uint32_t budget_count;
    struct he_machine_pair *pairs; /* [first * device_count + second]; NULL: nothing measured */
    struct he_machine_settings settings;
    /* Private: room in the arrays, and the links by pair (1 + index, 0 without one) once the
     * devices are complete. */
    uint32_t device_capacity, link_capacity;
    uint32_t *link_at; /* [from * link_at_width + to] */
    uint32_t link_at_width;
};

/* An empty machine with the default settings. */
he_status he_machine_create(const char *source, const struct he_allocator *alloc,
                            struct he_machine **out) HE_MUST_CHECK;
/* Every device the backends list, with default links. */
he_status he_machine_discover(const struct he_allocator *alloc, struct he_machine **out) HE_MUST_CHECK;
/* A YAML file. A device that is not simulated is completed from discovery by
 * its id (kind and ordinal) or its backend; HE_ERR_NO_DEVICE when it is absent.
 * Errors: "machine.yaml:4:9: unknown key 'prise', did you mean 'price'?". */
he_status he_machine_load(const char *path, const struct he_allocator *alloc,
                          struct he_machine **out) HE_MUST_CHECK;
he_status he_machine_parse(const char *name, const char *text, size_t size,
                           const struct he_allocator *alloc, struct he_machine **out) HE_MUST_CHECK;
/* The same text as a description only: real devices need not be here, and are not completed. */
he_status he_machine_describe(const char *name, const char *text, size_t size,
                              const struct he_allocator *alloc, struct he_machine **out) HE_MUST_CHECK;
/* "cpu:2 gpu:1(tflops=312,mem=80GB)" (simulated), "CPU:0,GPU:0" or
 * "HETERO:GPU:0,CPU:0" (real, in order of preference), "CPU:0(cores=0),CPU:1(cores=1)". */
he_status he_machine_from_line(const char *line, const struct he_allocator *alloc,
                               struct he_machine **out) HE_MUST_CHECK;
/* Keeps only what @line names of real devices (an option -d over a file -c). */
he_status he_machine_select(struct he_machine *machine, const char *line) HE_MUST_CHECK;
/* "memory=8GB,power=300W": adds or replaces budgets. */
he_status he_machine_set_budget(struct he_machine *machine, const char *text) HE_MUST_CHECK;
/* Adds a device described as in the one-line form: id "GPU:0", options "mem=24GB". */
he_status he_machine_add_device(struct he_machine *machine, const char *id, const char *options)
    HE_MUST_CHECK;
void he_machine_destroy(struct he_machine *machine);

/* Seconds to move @bytes from one device to another: 0 in shared memory, the
 * link's latency + bytes/bandwidth, through the host when there is no direct link. */
double he_machine_transfer_seconds(const struct he_machine *machine, uint32_t from, uint32_t to,
                                   double bytes);
/* What is known of two different devices, or assumed. */
struct he_machine_pair he_machine_pair_at(const struct he_machine *machine, uint32_t first,
                                          uint32_t second);
he_status he_machine_set_pair(struct he_machine *machine, uint32_t first, uint32_t second,
                              const struct he_machine_pair *pair) HE_MUST_CHECK;
/* Puts measured figures in the place of assumed ones; leaves those that were given. */
void he_machine_measured_link(struct he_machine *machine, uint32_t from, uint32_t to,
                              double bandwidth, double latency_s, double spread);
/* "shared", "copies silently", "copies"; NULL: not known. */
const char *he_host_memory_name(enum he_host_memory memory);
/* What is known of the memory of a link's devices: that of the one which is not the host. */
enum he_host_memory he_machine_link_memory(const struct he_machine *machine,
                                           const struct he_machine_link *link);
const char *he_machine_source_name(enum he_machine_source source); /* "assumed"... */
/* True when both address the same physical memory: hand-over copies nothing. */
bool he_machine_same_memory(const struct he_machine *machine, uint32_t a, uint32_t b);
const char *he_device_kind_name(enum he_device_kind kind); /* "CPU", "GPU"... */
/* The effective YAML, and the JSON of `hetero devices`. */
void he_machine_write_json(const struct he_machine *machine, struct he_json_writer *json);

#endif
