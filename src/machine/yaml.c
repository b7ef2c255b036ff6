/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings file. libyaml parses it into a document of nodes that know their
 * line and column; this walks the few levels the format has, driven by the
 * tables of keys.c. Every error says "file:line:column:".
 */
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "core/file.h"
#include "machine/budget.h"
#include "machine/catalogue.h"
#include "machine/keys.h"

#define LARGEST_FILE ((size_t)16 << 20)
#define DEEPEST ((size_t)200)

struct reader {
    const char *name;
    struct he_machine *machine;
    yaml_document_t *document;
    bool needs_hardware; /* real devices must be present */
};

/* Puts the place before the sentence that is set. */
static he_status at(const struct reader *r, const yaml_node_t *node, he_status status)
{
    return he_error_prefix(status, "%s:%zu:%zu", r->name, node->start_mark.line + 1,
                           node->start_mark.column + 1);
}

static he_status expected(const struct reader *r, const yaml_node_t *node, const char *what)
{
    return at(r, node, he_error_set(HE_ERR_SETTING, "expected %s", what));
}

static const char *scalar(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static yaml_node_t *node_at(const struct reader *r, int index)
{
    return yaml_document_get_node(r->document, index);
}

/* One pair of a mapping. */
struct pair {
    const char *key;
    yaml_node_t *key_node, *value;
};

/* The pairs of a mapping, one call after the other (*position starts at 0); false at the end. A
 * key that is no scalar or stands twice is an error in *status. */
static bool next_pair(const struct reader *r, const yaml_node_t *mapping, size_t *position,
                      struct pair *out, he_status *status)
{
    yaml_node_pair_t *first = mapping->data.mapping.pairs.start;
    size_t count = (size_t)(mapping->data.mapping.pairs.top - first);

    if (*status != HE_OK || *position >= count)
        return false;
    out->key_node = node_at(r, first[*position].key);
    out->value = node_at(r, first[*position].value);
    out->key = scalar(out->key_node);
    if (!out->key) {
        *status = expected(r, out->key_node, "a key");
        return false;
    }
    for (size_t k = 0; k < *position; k++) {
        const char *before = scalar(node_at(r, first[k].key));

        if (before && strcmp(before, out->key) == 0) {
            *status = at(r, out->key_node, he_error_set(HE_ERR_SETTING, "'%s' stands here twice",
                                                        out->key));
            return false;
        }
    }
    (*position)++;
    return true;
}

static const yaml_node_t *find_pair(const struct reader *r, const yaml_node_t *mapping,
                                    const char *key)
{
    for (yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
         p < mapping->data.mapping.pairs.top; p++) {
        const char *name = scalar(node_at(r, p->key));

        if (name && strcmp(name, key) == 0)
            return node_at(r, p->value);
    }
    return NULL;
}

/* --- Devices --- */

static he_status start_device(const struct reader *r, const yaml_node_t *mapping,
                              struct he_machine_device *device, bool *is_simulated)
{
    const yaml_node_t *id_node = find_pair(r, mapping, "id");
    const yaml_node_t *kind_node = find_pair(r, mapping, "kind");
    const char *id = scalar(id_node), *simulated = scalar(find_pair(r, mapping, "simulated"));
    const char *kind_text = scalar(kind_node);
    enum he_device_kind kind;
    uint32_t ordinal;
    char *copy;

    if (!id)
        return expected(r, id_node ? id_node : mapping, "a device with an id, such as GPU:0");
    if (!he_machine_split_id(id, &kind, &ordinal))
        return at(r, id_node, he_error_set(HE_ERR_SETTING, "'%s' is no device id; expected "
                                           "KIND:NUMBER, such as CPU:0 or GPU:1", id));
    if (he_machine_find(r->machine, id) != HE_NONE)
        return at(r, id_node, he_error_set(HE_ERR_SETTING, "device %s stands here twice", id));
    if (kind_text && strcasecmp(kind_text, he_device_kind_name(kind)) != 0)
        return at(r, kind_node, he_error_set(HE_ERR_SETTING, "kind: '%s' is not the kind of %s",
                                             kind_text, id));
    copy = he_arena_printf(&r->machine->arena, "%s", id);
    if (!copy)
        return he_no_memory();
    *is_simulated = simulated && strcmp(simulated, "true") == 0;
    if (*is_simulated)
        he_machine_default_device(device, copy, kind);
    else
        *device = (struct he_machine_device){ .id = copy, .kind = kind, .backend = "", .name = "",
                                              .driver = "", .shares = "" };
    return HE_OK;
}

static he_status fill_device(const struct reader *r, const yaml_node_t *mapping,
                             struct he_machine_device *device)
{
    const char *like = scalar(find_pair(r, mapping, "like"));
    size_t position = 0;
    he_status status = HE_OK;
    struct pair pair;

    /* First what it is like, so that the other keys say more. */
    if (like) {
        status = he_machine_like(r->machine, device, like, r->name);
        if (status != HE_OK)
            return at(r, find_pair(r, mapping, "like"), status);
    }
    while (next_pair(r, mapping, &position, &pair, &status)) {
        const char *value = scalar(pair.value);

        if (strcmp(pair.key, "like") == 0)
            continue;
        if (!he_key_find(he_device_keys, he_device_key_count, pair.key))
            return at(r, pair.key_node, HE_ERR_SETTING);
        if (!value)
            return expected(r, pair.value, "a single value");
        status = he_machine_device_option(r->machine, device, pair.key, value);
        if (status != HE_OK)
            return at(r, pair.value, status);
    }
    return status;
}

static he_status read_device(struct reader *r, const yaml_node_t *mapping,
                             struct he_machine **present)
{
    struct he_machine_device device, *slot;
    bool is_simulated = false;
    he_status status;

    if (mapping->type != YAML_MAPPING_NODE)
        return expected(r, mapping, "a device: {id: \"GPU:0\", ...}");
    status = start_device(r, mapping, &device, &is_simulated);
    if (status == HE_OK)
        status = fill_device(r, mapping, &device);
    if (status != HE_OK)
        return status;
    device.is_simulated = is_simulated;
    if (!is_simulated && r->needs_hardware) {
        if (!*present) {
            status = he_machine_discover(&r->machine->arena.alloc, present);
            if (status != HE_OK)
                return status;
        }
        status = he_machine_complete(r->machine, &device, *present);
        if (status != HE_OK)
            return at(r, mapping, status);
    }
    status = he_machine_append(r->machine, &slot);
    if (status == HE_OK)
        *slot = device;
    return status;
}

static he_status read_devices(struct reader *r, const yaml_node_t *list)
{
    struct he_machine *present = NULL;
    he_status status = HE_OK;

    if (list->type != YAML_SEQUENCE_NODE)
        return expected(r, list, "a list of devices");
    for (yaml_node_item_t *item = list->data.sequence.items.start;
         item < list->data.sequence.items.top && status == HE_OK; item++)
        status = read_device(r, node_at(r, *item), &present);
    he_machine_destroy(present);
    return status;
}

/* --- Links and budgets --- */

static he_status read_end(const struct reader *r, const yaml_node_t *link, const char *key,
                          uint32_t *out)
{
    const yaml_node_t *node = find_pair(r, link, key);
    const char *id = scalar(node);

    if (!id)
        return expected(r, link, "a link: {from: \"CPU:0\", to: \"GPU:0\", bandwidth: 12GB/s, "
                                 "latency: 5us}");
    *out = he_machine_find(r->machine, id);
    if (*out == HE_NONE)
        return at(r, node, he_error_set(HE_ERR_SETTING, "no device '%s' stands in this file", id));
    return HE_OK;
}

static he_status read_link(struct reader *r, const yaml_node_t *link)
{
    static const struct key keys[] = {
        { "from", KEY_TEXT, 0, 0, 0, NULL, 0, 0, "" },
        { "to", KEY_TEXT, 0, 0, 0, NULL, 0, 0, "" },
        { "bandwidth", KEY_QUANTITY, HE_UNIT_RATE, 0, 0, NULL, 0, 0, "" },
        { "latency", KEY_QUANTITY, HE_UNIT_SECONDS, 0, 0, NULL, 0, 0, "" },
    };
    double bandwidth = 12e9, latency = 0;
    size_t position = 0;
    uint32_t from, to;
    struct pair pair;
    he_status status;

    if (link->type != YAML_MAPPING_NODE)
        return expected(r, link, "a link: {from: \"CPU:0\", to: \"GPU:0\", bandwidth: 12GB/s}");
    status = read_end(r, link, "from", &from);
    if (status == HE_OK)
        status = read_end(r, link, "to", &to);
    if (status == HE_OK && from == to)
        return at(r, link, he_error_set(HE_ERR_SETTING, "a link needs two different devices"));
    while (next_pair(r, link, &position, &pair, &status)) {
        const struct key *key = he_key_find(keys, sizeof keys / sizeof keys[0], pair.key);
        double *figure = key == &keys[2] ? &bandwidth : &latency;

        if (!key)
            return at(r, pair.key_node, HE_ERR_SETTING);
        if (key->kind == KEY_TEXT)
            continue;
        if (!scalar(pair.value))
            return expected(r, pair.value, "a single value");
        status = he_parse_quantity(scalar(pair.value), key->unit, figure);
        if (status == HE_OK && figure == &bandwidth && bandwidth <= 0)
            status = he_error_set(HE_ERR_SETTING, "a bandwidth must be above 0");
        if (status != HE_OK)
            return at(r, pair.value, status);
    }
    if (status == HE_OK)
        status = he_machine_set_link(r->machine, from, to, bandwidth, latency);
    /* One line describes both ways, unless the way back has a line of its own. */
    for (uint32_t k = 0; status == HE_OK && k < r->machine->link_count; k++) {
        if (r->machine->links[k].from == to && r->machine->links[k].to == from)
            return HE_OK;
    }
    return status == HE_OK ? he_machine_set_link(r->machine, to, from, bandwidth, latency) : status;
}

static he_status read_links(struct reader *r, const yaml_node_t *list)
{
    he_status status = HE_OK;

    if (list->type != YAML_SEQUENCE_NODE)
        return expected(r, list, "a list of links");
    for (yaml_node_item_t *item = list->data.sequence.items.start;
         item < list->data.sequence.items.top && status == HE_OK; item++)
        status = read_link(r, node_at(r, *item));
    return status;
}

static he_status read_budget(struct reader *r, const yaml_node_t *mapping)
{
    size_t position = 0;
    he_status status = HE_OK;
    struct pair pair;

    if (mapping->type != YAML_MAPPING_NODE)
        return expected(r, mapping, "budgets: {memory: 64GB, power: 400W}");
    while (next_pair(r, mapping, &position, &pair, &status)) {
        if (!scalar(pair.value))
            return expected(r, pair.value, "a single value");
        status = he_machine_put_budget(r->machine, pair.key, scalar(pair.value));
        if (status != HE_OK)
            return at(r, pair.key_node, status);
    }
    return status;
}

/* --- The other groups --- */

static he_status read_list(struct reader *r, const struct key *key, const yaml_node_t *list)
{
    struct he_machine_settings *settings = &r->machine->settings;
    size_t count = 0;
    const char **items;

    if (list->type != YAML_SEQUENCE_NODE)
        return expected(r, list, "a list in brackets");
    items = he_arena_alloc(&r->machine->arena,
                           (size_t)(list->data.sequence.items.top - list->data.sequence.items.start),
                           sizeof *items);
    if (!items)
        return he_no_memory();
    for (yaml_node_item_t *item = list->data.sequence.items.start;
         item < list->data.sequence.items.top; item++) {
        yaml_node_t *node = node_at(r, *item);
        struct key as_word = { key->name, key->words ? KEY_WORD : KEY_TEXT, 0, 0, 0, key->words,
                               0, 0, key->help };
        he_status status;

        if (!scalar(node))
            return expected(r, node, "a word");
        status = he_key_store(&as_word, &items[count++], scalar(node), &r->machine->arena);
        if (status != HE_OK)
            return at(r, node, status);
    }
    if (key->kind == KEY_LIST) {
        *(const char ***)((char *)settings + key->offset) = items;
        *(size_t *)((char *)settings + key->count_offset) = count;
        return HE_OK;
    }
    /* precision.allow */
    for (size_t k = 0; k < count; k++) {
        settings->allow_bf16 |= strcmp(items[k], "bf16") == 0;
        settings->allow_fp16 |= strcmp(items[k], "fp16") == 0;
        settings->allow_int8 |= strcmp(items[k], "int8") == 0;
    }
    return HE_OK;
}

static he_status read_mem_policy(struct reader *r, const yaml_node_t *node)
{
    const char *policy = scalar(node);

    if (policy && strcmp(policy, "swap") == 0)
        r->machine->settings.mem_policy = HE_MEM_SWAP_POLICY;
    else if (policy && strcmp(policy, "fail") == 0)
        r->machine->settings.mem_policy = HE_MEM_FAIL_POLICY;
    else
        return expected(r, node, "fail or swap");
    return HE_OK;
}

static he_status read_group(struct reader *r, const struct key_group *group,
                            const yaml_node_t *mapping)
{
    size_t position = 0;
    he_status status = HE_OK;
    struct pair pair;

    if (mapping->type != YAML_MAPPING_NODE)
        return expected(r, mapping, "keys with values");
    while (next_pair(r, mapping, &position, &pair, &status)) {
        const struct key *key = he_key_find(group->keys, group->count, pair.key);

        if (!key)
            return at(r, pair.key_node, HE_ERR_SETTING);
        if (key->kind == KEY_LIST || strcmp(key->name, "allow") == 0) {
            status = read_list(r, key, pair.value);
        } else if (key->kind == KEY_SPECIAL) {
            status = read_mem_policy(r, pair.value);
        } else if (!scalar(pair.value)) {
            status = expected(r, pair.value, "a single value");
        } else {
            status = he_key_store(key, &r->machine->settings, scalar(pair.value),
                                  &r->machine->arena);
            if (status != HE_OK)
                at(r, pair.value, status);
        }
    }
    return status;
}

static he_status unknown_section(const struct reader *r, const struct pair *pair)
{
    struct key names[16] = { { .name = "devices" }, { .name = "links" }, { .name = "budget" } };
    size_t count = 3;

    for (size_t g = 0; g < he_setting_group_count; g++)
        names[count++].name = he_setting_groups[g].name;
    he_key_find(names, count, pair->key);
    return at(r, pair->key_node, HE_ERR_SETTING);
}

static bool is_nothing(const yaml_node_t *node)
{
    const char *text = scalar(node);

    return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!text[0] || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static he_status read_root(struct reader *r, const yaml_node_t *root)
{
    const yaml_node_t *devices, *links;
    size_t position = 0;
    he_status status = HE_OK;
    struct pair pair;

    if (!root || is_nothing(root))
        return HE_OK; /* an empty file says nothing */
    if (root->type != YAML_MAPPING_NODE)
        return expected(r, root, "settings: keys with values");
    while (next_pair(r, root, &position, &pair, &status)) {
        const struct key_group *group = NULL;

        for (size_t g = 0; g < he_setting_group_count; g++) {
            if (strcmp(he_setting_groups[g].name, pair.key) == 0)
                group = &he_setting_groups[g];
        }
        if (group)
            status = read_group(r, group, pair.value);
        else if (strcmp(pair.key, "budget") == 0)
            status = read_budget(r, pair.value);
        else if (strcmp(pair.key, "devices") != 0 && strcmp(pair.key, "links") != 0)
            return unknown_section(r, &pair);
    }
    if (status != HE_OK)
        return status;
    /* Links name devices, wherever the two lists stand. */
    devices = find_pair(r, root, "devices");
    links = find_pair(r, root, "links");
    if (devices)
        status = read_devices(r, devices);
    if (status == HE_OK && links)
        status = read_links(r, links);
    return status;
}

/* libyaml takes time with the square of how deep brackets are nested. Those in comments and
 * strings are counted too: the limit is far above what any settings need. */
static he_status check_size(const char *name, const char *text, size_t size)
{
    size_t depth = 0, line = 1;

    if (size > LARGEST_FILE)
        return he_error_set(HE_ERR_SETTING, "%s:1:1: %zu bytes are too many for settings (at most %zu)",
                            name, size, LARGEST_FILE);
    for (size_t k = 0; k < size; k++) {
        line += text[k] == '\n';
        if (text[k] == '[' || text[k] == '{')
            depth++;
        else if ((text[k] == ']' || text[k] == '}') && depth > 0)
            depth--;
        if (depth > DEEPEST)
            return he_error_set(HE_ERR_SETTING, "%s:%zu:1: brackets are nested more than %zu deep",
                                name, line, DEEPEST);
    }
    return HE_OK;
}

static he_status read_text(struct reader *r, const char *text, size_t size)
{
    yaml_document_t document;
    yaml_parser_t parser;
    he_status status = check_size(r->name, text, size);

    if (status != HE_OK)
        return status;
    if (!yaml_parser_initialize(&parser))
        return he_no_memory();
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    if (!yaml_parser_load(&parser, &document)) {
        status = he_error_set(HE_ERR_SETTING, "%s:%zu:%zu: %s", r->name,
                              parser.problem_mark.line + 1, parser.problem_mark.column + 1,
                              parser.problem ? parser.problem : "this is no YAML");
        yaml_parser_delete(&parser);
        return status;
    }
    r->document = &document;
    status = read_root(r, yaml_document_get_root_node(&document));
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return status;
}

/* No devices in the file: those that are here. */
static he_status adopt_present(struct he_machine *machine)
{
    struct he_machine *present;
    he_status status = he_machine_discover(&machine->arena.alloc, &present);

    if (status != HE_OK)
        return status;
    for (uint32_t d = 0; d < present->device_count && status == HE_OK; d++) {
        struct he_machine_device *device;

        status = he_machine_append(machine, &device);
        if (status != HE_OK)
            break;
        *device = (struct he_machine_device){
            .id = he_arena_printf(&machine->arena, "%s", present->devices[d].id),
            .kind = present->devices[d].kind, .backend = "", .name = "", .driver = "",
            .shares = "" };
        status = device->id ? he_machine_complete(machine, device, present) : he_no_memory();
    }
    he_machine_destroy(present);
    return status;
}

static he_status parse(const char *name, const char *text, size_t size, bool needs_hardware,
                       const struct he_allocator *alloc, struct he_machine **out)
{
    struct reader r = { .name = name, .needs_hardware = needs_hardware };
    he_status status = he_machine_create(name, alloc, &r.machine);

    *out = NULL;
    if (status != HE_OK)
        return status;
    status = read_text(&r, text, size);
    if (status == HE_OK && r.machine->device_count == 0 && needs_hardware)
        status = adopt_present(r.machine);
    if (status == HE_OK)
        status = he_machine_default_links(r.machine);
    if (status != HE_OK) {
        he_machine_destroy(r.machine);
        return status;
    }
    *out = r.machine;
    return HE_OK;
}

he_status he_machine_parse(const char *name, const char *text, size_t size,
                           const struct he_allocator *alloc, struct he_machine **out)
{
    return parse(name, text, size, true, alloc, out);
}

he_status he_machine_describe(const char *name, const char *text, size_t size,
                              const struct he_allocator *alloc, struct he_machine **out)
{
    return parse(name, text, size, false, alloc, out);
}

he_status he_machine_load(const char *path, const struct he_allocator *alloc,
                          struct he_machine **out)
{
    struct he_file file;
    he_status status = he_file_map(path, &file);

    *out = NULL;
    if (status != HE_OK)
        return status;
    status = he_machine_parse(path, file.data, file.size, alloc, out);
    he_file_unmap(&file);
    return status;
}

/* --- The catalogue: one device per file, a bare mapping of device keys --- */

he_status he_machine_read_entry(struct he_machine *machine, struct he_machine_device *device,
                                const char *path)
{
    struct reader r = { .name = path, .machine = machine };
    yaml_document_t document;
    yaml_parser_t parser;
    struct he_file file;
    yaml_node_t *root;
    he_status status = he_file_map(path, &file);

    if (status != HE_OK)
        return status;
    status = check_size(path, file.data, file.size);
    if (status == HE_OK && !yaml_parser_initialize(&parser))
        status = he_no_memory();
    if (status != HE_OK) {
        he_file_unmap(&file);
        return status;
    }
    yaml_parser_set_input_string(&parser, file.data, file.size);
    if (yaml_parser_load(&parser, &document)) {
        r.document = &document;
        root = yaml_document_get_root_node(&document);
        if (!root || root->type != YAML_MAPPING_NODE)
            status = he_error_set(HE_ERR_SETTING, "%s: expected the keys of one device", path);
        else if (find_pair(&r, root, "like"))
            status = he_error_set(HE_ERR_SETTING, "%s: a catalogue entry cannot be like another",
                                  path);
        else
            status = fill_device(&r, root, device);
        yaml_document_delete(&document);
    } else {
        status = he_error_set(HE_ERR_SETTING, "%s:%zu:%zu: %s", path, parser.problem_mark.line + 1,
                              parser.problem_mark.column + 1,
                              parser.problem ? parser.problem : "this is no YAML");
    }
    yaml_parser_delete(&parser);
    he_file_unmap(&file);
    return status;
}
