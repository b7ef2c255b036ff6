/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hetero conform: runs folders of ONNX tests (model.onnx, test_data_set_N with
 * input_K.pb and output_K.pb). Each test runs in a child process, so that a crash
 * is that test's failure and the rest go on.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "engine/engine.h"
#include "hetero.h"
#include "model/tensor_file.h"
#include "plan/plan.h"

#define TEST_SECONDS 120
/* Upstream's own tolerance for its node tests; atol 1e-7 there, a little more here
 * for kernels that sum in another order. */
#define NODE_ATOL 1e-6

enum verdict { PASSED, FAILED, UNSUPPORTED, SKIPPED, VERDICT_COUNT };
static const char *const verdict_names[] = { "pass", "fail", "unsupported", "skipped" };

/* Shared with the child. */
struct outcome {
    enum verdict verdict;
    char why[400];
};

struct suite {
    const struct tool_args *args;
    struct he_engine *engine;
    struct outcome *outcome;
    char **skips; /* "name" or "name # reason" */
    size_t skip_count;
    size_t counts[VERDICT_COUNT];
    struct he_text json_text;
    struct he_json_writer json;
};

static void set(struct outcome *outcome, enum verdict verdict, const char *why)
{
    outcome->verdict = verdict;
    snprintf(outcome->why, sizeof outcome->why, "%s", why);
}

static void set_error(struct outcome *outcome, he_status status)
{
    set(outcome, status == HE_ERR_UNSUPPORTED ? UNSUPPORTED : FAILED, he_error_message());
}

/* Reads the set's files of one kind; a sequence or other non-tensor is HE_ERR_PARSE or UNSUPPORTED. */
static he_status read_files(const char *set_path, const char *kind, struct he_arena *arena,
                            struct he_tensor **out, size_t *count)
{
    size_t most = 256;

    *count = 0;
    *out = he_arena_alloc(arena, most, sizeof **out);
    if (!*out)
        return he_no_memory();
    while (*count < most) {
        char path[4096];
        he_status status;

        snprintf(path, sizeof path, "%s/%s_%zu.pb", set_path, kind, *count);
        if (access(path, F_OK) != 0)
            break;
        status = he_tensor_file_read(path, &he_allocator_default, HE_DTYPE_NONE, NULL, arena,
                                     &(*out)[*count]);
        if (status != HE_OK)
            return status;
        (*count)++;
    }
    return HE_OK;
}

static void compare_all(const struct tool_args *given, const struct he_output *outputs,
                        const struct he_tensor *expected, size_t count, struct outcome *outcome)
{
    struct tool_args args = *given;

    if (args.atol == TOOL_ATOL)
        args.atol = NODE_ATOL;
    for (size_t k = 0; k < count; k++) {
        struct he_tensor got = tool_tensor(&outputs[k].given->dl_tensor);
        struct tool_difference difference;
        char why[400];

        tool_compare(&got, &expected[k], &args, &difference);
        if (difference.is_equal)
            continue;
        if (difference.reason[0])
            snprintf(why, sizeof why, "output %zu: %s", k, difference.reason);
        else
            snprintf(why, sizeof why, "output %zu differs by %.3g at %lld: got %.9g, expected %.9g",
                     k, difference.largest, (long long)difference.index, difference.got,
                     difference.expected);
        set(outcome, FAILED, why);
        return;
    }
    set(outcome, PASSED, "");
}

static he_status run_session(struct he_session *session, const struct he_tensor *inputs,
                             size_t input_count, struct he_output *outputs, size_t output_count,
                             struct he_arena *arena)
{
    DLTensor *tensors = he_arena_alloc(arena, input_count, sizeof *tensors);
    const DLTensor **pointers = he_arena_alloc(arena, input_count, sizeof *pointers);

    if (!tensors || !pointers)
        return he_no_memory();
    for (size_t k = 0; k < input_count; k++) {
        tensors[k] = tool_dltensor(&inputs[k]);
        pointers[k] = &tensors[k];
    }
    return he_session_run(session, pointers, input_count, outputs, output_count);
}

static void run_set(struct suite *suite, const struct he_model *model, const char *set_path,
                    struct he_arena *arena, struct outcome *outcome)
{
    /* It is the devices named that are examined. */
    struct he_session_options session_options = { .struct_size = sizeof session_options,
                                                  .on_device_loss = HE_ON_LOSS_FAIL };
    struct he_session *session = NULL;
    struct he_plan *plan = NULL;
    struct he_tensor *inputs, *expected;
    struct he_output *outputs;
    size_t input_count, expected_count;
    he_status status;

    status = read_files(set_path, "input", arena, &inputs, &input_count);
    if (status == HE_OK)
        status = read_files(set_path, "output", arena, &expected, &expected_count);
    if (status != HE_OK) {
        set(outcome, UNSUPPORTED, he_error_message());
        return;
    }
    if (input_count > he_model_input_count(model)) {
        set(outcome, FAILED, "the test gives more inputs than the model takes");
        return;
    }
    outputs = he_arena_alloc(arena, he_model_output_count(model), sizeof *outputs);
    status = outputs ? tool_analyze(suite->engine, model, suite->args, arena, inputs, input_count,
                                    &plan)
                     : he_no_memory();
    if (status == HE_OK)
        status = he_session_create(suite->engine, plan, &session_options, &session);
    if (status == HE_OK)
        status = run_session(session, inputs, input_count, outputs, he_model_output_count(model),
                             arena);
    if (status != HE_OK)
        set_error(outcome, status);
    else if (expected_count != he_model_output_count(model))
        set(outcome, FAILED, "the test expects another number of outputs");
    else
        compare_all(suite->args, outputs, expected, expected_count, outcome);
    he_session_destroy(session);
    he_plan_destroy(plan);
}

static void run_test(struct suite *suite, const char *folder, struct outcome *outcome)
{
    struct he_model *model;
    struct he_arena arena;
    char path[4096];
    he_status status;

    snprintf(path, sizeof path, "%s/model.onnx", folder);
    status = he_model_load(path, NULL, &model);
    if (status != HE_OK) {
        set_error(outcome, status);
        return;
    }
    set(outcome, FAILED, "no test_data_set_0");
    he_arena_init(&arena, NULL);
    for (unsigned n = 0;; n++) {
        snprintf(path, sizeof path, "%s/test_data_set_%u", folder, n);
        if (access(path, F_OK) != 0)
            break;
        run_set(suite, model, path, &arena, outcome);
        if (outcome->verdict != PASSED)
            break;
    }
    he_arena_fini(&arena);
    he_model_destroy(model);
}

/* In a child: whatever the test does to its process, the suite goes on. */
static void run_apart(struct suite *suite, const char *folder)
{
    struct outcome *outcome = suite->outcome;
    char why[64];
    pid_t child;
    int end = 0;

    set(outcome, FAILED, "ended without a verdict");
    fflush(NULL);
    child = fork();
    if (child < 0) {
        set(outcome, FAILED, strerror(errno));
        return;
    }
    if (child == 0) {
        alarm(TEST_SECONDS);
        run_test(suite, folder, outcome);
        _exit(0);
    }
    while (waitpid(child, &end, 0) < 0 && errno == EINTR)
        continue;
    if (WIFSIGNALED(end)) {
        snprintf(why, sizeof why, WTERMSIG(end) == SIGALRM ? "no end after %d s" : "CRASH: signal %d",
                 WTERMSIG(end) == SIGALRM ? TEST_SECONDS : WTERMSIG(end));
        set(outcome, FAILED, why);
    } else if (WEXITSTATUS(end) != 0) {
        snprintf(why, sizeof why, "CRASH: the test's process ended with %d", WEXITSTATUS(end));
        set(outcome, FAILED, why);
    }
}

/* A line of the skip file: the test's name, and behind '#' why. NULL: not listed. */
static const char *skip_reason(const struct suite *suite, const char *name)
{
    size_t size = strlen(name);

    for (size_t k = 0; k < suite->skip_count; k++) {
        const char *line = suite->skips[k];

        if (strncmp(line, name, size) == 0 && (!line[size] || strchr(" \t#", line[size]))) {
            const char *reason = strchr(line, '#');

            return reason ? reason + 1 + (reason[1] == ' ') : "listed";
        }
    }
    return NULL;
}

static void take_verdict(struct suite *suite, const char *name)
{
    const struct outcome *outcome = suite->outcome;

    suite->counts[outcome->verdict]++;
    if (suite->args->json) {
        he_json_object_flat(&suite->json, NULL);
        he_json_string(&suite->json, "name", name);
        he_json_string(&suite->json, "result", verdict_names[outcome->verdict]);
        if (outcome->why[0])
            he_json_string(&suite->json, "why", outcome->why);
        he_json_object_end(&suite->json);
    } else if (suite->args->list) {
        printf("%-11s %s%s%s%s\n", verdict_names[outcome->verdict], name,
               outcome->why[0] ? " (" : "", outcome->why, outcome->why[0] ? ")" : "");
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of the folders inside @path, sorted; NULL with the sentence set on failure. */
static char **list_folders(const char *path, struct he_arena *arena, size_t *count)
{
    char **names = NULL;
    size_t capacity = 0;
    struct dirent *entry;
    DIR *dir = opendir(path);

    *count = 0;
    if (!dir) {
        he_error_set(HE_ERR_IO, "cannot open folder %s: %s", path, strerror(errno));
        return NULL;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if (*count == capacity) {
            char **grown = he_arena_alloc(arena, capacity ? capacity * 2 : 1024, sizeof *grown);

            if (!grown) {
                he_no_memory();
                names = NULL;
                break;
            }
            if (names)
                memcpy(grown, names, *count * sizeof *grown);
            names = grown;
            capacity = capacity ? capacity * 2 : 1024;
        }
        names[*count] = he_arena_printf(arena, "%s", entry->d_name);
        if (!names[(*count)++]) {
            he_no_memory();
            names = NULL;
            break;
        }
    }
    closedir(dir);
    if (names)
        qsort(names, *count, sizeof *names, by_name);
    else if (!capacity)
        he_error_set(HE_ERR_IO, "folder %s is empty", path);
    return names;
}

static bool has_model(const char *folder)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/model.onnx", folder);
    return access(path, F_OK) == 0;
}

static void run_named(struct suite *suite, const char *folder)
{
    const char *slash = strrchr(folder, '/');
    const char *name = slash ? slash + 1 : folder, *reason = skip_reason(suite, name);

    if (reason)
        set(suite->outcome, SKIPPED, reason);
    else
        run_apart(suite, folder);
    take_verdict(suite, name);
}

/* A test folder itself, or a folder of test folders. */
static he_status run_folder(struct suite *suite, const char *path)
{
    struct he_arena arena;
    size_t count, found = 0;
    char **names;

    if (has_model(path)) {
        run_named(suite, path);
        return HE_OK;
    }
    he_arena_init(&arena, NULL);
    names = list_folders(path, &arena, &count);
    for (size_t k = 0; names && k < count; k++) {
        char *folder = he_arena_printf(&arena, "%s/%s", path, names[k]);

        if (!folder || !has_model(folder))
            continue;
        found++;
        run_named(suite, folder);
        if (!suite->args->quiet && isatty(2))
            fprintf(stderr, "\r%zu of %zu", k + 1, count);
    }
    if (!suite->args->quiet && isatty(2))
        fprintf(stderr, "\r\033[K");
    if (names && !found)
        he_error_set(HE_ERR_NOT_FOUND, "no folder in %s holds a model.onnx", path);
    he_arena_fini(&arena);
    return names ? (found ? HE_OK : HE_ERR_NOT_FOUND) : HE_ERR_IO;
}

static he_status read_skips(struct suite *suite, struct he_arena *arena)
{
    struct he_file file;
    char *text, *line, *rest;
    size_t lines = 1;
    he_status status;

    if (!suite->args->skip)
        return HE_OK;
    status = he_file_map(suite->args->skip, &file);
    if (status != HE_OK)
        return status;
    text = he_arena_string(arena, file.data, file.size);
    he_file_unmap(&file);
    for (const char *c = text; c && *c; c++)
        lines += *c == '\n';
    suite->skips = he_arena_alloc(arena, lines, sizeof *suite->skips);
    if (!text || !suite->skips)
        return he_no_memory();
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (line[0] != '#')
            suite->skips[suite->skip_count++] = line;
    }
    return HE_OK;
}

static int report(struct suite *suite)
{
    size_t skipped = suite->counts[UNSUPPORTED] + suite->counts[SKIPPED];

    if (suite->args->json) {
        int code;

        he_json_array_end(&suite->json);
        he_json_int(&suite->json, "passed", (int64_t)suite->counts[PASSED]);
        he_json_int(&suite->json, "failed", (int64_t)suite->counts[FAILED]);
        he_json_int(&suite->json, "unsupported", (int64_t)suite->counts[UNSUPPORTED]);
        he_json_int(&suite->json, "skipped", (int64_t)skipped);
        he_json_object_end(&suite->json);
        he_text_append(&suite->json_text, "\n", 1);
        code = tool_print(&suite->json_text);
        if (code)
            return code;
    } else {
        if (suite->counts[UNSUPPORTED])
            printf("%zu of the skipped are not supported\n", suite->counts[UNSUPPORTED]);
        printf("%zu passed, %zu failed, %zu skipped\n", suite->counts[PASSED],
               suite->counts[FAILED], skipped);
    }
    return suite->counts[FAILED] ? EXIT_FAILED : EXIT_DONE;
}

static int run(const struct tool_args *args)
{
    struct suite suite = { .args = args };
    struct tool_args engine_args = *args;
    struct he_arena arena;
    he_status status;
    int code;

    if (args->word_count == 0)
        return tool_usage_error("conform: name one folder of tests or more");
    suite.outcome = mmap(NULL, sizeof *suite.outcome, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (suite.outcome == MAP_FAILED)
        return tool_fail(he_no_memory());
    he_arena_init(&arena, NULL);
    if (!args->devices && !args->config)
        engine_args.devices = "CPU:0(threads=1)";
    status = tool_open_engine(&engine_args, &suite.engine);
    if (status == HE_OK)
        status = read_skips(&suite, &arena);
    if (args->json) {
        he_text_init(&suite.json_text, NULL);
        he_json_begin(&suite.json, &suite.json_text, true);
        he_json_object(&suite.json, NULL);
        he_json_array(&suite.json, "tests");
    }
    for (size_t k = 0; k < args->word_count && status == HE_OK; k++)
        status = run_folder(&suite, args->words[k]);
    code = status == HE_OK ? report(&suite) : tool_fail(status);
    he_engine_destroy(suite.engine);
    he_arena_fini(&arena);
    munmap(suite.outcome, sizeof *suite.outcome);
    return code;
}

const struct tool_command cmd_conform = {
    .name = "conform",
    .summary = "runs folders of ONNX tests",
    .usage = "conform DIR... [-d ID] [--list] [--skip FILE]",
    .options = "list skip rtol atol",
    .details = "Runs ONNX test folders (model.onnx, test_data_set_N/input_K.pb, output_K.pb), or\n"
               "folders of them, each test in a process of its own. The last line counts passed,\n"
               "failed and skipped tests; those that are not supported count as skipped, and\n"
               "--list says why. Without -d one thread of the CPU runs them.",
    .examples = "  hetero conform /usr/share/libonnx-testdata/data/node\n"
                "  hetero conform tests/node --list -d GPU:0\n",
    .run = run,
};
