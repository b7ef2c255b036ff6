/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shape rules, one line each. An expectation that begins with "!" is a part of the
 * error sentence (one "!" for each output asked for); otherwise it is the outputs
 * (support/ops_text.h has the notation).
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "ops/ops.h"
#include "support/ops_text.h"

static const struct rule_case {
    const char *what, *op;
    int opset;
    const char *attrs, *inputs, *expect;
} cases[] = {
    /* --- broadcasting --- */
    { "the same shape", "Add", 13, "", "f[2,3] f[2,3]", "f[2,3]" },
    { "ones and missing axes stretch", "Add", 13, "", "f[4,1,3] f[2,1]", "f[4,2,3]" },
    { "a symbol and a one", "Add", 13, "", "f[n,1] f[1,4]", "f[n,4]" },
    { "equal symbols", "Add", 13, "", "f[n] f[n]", "f[n]" },
    { "a symbol against a number can only be that or one", "Add", 13, "", "f[n] f[4]", "f[4]" },
    { "two symbols: who knows", "Add", 13, "", "f[n] f[m]", "f[?]" },
    { "an unknown rank spreads", "Add", 13, "", "f[...] f[4]", "f[...]" },
    { "what does not fit is named", "Add", 13, "", "f[2,3] f[4]",
      "!Add: A [2,3] and B [4] do not broadcast" },
    { "types must agree", "Add", 13, "", "f[2] i[2]", "!types differ: A is float32, B is int64" },
    { "old broadcast by axis", "Add", 6, "broadcast=1 axis=1", "f[2,3,4] f[3]", "f[2,3,4]" },
    { "old broadcast of a suffix", "Add", 6, "broadcast=1", "f[2,3,4] f[3,4]", "f[2,3,4]" },
    { "old broadcast checks", "Add", 6, "broadcast=1 axis=1", "f[2,3,4] f[4]", "!does not fit" },
    { "old broadcast is off", "Add", 6, "", "f[2,3] f[3]", "!broadcast is off" },
    { "powers have any exponent", "Pow", 13, "", "f[2] i[1]", "f[2]" },
    { "comparisons give bool", "Less", 13, "", "f[2,1] f[3]", "b[2,3]" },
    { "logic takes bool", "And", 13, "", "f[2] f[2]", "!bool was expected" },
    { "many inputs", "Max", 13, "", "f[3,1] f[1,2] f[1]", "f[3,2]" },
    { "where", "Where", 16, "", "b[2,1] f[3] f[1]", "f[2,3]" },
    { "a slope stretches to the input only", "PRelu", 16, "", "f[3] f[2,3]", "!slope [2,3]" },

    /* --- arithmetic on shapes --- */
    { "a shape is known", "Shape", 13, "", "f[n,3,?]", "i[3]<n,3,?>" },
    { "a part of it", "Shape", 15, "start=1 end=-1", "f[n,3,4,5]", "i[2]<3,4>" },
    { "a shape of unknown rank", "Shape", 13, "", "f[...]", "i[?]" },
    { "size", "Size", 13, "", "f[2,3,4]", "i[]<24>" },
    { "size of the open", "Size", 13, "", "f[2,n]", "i[]<?>" },
    { "picked from a shape", "Gather", 13, "", "i[3]<n,3,4> i[]{0}", "i[]<n>" },
    { "from its end", "Gather", 13, "", "i[3]<n,3,4> i[2]{-1,0}", "i[2]<4,n>" },
    { "outside of it", "Gather", 13, "", "i[3]<n,3,4> i[]{3}", "!index 3 is outside a list of 3" },
    { "sliced", "Slice", 13, "", "i[4]<n,3,4,5> i[1]{1} i[1]{3}", "i[2]<3,4>" },
    { "sliced backwards", "Slice", 13, "",
      "i[3]<n,3,4> i[1]{-1} i[1]{-9223372036854775808} i[1]{0} i[1]{-1}", "i[3]<4,3,n>" },
    { "joined", "Concat", 13, "axis=0", "i[1]<n> i[1]{7} i[2]<3,?>", "i[4]<n,7,3,?>" },
    { "a literal -1 is no size", "Concat", 13, "axis=0", "i[1]<n> i[1]{-1}", "i[2]<n,?>" },
    { "lifted", "Unsqueeze", 13, "", "i[]<n> i[1]{0}", "i[1]<n>" },
    { "and lowered", "Squeeze", 11, "axes=[0]", "i[1]<n>", "i[]<n>" },
    { "cast to int32 and back", "Cast", 13, "to=6", "i[2]<n,7>", "j[2]<n,7>" },
    { "cast to int32 what does not fit", "Cast", 13, "to=6", "i[2]{7,5000000000}", "j[2]<7,?>" },
    { "cast to float loses it", "Cast", 13, "to=1", "i[1]<n>", "f[1]" },
    { "int32 arithmetic that wraps", "Mul", 13, "", "j[2]{70000,3} j[]{70000}", "j[2]<?,210000>" },
    { "a size is not negative", "Equal", 13, "", "i[4]<n,?,m,3> i[]{-1}", "b[4]<0,?,0,0>" },
    { "a size is itself", "Equal", 13, "", "i[3]<n,?,m> i[3]<n,?,n>", "b[3]<1,?,?>" },
    { "where it is known which", "Where", 16, "", "b[3]<0,1,?> i[3]{1,1,1} i[3]<n,m,k>",
      "i[3]<n,1,?>" },
    { "a product of sizes", "ReduceProd", 13, "", "i[3]<2,n,1>", "i[1]<?>" },
    { "a product of known sizes", "ReduceProd", 13, "keepdims=0", "i[3]<2,3,4>", "i[]<24>" },
    { "a product of one size", "ReduceProd", 13, "keepdims=0", "i[2]<1,n>", "i[]<n>" },
    { "cast to itself", "Cast", 13, "to=7", "i[1]<n>", "i[1]<n>" },
    { "int32 constants become int64 ones", "Cast", 13, "to=7", "j[2]{3,-1}", "i[2]<3,?>" },
    { "plus", "Add", 13, "", "i[2]<3,n> i[2]{4,0}", "i[2]<7,n>" },
    { "a symbol plus one is nobody we know", "Add", 13, "", "i[1]<n> i[1]{1}", "i[1]<?>" },
    { "minus itself", "Sub", 13, "", "i[1]<n> i[1]<n>", "i[1]<0>" },
    { "unknown minus unknown", "Sub", 13, "", "i[1]<?> i[1]<?>", "i[1]<?>" },
    { "negative results are not sizes", "Sub", 13, "", "i[]{2} i[]{3}", "i[]<?>" },
    { "times", "Mul", 13, "", "i[3]<n,2,?> i[3]{1,3,0}", "i[3]<n,6,0>" },
    { "divided", "Div", 13, "", "i[2]<7,n> i[]{2}", "i[2]<3,?>" },
    { "divided by nothing", "Div", 13, "", "i[1]<7> i[1]{0}", "i[1]<?>" },
    { "overflow is unknown, not wrong", "Mul", 13, "", "i[]{9223372036854775807} i[]{2}",
      "i[]<?>" },
    { "negation forgets", "Neg", 13, "", "i[1]<3>", "i[1]" },
    { "where both sides agree", "Where", 16, "", "b[2] i[2]<n,3> i[2]<n,4>", "i[2]<n,?>" },
    { "a filled list", "ConstantOfShape", 13, "value=i[1]{2}", "i[1]{3}", "i[3]<2,2,2>" },
    { "an expanded number", "Expand", 13, "", "i[1]<n> i[1]{2}", "i[2]<n,n>" },
    { "counting", "Range", 13, "", "i[]{1} i[]{6} i[]{2}", "i[3]<1,3,5>" },

    /* --- views --- */
    { "a known shape", "Reshape", 13, "", "f[2,3,4] i[2]{6,4}", "f[6,4]" },
    { "zero copies, minus one takes the rest", "Reshape", 13, "", "f[2,3,4] i[2]{0,-1}",
      "f[2,12]" },
    { "a symbol survives", "Reshape", 13, "", "f[n,3,4] i[2]<n,12>", "f[n,12]" },
    { "a symbol cancels", "Reshape", 13, "", "f[n,3,4] i[2]<n,?>", "f[n,12]" },
    { "a symbol is the rest", "Reshape", 13, "", "f[n,3,4] i[2]{-1,12}", "f[n,12]" },
    { "no single symbol is", "Reshape", 13, "", "f[n,m,4] i[2]{-1,4}", "f[?,4]" },
    { "only the rank is known", "Reshape", 13, "", "f[2,3] i[3]", "f[?,?,?]" },
    { "nothing is known", "Reshape", 13, "", "f[2,3] i[?]", "f[...]" },
    { "counts must agree", "Reshape", 13, "", "f[2,3] i[2]{4,2}",
      "![2,3] has 6 elements, the new shape [4,2] has 8" },
    { "the rest must divide", "Reshape", 13, "", "f[2,3] i[2]{4,-1}", "!does not divide" },
    { "one -1 is enough", "Reshape", 13, "", "f[2,3] i[2]{-1,-1}", "!more than once" },
    { "nothing to copy", "Reshape", 13, "", "f[6] i[2]{6,0}", "!copied from the input" },
    { "empty with allowzero", "Reshape", 14, "allowzero=1", "f[0,3,4] i[3]{3,4,0}", "f[3,4,0]" },
    { "zero is a copy without", "Reshape", 14, "", "f[0,3,4] i[2]{0,-1}", "f[0,12]" },
    { "old: an attribute", "Reshape", 1, "shape=[6,-1]", "f[2,3,4]", "f[6,4]" },
    { "flatten", "Flatten", 13, "axis=2", "f[2,3,4,5]", "f[6,20]" },
    { "flatten from the end", "Flatten", 13, "axis=-1", "f[2,3,4,5]", "f[24,5]" },
    { "flatten at an edge", "Flatten", 13, "axis=0", "f[2,3]", "f[1,6]" },
    { "flatten a symbol", "Flatten", 13, "", "f[n,3,4]", "f[n,12]" },
    { "squeeze all ones", "Squeeze", 11, "", "f[1,3,1]", "f[3]" },
    { "squeeze what may be one", "Squeeze", 11, "", "f[n,3,1]", "f[...]" },
    { "squeeze by input", "Squeeze", 13, "", "f[1,3,1] i[1]{-1}", "f[1,3]" },
    { "squeeze what is not one", "Squeeze", 13, "", "f[1,3,1] i[1]{1}", "!axis 1 of [1,3,1]" },
    { "squeeze somewhere", "Squeeze", 13, "", "f[1,3,1] i[1]", "f[?,?]" },
    { "unsqueeze counts axes of the output", "Unsqueeze", 11, "axes=[0,-1]", "f[3]", "f[1,3,1]" },
    { "unsqueeze twice", "Unsqueeze", 13, "", "f[3] i[2]{0,0}", "!axis 0 is listed twice" },
    { "transpose", "Transpose", 13, "perm=[2,0,1]", "f[n,3,4]", "f[4,n,3]" },
    { "transpose reverses", "Transpose", 13, "", "f[2,3,4]", "f[4,3,2]" },
    { "transpose wrongly", "Transpose", 13, "perm=[0,0,1]", "f[2,3,4]", "!perm[1] is 0" },
    { "expand both ways", "Expand", 13, "", "f[3,1] i[3]{2,1,4}", "f[2,3,4]" },
    { "expand to a symbol", "Expand", 13, "", "f[1,3] i[2]<n,1>", "f[n,3]" },
    { "cast", "Cast", 13, "to=10", "f[2,n]", "h[2,n]" },
    { "cast by name", "Cast", 1, "to=INT32", "f[2]", "j[2]" },
    { "cast to nothing", "Cast", 13, "to=99", "f[2]", "!names no type" },

    /* --- cutting and joining --- */
    { "slice", "Slice", 13, "", "f[5,6] i[1]{1} i[1]{4} i[1]{1} i[1]{2}", "f[5,2]" },
    { "slice clamps", "Slice", 13, "", "f[5] i[1]{-100} i[1]{100}", "f[5]" },
    { "slice backwards", "Slice", 13, "", "f[5] i[1]{-1} i[1]{-100} i[1]{0} i[1]{-2}", "f[3]" },
    { "slice nothing", "Slice", 13, "", "f[5] i[1]{3} i[1]{3}", "f[0]" },
    { "slice an empty axis backwards", "Slice", 13, "",
      "f[0] i[1]{-1} i[1]{-100} i[1]{0} i[1]{-1}", "f[0]" },
    { "slice keeps a whole symbol", "Slice", 13, "", "f[n,4] i[1]{0} i[1]{9223372036854775807}",
      "f[n,4]" },
    { "slice keeps it up to a large number", "Slice", 13, "", "f[n] i[1]{0} i[1]{1000000000}",
      "f[n]" },
    { "slice to itself", "Slice", 13, "", "f[n,4] i[1]{0} i[1]<n>", "f[n,4]" },
    { "slice part of a symbol", "Slice", 13, "", "f[n,4] i[1]{1} i[1]{9223372036854775807}",
      "f[?,4]" },
    { "slice by attributes", "Slice", 9, "starts=[0,1] ends=[2,-1] axes=[0,1]", "f[5,6]",
      "f[2,4]" },
    { "slice who knows where", "Slice", 13, "", "f[5,6] i[1] i[1]", "f[?,6]" },
    { "slice twice", "Slice", 13, "", "f[5,6] i[2]{0,0} i[2]{1,1} i[2]{1,-1}", "!sliced twice" },
    { "step 0", "Slice", 13, "", "f[5] i[1]{0} i[1]{1} i[1]{0} i[1]{0}", "!steps[0] is 0" },
    { "concat", "Concat", 13, "axis=1", "f[2,3] f[2,n] f[?,4]", "f[2,?]" },
    { "concat adds", "Concat", 13, "axis=-1", "f[n,3] f[n,4]", "f[n,7]" },
    { "concat takes what others know", "Concat", 13, "axis=0", "f[2,?] f[3,5]", "f[5,5]" },
    { "concat what does not fit", "Concat", 13, "axis=0", "f[2,3] f[2,4]",
      "!input 1 is [2,4], those before it are [?,3]" },
    { "split evenly", "Split", 13, "axis=1", "f[2,6] -", "f[2,3] f[2,3]" },
    { "split unevenly", "Split", 18, "num_outputs=2", "f[5]", "f[3] f[2]" },
    { "split uneven before 18", "Split", 13, "", "f[5]", "!!does not divide" },
    { "split by sizes", "Split", 13, "", "f[5] i[2]{4,1}", "f[4] f[1]" },
    { "split by wrong sizes", "Split", 13, "", "f[5] i[2]{4,4}", "!!add up to 8" },
    { "split a symbol", "Split", 13, "axis=1", "f[n,m]", "f[n,?] f[n,?]" },
    { "split a shape", "Split", 13, "", "i[4]<n,3,4,5> i[2]{1,3}", "i[1]<n> i[3]<3,4,5>" },
    { "pad", "Pad", 13, "", "f[2,3] i[4]{0,1,0,2}", "f[2,6]" },
    { "crop", "Pad", 13, "", "f[2,3] i[4]{0,-1,0,-1}", "f[2,1]" },
    { "crop too much", "Pad", 13, "", "f[2,3] i[4]{0,-2,0,-2}", "!do not fit axis 1" },
    { "pad some axes", "Pad", 18, "", "f[2,n] i[2]{1,1} - i[1]{0}", "f[4,n]" },
    { "pad by attribute", "Pad", 2, "pads=[1,0,1,0]", "f[2,3]", "f[4,3]" },
    { "pad, first spelling", "Pad", 1, "paddings=[1,0,1,0]", "f[2,3]", "f[4,3]" },
    { "tile", "Tile", 13, "", "f[2,n] i[2]{3,1}", "f[6,n]" },
    { "tile by a symbol", "Tile", 13, "", "f[1,3] i[2]<n,1>", "f[n,3]" },
    { "depth to space", "DepthToSpace", 13, "blocksize=2", "f[n,8,3,4]", "f[n,2,6,8]" },
    { "space to depth", "SpaceToDepth", 13, "blocksize=2", "f[1,2,6,8]", "f[1,8,3,4]" },
    { "what does not divide", "SpaceToDepth", 13, "blocksize=4", "f[1,2,6,8]", "!axis 2" },

    /* --- indices --- */
    { "gather rows", "Gather", 13, "", "f[100,8] i[n,5]", "f[n,5,8]" },
    { "gather along an axis", "Gather", 13, "axis=1", "f[2,3,4] i[]", "f[2,4]" },
    { "gather by floats", "Gather", 13, "", "f[2,3] f[1]", "!integers were expected" },
    { "gather elements", "GatherElements", 13, "", "f[5,6] i[2,3]", "f[2,3]" },
    { "gather deep", "GatherND", 13, "", "f[2,3,4] i[5,2]", "f[5,4]" },
    { "gather in batches", "GatherND", 13, "batch_dims=1", "f[2,3,4] i[2,1]", "f[2,4]" },
    { "scatter", "ScatterND", 13, "", "f[4,5] i[2,1] f[2,5]", "f[4,5]" },
    { "top k", "TopK", 11, "", "f[2,9] i[1]{3}", "f[2,3] i[2,3]" },
    { "top too many", "TopK", 11, "", "f[2,9] i[1]{10}", "!k is 10" },
    { "top k of old", "TopK", 1, "k=2 axis=0", "f[9]", "f[2] i[2]" },
    { "how many is a matter of data", "NonZero", 13, "", "f[2,3]", "i[2,?]" },
    { "one-hot rows", "OneHot", 11, "", "i[n] i[]{5} f[2]", "f[n,5]" },
    { "one-hot columns", "OneHot", 11, "axis=0", "i[n] f[1]{5} f[2]", "f[5,n]" },

    /* --- products --- */
    { "matrices", "MatMul", 13, "", "f[2,3] f[3,4]", "f[2,4]" },
    { "batches broadcast", "MatMul", 13, "", "f[n,1,2,3] f[5,3,4]", "f[n,5,2,4]" },
    { "vectors", "MatMul", 13, "", "f[3] f[3]", "f[]" },
    { "a row", "MatMul", 13, "", "f[3] f[2,3,4]", "f[2,4]" },
    { "inner dimensions differ", "MatMul", 13, "", "f[2,3] f[4,5]",
      "!MatMul: inner dimensions 3 and 4 differ (A is [2,3], B is [4,5])" },
    { "integer products", "MatMulInteger", 10, "", "u[2,3] c[3,4]", "j[2,4]" },
    { "Gemm", "Gemm", 13, "transB=1", "f[n,3] f[4,3] f[4]", "f[n,4]" },
    { "Gemm with a wrong bias", "Gemm", 13, "", "f[2,3] f[3,4] f[2,2]", "!C [2,2]" },
    { "Gemm may not grow by its bias", "Gemm", 13, "", "f[1,3] f[3,4] f[2,4]", "!C [2,4]" },
    { "einsum", "Einsum", 12, "equation=bij,bjk->bik", "f[n,2,3] f[n,3,4]", "f[n,2,4]" },
    { "einsum with dots", "Einsum", 12, "equation=...ij,...jk->...ik", "f[5,2,3] f[3,4]",
      "f[5,2,4]" },
    { "einsum without an arrow", "Einsum", 12, "equation=ba", "f[2,3]", "f[3,2]" },
    { "einsum that clashes", "Einsum", 12, "equation=ij,jk->ik", "f[2,3] f[4,5]",
      "!j is 3 and 4" },
    { "einsum with too few letters", "Einsum", 12, "equation=i->i", "f[2,3]", "!1 letters" },

    /* --- windows --- */
    { "valid", "Conv", 13, "", "f[n,3,10,10] f[8,3,3,3]", "f[n,8,8,8]" },
    { "padded and strided", "Conv", 13, "pads=[1,1,1,1] strides=[2,2]", "f[1,3,10,11] f[8,3,3,3]",
      "f[1,8,5,6]" },
    { "dilated", "Conv", 13, "dilations=[2,2]", "f[1,3,10,10] f[8,3,3,3]", "f[1,8,6,6]" },
    { "same keeps symbols", "Conv", 13, "auto_pad=SAME_UPPER", "f[1,3,h,w] f[8,3,3,3]",
      "f[1,8,h,w]" },
    { "same by explicit pads keeps symbols", "Conv", 13, "pads=[1,1,1,1]", "f[1,3,h,w] f[8,3,3,3]",
      "f[1,8,h,w]" },
    { "same with a stride", "Conv", 13, "auto_pad=SAME_LOWER strides=[3,3]",
      "f[1,3,10,9] f[8,3,3,3]", "f[1,8,4,3]" },
    { "groups", "Conv", 13, "group=3", "f[1,3,5] f[6,1,5]", "f[1,6,1]" },
    { "channels differ", "Conv", 13, "", "f[1,4,5] f[6,3,5]",
      "!X [1,4,5] has 4 channels, W [6,3,5] with group 1 takes 3" },
    { "the window is too large", "Conv", 13, "", "f[1,3,4] f[6,3,5]",
      "!the window (5) is larger than the padded input (4)" },
    { "pads that are too few", "Conv", 13, "pads=[1,1]", "f[1,3,9,9] f[6,3,5,5]",
      "!pads has 2 entries, 4 were expected" },
    { "kernel_shape lies", "Conv", 13, "kernel_shape=[3]", "f[1,3,9] f[6,3,5]", "!do not fit" },
    { "transposed", "ConvTranspose", 13, "strides=[2,2] output_padding=[1,1] pads=[1,1,1,1]",
      "f[1,8,5,5] f[8,4,3,3]", "f[1,4,10,10]" },
    { "transposed in groups", "ConvTranspose", 13, "group=2", "f[1,8,5] f[8,4,3]", "f[1,8,7]" },
    { "transposed to a given size", "ConvTranspose", 13, "output_shape=[12] strides=[2]",
      "f[1,8,5] f[8,4,3]", "f[1,4,12]" },
    { "transposed same", "ConvTranspose", 13, "auto_pad=SAME_UPPER strides=[2]",
      "f[1,8,5] f[8,4,3]", "f[1,4,10]" },
    { "pool", "MaxPool", 13, "kernel_shape=[2,2] strides=[2,2]", "f[1,4,7,8]",
      "f[1,4,3,4] i[1,4,3,4]" },
    { "pool, rounding up", "AveragePool", 13, "kernel_shape=[2] strides=[2] ceil_mode=1",
      "f[1,4,7]", "f[1,4,4]" },
    { "the last window begins inside", "AveragePool", 13,
      "kernel_shape=[2] strides=[3] ceil_mode=1", "f[1,1,6]", "f[1,1,2]" },
    { "global", "GlobalMaxPool", 13, "", "f[n,4,h,w]", "f[n,4,1,1]" },
    { "quantised", "QLinearConv", 10, "",
      "u[1,3,5] f[] u[] u[6,3,5] f[] u[] f[] u[]", "u[1,6,1]" },

    /* --- the rest --- */
    { "reduce all", "ReduceMean", 13, "keepdims=0", "f[2,3]", "f[]" },
    { "reduce some", "ReduceSum", 13, "", "f[n,3,4] i[1]{1}", "f[n,1,4]" },
    { "reduce by attribute", "ReduceSum", 11, "axes=[-1] keepdims=0", "f[n,3,4]", "f[n,3]" },
    { "reduce nothing", "ReduceSum", 13, "noop_with_empty_axes=1", "f[2,3]", "f[2,3]" },
    { "reduce somewhere", "ReduceMax", 18, "keepdims=0", "f[2,3,4] i[2]", "f[?]" },
    { "the largest's place", "ArgMax", 13, "axis=1 keepdims=0", "f[2,3]", "i[2]" },
    { "softmax", "Softmax", 13, "axis=2", "f[2,3]", "!axis 2 is outside a rank of 2" },
    { "layer norm and its statistics", "LayerNormalization", 17, "axis=-1", "f[2,n,8] f[8] f[8]",
      "f[2,n,8] f[2,n,1] f[2,n,1]" },
    { "batch norm", "BatchNormalization", 9, "", "f[1,3,4] f[4] f[3] f[3] f[3]", "!input 1 is [4]" },
    { "dropout's mask was a number", "Dropout", 7, "", "f[2]", "f[2] f[2]" },
    { "dropout's mask is a bool", "Dropout", 13, "", "f[2]", "f[2] b[2]" },
    { "resize by scales", "Resize", 11, "", "f[1,3,5,n] f[0]{} f[4]{1,1,2.5,2}", "f[1,3,12,?]" },
    { "resize by sizes", "Resize", 13, "", "f[1,3,5,5] - - i[4]<1,3,h,7>", "f[1,3,h,7]" },
    { "resize two axes", "Resize", 18, "axes=[2,3]", "f[1,3,5,5] - - i[2]{7,8}", "f[1,3,7,8]" },
    { "resize in proportion", "Resize", 18, "axes=[2,3] keep_aspect_ratio_policy=not_larger",
      "f[1,3,4,8] - - i[2]{6,6}", "f[1,3,3,6]" },
    { "resize by nothing", "Resize", 13, "", "f[1,3,5,5]", "!neither scales nor sizes" },
    { "upsample of old", "Upsample", 7, "scales=[1.0,1.0,2.0,2.0]", "f[1,3,5,5]", "f[1,3,10,10]" },
    { "LSTM", "LSTM", 14, "hidden_size=4 direction=bidirectional", "f[s,b,3] f[2,16,3] f[2,16,4]",
      "f[s,2,b,4] f[2,b,4] f[2,b,4]" },
    { "GRU, batch first", "GRU", 14, "hidden_size=4 layout=1", "f[b,s,3] f[1,12,3] f[1,12,4]",
      "f[b,s,1,4] f[b,1,4]" },
    { "an LSTM of other gates", "LSTM", 14, "", "f[s,b,3] f[1,12,3] f[1,16,4]", "!W is [1,12,3]" },
    { "quantise", "QuantizeLinear", 13, "", "f[2,3] f[] c[]", "c[2,3]" },
    { "quantise to what is usual", "QuantizeLinear", 13, "", "f[2,3] f[]", "u[2,3]" },
    { "dequantise to the scale's type", "DequantizeLinear", 19, "", "u[2,3] h[]", "h[2,3]" },
    { "attention, packed", "Attention", 23, "q_num_heads=4 kv_num_heads=2",
      "f[b,s,32] f[b,t,16] f[b,t,20]", "f[b,s,40]" },
    { "attention with a past", "Attention", 23, "", "f[1,4,3,8] f[1,2,5,8] f[1,2,5,6] - "
      "f[1,2,7,8] f[1,2,7,6]", "f[1,4,3,6] f[1,2,12,8] f[1,2,12,6] f[1,4,3,12]" },
    { "a constant", "Constant", 13, "value_ints=[3,-1]", "", "i[2]<3,?>" },
    { "a constant of nothing", "Constant", 13, "", "", "!no value" },

    /* --- what he_op_infer() checks for all --- */
    { "an operator without a row", "FancyConv", 13, "", "f[2]", "!FancyConv is not known" },
    { "an operator of tomorrow", "Gelu", 19, "", "f[2]",
      "!Gelu is in opset 20 and later, the model asks for 19" },
    { "too few inputs", "Conv", 13, "", "f[1,1,5]", "!1 inputs given, at least 2 needed" },
    { "too many inputs", "Relu", 13, "", "f[2] f[2]", "!at most 1 expected" },
    { "one that is needed", "Conv", 13, "", "- f[1,1,5]", "!input 0 must not be omitted" },
    { "more than memory holds", "Expand", 13, "", "f[1] i[3]{4000000000,4000000000,4000000000}",
      "!more than memory can hold" },
    { "an attribute of the wrong kind", "Conv", 13, "strides=2", "f[1,1,5] f[1,1,1]",
      "!Conv: attribute strides is of the wrong kind" },
    { "axes have become an input", "ReduceMax", 18, "axes=[0]", "f[2,3]",
      "!axes is an input since opset 18, not an attribute" },
    { "earlier for a sum", "ReduceSum", 13, "axes=[0]", "f[2,3]", "!since opset 13" },
    { "but not for its square", "ReduceSumSquare", 13, "axes=[0]", "f[2,3]", "f[1,3]" },
    { "overflow in a product", "Flatten", 13, "axis=2", "f[4294967296,4294967296,n]",
      "!overflows" },
    { "overflow in a sum", "Concat", 13, "axis=0", "f[9223372036854775807] f[1]", "!overflows" },
};

static uint32_t outputs_of(const char *expect)
{
    uint32_t count = 1;

    if (*expect == '!')
        return (uint32_t)strspn(expect, "!");
    for (; *expect; expect++)
        count += *expect == ' ';
    return count;
}

START_TEST(rules_match_the_table)
{
    const struct rule_case *c = &cases[_i];
    struct ops_text t;
    char found[512];
    he_status status;

    ops_text_init(&t, c->op, c->opset, c->attrs, c->inputs, outputs_of(c->expect));
    status = he_op_infer(&t.node, t.in, t.out);
    if (c->expect[0] == '!') {
        ck_assert_msg(status == HE_ERR_SHAPE || status == HE_ERR_UNSUPPORTED, "%s %s: status %d",
                      c->op, c->what, status);
        ck_assert_msg(strstr(he_error_message(), c->expect + strspn(c->expect, "!")) != NULL, "%s %s: says \"%s\"",
                      c->op, c->what, he_error_message());
    } else {
        ck_assert_msg(status == HE_OK, "%s %s: %s", c->op, c->what, he_error_message());
        ops_text_outputs(&t, found, sizeof found);
        ck_assert_msg(strcmp(found, c->expect) == 0, "%s %s: %s, expected %s", c->op, c->what,
                      found, c->expect);
    }
    ops_text_fini(&t);
}
END_TEST

/* A Split of one list into more pieces than the rules' padded arrays hold. */
START_TEST(a_split_has_any_number_of_outputs)
{
    struct ops_text t;
    char found[512];

    ops_text_init(&t, "Split", 13, "", "f[40]", 20);
    t.out[3] = NULL; /* nobody asked */
    ck_assert_msg(he_op_infer(&t.node, t.in, t.out) == HE_OK, "%s", he_error_message());
    ck_assert_int_eq(t.out[19]->shape.dims[0], 2);
    t.out[3] = t.out[2];
    ops_text_outputs(&t, found, sizeof found);
    ck_assert_uint_eq(strlen(found), 20 * 5 - 1);
    ops_text_fini(&t);
}
END_TEST

START_TEST(a_sequence_is_refused)
{
    struct ops_text t;

    ops_text_init(&t, "Identity", 16, "", "f[2]", 1);
    t.values[0].is_opaque = true;
    ck_assert_int_eq(he_op_infer(&t.node, t.in, t.out), HE_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(he_error_message(), "not a tensor"));
    ops_text_fini(&t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops_infer");
    TCase *tc = tcase_create("rules");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, rules_match_the_table, 0, HE_COUNT(cases));
    tcase_add_test(tc, a_split_has_any_number_of_outputs);
    tcase_add_test(tc, a_sequence_is_refused);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
