/* SPDX-License-Identifier: Apache-2.0 */
/* The man page and the shell completion, written from the tables of commands and options,
 * so that they cannot say anything else than --help. */
#include <string.h>

#include "hetero.h"

/* Hyphens and backslashes mean something to troff. */
static void put_roff(const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '-' || *c == '\\')
            putchar('\\');
        if ((*c == '.' || *c == '\'') && (c == text || c[-1] == '\n'))
            printf("\\&");
        putchar(*c);
    }
}

static void put_roff_option(void *self, char letter, const char *name, const char *arg,
                            const char *help)
{
    (void)self;
    printf(".TP\n");
    if (letter)
        printf("\\fB\\-%c\\fR, ", letter);
    printf("\\fB\\-\\-");
    put_roff(name);
    printf("\\fR");
    if (arg) {
        printf(" \\fI");
        put_roff(arg);
        printf("\\fR");
    }
    printf("\n");
    put_roff(help);
    printf("\n");
}

void tool_print_man_page(const struct tool_command *const *commands, size_t count)
{
    printf(".TH HETERO 1 \"\" \"HeteroEngine %s\"\n.SH NAME\n", he_version());
    printf("hetero \\- splits an AI model over any mix of chips and runs it\n.SH SYNOPSIS\n");
    printf(".B hetero\n.I COMMAND\n[\\fIOPTION\\fR]...\n.SH COMMON OPTIONS\n");
    tool_each_option(NULL, put_roff_option, NULL);
    for (size_t k = 0; k < count; k++) {
        printf(".SH HETERO ");
        for (const char *c = commands[k]->name; *c; c++)
            putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
        printf("\n.B hetero\n");
        put_roff(commands[k]->usage);
        printf("\n.PP\n");
        put_roff(commands[k]->details);
        printf("\n.PP\nExamples:\n.nf\n");
        put_roff(commands[k]->examples);
        printf(".fi\n.PP\nOptions beside the common ones:\n");
        tool_each_own_option(commands[k], put_roff_option, NULL);
    }
    printf(".SH EXIT STATUS\n0 done; 1 the run or check failed; 2 bad arguments or settings; 3 no such\n"
           "device, or the device failed; 77 skipped, hardware absent.\n"
           ".SH FILES\n.I $XDG_CACHE_HOME/heteroengine/costs\\-1.txt\nis the calibration store.\n"
           ".SH ENVIRONMENT\n.B OMP_WAIT_POLICY, GOMP_SPINCOUNT\nare respected; unset, waiting "
           "threads spin for a bounded time.\n");
}

static void put_word(void *self, char letter, const char *name, const char *arg, const char *help)
{
    (void)self;
    (void)letter;
    (void)arg;
    (void)help;
    printf(" --%s", name);
}

void tool_print_completion(const struct tool_command *const *commands, size_t count)
{
    printf("# bash completion for hetero\n_hetero() {\n    local words cur=${COMP_WORDS[COMP_CWORD]}\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"help");
    for (size_t k = 0; k < count; k++)
        printf(" %s", commands[k]->name);
    printf("\"\n    else\n        case ${COMP_WORDS[1]} in\n");
    for (size_t k = 0; k < count; k++) {
        printf("        %s) words=\"", commands[k]->name);
        tool_each_option(commands[k], put_word, NULL);
        printf("\" ;;\n");
    }
    printf("        esac\n    fi\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\"; compgen -f -- \"$cur\")\n"
           "}\ncomplete -F _hetero hetero\n");
}
