#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The ONNX node tests on the CPU: at least 620 pass, none fails beside those on the
# written list (tests/node_skips.txt).
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
suite=${1:-/usr/share/libonnx-testdata/data/node}
hetero=${HETERO:-./hetero}

[ -d "$suite" ] || {
    echo "SKIP: no $suite (Debian: libonnx-testdata)"
    exit 77
}
"$hetero" conform "$suite" -q --list --skip "$here/tests/node_skips.txt" >node_suite.out
grep '^fail' node_suite.out
tail -n 1 node_suite.out
passed=$(tail -n 1 node_suite.out | sed 's/ passed.*//')
failed=$(tail -n 1 node_suite.out | sed 's/.*passed, //; s/ failed.*//')
[ "$passed" -ge 620 ] && [ "$failed" -eq 0 ]
