/* SPDX-License-Identifier: Apache-2.0 */
/* NAME.claims: lines "subject: reason"; '#' begins a comment. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

char *test_claims_read(const char *backend)
{
    char path[1024], *text = calloc(1, 1 << 16);
    FILE *file;

    if (!text)
        abort();
    snprintf(path, sizeof path, "%s/backends/%s/%s.claims", HE_SRCDIR, backend, backend);
    file = fopen(path, "r");
    if (file) {
        text[fread(text, 1, (1 << 16) - 1, file)] = '\0';
        fclose(file);
    }
    return text;
}

/* Gives the next line's subject; false at the end. */
static bool next_subject(const char **at, char *out, size_t size)
{
    while (**at) {
        const char *line = *at, *end = strchr(line, '\n'), *colon;

        end = end ? end : line + strlen(line);
        *at = *end ? end + 1 : end;
        colon = memchr(line, ':', (size_t)(end - line));
        if (*line == '#' || !colon || (size_t)(colon - line) >= size)
            continue;
        memcpy(out, line, (size_t)(colon - line));
        out[colon - line] = '\0';
        return true;
    }
    return false;
}

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        if ((at == text || !isalnum((unsigned char)at[-1])) && !isalnum((unsigned char)at[length]))
            return true;
    return false;
}

bool test_claims_operator(const char *claims, const char *op)
{
    char subject[512];

    while (next_subject(&claims, subject, sizeof subject)) {
        bool is_inverse = strncmp(subject, "operators other than", 20) == 0;

        if (has_word(subject, op) != is_inverse)
            return true;
    }
    return false;
}

static bool has_subject(const char *claims, const char *wanted)
{
    char subject[512];

    while (next_subject(&claims, subject, sizeof subject))
        if (strcmp(subject, wanted) == 0)
            return true;
    return false;
}

bool test_claims_results(const char *claims)
{
    return has_subject(claims, "results");
}

bool test_claims_halves(const char *claims)
{
    return has_subject(claims, "types other than float32");
}
