#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every model at hand gives its expected outputs, on each mix of devices: one CPU, two,
# an OpenCL device with the CPU for the rest, and all of them with the bf16 matrix unit.
#
#   tests/models.sh [MODELS]      MODELS: a folder with real/ and light/ in it
#
# Without the models (they are not part of the source archive) it is skipped.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
models=${1:-${HETEROENGINE_MODELS:-$here/../shared/models}}
hetero=${HETERO:-./hetero}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME="$scratch/cache" # plans must not depend on what was measured here before

[ -d "$models/real" ] || {
    echo "SKIP: no models in $models (set HETEROENGINE_MODELS)"
    exit 77
}

passed=0
failed=0
# try NAME MODEL INPUTS-AND-EXPECTATIONS...
try() {
    label=$1
    shift
    if "$hetero" run -q "$@" >"$scratch/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL: $label: $(grep -vE '^(output|latency| )' "$scratch/out" | head -n 2)"
        grep DIFFERS "$scratch/out"
    fi
}

# run_set DEVICES FOLDER OPTIONS...: one test_data_set_N beside its model.onnx
run_set() {
    on=$1
    set_folder=$2
    shift 2
    for k in 0 1 2 3 4 5; do
        [ -f "$set_folder/input_$k.pb" ] && set -- "$@" -i "$set_folder/input_$k.pb"
        [ -f "$set_folder/output_$k.pb" ] && set -- "$@" --expect "$set_folder/output_$k.pb"
    done
    try "${set_folder#"$models/real/"} on $on" -m "$set_folder/../model.onnx" "$@"
}

# real_models DEVICES OPTIONS...
real_models() {
    devices=$1
    shift
    for folder in "$models"/real/*/test_data_set_*; do
        run_set "$devices" "$folder" "$@"
    done
}

# light_models DEVICES NAMES OPTIONS...: those whose name has a pattern of NAMES
light_models() {
    devices=$1
    names=$2
    shift 2
    for model in "$models"/light/light_$names.onnx; do
        name=$(basename "$model" .onnx)
        try "$name on $devices" -m "$model" -i "$scratch/ramp.pb" \
            --expect "$models/light/${name}_output_0.pb" --rtol 2e-3 --atol 1e-6 "$@"
    done
}

rnd_models() {
    devices=$1
    shift
    for expected in "$models"/light/rnd_*_output_0.pb; do
        name=$(basename "$expected" _output_0.pb)
        name=${name#rnd_}
        [ -f "$scratch/$name.onnx" ] ||
            ./tests/support/make_rnd "$models/light/light_$name.onnx" "$scratch/$name.onnx" || {
            failed=$((failed + 1))
            continue
        }
        try "rnd_$name on $devices" -m "$scratch/$name.onnx" -i "$scratch/ramp.pb" \
            --expect "$expected" "$@"
        rm -f "$scratch/$name.onnx"
    done
}

has() {
    "$hetero" devices --json | grep -q "\"id\": \"$1\""
}

./tests/support/make_ramp "$scratch/ramp.pb" || exit 1
real_models "one CPU thread" -d 'CPU:0(threads=1)'
light_models "one CPU thread" '*' -d 'CPU:0(threads=1)'
rnd_models "one CPU thread" -d 'CPU:0(threads=1)' --rtol 1e-3 --atol 1e-6
core=$(taskset -cp $$ 2>/dev/null | sed 's/.*[-, ]//')
real_models "two CPU devices" -d "CPU:0(threads=1),CPU:1(cores=${core:-0})"
# Most of these are cut into parts there, with halos between them.
light_models "two CPU devices" '[rs]*' -d "CPU:0(threads=1),CPU:1(cores=${core:-0})"
if has GPU:0; then
    # priority: the first device takes whatever it can, as far as it can.
    real_models "OpenCL before the CPU" -d 'GPU:0,CPU:0(threads=1)' -s priority
else
    echo "without OpenCL: no GPU:0 here"
fi
if has MATRIX:0; then
    printf 'precision: {allow: [bf16]}\n' >"$scratch/bf16.yaml"
    # bfloat16 keeps 8 bits: 2 % of a value, and 2 % of 1 where outputs are probabilities
    # (mnist_8 gives scores in the thousands). In the text detector's map of pixels, those
    # on the edge of a line of text may tip over: 1 % of them.
    for model in "$models"/real/*/; do
        model=${model%/}
        atol=2e-2
        [ "$(basename "$model")" = mnist_8 ] && atol=20
        run_set "the matrix unit in bfloat16" "$model/test_data_set_0" -c "$scratch/bf16.yaml" \
            -d MATRIX:0,CPU:0 -s priority --rtol 2e-2 --atol "$atol" --outliers 1e-2
    done
else
    echo "without a matrix unit: no MATRIX:0 here"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
