/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix backend: the bfloat16 units inside the processor as a device of
 * their own. It runs on the cpu backend's machinery (device, programs, oneDNN steps),
 * told to multiply in bfloat16 and to accumulate in float32, and takes only
 * what these units are for: convolutions and matrix products.
 *
 * Two grades: AMX tiles (Intel), and AVX-512 BF16 dot products (AMD Zen 4, Intel
 * Cooper Lake), which are twice the float32 rate. The name says which.
 */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#if defined(__linux__) && defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#define HAS_X86 1
#endif

#include "../cpu/device.h"

extern const struct he_backend he_backend_matrix;

enum grade { GRADE_NONE, GRADE_AVX512, GRADE_AMX };

/* Read once; strings of infos live until the process ends. */
static pthread_once_t found_once = PTHREAD_ONCE_INIT;
static struct {
    enum grade grade;
    struct cpu_host host;
    char name[128];
    const char *reason; /* why there is none */
} found;

#ifdef HAS_X86
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILEDATA 18

static enum grade read_grade(const char **reason)
{
    unsigned eax, ebx, ecx, edx;

    *reason = "the processor has no bfloat16 units (neither AMX nor AVX-512 BF16)";
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return GRADE_NONE;
    /* Bits 22 and 24: AMX-BF16 and AMX-TILE. Linux hands tiles out on request,
     * to all threads of the process. */
    if ((edx & (1u << 22)) && (edx & (1u << 24)) &&
        syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0)
        return GRADE_AMX;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f")) /* asks the operating system too */
        return GRADE_NONE;
    if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) || !(eax & (1u << 5)))
        return GRADE_NONE;
    return GRADE_AVX512;
}
#else
static enum grade read_grade(const char **reason)
{
    *reason = "bfloat16 units are known on x86-64 Linux only";
    return GRADE_NONE;
}
#endif

static void find(void)
{
#ifdef HE_HAVE_ONEDNN
    found.grade = read_grade(&found.reason);
#else
    (void)read_grade;
    found.reason = "this build has no oneDNN, which drives the bfloat16 units";
#endif
    if (found.grade == GRADE_NONE)
        return;
    cpu_host_read(&found.host);
    snprintf(found.name, sizeof found.name, "%s of %s, %u core%s",
             found.grade == GRADE_AMX ? "AMX" : "AVX-512 BF16", found.host.model,
             found.host.core_count, found.host.core_count == 1 ? "" : "s");
}

static he_status enumerate(struct he_device_info *infos, size_t capacity, size_t *count)
{
    double fp32;

    pthread_once(&found_once, find);
    *count = found.grade == GRADE_NONE ? 0 : 1;
    if (!*count) {
        he_error_set(HE_ERR_NO_DEVICE, "%s", found.reason);
        return HE_OK;
    }
    if (!capacity)
        return HE_OK;
    fp32 = found.host.peaks.fp32;
    infos[0] = (struct he_device_info){
        .struct_size = sizeof infos[0],
        .kind = HE_KIND_MATRIX,
        .name = found.name,
        .driver = "oneDNN",
        .caps = HE_CAP_HOST_MEMORY | HE_CAP_CHANNELS_LAST | HE_CAP_TASK_TIMES,
        .memory_bytes = found.host.memory_bytes,
        /* A core's tiles do 1024 operations a cycle, its AVX-512 units 64 in float32
         * and twice that in bfloat16. */
        .peaks = { .bf16 = (found.grade == GRADE_AMX ? 16 : 2) * fp32 },
        .bandwidth = 12e9,
        .launch_ns = 200,
        .cores = found.host.core_count,
        .shares = "host",
    };
    return HE_OK;
}

/* --- The device: the cpu's, with its own idea of what to take --- */

static bool takes_operator(const struct he_graph *graph, const struct he_node *node)
{
    bool is_conv = strcmp(node->op, "Conv") == 0 || strcmp(node->op, "ConvTranspose") == 0;
    bool is_product = strcmp(node->op, "Gemm") == 0 || strcmp(node->op, "MatMul") == 0;

    if (node->domain && *node->domain && strcmp(node->domain, "ai.onnx") != 0)
        return false;
    if (node->input_count < 2 || node->inputs[0] == HE_NONE || node->inputs[1] == HE_NONE)
        return false;
    /* Weights are packed when the program is made. */
    return is_product || (is_conv && he_value_is_constant(&graph->values[node->inputs[1]]));
}

static bool is_float_of_known_shape(const struct he_value *value)
{
    return value->dtype == HE_FLOAT32 && he_shape_is_static(&value->shape);
}

static he_status supports(void *dev, const struct he_graph *graph, const struct he_task *task)
{
    const struct cpu_compile *settings = cpu_device_settings(dev);
    const struct he_node *anchor = &graph->nodes[task->anchor];
    uint32_t k;

    if (!settings->use_bf16)
        return he_error_set(HE_ERR_UNSUPPORTED, "bfloat16 is not allowed by precision.allow");
    if (task->is_dynamic || task->nodes[0] != task->anchor || !takes_operator(graph, anchor))
        return he_error_set(HE_ERR_UNSUPPORTED,
                            "%s: the matrix device takes convolutions and matrix products of "
                            "known shape", anchor->op);
    for (k = 0; k < task->input_count + task->output_count; k++) {
        uint32_t value = k < task->input_count ? task->inputs[k]
                                               : task->outputs[k - task->input_count];

        if (!is_float_of_known_shape(&graph->values[value]))
            return he_error_set(HE_ERR_UNSUPPORTED,
                                "%s: the matrix device takes float32 tensors of known shape",
                                anchor->op);
    }
    /* After what costs nothing: the library that drives the units must be there. */
    if (!cpu_openmp_open() || !cpu_onednn_open())
        return he_error_prefix(HE_ERR_UNSUPPORTED, "the matrix device");
    return cpu_program_supports(settings, graph, task);
}

static struct he_device_ops ops_of_matrix;
static pthread_once_t ops_once = PTHREAD_ONCE_INIT;

static void make_ops(void)
{
    ops_of_matrix = cpu_device_ops;
    ops_of_matrix.supports = supports;
}

static he_status open_device(size_t index, const struct he_device_config *config,
                             const struct he_device_ops **ops, void **dev)
{
    pthread_once(&found_once, find);
    if (index || found.grade == GRADE_NONE)
        return he_error_set(HE_ERR_NO_DEVICE, "no matrix device %zu: %s", index,
                            found.grade == GRADE_NONE ? found.reason : "there is one only");
    pthread_once(&ops_once, make_ops);
    *ops = &ops_of_matrix;
    return cpu_device_open(config, config && config->allow_bf16, dev);
}

const struct he_backend he_backend_matrix = {
    .struct_size = sizeof(struct he_backend),
    .abi = HE_BACKEND_ABI,
    .name = "matrix",
    .enumerate = enumerate,
    .open = open_device,
};
