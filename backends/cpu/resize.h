/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Resize and Upsample ask for, read from any of their opsets, and the place in the
 * input that belongs to a place in the output. The axes are independent of each other.
 */
#ifndef CPU_RESIZE_H
#define CPU_RESIZE_H

#include "move.h"

enum cpu_resize_mode { CPU_RESIZE_NEAREST, CPU_RESIZE_LINEAR, CPU_RESIZE_CUBIC };
enum cpu_resize_place {
    CPU_PLACE_HALF_PIXEL,
    CPU_PLACE_PYTORCH_HALF_PIXEL,
    CPU_PLACE_HALF_PIXEL_SYMMETRIC,
    CPU_PLACE_ALIGN_CORNERS,
    CPU_PLACE_ASYMMETRIC,
    CPU_PLACE_TF_HALF_PIXEL_FOR_NN,
    CPU_PLACE_TF_CROP_AND_RESIZE,
};
enum cpu_resize_round {
    CPU_ROUND_PREFER_FLOOR,
    CPU_ROUND_PREFER_CEIL,
    CPU_ROUND_FLOOR,
    CPU_ROUND_CEIL,
    CPU_ROUND_SIMPLE, /* before opset 11: down when growing, up when shrinking */
};

struct cpu_resize_axis {
    bool is_active; /* otherwise the axis is passed through */
    int64_t in, out;
    double scale;
    double width;      /* in * scale: the output size before rounding */
    double start, end; /* the region of interest, as parts of the input */
};

struct cpu_resize {
    enum cpu_resize_mode mode;
    enum cpu_resize_place place;
    enum cpu_resize_round round;
    bool is_antialias, excludes_outside;
    double cubic_a, outside; /* extrapolation_value */
    struct cpu_resize_axis axes[HE_MAX_RANK];
};

he_status cpu_resize_read(const struct cpu_call *call, struct cpu_resize *resize);

/* The mode alone, for sizing scratch memory: no input data is looked at. */
enum cpu_resize_mode cpu_resize_mode_of(const struct he_node *node);

/* The input coordinate of output @o. False when it is outside and the
 * extrapolation value stands in its place. */
bool cpu_resize_coordinate(const struct cpu_resize *resize, const struct cpu_resize_axis *axis,
                           int64_t o, double *out);

/* The input index nearest to a coordinate, inside the input. */
int64_t cpu_resize_nearest(const struct cpu_resize *resize, const struct cpu_resize_axis *axis,
                           double x);

/* The taps of a coordinate: *first is the index of the first one, which may be
 * outside the input, and weights[] adds up to one. At most cpu_resize_taps() of them. */
int64_t cpu_resize_weights(const struct cpu_resize *resize, const struct cpu_resize_axis *axis,
                           double x, double *weights, int64_t capacity, int64_t *first);
/* Enough for any scale that makes @out of @in. */
int64_t cpu_resize_taps(const struct he_node *node, int64_t in, int64_t out);

#endif
