# SPDX-License-Identifier: Apache-2.0
libhe_cpu_la_SOURCES += \
	backends/cpu/onednn.c backends/cpu/onednn_makers.h \
	backends/cpu/onednn_api.c backends/cpu/onednn_api.h \
	backends/cpu/onednn_step.c backends/cpu/onednn_step.h \
	backends/cpu/onednn_post.c backends/cpu/onednn_post.h \
	backends/cpu/onednn_shape.c \
	backends/cpu/onednn_conv.c backends/cpu/onednn_conv.h \
	backends/cpu/onednn_conv_read.c backends/cpu/onednn_deconv.c \
	backends/cpu/onednn_product.c \
	backends/cpu/onednn_window.c \
	backends/cpu/onednn_norm.c

EXTRA_DIST += backends/cpu/ONEDNN.md

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_onednn
TESTS += tests/unit/test_onednn
tests_unit_test_onednn_SOURCES = tests/unit/test_onednn.c \
	tests/support/task_bench.c tests/support/task_bench.h tests/support/task_reference.c
tests_unit_test_onednn_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_onednn_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_onednn_LDADD = $(TEST_LIBS)
endif
