/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task-graph file: tasks with times, edges with bytes, and perhaps devices, links and budgets
 * of its own. read_machine.c, read_tasks.c and read_limits.c read its parts.
 */
#include <string.h>

#include "core/words.h"
#include "plan/read_graph.h"

he_status he_graph_bad(const struct he_graph_reader *r, const struct he_json *at,
                       const char *expected)
{
    return he_error_set(HE_ERR_PARSE, "%s:%u:%u: expected %s", r->name, at->line, at->column,
                        expected);
}

const struct he_json *he_graph_string(const struct he_json *object, const char *key)
{
    const struct he_json *member = he_json_get(object, key);

    return member && member->kind == HE_JSON_STRING ? member : NULL;
}

he_status he_graph_amount(const struct he_graph_reader *r, const struct he_json *object,
                          const char *key, double fallback, double *out)
{
    const struct he_json *member = he_json_get(object, key);

    *out = fallback;
    if (!member)
        return HE_OK;
    if (member->kind != HE_JSON_NUMBER || member->number < 0)
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: \"%s\" must be a number, 0 or more", r->name,
                            member->line, member->column, key);
    *out = member->number;
    return HE_OK;
}

he_status he_graph_keys(const struct he_graph_reader *r, const struct he_json *object,
                        const char *const *keys, size_t count)
{
    for (const struct he_json *member = object->child; member; member = member->next) {
        const char *nearest;
        bool is_known = false;

        for (size_t k = 0; k < count; k++)
            is_known |= strcmp(member->key, keys[k]) == 0;
        if (is_known)
            continue;
        nearest = he_nearest_word(member->key, keys, count);
        return he_error_set(HE_ERR_PARSE, "%s:%u:%u: unknown key '%s'%s%s%s", r->name, member->line,
                            member->column, member->key, nearest ? ", did you mean '" : "",
                            nearest ? nearest : "", nearest ? "'?" : "");
    }
    return HE_OK;
}

static he_status read_colocation(struct he_graph_reader *r, struct he_json *groups)
{
    struct he_problem *p = r->problem;
    uint32_t next = 0;
    he_status status;

    if (!groups)
        return HE_OK;
    if (groups->kind != HE_JSON_ARRAY)
        return he_graph_bad(r, groups, "a list of lists of task ids");
    status = he_json_list_fill(r->name, r->text, r->size, groups, r->arena);
    if (status != HE_OK)
        return status;
    p->colocation = he_arena_alloc(r->arena, p->task_count, sizeof *p->colocation);
    if (!p->colocation)
        return he_no_memory();
    memset(p->colocation, 0xff, p->task_count * sizeof *p->colocation);
    for (const struct he_json *group = groups->child; group; group = group->next) {
        uint32_t mine = next++;

        if (group->kind != HE_JSON_ARRAY)
            return he_graph_bad(r, group, "a list of task ids");
        for (const struct he_json *id = group->child; id; id = id->next) {
            uint32_t t, other;

            if (id->kind != HE_JSON_STRING || !he_map_get(&r->task_numbers, id->string, &t))
                return he_graph_bad(r, id, "the id of a task");
            /* A task in two groups makes them one. */
            other = p->colocation[t];
            for (uint32_t k = 0; other != HE_NO_GROUP && k < p->task_count; k++) {
                if (p->colocation[k] == other)
                    p->colocation[k] = mine;
            }
            p->colocation[t] = mine;
        }
    }
    return HE_OK;
}

/* A member that is ours to fill. */
static struct he_json *get_member(struct he_json *object, const char *key)
{
    return (struct he_json *)he_json_get(object, key);
}

static he_status read_document(struct he_graph_reader *r, struct he_json *document)
{
    static const char *const keys[] = {"name",  "devices",  "links",      "tasks",
                                       "edges", "colocate", "contention", "budget"};
    const struct he_json *tasks = he_json_get(document, "tasks");
    const struct he_json *edges = he_json_get(document, "edges");
    struct he_json *devices = get_member(document, "devices");
    const struct he_json *name = he_graph_string(document, "name");
    const struct he_json *contention = he_json_get(document, "contention");
    he_status status;

    if (document->kind != HE_JSON_OBJECT || !tasks || tasks->kind != HE_JSON_ARRAY)
        return he_graph_bad(r, document, "a task graph: an object with a \"tasks\" list");
    status = he_graph_keys(r, document, keys, sizeof keys / sizeof keys[0]);
    if (status != HE_OK)
        return status;
    if (edges && edges->kind != HE_JSON_ARRAY)
        return he_graph_bad(r, edges, "a list of edges");
    if (contention && contention->kind != HE_JSON_BOOL)
        return he_graph_bad(r, contention, "true or false");
    r->problem->name = name ? name->string : "";
    r->problem->has_contention = !contention || contention->boolean;
    /* A task's "memory" is all it says of memory; edges say what travels. */
    r->problem->ignores_tensors = true;
    status = devices ? he_graph_read_devices(r, devices) : he_graph_take_devices(r);
    if (status == HE_OK)
        status = he_graph_read_links(r, get_member(document, "links"));
    if (status == HE_OK)
        status = he_graph_read_tasks(r, tasks, edges);
    if (status == HE_OK)
        status = read_colocation(r, get_member(document, "colocate"));
    if (status == HE_OK)
        status = he_graph_read_device_limits(r, devices);
    if (status == HE_OK)
        status = he_graph_read_budget(r, he_json_get(document, "budget"));
    if (status == HE_OK && r->machine)
        status = he_cost_describe_budgets(r->machine, r->problem);
    return status == HE_OK ? he_problem_index(r->problem) : status;
}

he_status he_problem_read_json(const char *name, const char *text, size_t size,
                               const struct he_machine *machine, const struct he_allocator *alloc,
                               struct he_problem **out)
{
    struct he_graph_reader r = {.name = name, .text = text, .size = size, .machine = machine};
    struct he_json *document;
    he_status status;

    *out = NULL;
    r.problem = he_problem_create(alloc);
    if (!r.problem)
        return he_no_memory();
    r.arena = &r.problem->arena;
    he_map_init(&r.task_numbers, r.arena);
    he_map_init(&r.time_keys, r.arena);
    he_map_init(&r.tensor_numbers, r.arena);
    status = he_json_parse_closed(name, text, size, r.arena, &document);
    if (status == HE_OK)
        status = read_document(&r, document);
    if (status != HE_OK) {
        he_problem_destroy(r.problem);
        return status;
    }
    *out = r.problem;
    return HE_OK;
}
