/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TopK. A heap of the k best entries seen so far, the worst of them at the root, decides
 * each further entry with one comparison; emptying it gives them in order. Of equal
 * entries the one with the lower index is better.
 */
#include "sortkey.h"

struct entry {
    int64_t key, index;
};

struct top {
    const struct he_tensor *in;
    const struct he_tensor *values, *indices; /* NULL when not asked for */
    struct entry *heaps;                      /* k entries per row */
    int64_t count, inner, k;
    bool is_smallest;
};

static inline bool is_worse(struct entry a, struct entry b)
{
    return a.key != b.key ? a.key < b.key : a.index > b.index;
}

static void sift_down(struct entry *heap, int64_t size, int64_t at, struct entry entry)
{
    int64_t child;

    while ((child = 2 * at + 1) < size) {
        if (child + 1 < size && is_worse(heap[child + 1], heap[child]))
            child++;
        if (!is_worse(heap[child], entry))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = entry;
}

static void top_rows(void *arg, int64_t begin, int64_t end)
{
    const struct top *t = arg;
    size_t size = cpu_element_bytes(t->in->dtype);
    int64_t row, k, base, to, flip = t->is_smallest ? -1 : 0;
    struct entry *heap, entry, last;

    for (row = begin; row < end; row++) {
        heap = t->heaps + row * t->k;
        base = row / t->inner * t->inner * t->count + row % t->inner;
        for (k = 0; k < t->count; k++) {
            /* x ^ -1 turns the order round without overflowing. */
            entry.key = cpu_sort_key(t->in->dtype, t->in->data, base + k * t->inner) ^ flip;
            entry.index = k;
            if (k < t->k) {
                heap[k] = entry;
                if (k == t->k - 1)
                    for (to = t->k / 2; to-- > 0;)
                        sift_down(heap, t->k, to, heap[to]);
            } else if (is_worse(heap[0], entry)) {
                sift_down(heap, t->k, 0, entry);
            }
        }
        base = row / t->inner * t->inner * t->count + row % t->inner;
        for (k = t->k; k-- > 0;) {
            entry = heap[0];
            last = heap[k];
            if (k > 0)
                sift_down(heap, k, 0, last);
            to = (row / t->inner * t->k + k) * t->inner + row % t->inner;
            if (t->values)
                memcpy((char *)t->values->data + (size_t)to * size,
                       (const char *)t->in->data + (size_t)(base + entry.index * t->inner) * size,
                       size);
            if (t->indices)
                ((int64_t *)t->indices->data)[to] = entry.index;
        }
    }
}

static size_t topk_scratch(const struct he_node *node, const struct he_tensor *in, size_t in_count,
                           const struct he_tensor *out, size_t out_count)
{
    size_t k;
    int64_t count;

    (void)node, (void)in, (void)in_count;
    for (k = 0; k < out_count; k++) {
        count = cpu_count(&out[k]);
        if (out[k].dtype != HE_DTYPE_NONE && count > 0)
            return (size_t)count * sizeof(struct entry);
    }
    return 0;
}

static he_status run_topk(struct cpu_call *call)
{
    struct top t = {.in = &call->in[0], .heaps = call->scratch};
    struct he_shape shape = t.in->shape;
    uint32_t axis;
    int64_t rows;
    he_status status = cpu_axis(call->node, he_node_int(call->node, "axis", -1), shape.rank, &axis);

    if (status != HE_OK)
        return status;
    if (cpu_has_input(call, 1)) {
        status = cpu_read_int(call, 1, &t.k);
        if (status != HE_OK)
            return status;
    } else {
        t.k = he_node_int(call->node, "k", -1);
    }
    t.count = shape.dims[axis];
    if (t.k < 0 || t.k > t.count)
        return he_error_set(HE_ERR_SHAPE, "TopK: %lld of the %lld entries of axis %u",
                            (long long)t.k, (long long)t.count, axis);
    shape.dims[axis] = t.k;
    if (cpu_has_output(call, 0)) {
        t.values = &call->out[0];
        status = cpu_expect_output(call, 0, t.in->dtype, &shape);
    }
    if (status == HE_OK && cpu_has_output(call, 1)) {
        t.indices = &call->out[1];
        status = cpu_expect_output(call, 1, HE_INT64, &shape);
    }
    if (status != HE_OK)
        return status;
    t.is_smallest = he_node_int(call->node, "largest", 1) == 0;
    t.inner = cpu_extent(&shape, axis + 1, shape.rank);
    rows = cpu_extent(&shape, 0, axis) * t.inner;
    if (rows > 0 && t.k > 0 && (t.values || t.indices))
        cpu_parallel(call->team, rows, 32768 / t.count + 1, top_rows, &t);
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "TopK", .types = CPU_SORTED_TYPES, .run = run_topk, .scratch = topk_scratch},
};

const struct cpu_kernel_table cpu_kernels_topk = {kernels, CPU_COUNT(kernels)};
