/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RNN, GRU and LSTM: reads the operands, multiplies X by W for all steps at once, and walks the
 * sequence in each direction with the cells of recurrent_cells.c. Every batch entry may
 * have a length of its own: the reverse direction starts at its last step, and
 * outputs beyond the length are zero.
 */
#include "recurrent.h"

#include <string.h>
#include <strings.h>

#include "gemm.h"
#include "half.h"

/* --- Activations --- */

/* Not operators of their own: a x + b and a tanh(b x). */
static void affine(void *vout, const void *vin, int64_t n, const float *params)
{
    const float *in = vin;
    float *out = vout;
    int64_t i;

    for (i = 0; i < n; i++)
        out[i] = params[0] * in[i] + params[1];
}

static void scaled_tanh(void *vout, const void *vin, int64_t n, const float *params)
{
    const struct cpu_map *tanh_map = cpu_map_named("Tanh");
    const float *in = vin;
    float *out = vout;
    int64_t i;

    for (i = 0; i < n; i++)
        out[i] = params[1] * in[i];
    tanh_map->f32(out, out, n, params);
    for (i = 0; i < n; i++)
        out[i] *= params[0];
}

/* Which of them read alpha and beta, and what they are when not given. */
static const struct {
    const char *name;
    bool has_alpha, has_beta;
    float alpha, beta;
} functions[] = {
    {"Relu", false, false, 0, 0},
    {"Tanh", false, false, 0, 0},
    {"Sigmoid", false, false, 0, 0},
    {"Softsign", false, false, 0, 0},
    {"Softplus", false, false, 0, 0},
    {"Affine", true, true, 1.0f, 0.0f},
    {"LeakyRelu", true, false, 0.01f, 0},
    {"ThresholdedRelu", true, false, 1.0f, 0},
    {"ScaledTanh", true, true, 1.0f, 1.0f},
    {"HardSigmoid", true, true, 0.2f, 0.5f},
    {"Elu", true, false, 1.0f, 0},
};
#define FUNCTION_COUNT (sizeof functions / sizeof functions[0])

/* Reads the activations of direction @dir. Values of alpha and beta are consumed in order by
 * the functions that read them, over all directions. */
static he_status read_activations(const struct he_node *node, int64_t dir, size_t per_dir,
                                  struct activation *out)
{
    static const char *const usual_lstm[] = {"Sigmoid", "Tanh", "Tanh"};
    static const char *const usual_rnn[] = {"Tanh"};
    const char *const *usual = per_dir == 1 ? usual_rnn : usual_lstm;
    const struct he_attr *names = he_node_attr(node, "activations");
    const struct he_attr *alphas = he_node_attr(node, "activation_alpha");
    const struct he_attr *betas = he_node_attr(node, "activation_beta");
    size_t k, f, first = (size_t)dir * per_dir, alpha = 0, beta = 0;
    const struct cpu_map *map;

    for (k = 0; k < first + per_dir; k++) {
        const char *name = names && k < names->count ? names->strings[k] : usual[k % per_dir];
        struct activation *a = k >= first ? &out[k - first] : NULL;
        float values[2];

        for (f = 0; f < FUNCTION_COUNT && strcasecmp(name, functions[f].name) != 0; f++)
            ;
        if (f == FUNCTION_COUNT)
            return he_error_set(HE_ERR_UNSUPPORTED, "%s: activation %s is not known", node->op,
                                name);
        values[0] = functions[f].alpha;
        values[1] = functions[f].beta;
        if (functions[f].has_alpha && alphas && alpha < alphas->count)
            values[0] = alphas->floats[alpha++];
        if (functions[f].has_beta && betas && beta < betas->count)
            values[1] = betas->floats[beta++];
        if (!a)
            continue;
        map = cpu_map_named(functions[f].name);
        a->fn = map                                  ? map->f32
                : !strcmp(functions[f].name, "Affine") ? affine
                                                       : scaled_tanh;
        memset(a->params, 0, sizeof a->params);
        memcpy(a->params, values, sizeof values);
    }
    return HE_OK;
}

/* --- Sizes --- */

struct sizes {
    enum cell_kind kind;
    int64_t seq, batch, input, hidden, gates, dirs;
    bool is_batch_first;
};

static he_status read_sizes(const struct he_node *node, const struct he_tensor *in,
                            size_t in_count, struct sizes *s)
{
    const char *direction = he_node_string(node, "direction", "forward");

    *s = (struct sizes){.kind = CELL_LSTM, .gates = 4};
    if (!strcmp(node->op, "RNN")) {
        s->kind = CELL_RNN;
        s->gates = 1;
    } else if (!strcmp(node->op, "GRU")) {
        s->kind = CELL_GRU;
        s->gates = 3;
    }
    if (in_count < 3 || in[0].shape.rank != 3 || in[1].shape.rank != 3 || in[2].shape.rank != 3)
        return he_error_set(HE_ERR_SHAPE, "%s: X, W and R must have rank 3", node->op);
    s->is_batch_first = he_node_int(node, "layout", 0) != 0;
    s->seq = in[0].shape.dims[s->is_batch_first ? 1 : 0];
    s->batch = in[0].shape.dims[s->is_batch_first ? 0 : 1];
    s->input = in[0].shape.dims[2];
    s->dirs = !strcmp(direction, "bidirectional") ? 2 : 1;
    s->hidden = in[2].shape.dims[2];
    if (in[1].shape.dims[0] != s->dirs || in[2].shape.dims[0] != s->dirs ||
        in[1].shape.dims[1] != s->gates * s->hidden ||
        in[2].shape.dims[1] != s->gates * s->hidden || in[1].shape.dims[2] != s->input)
        return he_error_set(HE_ERR_SHAPE, "%s: W or R does not fit X and the direction", node->op);
    return HE_OK;
}

/* How the scratch memory is cut up: offsets in floats. */
struct layout {
    size_t xw, bias, h, h_next, c, sums, extra, pointers, gemm, total;
};

/* Room for one pointer, counted in floats. */
#define POINTER_FLOATS 2

static size_t take(size_t *at, int64_t floats)
{
    size_t here = *at;

    *at += ((size_t)floats + 15) & ~(size_t)15;
    return here;
}

static struct layout cut_scratch(const struct sizes *s)
{
    int64_t state = s->batch * s->hidden, wide = s->gates * s->hidden;
    struct layout l;
    size_t at = 0;

    l.xw = take(&at, s->seq * s->batch * wide);
    l.bias = take(&at, wide);
    l.h = take(&at, state);
    l.h_next = take(&at, state);
    l.c = take(&at, s->kind == CELL_LSTM ? state : 0);
    l.sums = take(&at, s->batch * wide);
    l.extra = take(&at, s->kind == CELL_GRU ? state : 0);
    l.pointers = take(&at, s->batch * POINTER_FLOATS);
    l.gemm = take(&at, (int64_t)(cpu_gemm_scratch(s->seq * s->batch, wide, s->input) /
                                 sizeof(float)));
    l.total = at;
    return l;
}

static size_t recurrent_scratch(const struct he_node *node, const struct he_tensor *in,
                                size_t in_count, const struct he_tensor *out, size_t out_count)
{
    struct sizes s;

    (void)out, (void)out_count;
    if (read_sizes(node, in, in_count, &s) != HE_OK)
        return 0;
    return cut_scratch(&s).total * sizeof(float);
}

/* --- One direction --- */

enum { IN_X, IN_W, IN_R, IN_B, IN_LENGTHS, IN_H, IN_C, IN_P };

/* Offset of (direction, batch entry) in a state tensor. */
static int64_t state_at(const struct sizes *s, int64_t dir, int64_t b)
{
    return (s->is_batch_first ? b * s->dirs + dir : dir * s->batch + b) * s->hidden;
}

static int64_t output_at(const struct sizes *s, int64_t t, int64_t dir, int64_t b)
{
    return (s->is_batch_first ? (b * s->seq + t) * s->dirs + dir
                              : (t * s->dirs + dir) * s->batch + b) *
           s->hidden;
}

static int64_t length_of(const struct cpu_call *call, const struct sizes *s, int64_t b)
{
    if (!cpu_has_input(call, IN_LENGTHS))
        return s->seq;
    return cpu_clamp_i64(cpu_get_int(&call->in[IN_LENGTHS], b), 0, s->seq);
}

static void load_state(const struct cpu_call *call, const struct sizes *s, size_t input,
                       int64_t dir, float *state)
{
    int64_t b;

    for (b = 0; b < s->batch; b++) {
        if (cpu_has_input(call, input))
            memcpy(state + b * s->hidden,
                   (const float *)call->in[input].data + state_at(s, dir, b),
                   (size_t)s->hidden * sizeof(float));
        else
            memset(state + b * s->hidden, 0, (size_t)s->hidden * sizeof(float));
    }
}

static void store_state(struct cpu_call *call, const struct sizes *s, size_t output, int64_t dir,
                        const float *state)
{
    int64_t b;

    for (b = 0; b < s->batch && cpu_has_output(call, output); b++)
        memcpy((float *)call->out[output].data + state_at(s, dir, b), state + b * s->hidden,
               (size_t)s->hidden * sizeof(float));
}

/* Both biases added up; a GRU that resets late keeps the hidden one of its candidate apart. */
static void load_bias(const struct cpu_call *call, const struct sizes *s, int64_t dir,
                      float *bias, struct cell *cell)
{
    int64_t wide = s->gates * s->hidden, j;
    const float *b;

    if (!cpu_has_input(call, IN_B))
        return;
    b = (const float *)call->in[IN_B].data + dir * 2 * wide;
    for (j = 0; j < wide; j++)
        bias[j] = b[j] + b[wide + j];
    if (cell->linear_before_reset) {
        memcpy(bias + 2 * s->hidden, b + 2 * s->hidden, (size_t)s->hidden * sizeof(float));
        cell->hidden_bias = b + wide + 2 * s->hidden;
    }
    cell->bias = bias;
}

static void run_direction(struct cpu_call *call, const struct sizes *s, struct cell *cell,
                          int64_t dir, bool is_reverse, const struct layout *l)
{
    float *base = call->scratch, *xw = base + l->xw, *swap;
    float *y = cpu_has_output(call, 0) ? call->out[0].data : NULL;
    int64_t wide = s->gates * s->hidden, step, b, t, length;
    struct cpu_matrix x = {call->in[IN_X].data, s->input, 1}, w;

    /* W as it lies is [gates * hidden, input]: read turned. */
    w = (struct cpu_matrix){(const float *)call->in[IN_W].data + dir * wide * s->input, 1,
                            s->input};
    cpu_gemm_f32(call->team, s->seq * s->batch, wide, s->input, x, w, xw, wide, false,
                 base + l->gemm);
    for (step = 0; step < s->seq; step++) {
        for (b = 0; b < s->batch; b++) {
            length = length_of(call, s, b);
            t = is_reverse ? length - 1 - step : step;
            cell->x_rows[b] =
                step < length ? xw + (s->is_batch_first ? b * s->seq + t : t * s->batch + b) * wide
                              : NULL;
        }
        cell_step(cell, call->team);
        swap = cell->h;
        cell->h = cell->h_next;
        cell->h_next = swap;
        for (b = 0; y && b < s->batch; b++) {
            length = length_of(call, s, b);
            if (step < length) {
                t = is_reverse ? length - 1 - step : step;
                memcpy(y + output_at(s, t, dir, b), cell->h + b * s->hidden,
                       (size_t)s->hidden * sizeof(float));
            } else {
                memset(y + output_at(s, step, dir, b), 0, (size_t)s->hidden * sizeof(float));
            }
        }
    }
    store_state(call, s, 1, dir, cell->h);
    if (s->kind == CELL_LSTM)
        store_state(call, s, 2, dir, cell->c);
}

static he_status check_count(const struct cpu_call *call, size_t input, int64_t count)
{
    if (!cpu_has_input(call, input))
        return HE_OK;
    if (cpu_count(&call->in[input]) != count)
        return he_error_set(HE_ERR_SHAPE, "%s: input %zu has %lld elements, expected %lld",
                            call->node->op, input, (long long)cpu_count(&call->in[input]),
                            (long long)count);
    if (input != IN_LENGTHS && call->in[input].dtype != HE_FLOAT32)
        return cpu_unsupported_type(call->node, call->in[input].dtype);
    return HE_OK;
}

static he_status check_inputs(const struct cpu_call *call, const struct sizes *s)
{
    int64_t wide = s->gates * s->hidden, state = s->dirs * s->batch * s->hidden;
    he_status status = check_count(call, IN_W, s->dirs * wide * s->input);

    if (status == HE_OK)
        status = check_count(call, IN_R, s->dirs * wide * s->hidden);
    if (status == HE_OK)
        status = check_count(call, IN_B, s->dirs * 2 * wide);
    if (status == HE_OK)
        status = check_count(call, IN_LENGTHS, s->batch);
    if (status == HE_OK)
        status = check_count(call, IN_H, state);
    if (status == HE_OK && s->kind == CELL_LSTM)
        status = check_count(call, IN_C, state);
    if (status == HE_OK && s->kind == CELL_LSTM)
        status = check_count(call, IN_P, s->dirs * 3 * s->hidden);
    return status;
}

static he_status recurrent_run(struct cpu_call *call)
{
    const struct he_node *node = call->node;
    const char *direction = he_node_string(node, "direction", "forward");
    float *base = call->scratch;
    struct layout l;
    struct sizes s;
    int64_t dir;
    he_status status = read_sizes(node, call->in, call->in_count, &s);

    if (status == HE_OK)
        status = check_inputs(call, &s);
    if (status != HE_OK)
        return status;
    l = cut_scratch(&s);
    for (dir = 0; dir < s.dirs; dir++) {
        struct cell cell = {
            .kind = s.kind,
            .batch = s.batch,
            .input = s.input,
            .hidden = s.hidden,
            .gates = s.gates,
            .r = (const float *)call->in[IN_R].data + dir * s.gates * s.hidden * s.hidden,
            .clip = he_node_float(node, "clip", 0.0f),
            .linear_before_reset =
                s.kind == CELL_GRU && he_node_int(node, "linear_before_reset", 0) != 0,
            .input_forget = s.kind == CELL_LSTM && he_node_int(node, "input_forget", 0) != 0,
            .h = base + l.h,
            .h_next = base + l.h_next,
            .c = base + l.c,
            .sums = base + l.sums,
            .extra = base + l.extra,
            .x_rows = (const float **)(void *)(base + l.pointers),
        };

        status = read_activations(node, dir, s.kind == CELL_LSTM ? 3 : s.kind == CELL_GRU ? 2 : 1,
                                  cell.activations);
        if (status != HE_OK)
            return status;
        if (s.kind == CELL_LSTM && cpu_has_input(call, IN_P))
            cell.peephole = (const float *)call->in[IN_P].data + dir * 3 * s.hidden;
        load_bias(call, &s, dir, base + l.bias, &cell);
        load_state(call, &s, IN_H, dir, cell.h);
        if (s.kind == CELL_LSTM)
            load_state(call, &s, IN_C, dir, cell.c);
        run_direction(call, &s, &cell, dir, dir == 1 || !strcmp(direction, "reverse"), &l);
    }
    return HE_OK;
}

#define ROW(name)                                                                               \
    {.op = name, .types = CPU_TYPE(HE_FLOAT32), .run = recurrent_run,                           \
     .scratch = recurrent_scratch},                                                             \
        CPU_WIDENED(name)

static const struct cpu_kernel kernels[] = {ROW("LSTM"), ROW("GRU"), ROW("RNN")};

const struct cpu_kernel_table cpu_kernels_recurrent = {kernels,
                                                       sizeof kernels / sizeof kernels[0]};
