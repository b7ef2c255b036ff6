/* SPDX-License-Identifier: Apache-2.0 */
/* What tasks of a task-graph file use up, what devices have of it, and the budgets of the whole. */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "core/words.h"
#include "plan/read_graph.h"

/* The resource called @name: there, or new with no amounts and no limits. */
static he_status get_resource(struct he_graph_reader *r, const char *name,
                              struct he_place_resource **out)
{
    struct he_problem *p = r->problem;
    struct he_place_resource *grown;
    double *amount;
    const char *own;

    for (size_t k = 0; k < p->resource_count; k++) {
        if (strcmp(p->resources[k].name, name) == 0) {
            *out = &p->resources[k];
            return HE_OK;
        }
    }
    grown = he_arena_alloc(r->arena, p->resource_count + 1, sizeof *grown);
    amount = he_arena_alloc(r->arena, (size_t)p->task_count * p->device_count, sizeof *amount);
    own = he_arena_string(r->arena, name, strlen(name)); /* tasks are read into passing memory */
    if (!grown || !amount || !own)
        return he_no_memory();
    if (p->resource_count)
        memcpy(grown, p->resources, p->resource_count * sizeof *grown);
    grown[p->resource_count] =
        (struct he_place_resource){.name = own, .limit = INFINITY, .amount = amount};
    p->resources = grown;
    *out = &grown[p->resource_count++];
    return HE_OK;
}

/* Amounts by device id or kind, into @row; kinds first, so that an id says more. */
static he_status read_amounts(struct he_graph_reader *r, const struct he_json *amounts, double *row)
{
    struct he_problem *p = r->problem;

    for (int pass = 0; pass < 2; pass++) {
        for (const struct he_json *item = amounts->child; item; item = item->next) {
            if (item->kind != HE_JSON_NUMBER || item->number < 0)
                return he_graph_bad(r, item, "an amount, 0 or more");
            for (uint32_t d = 0; d < p->device_count; d++) {
                if (pass == 0 ? strcasecmp(item->key, p->devices[d].kind) == 0
                              : strcmp(item->key, p->devices[d].id) == 0)
                    row[d] = item->number;
            }
        }
    }
    return HE_OK;
}

he_status he_graph_read_resources(struct he_graph_reader *r, const struct he_json *task,
                                  uint32_t number)
{
    const struct he_json *resources = he_json_get(task, "resources");
    struct he_problem *p = r->problem;

    if (!resources)
        return HE_OK;
    if (resources->kind != HE_JSON_OBJECT)
        return he_graph_bad(r, resources, "resources: amounts by name");
    for (const struct he_json *item = resources->child; item; item = item->next) {
        struct he_place_resource *resource = NULL;
        double *row;
        he_status status;

        if (item->kind != HE_JSON_OBJECT && (item->kind != HE_JSON_NUMBER || item->number < 0))
            return he_graph_bad(r, item, "an amount, 0 or more, or amounts by device id or kind");
        status = get_resource(r, item->key, &resource);
        if (status != HE_OK)
            return status;
        /* Ours to write: the struct is read-only for the policies. */
        row = (double *)resource->amount + (size_t)number * p->device_count;
        for (uint32_t d = 0; d < p->device_count && item->kind == HE_JSON_NUMBER; d++)
            row[d] = item->number;
        if (item->kind == HE_JSON_OBJECT)
            status = read_amounts(r, item, row);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

/* What each device has of a resource. One that no task uses limits nothing. */
he_status he_graph_read_device_limits(struct he_graph_reader *r, const struct he_json *devices)
{
    struct he_problem *p = r->problem;
    uint32_t d = 0;

    for (const struct he_json *at = devices ? devices->child : NULL; at; at = at->next, d++) {
        const struct he_json *resources = he_json_get(at, "resources");

        if (resources && resources->kind != HE_JSON_OBJECT)
            return he_graph_bad(r, resources, "resources: what the device has, by name");
        for (const struct he_json *item = resources ? resources->child : NULL; item;
             item = item->next) {
            if (item->kind != HE_JSON_NUMBER || item->number < 0)
                return he_graph_bad(r, item, "an amount, 0 or more");
            for (size_t k = 0; k < p->resource_count; k++) {
                if (strcmp(p->resources[k].name, item->key) != 0)
                    continue;
                if (he_resource_limit_device(&p->resources[k], d, item->number, p->device_count,
                                             r->arena) != HE_OK)
                    return he_no_memory();
            }
        }
    }
    return HE_OK;
}

/* Limits over all devices: memory, power, price, latency, or a resource by name. */
he_status he_graph_read_budget(struct he_graph_reader *r, const struct he_json *budget)
{
    struct he_problem *p = r->problem;
    const char **names;

    if (!budget)
        return HE_OK;
    if (budget->kind != HE_JSON_OBJECT)
        return he_graph_bad(r, budget, "a budget: limits by name");
    names = he_arena_alloc(r->arena, p->resource_count + 4, sizeof *names);
    if (!names)
        return he_no_memory();
    names[0] = "memory";
    names[1] = "power";
    names[2] = "price";
    names[3] = "latency";
    for (size_t k = 0; k < p->resource_count; k++)
        names[4 + k] = p->resources[k].name;
    for (const struct he_json *item = budget->child; item; item = item->next) {
        double *limits[] = {&p->limits.memory_bytes, &p->limits.power_watts,
                            &p->limits.price_per_hour, &p->limits.latency};
        size_t k = 0;

        while (k < p->resource_count + 4 && strcmp(names[k], item->key) != 0)
            k++;
        if (k == p->resource_count + 4) {
            const char *nearest = he_nearest_word(item->key, names, k);

            return he_error_set(
                HE_ERR_PARSE, "%s:%u:%u: a budget for '%s', which no task uses%s%s%s", r->name,
                item->line, item->column, item->key, nearest ? ", did you mean '" : "",
                nearest ? nearest : "", nearest ? "'?" : "");
        }
        if (item->kind != HE_JSON_NUMBER || item->number < 0)
            return he_graph_bad(r, item, "a limit, 0 or more");
        *(k < 4 ? limits[k] : &p->resources[k - 4].limit) = item->number;
    }
    return HE_OK;
}
