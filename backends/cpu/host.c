/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this machine gives to this process: cores, memory, and what they can do
 * at best. Read from the affinity mask, sysfs and /proc directly: loading a
 * full topology costs milliseconds and memory that a listing does not need.
 */
#include "device.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

static uint32_t allowed_cpus[CPU_MAX_CPUS], allowed_count;
static pthread_once_t allowed_once = PTHREAD_ONCE_INIT;

static void read_allowed(void)
{
    cpu_set_t set;
    uint32_t k;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        for (k = 0; k < CPU_MAX_CPUS && k < CPU_SETSIZE; k++)
            if (CPU_ISSET(k, &set))
                allowed_cpus[allowed_count++] = k;
    if (!allowed_count) /* a mask that cannot be read: one processor there must be */
        allowed_count = 1;
}

uint32_t cpu_host_cpus(uint32_t cpus[CPU_MAX_CPUS])
{
    pthread_once(&allowed_once, read_allowed);
    memcpy(cpus, allowed_cpus, sizeof allowed_cpus);
    return allowed_count;
}

/* The first number of a small file; @fallback when it is absent or not a number. */
static long long file_number(const char *path, long long fallback)
{
    long long number = fallback;
    FILE *file = fopen(path, "re");

    if (!file)
        return fallback;
    if (fscanf(file, "%lld", &number) != 1)
        number = fallback;
    fclose(file);
    return number;
}

uint32_t cpu_host_cores(const uint32_t *cpus, uint32_t count, uint32_t *core_of)
{
    uint32_t first[CPU_MAX_CPUS], core_count = 0, sibling, k, j;
    char path[96];

    for (k = 0; k < count; k++) {
        /* The lowest sibling names the core: "0,64" or "0-1". */
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list",
                 cpus[k]);
        sibling = (uint32_t)file_number(path, cpus[k]);
        for (j = 0; j < core_count && first[j] != sibling; j++)
            ;
        if (j == core_count)
            first[core_count++] = sibling;
        core_of[k] = j;
    }
    return core_count;
}

/* Processors' worth of time that the control group allows, rounded up; 0 = no limit. */
static uint32_t allowance(void)
{
    long long quota = -1, period = 100000;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");

    if (file) {
        if (fscanf(file, "%lld %lld", &quota, &period) != 2) /* "max 100000" */
            quota = -1;
        fclose(file);
    } else {
        quota = file_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", -1);
        period = file_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us", 100000);
    }
    if (quota <= 0 || period <= 0)
        return 0;
    return (uint32_t)((quota + period - 1) / period);
}

static uint64_t memory_bytes(void)
{
    struct sysinfo info;
    uint64_t total = 0;
    long long limit = file_number("/sys/fs/cgroup/memory.max", -1);

    if (sysinfo(&info) == 0)
        total = (uint64_t)info.totalram * info.mem_unit;
    if (limit < 0)
        limit = file_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", -1);
    return limit > 0 && (uint64_t)limit < total ? (uint64_t)limit : total;
}

/* Model name, vendor, family and clock of the first processor in /proc/cpuinfo. */
struct cpuinfo {
    char model[80], vendor[32];
    int family;
    double mhz;
};

static void read_cpuinfo(struct cpuinfo *out)
{
    char line[512], *value, *end;
    FILE *file = fopen("/proc/cpuinfo", "re");

    *out = (struct cpuinfo){ .model = "unknown processor" };
    while (file && fgets(line, sizeof line, file) && line[0] != '\n') {
        value = strchr(line, ':');
        if (!value)
            continue;
        value += strspn(value, ": \t");
        end = value + strcspn(value, "\n");
        while (end > value && end[-1] == ' ')
            end--;
        *end = '\0';
        if (!strncmp(line, "model name", 10))
            snprintf(out->model, sizeof out->model, "%s", value);
        else if (!strncmp(line, "vendor_id", 9))
            snprintf(out->vendor, sizeof out->vendor, "%s", value);
        else if (!strncmp(line, "cpu family", 10))
            out->family = atoi(value);
        else if (!strncmp(line, "cpu MHz", 7))
            out->mhz = strtod(value, NULL);
    }
    if (file)
        fclose(file);
}

/*
 * float32 operations of one core in one cycle, a fused multiply-add counting
 * as two. AVX-512 on two ports is 2 x 16 x 2; AMD before family 26 (Zen 5) splits it
 * in halves, and so does not gain over AVX2 on two ports, 2 x 8 x 2.
 */
static double flops_per_cycle(const struct cpuinfo *cpu)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f"))
        return !strcmp(cpu->vendor, "AuthenticAMD") && cpu->family < 26 ? 32 : 64;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return 32;
    if (__builtin_cpu_supports("avx"))
        return 16;
    return 8;
#else
    (void)cpu;
    return 16; /* two ports of 128 bits */
#endif
}

static void set_peaks(struct cpu_host *host, const struct cpuinfo *cpu)
{
    double hertz = 1e3 * (double)file_number(
                             "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", 0);
    double fp32;

    if (hertz <= 0)
        hertz = cpu->mhz > 0 ? cpu->mhz * 1e6 : 2e9;
    fp32 = host->core_count * hertz * flops_per_cycle(cpu);
    host->peaks = (struct he_peaks){
        .fp32 = fp32,
        .fp64 = fp32 / 2,
        /* Computed as float32 with conversions around. */
        .fp16 = fp32 / 2,
        .bf16 = fp32 / 2,
        .int8 = fp32,
    };
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512vnni"))
        host->peaks.int8 = 4 * fp32;
#if defined(__GNUC__) && !defined(__clang__)
    if (__builtin_cpu_supports("avx512bf16"))
        host->peaks.bf16 = 2 * fp32;
#endif
#endif
}

void cpu_host_read(struct cpu_host *out)
{
    uint32_t cpus[CPU_MAX_CPUS], core_of[CPU_MAX_CPUS], limit;
    struct cpuinfo cpu;

    *out = (struct cpu_host){ 0 };
    out->cpu_count = cpu_host_cpus(cpus);
    out->core_count = cpu_host_cores(cpus, out->cpu_count, core_of);
    limit = allowance();
    if (limit && limit < out->core_count)
        out->core_count = limit;
    out->memory_bytes = memory_bytes();
    read_cpuinfo(&cpu);
    memcpy(out->model, cpu.model, sizeof out->model);
    set_peaks(out, &cpu);
}
