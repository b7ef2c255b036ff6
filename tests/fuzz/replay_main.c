/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main() of every fuzz target where libFuzzer brings none: calls the target
 * with each file given, and with each file of each folder given. Without
 * arguments it replays the corpus HE_FUZZ_CORPUS names, which is what
 * `make check` does. Each input is copied into a block of exactly its size, so
 * that sanitizers see any byte read too far.
 *
 * With libFuzzer it makes a run without arguments replay that corpus as well,
 * instead of fuzzing for ever.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef HE_LIBFUZZER

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char corpus[] = HE_FUZZ_CORPUS, runs[] = "-runs=0";
    static char *replay[4];

    if (*argc > 1)
        return 0;
    replay[0] = (*argv)[0];
    replay[1] = runs;
    replay[2] = corpus;
    *argc = 3;
    *argv = replay;
    return 0;
}

#else

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    struct stat info;
    int failed = 1;

    if (!file || fstat(fileno(file), &info) != 0)
        goto done;
    data = malloc(info.st_size ? (size_t)info.st_size : 1);
    if (!data || fread(data, 1, (size_t)info.st_size, file) != (size_t)info.st_size)
        goto done;
    LLVMFuzzerTestOneInput(data, (size_t)info.st_size);
    failed = 0;

done:
    if (failed)
        perror(path);
    free(data);
    if (file)
        fclose(file);
    return failed;
}

/* Counts what it replays in *count. */
static int replay(const char *path, size_t *count)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int failed = 0;

    if (!folder) {
        ++*count;
        return replay_file(path);
    }
    while ((entry = readdir(folder)) != NULL) {
        char *inner;

        if (entry->d_name[0] == '.')
            continue;
        if (asprintf(&inner, "%s/%s", path, entry->d_name) < 0) {
            failed = 1;
            break;
        }
        failed |= replay(inner, count);
        free(inner);
    }
    closedir(folder);
    return failed;
}

int main(int argc, char **argv)
{
    size_t count = 0;
    int failed = 0;

    for (int k = 1; k < argc; k++)
        failed |= replay(argv[k], &count);
    if (argc == 1)
        failed = replay(HE_FUZZ_CORPUS, &count);
    printf("%zu inputs replayed\n", count);
    return failed || count == 0;
}

#endif
