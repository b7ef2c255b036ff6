/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writing of kernels: operands, tails, segments of a task. A task is cut into
 * segments, each one kernel (or a few): a head and the pointwise nodes behind it with outputs of
 * one shape. What a later segment reads of an earlier one goes through the workspace.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "build.h"

#define WORK_ITEMS 64
/* Rows that need more lanes to be read as fast as memory gives them. */
#define LONG_ROW 2048
#define LONG_LANES 256

/* --- Values --- */

bool opencl_is(const struct he_node *node, const char *op)
{
    return strcmp(node->op, op) == 0 &&
           (!node->domain || !*node->domain || strcmp(node->domain, "ai.onnx") == 0);
}

const char *opencl_type(const struct opencl_build *b, enum he_dtype dtype)
{
    switch (dtype) {
    case HE_FLOAT32:
        return "float";
    case HE_FLOAT64:
        return b->dev->found->has_fp64 ? "double" : NULL;
    case HE_INT8:
        return "char";
    case HE_UINT8:
    case HE_BOOL:
        return "uchar";
    case HE_INT16:
        return "short";
    case HE_UINT16:
        return "ushort";
    case HE_INT32:
        return "int";
    case HE_UINT32:
        return "uint";
    case HE_INT64:
        return "long";
    case HE_UINT64:
        return "ulong";
    default:
        return NULL;
    }
}

const char *opencl_bits_type(size_t bytes)
{
    return bytes == 1   ? "uchar"
           : bytes == 2 ? "ushort"
           : bytes == 4 ? "uint"
           : bytes == 8 ? "ulong"
                        : NULL;
}

he_status opencl_refuse(const struct he_node *node, const char *format, ...)
{
    char why[256];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return he_error_set(HE_ERR_UNSUPPORTED, "%s on OpenCL: %s", node->op, why);
}

he_status opencl_need_float(const struct opencl_build *b, const struct he_node *node)
{
    for (uint32_t k = 0; k < node->input_count; k++) {
        const struct he_value *value = opencl_input(b, node, k);

        if (value && value->dtype != HE_FLOAT32)
            return opencl_refuse(node, "%s is not done, float32 is", he_dtype_name(value->dtype));
    }
    return HE_OK;
}

bool opencl_ints(const struct he_value *value, int64_t *out, size_t capacity, size_t *count)
{
    *count = 0;
    return value && value->data && he_value_read_ints(value, out, capacity, count) &&
           *count <= capacity;
}

float opencl_float(const struct he_value *value, size_t k)
{
    float out;

    memcpy(&out, (const char *)value->data + k * sizeof out, sizeof out);
    return out;
}

void opencl_strides(const struct he_shape *shape, int64_t *out)
{
    int64_t stride = 1;

    for (uint32_t d = shape->rank; d-- > 0;) {
        out[d] = stride;
        stride *= shape->dims[d];
    }
}

int64_t opencl_product(const struct he_shape *shape, uint32_t from, uint32_t to)
{
    int64_t product = 1;

    for (uint32_t d = from; d < to; d++)
        product *= shape->dims[d];
    return product;
}

static void fail(struct opencl_build *b, he_status status)
{
    if (b->status == HE_OK)
        b->status = status;
}

/* --- Operands --- */

static he_status add_constant(struct opencl_build *b, uint32_t value, uint32_t form,
                              const void *data, size_t bytes, uint32_t *out)
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
    *constant = (struct opencl_constant){ value, form, NULL };
    status = opencl_buffer_create(program->dev, bytes, &constant->buffer);
    if (status != HE_OK)
        return status;
    *out = program->constant_count++;
    program->constant_bytes += bytes;
    return opencl_buffer_fill(program->dev, constant->buffer, 0, data, bytes);
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
        return add_constant(b, value, 0, v->data, v->data_bytes, &out->index);
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
        status = add_constant(b, value, form, data, bytes, &operand.ref.index);
    if (status != HE_OK) {
        fail(b, status);
        return 0;
    }
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

/* Runs of dimensions that are either all broadcast or all not become one. */
void opencl_broadcast_index(struct opencl_build *b, const struct he_shape *out,
                            const struct he_shape *in, const char *index)
{
    int64_t out_stride = 1, in_stride = 1, outer = he_shape_count(out);
    bool is_first = true;

    for (uint32_t back = 0; back < out->rank;) {
        int64_t size = 1, run_stride = out_stride;
        bool is_broadcast = false, has_kind = false;

        for (; back < out->rank; back++) {
            int64_t dim = out->dims[out->rank - 1 - back];
            int64_t mine = back < in->rank ? in->dims[in->rank - 1 - back] : 1;

            if (dim == 1)
                continue;
            if (has_kind && is_broadcast != (mine == 1))
                break;
            is_broadcast = mine == 1;
            has_kind = true;
            size *= dim;
        }
        out_stride *= size;
        if (!has_kind || is_broadcast)
            continue;
        opencl_text_printf(&b->body, "%s", is_first ? "" : " + ");
        is_first = false;
        if (run_stride == 1 && out_stride >= outer)
            opencl_text_printf(&b->body, "%s", index);
        else if (run_stride == 1)
            opencl_text_printf(&b->body, "%s %% %lluu", index, (unsigned long long)size);
        else if (out_stride >= outer)
            opencl_text_printf(&b->body, "%s / %lluu", index, (unsigned long long)run_stride);
        else
            opencl_text_printf(&b->body, "%s / %lluu %% %lluu", index,
                               (unsigned long long)run_stride, (unsigned long long)size);
        if (in_stride != 1)
            opencl_text_printf(&b->body, " * %lluu", (unsigned long long)in_stride);
        in_stride *= size;
    }
    if (is_first)
        opencl_text_printf(&b->body, "0");
}

void opencl_offset(struct opencl_build *b, const char *name, const char *index, uint32_t rank,
                   const int64_t *dims, const int64_t *strides, int64_t base)
{
    int64_t inner = 1, count = 1;

    for (uint32_t d = 0; d < rank; d++)
        count *= dims[d];
    opencl_text_printf(&b->body, "const int %s = %lld", name, (long long)base);
    for (uint32_t d = rank; d-- > 0;) {
        int64_t dim = dims[d], stride = strides[d];

        /* Neighbours that step as one become one. */
        while (d > 0 && strides[d - 1] == stride * dim)
            dim *= dims[--d];
        if (dim > 1 && stride) {
            opencl_text_printf(&b->body, " + (int)(%s", index);
            if (inner > 1)
                opencl_text_printf(&b->body, " / %lluu", (unsigned long long)inner);
            if (inner * dim < count)
                opencl_text_printf(&b->body, " %% %lluu", (unsigned long long)dim);
            opencl_text_printf(&b->body, ") * %lld", (long long)stride);
        }
        inner *= dim;
    }
    opencl_line(b, ";");
}

void opencl_begin_rows(struct opencl_build *b, struct opencl_rows *rows, int64_t count,
                       int64_t length)
{
    rows->count = count;
    rows->is_group = length >= 256;
    rows->lanes = !rows->is_group                                                 ? 1
                  : length >= LONG_ROW && b->dev->found->group_items >= LONG_LANES ? LONG_LANES
                                                                                   : WORK_ITEMS;
    opencl_begin(b);
    if (rows->is_group) {
        opencl_line(b, "__local float shared[%u];", rows->lanes);
        opencl_line(b, "const uint row = (uint)get_group_id(0), lane = (uint)get_local_id(0);");
        opencl_line(b, "const uint lanes = %uu;", rows->lanes);
        return;
    }
    opencl_line(b, "const uint row = (uint)get_global_id(0), lane = 0u, lanes = 1u;");
    if (count % WORK_ITEMS)
        opencl_line(b, "if (row >= %lluu) return;", (unsigned long long)count);
}

void opencl_join_lanes(struct opencl_build *b, const struct opencl_rows *rows, const char *name,
                       const char *join)
{
    if (!rows->is_group)
        return;
    opencl_line(b, "shared[lane] = %s;\nbarrier(CLK_LOCAL_MEM_FENCE);", name);
    opencl_line(b, "for (uint h = %uu; h > 0u; h >>= 1) {", rows->lanes / 2);
    opencl_line(b, "if (lane < h) { const float l = shared[lane], r = shared[lane + h];");
    opencl_line(b, "shared[lane] = %s; }\nbarrier(CLK_LOCAL_MEM_FENCE);\n}", join);
    opencl_line(b, "%s = shared[0];\nbarrier(CLK_LOCAL_MEM_FENCE);", name);
}

he_status opencl_end_rows(struct opencl_build *b, const struct opencl_rows *rows)
{
    size_t items = (size_t)rows->count * rows->lanes;

    return opencl_end(b, 1, &items, &(size_t){ rows->is_group ? rows->lanes : WORK_ITEMS });
}

/* Must @value, made by the task, be in memory after this segment? */
static bool is_stored(const struct opencl_build *b, uint32_t value)
{
    for (uint32_t k = 0; k < b->task->output_count; k++)
        if (b->task->outputs[k] == value)
            return true;
    for (uint32_t n = b->segment_end; n < b->task->node_count; n++) {
        const struct he_node *node = &b->graph->nodes[b->task->nodes[n]];

        for (uint32_t k = 0; k < node->input_count; k++)
            if (node->inputs[k] == value)
                return true;
    }
    return false;
}

static void store(struct opencl_build *b, uint32_t value, const char *index)
{
    if (is_stored(b, value))
        opencl_line(b, "x%d[%s] = v%u;", opencl_write(b, value), index, value);
}

void opencl_result(struct opencl_build *b, const char *index, const char *expression)
{
    if (b->tail_begin > b->segment_begin) {
        const struct he_node *head = &b->graph->nodes[b->task->nodes[b->segment_begin]];
        uint32_t value = head->outputs[0];

        opencl_line(b, "%s v%u = %s;", opencl_type(b, b->graph->values[value].dtype), value,
                    expression);
        store(b, value, index);
    }
    for (uint32_t n = b->tail_begin; n < b->segment_end; n++) {
        const struct he_node *node = &b->graph->nodes[b->task->nodes[n]];

        opencl_pointwise_emit(b, node, index);
        store(b, node->outputs[0], index);
    }
}

void opencl_begin_each(struct opencl_build *b, int64_t count)
{
    opencl_begin(b);
    opencl_line(b, "uint o = (uint)get_global_id(0);");
    if (count % WORK_ITEMS)
        opencl_line(b, "if (o >= %lluu) return;", (unsigned long long)count);
}

he_status opencl_end_each(struct opencl_build *b, int64_t count)
{
    return opencl_end(b, 1, &(size_t){ (size_t)count }, &(size_t){ WORK_ITEMS });
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
                           opencl_type(b, b->operands[k].dtype), k, k);
    opencl_text_printf(&text, ")\n{\n");
    for (uint32_t k = 0; k < b->operand_count; k++)
        opencl_text_printf(&text, "__global %s%s *restrict x%u = mem%u + from%u;\n",
                           b->operands[k].is_written ? "" : "const ",
                           opencl_type(b, b->operands[k].dtype), k, k, k);
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

/* --- Tasks --- */

static const struct opencl_emitter *find_emitter(const struct he_node *node)
{
    static const struct opencl_emitter_table *const tables[] = {
        &opencl_conv_table,   &opencl_matmul_table, &opencl_pool_table,   &opencl_reduce_table,
        &opencl_norm_table,   &opencl_move_table,   &opencl_gather_table, &opencl_resize_table,
    };

    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (size_t k = 0; k < tables[t]->count; k++)
            if (opencl_is(node, tables[t]->emitters[k].op))
                return &tables[t]->emitters[k];
    return NULL;
}

/* The output is the first input's bytes. */
static bool is_view(const struct opencl_build *b, const struct he_node *node)
{
    static const char *const views[] = { "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity" };
    const struct he_value *mode = opencl_input(b, node, 2);

    for (size_t k = 0; k < sizeof views / sizeof views[0]; k++)
        if (opencl_is(node, views[k]))
            return true;
    return opencl_is(node, "Dropout") && !opencl_output(b, node, 1) &&
           (!mode || (mode->data && !*(const char *)mode->data));
}

static he_status emit_view(struct opencl_build *b, const struct he_node *node)
{
    uint32_t from = node->inputs[0], to = node->outputs[0];

    if (b->program && b->slot_of[to] != HE_NONE && b->slot_of[from] != HE_NONE &&
        b->program->region->slots[b->slot_of[to]].alias == b->slot_of[from])
        return HE_OK;
    return opencl_copy(b, from, to);
}

/* A value that a kernel or a copy may touch. */
static he_status check_value(const struct opencl_build *b, const struct he_node *node,
                             uint32_t value)
{
    const struct he_value *v = &b->graph->values[value];
    int64_t count = he_shape_count(&v->shape);

    if (v->is_opaque)
        return opencl_refuse(node, "sequences and optional values are not done");
    if (count < 0)
        return opencl_refuse(node, "the shape of '%s' is not known beforehand", v->name);
    if (count > INT32_MAX)
        return opencl_refuse(node, "'%s' has more than 2^31 elements", v->name);
    return HE_OK;
}

static he_status check_node(const struct opencl_build *b, const struct he_node *node)
{
    he_status status = HE_OK;

    for (uint32_t k = 0; k < node->input_count && status == HE_OK; k++)
        if (node->inputs[k] != HE_NONE)
            status = check_value(b, node, node->inputs[k]);
    for (uint32_t k = 0; k < node->output_count && status == HE_OK; k++)
        if (node->outputs[k] != HE_NONE)
            status = check_value(b, node, node->outputs[k]);
    return status;
}

/* Nodes behind @begin that can be done to the head's result in registers. */
static uint32_t find_tail_end(const struct opencl_build *b, uint32_t begin)
{
    uint32_t end = begin;

    while (end < b->task->node_count) {
        const struct he_node *node = &b->graph->nodes[b->task->nodes[end]];

        if (!opencl_is_pointwise(node) || !opencl_output(b, node, 0) ||
            !he_shape_equal(&opencl_output(b, node, 0)->shape, b->shape))
            break;
        end++;
    }
    return end;
}

static he_status emit_segment(struct opencl_build *b, const struct he_node *head)
{
    const struct opencl_emitter *emitter = NULL;
    he_status status;
    int64_t count;

    if (!opencl_output(b, head, 0) && head->output_count < 2)
        return opencl_refuse(head, "it has no output");
    b->shape = opencl_output(b, head, 0) ? &opencl_output(b, head, 0)->shape : NULL;
    b->segment_end = b->tail_begin = b->segment_begin + 1;
    if (is_view(b, head))
        return emit_view(b, head);
    if (opencl_is_pointwise(head)) {
        b->tail_begin = b->segment_begin;
        b->segment_end = find_tail_end(b, b->segment_begin);
    } else {
        emitter = find_emitter(head);
        if (!emitter)
            return opencl_refuse(head, "there is no kernel for it (opset %d)", head->opset);
        if (emitter->takes_tail && b->shape)
            b->segment_end = find_tail_end(b, b->tail_begin);
    }
    for (uint32_t n = b->tail_begin; n < b->segment_end; n++) {
        const struct he_node *node = &b->graph->nodes[b->task->nodes[n]];

        status = check_node(b, node);
        if (status == HE_OK)
            status = opencl_pointwise_check(b, node);
        if (status != HE_OK)
            return status;
    }
    if (!opencl_is_pointwise(head))
        return emitter->emit(b, head);
    count = he_shape_count(b->shape);
    opencl_begin_each(b, count);
    opencl_result(b, "o", NULL);
    return opencl_end_each(b, count);
}

he_status opencl_emit_task(struct opencl_build *b)
{
    he_status status = HE_OK;

    b->temp_count = 0;
    b->temp_end = 0;
    for (b->segment_begin = 0; b->segment_begin < b->task->node_count && status == HE_OK;
         b->segment_begin = b->segment_end) {
        const struct he_node *node = &b->graph->nodes[b->task->nodes[b->segment_begin]];

        b->segment_end = b->segment_begin + 1;
        status = check_node(b, node);
        if (status == HE_OK)
            status = emit_segment(b, node);
        if (status == HE_OK)
            status = b->status;
    }
    if (status == HE_OK && b->body.failed)
        status = opencl_no_memory();
    return status;
}
