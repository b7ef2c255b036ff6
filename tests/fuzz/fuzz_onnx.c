/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a model: parse, inline, write, read back. Files in the corpus are
 * models; those that start with 'T' have a TensorProto behind it. */
#include <stdlib.h>

#include "core/text.h"
#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_tensor(const uint8_t *data, size_t size)
{
    struct onnx_tensor tensor, again;
    struct he_arena arena;
    struct he_text text;

    he_arena_init(&arena, NULL);
    he_text_init(&text, NULL);
    if (he_tensor_parse(data, size, &arena, &tensor) == HE_OK) {
        if (he_tensor_write(&tensor, &text) != HE_OK ||
            he_tensor_parse(text.data, text.size, &arena, &again) != HE_OK)
            abort(); /* what was read can be written and read again */
    }
    he_text_fini(&text);
    he_arena_fini(&arena);
}

static void fuzz_model(const uint8_t *data, size_t size)
{
    struct he_model *model, *again;
    struct he_text text;

    if (he_model_parse(data, size, NULL, NULL, &model) != HE_OK)
        return;
    he_text_init(&text, NULL);
    if (he_model_write(model, &text) != HE_OK ||
        he_model_parse(text.data, text.size, NULL, NULL, &again) != HE_OK)
        abort();
    he_model_destroy(again);
    he_text_fini(&text);
    if (he_model_inline(model) == HE_OK) {
        for (size_t k = 0; k < he_model_input_count(model); k++) {
            struct he_model_io io;

            (void)!he_model_input(model, k, &io);
        }
        (void)!he_model_write(model, &text);
        he_text_fini(&text);
    }
    he_model_destroy(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size && data[0] == 'T')
        fuzz_tensor(data + 1, size - 1);
    else
        fuzz_model(data, size);
    return 0;
}
