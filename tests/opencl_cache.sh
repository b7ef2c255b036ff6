#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The cache of built OpenCL programs, on PoCL: used when it fits, never when it does not.
# That a file was used shows in its time, which a use renews.
set -u
hetero=${HETERO:-./hetero}
pocl=/etc/OpenCL/vendors/pocl.icd
model=/usr/share/libonnx-testdata/data/node/test_softmax_axis_1/model.onnx
other=/usr/share/libonnx-testdata/data/node/test_argmax_keepdims_random/model.onnx
[ -f "$pocl" ] || { echo "SKIP: no $pocl"; exit 77; }
[ -f "$model" ] || { echo "SKIP: no $model"; exit 77; }
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
unset OPENCL_VENDOR_PATH HETEROENGINE_OPENCL_CACHE_MB
export OCL_ICD_VENDORS="$pocl" XDG_CACHE_HOME="$scratch/home" POCL_CACHE_DIR="$scratch/pocl"
mkdir -p "$POCL_CACHE_DIR"
cache=$scratch/cache
export HETEROENGINE_OPENCL_CACHE="$cache"
failed=0
fail() {
    echo "FAIL: $*"
    failed=1
}

# outputs [MODEL]: the digests of what a run gives.
outputs() {
    "$hetero" run -m "${1:-$model}" -d GPU:0 --seed 7 --json 2>"$scratch/err" |
        sed -n 's/.*"sha256": *"\([0-9a-f]*\)".*/\1/p'
}
files() {
    find "$cache" -name '*.clbin' 2>/dev/null | sort
}
count() {
    files | wc -l
}
age() {
    files | while read -r file; do touch -d 2001-01-01 "$file"; done
}
used() { # how many files were used since age()
    find "$cache" -name '*.clbin' -newermt 2002-01-01 | wc -l
}
expect() { # what, got, wanted
    [ "$2" = "$3" ] || fail "$1: $2, not $3"
}

"$hetero" devices -d GPU:0 >/dev/null 2>&1 || { echo "SKIP: PoCL has no device"; exit 77; }
right=$(outputs)
[ -n "$right" ] || { cat "$scratch/err"; fail "the first run gives nothing"; exit 1; }
expect "files after one run" "$(count)" 0
expect "the second run" "$(outputs)" "$right"
kept=$(count)
[ "$kept" -gt 0 ] || fail "the second run keeps nothing"
expect "rights of the folder" "$(stat -c %a "$cache")" 700

age
expect "from the cache" "$(outputs)" "$right"
expect "files used" "$(used)" "$kept"

# Damage of any kind: the output stays right, and the file goes.
damage() { # what, command on $file
    rm -rf "$cache"
    outputs >/dev/null
    outputs >/dev/null
    age
    files | while read -r file; do eval "$2"; done
    expect "output with files $1" "$(outputs)" "$right"
    expect "files $1 that were used or left" "$(count)" 0
}
damage "empty" ': >"$file"'
damage "cut short" 'truncate -s -1 "$file"'
damage "too long" 'echo x >>"$file"'
damage "with a byte changed in the binary" \
    'printf "\377\376" | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") - 99)) conv=notrunc 2>/dev/null'
damage "with a byte changed in the key" \
    'printf "\377" | dd of="$file" bs=1 seek=100 conv=notrunc 2>/dev/null'
damage "of another kind" 'head -c 4096 /dev/zero >"$file"'

# A whole file under the wrong name, as if two keys had one digest: compared, not trusted.
rm -rf "$cache"
outputs >/dev/null
outputs >/dev/null
mine=$(files | head -n 1)
"$hetero" run -q -m "$other" -d GPU:0 >/dev/null 2>&1
"$hetero" run -q -m "$other" -d GPU:0 >/dev/null 2>&1
theirs=$(files | grep -v "$mine" | head -n 1)
if [ -n "$theirs" ]; then
    cp "$theirs" "$mine"
    expect "output with another program's file" "$(outputs)" "$right"
else
    fail "two models have one program"
fi

# What others could have written is not run.
rm -rf "$cache"
outputs >/dev/null
outputs >/dev/null
chmod g+w "$(files | head -n 1)"
age
expect "output with a file others may write" "$(outputs)" "$right"
expect "files others may write that were used" "$(used)" "$((kept - 1))"
chmod 777 "$cache"
age
expect "output with a folder others may write" "$(outputs)" "$right"
expect "files used of a folder others may write" "$(used)" 0

# A device without a compiler runs what was built before, and says so of the rest.
rm -rf "$cache"
outputs >/dev/null
outputs >/dev/null
export HETEROENGINE_OPENCL_COMPILER=off
expect "output without a compiler" "$(outputs)" "$right"
[ -z "$(outputs "$other")" ] || fail "without a compiler a program was built"
grep -q "has no compiler" "$scratch/err" || fail "no reason without a compiler: $(cat "$scratch/err")"
rm -rf "$cache"
"$hetero" plan -m "$model" -d CPU:0,GPU:0 --explain 2>&1 | grep -qE "GPU:0 *cannot run: .*(no compiler|functions of its own)" ||
    fail "plans do not tell that a device lacks a compiler"
unset HETEROENGINE_OPENCL_COMPILER

# Off, no room, no folder.
rm -rf "$cache"
HETEROENGINE_OPENCL_CACHE=off
expect "output without a cache" "$(outputs)" "$right"
[ ! -e "$cache" ] || fail "a cache that is off made a folder"
HETEROENGINE_OPENCL_CACHE=/proc/no/such/folder
expect "output with a folder that cannot be made" "$(outputs)" "$right"
HETEROENGINE_OPENCL_CACHE=$cache
export HETEROENGINE_OPENCL_CACHE_MB=0
outputs >/dev/null
expect "output with no room" "$(outputs)" "$right"
expect "files with no room" "$(count)" 0

# The oldest go first: a bound of 1 MB, and old files of 400 kB each.
export HETEROENGINE_OPENCL_CACHE_MB=1
for k in 1 2 3 4; do
    name=$(printf '%064d.clbin' "$k")
    head -c 400000 /dev/zero >"$cache/$name"
    touch -d "2001-01-0$k" "$cache/$name"
done
: >"$cache/99999-1.tmp"
touch -d 2001-01-01 "$cache/99999-1.tmp"
rm -f "$cache"/*.seen
outputs >/dev/null
expect "output at the bound" "$(outputs)" "$right"
[ ! -e "$cache/$(printf '%064d.clbin' 1)" ] || fail "the oldest file stayed"
[ ! -e "$cache/99999-1.tmp" ] || fail "a half-written file of old stayed"
[ -e "$cache/$(printf '%064d.clbin' 4)" ] || fail "the newest of the old files went"
[ "$(du -sb "$cache" | cut -f1)" -le 1100000 ] || fail "more than the bound is kept"

[ "$failed" -eq 0 ] || exit 1
echo "the cache of OpenCL programs holds what fits, $kept files a run"
