/* SPDX-License-Identifier: Apache-2.0 */
/* Shows what the digit classifier said of each image beside the label: reads the
 * output `hetero run -o` wrote, and labels.txt. Exit code 1 when under 90 % are right. */
#include <stdio.h>

#include "model/tensor_file.h"

#define CLASSES 10

static int best_class(const float *scores)
{
    int best = 0;

    for (int k = 1; k < CLASSES; k++) {
        if (scores[k] > scores[best])
            best = k;
    }
    return best;
}

static int show(const struct he_tensor *scores, FILE *labels)
{
    int64_t right = 0, count = scores->shape.dims[0];
    int label;

    for (int64_t k = 0; k < count; k++) {
        int digit = best_class((const float *)scores->data + k * CLASSES);

        if (fscanf(labels, "%d", &label) != 1) {
            fprintf(stderr, "show: there are fewer labels than answers\n");
            return 1;
        }
        right += digit == label;
        printf("%d", digit);
        if (digit != label)
            printf("(not %d)", label);
        printf(k % 16 == 15 ? "\n" : " ");
    }
    printf("%lld of %lld right\n", (long long)right, (long long)count);
    return right * 10 < count * 9;
}

int main(int argc, char **argv)
{
    struct he_shape shape = { .rank = 2, .dims = { HE_DIM_UNKNOWN, CLASSES } };
    struct he_tensor scores;
    struct he_arena arena;
    FILE *labels;
    int code = 1;

    if (argc != 3) {
        fprintf(stderr, "usage: show output_0.pb labels.txt\n");
        return 2;
    }
    he_arena_init(&arena, NULL);
    labels = fopen(argv[2], "r");
    if (!labels)
        fprintf(stderr, "show: cannot open %s\n", argv[2]);
    else if (he_tensor_file_read(argv[1], &he_allocator_default, HE_FLOAT32, &shape, &arena,
                                 &scores) != HE_OK)
        fprintf(stderr, "show: %s\n", he_error_message());
    else
        code = show(&scores, labels);
    if (labels)
        fclose(labels);
    he_arena_fini(&arena);
    return code;
}
