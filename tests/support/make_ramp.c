/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the input of the light_* models: 1x3x224x224, element i = (float)(i / 150528.0). */
#include <stdio.h>
#include <stdlib.h>

#include "model/tensor_file.h"

int main(int argc, char **argv)
{
    struct he_shape shape = { .rank = 4, .dims = { 1, 3, 224, 224 } };
    int64_t count = he_shape_count(&shape);
    float *data = malloc((size_t)count * sizeof *data);
    struct he_tensor tensor = he_tensor_dense(HE_FLOAT32, &shape, data);
    int code = 0;

    if (argc != 2 || !data) {
        fprintf(stderr, "usage: make_ramp FILE.pb\n");
        return 2;
    }
    for (int64_t k = 0; k < count; k++)
        data[k] = (float)((double)k / 150528.0);
    if (he_tensor_file_write(argv[1], &tensor) != HE_OK) {
        fprintf(stderr, "make_ramp: %s\n", he_error_message());
        code = 1;
    }
    free(data);
    return code;
}
