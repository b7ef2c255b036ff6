/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases in float16: each case's graph a second time with float16 in place of float32, against
 * the reference in float32 on the same numbers. Both get inputs and constants that are halves, so what
 * differs is what the device rounds: a half keeps 11 bits, so each result that is stored is off by 2^-11
 * of itself at most, and no case stores more than four in a row. The sums behind a
 * result must be float32: sums in half would be off by more as soon as a case adds up a hundred.
 */
#include "conformance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the largest number of the output, which is what results were summed from, and of the result. */
#define TOP_TOLERANCE 1e-3f
#define TOLERANCE 2e-3f

static float half_to_float(uint16_t half)
{
    int exponent = half >> 10 & 31;
    float fraction = (float)(half & 1023), out;

    if (exponent == 31)
        out = fraction != 0 ? NAN : INFINITY;
    else
        out = exponent ? ldexpf(fraction + 1024, exponent - 25) : ldexpf(fraction, -24);
    return half & 0x8000 ? -out : out;
}

/* To nearest even, by what rintf() does. */
static uint16_t half_from_float(float x)
{
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    int exponent;
    float size = fabsf(x), steps;

    if (isnan(x))
        return 0x7e00;
    if (size >= 65520)
        return sign | 0x7c00;
    frexpf(size, &exponent);
    if (exponent < -13)
        exponent = -13; /* no bits below 2^-24 */
    steps = rintf(ldexpf(size, 11 - exponent));
    /* steps may be 2048, which carries into the exponent by itself. */
    if (steps < 1024)
        return sign | (uint16_t)steps;
    return sign | (uint16_t)(((uint32_t)(exponent + 14) << 10) + (uint32_t)steps - 1024);
}

static void *need(size_t bytes)
{
    void *memory = calloc(bytes + 1, 1);

    if (!memory)
        abort();
    return memory;
}

/* Not what says how to compute rather than what with. */
static bool is_number(const struct he_graph *graph, uint32_t value)
{
    const struct he_value *v = &graph->values[value];

    if (v->dtype != HE_FLOAT32)
        return false;
    if (v->producer != HE_NONE && strcmp(graph->nodes[v->producer].op, "Cast") == 0)
        return false;
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct he_node *node = &graph->nodes[n];

        for (uint32_t k = 1; k < node->input_count; k++)
            if (node->inputs[k] == value && strcmp(node->op, "Resize") == 0)
                return false;
    }
    return true;
}

/* Constants of @t become halves: as such, or (@keeps_float) as float32. */
static void round_constants(struct test_graph *t, bool keeps_float)
{
    for (uint32_t k = 0; k < t->graph->value_count; k++) {
        struct he_value *v = &t->graph->values[k];
        float *numbers = (float *)(uintptr_t)v->data; /* copied by build_constant() */
        int64_t count = he_shape_count(&v->shape);

        if (!v->data || !is_number(t->graph, k))
            continue;
        for (int64_t i = 0; i < count; i++) {
            uint16_t half = half_from_float(numbers[i]);

            if (keeps_float)
                numbers[i] = half_to_float(half);
            else /* never ahead of what is still to be read */
                memcpy((char *)numbers + i * (int64_t)sizeof half, &half, sizeof half);
        }
        if (!keeps_float)
            v->data_bytes = (size_t)count * sizeof(uint16_t);
    }
}

static void narrow(struct test_graph *t)
{
    bool *is_half = need(t->graph->value_count);

    round_constants(t, false);
    for (uint32_t k = 0; k < t->graph->value_count; k++)
        is_half[k] = is_number(t->graph, k);
    for (uint32_t k = 0; k < t->graph->value_count; k++)
        if (is_half[k])
            t->graph->values[k].dtype = HE_FLOAT16;
    free(is_half);
}

static he_status put_inputs(const struct test_graph *t, const struct test_graph *twin,
                            struct test_run *run, struct test_run *reference)
{
    he_status status = HE_OK;

    for (uint32_t k = 0; k < t->input_count && status == HE_OK; k++) {
        const struct he_value *value = &t->graph->values[t->inputs[k]];
        int64_t count = he_shape_count(&value->shape);
        bool is_half = twin->graph->values[t->inputs[k]].dtype == HE_FLOAT16;
        void *data = need((size_t)he_shape_bytes(&value->shape, value->dtype));
        uint16_t *halves = need((size_t)count * sizeof *halves);

        test_fill(t, k, 11, data);
        for (int64_t i = 0; i < count && is_half; i++) {
            halves[i] = half_from_float(((float *)data)[i]);
            ((float *)data)[i] = half_to_float(halves[i]);
        }
        status = test_run_put(run, 0, t->inputs[k], is_half ? (void *)halves : data);
        if (status == HE_OK)
            status = test_run_put(reference, 0, t->inputs[k], data);
        free(data);
        free(halves);
    }
    return status;
}

static bool halves_agree(const uint16_t *got, const float *want, int64_t count, char *why,
                         size_t size)
{
    float top = 0;

    for (int64_t k = 0; k < count; k++)
        if (isfinite(want[k]) && fabsf(want[k]) > top)
            top = fabsf(want[k]);
    for (int64_t k = 0; k < count; k++) {
        float number = half_to_float(got[k]);

        if (number == want[k] || (isnan(number) && isnan(want[k])) ||
            fabsf(number - want[k]) <= TOP_TOLERANCE * top + TOLERANCE * fabsf(want[k]))
            continue;
        snprintf(why, size, "element %lld is %.9g, expected %.9g", (long long)k, (double)number,
                 (double)want[k]);
        return false;
    }
    return true;
}

static he_status compare(const struct test_graph *t, const struct test_graph *twin,
                         struct test_run *run, struct test_run *reference)
{
    for (uint32_t k = 0; k < t->graph->output_count; k++) {
        uint32_t output = t->graph->outputs[k];
        const struct he_value *wide = &t->graph->values[output];
        const struct he_value *value = &twin->graph->values[output];
        size_t bytes = (size_t)he_shape_bytes(&wide->shape, wide->dtype);
        void *got = need(bytes), *want = need(bytes);
        he_status status = test_run_get(run, 0, output, got);
        char why[200] = "contents differ";
        bool is_same = true;

        if (status == HE_OK)
            status = test_run_get(reference, 0, output, want);
        if (status == HE_OK && value->dtype == HE_FLOAT16)
            is_same = halves_agree(got, want, he_shape_count(&value->shape), why, sizeof why);
        else if (status == HE_OK)
            is_same = memcmp(got, want, bytes) == 0;
        if (!is_same)
            status = he_error_set(HE_ERR_INTERNAL, "output %u (%s, %s): %s", k,
                                  twin->graph->nodes[value->producer].op,
                                  he_dtype_name(value->dtype), why);
        free(got);
        free(want);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

he_status test_half_case(struct he_device *dev, struct he_device *reference_dev,
                         const struct test_case *test, uint64_t seed)
{
    struct test_run run = { 0 }, reference = { 0 };
    struct test_graph t, twin;
    he_status status;

    test_graph_init(&t, test, seed);
    test_graph_init(&twin, test, seed);
    round_constants(&t, true);
    narrow(&twin);
    status = test_run_open(&run, dev, twin.graph);
    if (status == HE_OK)
        status = test_run_open(&reference, reference_dev, t.graph);
    if (status == HE_OK)
        status = put_inputs(&t, &twin, &run, &reference);
    if (status == HE_OK)
        status = test_run_launch(&run, 0, NULL);
    if (status == HE_OK)
        status = test_run_launch(&reference, 0, NULL);
    if (status == HE_OK)
        status = compare(&t, &twin, &run, &reference);
    if (run.dev)
        test_run_close(&run);
    if (reference.dev)
        test_run_close(&reference);
    test_graph_fini(&t);
    test_graph_fini(&twin);
    return status;
}
