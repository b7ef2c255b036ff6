/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets: memory, power, price, latency, and the resources of programmable chips. */
#include <string.h>

#include "core/size.h"
#include "machine/budget.h"
#include "core/words.h"

static const struct {
    const char *name;
    enum he_unit unit;
} budgets[] = {
    { "memory", HE_UNIT_BYTES }, { "power", HE_UNIT_WATTS }, { "price", HE_UNIT_PRICE },
    { "latency", HE_UNIT_SECONDS },
    { "lut", HE_UNIT_NUMBER },   { "ff", HE_UNIT_NUMBER },   { "dsp", HE_UNIT_NUMBER },
    { "bram", HE_UNIT_NUMBER },
};

static he_status unknown_budget(const char *name)
{
    const char *names[HE_COUNT(budgets)], *nearest;

    for (size_t k = 0; k < HE_COUNT(budgets); k++)
        names[k] = budgets[k].name;
    nearest = he_nearest_word(name, names, HE_COUNT(budgets));
    return he_error_set(HE_ERR_SETTING, "unknown budget '%s'%s%s%s", name,
                        nearest ? ", did you mean '" : "; there are memory, power, price, latency, lut, "
                                                       "ff, dsp, bram",
                        nearest ? nearest : "", nearest ? "'?" : "");
}

he_status he_machine_put_budget(struct he_machine *machine, const char *name, const char *value)
{
    struct he_machine_budget budget = { .is_fraction = strchr(value, '%') != NULL }, *grown;
    enum he_unit unit = HE_UNIT_NUMBER;
    he_status status;

    for (size_t k = 0; k < HE_COUNT(budgets); k++) {
        if (strcmp(budgets[k].name, name) == 0) {
            budget.name = budgets[k].name;
            unit = budgets[k].unit;
        }
    }
    if (!budget.name)
        return unknown_budget(name);
    status = he_parse_quantity(value, budget.is_fraction ? HE_UNIT_FRACTION : unit, &budget.limit);
    if (status != HE_OK)
        return he_error_prefix(status, "budget %s", name);
    if (budget.is_fraction && unit == HE_UNIT_SECONDS)
        return he_error_set(HE_ERR_SETTING, "budget %s: '%s' is a part of nothing; expected seconds, "
                                            "such as 50ms", name, value);
    if (budget.is_fraction && budget.limit > 1)
        return he_error_set(HE_ERR_SETTING, "budget %s: '%s' is more than everything", name, value);
    for (uint32_t k = 0; k < machine->budget_count; k++) {
        if (strcmp(machine->budgets[k].name, name) == 0) {
            machine->budgets[k] = budget;
            return HE_OK;
        }
    }
    grown = he_arena_alloc(&machine->arena, (size_t)machine->budget_count + 1, sizeof *grown);
    if (!grown)
        return he_no_memory();
    if (machine->budget_count)
        memcpy(grown, machine->budgets, machine->budget_count * sizeof *grown);
    grown[machine->budget_count++] = budget;
    machine->budgets = grown;
    return HE_OK;
}

he_status he_machine_set_budget(struct he_machine *machine, const char *text)
{
    char *copy = he_arena_string(&machine->arena, text, strlen(text)), *rest = NULL;

    if (!copy)
        return he_no_memory();
    for (char *item = strtok_r(copy, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(item, '=');
        he_status status;

        if (!equals || equals == item)
            return he_error_set(HE_ERR_SETTING, "'%s' is no budget; expected KEY=VALUE, such as "
                                                "memory=8GB", item);
        *equals = '\0';
        status = he_machine_put_budget(machine, item, equals + 1);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}
