/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product on floats after Goto and van de Geijn: b is rearranged once into panels of 16
 * columns, a block by block into slivers of 6 rows; the innermost kernel keeps 6 x 16
 * sums in registers. The product is cut among threads into blocks of rows and columns. For a
 * handful of rows rearranging would cost more than it gives: those read b as it lies.
 */
#include "gemm.h"

#include <string.h>

#include "half.h"
#include "rows.h"

#define ROWS 6      /* of the innermost kernel */
#define WIDTH 16    /* its columns */
#define BLOCK_M 48  /* rows of a rearranged at a time */
#define BLOCK_N 256 /* columns one unit of work covers */
#define BLOCK_K 256
#define FEW_ROWS 4

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));

struct gemm_job {
    int64_t m, n, k, c_row;
    struct cpu_matrix a, b;
    float *c, *packed;
    bool adds;
    int64_t column_units;
};

size_t cpu_gemm_scratch(int64_t m, int64_t n, int64_t k)
{
    if (m <= FEW_ROWS || n <= 0 || k <= 0)
        return 64;
    return (size_t)((n + WIDTH - 1) / WIDTH * WIDTH) * (size_t)k * sizeof(float);
}

/* --- Rearranging --- */

/* Panel p holds columns 16 p ... of b, k after k, zeros beyond the edge. */
static void pack_panels(void *arg, int64_t begin, int64_t end)
{
    const struct gemm_job *job = arg;
    int64_t p, k, j, width;

    for (p = begin; p < end; p++) {
        float *out = job->packed + p * WIDTH * job->k;
        const float *in = job->b.data + p * WIDTH * job->b.column;

        width = job->n - p * WIDTH < WIDTH ? job->n - p * WIDTH : WIDTH;
        if (width == WIDTH && job->b.column == 1) {
            for (k = 0; k < job->k; k++)
                memcpy(out + k * WIDTH, in + k * job->b.row, WIDTH * sizeof(float));
            continue;
        }
        if (width < WIDTH)
            memset(out, 0, (size_t)(WIDTH * job->k) * sizeof(float));
        for (j = 0; j < width; j++) {
            const float *column = in + j * job->b.column;

            for (k = 0; k < job->k; k++)
                out[k * WIDTH + j] = column[k * job->b.row];
        }
    }
}

/* Sliver s holds rows 6 s ... of the block, k after k. */
static void pack_rows(float *out, const struct cpu_matrix *a, int64_t m, int64_t k)
{
    int64_t i, r, p, rows;

    for (i = 0; i < m; i += ROWS, out += ROWS * k) {
        rows = m - i < ROWS ? m - i : ROWS;
        if (rows < ROWS)
            memset(out, 0, (size_t)(ROWS * k) * sizeof(float));
        for (r = 0; r < rows; r++) {
            const float *in = a->data + (i + r) * a->row;

            for (p = 0; p < k; p++)
                out[p * ROWS + r] = in[p * a->column];
        }
    }
}

/* --- The innermost kernel --- */

CPU_VECTOR static void kernel(const float *restrict a, const float *restrict b, int64_t k,
                              float *restrict c, int64_t c_row, bool adds)
{
    lanes s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, s4 = {0}, s5 = {0};
    int64_t p;

    for (p = 0; p < k; p++, a += ROWS, b += WIDTH) {
        lanes v = *(const lanes *)b;

        s0 += a[0] * v;
        s1 += a[1] * v;
        s2 += a[2] * v;
        s3 += a[3] * v;
        s4 += a[4] * v;
        s5 += a[5] * v;
    }
    if (adds) {
        s0 += *(lanes *)c;
        s1 += *(lanes *)(c + c_row);
        s2 += *(lanes *)(c + 2 * c_row);
        s3 += *(lanes *)(c + 3 * c_row);
        s4 += *(lanes *)(c + 4 * c_row);
        s5 += *(lanes *)(c + 5 * c_row);
    }
    *(lanes *)c = s0;
    *(lanes *)(c + c_row) = s1;
    *(lanes *)(c + 2 * c_row) = s2;
    *(lanes *)(c + 3 * c_row) = s3;
    *(lanes *)(c + 4 * c_row) = s4;
    *(lanes *)(c + 5 * c_row) = s5;
}

static void kernel_edge(const float *a, const float *b, int64_t k, float *c, int64_t c_row,
                        bool adds, int64_t rows, int64_t width)
{
    float tile[ROWS * WIDTH];
    int64_t i, j;

    kernel(a, b, k, tile, WIDTH, false);
    for (i = 0; i < rows; i++) {
        for (j = 0; j < width; j++)
            c[i * c_row + j] = tile[i * WIDTH + j] + (adds ? c[i * c_row + j] : 0.0f);
    }
}

static void gemm_units(void *arg, int64_t begin, int64_t end)
{
    const struct gemm_job *job = arg;
    float sliver[BLOCK_M * BLOCK_K];
    int64_t u, i, j, k, r, m, n, depth, rows, width;

    for (u = begin; u < end; u++) {
        i = u / job->column_units * BLOCK_M;
        m = job->m - i < BLOCK_M ? job->m - i : BLOCK_M;
        n = u % job->column_units * BLOCK_N;
        for (k = 0; k < job->k; k += BLOCK_K) {
            struct cpu_matrix a = job->a;
            bool adds = job->adds || k > 0;

            a.data += i * a.row + k * a.column;
            depth = job->k - k < BLOCK_K ? job->k - k : BLOCK_K;
            pack_rows(sliver, &a, m, depth);
            for (j = n; j < job->n && j < n + BLOCK_N; j += WIDTH) {
                const float *panel = job->packed + j * job->k + k * WIDTH;

                width = job->n - j < WIDTH ? job->n - j : WIDTH;
                for (r = 0; r < m; r += ROWS) {
                    float *c = job->c + (i + r) * job->c_row + j;

                    rows = m - r < ROWS ? m - r : ROWS;
                    if (rows == ROWS && width == WIDTH)
                        kernel(sliver + r * depth, panel, depth, c, job->c_row, adds);
                    else
                        kernel_edge(sliver + r * depth, panel, depth, c, job->c_row, adds, rows,
                                    width);
                }
            }
        }
    }
}

/* --- A few rows: b is read once, in the order it lies --- */

CPU_VECTOR static void add_scaled(float *restrict c, const float *restrict b, int64_t n, float a)
{
    int64_t j;

    for (j = 0; j < n; j++)
        c[j] += a * b[j];
}

/* Four rows of b at a time, so that c is loaded and stored a quarter as often. */
CPU_VECTOR static void add_scaled4(float *restrict c, const float *restrict b0,
                                   const float *restrict b1, const float *restrict b2,
                                   const float *restrict b3, int64_t n, const float *a)
{
    const float a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
    int64_t j;

    for (j = 0; j < n; j++)
        c[j] += (a0 * b0[j] + a1 * b1[j]) + (a2 * b2[j] + a3 * b3[j]);
}

static void few_rows_by_row(void *arg, int64_t begin, int64_t end)
{
    const struct gemm_job *job = arg;
    int64_t i, k, q, n = end - begin, row = job->b.row;
    float a[4];

    for (i = 0; i < job->m && !job->adds; i++)
        memset(job->c + i * job->c_row + begin, 0, (size_t)n * sizeof(float));
    for (k = 0; k < job->k; k += 4) {
        const float *b = job->b.data + k * row + begin;

        for (i = 0; i < job->m; i++) {
            float *c = job->c + i * job->c_row + begin;

            for (q = 0; q < 4 && k + q < job->k; q++)
                a[q] = job->a.data[i * job->a.row + (k + q) * job->a.column];
            if (q == 4) {
                add_scaled4(c, b, b + row, b + 2 * row, b + 3 * row, n, a);
                continue;
            }
            while (q-- > 0)
                add_scaled(c, b + q * row, n, a[q]);
        }
    }
}

static void few_rows_by_column(void *arg, int64_t begin, int64_t end)
{
    const struct gemm_job *job = arg;
    float gathered[1024], sum;
    int64_t i, j, k, depth, p;
    const float *a;

    for (i = 0; i < job->m; i++) {
        for (k = 0; k < job->k; k += depth) {
            depth = job->k - k < 1024 ? job->k - k : 1024;
            a = job->a.data + i * job->a.row + k * job->a.column;
            if (job->a.column != 1) {
                for (p = 0; p < depth; p++)
                    gathered[p] = a[p * job->a.column];
                a = gathered;
            }
            for (j = begin; j < end; j++) {
                float *c = job->c + i * job->c_row + j;

                sum = cpu_row_dot(a, job->b.data + j * job->b.column + k, depth);
                *c = sum + (job->adds || k > 0 ? *c : 0.0f);
            }
        }
    }
}

void cpu_gemm_f32(struct cpu_team *team, int64_t m, int64_t n, int64_t k, struct cpu_matrix a,
                  struct cpu_matrix b, float *c, int64_t c_row, bool adds, void *scratch)
{
    struct gemm_job job = {m, n, k, c_row, a, b, c, scratch, adds, (n + BLOCK_N - 1) / BLOCK_N};
    int64_t i, panels = (n + WIDTH - 1) / WIDTH;

    if (m <= 0 || n <= 0)
        return;
    if (k <= 0) {
        for (i = 0; i < m && !adds; i++)
            memset(c + i * c_row, 0, (size_t)n * sizeof(float));
        return;
    }
    if (m <= FEW_ROWS && (b.column == 1 || b.row == 1)) {
        cpu_parallel(team, n, 65536 / k + 16, b.column == 1 ? few_rows_by_row : few_rows_by_column,
                     &job);
        return;
    }
    cpu_parallel(team, panels, 16384 / (k * WIDTH) + 1, pack_panels, &job);
    cpu_parallel(team, (m + BLOCK_M - 1) / BLOCK_M * job.column_units, 1, gemm_units, &job);
}
