/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs fused chains. The output is cut into blocks that fit the first-level cache; each block
 * goes through all instructions before the next one starts, so that only the task's own inputs
 * and outputs travel to memory. Instructions are the inner loops of the elementwise
 * kernels.
 *
 * Broadcast operands: where rows are long a block stays within one, and an operand is either
 * contiguous or one number there. Where they are short, a block covers many rows: constant
 * vectors were repeated in advance, other operands are spread out into a temporary.
 */
#include "chain.h"

#include <string.h>

#include "half.h"

struct chain_run {
    const struct chain_step *step;
    const struct cpu_frame *frame;
};

/* Indices of position @pos, and an operand's offset there. */
static void locate(const struct chain_step *step, int64_t pos, int64_t *index)
{
    uint32_t d;

    for (d = step->rank; d-- > 0;) {
        index[d] = pos % step->dims[d];
        pos /= step->dims[d];
    }
}

static int64_t offset_at(const struct chain_step *step, const int64_t *steps, const int64_t *index)
{
    int64_t offset = 0;
    uint32_t d;

    for (d = 0; d < step->rank; d++)
        offset += index[d] * steps[d];
    return offset;
}

CPU_VECTOR static void fill(float *out, float x, int64_t n)
{
    int64_t i;

    for (i = 0; i < n; i++)
        out[i] = x;
}

/* Writes @n values of a stepped operand from position @pos on, run by run. */
static void expand(const struct chain_step *step, const struct chain_operand *operand,
                   const float *data, float *out, int64_t pos, int64_t n)
{
    uint32_t last = step->rank - 1, d;
    int64_t index[CHAIN_RANK], offset, run, done;

    locate(step, pos, index);
    offset = offset_at(step, operand->steps, index);
    for (done = 0; done < n; done += run) {
        run = step->dims[last] - index[last];
        if (run > n - done)
            run = n - done;
        if (operand->steps[last]) {
            memcpy(out + done, data + offset, (size_t)run * sizeof *out);
        } else {
            fill(out + done, data[offset], run);
        }
        offset -= index[last] * operand->steps[last];
        index[last] = 0;
        for (d = last; d-- > 0;) {
            offset += operand->steps[d];
            if (++index[d] < step->dims[d])
                break;
            offset -= step->dims[d] * operand->steps[d];
            index[d] = 0;
        }
    }
}

struct place {
    float *data;
    int step;
};

#define AFFINE_LOOP(B, C, RESULT)               \
    {                                           \
        CPU_IVDEP                               \
        for (i = 0; i < n; i++) {               \
            const float y = a[i] * (B) + (C);   \
            out[i] = RESULT;                    \
        }                                       \
    }
#define AFFINE_LOOPS(RESULT)                        \
    {                                               \
        if (b.step && c.step)                       \
            AFFINE_LOOP(b.data[i], c.data[i], RESULT) \
        else if (b.step)                            \
            AFFINE_LOOP(b.data[i], offset, RESULT)  \
        else if (c.step)                            \
            AFFINE_LOOP(factor, c.data[i], RESULT)  \
        else                                        \
            AFFINE_LOOP(factor, offset, RESULT)     \
    }

CPU_VECTOR static void affine(float *out, const float *a, struct place b, struct place c,
                              int64_t n, bool is_relu)
{
    const float factor = *b.data, offset = *c.data;
    int64_t i;

    if (is_relu)
        AFFINE_LOOPS(y < 0.0f ? 0.0f : y)
    else
        AFFINE_LOOPS(y)
}

static struct place place_of(const struct chain_run *run, const struct chain_operand *operand,
                             float (*temps)[CHAIN_BLOCK], int64_t pos, const int64_t *index)
{
    const struct chain_step *step = run->step;
    float *data;

    if (operand->place == CHAIN_TEMP)
        return (struct place){temps[operand->index], 1};
    data = operand->place == CHAIN_SLOT ? (float *)run->frame->slots[operand->index]
                                        : (float *)(uintptr_t)operand->data;
    switch (operand->access) {
    case CHAIN_FULL:
        return (struct place){data + pos, 1};
    case CHAIN_SCALAR:
        return (struct place){data, 0};
    case CHAIN_PERIODIC:
        return (struct place){data + pos % operand->period, 1};
    default:
        if (!step->has_long_rows)
            return (struct place){data, 0}; /* read by CHAIN_EXPAND only */
        return (struct place){data + offset_at(step, operand->steps, index),
                              (int)operand->steps[step->rank - 1]};
    }
}

static void run_part(void *arg, int64_t begin, int64_t end)
{
    const struct chain_run *run = arg;
    const struct chain_step *step = run->step;
    float temps[CHAIN_TEMPS][CHAIN_BLOCK] __attribute__((aligned(64)));
    int64_t index[CHAIN_RANK] = {0}, pos, n, row;
    uint32_t k;

    for (pos = begin; pos < end; pos += n) {
        n = end - pos < CHAIN_BLOCK ? end - pos : CHAIN_BLOCK;
        if (step->has_long_rows) {
            locate(step, pos, index);
            row = step->dims[step->rank - 1] - index[step->rank - 1];
            n = row < n ? row : n;
        }
        for (k = 0; k < step->instr_count; k++) {
            const struct chain_instr *instr = &step->instrs[k];
            const struct chain_operand *source = &step->operands[instr->a];
            struct place out = place_of(run, &step->operands[instr->out], temps, pos, index);
            struct place a = place_of(run, source, temps, pos, index), b, c;

            if (instr->op == CHAIN_AFFINE) {
                b = place_of(run, &step->operands[instr->b], temps, pos, index);
                c = place_of(run, &step->operands[instr->c], temps, pos, index);
                affine(out.data, a.data, b, c, n, instr->is_relu);
            } else if (instr->op == CHAIN_ZIP) {
                b = place_of(run, &step->operands[instr->b], temps, pos, index);
                instr->zip(out.data, a.data, b.data, n, a.step, b.step);
            } else if (instr->op == CHAIN_MAP) {
                instr->map(out.data, a.data, n, instr->params);
            } else {
                expand(step, source, a.data, out.data, pos, n);
            }
        }
    }
}

static he_status chain_run(const struct cpu_step *base, void *state, const struct cpu_frame *frame)
{
    const struct chain_step *step = (const struct chain_step *)base;
    struct chain_run run = {step, frame};

    (void)state;
    if (step->count > 0)
        cpu_parallel(frame->team, step->count, step->grain, run_part, &run);
    return HE_OK;
}

static void chain_destroy(struct cpu_step *base)
{
    struct chain_step *step = (struct chain_step *)base;
    struct he_allocator alloc = step->alloc;
    uint32_t k;

    for (k = 0; k < step->operand_count; k++)
        cpu_free_aligned(&alloc, step->operands[k].owned);
    cpu_free(&alloc, step->operands);
    cpu_free(&alloc, step->instrs);
    cpu_free(&alloc, step);
}

const struct cpu_step_ops chain_step_ops = {.run = chain_run, .destroy = chain_destroy};
