#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Kernels under oclgrind, which finds data races, accesses out of bounds and misuse of the API: a part
# of the conformance suite, once as it is and once with the tiles of GPUs; and a net split over two
# platforms in one process. All of it: tests/oclgrind.sh all (some minutes).
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
hetero=${HETERO:-./hetero}
conformance=${CONFORMANCE:-./tests/conformance/conformance}
library=${OCLGRIND:-/usr/lib/oclgrind/liboclgrind-rt-icd.so}
[ -f "$library" ] || { echo "SKIP: no $library (Debian: oclgrind)"; exit 77; }
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
unset OPENCL_VENDOR_PATH
export XDG_CACHE_HOME="$scratch/cache" OCLGRIND_CHECK_API=1 OCLGRIND_DATA_RACES=1 HETEROENGINE_OPENCL_CACHE=off
mkdir "$scratch/one" "$scratch/two"
echo "$library" >"$scratch/one/oclgrind.icd"
export OCL_ICD_VENDORS="$scratch/one"
"$hetero" devices -d GPU:0 2>/dev/null | grep -q Oclgrind || {
    echo "SKIP: oclgrind is no device here (no OpenCL loader?)"
    exit 77
}
failed=0
fail() {
    echo "FAIL: $*"
    failed=1
}

# What it reports, but for a platform that has no devices of the type we asked for, which is an answer.
findings() {
    sed -e '/^$/d' "$1" | awk '
        /OpenCL runtime error detected/ { head = $0; getline call; getline error
            if (call ~ /clGetDeviceIDs/ && error ~ /CL_DEVICE_NOT_FOUND/) next
            print head; print call; print error; next }
        /^Oclgrind|^[A-Z][a-z].* (race|access|read|write|value|barrier)|Kernel:|Invalid|overflow/ { print }'
}
# suite WHAT ARGUMENTS...: runs under the checkers
suite() {
    what=$1
    shift
    "$conformance" opencl "$@" >"$scratch/out" 2>"$scratch/err" ||
        fail "$what: $(grep -v '^Oclgrind' "$scratch/out" | head -n 3)"
    findings "$scratch/err" >"$scratch/found"
    [ ! -s "$scratch/found" ] || fail "$what: $(head -n 12 "$scratch/found")"
}

# The checkers are at work: a race and a store out of bounds are told.
cat >"$scratch/bad.cl" <<'END'
__kernel void bad(__global int *x)
{
    x[0] = get_global_id(0);
    if (get_global_id(0) == 3)
        x[100] = 1;
}
END
cat >"$scratch/bad.sim" <<END
$scratch/bad.cl
bad
4 1 1
4 1 1
<size=16 fill=0>
END
if command -v oclgrind-kernel >/dev/null; then
    oclgrind-kernel "$scratch/bad.sim" >"$scratch/told" 2>&1
    grep -q 'race' "$scratch/told" && grep -q 'Invalid write' "$scratch/told" ||
        fail "oclgrind finds nothing in a kernel with two faults: $(head -n 5 "$scratch/told")"
fi

if [ "${1:-}" = all ]; then
    suite "the suite"
    HETEROENGINE_OPENCL_TILES=1 && export HETEROENGINE_OPENCL_TILES
    suite "the suite with tiles"
else
    for name in unary binary conv conv_depthwise matmul softmax reduce norms transpose transpose_tiles \
        concat pool gather resize chain; do
        suite "$name" "$name" 1
    done
    HETEROENGINE_OPENCL_TILES=1 && export HETEROENGINE_OPENCL_TILES
    for name in conv conv_1x1 conv_residual gemm matmul matmul_batches; do
        suite "$name with tiles" "$name" 1
    done
fi
unset HETEROENGINE_OPENCL_TILES

# A net over two platforms, task by task in turns, gives what it gives on one device.
pocl=/etc/OpenCL/vendors/pocl.icd
model=$here/examples/digits/digits.onnx
if [ -f "$pocl" ]; then
    cp "$pocl" "$scratch/one/oclgrind.icd" "$scratch/two"
    export OCL_ICD_VENDORS="$scratch/two"
    "$hetero" plan -q -m "$model" -d GPU:0,GPU:1 -o "$scratch/plan.json" >"$scratch/out" 2>&1 ||
        fail "no plan over two platforms: $(cat "$scratch/out")"
    # The plan's tasks, one to a line, in turns on either device.
    awk '/"op":/ { sub(/"device": "GPU:[01]"/, "\"device\": \"GPU:" (n++ % 2) "\"") } { print }' \
        "$scratch/plan.json" >"$scratch/turns.json"
    grep -q '"device": "GPU:0"' "$scratch/turns.json" && grep -q '"device": "GPU:1"' "$scratch/turns.json" ||
        fail "the plan has no tasks to give to two devices"
    "$hetero" run -m "$model" --plan "$scratch/turns.json" -d GPU:0,GPU:1 -i "$here/examples/digits/input.npy" \
        --expect "$here/examples/digits/expected.npy" --json >"$scratch/out" 2>"$scratch/err" ||
        fail "two platforms: $(head -n 5 "$scratch/err") $(head -n 20 "$scratch/out")"
    for id in GPU:0 GPU:1; do
        grep -q "\"$id\": {\"tasks\": [1-9]" "$scratch/out" || fail "two platforms: $id ran nothing"
    done
    findings "$scratch/err" >"$scratch/found"
    [ ! -s "$scratch/found" ] || fail "two platforms: $(head -n 12 "$scratch/found")"
fi

[ "$failed" -eq 0 ] || exit 1
echo "oclgrind finds nothing"
