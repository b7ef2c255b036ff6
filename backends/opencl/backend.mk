# SPDX-License-Identifier: Apache-2.0
# The opencl backend. The ICD loader is opened at run time: nothing to link.
EXTRA_DIST += backends/opencl/opencl.claims backends/opencl/README.md backends/opencl/ROOFLINE.md
if HAVE_OPENCL
BUILTIN_BACKENDS += opencl
CLAIMS += backends/opencl/opencl.claims
libhe_la_SOURCES += \
	backends/opencl/api.c backends/opencl/api.h \
	backends/opencl/box.c backends/opencl/box.h \
	backends/opencl/build.c backends/opencl/build.h \
	backends/opencl/cache.c backends/opencl/cache.h \
	backends/opencl/conv.h \
	backends/opencl/context.c \
	backends/opencl/device.c \
	backends/opencl/digest.c \
	backends/opencl/emit_conv.c \
	backends/opencl/emit_depthwise.c \
	backends/opencl/emit_direct.c \
	backends/opencl/emit_gather.c \
	backends/opencl/emit_loss.c \
	backends/opencl/emit_make.c \
	backends/opencl/emit_matmul.c \
	backends/opencl/emit_move.c \
	backends/opencl/emit_norm.c \
	backends/opencl/emit_pointwise.c \
	backends/opencl/emit_pool.c \
	backends/opencl/emit_quant.c \
	backends/opencl/emit_reduce.c \
	backends/opencl/emit_resize.c \
	backends/opencl/emit_sample.c \
	backends/opencl/emit_scan.c \
	backends/opencl/emit_scatter.c \
	backends/opencl/emit_select.c \
	backends/opencl/emit_transpose.c \
	backends/opencl/emit_winograd.c \
	backends/opencl/fail.c \
	backends/opencl/find.c \
	backends/opencl/instance.c \
	backends/opencl/kernel.c \
	backends/opencl/late.c backends/opencl/late.h \
	backends/opencl/mma.c \
	backends/opencl/opencl.c backends/opencl/opencl.h \
	backends/opencl/parts.c \
	backends/opencl/program.c \
	backends/opencl/queue.c \
	backends/opencl/rows.c \
	backends/opencl/selftest.c \
	backends/opencl/staging.c \
	backends/opencl/text.c \
	backends/opencl/tile.c backends/opencl/tile.h \
	backends/opencl/value.c \
	backends/opencl/variants.c \
	backends/opencl/walk.c \
	backends/opencl/weights.c

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_opencl_runtime
TESTS += tests/unit/test_opencl_runtime
tests_unit_test_opencl_runtime_SOURCES = tests/unit/test_opencl_runtime.c \
	tests/conformance/conformance.h tests/conformance/run.c \
	tests/support/graph_builder.c tests/support/graph_builder.h
tests_unit_test_opencl_runtime_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/backends/opencl
tests_unit_test_opencl_runtime_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_opencl_runtime_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test_opencl_ways
TESTS += tests/unit/test_opencl_ways
tests_unit_test_opencl_ways_SOURCES = tests/unit/test_opencl_ways.c \
	tests/support/graph_builder.c tests/support/graph_builder.h
tests_unit_test_opencl_ways_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_opencl_ways_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_opencl_ways_LDADD = $(TEST_LIBS) -lm
endif
endif
