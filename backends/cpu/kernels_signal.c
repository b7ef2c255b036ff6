/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DFT, STFT, the window functions and MelWeightMatrix. Transforms are the recursive
 * Cooley-Tukey FFT over the prime factors of the length, in double; a prime length is the plain
 * sum. Rows are shared out to a fixed number of workers with memory of their own.
 */
#include "element.h"
#include "move.h"

/* --- The transform of one row --- */

struct complex {
    double re, im;
};

struct fft {
    int64_t length;
    struct complex *roots; /* e^(-+2 pi i k / length) */
    bool is_inverse;       /* scales by 1 / length */
};

static int64_t smallest_factor(int64_t n)
{
    int64_t p;

    if (n % 4 == 0) /* fewer levels than by twos */
        return 4;
    for (p = 2; p * p <= n; p++)
        if (n % p == 0)
            return p;
    return n;
}

/* Transforms n = length / step elements in[0], in[step]...; @work has room for one factor. */
static void transform(const struct fft *fft, const struct complex *in, int64_t step,
                      struct complex *out, struct complex *work)
{
    int64_t n = fft->length / step, p, m, r, q, k, root, turn;
    struct complex sum, w;

    if (n == 1) {
        *out = *in;
        return;
    }
    p = smallest_factor(n);
    m = n / p;
    for (r = 0; r < p; r++)
        transform(fft, in + r * step, step * p, out + r * m, work);
    for (k = 0; k < m; k++) {
        for (r = 0; r < p; r++)
            work[r] = out[r * m + k];
        for (q = 0; q < p; q++) {
            turn = (q * m + k) * step; /* below length; the r-th term turns by r of it */
            sum = work[0];
            for (r = 1, root = 0; r < p; r++) {
                root += turn;
                root -= root >= fft->length ? fft->length : 0;
                w = fft->roots[root];
                sum.re += work[r].re * w.re - work[r].im * w.im;
                sum.im += work[r].re * w.im + work[r].im * w.re;
            }
            out[q * m + k] = sum;
        }
    }
}

static void make_roots(struct fft *fft)
{
    double angle, sign = fft->is_inverse ? 1 : -1;
    int64_t k;

    for (k = 0; k < fft->length; k++) {
        angle = 2 * M_PI * (double)k / (double)fft->length;
        fft->roots[k] = (struct complex){cos(angle), sign * sin(angle)};
    }
}

/* --- Sharing out the rows --- */

#define WORKERS 32

struct rows {
    struct fft fft;
    struct complex *memory; /* per worker: input row, output row, one factor */
    int64_t count;
    const struct cpu_call *call;
    /* Fills the input row, and takes the output row. */
    void (*load)(const struct rows *rows, int64_t row, struct complex *in);
    void (*store)(const struct rows *rows, int64_t row, const struct complex *out);
    /* DFT: both tensors as [outer, axis, inner, parts]; STFT: as [batch, frame, bin, 2]. */
    int64_t in_length, out_length, inner, in_parts, out_parts;
    bool is_mirrored; /* the input is the first half of a spectrum of real data */
    int64_t frames, frame_step;
    const struct he_tensor *window;
};

static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const struct rows *rows = arg;
    int64_t n = rows->fft.length, row;
    struct complex *in, *out;

    for (; begin < end; begin++) {
        in = rows->memory + begin * 3 * n;
        out = in + n;
        for (row = begin; row < rows->count; row += WORKERS) {
            rows->load(rows, row, in);
            transform(&rows->fft, in, 1, out, out + n);
            rows->store(rows, row, out);
        }
    }
}

static size_t rows_scratch(int64_t length)
{
    if (length < 1 || length > INT64_MAX / (int64_t)sizeof(struct complex) / (4 * WORKERS))
        return 0;
    return (size_t)length * (1 + 3 * WORKERS) * sizeof(struct complex);
}

/* The longest transform whose result has this many bins. */
static int64_t longest(int64_t bins, bool is_onesided)
{
    return is_onesided ? 2 * bins : bins;
}

static he_status transform_rows(struct cpu_call *call, struct rows *rows, int64_t most)
{
    int64_t n = rows->fft.length;

    if (rows->count == 0)
        return HE_OK;
    if (n < 1 || n > most)
        return he_error_set(HE_ERR_SHAPE, "%s: a transform of length %lld does not fit the output",
                            call->node->op, (long long)n);
    rows->call = call;
    rows->fft.roots = call->scratch;
    rows->memory = rows->fft.roots + n;
    make_roots(&rows->fft);
    cpu_parallel(call->team, rows->count < WORKERS ? rows->count : WORKERS,
                 n * rows->count > 4096 ? 1 : WORKERS, run_rows, rows);
    return HE_OK;
}

static void put(const struct he_tensor *out, int64_t at, double value)
{
    if (out->dtype == HE_FLOAT32)
        ((float *)out->data)[at] = (float)value;
    else
        cpu_store_double(out->dtype, (char *)out->data + (size_t)at * cpu_element_bytes(out->dtype),
                         value);
}

/* --- DFT --- */

static void load_signal(const struct rows *rows, int64_t row, struct complex *in)
{
    const struct he_tensor *x = &rows->call->in[0];
    int64_t n = rows->fft.length, k, at, have = rows->in_length < n ? rows->in_length : n;

    if (rows->is_mirrored && have > n / 2 + 1)
        have = n / 2 + 1;
    for (k = 0; k < n; k++)
        in[k] = (struct complex){0, 0};
    for (k = 0; k < have; k++) {
        at = ((row / rows->inner * rows->in_length + k) * rows->inner + row % rows->inner) *
             rows->in_parts;
        in[k].re = cpu_get_double(x, at);
        in[k].im = rows->in_parts > 1 ? cpu_get_double(x, at + 1) : 0;
    }
    if (!rows->is_mirrored)
        return;
    /* Of real data: bins 0 and n / 2 are real, bin n - k is the conjugate of bin k. */
    in[0].im = 0;
    if (n % 2 == 0)
        in[n / 2].im = 0;
    for (k = n / 2 + 1; k < n; k++)
        in[k] = (struct complex){in[n - k].re, -in[n - k].im};
}

static void store_signal(const struct rows *rows, int64_t row, const struct complex *out)
{
    const struct he_tensor *y = &rows->call->out[0];
    double scale = rows->fft.is_inverse ? 1 / (double)rows->fft.length : 1;
    int64_t k, at;

    for (k = 0; k < rows->out_length; k++) {
        at = ((row / rows->inner * rows->out_length + k) * rows->inner + row % rows->inner) *
             rows->out_parts;
        put(y, at, out[k].re * scale);
        if (rows->out_parts > 1)
            put(y, at + 1, out[k].im * scale);
    }
}

static bool is_set(const struct he_node *node, const char *attribute, int64_t fallback)
{
    return he_node_int(node, attribute, fallback) != 0;
}

static size_t dft_scratch(const struct he_node *node, const struct he_tensor *in, size_t in_count,
                          const struct he_tensor *out, size_t out_count)
{
    bool is_half = is_set(node, "onesided", 0) && !is_set(node, "inverse", 0);
    int64_t most = 0;
    uint32_t d;

    (void)in, (void)in_count, (void)out_count;
    for (d = 0; d + 1 < out[0].shape.rank; d++) /* the axis may be an input */
        most = out[0].shape.dims[d] > most ? out[0].shape.dims[d] : most;
    return rows_scratch(longest(most, is_half));
}

static he_status run_dft(struct cpu_call *call)
{
    const struct he_shape *in = &call->in[0].shape;
    bool is_onesided = is_set(call->node, "onesided", 0);
    int64_t axis = he_node_int(call->node, "axis", 1), length;
    struct rows rows = {.load = load_signal, .store = store_signal};
    struct he_shape shape = *in;
    uint32_t at;
    he_status status = HE_OK;

    if (call->node->opset >= 20) {
        axis = -2;
        if (cpu_has_input(call, 2))
            status = cpu_read_int(call, 2, &axis);
    }
    if (status == HE_OK)
        status = cpu_axis(call->node, axis, in->rank, &at);
    if (status != HE_OK)
        return status;
    rows.in_parts = in->dims[in->rank - 1];
    if (at == in->rank - 1 || rows.in_parts < 1 || rows.in_parts > 2)
        return he_error_set(HE_ERR_SHAPE, "DFT: the last axis of %lld is not one or two parts",
                            (long long)rows.in_parts);
    rows.fft.is_inverse = is_set(call->node, "inverse", 0);
    rows.is_mirrored = is_onesided && rows.fft.is_inverse;
    rows.in_length = in->dims[at];
    length = rows.is_mirrored ? 2 * (rows.in_length - 1) : rows.in_length;
    if (cpu_has_input(call, 1)) {
        status = cpu_read_int(call, 1, &length);
        if (status != HE_OK)
            return status;
    }
    rows.fft.length = length;
    rows.out_length = is_onesided && !rows.fft.is_inverse ? length / 2 + 1 : length;
    rows.out_parts = rows.is_mirrored ? 1 : 2;
    shape.dims[at] = rows.out_length;
    shape.dims[in->rank - 1] = rows.out_parts;
    status = cpu_expect_output(call, 0, call->in[0].dtype, &shape);
    if (status != HE_OK)
        return status;
    rows.inner = cpu_extent(in, at + 1, in->rank - 1);
    rows.count = cpu_extent(in, 0, at) * rows.inner;
    return transform_rows(call, &rows,
                          longest(rows.out_length, is_onesided && !rows.fft.is_inverse));
}

/* --- STFT --- */

static void load_frame(const struct rows *rows, int64_t row, struct complex *in)
{
    const struct he_tensor *x = &rows->call->in[0];
    int64_t start = row / rows->frames * rows->in_length + row % rows->frames * rows->frame_step;
    int64_t k, at;
    double w;

    for (k = 0; k < rows->fft.length; k++) {
        w = !rows->window                     ? 1
            : k < rows->window->shape.dims[0] ? cpu_get_double(rows->window, k)
                                              : 0;
        at = (start + k) * rows->in_parts;
        in[k].re = w * cpu_get_double(x, at);
        in[k].im = rows->in_parts > 1 ? w * cpu_get_double(x, at + 1) : 0;
    }
}

static void store_frame(const struct rows *rows, int64_t row, const struct complex *out)
{
    const struct he_tensor *y = &rows->call->out[0];
    int64_t k;

    for (k = 0; k < rows->out_length; k++) {
        put(y, (row * rows->out_length + k) * 2, out[k].re);
        put(y, (row * rows->out_length + k) * 2 + 1, out[k].im);
    }
}

static size_t stft_scratch(const struct he_node *node, const struct he_tensor *in, size_t in_count,
                           const struct he_tensor *out, size_t out_count)
{
    (void)in, (void)in_count, (void)out_count;
    return rows_scratch(longest(out[0].shape.dims[2], is_set(node, "onesided", 1)));
}

/* signal, frame_step, window, frame_length */
static he_status run_stft(struct cpu_call *call)
{
    const struct he_shape *in = &call->in[0].shape;
    bool is_onesided = is_set(call->node, "onesided", 1);
    struct rows rows = {.load = load_frame, .store = store_frame};
    struct he_shape shape = {.rank = 4};
    int64_t length = -1;
    he_status status = cpu_read_int(call, 1, &rows.frame_step);

    if (status == HE_OK && cpu_has_input(call, 3))
        status = cpu_read_int(call, 3, &length);
    if (status != HE_OK)
        return status;
    if (cpu_has_input(call, 2)) {
        rows.window = &call->in[2];
        if (rows.window->shape.rank != 1 || rows.window->dtype != call->in[0].dtype)
            return he_error_set(HE_ERR_SHAPE, "STFT: the window is not a list of %s",
                                he_dtype_name(call->in[0].dtype));
        if (length < 0)
            length = rows.window->shape.dims[0];
    }
    if (in->rank != 3 || in->dims[2] < 1 || in->dims[2] > 2 || rows.frame_step < 1)
        return he_error_set(HE_ERR_SHAPE, "STFT: a signal of rank %u, steps of %lld", in->rank,
                            (long long)rows.frame_step);
    if (length < 0)
        length = in->dims[1];
    if (length < 1 || length > in->dims[1])
        return he_error_set(HE_ERR_SHAPE, "STFT: frames of %lld in a signal of %lld",
                            (long long)length, (long long)in->dims[1]);
    rows.fft.length = length;
    rows.in_length = in->dims[1];
    rows.in_parts = in->dims[2];
    rows.frames = (in->dims[1] - length) / rows.frame_step + 1;
    rows.out_length = is_onesided ? length / 2 + 1 : length;
    rows.count = in->dims[0] * rows.frames;
    shape.dims[0] = in->dims[0];
    shape.dims[1] = rows.frames;
    shape.dims[2] = rows.out_length;
    shape.dims[3] = 2;
    status = cpu_expect_output(call, 0, call->in[0].dtype, &shape);
    if (status != HE_OK)
        return status;
    return transform_rows(call, &rows, longest(rows.out_length, is_onesided));
}

/* --- Window functions --- */

static double hann_at(double turn)
{
    return sin(turn / 2) * sin(turn / 2);
}

static double hamming_at(double turn)
{
    return 25.0 / 46.0 - 21.0 / 46.0 * cos(turn);
}

static double blackman_at(double turn)
{
    return 0.42 - 0.5 * cos(turn) + 0.08 * cos(2 * turn);
}

static he_status run_window(struct cpu_call *call, double (*at)(double turn))
{
    const struct he_tensor *out = &call->out[0];
    struct he_shape shape = {.rank = 1};
    int64_t k, steps;
    he_status status = cpu_read_int(call, 0, &shape.dims[0]);

    if (status == HE_OK)
        status = cpu_expect_output(call, 0, out->dtype, &shape);
    if (status != HE_OK)
        return status;
    if (!(CPU_TYPE(out->dtype) & CPU_NUMBER_TYPES))
        return cpu_unsupported_type(call->node, out->dtype);
    steps = shape.dims[0] - !is_set(call->node, "periodic", 1);
    for (k = 0; k < shape.dims[0]; k++) /* a symmetric window of one is its middle */
        put(out, k, at(steps > 0 ? 2 * M_PI * (double)k / (double)steps : M_PI));
    return HE_OK;
}

static he_status run_hann(struct cpu_call *call)
{
    return run_window(call, hann_at);
}

static he_status run_hamming(struct cpu_call *call)
{
    return run_window(call, hamming_at);
}

static he_status run_blackman(struct cpu_call *call)
{
    return run_window(call, blackman_at);
}

/* --- MelWeightMatrix --- */

/* The spectrogram bin in which mel band edge @k of @edges + 1 lies. */
static int64_t edge_bin(int64_t k, double low_mel, double step, double dft_length, double rate)
{
    double hertz = 700 * (pow(10, (low_mel + (double)k * step) / 2595) - 1);
    double bin = floor((dft_length + 1) * hertz / rate);

    return fabs(bin) < 1e15 ? (int64_t)bin : -1;
}

static void put_band(const struct he_tensor *out, int64_t band, int64_t low, int64_t center,
                     int64_t high)
{
    int64_t bins = out->shape.dims[0], bands = out->shape.dims[1], j;

    if (low == center && center >= 0 && center < bins)
        put(out, center * bands + band, 1);
    for (j = low < 0 ? 0 : low; low < center && j <= center && j < bins; j++)
        put(out, j * bands + band, (double)(j - low) / (double)(center - low));
    for (j = center < 0 ? 0 : center; j < high && j < bins; j++)
        put(out, j * bands + band, (double)(high - j) / (double)(high - center));
}

/* num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz */
static he_status run_mel(struct cpu_call *call)
{
    static const uint8_t zero[16];
    const struct he_tensor *out = &call->out[0];
    struct he_shape shape = {.rank = 2};
    int64_t bands, dft_length, rate, k;
    double low, high, step;
    he_status status;

    if ((status = cpu_read_int(call, 0, &bands)) != HE_OK ||
        (status = cpu_read_int(call, 1, &dft_length)) != HE_OK ||
        (status = cpu_read_int(call, 2, &rate)) != HE_OK ||
        (status = cpu_read_double(call, 3, &low)) != HE_OK ||
        (status = cpu_read_double(call, 4, &high)) != HE_OK)
        return status;
    if (bands < 0 || dft_length < 0 || rate < 1 || !(low >= 0) || !(high >= 0))
        return he_error_set(HE_ERR_SHAPE,
                            "MelWeightMatrix: %lld bands, length %lld, rate %lld, %g to %g hertz",
                            (long long)bands, (long long)dft_length, (long long)rate, low, high);
    shape.dims[0] = dft_length / 2 + 1;
    shape.dims[1] = bands;
    status = cpu_expect_output(call, 0, out->dtype, &shape);
    if (status != HE_OK)
        return status;
    if (!(CPU_TYPE(out->dtype) & CPU_NUMBER_TYPES))
        return cpu_unsupported_type(call->node, out->dtype);
    cpu_tensor_fill(call->team, out, zero);
    low = 2595 * log10(1 + low / 700);
    high = 2595 * log10(1 + high / 700);
    step = (high - low) / (double)(bands + 2);
    for (k = 0; k < bands; k++)
        put_band(out, k, edge_bin(k, low, step, (double)dft_length, (double)rate),
                 edge_bin(k + 1, low, step, (double)dft_length, (double)rate),
                 edge_bin(k + 2, low, step, (double)dft_length, (double)rate));
    return HE_OK;
}

#define REAL (CPU_FLOATS | CPU_HALVES)
#define INTS (CPU_TYPE(HE_INT32) | CPU_TYPE(HE_INT64))

static const struct cpu_kernel kernels[] = {
    {.op = "DFT", .types = REAL, .run = run_dft, .scratch = dft_scratch},
    {.op = "STFT", .types = REAL, .run = run_stft, .scratch = stft_scratch},
    {.op = "HannWindow", .types = INTS, .run = run_hann},
    {.op = "HammingWindow", .types = INTS, .run = run_hamming},
    {.op = "BlackmanWindow", .types = INTS, .run = run_blackman},
    {.op = "MelWeightMatrix", .types = INTS, .run = run_mel},
};

const struct cpu_kernel_table cpu_kernels_signal = {kernels, CPU_COUNT(kernels)};
