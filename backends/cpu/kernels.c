/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins the kernel tables of the families and looks kernels up. A table row is
 * found by operator, domain and type; several rows of one operator are tried in
 * the order of their table. Lookup happens when a task is compiled (or asked
 * about), so a plain search is fast enough.
 */
#include "kernel.h"

#include <string.h>

#define CPU_FAMILY(name) extern const struct cpu_kernel_table cpu_kernels_##name;
#include "kernels_a.inc"
#include "kernels_b.inc"
#undef CPU_FAMILY

static const struct cpu_kernel_table *const families[] = {
#define CPU_FAMILY(name) &cpu_kernels_##name,
#include "kernels_a.inc"
#include "kernels_b.inc"
#undef CPU_FAMILY
    NULL,
};

static bool is_domain(const char *wanted, const char *have)
{
    if (!wanted || !*wanted)
        wanted = "ai.onnx";
    return !strcmp(wanted, have && *have ? have : "ai.onnx");
}

static bool takes_type(const struct cpu_kernel *kernel, enum he_dtype dtype)
{
    return dtype == HE_DTYPE_NONE || (kernel->types & CPU_TYPE(dtype));
}

/* @in_types NULL: @dtype is the type that counts, whichever input picks it. */
static const struct cpu_kernel *find(const char *domain, const char *op, enum he_dtype dtype,
                                     const enum he_dtype *in_types, size_t in_count)
{
    const struct cpu_kernel *kernel;
    size_t f, k;

    for (f = 0; families[f]; f++) {
        for (k = 0; k < families[f]->count; k++) {
            kernel = &families[f]->kernels[k];
            if (strcmp(kernel->op, op) != 0 || !is_domain(domain, kernel->domain))
                continue;
            if (in_types)
                dtype = kernel->type_input < in_count ? in_types[kernel->type_input]
                                                      : HE_DTYPE_NONE;
            if (takes_type(kernel, dtype))
                return kernel;
        }
    }
    return NULL;
}

const struct cpu_kernel *cpu_kernel_find(const char *domain, const char *op, enum he_dtype dtype)
{
    return find(domain, op, dtype, NULL, 0);
}

const struct cpu_kernel *cpu_kernel_match(const char *domain, const char *op,
                                          const enum he_dtype *in_types, size_t in_count)
{
    return find(domain, op, HE_DTYPE_NONE, in_types, in_count);
}
