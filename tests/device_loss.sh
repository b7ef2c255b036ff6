#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `hetero run` on an OpenCL device and the processor, with OpenCL calls made to fail: the expected
# outputs all the same, and a note that says what happened; or the error, where that was asked for.
#
#   tests/device_loss.sh [MODELS]      MODELS: a folder with real/ in it
#
# Without the models, or without a GPU, it is skipped.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
models=${1:-${HETEROENGINE_MODELS:-$here/../shared/models}}
hetero=${HETERO:-./hetero}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME="$scratch/cache"

model=$models/real/mnist_8
[ -f "$model/model.onnx" ] || {
    echo "SKIP: no mnist_8 in $models (set HETEROENGINE_MODELS)"
    exit 77
}
"$hetero" devices 2>/dev/null | grep -q '^GPU:0 ' || {
    echo "SKIP: no GPU:0 here"
    exit 77
}

failed=0
passed=0
# run FAULT CODE OPTIONS...: the outputs are right unless CODE is not 0; what it says is in $scratch
run() {
    fault=$1
    code=$2
    shift 2
    HETEROENGINE_OPENCL_FAIL=$fault "$hetero" run -m "$model/model.onnx" \
        -i "$model/test_data_set_0/input_0.pb" --expect "$model/test_data_set_0/output_0.pb" "$@" \
        >"$scratch/out" 2>"$scratch/err"
    got=$?
    if [ "$got" -eq "$code" ]; then
        passed=$((passed + 1))
        return 0
    fi
    failed=$((failed + 1))
    echo "FAIL: $fault, $*: exit code $got, not $code"
    tail -n 3 "$scratch/err"
}

# says FILE WORDS: the last run's output has them
says() {
    if grep -qF -e "$2" "$scratch/$1"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL: '$2' is not said after $fault:"
        tail -n 12 "$scratch/$1"
    fi
}

# The GPU first: everything it can is its.
both="-s priority -d GPU:0,CPU:0"

# shellcheck disable=SC2086
{
    run "" 0 $both --json
    says out '"GPU:0": {"tasks"'
    says out '"lost_devices": []'

    for call in clEnqueueNDRangeKernel clFinish clBuildProgram clCreateBuffer clCreateContext \
        clCreateCommandQueue clCreateKernel clSetKernelArg; do
        # Gone, before anything has run or in the middle of it.
        run "$call:1+:-2" 0 $both --json
        run "$call:3+:-36" 0 $both --json
        # A passing fault, with whatever code.
        run "$call:1" 0 $both --json
        run "$call:2:-9999" 0 $both --json
    done

    run "clEnqueueNDRangeKernel:3+:-2" 0 $both --json
    says out '"lost_devices": ["GPU:0"]'
    says out '"replans": 1'
    says out '"CPU:0": {"tasks"'
    says out 'GPU:0: launch: clEnqueueNDRangeKernel: CL_DEVICE_NOT_AVAILABLE'
    says err 'GPU:0: lost: planning again without it'
    run "clEnqueueNDRangeKernel:3+:-2" 0 $both
    says out 'note: GPU:0 was lost (GPU:0: launch: clEnqueueNDRangeKernel: CL_DEVICE_NOT_AVAILABLE)'
    run "clEnqueueNDRangeKernel:3:-5" 0 $both
    says out 'note: GPU:0 failed once and was tried again'
    # Its memory is full.
    run "clCreateBuffer:1+:-4" 0 $both --json
    says out '"lost_devices": []'
    says out '"memory full"'
    says out '"CPU:0": {"tasks"'

    # Nothing is left.
    run "clEnqueueNDRangeKernel:3+:-2" 3 -d GPU:0
    says err 'GPU:0: launch: clEnqueueNDRangeKernel: CL_DEVICE_NOT_AVAILABLE'
    # Forbidden.
    cat >"$scratch/fail.yaml" <<EOF
scheduling:
  on_device_loss: fail
  strategy: priority
devices:
  - id: GPU:0
  - id: CPU:0
EOF
    run "clEnqueueNDRangeKernel:3+:-2" 3 -c "$scratch/fail.yaml"
    says err 'GPU:0: launch: clEnqueueNDRangeKernel: CL_DEVICE_NOT_AVAILABLE'
}
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
