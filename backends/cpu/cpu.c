/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cpu backend's table: one device that covers every core this process may use. The
 * machine description may open it several times with different cores.
 */
#include "config.h"

#include "device.h"

#include <pthread.h>
#include <stdio.h>

#ifdef HE_HAVE_ONEDNN
#define DRIVER "oneDNN (" HE_ONEDNN_SONAME ") and built-in kernels"
#else
#define DRIVER "built-in kernels"
#endif

/* One DDR channel's worth: a floor, until calibration has measured it. */
#define DEFAULT_BANDWIDTH 12e9

extern const struct he_backend he_backend_cpu;

/* Strings of infos live until the process ends, so the machine is read once. */
static struct cpu_host host;
static char name[128];
static pthread_once_t host_once = PTHREAD_ONCE_INIT;

static void read_host(void)
{
    cpu_host_read(&host);
    snprintf(name, sizeof name, "%s, %u core%s", host.model, host.core_count,
             host.core_count == 1 ? "" : "s");
}

static he_status enumerate(struct he_device_info *infos, size_t capacity, size_t *count)
{
    pthread_once(&host_once, read_host);
    *count = 1;
    if (!capacity)
        return HE_OK;
    infos[0] = (struct he_device_info){
        .struct_size = sizeof infos[0],
        .kind = HE_KIND_CPU,
        .name = name,
        .driver = DRIVER,
        .caps = HE_CAP_HOST_MEMORY | HE_CAP_CHANNELS_LAST | HE_CAP_DYNAMIC | HE_CAP_TASK_TIMES,
        .memory_bytes = host.memory_bytes,
        .peaks = host.peaks,
        .bandwidth = DEFAULT_BANDWIDTH,
        .launch_ns = 200,
        .cores = host.core_count,
        .shares = "host",
    };
    return HE_OK;
}

static he_status open_device(size_t index, const struct he_device_config *config,
                             const struct he_device_ops **ops, void **dev)
{
    if (index)
        return he_error_set(HE_ERR_NO_DEVICE, "the cpu backend has one device, not %zu",
                            index + 1);
    *ops = &cpu_device_ops;
    return cpu_device_open(config, false, dev);
}

const struct he_backend he_backend_cpu = {
    .struct_size = sizeof(struct he_backend),
    .abi = HE_BACKEND_ABI,
    .name = "cpu",
    .enumerate = enumerate,
    .open = open_device,
};
