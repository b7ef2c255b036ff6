/* SPDX-License-Identifier: Apache-2.0 */
/* Regions: a table, and convexity, acyclicity and order on random graphs. */
#include "place_support.h"

#include "graph/graph.h"
#include "partition/partition.h"

static const struct {
    const char *what, *problem;
    uint32_t device[5], order[5];
    const char *expect; /* regions by their tasks */
} cases[] = {
    { "one device, one region", "dev c; task a c=1; task b c=1; task x c=1; edge a b 1", { 0, 0, 0 },
      { 0, 2, 1 }, "a x b" },
    { "a path that leaves and comes back cuts",
      "dev c; dev g; task a c=1; task b g=1; task x c=1; edge a b 1; edge b x 1", { 0, 1, 0 },
      { 0, 1, 2 }, "a | b | x" },
    { "also between devices of one server",
      "dev c server=1; dev g server=1; task a c=1; task b g=1; task x c=1; edge a b 1; edge b x 1",
      { 0, 1, 0 }, { 0, 1, 2 }, "a | b | x" },
    { "a result another server waits for is not held back",
      "dev c; dev g; task a c=1; task b g=1; task x c=1; edge a b 1", { 0, 1, 0 }, { 0, 1, 2 },
      "a | b | x" },
    { "on one server nothing is gained by that",
      "dev c server=1; dev g server=1; task a c=1; task b g=1; task x c=1; edge a b 1", { 0, 1, 0 },
      { 0, 1, 2 }, "a x | b" },
    { "work that is ready does not wait for another server",
      "dev c; dev g; task a c=1; task b g=1; task x c=1; edge b x 1", { 0, 1, 0 }, { 0, 1, 2 },
      "a | b | x" },
    { "one wait is enough for all that follow",
      "dev c; dev g; task b g=1; task x c=1; task y c=1; edge b x 1; edge b y 1; edge x y 1",
      { 1, 0, 0 }, { 0, 1, 2 }, "b | x y" },
    { "two regions that would wait for each other",
      "dev c server=1; dev g server=1; task a c=1; task b g=1; task x g=1; task y c=1; edge a x 1;"
      "edge b y 1",
      { 0, 1, 1, 0 }, { 0, 1, 2, 3 }, "a | b x | y" },
};

START_TEST(regions_are_the_ones_expected)
{
    struct he_problem *p = place_parse(cases[_i].problem);
    struct he_placement answer = { (uint32_t *)cases[_i].device, (uint32_t *)cases[_i].order, "test" };
    struct he_part *parts;
    uint32_t count;
    char found[256] = "";

    ck_assert_int_eq(he_partition(p, &answer, &p->arena, &parts, &count), HE_OK);
    for (uint32_t r = 0; r < count; r++) {
        strcat(found, r ? " |" : "");
        for (uint32_t k = 0; k < parts[r].task_count; k++) {
            strcat(found, r || k ? " " : "");
            strcat(found, p->task_ids[parts[r].tasks[k]]);
        }
    }
    ck_assert_msg(strcmp(found, cases[_i].expect) == 0, "%s: %s", cases[_i].what, found);
    he_problem_destroy(p);
}
END_TEST

/* Whether a path from a member goes outside and comes back, by a search from every member. */
static bool leaves_and_returns(const struct he_problem *p, const bool *members, uint32_t task,
                               bool is_outside, bool *seen)
{
    for (uint32_t e = 0; e < p->edge_count; e++) {
        uint32_t to = p->edges[e].to;

        if (p->edges[e].from != task)
            continue;
        if (members[to]) {
            if (is_outside)
                return true;
            continue; /* a search of its own starts there */
        }
        if (!seen[to]) {
            seen[to] = true;
            if (leaves_and_returns(p, members, to, true, seen))
                return true;
        }
    }
    return false;
}

static bool is_convex(const struct he_problem *p, const bool *members)
{
    bool *seen = calloc(p->task_count, sizeof *seen), found = false;

    for (uint32_t t = 0; t < p->task_count && !found; t++) {
        memset(seen, 0, p->task_count * sizeof *seen);
        found = members[t] && leaves_and_returns(p, members, t, false, seen);
    }
    free(seen);
    return !found;
}

/* A random placement in a random topological order. */
static struct he_placement scatter(struct he_problem *p, struct place_random *r)
{
    struct he_placement a = { .policy = "test" };
    bool *is_done = he_arena_alloc(&p->arena, p->task_count, sizeof *is_done);
    uint32_t done = 0, run = 1 + place_below(r, 5);

    a.device = he_arena_alloc(&p->arena, p->task_count, sizeof(uint32_t));
    a.order = he_arena_alloc(&p->arena, p->task_count, sizeof(uint32_t));
    for (uint32_t t = 0; t < p->task_count; t++)
        a.device[t] = t > 0 && place_below(r, run) ? a.device[t - 1] : place_below(r, p->device_count);
    while (done < p->task_count) {
        uint32_t t = place_below(r, p->task_count);
        bool is_ready = !is_done[t];

        for (uint32_t k = p->in_start[t]; is_ready && k < p->in_start[t + 1]; k++)
            is_ready = is_done[p->edges[p->in_edges[k]].from];
        if (is_ready) {
            is_done[t] = true;
            a.order[done++] = t;
        }
    }
    return a;
}

static void check_parts(const struct he_problem *p, const struct he_placement *a,
                        const struct he_part *parts, uint32_t count)
{
    uint32_t *region = calloc(p->task_count, sizeof *region), *at = calloc(p->task_count, sizeof *at);
    uint32_t *last = calloc(p->device_count, sizeof *last), tasks = 0;
    bool *members = calloc(p->task_count, sizeof *members);

    for (uint32_t k = 0; k < p->task_count; k++) {
        region[k] = UINT32_MAX;
        at[a->order[k]] = k;
    }
    for (uint32_t r = 0; r < count; r++) {
        ck_assert_uint_gt(parts[r].task_count, 0);
        memset(members, 0, p->task_count * sizeof *members);
        for (uint32_t k = 0; k < parts[r].task_count; k++) {
            uint32_t task = parts[r].tasks[k];

            ck_assert_uint_eq(region[task], UINT32_MAX);
            ck_assert_uint_eq(a->device[task], parts[r].device);
            region[task] = r;
            members[task] = true;
            tasks++;
            /* A device follows the placement's order, within and across its regions. */
            ck_assert_uint_ge(at[task] + 1, last[parts[r].device]);
            last[parts[r].device] = at[task] + 1;
        }
        ck_assert_msg(is_convex(p, members), "region %u is not convex", r);
        ck_assert(he_partition_is_convex(p, members));
    }
    ck_assert_uint_eq(tasks, p->task_count);
    /* Regions in a topological order: no edge goes back, so there is no cycle. */
    for (uint32_t e = 0; e < p->edge_count; e++)
        ck_assert_uint_le(region[p->edges[e].from], region[p->edges[e].to]);
    free(region);
    free(at);
    free(last);
    free(members);
}

START_TEST(regions_of_random_graphs_are_convex_and_acyclic)
{
    for (int k = 0; k < 250; k++) {
        struct place_random r = { (uint64_t)(_i * 250 + k) };
        struct place_shape shape = { .tasks = 1 + (uint32_t)(k % 50),
                                     .devices = 1 + (uint32_t)(k % 4),
                                     .density = 0.3 + k % 4,
                                     .transfers = 1,
                                     .has_shared_servers = k % 2 == 0 };
        struct he_problem *p = place_random(&shape, (uint64_t)(_i * 250 + k));
        struct he_placement answer = scatter(p, &r);
        struct he_part *parts;
        uint32_t count;

        ck_assert_msg(he_partition(p, &answer, &p->arena, &parts, &count) == HE_OK, "%s",
                      he_error_message());
        check_parts(p, &answer, parts, count);
        if (p->device_count == 1)
            ck_assert_uint_eq(count, 1);
        he_problem_destroy(p);
    }
}
END_TEST

static double time_of(const struct he_problem *p, uint32_t task, uint32_t device)
{
    double time = he_problem_time(p, task, device);

    return isfinite(time) ? time : 1;
}

/* When every task ends when each starts as soon as its device is free and its inputs are there. */
static void run_tasks(const struct he_problem *p, const struct he_placement *a, double *finish)
{
    double *is_free = calloc(p->device_count, sizeof *is_free);

    for (uint32_t k = 0; k < p->task_count; k++) {
        uint32_t t = a->order[k], j = a->device[t];
        double start = is_free[j];

        for (uint32_t i = p->in_start[t]; i < p->in_start[t + 1]; i++) {
            const struct he_place_edge *edge = &p->edges[p->in_edges[i]];

            start = fmax(start, finish[edge->from] +
                                    he_problem_transfer(p, a->device[edge->from], j, edge->bytes));
        }
        is_free[j] = finish[t] = start + time_of(p, t, j);
    }
    free(is_free);
}

/* The same for regions: they start when all their inputs are there, and hand over at their end. */
static void run_regions(const struct he_problem *p, const struct he_placement *a,
                        const struct he_part *parts, uint32_t count, double *finish)
{
    double *is_free = calloc(p->device_count, sizeof *is_free);
    double *end = calloc(p->task_count, sizeof *end);
    uint32_t *region = calloc(p->task_count, sizeof *region);

    for (uint32_t r = 0; r < count; r++) {
        for (uint32_t k = 0; k < parts[r].task_count; k++)
            region[parts[r].tasks[k]] = r;
    }
    for (uint32_t r = 0; r < count; r++) {
        uint32_t j = parts[r].device;
        double now = is_free[j];

        for (uint32_t k = 0; k < parts[r].task_count; k++) {
            uint32_t t = parts[r].tasks[k];

            for (uint32_t i = p->in_start[t]; i < p->in_start[t + 1]; i++) {
                const struct he_place_edge *edge = &p->edges[p->in_edges[i]];

                if (region[edge->from] != r)
                    now = fmax(now, end[region[edge->from]] +
                                        he_problem_transfer(p, a->device[edge->from], j,
                                                            edge->bytes));
            }
        }
        for (uint32_t k = 0; k < parts[r].task_count; k++)
            finish[parts[r].tasks[k]] = now += time_of(p, parts[r].tasks[k], j);
        end[r] = is_free[j] = now;
    }
    free(is_free);
    free(end);
    free(region);
}

/* Merging tasks into one launch costs nothing: every task ends when it did alone. */
START_TEST(regions_end_when_their_tasks_would)
{
    uint32_t merged = 0;

    for (int k = 0; k < 250; k++) {
        struct place_random r = { (uint64_t)(_i * 250 + k) };
        struct place_shape shape = { .tasks = 1 + (uint32_t)(k % 50),
                                     .devices = 1 + (uint32_t)(k % 4),
                                     .density = 0.3 + k % 4,
                                     .transfers = k % 2 };
        struct he_problem *p = place_random(&shape, (uint64_t)(_i * 250 + k));
        struct he_placement answer = scatter(p, &r);
        double *alone = calloc(p->task_count, sizeof *alone);
        double *together = calloc(p->task_count, sizeof *together);
        struct he_part *parts;
        uint32_t count;

        ck_assert_msg(he_partition(p, &answer, &p->arena, &parts, &count) == HE_OK, "%s",
                      he_error_message());
        run_tasks(p, &answer, alone);
        run_regions(p, &answer, parts, count, together);
        for (uint32_t t = 0; t < p->task_count; t++)
            ck_assert_msg(together[t] <= alone[t] * (1 + 1e-9),
                          "graph %d, transfers %g: task %u ends at %g, alone at %g", k,
                          shape.transfers, t, together[t], alone[t]);
        merged += p->task_count - count;
        free(alone);
        free(together);
        he_problem_destroy(p);
    }
    ck_assert_uint_gt(merged, 250);
}
END_TEST

START_TEST(convexity_agrees_with_a_search_from_every_member)
{
    uint32_t convex = 0, total = 0;

    for (int k = 0; k < 400; k++) {
        struct place_random r = { (uint64_t)k };
        struct place_shape shape = { .tasks = 2 + (uint32_t)(k % 12), .devices = 1, .density = 1.5 };
        struct he_problem *p = place_random(&shape, (uint64_t)k);
        bool members[16];

        for (uint32_t t = 0; t < p->task_count; t++)
            members[t] = place_below(&r, 2);
        ck_assert(he_partition_is_convex(p, members) == is_convex(p, members));
        convex += is_convex(p, members);
        total++;
        he_problem_destroy(p);
    }
    ck_assert(convex > total / 10 && convex < total); /* both answers occur */
}
END_TEST

/* --- Slots, on a graph made by hand --- */

/* in -> Relu -> r -> Reshape -> v -> Relu -> out; r also -> Identity -> kept (an output). */
START_TEST(slots_have_roles_and_views_share)
{
    struct he_value values[5] = { 0 };
    struct he_node nodes[4] = { 0 };
    struct he_task tasks[4] = { 0 };
    struct he_graph graph = { .name = "hand", .values = values, .value_count = 5, .nodes = nodes,
                              .node_count = 4, .tasks = tasks, .task_count = 4 };
    static const char *const ops[] = { "Relu", "Reshape", "Relu", "Abs" };
    static uint32_t in[] = { 0, 1, 2, 1 }, out[] = { 1, 2, 3, 4 }, all[] = { 0, 1, 2, 3 };
    struct he_arena arena;
    struct he_slot *slots;
    uint32_t count;

    for (uint32_t k = 0; k < 5; k++)
        values[k] = (struct he_value){ .name = "v", .dtype = HE_FLOAT32, .producer = k ? k - 1 : HE_NONE,
                                       .shape = { .rank = 1, .dims = { 8 } } };
    values[0].is_input = true;
    values[3].is_output = values[4].is_output = true;
    for (uint32_t k = 0; k < 4; k++) {
        nodes[k] = (struct he_node){ .name = "", .op = ops[k], .domain = "", .opset = 17,
                                     .inputs = &in[k], .input_count = 1, .explicit_input_count = 1,
                                     .outputs = &out[k], .output_count = 1, .task = k };
        tasks[k] = (struct he_task){ .nodes = &all[k], .node_count = 1, .anchor = k, .inputs = &in[k],
                                     .input_count = 1, .outputs = &out[k], .output_count = 1 };
    }
    he_arena_init(&arena, &he_allocator_default);

    ck_assert_int_eq(he_partition_slots(&graph, all, 4, &arena, &slots, &count), HE_OK);
    ck_assert_uint_eq(count, 5);
    ck_assert(slots[0].value == 0 && slots[0].role == HE_SLOT_INPUT && slots[0].alias == HE_NONE);
    ck_assert(slots[1].value == 1 && slots[1].role == HE_SLOT_INTERIOR);
    ck_assert(slots[2].value == 2 && slots[2].role == HE_SLOT_INTERIOR && slots[2].alias == 1);
    ck_assert(slots[3].value == 3 && slots[3].role == HE_SLOT_OUTPUT && slots[3].alias == HE_NONE);
    ck_assert(slots[4].value == 4 && slots[4].role == HE_SLOT_OUTPUT);

    /* The first two tasks alone: what the others read is an output now. */
    ck_assert_int_eq(he_partition_slots(&graph, all, 2, &arena, &slots, &count), HE_OK);
    ck_assert_uint_eq(count, 3);
    ck_assert(slots[1].role == HE_SLOT_OUTPUT && slots[2].role == HE_SLOT_OUTPUT);
    ck_assert(slots[2].alias == 1);

    /* A shape that is not known before it runs shares nothing. */
    values[2].shape.dims[0] = HE_DIM_UNKNOWN;
    ck_assert_int_eq(he_partition_slots(&graph, all, 4, &arena, &slots, &count), HE_OK);
    ck_assert(slots[2].is_dynamic && slots[2].alias == HE_NONE && !slots[3].is_dynamic);
    he_arena_fini(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("partition");
    TCase *tc = tcase_create("partition");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, regions_are_the_ones_expected, 0, HE_COUNT(cases));
    tcase_add_loop_test(tc, regions_of_random_graphs_are_convex_and_acyclic, 0, 4);
    tcase_add_loop_test(tc, regions_end_when_their_tasks_would, 0, 4);
    tcase_add_test(tc, convexity_agrees_with_a_search_from_every_member);
    tcase_add_test(tc, slots_have_roles_and_views_share);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
