# SPDX-License-Identifier: Apache-2.0
libhe_la_SOURCES += \
	src/ops/activation.c \
	src/ops/attention.c \
	src/ops/attrs.c \
	src/ops/control.c \
	src/ops/conv.c \
	src/ops/gather.c \
	src/ops/generate.c \
	src/ops/image.c \
	src/ops/index.c \
	src/ops/infer.c src/ops/infer.h \
	src/ops/logic.c \
	src/ops/loss.c \
	src/ops/math.c \
	src/ops/matrix.c \
	src/ops/node.c \
	src/ops/norm.c \
	src/ops/ops.c src/ops/ops.h \
	src/ops/pool.c \
	src/ops/quant.c \
	src/ops/recurrent.c \
	src/ops/reduce.c \
	src/ops/shape.c \
	src/ops/signal.c \
	src/ops/slice.c \
	src/ops/window.c
EXTRA_DIST += src/ops/README.md tests/support/ops_oracle.py
if HAVE_CHECK
check_PROGRAMS += tests/unit/test_ops tests/unit/test_ops_infer tests/unit/test_ops_malformed
TESTS += tests/unit/test_ops tests/unit/test_ops_infer tests/unit/test_ops_malformed
tests_unit_test_ops_SOURCES = tests/unit/test_ops.c tests/support/ops_text.c tests/support/ops_text.h
tests_unit_test_ops_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_ops_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_ops_LDADD = $(TEST_LIBS)
tests_unit_test_ops_infer_SOURCES = tests/unit/test_ops_infer.c tests/support/ops_text.c \
	tests/support/ops_text.h
tests_unit_test_ops_infer_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_ops_infer_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_ops_infer_LDADD = $(TEST_LIBS)
tests_unit_test_ops_malformed_SOURCES = tests/unit/test_ops_malformed.c
tests_unit_test_ops_malformed_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_ops_malformed_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_ops_malformed_LDADD = $(TEST_LIBS)
endif
