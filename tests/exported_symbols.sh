#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the library exports is what tests/exported_symbols.txt lists: a new symbol is a visible
# line in review. HE_UPDATE_GOLDEN=1 rewrites the list.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
library=.libs/libheteroengine.so
[ -f "$library" ] || {
    echo "SKIP: no shared library in this build"
    exit 77
}
nm -D --defined-only "$library" | awk '$2 ~ /[TDBR]/ { sub(/@.*/, "", $3); print $3 }' |
    grep -v '^HETEROENGINE_' | LC_ALL=C sort >exported_symbols.out
if [ "${HE_UPDATE_GOLDEN:-}" = 1 ]; then
    cp exported_symbols.out "$top/tests/exported_symbols.txt"
fi
diff -u "$top/tests/exported_symbols.txt" exported_symbols.out
