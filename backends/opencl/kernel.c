/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One kernel as it is written: its operands, lines of text, and the step that launches it. What an
 * operand is in memory only this file knows.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "build.h"

static void fail(struct opencl_build *b, he_status status)
{
    if (b->status == HE_OK)
        b->status = status;
}

/* --- Operands --- */

static he_status add_constant(struct opencl_build *b, uint32_t value, uint32_t form,
                              enum he_dtype dtype, const void *data, size_t bytes, uint32_t *out)
{
    struct opencl_program *program = b->program;
    struct opencl_constant *constant;
    he_status status;

    for (uint32_t k = 0; k < program->constant_count; k++) {
        if (value != HE_NONE && program->constants[k].value == value &&
            program->constants[k].form == form) {
            *out = k;
            return HE_OK;
        }
    }
    status = opencl_grow(&program->dev->alloc, (void **)&program->constants,
                         &program->constant_capacity, program->constant_count,
                         program->constant_count + 1, sizeof *program->constants);
    if (status != HE_OK)
        return status;
    constant = &program->constants[program->constant_count];
    *constant = (struct opencl_constant){ value, form, dtype, NULL };
    status = opencl_buffer_create(program->dev, bytes, &constant->buffer);
    if (status != HE_OK)
        return status;
    *out = program->constant_count++;
    program->constant_bytes += bytes;
    return opencl_buffer_write(program->dev, constant->buffer, 0, data, bytes);
}

/* Where @value is. Values inside the task that no slot holds live in the workspace. */
static he_status locate(struct opencl_build *b, uint32_t value, struct opencl_ref *out)
{
    const struct he_value *v = &b->graph->values[value];
    int64_t bytes = he_shape_bytes(&v->shape, v->dtype);

    *out = (struct opencl_ref){ .kind = OPENCL_SLOT, .index = value };
    if (bytes < 0)
        return he_error_set(HE_ERR_UNSUPPORTED, "'%s' has no known shape", v->name);
    if (!b->program)
        return HE_OK;
    if (v->data) {
        out->kind = OPENCL_CONSTANT;
        return add_constant(b, value, 0, v->dtype, v->data, v->data_bytes, &out->index);
    }
    out->index = b->slot_of[value];
    if (out->index != HE_NONE)
        return HE_OK;
    out->kind = OPENCL_WORKSPACE;
    out->index = 0;
    for (uint32_t k = 0; k < b->temp_count; k++) {
        if (b->temps[k].value == value) {
            out->offset = b->temps[k].offset;
            return HE_OK;
        }
    }
    if (b->temp_count == OPENCL_TEMPS_MAX)
        return he_error_set(HE_ERR_UNSUPPORTED, "a task of more than %d temporaries",
                            OPENCL_TEMPS_MAX);
    out->offset = b->temp_end;
    b->temps[b->temp_count].value = value;
    b->temps[b->temp_count++].offset = out->offset;
    if (__builtin_add_overflow(b->temp_end, ((size_t)bytes + 255) & ~(size_t)255, &b->temp_end))
        return opencl_no_memory();
    return HE_OK;
}

/* An operand by what is common to all; its number, 0 after a failure. */
static int add_operand(struct opencl_build *b, const struct opencl_operand *operand)
{
    for (uint32_t k = 0; k < b->operand_count; k++) {
        const struct opencl_operand *o = &b->operands[k];

        if (o->value == operand->value && o->form == operand->form && o->value != HE_NONE &&
            o->is_written == operand->is_written && o->dtype == operand->dtype)
            return (int)k;
    }
    if (b->operand_count == OPENCL_OPERANDS_MAX) {
        fail(b, he_error_set(HE_ERR_UNSUPPORTED, "one OpenCL kernel has at most %d operands",
                             OPENCL_OPERANDS_MAX));
        return 0;
    }
    b->operands[b->operand_count] = *operand;
    return (int)b->operand_count++;
}

static enum he_dtype bits_dtype(enum he_dtype dtype)
{
    switch (he_dtype_bits(dtype)) {
    case 8:
        return HE_UINT8;
    case 16:
        return HE_UINT16;
    case 32:
        return HE_UINT32;
    case 64:
        return HE_UINT64;
    default:
        return HE_DTYPE_NONE;
    }
}

static int operand_of(struct opencl_build *b, uint32_t value, bool as_bits, bool is_written)
{
    const struct he_value *v = &b->graph->values[value];
    struct opencl_operand operand = { .value = value,
                                      .dtype = as_bits ? bits_dtype(v->dtype) : v->dtype,
                                      .is_written = is_written };
    he_status status;

    if (!opencl_type(b, operand.dtype)) {
        fail(b, he_error_set(HE_ERR_UNSUPPORTED, "the OpenCL device does not do %s",
                             he_dtype_name(v->dtype)));
        return 0;
    }
    status = locate(b, value, &operand.ref);
    if (status != HE_OK) {
        fail(b, status);
        return 0;
    }
    return add_operand(b, &operand);
}

int opencl_read(struct opencl_build *b, uint32_t value)
{
    return operand_of(b, value, false, false);
}

int opencl_write(struct opencl_build *b, uint32_t value)
{
    return operand_of(b, value, false, true);
}

int opencl_read_bits(struct opencl_build *b, uint32_t value)
{
    return operand_of(b, value, true, false);
}

int opencl_write_bits(struct opencl_build *b, uint32_t value)
{
    return operand_of(b, value, true, true);
}

bool opencl_has_made(const struct opencl_build *b, uint32_t value, uint32_t form)
{
    if (!b->program)
        return true;
    for (uint32_t k = 0; value != HE_NONE && k < b->program->constant_count; k++)
        if (b->program->constants[k].value == value && b->program->constants[k].form == form)
            return true;
    return false;
}

int opencl_read_made(struct opencl_build *b, uint32_t value, uint32_t form, enum he_dtype dtype,
                     const void *data, size_t bytes)
{
    struct opencl_operand operand = { .ref = { .kind = OPENCL_CONSTANT }, .value = value,
                                      .form = form, .dtype = dtype };
    he_status status = HE_OK;

    if (b->program)
        status = add_constant(b, value, form, dtype, data, bytes, &operand.ref.index);
    if (status != HE_OK) {
        fail(b, status);
        return 0;
    }
    if (b->program)
        operand.dtype = b->program->constants[operand.ref.index].dtype;
    return add_operand(b, &operand);
}

size_t opencl_scratch(struct opencl_build *b, int64_t count)
{
    size_t offset = b->temp_end, bytes;

    if (__builtin_mul_overflow((size_t)count, sizeof(float), &bytes) || bytes > SIZE_MAX - 255 ||
        __builtin_add_overflow(b->temp_end, (bytes + 255) & ~(size_t)255, &b->temp_end))
        fail(b, opencl_no_memory());
    return offset;
}

int opencl_use_scratch(struct opencl_build *b, size_t offset, bool is_written)
{
    struct opencl_operand operand = { .ref = { .kind = OPENCL_WORKSPACE, .offset = offset },
                                      .value = HE_NONE, .dtype = HE_FLOAT32,
                                      .is_written = is_written };

    return add_operand(b, &operand);
}

/* --- Text --- */

void opencl_begin(struct opencl_build *b)
{
    opencl_text_clear(&b->body);
    b->operand_count = 0;
}

void opencl_line(struct opencl_build *b, const char *format, ...)
{
    char line[1024];
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof line) {
        fail(b, he_error_set(HE_ERR_INTERNAL, "a line of an OpenCL kernel is too long"));
        return;
    }
    opencl_text_append(&b->body, line, (size_t)size);
    opencl_text_append(&b->body, "\n", 1);
}

const char *opencl_literal(float value, char *out)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    if (value == (float)(int)value && value > -1000 && value < 1000 && bits != 0x80000000u)
        snprintf(out, 40, value < 0 ? "(%d.0f)" : "%d.0f", (int)value);
    else
        snprintf(out, 40, "as_float(0x%08xu)", bits);
    return out;
}

/* --- Kernels and steps --- */

/* An operand's type in memory. */
static const char *storage_type(const struct opencl_build *b, enum he_dtype dtype)
{
    return dtype == HE_FLOAT16    ? "half"
           : dtype == HE_BFLOAT16 ? "ushort"
                                  : opencl_type(b, dtype);
}

/* How memory becomes a number and back; p is a pointer, e an element's index, v a float. */
struct storage {
    const char *load, *load_4, *load_8, *load_16, *aligned_4, *store;
};

static const struct storage *storage_of(enum he_dtype dtype)
{
    static const struct storage plain = {
        "(p)[e]",         "vload4(0, p)",  "vload8(0, p)",
        "vload16(0, p)", "(*(__global const float4 *)(p))", "(p)[e] = (v)",
    };
    static const struct storage half = {
        "vload_half(e, p)", "vload_half4(0, p)", "vload_half8(0, p)", "vload_half16(0, p)",
        "vloada_half4(0, p)", "vstore_half_rte(v, e, p)",
    };
    static const struct storage bfloat = {
        "as_float((uint)(p)[e] << 16)",
        "as_float4(convert_uint4(vload4(0, p)) << 16)",
        "as_float8(convert_uint8(vload8(0, p)) << 16)",
        "as_float16(convert_uint16(vload16(0, p)) << 16)",
        "as_float4(convert_uint4(*(__global const ushort4 *)(p)) << 16)",
        "(p)[e] = to_bfloat(v)",
    };

    return dtype == HE_FLOAT16 ? &half : dtype == HE_BFLOAT16 ? &bfloat : &plain;
}

/* V and W of build.h. */
static void put_fours(struct opencl_build *b, struct opencl_text *text, uint32_t k)
{
    const struct opencl_operand *operand = &b->operands[k];
    const char *type = opencl_type(b, operand->dtype);

    opencl_text_printf(text, "#undef V%u\n#define V%u(e) ", k, k);
    if (operand->dtype == HE_FLOAT16)
        opencl_text_printf(text, "vloada_half4(0, x%u + (e))\n", k);
    else if (operand->dtype == HE_BFLOAT16)
        opencl_text_printf(text, "as_float4(convert_uint4(*(__global const ushort4 *)(x%u + (e))) << 16)\n", k);
    else
        opencl_text_printf(text, "(*(__global const %s4 *)(x%u + (e)))\n", type, k);
    if (!operand->is_written)
        return;
    opencl_text_printf(text, "#undef W%u\n#define W%u(e, v) ", k, k);
    if (operand->dtype == HE_FLOAT16)
        opencl_text_printf(text, "vstorea_half4_rte(v, 0, x%u + (e))\n", k);
    else if (operand->dtype == HE_BFLOAT16)
        opencl_text_printf(text, "*(__global ushort4 *)(x%u + (e)) = (ushort4)(to_bfloat((v).x), "
                                 "to_bfloat((v).y), to_bfloat((v).z), to_bfloat((v).w))\n", k);
    else
        opencl_text_printf(text, "*(__global %s4 *)(x%u + (e)) = (v)\n", type, k);
}

/* The macros of build.h. Each kernel of a program defines them anew. */
static void put_macros(struct opencl_build *b, struct opencl_text *text, uint32_t k)
{
    const struct opencl_operand *operand = &b->operands[k];
    const struct storage *s = storage_of(operand->dtype);

    opencl_text_printf(text, "#undef T%u\n#define T%u %s\n", k, k,
                       storage_type(b, operand->dtype));
    opencl_text_printf(text, "#undef L%u\n#define L%u(p, e) %s\n", k, k, s->load);
    opencl_text_printf(text, "#undef X%u\n#define X%u(e) L%u(x%u, e)\n", k, k, k, k);
    if (operand->is_written) {
        opencl_text_printf(text, "#undef P%u\n#define P%u(p, e, v) %s\n", k, k, s->store);
        opencl_text_printf(text, "#undef S%u\n#define S%u(e, v) P%u(x%u, e, v)\n", k, k, k, k);
    }
    put_fours(b, text, k);
    if (!opencl_is_float(operand->dtype))
        return;
    opencl_text_printf(text, "#undef L%u_4\n#define L%u_4(p) %s\n", k, k, s->load_4);
    opencl_text_printf(text, "#undef L%u_8\n#define L%u_8(p) %s\n", k, k, s->load_8);
    opencl_text_printf(text, "#undef L%u_16\n#define L%u_16(p) %s\n", k, k, s->load_16);
    opencl_text_printf(text, "#undef A%u_4\n#define A%u_4(p) %s\n", k, k, s->aligned_4);
}

void opencl_put_prelude(const struct opencl_device *dev, struct opencl_text *text)
{
    if (dev->found->has_fp64)
        opencl_text_printf(text, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n");
    opencl_text_printf(text, "ushort to_bfloat(float v) { const uint u = as_uint(v); return "
                             "(ushort)(isnan(v) ? u >> 16 | 64u : (u + 32767u + (u >> 16 & 1u)) "
                             ">> 16); }\n");
    opencl_text_printf(text, "float round_bfloat(float v) "
                             "{ return as_float((uint)to_bfloat(v) << 16); }\n");
    opencl_text_printf(text, "float round_half(float v) { ushort h; vstore_half_rte(v, 0, "
                             "(half *)&h); return vload_half(0, (const half *)&h); }\n");
}

/* Finds or adds the kernel of the body; its number. */
static he_status add_kernel(struct opencl_build *b, const size_t *local, uint32_t *out)
{
    struct opencl_program *program = b->program;
    const struct he_allocator *alloc = &program->dev->alloc;
    struct opencl_text text;
    he_status status;

    opencl_text_init(&text, alloc);
    /* A compiler that does not know the group's size must keep registers for the largest. */
    opencl_text_printf(&text, "__attribute__((reqd_work_group_size(%zu, %zu, %zu))) void self(",
                       local[0], local[1], local[2]);
    for (uint32_t k = 0; k < b->operand_count; k++)
        opencl_text_printf(&text, "%s__global %s%s *restrict mem%u, ulong from%u", k ? ", " : "",
                           b->operands[k].is_written ? "" : "const ",
                           storage_type(b, b->operands[k].dtype), k, k);
    opencl_text_printf(&text, ")\n{\n");
    for (uint32_t k = 0; k < b->operand_count; k++) {
        put_macros(b, &text, k);
        opencl_text_printf(&text, "__global %sT%u *restrict x%u = mem%u + from%u;\n",
                           b->operands[k].is_written ? "" : "const ", k, k, k, k);
    }
    opencl_text_append(&text, opencl_text_string(&b->body), b->body.size);
    opencl_text_printf(&text, "}\n");
    if (text.failed || b->body.failed) {
        opencl_text_fini(&text);
        return opencl_no_memory();
    }
    for (uint32_t k = 0; k < program->kernel_count; k++) {
        if (strcmp(program->bodies[k], text.data) == 0) {
            opencl_text_fini(&text);
            *out = k;
            return HE_OK;
        }
    }
    status = opencl_grow(alloc, (void **)&program->bodies, &program->kernel_capacity,
                         program->kernel_count, program->kernel_count + 1,
                         sizeof *program->bodies);
    if (status != HE_OK) {
        opencl_text_fini(&text);
        return status;
    }
    *out = program->kernel_count;
    program->bodies[program->kernel_count++] = text.data; /* taken */
    return HE_OK;
}

static he_status add_step(struct opencl_build *b, const struct opencl_step *step)
{
    struct opencl_program *program = b->program;
    he_status status = opencl_grow(&program->dev->alloc, (void **)&program->steps,
                                   &program->step_capacity, program->step_count,
                                   program->step_count + 1, sizeof *program->steps);

    if (status == HE_OK)
        program->steps[program->step_count++] = *step;
    return status;
}

he_status opencl_end(struct opencl_build *b, uint32_t dimensions, const size_t *global,
                     const size_t *local)
{
    struct opencl_step step = { .task = b->task_index, .ref_count = b->operand_count,
                                .dimensions = dimensions };
    bool is_empty = false;
    he_status status;

    if (b->status != HE_OK || !b->program)
        return b->status;
    for (uint32_t d = 0; d < 3; d++)
        step.local[d] = step.global[d] = 1;
    for (uint32_t d = 0; d < dimensions; d++) {
        is_empty |= global[d] == 0;
        step.local[d] = local[d];
        step.global[d] = (global[d] + local[d] - 1) / local[d] * local[d];
    }
    if (is_empty)
        return HE_OK;
    for (uint32_t k = 0; k < b->operand_count; k++) {
        step.refs[k] = b->operands[k].ref;
        step.element_bytes[k] = (uint8_t)(he_dtype_bits(b->operands[k].dtype) / 8);
    }
    status = add_kernel(b, step.local, &step.kernel);
    return status == HE_OK ? add_step(b, &step) : status;
}

he_status opencl_copy(struct opencl_build *b, uint32_t from, uint32_t to)
{
    const struct he_value *value = &b->graph->values[to];
    struct opencl_step step = { .task = b->task_index, .kernel = HE_NONE, .ref_count = 2 };
    int64_t bytes = he_shape_bytes(&value->shape, value->dtype);
    he_status status = locate(b, from, &step.refs[0]);

    if (status == HE_OK)
        status = locate(b, to, &step.refs[1]);
    if (status != HE_OK || !b->program || bytes == 0)
        return status;
    step.bytes = (size_t)bytes;
    return add_step(b, &step);
}
