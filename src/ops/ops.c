/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins the families' tables, finds rows by name (open addressing over an FNV-1a
 * hash, filled once), and calls the rules with everything checked that is
 * common to all operators: counts of inputs and outputs, kinds of attributes, ranks,
 * overflow.
 */
#include "ops/ops.h"

#include <pthread.h>
#include <string.h>

#include "ops/infer.h"

static const struct he_op_table *const tables[] = {
    &he_ops_activation, &he_ops_attention, &he_ops_control, &he_ops_conv, &he_ops_gather,
    &he_ops_generate, &he_ops_image, &he_ops_index, &he_ops_logic, &he_ops_loss, &he_ops_math,
    &he_ops_matrix, &he_ops_norm, &he_ops_pool, &he_ops_quant, &he_ops_recurrent, &he_ops_reduce,
    &he_ops_shape, &he_ops_signal, &he_ops_slice,
};

/* A power of two well above the number of rows (some 190); a test counts them. */
#define BUCKET_COUNT 1024u

static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static const struct he_op *buckets[BUCKET_COUNT]; /* written once, by fill_buckets() */

static uint32_t hash_name(const char *name)
{
    uint32_t hash = 0x811c9dc5u;

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x01000193u;
    return hash;
}

static void fill_buckets(void)
{
    for (size_t t = 0; t < HE_COUNT(tables); t++) {
        for (size_t k = 0; k < tables[t]->count; k++) {
            const struct he_op *row = &tables[t]->rows[k];
            uint32_t at = hash_name(row->name) % BUCKET_COUNT;

            while (buckets[at])
                at = (at + 1) % BUCKET_COUNT;
            buckets[at] = row;
        }
    }
}

const struct he_op *he_op_find(const char *domain, const char *name)
{
    if (!name)
        return NULL;
    if (!domain || strcmp(domain, "ai.onnx") == 0)
        domain = "";
    pthread_once(&index_once, fill_buckets);
    for (uint32_t at = hash_name(name) % BUCKET_COUNT; buckets[at]; at = (at + 1) % BUCKET_COUNT) {
        if (strcmp(buckets[at]->name, name) == 0 && strcmp(buckets[at]->domain, domain) == 0)
            return buckets[at];
    }
    return NULL;
}

size_t he_op_count(void)
{
    size_t count = 0;

    for (size_t t = 0; t < HE_COUNT(tables); t++)
        count += tables[t]->count;
    return count;
}

const struct he_op *he_op_at(size_t index)
{
    for (size_t t = 0; t < HE_COUNT(tables); t++) {
        if (index < tables[t]->count)
            return &tables[t]->rows[index];
        index -= tables[t]->count;
    }
    return NULL;
}

int he_op_since(const struct he_op *op, int opset)
{
    int since = 0;

    for (const uint8_t *version = op->versions; *version && *version <= opset; version++)
        since = *version;
    return since;
}

bool he_op_is_known(const struct he_node *node)
{
    const struct he_op *op = he_op_find(node->domain, node->op);

    return op && he_op_since(op, node->opset) > 0;
}

/* --- Shapes --- */

static he_status check_inputs(const struct he_op *op, const struct he_node *node,
                              const struct he_value *const *in)
{
    uint32_t count = node->explicit_input_count;

    if (count > node->input_count)
        return he_infer_error(node, "%u explicit inputs of %u", count, node->input_count);
    if (count < op->min_inputs)
        return he_infer_error(node, "%u inputs given, at least %u needed", count, op->min_inputs);
    if (op->max_inputs != 255 && count > op->max_inputs)
        return he_infer_error(node, "%u inputs given, at most %u expected", count,
                              op->max_inputs);
    for (uint32_t k = 0; k < count; k++) {
        if (!in[k]) {
            if (k < op->min_inputs)
                return he_infer_error(node, "input %u must not be omitted", k);
            continue;
        }
        if (in[k]->shape.rank > HE_MAX_RANK && in[k]->shape.rank != HE_RANK_UNKNOWN)
            return he_infer_error(node, "input %u has %u dimensions, at most %d are supported", k,
                                  in[k]->shape.rank, HE_MAX_RANK);
        if (in[k]->is_opaque && op->access != HE_ACCESS_CONTROL)
            return he_error_set(HE_ERR_UNSUPPORTED,
                                "%s: input %u is a sequence, map or optional, not a tensor",
                                node->op, k);
    }
    return HE_OK;
}

/* Byte counts must fit an int64_t, so that nobody downstream has to ask again. */
static he_status check_output(const struct he_node *node, uint32_t k, const struct he_value *out)
{
    enum he_dtype widest = HE_COMPLEX128;

    if (!he_shape_is_static(&out->shape) || he_shape_bytes(&out->shape, widest) >= 0)
        return HE_OK;
    return he_infer_error(node, "output %u would be %s, more than memory can hold", k,
                          he_infer_text(out).s);
}

he_status he_op_infer(const struct he_node *node, const struct he_value *const *inputs,
                      struct he_value *const *outputs)
{
    const struct he_op *op = he_op_find(node->domain, node->op);
    const struct he_value *padded_in[HE_RULE_SLOTS] = { NULL };
    struct he_value *padded_out[HE_RULE_SLOTS];
    struct he_value scrap = { .name = "" };
    struct he_value *const *out = outputs;
    const struct he_value *const *in = inputs;
    he_status status;

    if (!op)
        return he_error_set(HE_ERR_UNSUPPORTED, "operator %s%s%s is not known",
                            node->domain ? node->domain : "",
                            node->domain && node->domain[0] ? "." : "",
                            node->op ? node->op : "(none)");
    if (he_op_since(op, node->opset) == 0)
        return he_error_set(HE_ERR_UNSUPPORTED,
                            "operator %s is in opset %d and later, the model asks for %d",
                            node->op, op->versions[0], node->opset);
    status = check_inputs(op, node, inputs);
    if (status == HE_OK)
        status = he_attrs_check(node);
    if (status != HE_OK)
        return status;
    if (op->max_outputs != 255 && node->output_count > op->max_outputs)
        return he_infer_error(node, "%u outputs asked for, at most %u exist", node->output_count,
                              op->max_outputs);
    if (node->input_count < HE_RULE_SLOTS) {
        for (uint32_t k = 0; k < node->input_count; k++)
            padded_in[k] = inputs[k];
        in = padded_in;
    }
    for (uint32_t k = 0; k < node->output_count; k++) {
        if (!outputs[k])
            continue;
        outputs[k]->dtype = HE_DTYPE_NONE;
        outputs[k]->shape = he_shape_unknown();
        outputs[k]->has_known_ints = false;
    }
    if (node->output_count < HE_RULE_SLOTS) {
        scrap.shape = he_shape_unknown();
        for (uint32_t k = 0; k < HE_RULE_SLOTS; k++)
            padded_out[k] = k < node->output_count && outputs[k] ? outputs[k] : &scrap;
        out = padded_out;
    }
    status = op->infer(node, in, out);
    if (status != HE_OK)
        return status;
    for (uint32_t k = 0; k < node->output_count; k++) {
        if (outputs[k] && outputs[k]->shape.rank != HE_RANK_UNKNOWN) {
            status = check_output(node, k, outputs[k]);
            if (status != HE_OK)
                return status;
        }
    }
    return HE_OK;
}

/* --- Work --- */

double he_work_count(const struct he_value *value, struct he_work *work)
{
    double count = 1;

    if (!value)
        return 0;
    if (value->shape.rank > HE_MAX_RANK) {
        work->is_estimate = true;
        return 1;
    }
    for (uint32_t k = 0; k < value->shape.rank; k++)
        count *= he_work_dim(value, k, work);
    return count;
}

double he_work_dim(const struct he_value *value, uint32_t axis, struct he_work *work)
{
    int64_t dim = he_infer_dim(value, axis);

    if (dim >= 0)
        return (double)dim;
    work->is_estimate = true;
    return 1;
}

double he_work_bytes(const struct he_value *value, struct he_work *work)
{
    unsigned bits;

    if (!value || value->is_opaque)
        return 0;
    bits = he_dtype_bits(value->dtype);
    if (bits == 0) { /* a string or an unknown type */
        bits = 32;
        work->is_estimate = true;
    }
    return he_work_count(value, work) * bits / 8;
}

HE_WORK_RULE(he_work_move)
{
    /* A gather reads what it writes, not the whole table it picks from. */
    double data = he_work_bytes(in[0], work), written = he_work_bytes(out[0], work);

    work->flops = 0;
    if (written < data)
        work->read_bytes -= data - written;
}

HE_WORK_RULE(he_work_costly)
{
    work->flops = 10 * he_work_count(out[0], work);
}

HE_WORK_RULE(he_work_softmax)
{
    /* maximum, subtract, exp (as in he_work_costly), sum, divide */
    work->flops = 14 * he_work_count(in[0], work);
}

static bool is_repeated(const struct he_value *const *in, uint32_t k)
{
    for (uint32_t j = 0; j < k; j++) {
        if (in[j] == in[k])
            return true;
    }
    return false;
}

static bool has_bad_rank(const struct he_value *const *values, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        if (values[k] && values[k]->shape.rank > HE_MAX_RANK &&
            values[k]->shape.rank != HE_RANK_UNKNOWN)
            return true;
    }
    return false;
}

void he_op_work(const struct he_node *node, const struct he_value *const *inputs,
                const struct he_value *const *outputs, struct he_work *out)
{
    const struct he_op *op = he_op_find(node->domain, node->op);
    const struct he_value *padded_in[HE_RULE_SLOTS] = { NULL };
    const struct he_value *padded_out[HE_RULE_SLOTS] = { NULL };

    *out = (struct he_work){ .work_class = op ? op->work_class : HE_WORK_ELEMENTWISE };
    if (out->work_class == HE_WORK_NONE)
        return;
    if (has_bad_rank(inputs, node->input_count) ||
        has_bad_rank(outputs, node->output_count)) {
        out->is_estimate = true; /* he_op_infer() has refused it */
        return;
    }
    for (uint32_t k = 0; k < node->input_count; k++) {
        if (inputs[k] && (node->input_count > 64 || !is_repeated(inputs, k)))
            out->read_bytes += he_work_bytes(inputs[k], out);
    }
    for (uint32_t k = 0; k < node->output_count; k++)
        out->write_bytes += he_work_bytes(outputs[k], out);
    if (out->work_class != HE_WORK_MOVE && node->output_count > 0)
        out->flops = he_work_count(outputs[0], out);
    if (!op || !op->work)
        return;
    if (node->input_count < HE_RULE_SLOTS) {
        for (uint32_t k = 0; k < node->input_count; k++)
            padded_in[k] = inputs[k];
        inputs = padded_in;
    }
    if (node->output_count < HE_RULE_SLOTS) {
        for (uint32_t k = 0; k < node->output_count; k++)
            padded_out[k] = outputs[k];
        outputs = padded_out;
    }
    op->work(node, inputs, outputs, out);
    /* Attributes that he_op_infer() refuses may make nonsense of the sum. */
    if (!(out->flops >= 0) || !(out->read_bytes >= 0) || !(out->write_bytes >= 0))
        *out = (struct he_work){ .work_class = out->work_class, .is_estimate = true };
}
