/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs sets of buffers under deadlines and prints the ratio of each total to the lower bound.
 *
 *   pack [--deadline S[,S...]] [--capacity BYTES] [--alignment N] [--seed N] [--wall] FILE.csv...
 *
 * A file has lines `id,lower,upper,size` behind a heading; a buffer lives from lower to upper - 1.
 * The number in a file's name (A.1048576.csv) is its capacity: where there is one, the search stops
 * when the set fits; --capacity 0 asks for the smallest total instead. Deadlines count CPU
 * seconds of the thread unless --wall is given. Every packing is checked.
 */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "mem/pack.h"

#define MOST 8 /* deadlines */

struct bench {
    double deadlines[MOST];
    size_t deadline_count;
    struct he_pack_options options;
    bool has_capacity;
    double sums[MOST], worst[MOST];
    unsigned fits[MOST], count;
};

static struct he_pack_item *read_set(const char *path, size_t *count)
{
    FILE *file = fopen(path, "r");
    struct he_pack_item *items = NULL;
    size_t room = 0, line_number = 0;
    char line[256];

    *count = 0;
    if (!file) {
        perror(path);
        return NULL;
    }
    while (fgets(line, sizeof line, file)) {
        unsigned lower, upper;
        size_t size;

        line_number++;
        if (sscanf(line, "%*[^,],%u,%u,%zu", &lower, &upper, &size) != 3 || upper <= lower) {
            if (line_number > 1)
                fprintf(stderr, "%s:%zu: not id,lower,upper,size\n", path, line_number);
            continue;
        }
        if (*count == room) {
            struct he_pack_item *grown = realloc(items, (room = 2 * room + 64) * sizeof *items);

            if (!grown)
                break;
            items = grown;
        }
        items[(*count)++] = (struct he_pack_item){ size, lower, upper - 1, 0 };
    }
    fclose(file);
    return items;
}

/* NAME.CAPACITY.csv; 0 when there is no number. */
static size_t capacity_of(const char *name)
{
    const char *dot = strchr(name, '.');

    return dot ? (size_t)strtoull(dot + 1, NULL, 10) : 0;
}

static int pack_file(struct bench *bench, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t count, capacity = bench->has_capacity ? bench->options.capacity : capacity_of(name);
    struct he_pack_item *items = read_set(path, &count);
    int failed = items == NULL;

    if (!items)
        return 1;
    for (size_t d = 0; d < bench->deadline_count; d++) {
        struct he_pack_options options = bench->options;
        struct he_pack_result result;
        uint64_t begin = options.counts_cpu_time ? he_thread_cpu_ns() : he_now_ns();
        double seconds, ratio;
        bool is_valid;

        options.capacity = capacity;
        options.time_limit = bench->deadlines[d];
        if (he_pack_within(items, count, &options, &he_allocator_default, &result) != HE_OK) {
            fprintf(stderr, "%s: %s\n", path, he_error_message());
            failed = 1;
            break;
        }
        seconds = (double)((options.counts_cpu_time ? he_thread_cpu_ns() : he_now_ns()) - begin) *
                  1e-9;
        is_valid = he_pack_is_valid(items, count, options.alignment);
        failed |= !is_valid;
        ratio = result.lower_bound ? (double)result.total_bytes / (double)result.lower_bound : 1.0;
        printf("%-24s %6zu %8.2f %12zu %12zu %8.4f %s%s %9.4f%s\n", name, count,
               bench->deadlines[d], result.lower_bound, result.total_bytes, ratio,
               capacity == 0 ? "  -" : result.total_bytes <= capacity ? "yes" : " no",
               result.is_optimal ? " *" : "  ", seconds, is_valid ? "" : " INVALID");
        fflush(stdout);
        bench->sums[d] += ratio;
        bench->worst[d] = fmax(bench->worst[d], ratio);
        bench->fits[d] += capacity > 0 && result.total_bytes <= capacity;
    }
    bench->count++;
    free(items);
    return failed;
}

static void read_deadlines(struct bench *bench, char *text)
{
    bench->deadline_count = 0;
    for (char *word = strtok(text, ","); word && bench->deadline_count < MOST;
         word = strtok(NULL, ","))
        bench->deadlines[bench->deadline_count++] = strtod(word, NULL);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        { "deadline", required_argument, NULL, 'd' }, { "capacity", required_argument, NULL, 'c' },
        { "alignment", required_argument, NULL, 'a' }, { "seed", required_argument, NULL, 's' },
        { "wall", no_argument, NULL, 'w' }, { "greedy", no_argument, NULL, 'g' },
        { NULL, 0, NULL, 0 },
    };
    struct bench bench = { .deadlines = { 1.0 }, .deadline_count = 1,
                           .options = { .alignment = 1, .counts_cpu_time = true } };
    int failed = 0, option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (option) {
        case 'd':
            read_deadlines(&bench, optarg);
            break;
        case 'c':
            bench.options.capacity = (size_t)strtoull(optarg, NULL, 10);
            bench.has_capacity = true;
            break;
        case 'a':
            bench.options.alignment = (size_t)strtoull(optarg, NULL, 10);
            break;
        case 's':
            bench.options.seed = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            bench.options.counts_cpu_time = false;
            break;
        case 'g':
            bench.options.is_greedy = true;
            break;
        default:
            return 2;
        }
    }
    printf("%-24s %6s %8s %12s %12s %8s %s %9s   (* optimal)\n", "set", "buffers", "deadline",
           "lower bound", "total", "ratio", "fits", "seconds");
    for (int k = optind; k < argc; k++)
        failed |= pack_file(&bench, argv[k]);
    for (size_t d = 0; d < bench.deadline_count && bench.count > 0; d++)
        printf("deadline %g s: %u sets, mean ratio %.4f, worst %.4f, %u fit\n", bench.deadlines[d],
               bench.count, bench.sums[d] / bench.count, bench.worst[d], bench.fits[d]);
    return failed;
}
