/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans: JSON both ways, explanations, the checker, task-graph files; and lowering, against
 * a check of its own: whatever the lanes' timing, no two values share bytes while both are
 * alive, and nothing starts before what it reads is made.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "engine/engine.h"
#include "plan/lower.h"
#include "plan/plan.h"
#include "support/onnx_text.h"

static void must(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s", he_error_message());
}

static uint32_t pick(uint64_t *state, uint32_t count)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((*state >> 33) % count);
}

/* --- Task-graph files --- */

static he_status read_graph(const char *text, const char *devices, struct he_machine **machine,
                            struct he_problem **out)
{
    must(devices ? he_machine_from_line(devices, &he_allocator_default, machine)
                 : he_machine_create("test", &he_allocator_default, machine));
    return he_problem_read_json("g.json", text, strlen(text), *machine, &he_allocator_default, out);
}

static struct he_plan *plan_graph(const char *text, const char *strategy,
                                  struct he_machine **machine)
{
    struct he_place_options options = { .objective = HE_OBJECTIVE_LATENCY };
    struct he_problem *problem;
    struct he_plan *plan;

    must(read_graph(text, NULL, machine, &problem));
    must(he_plan_create(NULL, *machine, problem, NULL, strategy, &options, &he_allocator_default,
                        &plan));
    return plan;
}

static void drop(struct he_plan *plan, struct he_machine *machine)
{
    he_plan_destroy(plan);
    he_machine_destroy(machine);
}

#define TWO_CPUS "\"devices\":[{\"id\":\"c0\",\"kind\":\"cpu\"},{\"id\":\"c1\",\"kind\":\"cpu\"}],"
#define CPU_GPU \
    "\"devices\":[{\"id\":\"c\",\"kind\":\"cpu\"},{\"id\":\"g\",\"kind\":\"gpu\"}]," \
    "\"links\":[{\"from\":\"c\",\"to\":\"g\",\"bandwidth\":1e9,\"latency\":0.5}," \
    "{\"from\":\"g\",\"to\":\"c\",\"bandwidth\":1e9,\"latency\":0.5}],"

/* Every link takes 10 s, but that from c0 to c1 takes 0.25 s; c2's are free but from c0. */
#define STAR_LINKS                                                                                  \
    "\"devices\":[{\"id\":\"c0\"},{\"id\":\"c1\"},{\"id\":\"c2\"}],"                                   \
    "\"links\":[{\"from\":\"*\",\"to\":\"*\",\"bandwidth\":1e9,\"latency\":10},"                        \
    "{\"from\":\"c2\",\"to\":\"*\",\"latency\":0.5},"                                                  \
    "{\"from\":\"c0\",\"to\":\"c1\",\"bandwidth\":1e9,\"latency\":0.25}],"

/* Small graphs whose best answers are plain by hand. */
static const struct {
    const char *text, *strategy;
    double value;
} optima[] = {
    /* Two independent tasks, two devices. */
    { "{" TWO_CPUS "\"tasks\":[{\"id\":\"a\",\"time\":{\"cpu\":1}},{\"id\":\"b\",\"time\":{\"cpu\":1}}]}",
      "latency_aware", 1 },
    /* 3+3 against 2+2+2. */
    { "{" TWO_CPUS "\"tasks\":[{\"id\":\"a\",\"time\":{\"cpu\":3}},{\"id\":\"b\",\"time\":{\"cpu\":3}},"
      "{\"id\":\"c\",\"time\":{\"cpu\":2}},{\"id\":\"d\",\"time\":{\"cpu\":2}},{\"id\":\"e\",\"time\":{\"cpu\":2}}]}",
      "exact", 6 },
    /* A chain: the gpu does it in 0.3, wherever it starts. */
    { "{" CPU_GPU "\"tasks\":[{\"id\":\"a\",\"time\":{\"cpu\":1,\"gpu\":0.1}},"
      "{\"id\":\"b\",\"time\":{\"cpu\":1,\"gpu\":0.1}},{\"id\":\"c\",\"time\":{\"cpu\":1,\"gpu\":0.1}}],"
      "\"edges\":[{\"from\":\"a\",\"to\":\"b\",\"bytes\":1e9},{\"from\":\"b\",\"to\":\"c\",\"bytes\":1e9}]}",
      "latency_aware", 0.3 },
    /* b runs on the cpu only; there and back costs 2 * 0.5 of latency: staying (3) loses to
     * a on the gpu, one transfer, b and c on the cpu: 0.1 + 0.5 + 1 + 1, and to
     * 0.1 + 0.5 + 1 + 0.5 + 0.1 = 2.2. */
    { "{" CPU_GPU "\"tasks\":[{\"id\":\"a\",\"time\":{\"cpu\":1,\"gpu\":0.1}},"
      "{\"id\":\"b\",\"time\":{\"cpu\":1}},{\"id\":\"c\",\"time\":{\"cpu\":1,\"gpu\":0.1}}],"
      "\"edges\":[{\"from\":\"a\",\"to\":\"b\"},{\"from\":\"b\",\"to\":\"c\"}]}",
      "latency_aware", 2.2 },
    /* A link named after "*" replaces it for its pair... */
    { "{" STAR_LINKS "\"tasks\":[{\"id\":\"a\",\"time\":{\"c0\":1}},{\"id\":\"b\",\"time\":{\"c1\":1}}],"
      "\"edges\":[{\"from\":\"a\",\"to\":\"b\"}]}",
      "latency_aware", 2.25 },
    /* ... and leaves the others; on a device itself nothing moves. */
    { "{" STAR_LINKS "\"tasks\":[{\"id\":\"a\",\"time\":{\"c1\":1}},{\"id\":\"b\",\"time\":{\"c1\":1}},"
      "{\"id\":\"c\",\"time\":{\"c2\":1}}],\"edges\":[{\"from\":\"a\",\"to\":\"b\"},{\"from\":\"b\",\"to\":\"c\"}]}",
      "latency_aware", 13 },
    { "{" STAR_LINKS "\"tasks\":[{\"id\":\"a\",\"time\":{\"c2\":1}},{\"id\":\"b\",\"time\":{\"c1\":1}}],"
      "\"edges\":[{\"from\":\"a\",\"to\":\"b\",\"bytes\":1e9}]}",
      "latency_aware", 2.5 },
    /* Throughput: the larger load of two pipeline stages. */
    { "{" TWO_CPUS "\"tasks\":[{\"id\":\"a\",\"time\":{\"cpu\":2}},{\"id\":\"b\",\"time\":{\"cpu\":1}},"
      "{\"id\":\"c\",\"time\":{\"cpu\":1}}],\"edges\":[{\"from\":\"a\",\"to\":\"b\"},{\"from\":\"b\",\"to\":\"c\"}]}",
      "throughput", 2 },
    /* Sum of costs: both on the gpu; the cpu would cost 1 + 0.5. */
    { "{" CPU_GPU "\"tasks\":[{\"id\":\"a\",\"time\":{\"cpu\":1,\"gpu\":0.25}},"
      "{\"id\":\"b\",\"time\":{\"cpu\":0.1,\"gpu\":0.25}}],\"edges\":[{\"from\":\"a\",\"to\":\"b\"}]}",
      "cost", 0.5 },
};

/* Limits in the file: what the devices have, amounts by device, budgets over all. */
#define LIMITED \
    "\"devices\":[{\"id\":\"c0\",\"kind\":\"cpu\",\"price\":1,\"resources\":{\"lut\":10,\"other\":1}}," \
    "{\"id\":\"c1\",\"kind\":\"cpu\",\"price\":2}],"
#define TASK(id, lut) \
    "{\"id\":\"" id "\",\"time\":{\"c0\":1,\"c1\":3},\"resources\":{\"lut\":" lut "}}"
static const struct {
    const char *what, *text, *budget;
    double value; /* of the cost strategy */
} budgets[] = {
    { "what fits is taken", "{" LIMITED "\"tasks\":[" TASK("a", "5") "," TASK("b", "5") "]}", NULL, 2 },
    { "a device has only so much", "{" LIMITED "\"tasks\":[" TASK("a", "6") "," TASK("b", "5") "]}",
      NULL, 4 },
    { "amounts by id", "{" LIMITED "\"tasks\":[" TASK("a", "{\"c0\":11,\"c1\":99}") "]}", NULL, 3 },
    { "an id says more than a kind",
      "{" LIMITED "\"tasks\":[" TASK("a", "{\"c0\":10,\"cpu\":11}") "]}", NULL, 1 },
    { "nothing elsewhere", "{" LIMITED "\"tasks\":[" TASK("a", "{\"c1\":50}") "]}", NULL, 1 },
    { "a budget over all",
      "{" LIMITED "\"budget\":{\"lut\":4},\"tasks\":[" TASK("a", "{\"c0\":5,\"c1\":4}") "]}", NULL, 3 },
    { "a price", "{" LIMITED "\"budget\":{\"price\":1},\"tasks\":[" TASK("a", "5") "]}", NULL, 1 },
    { "the command line replaces the file's budget",
      "{" LIMITED "\"budget\":{\"lut\":1},\"tasks\":[" TASK("a", "5") "]}", "lut=5", 1 },
    { "a fraction is of what the devices have",
      "{" LIMITED "\"tasks\":[" TASK("a", "{\"c0\":6,\"c1\":4}") "]}", "lut=50%", 3 },
    { "and just enough is enough",
      "{" LIMITED "\"tasks\":[" TASK("a", "{\"c0\":6,\"c1\":4}") "]}", "lut=60%", 1 },
    { "half of the price", "{" LIMITED "\"tasks\":[" TASK("a", "11") "]}", "price=67%", 3 },
};

START_TEST(limits_of_the_file_hold)
{
    struct he_place_options options = { .objective = HE_OBJECTIVE_COST };
    struct he_machine *machine;
    struct he_problem *problem;
    struct he_plan *plan;

    must(he_machine_create("test", &he_allocator_default, &machine));
    if (budgets[_i].budget)
        must(he_machine_set_budget(machine, budgets[_i].budget));
    must(he_problem_read_json("g.json", budgets[_i].text, strlen(budgets[_i].text), machine,
                              &he_allocator_default, &problem));
    ck_assert_msg(he_plan_create(NULL, machine, problem, NULL, "cost", &options,
                                 &he_allocator_default, &plan) == HE_OK,
                  "%s: %s", budgets[_i].what, he_error_message());
    must(he_plan_check(plan));
    ck_assert_msg(fabs(plan->value - budgets[_i].value) < 1e-9, "%s: %g", budgets[_i].what,
                  plan->value);
    ck_assert_double_le(plan->lower_bound, plan->value * (1 + 1e-12));
    drop(plan, machine);
}
END_TEST

/* What the machine's devices have holds for a graph without devices of its own. */
START_TEST(limits_of_the_machine_hold)
{
    static const char text[] = "{\"tasks\":[{\"id\":\"a\",\"time\":{\"fpga\":1,\"cpu\":5},"
                               "\"resources\":{\"lut\":{\"fpga\":600}}}]}";
    static const struct {
        const char *machine, *budget;
        double value;
    } machines[] = {
        { "cpu:1 fpga:1(lut=1000)", NULL, 1 },
        { "cpu:1 fpga:1(lut=500)", NULL, 5 },
        { "cpu:1 fpga:1(lut=1000)", "lut=50%", 5 },
        { "cpu:1 fpga:2(lut=500)", "lut=80%", 5 },
        { "cpu:1 fpga:1(lut=1000)", "lut=80%", 1 },
        { "cpu:1 fpga:1(lut=1000)", "lut=599", 5 },
    };
    struct he_place_options options = { .objective = HE_OBJECTIVE_COST };

    for (size_t k = 0; k < HE_COUNT(machines); k++) {
        struct he_machine *machine;
        struct he_problem *problem;
        struct he_plan *plan;

        must(he_machine_from_line(machines[k].machine, &he_allocator_default, &machine));
        if (machines[k].budget)
            must(he_machine_set_budget(machine, machines[k].budget));
        must(he_problem_read_json("g.json", text, strlen(text), machine, &he_allocator_default,
                                  &problem));
        must(he_plan_create(NULL, machine, problem, NULL, "cost", &options, &he_allocator_default,
                            &plan));
        ck_assert_msg(plan->value == machines[k].value, "%s, %s: %g", machines[k].machine,
                      machines[k].budget ? machines[k].budget : "no budget", plan->value);
        drop(plan, machine);
    }
}
END_TEST

START_TEST(known_optima_are_found)
{
    struct he_machine *machine;
    struct he_plan *plan = plan_graph(optima[_i].text, optima[_i].strategy, &machine);

    must(he_plan_check(plan));
    ck_assert_double_eq_tol(plan->value, optima[_i].value, 1e-9);
    ck_assert_double_le(plan->lower_bound, plan->value + 1e-12);
    drop(plan, machine);
}
END_TEST

#define TASK_A "{\"id\":\"a\",\"time\":{\"cpu\":1}}"
static const struct {
    const char *text, *words;
} bad_graphs[] = {
    { "", "g.json:1:1:" },
    { "[]", "g.json:1:1:" },
    { "{\"tasks\":[" TASK_A "],\"edges\":[{\"from\":\"a\",\"to\":\"a\"}]}", "cycle" },
    { "{\"tasks\":[" TASK_A "," TASK_A "]}", "second task 'a'" },
    { "{\"tasks\":[{\"id\":\"a\"}]}", "\"time\"" },
    { "{\"tasks\":[{\"time\":{\"cpu\":1}}]}", "\"id\"" },
    { "{\"tasks\":[{\"id\":\"a\",\"time\":{\"gpu\":1}}]}", "no time on any device" },
    { "{\"tasks\":[{\"id\":\"a\",\"time\":{\"cpu\":-1}}]}", "0 or more" },
    { "{\"tasks\":[{\"id\":\"a\",\"time\":{\"cpu\":\"1\"}}]}", "seconds" },
    { "{\"tasks\":[" TASK_A "],\"edges\":[{\"from\":\"a\",\"to\":\"z\"}]}", "no task 'z'" },
    { "{\"tasks\":[" TASK_A "],\"edges\":[{\"from\":\"a\"}]}", "\"to\"" },
    { "{\"tasks\":[" TASK_A "],\"edge\":[]}", "did you mean 'edges'" },
    { "{\"tasks\":[{\"id\":\"a\",\"time\":{\"cpu\":1},\"memroy\":1}]}", "did you mean 'memory'" },
    { "{\"tasks\":[{\"id\":\"a\",\"time\":{\"cpu\":1},\"memory\":-1}]}", "memory" },
    { "{\"tasks\":[" TASK_A "],\"colocate\":[[\"a\",\"z\"]]}", "the id of a task" },
    { "{\"tasks\":[" TASK_A "],\"devices\":[{\"kind\":\"cpu\"}]}", "\"id\"" },
    { "{" LIMITED "\"tasks\":[" TASK("a", "-1") "]}", "0 or more" },
    { "{" LIMITED "\"tasks\":[" TASK("a", "{\"c0\":\"x\"}") "]}", "an amount" },
    { "{" LIMITED "\"budget\":{\"luts\":3},\"tasks\":[" TASK("a", "1") "]}",
      "a budget for 'luts', which no task uses, did you mean 'lut'?" },
    { "{" LIMITED "\"budget\":{\"lut\":\"3\"},\"tasks\":[" TASK("a", "1") "]}", "a limit, 0 or more" },
    { "{" LIMITED "\"budget\":[],\"tasks\":[" TASK("a", "1") "]}", "a budget: limits by name" },
    { "{\"devices\":[{\"id\":\"c\",\"resources\":{\"lut\":-1}}],\"tasks\":[{\"id\":\"a\",\"time\":{\"c\":1}}]}",
      "an amount, 0 or more" },
    { "{" TWO_CPUS "\"tasks\":[" TASK_A "],\"links\":[{\"from\":\"c0\",\"to\":\"zz\",\"bandwidth\":1}]}",
      "zz" },
    { "{" TWO_CPUS "\"tasks\":[" TASK_A "],\"links\":[{\"from\":\"c0\",\"to\":\"c1\",\"bandwidth\":0}]}",
      "bandwidth" },
    { "{\"tasks\":[" TASK_A ",]}", "g.json:1:39:" },
    { "{\"tasks\":[" TASK_A " " TASK_A "]}", "g.json:1:39: expected ',' or ']'" },
    { "{\"tasks\":[" TASK_A "],\"edges\":[{\"from\":\"a\",\"to\":]}]}", "a value" },
    { "{\"tasks\":[" TASK_A "}", "expected" },
    { "{\"tasks\":[" TASK_A "],\"links\":[{\"from\":\"*\",\"to\":\"?\"}]}", "no device '?'" },
};

START_TEST(bad_task_graphs_are_refused_with_their_place)
{
    struct he_machine *machine;
    struct he_problem *problem = NULL;
    he_status status = read_graph(bad_graphs[_i].text, "cpu:2", &machine, &problem);

    ck_assert_msg(status != HE_OK, "taken: %s", bad_graphs[_i].text);
    ck_assert_msg(strncmp(he_error_message(), "g.json:", 7) == 0 &&
                      strstr(he_error_message(), bad_graphs[_i].words) != NULL,
                  "'%s' does not say '%s'", he_error_message(), bad_graphs[_i].words);
    ck_assert_ptr_null(problem);
    he_machine_destroy(machine);
}
END_TEST

/* --- The checker --- */

/* a -> b on two devices with a slow link, c beside a. */
static const char checked[] =
    "{" CPU_GPU "\"tasks\":[{\"id\":\"a\",\"time\":{\"cpu\":2}},{\"id\":\"b\",\"time\":{\"gpu\":2}},"
    "{\"id\":\"c\",\"time\":{\"cpu\":2}},{\"id\":\"d\",\"time\":{\"gpu\":2}}],"
    "\"edges\":[{\"from\":\"a\",\"to\":\"b\",\"bytes\":1e9},{\"from\":\"c\",\"to\":\"d\",\"bytes\":1e9}],"
    "\"colocate\":[[\"a\",\"c\"]]}";

static uint32_t task_called(const struct he_plan *plan, const char *id)
{
    for (uint32_t t = 0; t < plan->problem->task_count; t++) {
        if (strcmp(plan->problem->task_ids[t], id) == 0)
            return t;
    }
    ck_abort_msg("no task %s", id);
    return 0;
}

static void shift(struct he_plan *plan, uint32_t task, double by)
{
    plan->schedule.start[task] += by;
    plan->schedule.finish[task] += by;
}

START_TEST(the_checker_sees_broken_schedules)
{
    struct he_machine *machine;
    struct he_plan *plan = plan_graph(checked, "latency_aware", &machine);
    uint32_t a = task_called(plan, "a"), b = task_called(plan, "b"), c = task_called(plan, "c");
    struct he_schedule_transfer *transfers = plan->schedule.transfers;
    const char *words = NULL;

    must(he_plan_check(plan));
    ck_assert_uint_eq(plan->schedule.transfer_count, 2);
    switch (_i) {
    case 0:
        plan->schedule.finish[a] -= 0.5;
        words = "ends too early (a)";
        break;
    case 1:
        plan->placement.device[a] = plan->placement.device[b];
        words = "cannot run on its device (a)";
        break;
    case 2:
        plan->placement.device[a] = 99;
        words = "no device (a)";
        break;
    case 3: /* behind a, but before a's result arrives */
        shift(plan, b, plan->schedule.finish[a] - plan->schedule.start[b]);
        words = "before its input arrives (b)";
        break;
    case 4:
        shift(plan, b, -plan->schedule.start[b]);
        words = "before its input is made (b)";
        break;
    case 5:
        if (plan->schedule.start[a] > plan->schedule.start[c])
            shift(plan, a, plan->schedule.start[c] - plan->schedule.start[a]);
        else
            shift(plan, c, plan->schedule.start[a] - plan->schedule.start[c]);
        words = "at once";
        break;
    case 6:
        transfers[0].start = transfers[0].finish - 0.1;
        words = "too fast";
        break;
    case 7:
        transfers[0].start = 0;
        words = "before it is made";
        break;
    case 8: { /* both at the time of the later one */
        bool first = transfers[0].start < transfers[1].start;
        struct he_schedule_transfer *early = &transfers[!first], *late = &transfers[first];

        early->start = late->start - 0.25;
        early->finish = early->start + 1.5;
        shift(plan, plan->problem->edges[early->edge].to, 100);
        words = "share a link";
        break;
    }
    case 9:
        plan->parts[0].task_count--;
        words = "no region";
        break;
    default:
        plan->parts[0].device ^= 1;
        words = "runs elsewhere";
    }
    ck_assert_msg(he_plan_check(plan) != HE_OK, "case %d passes", _i);
    ck_assert_msg(strstr(he_error_message(), words) != NULL, "'%s' does not say '%s'",
                  he_error_message(), words);
    drop(plan, machine);
}
END_TEST

/* --- JSON and explanations --- */

START_TEST(a_saved_plan_is_read_back)
{
    struct he_machine *machine;
    struct he_plan *plan = plan_graph(checked, "latency_aware", &machine);
    struct he_placement placement;
    struct he_json_writer json;
    struct he_arena arena;
    struct he_text text;
    uint32_t *position;

    he_arena_init(&arena, NULL);
    he_text_init(&text, NULL);
    he_json_begin(&json, &text, _i);
    he_plan_write_json(plan, &json);
    must(he_plan_read_placement("p.json", text.data, text.size, plan->problem, &arena, &placement));
    position = he_arena_alloc(&arena, plan->problem->task_count, sizeof *position);
    for (uint32_t t = 0; t < plan->problem->task_count; t++) {
        ck_assert_uint_eq(placement.device[t], plan->placement.device[t]);
        position[placement.order[t]] = t;
    }
    for (uint32_t e = 0; e < plan->problem->edge_count; e++)
        ck_assert_uint_lt(position[plan->problem->edges[e].from],
                          position[plan->problem->edges[e].to]);
    /* Half a plan is no plan. */
    for (size_t size = 0; size + 1 < text.size; size += 7)
        ck_assert_int_ne(he_plan_read_placement("p.json", text.data, size, plan->problem, &arena,
                                                &placement), HE_OK);
    he_text_fini(&text);
    he_arena_fini(&arena);
    drop(plan, machine);
}
END_TEST

static const struct {
    const char *text, *words;
} bad_plans[] = {
    { "{}", "\"tasks\"" },
    { "{\"tasks\":3}", "\"tasks\"" },
    { "{\"tasks\":[]}", "nothing of task" },
    { "{\"tasks\":[{\"device\":\"c\"}]}", "\"id\"" },
    { "{\"tasks\":[{\"id\":\"a\"}]}", "\"device\"" },
    { "{\"tasks\":[{\"id\":\"z\",\"device\":\"c\"}]}", "no task 'z'" },
    { "{\"tasks\":[{\"id\":\"a\",\"device\":\"x\"}]}", "device x" },
    { "{\"tasks\":[{\"id\":\"a\",\"device\":\"c\"},{\"id\":\"a\",\"device\":\"c\"}]}", "second time" },
    { "{\"tasks\":[{\"id\":5,\"device\":\"c\"}]}", "\"id\"" },
};

START_TEST(bad_saved_plans_are_refused)
{
    struct he_machine *machine;
    struct he_problem *problem;
    struct he_placement placement;
    struct he_arena arena;

    must(read_graph(checked, NULL, &machine, &problem));
    he_arena_init(&arena, NULL);
    ck_assert_int_ne(he_plan_read_placement("p.json", bad_plans[_i].text,
                                            strlen(bad_plans[_i].text), problem, &arena,
                                            &placement), HE_OK);
    ck_assert_msg(strncmp(he_error_message(), "p.json:", 7) == 0 &&
                      strstr(he_error_message(), bad_plans[_i].words) != NULL,
                  "'%s' does not say '%s'", he_error_message(), bad_plans[_i].words);
    he_arena_fini(&arena);
    he_problem_destroy(problem);
    he_machine_destroy(machine);
}
END_TEST

START_TEST(an_explanation_names_every_candidate)
{
    struct he_machine *machine;
    struct he_plan *plan = plan_graph(checked, "latency_aware", &machine);
    struct he_text text;

    for (uint32_t t = 0; t < plan->problem->task_count; t++) {
        const char *at;

        he_text_init(&text, NULL);
        must(he_plan_explain(plan, plan->problem->task_ids[t], &text));
        at = strchr(he_text_string(&text), '\n') + 1;
        ck_assert_int_eq(strncmp(at, plan->problem->task_ids[t], 1), 0);
        for (uint32_t d = 0; d < plan->problem->device_count; d++) {
            at = strchr(at, '\n') + 1;
            ck_assert_int_eq(at[2] == '*', plan->placement.device[t] == d);
            ck_assert_int_eq(strncmp(at + 4, plan->problem->devices[d].id, 1), 0);
            ck_assert_int_eq(strncmp(at + 15, "cannot run", 10) == 0,
                             isinf(he_problem_time(plan->problem, t, d)));
        }
        he_text_fini(&text);
    }
    he_text_init(&text, NULL);
    ck_assert_int_eq(he_plan_explain(plan, "nobody", &text), HE_ERR_NOT_FOUND);
    he_text_fini(&text);
    drop(plan, machine);
}
END_TEST

/* --- Lowering --- */

#define NODES 30
#define PLACEMENTS 6

/* A random DAG over [64]-element tensors, as text for onnx_text_graph(). */
static void random_text(uint64_t seed, struct he_text *out)
{
    static const char *const unary[] = { "Relu", "Neg", "Softmax", "Abs", "Transpose", "Flatten" };
    static const char *const binary[] = { "Add", "Mul", "MatMul", "Sub" };
    bool is_read[NODES] = { false };
    struct he_text body;
    uint64_t state = seed * 77 + 5;

    he_text_init(&body, NULL);
    for (uint32_t k = 0; k < NODES; k++) {
        char a[16] = "x", b[16] = "x";
        uint32_t from = pick(&state, k + 1), other = pick(&state, k + 1);
        bool is_binary = pick(&state, 3) > 0;

        if (from > 0)
            snprintf(a, sizeof a, "v%u", from - 1);
        if (other > 0)
            snprintf(b, sizeof b, "v%u", other - 1);
        if (from > 0)
            is_read[from - 1] = true;
        if (is_binary && other > 0)
            is_read[other - 1] = true;
        if (is_binary)
            he_text_printf(&body, " v%u=%s(%s,%s)", k, binary[pick(&state, HE_COUNT(binary))], a, b);
        else
            he_text_printf(&body, " v%u=%s(%s)", k, unary[pick(&state, HE_COUNT(unary))], a);
    }
    he_text_printf(out, "x|");
    for (uint32_t k = 0, listed = 0; k < NODES; k++) {
        if (!is_read[k] && listed < 15)
            he_text_printf(out, "%sv%u", listed++ ? "," : "", k);
    }
    he_text_printf(out, "|%s", he_text_string(&body) + 1);
    he_text_fini(&body);
}

static struct he_model *random_model(uint64_t seed)
{
    static struct onnx_opset opset = { "", 17 };
    static struct onnx_dim dims[] = { { 8, "" }, { 8, "" } };
    static const uint32_t fed[] = { 0 };
    struct he_model *model = calloc(1, sizeof *model);
    struct he_text text;

    ck_assert_ptr_nonnull(model);
    he_arena_init(&model->arena, NULL);
    he_text_init(&text, NULL);
    random_text(seed, &text);
    onnx_text_graph(&model->arena, he_text_string(&text), &model->graph);
    he_text_fini(&text);
    model->path = model->producer_name = model->producer_version = model->domain = model->doc = "";
    model->ir_version = 8;
    model->opsets = &opset;
    model->opset_count = 1;
    model->graph.inputs[0] = (struct onnx_value_info){ .name = "x", .dtype = HE_FLOAT32,
                                                       .has_shape = true, .dim_count = 2,
                                                       .dims = dims };
    model->fed_inputs = fed;
    model->fed_input_count = 1;
    return model;
}

static struct he_plan *place_at_random(struct he_engine *engine, const struct he_model *model,
                                       uint64_t *state)
{
    struct he_analyze_options options = { .struct_size = sizeof options };
    struct he_placement placement = { .policy = "random" };
    struct he_problem *problem;
    struct he_graph *graph;
    struct he_cost *costs;
    struct he_plan *plan;

    must(he_engine_prepare(engine, model, &options, &graph, &problem, &costs));
    placement.device = calloc(problem->task_count + 1, sizeof *placement.device);
    placement.order = calloc(problem->task_count + 1, sizeof *placement.order);
    ck_assert(placement.device && placement.order);
    for (uint32_t t = 0; t < problem->task_count; t++) {
        placement.order[t] = t;
        do
            placement.device[t] = pick(state, problem->device_count);
        while (!isfinite(he_problem_time(problem, t, placement.device[t])));
    }
    must(he_plan_create_placed(graph, he_engine_machine(engine), problem, costs, &placement,
                               HE_OBJECTIVE_LATENCY, &he_allocator_default, &plan));
    free(placement.device);
    free(placement.order);
    must(he_plan_check(plan));
    must(he_plan_lower(plan));
    return plan;
}

/* Every event of a run: each copy, and each task within its region. before[a * n + b]:
 * a is surely over when b starts, whatever the lanes' timing. */
struct events {
    const struct he_plan *plan;
    uint32_t count;
    uint32_t *step, *task; /* per event; task HE_NONE: a copy */
    bool *before;
    uint32_t *event_of; /* per task */
};

static void order_events(struct events *e)
{
    const struct he_plan *plan = e->plan;
    uint32_t n = plan->step_count;
    bool *after = calloc((size_t)n * n + 1, sizeof *after); /* steps: [a * n + b], a before b */

    ck_assert_ptr_nonnull(after);
    for (uint32_t l = 0; l < plan->lane_count; l++) {
        for (uint32_t k = 1; k < plan->lanes[l].step_count; k++)
            after[(size_t)plan->lanes[l].steps[k - 1] * n + plan->lanes[l].steps[k]] = true;
    }
    for (uint32_t s = 0; s < n; s++) {
        for (uint32_t w = 0; w < plan->steps[s].wait_count; w++)
            after[(size_t)plan->steps[s].waits_for[w] * n + s] = true;
    }
    for (uint32_t k = 0; k < n; k++) {
        for (uint32_t a = 0; a < n; a++) {
            for (uint32_t b = 0; after[(size_t)a * n + k] && b < n; b++)
                after[(size_t)a * n + b] |= after[(size_t)k * n + b];
        }
    }
    for (uint32_t s = 0; s < n; s++)
        ck_assert_msg(!after[(size_t)s * n + s], "the steps wait for each other in a circle");
    for (uint32_t a = 0; a < e->count; a++) {
        for (uint32_t b = 0; b < e->count; b++)
            e->before[(size_t)a * e->count + b] =
                e->step[a] == e->step[b] ? a < b : after[(size_t)e->step[a] * n + e->step[b]];
    }
    free(after);
}

static void list_events(const struct he_plan *plan, struct events *e)
{
    uint32_t most = plan->step_count + plan->graph->task_count;

    *e = (struct events){ .plan = plan };
    e->step = calloc(most, sizeof *e->step);
    e->task = calloc(most, sizeof *e->task);
    e->event_of = calloc(plan->graph->task_count, sizeof *e->event_of);
    e->before = calloc((size_t)most * most, sizeof *e->before);
    ck_assert(e->step && e->task && e->event_of && e->before);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct he_step *step = &plan->steps[s];
        const struct he_region *region = &plan->regions[step->region].view;

        if (step->kind == HE_STEP_COPY) {
            e->step[e->count] = s;
            e->task[e->count++] = HE_NONE;
            continue;
        }
        for (uint32_t t = 0; t < region->task_count; t++) {
            e->event_of[region->tasks[t]] = e->count;
            e->step[e->count] = s;
            e->task[e->count++] = region->tasks[t];
        }
    }
    order_events(e);
}

static void free_events(struct events *e)
{
    free(e->step);
    free(e->task);
    free(e->event_of);
    free(e->before);
}

static uint32_t home_at(const struct he_plan *plan, uint32_t memory, uint32_t value)
{
    for (uint32_t h = 0; h < plan->home_count; h++) {
        if (plan->homes[h].memory == memory && plan->homes[h].value == value)
            return h;
    }
    return HE_NONE;
}

/* The root homes an event touches. */
static uint32_t touched(const struct events *e, uint32_t event, uint32_t *roots)
{
    const struct he_plan *plan = e->plan;
    const struct he_step *step = &plan->steps[e->step[event]];
    const struct he_task *task;
    uint32_t count = 0;

    if (e->task[event] == HE_NONE) {
        roots[count++] = plan->homes[step->from_home].root;
        roots[count++] = plan->homes[step->to_home].root;
        return count;
    }
    task = &plan->graph->tasks[e->task[event]];
    for (uint32_t k = 0; k < task->input_count + task->output_count; k++) {
        uint32_t value = k < task->input_count ? task->inputs[k]
                                               : task->outputs[k - task->input_count];
        uint32_t home = home_at(plan, plan->lanes[step->lane].memory, value);

        if (home != HE_NONE)
            roots[count++] = plan->homes[home].root;
    }
    return count;
}

/* Two values in the same bytes: all events of one come before all events of the other. */
static void check_overlaps(const struct events *e)
{
    const struct he_plan *plan = e->plan;
    uint32_t *users = calloc((size_t)plan->home_count * e->count + 1, sizeof *users);
    uint32_t *user_count = calloc(plan->home_count + 1, sizeof *user_count);
    uint32_t roots[128];

    ck_assert(users && user_count);
    for (uint32_t event = 0; event < e->count; event++) {
        uint32_t count = touched(e, event, roots);

        for (uint32_t k = 0; k < count; k++)
            users[(size_t)roots[k] * e->count + user_count[roots[k]]++] = event;
    }
    for (uint32_t a = 0; a < plan->home_count; a++) {
        const struct he_home *x = &plan->homes[a];

        if (x->kind != HE_HOME_ARENA || x->root != a)
            continue;
        ck_assert_uint_le(x->offset + x->bytes, plan->memories[x->memory].arena_bytes);
        for (uint32_t b = 0; b < a; b++) {
            const struct he_home *y = &plan->homes[b];
            bool forth = true, back = true;

            if (y->kind != HE_HOME_ARENA || y->root != b || y->memory != x->memory ||
                x->offset >= y->offset + y->bytes || y->offset >= x->offset + x->bytes)
                continue;
            for (uint32_t i = 0; i < user_count[a]; i++) {
                for (uint32_t j = 0; j < user_count[b]; j++) {
                    uint32_t u = users[(size_t)a * e->count + i], v = users[(size_t)b * e->count + j];

                    forth &= e->before[(size_t)u * e->count + v];
                    back &= e->before[(size_t)v * e->count + u];
                }
            }
            ck_assert_msg(forth || back, "values %u and %u share bytes %zu.. while both may live",
                          x->value, y->value, x->offset > y->offset ? x->offset : y->offset);
        }
    }
    free(users);
    free(user_count);
}

/* What a task reads was made, or brought into its memory, before it starts. */
static void check_waits(const struct events *e)
{
    const struct he_plan *plan = e->plan;
    const struct he_graph *graph = plan->graph;

    for (uint32_t event = 0; event < e->count; event++) {
        const struct he_step *step = &plan->steps[e->step[event]];
        const struct he_task *task;
        uint32_t memory = plan->lanes[step->lane].memory;

        if (e->task[event] == HE_NONE)
            continue;
        task = &graph->tasks[e->task[event]];
        for (uint32_t k = 0; k < task->input_count; k++) {
            uint32_t producer = graph->values[task->inputs[k]].producer, maker, at;
            bool is_there = false;

            if (producer == HE_NONE)
                continue;
            maker = e->event_of[graph->nodes[producer].task];
            ck_assert_msg(e->before[(size_t)maker * e->count + event],
                          "task %u may start before task %u", e->task[event], e->task[maker]);
            if (plan->lanes[plan->steps[e->step[maker]].lane].memory == memory)
                continue;
            at = home_at(plan, memory, task->inputs[k]);
            for (uint32_t c = 0; c < e->count && !is_there; c++)
                is_there = e->task[c] == HE_NONE && plan->steps[e->step[c]].to_home == at &&
                           e->before[(size_t)c * e->count + event] &&
                           e->before[(size_t)maker * e->count + c];
            ck_assert_msg(is_there, "no copy brings value %u to task %u", task->inputs[k],
                          e->task[event]);
        }
    }
}

START_TEST(lowered_plans_hold_whatever_the_timing)
{
    static const char *const machines[] = { "cpu:3", "cpu:2 gpu:2", "gpu:3" };
    struct he_engine_options options = { .struct_size = sizeof options, .cost_store = "",
                                         .devices = machines[_i % 3] };
    struct he_model *model = random_model((uint64_t)_i);
    uint64_t state = (uint64_t)_i * 31 + 7;
    struct he_engine *engine;
    struct he_arena arena;

    must(he_engine_create(&options, &engine));
    for (int k = 0; k < PLACEMENTS; k++) {
        struct he_plan *plan = place_at_random(engine, model, &state);
        struct events e;

        list_events(plan, &e);
        check_overlaps(&e);
        check_waits(&e);
        for (uint32_t m = 0; m < plan->memory_count; m++)
            ck_assert_uint_ge(plan->memories[m].arena_bytes, plan->memories[m].lower_bound_bytes);
        /* The same homes by lifetimes along the lanes, as where pairs are too many. */
        must(he_plan_pack_homes_within(plan, 0));
        check_overlaps(&e);
        for (uint32_t m = 0; m < plan->memory_count; m++)
            ck_assert_uint_ge(plan->memories[m].arena_bytes, plan->memories[m].lower_bound_bytes);
        free_events(&e);
        he_plan_destroy(plan);
    }
    he_engine_destroy(engine);
    arena = model->arena;
    he_arena_fini(&arena);
    free(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *tcase = tcase_create("plan");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, known_optima_are_found, 0, (int)HE_COUNT(optima));
    tcase_add_loop_test(tcase, limits_of_the_file_hold, 0, (int)HE_COUNT(budgets));
    tcase_add_test(tcase, limits_of_the_machine_hold);
    tcase_add_loop_test(tcase, bad_task_graphs_are_refused_with_their_place, 0,
                        (int)HE_COUNT(bad_graphs));
    tcase_add_loop_test(tcase, the_checker_sees_broken_schedules, 0, 11);
    tcase_add_loop_test(tcase, a_saved_plan_is_read_back, 0, 2);
    tcase_add_loop_test(tcase, bad_saved_plans_are_refused, 0, (int)HE_COUNT(bad_plans));
    tcase_add_test(tcase, an_explanation_names_every_candidate);
    tcase_add_loop_test(tcase, lowered_plans_hold_whatever_the_timing, 0, 60);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
