/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task graphs with a known optimum. The timelines of P devices are filled to T without idle time;
 * a task takes w on the device it was planted on and at least w elsewhere; edges are laid only
 * where the transfer, on its link behind those laid before, arrives before the reader starts. The plan
 * that was planted is therefore feasible, and no plan can be shorter: all tasks together take
 * P * T wherever they run, which is the area bound. Tasks are written in random order.
 *
 *   planted --tasks N --devices P --ccr C --seed S [options] -o FILE.json
 *
 *   --family strict|types|factor|loose   times elsewhere: strictly more (the default); equal on devices
 *                      of one type, more on others; w times 1..--factor; equal on many devices
 *   --types K          how many types of devices there are (4)
 *   --factor F         the most that a task takes elsewhere, as a multiple of w (4)
 *   --degree D         mean number of edges into a task (3)
 *   --reach R          producers are chosen among the tasks that finish within this share of T before
 *                      the latest possible moment: small values make long paths (0.05)
 *   --local L          this share of the edges joins tasks of one device (0.3)
 *   --chains           the next task of a device often waits for the one before it
 *   --links M          bandwidths differ by link, by up to a factor of M (1)
 *   --caps             every device's memory is what the planted plan uses of it
 *   --free-links       links carry any number of transfers at once ("contention": false)
 *   --references FILE  appends `name,T` for bench/placement/solve
 */
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "place/random.h"
#include "place/timeline.h"

enum family { STRICT, TYPES, FACTOR, LOOSE };
static const char *const family_names[] = { "strict", "types", "factor", "loose" };

struct settings {
    uint32_t task_count, device_count, type_count;
    double ccr, factor, degree, reach, local, link_spread;
    uint64_t seed;
    enum family family;
    bool has_caps, has_chains, has_free_links;
    const char *output, *references;
};

struct task {
    double start, finish;
    uint32_t device;
    double memory;
};

struct edge {
    uint32_t from, to;
    double bytes;
};

struct garden {
    const struct settings *set;
    struct he_random random;
    struct task *tasks;       /* by device, then by start */
    uint32_t *first;          /* per device: its tasks are first[d] .. first[d + 1] */
    uint32_t *by_start, *by_finish;
    struct edge *edges;
    size_t edge_count, edge_capacity;
    struct he_timeline *links;
    double *bandwidth;        /* [from * device_count + to] */
    double length;            /* T */
};

static void *get(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);

    if (!memory) {
        fprintf(stderr, "planted: no memory\n");
        exit(1);
    }
    return memory;
}

static double between(struct garden *g, double low, double high)
{
    return low + (high - low) * he_random_unit(&g->random);
}

/* Six digits: what the file says is then exactly what was planted. */
static double rounded(double value)
{
    return nearbyint(value * 1e6) / 1e6;
}

/* Every device is filled to the same T with whole microseconds. */
static void plant_tasks(struct garden *g)
{
    const struct settings *s = g->set;
    uint32_t n = s->task_count, p = s->device_count;
    double micros = floor((double)n / p * 1e6);

    g->tasks = get(n, sizeof *g->tasks);
    g->first = get((size_t)p + 1, sizeof *g->first);
    g->length = micros / 1e6;
    for (uint32_t d = 0; d < p; d++) {
        uint32_t count = n / p + (d < n % p);
        double *share = get(count, sizeof *share), sum = 0.0, at = 0.0;

        g->first[d + 1] = g->first[d] + count;
        for (uint32_t k = 0; k < count; k++)
            sum += share[k] = between(g, 0.2, 1.8);
        for (uint32_t k = 0; k < count; k++) {
            struct task *task = &g->tasks[g->first[d] + k];

            task->device = d;
            task->start = nearbyint(at / sum * micros) / 1e6;
            at += share[k];
            task->finish = k + 1 == count ? g->length : nearbyint(at / sum * micros) / 1e6;
            task->memory = 1 + he_random_below(&g->random, 1000);
        }
        free(share);
    }
}

static const struct garden *sorting;
static int compare_starts(const void *left, const void *right)
{
    const struct task *a = &sorting->tasks[*(const uint32_t *)left];
    const struct task *b = &sorting->tasks[*(const uint32_t *)right];

    return a->start != b->start ? (a->start < b->start ? -1 : 1) : (a > b) - (a < b);
}

static int compare_finishes(const void *left, const void *right)
{
    const struct task *a = &sorting->tasks[*(const uint32_t *)left];
    const struct task *b = &sorting->tasks[*(const uint32_t *)right];

    return a->finish != b->finish ? (a->finish < b->finish ? -1 : 1) : (a > b) - (a < b);
}

/* How many of by_finish[] finish by @moment. */
static uint32_t finished_by(const struct garden *g, double moment)
{
    uint32_t low = 0, high = g->set->task_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (g->tasks[g->by_finish[middle]].finish <= moment)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add_edge(struct garden *g, uint32_t from, uint32_t to, double bytes)
{
    if (g->edge_count == g->edge_capacity) {
        g->edge_capacity = g->edge_capacity ? g->edge_capacity * 2 : 1024;
        g->edges = realloc(g->edges, g->edge_capacity * sizeof *g->edges);
        if (!g->edges)
            exit(1);
    }
    g->edges[g->edge_count++] = (struct edge){ from, to, bytes };
}

/* Lays an edge if the transfer arrives in time. */
static void try_edge(struct garden *g, uint32_t from, uint32_t to, double bytes)
{
    const struct task *a = &g->tasks[from], *b = &g->tasks[to];
    size_t pair = (size_t)a->device * g->set->device_count + b->device;
    double duration = bytes / g->bandwidth[pair], begin = a->finish;

    if (a->device == b->device) {
        if (a->finish <= b->start)
            add_edge(g, from, to, bytes);
        return;
    }
    if (!g->set->has_free_links)
        begin = he_timeline_find(&g->links[pair], begin, duration);
    if (begin + duration > b->start)
        return;
    if (!g->set->has_free_links) {
        if (he_timeline_reserve(&g->links[pair], &he_allocator_default) != HE_OK)
            exit(1);
        he_timeline_take(&g->links[pair], begin, duration);
    }
    add_edge(g, from, to, bytes);
}

static int compare_numbers(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

/* The readers in the order of their starts, each one's producers in the order in which they finish:
 * that is how transfers are booked when the planted plan is judged, so it is feasible as it is. */
static void lay_edges(struct garden *g)
{
    const struct settings *s = g->set;
    uint32_t n = s->task_count;
    double mean = g->length * s->device_count / n;

    for (uint32_t k = 0; k < n; k++) {
        uint32_t to = g->by_start[k], picked[64], count = 0;
        double wanted = between(g, 0.0, 2.0 * s->degree), start = g->tasks[to].start;
        uint32_t low = finished_by(g, start - s->reach * g->length - s->ccr * mean);
        uint32_t high = finished_by(g, start), device = g->tasks[to].device;

        if (s->has_chains && to > g->first[device] && he_random_below(&g->random, 2))
            picked[count++] = (uint32_t)(to - 1) | 0x80000000u;
        while (count < wanted && count < 64 && high > low) {
            if (he_random_unit(&g->random) < s->local && to > g->first[device]) {
                uint32_t back = (uint32_t)(s->reach * (to - g->first[device])) + 1;

                picked[count++] = (to - 1 - he_random_below(&g->random, back)) | 0x80000000u;
            } else {
                picked[count++] = low + he_random_below(&g->random, high - low);
            }
        }
        for (uint32_t i = 0; i < count; i++) { /* from numbers of tasks to places in by_finish */
            if (picked[i] & 0x80000000u) {
                uint32_t from = picked[i] & 0x7fffffffu;
                uint32_t at = finished_by(g, g->tasks[from].finish);

                while (g->by_finish[--at] != from)
                    ;
                picked[i] = at;
            }
        }
        qsort(picked, count, sizeof *picked, compare_numbers);
        for (uint32_t i = 0; i < count; i++) {
            if (i == 0 || picked[i] != picked[i - 1])
                try_edge(g, g->by_finish[picked[i]], to,
                         ceil(between(g, 0.1, 1.9) * s->ccr * mean * 1e6));
        }
    }
}

/* The times of a task: w on its own device, at least w on others. */
static void write_times(struct garden *g, FILE *file, const struct task *task)
{
    const struct settings *s = g->set;
    double w = rounded(task->finish - task->start), type_factor[64];
    uint32_t home_type = task->device % s->type_count;

    for (uint32_t k = 0; k < s->type_count; k++)
        type_factor[k] = k == home_type ? 1.0 : between(g, 1.01, s->factor);
    fprintf(file, "\"time\":{");
    for (uint32_t d = 0; d < (s->family == TYPES ? s->type_count : s->device_count); d++) {
        double factor = 1.0;

        if (s->family == TYPES)
            factor = type_factor[d];
        else if (d == task->device)
            factor = 1.0;
        else if (s->family == STRICT)
            factor = type_factor[d % s->type_count] * between(g, 1.01, 1.5);
        else if (s->family == FACTOR)
            factor = between(g, 1.0, s->factor);
        else
            factor = he_random_below(&g->random, 3) ? between(g, 1.0, s->factor) : 1.0;
        fprintf(file, "%s\"%c%u\":%.6f", d ? "," : "", s->family == TYPES ? 'k' : 'd', d,
                factor == 1.0 ? w : ceil(w * factor * 1e6) / 1e6);
    }
    fprintf(file, "}");
}

static void write_file(struct garden *g, FILE *file)
{
    const struct settings *s = g->set;
    uint32_t n = s->task_count, p = s->device_count;
    uint32_t *shuffled = get(n, sizeof *shuffled);
    double *used = get(p, sizeof *used);

    for (uint32_t t = 0; t < n; t++) {
        uint32_t k = he_random_below(&g->random, t + 1);

        shuffled[t] = shuffled[k];
        shuffled[k] = t;
        used[g->tasks[t].device] += g->tasks[t].memory;
    }
    fprintf(file, "{\"name\":\"planted\",\n\"contention\":%s,\n\"devices\":[",
            s->has_free_links ? "false" : "true");
    for (uint32_t d = 0; d < p; d++) {
        fprintf(file, "%s\n{\"id\":\"d%u\",\"kind\":\"k%u\"", d ? "," : "", d, d % s->type_count);
        if (s->has_caps)
            fprintf(file, ",\"memory\":%.0f", used[d]);
        fprintf(file, "}");
    }
    fprintf(file, "],\n\"links\":[");
    if (s->link_spread <= 1.0)
        fprintf(file, "{\"from\":\"*\",\"to\":\"*\",\"bandwidth\":1e6}");
    for (uint32_t k = 0; s->link_spread > 1.0 && k < p * p; k++) {
        if (k / p != k % p)
            fprintf(file, "%s\n{\"from\":\"d%u\",\"to\":\"d%u\",\"bandwidth\":%.0f}",
                    k > 1 ? "," : "", k / p, k % p, g->bandwidth[k]);
    }
    fprintf(file, "],\n\"tasks\":[");
    for (uint32_t k = 0; k < n; k++) {
        const struct task *task = &g->tasks[shuffled[k]];

        fprintf(file, "%s\n{\"id\":\"t%u\",", k ? "," : "", k);
        write_times(g, file, task);
        fprintf(file, ",\"memory\":%.0f}", task->memory);
    }
    for (uint32_t k = 0; k < n; k++) /* by_start becomes the number that was written */
        g->by_start[shuffled[k]] = k;
    for (size_t e = g->edge_count; e > 1; e--) {
        size_t k = he_random_below(&g->random, (uint32_t)e);
        struct edge swap = g->edges[k];

        g->edges[k] = g->edges[e - 1];
        g->edges[e - 1] = swap;
    }
    fprintf(file, "],\n\"edges\":[");
    for (size_t e = 0; e < g->edge_count; e++)
        fprintf(file, "%s\n{\"from\":\"t%u\",\"to\":\"t%u\",\"bytes\":%.0f}", e ? "," : "",
                g->by_start[g->edges[e].from], g->by_start[g->edges[e].to], g->edges[e].bytes);
    fprintf(file, "]}\n");
    free(shuffled);
    free(used);
}

static void append_reference(const struct settings *s, double length)
{
    const char *slash = strrchr(s->output, '/'), *name = slash ? slash + 1 : s->output;
    const char *dot = strrchr(name, '.');
    FILE *file = fopen(s->references, "a");

    if (!file) {
        perror(s->references);
        exit(1);
    }
    fprintf(file, "%.*s,%.9g\n", (int)(dot ? (size_t)(dot - name) : strlen(name)), name, length);
    fclose(file);
}

static bool read_arguments(int argc, char **argv, struct settings *s)
{
    static const struct option options[] = {
        { "tasks", required_argument, NULL, 'n' },   { "devices", required_argument, NULL, 'p' },
        { "ccr", required_argument, NULL, 'c' },     { "seed", required_argument, NULL, 's' },
        { "family", required_argument, NULL, 'f' },  { "types", required_argument, NULL, 't' },
        { "factor", required_argument, NULL, 'k' },  { "degree", required_argument, NULL, 'd' },
        { "reach", required_argument, NULL, 'r' },   { "local", required_argument, NULL, 'l' },
        { "links", required_argument, NULL, 'm' },   { "caps", no_argument, NULL, 'C' },
        { "chains", no_argument, NULL, 'H' },        { "free-links", no_argument, NULL, 'F' },
        { "references", required_argument, NULL, 'R' }, { NULL, 0, NULL, 0 },
    };

    for (int c; (c = getopt_long(argc, argv, "o:", options, NULL)) != -1;) {
        size_t family = 0;

        switch (c) {
        case 'n': s->task_count = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'p': s->device_count = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 't': s->type_count = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'c': s->ccr = strtod(optarg, NULL); break;
        case 'k': s->factor = strtod(optarg, NULL); break;
        case 'd': s->degree = strtod(optarg, NULL); break;
        case 'r': s->reach = strtod(optarg, NULL); break;
        case 'l': s->local = strtod(optarg, NULL); break;
        case 'm': s->link_spread = strtod(optarg, NULL); break;
        case 's': s->seed = strtoull(optarg, NULL, 10); break;
        case 'C': s->has_caps = true; break;
        case 'H': s->has_chains = true; break;
        case 'F': s->has_free_links = true; break;
        case 'R': s->references = optarg; break;
        case 'o': s->output = optarg; break;
        case 'f':
            while (family < 4 && strcmp(family_names[family], optarg) != 0)
                family++;
            if (family == 4)
                return false;
            s->family = (enum family)family;
            break;
        default:
            return false;
        }
    }
    return optind == argc && s->output && s->device_count > 0 && s->task_count >= s->device_count &&
           s->task_count < 1u << 30 && s->device_count <= 4096 && s->type_count > 0 &&
           s->type_count <= 64 && s->factor >= 1.01;
}

int main(int argc, char **argv)
{
    struct settings s = { .task_count = 1000, .device_count = 8, .type_count = 4, .ccr = 1.0,
                          .factor = 4.0, .degree = 3.0, .reach = 0.05, .local = 0.3,
                          .link_spread = 1.0, .seed = 1 };
    struct garden g = { .set = &s };
    size_t pairs;
    FILE *file;

    if (!read_arguments(argc, argv, &s)) {
        fprintf(stderr, "usage: planted --tasks N --devices P --ccr C --seed S [--family "
                        "strict|types|factor|loose] [--types K] [--factor F] [--degree D] [--reach R] "
                        "[--local L] [--chains] [--links M] [--caps] [--free-links] "
                        "[--references FILE.csv] -o FILE.json\n");
        return 2;
    }
    if (s.type_count > s.device_count)
        s.type_count = s.device_count;
    g.random.state = s.seed * 0x9e3779b97f4a7c15u + 1;
    pairs = (size_t)s.device_count * s.device_count;
    g.links = get(pairs, sizeof *g.links);
    g.bandwidth = get(pairs, sizeof *g.bandwidth);
    for (size_t k = 0; k < pairs; k++)
        g.bandwidth[k] = s.link_spread > 1.0 ? floor(1e6 * between(&g, 1.0, s.link_spread)) : 1e6;
    plant_tasks(&g);
    g.by_start = get(s.task_count, sizeof *g.by_start);
    g.by_finish = get(s.task_count, sizeof *g.by_finish);
    for (uint32_t t = 0; t < s.task_count; t++)
        g.by_start[t] = g.by_finish[t] = t;
    sorting = &g;
    qsort(g.by_start, s.task_count, sizeof *g.by_start, compare_starts);
    qsort(g.by_finish, s.task_count, sizeof *g.by_finish, compare_finishes);
    lay_edges(&g);
    file = fopen(s.output, "w");
    if (!file) {
        perror(s.output);
        return 1;
    }
    write_file(&g, file);
    if (fclose(file) != 0) {
        perror(s.output);
        return 1;
    }
    if (s.references)
        append_reference(&s, g.length);
    for (size_t k = 0; k < pairs; k++)
        free(g.links[k].busy);
    free(g.links);
    free(g.bandwidth);
    free(g.tasks);
    free(g.first);
    free(g.by_start);
    free(g.by_finish);
    free(g.edges);
    return 0;
}
