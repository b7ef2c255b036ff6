/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The opencl backend: GPUs, accelerators, and processors through OpenCL 1.2. Its kernels are
 * our own, written for each task with all its shapes as literals.
 */
#include <string.h>

#include "opencl.h"

extern const struct he_backend he_backend_opencl;

/*
 * OpenCL tells compute units and clock, not what a unit does in a cycle. NVIDIA's
 * have 128 float32 lanes, AMD's 64; a multiply-add counts as two. A processor is
 * given two operations a cycle per core: its compiler rarely finds more in plain kernels.
 */
static double fp32_peak(const struct opencl_found *found)
{
    double cycles = (double)found->units * (found->mhz ? found->mhz : 1500) * 1e6;

    if (found->is_cpu)
        return 2 * cycles;
    return 2 * cycles * (found->vendor == OPENCL_VENDOR_NVIDIA ? 128 : 64);
}

static void describe(const struct opencl_found *found, struct he_device_info *out)
{
    double fp32 = fp32_peak(found);

    *out = (struct he_device_info){
        .struct_size = sizeof *out,
        .kind = found->kind,
        .index = found->index,
        .name = found->name,
        .driver = found->driver,
        .caps = HE_CAP_ASYNC | HE_CAP_TASK_TIMES | HE_CAP_DYNAMIC,
        .memory_bytes = found->memory_bytes,
        /* Half the rate of float32 at best; many GPUs have far less. */
        .peaks = { .fp32 = fp32, .fp64 = found->has_fp64 ? fp32 / 4 : 0 },
        /* Not told either: 15 GB/s per unit is right within a factor of two for GPUs since
         * 2016; a processor gets what a core or two can stream. */
        .bandwidth = found->is_cpu ? 8e9 : 15e9 * found->units,
        .launch_ns = found->is_cpu ? 2000 : 10000,
        .cores = found->units,
        .shares = found->is_cpu ? "host" : "",
    };
}

static he_status opencl_enumerate(struct he_device_info *infos, size_t capacity, size_t *count)
{
    const struct opencl_found *found;
    const char *reason;

    *count = opencl_find(&found, &reason);
    if (!*count)
        he_error_set(HE_ERR_NO_DEVICE, "%s", reason);
    for (size_t k = 0; k < *count && k < capacity; k++)
        describe(&found[k], &infos[k]);
    return HE_OK;
}

static he_status opencl_open(size_t index, const struct he_device_config *config,
                             const struct he_device_ops **ops, void **out)
{
    const struct opencl_found *found;
    const char *reason;
    size_t count = opencl_find(&found, &reason);

    if (index >= count)
        return he_error_set(HE_ERR_NO_DEVICE, "no OpenCL device %zu: %s", index,
                            count ? "there are fewer" : reason);
    *ops = &opencl_device_ops;
    return opencl_device_open(&found[index], config, out);
}

const struct he_backend he_backend_opencl = {
    .struct_size = sizeof(struct he_backend),
    .abi = HE_BACKEND_ABI,
    .name = "opencl",
    .enumerate = opencl_enumerate,
    .open = opencl_open,
};
