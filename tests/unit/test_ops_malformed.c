/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every operator with inputs and attributes that make no sense: the rules may
 * refuse them, but never read beyond, overflow or crash. Built with
 * --enable-sanitizer=address,undefined this is where mistakes show. The seed is fixed.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "ops/ops.h"

#define ROUNDS 400
#define VALUES_MAX 20
#define ATTRS_MAX 6

static uint64_t state;
static bool is_tame; /* this round: values that might fit each other */
static enum he_dtype tame_dtype;
static uint32_t tame_rank;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(state >> 33) % below;
}

static int64_t draw_int(void)
{
    static const int64_t odd[] = { 0,  1,  2,  3,  4,  5,  8,        -1,       -2,
                                   -3, -9, 16, 17, 64, 97, INT64_MAX, INT64_MIN, INT32_MAX,
                                   (int64_t)1 << 32, (int64_t)1 << 62, -((int64_t)1 << 40) };

    return odd[draw(HE_COUNT(odd))];
}

/* Mostly small, so that rules get past their first check. */
static int64_t draw_dim(void)
{
    if (is_tame)
        return draw(3) ? HE_DIM_UNKNOWN : 1 + (int64_t)draw(4);
    switch (draw(12)) {
    case 0:
        return HE_DIM_UNKNOWN;
    case 1:
        return -2 - (int64_t)draw(3);
    case 2:
        return draw_int();
    case 3:
        return 0;
    default:
        return 1 + draw(6);
    }
}

static void draw_value(struct he_value *value)
{
    int64_t bytes;

    memset(value, 0, sizeof *value);
    value->name = "";
    value->producer = draw(3) ? HE_NONE : draw(4);
    value->dtype = draw(3) ? HE_FLOAT32 : (enum he_dtype)draw(HE_DTYPE_COUNT + 2);
    if (draw(3) == 0)
        value->dtype = HE_INT64;
    switch (draw(10)) {
    case 0:
        value->shape.rank = HE_RANK_UNKNOWN;
        break;
    case 1:
        value->shape.rank = draw(40); /* too many, perhaps */
        break;
    default:
        value->shape.rank = draw(6);
    }
    if (is_tame) {
        value->dtype = draw(9) ? tame_dtype : HE_DTYPE_NONE;
        value->shape.rank = draw(3) ? tame_rank : draw(3) ? HE_RANK_UNKNOWN : draw(3);
    }
    for (uint32_t k = 0; k < HE_MAX_RANK; k++)
        value->shape.dims[k] = draw_dim();
    if (value->shape.rank > HE_MAX_RANK)
        return;
    bytes = he_shape_bytes(&value->shape, value->dtype);
    if (draw(2) && bytes >= 0 && bytes <= 4096) {
        unsigned char *data = malloc((size_t)bytes + 1); /* at its end a sanitizer watches */

        ck_assert_ptr_nonnull(data);
        for (int64_t k = 0; k < bytes; k++)
            data[k] = draw(2) ? (unsigned char)draw(256) : 0;
        if (value->dtype == HE_INT64) {
            for (int64_t k = 0; k + 8 <= bytes; k += 8) {
                int64_t number = draw_int();

                memcpy(data + k, &number, sizeof number);
            }
        }
        value->data = data;
        value->data_bytes = draw(8) ? (size_t)bytes : draw((uint32_t)bytes + 1);
    } else if (draw(3) == 0) {
        value->has_known_ints = true;
        for (uint32_t k = 0; k < HE_MAX_RANK; k++)
            value->known_ints[k] = draw_dim();
    }
}

static void free_value(struct he_value *value)
{
    free((void *)(uintptr_t)value->data);
}

/* A body whose indices may point nowhere. */
struct body {
    struct he_graph graph;
    struct he_value values[8];
    struct he_node nodes[3];
    uint32_t indices[32];
};

static void draw_body(struct body *body)
{
    memset(body, 0, sizeof *body);
    for (uint32_t k = 0; k < 8; k++)
        draw_value(&body->values[k]);
    for (uint32_t k = 0; k < 32; k++)
        body->indices[k] = draw(9) ? draw(8) : HE_NONE;
    for (uint32_t k = 0; k < 3; k++)
        body->nodes[k] = (struct he_node){
            .name = "", .op = draw(3) ? "Identity" : "Add", .domain = "", .opset = 13,
            .inputs = body->indices + 2 * k, .outputs = body->indices + 2 * k + 1,
            .input_count = 1, .explicit_input_count = 1, .output_count = 1,
        };
    body->graph.name = "";
    body->graph.values = body->values;
    body->graph.value_count = 8;
    body->graph.nodes = body->nodes;
    body->graph.node_count = draw(4);
    body->graph.inputs = body->indices + 8;
    body->graph.input_count = draw(8);
    body->graph.outputs = body->indices + 16;
    body->graph.output_count = draw(8);
}

static const struct {
    const char *name;
    enum he_attr_kind kind;
} names[] = {
    { "axis", HE_ATTR_INT }, { "axes", HE_ATTR_INTS }, { "perm", HE_ATTR_INTS },
    { "pads", HE_ATTR_INTS }, { "paddings", HE_ATTR_INTS }, { "strides", HE_ATTR_INTS },
    { "dilations", HE_ATTR_INTS }, { "kernel_shape", HE_ATTR_INTS }, { "group", HE_ATTR_INT },
    { "auto_pad", HE_ATTR_STRING }, { "ceil_mode", HE_ATTR_INT },
    { "output_shape", HE_ATTR_INTS }, { "output_padding", HE_ATTR_INTS },
    { "split", HE_ATTR_INTS }, { "num_outputs", HE_ATTR_INT }, { "starts", HE_ATTR_INTS },
    { "ends", HE_ATTR_INTS }, { "shape", HE_ATTR_INTS }, { "to", HE_ATTR_INT },
    { "value", HE_ATTR_TENSOR }, { "value_ints", HE_ATTR_INTS }, { "value_int", HE_ATTR_INT },
    { "keepdims", HE_ATTR_INT }, { "k", HE_ATTR_INT }, { "blocksize", HE_ATTR_INT },
    { "scales", HE_ATTR_FLOATS }, { "height_scale", HE_ATTR_FLOAT },
    { "width_scale", HE_ATTR_FLOAT }, { "mode", HE_ATTR_STRING }, { "equation", HE_ATTR_STRING },
    { "direction", HE_ATTR_STRING }, { "hidden_size", HE_ATTR_INT }, { "layout", HE_ATTR_INT },
    { "then_branch", HE_ATTR_GRAPH }, { "else_branch", HE_ATTR_GRAPH }, { "body", HE_ATTR_GRAPH },
    { "num_scan_inputs", HE_ATTR_INT }, { "scan_input_axes", HE_ATTR_INTS },
    { "scan_output_axes", HE_ATTR_INTS }, { "q_num_heads", HE_ATTR_INT },
    { "kv_num_heads", HE_ATTR_INT }, { "batch_dims", HE_ATTR_INT }, { "broadcast", HE_ATTR_INT },
    { "transA", HE_ATTR_INT }, { "transB", HE_ATTR_INT }, { "dtype", HE_ATTR_INT },
    { "sample_size", HE_ATTR_INT }, { "size", HE_ATTR_INT }, { "start", HE_ATTR_INT },
    { "end", HE_ATTR_INT }, { "allowzero", HE_ATTR_INT },
    { "keep_aspect_ratio_policy", HE_ATTR_STRING },
    { "coordinate_transformation_mode", HE_ATTR_STRING }, { "onesided", HE_ATTR_INT },
    { "inverse", HE_ATTR_INT }, { "reduction", HE_ATTR_STRING }, { "pooled_shape", HE_ATTR_INTS },
    { "output_height", HE_ATTR_INT }, { "output_width", HE_ATTR_INT },
    { "ngram_indexes", HE_ATTR_INTS }, { "block_size", HE_ATTR_INT },
    { "output_dtype", HE_ATTR_INT }, { "num_groups", HE_ATTR_INT }, { "stash_type", HE_ATTR_INT },
    { "noop_with_empty_axes", HE_ATTR_INT }, { "sampling_ratio", HE_ATTR_INT },
    { "spatial", HE_ATTR_INT },
};

static const char *const words[] = {
    "", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "forward", "bidirectional", "none", "sum",
    "ij,jk->ik", "...ij,...jk->...ik", "i", "->", "ij->ij,", "...", "....", "Zz", "linear",
    "cubic", "not_larger", "not_smaller", "stretch", "tf_crop_and_resize", "FLOAT",
};

struct draft {
    struct he_node node;
    struct he_value values[VALUES_MAX], outs[VALUES_MAX];
    const struct he_value *in[VALUES_MAX];
    struct he_value *out[VALUES_MAX];
    struct he_attr attrs[ATTRS_MAX];
    struct he_value tensors[ATTRS_MAX];
    struct body bodies[2];
    uint32_t indices[VALUES_MAX];
    int64_t *ints[ATTRS_MAX];
    float *floats[ATTRS_MAX];
};

static void draw_attr(struct draft *d, uint32_t k)
{
    struct he_attr *attr = &d->attrs[k];
    const char *const *word = words;

    uint32_t which = draw(HE_COUNT(names));

    attr->name = names[which].name;
    attr->kind = draw(16) ? names[which].kind : (enum he_attr_kind)draw(HE_ATTR_OTHER + 1);
    attr->i = draw_int();
    attr->f = draw(4) ? (float)draw(8) / 2 : -INFINITY;
    attr->s = words[draw(HE_COUNT(words))];
    attr->s_bytes = strlen(attr->s);
    attr->count = draw(20);
    d->ints[k] = malloc((attr->count + 2) * sizeof *d->ints[k]);
    d->floats[k] = malloc((attr->count + 1) * sizeof *d->floats[k]);
    ck_assert(d->ints[k] && d->floats[k]);
    for (size_t j = 0; j < attr->count; j++) {
        d->ints[k][j] = draw(2) ? (int64_t)draw(5) : draw_int();
        d->floats[k][j] = draw(4) ? (float)draw(5) : NAN;
    }
    attr->ints = attr->kind == HE_ATTR_INTS ? d->ints[k] : NULL;
    attr->floats = attr->kind == HE_ATTR_FLOATS ? d->floats[k] : NULL;
    attr->strings = attr->kind == HE_ATTR_STRINGS ? word : NULL;
    draw_value(&d->tensors[k]);
    attr->tensor = attr->kind == HE_ATTR_TENSOR ? &d->tensors[k] : NULL;
    if (attr->kind == HE_ATTR_GRAPH && draw(8))
        attr->graph = &d->bodies[draw(2)].graph;
}

/* Without these a rule gives up at once. */
static const struct {
    const char *op, *attr;
    enum he_attr_kind kind;
} needed[] = {
    { "LinearAttention", "kv_num_heads", HE_ATTR_INT },
    { "LinearAttention", "q_num_heads", HE_ATTR_INT },
    { "MaxRoiPool", "pooled_shape", HE_ATTR_INTS },
    { "GroupNormalization", "num_groups", HE_ATTR_INT },
    { "LRN", "size", HE_ATTR_INT },
    { "Cast", "to", HE_ATTR_INT },
    { "BitCast", "to", HE_ATTR_INT },
    { "DepthToSpace", "blocksize", HE_ATTR_INT },
    { "SpaceToDepth", "blocksize", HE_ATTR_INT },
    { "Einsum", "equation", HE_ATTR_STRING },
    { "Concat", "axis", HE_ATTR_INT },
    { "Constant", "value_int", HE_ATTR_INT },
    { "RandomNormal", "shape", HE_ATTR_INTS },
    { "RandomUniform", "shape", HE_ATTR_INTS },
};

static void name_needed(struct draft *d, const struct he_op *op)
{
    uint32_t k = 0;

    for (size_t j = 0; j < HE_COUNT(needed); j++) {
        struct he_attr *attr = &d->attrs[k];

        if (strcmp(needed[j].op, op->name) != 0 || draw(4) == 0)
            continue;
        *attr = (struct he_attr){ .name = needed[j].attr, .kind = needed[j].kind,
                                  .i = 1 + (int64_t)draw(3), .s = attr->s,
                                  .s_bytes = attr->s_bytes, .count = 2, .ints = d->ints[k] };
        d->ints[k][0] = 1 + (int64_t)draw(3);
        d->ints[k][1] = draw(20) ? 2 : draw_int();
        k++;
    }
    if (d->node.attr_count < k)
        d->node.attr_count = k;
}

/* Control flow needs its bodies to get anywhere. */
static void name_bodies(struct draft *d, const struct he_op *op)
{
    if (op->access != HE_ACCESS_CONTROL || draw(10) == 0)
        return;
    for (int k = 0; k < 2; k++) {
        d->attrs[k].name = strcmp(op->name, "If") ? k ? "num_scan_inputs" : "body"
                           : k                    ? "else_branch"
                                                  : "then_branch";
        d->attrs[k].kind = k && strcmp(op->name, "If") ? HE_ATTR_INT : HE_ATTR_GRAPH;
        d->attrs[k].i = draw(4);
        d->attrs[k].graph = &d->bodies[k].graph;
    }
    if (d->node.attr_count < 2)
        d->node.attr_count = 2;
}

static void check_answer(const struct he_op *op, const struct draft *d, he_status status)
{
    struct he_work work;

    if (status != HE_OK) {
        ck_assert_msg(status == HE_ERR_SHAPE || status == HE_ERR_UNSUPPORTED, "%s: status %d",
                      op->name, status);
        ck_assert_msg(strstr(he_error_message(), op->name) != NULL, "%s is not named in \"%s\"",
                      op->name, he_error_message());
    }
    for (uint32_t k = 0; status == HE_OK && k < d->node.output_count; k++) {
        const struct he_shape *shape = d->out[k] ? &d->out[k]->shape : NULL;

        if (!shape || shape->rank == HE_RANK_UNKNOWN)
            continue;
        ck_assert_msg(shape->rank <= HE_MAX_RANK, "%s: rank %u", op->name, shape->rank);
        ck_assert_msg(!he_shape_is_static(shape) || he_shape_count(shape) >= 0,
                      "%s: a size that overflows", op->name);
        ck_assert_msg(!d->out[k]->has_known_ints ||
                          ((d->out[k]->dtype == HE_INT64 || d->out[k]->dtype == HE_INT32 ||
                            d->out[k]->dtype == HE_BOOL) &&
                           he_shape_count(shape) >= 0 &&
                           he_shape_count(shape) <= HE_MAX_RANK),
                      "%s: contents without a place", op->name);
    }
    he_op_work(&d->node, d->in, (const struct he_value *const *)d->out, &work);
    ck_assert_msg(work.flops >= 0 && work.read_bytes >= 0 && work.write_bytes >= 0,
                  "%s: work %g, %g, %g", op->name, work.flops, work.read_bytes, work.write_bytes);
}

static bool try_node(const struct he_op *op)
{
    struct draft *d = calloc(1, sizeof *d);
    uint32_t most = op->max_inputs == 255 ? VALUES_MAX : op->max_inputs + 1u;
    uint32_t outs = op->max_outputs == 255 ? VALUES_MAX : op->max_outputs + 1u;
    uint32_t inputs;
    he_status status;

    ck_assert_ptr_nonnull(d);
    is_tame = draw(2) == 0;
    tame_dtype = draw(2) ? HE_FLOAT32 : draw(2) ? HE_INT64 : HE_BOOL;
    tame_rank = draw(5);
    inputs = draw(4) ? op->min_inputs + draw(most - op->min_inputs + 1) : draw(most + 1);
    if (op->max_inputs == 255 && draw(2))
        inputs = op->min_inputs + draw(3);
    inputs = inputs < VALUES_MAX ? inputs : VALUES_MAX;
    d->node = (struct he_node){ .name = "", .op = op->name, .domain = op->domain,
                                .opset = draw(8) ? op->versions[0] + (int)draw(28)
                                                 : (int)draw(30),
                                .inputs = d->indices, .outputs = d->indices, .attrs = d->attrs };
    draw_body(&d->bodies[0]);
    draw_body(&d->bodies[1]);
    for (uint32_t k = 0; k < VALUES_MAX; k++) {
        draw_value(&d->values[k]);
        d->in[k] = draw(12) ? &d->values[k] : NULL;
        d->out[k] = draw(8) ? &d->outs[k] : NULL;
    }
    d->node.input_count = inputs;
    d->node.explicit_input_count = draw(20) ? inputs : draw(inputs + 2);
    d->node.output_count = draw(outs) + (outs > 1 ? draw(2) : 1);
    d->node.attr_count = draw(ATTRS_MAX + 1);
    for (uint32_t k = 0; k < ATTRS_MAX; k++)
        draw_attr(d, k);
    name_needed(d, op);
    name_bodies(d, op);
    status = he_op_infer(&d->node, d->in, d->out);
    check_answer(op, d, status);
    for (uint32_t k = 0; k < VALUES_MAX; k++)
        free_value(&d->values[k]);
    for (uint32_t k = 0; k < ATTRS_MAX; k++) {
        free_value(&d->tensors[k]);
        free(d->ints[k]);
        free(d->floats[k]);
    }
    for (uint32_t k = 0; k < 8; k++) {
        free_value(&d->bodies[0].values[k]);
        free_value(&d->bodies[1].values[k]);
    }
    free(d);
    return status == HE_OK;
}

START_TEST(a_malformed_node_is_refused_or_answered)
{
    const struct he_op *op = he_op_at((size_t)_i);
    unsigned answered = 0;

    state = 88172645463325252ull + (uint64_t)_i;
    for (int round = 0; round < ROUNDS; round++)
        answered += try_node(op);
    /* The drawing is not so wild that nothing gets to the end of a rule. */
    ck_assert_msg(answered > 0, "%s refused everything", op->name);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops_malformed");
    TCase *tc = tcase_create("malformed");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_malformed_node_is_refused_or_answered, 0, (int)he_op_count());
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
