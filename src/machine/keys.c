/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "machine/keys.h"

#define DEV(field) offsetof(struct he_machine_device, field)
const struct key he_device_keys[] = {
    { "id", KEY_SPECIAL, 0, 0, 0, NULL, 0, 0, "name: KIND:NUMBER, such as GPU:0" },
    { "backend", KEY_TEXT, 0, DEV(backend), 0, NULL, 0, 0, "cpu, opencl, matrix, fpga, asic..." },
    { "simulated", KEY_BOOL, 0, DEV(is_simulated), 0, NULL, 0, 0, "planned with, never run" },
    { "like", KEY_SPECIAL, 0, 0, 0, NULL, 0, 0, "start from this catalogue entry or file" },
    { "kind", KEY_SPECIAL, 0, 0, 0, NULL, 0, 0, "CPU, GPU, FPGA, ASIC, MATRIX, DSP" },
    { "name", KEY_TEXT, 0, DEV(name), 0, NULL, 0, 0, "words for reports" },
    { "cores", KEY_TEXT, 0, DEV(cores), 0, NULL, 0, 0, "cores it runs on, such as 0-7" },
    { "threads", KEY_COUNT, 0, DEV(threads), 0, NULL, 1, 4096, "threads, at most one per core" },
    { "mem", KEY_BYTES, HE_UNIT_BYTES, DEV(memory_bytes), 0, NULL, 0, 0, "memory" },
    { "memory", KEY_BYTES, HE_UNIT_BYTES, DEV(memory_bytes), 0, NULL, 0, 0, "the same as mem" },
    { "ops", KEY_SPECIAL, HE_UNIT_OPS, 0, 0, NULL, 0, 0, "peak of every type it has" },
    { "tflops", KEY_SPECIAL, HE_UNIT_NUMBER, 0, 0, NULL, 0, 0, "fp32 peak, in TFLOPS" },
    { "fp32", KEY_QUANTITY, HE_UNIT_OPS, DEV(peaks.fp32), 0, NULL, 0, 0, "fp32 peak" },
    { "fp64", KEY_QUANTITY, HE_UNIT_OPS, DEV(peaks.fp64), 0, NULL, 0, 0, "fp64 peak" },
    { "fp16", KEY_QUANTITY, HE_UNIT_OPS, DEV(peaks.fp16), 0, NULL, 0, 0, "fp16 peak" },
    { "bf16", KEY_QUANTITY, HE_UNIT_OPS, DEV(peaks.bf16), 0, NULL, 0, 0, "bf16 peak" },
    { "int8", KEY_QUANTITY, HE_UNIT_OPS, DEV(peaks.int8), 0, NULL, 0, 0, "int8 peak" },
    { "bw", KEY_QUANTITY, HE_UNIT_RATE, DEV(bandwidth), 0, NULL, 0, 0, "memory bandwidth" },
    { "bandwidth", KEY_QUANTITY, HE_UNIT_RATE, DEV(bandwidth), 0, NULL, 0, 0, "the same as bw" },
    { "launch", KEY_SPECIAL, HE_UNIT_SECONDS, 0, 0, NULL, 0, 0, "time of an empty launch" },
    { "power", KEY_QUANTITY, HE_UNIT_WATTS, DEV(busy_watts), 0, NULL, 0, 0, "when busy" },
    { "idle_power", KEY_QUANTITY, HE_UNIT_WATTS, DEV(idle_watts), 0, NULL, 0, 0, "when idle" },
    { "price", KEY_QUANTITY, HE_UNIT_PRICE, DEV(price_per_hour), 0, NULL, 0, 0, "per hour" },
    { "shares", KEY_TEXT, 0, DEV(shares), 0, NULL, 0, 0, "devices with the same word are one server" },
    { "lut", KEY_SPECIAL, HE_UNIT_NUMBER, 0, 0, NULL, 0, 0, "look-up tables it has" },
    { "ff", KEY_SPECIAL, HE_UNIT_NUMBER, 0, 0, NULL, 0, 0, "flip-flops it has" },
    { "dsp", KEY_SPECIAL, HE_UNIT_NUMBER, 0, 0, NULL, 0, 0, "DSP blocks it has" },
    { "bram", KEY_SPECIAL, HE_UNIT_NUMBER, 0, 0, NULL, 0, 0, "block memories it has" },
};
const size_t he_device_key_count = HE_COUNT(he_device_keys);

#define SET(field) offsetof(struct he_machine_settings, field)
static const struct key scheduling_keys[] = {
    { "strategy", KEY_TEXT, 0, SET(strategy), 0, NULL, 0, 0,
      "latency_aware (default), throughput, energy_aware, cost, priority, or a policy" },
    { "hints", KEY_WORD, 0, SET(hints), 0, "respect|ignore", 0, 0,
      "what the model says about devices" },
    { "layers", KEY_TEXT, 0, SET(layers), 0, NULL, 0, 0,
      "devices for layer_ann properties: \"gpu(encoder, decoder); cpu(=head)\"" },
    { "on_device_loss", KEY_WORD, 0, SET(on_device_loss), 0, "replan|fail", 0, 0,
      "when a device fails: plan again for the others, or fail" },
    { "batch_split_size", KEY_COUNT, 0, SET(batch_split_size), 0, NULL, 1, 1e9,
      "most rows (batch) one part of a large task has where it is cut" },
};
static const struct key device_param_keys[] = {
    { "gpu_mem_threshold", KEY_QUANTITY, HE_UNIT_FRACTION, SET(gpu_mem_threshold), 0, NULL, 0.01, 1,
      "share of a GPU's memory that plans may use (100%)" },
};
static const struct key memory_keys[] = {
    { "policy", KEY_SPECIAL, 0, 0, 0, "fail|swap", 0, 0, "what to do when memory is too small" },
    { "tiers", KEY_LIST, 0, SET(mem_tiers), SET(mem_tier_count), "device|host|disk", 0, 0,
      "where swapped tensors go, in order" },
    { "swap_path", KEY_TEXT, 0, SET(swap_path), 0, NULL, 0, 0, "folder of the swap file" },
};
static const struct key offload_keys[] = {
    { "utilization", KEY_QUANTITY, HE_UNIT_FRACTION, SET(offload_utilization), 0, NULL, 0, 1,
      "busy share of accelerators to aim at" },
};
static const struct key dvfs_keys[] = {
    { "policy", KEY_WORD, 0, SET(dvfs_policy), 0, "none|per_task|per_plan", 0, 0,
      "who chooses clock frequencies" },
};
static const struct key precision_keys[] = {
    { "default", KEY_WORD, 0, SET(precision_default), 0, "fp32|bf16|fp16", 0, 0,
      "arithmetic of float32 models (fp32)" },
    { "allow", KEY_SPECIAL, 0, 0, 0, "bf16|fp16|int8", 0, 0, "what fp32 may be lowered to" },
    { "max_error", KEY_QUANTITY, HE_UNIT_NUMBER, SET(max_error), 0, NULL, 0, 1,
      "largest relative error lowering may cause" },
};
static const struct key cluster_keys[] = {
    { "nodes", KEY_LIST, 0, SET(cluster_nodes), SET(cluster_node_count), NULL, 0, 0, "host names" },
    { "transport", KEY_WORD, 0, SET(cluster_transport), 0, "verbs|tcp|shm", 0, 0, "how nodes talk" },
    { "require", KEY_WORD, 0, SET(cluster_require), 0, "rdma", 0, 0,
      "fail rather than fall back" },
};

const struct key_group he_setting_groups[] = {
    { "scheduling", scheduling_keys, HE_COUNT(scheduling_keys) },
    { "device_params", device_param_keys, HE_COUNT(device_param_keys) },
    { "memory", memory_keys, HE_COUNT(memory_keys) },
    { "offload", offload_keys, HE_COUNT(offload_keys) },
    { "dvfs", dvfs_keys, HE_COUNT(dvfs_keys) },
    { "precision", precision_keys, HE_COUNT(precision_keys) },
    { "cluster", cluster_keys, HE_COUNT(cluster_keys) },
};
const size_t he_setting_group_count = HE_COUNT(he_setting_groups);

const struct key *he_key_find(const struct key *keys, size_t count, const char *name)
{
    const char *names[64], *nearest;

    for (size_t k = 0; k < count; k++) {
        if (strcmp(keys[k].name, name) == 0)
            return &keys[k];
        names[k] = keys[k].name;
    }
    nearest = he_nearest_word(name, names, count);
    he_error_set(HE_ERR_SETTING, "unknown key '%s'%s%s%s", name, nearest ? ", did you mean '" : "",
                 nearest ? nearest : "", nearest ? "'?" : "");
    return NULL;
}

/* True when @value is one of the words of "a|b|c". */
static bool is_word_of(const char *words, const char *value)
{
    size_t size = strlen(value);

    for (const char *at = words; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
        if (strncmp(at, value, size) == 0 && (at[size] == '|' || !at[size]))
            return true;
    }
    return false;
}

static he_status store_number(const struct key *key, double number, const char *value,
                              double *out)
{
    if (number < key->least || (key->most > 0 && number > key->most))
        return he_error_set(HE_ERR_SETTING, "%s: '%s' is out of range (%g to %g)", key->name, value,
                            key->least, key->most);
    *out = number;
    return HE_OK;
}

he_status he_key_store(const struct key *key, void *object, const char *value,
                       struct he_arena *arena)
{
    void *field = (char *)object + key->offset;
    double number = 0;
    char *copy, *end;
    he_status status;

    switch (key->kind) {
    case KEY_WORD:
        if (!is_word_of(key->words, value))
            return he_error_set(HE_ERR_SETTING, "%s: '%s' is none of %s", key->name, value,
                                key->words);
        /* fall through */
    case KEY_TEXT:
        copy = he_arena_string(arena, value, strlen(value));
        if (!copy)
            return he_no_memory();
        *(const char **)field = copy;
        return HE_OK;
    case KEY_BOOL:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return he_error_set(HE_ERR_SETTING, "%s: '%s' is neither true nor false", key->name,
                                value);
        *(bool *)field = value[0] == 't';
        return HE_OK;
    case KEY_QUANTITY:
    case KEY_BYTES:
        status = he_parse_quantity(value, key->unit, &number);
        if (status == HE_OK)
            status = store_number(key, number, value, &number);
        if (status != HE_OK)
            return status;
        if (key->kind == KEY_QUANTITY)
            *(double *)field = number;
        else if (number < 0x1p63)
            *(uint64_t *)field = (uint64_t)number;
        else
            return he_error_set(HE_ERR_SETTING, "%s: '%s' is out of range", key->name, value);
        return HE_OK;
    case KEY_COUNT:
        number = strtod(value, &end);
        if (end == value || *end || number != floor(number) || !(fabs(number) < 4e9))
            return he_error_set(HE_ERR_SETTING, "%s: '%s' is not a whole number", key->name, value);
        status = store_number(key, number, value, &number);
        if (status == HE_OK)
            *(uint32_t *)field = (uint32_t)number;
        return status;
    case KEY_LIST:
    case KEY_SPECIAL:
        break;
    }
    return he_error_set(HE_ERR_SETTING, "%s does not take a single value", key->name);
}
