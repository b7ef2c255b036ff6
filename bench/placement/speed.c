/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long plans take as graphs grow: random layered graphs on machines of devices that all differ,
 * heft and the first answer of latency_aware (no time limit), in milliseconds of one thread: the
 * guard's plans, the policy, the judge. The least of a few. Prints a table; --svg draws it.
 *
 *   speed [--tasks N,...] [--devices P,...] [--ccr C] [--degree D] [--strategy NAME,...] [--svg FILE]
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "place/random.h"
#include "plan/plan.h"

#define MOST 16

struct bench {
    uint32_t tasks[MOST], devices[MOST];
    const char *strategies[MOST];
    size_t task_count, device_count, strategy_count;
    double ccr, degree;
    struct he_machine *machine;
    double ms[MOST][MOST][MOST]; /* [strategy][devices][tasks]; NAN: none */
};

static struct he_problem *grow(const struct bench *b, uint32_t n, uint32_t d)
{
    struct he_problem *p = he_problem_create(&he_allocator_default);
    struct he_random r = { .state = n * 1000003u + d };
    size_t most = (size_t)(n * (2.0 * b->degree + 1.0)) + 1;

    if (!p)
        return NULL;
    p->task_count = n;
    p->device_count = d;
    p->name = "speed";
    p->task_ids = he_arena_alloc(&p->arena, n, sizeof *p->task_ids);
    p->time = he_arena_alloc(&p->arena, n, d * sizeof *p->time);
    p->task_memory = he_arena_alloc(&p->arena, n, sizeof *p->task_memory);
    p->edges = he_arena_alloc(&p->arena, most, sizeof *p->edges);
    p->devices = he_arena_alloc(&p->arena, d, sizeof *p->devices);
    p->links = he_arena_alloc(&p->arena, d, d * sizeof *p->links);
    if (!p->task_ids || !p->time || !p->task_memory || !p->edges || !p->devices || !p->links) {
        he_problem_destroy(p);
        return NULL;
    }
    p->ignores_tensors = true;
    for (uint32_t j = 0; j < d; j++)
        p->devices[j] = (struct he_place_device){ .id = he_arena_printf(&p->arena, "d%u", j),
                                                  .kind = "cpu", .memory_bytes = INFINITY,
                                                  .server = j, .memory_node = j };
    for (uint32_t k = 0; k < d * d; k++)
        p->links[k] = (struct he_place_link){ .is_free = k / d == k % d,
                                              .bandwidth = 0.5 + he_random_unit(&r) };
    for (uint32_t t = 0; t < n; t++) {
        double work = 0.2 + 1.6 * he_random_unit(&r), wanted = 2.0 * b->degree * he_random_unit(&r);
        uint32_t width = (uint32_t)sqrt((double)n) + 1, back = t < 2 * width ? t : 2 * width;

        p->task_ids[t] = he_arena_printf(&p->arena, "t%u", t);
        for (uint32_t j = 0; j < d; j++)
            p->time[(size_t)t * d + j] = work * (0.5 + he_random_unit(&r));
        for (uint32_t k = 0; back > 0 && k < wanted; k++)
            p->edges[p->edge_count++] =
                (struct he_place_edge){ t - 1 - he_random_below(&r, back), t,
                                        b->ccr * 2.0 * he_random_unit(&r), 0 };
    }
    if (he_problem_index(p) != HE_OK) {
        he_problem_destroy(p);
        return NULL;
    }
    return p;
}

/* Milliseconds until there is a plan, the least of a few; NAN when there is none. The lower bound is
 * found afterwards and not counted. */
static double time_plan(const struct bench *b, const char *strategy, uint32_t n, uint32_t d)
{
    int rounds = n <= 1000 ? 9 : n <= 10000 ? 3 : 1;
    double least = INFINITY;

    for (int k = 0; k < rounds; k++) {
        struct he_place_options options = { .objective = HE_OBJECTIVE_LATENCY };
        struct he_problem *p = grow(b, n, d);
        struct he_plan *plan = NULL;
        he_status status = p ? he_plan_create(NULL, b->machine, p, NULL, strategy, &options,
                                              &he_allocator_default, &plan)
                             : HE_ERR_NO_MEMORY;

        if (status != HE_OK) {
            fprintf(stderr, "speed: %s: %s\n", strategy, he_error_message());
            return NAN;
        }
        least = fmin(least, plan->plan_seconds * 1e3);
        he_plan_destroy(plan);
    }
    return least;
}

/* --- The drawing: both axes by powers of ten, one line per strategy and machine --- */

#define LEFT 70.0
#define TOP 30.0
#define WIDTH 560.0
#define HEIGHT 360.0

static double low_tasks, high_tasks, low_ms, high_ms; /* log10 */

static double x_of(double tasks)
{
    return LEFT + WIDTH * (log10(tasks) - low_tasks) / fmax(high_tasks - low_tasks, 1e-9);
}

static double y_of(double ms)
{
    return TOP + HEIGHT * (1.0 - (log10(ms) - low_ms) / fmax(high_ms - low_ms, 1e-9));
}

static void find_ranges(const struct bench *b)
{
    low_tasks = low_ms = INFINITY;
    high_tasks = high_ms = -INFINITY;
    for (size_t t = 0; t < b->task_count; t++) {
        low_tasks = fmin(low_tasks, floor(log10(b->tasks[t]) + 1e-9));
        high_tasks = fmax(high_tasks, ceil(log10(b->tasks[t]) - 1e-9));
        for (size_t k = 0; k < b->strategy_count * b->device_count; k++) {
            double ms = b->ms[k / b->device_count][k % b->device_count][t];

            if (isnan(ms))
                continue;
            low_ms = fmin(low_ms, floor(log10(ms)));
            high_ms = fmax(high_ms, ceil(log10(ms)));
        }
    }
}

static void draw_grid(FILE *file)
{
    for (double e = low_tasks; e <= high_tasks; e++)
        fprintf(file, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='#ddd'/>"
                      "<text x='%.1f' y='%.1f' text-anchor='middle'>%g</text>\n",
                x_of(pow(10, e)), TOP, x_of(pow(10, e)), TOP + HEIGHT, x_of(pow(10, e)),
                TOP + HEIGHT + 18, pow(10, e));
    for (double e = low_ms; e <= high_ms; e++)
        fprintf(file, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='#ddd'/>"
                      "<text x='%.1f' y='%.1f' text-anchor='end'>%g ms</text>\n",
                LEFT, y_of(pow(10, e)), LEFT + WIDTH, y_of(pow(10, e)), LEFT - 6,
                y_of(pow(10, e)) + 4, pow(10, e));
    fprintf(file, "<text x='%.1f' y='%.1f' text-anchor='middle'>tasks</text>\n", LEFT + WIDTH / 2,
            TOP + HEIGHT + 38);
}

static bool draw(const struct bench *b, const char *path)
{
    static const char *const colors[] = { "#1f6feb", "#d1242f", "#1a7f37", "#8250df",
                                          "#bf8700", "#57606a", "#0a7ea4", "#bc4c00" };
    FILE *file = fopen(path, "w");
    unsigned line = 0;

    if (!file)
        return false;
    find_ranges(b);
    fprintf(file, "<svg xmlns='http://www.w3.org/2000/svg' width='860' height='450' "
                  "font-family='sans-serif' font-size='12'>\n"
                  "<rect width='860' height='450' fill='white'/>\n"
                  "<text x='%.1f' y='18' font-size='14'>Time to plan, one thread</text>\n",
            LEFT);
    draw_grid(file);
    for (size_t s = 0; s < b->strategy_count; s++) {
        for (size_t d = 0; d < b->device_count; d++, line++) {
            const char *color = colors[line % 8];

            fprintf(file, "<polyline fill='none' stroke-width='2' stroke='%s' points='", color);
            for (size_t t = 0; t < b->task_count; t++) {
                if (!isnan(b->ms[s][d][t]))
                    fprintf(file, "%.1f,%.1f ", x_of(b->tasks[t]), y_of(b->ms[s][d][t]));
            }
            fprintf(file, "'/>\n<text x='%.1f' y='%.1f' fill='%s'>%s, %u devices</text>\n",
                    LEFT + WIDTH + 12, TOP + 14 + 18 * line, color, b->strategies[s],
                    b->devices[d]);
        }
    }
    fprintf(file, "</svg>\n");
    return fclose(file) == 0;
}

static size_t read_numbers(char *text, uint32_t *numbers)
{
    size_t count = 0;

    for (char *word = strtok(text, ","); word && count < MOST; word = strtok(NULL, ","))
        numbers[count++] = (uint32_t)strtoul(word, NULL, 10);
    return count;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "tasks", required_argument, NULL, 'n' },    { "devices", required_argument, NULL, 'p' },
        { "ccr", required_argument, NULL, 'c' },      { "degree", required_argument, NULL, 'd' },
        { "strategy", required_argument, NULL, 's' }, { "svg", required_argument, NULL, 'o' },
        { NULL, 0, NULL, 0 },
    };
    struct bench b = { .tasks = { 100, 1000, 10000, 100000 }, .task_count = 4,
                       .devices = { 8, 64 }, .device_count = 2,
                       .strategies = { "heft", "latency_aware" }, .strategy_count = 2,
                       .ccr = 1.0, .degree = 3.0 };
    const char *svg = NULL;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'n': b.task_count = read_numbers(optarg, b.tasks); break;
        case 'p': b.device_count = read_numbers(optarg, b.devices); break;
        case 'c': b.ccr = strtod(optarg, NULL); break;
        case 'd': b.degree = strtod(optarg, NULL); break;
        case 'o': svg = optarg; break;
        case 's':
            b.strategy_count = 0;
            for (char *word = strtok(optarg, ","); word && b.strategy_count < MOST;
                 word = strtok(NULL, ","))
                b.strategies[b.strategy_count++] = word;
            break;
        default:
            fprintf(stderr, "usage: speed [--tasks N,...] [--devices P,...] [--ccr C] [--degree D] "
                            "[--strategy NAME,...] [--svg FILE]\n");
            return 2;
        }
    }
    if (he_machine_create("speed", NULL, &b.machine) != HE_OK)
        return 1;
    printf("%-16s %8s", "strategy", "devices");
    for (size_t t = 0; t < b.task_count; t++)
        printf(" %8u n", b.tasks[t]);
    printf("   (ms)\n");
    for (size_t s = 0; s < b.strategy_count; s++) {
        for (size_t d = 0; d < b.device_count; d++) {
            printf("%-16s %8u", b.strategies[s], b.devices[d]);
            for (size_t t = 0; t < b.task_count; t++) {
                b.ms[s][d][t] = b.tasks[t] && b.devices[d]
                                    ? time_plan(&b, b.strategies[s], b.tasks[t], b.devices[d])
                                    : NAN;
                printf(" %10.2f", b.ms[s][d][t]);
                fflush(stdout);
            }
            printf("\n");
        }
    }
    he_machine_destroy(b.machine);
    if (svg && !draw(&b, svg)) {
        perror(svg);
        return 1;
    }
    return 0;
}
