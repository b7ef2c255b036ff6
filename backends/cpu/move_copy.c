/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strided copy behind Transpose, Concat, Split, Slice, Expand, Tile and Pad.
 *
 * A copy is first put into its simplest form: dimensions in the order of the
 * destination, those of size one dropped, neighbours merged where both memories
 * allow it, and a short contiguous run taken as one wider element. What is left
 * is one of four loops: runs by memcpy, a two-dimensional transpose in tiles of
 * one cache line, the repetition of one element, or a loop over single elements.
 */
#include "move.h"

/* Bytes worth a thread's while. */
#define COPY_GRAIN 65536

/* Elements by size, at any address and of any type. */
#define LOOSE __attribute__((may_alias, aligned(1)))
typedef uint8_t bytes1 LOOSE;
typedef uint16_t bytes2 LOOSE;
typedef uint32_t bytes4 LOOSE;
typedef uint64_t bytes8 LOOSE;
typedef uint32_t vec4 __attribute__((vector_size(16)));
typedef vec4 bytes16 LOOSE;

struct job {
    struct cpu_box outer; /* the dimensions around one unit of work */
    size_t size;          /* of one element */
    const char *src;
    char *dst;
    int64_t run; /* bytes, in the copy of runs */
    /* The innermost dimension, and in a transpose the one contiguous in the source. */
    int64_t n, n_src, n_dst;
    int64_t m, m_dst;
    int64_t tile; /* rows of m in one unit */
};

/* --- A place in the outer dimensions --- */

struct cursor {
    int64_t at[CPU_BOX_RANK];
    const char *src;
    char *dst;
};

static void cursor_seek(struct cursor *cursor, const struct job *job, int64_t index)
{
    const struct cpu_box *box = &job->outer;
    uint32_t k;

    cursor->src = job->src;
    cursor->dst = job->dst;
    for (k = box->rank; k-- > 0;) {
        cursor->at[k] = index % box->dims[k];
        index /= box->dims[k];
        cursor->src += cursor->at[k] * box->src[k];
        cursor->dst += cursor->at[k] * box->dst[k];
    }
}

static inline void cursor_next(struct cursor *cursor, const struct job *job)
{
    const struct cpu_box *box = &job->outer;
    uint32_t k;

    for (k = box->rank; k-- > 0;) {
        cursor->src += box->src[k];
        cursor->dst += box->dst[k];
        if (++cursor->at[k] < box->dims[k])
            return;
        cursor->src -= box->src[k] * box->dims[k];
        cursor->dst -= box->dst[k] * box->dims[k];
        cursor->at[k] = 0;
    }
}

/* --- The four loops --- */

static void copy_runs(void *arg, int64_t begin, int64_t end)
{
    const struct job *job = arg;
    struct cursor cursor;

    cursor_seek(&cursor, job, begin);
    for (; begin < end; begin++) {
        memcpy(cursor.dst, cursor.src, (size_t)job->run);
        cursor_next(&cursor, job);
    }
}

/* One run, cut by bytes. */
static void copy_bytes(void *arg, int64_t begin, int64_t end)
{
    const struct job *job = arg;

    memcpy(job->dst + begin, job->src + begin, (size_t)(end - begin));
}

#define DEFINE_LOOPS(TYPE)                                                                         \
    static void copy_each_##TYPE(const struct job *job, const char *src, char *dst)                \
    {                                                                                              \
        int64_t k, n = job->n, n_src = job->n_src, n_dst = job->n_dst;                             \
                                                                                                   \
        for (k = 0; k < n; k++)                                                                    \
            *(TYPE *)(dst + k * n_dst) = *(const TYPE *)(src + k * n_src);                         \
    }                                                                                              \
    static void repeat_##TYPE(const struct job *job, const char *src, char *dst)                   \
    {                                                                                              \
        TYPE value = *(const TYPE *)src, *to = (TYPE *)dst;                                        \
        int64_t k, n = job->n;                                                                     \
                                                                                                   \
        for (k = 0; k < n; k++)                                                                    \
            to[k] = value;                                                                         \
    }                                                                                              \
    static void transpose_edge_##TYPE(const char *src, int64_t src_row, char *dst,                 \
                                      int64_t dst_row, int64_t rows, int64_t columns)              \
    {                                                                                              \
        int64_t m, n;                                                                              \
                                                                                                   \
        for (m = 0; m < rows; m++)                                                                 \
            for (n = 0; n < columns; n++)                                                          \
                ((TYPE *)(dst + m * dst_row))[n] = ((const TYPE *)(src + n * src_row))[m];         \
    }

DEFINE_LOOPS(bytes1)
DEFINE_LOOPS(bytes2)
DEFINE_LOOPS(bytes4)
DEFINE_LOOPS(bytes8)
DEFINE_LOOPS(bytes16)

typedef void (*loop_fn)(const struct job *job, const char *src, char *dst);
typedef void (*edge_fn)(const char *src, int64_t src_row, char *dst, int64_t dst_row, int64_t rows,
                        int64_t columns);

static const struct {
    loop_fn each, repeat;
    edge_fn edge;
} loops[] = {
    {copy_each_bytes1, repeat_bytes1, transpose_edge_bytes1},
    {copy_each_bytes2, repeat_bytes2, transpose_edge_bytes2},
    {copy_each_bytes4, repeat_bytes4, transpose_edge_bytes4},
    {copy_each_bytes8, repeat_bytes8, transpose_edge_bytes8},
    {copy_each_bytes16, repeat_bytes16, transpose_edge_bytes16},
};

static unsigned size_class(size_t size)
{
    return size >= 16 ? 4 : size >= 8 ? 3 : size >= 4 ? 2 : size >= 2 ? 1 : 0;
}

static void copy_elements(void *arg, int64_t begin, int64_t end)
{
    const struct job *job = arg;
    bool repeats = job->n_src == 0 && job->n_dst == (int64_t)job->size;
    loop_fn loop =
        repeats ? loops[size_class(job->size)].repeat : loops[size_class(job->size)].each;
    struct cursor cursor;

    cursor_seek(&cursor, job, begin);
    for (; begin < end; begin++) {
        loop(job, cursor.src, cursor.dst);
        cursor_next(&cursor, job);
    }
}

/* Four rows of four 4-byte elements. */
static inline void transpose_4x4(const char *src, int64_t src_row, char *dst, int64_t dst_row)
{
    vec4 a = *(const bytes16 *)src, b = *(const bytes16 *)(src + src_row);
    vec4 c = *(const bytes16 *)(src + 2 * src_row), d = *(const bytes16 *)(src + 3 * src_row);
    vec4 ab0 = __builtin_shuffle(a, b, (vec4){0, 4, 1, 5});
    vec4 ab1 = __builtin_shuffle(a, b, (vec4){2, 6, 3, 7});
    vec4 cd0 = __builtin_shuffle(c, d, (vec4){0, 4, 1, 5});
    vec4 cd1 = __builtin_shuffle(c, d, (vec4){2, 6, 3, 7});

    *(bytes16 *)dst = __builtin_shuffle(ab0, cd0, (vec4){0, 1, 4, 5});
    *(bytes16 *)(dst + dst_row) = __builtin_shuffle(ab0, cd0, (vec4){2, 3, 6, 7});
    *(bytes16 *)(dst + 2 * dst_row) = __builtin_shuffle(ab1, cd1, (vec4){0, 1, 4, 5});
    *(bytes16 *)(dst + 3 * dst_row) = __builtin_shuffle(ab1, cd1, (vec4){2, 3, 6, 7});
}

static void transpose_tile(const struct job *job, const char *src, char *dst, int64_t rows,
                           int64_t columns)
{
    int64_t m, n = 0, m4 = rows & ~(int64_t)3, n4 = columns & ~(int64_t)3;
    unsigned class = size_class(job->size);

    if (job->size != 4) {
        loops[class].edge(src, job->n_src, dst, job->m_dst, rows, columns);
        return;
    }
    for (; n < n4; n += 4)
        for (m = 0; m < m4; m += 4)
            transpose_4x4(src + n * job->n_src + m * 4, job->n_src, dst + m * job->m_dst + n * 4,
                          job->m_dst);
    if (m4 < rows)
        loops[class].edge(src + m4 * 4, job->n_src, dst + m4 * job->m_dst, job->m_dst, rows - m4,
                          n4);
    if (n4 < columns)
        loops[class].edge(src + n4 * job->n_src, job->n_src, dst + n4 * 4, job->m_dst, rows,
                          columns - n4);
}

/* A unit is a band of job->tile destination rows. */
static void transpose_bands(void *arg, int64_t begin, int64_t end)
{
    const struct job *job = arg;
    int64_t bands = (job->m + job->tile - 1) / job->tile, band = begin % bands;
    int64_t n, m, rows, columns, size = (int64_t)job->size;
    struct cursor cursor;

    cursor_seek(&cursor, job, begin / bands);
    for (; begin < end; begin++) {
        m = band * job->tile;
        rows = job->m - m < job->tile ? job->m - m : job->tile;
        for (n = 0; n < job->n; n += job->tile) {
            columns = job->n - n < job->tile ? job->n - n : job->tile;
            transpose_tile(job, cursor.src + m * size + n * job->n_src,
                           cursor.dst + m * job->m_dst + n * size, rows, columns);
        }
        if (++band == bands) {
            band = 0;
            cursor_next(&cursor, job);
        }
    }
}

/* --- Into the simplest form --- */

static int64_t magnitude(int64_t x)
{
    return x < 0 ? -x : x;
}

static bool goes_before(const struct cpu_box *box, uint32_t a, uint32_t b)
{
    int64_t da = magnitude(box->dst[a]), db = magnitude(box->dst[b]);

    return da != db ? da > db : magnitude(box->src[a]) > magnitude(box->src[b]);
}

static void swap_dims(struct cpu_box *box, uint32_t a, uint32_t b)
{
    int64_t dim = box->dims[a], src = box->src[a], dst = box->dst[a];

    box->dims[a] = box->dims[b], box->src[a] = box->src[b], box->dst[a] = box->dst[b];
    box->dims[b] = dim, box->src[b] = src, box->dst[b] = dst;
}

/* False when the box is empty. */
static bool simplify(const struct cpu_box *in, struct cpu_box *out)
{
    uint32_t k, last;

    out->rank = 0;
    for (k = 0; k < in->rank; k++) {
        if (in->dims[k] <= 0)
            return false;
        if (in->dims[k] == 1)
            continue;
        cpu_box_add(out, in->dims[k], in->src[k], in->dst[k]);
        for (last = out->rank - 1; last > 0 && goes_before(out, last, last - 1); last--)
            swap_dims(out, last, last - 1);
    }
    for (k = 1, last = 0; k < out->rank; k++) {
        if (out->src[last] == out->src[k] * out->dims[k] &&
            out->dst[last] == out->dst[k] * out->dims[k]) {
            out->dims[last] *= out->dims[k];
            out->src[last] = out->src[k];
            out->dst[last] = out->dst[k];
        } else {
            last++;
            out->dims[last] = out->dims[k];
            out->src[last] = out->src[k];
            out->dst[last] = out->dst[k];
        }
    }
    if (out->rank > 0)
        out->rank = last + 1;
    return true;
}

static int64_t outer_count(const struct cpu_box *box)
{
    int64_t count = 1;
    uint32_t k;

    for (k = 0; k < box->rank; k++)
        count *= box->dims[k];
    return count;
}

static int64_t grain_for(int64_t unit_bytes)
{
    return unit_bytes >= COPY_GRAIN ? 1 : COPY_GRAIN / (unit_bytes > 0 ? unit_bytes : 1);
}

/* Moves the dimension that is contiguous in the source, if it is not the
 * innermost, out of the box: such a copy is a transpose. */
static bool take_transposed(struct job *job)
{
    struct cpu_box *box = &job->outer;
    uint32_t k;

    if (job->n_dst != (int64_t)job->size || job->n < 2)
        return false;
    for (k = 0; k < box->rank; k++) {
        if (box->src[k] != (int64_t)job->size)
            continue;
        job->m = box->dims[k];
        job->m_dst = box->dst[k];
        for (; k + 1 < box->rank; k++)
            swap_dims(box, k, k + 1);
        box->rank--;
        return true;
    }
    return false;
}

void cpu_box_copy(struct cpu_team *team, size_t size, const struct cpu_box *in, const void *src,
                  void *dst)
{
    struct job job; /* the loops read only what is set for them: clearing it all takes longer
                       than a small copy */
    struct cpu_box *box = &job.outer;
    uint32_t last;
    int64_t run;

    job.size = size;
    job.src = src;
    job.dst = dst;

    if (!simplify(in, box))
        return;
    last = box->rank - 1;
    if (box->rank > 1 && box->src[last] == (int64_t)size && box->dst[last] == (int64_t)size) {
        run = box->dims[last] * (int64_t)size;
        if (run == 2 || run == 4 || run == 8 || run == 16) {
            job.size = (size_t)run;
            box->rank--;
            last--;
        }
    }
    if (box->rank == 0) {
        memcpy(dst, src, job.size);
        return;
    }
    job.n = box->dims[last];
    job.n_src = box->src[last];
    job.n_dst = box->dst[last];
    box->rank--;
    if (job.n_src == (int64_t)job.size && job.n_dst == (int64_t)job.size) {
        job.run = job.n * (int64_t)job.size;
        if (box->rank == 0)
            cpu_parallel(team, job.run, COPY_GRAIN, copy_bytes, &job);
        else
            cpu_parallel(team, outer_count(box), grain_for(job.run), copy_runs, &job);
    } else if (job.n_src != 0 && take_transposed(&job)) {
        job.tile = 64 / (int64_t)job.size;
        cpu_parallel(team, outer_count(box) * ((job.m + job.tile - 1) / job.tile),
                     grain_for(job.n * 64), transpose_bands, &job);
    } else {
        cpu_parallel(team, outer_count(box), grain_for(job.n * (int64_t)job.size), copy_elements,
                     &job);
    }
}

void cpu_tensor_copy(struct cpu_team *team, const struct he_tensor *src,
                     const struct he_tensor *dst)
{
    int64_t size = (int64_t)cpu_element_bytes(dst->dtype);
    struct cpu_box box = {0};
    uint32_t k;

    for (k = 0; k < dst->shape.rank; k++)
        cpu_box_add(&box, dst->shape.dims[k], src->strides[k] * size, dst->strides[k] * size);
    cpu_box_copy(team, (size_t)size, &box, src->data, dst->data);
}

void cpu_tensor_fill(struct cpu_team *team, const struct he_tensor *dst, const void *element)
{
    int64_t size = (int64_t)cpu_element_bytes(dst->dtype);
    struct cpu_box box = {0};
    uint32_t k;

    for (k = 0; k < dst->shape.rank; k++)
        cpu_box_add(&box, dst->shape.dims[k], 0, dst->strides[k] * size);
    cpu_box_copy(team, (size_t)size, &box, element, dst->data);
}

void cpu_bytes_copy(struct cpu_team *team, void *dst, const void *src, size_t bytes)
{
    struct job job = {.src = src, .dst = dst};

    if (bytes > 0 && src != dst)
        cpu_parallel(team, (int64_t)bytes, COPY_GRAIN, copy_bytes, &job);
}
