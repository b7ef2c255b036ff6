# SPDX-License-Identifier: Apache-2.0
# Families: move, gather, window, image.
libhe_cpu_la_SOURCES += \
	backends/cpu/move.h backends/cpu/move_copy.c backends/cpu/move_operands.c \
	backends/cpu/element.h \
	backends/cpu/kernels_transpose.c \
	backends/cpu/kernels_concat.c \
	backends/cpu/kernels_slice.c \
	backends/cpu/kernels_pad.c \
	backends/cpu/kernels_expand.c \
	backends/cpu/kernels_view.c \
	backends/cpu/kernels_gather.c \
	backends/cpu/kernels_scatter.c \
	backends/cpu/kernels_generate.c \
	backends/cpu/sortkey.h \
	backends/cpu/kernels_topk.c \
	backends/cpu/kernels_select.c \
	backends/cpu/window.h backends/cpu/window.c \
	backends/cpu/conv_rows.inc backends/cpu/kernels_conv.c \
	backends/cpu/kernels_conv_transpose.c \
	backends/cpu/kernels_pool.c \
	backends/cpu/kernels_global_pool.c \
	backends/cpu/resize.h backends/cpu/resize.c backends/cpu/kernels_resize.c \
	backends/cpu/kernels_grid.c \
	backends/cpu/kernels_roi.c \
	backends/cpu/kernels_deform.c \
	backends/cpu/kernels_signal.c backends/cpu/kernels_ngram.c

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_kernels_b
TESTS += tests/unit/test_kernels_b
tests_unit_test_kernels_b_SOURCES = tests/unit/test_kernels_b.c tests/unit/kernels_b_cases.inc \
	tests/support/kernel_case.c tests/support/kernel_case.h \
	tests/support/graph_builder.c tests/support/graph_builder.h
tests_unit_test_kernels_b_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/backends/cpu
tests_unit_test_kernels_b_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_kernels_b_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test_kernels_b_random
TESTS += tests/unit/test_kernels_b_random
tests_unit_test_kernels_b_random_SOURCES = tests/unit/test_kernels_b_random.c \
	tests/support/kernel_case.c tests/support/kernel_case.h \
	tests/support/graph_builder.c tests/support/graph_builder.h
tests_unit_test_kernels_b_random_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/backends/cpu
tests_unit_test_kernels_b_random_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_kernels_b_random_LDADD = $(TEST_LIBS)
endif
