# SPDX-License-Identifier: Apache-2.0
# The cpu backend: a library of its own only because its loops want flags of their own.
# Kernel families add themselves in kernels_a.mk and kernels_b.mk (sources) and in the .inc files
# beside them (one CPU_FAMILY line each); oneDNN in onednn.mk.
BUILTIN_BACKENDS += cpu
CLAIMS += backends/cpu/cpu.claims
EXTRA_DIST += backends/cpu/cpu.claims backends/cpu/README.md \
	docs/decisions/0003-openmp-wait-policy.md

noinst_LTLIBRARIES += libhe_cpu.la
libhe_la_LIBADD += libhe_cpu.la
libhe_cpu_la_CPPFLAGS = $(AM_CPPFLAGS)
libhe_cpu_la_CFLAGS = $(AM_CFLAGS) -O3 -fno-math-errno -fno-trapping-math
libhe_cpu_la_SOURCES = \
	backends/cpu/kernel.h backends/cpu/kernel_step.h \
	backends/cpu/program.h backends/cpu/device.h \
	backends/cpu/cpu.c \
	backends/cpu/control.c backends/cpu/control.h \
	backends/cpu/control_loop.c \
	backends/cpu/control_scan.c \
	backends/cpu/device.c \
	backends/cpu/host.c \
	backends/cpu/instance.c \
	backends/cpu/kernels.c backends/cpu/kernels_a.inc backends/cpu/kernels_b.inc \
	backends/cpu/layout.c \
	backends/cpu/memory.c \
	backends/cpu/nested.c backends/cpu/nested.h \
	backends/cpu/parallel.c \
	backends/cpu/program.c backends/cpu/variants.c \
	backends/cpu/step_dynamic.c \
	backends/cpu/step_kernel.c

include backends/cpu/kernels_a.mk
include backends/cpu/kernels_b.mk
include backends/cpu/onednn.mk

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_cpu_program
TESTS += tests/unit/test_cpu_program
tests_unit_test_cpu_program_SOURCES = tests/unit/test_cpu_program.c \
	tests/support/graph_builder.c tests/support/graph_builder.h \
	tests/support/region_runner.c tests/support/region_runner.h
tests_unit_test_cpu_program_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_cpu_program_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_cpu_program_LDADD = $(TEST_LIBS)
endif
