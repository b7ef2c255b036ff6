/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing between a task's ways: scores, measurements, the bandit, learnt weights; and a model
 * that gives the same result in every way its device knows. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cost/choice.h"
#include "engine/engine.h"
#include "exec/exec.h"
#include "plan/plan.h"

#define ENOUGH HE_COST_MIN_SAMPLES

static struct he_cost_store *store;
static struct he_cost_device device;

static void make_store(void)
{
    ck_assert_int_eq(he_cost_store_open("", &he_allocator_default, &store), HE_OK);
    device = (struct he_cost_device){ .store = store, .fingerprint = "dev" };
}

static void drop_store(void)
{
    he_cost_store_close(store);
}

static struct he_variant way(const char *name, double density, double locality, double sync)
{
    return (struct he_variant){ .struct_size = sizeof(struct he_variant), .name = name,
                                .algorithm = name, .layout = "plain", .dtype = "float32",
                                .density = density, .locality = locality, .sync = sync };
}

static struct he_cost_ways some_ways(uint64_t signature)
{
    return (struct he_cost_ways){ .list = { way("auto", 1, 1, 0.1), way("fast", 1.05, 0.9, 0.1),
                                            way("slow", 0.6, 1, 0.1), way("hopeless", 0.1, 1, 0.1) },
                                  .count = 4, .signature = signature };
}

/* Samples of "auto" and, when @ratio is above 0, of another way around that ratio. */
static void note(uint64_t signature, double rule, const char *name, double ratio, double noise)
{
    for (int k = 0; k < 12; k++) {
        ck_assert_int_eq(he_cost_store_add(store, "dev", signature, HE_WORK_CONV, 1e-3, rule),
                         HE_OK);
        if (ratio > 0)
            ck_assert_int_eq(he_cost_way_note(store, "dev", signature, name,
                                              rule * (ratio + noise * ((k % 5) - 2) / 2), rule),
                             HE_OK);
    }
}

static const char *chosen(const struct he_cost_ways *ways, enum he_cost_why *why)
{
    return ways->list[he_cost_choose(&device, ways, why)].name;
}

START_TEST(before_anything_is_measured_the_score_decides)
{
    struct he_cost_ways ways = some_ways(1), none = { .count = 0 };
    enum he_cost_why why;

    ck_assert_str_eq(chosen(&ways, &why), "auto");
    ck_assert_int_eq(why, HE_WHY_SCORE);
    ways.list[2].density = 2; /* far above */
    ck_assert_str_eq(chosen(&ways, &why), "slow");
    ways.list[2].sync = 1;
    ways.list[2].locality = 0.1;
    ways.list[2].density = 1.4; /* what it computes it loses at barriers and in memory */
    ck_assert_str_eq(chosen(&ways, &why), "auto");
    ck_assert_uint_eq(he_cost_choose(&device, &none, &why), 0);
    ck_assert_int_eq(why, HE_WHY_ONLY);
}
END_TEST

START_TEST(measurements_decide_over_scores)
{
    static const struct {
        double ratio, noise;
        const char *expect;
    } cases[] = {
        { 0.80, 0.02, "slow" }, { 0.97, 0.01, "auto" }, { 1.30, 0.01, "auto" },
        { 0.90, 0.60, "auto" }, /* as likely slower as faster */
        { 0.50, 0.10, "slow" },
    };

    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct he_cost_ways ways = some_ways(100 + k);
        struct he_cost_figure figure;
        enum he_cost_why why;

        note(100 + k, 2e-3, "slow", cases[k].ratio, cases[k].noise);
        ck_assert_str_eq(chosen(&ways, &why), cases[k].expect);
        ck_assert_int_eq(why, HE_WHY_MEASURED);
        ck_assert(he_cost_way_figure(&device, &ways, 2, &figure));
        ck_assert_double_eq_tol(figure.value, 2e-3 * cases[k].ratio, 2e-3 * cases[k].noise);
        ck_assert(!he_cost_way_figure(&device, &ways, 1, &figure));
    }
}
END_TEST

START_TEST(exploring_tries_what_is_worth_it_and_then_plays_the_best)
{
    struct he_cost_ways ways = some_ways(7);
    double ratios[] = { 1, 0.7, 1.6, 10 };
    uint32_t plays[4] = { 0 };

    for (int round = 0; round < 300; round++) {
        size_t k = he_cost_explore(&device, &ways);

        plays[k]++;
        ck_assert_msg(round != 0 || k == 0, "the device's own way comes first");
        note(7, 1e-3, ways.list[k].name, k ? ratios[k] : 0, 0.01);
    }
    ck_assert_uint_eq(plays[3], 0);
    ck_assert_uint_gt(plays[2], 0);
    ck_assert_uint_gt(plays[1], plays[2]);
    ck_assert_uint_gt(plays[1], plays[0]);
    /* Of a task that takes no time anything may be the quickest. */
    ways.signature = 8;
    memset(plays, 0, sizeof plays);
    for (int round = 0; round < 12; round++) {
        size_t k = he_cost_explore(&device, &ways);

        plays[k]++;
        note(8, 1e-6, ways.list[k].name, k ? ratios[k] : 0, 0.01);
    }
    ck_assert_uint_gt(plays[3], 0);
}
END_TEST

static double unit(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

START_TEST(weights_follow_what_was_measured)
{
    const struct he_cost_weights truth = { 0.5, 2, 1 };
    struct he_cost_weights learnt;
    uint64_t state = 5;

    for (uint64_t task = 0; task < 200; task++) {
        struct he_cost_ways ways = { .count = 4, .signature = 1000 + task };

        ways.list[0] = way("auto", unit(&state), unit(&state), unit(&state));
        for (size_t k = 1; k < 4; k++) {
            static const char *const names[] = { "", "a", "b", "c" };

            ways.list[k] = way(names[k], unit(&state), unit(&state), unit(&state));
            note(ways.signature, 1e-3, names[k],
                 exp(he_cost_score(&truth, &ways.list[0]) - he_cost_score(&truth, &ways.list[k])), 0);
        }
        ck_assert_int_eq(he_cost_weights_learn(store, &device, &ways), HE_OK);
    }
    learnt = he_cost_weights_read(&device);
    ck_assert_double_eq_tol(learnt.alpha, truth.alpha, 0.1);
    ck_assert_double_eq_tol(learnt.beta, truth.beta, 0.2);
    ck_assert_double_eq_tol(learnt.gamma, truth.gamma, 0.15);
    device.fingerprint = "another";
    ck_assert_double_eq(he_cost_weights_read(&device).alpha, 1);
}
END_TEST

/* --- On a model --- */

#define DIGITS HE_SRCDIR "/examples/digits/digits.onnx"

static void must(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s", he_error_message());
}

static void run_digits(struct he_engine *engine, struct he_plan *plan, float *out, size_t count)
{
    const struct he_value *in = &plan->graph->values[plan->graph->inputs[0]];
    struct he_session *session;
    struct he_output output = { 0 };
    DLTensor tensor = { .device = { kDLCPU, 0 }, .ndim = (int32_t)in->shape.rank,
                        .dtype = { kDLFloat, 32, 1 }, .shape = (int64_t *)in->shape.dims };
    const DLTensor *inputs[] = { &tensor };
    static _Alignas(64) float image[64 * 64];

    for (size_t k = 0; k < sizeof image / sizeof image[0]; k++)
        image[k] = (float)(k * 37 % 17);
    ck_assert_int_le(he_shape_count(&in->shape), 64 * 64);
    tensor.data = image;
    must(he_session_create(engine, plan, NULL, &session));
    must(he_session_run(session, inputs, 1, &output, 1));
    memcpy(out, output.given->dl_tensor.data, count * sizeof *out);
    output.given->deleter(output.given);
    he_session_destroy(session);
}

START_TEST(a_model_gives_the_same_in_every_way)
{
    static const char *const ways[] = { "auto", "last", "plain", "blocked", "winograd", "gemm",
                                        "builtin", "packed", "inner", "inner-plain", "nonsense" };
    struct he_engine_options options = { .struct_size = sizeof options,
                                         .devices = "CPU:0(threads=1)", .cost_store = "" };
    struct he_analyze_options analyze = { .struct_size = sizeof analyze };
    struct he_engine *engine;
    struct he_model *model;
    struct he_plan *plan;
    float expected[64], got[64];
    int64_t count;
    uint32_t choices = 0;

    must(he_engine_create(&options, &engine));
    must(he_model_load(DIGITS, NULL, &model));
    must(he_engine_analyze(engine, model, &analyze, &plan));
    count = he_shape_count(&plan->graph->values[plan->graph->outputs[0]].shape);
    ck_assert(count > 0 && count <= 64);
    for (uint32_t t = 0; t < plan->graph->task_count; t++)
        choices += plan->costs[t].way_why != HE_WHY_ONLY;
    run_digits(engine, plan, expected, (size_t)count);
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        for (uint32_t t = 0; t < plan->graph->task_count; t++)
            plan->costs[t].way = ways[w];
        run_digits(engine, plan, got, (size_t)count);
        for (int64_t k = 0; k < count; k++)
            ck_assert_msg(fabsf(got[k] - expected[k]) <= 1e-4f * (1 + fabsf(expected[k])),
                          "%s: output %d is %g, not %g", ways[w], (int)k, (double)got[k],
                          (double)expected[k]);
    }
    /* Convolutions and products, wherever oneDNN is. */
    if (strstr(he_engine_machine(engine)->devices[0].driver, "oneDNN"))
        ck_assert_uint_gt(choices, 1);
    he_plan_destroy(plan);
    he_model_destroy(model);
    he_engine_destroy(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("choice");
    TCase *tcase = tcase_create("choice");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, make_store, drop_store);
    tcase_add_test(tcase, before_anything_is_measured_the_score_decides);
    tcase_add_test(tcase, measurements_decide_over_scores);
    tcase_add_test(tcase, exploring_tries_what_is_worth_it_and_then_plays_the_best);
    tcase_add_test(tcase, weights_follow_what_was_measured);
    tcase_add_test(tcase, a_model_gives_the_same_in_every_way);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
