/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that several subcommands take. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "exec/dlpack_types.h"
#include "hetero.h"
#include "model/tensor_file.h"
#include "plan/plan.h"

int tool_exit_code(he_status status)
{
    switch (status) {
    case HE_OK:
        return EXIT_DONE;
    case HE_ERR_INVALID:
    case HE_ERR_SETTING:
    case HE_ERR_NOT_FOUND:
    case HE_ERR_IO:
        return EXIT_USAGE;
    case HE_ERR_NO_DEVICE:
    case HE_ERR_DEVICE:
    case HE_ERR_DEVICE_LOST:
        return EXIT_NO_DEVICE;
    default:
        return EXIT_FAILED;
    }
}

int tool_fail(he_status status)
{
    fprintf(stderr, "hetero: %s\n", he_error_message());
    return tool_exit_code(status);
}

int tool_usage_error(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "hetero: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    return EXIT_USAGE;
}

static void print_log(void *self, enum he_log_level level, const char *line)
{
    (void)self;
    (void)level;
    fprintf(stderr, "hetero: %s\n", line);
}

he_status tool_open_engine(const struct tool_args *args, struct he_engine **out)
{
    struct he_engine_options options = { .struct_size = sizeof options,
                                         .config_path = args->config,
                                         .devices = args->devices };
    char with_threads[512];

    if (!args->quiet)
        he_log_set(print_log, NULL, args->verbose ? HE_LOG_INFO : HE_LOG_WARNING);
    /* --threads asks for one CPU device of that many threads, unless devices are named. */
    if (args->threads > 0 && !args->devices && !args->config) {
        snprintf(with_threads, sizeof with_threads, "CPU:0(threads=%d)", (int)args->threads);
        options.devices = with_threads;
    }
    return he_engine_create(&options, out);
}

/* "1x3x224x224", "4", or "" / "scalar" for rank 0. */
static bool parse_dims(const char *text, struct he_shape *out)
{
    out->rank = 0;
    if (!text[0] || strcmp(text, "scalar") == 0)
        return true;
    for (;;) {
        char *end;
        long long dim;

        errno = 0;
        dim = strtoll(text, &end, 10);
        if (end == text || dim < 0 || errno == ERANGE || out->rank == HE_MAX_RANK)
            return false;
        out->dims[out->rank++] = dim;
        if (!*end)
            return true;
        if (*end != 'x' && *end != ',')
            return false;
        text = end + 1;
    }
}

he_status tool_parse_shapes(const struct tool_args *args, struct he_arena *arena,
                            struct he_input_shape **out, size_t *count)
{
    *count = 0;
    *out = he_arena_alloc(arena, args->shape_count, sizeof **out);
    if (!*out)
        return he_no_memory();
    for (size_t k = 0; k < args->shape_count; k++) {
        const char *text = args->shapes[k], *colon = strrchr(text, ':');
        struct he_input_shape *shape = &(*out)[k];

        if (!colon || colon == text || !parse_dims(colon + 1, &shape->shape))
            return he_error_set(HE_ERR_SETTING, "--shape takes NAME:1x3x224x224, not '%s'", text);
        shape->name = he_arena_string(arena, text, (size_t)(colon - text));
        if (!shape->name)
            return he_no_memory();
    }
    *count = args->shape_count;
    return HE_OK;
}

/* Adds the shapes of given input files for inputs that --shape does not name. */
static he_status shapes_of_inputs(const struct he_model *model, const struct he_tensor *inputs,
                                  size_t input_count, struct he_arena *arena,
                                  struct he_input_shape **shapes, size_t *count)
{
    struct he_input_shape *all = he_arena_alloc(arena, *count + input_count, sizeof *all);
    size_t total = *count;

    if (!all)
        return he_no_memory();
    memcpy(all, *shapes, *count * sizeof *all);
    for (size_t k = 0; k < input_count; k++) {
        struct he_model_io io;
        bool is_named = false;
        he_status status = he_model_input(model, k, &io);

        if (status != HE_OK)
            return status;
        for (size_t s = 0; s < *count; s++)
            is_named |= strcmp((*shapes)[s].name, io.name) == 0;
        if (!is_named)
            all[total++] = (struct he_input_shape){ io.name, inputs[k].shape };
    }
    *shapes = all;
    *count = total;
    return HE_OK;
}

he_status tool_analyze(struct he_engine *engine, const struct he_model *model,
                       const struct tool_args *args, struct he_arena *arena,
                       const struct he_tensor *inputs, size_t input_count, struct he_plan **out)
{
    struct he_analyze_options options = { .struct_size = sizeof options,
                                          .strategy = args->strategy,
                                          .budget = args->budget,
                                          .time_limit = args->time_limit,
                                          .seed = (uint64_t)args->seed,
                                          .plan_path = args->plan };
    struct he_input_shape *shapes;
    size_t count;
    he_status status = tool_parse_shapes(args, arena, &shapes, &count);

    *out = NULL;
    if (status == HE_OK)
        status = shapes_of_inputs(model, inputs, input_count, arena, &shapes, &count);
    if (status != HE_OK)
        return status;
    options.shapes = shapes;
    options.shape_count = count;
    return he_engine_analyze(engine, model, &options, out);
}

he_status tool_read_inputs(const struct tool_args *args, const struct he_model *model,
                           struct he_arena *arena, struct he_tensor **out)
{
    size_t input_count = he_model_input_count(model);
    struct he_tensor *given = he_arena_alloc(arena, input_count, sizeof *given);

    if (!given)
        return he_no_memory();
    if (args->input_count > input_count)
        return he_error_set(HE_ERR_SETTING, "the model takes %zu inputs, %zu are given with -i",
                            input_count, args->input_count);
    for (size_t k = 0; k < args->input_count; k++) {
        struct he_model_io io;
        he_status status = he_model_input(model, k, &io);

        if (status == HE_OK)
            status = he_tensor_file_read(args->inputs[k], &he_allocator_default, io.dtype,
                                         &io.shape, arena, &given[k]);
        if (status != HE_OK)
            return he_error_prefix(status, "input '%s'", io.name);
    }
    *out = given;
    return HE_OK;
}

DLTensor tool_dltensor(const struct he_tensor *tensor)
{
    return (DLTensor){
        .data = tensor->data,
        .device = { kDLCPU, 0 },
        .ndim = (int32_t)tensor->shape.rank,
        .dtype = he_dtype_to_dlpack(tensor->dtype),
        .shape = (int64_t *)tensor->shape.dims,
    };
}

struct he_tensor tool_tensor(const DLTensor *tensor)
{
    struct he_shape shape = { .rank = (uint32_t)tensor->ndim };

    for (uint32_t k = 0; k < shape.rank; k++)
        shape.dims[k] = tensor->shape[k];
    return he_tensor_dense(he_dtype_from_dlpack(tensor->dtype), &shape,
                           (char *)tensor->data + tensor->byte_offset);
}

/* SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

void tool_fill_random(struct he_tensor *tensor, uint64_t seed)
{
    int64_t count = he_shape_count(&tensor->shape);
    size_t bytes = he_dtype_bits(tensor->dtype) / 8;
    uint64_t state = seed;

    for (int64_t k = 0; k < count; k++) {
        uint64_t random = next_random(&state);
        char *at = (char *)tensor->data + (size_t)k * bytes;
        double unit = (double)(random >> 11) * 0x1p-52 - 1; /* [-1, 1) */

        if (tensor->dtype == HE_FLOAT32) {
            float value = (float)unit;

            memcpy(at, &value, sizeof value);
        } else if (tensor->dtype == HE_FLOAT64) {
            memcpy(at, &unit, sizeof unit);
        } else if (tensor->dtype == HE_FLOAT16) {
            uint16_t value = (uint16_t)((random & 0x83ff) | 0x3800); /* +-[0.5, 1) */

            memcpy(at, &value, sizeof value);
        } else if (tensor->dtype == HE_BFLOAT16) {
            uint16_t value = (uint16_t)((random & 0x807f) | 0x3f00);

            memcpy(at, &value, sizeof value);
        } else {
            uint64_t value = tensor->dtype == HE_BOOL ? random & 1 : random % 8;

            memcpy(at, &value, bytes); /* little endian */
        }
    }
}

he_status tool_make_inputs(const struct he_plan *plan, const struct he_tensor *given,
                           size_t given_count, uint64_t seed, struct he_arena *arena,
                           struct he_tensor *out)
{
    for (uint32_t k = 0; k < plan->graph->input_count; k++) {
        const struct he_value *value = &plan->graph->values[plan->graph->inputs[k]];
        int64_t bytes = he_shape_bytes(&value->shape, value->dtype);
        char *data;

        if (k < given_count && given[k].dtype != HE_DTYPE_NONE) {
            out[k] = given[k];
            continue;
        }
        if (bytes < 0)
            return he_error_set(HE_ERR_UNSUPPORTED, "input '%s' (%s) cannot be made up; give it "
                                "with -i", value->name, he_dtype_name(value->dtype));
        data = he_arena_alloc(arena, (size_t)bytes + 64, 1);
        if (!data)
            return he_no_memory();
        data += (64 - (uintptr_t)data % 64) % 64;
        out[k] = he_tensor_dense(value->dtype, &value->shape, data);
        tool_fill_random(&out[k], seed + k);
    }
    return HE_OK;
}

void tool_shape_text(const struct he_shape *shape, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");

    for (uint32_t k = 0; k < shape->rank && used < size; k++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", k ? "," : "",
                                 (long long)shape->dims[k]);
    if (used < size)
        snprintf(out + used, size - used, "]");
}

int tool_print(struct he_text *text)
{
    he_status status = he_text_status(text);
    int code = EXIT_DONE;

    if (status != HE_OK)
        code = tool_fail(status);
    else if (fwrite(he_text_string(text), 1, text->size, stdout) != text->size ||
             fflush(stdout) != 0)
        code = EXIT_FAILED;
    he_text_fini(text);
    return code;
}
