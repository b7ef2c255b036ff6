/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing between a task's ways. Exploration is UCB1 (Auer, Cesa-Bianchi, Fischer:
 * "Finite-time analysis of the multiarmed bandit problem", 2002): the reward of a way is the
 * best way's time over its own. Weights are learnt by normalised least mean squares
 * (Widrow, Hoff 1960): for each measured way, the score it has above "auto" is moved
 * towards the logarithm of how many times faster it is.
 */
#include "cost/choice.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A way must be better than "auto" by this much: timings are not better than that. */
#define MEASURED_MARGIN 0.05
#define SCORE_MARGIN 0.10
/* Three standard errors of the median of a dozen samples: there are many ways to be lucky with. */
#define STANDARD_ERRORS 1.1
/* A quarter of the best rate and less is not worth the time it takes to see it, unless the
 * task is so short that its arithmetic does not matter. */
#define HOPELESS 0.25
#define SHORT_SECONDS 20e-6
#define SAMPLES_PER_PLAY 12.0
#define LEARNING_RATE 0.2
#define LEAST_WEIGHT 0.01

static const struct he_cost_weights first_weights = { 1.0, 0.3, 0.3 };

/* "variant/<signature>/<way>", or the task's own series for "auto". */
static const char *way_name(char *name, size_t size, uint64_t signature, const char *way)
{
    if (strcmp(way, "auto") == 0)
        snprintf(name, size, "task/%016llx", (unsigned long long)signature);
    else
        snprintf(name, size, "variant/%016llx/%s", (unsigned long long)signature, way);
    return name;
}

he_status he_cost_ways_find(const struct he_cost_device *device, const struct he_graph *graph,
                            const struct he_task *task, struct he_cost_ways *out)
{
    out->count = 0;
    if (!device->dev)
        return HE_OK;
    out->signature = he_cost_signature(graph, task);
    return he_device_variants(device->dev, graph, task, out->list, HE_COST_MOST_VARIANTS,
                              &out->count);
}

bool he_cost_way_figure(const struct he_cost_device *device, const struct he_cost_ways *ways,
                        size_t way, struct he_cost_figure *out)
{
    struct he_cost_figure rule;
    char name[128];

    if (!device->store ||
        !he_cost_store_figure(device->store, way_name(name, sizeof name, ways->signature, "auto"),
                              device->fingerprint, &rule))
        return false;
    *out = rule;
    if (way == 0)
        return true;
    if (!he_cost_store_figure(device->store,
                              way_name(name, sizeof name, ways->signature, ways->list[way].name),
                              device->fingerprint, out))
        return false;
    out->value *= rule.value;
    return true;
}

he_status he_cost_way_note(struct he_cost_store *store, const char *fingerprint,
                           uint64_t signature, const char *way, double seconds,
                           double rule_seconds)
{
    char name[128];

    /* Zero over zero and its kin are refused with the other impossible samples. */
    return he_cost_store_note(store, way_name(name, sizeof name, signature, way), fingerprint,
                              seconds / rule_seconds);
}

/* --- Scores --- */

static double weight(const struct he_cost_device *device, const char *name, double first)
{
    struct he_cost_figure figure;

    return device->store &&
                   he_cost_store_figure(device->store, name, device->fingerprint, &figure)
               ? figure.value
               : first;
}

struct he_cost_weights he_cost_weights_read(const struct he_cost_device *device)
{
    return (struct he_cost_weights){ weight(device, "weight/alpha", first_weights.alpha),
                                     weight(device, "weight/beta", first_weights.beta),
                                     weight(device, "weight/gamma", first_weights.gamma) };
}

double he_cost_score(const struct he_cost_weights *w, const struct he_variant *way)
{
    return w->alpha * way->density + w->beta * way->locality - w->gamma * way->sync;
}

he_status he_cost_weights_learn(struct he_cost_store *store, const struct he_cost_device *device,
                                const struct he_cost_ways *ways)
{
    struct he_cost_weights w = he_cost_weights_read(device);
    struct he_cost_figure rule, figure;
    bool has_learnt = false;
    he_status status;

    if (ways->count == 0 || !he_cost_way_figure(device, ways, 0, &rule))
        return HE_OK;
    for (size_t k = 1; k < ways->count; k++) {
        const struct he_variant *way = &ways->list[k], *base = &ways->list[0];
        double density = way->density - base->density, locality = way->locality - base->locality;
        double sync = way->sync - base->sync, length, error;

        if (!he_cost_way_figure(device, ways, k, &figure))
            continue;
        error = log(rule.value / figure.value) -
                (he_cost_score(&w, way) - he_cost_score(&w, base));
        length = 0.1 + density * density + locality * locality + sync * sync;
        w.alpha = fmax(LEAST_WEIGHT, w.alpha + LEARNING_RATE * error * density / length);
        w.beta = fmax(LEAST_WEIGHT, w.beta + LEARNING_RATE * error * locality / length);
        w.gamma = fmax(LEAST_WEIGHT, w.gamma - LEARNING_RATE * error * sync / length);
        has_learnt = true;
    }
    if (!has_learnt)
        return HE_OK;
    status = he_cost_store_note(store, "weight/alpha", device->fingerprint, w.alpha);
    if (status == HE_OK)
        status = he_cost_store_note(store, "weight/beta", device->fingerprint, w.beta);
    if (status == HE_OK)
        status = he_cost_store_note(store, "weight/gamma", device->fingerprint, w.gamma);
    return status;
}

/* --- Choosing --- */

static size_t best_score(const struct he_cost_device *device, const struct he_cost_ways *ways)
{
    struct he_cost_weights w = he_cost_weights_read(device);
    size_t best = 0;

    for (size_t k = 1; k < ways->count; k++) {
        if (he_cost_score(&w, &ways->list[k]) >
            he_cost_score(&w, &ways->list[best]) + (best == 0 ? SCORE_MARGIN : 0))
            best = k;
    }
    return best;
}

size_t he_cost_choose(const struct he_cost_device *device, const struct he_cost_ways *ways,
                      enum he_cost_why *why)
{
    struct he_cost_figure rule, best_figure, figure;
    size_t best = 0;

    *why = HE_WHY_ONLY;
    if (ways->count == 0)
        return 0;
    *why = HE_WHY_SCORE;
    /* Times of other ways alone say nothing: "auto" may be any of them. */
    if (!he_cost_way_figure(device, ways, 0, &rule))
        return best_score(device, ways);
    *why = HE_WHY_MEASURED;
    best_figure = rule;
    for (size_t k = 1; k < ways->count; k++) {
        if (!he_cost_way_figure(device, ways, k, &figure))
            continue;
        /* Clear of the noise of their ratio, and of what timings are worth anyway. */
        if (figure.value < rule.value * (1 - MEASURED_MARGIN) &&
            rule.value - figure.value > STANDARD_ERRORS * figure.spread * figure.value &&
            figure.value < best_figure.value) {
            best = k;
            best_figure = figure;
        }
    }
    return best;
}

/* --- Exploring --- */

static double plays(const struct he_cost_device *device, const struct he_cost_ways *ways, size_t way)
{
    char name[128];

    return he_cost_store_count(device->store,
                               way_name(name, sizeof name, ways->signature, ways->list[way].name),
                               device->fingerprint) / SAMPLES_PER_PLAY;
}

size_t he_cost_explore(const struct he_cost_device *device, const struct he_cost_ways *ways)
{
    double all = 0, least = INFINITY, highest = -INFINITY, best_rate = 0;
    struct he_cost_figure figure;
    bool is_short = false;
    size_t chosen = 0;

    if (ways->count == 0 || !device->store)
        return 0;
    for (size_t k = 0; k < ways->count; k++) {
        all += plays(device, ways, k);
        best_rate = fmax(best_rate, ways->list[k].density);
        if (he_cost_way_figure(device, ways, k, &figure)) {
            least = fmin(least, figure.value);
            is_short |= k == 0 && figure.value < SHORT_SECONDS;
        }
    }
    for (size_t k = 0; k < ways->count; k++) {
        double value = INFINITY, n = plays(device, ways, k);

        if (!is_short && ways->list[k].density < HOPELESS * best_rate)
            continue;
        if (he_cost_way_figure(device, ways, k, &figure))
            value = least / figure.value + sqrt(2 * log(fmax(all, 1)) / n);
        if (value > highest) {
            highest = value;
            chosen = k;
        }
    }
    return chosen;
}
