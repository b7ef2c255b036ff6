/* SPDX-License-Identifier: Apache-2.0 */
/* A small document with one of everything the reader and the writer know. */
#ifndef TESTS_SUPPORT_SAMPLE_MODEL_H
#define TESTS_SUPPORT_SAMPLE_MODEL_H

#include "model/model.h"

/* Static data, arena empty: to be written, compared with, never destroyed. */
const struct he_model *sample_model(void);

#endif
