/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TfIdfVectorizer over integers: how often each n-gram of a pool occurs in every row, with gaps
 * of up to max_skip_count between its items. The pool is searched gram by gram; pools in
 * models are small.
 */
#include "move.h"

enum weighting { WEIGHT_TF, WEIGHT_IDF, WEIGHT_TFIDF };

struct grams {
    const struct he_tensor *in;
    float *out;
    enum weighting weighting;
    int64_t least, most, skips; /* lengths of grams, and gaps: attributes */
    const int64_t *pool, *starts, *columns;
    size_t pool_count, length_count, column_count;
    const float *weights; /* per gram, or NULL */
    int64_t row_length, width;
};

/* Occurrences of one gram with its items @step apart. */
static int64_t occurrences(const struct grams *g, int64_t row, const int64_t *gram, int64_t length,
                           int64_t step)
{
    int64_t begin = row * g->row_length, last = g->row_length - step * (length - 1), at, k, found;

    for (at = 0, found = 0; at < last; at++) {
        for (k = 0; k < length; k++)
            if (cpu_get_int(g->in, begin + at + k * step) != gram[k])
                break;
        found += k == length;
    }
    return found;
}

static void count_rows(void *arg, int64_t begin, int64_t end)
{
    const struct grams *g = arg;
    int64_t row, length, at, stop, step, count;
    size_t gram;
    float weight, *out;

    for (row = begin; row < end; row++) {
        out = g->out + row * g->width;
        memset(out, 0, (size_t)g->width * sizeof *out);
        gram = 0;
        for (length = 1; length <= (int64_t)g->length_count; length++) {
            at = g->starts[length - 1];
            stop = length < (int64_t)g->length_count ? g->starts[length] : (int64_t)g->pool_count;
            for (; at + length <= stop; at += length, gram++) {
                if (length < g->least || length > g->most)
                    continue;
                count = 0;
                /* Gaps change nothing about a single item. */
                for (step = 1; step <= (length == 1 ? 1 : g->skips + 1) &&
                               step * (length - 1) < g->row_length;
                     step++)
                    count += occurrences(g, row, g->pool + at, length, step);
                weight = g->weights && g->weighting != WEIGHT_TF ? g->weights[gram] : 1;
                if (g->weighting == WEIGHT_IDF)
                    count = count > 0;
                out[g->columns[gram]] += (float)count * weight;
            }
        }
    }
}

static he_status read_grams(const struct cpu_call *call, struct grams *g)
{
    static const char *const words[] = {"TF", "IDF", "TFIDF"};
    const struct he_attr *weights = he_node_attr(call->node, "weights");
    const char *mode = he_node_string(call->node, "mode", "");
    int64_t length, at, stop, grams = 0;
    size_t k;

    g->pool_count = he_node_ints(call->node, "pool_int64s", &g->pool);
    g->length_count = he_node_ints(call->node, "ngram_counts", &g->starts);
    g->column_count = he_node_ints(call->node, "ngram_indexes", &g->columns);
    g->least = he_node_int(call->node, "min_gram_length", 1);
    g->most = he_node_int(call->node, "max_gram_length", 1);
    g->skips = he_node_int(call->node, "max_skip_count", 0);
    for (k = 0; k < CPU_COUNT(words) && strcmp(mode, words[k]) != 0; k++)
        ;
    if (k == CPU_COUNT(words))
        return he_error_set(HE_ERR_UNSUPPORTED, "TfIdfVectorizer: mode \"%s\" is not known", mode);
    g->weighting = (enum weighting)k;
    if (g->least < 1 || g->most < g->least || g->skips < 0 || g->skips > INT32_MAX)
        return he_error_set(HE_ERR_SHAPE,
                            "TfIdfVectorizer: grams of %lld to %lld items, gaps of %lld",
                            (long long)g->least, (long long)g->most, (long long)g->skips);
    for (length = 1; length <= (int64_t)g->length_count; length++) {
        at = g->starts[length - 1];
        stop = length < (int64_t)g->length_count ? g->starts[length] : (int64_t)g->pool_count;
        if (at < 0 || stop < at || stop > (int64_t)g->pool_count || (stop - at) % length != 0)
            return he_error_set(HE_ERR_SHAPE,
                                "TfIdfVectorizer: ngram_counts do not cut the pool of %zu",
                                g->pool_count);
        grams += (stop - at) / length;
    }
    if (grams != (int64_t)g->column_count)
        return he_error_set(HE_ERR_SHAPE, "TfIdfVectorizer: %zu ngram_indexes for %lld grams",
                            g->column_count, (long long)grams);
    for (k = 0; k < g->column_count; k++) {
        if (g->columns[k] < 0 || g->columns[k] >= INT32_MAX)
            return he_error_set(HE_ERR_SHAPE, "TfIdfVectorizer: ngram_indexes[%zu] is %lld", k,
                                (long long)g->columns[k]);
        if (g->columns[k] >= g->width)
            g->width = g->columns[k] + 1;
    }
    if (weights && weights->kind == HE_ATTR_FLOATS) {
        if (weights->count != g->column_count)
            return he_error_set(HE_ERR_SHAPE, "TfIdfVectorizer: %zu weights for %zu grams",
                                weights->count, g->column_count);
        g->weights = weights->floats;
    }
    return HE_OK;
}

static he_status run_tfidf(struct cpu_call *call)
{
    const struct he_shape *in = &call->in[0].shape;
    struct grams g = {.in = &call->in[0], .out = call->out[0].data};
    struct he_shape shape = *in;
    int64_t rows;
    he_status status = read_grams(call, &g);

    if (status != HE_OK)
        return status;
    if (in->rank < 1 || in->rank > 2)
        return he_error_set(HE_ERR_SHAPE, "TfIdfVectorizer: an input of rank %u", in->rank);
    g.row_length = in->dims[in->rank - 1];
    shape.dims[in->rank - 1] = g.width;
    status = cpu_expect_output(call, 0, HE_FLOAT32, &shape);
    if (status != HE_OK)
        return status;
    rows = in->rank == 2 ? in->dims[0] : 1;
    if (rows > 0 && g.width > 0)
        cpu_parallel(call->team, rows, 4, count_rows, &g);
    return HE_OK;
}

static const struct cpu_kernel kernels[] = {
    {.op = "TfIdfVectorizer", .types = CPU_TYPE(HE_INT32) | CPU_TYPE(HE_INT64), .run = run_tfidf},
};

const struct cpu_kernel_table cpu_kernels_ngram = {kernels, CPU_COUNT(kernels)};
