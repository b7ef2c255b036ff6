/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole models as text, for tests of the passes. Statements end with a line or a ';':
 *
 *   opset 13
 *   in x f32[1,3,N,?]            names are symbols; f32[*] has no shape
 *   const w f32[8,3,3,3] rand    the same numbers each time, from -1 to 1
 *   const s i64[2] = 4,-1        or all of one value: = 3
 *   y = Conv<pads=[1,1,1,1], group=1>(x, w) @name
 *   z = If<then_branch={t = Neg(y); out t}, else_branch={e = Abs(y); out e}>(c)
 *   a,,b = my.Split(z,,s) ^11    left out: nothing between the commas; ^: opset of the node
 *   out z 4                      with a declared rank, or without
 *
 * An attribute is an int, a float (with a point), a list of ints, a "string" or a {graph}.
 * Types: f32 f64 i32 i64 b8 u8 i8 str. Text that is not as above ends the program.
 */
#ifndef TESTS_SUPPORT_MODEL_TEXT_H
#define TESTS_SUPPORT_MODEL_TEXT_H

#include "model/model.h"

/* Everything is in @arena, the struct's own arena stays unused; nothing to destroy. */
struct he_model *model_text(struct he_arena *arena, const char *text);

#endif
