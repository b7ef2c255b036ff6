/* SPDX-License-Identifier: Apache-2.0 */
/* Machines from files, lines and discovery: what is read, and what is refused in which words. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/size.h"
#include "machine/machine.h"

static struct he_machine *describe(const char *text)
{
    struct he_machine *machine = NULL;
    he_status status = he_machine_describe("m.yaml", text, strlen(text), &he_allocator_default,
                                           &machine);

    ck_assert_msg(status == HE_OK, "%s", he_error_message());
    return machine;
}

static struct he_machine *from_line(const char *line)
{
    struct he_machine *machine = NULL;

    ck_assert_msg(he_machine_from_line(line, &he_allocator_default, &machine) == HE_OK, "%s: %s",
                  line, he_error_message());
    return machine;
}

/* --- The examples of the manual load as they stand --- */

static struct he_machine *describe_file(const char *path)
{
    struct he_machine *machine = NULL;
    struct he_file file;

    ck_assert_msg(he_file_map(path, &file) == HE_OK, "%s", he_error_message());
    ck_assert_msg(he_machine_describe(path, file.data, file.size, &he_allocator_default, &machine) ==
                      HE_OK,
                  "%s", he_error_message());
    he_file_unmap(&file);
    return machine;
}

START_TEST(minimal_example_loads)
{
    struct he_machine *m = describe_file(HE_SRCDIR "/conf/minimal.yaml");

    ck_assert_str_eq(m->settings.strategy, "latency_aware");
    ck_assert_uint_eq(m->settings.batch_split_size, 128);
    ck_assert(fabs(m->settings.gpu_mem_threshold - 0.85) < 1e-12);
    ck_assert_uint_eq(m->device_count, 0);
    he_machine_destroy(m);
}
END_TEST

START_TEST(layers_example_loads)
{
    struct he_machine *m = describe_file(HE_SRCDIR "/conf/layers.yaml");

    ck_assert_str_eq(m->settings.hints, "respect");
    ck_assert_str_eq(m->settings.layers, "gpu(encoder, decoder); cpu(=head)");
    he_machine_destroy(m);
}
END_TEST

START_TEST(full_example_loads)
{
    struct he_machine *m = describe_file(HE_SRCDIR "/conf/full.yaml");

    ck_assert_uint_eq(m->device_count, 4);
    ck_assert_str_eq(m->devices[0].id, "CPU:0");
    ck_assert_str_eq(m->devices[0].cores, "0-7");
    ck_assert_str_eq(m->devices[1].backend, "opencl");
    ck_assert_uint_eq(m->devices[1].memory_bytes, 24000000000u);
    ck_assert(m->devices[1].price_per_hour == 1.2);
    ck_assert(m->devices[2].kind == HE_KIND_FPGA && m->devices[2].peaks.int8 == 128e12);
    ck_assert(m->devices[2].busy_watts == 75);
    ck_assert(m->devices[3].is_simulated && m->devices[3].kind == HE_KIND_GPU);
    ck_assert_str_eq(m->devices[3].like, "h100.yaml");
    ck_assert(m->devices[3].memory_bytes == 80000000000u && m->devices[3].bandwidth == 2e12);
    ck_assert_uint_eq(m->budget_count, 4);
    ck_assert(m->budgets[3].is_fraction && fabs(m->budgets[3].limit - 0.8) < 1e-12);
    ck_assert(m->settings.mem_policy == HE_MEM_SWAP_POLICY && m->settings.mem_tier_count == 3);
    ck_assert_str_eq(m->settings.mem_tiers[2], "disk");
    ck_assert_str_eq(m->settings.swap_path, "/var/tmp");
    ck_assert(fabs(m->settings.offload_utilization - 0.92) < 1e-12);
    ck_assert_str_eq(m->settings.dvfs_policy, "per_task");
    ck_assert(m->settings.allow_bf16 && m->settings.allow_fp16 && m->settings.allow_int8);
    ck_assert(m->settings.max_error == 1e-2);
    ck_assert_str_eq(m->settings.cluster_transport, "verbs");
    /* GPU:0 and FPGA:1 have the link of the file, both ways. */
    ck_assert(fabs(he_machine_transfer_seconds(m, 1, 2, 12e9) - 1.000005) < 1e-9);
    ck_assert(fabs(he_machine_transfer_seconds(m, 2, 1, 12e9) - 1.000005) < 1e-9);
    he_machine_destroy(m);
}
END_TEST

START_TEST(catalogue_entries_are_complete)
{
    static const char *const entries[] = { "h100", "u280" };

    for (size_t k = 0; k < HE_COUNT(entries); k++) {
        char text[128];
        struct he_machine *m;

        snprintf(text, sizeof text, "devices:\n - {id: \"%s\", simulated: true, like: %s}\n",
                 k ? "FPGA:0" : "GPU:0", entries[k]);
        m = describe(text);
        ck_assert(m->devices[0].peaks.int8 > 1e12 && m->devices[0].bandwidth > 1e11);
        ck_assert(m->devices[0].memory_bytes > 1000000000u && m->devices[0].busy_watts > 10);
        he_machine_destroy(m);
    }
}
END_TEST

START_TEST(a_file_beside_the_settings_is_found_first)
{
    char folder[] = "/tmp/he-machine-XXXXXX", path[64];
    static const char entry[] = "kind: GPU\nmem: 3GB\nfp32: 7TFLOPS\n";
    static const char text[] = "devices: [{id: GPU:0, simulated: true, like: h100.yaml, mem: 5GB}]";
    struct he_machine *m;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/h100.yaml", folder);
    ck_assert_int_eq(he_file_write(path, entry, strlen(entry)), HE_OK);
    snprintf(path, sizeof path, "%s/m.yaml", folder);
    ck_assert_int_eq(he_machine_describe(path, text, strlen(text), &he_allocator_default, &m), HE_OK);
    ck_assert(m->devices[0].peaks.fp32 == 7e12);
    ck_assert_uint_eq(m->devices[0].memory_bytes, 5000000000u); /* the device says more than its model */
    he_machine_destroy(m);
    snprintf(path, sizeof path, "%s/h100.yaml", folder);
    unlink(path);
    rmdir(folder);
}
END_TEST

/* --- Refusals, with place and words --- */

static const struct {
    const char *text, *says;
} refusals[] = {
    { "devices:\n  - id: \"GPU:0\"\n    simulated: true\n    prise: 1/h\n",
      "m.yaml:4:5: unknown key 'prise', did you mean 'price'?" },
    { "schedulling: {strategy: cost}\n", "m.yaml:1:1: unknown key 'schedulling', did you mean "
                                         "'scheduling'?" },
    { "scheduling: {stratgy: cost}\n", "m.yaml:1:14: unknown key 'stratgy', did you mean 'strategy'?" },
    { "devices: [{id: \"GPU:0\", mem: 24GHz}]", "m.yaml:1:30: " },
    { "devices: [{id: \"GPU:0\", mem: 24GHz}]", "'24GHz' has the wrong unit; expected bytes" },
    { "devices: [{id: \"GPU:0\", power: -5W}]", "'-5W' is negative" },
    { "devices: [{id: \"GPU:0\", mem: nan}]", "'nan' is not a quantity" },
    { "devices: [{id: \"GPU:0\", mem: inf}]", "'inf' is not a quantity" },
    { "devices: [{id: \"GPU:0\", mem: 1e300GB}]", "'1e300GB' is too large" },
    { "devices: [{id: \"GPU:0\", threads: 2.5}]", "'2.5' is not a whole number" },
    { "devices: [{id: \"GPU:0\", threads: 0}]", "out of range" },
    { "devices: [{id: \"GPU:0\", simulated: perhaps}]", "'perhaps' is neither true nor false" },
    { "devices: [{id: \"GPU:0\", mem: [1, 2]}]", "m.yaml:1:30: expected a single value" },
    { "devices: [{id: GPU0x}]", "m.yaml:1:16: 'GPU0x' is no device id" },
    { "devices: [{id: \"TPU:0\"}]", "'TPU:0' is no device id" },
    { "devices: [{mem: 4GB}]", "m.yaml:1:11: expected a device with an id" },
    { "devices: [{id: \"GPU:0\"}, {id: \"GPU:0\"}]", "device GPU:0 stands here twice" },
    { "devices: [{id: \"GPU:0\", mem: 1GB, mem: 2GB}]", "m.yaml:1:35: 'mem' stands here twice" },
    { "devices: [{id: \"GPU:0\", kind: FPGA}]", "kind: 'FPGA' is not the kind of GPU:0" },
    { "devices: {id: \"GPU:0\"}", "m.yaml:1:10: expected a list of devices" },
    { "devices: [GPU]", "expected a device" },
    { "devices: [{id: \"GPU:0\", simulated: true, like: nosuchchip}]", "no entry 'nosuchchip'" },
    { "devices: [{id: \"GPU:0\"}]\nlinks: [{from: \"GPU:0\", to: \"GPU:7\", bandwidth: 1GB/s}]",
      "m.yaml:2:29: no device 'GPU:7' stands in this file" },
    { "devices: [{id: \"GPU:0\"}]\nlinks: [{from: \"GPU:0\", to: \"GPU:0\", bandwidth: 1GB/s}]",
      "m.yaml:2:9: a link needs two different devices" },
    { "devices: [{id: \"GPU:0\"}, {id: \"CPU:0\"}]\n"
      "links: [{from: \"GPU:0\", to: \"CPU:0\", bandwidth: 0GB/s}]", "bandwidth must be above 0" },
    { "devices: [{id: \"GPU:0\"}, {id: \"CPU:0\"}]\n"
      "links: [{from: \"GPU:0\", to: \"CPU:0\", speed: 1GB/s}]", "unknown key 'speed'" },
    { "budget: {powr: 300W}", "m.yaml:1:10: unknown budget 'powr', did you mean 'power'?" },
    { "budget: {power: 300GB}", "wrong unit" },
    { "budget: {lut: 130%}", "more than everything" },
    { "budget: {latency: 50%}", "a part of nothing" },
    { "budget: [1]", "expected budgets" },
    { "device_params: {gpu_mem_threshold: 120%}", "out of range" },
    { "device_params: {gpu_mem_threshold: 0%}", "out of range" },
    { "memory: {policy: hope}", "expected fail or swap" },
    { "memory: {tiers: [device, tape]}", "'tape' is none of device|host|disk" },
    { "precision: {allow: [fp8]}", "'fp8' is none of bf16|fp16|int8" },
    { "precision: {default: fp8}", "'fp8' is none of" },
    { "scheduling: cost", "expected keys with values" },
    { "[1, 2]", "m.yaml:1:1: expected settings" },
    { "a: b: c", "m.yaml:1:5: mapping values are not allowed" },
    { "scheduling: {strategy: cost", "m.yaml:" },
    { "scheduling:\n\tstrategy: cost", "m.yaml:2:1: " },
    { "{? [a, b] : c}", "expected a key" },
};

START_TEST(bad_file_is_refused_with_the_place_and_the_reason)
{
    struct he_machine *machine = (struct he_machine *)1;
    const char *text = refusals[_i].text;
    he_status status = he_machine_describe("m.yaml", text, strlen(text), &he_allocator_default,
                                           &machine);

    ck_assert_msg(status == HE_ERR_SETTING, "%s: status %s", text, he_status_name(status));
    ck_assert_msg(strstr(he_error_message(), refusals[_i].says) != NULL, "%s: \"%s\"", text,
                  he_error_message());
    ck_assert_msg(strncmp(he_error_message(), "m.yaml:", 7) == 0, "%s: \"%s\"", text,
                  he_error_message());
    ck_assert_ptr_null(machine);
}
END_TEST

START_TEST(empty_files_say_nothing)
{
    static const char *const texts[] = { "", "\n", "# nothing\n", "---\n", "{}", "~" };

    for (size_t k = 0; k < HE_COUNT(texts); k++) {
        struct he_machine *m = describe(texts[k]);

        ck_assert_uint_eq(m->device_count, 0);
        ck_assert_str_eq(m->settings.strategy, "latency_aware");
        he_machine_destroy(m);
    }
}
END_TEST

START_TEST(deep_nesting_and_large_files_are_survived)
{
    size_t depth = 200000;
    char *text = malloc(depth * 40);
    struct he_machine *m = NULL;
    size_t used;

    for (size_t k = 0; k < depth; k += 2)
        memcpy(text + k, "- ", 2);
    ck_assert_int_eq(he_machine_describe("m.yaml", text, depth, &he_allocator_default, &m),
                     HE_ERR_SETTING);
    memset(text, '[', depth);
    ck_assert_int_eq(he_machine_describe("m.yaml", text, depth, &he_allocator_default, &m),
                     HE_ERR_SETTING);
    ck_assert_ptr_null(m);
    /* 1,000 devices are read in reasonable time. */
    used = (size_t)sprintf(text, "devices:\n");
    for (int k = 0; k < 1000; k++)
        used += (size_t)sprintf(text + used, " - {id: \"GPU:%d\", simulated: true}\n", k);
    ck_assert_msg(he_machine_describe("m.yaml", text, used, &he_allocator_default, &m) == HE_OK, "%s",
                  he_error_message());
    ck_assert_uint_eq(m->device_count, 1000);
    he_machine_destroy(m);
    free(text);
}
END_TEST

START_TEST(an_alias_bomb_is_harmless)
{
    static const char text[] = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n";
    struct he_machine *m = NULL;

    ck_assert_int_eq(he_machine_describe("m.yaml", text, strlen(text), &he_allocator_default, &m),
                     HE_ERR_SETTING);
}
END_TEST

/* --- One line --- */

START_TEST(a_line_describes_simulated_devices)
{
    struct he_machine *m =
        from_line("cpu:2 gpu:4(tflops=312,mem=80GB,bw=2TB/s) fpga:2(like=u280) "
                  "link(gpu,fpga)=12GB/s,5us");

    ck_assert_uint_eq(m->device_count, 8);
    ck_assert_str_eq(m->devices[0].id, "cpu0");
    ck_assert_str_eq(m->devices[5].id, "gpu3");
    ck_assert_str_eq(m->devices[7].id, "fpga1");
    ck_assert(m->devices[2].peaks.fp32 == 312e12 && m->devices[2].bandwidth == 2e12);
    ck_assert_uint_eq(m->devices[2].memory_bytes, 80000000000u);
    ck_assert(m->devices[6].is_simulated && m->devices[6].kind == HE_KIND_FPGA);
    ck_assert_str_eq(m->devices[6].like, "u280");
    ck_assert(fabs(he_machine_transfer_seconds(m, 2, 6, 12e9) - 1.000005) < 1e-9);
    ck_assert(fabs(he_machine_transfer_seconds(m, 7, 5, 12e9) - 1.000005) < 1e-9);
    /* The host has a link to everything; between two GPUs the way is through it. */
    ck_assert(fabs(he_machine_transfer_seconds(m, 0, 2, 12e9) - 1.00001) < 1e-9);
    ck_assert(fabs(he_machine_transfer_seconds(m, 2, 3, 12e9) - 2.00001) < 1e-4);
    ck_assert(he_machine_transfer_seconds(m, 0, 1, 12e9) == 0.0);
    he_machine_destroy(m);
}
END_TEST

static const struct {
    const char *line, *says;
} bad_lines[] = {
    { "", "names no device" },
    { "gpus:2", "'gpus' is no kind of device" },
    { "gpu:0", "expected a count" },
    { "gpu:9999999999", "expected a count" },
    { "gpu:two", "expected a count" },
    { "gpu:1(mem=80GB", "parenthesis is not closed" },
    { "gpu:1(mem)", "'mem' is no option" },
    { "gpu:1(prise=3)", "unknown key 'prise', did you mean 'price'?" },
    { "gpu:1(mem=5s)", "wrong unit" },
    { "gpu:2 link(gpu,tpu)=1GB/s", "there are no such two devices" },
    { "gpu:2 link(gpu)=1GB/s", "is no link" },
    { "gpu:2 link(gpu,gpu)=0GB/s", "above 0" },
    { "GPU", "'GPU' is no device id" },
};

START_TEST(bad_line_is_refused_with_the_reason)
{
    struct he_machine *machine = NULL;

    ck_assert_int_eq(he_machine_from_line(bad_lines[_i].line, &he_allocator_default, &machine),
                     HE_ERR_SETTING);
    ck_assert_msg(strstr(he_error_message(), bad_lines[_i].says) != NULL, "%s: \"%s\"",
                  bad_lines[_i].line, he_error_message());
    ck_assert_ptr_null(machine);
}
END_TEST

START_TEST(many_devices_in_a_line_are_quick)
{
    struct he_machine *m = from_line("cpu:1 gpu:1024");

    ck_assert_uint_eq(m->device_count, 1025);
    ck_assert_uint_eq(m->link_count, 2048);
    ck_assert(m->arena.used_bytes < ((size_t)64 << 20));
    he_machine_destroy(m);
}
END_TEST

/* --- Real devices: this machine has a CPU at least --- */

START_TEST(discovery_finds_the_cpu)
{
    struct he_machine *m = NULL;
    struct he_text text;
    struct he_json_writer json;

    ck_assert_msg(he_machine_discover(&he_allocator_default, &m) == HE_OK, "%s", he_error_message());
    ck_assert_uint_ge(m->device_count, 1);
    ck_assert_str_eq(m->devices[0].id, "CPU:0");
    ck_assert(m->devices[0].caps & HE_CAP_HOST_MEMORY);
    he_text_init(&text, &he_allocator_default);
    he_json_begin(&json, &text, true);
    he_machine_write_json(m, &json);
    ck_assert_int_eq(he_text_status(&text), HE_OK);
    ck_assert_ptr_nonnull(strstr(he_text_string(&text), "\"id\": \"CPU:0\""));
    he_text_fini(&text);
    he_machine_destroy(m);
}
END_TEST

START_TEST(a_device_that_is_not_here_is_named_with_what_is)
{
    static const char text[] = "devices: [{id: \"FPGA:77\", backend: nosuch}]";
    struct he_machine *m = NULL;

    ck_assert_int_eq(he_machine_parse("m.yaml", text, strlen(text), &he_allocator_default, &m),
                     HE_ERR_NO_DEVICE);
    ck_assert_ptr_nonnull(strstr(he_error_message(), "m.yaml:1:11: no device FPGA:77"));
    ck_assert_ptr_nonnull(strstr(he_error_message(), "CPU:0"));
    ck_assert_int_eq(he_machine_from_line("FPGA:77", &he_allocator_default, &m), HE_ERR_NO_DEVICE);
}
END_TEST

START_TEST(a_real_device_is_completed_and_what_was_said_stays)
{
    static const char text[] = "devices: [{id: \"CPU:0\", mem: 2GB, price: 0.5/h, power: 60W}]";
    struct he_machine *m = NULL;

    ck_assert_msg(he_machine_parse("m.yaml", text, strlen(text), &he_allocator_default, &m) == HE_OK,
                  "%s", he_error_message());
    ck_assert_uint_eq(m->devices[0].memory_bytes, 2000000000u);
    ck_assert(m->devices[0].price_per_hour == 0.5 && m->devices[0].busy_watts == 60);
    ck_assert_str_eq(m->devices[0].backend, "cpu");
    ck_assert(m->devices[0].peaks.fp32 > 0 && !m->devices[0].is_simulated);
    he_machine_destroy(m);
    m = from_line("HETERO:CPU:0");
    ck_assert_uint_eq(m->device_count, 1);
    he_machine_destroy(m);
}
END_TEST

START_TEST(minimal_example_takes_what_is_here)
{
    struct he_machine *m = NULL;

    ck_assert_msg(he_machine_load(HE_SRCDIR "/conf/minimal.yaml", &he_allocator_default, &m) == HE_OK,
                  "%s", he_error_message());
    ck_assert_uint_ge(m->device_count, 1);
    ck_assert_str_eq(m->devices[0].id, "CPU:0");
    he_machine_destroy(m);
    ck_assert_int_eq(he_machine_load("/nonexistent/m.yaml", &he_allocator_default, &m), HE_ERR_IO);
}
END_TEST

/* --- Changes --- */

START_TEST(selecting_keeps_order_and_links)
{
    struct he_machine *m = from_line("cpu:1 gpu:2 fpga:1 link(gpu,fpga)=1GB/s");
    double direct = he_machine_transfer_seconds(m, 2, 3, 1e9);

    ck_assert_int_eq(he_machine_select(m, "fpga0,gpu1"), HE_OK);
    ck_assert_uint_eq(m->device_count, 2);
    ck_assert_str_eq(m->devices[0].id, "fpga0");
    ck_assert_str_eq(m->devices[1].id, "gpu1");
    ck_assert(he_machine_transfer_seconds(m, 1, 0, 1e9) == direct);
    ck_assert_int_eq(he_machine_select(m, "gpu7"), HE_ERR_NO_DEVICE);
    ck_assert_int_eq(he_machine_select(m, "gpu1,gpu1"), HE_ERR_SETTING);
    ck_assert_int_eq(he_machine_select(m, ""), HE_ERR_SETTING);
    ck_assert_uint_eq(m->device_count, 2);
    /* There is room for one more after that. */
    ck_assert_msg(he_machine_add_device(m, "GPU:9", "simulated=true,mem=1GB") == HE_OK, "%s",
                  he_error_message());
    ck_assert_uint_eq(m->device_count, 3);
    ck_assert(he_machine_transfer_seconds(m, 1, 0, 1e9) == direct);
    ck_assert(he_machine_transfer_seconds(m, 2, 0, 1e9) > 0);
    he_machine_destroy(m);
}
END_TEST

START_TEST(budgets_are_added_and_replaced)
{
    struct he_machine *m = from_line("cpu:1");

    ck_assert_int_eq(he_machine_set_budget(m, "memory=8GB,power=300W"), HE_OK);
    ck_assert_int_eq(he_machine_set_budget(m, "memory=4GB,price=2/h,lut=50%"), HE_OK);
    ck_assert_uint_eq(m->budget_count, 4);
    ck_assert(m->budgets[0].limit == 4e9 && m->budgets[1].limit == 300);
    ck_assert(m->budgets[3].is_fraction);
    ck_assert_int_eq(he_machine_set_budget(m, "latency=50ms"), HE_OK);
    ck_assert(fabs(m->budgets[4].limit - 0.05) < 1e-12);
    ck_assert_int_eq(he_machine_set_budget(m, "memory"), HE_ERR_SETTING);
    ck_assert_int_eq(he_machine_set_budget(m, "memroy=1GB"), HE_ERR_SETTING);
    ck_assert_ptr_nonnull(strstr(he_error_message(), "did you mean 'memory'?"));
    ck_assert_int_eq(he_machine_set_budget(m, "power=1GB"), HE_ERR_SETTING);
    he_machine_destroy(m);
}
END_TEST

/* --- Memory running out --- */

static size_t left, alive;

static void *failing_alloc(void *self, size_t size)
{
    (void)self;
    if (left == 0)
        return NULL;
    left--;
    alive++;
    return malloc(size ? size : 1);
}

static void failing_free(void *self, void *memory)
{
    (void)self;
    alive -= memory != NULL;
    free(memory);
}

START_TEST(out_of_memory_is_reported_and_leaves_nothing_behind)
{
    struct he_allocator alloc = { failing_alloc, failing_free, NULL };
    static char text[20000];
    he_status status = HE_ERR_NO_MEMORY;
    size_t used = (size_t)sprintf(text, "devices:\n");

    for (int k = 0; k < 60; k++)
        used += (size_t)sprintf(text + used, " - {id: \"GPU:%d\", simulated: true, lut: %d, like: h100}\n",
                                k, k);
    used += (size_t)sprintf(text + used, "memory: {tiers: [device, host]}\nbudget: {power: 1kW}\n");
    for (size_t limit = 0; status != HE_OK; limit++) {
        struct he_machine *m = NULL;

        left = limit;
        status = he_machine_describe("m.yaml", text, used, &alloc, &m);
        ck_assert_msg(status == HE_OK || status == HE_ERR_NO_MEMORY, "%s", he_error_message());
        ck_assert((m != NULL) == (status == HE_OK));
        he_machine_destroy(m);
        ck_assert_uint_eq(alive, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("machine");
    TCase *tc = tcase_create("machine");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, minimal_example_loads);
    tcase_add_test(tc, layers_example_loads);
    tcase_add_test(tc, full_example_loads);
    tcase_add_test(tc, catalogue_entries_are_complete);
    tcase_add_test(tc, a_file_beside_the_settings_is_found_first);
    tcase_add_loop_test(tc, bad_file_is_refused_with_the_place_and_the_reason, 0, HE_COUNT(refusals));
    tcase_add_test(tc, empty_files_say_nothing);
    tcase_add_test(tc, deep_nesting_and_large_files_are_survived);
    tcase_add_test(tc, an_alias_bomb_is_harmless);
    tcase_add_test(tc, a_line_describes_simulated_devices);
    tcase_add_loop_test(tc, bad_line_is_refused_with_the_reason, 0, HE_COUNT(bad_lines));
    tcase_add_test(tc, many_devices_in_a_line_are_quick);
    tcase_add_test(tc, discovery_finds_the_cpu);
    tcase_add_test(tc, a_device_that_is_not_here_is_named_with_what_is);
    tcase_add_test(tc, a_real_device_is_completed_and_what_was_said_stays);
    tcase_add_test(tc, minimal_example_takes_what_is_here);
    tcase_add_test(tc, selecting_keeps_order_and_links);
    tcase_add_test(tc, budgets_are_added_and_replaced);
    tcase_add_test(tc, out_of_memory_is_reported_and_leaves_nothing_behind);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
