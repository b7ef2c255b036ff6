/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement problems for tests: from a line of text, or random by seed; and a
 * checker that knows the model of CLI.md but none of the code under test.
 *
 *   "dev cpu mem=100 server=0 node=0 idle=1 busy=2 price=3 launch=0.5; dev gpu;
 *    link cpu gpu 1e3 0.1;                  bandwidth and latency, one way; else free
 *    task a cpu=1 gpu=0.1 mem=5; edge a b 100; edge a c 100 t=1;
 *    group a b; resource lut 20 gpu; use lut a 10; has lut gpu 15; contention no; limit price 3"
 *
 * A resource counts on the devices named behind its limit (all when none is); a device has so much
 * of it (without limit when nothing is said).
 */
#ifndef HE_TESTS_PLACE_SUPPORT_H
#define HE_TESTS_PLACE_SUPPORT_H

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "place/problem.h"

struct place_random {
    uint64_t state;
};

static inline uint64_t place_next(struct place_random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline double place_uniform(struct place_random *r)
{
    return (double)(place_next(r) >> 11) * 0x1p-53;
}

static inline uint32_t place_below(struct place_random *r, uint32_t n)
{
    return (uint32_t)(place_next(r) % n);
}

/* An empty problem with room for these many. Every device has a server and memory of its own,
 * every link is free, every time is HE_CANNOT_RUN. */
static inline struct he_problem *place_blank(uint32_t tasks, uint32_t devices, uint32_t edges,
                                             uint32_t resources)
{
    struct he_problem *p = he_problem_create(&he_allocator_default);
    double *amounts;

    ck_assert_ptr_nonnull(p);
    p->task_count = tasks;
    p->device_count = devices;
    p->edge_count = edges;
    p->resource_count = resources;
    p->task_ids = he_arena_alloc(&p->arena, tasks, sizeof *p->task_ids);
    p->time = he_arena_alloc(&p->arena, (size_t)tasks * devices, sizeof *p->time);
    p->task_memory = he_arena_alloc(&p->arena, tasks, sizeof *p->task_memory);
    p->edges = he_arena_alloc(&p->arena, edges, sizeof *p->edges);
    p->devices = he_arena_alloc(&p->arena, devices, sizeof *p->devices);
    p->links = he_arena_alloc(&p->arena, (size_t)devices * devices, sizeof *p->links);
    p->launch = he_arena_alloc(&p->arena, devices, sizeof *p->launch);
    p->colocation = he_arena_alloc(&p->arena, tasks, sizeof *p->colocation);
    p->resources = he_arena_alloc(&p->arena, resources, sizeof *p->resources);
    for (uint32_t t = 0; t < tasks; t++) {
        p->task_ids[t] = he_arena_printf(&p->arena, "t%u", t);
        p->colocation[t] = HE_NO_GROUP;
    }
    for (size_t k = 0; k < (size_t)tasks * devices; k++)
        p->time[k] = HE_CANNOT_RUN;
    for (uint32_t j = 0; j < devices; j++) {
        p->devices[j].id = he_arena_printf(&p->arena, "d%u", j);
        p->devices[j].kind = "cpu";
        p->devices[j].memory_bytes = INFINITY;
        p->devices[j].server = p->devices[j].memory_node = j;
    }
    for (size_t k = 0; k < (size_t)devices * devices; k++)
        p->links[k].is_free = true;
    for (uint32_t r = 0; r < resources; r++) {
        amounts = he_arena_alloc(&p->arena, (size_t)tasks * devices, sizeof *amounts);
        p->resources[r].limit = INFINITY;
        p->resources[r].amount = amounts;
    }
    return p;
}

static inline uint32_t place_count(const char *text, const char *word)
{
    uint32_t count = 0;
    size_t size = strlen(word);

    for (const char *at = text; (at = strstr(at, word)) != NULL; at += size) {
        const char *before = at;

        while (before > text && (before[-1] == ' ' || before[-1] == '\n'))
            before--;
        count += before == text || before[-1] == ';';
    }
    return count;
}

static inline uint32_t place_device(const struct he_problem *p, const char *id)
{
    for (uint32_t j = 0; j < p->device_count; j++) {
        if (p->devices[j].id && strcmp(p->devices[j].id, id) == 0)
            return j;
    }
    ck_abort_msg("the test names no device %s", id);
    return 0;
}

static inline uint32_t place_task(const struct he_problem *p, const char *id)
{
    for (uint32_t t = 0; t < p->task_count; t++) {
        if (p->task_ids[t] && strcmp(p->task_ids[t], id) == 0)
            return t;
    }
    ck_abort_msg("the test names no task %s", id);
    return 0;
}

struct place_cursor {
    uint32_t tasks, devices, edges, resources, groups;
};

static inline void place_statement(struct he_problem *p, char *statement, struct place_cursor *c)
{
    char *save = NULL, *verb = strtok_r(statement, " \n", &save), *word;

    if (!verb)
        return;
    word = strtok_r(NULL, " \n", &save);
    if (strcmp(verb, "dev") == 0) {
        struct he_place_device *d = &p->devices[c->devices];
        uint32_t j = c->devices++;

        d->id = he_arena_string(&p->arena, word, strlen(word));
        while ((word = strtok_r(NULL, " \n", &save)) != NULL) {
            double value = strtod(strchr(word, '=') + 1, NULL);

            if (strncmp(word, "mem=", 4) == 0)
                d->memory_bytes = value;
            else if (strncmp(word, "server=", 7) == 0)
                d->server = (uint32_t)value;
            else if (strncmp(word, "node=", 5) == 0)
                d->memory_node = (uint32_t)value;
            else if (strncmp(word, "idle=", 5) == 0)
                d->idle_watts = value;
            else if (strncmp(word, "busy=", 5) == 0)
                d->busy_watts = value;
            else if (strncmp(word, "price=", 6) == 0)
                d->price_per_hour = value;
            else if (strncmp(word, "launch=", 7) == 0)
                p->launch[j] = value;
            else
                ck_abort_msg("the test says %s of a device", word);
        }
    } else if (strcmp(verb, "task") == 0) {
        uint32_t t = c->tasks++;

        p->task_ids[t] = he_arena_string(&p->arena, word, strlen(word));
        while ((word = strtok_r(NULL, " \n", &save)) != NULL) {
            char *equals = strchr(word, '=');
            double value = strtod(equals + 1, NULL);

            *equals = '\0';
            if (strcmp(word, "mem") == 0)
                p->task_memory[t] = value;
            else
                p->time[(size_t)t * p->device_count + place_device(p, word)] = value;
        }
    } else if (strcmp(verb, "link") == 0) {
        uint32_t from = place_device(p, word), to = place_device(p, strtok_r(NULL, " \n", &save));
        struct he_place_link *link = &p->links[(size_t)from * p->device_count + to];

        link->is_free = false;
        link->bandwidth = strtod(strtok_r(NULL, " \n", &save), NULL);
        link->latency = strtod(strtok_r(NULL, " \n", &save), NULL);
    } else if (strcmp(verb, "edge") == 0) {
        struct he_place_edge *e = &p->edges[c->edges++];

        e->from = place_task(p, word);
        e->to = place_task(p, strtok_r(NULL, " \n", &save));
        e->bytes = strtod(strtok_r(NULL, " \n", &save), NULL);
        word = strtok_r(NULL, " \n", &save);
        e->tensor = word ? (uint32_t)strtoul(word + 2, NULL, 10) : 0;
    } else if (strcmp(verb, "group") == 0) {
        for (; word; word = strtok_r(NULL, " \n", &save))
            p->colocation[place_task(p, word)] = c->groups;
        c->groups++;
    } else if (strcmp(verb, "resource") == 0) {
        struct he_place_resource *r = &p->resources[c->resources++];
        double *amount = (double *)r->amount;

        r->name = he_arena_string(&p->arena, word, strlen(word));
        r->limit = strtod(strtok_r(NULL, " \n", &save), NULL);
        /* Marks the devices it does not count on; use fills in the others. */
        word = strtok_r(NULL, " \n", &save);
        for (size_t k = 0; word && k < (size_t)p->task_count * p->device_count; k++)
            amount[k] = -1.0;
        for (; word; word = strtok_r(NULL, " \n", &save)) {
            for (uint32_t t = 0; t < p->task_count; t++)
                amount[(size_t)t * p->device_count + place_device(p, word)] = 0.0;
        }
    } else if (strcmp(verb, "has") == 0) {
        uint32_t r = 0, j;

        while (strcmp(p->resources[r].name, word) != 0)
            r++;
        j = place_device(p, strtok_r(NULL, " \n", &save));
        ck_assert_int_eq(he_resource_limit_device(&p->resources[r], j,
                                                  strtod(strtok_r(NULL, " \n", &save), NULL),
                                                  p->device_count, &p->arena),
                         HE_OK);
    } else if (strcmp(verb, "use") == 0) {
        uint32_t r = 0, t;
        double *amount, value;

        while (strcmp(p->resources[r].name, word) != 0)
            r++;
        t = place_task(p, strtok_r(NULL, " \n", &save));
        value = strtod(strtok_r(NULL, " \n", &save), NULL);
        amount = (double *)p->resources[r].amount + (size_t)t * p->device_count;
        for (uint32_t j = 0; j < p->device_count; j++)
            amount[j] = amount[j] < 0.0 ? amount[j] : value;
    } else if (strcmp(verb, "contention") == 0) {
        p->has_contention = strcmp(word, "no") != 0;
    } else if (strcmp(verb, "limit") == 0) {
        double value = strtod(strtok_r(NULL, " \n", &save), NULL);

        if (strcmp(word, "memory") == 0)
            p->limits.memory_bytes = value;
        else if (strcmp(word, "power") == 0)
            p->limits.power_watts = value;
        else if (strcmp(word, "latency") == 0)
            p->limits.latency = value;
        else
            p->limits.price_per_hour = value;
    } else {
        ck_abort_msg("the test says %s", verb);
    }
}

static inline struct he_problem *place_parse_unindexed(const char *text)
{
    char *copy = strdup(text), *save = NULL;
    struct place_cursor cursor = { 0 };
    struct he_problem *p = place_blank(place_count(text, "task "), place_count(text, "dev "),
                                       place_count(text, "edge "), place_count(text, "resource "));

    for (char *s = strtok_r(copy, ";", &save); s; s = strtok_r(NULL, ";", &save))
        place_statement(p, s, &cursor);
    free(copy);
    for (size_t r = 0; r < p->resource_count; r++) {
        double *amount = (double *)p->resources[r].amount;

        for (size_t k = 0; k < (size_t)p->task_count * p->device_count; k++)
            amount[k] = amount[k] < 0.0 ? 0.0 : amount[k];
    }
    return p;
}

static inline struct he_problem *place_parse(const char *text)
{
    struct he_problem *p = place_parse_unindexed(text);

    ck_assert_msg(he_problem_index(p) == HE_OK, "%s", he_error_message());
    return p;
}

struct place_shape {
    uint32_t tasks, devices;
    double density;    /* expected inputs per task */
    double transfers;  /* mean transfer over mean time */
    bool has_limits, has_groups, has_shared_tensors, has_shared_servers, has_launch, has_holes;
};

/* Times 0.5..1.5 times a device's own speed; bytes around 1000. */
static inline struct he_problem *place_random(const struct place_shape *shape, uint64_t seed)
{
    struct place_random r = { seed };
    uint32_t n = shape->tasks, d = shape->devices, e = 0, most = n * 8 + 1;
    struct he_problem *p = place_blank(n, d, most, 0);
    double memory = 0.0;

    for (uint32_t t = 0; t < n; t++) {
        double work = 0.2 + place_uniform(&r);
        bool runs = false;

        for (uint32_t j = 0; j < d; j++) {
            double speed = 0.5 + (double)j / d + place_uniform(&r);

            if (shape->has_holes && place_below(&r, 6) == 0 && (runs || j + 1 < d))
                continue;
            p->time[(size_t)t * d + j] = work / speed;
            runs = true;
        }
        p->task_memory[t] = shape->has_limits ? 1.0 + place_below(&r, 100) : 0.0;
        memory += p->task_memory[t];
        if (shape->has_groups && t > 0 && place_below(&r, 8) == 0) {
            uint32_t with = place_below(&r, t);

            if (p->colocation[with] == HE_NO_GROUP)
                p->colocation[with] = with;
            p->colocation[t] = p->colocation[with];
        }
        for (uint32_t k = 0; t > 0 && k < 6 && e < most; k++) {
            uint32_t from = t - 1 - place_below(&r, t < 12 ? t : 12);
            bool is_there = place_uniform(&r) * 6.0 > shape->density;

            for (uint32_t i = 0; i < e; i++)
                is_there |= p->edges[i].from == from && p->edges[i].to == t;
            if (is_there)
                continue;
            p->edges[e].from = from;
            p->edges[e].to = t;
            p->edges[e].bytes = 2000.0 * place_uniform(&r);
            if (shape->has_shared_tensors && place_below(&r, 2)) {
                p->edges[e].tensor = 1;
                p->edges[e].bytes = 1000.0 + from;
            }
            e++;
        }
    }
    p->edge_count = e;
    for (uint32_t i = 0; i < d; i++) {
        for (uint32_t j = 0; j < d; j++) {
            struct he_place_link *link = &p->links[(size_t)i * d + j];

            if (i == j || shape->transfers <= 0.0)
                continue;
            link->is_free = false;
            link->latency = 0.01 * shape->transfers;
            link->bandwidth = (500.0 + 1000.0 * place_uniform(&r)) / (0.7 * shape->transfers);
        }
        p->devices[i].idle_watts = 1.0 + place_below(&r, 5);
        p->devices[i].busy_watts = p->devices[i].idle_watts + 1.0 + place_below(&r, 20);
        if (shape->has_launch)
            p->launch[i] = 0.05 * place_uniform(&r);
        if (shape->has_limits)
            p->devices[i].memory_bytes = memory * 1.6 / d + 8000.0;
        if (shape->has_shared_servers && i > 0 && place_below(&r, 2)) {
            p->devices[i].server = 0;
            p->devices[i].memory_node = 0;
        }
    }
    /* A group must have a device that runs all of it: the last one runs everything. */
    for (uint32_t t = 0; shape->has_holes && t < n; t++) {
        if (isinf(p->time[(size_t)t * d + d - 1]))
            p->time[(size_t)t * d + d - 1] = 1.0;
    }
    ck_assert_msg(he_problem_index(p) == HE_OK, "%s", he_error_message());
    return p;
}

/* --- The independent checker --- */

static inline bool place_near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (1.0 + fabs(a) + fabs(b));
}

/* The transfer that serves edge @e for a reader in memory node @node, or NULL. */
static inline const struct he_schedule_transfer *
place_served(const struct he_problem *p, const struct he_schedule *s, uint32_t e, uint32_t node)
{
    for (size_t k = 0; k < s->transfer_count; k++) {
        const struct he_schedule_transfer *t = &s->transfers[k];
        const struct he_place_edge *a = &p->edges[t->edge], *b = &p->edges[e];

        if (p->devices[t->to_device].memory_node != node)
            continue;
        if (t->edge == e || (a->tensor && a->from == b->from && a->tensor == b->tensor))
            return t;
    }
    return NULL;
}

static inline double place_live_at(const struct he_problem *p, const struct he_placement *a,
                                   const struct he_schedule *s, uint32_t j, double moment)
{
    double sum = 0.0;

    for (uint32_t t = 0; t < p->task_count; t++)
        sum += a->device[t] == j ? p->task_memory[t] : 0.0;
    for (uint32_t k = 0; !p->ignores_tensors && k < p->tensor_count; k++) {
        uint32_t first = p->out_edges[p->tensor_start[k]], from = p->edges[first].from;
        uint32_t home = p->devices[a->device[from]].memory_node;
        double until = s->finish[from], begin = INFINITY, end = -INFINITY;
        uint32_t keeper = UINT32_MAX, place = UINT32_MAX; /* of the copy in j's memory */

        for (uint32_t i = p->tensor_start[k]; i < p->tensor_start[k + 1]; i++) {
            uint32_t e = p->out_edges[i], to = p->edges[e].to;
            uint32_t node = p->devices[a->device[to]].memory_node;
            const struct he_schedule_transfer *sent = place_served(p, s, e, node);

            if (node == home)
                until = fmax(until, s->finish[to]);
            else if (sent)
                until = fmax(until, sent->finish);
            if (node != home && node == p->devices[j].memory_node) {
                /* The copy is on the books of whoever had it brought: the first in the order. */
                for (uint32_t at = 0; at < p->task_count; at++) {
                    if (a->order[at] == to && at < place) {
                        place = at;
                        keeper = a->device[to];
                    }
                }
                begin = fmin(begin, sent ? sent->start : s->finish[from]);
                end = fmax(end, s->finish[to]);
            }
        }
        if (a->device[from] == j && s->start[from] <= moment && moment < until)
            sum += p->edges[first].bytes;
        if (keeper == j && begin <= moment && moment < end)
            sum += p->edges[first].bytes;
    }
    return sum;
}

/* Everything the model of CLI.md asks of a schedule; aborts the test with the reason. */
static inline void place_check(const struct he_problem *p, const struct he_placement *a,
                               const struct he_schedule *s)
{
    double makespan = 0.0, sum = 0.0, bottleneck = 0.0;

    for (uint32_t t = 0; t < p->task_count; t++) {
        uint32_t j = a->device[t], inputs = 0;
        double took = he_problem_time(p, t, j);
        bool starts = true;

        ck_assert_uint_lt(j, p->device_count);
        ck_assert_msg(!isinf(took), "%s cannot run on %s", p->task_ids[t], p->devices[j].id);
        for (uint32_t e = 0; e < p->edge_count; e++) {
            if (p->edges[e].to != t)
                continue;
            starts = inputs++ == 0 ? a->device[p->edges[e].from] != j
                                   : starts || a->device[p->edges[e].from] != j;
        }
        took += starts && p->launch ? p->launch[j] : 0.0;
        ck_assert_msg(place_near(s->finish[t] - s->start[t], took), "%s takes %g, not %g",
                      p->task_ids[t], s->finish[t] - s->start[t], took);
        ck_assert_double_ge(s->start[t], 0.0);
        makespan = fmax(makespan, s->finish[t]);
        sum += took;
        for (uint32_t o = 0; o < t; o++) {
            if (p->devices[a->device[o]].server == p->devices[j].server)
                ck_assert_msg(s->finish[o] <= s->start[t] + 1e-12 ||
                                  s->finish[t] <= s->start[o] + 1e-12,
                              "%s and %s overlap", p->task_ids[o], p->task_ids[t]);
            if (p->colocation && p->colocation[t] != HE_NO_GROUP &&
                p->colocation[o] == p->colocation[t])
                ck_assert_uint_eq(a->device[o], j);
        }
    }
    for (uint32_t e = 0; e < p->edge_count; e++) {
        uint32_t from = a->device[p->edges[e].from], to = a->device[p->edges[e].to];
        const struct he_place_link *link = &p->links[(size_t)from * p->device_count + to];
        const struct he_schedule_transfer *sent;
        double arrival = s->finish[p->edges[e].from];

        if (from != to && p->devices[from].memory_node != p->devices[to].memory_node) {
            sent = place_served(p, s, e, p->devices[to].memory_node);
            if (sent) {
                const struct he_place_link *used =
                    &p->links[(size_t)sent->from_device * p->device_count + sent->to_device];

                ck_assert_uint_eq(sent->from_device, from);
                ck_assert(sent->start >= arrival - 1e-12);
                ck_assert(place_near(sent->finish - sent->start,
                                     used->latency + sent->bytes / used->bandwidth));
                ck_assert(place_near(sent->bytes, p->edges[e].bytes));
                arrival = sent->finish;
            } else {
                ck_assert_msg(link->is_free || p->edges[e].tensor, "edge %u is not transferred", e);
            }
        }
        ck_assert_msg(s->start[p->edges[e].to] >= arrival - 1e-12, "%s starts before %s is there",
                      p->task_ids[p->edges[e].to], p->task_ids[p->edges[e].from]);
    }
    for (size_t k = 0; k < s->transfer_count; k++) {
        double busy = 0.0;

        sum += s->transfers[k].finish - s->transfers[k].start;
        for (size_t o = 0; o < s->transfer_count; o++) {
            const struct he_schedule_transfer *x = &s->transfers[k], *y = &s->transfers[o];

            if (x->from_device != y->from_device || x->to_device != y->to_device)
                continue;
            busy += y->finish - y->start;
            if (o < k && p->has_contention)
                ck_assert_msg(x->finish <= y->start + 1e-12 || y->finish <= x->start + 1e-12,
                              "two transfers share a link");
        }
        if (p->has_contention)
            bottleneck = fmax(bottleneck, busy);
    }
    for (uint32_t j = 0; j < p->device_count; j++) {
        double busy = 0.0, peak = 0.0;

        for (uint32_t t = 0; t < p->task_count; t++) {
            if (p->devices[a->device[t]].server == p->devices[j].server)
                busy += s->finish[t] - s->start[t];
        }
        bottleneck = fmax(bottleneck, busy);
        if (p->task_count > 60)
            continue; /* the check of memory is cubic */
        peak = place_live_at(p, a, s, j, -1.0);
        for (uint32_t t = 0; t < p->task_count; t++)
            peak = fmax(peak, place_live_at(p, a, s, j, s->start[t]));
        for (size_t k = 0; k < s->transfer_count; k++)
            peak = fmax(peak, place_live_at(p, a, s, j, s->transfers[k].start));
        for (uint32_t t = 0; t < p->task_count; t++) /* free links bring things at a finish */
            peak = fmax(peak, place_live_at(p, a, s, j, s->finish[t]));
        ck_assert_msg(place_near(peak, s->peak_bytes[j]), "%s peaks at %g, not at %g",
                      p->devices[j].id, s->peak_bytes[j], peak);
        ck_assert_double_le(s->peak_bytes[j], p->devices[j].memory_bytes * (1 + 1e-9));
    }
    ck_assert(place_near(makespan, s->makespan));
    ck_assert_msg(place_near(sum, s->sum_cost), "the sum is %g, not %g", sum, s->sum_cost);
    ck_assert_msg(place_near(bottleneck, s->bottleneck), "the bottleneck is %g, not %g", bottleneck,
                  s->bottleneck);
}

#endif
