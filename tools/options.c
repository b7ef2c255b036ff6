/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of options, and the parser and help over it. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "core/words.h"
#include "hetero.h"

enum option_kind { FLAG, TEXT, NUMBER, LIST, OPTIONAL_TEXT };

struct option {
    const char *name;
    char letter;
    enum option_kind kind;
    const char *arg, *help;
    size_t offset, count_offset; /* of the value; of a list's count or an optional's flag */
    bool is_common;
};

#define AT(field) offsetof(struct tool_args, field)
static const struct option options[] = {
    { "model", 'm', TEXT, "FILE.onnx", "the model", AT(model), 0, true },
    { "config", 'c', LIST, "FILE.yaml", "the machine and other settings", AT(configs),
      AT(config_count), true },
    { "devices", 'd', TEXT, "LIST", "devices (CPU:0,GPU:0) or a machine in one line (\"cpu:2 gpu:1\")",
      AT(devices), 0, true },
    { "strategy", 's', TEXT, "NAME",
      "latency_aware, throughput, cost, energy_aware, or a policy by name", AT(strategy), 0, true },
    { "budget", 0, TEXT, "KEY=VALUE,...", "limits: memory=8GB,power=300W,price=3/h,latency=50ms", AT(budget), 0,
      true },
    { "shape", 0, LIST, "NAME:1x3x224x224", "size of an input or of a named dimension", AT(shapes),
      AT(shape_count), true },
    { "seed", 0, NUMBER, "N", "seed of random inputs and searches (0)", AT(seed), 0, true },
    { "json", 0, FLAG, NULL, "one JSON object on standard output", AT(json), 0, true },
    { "quiet", 'q', FLAG, NULL, "no progress, no remarks", AT(quiet), 0, true },
    { "verbose", 'v', FLAG, NULL, "say what is done", AT(verbose), 0, true },
    { "help", 'h', FLAG, NULL, "this help", AT(help), 0, true },

    { "input", 'i', LIST, "FILE", "an input in graph order: .pb, .npy or .bin", AT(inputs),
      AT(input_count), false },
    { "output", 'o', TEXT, "PATH", "where the result is written", AT(output), 0, false },
    { "onnx-out", 0, TEXT, "F.onnx", "the model with the placement written into it", AT(onnx_out), 0,
      false },
    { "expect", 0, LIST, "FILE", "an expected output in graph order", AT(expects),
      AT(expect_count), false },
    { "rtol", 0, NUMBER, "R", "relative tolerance (1e-3)", AT(rtol), 0, false },
    { "atol", 0, NUMBER, "A", "absolute tolerance (1e-4)", AT(atol), 0, false },
    { "outliers", 0, NUMBER, "SHARE", "share of an output's elements that may differ more (0)",
      AT(outliers), 0, false },
    { "plan", 0, TEXT, "FILE", "use a saved plan", AT(plan), 0, false },
    { "graph", 0, TEXT, "FILE.json", "a task graph instead of a model", AT(graph), 0, false },
    { "explain", 0, OPTIONAL_TEXT, "TASK", "why each task (or TASK) runs where it does",
      AT(explain), AT(has_explain), false },
    { "time-limit", 0, NUMBER, "S", "seconds the search may take", AT(time_limit), 0, false },
    { "seconds", 't', NUMBER, "SECONDS", "measure this long (3)", AT(seconds), 0, false },
    { "iterations", 'n', NUMBER, "N", "measure this many runs", AT(iterations), 0, false },
    { "threads", 0, NUMBER, "N", "threads of each CPU device", AT(threads), 0, false },
    { "concurrency", 0, NUMBER, "N", "requests in flight (1)", AT(concurrency), 0, false },
    { "list", 0, FLAG, NULL, "name each test with its result", AT(list), 0, false },
    { "skip", 0, TEXT, "FILE", "names of tests left out, one a line, with the reason behind '#'",
      AT(skip), 0, false },
    { "compatibility", 0, FLAG, NULL, "drivers and versions only", AT(compatibility), 0, false },
    { "self-test", 0, FLAG, NULL, "measure devices anew", AT(self_test), 0, false },
    { "check", 0, FLAG, NULL, "verify the plan with the independent checker", AT(check), 0, false },
    { "learn", 0, FLAG, NULL, "feed the measured times into the calibration store", AT(learn), 0,
      false },
};

static bool takes(const struct tool_command *command, const struct option *option)
{
    const char *at = command ? command->options : "";
    size_t size = strlen(option->name);

    if (option->is_common)
        return true;
    while ((at = strstr(at, option->name)) != NULL) {
        if ((at == command->options || at[-1] == ' ') && (at[size] == ' ' || !at[size]))
            return true;
        at += size;
    }
    return false;
}

void tool_each_option(const struct tool_command *command,
                      void (*fn)(void *self, char letter, const char *name, const char *arg,
                                 const char *help),
                      void *self)
{
    for (size_t k = 0; k < HE_COUNT(options); k++) {
        if (command ? takes(command, &options[k]) : options[k].is_common)
            fn(self, options[k].letter, options[k].name, options[k].arg, options[k].help);
    }
}

void tool_each_own_option(const struct tool_command *command,
                          void (*fn)(void *self, char letter, const char *name, const char *arg,
                                     const char *help),
                          void *self)
{
    for (size_t k = 0; k < HE_COUNT(options); k++) {
        if (!options[k].is_common && takes(command, &options[k]))
            fn(self, options[k].letter, options[k].name, options[k].arg, options[k].help);
    }
}

static void print_option(void *self, char letter, const char *name, const char *arg,
                         const char *help)
{
    char left[64];

    snprintf(left, sizeof left, "%c%c%c --%s%s%s", letter ? '-' : ' ', letter ? letter : ' ',
             letter ? ',' : ' ', name, arg ? " " : "", arg ? arg : "");
    fprintf(self, "  %-34s %s\n", left, help);
}

void tool_print_help(const struct tool_command *command, FILE *out)
{
    fprintf(out, "usage: hetero %s\n\n%s\n\noptions:\n", command->usage, command->details);
    tool_each_option(command, print_option, out);
    fprintf(out, "\nexamples:\n%s", command->examples);
}

static const struct option *find(const struct tool_command *command, const char *name, size_t size,
                                 char letter)
{
    for (size_t k = 0; k < HE_COUNT(options); k++) {
        bool fits = name ? strlen(options[k].name) == size && memcmp(options[k].name, name, size) == 0
                         : options[k].letter == letter;

        if (fits && takes(command, &options[k]))
            return &options[k];
    }
    return NULL;
}

static void report_unknown(const struct tool_command *command, const char *word)
{
    const char *names[HE_COUNT(options)], *nearest;
    size_t count = 0;

    for (size_t k = 0; k < HE_COUNT(options); k++) {
        if (takes(command, &options[k]))
            names[count++] = options[k].name;
    }
    nearest = word[0] == '-' && word[1] == '-' ? he_nearest_word(word + 2, names, count) : NULL;
    tool_usage_error("%s: unknown option '%s'%s%s%s", command->name, word,
                     nearest ? ", did you mean '--" : "", nearest ? nearest : "",
                     nearest ? "'?" : "");
}

/* Appends to a NULL-terminated list inside @args. */
static bool append(const char ***list, size_t *count, const char *value)
{
    const char **grown = realloc(*list, (*count + 2) * sizeof *grown);

    if (!grown) {
        tool_fail(he_no_memory());
        return false;
    }
    grown[(*count)++] = value;
    grown[*count] = NULL;
    *list = grown;
    return true;
}

static bool store(struct tool_args *args, const struct tool_command *command,
                  const struct option *option, const char *value)
{
    char *base = (char *)args, *end;

    switch (option->kind) {
    case FLAG:
        *(bool *)(base + option->offset) = true;
        return true;
    case OPTIONAL_TEXT:
        *(bool *)(base + option->count_offset) = true;
        *(const char **)(base + option->offset) = value;
        return true;
    case TEXT:
        *(const char **)(base + option->offset) = value;
        return true;
    case LIST:
        return append((const char ***)(base + option->offset),
                      (size_t *)(base + option->count_offset), value);
    case NUMBER:
        *(double *)(base + option->offset) = strtod(value, &end);
        if (end != value && !*end && *(double *)(base + option->offset) >= 0)
            return true;
        tool_usage_error("%s: --%s takes a number, 0 or more, not '%s'", command->name,
                         option->name, value);
        return false;
    }
    return false;
}

bool tool_parse(const struct tool_command *command, int argc, char **argv, struct tool_args *out)
{
    *out = (struct tool_args){ .rtol = 1e-3, .atol = TOOL_ATOL };
    for (int k = 0; k < argc; k++) {
        const char *word = argv[k], *equals = strchr(word, '='), *value = NULL;
        bool is_long = strncmp(word, "--", 2) == 0 && word[2];
        const struct option *option;

        if (word[0] != '-' || !word[1]) {
            if (!append(&out->words, &out->word_count, word))
                return false;
            continue;
        }
        if (is_long) {
            size_t size = equals ? (size_t)(equals - word - 2) : strlen(word + 2);

            option = find(command, word + 2, size, 0);
            value = equals ? equals + 1 : NULL;
        } else {
            option = find(command, NULL, 0, word[1]);
            value = word[2] ? word + 2 : NULL;
        }
        if (!option || (option->kind == FLAG && value)) {
            report_unknown(command, word);
            return false;
        }
        if (option->kind == OPTIONAL_TEXT && !value && k + 1 < argc && argv[k + 1][0] != '-')
            value = argv[++k];
        if (option->kind != FLAG && option->kind != OPTIONAL_TEXT && !value) {
            if (k + 1 == argc) {
                tool_usage_error("%s: --%s needs %s", command->name, option->name, option->arg);
                return false;
            }
            value = argv[++k];
        }
        if (!store(out, command, option, value))
            return false;
    }
    out->config = out->config_count ? out->configs[0] : NULL;
    return true;
}

void tool_args_free(struct tool_args *args)
{
    free(args->shapes);
    free(args->inputs);
    free(args->expects);
    free(args->configs);
    free(args->words);
}
