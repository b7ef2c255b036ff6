/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine in one line.
 *
 *   line   = [ "HETERO:" ] item { ("," | " ") item }
 *   item   = ID [ "(" options ")" ]              a real device:    CPU:0(cores=0)
 *          | kind [ ":" count ] [ "(" options ")" ]  simulated ones:  gpu:4(mem=80GB)
 *          | "link(" name "," name ")=" rate [ "," latency ]
 *   name   = an id, or a kind, meaning all its devices
 *
 * Upper case means real, lower case simulated.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "machine/keys.h"

/* Of one item. Links grow with the square: more than this is a slip of the finger. */
#define MOST_DEVICES 1024

static he_status add_resource(struct he_machine *machine, struct he_machine_device *device,
                              const char *name, double amount)
{
    size_t n = device->resource_count;
    const char **names = he_arena_alloc(&machine->arena, n + 1, sizeof *names);
    double *amounts = he_arena_alloc(&machine->arena, n + 1, sizeof *amounts);

    if (!names || !amounts)
        return he_no_memory();
    if (n) {
        memcpy(names, device->resource_names, n * sizeof *names);
        memcpy(amounts, device->resource_amounts, n * sizeof *amounts);
    }
    names[n] = name;
    amounts[n] = amount;
    device->resource_names = names;
    device->resource_amounts = amounts;
    device->resource_count = n + 1;
    return HE_OK;
}

he_status he_machine_device_option(struct he_machine *machine, struct he_machine_device *device,
                                   const char *name, const char *value)
{
    const struct key *key = he_key_find(he_device_keys, he_device_key_count, name);
    double number;
    he_status status;

    if (!key)
        return HE_ERR_SETTING;
    if (key->kind != KEY_SPECIAL)
        return he_key_store(key, device, value, &machine->arena);
    if (strcmp(name, "id") == 0 || strcmp(name, "kind") == 0)
        return HE_OK; /* read before the others */
    if (strcmp(name, "like") == 0)
        return he_machine_like(machine, device, value, machine->source);
    status = he_parse_quantity(value, key->unit, &number);
    if (status != HE_OK)
        return he_error_prefix(status, "%s", name);
    if (strcmp(name, "tflops") == 0)
        device->peaks.fp32 = number * 1e12;
    else if (strcmp(name, "launch") == 0)
        device->launch_ns = number * 1e9;
    else if (strcmp(name, "ops") == 0)
        device->peaks = (struct he_peaks){ .fp32 = number, .fp16 = number, .bf16 = number,
                                           .int8 = number };
    else
        return add_resource(machine, device, key->name, number);
    return HE_OK;
}

/* "mem=80GB,bw=2TB/s" into @device. */
static he_status read_options(struct he_machine *machine, struct he_machine_device *device,
                              const char *text)
{
    char *copy = he_arena_string(&machine->arena, text, strlen(text)), *rest = NULL;

    if (!copy)
        return he_no_memory();
    for (char *item = strtok_r(copy, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(item, '=');
        he_status status;

        while (*item == ' ')
            item++;
        if (!equals || equals == item)
            return he_error_set(HE_ERR_SETTING, "'%s' is no option; expected key=value, such as "
                                                "mem=24GB", item);
        *equals = '\0';
        status = he_machine_device_option(machine, device, item, equals + 1);
        if (status != HE_OK)
            return status;
    }
    return HE_OK;
}

/* Real devices start empty, so that discovery fills what was not said. */
static he_status add_real(struct he_machine *machine, const char *id, enum he_device_kind kind,
                          const char *options, struct he_machine **present)
{
    struct he_machine_device *device;
    he_status status;

    if (he_machine_find(machine, id) != HE_NONE)
        return he_error_set(HE_ERR_SETTING, "device %s stands there twice", id);
    if (!*present) {
        status = he_machine_discover(&machine->arena.alloc, present);
        if (status != HE_OK)
            return status;
    }
    status = he_machine_append(machine, &device);
    if (status != HE_OK)
        return status;
    *device = (struct he_machine_device){ .kind = kind, .backend = "", .name = "", .driver = "",
                                          .shares = "" };
    device->id = he_arena_printf(&machine->arena, "%s", id);
    if (!device->id)
        return he_no_memory();
    status = read_options(machine, device, options);
    if (status == HE_OK && device->is_simulated) {
        struct he_machine_device described;

        he_machine_default_device(&described, device->id, kind);
        *device = described;
        status = read_options(machine, device, options);
    } else if (status == HE_OK) {
        status = he_machine_complete(machine, device, *present);
    }
    if (status != HE_OK)
        machine->device_count--;
    return status;
}

static he_status add_simulated(struct he_machine *machine, enum he_device_kind kind,
                               unsigned long count, const char *options)
{
    uint32_t first = 0;
    char lower[16];

    for (uint32_t d = 0; d < machine->device_count; d++)
        first += machine->devices[d].kind == kind;
    snprintf(lower, sizeof lower, "%s", he_device_kind_name(kind));
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    for (unsigned long k = 0; k < count; k++) {
        struct he_machine_device *device;
        he_status status = he_machine_append(machine, &device);
        const char *id;

        if (status != HE_OK)
            return status;
        id = he_arena_printf(&machine->arena, "%s%lu", lower, first + k);
        if (!id)
            return he_no_memory();
        he_machine_default_device(device, id, kind);
        status = read_options(machine, device, options);
        if (status != HE_OK)
            return status;
        device->is_simulated = true;
    }
    return HE_OK;
}

/* Does @name mean device @d: its id, or its kind? */
static bool is_meant(const struct he_machine *machine, uint32_t d, const char *name)
{
    return strcasecmp(machine->devices[d].id, name) == 0 ||
           strcasecmp(he_device_kind_name(machine->devices[d].kind), name) == 0;
}

/* "link(gpu,fpga)=12GB/s,5us": both directions. */
static he_status read_link(struct he_machine *machine, char *item)
{
    char *a = item + strlen("link("), *comma = strchr(a, ','), *close = strchr(a, ')');
    double bandwidth, latency = 0;
    char *b, *figures, *second;
    bool found = false;
    he_status status;

    if (!comma || !close || comma > close || close[1] != '=')
        return he_error_set(HE_ERR_SETTING, "'%s' is no link; expected link(gpu,fpga)=12GB/s,5us",
                            item);
    *comma = *close = '\0';
    b = comma + 1;
    figures = close + 2;
    second = strchr(figures, ',');
    if (second)
        *second++ = '\0';
    status = he_parse_quantity(figures, HE_UNIT_RATE, &bandwidth);
    if (status == HE_OK && second)
        status = he_parse_quantity(second, HE_UNIT_SECONDS, &latency);
    if (status == HE_OK && bandwidth <= 0)
        status = he_error_set(HE_ERR_SETTING, "a link's bandwidth must be above 0");
    for (uint32_t from = 0; from < machine->device_count && status == HE_OK; from++) {
        for (uint32_t to = 0; to < machine->device_count && status == HE_OK; to++) {
            bool fits = (is_meant(machine, from, a) && is_meant(machine, to, b)) ||
                        (is_meant(machine, from, b) && is_meant(machine, to, a));

            if (from == to || !fits)
                continue;
            found = true;
            status = he_machine_set_link(machine, from, to, bandwidth, latency);
        }
    }
    if (status == HE_OK && !found)
        return he_error_set(HE_ERR_SETTING, "link(%s,%s): there are no such two devices", a, b);
    return status;
}

static he_status read_item(struct he_machine *machine, char *item, struct he_machine **present)
{
    char *open = strchr(item, '('), *close = NULL, *colon, *end;
    enum he_device_kind kind;
    unsigned long count = 1;
    const char *options = "";
    uint32_t ordinal;

    if (open) {
        close = strrchr(item, ')');
        if (!close || close[1])
            return he_error_set(HE_ERR_SETTING, "'%s': the parenthesis is not closed", item);
        *open = *close = '\0';
        options = open + 1;
    }
    if (isupper((unsigned char)item[0])) {
        if (!he_machine_split_id(item, &kind, &ordinal))
            return he_error_set(HE_ERR_SETTING, "'%s' is no device id; expected KIND:NUMBER, such "
                                                "as CPU:0 or GPU:1", item);
        return add_real(machine, item, kind, options, present);
    }
    colon = strchr(item, ':');
    if (colon) {
        *colon = '\0';
        count = strtoul(colon + 1, &end, 10);
        if (!isdigit((unsigned char)colon[1]) || *end || count == 0 || count > MOST_DEVICES)
            return he_error_set(HE_ERR_SETTING, "'%s:%s': expected a count of 1 to %d, as in gpu:4",
                                item, colon + 1, MOST_DEVICES);
    }
    for (unsigned k = 0; k < HE_KIND_COUNT; k++) {
        if (strcasecmp(item, he_device_kind_name((enum he_device_kind)k)) == 0)
            return add_simulated(machine, (enum he_device_kind)k, count, options);
    }
    return he_error_set(HE_ERR_SETTING, "'%s' is no kind of device; there are cpu, gpu, fpga, asic, "
                                        "matrix, dsp", item);
}

/* The next item, cut off in place: up to a space or comma outside parentheses. */
static char *next_item(char **rest)
{
    char *at = *rest, *start;
    int depth = 0;
    bool is_link;

    while (*at == ' ' || *at == ',')
        at++;
    if (!*at)
        return NULL;
    start = at;
    is_link = strncmp(at, "link(", 5) == 0;
    for (; *at; at++) {
        depth += *at == '(';
        depth -= *at == ')';
        if (depth <= 0 && (*at == ' ' || (*at == ',' && !is_link)))
            break;
    }
    if (*at)
        *at++ = '\0';
    *rest = at;
    return start;
}

static he_status read_line(struct he_machine *machine, const char *line)
{
    char *copy = he_arena_string(&machine->arena, line, strlen(line)), *rest = copy, *item;
    struct he_machine *present = NULL;
    he_status status = HE_OK;

    if (!copy)
        return he_no_memory();
    if (strncmp(rest, "HETERO:", 7) == 0)
        rest += 7;
    while (status == HE_OK && (item = next_item(&rest)) != NULL) {
        if (strncmp(item, "link(", 5) == 0)
            status = read_link(machine, item);
        else
            status = read_item(machine, item, &present);
    }
    he_machine_destroy(present);
    if (status == HE_OK && machine->device_count == 0)
        status = he_error_set(HE_ERR_SETTING, "'%s' names no device", line);
    return status == HE_OK ? he_machine_default_links(machine) : status;
}

he_status he_machine_from_line(const char *line, const struct he_allocator *alloc,
                               struct he_machine **out)
{
    struct he_machine *machine;
    he_status status = he_machine_create(line, alloc, &machine);

    *out = NULL;
    if (status != HE_OK)
        return status;
    status = read_line(machine, line);
    if (status != HE_OK) {
        he_machine_destroy(machine);
        return status;
    }
    *out = machine;
    return HE_OK;
}

he_status he_machine_add_device(struct he_machine *machine, const char *id, const char *options)
{
    struct he_machine *present = NULL;
    enum he_device_kind kind;
    uint32_t ordinal;
    he_status status;

    if (!he_machine_split_id(id, &kind, &ordinal))
        return he_error_set(HE_ERR_SETTING, "'%s' is no device id; expected KIND:NUMBER, such as "
                                            "CPU:0 or GPU:1", id);
    status = add_real(machine, id, kind, options, &present);
    he_machine_destroy(present);
    return status == HE_OK ? he_machine_default_links(machine) : status;
}

/* Keeps the named devices, in the order named. */
he_status he_machine_select(struct he_machine *machine, const char *line)
{
    char *copy = he_arena_string(&machine->arena, line, strlen(line)), *rest = copy, *item;
    struct he_machine_device *kept;
    struct he_machine_link *links;
    uint32_t *new_index, count = 0, link_count = 0;

    kept = he_arena_alloc(&machine->arena, machine->device_count, sizeof *kept);
    links = he_arena_alloc(&machine->arena, machine->link_count, sizeof *links);
    new_index = he_arena_alloc(&machine->arena, machine->device_count, sizeof *new_index);
    if (!copy || !kept || !links || !new_index)
        return he_no_memory();
    memset(new_index, 0xff, machine->device_count * sizeof *new_index);
    if (strncmp(rest, "HETERO:", 7) == 0)
        rest += 7;
    while ((item = next_item(&rest)) != NULL) {
        uint32_t d = he_machine_find(machine, item);
        const char *ids[256], *nearest;
        uint32_t n = machine->device_count < 256 ? machine->device_count : 256;

        for (uint32_t k = 0; k < n; k++)
            ids[k] = machine->devices[k].id;
        if (d == HE_NONE) {
            nearest = he_nearest_word(item, ids, n);
            return he_error_set(HE_ERR_NO_DEVICE, "%s has no device %s%s%s%s", machine->source,
                                item, nearest ? ", did you mean " : "", nearest ? nearest : "",
                                nearest ? "?" : "");
        }
        if (new_index[d] != HE_NONE)
            return he_error_set(HE_ERR_SETTING, "device %s is named twice", item);
        new_index[d] = count;
        kept[count++] = machine->devices[d];
    }
    if (count == 0)
        return he_error_set(HE_ERR_SETTING, "'%s' names no device", line);
    for (uint32_t k = 0; k < machine->link_count; k++) {
        struct he_machine_link link = machine->links[k];

        if (new_index[link.from] == HE_NONE || new_index[link.to] == HE_NONE)
            continue;
        link.from = new_index[link.from];
        link.to = new_index[link.to];
        links[link_count++] = link;
    }
    machine->devices = kept;
    machine->device_count = count;
    machine->device_capacity = count;
    machine->links = links;
    machine->link_count = machine->link_capacity = link_count;
    return he_machine_index_links(machine);
}
