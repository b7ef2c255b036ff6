/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps made of oneDNN calls: building them, binding them to an instance
 * (memory objects and a stream of its own), and running them.
 */
#include "config.h"
#ifdef HE_HAVE_ONEDNN

#include <string.h>

#include "onednn_step.h"

#define ALIGNMENT 64

static he_status no_memory(void)
{
    return he_error_set(HE_ERR_NO_MEMORY, "no memory for a step of the cpu backend");
}

static size_t align_up(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

/* Makes room for one more element of a growing array. */
static bool grow(const struct he_allocator *alloc, void **array, size_t *capacity, size_t used,
                 size_t size)
{
    size_t wanted = *capacity ? *capacity * 2 : 8;
    void *bigger;

    if (used < *capacity)
        return true;
    bigger = alloc->alloc(alloc->self, wanted * size);
    if (!bigger)
        return false;
    if (used > 0)
        memcpy(bigger, *array, used * size);
    alloc->free(alloc->self, *array);
    *array = bigger;
    *capacity = wanted;
    return true;
}

/* --- What the graph says --- */

const struct he_value *od_value(const struct od_build *b, uint32_t value)
{
    return &b->graph->values[value];
}

uint32_t od_input(const struct od_build *b, uint32_t k)
{
    return k < b->anchor->input_count ? b->anchor->inputs[k] : HE_NONE;
}

bool od_is_constant(const struct od_build *b, uint32_t value)
{
    return value != HE_NONE && he_value_is_constant(od_value(b, value));
}

bool od_slot(const struct od_build *b, uint32_t value, struct od_operand *operand,
             enum he_layout *layout)
{
    uint32_t slot;

    if (value == HE_NONE || od_is_constant(b, value))
        return false;
    slot = b->c->slot_of[value];
    if (slot == HE_NONE)
        return false;
    *operand = (struct od_operand){.place = OD_SLOT, .slot = slot};
    if (layout)
        *layout = b->c->region->slots[slot].layout;
    return true;
}

bool od_layouts_coincide(const struct he_shape *shape)
{
    int64_t pixels = 1;
    uint32_t k;

    if (shape->rank < 3 || shape->dims[1] == 1)
        return true;
    for (k = 2; k < shape->rank; k++)
        pixels *= shape->dims[k];
    return pixels == 1;
}

struct od_desc od_slot_desc(const struct od_build *b, uint32_t value)
{
    const struct he_shape *shape = &od_value(b, value)->shape;
    enum he_layout layout = HE_LAYOUT_PLAIN;
    struct od_operand operand;

    if (shape->rank == 0 || shape->rank > OD_MAX_RANK)
        return (struct od_desc){.rank = 0};
    (void)od_slot(b, value, &operand, &layout);
    if (layout == HE_LAYOUT_CHANNELS_LAST)
        return od_desc_channels_last(shape->rank, shape->dims);
    return od_desc_plain(shape->rank, shape->dims);
}

uint32_t od_task_output(const struct od_build *b)
{
    return b->task->output_count == 1 ? b->task->outputs[0] : HE_NONE;
}

/* --- Memory --- */

void *od_constant_alloc(struct od_build *b, size_t bytes)
{
    struct od_step *step = b->step;
    const struct he_allocator *alloc = &step->alloc;
    struct od_block block = {.bytes = bytes};

    if (bytes > SIZE_MAX - ALIGNMENT)
        return NULL;
    if (!grow(alloc, (void **)&step->constants, &step->constant_capacity, step->constant_count,
              sizeof *step->constants))
        return NULL;
    block.allocated = alloc->alloc(alloc->self, bytes + ALIGNMENT);
    if (!block.allocated)
        return NULL;
    block.start = (void *)(((uintptr_t)block.allocated + ALIGNMENT - 1) &
                           ~(uintptr_t)(ALIGNMENT - 1));
    memset(block.start, 0, bytes);
    step->constants[step->constant_count++] = block;
    step->base.constant_bytes += bytes;
    return block.start;
}

void od_constant_release(struct od_build *b, const void *start)
{
    struct od_step *step = b->step;
    size_t k;

    for (k = 0; k < step->constant_count; k++) {
        if (step->constants[k].start != start)
            continue;
        step->alloc.free(step->alloc.self, step->constants[k].allocated);
        step->base.constant_bytes -= step->constants[k].bytes;
        step->constants[k] = step->constants[--step->constant_count];
        return;
    }
}

he_status od_constant_floats(struct od_build *b, uint32_t value, const float **out, size_t *count)
{
    const struct he_value *v = od_value(b, value);
    void *copy;

    *out = NULL;
    *count = v->data_bytes / sizeof(float);
    if (!he_value_is_constant(v) || v->dtype != HE_FLOAT32 ||
        (int64_t)*count != he_shape_count(&v->shape))
        return he_error_set(HE_ERR_UNSUPPORTED, "%s: its operand %s is not a float32 constant",
                            b->anchor->op, v->name);
    if ((uintptr_t)v->data % sizeof(float) == 0) {
        *out = v->data;
        return HE_OK;
    }
    copy = od_constant_alloc(b, v->data_bytes);
    if (!copy)
        return no_memory();
    memcpy(copy, v->data, v->data_bytes);
    *out = copy;
    return HE_OK;
}

struct od_operand od_work(struct od_build *b, size_t bytes)
{
    struct od_operand operand = {.place = OD_WORK, .offset = b->step->work_bytes};

    b->step->work_bytes += align_up(bytes);
    return operand;
}

struct od_operand od_constant(const void *memory)
{
    return (struct od_operand){.place = OD_CONSTANT, .constant = (void *)memory};
}

size_t od_desc_bytes(const struct od_desc *desc)
{
    size_t bytes = desc->is_bf16 ? 2 : 4;
    int k;

    for (k = 0; k < desc->rank; k++)
        bytes *= (size_t)desc->dims[k];
    return bytes;
}

/* --- Calls --- */

static he_status add_call(struct od_build *b, struct od_call **out)
{
    struct od_step *step = b->step;

    if (!grow(&step->alloc, (void **)&step->calls, &step->call_capacity, step->call_count,
              sizeof *step->calls))
        return no_memory();
    *out = &step->calls[step->call_count++];
    memset(*out, 0, sizeof **out);
    return HE_OK;
}

he_status od_add_primitive(struct od_build *b, dnnl_primitive_desc_t pd, struct od_call **out)
{
    struct od_operand scratch = {.place = OD_SCRATCH};
    struct od_call *call = NULL;
    size_t bytes;
    od_md md;
    he_status status = add_call(b, &call);

    if (status != HE_OK) {
        od.dnnl_primitive_desc_destroy(pd);
        return status;
    }
    call->pd = pd;
    status = od_status(od.dnnl_primitive_create(&call->primitive, pd), "creating a primitive");
    if (status != HE_OK)
        return status;
    *out = call;
    md = od_arg_md(pd, DNNL_ARG_SCRATCHPAD);
    bytes = md ? od.dnnl_memory_desc_get_size(md) : 0;
    if (bytes == 0)
        return HE_OK;
    if (bytes > b->step->scratch_bytes)
        b->step->scratch_bytes = bytes;
    return od_add_arg(b, call, DNNL_ARG_SCRATCHPAD, scratch);
}

he_status od_add_function(struct od_build *b, od_function function, const void *params,
                          size_t params_bytes, struct od_call **out)
{
    void *copy = od_constant_alloc(b, params_bytes);
    struct od_call *call = NULL;
    he_status status;

    if (!copy)
        return no_memory();
    memcpy(copy, params, params_bytes);
    status = add_call(b, &call);
    if (status != HE_OK)
        return status;
    call->function = function;
    call->params = copy;
    *out = call;
    return HE_OK;
}

he_status od_add_arg(struct od_build *b, struct od_call *call, int arg, struct od_operand operand)
{
    if (!grow(&b->step->alloc, (void **)&call->args, &call->arg_capacity, call->arg_count,
              sizeof *call->args))
        return no_memory();
    call->args[call->arg_count++] = (struct od_arg){.arg = arg, .operand = operand};
    return HE_OK;
}

he_status od_add_reorder(struct od_build *b, od_md from, struct od_operand src, od_md to,
                         struct od_operand dst)
{
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd = NULL;
    struct od_call *call = NULL;
    he_status status = od_attr(NULL, 0, &attr);

    if (status != HE_OK)
        return status;
    status = od_reorder_pd(from, to, attr, &pd);
    od.dnnl_primitive_attr_destroy(attr);
    if (status == HE_OK)
        status = od_add_primitive(b, pd, &call);
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_FROM, src);
    if (status == HE_OK)
        status = od_add_arg(b, call, DNNL_ARG_TO, dst);
    return status;
}

/* Runs one reorder on the spot. */
static he_status reorder_now(od_md from, const void *src, od_md to, void *dst)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, NULL}, {DNNL_ARG_TO, NULL}};
    dnnl_status_t done;
    he_status status = od_reorder_pd(from, to, NULL, &pd);

    if (status != HE_OK)
        return status;
    done = od.dnnl_primitive_create(&primitive, pd);
    if (done == dnnl_success)
        done = od.dnnl_memory_create(&args[0].memory, from, od.engine, (void *)src);
    if (done == dnnl_success)
        done = od.dnnl_memory_create(&args[1].memory, to, od.engine, dst);
    if (done == dnnl_success)
        done = od.dnnl_stream_create(&stream, od.engine, dnnl_stream_default_flags);
    if (done == dnnl_success)
        done = od.dnnl_primitive_execute(primitive, stream, 2, args);
    if (stream)
        od.dnnl_stream_destroy(stream);
    if (args[0].memory)
        od.dnnl_memory_destroy(args[0].memory);
    if (args[1].memory)
        od.dnnl_memory_destroy(args[1].memory);
    if (primitive)
        od.dnnl_primitive_destroy(primitive);
    od.dnnl_primitive_desc_destroy(pd);
    return od_status(done, "packing weights");
}

he_status od_pack(struct od_build *b, const struct od_desc *from, const void *src, od_md to,
                  void **out)
{
    struct od_own_md own;
    he_status status;

    *out = od_constant_alloc(b, od.dnnl_memory_desc_get_size(to));
    if (!*out)
        return no_memory();
    status = od_own_md_init(&own, from);
    if (status != HE_OK)
        return status;
    status = reorder_now(od_own_md_get(&own), src, to, *out);
    od_own_md_fini(&own);
    return status;
}

/* --- Instances --- */

/* One per primitive argument: its memory object and the address it has now. */
struct bound_call {
    dnnl_exec_arg_t *args;
    void **addresses;
};

struct bound_step {
    struct he_allocator alloc;
    dnnl_stream_t stream;
    size_t call_count;
    struct bound_call *calls;
    dnnl_exec_arg_t *all_args;
    void **all_addresses;
    size_t all_count;
};

static void step_unbind(const struct cpu_step *base, void *state)
{
    struct bound_step *bound = state;
    struct he_allocator alloc;
    size_t k;

    (void)base;
    if (!bound)
        return;
    alloc = bound->alloc;
    for (k = 0; bound->all_args && k < bound->all_count; k++) {
        if (bound->all_args[k].memory)
            od.dnnl_memory_destroy(bound->all_args[k].memory);
    }
    if (bound->stream)
        od.dnnl_stream_destroy(bound->stream);
    alloc.free(alloc.self, bound->all_args);
    alloc.free(alloc.self, bound->all_addresses);
    alloc.free(alloc.self, bound->calls);
    alloc.free(alloc.self, bound);
}

static void *zalloc(const struct he_allocator *alloc, size_t count, size_t size)
{
    void *memory = alloc->alloc(alloc->self, count * size + 1);

    if (memory)
        memset(memory, 0, count * size + 1);
    return memory;
}

static he_status step_bind(const struct cpu_step *base, void **state)
{
    const struct od_step *step = (const struct od_step *)base;
    const struct he_allocator *alloc = &step->alloc;
    struct bound_step *bound = zalloc(alloc, 1, sizeof *bound);
    const struct od_call *call;
    const struct od_arg *arg;
    size_t k, i, used = 0;
    he_status status;

    *state = NULL;
    if (!bound)
        return no_memory();
    bound->alloc = *alloc;
    for (k = 0; k < step->call_count; k++)
        bound->all_count += step->calls[k].arg_count;
    bound->call_count = step->call_count;
    bound->calls = zalloc(alloc, step->call_count, sizeof *bound->calls);
    bound->all_args = zalloc(alloc, bound->all_count, sizeof *bound->all_args);
    bound->all_addresses = zalloc(alloc, bound->all_count, sizeof *bound->all_addresses);
    status = bound->calls && bound->all_args && bound->all_addresses ? HE_OK : no_memory();
    if (status == HE_OK)
        status = od_status(
            od.dnnl_stream_create(&bound->stream, od.engine, dnnl_stream_default_flags), "a stream");
    for (k = 0; status == HE_OK && k < step->call_count; k++) {
        call = &step->calls[k];
        bound->calls[k].args = bound->all_args + used;
        bound->calls[k].addresses = bound->all_addresses + used;
        for (i = 0; status == HE_OK && i < call->arg_count; i++) {
            arg = &call->args[i];
            bound->all_args[used + i].arg = arg->arg;
            bound->all_addresses[used + i] = arg->operand.constant;
            if (call->primitive)
                status = od_status(od.dnnl_memory_create(&bound->all_args[used + i].memory,
                                                         od_arg_md(call->pd, arg->arg), od.engine,
                                                         arg->operand.constant),
                                   "a memory object");
        }
        used += call->arg_count;
    }
    if (status != HE_OK) {
        step_unbind(base, bound);
        return status;
    }
    *state = bound;
    return HE_OK;
}

static void *address_of(const struct od_step *step, const struct od_operand *operand,
                        const struct cpu_frame *frame)
{
    switch (operand->place) {
    case OD_SLOT:
        return (char *)frame->slots[operand->slot] + operand->offset;
    case OD_WORK:
        return (char *)frame->workspace + operand->offset;
    case OD_SCRATCH:
        return (char *)frame->workspace + step->work_bytes;
    case OD_CONSTANT:
        break;
    }
    return operand->constant;
}

static he_status step_run(const struct cpu_step *base, void *state, const struct cpu_frame *frame)
{
    const struct od_step *step = (const struct od_step *)base;
    struct bound_step *bound = state;
    const struct od_call *call;
    struct bound_call *now;
    dnnl_status_t done;
    void *address;
    size_t k, i;

    /* The primitives were made for this many threads; the count is a property
     * of the calling thread, and setting it costs nanoseconds. */
    od.omp_set_num_threads((int)step->threads);
    for (k = 0; k < step->call_count; k++) {
        call = &step->calls[k];
        now = &bound->calls[k];
        for (i = 0; i < call->arg_count; i++) {
            address = address_of(step, &call->args[i].operand, frame);
            if (address == now->addresses[i])
                continue;
            now->addresses[i] = address;
            if (call->primitive &&
                od.dnnl_memory_set_data_handle(now->args[i].memory, address) != dnnl_success)
                return he_error_set(HE_ERR_DEVICE, "oneDNN: an operand cannot be placed");
        }
        if (call->function) {
            call->function(call->params, now->addresses, frame->team);
            continue;
        }
        done = od.dnnl_primitive_execute(call->primitive, bound->stream, (int)call->arg_count,
                                         now->args);
        if (done != dnnl_success)
            return od_status(done, "running a primitive");
    }
    return HE_OK;
}

void od_step_destroy(struct cpu_step *base)
{
    struct od_step *step = (struct od_step *)base;
    struct he_allocator alloc;
    size_t k;

    if (!step)
        return;
    alloc = step->alloc;
    for (k = 0; k < step->call_count; k++) {
        if (step->calls[k].primitive)
            od.dnnl_primitive_destroy(step->calls[k].primitive);
        if (step->calls[k].pd)
            od.dnnl_primitive_desc_destroy(step->calls[k].pd);
        alloc.free(alloc.self, step->calls[k].args);
    }
    for (k = 0; k < step->constant_count; k++)
        alloc.free(alloc.self, step->constants[k].allocated);
    alloc.free(alloc.self, step->constants);
    alloc.free(alloc.self, step->calls);
    alloc.free(alloc.self, step);
}

const struct cpu_step_ops od_step_ops = {
    .bind = step_bind,
    .unbind = step_unbind,
    .run = step_run,
    .destroy = od_step_destroy,
};

#endif
