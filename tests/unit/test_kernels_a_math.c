/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fastmath.h and half.h: float functions against libm in double, in units of the last place, over
 * random bit patterns (so all magnitudes) and over the usual range; conversions of half types
 * exhaustively or against neighbouring values.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "core/size.h"
#include "fastmath.h"
#include "kernel.h"

#define SAMPLES 200000

static uint32_t seed;

static uint32_t rnd(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed ^ seed >> 15;
}

/* The distance between neighbours around @x, not below the least normal one's. */
static double spacing(double x)
{
    double a = fabs(x);

    if (a < 0x1p-126)
        a = 0x1p-126;
    if (a > 0x1p127)
        a = 0x1p127;
    return ldexp(1.0, ilogb(a) - 23);
}

static double exact_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double exact_softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static double exact_mish(double x)
{
    return x * tanh(exact_softplus(x));
}

#define WRAP(name)                     \
    static float call_##name(float x)  \
    {                                  \
        return fm_##name(x);           \
    }
WRAP(exp)
WRAP(log)
WRAP(tanh)
WRAP(sigmoid)
WRAP(erf)
WRAP(softplus)
WRAP(mish)
WRAP(sin)
WRAP(cos)
WRAP(tan)
WRAP(expm1_negative)

static const struct {
    const char *name;
    float (*fast)(float);
    double (*exact)(double);
    float low, high; /* where it promises anything */
    double ulps;
    double absolute; /* what may be missing besides, where results are subnormal */
} functions[] = {
    {"exp", call_exp, exp, -INFINITY, INFINITY, 2, 0},
    {"log", call_log, log, -INFINITY, INFINITY, 2, 0},
    {"tanh", call_tanh, tanh, -INFINITY, INFINITY, 2.5, 0},
    {"sigmoid", call_sigmoid, exact_sigmoid, -INFINITY, INFINITY, 3, 0x1p-126},
    {"erf", call_erf, erf, -INFINITY, INFINITY, 2, 0},
    {"softplus", call_softplus, exact_softplus, -INFINITY, INFINITY, 3, 0},
    {"mish", call_mish, exact_mish, -80, INFINITY, 6, 0},
    {"sin", call_sin, sin, -FM_TRIG_MAX, FM_TRIG_MAX, 2, 0},
    {"cos", call_cos, cos, -FM_TRIG_MAX, FM_TRIG_MAX, 2, 0},
    {"tan", call_tan, tan, -FM_TRIG_MAX, FM_TRIG_MAX, 3.5, 0},
    {"expm1 of negative numbers", call_expm1_negative, expm1, -INFINITY, 0, 2.5, 0},
};

static void check_point(int f, float x)
{
    double wanted = functions[f].exact((double)x);
    float nearest = (float)wanted, got = functions[f].fast(x);
    double error;

    if (!(x >= functions[f].low && x <= functions[f].high))
        return;
    /* Assertions write to a file: one is only made to report. */
    if (nearest != nearest || isinf(nearest)) {
        /* Just past the largest float either neighbour will do. */
        if (nearest != nearest ? got == got
                               : !(copysignf(1.0f, nearest) * got >= 0x1.fffffcp127f))
            ck_abort_msg("%s(%.9g) is %.9g, not %.9g", functions[f].name, (double)x, (double)got,
                         (double)nearest);
        return;
    }
    error = fabs((double)got - wanted);
    if (!(error <= functions[f].ulps * spacing(wanted) + functions[f].absolute))
        ck_abort_msg("%s(%.9g) is %.9g, not %.9g: %.2f units off", functions[f].name, (double)x,
                     (double)got, wanted, error / spacing(wanted));
}

START_TEST(functions_stay_within_their_last_places)
{
    static const float special[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, 88.7f, 89.0f, -87.4f, -103.5f,
                                    -104.5f, 1e-40f, -1e-40f, 3.4e38f, -3.4e38f, INFINITY,
                                    -INFINITY, 0.345f, -0.345f, 0.55f, 0.93f, 4.0f};
    size_t k;
    int n;

    seed = 12345;
    for (k = 0; k < HE_COUNT(special); k++)
        check_point(_i, special[k]);
    for (n = 0; n < SAMPLES; n++) {
        float any = cpu_bits_float(rnd());

        if (any == any)
            check_point(_i, any);
        check_point(_i, ((float)(rnd() >> 8) / 8388608.0f - 1.0f) * (n & 1 ? 20.0f : 2.0f));
    }
}
END_TEST

START_TEST(not_a_number_stays_that)
{
    float got = functions[_i].fast(NAN);

    ck_assert_msg(got != got, "%s(NaN) is %g", functions[_i].name, (double)got);
}
END_TEST

START_TEST(powers_of_normal_numbers_are_nearly_exact)
{
    double wanted, error;
    float x, y, got;
    int n;

    seed = 99;
    for (n = 0; n < SAMPLES; n++) {
        x = cpu_bits_float(0x00800000u + rnd() % 0x7f000000u);
        y = ((float)(rnd() >> 8) / 8388608.0f - 1.0f) * (n & 1 ? 4.0f : 60.0f);
        got = fm_pow_normal(x, y);
        wanted = pow((double)x, (double)y);
        error = wanted > 0x1.fffffep127 ? (got >= 0x1.fffffcp127f ? 0 : INFINITY)
                                        : fabs((double)got - wanted);
        if (!(error <= 1.01 * spacing(wanted)))
            ck_abort_msg("%.9g ^ %.9g is %.9g, not %.9g", (double)x, (double)y, (double)got,
                         wanted);
    }
}
END_TEST

/* --- Half types --- */

START_TEST(every_float16_survives_float_and_back)
{
    uint32_t h;
    bool is_right;
    float x;

    for (h = 0; h < 65536; h++) {
        x = cpu_half_to_float((uint16_t)h);
        if ((h & 0x7fff) > 0x7c00)
            is_right = x != x && (cpu_float_to_half(x) & 0x7fff) > 0x7c00;
        else
            is_right = cpu_float_to_half(x) == h && cpu_double_to_half((double)x) == h &&
                       h >> 15 == cpu_float_bits(x) >> 31;
        if (!is_right)
            ck_abort_msg("float16 %04x becomes %g", h, (double)x);
    }
    ck_assert(cpu_half_to_float(0x3c00) == 1.0f);
    ck_assert(cpu_half_to_float(0x7bff) == 65504.0f);
    ck_assert(cpu_half_to_float(0x0001) == 0x1p-24f);
    ck_assert(cpu_half_to_float(0xfc00) == -INFINITY);
}
END_TEST

/* Half way between neighbours goes to the even one; a hair off half way to the nearer. */
START_TEST(rounding_to_float16_is_to_nearest_even)
{
    uint32_t h;
    double low, high, middle;

    for (h = 0; h < 0x7bff; h++) {
        low = (double)cpu_half_to_float((uint16_t)h);
        high = (double)cpu_half_to_float((uint16_t)(h + 1));
        middle = (low + high) / 2;
        if (cpu_float_to_half((float)middle) != h + (h & 1) ||
            cpu_double_to_half(middle) != h + (h & 1) ||
            cpu_double_to_half(middle - (high - low) * 1e-9) != h ||
            cpu_double_to_half(middle + (high - low) * 1e-9) != h + 1)
            ck_abort_msg("wrong between float16 %04x and its neighbour", h);
    }
    ck_assert_uint_eq(cpu_float_to_half(65519.0f), 0x7bff);
    ck_assert_uint_eq(cpu_float_to_half(65520.0f), 0x7c00);
    ck_assert_uint_eq(cpu_float_to_half(1e30f), 0x7c00);
    ck_assert_uint_eq(cpu_double_to_half(-1e300), 0xfc00);
}
END_TEST

START_TEST(rounding_to_bfloat16_is_to_nearest_even)
{
    static const struct {
        uint32_t bits;
        uint16_t wanted;
    } cases[] = {
        {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82}, {0x3f808001, 0x3f81},
        {0x3f807fff, 0x3f80}, {0x7f7fffff, 0x7f80}, {0xff800000, 0xff80}, {0x80000000, 0x8000},
        {0x00008001, 0x0001},
    };
    size_t k;

    for (k = 0; k < HE_COUNT(cases); k++)
        ck_assert_uint_eq(cpu_float_to_bfloat(cpu_bits_float(cases[k].bits)), cases[k].wanted);
    ck_assert_uint_gt(cpu_float_to_bfloat(cpu_bits_float(0x7f800001)) & 0x7fff, 0x7f80);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu mathematics");
    TCase *tc = tcase_create("functions");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, functions_stay_within_their_last_places, 0, HE_COUNT(functions));
    tcase_add_loop_test(tc, not_a_number_stays_that, 0, HE_COUNT(functions));
    tcase_add_test(tc, powers_of_normal_numbers_are_nearly_exact);
    tcase_add_test(tc, every_float16_survives_float_and_back);
    tcase_add_test(tc, rounding_to_float16_is_to_nearest_even);
    tcase_add_test(tc, rounding_to_bfloat16_is_to_nearest_even);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
