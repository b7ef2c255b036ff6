/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolutions: each output channel reads one input channel. Nothing is shared between
 * channels, so memory is the bound, and what is left to save is reading a pixel once for each place of
 * the window. A work-item makes one column of several rows: a row of the input that several windows
 * share is loaded once, and neighbouring work-items load and store neighbours. (Several columns for each
 * would load less still, but from places four apart, which costs the caches more than it saves.)
 */
#include "conv.h"

#define LL(x) ((long long)(x))
#define ROWS_MOST 8
#define WINDOW_MOST 49 /* more multiply-adds for each element are loops' work */
#define UNIT_ITEMS 1024 /* work-items that keep a compute unit busy */

bool opencl_is_depthwise(const struct opencl_geometry *g)
{
    return g->groups > 1 && g->in_channels == g->groups &&
           g->kernel_h * g->kernel_w <= WINDOW_MOST && g->out_h * g->out_w > 0 && g->batch > 0;
}

/* As many as do not leave units idle, and leave few rows empty at the bottom. */
static int choose_rows(const struct opencl_build *b, const struct opencl_geometry *g)
{
    double planes = (double)(g->batch * g->out_channels * g->out_w), best_cost = 0;
    int best = 1;

    for (int rows = 1; rows <= ROWS_MOST; rows++) {
        int64_t blocks = (g->out_h + rows - 1) / rows;
        int64_t lines = (rows - 1) * g->stride_h + g->kernel_h; /* of the input */
        double cost = (double)blocks * (double)(lines * g->kernel_w + 2 * rows + 12);

        if (rows > 1 && planes * (double)blocks < (double)UNIT_ITEMS * b->dev->found->units)
            break;
        if (rows == 1 || cost < best_cost) {
            best = rows;
            best_cost = cost;
        }
    }
    return best;
}

/* Loads line @line of the windows, and adds it to each row whose window it is in. */
static void put_line(struct opencl_build *b, const struct opencl_geometry *g, int x, int64_t line,
                     int rows)
{
    bool is_loaded = false;

    for (int row = 0; row < rows; row++) {
        int64_t ky = (line - row * g->stride_h) / g->dilation_h;

        if (line < row * g->stride_h || (line - row * g->stride_h) % g->dilation_h || ky >= g->kernel_h)
            continue;
        if (!is_loaded && g->is_padded)
            opencl_line(b, "{ const int y = iy + %lld; const bool is_in = (uint)y < %lldu;", LL(line),
                        LL(g->in_h));
        else if (!is_loaded)
            /* The last block may have rows beyond the output, and so lines beyond the input. */
            opencl_line(b, "{ const int y = min(iy + %lld, %lld);", LL(line), LL(g->in_h - 1));
        for (int64_t kx = 0; kx < g->kernel_w; kx++) {
            if (!is_loaded && g->is_padded)
                opencl_line(b, "const float v%d = is_in && c%d ? X%d(at + y * %lld + %lld) : 0.0f;",
                            (int)kx, (int)kx, x, LL(g->in_w), LL(kx * g->dilation_w));
            else if (!is_loaded)
                opencl_line(b, "const float v%d = X%d(at + y * %lld + %lld);", (int)kx, x, LL(g->in_w),
                            LL(kx * g->dilation_w));
        }
        is_loaded = true;
        for (int64_t kx = 0; kx < g->kernel_w; kx++)
            opencl_line(b, "s%d = fma(v%d, w%d, s%d);", row, (int)kx, (int)(ky * g->kernel_w + kx), row);
    }
    if (is_loaded)
        opencl_line(b, "}");
}

he_status opencl_emit_depthwise(struct opencl_build *b, const struct he_node *node,
                                const struct opencl_geometry *g)
{
    int rows = choose_rows(b, g), x, w;
    int64_t blocks = (g->out_h + rows - 1) / rows, per_group = g->out_channels / g->groups;
    int64_t count = g->batch * g->out_channels * blocks * g->out_w;
    int64_t lines = (rows - 1) * g->stride_h + (g->kernel_h - 1) * g->dilation_h + 1;

    opencl_begin_each(b, count);
    x = opencl_read(b, node->inputs[0]);
    w = opencl_read(b, node->inputs[1]);
    opencl_line(b, "const uint ox = o %% %lldu, plane = o / %lldu;", LL(g->out_w), LL(g->out_w * blocks));
    opencl_line(b, "const uint oy = o / %lldu %% %lldu * %du;", LL(g->out_w), LL(blocks), rows);
    opencl_line(b, "const uint m = plane %% %lldu, n = plane / %lldu;", LL(g->out_channels),
                LL(g->out_channels));
    opencl_line(b, "const int iy = (int)oy * %lld - %lld, ix = (int)ox * %lld - %lld;", LL(g->stride_h),
                LL(g->pad_h), LL(g->stride_w), LL(g->pad_w));
    opencl_line(b, "const int at = (int)((n * %lldu + m / %lldu) * %lldu) + ix;", LL(g->in_channels),
                LL(per_group), LL(g->in_h * g->in_w));
    for (int64_t k = 0; k < g->kernel_h * g->kernel_w; k++)
        opencl_line(b, "const float w%d = X%d(m * %lldu + %lldu);", (int)k, w,
                    LL(g->kernel_h * g->kernel_w), LL(k));
    for (int64_t kx = 0; g->is_padded && kx < g->kernel_w; kx++)
        opencl_line(b, "const bool c%d = (uint)(ix + %lld) < %lldu;", (int)kx, LL(kx * g->dilation_w),
                    LL(g->in_w));
    if (opencl_input(b, node, 2))
        opencl_line(b, "const float bias = X%d(m);", opencl_read(b, node->inputs[2]));
    else
        opencl_line(b, "const float bias = 0.0f;");
    for (int row = 0; row < rows; row++)
        opencl_line(b, "float s%d = bias;", row);
    for (int64_t line = 0; line < lines; line++)
        put_line(b, g, x, line, rows);
    opencl_line(b, "float sums[%d];", rows);
    for (int row = 0; row < rows; row++)
        opencl_line(b, "sums[%d] = s%d;", row, row);
    opencl_line(b, "const uint first = (plane * %lldu + oy) * %lldu + ox;", LL(g->out_h), LL(g->out_w));
    opencl_line(b, "#pragma unroll\nfor (uint row = 0; row < %du; row++) {", rows);
    if (g->out_h % rows)
        opencl_line(b, "if (oy + row < %lldu) {", LL(g->out_h));
    else
        opencl_line(b, "{");
    opencl_line(b, "const uint place = first + row * %lldu;", LL(g->out_w));
    opencl_line(b, "float acc = sums[row];");
    opencl_result(b, "place", "acc");
    opencl_line(b, "}\n}");
    return opencl_end_each(b, count);
}
