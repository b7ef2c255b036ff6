/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that read a task-graph file share; nobody else includes this. */
#ifndef HE_PLAN_READ_GRAPH_H
#define HE_PLAN_READ_GRAPH_H

#include "core/json.h"
#include "core/map.h"
#include "plan/plan.h"

/* Which devices a key of "time" means. Tasks mostly have the same keys in the same order, so
 * those of the task before are tried first. */
struct time_key {
    const char *key;
    uint32_t device;                    /* with this id, UINT32_MAX: none */
    uint32_t *of_kind, of_kind_count;   /* with this kind */
};

struct he_graph_reader {
    const char *name, *text;
    size_t size;
    const struct he_machine *machine;
    struct he_problem *problem;
    struct he_arena *arena; /* the problem's */
    struct he_map task_numbers; /* id -> number: in file order at first, then topological */
    struct he_map time_keys;    /* key -> entry of known_keys */
    struct time_key *known_keys;
    uint32_t known_count, known_capacity;
    uint32_t *keys_before; /* by place: entry of known_keys, of the task before */
    uint32_t keys_before_count;
    struct he_map tensor_numbers; /* names of tensors with several edges -> 1.. */
    uint32_t tensor_count;
};

/* "file:line:column: expected ...". */
he_status he_graph_bad(const struct he_graph_reader *r, const struct he_json *at,
                       const char *expected);
/* The member called @key when it is a string, else NULL. */
const struct he_json *he_graph_string(const struct he_json *object, const char *key);
/* A finite number >= 0, or @fallback when it is absent. */
he_status he_graph_amount(const struct he_graph_reader *r, const struct he_json *object,
                          const char *key, double fallback, double *out) HE_MUST_CHECK;
/* Every key of @object is one of @keys; else the nearest is named. */
he_status he_graph_keys(const struct he_graph_reader *r, const struct he_json *object,
                        const char *const *keys, size_t count) HE_MUST_CHECK;

/* Parts of the document, in the order they are read. */
he_status he_graph_read_devices(struct he_graph_reader *r, struct he_json *devices) HE_MUST_CHECK;
he_status he_graph_take_devices(struct he_graph_reader *r) HE_MUST_CHECK; /* those of the machine */
he_status he_graph_read_links(struct he_graph_reader *r, struct he_json *links) HE_MUST_CHECK;
he_status he_graph_read_tasks(struct he_graph_reader *r, const struct he_json *tasks,
                              const struct he_json *edges) HE_MUST_CHECK;
he_status he_graph_read_resources(struct he_graph_reader *r, const struct he_json *task,
                                  uint32_t number) HE_MUST_CHECK; /* of one task */
he_status he_graph_read_device_limits(struct he_graph_reader *r,
                                      const struct he_json *devices) HE_MUST_CHECK;
he_status he_graph_read_budget(struct he_graph_reader *r, const struct he_json *budget) HE_MUST_CHECK;

#endif
