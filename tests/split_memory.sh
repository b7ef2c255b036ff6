#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A model too large for the memory that settings give a GPU: alone it is refused with the memory that
# would do; beside a CPU it is split, runs, and gives the expected outputs. The OpenCL device counts its
# own buffers and refuses one beyond `mem`, so that a run that ends well has kept to it.
#
#   tests/split_memory.sh [MODELS]      MODELS: a folder with light/ in it
#
# Skipped without the models or without an OpenCL device.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
models=${1:-${HETEROENGINE_MODELS:-$here/../shared/models}}/light
hetero=${HETERO:-./hetero}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME="$scratch/cache" # plans must not depend on what was measured here before

[ -d "$models" ] || {
    echo "SKIP: no models in $models (set HETEROENGINE_MODELS)"
    exit 77
}
"$hetero" devices --json | grep -q '"id": "GPU:0"' || {
    echo "SKIP: no OpenCL device here"
    exit 77
}

failed=0
fail() {
    echo "FAIL: $1"
    failed=$((failed + 1))
}

# machine MEMORY [ANOTHER DEVICE]: a GPU that is said to be fast, so that plans want it.
machine() {
    printf 'devices:\n  - {id: "GPU:0", backend: opencl, mem: %s, tflops: 50, bw: 2TB/s}\n' "$1" \
        >"$scratch/machine.yaml"
    [ $# -eq 1 ] || printf '  - {%s}\n' "$2" >>"$scratch/machine.yaml"
}

# run_here MODEL EXPECTED: on the machine, against the expected output
run_here() {
    "$hetero" run -q -m "$1" -c "$scratch/machine.yaml" -i "$scratch/ramp.pb" --expect "$2" \
        --rtol 2e-3 --atol 1e-6 >"$scratch/out" 2>&1
}

# needs NAME MODEL: prints the bytes that a refused plan asks for
needs() {
    if "$hetero" plan -q -m "$2" -c "$scratch/machine.yaml" >"$scratch/out" 2>&1; then
        fail "$1: a plan for a memory that is too small"
    fi
    sed -n 's/.*would do (\([0-9]*\) bytes instead of .* on GPU:0).*/\1/p' "$scratch/out"
}

# split NAME MODEL EXPECTED MEMORY
split() {
    machine "$4"
    least=$(needs "$1" "$2")
    if [ -z "$least" ]; then
        fail "$1: no word of the memory that would do: $(head -n 1 "$scratch/out")"
        return
    fi
    machine $((least - least / 10))B
    [ -n "$(needs "$1" "$2")" ] || fail "$1: less than the least was enough"
    machine "${least}B"
    "$hetero" plan -q -m "$2" -c "$scratch/machine.yaml" >"$scratch/out" 2>&1 ||
        fail "$1: the least memory does not do: $(head -n 1 "$scratch/out")"
    machine "$4" 'id: "CPU:0", threads: 1'
    run_here "$2" "$3" || fail "$1 split: $(grep -v '^output' "$scratch/out" | head -n 2)"
    for device in GPU:0 CPU:0; do
        grep -q "^  $device  *[1-9][0-9]* tasks" "$scratch/out" || fail "$1: nothing on $device"
    done
    echo "$1: $4 on GPU:0 of the $least bytes it needs alone:$(
        sed -n 's/^  \(.PU:0\)  *\([0-9]* tasks\).*/ \1 \2/p' "$scratch/out" | tr '\n' ',')"
}

./tests/support/make_ramp "$scratch/ramp.pb" || exit 1
./tests/support/make_rnd "$models/light_resnet50.onnx" "$scratch/resnet50.onnx" || exit 1
split rnd_resnet50 "$scratch/resnet50.onnx" "$models/rnd_resnet50_output_0.pb" 12MB
# The least is enough for the device too, not in the plan alone.
machine 1MB
machine "$(needs shufflenet "$models/light_shufflenet.onnx")B"
run_here "$models/light_shufflenet.onnx" "$models/light_shufflenet_output_0.pb" ||
    fail "shufflenet in the least memory: $(grep -v '^output' "$scratch/out" | head -n 2)"
[ "$failed" -eq 0 ]
