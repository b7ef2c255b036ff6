/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open device on the cores of this machine. The matrix backend opens the
 * same device with bfloat16 multiplication, so it uses these too.
 */
#ifndef CPU_DEVICE_H
#define CPU_DEVICE_H

#include "program.h"

/* The cores this process may use: its affinity mask, an allowance of processor
 * time (cgroup) and physical cores counted once. */
struct cpu_host {
    uint32_t cpu_count;  /* logical processors in the mask */
    uint32_t core_count; /* physical cores among them, no more than the allowance */
    uint64_t memory_bytes;
    char model[80];      /* "AMD EPYC 9B14" */
    struct he_peaks peaks; /* of core_count cores */
};
void cpu_host_read(struct cpu_host *out);
#define CPU_MAX_CPUS 1024
/* Gives the allowed logical processors, ascending, and their count. Those of the first
 * call count: threads that we bind later on do not see all of them. */
uint32_t cpu_host_cpus(uint32_t cpus[CPU_MAX_CPUS]);
/* On how many physical cores these stand; core_of[k] numbers that of cpus[k] from 0. */
uint32_t cpu_host_cores(const uint32_t *cpus, uint32_t count, uint32_t *core_of);

/* @use_bf16: multiply in bfloat16, which the configuration must allow. */
he_status cpu_device_open(const struct he_device_config *config, bool use_bf16, void **dev);
/* What a device compiles with; for the slots a sibling backend writes itself. */
const struct cpu_compile *cpu_device_settings(void *dev);
extern const struct he_device_ops cpu_device_ops;

#endif
