/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hetero devices: what is here. Devices that were never measured are tested first, in a
 * process of their own: a driver that crashes or hangs costs the figures, not the answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"
#include "hetero.h"

#define SELF_TEST_SECONDS 30

static void put_rate(double value, const char *unit)
{
    static const struct {
        double from;
        const char *prefix;
    } scales[] = { { 1e15, "P" }, { 1e12, "T" }, { 1e9, "G" }, { 1e6, "M" }, { 0, "" } };
    size_t k = 0;

    while (value < scales[k].from)
        k++;
    printf("%.3g %s%s", scales[k].from > 0 ? value / scales[k].from : value, scales[k].prefix, unit);
}

static void put_device(const struct he_machine_device *device)
{
    printf("%-10s %-7s %-8s %s", device->id, he_device_kind_name(device->kind),
           device->backend[0] ? device->backend : "-", device->name);
    if (device->driver[0])
        printf(" (%s)", device->driver);
    printf("%s\n%27s memory ", device->is_simulated ? " [simulated]" : "", "");
    put_rate((double)device->memory_bytes, "B");
    printf(", bandwidth ");
    put_rate(device->bandwidth, "B/s");
    if (device->peaks.fp32 > 0) {
        printf(", fp32 ");
        put_rate(device->peaks.fp32, "FLOP/s");
    }
    if (device->peaks.bf16 > 0) {
        printf(", bf16 ");
        put_rate(device->peaks.bf16, "FLOP/s");
    }
    if (device->peaks.int8 > 0) {
        printf(", int8 ");
        put_rate(device->peaks.int8, "OP/s");
    }
    if (device->shares[0])
        printf(", shares '%s'", device->shares);
    if (device->peaks_source == HE_SOURCE_MEASURED) {
        printf("\n%27s measured: launch %.3g us", "", device->launch_ns * 1e-3);
        if (he_host_memory_name(device->host_memory))
            printf(", host memory: %s", he_host_memory_name(device->host_memory));
    }
    printf("\n");
}

/* Measured ones: what is assumed of two devices is the same for all. */
static void put_pairs(const struct he_machine *machine)
{
    for (uint32_t a = 0; a < machine->device_count; a++) {
        for (uint32_t b = 0; b < machine->device_count; b++) {
            struct he_machine_pair pair = he_machine_pair_at(machine, a, b);

            if (a == b || pair.source != HE_SOURCE_MEASURED)
                continue;
            printf("%s -> %s  hand-over %.3g us +-%.0f %%; %s takes %.2fx as long beside %s, %.2fx "
                   "where memory is the limit\n",
                   machine->devices[a].id, machine->devices[b].id, pair.hand_over_s * 1e6,
                   pair.hand_over_spread * 100, machine->devices[a].id, pair.slowdown_compute,
                   machine->devices[b].id, pair.slowdown_memory);
            if (he_machine_same_memory(machine, a, b))
                printf("%s -> %s  results come from the other core's caches at %.3g GB/s +-%.0f %%\n",
                       machine->devices[a].id, machine->devices[b].id, 1e-9 / pair.fetch_s,
                       pair.fetch_spread * 100);
        }
    }
}

static void test_as_child(struct he_engine *engine, bool anew)
{
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    uint32_t count;
    he_status status, saved;

    if (nowhere >= 0)
        dup2(nowhere, STDOUT_FILENO);
    alarm(SELF_TEST_SECONDS + 5); /* should the parent be gone */
    status = he_engine_self_test(engine, anew, &count);
    if (status != HE_OK)
        fprintf(stderr, "hetero: self-test: %s\n", he_error_message());
    saved = he_engine_save_costs(engine);
    if (saved != HE_OK)
        fprintf(stderr, "hetero: self-test: %s\n", he_error_message());
    _exit(status != HE_OK ? tool_exit_code(status) : tool_exit_code(saved));
}

/* Nothing of @engine has been opened yet: the child starts what it needs. Gives an exit code. */
static int self_test(struct he_engine *engine, bool anew)
{
    int ends[2], status = 0;
    struct pollfd wait = { .events = POLLIN };
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return EXIT_FAILED;
    fflush(NULL);
    child = fork();
    if (child == 0)
        test_as_child(engine, anew);
    close(ends[1]); /* the child's end closes when it ends, however it does */
    wait.fd = ends[0];
    while (child > 0 && poll(&wait, 1, SELF_TEST_SECONDS * 1000) < 0 && errno == EINTR)
        ;
    close(ends[0]);
    if (child < 0)
        return EXIT_FAILED;
    if (wait.revents == 0) {
        kill(child, SIGKILL);
        fprintf(stderr, "hetero: self-test: not done within %d seconds\n", SELF_TEST_SECONDS);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (wait.revents != 0 && WIFSIGNALED(status))
        fprintf(stderr, "hetero: self-test: a driver crashed (%s)\n", strsignal(WTERMSIG(status)));
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_NO_DEVICE;
}

/* Gives the engine as the test has left its store. */
static he_status open_tested(const struct tool_args *args, struct he_engine **out, int *code)
{
    he_status status = tool_open_engine(args, out);

    *code = EXIT_DONE;
    if (status != HE_OK || (!args->self_test && !he_engine_wants_self_test(*out)))
        return status;
    *code = self_test(*out, args->self_test);
    he_engine_destroy(*out);
    return tool_open_engine(args, out);
}

static int run(const struct tool_args *args)
{
    const struct he_machine *machine;
    struct he_engine *engine;
    int test_code;
    he_status status = open_tested(args, &engine, &test_code);

    if (status != HE_OK)
        return tool_fail(status);
    /* Figures nobody asked for may be missing. */
    if (!args->self_test)
        test_code = EXIT_DONE;
    machine = he_engine_machine(engine);
    if (args->json) {
        struct he_json_writer json;
        struct he_text text;
        int code;

        he_text_init(&text, NULL);
        he_json_begin(&json, &text, true);
        he_machine_write_json(machine, &json);
        he_text_append(&text, "\n", 1);
        code = tool_print(&text);
        he_engine_destroy(engine);
        return code ? code : test_code;
    }
    for (uint32_t d = 0; d < machine->device_count; d++)
        put_device(&machine->devices[d]);
    for (uint32_t k = 0; k < machine->link_count; k++) {
        const struct he_machine_link *link = &machine->links[k];

        printf("%s -> %s  ", machine->devices[link->from].id, machine->devices[link->to].id);
        put_rate(link->bandwidth, "B/s");
        printf(", %.3g us (%s)", link->latency_s * 1e6, he_machine_source_name(link->source));
        if (he_host_memory_name(he_machine_link_memory(machine, link)))
            printf(", host memory: %s", he_host_memory_name(he_machine_link_memory(machine, link)));
        printf("\n");
    }
    put_pairs(machine);
    he_engine_destroy(engine);
    return test_code;
}

const struct tool_command cmd_devices = {
    .name = "devices",
    .summary = "lists what is here: devices, memory, peaks, links",
    .usage = "devices [-c FILE.yaml] [-d LIST] [--self-test] [--json]",
    .options = "self-test",
    .details = "Lists the devices of this machine, or of the machine a file or a line describes. Devices\n"
               "with a memory of their own that were never measured are tested first, in about a\n"
               "second: multiply-adds, memory, launches, the way to them, and whether they work in\n"
               "the host's memory. The calibration store keeps the figures, and plans stand on them.",
    .examples = "  hetero devices\n"
                "  hetero devices --self-test\n"
                "  hetero devices --json\n"
                "  hetero devices -d \"gpu:4(tflops=312,mem=80GB) cpu:1\"\n",
    .run = run,
};
