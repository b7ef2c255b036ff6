/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of keys: what a device, a link and the settings can say, with unit,
 * range, default and help. The YAML reader, the one-line form, and the list in the
 * manual are all driven by them.
 */
#ifndef HE_MACHINE_KEYS_H
#define HE_MACHINE_KEYS_H

#include "core/words.h"
#include "machine/machine.h"

enum key_kind {
    KEY_TEXT,     /* const char * */
    KEY_WORD,     /* const char *, one of words */
    KEY_BOOL,
    KEY_QUANTITY, /* double, in @unit */
    KEY_BYTES,    /* uint64_t */
    KEY_COUNT,    /* uint32_t */
    KEY_LIST,     /* const char ** and size_t */
    KEY_SPECIAL,  /* the reader has code for it */
};

struct key {
    const char *name;
    enum key_kind kind;
    enum he_unit unit;
    size_t offset, count_offset;
    const char *words; /* KEY_WORD: "a|b|c"; KEY_LIST: the same, or NULL for anything */
    double least, most; /* KEY_QUANTITY, KEY_COUNT; most 0: no limit */
    const char *help;
};

extern const struct key he_device_keys[];
extern const size_t he_device_key_count;

/* A group of settings: the YAML mapping it stands in ("scheduling"), and its keys. */
struct key_group {
    const char *name;
    const struct key *keys;
    size_t count;
};
extern const struct key_group he_setting_groups[];
extern const size_t he_setting_group_count;

/* Stores @value for @key into @object (a he_machine_device or he_machine_settings); text is
 * copied into @arena. HE_ERR_SETTING with what was expected; the caller adds the place. */
he_status he_key_store(const struct key *key, void *object, const char *value,
                       struct he_arena *arena) HE_MUST_CHECK;
/* The key called @name, or NULL with "unknown key 'x', did you mean 'y'?" as the sentence. */
const struct key *he_key_find(const struct key *keys, size_t count, const char *name);

/* oneline.c: one key=value of a device, KEY_SPECIAL ones included. */
he_status he_machine_device_option(struct he_machine *machine, struct he_machine_device *device,
                                   const char *name, const char *value) HE_MUST_CHECK;
/* device.c */
he_status he_machine_append(struct he_machine *machine, struct he_machine_device **out) HE_MUST_CHECK;
uint32_t he_machine_find(const struct he_machine *machine, const char *id); /* HE_NONE */
/* "GPU:1" -> kind and ordinal; false when it is no such id. */
bool he_machine_split_id(const char *id, enum he_device_kind *kind, uint32_t *ordinal);
/* Completes a real device from what discovery finds under its id or its backend. */
he_status he_machine_complete(struct he_machine *machine, struct he_machine_device *device,
                              const struct he_machine *present) HE_MUST_CHECK;
void he_machine_default_device(struct he_machine_device *device, const char *id,
                               enum he_device_kind kind);
/* Links that nothing was said about: PCIe-like figures between host and other memories. */
he_status he_machine_default_links(struct he_machine *machine) HE_MUST_CHECK;
/* NULL where none is given. */
const struct he_machine_link *he_machine_find_link(const struct he_machine *machine, uint32_t from,
                                                   uint32_t to);
/* Makes finding links quick; after the last change of devices. */
he_status he_machine_index_links(struct he_machine *machine) HE_MUST_CHECK;
he_status he_machine_set_link(struct he_machine *machine, uint32_t from, uint32_t to,
                              double bandwidth, double latency_s) HE_MUST_CHECK;
/* catalogue.c: "u280", "h100.yaml": the folder of @beside first, then the installed catalogue. */
he_status he_machine_like(struct he_machine *machine, struct he_machine_device *device,
                          const char *name, const char *beside) HE_MUST_CHECK;

#endif
