#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Bad inputs, one a line: hetero ends with the right exit code, never by a signal, and
# says on standard error, in one line, what is wrong and where.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
hetero=${HETERO:-./hetero}
digits=$here/examples/digits/digits.onnx
npy=$here/examples/digits/input.npy
bad=$(mktemp -d) || exit 1
trap 'rm -rf "$bad"' EXIT
export XDG_CACHE_HOME="$bad/cache"
passed=0
failed=0

# expect CODE PATTERN ARGUMENTS...: PATTERN (extended) is in the one line on standard error
expect() {
    code=$1
    pattern=$2
    shift 2
    timeout 60 "$hetero" "$@" >"$bad/out" 2>"$bad/err" </dev/null
    got=$?
    lines=$(wc -l <"$bad/err")
    if [ "$got" -eq "$code" ] && [ "$lines" -eq 1 ] && grep -qE "^hetero: .*($pattern)" "$bad/err"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL: hetero $*"
        echo "  exit code $got, expected $code; $lines lines, expected one with: $pattern"
        sed 's/^/  | /' "$bad/err" | cut -c 1-300 | head -n 4
    fi
}
# file NAME TEXT: a file in the scratch folder; TEXT may have \n and \t in it
file() {
    printf "$2" >"$bad/$1"
}

# --- ONNX files ---
file empty.onnx ''
file text.onnx 'hello there, this is text\n'
head -c 1000000 /dev/zero >"$bad/zeros.onnx"
mkdir "$bad/folder"
expect 1 'empty.onnx: .*is empty' run -m "$bad/empty.onnx"
expect 1 'text.onnx: .*like text' run -m "$bad/text.onnx"
expect 1 'zeros.onnx: .*byte 0' run -m "$bad/zeros.onnx"
expect 2 'folder is not a regular file' run -m "$bad/folder"
expect 2 'cannot open .*missing.onnx: No such file' run -m "$bad/missing.onnx"
size=$(wc -c <"$digits")
for cut in 1 10 24 100 1000 $((size / 4)) $((size / 2)) $((size - 1)); do
    head -c "$cut" "$digits" >"$bad/cut.onnx"
    expect 1 'cut.onnx: .*(byte [0-9]+|has no graph)' run -m "$bad/cut.onnx"
done

./tests/support/make_bad "$bad" || exit 1
expect 1 "cyclic.onnx: .*cycle through '[ab]'" run -m "$bad/cyclic.onnx"
expect 1 "undefined.onnx: Add .*'nowhere' is made nowhere" run -m "$bad/undefined.onnx"
expect 1 'shapes.onnx: MatMul.*3.*4' run -m "$bad/shapes.onnx"
expect 1 'huge.onnx: MatMul.*more than memory can hold' run -m "$bad/huge.onnx"
expect 1 "unknown_op.onnx: .*Convv .*did you mean Conv\?" run -m "$bad/unknown_op.onnx"
expect 1 'nested3000.onnx: .*nested more than' run -m "$bad/nested3000.onnx"

# --- Settings ---
file unknown.yaml 'devicez:\n  - {id: CPU:0}\n'
file inner.yaml 'devices:\n  - {id: CPU:0, thread: 1}\n'
file unit.yaml 'devices:\n  - {id: CPU:0, mem: 12GHz}\n'
file tab.yaml 'devices:\n\t- {id: CPU:0}\n'
file open.yaml 'devices:\n  - {id: CPU:0\n'
file twice.yaml 'devices:\n  - {id: CPU:0}\n  - {id: CPU:0}\n'
file range.yaml 'devices:\n  - {id: CPU:0, threads: 0}\n'
file strategy.yaml 'scheduling: {strategy: latency_awar}\n'
file binary.yaml '\001\002\003'
expect 2 "unknown.yaml:1:1: .*'devicez', did you mean 'devices'" run -m "$digits" -c "$bad/unknown.yaml"
expect 2 "inner.yaml:2:.*'thread', did you mean 'threads'" run -m "$digits" -c "$bad/inner.yaml"
expect 2 'unit.yaml:2:.*12GHz.*unit' run -m "$digits" -c "$bad/unit.yaml"
expect 2 'tab.yaml:2:1: ' run -m "$digits" -c "$bad/tab.yaml"
expect 2 'open.yaml:[23]:' run -m "$digits" -c "$bad/open.yaml"
expect 2 'twice.yaml:3:.*CPU:0' run -m "$digits" -c "$bad/twice.yaml"
expect 2 'range.yaml:2:.*threads' run -m "$digits" -c "$bad/range.yaml"
expect 2 "strategy.*latency_awar.*" run -m "$digits" -c "$bad/strategy.yaml"
expect 2 'binary.yaml:1' run -m "$digits" -c "$bad/binary.yaml"
expect 2 'cannot open .*missing.yaml' run -m "$digits" -c "$bad/missing.yaml"
expect 2 "'missing.yaml'|missing.yaml" plan -m "$digits" -d "gpu:1(like=missing.yaml)"

# --- Devices ---
file fpga.yaml 'devices:\n  - {id: FPGA:0, kind: fpga}\n'
expect 3 'no device GPU:7 here; this machine has CPU:0' run -m "$digits" -d GPU:7
expect 3 'fpga.yaml:2:5: no device FPGA:0' run -m "$digits" -c "$bad/fpga.yaml"
expect 2 "'XPU:0' is no device id" run -m "$digits" -d XPU:0
expect 2 "CPU:0" run -m "$digits" -d 'CPU:0(threads=1'
expect 2 "thred.*did you mean 'threads'" run -m "$digits" -d 'CPU:0(thred=1)'
expect 1 'cpu0 is simulated' run -m "$digits" -d 'cpu:1 gpu:1'

# --- Inputs, outputs, shapes ---
printf 'not numpy at all' >"$bad/bad.npy"
head -c 200 "$npy" >"$bad/cut.npy"
head -c 100 "$npy" >"$bad/header.npy"
file short.bin 'abc'
file bad.pb '\377\377\377'
expect 1 "input 'image': .*expected.npy holds float32 \[64,10\], expected float32" \
    run -m "$digits" -i "$here/examples/digits/expected.npy"
expect 2 'takes 1 input.*2 are given' run -m "$digits" -i "$npy" -i "$npy"
expect 2 "input 'image': cannot open .*missing.npy" run -m "$digits" -i "$bad/missing.npy"
expect 2 '\.pb, \.npy or \.bin' run -m "$digits" -i "$bad/text.onnx"
expect 1 "input 'image': .*bad.npy" run -m "$digits" -i "$bad/bad.npy"
expect 1 "input 'image': .*cut.npy" run -m "$digits" -i "$bad/cut.npy"
expect 1 "input 'image': .*header.npy" run -m "$digits" -i "$bad/header.npy"
expect 1 "input 'image': .*short.bin" run -m "$digits" -i "$bad/short.bin"
expect 1 "input 'image': .*bad.pb" run -m "$digits" -i "$bad/bad.pb"
expect 2 'cannot open .*missing.npy' run -q -m "$digits" -i "$npy" --expect "$bad/missing.npy"
expect 2 'cannot make folder' run -q -m "$digits" -o "$bad/none/there"
expect 2 "shape.*'nonsense'" run -m "$digits" --shape nonsense
expect 2 "shape.*'image:1xax8x8'" run -m "$digits" --shape image:1xax8x8
expect 2 "'nobody'" run -m "$digits" --shape nobody:3
expect 1 "'image' is bound to 2 in dimension 1" run -m "$digits" --shape image:1x2x8x8
expect 2 "image" run -m "$digits" --shape image:99999999999999999999x1x8x8
expect 1 'more than memory can hold|memory' run -m "$digits" --shape image:4000000000000000x1x8x8

# --- Budgets and strategies ---
expect 1 'memory=1000.*memory=[0-9]+.* would do' run -m "$digits" --budget memory=1kB
expect 2 "'memry', did you mean 'memory'" run -m "$digits" --budget memry=1kB
expect 2 "memory.*'1XB'" run -m "$digits" --budget memory=1XB
expect 2 "'fastest'" run -m "$digits" -s fastest

# --- Plans and task graphs ---
"$hetero" plan -q -m "$digits" -o "$bad/digits.json" >/dev/null 2>&1 || exit 1
sed 's/"id": "dense1"/"id": "dense9"/' "$bad/digits.json" >"$bad/other.json"
head -c 300 "$bad/digits.json" >"$bad/cut.json"
sed 's/"device": "CPU:0"/"device": "GPU:9"/' "$bad/digits.json" >"$bad/nodevice.json"
expect 1 "other.json:[0-9]+:[0-9]+: .*'dense9'" run -m "$digits" --plan "$bad/other.json"
expect 1 'cut.json:[0-9]+:[0-9]+' run -m "$digits" --plan "$bad/cut.json"
expect 3 'nodevice.json:[0-9]+:[0-9]+: .*GPU:9' run -m "$digits" --plan "$bad/nodevice.json"
expect 2 'cannot open .*missing.json' run -m "$digits" --plan "$bad/missing.json"

two='{"id":"a","time":{"cpu":1}},{"id":"b","time":{"cpu":1}}'
file cycle.json "{\"tasks\":[$two],\"edges\":[{\"from\":\"a\",\"to\":\"b\"},{\"from\":\"b\",\"to\":\"a\"}]}"
file key.json "{\"tasks\":[$two],\"edgez\":[]}"
file notime.json '{"tasks":[{"id":"a"}],"edges":[]}'
file where.json "{\"tasks\":[$two],\"edges\":[{\"from\":\"a\",\"to\":\"c\"}]}"
file same.json '{"tasks":[{"id":"a","time":{"cpu":1}},{"id":"a","time":{"cpu":1}}]}'
file negative.json '{"tasks":[{"id":"a","time":{"cpu":-1}}]}'
file half.json '{"tasks":[{"id":"a",'
file list.json '[1,2,3]'
expect 1 "cycle.json:1:[0-9]+: task '[ab]' is part of a cycle" plan --graph "$bad/cycle.json" -d cpu:2
expect 1 "key.json:.*edgez.*did you mean 'edges'" plan --graph "$bad/key.json" -d cpu:2
expect 1 "notime.json:.*time" plan --graph "$bad/notime.json" -d cpu:2
expect 1 "where.json:.*'c'" plan --graph "$bad/where.json" -d cpu:2
expect 1 "same.json:.*'a'" plan --graph "$bad/same.json" -d cpu:2
expect 1 "negative.json:1:[0-9]+: expected seconds, 0 or more" plan --graph "$bad/negative.json" -d cpu:2
expect 1 'half.json:1:' plan --graph "$bad/half.json" -d cpu:2
expect 1 'list.json' plan --graph "$bad/list.json" -d cpu:2
expect 2 'cannot open .*missing.json' plan --graph "$bad/missing.json" -d cpu:2

# --- The command line ---
expect 2 "'rnu', did you mean 'run'" rnu -m "$digits"
expect 2 "no command 'frobnicate'" frobnicate
expect 2 "'--modle', did you mean '--model'" run --modle "$digits"
expect 2 "'-Z'" run -Z
expect 2 "'abc'" run -m "$digits" --rtol abc
expect 2 'needs FILE.onnx' run -m
expect 2 'FILE.onnx is needed' run
expect 2 "'--nope'" devices --nope
expect 2 "'abc'" bench -m "$digits" -n abc
expect 2 'cannot open folder .*nofolder' conform "$bad/nofolder"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
