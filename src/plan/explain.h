/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a task runs where it does, as figures: explain.c finds them, explain_text.c
 * and explain_json.c put them into words. what_if.c plans again for machines that
 * are a little different.
 */
#ifndef HE_PLAN_EXPLAIN_H
#define HE_PLAN_EXPLAIN_H

#include "place/judge.h"
#include "plan/plan.h"

/* One device for one task, the rest of the plan left as it is. */
struct he_candidate {
    uint32_t device;
    bool can_run, is_chosen;
    const char *reason;   /* why not: it cannot run, or it does not fit there; NULL: possible */
    double exec;          /* s */
    double transfer;      /* s its inputs and outputs spend on links */
    double queue;         /* s it waits for the device after its inputs have arrived */
    double energy;        /* J: busy watts over exec */
    double memory_bytes;  /* held for good */
    double value;         /* of the plan with this task moved there; INFINITY: not possible */
    double exec_flip;     /* runs this much faster there: wins; 0: that is not enough */
    double link_flip;     /* its links this much faster: wins; 0: that is not enough */
};

struct he_explainer {
    const struct he_plan *plan;
    struct he_arena arena; /* of the reasons; emptied with each task */
    struct he_judge judge;
    uint32_t *device;      /* the plan's, with one task moved */
    struct he_candidate *candidates; /* by device: of the last task explained */
};

he_status he_explainer_init(struct he_explainer *explainer, const struct he_plan *plan) HE_MUST_CHECK;
void he_explainer_fini(struct he_explainer *explainer); /* also a zeroed one */
/* Fills explainer->candidates. */
he_status he_explain_task(struct he_explainer *explainer, uint32_t task) HE_MUST_CHECK;
/* One sentence: what decided. From the arena. */
const char *he_explain_why(struct he_explainer *explainer, uint32_t task);

/* The machine changed a little, and the plan made anew for it. */
struct he_what_if {
    const char *change; /* "links twice as fast" */
    double value;       /* INFINITY: nothing fits then */
    uint32_t moved;     /* tasks that are elsewhere */
    uint32_t removed;   /* the device it is without, or HE_NONE */
    /* Per task: where it is then, in words; the same pointer as the plan's device id when it stays. */
    const char **device;
};

/* Where @task would run after @change; NULL when that changes nothing, or changes it because its own
 * device is gone. */
const char *he_explain_flip(const struct he_plan *plan, const struct he_what_if *change,
                            uint32_t task);
/* HE_ERR_NOT_FOUND with the nearest task there is. */
he_status he_explain_unknown(const struct he_plan *plan, const char *task);

/* Asking what other machines would do means planning again, several times: not for more tasks. */
#define HE_WHAT_IF_TASKS 5000u


/* Links twice as fast, memory + 1 GB, one more device of each kind, one device less: those that
 * the machine gives a meaning. Arrays from @arena. A change whose plan is worse than the plan there is keeps
 * that one. */
he_status he_plan_what_if(const struct he_plan *plan, struct he_arena *arena,
                          struct he_what_if **out, size_t *count) HE_MUST_CHECK;

#endif
