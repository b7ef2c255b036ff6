/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places task-graph files by several strategies under several deadlines, has every plan
 * checked by the independent checker, and prints value / reference. Deadlines count CPU seconds
 * of the planning thread unless --wall is given, so that a busy machine does not change the figures.
 *
 *   solve [--deadline S[,S...]] [--strategy NAME[,NAME...]] [--objective NAME] [--seed N]
 *         [--references FILE.csv] [--wall] [--quiet] FILE.json...
 *
 * The reference file has lines `name,value`; name is that of the instance's file without
 * folder and ending. Without a reference the lower bound is one. --objective is makespan, bottleneck,
 * sum_cost or energy; without it the strategy says.
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/file.h"
#include "plan/plan.h"

#define MOST 16 /* strategies, deadlines on one command line */

struct summary {
    double log_sum, worst, seconds;
    unsigned count, best_count, fail_count;
};

struct bench {
    const char *strategies[MOST];
    double deadlines[MOST];
    size_t strategy_count, deadline_count;
    const char *references;
    enum he_objective objective;
    bool has_objective, is_wall, is_quiet;
    uint64_t seed;
    struct he_machine *machine; /* without devices: the files name theirs */
    struct summary summaries[MOST][MOST];
};

static size_t split(char *text, const char **words)
{
    size_t count = 0;

    for (char *word = strtok(text, ","); word && count < MOST; word = strtok(NULL, ","))
        words[count++] = word;
    return count;
}

/* `name,value` of @path; NAN when there is none. */
static double find_reference(const struct bench *bench, const char *name)
{
    FILE *file = bench->references ? fopen(bench->references, "r") : NULL;
    char line[512];
    double value = NAN;

    while (file && isnan(value) && fgets(line, sizeof line, file)) {
        char *comma = strrchr(line, ',');

        if (!comma)
            continue;
        *comma = '\0';
        if (strcmp(line, name) == 0)
            value = strtod(comma + 1, NULL);
    }
    if (file)
        fclose(file);
    return value;
}

static void get_name(const char *path, char *name, size_t size)
{
    const char *slash = strrchr(path, '/');
    char *dot;

    snprintf(name, size, "%s", slash ? slash + 1 : path);
    dot = strrchr(name, '.');
    if (dot)
        *dot = '\0';
}

/* One plan; NAN when there is none. */
static double solve(struct bench *bench, const char *path, const char *strategy, double deadline,
                    double *lower_bound, double *seconds)
{
    struct he_place_options options = { .objective = bench->objective,
                                        .time_limit = deadline,
                                        .seed = bench->seed,
                                        .counts_cpu_time = !bench->is_wall };
    struct he_problem *problem;
    struct he_plan *plan = NULL;
    struct he_file file;
    uint64_t begin_ns;
    double value = NAN;
    he_status status = he_file_map(path, &file);

    if (status == HE_OK) {
        status = he_problem_read_json(path, file.data, file.size, bench->machine,
                                      &he_allocator_default, &problem);
        he_file_unmap(&file);
    }
    begin_ns = bench->is_wall ? he_now_ns() : he_thread_cpu_ns();
    if (status == HE_OK)
        status = he_plan_create(NULL, bench->machine, problem, NULL, strategy, &options,
                                &he_allocator_default, &plan);
    *seconds = (double)((bench->is_wall ? he_now_ns() : he_thread_cpu_ns()) - begin_ns) * 1e-9;
    if (status == HE_OK)
        status = he_plan_check(plan);
    if (status == HE_OK) {
        value = bench->has_objective ? he_schedule_value(&plan->schedule, bench->objective)
                                     : plan->value;
        *lower_bound = plan->lower_bound;
    } else {
        fprintf(stderr, "%s: %s: %s\n", path, strategy, he_error_message());
    }
    he_plan_destroy(plan);
    return value;
}

static void record(struct summary *summary, double ratio, double seconds)
{
    if (isnan(ratio)) {
        summary->fail_count++;
        return;
    }
    summary->log_sum += log(ratio);
    summary->worst = fmax(summary->worst, ratio);
    summary->seconds += seconds;
    summary->best_count += ratio <= 1.0 + 1e-6;
    summary->count++;
}

static void solve_file(struct bench *bench, const char *path)
{
    char name[256];
    double reference;

    get_name(path, name, sizeof name);
    reference = find_reference(bench, name);
    for (size_t s = 0; s < bench->strategy_count; s++) {
        for (size_t d = 0; d < bench->deadline_count; d++) {
            double bound = NAN, seconds = 0.0, against;
            double value = solve(bench, path, bench->strategies[s], bench->deadlines[d], &bound,
                                 &seconds);

            against = isnan(reference) ? bound : reference;
            record(&bench->summaries[s][d], value / against, seconds);
            if (bench->is_quiet)
                continue;
            printf("%s,%s,%g,%.9g,%.9g,%.9g,%.6f,%.4f\n", name, bench->strategies[s],
                   bench->deadlines[d], value, reference, bound, value / against, seconds);
            fflush(stdout);
        }
    }
}

static void print_summary(const struct bench *bench)
{
    printf("\n%-16s %8s %6s %9s %9s %8s %10s %6s\n", "strategy", "deadline", "files", "gm ratio",
           "worst", "<= 1", "seconds", "failed");
    for (size_t s = 0; s < bench->strategy_count; s++) {
        for (size_t d = 0; d < bench->deadline_count; d++) {
            const struct summary *sum = &bench->summaries[s][d];
            double count = sum->count ? sum->count : 1;

            printf("%-16s %8g %6u %9.4f %9.4f %6.1f %% %10.4f %6u\n", bench->strategies[s],
                   bench->deadlines[d], sum->count, exp(sum->log_sum / count), sum->worst,
                   100.0 * sum->best_count / count, sum->seconds / count, sum->fail_count);
        }
    }
}

static bool find_objective(const char *name, struct bench *bench)
{
    for (int k = HE_OBJECTIVE_LATENCY; k <= HE_OBJECTIVE_ENERGY; k++) {
        if (strcmp(he_objective_name((enum he_objective)k), name) == 0) {
            bench->objective = (enum he_objective)k;
            bench->has_objective = true;
        }
    }
    return bench->has_objective;
}

static bool read_arguments(int argc, char **argv, struct bench *bench)
{
    static const struct option options[] = {
        { "deadline", required_argument, NULL, 'd' },  { "strategy", required_argument, NULL, 's' },
        { "objective", required_argument, NULL, 'o' }, { "references", required_argument, NULL, 'r' },
        { "seed", required_argument, NULL, 'n' },      { "wall", no_argument, NULL, 'w' },
        { "quiet", no_argument, NULL, 'q' },           { NULL, 0, NULL, 0 },
    };
    const char *words[MOST];

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'd':
            bench->deadline_count = split(optarg, words);
            for (size_t k = 0; k < bench->deadline_count; k++)
                bench->deadlines[k] = strtod(words[k], NULL);
            break;
        case 's':
            bench->strategy_count = split(optarg, bench->strategies);
            break;
        case 'o':
            if (!find_objective(optarg, bench)) {
                fprintf(stderr, "solve: no objective '%s'\n", optarg);
                return false;
            }
            break;
        case 'r':
            bench->references = optarg;
            break;
        case 'n':
            bench->seed = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            bench->is_wall = true;
            break;
        case 'q':
            bench->is_quiet = true;
            break;
        default:
            return false;
        }
    }
    return optind < argc;
}

int main(int argc, char **argv)
{
    struct bench bench = { .strategies = { "latency_aware" }, .strategy_count = 1,
                           .deadline_count = 1 };
    int failed = 0;

    if (!read_arguments(argc, argv, &bench)) {
        fprintf(stderr, "usage: solve [--deadline S,...] [--strategy NAME,...] [--objective NAME] "
                        "[--seed N] [--references FILE.csv] [--wall] [--quiet] FILE.json...\n");
        return 2;
    }
    if (he_machine_create("files", NULL, &bench.machine) != HE_OK) {
        fprintf(stderr, "solve: %s\n", he_error_message());
        return 1;
    }
    if (!bench.is_quiet)
        printf("instance,strategy,deadline,value,reference,lower_bound,ratio,seconds\n");
    for (int k = optind; k < argc; k++)
        solve_file(&bench, argv[k]);
    print_summary(&bench);
    for (size_t s = 0; s < bench.strategy_count; s++) {
        for (size_t d = 0; d < bench.deadline_count; d++)
            failed += bench.summaries[s][d].fail_count > 0;
    }
    he_machine_destroy(bench.machine);
    return failed ? 1 : 0;
}
