/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights that vary, for nets that come without: the light_* models of ONNX's
 * test data have one constant per tensor (ConstantOfShape), so that wrong
 * arithmetic often still gives the right answer. Here every such tensor is
 * filled from an integer hash of its name and index, scaled so that activations
 * neither vanish nor explode. Expected outputs for the nets with these weights
 * exist as rnd_*_output_0.pb.
 */
#ifndef TESTS_SUPPORT_RND_WEIGHTS_H
#define TESTS_SUPPORT_RND_WEIGHTS_H

#include "model/model.h"

/* CRC-32 (zlib's polynomial) of a name: the seed of its tensor. */
uint32_t rnd_seed(const char *name);
/* Element @index before scaling: in [-1, 1), exact in float32. */
float rnd_value(uint32_t seed, uint64_t index);

/* What the classifier's weight is multiplied by once more, from the name of the
 * file ("light_resnet50.onnx"); 1 for nets we do not know. */
double rnd_classifier_scale(const char *path);

/* Replaces the ConstantOfShape nodes of float32 by initializers, made in the
 * model's arena; shapes and inputs that are then of no use go. */
he_status rnd_weights_apply(struct he_model *model, double classifier_scale) HE_MUST_CHECK;

#endif
