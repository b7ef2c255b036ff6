/* SPDX-License-Identifier: Apache-2.0 */
/* Writes rnd_X.onnx from light_X.onnx: make_rnd light_resnet50.onnx rnd_resnet50.onnx */
#include <stdio.h>

#include "core/file.h"
#include "core/text.h"
#include "rnd_weights.h"

int main(int argc, char **argv)
{
    struct he_model *model;
    struct he_text text;
    he_status status;

    if (argc != 3) {
        fprintf(stderr, "usage: make_rnd light_NET.onnx rnd_NET.onnx\n");
        return 2;
    }
    he_text_init(&text, NULL);
    status = he_model_load(argv[1], NULL, &model);
    if (status == HE_OK)
        status = rnd_weights_apply(model, rnd_classifier_scale(argv[1]));
    if (status == HE_OK)
        status = he_model_write(model, &text);
    if (status == HE_OK)
        status = he_file_write(argv[2], text.data, text.size);
    if (status != HE_OK)
        fprintf(stderr, "make_rnd: %s\n", he_error_message());
    he_text_fini(&text);
    he_model_destroy(model);
    return status == HE_OK ? 0 : 1;
}
