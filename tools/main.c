/* SPDX-License-Identifier: Apache-2.0 */
/* hetero: finds the subcommand and hands over. */
#include <string.h>

#include "core/size.h"
#include "core/words.h"
#include "hetero.h"

static const struct tool_command *const commands[] = {
    &cmd_devices, &cmd_run, &cmd_bench, &cmd_plan, &cmd_calibrate, &cmd_conform, &cmd_check,
};

static void print_overview(FILE *out)
{
    fprintf(out, "usage: hetero COMMAND [OPTION]...\n\n"
                 "Splits an AI model over any mix of chips and runs it.\n\ncommands:\n");
    for (size_t k = 0; k < HE_COUNT(commands); k++)
        fprintf(out, "  %-12s %s\n", commands[k]->name, commands[k]->summary);
    fprintf(out, "\n'hetero help COMMAND' shows options and examples; 'hetero --version' the "
                 "version.\n");
}

static const struct tool_command *find_command(const char *name)
{
    const char *names[HE_COUNT(commands)], *nearest;

    for (size_t k = 0; k < HE_COUNT(commands); k++) {
        if (strcmp(commands[k]->name, name) == 0)
            return commands[k];
        names[k] = commands[k]->name;
    }
    nearest = he_nearest_word(name, names, HE_COUNT(commands));
    if (nearest)
        tool_usage_error("there is no command '%s', did you mean '%s'?", name, nearest);
    else
        tool_usage_error("there is no command '%s'; 'hetero help' lists them", name);
    return NULL;
}

static int help(int argc, char **argv)
{
    const struct tool_command *command;

    if (argc < 1) {
        print_overview(stdout);
        return EXIT_DONE;
    }
    /* What the build makes the man page and the completion with. */
    if (strcmp(argv[0], "--man") == 0) {
        tool_print_man_page(commands, HE_COUNT(commands));
        return EXIT_DONE;
    }
    if (strcmp(argv[0], "--completion") == 0) {
        tool_print_completion(commands, HE_COUNT(commands));
        return EXIT_DONE;
    }
    command = find_command(argv[0]);
    if (!command)
        return EXIT_USAGE;
    tool_print_help(command, stdout);
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    const struct tool_command *command;
    struct tool_args args;
    int code = EXIT_USAGE;

    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help(argc - 2, argv + 2);
    if (strcmp(argv[1], "--version") == 0) {
        printf("hetero %s\n", he_version());
        return EXIT_DONE;
    }
    command = find_command(argv[1]);
    if (!command)
        return EXIT_USAGE;
    if (tool_parse(command, argc - 2, argv + 2, &args)) {
        if (args.help) {
            tool_print_help(command, stdout);
            code = EXIT_DONE;
        } else {
            code = command->run(&args);
        }
    }
    tool_args_free(&args);
    return code;
}
