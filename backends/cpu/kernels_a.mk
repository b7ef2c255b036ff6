# SPDX-License-Identifier: Apache-2.0
# Families: elementwise, reductions, normalisations, products, quantisation, recurrent; fused chains.
libhe_cpu_la_SOURCES += \
	backends/cpu/half.h backends/cpu/fastmath.h \
	backends/cpu/pointwise.h backends/cpu/pointwise.c backends/cpu/zip.h \
	backends/cpu/rows.h backends/cpu/rows.c \
	backends/cpu/kernels_unary.c backends/cpu/kernels_binary.c \
	backends/cpu/kernels_logic.c backends/cpu/kernels_cast.c \
	backends/cpu/kernels_reduce.c backends/cpu/reduce_type.inc \
	backends/cpu/kernels_scan.c backends/cpu/kernels_softmax.c \
	backends/cpu/kernels_norm.c backends/cpu/kernels_batchnorm.c backends/cpu/kernels_lrn.c \
	backends/cpu/gemm.h backends/cpu/gemm.c backends/cpu/matmul.h backends/cpu/kernels_matrix.c \
	backends/cpu/kernels_matint.c backends/cpu/quant.h backends/cpu/kernels_quant.c \
	backends/cpu/recurrent.h backends/cpu/recurrent_cells.c backends/cpu/kernels_recurrent.c \
	backends/cpu/kernels_loss.c backends/cpu/kernels_train.c backends/cpu/kernels_einsum.c \
	backends/cpu/chain.h backends/cpu/chain.c backends/cpu/chain_build.c

if HAVE_CHECK
check_PROGRAMS += tests/unit/test_kernels_a_math
TESTS += tests/unit/test_kernels_a_math
tests_unit_test_kernels_a_math_SOURCES = tests/unit/test_kernels_a_math.c
tests_unit_test_kernels_a_math_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/backends/cpu
tests_unit_test_kernels_a_math_CFLAGS = $(TEST_CFLAGS) -fno-trapping-math
tests_unit_test_kernels_a_math_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test_kernels_a_random
TESTS += tests/unit/test_kernels_a_random
tests_unit_test_kernels_a_random_SOURCES = tests/unit/test_kernels_a_random.c \
	tests/support/kernel_case.c tests/support/kernel_case.h \
	tests/support/graph_builder.c tests/support/graph_builder.h
tests_unit_test_kernels_a_random_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/backends/cpu
tests_unit_test_kernels_a_random_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_kernels_a_random_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test_kernels_a
TESTS += tests/unit/test_kernels_a
tests_unit_test_kernels_a_SOURCES = tests/unit/test_kernels_a.c tests/unit/kernels_a_cases.inc \
	tests/support/kernel_case.c tests/support/kernel_case.h \
	tests/support/graph_builder.c tests/support/graph_builder.h
tests_unit_test_kernels_a_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/backends/cpu
tests_unit_test_kernels_a_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_kernels_a_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test_kernels_a_chain
TESTS += tests/unit/test_kernels_a_chain
tests_unit_test_kernels_a_chain_SOURCES = tests/unit/test_kernels_a_chain.c \
	tests/support/failing_alloc.c tests/support/failing_alloc.h \
	tests/support/graph_builder.c tests/support/graph_builder.h
tests_unit_test_kernels_a_chain_CPPFLAGS = $(TEST_CPPFLAGS) -I$(top_srcdir)/backends/cpu
tests_unit_test_kernels_a_chain_CFLAGS = $(TEST_CFLAGS)
tests_unit_test_kernels_a_chain_LDADD = $(TEST_LIBS)
endif
