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
    if (!have)
        return !wanted || !*wanted || !strcmp(wanted, "ai.onnx");
    return wanted && !strcmp(wanted, have);
}

const struct cpu_kernel *cpu_kernel_find(const char *domain, const char *op, enum he_dtype dtype)
{
    const struct cpu_kernel *kernel;
    size_t f, k;

    for (f = 0; families[f]; f++) {
        for (k = 0; k < families[f]->count; k++) {
            kernel = &families[f]->kernels[k];
            if (strcmp(kernel->op, op) != 0 || !is_domain(domain, kernel->domain))
                continue;
            if (dtype == HE_DTYPE_NONE || (kernel->types & CPU_TYPE(dtype)))
                return kernel;
        }
    }
    return NULL;
}
