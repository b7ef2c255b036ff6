/* SPDX-License-Identifier: Apache-2.0 */
/* RoiAlign and MaxRoiPool: one small image out of each region of interest. */
#include <math.h>

#include "window.h"

/* More samples per bin and axis than any network asks for: a region a million wide is damage. */
#define MOST_SAMPLES 65536

struct roi {
    struct cpu_image in, out;
    const struct he_tensor *rois, *batch; /* batch: RoiAlign only */
    enum he_dtype dtype;
    double scale, offset;
    int64_t sampling;
    bool is_max;
};

static double value_at(const struct roi *r, int64_t at)
{
    return r->dtype == HE_FLOAT32 ? (double)((const float *)r->in.data)[at]
                                  : ((const double *)r->in.data)[at];
}

static void put_value(const struct roi *r, int64_t at, double value)
{
    if (r->dtype == HE_FLOAT32)
        ((float *)r->out.data)[at] = (float)value;
    else
        ((double *)r->out.data)[at] = value;
}

/* --- RoiAlign --- */

/* One axis of a sample: two neighbours and their weights. */
struct sample {
    int64_t low, high;
    double low_weight, high_weight; /* both 0 outside the image */
};

static struct sample sample_axis(double x, int64_t size)
{
    struct sample s = {0};

    if (!(x >= -1 && x <= (double)size))
        return s;
    x = x > 0 ? x : 0;
    s.low = (int64_t)x;
    s.high = s.low + 1;
    if (s.low >= size - 1) {
        s.low = s.high = size - 1;
        x = (double)s.low;
    }
    s.high_weight = x - (double)s.low;
    s.low_weight = 1 - s.high_weight;
    return s;
}

struct bins {
    double start[2], step[2]; /* y, x */
    int64_t samples[2];       /* per bin */
};

static void find_bins(const struct roi *r, int64_t k, struct bins *bins)
{
    double first, last, size;
    int axis;

    for (axis = 0; axis < 2; axis++) { /* x1, y1, x2, y2 */
        first = cpu_get_double(r->rois, k * 4 + 1 - axis) * r->scale - r->offset;
        last = cpu_get_double(r->rois, k * 4 + 3 - axis) * r->scale - r->offset;
        size = last - first;
        if (r->offset == 0 && !(size > 1))
            size = 1;
        bins->start[axis] = first;
        bins->step[axis] = size / (double)r->out.size[1 + axis];
        if (r->dtype == HE_FLOAT32) /* a whole number of samples must not become one more */
            bins->step[axis] = (double)((float)size / (float)r->out.size[1 + axis]);
        bins->samples[axis] = r->sampling;
        if (r->sampling <= 0)
            bins->samples[axis] =
                (int64_t)fmin(fmax(ceil(bins->step[axis]), 0), (double)MOST_SAMPLES);
    }
}

static double align_bin(const struct roi *r, const struct bins *bins, int64_t plane, int64_t py,
                        int64_t px)
{
    int64_t iy, ix, count = bins->samples[0] * bins->samples[1];
    const int64_t *stride = r->in.stride;
    double result = 0, value[4];
    struct sample y, x;
    int k;

    for (iy = 0; iy < bins->samples[0]; iy++) {
        y = sample_axis(bins->start[0] +
                            ((double)py + ((double)iy + 0.5) / (double)bins->samples[0]) *
                                bins->step[0],
                        r->in.size[1]);
        for (ix = 0; ix < bins->samples[1]; ix++) {
            x = sample_axis(bins->start[1] +
                                ((double)px + ((double)ix + 0.5) / (double)bins->samples[1]) *
                                    bins->step[1],
                            r->in.size[2]);
            value[0] = y.low_weight * x.low_weight *
                       value_at(r, plane + y.low * stride[1] + x.low * stride[2]);
            value[1] = y.low_weight * x.high_weight *
                       value_at(r, plane + y.low * stride[1] + x.high * stride[2]);
            value[2] = y.high_weight * x.low_weight *
                       value_at(r, plane + y.high * stride[1] + x.low * stride[2]);
            value[3] = y.high_weight * x.high_weight *
                       value_at(r, plane + y.high * stride[1] + x.high * stride[2]);
            if (!r->is_max) {
                result += value[0] + value[1] + value[2] + value[3];
                continue;
            }
            if (iy == 0 && ix == 0)
                result = value[0];
            for (k = 0; k < 4; k++)
                result = fmax(result, value[k]);
        }
    }
    return r->is_max || count == 0 ? result : result / (double)count;
}

/* A unit is one channel of one region. */
static void align_planes(void *arg, int64_t begin, int64_t end)
{
    const struct roi *r = arg;
    int64_t k, c, py, px, at, plane;
    struct bins bins;

    for (; begin < end; begin++) {
        k = begin / r->out.c;
        c = begin % r->out.c;
        find_bins(r, k, &bins);
        plane = cpu_get_int(r->batch, k) * r->in.n_stride + c * r->in.c_stride;
        at = k * r->out.n_stride + c * r->out.c_stride;
        for (py = 0; py < r->out.size[1]; py++)
            for (px = 0; px < r->out.size[2]; px++)
                put_value(r, at + py * r->out.stride[1] + px * r->out.stride[2],
                          align_bin(r, &bins, plane, py, px));
    }
}

static he_status open_roi(struct cpu_call *call, struct roi *r, int64_t columns, int64_t height,
                          int64_t width)
{
    const struct he_tensor *in = &call->in[0];
    struct he_shape shape = in->shape;
    he_status status;

    r->rois = &call->in[1];
    r->dtype = in->dtype;
    r->scale = (double)he_node_float(call->node, "spatial_scale", 1);
    if (shape.rank != 4 || r->rois->shape.rank != 2 || r->rois->shape.dims[1] != columns ||
        r->rois->dtype != in->dtype || shape.dims[2] < 1 || shape.dims[3] < 1)
        return he_error_set(HE_ERR_SHAPE, "%s: input and regions do not fit", call->node->op);
    shape.dims[0] = r->rois->shape.dims[0];
    shape.dims[2] = height;
    shape.dims[3] = width;
    status = cpu_expect_output(call, 0, in->dtype, &shape);
    r->in = cpu_image_of(in);
    r->out = cpu_image_of(&call->out[0]);
    return status;
}

static he_status run_roi_align(struct cpu_call *call)
{
    const char *place = he_node_string(call->node, "coordinate_transformation_mode",
                                       call->node->opset < 16 ? "output_half_pixel" : "half_pixel");
    struct roi r = {.batch = &call->in[2],
                    .offset = strcmp(place, "half_pixel") != 0 ? 0 : 0.5,
                    .sampling = he_node_int(call->node, "sampling_ratio", 0),
                    .is_max = !strcmp(he_node_string(call->node, "mode", "avg"), "max")};
    int64_t k, index;
    he_status status = open_roi(call, &r, 4, he_node_int(call->node, "output_height", 1),
                                he_node_int(call->node, "output_width", 1));

    if (status != HE_OK)
        return status;
    if (r.sampling > MOST_SAMPLES || cpu_count(r.batch) != r.rois->shape.dims[0] ||
        !(CPU_TYPE(r.batch->dtype) & CPU_INTEGERS))
        return he_error_set(HE_ERR_SHAPE, "RoiAlign: batch_indices do not fit the regions");
    for (k = 0; k < r.out.n; k++) {
        index = cpu_get_int(r.batch, k);
        if (index < 0 || index >= r.in.n)
            return he_error_set(HE_ERR_SHAPE, "RoiAlign: batch index %lld is outside [0, %lld)",
                                (long long)index, (long long)r.in.n);
    }
    if (r.out.n * r.out.c > 0)
        cpu_parallel(call->team, r.out.n * r.out.c, 4, align_planes, &r);
    return HE_OK;
}

/* --- MaxRoiPool --- */

/* The input rows (or columns) of one bin. */
static void pool_range(double start, double bin, int64_t k, int64_t size, int64_t *first,
                       int64_t *last)
{
    double low = start + floor((double)k * bin), high = start + ceil((double)(k + 1) * bin);

    *first = (int64_t)fmin(fmax(low, 0), (double)size);
    *last = (int64_t)fmin(fmax(high, 0), (double)size);
}

static void pool_planes(void *arg, int64_t begin, int64_t end)
{
    const struct roi *r = arg;
    int64_t k, c, py, px, y, x, y0, y1, x0, x1, plane, at;
    double start[2], bin[2], last, best, value;
    int axis;

    for (; begin < end; begin++) {
        k = begin / r->out.c;
        c = begin % r->out.c;
        for (axis = 0; axis < 2; axis++) { /* batch, x1, y1, x2, y2 */
            start[axis] = round(cpu_get_double(r->rois, k * 5 + 2 - axis) * r->scale);
            last = round(cpu_get_double(r->rois, k * 5 + 4 - axis) * r->scale);
            bin[axis] = fmax(last - start[axis] + 1, 1) / (double)r->out.size[1 + axis];
        }
        plane = (int64_t)cpu_get_double(r->rois, k * 5) * r->in.n_stride + c * r->in.c_stride;
        for (py = 0; py < r->out.size[1]; py++) {
            pool_range(start[0], bin[0], py, r->in.size[1], &y0, &y1);
            for (px = 0; px < r->out.size[2]; px++) {
                pool_range(start[1], bin[1], px, r->in.size[2], &x0, &x1);
                best = y0 < y1 && x0 < x1 ? -INFINITY : 0;
                for (y = y0; y < y1; y++) {
                    for (x = x0; x < x1; x++) {
                        value = value_at(r, plane + y * r->in.stride[1] + x * r->in.stride[2]);
                        best = value > best ? value : best;
                    }
                }
                at = k * r->out.n_stride + c * r->out.c_stride + py * r->out.stride[1] +
                     px * r->out.stride[2];
                put_value(r, at, best);
            }
        }
    }
}

static he_status run_max_roi_pool(struct cpu_call *call)
{
    const int64_t *pooled;
    struct roi r = {0};
    double index;
    int64_t k;
    he_status status;

    if (he_node_ints(call->node, "pooled_shape", &pooled) != 2)
        return he_error_set(HE_ERR_SHAPE, "MaxRoiPool: pooled_shape does not have two entries");
    status = open_roi(call, &r, 5, pooled[0], pooled[1]);
    if (status != HE_OK)
        return status;
    for (k = 0; k < r.out.n; k++) {
        index = cpu_get_double(r.rois, k * 5);
        if (!(index >= 0 && index < (double)r.in.n))
            return he_error_set(HE_ERR_SHAPE, "MaxRoiPool: batch index %g is outside [0, %lld)",
                                index, (long long)r.in.n);
    }
    if (r.out.n * r.out.c > 0)
        cpu_parallel(call->team, r.out.n * r.out.c, 4, pool_planes, &r);
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "RoiAlign", .types = CPU_FLOATS, .run = run_roi_align},
    CPU_WIDENED("RoiAlign"),
    {.op = "MaxRoiPool", .types = CPU_FLOATS, .run = run_max_roi_pool},
    CPU_WIDENED("MaxRoiPool"),
};

const struct cpu_kernel_table cpu_kernels_roi = {kernels, CPU_COUNT(kernels)};
