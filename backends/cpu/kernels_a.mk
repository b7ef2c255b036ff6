# SPDX-License-Identifier: Apache-2.0
# Families: math, reduce, quant, recurrent; chain.c adds CPU_STEP_FLAGS += -DCPU_HAVE_CHAIN.
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
	backends/cpu/recurrent.h backends/cpu/recurrent_cells.c backends/cpu/kernels_recurrent.c
