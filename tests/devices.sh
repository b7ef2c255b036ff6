#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# hetero devices tests devices with a memory of their own, on PoCL: the figures come out, are
# kept, and plans stand on them.
set -u
hetero=${HETERO:-./hetero}
pocl=/etc/OpenCL/vendors/pocl.icd
[ -f "$pocl" ] || { echo "SKIP: no $pocl"; exit 77; }
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
unset OPENCL_VENDOR_PATH
export OCL_ICD_VENDORS="$pocl" XDG_CACHE_HOME="$scratch/cache"
costs=$XDG_CACHE_HOME/heteroengine/costs-2.txt
failed=0
fail() {
    echo "FAIL: $*"
    failed=1
}
has() { # file, patterns...
    file=$1
    shift
    for pattern in "$@"; do
        grep -q -- "$pattern" "$file" || fail "no '$pattern' in $(cat "$file")"
    done
}

"$hetero" devices -d GPU:0,CPU:0 --json >"$scratch/first" 2>"$scratch/err" ||
    { cat "$scratch/err"; echo "SKIP: PoCL has no device"; exit 77; }
[ ! -s "$scratch/err" ] || fail "the self-test says: $(cat "$scratch/err")"
has "$scratch/first" '"peaks_source": "measured"' '"host_memory": "' '"source": "measured"'
has "$costs" '^peak/fp32 ' '^peak/bandwidth ' '^peak/launch ' '^host/to-rate ' '^host/from-latency '

# Once is enough; asked for, it is done again, also when a device cannot be tested.
cp "$costs" "$scratch/kept"
"$hetero" devices >"$scratch/text" 2>&1
cmp -s "$costs" "$scratch/kept" || fail "devices that are known were tested again"
has "$scratch/text" 'measured: launch .* us' '^CPU:0 -> GPU:0 .*(measured)'
"$hetero" devices --self-test >/dev/null 2>&1 || fail "--self-test fails"
cmp -s "$costs" "$scratch/kept" && fail "--self-test measured nothing"

# The planner has them: the figures are those of the file; what a user gives goes before.
printf 'heteroengine-costs 2\n' >"$scratch/made"
subject=$(sed -n 's,^peak/fp32 \([^ ]*\) .*,\1,p' "$costs" | head -n 1)
for series in peak/fp32=5e12 peak/bandwidth=2e11 peak/launch=3e-6 peak/host-memory=2; do
    value=${series#*=}
    echo "${series%=*} $subject 0 10 1700000000 0 $(for k in 1 2 3 4 5 6 7 8 9; do printf '%s,' "$value"; done)$value"
done >>"$scratch/made"
grep '^host/' "$costs" >>"$scratch/made"
cp "$scratch/made" "$costs"
"$hetero" devices -d GPU:0,CPU:0 --json >"$scratch/told" 2>&1
has "$scratch/told" '"fp32": 4999999' '"memory_bandwidth": 199999' \
    '"host_memory": "copies silently"'
cat >"$scratch/machine.yaml" <<END
devices:
  - {id: "GPU:0", fp32: 7TFLOPS}
  - {id: "CPU:0"}
END
"$hetero" devices -c "$scratch/machine.yaml" --json >"$scratch/told" 2>&1
grep -q '"fp32": 7' "$scratch/told" || fail "a given peak was replaced: $(cat "$scratch/told")"

# A driver whose devices do not start: told, and the list stands.
stub=${STUB:-tests/stubs/.libs/stub_icd.so}
if [ -f "$stub" ]; then
    cp "$stub" "$scratch/stub-gpu.so"
    mkdir "$scratch/vendors"
    echo "$scratch/stub-gpu.so" >"$scratch/vendors/gpu.icd"
    export OCL_ICD_VENDORS="$scratch/vendors"
    "$hetero" devices >"$scratch/told" 2>"$scratch/err" || fail "a device that fails its test fails the list"
    has "$scratch/told" '^GPU:0'
    has "$scratch/err" 'self-test: GPU:0: '
    "$hetero" devices --self-test >/dev/null 2>&1
    [ $? -eq 3 ] || fail "--self-test of a device that fails: exit code is not 3"
fi

[ "$failed" -eq 0 ] || exit 1
echo "devices are tested once, and plans stand on the figures"
