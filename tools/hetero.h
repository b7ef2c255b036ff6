/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the subcommands of `hetero` share: the table of options (help, man page and
 * completion are all written from it), exit codes, and common steps. One file
 * per subcommand, cmd_NAME.c.
 */
#ifndef TOOLS_HETERO_H
#define TOOLS_HETERO_H

#include <stdio.h>

#include <heteroengine/engine.h>

#include "core/alloc.h"
#include "core/text.h"

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,    /* the run or check failed */
    EXIT_USAGE = 2,     /* bad arguments or settings */
    EXIT_NO_DEVICE = 3, /* no such device, or the device failed */
    EXIT_SKIPPED = 77,
};

#define TOOL_ATOL 1e-4 /* absolute tolerance when none is given */

/* Everything any subcommand can be told. Lists are NULL-terminated. */
struct tool_args {
    const char *model, *config, *devices, *strategy, *budget;
    const char *output, *onnx_out, *plan, *graph, *explain, *skip;
    const char **shapes, **inputs, **expects, **configs;
    size_t shape_count, input_count, expect_count, config_count;
    double rtol, atol, outliers, time_limit, seconds;
    double seed, iterations, threads, concurrency;
    bool json, quiet, verbose, has_explain, list, compatibility, help, check, learn, self_test;
    const char **words; /* what is no option */
    size_t word_count;
};

struct tool_command {
    const char *name, *summary, *usage;
    const char *options;  /* long names it takes beside the common ones, separated by spaces */
    const char *details;  /* a paragraph for --help and the man page */
    const char *examples; /* lines */
    int (*run)(const struct tool_args *args);
};

extern const struct tool_command cmd_devices, cmd_run, cmd_bench, cmd_plan, cmd_conform, cmd_check,
    cmd_calibrate;

/* options.c: parses what follows the subcommand. False after a message on stderr. */
bool tool_parse(const struct tool_command *command, int argc, char **argv, struct tool_args *out);
void tool_args_free(struct tool_args *args);
void tool_print_help(const struct tool_command *command, FILE *out);
/* "-o, --output DIR  help" for each option of @command (NULL: the common ones). */
void tool_each_option(const struct tool_command *command,
                      void (*fn)(void *self, char letter, const char *name, const char *arg,
                                 const char *help),
                      void *self);

/* The options @command takes beside the common ones. */
void tool_each_own_option(const struct tool_command *command,
                          void (*fn)(void *self, char letter, const char *name, const char *arg,
                                     const char *help),
                          void *self);

/* manual.c */
void tool_print_man_page(const struct tool_command *const *commands, size_t count);
void tool_print_completion(const struct tool_command *const *commands, size_t count);

/* common.c */
int tool_exit_code(he_status status);
/* "hetero: message" on stderr; gives the exit code that goes with @status. */
int tool_fail(he_status status);
int tool_usage_error(const char *format, ...) HE_PRINTF(1, 2);
he_status tool_open_engine(const struct tool_args *args, struct he_engine **out) HE_MUST_CHECK;
/* "NAME:1x3x224x224" or "batch:4", parsed into @arena. */
he_status tool_parse_shapes(const struct tool_args *args, struct he_arena *arena,
                            struct he_input_shape **out, size_t *count) HE_MUST_CHECK;
/* The files of -i, one per input of the model; dtype HE_DTYPE_NONE where none was given. */
he_status tool_read_inputs(const struct tool_args *args, const struct he_model *model,
                           struct he_arena *arena, struct he_tensor **out) HE_MUST_CHECK;
/* Shapes taken from input files where the model leaves them open come on top of --shape. */
he_status tool_analyze(struct he_engine *engine, const struct he_model *model,
                       const struct tool_args *args, struct he_arena *arena,
                       const struct he_tensor *inputs, size_t input_count,
                       struct he_plan **out) HE_MUST_CHECK;
DLTensor tool_dltensor(const struct he_tensor *tensor);
struct he_tensor tool_tensor(const DLTensor *tensor);
/* Fills with reproducible values: floats in [-1, 1), small integers, 0/1. */
void tool_fill_random(struct he_tensor *tensor, uint64_t seed);
/* The inputs of a plan, random by seed where @given[k].data is NULL. */
he_status tool_make_inputs(const struct he_plan *plan, const struct he_tensor *given,
                           size_t given_count, uint64_t seed, struct he_arena *arena,
                           struct he_tensor *out) HE_MUST_CHECK;
void tool_shape_text(const struct he_shape *shape, char *out, size_t size);
/* Prints the text to stdout and frees it. */
int tool_print(struct he_text *text);

/* compare.c: where two tensors differ most. Floats: |a-b| <= atol + rtol*|b|; others: equal. */
struct tool_difference {
    bool is_equal;     /* within tolerance but for the outliers allowed, same type and shape */
    int64_t different; /* elements out of tolerance */
    char reason[256];  /* type or shape, when they differ */
    double largest;    /* |a-b| at the worst element */
    double got, expected;
    int64_t index;
};
void tool_compare(const struct he_tensor *got, const struct he_tensor *expected,
                  const struct tool_args *args, struct tool_difference *out);

#endif
