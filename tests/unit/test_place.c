/* SPDX-License-Identifier: Apache-2.0 */
/* The evaluator, the guard and he_place(): tables, properties on random graphs, budgets. */
#include "place_support.h"

#define TWO "dev cpu; dev gpu; link cpu gpu 100 0.5; link gpu cpu 100 0.5; "

/* --- The evaluator: exact schedules --- */

static const struct {
    const char *what, *problem;
    uint32_t device[4], order[4];
    double makespan, sum_cost, bottleneck;
} schedules[] = {
    { "tasks on one device run one after the other", TWO "task a cpu=1; task b cpu=2; edge a b 100",
      { 0, 0 }, { 0, 1 }, 3, 3, 3 },
    { "two devices run side by side", TWO "task a cpu=1; task b gpu=2", { 0, 1 }, { 0, 1 }, 2, 3, 2 },
    { "a value goes over the link: latency and bytes", TWO "task a cpu=1; task b gpu=2; edge a b 100",
      { 0, 1 }, { 0, 1 }, 1 + 1.5 + 2, 4.5, 2 },
    { "no link given is free", "dev a; dev b; task x a=1; task y b=1; edge x y 1e9", { 0, 1 },
      { 0, 1 }, 2, 2, 1 },
    { "one memory is free, whatever the link",
      "dev a node=3; dev b node=3; link a b 1 1; task x a=1; task y b=1; edge x y 1e9", { 0, 1 },
      { 0, 1 }, 2, 2, 1 },
    { "one server: no gain from its second device",
      "dev a server=7; dev b server=7; task x a=1; task y b=1", { 0, 1 }, { 0, 1 }, 2, 2, 2 },
    { "a link carries one transfer at a time",
      TWO "task a cpu=1; task b gpu=1; task c gpu=1; edge a b 100; edge a c 100", { 0, 1, 1 },
      { 0, 1, 2 }, 1 + 1.5 + 1.5 + 1, 6, 3 },
    { "unless contention is off: transfers overlap",
      TWO "contention no; task a cpu=1; task b gpu=1; task c gpu=1; edge a b 100; edge a c 100",
      { 0, 1, 1 }, { 0, 1, 2 }, 1 + 1.5 + 1 + 1, 6, 2 },
    { "one tensor with two readers goes over once",
      TWO "task a cpu=1; task b gpu=1; task c gpu=1; edge a b 100 t=1; edge a c 100 t=1",
      { 0, 1, 1 }, { 0, 1, 2 }, 1 + 1.5 + 1 + 1, 4.5, 2 },
    { "a later task's transfer takes the gap before an earlier one's",
      TWO "task a cpu=1; task s cpu=4; task b gpu=1; task c gpu=1; edge s b 100; edge a c 100",
      { 0, 0, 1, 1 }, { 0, 1, 3, 2 }, 5 + 1.5 + 1, 10, 5 },
    { "each device follows the order", TWO "task a cpu=1; task b cpu=2; task c gpu=1; edge b c 100",
      { 0, 0, 1 }, { 1, 2, 0 }, 2 + 1.5 + 1, 5.5, 3 },
    { "a launch where a region starts: no input, or one from elsewhere",
      "dev a launch=1; dev b launch=10; task x a=1; task y a=1; task z b=1; edge x y 1; edge y z 1",
      { 0, 0, 1 }, { 0, 1, 2 }, 1 + 1 + 1 + 1 + 10, 14, 11 },
};

START_TEST(schedule_is_the_one_worked_out_by_hand)
{
    struct he_problem *p = place_parse(schedules[_i].problem);
    struct he_placement answer = { (uint32_t *)schedules[_i].device,
                                   (uint32_t *)schedules[_i].order, "test" };
    struct he_schedule s;

    ck_assert_msg(he_place_evaluate(p, &answer, &p->arena, &s) == HE_OK, "%s", he_error_message());
    place_check(p, &answer, &s);
    ck_assert_msg(place_near(s.makespan, schedules[_i].makespan) &&
                      place_near(s.sum_cost, schedules[_i].sum_cost) &&
                      place_near(s.bottleneck, schedules[_i].bottleneck),
                  "%s: makespan %g, sum %g, bottleneck %g", schedules[_i].what, s.makespan,
                  s.sum_cost, s.bottleneck);
    he_problem_destroy(p);
}
END_TEST

static const struct {
    const char *what, *problem;
    uint32_t device[3], order[3];
    he_status status;
    const char *says;
} refusals[] = {
    { "a task that cannot run there", TWO "task a cpu=1", { 1 }, { 0 }, HE_ERR_BUDGET,
      "task a cannot run on device gpu" },
    { "weights beyond the memory", "dev cpu mem=10; task a cpu=1 mem=8; task b cpu=1 mem=7", { 0, 0 },
      { 0, 1 }, HE_ERR_BUDGET,
      "device cpu needs 15 bytes and has 10: 15 would do (the largest task there is a)" },
    { "live tensors beyond the memory", "dev cpu mem=10; task a cpu=1 mem=8; task b cpu=1; edge a b 5",
      { 0, 0 }, { 0, 1 }, HE_ERR_BUDGET, "device cpu needs 13 bytes and has 10: 13 would do" },
    { "two devices of one memory",
      "dev a mem=10 node=1; dev b mem=10 node=1; task x a=1 mem=6; task y b=1 mem=6", { 0, 1 },
      { 0, 1 }, HE_ERR_BUDGET, "and those that share its memory needs 12 bytes and has 10" },
    { "the budget of memory",
      "dev a; dev b; limit memory 11; task x a=1 mem=6; task y b=1 mem=6", { 0, 1 }, { 0, 1 },
      HE_ERR_BUDGET, "the plan needs 12 bytes and the budget is memory=11: 12 would do" },
    { "the budget of power", "dev a busy=5; dev b busy=6; limit power 10; task x a=1; task y b=1",
      { 0, 1 }, { 0, 1 }, HE_ERR_BUDGET, "needs 11 W and the budget is power=10W" },
    { "the price", "dev a price=1; dev b price=2.5; limit price 3; task x a=1; task y b=1", { 0, 1 },
      { 0, 1 }, HE_ERR_BUDGET, "costs 3.5/h and the budget is price=3/h" },
    { "a resource", "dev a; resource lut 15 a; task x a=1; task y a=1; use lut x 10; use lut y 10",
      { 0, 0 }, { 0, 1 }, HE_ERR_BUDGET, "needs 20 lut and the budget is lut=15: 20 would do" },
    { "a divided group", "dev a; dev b; task x a=1 b=1; task y a=1 b=1; group x y", { 0, 1 },
      { 0, 1 }, HE_ERR_BUDGET, "task y is on device b, apart from the tasks it must stay with" },
    { "an order that is not topological", "dev a; task x a=1; task y a=1; edge x y 1", { 0, 0 },
      { 1, 0 }, HE_ERR_INVALID, "runs task y before its input x" },
    { "an order with a task twice", "dev a; task x a=1; task y a=1", { 0, 0 }, { 1, 1 },
      HE_ERR_INVALID, "order is not one of all tasks" },
    { "a device that is not there", "dev a; task x a=1", { 7 }, { 0 }, HE_ERR_INVALID,
      "device number 7 of 1" },
};

/* --- Company: devices that disturb each other --- */

/* Two devices of one chip: beside the other, computing takes half as long again, moving memory
 * twice as long. Task k moves memory for shares[k] of its time. */
static struct he_problem *in_company(const char *text, const double *shares, double gather)
{
    struct he_problem *p = place_parse(text);
    struct he_place_company *company = he_arena_alloc(&p->arena, 1, sizeof *company);
    size_t pairs = (size_t)p->device_count * p->device_count;

    ck_assert_uint_eq(p->device_count, 2);
    company->slowdown_compute = he_arena_alloc(&p->arena, pairs, sizeof(double));
    company->slowdown_memory = he_arena_alloc(&p->arena, pairs, sizeof(double));
    company->memory_share = he_arena_alloc(&p->arena, p->task_count, 2 * sizeof(double));
    for (uint32_t t = 0; t < 2 * p->task_count; t++)
        company->memory_share[t] = shares[t / 2];
    for (size_t k = 0; k < pairs; k++) {
        company->slowdown_compute[k] = k % 3 == 0 ? 1 : 1.5;
        company->slowdown_memory[k] = k % 3 == 0 ? 1 : 2;
    }
    company->gather_seconds = gather;
    p->company = company;
    return p;
}

static double makespan_of(const struct he_problem *p, const uint32_t *device, struct he_schedule *s)
{
    uint32_t order[] = { 0, 1, 2, 3 };
    struct he_placement answer = { (uint32_t *)device, order, "test" };

    ck_assert_msg(he_place_evaluate(p, &answer, (struct he_arena *)&p->arena, s) == HE_OK, "%s",
                  he_error_message());
    return s->makespan;
}

START_TEST(tasks_side_by_side_take_longer)
{
    static const char two[] = "dev a; dev b; task x a=4 b=4; task y a=4 b=4";
    static const double computes[] = { 0, 0 }, moves[] = { 1, 1 }, half[] = { 0.5, 0.5 };
    static const uint32_t apart[] = { 0, 1 }, together[] = { 0, 0 };
    struct he_problem *p = in_company(two, computes, 0);
    struct he_schedule s;

    ck_assert_double_eq_tol(makespan_of(p, apart, &s), 6, 1e-9);
    ck_assert_double_eq_tol(makespan_of(p, together, &s), 8, 1e-9);
    he_problem_destroy(p);
    p = in_company(two, moves, 0);
    ck_assert_double_eq_tol(makespan_of(p, apart, &s), 8, 1e-9);
    he_problem_destroy(p);
    p = in_company(two, half, 3);
    ck_assert_double_eq_tol(makespan_of(p, apart, &s), 4 * 1.75 + 3, 1e-9);
    ck_assert_double_eq_tol(s.start[0], 3, 1e-9);
    ck_assert_double_eq_tol(makespan_of(p, together, &s), 8, 1e-9);
    he_problem_destroy(p);
}
END_TEST

START_TEST(a_task_is_slowed_while_it_has_company_and_no_longer)
{
    /* x is alone until y starts behind u; z shares nothing with anyone. */
    static const double computes[] = { 0, 0, 0, 0 };
    static const uint32_t device[] = { 0, 0, 1, 1 };
    struct he_problem *p =
        in_company("dev a; dev b; task u a=2 b=2; task x a=4 b=4; task y a=2 b=2; task z a=9 b=9;"
                   "edge u y 1; edge x z 1; edge y z 1", computes, 0);
    struct he_schedule s;

    /* y shares all its 2 s with x: 3 s; x shares about so much: 4 + 1.5 at most. */
    makespan_of(p, device, &s);
    ck_assert_double_eq_tol(s.finish[0], 2, 1e-9);
    ck_assert_double_eq_tol(s.finish[2] - s.start[2], 3, 1e-9);
    ck_assert(s.finish[1] - s.start[1] > 4.9 && s.finish[1] - s.start[1] < 5.6);
    ck_assert_double_eq_tol(s.finish[3] - s.start[3], 9, 1e-9);
    he_problem_destroy(p);
}
END_TEST

/* Bytes at 2 s each from a to b, at 1 s back; b's task reads only 3 of a large tensor. */
START_TEST(what_lies_in_the_other_cores_caches_is_fetched)
{
    static const double computes[] = { 0, 0, 0 };
    static const uint32_t there_and_back[] = { 0, 1, 0 }, together[] = { 0, 0, 0 };
    double fetch[] = { 0, 2, 1, 0 }, read[] = { 3, 5 };
    struct he_problem *p =
        in_company("dev a node=1; dev b node=1; task x a=4 b=4; task y a=4 b=4; task z a=4 b=4;"
                   "edge x y 100; edge y z 5", computes, 0);
    struct he_schedule s;

    for (int pair = 0; pair < 4; pair++)
        p->company->slowdown_compute[pair] = p->company->slowdown_memory[pair] = 1;
    p->company->fetch_seconds = fetch;
    ck_assert_double_eq_tol(makespan_of(p, there_and_back, &s), 12 + 100 * 2 + 5, 1e-9);
    ck_assert_double_eq_tol(s.bottleneck, 4 + 200, 1e-9);
    p->company->fetched_bytes = read;
    ck_assert_double_eq_tol(makespan_of(p, there_and_back, &s), 12 + 3 * 2 + 5, 1e-9);
    ck_assert_double_eq_tol(s.finish[1] - s.start[1], 4 + 3 * 2, 1e-9);
    ck_assert_double_eq_tol(makespan_of(p, together, &s), 12, 1e-9);
    /* Beside somebody who is busy, fetching is slower as well: y alone has none. */
    p->company->slowdown_compute[2] = 1.5;
    ck_assert_double_eq_tol(makespan_of(p, there_and_back, &s), 12 + 3 * 2 + 5, 1e-9);
    he_problem_destroy(p);
}
END_TEST

START_TEST(devices_that_disturb_each_other_too_much_are_not_used_together)
{
    static const double moves[] = { 1, 1 }, computes[] = { 0, 0 };
    static const char two[] = "dev a; dev b; task x a=4 b=4; task y a=4 b=4";
    struct he_problem *p = in_company(two, moves, 0.1);
    struct he_placement answer;
    struct he_schedule s;

    ck_assert_int_eq(he_place(p, "latency_aware", NULL, &p->arena, &answer, &s), HE_OK);
    ck_assert_uint_eq(answer.device[0], answer.device[1]);
    ck_assert_double_eq_tol(s.makespan, 8, 1e-9);
    he_problem_destroy(p);
    p = in_company(two, computes, 0.1);
    ck_assert_int_eq(he_place(p, "latency_aware", NULL, &p->arena, &answer, &s), HE_OK);
    ck_assert_uint_ne(answer.device[0], answer.device[1]);
    ck_assert_double_eq_tol(s.makespan, 6.1, 1e-9);
    he_problem_destroy(p);
}
END_TEST

START_TEST(a_gain_that_is_too_small_to_believe_is_left)
{
    static const char two[] = "dev a %s; dev b %s; task x a=4 b=4; task y a=4 b=4";
    static const struct {
        const char *node_a, *node_b;
        double caution, side_by_side;
        bool is_split;
    } cases[] = {
        { "", "", 0.05, 0.5, true },         /* 8 against 4, from memories of their own */
        { "", "", 1.2, 0.5, false },
        { "node=1", "node=1", 0.05, 0.5, true },
        { "node=1", "node=1", 0.05, 1.2, false },
        { "node=1", "node=1", 1.2, 0.5, true }, /* one memory has a caution of its own */
    };

    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        static const double computes[] = { 0, 0 };
        struct he_placement answer;
        struct he_schedule s;
        struct he_problem *p;
        char text[200];

        snprintf(text, sizeof text, two, cases[k].node_a, cases[k].node_b);
        p = in_company(text, computes, 0);
        for (int pair = 0; pair < 4; pair++)
            p->company->slowdown_compute[pair] = p->company->slowdown_memory[pair] = 1;
        p->company->caution = cases[k].caution;
        p->company->caution_side_by_side = cases[k].side_by_side;
        ck_assert_int_eq(he_place(p, "latency_aware", NULL, &p->arena, &answer, &s), HE_OK);
        ck_assert_msg((answer.device[0] != answer.device[1]) == cases[k].is_split, "case %zu", k);
        he_problem_destroy(p);
    }
}
END_TEST

START_TEST(a_task_with_no_inputs_is_woken_by_nobody)
{
    struct he_problem *p = place_parse("dev a launch=3; dev b launch=3; task x a=1 b=1;"
                                       "task y a=1 b=1; edge x y 1");
    static const uint32_t apart[] = { 0, 1 };
    double waking[] = { 2, 2 };
    struct he_schedule s;

    p->waking = waking;
    ck_assert_double_eq_tol(makespan_of(p, apart, &s), 1 + 1 + 3 + 1, 1e-9);
    he_problem_destroy(p);
}
END_TEST

START_TEST(placement_that_does_not_fit_is_refused_with_the_reason)
{
    struct he_problem *p = place_parse(refusals[_i].problem);
    struct he_placement answer = { (uint32_t *)refusals[_i].device,
                                   (uint32_t *)refusals[_i].order, "test" };
    struct he_schedule s;

    ck_assert_int_eq(he_place_evaluate(p, &answer, &p->arena, &s), refusals[_i].status);
    ck_assert_msg(strstr(he_error_message(), refusals[_i].says) != NULL, "%s: \"%s\"",
                  refusals[_i].what, he_error_message());
    he_problem_destroy(p);
}
END_TEST

START_TEST(tensors_may_be_left_out_of_the_memory)
{
    struct he_problem *p =
        place_parse("dev cpu mem=10; task a cpu=1 mem=8; task b cpu=1; edge a b 5");
    struct he_placement answer = { (uint32_t[]){ 0, 0 }, (uint32_t[]){ 0, 1 }, "test" };
    struct he_schedule s;

    p->ignores_tensors = true;
    ck_assert_int_eq(he_place_evaluate(p, &answer, &p->arena, &s), HE_OK);
    ck_assert(s.peak_bytes[0] == 8.0);
    he_problem_destroy(p);
}
END_TEST

START_TEST(energy_counts_idle_watts_of_all_and_busy_watts_where_it_runs)
{
    struct he_problem *p = place_parse("dev a idle=2 busy=10; dev b idle=3 busy=50; task x a=4");
    struct he_placement answer = { (uint32_t[]){ 0 }, (uint32_t[]){ 0 }, "test" };
    struct he_schedule s;

    ck_assert_int_eq(he_place_evaluate(p, &answer, &p->arena, &s), HE_OK);
    ck_assert(place_near(s.energy, 4 * 10 + 4 * 3));
    he_problem_destroy(p);
}
END_TEST

/* --- The problem itself --- */

static const struct {
    const char *what, *problem, *says;
} broken[] = {
    { "an edge backwards", "dev a; task x a=1; task y a=1; edge y x 1", "not in topological order" },
    { "negative time", "dev a; task x a=-1", "time on a must be 0 or more" },
    { "time that is no number", "dev a; task x a=nan", "time on a must be 0 or more" },
    { "negative bytes", "dev a; task x a=1; task y a=1; edge x y -5", "bytes must be" },
    { "negative weights", "dev a; task x a=1 mem=-5", "memory must be" },
    { "no bandwidth", "dev a; dev b; link a b 0 1; task x a=1", "bandwidth must be above 0" },
    { "infinite latency", "dev a; dev b; link a b 1 inf; task x a=1", "latency 0 or more" },
    { "negative memory", "dev a mem=-1; task x a=1", "device a: memory" },
    { "one tensor of two sizes",
      "dev a; task x a=1; task y a=1; task z a=1; edge x y 5 t=1; edge x z 6 t=1", "differ in bytes" },
    { "no device", "", "at least one device" },
};

START_TEST(problem_with_impossible_numbers_is_refused)
{
    struct he_problem *p = place_parse_unindexed(broken[_i].problem);

    ck_assert_int_eq(he_problem_index(p), HE_ERR_INVALID);
    ck_assert_msg(strstr(he_error_message(), broken[_i].says) != NULL, "%s: \"%s\"", broken[_i].what,
                  he_error_message());
    he_problem_destroy(p);
}
END_TEST

/* --- he_place() --- */

static const struct {
    const char *what, *strategy, *problem, *expect; /* devices of the tasks, in their order */
} placements[] = {
    { "the big task goes where it is fast, the small one stays", "cost",
      TWO "task a cpu=1 gpu=5; task b cpu=9 gpu=1; edge a b 100", "cpu gpu" },
    { "unless the way there costs more than it gains", "cost",
      TWO "task a cpu=1 gpu=5; task b cpu=3 gpu=1; edge a b 200", "cpu cpu" },
    { "memory keeps the second one away", "cost",
      "dev cpu; dev gpu mem=10; task a cpu=5 gpu=1 mem=6; task b cpu=3 gpu=1 mem=6", "gpu cpu" },
    { "so does a resource", "cost",
      "dev cpu; dev fpga; resource lut 10 fpga; task a cpu=3 fpga=1; task b cpu=5 fpga=1;"
      "use lut a 6; use lut b 6",
      "cpu fpga" },
    { "a group stays together where its sum is least", "cost",
      "dev cpu; dev gpu; task a cpu=1 gpu=2; task b cpu=5 gpu=1; group a b", "gpu gpu" },
    { "the first device of the list claims what it can", "priority",
      "dev gpu; dev cpu; task a gpu=1 cpu=1; task b cpu=1; task c gpu=1 cpu=1", "gpu cpu gpu" },
    { "priority stays what it is where one device alone would be better", "priority",
      "dev gpu; dev cpu; link gpu cpu 1 0; link cpu gpu 1 0; task a gpu=1 cpu=1; task b cpu=1;"
      "task c gpu=1 cpu=1; edge a b 10; edge b c 10",
      "gpu cpu gpu" },
    { "the guard: any other answer gives way to one device that does better", "path",
      "dev gpu; dev cpu; link gpu cpu 1 0; link cpu gpu 1 0; task a gpu=1 cpu=1; task b cpu=1;"
      "task c gpu=1 cpu=1; edge a b 10; edge b c 10",
      "cpu cpu cpu" },
    { "two independent tasks use both", "latency_aware", TWO "task a cpu=2 gpu=2; task b cpu=2 gpu=2",
      NULL },
    { "a price leaves one device", "cost",
      "dev cpu price=1; dev gpu price=2; limit price 2; task a cpu=9 gpu=1; task b cpu=1 gpu=3",
      "gpu gpu" },
    { "watts do too", "latency_aware",
      "dev cpu busy=100; dev gpu busy=300; limit power 350; task a cpu=2 gpu=1; task b cpu=2 gpu=1",
      "gpu gpu" },
    { "without watts every plan costs no joules: then the shortest", "energy_aware",
      "dev cpu; dev gpu; task a cpu=2 gpu=1; task b cpu=2 gpu=1", "gpu gpu" },
    { "live tensors count: the pair does not fit on the fast device", "cost",
      "dev cpu; dev gpu mem=100; task a cpu=5 gpu=1 mem=40; task b cpu=4 gpu=1 mem=30; edge a b 40",
      "gpu cpu" },
};

START_TEST(placement_is_as_expected)
{
    struct he_problem *p = place_parse(placements[_i].problem);
    struct he_placement answer;
    struct he_schedule s;
    char found[256] = "";

    ck_assert_msg(he_place(p, placements[_i].strategy, NULL, &p->arena, &answer, &s) == HE_OK,
                  "%s: %s", placements[_i].what, he_error_message());
    place_check(p, &answer, &s);
    for (uint32_t t = 0; t < p->task_count; t++) {
        strcat(found, t ? " " : "");
        strcat(found, p->devices[answer.device[t]].id);
    }
    if (placements[_i].expect)
        ck_assert_msg(strcmp(found, placements[_i].expect) == 0, "%s: %s", placements[_i].what, found);
    else
        ck_assert_uint_ne(answer.device[0], answer.device[1]);
    he_problem_destroy(p);
}
END_TEST

static const struct {
    const char *what, *strategy, *problem;
    he_status status;
    const char *says;
} failures[] = {
    { "a misspelt strategy", "latency_awre", "dev a; task x a=1", HE_ERR_SETTING,
      "unknown strategy 'latency_awre', did you mean 'latency_aware'?" },
    { "a task nothing can run", "cost", "dev a; task x; task y a=1", HE_ERR_UNSUPPORTED,
      "task x can run on none of the devices" },
    { "a group nothing can run", "heft", "dev a; dev b; task x a=1; task y b=1; group x y",
      HE_ERR_UNSUPPORTED, "no device can run all of the 2 tasks that must stay together with x" },
    { "too little memory", "latency_aware", "dev a mem=10; task x a=1 mem=8; task y a=1 mem=7",
      HE_ERR_BUDGET, "1.5 times as much on every device would do (15 bytes instead of 10 on a)" },
    { "too little memory in all", "heft", "dev a; limit memory 10; task x a=1 mem=8; task y a=1 mem=7",
      HE_ERR_BUDGET, "no plan fits the budget memory=10: memory=15 would do" },
    { "too few LUTs", "cost", "dev a; resource lut 5 a; task x a=1; use lut x 6", HE_ERR_BUDGET,
      "no plan fits the budget lut=5: lut=6 would do" },
    { "too few LUTs on the devices", "cost",
      "dev a; dev b; resource lut inf; has lut a 8; has lut b 4; task x a=1 b=1; task y a=1 b=1;"
      "use lut x 6; use lut y 6", HE_ERR_BUDGET,
      "no plan fits what the devices have of lut: 1.5 times as much on every device would do "
      "(12 instead of 8 on a)" },
    { "no device is affordable", "cost", "dev a price=3; dev b price=2; limit price 1; task x a=1 b=1",
      HE_ERR_BUDGET, "no plan fits the budget price=1/h: price=2/h would do" },
    { "power for none", "peft", "dev a busy=30; limit power 10; task x a=1", HE_ERR_BUDGET,
      "power=30W would do" },
};

START_TEST(failure_says_what_would_do)
{
    struct he_problem *p = place_parse(failures[_i].problem);
    struct he_placement answer;
    struct he_schedule s;

    ck_assert_int_eq(he_place(p, failures[_i].strategy, NULL, &p->arena, &answer, &s),
                     failures[_i].status);
    ck_assert_msg(strstr(he_error_message(), failures[_i].says) != NULL, "%s: \"%s\"",
                  failures[_i].what, he_error_message());
    ck_assert_ptr_null(answer.device);
    he_problem_destroy(p);
}
END_TEST

/* The budget that is named does do, and a little less does not. */
START_TEST(smallest_budget_named_is_the_smallest)
{
    static const char text[] = "dev a price=1 mem=20; dev b price=2 mem=20; dev c price=5 mem=50;"
                               "task x a=1 b=1 c=1 mem=15; task y a=1 b=1 c=1 mem=15; limit price ";
    char line[256];
    struct he_placement answer;
    struct he_schedule s;

    for (int k = 0; k < 3; k++) {
        struct he_problem *p;
        static const double prices[] = { 2.5, 2.99, 3.0 };

        snprintf(line, sizeof line, "%s%g", text, prices[k]);
        p = place_parse(line);
        ck_assert_int_eq(he_place(p, "cost", NULL, &p->arena, &answer, &s),
                         k < 2 ? HE_ERR_BUDGET : HE_OK);
        if (k < 2)
            ck_assert_msg(strstr(he_error_message(), "price=3/h would do") != NULL, "%s",
                          he_error_message());
        he_problem_destroy(p);
    }
}
END_TEST

/* Sixty-four devices have more subsets than anybody can look at. */
START_TEST(many_devices_under_a_budget_are_planned_quickly)
{
    for (int round = 0; round < 3; round++) {
        struct he_problem *p = place_blank(20, 64, 0, 0);
        struct place_random r = { 9 };
        struct he_placement answer;
        struct he_schedule s;
        double price = 0.0;
        bool is_used[64] = { false };

        for (uint32_t t = 0; t < 20; t++) {
            for (uint32_t j = 0; j < 64; j++)
                p->time[t * 64 + j] = round < 2 ? 1.0 + t + j % 3 : 1.0 + place_uniform(&r);
        }
        for (uint32_t j = 0; j < 64; j++)
            p->devices[j].price_per_hour = round < 2 ? 1.0 + j % 3 : 1.0 + place_uniform(&r);
        if (round > 0)
            p->limits.price_per_hour = 7.5;
        ck_assert_int_eq(he_problem_index(p), HE_OK);
        ck_assert_msg(he_place(p, "heft", NULL, &p->arena, &answer, &s) == HE_OK, "%s",
                      he_error_message());
        for (uint32_t t = 0; t < 20; t++)
            is_used[answer.device[t]] = true;
        for (uint32_t j = 0; j < 64; j++)
            price += is_used[j] ? p->devices[j].price_per_hour : 0.0;
        ck_assert_double_le(price, p->limits.price_per_hour);
        he_problem_destroy(p);
    }
}
END_TEST

/* --- Properties on random graphs --- */

static struct place_shape shape_of(int k)
{
    static const double transfers[] = { 0.0, 0.1, 1.0, 5.0 };

    return (struct place_shape){ .tasks = 1 + (uint32_t)k % 37,
                                 .devices = 1 + (uint32_t)(k / 3) % 5,
                                 .density = 0.5 + k % 5,
                                 .transfers = transfers[k % 4],
                                 .has_limits = k % 7 == 0,
                                 .has_groups = k % 5 == 0,
                                 .has_shared_tensors = k % 3 == 0,
                                 .has_shared_servers = k % 11 == 0,
                                 .has_launch = k % 2 == 0,
                                 .has_holes = k % 4 == 1 };
}

START_TEST(any_placement_in_any_order_gives_a_feasible_schedule)
{
    for (int k = 0; k < 250; k++) {
        struct place_shape shape = shape_of(_i * 250 + k);
        struct place_random r = { (uint64_t)(_i * 250 + k) };
        struct he_problem *p;
        struct he_placement answer = { 0 };
        struct he_schedule s;
        uint32_t done = 0;
        bool *is_done;

        shape.has_limits = shape.has_groups = false;
        p = place_random(&shape, (uint64_t)(_i * 250 + k));
        answer.device = he_arena_alloc(&p->arena, p->task_count, sizeof(uint32_t));
        answer.order = he_arena_alloc(&p->arena, p->task_count, sizeof(uint32_t));
        is_done = he_arena_alloc(&p->arena, p->task_count, sizeof(bool));
        for (uint32_t t = 0; t < p->task_count; t++) {
            do
                answer.device[t] = place_below(&r, p->device_count);
            while (isinf(he_problem_time(p, t, answer.device[t])));
        }
        while (done < p->task_count) {
            uint32_t t = place_below(&r, p->task_count);
            bool is_ready = !is_done[t];

            for (uint32_t e = 0; e < p->edge_count; e++)
                is_ready &= p->edges[e].to != t || is_done[p->edges[e].from];
            if (is_ready) {
                is_done[t] = true;
                answer.order[done++] = t;
            }
        }
        ck_assert_msg(he_place_evaluate(p, &answer, &p->arena, &s) == HE_OK, "%s", he_error_message());
        place_check(p, &answer, &s);
        for (int objective = 0; objective <= HE_OBJECTIVE_ENERGY; objective++)
            ck_assert_double_ge(he_schedule_value(&s, (enum he_objective)objective) * (1 + 1e-9),
                                he_place_lower_bound(p, (enum he_objective)objective));
        he_problem_destroy(p);
    }
}
END_TEST

/* The best plan with every task on one device, INFINITY when none fits; computed here. */
static double best_single(const struct he_problem *p, enum he_objective objective)
{
    struct he_placement all = { 0 };
    double best = INFINITY;

    all.device = calloc(p->task_count, sizeof(uint32_t));
    all.order = calloc(p->task_count, sizeof(uint32_t));
    for (uint32_t j = 0; j < p->device_count; j++) {
        struct he_arena arena;
        struct he_schedule s;

        he_arena_init(&arena, &he_allocator_default);
        for (uint32_t t = 0; t < p->task_count; t++) {
            all.device[t] = j;
            all.order[t] = t;
        }
        if (he_place_evaluate(p, &all, &arena, &s) == HE_OK)
            best = fmin(best, he_schedule_value(&s, objective));
        he_arena_fini(&arena);
    }
    free(all.device);
    free(all.order);
    return best;
}

START_TEST(no_strategy_is_worse_than_the_best_single_device)
{
    for (int k = 0; k < 8; k++) {
        struct place_shape shape = shape_of(_i * 53 + 7 * k);
        struct he_problem *p = place_random(&shape, 77u + (uint64_t)(_i * 53 + k));
        static const char *const names[] = { "latency_aware", "throughput", "cost", "energy_aware" };

        for (size_t n = 0; n < he_policy_count() + HE_COUNT(names); n++) {
            const char *name = n < HE_COUNT(names) ? names[n] : he_policy_at(n - HE_COUNT(names))->name;
            struct he_place_options options = { .objective = (enum he_objective)(k % 4) };
            enum he_objective objective = options.objective;
            struct he_placement answer;
            struct he_schedule s;
            he_status status;
            double single;

            ck_assert(he_strategy_find(name, &objective));
            single = best_single(p, objective);
            status = he_place(p, name, &options, &p->arena, &answer, &s);
            if (status == HE_ERR_UNSUPPORTED)
                continue; /* exact says that the graph is too large for it */
            if (status == HE_ERR_BUDGET && isinf(single))
                continue;
            ck_assert_msg(status == HE_OK, "%s: %s", name, he_error_message());
            place_check(p, &answer, &s);
            /* priority is the baseline: the guard leaves it as it is. */
            ck_assert_msg(he_schedule_value(&s, objective) <= single * (1 + 1e-9) ||
                              strcmp(name, "priority") == 0,
                          "%s gives %g, one device alone %g", name, he_schedule_value(&s, objective),
                          single);
            ck_assert_double_ge(he_schedule_value(&s, objective) * (1 + 1e-9),
                                he_place_lower_bound(p, objective));
        }
        he_problem_destroy(p);
    }
}
END_TEST

START_TEST(same_seed_same_answer)
{
    struct place_shape shape = shape_of(14 + _i);
    struct he_problem *p[2];
    struct he_placement answer[2];
    struct he_schedule s[2];
    he_status status[2];
    static const char *const names[] = { "latency_aware", "throughput", "cost", "energy_aware" };

    for (size_t n = 0; n < HE_COUNT(names); n++) {
        struct he_place_options options = { .seed = 5 };

        for (int k = 0; k < 2; k++) {
            p[k] = place_random(&shape, 5);
            status[k] = he_place(p[k], names[n], &options, &p[k]->arena, &answer[k], &s[k]);
        }
        ck_assert_int_eq(status[0], status[1]);
        for (uint32_t t = 0; status[0] == HE_OK && t < p[0]->task_count; t++) {
            ck_assert_uint_eq(answer[0].device[t], answer[1].device[t]);
            ck_assert_uint_eq(answer[0].order[t], answer[1].order[t]);
        }
        he_problem_destroy(p[0]);
        he_problem_destroy(p[1]);
    }
}
END_TEST

START_TEST(graph_without_tasks_is_placed)
{
    struct he_problem *p = place_parse("dev a; dev b");
    struct he_placement answer;
    struct he_schedule s;

    for (size_t n = 0; n < he_policy_count(); n++) {
        ck_assert_msg(he_place(p, he_policy_at(n)->name, NULL, &p->arena, &answer, &s) == HE_OK,
                      "%s: %s", he_policy_at(n)->name, he_error_message());
        ck_assert(s.makespan == 0.0);
    }
    he_problem_destroy(p);
}
END_TEST

/* --- Memory running out --- */

struct failing {
    size_t left, alive;
};

static void *failing_alloc(void *self, size_t size)
{
    struct failing *f = self;
    void *memory;

    if (f->left == 0)
        return NULL;
    f->left--;
    memory = malloc(size ? size : 1);
    f->alive += memory != NULL;
    return memory;
}

static void failing_free(void *self, void *memory)
{
    ((struct failing *)self)->alive -= memory != NULL;
    free(memory);
}

START_TEST(out_of_memory_is_reported_and_leaves_nothing_behind)
{
    struct place_shape shape = { .tasks = 9, .devices = 3, .density = 2, .transfers = 1,
                                 .has_limits = true, .has_groups = true, .has_shared_tensors = true,
                                 .has_launch = true };
    struct he_problem *p = place_random(&shape, 3);
    struct failing f = { 0 };
    struct he_allocator original = p->arena.alloc;
    he_status status = HE_ERR_NO_MEMORY;

    for (size_t limit = 0; status != HE_OK; limit += 1 + limit / 50) {
        struct he_arena arena;
        struct he_placement answer;
        struct he_schedule s;

        f = (struct failing){ .left = limit };
        p->arena.alloc = (struct he_allocator){ failing_alloc, failing_free, &f };
        he_arena_init(&arena, &p->arena.alloc);
        status = he_place(p, "latency_aware", NULL, &arena, &answer, &s);
        ck_assert_msg(status == HE_OK || status == HE_ERR_NO_MEMORY, "%s", he_error_message());
        he_arena_fini(&arena);
        ck_assert_uint_eq(f.alive, 0);
        ck_assert_uint_lt(limit, 10000000);
    }
    p->arena.alloc = original;
    he_problem_destroy(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("place");
    TCase *tc = tcase_create("place");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, schedule_is_the_one_worked_out_by_hand, 0, HE_COUNT(schedules));
    tcase_add_test(tc, tasks_side_by_side_take_longer);
    tcase_add_test(tc, a_task_is_slowed_while_it_has_company_and_no_longer);
    tcase_add_test(tc, what_lies_in_the_other_cores_caches_is_fetched);
    tcase_add_test(tc, devices_that_disturb_each_other_too_much_are_not_used_together);
    tcase_add_test(tc, a_task_with_no_inputs_is_woken_by_nobody);
    tcase_add_test(tc, a_gain_that_is_too_small_to_believe_is_left);
    tcase_add_loop_test(tc, placement_that_does_not_fit_is_refused_with_the_reason, 0,
                        HE_COUNT(refusals));
    tcase_add_test(tc, tensors_may_be_left_out_of_the_memory);
    tcase_add_test(tc, energy_counts_idle_watts_of_all_and_busy_watts_where_it_runs);
    tcase_add_loop_test(tc, problem_with_impossible_numbers_is_refused, 0, HE_COUNT(broken));
    tcase_add_loop_test(tc, placement_is_as_expected, 0, HE_COUNT(placements));
    tcase_add_loop_test(tc, failure_says_what_would_do, 0, HE_COUNT(failures));
    tcase_add_test(tc, smallest_budget_named_is_the_smallest);
    tcase_add_test(tc, many_devices_under_a_budget_are_planned_quickly);
    tcase_add_loop_test(tc, any_placement_in_any_order_gives_a_feasible_schedule, 0, 4);
    tcase_add_loop_test(tc, no_strategy_is_worse_than_the_best_single_device, 0, 4);
    tcase_add_loop_test(tc, same_seed_same_answer, 0, 4);
    tcase_add_test(tc, graph_without_tasks_is_placed);
    tcase_add_test(tc, out_of_memory_is_reported_and_leaves_nothing_behind);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
