/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the inner loop of an operator with two inputs from one expression in a and b. Four
 * loops, so that an operand that is one value for the whole run costs nothing.
 */
#ifndef CPU_ZIP_H
#define CPU_ZIP_H

#include "half.h"
#include "pointwise.h"

#define CPU_ZIP(name, T, R, expr)                                                             \
    static void name(void *vout, const void *va, const void *vb, int64_t n, int sa, int sb)   \
    {                                                                                         \
        R *out = vout;                                                                        \
        const T *pa = va, *pb = vb;                                                           \
        int64_t i;                                                                            \
        if (sa && sb) {                                                                       \
            CPU_IVDEP                                                                         \
            for (i = 0; i < n; i++) {                                                         \
                const T a = pa[i], b = pb[i];                                                 \
                out[i] = (R)(expr);                                                           \
            }                                                                                 \
        } else if (sa) {                                                                      \
            const T b = *pb;                                                                  \
            CPU_IVDEP                                                                         \
            for (i = 0; i < n; i++) {                                                         \
                const T a = pa[i];                                                            \
                out[i] = (R)(expr);                                                           \
            }                                                                                 \
        } else if (sb) {                                                                      \
            const T a = *pa;                                                                  \
            CPU_IVDEP                                                                         \
            for (i = 0; i < n; i++) {                                                         \
                const T b = pb[i];                                                            \
                out[i] = (R)(expr);                                                           \
            }                                                                                 \
        } else if (n > 0) {                                                                   \
            const T a = *pa, b = *pb;                                                         \
            const R result = (R)(expr);                                                       \
            for (i = 0; i < n; i++)                                                           \
                out[i] = result;                                                              \
        }                                                                                     \
    }

/* A walk over two inputs with one such loop. */
struct cpu_zip_job {
    cpu_zip_fn fn;
    char *out;
    const char *a, *b;
    size_t in_size, out_size; /* bytes of an element */
};

static inline void cpu_zip_part(void *arg, int64_t out_offset, const int64_t *offsets, int64_t n,
                                const int64_t *steps)
{
    const struct cpu_zip_job *job = arg;

    job->fn(job->out + (size_t)out_offset * job->out_size,
            job->a + (size_t)offsets[0] * job->in_size, job->b + (size_t)offsets[1] * job->in_size,
            n, (int)steps[0], (int)steps[1]);
}

#endif
