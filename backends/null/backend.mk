# SPDX-License-Identifier: Apache-2.0
# The null backend: the skeleton to copy.
BUILTIN_BACKENDS += null
CLAIMS += backends/null/null.claims
EXTRA_DIST += backends/null/null.claims backends/null/README.md
libhe_la_SOURCES += backends/null/null.c
