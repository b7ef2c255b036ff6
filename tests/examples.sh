#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The examples do what their first lines say, on the model that comes with them.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
model=$top/examples/digits/digits.onnx
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME="$scratch/cache"

./examples/run_model "$model"
./examples/add_devices "$model" | tail -n 1
./examples/use_plan "$model" "$scratch/plan.json" | tail -n 1
[ "$(./examples/submit "$model")" = "8 of 8 requests done" ]
./hetero run -q -m "$model" -i "$top/examples/digits/input.npy" \
    --expect "$top/examples/digits/expected.npy" -d 'CPU:0(threads=1)' -o "$scratch/answers"
./examples/digits/show "$scratch/answers/output_0.pb" "$top/examples/digits/labels.txt" | tail -n 1
