# SPDX-License-Identifier: Apache-2.0
BUILTIN_BACKENDS += matrix
CLAIMS += backends/matrix/matrix.claims
EXTRA_DIST += backends/matrix/matrix.claims backends/matrix/README.md
libhe_cpu_la_SOURCES += backends/matrix/matrix.c
