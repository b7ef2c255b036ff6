/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NonZero, Unique, NonMaxSuppression: operators whose output is as long as the data says.
 */
#include "sortkey.h"

/* --- NonZero: one column of coordinates per element that is not zero --- */

static bool is_zero(const struct he_tensor *tensor, int64_t k)
{
    switch (cpu_element_bytes(tensor->dtype)) {
    case 1:
        return ((const uint8_t *)tensor->data)[k] == 0;
    default:
        return cpu_sort_key(tensor->dtype, tensor->data, k) ==
               (tensor->dtype == HE_UINT64 ? INT64_MIN : 0);
    }
}

static he_status run_non_zero(struct cpu_call *call)
{
    const struct he_tensor *in = &call->in[0];
    uint32_t rank = in->shape.rank, d;
    int64_t k, rest, at, found = 0, count = cpu_count(in), *out;
    struct he_shape shape = {.rank = 2,
                             .dims = {rank ? rank : 1, 0}}; /* a scalar is a list of one */
    he_status status;

    for (k = 0; k < count; k++)
        found += !is_zero(in, k);
    shape.dims[1] = found;
    status = call->shape_output(call, 0, HE_INT64, &shape);
    if (status != HE_OK)
        return status;
    out = call->out[0].data;
    for (k = 0, at = 0; k < count && at < found; k++) {
        if (is_zero(in, k))
            continue;
        out[at] = k;
        for (d = rank, rest = k; d-- > 0; rest /= in->shape.dims[d])
            out[d * found + at] = rest % in->shape.dims[d];
        at++;
    }
    return HE_OK;
}

/* --- Unique --- */

/* The slices of a tensor along an axis; of a flattened one, single elements. */
struct slices {
    const struct he_tensor *in;
    int64_t count, outer, inner;
};

static inline int64_t slice_element(const struct slices *s, int64_t slice, int64_t outer,
                                    int64_t inner)
{
    return (outer * s->count + slice) * s->inner + inner;
}

static int compare_slices(const struct slices *s, int64_t a, int64_t b)
{
    int64_t outer, inner, x, y;

    for (outer = 0; outer < s->outer; outer++) {
        for (inner = 0; inner < s->inner; inner++) {
            x = cpu_sort_key(s->in->dtype, s->in->data, slice_element(s, a, outer, inner));
            y = cpu_sort_key(s->in->dtype, s->in->data, slice_element(s, b, outer, inner));
            if (x != y)
                return x < y ? -1 : 1;
        }
    }
    return 0;
}

/* Stable: equal slices keep the order of their indices. Bottom-up merging; the
 * result may end up in either array. */
static int64_t *sort_slices(const struct slices *s, int64_t *order, int64_t *other)
{
    int64_t width, begin, middle, end, a, b, to, *swap;

    for (width = 1; width < s->count; width *= 2) {
        for (begin = 0; begin < s->count; begin = end) {
            middle = begin + width < s->count ? begin + width : s->count;
            end = middle + width < s->count ? middle + width : s->count;
            for (a = begin, b = middle, to = begin; to < end; to++) {
                if (b >= end || (a < middle && compare_slices(s, order[a], order[b]) <= 0))
                    other[to] = order[a++];
                else
                    other[to] = order[b++];
            }
        }
        swap = order, order = other, other = swap;
    }
    return order;
}

static int64_t slice_count(const struct he_node *node, const struct he_tensor *in)
{
    const struct he_attr *attr = he_node_attr(node, "axis");
    int64_t axis;

    if (!attr)
        return cpu_count(in);
    axis = attr->i < 0 ? attr->i + in->shape.rank : attr->i;
    return axis < 0 || axis >= in->shape.rank ? 0 : in->shape.dims[axis];
}

/* Four lists of one number per slice. */
static size_t unique_scratch(const struct he_node *node, const struct he_tensor *in,
                             size_t in_count, const struct he_tensor *out, size_t out_count)
{
    int64_t count = slice_count(node, in);

    (void)in_count, (void)out, (void)out_count;
    return count > 0 ? 4 * (size_t)count * sizeof(int64_t) : 0;
}

struct groups {
    int64_t *first, *place, *counts; /* of each group, in the order of the output */
    int64_t count;
};

/* Copies the first slice of every group and gives the three lists asked for. */
static he_status give_groups(struct cpu_call *call, const struct slices *s, const struct groups *g,
                             const int64_t *group_of, bool is_flat, uint32_t axis)
{
    size_t size = cpu_element_bytes(s->in->dtype);
    struct he_shape shape = s->in->shape, list = {.rank = 1, .dims = {g->count}};
    struct he_shape all = {.rank = 1, .dims = {s->count}};
    int64_t k, outer;
    char *dst;
    he_status status;

    if (is_flat)
        shape = list;
    else
        shape.dims[axis] = g->count;
    if (cpu_has_output(call, 0)) {
        status = call->shape_output(call, 0, s->in->dtype, &shape);
        if (status != HE_OK)
            return status;
        dst = call->out[0].data;
        for (outer = 0; outer < s->outer; outer++)
            for (k = 0; k < g->count; k++, dst += (size_t)s->inner * size)
                memcpy(dst,
                       (const char *)s->in->data +
                           (size_t)slice_element(s, g->first[k], outer, 0) * size,
                       (size_t)s->inner * size);
    }
    for (k = 1; k <= 3; k++) {
        const int64_t *from = k == 1 ? g->first : k == 2 ? group_of : g->counts;

        if (!cpu_has_output(call, (size_t)k))
            continue;
        status = call->shape_output(call, (size_t)k, HE_INT64, k == 2 ? &all : &list);
        if (status != HE_OK)
            return status;
        if (k == 2 ? s->count : g->count)
            memcpy(call->out[k].data, from,
                   (size_t)(k == 2 ? s->count : g->count) * sizeof(int64_t));
    }
    return HE_OK;
}

static he_status run_unique(struct cpu_call *call)
{
    const struct he_attr *attr = he_node_attr(call->node, "axis");
    bool is_sorted = he_node_int(call->node, "sorted", 1) != 0;
    struct slices s = {.in = &call->in[0], .outer = 1, .inner = 1};
    int64_t *lists = call->scratch, *order, *group_of, k, g, first;
    struct groups groups = {0};
    uint32_t axis = 0;
    he_status status;

    if (attr) {
        status = cpu_axis(call->node, attr->i, s.in->shape.rank, &axis);
        if (status != HE_OK)
            return status;
        s.outer = cpu_extent(&s.in->shape, 0, axis);
        s.inner = cpu_extent(&s.in->shape, axis + 1, s.in->shape.rank);
    }
    s.count = slice_count(call->node, s.in);
    if (s.count == 0)
        return give_groups(call, &s, &groups, NULL, !attr, axis);
    for (k = 0; k < s.count; k++)
        lists[k] = k;
    order = sort_slices(&s, lists, lists + s.count);
    group_of = lists + 2 * s.count;
    groups.counts = lists + 3 * s.count;
    /* Groups in sorted order. A group's first slice is its lowest one, for the sort is
     * stable; order[] is read ahead of where first[] is written. */
    groups.first = order;
    for (k = 0, g = -1, first = 0; k < s.count; k++) {
        int64_t slice = order[k];

        if (k == 0 || compare_slices(&s, first, slice) != 0) {
            first = slice;
            groups.first[++g] = slice;
            groups.counts[g] = 0;
        }
        groups.counts[g]++;
        group_of[slice] = g;
    }
    groups.count = g + 1;
    if (!is_sorted) {
        /* In the order of first appearance: walk the slices and number each new group. */
        int64_t *other = order == lists ? lists + s.count : lists, *rank = order;

        memcpy(other, groups.counts, (size_t)groups.count * sizeof *other);
        for (k = 0; k < groups.count; k++)
            rank[k] = -1;
        for (k = 0, g = 0; k < s.count; k++) {
            if (rank[group_of[k]] < 0) {
                rank[group_of[k]] = g;
                groups.counts[g++] = other[group_of[k]];
            }
            group_of[k] = rank[group_of[k]];
        }
        groups.first = other;
        for (k = s.count; k-- > 0;)
            groups.first[group_of[k]] = k;
    }
    return give_groups(call, &s, &groups, group_of, !attr, axis);
}

/* --- NonMaxSuppression --- */

struct nms {
    const float *boxes, *scores;
    int64_t batches, classes, count; /* boxes per batch entry */
    int64_t most;                    /* picks per class */
    float iou_threshold, score_threshold;
    bool has_score_threshold, is_center;
    int32_t *picks;       /* count per batch entry and class; the picks end each row */
    int64_t *pick_counts; /* per batch entry and class */
};

/* Corners in order: y1 <= y2, x1 <= x2. */
struct corners {
    float y1, x1, y2, x2;
};

static struct corners corners_of(const float *box, bool is_center)
{
    struct corners c;

    if (is_center) {
        c.x1 = box[0] - box[2] / 2;
        c.x2 = box[0] + box[2] / 2;
        c.y1 = box[1] - box[3] / 2;
        c.y2 = box[1] + box[3] / 2;
        return c;
    }
    c.y1 = fminf(box[0], box[2]);
    c.y2 = fmaxf(box[0], box[2]);
    c.x1 = fminf(box[1], box[3]);
    c.x2 = fmaxf(box[1], box[3]);
    return c;
}

static bool overlaps(struct corners a, struct corners b, float threshold)
{
    float height = fminf(a.y2, b.y2) - fmaxf(a.y1, b.y1);
    float width = fminf(a.x2, b.x2) - fmaxf(a.x1, b.x1);
    float area_a = (a.y2 - a.y1) * (a.x2 - a.x1), area_b = (b.y2 - b.y1) * (b.x2 - b.x1), both;

    if (!(height > 0) || !(width > 0) || !(area_a > 0) || !(area_b > 0))
        return false;
    both = height * width;
    return both / (area_a + area_b - both) > threshold;
}

static inline bool scores_less(const float *scores, int32_t a, int32_t b)
{
    return scores[a] != scores[b] ? scores[a] < scores[b] : a > b;
}

static void sift_score(const float *scores, int32_t *heap, int64_t size, int64_t at, int32_t entry)
{
    int64_t child;

    while ((child = 2 * at + 1) < size) {
        if (child + 1 < size && scores_less(scores, heap[child], heap[child + 1]))
            child++;
        if (!scores_less(scores, entry, heap[child]))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = entry;
}

/* One class of one batch entry: boxes leave a heap by falling score; those kept
 * are stored from the end of the row, which the shrinking heap has left. */
static void nms_rows(void *arg, int64_t begin, int64_t end)
{
    const struct nms *n = arg;
    int64_t row, k, size, kept;
    const float *scores, *boxes;
    struct corners box;
    int32_t *heap, best;

    for (row = begin; row < end; row++) {
        scores = n->scores + row * n->count;
        boxes = n->boxes + row / n->classes * n->count * 4;
        heap = n->picks + row * n->count;
        for (k = 0, size = 0; k < n->count; k++)
            if (!n->has_score_threshold || scores[k] > n->score_threshold)
                heap[size++] = (int32_t)k;
        for (k = size / 2; k-- > 0;)
            sift_score(scores, heap, size, k, heap[k]);
        for (kept = 0; size > 0 && kept < n->most;) {
            best = heap[0];
            size--;
            if (size > 0)
                sift_score(scores, heap, size, 0, heap[size]);
            box = corners_of(boxes + best * 4, n->is_center);
            for (k = 0; k < kept; k++)
                if (overlaps(box, corners_of(boxes + heap[n->count - 1 - k] * 4, n->is_center),
                             n->iou_threshold))
                    break;
            if (k == kept)
                heap[n->count - 1 - kept++] = best;
        }
        n->pick_counts[row] = kept;
    }
}

static size_t nms_scratch(const struct he_node *node, const struct he_tensor *in, size_t in_count,
                          const struct he_tensor *out, size_t out_count)
{
    int64_t count = in_count > 1 && in[1].shape.rank == 3 ? cpu_count(&in[1]) : 0;
    int64_t rows = count > 0 ? count / in[1].shape.dims[2] : 0;

    (void)node, (void)out, (void)out_count;
    return (size_t)rows * sizeof(int64_t) + (size_t)count * sizeof(int32_t);
}

static he_status open_nms(struct cpu_call *call, struct nms *n)
{
    const struct he_shape *boxes = &call->in[0].shape, *scores = &call->in[1].shape;
    double number;
    he_status status = HE_OK;

    *n = (struct nms){.boxes = call->in[0].data, .scores = call->in[1].data};
    if (call->in_count < 2 || call->in[1].dtype != HE_FLOAT32 || boxes->rank != 3 ||
        scores->rank != 3 || boxes->dims[2] != 4 || boxes->dims[0] != scores->dims[0] ||
        boxes->dims[1] != scores->dims[2] || boxes->dims[1] > INT32_MAX)
        return he_error_set(HE_ERR_SHAPE,
                            "NonMaxSuppression: boxes and scores are not [N, B, 4] and [N, C, B]");
    n->batches = scores->dims[0];
    n->classes = scores->dims[1];
    n->count = scores->dims[2];
    n->is_center = he_node_int(call->node, "center_point_box", 0) != 0;
    if (cpu_has_input(call, 2))
        status = cpu_read_int(call, 2, &n->most);
    if (status == HE_OK && cpu_has_input(call, 3)) {
        status = cpu_read_double(call, 3, &number);
        n->iou_threshold = (float)number;
    }
    if (status == HE_OK && cpu_has_input(call, 4)) {
        n->has_score_threshold = true;
        status = cpu_read_double(call, 4, &number);
        n->score_threshold = (float)number;
    }
    if (status == HE_OK && !(n->iou_threshold >= 0 && n->iou_threshold <= 1))
        return he_error_set(HE_ERR_SHAPE, "NonMaxSuppression: iou_threshold %g is outside [0, 1]",
                            (double)n->iou_threshold);
    return status;
}

static he_status run_nms(struct cpu_call *call)
{
    struct he_shape shape = {.rank = 2, .dims = {0, 3}};
    int64_t row, rows, k, *out;
    struct nms n;
    he_status status = open_nms(call, &n);

    if (status != HE_OK)
        return status;
    rows = n.count > 0 && n.most > 0 ? n.batches * n.classes : 0;
    n.pick_counts = call->scratch;
    n.picks = (int32_t *)(n.pick_counts + rows);
    if (rows > 0)
        cpu_parallel(call->team, rows, 4096 / n.count + 1, nms_rows, &n);
    for (row = 0; row < rows; row++)
        shape.dims[0] += n.pick_counts[row];
    status = call->shape_output(call, 0, HE_INT64, &shape);
    if (status != HE_OK)
        return status;
    out = call->out[0].data;
    for (row = 0; row < rows; row++) {
        for (k = 0; k < n.pick_counts[row]; k++) {
            *out++ = row / n.classes;
            *out++ = row % n.classes;
            *out++ = n.picks[row * n.count + n.count - 1 - k];
        }
    }
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "NonZero", .types = CPU_SORTED_TYPES, .flags = CPU_DATA_SHAPE, .run = run_non_zero},
    {.op = "Unique",
     .types = CPU_SORTED_TYPES,
     .flags = CPU_DATA_SHAPE,
     .run = run_unique,
     .scratch = unique_scratch},
    {.op = "NonMaxSuppression",
     .types = CPU_TYPE(HE_FLOAT32),
     .flags = CPU_DATA_SHAPE,
     .run = run_nms,
     .scratch = nms_scratch},
};

const struct cpu_kernel_table cpu_kernels_select = {kernels, CPU_COUNT(kernels)};
