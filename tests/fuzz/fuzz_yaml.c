/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as settings. What starts with 'L' is a machine in one line (simulated
 * devices only: real ones would be looked for), with 'B' a budget, anything else a YAML
 * file. What is accepted must hold together: links between devices that exist, finite figures,
 * transfers that take no negative time.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct he_machine *machine)
{
    struct he_text text;
    struct he_json_writer json;

    for (uint32_t k = 0; k < machine->link_count; k++) {
        const struct he_machine_link *link = &machine->links[k];

        if (link->from >= machine->device_count || link->to >= machine->device_count ||
            !(link->bandwidth > 0) || !(link->latency_s >= 0) || !isfinite(link->latency_s))
            abort();
    }
    for (uint32_t a = 0; a < machine->device_count && a < 8; a++) {
        if (!machine->devices[a].id || !machine->devices[a].shares || !machine->devices[a].backend)
            abort();
        for (uint32_t b = 0; b < machine->device_count && b < 8; b++) {
            if (!(he_machine_transfer_seconds(machine, a, b, 1e6) >= 0))
                abort();
        }
    }
    if (machine->device_count > 32)
        return; /* links grow with the square of it: nothing new, but slow */
    he_text_init(&text, NULL);
    he_json_begin(&json, &text, true);
    he_machine_write_json(machine, &json);
    if (he_text_status(&text) != HE_OK)
        abort();
    he_text_fini(&text);
}

/* True when an item of the line asks for a real device. */
static bool asks_for_real(const char *line)
{
    bool is_start = true;

    for (; *line; line++) {
        if (is_start && isupper((unsigned char)*line))
            return true;
        is_start = *line == ' ' || *line == ',' || *line == ':';
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct he_machine *machine = NULL;
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    if (text[0] == 'L') {
        if (!asks_for_real(text + 1) && he_machine_from_line(text + 1, &he_allocator_default, &machine) == HE_OK)
            check(machine);
    } else if (text[0] == 'B') {
        if (he_machine_create("fuzz", &he_allocator_default, &machine) == HE_OK &&
            he_machine_set_budget(machine, text + 1) == HE_OK) {
            for (uint32_t k = 0; k < machine->budget_count; k++) {
                if (!(machine->budgets[k].limit >= 0))
                    abort();
            }
        }
    } else if (he_machine_describe("fuzz.yaml", text, size, &he_allocator_default, &machine) == HE_OK) {
        check(machine);
    }
    he_machine_destroy(machine);
    free(text);
    return 0;
}
